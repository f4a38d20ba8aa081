"""The command that teaches mixers where to start (`benchmarks.mixers`)."""

from __future__ import annotations

import numpy as np

from benchmarks.mixers import WARM_UP, learn
from codec.coder.guesses import GUESSES
from codec.coder.kernel import BITS, INPUTS, ROWS, SPREADS, STRIPS
from codec.coder.mixing import FITS, STARTS
from codec.coder.selftest import synthetic_weights


def test_what_mixers_learn_is_a_start(photo: np.ndarray) -> None:
    """Shapes and units; what is never met stays as it was; more crops, another mean."""
    crops = [photo[8 * i : 8 * i + 12, 40 : 40 + 12] for i in range(WARM_UP + 3)]
    few, more = learn(synthetic_weights(), crops[:-1]), learn(synthetic_weights(), crops)
    assert list(few) == [*STARTS, *FITS]
    assert [values.shape for values in few.values()] == [(ROWS, INPUTS + GUESSES), (3, 32, 32), (3, 32)]
    assert [values.dtype for values in few.values()] == [np.int16, np.float32, np.float32]
    assert (few["mixers"] != more["mixers"]).any()
    start = np.round(np.array([0.6, 0.2, 0.2, 0, 0, 0, 0, 0, *[0.01] * GUESSES]) * 4096)
    untouched = (few["mixers"] == start).all(-1)
    assert 0 < untouched[: BITS * SPREADS].sum() < BITS * SPREADS
    strips = few["mixers"][-3 * STRIPS :].reshape(3, STRIPS, -1)
    assert (strips == strips[:, :1]).all()
    assert (strips[:, 0] != start).any(-1).all()
    matrix = few["fit.matrix"]
    assert np.isfinite(matrix).all()
    assert not np.tril(matrix, -1).any()
    assert (np.diagonal(matrix, axis1=1, axis2=2) >= 0).all()
