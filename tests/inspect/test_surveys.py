"""Files of every kind, looked at: sums that are those of the file, samples of large images, and what is said
where nothing can be measured.
"""

from __future__ import annotations

import io
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codec import CorruptError, NotArdmError, archive, compress, text
from codec.coder.schedule import Schedule
from codec.container import NO_WEIGHTS, Header
from codec.inspect import beside, facts, plots, sums, survey
from codec.inspect.facts import Fact
from codec.inspect.measure import Fineness
from codec.inspect.surveys import Survey, sample_of
from codec.limits import NO_LIMITS
from codec.opened import open_bytes
from codec.samples import Kind
from tests import pngs
from tests.samples import GOLDEN

FILES = [
    "one-pixel",
    "photo-rgba",
    "photo-grey-alpha",
    "lattice-tiles",
    "lattice-rgba",
    "plain-lattice",
    "random-grey",
    "graphics",
    "noise",
    "samples-folded-16",
    "samples-grey-16",
    "samples-grey-2",
    "samples-palette-4",
    "fine-rgb-10",
    "palette-flat",
    "palette-rgba-tiles",
    "png-content-interlaced-palette",
    "whole-file",
]


def look(name: str) -> Survey:
    return survey((GOLDEN / f"{name}.ardm").read_bytes(), name)


@pytest.mark.parametrize("name", FILES)
def test_sums_are_those_of_the_file(name: str) -> None:
    seen = look(name)
    opened = open_bytes((GOLDEN / f"{name}.ardm").read_bytes(), NO_LIMITS)
    assert seen.shape == (opened.header.height, opened.header.width)
    assert seen.size == opened.size
    assert sum(c.size for c in seen.facts.coded) == opened.size - opened.at
    assert sum(size for _, _, size in facts.by_method(seen.facts)) == opened.size - opened.at
    if opened.header.whole:
        assert not seen.measured
        return
    assert seen.complete
    assert len(seen.measured) == len(opened.header.entries)
    assert sums.heat(seen).sum() == pytest.approx(8 * (opened.size - opened.at))
    networked = [c.size for c in seen.facts.coded if c.method == "network"]
    steps = sums.by_call(seen)
    assert sum(step.spent for step in steps) == pytest.approx(8 * sum(networked))
    levels = sums.by_level(seen)
    if levels:
        assert sum(step.spent for step in levels) == pytest.approx(8 * sum(networked))
        assert levels[0].label == "root, stored"
        assert [step.level for step in levels[1:]] == list(reversed(range(len(levels) - 1)))
    network = sum(bits for _, bits, _ in sums.by_channel(seen))
    assert network == pytest.approx(sum(step.network for step in steps))
    assert seen.picture is not None
    assert seen.picture.size == seen.shape[::-1]


def test_names_of_channels_and_planes(photo: np.ndarray) -> None:
    pixels = photo[100:130, 300:340]
    seen = survey(compress(np.concatenate([pixels, pixels[::-1, :, :1]], 2), plain=True, verify=False))
    assert [label for label, *_ in sums.by_channel(seen)] == [
        "RGB: green, first",
        "RGB: red, given green",
        "RGB: blue, given both",
        "alpha",
    ]
    assert seen.facts.planes == ("RGB", "alpha")
    assert look("samples-grey-16").facts.planes == ("grey, high bytes", "grey, low bytes")


def test_calls_are_named_by_level(photo: np.ndarray) -> None:
    seen = survey(compress(photo[150:190, 300:355], order="lattice", budget=20, verify=False))
    steps = sums.by_call(seen)
    assert steps[0].label == "root"
    assert steps[0].network == 0
    assert len(steps) == 1 + 20
    assert [s.level for s in steps[1:]] == sorted((s.level or 0 for s in steps[1:]), reverse=True)
    assert sum(s.subpixels for s in steps) == 40 * 55 * 3


def test_tiles_of_other_shapes_are_added_up(photo: np.ndarray) -> None:
    """Tiles at the edges have fewer stages and calls: the same call of the same level counts together."""
    seen = survey(compress(photo[150:190, 300:370], order="lattice", budget=20, tile=32, verify=False))
    assert len(seen.measured) == 6
    assert sum(s.subpixels for s in sums.by_call(seen)) == 40 * 70 * 3
    assert len(sums.by_call(seen)) <= 1 + 20


def header(width: int, height: int, tile: tuple[int, int]) -> Header:
    return Header(width, height, 3, tile, NO_WEIGHTS, Schedule(), True, b"")


def test_a_sample_is_a_block_of_whole_tiles() -> None:
    assert sample_of(header(100, 60, (64, 100)), 10**6) == (0, 0, 100, 60)
    assert sample_of(header(1000, 1000, (500, 500)), 1) == (500, 500, 1000, 1000)
    left, upper, right, lower = sample_of(header(6000, 4000, (1000, 1000)), 2**20)
    assert (right - left, lower - upper) == (1000, 1000)
    left, upper, right, lower = sample_of(header(6000, 4000, (400, 600)), 2**20)
    assert 2**19 < (right - left) * (lower - upper) <= 2**20
    assert (left % 600, upper % 400) == (0, 0)


def test_a_large_image_is_measured_in_part(photo: np.ndarray) -> None:
    data = compress(photo[100:196, 300:428], tile=32, plain=True, verify=False)
    seen = survey(data, sample=2500)
    assert seen.box == (32, 32, 96, 64)
    assert not seen.complete
    assert "Measured" in seen.notes[0]
    assert sums.heat(seen).shape == (32, 64)
    assert seen.size == sum(seen.facts.coded[m.index].size for m in seen.measured)
    assert sums.heat(seen).sum() == pytest.approx(8 * seen.size)
    assert len(seen.facts.coded) == 12  # the map of methods is of all of it
    assert seen.picture is not None
    assert seen.picture.size == (128, 96)


def test_other_formats_hold_the_same_pixels(photo: np.ndarray) -> None:
    pixels = photo[100:160, 300:380]
    image = Image.fromarray(pixels)
    png = io.BytesIO()
    image.save(png, "PNG")
    found = {size.label: size.size for size in beside.sizes(pixels, image, png.getvalue(), False)}
    webp = io.BytesIO()
    image.save(webp, "WEBP", lossless=True, quality=100, method=6, exact=True)
    assert found["WebP, lossless"] == len(webp.getvalue())
    assert np.array_equal(np.asarray(Image.open(webp)), pixels)
    assert found["PNG, as ardm-decompress writes it"] == len(png.getvalue())
    assert (found["JPEG XL, effort 9"] or 0) < len(webp.getvalue())


def test_what_a_format_cannot_hold_is_left_out(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    seen = survey(compress(photo[:9, :9].astype(np.uint16) * 200))
    assert [bool(other.size) for other in seen.others] == [True, False, False, False]
    assert "imagecodecs is not installed" in seen.others[3].why
    drawn = plots.beside(seen)
    assert drawn
    assert "WebP" not in drawn.svg


def test_sixteen_bits_are_shown_by_their_upper_ones() -> None:
    seen = look("samples-grey-16")
    pixels = np.asarray(Image.open(GOLDEN / "samples-grey-16.png"))
    assert seen.picture is not None
    assert np.array_equal(np.asarray(seen.picture)[..., 0], (pixels >> 8).astype(np.uint8))
    assert {m.bits.fineness for m in seen.measured} <= {Fineness.PLANE, Fineness.STRIP, Fineness.PIXEL}


def test_palettes_are_shown_in_colour() -> None:
    seen = look("png-content-interlaced-palette")
    with Image.open(GOLDEN / "png-content-interlaced-palette.png") as image:
        expected = np.asarray(image.convert("RGBA"))
    assert seen.picture is not None
    assert np.array_equal(np.asarray(seen.picture.convert("RGBA")), expected)


def test_indices_without_a_palette_are_greys() -> None:
    indices = (np.add.outer(np.arange(40), np.arange(50)) // 9 % 16).astype(np.uint8)
    seen = survey(compress(indices, kind=Kind(4, indexed=True)))
    assert seen.picture is not None
    assert np.array_equal(np.asarray(seen.picture)[..., 0], indices * 17)


def test_a_file_kept_whole(photo: np.ndarray) -> None:
    out = io.BytesIO()
    Image.fromarray(photo[:40, :50]).save(out, "JPEG")
    seen = survey(archive.pack(out.getvalue(), exactly=False).data, "photo.ardm")
    assert "kept by a JPEG's coefficients" in seen.notes[0]
    assert seen.picture is not None
    assert seen.picture.size == (50, 40)
    assert not seen.measured


def test_a_text() -> None:
    seen = survey(text.pack(b"a text " * 40, name="a.txt"), "a.txt.ardm")
    assert seen.facts.kind == "text"
    assert "no pixels" in seen.notes[0]
    assert Fact("Name kept", "a.txt") in seen.facts.rows


def test_metadata_is_listed_with_what_it_says() -> None:
    chunks = [(b"tEXt", b"Title\0A bridge"), (b"zTXt", b"Long\0\0" + zlib.compress(b"words"))]
    chunks += [(b"iTXt", "Name\0\0\0de\0Name\0Brücke".encode()), (b"pHYs", bytes(9))]
    head, *rest = pngs.split(pngs.png_of(np.zeros((2, 2), np.uint8), 0, 8))
    data = archive.pack(pngs.build([head, *chunks, *rest[2:-3], rest[-1]]), exactly=False).data
    rows = {row.label: row.value for row in survey(data).facts.metadata}
    assert rows["tEXt"] == "14 bytes: Title A bridge"
    assert rows["zTXt"].endswith(": Long words")
    assert rows["iTXt"].endswith("Brücke")
    assert rows["pHYs"] == "9 bytes"


def test_damage_is_refused(photo: np.ndarray) -> None:
    data = bytearray(compress(photo[:20, :30]))
    data[-10] ^= 1
    with pytest.raises(CorruptError, match="tile at row 0, column 0"):
        survey(bytes(data))
    with pytest.raises(NotArdmError):
        survey(b"")
    with pytest.raises(NotArdmError):
        survey(Path(__file__).read_bytes())
