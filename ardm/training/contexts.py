"""Examples for a context network over a long row, such as a text: variables with what is known around them.
Knows rows and masks; no files, optimisers or schedules.

As for photos (`ardm.training.examples`), an example is one variable and costs one evaluation, and the sets of
known ones are those of the orders that are used:

    cells    cells of so many places side by side: what comes before in the own cell, and as much of every
             other one. One cell as long as a block is left to right.
    random   each one known with the same probability, drawn anew for every example: the bound
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ardm.discrete import Space
from ardm.networks import Context

AHEAD = 4  # calls: a variable may be coded so much before all that its place allows is known
EARLY = 0.15  # share of examples along cells that are
OPEN = 0.5  # share of examples whose block has neighbours, as in a long text


@dataclass(frozen=True)
class ContextMasks:
    """Shares of the kinds of examples: for each length of cell one, the rest is random sets."""

    cells: tuple[int, ...] = (256, 64, 16)
    shares: tuple[float, ...] = (0.35, 0.3, 0.15)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", tuple(self.cells))
        object.__setattr__(self, "shares", tuple(self.shares))
        if len(self.cells) != len(self.shares) or sum(self.shares) > 1 or min(self.cells, default=1) < 1:
            raise ValueError(
                f"every cell needs a share, and shares at most 1 in all, got {self.cells} and {self.shares}."
            )


def draw(
    row: torch.Tensor, space: Space, kernel: int, masks: ContextMasks, count: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """(states of the neighbours, int64 (count, kernel - 1), as `ardm.networks.context_of` has them; values,
    int64 (count,)) of variables drawn from a long row, uint8 (n,). space: of one block.
    """

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    radius, size = kernel // 2, space.size
    begin = (uniform(count, 1) * (len(row) - 2 * radius - size)).long() + radius  # of the block
    at = (uniform(count, 1) * size).long()  # place in it
    offsets = torch.tensor([o for o in range(-radius, radius + 1) if o])
    place = at + offsets
    known = uniform(count, len(offsets)) < uniform(count, 1)
    kind, low = uniform(count, 1), 0.0
    early = (uniform(count, 1) < EARLY) * (uniform(count, 1) * AHEAD + 1).long()
    for cell, share in zip(masks.cells, masks.shares, strict=True):
        before = place % cell < (at % cell - early).clamp_min(0)
        known = torch.where((kind >= low) & (kind < low + share), before, known)
        low += share
    states = torch.where(known, row[begin + place].long(), space.classes)
    outside = ((place < 0) | (place >= size)) & (uniform(count, 1) >= OPEN)
    return states.masked_fill(outside, space.classes + 1), row[begin + at].long()[:, 0]


def loss(net: Context, states: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Mean cost of the values in nats, scalar."""
    return F.cross_entropy(net.of_states(states), values)
