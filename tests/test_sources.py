"""Other image files than PNG: which come back byte for byte, which as PNG, and what is refused."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from codec import (
    ArdmError,
    CorruptError,
    InputError,
    LimitError,
    Limits,
    TruncatedError,
    UnsupportedError,
    archive,
    container,
    decompress,
    frames,
    png,
    sources,
)
from codec.archive import Way
from codec.salvage import recover
from tests import pngs
from tests.make_golden import GOLDEN, source_files
from tests.test_cli import COMPRESS, DECOMPRESS, only_files, run

LIMIT = 10**6
RNG = np.random.default_rng(5)
ROWS, COLUMNS = 11, 21
RGB = (np.add.outer(np.arange(ROWS) * 9, np.arange(COLUMNS) * 5)[..., None] + np.array([0, 30, 7]) + RNG.integers(0, 9, (ROWS, COLUMNS, 3))).astype(np.uint8)
ALPHA = RNG.integers(0, 3, (ROWS, COLUMNS, 1), dtype=np.uint8) * np.uint8(127)  # 0 in many places, over colours that must come back
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


def bmp(bits: int, top_down: bool = False, version: int = 40, colours: bytes = b"", padding: bytes = b"\0") -> bytes:
    """Any samples of that many bits, rows padded to 4 bytes, with a gap before the pixels."""
    line = COLUMNS * bits // 8 + (COLUMNS * bits % 8 > 0)
    rows = b"".join(_tidy(RNG.bytes(line), COLUMNS * bits) + padding * (-line % 4) for _ in range(ROWS))
    size = struct.pack("<HHHH", COLUMNS, ROWS, 1, bits) if version == 12 else struct.pack("<iiHH", COLUMNS, -ROWS if top_down else ROWS, 1, bits)
    header = struct.pack("<I", version) + size.ljust(version - 4, b"\0") + colours + b"gap"
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(rows), 0, 0, 14 + len(header)) + header + rows


def _tidy(line: bytes, bits: int) -> bytes:
    """A row without the bits that are left over."""
    return line if bits % 8 == 0 else line[:-1] + bytes([line[-1] & 0xFF00 >> bits % 8])


def tiff(
    pixels: np.ndarray, order: str = "<", compression: int = 1, rows: int = 4, tile: int = 0, predictor: int = 1, bits: int = 0, photometric: int = -1,
    more: tuple[tuple[int, int, tuple[int, ...]], ...] = (), gap: bytes = b"",
) -> bytes:  # fmt: skip
    """A TIFF by a slow encoder of our own. more: (tag, type, values). gap: bytes between strips."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    height, width, channels = pixels.shape
    typed = pixels.astype(pixels.dtype.newbyteorder(order))
    parts = [typed[y : y + rows] for y in range(0, height, rows)]
    if tile:
        padded = np.pad(typed, ((0, -height % tile), (0, -width % tile), (0, 0)))
        parts = [padded[y : y + tile, x : x + tile] for y in range(0, height, tile) for x in range(0, width, tile)]
    strips = []
    for part in parts:
        if predictor == 2:
            part = np.diff(part.astype(pixels.dtype), axis=1, prepend=np.zeros((len(part), 1, channels), pixels.dtype)).astype(typed.dtype)
        raw = np.packbits(part[..., 0], axis=1).tobytes() if bits == 1 else part.tobytes()
        strips.append({1: bytes, 8: zlib.compress, 5: imagecodecs.lzw_encode, 32773: imagecodecs.packbits_encode}[compression](raw) + gap)
    offsets = [8 + sum(map(len, strips[:i])) for i in range(len(strips))]
    bits = bits or 8 * pixels.itemsize
    entries = {256: (4, (width,)), 257: (4, (height,)), 258: (3, (bits,) * channels), 259: (3, (compression,)), 277: (3, (channels,)),
               262: (3, (photometric if photometric >= 0 else 2 if channels > 2 else 1,))}  # fmt: skip
    entries |= {322: (4, (tile,)), 323: (4, (tile,)), 324: (4, tuple(offsets)), 325: (4, tuple(map(len, strips)))} if tile else {}
    entries |= {} if tile else {273: (4, tuple(offsets)), 278: (4, (rows,)), 279: (4, tuple(len(s) - len(gap) for s in strips))}
    entries |= {317: (3, (predictor,))} if predictor > 1 else {}
    entries |= {338: (3, (2,))} if channels in (2, 4) else {}
    entries |= {tag: (kind, values) for tag, kind, values in more}
    data = b"".join(strips)
    data += b"\0" * (len(data) % 2)
    values, table = b"", struct.pack(f"{order}H", len(entries))
    after = 8 + len(data) + 2 + 12 * len(entries) + 4
    for tag, (kind, numbers) in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(numbers)}{ {1: 'B', 3: 'H', 4: 'I', 7: 'B'}[kind] }", *numbers)
        place = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack(f"{order}I", after + len(values))
        values += packed + b"\0" * (len(packed) % 2) if len(packed) > 4 else b""
        table += struct.pack(f"{order}HHI", tag, kind, len(numbers)) + place
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(data)) + data + table + bytes(4) + values


PALETTE = bytes(RNG.integers(0, 256, 1024, dtype=np.uint8))
SAME = {  # files that come back byte for byte: (file, samples or None, ending)
    "ppm": (b"P6\n" + SIZE + b"\n255\n" + RGB.tobytes(), RGB, "ppm"),
    "ppm-with-comments": (b"P6 # made\r\n# by hand\n" + SIZE + b"\t255 " + RGB.tobytes() + b"\n", RGB, "ppm"),
    "ppm-16": (b"P6\n" + SIZE + b"\n65535\n" + DEEP.astype(">u2").tobytes(), DEEP, "ppm"),
    "pgm-of-few-levels": (b"P5\n" + SIZE + b"\n100\n" + (GREY % 101).tobytes(), GREY % 101, "pgm"),
    "pgm-12": (b"P5\n" + SIZE + b"\n4095\n" + (DEEP[..., 0] >> 4).astype(">u2").tobytes(), DEEP[..., 0] >> 4, "pgm"),
    "pbm": (b"P4\n" + SIZE + b"\n" + np.packbits(BITS, axis=1).tobytes(), BITS, "pbm"),
    "pam": (b"P7\nWIDTH %d\nHEIGHT %d\n# RGBA\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" % (COLUMNS, ROWS) + RGBA.tobytes(), RGBA, "pam"),
    "bmp-pillow": (saved(RGB, "BMP"), RGB, "bmp"),
    "bmp-pillow-grey": (saved(GREY, "BMP"), GREY, "bmp"),
    **{f"bmp-{bits}-{down}": (bmp(bits, down, colours=PALETTE[: 4 << min(bits, 8)]), None, "bmp") for bits in (1, 4, 8, 24, 32) for down in (0, 1)},
    "bmp-os2": (bmp(24, version=12), None, "bmp"),
    "bmp-5": (bmp(24, version=124), None, "bmp"),
    "qoi": (imagecodecs.qoi_encode(RGB), RGB, "qoi"),
    "qoi-alpha": (imagecodecs.qoi_encode(RGBA), RGBA, "qoi"),
    **{
        f"npy-{name}": (npy(array), array, "npy")
        for name, array in {"rgb": RGB, "grey": GREY, "grey-axis": RGB[..., :1], "16": DEEP, "big-endian": DEEP.astype(">u2"), "two": DEEP[..., :2],
                            "fortran": np.asfortranarray(DEEP), "fortran-grey": np.asfortranarray(GREY)}.items()
    },
    **{
        f"tiff-{name}{order}": (tiff(array, order), array, "tif")
        for order in "<>"
        for name, array in {"grey": GREY, "rgb": RGB, "rgba": RGBA, "grey-16": DEEP[..., 0], "rgb-16": DEEP, "rgba-16": DEEP_ALPHA}.items()
    },
    "tiff-pillow": (saved(RGB, "TIFF"), RGB, "tif"),
    "tiff-white-is-0": (tiff(GREY, photometric=0), GREY, "tif"),
    "tiff-bits": (tiff(BITS, bits=1), BITS, "tif"),
    "tiff-premultiplied": (tiff(RGBA, more=((338, 3, (1,)),)), RGBA, "tif"),
}  # fmt: skip

GREYS = Image.fromarray(GREY)
AS_PNG = {  # files that come back as PNG: (file, samples)
    **{f"tiff-pillow-{c}": (saved(RGB, "TIFF", compression=c), RGB) for c in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma")},
    **{f"tiff-{c}": (saved(BITS == 1, "TIFF", compression=c), BITS) for c in ("group3", "group4", "tiff_ccitt")},
    **{
        f"tiff-{name}{order}{compression}-{predictor}": (tiff(array, order, compression, predictor=predictor), array)
        for order in "<>"
        for compression, predictor in ((5, 1), (5, 2), (8, 2), (32773, 1))
        for name, array in {"grey": GREY, "rgba": RGBA, "rgb-16": DEEP, "rgba-16": DEEP_ALPHA, "grey-alpha-16": DEEP_ALPHA[..., 2:]}.items()
    },
    **{f"tiff-tiles-{a.dtype}-{p}": (tiff(a, compression=8, tile=16, predictor=p), a) for a in (RGB, DEEP) for p in (1, 2)},
    "tiff-scattered": (tiff(DEEP, gap=b"gap"), DEEP),
    "tiff-white-is-0": (tiff(255 - GREY, photometric=0, compression=8), GREY),
    "tiff-palette": (tiff(GREY, compression=8, photometric=3, more=((320, 3, tuple(v * 257 for v in PALETTE[:768])),)), GREY),
    "gif": (saved(GREYS.convert("P"), "GIF"), None),
    "gif-palette": (saved(Image.fromarray(RGB).quantize(20), "GIF", interlace=1), np.asarray(Image.fromarray(RGB).quantize(20))),
    "webp": (saved(RGB, "WEBP", lossless=True), RGB),
    "webp-alpha": (saved(RGBA, "WEBP", lossless=True, exact=True), RGBA),
    "webp-large": (saved(np.tile(RGBA, (3, 3, 1)), "WEBP", lossless=True, exact=True), np.tile(RGBA, (3, 3, 1))),
    "webp-icc": (saved(RGBA, "WEBP", lossless=True, exact=True, icc_profile=b"profile", exif=b"Exif\0\0II*\0", xmp=b"<x/>"), RGBA),
}  # fmt: skip


def animation(name: str, **options: Any) -> bytes:
    return saved(Image.fromarray(RGB), name, save_all=True, append_images=[Image.fromarray(255 - RGB)], **options)


REFUSED: dict[str, tuple[bytes, type[ArdmError], str]] = {  # not without --exact
    "gif-animated": (animation("GIF"), UnsupportedError, "it is animated"),
    "gif-offset": (saved(GREYS, "GIF")[:6] + struct.pack("<HH", 50, 50) + saved(GREYS, "GIF")[10:], UnsupportedError, "does not fill its screen"),
    "webp-animated": (animation("WEBP", lossless=True), UnsupportedError, "it is animated"),
    "tiff-pages": (animation("TIFF"), UnsupportedError, "it has several pages"),
    "tiff-cmyk": (saved(Image.new("CMYK", (9, 9)), "TIFF"), UnsupportedError, "neither grey, RGB nor a palette"),
    "tiff-float": (saved(Image.new("F", (9, 9)), "TIFF"), UnsupportedError, "not whole numbers"),
    "tiff-32": (saved(Image.new("I", (9, 9)), "TIFF"), UnsupportedError, "not whole numbers|32 bits"),
    "tiff-planes": (tiff(RGB, more=((284, 3, (2,)),)), UnsupportedError, "one after the other"),
    "tiff-jpeg": (saved(RGB, "TIFF", compression="jpeg"), UnsupportedError, "lossy"),
    "tiff-big": (b"II+\0" + bytes(20), UnsupportedError, "BigTIFF"),
    "bmp-16": (bmp(16), UnsupportedError, "16 bits per pixel"),
    "npy-float": (npy(RGB / 2), UnsupportedError, "found|but is .*<f8"),
    "npy-stack": (npy(np.zeros((2, 3, 4, 5), np.uint8)), UnsupportedError, "C from 1 to 4"),
    "npy-object": (npy(np.array([["x"]])), UnsupportedError, "U1"),
    "ppm-several": (SAME["ppm"][0] * 2, UnsupportedError, "several images"),
    "jpeg": (saved(RGB, "JPEG"), InputError, "already smaller than its pixels"),
    "jpeg-cmyk": (saved(Image.new("CMYK", (9, 9)), "JPEG"), UnsupportedError, "4 channels"),
    "webp-lossy": (saved(RGB, "WEBP"), InputError, "already smaller than its pixels"),
    "webp-lossy-alpha": (saved(RGBA, "WEBP"), InputError, "already smaller than its pixels"),
}


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and one.dtype.itemsize == other.dtype.itemsize and np.array_equal(one, other)


@pytest.mark.parametrize("name", SAME)
def test_a_file_of_bare_samples_is_made_again(name: str) -> None:
    source, samples, ending = SAME[name]
    assert sources.sniff(source) == ending
    content = sources.read(source, LIMIT)
    assert content.frame
    assert samples is None or same(content.image.pixels, samples)
    frame = frames.unpack(frames.pack(content.frame))
    assert frame == content.frame
    assert frames.make(content.image.pixels, content.image.kind, frame) == source
    with pytest.raises(CorruptError, match="made again does not match"):
        frames.make(content.image.pixels ^ 1, content.image.kind, frame)


@pytest.mark.parametrize("name", AS_PNG)
def test_what_cannot_be_made_again_is_read_to_the_last_bit(name: str) -> None:
    source, samples = AS_PNG[name]
    content = sources.read(source, LIMIT)
    assert content.frame is None
    if samples is not None:
        assert same(content.image.pixels, samples)
    restored = png.read(png.write(content.image), LIMIT)
    assert same(restored.pixels, content.image.pixels)
    if content.image.kind.depth == 8 and name != "tiff-palette":  # as others see it
        with Image.open(io.BytesIO(png.write(content.image))) as ours, Image.open(io.BytesIO(source)) as theirs:
            assert np.array_equal(np.asarray(ours.convert("RGBA")), np.asarray(theirs.convert("RGBA")))


PACKED = ["ppm-with-comments", "pgm-12", "bmp-pillow", "qoi-alpha", "npy-grey-axis", "npy-fortran", "tiff-rgba-16>"]


@pytest.mark.parametrize("name", PACKED)
def test_there_and_back_byte_for_byte(name: str) -> None:
    source, samples, ending = SAME[name]
    packed = archive.pack(source, exactly=False, verify=True, order="raster")
    assert (packed.way, packed.converted) == (Way.EXACT, False)
    assert archive.way_of(container.read(packed.data)[0]) == Way.EXACT
    assert archive.unpack(packed.data) == source
    assert archive.format_of(packed.data, Limits()) == ending
    archive.test(packed.data)
    if samples is not None:
        assert same(decompress(packed.data), samples)
    assert archive.pack(source, exactly=True, order="raster").data == packed.data


@pytest.mark.parametrize("name", ["tiff-rgb-16>5-2", "gif-palette", "webp-large"])
def test_there_and_back_as_png_or_whole(name: str) -> None:
    source, samples = AS_PNG[name]
    packed = archive.pack(source, exactly=False, verify=True, order="raster")
    assert (packed.way, packed.converted) == (Way.CONTENT, True)
    assert same(png.read(archive.unpack(packed.data), LIMIT).pixels, samples)
    assert archive.format_of(packed.data, Limits()) == "png"
    packed = archive.pack(source, exactly=True)
    assert packed.way == Way.WHOLE
    assert archive.unpack(packed.data) == source
    assert archive.format_of(packed.data, Limits()) == sources.sniff(source)
    assert same(decompress(packed.data), samples)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_can_be_kept_whole(name: str) -> None:
    source, error, says = REFUSED[name]
    with pytest.raises(error, match=says) as raised:
        archive.pack(source, exactly=False)
    assert "--exact" in str(raised.value)
    packed = archive.pack(source, exactly=True)
    assert packed.way == Way.WHOLE
    assert archive.unpack(packed.data) == source
    with pytest.raises(UnsupportedError, match="ardm-decompress restores it"):
        decompress(packed.data)


@pytest.mark.parametrize("name", ["jpeg", "webp-lossy"])
def test_pixels_of_a_lossy_file_on_request(name: str) -> None:
    source = REFUSED[name][0]
    packed = archive.pack(source, exactly=False, pixels=True, order="raster", verify=True)
    with Image.open(io.BytesIO(source)) as image:
        assert same(decompress(packed.data), np.asarray(image))
    assert packed.converted


def test_padding_that_is_not_zero_keeps_the_file_whole() -> None:
    for source in (
        bmp(24, padding=b"x"),
        b"P4\n3 1\n\xff",
        imagecodecs.qoi_encode(RGB) + b"tail",
        imagecodecs.qoi_encode(RGB[:1, :1])[:14] + b"\xfe\0\0\0" + imagecodecs.qoi_encode(RGB[:1, :1])[-8:],
    ):
        packed = archive.pack(source, exactly=False)
        assert archive.unpack(packed.data) == source
    assert packed.indivisible


def test_metadata_comes_back_in_chunks() -> None:
    icc, xmp = b"profile" * 20, b"<x:xmpmeta/>"
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "maker", 6
    for name, options in {"WEBP": {"lossless": True}, "TIFF": {"compression": "tiff_lzw"}, "JPEG": {}}.items():
        given = {"exif": exif, "icc_profile": icc, **({} if name == "TIFF" else {"xmp": xmp})}
        source = saved(RGB, name, **given, **options)
        image = sources.read(source, LIMIT).image
        if name != "JPEG":
            assert same(image.pixels, RGB), "orientation is metadata"
        with Image.open(io.BytesIO(png.write(image))) as restored:
            assert restored.info["icc_profile"] == icc
            assert (restored.getexif()[0x010F], restored.getexif()[0x0112]) == ("maker", 6)
            if name != "TIFF":
                assert restored.text["XML:com.adobe.xmp"] == xmp.decode()
    pages = tiff(RGB, compression=8, more=((700, 1, tuple(xmp)),))
    assert xmp in sources.read(pages, LIMIT).image.before


def test_gif_keeps_its_palette_transparency_and_comment() -> None:
    image = Image.fromarray(RGB).quantize(20)
    content = sources.read(saved(image, "GIF", transparency=3, comment=b"a comment"), LIMIT).image
    chunks = dict(pngs.split(pngs.SIGNATURE + content.before))
    assert chunks[b"PLTE"][:60] == bytes(image.getpalette()[:60])
    assert chunks[b"tRNS"] == b"\xff\xff\xff\0"
    assert chunks[b"tEXt"] == b"Comment\0a comment"


@pytest.mark.parametrize("name", [*source_files()])
def test_golden_source_file_comes_back(name: str) -> None:
    path = GOLDEN / f"{name}.ardm"
    assert archive.unpack(path.read_bytes()) == path.with_suffix("." + source_files()[name][0]).read_bytes()
    assert archive.way_of(container.read(path.read_bytes())[0]) == Way.EXACT


# ---- hostile files


EVERY = {**{n: s[0] for n, s in SAME.items()}, **{n: s[0] for n, s in AS_PNG.items()}, **{n: s[0] for n, s in REFUSED.items()}}


def sound(data: bytes) -> None:
    """Our own errors only; what is read can be made again."""
    try:
        content = sources.read(data, LIMIT)
    except ArdmError:
        return
    if content.frame:
        assert frames.make(content.image.pixels, content.image.kind, content.frame) == data
    else:
        png.write(content.image)


@pytest.mark.parametrize("name", ["ppm", "pam", "bmp-8-0", "qoi", "npy-16", "tiff-rgb<", "tiff-rgb-16<8-2", "gif-palette", "webp", "jpeg"])
def test_truncated_anywhere(name: str) -> None:
    source = EVERY[name]
    for length in range(0, len(source), 1 + len(source) // 300):
        sound(source[:length])
    if not name.startswith("tiff"):  # whose end may be padding
        with pytest.raises(ArdmError):
            sources.read(source[: len(source) * 2 // 3], LIMIT)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(EVERY)), st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=4), st.booleans())
def test_forged_files_raise_only_our_errors(name: str, changes: list[tuple[int, int]], anywhere: bool) -> None:
    data = bytearray(EVERY[name])
    for place, value in changes:
        data[place % (len(data) if anywhere else min(len(data), 40))] = value
    sound(bytes(data))


HUGE = 60000
CLAIMS: dict[str, Callable[[], bytes]] = {
    "ppm": lambda: b"P6 60000 60000 255\n",
    "pam": lambda: b"P7\nWIDTH 60000\nHEIGHT 60000\nDEPTH 3\nMAXVAL 255\nENDHDR\n",
    "bmp": lambda: SAME["bmp-pillow"][0][:18] + struct.pack("<ii", HUGE, HUGE) + SAME["bmp-pillow"][0][26:],
    "npy": lambda: npy(np.zeros((2, 3), np.uint8)).replace(b"(2, 3), }    ", b"(60000, 60000), }")[:140],
    "qoi": lambda: b"qoif" + struct.pack(">II", HUGE, HUGE) + b"\3\0" + bytes(20),
    "tiff": lambda: tiff(RGB, compression=8, more=((256, 4, (HUGE,)), (257, 4, (HUGE,)))),
    "gif": lambda: saved(GREYS, "GIF")[:6] + struct.pack("<HH", HUGE, HUGE) + saved(GREYS, "GIF")[10:],
    "webp": lambda: b"RIFF\x1c\0\0\0WEBPVP8L\x10\0\0\0\x2f" + struct.pack("<I", 0x0FFFFFFF) + bytes(11),
    "jpeg": lambda: b"\xff\xd8\xff\xc0\0\x0b\x08" + struct.pack(">HHB", HUGE, HUGE, 1) + bytes(20),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_of_many_pixels_is_refused_by_its_header(name: str) -> None:
    with pytest.raises(LimitError, match=r"60000 x 60000|16384 x 16384"):
        archive.pack(CLAIMS[name](), exactly=True, pixels=False)


def test_pixels_that_so_few_bytes_cannot_hold_are_refused_before_they_are_allocated() -> None:
    for source in (tiff(GREY, compression=8, more=((256, 4, (HUGE,)), (257, 4, (HUGE,)))), CLAIMS["qoi"](), CLAIMS["ppm"]()):
        with pytest.raises(TruncatedError, match=r"cannot hold|promises"):
            sources.read(source, 2**40)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 60), st.integers(0, 255))
def test_forged_frames_raise_only_our_errors(tail: bytes, at: int, value: int) -> None:
    content = sources.read(SAME["bmp-pillow"][0], LIMIT)
    assert content.frame
    packed = frames.pack(content.frame)
    damaged = bytearray(packed)
    damaged[at % len(packed)] = value
    for form in (tail, packed[: at % len(packed)] + tail, bytes(damaged)):
        try:
            made = frames.make(content.image.pixels, content.image.kind, frames.unpack(form))
        except ArdmError:
            continue
        assert made == SAME["bmp-pillow"][0]


def test_a_damaged_file_is_rescued_in_its_own_format() -> None:
    pixels = np.tile(RGB, (4, 4, 1))
    data = bytearray(archive.pack(npy(pixels), exactly=False, tile=24, order="raster").data)
    data[-5] ^= 1
    image, _, report = archive.rescue(bytes(data))
    assert len(report.lost) == 1
    found, mask, _ = recover(bytes(data))
    assert image == npy(found)
    assert np.array_equal(found[~mask], pixels[~mask])


# ---- the commands


def test_names_there_and_back(tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_bytes(SAME["ppm"][0])
    (tmp_path / "b.tiff").write_bytes(AS_PNG["tiff-rgb-16<8-2"][0])
    (tmp_path / "c.dat").write_bytes(SAME["qoi"][0])
    (tmp_path / "d.GIF").write_bytes(REFUSED["gif-animated"][0])
    names = [tmp_path / name for name in ("a.ppm", "b.tiff", "c.dat")]
    done = run(COMPRESS, *names)
    assert done.stderr.decode().count("\n") == 1
    assert b"b.tiff: will come back as a PNG" in done.stderr
    (tmp_path / "out").mkdir()
    packed = [tmp_path / f"{name.name}.ardm" for name in names]
    done = run(DECOMPRESS, "--json", "--output-dir", tmp_path / "out", *packed)
    assert [Path(json.loads(line)["output"]).name for line in done.stdout.splitlines()] == ["a.ppm", "b.tiff.png", "c.dat.qoi"]
    assert (tmp_path / "out" / "a.ppm").read_bytes() == SAME["ppm"][0]
    assert (tmp_path / "out" / "c.dat.qoi").read_bytes() == SAME["qoi"][0]
    done = run(COMPRESS, "--exact", tmp_path / "d.GIF", names[1], "--output-dir", tmp_path / "out")
    assert b"was stored whole, because it is animated" in done.stderr
    run(DECOMPRESS, tmp_path / "out" / "d.GIF.ardm", tmp_path / "out" / "b.tiff.ardm")
    for name in ("d.GIF", "b.tiff"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / name).read_bytes()
    text = run(COMPRESS, "-l", packed[0]).stdout
    assert b"21 x 11, 3 x 8 bit" in text
    assert b"restores exact" in text


def test_rm_and_lossy_files_need_consent(tmp_path: Path) -> None:
    photo, page, moving = (tmp_path / name for name in ("photo.jpg", "page.tif", "moving.gif"))
    photo.write_bytes(REFUSED["jpeg"][0])
    page.write_bytes(AS_PNG["tiff-rgb-16<8-2"][0])
    moving.write_bytes(REFUSED["gif-animated"][0])
    messages = run(COMPRESS, "--rm", photo, page, moving, code=5).stderr.decode().splitlines()
    for message, says in zip(messages, ("already smaller", "--rm needs --pixels", "it is animated; --exact keeps"), strict=True):
        assert says in message
    assert b"leave out --pixels" in run(COMPRESS, "--exact", "--pixels", photo, code=2).stderr
    only_files(tmp_path, "photo.jpg", "page.tif", "moving.gif")
    moving.unlink()
    run(COMPRESS, "-q", "--rm", "--pixels", photo, page)
    only_files(tmp_path, "photo.jpg.ardm", "page.tif.ardm")
    run(DECOMPRESS, tmp_path / "photo.jpg.ardm", tmp_path / "page.tif.ardm")
    only_files(tmp_path, "photo.jpg.ardm", "page.tif.ardm", "photo.jpg.png", "page.tif.png")
