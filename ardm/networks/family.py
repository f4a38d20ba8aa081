"""Order-agnostic networks for any discrete data, by name: unet, transformer, mixer, lattice, window, context.
Knows spaces and tensors; no orders, training or bytes.

All share one interface. `network(seen, known, digit, wanted)` takes what is known of a batch and answers, in
one call, for every variable:

    seen    int64 (B, *shape)    child where known, parent where not (`ardm.discrete.coarse`)
    known   bool  (B, *shape)
    digit   int                  the stage
    wanted  bool (B, *shape)     optional: whose parameters will be read; others may be anything
                                 (window and context evaluate no more than is asked for)
    result  float32 (B, *shape, P), parameters of `ardm.discrete.Space`

Names: unet is the paper's (appendix D: residual blocks at full resolution around a middle attention layer, Ho
et al. 2020), transformer the pre-norm encoder with sinusoidal positions (Vaswani et al. 2017), mixer the
MLP-Mixer (Tolstikhin et al. 2021) without its norms, lattice convolutions over patches, context the text
codec's perceptron over the letters around one: these three are chains of `ardm.networks.layers.Layer`, only
matrix products, additions and ReLU; context also runs in exact integers (`ardm.exact.context`). window is the
photo codec's network (`ardm.window`), over pictures of any size.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ardm import likelihood, units
from ardm.discrete import MEAN_UNIT, Space, middles, reference
from ardm.networks.layers import (
    COND_ONE,
    MASK_ON,
    ONE,
    Conv,
    Layer,
    Trunk,
    fake_quantize_weight,
    round_through,
)
from ardm.networks.neighbours import context_conditions, context_of, context_planes, context_states
from ardm.networks.window import Views, WindowNet
from ardm.window import CHANNELS, UNKNOWN_BASE, WindowConfig, base_weights, offsets

NAMES = ("unet", "transformer", "mixer", "lattice", "window", "context")
SHARES = 16  # steps in which an exact network is told how much is known


@dataclass(frozen=True)
class Config:
    """A network by name; refused at birth if wrong. Dials that a network does not have are ignored by it."""

    name: str = "lattice"
    width: int = 128  # channels of hidden layers
    blocks: int = 4  # residual blocks; of the unet: before, and again after, its middle
    heads: int = 4  # of attention
    expand: int = 4  # width of the transformer's and mixer's inner layers over `width`
    patch: int = 1  # variables along each axis in a token; not of the unet
    # the lattice's, the unet's, the window's and the context's windows along each axis longer than 1
    kernel: int = 3
    # of the lattice's windows, along a row, block after block and round again
    dilations: tuple[int, ...] = (1,)
    cond_width: int = 64  # hidden units of the conditioning function

    def __post_init__(self) -> None:
        object.__setattr__(self, "dilations", tuple(self.dilations))
        if self.name not in NAMES:
            raise ValueError(f"network must be one of {', '.join(NAMES)}, got {self.name!r}.")
        for name, value in asdict(self).items():
            if name not in ("name", "dilations") and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} must be a positive integer, got {value!r}.")
        if not self.dilations or any(not isinstance(d, int) or d < 1 for d in self.dilations):
            raise ValueError(f"dilations must be positive integers, got {self.dilations}.")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, got {self.kernel}.")
        if self.name == "transformer" and self.width % (2 * self.heads):
            raise ValueError(
                f"width must be a multiple of twice the heads, got {self.width} and {self.heads}."
            )


def build(config: Config, space: Space) -> Network:
    """The network of a configuration for a space. Raises ValueError if they do not fit."""
    kinds = {"unet": UNet, "transformer": Transformer, "window": Window, "context": Context}
    return kinds.get(config.name, Exact)(config, space)


class TokenGrid:
    """How a network's tokens lie over the variables of a space. Raises ValueError if they do not fit."""

    def __init__(self, config: Config, space: Space) -> None:
        channels, height, width = space.grid
        rows = 1 if height == 1 else config.patch
        if height % rows or width % config.patch:
            raise ValueError(
                f"patch {config.patch} must divide the height and width of the data, got {space.shape}."
            )
        self.space = space
        self.patch = (rows, config.patch)
        self.kernel = (1 if height == 1 else config.kernel, 1 if width == 1 else config.kernel)
        self.inputs = channels * planes_per_variable(space) * rows * config.patch  # numbers in a token
        self.outputs = channels * space.parameters * rows * config.patch
        self.count = height // rows * (width // config.patch)  # tokens

    def tokens(
        self, seen: torch.Tensor, known: torch.Tensor, digit: int
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(tokens, integers -128..127, float32 (B, inputs, rows, columns); the reference of ordered values,
        int64 (B, *shape), for `scatter`).
        """
        guess = reference(self.space, seen, known, digit) if self.space.ordered else None
        x = planes(self.space, seen, known, digit, guess)
        rows, columns = self.patch
        b, c, h, w = x.shape
        x = (
            x.view(b, c, h // rows, rows, w // columns, columns)
            .permute(0, 1, 3, 5, 2, 4)
            .reshape(b, -1, h // rows, w // columns)
        )
        return x, guess

    def scatter(self, out: torch.Tensor, guess: torch.Tensor | None) -> torch.Tensor:
        """(B, outputs, rows, columns), one vector per token -> (B, *shape, P); means of logistics get the
        reference added. out: float32, in the parameters' units.
        """
        channels, height, width = self.space.grid
        rows, columns = self.patch
        x = out.view(
            out.shape[0], channels, self.space.parameters, rows, columns, height // rows, width // columns
        )
        x = x.permute(0, 1, 5, 3, 6, 4, 2).reshape(out.shape[0], *self.space.shape, self.space.parameters)
        if self.space.likelihood == "logistics":
            assert guess is not None
            k, classes = self.space.mixture, self.space.classes
            steps = self.space.parameter_steps[k]
            base = ((guess - (classes - 1)) * (steps * MEAN_UNIT)).div(classes, rounding_mode="floor") / steps
            x = torch.cat([x[..., :k], x[..., k : 2 * k] + base.unsqueeze(-1), x[..., 2 * k :]], -1)
        return x

    def start_bias(self) -> torch.Tensor:
        """Bias of a head before training: for logistics, components of different means and scales. float32
        (outputs,).
        """
        k, places = self.space.mixture, self.patch[0] * self.patch[1]
        first = torch.zeros(self.space.parameters)
        if self.space.likelihood == "logistics":
            first = torch.cat([torch.zeros(k), torch.linspace(-0.5, 0.5, k), torch.linspace(-4.0, -1.0, k)])
        return first.view(1, -1, 1).expand(self.space.grid[0], -1, places).flatten()

    def output_steps(self) -> torch.Tensor:
        """In how many parts an exact network divides the unit of each output: float32 (outputs,)."""
        per_variable = torch.tensor(self.space.parameter_steps).repeat_interleave(
            self.patch[0] * self.patch[1]
        )
        return per_variable.repeat(self.space.grid[0]).float()


class Network(nn.Module):
    """What all networks share: the interface above."""

    def __init__(self, config: Config, space: Space) -> None:
        super().__init__()
        self.config, self.space, self.frame = config, space, TokenGrid(config, space)

    def check(self, seen: torch.Tensor, known: torch.Tensor, digit: int) -> None:
        """Raise ValueError if the arguments are not those of the space."""
        self.space.check(seen)
        if known.shape != seen.shape or known.dtype != torch.bool:
            raise ValueError(
                f"the mask must be bool and of shape {tuple(seen.shape)} like the data, got {known.dtype} "
                f"{tuple(known.shape)}."
            )
        if not 0 <= digit < self.space.stages:
            raise ValueError(f"stage must be 0..{self.space.stages - 1}, got {digit}.")


def planes_per_variable(space: Space) -> int:
    return 3 if space.ordered else space.classes + 1 + (space.stages > 1)


def planes(
    space: Space, seen: torch.Tensor, known: torch.Tensor, digit: int, guess: torch.Tensor | None
) -> torch.Tensor:
    """What every network sees: integers -128..127, float32 (B, C * planes, H, W).

    Ordered values: the middle of the interval that is known, scaled to -128..127 (0 where nothing is known),
    MASK_ON where known, and the reference `guess`, scaled likewise. Names: a one-hot vector, with one more
    place, the absorbing state, for what is unknown in the first stage; with more stages also MASK_ON.
    """
    grid = (seen.shape[0], *space.grid)
    x, mask = seen.view(grid), known.view(grid)
    if space.ordered:
        assert guess is not None
        two = torch.stack([middles(space, x, mask, digit), guess.view(grid)])
        middle, other = (
            (two + 1 - space.classes).mul(128).div(space.classes, rounding_mode="floor").clamp(-128, 127)
        )
        parts = [middle, mask * MASK_ON, other]
    else:
        absorbed = ~mask & (digit == space.stages - 1)
        index = torch.where(absorbed, space.classes, x)
        parts = [ONE * (index == value) for value in range(space.classes + 1)]
        if space.stages > 1:
            parts.append(mask * MASK_ON)
    return torch.stack(parts, 2).flatten(1, 2).float()


def share_known(known: torch.Tensor) -> torch.Tensor:
    """float32 (B,): how much of every example is known, the time of a diffusion."""
    return known.flatten(1).float().mean(1)


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


# ---- the photo codec's network -----------------------------------------------------------------------------


class Window(Network):
    """`ardm.window` over whole pictures: one evaluation for each pixel of which a channel is wanted, whatever
    is known around it.

    A neighbour's values enter where they are known, channel by channel; it counts as known when all its
    channels are. The channels of a pixel itself enter through the joint mixture: what is known of G
    conditions R and B, what is known of R conditions B.
    """

    def __init__(self, config: Config, space: Space) -> None:
        channels = space.grid[0]
        if (
            space.classes != 256
            or space.stages != 1
            or space.likelihood != "logistics"
            or channels not in (1, 3)
        ):
            raise ValueError(
                "the window network is for pictures of 1 or 3 channels, 256 classes, one stage, "
                f"likelihood logistics; got {channels} channels, "
                f"{space.classes} classes, {space.stages} stages, {space.likelihood}."
            )
        if config.kernel < 3:
            raise ValueError(f"the window's kernel must be at least 3, got {config.kernel}.")
        super().__init__(config, space)
        self.body = WindowNet(WindowConfig(config.kernel // 2, config.width, config.blocks, space.mixture))
        radius = self.body.config.radius
        weight = torch.from_numpy(base_weights(radius).astype(np.float64))
        middle = len(weight) // 2
        square = torch.cat([weight[:middle], torch.zeros(1, dtype=torch.float64), weight[middle:]]).view(
            1, 1, 2 * radius + 1, -1
        )
        self.register_buffer("base_kernel", square, persistent=False)
        self.register_buffer("places", torch.tensor(offsets(radius)), persistent=False)

    def forward(
        self, seen: torch.Tensor, known: torch.Tensor, digit: int, wanted: torch.Tensor | None = None
    ) -> torch.Tensor:
        self.check(seen, known, digit)
        b, (channels, height, width) = seen.shape[0], self.space.grid
        x, mask = (t.reshape(b, channels, height, width).expand(-1, CHANNELS, -1, -1) for t in (seen, known))
        asked = torch.ones_like(known) if wanted is None else wanted
        # pixels, of the whole batch
        where = asked.view(b, channels, -1).any(1).flatten().nonzero().squeeze(1)
        pixel, present = (t.permute(0, 2, 3, 1).reshape(-1, CHANNELS)[where] for t in (x, mask))
        base = self.base(x, mask).permute(0, 2, 3, 1).reshape(-1, CHANNELS)[where]
        params = self.body([self.views(x, mask, where, base)])
        given = likelihood.conditionals(params, pixel.float(), base.float(), self.space.mixture, present)
        rows = torch.empty(len(where), CHANNELS, 3, self.space.mixture, device=params.device)
        for c, one in zip(units.CODING_ORDER, given, strict=True):  # in the units of `Space`
            rows[:, c] = torch.stack(
                [
                    one.weight.clamp_min(1e-12).log(),
                    (one.center - 128) * (MEAN_UNIT / 128),
                    one.log2_scale - 4,
                ],
                1,
            )
        coded = rows if channels == CHANNELS else rows[:, units.CODING_ORDER[0]].unsqueeze(1)
        out = torch.zeros(
            b * height * width, channels, self.space.parameters, device=params.device
        ).index_copy(0, where, coded.flatten(2))
        return out.view(b, height, width, channels, -1).movedim(3, 1).reshape(*seen.shape, -1)

    def base(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Base of every value, int64 (B, 3, h, w): `ardm.window.base_weights` has the rule."""
        kernel, pad = self.get_buffer("base_kernel"), self.body.config.radius
        value, total = (
            F.conv2d(t.double().flatten(0, 1)[:, None], kernel, padding=pad).view(x.shape)
            for t in (x * mask, mask)
        )
        return torch.where(
            total > 0, torch.floor((2 * value + total) / (2 * total).clamp_min(1)), UNKNOWN_BASE
        ).long()

    def views(self, x: torch.Tensor, mask: torch.Tensor, where: torch.Tensor, base: torch.Tensor) -> Views:
        """Windows around the pixels `where`, int64 (N,), indices into all pixels of the batch."""
        radius, places = self.body.config.radius, self.get_buffer("places")
        height, width = x.shape[2:]
        wide = width + 2 * radius
        padded, there = (
            F.pad(t.to(torch.int16), (radius,) * 4).permute(0, 2, 3, 1).reshape(-1, CHANNELS)
            for t in (x, mask)
        )
        image, y, column = where // (height * width), where // width % height, where % width
        center = (image * (height + 2 * radius) + y + radius) * wide + column + radius
        at = center[:, None] + places[:, 0] * wide + places[:, 1]  # (N, n)
        present = there[at]
        values = (padded[at] - base[:, None].to(torch.int16)).clamp(-128, 127) * present
        missing = 1 - present.amin(-1)
        rows = torch.arange(len(where), device=where.device)
        return Views(
            torch.arange(len(places), device=where.device),
            values.flatten(1).to(torch.int8),
            rows,
            missing.to(torch.uint8),
        )


# ---- chains of layers -------------------------------------------------------------------------------------


def lattice_chain(c: Config, frame: TokenGrid) -> list[Layer]:
    """Convolutions over patches, for any mask."""
    layers = [Layer("enter", frame.inputs, c.width, frame.kernel, conditioned=True)]
    for i in range(c.blocks):
        layers.append(
            Layer(
                f"spatial.{i}",
                c.width,
                c.width,
                frame.kernel,
                dilation=c.dilations[i % len(c.dilations)],
                conditioned=True,
            )
        )
        layers.append(Layer(f"project.{i}", c.width, c.width, residual=True))
    return layers


def mixer_chain(c: Config, frame: TokenGrid) -> list[Layer]:
    """MLP-Mixer: perceptrons over positions and over channels in turn."""
    n = frame.count
    layers = [Layer("enter", frame.inputs, c.width, conditioned=True)]
    for i in range(c.blocks):
        layers.append(Layer(f"gather.{i}", n, n, across=True))
        layers.append(Layer(f"spread.{i}", n, n, residual=True, across=True))
        layers.append(Layer(f"widen.{i}", c.width, c.expand * c.width))
        layers.append(Layer(f"project.{i}", c.expand * c.width, c.width, residual=True))
    return layers


def context_chain(c: Config, frame: TokenGrid) -> list[Layer]:
    """Residual blocks of products over what `context_planes` shows of one variable's neighbours."""
    inputs = (c.kernel - 1) * context_states(frame.space)
    layers = [Layer("enter", inputs, c.width, conditioned=True)]
    for i in range(c.blocks):
        layers.append(Layer(f"widen.{i}", c.width, c.width))
        layers.append(Layer(f"project.{i}", c.width, c.width, residual=True))
    return layers


CHAINS = {"lattice": lattice_chain, "mixer": mixer_chain, "context": context_chain}


@dataclass(frozen=True)
class Model:
    """A space and a chain for it: the `TrunkConfig` of `Exact`. Raises ValueError for other networks."""

    space: Space
    network: Config

    def __post_init__(self) -> None:
        if self.network.name not in CHAINS:
            raise ValueError(f"only {', '.join(CHAINS)} are chains of layers, got {self.network.name}.")

    @property
    def width(self) -> int:
        return self.network.width

    @property
    def cond_width(self) -> int:
        return self.network.cond_width

    @property
    def cond_size(self) -> int:
        return self.space.stages + (0 if self.network.name == "context" else SHARES)

    def layers(self) -> list[Layer]:
        return CHAINS[self.network.name](self.network, TokenGrid(self.network, self.space))


class Exact(Network):
    """A chain of layers and a linear head; a quantized trunk simulates its integer arithmetic."""

    def __init__(self, config: Config, space: Space) -> None:
        super().__init__(config, space)
        self.model = Model(space, config)
        self.body = Trunk(self.model)
        self.head = nn.Parameter(torch.randn(self.frame.outputs, config.width) * 0.02)
        self.head_bias = nn.Parameter(self.frame.start_bias())
        self.register_buffer("steps", self.frame.output_steps(), persistent=False)

    def forward(
        self, seen: torch.Tensor, known: torch.Tensor, digit: int, wanted: torch.Tensor | None = None
    ) -> torch.Tensor:
        self.check(seen, known, digit)
        tokens, guess = self.frame.tokens(seen, known, digit)
        b, _, rows, columns = tokens.shape
        if any(layer.across for layer in self.body.layers):
            tokens = tokens.flatten(2).unsqueeze(2)  # one row of all tokens
        x = self.body.trunk(tokens, conditions(self.space, known, digit)).float()
        with torch.autocast(x.device.type, enabled=False):
            out = F.conv2d(
                x,
                (fake_quantize_weight(self.head) if self.body.quantized else self.head)[:, :, None, None],
                self.head_bias,
            )
            if self.body.quantized:
                steps = self.get_buffer("steps")[:, None, None]
                out = round_through(out * steps) / steps
        return self.frame.scatter(out.view(b, -1, rows, columns), guess)


class Context(Exact):
    """A perceptron over the kernel - 1 variables around one, for the variables that are wanted alone: one
    evaluation codes one, as `Window` does for pixels. For names in a row, of one stage.
    """

    def __init__(self, config: Config, space: Space) -> None:
        if space.ordered or space.stages != 1 or space.grid[:2] != (1, 1) or config.patch != 1:
            raise ValueError(
                "the context network is for names in one row, one stage, patch 1; got "
                f"{'ordered values' if space.ordered else 'names'} of shape {space.shape}, {space.stages} "
                f"stages, patch {config.patch}."
            )
        if config.kernel < 3:
            raise ValueError(f"the context's kernel must be at least 3, got {config.kernel}.")
        super().__init__(config, space)

    def forward(
        self, seen: torch.Tensor, known: torch.Tensor, digit: int, wanted: torch.Tensor | None = None
    ) -> torch.Tensor:
        self.check(seen, known, digit)
        where = (torch.ones_like(known) if wanted is None else wanted).flatten().nonzero().squeeze(1)
        params = self.of_states(context_of(self.space, self.config.kernel, seen, known, where))
        out = torch.zeros(known.numel(), self.space.parameters, device=params.device)
        return out.index_copy(0, where, params).view(*seen.shape, -1)

    def of_states(self, states: torch.Tensor) -> torch.Tensor:
        """Parameters float32 (N, P) of variables with the neighbours' states of `context_of`."""
        device = states.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
        tokens = context_planes(self.space, states, dtype)[:, :, None, None]
        x = self.body.trunk(tokens, context_conditions(self.space, states.device)).float()
        with torch.autocast(x.device.type, enabled=False):
            weight = fake_quantize_weight(self.head) if self.body.quantized else self.head
            out = F.linear(x.flatten(1), weight, self.head_bias)
            if self.body.quantized:
                steps = self.get_buffer("steps")
                out = round_through(out * steps) / steps
        return out


def conditions(space: Space, known: torch.Tensor, digit: int) -> torch.Tensor:
    """What an exact network is told about a call: the share of known variables as a thermometer, and the
    stage. Integers 0..COND_ONE, float32 (B, ...).
    """
    count = known.flatten(1).sum(1, keepdim=True)
    level = count * SHARES // known[0].numel()
    steps = (level > torch.arange(SHARES, device=known.device)).float() * COND_ONE
    stage = torch.zeros(known.shape[0], space.stages, device=known.device)
    stage[:, digit] = COND_ONE
    return torch.cat([steps, stage], 1)


def parameter_count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def multiply_accumulates(network: Network) -> int:
    """Products that one call takes for one example: of convolutions, linear layers and attention."""
    total = 0
    handles = []

    def count(module: nn.Module, arguments: tuple[Any, ...], result: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, WindowNet):
            total += len(result) * sum(p.numel() for p in (module.enter, *module.hidden, module.head))
        if isinstance(module, nn.Conv2d):
            total += result.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += result.numel() * module.in_features
        elif isinstance(module, Attention):
            total += 2 * arguments[0].shape[1] ** 2 * arguments[0].shape[2]
        elif isinstance(module, Conv):
            total += result.numel() * module.weight.shape[1]

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, Attention, Conv, WindowNet)):
            handles.append(module.register_forward_hook(count))
    seen = torch.zeros((1, *network.space.shape), dtype=torch.int64)
    with torch.no_grad():
        network(seen, torch.zeros_like(seen, dtype=torch.bool), network.space.stages - 1)
    for handle in handles:
        handle.remove()
    if isinstance(network, Exact):
        total += (
            network.head.numel() * network.space.size // (network.frame.outputs // network.space.parameters)
        )
    return total
