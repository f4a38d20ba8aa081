"""The range coder: probabilities of 24 bits to 32-bit words and back, the same words as constriction's. Knows
frequencies; no models, no files.

A decision, which is binary (`code_bit`) or has any number of outcomes (`code_symbols`), narrows an interval
of 64 bits; what its ends agree in is written, 32 bits at a time. Integers only, compiled by Numba:
constriction itself has no package for some machines, and is what the tests compare with. Specified in
docs/format/rangecoder.md. A coder is a row of uint64: range; a decoder's point, or an encoder's lower end;
next and last word.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ardm.compiled import BORROWING, compiled, inlined, internal

ONE = 16777216  # 2**24, certainty
FULL = 2**64 - 1  # range of a coder that has coded nothing
LOW, HIGH = np.uint64(1 << 32), np.uint64(32)
BITS = np.uint64(24)


@inlined(**BORROWING)
def _narrow(
    point: Any, word: Any, end: Any, words: Any, s: Any, left: Any, span: Any, decoding: Any
) -> tuple[Any, Any, Any]:
    """Narrow the interval to `span` from `left` on, both relative to its lower end, and write or read the
    word that is decided by that, if one is. point, word, end: of row s of the coder, the last three. Returns
    the first three of it as they are now.
    """
    if decoding:
        if left:
            point -= left
        if span < LOW:
            span <<= HIGH
            point <<= HIGH
            if word < end:
                point |= np.uint64(words[0, word])
            word += np.uint64(1)
    else:
        if left:
            point += left
            carry, last = point < left, word
            while carry:
                last -= np.uint64(1)
                words[s, last] += np.uint32(1)
                carry = words[s, last] == 0
        if span < LOW:
            words[s, word] = np.uint32(point >> HIGH)
            span <<= HIGH
            point <<= HIGH
            word += np.uint64(1)
    return span, point, word


@internal(**BORROWING)
def _draw_again(coder: Any, s: Any, scale: Any) -> None:
    """A decoder points at the remainder of a division, to which no encoder points; random words do: its point
    is drawn again.
    """
    mixed = (coder[s, 1] ^ coder[s, 2]) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    coder[s, 1] = (mixed ^ (mixed >> np.uint64(32))) % (scale << BITS)


@inlined(**BORROWING)
def code_bit(coder: Any, words: Any, s: Any, chance: Any, bit: Any, decoding: Any) -> Any:
    """Write `bit`, or read and return one, that is 1 with probability chance / ONE. s: row of the coder, and
    of an encoder's words.
    """
    scale = coder[s, 0] >> BITS
    cut = scale * np.uint64(ONE - chance)
    if decoding:
        if coder[s, 1] >= scale << BITS:
            _draw_again(coder, s, scale)
        bit = 1 if coder[s, 1] >= cut else 0
    left, span = cut if bit else np.uint64(0), scale * np.uint64(chance) if bit else cut
    coder[s, 0], coder[s, 1], coder[s, 2] = _narrow(
        coder[s, 1], coder[s, 2], coder[s, 3], words, s, left, span, decoding
    )
    return bit


@compiled(**BORROWING)
def code_symbols(
    coder: Any, words: Any, weights: Any, symbols: Any, decoding: Any, drawing: Any = False
) -> int:
    """Write symbols, or read them into `symbols`, int32 (N,), with a coder of one row.

    weights: float32 (N, A), frequencies minus one, whole numbers, rows add up to ONE - A. words: uint32 (1,
    n), with room for N more when encoding: a symbol ends at most one. drawing: words may be random. Returns
    N, or the number of the first symbol that cannot be coded: one that is not below A or, when decoding, to
    which no encoder points. Nothing in it jumps by what the symbols are, which no processor can foresee.
    """
    count, size = weights.shape
    span, point, word, end = coder[0, 0], coder[0, 1], coder[0, 2], coder[0, 3]
    for i in range(count):
        scale = span >> BITS
        if decoding:
            if point >= scale << BITS:
                if not drawing:
                    return i
                coder[0, 1], coder[0, 2] = point, word
                _draw_again(coder, 0, scale)
                point = coder[0, 1]
            symbol, left, edge = 0, np.uint64(0), np.uint64(0)
            for j in range(size - 1):
                edge += scale * (np.uint64(weights[i, j]) + np.uint64(1))
                beyond = point >= edge
                symbol += 1 if beyond else 0
                left = edge if beyond else left
            symbols[i] = symbol
        else:
            symbol = symbols[i]
            if symbol < 0 or symbol >= size:
                return i
            before = np.uint64(0)
            for j in range(size - 1):
                before += np.uint64(weights[i, j]) + np.uint64(1) if j < symbol else np.uint64(0)
            left = scale * before
        width = scale * (np.uint64(weights[i, symbol]) + np.uint64(1))
        span, point, word = _narrow(point, word, end, words, 0, left, width, decoding)
    coder[0, 0], coder[0, 1], coder[0, 2] = span, point, word
    return count


def new_encoder() -> np.ndarray:
    """An encoder that has written nothing: uint64 (1, 4)."""
    return np.array([[FULL, 0, 0, 0]], dtype=np.uint64)


def new_decoder(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """A decoder at the beginning of what `seal` gave, uint64 (1, 4), and its words, uint32 (1, n)."""
    words = np.frombuffer(data, dtype="<u4").astype(np.uint32)
    return np.array([unseal(words, 0, words.size)], dtype=np.uint64), words[None]


def unseal(words: np.ndarray, start: int, end: int) -> tuple[int, int, int, int]:
    """A decoder, as a row, at the beginning of what `seal` gave: uint32 words start .. end - 1."""
    head = [int(w) for w in words[start : min(start + 2, end)]] + [0, 0]
    return FULL, head[0] << 32 | head[1], start + 2, end


def exhausted(state: np.ndarray) -> bool:
    """May a decoder, uint64 (4,), have read all that was encoded? It has read all words, and is where `seal`
    left the encoder, or hardly further.
    """
    span, point, at, end = (int(n) for n in state[:4])
    return at >= end and (span == FULL or point < 2**33 - 1)


def seal(state: np.ndarray, words: np.ndarray) -> bytes:
    """What an encoder wrote, with the one or two words that tell the last decisions apart. It may go on
    afterwards.

    state: uint64 (4,), the encoder, words: uint32 (n,), its words.
    """
    span, low, count = (int(n) for n in state[:3])
    if span == FULL:
        return b""
    out = np.empty(count + 2, dtype="<u4")
    out[:count] = words[:count]
    point = low + 2**32 - 1
    carry, at = point >> 64, count
    while carry:
        at -= 1
        out[at] = (int(out[at]) + 1) % 2**32
        carry = out[at] == 0
    out[count] = last = point >> 32 & 0xFFFFFFFF
    out[count + 1] = 0
    return out[: count + (2 if (low + span) >> 32 & 0xFFFFFFFF == last else 1)].tobytes()
