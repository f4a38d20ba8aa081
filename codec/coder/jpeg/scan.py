"""The coded pixels of a JPEG's scan (ITU-T T.81, annexes F and G): Huffman codes to coefficients, and back to
the same bytes. Knows tables and arrays; no segments, no files.

A sequential scan is one whose band is the whole block, none of whose bits come later, and whose runs are of
one block; so both sorts have one reader, and one writer. The writer's choices, where T.81 leaves some, are
those of libjpeg.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import BORROWING, compiled, inlined, internal
from codec.coder.decisions import bit_length
from codec.coder.jpeg.coefficients import ZIGZAG

MOST_BITS = 16  # of a code
SIZE_MAX = 15  # bits of a coefficient
MOST_LATE = 937  # bits that wait for the end of a run, after which libjpeg ends it
ROOM = 1000  # of them, with those of one more block
RUN = 0xF0  # a symbol: sixteen zeros
WRONG = -1  # what a function returns if there is no such code
TABLES = 8  # of codes: four for means, four for all else
_PLACES = np.array(ZIGZAG)
Codes = tuple[list[int], bytes]  # of a table: how many codes each length has; their symbols


class Band(NamedTuple):
    """What of each block a scan holds: T.81's Ss, Se, Ah, Al."""

    first: int
    last: int
    high: int
    low: int


WHOLE = Band(0, 63, 0, 0)


class Scan(NamedTuple):
    """How blocks follow each other, what of them is said, and by what codes."""

    parts: np.ndarray  # int64 (c, 6): first block, blocks of a row; rows and columns of a unit; its codes
    columns: np.ndarray  # int64 (1,): units of a row
    band: np.ndarray  # int64 (5,): a `Band`; blocks of the longest run
    symbols: np.ndarray  # int32 (t, 65536): of the next 16 bits: 256 * length of the code + its symbol, or -1
    codes: np.ndarray  # int32 (t, 256): of a symbol, its code; and
    lengths: np.ndarray  # uint8 (t, 256): its length, 0 if there is none
    # working memory
    last: np.ndarray  # int64 (c,): means of the blocks before
    run: np.ndarray  # int64 (2,): blocks whose band has ended; how many bits wait for the run's end
    late: np.ndarray  # uint8 (ROOM,): these bits
    own: np.ndarray  # uint8 (64,): those of the block that is written


def new_scan(
    parts: Sequence[tuple[int, ...]], columns: int, band: Band, sequential: bool, tables: dict[int, Codes]
) -> Scan | None:
    """parts, columns: as of `Scan`. tables: of means by number, of all else by number + 4. None if one that
    is used is no code; one that is not there has no symbols.
    """
    symbols = np.full((TABLES, 1 << MOST_BITS), WRONG, np.int32)
    codes, lengths = np.zeros((TABLES, 256), np.int32), np.zeros((TABLES, 256), np.uint8)
    for number in {table for part in parts for table in part[4:]} & set(tables):
        if not _number_codes(*tables[number], symbols[number], codes[number], lengths[number]):
            return None
    # An encoder that has no codes for long runs makes none. There are codes up to 32767 blocks.
    known = [size for size in range(RUN >> 4) for part in parts if lengths[part[5], size << 4]]
    most = 1 if sequential or not known else (2 << max(known)) - 1
    return Scan(
        np.array(parts, np.int64),
        np.array([columns]),
        np.array([*band, most]),
        symbols,
        codes,
        lengths,
        np.zeros(len(parts), np.int64),
        np.zeros(2, np.int64),
        np.zeros(ROOM, np.uint8),
        np.zeros(64, np.uint8),
    )


def _number_codes(
    counts: list[int], listed: bytes, found: np.ndarray, codes: np.ndarray, lengths: np.ndarray
) -> bool:
    """Fill a table's rows of `Scan`; False if it is no code."""
    code = at = 0
    for length, count in enumerate(counts, 1):
        for symbol in listed[at : at + count]:
            if code >= 1 << length:
                return False
            start = code << MOST_BITS - length
            found[start : start + (1 << MOST_BITS - length)] = 256 * length + symbol
            codes[symbol], lengths[symbol] = code, length
            code += 1
        at += count
        code <<= 1
    return True


class Bits(NamedTuple):
    """A place in bytes, at which bits are read or written."""

    data: np.ndarray  # uint8 (n,)
    state: np.ndarray  # int64 (3,): next byte; bits at hand, and how many


@inlined(**BORROWING)
def _fill(bits: Any) -> None:
    """Have 16 bits at hand; beyond the end they are 0."""
    data, state = bits
    while state[2] < MOST_BITS:
        byte = np.int64(data[state[0]]) if state[0] < data.size else np.int64(0)
        state[0] += 1
        state[1] = (state[1] << 8 | byte) & 0xFFFFFFFF
        state[2] += 8


@internal(**BORROWING)
def _take(bits: Any, count: Any) -> Any:
    """The next bits, up to 16."""
    _fill(bits)
    state = bits.state
    state[2] -= count
    return (state[1] >> state[2]) & ((1 << count) - 1)


@internal(**BORROWING)
def _read_symbol(bits: Any, symbols: Any) -> Any:
    _fill(bits)
    state = bits.state
    found = np.int64(symbols[(state[1] >> (state[2] - MOST_BITS)) & 0xFFFF])
    if found < 0:
        return WRONG
    state[2] -= found >> 8
    return found & 255


@internal(**BORROWING)
def _read_number(bits: Any, size: Any) -> Any:
    """A number of so many bits, of either sign."""
    if size == 0:
        return np.int64(0)
    value = _take(bits, size)
    return value if value >> (size - 1) else value - (1 << size) + 1


@internal(**BORROWING)
def _read_mean(bits: Any, scan: Any, part: Any, block: Any) -> Any:
    """Returns whether there are such codes."""
    low = scan.band[3]
    if scan.band[2]:
        block[0] |= _take(bits, 1) << low
        return True
    size = _read_symbol(bits, scan.symbols[scan.parts[part, 4]])
    if size < 0 or size > SIZE_MAX:
        return False
    scan.last[part] += _read_number(bits, size)
    block[0] = scan.last[part] << low
    return True


@internal(**BORROWING)
def _pass_over(bits: Any, scan: Any, block: Any, k: Any, zeros: Any) -> Any:
    """Read one more bit of every coefficient that is known not to be zero, until so many zeros have been
    passed; returns the place of the next one.
    """
    step = 1 << scan.band[3]
    while k <= scan.band[1]:
        value = np.int64(block[_PLACES[k]])
        if value == 0:
            if zeros == 0:
                break
            zeros -= 1
        elif _take(bits, 1):
            block[_PLACES[k]] = value + (step if value > 0 else -step)
        k += 1
    return k


@internal(**BORROWING)
def _read_band(bits: Any, scan: Any, part: Any, block: Any) -> Any:
    """Returns whether there are such codes."""
    last, refining = scan.band[1], scan.band[2] > 0
    k = max(np.int64(1), scan.band[0])
    if scan.run[0] == 0:
        while k <= last:
            symbol = _read_symbol(bits, scan.symbols[scan.parts[part, 5]])
            zeros, size = symbol >> 4, symbol & 15
            if symbol < 0 or (refining and size > 1):
                return False
            if size == 0 and symbol != RUN:
                scan.run[0] = (1 << zeros) + _take(bits, zeros)
                break
            value = _read_number(bits, size) << scan.band[3]
            k = _pass_over(bits, scan, block, k, zeros)
            if k > last:
                return False
            block[_PLACES[k]] = value
            k += 1
    if scan.run[0] > 0:
        _pass_over(bits, scan, block, k, np.int64(64))
        scan.run[0] -= 1
    return True


@internal(**BORROWING)
def _put(bits: Any, value: Any, count: Any) -> None:
    """Write so many bits, up to 16; beyond the end they are lost."""
    data, state = bits
    state[1] = (state[1] << count | value) & 0xFFFFFFFF
    state[2] += count
    while state[2] >= 8:
        state[2] -= 8
        if state[0] < data.size:
            data[state[0]] = (state[1] >> state[2]) & 255
        state[0] += 1


@internal(**BORROWING)
def _put_bits(bits: Any, values: Any, count: Any) -> None:
    for i in range(count):
        _put(bits, np.int64(values[i]), np.int64(1))


@internal(**BORROWING)
def _write_symbol(bits: Any, scan: Any, table: Any, symbol: Any) -> Any:
    length = np.int64(scan.lengths[table, symbol])
    _put(bits, np.int64(scan.codes[table, symbol]), length)
    return length > 0


@internal(**BORROWING)
def _write_number(bits: Any, scan: Any, table: Any, zeros: Any, size: Any, negative: Any) -> Any:
    """A number, given without its sign, after so many zeros. Returns whether there is such a code."""
    length = np.int64(bit_length(size))
    if length > SIZE_MAX or not _write_symbol(bits, scan, table, 16 * zeros + length):
        return False
    _put(bits, (~size if negative else size) & ((1 << length) - 1), length)
    return True


@internal(**BORROWING)
def _write_mean(bits: Any, scan: Any, part: Any, block: Any) -> Any:
    mean = np.int64(block[0]) >> scan.band[3]
    if scan.band[2]:
        _put(bits, mean & 1, np.int64(1))
        return True
    number = mean - scan.last[part]
    scan.last[part] = mean
    return _write_number(bits, scan, scan.parts[part, 4], 0, abs(number), number < 0)


@internal(**BORROWING)
def _end_run(bits: Any, scan: Any, part: Any) -> Any:
    """Say how many blocks' bands have ended, if any have, and the bits that waited for it. Returns whether
    there is such a code.
    """
    count = scan.run[0]
    if count == 0:
        return True
    size = np.int64(bit_length(count)) - 1
    known = _write_symbol(bits, scan, scan.parts[part, 5], 16 * size)
    _put(bits, count & ((1 << size) - 1), size)
    _put_bits(bits, scan.late, scan.run[1])
    scan.run[0] = scan.run[1] = 0
    return known


@internal(**BORROWING)
def _write_band(bits: Any, scan: Any, part: Any, block: Any) -> Any:
    first, last, low = max(np.int64(1), scan.band[0]), scan.band[1], scan.band[3]
    end = 0  # the last coefficient that has not been known not to be zero
    for k in range(first, last + 1):
        size = abs(np.int64(block[_PLACES[k]])) >> low
        if size == 1 or (size > 0 and scan.band[2] == 0):
            end = k
    zeros = held = 0
    for k in range(first, last + 1):
        value = np.int64(block[_PLACES[k]])
        size = abs(value) >> low
        if size == 0:
            zeros += 1
            continue
        while zeros > 15 and k <= end:
            if not _end_run(bits, scan, part) or not _write_symbol(bits, scan, scan.parts[part, 5], RUN):
                return False
            _put_bits(bits, scan.own, held)
            zeros, held = zeros - 16, 0
        if scan.band[2] and size > 1:
            scan.own[held] = size & 1
            held += 1
            continue
        if not _end_run(bits, scan, part):
            return False
        if not _write_number(bits, scan, scan.parts[part, 5], zeros, size, value < 0):
            return False
        _put_bits(bits, scan.own, held)
        zeros = held = 0
    if zeros == 0 and held == 0:
        return True
    for i in range(held):
        scan.late[scan.run[1] + i] = scan.own[i]
    scan.run[0] += 1
    scan.run[1] += held
    if scan.run[0] == scan.band[4] or scan.run[1] > MOST_LATE:
        return _end_run(bits, scan, part)
    return True


@internal(**BORROWING)
def _code_block(bits: Any, scan: Any, part: Any, block: Any, writing: Any) -> Any:
    """What of a block the scan holds. Returns whether there are such codes."""
    known = True
    if scan.band[0] == 0:
        known = _write_mean(bits, scan, part, block) if writing else _read_mean(bits, scan, part, block)
    if known and scan.band[1] > 0:
        known = _write_band(bits, scan, part, block) if writing else _read_band(bits, scan, part, block)
    return known


@compiled(**BORROWING)
def code_units(bits: Any, scan: Any, blocks: Any, first: Any, last: Any, writing: Any) -> Any:
    """Read or write units, which stand alone: blocks, int16 (n, 64), zeros before they are first read.
    Returns whether there are such codes.
    """
    parts = scan.parts
    for part in range(parts.shape[0]):
        scan.last[part] = 0
    scan.run[0] = scan.run[1] = 0
    for unit in range(first, last):
        row, column = unit // scan.columns[0], unit % scan.columns[0]
        for part in range(parts.shape[0]):
            start, width, down, across = parts[part, 0], parts[part, 1], parts[part, 2], parts[part, 3]
            for i in range(down):
                for j in range(across):
                    block = blocks[start + (row * down + i) * width + column * across + j]
                    if not _code_block(bits, scan, part, block, writing):
                        return False
    return _end_run(bits, scan, 0) if writing else scan.run[0] == 0


def read_units(data: bytes, scan: Scan, blocks: np.ndarray, first: int, last: int) -> int | None:
    """Read units, which stand alone, into blocks. Returns the bit that fills the last byte (-1: there is
    none to be filled); None if they are not what `write_units` would write.
    """
    bits = Bits(np.frombuffer(data, np.uint8).copy(), np.zeros(3, np.int64))
    if not code_units(bits, scan, blocks, first, last, False):
        return None
    left = 8 * len(data) - (8 * int(bits.state[0]) - int(bits.state[2]))
    if not 0 <= left < 8:
        return None
    if not left:
        return -1
    end = data[-1] & (1 << left) - 1
    return {0: 0, (1 << left) - 1: 1}.get(end)


def write_units(room: int, scan: Scan, blocks: np.ndarray, first: int, last: int, fill: int) -> bytes | None:
    """The inverse; None if it takes more than `room` bytes, or there are no such codes."""
    bits = Bits(np.empty(room, np.uint8), np.zeros(3, np.int64))
    if not code_units(bits, scan, blocks, first, last, True):
        return None
    at, left = int(bits.state[0]), int(bits.state[2])
    if at + (left > 0) > room:
        return None
    end = (int(bits.state[1]) & (1 << left) - 1) << 8 - left | ((1 << 8 - left) - 1) * fill
    return bits.data[:at].tobytes() + (bytes([end]) if left else b"")
