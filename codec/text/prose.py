"""The mixing coder of texts: letters, given what a network says of them, and then what stands between the
words. Knows arrays of letters and bytes, the network, and the coder's words; no files.

A text is a chain of words of the letters a-z with something between them (a space, a full stop and a space,
the end of a line, digits, ...):

    gap 0 | word 1 | gap 1 | word 2 | ... | word n | gap n

First come the letters of all words, small, with one space between words (`codec.text.letters`), call by call;
within a call from left to right, so that what the counters see includes the call's own letters.
Then all words are known, and gap by gap and word by word `codec.text.marks` codes a gap's bytes, ended by a
letter, and the next word's capitals: none, the first, all, or each letter for itself.

Every decision is binary; its probability is a mixture, by logistic regression, of the network's and of what
counters say in several contexts (Mahoney 2005), as in `codec.coder.kernel`, whose logarithms and sigmoid it
uses: elementwise float64 in a fixed order, the same everywhere.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ardm.exact.context import ContextConfig, ContextWeights, check_bounds, exponentials
from ardm.exact.evaluate_context import ContextNet, build_context
from codec.coder.decisions import CONTEXTS, BinaryCoder, binary_decoder, binary_encoder, untaught
from codec.coder.words import check_words, made_up
from codec.errors import CorruptError
from codec.text import letters as letters_module
from codec.text import marks as marks_module
from codec.text.letters import (
    FIRST_ROW,
    LETTERS,
    close_tile,
    code_in_cells,
    code_plainly,
    open_tile,
    room_for,
)
from codec.text.marks import code_marks
from codec.text.parts import Parts

DIGEST = "32926da7700e293a"  # of `check_compiled`
# log2 of the counters in a context: those of a long text take 40 MiB, and a short one does not wait for that
LEAST_SLOTS, MOST_SLOTS = 12, 20
SLOTS_OF_LETTER = 8
# the mixer's weights of letters at first: a network knows more than counters that have seen nothing
COUNTER_WEIGHT, NETWORK_WEIGHT = 0.1, 0.8
# Words of 32 bits that an encoder may need, at 17 bits a decision: a letter is five decisions; the byte of a
# gap eight, which leaves enough for the kind of a word's capitals; a letter's capital one.
WORDS_OF_LETTER, WORDS_OF_BYTE, WORDS_OF_CAPITAL, SPARE_WORDS = 3, 6, 1, 4


class Network(NamedTuple):
    """A context network, and the table of its frequencies."""

    net: ContextNet
    exponentials: np.ndarray

    @staticmethod
    def of(weights: ContextWeights) -> Network:
        return Network(build_context(weights), weights.tensors["exp"])


class TextCoder:
    """One end of a stream of letters; it learns from tile to tile. size: letters in all; data: what an
    encoder wrote, or None to encode.
    """

    def __init__(self, size: int, data: bytes | None = None, check: bool = True) -> None:
        if check:
            check_compiled()
        rows = letters_module.ROWS
        self.binary = (
            binary_encoder(untaught(_slots(size), rows), WORDS_OF_LETTER * size + SPARE_WORDS)
            if data is None
            else _decoder(size, rows, data)
        )
        self.binary.weights[FIRST_ROW:, :CONTEXTS] = COUNTER_WEIGHT
        self.binary.weights[FIRST_ROW:, CONTEXTS] = NETWORK_WEIGHT

    def letters(
        self, size: int, truth: np.ndarray, network: Network | None = None, cell: int = 1
    ) -> np.ndarray:
        """Code the letters of a tile: in cells with the network, or from left to right without. truth: uint8
        (size,), or, when decoding, anything. Returns the letters.

        Raises CorruptError for values that only a forger writes, and if more is read than was written.
        """
        tile = open_tile(size)
        with np.errstate(over="ignore"):  # hashes wrap around; only uncompiled code notices
            if network:
                room = room_for(network.net, size, cell)
                done = code_in_cells(tile, cell, network.net, network.exponentials, room, truth, self.binary)
            else:
                done = code_plainly(tile, truth, self.binary)
        # as many as the seal may have left out
        if self.binary.decoding and int(self.binary.state[0, 2]) > self.binary.words.size + 1:
            raise CorruptError("the letters of a text go on where their data has ended.")
        if done < size:
            raise CorruptError("a letter of the text is none.")
        return close_tile(tile)

    def finish(self) -> bytes:
        """An encoder's words, little-endian."""
        return self.binary.sealed()

    def exhausted(self) -> bool:
        """May the decoder have read all that was encoded?"""
        return self.binary.exhausted()


def synthetic_weights() -> ContextWeights:
    """A network of made-up integers, small enough for a self-test."""
    config = ContextConfig(LETTERS, radius=4, width=32, depth=1)

    w = config.width
    tensors = {
        "enter": made_up(w, 8, config.states).astype(np.int8),
        "enter_bias": made_up(w) * 100,
        "enter_shift": np.full(w, 6),
        "hidden": made_up(2, w, w).astype(np.int8),
        "hidden_bias": made_up(2, w) * 700,
        "hidden_shift": np.full((2, w), 10),
        "head": made_up(LETTERS, w).astype(np.int8),
        "head_bias": made_up(LETTERS) * 500,
        "head_shift": np.full(LETTERS, 12),
        "exp": exponentials(),
    }
    tensors = {name: t if t.dtype == np.int8 else t.astype(np.int32) for name, t in tensors.items()}
    check_bounds(config, tensors)
    return ContextWeights("", config, tensors, {})


@lru_cache(maxsize=1)
def check_compiled() -> None:
    """Code a few words and compare with what every correct machine must write. Raises UnsupportedError if
    this one's arithmetic is another.
    """
    text = np.array([(i * i * 7 + 5 * i) % 27 if i % 6 else 0 for i in range(1, 300)], dtype=np.uint8)
    text[(text == 0) & (np.roll(text, 1) == 0)] = 5
    coder = TextCoder(text.size, check=False)
    coder.letters(100, text[:100])
    coder.letters(text.size - 100, text[100:], Network.of(synthetic_weights()), 3)
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
    coder = binary_encoder(untaught(_slots(parts.letters.size), marks_module.ROWS), room)
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
    return binary_decoder(untaught(_slots(letters), rows), data)
