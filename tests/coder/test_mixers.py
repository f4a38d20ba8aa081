"""The command that teaches mixers where to start (`benchmarks.mixers`)."""

from __future__ import annotations

import numpy as np

from benchmarks.mixers import WARM_UP, learn
from codec.coder.kernel import COLORS, INPUTS, SEEN, SPREADS
from codec.coder.mixing import FITS, MIXERS
from codec.coder.selftest import synthetic_weights


def test_what_mixers_learn_is_a_start(photo: np.ndarray) -> None:
    """Shapes and units; what is never met stays as it was; more crops, another mean."""
    crops = [photo[8 * i : 8 * i + 12, 40 : 40 + 12] for i in range(WARM_UP + 3)]
    few, more = learn(synthetic_weights(), crops[:-1]), learn(synthetic_weights(), crops)
    shapes = [(3, 8, SPREADS, INPUTS), (3, 8, SEEN, INPUTS), (3, 8, COLORS, INPUTS), (3, 32, 32), (3, 32)]
    assert list(few) == [*MIXERS, *FITS]
    assert [values.shape for values in few.values()] == shapes
    assert [values.dtype for values in few.values()] == [np.int16] * 3 + [np.float32] * 2
    assert any((few[name] != more[name]).any() for name in MIXERS)
    start = np.round(np.array([0.6, 0.2, 0.2, 0, 0, 0, 0, 0]) * 4096)
    untouched = (few["mixer.spread"] == start).all(-1)
    assert 0 < untouched.sum() < untouched.size
    matrix = few["fit.matrix"]
    assert np.isfinite(matrix).all()
    assert not np.tril(matrix, -1).any()
    assert (np.diagonal(matrix, axis1=1, axis2=2) >= 0).all()
