"""The codes of deflate streams (RFC 1951), and how a block's tokens and lengths of codes are kept. Knows the
format; not how compressors use it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ardm.compiled import inlined, internal

MIN_MATCH, MAX_MATCH = 3, 258
WINDOW = 32768  # the longest distance
STORED, FIXED_CODES, OWN_CODES = 0, 1, 2  # types of block
END = LITERALS = 256  # the symbol after a block's tokens; symbols below it are bytes, above it lengths
CODES, DISTANCES = 286, 30  # symbols: literals, END and lengths; distances
PRECODES = 19  # symbols for the lengths of these codes, which have codes themselves: the *precode*
LONGEST_CODE, LONGEST_PRECODE = 15, 7  # bits
LENGTH_BITS = np.array([0] * 8 + [i // 4 for i in range(4, 24)] + [0])  # extra bits by code
DISTANCE_BITS = np.array([0, 0] + [i // 2 for i in range(28)])
PRECODE_BITS = np.array([0] * 16 + [2, 3, 7])
# Symbols of the precode: up to 15 a length; the length before, 3 to 6 times; 0, 3 to 10 times, and 11
# to 138 times.
REPEAT_BEFORE, REPEAT_ZERO, REPEAT_ZERO_LONG = 16, 17, 18
PRECODE_ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15])
FIXED_LENGTHS = np.array([8] * 144 + [9] * 112 + [7] * 24 + [8] * 8)
FIXED_DISTANCES = np.full(DISTANCES, 5)
LEAST_HLIT, LEAST_HDIST, LEAST_HCLEN = 257, 1, 4  # numbers of codes are sent less these
MAX_LENGTHS = 320  # of a block's codes: what HLIT and HDIST can say
MAX_STORED = 65535  # bytes of a stored block

# A block's numbers, by their place in `Header.fields`: those of RFC 1951 (numbers of codes are whole, not
# less 257, 1 or 4), tokens or stored bytes, runs that say the codes' lengths, and the bits before a stored
# block's length.
BFINAL, BTYPE, SIZE, HLIT, HDIST, HCLEN, RUNS, PADDING = range(8)


def _bases(bits: np.ndarray) -> np.ndarray:
    """The first value of every code."""
    return np.concatenate([[0], np.cumsum(1 << bits)[:-1]])


LENGTH_BASE = np.concatenate([_bases(LENGTH_BITS[:-1]), [MAX_MATCH - MIN_MATCH]])
DISTANCE_BASE = _bases(DISTANCE_BITS)
# stands for a match of 258 bytes by the code of those from 227 on, which zlib never makes
ALIAS, ALIAS_CODE = 256, 27
LENGTH_CODE = np.append(np.searchsorted(LENGTH_BASE, np.arange(256), side="right") - 1, ALIAS_CODE)


class Tokens(NamedTuple):
    """Literals and matches of a block."""

    distances: np.ndarray  # int64 or uint16 (n,), 0 for a literal
    values: np.ndarray  # the same type and size: bytes, and lengths less MIN_MATCH, or ALIAS


class Header(NamedTuple):
    """What a block begins with, and the lengths of its codes."""

    fields: np.ndarray  # int64 (8,), by BFINAL .. PADDING
    lengths: np.ndarray  # int64 (MAX_LENGTHS,), of the codes of literals and lengths, then of distances
    precode: np.ndarray  # int64 (PRECODES,), lengths of the precode's codes
    runs: np.ndarray  # int64 (MAX_LENGTHS, 2), which say lengths: the precode's symbols, extra bits' values


@internal()
def new_header() -> Header:
    """Of nothing."""
    return Header(
        np.zeros(8, np.int64),
        np.zeros(MAX_LENGTHS, np.int64),
        np.zeros(PRECODES, np.int64),
        np.zeros((MAX_LENGTHS, 2), np.int64),
    )


@inlined()
def distance_code(distance: int) -> int:
    """The code of a distance less one: from 4 on, two codes for every power of 2."""
    if distance < 4:
        return distance
    high = 2
    while distance >> (high + 1):
        high += 1
    return 2 * high + (distance >> (high - 1) & 1)


@inlined()
def least_repeat(symbol: int) -> int:
    """How often a run with no extra bits set repeats a length."""
    return 11 if symbol == REPEAT_ZERO_LONG else 3


@internal()
def set_fixed_lengths(header: Header) -> None:
    """Those of the fixed codes, where a block has no others."""
    fields, lengths = header.fields, header.lengths
    fields[HLIT], fields[HDIST] = FIXED_LENGTHS.size, DISTANCES
    lengths[: FIXED_LENGTHS.size] = FIXED_LENGTHS
    lengths[FIXED_LENGTHS.size : FIXED_LENGTHS.size + DISTANCES] = FIXED_DISTANCES
