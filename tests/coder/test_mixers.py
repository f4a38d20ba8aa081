"""Weights of the mixers: which one a decision has, and the command that teaches them where to start
(`benchmarks.mixers`)."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.mixers import WARM_UP, learn
from codec.coder import kernel
from codec.coder.guesses import GUESSES
from codec.coder.kernel import (
    BITS,
    COLORS,
    CONTEXTS,
    GRAPHICS_ROWS,
    INPUTS,
    MIXERS,
    MORE,
    ROWS,
    SEEN,
    SPREADS,
    STRIP_BITS,
    STRIPS,
)
from codec.coder.mixing import FITS, STARTS, Mixing
from codec.coder.selftest import synthetic_weights
from tests.compiled import called


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


def test_sums_say_how_many_neighbours_there_are(photo: np.ndarray) -> None:
    """Of the least squares in raster order: what a weights file's are for; and it is these that are learned."""
    crops = [photo[8 * i : 8 * i + 12, 40 : 40 + 12] for i in range(WARM_UP + 1)]
    weights = synthetic_weights()
    streams = []
    for neighbours in (12, 24):
        learned = learn(weights, crops, neighbours)
        features = 2 * neighbours + 8
        assert learned["fit.matrix"].shape == (3, features, features)
        assert (np.diagonal(learned["fit.matrix"], axis1=1, axis2=2)[:, : features - 4] > 0).all()
        mixing = Mixing(3, 24 * 24, replace(weights, tensors={**weights.tensors, **learned}))
        planar = np.ascontiguousarray(photo[:24, :24].transpose(2, 0, 1)).astype(np.int16)
        mixing.start_stage(np.zeros_like(planar), planar)
        mixing.code_raster(4)
        assert mixing.fitted.solution[2, :features].all()
        streams.append(mixing.finish())
    assert streams[0] != streams[1]


@pytest.mark.parametrize("components", [0, 3])
def test_every_context_has_weights_of_its_own(components: int) -> None:
    """All rows are used, each by one mixer and one of its contexts; those shared by bits depend on no bit."""
    inputs = INPUTS + (GUESSES if components else MORE)
    layout = namedtuple("Layout", "components row")(components, inputs)
    room = namedtuple("Room", "rows")(np.zeros(MIXERS, dtype=np.uint64))
    at = namedtuple("At", "q")
    shared, of_bit = called(kernel._choose_weights), called(kernel._choose_weights_of_bit)
    used: list[set[int]] = [set() for _ in range(MIXERS)]
    for s in range(3):
        for i in range(STRIPS):
            contexts = i % SPREADS, i % CONTEXTS, i % COLORS
            shared(s, contexts, at(i << STRIP_BITS), layout, room)
            for bit in range(8):
                of_bit(s * 8 + bit, contexts, i % SEEN, layout, room)
                for rows, first in zip(used, room.rows.tolist(), strict=True):
                    assert first % inputs == 0
                    rows.add(first // inputs)
    others = [3 * COLORS, 3 * STRIPS] if components else [BITS * SEEN, BITS * COLORS]
    assert [len(rows) for rows in used] == [BITS * SPREADS, 3 * SPREADS, 3 * CONTEXTS, *others]
    assert set().union(*used) == set(range(ROWS if components else GRAPHICS_ROWS))
