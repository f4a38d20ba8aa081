"""Marks: what stands between the words of a text, and the words' capitals, given all letters. Knows bytes and
letters; no network, no files.

FORMAT.md, 10.4 and 10.7, says the same in prose.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import BORROWING, compiled, inlined
from codec.coder.decisions import CONTEXTS, GOLDEN, decide, hashed

END = 97  # a letter, which no gap contains
SPACE, LINE_END = 32, 10  # bytes
NONE, FIRST, ALL, EACH = 0, 1, 2, 3  # a word's capitals
BYTE_NODES = 256  # of the tree of a byte's eight decisions
STEPS = 4  # rows of the mixer's weights for the first bytes of a gap; later ones share the last
GAP_ROWS = STEPS * 4 * BYTE_NODES
ROWS = GAP_ROWS + 5  # and those for capitals
EACH_ROW = GAP_ROWS + 4
EACH_NODE = 8  # first of the nodes for a letter's own capital; those before are of the kind
OF_CAPITALS = np.uint64(99)  # sets the keys of capitals apart from those of gaps
COLUMN_MAX, SIZE_MAX, PLAIN_MAX = 255, 15, 40  # in contexts
WRONG = -1  # what has been read cannot have been written


class Around(NamedTuple):
    """What is known where a gap begins: of the word and gap before it, and of the word after it."""

    before: np.uint64  # hash of the word before
    last: np.uint64  # hash of the gap before that
    older: np.uint64  # and of the one before that
    length: int  # letters of the word before
    capitals: int  # its kind
    plain: int  # gaps of one space since one that was not
    following: np.uint64  # hash of the word after the gap
    size: int  # its letters


@compiled(**BORROWING)
def code_marks(parts: Any, coder: Any) -> Any:
    """Code all gaps and capitals of a text. Returns 0, or 1 if what is read cannot have been written.

    parts: a `codec.text.parts.Parts`, whose capital, gaps and ends are read, or written when decoding;
    coder: a `codec.coder.decisions.BinaryCoder`.
    """
    starts, ends = parts.starts, parts.ends
    words = starts.size - 1
    before = last = older = np.uint64(0)
    column, begin, capitals, length, plain = 0, 0, 0, 0, 0
    for i in range(words + 1):
        following, size = np.uint64(1), 0
        if i < words:
            following, size = _hash_of_word(parts, i), starts[i + 1] - starts[i]
        around = Around(before, last, older, length, capitals, plain, following, size)
        end, column, gap = _code_gap(parts, i, begin, column, around, coder)
        if end == WRONG or (end == begin and 0 < i < words):
            return 1
        ends[i] = end
        older, last = last, gap
        plain = plain + 1 if end == begin + 1 and parts.gaps[begin] == SPACE else 0
        begin = end
        if i == words:
            break
        _set_contexts_of_capitals(around, gap, coder.keys)
        capitals = _code_capitals(parts, starts[i], size, coder)
        if capitals == ALL and size == 1:
            return 1
        length = size
        column += size
        before = following
    return 0


@inlined()
def _hash_of_word(parts: Any, i: Any) -> Any:
    letters, part = parts.letters, np.uint64(1)
    for j in range(parts.starts[i], parts.starts[i + 1]):
        part = hashed(part + np.uint64(letters[j]) * GOLDEN)
    return part


@inlined()
def _code_gap(parts: Any, i: Any, begin: Any, column: Any, around: Any, coder: Any) -> Any:
    """Code gap i, whose first byte is gaps[begin]: (its end or WRONG, column after it, its hash). column:
    bytes since the line began.
    """
    gaps, decoding = parts.gaps, coder.decoding
    at, gap = begin, np.uint64(i == 0)
    previous = np.int64(0)
    while True:
        _set_contexts_of_gap(around, gap, min(column + around.size, COLUMN_MAX), coder.keys)
        symbol = np.int64(0)
        if not decoding:
            symbol = np.int64(gaps[at]) if at < parts.ends[i] else np.int64(END)
        row = (min(at - begin, STEPS - 1) * 4 + min(i, 1) * 2 + (previous == SPACE)) * BYTE_NODES
        node = np.int64(1)
        for place in range(7, -1, -1):
            node = node * 2 + decide(coder, node, row + node, (symbol >> place) & 1, 0.0)
        symbol = node & (BYTE_NODES - 1)
        if symbol == END:
            return at, column, gap
        if ((symbol | 32) >= 97 and (symbol | 32) <= 122) or at >= gaps.size:
            return WRONG, column, gap
        gaps[at] = symbol
        at += 1
        gap = hashed(gap + np.uint64(symbol + 1) * GOLDEN)
        previous = symbol
        column = 0 if symbol == LINE_END else column + 1


@inlined()
def _set_contexts_of_gap(around: Any, gap: Any, room: Any, keys: Any) -> None:
    """gap: hash of the gap so far; room: the column where the following word would end."""
    before, last, following = around.before, around.last, around.following
    size, length = min(around.size, SIZE_MAX), min(around.length, SIZE_MAX)
    keys[0] = gap
    keys[1] = hashed(gap + before * np.uint64(3))
    keys[2] = hashed(gap + following * np.uint64(5))
    keys[3] = hashed(gap + last * np.uint64(7))
    keys[4] = hashed(gap + np.uint64(room * 64 + size * 4 + around.capitals) * GOLDEN)
    keys[5] = hashed(gap + last * np.uint64(11) + around.older * np.uint64(13))
    keys[6] = hashed(gap + before * np.uint64(17) + following * np.uint64(19))
    keys[7] = hashed(
        gap
        + np.uint64(min(around.plain, PLAIN_MAX) * 256 + length * 16 + size) * GOLDEN
        + np.uint64(around.capitals)
    )
    keys[8] = hashed(gap + before * np.uint64(23) + last * np.uint64(29))
    keys[9] = hashed(gap + following * np.uint64(31) + np.uint64(room) * GOLDEN)


@inlined()
def _set_contexts_of_capitals(around: Any, gap: Any, keys: Any) -> None:
    """gap: hash of the gap before the word."""
    before, last, following = around.before, around.last, around.following
    keys[0] = following
    keys[1] = gap
    keys[2] = hashed(gap + following)
    keys[3] = np.uint64(around.capitals * 32 + min(around.size, 31))
    keys[4] = hashed(gap + last * np.uint64(3))
    keys[5] = hashed(following + np.uint64(around.capitals) * GOLDEN)
    keys[6] = hashed(before + following * np.uint64(3))
    keys[7] = hashed(gap + np.uint64(around.capitals * 16 + min(around.size, SIZE_MAX)) * GOLDEN)
    keys[8] = hashed(gap + before * np.uint64(5))
    keys[9] = hashed(before + gap + following * np.uint64(7))
    for j in range(CONTEXTS):
        keys[j] = hashed(keys[j] + OF_CAPITALS)


@inlined()
def _code_capitals(parts: Any, first: Any, size: Any, coder: Any) -> Any:
    """Code the capitals of the word letters[first : first + size]. Returns their kind."""
    capital = parts.capital
    kind = 0
    if not coder.decoding:
        total = 0
        for j in range(first, first + size):
            total += capital[j]
        if total == 0:
            kind = NONE
        elif total == 1 and capital[first]:
            kind = FIRST
        else:
            kind = ALL if total == size else EACH
    high = decide(coder, 1, GAP_ROWS + 1, kind >> 1, 0.0)
    kind = 2 * high + decide(coder, 2 + high, GAP_ROWS + 2 + high, kind & 1, 0.0)
    for j in range(first, first + size):
        if kind == EACH:
            node = EACH_NODE + min(j - first, 1) * 2 + (j > first and capital[j - 1])
            capital[j] = decide(coder, node, EACH_ROW, capital[j], 0.0)
        else:
            capital[j] = kind == ALL or (kind == FIRST and j == first)
    return kind
