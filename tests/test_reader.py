"""`codec.open`: parts and previews of images, from bytes, paths, URLs and file objects; only what is needed is
read.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import codec
from codec import CorruptError, ImageReader, InputError, LimitError, TruncatedError, compress, container, png
from codec.samples import Kind
from tests import pngs

WAYS = [{"tile": 32}, {"tile": 32, "order": "lattice"}, {"tile": 32, "seed": 3, "budget": 20}, {}]


def pictures(photo: np.ndarray) -> dict[str, np.ndarray]:
    crop = photo[:70, :90]
    alpha = (np.arange(70)[:, None] * 3 + np.arange(90) % 7).astype(np.uint8)[..., None]
    return {
        "rgb": crop,
        "grey": np.ascontiguousarray(crop[..., 1]),
        "rgba": np.concatenate([crop, alpha], 2),
        "rgb-16": crop * np.uint16(251) + np.arange(90, dtype=np.uint16)[:, None] % 11,
        "widened-16": crop * np.uint16(257),
    }


@pytest.mark.parametrize("options", WAYS, ids=["raster", "lattice", "random", "one-tile"])
@pytest.mark.parametrize("name", ["rgb", "grey", "rgba", "rgb-16", "widened-16"])
def test_parts_are_those_of_the_image(name: str, options: dict[str, Any], photo: np.ndarray) -> None:
    if name == "rgb-16" and options.get("seed"):
        options = options | {"budget": 8}
    pixels = pictures(photo)[name]
    reader = codec.open(compress(pixels, verify=False, **options))
    assert (reader.shape, reader.dtype, reader.ndim) == (pixels.shape, pixels.dtype, pixels.ndim)
    found = reader.read((5, 30, 40, 37))
    assert np.array_equal(found, pixels[30:37, 5:40])
    assert found.flags.owndata
    assert found.flags.writeable
    assert np.array_equal(reader[60:, -3], pixels[60:, -3])
    assert np.array_equal(reader[-1:3:-7, 2:50:5], pixels[-1:3:-7, 2:50:5])
    assert np.array_equal(reader[..., 0], pixels[..., 0])
    assert np.array_equal(reader[3], pixels[3])
    assert reader[9:9].shape == pixels[9:9].shape


def test_an_array_can_be_made_of_it(photo: np.ndarray) -> None:
    reader = codec.open(compress(photo[:20, :30], plain=True))
    assert np.array_equal(np.asarray(reader), photo[:20, :30])
    with pytest.raises(ValueError, match="copy=False"):
        reader.__array__(copy=False)


class Counting(io.BytesIO):
    """A file that notes what is read of it."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.taken += len(found)
        return found


@pytest.mark.quick
def test_only_what_is_touched_is_read(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codec.opened.FIRST_READ", 100)
    data = compress(photo[:128, :128], tile=32, plain=True)
    file = Counting(data)
    reader = codec.open(file)
    assert file.taken < 2000
    before = file.taken
    assert np.array_equal(reader.read((33, 33, 60, 60)), photo[33:60, 33:60])
    assert file.taken - before == reader._opened.header.entries[5].length
    assert np.array_equal(reader.read(), photo[:128, :128])


def test_damage_elsewhere_does_not_matter(photo: np.ndarray) -> None:
    data = bytearray(compress(photo[:64, :64], tile=32, plain=True))
    data[-3] ^= 1  # of the last tile
    reader = codec.open(bytes(data))
    assert np.array_equal(reader.read((0, 0, 64, 32)), photo[:32, :64])
    with pytest.raises(CorruptError, match="tile at row 32, column 32"):
        reader.read((40, 40, 41, 41))
    with pytest.raises(TruncatedError, match="the end is missing"):
        codec.open(bytes(data[:-1]))


def test_paths_urls_and_files(tmp_path: Path, photo: np.ndarray) -> None:
    fsspec = pytest.importorskip("fsspec")
    data = compress(photo[:20, :30], plain=True)
    path = tmp_path / "a.ardm"
    path.write_bytes(data)
    with fsspec.open("memory://bucket/a.ardm", "wb") as out:
        out.write(data)
    for source in (path, str(path), f"file://{path}", "memory://bucket/a.ardm", memoryview(data)):
        with codec.open(source) as reader:
            assert isinstance(reader, ImageReader)
            assert np.array_equal(reader.read(), photo[:20, :30]), source
            assert reader.describe()["bytes"] == len(data)
    with path.open("rb") as file:
        assert codec.open(file).width == 30
        assert not file.closed
    with pytest.raises(InputError, match="No such file"):
        codec.open(tmp_path / "none.ardm")
    with pytest.raises(InputError, match="bytes"):
        codec.open(3)  # type: ignore[arg-type]
    with pytest.raises(LimitError, match="the limit is 100"):
        codec.open(path, max_pixels=100)


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (5, 0, 4, 5), (-1, 0, 5, 5), (0, 0, 31, 5), (0, 0, 5, 21)])
def test_boxes_that_are_none(box: tuple[int, int, int, int], photo: np.ndarray) -> None:
    reader = codec.open(compress(photo[:20, :30], plain=True))
    with pytest.raises(ValueError, match="within 30 x 20 pixels"):
        reader.read(box)
    with pytest.raises(IndexError, match="out of range"):
        reader[20]
    with pytest.raises(IndexError, match="too many"):
        reader[0, 0, 0, 0]
    with pytest.raises(IndexError, match="integer or a slice"):
        reader["a"]


@pytest.mark.parametrize("options", WAYS, ids=["raster", "lattice", "random", "one-tile"])
@pytest.mark.parametrize("name", ["rgb", "grey", "rgba", "widened-16"])
def test_previews_look_like_the_image(name: str, options: dict[str, Any], photo: np.ndarray) -> None:
    pixels = pictures(photo)[name]
    reader = codec.open(compress(pixels, verify=False, **options))
    small = reader.preview(18)
    assert (small.shape, small.dtype) == ((14, 18, *pixels.shape[2:]), pixels.dtype)
    # every fourth pixel stands for sixteen in lattice and random order
    ideal = [
        np.asarray(Image.fromarray(c.astype(np.float32)).resize((18, 14), Image.Resampling.BOX))
        for c in pixels.reshape(70, 90, -1).transpose(2, 0, 1)
    ]
    scale = 257 if pixels.itemsize == 2 else 1
    difference = np.abs(small.reshape(14, 18, -1) - np.stack(ideal, 2)).mean() / scale
    assert difference < (1 if options in ({}, {"tile": 32}) else 12)
    assert np.array_equal(reader.preview(90), pixels)
    assert np.array_equal(reader.preview(1), reader.preview(1))
    with pytest.raises(ValueError, match="at least 1"):
        reader.preview(0)


def test_a_preview_in_lattice_order_leaves_the_finest_levels_out(
    photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ardm.exact.predictor import Predictor

    pixels = photo[:128, :128]
    reader = codec.open(compress(pixels, order="lattice", verify=False))
    evaluated = []
    ask = Predictor.lattice
    monkeypatch.setattr(
        Predictor, "lattice", lambda self, *given: evaluated.append(len(given[3])) or ask(self, *given)
    )
    reader.preview(32)
    assert sum(evaluated) == 32 * 32 - 2 * 2
    evaluated.clear()
    reader.read()
    assert sum(evaluated) == 128 * 128 - 2 * 2


@pytest.mark.parametrize("options", [*WAYS, {"tile": 32, "order": "lattice", "budget": 3}])
def test_every_nth_pixel_is_exact(options: dict[str, Any], photo: np.ndarray) -> None:
    for pixels in pictures(photo).values():
        plain = {"plain": True} if pixels.itemsize == 1 else {"budget": 8} if "seed" in options else {}
        reader = codec.open(compress(pixels, verify=False, **options | plain))
        for step in (1, 3, 4, 8, 16, 64, 200):
            found = reader.every(step)
            assert np.array_equal(found, pixels[::step, ::step])
            assert found.flags.owndata
    with pytest.raises(ValueError, match="step must be at least 1"):
        reader.every(0)


def test_a_file_kept_whole_and_a_palette() -> None:
    pixels = pngs.pixels_of(0, 8, 30, 30)
    source = pngs.png_of(pixels, 0, 8)
    whole = codec.open(container.write_whole(source, 30, 30, 1, Kind()))
    assert whole.describe()["whole_file"]
    assert np.array_equal(whole.read(), pixels)
    assert np.array_equal(whole.read((2, 3, 9, 8)), pixels[3:8, 2:9])
    assert whole.preview(10).shape[:2] == (10, 10)
    part = png.read(whole.png(whole.read((2, 3, 9, 8))), 100)  # smaller than what is kept
    assert np.array_equal(part.pixels, pixels[3:8, 2:9])
    indices = (np.add.outer(np.arange(40) // 5, np.arange(50) // 7) % 13).astype(np.uint8)
    reader = codec.open(compress(indices, kind=Kind(4, indexed=True)))
    assert set(np.unique(reader.preview(16))) <= set(np.unique(indices))
