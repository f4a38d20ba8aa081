"""The commands with URLs, of every kind of place: what is read, written, refused and removed."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from codec import OutputError, compress
from codec.commands import cli
from codec.commands.places import Local, Remote, file_of, place_of
from tests import pngs
from tests.processes import command, only_files
from tests.servers import serving

PACK, UNPACK = cli.compress_command, cli.decompress_command
MEMORY = MemoryFileSystem


class Disk(LocalFileSystem):
    """Files as of a server that is no object store: written piece by piece, and moved."""

    protocol = "disk"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("disk://"))


fsspec.register_implementation("disk", Disk, clobber=True)


@pytest.fixture
def png(photo: np.ndarray) -> bytes:
    return pngs.png_of(photo[100:112, 200:216], 2, 8)


@pytest.fixture(autouse=True)
def memory(png: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A store in memory, with two images and a text; the working directory is empty."""
    monkeypatch.chdir(tmp_path)
    MEMORY.store.clear()
    MEMORY.pseudo_dirs[:] = [""]
    fs = fsspec.filesystem("memory")
    for name in ("/in/b.png", "/in/sub/b.png"):
        fs.pipe_file(name, png)
    fs.pipe_file("/in/notes.txt", b"words and words")
    return fs


def stored() -> list[str]:
    return sorted(name for name in MEMORY.store if not name.startswith("/in/"))


def test_from_a_url_to_a_url_and_back(memory: Any, png: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    assert (
        command(PACK, "--plain", "--exact", "--json", "memory://in/b.png", "-o", "memory://out/x.ardm") == 0
    )
    found = json.loads(capfd.readouterr().out)
    assert (found["file"], found["output"]) == ("memory://in/b.png", "memory://out/x.ardm")
    assert stored() == ["/out/x.ardm"]
    assert command(PACK, "--plain", "--exact", "memory://in/b.png") == 0  # beside it
    assert "/in/b.ardm" in MEMORY.store
    assert command(UNPACK, "memory://in/b.ardm", "--output-dir", "memory://back") == 0
    assert memory.cat_file("/back/b.png") == png
    for option in ("-l", "-t"):
        assert command(UNPACK, option, "--json", "memory://in/b.ardm") == 0
        assert json.loads(capfd.readouterr().out)["file"] == "memory://in/b.ardm"
    assert command(UNPACK, "--preview", 4, "memory://in/b.ardm", "-o", "memory://back/small.png") == 0
    assert command(UNPACK, "-c", "memory://in/b.ardm") == 0


def test_trees_and_lists_of_urls(memory: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    memory.pipe_file("/in/.d/e.png", b"")
    memory.pipe_file("/in/.d/f.png", b"")
    memory.pipe_file("/in/old.ardm", b"")
    assert command(PACK, "--plain", "-r", "memory://in/", "--output-dir", "out") == 0
    assert capfd.readouterr().err == (
        "ardm: not taken: 1 compressed already (.ardm), 1 hidden (name them, or list them with --files-from), "
        "1 without an image (--all takes them, too).\n"
    )
    assert sorted(str(p.relative_to("out")) for p in Path("out").rglob("*.ardm")) == ["b.ardm", "sub/b.ardm"]
    assert command(UNPACK, "-r", "out", "--output-dir", "memory://back") == 0
    assert stored() == ["/back/out/b.png", "/back/out/sub/b.png"]
    memory.pipe_file("/list", b"memory://in/sub/b.png\nmemory://none/c.png\n")
    assert command(PACK, "--plain", "--files-from", "memory://list", "--output-dir", "memory://third") == 1
    assert capfd.readouterr().err == "ardm: memory://none/c.png: does not exist.\n"
    assert "/third/in/sub/b.ardm" in MEMORY.store
    assert command(PACK, "--plain", "-rq", "memory://in", "--output-dir", "fourth") == 0
    assert (tmp_path / "fourth/in/sub/b.ardm").exists()


def test_existing_outputs(
    memory: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe_file("/in/b.ardm", b"precious")
    assert command(PACK, "--plain", "memory://in/b.png") == 1
    assert "the output memory://in/b.ardm exists already; use -f" in capfd.readouterr().err
    assert memory.cat_file("/in/b.ardm") == b"precious"
    assert command(PACK, "--plain", "-f", "memory://in/b.png") == 0
    assert memory.cat_file("/in/b.ardm") != b"precious"
    assert command(PACK, "-f", "memory://in/b.png", "-o", "memory:///in/b.png") == 1
    assert "same file" in capfd.readouterr().err
    assert command(PACK, "--plain", "memory://in/b.png", "-o", "memory://in/sub") == 1
    assert "is a directory" in capfd.readouterr().err
    assert command(PACK, "--plain", "memory://in/b.png", "-o", "memory://in/") == 1
    assert "names no file" in capfd.readouterr().err
    assert (
        command(PACK, "-f", "memory://in/b.png", "memory://in/sub/b.png", "--output-dir", "memory://x") == 1
    )
    assert "was just written for another file" in capfd.readouterr().err
    assert command(PACK, "--plain", "memory://in/b.png", "-o", "disk:///none/x.ardm") == 1
    assert "cannot be written: its folder or bucket does not exist." in capfd.readouterr().err
    target = file_of("memory://in/late.ardm")
    target.check_target(file_of("memory://in/b.png"), False)
    memory.pipe_file("/in/late.ardm", b"of another writer")
    with pytest.raises(OutputError, match="exists already"):
        target.write(b"", file_of("memory://in/b.png"), False)
    assert memory.cat_file("/in/late.ardm") == b"of another writer"


@pytest.mark.parametrize("fault", ["none", "target", "changed", "refused"])
def test_rm_of_a_url_takes_a_last_look(
    memory: Any, png: bytes, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], fault: str
) -> None:
    put = MEMORY.pipe_file

    def failing_put(self: Any, path: str, value: bytes, **given: Any) -> None:
        put(self, path, value[:-1] + b"?" if fault == "target" else value, **given)
        if fault == "changed":
            put(self, "/in/b.png", b"something newer")

    def refuse(*given: object) -> None:
        raise PermissionError

    monkeypatch.setattr(MEMORY, "pipe_file", failing_put)
    if fault == "refused":
        monkeypatch.setattr(MEMORY, "rm_file", refuse)
    assert command(PACK, "--plain", "--rm", "memory://in/b.png") == (fault != "none")
    says = capfd.readouterr().err
    assert {
        "none": "",
        "target": "reads back otherwise",
        "changed": "it has changed meanwhile",
        "refused": "the source cannot be removed: it failed: permission denied",
    }[fault] in says
    assert ("/in/b.png" in MEMORY.store) == (fault != "none")
    assert "/in/b.ardm" in MEMORY.store


def test_a_place_that_is_no_object_store_gets_a_temporary_file(
    png: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("a.png").write_bytes(png)
    moved = []
    move = Disk.mv
    monkeypatch.setattr(Disk, "mv", lambda self, *names: moved.append(names) or move(self, *names))
    assert command(PACK, "--plain", "a.png", "--output-dir", f"disk://{tmp_path}/x/y") == 0
    only_files(tmp_path / "x" / "y", "a.ardm")
    ((temporary, target),) = moved
    assert os.path.dirname(temporary) == os.path.dirname(target)

    def fail(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Disk, "mv", fail)
    assert command(PACK, "--plain", "a.png", "-o", f"disk://{tmp_path}/x/y/b.ardm") == 1
    assert f"the output disk://{tmp_path}/x/y/b.ardm: cannot be written: No space" in capfd.readouterr().err
    only_files(tmp_path / "x" / "y", "a.ardm")
    assert command(UNPACK, "-r", "--rm", f"disk://{tmp_path}/x", "--output-dir", "memory://z") == 0
    only_files(tmp_path / "x" / "y")
    assert stored() == ["/z/x/y/a.png"]


def test_files_of_this_machine_by_url_are_as_by_path(
    png: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "fsspec"]:
        monkeypatch.setitem(sys.modules, name, None)  # nor is it needed for that
    Path("a.png").write_bytes(png)
    os.utime("a.png", ns=(10**18 + 5, 10**18 + 5))
    Path("a.png").chmod(0o600)
    url = f"file://{tmp_path}"
    assert command(PACK, "--plain", "--json", f"{url}/a.png") == 0
    assert json.loads(capfd.readouterr().out)["output"] == f"{url}/a.ardm"
    assert Path("a.ardm").stat().st_mtime_ns == 10**18 + 5
    assert Path("a.ardm").stat().st_mode & 0o777 == 0o600
    assert command(PACK, "-f", f"{url}/a.png", "-o", "a.png") == 1
    assert "same file" in capfd.readouterr().err
    assert command(PACK, "--plain", "-r", "--json", f"{url}/", "--output-dir", f"{url}/out") == 0
    assert json.loads(capfd.readouterr().out)["file"] == f"{url}/a.png"


def test_a_result_has_the_time_of_a_url(memory: Any) -> None:
    memory.store["/in/b.png"].modified = datetime(2020, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
    assert command(PACK, "--plain", "memory://in/b.png", "--output-dir", "out") == 0
    stamp = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC).timestamp()
    assert Path("out/b.ardm").stat().st_mtime_ns == int(stamp) * 10**9 + 789_000


def test_archives_are_read_and_not_written(
    png: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile("a.zip", "w") as archive:
        for name in ("in/b.png", "in/c.png", "../evil.png", "in/../../worse.png"):
            archive.writestr(name, png)
    for given in (["zip://in/b.png::a.zip"], ["a.png", "-o", "zip://in/d.ardm::a.zip"]):
        Path("a.png").write_bytes(png)
        assert command(PACK, "--plain", *given) == 1
        assert "can only be read; say with -o or --output-dir" in capfd.readouterr().err
    assert command(PACK, "--plain", "--rm", "zip://in/b.png::a.zip", "-o", "b.ardm") == 1
    assert "can only be read, not removed; leave out --rm" in capfd.readouterr().err
    assert command(PACK, "--plain", "-r", "zip://::a.zip", "--output-dir", "out/out") == 1
    assert capfd.readouterr().err.count("leads out of its folder; not taken.") == 2
    only_files(tmp_path / "out" / "out", "in")
    only_files(tmp_path / "out" / "out" / "in", "b.ardm", "c.ardm")
    only_files(tmp_path / "out", "out")


def test_a_web_server(png: bytes, photo: np.ndarray, capfd: pytest.CaptureFixture[str]) -> None:
    large = compress(np.tile(photo, (2, 2, 1)), tile=64, plain=True, verify=False)
    with serving({"a.png": png, "large.ardm": large}) as server:
        assert command(PACK, "--plain", server.url + "a.png?key=1", "--output-dir", "out") == 0
        assert Path("out/a.ardm").exists()
        server.sent.clear()
        assert command(UNPACK, "-l", server.url + "large.ardm") == 0
        assert sum(server.sent) < len(large) / 4
        assert "1536 x 1024" in capfd.readouterr().out
        assert command(PACK, server.url + "a.png") == 1
        assert "can only be read" in capfd.readouterr().err
        server.files[""] = png
        assert command(PACK, "--plain", server.url, "--output-dir", "out") == 1
        assert "the URL ends in no name; say with -o where to write" in capfd.readouterr().err
        assert command(PACK, "--plain", server.url, "-o", "out/root.ardm") == 0
        assert command(PACK, server.url + "none.png", "--output-dir", "out") == 1
        assert capfd.readouterr().err.splitlines()[-1] == f"ardm: {server.url}none.png: does not exist."


def test_a_folder_of_urls_needs_r(capfd: pytest.CaptureFixture[str]) -> None:
    for what in (PACK, UNPACK):
        for option in ("-l", "-t"):
            assert command(what, option, "memory://in") == 1
            assert "or -r to take all that is in it" in capfd.readouterr().err
    assert command(PACK, "memory://in") == 1
    assert "or -r to take all that is in it" in capfd.readouterr().err


@pytest.mark.parametrize("way", [PACK, UNPACK])
def test_without_fsspec_and_without_a_package_of_a_store(
    png: bytes, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], way: Any
) -> None:
    """Other files are done."""
    Path("a.png").write_bytes(png)
    other = "a.png"
    if way is UNPACK:
        assert command(PACK, "--plain", "--rm", "a.png") == 0
        other = "a.ardm"
    monkeypatch.setitem(sys.modules, "s3fs", None)
    assert command(way, "-f", "s3://bucket/a.ardm", "-o", "x") == 1
    assert "s3://bucket/a.ardm: s3:// needs one more package: Install s3fs" in capfd.readouterr().err
    assert command(way, other, "-o", "nothing://x") == 1
    assert "Protocol not known: nothing" in capfd.readouterr().err
    for name in [name for name in sys.modules if name.split(".")[0] == "fsspec"]:
        monkeypatch.setitem(sys.modules, name, None)
    assert command(way, "-f", "memory://in/a.ardm", other, "--output-dir", "out") == 1
    found = capfd.readouterr().err
    assert "memory://in/a.ardm: a URL needs fsspec: pip install 'ardm[fsspec]'" in found
    assert found.count("\n") == 1
    assert len(list(Path("out").iterdir())) == 1
    assert command(way, "-r", "memory://in") == 1
    assert "a URL needs fsspec" in capfd.readouterr().err


def test_any_error_of_a_store_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class StrangeError(Exception):
        pass

    def fail(*given: object, **more: object) -> None:
        raise StrangeError("no credentials.\nfor anybody")

    for name in ("cat_file", "pipe_file"):
        with monkeypatch.context() as patch:
            patch.setattr(MEMORY, name, fail, raising=False)
            assert command(PACK, "--plain", "memory://in/b.png", "-o", "memory://x.ardm") == 1
            found = capfd.readouterr().err
            assert found.endswith(": no credentials.\n")
            assert found.count("\n") == 1


def test_names_and_places() -> None:
    assert isinstance(file_of("-"), Local)
    assert place_of("-").stream
    assert isinstance(file_of("s3://bucket/a"), Remote)
    assert isinstance(file_of("./s3://bucket/a"), Local)
    assert file_of("memory://a/b").key() == file_of("memory:///a/b").key() != file_of("memory://a").key()
    assert file_of("file:///x/../y").key() == file_of("/y").key()


def test_the_beginning_of_a_file_is_all_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some servers send less at once, and what is fewer bytes is taken for a whole file."""

    class Drip(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 3))

    place = Local("photo.png")
    monkeypatch.setattr(place, "open", lambda: Drip(b"0123456789"))
    assert place.read_start(8) == b"01234567"
    assert place.read_start(20) == b"0123456789"
