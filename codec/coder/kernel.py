"""The compiled heart of the mixing coder: codes one phase of pixels, one binary decision after another, and
learns from each.

Knows arrays of numbers only; `codec.coder.mixing` prepares them. Specified in docs/format/mixing.md.

A pixel's channels are coded G, R, B; a value as eight decisions, the most significant bit first. Every
decision is predicted by `INPUTS` models; their log-odds are mixed by two gated logistic mixers (Mattern 2012;
lpaq) and refined by two adaptive tables, then coded:

    network       the network's mixture of logistics; the same, moved by the least-squares correction
    experts       single logistics around the corrected mean and around sums of neighbours, as wide as their
                  errors nearby were
    counters      how often the bit was 1 after the same earlier channels of the pixel, and the same with the
                  corrected mean

Its arithmetic is as exact as that of `codec.coder.arithmetic`, whose rules hold here.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ardm.compiled import BORROWING, compiled
from ardm.exact.evaluate import BLOCK, finish_block, gather_raster
from ardm.likelihood import (
    CENTER_MAX,
    CENTER_MIN,
    CODING_ORDER,
    MEAN_STEPS,
    SCALE_COUNT,
    SCALE_LOW,
    SLOPE_MAX,
)
from codec.coder.arithmetic import LEAST, PAD, exact_decimals, log, sigmoid, solve, squash
from codec.coder.rangecoder import ONE, code_bit

INPUTS = 8
EXPERTS = 4  # the counters take the inputs that network and experts leave free
COUNTERS = 4  # most of them
MIXTURE = 5  # most logistic components
BATCH = 4  # pixels learned from at once
FIRST_FIT, EARLY = 64, 1024
# pixels between two solutions of the least-squares problem, among the first EARLY and later
REFIT_EARLY, REFIT = 32, 96
CONTEXTS, SPREADS, SEEN = 16, 16, 36  # contexts of the tables and mixers
APM_CELLS = 40

LEARNING_RATE = 0.005
FORGET = 1 / 0.9997
RIDGE = 1.0
CORRECTION_MAX = 64.0
APM_RATE = 0.02
WIDTH = 0.65  # width of an expert's logistic over its mean absolute error
COUNT_MAX = 250
CERTAIN = 0.003
PLACE, LOWER_HALF = np.uint64(7919), np.uint64(0x2545F4914F6CDD1D)  # multipliers of hashes


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Reciprocals of counts, and 128 over the scale of a logistic."""
    with exact_decimals():
        reciprocal = [int((Decimal(65536) / (i + Decimal("1.6"))).to_integral_value()) for i in range(256)]
        inverse = [
            float(int((2 ** (-Decimal(i) / 16) * 128 * 2**20).to_integral_value()) / 2**20)
            for i in range(SCALE_LOW, SCALE_LOW + SCALE_COUNT)
        ]
    return np.array(reciprocal, dtype=np.int64), np.array(inverse)


RECIPROCAL, INVERSE = _tables()
LEVEL = np.array([min(i, 3) if i < 6 else 4 if i < 16 else 5 for i in range(256)])


@njit(inline="always")
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
    mean_of: (
        np.ndarray
    )  # int64 (experts - 1, 5): quarters of the first four neighbours, and whether G corrects


class Planes(NamedTuple):
    """What is known of a stage, with PAD samples around it."""

    pixel: np.ndarray  # int16 (3, h + 2 PAD, w + 2 PAD): known values, and the base elsewhere
    error: np.ndarray  # int16 (h + 2 PAD, w + 2 PAD, 3)
    expert_error: np.ndarray  # int16 (h + 2 PAD, w + 2 PAD, 3, EXPERTS)


class Learned(NamedTuple):
    """What a plane's decisions have taught so far."""

    by_spread: np.ndarray  # float64 (3, 8, SPREADS, INPUTS), weights of a mixer
    by_seen: np.ndarray  # float64 (3, 8, SEEN, INPUTS), of the other
    by_context: np.ndarray  # float64 (3, 8, CONTEXTS, APM_CELLS), refines
    by_kind: np.ndarray  # float64 (kinds, 3, 8, SPREADS, APM_CELLS), refines
    counters: np.ndarray  # uint32 (3, COUNTERS, slots)


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
    x: np.ndarray  # (INPUTS,), log-odds
    residuals: np.ndarray  # int64 (3,), value - base of the channels so far
    hashed: np.ndarray  # uint64 (COUNTERS,), keys of the counters' contexts
    slot: np.ndarray  # uint64 (COUNTERS,), where they are
    own_at: np.ndarray  # int64, `Phase.own` in a flat plane
    near_at: np.ndarray  # int64, `Phase.near`


def new_room(features: int, phase: Phase) -> Room:
    """For so many features of the least-squares problem."""
    neighbours = len(phase.own)
    stride = phase.shape[1] + 2 * PAD
    return Room(
        np.zeros((features, features + 4)),
        *np.zeros((4, 16)),
        np.zeros((3, neighbours)),
        *np.zeros((5, 16)),
        np.zeros(EXPERTS, dtype=np.int64),
        np.zeros(INPUTS),
        np.zeros(3, dtype=np.int64),
        np.zeros(COUNTERS, dtype=np.uint64),
        np.zeros(COUNTERS, dtype=np.uint64),
        phase.own[:, 0] * stride + phase.own[:, 1],
        phase.near[:, 0] * stride + phase.near[:, 1],
    )


@njit(inline="always")
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
def _refit(fitted: Any, s: Any, n: Any, work: Any) -> None:
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

    Longer than a function should be: with the mixture, the inner product and the reweighting as functions of
    their own, though inlined, it was 5 to 10 % slower.

    The first must be the first of a strip, and the end, but for the last call, the first of another.
    """
    first_row, last_row = rows
    channels, kind, place, shape, wave, _, cross, _, mean_of = phase
    pixel, error, expert_error = planes
    mixer_a, mixer_b, apm_a, apm_b, counters = learned
    matrix, _, solution, seen, gain, features, feature_weight, target, innovation = fitted
    components, params, weight_of, deviation_of, net, scratch, canvas, block = network
    seen_pixels = canvas.pixels
    decoding, truth, coder, words = stream
    height, width = shape
    py, px, step = place
    pixel_flat, error_flat, expert_flat = pixel.reshape(-1), error.reshape(-1), expert_error.reshape(-1)
    stride = width + 2 * PAD
    plane = stride * (height + 2 * PAD)
    cols = (width - px + step - 1) // step
    experts = mean_of.shape[0] + 1
    first = 2 if components else 0
    counts = INPUTS - first - experts
    own_at, near_at = room.own_at, room.near_at
    n_own, n_near = len(own_at), len(near_at)
    asking = components > 0 and len(params) == 0  # the network, pixel by pixel
    numbers = 10 * components
    values = block if asking else params  # of the pixel at hand, from `of_pixel` on
    size_f = matrix.shape[2]
    # Flat views: a slice taken inside the loops would count references, at the price of several
    # multiplications.
    weight_a, weight_b, table_a, table_b = (
        mixer_a.reshape(-1),
        mixer_b.reshape(-1),
        apm_a.reshape(-1),
        apm_b.reshape(-1),
    )
    f, solution_flat = features.reshape(-1), solution.reshape(-1)
    counters_flat, counters_of = counters.reshape(-1), np.uint64(counters.shape[2])
    weight, center, moved, inverse = room.weight, room.center, room.moved, room.inverse
    around, work = room.around, room.work
    mean_at, sharp, below, above, middle = room.mean_at, room.sharp, room.below, room.above, room.middle
    sums = room.sums
    unlikely = CERTAIN
    x, residuals, hashed, slot = room.x, room.residuals, room.hashed, room.slot
    slots = np.uint64((counters.shape[2] >> 4) - 1)
    strip_rows, slope = wave
    for strip in range(first_row, last_row, strip_rows):
        for turn in range((cols + slope * (min(strip_rows, last_row - strip) - 1)) * strip_rows):
            of_strip = turn % strip_rows
            r, q = strip + of_strip, turn // strip_rows - slope * of_strip
            # this row's pixel and those of the next rows, all of whose windows are known
            if asking and of_strip & (BLOCK - 1) == 0:
                for i in range(min(BLOCK, last_row - r)):
                    if 0 <= q - slope * i < cols:
                        gather_raster(net, canvas, r + i, q - slope * i, scratch, i)
                finish_block(net, scratch, block, 0, BLOCK)
            if r >= last_row or q < 0 or q >= cols:
                continue
            row, col = py + step * r, px + step * q
            here = (row + PAD) * stride + col + PAD
            if step == 1 and q == 0:  # beyond the edge, what a decoder knows already
                for s in range(channels):
                    edge = CODING_ORDER[s] * plane + (r + PAD) * stride
                    for i in range(PAD):
                        pixel_flat[edge + i] = pixel_flat[edge - stride + PAD]
            of_pixel = (r * cols + q) * numbers
            if asking:
                of_pixel = (of_strip & (BLOCK - 1)) * numbers
                for c in range(3):
                    pixel_flat[c * plane + here] = scratch.base[3 * (of_strip & (BLOCK - 1)) + c]
            if components:
                top = values[of_pixel]
                for k in range(1, components):
                    top = max(top, values[of_pixel + k])
                for k in range(components):
                    weight[k] = weight_of[np.uint64(min(top - values[of_pixel + k], len(weight_of) - 1))]
            else:
                for s in range(channels):
                    i = CODING_ORDER[s] * plane + here
                    pixel_flat[i] = (pixel_flat[i - stride] + pixel_flat[i - 1]) >> 1
            for c in range(3):
                for o in range(n_own):
                    around[c, np.uint64(o)] = pixel_flat[np.uint64(c * plane + here + own_at[np.uint64(o)])]
            for s in range(channels):
                c = CODING_ORDER[s]
                center_at = c * plane + here
                base = int(pixel_flat[np.uint64(center_at)])
                answer = 0 if decoding else int(truth[c, row, col])
                # coded already where s says so
                green, red = (int(pixel_flat[np.uint64(plane + here)]), int(pixel_flat[np.uint64(here)]))
                key = np.uint64(s + 1) * np.uint64(32452843)
                if s:
                    key += np.uint64(green) * np.uint64(1299709)
                if s > 1:
                    key += np.uint64(red) * np.uint64(15485863)
                hashed[0], slot[0] = key, _slot(key, slots)
                of_counter = np.uint64(s * COUNTERS) * counters_of
                _prefetch(counters_flat, of_counter + slot[0])
                total, mean, deviation = 0.0, 0.0, 0.0
                if components:
                    for k in range(components):
                        m = values[of_pixel + components * (1 + s) + k] + MEAN_STEPS * base
                        for i in range(s):
                            m += (
                                min(
                                    max(values[of_pixel + components * (6 + s + i) + k], -SLOPE_MAX),
                                    SLOPE_MAX,
                                )
                                * residuals[i]
                            ) >> 2
                        center[k] = min(max(m, CENTER_MIN), CENTER_MAX) * (1 / MEAN_STEPS)
                        total += weight[k]
                        mean += weight[k] * center[k]
                    mean /= total
                    for k in range(components):
                        i = np.uint64(
                            min(
                                max(values[of_pixel + components * (4 + s) + k] - SCALE_LOW, 0),
                                SCALE_COUNT - 1,
                            )
                        )
                        inverse[k] = INVERSE[i]
                        deviation += weight[k] * (deviation_of[i] + abs(center[k] - mean))
                    deviation /= total
                else:
                    mean = (int(pixel_flat[center_at - stride]) + int(pixel_flat[center_at - 1])) * 0.5
                # ---- features and correction
                lane = seen[s, 0] & (BATCH - 1)
                f0 = np.uint64((s * features.shape[1] + lane) * size_f)
                for o in range(n_own):
                    f[f0 + np.uint64(o)] = around[c, np.uint64(o)] - mean
                n = n_own
                for d in range(1, 3):
                    other_c = CODING_ORDER[(s + d) % 3]
                    other = float(pixel_flat[np.uint64(other_c * plane + here)])
                    for o in range(cross):
                        f[f0 + np.uint64(n + o)] = around[other_c, np.uint64(o)] - other
                    n += cross
                at = f0 + np.uint64(n)
                for i in range(s):
                    f[at] = residuals[i]
                    f[at + np.uint64(1)] = innovation[i, r + 1, q + 1]
                    at += np.uint64(2)
                f[at] = innovation[s, r + 1, q]
                f[at + np.uint64(1)] = innovation[s, r, q + 1]
                f[at + np.uint64(2)] = innovation[s, r, q]
                f[at + np.uint64(3)] = innovation[s, r, q + 2]
                n += 2 * s + 4
                c0, c1, c2, c3 = 0.0, 0.0, 0.0, 0.0
                fit0 = np.uint64(s * solution.shape[1])
                for i in range(0, size_f, 4):
                    g, h = fit0 + np.uint64(i), f0 + np.uint64(i)
                    c0 += solution_flat[g] * f[h]
                    c1 += solution_flat[g + np.uint64(1)] * f[h + np.uint64(1)]
                    c2 += solution_flat[g + np.uint64(2)] * f[h + np.uint64(2)]
                    c3 += solution_flat[g + np.uint64(3)] * f[h + np.uint64(3)]
                correction = (c0 + c1) + (c2 + c3)
                limit = CORRECTION_MAX if components else 255.0
                correction = min(max(correction, -limit), limit)
                # ---- experts
                mean_at[0] = mean + correction
                hashed[1] = key + np.uint64(int(mean_at[0] * 2.0 + 2048.0)) * PLACE + np.uint64(5)
                slot[1] = _slot(hashed[1], slots)
                _prefetch(counters_flat, of_counter + counters_of + slot[1])
                guess = np.uint64(
                    ((min(max(int(mean_at[0] + 0.5), 0), 255) if decoding else answer) >> 4) + 1
                )
                for j in range(2):
                    _prefetch(
                        counters_flat,
                        of_counter
                        + np.uint64(j) * counters_of
                        + _slot(hashed[j] + guess * LOWER_HALF, slots),
                    )
                for j in range(experts - 1):
                    here_sum, green_sum = 0.0, 0.0
                    for o in range(4):
                        here_sum += mean_of[j, o] * around[c, o]
                        green_sum += mean_of[j, o] * around[1, o]
                    if s and mean_of[j, 4]:
                        here_sum += 4.0 * green - green_sum
                    mean_at[j + 1] = here_sum * 0.25
                for j in range(experts):
                    sums[j] = 0
                error_sum, count = 45, 1 + n_near
                for o in range(n_near):
                    i = (here + near_at[np.uint64(o)]) * 3 + s
                    error_sum += error_flat[np.uint64(i)]
                    for j in range(experts):
                        sums[np.uint64(j)] += expert_flat[np.uint64(i * EXPERTS + j)]
                if q:
                    i = (here - step) * 3 + s
                    error_sum += 2 * error_flat[np.uint64(i)]
                    count += 2
                    for j in range(experts):
                        sums[np.uint64(j)] += 2 * expert_flat[np.uint64(i * EXPERTS + j)]
                if r:
                    i = (here - step * stride) * 3 + s
                    error_sum += 2 * error_flat[np.uint64(i)]
                    count += 2
                    for j in range(experts):
                        sums[np.uint64(j)] += 2 * expert_flat[np.uint64(i * EXPERTS + j)]
                share = 1.0 / count
                if not components:
                    deviation = (sums[0] * 0.0625 + 2.0) * share
                for j in range(experts):
                    sharp[j] = 128.0 / ((0.7 * deviation + sums[j] * 0.0625) * share * WIDTH + 0.04)
                # ---- contexts
                if components:
                    if s:
                        error_sum += 2 * error_flat[np.uint64(here * 3 + s - 1)]
                        count += 2
                    context = int(min(max(log(error_sum * 0.015625 / count + 0.02) * 2.885 + 5.0, 0.0), 9.0))
                else:
                    north, west, corner = (
                        pixel_flat[center_at - stride],
                        pixel_flat[center_at - 1],
                        pixel_flat[center_at - stride - 1],
                    )
                    context = (
                        (1 if north != west else 0)
                        + (2 if north != corner else 0)
                        + (4 if west != corner else 0)
                    )
                    if s and green != pixel_flat[plane + here - 1]:
                        context += 8
                spread = int(min(max(log(deviation + 0.1) * 2.885 + 6.0, 0.0), 15.0))
                if counts > 2:
                    pair = np.uint64(int(around[c, 0]) * 256 + int(around[c, 1]))
                    hashed[2] = key + pair * PLACE + np.uint64(9)
                    hashed[3] = (
                        key
                        + (pair * np.uint64(65536) + np.uint64(int(around[c, 2]) * 256 + int(around[c, 3])))
                        * PLACE
                        + np.uint64(11)
                    )
                    slot[2], slot[3] = _slot(hashed[2], slots), _slot(hashed[3], slots)
                second_half = False
                # ---- eight decisions
                for k in range(components):
                    moved[k] = center[k] + correction
                low = 0
                plain_low, plain_high, moved_low, moved_high = 0.0, total * ONE, 0.0, total * ONE
                for j in range(experts):
                    below[j], above[j] = 0.0, float(ONE)
                for b in range(8):
                    half = 128 >> b
                    edge_value = low + half - 0.5
                    plain, shifted = 0.0, 0.0
                    for k in range(components):
                        shifted += weight[np.uint64(k)] * sigmoid(
                            (edge_value - moved[np.uint64(k)]) * inverse[np.uint64(k)]
                        )
                    middle[0] = sigmoid((edge_value - mean_at[0]) * sharp[0])
                    floor = 16.0 * total * half
                    one, zero = moved_high - shifted + floor, shifted - moved_low + floor
                    certain = False
                    if components:
                        if one < zero * unlikely:
                            certain = above[0] - middle[0] < (middle[0] - below[0]) * unlikely
                        elif zero < one * unlikely:
                            certain = middle[0] - below[0] < (above[0] - middle[0]) * unlikely
                    else:
                        for j in range(1, experts):
                            middle[np.uint64(j)] = sigmoid(
                                (edge_value - mean_at[np.uint64(j)]) * sharp[np.uint64(j)]
                            )
                    node, seen_both, fraction = np.uint64(0), 0, 0.0
                    wa, wb, ta, tb = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
                    za, zb = 0.0, 0.0
                    if certain:
                        p = one / (one + zero)
                    else:
                        if components:
                            for k in range(components):
                                plain += weight[np.uint64(k)] * sigmoid(
                                    (edge_value - center[np.uint64(k)]) * inverse[np.uint64(k)]
                                )
                            x[0] = log(one) - log(zero)
                            x[1] = log(plain_high - plain + floor) - log(plain - plain_low + floor)
                        least = 64.0 * half
                        for j in range(experts):
                            if j and components:
                                middle[np.uint64(j)] = sigmoid(
                                    (edge_value - mean_at[np.uint64(j)]) * sharp[np.uint64(j)]
                                )
                            x[np.uint64(first + j)] = log(
                                above[np.uint64(j)] - middle[np.uint64(j)] + least
                            ) - log(middle[np.uint64(j)] - below[np.uint64(j)] + least)
                        if b < 4:
                            node = np.uint64((1 << b) + (low >> (8 - b)))
                        else:
                            node = np.uint64((1 << (b - 4)) + ((low & 15) >> (8 - b)))
                            if not second_half:
                                second_half = True
                                for j in range(counts):
                                    slot[j] = _slot(hashed[j] + np.uint64((low >> 4) + 1) * LOWER_HALF, slots)
                        for j in range(counts):
                            state = np.int64(
                                counters_flat[
                                    of_counter + np.uint64(j) * counters_of + slot[np.uint64(j)] + node
                                ]
                            )
                            times = state & 255
                            odds = (state >> 8) ^ 0x800000
                            x[np.uint64(first + experts + j)] = log(float(odds + 1)) - log(float(ONE - odds))
                            if j < 2:
                                seen_both = seen_both * 6 + LEVEL[np.uint64(times)]
                        wa, wb = (
                            np.uint64(((s * 8 + b) * SPREADS + spread) * INPUTS),
                            np.uint64(((s * 8 + b) * SEEN + seen_both) * INPUTS),
                        )
                        za, zb = 0.0, 0.0
                        for i in range(INPUTS):
                            j = np.uint64(i)
                            za += weight_a[wa + j] * x[j]
                        za = min(max(za, -12.0), 12.0)
                        for i in range(INPUTS):
                            j = np.uint64(i)
                            zb += weight_b[wb + j] * x[j]
                        zb = min(max(zb, -12.0), 12.0)
                        z = (za + zb) * 0.5
                        t = (z + 12.0) * 1.5
                        cell = int(t)
                        fraction = t - cell
                        ta = np.uint64(((s * 8 + b) * CONTEXTS + context) * APM_CELLS + cell)
                        tb = np.uint64((((kind * 3 + s) * 8 + b) * SPREADS + spread) * APM_CELLS + cell)
                        refined_a = table_a[ta] + (table_a[ta + np.uint64(1)] - table_a[ta]) * fraction
                        refined_b = table_b[tb] + (table_b[tb + np.uint64(1)] - table_b[tb]) * fraction
                        p = 0.5 * squash(z) + 0.25 * (refined_a + refined_b)
                    chance = min(max(int(p * ONE), LEAST), ONE - LEAST)
                    bit = code_bit(coder, words, 0, chance, (answer >> (7 - b)) & 1, decoding)
                    # ---- learn from the decision
                    if not certain:
                        da, db = (bit - squash(za)) * LEARNING_RATE, (bit - squash(zb)) * LEARNING_RATE
                        for i in range(INPUTS):
                            j = np.uint64(i)
                            weight_a[wa + j] += da * x[j]
                            weight_b[wb + j] += db * x[j]
                        nearer = np.uint64(int(fraction + 0.5))
                        table_a[ta + nearer] += (bit - table_a[ta + nearer]) * APM_RATE
                        table_b[tb + nearer] += (bit - table_b[tb + nearer]) * APM_RATE
                        for j in range(counts):
                            place_of_it = of_counter + np.uint64(j) * counters_of + slot[np.uint64(j)] + node
                            state = np.int64(counters_flat[place_of_it])
                            age = state & 255
                            ones = (state >> 8) ^ 0x800000
                            ones += ((bit * (ONE - 1) - ones) * RECIPROCAL[np.uint64(age)]) >> 16
                            counters_flat[place_of_it] = np.uint32(
                                (ones ^ 0x800000) << 8 | min(age + 1, COUNT_MAX)
                            )
                    low += half * bit
                    one_is = bit == 1
                    moved_low, moved_high = (
                        shifted if one_is else moved_low,
                        moved_high if one_is else shifted,
                    )
                    below[0], above[0] = middle[0] if one_is else below[0], above[0] if one_is else middle[0]
                    if not certain:  # the others need not be asked: there is next to nothing beyond that edge
                        plain_low, plain_high = (
                            plain if one_is else plain_low,
                            plain_high if one_is else plain,
                        )
                    if not certain or not components:
                        for j in range(1, experts):
                            at = np.uint64(j)
                            below[at], above[at] = (
                                middle[at] if one_is else below[at],
                                above[at] if one_is else middle[at],
                            )
                # ---- learn from the value
                v = low
                residuals[s] = v - base
                pixel_flat[np.uint64(center_at)] = v
                if asking:
                    seen_pixels[3 * (row * width + col) + c] = v
                    if channels == 1:
                        seen_pixels[3 * (row * width + col)] = seen_pixels[3 * (row * width + col) + 2] = v
                surprise = v - mean_at[0]
                innovation[s, r + 1, q + 1] = surprise
                error_flat[np.uint64(here * 3 + s)] = int(min(abs(surprise) / (deviation + 0.25), 4.0) * 64.0)
                for j in range(experts):
                    expert_flat[np.uint64((here * 3 + s) * EXPERTS + j)] = int(
                        min(abs(v - mean_at[j]), 255.0) * 16.0
                    )
                expected = 128.0 * 1.1 / WIDTH / sharp[0]
                feature_weight[s, lane] = gain[s, 0] / (expected * expected + 0.1)
                gain[s, 0] *= FORGET
                target[s, lane] = v - mean
                seen[s, 0] += 1
                if lane == BATCH - 1:
                    _learn_batch(fitted, s, n)
                    if (
                        seen[s, 0] >= FIRST_FIT
                        and seen[s, 0] % (REFIT_EARLY if seen[s, 0] < EARLY else REFIT) == 0
                    ):
                        _refit(fitted, s, n, work)
                if components:
                    heaviest = 0.0
                    for k in range(components):
                        high_part = ONE if v == 255 else sigmoid((v + 0.5 - moved[k]) * inverse[k])
                        low_part = 0 if v == 0 else sigmoid((v - 0.5 - moved[k]) * inverse[k])
                        weight[k] *= (high_part - low_part + 256.0) * (1.0 / ONE)
                        heaviest = max(heaviest, weight[k])
                    heaviest = 1.0 / heaviest
                    for k in range(components):
                        weight[k] = max(weight[k] * heaviest, 0.001)
            if step == 1 and q == cols - 1:
                for s in range(channels):
                    edge = CODING_ORDER[s] * plane + (r + PAD + 1) * stride
                    for i in range(PAD):
                        pixel_flat[edge - 1 - i] = pixel_flat[edge - 1 - PAD]
