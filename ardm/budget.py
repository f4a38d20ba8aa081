"""Budgets: how to spend a given number of network calls. Dynamic programs over measured costs; knows no network and no bytes.

`plan` is the paper's program (Hoogeboom et al. 2021, section 4.1 and appendix A): a jump over k variables costs k times the loss at its
start. `merge_phases` is the one the photo codec uses: it groups consecutive phases of every stage, and shares the calls between the
stages, from a table of what each phase costs in a call that knows fewer phases.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np


def plan(loss: Sequence[float], budget: int) -> tuple[list[int], float]:
    """Best partition of D steps into `budget` parallel jumps.

    loss: L_t for t = 0..D-1, bits per variable when t are known. Returns (left ends of the jumps, total cost), where the jump from t
    to t + k costs k * L_t. O(D^2 * budget) time. Raises ValueError unless 1 <= budget <= D.
    """
    d = len(loss)
    if not 1 <= budget <= d:
        raise ValueError(f"budget must be between 1 and the number of variables, {d}; got {budget}.")
    cost = np.full((budget + 1, d + 1), np.inf)
    cost[0, 0] = 0.0
    origin = np.zeros((budget + 1, d + 1), dtype=np.int64)
    for n in range(1, budget + 1):
        for t in range(1, d + 1):
            options = [cost[n - 1, s] + (t - s) * loss[s] for s in range(t)]
            origin[n, t] = int(np.argmin(options))
            cost[n, t] = options[origin[n, t]]
    ends, t = [], d
    for n in range(budget, 0, -1):
        t = int(origin[n, t])
        ends.append(t)
    return ends[::-1], float(cost[budget, d])


def merge_phases(cost: np.ndarray) -> tuple[np.ndarray, list[list[int]]]:
    """Best grouping of consecutive phases of one stage for every number of calls.

    cost[k, j], j >= k: cost of phase j in a call that knows phases 0..k-1. Returns (total cost (n + 1,) with inf at 0, groupings),
    where groupings[c] lists the group sizes for c calls.
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
    """Divide a budget between stages. stages[i][c]: cost of stage i (0 = finest) with c calls; roots[i]: cost of coding everything
    coarser than the first i stages without the network, so that roots has one entry more than stages.

    Returns (number of stages used, calls per stage). At least one stage is used wherever there is one; the calls add up to at most `budget`.
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
