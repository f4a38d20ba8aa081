"""The compressor of zlib 1.2 and 1.3, the same bytes on every machine: what makes a PNG file's own compressed
data again. Knows bytes only.

The zlib that a Python comes with may be another (zlib-ng, for one), with other output, so that it cannot be
relied on. This is an altered version of parts of zlib, (C) 1995-2024 Jean-loup Gailly and Mark Adler, under
its licence (https://zlib.net/zlib_license.html): with the whole input at hand it needs no window. Names of
zlib's functions are given where they help.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ardm.compiled import compiled

MIN_MATCH, MAX_MATCH = 3, 258
MIN_LOOKAHEAD = MAX_MATCH + MIN_MATCH + 1
TOO_FAR = 4096  # matches of three bytes that lie further back are not worth it
FILTERED, HUFFMAN, RLE, FIXED = 1, 2, 3, 4  # strategies; 0 is the default
LITERALS, END, CODES, DISTANCES, HEAP = 256, 256, 286, 30, 573
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
LENGTH_BITS = np.array([0] * 8 + [i // 4 for i in range(4, 24)] + [0])  # extra bits by code
DISTANCE_BITS = np.array([0, 0] + [i // 2 for i in range(28)])
ORDER_BITS = np.array([0] * 16 + [2, 3, 7])
ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15])
FIXED_LENGTHS = np.array([8] * 144 + [9] * 112 + [7] * 24 + [8] * 8)
FIXED_DISTANCES = np.full(DISTANCES, 5)
NO_LENGTHS = np.zeros(19, dtype=np.int64)


def _bases(bits: np.ndarray) -> np.ndarray:
    """The first value of every code."""
    return np.concatenate([[0], np.cumsum(1 << bits)[:-1]])


LENGTH_BASE = np.concatenate([_bases(LENGTH_BITS[:-1]), [255]])
DISTANCE_BASE = _bases(DISTANCE_BITS)
LONG = 256  # stands for a match of 258 bytes by the code of those from 227 on, which zlib never makes
LENGTH_CODE = np.append(np.searchsorted(LENGTH_BASE, np.arange(256), side="right") - 1, 27)


def deflate(
    data: np.ndarray, level: int, memory: int, strategy: int, window: int, expected: np.ndarray | None = None
) -> np.ndarray | None:
    """What zlib's deflate makes of data, uint8, with these arguments of deflateInit2, without its header.
    level: 1 to 9; memory: 1 to 9; strategy: 0 to 4; window: 9 to 15. expected: give up, and return None, once
    the result cannot be these bytes.
    """
    out = np.empty(data.size + data.size // 7 + 1024, dtype=np.uint8)
    padded = np.concatenate([data, np.zeros(MAX_MATCH, dtype=np.uint8)])
    nothing = np.zeros(0, dtype=np.uint8)
    size = _deflate(
        padded,
        data.size,
        out,
        level,
        memory,
        strategy,
        window,
        nothing if expected is None else expected,
        expected is not None,
    )
    return None if size < 0 else out[:size]


@compiled()
def _deflate(
    data: np.ndarray,
    end: int,
    out: np.ndarray,
    level: int,
    memory: int,
    strategy: int,
    window: int,
    expected: np.ndarray,
    compare: bool,
) -> int:
    """The number of bytes put into out, or -1 if they are not the expected ones."""
    good, lazy, nice, links = LEVELS[level]
    greedy = level < 4
    reach = 1 << window
    far = reach - MIN_LOOKAHEAD
    bits = memory + 7
    shift = (bits + 2) // 3
    head = np.zeros(1 << bits, dtype=np.int64)
    before = np.zeros(reach, dtype=np.int64)
    room = (1 << (memory + 6)) - 1
    distances, values = np.zeros(room, dtype=np.int64), np.zeros(room, dtype=np.int64)
    state = np.zeros(3, dtype=np.int64)  # bits not yet written, their number, bytes written
    count = block = checked = 0
    # zlib slides its window when it reads on; a block whose beginning has left the window cannot be stored as
    # it is.
    base = filled = 0
    need = 1 if strategy == HUFFMAN else MAX_MATCH + 1 if strategy == RLE else MIN_LOOKAHEAD
    at = 0
    length, match, available = MIN_MATCH - 1, 0, False
    while True:
        if filled - at < need:
            while True:
                if at - base >= reach + far:
                    base += reach
                if filled == end:
                    break
                filled = min(end, base + 2 * reach)
                if filled - at >= MIN_LOOKAHEAD:
                    break
            if filled == at:
                break
        ahead = filled - at
        if strategy == HUFFMAN:
            distances[count], values[count] = 0, data[at]
            count += 1
            at += 1
        elif strategy == RLE:
            length = 0
            if ahead >= MIN_MATCH and at > 0 and data[at] == data[at - 1]:
                most = min(ahead, MAX_MATCH)
                while length < most and data[at + length] == data[at - 1]:
                    length += 1
            if length >= MIN_MATCH:
                distances[count], values[count] = 1, length - MIN_MATCH
                at += length
            else:
                distances[count], values[count] = 0, data[at]
                at += 1
            count += 1
        elif greedy:  # deflate_fast
            first = _insert(data, at, head, before, bits, shift, reach) if ahead >= MIN_MATCH else 0
            length = MIN_MATCH - 1
            if first != 0 and at - first <= far:
                length, match = _longest(
                    data, at, ahead, first, length, match, before, reach, far, good, nice, links
                )
            if length >= MIN_MATCH:
                distances[count], values[count] = at - match, length - MIN_MATCH
                if length <= lazy and ahead - length >= MIN_MATCH:
                    for i in range(1, length):
                        _insert(data, at + i, head, before, bits, shift, reach)
                at += length
            else:
                distances[count], values[count] = 0, data[at]
                at += 1
            count += 1
        else:  # deflate_slow: a match is only used if the next byte does not begin a longer one
            first = _insert(data, at, head, before, bits, shift, reach) if ahead >= MIN_MATCH else 0
            last_length, last_match = length, match
            length = MIN_MATCH - 1
            if first != 0 and last_length < lazy and at - first <= far:
                length, match = _longest(
                    data, at, ahead, first, last_length, match, before, reach, far, good, nice, links
                )
                if length <= 5 and (strategy == FILTERED or (length == MIN_MATCH and at - match > TOO_FAR)):
                    length = MIN_MATCH - 1
            if last_length >= MIN_MATCH and length <= last_length:
                distances[count], values[count] = at - 1 - last_match, last_length - MIN_MATCH
                count += 1
                for i in range(1, last_length - 1):
                    if at + i <= at + ahead - MIN_MATCH:
                        _insert(data, at + i, head, before, bits, shift, reach)
                at += last_length - 1
                available, length = False, MIN_MATCH - 1
            else:
                if available:
                    distances[count], values[count] = 0, data[at - 1]
                    count += 1
                available = True
                at += 1
        if count == room:
            # A byte that is put off does not belong to the block yet.
            stop = at - 1 if available and not greedy and strategy not in (HUFFMAN, RLE) else at
            _flush(data, block, stop, block >= base, distances, values, count, strategy, False, out, state)
            block, count = stop, 0
            if compare and not _agree(out, state[2], expected, checked):
                return -1
            checked = state[2]
    if available:
        distances[count], values[count] = 0, data[at - 1]
        count += 1
    _flush(data, block, at, block >= base, distances, values, count, strategy, True, out, state)
    if state[1]:
        _send(out, state, 0, 8 - state[1])
    if compare and (state[2] != expected.size or not _agree(out, state[2], expected, checked)):
        return -1
    return state[2]


@njit(inline="always")
def _agree(out: np.ndarray, size: int, expected: np.ndarray, start: int) -> bool:
    return size <= expected.size and np.array_equal(out[start:size], expected[start:size])


@njit(inline="always")
def _insert(
    data: np.ndarray, at: int, head: np.ndarray, before: np.ndarray, bits: int, shift: int, reach: int
) -> int:
    """Make the three bytes here known; returns where they may have been last, or 0."""
    key = ((int(data[at]) << (2 * shift)) ^ (int(data[at + 1]) << shift) ^ int(data[at + 2])) & (
        (1 << bits) - 1
    )
    first = head[key]
    before[at & (reach - 1)] = first
    head[key] = at
    return first


@compiled()
def _longest(
    data: np.ndarray,
    at: int,
    ahead: int,
    first: int,
    best: int,
    match: int,
    before: np.ndarray,
    reach: int,
    far: int,
    good: int,
    nice: int,
    links: int,
) -> tuple[int, int]:
    """longest_match: (length, place) of the first match that is longer than `best` and than all before it in
    the chain; else what was given.
    """
    limit = max(0, at - far)
    if best >= good:
        links >>= 2
    nice = min(nice, ahead)
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
        place = before[place & (reach - 1)]
        links -= 1
        if place <= limit or links == 0:
            break
    return min(best, ahead), match


# ---- a block -----------------------------------------------------------------------------------------------


@compiled()
def count_tokens(
    distances: np.ndarray,
    values: np.ndarray,
    count: int,
    literal_times: np.ndarray,
    distance_times: np.ndarray,
) -> None:
    """Add how often a block needs each code: of literals, lengths and its end, and of distances."""
    literal_times[END] += 1
    for i in range(count):
        if distances[i]:
            literal_times[LITERALS + 1 + LENGTH_CODE[values[i]]] += 1
            distance_times[_distance_code(distances[i] - 1)] += 1
        else:
            literal_times[values[i]] += 1


@compiled()
def _flush(
    data: np.ndarray,
    start: int,
    stop: int,
    storable: bool,
    distances: np.ndarray,
    values: np.ndarray,
    count: int,
    strategy: int,
    last: bool,
    out: np.ndarray,
    state: np.ndarray,
) -> None:
    """_tr_flush_block: the block as it is, with the fixed codes or with its own, whichever is shortest."""
    literal_times, distance_times, order_times = (
        np.zeros(HEAP, np.int64),
        np.zeros(HEAP, np.int64),
        np.zeros(HEAP, np.int64),
    )
    count_tokens(distances, values, count, literal_times, distance_times)
    literals, literal_top, own, fixed = _tree(
        literal_times, CODES, FIXED_LENGTHS, LENGTH_BITS, LITERALS + 1, 15
    )
    distance, distance_top, own_more, fixed_more = _tree(
        distance_times, DISTANCES, FIXED_DISTANCES, DISTANCE_BITS, 0, 15
    )
    own, fixed = own + own_more, fixed + fixed_more
    runs = np.zeros((literal_top + distance_top + 2, 2), np.int64)
    used = _runs(literals, literal_top, runs, 0)
    used = _runs(distance, distance_top, runs, used)
    for i in range(used):
        order_times[runs[i, 0]] += 1
    order, _, own_more, _ = _tree(order_times, 19, NO_LENGTHS, ORDER_BITS, 0, 7)
    top = 18
    while top > 2 and order[ORDER[top]] == 0:
        top -= 1
    own += own_more + 3 * (top + 1) + 14
    own_bytes, fixed_bytes = (own + 10) >> 3, (fixed + 10) >> 3
    if fixed_bytes <= own_bytes or strategy == FIXED:
        own_bytes = fixed_bytes
    if stop - start + 4 <= own_bytes and storable:
        _send(out, state, int(last), 3)
        if state[1]:
            _send(out, state, 0, 8 - state[1])
        _send(out, state, stop - start, 16)
        _send(out, state, ~(stop - start) & 65535, 16)
        for i in range(start, stop):
            _send(out, state, int(data[i]), 8)
        return
    if fixed_bytes == own_bytes:
        _send(out, state, 2 + int(last), 3)
        literals, distance = FIXED_LENGTHS, FIXED_DISTANCES
    else:
        _send(out, state, 4 + int(last), 3)
        send_trees(literal_top + 1, distance_top + 1, top + 1, order, runs, used, out, state)
    send_tokens(distances, values, count, literals, distance, out, state)


@compiled()
def send_trees(
    literal_count: int,
    distance_count: int,
    order_count: int,
    order: np.ndarray,
    runs: np.ndarray,
    used: int,
    out: np.ndarray,
    state: np.ndarray,
) -> None:
    """send_all_trees: the codes of a block, as numbers of lengths, lengths of the codes of lengths, and the
    first `used` runs.
    """
    _send(out, state, literal_count - 257, 5)
    _send(out, state, distance_count - 1, 5)
    _send(out, state, order_count - 4, 4)
    for i in range(order_count):
        _send(out, state, order[ORDER[i]], 3)
    codes = _codes(order)
    for i in range(used):
        symbol = runs[i, 0]
        _send(out, state, codes[symbol], order[symbol])
        _send(out, state, runs[i, 1], ORDER_BITS[symbol])


@compiled()
def send_tokens(
    distances: np.ndarray,
    values: np.ndarray,
    count: int,
    literals: np.ndarray,
    distance: np.ndarray,
    out: np.ndarray,
    state: np.ndarray,
) -> None:
    """compress_block: literals and matches, and the end of the block. literals, distance: lengths of the
    codes.
    """
    literal_codes, distance_codes = _codes(literals), _codes(distance)
    for i in range(count):
        if distances[i] == 0:
            _send(out, state, literal_codes[values[i]], literals[values[i]])
            continue
        code = LENGTH_CODE[values[i]]
        _send(out, state, literal_codes[LITERALS + 1 + code], literals[LITERALS + 1 + code])
        _send(
            out, state, min(np.int64(values[i]), MAX_MATCH - MIN_MATCH) - LENGTH_BASE[code], LENGTH_BITS[code]
        )
        code = _distance_code(distances[i] - 1)
        _send(out, state, distance_codes[code], distance[code])
        _send(out, state, distances[i] - 1 - DISTANCE_BASE[code], DISTANCE_BITS[code])
    _send(out, state, literal_codes[END], literals[END])


@njit(inline="always")
def _send(out: np.ndarray, state: np.ndarray, value: int, length: int) -> None:
    """Append bits, the lowest first."""
    state[0] |= value << state[1]
    state[1] += length
    while state[1] >= 8:
        out[state[2]] = state[0] & 255
        state[2] += 1
        state[0] >>= 8
        state[1] -= 8


@njit(inline="always")
def _distance_code(distance: int) -> int:
    """The code of a distance less one: from 4 on, two codes for every power of 2."""
    if distance < 4:
        return distance
    high = 2
    while distance >> (high + 1):
        high += 1
    return 2 * high + (distance >> (high - 1) & 1)


@compiled()
def _tree(
    times: np.ndarray, size: int, fixed: np.ndarray, extra: np.ndarray, extra_from: int, longest: int
) -> tuple[np.ndarray, int, int, int]:
    """build_tree and gen_bitlen: (length of every code, the last that is used, bits of the block with these,
    and with the fixed lengths).

    times: how often each symbol occurs, int64 (HEAP,), of which the end is used for inner nodes.
    """
    heap, depth, parent, lengths = (
        np.zeros(HEAP, np.int64),
        np.zeros(HEAP, np.int64),
        np.zeros(HEAP, np.int64),
        np.zeros(HEAP, np.int64),
    )
    own = by_fixed = used = 0
    top, bottom = -1, HEAP
    for n in range(size):
        if times[n]:
            used += 1
            heap[used] = top = n
    while used < 2:  # the format wants two codes at least
        node = 0
        if top < 2:
            top += 1
            node = top
        used += 1
        heap[used] = node
        times[node] = 1
        own -= 1
        by_fixed -= fixed[node]
    for n in range(used // 2, 0, -1):
        _sift(heap, used, n, times, depth)
    node = size
    while used >= 2:
        one = heap[1]
        heap[1] = heap[used]
        used -= 1
        _sift(heap, used, 1, times, depth)
        other = heap[1]
        bottom -= 2
        heap[bottom + 1], heap[bottom] = one, other
        times[node] = times[one] + times[other]
        depth[node] = max(depth[one], depth[other]) + 1
        parent[one] = parent[other] = node
        heap[1] = node
        node += 1
        _sift(heap, used, 1, times, depth)
    bottom -= 1
    heap[bottom] = heap[1]
    counts = np.zeros(longest + 1, np.int64)
    overflow = 0
    for h in range(bottom + 1, HEAP):
        n = heap[h]
        bits = lengths[parent[n]] + 1
        if bits > longest:
            bits = longest
            overflow += 1
        lengths[n] = bits
        if n <= top:
            counts[bits] += 1
            more = extra[n - extra_from] if n >= extra_from else 0
            own += times[n] * (bits + more)
            by_fixed += times[n] * (fixed[n] + more)
    if overflow > 0:
        while overflow > 0:
            bits = longest - 1
            while counts[bits] == 0:
                bits -= 1
            counts[bits] -= 1
            counts[bits + 1] += 2
            counts[longest] -= 1
            overflow -= 2
        h = HEAP
        for bits in range(longest, 0, -1):
            n = counts[bits]
            while n:
                h -= 1
                m = heap[h]
                if m <= top:
                    own += (bits - lengths[m]) * times[m]
                    lengths[m] = bits
                    n -= 1
    return lengths[:size].copy(), top, own, by_fixed


@compiled()
def _sift(heap: np.ndarray, used: int, k: int, times: np.ndarray, depth: np.ndarray) -> None:
    """pqdownheap: let the node at k sink to its place."""
    node = heap[k]
    j = 2 * k
    while j <= used:
        if j < used and _smaller(heap[j + 1], heap[j], times, depth):
            j += 1
        if _smaller(node, heap[j], times, depth):
            break
        heap[k] = heap[j]
        k = j
        j *= 2
    heap[k] = node


@njit(inline="always")
def _smaller(n: int, m: int, times: np.ndarray, depth: np.ndarray) -> bool:
    return times[n] < times[m] or (times[n] == times[m] and depth[n] <= depth[m])


@compiled()
def _runs(lengths: np.ndarray, top: int, runs: np.ndarray, used: int) -> int:
    """scan_tree: the lengths up to the last used as symbols 0 to 18 and their extra bits' values, appended to
    runs. Returns their new number.
    """
    previous, n = -1, 0
    while n <= top:
        value = lengths[n]
        most, least = (138, 3) if value == 0 else (6, 3) if value == previous else (7, 4)
        count = 1
        while count < most and n + count <= top and lengths[n + count] == value:
            count += 1
        n += count
        if count < least:
            for _ in range(count):
                runs[used, 0] = value
                used += 1
        elif value:
            if value != previous:
                runs[used, 0] = value
                used += 1
                count -= 1
            runs[used, 0], runs[used, 1] = 16, count - 3
            used += 1
        else:
            runs[used, 0], runs[used, 1] = (17, count - 3) if count <= 10 else (18, count - 11)
            used += 1
        previous = value
    return used


@compiled()
def _codes(lengths: np.ndarray) -> np.ndarray:
    """gen_codes: the code of every symbol, its first bit lowest."""
    counts, start = np.zeros(17, np.int64), np.zeros(17, np.int64)
    for length in lengths:
        counts[length] += 1
    counts[0] = 0
    for bits in range(1, 16):
        start[bits] = (start[bits - 1] + counts[bits - 1]) << 1
    codes = np.zeros(lengths.size, np.int64)
    for n in range(lengths.size):
        code = start[lengths[n]]
        start[lengths[n]] += 1
        for _ in range(lengths[n]):
            codes[n] = codes[n] << 1 | code & 1
            code >>= 1
    return codes
