"""PNG files to arrays and back, with everything else that the file carries. Pixels go through Pillow; chunks are checked and kept here.

Supported: 8-bit grey, grey + alpha, RGB and RGBA, interlaced or not (the restored file is not interlaced). Other kinds raise
UnsupportedError rather than being converted. Knows nothing of .ardm files.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from codec.errors import CorruptError, InputError, LimitError, TruncatedError, UnsupportedError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 1 << 26  # bytes of ancillary chunks
KINDS = {0: ("grey", "L", 1), 2: ("RGB", "RGB", 3), 3: ("palette", "P", 0), 4: ("grey + alpha", "LA", 2), 6: ("RGBA", "RGBA", 4)}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # by colour type
NAMED_SUFFIXES = {b"\xff\xd8\xff": "a JPEG", b"GIF8": "a GIF", b"RIFF": "a WebP or other RIFF", b"II*\0": "a TIFF", b"MM\0*": "a TIFF",
                  b"\x89ARDM": "an .ardm", b"BM": "a BMP", b"\0\0\0\x0cJXL": "a JPEG XL", b"\xff\x0a": "a JPEG XL", b"qoif": "a QOI"}  # fmt: skip


@dataclass(frozen=True)
class Png:
    """A decoded PNG."""

    pixels: np.ndarray  # uint8 (H, W) or (H, W, C)
    before: bytes  # ancillary chunks before IDAT, whole (length, type, data, CRC), in order
    after: bytes  # those after it


def read(data: bytes, max_pixels: int) -> Png:
    """Decode a PNG. Raises InputError, TruncatedError or CorruptError for what is not a whole, sound PNG, UnsupportedError for other kinds."""
    if not data:
        raise InputError("the file is empty; expected a PNG image.")
    if data[:8] != SIGNATURE:
        found = next((f"; it looks like {name} file" for head, name in NAMED_SUFFIXES.items() if data.startswith(head)), "")
        raise InputError(f"not a PNG image{found}. Only PNG is supported so far.")
    chunks = list(_chunks(data))
    if chunks[0][0] != b"IHDR" or chunks[0][2] - chunks[0][1] != 25:
        raise CorruptError("the PNG does not begin with a header chunk (IHDR) of 13 bytes.")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack_from(">IIBBBBB", data, chunks[0][1] + 8)
    if depth not in DEPTHS.get(colour, ()) or not width or not height or compression or filtering or interlace > 1:
        raise CorruptError("the PNG header holds values that the PNG standard does not allow.")
    kinds = [c[0] for c in chunks]
    if b"IDAT" not in kinds:
        raise CorruptError("the PNG has no image data (IDAT).")
    if width * height > max_pixels:
        raise LimitError(f"the image has {width} x {height} pixels, the limit is {max_pixels}; raise it with --max-pixels.")
    name, mode, channels = KINDS[colour]
    if depth != 8 or colour == 3:
        raise UnsupportedError(f"{depth}-bit {name} PNG is not supported yet; supported are 8-bit grey, grey + alpha, RGB and RGBA.")
    if b"acTL" in kinds:
        raise UnsupportedError("animated PNG is not supported yet; only single images are.")
    unknown = [k for k in kinds if not k[0] & 32 and k not in (b"IHDR", b"PLTE", b"IDAT", b"IEND")]
    if unknown:
        raise UnsupportedError(f"the PNG has an unknown critical chunk {unknown[0]!r}.")
    first, last = kinds.index(b"IDAT"), len(kinds) - 1 - kinds[::-1].index(b"IDAT")
    kept = [b"".join(data[a:b] for kind, a, b in part if kind not in (b"IHDR", b"IDAT", b"IEND")) for part in (chunks[:first], chunks[last + 1 :])]
    # Pillow gets the critical chunks only: nothing in the others may change how it decodes.
    bare = SIGNATURE + b"".join(data[a:b] for kind, a, b in chunks if kind in (b"IHDR", b"IDAT", b"IEND"))
    pixels = _decode(bare, mode)
    expected = (height, width) if channels == 1 else (height, width, channels)
    if pixels.shape != expected:
        raise CorruptError(f"the PNG decodes to shape {pixels.shape}, its header says {expected}.")
    return Png(pixels, kept[0], kept[1])


def write(png: Png) -> bytes:
    """Encode a PNG with the kept chunks in their places."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(png.pixels).save(out, "PNG")
    data = out.getvalue()
    chunks = list(_chunks(data))
    kinds = [c[0] for c in chunks]
    first, last = kinds.index(b"IDAT"), len(kinds) - 1 - kinds[::-1].index(b"IDAT")
    parts = [SIGNATURE, data[chunks[0][1] : chunks[0][2]], png.before, data[chunks[first][1] : chunks[last][2]], png.after,
             data[chunks[-1][1] : chunks[-1][2]]]  # fmt: skip
    return b"".join(parts)


def pack_chunks(png: Png) -> bytes:
    """The kept chunks as one block of bytes, empty if there are none."""
    if not png.before and not png.after:
        return b""
    if len(png.before) + len(png.after) > MAX_CHUNKS:
        raise UnsupportedError(f"the PNG carries {len(png.before) + len(png.after)} bytes of metadata; up to {MAX_CHUNKS} are supported.")
    return zlib.compress(struct.pack("<I", len(png.before)) + png.before + png.after, 9)


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
    before, after = data[4 : 4 + n], data[4 + n :]
    for part in (before, after):
        for kind, _, _ in _walk_chunks(part, 0):
            if not kind[0] & 32 and kind != b"PLTE":
                raise CorruptError(f"the kept PNG chunks hold {kind!r}, which would change the image.")
    return before, after


def _walk_chunks(data: bytes, at: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of chunk after chunk, CRCs checked, to the end of `data`."""
    while at < len(data):
        if at + 12 > len(data):
            raise TruncatedError(f"the PNG is cut short: it ends after {len(data)} bytes, inside a chunk.")
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 12 + length
        if length > 2**31 - 1 or not kind.isalpha():
            raise CorruptError(f"the PNG has a damaged chunk at byte {at}.")
        if end > len(data):
            raise TruncatedError(f"the PNG is cut short: it ends inside a chunk of type {kind.decode('latin1')}.")
        if zlib.crc32(data[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise CorruptError(f"the checksum of the PNG's {kind.decode('latin1')} chunk at byte {at} does not match: the file is damaged.")
        yield kind, at, end
        at = end


def _chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """All chunks of a file, up to and with IEND. Bytes after IEND, and chunks in impossible places, are errors: they would be lost."""
    out = []
    for kind, at, end in _walk_chunks(data, 8):
        out.append((kind, at, end))
        if kind == b"IEND":
            break
    else:
        raise TruncatedError(f"the PNG is cut short: it ends after {len(data)} bytes, before its end marker (IEND).")
    if end != len(data):
        raise UnsupportedError(f"the PNG has {len(data) - end} bytes after its end marker, which are not supported yet and would be lost.")
    kinds = [c[0] for c in out]
    images = [i for i, kind in enumerate(kinds) if kind == b"IDAT"]
    if kinds.count(b"IHDR") > 1 or end - at != 12 or (images and images[-1] - images[0] >= len(images)):
        raise CorruptError("the PNG's chunks are out of order: one header, then image data in one piece, then an empty end marker were expected.")
    return out


def _decode(data: bytes, mode: str) -> np.ndarray:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit was checked before
            image = Image.open(io.BytesIO(data), formats=["PNG"])
            if image.mode != mode:
                raise CorruptError(f"the PNG decodes to Pillow mode {image.mode}, expected {mode}.")
            image.load()
            return np.asarray(image)
    except Image.DecompressionBombError as error:
        raise LimitError(f"the image is larger than the PNG decoder accepts ({error}).") from error
    except (OSError, SyntaxError, ValueError, EOFError, zlib.error, struct.error) as error:
        raise CorruptError(f"the PNG's image data is damaged ({error}).") from error
