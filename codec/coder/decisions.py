"""Decisions by counters of hashed contexts and one mixer, which learns: what texts and the recipes of PNG
files are coded with. Knows keys and bits; nothing of what they mean.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import compiled
from codec.coder.arithmetic import LEAST, log, squash
from codec.coder.rangecoder import ONE, code_bit

CONTEXTS = 10  # counters of a decision
RATE = 0.01  # of the mixer's weights
SURE = 1 / 4096  # counters are never surer than this
MOST = 250  # a counter that has seen so many decisions learns no slower


class Decisions(NamedTuple):
    """What is learned from decision to decision."""

    chances: np.ndarray  # float64 (CONTEXTS, slots), of a 1
    seen: np.ndarray  # uint8 (CONTEXTS, slots), how many decisions
    weights: np.ndarray  # float64 (rows, CONTEXTS + 1), of the mixer; the last one weighs advice
    inputs: np.ndarray  # float64 (CONTEXTS + 1,), working memory
    at: np.ndarray  # int64 (CONTEXTS,), working memory


def new_decisions(slots: int, rows: int) -> Decisions:
    """Before anything is learned. slots: a power of two; rows: of the mixer's weights."""
    return Decisions(
        np.full((CONTEXTS, slots), 0.5),
        np.zeros((CONTEXTS, slots), dtype=np.uint8),
        np.full((rows, CONTEXTS + 1), 0.25),
        np.zeros(CONTEXTS + 1),
        np.zeros(CONTEXTS, dtype=np.int64),
    )


@compiled(error_model="numpy", inline="always")
def hashed(key: Any) -> Any:
    """A key, mixed: uint64."""
    mixed = (key ^ (key >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)


@compiled(error_model="numpy")
def decide(
    node: Any,
    choice: Any,
    bit: Any,
    advice: Any,
    keys: Any,
    model: Any,
    coder: Any,
    words: Any,
    decoding: Any,
) -> Any:
    """One decision: writes `bit`, or reads and returns one.

    node: which one of its symbol; choice: row of the mixer's weights; advice: log odds from elsewhere, 0 for
    none; keys: uint64 (CONTEXTS,), what each counter shall depend on. coder, words: as in
    `codec.coder.rangecoder`.
    """
    chances, seen, weights, x, at = model.chances, model.seen, model.weights, model.inputs, model.at
    shift = np.uint64(node) * np.uint64(0x9E3779B97F4A7C15)
    mask = np.uint64(chances.shape[1] - 1)
    x[CONTEXTS] = advice
    total = weights[choice, CONTEXTS] * advice
    for j in range(CONTEXTS):
        at[j] = np.int64((hashed(keys[j] + shift) >> np.uint64(20)) & mask)
        p = chances[j, at[j]]
        x[j] = log(p) - log(1.0 - p)
        total += weights[choice, j] * x[j]
    p = squash(min(max(total, -11.9), 11.9))
    bit = code_bit(coder, words, 0, min(max(int(p * ONE), LEAST), ONE - LEAST), bit, decoding)
    wrong = (bit - p) * RATE
    for j in range(CONTEXTS + 1):
        weights[choice, j] += wrong * x[j]
    for j in range(CONTEXTS):
        n = seen[j, at[j]]
        q = chances[j, at[j]] + (bit - chances[j, at[j]]) / (n + 1.3)
        chances[j, at[j]] = min(max(q, SURE), 1.0 - SURE)
        seen[j, at[j]] = min(n + 1, MOST)
    return bit
