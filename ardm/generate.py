"""The walk over the variables of discrete data: stage by stage, call by call. The same for scoring, sampling, filling in and coding.

A *visitor* is asked for the digits of the variables of each call: one that scores reads them from the truth, one that samples draws them,
an encoder writes and a decoder reads them (`codec.discrete`). Knows spaces and networks; no files, no bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch

from ardm.discrete import Space, coarse

Policy = Sequence[Sequence[int]]  # per stage, first stage first: left ends of the calls; [0, 2, 4, 5] says places 0 and 1 share a call
# (seen, known, digit, where) -> parameters (B, n, P) of the variables `where`, int64 (n,); seen and known as `ardm.networks` takes them
Answer = Callable[[torch.Tensor, torch.Tensor, int, torch.Tensor], torch.Tensor]
# (parameters (B, n, P), parents int64 (B, n), digit, where) -> digits, int64 (B, n)
Visit = Callable[[torch.Tensor, torch.Tensor, int, torch.Tensor], torch.Tensor]


def check_policy(space: Space, policy: Policy) -> None:
    """Raise ValueError unless a policy suits the space."""
    if len(policy) != space.stages:
        raise ValueError(f"a policy must have one list of calls for each of {space.stages} stages, got {len(policy)}.")
    for starts in policy:
        if not starts or starts[0] != 0 or any(b <= a for a, b in itertools.pairwise(starts)) or starts[-1] >= space.size:
            raise ValueError(f"the calls of a stage must begin at increasing places from 0 to at most {space.size - 1}, got {list(starts)[:20]}.")


def walk(
    space: Space, answer: Answer, order: torch.Tensor, policy: Policy, visit: Visit, x: torch.Tensor, given: torch.Tensor | None = None,
) -> torch.Tensor:  # fmt: skip
    """Visit all variables of a batch. Returns int64 (B, *shape).

    order: int64 (*shape), places 0..D-1, the same for the whole batch. x: int64 (B, *shape), read only where `given`, bool (*shape), which
    marks variables known from the start and never visited. Raises ValueError on a wrong order or policy.
    """
    check_policy(space, policy)
    d = space.size
    if tuple(order.shape) != space.shape or not torch.equal(order.flatten().sort().values, torch.arange(d, device=order.device)):
        raise ValueError(f"an order must give each of {space.shape} variables its own place 0..{d - 1}, got shape {tuple(order.shape)}.")
    at_place = order.flatten().argsort()
    start = torch.zeros(d, dtype=torch.bool, device=x.device) if given is None else given.flatten()
    if start.numel() != d:
        raise ValueError(f"the mask must have the shape of the data, {space.shape}, got {tuple(given.shape) if given is not None else None}.")
    values = x.flatten(1).masked_fill(~start, 0)
    for stage, digit in enumerate(reversed(range(space.stages))):
        unit = space.radix**digit
        known = start.clone()
        for low, high in zip(policy[stage], [*policy[stage][1:], d], strict=True):
            now = at_place[low:high]
            now = now[~known[now]]
            if not now.numel():
                continue
            mask = known.expand_as(values).view(-1, *space.shape)
            params = answer(coarse(space, values.view(-1, *space.shape), mask, digit), mask, digit, now)
            parent = values[:, now]  # of an unknown variable only the parent is there
            values[:, now] = parent + unit * visit(params, parent, digit, now)
            known[now] = True
    return values.view(-1, *space.shape)
