"""Which way a JPEG's coefficients were rounded, of blocks whose steps are so small that pixels, which are
whole numbers, leave a doubt: the doubtful ones are tried in all combinations. Knows arrays only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import BORROWING, compiled, internal

DOUBTFUL = 10  # coefficients of a block, at most, that are tried both ways
DOUBT = 3.0  # by how much the square of what pixels are off may grow when one is rounded the other way
HALF = 0.5  # pixels are off by this at most, where coefficients are right


class _Block(NamedTuple):
    """What is known of one, by turns."""

    off: np.ndarray  # float64 (64,), what coefficients give less what they should
    doubt: np.ndarray  # float64 (64,), of each coefficient
    chosen: np.ndarray  # int64 (DOUBTFUL,), those that are tried
    change: np.ndarray  # float64 (DOUBTFUL, 64), of `off`, if they are rounded the other way


def settle(
    found: np.ndarray, coefficients: np.ndarray, steps: np.ndarray, values: np.ndarray, waves: np.ndarray
) -> None:
    """Round coefficients, int16 (n, 64), in place, so that blocks are as near as can be to values, float64
    (n, 64).

    found: float64 (n, 64), what the values' transform is; steps: int64 (64,); waves: float64 (64, 64), of
    every coefficient the values that it adds.
    """
    block = _Block(np.empty(64), np.empty(64), np.empty(DOUBTFUL, np.int64), np.empty((DOUBTFUL, 64)))
    _settle(found, coefficients, steps, values, waves, block)


@compiled(**BORROWING)
def _settle(found: Any, coefficients: Any, steps: Any, values: Any, waves: Any, block: Any) -> None:
    for n in range(found.shape[0]):
        for p in range(64):
            block.off[p] = -values[n, p]
        for k in range(64):
            size = coefficients[n, k] * steps[k]
            if size != 0:
                for p in range(64):
                    block.off[p] += size * waves[k, p]
        count = _choose(found[n], coefficients[n], steps, waves, block)
        best = _best(block, count)
        for bit in range(count):
            if (best >> bit) & 1:
                k = block.chosen[bit]
                coefficients[n, k] += 1 if found[n, k] > coefficients[n, k] * steps[k] else -1


@internal(**BORROWING)
def _choose(found: Any, coefficients: Any, steps: Any, waves: Any, block: Any) -> Any:
    """Choose those that are tried. Returns how many."""
    _, doubt, chosen, change = block
    for k in range(64):
        rest = abs(found[k] / steps[k] - coefficients[k])
        doubt[k] = steps[k] * steps[k] * (1.0 - 2.0 * rest)
    count = 0
    while count < DOUBTFUL:
        k = 0
        for other in range(1, 64):
            k = other if doubt[other] < doubt[k] else k
        if doubt[k] > DOUBT:
            break
        doubt[k] = 2.0 * DOUBT
        chosen[count] = k
        step = steps[k] if found[k] > coefficients[k] * steps[k] else -steps[k]
        for p in range(64):
            change[count, p] = step * waves[k, p]
        count += 1
    return count


@internal(**BORROWING)
def _best(block: Any, count: Any) -> Any:
    """The combination, a bit for each, by which pixels are least off beyond HALF."""
    off, _, _, change = block
    best, least = 0, np.inf
    # one after the other changes (Gray's code), so that each combination comes once
    for turn in range(1 << count):
        code = turn ^ (turn >> 1)
        if turn > 0:
            bit = 0
            while (turn >> bit) & 1 == 0:
                bit += 1
            sign = 1.0 if (code >> bit) & 1 else -1.0
            for p in range(64):
                off[p] += sign * change[bit, p]
        total = 0.0
        for p in range(64):
            beyond = max(abs(off[p]) - HALF, 0.0)
            total += beyond * beyond
        if total < least:
            best, least = code, total
        if total == 0.0:
            break
    return best
