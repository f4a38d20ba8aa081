"""`ardm.compiled`: code is kept where it can be; a cache that cannot be written, or is damaged, costs
time, never an error.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import config
from numba.core import caching
from numba.core.dispatcher import Dispatcher

from ardm import compiled
from ardm.compiled import PACKAGES
from tests.processes import ROOT

SOURCE = "from ardm.compiled import compiled\n@compiled()\ndef add(a, b):\n    return a + b\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module with a compiled function, and a folder beside it for what is kept."""
    path = tmp_path / "adding.py"
    path.write_text(SOURCE)
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "cache"))
    return path


def was_kept(path: Path) -> bool:
    """Import the module as a new process would, and add. Whether the code was there already."""
    spec = importlib.util.spec_from_file_location("adding", path)
    assert spec
    assert spec.loader
    adding = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(adding)
    assert isinstance(adding.add, Dispatcher)
    assert adding.add(2, 3) == 5
    return bool(adding.add.stats.cache_hits)


def test_code_is_kept(module: Path) -> None:
    assert [was_kept(module), was_kept(module)] == [False, True]


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_damaged_code_is_compiled_anew_and_mended(module: Path, kind: str) -> None:
    was_kept(module)
    for damage in (lambda data: b"", lambda data: data[: len(data) // 2], lambda data: bytes(len(data))):
        (path,) = module.parent.rglob(f"*.{kind}")
        path.write_bytes(damage(path.read_bytes()))
        assert [was_kept(module), was_kept(module)] == [False, True]


@pytest.mark.parametrize("damaged", [False, True])
def test_a_full_disk_keeps_no_code(module: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool) -> None:
    if damaged:
        was_kept(module)
        next(module.parent.rglob("*.nbi")).write_bytes(b"")

    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(caching.IndexDataCacheFile, "_open_for_write", full)
    assert [was_kept(module), was_kept(module)] == [False, False]


def test_no_folder_keeps_no_code(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the one that was asked for, nor beside the source, nor in the user's home can be written: Numba
    then refuses to decorate.
    """
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert not was_kept(module)


def test_every_file_with_compiled_functions_makes_kept_code_stale() -> None:
    found = {
        path.parent.relative_to(ROOT).as_posix()
        for package in ("ardm", "codec")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"^@(compiled|njit|intrinsic)\b", path.read_text(), re.MULTILINE)
    }
    assert found
    assert found <= set(PACKAGES)


INTERNAL = """
import numpy as np
from numba import njit
from ardm.compiled import compiled, inlined, internal
@inlined()
def twice(x):
    return x + x
@internal()
def total(values):
    out = 0.0
    for v in values:
        out += twice(v)
    return out
@compiled()
def mean(values):
    return total(values) / values.size
"""


@pytest.mark.parametrize("hooked", [True, False])
def test_what_only_compiled_functions_call_is_not_compiled_by_itself(
    hooked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it have to be as it is: where Numba has changed, it is as all other functions are."""
    if not hooked:
        monkeypatch.setattr(compiled, "HOOKS", [(object, "gone")])
    names: dict[str, Any] = {}
    exec(INTERNAL, names)
    assert names["mean"](np.arange(5.0)) == 4.0
    for name in ("twice", "total"):
        (result,) = names[name].overloads.values()
        made = isinstance(result.library, compiled._Draft)
        assert made == hooked
        assert not made or result.library.get_pointer_to_function(result.fndesc.llvm_func_name) == 0


MANY_NUMBERS = """
from ardm.compiled import compiled, inlined
@inlined()
def plus(x, y, pair):
    return x + y + pair[0]
@compiled()
def count(n):
    found = 0
    for i in range(n):
        found = plus(found, 2, (3, i))
    return plus(plus(found, 5, (0, n)), n, (n, 7))
"""


def test_one_function_serves_all_numbers() -> None:
    names: dict[str, Any] = {}
    exec(MANY_NUMBERS, names)
    assert names["count"](4) == 4 * 5 + 5 + 4 + 4
    assert len(names["plus"].overloads) == 1
