"""Budgets: how to spend a given number of network calls. Dynamic programs over measured costs; knows no
network and no bytes.

`plan` is the paper's program (Hoogeboom et al. 2021, section 4.1 and appendix A), for several stages at once:
a jump over k variables costs k times the loss at its start. `merge_phases` is the one the photo codec uses:
it groups consecutive phases of every stage, and shares the calls between the stages, from a table of what
each phase costs in a call that knows fewer phases.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ardm.orders import group_breaks


def plan(losses: Sequence[Sequence[float]], budget: int) -> list[list[int]]:
    """Best policy of `budget` calls for one stage or several together (the paper plans each stage by itself).

    losses: for each stage L_t for t = 0..D-1, bits per variable when t are known. Returns for each stage the
    left ends of its calls. Raises ValueError unless stages <= budget <= sum of all D.
    """
    if not losses or any(len(loss) == 0 for loss in losses):
        raise ValueError("losses must have at least one stage, and each stage at least one value.")
    total = sum(len(loss) for loss in losses)
    if not len(losses) <= budget <= total:
        raise ValueError(
            f"budget must be between {len(losses)}, the number of stages, and {total}, the variables of "
            f"all stages; got {budget}."
        )
    tables = [jumps(loss, min(budget - len(losses) + 1, len(loss))) for loss in losses]
    # share[b] = least cost of the stages so far with exactly b calls; a stage has at least one and at most D
    share, picks = np.array([0.0]), []
    for cost, _ in tables:
        own = cost[:, -1]
        following = np.full(share.size + own.size - 1, np.inf)
        picked = np.zeros(following.size, dtype=np.int64)
        for calls in range(1, own.size):
            candidate = share + own[calls]
            window = slice(calls, calls + share.size)
            better = candidate < following[window]
            following[window][better] = candidate[better]
            picked[window][better] = calls
        share = following
        picks.append(picked)
    policy: list[list[int]] = []
    left = budget
    for (_, origin), picked in zip(reversed(tables), reversed(picks), strict=True):
        calls = int(picked[left])
        left -= calls
        ends, t = [], origin.shape[1] - 1
        for n in range(calls, 0, -1):
            t = int(origin[n, t])
            ends.append(t)
        policy.append(ends[::-1])
    return policy[::-1]


def jumps(loss: Sequence[float], budget: int) -> tuple[np.ndarray, np.ndarray]:
    """The paper's dynamic program: cost and origin, (budget + 1, D + 1); cost[n, t] is the least cost of t
    variables in n calls, the last of which starts at origin[n, t]. A call that knows t variables and codes k
    costs k * L_t. O(D^2 * budget) time.
    """
    values = np.asarray(loss, dtype=np.float64)
    d = values.size
    cost = np.full((budget + 1, d + 1), np.inf)
    cost[0, 0] = 0.0
    origin = np.zeros((budget + 1, d + 1), dtype=np.int32)
    ends = np.arange(d + 1)
    # [t, s]: one call from s to t
    spans = np.where(ends[:, None] > ends[None, :d], (ends[:, None] - ends[None, :d]) * values, np.inf)
    for n in range(1, budget + 1):
        options = spans + cost[n - 1, :d]
        origin[n] = options.argmin(1)
        cost[n] = np.take_along_axis(options, origin[n][:, None].astype(np.int64), 1)[:, 0]
    return cost, origin


def even(size: int, stages: int, budget: int) -> list[list[int]]:
    """The naive policy: calls shared evenly between stages, steps of even length. Raises ValueError as `plan`
    does.
    """
    if not stages <= budget <= size * stages:
        raise ValueError(
            f"budget must be between {stages}, the number of stages, and {size * stages}, the variables of "
            f"all stages; got {budget}."
        )
    calls = [budget // stages + (stage < budget % stages) for stage in range(stages)]
    return [[size * c // n for c in range(n)] for n in calls]


def policy_cost(losses: Sequence[Sequence[float]], policy: Sequence[Sequence[int]]) -> float:
    """Bits that a policy is expected to spend: a call from t to t + k costs k * L_t."""
    return sum(
        (b - a) * loss[a]
        for loss, starts in zip(losses, policy, strict=True)
        for a, b in itertools.pairwise([*starts, len(loss)])
    )


def merge_phases(cost: np.ndarray) -> tuple[np.ndarray, list[list[int]]]:
    """Best grouping of consecutive phases of one stage for every number of calls.

    cost[k, j], j >= k: cost of phase j in a call that knows phases 0..k-1. Returns (total cost (n + 1,) with
    inf at 0, groupings), where groupings[c] lists the group sizes for c calls.
    """
    n = cost.shape[0]
    span = np.full((n + 1, n + 1), np.inf)  # span[k, m]: one call codes phases k..m-1
    for k in range(n):
        span[k, k + 1 :] = np.cumsum(cost[k, k:])
    best = np.full((n + 1, n + 1), np.inf)
    best[0, 0] = 0.0
    origin = np.zeros((n + 1, n + 1), dtype=np.int64)
    for c in range(1, n + 1):
        for m in range(1, n + 1):
            options = best[c - 1, :m] + span[:m, m]
            origin[c, m] = int(np.argmin(options))
            best[c, m] = options[origin[c, m]]
    groups: list[list[int]] = [[]]
    for c in range(1, n + 1):
        cuts = [n]
        for step in range(c, 0, -1):
            cuts.append(int(origin[step, cuts[-1]]))
        cuts = cuts[::-1]
        groups.append([b - a for a, b in itertools.pairwise(cuts)])
    return best[:, n].copy(), groups


def share_calls(stages: list[np.ndarray], roots: Sequence[float], budget: int) -> tuple[int, list[int]]:
    """Divide a budget between stages. stages[i][c]: cost of stage i (0 = finest) with c calls; roots[i]: cost
    of coding everything coarser than the first i stages without the network, so that roots has one entry more
    than stages.

    Returns (number of stages used, calls per stage). At least one stage is used wherever there is one; the
    calls add up to at most `budget`.
    """
    if budget < 1:
        raise ValueError(f"budget must be at least 1 network call, got {budget}.")
    best_total, answer = np.inf, (0, [])  # type: tuple[float, tuple[int, list[int]]]
    table = np.zeros(budget + 1)  # cheapest way to spend at most b calls on the stages so far
    choice: list[np.ndarray] = []
    for i, stage in enumerate(stages[:budget]):
        following = np.full(budget + 1, np.inf)
        picked = np.zeros(budget + 1, dtype=np.int64)
        for b in range(budget + 1):
            for c in range(1, min(b, len(stage) - 1) + 1):
                total = table[b - c] + stage[c]
                if total < following[b]:
                    following[b], picked[b] = total, c
        table = following
        choice.append(picked)
        if table[budget] + roots[i + 1] < best_total:
            best_total = table[budget] + roots[i + 1]
            calls, b = [], budget
            for used in reversed(choice):
                calls.append(int(used[b]))
                b -= calls[-1]
            answer = (i + 1, calls[::-1])
    return answer


def share_levels(
    options: Sequence[tuple[np.ndarray, list[list[int]]]],
    pixels: Sequence[int],
    roots: Sequence[float],
    budget: int,
) -> tuple[float, tuple[int, ...]]:
    """`share_calls` between the levels of a pyramid. options: `merge_phases` of every level, finest first;
    pixels: of every level. Returns (cost, break bits of every stage used, as `ardm.orders.lattice_groups`
    takes them).
    """
    stages = [costs * pixels[i] / 16 for i, (costs, _) in enumerate(options)]
    used, calls = share_calls(stages, roots, budget)
    bits = roots[used] + sum(float(stages[i][c]) for i, c in enumerate(calls))
    return bits, tuple(group_breaks(options[i][1][c]) for i, c in enumerate(calls))
