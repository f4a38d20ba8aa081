"""The networks with attention: unet, the paper's (appendix D: residual blocks at full resolution around a
middle attention layer, Ho et al. 2020), and transformer, the pre-norm encoder with sinusoidal positions
(Vaswani et al. 2017). They run in floating point only.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from ardm.discrete import Space
from ardm.networks.base import Config, Network, share_known
from ardm.networks.layers import MASK_ON


class Time(nn.Module):
    """Share of known variables and stage -> a vector, by sinusoids and a two-layer perceptron."""

    def __init__(self, width: int, stages: int) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(
            nn.Linear(width + stages, 2 * width), nn.SiLU(), nn.Linear(2 * width, width), nn.SiLU()
        )
        self.stages = stages

    def forward(self, known: torch.Tensor, digit: int) -> torch.Tensor:
        wave = sinusoids(share_known(known) * 1000, self.width)
        stage = (
            F.one_hot(torch.tensor(digit, device=known.device), self.stages)
            .float()
            .expand(known.shape[0], -1)
        )
        out: torch.Tensor = self.layers(torch.cat([wave, stage], 1))
        return out


def sinusoids(position: torch.Tensor, width: int) -> torch.Tensor:
    """(N,) -> (N, width), Vaswani et al. 2017, section 3.5."""
    rate = torch.exp(-math.log(10_000) * torch.arange(width // 2, device=position.device) / (width // 2))
    angle = position.float().unsqueeze(1) * rate
    return F.pad(torch.cat([angle.sin(), angle.cos()], 1), (0, width % 2))


# ---- unet --------------------------------------------------------------------------------------------------


class ResBlock(nn.Module):
    """Norm, SiLU, convolution, shift by time, norm, SiLU, convolution, and the input added."""

    def __init__(self, inputs: int, width: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        pad = (kernel[0] // 2, kernel[1] // 2)
        self.norm1, self.norm2 = (
            nn.GroupNorm(math.gcd(inputs, 32), inputs),
            nn.GroupNorm(math.gcd(width, 32), width),
        )
        self.conv1, self.conv2 = (
            nn.Conv2d(inputs, width, kernel, padding=pad),
            nn.Conv2d(width, width, kernel, padding=pad),
        )
        self.time = nn.Linear(width, width)
        self.short = nn.Conv2d(inputs, width, 1) if inputs != width else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        y = self.conv1(F.silu(self.norm1(x))) + self.time(time)[:, :, None, None]
        out: torch.Tensor = self.short(x) + self.conv2(F.silu(self.norm2(y)))
        return out


class Attention(nn.Module):
    """Multi-head self-attention over (B, N, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inward, self.outward = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # (B, heads, N, width / heads)
        q, k, v = self.inward(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        out: torch.Tensor = self.outward(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class UNet(Network):
    """blocks residual blocks, one with attention, and blocks more that see the first ones' results (no
    down-sampling).
    """

    def __init__(self, config: Config, space: Space) -> None:
        if config.patch != 1:
            raise ValueError(f"the unet has no patches; patch must be 1, got {config.patch}.")
        super().__init__(config, space)
        w = config.width
        if w % config.heads:
            raise ValueError(f"width must be a multiple of heads, got {w} and {config.heads}.")
        self.time = Time(w, space.stages)
        self.enter = nn.Conv2d(
            self.frame.inputs,
            w,
            self.frame.kernel,
            padding=(self.frame.kernel[0] // 2, self.frame.kernel[1] // 2),
        )
        self.down = nn.ModuleList(ResBlock(w, w, self.frame.kernel) for _ in range(config.blocks))
        self.middle, self.middle_norm, self.attention = (
            ResBlock(w, w, self.frame.kernel),
            nn.GroupNorm(math.gcd(w, 32), w),
            Attention(w, config.heads),
        )
        self.up = nn.ModuleList(ResBlock(2 * w, w, self.frame.kernel) for _ in range(config.blocks))
        self.norm, self.head = nn.GroupNorm(math.gcd(w, 32), w), nn.Conv2d(w, self.frame.outputs, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        self.head.bias = nn.Parameter(self.frame.start_bias())

    def forward(
        self, seen: torch.Tensor, known: torch.Tensor, digit: int, wanted: torch.Tensor | None = None
    ) -> torch.Tensor:
        self.check(seen, known, digit)
        time = self.time(known, digit)
        tokens, guess = self.frame.tokens(seen, known, digit)
        x = self.enter(tokens / MASK_ON)
        kept = []
        for block in self.down:
            x = block(x, time)
            kept.append(x)
        x = self.middle(x, time)
        x = x + self.attention(self.middle_norm(x).flatten(2).transpose(1, 2)).transpose(1, 2).view_as(x)
        for block in self.up:
            x = block(torch.cat([x, kept.pop()], 1), time)
        return self.frame.scatter(self.head(F.silu(self.norm(x))).float(), guess)


# ---- transformer -------------------------------------------------------------------------------------------


class Transformer(Network):
    """Pre-norm encoder over patches (for text: over characters)."""

    def __init__(self, config: Config, space: Space) -> None:
        super().__init__(config, space)
        w = config.width
        self.time = Time(w, space.stages)
        self.enter = nn.Linear(self.frame.inputs, w)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm1": nn.LayerNorm(w),
                    "attention": Attention(w, config.heads),
                    "norm2": nn.LayerNorm(w),
                    "mlp": nn.Sequential(
                        nn.Linear(w, config.expand * w), nn.GELU(), nn.Linear(config.expand * w, w)
                    ),
                }
            )
            for _ in range(config.blocks)
        )
        self.norm, self.head = nn.LayerNorm(w), nn.Linear(w, self.frame.outputs)
        nn.init.normal_(self.head.weight, std=0.01)
        self.head.bias = nn.Parameter(self.frame.start_bias())

    def forward(
        self, seen: torch.Tensor, known: torch.Tensor, digit: int, wanted: torch.Tensor | None = None
    ) -> torch.Tensor:
        self.check(seen, known, digit)
        tokens, guess = self.frame.tokens(seen, known, digit)
        b, _, rows, columns = tokens.shape
        x = self.enter((tokens / MASK_ON).flatten(2).transpose(1, 2))  # (B, N, width)
        half = self.config.width // 2
        where = torch.arange(rows * columns, device=x.device)
        x = x + torch.cat(
            [sinusoids(where % columns, self.config.width - half), sinusoids(where // columns, half)], 1
        )
        x = x + self.time(known, digit).unsqueeze(1)
        for block in self.blocks:
            x = x + block["attention"](block["norm1"](x))  # type: ignore[index,operator]
            x = x + block["mlp"](block["norm2"](x))  # type: ignore[index,operator]
        out = self.head(self.norm(x)).float()
        return self.frame.scatter(out.transpose(1, 2).reshape(b, -1, rows, columns), guess)
