"""Discrete data of any kind, by enumeration of spaces so small that every sum can be written out:
probabilities, bounds, networks, training.
"""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ardm import generate, networks
from ardm.budget import even, plan, policy_cost
from ardm.discrete import Space, coarse, digit_log_prob, digit_log_probs
from ardm.networks import NAMES, Config, Network, build
from ardm.objective import (
    Estimate,
    bound,
    diffusion_bound,
    exact_bits,
    information,
    loss_table,
    training_loss,
)
from ardm.orders import spread_places
from ardm.training import fit
from ardm.training.run import CheckpointError, load_tensors, save_tensors

K, D = 5, 3
# of any space; for the others see test_window_network.py and test_context.py
GENERAL = [name for name in NAMES if name not in ("window", "context")]
SPACES = [
    Space((D,), K, base, ordered, likelihood)
    for base in (0, 2, 3)
    for likelihood, ordered in (("categorical", False), ("direct", False), ("logistics", True))
]
IDS = [f"{s.likelihood}-base{s.base}" for s in SPACES]
EVERY = torch.tensor(list(itertools.product(range(K), repeat=D)))  # (125, 3)
ORDERS = [torch.tensor(order) for order in itertools.permutations(range(D))]


def opinionated(space: Space, name: str = "transformer", **dials: int) -> Network:
    """A network whose answers differ widely from one input to the next: nothing is left at zero."""
    torch.manual_seed(5)
    network = build(Config(name, **{"width": 16, "blocks": 1, "heads": 2, "cond_width": 4, **dials}), space)
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            parameter.add_(torch.randn_like(parameter) * (0.5 if key.startswith("head") else 0.2))
    return network.eval()


# ---- spaces and digits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shape": ()}, "shape must be"),
        ({"shape": (1, 2, 3, 4)}, "shape must be"),
        ({"shape": (0,)}, "shape must be"),
        ({"shape": (2.0,)}, "shape must be"),
        ({"classes": 1}, "from 2 to 65536, got 1"),
        ({"classes": 65537}, "got 65537"),
        ({"classes": 4.0}, "got 4.0"),
        ({"base": 1}, r"0 \(one stage\) or at least 2, got 1"),
        ({"base": -2}, "got -2"),
        ({"base": 2.0}, "got 2.0"),
        ({"likelihood": "gauss"}, "one of categorical, direct, logistics, got 'gauss'"),
        ({"likelihood": "logistics", "ordered": False}, "needs ordered values"),
        ({"mixture": 0}, "at least 1, got 0"),
    ],
)
def test_wrong_spaces_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space(**{"shape": (4,), "classes": 8} | wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 4, dtype=torch.long), r"shape \(batch, 3\), got \(2, 4\)"),
        (torch.zeros(3, dtype=torch.long), "shape"),
        (torch.zeros(2, 3), "integers 0..4, got torch.float32"),
        (torch.full((2, 3), 5), "from 5 to 5"),
        (torch.full((2, 3), -1), "from -1 to -1"),
    ],
)
def test_wrong_examples_are_refused(x: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space((3,), K).check(x)


@pytest.mark.parametrize(
    ("classes", "base", "radix", "stages"),
    [
        (256, 0, 256, 1),
        (256, 2, 2, 8),
        (256, 4, 4, 4),
        (256, 16, 16, 2),
        (5, 2, 2, 3),
        (5, 3, 3, 2),
        (5, 9, 5, 1),
    ],
)
def test_digits_of_a_class_count(classes: int, base: int, radix: int, stages: int) -> None:
    space = Space((4,), classes, base)
    assert (space.radix, space.stages) == (radix, stages)
    assert Space((4,), classes, base, likelihood="direct").parameters == stages * radix


def test_what_is_known_by_hand() -> None:
    """27 is 0123 in base 4, the example of the module's drawing."""
    space = Space((2,), 256, 4)
    x, known = torch.tensor([[27, 27]]), torch.tensor([[True, False]])  # child, parent
    assert [coarse(space, x, known, digit).tolist() for digit in (3, 2, 1, 0)] == [
        [[0, 0]],
        [[16, 0]],
        [[24, 16]],
        [[27, 24]],
    ]
    one_stage = Space((2,), 256)
    assert coarse(one_stage, x, known, 0).tolist() == [[27, 0]]


@pytest.mark.parametrize("space", SPACES, ids=IDS)
def test_probabilities_of_digits_sum_to_one(space: Space) -> None:
    params = torch.randn(40, space.parameters, generator=torch.Generator().manual_seed(1)) * 3
    for digit in range(space.stages):
        unit = space.radix**digit
        for value in range(K):
            x = torch.full((40,), value)
            log_probs = digit_log_probs(
                space, params, x // (unit * space.radix) * (unit * space.radix), digit
            )
            assert log_probs.shape == (40, space.radix)
            assert torch.allclose(log_probs.exp().sum(-1), torch.ones(40), atol=1e-5)
            impossible = (
                x[0] // (unit * space.radix) * (unit * space.radix) + unit * torch.arange(space.radix) >= K
            )
            assert float(log_probs[:, impossible].exp().sum()) == 0
            assert torch.allclose(
                digit_log_prob(space, params, x, digit), log_probs[:, value // unit % space.radix], atol=1e-4
            )


@pytest.mark.parametrize("likelihood", ["categorical", "logistics"])
def test_the_same_parameters_say_the_same_in_every_base(likelihood: str) -> None:
    """Masses of children over the mass of the parent: the product telescopes."""
    x = torch.arange(K).repeat(20, 1)
    params = (
        torch.randn(
            20,
            1,
            Space((1,), K, likelihood=likelihood).parameters,
            generator=torch.Generator().manual_seed(2),
        ).expand(-1, K, -1)
        * 2
    )
    whole = digit_log_prob(Space((1,), K, 0, likelihood=likelihood), params, x, 0)
    for base in (2, 3, 4):
        space = Space((1,), K, base, likelihood=likelihood)
        digits = sum(digit_log_prob(space, params, x, digit) for digit in range(space.stages))
        assert torch.allclose(whole, torch.as_tensor(digits), atol=2e-4)


def test_logistics_by_hand() -> None:
    """One component in the middle, with a scale of half a sixteenth of the range, in float64."""
    space = Space((1,), 8, likelihood="logistics", mixture=1)
    center, inverse = 4.0, 2.0**1 * 16 / 8

    def cdf(edge: float) -> float:
        return 1 / (1 + math.exp(-(edge - center) * inverse))

    mass = [(1.0 if v == 7 else cdf(v + 0.5)) - (0.0 if v == 0 else cdf(v - 0.5)) for v in range(8)]
    expected = torch.tensor([(1 - 2**-16) * m + 2**-16 / 8 for m in mass])
    found = digit_log_probs(space, torch.tensor([[0.3, 0.0, -1.0]]), torch.tensor([0]), 0)[0].exp()
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("space", SPACES, ids=IDS)
def test_probabilities_of_all_examples_sum_to_one(space: Space) -> None:
    """The factorisation is exact, for every order and every way to share calls."""
    network = opinionated(space)
    s = space.stages
    policies = [
        None,
        even(D, s, s),
        [[0, 1] if stage % 2 else [0, 2] for stage in range(s)],
        [[0, 1, 2], *[[0]] * (s - 1)],
    ]
    seen = set()
    for order, policy in itertools.product(ORDERS, policies):
        probability = torch.exp2(-D * exact_bits(network, EVERY, order, policy))
        assert float(probability.sum()) == pytest.approx(1, abs=1e-4)
        seen.add(round(float(probability[37]) * 1e9))
    assert len(seen) >= 10  # orders and policies are really different models


# ---- networks ----------------------------------------------------------------------------------------------

KINDS = [
    Space((8,), 6, 0, False),
    Space((8,), 6, 2, False, "direct"),
    Space((4, 6), 6, 0),
    Space((2, 4, 4), 9, 3, True, "logistics", 2),
]


@pytest.mark.parametrize("name", GENERAL)
@pytest.mark.parametrize("space", KINDS, ids=lambda s: f"{len(s.shape)}d-base{s.base}")
def test_networks_answer_from_what_is_known_alone(name: str, space: Space) -> None:
    """Shapes, and absorption: no answer changes with what is not known, every answer with what is; gradients
    are finite and reach everything.
    """
    network = opinionated(space, name, patch=1 if name == "unet" else 2, blocks=2)
    generator = torch.Generator().manual_seed(3)
    x, other = (torch.randint(space.classes, (3, *space.shape), generator=generator) for _ in range(2))
    known = torch.rand((3, *space.shape), generator=generator) < 0.5
    for digit in range(space.stages):
        unit = space.radix**digit
        parent = unit * space.radix
        seen = coarse(space, x, known, digit)
        out = network(seen, known, digit)
        assert out.shape == (*x.shape, space.parameters)
        assert out.dtype == torch.float32
        hidden = (x // parent * parent + other % parent).clamp(max=space.classes - 1)
        # lower digits of known ones are not known either
        hidden = torch.where(known, x // unit * unit + other % unit, hidden)
        assert not torch.equal(hidden, x)
        assert torch.equal(
            network(coarse(space, hidden.clamp(max=space.classes - 1), known, digit), known, digit), out
        )
        moved = torch.where(known, (x + unit) % space.classes, x)
        assert not torch.equal(network(coarse(space, moved, known, digit), known, digit), out)
        if space.stages > 1:
            assert not torch.equal(network(seen, known, (digit + 1) % space.stages), out)
    loss, value = training_loss(network, x, generator, 0.01)
    loss.backward()
    assert loss.isfinite()
    assert value < loss
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name


@pytest.mark.parametrize("name", GENERAL)
def test_names_are_absorbed_even_where_nothing_was_hidden(name: str) -> None:
    """In the only stage, a letter that is marked unknown cannot be seen, whatever stands there."""
    space = Space((6,), 4, 0, False)
    network = opinionated(space, name)
    known = torch.tensor([[True, False, False, True, False, True]])
    x = torch.tensor([[1, 2, 3, 0, 1, 2]])
    assert torch.equal(network(x, known, 0), network(torch.tensor([[1, 0, 1, 0, 3, 2]]), known, 0))


@pytest.mark.parametrize("name", GENERAL)
def test_wrong_arguments_are_refused(name: str) -> None:
    space = Space((6,), 4, 2)
    network = build(Config(name, width=8, blocks=1, heads=2), space)
    x, known = torch.zeros(2, 6, dtype=torch.long), torch.zeros(2, 6, dtype=torch.bool)
    wrong = [
        (
            x,
            known[:, :5],
            0,
            r"mask must be bool and of shape \(2, 6\) like the data, got torch.bool \(2, 5\)",
        ),
        (x, known[:1], 0, "mask must be"),
        (x, known.long(), 0, "got torch.int64"),
        (x, known, 2, "stage must be 0..1, got 2"),
        (x, known, -1, "stage must be 0..1, got -1"),
        (x + 4, known, 0, "integers 0..3, got torch.int64 from 4 to 4"),
        (x[:, :5], known, 0, r"shape \(batch, 6\), got \(2, 5\)"),
        (x.float(), known, 0, "integers"),
    ]
    for seen, mask, digit, message in wrong:
        with pytest.raises(ValueError, match=message):
            network(seen, mask, digit)


@pytest.mark.parametrize(
    ("dials", "message"),
    [
        ({"name": "resnet"}, "one of unet, transformer, mixer, lattice, window, context, got 'resnet'"),
        ({"width": 0}, "width must be a positive integer, got 0"),
        ({"blocks": 1.5}, "blocks must be"),
        ({"dilations": ()}, "dilations"),
        ({"dilations": (1, 0)}, "dilations"),
        ({"kernel": 4}, "kernel must be odd, got 4"),
        ({"name": "transformer", "width": 10, "heads": 4}, "multiple of twice the heads, got 10 and 4"),
    ],
)
def test_wrong_dials_are_refused(dials: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**dials)  # type: ignore[arg-type]


def test_networks_that_do_not_fit_a_space_are_refused() -> None:
    with pytest.raises(ValueError, match="patch 3 must divide"):
        build(Config("mixer", patch=3), Space((8,), 4))
    with pytest.raises(ValueError, match="the unet has no patches"):
        build(Config("unet", patch=2), Space((8,), 4))
    with pytest.raises(ValueError, match="multiple of heads"):
        build(Config("unet", width=10, heads=4), Space((8,), 4))


def test_multiply_accumulates_by_hand() -> None:
    network = build(
        Config("mixer", width=6, blocks=1, expand=2, patch=2, cond_width=3), Space((8,), 5, ordered=False)
    )
    tokens, inputs, outputs = 4, 2 * (5 + 1), 2 * 5
    conditioning = (networks.SHARES + 1) * 3 + 3 * 6
    assert (
        networks.multiply_accumulates(network)
        == tokens * 6 * (inputs + tokens + tokens + 12 + 12 + outputs) + conditioning
    )


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 20, 256, 1000])
def test_spread_places(size: int) -> None:
    places = spread_places(size)
    assert sorted(places.tolist()) == list(range(size))
    at = places.argsort()
    for n in {1, 2, 3, size // 3, size // 2, size} - {0}:
        gaps = np.diff(np.concatenate([[-1], np.sort(at[:n]), [size]]))
        assert gaps.max() <= 4 * size / n
    if size == 8:
        assert at.tolist() == [0, 4, 2, 6, 1, 5, 3, 7]


# ---- bound, budgets, walk ----------------------------------------------------------------------------------


def average_over_orders(network: Network, x: torch.Tensor) -> torch.Tensor:
    """Bits per variable of the order-agnostic ARM (a call for every variable), the mean over all orders:
    float64 (B,).
    """
    return torch.stack([exact_bits(network, x, order) for order in ORDERS]).mean(0)


@pytest.mark.parametrize("space", SPACES, ids=IDS)
def test_bound_is_the_average_over_orders(space: Space) -> None:
    """Three roads to one number: all orders, all masks weighted by 1/(D-t), and sampling."""
    network = opinionated(space)
    x = EVERY[::9]  # (14, 3)
    exact = average_over_orders(network, x)
    by_masks = torch.zeros(len(x), dtype=torch.float64)
    with torch.no_grad():
        for digit in range(space.stages):
            for bits in itertools.product((False, True), repeat=D):
                t = sum(bits)
                if t < D:
                    cost = information(network, x, torch.tensor(bits).expand_as(x), digit).double().sum(
                        1
                    ) / math.log(2)
                    by_masks += cost / (D - t) / math.comb(D, t) / D
    assert torch.allclose(exact, by_masks, atol=1e-5)
    found = Estimate.of(bound(network, x.repeat(300, 1), torch.Generator().manual_seed(4), 3))
    assert abs(found.mean - float(exact.mean())) < 4 * found.error
    assert 0 < found.error < 0.1


@pytest.mark.parametrize("space", SPACES, ids=IDS)
def test_absorbing_diffusion_has_the_same_bound(space: Space) -> None:
    """D3PM with an absorbing state in continuous time, from the same network (section 3.4)."""
    network = opinionated(space)
    x = EVERY[::9]
    exact = float(average_over_orders(network, x).mean())
    found = Estimate.of(diffusion_bound(network, x.repeat(1500, 1), torch.Generator().manual_seed(6), 3))
    assert abs(found.mean - exact) < 4 * found.error
    assert 0 < found.error < 0.1


def test_training_loss_estimates_the_bound() -> None:
    network = opinionated(SPACES[3])
    x = EVERY[::9]
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        found = Estimate.of(
            torch.stack([training_loss(network, x.repeat(20, 1), generator)[1] for _ in range(60)])
        )
    assert abs(found.mean - float(average_over_orders(network, x).mean())) < 4 * found.error


@pytest.mark.parametrize("order", [None, torch.tensor([2, 0, 1])], ids=["random", "fixed"])
def test_loss_table(order: torch.Tensor | None) -> None:
    """Matches what enumeration of the masks gives, and never rises."""
    space = SPACES[3]
    network = opinionated(space)
    table = loss_table(network, [EVERY.repeat(8, 1)] * 2, torch.Generator().manual_seed(9), order=order)
    assert table.shape == (space.stages, D)
    assert (np.diff(table, axis=1) <= 0).all()
    raw = np.zeros((space.stages, D))
    orders = ORDERS if order is None else [order]
    with torch.no_grad():
        for (stage, digit), t, where in itertools.product(
            enumerate(reversed(range(space.stages))), range(D), orders
        ):
            cost = information(network, EVERY, (where < t).expand_as(EVERY), digit).sum(1).mean()
            raw[stage, t] += float(cost) / (D - t) / math.log(2) / len(orders)
    expected = np.maximum.accumulate(raw[:, ::-1], axis=1)[:, ::-1]
    assert np.allclose(table, expected, atol=0.05 if order is None else 1e-4)


def test_budgets_cost_what_the_table_says() -> None:
    """Averaged over orders, a policy costs what the table of losses predicts, exactly; the planned one is
    never worse than the even one.
    """
    space = SPACES[3]
    network = opinionated(space)
    losses = np.zeros((space.stages, D))
    with torch.no_grad():
        for (stage, digit), t, where in itertools.product(
            enumerate(reversed(range(space.stages))), range(D), ORDERS
        ):
            losses[stage, t] += (
                float(information(network, EVERY, (where < t).expand_as(EVERY), digit).sum(1).mean())
                / (D - t)
                / math.log(2)
                / len(ORDERS)
            )
    for budget in range(space.stages, space.stages * D + 1):
        policy = plan(losses.tolist(), budget)
        spent = torch.stack([exact_bits(network, EVERY, order, policy) for order in ORDERS]).mean() * D
        assert float(spent) == pytest.approx(policy_cost(losses.tolist(), policy), abs=1e-4)
        assert (
            policy_cost(losses.tolist(), policy)
            <= policy_cost(losses.tolist(), even(D, space.stages, budget)) + 1e-9
        )


def test_walk_refuses_wrong_orders_policies_and_masks() -> None:
    space = Space((D,), K, 3)
    network = opinionated(space)
    x = EVERY[:2]
    for order in (torch.tensor([0, 1, 1]), torch.tensor([0, 1]), torch.tensor([1, 2, 3])):
        with pytest.raises(ValueError, match=r"its own place 0\.\.2"):
            exact_bits(network, x, order)
    for policy in ([[0]], [[0], [1]], [[0], []], [[0], [0, 3]], [[0], [0, 2, 1]]):
        with pytest.raises(
            ValueError, match=r"one list of calls|begin at increasing places from 0 to at most 2"
        ):
            exact_bits(network, x, ORDERS[0], policy)
    with pytest.raises(ValueError, match="mask must have the shape of the data"):
        generate.walk(
            space, lambda *a: a[0], ORDERS[0], even(D, 2, 2), lambda *a: a[1], x, torch.tensor([True])
        )
    for budget in (0, 1, 7):
        with pytest.raises(ValueError, match="budget must be between 2, the number of stages, and 6"):
            even(D, 2, budget)


def test_given_variables_are_never_visited() -> None:
    space = Space((D,), K, 2)
    network = opinionated(space)
    given = torch.tensor([False, True, False])
    visited = []

    def lowest(params: torch.Tensor, parent: torch.Tensor, digit: int, where: torch.Tensor) -> torch.Tensor:
        visited.extend(where.tolist())
        return torch.zeros_like(parent)

    def answer(seen: torch.Tensor, known: torch.Tensor, digit: int, where: torch.Tensor) -> torch.Tensor:
        return network(seen, known, digit)[:, where]

    x = torch.tensor([[3, 4, 3], [1, 2, 1]])
    out = generate.walk(space, answer, ORDERS[4], even(D, space.stages, 9), lowest, x, given)
    assert out.tolist() == [[0, 4, 0], [0, 2, 0]]
    assert sorted(visited) == [0] * 3 + [2] * 3


# ---- training ----------------------------------------------------------------------------------------------


def repeated(space: Space):  # type: ignore[no-untyped-def]
    """Examples of one value each, repeated: 2 bits per variable for who knows none, log2(4) / 8 for who knows
    the rule.
    """

    def draw(batch: int, generator: torch.Generator) -> torch.Tensor:
        return (
            torch.randint(4, (batch, 1), generator=generator)
            .expand(-1, space.size)
            .reshape(batch, *space.shape)
            .contiguous()
        )

    return draw


def recipe(name: str = "mixer", space: Space | None = None, **fields: object) -> fit.TrainingRecipe:
    config = Config(name, width=16, blocks=1, heads=2, expand=2, cond_width=8)
    return fit.TrainingRecipe(
        space or Space((8,), 4, 2, False),
        config,
        **{"batch": 16, "rate": 0.01, "steps": 40, "ema": 0.9, **fields},
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("name", GENERAL)
@pytest.mark.parametrize("base", [0, 2])
def test_networks_learn(name: str, base: int, tmp_path: Path) -> None:
    space = Space((8,), 4, base, False)
    valid = repeated(space)(64, torch.Generator().manual_seed(1))
    mine = recipe(name, space, steps=80, rate=0.03)
    run = fit.fit(mine, fit.of_examples(mine, repeated(space)), valid, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == run.step == 80
    assert lines[-1]["valid"] < 1.6  # of 2 bits
    network, loaded = fit.load_network(tmp_path / "average.safetensors")
    assert loaded == run.recipe
    assert round(float(fit.validate(network, valid, loaded.seed).mean()), 4) == lines[-1]["valid"]


class Interrupted(Exception):
    pass


@pytest.mark.parametrize(("name", "optimizer"), [("mixer", "muon"), ("unet", "adamw")])
def test_training_goes_on_as_if_never_interrupted(name: str, optimizer: str, tmp_path: Path) -> None:
    """Same weights to the last bit, through the change to simulated integers, however often it stops."""
    mine = recipe(name, steps=16, quantize_from=0.5, optimizer=optimizer)
    draw = repeated(mine.space)
    valid = draw(16, torch.Generator().manual_seed(1))
    whole = fit.fit(mine, fit.of_examples(mine, draw), valid, tmp_path / "whole", fit.Session(every=0))
    calls = 0

    def stops(batch: int, generator: torch.Generator) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls in (4, 11, 20, 22):  # the second time while activations are measured
            raise Interrupted
        return draw(batch, generator)

    for _ in range(4 if name == "mixer" else 2):
        with pytest.raises(Interrupted):
            fit.fit(mine, fit.of_examples(mine, stops), valid, tmp_path / "parts", fit.Session(every=0))
    parts = fit.fit(mine, fit.of_examples(mine, stops), valid, tmp_path / "parts", fit.Session(every=0))
    assert parts.step == whole.step == 16
    assert parts.quantized == whole.quantized == (name == "mixer")
    for (key, a), b in zip(whole.net.state_dict().items(), parts.net.state_dict().values(), strict=True):
        assert torch.equal(a, b), key
    last = [
        json.loads((tmp_path / part / "log.jsonl").read_text().splitlines()[-1])["valid"]
        for part in ("whole", "parts")
    ]
    assert last[0] == last[1]
    best = [load_tensors(tmp_path / part / "best.safetensors") for part in ("whole", "parts")]
    assert best[0][1]["step"] == best[1][1]["step"]
    assert best[0][1]["quantized"] == best[1][1]["quantized"] == (name == "mixer")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    mine = recipe(steps=2)
    fit.fit(
        mine,
        fit.of_examples(mine, repeated(mine.space)),
        repeated(mine.space)(4, torch.Generator().manual_seed(1)),
        out,
    )
    return out


def damaged(data: bytes) -> dict[str, bytes]:
    noise = np.random.default_rng(1).bytes(1000)
    return {
        "empty": b"",
        "noise": noise,
        "truncated": data[:-1],
        "cut in the header": data[:100],
        "longer": data + b"0",
        "length flipped": bytes([data[0] ^ 64]) + data[1:],
        "no description": save_without_description(),
        "text": b"{}",
    }


def save_without_description() -> bytes:
    from safetensors.torch import save

    return save({"a": torch.zeros(2)})


def test_damaged_checkpoints_are_refused(trained: Path, tmp_path: Path) -> None:
    mine = recipe(steps=2)
    valid = repeated(mine.space)(4, torch.Generator().manual_seed(1))
    path = tmp_path / "checkpoint.safetensors"
    cases = damaged((trained / "checkpoint.safetensors").read_bytes())
    torch.save({"net": torch.zeros(3)}, path)
    cases["pickle"] = path.read_bytes()
    for name, data in cases.items():
        path.write_bytes(data)
        (tmp_path / "log.jsonl").write_text("")
        with pytest.raises(CheckpointError, match="not an ardm checkpoint, or is damaged"):
            fit.fit(mine, fit.of_examples(mine, repeated(mine.space)), valid, tmp_path)
        with pytest.raises(CheckpointError, match="not an ardm checkpoint, or is damaged"):
            fit.load_network(path)
        assert path.read_bytes() == data, name  # left as it was


def test_foreign_checkpoints_are_refused(trained: Path, tmp_path: Path) -> None:
    """Another network, another shape, an average instead of a checkpoint, another optimiser, or a description
    of something else.
    """
    mine = recipe(steps=2)
    tensors, about = load_tensors(trained / "checkpoint.safetensors")
    valid = repeated(mine.space)(4, torch.Generator().manual_seed(1))
    path = tmp_path / "checkpoint.safetensors"
    (tmp_path / "log.jsonl").write_text("")
    longer = Space((16,), 4, 2, False)
    strangers = [
        recipe("transformer", steps=2),
        recipe("lattice", steps=2),
        recipe(space=longer, steps=2),
        recipe(optimizer="adamw", steps=2),
    ]
    path.write_bytes((trained / "checkpoint.safetensors").read_bytes())
    for stranger in strangers:
        x = repeated(stranger.space)(4, torch.Generator().manual_seed(1))
        with pytest.raises(CheckpointError, match=r"is of another network|of another optimiser"):
            fit.fit(stranger, fit.of_examples(stranger, repeated(stranger.space)), x, tmp_path)
    path.write_bytes((trained / "average.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="is of another network"):
        fit.fit(mine, fit.of_examples(mine, repeated(mine.space)), valid, tmp_path)
    for key in ("step", "seconds", "quantized"):
        save_tensors(path, tensors, {k: v for k, v in about.items() if k != key})
        with pytest.raises(CheckpointError, match=key):
            fit.fit(mine, fit.of_examples(mine, repeated(mine.space)), valid, tmp_path)
    wrong = [
        {"recipe": 3},
        {},
        {"recipe": {}},
        {"recipe": {**about["recipe"], "nonsense": 1}},
        {"recipe": {**about["recipe"], "network": {"name": "resnet"}}},
        {"recipe": {**about["recipe"], "space": 5}},
        {"recipe": about["recipe"]},
    ]
    for description in wrong:
        save_tensors(path, tensors, description)
        with pytest.raises(CheckpointError, match="does not describe a network that this release knows"):
            fit.load_network(path)
    save_tensors(path, {k: v for k, v in tensors.items() if not k.endswith("bias")}, about)
    with pytest.raises(CheckpointError, match="is of another network: it lacks"):
        fit.load_network(path)


def test_recipes_come_back_from_their_description(trained: Path) -> None:
    _, about = load_tensors(trained / "checkpoint.safetensors")
    assert fit.recipe_from(about) == recipe(steps=2)
    with pytest.raises(ValueError, match="at least 1 and rate above 0"):
        recipe(batch=0)
