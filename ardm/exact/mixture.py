"""The mixture of logistics of a pixel in integers, compiled: cumulative distributions, digit by digit. Knows
no network and no coder.

Parameters arrive as integers (`ardm.likelihood`): logit in 1/16 nat, mean in 1/32 level, log2_scale in 1/16
octave, slope in 1/128. For one channel of one pixel, with S the sigmoid table and weights 1..1023,

    F(e) = sum_k weight[k] * S[((32 e - 16 - center[k]) * inverse[k] >> 9) + 3072] + 64 e    edges 0 < e < 256
    F(0) = 0,  F(256) = sum_k weight[k] * 2**16 + 64 * 256
    mass of the value v = F(v + 1) - F(v) >= 64

A value is coded as four base-4 digits, most significant first. The digit that splits [low, high) into
quarters at e1, e2, e3 has

    cut[j] = (F(e_j) - F(low)) * (2**24 - 4) // (F(high) - F(low)),    cut[0] = 0,  cut[4] = 2**24 - 4
    frequency[j] = cut[j + 1] - cut[j] + 1                              >= 1, and the four add up to 2**24

F stays below 2**28.4, so that every product here stays below 2**53.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import BORROWING, compiled, inlined
from ardm.units import (
    CDF_HALF,
    CDF_ONE,
    CENTER_MAX,
    CENTER_MIN,
    CODING_ORDER,
    FLOOR,
    INVERSE_SHIFT,
    MEAN_STEPS,
    PER_COMPONENT,
    SCALE_COUNT,
    SCALE_LOW,
    SLOPE_MAX,
    WEIGHT_TOP,
)

SPAN = 2**24 - 4
DIGITS = 4  # of a value, in base 4
LEVELS = 256


class Tables(NamedTuple):
    """The look-up tables of `ardm.units.make_tables` that distributions need."""

    sigmoid: np.ndarray  # int32
    weight: np.ndarray  # int32
    inverse: np.ndarray  # int32


class State(NamedTuple):
    """Where N pixels are, each at the same digit of the same channel. int32; pixels side by side, so that
    processors take several at once.
    """

    weight: np.ndarray  # (K, N), of the components
    center: np.ndarray  # (K, N), plus half a level
    inverse: np.ndarray  # (K, N)
    residual: np.ndarray  # (2, N), pixel - base of the channels before
    total: np.ndarray  # (N,), F(256)
    low: np.ndarray  # (N,), of the interval, a value
    at: np.ndarray  # (5, N), F there, at the three edges within, and at the upper end
    share: np.ndarray  # (N,), room: S of one component at one edge


def tables_of(tables: dict[str, np.ndarray]) -> Tables:
    """From those of a weights file."""
    return Tables(*(np.ascontiguousarray(tables[name], np.int32) for name in Tables._fields))


def new_state(count: int, mixture: int) -> State:
    """Room for so many pixels."""
    rows = {"weight": mixture, "center": mixture, "inverse": mixture, "residual": 2, "at": 5}
    return State(
        *(np.zeros((rows[name], count) if name in rows else count, np.int32) for name in State._fields)
    )


@compiled(**BORROWING)
def start_pixels(state: Any, params: Any, count: int, tables: Any) -> None:
    """Weights of the components of `count` pixels. params: int32 (N, 10 K)."""
    k = state.weight.shape[0]
    for n in range(count):
        top = params[n, 0]
        for i in range(1, k):
            top = max(top, params[n, i])
        for i in range(k):
            state.weight[i, n] = tables.weight[min(top - params[n, i], len(tables.weight) - 1)]


@compiled(**BORROWING)
def start_channel(
    state: Any, params: Any, base: Any, step: int, channel: int, count: int, tables: Any
) -> None:
    """Go to a channel, the `step`-th in coding order. base: int16 (N, 3), RGB."""
    k = state.weight.shape[0]
    for n in range(count):
        state.total[n] = FLOOR * LEVELS
    for i in range(k):
        weight, center, inverse = state.weight[i], state.center[i], state.inverse[i]
        for n in range(count):
            mean = params[n, k * (1 + step) + i] + np.int32(base[n, channel]) * np.int32(MEAN_STEPS)
            for j in range(step):
                slope = min(max(params[n, k * (6 + step + j) + i], np.int32(-SLOPE_MAX)), np.int32(SLOPE_MAX))
                mean += np.int32(slope * state.residual[j, n]) >> np.int32(2)
            index = min(max(params[n, k * (4 + step) + i] - SCALE_LOW, 0), SCALE_COUNT - 1)
            center[n] = min(max(mean, CENTER_MIN), CENTER_MAX) + MEAN_STEPS // 2
            inverse[n] = tables.inverse[np.uint32(index)]
            state.total[n] += weight[n] * CDF_ONE
    for n in range(count):
        state.low[n], state.at[0, n], state.at[4, n] = 0, 0, state.total[n]


@inlined(**BORROWING)
def _place(edge: Any, center: Any, inverse: Any) -> Any:
    """Where S of a component at an edge, in 1/32 level, is looked up. All is below 2**30."""
    u = np.int32(np.int32(edge - center) * inverse) >> np.int32(INVERSE_SHIFT)
    return min(max(u, np.int32(-CDF_HALF)), np.int32(CDF_HALF - 1)) + np.int32(CDF_HALF)


@inlined(**BORROWING)
def _component(state: Any, n: Any, i: Any, edge: Any, tables: Any) -> Any:
    """S of a component at an inner edge."""
    place = _place(np.int32(edge * MEAN_STEPS), state.center[i, n], state.inverse[i, n])
    return np.int64(tables.sigmoid[np.uint32(place)])


@compiled(**BORROWING)
def cdf(state: Any, n: int, edge: int, tables: Any) -> int:
    """F of pixel n at an edge 0..256."""
    if edge == 0:
        return np.int64(0)
    if edge == LEVELS:
        return np.int64(state.total[n])
    total = np.int64(FLOOR * edge)
    for i in range(state.weight.shape[0]):
        total += state.weight[i, n] * _component(state, n, i, edge, tables)
    return total


@compiled(boundscheck=False, **BORROWING)
def split(state: Any, size: int, count: int, tables: Any, weights: Any) -> None:
    """Frequencies minus one of the four parts, `size` values each, of the intervals of `count` pixels:
    float32 (N, 4).

    `cdf` at three edges, one step at a time for all pixels: vectors of numbers, but for looking up. Quotients
    are of integers below 2**53 and 2**29, and below 2**24 themselves: rounded to 53 bits they never reach the
    next integer, so that they may be cut.
    """
    low, share = state.low, state.share
    for j in range(1, 4):
        edges = state.at[j]
        for n in range(count):
            edges[n] = FLOOR * (low[n] + j * size)
    for i in range(state.weight.shape[0]):
        weight, center, inverse = state.weight[i], state.center[i], state.inverse[i]
        for j in range(1, 4):
            edges, further = state.at[j], np.int32(j * size * MEAN_STEPS)
            for n in range(count):
                edge = np.int32(np.int32(low[n] * np.int32(MEAN_STEPS)) + further)
                share[n] = _place(edge, center[n], inverse[n])
            for n in range(count):
                share[n] = tables.sigmoid[np.uint32(share[n])]
            for n in range(count):
                edges[n] += np.int32(weight[n] * share[n])
    first, f1, f2, f3, last = state.at[0], state.at[1], state.at[2], state.at[3], state.at[4]
    for n in range(count):
        lower, span = first[n], np.float64(last[n] - first[n])
        c1 = np.int32(np.float64(f1[n] - lower) * SPAN / span)
        c2 = np.int32(np.float64(f2[n] - lower) * SPAN / span)
        c3 = np.int32(np.float64(f3[n] - lower) * SPAN / span)
        weights[n, 0], weights[n, 1], weights[n, 2], weights[n, 3] = c1, c2 - c1, c3 - c2, SPAN - c3


@compiled(**BORROWING)
def take(state: Any, size: int, digits: Any, count: int) -> None:
    """Go into the parts `digits`, int32 (N,), of the intervals."""
    for n in range(count):
        d = digits[n]
        state.at[0, n], state.at[4, n] = state.at[d, n], state.at[d + 1, n]
        state.low[n] += d * size


@compiled(boundscheck=False, **BORROWING)
def finish_channel(state: Any, base: Any, step: int, channel: int, count: int, tables: Any) -> None:
    """Reweight the components by the mass they gave to the values, which `low` has become."""
    k = state.weight.shape[0]
    for n in range(count):
        value = state.low[n]
        if step < 2:
            state.residual[step, n] = value - base[n, channel]
        heaviest = np.int64(1)
        for i in range(k):
            below = np.int64(0) if value == 0 else _component(state, n, i, value, tables)
            above = np.int64(CDF_ONE) if value == LEVELS - 1 else _component(state, n, i, value + 1, tables)
            state.weight[i, n] *= above - below + 1  # < 2**27
            heaviest = max(heaviest, np.int64(state.weight[i, n]))
        for i in range(k):  # a quotient as in `split`
            part = np.int32(np.float64(state.weight[i, n]) * WEIGHT_TOP / np.float64(heaviest))
            state.weight[i, n] = max(part, np.int32(1))


def information(
    params: np.ndarray, base: np.ndarray, values: np.ndarray, tables: Tables, channels: int = 3
) -> np.ndarray:
    """Bits that pixels cost under their integer distributions, which is what the range coder spends up to
    rounding: float64 (channels, N), in coding order.

    params: int32 (N, 10 K); base: int16 (N, 3); values: uint8 (N, 3), RGB.
    """
    n = len(params)
    state, out = new_state(n, params.shape[1] // PER_COMPONENT), np.empty((channels, n))
    start_pixels(state, params, n, tables)
    for step, c in enumerate(CODING_ORDER[:channels]):
        start_channel(state, params, base, step, c, n, tables)
        for i in range(n):
            value = int(values[i, c])
            mass = cdf(state, i, value + 1, tables) - cdf(state, i, value, tables)
            out[step, i] = -np.log2(mass / state.total[i])
            state.low[i] = value
        finish_channel(state, base, step, c, n, tables)
    return out
