"""Choosing a schedule: the order and network calls of tiles, for a budget, by the bits that were measured
with the weights. Knows weights' tables and shapes; no pixels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ardm import budget as budgets
from ardm.exact import window
from ardm.exact.window import WindowWeights
from ardm.orders import PHASES, level_shapes
from codec.coder.schedule import MAX_CALLS, Order, Schedule
from codec.settings import Settings

# rows of a strip in raster order: as many pixels as share a load of weights (`ardm.exact.evaluate.BLOCK`)
STRIP = 4
# rough bits per subpixel of coding level 0, 1, 2, ... without the network
ROOT_BITS = (8.0, 5.5, 6.5, 7.5, 8.0)


def weights_for(settings: Settings) -> str:
    """Id of the weights that files are written with. All of them know every order; those that were trained
    for raster order most are used where nothing else can come of the choice.
    """
    if settings.quick:
        return window.QUICK_ID
    if settings.best:
        return window.LARGE_ID
    in_rows = settings.order == "raster" or (settings.order == "auto" and settings.budget is None)
    return window.RASTER_ID if in_rows and settings.seed is None else window.PHOTO_ID


def schedule_for(weights: WindowWeights, height: int, width: int, settings: Settings) -> Schedule:
    """The best schedule for tiles of a shape within the budget. Raises ValueError if raster order, asked for,
    takes more.
    """
    budget, order, plain = settings.budget, settings.order, settings.plain
    if settings.seed is not None:
        return Schedule(Order.RANDOM, _random_stages(height, width, budget), settings.seed, plain=True)
    slope = weights.config.radius + 1
    strips = [0] if plain else [strip for strip in (*(STRIP << i for i in range(8)), 0) if strip < height]
    rows = [Schedule(Order.RASTER, plain=plain, strip=strip, slope=slope) for strip in strips]
    within = [schedule for schedule in rows if budget is None or schedule.calls(height, width) <= budget]
    if order == "raster":
        if not within:
            raise ValueError(
                f"raster order of {width} x {height} pixels takes at least {rows[-1].calls(height, width)} "
                f"network calls, got a budget of {budget}."
            )
        return within[0]
    if order == "auto" and within and _raster_pays(weights, height, width, budget):
        return within[0]
    return Schedule(Order.LATTICE, lattice_stages(weights, height, width, budget)[1], plain=plain)


def _raster_pays(weights: WindowWeights, height: int, width: int, budget: int | None) -> bool:
    """Whether raster order is expected to take fewer bits than lattice order within the budget."""
    return (
        float(weights.tensors["raster_bits"][0]) * height * width
        <= lattice_stages(weights, height, width, budget)[0]
    )


def _random_stages(height: int, width: int, budget: int | None) -> tuple[int, ...]:
    """Calls of each stage; no table was measured for random orders: shared evenly, the finest stages
    first.
    """
    shapes = level_shapes(height, width)
    count = len(shapes) - 1
    if not count:
        return ()
    budget = budget or PHASES * count
    used = min(count, budget)
    coded = [h * w - shapes[i + 1][0] * shapes[i + 1][1] for i, (h, w) in enumerate(shapes[:-1])]
    return tuple(min(budget // used + (i < budget % used), coded[i], MAX_CALLS) for i in range(used))


def lattice_stages(
    weights: WindowWeights, height: int, width: int, budget: int | None
) -> tuple[float, tuple[int, ...]]:
    """(expected bits per channel, break bits of each stage): the dynamic program over measured bits."""
    shapes = level_shapes(height, width)
    count = len(shapes) - 1
    pixels = [h * w for h, w in shapes]
    roots = [ROOT_BITS[min(i, 4)] * pixels[i] for i in range(count + 1)]
    if not count:
        return roots[0], ()
    options = [_groupings(weights, min(level, window.LEVELS - 1)) for level in range(count)]
    return budgets.share_levels(options, pixels, roots, min(budget or PHASES * count, PHASES * count))


@lru_cache(maxsize=64)
def _groupings(weights: WindowWeights, level: int) -> tuple[np.ndarray, list[list[int]]]:
    return budgets.merge_phases(weights.tensors["bits"][level].astype(np.float64))
