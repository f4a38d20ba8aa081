"""Shared by all tests: a real photo, the shipped weights, and a predictor that needs none."""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the commands do: threads that spin make a busy machine crawl

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ardm.likelihood import PER_COMPONENT, make_tables
from ardm.orders import PATCH
from ardm.predict import Answer, Call, NetworkPredictor
from codec.image import load_predictor

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """uint8 (512, 768, 3), the photo of `make demo`."""
    return np.asarray(Image.open(ROOT / "benchmarks" / "photo.png"))


@pytest.fixture(scope="session")
def predictor() -> NetworkPredictor:
    return load_predictor()


class FakePredictor:
    """Answers every call with parameters drawn from a hash of what the call shows: any disagreement between the two directions about what
    is known, or when, changes the answer and breaks the round trip."""

    def __init__(self, k: int = 2) -> None:
        self.k, self.tables = k, make_tables()

    def predict(self, calls: Sequence[Call]) -> list[Answer]:
        return [self._answer(call) for call in calls]

    def _answer(self, call: Call) -> Answer:
        seen = (call.pixels * call.known).long()
        key = int((seen.flatten() * torch.arange(1, seen.numel() + 1)).sum()) + 7919 * call.level + 31 * call.anchor[0] + call.anchor[1]

        def answer(phase: tuple[int, int]) -> torch.Tensor:
            count = len(range(phase[0], call.known.shape[0], PATCH)) * len(range(phase[1], call.known.shape[1], PATCH))
            generator = torch.Generator().manual_seed(key * 16 + phase[0] * 4 + phase[1])
            return torch.randint(-200, 200, (PER_COMPONENT * self.k, count), generator=generator, dtype=torch.int32)

        return answer


@pytest.fixture
def fake() -> FakePredictor:
    return FakePredictor()
