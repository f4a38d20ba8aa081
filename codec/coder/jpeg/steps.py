"""The steps by which a JPEG's coefficients were quantised: those of the standard, and those of which many
coefficients seem to be multiples. Knows numbers; no planes.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from codec.coder.jpeg.dct import SIDE

# Coefficients are told apart by quarters up to HIGHEST; what is less than ONE of these is 0. They are off a
# multiple of their step by OFF, where all pixels have samples of their own, and where some share them; four
# times that in FAR of all cases; anything in STRAY.
QUARTERS, HIGHEST, ONE = 4, 1024, 4
OFF, FAR, STRAY = (0.32, 0.45), 0.15, 0.005
# a step that is less than FALL of those of the lowest frequencies may be none, where all is 0
FALL, LOWEST = 0.75, [0, 1, SIDE]

# ITU-T T.81, annex K, row by row, which libjpeg scales by quality
_LUMA = (
    "16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62 "
    "18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 "
    "72 92 95 98 112 100 103 99"
)
_DIFFERENCES = "17 18 24 47 18 21 26 66 24 26 56 99 47 66 99 99"  # the upper left quarter; all others are 99


@cache
def standard_steps(quality: int, luma: bool) -> np.ndarray:
    """Steps that libjpeg takes for a quality, 1 to 100: int64 (64,), not to be changed."""
    if luma:
        base = np.array(_LUMA.split(), np.int64)
    else:
        base = np.full((SIDE, SIDE), 99)
        base[:4, :4] = np.array(_DIFFERENCES.split(), np.int64).reshape(4, 4)
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = np.clip((base.reshape(-1) * scale + 50) // 100, 1, 255)
    steps.flags.writeable = False
    return steps


def standard_tables(quality: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps of luma and of differences that libjpeg takes for a quality, 1 to 100."""
    return standard_steps(quality, True), standard_steps(quality, False)


def quality_of(steps: np.ndarray, luma: bool) -> int | None:
    """The quality for which libjpeg takes these steps, if there is one."""
    known = (quality for quality in range(1, 101) if np.array_equal(standard_steps(quality, luma), steps))
    return next(known, None)


@cache
def _scores(shared: bool) -> tuple[np.ndarray, np.ndarray]:
    """How well a coefficient fits a step, in thousandths of a nat; and whether it is a multiple of it but 0:
    both int64 (coefficients by quarters, 255 steps).
    """
    size = (np.arange(HIGHEST * QUARTERS)[:, None] + 0.5) / QUARTERS
    step = np.arange(1, 256)
    times = np.round(size / step)
    far = (size - step * times) / OFF[shared]
    near = (1 - FAR) * np.exp(-far * far / 2) + FAR / 4 * np.exp(-far * far / 32)
    scale = np.where(times > 0, step / (OFF[shared] * np.sqrt(2 * np.pi)), 1)
    return np.round(1000 * np.log(scale * near + STRAY)).astype(np.int64), (times > 0).astype(np.int64)


def likely_steps(coefficients: np.ndarray, luma: bool, shared: bool) -> list[np.ndarray]:
    """Steps, int64 (64,), whose multiples coefficients, float64 (n, 64), may be: the standard's for one
    quality; those that fit best, one by one; and these but for steps that are too small to be true.
    """
    quarters = np.minimum((np.abs(coefficients) * QUARTERS).astype(np.int64), HIGHEST * QUARTERS - 1)
    scores = np.empty((SIDE**2, 255), np.int64)
    fits, some = _scores(shared)
    for k, column in enumerate(quarters.T):
        counts = np.bincount(column)
        there = np.flatnonzero(counts)
        rare = round(1000 * np.log((len(column) + 2) / (1 + counts[ONE:].sum())))
        scores[k] = ((fits[there] - rare * some[there]) * counts[there, None]).sum(0)
    places = np.arange(SIDE**2)
    standards = [standard_steps(quality, luma) for quality in range(1, 101)]
    fitting = max(standards, key=lambda steps: scores[places, steps - 1].sum())
    best = 255 - scores[:, ::-1].argmax(1)  # of equal ones the largest
    return [fitting, best, np.where(best < FALL * best[LOWEST].min(), 255, best)]
