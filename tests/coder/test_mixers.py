"""Weights of the mixers: which one a decision has, and the command that teaches them where to start
(`benchmarks.mixers`)."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from ardm.released import WeightsError
from benchmarks.mixers import WARM_UP, learn
from codec.coder import kernel
from codec.coder.guesses import GUESSES, SPOTS
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
from codec.coder.mixing import FITS, SPREAD_OUT, STARTS, Mixing, starts
from codec.coder.selftest import synthetic_weights
from tests.compiled import called


def test_what_mixers_learn_is_a_start(photo: np.ndarray) -> None:
    """Shapes and units; what is never met stays as it was; more crops, another mean."""
    crops = [photo[8 * i : 8 * i + 12, 40 : 40 + 12] for i in range(WARM_UP + 3)]
    few, more = learn(synthetic_weights(), crops[:-1]), learn(synthetic_weights(), crops)
    assert list(few) == [*STARTS, *FITS]
    assert [values.shape for values in few.values()] == [
        (len(SPREAD_OUT), INPUTS + GUESSES),
        (3, 32, 32),
        (3, 32),
    ]
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


def test_starts_that_the_format_does_not_know_are_refused() -> None:
    """Sums of too few, too many or an odd number of neighbours, one without the other, or no numbers."""

    def given(size: int, **other: np.ndarray) -> dict[str, np.ndarray]:
        sums = {
            "fit.matrix": np.zeros((3, size, size), np.float32),
            "fit.vector": np.zeros((3, size), np.float32),
        }
        return {**sums, **other}

    weights = synthetic_weights()
    for wrong, said in (
        (given(12), "found 12"),
        (given(60), "found 60"),
        (given(34), "found 34"),
        (given(32, **{"fit.vector": np.zeros((3, 30), np.float32)}), "fit.vector must be float32 of shape"),
        (given(32, **{"fit.matrix": np.full((3, 32, 32), np.nan, np.float32)}), "finite"),
        ({"fit.matrix": np.zeros((3, 32, 32), np.float32)}, "go together"),
        ({"fit.vector": np.zeros((3, 32), np.float32)}, "found 0"),
        ({"mixers": np.zeros((7, 24), np.int16)}, "mixers must be int16 of shape"),
    ):
        with pytest.raises(WeightsError, match=said):
            starts(replace(weights, tensors={**weights.tensors, **wrong}))
    assert list(starts(replace(weights, tensors={**weights.tensors, **given(56)}))) == [*FITS]
    assert starts(weights) == {}


@pytest.mark.parametrize("components", [0, 3])
def test_every_context_has_weights_of_its_own(components: int) -> None:
    """All rows are used, each by one mixer and one of its contexts; those shared by bits depend on no bit."""
    inputs = INPUTS + (GUESSES if components else MORE)
    layout = namedtuple("Layout", "components row blocks origin")(components, inputs, False, (0, 0))
    room = namedtuple("Room", "rows")(np.zeros(MIXERS, dtype=np.uint64))
    at = namedtuple("At", "q row column")
    spots = SPOTS if components else 1
    shared, of_bit = called(kernel._choose_weights), called(kernel._choose_weights_of_bit)
    place = called(kernel._place)
    used: list[set[int]] = [set() for _ in range(MIXERS)]
    for s in range(3):
        for i in range(STRIPS):
            contexts = i % SPREADS, i % CONTEXTS, i % COLORS
            no_spot, strip = place(s, at(i << STRIP_BITS, 0, 0), layout)
            assert no_spot == 0
            for spot, bit in product(range(spots), range(8)):
                shared(s, (spot, strip), contexts, layout, room)
                of_bit(s * 8 + bit, contexts, i % SEEN, layout, room)
                for rows, first in zip(used, room.rows.tolist(), strict=True):
                    assert first % inputs == 0
                    rows.add(first // inputs)
    others = [3 * COLORS, 3 * STRIPS] if components else [BITS * SEEN, BITS * COLORS]
    by_spot = [3 * SPREADS * spots, 3 * CONTEXTS * spots]
    assert [len(rows) for rows in used] == [BITS * SPREADS, *by_spot, *others]
    assert sum(map(len, used)) == len(set().union(*used))
    if components:
        assert set().union(*used) == set(range(ROWS))
    else:
        assert max(set().union(*used)) == GRAPHICS_ROWS - 1


def test_spots_are_places_in_blocks() -> None:
    """Of luma at the edges of 8 x 8 pixels, of differences in 2 x 2; weights know the place in 8 x 8, too."""
    layout = namedtuple("Layout", "components row blocks origin")
    room = namedtuple("Room", "rows")(np.zeros(MIXERS, dtype=np.uint64))
    at = namedtuple("At", "q row column")
    place, shared = called(kernel._place), called(kernel._choose_weights)
    places, luma, difference = set(), np.zeros((16, 16)), np.zeros((16, 16))
    for y, x in product(range(16), range(16)):
        here, blocks = at(x, y, x), layout(5, 1, True, (6, 3))
        luma[y, x], difference[y, x] = place(0, here, blocks)[0], place(2, here, blocks)[0]
        assert place(y % 3, here, layout(5, 1, False, (6, 3)))[0] == 0
        shared(1, (0, place(1, here, blocks)[1]), (0, 0, 0), blocks, room)
        places.add((y % 8, x % 8, int(room.rows[4])))
    assert len(places) == len({place for *_, place in places}) == 64
    y, x = np.arange(16)[:, None] + 6, np.arange(16) + 3
    assert np.array_equal(luma, 2 * (y % 8 == 0) + (x % 8 == 0))
    assert np.array_equal(difference, 2 * (y % 2) + x % 2)
