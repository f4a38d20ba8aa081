"""The five row filters of PNG, forward and back, and the usual rule for choosing one. Knows rows of bytes
only.

A row is predicted from the byte one pixel to the left (a), the one above (b) and the one above left (c), all
0 outside the image. Everything here takes rows as uint8 (1 + h, 1 + n): the first is the one above the
others, not filtered, or zeros at the top; each of the others begins with its filter, 0 to 4, so that pixels
begin at 1. step: bytes from a pixel to the next, at least 1. Compiled by Numba, because a byte needs the byte
before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ardm.compiled import compiled, inlined

KINDS = 5


@inlined()
def _predict(kind: int, a: int, b: int, c: int) -> int:
    """none, left, above, their mean, or that of a, b, c which is nearest to a + b - c (Paeth)."""
    if kind == 1:
        return a
    if kind == 2:
        return b
    if kind == 3:
        return (a + b) >> 1
    if kind == 4:
        to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
        if to_a <= to_b and to_a <= to_c:
            return a
        return b if to_b <= to_c else c
    return 0


@inlined()
def _around(rows: Any, y: int, x: int, step: int) -> tuple[int, int, int]:
    """(a, b, c) of byte x of row y."""
    b = int(rows[y - 1, x])
    if x > step:
        return int(rows[y, x - step]), b, int(rows[y - 1, x - step])
    return 0, b, 0


@compiled()
def undo(rows: np.ndarray, step: int) -> None:
    """Undo the filters in place."""
    for y in range(1, rows.shape[0]):
        kind = int(rows[y, 0])
        if kind:
            for x in range(1, rows.shape[1]):
                a, b, c = _around(rows, y, x, step)
                rows[y, x] = (int(rows[y, x]) + _predict(kind, a, b, c)) & 255


@compiled()
def apply(rows: np.ndarray, step: int) -> np.ndarray:
    """Inverse of `undo`, not in place: uint8 (h, 1 + n), without the row above. rows: led by the filter to be
    applied to each."""
    out = rows[1:].copy()
    for y in range(1, rows.shape[0]):
        kind = int(rows[y, 0])
        if kind:
            for x in range(1, rows.shape[1]):
                a, b, c = _around(rows, y, x, step)
                out[y - 1, x] = (int(rows[y, x]) - _predict(kind, a, b, c)) & 255
    return out


@compiled()
def choose(rows: np.ndarray, step: int) -> None:
    """Set every row's filter to the one with the least sum of absolute differences, the first of equals, as
    libpng does.
    """
    for y in range(1, rows.shape[0]):
        least = -1
        for kind in range(KINDS):
            total = 0
            for x in range(1, rows.shape[1]):
                a, b, c = _around(rows, y, x, step)
                difference = (int(rows[y, x]) - _predict(kind, a, b, c)) & 255
                total += min(difference, 256 - difference)
            if least < 0 or total < least:
                least = total
                rows[y, 0] = kind
