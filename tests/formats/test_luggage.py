"""What files of other formats hold beside their pixels: it comes back, in a PNG or because the file is kept
whole, or it is named."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codec import InputError, UnsupportedError, archive, decompress, png
from codec.archive import Packed
from codec.formats import sources
from codec.formats import tiff as tiff_reader
from codec.formats.luggage import Luggage, listed
from codec.listing import Way
from tests import pngs
from tests.images import GREY, RGB, SAME, saved, tiff
from tests.processes import COMPRESS, DECOMPRESS, only_files, run

LIMIT = 10**6
XMP = b"<x:xmpmeta/>"
PROFILE = b"profile" * 50


def packed_of(source: bytes, pixels: bool = False) -> Packed:
    return archive.pack(source, exactly=False, pixels=pixels, order="raster", verify=True)


def chunks_of(source: bytes, pixels: bool = False) -> list[tuple[bytes, bytes]]:
    """What comes back, of a file that comes back as a PNG."""
    packed = packed_of(source, pixels)
    made = archive.unpack(packed.data)
    assert made[:8] == png.SIGNATURE, packed.why
    with Image.open(io.BytesIO(made)) as image:  # as others see it
        image.load()
    return pngs.split(made)


# ---- TIFF


def thumbnail_first() -> bytes:
    """A thumbnail in the first directory, the picture in one below: a DNG in small."""
    entries = lambda e: (  # noqa: E731
        struct.pack("<H", len(e)) + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in e) + bytes(4)
    )
    small = zlib.compress(bytes(64))
    picture = bytes(range(256)) * 16
    at = 8 + len(small)
    below = at + len(picture)

    def tags(width: int, kind: int, offset: int, size: int) -> list[tuple[int, int]]:
        return [
            (256, width),
            (257, width),
            (258, 8),
            (259, kind),
            (262, 1),
            (273, offset),
            (277, 1),
            (278, width),
            (279, size),
        ]

    sub = entries(tags(64, 1, at, 4096))
    first = entries([(254, 1), *tags(8, 8, 8, len(small)), (330, below)])
    return b"II*\0" + struct.pack("<I", below + len(sub)) + small + picture + sub + first


@pytest.mark.parametrize("pixels", [False, True])
def test_a_thumbnail_is_not_taken_for_the_picture(pixels: bool) -> None:
    source = thumbnail_first()
    packed = packed_of(source, pixels)
    assert packed.way == Way.WHOLE
    assert "small copy" in packed.why
    assert archive.unpack(packed.data) == source


def test_rm_of_a_raw_photo_loses_nothing(tmp_path: Path) -> None:
    source = tmp_path / "raw.tif"
    source.write_bytes(thumbnail_first())
    run(COMPRESS, "--rm", "--pixels", source)
    only_files(tmp_path, "raw.tif.ardm")
    run(DECOMPRESS, tmp_path / "raw.tif.ardm")
    assert source.read_bytes() == thumbnail_first()


MICRO = "0.32 µm, Ωß — 顕微鏡".encode()


@pytest.mark.parametrize("order", "<>")
def test_a_description_comes_back_byte_for_byte(order: str) -> None:
    rational = struct.unpack("8B", struct.pack(f"{order}II", 300, 1))
    more = ((270, 2, tuple(MICRO + b"\0")), (274, 3, (6,)), (282, 5, rational), (305, 2, tuple(b"maker\0")))
    exif = dict(chunks_of(tiff(RGB, order, compression=8, more=more)))[b"eXIf"]
    assert exif[:8] == (b"II*\0\x08\0\0\0" if order == "<" else b"MM\0*\0\0\0\x08")
    entries, unread, _ = tiff_reader._directory(exif, order, 8)
    told = tiff_reader.Tiff(exif, order, entries, png.Head(1, 1, 1, sources.Kind(), False), (0, 0))
    assert not unread
    assert told.raw(270) == MICRO + b"\0"
    assert (told.raw(282), told.value(274), told.raw(305)) == (bytes(rational), 6, b"maker\0")


def table_of(*entries: tuple[int, int, int, int]) -> bytes:
    """A directory of values that are in it, or of positions."""
    return (
        struct.pack("<H", len(entries))
        + b"".join(struct.pack("<HHII", *entry) for entry in entries)
        + bytes(4)
    )


def with_exif(*entries: tuple[int, int, int, int], before: bytes = b"", gps: int = 0) -> bytes:
    """A TIFF of one deflated strip, with some bytes at position 8 and Exif before its directory."""
    body = before + zlib.compress(GREY.tobytes())
    body += b"\0" * (len(body) % 2)
    exif = table_of(*entries)
    size = {
        256: GREY.shape[1],
        257: GREY.shape[0],
        258: 8,
        259: 8,
        262: 1,
        273: 8 + len(before),
        277: 1,
        278: 99,
        279: len(body) - len(before),
    }
    tags = size | {34665: 8 + len(body)} | ({34853: gps} if gps else {})
    return (
        b"II*\0"
        + struct.pack("<I", 8 + len(body) + len(exif))
        + body
        + exif
        + table_of(*((tag, 4, 1, value) for tag, value in tags.items()))
    )


def test_exif_and_places_come_back() -> None:
    date, place = b"2026:11:22 10:00:00\0", struct.pack("<6I", 47, 1, 22, 1, 11, 2)
    other, gps = (
        table_of((1, 2, 4, int.from_bytes(b"R98\0", "little"))),
        table_of((1, 2, 2, ord("N")), (2, 5, 3, 8 + len(date))),
    )
    before = date + place + other + gps
    inside = 8 + len(date) + len(place)
    source = with_exif((0x9003, 2, 20, 8), (0xA005, 4, 1, inside), before=before, gps=inside + len(other))
    chunks_of(source)
    with Image.open(io.BytesIO(archive.unpack(packed_of(source).data))) as image:
        found = image.getexif()
        assert found.get_ifd(0x8769)[0x9003] == "2026:11:22 10:00:00"
        assert found.get_ifd(0xA005) == {1: "R98"}
        assert found.get_ifd(0x8825) == {1: "N", 2: (47.0, 22.0, 5.5)}


GEOGRAPHIC = ((33550, 12, (10.0, 10.0, 0.0)), (34735, 3, (1, 1, 0, 1, 1024, 0, 1, 1)))
LEFT: dict[str, tuple[Callable[[], bytes], str]] = {
    "geographic": (lambda: tiff(RGB, compression=8, more=GEOGRAPHIC), "geographic tags"),
    "gdal": (
        lambda: tiff(RGB, compression=5, more=((42112, 2, tuple(b"<GDALMetadata/>\0")),)),
        "GDAL's tags",
    ),
    "imagej": (lambda: tiff(GREY, compression=8, more=((50839, 1, tuple(range(40))),)), "ImageJ's tags"),
    "private": (lambda: tiff(RGB, compression=8, more=((65000, 4, (7,)),)), "a tag 65000"),
    "type": (lambda: tiff(RGB, compression=8, more=((65000, 99, (7,)),)), "a damaged tag 65000"),
    "hidden": (lambda: tiff(RGB, compression=8, gap=b"gap"), "10 bytes that no tag speaks of"),
    "after": (lambda: tiff(RGB, compression=8) + b"more", "4 bytes that no tag speaks of"),
    "maker": (lambda: with_exif((37500, 7, 4, 0x01020304)), "its camera's own notes (MakerNote)"),
    "exif": (lambda: tiff(RGB, compression=8, more=((34665, 4, (10**6,)),)), "damaged Exif"),
    "utf-16": (
        lambda: tiff(RGB, compression=8, more=((700, 1, tuple("<x/>".encode("utf-16"))),)),
        "XMP that is no UTF-8",
    ),
    "gif-after": (lambda: saved(GREY, "GIF") + b"more", "4 bytes after its end"),
    "gif-text": (lambda: extended(b"!\x01\x0c" + bytes(12) + b"\x02hi\0"), "a text over its picture"),
    "gif-new": (lambda: extended(b"!\x42\x02hi\0"), "an extension of kind 66"),
    "gif-zero": (lambda: extended(b"!\xfe\x03a\0b\0"), "a comment with bytes 0"),
    "gif-xmp-twice": (lambda: extended(gif_xmp(XMP) * 2), "a second block of XMP"),
    "gif-palettes": (lambda: two_palettes(), "a palette that its picture does not use"),
    "webp-chunk": (lambda: webp((b"VP8L", VP8L), (b"MINE", b"me")), "a chunk MINE of its own"),
    "webp-twice": (lambda: webp((b"VP8L", VP8L), (b"VP8L", VP8L)), "a chunk VP8L of its own"),
    "webp-two": (lambda: webp((b"VP8L", VP8L), (b"VP8 ", bytes(20))), "a second picture"),
    "webp-after": (lambda: webp((b"VP8L", VP8L)) + b"more", "4 bytes after its last chunk"),
}


# ---- GIF, WebP


def extended(blocks: bytes, source: bytes = b"") -> bytes:
    """A GIF with more blocks after its palette."""
    data = source or saved(Image.fromarray(RGB).quantize(20), "GIF")
    at = 13 + 3 * (2 << (data[10] & 7))
    return data[:at] + blocks + data[at:]


def gif_xmp(text: bytes) -> bytes:
    return b"!\xff\x0bXMP DataXMP" + text + b"\x01" + bytes(range(255, -1, -1)) + b"\0"


def blocks(data: bytes) -> bytes:
    return (
        b"".join(bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255))
        + b"\0"
    )


def two_palettes() -> bytes:
    data = saved(Image.fromarray(RGB).quantize(16), "GIF")
    size = 3 * (2 << (data[10] & 7))
    at = data.index(b",", 13 + size)
    packed = struct.pack("B", 0x80 | data[10] & 7)
    return data[: at + 9] + packed + bytes(255 - value for value in data[13 : 13 + size]) + data[at + 10 :]


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vp8l() -> bytes:
    data = saved(RGB, "WEBP", lossless=True)
    return data[20 : 20 + int.from_bytes(data[16:20], "little")]


VP8L = vp8l()


def test_xmp_profile_and_comments_of_a_gif_come_back() -> None:
    more = (
        gif_xmp(XMP)
        + b"!\xff\x0bICCRGBG1012"
        + blocks(PROFILE)
        + b"!\xfe"
        + blocks(b"one")
        + b"!\xfe"
        + blocks("zwölf µm".encode())
    )
    chunks = chunks_of(extended(more))
    found = dict(chunks)
    assert [data for kind, data in chunks if kind == b"iTXt"] == [
        b"XML:com.adobe.xmp\0\0\0\0\0" + XMP,
        b"Comment\0\0\0\0\0" + "zwölf µm".encode(),
    ]
    assert zlib.decompress(found[b"iCCP"].split(b"\0\0", 1)[1]) == PROFILE
    assert found[b"tEXt"] == b"Comment\0one"


def test_the_gif_of_the_report_keeps_its_xmp() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([9, 8, 7, 200, 1, 2])
    chunks = dict(chunks_of(extended(gif_xmp(XMP), saved(image, "GIF"))))
    assert chunks[b"iTXt"] == b"XML:com.adobe.xmp\0\0\0\0\0" + XMP


def test_a_gif_keeps_what_only_it_has() -> None:
    """Chunks that are registered for it, and those that mean the same."""
    control = b"!\xf9\x04\x0a\x07\x01\0\0"
    data = bytearray(extended(b"!\xff\x0bNETSCAPE2.0\x03\x01\x05\0\0" + control))
    data[11], data[12] = 3, 100
    chunks = dict(chunks_of(bytes(data)))
    assert chunks[b"gIFx"] == b"NETSCAPE2.0\x01\x05\0"
    assert chunks[b"gIFg"] == b"\x02\x01\x01\x07"
    assert chunks[b"bKGD"] == b"\x03"
    assert chunks[b"pHYs"] == struct.pack(">IIB", 64, 115, 0)


def test_colours_that_are_not_in_the_palette_say_nothing() -> None:
    data = bytearray(extended(b"!\xf9\x04\x01\0\0\xfe\0"))
    data[11] = 255
    found = dict(chunks_of(bytes(data)))
    assert not {b"bKGD", b"tRNS"} & found.keys()


def test_xmp_that_is_padded_with_zeros_comes_back() -> None:
    assert dict(chunks_of(tiff(RGB, compression=8, more=((700, 1, (*XMP, 0, 0)),))))[b"iTXt"].endswith(
        b"\0" + XMP
    )


def test_a_grey_gif_with_a_profile_keeps_its_palette() -> None:
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16), "L").convert("P")
    image.putpalette([i for i in range(256) for _ in range(3)])
    grey = saved(image, "GIF", optimize=False)
    assert not sources.read(grey, LIMIT).image.kind.indexed
    assert sources.read(extended(b"!\xff\x0bICCRGBG1012" + blocks(PROFILE), grey), LIMIT).image.kind.indexed


# ---- what no PNG can hold


@pytest.mark.parametrize("name", LEFT)
def test_what_no_png_can_hold_is_kept_with_the_file_or_named(name: str) -> None:
    make, names = LEFT[name]
    source = make()
    packed = packed_of(source)
    assert (packed.way, packed.indivisible) == (Way.WHOLE, True)
    assert names in packed.why
    assert archive.unpack(packed.data) == source
    packed = packed_of(source, pixels=True)
    assert (packed.way, packed.converted) == (Way.CONTENT, True)
    assert names in packed.dropped


def test_nothing_is_named_of_files_that_come_back_whole_in_a_png() -> None:
    large = np.tile(RGB, (4, 4, 1))
    for source in (
        tiff(RGB, compression=8),
        saved(RGB, "TIFF", compression="tiff_lzw"),
        saved(large, "WEBP", lossless=True),
        saved(GREY, "GIF"),
    ):
        packed = packed_of(source)
        assert (packed.way, packed.dropped) == (Way.CONTENT, ())


def test_a_tiff_without_compression_keeps_all_its_tags() -> None:
    source = tiff(RGB, more=GEOGRAPHIC)
    assert packed_of(source).way == Way.EXACT
    assert archive.unpack(packed_of(source).data) == source


# ---- JPEG


def jpeg(*segments: tuple[int, bytes], tail: bytes = b"") -> bytes:
    """A JPEG with more segments, of which the first are before its own."""
    data = saved(RGB, "JPEG")
    made = b"".join(bytes([255, mark]) + struct.pack(">H", len(body) + 2) + body for mark, body in segments)
    return data[:2] + made + data[2:] + tail


def test_metadata_of_a_jpeg_comes_back_wherever_it_stands() -> None:
    icc = [(0xE2, b"ICC_PROFILE\0" + bytes([i + 1, 2]) + PROFILE[175 * i : 175 * i + 175]) for i in (1, 0)]
    source = jpeg(*icc, (0xFE, b"a comment"), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP))
    scan = source.index(b"\xff\xda")
    source = (
        source[:scan] + b"\xff\xe1\0\x10Exif\0\0II*\0\x08\0\0\0"[:-8] + b"MM\0*\0\0\0\x08" + source[scan:]
    )
    found = dict(chunks_of(source, pixels=True))
    assert zlib.decompress(found[b"iCCP"].split(b"\0\0", 1)[1]) == PROFILE
    assert found[b"tEXt"] == b"Comment\0a comment"
    assert found[b"iTXt"].endswith(XMP)
    assert found[b"eXIf"] == b"MM\0*\0\0\0\x08"
    assert packed_of(source, pixels=True).dropped == ()


def test_a_resolution_becomes_that_of_the_png() -> None:
    assert dict(chunks_of(saved(RGB, "JPEG", dpi=(300, 72)), pixels=True))[b"pHYs"] == struct.pack(
        ">IIB", 11811, 2835, 1
    )


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (jpeg((0xED, b"Photoshop 3.0\0x")), "Photoshop's resources (IPTC)"),
        (jpeg((0xE2, b"MPF\0x")), "a list of further pictures (MPF)"),
        (jpeg((0xEB, b"JPjumb")), "a segment of kind APP11"),
        (jpeg((0xE2, b"ICC_PROFILE\0\x01\x02x")), "a colour profile with pieces missing"),
        (jpeg(tail=b"a short film"), "12 bytes after its end"),
    ],
)
def test_what_pixels_leave_of_a_jpeg_is_named(source: bytes, names: str) -> None:
    packed = packed_of(source)
    assert packed.way == Way.RECODED
    assert archive.unpack(packed.data) == source
    assert names in packed_of(source, pixels=True).dropped


# ---- the commands, and the rest


def test_rm_removes_nothing_of_which_anything_is_lost(tmp_path: Path) -> None:
    names = {
        "map.tif": tiff(RGB, compression=8, more=GEOGRAPHIC),
        "film.jpg": jpeg(tail=b"a short film"),
        "plain.tif": tiff(RGB, compression=8),
    }
    for name, data in names.items():
        (tmp_path / name).write_bytes(data)
    messages = (
        run(COMPRESS, "--rm", "--pixels", *(tmp_path / name for name in names), code=1)
        .stderr.decode()
        .splitlines()
    )
    for message, says in zip(
        messages,
        ("without geographic tags", "without 12 bytes after its end", "plain.tif: will"),
        strict=True,
    ):
        assert says in message
    only_files(tmp_path, "map.tif", "film.jpg", "plain.tif.ardm")
    done = run(COMPRESS, "--pixels", tmp_path / "map.tif", tmp_path / "film.jpg")
    assert b"map.tif: will come back as a PNG without geographic tags; --exact keeps" in done.stderr
    done = run(COMPRESS, "-f", "--rm", tmp_path / "map.tif", tmp_path / "film.jpg")
    assert (
        b"map.tif: was stored whole, because it has geographic tags, which a PNG cannot hold" in done.stderr
    )
    only_files(tmp_path, "map.tif.ardm", "film.jpg.ardm", "plain.tif.ardm")
    run(DECOMPRESS, tmp_path / "map.tif.ardm", tmp_path / "film.jpg.ardm")
    assert all((tmp_path / name).read_bytes() == names[name] for name in ("map.tif", "film.jpg"))


def test_more_metadata_than_a_file_may_keep_keeps_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "MAX_CHUNKS", 1000)
    source = saved(
        RGB,
        "WEBP",
        lossless=True,
        xmp=b"<x>" + bytes(np.random.default_rng(0).integers(65, 90, 2000, dtype=np.uint8)) + b"</x>",
    )
    packed = packed_of(source)
    assert (packed.way, packed.indivisible) == (Way.WHOLE, True)
    assert "bytes of metadata" in packed.why


def test_luggage_names_each_thing_once() -> None:
    luggage = Luggage()
    for what in ("a", "b", "a", "c"):
        luggage.leave(what)
    assert listed(luggage.left) == "a, b and c"
    assert listed(("a", "b")) == "a and b"
    assert listed(("a",)) == "a"


def test_the_errors_of_no_image_and_of_a_damaged_one_differ() -> None:
    with pytest.raises(InputError, match="not an image; it begins like a JPEG XL"):
        archive.pack(b"\xff\x0a raw", exactly=True)
    damaged = archive.pack(SAME["qoi"][0][:40], exactly=True).data
    with pytest.raises(UnsupportedError, match="ardm-decompress restores it"):
        decompress(damaged)
