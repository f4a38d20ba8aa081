"""Networks that are chains of `ardm.networks.layers.Layer`: only matrix products, additions and ReLU. mixer
is the MLP-Mixer (Tolstikhin et al. 2021) without its norms, lattice convolutions over patches, context the
text codec's perceptron over the letters around one, which also runs in exact integers (`ardm.exact.context`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ardm.discrete import Space
from ardm.networks.base import Config, Network, TokenGrid
from ardm.networks.layers import COND_ONE, Layer, Trunk, fake_quantize_weight, round_through
from ardm.networks.neighbours import context_conditions, context_of, context_planes, context_states

SHARES = 16  # steps in which a chain is told how much is known


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
    """A space and a chain for it: the `TrunkConfig` of `Chain`. Raises ValueError for other networks."""

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


class Chain(Network):
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


class Context(Chain):
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
    """What a chain is told about a call: the share of known variables as a thermometer, and the
    stage. Integers 0..COND_ONE, float32 (B, ...).
    """
    count = known.flatten(1).sum(1, keepdim=True)
    level = count * SHARES // known[0].numel()
    steps = (level > torch.arange(SHARES, device=known.device)).float() * COND_ONE
    stage = torch.zeros(known.shape[0], space.stages, device=known.device)
    stage[:, digit] = COND_ONE
    return torch.cat([steps, stage], 1)
