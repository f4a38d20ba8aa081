"""What a context network sees of the neighbours of one variable in a row. Knows spaces and masks; no weights.

A neighbour is in one of `context_states` states, each an input of the first product.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ardm.discrete import Space
from ardm.networks.layers import COND_ONE, ONE


def context_states(space: Space) -> int:
    """States of a neighbour: its value, or unknown, or beyond an end of the row."""
    return space.classes + 2


def context_of(
    space: Space, kernel: int, seen: torch.Tensor, known: torch.Tensor, where: torch.Tensor
) -> torch.Tensor:
    """States of the kernel - 1 neighbours of the variables `where`, int64 (N,), indices into all of a batch:
    int64 (N, kernel - 1).
    """
    radius, size = kernel // 2, space.size
    states = torch.where(known, seen, space.classes).view(-1, size)
    row = F.pad(states, (radius, radius), value=space.classes + 1)
    places = torch.tensor([i for i in range(kernel) if i != radius], device=seen.device)
    return row[(where // size)[:, None], (where % size)[:, None] + places]


def context_planes(space: Space, states: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """One-hot vectors of neighbours' states, all in one: integers of that dtype (N, neighbours * states)."""
    n, neighbours = states.shape
    count = context_states(space)
    at = states + count * torch.arange(neighbours, device=states.device)
    return torch.zeros(n, neighbours * count, dtype=dtype, device=states.device).scatter_(1, at, ONE)


def context_conditions(space: Space, device: torch.device) -> torch.Tensor:
    """A context network is told nothing of a call but its stage: float32 (1, 1)."""
    return torch.full((1, space.stages), float(COND_ONE), device=device)
