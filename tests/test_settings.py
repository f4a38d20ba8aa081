"""What may be told to `compress`: by name, as one object, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ardm.exact.window import LARGE_ID, PHOTO_ID, QUICK_ID, RASTER_ID, load
from codec import Settings, compress, decompress, info
from codec.image import calls_needed
from codec.settings import NAMES, settings_of

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"budget": 0}, "budget must be at least 1 network call, got 0"),
        ({"tile": 30}, "tile must be a multiple of 4 up to 2048, got 30"),
        ({"tile": 4096}, "got 4096"),
        ({"seed": -1}, "seed must be within"),
        ({"order": "best"}, "order must be one of auto, lattice, raster"),
        ({"order": "raster", "seed": 1}, "not raster with a seed"),
        ({"quick": True, "budget": 9}, "quick is coding in raster order"),
        ({"quick": True, "order": "lattice"}, "leave out budget"),
        ({"quick": True, "seed": 3}, "leave out budget"),
        ({"best": True, "budget": 9}, "best chooses itself"),
        ({"best": True, "order": "raster"}, "leave out budget"),
        ({"best": True, "quick": True}, "leave out budget"),
        ({"best": True, "seed": 3}, "leave out budget"),
    ],
)
def test_wrong_choices_are_refused_at_birth(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**given)
    with pytest.raises(ValueError, match=message):
        compress(np.zeros((4, 4), np.uint8), **given)


def test_a_name_that_is_none(photo: np.ndarray) -> None:
    with pytest.raises(TypeError, match="no option 'bugdet'; expected one of budget, order"):
        compress(photo[:4, :4], bugdet=3)


def test_by_name_or_as_one_object(photo: np.ndarray) -> None:
    crop = photo[:16, :16]
    one = Settings(order="lattice", budget=3, plain=True)
    data = compress(crop, settings=one)
    assert data == compress(crop, order="lattice", budget=3, plain=True)
    assert data != compress(crop, settings=one, budget=8)  # a name changes one of them
    assert settings_of(None, {}) == Settings()
    assert settings_of(one, {"tile": 8}) == Settings(order="lattice", budget=3, plain=True, tile=8)
    assert NAMES == (
        "budget",
        "order",
        "seed",
        "plain",
        "quick",
        "best",
        "tile",
        "device",
        "threads",
        "verify",
    )


def test_quick_is_plain_in_raster_order_by_a_network_of_its_own(photo: np.ndarray) -> None:
    crop = photo[:64, :64]
    one = Settings(quick=True)
    assert (one.plain, one.order) == (True, "raster")
    data = compress(crop, settings=one)
    said = info(data)
    assert (said["weights"], said["coding"], said["order"]) == (QUICK_ID, "plain", "raster")
    assert np.array_equal(decompress(data), crop)
    quick, plain = load(QUICK_ID).config, load(PHOTO_ID).config
    assert 2 * quick.depth < plain.depth
    assert calls_needed(64, 64, one) == said["network_calls"]


@pytest.mark.parametrize(
    ("given", "weights", "order"),
    [
        ({}, RASTER_ID, "raster"),
        ({"order": "raster"}, RASTER_ID, "raster"),
        ({"order": "raster", "budget": 9000}, RASTER_ID, "raster"),
        ({"plain": True}, RASTER_ID, "raster"),
        ({"best": True}, LARGE_ID, "raster"),
        ({"budget": 9}, PHOTO_ID, "lattice"),
        ({"order": "lattice"}, PHOTO_ID, "lattice"),
        ({"seed": 1}, PHOTO_ID, "random"),
    ],
)
def test_weights_are_those_that_suit_the_order(
    photo: np.ndarray, given: dict[str, Any], weights: str, order: str
) -> None:
    crop = photo[:24, :28]
    data = compress(crop, **given)
    said = info(data)
    assert (said["weights"], said["order"]) == (weights, order)
    assert calls_needed(24, 28, Settings(**given)) >= said["network_calls"]
    assert np.array_equal(decompress(data), crop)


def test_the_best_network_is_the_largest() -> None:
    sizes = [load(name).config for name in (QUICK_ID, RASTER_ID, PHOTO_ID, LARGE_ID)]
    assert [2 * sizes[0].depth < c.depth for c in sizes] == [False, True, True, True]
    assert [(c.width, c.depth) < (sizes[3].width, sizes[3].depth) for c in sizes] == [True, True, True, False]
    assert Settings(best=True).largest_tile == 1024
    assert Settings(best=True, tile=64).largest_tile == 64
    assert Settings().largest_tile is None
