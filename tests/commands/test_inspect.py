"""ardm-inspect in real processes: summaries, pages, refusals, exit codes, and what is not loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codec import compress, text
from tests.processes import ROOT, only_files, run
from tests.samples import GOLDEN

INSPECT = [sys.executable, "-c", "from codec.commands.inspect import main; main()"]


@pytest.fixture
def source(photo: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "photo.ardm"
    path.write_bytes(compress(photo[100:120, 200:230], verify=False))
    return path


def test_a_summary(source: Path, tmp_path: Path) -> None:
    note = tmp_path / "a.txt.ardm"
    note.write_bytes(text.pack(b"a text " * 9))
    said = run(INSPECT, source, note).stdout.decode()
    assert str(source) in said
    assert "30 x 20, 600 in all" in said
    assert "Coded as network" in said
    assert "63 bytes" in said
    assert run(INSPECT, "-", stdin=source.read_bytes()).stdout.decode().startswith("-\n")
    listed = json.loads(run(INSPECT, "--json", source).stdout)
    assert (listed["width"], listed["file"], listed["restores"]) == (30, str(source), "content")
    only_files(tmp_path, "photo.ardm", "a.txt.ardm")


def test_a_page(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    done = run(INSPECT, source, "--html", target)
    assert done.stdout == b""
    assert b"report.html" in done.stderr
    made = target.read_text(encoding="utf-8")
    assert "<title>photo.ardm, inspected</title>" in made
    assert str(tmp_path) not in made
    assert b"exists already" in run(INSPECT, source, "--html", target, code=1).stderr
    assert run(INSPECT, source, "--html", target, "-f", "-q").stderr == b""
    assert target.read_text(encoding="utf-8") == made
    assert run(INSPECT, "--html", "-", source).stdout.decode() == made
    only_files(tmp_path, "photo.ardm", "report.html")


def test_refusals(source: Path, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    assert b"same file" in run(INSPECT, source, "--html", source, "-f", code=1).stderr
    assert b"does not exist" in run(INSPECT, tmp_path / "none.ardm", code=1).stderr
    assert b"is a directory" in run(INSPECT, tmp_path, code=1).stderr
    assert b"several files" in run(INSPECT, source, source, "--html", page, code=2).stderr
    run(INSPECT, code=2)
    other = tmp_path / "other"
    other.write_bytes(b"other")
    assert b"not an .ardm file" in run(INSPECT, other, code=4).stderr
    assert b"not an .ardm file" in run(INSPECT, other, "--html", page, code=4).stderr
    other.write_bytes(b"")
    assert b"empty" in run(INSPECT, other, code=4).stderr
    assert b"the limit is 100" in run(INSPECT, source, "--html", page, "--max-pixels", 100, code=5).stderr
    assert b"format version 255" in run(INSPECT, GOLDEN / "unsupported-version-255.ardm", code=5).stderr
    damaged = tmp_path / "damaged.ardm"
    damaged.write_bytes(source.read_bytes()[:-9] + b"\0" * 9)
    assert b"checksum" in run(INSPECT, damaged, "--html", page, code=4).stderr
    assert not page.exists()


def test_help_and_version() -> None:
    assert b"--html" in run(INSPECT, "--help").stdout
    assert b"ardm-inspect, version" in run(INSPECT, "--version").stdout


@pytest.mark.parametrize("kind", ["image", "text"])
def test_a_summary_loads_nothing_that_takes_long(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file.ardm"
    path.write_bytes((GOLDEN / "budget-1.ardm").read_bytes() if kind == "image" else text.pack(b"short"))
    script = f"""
import sys
from codec.commands.inspect import main
sys.argv = ["ardm-inspect", {str(path)!r}]
try:
    main()
finally:
    print([m for m in ("torch", "numba", "PIL") if m in sys.modules], file=sys.stderr)
"""
    found = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
    )
    assert found.returncode == 0
    assert found.stderr.strip() == "[]"
