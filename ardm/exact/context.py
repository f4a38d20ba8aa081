"""The context network in integers: proof of bounds, the weights file, and a plain reference. Knows no texts,
orders or kernels.

All values are integers times 2**-exponent, as in `ardm.exact.window`, with |w| <= 127 and every |S| below
2**24:

    first    S[o] = 32 * sum over neighbours of enter[o, neighbour, its state] + bias[o]
    hidden   S[o] = sum_i w[o, i] x[i] + bias[o]      second products of a block: + (stream[o] << shift[o])
    y[o]     = clamp((S[o] + half[o]) >> shift[o], 0, 255)    half[o] = 2**(shift[o] - 1), 0 if shift[o] is 0
    head     the same without the clamp: logits in 1/16 nat, one for each value

The states of a neighbour are its value, unknown, and beyond an end of the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ardm import released
from ardm.exact import weights_file
from ardm.exact.weights_file import shifted
from ardm.released import FOLDER, WeightsError
from ardm.window import WEIGHT_MAX

if TYPE_CHECKING:
    import torch

    from ardm.networks import Context

FORMAT = "ardm context weights 1"
TEXT_ID = "a8079a44274388a6"  # of the set that new files are written with
ID_BYTES = 8
EXACT = 2**24  # float32 holds every integer up to here
ONE = 32  # what a neighbour's state counts as
LOGIT_STEPS = 16  # of a nat
EXP_TOP = 2**20  # of the table of exponentials
EXP_COUNT = 256  # 16 nats: e**-16 * 2**20 is below 1
TOTAL = 2**24  # what frequencies add up to


@dataclass(frozen=True)
class ContextConfig:
    """The dials of an integer context network."""

    classes: int
    radius: int  # neighbours on each side
    width: int
    depth: int  # residual blocks

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}.")

    @property
    def unknown(self) -> int:
        """State of a neighbour that is not known."""
        return self.classes

    @property
    def beyond(self) -> int:
        """State of what is beyond an end of the row."""
        return self.classes + 1

    @property
    def states(self) -> int:
        return self.classes + 2


@dataclass(frozen=True, eq=False)
class ContextWeights:
    """One set of integer weights, shared by threads and never written to.

    tensors: `enter` int8 (W, 2 R, states), `hidden` int8 (2 L, W, W), `head` int8 (classes, W); `enter_bias`,
    `hidden_bias`, `head_bias` and `enter_shift`, `hidden_shift`, `head_shift`, int32, one for each row; `exp`
    int32 (256,), of `frequencies`.
    """

    id: str  # first ID_BYTES of the SHA-256 of the file, in hex
    config: ContextConfig
    tensors: Mapping[str, np.ndarray]
    provenance: Mapping[str, Any]


def exponentials() -> np.ndarray:
    """The table of `frequencies`, computed once at export and stored with the weights: int32 (256,)."""
    return np.round(EXP_TOP * np.exp(-np.arange(EXP_COUNT) / LOGIT_STEPS)).astype(np.int32)


def to_integers(net: Context) -> tuple[ContextConfig, dict[str, np.ndarray]]:
    """Configuration and tensors of a network trained with simulated quantisation. Raises WeightsError if a
    bound fails.
    """
    import torch

    from ardm.networks import context_conditions
    from ardm.networks.layers import COND_ONE, INPUT_EXPONENT, weight_exponent
    from ardm.networks.layers import WEIGHT_MAX as TRAINED_MAX

    def whole(x: torch.Tensor, exponent: torch.Tensor) -> np.ndarray:
        return np.asarray((x * torch.exp2(exponent)).round(), np.int64)

    def integers(weight: torch.Tensor, bias: torch.Tensor, entering: int, leaving: Any) -> list[np.ndarray]:
        ew = weight_exponent(weight)
        rows = np.clip(whole(weight, ew[:, None]), -TRAINED_MAX, TRAINED_MAX).astype(np.int8)
        return [
            rows,
            whole(bias, entering + ew).astype(np.int32),
            np.asarray(entering + ew - leaving, np.int32),
        ]

    with torch.no_grad():
        body, space = net.body, net.space
        told = body.cond_out(
            torch.relu(body.cond_in(context_conditions(space, torch.device("cpu")) / COND_ONE))
        )
        layers, entering, more = [], INPUT_EXPONENT, told[0]
        for conv in body.convs():
            layers.append(integers(conv.weight, conv.bias + more, entering, conv.exponent))
            entering, more = int(conv.exponent), torch.zeros(())
        head = integers(net.head, net.head_bias, entering, torch.log2(net.get_buffer("steps")))
    config = ContextConfig(space.classes, net.config.kernel // 2, net.config.width, net.config.blocks)
    tensors = {"exp": exponentials()}
    for part, (first, *hidden, last) in zip(
        ("", "_bias", "_shift"), zip(*layers, head, strict=True), strict=True
    ):
        tensors |= {"enter" + part: first, "hidden" + part: np.stack(hidden), "head" + part: last}
    tensors["enter"] = tensors["enter"].reshape(config.width, 2 * config.radius, config.states)
    check_bounds(config, tensors)
    return config, tensors


def check_bounds(config: ContextConfig, tensors: Mapping[str, np.ndarray]) -> None:
    """Prove shapes, and that no sum can leave the range in which all ways to compute are exact. Raises
    WeightsError.
    """
    w = config.width
    shapes = {
        "enter": (w, 2 * config.radius, config.states),
        "hidden": (2 * config.depth, w, w),
        "head": (config.classes, w),
    }
    rows = {"enter": (w,), "hidden": (2 * config.depth, w), "head": (config.classes,)}
    expected: dict[str, tuple[tuple[int, ...], Any]] = {n: (shape, np.int8) for n, shape in shapes.items()}
    expected |= {f"{name}_{part}": (rows[name], np.int32) for name in rows for part in ("bias", "shift")}
    expected["exp"] = (EXP_COUNT,), np.int32
    weights_file.check_shapes(tensors, expected)
    first, others = int(tensors["exp"][0]), tensors["exp"][1:]
    if others.min() < 0 or first > EXP_TOP or first <= others.max():
        raise WeightsError(f"exp must lie in 0..{EXP_TOP}, and its first number be the greatest.")
    for name in shapes:
        weight, shift = (np.abs(tensors[name + part].astype(np.int64)) for part in ("", "_shift"))
        if weight.max() > WEIGHT_MAX:
            raise WeightsError(
                f"{name}: weights must lie in -{WEIGHT_MAX}..{WEIGHT_MAX}, found {weight.max()}."
            )
        if tensors[name + "_shift"].min() < 0 or shift.max() > 22:
            raise WeightsError(
                f"{name}: shifts must lie in 0..22, found {tensors[name + '_shift'].min()}..{shift.max()}."
            )
        most = ONE * weight.max(-1).sum(-1) if name == "enter" else 255 * weight.sum(-1)
        bound = most + np.abs(tensors[name + "_bias"].astype(np.int64)) + (1 << shift)
        if name == "hidden":
            bound = bound + (255 << shift)
        if bound.max() >= EXACT:
            raise WeightsError(f"{name}: a sum may reach {bound.max()}, the limit is {EXACT}.")


def serialize(
    config: ContextConfig, tensors: Mapping[str, np.ndarray], provenance: Mapping[str, Any]
) -> bytes:
    """The weights file."""
    return weights_file.serialize(FORMAT, config, tensors, provenance)


def parse(data: bytes) -> ContextWeights:
    """Read a weights file. Raises WeightsError if it is not one, or breaks a bound."""

    def make(
        fields: dict[str, Any], tensors: dict[str, np.ndarray], provenance: dict[str, Any]
    ) -> ContextWeights:
        config = ContextConfig(**fields)
        check_bounds(config, tensors)
        return ContextWeights(released.id_of(data, ID_BYTES), config, tensors, provenance)

    return weights_file.parse(data, FORMAT, make)


@lru_cache(maxsize=4)
def load(weights_id: str = TEXT_ID) -> ContextWeights:
    """Weights of the package by id. Raises WeightsError if the package does not have them."""
    return parse(released.read(weights_id, FOLDER))


# ---- the reference -----------------------------------------------------------------------------------------


def reference(weights: ContextWeights, states: np.ndarray) -> np.ndarray:
    """Logits in 1/16 nat, int64 (N, classes), of variables whose neighbours are in these states, int64 (N, 2
    R). Plain int64 NumPy, slow and obvious: what the compiled network is tested against.
    """
    t = {name: values.astype(np.int64) for name, values in weights.tensors.items()}

    rows = t["enter"][:, np.arange(states.shape[1]), states].sum(-1).T
    x = np.clip(shifted(ONE * rows + t["enter_bias"], t["enter_shift"]), 0, 255)
    for i in range(weights.config.depth):
        (a, b), (bias_a, bias_b), (shift_a, shift_b) = (
            t[name][2 * i : 2 * i + 2] for name in ("hidden", "hidden_bias", "hidden_shift")
        )
        y = np.clip(shifted(x @ a.T + bias_a, shift_a), 0, 255)
        x = np.clip(shifted(y @ b.T + bias_b + (x << shift_b), shift_b), 0, 255)
    return shifted(x @ t["head"].T + t["head_bias"], t["head_shift"])


def frequencies(weights: ContextWeights, logits: np.ndarray) -> np.ndarray:
    """What the coder uses: int64 (N, classes), each at least 1, TOTAL in all. logits: of `reference`."""
    drop = np.minimum(logits.max(-1, keepdims=True) - logits, EXP_COUNT - 1)
    mass = weights.tensors["exp"].astype(np.int64)[drop]
    out = 1 + mass * (TOTAL - mass.shape[1]) // mass.sum(-1, keepdims=True)
    out[np.arange(len(out)), mass.argmax(-1)] += TOTAL - out.sum(-1)
    return out
