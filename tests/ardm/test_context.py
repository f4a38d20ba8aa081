"""The context network: evaluated where it is asked, blind to what is not known, learning from examples that
are what the walk later asks; and in integers, which follow the float network and are the same compiled.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numba import njit

from ardm.discrete import Space
from ardm.exact import context
from ardm.exact.context import ContextWeights
from ardm.exact.evaluate_context import build_context, context_scratch, evaluate_context
from ardm.networks import Config, Context, build, context_of
from ardm.objective import bound, exact_bits
from ardm.orders import cell_places
from ardm.released import WeightsError
from ardm.training import contexts, fit
from ardm.training.contexts import ContextMasks

SPACE = Space((32,), 5, ordered=False)
NET = Config("context", width=24, blocks=2, kernel=9)


def network(space: Space = SPACE) -> Context:
    torch.manual_seed(5)
    net = build(NET, space)
    assert isinstance(net, Context)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return net.eval()


def test_only_what_is_wanted_is_evaluated_and_only_what_is_known_is_seen() -> None:
    net = network()
    generator = torch.Generator().manual_seed(1)
    x, other = (torch.randint(5, (3, 32), generator=generator) for _ in range(2))
    known, wanted = (torch.rand(3, 32, generator=generator) < 0.5 for _ in range(2))
    asked = []
    net.body.conv("enter").register_forward_hook(lambda _, given, __: asked.append(len(given[0])))
    everywhere, some = net(x, known, 0), net(x, known, 0, wanted)
    assert asked == [96, int(wanted.sum())]
    assert torch.allclose(some[wanted], everywhere[wanted], atol=1e-5)
    hidden = net(torch.where(known, x, other), known, 0)
    assert torch.equal(hidden, everywhere)
    # a variable sees four neighbours on each side, what is beyond an end included, and not itself
    near, far, own = x.clone(), x.clone(), x.clone()
    near[:, 14], far[:, 15], own[:, 10] = (near[:, 14] + 1) % 5, (far[:, 15] + 1) % 5, (own[:, 10] + 1) % 5
    everything = torch.ones_like(known)
    answers = [net(t, everything, 0)[:, 10] for t in (x, near, far, own)]
    assert not torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])
    assert torch.equal(answers[0], answers[3])


def test_states_are_values_or_unknown_or_beyond_an_end() -> None:
    seen, known = torch.tensor([[3, 1, 4, 1]]), torch.tensor([[True, False, True, True]])
    space = Space((4,), 5, ordered=False)
    states = context_of(space, 5, seen, known, torch.tensor([0, 3]))
    assert states.tolist() == [[6, 6, 5, 4], [5, 4, 6, 6]]


@pytest.mark.parametrize(
    ("space", "dials", "message"),
    [
        (
            Space((4, 4), 5, ordered=False),
            {},
            r"names in one row, one stage, patch 1; got names of shape \(4, 4\)",
        ),
        (Space((16,), 5), {}, "got ordered values"),
        (Space((16,), 5, 2, False), {}, "3 stages"),
        (SPACE, {"patch": 2}, "patch 2"),
        (SPACE, {"kernel": 1}, "at least 3, got 1"),
    ],
)
def test_what_does_not_suit_is_refused(space: Space, dials: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(Config("context", **{"width": 8, "blocks": 1, "kernel": 5, **dials}), space)


@pytest.mark.parametrize(
    ("size", "cell", "places"),
    [(6, 6, [0, 1, 2, 3, 4, 5]), (6, 3, [0, 2, 4, 1, 3, 5]), (5, 2, [0, 3, 1, 4, 2])],
)
def test_cells_are_coded_side_by_side(size: int, cell: int, places: list[int]) -> None:
    assert cell_places(size, cell).tolist() == places


@pytest.mark.parametrize("cell", [32, 8])
def test_examples_are_what_a_walk_along_cells_asks(cell: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row whose values tell the place, in blocks without neighbours: known are the places that the order
    has before, and no others.
    """
    monkeypatch.setattr(contexts, "OPEN", 0.0)
    monkeypatch.setattr(contexts, "EARLY", 0.0)
    row = torch.randint(5, (500,), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    masks = ContextMasks((cell,), (1.0,))
    states, values = contexts.draw(row, SPACE, 9, masks, 2000, torch.Generator().manual_seed(3))
    order = cell_places(32, cell)
    expected = set()
    for begin in range(4, 500 - 4 - 32):
        block = row[begin : begin + 32].long()[None]
        for at in range(32):
            # the places of one call know nothing of each other
            known = torch.from_numpy(order // (32 // cell) < order[at] // (32 // cell))[None]
            expected.add(
                (*context_of(SPACE, 9, block, known, torch.tensor([at]))[0].tolist(), int(block[0, at]))
            )
    assert states.shape == (2000, 8)
    drawn = {(*s, v) for s, v in zip(states.tolist(), values.tolist(), strict=True)}
    assert drawn <= expected
    assert len(drawn) > 500


def test_shares_are_kept() -> None:
    """Of random sets all sizes are drawn; of neighbours' places those beyond an end are as many as is said."""
    row = torch.zeros(4000, dtype=torch.uint8)
    states, _ = contexts.draw(row, SPACE, 9, ContextMasks((), ()), 4000, torch.Generator().manual_seed(4))
    known = (states == 0).sum(1) / (states != 6).sum(1).clamp_min(1)
    counts = np.histogram(known.numpy(), 4, (0, 1))[0] / len(known)
    assert (abs(counts - 0.25) < 0.12).all()
    half = (states == 6).any(1).float().mean()
    assert 0.08 < float(half) < 0.17  # half of a fourth
    for wrong in (((8,), ()), ((8, 4), (0.6, 0.6)), ((0,), (0.5,))):
        with pytest.raises(ValueError, match="every cell needs a share"):
            ContextMasks(*wrong)


def test_it_learns_a_row_in_every_order(tmp_path: Path) -> None:
    row = (torch.arange(4000) % 5).to(torch.uint8)  # one neighbour tells everything
    masks = ContextMasks((32, 8), (0.4, 0.3))
    recipe = fit.TrainingRecipe(SPACE, NET, batch=256, rate=0.01, steps=150, ema=0.9, masks=masks)

    def objective(net: fit.Network, generator: torch.Generator) -> torch.Tensor:
        assert isinstance(net, Context)
        return contexts.loss(net, *contexts.draw(row, SPACE, 9, masks, recipe.batch, generator))

    valid = (torch.arange(32) + torch.arange(10)[:, None]) % 5
    run = fit.fit(recipe, objective, valid, tmp_path, measure=lambda net: {"steps": 7.00004})
    assert '"steps": 7.0}' in (tmp_path / "log.jsonl").read_text()
    network, loaded = fit.load_network(tmp_path / "average.safetensors")
    assert loaded == run.recipe == recipe
    left_to_right = exact_bits(network, valid, torch.arange(32))
    assert float(left_to_right.mean()) < 0.2  # the first letter alone is 2.3 bits of 32 letters
    assert float(bound(network, valid, torch.Generator().manual_seed(1), 8).mean()) < 0.8


# ---- integers ----------------------------------------------------------------------------------------------


def integers(net: Context) -> ContextWeights:
    return context.parse(context.serialize(*context.to_integers(net), {"note": "a test"}))


def trained() -> Context:
    """A network after a few steps, calibrated, with simulated integer arithmetic on."""
    net, row = (
        network(),
        torch.randint(5, (500,), generator=torch.Generator().manual_seed(2), dtype=torch.uint8),
    )
    generator = torch.Generator().manual_seed(1)

    def loss() -> torch.Tensor:
        return contexts.loss(net, *contexts.draw(row, SPACE, 9, ContextMasks((8,), (0.5,)), 256, generator))

    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(8):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    net.body.calibrate(loss)
    net.body.quantized = True
    return net.eval()


def all_states(weights: ContextWeights, count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, weights.config.states, (count, 2 * weights.config.radius))


@njit
def ask(net, row, first, step, count, work, logits):  # type: ignore[no-untyped-def]
    """As a coder's loop asks."""
    evaluate_context(net, row, first, step, count, work, logits)


def compiled(weights: ContextWeights, row: np.ndarray, first: int, step: int, count: int) -> np.ndarray:
    net = build_context(weights)
    logits = np.zeros(count * weights.config.classes, np.int32)
    ask(net, row, first, step, count, context_scratch(net), logits)
    return logits.reshape(count, -1)


def test_integers_follow_the_simulation() -> None:
    net = trained()
    weights = integers(net)
    assert weights.config == context.ContextConfig(5, radius=4, width=24, depth=2)
    states = all_states(weights, 400)
    with torch.no_grad():
        simulated = net.of_states(torch.from_numpy(states)).numpy()
    # a sixth of a step: what the conditioning adds is rounded in the integers only
    assert abs(simulated - context.reference(weights, states) / context.LOGIT_STEPS).mean() < 0.01


def extreme() -> ContextWeights:
    """Weights of +-127, and sums near 2**24."""
    config, rng = context.ContextConfig(27, radius=32, width=500, depth=2), np.random.default_rng(4)
    w = config.width
    tensors = {
        "enter": rng.choice(np.array([-127, 127], np.int8), (w, 64, 29)),
        "hidden": rng.choice(np.array([-127, 127], np.int8), (4, w, w)),
        "head": rng.choice(np.array([-127, 127], np.int8), (27, w)),
        **{f"{name}_bias": np.full(shape, 300_000) for name, shape in (("enter", w), ("head", 27))},
        "hidden_bias": np.full((4, w), 300_000),
        "enter_shift": np.full(w, 4),
        "hidden_shift": np.full((4, w), 8),
        "head_shift": np.full(27, 3),
        "exp": context.exponentials(),
    }
    tensors["hidden"][::2, ::3] = 127  # all of one sign
    tensors = {name: t if t.dtype == np.int8 else t.astype(np.int32) for name, t in tensors.items()}
    return context.parse(context.serialize(config, tensors, {}))


@pytest.mark.parametrize("which", ["shipped", "trained", "extreme"])
@pytest.mark.parametrize(("first", "step", "count"), [(0, 1, 61), (3, 7, 9), (0, 1, 1), (60, 1, 1)])
def test_compiled_integers_are_those_of_the_reference(which: str, first: int, step: int, count: int) -> None:
    weights = {"shipped": context.load, "trained": lambda: integers(trained()), "extreme": extreme}[which]()
    radius, states = weights.config.radius, weights.config.states
    row = np.random.default_rng(3).integers(0, states, 61 + 2 * radius).astype(np.uint8)
    around = np.delete(np.arange(2 * radius + 1), radius)
    where = first + step * np.arange(count)
    expected = context.reference(weights, row[where[:, None] + around])
    assert np.array_equal(compiled(weights, row, first, step, count), expected)
    assert len(np.unique(expected)) > 1


def test_frequencies_are_those_of_the_float_probabilities() -> None:
    weights = context.load()
    logits = np.random.default_rng(1).normal(0, 40, (500, 27)).round().astype(np.int64)
    logits[0], logits[1] = 0, np.r_[10**6, np.zeros(26)]
    found = context.frequencies(weights, logits)
    assert (found.sum(1) == context.TOTAL).all()
    assert found.min() >= 1
    chances = torch.softmax(torch.from_numpy(logits / context.LOGIT_STEPS), 1).numpy()
    assert (chances * np.log2(np.maximum(chances, 1e-30) / (found / context.TOTAL))).sum(1).max() < 1e-4


def test_weights_of_the_package_keep_their_bounds_and_their_name() -> None:
    shipped = context.load()
    context.check_bounds(shipped.config, shipped.tensors)
    assert shipped.id == context.TEXT_ID
    (path,) = context.FOLDER.glob("text-*.safetensors")
    assert path.name == f"text-{shipped.id}.safetensors"
    assert path.stat().st_size <= 5_000_000


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("hidden", np.full((8, 384, 384), -128, np.int8), r"must lie in -127\.\.127, found 128"),
        ("hidden_shift", np.full((8, 384), 22, np.int32), "a sum may reach"),
        ("hidden", np.zeros((1, 384, 384), np.int8), r"hidden must be int8 of shape \(8, 384, 384\)"),
        ("enter_bias", np.full(384, 2**24, np.int32), "may reach"),
        ("head_shift", np.full(27, -1, np.int32), r"shifts must lie in 0\.\.22, found -1"),
        ("exp", np.full(256, -1, np.int32), "exp must lie in"),
        ("exp", np.full(256, 9, np.int32), "its first number be the greatest"),
    ],
)
def test_bounds_are_checked(name: str, value: np.ndarray, said: str) -> None:
    shipped = context.load()
    with pytest.raises(WeightsError, match=said):
        context.check_bounds(shipped.config, {**shipped.tensors, name: value})


def test_other_files_are_no_weights() -> None:
    shipped = context.load()
    with pytest.raises(WeightsError, match="not an ardm weights file"):
        context.parse(b"something else")
    with pytest.raises(WeightsError, match="not part of this release"):
        context.load("0123456789abcdef")
    data = context.serialize(shipped.config, shipped.tensors, {}).replace(
        b"context weights 1", b"context weights 2"
    )
    with pytest.raises(WeightsError, match="have format 'ardm context weights 2', expected was"):
        context.parse(data)
