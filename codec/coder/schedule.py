"""`Schedule`: in which order a tile's pixels are coded, and in how many network calls. Knows numbers only;
stored in every file's header.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ardm.orders import PATCH, level_shapes

STAGES_MOST = 16
MAX_CALLS = 255  # of one stage in random order: bounds what a small file can cost


class Order(IntEnum):
    """Of the pixels of a tile; the values are the format's."""

    RASTER = 0  # row after row, in strips
    LATTICE = 1  # stage after stage, phase after phase
    RANDOM = 2  # stage after stage, in a seeded random order


@dataclass(frozen=True)
class Schedule:
    """Order and calls. Stored in the file, so that decoding needs no planning."""

    order: Order = Order.RASTER
    # finest first. lattice: break bits of each stage (`ardm.orders.lattice_groups`); random: its calls
    stages: tuple[int, ...] = ()
    seed: int | None = None  # of the random order
    plain: bool = False  # nothing is learned from the pixels coded
    strip: int = 0  # raster order: rows of a strip, whose pixels a call codes; 0: all rows
    slope: int = 0  # raster order: pixels by which each row of a strip follows the one above it

    def root_level(self, height: int, width: int) -> int:
        """Stages that a tile of this shape really has; small tiles need fewer than the schedule lists."""
        return min(len(self.stages), len(level_shapes(height, width)) - 1)

    def step(self, level: int, height: int, width: int) -> int:
        """Of how many pixels each way of such a tile a decoder returns one that may leave out so many
        levels: 1 in raster order, which has no stages.
        """
        return PATCH ** min(level, self.root_level(height, width))

    def calls(self, height: int, width: int) -> int:
        """Network calls of one plane of a tile of this shape."""
        if self.order == Order.RASTER:
            rows = min(self.strip or height, height)
            whole, left = divmod(height, rows)
            return whole * (width + self.slope * (rows - 1)) + (width + self.slope * (left - 1)) * (left > 0)
        stages = self.stages[: self.root_level(height, width)]
        return sum(stages) if self.order == Order.RANDOM else sum(s.bit_count() + 1 for s in stages)
