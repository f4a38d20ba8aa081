"""The coded pixels of a sequential JPEG (ITU-T T.81, annex F): Huffman codes to coefficients, and back to the
same bytes. Knows tables and arrays; no segments, no files.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import BORROWING, compiled, inlined, internal
from codec.coder.decisions import bit_length
from codec.coder.jpeg.coefficients import ZIGZAG

MOST_BITS = 16  # of a code
SIZE_MAX = 15  # bits of a coefficient
END, RUN = 0, 0xF0  # symbols: no more coefficients; sixteen zeros
WRONG = -1  # what a function returns if there is no such code
OF_TABLES = (1 << MOST_BITS, np.int32), (256, np.int32), (256, np.uint8)  # of the three arrays of a table
_PLACES = np.array(ZIGZAG)


class Scan(NamedTuple):
    """How blocks follow each other, and by what codes."""

    parts: np.ndarray  # int64 (c, 6): first block, blocks of a row; rows and columns of a unit; its codes
    columns: np.ndarray  # int64 (1,): units of a row
    symbols: np.ndarray  # int32 (t, 65536): of the next 16 bits: 256 * length of the code + its symbol, or -1
    codes: np.ndarray  # int32 (t, 256): of a symbol, its code; and
    lengths: np.ndarray  # uint8 (t, 256): its length, 0 if there is none
    last: np.ndarray  # int64 (c,), working memory: means of the blocks before


def new_codes(counts: list[int], symbols: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """A table's rows of `Scan`, given how many codes each length has; None if it is no code."""
    found = np.full(1 << MOST_BITS, WRONG, np.int32)
    codes, lengths = np.zeros(256, np.int32), np.zeros(256, np.uint8)
    code = at = 0
    for length, count in enumerate(counts, 1):
        for symbol in symbols[at : at + count]:
            if code >= 1 << length:
                return None
            start = code << MOST_BITS - length
            found[start : start + (1 << MOST_BITS - length)] = 256 * length + symbol
            codes[symbol], lengths[symbol] = code, length
            code += 1
        at += count
        code <<= 1
    return found, codes, lengths


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
def _read_block(bits: Any, scan: Any, part: Any, block: Any) -> Any:
    """Returns whether there are such codes."""
    size = _read_symbol(bits, scan.symbols[scan.parts[part, 4]])
    if size < 0 or size > SIZE_MAX:
        return False
    scan.last[part] += _read_number(bits, size)
    block[0] = scan.last[part]
    k = 1
    while k < 64:
        symbol = _read_symbol(bits, scan.symbols[scan.parts[part, 5]])
        if symbol == END:
            return True
        if symbol == RUN:
            k += 16
            continue
        k += symbol >> 4
        if symbol < 0 or k > 63 or symbol & 15 == 0:
            return False
        block[_PLACES[k]] = _read_number(bits, symbol & 15)
        k += 1
    return k == 64


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
def _write_symbol(bits: Any, scan: Any, table: Any, symbol: Any) -> Any:
    length = np.int64(scan.lengths[table, symbol])
    _put(bits, np.int64(scan.codes[table, symbol]), length)
    return length > 0


@internal(**BORROWING)
def _write_block(bits: Any, scan: Any, part: Any, block: Any) -> Any:
    mean, ac = np.int64(block[0]), scan.parts[part, 5]
    number = mean - scan.last[part]
    scan.last[part] = mean
    size = np.int64(bit_length(abs(number)))
    if size > SIZE_MAX or not _write_symbol(bits, scan, scan.parts[part, 4], size):
        return False
    _put(bits, (number if number > 0 else number - 1) & ((1 << size) - 1), size)
    zeros = 0
    for k in range(1, 64):
        number = np.int64(block[_PLACES[k]])
        if number == 0:
            zeros += 1
            continue
        while zeros > 15:
            if not _write_symbol(bits, scan, ac, RUN):
                return False
            zeros -= 16
        size = np.int64(bit_length(abs(number)))
        if size > SIZE_MAX or not _write_symbol(bits, scan, ac, 16 * zeros + size):
            return False
        _put(bits, (number if number > 0 else number - 1) & ((1 << size) - 1), size)
        zeros = 0
    return zeros == 0 or _write_symbol(bits, scan, ac, END)


@compiled(**BORROWING)
def code_units(bits: Any, scan: Any, blocks: Any, first: Any, last: Any, writing: Any) -> Any:
    """Read or write units, which stand alone: blocks, int16 (n, 64), zeros before they are read. Returns
    whether there are such codes.
    """
    parts = scan.parts
    for part in range(parts.shape[0]):
        scan.last[part] = 0
    for unit in range(first, last):
        row, column = unit // scan.columns[0], unit % scan.columns[0]
        for part in range(parts.shape[0]):
            start, width, down, across = parts[part, 0], parts[part, 1], parts[part, 2], parts[part, 3]
            for i in range(down):
                for j in range(across):
                    block = blocks[start + (row * down + i) * width + column * across + j]
                    if writing:
                        if not _write_block(bits, scan, part, block):
                            return False
                    elif not _read_block(bits, scan, part, block):
                        return False
    return True


def read(data: bytes, scan: Scan, blocks: np.ndarray, first: int, last: int) -> int | None:
    """Read units, which stand alone, into blocks. Returns the bit that fills the last byte (-1: there is
    none to be filled); None if they are not what `write` would write.
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


def write(room: int, scan: Scan, blocks: np.ndarray, first: int, last: int, fill: int) -> bytes | None:
    """The inverse; None if it takes more than `room` bytes, or there are no such codes."""
    bits = Bits(np.empty(room, np.uint8), np.zeros(3, np.int64))
    if not code_units(bits, scan, blocks, first, last, True):
        return None
    at, left = int(bits.state[0]), int(bits.state[2])
    if at + (left > 0) > room:
        return None
    end = (int(bits.state[1]) & (1 << left) - 1) << 8 - left | ((1 << 8 - left) - 1) * fill
    return bits.data[:at].tobytes() + (bytes([end]) if left else b"")
