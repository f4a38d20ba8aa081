"""The photo of `make demo`, as arrays. Knows no test."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

FILE = Path(__file__).parent.parent / "benchmarks" / "photo.png"


@lru_cache(maxsize=1)
def converted() -> np.ndarray:
    """As it is, from a Photo CD: uint8 (512, 768, 3), not writable."""
    with Image.open(FILE) as image:
        pixels = np.asarray(image)
    pixels.flags.writeable = False
    return pixels


@lru_cache(maxsize=1)
def photo() -> np.ndarray:
    """The same with colours that no conversion made: a touch greener."""
    pixels = converted() + (converted() < 255) * np.array([0, 1, 0], np.uint8)
    pixels.flags.writeable = False
    return pixels
