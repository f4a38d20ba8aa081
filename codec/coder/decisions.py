"""Decisions by counters of hashed contexts and one mixer, which learns: what texts, the recipes of PNG files
and the coefficients of JPEGs are coded with. Knows keys and bits; nothing of what they mean.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import BORROWING, inlined, internal
from codec.coder.arithmetic import LEAST, squash
from codec.coder.counters import QUICK, counted, log_odds
from codec.coder.rangecoder import ONE, code_bit, exhausted, new_decoder, new_encoder, seal

CONTEXTS = 10  # counters of a decision
BESIDE = 8  # nodes of a symbol whose counters lie side by side: fewer lines of memory to wait for
COUNT_MAX = 250  # a counter that has seen so many decisions learns no slower
LOG_ODDS_MAX = 11.9  # of a mixture; `squash` takes no more than 12
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: spreads small numbers over all keys
SLOT_SHIFT = np.uint64(20)  # the lowest bits of a hash are its worst mixed


class Manner(NamedTuple):
    """How decisions teach: one for each sort of data."""

    rate: float = 0.01  # at which the mixer's weights learn
    reciprocals: int = QUICK  # of counters: none of what a new one sees settles it alone


class Taught(NamedTuple):
    """What decisions have taught so far."""

    counters: np.ndarray  # uint32 (CONTEXTS, slots), as of `codec.coder.counters`
    weights: np.ndarray  # float64 (rows, CONTEXTS + 1), of the mixer; the last one weighs advice

    def copy(self) -> Taught:
        return Taught(self.counters.copy(), self.weights.copy())


def untaught(slots: int, rows: int, first: float = 0.25) -> Taught:
    """Nothing. slots: a power of two; rows: of the mixer's weights; first: all of these."""
    return Taught(np.zeros((CONTEXTS, slots), np.uint32), np.full((rows, CONTEXTS + 1), first))


class BinaryCoder(NamedTuple):
    """One end of a stream of decisions: what they have taught so far, and a range coder."""

    counters: np.ndarray  # as of `Taught`, and so is the next
    weights: np.ndarray
    keys: np.ndarray  # uint64 (CONTEXTS,), what each counter of the next decision shall depend on
    inputs: np.ndarray  # float64 (CONTEXTS + 1,), working memory: log odds
    slots: np.ndarray  # int64 (CONTEXTS,), working memory: the counters of a decision
    state: np.ndarray  # uint64 (1, 4), of the range coder: as in `codec.coder.rangecoder`
    words: np.ndarray  # uint32 (1, n), that are written or read
    rate: float  # as of `Manner`, and so is the next
    reciprocals: int
    decoding: bool

    def sealed(self) -> bytes:
        """An encoder's words, little-endian."""
        return seal(self.state[0], self.words[0])

    def exhausted(self) -> bool:
        """May a decoder have read all that was encoded?"""
        return exhausted(self.state[0])


USUAL = Manner()


def binary_encoder(taught: Taught, room: int, manner: Manner = USUAL) -> BinaryCoder:
    """taught: what it goes on from, and changes; room: most words."""
    words = np.empty((1, room), dtype=np.uint32)
    return _binary_coder(taught, manner, new_encoder(), words, False)


def binary_decoder(taught: Taught, data: bytes, manner: Manner = USUAL) -> BinaryCoder:
    """The other end. data: what `sealed` gave, whole words."""
    return _binary_coder(taught, manner, *new_decoder(data), True)


def _binary_coder(
    taught: Taught, manner: Manner, state: np.ndarray, words: np.ndarray, decoding: bool
) -> BinaryCoder:
    return BinaryCoder(
        *taught,
        np.zeros(CONTEXTS, dtype=np.uint64),
        np.zeros(CONTEXTS + 1),
        np.zeros(CONTEXTS, dtype=np.int64),
        state,
        words,
        *manner,
        decoding,
    )


@inlined(error_model="numpy")
def bit_length(number: Any) -> Any:
    """Bits of a number that is not negative."""
    bits = 0
    while number >> bits > 0:
        bits += 1
    return bits


@inlined(error_model="numpy")
def hashed(key: Any) -> Any:
    """A key, mixed: uint64."""
    mixed = (key ^ (key >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)


@internal(**BORROWING)
def decide(coder: Any, node: Any, row: Any, bit: Any, advice: Any) -> Any:
    """One decision in the contexts of coder.keys: writes `bit`, or reads and returns one.

    coder: a BinaryCoder; node: which one of its symbol; row: of the mixer's weights; advice: log odds from
    elsewhere, 0 for none.
    """
    counters, weights, keys, x, slots, state, words, rate, reciprocals, decoding = coder
    shift = np.uint64(node // BESIDE) * GOLDEN
    mask = np.uint64(counters.shape[1] - BESIDE)
    x[CONTEXTS] = advice
    total = weights[row, CONTEXTS] * advice
    for j in range(CONTEXTS):
        slots[j] = np.int64((hashed(keys[j] + shift) >> SLOT_SHIFT) & mask) + node % BESIDE
        x[j] = log_odds(counters[j, slots[j]])
        total += weights[row, j] * x[j]
    p = squash(min(max(total, -LOG_ODDS_MAX), LOG_ODDS_MAX))
    bit = code_bit(state, words, 0, min(max(int(p * ONE), LEAST), ONE - LEAST), bit, decoding)
    step = (bit - p) * rate
    for j in range(CONTEXTS + 1):
        weights[row, j] += step * x[j]
    for j in range(CONTEXTS):
        counters[j, slots[j]] = counted(counters[j, slots[j]], bit, reciprocals, COUNT_MAX)
    return bit
