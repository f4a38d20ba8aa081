"""What a decoder of JPEG makes of quantised coefficients: samples, and of these a plane of twice as many
rows or columns. Knows arrays; no payloads, and not how coefficients are found.

Integers as libjpeg computes them (jidctint.c, and the "fancy upsampling" of jdsample.c), as libjpeg-turbo
does with all its vectors. Specified in docs/format/jpeg.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import BORROWING, compiled, inlined

SIDE = 8  # of a block
COEFFICIENT_MAX = 2047  # of a coefficient times its step: a picture of 8 bits has none that is larger
LEVEL = 128  # of a block that has no coefficients
SHIFTS = 11, 18  # bits that are rounded off the sums of the two passes


class Layout(NamedTuple):
    """Where blocks lie, of which a plane shows a part."""

    height: int  # of the plane
    width: int
    top: int = 0  # rows and columns that the first blocks have above and to the left of it
    left: int = 0
    down: int = 1  # rows and columns of pixels that share a sample of the colour differences, each 1 or 2;
    across: int = 1  # rows alone are not shared

    def blocks(self, luma: bool) -> tuple[int, int]:
        """Rows and columns of blocks, of luma or of a difference."""
        if luma:
            return self._count(self.top % SIDE + self.height), self._count(self.left % SIDE + self.width)
        rows, columns = self.samples()
        return self._count(rows), self._count(columns)

    def samples(self) -> tuple[int, int]:
        """Rows and columns of a difference's samples; what blocks have beyond is not seen."""
        return -(-(self.top + self.height) // self.down), -(-(self.left + self.width) // self.across)

    @staticmethod
    def _count(samples: int) -> int:
        return -(-samples // SIDE)

    def luma(self, values: np.ndarray) -> np.ndarray:
        """Of all samples of luma those of the plane, (h, w)."""
        return self._part(values, self.top % SIDE, self.left % SIDE)

    def difference(self, values: np.ndarray) -> np.ndarray:
        """A difference for every pixel of the plane, uint8 (h, w), of all its samples, uint8."""
        rows, columns = self.samples()
        return self._part(enlarged(values[:rows, :columns], self.down, self.across), self.top, self.left)

    def _part(self, values: np.ndarray, top: int, left: int) -> np.ndarray:
        return values[top : top + self.height, left : left + self.width]


@inlined(**BORROWING)
def _inverse_pass(work: Any, at: Any, step: Any, shift: Any) -> None:
    """One dimension of the inverse transform (Loeffler, Ligtenberg and Moschytz 1989), its constants of 13
    bits, of eight numbers `step` apart, in place.
    """
    a, b, c, d = work[at], work[at + step], work[at + 2 * step], work[at + 3 * step]
    e, f, g, h = work[at + 4 * step], work[at + 5 * step], work[at + 6 * step], work[at + 7 * step]
    middle = (c + g) * 4433
    low, high = middle + c * 6270, middle - g * 15137
    total, difference = (a + e) << 13, (a - e) << 13
    half = 1 << (shift - 1)
    even = total + low + half, difference + high + half, difference - high + half, total - low + half
    turn = (b + d + f + h) * 9633
    outer, inner = (b + h) * -7373, (d + f) * -20995
    third, fourth = turn - (d + h) * 16069, turn - (b + f) * 3196
    odd = (
        b * 12299 + outer + fourth,
        d * 25172 + inner + third,
        f * 16819 + inner + fourth,
        h * 2446 + outer + third,
    )
    for k in range(4):
        work[at + k * step] = (even[k] + odd[k]) >> shift
        work[at + (7 - k) * step] = (even[k] - odd[k]) >> shift


@compiled(**BORROWING)
def inverse(coefficients: Any, steps: Any, work: Any, values: Any) -> None:
    """Samples, not yet clipped to 8 bits, into values, int16 (8 m, 8 n), of quantised coefficients, int16
    (m, n, 64), row by row as frequencies rise, and their steps, int64 (64,). work: int64 (64,).
    """
    for i in range(coefficients.shape[0]):
        for j in range(coefficients.shape[1]):
            for k in range(64):
                product = coefficients[i, j, k] * steps[k]
                work[k] = min(max(product, -COEFFICIENT_MAX), COEFFICIENT_MAX)
            for k in range(SIDE):
                _inverse_pass(work, k, SIDE, SHIFTS[0])
            for k in range(SIDE):
                _inverse_pass(work, SIDE * k, 1, SHIFTS[1])
                for x in range(SIDE):
                    values[SIDE * i + k, SIDE * j + x] = work[SIDE * k + x] + LEVEL


def samples(coefficients: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """What `inverse` makes of these, int16 (8 m, 8 n)."""
    rows, columns, _ = coefficients.shape
    values = np.empty((SIDE * rows, SIDE * columns), np.int16)
    inverse(coefficients, steps.astype(np.int64), np.empty(64, np.int64), values)
    return values


def enlarged(plane: np.ndarray, down: int, across: int) -> np.ndarray:
    """A plane of so many times the rows and columns, each 1 or 2 (two times the rows alone is not known), by
    three quarters of the nearest sample and one of the next. uint8 (h, w), and so is the result.
    """
    wide = plane.astype(np.int16)
    if (down, across) == (1, 1):
        return plane
    if down == 2:
        beyond = np.pad(wide, ((1, 1), (0, 0)), "edge")
        wide = _interleaved(3 * wide + beyond[:-2], 3 * wide + beyond[2:], 0)
    beyond = np.pad(wide, ((0, 0), (1, 1)), "edge")
    # of columns alone, 1 and 2 are added before two bits are rounded off; of both, 8 and 7 before four
    left, right, shift = (8, 7, 4) if down == 2 else (1, 2, 2)
    left_half, right_half = 3 * wide + beyond[:, :-2] + left, 3 * wide + beyond[:, 2:] + right
    return (_interleaved(left_half, right_half, 1) >> shift).astype(np.uint8)


def _interleaved(first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray:
    both = np.stack([first, second], axis + 1)
    shape = list(first.shape)
    shape[axis] *= 2
    return both.reshape(shape)
