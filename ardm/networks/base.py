"""What all networks for discrete data share: their interface, their dials, and how tokens lie over variables.
Knows spaces and tensors; no network.

`network(seen, known, digit, wanted)` takes what is known of a batch and answers, in one call, for every
variable:

    seen    int64 (B, *shape)    child where known, parent where not (`ardm.discrete.coarse`)
    known   bool  (B, *shape)
    digit   int                  the stage
    wanted  bool (B, *shape)     optional: whose parameters will be read; others may be anything
                                 (window and context evaluate no more than is asked for)
    result  float32 (B, *shape, P), parameters of `ardm.discrete.Space`
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import nn

from ardm.discrete import MEAN_UNIT, Space, middles, reference
from ardm.networks.layers import MASK_ON, ONE

NAMES = ("unet", "transformer", "mixer", "lattice", "window", "context")


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
        """In how many parts a quantized network divides the unit of each output: float32 (outputs,)."""
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
