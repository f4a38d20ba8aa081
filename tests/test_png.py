"""PNG in and out: the supported kinds, what is kept, and one clear error for everything else."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codec import CorruptError, InputError, LimitError, TruncatedError, UnsupportedError, png

SUITE = Path(__file__).parent / "data" / "png"  # part of PngSuite, by Willem van Schaik, free to use
GOOD = [
    "basn0g08",
    "basn2c08",
    "basn4a08",
    "basn6a08",
    "basi0g08",
    "basi2c08",
    "basi4a08",
    "basi6a08",
    "cs8n2c08",
    "ccwn2c08",
    "f04n2c08",
    "g05n2c08",
    "tbrn2c08",
]
UNSUPPORTED = ["basn0g01", "basn0g16", "basn2c16", "basn3p08", "basn6a16", "ct1n0g04", "ctzn0g04", "s01n3p01", "ps2n2c16", "pp0n2c16", "exif2c08"]


@pytest.mark.parametrize("name", [n for n in GOOD if (SUITE / f"{n}.png").exists()])
def test_good_files_come_back(name: str) -> None:
    data = (SUITE / f"{name}.png").read_bytes()
    first = png.read(data, 10**6)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(first.pixels, np.asarray(image))
    again = png.read(png.write(first), 10**6)
    assert np.array_equal(again.pixels, first.pixels)
    assert (again.before, again.after) == (first.before, first.after)
    if first.before or first.after:
        assert png.unpack_chunks(png.pack_chunks(first)) == (first.before, first.after)
    else:
        assert png.pack_chunks(first) == b""


@pytest.mark.parametrize("name", sorted(p.stem for p in SUITE.glob("x*.png")))
def test_corrupt_files_are_refused(name: str) -> None:
    with pytest.raises((CorruptError, InputError)):
        png.read((SUITE / f"{name}.png").read_bytes(), 10**6)


@pytest.mark.parametrize("name", [n for n in UNSUPPORTED if (SUITE / f"{n}.png").exists() and not n.startswith("exif")])
def test_other_kinds_are_not_supported_yet(name: str) -> None:
    with pytest.raises(UnsupportedError, match="not supported yet"):
        png.read((SUITE / f"{name}.png").read_bytes(), 10**6)


def build(chunks: list[tuple[bytes, bytes]]) -> bytes:
    out = png.SIGNATURE
    for kind, data in chunks:
        out += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return out


HEAD = (b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0))
DATA = (b"IDAT", zlib.compress(b"\0\1\2\0\3\4"))
END = (b"IEND", b"")


def test_every_ancillary_chunk_keeps_its_place() -> None:
    text, time, private = (b"tEXt", b"Title\0a b"), (b"tIME", bytes(7)), (b"prVt", b"\0\1\2")
    data = build([HEAD, (b"gAMA", struct.pack(">I", 45455)), private, DATA, text, time, END])
    image = png.read(data, 100)
    assert image.pixels.tolist() == [[1, 2], [3, 4]]
    assert png.write(png.Png(image.pixels, *png.unpack_chunks(png.pack_chunks(image)))).count(b"prVt") == 1
    restored = png.read(png.write(image), 100)
    assert (restored.before, restored.after) == (image.before, image.after)


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (b"", InputError, "empty"),
        (b"hello", InputError, "not a PNG"),
        (b"\xff\xd8\xff\xe0 jpeg", InputError, "a JPEG file"),
        (build([HEAD, DATA]), TruncatedError, "cut short"),
        (build([HEAD, DATA, END])[:-20], TruncatedError, "cut short"),
        (build([HEAD, END]), CorruptError, "no image data"),
        (build([DATA, HEAD, END]), CorruptError, "header chunk"),
        (build([HEAD, (b"IDAT", zlib.compress(b"\0\1")), END]), CorruptError, "damaged"),
        (build([HEAD, (b"ABCD", b""), DATA, END]), UnsupportedError, "critical chunk"),
        (build([HEAD, (b"acTL", bytes(8)), DATA, END]), UnsupportedError, "animated"),
        (build([HEAD, HEAD, DATA, END]), CorruptError, "out of order"),
        (build([HEAD, DATA, (b"tEXt", b"a"), DATA, END]), CorruptError, "out of order"),
        (build([HEAD, DATA, (b"IEND", b"x")]), CorruptError, "out of order"),
        (build([HEAD, DATA, END]) + b"tail", UnsupportedError, "after its end marker"),
        (build([(b"IHDR", struct.pack(">IIBBBBB", 70000, 70000, 8, 2, 0, 0, 0)), DATA, END]), LimitError, "limit"),
        (build([(b"IHDR", struct.pack(">IIBBBBB", 0, 2, 8, 0, 0, 0, 0)), DATA, END]), CorruptError, "does not allow"),
    ],
)
def test_bad_input_has_one_clear_cause(data: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        png.read(data, 10**6)


def test_a_changed_checksum_is_noticed() -> None:
    data = bytearray(build([HEAD, DATA, END]))
    data[-20] ^= 1
    with pytest.raises(CorruptError, match="checksum"):
        png.read(bytes(data), 100)


def test_kept_chunks_cannot_change_the_image() -> None:
    forged = png.Png(np.zeros((1, 1), np.uint8), build([DATA])[8:], b"")
    with pytest.raises(CorruptError, match="would change the image"):
        png.unpack_chunks(png.pack_chunks(forged))
