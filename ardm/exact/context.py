"""The integer context network, compiled: parameters of the letters of a call, four at a time. Knows states of
neighbours; no text and no coding.

The integers are those of `ardm.exact.weights`. The first product has one input of each neighbour that is not
0, so it is a sum of rows of a table; the others are `ardm.exact.dense`. Everything is int32 and below 2**24.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import BORROWING, compiled, inlined
from ardm.exact import int32
from ardm.exact.carriers import conditioning
from ardm.exact.dense import LANES, accumulate_four, pack, padded, sum_rows
from ardm.exact.weights import Weights
from ardm.networks import context_states
from ardm.networks.layers import COND_ONE, ONE

BLOCK = 4  # letters that share a load of weights


class ContextNet(NamedTuple):
    """A network, packed for this machine; outputs of every layer padded to 16."""

    sizes: np.ndarray  # int64: radius, states of a neighbour, width, products between hidden layers, outputs
    enter: np.ndarray  # int8, flat: a row of the width for every state of every neighbour
    enter_bias: np.ndarray  # int32, what the conditioning adds included
    enter_shift: np.ndarray  # int32
    hidden: np.ndarray  # packed, one after the other
    hidden_bias: np.ndarray
    hidden_shift: np.ndarray
    head: np.ndarray  # packed
    head_bias: np.ndarray
    head_shift: np.ndarray  # padded, too


class Scratch(NamedTuple):
    rows: np.ndarray  # int64, of the table, one for each neighbour
    sums: np.ndarray  # int32, of BLOCK letters
    stream: np.ndarray  # uint8
    inner: np.ndarray  # uint8


def build(weights: Weights) -> ContextNet:
    """Of a context network."""
    t, model = weights.tensors, weights.model
    width, outputs = padded(model.width, LANES), padded(model.space.parameters, LANES)
    blocks = model.network.blocks

    def wide(weight: np.ndarray, rows: int) -> np.ndarray:
        out = np.zeros((rows, width), np.int8)
        out[: weight.shape[0], : weight.shape[1]] = weight
        return pack(out)

    def long(vector: np.ndarray, count: int) -> np.ndarray:
        return np.pad(vector.astype(np.int32), (0, count - len(vector)))

    told = conditioning(weights, np.full((1, model.cond_size), COND_ONE, np.int64))["enter"][0]
    table = np.zeros((t["enter.weight"].shape[1], width), np.int8)
    table[:, : model.width] = t["enter.weight"].reshape(model.width, -1).T
    names = [f"{kind}.{i}" for i in range(blocks) for kind in ("widen", "project")]
    states = context_states(model.space)
    return ContextNet(
        np.array([model.network.kernel // 2, states, width, len(names), outputs, model.space.parameters]),
        table.reshape(-1),
        long(t["enter.bias"].astype(np.int64) + told, width),
        long(t["enter.shift"], width),
        np.concatenate([wide(t[f"{name}.weight"].reshape(model.width, -1), width) for name in names]),
        np.concatenate([long(t[f"{name}.bias"], width) for name in names]),
        np.concatenate([long(t[f"{name}.shift"], width) for name in names]),
        wide(t["head.weight"][0], outputs),
        long(t["head.bias"][0], outputs),
        long(t["head.shift"][0], outputs),
    )


@inlined(**BORROWING)
def _rounded(total: Any, shift: Any) -> Any:
    """total * 2**-shift, rounded half to even; shift is at least 0."""
    half = int32.sar(int32.shl(np.int32(1), shift), np.int32(1))
    odd = int32.sar(total, shift) & np.int32(1)
    more = int32.add(int32.add(half, odd), np.int32(-1)) if half else np.int32(0)
    return int32.sar(int32.add(total, more), shift)


@inlined(**BORROWING)
def _activate(net_shift: Any, shift_at: Any, work: Any, out: Any, width: Any, residual: Any) -> None:
    """out = clamp(sums (+ out << shift) >> shift, 0, 255), of BLOCK letters."""
    for p in range(BLOCK):
        for o in range(width):
            shift, total = net_shift[shift_at + o], work.sums[p * width + o]
            if residual:
                total = int32.add(total, int32.shl(np.int32(out[p * width + o]), shift))
            value = _rounded(total, shift)
            out[p * width + o] = min(max(value, np.int32(0)), np.int32(255))


@inlined(**BORROWING)
def _enter(net: Any, row: Any, at: Any, work: Any, to: Any) -> None:
    """Sums of the first product of the letter at `at` of the row, to sums[to ...]."""
    radius, states, width = net.sizes[0], net.sizes[1], net.sizes[2]
    for d in range(2 * radius):
        neighbour = at + d if d < radius else at + d + 1
        work.rows[d] = (d * states + row[neighbour]) * width
    sum_rows(net.enter, work.rows, np.int32(ONE), width, net.enter_bias, work.sums, to)


@compiled(boundscheck=False, **BORROWING)
def evaluate(net: Any, row: Any, where: Any, work: Any, params: Any) -> None:
    """Parameters int32, flat, of the letters `where`, int64 (N,). row: uint8 (radius + n + radius,), states
    of all letters, and of what is beyond an end.
    """
    width, products, padded_outputs, outputs = net.sizes[2], net.sizes[3], net.sizes[4], net.sizes[5]
    sums, count = work.sums, where.shape[0]
    for first in range(0, count, BLOCK):
        rows = min(BLOCK, count - first)
        for p in range(rows):
            _enter(net, row, where[first + p], work, p * width)
        _activate(net.enter_shift, 0, work, work.stream, width, False)
        for i in range(products):
            second = i & 1
            source = work.inner if second else work.stream
            accumulate_four(
                source,
                0,
                width,
                net.hidden,
                i * width * width,
                width,
                width,
                net.hidden_bias,
                i * width,
                0,
                sums,
                width,
            )
            if second:
                _activate(net.hidden_shift, i * width, work, work.stream, width, True)
            else:
                _activate(net.hidden_shift, i * width, work, work.inner, width, False)
        accumulate_four(
            work.stream,
            0,
            width,
            net.head,
            0,
            width,
            padded_outputs,
            net.head_bias,
            0,
            0,
            sums,
            padded_outputs,
        )
        for p in range(rows):
            for o in range(outputs):
                params[(first + p) * outputs + o] = _rounded(sums[p * padded_outputs + o], net.head_shift[o])


class CompiledContext:
    """Answers of a context network. Thread-safe."""

    def __init__(self, weights: Weights) -> None:
        self.net = build(weights)
        self.radius, self.beyond = weights.model.network.kernel // 2, context_states(weights.model.space) - 1

    @staticmethod
    def suits(weights: Weights) -> bool:
        """Whether this way has room for its states, and no sum is made larger by its shift."""
        least = min(int(t.min()) for name, t in weights.tensors.items() if name.endswith(".shift"))
        return context_states(weights.model.space) <= 256 and least >= 0

    def __call__(self, states: np.ndarray, where: np.ndarray) -> np.ndarray:
        """Parameters int32 (N, P) of the letters `where`, int64 (N,). states: (n,), of all letters."""
        row = np.pad(states.astype(np.uint8), self.radius, constant_values=self.beyond)
        _, _, width, _, padded_outputs, outputs = self.net.sizes.tolist()
        work = Scratch(
            np.zeros(2 * self.radius, np.int64),
            np.zeros(BLOCK * max(width, padded_outputs), np.int32),
            np.zeros(BLOCK * width, np.uint8),
            np.zeros(BLOCK * width, np.uint8),
        )
        params = np.empty(len(where) * outputs, np.int32)
        evaluate(self.net, row, np.ascontiguousarray(where), work, params)
        return params.reshape(-1, outputs)
