"""The range coder against two others: one in whole numbers, written from the format's description alone, and
constriction, where that has a package. Word for word.

Both decode and encode the same streams: rare and certain symbols, long carries, nothing at all, and words
that no encoder wrote.
"""

from __future__ import annotations

import platform
import sys
import tomllib
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.coder import rangecoder
from codec.coder.arithmetic import LEAST
from codec.coder.plain import FIRST_ROOM, Decoder, Encoder
from codec.coder.rangecoder import ONE
from codec.errors import CorruptError
from tests.compiled import called
from tests.processes import ROOT

pytestmark = pytest.mark.quick

# of constriction 0.5.0, for CPython
HAS_PACKAGE = platform.machine() in ("x86_64", "AMD64") or sys.platform == "darwin"
try:
    import constriction
except ImportError:  # there, `Numbers` alone is compared with
    constriction = None

WORDS = [239, 4246839268, 4294967295, 3959586804, 25165824]


class Numbers:
    """docs/format/rangecoder.md in whole numbers of any length, so that nothing carries, wraps around or is
    shifted out.
    """

    @staticmethod
    def encode(frequencies: np.ndarray, symbols: np.ndarray) -> bytes:
        low, span, count = 0, 2**64 - 1, 1
        for row, symbol in zip(frequencies.tolist(), symbols.tolist(), strict=True):
            low, span = low + (span >> 24) * sum(row[:symbol]), (span >> 24) * row[symbol]
            if span < 2**32:
                low, span, count = low << 32, span << 32, count + 1
        if not symbols.size:
            return b""
        whole = low + 2**32 - 1 >> 32  # the least number in the interval that ends with a word of zeros
        if low + span >> 32 == whole:  # what follows could lead out of it
            whole, count = whole << 32, count + 1
        return b"".join((whole >> 32 * i & 0xFFFFFFFF).to_bytes(4, "little") for i in reversed(range(count)))

    @staticmethod
    def decode(data: bytes, frequencies: np.ndarray) -> tuple[list[int], bool]:
        """(symbols, up to the first that cannot be; whether all words have been read and no more than `seal`
        leaves remains).
        """
        words = [int(w) for w in np.frombuffer(data, "<u4")]

        def next_word() -> int:
            return words.pop(0) if words else 0

        point, span, symbols = next_word() << 32 | next_word(), 2**64 - 1, []
        for row in frequencies.tolist():
            scale = span >> 24
            if point // scale >= 2**24:
                break
            before = [sum(row[:j]) for j in range(len(row) + 1)]
            symbols.append(
                next(j for j, (c, end) in enumerate(pairwise(before)) if c <= point // scale < end)
            )
            point, span = point - scale * before[symbols[-1]], scale * row[symbols[-1]]
            if span < 2**32:
                point, span = (point << 32 | next_word()) & 2**64 - 1, span << 32
        return symbols, not words and (not symbols or point < 2**33 - 1)


def model() -> Any:
    """With perfect=False, weights, frequencies minus one, that add up to 2**24 - A pass through constriction
    unchanged.
    """
    return constriction.stream.model.Categorical(perfect=False)


def encode(frequencies: np.ndarray, symbols: np.ndarray, calls: int = 1) -> bytes:
    """By `codec.coder.plain`, in several calls; the other coders must write the same."""
    encoder = Encoder()
    weights, symbols = (frequencies - 1).astype(np.float32), symbols.astype(np.int32)
    for part in np.array_split(np.arange(symbols.size), calls):
        encoder.code(weights[part], symbols[part])
    data = encoder.finish()
    assert data == Numbers.encode(frequencies, symbols)
    if constriction:
        library = constriction.stream.queue.RangeEncoder()
        library.encode(symbols, model(), weights)
        assert data == library.get_compressed().astype("<u4").tobytes()
    return data


def decode(data: bytes, frequencies: np.ndarray, calls: int = 1) -> list[int] | None:
    """Symbols, or None if they are refused; the other coders must read the same, or refuse them too, and
    agree on whether all has been read.
    """
    weights = (frequencies - 1).astype(np.float32)
    parts = [part for part in np.array_split(np.arange(len(weights)), calls) if part.size]
    decoder = Decoder(data)
    expected, all_read = Numbers.decode(data, frequencies)
    try:
        found = [digit for part in parts for digit in decoder.code(weights[part], None).tolist()]
        assert found == expected
        assert decoder.exhausted() == all_read
    except CorruptError:
        found = None
        assert len(expected) < len(frequencies)
    if constriction:
        library = constriction.stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))
        try:
            theirs: list[int] | None = [
                digit for part in parts for digit in library.decode(model(), weights[part]).tolist()
            ]
        except AssertionError:  # its way to say that no encoder can have written these words
            theirs = None
        assert theirs == found
        assert found is None or library.maybe_exhausted() == all_read
    return found


def random_frequencies(rng: np.random.Generator, kind: str, count: int, size: int) -> np.ndarray:
    """int64 (count, size), all at least 1, rows add up to 2**24."""
    out = np.ones((count, size), dtype=np.int64)
    if kind == "certain":  # one symbol has all that the others leave
        out[np.arange(count), rng.integers(0, size, count)] += ONE - size
    elif kind == "even":
        out += (ONE - size) // size
        out[:, -1] += ONE - out.sum(1)
    else:
        share = rng.dirichlet(np.full(size, 0.2), count)
        out += np.floor(share * (ONE - size)).astype(np.int64)
        out[np.arange(count), out.argmax(1)] += ONE - out.sum(1)
    assert (out.sum(1) == ONE).all()
    assert (out >= 1).all()
    return out


def choose(rng: np.random.Generator, frequencies: np.ndarray, kind: str) -> np.ndarray:
    count, size = frequencies.shape
    if kind == "likely":
        return (rng.integers(0, ONE, count)[:, None] >= frequencies.cumsum(1)).sum(1)
    return {
        "rarest": frequencies.argmin(1),
        "surest": frequencies.argmax(1),
        "last": np.full(count, size - 1),
        "any": rng.integers(0, size, count),
    }[kind]


STREAMS = {
    "seed": st.integers(0, 2**32),
    "kind": st.sampled_from(["certain", "even", "uneven"]),
    "count": st.integers(0, 300),
    "size": st.integers(2, 40),
    "choice": st.sampled_from(["likely", "rarest", "surest", "last", "any"]),
    "calls": st.integers(1, 4),
}


@settings(max_examples=100, deadline=None)
@given(**STREAMS)
def test_three_coders_write_and_read_the_same(
    seed: int, kind: str, count: int, size: int, choice: str, calls: int
) -> None:
    rng = np.random.default_rng(seed)
    frequencies = random_frequencies(rng, kind, count, size)
    symbols = choose(rng, frequencies, choice)
    data = encode(frequencies, symbols, calls)
    assert decode(data, frequencies, calls) == symbols.tolist()
    assert Numbers.decode(data, frequencies)[1]  # an encoder's words are all read
    bits = -np.log2(frequencies[np.arange(count), symbols] / ONE).sum()
    assert bits <= 8 * len(data) <= bits * 1.001 + 64


@settings(max_examples=100, deadline=None)
@given(**STREAMS, damage=st.sampled_from(["other words", "a word changed", "cut", "longer"]))
def test_three_coders_read_the_same_from_words_that_none_wrote(
    seed: int, kind: str, count: int, size: int, choice: str, calls: int, damage: str
) -> None:
    rng = np.random.default_rng(seed)
    frequencies = random_frequencies(rng, kind, count, size)
    words = np.frombuffer(encode(frequencies, choose(rng, frequencies, choice)), "<u4").copy()
    if damage == "other words":
        words = rng.choice(
            np.array([0, 1, 2**31, 2**32 - 1, rng.integers(0, 2**32)], dtype="<u4"), rng.integers(0, 20)
        )
    elif damage == "a word changed" and words.size:
        words[rng.integers(0, words.size)] = rng.integers(0, 2**32)
    elif damage == "cut":
        words = words[: rng.integers(0, words.size + 1)]
    else:
        words = np.append(words, rng.integers(0, 2**32, 2, dtype="<u4"))
    decode(words.astype("<u4").tobytes(), frequencies, calls)


def test_words_to_which_no_encoder_points_are_refused() -> None:
    """The remainder of the division by 2**24 belongs to no symbol: 2**64 - 1 at first, and about every ten
    thousandth decision in random words.
    """
    rng = np.random.default_rng(2)
    frequencies = random_frequencies(rng, "uneven", 5000, 5)
    assert decode(b"\xff" * 8, frequencies[:1]) is None
    refused = [decode(rng.bytes(4 * 5000), frequencies) is None for _ in range(8)]
    assert sum(refused) in range(1, 8)
    assert decode(b"\xff" * 4 + b"\xfe" * 4, frequencies[:1]) is not None


def test_a_carry_runs_through_all_words() -> None:
    """A point on the edge of two words keeps the encoder undecided: it writes 7fffffff ffffffff ffffffff ...
    until something makes it 80000000 00000000 ...
    """
    rng = np.random.default_rng(5)
    frequencies = random_frequencies(rng, "even", 3000, 31)
    symbols = np.array(Numbers.decode(bytes([0, 0, 0, 128]), frequencies)[0])
    below, above = bytes([255, 255, 255, 127]) + b"\xff" * 1600, bytes([0, 0, 0, 128]) + bytes(1600)
    sides = set()
    for end in range(0, 31, 6):  # the next symbol decides it
        more = np.concatenate([frequencies, random_frequencies(rng, "even", 2, 31)])
        data = encode(more, np.append(symbols, [end, end]), calls=7)
        assert decode(data, more) == [*symbols, end, end]
        sides.add(data[:1600])
    assert sides == {below[:1600], above[:1600]}
    encoder, sealed = Encoder(), []
    encoder.code((frequencies[:-300] - 1).astype(np.float32), symbols[:-300].astype(np.int32))
    for i in range(2700, 3000):
        encoder.code((frequencies[i : i + 1] - 1).astype(np.float32), symbols[i : i + 1].astype(np.int32))
        if encoder.finish().startswith(above[:1600]):
            sealed.append(i + 1)
    assert sealed  # which decides it too
    for count in sealed[:3]:
        assert (
            decode(encode(frequencies[:count], symbols[:count]), frequencies[:count])
            == symbols[:count].tolist()
        )


def test_nothing_at_all() -> None:
    none = np.ones((0, 4), dtype=np.int64)
    assert encode(none, np.zeros(0, dtype=np.int64)) == b""
    assert decode(b"", none) == []
    assert Decoder(b"").exhausted()
    assert not Decoder(bytes(12)).exhausted()
    certain = np.array([[ONE - 1, 1]] * 9)
    assert decode(b"", certain) == [0] * 9  # words past the end are zeros


def test_words_that_constriction_wrote() -> None:
    """Of 0.5.0, so that they are compared with on every machine."""
    frequencies = np.array(
        [
            [1, ONE - 3, 1, 1],
            [ONE // 2, ONE // 4, ONE // 8, ONE // 8],
            [ONE - 3, 1, 1, 1],
            [5, 7, ONE - 13, 1],
        ]
        * 3
    )
    symbols = np.array([0, 3, 0, 2, 1, 0, 3, 3, 2, 1, 1, 0])
    data = encode(frequencies, symbols)
    assert np.frombuffer(data, "<u4").tolist() == WORDS
    assert decode(data, frequencies) == symbols.tolist()


@pytest.mark.parametrize("likely", [False, True])
def test_bits_are_symbols_of_two(likely: bool) -> None:
    """With decisions of almost certain outcome, runs of words wait for a carry."""
    code_bit, rng = called(rangecoder.code_bit), np.random.default_rng(3)
    for count in [0, 1, 2, 3, 50, 2000, 40_000]:
        chances = np.where(
            rng.random(count) < (0.9 if likely else 0.1), ONE - LEAST, rng.integers(LEAST, ONE - LEAST, count)
        )
        bits = (rng.random(count) < chances / ONE).astype(np.int32)
        state, words = rangecoder.new_encoder(), np.empty((1, count + 1), dtype=np.uint32)
        for chance, bit in zip(chances.tolist(), bits.tolist(), strict=True):
            code_bit(state, words, 0, chance, bit, False)
        data = rangecoder.seal(state[0], words[0])
        assert data == encode(np.stack([ONE - chances, chances], 1), bits)
        state, words = rangecoder.new_decoder(data)
        assert [code_bit(state, words, 0, chance, 0, True) for chance in chances.tolist()] == bits.tolist()
        assert rangecoder.exhausted(state[0])


def test_an_encoder_may_be_asked_for_its_words_and_go_on() -> None:
    """As constriction's. What was sealed with a carry must not be sealed again."""
    rng = np.random.default_rng(8)
    # more words than there is room for at first
    frequencies = random_frequencies(rng, "certain", 4 * FIRST_ROOM, 4)
    symbols = choose(rng, frequencies, "any").astype(np.int32)
    encoder = Encoder()
    for i in range(0, symbols.size, 50):
        if i % 500 == 0:
            assert encoder.finish() == encoder.finish() == Numbers.encode(frequencies[:i], symbols[:i])
        encoder.code((frequencies[i : i + 50] - 1).astype(np.float32), symbols[i : i + 50])
    assert len(encoder.finish()) // 4 > 2 * FIRST_ROOM
    assert encoder.finish() == encode(frequencies, symbols)


@pytest.mark.parametrize("symbol", [-1, 4, 2**31 - 1])
def test_symbols_that_do_not_exist_are_refused(symbol: int) -> None:
    weights = np.full((3, 4), ONE // 4 - 1, dtype=np.float32)
    with pytest.raises(ValueError, match=rf"symbols must be 0\.\.3, got {symbol}\."):
        Encoder().code(weights, np.array([0, symbol, 1], dtype=np.int32))


@pytest.mark.parametrize("count", [0, 2, 4])
def test_every_symbol_needs_its_frequencies(count: int) -> None:
    weights = np.full((3, 4), ONE // 4 - 1, dtype=np.float32)
    with pytest.raises(ValueError, match=rf"as many symbols as rows of weights, 3, got {count}\."):
        Encoder().code(weights, np.zeros(count, dtype=np.int32))


def test_constriction_is_here_where_it_has_a_package() -> None:
    """Or the comparisons above would be fewer than they seem. The condition is that of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (line,) = [line for line in project["dependencies"] if line.startswith("constriction")]
    assert line.endswith(
        "; platform_machine == 'x86_64' or platform_machine == 'AMD64' or sys_platform == 'darwin'"
    )
    assert constriction or not HAS_PACKAGE
