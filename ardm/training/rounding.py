"""Rounds the weights of a trained window network to integers, so that what one rounding costs is made up for
by the weights rounded after it.

GPTQ (Frantar et al. 2022, arXiv 2210.17323), with three changes: every row of a layer has a Hessian of its
own, of samples weighted by the squared gradient of the cost (what a row does where a ReLU hides it counts
nothing); inputs are those of the layers already rounded, targets those of the network before, so that later
layers make up for earlier ones; biases and mask weights, which integers of 32 bits hold, are solved for last.
Knows layers and samples; no files.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F

from ardm import likelihood
from ardm.networks.window import Views, WindowNet, weight_exponent
from ardm.window import CHANNELS, VALUE_EXPONENT, WEIGHT_MAX

# weights stay near the float ones, as if so many times their own samples had said so: the quadratic holds
# only there
TRUST = 0.03
DAMPING = 1e-3  # the same, as a share of the mean input's samples
FLOOR = 0.02  # a sample's weight is at least this share of the mean
ROWS = 32  # that are solved at once: bounds memory


class Examples(Protocol):
    """Pixels with what is known around them; `ardm.training.examples.Batch` is one."""

    views: list[Views]
    base: torch.Tensor
    pixel: torch.Tensor


class Layer(NamedTuple):
    """What a layer's sums should be. All float32."""

    targets: torch.Tensor  # (N, rows)
    weights: torch.Tensor  # (N, rows), of every target in the square error


def rounded(net: WindowNet, examples: Sequence[Examples]) -> WindowNet:
    """A copy whose weights lie on the grids of `ardm.training.integers.to_integers`. net: a calibrated
    network; examples: of what it was trained on.
    """
    layers = [
        Layer(*(torch.cat(part) for part in zip(*each, strict=True)))
        for each in zip(*(_sums(net, e) for e in examples), strict=True)
    ]
    values, known = (torch.cat(part) for part in zip(*(_inputs(net, e.views) for e in examples), strict=True))
    net = copy.deepcopy(net)
    net.quantized = True
    with torch.no_grad():
        todo = iter(layers)
        enter = _solve([values, known], [net.enter, net.mask], net.enter_bias, next(todo), net.limit)
        x = net.activate(enter, 0)
        for i in range(net.config.depth):
            first, second = (([net.hidden[2 * i + j]], net.hidden_bias[2 * i + j]) for j in (0, 1))
            y = net.activate(_solve([x], *first, next(todo)), 1 + i)
            layer = next(todo)
            x = net.activate(x + _solve([y], *second, Layer(layer.targets - x, layer.weights)), 0)
        _solve([x], [net.head], net.head_bias, next(todo))
    return net


def _sums(net: WindowNet, examples: Examples) -> list[Layer]:
    """Sums of every layer of a network as it is, and the squares of the cost's gradient there."""
    all_sums: list[torch.Tensor] = []

    def kept(sums: torch.Tensor) -> torch.Tensor:
        sums.retain_grad()
        all_sums.append(sums)
        return sums

    out = net.parameters_of(net.sums(examples.views), kept)
    likelihood.bits(out, examples.pixel, examples.base, net.config.mixture).sum().backward()
    net.zero_grad(set_to_none=True)
    squares = [sums.grad**2 for sums in all_sums if sums.grad is not None]
    return [
        Layer(sums.detach(), square + FLOOR * square.mean(0))
        for sums, square in zip(all_sums, squares, strict=True)
    ]


def _inputs(net: WindowNet, views: list[Views]) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the first layer, for all positions: values (N, 3 n) in real units and what is known (N, n).
    float32.
    """
    values, known = [], []
    for view in views:
        count, positions = len(view.values), net.config.positions
        some = torch.ones(count, len(view.columns)).index_add_(0, view.odd, -view.missing.float())
        known.append(torch.zeros(count, positions).index_copy_(1, view.columns, some))
        seen = view.values.float().view(count, -1, CHANNELS) * 2.0**-VALUE_EXPONENT
        values.append(torch.zeros(count, positions, CHANNELS).index_copy_(1, view.columns, seen).flatten(1))
    return torch.cat(values), torch.cat(known)


def _solve(
    inputs: list[torch.Tensor],
    weights: list[torch.Tensor],
    bias: torch.Tensor,
    layer: Layer,
    limit: torch.Tensor | int = WEIGHT_MAX,
) -> torch.Tensor:
    """Put new weights and bias in place, and return the layer's new sums (N, rows).

    The first of the inputs has weights to be rounded, with integers of at most `limit`, a number or one for
    each column; others and the bias are free.
    """
    x = torch.cat([*inputs, torch.ones(len(inputs[0]), 1)], 1)
    old = torch.cat([*weights, bias[:, None]], 1)
    columns = weights[0].shape[1]
    limits = torch.as_tensor(limit, dtype=torch.float32).expand(columns)
    new = [
        _solve_rows(
            x, layer.targets[:, i : i + ROWS], layer.weights[:, i : i + ROWS], old[i : i + ROWS], limits
        )
        for i in range(0, len(old), ROWS)
    ]
    rounded = torch.cat(new)
    for target, part in zip(
        [*weights, bias[:, None]], rounded.split([*(w.shape[1] for w in weights), 1], 1), strict=True
    ):
        target.copy_(part)
    return F.linear(x, rounded)


def _solve_rows(
    x: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, old: torch.Tensor, limits: torch.Tensor
) -> torch.Tensor:
    """New weights (rows, columns) for inputs x (N, columns), the first len(limits) columns rounded."""
    hessian = torch.stack([(x * weight[:, None]).T @ x for weight in weights.T])
    slope = ((weights * targets).T @ x).double()
    own = hessian.diagonal(dim1=1, dim2=2)
    mean = own.mean(1, keepdim=True)
    trust = (TRUST * own + DAMPING * (mean + 0.01 * mean.mean() + 1e-9)).double()
    hessian = hessian.double() + torch.diag_embed(trust)
    slope += trust * old
    inverse = torch.stack([torch.cholesky_inverse(torch.linalg.cholesky(one)) for one in hessian])
    best = (inverse @ slope[..., None])[..., 0]
    # row j: what later columns do for an error in column j
    carry = torch.stack([torch.linalg.cholesky(one, upper=True) for one in inverse])
    exponent = weight_exponent(best[:, : len(limits)].float(), limits).double()
    # one bit finer clips the largest weight of a row, and is better where that is alone
    tries = [_round_columns(best, carry, torch.exp2(exponent + finer), limits) for finer in (0, 1)]
    finer_is_better = tries[1][1] < tries[0][1]
    return torch.where(finer_is_better[:, None], tries[1][0], tries[0][0]).float()


def _round_columns(
    best: torch.Tensor, carry: torch.Tensor, scale: torch.Tensor, limits: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Round column after column, and let those after it make up for the error. Returns weights (rows,
    columns) and what it cost, (rows,).
    """
    weights, cost = best.clone(), torch.zeros_like(scale)
    for j, limit in enumerate(limits.tolist()):
        near = (weights[:, j] * scale + 0.5).floor().clamp(-limit, limit) / scale
        error = (weights[:, j] - near) / carry[:, j, j]
        weights[:, j:] -= error[:, None] * carry[:, j, j:]
        weights[:, j] = near
        cost += error**2
    return weights, cost
