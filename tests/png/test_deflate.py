"""Our zlib against Python's, where that is the real one."""

from __future__ import annotations

import itertools
import zlib

import numpy as np
import pytest

from codec.png.exact.deflate import deflate
from tests.processes import ROOT

# Some Pythons come with zlib-ng, which says so, or with another that differs in a known case.
REAL = (
    "ng" not in zlib.ZLIB_RUNTIME_VERSION
    and zlib.crc32(zlib.compress(bytes(range(256)) * 9 + bytes(999) + bytes(range(0, 256, 3)) * 9, 6))
    == 2247629456
)


def by_zlib(data: bytes, level: int, memory: int, strategy: int, window: int) -> bytes:
    squeeze = zlib.compressobj(level, zlib.DEFLATED, -window, memory, strategy)
    return squeeze.compress(data) + squeeze.flush()


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    pages = [ROOT / "FORMAT.md", *sorted((ROOT / "docs" / "format").glob("*.md"))]
    text = np.frombuffer(b"".join(page.read_bytes() for page in pages), np.uint8)
    fibonacci = [int(1.618**k) + 1 for k in range(23)]  # the deepest trees, whose codes are too long at first
    return {
        "one": np.array([7], np.uint8),
        "three": np.array([1, 2, 3], np.uint8),
        "zeros": np.zeros(150_000, np.uint8),
        "noise": rng.integers(0, 256, 100_000, dtype=np.uint8),
        "text": np.concatenate([text, text]),
        "few": rng.integers(0, 3, 30_000, dtype=np.uint8),
        "skewed": (rng.geometric(0.5, 30_000) % 256).astype(np.uint8),
        "fibonacci": rng.permutation(np.repeat(np.arange(23, dtype=np.uint8), fibonacci)),
    }


@pytest.mark.parametrize("name", [*inputs()])
def test_the_same_bytes_as_zlib(name: str) -> None:
    data = inputs()[name]
    for level, memory, strategy, window in itertools.product(range(1, 10), (1, 8, 9), range(5), (9, 15)):
        if (strategy > 1 and level not in (1, 6)) or (memory == 1 and level not in (1, 6)):
            continue
        ours = deflate(data, level, memory, strategy, window)
        assert ours is not None
        assert zlib.decompress(ours.tobytes(), -window) == data.tobytes()
        if REAL:
            expected = by_zlib(data.tobytes(), level, memory, strategy, window)
            assert ours.tobytes() == expected, (level, memory, strategy, window)


def test_it_gives_up_at_the_first_difference() -> None:
    data = inputs()["noise"]
    expected = deflate(data, 6, 8, 0, 15)
    assert expected is not None
    assert np.array_equal(deflate(data, 6, 8, 0, 15, expected), expected)
    for changed in (
        expected[:-1],
        np.append(expected, 0).astype(np.uint8),
        np.where(np.arange(expected.size) == 50, expected ^ 1, expected),
    ):
        assert deflate(data, 6, 8, 0, 15, changed) is None
