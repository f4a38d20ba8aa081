"""Which pixels of a small picture each network call codes: on diagonals, in lattice order, in a random order;
and the order that costs least within a budget, by measured bits. Knows positions and tables; no values, no
network.

Photos have orders of their own (`codec.coder.schedule`), stored in a byte or two; these need no stages and
no root, so that the network codes every pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ardm import budget as budgets
from ardm.orders import PATCH, PHASES, lattice_groups, level_shapes, phase_pixels


class Call(NamedTuple):
    """Pixels that one network call codes."""

    stride: int  # all that is known to it are pixels whose row and column are multiples of this
    where: np.ndarray  # int32 (N, 2), row and column divided by the stride


class Plan(NamedTuple):
    """An order, as JSON can hold it, and what it is expected to cost."""

    name: str  # diagonals, lattice, random
    # diagonals: (slope,); lattice: break bits of every level, finest first (`ardm.orders.lattice_groups`);
    # random: (seed, first place of every call ...)
    numbers: tuple[int, ...]
    bits: float = 0.0  # per subpixel

    def calls(self, height: int, width: int) -> list[Call]:
        """The calls of a picture of this shape."""
        if self.name == "diagonals":
            return diagonals(height, width, *self.numbers)
        if self.name == "lattice":
            return lattice(height, width, self.numbers)
        if self.name == "random":
            seed, *starts = self.numbers
            return in_parts(random_pixels(height, width, seed), starts)
        raise ValueError(f"an order is diagonals, lattice or random, got {self.name!r}.")


@dataclass(frozen=True, eq=False)
class OrderBits:
    """What was measured with a network, in bits per subpixel."""

    phases: np.ndarray  # float (levels, 15, 15): phase j in a call that knows k phases, by level
    diagonal: np.ndarray  # float (s,): a pixel that knows all before it on diagonals of slope 1, 2, ... s
    random: np.ndarray  # float (m,): a pixel, when shares 0 .. 1 of the others are known, evenly spaced

    @staticmethod
    def of(tensors: Any) -> OrderBits:
        """Of a weights file that has them."""
        return OrderBits(tensors["bits"], tensors["diagonal_bits"], tensors["random_bits"])


# ---- orders ------------------------------------------------------------------------------------------------


def in_parts(pixels: np.ndarray, starts: Sequence[int]) -> list[Call]:
    """Calls of the pixels in their order. starts: place of the first pixel of every call."""
    return [Call(1, part) for part in np.split(pixels, list(starts)[1:])]


def diagonals(height: int, width: int, slope: int) -> list[Call]:
    """One call for all pixels with the same x + slope * y. With a slope of the width or more it is raster
    order, a pixel a call; two pixels of a call never see each other, if the network knows that slope.
    """
    places = np.add.outer(slope * np.arange(height), np.arange(width)).reshape(-1)
    order = np.argsort(places, kind="stable")
    starts = np.flatnonzero(np.diff(places[order], prepend=-1))
    return in_parts(_pixels(height, width)[order], starts.tolist())


def random_pixels(height: int, width: int, seed: int) -> np.ndarray:
    """All pixels in a random order, int32 (h w, 2); the same on every machine."""
    # raw words of a bit generator are promised to stay the same in all releases of NumPy
    keys = np.random.PCG64(seed).random_raw(height * width)
    return _pixels(height, width)[np.argsort(keys, kind="stable")]


def lattice(height: int, width: int, breaks: Sequence[int]) -> list[Call]:
    """One call for the coarsest level, the root; then level after level, as many as `breaks` has."""
    shape = [(-(-height // PATCH**level), -(-width // PATCH**level)) for level in range(len(breaks) + 1)]
    calls = [Call(PATCH ** len(breaks), _pixels(*shape[-1]))]
    for level in reversed(range(len(breaks))):
        for group in lattice_groups(breaks[level]):
            parts = [phase_pixels(*shape[level], phase) for phase, _ in group]
            calls.append(Call(PATCH**level, np.concatenate(parts)))
    return [call for call in calls if len(call.where)]


def _pixels(height: int, width: int) -> np.ndarray:
    """All pixels, row by row: int32 (h w, 2)."""
    return np.stack(np.divmod(np.arange(height * width), width), 1).astype(np.int32)


# ---- the best order ----------------------------------------------------------------------------------------


def best(measured: OrderBits, height: int, width: int, budget: int, seed: int = 0) -> Plan:
    """The order that is expected to cost least in at most `budget` calls. seed: of random orders. Raises
    ValueError for a budget below 1.
    """
    if budget < 1:
        raise ValueError(f"budget must be at least 1 network call, got {budget}.")
    found = [
        plan_random(measured, height, width, budget, seed),
        plan_lattice(measured, height, width, budget),
        *(Plan("diagonals", (i + 1,), float(b)) for i, b in enumerate(measured.diagonal)),
    ]
    # beyond the slopes that the window can tell apart, more calls change nothing
    within = [p for p in found if p and len(p.calls(height, width)) <= budget]
    return min(within, key=lambda p: p.bits)


def plan_random(measured: OrderBits, height: int, width: int, budget: int, seed: int) -> Plan:
    """A random order, cut by the paper's dynamic program (`ardm.budget.plan`)."""
    starts, bits = _planned(measured, height * width, height * width, budget)
    return Plan("random", (seed, *starts), bits)


@lru_cache(maxsize=64)
def _planned(measured: OrderBits, size: int, unknown: int, budget: int) -> tuple[tuple[int, ...], float]:
    """(first places of the calls of the last so many of `size` pixels, bits per subpixel)."""
    losses = random_losses(measured, size)[size - unknown :]
    (starts,) = budgets.plan([losses], min(budget, unknown))
    return tuple(starts), budgets.policy_cost([losses], [starts]) / unknown


def fill(measured: OrderBits, unknown: np.ndarray, budget: int, seed: int) -> list[Call]:
    """Calls of the unknown pixels alone, in a random order, planned. unknown: bool (h, w)."""
    height, width = unknown.shape
    pixels = random_pixels(height, width, seed)
    pixels = pixels[unknown[pixels[:, 0], pixels[:, 1]]]
    if not len(pixels):
        return []
    return in_parts(pixels, _planned(measured, unknown.size, len(pixels), budget)[0])


def in_rows(height: int, width: int, budget: int) -> list[Call]:
    """Calls of equal length, row by row."""
    (starts,) = budgets.even(height * width, 1, min(budget, height * width))
    return in_parts(_pixels(height, width), starts)


def random_losses(measured: OrderBits, size: int) -> list[float]:
    """Bits per subpixel of a pixel when 0, 1, .. size - 1 others are known; never more than with fewer."""
    table = np.interp(np.arange(size) / size, np.linspace(0, 1, len(measured.random)), measured.random)
    return [float(v) for v in np.maximum.accumulate(table[::-1])[::-1]]


def plan_lattice(measured: OrderBits, height: int, width: int, budget: int) -> Plan | None:
    """Lattice order, with phases merged and calls shared between levels; None if the budget is too small."""
    pixels = [h * w for h, w in level_shapes(height, width)]
    levels = len(pixels) - 1
    if budget < levels + 1:
        return None
    if not levels:
        return Plan("lattice", (), float(measured.random[0]))
    options = [_groupings(measured, min(level, len(measured.phases) - 1)) for level in range(levels)]
    root = float(measured.random[0]) * pixels[-1]
    unused = [np.inf] * levels  # every level is coded by the network
    bits, breaks = budgets.share_levels(options, pixels, [*unused, root], min(budget - 1, PHASES * levels))
    return Plan("lattice", breaks, bits / pixels[0])


@lru_cache(maxsize=64)
def _groupings(measured: OrderBits, level: int) -> tuple[np.ndarray, list[list[int]]]:
    return budgets.merge_phases(measured.phases[level].astype(np.float64))
