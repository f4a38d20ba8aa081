"""The code on the pages of docs/format decodes what it describes: mixing in raster order, with the network and
without."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from ardm.exact import window
from codec import compress
from codec.coder.jpeg import bands, file, start
from codec.coder.jpeg.coder import JPEG_CODER
from codec.coder.jpeg.dct import Layout
from codec.coder.jpeg.origin import fitted, saved
from codec.coder.jpeg.steps import standard_tables
from codec.coder.mixing import Mixing
from codec.settings import Settings
from tests import samples, second_decoder
from tests.processes import ROOT

PAGES = (
    "stored",
    "rangecoder",
    "network",
    "orders",
    "plain",
    "arithmetic",
    "mixing",
    "converted",
    "decisions",
    "jpeg",
    "jpeg-file",
)


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the blocks define, run in order."""
    found: dict[str, Any] = {}
    for page in (ROOT / "FORMAT.md", *(ROOT / "docs" / "format" / f"{page}.md" for page in PAGES)):
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
            exec(block, found)
    found["START"] = load_file(ROOT / "ardm" / "data" / f"jpeg-{start.ID}.safetensors")
    return found


def network(names: dict[str, Any], name: str = f"raster-{window.RASTER_ID}") -> Any:
    """Weights of raster order, as network.md has them in pseudocode."""
    net, config = names["Record"](), window.load(name.split("-")[1]).config
    net.R, net.W, net.D, net.K = config.radius, config.width, config.depth, config.mixture
    net.n = (2 * net.R + 1) ** 2 - 1
    for tensor, values in load_file(ROOT / "ardm" / "data" / f"{name}.safetensors").items():
        setattr(net, tensor.replace(".", "_"), values.tolist())
    names["prepare"](net)
    return net


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("graphics", [False, True])
def test_pages_decode(names: dict[str, Any], photo: np.ndarray, channels: int, graphics: bool) -> None:
    pixels = photo[190:199, 330:341, :channels]
    if graphics:
        pixels = np.tile(pixels, (6, 6, 1))
    data = compress(pixels, settings=Settings(order="raster"))
    head, planes = second_decoder.parse(data)
    assert planes[0].method == (3 if graphics else 2)
    shape = pixels.shape[:2]
    net = None if graphics else network(names)
    strip = 1 if graphics else head.strip
    found = names["decode_raster"](planes[0].payload, *shape, channels, net, strip)
    assert np.array_equal(np.reshape(found, pixels.shape), pixels)


@pytest.mark.parametrize("name", [f"raster-{window.RASTER_ID}", f"large-{window.LARGE_ID}"])
def test_pages_decode_blocks(names: dict[str, Any], photo: np.ndarray, name: str) -> None:
    """With as many neighbours as the weights ask for."""
    pixels = photo[190:199, 330:341]
    truth = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.int16)
    mixing = Mixing(3, truth[0].size, window.load(name.split("-")[1]), blocks=(2, 5))
    mixing.start_stage(np.zeros_like(truth), truth)
    mixing.code_raster(4)
    found = names["decode_raster"](mixing.finish(), *pixels.shape, network(names, name), 4, (2, 5))
    assert np.array_equal(found, pixels)


@pytest.mark.parametrize(
    ("layout", "quality", "channels"),
    [
        (Layout(31, 37, down=2, across=2), 75, 3),
        (Layout(21, 30, 3, 12, 1, 2), 90, 3),
        (Layout(19, 26, 5, 6), 80, 3),
        (Layout(26, 19, 2, 0), 70, 1),
        (Layout(40, 41, 9, 4, 2, 2), 96, 3),
    ],
)
def test_pages_decode_jpeg(
    names: dict[str, Any], photo: np.ndarray, layout: Layout, quality: int, channels: int
) -> None:
    """Wherever blocks lie, with pixels that were painted afterwards."""
    plane = saved(
        photo[190 : 190 + layout.height, 330 : 330 + layout.width, :channels],
        layout,
        standard_tables(quality),
    )
    plane[11:14, 5:9] ^= 3
    payload = JPEG_CODER.write(fitted(layout, plane), plane)
    found = names["decode_jpeg"](payload, *plane.shape, None, None)
    assert np.array_equal(found, plane)


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 75},
        {"quality": 90, "subsampling": 0, "restart_marker_blocks": 3},
        {"quality": 85, "optimize": True},
        {"quality": 80, "progressive": True},
        {"quality": 30, "subsampling": 1, "progressive": True, "restart_marker_blocks": 2},
    ],
)
@pytest.mark.parametrize("grey", [False, True])
def test_pages_decode_jpeg_files(
    names: dict[str, Any], photo: np.ndarray, options: dict[str, Any], grey: bool
) -> None:
    buffer = io.BytesIO()
    pixels = photo[190:219, 330:367, 1] if grey else photo[190:219, 330:367]
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    source = buffer.getvalue()
    payload = file.pack(source, 29, 37, 1 if grey else 3)
    assert payload is not None
    assert names["decode_jpeg_file"](payload, 29, 37) == source


def test_pages_decode_jpegs_within(names: dict[str, Any]) -> None:
    source = (samples.GOLDEN / "jpeg-file-within.jpg").read_bytes()
    payload = file.pack(source, 63, 71, 3)
    assert payload is not None
    assert payload[0] & file.INNER
    assert names["decode_jpeg_file"](payload, 63, 71) == source


@pytest.mark.parametrize("options", [{"quality": 80}, {"quality": 60, "subsampling": 0}])
def test_pages_decode_bands(
    monkeypatch: pytest.MonkeyPatch, names: dict[str, Any], photo: np.ndarray, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(bands, "LEAST_BLOCKS", 8)
    buffer = io.BytesIO()
    Image.fromarray(photo[190:250, 330:367]).save(buffer, "JPEG", **options)
    payload = file.pack(buffer.getvalue(), 60, 37, 3)
    assert payload is not None
    assert payload[0] & file.BANDS
    assert names["decode_jpeg_file"](payload, 60, 37) == buffer.getvalue()
