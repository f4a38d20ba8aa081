"""PNG files for tests, made by a slow readable encoder that shares nothing with `codec.png`, and where to
find others.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from codec.png.exact.deflate import deflate

# PngSuite in full, by Willem van Schaik, free to use; names with x are corrupt
SUITE = Path(__file__).parent / "data" / "png"
# more, where the project's shared folder is
SHARED = Path(__file__).parent.parent.parent / "shared" / "data" / "robust"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
KINDS = [
    (colour, depth, interlaced)
    for colour, depths in DEPTHS.items()
    for depth in depths
    for interlaced in (0, 1)
]


def build(chunks: list[tuple[bytes, bytes]]) -> bytes:
    out = SIGNATURE
    for kind, data in chunks:
        out += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return out


def split(data: bytes) -> list[tuple[bytes, bytes]]:
    """Inverse of `build`."""
    out, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        out.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return out


def pixels_of(colour: int, depth: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth in the high bits, noisy in the low ones: uint8 or uint16 (h, w) or (h, w, c)."""
    rng = np.random.default_rng(seed)
    y, x, c = np.mgrid[:height, :width, : CHANNELS[colour]]
    values = (3 * y + 2 * x + 40 * c) * 2**depth // 128 + rng.integers(0, max(2, 2**depth // 32), y.shape)
    out = (values % 2**depth).astype(np.uint16 if depth == 16 else np.uint8)
    return out[..., 0] if CHANNELS[colour] == 1 else out


def predicted(kind: int, a: int, b: int, c: int) -> int:
    """As the PNG standard says it."""
    if kind == 4:
        p = a + b - c
        return min((a, b, c), key=lambda v: abs(p - v))
    return (0, a, b, (a + b) // 2)[kind]


def filtered(rows: list[bytes], kinds: list[int], step: int) -> bytes:
    """Rows of one pass as they stand in the image data."""
    out = b""
    for y, (row, kind) in enumerate(zip(rows, kinds, strict=True)):
        above = rows[y - 1] if y else bytes(len(row))
        line = [kind]
        for x, value in enumerate(row):
            a, c = (row[x - step], above[x - step]) if x >= step else (0, 0)
            line.append((value - predicted(kind, a, above[x], c)) % 256)
        out += bytes(line)
    return out


def passes(pixels: np.ndarray, interlaced: int) -> list[np.ndarray]:
    if not interlaced:
        return [pixels]
    offsets = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    return [part for y, x, dy, dx in offsets if (part := pixels[y::dy, x::dx]).size]


def scanlines(pixels: np.ndarray, colour: int, depth: int, interlaced: int) -> bytes:
    """The image data before compression; filters take turns."""
    out, turn = b"", 0
    for part in passes(pixels, interlaced):
        rows = []
        for row in part.reshape(len(part), -1).tolist():
            bits = "".join(f"{value:0{depth}b}" for value in row)
            bits += "0" * (-len(bits) % 8)
            rows.append(int(bits, 2).to_bytes(len(bits) // 8, "big"))
        kinds = [(turn + i) % 5 for i in range(len(rows))]
        turn += len(rows)
        out += filtered(rows, kinds, max(1, depth * CHANNELS[colour] // 8))
    return out


def compress(raw: bytes, level: int = 6, memory: int = 8, strategy: int = 0, window: int = 15) -> bytes:
    """As zlib does it, also where Python has another one; `tests/png/test_deflate.py` compares them."""
    body = deflate(np.frombuffer(raw, np.uint8), level, memory, strategy, window)
    assert body is not None
    start = (
        (window - 8) << 12
        | 8 << 8
        | (0 if level < 2 or strategy > 1 else 1 if level < 6 else 2 if level == 6 else 3) << 6
    )
    return struct.pack(">H", start + 31 - start % 31) + body.tobytes() + struct.pack(">I", zlib.adler32(raw))


def png_of(pixels: np.ndarray, colour: int, depth: int, interlaced: int = 0, pieces: int = 1 << 30) -> bytes:
    """A file with a chunk of every sort around the image data, a palette with entries that nothing uses, and
    tRNS.
    """
    height, width = pixels.shape[:2]
    stream = compress(scanlines(pixels, colour, depth, interlaced))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)),
        (b"gAMA", struct.pack(">I", 45455)),
        (b"prVt", b"\0\1\2"),
    ]
    if colour == 3:
        chunks.append((b"PLTE", bytes(i * 7 % 256 for i in range(3 * 2**depth))))
    if colour in (0, 2, 3):
        chunks.append((b"tRNS", bytes([0, 1] * CHANNELS[colour])))
    chunks += [(b"IDAT", stream[at : at + pieces]) for at in range(0, len(stream), pieces)]
    return build([*chunks, (b"tEXt", b"Title\0a b"), (b"tIME", bytes(7)), (b"IEND", b"")])


def flushed(source: bytes) -> bytes:
    """A PNG file with its image data compressed as no settings of zlib can say."""
    chunks = split(source)
    raw = zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"))
    packer = zlib.compressobj()
    stream = (
        packer.compress(raw[:2]) + packer.flush(zlib.Z_FULL_FLUSH) + packer.compress(raw[2:]) + packer.flush()
    )
    return build([(kind, stream if kind == b"IDAT" else data) for kind, data in chunks])


def facts(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """What must come back besides pixels: the header, and all chunks in order, the image data being one of
    them.
    """
    chunks = split(data)
    first = next(i for i, (kind, _) in enumerate(chunks) if kind == b"IDAT")
    return chunks[0][1], [c for i, c in enumerate(chunks) if c[0] != b"IDAT"] + [(b"IDAT at", bytes([first]))]
