"""Orders, stages, budgets and likelihoods: the parts of ardm/ that need no weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ardm import likelihood, orders, units
from ardm.budget import even, merge_phases, plan, policy_cost, share_calls
from ardm.exact import mixture
from ardm.orders import level_shapes
from ardm.window import base_weights, lattice_pattern, offsets, raster_pattern

pytestmark = pytest.mark.quick

# ---- orders


def test_lattice_order_lists_every_phase_but_the_lattice_once() -> None:
    assert sorted([(0, 0), *orders.LATTICE_ORDER]) == [(y, x) for y in range(4) for x in range(4)]


def test_random_ranks_are_a_permutation_and_fixed_for_ever() -> None:
    ranks = orders.random_ranks(seed=7, stage=1, height=9, width=6)
    assert sorted(ranks[ranks >= 0]) == list(range(54 - 3 * 2))
    assert (ranks[::4, ::4] == -1).all()
    assert orders.random_ranks(1, 0, 5, 6)[0].tolist() == [-1, 3, 19, 18, -1, 10]  # part of the format


@pytest.mark.parametrize("calls", [1, 2, 7, 15])
def test_groups_code_every_pixel_once(calls: int) -> None:
    breaks = orders.group_breaks([1] * (calls - 1) + [16 - calls])
    for groups in (orders.lattice_groups(breaks), orders.RandomGroups(3, 0, 13, 10, calls)):
        assert len(groups) == calls
        count = np.zeros((13, 10), dtype=int)
        for group in groups:
            for (y, x), chosen in group:
                count[y::4, x::4] += 1 if chosen is None else chosen
        expected = np.ones((13, 10), dtype=int)
        expected[::4, ::4] = 0
        assert (count == expected).all()


# ---- levels


def test_level_shapes_end_at_four() -> None:
    assert level_shapes(1024, 1000) == [(1024, 1000), (256, 250), (64, 63), (16, 16), (4, 4)]
    assert level_shapes(4, 3) == [(4, 3)]
    assert level_shapes(1, 5) == [(1, 5), (1, 2)]


# ---- windows


def test_positions_of_a_window() -> None:
    for radius in (1, 2, 6):
        places = offsets(radius)
        assert len(set(places)) == (2 * radius + 1) ** 2 - 1
        assert places == sorted(places)
        before = [places[i] for i in raster_pattern(radius)]
        assert before == [(dy, dx) for dy, dx in places if dy < 0 or (dy == 0 and dx < 0)]


def test_patterns_of_the_lattice_are_what_a_prefix_knows() -> None:
    for first, phase in enumerate(orders.LATTICE_ORDER):
        known = {(0, 0), *orders.LATTICE_ORDER[:first]}
        pattern = set(lattice_pattern(5, phase, first).tolist())
        for i, (dy, dx) in enumerate(offsets(5)):
            assert (i in pattern) == (((phase[0] + dy) % 4, (phase[1] + dx) % 4) in known)


def test_weights_of_the_base_fall_with_distance() -> None:
    """Part of the format: 2**16 exp(-1.5 distance), at least 1, so that no known pixel counts for nothing."""
    weight = dict(zip(offsets(6), base_weights(6).tolist(), strict=True))
    assert [weight[0, dx] for dx in range(1, 7)] == [14623, 3263, 728, 162, 36, 8]
    assert weight[6, 6] == 1
    for (dy, dx), w in weight.items():
        assert w == weight[dx, dy] == weight[-dy, -dx]


# ---- budgets


def test_plan_on_the_hand_solved_case() -> None:
    loss = [5, 4, 3, 2.85, 2.80]
    assert [round(policy_cost([loss], plan([loss], b)), 6) for b in range(1, 6)] == [25, 19, 18, 17.7, 17.65]
    assert plan([loss], 5) == [[0, 1, 2, 3, 4]]
    assert plan([loss], 1) == [[0]]
    with pytest.raises(ValueError, match="between 1, "):
        plan([loss], 6)


def test_joint_plan_beats_every_way_to_share_calls_between_stages() -> None:
    losses = [[9.0, 7.0, 6.5, 4.0, 1.0], [2.0, 1.9, 1.8, 1.7, 1.6], [6.0, 1.0, 0.5]]
    for budget in range(3, 14):
        policy = plan(losses, budget)
        assert sum(map(len, policy)) == budget
        every = [
            sum(
                policy_cost([loss], plan([loss], calls))
                for loss, calls in zip(losses, (a, b, budget - a - b), strict=True)
            )
            for a in range(1, 6)
            for b in range(1, 6)
            if 1 <= budget - a - b <= 3
        ]
        assert policy_cost(losses, policy) == pytest.approx(min(every))
        if budget <= 9:
            assert (
                policy_cost(losses[:2], plan(losses[:2], budget))
                <= policy_cost(losses[:2], even(5, 2, budget)) + 1e-9
            )


def test_plan_beats_every_partition() -> None:
    from itertools import combinations

    loss = [9.0, 7.0, 6.5, 4.0, 3.9, 3.8, 1.0]
    for budget in range(1, 8):
        every = [
            sum((b - a) * loss[a] for a, b in zip((0, *cut), (*cut, 7), strict=True))
            for cut in combinations(range(1, 7), budget - 1)
        ]
        assert policy_cost([loss], plan([loss], budget)) == pytest.approx(min(every))


def test_merge_phases_against_plan() -> None:
    loss = np.array([5, 4, 3, 2.85, 2.80])
    cost = np.triu(np.repeat(loss[:, None], 5, axis=1))  # a phase costs what the call it is in costs
    best, groups = merge_phases(cost)
    for c in range(1, 6):
        policy = plan([loss.tolist()], c)
        assert best[c] == pytest.approx(policy_cost([loss.tolist()], policy))
        assert [np.cumsum([0, *groups[c]])[:-1].tolist()] == policy


def test_share_calls_against_brute_force() -> None:
    stages = [
        np.array([np.inf, 100, 60, 50, 49.0]),
        np.array([np.inf, 20, 12, 10, 9.5]),
        np.array([np.inf, 3, 2, 1.9, 1.8]),
    ]
    roots = [500, 60, 15, 4]
    for budget in range(1, 14):
        options = []
        for used in range(1, 4):
            for calls in np.ndindex(*[4] * used):
                if sum(calls) + used <= budget:
                    options.append(sum(stages[i][c + 1] for i, c in enumerate(calls)) + roots[used])
        used, calls = share_calls(stages, roots, budget)
        assert sum(calls) <= budget
        assert sum(stages[i][c] for i, c in enumerate(calls)) + roots[used] == pytest.approx(min(options))


# ---- likelihood


def random_parameters(n: int, k: int = 5, seed: int = 0) -> torch.Tensor:
    """Real-unit parameters on the integer grids, float64 (n, 10 k)."""
    g = torch.Generator().manual_seed(seed)
    logit = torch.randint(-60, 60, (n, k), generator=g) / 16
    mean = torch.randint(-900, 900, (n, 3 * k), generator=g) / 32
    scale = torch.randint(-64, 97, (n, 3 * k), generator=g) / 16
    slope = torch.randint(-200, 200, (n, 3 * k), generator=g) / 128
    return torch.cat([logit, mean, scale, slope], 1)


def as_integers(params: torch.Tensor, k: int) -> np.ndarray:
    """int32 (n, 10 k)."""
    steps = torch.tensor([16] * k + [32] * 3 * k + [16] * 3 * k + [128] * 3 * k)
    return (params * steps).round().to(torch.int32).numpy()


TABLES = mixture.tables_of(units.make_tables())


def test_float_probabilities_add_up_to_one() -> None:
    params = random_parameters(1, seed=3).float()
    values = torch.arange(256.0)
    # G varies: the first channel
    pixels = torch.stack([torch.full((256,), 90.0), values, torch.full((256,), 100.0)], 1)
    base = torch.full((256, 3), 96.0)
    p = torch.exp2(-likelihood.bits(params.expand(256, -1), pixels, base, 5)[:, 0])
    assert float(p.sum()) == pytest.approx(1, abs=1e-3)


def test_integer_likelihood_costs_what_the_float_one_costs() -> None:
    n, k = 4000, 5
    params = random_parameters(n, seed=5)
    params[:, k : 4 * k] /= (
        4  # means within 7 levels, so that no pixel lies in the far tails, where the two floors differ
    )
    params[:, 4 * k : 7 * k] = params[:, 4 * k : 7 * k].clamp(1, 5)
    params[:, 7 * k :] /= 4
    integers = as_integers(params, k)
    # back onto the grids
    params = torch.from_numpy(integers) / torch.tensor(
        [16.0] * k + [32] * 3 * k + [16] * 3 * k + [128] * 3 * k
    )
    g = torch.Generator().manual_seed(2)
    base = torch.randint(40, 216, (n, 3), generator=g)
    pixel = (base + torch.randint(-9, 10, (n, 3), generator=g)).clamp(0, 255)
    real = likelihood.bits(params.float(), pixel.float(), base.float(), k).sum(0)
    whole = mixture.information(
        integers, base.numpy().astype(np.int16), pixel.numpy().astype(np.uint8), TABLES
    ).sum(1)
    assert torch.allclose(real.double(), torch.from_numpy(whole), rtol=2e-3)


def test_extreme_parameters_do_not_overflow() -> None:
    """Every int32 the network could emit, below its bound of 2**24, gives a valid distribution."""
    for value in (-(2**24), 2**24):
        params = np.full((8, 50), value, dtype=np.int32)
        base = np.repeat(np.array([[0], [255]] * 4), 3, 1).astype(np.int16)
        pixels = np.repeat(np.array([[0], [255], [255], [0], [128], [1], [254], [7]]), 3, 1).astype(np.uint8)
        cost = mixture.information(params, base, pixels, TABLES)
        assert np.isfinite(cost).all()
        assert cost.min() >= 0
