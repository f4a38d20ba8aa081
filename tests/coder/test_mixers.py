"""The command that teaches mixers where to start (`benchmarks.mixers`)."""

from __future__ import annotations

import numpy as np

from benchmarks.mixers import WARM_UP, learn
from codec.coder.kernel import INPUTS, SEEN, SPREADS
from codec.coder.selftest import synthetic_weights


def test_what_mixers_learn_is_a_start(photo: np.ndarray) -> None:
    """Shapes and units; what is never met stays as it was; more crops, another mean."""
    crops = [photo[8 * i : 8 * i + 12, 40 : 40 + 12] for i in range(WARM_UP + 3)]
    few, more = learn(synthetic_weights(), crops[:-1]), learn(synthetic_weights(), crops)
    assert [mixer.shape for mixer in few] == [(3, 8, SPREADS, INPUTS), (3, 8, SEEN, INPUTS)]
    assert all(mixer.dtype == np.int16 for mixer in few)
    assert any((a != b).any() for a, b in zip(few, more, strict=True))
    start = np.round(np.array([0.6, 0.08, 0.08, 0.08, 0.08, 0.08, 0, 0]) * 4096)
    untouched = (few[0] == start).all(-1)
    assert 0 < untouched.sum() < untouched.size
