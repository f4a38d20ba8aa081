"""Planes that were a JPEG: its coefficients are found, come back, and cost a fraction of the pixels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import codec
from codec import ArdmError, compress, container, decompress
from codec.coder.continuation import Continuation
from codec.coder.jpeg import dct
from codec.coder.jpeg.coder import JPEG_CODER, open_payload
from codec.coder.jpeg.dct import Layout
from codec.coder.jpeg.origin import Origin, block_corner, find, fitted, saved
from codec.coder.jpeg.steps import standard_tables
from codec.coder.schedule import Schedule
from codec.coder.work import Work
from codec.methods import Method
from codec.tiles import load_predictor
from tests.planes import plan

PILLOW = {
    "quality 75": {"quality": 75},
    "quality 95": {"quality": 95},
    "whole colours": {"quality": 90, "subsampling": 0},
    "colours of two": {"quality": 85, "subsampling": 1},
    "progressive": {"quality": 60, "progressive": True},
    "tables of its own": {"qtables": [[6 + k // 4 for k in range(64)], [9 + k // 2 for k in range(64)]]},
}


def jpeg_of(pixels: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def decoded(jpeg: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image)


def methods(data: bytes) -> list[int]:
    return [entry.method for entry in container.read(data)[0].entries]


@pytest.fixture(scope="module")
def part(photo: np.ndarray) -> np.ndarray:
    return photo[100:260, 200:376]


@pytest.mark.parametrize("name", PILLOW)
def test_a_picture_that_was_a_jpeg_is_as_small(part: np.ndarray, name: str) -> None:
    """Smaller than the JPEG was, and a fraction of what its pixels are."""
    jpeg = jpeg_of(part, **PILLOW[name])
    pixels = decoded(jpeg)
    data = compress(pixels)
    assert methods(data) == [Method.JPEG]
    assert np.array_equal(decompress(data), pixels)
    assert len(data) < len(jpeg)
    said = codec.info(data)
    assert (said["jpeg_planes"], said["network_planes"]) == (1, 0)


def test_libjpeg_is_followed_to_the_last_bit(part: np.ndarray) -> None:
    """But for pixels that are clipped, coefficients alone give what libjpeg decodes."""
    for options in ({"quality": 75}, {"quality": 80, "subsampling": 1}, {"quality": 85, "subsampling": 0}):
        pixels = decoded(jpeg_of(part // 2 + 64, **options))
        origin = find(pixels)
        assert origin is not None
        payload = JPEG_CODER.write(origin, pixels)
        assert open_payload(payload, pixels.shape)[1] is False
        assert np.array_equal(JPEG_CODER.decode(payload, pixels.shape, Work()), pixels)


@pytest.mark.parametrize("as_rgb", [False, True])
def test_grey_ones_are_found(part: np.ndarray, as_rgb: bool) -> None:
    jpeg = jpeg_of(part[..., 1], quality=80)
    pixels = decoded(jpeg)
    if as_rgb:
        pixels = np.repeat(pixels[..., None], 3, 2)
    data = compress(pixels)
    assert methods(data) == [Method.JPEG]
    assert len(data) < len(jpeg)
    assert np.array_equal(decompress(data), pixels)


@pytest.mark.parametrize("corner", [(0, 0), (3, 13), (9, 6)])
@pytest.mark.parametrize("shares", [(1, 1), (1, 2), (2, 2)])
def test_blocks_are_found_wherever_it_is_cut(
    part: np.ndarray, corner: tuple[int, int], shares: tuple[int, int]
) -> None:
    pixels = decoded(jpeg_of(part, quality=80, subsampling={1: 0, 2: 1, 4: 2}[shares[0] * shares[1]]))
    pixels = np.ascontiguousarray(pixels[corner[0] :, corner[1] :])
    origin = find(pixels)
    assert origin is not None
    period = 8 * shares[0], 8 * shares[1]
    assert origin.layout[2:] == (corner[0] % period[0], corner[1] % period[1], *shares)
    for steps, table in zip(origin.steps, (0, 1, 1), strict=True):
        assert np.array_equal(steps, standard_tables(80)[table])
    payload = JPEG_CODER.write(origin, pixels)
    assert np.array_equal(JPEG_CODER.decode(payload, pixels.shape, Work()), pixels)


def test_other_pictures_are_not_taken_for_jpegs(part: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    smaller = Image.fromarray(decoded(jpeg_of(part, quality=80))).resize((120, 110))
    for pixels in (
        part,
        part[..., :1],
        rng.integers(0, 256, (64, 64, 3), dtype=np.uint8),
        np.asarray(smaller),
    ):
        assert find(pixels) is None
    for height, width in ((1, 1), (1, 300), (8, 8), (15, 15), (16, 3)):
        assert block_corner(part[:height, :width, 0]) is None


@pytest.mark.parametrize("how", ["painted", "brighter in a corner", "noise"])
def test_what_was_done_afterwards_is_kept(part: np.ndarray, how: str) -> None:
    pixels = decoded(jpeg_of(part, quality=80)).copy()
    if how == "painted":
        pixels[30:60, 40:90] = 255, 0, 9
    elif how == "brighter in a corner":
        pixels[:50, :60] += 20
    else:
        pixels += np.random.default_rng(1).integers(0, 2, pixels.shape, dtype=np.uint8)
    data = compress(pixels)
    assert (methods(data) == [Method.JPEG]) == (how != "noise")
    assert np.array_equal(decompress(data), pixels)


def test_where_it_is_doubtful_the_smallest_is_kept(part: np.ndarray) -> None:
    """Pictures decoded from AVIF can be like JPEGs, of which many pixels are wrong."""
    pixels = decoded(jpeg_of(part, quality=90)).copy()
    rng = np.random.default_rng(1)
    for share in (0.02, 0.1):
        some = rng.random(pixels.shape[:2]) < share
        changed = np.where(some[..., None], pixels ^ 1, pixels)
        packed = JPEG_CODER.pack(changed)
        assert packed is not None
        assert packed[1] == (share == 0.02)
        predictor = load_predictor()
        work = Work(plan(predictor.weights, *changed.shape[:2], None), predictor)
        by_network = codec.methods.coder_of(Method.NETWORK).encode(changed, work)
        kept = container.read(compress(changed))[0].entries[0].length
        assert kept == len(packed[0]) if packed[1] else kept <= min(len(packed[0]), len(by_network))


def test_noise_is_not_said_by_coefficients() -> None:
    """Of few blocks chance makes a JPEG, whose steps are 1: larger than the noise itself."""
    for seed in range(40):
        noise = np.random.default_rng(seed).integers(0, 256, (23, 23), dtype=np.uint8)
        assert len(compress(noise, verify=False)) <= noise.size + 100


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_any_plane_comes_back_by_any_coefficients(data: st.DataObject) -> None:
    """What is found need not be true."""
    height, width = data.draw(st.integers(1, 24)), data.draw(st.integers(1, 24))
    down, across = data.draw(st.sampled_from([(1, 1), (1, 2), (2, 2)]))
    top, left = data.draw(st.integers(0, 8 * down - 1)), data.draw(st.integers(0, 8 * across - 1))
    channels = data.draw(st.sampled_from([1, 3])) if (down, across) == (1, 1) else 3
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    layout = Layout(height, width, top, left, down, across)
    plane = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    steps = [rng.integers(1, 256, 64) for _ in range(channels)]
    most = [dct.COEFFICIENT_MAX // table for table in steps]
    found = [
        rng.integers(-limit, limit + 1, (*layout.blocks(i == 0), 64)).astype(np.int16)
        for i, limit in enumerate(most)
    ]
    payload = JPEG_CODER.write(Origin(layout, steps, found), plane)
    assert np.array_equal(JPEG_CODER.decode(payload, plane.shape, Work()), plane)


def test_what_says_next_to_nothing_is_for_others() -> None:
    """Few bytes would claim many blocks."""
    plane = saved(np.full((304, 400, 1), 77, np.uint8), Layout(304, 400), standard_tables(10))
    plane[8:16, 8:16] = np.add.outer(np.arange(8), np.arange(8))[..., None]
    payload = JPEG_CODER.write(fitted(Layout(304, 400), plane), plane)
    assert len(payload) < JPEG_CODER.least_bytes(plane.shape, Schedule())
    assert Method.JPEG not in methods(compress(plane))


def test_the_transform_follows_libjpeg() -> None:
    """`saved`, which is our own, and Pillow's libjpeg give the same pixels of the same coefficients: a picture
    of whole blocks that was a JPEG once is hardly changed by being one again.
    """
    flat = np.zeros((16, 16), np.uint8)
    flat[:, 8:] = 200
    pixels = decoded(jpeg_of(flat, quality=50))
    assert np.array_equal(saved(pixels[..., None], Layout(16, 16), standard_tables(50))[..., 0], pixels)


@pytest.mark.parametrize("kept", [0, 2, 40, 600, -5])
def test_a_cut_payload_is_gone_on_with(part: np.ndarray, kept: int) -> None:
    pixels = decoded(jpeg_of(part // 2 + 64, quality=80))
    payload = JPEG_CODER.encode(pixels, Work())
    cut = payload[:kept]
    continuation = Continuation([3, 4], len(payload) - len(cut))
    out = JPEG_CODER.decode(cut, pixels.shape, Work(continuation=continuation))
    assert out.shape == pixels.shape
    assert continuation.drawn.any()
    assert np.array_equal(out[~continuation.drawn], pixels[~continuation.drawn])
    if kept == -5:
        assert continuation.drawn.mean() < 0.5
    with pytest.raises(ArdmError):
        JPEG_CODER.decode(cut, pixels.shape, Work())
