"""zlib streams made in parts: the same data, whatever the threads."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from codec import parallel
from codec.png.squeeze import LARGE, PART, squeeze


@pytest.mark.parametrize("size", [0, 1, PART, LARGE - 1, LARGE, LARGE + 1, LARGE + 70_000])
def test_what_is_squeezed_comes_back(size: int) -> None:
    rng = np.random.default_rng(size)
    data = rng.integers(0, 7, size, dtype=np.uint8).tobytes()
    assert zlib.decompress(squeeze(data)) == data


def test_data_that_is_not_large_is_what_zlib_makes_of_it() -> None:
    data = np.random.default_rng(1).integers(0, 7, 3 * PART, dtype=np.uint8).tobytes()
    assert squeeze(data) == zlib.compress(data, 9)


def test_threads_change_nothing_and_parts_cost_little() -> None:
    noise = np.random.default_rng(3).integers(0, 256, 20_000, dtype=np.uint8)
    data = np.tile(noise, 430).tobytes()  # a part that knew nothing of the one before would spend 20,000 more
    made = set()
    for threads in (1, 4):
        with parallel.limited(threads):
            made.add(squeeze(data))
    assert len(made) == 1
    (stream,) = made
    assert zlib.decompress(stream) == data
    assert len(stream) < len(zlib.compress(data, 6)) + 1000
