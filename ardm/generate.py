"""The walk over the variables of discrete data: stage by stage, call by call. The same for scoring, sampling
and filling in.

A *visitor* is asked for the digits of the variables of each call: one that scores reads them from the truth,
one that samples draws them. `sample` is the one that draws. Knows spaces and networks; no files, no bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ardm.budget import even
from ardm.discrete import Space, coarse, digit_log_probs
from ardm.networks import Network

# per stage, first stage first: left ends of the calls; [0, 2, 4, 5] says places 0 and 1 share a call
Policy = Sequence[Sequence[int]]
# (seen, known, digit, where) -> parameters (B, n, P) of the variables `where`, int64 (n,); seen and known as
# `ardm.networks` takes them
Answer = Callable[[torch.Tensor, torch.Tensor, int, torch.Tensor], torch.Tensor]
# (parameters (B, n, P), parents int64 (B, n), digit, where) -> digits, int64 (B, n)
Visit = Callable[[torch.Tensor, torch.Tensor, int, torch.Tensor], torch.Tensor]


def check_policy(space: Space, policy: Policy) -> None:
    """Raise ValueError unless a policy suits the space."""
    if len(policy) != space.stages:
        raise ValueError(
            f"a policy must have one list of calls for each of {space.stages} stages, got {len(policy)}."
        )
    for starts in policy:
        if (
            not starts
            or starts[0] != 0
            or any(b <= a for a, b in itertools.pairwise(starts))
            or starts[-1] >= space.size
        ):
            raise ValueError(
                f"the calls of a stage must begin at increasing places from 0 to at most {space.size - 1}, "
                f"got {list(starts)[:20]}."
            )


def walk(
    space: Space,
    answer: Answer,
    order: torch.Tensor,
    policy: Policy,
    visit: Visit,
    x: torch.Tensor,
    given: torch.Tensor | None = None,
) -> torch.Tensor:
    """Visit all variables of a batch. Returns int64 (B, *shape).

    order: int64 (*shape), places 0..D-1, the same for the whole batch. x: int64 (B, *shape), read only where
    `given`, bool (*shape), which marks variables known from the start and never visited. Raises ValueError on
    a wrong order or policy.
    """
    check_policy(space, policy)
    d = space.size
    if tuple(order.shape) != space.shape or not torch.equal(
        order.flatten().sort().values, torch.arange(d, device=order.device)
    ):
        raise ValueError(
            f"an order must give each of {space.shape} variables its own place 0..{d - 1}, got shape "
            f"{tuple(order.shape)}."
        )
    at_place = order.flatten().argsort()
    start = torch.zeros(d, dtype=torch.bool, device=x.device) if given is None else given.flatten()
    if start.numel() != d:
        raise ValueError(
            f"the mask must have the shape of the data, {space.shape}, got "
            f"{tuple(given.shape) if given is not None else None}."
        )
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


def answers(network: Network) -> Answer:
    """A network as the walk asks it."""

    def answer(seen: torch.Tensor, known: torch.Tensor, digit: int, where: torch.Tensor) -> torch.Tensor:
        wanted = (
            torch.zeros(known[0].numel(), dtype=torch.bool, device=known.device)
            .index_fill(0, where, True)
            .view(known.shape[1:])
            .expand_as(known)
        )
        return network(seen, known, digit, wanted).flatten(1, -2)[:, where]

    return answer


@torch.no_grad()
def sample(
    network: Network,
    count: int,
    budget: int | Policy,
    *,
    seed: int = 0,
    temperature: float = 1.0,
    order: torch.Tensor | None = None,
    given: tuple[torch.Tensor, torch.Tensor] | None = None,
    batch: int = 64,
) -> torch.Tensor:
    """Draw examples, or what is unknown of them, call after call (ancestral sampling; Hoogeboom et al. 2021,
    algorithm 1 and section 4.1).

    budget: network calls for each example, over all stages, shared evenly; or a policy, such as
    `ardm.budget.plan` makes. Variables of one call are drawn independently of each other. order: int64
    (*shape), places 0..D-1; None: a random one that the seed decides, the same for all. temperature: of every
    digit's distribution; 0 takes the likeliest. given: (values, int64 (*shape); known, bool (*shape)); values
    are kept where they are known, and not read elsewhere; they come before all others in the order, and
    evenly shared calls are spent on what is left (fewer than the budget, if so little is). batch: examples in
    a call; what an example becomes depends on the seed and its index, not on count, and on batch only as far
    as the network's rounding does.

    Returns int64 (count, *shape), on the network's device. Raises ValueError for an argument that does not
    fit the network's space.
    """
    space, device = network.space, next(network.parameters()).device
    if count < 1 or batch < 1:
        raise ValueError(f"count and batch must be at least 1, got {count} and {batch}.")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be 0 to 2**63 - 1, got {seed}.")
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be a number of at least 0, got {temperature}.")
    values, known = _given(space, given)
    if order is None:
        order = torch.from_numpy(np.random.default_rng(seed).permutation(space.size)).view(space.shape)
    order, policy = _calls(space, budget, order, known)
    out = []
    for first in range(0, count, batch):
        size = min(batch, count - first)
        sources = [torch.Generator().manual_seed(_mixed(seed, first + i)) for i in range(size)]
        x = values.to(device).expand(size, *space.shape)
        draw = _drawer(space, temperature, sources)
        out.append(walk(space, answers(network), order.to(device), policy, draw, x, known.to(device)))
    return torch.cat(out)


def _given(
    space: Space, given: tuple[torch.Tensor, torch.Tensor] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(values, known) of examples, checked; nothing is known where none are given."""
    if given is None:
        return torch.zeros(space.shape, dtype=torch.int64), torch.zeros(space.shape, dtype=torch.bool)
    values, known = given
    if known.dtype != torch.bool or tuple(known.shape) != space.shape:
        raise ValueError(
            f"the mask must be bool and of shape {space.shape} like the data, got {known.dtype} "
            f"{tuple(known.shape)}."
        )
    if tuple(values.shape) != space.shape:
        raise ValueError(
            f"known values must have the shape of the data, {space.shape}, got {tuple(values.shape)}."
        )
    space.check(values.masked_fill(~known, 0)[None])
    return values, known


def _calls(
    space: Space, budget: int | Policy, order: torch.Tensor, known: torch.Tensor
) -> tuple[torch.Tensor, Policy]:
    """(order, policy), with what is known before all else, and no call of a budget spent on that."""
    if not isinstance(budget, int):
        return order, budget
    policy = even(space.size, space.stages, budget)  # which also judges the budget
    left = space.size - int(known.sum())
    if not 0 < left < space.size:
        return order, policy
    order = (order - space.size * known.long()).flatten().argsort().argsort().view(space.shape)
    free = even(left, space.stages, min(budget, left * space.stages))
    return order, [[0, *(space.size - left + start for start in starts[1:])] for starts in free]


def _drawer(space: Space, temperature: float, sources: list[torch.Generator]) -> Visit:
    """The visitor that draws digits, each example's from a generator of its own."""

    def draw(params: torch.Tensor, parent: torch.Tensor, digit: int, where: torch.Tensor) -> torch.Tensor:
        log_probs = digit_log_probs(space, params, parent, digit).double()
        if temperature == 0:
            return log_probs.argmax(-1)
        # The largest of log p - log e, e exponential, is a draw from p, and never what has probability 0
        # (Gumbel-max).
        noise = torch.stack(
            [torch.empty(log_probs.shape[1:], dtype=torch.float64).exponential_(generator=g) for g in sources]
        )
        scaled = (log_probs - log_probs.amax(-1, keepdim=True)) / temperature
        return (scaled - noise.log().to(log_probs.device)).argmax(-1)

    return draw


def _mixed(seed: int, index: int) -> int:
    """A seed for one example; neighbouring ones have nothing in common."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0]) >> 1
