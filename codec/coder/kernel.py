"""The compiled heart of the mixing coder: codes one phase of pixels, one binary decision after another, and
learns from each.

Knows arrays of numbers only; `codec.coder.mixing` prepares them. Specified in docs/format/mixing.md.

A pixel's channels are coded G, R, B; a value as eight decisions, the most significant bit first. Every
decision is predicted by 8 models, by 11 for graphics, by 24 with the network in raster order; their log-odds
are mixed by five gated logistic mixers (Mattern 2012; lpaq) and refined by two adaptive tables, then coded:

    network       the network's mixture of logistics; the same, moved by the least-squares correction
    experts       single logistics around the corrected mean and, without the network, around sums of
                  neighbours, as wide as their errors nearby were
    counters      how often the bit was 1 after the same earlier channels of the pixel; the same with the
                  corrected mean; with the network also after the same neighbour, of which less its G counts
                  where G is known, and without it after the same neighbours
    candidates    without the network: values that may be repeated, as sure as the same kind of candidate was
                  right in the same surroundings
    histograms    with the network, in raster order: how far simple predictions were off
                  (`codec.coder.guesses`)

Its arithmetic is as exact as that of `codec.coder.arithmetic`, whose rules hold here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from ardm.compiled import BORROWING, compiled, inlined
from ardm.exact.evaluate import BLOCK, finish_block, gather_raster
from ardm.units import CENTER_MAX, CENTER_MIN, CODING_ORDER, MEAN_STEPS, SCALE_COUNT, SCALE_LOW, SLOPE_MAX
from codec.coder.arithmetic import LEAST, PAD, log, rounded, sigmoid, solve, squash
from codec.coder.counters import EAGER, SLOW, counted, log_odds
from codec.coder.guesses import (
    GUESSES,
    SPOTS,
    Guesses,
    find_histograms,
    histogram_inputs,
    learn_guesses,
    new_guesses,
    take_bit,
)
from codec.coder.lanes import add_times, dot
from codec.coder.rangecoder import ONE, code_bit

INPUTS = 8
EXPERTS = 4  # without the network; with it there is one. Counters take the inputs that are left free
COUNTERS = 5  # most of them
NORTH, WEST, NORTH_EAST = 0, 1, 3  # in raster order, among the nearest known pixels
MIXTURE = 5  # most logistic components
BATCH = 4  # pixels learned from at once
FIRST_FIT, EARLY = 64, 1024
# pixels between two solutions of the least-squares problem, among the first EARLY and later
REFIT_EARLY, REFIT = 32, 96
CONTEXTS, SPREADS, SEEN, COLORS = 16, 16, 36, 64  # contexts of the tables and mixers
STRIPS, STRIP_BITS = 128, 4  # contexts of a mixer: strips of 16 columns, which repeat; or places in a block
BITS = 24  # of a pixel
MIXERS = 5  # each with weights chosen by another context
SHARED = BITS * SPREADS + 3 * SPOTS * (SPREADS + CONTEXTS)  # rows of weights of the first three mixers
ROWS = SHARED + 3 * (COLORS + STRIPS)  # of weights, with the network
GRAPHICS_ROWS = SHARED + BITS * (SEEN + COLORS)
CANDIDATES, MORE = 3, 4  # values that graphics may repeat; inputs of them, one of which says nothing
AGREEMENTS = 384  # contexts of whether a candidate is right
RUN = 15  # pixels that a match has been right, in these contexts at most
RECENT = 8  # rows since a change that count as few
APM_CELLS = 40

# at which mixers learn, at first and in the end: such as start from nothing, from what training taught them
# (a picture may be unlike it), and those without the network
LEARNING_RATES, TRAINED_RATES, GRAPHICS_RATES = (0.005, 0.005), (0.01, 0.0015), (0.02, 0.002)
FALL, GRAPHICS_FALL = 4000.0, 30000.0  # pixels after which the rate is halfway, with the network and without
FORGET = 1 / 0.9997
RIDGE = 1.0
CORRECTION_MAX = 64.0
APM_RATE = 0.008
WIDTH = 0.65  # width of an expert's logistic over its mean absolute error
# counters learn no slower once they have seen so many bits; with the network, and without
COUNT_MAX, EAGER_MAX = 250, 90
CERTAIN = 0.001
PLACE, LOWER_HALF = np.uint64(7919), np.uint64(0x2545F4914F6CDD1D)  # multipliers of hashes


def _inverse() -> np.ndarray:
    """128 over the scale of a logistic."""
    inverse = [
        rounded(lambda number, i=i: 2 ** (-number(i) / 16) * 128 * 2**20) / 2**20
        for i in range(SCALE_LOW, SCALE_LOW + SCALE_COUNT)
    ]
    return np.array(inverse)


INVERSE = _inverse()
LEVEL = np.array([min(i, 3) if i < 6 else 4 if i < 16 else 5 for i in range(256)])


@inlined(**BORROWING)
def _slot(key: Any, slots: Any) -> Any:
    """First of the 16 counters of a context and half a value."""
    mixed = key * np.uint64(0x9E3779B97F4A7C15)
    return (
        ((mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(30)) & slots
    ) << np.uint64(4)


@intrinsic
def _prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of array[index] before it is needed. Without it, waiting for counters was a
    quarter of the time.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        pointer = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, *[ir.IntType(32)] * 3])
        write, keep, is_data = ir.IntType(32)(1), ir.IntType(32)(3), ir.IntType(32)(1)
        builder.call(
            cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0"),
            [pointer, write, keep, is_data],
        )
        return context.get_dummy_value()

    return types.void(array, index), generate


if config.DISABLE_JIT:

    def _prefetch(array: Any, index: Any) -> None:
        """There is nothing to ask for in Python."""


class Phase(NamedTuple):
    """Which pixels are coded, and what is known around them. A pixel (i, j) of the phase is the pixel
    (place[0] + i * place[2], place[1] + j * place[2]) of the stage.
    """

    channels: int  # 1 or 3 of each pixel, in coding order
    kind: int  # of the phase: which table refines
    place: tuple[int, int, int]
    shape: tuple[int, int]  # of the stage
    wave: tuple[
        int, int
    ]  # rows are coded in strips of wave[0], each row wave[1] pixels behind the one above it
    own: np.ndarray  # int64 (n, 2), offsets of known neighbours, nearest first
    cross: int  # the first so many of them are looked at in the other channels too
    near: np.ndarray  # int64 (m, 2), offsets at which errors are known
    mean_of: np.ndarray  # int64 (experts - 1, 4): quarters of the first four neighbours
    rates: tuple[float, float]  # at which mixers learn, at first and in the end
    histograms: bool  # whether simple predictions are asked, too
    blocks: bool  # whether the picture was made of blocks, its colours of fewer samples
    origin: tuple[int, int]  # rows and columns of the first block that are not in the picture


class Planes(NamedTuple):
    """What is known of a stage, with PAD samples around it."""

    pixel: np.ndarray  # int16 (3, h + 2 PAD, w + 2 PAD): known values, and the base elsewhere
    error: np.ndarray  # int16 (h + 2 PAD, w + 2 PAD, 3)
    expert_error: np.ndarray  # int16 (h + 2 PAD, w + 2 PAD, 3, experts)


class Learned(NamedTuple):
    """What a plane's decisions have taught so far."""

    # float64 (ROWS, INPUTS + GUESSES) or (GRAPHICS_ROWS, INPUTS + MORE), of all mixers, one after the other
    weights: np.ndarray
    by_context: np.ndarray  # float64 (3, 8, CONTEXTS, APM_CELLS), refines
    by_kind: np.ndarray  # float64 (kinds, 3, 8, SPREADS, APM_CELLS), refines
    counters: np.ndarray  # uint32 (3, COUNTERS, slots)
    agreed: np.ndarray  # uint32 (3, CANDIDATES, AGREEMENTS, 8), how often a candidate's bit was right
    places: np.ndarray  # uint32 (slots,), where the pixels around were the same last


class Fitted(NamedTuple):
    """The least-squares correction of a phase, float64 but for `seen`. Axis 0: channels in coding order."""

    matrix: np.ndarray  # (3, n, n)
    vector: np.ndarray  # (3, n)
    solution: np.ndarray  # (3, n)
    seen: np.ndarray  # int64 (3, 1), pixels
    gain: np.ndarray  # (3, 1)
    features: np.ndarray  # (3, BATCH + 1, n), of pixels not learned from yet
    feature_weight: np.ndarray  # (3, BATCH)
    target: np.ndarray  # (3, BATCH)
    innovation: np.ndarray  # (3, rows + 1, columns + 2), value - corrected mean


class Network(NamedTuple):
    """What the network says: `params` of all pixels; or, where empty, `net` is asked in raster order."""

    components: int  # logistics of a pixel; 0: there is no network
    params: np.ndarray  # int32, flat (N 10 K)
    weight_of: np.ndarray  # float64, by how far a logit is below the highest one
    deviation_of: np.ndarray  # float64, by scale
    net: Any  # `ardm.exact.evaluate.Net`
    scratch: Any
    canvas: Any  # `ardm.exact.evaluate.Canvas`, what it sees
    block: np.ndarray  # int32, parameters of BLOCK pixels


class Stream(NamedTuple):
    """One end of a plane's words."""

    decoding: bool
    truth: np.ndarray  # int16 (3, h, w) when encoding
    coder: np.ndarray  # uint64 (1, 4) or more (`codec.coder.rangecoder`)
    words: np.ndarray  # uint32 (1, n)


class Room(NamedTuple):
    """Working memory of a phase; float64 where nothing else is said."""

    work: np.ndarray  # (n, n + 4), where n features are fitted
    weight: np.ndarray  # (MIXTURE,), of the network's logistics
    center: np.ndarray  # their centers
    moved: np.ndarray  # the same, corrected
    inverse: np.ndarray  # 128 over their scales
    around: np.ndarray  # (3, neighbours), values at `Phase.own`
    mean_at: np.ndarray  # (EXPERTS,), what each expects
    sharp: np.ndarray  # 128 over the scale of its logistic
    below: np.ndarray  # its sigmoid at the lower end of the interval
    above: np.ndarray  # at the upper end
    middle: np.ndarray  # where the next decision cuts
    sums: np.ndarray  # int64, of its errors nearby
    x: np.ndarray  # (INPUTS + GUESSES,), log-odds; 0 beyond those that there are
    residuals: np.ndarray  # int64 (3,), value - base of the channels so far
    hashed: np.ndarray  # uint64 (COUNTERS,), keys of the counters' contexts
    slot: np.ndarray  # uint64 (COUNTERS,), where they are
    own_at: np.ndarray  # int64, `Phase.own` in a flat plane
    near_at: np.ndarray  # int64, `Phase.near`
    rate: np.ndarray  # (1,), at which mixers learn in this row
    mixed: np.ndarray  # (MIXERS + 1,), of a decision: log-odds by the mixers; place between two cells
    features: np.ndarray  # `Fitted.features`, flat
    solution: np.ndarray  # `Fitted.solution`, flat
    candidate: np.ndarray  # int64 (CANDIDATES,), values: above, to the left, at the match (-1: none)
    right: np.ndarray  # int64 (CANDIDATES,), in the channels so far: 1 in all, 2 not; 0: the first
    agreed_at: np.ndarray  # uint64 (CANDIDATES,), where `Learned.agreed` counts for them
    # int64 (4,): a place in a flat plane, 0: none; pixels that it has been right; slot of `places`; its
    # column
    match: np.ndarray
    # int64 (columns,): 1 + the row in which a pixel last was unlike the one to its left; 0: none
    changed: np.ndarray
    new_row: np.ndarray  # int64 (1,), 1 once a pixel of this row was unlike the one above it
    rows: np.ndarray  # uint64 (MIXERS,): of a decision, first weights of the mixers
    cells: np.ndarray  # uint64 (3,): cells of both tables, node of the counters
    guesses: Guesses  # of one phase, since only raster order has them


def new_room(fitted: Fitted, phase: Phase) -> Room:
    """For a phase."""
    features = fitted.matrix.shape[2]
    neighbours = len(phase.own)
    stride = phase.shape[1] + 2 * PAD
    return Room(
        np.zeros((features, features + 4)),
        *np.zeros((4, 16)),
        np.zeros((3, neighbours)),
        *np.zeros((5, 16)),
        np.zeros(EXPERTS, dtype=np.int64),
        np.zeros(INPUTS + GUESSES),
        np.zeros(3, dtype=np.int64),
        np.zeros(COUNTERS, dtype=np.uint64),
        np.zeros(COUNTERS, dtype=np.uint64),
        phase.own[:, 0] * stride + phase.own[:, 1],
        phase.near[:, 0] * stride + phase.near[:, 1],
        np.zeros(1),
        np.zeros(MIXERS + 1),
        fitted.features.reshape(-1),
        fitted.solution.reshape(-1),
        np.zeros(CANDIDATES, dtype=np.int64),
        np.zeros(CANDIDATES, dtype=np.int64),
        np.zeros(CANDIDATES, dtype=np.uint64),
        np.zeros(4, dtype=np.int64),
        np.zeros(phase.shape[1], dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        np.zeros(MIXERS, dtype=np.uint64),
        np.zeros(3, dtype=np.uint64),
        new_guesses(phase.wave[0] if phase.histograms else 0, phase.shape[1]),
    )


@inlined(**BORROWING)
def _learn_batch(fitted: Any, s: Any, n: Any) -> None:
    """Add BATCH pixels of channel s to the sums of the least-squares problem, n features each."""
    matrix, vector, _, _, _, features, feature_weight, target, _ = fitted
    size_f = matrix.shape[2]
    f, matrix_flat = features.reshape(-1), matrix.reshape(-1)
    f0, line = np.uint64(s * features.shape[1] * size_f), np.uint64(size_f)
    for i in range(n):
        g = f0 + np.uint64(i)
        a0, a1 = f[g] * feature_weight[s, 0], f[g + line] * feature_weight[s, 1]
        a2 = f[g + line + line] * feature_weight[s, 2]
        a3 = f[g + line + line + line] * feature_weight[s, 3]
        h = np.uint64((s * matrix.shape[1] + i) * size_f)
        for k in range(i & ~3, size_f):
            j = np.uint64(k)
            g = f0 + j
            matrix_flat[h + j] = (
                matrix_flat[h + j]
                + a0 * f[g]
                + a1 * f[g + line]
                + a2 * f[g + line + line]
                + a3 * f[g + line + line + line]
            )
        vector[s, i] = (
            vector[s, i] + a0 * target[s, 0] + a1 * target[s, 1] + a2 * target[s, 2] + a3 * target[s, 3]
        )


@compiled(**BORROWING)
def refit(fitted: Any, s: Any, n: Any, work: Any) -> None:
    """Solve the least-squares problem of channel s. Older pixels count less: newer ones came with more
    gain.
    """
    matrix, vector, solution, _, gain, _, _, _, _ = fitted
    back = 1.0 / gain[s, 0]
    for i in range(n):
        vector[s, i] *= back
        for j in range(i, n):
            matrix[s, i, j] *= back
    gain[s, 0] = 1.0
    for i in range(n):
        matrix[s, i, i] += RIDGE
    solve(matrix[s], vector[s], n, solution[s], work)
    for i in range(n):
        matrix[s, i, i] -= RIDGE


class Layout(NamedTuple):
    """Numbers that stay the same for a phase."""

    channels: int
    components: int  # logistics of the network, 0 without it
    experts: int
    first: int  # input of the first expert
    counts: int  # counters
    kind: int  # of the phase
    step: int
    stride: int  # of a row of samples
    plane: int  # of a channel
    columns: int  # of the phase
    counters: int  # uint64, in a table
    cross: int  # `Phase.cross`
    histograms: bool  # `Phase.histograms`
    blocks: bool  # `Phase.blocks`
    origin: tuple[int, int]  # `Phase.origin`
    inputs: int  # of a mixer, a multiple of 4
    row: int  # weights of a row of `Learned.weights`


class At(NamedTuple):
    """The pixel at hand."""

    r: int  # row and column of the phase
    q: int
    row: int  # of the stage
    column: int
    here: int  # in a flat plane
    of_pixel: int  # its first number of the network's


@inlined(**BORROWING)
def _ask(r: Any, q: Any, last_row: Any, slope: Any, columns: Any, network: Any) -> None:
    """Ask the network for this row's pixel and those of the next rows, all of whose windows are known."""
    for i in range(min(BLOCK, last_row - r)):
        if 0 <= q - slope * i < columns:
            gather_raster(network.net, network.canvas, r + i, q - slope * i, network.scratch, i)
    finish_block(network.net, network.scratch, network.block, 0, BLOCK)


@inlined(**BORROWING)
def _start_row(r: Any, rates: Any, layout: Any, pixel: Any, room: Any) -> None:
    """How fast mixers learn; and beyond the edge stands what a decoder knows already."""
    at_first, in_the_end = rates
    fall = FALL if layout.components else GRAPHICS_FALL
    room.new_row[0] = 0
    room.rate[0] = in_the_end + (at_first - in_the_end) * (fall / (fall + r * layout.columns))
    for s in range(layout.channels if layout.step == 1 else 0):
        edge = CODING_ORDER[s] * layout.plane + (r + PAD) * layout.stride
        for i in range(PAD):
            pixel[edge + i] = pixel[edge - layout.stride + PAD]


@inlined(**BORROWING)
def _right_edge(r: Any, layout: Any, pixel: Any) -> None:
    """The same beyond the other edge, for the row below."""
    for s in range(layout.channels):
        edge = CODING_ORDER[s] * layout.plane + (r + PAD + 1) * layout.stride
        for i in range(PAD):
            pixel[edge - 1 - i] = pixel[edge - 1 - PAD]


@inlined(**BORROWING)
def _find_match(at: Any, layout: Any, pixel: Any, places: Any, room: Any) -> None:
    """Where the pixels around were the same before: the match of the pixel before, one on, as long as it is
    right; else the last place that had the same pixels around it.
    """
    match, here, stride = room.match, at.here, layout.stride
    key = np.uint64(0)
    for s in range(layout.channels):
        c = CODING_ORDER[s] * layout.plane + here
        for place in (c - 1, c - 2, c - stride, c - stride - 1, c - stride + 1, c - 2 * stride):
            key = (key + np.uint64(int(pixel[place])) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(32)
    match[2] = np.int64((key >> np.uint64(20)) & np.uint64(len(places) - 1))
    match[0], match[3] = match[0] + 1, match[3] + 1
    if not match[1] or not at.q or match[3] == layout.columns:
        match[0], match[1] = np.int64(places[match[2]]), 0
        match[3] = np.int64(np.uint64(match[0]) % np.uint64(stride)) - PAD


@inlined(**BORROWING)
def _start_pixel(at: Any, layout: Any, pixel: Any, values: Any, places: Any, network: Any, room: Any) -> None:
    """Weights of the network's logistics, or a base and a match without it; the values around."""
    weight, around, weight_of = room.weight, room.around, network.weight_of
    if layout.components:
        top = values[at.of_pixel]
        for k in range(1, layout.components):
            top = max(top, values[at.of_pixel + k])
        for k in range(layout.components):
            weight[k] = weight_of[np.uint64(min(top - values[at.of_pixel + k], len(weight_of) - 1))]
    else:
        for s in range(layout.channels):
            i = CODING_ORDER[s] * layout.plane + at.here
            pixel[i] = (pixel[i - layout.stride] + pixel[i - 1]) >> 1
        _find_match(at, layout, pixel, places, room)
        for j in range(CANDIDATES):
            room.right[j] = 0
    for c in range(3):
        first = c * layout.plane + at.here
        for o in range(len(room.own_at)):
            around[c, np.uint64(o)] = pixel[np.uint64(first + room.own_at[np.uint64(o)])]


@inlined(**BORROWING)
def _mixture(s: Any, base: Any, at: Any, layout: Any, values: Any, network: Any, room: Any) -> Any:
    """Centers and scales of the network's logistics for a channel: (sum of weights, mean, mean deviation)."""
    components = layout.components
    total, mean, deviation = 0.0, 0.0, 0.0
    for k in range(components):
        m = values[at.of_pixel + components * (1 + s) + k] + MEAN_STEPS * base
        for i in range(s):
            slope = values[at.of_pixel + components * (6 + s + i) + k]
            m += (min(max(slope, -SLOPE_MAX), SLOPE_MAX) * room.residuals[i]) >> 2
        room.center[k] = min(max(m, CENTER_MIN), CENTER_MAX) * (1 / MEAN_STEPS)
        total += room.weight[k]
        mean += room.weight[k] * room.center[k]
    mean /= total
    for k in range(components):
        scale = values[at.of_pixel + components * (4 + s) + k] - SCALE_LOW
        i = np.uint64(min(max(scale, 0), SCALE_COUNT - 1))
        room.inverse[k] = INVERSE[i]
        deviation += room.weight[k] * (network.deviation_of[i] + abs(room.center[k] - mean))
    return total, mean, deviation / total


@inlined(**BORROWING)
def _fill_features(s: Any, mean: Any, at: Any, layout: Any, pixel: Any, fitted: Any, room: Any) -> Any:
    """Features of the least-squares problem, differences to what is expected; returns their number."""
    innovation, around = fitted.innovation, room.around
    f, features = room.features, fitted.features
    cross = layout.cross
    f0 = np.uint64((s * features.shape[1] + (fitted.seen[s, 0] & (BATCH - 1))) * features.shape[2])
    n = len(room.own_at)
    for o in range(n):
        f[f0 + np.uint64(o)] = around[CODING_ORDER[s], np.uint64(o)] - mean
    for d in range(1, 3):
        c = CODING_ORDER[(s + d) % 3]
        other = float(pixel[np.uint64(c * layout.plane + at.here)])
        for o in range(cross):
            f[f0 + np.uint64(n + o)] = around[c, np.uint64(o)] - other
        n += cross
    i = f0 + np.uint64(n)
    for j in range(s):
        f[i] = room.residuals[j]
        f[i + np.uint64(1)] = innovation[j, at.r + 1, at.q + 1]
        i += np.uint64(2)
    f[i] = innovation[s, at.r + 1, at.q]
    f[i + np.uint64(1)] = innovation[s, at.r, at.q + 1]
    f[i + np.uint64(2)] = innovation[s, at.r, at.q]
    f[i + np.uint64(3)] = innovation[s, at.r, at.q + 2]
    return n + 2 * s + 4


@inlined(**BORROWING)
def _correction(s: Any, fitted: Any, limit: Any, room: Any) -> Any:
    """What the least-squares fit adds to the mean."""
    features, f, solution = fitted.features, room.features, room.solution
    size_f = features.shape[2]
    f0 = np.uint64((s * features.shape[1] + (fitted.seen[s, 0] & (BATCH - 1))) * size_f)
    fit0 = np.uint64(s * fitted.solution.shape[1])
    return min(max(dot(solution, fit0, f, f0, size_f), -limit), limit)


@inlined(**BORROWING)
def _key(s: Any, at: Any, layout: Any, pixel: Any) -> Any:
    """Of the counters' contexts: the channel, and the pixel's earlier channels."""
    key = np.uint64(s + 1) * np.uint64(32452843)
    if s:
        key += np.uint64(int(pixel[np.uint64(layout.plane + at.here)])) * np.uint64(1299709)
    if s > 1:
        key += np.uint64(int(pixel[np.uint64(at.here)])) * np.uint64(15485863)
    return key


@inlined(**BORROWING)
def _lower(key: Any, value: Any) -> Any:
    """Key of the counters of a value's lower half, by its upper one."""
    return key + np.uint64((value >> 4) + 1) * LOWER_HALF


@inlined(**BORROWING)
def _shade(s: Any, neighbour: Any, room: Any) -> Any:
    """A neighbour's value, or how far it is from the neighbour's G where this pixel's G is known: cameras
    and converters leave colours that go together.
    """
    shade = room.around[CODING_ORDER[s], neighbour]
    if s:
        shade -= room.around[1, neighbour]
    return np.uint64(int(shade) + 256)


@inlined(**BORROWING)
def _find_counters(s: Any, key: Any, guess: Any, layout: Any, counters: Any, room: Any) -> None:
    """Where the counters of a value's upper half are; those of its lower half are fetched by a guess."""
    hashed, slot, around = room.hashed, room.slot, room.around
    flat, size, c = counters, layout.counters, CODING_ORDER[s]
    slots, of_channel = (size >> np.uint64(4)) - np.uint64(1), np.uint64(s * COUNTERS) * size
    hashed[1] = key + np.uint64(int(room.mean_at[0] + 2048.0)) * PLACE + np.uint64(5)
    if layout.components:
        hashed[2] = key + _shade(s, NORTH, room) * PLACE + np.uint64(9)
        hashed[3] = key + _shade(s, WEST, room) * PLACE + np.uint64(11)
        hashed[4] = key + _shade(s, NORTH_EAST, room) * PLACE + np.uint64(13)
    else:
        pair = np.uint64(int(around[c, 0]) * 256 + int(around[c, 1]))
        more = np.uint64(int(around[c, 2]) * 256 + int(around[c, 3]))
        hashed[2] = key + pair * PLACE + np.uint64(9)
        hashed[3] = key + (pair * np.uint64(65536) + more) * PLACE + np.uint64(11)
    for i in range(1, layout.counts):
        j = np.uint64(i)
        slot[j] = _slot(hashed[j], slots)
        _prefetch(flat, of_channel + j * size + slot[j])
    for i in range(layout.counts):
        j = np.uint64(i)
        _prefetch(flat, of_channel + j * size + _slot(_lower(hashed[j], guess), slots))


@inlined(**BORROWING)
def _ask_experts(s: Any, green: Any, layout: Any, mean_of: Any, room: Any) -> None:
    """What the other experts expect: sums of neighbours, corrected by how far the same sum is off in G."""
    around, c = room.around, CODING_ORDER[s]
    for j in range(layout.experts - 1):
        here_sum, green_sum = 0.0, 0.0
        for o in range(4):
            here_sum += mean_of[j, o] * around[c, o]
            green_sum += mean_of[j, o] * around[1, o]
        if s:
            here_sum += 4.0 * green - green_sum
        room.mean_at[j + 1] = here_sum * 0.25


@inlined(**BORROWING)
def _add_errors(i: Any, times: Any, layout: Any, planes: Any, sums: Any) -> Any:
    """Add the experts' errors at a place, `times` times; returns the same of the network's."""
    errors = planes.expert_error
    for j in range(layout.experts):
        sums[np.uint64(j)] += times * errors[np.uint64(i * layout.experts + j)]
    return times * planes.error[np.uint64(i)]


@inlined(**BORROWING)
def _widths(s: Any, deviation: Any, at: Any, layout: Any, planes: Any, room: Any) -> Any:
    """How wide the experts' logistics are, by their errors nearby: (deviation, mean of errors and 45, over
    what was expected).
    """
    sums = room.sums
    for j in range(layout.experts):
        sums[j] = 0
    errors, count = 45, 1 + len(room.near_at)
    for o in range(len(room.near_at)):
        errors += _add_errors((at.here + room.near_at[np.uint64(o)]) * 3 + s, 1, layout, planes, sums)
    if at.q:
        errors += _add_errors((at.here - layout.step) * 3 + s, 2, layout, planes, sums)
        count += 2
    if at.r:
        errors += _add_errors((at.here - layout.step * layout.stride) * 3 + s, 2, layout, planes, sums)
        count += 2
    share = 1.0 / count
    if not layout.components:
        deviation = (sums[0] * 0.0625 + 2.0) * share
    for j in range(layout.experts):
        room.sharp[j] = 128.0 / ((0.7 * deviation + sums[j] * 0.0625) * share * WIDTH + 0.04)
    if s:
        errors += 2 * planes.error[np.uint64(at.here * 3 + s - 1)]
        count += 2
    return deviation, errors, count


@inlined(**BORROWING)
def _edges(s: Any, green: Any, at: Any, layout: Any, pixel: Any) -> Any:
    """Context of a table without the network: which neighbours are equal."""
    center = CODING_ORDER[s] * layout.plane + at.here
    north, west, corner = pixel[center - layout.stride], pixel[center - 1], pixel[center - layout.stride - 1]
    context = (1 if north != west else 0) + (2 if north != corner else 0) + (4 if west != corner else 0)
    if s and green != pixel[layout.plane + at.here - 1]:
        context += 8
    return context


@inlined(**BORROWING)
def _below(edge: Any, components: Any, centers: Any, room: Any) -> Any:
    """Mass of the network's mixture below an edge, times ONE."""
    total = 0.0
    for k in range(components):
        total += room.weight[np.uint64(k)] * sigmoid(
            (edge - centers[np.uint64(k)]) * room.inverse[np.uint64(k)]
        )
    return total


@inlined(**BORROWING)
def _is_certain(one: Any, zero: Any, components: Any, room: Any) -> Any:
    """Whether the network and the corrected mean both hardly doubt a decision."""
    below, above, middle = room.below, room.above, room.middle
    certain = False
    if components:
        if one < zero * CERTAIN:
            certain = above[0] - middle[0] < (middle[0] - below[0]) * CERTAIN
        elif zero < one * CERTAIN:
            certain = middle[0] - below[0] < (above[0] - middle[0]) * CERTAIN
    return certain


@inlined(**BORROWING)
def _cut_experts(edge: Any, experts: Any, room: Any) -> None:
    """Mass of all but the first expert below an edge."""
    for j in range(1, experts):
        i = np.uint64(j)
        room.middle[i] = sigmoid((edge - room.mean_at[i]) * room.sharp[i])


@inlined(**BORROWING)
def _expert_inputs(half: Any, layout: Any, room: Any) -> None:
    """Log-odds of the experts."""
    least = 64.0 * half
    for j in range(layout.experts):
        i = np.uint64(j)
        room.x[np.uint64(layout.first + j)] = log(room.above[i] - room.middle[i] + least) - log(
            room.middle[i] - room.below[i] + least
        )


@inlined(**BORROWING)
def _counter_inputs(s: Any, b: Any, low: Any, layout: Any, counters: Any, room: Any) -> Any:
    """Log-odds of the counters; returns how much the first two have seen."""
    flat, size = counters, layout.counters
    of_channel = np.uint64(s * COUNTERS) * size
    node = np.uint64((1 << b) + (low >> (8 - b)) if b < 4 else (1 << (b - 4)) + ((low & 15) >> (8 - b)))
    room.cells[2] = node
    seen_both = 0
    for j in range(layout.counts):
        counter = flat[of_channel + np.uint64(j) * size + room.slot[np.uint64(j)] + node]
        room.x[np.uint64(layout.first + layout.experts + j)] = log_odds(counter)
        if j < 2:
            seen_both = seen_both * 6 + LEVEL[np.uint64(np.int64(counter) & 255)]
    return seen_both


@inlined(**BORROWING)
def _to_lower_half(s: Any, low: Any, layout: Any, counters: Any, room: Any) -> None:
    """Where the counters of a value's lower half are, which are fetched if they were not guessed."""
    flat, size = counters, layout.counters
    of_channel = np.uint64(s * COUNTERS) * size
    slots = (size >> np.uint64(4)) - np.uint64(1)
    for i in range(layout.counts):
        j = np.uint64(i)
        room.slot[j] = _slot(_lower(room.hashed[j], low), slots)
        _prefetch(flat, of_channel + j * size + room.slot[j])


@inlined(**BORROWING)
def _place(s: Any, at: Any, layout: Any) -> Any:
    """Where a value is: (spot, strip), one of SPOTS and one of STRIPS.

    Where the picture was made of blocks, the strip is the place in one of 8 x 8 pixels; the spot, of luma,
    whether it is at the upper edge and at the left one, since blocks were coded apart; of a difference, in
    which row and column of 2 x 2 pixels, which were made of fewer samples.
    """
    if not layout.blocks:
        return 0, (at.q >> STRIP_BITS) & (STRIPS - 1)
    row, column = (at.row + layout.origin[0]) & 7, (at.column + layout.origin[1]) & 7
    strip = row * 8 + column
    if s:
        return 2 * (row & 1) + (column & 1), strip
    return (2 if row == 0 else 0) + (1 if column == 0 else 0), strip


@inlined(**BORROWING)
def _choose_weights(s: Any, place: Any, contexts: Any, layout: Any, room: Any) -> None:
    """Weights that are the same for all bits of a value: those learn soonest. place: (spot, strip); contexts:
    (spread, context of the first table, color).
    """
    spot, strip = place
    spread, context, color = contexts
    rows, row = room.rows, np.uint64(layout.row)
    rows[1] = np.uint64(BITS * SPREADS + (s * SPREADS + spread) * SPOTS + spot) * row
    rows[2] = np.uint64(SHARED + ((s - 3) * CONTEXTS + context) * SPOTS + spot) * row
    if layout.components:
        rows[3] = np.uint64(SHARED + s * COLORS + color) * row
        rows[4] = np.uint64(SHARED + 3 * COLORS + s * STRIPS + strip) * row


@inlined(**BORROWING)
def _choose_weights_of_bit(of_bit: Any, contexts: Any, seen_both: Any, layout: Any, room: Any) -> None:
    """Weights that each bit has of its own. contexts: as above."""
    spread, _, color = contexts
    rows, row = room.rows, np.uint64(layout.row)
    rows[0] = np.uint64(of_bit * SPREADS + spread) * row
    if not layout.components:
        rows[3] = np.uint64(SHARED + of_bit * SEEN + seen_both) * row
        rows[4] = np.uint64(SHARED + BITS * SEEN + of_bit * COLORS + color) * row


@inlined(**BORROWING)
def _mix(first_cell: Any, layout: Any, learned: Any, room: Any) -> Any:
    """Probability of a 1: the mean of the mixers, refined by both tables. first_cell: tuple of 2 uint64,
    where the decision's cells begin.
    """
    weights, table_a, table_b, x = learned.weights, learned.by_context, learned.by_kind, room.x
    z = 0.0
    for i in range(MIXERS):
        w = room.rows[np.uint64(i)]
        odds = min(max(dot(weights, w, x, np.uint64(0), layout.inputs), -12.0), 12.0)
        room.mixed[np.uint64(i)] = odds
        z += odds
    z *= 1.0 / MIXERS
    t = (z + 12.0) * 1.5
    cell = int(t)
    fraction = t - cell
    ta, tb = first_cell[0] + np.uint64(cell), first_cell[1] + np.uint64(cell)
    refined_a = table_a[ta] + (table_a[ta + np.uint64(1)] - table_a[ta]) * fraction
    refined_b = table_b[tb] + (table_b[tb + np.uint64(1)] - table_b[tb]) * fraction
    room.mixed[MIXERS] = fraction
    room.cells[0], room.cells[1] = ta, tb
    return 0.5 * squash(z) + 0.25 * (refined_a + refined_b)


@inlined(**BORROWING)
def _learn_mixers(bit: Any, layout: Any, learned: Any, room: Any) -> None:
    """Every mixer learns from how far its own log-odds were off."""
    weights, x = learned.weights, room.x
    for i in range(MIXERS):
        w = room.rows[np.uint64(i)]
        off = (bit - squash(room.mixed[np.uint64(i)])) * room.rate[0]
        add_times(weights, w, x, np.uint64(0), layout.inputs, off)


@inlined(**BORROWING)
def _note_match(at: Any, places: Any, room: Any) -> None:
    """Whether the match was right, and where the pixels around were so last."""
    match = room.match
    match[1] = match[1] + 1 if match[0] and room.right[2] == 1 else 0
    places[match[2]] = at.here


@inlined(**BORROWING)
def _note_changes(at: Any, layout: Any, pixel: Any, room: Any) -> None:
    """Whether the pixel is unlike the one above it, and the one to its left: pictures that were enlarged, and
    drawn ones, have rows and columns where much changes.
    """
    for s in range(layout.channels):
        i = CODING_ORDER[s] * layout.plane + at.here
        if pixel[i] != pixel[i - layout.stride]:
            room.new_row[0] = 1
        if pixel[i] != pixel[i - 1]:
            room.changed[at.column] = at.row + 1


@inlined(**BORROWING)
def _find_candidates(s: Any, at: Any, layout: Any, pixel: Any, room: Any) -> Any:
    """Values that may be repeated, and where it is counted how often such ones were: for the pixels above and
    to the left by which neighbours are equal, and by what changed in the row or the column; for the match by
    how long it has been right. Returns the context of the third mixer: which neighbours are equal, and
    whether the pixel above has been right.
    """
    plane, stride = CODING_ORDER[s] * layout.plane, layout.stride
    here = plane + at.here
    north, west, corner = pixel[here - stride], pixel[here - 1], pixel[here - stride - 1]
    pattern = (1 if west == corner else 0) + (2 if north == corner else 0)
    pattern += (4 if north == pixel[here - stride + 1] else 0) + (
        8 if north == pixel[here - 2 * stride] else 0
    )
    pattern += 16 if west == pixel[here - 2] else 0
    room.candidate[0], room.candidate[1], room.candidate[2] = north, west, -1
    known = 0
    if room.match[0]:
        room.candidate[2] = pixel[plane + room.match[0]]
        known = min(room.match[1], RUN) * 2 + (1 if room.candidate[2] == north else 0)
    last = room.changed[at.column]
    since = 0 if last == 0 else 1 if at.row - last < RECENT else 2
    for j in range(CANDIDATES):
        context = room.right[j] * 32 + (pattern if j < 2 else known)
        context += 128 * (room.new_row[0] if j == 0 else since if j == 1 else 0)
        room.agreed_at[j] = np.uint64(((s * CANDIDATES + j) * AGREEMENTS + context) * 8)
    return pattern + 32 * (1 if room.right[0] == 1 else 0)


@inlined(**BORROWING)
def _said(candidate: Any, b: Any, low: Any) -> Any:
    """1 or -1: a candidate's bit b is 1 or 0; 0: there is none, or an earlier bit has ruled it out."""
    if candidate < 0 or (candidate ^ low) >> (8 - b) != 0:
        return 0
    return 1 if (candidate >> (7 - b)) & 1 else -1


@inlined(**BORROWING)
def _candidate_inputs(b: Any, low: Any, agreed: Any, room: Any) -> None:
    """Log-odds of the candidates: 0 of one that an earlier bit has ruled out."""
    for i in range(CANDIDATES):
        j = np.uint64(i)
        sign = _said(room.candidate[j], b, low)
        x = sign * log_odds(agreed[room.agreed_at[j] + np.uint64(b)]) if sign else 0.0
        room.x[np.uint64(INPUTS + i)] = x


@inlined(**BORROWING)
def _learn_candidates(b: Any, low: Any, bit: Any, learned: Any, room: Any) -> None:
    """How often the candidates that no earlier bit has ruled out were right."""
    for i in range(CANDIDATES):
        j = np.uint64(i)
        sign = _said(room.candidate[j], b, low)
        if sign:
            place = room.agreed_at[j] + np.uint64(b)
            right = 1 if (sign > 0) == (bit == 1) else 0
            learned.agreed[place] = counted(learned.agreed[place], right, EAGER, EAGER_MAX)


@inlined(**BORROWING)
def _learn_decision(s: Any, b: Any, low: Any, bit: Any, layout: Any, learned: Any, room: Any) -> None:
    """Mixers, tables and counters learn from a decision that was not certain."""
    table_a, table_b = learned.by_context, learned.by_kind
    counters, size = learned.counters, layout.counters
    _learn_mixers(bit, layout, learned, room)
    if not layout.components:
        _learn_candidates(b, low, bit, learned, room)
    ta, tb, node = room.cells[0], room.cells[1], room.cells[2]
    nearer = np.uint64(int(room.mixed[MIXERS] + 0.5))
    table_a[ta + nearer] += (bit - table_a[ta + nearer]) * APM_RATE
    table_b[tb + nearer] += (bit - table_b[tb + nearer]) * APM_RATE
    of_channel = np.uint64(s * COUNTERS) * size
    # graphics repeat themselves: what was seen once is believed
    first, most = (SLOW, COUNT_MAX) if layout.components else (EAGER, EAGER_MAX)
    for j in range(layout.counts):
        place = of_channel + np.uint64(j) * size + room.slot[np.uint64(j)] + node
        counters[place] = counted(counters[place], bit, first, most)


@inlined(**BORROWING)
def _code_value(
    s: Any, answer: Any, total: Any, contexts: Any, layout: Any, learned: Any, stream: Any, room: Any
) -> Any:
    """Code a value as eight decisions. answer: it, when encoding; total: sum of the network's weights;
    contexts: (spread, context of the first table, color). Returns the value.
    """
    decoding, _, coder, words = stream
    components, experts, x = layout.components, layout.experts, room.x
    below, above, middle = room.below, room.above, room.middle
    spread, context, _ = contexts
    low = 0
    plain_low, plain_high, moved_low, moved_high = 0.0, total * ONE, 0.0, total * ONE
    for j in range(experts):
        below[j], above[j] = 0.0, float(ONE)
    fresh = True
    for b in range(8):
        half = 128 >> b
        edge = low + half - 0.5
        if b == 4:
            _to_lower_half(s, low, layout, learned.counters, room)
        plain, shifted = 0.0, _below(edge, components, room.moved, room)
        middle[0] = sigmoid((edge - room.mean_at[0]) * room.sharp[0])
        floor = 16.0 * total * half
        one, zero = moved_high - shifted + floor, shifted - moved_low + floor
        certain = _is_certain(one, zero, components, room)
        if certain:
            p = one / (one + zero)
        else:
            _cut_experts(edge, experts, room)
            if components:
                plain = _below(edge, components, room.center, room)
                x[0] = log(one) - log(zero)
                x[1] = log(plain_high - plain + floor) - log(plain - plain_low + floor)
            _expert_inputs(half, layout, room)
            seen_both = _counter_inputs(s, b, low, layout, learned.counters, room)
            if not components:
                _candidate_inputs(b, low, learned.agreed, room)
            if layout.histograms:
                histogram_inputs(low, half, fresh, x, INPUTS, room.guesses)
            of_bit = s * 8 + b
            _choose_weights_of_bit(of_bit, contexts, seen_both, layout, room)
            first_cells = (
                np.uint64((of_bit * CONTEXTS + context) * APM_CELLS),
                np.uint64(((layout.kind * BITS + of_bit) * SPREADS + spread) * APM_CELLS),
            )
            p = _mix(first_cells, layout, learned, room)
        chance = min(max(int(p * ONE), LEAST), ONE - LEAST)
        bit = code_bit(coder, words, 0, chance, (answer >> (7 - b)) & 1, decoding)
        if not certain:
            _learn_decision(s, b, low, bit, layout, learned, room)
            if layout.histograms:
                take_bit(bit, room.guesses)
        fresh = certain
        low += half * bit
        one_is = bit == 1
        moved_low, moved_high = shifted if one_is else moved_low, moved_high if one_is else shifted
        below[0], above[0] = middle[0] if one_is else below[0], above[0] if one_is else middle[0]
        if not certain:  # the others need not be asked: there is next to nothing beyond that edge
            plain_low, plain_high = plain if one_is else plain_low, plain_high if one_is else plain
            for j in range(1, experts):
                i = np.uint64(j)
                below[i], above[i] = (middle[i] if one_is else below[i], above[i] if one_is else middle[i])
    return low


@inlined(**BORROWING)
def _learn_value(
    s: Any, value: Any, deviation: Any, at: Any, layout: Any, planes: Any, fitted: Any, room: Any
) -> None:
    """Note how far everybody was off."""
    surprise = value - room.mean_at[0]
    fitted.innovation[s, at.r + 1, at.q + 1] = surprise
    i = at.here * 3 + s
    planes.error[np.uint64(i)] = int(min(abs(surprise) / (deviation + 0.25), 4.0) * 64.0)
    errors = planes.expert_error
    for j in range(layout.experts):
        errors[np.uint64(i * layout.experts + j)] = int(min(abs(value - room.mean_at[j]), 255.0) * 16.0)


@inlined(**BORROWING)
def _learn_fit(s: Any, target: Any, n: Any, fitted: Any, room: Any) -> None:
    """The least-squares problem learns from a value, and is solved now and then. target: value - mean."""
    lane = fitted.seen[s, 0] & (BATCH - 1)
    expected = 128.0 * 1.1 / WIDTH / room.sharp[0]
    fitted.feature_weight[s, lane] = fitted.gain[s, 0] / (expected * expected + 0.1)
    fitted.gain[s, 0] *= FORGET
    fitted.target[s, lane] = target
    fitted.seen[s, 0] += 1
    seen = fitted.seen[s, 0]
    if lane == BATCH - 1:
        _learn_batch(fitted, s, n)
        if seen >= FIRST_FIT and seen % (REFIT_EARLY if seen < EARLY else REFIT) == 0:
            refit(fitted, s, n, room.work)


@inlined(**BORROWING)
def _reweight(value: Any, components: Any, room: Any) -> None:
    """Weigh the network's logistics by the mass that each gave to the value."""
    heaviest = 0.0
    for k in range(components):
        high = ONE if value == 255 else sigmoid((value + 0.5 - room.moved[k]) * room.inverse[k])
        low = 0 if value == 0 else sigmoid((value - 0.5 - room.moved[k]) * room.inverse[k])
        room.weight[k] *= (high - low + 256.0) * (1.0 / ONE)
        heaviest = max(heaviest, room.weight[k])
    heaviest = 1.0 / heaviest
    for k in range(components):
        room.weight[k] = max(room.weight[k] * heaviest, 0.001)


@inlined(**BORROWING)
def _code_channel(
    s: Any, at: Any, layout: Any, parts: Any, values: Any, network: Any, stream: Any, room: Any
) -> Any:
    """Code one channel of a pixel; returns its value. parts: (`Phase.mean_of`, planes and what was
    learned as flat arrays, fitted).
    """
    mean_of, planes, learned, fitted = parts
    pixel, components = planes.pixel, layout.components
    center = CODING_ORDER[s] * layout.plane + at.here
    base = int(pixel[np.uint64(center)])
    green = int(pixel[np.uint64(layout.plane + at.here)])  # coded already where s says so
    answer = 0 if stream.decoding else int(stream.truth[CODING_ORDER[s], at.row, at.column])
    counters = learned.counters
    key = _key(s, at, layout, pixel)
    room.hashed[0] = key
    room.slot[0] = _slot(key, (layout.counters >> np.uint64(4)) - np.uint64(1))
    _prefetch(counters, np.uint64(s * COUNTERS) * layout.counters + room.slot[0])
    total, mean, deviation = 0.0, 0.0, 0.0
    if components:
        total, mean, deviation = _mixture(s, base, at, layout, values, network, room)
    else:
        mean = (int(pixel[center - layout.stride]) + int(pixel[center - 1])) * 0.5
    n = _fill_features(s, mean, at, layout, pixel, fitted, room)
    correction = _correction(s, fitted, CORRECTION_MAX if components else 255.0, room)
    room.mean_at[0] = mean + correction
    guess = min(max(int(room.mean_at[0] + 0.5), 0), 255) if stream.decoding else answer
    _find_counters(s, key, guess, layout, counters, room)
    _ask_experts(s, green, layout, mean_of, room)
    deviation, errors, count = _widths(s, deviation, at, layout, planes, room)
    if components:
        context = int(min(max(log(errors * 0.015625 / count + 0.02) * 2.885 + 5.0, 0.0), 9.0))
    else:
        context = _edges(s, green, at, layout, pixel)
    spread = int(min(max(log(deviation + 0.1) * 2.885 + 6.0, 0.0), 15.0))
    for k in range(components):
        room.moved[k] = room.center[k] + correction
    if not components:
        color = _find_candidates(s, at, layout, pixel, room)
    elif s:
        color = (green >> 5) + 8 * (int(pixel[np.uint64(at.here)]) >> 5)  # R, where it is not coded its base
    else:
        color = (int(room.around[1, 0]) >> 5) + 8 * (int(room.around[1, 1]) >> 5)
    place = _place(s, at, layout)
    if layout.histograms:
        find_histograms(s, place[0], pixel, at, layout, room.mean_at[0], room.guesses)
    _choose_weights(s, place, (spread, context, color), layout, room)
    value = _code_value(s, answer, total, (spread, context, color), layout, learned, stream, room)
    room.residuals[s] = value - base
    pixel[np.uint64(center)] = value
    _learn_value(s, value, deviation, at, layout, planes, fitted, room)
    _learn_fit(s, value - mean, n, fitted, room)
    if layout.histograms:
        learn_guesses(s, value, at.row, at.column, layout.stride, room.guesses)
    if components:
        _reweight(value, components, room)
    else:
        for j in range(CANDIDATES):
            room.right[j] = 2 if room.right[j] == 2 or room.candidate[j] != value else 1
    return value


@compiled(**BORROWING)
def code_rows(
    rows: tuple[int, int],
    phase: Phase,
    planes: Planes,
    learned: Learned,
    fitted: Fitted,
    network: Network,
    stream: Stream,
    room: Room,
) -> None:
    """Code rows rows[0] .. rows[1] - 1 of a phase, whose rows must be coded in order.

    The first must be the first of a strip, and the end, but for the last call, the first of another.
    """
    first_row, last_row = rows
    height, width = phase.shape
    py, px, step = phase.place
    strip_rows, slope = phase.wave
    components, experts = network.components, phase.mean_of.shape[0] + 1
    first, stride = 2 if components else 0, width + 2 * PAD
    layout = Layout(
        phase.channels,
        components,
        experts,
        first,
        INPUTS - first - experts,
        phase.kind,
        step,
        stride,
        stride * (height + 2 * PAD),
        (width - px + step - 1) // step,
        np.uint64(learned.counters.shape[2]),
        phase.cross,
        phase.histograms,
        phase.blocks,
        phase.origin,
        INPUTS + (GUESSES if phase.histograms else 0 if components else MORE),
        learned.weights.shape[1],
    )
    # Flat views: to make one takes as long as a decision, so that is done once.
    flat_planes = Planes(planes.pixel.reshape(-1), planes.error.reshape(-1), planes.expert_error.reshape(-1))
    flat_learned = Learned(
        learned.weights.reshape(-1),
        learned.by_context.reshape(-1),
        learned.by_kind.reshape(-1),
        learned.counters.reshape(-1),
        learned.agreed.reshape(-1),
        learned.places,
    )
    pixel, seen = flat_planes.pixel, network.canvas.pixels
    asking = components > 0 and len(network.params) == 0  # the network, pixel by pixel
    values = network.block if asking else network.params  # of the pixel at hand, from `of_pixel` on
    parts = (phase.mean_of, flat_planes, flat_learned, fitted)
    columns = layout.columns
    for strip in range(first_row, last_row, strip_rows):
        for turn in range((columns + slope * (min(strip_rows, last_row - strip) - 1)) * strip_rows):
            of_strip = turn % strip_rows
            r, q = strip + of_strip, turn // strip_rows - slope * of_strip
            of_block = of_strip & (BLOCK - 1)
            if asking and of_block == 0:
                _ask(r, q, last_row, slope, columns, network)
            if r >= last_row or q < 0 or q >= columns:
                continue
            row, column = py + step * r, px + step * q
            here = (row + PAD) * stride + column + PAD
            at = At(r, q, row, column, here, (of_block if asking else r * columns + q) * 10 * components)
            if q == 0:
                _start_row(r, phase.rates, layout, pixel, room)
            if asking:
                for c in range(3):
                    pixel[c * layout.plane + here] = network.scratch.base[3 * of_block + c]
            _start_pixel(at, layout, pixel, values, flat_learned.places, network, room)
            for s in range(layout.channels):
                value = _code_channel(s, at, layout, parts, values, network, stream, room)
                if asking:
                    i = 3 * (row * width + column)
                    seen[i + CODING_ORDER[s]] = value
                    if layout.channels == 1:
                        seen[i] = seen[i + 2] = value
            if not components:
                _note_match(at, flat_learned.places, room)
                _note_changes(at, layout, pixel, room)
            if step == 1 and q == columns - 1:
                _right_edge(r, layout, pixel)
