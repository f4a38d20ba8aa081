"""The window network in integers: proof of bounds, the weights file, and a plain reference. Knows no
images, orders or kernels.

All values are integers times 2**-exponent. With x the inputs of a layer, ew[o] the exponent of row o of its
weights, ex and ey those of its inputs and outputs, and shift[o] = ex + ew[o] - ey >= 0:

    first    S[o] = sum_i w[o, i] v[i] + bias[o] + sum over known positions of mask[o, position]
             v: int8, known value - base
             w = enter + 16 near: the weights of the eight neighbours have a high part as well
    hidden   S[o] = sum_i w[o, i] x[i] + bias[o]      second products of a block: + (stream[o] << shift[o])
    y[o]     = clamp((S[o] + half[o]) >> shift[o], 0, 255)    half[o] = 2**(shift[o] - 1), 0 if shift[o] is 0
    head     the same without the clamp: logit in 1/16 nat, mean in 1/32 level, log2_scale in 1/16 octave,
             slope in 1/128

with |w| <= 127 and every |S| below 2**24, so that int32 and float32 both hold them exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ardm import released, units
from ardm.exact import weights_file
from ardm.exact.weights_file import shifted
from ardm.orders import PHASES
from ardm.released import FOLDER, WeightsError
from ardm.window import NEAR_SHIFT, UNKNOWN_BASE, WEIGHT_MAX, WindowConfig, base_weights, near_inputs

FORMAT = "ardm window weights 1"
PHOTO_ID = "b2f1e7a9"  # of the set for any order and budget
RASTER_ID = "1392ecbf"  # of one as large that was trained on, for raster order
LARGE_ID = "5c706392"  # of a larger one, for raster order
QUICK_ID = "251a3e64"  # of a smaller one, for raster order without learning
SMALL_ID = "e9812928"  # of the model of small pictures, which no file of the codec asks for
SMALL_FOLDER = FOLDER / "small"
ID_BYTES = 4
EXACT = 2**24  # float32 holds every integer up to here
LEVELS = 4  # of the pyramid, for which bits of phases were measured


@dataclass(frozen=True, eq=False)
class WindowWeights:
    """One set of integer weights, shared by threads and never written to.

    tensors: `enter` int8 (W, 3 n), `near` int8 (W, 24), `mask` int32 (W, n), `enter_bias`; `hidden` int8 (2
    L, W, W), `hidden_bias`; `head` int8 (10 K, W), `head_bias`; `enter_shift`, `hidden_shift`, `head_shift`;
    `bits` float32 (LEVELS, 15, 15), bits per subpixel of phase j in a call that knows k phases; `raster_bits`
    float32 (1,); `table.*`, of `ardm.units`. Biases are int32, shifts int32, one for each row.
    """

    id: str  # first ID_BYTES of the SHA-256 of the file, in hex
    config: WindowConfig
    tensors: Mapping[str, np.ndarray]
    provenance: Mapping[str, Any]

    def layers(self) -> dict[str, np.ndarray]:
        """All that a network call multiplies, adds and shifts, int64: `enter` is whole, with `near` in it,
        and there are no tables.
        """
        names = [name for name in self.tensors if name.split("_")[0] in ("enter", "mask", "hidden", "head")]
        layers = {name: self.tensors[name].astype(np.int64) for name in names}
        layers["enter"][:, near_inputs(self.config.radius)] += (
            self.tensors["near"].astype(np.int64) << NEAR_SHIFT
        )
        return layers

    def tables(self) -> dict[str, np.ndarray]:
        """Look-up tables of the likelihood."""
        return {
            name.removeprefix("table."): values
            for name, values in self.tensors.items()
            if name.startswith("table.")
        }


def check_bounds(config: WindowConfig, tensors: Mapping[str, np.ndarray]) -> None:
    """Prove shapes, and that no sum can leave the range in which all ways to compute are exact. Raises
    WeightsError.
    """
    w, n, k = config.width, config.positions, config.outputs
    if config.mixture > units.MIXTURE_MAX:
        raise WeightsError(
            f"at most {units.MIXTURE_MAX} components keep the entropy coder exact, got {config.mixture}."
        )
    shapes = {"enter": (w, 3 * n), "mask": (w, n), "hidden": (2 * config.depth, w, w), "head": (k, w)}
    shapes |= {
        f"{name}_{part}": shape[:-1]
        for name, shape in shapes.items()
        if name != "mask"
        for part in ("bias", "shift")
    }
    shapes["near"] = (w, len(near_inputs(config.radius)))
    bytes_of = ("enter", "near", "hidden", "head")
    weights_file.check_shapes(
        tensors, {name: (shape, np.int8 if name in bytes_of else np.int32) for name, shape in shapes.items()}
    )
    for name in ("enter", "hidden", "head"):
        weight, shift = tensors[name].astype(np.int64), tensors[name + "_shift"].astype(np.int64)
        bias = np.abs(tensors[name + "_bias"].astype(np.int64))
        most = max(
            np.abs(tensors[part].astype(np.int64)).max()
            for part in ([name, "near"] if name == "enter" else [name])
        )
        if most > WEIGHT_MAX:
            raise WeightsError(f"{name}: weights must lie in -{WEIGHT_MAX}..{WEIGHT_MAX}, found {most}.")
        if shift.min() < 0 or shift.max() > 22:
            raise WeightsError(f"{name}: shifts must lie in 0..22, found {shift.min()}..{shift.max()}.")
        bound = np.abs(weight).sum(-1) * 255 + bias + (1 << shift)
        if name == "enter":
            bound = (
                bound
                + np.abs(tensors["mask"].astype(np.int64)).sum(-1)
                + (np.abs(tensors["near"].astype(np.int64)).sum(-1) * 255 << NEAR_SHIFT)
            )
        if name == "hidden":
            bound = bound + (255 << shift)
        if bound.max() >= EXACT:
            raise WeightsError(f"{name}: a sum may reach {bound.max()}, the limit is {EXACT}.")


def serialize(
    config: WindowConfig, tensors: Mapping[str, np.ndarray], provenance: Mapping[str, Any]
) -> bytes:
    """The weights file."""
    return weights_file.serialize(FORMAT, config, tensors, provenance)


def parse(data: bytes) -> WindowWeights:
    """Read a weights file. Raises WeightsError if it is not one, or breaks a bound."""

    def make(
        fields: dict[str, Any], tensors: dict[str, np.ndarray], provenance: dict[str, Any]
    ) -> WindowWeights:
        config = WindowConfig(**fields)
        check_bounds(config, tensors)
        if tensors["bits"].shape != (LEVELS, PHASES, PHASES):
            raise WeightsError(
                f"bits must have shape {(LEVELS, PHASES, PHASES)}, found {tensors['bits'].shape}."
            )
        return WindowWeights(released.id_of(data, ID_BYTES), config, tensors, provenance)

    return weights_file.parse(data, FORMAT, make)


@lru_cache(maxsize=4)
def load(weights_id: str = PHOTO_ID) -> WindowWeights:
    """Weights of the package by id. Raises WeightsError if the package does not have them."""
    return parse(released.read(weights_id, FOLDER))


@lru_cache(maxsize=1)
def load_small() -> WindowWeights:
    """The model of small pictures that the package has, which has bits of `ardm.calls.OrderBits`. Raises
    WeightsError.
    """
    return parse(released.read(SMALL_ID, SMALL_FOLDER))


# ---- the reference -----------------------------------------------------------------------------------------


def base_of(pixels: np.ndarray, known: np.ndarray, radius: int) -> np.ndarray:
    """Bases, int64 (N, 3). pixels: int64 (N, n, 3), of every position; known: bool (N, n)."""
    weight = base_weights(radius).astype(np.int64) * known
    total = weight.sum(1)[:, None]
    mean = (2 * (weight[..., None] * pixels).sum(1) + total) // np.maximum(2 * total, 1)
    return np.where(total > 0, mean, UNKNOWN_BASE)


def by_float64(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Products of integer matrices, int64, by float64 ones, which are quick, and exact below 2**53.

    Not by BLAS, whose threads wait for each other where other work keeps a core busy: 24 ms instead of 0.2.
    """
    return np.einsum("ij,jk->ik", a.astype(np.float64), b.astype(np.float64)).astype(np.int64)


def reference(
    weights: WindowWeights,
    pixels: np.ndarray,
    known: np.ndarray,
    product: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.matmul,
) -> tuple[np.ndarray, np.ndarray]:
    """Plain int64 NumPy, slow and obvious: what every other way to compute is tested against.

    pixels: int64 (N, n, 3), the windows' values; known: bool (N, n); product: of matrices. Returns
    (parameters int32 (N, 10 K), bases int16 (N, 3)).
    """
    t = weights.layers()
    base = base_of(pixels, known, weights.config.radius)
    values = np.where(known[..., None], np.clip(pixels - base[:, None], -128, 127), 0).reshape(
        len(pixels), -1
    )

    x = np.clip(
        shifted(
            product(values, t["enter"].T) + t["enter_bias"] + product(known, t["mask"].T), t["enter_shift"]
        ),
        0,
        255,
    )
    for i in range(weights.config.depth):
        (a, b), (bias_a, bias_b), (shift_a, shift_b) = (
            t[name][2 * i : 2 * i + 2] for name in ("hidden", "hidden_bias", "hidden_shift")
        )
        y = np.clip(shifted(product(x, a.T) + bias_a, shift_a), 0, 255)
        x = np.clip(shifted(product(y, b.T) + bias_b + (x << shift_b), shift_b), 0, 255)
    out = shifted(product(x, t["head"].T) + t["head_bias"], t["head_shift"])
    return out.astype(np.int32), base.astype(np.int16)
