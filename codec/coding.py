"""Entropy coding of pixels: integer distributions to range-coder words and back. Knows no network, no order of pixels, no files.

A value 0..255 is coded as four base-4 digits, most significant first. With F the pixel's cumulative distribution (`ardm.likelihood`),
the digit that splits the interval [lo, hi) into quarters has, for the inner edges e1, e2, e3,

    cut[j] = floor((F(e_j) - F(lo)) * (2**24 - 4) / (F(hi) - F(lo))),    cut[0] = 0,  cut[4] = 2**24 - 4
    frequency[j] = cut[j + 1] - cut[j] + 1                               >= 1, and the four add up to 2**24

Pixels are coded in runs (`ardm.adapt.run_sizes`); within a run all pixels' first channel (digit by digit), then the second, then the third.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from ardm.adapt import Adapter, Phase, run_sizes
from ardm.likelihood import CODING_ORDER, IntegerMixture
from ardm.orders import PATCH
from codec.errors import CorruptError
from codec.rangecoder import code_symbols, exhausted, new_decoder, new_encoder, seal
from codec.rest import Rest

SPAN = 2**24 - 4
FIRST_ROOM = 1024  # words of an encoder


class Coder(Protocol):
    """One end of the stream. Both ends are driven by the same calls in the same order."""

    def code(self, weights: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        """weights: float32 (N, A), frequencies minus one, rows add up to 2**24 - A; symbols: int32 (N,), None when decoding."""


class Encoder:
    """A Coder that writes."""

    decodes = False

    def __init__(self) -> None:
        self._state = new_encoder()
        self._words = np.empty((1, FIRST_ROOM), dtype=np.uint32)

    def code(self, weights: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        assert symbols is not None
        if len(symbols) != len(weights):
            raise ValueError(f"there must be as many symbols as rows of weights, {len(weights)}, got {len(symbols)}.")
        self._make_room(len(weights))
        if (done := _code(self._state, self._words, weights, symbols, False)) < len(weights):
            raise ValueError(f"symbols must be 0..{weights.shape[1] - 1}, got {symbols[done]}.")
        return symbols

    def _make_room(self, needed: int) -> None:
        used, room = int(self._state[0, 2]), self._words.shape[1]
        if used + needed > room:
            words = np.empty((1, max(2 * room, used + needed)), dtype=np.uint32)
            words[0, :used] = self._words[0, :used]
            self._words = words

    def finish(self) -> bytes:
        return seal(self._state[0], self._words[0])


class Decoder:
    """A Coder that reads. It cannot notice damage: check the checksum of `data` first."""

    decodes = True

    def __init__(self, data: bytes) -> None:
        self._state, self._words = new_decoder(data)

    def code(self, weights: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        found = np.empty(len(weights), dtype=np.int32)
        if _code(self._state, self._words, weights, found, True) < len(weights):
            raise CorruptError("the coded data does not fit the model.")
        return found

    def exhausted(self) -> bool:
        """May it have read all that was encoded?"""
        return exhausted(self._state[0])


def _code(state: np.ndarray, words: np.ndarray, weights: np.ndarray, symbols: np.ndarray, decoding: bool) -> int:
    with np.errstate(over="ignore"):  # sums that carry wrap around; only uncompiled code notices
        return code_symbols(state, words, weights, symbols, decoding)


class Drawer:
    """A Coder that draws symbols by their frequencies, where what an encoder wrote is missing."""

    decodes = True

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def code(self, weights: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        quantile = self._rest.words(0, len(weights)) >> 8  # below 2**24, as the frequencies' sum is
        ends = np.cumsum(weights.astype(np.int64) + 1, axis=1)
        return (quantile[:, None] >= ends).sum(1).astype(np.int32)


class Plain:
    """Codes the phases of one plane by the network's distributions alone, or corrected run by run (`ardm.adapt`), as version 0.1 did.

    coder: one end of a stream. tables, channels, as in `code_pixels`.
    """

    def __init__(self, coder: Coder, tables: dict[str, torch.Tensor], channels: int, adaptive: bool = False) -> None:
        self.coder, self.tables, self.channels, self.adaptive = coder, tables, channels, adaptive

    def start_stage(self, pixels: torch.Tensor, truth: torch.Tensor | None) -> torch.Tensor:
        """Begin a stage. pixels, truth: int16 (3, h, w), what is known with the base elsewhere, and all of it when encoding.

        Returns the tensor, int16 (3, h, w), in which every phase's pixels will appear once coded.
        """
        self.pixels, self.truth = pixels, truth
        self.adapter = Adapter((pixels.shape[1], pixels.shape[2]), self.tables) if self.adaptive else None
        return pixels

    def code_phase(self, phase: tuple[int, int], chosen: np.ndarray | None, params: torch.Tensor) -> int:
        """Code a phase's pixels, all or those `chosen` (bool, the phase's grid). params: int32 (10 K, N) of all. Returns the number coded."""
        part = (slice(None), slice(phase[0], None, PATCH), slice(phase[1], None, PATCH))
        target = self.pixels[part]
        select = slice(None) if chosen is None else torch.from_numpy(chosen).flatten().nonzero().flatten()
        base = target.flatten(1)[:, select].int()
        if not base.shape[1]:
            return 0
        values = None if self.truth is None else self.truth[part].flatten(1)[:, select].int()
        learner = self.adapter.start_phase(phase, self.pixels) if self.adapter else None
        coded = code_pixels(self.coder, params[:, select], base, self.tables, self.channels, values, learner).short()
        if chosen is None:
            target.copy_(coded.view(target.shape))
        else:
            target[:, torch.from_numpy(chosen)] = coded
        return coded.shape[1]


def code_value(coder: Coder, mixture: IntegerMixture, value: torch.Tensor | None) -> torch.Tensor:
    """Code one channel of N pixels. value: int32 (N,), or None when decoding. Returns the values, int32 (N,)."""
    n = mixture.total.numel()
    low = torch.zeros(n, dtype=torch.int32)
    at_low, at_high = torch.zeros(n, dtype=torch.int32), mixture.total
    quarter = torch.arange(1, 4, dtype=torch.int32)[:, None]
    weights = np.empty((n, 4), dtype=np.float32)
    cuts = torch.zeros(5, n, dtype=torch.float64)
    cuts[4] = SPAN
    for size in (64, 16, 4, 1):
        inner = mixture.cdf(low + quarter * size)  # (3, N)
        torch.floor(((inner - at_low).double() * SPAN).div_(at_high - at_low), out=cuts[1:4])
        torch.from_numpy(weights).copy_((cuts[1:] - cuts[:-1]).T)
        digits = None if value is None else ((value - low) // size).numpy()
        digit = torch.from_numpy(coder.code(weights, digits))
        edges = torch.cat([at_low[None], inner, at_high[None]])  # (5, N)
        pair = torch.stack([digit, digit + 1]).long()
        at_low, at_high = edges.gather(0, pair)
        low = low + digit * size
    return low


def code_pixels(
    coder: Coder, params: torch.Tensor, base: torch.Tensor, tables: dict[str, torch.Tensor], channels: int, pixels: torch.Tensor | None,
    phase: Phase | None = None,
) -> torch.Tensor:  # fmt: skip
    """Code N pixels, independent given their parameters.

    params: int32 (10 K, N); base: int32 (3, N); channels: 3, or 1 for grey (all three channels equal); pixels: int32 (3, N), RGB, or None
    when decoding; phase: adapts the distributions from run to run, or None. Returns the pixels, int32 (3, N).
    """
    out = torch.empty_like(base)
    start = 0
    for size in run_sizes(base.shape[1]):
        run = slice(start, start + size)
        start += size
        mixture = IntegerMixture(params[:, run], base[:, run], tables)
        residuals: list[torch.Tensor] = []
        if phase:
            phase.start_run(run, base[:, run])
        for c in CODING_ORDER[:channels]:
            mixture.start_channel(residuals)
            if phase:
                phase.adjust(mixture, residuals)
            mixture.fix_channel()
            value = code_value(coder, mixture, None if pixels is None else pixels[c, run])
            if phase:
                phase.learn(mixture, value)
            out[c, run] = value
            residuals.append(value - base[c, run])
            if len(residuals) < channels:
                mixture.finish_channel(value)
        if channels == 1:
            out[:, run] = out[CODING_ORDER[0], run]
    if phase:
        phase.finish()
    return out
