"""Units and ranges of a pixel's distribution, and the tables of its integer form. Knows numbers only.

Parameters of a pixel are real numbers to `ardm.likelihood`, which says what each means, and integers to
`ardm.exact.mixture`: logit in 1/16 nat, mean in 1/32 level, log2_scale in 1/16 octave, slope in 1/128.
"""

from __future__ import annotations

import math

import numpy as np

CODING_ORDER = (1, 0, 2)  # G, R, B as indices into an RGB pixel
PER_COMPONENT = 10
SCALE_MIN, SCALE_MAX = -4.0, 6.0  # range of log2_scale
LOGIT_RANGE = 6.9  # a component's weight is at least exp(-6.9) of the heaviest one's
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


def make_tables() -> dict[str, np.ndarray]:
    """The look-up tables, int32, computed once at export and stored with the weights.

    `sigmoid`, `weight` and `inverse` as in `ardm.exact.mixture`; `deviation`, the standard deviation of a
    logistic in 1/32 level, by scale.
    """
    u = (np.arange(2 * CDF_HALF) + 0.5 - CDF_HALF) / CDF_STEPS
    weight = WEIGHT_TOP * np.exp(-np.arange(round(LOGIT_RANGE * LOGIT_STEPS) + 1) / LOGIT_STEPS)
    log2_scale = np.arange(SCALE_LOW, SCALE_LOW + SCALE_COUNT) / SCALE_STEPS
    tables = {
        "sigmoid": CDF_ONE / (1 + np.exp(-u)),
        "weight": np.maximum(weight, 1),
        "inverse": 2.0**INVERSE_SHIFT * CDF_STEPS / MEAN_STEPS * np.exp2(-log2_scale),
        "deviation": MEAN_STEPS * math.pi / math.sqrt(3) * np.exp2(log2_scale),
    }
    return {name: np.round(values).astype(np.int32) for name, values in tables.items()}
