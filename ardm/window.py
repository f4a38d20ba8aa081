"""The window network: the distribution of one pixel from the known pixels of a square window around it, for
any set of known ones.

The order-agnostic network of an ARDM (Hoogeboom et al. 2021, section 2) without a grid: it is evaluated for
the pixels that a network call codes, and for no others. Knows values, masks and positions; no images, orders,
files or integers: `ardm.networks.window` is the network to train, `ardm.exact` has its integer form.

    window of (2 R + 1)**2 pixels, the pixel itself left out: n positions, row by row
    known value - base for R, G, B, clipped to int8 (0 where unknown)
        base: a weighted mean of the known ones, in integers
    known or not, one bit per position
        constant over a call mostly, and then a part of the bias
    -> product to W, ReLU -> L x [product, ReLU, product, + residual, ReLU] -> 10 K numbers
        the mixture of `ardm.likelihood`
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import lru_cache

import numpy as np

from ardm.orders import LATTICE_ORDER, PATCH
from ardm.units import PER_COMPONENT

CHANNELS = 3
VALUE_EXPONENT = 5  # a value v enters as v * 2**-5
UNKNOWN_BASE = 128  # where nothing around is known
WEIGHT_MAX = 127  # a signed byte; 255 * 127 * 512 inputs stay below 2**24
NEAR_SHIFT = 4  # the weights of the eight neighbours, which are the largest by far, have so many bits more
ACTIVATION_MAX = 255
ACTIVATION_EXPONENT = 4  # an activation is an integer times 2**-4
MEAN_UNIT = 8.0  # the head's means are in units of 8 intensity levels


@dataclass(frozen=True)
class WindowConfig:
    """The dials of a window network; refused at birth if wrong."""

    radius: int = 6  # of the window
    width: int = 128  # hidden units
    depth: int = 3  # residual blocks
    mixture: int = 5  # logistic components per pixel

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}.")

    @property
    def positions(self) -> int:
        """Positions n of a window."""
        return (2 * self.radius + 1) ** 2 - 1

    @property
    def outputs(self) -> int:
        return PER_COMPONENT * self.mixture


def offsets(radius: int) -> list[tuple[int, int]]:
    """(dy, dx) of the window's positions, row by row. The first half are the pixels that come before in
    raster order.
    """
    span = range(-radius, radius + 1)
    return [(dy, dx) for dy in span for dx in span if (dy, dx) != (0, 0)]


def raster_pattern(radius: int) -> np.ndarray:
    """Indices of the positions that come before in raster order."""
    return diagonal_pattern(radius, radius + 1)


def diagonal_pattern(radius: int, slope: int) -> np.ndarray:
    """Indices of the positions that come before on diagonals x + slope * y: with a slope above the
    radius, in raster order.
    """
    return np.array([i for i, (dy, dx) in enumerate(offsets(radius)) if dx + slope * dy < 0])


def lattice_pattern(radius: int, phase: tuple[int, int], first: int) -> np.ndarray:
    """Indices of the positions that a pixel of a phase knows when the lattice and the first so many phases
    are known.
    """
    known = {(0, 0), *LATTICE_ORDER[:first]}
    return np.array(
        [
            i
            for i, (dy, dx) in enumerate(offsets(radius))
            if ((phase[0] + dy) % PATCH, (phase[1] + dx) % PATCH) in known
        ]
    )


@lru_cache(maxsize=8)
def base_weights(radius: int) -> np.ndarray:
    """Weights of the known pixels in the base, int32 (n,): 2**16 exp(-1.5 distance), at least 1.

    base = (2 sum(weight * value) + sum(weight)) // (2 sum(weight)) over the known ones, or UNKNOWN_BASE if
    there are none.
    """
    # rounded from exact decimals: every machine makes the same ones
    with localcontext(Context(prec=40, rounding=ROUND_HALF_EVEN)):
        squares = {dy * dy + dx * dx for dy, dx in offsets(radius)}
        weight = {
            n: int((65536 * (-Decimal(3) / 2 * Decimal(n).sqrt()).exp()).to_integral_value()) for n in squares
        }
    return np.array([max(1, weight[dy * dy + dx * dx]) for dy, dx in offsets(radius)], np.int32)


def near_positions(radius: int) -> np.ndarray:
    """Indices of the eight neighbours among the window's positions, int64 (8,)."""
    return np.array([i for i, (dy, dx) in enumerate(offsets(radius)) if max(abs(dy), abs(dx)) == 1])


def near_inputs(radius: int) -> np.ndarray:
    """Indices of their inputs, int64 (24,): three for each of the eight neighbours."""
    return (CHANNELS * near_positions(radius)[:, None] + np.arange(CHANNELS)).reshape(-1)
