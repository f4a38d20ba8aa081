"""The mixing coder of texts: letters, given what a network says of them, and then what stands between the
words. Knows arrays of letters and bytes, and the coder's words; no network, no files.

A text is a chain of words of the letters a-z with something between them (a space, a full stop and a space,
the end of a line, digits, ...):

    gap 0 | word 1 | gap 1 | word 2 | ... | word n | gap n

First come the letters of all words, small, with one space between words (`codec.text.letters`), in any order,
call by call; within a call from left to right, so that what the counters see includes the call's own letters.
Then all words are known, and gap by gap and word by word `codec.text.marks` codes a gap's bytes, ended by a
letter, and the next word's capitals: none, the first, all, or each letter for itself.

Every decision is binary; its probability is a mixture, by logistic regression, of the network's and of what
counters say in several contexts (Mahoney 2005), as in `codec.coder.kernel`, whose logarithms and sigmoid it
uses: elementwise float64 in a fixed order, the same everywhere.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from codec.coder.decisions import CONTEXTS, BinaryCoder, binary_decoder, binary_encoder
from codec.coder.words import check_words
from codec.errors import CorruptError
from codec.text import letters as letters_module
from codec.text import marks as marks_module
from codec.text.letters import FIRST_ROW, LETTERS, MARGIN, code_letters, open_tile
from codec.text.marks import code_marks
from codec.text.parts import Parts

DIGEST = "084cc6b183dd1061"  # of `check_compiled`
# log2 of the counters in a context: those of a long text take 90 MiB, and a short one does not wait for that
LEAST_SLOTS, MOST_SLOTS = 12, 20
SLOTS_OF_LETTER = 8
# the mixer's weights of letters at first: a network knows more than counters that have seen nothing
COUNTER_WEIGHT, NETWORK_WEIGHT = 0.1, 0.8
# Words of 32 bits that an encoder may need, at 17 bits a decision: a letter is five decisions; the byte of a
# gap eight, which leaves enough for the kind of a word's capitals; a letter's capital one.
WORDS_OF_LETTER, WORDS_OF_BYTE, WORDS_OF_CAPITAL, SPARE_WORDS = 3, 6, 1, 4


class TextCoder:
    """One end of a stream of letters; it learns from tile to tile. size: letters in all; data: what an
    encoder wrote, or None to encode.
    """

    def __init__(self, size: int, data: bytes | None = None, check: bool = True) -> None:
        if check:
            check_compiled()
        rows = letters_module.ROWS
        self.binary = (
            binary_encoder(_slots(size), rows, WORDS_OF_LETTER * size + SPARE_WORDS)
            if data is None
            else _decoder(size, rows, data)
        )
        self.binary.weights[FIRST_ROW:, :CONTEXTS] = COUNTER_WEIGHT
        self.binary.weights[FIRST_ROW:, CONTEXTS] = NETWORK_WEIGHT

    def letters(
        self, tile: np.ndarray, where: np.ndarray, frequencies: np.ndarray, truth: np.ndarray
    ) -> None:
        """Code the places `where` of a tile, at least one, as `code_letters` does.

        Raises CorruptError for values that only a forger writes, and as soon as more is read than was
        written.
        """
        with np.errstate(over="ignore"):  # hashes wrap around; only uncompiled code notices
            code_letters(tile, where, frequencies, truth, self.binary)
        # as many as the seal may have left out
        if self.binary.decoding and int(self.binary.state[0, 2]) > self.binary.words.size + 1:
            raise CorruptError("the letters of a text go on where their data has ended.")
        if tile[where + MARGIN].max() >= LETTERS:
            raise CorruptError("a letter of the text is none.")

    def finish(self) -> bytes:
        """An encoder's words, little-endian."""
        return self.binary.sealed()

    def exhausted(self) -> bool:
        """May the decoder have read all that was encoded?"""
        return self.binary.exhausted()


@lru_cache(maxsize=1)
def check_compiled() -> None:
    """Code a few words and compare with what every correct machine must write. Raises UnsupportedError if
    this one's arithmetic is another.
    """
    text = np.array([(i * i * 7 + 5 * i) % 27 if i % 6 else 0 for i in range(1, 300)], dtype=np.uint8)
    text[(text == 0) & (np.roll(text, 1) == 0)] = 5
    coder, tile = TextCoder(text.size, check=False), open_tile(text.size)
    frequencies = (np.arange(text.size * 27).reshape(-1, 27) * 2654435761 >> 9) % 500000
    for first in range(3):
        where = np.arange(first, text.size, 3)
        coder.letters(tile, where, frequencies[where].astype(np.float32), text)
    letters, starts = text[text > 0], np.append(np.flatnonzero((text > 0) & (np.roll(text, 1) == 0)), 0)
    starts = np.searchsorted(np.flatnonzero(text > 0), [0, *starts[:-1][starts[:-1] > 0], text.size]).astype(
        np.int64
    )
    gaps = np.tile(np.array([32, 44, 32, 32, 46, 13, 10], dtype=np.uint8), starts.size)[: 2 * starts.size]
    parts = Parts(
        letters, starts, (letters % 5 == 1).astype(np.uint8), gaps, 2 * np.arange(1, starts.size + 1)
    )
    check_words(coder.finish() + _encode(parts), DIGEST, "coder of texts")


def encode(parts: Parts) -> bytes:
    """The marks of a text: a range coder's words, little-endian."""
    check_compiled()
    return _encode(parts)


def _encode(parts: Parts) -> bytes:
    bytes_of_gaps = parts.gaps.size + parts.starts.size
    room = WORDS_OF_BYTE * bytes_of_gaps + WORDS_OF_CAPITAL * parts.letters.size + SPARE_WORDS
    coder = binary_encoder(_slots(parts.letters.size), marks_module.ROWS, room)
    with np.errstate(over="ignore"):
        code_marks(parts, coder)
    return coder.sealed()


def decode(data: bytes, letters: np.ndarray, starts: np.ndarray, size: int) -> Parts:
    """Inverse of `encode`, given letters and words. size: bytes of all gaps. Raises CorruptError."""
    coder = _decoder(letters.size, marks_module.ROWS, data)
    parts = Parts(
        letters,
        starts,
        np.zeros(letters.size, dtype=np.uint8),
        np.zeros(size, dtype=np.uint8),
        np.zeros(starts.size, dtype=np.int64),
    )
    check_compiled()
    with np.errstate(over="ignore"):
        wrong = code_marks(parts, coder)
    if wrong or parts.ends[-1] != size or not coder.exhausted():
        raise CorruptError("the marks of a text do not fit its words.")
    return parts


def _slots(letters: int) -> int:
    """Counters of a context, for a text of so many letters."""
    return 1 << min(max((SLOTS_OF_LETTER * letters).bit_length(), LEAST_SLOTS), MOST_SLOTS)


def _decoder(letters: int, rows: int, data: bytes) -> BinaryCoder:
    if len(data) % 4:
        raise CorruptError("the words of a text are cut short.")
    return binary_decoder(_slots(letters), rows, data)
