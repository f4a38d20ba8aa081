"""A JPEG file by its coefficients, which takes a fifth less, and the very bytes of it again. Knows a JPEG's
segments; nothing of .ardm files.

Only a sequential JPEG by Huffman codes, in one scan, whose bytes are made again of its coefficients is
packed; all else is for others to keep. Specified in docs/format/jpeg-file.md.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from codec.coder.decisions import BinaryCoder
from codec.coder.jpeg import coefficients as blocks
from codec.coder.jpeg import scan as scans
from codec.coder.jpeg.coder import check_compiled
from codec.coder.jpeg.coefficients import ZIGZAG, Grid
from codec.coder.jpeg.dct import COEFFICIENT_MAX, SIDE
from codec.coder.jpeg.scan import Scan
from codec.container import read_varint, varint
from codec.ending import check
from codec.errors import CorruptError, TruncatedError

SOI, SEQUENTIAL, SCAN = b"\xff\xd8", (0xC0, 0xC1), 0xDA
CODES, STEPS, INTERVAL = 0xC4, 0xDB, 0xDD
OTHER_FRAMES = [mark for mark in range(0xC2, 0xD0) if mark not in (0xC4, 0xC8, 0xCC)]
_END = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # of coded pixels
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
MOST_UNITS = 10  # blocks of a unit (T.81, B.2.3)
BITS_OF_BLOCK = 2  # at least, of two codes
MOST_BYTES = 512  # of a block's codes; there can be 464, if all of them are FF and 00 by turns
MOST_HEAD = 1 << 24  # bytes of the segments before the coded pixels
Codes = tuple[list[int], bytes]  # how many codes each length has; their symbols


class UnfitError(Exception):
    """A JPEG that is not packed here."""


class Frame(NamedTuple):
    """What the segments before the coded pixels say."""

    size: tuple[int, int]  # rows and columns of pixels
    scan: Scan
    steps: list[np.ndarray]  # of each component, int64 (64,), row by row
    shapes: list[tuple[int, int]]  # of each, rows and columns of blocks
    units: int
    interval: int  # units between restarts; all, if there are none
    end: int  # of the segments, where the coded pixels begin


def pack(source: bytes, height: int, width: int, channels: int) -> bytes | None:
    """The payload of a JPEG file, whose picture is said to have so many rows, columns and channels; None of
    one that is not packed here.
    """
    try:
        frame = _frame(source)
        found = _END.search(source, frame.end)
        if not found or (*frame.size, len(frame.steps)) != (height, width, channels):
            raise UnfitError
        head, coded, tail = source[: frame.end], source[frame.end : found.start()], source[found.start() :]
        if len(head) > MOST_HEAD:
            raise UnfitError
        if 8 * len(coded) < BITS_OF_BLOCK * _count(frame):
            raise UnfitError
        coefficients, fill = _read(coded, frame)
        if _write(frame, coefficients, fill, len(coded)) != coded:
            raise UnfitError
        grids = _grids(frame)
        for grid, part in zip(grids, _parts(frame, coefficients), strict=True):
            _check_range(part)
            grid.coefficients[1:, 1:] = part
    except UnfitError:
        return None
    check_compiled()
    limit = len(source) // 4
    coder = blocks.new_encoder(limit, max(grid.coefficients[0].size for grid in grids))
    if not _code(coder, grids, limit):
        return None
    words = coder.sealed()
    if len(words) < blocks.least_bytes(len(coefficients)):
        return None
    packed = zlib.compress(head, 9)
    lengths = varint(len(packed)) + varint(len(coded)) + varint(len(tail))
    return bytes([fill]) + lengths + packed + tail + words


def restore(payload: bytes, height: int, width: int, channels: int) -> bytes:
    """The file again. height, width, channels: of the picture, as is known; others are refused before
    anything is decoded. Raises CorruptError, TruncatedError, UnsupportedError.
    """
    if not payload:
        raise TruncatedError("its data is cut short.")
    fill, at = payload[0], 1
    lengths = []
    for _ in range(3):
        length, at = read_varint(payload, at)
        lengths.append(length)
    head_end = at + lengths[0]
    tail_end = head_end + lengths[2]
    if tail_end > len(payload) or (len(payload) - tail_end) % 4:
        raise TruncatedError("its data is cut short.")
    try:
        head = _inflated(payload[at:head_end])
        frame = _frame(head)
        if fill > 1 or frame.end != len(head):
            raise UnfitError
        if (*frame.size, len(frame.steps)) != (height, width, channels):
            raise UnfitError
        count = _count(frame)
        if blocks.least_bytes(count) > len(payload) - tail_end or lengths[1] > MOST_BYTES * count:
            raise UnfitError
        check_compiled()
        grids = _grids(frame)
        coder = blocks.new_decoder(payload[tail_end:])
        _code(coder, grids)
        if not coder.exhausted():
            raise UnfitError
        coefficients = np.concatenate([grid.coefficients[1:, 1:].reshape(-1, SIDE**2) for grid in grids])
        coded = _write(frame, coefficients, fill, lengths[1])
    except UnfitError:
        coded = None
    if coded is None or len(coded) != lengths[1]:
        raise CorruptError("the coefficients of a JPEG do not fit its segments.")
    return head + coded + payload[head_end:tail_end]


# ---- segments ----------------------------------------------------------------------------------------------


def _segments(source: bytes) -> Iterator[tuple[int, bytes, int]]:
    """(kind, data, where it ends) of the segments before the coded pixels. Raises UnfitError."""
    mark, at = 0, len(SOI)
    if not source.startswith(SOI):
        raise UnfitError
    while mark != SCAN:
        end = at + 2 + int.from_bytes(source[at + 2 : at + 4], "big")
        if source[at : at + 1] != b"\xff" or end < at + 4 or end > len(source):
            raise UnfitError
        mark = source[at + 1]
        yield mark, source[at + 4 : end], end
        at = end


def _frame(source: bytes) -> Frame:
    """Of a JPEG, or of its segments before the coded pixels. Raises UnfitError."""
    steps: dict[int, np.ndarray] = {}
    codes: dict[int, Codes] = {}
    frame = scan = b""
    interval = start = 0
    for mark, data, end in _segments(source):
        if mark == STEPS:
            steps |= _tables_of_steps(data)
        elif mark == CODES:
            codes |= _tables_of_codes(data)
        elif mark in OTHER_FRAMES or (mark in SEQUENTIAL and frame) or (mark == INTERVAL and len(data) != 2):
            raise UnfitError
        elif mark in SEQUENTIAL:
            frame = data
        elif mark == INTERVAL:
            interval = int.from_bytes(data, "big")
        elif mark == SCAN:
            scan, start = data, end
    return _laid_out(frame, scan, steps, codes, interval, start)


def _tables_of_steps(data: bytes) -> dict[int, np.ndarray]:
    found: dict[int, np.ndarray] = {}
    while data:
        if data[0] >> 4 > 1:
            raise UnfitError
        size = 2 if data[0] >> 4 else 1
        values, data, number = data[1 : 1 + 64 * size], data[1 + 64 * size :], data[0] & 15
        if len(values) != 64 * size:
            raise UnfitError
        table = np.zeros(64, np.int64)
        table[list(ZIGZAG)] = np.frombuffer(values, np.uint8 if size == 1 else ">u2")
        if not table.all():
            raise UnfitError
        found[number] = table
    return found


def _tables_of_codes(data: bytes) -> dict[int, Codes]:
    """Those of means by their number, all others with 4 more."""
    found = {}
    while data:
        number, counts = data[0], list(data[1:17])
        size = 17 + sum(counts)
        if len(data) < size or number & 0xEC:
            raise UnfitError
        found[number >> 2 | number & 3], data = (counts, data[17:size]), data[size:]
    return found


def _laid_out(
    frame: bytes, scan: bytes, steps: dict[int, np.ndarray], codes: dict[int, Codes], interval: int, end: int
) -> Frame:
    """Of the segments' data. Raises UnfitError."""
    count = frame[5] if len(frame) > 5 else 0
    if count not in (1, 3) or frame[0] != 8 or len(frame) != 6 + 3 * count or len(scan) != 4 + 2 * count:
        raise UnfitError
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    parts = [frame[6 + 3 * i : 9 + 3 * i] for i in range(count)]
    named = [scan[1 + 2 * i : 3 + 2 * i] for i in range(count)]
    ids = [part[0] for part in parts]
    if (
        scan[0] != count
        or scan[-3:] != b"\0\x3f\0"
        or ids != [name[0] for name in named]
        or not height * width
    ):
        raise UnfitError
    down, across = [part[1] & 15 for part in parts], [part[1] >> 4 for part in parts]
    if any(name[1] & 0xCC for name in named):
        raise UnfitError
    tables = [(name[1] >> 4, 4 + (name[1] & 15)) for name in named]
    known = all(part[2] in steps for part in parts) and all(t in codes for pair in tables for t in pair)
    if not known or min(down + across) < 1 or max(down + across) > 4:
        raise UnfitError
    if count == 1:
        down, across = [1], [1]
    if sum(d * a for d, a in zip(down, across, strict=True)) > MOST_UNITS:
        raise UnfitError
    unit_rows, unit_columns = -(-height // (SIDE * max(down))), -(-width // (SIDE * max(across)))
    shapes = [(unit_rows * d, unit_columns * a) for d, a in zip(down, across, strict=True)]
    starts = np.cumsum([0, *(rows * columns for rows, columns in shapes)])
    rows = [(starts[i], shapes[i][1], down[i], across[i], *tables[i]) for i in range(count)]
    symbols, values, lengths = (np.zeros((8, size), dtype) for size, dtype in scans.OF_TABLES)
    for number, (counts, listed) in codes.items():
        made = scans.new_codes(counts, listed)
        if made is None:
            raise UnfitError
        symbols[number], values[number], lengths[number] = made
    laid_out = Scan(
        np.array(rows, np.int64),
        np.array([unit_columns]),
        symbols,
        values,
        lengths,
        np.zeros(count, np.int64),
    )
    units = unit_rows * unit_columns
    tables_of = [steps[part[2]] for part in parts]
    return Frame((height, width), laid_out, tables_of, shapes, units, interval or units, end)


def _inflated(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        head = unpacker.decompress(packed, MOST_HEAD)
    except zlib.error:
        raise UnfitError from None
    if not unpacker.eof or unpacker.unused_data:
        raise UnfitError
    return head


# ---- coded pixels ------------------------------------------------------------------------------------------


def _read(coded: bytes, frame: Frame) -> tuple[np.ndarray, int]:
    """(coefficients of all blocks, int16 (n, 64), row by row as frequencies rise; the bit that fills bytes).
    Raises UnfitError.
    """
    found = np.zeros((_count(frame), SIDE**2), np.int16)
    pieces = _RESTART.split(coded)
    if len(pieces) != -(-frame.units // frame.interval):
        raise UnfitError
    fills = set()
    for i, piece in enumerate(pieces):
        first = i * frame.interval
        last = min(first + frame.interval, frame.units)
        fills.add(scans.read(piece.replace(b"\xff\0", b"\xff"), frame.scan, found, first, last))
    fills.discard(-1)
    if None in fills or len(fills) > 1:
        raise UnfitError
    return found, fills.pop() or 0 if fills else 1


def _write(frame: Frame, coefficients: np.ndarray, fill: int, room: int) -> bytes | None:
    """The inverse; None if these cannot be written, or not in so many bytes."""
    out = []
    for i, first in enumerate(range(0, frame.units, frame.interval)):
        last = min(first + frame.interval, frame.units)
        piece = scans.write(room, frame.scan, coefficients, first, last, fill) if room > 0 else None
        if piece is None:
            return None
        piece = piece.replace(b"\xff", b"\xff\0")
        room -= len(piece)
        if last < frame.units:
            piece += bytes([0xFF, 0xD0 + i % 8])
            room -= 2
        out.append(piece)
    return b"".join(out)


def _count(frame: Frame) -> int:
    """Blocks of all components."""
    return sum(rows * columns for rows, columns in frame.shapes)


def _grids(frame: Frame) -> list[Grid]:
    return [blocks.new_grid(*shape, steps) for shape, steps in zip(frame.shapes, frame.steps, strict=True)]


def _parts(frame: Frame, coefficients: np.ndarray) -> list[np.ndarray]:
    """Of each component, int16 (m, n, 64)."""
    ends = np.cumsum([rows * columns for rows, columns in frame.shapes])
    apart = np.split(coefficients, ends[:-1])
    return [part.reshape(*shape, SIDE**2) for part, shape in zip(apart, frame.shapes, strict=True)]


def _check_range(part: np.ndarray) -> None:
    """Raise UnfitError unless decisions can say all coefficients."""
    sizes = np.abs(part.astype(np.int32))
    if sizes[..., 0].max() > COEFFICIENT_MAX or sizes.max() > blocks.MOST:
        raise UnfitError


def _code(coder: BinaryCoder, grids: list[Grid], limit: float = math.inf) -> bool:
    """Component after component. limit: words after which an encoder gives up, and False is returned."""
    luma = grids[0].counts
    for i, grid in enumerate(grids):
        twin = grids[1] if i == 2 and grids[1].counts.shape == grid.counts.shape else blocks.EMPTY
        shares = tuple(max(1, (a - 1) // (b - 1)) for a, b in zip(luma.shape, grid.counts.shape, strict=True))
        with np.errstate(over="ignore"):  # hashes wrap around; only uncompiled code notices
            for row in range(grid.counts.shape[0] - 1):
                check()
                blocks.code_row(coder, grid, twin, luma, (*shares, 0, 0), i == 0, row)
                if not coder.decoding and blocks.is_full(coder, limit):
                    return False
    return True
