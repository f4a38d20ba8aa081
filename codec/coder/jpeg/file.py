"""A JPEG file by its coefficients, which takes a fifth less, and the very bytes of it again. Knows what a
payload is; nothing of .ardm files.

Only a sequential or progressive JPEG by Huffman codes, whose bytes are made again of its coefficients, is
packed; all else is for others to keep. Specified in docs/format/jpeg-file.md.
"""

from __future__ import annotations

import math
import re
import zlib
from itertools import pairwise

import numpy as np

from codec.coder.decisions import BinaryCoder
from codec.coder.jpeg import coefficients as blocks
from codec.coder.jpeg import scan as scans
from codec.coder.jpeg import segments
from codec.coder.jpeg.coder import check_compiled
from codec.coder.jpeg.coefficients import Grid
from codec.coder.jpeg.dct import COEFFICIENT_MAX, SIDE
from codec.coder.jpeg.segments import MOST_HEAD, Coded, Jpeg, UnfitError
from codec.coder.jpeg.usual import USUAL_HEAD
from codec.container import read_varint, varint
from codec.ending import check
from codec.errors import CorruptError, TruncatedError

_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
BITS_OF_BLOCK = 1  # at least, of its mean
MOST_BYTES = 512  # of a block's codes; there can be 464, if all of them are FF and 00 by turns


def pack(source: bytes, height: int, width: int, channels: int) -> bytes | None:
    """The payload of a JPEG file, whose picture is said to have so many rows, columns and channels; None of
    one that is not packed here.
    """
    try:
        head, coded, tail = segments.split(source)
        jpeg = segments.parse(head)
        _check_size(jpeg, height, width, channels)
        room = sum(len(pixels) for pixels in coded)
        if not BITS_OF_BLOCK * jpeg.blocks <= 8 * room <= 8 * MOST_BYTES * jpeg.blocks:
            raise UnfitError
        coefficients, fill = _read(jpeg, coded)
        if _write(jpeg, coefficients, fill, room) != coded:
            raise UnfitError
        grids = _grids(jpeg)
        for grid, part in zip(grids, _parts(jpeg, coefficients), strict=True):
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
    packed = _deflated(head)
    lengths = varint(len(packed)) + varint(room) + varint(len(tail))
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
        jpeg = segments.parse(head)
        _check_size(jpeg, height, width, channels)
        if fill > 1 or lengths[1] > MOST_BYTES * jpeg.blocks:
            raise UnfitError
        if blocks.least_bytes(jpeg.blocks) > len(payload) - tail_end:
            raise UnfitError
        check_compiled()
        grids = _grids(jpeg)
        coder = blocks.new_decoder(payload[tail_end:])
        _code(coder, grids)
        if not coder.exhausted():
            raise UnfitError
        coefficients = np.concatenate([grid.coefficients[1:, 1:].reshape(-1, SIDE**2) for grid in grids])
        coded = _write(jpeg, coefficients, fill, lengths[1])
        if sum(len(pixels) for pixels in coded) != lengths[1]:
            raise UnfitError
    except UnfitError:
        raise CorruptError("the coefficients of a JPEG do not fit its segments.") from None
    parts = [head[start:end] for start, end in pairwise([0, *(one.end for one in jpeg.coded)])]
    scanned = b"".join(part + pixels for part, pixels in zip(parts, coded, strict=True))
    return scanned + payload[head_end:tail_end]


def _check_size(jpeg: Jpeg, height: int, width: int, channels: int) -> None:
    if (*jpeg.size, len(jpeg.components)) != (height, width, channels):
        raise UnfitError


def _deflated(head: bytes) -> bytes:
    packer = zlib.compressobj(9, zdict=USUAL_HEAD)
    return packer.compress(head) + packer.flush()


def _inflated(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(zdict=USUAL_HEAD)
    try:
        head = unpacker.decompress(packed, MOST_HEAD)
    except zlib.error:
        raise UnfitError from None
    if not unpacker.eof or unpacker.unused_data:
        raise UnfitError
    return head


# ---- coded pixels ------------------------------------------------------------------------------------------


def _read(jpeg: Jpeg, coded: list[bytes]) -> tuple[np.ndarray, int]:
    """(coefficients of all blocks, int16 (n, 64), row by row as frequencies rise; the bit that fills bytes).
    Raises UnfitError.
    """
    found = np.zeros((jpeg.blocks, SIDE**2), np.int16)
    fills = set()
    for one, pixels in zip(jpeg.coded, coded, strict=True):
        scan, pieces = one.scan(jpeg.sequential), _RESTART.split(pixels)
        if len(pieces) != -(-one.units // one.interval):
            raise UnfitError
        for i, piece in enumerate(pieces):
            fills.add(scans.read(piece.replace(b"\xff\0", b"\xff"), scan, found, *_units(one, i)))
        if None in fills:
            raise UnfitError
    fills.discard(-1)
    if len(fills) > 1:
        raise UnfitError
    return found, fills.pop() or 0 if fills else 1


def _write(jpeg: Jpeg, coefficients: np.ndarray, fill: int, room: int) -> list[bytes]:
    """The inverse, of every scan. Raises UnfitError if these cannot be written, or not in so many bytes."""
    out = []
    for one in jpeg.coded:
        scan, pieces = one.scan(jpeg.sequential), []
        count = -(-one.units // one.interval)
        for i in range(count):
            check()
            piece = scans.write(room, scan, coefficients, *_units(one, i), fill) if room >= 0 else None
            if piece is None:
                raise UnfitError
            piece = piece.replace(b"\xff", b"\xff\0")
            if i < count - 1:
                piece += bytes([0xFF, 0xD0 + i % 8])
            room -= len(piece)
            pieces.append(piece)
        out.append(b"".join(pieces))
    return out


def _units(one: Coded, i: int) -> tuple[int, int]:
    """The first unit of an interval, and the one after its last."""
    return i * one.interval, min((i + 1) * one.interval, one.units)


def _grids(jpeg: Jpeg) -> list[Grid]:
    return [blocks.new_grid(*part.shape, part.steps) for part in jpeg.components]


def _parts(jpeg: Jpeg, coefficients: np.ndarray) -> list[np.ndarray]:
    """Of each component, int16 (m, n, 64)."""
    shapes = [part.shape for part in jpeg.components]
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    apart = np.split(coefficients, ends[:-1])
    return [part.reshape(*shape, SIDE**2) for part, shape in zip(apart, shapes, strict=True)]


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
