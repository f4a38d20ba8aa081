"""Integers of a trained window network: the tensors of `ardm.exact.window`. Knows the network and its grids;
no images and no files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ardm import units
from ardm.exact.window import check_bounds
from ardm.networks.window import WindowNet, weight_exponent
from ardm.window import ACTIVATION_EXPONENT, MEAN_UNIT, NEAR_SHIFT, VALUE_EXPONENT, WEIGHT_MAX, near_inputs


def to_integers(net: WindowNet) -> dict[str, np.ndarray]:
    """Integer tensors of a calibrated network. Raises WeightsError if a bound fails."""
    tensors: dict[str, np.ndarray] = {}

    def layer(
        weight: torch.Tensor, bias: torch.Tensor, ex: int, ey: Any, limit: Any = WEIGHT_MAX
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, torch.Tensor]:
        ew = weight_exponent(weight, limit)
        sums = ew + ex
        return (
            _int(weight.detach() * torch.exp2(ew)[:, None], np.int32),
            _int(bias.detach() * torch.exp2(sums), np.int32),
            _int(sums - ey, np.int32),
            sums,
        )

    enter, tensors["enter_bias"], tensors["enter_shift"], sums = layer(
        net.enter, net.enter_bias, VALUE_EXPONENT, ACTIVATION_EXPONENT, net.limit
    )
    close = near_inputs(net.config.radius)
    tensors["near"] = ((enter[:, close] + 2 ** (NEAR_SHIFT - 1)) >> NEAR_SHIFT).astype(np.int8)
    enter[:, close] -= tensors["near"].astype(np.int32) << NEAR_SHIFT
    tensors["enter"] = enter.astype(np.int8)
    tensors["mask"] = _int(net.mask.detach() * torch.exp2(sums)[:, None], np.int32)
    hidden = [
        layer(weight, bias, ACTIVATION_EXPONENT, ACTIVATION_EXPONENT)[:3]
        for weight, bias in zip(net.hidden, net.hidden_bias, strict=True)
    ]
    for name, values in zip(
        ("hidden", "hidden_bias", "hidden_shift"), zip(*hidden, strict=True), strict=True
    ):
        tensors[name] = np.stack(values).astype(np.int8 if name == "hidden" else np.int32)
    head, tensors["head_bias"], tensors["head_shift"], _ = layer(
        net.head, net.head_bias, ACTIVATION_EXPONENT, head_exponents(net.config.mixture)
    )
    tensors["head"] = head.astype(np.int8)
    tensors |= {"table." + name: values for name, values in units.make_tables().items()}
    check_bounds(net.config, tensors)
    return tensors


def head_exponents(k: int) -> torch.Tensor:
    """Those of the outputs of a network with so many components: float32 (10 K,)."""
    steps = [units.LOGIT_STEPS] * k + [units.MEAN_STEPS * MEAN_UNIT] * (3 * k)
    steps += [units.SCALE_STEPS] * (3 * k) + [units.SLOPE_STEPS] * (3 * k)
    return torch.log2(torch.tensor(steps, dtype=torch.float32))


def _int(values: torch.Tensor, dtype: Any) -> np.ndarray:
    return (values + 0.5).floor().numpy().astype(dtype)
