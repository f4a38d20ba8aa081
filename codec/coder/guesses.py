"""Histograms of how far simple predictions were off: inputs of the mixing coder beside the network, for
pictures unlike those that it has learned from (scaled, sharpened, drawn upon). Knows arrays of numbers only.
Specified in docs/format/mixing.md.

GUESSES sums of neighbours and of the pixel's earlier channels each have histograms of value - guess, one for
every class of their own errors nearby and of their *spread*, how far apart the samples are that they are made
of; and where the picture was made of blocks, for every *spot* (`codec.coder.kernel`). Counts are cumulative,
so that a bit, which cuts an interval in two, takes one look-up; a value that is learned changes all counts
after its bin, many at once.

Its arithmetic is as exact as that of `codec.coder.arithmetic`, whose rules hold here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import BORROWING, inlined
from codec.coder.arithmetic import PAD, ln, rounded

GUESSES = 16  # of a value; the last is the mean of the others, those that were right nearby weighing most
CLASSES = 8  # of errors, and of spreads
SPOTS = 4  # where in a block a value is
# Of a histogram; what is further below the guess is in the first one, what is further above in the last,
# which no count comes after: such values are not counted.
BINS = 128
MIDDLE = BINS // 2
MOST = 1000  # values in a histogram; then all counts are halved
ABOVE = 2  # rows whose errors are looked at, above that of a value
EDGES = 1, 2, 4, 6, 9, 14, 24  # least error of each class but the first
FLAT = 250.0  # variance, times 64, of a channel that says little of another
NEAREST, BLEND = GUESSES - 2, GUESSES - 1


def _log_counts() -> np.ndarray:
    """Natural logarithms of counts, and one more."""

    def log_of(n: int) -> int:
        return rounded(lambda number: 65536 * ln(number(n)))

    return np.array([log_of(n + 1) / 65536 for n in range(MOST + 1)])


LOG_COUNT = _log_counts()
CLASS_OF = np.array([sum(error >= edge for edge in EDGES) for error in range(256)], dtype=np.int32)


class Guesses(NamedTuple):
    """What is known of a plane's predictions, and room for those of a value."""

    # uint16, flat (SPOTS, 3, GUESSES, CLASSES, CLASSES, BINS): how many values were in earlier bins
    counts: np.ndarray
    # uint8, flat (rows, w + 2 PAD, 3, GUESSES), how far they were off; of row y in row y modulo rows
    error: np.ndarray
    rows: np.ndarray  # int64 (1,), of `error`, a power of 2, less 1
    weight: np.ndarray  # float64 (GUESSES,), of each in the last; 0 of that itself
    sums: np.ndarray  # float64 (GUESSES,), room for those of weights
    guess: np.ndarray  # int32 (GUESSES,)
    spread: np.ndarray  # int32 (GUESSES,)
    nearby: np.ndarray  # int32 (GUESSES,), errors nearby
    shift: np.ndarray  # int32 (GUESSES,), from a value to its bin
    bins: np.ndarray  # int32 (GUESSES,), of an edge
    first: np.ndarray  # int32 (GUESSES,), where the histogram at hand begins
    below: np.ndarray  # int32 (GUESSES,), counts below the interval at hand
    middle: np.ndarray  # below the next decision's edge
    above: np.ndarray  # below its end


NARROW = "guess", "spread", "nearby", "shift", "bins", "first", "below", "middle", "above"


def new_guesses(strip: int, width: int) -> Guesses:
    """Before anything is coded of a plane so wide, in strips of so many rows; with 0 for coding without."""
    used = strip * width > 0
    rows = 1 << (strip + ABOVE - 1).bit_length() if used else 1
    return Guesses(
        counts=np.zeros(SPOTS * 3 * GUESSES * CLASSES**2 * BINS if used else 1, dtype=np.uint16),
        error=np.zeros(rows * (width + 2 * PAD) * 3 * GUESSES, dtype=np.uint8),
        rows=np.array([rows - 1]),
        weight=np.zeros(GUESSES),
        sums=np.zeros(GUESSES),
        **{name: np.zeros(GUESSES, dtype=np.int32) for name in NARROW},
    )


@inlined(**BORROWING)
def _nearest(north: Any, west: Any, corner: Any) -> Any:
    """Which of the three is nearest to north + west - corner, west before north before corner (Paeth)."""
    to_west, to_north = abs(north - corner), abs(west - corner)
    to_corner = abs(north + west - 2 * corner)
    if to_west <= to_north and to_west <= to_corner:
        return west
    return north if to_north <= to_corner else corner


@inlined(**BORROWING)
def _sample(x: Any, place: Any) -> Any:
    """One that is there: the compiler need not ask whether the place is negative."""
    return int(x[np.uint64(place)])


@inlined(**BORROWING)
def _guess_first(x: Any, here: Any, stride: Any, guesses: Any) -> None:
    """Of the first channel of a pixel, from its own neighbours. x: samples of the channel, flat; here: where
    the pixel is."""
    guess, spread = guesses.guess, guesses.spread
    n, nn, nnn = _sample(x, here - stride), _sample(x, here - 2 * stride), _sample(x, here - 3 * stride)
    w, ww, www = _sample(x, here - 1), _sample(x, here - 2), _sample(x, here - 3)
    nw, nww = _sample(x, here - stride - 1), _sample(x, here - stride - 2)
    ne, nee, nne = (
        _sample(x, here - stride + 1),
        _sample(x, here - stride + 2),
        _sample(x, here - 2 * stride + 1),
    )
    least, most = min(min(n, w), min(nw, ne)), max(max(n, w), max(nw, ne))
    guess[0], spread[0] = (2 * ne + w - nne + 1) >> 1, abs(ne - w)
    guess[1], spread[1] = min(max(3 * n - 3 * nn + nnn, least), most), abs(n - nn)
    guess[2], spread[2] = min(max(3 * w - 3 * ww + www, least), most), abs(w - ww)
    guess[3], spread[3] = 2 * n - nn, abs(nn - nnn)
    guess[4], spread[4] = w, abs(n - nw)
    guess[5], spread[5] = n, abs(w - nw)
    guess[6], spread[6] = (3 * n + 3 * w - nn - ww + 2) >> 2, abs(n - w)
    guess[7], spread[7] = n + w - nw, abs(n - nw)
    guess[8], spread[8] = w + ne - n, abs(ne - n)
    guess[9], spread[9] = w + nw - nww, abs(w - nww)
    guess[10], spread[10] = (w + ne + 1) >> 1, abs(w - ne)
    guess[11], spread[11] = n + ne - nne, abs(ne - nne)
    guess[12], spread[12] = 2 * w - ww, abs(ww - www)
    guess[13], spread[13] = (w + nee + 1) >> 1, abs(w - nee)
    guess[NEAREST], spread[NEAREST] = _nearest(n, w, nw), most - least


@inlined(**BORROWING)
def _on_line(at: Any, elsewhere: Any, here: Any, times: Any) -> Any:
    """(guess, spread) by the line through six neighbours' values elsewhere, in `times` channels added up, and
    in this channel; the first two neighbours count twice. at: the value elsewhere."""
    tw, tn, tnw, tne, tww, tnn = elsewhere
    w, n, nw, ne, ww, nn = here
    there, sum_here = 2 * (tw + tn) + tnw + tne + tww + tnn, 2 * (w + n) + nw + ne + ww + nn
    squares = 2 * (tw * tw + tn * tn) + tnw * tnw + tne * tne + tww * tww + tnn * tnn
    products = 2 * (tw * w + tn * n) + tnw * nw + tne * ne + tww * ww + tnn * nn
    slope = (8 * products - there * sum_here + times * FLAT) / (
        8 * squares - there * there + times * times * FLAT
    )
    line = sum_here * 0.125 + slope * (at - there * 0.125)
    return int(min(max(line + 0.5, 0.0), 255.0)), abs(8 * at - there) >> (2 + times)


@inlined(**BORROWING)
def _guess_other(x: Any, here: Any, first: Any, other: Any, stride: Any, guesses: Any) -> None:
    """Of another channel. first, other: where this pixel is in the first channel (p), and in the remaining
    one (q): R of this pixel for B, B of the pixel to the left for R."""
    guess, spread = guesses.guess, guesses.spread
    n, nn, w, ww = (
        _sample(x, here - stride),
        _sample(x, here - 2 * stride),
        _sample(x, here - 1),
        _sample(x, here - 2),
    )
    nw, ne = _sample(x, here - stride - 1), _sample(x, here - stride + 1)
    nee, nne = _sample(x, here - stride + 2), _sample(x, here - 2 * stride + 1)
    p, pn, pnn = _sample(x, first), _sample(x, first - stride), _sample(x, first - 2 * stride)
    pw, pww = _sample(x, first - 1), _sample(x, first - 2)
    pnw, pne = _sample(x, first - stride - 1), _sample(x, first - stride + 1)
    pnee, pnne = _sample(x, first - stride + 2), _sample(x, first - 2 * stride + 1)
    q, qn, qnn = _sample(x, other), _sample(x, other - stride), _sample(x, other - 2 * stride)
    qw, qww = _sample(x, other - 1), _sample(x, other - 2)
    qnw, qne = _sample(x, other - stride - 1), _sample(x, other - stride + 1)
    around = w, n, nw, ne, ww, nn
    guess[0], spread[0] = _on_line(p, (pw, pn, pnw, pne, pww, pnn), around, 1)
    both = pw + qw, pn + qn, pnw + qnw, pne + qne, pww + qww, pnn + qnn
    guess[1], spread[1] = _on_line(p + q, both, around, 2)
    plane = pw + pn - pnw
    guess[2], spread[2] = p + w + n - nw - plane, abs(p - plane)
    guess[3], spread[3] = p + w - pw, abs(p - pw)
    guess[4], spread[4] = p + n - pn, abs(p - pn)
    guess[5], spread[5] = p + ne - pne, abs(p - pne)
    plane = 2 * pw - pww
    guess[6], spread[6] = p + 2 * w - ww - plane, abs(p - plane)
    plane = 2 * pn - pnn
    guess[7], spread[7] = p + 2 * n - nn - plane, abs(p - plane)
    plane = pw + pnee - pne
    guess[8], spread[8] = p + w + nee - ne - plane, abs(p - plane)
    plane = pn + pne - pnne
    guess[9], spread[9] = p + n + ne - nne - plane, abs(p - plane)
    guess[10], spread[10] = w + ((p - pw + q - qw + 1) >> 1), abs((p - pw) - (q - qw))
    guess[11], spread[11] = n + ((p - pn + q - qn + 1) >> 1), abs((p - pn) - (q - qn))
    plane = qw + qn - qnw
    guess[12], spread[12] = q + w + n - nw - plane, abs(q - plane)
    guess[13], spread[13] = q, abs(q - qw)
    guess[NEAREST] = _nearest(n, w, nw)
    spread[NEAREST] = max(max(n, w), max(nw, ne)) - min(min(n, w), min(nw, ne))


@inlined(**BORROWING)
def _error_at(s: Any, row: Any, column: Any, stride: Any, guesses: Any) -> Any:
    """Where the errors of a value are."""
    return np.uint64((((row & guesses.rows[0]) * stride + PAD + column) * 3 + s) * GUESSES)


@inlined(**BORROWING)
def _errors_nearby(s: Any, row: Any, column: Any, stride: Any, guesses: Any) -> None:
    """Errors of every guess at six neighbours, the nearest twice. stride: samples of a row, with those around
    it."""
    error, nearby, of_pixel = guesses.error, guesses.nearby, np.uint64(3 * GUESSES)
    w = _error_at(s, row, column, stride, guesses) - of_pixel
    n = _error_at(s, row - 1, column, stride, guesses)
    nn = _error_at(s, row - 2, column, stride, guesses)
    ww, nw, ne = w - of_pixel, n - of_pixel, n + of_pixel
    for i in range(GUESSES):
        j = np.uint64(i)
        nearest = np.int32(error[w + j]) + np.int32(error[n + j])
        others = np.int32(error[nw + j]) + np.int32(error[ne + j])
        others += np.int32(error[ww + j]) + np.int32(error[nn + j])
        nearby[j] = nearest + nearest + others


@inlined(**BORROWING)
def find_histograms(s: Any, spot: Any, x: Any, at: Any, layout: Any, mean: Any, guesses: Any) -> None:
    """Make the guesses of channel s, the s-th that is coded, and find their histograms. x: samples, flat; at,
    layout: `codec.coder.kernel.At` and `Layout`; mean: the corrected one."""
    guess, spread = guesses.guess, guesses.spread
    here, plane, stride = at.here, layout.plane, layout.stride
    if s == 0:
        _guess_first(x, plane + here, stride, guesses)
    elif s == 1:
        _guess_other(x, here, plane + here, 2 * plane + here - 1, stride, guesses)
    else:
        _guess_other(x, 2 * plane + here, plane + here, here, stride, guesses)
    _errors_nearby(s, at.row, at.column, stride, guesses)
    nearby = guesses.nearby
    for j in range(GUESSES):
        guess[j] = min(max(guess[j], np.int32(0)), np.int32(255))
        spread[j] = min(spread[j], np.int32(255))
    blend = _blend(guesses)
    guess[BLEND] = int(blend + 0.5)
    spread[BLEND] = int(min(abs(blend - mean) * 4.0, 255.0))
    of_channel = np.int32((spot * 3 + s) * GUESSES * CLASSES**2)
    for j in range(GUESSES):
        by_error, by_spread = CLASS_OF[np.uint32(nearby[j] >> np.int32(3))], CLASS_OF[np.uint32(spread[j])]
        histogram = of_channel + np.int32(j * CLASSES**2) + by_error * np.int32(CLASSES) + by_spread
        guesses.first[j] = histogram * np.int32(BINS)
        guesses.shift[j] = np.int32(MIDDLE) - guess[j]


@inlined(**BORROWING)
def _blend(guesses: Any) -> Any:
    """The mean of all guesses but the last, by the fourth power of their errors nearby."""
    guess, nearby, weight, sums = guesses.guess, guesses.nearby, guesses.weight, guesses.sums
    for j in range(GUESSES):
        square = (nearby[j] + 1.5) * (nearby[j] + 1.5)
        weight[j] = 1.0 / (square * square)
    weight[BLEND] = 0.0
    for j in range(GUESSES):
        sums[j] = weight[j] * guess[j]
    weights, total = 0.0, 0.0
    for k in range(4):
        of_four, sum_of_four = 0.0, 0.0
        for i in range(0, GUESSES, 4):
            of_four += weight[np.uint32(i + k)]
            sum_of_four += sums[np.uint32(i + k)]
        weights += of_four
        total += sum_of_four
    return total / weights


@inlined(**BORROWING)
def _look_up(edge: Any, to: Any, guesses: Any) -> None:
    """How many values were less than an edge."""
    counts, first, bins = guesses.counts, guesses.first, guesses.bins
    for j in range(GUESSES):
        bins[j] = min(max(np.int32(edge) + guesses.shift[j], np.int32(0)), np.int32(BINS - 1))
    for j in range(GUESSES):
        to[j] = counts[np.uint32(first[j] + bins[j])]


@inlined(**BORROWING)
def histogram_inputs(low: Any, half: Any, fresh: Any, to: Any, start: Any, guesses: Any) -> None:
    """Log-odds of the next bit, into to[start:]. low: of the interval; half: of its size; fresh: whether the
    decision before was not mixed, so that the interval's counts must be looked up."""
    below, middle, above = guesses.below, guesses.middle, guesses.above
    if fresh:
        _look_up(low, below, guesses)
        _look_up(low + 2 * half, above, guesses)
    _look_up(low + half, middle, guesses)
    for j in range(GUESSES):
        one, zero = above[j] - middle[j], middle[j] - below[j]
        to[np.uint64(start + j)] = LOG_COUNT[np.uint32(one)] - LOG_COUNT[np.uint32(zero)]


@inlined(**BORROWING)
def take_bit(bit: Any, guesses: Any) -> None:
    """Go into the half that a bit says."""
    below, middle, above = guesses.below, guesses.middle, guesses.above
    if bit:
        for j in range(GUESSES):
            below[j] = middle[j]
    else:
        for j in range(GUESSES):
            above[j] = middle[j]


@inlined(**BORROWING)
def learn_guesses(s: Any, value: Any, row: Any, column: Any, stride: Any, guesses: Any) -> None:
    """Note how far every guess was off."""
    counts, guess = guesses.counts, guesses.guess
    place = _error_at(s, row, column, stride, guesses)
    for j in range(GUESSES):
        guesses.error[place + np.uint64(j)] = abs(value - guess[j])
        first = np.int32(guesses.first[j])
        found = min(max(np.int32(value) + guesses.shift[j], np.int32(0)), np.int32(BINS - 1))
        # asked before it is written: it would have to wait for that
        full = counts[np.uint32(first + BINS - 1)] == MOST - 1 and found < BINS - 1
        for i in range(BINS):
            counts[np.uint32(first + np.int32(i))] += np.uint16(np.int32(i) > found)
        if full:
            for i in range(BINS):
                counts[np.uint32(first + i)] >>= 1
