"""The examples of docs/plugins.md run, one after the other, and do what the page says."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import codec
from tests.processes import ROOT

BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
def test_the_examples_run(tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    pictures = [photo[:24, :32], photo[:16, :9, 0]]
    for name, pixels in zip("ab", pictures, strict=True):
        (tmp_path / "photos" / f"{name}.ardm").write_bytes(codec.compress(pixels, plain=True))
    (tmp_path / "shards").mkdir()
    with tarfile.open("shards/0.tar", "w") as out:
        out.add("photos/a.ardm", "0.ardm")
    names: dict[str, Any] = {}
    blocks = BLOCK.findall((ROOT / "docs" / "plugins.md").read_text())
    assert len(blocks) == 5
    for block in blocks:
        exec(block, names)
    assert all(np.array_equal(a, b) for a, b in zip(names["arrays"], pictures, strict=True))
    assert codec.info(Path("b.ardm").read_bytes())["order"] == "lattice"
    assert np.array_equal(Image.open("b.ardm"), pictures[0])
    assert np.array_equal(names["pixels"], pictures[0])
    assert [sample["ardm"].shape for sample in names["samples"]] == [(24, 32, 3)]
    (batch,) = names["loader"]
    assert [tuple(t.shape) for t in batch] == [(3, 24, 32), (1, 16, 9)]
    assert torch.equal(batch[0], torch.from_numpy(pictures[0].copy()).permute(2, 0, 1))
