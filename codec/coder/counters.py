"""Counters of bits: how probable a 1 is after the same things, each in 32 bits. Knows numbers only; what the
same things are is for those who ask.

24 bits for the probability, of which the highest is inverted, and 8 for how many bits have been seen; so that
0 is a counter that has seen none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ardm.compiled import BORROWING, inlined
from codec.coder.arithmetic import log, rounded
from codec.coder.rangecoder import ONE

# Bits that a new counter counts as having seen, and one: the fewer, the more the first ones move it.
PRIORS = "1.6", "1.02", "1.3", "1.8"
AGES = 256  # reciprocals of each; below, where those begin
SLOW, EAGER, QUICK, CAREFUL = range(0, AGES * len(PRIORS), AGES)


def _reciprocal(count: int, prior: str) -> int:
    """65536 over so many bits, those that a new counter counts as having seen among them."""
    return rounded(lambda number: 65536 / (count + number(prior)))


def _reciprocals() -> np.ndarray:
    """Of all ages, for each prior, int64."""
    return np.array([_reciprocal(i, prior) for prior in PRIORS for i in range(AGES)])


RECIPROCAL = _reciprocals()
HALF = 0x800000  # of ONE: the probability of a counter that has seen nothing


@inlined(**BORROWING)
def log_odds(counter: Any) -> Any:
    """What a counter says."""
    odds = (np.int64(counter) >> 8) ^ HALF
    return log(float(odds + 1)) - log(float(ONE - odds))


@inlined(**BORROWING)
def counted(counter: Any, bit: Any, first: Any, most: Any) -> Any:
    """A counter that has seen another bit. first: of its reciprocals; most: bits that it counts."""
    state = np.int64(counter)
    age = state & (AGES - 1)
    ones = (state >> 8) ^ HALF
    ones += ((np.int64(bit) * (ONE - 1) - ones) * RECIPROCAL[np.uint64(first + age)]) >> 16
    return np.uint32((ones ^ HALF) << 8 | min(age + 1, most))
