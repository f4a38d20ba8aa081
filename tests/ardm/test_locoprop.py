"""LocoProp: the local steps are those of the regressions that the paper states, found here by automatic
differentiation.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from ardm.discrete import Space
from ardm.networks import Chain, Config, build
from ardm.networks.layers import Conv
from ardm.networks.window import WindowNet
from ardm.objective import training_loss
from ardm.training import fit
from ardm.training.locoprop import Local, LocoProp, of_trunk, of_window
from ardm.training.run import CheckpointError
from ardm.window import WindowConfig

SPACE = Space((8,), 4, 2, False)


def prepared(local: Local, lr: float = 0.01) -> tuple[Chain, LocoProp, dict[str, list[torch.Tensor]]]:
    """A mixer after a backward pass, its optimiser, and the inputs and other summands of every convolution in
    each call.
    """
    torch.manual_seed(3)
    net = build(Config("mixer", width=6, blocks=1, expand=2, patch=2, cond_width=4), SPACE)
    assert isinstance(net, Chain)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    seen: dict[str, list[torch.Tensor]] = {}
    for conv in net.body.convs():
        conv.register_forward_hook(lambda m, a, r: seen.setdefault(m.layer.name, []).append(a[:3]))
    net.body.convs()[-1].register_forward_hook(lambda m, a, r: seen.setdefault("head", []).append(r.detach()))
    mine = LocoProp(of_trunk(net.body, [(net.head, net.head_bias)], local.matching), lr, local)
    generator = torch.Generator().manual_seed(1)
    training_loss(net, torch.randint(4, (5, 8), generator=generator), generator)[0].backward()
    return net, mine, seen


def sums(
    conv: Conv, weight: torch.Tensor, bias: torch.Tensor, arguments: tuple[torch.Tensor, ...]
) -> torch.Tensor:
    """What enters a convolution's ReLU, as the network itself computes it."""
    clone = Conv(conv.layer)
    caught: list[torch.Tensor] = []
    real = F.relu

    def catch(x: torch.Tensor) -> torch.Tensor:
        caught.append(x)
        return real(x)

    F.relu = catch
    try:
        torch.func.functional_call(
            clone,
            {"weight": weight, "bias": bias},
            (*(None if a is None else a.detach() for a in arguments), False, False),
        )
    finally:
        F.relu = real
    return caught[0]


def rmsprop(weights: list[torch.Tensor], gradients, local: Local, lr: float) -> list[torch.Tensor]:  # type: ignore[no-untyped-def]
    """The local steps, written out: gradients(weights) of a local loss."""
    square, momentum = [torch.zeros_like(w) for w in weights], [torch.zeros_like(w) for w in weights]
    shares = [max(1 - i / local.iterations, 0.25) for i in range(local.iterations)]
    for share in shares:
        for i, g in enumerate(gradients(weights)):
            square[i] = local.decay * square[i] + (1 - local.decay) * g * g
            momentum[i] = local.momentum * momentum[i] + g / (square[i].sqrt() + 1e-10)
        weights = [
            w - lr * (1 - local.momentum) * share / sum(shares) * m
            for w, m in zip(weights, momentum, strict=True)
        ]
    return weights


@pytest.mark.parametrize("matching", [False, True])
@pytest.mark.parametrize("name", ["enter", "gather.0", "spread.0", "widen.0", "project.0"])
def test_local_steps_descend_the_papers_losses(name: str, matching: bool) -> None:
    local = Local(matching=matching, iterations=4, reach=3.0, momentum=0.5, decay=0.8)
    net, mine, seen = prepared(local, lr=0.05)
    conv = net.body.conv(name)
    calls = seen[name]
    assert len(calls) == SPACE.stages
    start = [conv.weight.detach().clone(), conv.bias.detach().clone()]
    backpropagated = [conv.weight.grad.clone(), conv.bias.grad.clone()]
    first = [sums(conv, *start, call).detach() for call in calls]
    positions = sum(a.numel() for a in first) / len(start[1])

    def gradients(weights: list[torch.Tensor]) -> list[torch.Tensor]:
        """Of the mean over positions of the local loss, over reach; g x summed over positions is what
        backpropagation gave.
        """
        weights = [w.detach().requires_grad_() for w in weights]
        loss = torch.zeros(())
        for a, call in zip(first, calls, strict=True):
            now = sums(conv, *weights, call)
            # matching: the Bregman divergence of half the squared ReLU, without what does not depend on the
            # weights
            each = 0.5 * F.relu(now) ** 2 - F.relu(a) * now if matching else 0.5 * (now - a) ** 2
            loss = loss + each.sum()
        own = torch.autograd.grad(loss / positions / local.reach, weights)
        return [o + g for o, g in zip(own, backpropagated, strict=True)]

    expected = rmsprop(start, gradients, local, 0.05)
    mine.step()
    assert not torch.equal(conv.weight, start[0])
    assert torch.allclose(conv.weight, expected[0], atol=1e-5)
    assert torch.allclose(conv.bias, expected[1], atol=1e-5)


def test_the_head_is_a_regression_too() -> None:
    local = Local(iterations=3, reach=2.0, momentum=0.5, decay=0.8)
    net, mine, seen = prepared(local, lr=0.05)
    start = [net.head.detach().clone(), net.head_bias.detach().clone()]
    given = [net.head.grad.clone(), net.head_bias.grad.clone()]
    x = torch.cat([call.movedim(1, -1).reshape(-1, 6) for call in seen["head"]])

    def gradients(weights: list[torch.Tensor]) -> list[torch.Tensor]:
        delta = x @ (weights[0] - start[0]).T + weights[1] - start[1]
        return [delta.T @ x / len(x) / local.reach + given[0], delta.mean(0) / local.reach + given[1]]

    expected = rmsprop(start, gradients, local, 0.05)
    mine.step()
    assert torch.allclose(net.head, expected[0], atol=1e-5)
    assert torch.allclose(net.head_bias, expected[1], atol=1e-5)


def test_many_local_steps_reach_the_regressions_solution() -> None:
    """Squared loss: the exact solution moves the weights by the gradient times the inverse of the inputs'
    second moments, times reach.
    """
    local = Local(iterations=600, reach=0.5, momentum=0.0, decay=0.99)
    net, mine, seen = prepared(local, lr=1.2)
    conv = net.body.conv("project.0")
    x = torch.cat([call[0].movedim(1, -1).reshape(-1, 12) for call in seen["project.0"]])
    x = torch.cat([x, torch.ones(len(x), 1)], 1).double()
    gradient = torch.cat([conv.weight.grad, conv.bias.grad[:, None]], 1).detach().double()
    x = x.detach()
    start = torch.cat([conv.weight, conv.bias[:, None]], 1).detach().double()
    wanted = -local.reach * gradient
    gram = x.T @ x / len(x)
    mine.step()
    moved = torch.cat([conv.weight, conv.bias[:, None]], 1).detach().double() - start
    assert float((moved @ gram - wanted).norm() / wanted.norm()) < 0.1


def test_what_is_taken_and_what_is_left() -> None:
    """Matrix products and the head, not the conditioning; of the lattice not its windows. Passes without
    gradients leave nothing behind.
    """
    recipe = fit.TrainingRecipe(
        SPACE, Config("lattice", width=8, blocks=2, cond_width=4), optimizer="locoprop"
    )
    net = build(recipe.network, recipe.space)
    mine, adamw = fit.optimizers(net, recipe)
    assert isinstance(mine, LocoProp)
    names = {id(p): n for n, p in net.named_parameters()}
    taken = {names[id(p)] for p in mine.param_groups[0]["params"]}
    assert taken == {
        "head",
        "head_bias",
        *(f"body.project.{i}.{part}" for i in range(2) for part in ("weight", "bias")),
    }
    assert {names[id(p)] for p in adamw.param_groups[0]["params"]} == set(names.values()) - taken
    x, known = torch.zeros(2, 8, dtype=torch.long), torch.zeros(2, 8, dtype=torch.bool)
    with torch.no_grad():
        net(x, known, 0)
    assert not any(r.inputs for r in mine.regressions)
    net(x, known, 0)
    assert all(r.inputs for r in mine.regressions)
    mine.zero_grad()
    assert not any(r.inputs for r in mine.regressions)


@pytest.mark.parametrize("wrong", [{"iterations": 0}, {"reach": 0.0}, {"momentum": 1.0}, {"decay": -0.1}])
def test_wrong_dials_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="iterations must be at least 1"):
        Local(**wrong)  # type: ignore[arg-type]


def test_wrong_optimisers_are_refused() -> None:
    with pytest.raises(ValueError, match="one of adamw, muon, locoprop, got 'sgd'"):
        fit.TrainingRecipe(SPACE, optimizer="sgd")
    with pytest.raises(
        ValueError, match="networks of matrix products and ReLU, lattice, mixer, context; got unet"
    ):
        fit.TrainingRecipe(SPACE, Config("unet"), optimizer="locoprop")


def draw(batch: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(4, (batch, 1), generator=generator).expand(-1, 8).contiguous()


@pytest.mark.parametrize("matching", [False, True])
def test_locoprop_learns_and_resumes(matching: bool, tmp_path: Path) -> None:
    """From 2 bits down, and interrupted in the middle the same to the last bit; another optimiser's
    checkpoint is refused.
    """
    recipe = fit.TrainingRecipe(
        SPACE,
        Config("mixer", width=16, blocks=1, expand=2, cond_width=8),
        optimizer="locoprop",
        local=Local(matching=matching, reach=0.1),
        steps=60,
        rate=0.03,
        batch=16,
        ema=0.9,
    )
    valid = draw(32, torch.Generator().manual_seed(1))
    whole = fit.fit(recipe, fit.of_examples(recipe, draw), valid, tmp_path / "whole")
    assert float(fit.validate(whole.average, valid, 1).mean()) < 1.6
    calls = 0

    def stops(batch: int, generator: torch.Generator) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 10:
            raise KeyboardInterrupt
        return draw(batch, generator)

    with pytest.raises(KeyboardInterrupt):
        fit.fit(recipe, fit.of_examples(recipe, stops), valid, tmp_path / "parts", fit.Session(every=0))
    parts = fit.fit(recipe, fit.of_examples(recipe, stops), valid, tmp_path / "parts")
    for a, b in zip(whole.net.parameters(), parts.net.parameters(), strict=True):
        assert torch.equal(a, b)
    assert fit.load_network(tmp_path / "parts" / "average.safetensors")[1] == recipe
    with pytest.raises(CheckpointError, match="of another optimiser"):
        fit.fit(
            dataclasses.replace(recipe, optimizer="adamw"),
            fit.of_examples(recipe, draw),
            valid,
            tmp_path / "parts",
        )


def test_recipes_of_older_checkpoints_load() -> None:
    """Until 0.3.0 a recipe said only whether Muon was used."""
    about = {"recipe": dataclasses.asdict(fit.TrainingRecipe(SPACE))}
    assert fit.recipe_from(about) == fit.TrainingRecipe(SPACE)
    about["recipe"] |= {"spread": 0.3, "rows": 0.35, "cell": 64}
    assert fit.recipe_from(about) == fit.TrainingRecipe(SPACE)
    for name in ("optimizer", "weight_decay", "local"):
        del about["recipe"][name]
    for muon, optimizer in ((True, "muon"), (False, "adamw")):
        assert fit.recipe_from({"recipe": {**about["recipe"], "muon": muon}}) == fit.TrainingRecipe(
            SPACE, optimizer=optimizer
        )


@pytest.mark.parametrize("which", [0, 1, 2])
def test_products_of_a_window_network_are_regressions(which: int) -> None:
    """Both of a block, and the head: with what the network itself gives them."""
    torch.manual_seed(4)
    net, local = WindowNet(WindowConfig(1, 6, 1, 1)), Local(iterations=3, reach=2.0, momentum=0.5, decay=0.8)
    mine = LocoProp(of_window(net), 0.05, local)
    sums, seen = torch.randn(40, 6), []
    net.parameters_of(sums, lambda s: seen.append(s.detach()) or s).square().mean().backward()
    weight, bias = [*net.hidden, net.head][which], [*net.hidden_bias, net.head_bias][which]
    first = F.relu(seen[0])  # the stream; then inside the block; then the stream again
    x = [first, F.relu(seen[1]), F.relu(seen[2])][which]
    start, given = [p.detach().clone() for p in (weight, bias)], [p.grad.clone() for p in (weight, bias)]

    def gradients(weights: list[torch.Tensor]) -> list[torch.Tensor]:
        delta = x @ (weights[0] - start[0]).T + weights[1] - start[1]
        return [delta.T @ x / len(x) / local.reach + given[0], delta.mean(0) / local.reach + given[1]]

    expected = rmsprop(start, gradients, local, 0.05)
    mine.step()
    assert not torch.equal(weight, start[0])
    assert torch.allclose(weight, expected[0], atol=1e-5)
    assert torch.allclose(bias, expected[1], atol=1e-5)
    assert not any(r.inputs for r in mine.regressions)
