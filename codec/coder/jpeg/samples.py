"""The way back from pixels to a JPEG's samples and coefficients, as near as can be: the encoder's own affair.
Knows planes and where blocks lie; no steps but those it is given.

Sums are of whole numbers below 2**53, whatever their order, so that every machine finds the same.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np

from codec.coder.jpeg.dct import COEFFICIENT_MAX, LEVEL, SIDE, Layout

PARTS = 2.0**13  # of which cosines are whole numbers
FINE = 256  # parts of a value, likewise
REACH = 10  # samples on either side that decide one, of those that were interpolated
Beyond = Literal["edge", "constant"]  # of a plane: the nearest value, or 0


@cache
def _cosines() -> np.ndarray:
    """The transform of a row, int (8, 8), times PARTS."""
    rows = [[np.cos((2 * x + 1) * u * np.pi / 16) / 2 for x in range(SIDE)] for u in range(SIDE)]
    rows[0] = [np.sqrt(1 / 8)] * SIDE
    return np.round(np.array(rows) * PARTS)


@cache
def waves() -> np.ndarray:
    """The values, float64 (64, 64), that each coefficient adds to its block."""
    cosines = _cosines() / PARTS
    return np.einsum("uy,vx->uvyx", cosines, cosines).reshape(SIDE**2, SIDE**2)


def in_blocks(values: np.ndarray) -> np.ndarray:
    """Values (8 m, 8 n) as (m, n, 8, 8)."""
    rows, columns = (size // SIDE for size in values.shape)
    return values.reshape(rows, SIDE, columns, SIDE).swapaxes(1, 2)


def forward(values: np.ndarray) -> np.ndarray:
    """The coefficients of blocks, float64 (m, n, 64), of values (8 m, 8 n), multiples of 1 / FINE."""
    blocks, cosines = in_blocks(values) - LEVEL, _cosines()
    return (cosines @ blocks @ cosines.T / PARTS**2).reshape(*blocks.shape[:2], SIDE**2)


def quantised(coefficients: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """int16, of the same shape."""
    most = COEFFICIENT_MAX // steps
    return np.clip(np.round(coefficients / steps), -most, most).astype(np.int16)


def _laid_out(
    plane: np.ndarray, shape: tuple[int, int], corner: tuple[int, int], beyond: Beyond
) -> np.ndarray:
    """Values (h, w) as part of whole blocks, rows and columns of them."""
    sizes = zip(corner, plane.shape, shape, strict=True)
    return np.pad(plane, [(before, SIDE * count - before - size) for before, size, count in sizes], beyond)


def _thinned(plane: np.ndarray, axis: int) -> np.ndarray:
    """The samples, along an axis half as many, that `dct.enlarged` makes nearly this of: of least squares.
    float64, multiples of 1 / FINE, and so is the plane.
    """
    plane = np.moveaxis(plane, axis, 0)
    count = len(plane) // 2
    beyond = 2 * (REACH + 1)
    mirrored = np.pad(plane, [(beyond, beyond), (0, 0)], "symmetric")
    first, second = mirrored[::2], mirrored[1::2]
    # what each sample had a part in, by that part; then the inverse of how samples share these
    sums = 0.75 * (first + second)
    sums[:-1] += first[1:] / 4
    sums[1:] += second[:-1] / 4
    found = sums[REACH + 1 : REACH + 1 + count].copy()
    for n in range(1, REACH + 1):
        before, after = (sums[REACH + 1 + at : REACH + 1 + at + count] for at in (-n, n))
        found += (-1 / 3) ** n * (before + after)
    return np.moveaxis(np.round(found * FINE) / FINE, 0, axis)


def samples_of(layout: Layout, plane: np.ndarray, luma: bool, beyond: Beyond = "edge") -> np.ndarray:
    """All samples of a component, float64 (8 m, 8 n), of the plane's part, (h, w)."""
    plane = plane.astype(np.float64)
    shape = layout.blocks(luma)
    if luma:
        return _laid_out(plane, shape, (layout.top % SIDE, layout.left % SIDE), beyond)
    rows, columns = layout.samples()
    whole = [(layout.top, layout.down * rows), (layout.left, layout.across * columns)]
    ends = [(before, size - before - had) for (before, size), had in zip(whole, plane.shape, strict=True)]
    plane = np.pad(plane, ends, beyond)
    for axis, shared in enumerate((layout.down, layout.across)):
        if shared == 2:
            plane = _thinned(plane, axis)
    return _laid_out(plane, shape, (0, 0), beyond)


def touched(layout: Layout, pixels: np.ndarray, luma: bool) -> np.ndarray:
    """Blocks of which any of some pixels, bool (h, w), is a part: bool (m, n)."""
    out = np.zeros(layout.blocks(luma), dtype=bool)
    rows, columns = np.nonzero(pixels)
    if luma:
        out[(rows + layout.top % SIDE) // SIDE, (columns + layout.left % SIDE) // SIDE] = True
    else:
        rows, columns = (rows + layout.top) // layout.down, (columns + layout.left) // layout.across
        out[rows // SIDE, columns // SIDE] = True
    return out
