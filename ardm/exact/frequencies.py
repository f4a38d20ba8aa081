"""The probability of a digit in integers, as the entropy coder uses it; it follows the float form in
`ardm.discrete`. Knows no network and no coder.

Parameters are integers: logits in 1/16 nat, means in 1/2048 of half the range, logarithms of scales in 1/16
octave. Exponentials and sigmoids are look-ups in tables that are stored with the weights. Every digit gets a
frequency of at least 1, and those of a variable add up to 2**24.
"""

from __future__ import annotations

import torch

from ardm import units
from ardm.discrete import Space
from ardm.likelihood import look_up
from ardm.units import CDF_HALF, CDF_ONE, FLOOR, LOGIT_STEPS

TOTAL = 2**24
EXP_TOP = 2**20  # of the table of exponentials
EXP_COUNT = 256  # 16 nats: e**-16 * 2**20 is below 1
MEAN_STEPS = 2048  # of half the range
SCALE_MIN, SCALE_MAX = -8, 2  # octaves; 0: a scale of a sixteenth of the range
INVERSE_SHIFT = 9
EDGE_BITS = 4  # positions are kept in 1/16 of a mean's step


def make_tables(space: Space) -> dict[str, torch.Tensor]:
    """Look-up tables, int32, computed once at export and stored with the weights."""
    f64 = torch.float64
    if space.likelihood != "logistics":
        return {
            "exp": torch.round(EXP_TOP * torch.exp(-torch.arange(EXP_COUNT, dtype=f64) / LOGIT_STEPS)).to(
                torch.int32
            )
        }
    scales = torch.arange(SCALE_MIN * LOGIT_STEPS, SCALE_MAX * LOGIT_STEPS + 1, dtype=f64) / LOGIT_STEPS
    # a mean's step is range / 4096; in units of a scale, 2**scale * range / 16, and steps of 1/256:
    # 2**-scale, times 2**INVERSE_SHIFT
    shared = {name: torch.from_numpy(values) for name, values in units.make_tables().items()}
    return {
        "sigmoid": shared["sigmoid"],
        "weight": shared["weight"],
        "inverse": torch.round(2.0**INVERSE_SHIFT * torch.exp2(-scales)).to(torch.int32),
    }


def digit_frequencies(
    space: Space, params: torch.Tensor, parent: torch.Tensor, digit: int, tables: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Frequencies minus one: float32 (N, base), whole numbers, rows add up to 2**24 - base.

    params: int32 (N, P); parent: int64 (N,), multiples of base**(digit+1); all on the CPU. Digits that would
    make a value of `classes` or more get frequency 1.
    """
    b, unit = space.radix, space.radix**digit
    first = parent.unsqueeze(-1) + unit * torch.arange(b)  # (N, b)
    if space.likelihood == "logistics":
        mass = _mixture_masses(space, params, first, (first + unit).clamp(max=space.classes), tables)
    else:
        logits = params.view(-1, space.stages, b)[:, digit] if space.likelihood == "direct" else params
        drop = (logits.amax(-1, keepdim=True) - logits).clamp(max=EXP_COUNT - 1)
        mass = look_up(tables["exp"], drop).long()
        if space.likelihood == "categorical":
            pad = b**space.stages - space.classes
            mass = torch.nn.functional.pad(mass, (0, pad)).unflatten(-1, (-1, unit)).sum(-1)
            if mass.shape[-1] != b:
                mass = mass.gather(-1, first // unit)
    mass = mass.masked_fill(first >= space.classes, 0)
    total = mass.sum(-1, keepdim=True).clamp_min(1)
    share = mass * (TOTAL - b) // total  # mass < 2**37, product < 2**61
    left = TOTAL - b - share.sum(-1)
    share.scatter_add_(-1, mass.argmax(-1, keepdim=True), left.unsqueeze(-1))
    return share.float()


def _mixture_masses(
    space: Space, params: torch.Tensor, low: torch.Tensor, high: torch.Tensor, tables: dict[str, torch.Tensor]
) -> torch.Tensor:
    """int64 (N, n), masses of the values low .. high - 1, (N, n) each."""
    logit, mean, scale = params.unflatten(-1, (3, -1)).unbind(-2)  # (N, M)
    drop = (logit.amax(-1, keepdim=True) - logit).clamp(max=tables["weight"].numel() - 1)
    weight = look_up(tables["weight"], drop).long()  # 1..1023
    # in 1/16 step, 0 at the left end
    center = (mean.long() + MEAN_STEPS).clamp(-4 * MEAN_STEPS, 8 * MEAN_STEPS) << EDGE_BITS
    inverse = look_up(
        tables["inverse"], (scale - SCALE_MIN * LOGIT_STEPS).clamp(0, tables["inverse"].numel() - 1)
    ).long()

    def cdf(edge: torch.Tensor) -> torch.Tensor:  # of values below `edge`, 0..classes
        at = (2 * edge - 1) * (MEAN_STEPS << EDGE_BITS) // space.classes
        u = (
            (at.unsqueeze(-1) - center.unsqueeze(-2)) * inverse.unsqueeze(-2) >> (INVERSE_SHIFT + EDGE_BITS)
        ).clamp(-CDF_HALF, CDF_HALF - 1) + CDF_HALF
        inner = (look_up(tables["sigmoid"], u).long() * weight.unsqueeze(-2)).sum(-1)
        return torch.where(
            edge <= 0, 0, torch.where(edge >= space.classes, weight.sum(-1, keepdim=True) * CDF_ONE, inner)
        )

    return (cdf(high) - cdf(low)) * 16 + FLOOR * 16 * 256 * (high - low).clamp(min=0) // space.classes
