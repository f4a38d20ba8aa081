"""The pages' examples run, and their links lead somewhere. docs/plugins.md, docs/zarr.md and docs/inspect.md
have tests of their own, beside what they are about; FORMAT.md and docs/format are followed by
`tests.second_decoder`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import codec
from tests.processes import ROOT

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
ELSEWHERE = {"docs/plugins.md", "docs/ray.md", "docs/zarr.md", "docs/inspect.md"}
HERE = ["README.md", "docs/commands.md", "docs/training.md"]


def examples(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def run_examples(page: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in examples(page):
        exec(block, names)
    return names


def test_no_example_is_forgotten() -> None:
    pages = [path for path in PAGES if "format" not in path.parts and path.name != "FORMAT.md"]
    found = {path.relative_to(ROOT).as_posix() for path in pages if "```python" in path.read_text()}
    assert found == {*HERE, *ELSEWHERE}


def test_the_readme() -> None:
    names = run_examples("README.md")
    assert codec.info(names["data"])["width"] == 640


def test_the_commands(photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = np.concatenate([photo, photo[::-1, :, :]])[:540]
    Path("photo.ardm").write_bytes(codec.compress(pixels, budget=4, verify=False))
    names = run_examples("docs/commands.md")
    assert np.array_equal(names["part"], pixels[50:530, 100:740])
    assert np.array_equal(names["same"], names["part"])
    assert max(names["small"].shape) == 256
    assert np.array_equal(names["picked"], pixels[::4, ::4])


def test_training() -> None:
    names = run_examples("docs/training.md")
    assert names["loss"].requires_grad
    assert float(names["bits"].sum()) > 0


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
