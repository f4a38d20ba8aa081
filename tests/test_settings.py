"""What may be told to `compress`: by name, as one object, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from codec import Settings, compress
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
    assert NAMES == ("budget", "order", "seed", "plain", "tile", "device", "threads", "verify")
