"""Discrete data of any kind: its variables, the digits they are coded in, and the probability of a digit.
Knows no network, orders or bytes.

A variable has `classes` values. It is coded digit by digit in base `base`, the most significant digit first
(depth upscaling, Hoogeboom et al. 2021, section 3.2): stage `digit` = S-1 ... 0 refines what is known from a
multiple of base**(digit+1), the *parent*, to a multiple of base**digit, the *child*:

    value 0                                  K        e.g. K = 256, base 4, value 27 = 0123 in base 4
    digit 3   |--*--|-----|-----|-----|               parent 0,  child 0
    digit 2   |*|*|*|*|                               parent 0,  child 16
    digit 1     |||||                                 parent 16, child 24
    digit 0       ||||                                parent 24, child 27

With base >= classes there is one stage, whose parent is always 0: the order-agnostic model with an absorbing
state (section 3.1). Since the digits' probabilities are masses of children divided by the parent's, a value's
probability is the same product for every base, an exact factorisation; a network is free to answer
differently at each stage, and does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

LIKELIHOODS = ("categorical", "direct", "logistics")
NEVER = -1e9  # logit of what cannot be; finite, so that gradients are
MEAN_UNIT = 16  # a mean of 1 is a sixteenth of the way from the middle of the range to its end
FINE = 16  # references are computed in steps of a 32nd of a value
# smoothing kernels, see `_near`
WIDE = ((0, 1, 4096), (1, 0, 4096), (1, 1, 4096), (2, 2, 1024), (4, 4, 64), (8, 8, 8), (16, 16, 1))
SHARP = ((0, 1, 2**17), (1, 0, 2**17), (1, 1, 2**14), (2, 2, 2**10), (4, 4, 64), (8, 8, 8), (16, 16, 1))
UNIFORM = 2.0**-16  # share of every interval's mass that does not come from the mixture of logistics


@dataclass(frozen=True)
class Space:
    """The variables of one example; refused at birth if wrong."""

    shape: tuple[int, ...]  # (length,), (height, width) or (channels, height, width)
    classes: int  # values 0 .. classes - 1
    base: int = 0  # of the digits; 0: as large as classes, one stage
    ordered: bool = True  # values are amounts, like intensities; else they are names, like letters
    # categorical: a logit per value; direct: per stage and digit; logistics: a mixture of discretised
    # logistics
    likelihood: str = "categorical"
    mixture: int = 5  # components, for logistics

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        if not 1 <= len(self.shape) <= 3 or any(not isinstance(n, int) or n < 1 for n in self.shape):
            raise ValueError(
                "shape must be (length,), (height, width) or (channels, height, width) of positive "
                f"integers, got {self.shape}."
            )
        if not isinstance(self.classes, int) or not 2 <= self.classes <= 2**16:
            raise ValueError(f"classes must be an integer from 2 to 65536, got {self.classes!r}.")
        if not isinstance(self.base, int) or self.base < 0 or self.base == 1:
            raise ValueError(f"base must be 0 (one stage) or at least 2, got {self.base!r}.")
        if self.likelihood not in LIKELIHOODS:
            raise ValueError(f"likelihood must be one of {', '.join(LIKELIHOODS)}, got {self.likelihood!r}.")
        if self.likelihood == "logistics" and not self.ordered:
            raise ValueError(
                "likelihood logistics needs ordered values; use categorical or direct for names."
            )
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
        return {
            "categorical": self.classes,
            "direct": self.stages * self.radix,
            "logistics": 3 * self.mixture,
        }[self.likelihood]

    def check(self, x: torch.Tensor) -> None:
        """Raise ValueError unless x is a batch of examples: integers 0 .. classes - 1, (B, *shape)."""
        if tuple(x.shape[1:]) != self.shape or x.dim() != len(self.shape) + 1:
            raise ValueError(
                f"examples must have shape (batch, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}."
            )
        if x.is_floating_point() or (x.numel() and (int(x.min()) < 0 or int(x.max()) >= self.classes)):
            raise ValueError(
                f"values must be integers 0..{self.classes - 1}, got {x.dtype} from {x.min()} to {x.max()}."
            )

    @property
    def parameter_steps(self) -> list[int]:
        """In how many parts the unit of each parameter is divided where integers are simulated."""
        logits, means = 16, 2048 // MEAN_UNIT
        if self.likelihood == "logistics":
            return [logits] * self.mixture + [means] * self.mixture + [logits] * self.mixture
        return [logits] * self.parameters


def coarse(space: Space, x: torch.Tensor, known: torch.Tensor, digit: int) -> torch.Tensor:
    """What is known of every variable in stage `digit`: the child where known, else the parent. x: int64,
    known: bool, same shape.
    """
    unit = space.radix**digit
    return torch.where(known, x // unit * unit, x // (unit * space.radix) * (unit * space.radix))


def middles(space: Space, seen: torch.Tensor, known: torch.Tensor, digit: int) -> torch.Tensor:
    """Twice the middle of the interval that `coarse` leaves a variable, 0 .. 2 * classes - 2. int64, same
    shape.
    """
    unit = space.radix**digit
    wide = torch.where(known, unit, unit * space.radix)
    return seen + (seen + wide).clamp(max=space.classes) - 1


def reference(space: Space, seen: torch.Tensor, known: torch.Tensor, digit: int) -> torch.Tensor:
    """A first guess of every variable from the others, like `middles` twice a value: int64 (B, *shape), 0 ..
    2 * classes - 2.

    Smoothing in several passes: a variable is guessed by the mean of its channel, near variables weighing
    more, plus what the other channels, where known, differ from theirs at the same place; such guesses stand
    in for unknown variables in the next pass. Then half of the errors of known neighbours is added. From the
    second stage on, parents count a little too; a guess may lie outside a variable's own interval, and then
    says to which side of it the variable leans. Of a known variable it is the middle. Means of logistics are
    relative to it: a network learns a correction instead of copying its input. Only sums and quotients of
    integers, so that it is the same everywhere.
    """
    grid = (seen.shape[0], *space.grid)
    x, mask = seen.view(grid), known.view(grid)
    unit, middle = space.radix**digit, space.classes - 1
    wide = torch.where(mask, unit, unit * space.radix)
    low, high = FINE * (2 * x - middle), FINE * (2 * (x + wide).clamp(max=space.classes) - 2 - middle)
    value = (low + high) // 2
    others = mask.sum(1, keepdim=True) - mask.long()  # channels known at the same place
    divisor = others.clamp(min=1)
    weight = 4 * mask.long() + (digit < space.stages - 1) * (~mask).long()
    filled = torch.where(mask | (others > 0), 4, weight)
    guess = x
    for count, kernel in enumerate((WIDE, WIDE, SHARP, SHARP)):
        now = filled if count else weight
        sums = _near(torch.stack([value * now, now]), kernel)
        guess = _quotient(sums[0], sums[1] + 1)  # without anything known, the middle
        differ = (value - guess).masked_fill(~mask, 0)
        guess = guess + _quotient(differ.sum(1, keepdim=True) - differ, divisor)
        value = torch.where(mask, value, torch.minimum(torch.maximum(guess, low), high))
    error = (value - guess).masked_fill(~mask, 0)
    sums = _near(torch.stack([error, mask.long()]), SHARP)
    guess = guess + _quotient(sums[0], 2 * sums[1] + 2 * SHARP[0][2])
    guess = torch.where(mask, value, guess.clamp(-FINE * middle, FINE * middle))
    return _quotient(guess, torch.full_like(guess, FINE)).view(seen.shape) + middle


def _quotient(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a / b to the nearest integer, halves up."""
    return (2 * a + b).div(2 * b, rounding_mode="floor")


def _near(x: torch.Tensor, kernel: tuple[tuple[int, int, int], ...]) -> torch.Tensor:
    """Weighted sums over the neighbours of every place, without itself: int64 (..., H, W) -> the same.
    kernel: (rows, columns, weight), of rectangles that reach so far to each side; their weights add up."""
    total = -sum(weight for _, _, weight in kernel) * x
    reach = max(max(rows, columns) for rows, columns, _ in kernel)
    # sums over rectangles by four look-ups
    table = torch.nn.functional.pad(x, (1, 0, 1, 0)).cumsum(-1).cumsum(-2)
    for dim in (-2, -1):  # beyond the edges as at the edges, so that look-ups are slices
        n = x.shape[dim]
        table = table.index_select(dim, torch.arange(-reach, n + 1 + reach, device=x.device).clamp(0, n))
    height, width = x.shape[-2:]
    for rows, columns, weight in kernel:
        top, bottom = (table.narrow(-2, at, height) for at in (reach - rows, reach + rows + 1))
        left, right = reach - columns, reach + columns + 1
        part = bottom.narrow(-1, right, width) - bottom.narrow(-1, left, width)
        part.sub_(top.narrow(-1, right, width)).add_(top.narrow(-1, left, width))
        total.add_(part, alpha=weight)
    return total


def digit_log_probs(space: Space, params: torch.Tensor, parent: torch.Tensor, digit: int) -> torch.Tensor:
    """Natural logarithms of the probabilities of a digit's values.

    params: float (..., P), what a network said; parent: int64 (...), multiples of base**(digit+1). Returns
    float (..., base); they sum to one, and digits that would make a value of `classes` or more have
    probability 0.
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
    """Natural logarithm of the probability of the digit that x has, given its parent. params: float (..., P);
    x: int64 (...). Returns float (...).
    """
    b, unit = space.radix, space.radix**digit
    if space.likelihood == "logistics":  # two intervals instead of b
        low = torch.stack([x // unit * unit, x // (unit * b) * (unit * b)])
        high = (low + torch.tensor([unit, unit * b], device=x.device).view(2, *[1] * x.dim())).clamp(
            max=space.classes
        )
        if unit * b >= space.classes:
            return torch.log(
                _interval(space, params, low[0].unsqueeze(-1), high[0].unsqueeze(-1)).squeeze(-1)
            )
        child, whole = _interval(space, params, low.movedim(0, -1), high.movedim(0, -1)).unbind(-1)
        return torch.log(child) - torch.log(whole)
    log_probs = digit_log_probs(space, params, x // (unit * b) * (unit * b), digit)
    return log_probs.gather(-1, (x // unit % b).unsqueeze(-1)).squeeze(-1)


def _interval(space: Space, params: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Mass of the values low .. high - 1 under the mixture (PixelCNN++, Salimans et al. 2017, eq. 2). params
    (..., P), low, high (..., n) -> (..., n).
    """
    logit, mean, scale = params.float().unflatten(-1, (3, -1)).unbind(-2)  # (..., M)
    half = space.classes / 2
    center = (half + half / MEAN_UNIT * mean).unsqueeze(-2)
    inverse = torch.exp2(-scale.clamp(-8, 2)).unsqueeze(-2) * 16 / space.classes
    far = 1e6 * space.classes  # the first and the last value have the tails
    # (..., n, M)
    upper = ((high - 0.5).masked_fill(high >= space.classes, far).unsqueeze(-1) - center) * inverse
    lower = ((low - 0.5).masked_fill(low <= 0, -far).unsqueeze(-1) - center) * inverse
    # sigmoid(upper) - sigmoid(lower), without a difference of nearly equal numbers
    mass = -torch.sigmoid(upper) * torch.sigmoid(-lower) * torch.expm1(lower - upper)
    mixed = (torch.softmax(logit, -1).unsqueeze(-2) * mass).sum(-1)
    return (1 - UNIFORM) * mixed + UNIFORM * (high - low).clamp(min=0) / space.classes + 1e-30
