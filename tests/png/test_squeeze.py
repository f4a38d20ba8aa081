"""zlib streams made in parts: the same data, whatever the threads."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from codec import parallel
from codec.png.squeeze import LARGE, PART, joined, squeeze


def stream(data: bytes) -> bytes:
    return b"".join(squeeze(lambda start, stop: data[start:stop], len(data)))


@pytest.mark.parametrize("size", [0, 1, PART, LARGE - 1, LARGE, LARGE + 1, LARGE + 70_000])
def test_what_is_squeezed_comes_back(size: int) -> None:
    rng = np.random.default_rng(size)
    data = rng.integers(0, 7, size, dtype=np.uint8).tobytes()
    assert zlib.decompress(stream(data)) == data


def test_data_that_is_not_large_is_what_zlib_makes_of_it() -> None:
    data = np.random.default_rng(1).integers(0, 7, 3 * PART, dtype=np.uint8).tobytes()
    assert stream(data) == zlib.compress(data, 9)


def test_threads_change_nothing_and_parts_cost_little() -> None:
    noise = np.random.default_rng(3).integers(0, 256, 20_000, dtype=np.uint8)
    data = np.tile(noise, 430).tobytes()  # a part that knew nothing of the one before would spend 20,000 more
    made = set()
    for threads in (1, 4):
        with parallel.limited(threads):
            made.add(stream(data))
    assert len(made) == 1
    (one,) = made
    assert zlib.decompress(one) == data
    assert len(one) < len(zlib.compress(data, 6)) + 1000


@pytest.mark.parametrize("size", [0, 1, 5551, 5552, 65521, PART])
def test_checks_of_parts_are_that_of_the_whole(size: int) -> None:
    data = np.full(70_000 + size, 255, np.uint8).tobytes()
    parts = data[:70_000], data[70_000:]
    assert joined(zlib.adler32(parts[0]), zlib.adler32(parts[1]), size) == zlib.adler32(data)
