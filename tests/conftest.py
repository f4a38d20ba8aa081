"""Shared by all tests: a real photo, the shipped weights, and a predictor that knows nothing and forgets
nothing.
"""

from __future__ import annotations

import os

# as the commands do: threads that spin make a busy machine crawl
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import numpy as np
import pytest

from ardm.exact.predictor import Canvas, Predictor
from codec.coder.selftest import synthetic_weights
from codec.tiles import load_predictor
from tests import photos


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """uint8 (512, 768, 3), the photo of `make demo`, but for its having been converted."""
    return photos.photo()


@pytest.fixture(scope="session")
def predictor() -> Predictor:
    return load_predictor()


class FakePredictor(Predictor):
    """Answers every call with parameters drawn from a hash of all that is known: any disagreement between the
    two directions about what is known, or when, changes the answer and breaks the round trip."""

    def __init__(self) -> None:
        super().__init__(synthetic_weights())

    def lattice(
        self, canvas: Canvas, phase: tuple[int, int], first: int, where: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.scattered(canvas, where)

    def scattered(self, canvas: Canvas, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen = (canvas.image.astype(np.int64) * canvas.mask[..., None]).ravel()
        key = int((seen * np.arange(1, seen.size + 1)).sum()) + int(
            (canvas.mask.ravel() * np.arange(canvas.mask.size)).sum()
        )
        rng = np.random.default_rng([key % 2**32, *where[0]])
        params = rng.integers(-200, 200, (len(where), self.weights.config.outputs)).astype(np.int32)
        return params, rng.integers(0, 256, (len(where), 3)).astype(np.int16)


@pytest.fixture
def fake() -> FakePredictor:
    return FakePredictor()
