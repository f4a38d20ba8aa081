"""The mixing coder of texts: letters, given what a network says of them, and then what stands between the
words. Knows letters and bits; no network, no files.

A text is a chain of words of the letters a-z with something between them (a space, a full stop and a space,
the end of a line, digits, ...):

    gap 0 | word 1 | gap 1 | word 2 | ... | word n | gap n

First come the letters of all words, small, with one space between words (`code_letters`), in any order, call
by call; within a call from left to right, so that what the counters see includes the call's own letters. Then
all words are known, and gap by gap and word by word `code_marks` codes a gap's bytes, ended by a letter, and
the next word's capitals: none, the first, all, or each letter for itself.

Every decision is binary; its probability is a mixture, by logistic regression, of the network's and of what
counters say in several contexts (Mahoney 2005), as in `codec.coder.kernel`, whose logarithms and sigmoid it
uses: elementwise float64 in a fixed order, the same everywhere.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ardm.compiled import compiled
from codec.coder.arithmetic import log
from codec.coder.decisions import CONTEXTS, Decisions, decide, hashed, new_decisions
from codec.coder.rangecoder import exhausted, new_decoder, new_encoder, seal
from codec.coder.words import check_words
from codec.errors import CorruptError

DIGEST = "084cc6b183dd1061"  # of `check_compiled`
END = 97  # a letter, which no gap contains
NONE, FIRST, ALL, EACH = 0, 1, 2, 3  # a word's capitals
WIDE = 16 * 256  # rows of the mixer for bytes of gaps
LETTERS = WIDE + 5  # first of the rows for letters
MARGIN = 32  # places before and after a text; longer words are cut there
UNKNOWN = 31


@compiled(error_model="numpy")
def code_letters(
    text: Any, where: Any, frequencies: Any, truth: Any, model: Any, coder: Any, words: Any, decoding: Any
) -> None:
    """Code the letters of one call, from left to right, and write them into the text.

    text: uint8 (n + 2 * MARGIN,), the letters 0 (space) .. 26 known so far, UNKNOWN elsewhere, with MARGIN
    places before and after; where: int64 (m,), ascending places to code; frequencies: float32 (m, 27), of
    `ardm.exact.frequencies`; truth: uint8 (n,) or, when decoding, anything. model: from `new_model`. coder,
    words: as in `codec.coder.rangecoder`.
    """
    keys = np.zeros(CONTEXTS, dtype=np.uint64)
    sums = np.zeros(33)
    salt = np.uint64(0x9E3779B97F4A7C15)
    for m in range(where.size):
        i = where[m] + MARGIN
        for symbol in range(32):
            sums[symbol + 1] = sums[symbol] + (frequencies[m, symbol] + 1.0 if symbol < 27 else 0.0)
        left = np.uint64(0)  # of the letters to the left, nearest first
        reach = 0
        for d in range(1, 7):
            left = hashed(left + np.uint64(text[i - d] + 1) * salt)
            if d <= 4:
                keys[d - 1] = left
            if text[i - d] != UNKNOWN and reach == d - 1:
                reach = d
        keys[4] = left
        near = np.uint64(text[i + 1]) * np.uint64(32) + np.uint64(text[i - 1])
        keys[5] = hashed(near + np.uint64(1 << 20))
        far = np.uint64(text[i + 2]) * np.uint64(32) + np.uint64(text[i - 2])
        keys[6] = hashed(near + far * np.uint64(1024) + np.uint64(3 << 40))
        before, d = np.uint64(5), 1  # the word so far, to the left
        while d < MARGIN and text[i - d] != 0 and text[i - d] != UNKNOWN:
            before = hashed(before + np.uint64(text[i - d]) * salt)
            d += 1
        after, e = np.uint64(7), 1  # and to the right
        while e < MARGIN and text[i + e] != 0 and text[i + e] != UNKNOWN:
            after = hashed(after + np.uint64(text[i + e]) * salt)
            e += 1
        whole = np.uint64((text[i - d] == 0) * 2 + (text[i + e] == 0))
        keys[7] = hashed(before + after * np.uint64(3) + whole)
        keys[8] = hashed(keys[1] + np.uint64(text[i + 1] + 1) * np.uint64(0x51ED2701))
        keys[9] = hashed(before + np.uint64(text[i + 1] + 1) * np.uint64(0x2545F491))
        for j in range(CONTEXTS):
            keys[j] = keys[j] + np.uint64(j + 1) * np.uint64(0xD6E8FEB86659FD93)
        right = 0 if text[i + 1] == UNKNOWN else 1 if text[i + 2] == UNKNOWN else 2
        choice = (min(reach, 5) * 3 + right) * 32
        symbol = np.int64(0) if decoding else np.int64(truth[where[m]])
        partial = np.int64(1)
        for place in range(4, -1, -1):
            low = (partial << (place + 1)) & 31
            middle, high = low + (1 << place), low + (2 << place)
            one, none = sums[high] - sums[middle], sums[middle] - sums[low]
            advice = log(one + 0.01) - log(none + 0.01)
            bit = np.int64((symbol >> place) & 1)
            partial = partial * 2 + decide(
                partial, LETTERS + choice + partial, bit, advice, keys, model, coder, words, decoding
            )
        text[i] = partial & 31


@compiled(error_model="numpy")
def code_marks(
    letters: Any,
    starts: Any,
    capital: Any,
    gaps: Any,
    ends: Any,
    model: Any,
    coder: Any,
    words: Any,
    decoding: Any,
) -> Any:
    """Code all gaps and capitals of a text. Returns 0, or 1 if what is read cannot have been written.

    letters: uint8 (N,), 1..26, the words one after the other; starts: int64 (n + 1,), where words begin, and
    N. capital: uint8 (N,), 1 for capitals; gaps: uint8, bytes of all gaps; ends: int64 (n + 1,), where each
    ends: all three read, or written when decoding. model: from `new_model`. coder, words: as in
    `codec.coder.rangecoder`.
    """
    count = starts.size - 1
    keys = np.zeros(CONTEXTS, dtype=np.uint64)
    salt = np.uint64(0x9E3779B97F4A7C15)
    before = np.uint64(0)  # hash of the word before the gap
    last = np.uint64(0)  # hash of the gap before
    older = np.uint64(0)
    column, at, caps, length, rare = 0, 0, 0, 0, 0
    for i in range(count + 1):
        following, size = np.uint64(1), 0  # hash and length of the word after the gap
        if i < count:
            size = starts[i + 1] - starts[i]
            for j in range(starts[i], starts[i + 1]):
                following = hashed(following + np.uint64(letters[j]) * salt)
        begin, now = at, np.uint64(i == 0)  # now: hash of the gap so far
        previous = np.int64(0)
        while True:
            room = min(column + size, 255)
            keys[0] = now
            keys[1] = hashed(now + before * np.uint64(3))
            keys[2] = hashed(now + following * np.uint64(5))
            keys[3] = hashed(now + last * np.uint64(7))
            keys[4] = hashed(now + np.uint64(room * 64 + min(size, 15) * 4 + caps) * salt)
            keys[5] = hashed(now + last * np.uint64(11) + older * np.uint64(13))
            keys[6] = hashed(now + before * np.uint64(17) + following * np.uint64(19))
            keys[8] = hashed(now + before * np.uint64(23) + last * np.uint64(29))
            keys[9] = hashed(now + following * np.uint64(31) + np.uint64(room) * salt)
            keys[7] = hashed(
                now
                + np.uint64(min(rare, 40) * 256 + min(length, 15) * 16 + min(size, 15)) * salt
                + np.uint64(caps)
            )
            step = min(at - begin, 3)
            symbol = np.int64(0)
            if not decoding:
                symbol = np.int64(gaps[at]) if at < ends[i] else np.int64(END)
            partial = np.int64(1)
            for place in range(7, -1, -1):
                choice = (step * 4 + min(i, 1) * 2 + (previous == 32)) * 256 + partial
                bit = decide(partial, choice, (symbol >> place) & 1, 0.0, keys, model, coder, words, decoding)
                partial = partial * 2 + bit
            symbol = partial & 255
            if symbol == END:
                break
            if ((symbol | 32) >= 97 and (symbol | 32) <= 122) or at >= gaps.size:
                return 1
            gaps[at] = symbol
            at += 1
            now = hashed(now + np.uint64(symbol + 1) * salt)
            previous = symbol
            column = 0 if symbol == 10 else column + 1
        if at == begin and i > 0 and i < count:
            return 1
        ends[i] = at
        older, last = last, now
        plain = at == begin + 1 and previous == 32
        rare = rare + 1 if plain else 0
        if i == count:
            break
        for j in range(CONTEXTS):
            keys[j] = np.uint64(0)
        keys[0] = following
        keys[1] = now
        keys[2] = hashed(now + following)
        keys[3] = np.uint64(caps * 32 + min(size, 31))
        keys[4] = hashed(last + older * np.uint64(3))
        keys[5] = hashed(following + np.uint64(caps) * salt)
        keys[6] = hashed(before + following * np.uint64(3))
        keys[8] = hashed(now + before * np.uint64(5))
        keys[9] = hashed(before + last + following * np.uint64(7))
        keys[7] = hashed(now + np.uint64(caps * 16 + min(size, 15)) * salt)
        for j in range(CONTEXTS):
            keys[j] = hashed(keys[j] + np.uint64(99))
        first, total = starts[i], 0
        kind = 0
        if not decoding:
            for j in range(first, first + size):
                total += capital[j]
            kind = (
                NONE
                if total == 0
                else FIRST
                if total == 1 and capital[first]
                else ALL
                if total == size
                else EACH
            )
        high = decide(1, WIDE + 1, kind >> 1, 0.0, keys, model, coder, words, decoding)
        low = decide(2 + high, WIDE + 2 + high, kind & 1, 0.0, keys, model, coder, words, decoding)
        kind = 2 * high + low
        if kind == ALL and size == 1:
            return 1
        for j in range(first, first + size):
            if kind == EACH:
                bit = decide(
                    8 + min(j - first, 1) * 2 + (j > first and capital[j - 1]),
                    WIDE + 4,
                    capital[j],
                    0.0,
                    keys,
                    model,
                    coder,
                    words,
                    decoding,
                )
            else:
                bit = kind == ALL or (kind == FIRST and j == first)
            capital[j] = bit
        caps, length = kind, size
        column += size
        before = following
    return 0


def new_model(letters: int) -> Decisions:
    """Before anything is learned, for a text of so many letters."""
    model = new_decisions(1 << min(max((8 * letters).bit_length(), 12), 20), LETTERS + 18 * 32)
    model.weights[LETTERS:, :CONTEXTS], model.weights[LETTERS:, CONTEXTS] = 0.1, 0.8
    return model


class Coder:
    """One end of a stream of letters; it learns from tile to tile. data: what an encoder wrote, or None to
    encode.
    """

    def __init__(self, size: int, data: bytes | None = None, check: bool = True) -> None:
        if check:
            check_compiled()
        self.model = new_model(size)
        self.decoding = data is not None
        if data is None:
            self.state = new_encoder()
            # a letter is five decisions of 17 bits at most
            self.words = np.empty((1, 3 * size + 4), dtype=np.uint32)
        else:
            self.state, self.words = _open(data)

    def letters(
        self, tile: np.ndarray, where: np.ndarray, frequencies: np.ndarray, truth: np.ndarray
    ) -> None:
        """Code the places `where` of a tile, at least one, as `code_letters` does.

        Raises CorruptError for values that only a forger writes, and as soon as more is read than was
        written.
        """
        with np.errstate(over="ignore"):  # hashes wrap around; only uncompiled code notices
            code_letters(tile, where, frequencies, truth, self.model, self.state, self.words, self.decoding)
        # as many as the seal may have left out
        if self.decoding and int(self.state[0, 2]) > self.words.size + 1:
            raise CorruptError("the letters of a text go on where their data has ended.")
        if tile[where + MARGIN].max() > 26:
            raise CorruptError("a letter of the text is none.")

    def finish(self) -> bytes:
        """An encoder's words, little-endian."""
        return seal(self.state[0], self.words[0])

    def exhausted(self) -> bool:
        """May the decoder have read all that was encoded?"""
        return exhausted(self.state[0])


@lru_cache(maxsize=1)
def check_compiled() -> None:
    """Code a few words and compare with what every correct machine must write. Raises UnsupportedError if
    this one's arithmetic is another.
    """
    text = np.array([(i * i * 7 + 5 * i) % 27 if i % 6 else 0 for i in range(1, 300)], dtype=np.uint8)
    text[(text == 0) & (np.roll(text, 1) == 0)] = 5
    coder, tile = Coder(text.size, check=False), open_tile(text.size)
    frequencies = (np.arange(text.size * 27).reshape(-1, 27) * 2654435761 >> 9) % 500000
    for first in range(3):
        where = np.arange(first, text.size, 3)
        coder.letters(tile, where, frequencies[where].astype(np.float32), text)
    letters, starts = text[text > 0], np.append(np.flatnonzero((text > 0) & (np.roll(text, 1) == 0)), 0)
    starts = np.searchsorted(np.flatnonzero(text > 0), [0, *starts[:-1][starts[:-1] > 0], text.size]).astype(
        np.int64
    )
    gaps = np.tile(np.array([32, 44, 32, 32, 46, 13, 10], dtype=np.uint8), starts.size)[: 2 * starts.size]
    marks = _encode(
        letters, starts, (letters % 5 == 1).astype(np.uint8), gaps, 2 * np.arange(1, starts.size + 1)
    )
    check_words(coder.finish() + marks, DIGEST, "coder of texts")


def open_tile(count: int) -> np.ndarray:
    """A text of `count` unknown letters, as `code_letters` takes it."""
    return np.full(count + 2 * MARGIN, UNKNOWN, dtype=np.uint8)


def close_tile(tile: np.ndarray) -> np.ndarray:
    """The letters of a tile."""
    return tile[MARGIN:-MARGIN]


def _open(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    if len(data) % 4:
        raise CorruptError("the words of a text are cut short.")
    return new_decoder(data)


def encode(
    letters: np.ndarray, starts: np.ndarray, capital: np.ndarray, gaps: np.ndarray, ends: np.ndarray
) -> bytes:
    """A range coder's words, little-endian. Arguments as of `code_marks`."""
    check_compiled()
    return _encode(letters, starts, capital, gaps, ends)


def _encode(
    letters: np.ndarray, starts: np.ndarray, capital: np.ndarray, gaps: np.ndarray, ends: np.ndarray
) -> bytes:
    state = new_encoder()
    # a decision costs 17 bits at most
    words = np.empty((1, 6 * (gaps.size + starts.size) + letters.size + 4), dtype=np.uint32)
    with np.errstate(over="ignore"):
        code_marks(letters, starts, capital, gaps, ends, new_model(letters.size), state, words, False)
    return seal(state[0], words[0])


def decode(
    data: bytes, letters: np.ndarray, starts: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inverse of `encode`: (capital, gaps, ends). size: bytes of all gaps. Raises CorruptError."""
    state, words = _open(data)
    capital, gaps, ends = (
        np.zeros(letters.size, dtype=np.uint8),
        np.zeros(size, dtype=np.uint8),
        np.zeros(starts.size, dtype=np.int64),
    )
    check_compiled()
    with np.errstate(over="ignore"):
        wrong = code_marks(letters, starts, capital, gaps, ends, new_model(letters.size), state, words, True)
    if wrong or ends[-1] != size or not exhausted(state[0]):
        raise CorruptError("the marks of a text do not fit its words.")
    return capital, gaps, ends
