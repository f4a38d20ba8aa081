"""The coder of high bit depths: samples of 9 to 16 bits whole, in raster order, channel after channel. Knows
arrays and words; nothing of networks, tiles or files.

Specified in docs/format/high-depth.md. A sample is one of `2**depth` levels, a value of as many binary
decisions, the highest first. Every decision is predicted by `INPUTS` models whose log-odds are mixed, refined
by two adaptive tables and coded, as in `codec.coder.kernel`, and with the rules of `codec.coder.arithmetic`.
What is different: predictions are as fine as the samples, there is no network, and a histogram takes the
place of hashed counters.

    experts       logistics around two least-squares predictions of the value, one slow and one fast to
                  forget, around three simple ones and a blend of all, as wide as their errors nearby were
    histogram     how often the bit was 1 after the same higher bits, which knows levels that do not occur
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import BORROWING, compiled, inlined, internal
from ardm.units import CODING_ORDER
from codec.coder import stored
from codec.coder.arithmetic import LEAST, PAD, SIGMOID, SQUASH, log, mixed_bytes, solve, squash
from codec.coder.continuation import Continuation
from codec.coder.kernel import Stream
from codec.coder.mixing import by_distance, raster_geometry
from codec.coder.rangecoder import ONE, code_bit
from codec.coder.schedule import Schedule
from codec.coder.streams import LINE, STRIP, Streams
from codec.coder.words import check_words
from codec.coder.work import Shape, Work
from codec.container import read_varint, varint
from codec.errors import CorruptError, TruncatedError

BELOW = 2  # rows that a channel must be ahead of the next
# where a channel looks at each earlier one
BESIDE = np.array([o for o in by_distance(BELOW**2) if o != (0, 0)])
LEAST_DEPTH, MOST_DEPTH = 8, 16
# forms of levels; below them, by how many bits a value is shifted
REPLICATED, ROUNDED, CUT, LISTED = 16, 17, 18, 19
MOST_WORDS = 10  # that a sample's sixteen decisions can take, 17 bits each
DIGEST = "54d8e15154696172"  # of what `_synthetic` writes

EXPERTS, INPUTS = 7, 8
FAST_FEATURES = 6  # neighbours that the fast fit looks at
# contexts: a bit's size over the deviation, the deviation, how well it did; cells of a table
RATIOS, SPREADS, SURPRISES, CELLS = 64, 48, 16, 33
KEPT = 4  # rows of errors that are kept, a power of two
LEARNING_RATE, LEARNING_EARLY, APM_RATE = 0.003, 0.01, 0.02
FORGET, FORGET_FAST = 1 / 0.9995, 1 / 0.98
FIRST_FIT, EARLY, REFIT_EARLY, REFIT, REFIT_FAST = 64, 1024, 32, 96, 8
# added to the diagonal; times which it is taken, since squares of 16 bits leave few digits for 1
RIDGE, STIFF = 1.0, 1.0 + 2.0**-30
WIDTH = 0.65  # width of an expert's logistic over its mean absolute error
CERTAIN = 0.003
SMALL = 0.1  # times the deviation: bits below are not worth mixing, unless the histogram knows of a structure
COUNT_MAX = 250.0
RARE = 0.0005  # least chance in the histogram


@inlined(**BORROWING)
def _smooth(u: Any) -> Any:
    """2**24 times the sigmoid of u / 128, between the table's entries too."""
    t = min(max(u + 1535.5, 0.0), 3070.0)
    i = int(t)
    low = SIGMOID[np.uint64(i)]
    return low + (SIGMOID[np.uint64(i + 1)] - low) * (t - i)


@inlined(**BORROWING)
def _within(x: Any, limit: Any) -> Any:
    """x limited to +-limit; -limit where a problem without a sound solution has made it no number."""
    return x if abs(x) <= limit else limit if x > 0.0 else -limit


class Samples(NamedTuple):
    """The plane at hand, and where is looked around a sample."""

    depth: int
    shape: tuple[int, int]
    pixel: np.ndarray  # int32 (3, h + 2 PAD, w + 2 PAD), in coding order, whose values will appear there
    own: np.ndarray  # int64 (n, 2), offsets of known neighbours, nearest first
    beside: np.ndarray  # int64 (m, 2), at which earlier channels are looked at
    near: np.ndarray  # int64 (k, 2), at which errors are


class Learned(NamedTuple):
    """What decisions have taught so far. float64, axis 0: channels in coding order."""

    by_ratio: np.ndarray  # (3, RATIOS, INPUTS), weights of a mixer
    by_spread: np.ndarray  # (3, depth, SPREADS, INPUTS), of the other
    table_a: np.ndarray  # (3, RATIOS, CELLS), refines
    table_b: np.ndarray  # (3, SURPRISES * RATIOS, CELLS), refines
    chances: np.ndarray  # (3, 2**depth), of a 1 after the same higher bits
    times: np.ndarray  # (3, 2**depth), how often that was seen


class Problem(NamedTuple):
    """Of each channel a least-squares problem. float64."""

    matrix: np.ndarray
    vector: np.ndarray  # right side
    solution: np.ndarray
    gain: np.ndarray  # newer samples count more: by so much, now
    work: np.ndarray  # room to solve it


class Fitted(NamedTuple):
    """Two least-squares predictions: one that forgets slowly; one of few unknowns that forgets quickly."""

    slow: Problem
    fast: Problem
    chosen: np.ndarray  # int64 (3, unknowns of the fast one), which features it has
    seen: np.ndarray  # int64 (3, 1), samples
    features: np.ndarray  # float64 (3, n)


class Room(NamedTuple):
    """Working memory of one channel."""

    mean_at: np.ndarray  # float64 (EXPERTS,), what each expects
    sharp: np.ndarray  # float64 (EXPERTS,), 128 over the scale of its logistic
    sums: np.ndarray  # float64 (EXPERTS,), of its errors nearby
    below: np.ndarray  # float64 (EXPERTS,), its sigmoid at the lower end of the interval
    above: np.ndarray  # float64 (EXPERTS,), at the upper end
    middle: np.ndarray  # float64 (EXPERTS,), where the next decision cuts
    x: np.ndarray  # float64 (INPUTS,), log-odds
    own_at: np.ndarray  # int64 (n,), `Samples.own` in a flat plane
    beside_at: np.ndarray  # int64 (m,), `Samples.beside`
    flat: np.ndarray  # int32, `Samples.pixel`
    mixed: np.ndarray  # float64 (2,), of a decision: log-odds by both mixers
    cell: np.ndarray  # int64 (1,), the tables' cell that learns from it


def new_room(samples: Samples) -> Room:
    """For a plane."""
    stride = samples.shape[1] + 2 * PAD
    own_at, beside_at = (o[:, 0] * stride + o[:, 1] for o in (samples.own, samples.beside))
    mean_at, sharp, sums, below, above, middle = np.zeros((6, LINE))
    flat, mixed, cell = samples.pixel.reshape(-1), np.zeros(2), np.zeros(1, dtype=np.int64)
    return Room(
        mean_at, sharp, sums, below, above, middle, np.zeros(INPUTS), own_at, beside_at, flat, mixed, cell
    )


class Errors(NamedTuple):
    """How predictions did nearby. float64."""

    apart: np.ndarray  # (3, KEPT, w + 2 PAD, EXPERTS), of every expert, of the latest rows
    judged: np.ndarray  # (3, KEPT, w + 2 PAD), of the blend, over what was expected
    surprises: np.ndarray  # (3, h + 1, w + 2), value - slow prediction


class Around(NamedTuple):
    """What is seen around the sample at hand."""

    r: int
    q: int
    here: int  # in the flat planes
    above: float
    left: float
    mean: float  # of both


@inlined(**BORROWING)
def _fill_features(s: Any, at: Any, samples: Any, surprises: Any, f: Any, room: Any) -> Any:
    """Features of the least-squares problems: (their number, by how much earlier channels differ from the
    sample above them, and from the one to the left).
    """
    flat, n_own, n_beside = room.flat, len(samples.own), len(samples.beside)
    stride = samples.shape[1] + 2 * PAD
    plane = stride * (samples.shape[0] + 2 * PAD)
    for o in range(n_own):
        f[o] = flat[at.here + room.own_at[o]] - at.mean
    n = n_own
    above_step, left_step = 0.0, 0.0
    for e in range(s):
        there = at.here - (s - e) * plane
        value = float(flat[there])
        for o in range(n_beside):
            f[n + o] = flat[there + room.beside_at[o]] - value
        n += n_beside
        above_step += value - flat[there - stride]
        left_step += value - flat[there - 1]
    for e in range(s):
        there = at.here - (s - e) * plane
        f[n] = flat[there] - (flat[there - stride] + flat[there - 1]) * 0.5
        f[n + 1] = surprises[e, at.r + 1, at.q + 1]
        n += 2
    f[n], f[n + 1] = surprises[s, at.r + 1, at.q], surprises[s, at.r, at.q + 1]
    f[n + 2], f[n + 3] = surprises[s, at.r, at.q], surprises[s, at.r, at.q + 2]
    return n + 4, above_step, left_step


@inlined(**BORROWING)
def _ask_experts(s: Any, at: Any, sums: Any, samples: Any, fitted: Any, room: Any) -> None:
    """What the first five experts expect. found: what `_fill_features` returned."""
    n, above_step, left_step = sums
    f, mean_at, top = fitted.features, room.mean_at, float(1 << samples.depth)
    correction, fast_one = 0.0, 0.0
    for i in range(n):
        correction += fitted.slow.solution[s, i] * f[s, i]
    for i in range(FAST_FEATURES + s):
        fast_one += fitted.fast.solution[s, i] * f[s, fitted.chosen[s, i]]
    mean_at[0] = at.mean + _within(correction, top)
    mean_at[1] = at.mean + _within(fast_one, top)
    if s:
        share = 1.0 / s
        mean_at[2], mean_at[3], mean_at[4] = (
            at.above + above_step * share,
            at.left + left_step * share,
            at.mean,
        )
    else:
        beyond = room.flat[at.here - samples.shape[1] - 2 * PAD + 1]
        mean_at[2], mean_at[3], mean_at[4] = at.above, at.left, (at.above + beyond) * 0.5


@inlined(**BORROWING)
def _judge(s: Any, at: Any, samples: Any, errors: Any, room: Any) -> Any:
    """How well the experts did nearby, into the sums: (how many errors count, how well the first did over
    what was expected).
    """
    apart, judged, sums = errors.apart, errors.judged, room.sums
    count, judgement = 1.0 + len(samples.near), 0.7
    for j in range(EXPERTS):
        sums[j] = 0.0
    for o in range(len(samples.near)):
        i, k = (at.r + samples.near[o, 0]) & (KEPT - 1), at.q + PAD + samples.near[o, 1]
        judgement += judged[s, i, k]
        for j in range(EXPERTS):
            sums[j] += apart[s, i, k, j]
    for side in range(2):
        if (at.q if side == 0 else at.r) > 0:
            i, k = (at.r - side) & (KEPT - 1), at.q + PAD - 1 + side
            count += 2.0
            judgement += 2.0 * judged[s, i, k]
            for j in range(EXPERTS):
                sums[j] += 2.0 * apart[s, i, k, j]
    return count, judgement


@inlined(**BORROWING)
def _blend(s: Any, at: Any, count: Any, samples: Any, errors: Any, room: Any) -> Any:
    """The blend of the experts, the first once more with more errors, and all widths; returns the
    deviation.
    """
    sums, mean_at, own = room.sums, room.mean_at, samples.own
    share, more = 1.0 / count, 0.0
    for o in range(len(own)):
        more += errors.apart[s, (at.r + own[o, 0]) & (KEPT - 1), at.q + PAD + own[o, 1], 0]
    deviation = (sums[0] + 2.0) * share
    total, blend = 0.0, 0.0
    for j in range(5):
        weight = 1.0 / ((sums[j] + 0.7) * (sums[j] + 0.7))
        weight *= weight
        total += weight
        blend += weight * mean_at[j]
    mean_at[5], mean_at[6] = blend / total, mean_at[0]
    sums[6] = (sums[0] + more) * count / (count - 1.0 + len(own))
    for j in range(EXPERTS):
        room.sharp[j] = 128.0 / ((0.7 + sums[j]) * share * WIDTH + 0.04)
        room.below[j], room.above[j] = 0.0, float(ONE)
    return deviation


@inlined(**BORROWING)
def _cut_experts(edge: Any, floor: Any, room: Any) -> Any:
    """Where the experts cut: (their mass above the edge, below it)."""
    one, zero = EXPERTS * floor, EXPERTS * floor
    for j in range(EXPERTS):
        room.middle[j] = _smooth((edge - room.mean_at[j]) * room.sharp[j])
        one += room.above[j] - room.middle[j]
        zero += room.middle[j] - room.below[j]
    return one, zero


@inlined(**BORROWING)
def _mix(s: Any, bit_at: Any, chance: Any, floor: Any, contexts: Any, learned: Any, room: Any) -> Any:
    """Probability of a 1: both mixers, refined by both tables. contexts: (ratio, spread, judgement)."""
    mixer_a, mixer_b, table_a, table_b, _, _ = learned
    ratio, spread, judgement = contexts
    x = room.x
    for j in range(EXPERTS):
        x[j] = log(room.above[j] - room.middle[j] + floor) - log(room.middle[j] - room.below[j] + floor)
    x[EXPERTS] = log(chance) - log(1.0 - chance)
    za, zb = 0.0, 0.0
    for j in range(INPUTS):
        za += mixer_a[s, ratio, j] * x[j]
        zb += mixer_b[s, bit_at, spread, j] * x[j]
    za, zb = min(max(za, -11.9), 11.9), min(max(zb, -11.9), 11.9)
    z = (za + zb) * 0.5
    t = (z + 12.0) * (4.0 / 3.0)
    cell = int(t)
    fraction = t - cell
    which = judgement * RATIOS + ratio
    refined_a = table_a[s, ratio, cell] + (table_a[s, ratio, cell + 1] - table_a[s, ratio, cell]) * fraction
    refined_b = table_b[s, which, cell] + (table_b[s, which, cell + 1] - table_b[s, which, cell]) * fraction
    room.mixed[0], room.mixed[1] = za, zb
    room.cell[0] = cell + int(fraction + 0.5)
    return 0.7 * squash(z) + 0.15 * (refined_a + refined_b)


@inlined(**BORROWING)
def _learn_decision(s: Any, bit_at: Any, bit: Any, rate: Any, contexts: Any, learned: Any, room: Any) -> None:
    """Mixers and tables learn from a decision that was not certain."""
    mixer_a, mixer_b, table_a, table_b, _, _ = learned
    ratio, spread, judgement = contexts
    which, cell = judgement * RATIOS + ratio, room.cell[0]
    da, db = (bit - squash(room.mixed[0])) * rate, (bit - squash(room.mixed[1])) * rate
    for j in range(INPUTS):
        mixer_a[s, ratio, j] += da * room.x[j]
        mixer_b[s, bit_at, spread, j] += db * room.x[j]
    table_a[s, ratio, cell] += (bit - table_a[s, ratio, cell]) * APM_RATE
    table_b[s, which, cell] += (bit - table_b[s, which, cell]) * APM_RATE


@inlined(**BORROWING)
def _code_value(
    s: Any, answer: Any, depth: Any, rate: Any, contexts: Any, learned: Any, stream: Any, room: Any
) -> Any:
    """Code a value as `depth` decisions; returns it. contexts: (deviation, its octave, spread, judgement)."""
    decoding, _, coder, words = stream
    chances, times = learned.chances, learned.times
    deviation, octave, spread, judgement = contexts
    least = 64.0 * 256.0 / float(1 << depth)
    low = 0
    for bit_at in range(depth):
        half = 1 << (depth - 1 - bit_at)
        node = (1 << bit_at) | (low >> (depth - bit_at))
        floor = least * half
        one, zero = _cut_experts(low + half - 0.5, floor, room)
        chance = chances[s, node]
        certain = one < zero * CERTAIN or zero < one * CERTAIN
        if not certain and half < deviation * SMALL and abs(chance - 0.5) < 0.1:
            certain = True
        ratio = 0
        if certain:
            p = one / (one + zero)
        else:
            ratio = int(min(max(log(float(half)) * 2.885 - octave + 12.0, 0.0), RATIOS - 1.0))
            p = _mix(s, bit_at, chance, floor, (ratio, spread, judgement), learned, room)
        told = (answer >> (depth - 1 - bit_at)) & 1
        bit = code_bit(coder, words, s, min(max(int(p * ONE), LEAST), ONE - LEAST), told, decoding)
        if not certain:
            _learn_decision(s, bit_at, bit, rate, (ratio, spread, judgement), learned, room)
        chances[s, node] = min(max(chance + (bit - chance) / (times[s, node] + 1.6), RARE), 1.0 - RARE)
        times[s, node] = min(times[s, node] + 1.0, COUNT_MAX)
        low += half * bit
        for j in range(EXPERTS):
            room.below[j], room.above[j] = (
                room.middle[j] if bit else room.below[j],
                room.above[j] if bit else room.middle[j],
            )
    return low


@inlined(**BORROWING)
def _learn_value(s: Any, value: Any, deviation: Any, at: Any, errors: Any, room: Any) -> None:
    """Note how far everybody was off."""
    surprise = value - room.mean_at[0]
    errors.surprises[s, at.r + 1, at.q + 1] = surprise
    row, column = at.r & (KEPT - 1), at.q + PAD
    errors.judged[s, row, column] = min(abs(surprise) / (deviation + 0.25), 4.0)
    for j in range(EXPERTS):
        errors.apart[s, row, column, j] = abs(value - room.mean_at[j])


@inlined(**BORROWING)
def _learn_fit(s: Any, target: Any, n: Any, fitted: Any, room: Any) -> None:
    """Both least-squares problems learn from a value, and are solved now and then. target: value - mean."""
    matrix, vector, solution, gain, work = fitted.slow
    fast_matrix, fast_vector, fast_solution, fast_gain, fast_work = fitted.fast
    f, chosen, few, seen = fitted.features, fitted.chosen, FAST_FEATURES + s, fitted.seen
    expected = 128.0 * 1.1 / WIDTH / room.sharp[0]
    precision = 1.0 / (expected * expected + 0.1)
    weight = precision * gain[s, 0]
    for i in range(n):
        g = f[s, i] * weight
        for k in range(i, n):
            matrix[s, i, k] += g * f[s, k]
        vector[s, i] += g * target
    weight = precision * fast_gain[s, 0]
    for i in range(few):
        g = f[s, chosen[s, i]] * weight
        for k in range(i, few):
            fast_matrix[s, i, k] += g * f[s, chosen[s, k]]
        fast_vector[s, i] += g * target
    gain[s, 0] *= FORGET
    fast_gain[s, 0] *= FORGET_FAST
    seen[s, 0] += 1
    if seen[s, 0] >= FIRST_FIT and seen[s, 0] % (REFIT_EARLY if seen[s, 0] < EARLY else REFIT) == 0:
        _fit(matrix[s], vector[s], n, gain[s], solution[s], work[s])
    if seen[s, 0] % REFIT_FAST == 0:
        _fit(fast_matrix[s], fast_vector[s], few, fast_gain[s], fast_solution[s], fast_work[s])


@inlined(**BORROWING)
def _code_sample(
    s: Any, at: Any, samples: Any, learned: Any, fitted: Any, errors: Any, stream: Any, room: Any
) -> None:
    """Code one sample."""
    sums = _fill_features(s, at, samples, errors.surprises, fitted.features[s], room)
    _ask_experts(s, at, sums, samples, fitted, room)
    count, judgement = _judge(s, at, samples, errors, room)
    deviation = _blend(s, at, count, samples, errors, room)
    share = 1.0 / count
    octave = log(deviation + 0.1) * 2.885
    spread = int(min(max(octave + 6.0, 0.0), SPREADS - 1.0))
    judged = int(min(max(log(judgement * share + 0.02) * 2.885 + 10.0, 0.0), SURPRISES - 1.0))
    rate = LEARNING_RATE + LEARNING_EARLY / (1.0 + fitted.seen[s, 0] * (1.0 / EARLY))
    answer = 0 if stream.decoding else stream.truth[s, at.r, at.q]
    contexts = (deviation, octave, spread, judged)
    value = _code_value(s, answer, samples.depth, rate, contexts, learned, stream, room)
    room.flat[at.here] = value
    _learn_value(s, value, deviation, at, errors, room)
    _learn_fit(s, value - at.mean, sums[0], fitted, room)


@compiled(**BORROWING)
def code_rows(
    rows: tuple[int, int],
    s: int,
    samples: Samples,
    learned: Learned,
    fitted: Fitted,
    errors: Errors,
    stream: Stream,
    room: Room,
) -> None:
    """Code rows rows[0] .. rows[1] - 1 of channel s (in coding order), after the rows before, and two rows or
    more behind the channel before. stream: with truth int32 (3, h, w) when encoding.
    """
    first_row, last_row = rows
    height, width = samples.shape
    flat, chosen = room.flat, fitted.chosen
    stride = width + 2 * PAD
    plane = stride * (height + 2 * PAD)
    for i in range(FAST_FEATURES):
        chosen[s, i] = i
    for i in range(s):
        chosen[s, FAST_FEATURES + i] = len(samples.own) + s * len(samples.beside) + 2 * i
    for r in range(first_row, last_row):
        edge = s * plane + (r + PAD) * stride
        for i in range(PAD):  # beyond the edges, what a decoder knows already
            flat[edge + i] = flat[edge - stride + PAD]
        for q in range(width):
            here = s * plane + (r + PAD) * stride + q + PAD
            above, left = float(flat[here - stride]), float(flat[here - 1])
            at = Around(r, q, here, above, left, (above + left) * 0.5)
            _code_sample(s, at, samples, learned, fitted, errors, stream, room)
        edge = s * plane + (r + PAD + 1) * stride
        for i in range(PAD):
            flat[edge - 1 - i] = flat[edge - 1 - PAD]
        if r == height - 1:
            for i in range(2 * stride):  # a later channel looks two rows ahead
                flat[edge + i] = flat[edge - stride + i]


@internal(**BORROWING)
def _fit(matrix: Any, vector: Any, n: int, gain: Any, solution: Any, work: Any) -> None:
    """Solve a least-squares problem, and begin anew to count what it forgets."""
    back = 1.0 / gain[0]
    for i in range(n):
        vector[i] *= back
        for j in range(i, n):
            matrix[i, j] *= back
    gain[0] = 1.0
    for i in range(n):
        matrix[i, i] = matrix[i, i] * STIFF + RIDGE
    solve(matrix, vector, n, solution, work)
    for i in range(n):
        matrix[i, i] = (matrix[i, i] - RIDGE) * (1.0 / STIFF)


class HighDepth(Streams):
    """Codes the values of one plane of samples, in either direction.

    values: int32 (h, w, 3 or 1), below 2**depth, or None to decode. shape: (h, w, 3 or 1). Other arguments as
    of `codec.coder.streams.Streams`; check: run `check_compiled` first.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        depth: int,
        values: np.ndarray | None,
        data: bytes | None = None,
        threads: int = 1,
        continuation: Continuation | None = None,
        check: bool = True,
    ) -> None:
        if check:
            check_compiled()
        self.height, self.width, channels = shape
        self.depth = depth
        super().__init__(range(channels), self.height * self.width, MOST_WORDS, data, threads, continuation)
        self.order = CODING_ORDER[:3] if channels == 3 else (0,)
        self.pixels = np.zeros((channels, self.height + 2 * PAD, self.width + 2 * PAD), dtype=np.int32)
        self.truth = (
            np.zeros((channels, 1, 1), dtype=np.int32)
            if values is None
            else np.ascontiguousarray(values[..., self.order].transpose(2, 0, 1))
        )
        self.own, self.near = raster_geometry()
        start = np.zeros(INPUTS)
        start[:EXPERTS] = 0.1
        start[0], start[5] = 0.2, 0.4  # the blend is the best of them while little is learned
        cells = SQUASH[(np.arange(CELLS) * 24 + 16).clip(16, 784)]
        self.learned = Learned(
            np.tile(start, (channels, RATIOS, 1)),
            np.tile(start, (channels, depth, SPREADS, 1)),
            np.tile(cells, (channels, RATIOS, 1)),
            np.tile(cells, (channels, SURPRISES * RATIOS, 1)),
            np.full((channels, 1 << depth), 0.5),
            np.zeros((channels, 1 << depth)),
        )
        most, few = len(self.own) + 4 + (channels - 1) * (len(BESIDE) + 2), FAST_FEATURES + channels - 1
        wide = self.width + 2 * PAD
        self.fitted = Fitted(
            _problem(channels, most),
            _problem(channels, few),
            np.zeros((channels, few), dtype=np.int64),
            np.zeros((channels, LINE), dtype=np.int64),
            np.zeros((channels, most + LINE)),
        )
        self.errors = Errors(
            np.zeros((channels, KEPT, wide, EXPERTS)),
            np.zeros((channels, KEPT, wide)),
            np.zeros((channels, self.height + 1, self.width + 2)),
        )

    def code(self) -> np.ndarray:
        """Code all values; returns them, int32 (h, w, channels)."""
        rows = self.height
        follow = self.pool is not None and rows * self.width >= 2 * STRIP
        strip = 1 if self.continuation else max(1, (STRIP if follow else 8 * STRIP) // self.width)
        shape = self.height, self.width
        samples = Samples(self.depth, shape, self.pixels, self.own, BESIDE, self.near)
        rooms = [new_room(samples) for _ in range(3)]
        stream = Stream(self.decoding, self.truth, self.state, self.words)

        def code(first_row: int, last_row: int, step: int) -> None:
            # carries of the range coder, fits without a solution; only uncompiled code notices
            with np.errstate(all="ignore"):
                code_rows(
                    (first_row, last_row),
                    step,
                    samples,
                    self.learned,
                    self.fitted,
                    self.errors,
                    stream,
                    rooms[step],
                )

        if self.continuation:
            self.continuation.start_stage(self.height, self.width)
        sure = self.code_strips(code, rows, strip, self.width, -(-BELOW // strip) if follow else None)
        if self.continuation:
            self.continuation.mark((0, 0, 1), sure)
        inner = self.pixels[:, PAD : PAD + self.height, PAD : PAD + self.width]
        out = np.empty((self.height, self.width, len(self.steps)), dtype=np.int32)
        out[..., self.order] = inner.transpose(1, 2, 0)
        return out


def _problem(channels: int, size: int) -> Problem:
    """Before anything is fitted, for so many unknowns."""
    room = (size + LINE) // 4 * 4
    return Problem(
        matrix=np.zeros((channels, room, room)),
        vector=np.zeros((channels, room)),
        solution=np.zeros((channels, room)),
        gain=np.ones((channels, LINE)),
        work=np.zeros((channels, room, room)),
    )


class HighDepthCoder:
    """A `codec.coder.work.PlaneCoder` of samples: uint16 (h, w, 1 or 3)."""

    def encode(self, plane: np.ndarray, work: Work) -> bytes:
        depth, form, listed = describe(plane)
        table = levels(depth, form, listed)
        inverse = np.zeros(65536, dtype=np.int32)
        inverse[table[::-1]] = np.arange(len(table) - 1, -1, -1, dtype=np.int32)  # of equal levels the first
        coder = HighDepth(plane.shape, depth, inverse[plane], threads=work.threads)
        coder.code()
        return bytes([depth, form]) + (_pack(listed) if form == LISTED else b"") + coder.finish()

    def decode(self, payload: bytes, shape: Shape, work: Work) -> np.ndarray:
        if len(payload) < 2 and work.continuation:
            payload = bytes([MOST_DEPTH, 0])
        if len(payload) < 2 or not LEAST_DEPTH <= payload[0] <= MOST_DEPTH or payload[1] > LISTED:
            raise CorruptError("a tile of samples of 16 bits does not say which levels they have.")
        depth, form, at = payload[0], payload[1], 2
        listed = np.zeros(0, dtype=np.uint16)
        if form == LISTED:
            listed, at = _unpack(payload, at, depth)
        table = levels(depth, form, listed)
        samples = table[HighDepth(shape, depth, None, payload[at:], work.threads, work.continuation).code()]
        work.done(samples.nbytes)
        return samples

    def least_bytes(self, shape: Shape, schedule: Schedule) -> int:
        height, width, channels = shape
        return 2 + channels - 1 + channels * mixed_bytes(height * width)


HIGH_DEPTH_CODER = HighDepthCoder()


# ---- which levels samples have -----------------------------------------------------------------------------


def levels(depth: int, form: int, listed: np.ndarray) -> np.ndarray:
    """The samples that values stand for: uint16 (2**depth,). form, listed: of the payload. Raises
    CorruptError if there is no such form.
    """
    value = np.arange(1 << depth, dtype=np.int64)
    top = (1 << depth) - 1
    if form == LISTED:
        out = np.concatenate([listed, np.full(len(value) - len(listed), listed[-1], listed.dtype)])
    elif form == REPLICATED:
        out = (value << (16 - depth)) | (value >> (2 * depth - 16))
    elif form == ROUNDED:
        out = (2 * 65535 * value + top) // (2 * top)
    elif form == CUT:
        out = 65535 * value // top
    elif form + depth > MOST_DEPTH:
        raise CorruptError(
            f"samples of {depth} bits are shifted by {form}, which makes more than {MOST_DEPTH}."
        )
    else:
        out = value << form
    return out.astype(np.uint16)


def describe(samples: np.ndarray) -> tuple[int, int, np.ndarray]:
    """(depth, form, listed levels) of the fewest bits that say all samples. samples: uint16, any shape."""
    counts = np.bincount(samples.reshape(-1), minlength=65536)
    used = np.flatnonzero(counts)
    every = int(np.bitwise_or.reduce(used)) or 1
    shift = (every & -every).bit_length() - 1
    best = max(LEAST_DEPTH, every.bit_length() - shift), min(shift, MOST_DEPTH - LEAST_DEPTH)
    for depth in range(LEAST_DEPTH, best[0]):
        for form in (REPLICATED, ROUNDED, CUT):
            if depth < best[0] and np.isin(used, levels(depth, form, used)).all():
                best = depth, form
    # A list pays where most samples have no neighbours one level away, and not merely because there are few
    # samples.
    depth = max(LEAST_DEPTH, (len(used) - 1).bit_length())
    gaps = np.diff(used, prepend=-2, append=70000)
    alone = (gaps[1:] > 1) & (gaps[:-1] > 1)
    if depth < best[0] and len(used) * 16 <= samples.size and 2 * counts[used][alone].sum() > samples.size:
        return depth, LISTED, used.astype(np.uint16)
    return *best, np.zeros(0, dtype=np.uint16)


def _pack(listed: np.ndarray) -> bytes:
    """Increasing levels: their number, and a stored plane of two rows, high and low bytes of their
    differences.
    """
    method, packed = stored.encode(_rows(np.diff(listed, prepend=np.uint16(0))))
    return varint(len(listed)) + bytes([method]) + varint(len(packed)) + packed


def _unpack(payload: bytes, at: int, depth: int) -> tuple[np.ndarray, int]:
    """Inverse of `_pack`, and the position after it. Raises CorruptError or TruncatedError."""
    count, at = read_varint(payload, at)
    if not 0 < count <= 1 << depth:
        raise CorruptError(f"a tile lists {count} levels, which do not fit {depth} bits.")
    if at == len(payload):
        raise TruncatedError("its list of levels is cut short.")
    method = payload[at]
    length, at = read_varint(payload, at + 1)
    if at + length > len(payload):
        raise TruncatedError("its list of levels is cut short.")
    high, low = (
        stored.decode(method, payload[at : at + length], (2, count, 1)).reshape(2, -1).astype(np.int64)
    )
    listed = np.cumsum(high * 256 + low)
    if listed[-1] > 65535:
        raise CorruptError("a tile lists levels of more than 16 bits.")
    return listed.astype(np.uint16), at + length


def _rows(numbers: np.ndarray) -> np.ndarray:
    """uint16 (n,) -> uint8 (2, n, 1), the high bytes above the low ones."""
    return np.stack([numbers >> 8, numbers & 255]).astype(np.uint8)[..., None]


# ---- the self-test -----------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def check_compiled() -> None:
    """Run the compiled coder once on small synthetic planes and compare with what every correct one must
    write.

    Raises UnsupportedError if this machine's compiled arithmetic is not the IEEE arithmetic that the format
    needs.
    """
    check_words(_synthetic(), DIGEST, "coder of high bit depths")


def _synthetic() -> bytes:
    """Words for 16 x 20 pixels of integer noise and slopes, of 12 and of 16 bits."""
    y, x = np.mgrid[:16, :20]
    noise = (np.arange(960) * 2654435761 >> 13) % 523
    done = b""
    for depth, factor in ((12, 1), (16, 19)):
        values = (((97 * y + 31 * x)[..., None] + noise.reshape(16, 20, 3)) * factor % (1 << depth)).astype(
            np.int32
        )
        coder = HighDepth(values.shape, depth, values, check=False)
        coder.code()
        done += coder.finish()
    return done
