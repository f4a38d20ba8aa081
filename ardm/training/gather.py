"""Windows of many pixels of many pictures at once, compiled: what a window network is trained on and scored
with. Knows no network.

A *run* is up to LENGTH pixels, STEP apart in one row of a picture that may be turned, mirrored or thinned
out: all that is strides. Eleven int64 numbers: offset of the picture's pixel (0, 0) in the flat array of
pixels; strides of y and x, in pixels; top, left, bottom, right of the part that counts as the image; y, x of
the first pixel; step in x; number of pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ardm.compiled import compiled
from ardm.window import UNKNOWN_BASE

RUN_FIELDS = 11
# which pixels around are known: those before; phases of a rank below the limit; random ones
RASTER, LATTICE, RANDOM = 0, 1, 2


class Positions(NamedTuple):
    """Which positions of a window may be known."""

    pattern: np.ndarray  # int32 (m, 2), their dy and dx
    weights: np.ndarray  # int32 (m,), theirs in the base


class Windows(NamedTuple):
    """What is seen around N pixels, and the pixels."""

    values: np.ndarray  # int8 (N, 3 m)
    missing: np.ndarray  # uint8 (N, m)
    base: np.ndarray  # int16 (N, 3)
    target: np.ndarray  # uint8 (N, 3)


@compiled()
def gather(
    pixels: np.ndarray,
    runs: np.ndarray,
    positions: Positions,
    kind: int,
    share: np.ndarray,
    seed: int,
    windows: Windows,
) -> int:
    """Fill the windows; returns N, the pixels of all runs.

    pixels: uint8 (all, 3). runs: int64 (r, 11). kind RANDOM: a position is known with probability share[run]
    (float32); seed starts its generator.
    """
    pattern, weights = positions
    values, missing, base, target = windows
    m = pattern.shape[0]
    state = np.uint64(seed * 2 + 1)
    at = 0
    for r in range(runs.shape[0]):
        origin, sy, sx = runs[r, 0], runs[r, 1], runs[r, 2]
        top, left, bottom, right = runs[r, 3], runs[r, 4], runs[r, 5], runs[r, 6]
        y = runs[r, 7]
        limit = np.uint64(np.float64(share[r]) * 4294967296.0)
        for i in range(runs[r, 10]):
            x = runs[r, 8] + i * runs[r, 9]
            center = origin + y * sy + x * sx
            s0 = s1 = s2 = total = np.int64(0)
            for j in range(m):
                v, u = y + pattern[j, 0], x + pattern[j, 1]
                known = top <= v < bottom and left <= u < right
                if kind == RANDOM and known:
                    state ^= state << np.uint64(13)
                    state ^= state >> np.uint64(7)
                    state ^= state << np.uint64(17)
                    known = (state >> np.uint64(32)) < limit
                missing[at, j] = not known
                if known:
                    p = center + pattern[j, 0] * sy + pattern[j, 1] * sx
                    w = np.int64(weights[j])
                    s0 += w * pixels[p, 0]
                    s1 += w * pixels[p, 1]
                    s2 += w * pixels[p, 2]
                    total += w
            if total:
                b0, b1, b2 = (
                    (2 * s0 + total) // (2 * total),
                    (2 * s1 + total) // (2 * total),
                    (2 * s2 + total) // (2 * total),
                )
            else:
                b0 = b1 = b2 = np.int64(UNKNOWN_BASE)
            base[at, 0], base[at, 1], base[at, 2] = b0, b1, b2
            target[at, 0], target[at, 1], target[at, 2] = (
                pixels[center, 0],
                pixels[center, 1],
                pixels[center, 2],
            )
            for j in range(m):
                if missing[at, j]:
                    values[at, 3 * j] = values[at, 3 * j + 1] = values[at, 3 * j + 2] = 0
                    continue
                p = center + pattern[j, 0] * sy + pattern[j, 1] * sx
                values[at, 3 * j] = min(max(pixels[p, 0] - b0, -128), 127)
                values[at, 3 * j + 1] = min(max(pixels[p, 1] - b1, -128), 127)
                values[at, 3 * j + 2] = min(max(pixels[p, 2] - b2, -128), 127)
            at += 1
    return at
