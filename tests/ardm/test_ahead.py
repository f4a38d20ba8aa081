"""`ardm.ahead`: code made ahead of time saves compiling, changes no byte, and is never needed."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from ardm import ahead, compiled
from tests.processes import run

# In a process with an empty folder for kept code: {before}, then compress a photo; prints what Numba compiled.
PROGRAM = """
import sys
import numpy as np
from pathlib import Path
from ardm import ahead
{before}
from ardm import compiled
from codec import compress
y, x, c = np.mgrid[:40, :40, :3]
pixels = (3 * y + 2 * x + 40 * c + np.random.default_rng(1).integers(0, 5, y.shape)).astype(np.uint8)
sys.stdout.buffer.write(compress(pixels))
made = [f.py_func.__name__ for f in compiled.all_compiled() if f.stats.cache_misses]
print(*sorted(made), file=sys.stderr)
"""


def stamp_of_file() -> str:
    with zipfile.ZipFile(ahead.FILE) as file:
        return file.comment.decode()


HERE = stamp_of_file() == ahead.stamp(compiled.sources_ahead()) and sys.version_info[:2] in ahead.PYTHONS


def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str = "") -> tuple[bytes, list[str]]:
    """What the program wrote, and the functions that were compiled for it."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    done = run([sys.executable, "-c", PROGRAM.format(before=before)])
    return done.stdout, done.stderr.decode().split()


def test_it_was_made_from_these_sources() -> None:
    """If this fails: python -m tests.make_ahead."""
    assert stamp_of_file().split()[-1] == ahead.stamp(compiled.sources_ahead()).split()[-1]


def test_it_changes_no_byte_and_saves_compiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside code without VNNI, code that is compiled from the sources, and what a damaged file brings."""
    data, made = fresh(tmp_path / "ahead", monkeypatch)
    assert bool(made) != HERE
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(ahead.FILE.read_bytes()[:-2000])
    without = f"ahead.FILE = Path({str(damaged)!r})"
    from_sources, compiled_then = fresh(tmp_path / "sources", monkeypatch, without)
    assert "code_rows" in compiled_then
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    plain, made = fresh(tmp_path / "generic", monkeypatch)
    assert bool(made) != HERE
    assert data == from_sources == plain


def test_what_was_made_ahead_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the next process neither compiles nor asks for it."""
    data, _ = fresh(tmp_path, monkeypatch)
    again, made = fresh(tmp_path, monkeypatch, "ahead.load = None")
    assert (again, made) == (data, [])


def test_without_a_folder_for_kept_code_it_serves_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "from numba.core import caching; caching.CacheImpl._locator_classes = []"
    _, made = fresh(tmp_path, monkeypatch, nowhere)
    assert bool(made) != HERE
    assert not list(tmp_path.iterdir())


def test_code_for_other_types_or_from_other_sources_is_not_taken(tmp_path: Path) -> None:
    codegen = None  # which is not asked
    name = "codec.coder.conversions._invert"
    assert ahead.load(name, (), codegen, compiled.sources_ahead()) is None
    assert ahead.load(name, (), codegen, compiled.sources_ahead()[1:]) is None
    assert ahead.load("no.such", (), codegen, compiled.sources_ahead()) is None
