"""What counts as an image, what as a damaged one, and what is a file like any other: "any file comes back
byte for byte"."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec import CorruptError, InputError, LimitError, UnsupportedError, archive, decompress, png, text
from codec.formats import sources
from codec.listing import Way
from tests import pngs
from tests.images import EVERY, KEPT, RGB, SAME, saved
from tests.processes import COMPRESS, DECOMPRESS, only_files, run

pytestmark = pytest.mark.quick

LIMIT = 10**6
NO_IMAGES = {  # name -> (content, what is said)
    "a.pgm": (b"P2\n2 1\n15\n0 3\n", "begins like a Netpbm image"),
    "e.txt": (b"", "is empty"),
    "d.bin": (b"\xff\nraw", "begins like a JPEG XL"),
    "n.txt": (b"GIF89a dates from 1989\n", "begins like a GIF"),
    "n.md": (b"# IHDR and friends\n", "begins like a PNG"),
    "empty.png": (b"", "is empty"),
    "text.png": (b"just text", "though its name says that it is one"),
    "drawing.avif": (b"\0\0\0\x1cftypavif", "begins like an AVIF"),
    "photo.JXL": (b"not so", "though its name says that it is one"),
    "apples.txt": (b"P4 10 20 apples\n", "begins like a Netpbm image"),
    "stars.txt": (b"P5 99999 99999 255 stars are in the sky.\n", "begins like a Netpbm image"),
    "colons.txt": (b"GIF89a; of 1989, and GIF87a", "begins like a GIF"),
    "riff.txt": (b"RIFFabcdWEBP is how they begin.\n", "begins like a WebP"),
    "latin.txt": (b"GIF89a, m\xf6glichst kurz und auf Deutsch", "begins like a GIF"),
    "utf-8.txt": ("P4 10 20 яблоки и груши".encode(), "begins like a Netpbm image"),
    "packed.bin": (b"\x89ARDM\r\n\x1a\n", "begins like an .ardm file"),
    "marks.bin": (b"\xff\xd8\xff raw", "begins like a JPEG"),
    "book.txt": (b"It was the best of times.\n", ""),
    "bmw.txt": (b"BMW is a maker of cars.\n", ""),
}


@pytest.mark.parametrize("name", NO_IMAGES)
def test_what_is_no_image_is_a_file(name: str) -> None:
    content, says = NO_IMAGES[name]
    assert not sources.is_image(content)
    doubt = sources.doubt(content, name.rpartition(".")[2])
    assert says in doubt
    assert bool(doubt) == bool(says)
    for order in ("auto", "plain"):
        assert text.unpack(text.pack(content, order=order)) == content


def test_files_come_back_under_their_names_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name, (content, _) in NO_IMAGES.items():
        (tmp_path / name).write_bytes(content)
    messages = (
        run(
            COMPRESS,
            "--rm",
            "--order",
            "raster",
            "--output-dir",
            tmp_path / "out",
            *(tmp_path / name for name in NO_IMAGES),
        )
        .stderr.decode()
        .splitlines()
    )
    noted = [name for name, (_, says) in NO_IMAGES.items() if says]
    assert len(messages) == len(noted)
    for name, message in zip(noted, messages, strict=True):
        assert f"{name}: " in message
        assert NO_IMAGES[name][1] in message
        assert "it was kept as a file and will come back byte for byte" in message
    only_files(tmp_path, "out")
    packed = [tmp_path / "out" / f"{name}.ardm" for name in NO_IMAGES]
    run(DECOMPRESS, "-t", "-q", *packed)
    run(DECOMPRESS, "-l", *packed)
    run(DECOMPRESS, "--output-dir", tmp_path, *packed)
    assert {name: (tmp_path / name).read_bytes() for name in NO_IMAGES} == {
        name: content for name, (content, _) in NO_IMAGES.items()
    }


@pytest.mark.parametrize("exactly", [False, True])
def test_exactly_or_not_what_is_no_image_is_kept(exactly: bool, tmp_path: Path) -> None:
    (tmp_path / "n.txt").write_bytes(b"GIF89a dates from 1989\n")
    run(COMPRESS, *["--exact"] * exactly, tmp_path / "n.txt")
    assert run(DECOMPRESS, "-c", tmp_path / "n.txt.ardm").stdout == b"GIF89a dates from 1989\n"


def test_who_asks_for_pixels_hears_that_there_are_none(tmp_path: Path) -> None:
    for name in ("a.pgm", "empty.png", "text.png", "d.bin", "book.txt"):
        (tmp_path / name).write_bytes(NO_IMAGES[name][0])
    paths = [tmp_path / name for name in ("a.pgm", "empty.png", "text.png", "d.bin")]
    messages = run(COMPRESS, "--pixels", *paths, code=1).stderr.decode().splitlines()
    assert len(messages) == len(paths)
    assert all(
        "expected PNG" in message and "Without --pixels it is kept as a file" in message
        for message in messages
    )
    run(COMPRESS, "--pixels", tmp_path / "book.txt")
    only_files(tmp_path, "a.pgm", "empty.png", "text.png", "d.bin", "book.txt", "book.txt.ardm")


# ---- images


@pytest.mark.parametrize("name", EVERY)
def test_every_image_is_one(name: str) -> None:
    assert sources.is_image(EVERY[name])
    assert not sources.doubt(EVERY[name], "txt") or sources.sniff(EVERY[name])


def test_an_image_of_which_all_bytes_are_letters_is_one() -> None:
    for source in (b"P5 8 2 255 all of it, or so", b"P6\n2 2\n255\nabcdefghijkl"):
        assert sources.is_image(source)
        packed = archive.pack(source, exactly=False, order="raster")
        assert archive.unpack(packed.data) == source
        assert decompress(packed.data).size


SIGNATURES = {
    "text mode": lambda data: data.replace(b"\r\n", b"\n"),
    "other text mode": lambda data: data[:4] + data[4:40].replace(b"\n", b"\r\n") + data[40:],
    "seven bits": lambda data: bytes([data[0] & 127]) + data[1:],
    "one byte": lambda data: data[:6] + b" " + data[7:],
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_png_with_a_damaged_signature_is_a_damaged_image(name: str) -> None:
    source = SIGNATURES[name](pngs.png_of(RGB, 2, 8))
    assert sources.is_image(source)
    with pytest.raises(CorruptError, match="signature is damaged"):
        archive.pack(source, exactly=False)
    assert archive.unpack(archive.pack(source, exactly=True).data) == source


DAMAGED = {
    "png-cut": pngs.png_of(RGB, 2, 8)[:-40],
    "png-head": png.SIGNATURE + bytes(8),
    "ppm-cut": SAME["ppm"][0][:-5],
    "bmp-head": SAME["bmp-pillow"][0][:30],
    "qoi-cut": SAME["qoi"][0][:60],
    "npy-cut": SAME["npy-rgb"][0][:-5],
    "tiff-cut": SAME["tiff-rgb<"][0][:-30],
    "gif-cut": KEPT["gif-animated"][0][:-9],
    "webp-cut": saved(RGB, "WEBP", lossless=True)[:-9],
    "jpeg-head": KEPT["jpeg"][0][:9],
    "jpeg-cut": KEPT["jpeg"][0][:-90],
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_image_is_refused_and_kept_exactly(name: str) -> None:
    source = DAMAGED[name]
    assert sources.is_image(source)
    with pytest.raises(CorruptError, match="; --exact keeps the file as it is"):
        archive.pack(source, exactly=False)
    packed = archive.pack(source, exactly=True, verify=True)
    assert (packed.way, packed.indivisible) == (Way.WHOLE, True)
    assert packed.why.startswith("it is damaged: ")
    assert archive.unpack(packed.data) == source
    archive.test(packed.data)
    with pytest.raises(UnsupportedError, match="ardm-decompress restores it"):
        decompress(packed.data)


def test_a_damaged_image_through_the_commands(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    path.write_bytes(DAMAGED["png-cut"])
    assert (
        b"cut short: it ends inside a chunk of type tEXt; --exact keeps" in run(COMPRESS, path, code=4).stderr
    )
    assert (
        b"cut.png: was stored whole, because it is damaged: the PNG is cut short"
        in run(COMPRESS, "--exact", "--rm", path).stderr
    )
    run(DECOMPRESS, "--rm", tmp_path / "cut.ardm")
    assert path.read_bytes() == DAMAGED["png-cut"]
    only_files(tmp_path, "cut.png")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([*EVERY.values(), *(content for content, _ in NO_IMAGES.values())]), st.data())
def test_any_bytes_are_an_image_or_a_file(source: bytes, data: st.DataObject) -> None:
    """Whatever a file is made to begin or end with, one of the two ways keeps it."""
    cut = source[: data.draw(st.integers(0, min(len(source), 60)))] + data.draw(st.binary(max_size=40))
    if not sources.is_image(cut):
        if sources.sniff(cut) is None:
            with pytest.raises(InputError):
                archive.pack(cut, exactly=True)
        assert text.unpack(text.pack(cut, order="plain")) == cut
        return
    try:
        packed = archive.pack(cut, exactly=True, order="raster")
    except LimitError:
        return
    assert archive.unpack(packed.data) == cut
