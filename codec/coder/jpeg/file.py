"""A JPEG file by its coefficients, which takes a fifth less, and the very bytes of it again. Knows what a
payload is; nothing of .ardm files.

Only a sequential or progressive JPEG by Huffman codes, whose bytes are made again of its coefficients, is
packed; all else is for others to keep. Specified in docs/format/jpeg-file.md.
"""

from __future__ import annotations

import re
import zlib
from itertools import pairwise

import numpy as np

from codec.coder.decisions import Taught
from codec.coder.jpeg import bands, segments
from codec.coder.jpeg import coefficients as blocks
from codec.coder.jpeg.dct import COEFFICIENT_MAX, SIDE
from codec.coder.jpeg.scan import Scan, read_units, write_units
from codec.coder.jpeg.segments import MOST_HEAD, Coded, Jpeg, UnfitError
from codec.coder.jpeg.usual import USUAL_HEAD
from codec.container import read_varint, varint
from codec.ending import check
from codec.errors import CorruptError, TruncatedError

_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
FILL, BANDS = 1, 2  # flags: the bit that fills bytes; whether there are several bands
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
        scans = _scans(jpeg)
        coefficients, fill = _read(jpeg, scans, coded)
        if _write(jpeg, scans, coefficients, fill, room) != coded:
            raise UnfitError
        parts = _parts(jpeg, coefficients)
        for part in parts:
            _check_range(part)
    except UnfitError:
        return None
    words = bands.encode(jpeg.components, parts, bands.count_bands(jpeg.components), len(source) // 4)
    if words is None or sum(len(one) for one in words) < blocks.least_bytes(len(coefficients)):
        return None
    packed, several = _deflated(head), len(words) > 1
    numbers = [len(packed), room, len(tail)]
    if several:
        numbers += [len(words), *(len(one) // 4 for one in words[:-1])]
    flags = FILL * fill | BANDS * several
    return b"".join([bytes([flags]), *(varint(number) for number in numbers), packed, tail, *words])


def restore(payload: bytes, height: int, width: int, channels: int) -> bytes:
    """The file again. height, width, channels: of the picture, as is known; others are refused before
    anything is decoded. Raises CorruptError, TruncatedError, UnsupportedError.
    """
    try:
        flags, room, packed, tail, words = _open(payload)
        head = _inflated(packed)
        jpeg = segments.parse(head)
        _check_size(jpeg, height, width, channels)
        if room > MOST_BYTES * jpeg.blocks or bands.whole_bands(jpeg.components, len(words)) != len(words):
            raise UnfitError
        if blocks.least_bytes(jpeg.blocks) > sum(len(one) for one in words):
            raise UnfitError
        parts = bands.decode(jpeg.components, words)
        if parts is None:
            raise UnfitError
        coefficients = np.concatenate([part.reshape(-1, SIDE**2) for part in parts])
        coded = _write(jpeg, _scans(jpeg), coefficients, flags & FILL, room)
        if sum(len(pixels) for pixels in coded) != room:
            raise UnfitError
    except UnfitError:
        raise CorruptError("the coefficients of a JPEG do not fit its segments.") from None
    pieces = [head[start:end] for start, end in pairwise([0, *(one.end for one in jpeg.coded)])]
    return b"".join(piece + pixels for piece, pixels in zip(pieces, coded, strict=True)) + tail


def learn(source: bytes, taught: Taught) -> bool:
    """Let decisions learn from a JPEG's coefficients, if it is one that is packed here. taught: what they
    have learned so far.
    """
    try:
        head, coded, _ = segments.split(source)
        jpeg = segments.parse(head)
        parts = _parts(jpeg, _read(jpeg, _scans(jpeg), coded)[0])
    except UnfitError:
        return False
    return bands.learn(jpeg.components, parts, len(source) // 4, taught)


def _open(payload: bytes) -> tuple[int, int, bytes, bytes, list[bytes]]:
    """(flags, bytes of coded pixels, the head, packed, the tail, words of all bands). Raises CorruptError,
    TruncatedError, UnfitError.
    """
    if not payload:
        raise TruncatedError("its data is cut short.")
    flags, at = payload[0], 1
    if flags > FILL | BANDS:
        raise UnfitError

    def number() -> int:
        nonlocal at
        found, at = read_varint(payload, at)
        return found

    def take(size: int) -> bytes:
        nonlocal at
        start, at = at, at + size
        if at > len(payload):
            raise TruncatedError("its data is cut short.")
        return payload[start:at]

    of_head, room, of_tail = number(), number(), number()
    count = number() if flags & BANDS else 1
    if flags & BANDS and not 2 <= count <= bands.MOST_BANDS:
        raise UnfitError
    counts = [number() for _ in range(count - 1)]
    packed, tail = take(of_head), take(of_tail)
    words = [take(4 * one) for one in counts]
    last = payload[at:]
    if len(last) % 4:
        raise TruncatedError("its data is cut short.")
    return flags, room, packed, tail, [*words, last]


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


def _scans(jpeg: Jpeg) -> list[Scan]:
    """The codes of every scan. Raises UnfitError."""
    return [one.scan(jpeg.sequential) for one in jpeg.coded]


def _read(jpeg: Jpeg, scans: list[Scan], coded: list[bytes]) -> tuple[np.ndarray, int]:
    """(coefficients of all blocks, int16 (n, 64), row by row as frequencies rise; the bit that fills bytes).
    Raises UnfitError.
    """
    found = np.zeros((jpeg.blocks, SIDE**2), np.int16)
    fills = set()
    for one, scan, pixels in zip(jpeg.coded, scans, coded, strict=True):
        pieces = _RESTART.split(pixels)
        if len(pieces) != -(-one.units // one.interval):
            raise UnfitError
        for i, piece in enumerate(pieces):
            fills.add(read_units(piece.replace(b"\xff\0", b"\xff"), scan, found, *_units(one, i)))
        if None in fills:
            raise UnfitError
    fills.discard(-1)
    if len(fills) > 1:
        raise UnfitError
    return found, fills.pop() or 0 if fills else 1


def _write(jpeg: Jpeg, scans: list[Scan], coefficients: np.ndarray, fill: int, room: int) -> list[bytes]:
    """The inverse, of every scan. Raises UnfitError if these cannot be written, or not in so many bytes."""
    out = []
    for one, scan in zip(jpeg.coded, scans, strict=True):
        pieces: list[bytes] = []
        count = -(-one.units // one.interval)
        for i in range(count):
            check()
            piece = write_units(room, scan, coefficients, *_units(one, i), fill) if room >= 0 else None
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
