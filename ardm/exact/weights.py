"""Integer weights: export from a trained network, proof of bounds, and the safetensors file. Knows no images
and no kernels.

The file's id is the hash of its bytes. Besides the tensors it holds the look-up tables, the measured bits of
every phase (`bits`, for the budget) and, as JSON metadata, the network's configuration and where the weights
come from.

Integer arithmetic of a layer with input exponent ex, weight exponents ew[c] and output exponent ey (all
values are integers times 2**-e):

    y[c] = clamp(rne((sum_i w[c, i] * x[i] + bias[c] + cond[c]) * 2**-(ex + ew[c] - ey) + residual[c]), 0,
    255)

where rne rounds half to even, |w| <= 63, 0 <= x <= 255 (tokens: -128..127), and the residual has the output's
exponent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from ardm import released, units
from ardm.discrete import Space
from ardm.exact import frequencies
from ardm.networks import Config, Exact, Model
from ardm.networks.layers import INPUT_EXPONENT, WEIGHT_MAX, Layer, Trunk, weight_exponent
from ardm.released import FOLDER, WeightsError

TEXT_ID = "4de441255d1f6b8d"  # of the model for text
ID_BYTES = 8
DISCRETE = "ardm discrete weights 1"  # the format
EXACT = 2**24  # float32 holds every integer up to here
COND_WEIGHT_BITS, COND_HIDDEN_BITS, COND_OUT_BITS = 12, 8, 14


@dataclass(frozen=True)
class Weights:
    """One set of integer weights, shared by threads and never written to. `tensors` are NumPy arrays; names
    as in `layers`.
    """

    id: str  # first ID_BYTES of the SHA-256 of the file, in hex
    model: Model
    exponents: Mapping[str, int]  # activation exponent of every layer's output
    tensors: Mapping[str, np.ndarray]
    provenance: Mapping[str, Any]

    @property
    def layers(self) -> list[Layer]:
        return self.model.layers()

    def tables(self) -> dict[str, torch.Tensor]:
        return {
            name.removeprefix("table."): torch.from_numpy(values)
            for name, values in self.tensors.items()
            if name.startswith("table.")
        }


def to_integers(net: Exact) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Integer tensors and activation exponents of a network trained with simulated quantisation. Raises
    WeightsError if a bound fails.
    """
    tensors, exponents, last = trunk_to_integers(net.body)
    tensors |= head_to_integers(net.head[None], net.head_bias[None], net.get_buffer("steps"), last)
    tables, config = frequencies.make_tables(net.space), net.model
    for table, values in tables.items():
        tensors["table." + table] = values.numpy()
    check_bounds(config, tensors)
    return tensors, exponents


def trunk_to_integers(net: Trunk) -> tuple[dict[str, np.ndarray], dict[str, int], int]:
    """Of the chain of layers; also the exponent of its result."""
    tensors: dict[str, np.ndarray] = {}
    exponents: dict[str, int] = {}
    current = INPUT_EXPONENT
    shifts = net.cond_out.weight.detach().unflatten(0, (len(net.conditioned), -1))
    for layer in (net.conv(spec.name) for spec in net.layers):
        name = layer.layer.name
        ew = weight_exponent(layer.weight)
        weight = (layer.weight.detach() * torch.exp2(ew)[:, None]).clamp(-WEIGHT_MAX, WEIGHT_MAX).round()
        out = int(layer.exponent)
        accumulator = current + ew  # exponent of the sums
        tensors[name + ".weight"] = weight.to(torch.int8).numpy()
        tensors[name + ".bias"] = (
            (layer.bias.detach() * torch.exp2(accumulator)).round().to(torch.int32).numpy()
        )
        tensors[name + ".shift"] = (accumulator - out).to(torch.int8).numpy()
        exponents[name] = out
        if layer.layer.conditioned:
            part = shifts[net.conditioned.index(name)]
            tensors[name + ".cond"] = (part * 2.0**COND_OUT_BITS).round().to(torch.int32).numpy()
            tensors[name + ".cond_shift"] = (
                (COND_HIDDEN_BITS + COND_OUT_BITS - accumulator).to(torch.int8).numpy()
            )
        current = out
    tensors["cond_in.weight"] = (
        (net.cond_in.weight.detach() * 2.0**COND_WEIGHT_BITS).round().to(torch.int32).numpy()
    )
    tensors["cond_in.bias"] = (
        (net.cond_in.bias.detach() * 2.0 ** (COND_WEIGHT_BITS + 4)).round().to(torch.int32).numpy()
    )
    return tensors, exponents, current


def head_to_integers(
    head: torch.Tensor, bias: torch.Tensor, grid: torch.Tensor, exponent: int
) -> dict[str, np.ndarray]:
    """Of the last linear map. head: (places, outputs, width), bias (places, outputs), grid: steps of each
    output's unit, (outputs,).
    """
    ew = weight_exponent(head.flatten(0, 1)).view(head.shape[:2])
    weight = (head.detach() * torch.exp2(ew)[..., None]).clamp(-WEIGHT_MAX, WEIGHT_MAX).round()
    return {
        "head.weight": weight.to(torch.int8).numpy(),
        "head.bias": (bias.detach() * torch.exp2(exponent + ew)).round().to(torch.int32).numpy(),
        "head.shift": (exponent + ew - torch.log2(grid)).to(torch.int8).numpy(),
    }


def check_bounds(config: Model, tensors: Mapping[str, np.ndarray]) -> None:
    """Prove that no sum of any layer can leave the range in which float32, int32 and paired 16-bit arithmetic
    are exact.
    """
    if (mixture := config.space.mixture) > units.MIXTURE_MAX:
        raise WeightsError(
            f"at most {units.MIXTURE_MAX} mixture components keep the entropy coder exact, got {mixture}."
        )
    cond_max = conditioning_bound(tensors)
    for name in [*(layer.name for layer in config.layers()), "head"]:
        weight = tensors[name + ".weight"].astype(np.int64)
        if np.abs(weight).max() > WEIGHT_MAX:
            raise WeightsError(
                f"{name}: weights must lie in -{WEIGHT_MAX}..{WEIGHT_MAX}, found {np.abs(weight).max()}."
            )
        shift = tensors[name + ".shift"].astype(np.int64)
        bound = (
            np.abs(weight).sum(-1) * 255
            + np.abs(tensors[name + ".bias"].astype(np.int64))
            + 128 * np.abs(weight.sum(-1))
        )
        if name + ".cond" in tensors:
            bound = (
                bound
                + np.abs(tensors[name + ".cond"].astype(np.int64))
                @ cond_max
                // 2 ** tensors[name + ".cond_shift"].astype(np.int64)
                + 1
            )
        if name != "head":
            if shift.min() < 0:
                raise WeightsError(
                    f"{name}: negative requantisation shift {shift.min()}; weights are too large for the "
                    "activation scale."
                )
            bound = bound + (255 << shift)  # the residual, in units of the sum
        if bound.max() >= EXACT:
            raise WeightsError(f"{name}: a sum may reach {bound.max()}, the limit is {EXACT}.")


def conditioning_bound(tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """Largest value of every hidden unit of the conditioning function, int64."""
    positive = np.maximum(tensors["cond_in.weight"].astype(np.int64), 0).sum(1) * 16 + tensors[
        "cond_in.bias"
    ].astype(np.int64)
    return np.maximum(positive, 0) >> (COND_WEIGHT_BITS + 4 - COND_HIDDEN_BITS)


def serialize(
    config: Model,
    tensors: Mapping[str, np.ndarray],
    exponents: Mapping[str, int],
    provenance: Mapping[str, Any],
) -> bytes:
    metadata = {
        "format": DISCRETE,
        "network": json.dumps(asdict(config)),
        "exponents": json.dumps(dict(exponents)),
        "provenance": json.dumps(dict(provenance)),
    }
    return save_safetensors({k: np.ascontiguousarray(v) for k, v in tensors.items()}, metadata)


def parse(data: bytes) -> Weights:
    """Read a weights file. Raises WeightsError if it is not one, or breaks a bound."""
    try:
        size = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + size])["__metadata__"]
        tensors = load_safetensors(data)
        fields = json.loads(metadata["network"])
        if metadata["format"] != DISCRETE:
            raise WeightsError(f"the weights have format {metadata['format']!r}, expected was {DISCRETE!r}.")
        config = Model(Space(**fields["space"]), Config(**fields["network"]))
        exponents, provenance = json.loads(metadata["exponents"]), json.loads(metadata["provenance"])
        check_bounds(config, tensors)
    except WeightsError:
        raise
    except Exception as error:
        raise WeightsError(f"not an ardm weights file ({type(error).__name__}: {error}).") from error
    return Weights(released.id_of(data, ID_BYTES), config, exponents, tensors, provenance)


@lru_cache(maxsize=4)
def load(weights_id: str = TEXT_ID) -> Weights:
    """Weights of the package by id. Raises WeightsError if the package does not have them."""
    return parse(released.read(weights_id, FOLDER))
