"""The distribution of one pixel: a mixture of K discretised logistics per channel, channels coded G, R, B
(PixelCNN++, Salimans et al. 2017, eq. 1-3).

This float form is for training; `ardm.exact.mixture` follows it step by step in integers. Knows tensors of
parameters, not where they came from, and nothing of coders.

Parameters of a pixel, P = 10 K numbers, in this order (real units):
    logit[k]             nats; weights are softmax(logit)
    mean[c, k]           intensity levels, relative to the base
    log2_scale[c, k]     log2 of the logistic scale in intensity levels
    slope[3, k]          R on G, B on G, B on R: added to the mean times the earlier channel's residual
The mixture is joint over the channels: after a channel is coded, component k is reweighted by the probability
it gave.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from ardm.units import CODING_ORDER, LOGIT_RANGE, SCALE_MAX, SCALE_MIN

UNIFORM = 2.0**-20  # added to the probability of every one of the 256 values; the cost is under 0.0004 bits
PMF_FLOOR = 2.0**-16  # least probability by which a component is reweighted


def split(params: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(..., 10 K) -> logit (..., K), mean (..., 3, K), log2_scale (..., 3, K), slope (..., 3, K)."""
    logit, mean, scale, slope = params.split([k, 3 * k, 3 * k, 3 * k], -1)
    return logit, mean.unflatten(-1, (3, k)), scale.unflatten(-1, (3, k)), slope.unflatten(-1, (3, k))


class Conditional(NamedTuple):
    """One channel of pixels: a mixture of K logistics, given the channels that come before it and are known.
    All float32 (..., K).
    """

    weight: torch.Tensor
    center: torch.Tensor  # intensity levels, 0..255 and beyond
    log2_scale: torch.Tensor
    pmf: torch.Tensor  # probability of the pixel's value under each component


def conditionals(
    params: torch.Tensor, pixel: torch.Tensor, base: torch.Tensor, k: int, known: torch.Tensor | None = None
) -> list[Conditional]:
    """The channels in coding order. params: float32 (..., 10 K); pixel, base: float32 (..., 3), RGB integers
    0..255.

    known: bool (..., 3), which channels of the pixel those after them may use; None: all.
    """
    logit, mean, log2_scale, slope = split(params, k)
    log2_scale = log2_scale.clamp(SCALE_MIN, SCALE_MAX)
    logit = torch.maximum(logit, logit.amax(-1, keepdim=True) - LOGIT_RANGE)
    weight = torch.softmax(logit, -1)  # (..., K)
    residual = pixel - base
    if known is not None:
        residual = residual * known
    out = []
    for step, c in enumerate(CODING_ORDER):
        center = mean[..., step, :] + base[..., c, None]
        if step == 1:
            center = center + slope[..., 0, :] * residual[..., 1, None]
        elif step == 2:
            center = (
                center + slope[..., 1, :] * residual[..., 1, None] + slope[..., 2, :] * residual[..., 0, None]
            )
        x = pixel[..., c, None]
        inverse = torch.exp2(-log2_scale[..., step, :])
        upper, lower = (x + 0.5 - center) * inverse, (x - 0.5 - center) * inverse
        # work in the lower tail, where differences of sigmoids keep their digits
        flip = torch.where(upper + lower > 0, -1.0, 1.0)
        below, above = torch.sigmoid(flip * lower), torch.sigmoid(flip * upper)
        pmf = (above - below).abs()
        pmf = torch.where(x == 0, torch.sigmoid(upper), pmf)
        pmf = torch.where(x == 255, torch.sigmoid(-lower), pmf)
        out.append(Conditional(weight, center, log2_scale[..., step, :], pmf))
        factor = pmf + PMF_FLOOR
        if known is not None:
            factor = torch.where(known[..., c, None], factor, 1.0)
        weight = weight * factor
        weight = weight / weight.sum(-1, keepdim=True)
    return out


def bits(params: torch.Tensor, pixel: torch.Tensor, base: torch.Tensor, k: int) -> torch.Tensor:
    """Information content of pixels under their distributions: float32 (..., 3), bits, in coding order. For
    arguments see `conditionals`.
    """
    return torch.stack(
        [
            -torch.log2((one.weight * one.pmf).sum(-1) + UNIFORM)
            for one in conditionals(params, pixel, base, k)
        ],
        -1,
    )
