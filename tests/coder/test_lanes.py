"""Vectors of four: the same sums as one by one, in the order that the format says; nothing beyond their end."""

from __future__ import annotations

import numpy as np
import pytest

from codec.coder import lanes
from tests.compiled import called


@pytest.mark.parametrize("n", [0, 4, 24])
def test_a_sum_of_products_is_four_sums(n: int) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=40) * 10.0 ** rng.integers(-9, 9, 40), rng.normal(size=40)
    each = [0.0] * 4
    for k in range(n):
        each[k % 4] += float(a[3 + k]) * float(b[5 + k])
    found = called(lanes.dot)(a, np.uint64(3), b, np.uint64(5), n)
    assert found == (each[0] + each[1]) + (each[2] + each[3])


def test_a_step_changes_what_it_should_and_nothing_else() -> None:
    rng = np.random.default_rng(2)
    weights, x = rng.normal(size=40), rng.normal(size=40)
    expected = weights.copy()
    for k in range(8):
        expected[7 + k] += 0.37 * x[1 + k]
    called(lanes.add_times)(weights, np.uint64(7), x, np.uint64(1), 8, 0.37)
    assert np.array_equal(weights, expected)
