"""The window network as it is trained: what `ardm.window` describes, in torch, real or with activations on
the grids of its integer form. Knows values and masks; no images, orders or files.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ardm.window import (
    ACTIVATION_EXPONENT,
    ACTIVATION_MAX,
    CHANNELS,
    MEAN_UNIT,
    NEAR_SHIFT,
    VALUE_EXPONENT,
    WEIGHT_MAX,
    WindowConfig,
    near_inputs,
    offsets,
)

EQUAL_SHARE = 0.75  # how far channels are scaled to equal peaks: 1 costs weights more than activations gain
PEAK_QUANTILE = 0.998  # of a channel's activations; what lies above is clipped
STREAM_SHARE = 0.3  # the second product of a residual block starts with this share of the usual spread


def round_through(x: torch.Tensor) -> torch.Tensor:
    """Round half up; the gradient passes as if nothing had happened."""
    return x + ((x + 0.5).floor() - x).detach()


def weight_exponent(weight: torch.Tensor, limit: torch.Tensor | int = WEIGHT_MAX) -> torch.Tensor:
    """Per row, the largest e with |w| * 2**e <= limit. weight: (rows, columns); limit: a number, or one for
    each column.
    """
    peak = (weight.detach().abs() / limit).amax(1).clamp_min(2.0**-27)
    return torch.floor(-torch.log2(peak))


def enter_limit(radius: int) -> torch.Tensor:
    """The largest integer weight of every input of the first product, float32 (3 n,)."""
    limit = torch.full((CHANNELS * len(offsets(radius)),), float(WEIGHT_MAX))
    limit[torch.from_numpy(near_inputs(radius))] *= 2**NEAR_SHIFT
    return limit


@dataclass
class Views:
    """What a network sees of N pixels whose windows share a pattern of m positions that may be known."""

    columns: torch.Tensor  # int64 (m,): the pattern, indices of positions
    values: torch.Tensor  # int8, in training bf16 (N, 3 m): known value - base, clipped; 0 where unknown
    # int64 (E,): rows that do not know all of the pattern (at edges, random sets), and others that fill up
    odd: torch.Tensor
    missing: torch.Tensor  # uint8, in training bf16 (E, m): 1 where such a row does not know


class WindowNet(nn.Module):
    """See the module docstring.

    With `quantized` on, activations and outputs are on the grids of the integer form, and gradients pass
    through. Weights stay as they are: they are rounded once, after training (`ardm.training.rounding`).
    """

    limit: torch.Tensor

    def __init__(self, config: WindowConfig) -> None:
        super().__init__()
        self.config = config
        n, w, k = config.positions, config.width, config.mixture
        self.enter = nn.Parameter(torch.randn(w, CHANNELS * n) * math.sqrt(1 / (CHANNELS * n)))
        self.mask = nn.Parameter(torch.randn(w, n) * math.sqrt(1 / (CHANNELS * n)))
        self.enter_bias = nn.Parameter(torch.zeros(w))
        self.hidden = nn.ParameterList(torch.randn(w, w) * math.sqrt(1 / w) for _ in range(2 * config.depth))
        self.hidden_bias = nn.ParameterList(torch.zeros(w) for _ in range(2 * config.depth))
        self.head = nn.Parameter(torch.randn(config.outputs, w) * 0.1 * math.sqrt(1 / w))
        self.head_bias = nn.Parameter(torch.zeros(config.outputs))
        self.register_buffer("limit", enter_limit(config.radius), persistent=False)
        self.peaks: list[torch.Tensor] | None = (
            None  # while they are measured: of every channel of the stream, then inside each block
        )
        self.quantized = False
        # where an optimiser wants them: lists that take the inputs of every product but the first
        self.inputs: list[list[torch.Tensor]] | None = None
        with torch.no_grad():
            for second in list(self.hidden)[1::2]:
                second.mul_(STREAM_SHARE)
            bias = self.head_bias
            bias[k : 4 * k] = torch.linspace(-0.25, 0.25, k).repeat(3)
            bias[4 * k : 7 * k] = torch.linspace(1.0, 3.0, k).repeat(3)
            bias[7 * k :] = torch.tensor([0.8, 0.4, 0.4]).repeat_interleave(k)

    def matrices(self) -> list[nn.Parameter]:
        """Weights between hidden layers: what a matrix optimiser takes."""
        return list(self.hidden)

    def first(self, views: Views) -> torch.Tensor:
        """Sums of the first product, (N, W), bias included."""
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
        if self.enter.is_cuda:
            dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else torch.float32
        w, m = self.enter.shape[0], views.columns.numel()
        enter: torch.Tensor = self.enter
        if m < self.config.positions:
            enter = enter.view(w, -1, CHANNELS).index_select(1, views.columns).flatten(1)
            mask = self.mask.index_select(1, views.columns)
        else:
            mask = self.mask
        out = F.linear(
            views.values.to(dtype),
            (enter * 2.0**-VALUE_EXPONENT).to(dtype),
            (self.enter_bias + mask.sum(1)).to(dtype),
        )
        if views.odd.numel() == out.shape[0]:
            out = out - F.linear(views.missing.to(dtype), mask.to(dtype))
        elif views.odd.numel():
            out = out.index_add(
                0, views.odd, -F.linear(views.missing.to(dtype), mask.to(dtype)).to(out.dtype)
            )
        return out

    def activate(self, x: torch.Tensor, which: int) -> torch.Tensor:
        """ReLU, on the grid of integer activations when quantized."""
        if self.peaks is not None:
            rows = F.relu(x.detach()[:: max(1, len(x) // 8192)].float())
            self.peaks[which] = torch.maximum(self.peaks[which], torch.quantile(rows, PEAK_QUANTILE, dim=0))
        if not self.quantized:
            return F.relu(x)
        scale = 2.0**ACTIVATION_EXPONENT
        return (round_through((x.float() * scale).clamp(0, ACTIVATION_MAX)) / scale).to(x.dtype)

    def sums(self, views: list[Views]) -> torch.Tensor:
        """Sums of the first product, (N, W), of all views after each other."""
        parts = [self.first(v) for v in views]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def forward(self, views: list[Views]) -> torch.Tensor:
        """float32 (N, 10 K), the parameters of `ardm.likelihood` in real units, of all views after each
        other.
        """
        return self.parameters_of(self.sums(views))

    def parameters_of(
        self, sums: torch.Tensor, seen: Callable[[torch.Tensor], torch.Tensor] = lambda sums: sums
    ) -> torch.Tensor:
        """What follows the first product: (N, W) -> float32 (N, 10 K). seen: is given the sums of every
        layer, the first and the head's too, and returns them.
        """
        weights, biases = [*self.hidden, self.head], [*self.hidden_bias, self.head_bias]

        def product(x: torch.Tensor, which: int) -> torch.Tensor:
            if self.inputs is not None and torch.is_grad_enabled():
                self.inputs[which].append(x.detach())
            return F.linear(x, weights[which], biases[which])

        x = self.activate(seen(sums), 0)
        for i in range(self.config.depth):
            y = self.activate(seen(product(x, 2 * i)), 1 + i)
            x = self.activate(seen(x + product(y, 2 * i + 1)), 0)
        return self.in_units(seen(product(x, 2 * self.config.depth)).float())

    def in_units(self, out: torch.Tensor) -> torch.Tensor:
        """Sums of the head (N, 10 K) in the units of `ardm.likelihood`."""
        k = self.config.mixture
        logit, mean, scale, slope = out.split([k, 3 * k, 3 * k, 3 * k], -1)
        mean = mean * MEAN_UNIT
        if self.quantized:  # the grids of the integer likelihood
            logit, scale = round_through(logit * 16) / 16, round_through(scale * 16) / 16
            mean, slope = round_through(mean * 32) / 32, round_through(slope * 128) / 128
        return torch.cat([logit, mean, scale, slope], -1)

    @torch.no_grad()
    def calibrate(self, forward: Callable[[], Any]) -> None:
        """Scale every channel so that integer activations hold it well; what the network computes stays the
        same.

        ReLU lets a channel be scaled if the weights that read it are scaled back (Nagel et al. 2019, arXiv
        1906.04721, section 4.1). forward: runs this network on typical inputs, from which peaks of
        activations are taken.
        """
        self.peaks = [torch.zeros_like(self.enter_bias) for _ in range(1 + self.config.depth)]
        forward()
        top = ACTIVATION_MAX * 2.0**-ACTIVATION_EXPONENT
        ratios = [p.amax() / p.clamp_min(2.0**-6 * p.amax()) for p in self.peaks]
        stream, *inner = (
            top / p.amax().clamp_min(2.0**-6) * r**EQUAL_SHARE
            for p, r in zip(self.peaks, ratios, strict=True)
        )
        self.peaks = None
        for rows in (self.enter, self.mask):
            rows.mul_(stream[:, None])
        self.enter_bias.mul_(stream)
        for i, scale in enumerate(inner):
            first, second = self.hidden[2 * i], self.hidden[2 * i + 1]
            first.mul_(scale[:, None]).div_(stream)
            second.mul_(stream[:, None]).div_(scale)
            self.hidden_bias[2 * i].mul_(scale)
            self.hidden_bias[2 * i + 1].mul_(stream)
        self.head.div_(stream)
