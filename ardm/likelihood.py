"""The distribution of one pixel: a mixture of K discretised logistics per channel, channels coded G, R, B (PixelCNN++, Salimans et al. 2017, eq. 1-3).

The float form is for training; the integer form, which the codec uses, is at the end of the file and follows it step by step. Knows
tensors of parameters, not where they came from, and nothing of coders.

Parameters of a pixel, P = 10 K numbers, in this order (real units):
    logit[k]             nats; weights are softmax(logit)
    mean[c, k]           intensity levels, relative to the base
    log2_scale[c, k]     log2 of the logistic scale in intensity levels
    slope[3, k]          R on G, B on G, B on R: added to the mean times the earlier channel's residual
The mixture is joint over the channels: after a channel is coded, component k is reweighted by the probability it gave.
"""

from __future__ import annotations

import math

import torch

CODING_ORDER = (1, 0, 2)  # G, R, B as indices into an RGB pixel
PER_COMPONENT = 10
SCALE_MIN, SCALE_MAX = -4.0, 6.0  # range of log2_scale
UNIFORM = 2.0**-20  # added to the probability of every one of the 256 values; the cost is under 0.0004 bits
PMF_FLOOR = 2.0**-16  # least probability by which a component is reweighted
LOGIT_RANGE = 6.9  # a component's weight is at least exp(-6.9) of the heaviest one's


def split(params: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(..., 10 K) -> logit (..., K), mean (..., 3, K), log2_scale (..., 3, K), slope (..., 3, K)."""
    logit, mean, scale, slope = params.split([k, 3 * k, 3 * k, 3 * k], -1)
    return logit, mean.unflatten(-1, (3, k)), scale.unflatten(-1, (3, k)), slope.unflatten(-1, (3, k))


def bits(params: torch.Tensor, pixel: torch.Tensor, base: torch.Tensor, k: int) -> torch.Tensor:
    """Information content of pixels under their distributions.

    params: float32 (..., 10 K); pixel, base: float32 (..., 3), RGB integers 0..255. Returns float32 (..., 3): bits, in coding order.
    """
    logit, mean, log2_scale, slope = split(params, k)
    log2_scale = log2_scale.clamp(SCALE_MIN, SCALE_MAX)
    logit = torch.maximum(logit, logit.amax(-1, keepdim=True) - LOGIT_RANGE)
    weight = torch.softmax(logit, -1)  # (..., K)
    residual = pixel - base
    out = []
    for step, c in enumerate(CODING_ORDER):
        center = mean[..., step, :] + base[..., c, None]
        if step == 1:
            center = center + slope[..., 0, :] * residual[..., 1, None]
        elif step == 2:
            center = center + slope[..., 1, :] * residual[..., 1, None] + slope[..., 2, :] * residual[..., 0, None]
        x = pixel[..., c, None]
        inverse = torch.exp2(-log2_scale[..., step, :])
        upper, lower = (x + 0.5 - center) * inverse, (x - 0.5 - center) * inverse
        flip = torch.where(upper + lower > 0, -1.0, 1.0)  # work in the lower tail, where differences of sigmoids keep their digits
        below, above = torch.sigmoid(flip * lower), torch.sigmoid(flip * upper)
        pmf = (above - below).abs()
        pmf = torch.where(x == 0, torch.sigmoid(upper), pmf)
        pmf = torch.where(x == 255, torch.sigmoid(-lower), pmf)
        p = (weight * pmf).sum(-1) + UNIFORM
        out.append(-torch.log2(p))
        weight = weight * (pmf + PMF_FLOOR)
        weight = weight / weight.sum(-1, keepdim=True)
    return torch.stack(out, -1)


# ---- the same in integers ---------------------------------------------------------------------------------------------------
#
# Parameters arrive as integers: logit in 1/16 nat, mean in 1/32 level, log2_scale in 1/16 octave, slope in 1/128. A component's
# cumulative distribution is a look-up, S[i] = round(2**16 * sigmoid((i + 1/2 - 3072) / 256)); its weight is at most 1023.
#
#     F(e) = sum_k weight[k] * S[((32 e - 16 - center[k]) * inverse[k] >> 9) + 3072] + 64 e      for an edge 0 < e < 256
#     F(0) = 0,  F(256) = sum_k weight[k] * 2**16 + 64 * 256                                     the value v has mass F(v + 1) - F(v) >= 64
#
# Bounds: |32 e - 16 - center| < 2**14 and inverse <= 2**16, so the product stays below 2**31; with at most 5 components F(256) < 2**28.4,
# so that F * 2**24 stays below 2**53 and the float64 divisions of the entropy coder are exact integer divisions.

LOGIT_STEPS, MEAN_STEPS, SCALE_STEPS, SLOPE_STEPS = 16, 32, 16, 128
CDF_HALF = 3072  # entries of the sigmoid table on either side of 0
CDF_STEPS = 256  # entries per unit of (x - center) / scale
CDF_ONE = 1 << 16
WEIGHT_TOP = 1023
INVERSE_SHIFT = 9
FLOOR = 64
CENTER_MIN, CENTER_MAX = -64 * MEAN_STEPS, 320 * MEAN_STEPS
SLOPE_MAX = 8 * SLOPE_STEPS
MIXTURE_MAX = 5
SCALE_LOW = round(SCALE_MIN * SCALE_STEPS)
SCALE_COUNT = round(SCALE_MAX * SCALE_STEPS) - SCALE_LOW + 1


def make_tables() -> dict[str, torch.Tensor]:
    """The look-up tables, int32, computed once at export and stored with the weights.

    `sigmoid`, `weight` and `inverse` as above; `deviation`, the standard deviation of a logistic in 1/32 level, by scale; `log2`, the
    base-2 logarithm of mantissas 1/2 .. 1 (the middle of each of 256 steps) plus 1, in 1/256.
    """
    f64 = torch.float64
    u = (torch.arange(2 * CDF_HALF, dtype=f64) + 0.5 - CDF_HALF) / CDF_STEPS
    weight = WEIGHT_TOP * torch.exp(-torch.arange(round(LOGIT_RANGE * LOGIT_STEPS) + 1, dtype=f64) / LOGIT_STEPS)
    log2_scale = torch.arange(SCALE_LOW, SCALE_LOW + SCALE_COUNT, dtype=f64) / SCALE_STEPS
    inverse = 2.0**INVERSE_SHIFT * CDF_STEPS / MEAN_STEPS * torch.exp2(-log2_scale)
    return {
        "sigmoid": torch.round(CDF_ONE * torch.sigmoid(u)).to(torch.int32),
        "weight": torch.round(weight).clamp_min(1).to(torch.int32),
        "inverse": torch.round(inverse).to(torch.int32),
        "deviation": torch.round(MEAN_STEPS * math.pi / math.sqrt(3) * torch.exp2(log2_scale)).to(torch.int32),
        "log2": torch.round(256 * torch.log2((torch.arange(256, dtype=f64) + 256.5) / 256)).to(torch.int32),
    }


class IntegerMixture:
    """The distributions of N pixels in integers. One object walks through the channels of its pixels in coding order.

    params: int32 (10 K, N); base: int32 (3, N), RGB 0..255; tables from `make_tables`, on the CPU.
    """

    def __init__(self, params: torch.Tensor, base: torch.Tensor, tables: dict[str, torch.Tensor]) -> None:
        k = params.shape[0] // PER_COMPONENT
        self.k, self.base, self.tables = k, base, tables
        logit = params[:k]
        top = tables["weight"].numel() - 1
        drop = (logit.amax(0) - logit).clamp_(max=top)
        self.weight = look_up(tables["weight"], drop)  # (K, N), 1..1023
        self.mean, self.scale, self.slope = params[k : 4 * k], params[4 * k : 7 * k], params[7 * k :]
        self.step = -1

    def start_channel(self, residuals: list[torch.Tensor]) -> None:
        """Go to the next channel; residuals: int32 (N,) each, pixel minus base of the channels coded so far, in coding order.

        Sets `center` (1/32 level) and `index` (into the scales), both int32 (K, N), which may be changed until `fix_channel`.
        """
        self.step += 1
        k, step = self.k, self.step
        center = self.mean[step * k : (step + 1) * k] + self.base[CODING_ORDER[step]] * MEAN_STEPS
        for i, residual in enumerate(residuals):
            row = step - 1 + i  # slope rows: R on G, B on G, B on R
            slope = self.slope[row * k : (row + 1) * k].clamp(-SLOPE_MAX, SLOPE_MAX)
            center = center + (slope * residual >> 2)  # 1/128 to 1/32
        self.center = center.clamp_(CENTER_MIN, CENTER_MAX)
        self.index = (self.scale[step * k : (step + 1) * k] - SCALE_LOW).clamp_(0, SCALE_COUNT - 1)

    def fix_channel(self) -> None:
        """The channel's parameters are final."""
        self.offset = self.center.clamp(CENTER_MIN, CENTER_MAX) + MEAN_STEPS // 2
        self.inverse = self.inverse_of(self.index)
        self.total = self.weight.sum(0, dtype=torch.int32) * CDF_ONE + FLOOR * 256

    def inverse_of(self, index: torch.Tensor) -> torch.Tensor:
        """Inverse scales, the index clamped to the table."""
        return look_up(self.tables["inverse"], index.clamp(0, SCALE_COUNT - 1))

    def component_cdf(self, edge: torch.Tensor, offset: torch.Tensor | None = None, inverse: torch.Tensor | None = None) -> torch.Tensor:
        """edge: int32 (..., N), 0..256 -> int32 (..., K, N): S of every component, without the rules for 0 and 256."""
        u = (edge.unsqueeze(-2) * MEAN_STEPS - (self.offset if offset is None else offset)) * (self.inverse if inverse is None else inverse)
        u = (u >> INVERSE_SHIFT).clamp_(-CDF_HALF, CDF_HALF - 1).add_(CDF_HALF)
        return look_up(self.tables["sigmoid"], u)

    def cdf(self, edge: torch.Tensor) -> torch.Tensor:
        """F at inner edges. edge: int32 (..., N), 1..255 -> int32 (..., N)."""
        return self.component_cdf(edge).mul_(self.weight).sum(-2, dtype=torch.int32).add_(edge, alpha=FLOOR)

    def finish_channel(self, value: torch.Tensor) -> None:
        """Reweight the components by the mass they gave to the coded values, int32 (N,), 0..255."""
        low, high = self.component_cdf(torch.stack([value, value + 1]))
        mass = torch.where(value == 255, CDF_ONE, high) - torch.where(value == 0, 0, low) + 1
        product = (self.weight * mass).double()  # < 2**27
        self.weight = torch.floor(product * WEIGHT_TOP / product.amax(0)).clamp_(min=1).to(torch.int32)


def look_up(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """table[index] for int32 (n,) and int32 indices of any shape (64-bit indices are several times faster in torch)."""
    return table.index_select(0, index.long().view(-1)).view(index.shape)


def integer_bits(params: torch.Tensor, base: torch.Tensor, pixels: torch.Tensor, tables: dict[str, torch.Tensor], channels: int = 3) -> torch.Tensor:
    """Information content of pixels under their integer distributions, which is what the entropy coder spends up to rounding.

    params: int32 (10 K, N); base, pixels: int32 (3, N), RGB. Returns float64 (channels, N), in coding order.
    """
    mixture = IntegerMixture(params, base, tables)
    residuals: list[torch.Tensor] = []
    out = []
    for c in CODING_ORDER[:channels]:
        mixture.start_channel(residuals)
        mixture.fix_channel()
        value = pixels[c]
        low, high = mixture.cdf(torch.stack([value, value + 1]))
        mass = torch.where(value == 255, mixture.total, high) - torch.where(value == 0, 0, low)
        out.append(-torch.log2(mass.double() / mixture.total))
        residuals.append(value - base[c])
        mixture.finish_channel(value)
    return torch.stack(out)
