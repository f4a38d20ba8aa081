"""A deflate stream read block by block: its numbers, codes and tokens. Knows the format; the data only by how
many there can be.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import compiled, internal
from codec.png.exact.codes import (
    ALIAS,
    ALIAS_CODE,
    BFINAL,
    BTYPE,
    CODES,
    DISTANCE_BASE,
    DISTANCE_BITS,
    DISTANCES,
    END,
    HCLEN,
    HDIST,
    HLIT,
    LEAST_HCLEN,
    LEAST_HDIST,
    LEAST_HLIT,
    LENGTH_BASE,
    LENGTH_BITS,
    LITERALS,
    LONGEST_CODE,
    MAX_LENGTHS,
    MAX_MATCH,
    MAX_STORED,
    MIN_MATCH,
    OWN_CODES,
    PADDING,
    PRECODE_BITS,
    PRECODE_ORDER,
    REPEAT_BEFORE,
    RUNS,
    SIZE,
    STORED,
    least_repeat,
    set_fixed_lengths,
)

LENGTHS = LONGEST_CODE + 1  # of codes, 0 being that of symbols without one


class BitReader(NamedTuple):
    """Bits of a stream, the lowest of each byte first."""

    stream: np.ndarray  # uint8 (n,)
    state: np.ndarray  # int64 (2,): place of the next bit, whether there were too few


AT, SHORT = range(2)  # places in `BitReader.state`


@compiled(error_model="numpy")
def take(reader: Any, count: Any) -> Any:
    """A number of so many bits, or 0 if there are too few."""
    stream, state = reader.stream, reader.state
    value = 0
    for i in range(count):
        if state[AT] >= 8 * stream.size:
            state[SHORT] = 1
            return 0
        value |= (np.int64(stream[state[AT] >> 3]) >> (state[AT] & 7) & 1) << i
        state[AT] += 1
    return value


@internal(error_model="numpy")
def parse_block(reader: Any, left: Any, tokens: Any, header: Any) -> bool:
    """Read a block into `Tokens` and a `Header`, of both as much as it has. left: bytes of data there can be.
    Whether it was one.
    """
    fields = header.fields
    fields[BFINAL], fields[BTYPE] = take(reader, np.int64(1)), take(reader, np.int64(2))
    if fields[BTYPE] == STORED:
        return _parse_stored(reader, left, fields)
    if fields[BTYPE] > OWN_CODES:
        return False
    if fields[BTYPE] == OWN_CODES:
        if not _parse_header(reader, header):
            return False
    else:
        set_fixed_lengths(header)
    return _parse_tokens(reader, left, tokens, header)


@internal(error_model="numpy")
def _parse_stored(reader: Any, left: Any, fields: Any) -> bool:
    """Pass over the bytes of a stored block."""
    state = reader.state
    fields[PADDING] = take(reader, -state[AT] & 7)
    fields[SIZE] = take(reader, np.int64(16))
    same = take(reader, np.int64(16)) ^ fields[SIZE] == MAX_STORED
    state[AT] += 8 * fields[SIZE]
    return same and fields[SIZE] <= left and state[AT] <= 8 * reader.stream.size and not state[SHORT]


@internal(error_model="numpy")
def _parse_header(reader: Any, header: Any) -> bool:
    """Read the codes of a block that has its own."""
    fields, lengths, precode, runs = header.fields, header.lengths, header.precode, header.runs
    fields[HLIT] = take(reader, np.int64(5)) + LEAST_HLIT
    fields[HDIST] = take(reader, np.int64(5)) + LEAST_HDIST
    fields[HCLEN] = take(reader, np.int64(4)) + LEAST_HCLEN
    if fields[HLIT] > CODES or fields[HDIST] > DISTANCES:
        return False
    precode[:] = 0
    for i in range(fields[HCLEN]):
        precode[PRECODE_ORDER[i]] = take(reader, np.int64(3))
    table = _arrange(precode)
    n = used = 0
    size = fields[HLIT] + fields[HDIST]
    while n < size:
        symbol = _symbol(reader, table)
        if symbol < 0 or reader.state[SHORT]:
            return False
        runs[used, 0], runs[used, 1] = symbol, take(reader, PRECODE_BITS[symbol])
        amount = 1 if symbol < REPEAT_BEFORE else runs[used, 1] + least_repeat(symbol)
        if n + amount > size or (symbol == REPEAT_BEFORE and n == 0):
            return False
        value = symbol if symbol < REPEAT_BEFORE else lengths[n - 1] if symbol == REPEAT_BEFORE else 0
        for _ in range(amount):
            lengths[n] = value
            n += 1
        used += 1
    fields[RUNS] = used
    return True


@internal(error_model="numpy")
def _parse_tokens(reader: Any, left: Any, tokens: Any, header: Any) -> bool:
    """Read the tokens of a block whose codes are known."""
    fields, distances, values = header.fields, tokens.distances, tokens.values
    literal_table = _arrange(header.lengths[: fields[HLIT]])
    distance_table = _arrange(header.lengths[fields[HLIT] : fields[HLIT] + fields[HDIST]])
    n = 0
    while True:
        symbol = _symbol(reader, literal_table)
        if symbol == END:
            break
        if symbol < 0 or symbol >= LITERALS + 1 + LENGTH_BITS.size or left <= 0 or reader.state[SHORT]:
            return False
        if symbol < LITERALS:
            distances[n], values[n] = 0, symbol
            left -= 1
        else:
            code = symbol - LITERALS - 1
            length = LENGTH_BASE[code] + take(reader, LENGTH_BITS[code])
            values[n] = ALIAS if length == MAX_MATCH - MIN_MATCH and code == ALIAS_CODE else length
            code = _symbol(reader, distance_table)
            if code < 0 or code >= DISTANCES:
                return False
            distances[n] = DISTANCE_BASE[code] + 1 + take(reader, DISTANCE_BITS[code])
            left -= length + MIN_MATCH
        n += 1
    fields[SIZE] = n
    return left >= 0 and not reader.state[SHORT]


@internal(error_model="numpy")
def _arrange(lengths: Any) -> Any:
    """What `_symbol` reads with: int64 (LENGTHS + MAX_LENGTHS,), how many codes there are of each length, and
    then the symbols in the order of their codes.
    """
    table, starts = np.zeros(LENGTHS + MAX_LENGTHS, np.int64), np.zeros(LENGTHS + 1, np.int64)
    for n in range(lengths.size):
        table[lengths[n]] += 1
    table[0] = 0
    for bits in range(1, LENGTHS):
        starts[bits + 1] = starts[bits] + table[bits]
    for n in range(lengths.size):
        if lengths[n]:
            table[LENGTHS + starts[lengths[n]]] = n
            starts[lengths[n]] += 1
    return table


@internal(error_model="numpy")
def _symbol(reader: Any, table: Any) -> Any:
    """The next symbol, or -1."""
    code = first = index = 0
    for bits in range(1, LENGTHS):
        code |= take(reader, np.int64(1))
        count = table[bits]
        if code - first < count:
            return table[LENGTHS + index + code - first]
        index += count
        first = first + count << 1
        code <<= 1
    return -1
