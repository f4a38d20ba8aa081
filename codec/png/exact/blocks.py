"""A block of a deflate stream, written bit by bit with the codes that zlib 1.2 and 1.3 would give it. Knows
tokens; not where they come from.

This is an altered version of zlib's trees.c, (C) 1995-2024 Jean-loup Gailly and Mark Adler, under its licence
(https://zlib.net/zlib_license.html). Names of its functions are given where they help.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ardm.compiled import inlined, internal
from codec.png.exact.codes import (
    CODES,
    DISTANCE_BASE,
    DISTANCE_BITS,
    DISTANCES,
    END,
    FIXED_CODES,
    FIXED_DISTANCES,
    FIXED_LENGTHS,
    HCLEN,
    HDIST,
    HLIT,
    LEAST_HCLEN,
    LEAST_HDIST,
    LEAST_HLIT,
    LENGTH_BASE,
    LENGTH_BITS,
    LENGTH_CODE,
    LITERALS,
    LONGEST_CODE,
    LONGEST_PRECODE,
    MAX_MATCH,
    MAX_STORED,
    MIN_MATCH,
    OWN_CODES,
    PRECODE_BITS,
    PRECODE_ORDER,
    PRECODES,
    REPEAT_BEFORE,
    REPEAT_ZERO,
    REPEAT_ZERO_LONG,
    RUNS,
    Header,
    Tokens,
    distance_code,
    new_header,
)

HEAP = 2 * CODES + 1  # symbols and inner nodes of the largest tree, and one
BITS_AROUND = 10  # the three bits before a block, and seven to fill a byte
FIXED = 4  # zlib's strategy: no codes but the fixed ones
NO_LENGTHS = np.zeros(PRECODES, dtype=np.int64)  # there are no fixed lengths of the precode


class BitWriter(NamedTuple):
    """Bits on their way into bytes, the lowest first."""

    out: np.ndarray  # uint8 (n,)
    state: np.ndarray  # int64 (3,): bits not yet written, their number, bytes written


HELD, HELD_COUNT, WRITTEN = range(3)  # places in `BitWriter.state`


class Alphabet(NamedTuple):
    """Symbols that have codes, and what these cost."""

    size: int
    fixed: np.ndarray  # int64 (size or more,), lengths of the fixed codes
    extra: np.ndarray  # int64, extra bits of the symbols from extra_from on
    extra_from: int
    longest: int  # code, bits


class Tree(NamedTuple):
    """A code while it is made. int64 (HEAP,), inner nodes after the symbols."""

    times: np.ndarray  # how often each symbol occurs
    heap: np.ndarray  # from 1 on: the nodes that have no parent yet; from the end: all others, rarest last
    depth: np.ndarray
    parent: np.ndarray
    lengths: np.ndarray


OF_LITERALS = Alphabet(CODES, FIXED_LENGTHS, LENGTH_BITS, LITERALS + 1, LONGEST_CODE)
OF_DISTANCES = Alphabet(DISTANCES, FIXED_DISTANCES, DISTANCE_BITS, 0, LONGEST_CODE)
OF_PRECODE = Alphabet(PRECODES, NO_LENGTHS, PRECODE_BITS, 0, LONGEST_PRECODE)


# ---- bits --------------------------------------------------------------------------------------------------


@inlined()
def send(writer: BitWriter, value: int, length: int) -> None:
    """Append bits, the lowest first."""
    out, state = writer.out, writer.state
    state[HELD] |= value << state[HELD_COUNT]
    state[HELD_COUNT] += length
    while state[HELD_COUNT] >= 8:
        out[state[WRITTEN]] = state[HELD] & 255
        state[WRITTEN] += 1
        state[HELD] >>= 8
        state[HELD_COUNT] -= 8


@inlined()
def fill_byte(writer: BitWriter) -> None:
    """bi_windup: zeros up to the byte's end."""
    if writer.state[HELD_COUNT]:
        send(writer, 0, 8 - writer.state[HELD_COUNT])


# ---- a block -----------------------------------------------------------------------------------------------


@internal()
def count_tokens(tokens: Tokens, count: int, literal_times: np.ndarray, distance_times: np.ndarray) -> None:
    """Add how often a block needs each code: of literals, lengths and its end, and of distances."""
    distances, values = tokens.distances, tokens.values
    literal_times[END] += 1
    for i in range(count):
        if distances[i]:
            literal_times[LITERALS + 1 + LENGTH_CODE[values[i]]] += 1
            distance_times[distance_code(distances[i] - 1)] += 1
        else:
            literal_times[values[i]] += 1


@internal()
def send_block(
    tokens: Tokens,
    count: int,
    stored: np.ndarray,
    storable: bool,
    strategy: int,
    last: bool,
    writer: BitWriter,
) -> None:
    """_tr_flush_block: the block as it is, with the fixed codes or with its own, whichever is shortest.
    stored: uint8, its data.
    """
    literal_times, distance_times = np.zeros(HEAP, np.int64), np.zeros(HEAP, np.int64)
    count_tokens(tokens, count, literal_times, distance_times)
    literals, literal_top, own, fixed = best_code(literal_times, OF_LITERALS)
    distances, distance_top, own_more, fixed_more = best_code(distance_times, OF_DISTANCES)
    header = new_header()
    fields, runs = header.fields, header.runs
    fields[HLIT], fields[HDIST] = literal_top + 1, distance_top + 1
    fields[RUNS] = _append_runs(literals, literal_top, runs, 0)
    fields[RUNS] = _append_runs(distances, distance_top, runs, fields[RUNS])
    own += own_more + _best_precode(header)
    own_bytes, fixed_bytes = (own + BITS_AROUND) >> 3, (fixed + fixed_more + BITS_AROUND) >> 3
    if fixed_bytes <= own_bytes or strategy == FIXED:
        own_bytes = fixed_bytes
    if stored.size + 4 <= own_bytes and storable:
        _send_stored(stored, last, writer)
        return
    if fixed_bytes == own_bytes:
        send(writer, int(last) + 2 * FIXED_CODES, 3)
        literals, distances = FIXED_LENGTHS, FIXED_DISTANCES
    else:
        send(writer, int(last) + 2 * OWN_CODES, 3)
        send_header(header, writer)
    send_tokens(tokens, count, literals, distances, writer)


@internal()
def _best_precode(header: Header) -> int:
    """build_bl_tree: set precode and HCLEN for the runs. Returns the bits that all of these take."""
    fields, runs = header.fields, header.runs
    times = np.zeros(HEAP, np.int64)
    for i in range(fields[RUNS]):
        times[runs[i, 0]] += 1
    precode, _, bits, _ = best_code(times, OF_PRECODE)
    header.precode[:] = precode
    top = PRECODES - 1
    while top >= LEAST_HCLEN - 1 and precode[PRECODE_ORDER[top]] == 0:
        top -= 1
    fields[HCLEN] = top + 1
    return bits + 3 * fields[HCLEN] + 14


@internal()
def _send_stored(stored: np.ndarray, last: bool, writer: BitWriter) -> None:
    """_tr_stored_block."""
    send(writer, int(last), 3)
    fill_byte(writer)
    send(writer, stored.size, 16)
    send(writer, ~stored.size & MAX_STORED, 16)
    for i in range(stored.size):
        send(writer, int(stored[i]), 8)


@internal()
def send_header(header: Header, writer: BitWriter) -> None:
    """send_all_trees: the codes of a block, as numbers of lengths, the precode, and runs."""
    fields, precode, runs = header.fields, header.precode, header.runs
    send(writer, fields[HLIT] - LEAST_HLIT, 5)
    send(writer, fields[HDIST] - LEAST_HDIST, 5)
    send(writer, fields[HCLEN] - LEAST_HCLEN, 4)
    for i in range(fields[HCLEN]):
        send(writer, precode[PRECODE_ORDER[i]], 3)
    codes = _codes(precode)
    for i in range(fields[RUNS]):
        symbol = runs[i, 0]
        send(writer, codes[symbol], precode[symbol])
        send(writer, runs[i, 1], PRECODE_BITS[symbol])


@internal()
def send_tokens(
    tokens: Tokens, count: int, literals: np.ndarray, distances: np.ndarray, writer: BitWriter
) -> None:
    """compress_block: literals and matches, and the end of the block. literals, distances: lengths of the
    codes.
    """
    literal_codes, distance_codes = _codes(literals), _codes(distances)
    for i in range(count):
        distance, value = np.int64(tokens.distances[i]), np.int64(tokens.values[i])
        if distance == 0:
            send(writer, literal_codes[value], literals[value])
            continue
        code = LENGTH_CODE[value]
        send(writer, literal_codes[LITERALS + 1 + code], literals[LITERALS + 1 + code])
        send(writer, min(value, MAX_MATCH - MIN_MATCH) - LENGTH_BASE[code], LENGTH_BITS[code])
        code = distance_code(int(distance) - 1)
        send(writer, distance_codes[code], distances[code])
        send(writer, distance - 1 - DISTANCE_BASE[code], DISTANCE_BITS[code])
    send(writer, literal_codes[END], literals[END])


# ---- codes -------------------------------------------------------------------------------------------------


@internal()
def best_code(times: np.ndarray, alphabet: Alphabet) -> tuple[np.ndarray, int, int, int]:
    """build_tree: (length of every code, the last that is used, bits of the block with these, and with the
    fixed lengths).

    times: how often each symbol occurs, int64 (HEAP,), of which the end is used for inner nodes.
    """
    tree = Tree(
        times,
        np.zeros(HEAP, np.int64),
        np.zeros(HEAP, np.int64),
        np.zeros(HEAP, np.int64),
        np.zeros(HEAP, np.int64),
    )
    heap = tree.heap
    own = by_fixed = used = 0
    top = -1
    for n in range(alphabet.size):
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
        by_fixed -= alphabet.fixed[node]
    bottom = _join_nodes(tree, used, alphabet.size)
    own_more, fixed_more = _set_lengths(tree, bottom, top, alphabet)
    return tree.lengths[: alphabet.size].copy(), top, own + own_more, by_fixed + fixed_more


@internal()
def _join_nodes(tree: Tree, used: int, size: int) -> int:
    """The rest of build_tree: join the two rarest nodes until one is left. Returns where in the heap's end
    all nodes begin, the root first.
    """
    times, heap, depth, parent, _ = tree
    for n in range(used // 2, 0, -1):
        _sift(tree, used, n)
    node, bottom = size, HEAP
    while used >= 2:
        one = heap[1]
        heap[1] = heap[used]
        used -= 1
        _sift(tree, used, 1)
        other = heap[1]
        bottom -= 2
        heap[bottom + 1], heap[bottom] = one, other
        times[node] = times[one] + times[other]
        depth[node] = max(depth[one], depth[other]) + 1
        parent[one] = parent[other] = node
        heap[1] = node
        node += 1
        _sift(tree, used, 1)
    bottom -= 1
    heap[bottom] = heap[1]
    return bottom


@internal()
def _sift(tree: Tree, used: int, k: int) -> None:
    """pqdownheap: let the node at k sink to its place."""
    times, heap, depth = tree.times, tree.heap, tree.depth
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


@inlined()
def _smaller(n: int, m: int, times: np.ndarray, depth: np.ndarray) -> bool:
    return times[n] < times[m] or (times[n] == times[m] and depth[n] <= depth[m])


@internal()
def _set_lengths(tree: Tree, bottom: int, top: int, alphabet: Alphabet) -> tuple[int, int]:
    """gen_bitlen: lengths from the tree, none of them too long. Returns the bits that the symbols take with
    these, and with the fixed lengths.
    """
    times, heap, _, parent, lengths = tree
    longest, extra, extra_from = alphabet.longest, alphabet.extra, alphabet.extra_from
    own = by_fixed = overflow = 0
    counts = np.zeros(LONGEST_CODE + 1, np.int64)
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
            by_fixed += times[n] * (alphabet.fixed[n] + more)
    if overflow > 0:
        own += _shorten(tree, counts, overflow, top, longest)
    return own, by_fixed


@internal()
def _shorten(tree: Tree, counts: np.ndarray, overflow: int, top: int, longest: int) -> int:
    """The rest of gen_bitlen: lengthen other codes, so that those which were cut short have room. counts: of
    codes by length. Returns the bits that this costs.
    """
    times, heap, _, _, lengths = tree
    while overflow > 0:
        bits = longest - 1
        while counts[bits] == 0:
            bits -= 1
        counts[bits] -= 1
        counts[bits + 1] += 2
        counts[longest] -= 1
        overflow -= 2
    cost, h = 0, HEAP
    for bits in range(longest, 0, -1):
        left = counts[bits]
        while left:
            h -= 1
            n = heap[h]
            if n <= top:
                cost += (bits - lengths[n]) * times[n]
                lengths[n] = bits
                left -= 1
    return cost


@internal()
def _append_runs(lengths: np.ndarray, top: int, runs: np.ndarray, used: int) -> int:
    """scan_tree: the lengths up to the last used as symbols of the precode and their extra bits' values,
    appended to runs. Returns their new number.
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
            runs[used, 0], runs[used, 1] = REPEAT_BEFORE, count - 3
            used += 1
        else:
            runs[used, 0], runs[used, 1] = (
                (REPEAT_ZERO, count - 3) if count <= 10 else (REPEAT_ZERO_LONG, count - 11)
            )
            used += 1
        previous = value
    return used


@internal()
def _codes(lengths: np.ndarray) -> np.ndarray:
    """gen_codes: the code of every symbol, its first bit lowest."""
    counts, start = np.zeros(17, np.int64), np.zeros(17, np.int64)
    for length in lengths:
        counts[length] += 1
    counts[0] = 0
    for bits in range(1, LONGEST_CODE + 1):
        start[bits] = (start[bits - 1] + counts[bits - 1]) << 1
    codes = np.zeros(lengths.size, np.int64)
    for n in range(lengths.size):
        code = start[lengths[n]]
        start[lengths[n]] += 1
        for _ in range(lengths[n]):
            codes[n] = codes[n] << 1 | code & 1
            code >>= 1
    return codes
