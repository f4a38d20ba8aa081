"""Orders, stages, budgets and likelihoods: the parts of ardm/ that need no weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ardm.stages import MASK_ON, align, base_image, condition, level_shapes, tokens

from ardm import likelihood, orders
from ardm.budget import even, merge_phases, plan, policy_cost, share_calls

# ---- orders


def test_lattice_order_lists_every_phase_but_the_lattice_once() -> None:
    assert sorted([(0, 0), *orders.LATTICE_ORDER]) == [(y, x) for y in range(4) for x in range(4)]


def test_anchor_falls_on_its_place() -> None:
    for phase in orders.LATTICE_ORDER:
        assert orders.place_of(phase, phase) == 5
        assert [(p + -orders.patch_start(p)) % 4 for p in phase] == [1, 1]


@pytest.mark.parametrize("size", range(1, 30))
def test_patches_cover_the_image_for_every_anchor(size: int) -> None:
    for anchor in range(4):
        start = orders.patch_start(anchor)
        assert -4 < start <= 0
        assert start + 4 * orders.patch_count(size) >= size


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


# ---- stages


def test_base_image_by_hand() -> None:
    base = base_image(torch.tensor([[[[0, 16], [32, 48]]]]), 6, 7)[0, 0]
    assert base[0].tolist() == [0, 4, 8, 12, 16, 16, 16]
    assert base[:, 0].tolist() == [0, 8, 16, 24, 32, 32]
    assert base[2, 2] == 24  # the mean of all four
    assert base_image(torch.tensor([[[[0, 1], [0, 0]]]]), 1, 4)[0, 0, 0].tolist() == [0, 0, 1, 1]  # quarters, rounded half up


def test_base_image_is_the_same_in_float_and_in_integers() -> None:
    lattice = torch.randint(0, 256, (2, 3, 5, 6), generator=torch.Generator().manual_seed(0))
    assert torch.equal(base_image(lattice, 18, 21), base_image(lattice.float(), 18, 21).long())
    assert torch.equal(base_image(lattice, 18, 21), base_image(lattice.short(), 18, 21).long())


def test_level_shapes_end_at_four() -> None:
    assert level_shapes(1024, 1000) == [(1024, 1000), (256, 250), (64, 63), (16, 16), (4, 4)]
    assert level_shapes(4, 3) == [(4, 3)]
    assert level_shapes(1, 5) == [(1, 5), (1, 2)]


def test_tokens_put_the_anchor_in_place_and_show_only_what_is_known() -> None:
    residual = torch.arange(3 * 8 * 8, dtype=torch.int8).view(1, 3, 8, 8) % 100
    known = torch.zeros(1, 1, 8, 8, dtype=torch.int8)
    known[..., ::4, ::4] = 1
    seen = tokens(residual * known, known * MASK_ON, torch.ones(1, 3, 8, 8, dtype=torch.int8), (2, 3))
    assert seen.shape == (1, 67, 3, 3)
    anchor = align(residual, (2, 3))[0, 5]  # red at place (1, 1)
    assert anchor[1, 1] == residual[0, 0, 2, 3]
    lattice_place = orders.place_of((0, 0), (2, 3))
    for place in range(16):
        assert bool((seen[0, 48 + place] != 0).any()) == (place == lattice_place)


def test_condition_counts_known_pixels() -> None:
    known = torch.zeros(1, 1, 8, 8)
    known[..., ::4, ::4] = 1
    known[..., 1, 1] = 1  # one of the four pixels of phase (1, 1)
    cond = condition(known, (1, 1), level=2)[0].tolist()
    assert cond[:16] == [16.0 if p == 0 else 4.0 if p == 5 else 0.0 for p in range(16)][0:1] + [4.0 if p == 5 else 0.0 for p in range(1, 16)]
    assert cond[16:] == [0, 0, 16, 0]


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
            sum(policy_cost([loss], plan([loss], calls)) for loss, calls in zip(losses, (a, b, budget - a - b), strict=True))
            for a in range(1, 6) for b in range(1, 6) if 1 <= budget - a - b <= 3
        ]  # fmt: skip
        assert policy_cost(losses, policy) == pytest.approx(min(every))
        if budget <= 9:
            assert policy_cost(losses[:2], plan(losses[:2], budget)) <= policy_cost(losses[:2], even(5, 2, budget)) + 1e-9


def test_plan_beats_every_partition() -> None:
    from itertools import combinations

    loss = [9.0, 7.0, 6.5, 4.0, 3.9, 3.8, 1.0]
    for budget in range(1, 8):
        every = [sum((b - a) * loss[a] for a, b in zip((0, *cut), (*cut, 7), strict=True)) for cut in combinations(range(1, 7), budget - 1)]
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
    stages = [np.array([np.inf, 100, 60, 50, 49.0]), np.array([np.inf, 20, 12, 10, 9.5]), np.array([np.inf, 3, 2, 1.9, 1.8])]
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


def as_integers(params: torch.Tensor, k: int) -> torch.Tensor:
    """int32 (10 k, n)."""
    steps = torch.tensor([16] * k + [32] * 3 * k + [16] * 3 * k + [128] * 3 * k)
    return (params * steps).round().to(torch.int32).T.contiguous()


def test_float_probabilities_add_up_to_one() -> None:
    params = random_parameters(1, seed=3).float()
    values = torch.arange(256.0)
    pixels = torch.stack([torch.full((256,), 90.0), values, torch.full((256,), 100.0)], 1)  # G varies: the first channel
    base = torch.full((256, 3), 96.0)
    p = torch.exp2(-likelihood.bits(params.expand(256, -1), pixels, base, 5)[:, 0])
    assert float(p.sum()) == pytest.approx(1, abs=1e-3)


def test_integer_distribution_is_a_distribution() -> None:
    n = 200
    params = as_integers(random_parameters(n), 5)
    mixture = likelihood.IntegerMixture(
        params, torch.randint(0, 256, (3, n), generator=torch.Generator().manual_seed(1), dtype=torch.int32), likelihood.make_tables()
    )
    residuals: list[torch.Tensor] = []
    for _ in range(3):
        mixture.start_channel(residuals)
        mixture.fix_channel()
        inner = mixture.cdf(torch.arange(1, 256, dtype=torch.int32)[:, None].expand(255, n))
        whole = torch.cat([torch.zeros(1, n), inner, mixture.total[None]])
        assert int((whole[1:] - whole[:-1]).min()) >= likelihood.FLOOR
        assert int(mixture.total.max()) < 2**28.4
        mixture.finish_channel(torch.full((n,), 128, dtype=torch.int32))
        assert 1 <= int(mixture.weight.min()) <= int(mixture.weight.max()) <= likelihood.WEIGHT_TOP
        residuals.append(torch.full((n,), 3, dtype=torch.int32))


def test_integer_likelihood_costs_what_the_float_one_costs() -> None:
    n, k = 4000, 5
    params = random_parameters(n, seed=5)
    params[:, k : 4 * k] /= 4  # means within 7 levels, so that no pixel lies in the far tails, where the two floors differ
    params[:, 4 * k : 7 * k] = params[:, 4 * k : 7 * k].clamp(1, 5)
    params[:, 7 * k :] /= 4
    params = as_integers(params, k).T / torch.tensor([16.0] * k + [32] * 3 * k + [16] * 3 * k + [128] * 3 * k)  # back onto the grids
    g = torch.Generator().manual_seed(2)
    base = torch.randint(40, 216, (n, 3), generator=g)
    pixel = (base + torch.randint(-9, 10, (n, 3), generator=g)).clamp(0, 255)
    real = likelihood.bits(params.float(), pixel.float(), base.float(), k).sum(0)
    whole = likelihood.integer_bits(as_integers(params, k), base.T.int().contiguous(), pixel.T.int().contiguous(), likelihood.make_tables()).sum(1)
    assert torch.allclose(real.double(), whole, rtol=2e-3)


def test_extreme_parameters_do_not_overflow() -> None:
    """Every int32 the network could emit, after its own saturation at 2**24, gives a valid distribution."""
    tables = likelihood.make_tables()
    for value in (-(2**24), 2**24):
        params = torch.full((50, 8), value, dtype=torch.int32)
        base = torch.tensor([[0, 255] * 4] * 3, dtype=torch.int32)
        pixels = torch.tensor([[0, 255, 255, 0, 128, 1, 254, 7]] * 3, dtype=torch.int32)
        cost = likelihood.integer_bits(params, base, pixels, tables)
        assert bool(torch.isfinite(cost).all())
        assert float(cost.min()) >= 0
