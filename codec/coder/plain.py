"""Plain coding: each call's exact distributions go to the range coder, and nothing is learned: the paper's
method as it stands.

A call's pixels are coded channel after channel (G, R, B), a channel digit after digit (`ardm.exact.mixture`),
over the pixels in their order. The range coder is constriction's; where that has no package, and inside
compiled loops, `codec.coder.rangecoder`, which writes the same words. Knows no files.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from ardm.compiled import BORROWING, compiled
from ardm.exact import evaluate, mixture
from ardm.exact.evaluate import BLOCK, finish_block, gather_raster
from ardm.exact.mixture import DIGITS, finish_channel, split, start_channel, start_pixels, take
from ardm.exact.window import WindowWeights
from ardm.units import CODING_ORDER, PER_COMPONENT
from ardm.window import WindowConfig
from codec.coder.continuation import Continuation
from codec.coder.mixing import raster_net
from codec.coder.rangecoder import code_symbols, exhausted, new_decoder, new_encoder, seal, unseal
from codec.coder.schedule import Schedule
from codec.errors import CorruptError

try:
    import constriction
except ImportError:  # it has no package for some machines
    constriction = None

PIECE = 2**14  # pixels, about, between two chances for a signal
FIRST_ROOM = 1024  # words of an encoder
FIRST_SHIFT = 2 * (DIGITS - 1)  # bits of a value below the first digit


class Symbols(Protocol):
    """What decides symbols: one end of a stream, or chance."""

    def code(self, weights: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        """weights: float32 (N, A), frequencies minus one, rows add up to 2**24 - A; symbols: int32 (N,), None
        when decoding. Returns them, int32 (N,).
        """


class SymbolCoder(Symbols, Protocol):
    """One end of a stream. Both ends are driven by the same calls in the same order."""

    def finish(self) -> bytes:
        """What an encoder wrote."""


class LibraryEncoder:
    """A SymbolCoder that writes, by constriction."""

    def __init__(self) -> None:
        self._queue = constriction.stream.queue.RangeEncoder()

    def code(self, weights: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        assert symbols is not None
        self._queue.encode(symbols, _library_model(), weights)
        return symbols

    def finish(self) -> bytes:
        return self._queue.get_compressed().astype("<u4").tobytes()


class LibraryDecoder:
    """A SymbolCoder that reads, by constriction. It cannot notice damage: check the checksum first."""

    def __init__(self, data: bytes) -> None:
        self._queue = constriction.stream.queue.RangeDecoder(
            np.frombuffer(data, dtype="<u4").astype(np.uint32)
        )

    def code(self, weights: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        try:
            return self._queue.decode(_library_model(), weights)
        # constriction's way to say that no encoder can have written these words
        except AssertionError as error:
            raise CorruptError("the coded data does not fit the model.") from error


def _library_model() -> Any:
    """With perfect=False, float32 weights, frequencies minus one, that add up to 2**24 - A pass through
    constriction unchanged.
    """
    return constriction.stream.model.Categorical(perfect=False)


class Encoder:
    """A SymbolCoder that writes, compiled."""

    def __init__(self) -> None:
        self.state = new_encoder()
        self.words = np.empty((1, FIRST_ROOM), dtype=np.uint32)

    def code(self, weights: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        assert symbols is not None
        if len(symbols) != len(weights):
            raise ValueError(
                f"there must be as many symbols as rows of weights, {len(weights)}, got {len(symbols)}."
            )
        self.make_room(len(weights))
        if (done := _code(self.state, self.words, weights, symbols, False)) < len(weights):
            raise ValueError(f"symbols must be 0..{weights.shape[1] - 1}, got {symbols[done]}.")
        return symbols

    def make_room(self, needed: int) -> None:
        """For so many more symbols."""
        used, room = int(self.state[0, 2]), self.words.shape[1]
        if used + needed > room:
            words = np.empty((1, max(2 * room, used + needed)), dtype=np.uint32)
            words[0, :used] = self.words[0, :used]
            self.words = words

    def finish(self) -> bytes:
        return seal(self.state[0], self.words[0])


class Decoder:
    """A SymbolCoder that reads, compiled. It cannot notice damage: check the checksum of `data` first."""

    def __init__(self, data: bytes) -> None:
        self.state, self.words = new_decoder(data)

    def make_room(self, needed: int) -> None:
        """All words are there."""

    def code(self, weights: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        decoded = np.empty(len(weights), dtype=np.int32)
        if _code(self.state, self.words, weights, decoded, True) < len(weights):
            raise CorruptError("the coded data does not fit the model.")
        return decoded

    def exhausted(self) -> bool:
        """May it have read all that was encoded?"""
        return exhausted(self.state[0])


def _code(
    state: np.ndarray, words: np.ndarray, weights: np.ndarray, symbols: np.ndarray, decoding: bool
) -> int:
    with np.errstate(over="ignore"):  # sums that carry wrap around; only uncompiled code notices
        return code_symbols(state, words, weights, symbols, decoding)


class Drawer:
    """Symbols that are drawn by their frequencies, where what an encoder wrote is missing."""

    def __init__(self, continuation: Continuation) -> None:
        self._rest = continuation

    def code(self, weights: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        quantile = self._rest.words(0, len(weights)) >> 8  # below 2**24, as the frequencies' sum is
        ends = np.cumsum(weights.astype(np.int64) + 1, axis=1)
        return (quantile[:, None] >= ends).sum(1).astype(np.int32)


def code_call(
    coder: Symbols,
    params: np.ndarray,
    base: np.ndarray,
    tables: mixture.Tables,
    channels: int,
    values: np.ndarray | None,
) -> np.ndarray:
    """Code the N pixels of a call, which are independent given their parameters.

    params: int32 (N, 10 K); base: int16 (N, 3); channels: 3, or 1 for grey (three equal channels); values:
    uint8 (N, 3), or None when decoding. Returns the values, uint8 (N, 3).
    """
    n = len(params)
    state = mixture.new_state(n, params.shape[1] // PER_COMPONENT)
    weights, out = np.empty((n, 4), np.float32), np.empty((n, 3), np.uint8)
    start_pixels(state, params, n, tables)
    for step, c in enumerate(CODING_ORDER[:channels]):
        start_channel(state, params, base, step, c, n, tables)
        for shift in range(FIRST_SHIFT, -1, -2):
            split(state, 1 << shift, n, tables, weights)
            digits = None if values is None else (values[:, c] >> shift & 3).astype(np.int32)
            take(state, 1 << shift, coder.code(weights, digits), n)
        out[:, c] = state.low
        if step < channels - 1:  # after the last one, nobody asks
            finish_channel(state, base, step, c, n, tables)
    if channels == 1:
        out[:] = out[:, 1:2]
    return out


class PlainPixels:
    """A `codec.coder.walk.PixelModel` that codes by the network's distributions alone."""

    def __init__(self, coder: Any, weights: WindowWeights, channels: int) -> None:
        self.coder, self.channels = coder, channels
        self.tables = tables_of(weights)

    def start_stage(self, pixels: np.ndarray, truth: np.ndarray | None) -> None:
        """Begin a stage. truth: int16 (3, h, w) when encoding."""
        self.truth = truth

    def finish(self) -> bytes:
        """What an encoder wrote."""
        return self.coder.finish()

    def code_phase(
        self, phase: tuple[int, int], where: np.ndarray, params: np.ndarray, base: np.ndarray
    ) -> np.ndarray:
        """Code pixels `where`, int32 (N, 2), with the network's params, int32 (N, 10 K), and base, int16 (N,
        3). Returns their values, uint8 (N, 3).
        """
        values = None if self.truth is None else self.truth[:, where[:, 0], where[:, 1]].T.astype(np.uint8)
        return code_call(self.coder, params, base, self.tables, self.channels, values)


class Raster(NamedTuple):
    """An image in raster order."""

    height: int
    width: int
    slope: int  # pixels by which each row follows the one above it
    channels: int  # 3, or 1 for grey


class Asked(NamedTuple):
    """The network, compiled, and what it sees."""

    net: Any  # `ardm.exact.evaluate.Net`
    scratch: Any
    canvas: Any  # `ardm.exact.evaluate.Canvas`
    tables: Any  # `ardm.exact.mixture.Tables`


class End(NamedTuple):
    """One end of the stream of words."""

    coder: np.ndarray  # uint64 (1, 4) or more (`codec.coder.rangecoder`)
    words: np.ndarray  # uint32 (1, n)
    decoding: bool
    drawing: bool  # symbols that no encoder can have written are drawn, rather than an error


class Room(NamedTuple):
    """Working memory for the pixels of a diagonal, BLOCK more than there are."""

    state: Any  # `ardm.exact.mixture.State`
    params: np.ndarray  # int32 (N, 10 K)
    base: np.ndarray  # int16 (N, 3)
    weights: np.ndarray  # float32 (N, 4)
    digits: np.ndarray  # int32 (N,)


def new_room(count: int, config: WindowConfig) -> Room:
    """For diagonals of `count` pixels at most."""
    return Room(
        mixture.new_state(count, config.mixture),
        np.zeros((count + BLOCK, config.outputs), np.int32),
        np.zeros((count + BLOCK, 3), np.int16),
        np.zeros((count, 4), np.float32),
        np.zeros(count, np.int32),
    )


@compiled(**BORROWING)
def code_diagonals(first: int, last: int, raster: Raster, asked: Asked, room: Room, end: End) -> int:
    """`code_call` of diagonal after diagonal, x + slope * y = first .. last - 1.

    Returns the number of diagonals that could be coded.
    """
    height, width, slope, channels = raster
    net, scratch, seen, tables = asked
    canvas = seen.pixels
    coder, words, decoding, drawing = end
    state, params, base, weights, digits = room
    flat, flat_base = params.reshape(-1), base.reshape(-1)
    for d in range(first, last):
        top = max(0, -((width - 1 - d) // slope))
        count = min(height - 1, d // slope) - top + 1
        for start in range(0, count, BLOCK):
            for i in range(min(BLOCK, count - start)):
                y = top + start + i
                gather_raster(net, seen, y, d - slope * y, scratch, i)
            for i in range(3 * BLOCK):
                flat_base[3 * start + i] = scratch.base[i]
            finish_block(net, scratch, flat, start * net.sizes[5], BLOCK)
        start_pixels(state, params, count, tables)
        for step in range(channels):
            c = CODING_ORDER[step]
            start_channel(state, params, base, step, c, count, tables)
            for shift in range(FIRST_SHIFT, -1, -2):
                size = 1 << shift
                split(state, size, count, tables, weights)
                if not decoding:
                    for i in range(count):
                        y = top + i
                        digits[i] = canvas[3 * (y * width + d - slope * y) + c] >> shift & 3
                if code_symbols(coder, words, weights[:count], digits[:count], decoding, drawing) < count:
                    return d - first
                take(state, size, digits, count)
            for i in range(count):
                y = top + i
                at = 3 * (y * width + d - slope * y)
                canvas[at + c] = state.low[i]
                if channels == 1:
                    canvas[at] = canvas[at + 2] = state.low[i]
            if step < channels - 1:  # after the last one, nobody asks
                finish_channel(state, base, step, c, count, tables)
    return last - first


def diagonals(height: int, width: int, slope: int) -> int:
    """Calls that raster order takes when each codes a whole diagonal."""
    return Schedule(plain=True, slope=slope).calls(height, width)


def code_raster(
    coder: Encoder | Decoder,
    weights: WindowWeights,
    image: np.ndarray,
    channels: int,
    decoding: bool,
    continuation: Continuation | None = None,
    told: Any = None,
) -> None:
    """Code an image in raster order, one call per diagonal. image: uint8 (h, w, 3), read when encoding,
    written to when decoding.

    continuation: what a decoder goes on with if the end of its words is missing. told: called with the pixels
    done since the last time.
    """
    height, width, _ = image.shape
    net, slope = raster_net(weights), weights.config.radius + 1
    canvas = np.zeros(image.size + evaluate.SPARE, np.uint8)
    if not decoding:
        canvas[: image.size] = image.reshape(-1)
    seen = evaluate.Canvas(canvas, np.zeros(1, np.bool_), height, width)
    asked = Asked(net, evaluate.scratch(net), seen, tables_of(weights))
    raster = Raster(height, width, slope, channels)
    room = new_room(min(height, -(-width // slope)), weights.config)
    total, at, sure = diagonals(height, width, slope), 0, None
    if continuation:
        sure_words = coder.words.shape[1]
        more = continuation.words(0, image.size // 3 * channels * DIGITS + 2)
        coder.words = np.concatenate([coder.words, more[None]], 1)
        coder.state[0] = unseal(coder.words[0], 0, coder.words.shape[1])
        continuation.start_stage(height, width)
    piece = 1 if continuation else max(1, PIECE * total // (height * width))
    while at < total:  # in between, signals are noticed
        end = min(total, at + piece)
        coder.make_room((end - at) * len(room.digits) * channels * DIGITS)
        with np.errstate(over="ignore"):
            one_end = End(coder.state, coder.words, decoding, continuation is not None)
            done = code_diagonals(at, end, raster, asked, room, one_end)
        if done < end - at:
            raise CorruptError("the coded data does not fit the model.")
        if continuation and sure is None and int(coder.state[0, 2]) > sure_words:
            sure = at
        if told:
            told(height * width * end // total - height * width * at // total)
        at = end
    if decoding:
        image[:] = canvas[: image.size].reshape(image.shape)
    if continuation and sure is not None:
        continuation.drawn[:] = np.add.outer(slope * np.arange(height), np.arange(width)) >= sure
        continuation.lost = True


def tables_of(weights: WindowWeights) -> mixture.Tables:
    """What distributions look up."""
    return mixture.tables_of(weights.tables())


def new_coder(data: bytes | None, continuation: Continuation | None = None) -> Any:
    """The end of a stream that calls of many pixels use: constriction's, where it has a package."""
    if continuation is not None:
        return Drawer(continuation)
    if data is None:
        return LibraryEncoder() if constriction else Encoder()
    return LibraryDecoder(data) if constriction else Decoder(data)
