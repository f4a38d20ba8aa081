"""Chains of layers that can be turned into integers: what some networks for discrete data are made of. Knows
no data, files or orders.

Only convolutions, additions and ReLU. With `quantized` on, the float forward pass simulates integer
arithmetic (weights, activations and outputs rounded; gradients pass straight through).

    tokens (B, inputs, h, w) -> layer -> ... -> (B, width, h, w)

A conditioned layer's sums are shifted per channel by a two-layer function of the conditioning vector.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import nn

COND_ONE = 16  # integer that stands for 1 in the conditioning vector
MASK_ON = 64  # value of a known token's mask channel
ONE = 32  # of a one-hot plane
INPUT_EXPONENT = 5  # an input integer u stands for u * 2**-5
WEIGHT_MAX = 63  # of simulated integers; `ardm.exact.context` has room for 127
ACTIVATION_MAX = 255
SPARE = 2  # bits that weights may still grow by while integers are simulated


@dataclass(frozen=True)
class Layer:
    """One convolution of a trunk, as the network and the exporter both read it."""

    name: str
    inputs: int
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    groups: int = 1
    dilation: int = 1  # along the row
    conditioned: bool = False  # its sums are shifted by the conditioning
    residual: bool = False  # adds the stream, and becomes it
    across: bool = False  # positions and channels change places: the sums run over positions

    @property
    def padding(self) -> tuple[int, int]:
        return self.kernel[0] // 2, self.kernel[1] // 2 * self.dilation


class TrunkConfig(Protocol):
    """What a trunk is built from."""

    @property
    def width(self) -> int: ...
    @property
    def cond_width(self) -> int: ...
    @property
    def cond_size(self) -> int: ...
    def layers(self) -> list[Layer]: ...


def round_through(x: torch.Tensor) -> torch.Tensor:
    """Round half to even; the gradient passes as if nothing had happened."""
    return x + (x.round() - x).detach()


def weight_exponent(weight: torch.Tensor) -> torch.Tensor:
    """Per output channel (dim 0 of a flattened view), the largest e with max|w| * 2**e <= 63."""
    peak = weight.detach().flatten(1).abs().amax(1).clamp_min(2.0**-20)
    return torch.floor(torch.log2(WEIGHT_MAX / peak))


def fake_quantize_weight(weight: torch.Tensor) -> torch.Tensor:
    scale = torch.exp2(weight_exponent(weight)).view(-1, *[1] * (weight.dim() - 1))
    return round_through((weight * scale).clamp(-WEIGHT_MAX, WEIGHT_MAX)) / scale


def across(x: torch.Tensor) -> torch.Tensor:
    """Let channels and positions of a row change places: (B, C, 1, N) -> (B, N, 1, C)."""
    return x.permute(0, 3, 2, 1)


class Conv(nn.Module):
    """Convolution, conditioning shift, optional residual, ReLU; output on the grid 2**-exponent * {0..255}
    when quantized.

    The weight is kept as a matrix (outputs, inputs / groups * kernel), the form in which matrix optimisers
    see it.
    """

    exponent: torch.Tensor
    peak: torch.Tensor

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer, self.groups = layer, layer.groups
        self.shape = (layer.outputs, layer.inputs // layer.groups, *layer.kernel)
        fan = math.prod(self.shape[1:])
        self.weight = nn.Parameter(torch.randn(layer.outputs, fan) * math.sqrt(1.0 / fan))
        self.bias = nn.Parameter(torch.zeros(layer.outputs))
        self.register_buffer("exponent", torch.tensor(4.0))
        self.register_buffer("peak", torch.tensor(0.0))  # largest activation seen while calibrating

    def forward(
        self,
        x: torch.Tensor,
        shift: torch.Tensor | None,
        residual: torch.Tensor | None,
        quantized: bool,
        calibrate: bool,
    ) -> torch.Tensor:
        weight = fake_quantize_weight(self.weight) if quantized else self.weight
        if self.layer.across:
            x = across(x)
        if x.shape[2:] == (1, 1) and self.layer.kernel == (1, 1) and self.groups == 1:
            x = F.linear(x.flatten(1), weight, self.bias)[:, :, None, None]  # faster than a convolution
        else:
            x = F.conv2d(
                x,
                weight.view(self.shape),
                self.bias,
                padding=self.layer.padding,
                dilation=(1, self.layer.dilation),
                groups=self.groups,
            )
        if self.layer.across:
            x = across(x)
        if shift is not None:
            x = x + shift[:, :, None, None]
        if residual is not None:
            x = x + residual
        if calibrate:
            sample = x.detach().flatten()[:: max(1, x.numel() // 4_000_000)].float()
            self.peak.copy_(torch.maximum(self.peak, torch.quantile(sample[:4_000_000], 0.9999)))
        if not quantized:
            return F.relu(x)
        scale = torch.exp2(self.exponent)
        return round_through((x * scale).clamp(0, ACTIVATION_MAX)) / scale


class Trunk(nn.Module):
    """The layers of a chain, but for the head, which reads its last activations out."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.layers = config.layers()
        self.conditioned = [layer.name for layer in self.layers if layer.conditioned]
        # the order in which checkpoints list parameters
        for part in dict.fromkeys(layer.name.partition(".")[0] for layer in self.layers):
            own = [Conv(layer) for layer in self.layers if layer.name.partition(".")[0] == part]
            setattr(self, part, nn.ModuleList(own) if "." in own[0].layer.name else own[0])
        self.cond_in = nn.Linear(config.cond_size, config.cond_width)
        self.cond_out = nn.Linear(config.cond_width, config.width * len(self.conditioned), bias=False)
        self.quantized = False
        self.calibrating = False
        with torch.no_grad():
            for conv in self.convs():
                if conv.layer.residual:
                    conv.weight.mul_(0.3)
            nn.init.zeros_(self.cond_out.weight)

    def conv(self, name: str) -> Conv:
        module = self.get_submodule(name)
        assert isinstance(module, Conv)
        return module

    def convs(self) -> list[Conv]:
        return [self.conv(layer.name) for layer in self.layers]

    def matrices(self) -> list[nn.Parameter]:
        """Weights between hidden layers, in the order of registration: what a matrix optimiser takes."""
        return [
            c.weight
            for c in self.modules()
            if isinstance(c, Conv) and c.groups == 1 and c.layer.name != "enter"
        ]

    def trunk(self, tokens: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        """tokens (B, inputs, h, w), integers; cond (B, cond_size), integers, COND_ONE stands for 1 -> (B,
        width, h, w).
        """
        shifts = self.cond_out(F.relu(self.cond_in(cond / COND_ONE))).unflatten(
            1, (len(self.conditioned), -1)
        )
        x, stream = tokens * 2.0**-INPUT_EXPONENT, None
        for layer in self.layers:
            shift = shifts[:, self.conditioned.index(layer.name)] if layer.conditioned else None
            x = self.conv(layer.name)(
                x, shift, stream if layer.residual else None, self.quantized, self.calibrating
            )
            if layer.residual or stream is None:
                stream = x
        return x

    @torch.no_grad()
    def calibrate(self, forward: Callable[[], Any]) -> None:
        """Choose activation exponents from the peaks that forward(), which runs this network, shows; the
        residual stream shares one.
        """
        self.calibrating = True
        forward()
        self.calibrating = False
        stream = [self.convs()[0], *(c for c in self.convs() if c.layer.residual)]
        common = torch.stack([c.peak for c in stream]).amax()
        for conv in stream:
            conv.peak.copy_(common)
        # A layer that hardly ever fires has a peak near 0; finer steps than those of its sums are of no use,
        # and cannot be requantised to.
        exponents = [
            float(torch.round(torch.log2(ACTIVATION_MAX / c.peak.clamp_min(2.0**-10)))) for c in self.convs()
        ]
        # beyond the exponent of the layer's input
        finest = [float(weight_exponent(c.weight).min()) - SPARE for c in self.convs()]
        for _ in exponents:  # the stream is each layer's input and result in turn: until nothing changes
            for i, more in enumerate(finest):
                exponents[i] = min(exponents[i], (exponents[i - 1] if i else INPUT_EXPONENT) + more)
            least = min(e for e, c in zip(exponents, self.convs(), strict=True) if c in stream)
            exponents = [least if c in stream else e for e, c in zip(exponents, self.convs(), strict=True)]
        for conv, exponent in zip(self.convs(), exponents, strict=True):
            conv.exponent.fill_(exponent)
