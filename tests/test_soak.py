"""`benchmarks.soak` in small: varied images from 8 threads of one process, memory that does not grow, threads
that end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from benchmarks import soak


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_varied_images_from_eight_threads() -> None:
    before = threading.active_count()
    done = soak.soak(8, range(30))
    assert done["images"] == 30
    assert min(done["noise"], done["graphics"], done["photo"]) > 3
    soak.trim()
    warm = soak.memory()
    assert soak.soak(8, range(30, 70))["images"] == 40
    soak.trim()
    assert soak.memory() < warm + 100 * 1024
    assert threading.active_count() <= before + 6  # pools that are about to be collected


def test_a_wrong_result_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    decompress = soak.decompress
    monkeypatch.setattr(soak, "decompress", lambda data: decompress(data) ^ 1)
    monkeypatch.setattr(soak.archive, "unpack", lambda data: b"")
    with pytest.raises((AssertionError, soak.ArdmError)):
        soak.soak(2, range(4))
