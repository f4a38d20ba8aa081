"""Other image files than PNG: which come back byte for byte, which as PNG, and what is refused."""

from __future__ import annotations

import io
import json
import re
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from codec import (
    ArdmError,
    CorruptError,
    LimitError,
    Limits,
    TruncatedError,
    UnsupportedError,
    archive,
    container,
    decompress,
    listing,
    png,
)
from codec.damage.salvage import recover
from codec.formats import frames, sources
from codec.formats import tiff as tiff_reader
from codec.listing import Way
from codec.opened import open_bytes
from tests import pngs
from tests.images import (
    AS_PNG,
    COLUMNS,
    DEEP,
    EVERY,
    GREY,
    GREYS,
    KEPT,
    RGB,
    ROWS,
    SAME,
    bmp,
    npy,
    saved,
    tiff,
)
from tests.make_golden import GOLDEN, source_files
from tests.processes import COMPRESS, DECOMPRESS, only_files, run

LIMIT = 10**6


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return (
        one.shape == other.shape and one.dtype.itemsize == other.dtype.itemsize and np.array_equal(one, other)
    )


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
        with (
            Image.open(io.BytesIO(png.write(content.image))) as ours,
            Image.open(io.BytesIO(source)) as theirs,
        ):
            assert np.array_equal(np.asarray(ours.convert("RGBA")), np.asarray(theirs.convert("RGBA")))


PACKED = [
    "ppm-with-comments",
    "pgm-12",
    "bmp-pillow",
    "qoi-alpha",
    "npy-grey-axis",
    "npy-fortran",
    "tiff-rgba-16>",
]


@pytest.mark.parametrize("name", PACKED)
def test_there_and_back_byte_for_byte(name: str) -> None:
    source, samples, ending = SAME[name]
    packed = archive.pack(source, exactly=False, verify=True, order="raster")
    assert (packed.way, packed.converted) == (Way.EXACT, False)
    assert listing.way_of(container.read(packed.data)[0]) == Way.EXACT
    assert archive.unpack(packed.data) == source
    assert archive.format_of(open_bytes(packed.data, Limits())) == ending
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
    assert archive.format_of(open_bytes(packed.data, Limits())) == "png"
    packed = archive.pack(source, exactly=True)
    assert packed.way == Way.WHOLE
    assert archive.unpack(packed.data) == source
    assert archive.format_of(open_bytes(packed.data, Limits())) == sources.sniff(source)
    assert same(decompress(packed.data), samples)


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("exactly", [False, True])
def test_what_is_more_than_pixels_is_kept_whole(name: str, exactly: bool) -> None:
    source, says = KEPT[name]
    packed = archive.pack(source, exactly=exactly)
    assert packed.way == Way.WHOLE
    if not exactly:
        assert packed.indivisible
        assert re.search(says, packed.why)
    assert archive.unpack(packed.data) == source
    with pytest.raises(UnsupportedError, match="ardm-decompress restores it"):
        decompress(packed.data)


@pytest.mark.parametrize("name", ["jpeg", "webp-lossy"])
def test_pixels_of_a_lossy_file_on_request(name: str) -> None:
    source = KEPT[name][0]
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
    for name, options in {
        "WEBP": {"lossless": True},
        "TIFF": {"compression": "tiff_lzw"},
        "JPEG": {},
    }.items():
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
    assert listing.way_of(container.read(path.read_bytes())[0]) == Way.EXACT


# ---- stacks of planes in a TIFF


STACK = np.stack([DEEP[..., 0] + np.uint16(37 * i) for i in range(5)])
TOLD_BY_IMAGEJ = (270, 7, tuple(b"ImageJ=1.53t\nimages=5\nslices=5\nloop=false\n\0"))


def stack(planes: np.ndarray, told: tuple[int, int, tuple[int, ...]], order: str = ">") -> bytes:
    """A TIFF whose directory describes the first plane of several, as ImageJ writes large ones."""
    one = tiff(planes[0], order, rows=planes.shape[1], more=(told,))
    size = planes[0].nbytes
    shift = planes.nbytes - size
    data = bytearray(one[:8] + planes.astype(planes.dtype.newbyteorder(order)).tobytes() + one[8 + size :])
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    struct.pack_into(f"{order}I", data, 4, at + shift)
    for entry in range(
        at + shift + 2, at + shift + 2 + 12 * struct.unpack_from(f"{order}H", data, at + shift)[0], 12
    ):
        _, kind, count, value = struct.unpack_from(f"{order}HHII", data, entry)
        if count * {1: 1, 3: 2, 4: 4, 7: 1}[kind] > 4:
            struct.pack_into(f"{order}I", data, entry + 8, value + shift)
    return bytes(data)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("planes", "told"),
    [
        (STACK, TOLD_BY_IMAGEJ),
        (STACK, (270, 7, tuple(b'{"shape": [5, 11, 21], "truncated": true}\0'))),
        (np.stack([RGB] * 3), (270, 7, tuple(b"ImageJ=1.11a\nimages=3\n\0"))),
    ],
)
def test_all_planes_of_a_stack_are_coded(
    planes: np.ndarray, told: tuple[int, int, tuple[int, ...]], order: str
) -> None:
    source = stack(planes, told, order)
    packed = archive.pack(source, exactly=False, verify=True, order="raster")
    assert packed.way == Way.EXACT
    assert archive.unpack(packed.data) == source
    assert same(decompress(packed.data), planes.reshape(-1, *planes.shape[2:]))
    assert sources.look(source, 3 * ROWS * COLUMNS).head.height == 3 * ROWS  # as many as the limit permits


def test_a_stack_of_pages_is_coded_if_their_samples_follow_each_other() -> None:
    """ImageJ and tifffile write small stacks so."""
    one = tiff(GREY, rows=99, more=((254, 4, (2,)),))
    directory = one[8 + GREY.nbytes + GREY.nbytes % 2 :]
    (count,) = struct.unpack_from("<H", directory)
    planes = np.stack([GREY, GREY ^ 1, GREY ^ 3])
    for gap, way in ((0, Way.EXACT), (1, Way.WHOLE)):
        first = 8 + 3 * (GREY.nbytes + gap) + 1
        length = 2 + 12 * count + 4
        data = (
            one[:4]
            + struct.pack("<I", first)
            + b"".join(plane.tobytes() + b"x" * gap for plane in planes)
            + b"\0"
        )
        for i in range(3):
            entries = bytearray(directory[:length])
            for at in range(2, 2 + 12 * count, 12):
                if struct.unpack_from("<H", entries, at)[0] == 273:
                    struct.pack_into("<I", entries, at + 8, 8 + i * (GREY.nbytes + gap))
            struct.pack_into("<I", entries, length - 4, first + (i + 1) * length if i < 2 else 0)
            data += bytes(entries)
        packed = archive.pack(data, exactly=False, order="raster")
        assert archive.unpack(packed.data) == data
        assert packed.way == way
        if way == Way.EXACT:
            assert same(decompress(packed.data), planes.reshape(-1, COLUMNS))


def test_a_description_of_more_planes_than_there_are_is_not_believed() -> None:
    source = tiff(DEEP[..., 0], more=(TOLD_BY_IMAGEJ,))
    assert sources.look(source, LIMIT).head.height == ROWS


# ---- hostile files


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


@pytest.mark.parametrize(
    "name",
    ["ppm", "pam", "bmp-8-0", "qoi", "npy-16", "tiff-rgb<", "tiff-rgb-16<8-2", "gif-palette", "webp", "jpeg"],
)
def test_truncated_anywhere(name: str) -> None:
    source = EVERY[name]
    for length in range(0, len(source), 1 + len(source) // 300):
        sound(source[:length])
    if not name.startswith("tiff"):  # whose end may be padding
        with pytest.raises(ArdmError):
            sources.read(source[: len(source) * 2 // 3], LIMIT)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(sorted(EVERY)),
    st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=4),
    st.booleans(),
)
def test_forged_files_raise_only_our_errors(
    name: str, changes: list[tuple[int, int]], anywhere: bool
) -> None:
    data = bytearray(EVERY[name])
    for place, value in changes:
        data[place % (len(data) if anywhere else min(len(data), 40))] = value
    sound(bytes(data))


def test_libtiff_prints_nothing_and_is_left_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    assert tiff_reader._printers() or sys.platform != "linux"
    damaged = tiff(RGB, compression=5, more=((256, 4, (COLUMNS + 1,)),))
    with pytest.raises(CorruptError):
        sources.read(damaged, LIMIT)
    assert not capfd.readouterr().err or not tiff_reader._printers()
    with Image.open(io.BytesIO(damaged)) as image, pytest.raises(OSError, match="decoder error"):
        image.load()
    assert "LZWDecode" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (tiff(GREY, more=((278, 4, (2,)),)), "has 3 strips or tiles, where its size asks for 6"),
        (tiff(DEEP, gap=b"gap", more=((257, 4, (1,)),)), "has 3 strips or tiles, where its size asks for 1"),
        (tiff(GREY, more=((278, 4, (0,)),)), "21 x 0 pixels"),
        (tiff(GREY, more=((279, 4, (83, 84, 63)),)), "fewer bytes"),
        (
            tiff(RGB, tile=16, more=((324, 4, (8,)), (325, 4, (768,)))),
            "has 1 strips or tiles, where its size asks for 2",
        ),
        (tiff(RGB, tile=16, more=((325, 4, (768, 767)),)), "fewer bytes"),
        (
            tiff(GREY, compression=8, rows=99).replace(
                zlib.compress(GREY.tobytes()), zlib.compress(GREY.tobytes())[:-1] + b"?"
            ),
            "incorrect data check",
        ),
        (tiff(GREY, compression=8, more=((256, 4, (22,)),)), "ends after 84 bytes, expected 88"),
    ],
)
def test_strips_that_do_not_hold_the_image_are_damage(source: bytes, says: str) -> None:
    with pytest.raises((CorruptError, UnsupportedError), match=says):
        sources.read(source, LIMIT)


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


def test_of_two_images_in_a_file_the_one_that_is_read_counts() -> None:
    """Pillow takes a WebP's first and a JPEG's last header; whichever it is, that is the one to be judged."""

    def webp(name: str) -> tuple[bytes, bytes]:
        size = int.from_bytes(EVERY[name][16:20], "little")
        return EVERY[name][12:16], EVERY[name][20 : 20 + size]

    def riff(*chunks: tuple[bytes, bytes]) -> bytes:
        body = b"WEBP" + b"".join(
            kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks
        )
        return b"RIFF" + struct.pack("<I", len(body)) + body

    lossy, lossless = webp("webp-lossy"), webp("webp")
    assert sources.look(riff(lossy, lossless), LIMIT).lossy
    assert not sources.look(riff(lossless, lossy), LIMIT).lossy
    large = lossy[1][:6] + struct.pack("<HH", 12000, 12000) + lossy[1][10:]
    with pytest.raises(LimitError, match="12000 x 12000"):
        sources.look(riff((lossy[0], large), lossless), LIMIT)
    jpeg = saved(RGB, "JPEG")
    head = jpeg.index(b"\xff\xc0")
    again = (
        jpeg[head : head + 5] + struct.pack(">HH", HUGE, HUGE) + jpeg[head + 9 : head + 2 + jpeg[head + 3]]
    )
    with pytest.raises(CorruptError, match="60000 x 60000"):
        sources.read(jpeg[: head + 2 + jpeg[head + 3]] + again + jpeg[head + 2 + jpeg[head + 3] :], LIMIT)


def test_pixels_that_so_few_bytes_cannot_hold_are_refused_before_they_are_allocated() -> None:
    for source in (
        tiff(GREY, compression=8, more=((256, 4, (HUGE,)), (257, 4, (HUGE,)))),
        CLAIMS["qoi"](),
        CLAIMS["ppm"](),
    ):
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
    (tmp_path / "d.GIF").write_bytes(KEPT["gif-animated"][0])
    names = [tmp_path / name for name in ("a.ppm", "b.tiff", "c.dat")]
    done = run(COMPRESS, *names)
    assert done.stderr.decode().count("\n") == 1
    assert b"b.tiff: will come back as a PNG" in done.stderr
    (tmp_path / "out").mkdir()
    packed = [tmp_path / f"{name.name}.ardm" for name in names]
    done = run(DECOMPRESS, "--json", "--output-dir", tmp_path / "out", *packed)
    assert [Path(json.loads(line)["output"]).name for line in done.stdout.splitlines()] == [
        "a.ppm",
        "b.tiff.png",
        "c.dat",
    ]
    assert (tmp_path / "out" / "a.ppm").read_bytes() == SAME["ppm"][0]
    assert (tmp_path / "out" / "c.dat").read_bytes() == SAME["qoi"][0]
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
    photo.write_bytes(KEPT["jpeg"][0])
    page.write_bytes(AS_PNG["tiff-rgb-16<8-2"][0])
    moving.write_bytes(KEPT["gif-animated"][0])
    messages = run(COMPRESS, "--rm", photo, page, moving, code=1).stderr.decode().splitlines()
    for message, says in zip(
        messages, ("already smaller", "--rm needs --pixels", "it is animated"), strict=True
    ):
        assert says in message
    only_files(tmp_path, "photo.jpg.ardm", "page.tif", "moving.gif.ardm")
    run(DECOMPRESS, "--rm", tmp_path / "photo.jpg.ardm", tmp_path / "moving.gif.ardm")
    assert (photo.read_bytes(), moving.read_bytes()) == (KEPT["jpeg"][0], KEPT["gif-animated"][0])
    assert b"leave out --pixels" in run(COMPRESS, "--exact", "--pixels", photo, code=2).stderr
    only_files(tmp_path, "photo.jpg", "page.tif", "moving.gif")
    moving.unlink()
    run(COMPRESS, "-q", "--rm", "--pixels", photo, page)
    only_files(tmp_path, "photo.jpg.ardm", "page.tif.ardm")
    run(DECOMPRESS, tmp_path / "photo.jpg.ardm", tmp_path / "page.tif.ardm")
    only_files(tmp_path, "photo.jpg.ardm", "page.tif.ardm", "photo.jpg.png", "page.tif.png")
