"""Several small files at once: the same files and words as one after the other."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Barrier, Event, get_ident
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from codec.commands import abreast, work
from codec.commands.cli import compress_command, decompress_command
from codec.commands.options import Options
from codec.commands.places import file_of
from codec.commands.summary import COMPRESS
from codec.commands.tree import Item
from codec.settings import Settings

THREADS = 3


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Small images, one that is none, one that is not there, and two that want the same name."""
    rng = np.random.default_rng(1)
    names = [f"{i}.png" for i in range(6)] + ["0.ppm.png", "0.ppm"]
    for name in names:
        size = rng.integers(4, 20, 2)
        Image.fromarray(rng.integers(0, 9, (*size, 3)).astype(np.uint8)).save(
            tmp_path / name, "PPM" if name.endswith("ppm") else "PNG"
        )
    (tmp_path / "broken.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    order = [*names[:3], "broken.png", *names[3:], "missing.png"]
    return [tmp_path / name for name in order]


def items(paths: list[Path]) -> list[Item]:
    return [Item(file_of(str(path))) for path in paths]


def options() -> Options:
    return Options(settings=Settings(threads=THREADS))


def ran(command: Any, paths: list[Path], threads: int, *more: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(command, ["--json", "-v", f"-T{threads}", *more, *map(str, paths)])
    return result.exit_code, result.stdout, result.stderr


def test_the_same_as_one_after_the_other(pictures: list[Path], tmp_path: Path) -> None:
    found = []
    for threads in (1, THREADS):
        folder = tmp_path / f"with-{threads}"
        there_and_back = [ran(compress_command, pictures, threads, "--output-dir", str(folder))]
        archives = sorted(folder.glob("*.ardm"))
        there_and_back.append(ran(decompress_command, archives, threads, "-t"))
        back = folder / "back"
        there_and_back.append(ran(decompress_command, archives, threads, "--output-dir", str(back)))
        said = [
            (code, out.replace(str(folder), "DIR"), err.replace(str(folder), "DIR"))
            for code, out, err in there_and_back
        ]
        files = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        found.append((said, files))
    assert found[0] == found[1]
    (code, out, err), files = found[1][0][0], found[1][1]
    results = [json.loads(line) for line in out.splitlines()]
    assert [Path(result["file"]) for result in results] == pictures
    failed = [path.name for path, result in zip(pictures, results, strict=True) if "error" in result]
    assert failed == ["broken.png", "0.ppm", "missing.png"]  # of two that want 0.ppm.ardm, the second
    assert code == 4
    told = [line for line in err.splitlines() if "exists" in line or "missing" in line or "broken" in line]
    assert [name in line for name, line in zip(failed, told, strict=True)] == [True] * 3
    assert len(files) == 2 * (len(pictures) - len(failed))


def test_small_ones_are_worked_on_at_once(pictures: list[Path]) -> None:
    """As many as there are threads: each waits for the others."""
    together = Barrier(THREADS)

    def do(item: Item, options: Options) -> dict[str, Any]:
        together.wait(30)
        return {"file": item.source.name}

    done = list(abreast.worked(items(pictures[:3]), options(), do, COMPRESS))
    assert [one.result["file"] for one in done] == [str(path) for path in pictures[:3]]


def test_large_ones_and_those_that_are_to_be_alone_are_not(
    pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()

    def do(item: Item, options: Options) -> dict[str, Any]:
        threads.add(get_ident())
        return {}

    list(abreast.worked(items(pictures[:3]), options(), do, COMPRESS, alone=True))
    monkeypatch.setattr(abreast, "OF_TILE", 1)
    list(abreast.worked(items(pictures[:3]), options(), do, COMPRESS))
    assert threads == {get_ident()}


def test_those_that_may_have_the_same_target_follow_each_other(pictures: list[Path]) -> None:
    both = [path for path in pictures if path.name in ("0.ppm.png", "0.ppm")]
    begun: list[str] = []

    def do(item: Item, options: Options) -> dict[str, Any]:
        assert item.source.base == both[len(begun)].name
        begun.append(item.source.base)
        return {}

    assert not [one.error for one in abreast.worked(items(both), options(), do, COMPRESS) if one.error]


def test_whoever_stops_takes_the_others_with_him(pictures: list[Path], tmp_path: Path) -> None:
    """An interrupted command: files that have begun notice, and no more are begun."""
    begun, first, ended = Event(), Event(), []

    def do(item: Item, options: Options) -> dict[str, Any]:
        if item.source.base == "0.png":
            begun.wait(30)
            return {}
        assert options.stop
        begun.set()
        first.wait(30)
        assert options.stop.wait(30)
        try:
            return work.compress_one(item, options)
        except KeyboardInterrupt:
            ended.append(item.source.base)
            raise

    running = abreast.worked(items(pictures[:3] + pictures[4:7]), options(), do, COMPRESS)
    assert next(running).item.source.base == "0.png"
    first.set()
    running.close()
    assert 1 <= len(ended) <= THREADS
    assert not list(tmp_path.glob("*.ardm"))
    assert not list(tmp_path.glob(".*.tmp"))
