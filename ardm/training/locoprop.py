"""LocoProp: every layer solves a small regression of its own at each step (Amid, Anil & Warmuth 2021, arXiv
2106.06199).

One forward and one backward pass give each layer its inputs x, its sums a = W x + b + ..., and the gradient g
of the loss by the sums. Targets a step of length `reach` down that gradient are set, and the layer's own
weights approach them by several steps of RMSProp with momentum, x held fixed:

    LocoProp-S   (squared loss)    1/2 |a' - (a - reach g)|^2        gradient  mean of (a' - a) x + reach g x
    LocoProp-M   (matching loss)   the one whose gradient by a' is   gradient  mean of (f(a') - f(a)) x
                                                                               + reach g x
                                   f(a') - (f(a) - reach g), f the layer's ReLU

Here both gradients are divided by `reach`, so that the first local step is the usual one and the later ones
are drawn back. a' - a is linear in the change of the weights: the squared loss needs the mean of x x' once,
not a pass over the examples per step. Knows layers, not data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ardm.networks.layers import Conv, Trunk
from ardm.networks.window import WindowNet


@dataclass(frozen=True)
class Local:
    """The dials of the local regressions; refused at birth if wrong."""

    matching: bool = False  # LocoProp-M instead of LocoProp-S
    iterations: int = 5  # local steps; their rate falls in a straight line to a quarter
    # length of the step to the target, in units of one position's share of the loss times the number of
    # positions
    reach: float = 30.0
    momentum: float = 0.9  # of local steps, kept from one batch to the next, as the authors do
    decay: float = 0.9  # of the mean of squared gradients

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.reach <= 0 or not 0 <= self.momentum < 1 or not 0 <= self.decay < 1:
            raise ValueError(
                "iterations must be at least 1, reach above 0, momentum and decay in 0..1 (1 excluded), "
                f"got {self}."
            )


class Regression:
    """The local problem of one matrix product: weight (outputs, inputs), bias (outputs,). Between two steps,
    collects what it saw.
    """

    def __init__(self, weight: nn.Parameter, bias: nn.Parameter, transfer: bool) -> None:
        self.weight, self.bias = weight, bias
        self.transfer = transfer  # ReLU follows, and its matching loss is wanted
        self.inputs: list[torch.Tensor] = []  # (positions, inputs) per call
        # what else is in the sums, (positions, outputs) per call; where `transfer`
        self.others: list[torch.Tensor] = []

    def begin(self) -> None:
        """Take up what was seen; the weights are the start from now on."""
        x = torch.cat(self.inputs).float()
        self.start = (self.weight.detach().clone(), self.bias.detach().clone())
        if self.transfer:
            self.x, self.sums = (
                x,
                torch.addmm(torch.cat(self.others).float() + self.start[1], x, self.start[0].T),
            )
        else:
            self.gram, self.mean = x.T @ x / len(x), x.mean(0)

    def pull(self, reach: float) -> tuple[torch.Tensor, torch.Tensor]:
        """What moving away from the start adds to the gradients of weight and bias, divided by `reach`."""
        weight, bias = self.weight - self.start[0], self.bias - self.start[1]
        if not self.transfer:
            return torch.addmm(torch.outer(bias, self.mean), weight, self.gram) / reach, (
                weight @ self.mean + bias
            ) / reach
        # (positions, outputs)
        moved = torch.relu(torch.addmm(self.sums + bias, self.x, weight.T)) - torch.relu(self.sums)
        return moved.T @ self.x / (reach * len(self.x)), moved.mean(0) / reach

    def forget(self) -> None:
        self.inputs.clear()
        self.others.clear()


class LocoProp(torch.optim.Optimizer):
    """Layers that are matrix products: those of `of_trunk` or `of_window`. Other parameters need an optimiser
    of their own.

    What the layers see in passes with gradients is kept; `step` uses the gradients that backpropagation left
    in `.grad`, and forgets the passes. `lr` has the scale of Adam's: a weight whose gradient keeps its sign
    moves about so far per step.
    """

    def __init__(self, regressions: Sequence[Regression], lr: float, local: Local) -> None:
        self.local, self.regressions = local, list(regressions)
        super().__init__([p for r in self.regressions for p in (r.weight, r.bias)], {"lr": lr})

    def zero_grad(self, set_to_none: bool = True) -> None:
        for regression in self.regressions:
            regression.forget()
        super().zero_grad(set_to_none)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """All local steps of all layers. Gradients must be those of the forward passes since the last
        step.
        """
        local, lr = self.local, self.param_groups[0]["lr"]
        active = [
            r for r in self.regressions if r.weight.grad is not None and r.bias.grad is not None and r.inputs
        ]
        falling = [max(1 - i / local.iterations, 0.25) for i in range(local.iterations)]
        for r in active:
            r.begin()
        for i, share in enumerate(falling):
            rate = lr * (1 - local.momentum) * share / sum(falling)
            for r in active:
                assert r.weight.grad is not None
                assert r.bias.grad is not None
                weight, bias = r.weight.grad, r.bias.grad
                if i:  # before the first step nothing has moved
                    pull = r.pull(local.reach)
                    weight, bias = weight + pull[0], bias + pull[1]
                self._descend(r.weight, weight, rate)
                self._descend(r.bias, bias, rate)
        for r in self.regressions:
            r.forget()

    def _descend(self, parameter: nn.Parameter, gradient: torch.Tensor, rate: float) -> None:
        state = self.state[parameter]
        if not state:
            state["square"], state["momentum"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        square, momentum = state["square"], state["momentum"]
        square.mul_(self.local.decay).addcmul_(gradient, gradient, value=1 - self.local.decay)
        momentum.mul_(self.local.momentum).addcdiv_(gradient, square.sqrt().add_(1e-10))
        parameter.sub_(momentum, alpha=rate)


def with_adamw(regressions: Sequence[Regression], net: nn.Module, recipe: Any) -> list[torch.optim.Optimizer]:
    """LocoProp for these layers of a network, AdamW for all else. recipe: has rate, weight_decay, local."""
    mine = LocoProp(regressions, recipe.rate, recipe.local)
    taken = {id(p) for group in mine.param_groups for p in group["params"]}
    others = [p for p in net.parameters() if id(p) not in taken]
    return [
        mine,
        torch.optim.AdamW(
            others, lr=recipe.rate, betas=(0.9, 0.99), weight_decay=recipe.weight_decay, fused=True
        ),
    ]


# ---- which layers, and how what they see is kept -----------------------------------------------------------


def of_trunk(
    trunk: Trunk, heads: Sequence[tuple[nn.Parameter, nn.Parameter]], matching: bool
) -> list[Regression]:
    """The layers of a trunk that are matrix products, and linear heads on its result: (weight (outputs,
    width), bias (outputs,)). matching: the matching loss is wanted.
    """
    found: list[Regression] = []
    for conv in trunk.convs():
        if conv.layer.kernel == (1, 1) and conv.layer.groups == 1:
            found.append(Regression(conv.weight, conv.bias, matching))
            _listen(conv, found[-1])
    for weight, bias in heads:
        # no transfer function: the matching loss is the squared one
        found.append(Regression(weight, bias, False))
        _listen_to_result(trunk.convs()[-1], found[-1])
    return found


def of_window(net: WindowNet) -> list[Regression]:
    """The products of a window network but the first, whose inputs are sparse; for the squared loss."""
    weights, biases = [*net.hidden, net.head], [*net.hidden_bias, net.head_bias]
    found = [Regression(w, b, False) for w, b in zip(weights, biases, strict=True)]
    net.inputs = [r.inputs for r in found]
    return found


def _listen(conv: Conv, regression: Regression) -> None:
    def rows(x: torch.Tensor) -> torch.Tensor:  # (B, C, h, w) -> (positions, features)
        return (x if conv.layer.across else x.movedim(1, -1)).detach().flatten(0, -2)

    def hook(module: nn.Module, arguments: tuple[Any, ...], result: torch.Tensor) -> None:
        if torch.is_grad_enabled():
            x, shift, residual, *_ = arguments
            regression.inputs.append(rows(x))
            if regression.transfer:
                other = torch.zeros_like(result) if residual is None else residual
                regression.others.append(rows(other if shift is None else other + shift[:, :, None, None]))

    conv.register_forward_hook(hook)


def _listen_to_result(conv: Conv, regression: Regression) -> None:
    def hook(module: nn.Module, arguments: tuple[Any, ...], result: torch.Tensor) -> None:
        if torch.is_grad_enabled():
            regression.inputs.append(result.detach().movedim(1, -1).flatten(0, -2))

    conv.register_forward_hook(hook)
