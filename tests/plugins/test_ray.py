"""--engine ray and `codec.plugins.ray`: many files at once, from and to an object store on this machine, with
workers that are killed.
"""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import s3fs
from fsspec.registry import _registry
from moto.server import ThreadedMotoServer

from codec import Limits, Settings, archive, png
from codec.commands import cli
from codec.commands.collisions import groups
from codec.commands.places import file_of
from codec.commands.summary import COMPRESS, DECOMPRESS, DONE, ERROR, LEFT, SKIPPED, Row
from codec.commands.tree import Item
from codec.errors import InputError, OutputError
from codec.plugins import cluster
from codec.plugins import ray as engine
from tests import pngs
from tests.plugins import workers
from tests.processes import COMPRESS as COMMAND
from tests.processes import ROOT, command

PACK, UNPACK = cli.compress_command, cli.decompress_command
QUICK = Settings(plain=True)
# of Ray, about what Ray itself does
pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")]


@pytest.fixture(scope="module")
def marks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("killed")


@pytest.fixture(scope="module")
def store(marks: Path) -> Iterator[s3fs.S3FileSystem]:
    """An S3 server that this process and the workers of Ray, which is started here, use. Of this module alone: a
    process with Ray has threads that other tests do not expect.
    """
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv(workers.MARK, str(marks))
        # as pytest has it, for workers that are defined in the tests
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("RAY_ADDRESS", "local")
        cluster.connected(engine.Workers(2), "cpu", verbose=False)
        try:
            fs = s3fs.S3FileSystem()
            fs.mkdir("photos")
            yield fs
        finally:
            import ray  # not earlier: what it says is chosen before

            ray.shutdown()
            server.stop()
            # other tests ask what is said where there is no s3fs
            s3fs.S3FileSystem.clear_instance_cache()
            for scheme in ("s3", "s3a"):
                _registry.pop(scheme, None)


@pytest.fixture
def pictures(photo: np.ndarray) -> list[bytes]:
    return [pngs.png_of(photo[i : i + 16, 2 * i : 2 * i + 24], 2, 8) for i in range(12)]


def rows_of(report: engine.Report) -> dict[str, Row]:
    """By the last part of the sources' names."""
    return {row.source.rpartition("/")[2]: row for row in report.rows}


def test_a_store_with_killed_workers_and_damaged_files(
    store: s3fs.S3FileSystem,
    pictures: list[bytes],
    marks: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """The whole way: there, again, with what is wrong in between mended, and back."""
    for i, picture in enumerate(pictures):
        store.pipe_file(f"photos/in/{i % 3}/{i:02}.png", picture)
    store.pipe_file("photos/in/0/once.png", pictures[0])
    store.pipe_file("photos/in/1/always.png", pictures[0])
    store.pipe_file("photos/in/bad.png", pictures[0][:-30])
    store.pipe_file("photos/in/notes.txt", b"words")
    monkeypatch.setattr(engine, "FileWorker", workers.Mortal)
    monkeypatch.setattr(engine, "ATTEMPTS", 2)
    report = "s3://photos/report.json"
    given = ["--engine", "ray", "--plain", "s3://photos/in/", "--output-dir", "s3://photos/out", "--json"]

    assert command(PACK, *given, "--report", report) == 4
    out, err = capfd.readouterr()
    lines = {line["file"].removeprefix("s3://photos/in/"): line for line in map(json.loads, out.splitlines())}
    failed = {name for name, line in lines.items() if "error" in line}
    assert failed == {"1/always.png", "bad.png"}
    assert list(lines) == sorted(lines)  # as without Ray
    assert "ended its worker 2 times" in lines["1/always.png"]["error"]
    assert lines["1/always.png"]["exit_code"] == 1
    assert "cut short" in lines["bad.png"]["error"]
    assert {line["status"] for name, line in lines.items() if name not in failed} == {DONE}
    assert sorted(path.name for path in marks.iterdir()) == ["always.png.0", "always.png.1", "once.png.0"]
    assert "13 done, 0 skipped (done already), 2 failed, 1 not taken" in err
    told = json.loads(store.cat_file("photos/report.json"))
    assert told["files"] == {DONE: 13, SKIPPED: 0, ERROR: 2, LEFT: 1}
    assert told["exit_code"] == 4
    assert told["workers"] == 2
    assert [row["file"] for row in told["rows"]] == [f"s3://photos/in/{name}" for name in lines]
    assert told["bytes_out"] == sum(store.size(name) for name in store.find("photos/out"))
    packed = {name: store.cat_file(name) for name in store.find("photos/out")}
    for i, picture in enumerate(pictures):
        name = f"photos/out/{i % 3}/{i:02}.ardm"
        assert packed[name] == archive.pack(picture, exactly=False, plain=True).data
    assert len(packed) == 13  # and nothing half written

    # what is done is let be; what is not right is not, nor overwritten
    monkeypatch.setattr(engine, "FileWorker", workers.FileWorker)
    store.pipe_file("photos/in/bad.png", pictures[0])
    store.rm("photos/in/1/always.png")
    store.pipe_file("photos/out/0/03.ardm", packed["photos/out/0/03.ardm"][:-20])
    store.pipe_file("photos/out/0/06.ardm", packed["photos/out/0/00.ardm"])
    store.pipe_file("photos/out/0/09.ardm", b"something else")
    times = {name: store.modified(name) for name in store.find("photos/out")}
    assert command(PACK, *given, "--report", report) == 1
    lines = {line["file"][-9:]: line for line in map(json.loads, capfd.readouterr().out.splitlines())}
    wrong = {name for name, line in lines.items() if "error" in line}
    assert wrong == {"in/0/03.png"[-9:], "in/0/06.png"[-9:], "in/0/09.png"[-9:]}
    assert all("is not what this file gives; use -f" in lines[name]["error"] for name in wrong)
    assert [name for name, line in lines.items() if line.get("status") == DONE] == ["n/bad.png"]
    assert json.loads(store.cat_file("photos/report.json"))["files"][SKIPPED] == 10
    assert times == {name: store.modified(name) for name in times}

    # and back to this machine
    back = worker_of(DECOMPRESS, tmp_path / "back")
    for i in (1, 2, 4, 5):
        row = back.row(i, Item(file_of(f"s3://photos/out/{i % 3}/{i:02}.ardm")))
        assert row.status == DONE
        restored = png.read((tmp_path / "back" / f"{i:02}.png").read_bytes(), 10**6)
        assert np.array_equal(restored.pixels, png.read(pictures[i], 10**6).pixels)


def test_from_python(
    store: s3fs.S3FileSystem, pictures: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths that are relative to where the caller is, and what the report says."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    names = [f"in/{i}.png" for i in range(3)]
    for name, picture in zip(names, pictures, strict=False):
        Path(name).write_bytes(picture)
    report = engine.compress_files([*names, "in/none.png"], "out", settings=QUICK, workers=engine.Workers(1))
    rows = rows_of(report)
    assert [row.status for row in report.rows] == [DONE] * 3 + [ERROR]
    assert (rows["none.png"].error, rows["none.png"].exit_code) == ("does not exist.", 1)
    assert [row.target for row in report.rows] == ["out/0.ardm", "out/1.ardm", "out/2.ardm", ""]
    assert [Path(row.target).stat().st_size for row in report.rows[:3]] == [
        row.bytes_out for row in report.rows[:3]
    ]
    assert report.bytes_in == sum(map(len, pictures[:3]))
    assert report.exit_code == 1
    assert report.workers == report.cores == 1
    assert 0 < report.seconds_of_work < report.seconds
    assert json.loads(report.dumps()) == report.as_json()
    with pytest.raises(InputError, match="several files"):
        engine.compress_files("in/0.png", "out")
    with pytest.raises(OutputError, match="is a file"):
        engine.compress_files(["in/0.png"], "in/0.png")


def test_the_example_of_the_page_runs(
    store: s3fs.S3FileSystem,
    pictures: list[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for i, content in enumerate([*pictures[:2], pictures[2][:-30]]):
        Path("photos", str(i)).mkdir(parents=True)
        Path("photos", str(i), "a.png").write_bytes(content)
    page = (ROOT / "docs" / "ray.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    out = capsys.readouterr().out
    assert out.startswith("files    2 done, 0 skipped (done already), 1 failed\n")
    assert "photos/2/a.png the PNG is cut short" in out
    assert names["restored"].command == DECOMPRESS
    assert [row.target for row in names["restored"].rows] == ["back/0/a.png", "back/1/a.png"]
    for row in names["restored"].rows:
        source = Path("photos", row.target.removeprefix("back/"))
        assert Path(row.target).stat().st_mtime_ns == source.stat().st_mtime_ns
    for field in names["report"].as_json():
        assert f"`{field}`" in page, field


def test_a_run_that_ray_ends_has_all_rows(
    store: s3fs.S3FileSystem, pictures: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here since a worker cannot be made; of a cluster that goes away it is the same."""
    monkeypatch.setattr(engine, "FileWorker", workers.Unborn)
    (tmp_path / "a.png").write_bytes(pictures[0])
    report = engine.compress_files([tmp_path / "a.png"], workers=engine.Workers(1))
    (row,) = report.rows
    assert row.status == ERROR
    assert row.error.startswith("not done, because Ray ended the run: ")


def test_the_command_alone_is_quiet(pictures: list[bytes], tmp_path: Path) -> None:
    """With Ray started by itself, as on any machine."""
    for i, picture in enumerate(pictures[:2]):
        (tmp_path / f"{i}.png").write_bytes(picture)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ADDRESS": "local"}
    done = subprocess.run(
        [*COMMAND, "--engine", "ray", "--plain", "--workers", "1", f"{tmp_path}/"],
        env=environment,
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert [line.split()[0] for line in done.stderr.splitlines()] == [
        "files",
        "bytes",
        "time",
        "workers",
        "files/s",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.ardm", "0.png", "1.ardm", "1.png"]


def worker_of(command: str, output_dir: Path, **more: Any) -> engine.FileWorker:
    """A worker in this process, without Ray."""
    options = engine._options(str(output_dir), False, QUICK, Limits(), engine.Workers())
    return engine.FileWorker(engine.Job(command, replace(options, **more), os.getcwd(), 3), None)


def test_rows_of_a_worker(
    photo: np.ndarray, pictures: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a worker says of a file: notes, what is left, and what nobody has foreseen."""
    names = {"a.png": pictures[0], "a.PNG": pictures[0], "b.bmp": bmp(photo[:8, :8]), "c.txt": b"words"}
    for name, content in names.items():
        (tmp_path / name).write_bytes(content)
    worker = worker_of(COMPRESS, tmp_path / "out")

    def row(name: str, found: bool = True) -> Row:
        return worker.row(7, Item(file_of(str(tmp_path / name)), found=found))

    first = row("a.png")
    assert (first.index, first.status, first.exit_code, first.notes) == (7, DONE, 0, ())
    assert first.target == str(tmp_path / "out" / "a.ardm")
    assert first.facts["restores"] == "content"
    assert Row.unpack(first.pack()) == first
    # another source of the same name is refused, though the target holds just what is in it
    assert row("a.PNG").status == ERROR
    assert row("c.txt").status == LEFT
    assert row("c.txt", found=False).status == DONE
    again = worker_of(COMPRESS, tmp_path / "out")
    assert again.row(0, Item(file_of(str(tmp_path / "a.png")))).status == SKIPPED
    notes = worker_of(COMPRESS, tmp_path / "more", pixels=True)
    gif = io.BytesIO()
    from PIL import Image

    Image.fromarray(photo[:8, :8]).convert("P").save(gif, "gif")
    (tmp_path / "d.gif").write_bytes(gif.getvalue())
    said = notes.row(0, Item(file_of(str(tmp_path / "d.gif"))))
    assert "will come back as a PNG" in " ".join(said.notes)

    def fail(*given: object) -> None:
        raise TypeError("our mistake")

    monkeypatch.setattr(worker, "_do", fail)
    unforeseen = row("a.png")
    assert (unforeseen.status, unforeseen.exit_code) == (ERROR, 1)
    assert "TypeError: our mistake" in unforeseen.error


def test_what_is_done_is_let_be_and_what_is_not_is_not_overwritten(
    pictures: list[bytes], tmp_path: Path
) -> None:
    source, target = tmp_path / "a.png", tmp_path / "out" / "a.ardm"
    source.write_bytes(pictures[0])
    item = Item(file_of(str(source)))
    once = worker_of(COMPRESS, tmp_path / "out")
    assert once.row(0, item).status == DONE
    right, at = target.read_bytes(), target.stat().st_mtime_ns
    assert worker_of(COMPRESS, tmp_path / "out").row(0, item).status == SKIPPED
    # made otherwise, but it gives the same; not if the file itself is asked for
    exact = worker_of(COMPRESS, tmp_path / "out", exact=True).row(0, item)
    assert exact.error.endswith("exists already, and is not what this file gives; use -f to overwrite it.")
    assert (target.read_bytes(), target.stat().st_mtime_ns) == (right, at)
    other = archive.pack(pictures[1], exactly=False, plain=True).data
    for content in (b"", right[:-1], right[: len(right) // 2], right + b"\0", other, b"words", pictures[0]):
        target.write_bytes(content)
        row = worker_of(COMPRESS, tmp_path / "out").row(0, item)
        assert (row.status, row.exit_code) == (ERROR, 1)
        assert target.read_bytes() == content
    assert worker_of(COMPRESS, tmp_path / "out", force=True).row(0, item).status == DONE
    assert target.read_bytes() == right
    # a source that has changed
    source.write_bytes(pictures[1])
    assert worker_of(COMPRESS, tmp_path / "out").row(0, item).status == ERROR
    target.unlink()
    target.mkdir()
    assert "is a directory" in worker_of(COMPRESS, tmp_path / "out").row(0, item).error


@pytest.mark.parametrize("kind", ["image", "text"])
def test_what_is_restored_is_let_be(kind: str, pictures: list[bytes], tmp_path: Path) -> None:
    name, content = ("a.png", pictures[0]) if kind == "image" else ("a.txt", b"words")
    (tmp_path / name).write_bytes(content)
    packed = worker_of(COMPRESS, tmp_path).row(0, Item(file_of(str(tmp_path / name))))
    item = Item(file_of(packed.target))
    first = worker_of(DECOMPRESS, tmp_path / "back").row(0, item)
    assert (first.status, first.target) == (DONE, str(tmp_path / "back" / name))
    again = worker_of(DECOMPRESS, tmp_path / "back").row(0, item)
    assert replace(again, seconds=first.seconds) == replace(first, status=SKIPPED)
    right = Path(first.target).read_bytes()
    for wrong in (b"", right[:-1], right + b"\0", pictures[1]):
        Path(first.target).write_bytes(wrong)
        assert worker_of(DECOMPRESS, tmp_path / "back").row(0, item).status == ERROR
        assert Path(first.target).read_bytes() == wrong


def bmp(pixels: np.ndarray) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "bmp")
    return out.getvalue()


@pytest.mark.parametrize(
    ("command", "names", "expected"),
    [
        (COMPRESS, ["a.png", "b.png", "a.PNG", "a", "a.png.png"], [[0, 2, 3, 4], [1]]),
        (COMPRESS, ["a.bmp", "a.png", "a.ppm"], [[0], [1], [2]]),
        (DECOMPRESS, ["a.ardm", "a.png.ardm", "b.ardm", "a.ARDM"], [[0, 1, 3], [2]]),
        (DECOMPRESS, ["2024.01.01.ardm", "2024.01.02.ardm"], [[0], [1]]),
        (DECOMPRESS, ["a.b.c.ardm", "a.ardm"], [[0], [1]]),
        (DECOMPRESS, ["a.b.c.ardm", "a.b.ardm", "a.ardm"], [[0, 1, 2]]),
    ],
)
def test_what_may_have_one_target_stays_together(
    command: str, names: list[str], expected: list[list[int]]
) -> None:
    found = [Item(file_of(f"in/{name}"), ("in",)) for name in names]
    assert groups(found, command, own_folders=False) == expected
    assert groups(found, command, own_folders=True) == expected
    apart = [Item(file_of(f"{i}/{name}"), (str(i),)) for i, name in enumerate(names)]
    assert groups(apart, command, own_folders=False) == [[i] for i in range(len(names))]
    refused = [replace(item, problem=InputError("no")) for item in found]
    assert groups(refused, command, own_folders=True) == []


@pytest.mark.quick
@pytest.mark.parametrize(
    ("what", "given", "says"),
    [
        (PACK, ["--engine", "ray", "-c"], "leave out -c."),
        (PACK, ["--engine", "ray", "--rm"], "keeps the sources; leave out --rm."),
        (PACK, ["--engine", "ray", "-o", "b.ardm"], "leave out -o."),
        (PACK, ["--engine", "ray", "-"], "leave out '-' as a FILE."),
        (UNPACK, ["--engine", "ray", "-t", "-l"], "leave out -t, -l."),
        (UNPACK, ["--engine", "ray", "--recover"], "leave out --recover."),
        (UNPACK, ["--engine", "ray", "--preview", "8"], "leave out --preview."),
        (PACK, ["--workers", "2"], "--workers and --report go with --engine ray."),
        (PACK, ["--report", "r.json"], "--workers and --report go with --engine ray."),
        (PACK, ["--engine", "ray", "--report", "-"], "--report names a file"),
        (PACK, ["--engine", "ray", "--report", "a.png"], "is no report of an earlier run"),
        (PACK, ["--engine", "spark"], "'spark' is not one of"),
    ],
)
def test_what_does_not_go_together(
    what: Any, given: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(b"a photo")
    with pytest.raises(click.UsageError) as refused:
        command(what, *given, "a.png")
    assert says in refused.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_without_ray(
    pictures: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "a.png").write_bytes(pictures[0])
    assert command(PACK, "--engine", "ray", tmp_path / "a.png") == 1
    said = capfd.readouterr().err
    assert "needs Ray: pip install 'ardm[ray]'" in said
    assert len(said.splitlines()) == 1


def test_a_cluster_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        cluster.check_answers(f"127.0.0.1:{port}")
    with pytest.raises(InputError, match=f"nothing answers at RAY_ADDRESS, 127.0.0.1:{port}: "):
        cluster.check_answers(f"127.0.0.1:{port}")
    for other in ("", "local", "auto", "ray://host:1"):
        cluster.check_answers(other)


def test_gpus_and_workers_that_cannot_be() -> None:
    some, none = {"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0}
    fitted, usual = cluster.fitted, engine.Workers()
    assert fitted(usual, "cpu", some, grows=False) == engine.Workers(8, 1, 0.0)
    assert fitted(usual, "auto", some, grows=False).gpus == 1
    assert fitted(usual, "auto", none, grows=False).gpus == 0
    assert fitted(usual, "cuda", none, grows=True).gpus == 1
    assert fitted(engine.Workers(gpus=0.25), "cuda", some, grows=False).gpus == 0.25
    assert fitted(engine.Workers(cores=3), "cpu", none, grows=False).count == 2
    assert fitted(engine.Workers(3, 99), "cpu", none, grows=True).count == 3
    assert fitted(usual, "cpu", {}, grows=True).count == 1
    for wrong, device in ((usual, "cuda"), (engine.Workers(gpus=0.5), "cpu")):
        with pytest.raises(InputError, match="GPU, and Ray finds 0 on this machine"):
            fitted(wrong, device, none, grows=False)
    for fields in ({"count": 0}, {"cores": 0}, {"gpus": -1.0}):
        with pytest.raises(ValueError, match="at least 1"):
            engine.Workers(**fields)
