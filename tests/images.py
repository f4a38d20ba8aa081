"""Small image files of every format but PNG, by slow encoders of our own, Pillow and imagecodecs, for tests
and fuzzing. Knows headers, and no test.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

JPEGS = Path(__file__).parent / "data" / "jpeg"
RNG = np.random.default_rng(5)
ROWS, COLUMNS = 11, 21
RGB = (
    np.add.outer(np.arange(ROWS) * 9, np.arange(COLUMNS) * 5)[..., None]
    + np.array([0, 30, 7])
    + RNG.integers(0, 9, (ROWS, COLUMNS, 3))
).astype(np.uint8)
# 0 in many places, over colours that must come back
ALPHA = RNG.integers(0, 3, (ROWS, COLUMNS, 1), dtype=np.uint8) * np.uint8(127)
RGBA, GREY, BITS = np.concatenate([RGB, ALPHA], 2), RGB[..., 0], RGB[..., 0] & 1
DEEP = RGB * np.uint16(200) + RNG.integers(0, 200, RGB.shape).astype(np.uint16)
DEEP_ALPHA = np.concatenate([DEEP, ALPHA * np.uint16(257)], 2)
SIZE = b"%d %d" % (COLUMNS, ROWS)


def saved(pixels: np.ndarray | Image.Image, name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, name, **options)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def bmp(
    bits: int, top_down: bool = False, version: int = 40, colours: bytes = b"", padding: bytes = b"\0"
) -> bytes:
    """Any samples of that many bits, rows padded to 4 bytes, with a gap before the pixels."""
    line = COLUMNS * bits // 8 + (COLUMNS * bits % 8 > 0)
    rows = b"".join(_tidy(RNG.bytes(line), COLUMNS * bits) + padding * (-line % 4) for _ in range(ROWS))
    size = (
        struct.pack("<HHHH", COLUMNS, ROWS, 1, bits)
        if version == 12
        else struct.pack("<iiHH", COLUMNS, -ROWS if top_down else ROWS, 1, bits)
    )
    header = struct.pack("<I", version) + size.ljust(version - 4, b"\0") + colours + b"gap"
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(rows), 0, 0, 14 + len(header)) + header + rows


def _tidy(line: bytes, bits: int) -> bytes:
    """A row without the bits that are left over."""
    return line if bits % 8 == 0 else line[:-1] + bytes([line[-1] & 0xFF00 >> bits % 8])


def tiff(
    pixels: np.ndarray,
    order: str = "<",
    compression: int = 1,
    rows: int = 4,
    tile: int = 0,
    predictor: int = 1,
    bits: int = 0,
    photometric: int = -1,
    more: tuple[tuple[int, int, tuple[int, ...]], ...] = (),
    gap: bytes = b"",
) -> bytes:
    """A TIFF by a slow encoder of our own. more: (tag, type, values). gap: bytes between strips."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    height, width, channels = pixels.shape
    typed = pixels.astype(pixels.dtype.newbyteorder(order))
    parts = [typed[y : y + rows] for y in range(0, height, rows)]
    if tile:
        padded = np.pad(typed, ((0, -height % tile), (0, -width % tile), (0, 0)))
        parts = [
            padded[y : y + tile, x : x + tile] for y in range(0, height, tile) for x in range(0, width, tile)
        ]
    strips = []
    for part in parts:
        if predictor == 2:
            part = np.diff(
                part.astype(pixels.dtype), axis=1, prepend=np.zeros((len(part), 1, channels), pixels.dtype)
            ).astype(typed.dtype)
        raw = np.packbits(part[..., 0], axis=1).tobytes() if bits == 1 else part.tobytes()
        strips.append(
            {1: bytes, 8: zlib.compress, 5: imagecodecs.lzw_encode, 32773: imagecodecs.packbits_encode}[
                compression
            ](raw)
            + gap
        )
    offsets = [8 + sum(map(len, strips[:i])) for i in range(len(strips))]
    bits = bits or 8 * pixels.itemsize
    entries = {
        256: (4, (width,)),
        257: (4, (height,)),
        258: (3, (bits,) * channels),
        259: (3, (compression,)),
        277: (3, (channels,)),
        262: (3, (photometric if photometric >= 0 else 2 if channels > 2 else 1,)),
    }
    entries |= (
        {322: (4, (tile,)), 323: (4, (tile,)), 324: (4, tuple(offsets)), 325: (4, tuple(map(len, strips)))}
        if tile
        else {}
    )
    entries |= (
        {}
        if tile
        else {273: (4, tuple(offsets)), 278: (4, (rows,)), 279: (4, tuple(len(s) - len(gap) for s in strips))}
    )
    entries |= {317: (3, (predictor,))} if predictor > 1 else {}
    entries |= {338: (3, (2,))} if channels in (2, 4) else {}
    entries |= {tag: (kind, values) for tag, kind, values in more}
    data = b"".join(strips)
    data += b"\0" * (len(data) % 2)
    values, table = b"", struct.pack(f"{order}H", len(entries))
    after = 8 + len(data) + 2 + 12 * len(entries) + 4
    for tag, (kind, numbers) in sorted(entries.items()):
        packed = struct.pack(
            f"{order}{len(numbers)}{ {1: 'B', 2: 'B', 3: 'H', 4: 'I', 5: 'B', 7: 'B', 12: 'd', 99: 'I'}[kind] }",
            *numbers,
        )
        place = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack(f"{order}I", after + len(values))
        values += packed + b"\0" * (len(packed) % 2) if len(packed) > 4 else b""
        table += struct.pack(f"{order}HHI", tag, kind, len(numbers) // (8 if kind == 5 else 1)) + place
    return (
        (b"II*\0" if order == "<" else b"MM\0*")
        + struct.pack(f"{order}I", 8 + len(data))
        + data
        + table
        + bytes(4)
        + values
    )


PALETTE = bytes(RNG.integers(0, 256, 1024, dtype=np.uint8))
SAME = {  # files that come back byte for byte: (file, samples or None, ending)
    "ppm": (b"P6\n" + SIZE + b"\n255\n" + RGB.tobytes(), RGB, "ppm"),
    "ppm-with-comments": (b"P6 # made\r\n# by hand\n" + SIZE + b"\t255 " + RGB.tobytes() + b"\n", RGB, "ppm"),
    "ppm-16": (b"P6\n" + SIZE + b"\n65535\n" + DEEP.astype(">u2").tobytes(), DEEP, "ppm"),
    "pgm-of-few-levels": (b"P5\n" + SIZE + b"\n100\n" + (GREY % 101).tobytes(), GREY % 101, "pgm"),
    "pgm-12": (
        b"P5\n" + SIZE + b"\n4095\n" + (DEEP[..., 0] >> 4).astype(">u2").tobytes(),
        DEEP[..., 0] >> 4,
        "pgm",
    ),
    "pbm": (b"P4\n" + SIZE + b"\n" + np.packbits(BITS, axis=1).tobytes(), BITS, "pbm"),
    "pam": (
        b"P7\nWIDTH %d\nHEIGHT %d\n# RGBA\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n"
        % (COLUMNS, ROWS)
        + RGBA.tobytes(),
        RGBA,
        "pam",
    ),
    "bmp-pillow": (saved(RGB, "BMP"), RGB, "bmp"),
    "bmp-pillow-grey": (saved(GREY, "BMP"), GREY, "bmp"),
    **{
        f"bmp-{bits}-{down}": (bmp(bits, down, colours=PALETTE[: 4 << min(bits, 8)]), None, "bmp")
        for bits in (1, 4, 8, 24, 32)
        for down in (0, 1)
    },
    "bmp-os2": (bmp(24, version=12), None, "bmp"),
    "bmp-5": (bmp(24, version=124), None, "bmp"),
    "qoi": (imagecodecs.qoi_encode(RGB), RGB, "qoi"),
    "qoi-alpha": (imagecodecs.qoi_encode(RGBA), RGBA, "qoi"),
    **{
        f"npy-{name}": (npy(array), array, "npy")
        for name, array in {
            "rgb": RGB,
            "grey": GREY,
            "grey-axis": RGB[..., :1],
            "16": DEEP,
            "big-endian": DEEP.astype(">u2"),
            "two": DEEP[..., :2],
            "fortran": np.asfortranarray(DEEP),
            "fortran-grey": np.asfortranarray(GREY),
        }.items()
    },
    **{
        f"tiff-{name}{order}": (tiff(array, order), array, "tif")
        for order in "<>"
        for name, array in {
            "grey": GREY,
            "rgb": RGB,
            "rgba": RGBA,
            "grey-16": DEEP[..., 0],
            "rgb-16": DEEP,
            "rgba-16": DEEP_ALPHA,
        }.items()
    },
    "tiff-pillow": (saved(RGB, "TIFF"), RGB, "tif"),
    "tiff-white-is-0": (tiff(GREY, photometric=0), GREY, "tif"),
    "tiff-bits": (tiff(BITS, bits=1), BITS, "tif"),
    "tiff-premultiplied": (tiff(RGBA, more=((338, 3, (1,)),)), RGBA, "tif"),
}

GREYS = Image.fromarray(GREY)
AS_PNG = {  # files that come back as PNG: (file, samples)
    **{
        f"tiff-pillow-{c}": (saved(RGB, "TIFF", compression=c), RGB)
        for c in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma")
    },
    **{
        f"tiff-{c}": (saved(BITS == 1, "TIFF", compression=c), BITS)
        for c in ("group3", "group4", "tiff_ccitt")
    },
    **{
        f"tiff-{name}{order}{compression}-{predictor}": (
            tiff(array, order, compression, predictor=predictor),
            array,
        )
        for order in "<>"
        for compression, predictor in ((5, 1), (5, 2), (8, 2), (32773, 1))
        for name, array in {
            "grey": GREY,
            "rgba": RGBA,
            "rgb-16": DEEP,
            "rgba-16": DEEP_ALPHA,
            "grey-alpha-16": DEEP_ALPHA[..., 2:],
        }.items()
    },
    **{
        f"tiff-tiles-{a.dtype}-{p}": (tiff(a, compression=8, tile=16, predictor=p), a)
        for a in (RGB, DEEP)
        for p in (1, 2)
    },
    "tiff-scattered": (tiff(DEEP, gap=b"\0\0"), DEEP),
    "tiff-white-is-0": (tiff(255 - GREY, photometric=0, compression=8), GREY),
    "tiff-palette": (
        tiff(GREY, compression=8, photometric=3, more=((320, 3, tuple(v * 257 for v in PALETTE[:768])),)),
        GREY,
    ),
    "gif": (saved(GREYS.convert("P"), "GIF"), None),
    "gif-palette": (
        saved(Image.fromarray(RGB).quantize(20), "GIF", interlace=1),
        np.asarray(Image.fromarray(RGB).quantize(20)),
    ),
    "webp": (saved(RGB, "WEBP", lossless=True), RGB),
    "webp-alpha": (saved(RGBA, "WEBP", lossless=True, exact=True), RGBA),
    "webp-large": (
        saved(np.tile(RGBA, (3, 3, 1)), "WEBP", lossless=True, exact=True),
        np.tile(RGBA, (3, 3, 1)),
    ),
    "webp-icc": (
        saved(
            RGBA,
            "WEBP",
            lossless=True,
            exact=True,
            icc_profile=b"profile",
            exif=b"Exif\0\0II*\0",
            xmp=b"<x/>",
        ),
        RGBA,
    ),
}


def animation(name: str, **options: Any) -> bytes:
    return saved(
        Image.fromarray(RGB), name, save_all=True, append_images=[Image.fromarray(255 - RGB)], **options
    )


KEPT: dict[str, tuple[bytes, str]] = {  # whole, and why
    "gif-animated": (animation("GIF"), "it is animated"),
    "gif-offset": (
        saved(GREYS, "GIF")[:6] + struct.pack("<HH", 50, 50) + saved(GREYS, "GIF")[10:],
        "does not fill its screen",
    ),
    "webp-animated": (animation("WEBP", lossless=True), "it is animated"),
    "tiff-pages": (animation("TIFF"), "it has several pages"),
    "tiff-cmyk": (saved(Image.new("CMYK", (9, 9)), "TIFF"), "neither grey, RGB nor a palette"),
    "tiff-float": (saved(Image.new("F", (9, 9)), "TIFF"), "not whole numbers"),
    "tiff-32": (saved(Image.new("I", (9, 9)), "TIFF"), "not whole numbers|32 bits"),
    "tiff-planes": (tiff(RGB, more=((284, 3, (2,)),)), "one after the other"),
    "tiff-jpeg": (saved(RGB, "TIFF", compression="jpeg"), "lossy"),
    "tiff-big": (b"II+\0" + bytes(20), "BigTIFF"),
    "bmp-16": (bmp(16), "16 bits per pixel"),
    "npy-float": (npy(RGB / 2), "found|but is .*<f8"),
    "npy-stack": (npy(np.zeros((2, 3, 4, 5), np.uint8)), "C from 1 to 4"),
    "npy-object": (npy(np.array([["x"]])), "U1"),
    "ppm-several": (SAME["ppm"][0] * 2, "several images"),
    "tiff-thumbnail": (
        tiff(RGB, compression=8, more=((254, 4, (1,)), (330, 4, (8,)))),
        "that of a small copy",
    ),
    "tiff-below": (tiff(RGB, compression=8, more=((330, 4, (8,)),)), "directories below"),
    "tiff-long-strips": (
        tiff(RGB, compression=8, more=((257, 4, (ROWS - 1,)),)),
        "more bytes than their pixels need",
    ),
    "jpeg": ((JPEGS / "arithmetic.jpg").read_bytes(), "already smaller than its pixels"),
    "jpeg-cmyk": ((JPEGS / "arithmetic-cmyk.jpg").read_bytes(), "4 channels"),
    "webp-lossy": (saved(RGB, "WEBP"), "already smaller than its pixels"),
    "webp-lossy-alpha": (saved(RGBA, "WEBP"), "already smaller than its pixels"),
}

# name -> file
EVERY = {
    **{n: s[0] for n, s in SAME.items()},
    **{n: s[0] for n, s in AS_PNG.items()},
    **{n: s[0] for n, s in KEPT.items()},
}
