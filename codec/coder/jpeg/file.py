"""A JPEG file by its coefficients, which takes a fifth less, and the very bytes of it again. Knows what a
payload is; nothing of .ardm files.

Only a sequential or progressive JPEG by Huffman codes, whose bytes are made again of its coefficients, is
packed; all else is for others to keep. Specified in docs/format/jpeg-file.md.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from codec.coder.decisions import Taught
from codec.coder.jpeg import bands, inner, segments
from codec.coder.jpeg import coefficients as blocks
from codec.coder.jpeg.dct import COEFFICIENT_MAX, SIDE
from codec.coder.jpeg.inner import Inner
from codec.coder.jpeg.scan import Scan, read_units, write_units
from codec.coder.jpeg.segments import MOST_HEAD, Coded, Jpeg, UnfitError
from codec.coder.jpeg.usual import USUAL_HEAD
from codec.container import read_varint, varint
from codec.ending import check
from codec.errors import CorruptError, TruncatedError

_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
FILL, BANDS, INNER = 1, 2, 4  # flags: the bit that fills bytes; whether there are several bands; JPEGs within
LEAST_SAVED = 8  # bytes, or a JPEG within is left in its place
BITS_OF_BLOCK = 1  # at least, of its mean
MOST_BYTES = 512  # of a block's codes; there can be 464, if all of them are FF and 00 by turns


class Size(NamedTuple):
    """Of a picture."""

    height: int
    width: int
    channels: int


class Payload(NamedTuple):
    """What a payload has, field by field."""

    fill: int  # the bit that fills bytes
    room: int  # bytes of the coded pixels
    in_head: list[Inner]
    in_tail: list[Inner]
    packed: bytes  # the head
    tail: bytes
    words: list[bytes]  # of every band


def pack(source: bytes, height: int, width: int, channels: int) -> bytes | None:
    """The payload of a JPEG file, whose picture is said to have so many rows, columns and channels; None of
    one that is not packed here.
    """
    size = Size(height, width, channels)
    budget = _most_within(size)

    def pack_inner(source: bytes) -> bytes | None:
        nonlocal budget
        try:
            work, payload = _packed(source, None, None)
        except UnfitError:
            return None
        if work > budget or len(payload) + LEAST_SAVED > len(source):
            return None
        budget -= work
        return payload

    try:
        return _packed(source, size, pack_inner)[1]
    except UnfitError:
        return None


def _packed(
    source: bytes, size: Size | None, pack_inner: Callable[[bytes], bytes | None] | None
) -> tuple[int, bytes]:
    """(the work that it makes, as of `_work`; the payload). size: of the picture, None: any; pack_inner:
    packs JPEGs in it, None: those are left in place. Raises UnfitError.
    """
    head, coded, tail = segments.split(source)
    jpeg = segments.parse(head)
    _check_size(jpeg, size)
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
    words = bands.encode(jpeg.components, parts, bands.count_bands(jpeg.components), len(source) // 4)
    if words is None or sum(len(one) for one in words) < blocks.least_bytes(jpeg.blocks):
        raise UnfitError
    work, in_head, in_tail = _work(jpeg, head), list[Inner](), list[Inner]()
    if pack_inner:
        head, in_head = inner.cut(head, pack_inner)
        tail, in_tail = inner.cut(tail, pack_inner)
    return work, _closed(Payload(fill, room, in_head, in_tail, _deflated(head), tail, words))


def restore(payload: bytes, height: int, width: int, channels: int) -> bytes:
    """The file again. height, width, channels: of the picture, as is known; others are refused before
    anything is decoded. Raises CorruptError, TruncatedError, UnsupportedError.
    """
    size = Size(height, width, channels)
    budget = _most_within(size)

    def restore_inner(payload: bytes) -> bytes:
        nonlocal budget
        opened = _open(payload)
        if opened.in_head or opened.in_tail:
            raise UnfitError
        head = _inflated(opened.packed)
        jpeg = segments.parse(head)
        budget -= _work(jpeg, head)
        if budget < 0:
            raise UnfitError
        return _restored(opened, head, jpeg) + opened.tail

    try:
        opened = _open(payload)
        head = inner.join(_inflated(opened.packed), opened.in_head, restore_inner)
        jpeg = segments.parse(head)
        _check_size(jpeg, size)
        return _restored(opened, head, jpeg) + inner.join(opened.tail, opened.in_tail, restore_inner)
    except UnfitError:
        raise CorruptError("the coefficients of a JPEG do not fit its segments.") from None


def _restored(opened: Payload, head: bytes, jpeg: Jpeg) -> bytes:
    """The head with coded pixels. Raises UnfitError, UnsupportedError."""
    room, words = opened.room, opened.words
    if room > MOST_BYTES * jpeg.blocks or bands.whole_bands(jpeg.components, len(words)) != len(words):
        raise UnfitError
    if blocks.least_bytes(jpeg.blocks) > sum(len(one) for one in words):
        raise UnfitError
    parts = bands.decode(jpeg.components, words)
    if parts is None:
        raise UnfitError
    coefficients = np.concatenate([part.reshape(-1, SIDE**2) for part in parts])
    coded = _write(jpeg, _scans(jpeg), coefficients, opened.fill, room)
    if sum(len(pixels) for pixels in coded) != room:
        raise UnfitError
    pieces = [head[start:end] for start, end in pairwise([0, *(one.end for one in jpeg.coded)])]
    return b"".join(piece + pixels for piece, pixels in zip(pieces, coded, strict=True))


def learn(source: bytes, taught: Taught) -> bool:
    """Let decisions learn from a JPEG's coefficients, if they can be read, and said in no more bytes than it
    has. taught: what they have learned so far.
    """
    try:
        head, coded, _ = segments.split(source)
        jpeg = segments.parse(head)
        parts = _parts(jpeg, _read(jpeg, _scans(jpeg), coded)[0])
    except UnfitError:
        return False
    return bands.learn(jpeg.components, parts, len(source) // 4, taught)


def _closed(fields: Payload) -> bytes:
    """The payload."""
    several, some = len(fields.words) > 1, bool(fields.in_head or fields.in_tail)
    out = [bytes([FILL * fields.fill | BANDS * several | INNER * some])]
    out += [varint(number) for number in (len(fields.packed), fields.room, len(fields.tail))]
    if several:
        out += [varint(len(fields.words)), *(varint(len(one) // 4) for one in fields.words[:-1])]
    for found in (fields.in_head, fields.in_tail) if some else ():
        out.append(varint(len(found)))
        out += [varint(one.gap) + varint(len(one.payload)) + one.payload for one in found]
    return b"".join([*out, fields.packed, fields.tail, *fields.words])


def _open(payload: bytes) -> Payload:
    """The inverse. Raises CorruptError, TruncatedError, UnfitError."""
    at = 0

    def take(size: int) -> bytes:
        nonlocal at
        start, at = at, at + size
        if at > len(payload):
            raise TruncatedError("its data is cut short.")
        return payload[start:at]

    def number(least: int = 0, most: float = math.inf) -> int:
        nonlocal at
        found, at = read_varint(payload, at)
        if not least <= found <= most:
            raise UnfitError
        return found

    def inner_ones() -> list[Inner]:
        return [Inner(number(), take(number())) for _ in range(number(0, inner.MOST))]

    flags = take(1)[0]
    if flags > FILL | BANDS | INNER:
        raise UnfitError
    of_head, room, of_tail = number(), number(), number()
    count = number(2, bands.MOST_BANDS) if flags & BANDS else 1
    counts = [number() for _ in range(count - 1)]
    in_head, in_tail = (inner_ones(), inner_ones()) if flags & INNER else ([], [])
    packed, tail = take(of_head), take(of_tail)
    words = [*(take(4 * one) for one in counts), payload[at:]]
    if len(words[-1]) % 4:
        raise TruncatedError("its data is cut short.")
    return Payload(flags & FILL, room, in_head, in_tail, packed, tail, words)


def _work(jpeg: Jpeg, head: bytes) -> int:
    """That a JPEG within another makes: its blocks, and 64 bytes of its head count as one, too."""
    return jpeg.blocks + len(head) // SIDE**2


def _most_within(size: Size) -> int:
    """Work that the JPEGs within one of such a size may make together, so that its size bounds all."""
    return 2 * size.channels * -(-size.height // SIDE) * -(-size.width // SIDE)


def _check_size(jpeg: Jpeg, size: Size | None) -> None:
    if size is not None and (*jpeg.size, len(jpeg.components)) != size:
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
