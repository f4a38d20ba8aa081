"""Simple predictions beside the network: their histograms count what they say, and help where the network does
not know the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ardm.exact import window
from codec.coder import guesses as module
from codec.coder.arithmetic import PAD
from codec.coder.guesses import BINS, GUESSES, MIDDLE, MOST, Guesses, new_guesses
from codec.coder.mixing import Mixing
from tests.compiled import called

STRIP, WIDTH = 5, 6


def counts_of(guesses: Guesses, j: int) -> list[int]:
    """Of the histogram at hand of guess j: how many values were less than each bin."""
    return guesses.counts[guesses.first[j] : guesses.first[j] + BINS].tolist()


def test_histograms_count_values() -> None:
    rng, guesses = np.random.default_rng(1), new_guesses(STRIP, WIDTH)
    learn = called(module.learn_guesses)
    guesses.guess[:] = np.arange(100, 100 + GUESSES)
    guesses.shift[:] = MIDDLE - guesses.guess
    guesses.first[:] = np.arange(GUESSES) * BINS
    values = np.concatenate([[0, 255], rng.integers(90, 120, MOST // 2)])
    for value in values.tolist():
        learn(1, value, 3, 4, WIDTH + 2 * PAD, guesses)
    for j in range(GUESSES):
        bins = (values - guesses.guess[j] + MIDDLE).clip(0, BINS - 1)
        assert counts_of(guesses, j) == [int((bins < i).sum()) for i in range(BINS)]
    errors = guesses.error.reshape(-1, WIDTH + 2 * PAD, 3, GUESSES)[3, PAD + 4, 1]
    assert np.array_equal(errors, abs(values[-1] - guesses.guess))


def test_full_histograms_are_halved_and_stay_in_order() -> None:
    rng, guesses = np.random.default_rng(2), new_guesses(STRIP, WIDTH)
    learn = called(module.learn_guesses)
    guesses.shift[:] = MIDDLE
    guesses.first[:] = np.arange(GUESSES) * BINS
    most = 0
    for value in rng.integers(0, 3, 5 * MOST).tolist():
        learn(0, value, 2, 5, WIDTH + 2 * PAD, guesses)
        counts = counts_of(guesses, 0)
        assert counts == sorted(counts)
        most = max(most, counts[-1])
    assert most == MOST - 1
    assert guesses.counts[GUESSES * BINS :].max() == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_that_the_network_does_not_know_are_smaller(
    photo: np.ndarray, monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    """A photo enlarged to one and a half times its size by repeating pixels, with rings drawn into it."""
    rows, columns = (np.arange(n * 3 // 2) * 2 // 3 for n in (64, 64))
    image = photo[:64, :64][rows][:, columns].copy()
    for y in range(8, 80, 16):
        for x in range(8, 80, 12):
            image[y, x : x + 5] = image[y + 4, x : x + 5] = image[y : y + 5, x] = (40, 40, 250)
    if channels == 1:
        image = np.repeat(image[..., 1:2], 3, 2)
    truth = np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.int16)
    weights, phase = window.load(window.RASTER_ID), Mixing._phase

    def size(asked: bool) -> int:
        def without(self: Mixing, *arguments: Any) -> Any:
            return phase(self, *arguments)._replace(histograms=asked)

        monkeypatch.setattr(Mixing, "_phase", without)
        mixing = Mixing(channels, image.shape[0] * image.shape[1], weights)
        mixing.start_stage(np.zeros_like(truth), truth)
        mixing.code_raster(4)
        return len(mixing.finish())

    assert size(True) < 0.98 * size(False)
