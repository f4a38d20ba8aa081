"""Counters of bits: bounds, and what they say."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from codec.coder.counters import AGES, CAREFUL, EAGER, HALF, QUICK, SLOW, counted, log_odds
from codec.coder.rangecoder import ONE


@njit
def after(bits: np.ndarray, first: int, most: int) -> np.ndarray:
    """A counter after each of so many bits, uint32, and what it says."""
    counter, out = np.uint32(0), np.zeros((bits.size, 2))
    for i in range(bits.size):
        counter = counted(counter, bits[i], first, most)
        out[i, 0], out[i, 1] = counter, log_odds(counter)
    return out


def test_one_that_has_seen_nothing_says_nothing() -> None:
    """Whichever bit comes first, it moves as far."""
    one, zero = (after(np.array([bit]), QUICK, 250)[0, 1] for bit in (1, 0))
    assert 0 < one == pytest.approx(-zero, abs=0.01)


@pytest.mark.parametrize("first", [SLOW, EAGER, QUICK, CAREFUL])
@pytest.mark.parametrize("bit", [0, 1])
def test_equal_bits_make_it_ever_surer(first: int, bit: int) -> None:
    found = after(np.full(5000, bit), first, 250)
    counters = found[:, 0].astype(np.int64)
    ones = (counters >> 8) ^ HALF
    assert 0 <= ones.min() <= ones.max() < ONE
    assert np.array_equal(counters % AGES, np.minimum(np.arange(1, 5001), 250))
    said = found[:, 1] if bit else -found[:, 1]
    assert np.all(np.diff(said) >= 0)
    assert 10 < said[-1] < 17


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_it_says_what_it_has_seen(share: float) -> None:
    bits = (np.random.default_rng(1).random(20000) < share).astype(np.int64)
    said = 1 / (1 + np.exp(-after(bits, SLOW, 250)[1000:, 1]))
    assert abs(said.mean() - share) < 0.01
