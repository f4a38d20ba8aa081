"""What every pixel of a plane costs: the network's bits, and the bits that the coder spent on it. Knows
planes, payloads and the table of methods; no files, no pictures, no plots.

*The network's bits* are -log2 of the frequencies that the integer network gives to the digits of a pixel,
those that `--plain` hands to the range coder. They are exact for every pixel and channel.

*Spent* are the bits of the payload. Where the network alone codes, a pixel spends the network's bits. The
mixing coder learns while it codes, in compiled loops, and tells after a phase, or a strip of rows, how far
its range coder has come. So a phase's or a strip's bits are measured, and shared among its pixels as a
ruler's are: the network's bits, where it can see such pixels. All other planes are known as a whole only. The
sum over a plane is always the payload, to the bit: what a range coder needs to end is shared like the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from ardm.exact import mixture
from ardm.exact.predictor import Predictor, new_canvas
from ardm.exact.window import WindowWeights
from ardm.orders import PATCH
from codec.coder import converted, palette, plain
from codec.coder.continuation import Continuation
from codec.coder.mixing import Mixing
from codec.coder.schedule import Order, Schedule
from codec.coder.streams import Streams
from codec.coder.walk import as_rgb, walk
from codec.coder.work import Work
from codec.container import read_varint
from codec.ending import check
from codec.methods import Method, coder_of

SHARE = 2**13  # pixels that are looked at together: bounds memory
ROOT = -1  # the call of pixels that are stored before the first call


class Fineness(StrEnum):
    """How finely it is measured what was spent; within, it is shared out."""

    PIXEL = "pixel"
    PHASE = "phase of a network call"
    STRIP = "strip of rows"
    ROW = "row"
    PLANE = "plane of a tile"


@dataclass(frozen=True)
class PlaneBits:
    """Of a plane of a tile, (h, w) pixels with C channels."""

    spent: np.ndarray  # float64 (h, w), bits; the sum is that of the payload
    fineness: Fineness
    # float64 (C, h, w), bits in coding order (G, R, B); 0 where pixels are stored. None if nobody was asked
    network: np.ndarray | None = None
    call: np.ndarray | None = None  # int32 (h, w), in which call a pixel is coded; ROOT before the first
    level: np.ndarray | None = None  # int8 (h, w), of the stage that codes a pixel; None in raster order


class Meter:
    """A `codec.coder.plain.SymbolCoder` that writes nothing: it notes what symbols cost."""

    def __init__(self, channels: int, count: int) -> None:
        self.bits, self._asked = np.zeros((channels, count)), 0

    def code(self, weights: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        assert symbols is not None
        frequency = weights[np.arange(len(symbols)), symbols].astype(np.float64) + 1
        self.bits[self._asked // mixture.DIGITS] += 24 - np.log2(frequency)
        self._asked += 1
        return symbols

    def finish(self) -> bytes:
        return b""


def bits_of(
    params: np.ndarray, base: np.ndarray, values: np.ndarray, tables: mixture.Tables, channels: int
) -> np.ndarray:
    """The network's bits of the pixels of a call: float64 (channels, N), in coding order. Arguments as of
    `codec.coder.plain.code_call`.
    """
    out = np.empty((channels, len(params)))
    for start in range(0, len(params), SHARE):
        part = slice(start, start + SHARE)
        meter = Meter(channels, len(params[part]))
        plain.code_call(meter, params[part], base[part], tables, channels, values[part])
        out[:, part] = meter.bits
    return out


def measure(
    plane: np.ndarray, payload: bytes, method: int, schedule: Schedule, predictor: Predictor, few: bool
) -> PlaneBits:
    """Of a plane, uint8 (h, w, 1 or 3), or of a tile, (h, w, 1 to 4), where the method codes all its planes,
    that was decoded of a payload. few: as in `codec.samples.Kind`: the network knows no such pixels, and is
    no ruler for them.
    """
    if method == Method.NETWORK:
        return _network(plane, payload, schedule, predictor)
    if method == Method.CONVERTED:
        return _converted(plane, payload, schedule, predictor)
    if method == Method.GRAPHICS:
        height, width, channels = plane.shape
        rows = strip_bits(Mixing(channels, height * width, None, payload, _sound()), height, width, 1)
        ruler = None if few else raster_bits(plane, predictor.weights)
        call = np.arange(height * width, dtype=np.int32).reshape(height, width)
        share = np.ones((height, width)) if ruler is None else ruler.sum(0)
        return PlaneBits(_fitted(_by_strip(share, rows), payload), Fineness.ROW, ruler, call)
    if method == Method.PALETTE:
        return _indices(plane, payload)
    return whole(plane.shape[:2], len(payload))


def whole(shape: tuple[int, ...], size: int) -> PlaneBits:
    """A plane of which nothing is known but that its payload has `size` bytes."""
    return PlaneBits(np.full(shape, 8 * size / np.prod(shape)), Fineness.PLANE)


def so_far(coder: Streams) -> float:
    """Bits that a coder's streams, in either direction, have taken: words, and how far it is within the
    next.
    """
    return sum(32 * int(coder.state[s, 2]) - float(np.log2(float(coder.state[s, 0]))) for s in coder.steps)


def strip_bits(mixing: Mixing, height: int, width: int, strip: int) -> list[tuple[int, float]]:
    """(rows, bits) of each strip of rows of a plane in raster order. mixing: a decoder, made to go on, which
    is why it tells after every strip.
    """
    out: list[tuple[int, float]] = []
    mixing.start_stage(np.zeros((3, height, width), np.int16), None)
    before = so_far(mixing)

    def told(pixels: int) -> None:
        nonlocal before
        check()
        now = so_far(mixing)
        out.append((pixels // width, now - before))
        before = now

    mixing.code_raster(strip, told)
    return out


def raster_bits(plane: np.ndarray, weights: WindowWeights) -> np.ndarray:
    """The network's bits of a plane, uint8 (h, w, 1 or 3), in raster order: float64 (C, h, w)."""
    height, width, channels = plane.shape
    canvas, predictor, tables = new_canvas(height, width), Predictor(weights), plain.tables_of(weights)
    canvas.image[:] = as_rgb(plane)
    out, values = np.empty((channels, height * width)), canvas.image.reshape(-1, 3)
    for start in range(0, height * width, SHARE):
        check()
        places = np.arange(start, min(start + SHARE, height * width))
        where = np.stack(np.divmod(places, width), 1).astype(np.int32)
        out[:, places] = bits_of(*predictor.raster(canvas, where), values[places], tables, channels)
    return out.reshape(channels, height, width)


def raster_calls(schedule: Schedule, height: int, width: int) -> np.ndarray:
    """In which call every pixel is coded in raster order: int32 (h, w). Each row of a strip follows the one
    above it by `slope` pixels; strip after strip, as `Schedule.calls` counts them.
    """
    rows = min(schedule.strip or height, height)
    strip, row = np.divmod(np.arange(height), rows)
    starts = strip * (width + schedule.slope * (rows - 1)) + schedule.slope * row
    return np.add.outer(starts, np.arange(width)).astype(np.int32)


def _network(
    plane: np.ndarray,
    payload: bytes,
    schedule: Schedule,
    predictor: Predictor,
    blocks: tuple[int, int] | None = None,
) -> PlaneBits:
    """Of a plane by the network. blocks: as of `Work`."""
    if schedule.order != Order.RASTER:
        return _levels(plane, payload, schedule, predictor)
    height, width, channels = plane.shape
    network = raster_bits(plane, predictor.weights)
    call, share, fineness = raster_calls(schedule, height, width), network.sum(0), Fineness.PIXEL
    if not schedule.plain:
        decoder = Mixing(channels, height * width, predictor.weights, payload, _sound(), blocks)
        share = _by_strip(share, strip_bits(decoder, height, width, schedule.strip))
        fineness = Fineness.STRIP
    return PlaneBits(_fitted(share, payload), fineness, network, call)


def _converted(plane: np.ndarray, payload: bytes, schedule: Schedule, predictor: Predictor) -> PlaneBits:
    """Of a plane whose colours were converted back: of luma, and luma with the differences."""
    _, origin, _, at = converted.open_payload(payload, plane.shape[0] * plane.shape[1])
    work = Work(schedule, predictor, blocks=origin)
    planes = coder_of(Method.NETWORK).decode(payload[at:], (*plane.shape[:2], 3), work)
    bits = _network(planes, payload[at:], schedule, predictor, origin)
    return replace(bits, spent=_fitted(bits.spent, payload))


def _indices(tile: np.ndarray, payload: bytes) -> PlaneBits:
    """Of a tile with a palette, whose bytes all pixels share."""
    height, width, channels = tile.shape
    _, method, at = palette.open_payload(payload, channels)
    if method != Method.GRAPHICS:
        return whole((height, width), len(payload))
    rows = strip_bits(Mixing(1, height * width, None, payload[at:], _sound()), height, width, 1)
    call = np.arange(height * width, dtype=np.int32).reshape(height, width)
    return PlaneBits(_fitted(_by_strip(np.ones((height, width)), rows), payload), Fineness.ROW, None, call)


def _levels(plane: np.ndarray, payload: bytes, schedule: Schedule, predictor: Predictor) -> PlaneBits:
    shape = plane.shape[:2]
    level = schedule.root_level(*shape)
    ledger = _Ledger(plane, schedule, predictor.weights)
    image = as_rgb(plane)
    stride = PATCH**level
    length, at = read_varint(payload, 1)  # of the root
    ledger.share[::stride, ::stride] = 8 * (at + length) / ledger.share[::stride, ::stride].size
    walk(ledger, predictor, schedule, image[::stride, ::stride], shape, image, ledger.told)
    fineness = Fineness.PIXEL if schedule.plain else Fineness.PHASE
    return PlaneBits(_fitted(ledger.share, payload), fineness, ledger.network, ledger.call, ledger.levels)


class _Ledger:
    """A `codec.coder.walk.PixelModel` that knows the pixels, and notes what they cost."""

    def __init__(self, plane: np.ndarray, schedule: Schedule, weights: WindowWeights) -> None:
        height, width, self.channels = plane.shape
        self.level, self.calls = schedule.root_level(height, width), 0
        self.network = np.zeros((self.channels, height, width))
        self.share = np.zeros((height, width))
        self.call = np.full((height, width), ROOT, np.int32)
        self.levels = np.full((height, width), self.level, np.int8)
        self.tables = plain.tables_of(weights)
        self.mixing = None if schedule.plain else Mixing(self.channels, height * width, weights)

    def start_stage(self, pixels: np.ndarray, truth: np.ndarray | None) -> None:
        assert truth is not None
        self.level, self.truth = self.level - 1, truth
        if self.mixing:
            self.mixing.start_stage(pixels, truth)

    def told(self, done: int) -> None:
        check()
        self.calls += 1

    def code_phase(
        self, phase: tuple[int, int], where: np.ndarray, params: np.ndarray, base: np.ndarray
    ) -> np.ndarray:
        values = self.truth[:, where[:, 0], where[:, 1]].T.astype(np.uint8)
        bits = bits_of(params, base, values, self.tables, self.channels)
        share, stride = bits.sum(0), PATCH**self.level
        if self.mixing:
            before = so_far(self.mixing)
            self.mixing.code_phase(phase, where, params, base)
            share = share * ((so_far(self.mixing) - before) / share.sum())
        y, x = where[:, 0] * stride, where[:, 1] * stride
        self.network[:, y, x], self.share[y, x] = bits, share
        self.call[y, x], self.levels[y, x] = self.calls, self.level
        return values


def _sound() -> Continuation:
    """To go on with nothing: all of the payload is there."""
    return Continuation([0], 0)


def _by_strip(ruler: np.ndarray, strips: list[tuple[int, float]]) -> np.ndarray:
    """Bits (h, w): of each strip as measured, shared as the ruler's are."""
    out, top = np.empty_like(ruler), 0
    for rows, bits in strips:
        part = ruler[top : top + rows]
        out[top : top + rows] = part * (max(bits, 0.0) / part.sum())
        top += rows
    return out


def _fitted(share: np.ndarray, payload: bytes) -> np.ndarray:
    """Shares as bits that add up to the payload's."""
    return share * (8 * len(payload) / share.sum()) if share.sum() else share + 8 * len(payload) / share.size


__all__ = [
    "ROOT",
    "Fineness",
    "Meter",
    "PlaneBits",
    "bits_of",
    "measure",
    "raster_bits",
    "raster_calls",
    "whole",
]
