"""Colours that a known conversion made: they are told, come back, and cost less."""

from __future__ import annotations

import io
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import codec
from codec import ArdmError, CorruptError, TruncatedError, UnsupportedError, compress, container, decompress
from codec.coder.continuation import Continuation
from codec.coder.conversions import CONVERSIONS, Conversion, from_rgb, to_rgb, told
from codec.coder.converted import CONVERTED_CODER, LISTED, open_payload, origin_of
from codec.coder.mixing import Mixing
from codec.coder.work import Work
from codec.commands.report import line_of_image
from codec.container import Entry
from codec.methods import Method
from codec.tiles import load_predictor
from tests.photos import converted
from tests.planes import decode_converted, plan

DECODED = {
    "JPEG": ("JPEG", {"quality": 85}),
    "JPEG, whole colours": ("JPEG", {"quality": 95, "subsampling": 0}),
    "WebP": ("WEBP", {"quality": 80}),
    "AVIF": ("AVIF", {"quality": 80}),
    "AVIF, video range": ("AVIF", {"quality": 80, "range": "limited"}),
}
NUMBERS = {"JPEG": 0, "JPEG, whole colours": 0, "WebP": 1, "AVIF": 2, "AVIF, video range": 3}
SIDE = 96


def decoded(pixels: np.ndarray, form: str, **options: Any) -> np.ndarray:
    """What a lossy file of a picture is decoded to."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    with Image.open(io.BytesIO(file.getvalue())) as image:
        return np.asarray(image.convert("RGB"))


def methods(data: bytes) -> list[int]:
    return [entry.method for entry in container.read(data)[0].entries]


@pytest.fixture(scope="module")
def crop() -> np.ndarray:
    return converted()[100 : 100 + SIDE, 200 : 200 + SIDE]


@pytest.fixture(scope="module")
def payload(crop: np.ndarray) -> bytes:
    predictor = load_predictor()
    return CONVERTED_CODER.encode(crop, Work(plan(predictor.weights, SIDE, SIDE, None), predictor))


def work_for(payload: bytes, continuation: Continuation | None = None) -> Work:
    predictor = load_predictor()
    return Work(plan(predictor.weights, SIDE, SIDE, None), predictor, continuation=continuation)


@pytest.mark.parametrize("name", DECODED)
def test_what_libraries_decode_is_told_and_smaller(photo: np.ndarray, name: str) -> None:
    form, options = DECODED[name]
    tile = decoded(photo[64:256, 64:320], form, **options)
    conversion = told(tile[::3, ::3])
    assert conversion is CONVERSIONS[NUMBERS[name]]
    missed = from_rgb(conversion, tile)[1]
    assert missed.mean() < 1e-3
    predictor = load_predictor()
    work = Work(plan(predictor.weights, *tile.shape[:2], None), predictor)
    by_network = codec.methods.coder_of(Method.NETWORK).encode(tile, work)
    converted = CONVERTED_CODER.encode(tile, work)
    assert len(converted) < 0.95 * len(by_network)
    assert np.array_equal(CONVERTED_CODER.decode(converted, tile.shape, work), tile)
    if form == "JPEG":  # which has a method of its own
        return
    data = compress(tile)
    assert methods(data) == [Method.CONVERTED]
    assert np.array_equal(decompress(data), tile)
    said = codec.info(data)
    assert (said["converted_planes"], said["network_planes"], said["evaluations_per_pixel"]) == (1, 0, 1)
    assert "raster order, mixing" in line_of_image(said | {"file": "a", "restores": "content"})


def test_it_pays_to_know_of_blocks(photo: np.ndarray) -> None:
    pixels = decoded(photo[100:260, 200:360], "JPEG", quality=85)
    conversion = told(pixels.reshape(-1, 3))
    assert conversion is not None
    truth = np.ascontiguousarray(from_rgb(conversion, pixels)[0].transpose(2, 0, 1)).astype(np.int16)
    sizes = []
    for blocks in ((0, 0), None):
        mixing = Mixing(3, truth[0].size, load_predictor().weights, blocks=blocks)
        mixing.start_stage(np.zeros_like(truth), truth)
        mixing.code_raster(4)
        sizes.append(len(mixing.finish()))
    assert sizes[0] < 0.99 * sizes[1]


@pytest.mark.parametrize("origin", [(0, 0), (3, 6), (7, 1)])
def test_blocks_are_found(photo: np.ndarray, origin: tuple[int, int]) -> None:
    """Wherever a picture that was a JPEG is cut; and a picture too small for blocks is no trouble."""
    pixels = decoded(photo[100:260, 200:360], "JPEG", quality=75)
    conversion = told(pixels.reshape(-1, 3))
    assert conversion is not None
    luma = from_rgb(conversion, pixels)[0][..., 1]
    assert origin_of(luma[origin[0] :, origin[1] :]) == origin
    for height, width in ((1, 1), (2, 3), (3, 2), (1, 160)):
        assert 0 <= min(origin_of(luma[:height, :width])) <= max(origin_of(luma[:height, :width])) < 8


def test_a_photo_cd_is_told() -> None:
    assert told(converted()[::9, ::9]) is CONVERSIONS[4]
    _, missed = from_rgb(CONVERSIONS[4], converted())
    assert missed.mean() < 1e-4


def test_the_conversion_that_fits_best_is_told() -> None:
    """Of an AVIF's colours JPEG's conversion makes the most, too."""
    jpeg, avif = CONVERSIONS[0], CONVERSIONS[2]
    rng = np.random.default_rng(5)
    planes = np.dstack([rng.integers(60, 200, (200, 200)), *rng.integers(110, 146, (2, 200, 200))])
    colours = to_rgb(avif, planes.astype(np.uint8))
    _, missed = from_rgb(jpeg, colours)
    for _ in range(9):
        shared, others = (
            rng.permutation(colours[part])[:count] for part, count in ((~missed, 980), (missed, 20))
        )
        assert told(rng.permutation(np.concatenate([shared, others])).reshape(20, 50, 3)) is avif


def test_other_pictures_are_not_taken_for_converted(photo: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    grey = np.repeat(photo[:64, :64, 1:2], 3, 2)
    few = rng.integers(0, 256, (8, 3), dtype=np.uint8)[rng.integers(0, 8, (64, 64))]
    noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for picture in (photo[::9, ::9], grey, few, noise, noise[:1, :1], np.zeros((0, 4, 3), np.uint8)):
        assert told(picture) is None
    assert methods(compress(photo[:64, :64])) == [Method.NETWORK]


@pytest.mark.parametrize("conversion", CONVERSIONS, ids=lambda conversion: conversion.label)
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 128))
def test_the_way_back_misses_no_colour_between(conversion: Conversion, seed: int, spread: int) -> None:
    """Of any luma and differences; clipped colours it may miss, and says so."""
    rng = np.random.default_rng(seed)
    luma = rng.integers(0, 256, (20, 20, 1))
    planes = luma + np.concatenate(
        [rng.integers(-spread, spread, (20, 20, 1)) * (c != 1) for c in range(3)], 2
    )
    colours = to_rgb(conversion, planes.astype(np.uint8))
    back, missed = from_rgb(conversion, colours)
    again = to_rgb(conversion, back)
    assert np.array_equal((again != colours).any(2), missed)
    between = ((colours > 0) & (colours < 255)).all(2)
    assert not missed[between].any()


def test_clipped_colours_stay_near_their_neighbours(photo: np.ndarray) -> None:
    bright = np.clip(photo[:128, :128].astype(int) * 2 - 100, 0, 255).astype(np.uint8)
    tile = decoded(bright, "JPEG", quality=90)
    assert ((tile == 0) | (tile == 255)).any(2).mean() > 0.1
    conversion = told(tile)
    assert conversion is CONVERSIONS[0]
    planes, missed = from_rgb(conversion, tile)
    assert missed.mean() < 0.01
    u = planes[..., 2].astype(np.int8) - planes[..., 1].astype(np.int8)
    assert np.abs(np.diff(u.astype(int), axis=1)).mean() < 3


@pytest.mark.parametrize(
    "options", [{}, {"plain": True}, {"order": "lattice"}, {"seed": 4, "budget": 12}, {"tile": 40}], ids=str
)
def test_every_order_and_painted_pixels(crop: np.ndarray, options: dict[str, Any]) -> None:
    tile = crop.copy()
    tile[10, 20:40] = 255, 0, 77
    tile[95, 95] = 1, 254, 3
    data = compress(tile, **options)
    assert Method.CONVERTED in methods(data)
    assert np.array_equal(decompress(data), tile)
    with codec.open(data) as file:
        assert np.array_equal(file.read(box=(8, 4, 58, 34)), tile[4:34, 8:58])


def test_previews_have_painted_pixels(crop: np.ndarray) -> None:
    tile = crop.copy()
    tile[8:9, 16:40] = 200, 255, 9
    with codec.open(compress(tile, order="lattice")) as file:
        assert np.array_equal(file.every(4), tile[::4, ::4])


def test_a_painted_picture_is_coded_as_it_is(crop: np.ndarray) -> None:
    tile = crop.copy()
    rows = SIDE // LISTED + 1  # more pixels than may be listed, together
    tile[40 : 40 + rows] = np.random.default_rng(1).integers(1, 255, (rows, SIDE, 3))
    assert told(tile) is not None
    assert CONVERTED_CODER.pack(tile, Work()) is None
    assert methods(compress(tile)) == [Method.NETWORK]
    with pytest.raises(ValueError, match="no conversion"):
        CONVERTED_CODER.encode(tile, Work())


def test_alpha_and_sixteen_bits(crop: np.ndarray) -> None:
    alpha = np.add.outer(np.arange(SIDE), np.arange(SIDE)).astype(np.uint8)[..., None]
    for picture in (np.concatenate([crop, alpha], 2), crop * np.uint16(257)):
        data = compress(picture)
        assert methods(data)[0] == Method.CONVERTED
        assert np.array_equal(decompress(data), picture)


def forged(payload: bytes, channels: int = 3) -> bytes:
    header = container.read(compress(np.zeros((SIDE, SIDE, channels), np.uint8), verify=False))[0]
    entry = Entry(Method.CONVERTED, len(payload), zlib.crc32(payload))
    more = header.entries[1:]
    return container.write(replace(header, entries=(entry, *more)), [payload] + [b""] * len(more))


def test_what_a_payload_must_be(payload: bytes) -> None:
    assert payload[0] == 4
    assert open_payload(payload, SIDE * SIDE)[0] == 4
    listed = bytes([0, 19, 2, 5, 1, 2, 3, 0, 7, 8, 9])
    number, origin, (places, colours), at = open_payload(listed, 10)
    assert (number, origin, places.tolist()) == (0, (2, 3), [5, 6])
    assert (colours.tolist(), at) == ([[1, 2, 3], [7, 8, 9]], 11)
    for wrong, error, said in [
        (bytes([len(CONVERSIONS), 0]), UnsupportedError, "newer ardm"),
        (bytes([0, 64, 0]), CorruptError, "blocks begin at 64"),
        (bytes([0, 0, 11]), CorruptError, "lists 11"),
        (bytes([0, 0, 2, 9, 1, 2, 3, 0, 1, 2, 3]), CorruptError, "lists pixel 10"),
        (listed[:10], TruncatedError, "cut short"),
        (b"", TruncatedError, "cut short"),
        (b"\0", TruncatedError, "cut short"),
        (b"\0\0", TruncatedError, "ends inside"),
    ]:
        with pytest.raises(error, match=said):
            open_payload(wrong, 10)
    with pytest.raises(CorruptError, match="only planes of RGB"):
        decompress(forged(payload, channels=1))
    with pytest.raises(ArdmError):
        decompress(forged(payload[:3] + payload[5:]))


@pytest.mark.parametrize("kept", [0, 1, 2, 9, 0.5, 0.99])
def test_a_cut_payload_is_gone_on_with(crop: np.ndarray, payload: bytes, kept: float) -> None:
    begin = open_payload(payload, SIDE * SIDE)[-1]  # of words; one of them is cut, which alone is noticed
    cut = payload[: kept if isinstance(kept, int) else begin + int(kept * len(payload)) // 4 * 4 - 3]
    with pytest.raises(TruncatedError):
        decode_converted(cut, crop.shape, work_for(cut))
    continuation = Continuation([1], len(payload) - len(cut))
    out = decode_converted(cut, crop.shape, work_for(cut, continuation))
    assert out.shape == crop.shape
    sure = ~continuation.drawn
    assert sure.any() == (kept == 0.5 or kept == 0.99)
    assert np.array_equal(out[sure], crop[sure])
