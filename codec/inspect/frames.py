"""An image as it fills in, call after call: what is known is as it is, what is not is as the network expects
it. Knows planes of a tile and which call codes a pixel; no files and no plots.

While a stage is coded, its pixels stand for those between them, which no call has reached yet. Where the
network was not asked, what is unknown is grey.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ardm.exact import mixture
from ardm.exact.predictor import Predictor, new_canvas
from ardm.orders import PATCH
from ardm.units import CODING_ORDER, MEAN_STEPS, PER_COMPONENT
from ardm.window import UNKNOWN_BASE
from codec.coder import plain
from codec.coder.walk import as_rgb
from codec.ending import check
from codec.inspect.measure import ROOT, SHARE, PlaneBits

Window = tuple[int, int, int, int]  # top, left, height, width, within a tile


@dataclass(frozen=True)
class Frame:
    """A moment."""

    calls: int  # that have been made
    known: float  # share of the window's pixels
    pixels: np.ndarray  # uint8 (h, w, 3)


def window_of(bits: PlaneBits, side: int) -> Window:
    """The part of a tile that costs most, no side longer than `side`; it begins on a pixel of a coarse
    level."""
    height, width = bits.spent.shape
    rows, columns = min(height, side), min(width, side)
    sums = _sums(bits.spent)
    tops, lefts = (range(0, n - m + 1, PATCH**2) for n, m in ((height, rows), (width, columns)))
    _, top, left = max(
        (sums[y + rows, x + columns] - sums[y, x + columns] - sums[y + rows, x] + sums[y, x], -y, -x)
        for y in tops
        for x in lefts
    )
    return -top, -left, rows, columns


def fill_in(
    plane: np.ndarray, bits: PlaneBits, predictor: Predictor | None, window: Window, count: int
) -> list[Frame]:
    """At most `count` moments of a window of a plane, uint8 (h, w, 1 or 3), evenly over the calls that code
    it; the last shows all of it. predictor: None where the network was not asked.
    """
    assert bits.call is not None
    top, left, height, width = window
    call = bits.call[top : top + height, left : left + width]
    made = np.unique(call)
    picked = made[np.unique(np.linspace(0, len(made) - 1, min(count, len(made))).round().astype(int))]
    if made[0] != ROOT:  # nothing is known before the first call
        picked = np.unique([made[0] - 1, *picked[len(picked) == count :]])
    frames = []
    for last in picked.tolist():
        check()
        level = _level_at(bits, last)
        pixels = _moment(plane, bits, predictor, window, last, level)
        frames.append(Frame(last + 1, float((call <= last).mean()), pixels))
    return frames


def _level_at(bits: PlaneBits, last: int) -> int:
    """The stage that is being coded after the call `last`."""
    if bits.level is None:
        return 0
    assert bits.call is not None
    return int(bits.level[bits.call <= last].min())


def _moment(
    plane: np.ndarray, bits: PlaneBits, predictor: Predictor | None, window: Window, last: int, level: int
) -> np.ndarray:
    """The window when the calls up to `last` have been made, and pixels of `level` and above are asked
    for."""
    assert bits.call is not None
    top, left, height, width = window
    stride = PATCH**level
    known = bits.call[::stride, ::stride] <= last
    picture = as_rgb(plane[::stride, ::stride])
    first_row, first_column = top // stride, left // stride
    end_row, end_column = -(-(top + height) // stride), -(-(left + width) // stride)
    out = np.where(known[..., None], picture, np.uint8(UNKNOWN_BASE))
    part = known[first_row:end_row, first_column:end_column]
    if predictor and not part.all():
        where = (np.argwhere(~part) + np.array([first_row, first_column])).astype(np.int32)
        out[where[:, 0], where[:, 1]] = expected(picture, known, where, predictor, plane.shape[2])
    spread = out[first_row:end_row, first_column:end_column].repeat(stride, 0).repeat(stride, 1)
    at_row, at_column = top - first_row * stride, left - first_column * stride
    return np.ascontiguousarray(spread[at_row : at_row + height, at_column : at_column + width])


def expected(
    picture: np.ndarray, known: np.ndarray, where: np.ndarray, predictor: Predictor, channels: int
) -> np.ndarray:
    """What the network expects of unknown pixels `where`, int32 (N, 2), of a picture, uint8 (h, w, 3), of
    which it sees what is known, bool (h, w): the mean of each channel's distribution, given the means of the
    channels before. Returns uint8 (N, 3).
    """
    canvas = new_canvas(*known.shape)
    canvas.image[:], canvas.mask[:] = picture, known
    tables = plain.tables_of(predictor.weights)
    # where nothing is known around, all expectations are one
    around = _sums(np.pad(known, predictor.weights.config.radius))
    side = 2 * predictor.weights.config.radius + 1
    y, x = where[:, 0], where[:, 1]
    blind = around[y + side, x + side] - around[y, x + side] - around[y + side, x] + around[y, x] == 0
    order = np.concatenate([np.flatnonzero(~blind), np.flatnonzero(blind)[:1]])
    out = np.empty((len(where), 3), np.uint8)
    for start in range(0, len(order), SHARE):
        check()
        part = order[start : start + SHARE]
        out[part] = _means(*predictor.scattered(canvas, where[part]), tables, channels)
    out[blind] = out[order[-1]]
    return out


def _sums(values: np.ndarray) -> np.ndarray:
    """Of all values above and to the left of each corner: (h + 1, w + 1)."""
    return np.pad(values.cumsum(0, dtype=np.float64).cumsum(1), ((1, 0), (1, 0)))


def _means(params: np.ndarray, base: np.ndarray, tables: mixture.Tables, channels: int) -> np.ndarray:
    count = len(params)
    state = mixture.new_state(count, params.shape[1] // PER_COMPONENT)
    out = np.empty((count, 3), np.uint8)
    mixture.start_pixels(state, params, count, tables)
    for step, c in enumerate(CODING_ORDER[:channels]):
        mixture.start_channel(state, params, base, step, c, count, tables)
        total = state.weight.sum(0)
        mean = (state.weight * (state.center - MEAN_STEPS // 2)).sum(0) / (total * MEAN_STEPS)
        state.low[:] = np.rint(mean.clip(0, 255)).astype(np.int64)
        out[:, c] = state.low
        mixture.finish_channel(state, base, step, c, count, tables)
    if channels == 1:
        out[:] = out[:, 1:2]
    return out
