"""python -m codec.warm, and how it knows that code is kept."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ardm import compiled
from codec.warm import EXAMPLES
from tests.processes import run


def test_it_says_what_it_compiled_and_where_that_is_kept() -> None:
    lines = run([sys.executable, "-m", "codec.warm", "-T", "2"]).stderr.decode().splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == list(EXAMPLES)
    folders = lines[-1].removeprefix("kept in ").split(", ")
    assert all(list(Path(folder).glob("*.nbi")) for folder in folders)


def test_code_that_is_not_kept_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_all", [])

    @compiled.compiled()
    def doubled(x: Any) -> Any:
        return 2 * x

    assert compiled.kept_in() == set()  # nothing was compiled yet
    assert doubled(np.int64(4)) == 8
    folders = compiled.kept_in()
    assert len(folders) == 1
    for file in Path(*folders).glob(f"{doubled._cache._impl.filename_base}*.nbi"):
        file.unlink()
    with pytest.raises(OSError, match="doubled is not kept"):
        compiled.kept_in()
