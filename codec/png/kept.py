"""The chunks of a PNG that are kept beside its samples, as one block of bytes and back. Knows chunks; no
samples, and nothing of .ardm files.
"""

from __future__ import annotations

import contextlib
import struct
import zlib

import numpy as np

from codec.errors import CorruptError
from codec.png.file import MAX_CHUNKS, PIECE, Png, chunk, walk_chunks

PALETTE = b"PLTE"
# in a block only: a palette as three rows, R, G and B, each value less the one before it. Palettes that are
# sorted shrink to a fraction.
DIFFERENCES = b"PLTd"


def pack_chunks(png: Png) -> bytes:
    """The kept chunks as one block of bytes, empty if there are none."""
    if not png.before and not png.after:
        return b""
    return min((_packed(before, png.after) for before in (png.before, _differenced(png.before))), key=len)


def kept_size(block: bytes) -> int:
    """Bytes that `unpack_chunks` would unpack, found without holding them."""
    inflate, size = zlib.decompressobj(), 0
    with contextlib.suppress(zlib.error):
        while block and size <= MAX_CHUNKS:
            size += len(inflate.decompress(block, PIECE))
            block = inflate.unconsumed_tail
    return size


def unpack_chunks(block: bytes) -> tuple[bytes, bytes]:
    """Inverse of `pack_chunks`: (before, after). Raises CorruptError."""
    inflate = zlib.decompressobj()
    try:
        data = inflate.decompress(block, MAX_CHUNKS + 5)
    except zlib.error as error:
        raise CorruptError(f"the kept PNG chunks cannot be unpacked ({error}).") from error
    if not inflate.eof or len(data) < 4 or struct.unpack_from("<I", data)[0] > len(data) - 4:
        raise CorruptError("the kept PNG chunks are damaged, or larger than 64 MiB.")
    (n,) = struct.unpack_from("<I", data)
    before, after = _summed(data[4 : 4 + n]), data[4 + n :]
    for part in (before, after):
        for kind, _, _ in walk_chunks(part, 0):
            if not kind[0] & 32 and kind != PALETTE:
                raise CorruptError(f"the kept PNG chunks hold {kind!r}, which would change the image.")
    return before, after


def _packed(before: bytes, after: bytes) -> bytes:
    return zlib.compress(struct.pack("<I", len(before)) + before + after, 9)


def _differenced(chunks: bytes) -> bytes:
    """Chunks, their palette as differences."""
    parts = []
    for kind, at, end in walk_chunks(chunks, 0):
        data = chunks[at + 8 : end - 4]
        if kind == PALETTE and len(data) % 3 == 0:
            colours = np.frombuffer(data, np.uint8).reshape(-1, 3)
            parts.append(chunk(DIFFERENCES, np.diff(colours, axis=0, prepend=np.uint8(0)).T.tobytes()))
        else:
            parts.append(chunks[at:end])
    return b"".join(parts)


def _summed(chunks: bytes) -> bytes:
    """Inverse of `_differenced`. Raises CorruptError."""
    parts = []
    for kind, at, end in walk_chunks(chunks, 0):
        if kind == DIFFERENCES:
            data = chunks[at + 8 : end - 4]
            if len(data) % 3:
                raise CorruptError(f"a palette has {len(data)} bytes, which are no whole colours.")
            steps = np.frombuffer(data, np.uint8).reshape(3, -1)
            parts.append(chunk(PALETTE, np.cumsum(steps, axis=1, dtype=np.uint8).T.tobytes()))
        else:
            parts.append(chunks[at:end])
    return b"".join(parts)
