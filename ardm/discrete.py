"""Discrete data of any kind: its variables, the digits they are coded in, and the probability of a digit. Knows no network, orders or bytes.

A variable has `classes` values. It is coded digit by digit in base `base`, the most significant digit first (depth upscaling, Hoogeboom et
al. 2021, section 3.2): stage `digit` = S-1 ... 0 refines what is known from a multiple of base**(digit+1), the *parent*, to a multiple of
base**digit, the *child*:

    value 0                                  K        e.g. K = 256, base 4, value 27 = 0123 in base 4
    digit 3   |--*--|-----|-----|-----|               parent 0,  child 0
    digit 2   |*|*|*|*|                               parent 0,  child 16
    digit 1     |||||                                 parent 16, child 24
    digit 0       ||||                                parent 24, child 27

With base >= classes there is one stage, whose parent is always 0: the order-agnostic model with an absorbing state (section 3.1). Since the
digits' probabilities are masses of children divided by the parent's, a value's probability is the same product for every base, an exact
factorisation; a network is free to answer differently at each stage, and does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

LIKELIHOODS = ("categorical", "direct", "logistics")
NEVER = -1e9  # logit of what cannot be; finite, so that gradients are
UNIFORM = 2.0**-16  # share of every interval's mass that does not come from the mixture of logistics


@dataclass(frozen=True)
class Space:
    """The variables of one example; refused at birth if wrong."""

    shape: tuple[int, ...]  # (length,), (height, width) or (channels, height, width)
    classes: int  # values 0 .. classes - 1
    base: int = 0  # of the digits; 0: as large as classes, one stage
    ordered: bool = True  # values are amounts, like intensities; else they are names, like letters
    likelihood: str = "categorical"  # categorical: a logit per value; direct: per stage and digit; logistics: a mixture of discretised logistics
    mixture: int = 5  # components, for logistics

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        if not 1 <= len(self.shape) <= 3 or any(not isinstance(n, int) or n < 1 for n in self.shape):
            raise ValueError(f"shape must be (length,), (height, width) or (channels, height, width) of positive integers, got {self.shape}.")
        if not isinstance(self.classes, int) or not 2 <= self.classes <= 2**16:
            raise ValueError(f"classes must be an integer from 2 to 65536, got {self.classes!r}.")
        if not isinstance(self.base, int) or self.base < 0 or self.base == 1:
            raise ValueError(f"base must be 0 (one stage) or at least 2, got {self.base!r}.")
        if self.likelihood not in LIKELIHOODS:
            raise ValueError(f"likelihood must be one of {', '.join(LIKELIHOODS)}, got {self.likelihood!r}.")
        if self.likelihood == "logistics" and not self.ordered:
            raise ValueError("likelihood logistics needs ordered values; use categorical or direct for names.")
        if self.mixture < 1:
            raise ValueError(f"mixture must be at least 1, got {self.mixture}.")

    @property
    def size(self) -> int:
        """D, the number of variables."""
        return math.prod(self.shape)

    @property
    def grid(self) -> tuple[int, int, int]:
        """The shape as (channels, height, width)."""
        one = (1,) * (3 - len(self.shape)) + self.shape
        return one[0], one[1], one[2]

    @property
    def radix(self) -> int:
        """The base of the digits, never more than classes."""
        return min(self.base or self.classes, self.classes)

    @property
    def stages(self) -> int:
        """S, the number of digits."""
        digits, reach = 1, self.radix
        while reach < self.classes:
            digits, reach = digits + 1, reach * self.radix
        return digits

    @property
    def parameters(self) -> int:
        """P, how many numbers a network gives for a variable."""
        return {"categorical": self.classes, "direct": self.stages * self.radix, "logistics": 3 * self.mixture}[self.likelihood]

    def check(self, x: torch.Tensor) -> None:
        """Raise ValueError unless x is a batch of examples: integers 0 .. classes - 1, (B, *shape)."""
        if tuple(x.shape[1:]) != self.shape or x.dim() != len(self.shape) + 1:
            raise ValueError(f"examples must have shape (batch, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}.")
        if x.is_floating_point() or (x.numel() and (int(x.min()) < 0 or int(x.max()) >= self.classes)):
            raise ValueError(f"values must be integers 0..{self.classes - 1}, got {x.dtype} from {x.min()} to {x.max()}.")

    @property
    def parameter_steps(self) -> list[int]:
        """In how many parts exact networks divide the unit of each parameter."""
        logits, means = 16, 2048  # a mean's unit is half the range of values
        if self.likelihood == "logistics":
            return [logits] * self.mixture + [means] * self.mixture + [logits] * self.mixture
        return [logits] * self.parameters


def coarse(space: Space, x: torch.Tensor, known: torch.Tensor, digit: int) -> torch.Tensor:
    """What is known of every variable in stage `digit`: the child where known, else the parent. x: int64, known: bool, same shape."""
    unit = space.radix**digit
    return torch.where(known, x // unit * unit, x // (unit * space.radix) * (unit * space.radix))


def digit_log_probs(space: Space, params: torch.Tensor, parent: torch.Tensor, digit: int) -> torch.Tensor:
    """Natural logarithms of the probabilities of a digit's values.

    params: float (..., P), what a network said; parent: int64 (...), multiples of base**(digit+1). Returns float (..., base); they sum to one,
    and digits that would make a value of `classes` or more have probability 0.
    """
    b, unit = space.radix, space.radix**digit
    first = parent.unsqueeze(-1) + unit * torch.arange(b, device=parent.device)  # (..., b): the children
    if space.likelihood == "direct":
        logits = params.unflatten(-1, (space.stages, b))[..., digit, :]
    elif space.likelihood == "categorical":
        pad = b**space.stages - space.classes
        every = torch.nn.functional.pad(params, (0, pad), value=NEVER).unflatten(-1, (-1, unit))
        sums = every[..., 0] if unit == 1 else torch.logsumexp(every, -1)  # (..., children of all parents)
        logits = sums if sums.shape[-1] == b else sums.gather(-1, first.div(unit, rounding_mode="floor"))
    else:
        logits = torch.log(_interval(space, params, first, (first + unit).clamp(max=space.classes)))
    return torch.log_softmax(logits.masked_fill(first >= space.classes, NEVER), -1)


def digit_log_prob(space: Space, params: torch.Tensor, x: torch.Tensor, digit: int) -> torch.Tensor:
    """Natural logarithm of the probability of the digit that x has, given its parent. params: float (..., P); x: int64 (...). Returns float (...)."""
    b, unit = space.radix, space.radix**digit
    if space.likelihood == "logistics":  # two intervals instead of b
        low = torch.stack([x // unit * unit, x // (unit * b) * (unit * b)])
        high = (low + torch.tensor([unit, unit * b], device=x.device).view(2, *[1] * x.dim())).clamp(max=space.classes)
        child, whole = _interval(space, params, low.movedim(0, -1), high.movedim(0, -1)).unbind(-1)
        return torch.log(child) - torch.log(whole)
    log_probs = digit_log_probs(space, params, x // (unit * b) * (unit * b), digit)
    return log_probs.gather(-1, (x // unit % b).unsqueeze(-1)).squeeze(-1)


def _interval(space: Space, params: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Mass of the values low .. high - 1 under the mixture (PixelCNN++, Salimans et al. 2017, eq. 2). params (..., P), low, high (..., n) -> (..., n)."""
    logit, mean, scale = params.float().unflatten(-1, (3, -1)).unbind(-2)  # (..., M)
    half = space.classes / 2
    center = (half + half * mean).unsqueeze(-2)
    inverse = torch.exp2(-scale.clamp(-8, 2)).unsqueeze(-2) * 16 / space.classes
    upper = (high.unsqueeze(-1) - 0.5 - center) * inverse  # (..., n, M)
    lower = (low.unsqueeze(-1) - 0.5 - center) * inverse
    flip = torch.where(upper + lower > 0, -1.0, 1.0)  # work in the lower tail, where differences of sigmoids keep their digits
    below, above = torch.sigmoid(flip * lower), torch.sigmoid(flip * upper)
    mass = (above - below).abs()
    mass = torch.where((low <= 0).unsqueeze(-1), torch.sigmoid(upper), mass)
    mass = torch.where((high >= space.classes).unsqueeze(-1), torch.sigmoid(-lower), mass)
    mass = torch.where(((low <= 0) & (high >= space.classes)).unsqueeze(-1), 1.0, mass)
    mixed = (torch.softmax(logit, -1).unsqueeze(-2) * mass).sum(-1)
    return (1 - UNIFORM) * mixed + UNIFORM * (high - low).clamp(min=0) / space.classes + 1e-30
