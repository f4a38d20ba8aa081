"""Which files are meant, by folders and lists, and where results go: -r, --files-from, --output-dir."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from codec import compress
from codec.commands import cli, tree
from codec.commands.places import place_of
from tests import pngs
from tests.processes import command

PACK, UNPACK = cli.compress_command, cli.decompress_command


@pytest.fixture
def png(photo: np.ndarray) -> bytes:
    return pngs.png_of(photo[100:112, 200:216], 2, 8)


@pytest.fixture
def photos(png: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an image twice under the same name, and all that is not to be taken."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / ".cache").mkdir()
    for name in ("b.png", "sub/b.png", "sub/deep/a.PNG", ".cache/c.png", ".d.png"):
        (folder / name).write_bytes(png)
    (folder / "notes.txt").write_text("words and words")
    (folder / "empty.png").touch()
    (folder / "old.ardm").write_bytes(b"old")
    (folder / "loop").symlink_to(folder)
    (folder / "link.png").symlink_to(folder / "b.png")
    os.mkfifo(folder / "pipe")
    return folder


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def lines_of(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def test_a_tree_there_and_back(
    photos: Path, png: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    times = {"b.png": 10**18 + 1, "sub/b.png": 10**18 + 222, "sub/deep/a.PNG": 10**18 + 333}
    for name, time in times.items():
        os.utime(photos / name, ns=(time, time))
    (photos / "sub" / "b.png").chmod(0o640)
    (photos / "sub").chmod(0o750)
    photos.chmod(0o700)
    assert command(PACK, "--plain", "-r", "photos/", "--output-dir", "out") == 0
    assert files_in(tmp_path / "out") == ["b.ardm", "sub/b.ardm", "sub/deep/a.ardm"]
    assert (tmp_path / "out" / "sub" / "b.ardm").stat().st_mtime_ns == 10**18 + 222
    assert stat.S_IMODE((tmp_path / "out" / "sub" / "b.ardm").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "out" / "sub").stat().st_mode) == 0o750
    (tmp_path / "new").mkdir()  # which has what the umask leaves
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "new").stat().st_mode
    assert capfd.readouterr().err == (
        "ardm: not taken: 2 behind symbolic links, 1 compressed already (.ardm), 2 hidden (name them, or list "
        "them with --files-from), 1 special (devices, pipes, sockets), 2 without an image (--all takes them, "
        "too).\n"
    )
    assert command(UNPACK, "-r", "out/", "--output-dir", "back/") == 0
    assert files_in(tmp_path / "back") == ["b.png", "sub/b.png", "sub/deep/a.PNG"]
    for name, time in times.items():
        assert (tmp_path / "back" / name).stat().st_mtime_ns == time
    assert command(PACK, "--exact", "--plain", "-rq", "photos", "--output-dir", "exact") == 0
    assert command(UNPACK, "-r", "exact", "--output-dir", "again") == 0
    assert (tmp_path / "again/exact/photos/sub/deep/a.PNG").read_bytes() == png
    assert capfd.readouterr().err == ""


def test_order_listing_and_testing(photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (photos / "old.ardm").unlink()
    assert command(PACK, "--plain", "-r", "--json", photos) == 0
    names = ["photos/b.png", "photos/sub/b.png", "photos/sub/deep/a.PNG"]
    done = lines_of(capfd)
    assert [line["file"] for line in done] == [str(photos.parent / name) for name in names]
    packed = [line["output"] for line in done]
    assert packed == [line["file"].rpartition(".")[0] + ".ardm" for line in done]  # beside the sources
    for what in (PACK, UNPACK):
        for option in ("-l", "-t"):
            assert command(what, option, "-r", "--json", "photos") == 0
            assert [line["file"] for line in lines_of(capfd)] == [
                os.path.relpath(name, photos.parent) for name in packed
            ]
    assert command(PACK, "--plain", "-r", photos) == 1  # they exist
    assert capfd.readouterr().err.count("exists already") == 3
    assert command(PACK, "--plain", "-rf", "--rm", photos) == 0
    assert "b.png" not in files_in(photos)
    assert command(UNPACK, "-r", "--rm", photos) == 0
    assert "sub/deep/a.PNG" in files_in(photos)


def test_all_files_and_none(photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert command(PACK, "--plain", "-r", "--all", "--order", "raster", "photos/", "--output-dir", "out") == 0
    assert {"notes.txt.ardm", "empty.png.ardm"} < set(files_in(tmp_path / "out"))
    capfd.readouterr()
    assert command(PACK, "-r", "-v", "photos/.cache/../loop", "--max-pixels", 1) == 5
    assert "photos/.cache/../loop/notes.txt: not taken: without an image" in capfd.readouterr().err
    (tmp_path / "void").mkdir()
    assert command(UNPACK, "-r", "void") == 0
    assert capfd.readouterr().err == "ardm: there was nothing to do.\n"


def test_a_folder_needs_r(photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for what in (PACK, UNPACK):
        for option in ("-k", "-l", "-t"):
            assert command(what, option, "photos") == 1
            assert capfd.readouterr().err == (
                "ardm: photos: is a directory; expected a file, or -r to take all that is in it.\n"
            )


def test_what_cannot_be_read_stops_nothing_else(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (photos / "cut.png").write_bytes((photos / "b.png").read_bytes()[:60])
    scan = os.scandir

    def refusing(path: str) -> Any:
        if os.path.basename(path) == "deep":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert command(PACK, "--plain", "-rq", "photos/", "--output-dir", "out") == 4  # the larger code
    assert files_in(tmp_path / "out") == ["b.ardm", "sub/b.ardm"]
    found = capfd.readouterr().err.splitlines()
    assert found[1:] == ["ardm: photos/sub/deep: cannot be read: permission denied."]
    assert found[0].startswith("ardm: photos/cut.png: ")
    assert command(PACK, "-r", "none") == 1
    assert "none: does not exist" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("photos", ("photos", "sub")),
        ("photos/", ("sub",)),
        ("photos/.", ("sub",)),
        ("./photos", ("photos", "sub")),
        (".", ("photos", "sub")),
        ("photos/sub/..", ("sub",)),
        ("photos/sub", ("sub",)),
    ],
)
def test_a_folder_keeps_its_name_unless_it_ends_in_a_slash(
    photos: Path, name: str, folders: tuple[str, ...]
) -> None:
    found = tree.items(tree.Given((name,), recursive=True), archives=False)
    of = [item for item in found if item.source.key() == str(photos / "sub" / "b.png")]
    assert [item.folders for item in of] == [folders]


def test_lists(
    photos: Path,
    png: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    odd = "photos/two\nlines.png"
    for name in (odd, "-", "# no comment.png"):
        Path(name).write_bytes(png)
    names = ["photos/b.png", "./photos/../photos/sub/b.png", str(photos / "sub" / "deep" / "a.PNG"), "-"]
    Path("list").write_text("\r\n\n".join([*names, "# no comment.png"]) + "\n\n")
    assert command(PACK, "--plain", "--files-from", "list", "--output-dir", "out") == 0
    away = str(photos)[1:]
    assert files_in(tmp_path / "out") == sorted(
        ["photos/b.ardm", "photos/sub/b.ardm", f"{away}/sub/deep/a.ardm", "-.ardm", "# no comment.ardm"]
    )
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(os.fsencode(f"{odd}\0\0../x/../b.png\0"))))
    Path("list").write_bytes(png)
    assert command(PACK, "--plain", "-0", "--files-from", "-", "list", "--output-dir", "more") == 1
    assert files_in(tmp_path / "more") == ["list.ardm", "photos/two\nlines.ardm"]
    assert capfd.readouterr().err == "ardm: ../x/../b.png: does not exist.\n"
    Path("list").write_text("photos\n")
    assert command(PACK, "--files-from", "list") == 1
    assert "-r" in capfd.readouterr().err
    assert command(PACK, "--plain", "-rq", "--files-from", "list", "--output-dir", "third") == 0
    assert "photos/sub/deep/a.ardm" in files_in(tmp_path / "third")
    assert command(UNPACK, "-l", "--json", "--files-from", "none") == 1
    assert lines_of(capfd) == [{"file": "none", "error": "none: does not exist.", "exit_code": 1}]
    Path("list").write_bytes(b"")
    assert command(PACK, "--files-from", "list") == 0
    assert capfd.readouterr().err == "ardm: there was nothing to do.\n"


def test_nothing_in_a_list_leads_above_the_folder_for_results() -> None:
    for name in ("../../a/b", "/a/b", "a/b", "x/../../a/./b", "memory:///a/b", "memory://../a/b"):
        assert tree.clean(place_of(name).parts) == ("a", "b"), name


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "Missing argument 'FILE...'"),
        (["-0", "a.png"], "name the list with --files-from"),
        (["--files-from", "-", "-"], "cannot be both"),
        (["-r", "-o", "x", "photos"], "use --output-dir"),
        (["--files-from", "x", "-o", "x"], "use --output-dir"),
        (["-r", "-c", "photos"], "-c writes one file"),
        (["--output-dir", "-", "photos/b.png"], "names a folder"),
        (["--output-dir", "photos/b.png", "photos/b.png"], "is a file"),
    ],
)
def test_what_does_not_go_together(photos: Path, given: list[str], says: str) -> None:
    for what in (PACK, UNPACK):
        with pytest.raises(click.UsageError, match=says):
            command(what, *given)


def test_targets_that_collide(
    photos: Path, png: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (photos / "b.PNG").write_bytes(png)
    assert command(PACK, "--plain", "-rqf", "--rm", "photos/", "--output-dir", "out") == 1
    assert "was just written for another file" in capfd.readouterr().err
    assert "b.png" in files_in(photos)  # the second in order
    assert "b.PNG" not in files_in(photos)
    assert command(PACK, "--plain", "photos/b.png", "photos/sub/b.png", "--output-dir", "flat") == 1
    (tmp_path / "out").joinpath("photos").write_text("in the way")
    assert command(PACK, "--plain", "-rq", "photos", "--output-dir", "out") == 1
    assert "the output folder out/photos is no folder" in capfd.readouterr().err


def test_no_result_is_found_as_a_source(photos: Path, tmp_path: Path) -> None:
    (photos / "old.ardm").unlink()
    assert command(PACK, "--plain", "-rq", "photos", ".", "--output-dir", "./out") == 1  # photos, twice
    assert command(UNPACK, "-rq", "out", ".", "--output-dir", "out/back") == 1
    assert [name for name in files_in(tmp_path / "out") if name.endswith(".png")]
    assert not (tmp_path / "out" / "back" / "out" / "back").exists()


def test_parts_and_rescue_of_a_tree(photos: Path, photo: np.ndarray, tmp_path: Path) -> None:
    assert command(PACK, "--plain", "-rq", "photos/", "--output-dir", "out") == 0
    assert command(UNPACK, "-r", "--preview", 4, "out/", "--output-dir", "small") == 0
    assert files_in(tmp_path / "small") == ["b.preview.png", "sub/b.preview.png", "sub/deep/a.preview.png"]
    packed = tmp_path / "out" / "sub" / "b.ardm"
    packed.write_bytes(compress(photo[:64, :64], tile=32, plain=True)[:-3])
    assert command(UNPACK, "-r", "--recover", "out/", "--output-dir", "whole") == 4
    assert "sub/b.damage.png" in files_in(tmp_path / "whole")
