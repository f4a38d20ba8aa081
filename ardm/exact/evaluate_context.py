"""The integer context network, compiled: logits of the letters of a call, four at a time. Knows states of
neighbours; no text and no coding.

The first product has one input of each neighbour that is not 0, so it is a sum of rows of a table. Everything
is int32 and below 2**24; nothing here rounds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import BORROWING, internal
from ardm.exact.context import ONE, ContextWeights
from ardm.exact.dense import (
    LANES,
    accumulate_four,
    activate,
    activate_more,
    lengthened,
    packed_layers,
    padded,
    shifted_sum,
    sum_rows,
)

BLOCK = 4  # letters that share a load of weights


class ContextNet(NamedTuple):
    """A network, packed for this machine; outputs of every layer padded to 16."""

    sizes: np.ndarray  # int64: radius, states of a neighbour, width, depth, outputs (padded), outputs
    enter: np.ndarray  # int8, flat: a row of the width for every state of every neighbour
    enter_bias: np.ndarray  # int32, as all biases and shifts
    enter_shift: np.ndarray
    hidden: np.ndarray  # packed, one after the other
    hidden_bias: np.ndarray
    hidden_shift: np.ndarray
    head: np.ndarray  # packed
    head_bias: np.ndarray
    head_shift: np.ndarray


class ContextScratch(NamedTuple):
    """Working memory of one thread."""

    rows: np.ndarray  # int64, of the table, one for each neighbour
    sums: np.ndarray  # int32, of BLOCK letters
    stream: np.ndarray  # uint8
    inner: np.ndarray  # uint8


def build_context(weights: ContextWeights) -> ContextNet:
    t, config = weights.tensors, weights.config
    width, outputs = padded(config.width, LANES), padded(config.classes, LANES)

    table = np.zeros((2 * config.radius, config.states, width), np.int8)
    table[..., : config.width] = np.moveaxis(t["enter"], 0, -1)
    return ContextNet(
        np.array([config.radius, config.states, width, config.depth, outputs, config.classes], np.int64),
        table.reshape(-1),
        lengthened(t["enter_bias"], width),
        lengthened(t["enter_shift"], width),
        *packed_layers(t, width, outputs),
    )


def context_scratch(net: ContextNet) -> ContextScratch:
    radius, _, width, _, outputs, _ = net.sizes.tolist()
    return ContextScratch(
        np.zeros(2 * radius, np.int64),
        np.zeros(BLOCK * max(width, outputs), np.int32),
        np.zeros(BLOCK * width, np.uint8),
        np.zeros(BLOCK * width, np.uint8),
    )


@internal(boundscheck=False, **BORROWING)
def _enter(net: Any, row: Any, at: Any, work: Any, p: Any) -> None:
    """The first layer of the letter at `at` of the row, into row p of the scratch."""
    radius, states, width = net.sizes[0], net.sizes[1], net.sizes[2]
    for d in range(2 * radius):
        neighbour = at + d if d < radius else at + d + 1
        work.rows[d] = (d * states + row[neighbour]) * width
    sum_rows(net.enter, work.rows, np.int32(ONE), width, net.enter_bias, work.sums, p * width)
    for o in range(0, width, LANES):
        activate(work.sums, p * width + o, net.enter_shift, o, work.stream, p * width + o)


@internal(boundscheck=False, **BORROWING)
def evaluate_context(net: Any, row: Any, first: Any, step: Any, count: Any, work: Any, logits: Any) -> None:
    """Logits int32, flat, of `count` letters, at `first` and every `step` from there.

    row: uint8 (R + n + R,), states of all letters, and of what is beyond an end.
    """
    width, depth, padded_outputs, outputs = net.sizes[2], net.sizes[3], net.sizes[4], net.sizes[5]
    sums, stream, inner = work.sums, work.stream, work.inner
    for m in range(0, count, BLOCK):
        rows = min(BLOCK, count - m)
        for p in range(rows):
            _enter(net, row, first + (m + p) * step, work, p)
        for i in range(2 * depth):
            second, at = i & 1, i * width
            accumulate_four(
                inner if second else stream,
                0,
                width,
                net.hidden,
                at * width,
                width,
                width,
                net.hidden_bias,
                at,
                0,
                sums,
                width,
            )
            for p in range(0, BLOCK * width, LANES):
                if second:
                    activate_more(sums, p, net.hidden_shift, at + p % width, stream, p)
                else:
                    activate(sums, p, net.hidden_shift, at + p % width, inner, p)
        accumulate_four(
            stream, 0, width, net.head, 0, width, padded_outputs, net.head_bias, 0, 0, sums, padded_outputs
        )
        for p in range(rows):
            for o in range(outputs):
                logits[(m + p) * outputs + o] = shifted_sum(sums[p * padded_outputs + o], net.head_shift[o])
