"""The compressor of zlib 1.2 and 1.3, the same bytes on every machine: what makes a PNG file's own compressed
data again. Knows bytes only.

The zlib that a Python comes with may be another (zlib-ng, for one), with other output, so that it cannot be
relied on. This is an altered version of zlib's deflate.c, (C) 1995-2024 Jean-loup Gailly and Mark Adler,
under its licence (https://zlib.net/zlib_license.html): with the whole input at hand it needs no window. Names
of its functions are given where they help.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ardm.compiled import compiled, inlined, internal
from codec.png.exact.blocks import FIXED, WRITTEN, BitWriter, fill_byte, send_block
from codec.png.exact.codes import MAX_MATCH, MIN_MATCH, Tokens

__all__ = ["DEFAULT", "FILTERED", "FIXED", "HUFFMAN", "LAZY_LEVEL", "RLE", "deflate"]

MIN_LOOKAHEAD = MAX_MATCH + MIN_MATCH + 1
TOO_FAR = 4096  # matches of three bytes that lie further back are not worth it
SHORT_FILTERED = 5  # nor are matches of up to so many bytes, by strategy FILTERED
DEFAULT, FILTERED, HUFFMAN, RLE = range(4)  # strategies; FIXED is the last
NO_MATCH = MIN_MATCH - 1  # a length
LAZY_LEVEL = 4  # the first level that puts a match off
# (good length, longest match that another is tried after, nice length, most links of a chain) of levels 0 to
# 9; up to 3 nothing is tried after a match
LEVELS = np.array(
    [
        (0, 0, 0, 0),
        (4, 4, 8, 4),
        (4, 5, 16, 8),
        (4, 6, 32, 32),
        (4, 4, 16, 16),
        (8, 16, 32, 32),
        (8, 16, 128, 128),
        (8, 32, 128, 256),
        (32, 128, 258, 1024),
        (32, 258, 258, 4096),
    ]
)


class Search(NamedTuple):
    """What matches are searched with."""

    data: np.ndarray  # uint8 (size + MAX_MATCH,), ends with zeros
    size: int  # bytes of data
    head: np.ndarray  # int64 (2**hash_bits,), where bytes with a hash were last; 0 also for nowhere
    before: np.ndarray  # int64 (reach,), the place before, by a place's lowest bits
    hash_bits: int
    hash_shift: int
    reach: int  # bytes of zlib's window, of which it has two
    farthest: int  # distance of a match
    strategy: int
    good: int  # after a match of so many bytes, fewer links are followed
    lazy: int  # after a match of so many bytes, none is searched; by greedy levels: its places are not known
    nice: int  # a match of so many bytes is taken at once
    links: int  # of a chain that are followed at most


class OpenBlock(NamedTuple):
    """The tokens of a block that has not ended yet."""

    tokens: Tokens
    used: np.ndarray  # int64 (1,), how many tokens there are


def deflate(
    data: np.ndarray, level: int, memory: int, strategy: int, window: int, expected: np.ndarray | None = None
) -> np.ndarray | None:
    """What zlib's deflate makes of data, uint8, with these arguments of deflateInit2, without its header.
    level: 1 to 9; memory: 1 to 9; strategy: 0 to 4; window: 9 to 15. expected: give up, and return None, once
    the result cannot be these bytes.
    """
    reach, hash_bits = 1 << window, memory + 7
    search = Search(
        np.concatenate([data, np.zeros(MAX_MATCH, dtype=np.uint8)]),
        data.size,
        np.zeros(1 << hash_bits, dtype=np.int64),
        np.zeros(reach, dtype=np.int64),
        hash_bits,
        (hash_bits + MIN_MATCH - 1) // MIN_MATCH,
        reach,
        reach - MIN_LOOKAHEAD,
        strategy,
        *(int(n) for n in LEVELS[level]),
    )
    room = (1 << (memory + 6)) - 1
    block = OpenBlock(
        Tokens(np.zeros(room, dtype=np.int64), np.zeros(room, dtype=np.int64)), np.zeros(1, dtype=np.int64)
    )
    # more than any data take: nine bits for a byte, and an eightieth for the ends of the shortest blocks
    out = np.empty(data.size + data.size // 7 + 1024, dtype=np.uint8)
    writer = BitWriter(out, np.zeros(3, dtype=np.int64))
    nothing = np.zeros(0, dtype=np.uint8)
    goal = nothing if expected is None else expected
    size = _deflate(search, block, writer, level < LAZY_LEVEL, goal, expected is not None)
    return None if size < 0 else out[:size]


@compiled()
def _deflate(
    search: Search, block: OpenBlock, writer: BitWriter, greedy: bool, expected: np.ndarray, compare: bool
) -> int:
    """The number of bytes written, or -1 if they are not the expected ones."""
    data, strategy, tokens, used = search.data, search.strategy, block.tokens, block.used
    room = tokens.distances.size
    need = 1 if strategy == HUFFMAN else MAX_MATCH + 1 if strategy == RLE else MIN_LOOKAHEAD
    # zlib slides its window when it reads on; a block whose beginning has left the window cannot be stored as
    # it is.
    base = filled = 0
    at = start = checked = 0
    length, match, pending = NO_MATCH, 0, False
    while True:
        if filled - at < need:
            base, filled = _fill_window(search, at, base, filled)
            if filled == at:
                break
        if strategy == HUFFMAN:
            at = _take_literals(data, at, filled, block)
        elif strategy == RLE:
            at = _take_runs(data, at, filled, block)
        elif greedy:
            at = _take_greedily(search, at, filled, block)
        else:
            at, length, match, pending = _take_lazily(search, at, filled, block, length, match, pending)
        if used[0] == room:
            stop = at - 1 if pending else at  # a byte that is put off does not belong to the block yet
            send_block(tokens, room, data[start:stop], start >= base, strategy, False, writer)
            start, used[0] = stop, 0
            if compare and not _agree(writer, expected, checked):
                return -1
            checked = writer.state[WRITTEN]
    if pending:
        _add(block, 0, data[at - 1])
    send_block(tokens, used[0], data[start:at], start >= base, strategy, True, writer)
    fill_byte(writer)
    size = writer.state[WRITTEN]
    if compare and (size != expected.size or not _agree(writer, expected, checked)):
        return -1
    return size


@inlined()
def _agree(writer: BitWriter, expected: np.ndarray, start: int) -> bool:
    """Are the bytes written from start on the expected ones?"""
    size = writer.state[WRITTEN]
    return size <= expected.size and np.array_equal(writer.out[start:size], expected[start:size])


@inlined()
def _fill_window(search: Search, at: int, base: int, filled: int) -> tuple[int, int]:
    """fill_window: (where the window begins, where what has been read ends)."""
    while True:
        if at - base >= search.reach + search.farthest:
            base += search.reach
        if filled == search.size:
            break
        filled = min(search.size, base + 2 * search.reach)
        if filled - at >= MIN_LOOKAHEAD:
            break
    return base, filled


# ---- tokens ------------------------------------------------------------------------------------------------


@inlined()
def _add(block: OpenBlock, distance: int, value: int) -> None:
    """Append a token."""
    used = block.used
    block.tokens.distances[used[0]], block.tokens.values[used[0]] = distance, value
    used[0] += 1


@inlined()
def _is_full(block: OpenBlock) -> bool:
    return block.used[0] == block.tokens.values.size


# Each of these appends tokens, one at least, from a place on until the block is full or the data read so far,
# which end at `filled`, might not be enough for the next; it returns the next place.


@internal()
def _take_literals(data: np.ndarray, at: int, filled: int, block: OpenBlock) -> int:
    """deflate_huff."""
    while True:
        _add(block, 0, data[at])
        at += 1
        if at == filled or _is_full(block):
            return at


@internal()
def _take_runs(data: np.ndarray, at: int, filled: int, block: OpenBlock) -> int:
    """deflate_rle."""
    while True:
        length = 0
        if filled - at >= MIN_MATCH and at > 0 and data[at] == data[at - 1]:
            most = min(filled - at, MAX_MATCH)
            while length < most and data[at + length] == data[at - 1]:
                length += 1
        if length < MIN_MATCH:
            distance, value, length = 0, int(data[at]), 1
        else:
            distance, value = 1, length - MIN_MATCH
        _add(block, distance, value)
        at += length
        if filled - at <= MAX_MATCH or _is_full(block):
            return at


@internal()
def _take_greedily(search: Search, at: int, filled: int, block: OpenBlock) -> int:
    """deflate_fast."""
    while True:
        ahead = filled - at
        first = _insert(search, at) if ahead >= MIN_MATCH else 0
        length, match = NO_MATCH, 0
        if first != 0 and at - first <= search.farthest:
            length, match = _longest(search, at, ahead, first, length, match)
        if length >= MIN_MATCH:
            _add(block, at - match, length - MIN_MATCH)
            if length <= search.lazy and ahead - length >= MIN_MATCH:
                for i in range(1, length):
                    _insert(search, at + i)
            at += length
        else:
            _add(block, 0, search.data[at])
            at += 1
        if filled - at < MIN_LOOKAHEAD or _is_full(block):
            return at


@internal()
def _take_lazily(
    search: Search, at: int, filled: int, block: OpenBlock, length: int, match: int, pending: bool
) -> tuple[int, int, int, bool]:
    """deflate_slow: a match is only used if the next byte does not begin a longer one.

    length, match: of the place before, whose byte is pending if it has no token yet. Returns (the next place,
    length, match, pending).
    """
    while True:
        ahead = filled - at
        first = _insert(search, at) if ahead >= MIN_MATCH else 0
        last_length, last_match = length, match
        length = NO_MATCH
        if first != 0 and last_length < search.lazy and at - first <= search.farthest:
            length, match = _longest(search, at, ahead, first, last_length, last_match)
            if (search.strategy == FILTERED and length <= SHORT_FILTERED) or (
                length == MIN_MATCH and at - match > TOO_FAR
            ):
                length = NO_MATCH
        if last_length >= MIN_MATCH and length <= last_length:
            _add(block, at - 1 - last_match, last_length - MIN_MATCH)
            for i in range(1, min(last_length - 1, ahead - MIN_MATCH + 1)):
                _insert(search, at + i)
            at += last_length - 1
            length, pending = NO_MATCH, False
        else:
            if pending:
                _add(block, 0, search.data[at - 1])
            pending = True
            at += 1
        if filled - at < MIN_LOOKAHEAD or _is_full(block):
            return at, length, match, pending


# ---- matches -----------------------------------------------------------------------------------------------


@inlined()
def _insert(search: Search, at: int) -> int:
    """Make the three bytes here known; returns where they may have been last, or 0."""
    data, head, shift = search.data, search.head, search.hash_shift
    key = ((int(data[at]) << (2 * shift)) ^ (int(data[at + 1]) << shift) ^ int(data[at + 2])) & (
        (1 << search.hash_bits) - 1
    )
    first = head[key]
    search.before[at & (search.reach - 1)] = first
    head[key] = at
    return first


@internal()
def _longest(search: Search, at: int, ahead: int, first: int, best: int, match: int) -> tuple[int, int]:
    """longest_match: (length, place) of the first match that is longer than `best` and than all before it in
    the chain; else what was given.
    """
    data, before, ring, links = search.data, search.before, search.reach - 1, search.links
    limit = max(0, at - search.farthest)
    if best >= search.good:
        links >>= 2
    nice = min(search.nice, ahead)
    most = min(ahead, MAX_MATCH)
    place = first
    while True:
        if (
            best < most
            and data[place + best] == data[at + best]
            and data[place + best - 1] == data[at + best - 1]
            and data[place] == data[at]
        ):
            length = 0
            while length < most and data[place + length] == data[at + length]:
                length += 1
            if length > best:
                match, best = place, length
                if length >= nice:
                    break
        place = before[place & ring]
        links -= 1
        if place <= limit or links == 0:
            break
    return min(best, ahead), match
