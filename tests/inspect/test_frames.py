"""An image as it fills in: what is known is as it is, what is not is what the network expects."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from ardm.exact import mixture
from ardm.exact.predictor import Predictor, new_canvas
from codec.coder import plain
from codec.inspect.frames import expected, fill_in, window_of
from codec.inspect.measure import ROOT
from tests.inspect.test_measure import WAYS, measured


@pytest.mark.parametrize("way", WAYS)
def test_known_pixels_are_as_they_are(way: str, photo: np.ndarray, predictor: Predictor) -> None:
    pixels = photo[150:190, 300:355]
    _, bits = measured(pixels, predictor, **WAYS[way])
    assert bits.call is not None
    window = window_of(bits, 30)
    top, left, height, width = window
    frames = fill_in(pixels, bits, predictor, window, 8)
    part = pixels[top : top + height, left : left + width]
    call = bits.call[top : top + height, left : left + width]
    assert 2 <= len(frames) <= 8
    assert np.array_equal(frames[-1].pixels, part)
    assert frames[-1].known == 1
    assert frames[0].known == (call == ROOT).mean()
    for before, frame in pairwise(frames):
        assert before.known < frame.known
        assert before.calls < frame.calls
    for frame in frames:
        known = call < frame.calls
        assert np.array_equal(frame.pixels[known], part[known])
    errors = [np.abs(frame.pixels.astype(int) - part).mean() for frame in frames]
    assert errors[0] > errors[-1] == 0
    assert errors[0] >= errors[len(errors) // 2]


def test_the_network_expects_the_mean(photo: np.ndarray, predictor: Predictor) -> None:
    """Of the first channel, by adding up all 256 values; where nothing around is known, the same for all."""
    pixels = photo[150:180, 300:330]
    known = np.zeros((30, 30), bool)
    known[:9:2, :9] = True
    where = np.argwhere(~known).astype(np.int32)
    found = expected(pixels, known, where, predictor, 3)
    canvas = new_canvas(30, 30)
    canvas.image[:], canvas.mask[:] = pixels, known
    params, base = predictor.scattered(canvas, where)
    tables = plain.tables_of(predictor.weights)
    for i in range(0, len(where), 37):
        one = params[i : i + 1], base[i : i + 1]
        cost = [mixture.information(*one, np.full((1, 3), v, np.uint8), tables, 1)[0, 0] for v in range(256)]
        mean = (np.exp2(-np.array(cost)) * np.arange(256)).sum()
        assert found[i, 1] == pytest.approx(mean, abs=4)
    far = (where > 15).all(1)
    assert (found[far] == found[far][0]).all()
    alone = expected(pixels, known, where[far][5:6], predictor, 3)
    assert np.array_equal(alone[0], found[far][0])


def test_without_the_network_the_unknown_is_grey(photo: np.ndarray, predictor: Predictor) -> None:
    pixels = photo[100:164, 300:380] // 64 * 64
    _, bits = measured(pixels, predictor, order="raster")
    frames = fill_in(pixels, bits, None, (0, 0, 64, 80), 5)
    assert len(frames) == 5
    assert (frames[0].pixels == 128).all()
    assert np.array_equal(frames[-1].pixels, pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 3)])
def test_small_tiles(shape: tuple[int, int], photo: np.ndarray, predictor: Predictor) -> None:
    pixels = photo[150 : 150 + shape[0], 300 : 300 + shape[1]]
    options: dict[str, Any] = {"order": "lattice", "budget": 3, "plain": True}
    _, bits = measured(pixels, predictor, **options)
    if bits.call is None:  # stored, because that is smaller
        return
    frames = fill_in(pixels, bits, predictor, window_of(bits, 16), 4)
    assert frames[-1].known == 1
