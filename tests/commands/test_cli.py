"""The commands in real processes: files, streams, names, refusals, exit codes, signals."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codec import Limits, archive
from codec.opened import open_bytes
from tests import pngs
from tests.processes import COMPRESS, DECOMPRESS, only_files, run


@pytest.fixture
def source(photo: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(photo[100:140, 200:260]).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_there_and_back(source: Path, tmp_path: Path) -> None:
    os.utime(source, (1_000_000_000, 1_000_000_000))
    source.chmod(0o640)
    original = pixels(source)
    run(COMPRESS, source)
    packed = tmp_path / "photo.ardm"
    assert packed.stat().st_mtime == 1_000_000_000
    assert stat.S_IMODE(packed.stat().st_mode) == 0o640
    only_files(tmp_path, "photo.png", "photo.ardm")
    source.unlink()
    run(DECOMPRESS, packed)
    assert np.array_equal(pixels(source), original)
    run(DECOMPRESS, packed, code=1)  # photo.png exists now
    run(DECOMPRESS, "-f", packed)
    only_files(tmp_path, "photo.png", "photo.ardm")


def test_streams_presets_and_several_files(source: Path, tmp_path: Path) -> None:
    data = run(COMPRESS, "-5", "--budget", 4, "--order", "lattice", "-", stdin=source.read_bytes()).stdout
    listed = json.loads(run(COMPRESS, "-l", "--json", "-", stdin=data).stdout)
    assert (listed["network_calls"], listed["width"], listed["height"], listed["network_planes"]) == (
        4,
        60,
        40,
        1,
    )
    assert data == run(COMPRESS, "-c", "--budget", 4, "--order", "lattice", source).stdout
    plain = run(COMPRESS, "-c", "--plain", source).stdout
    assert json.loads(run(COMPRESS, "-l", "--json", "-", stdin=plain).stdout)["coding"] == "plain"
    assert run(COMPRESS, "-c", "-1", source).stdout == run(COMPRESS, "-c", "--quick", source).stdout
    assert run(COMPRESS, "-c", "-6", source).stdout == run(COMPRESS, "-c", source).stdout
    restored = run(DECOMPRESS, "-", stdin=data).stdout
    (tmp_path / "restored.png").write_bytes(restored)
    assert np.array_equal(pixels(tmp_path / "restored.png"), pixels(source))
    (tmp_path / "out").mkdir()
    other = tmp_path / "other.png"
    other.write_bytes(source.read_bytes())
    done = run(COMPRESS, "--json", "--rm", "--output-dir", tmp_path / "out", source, other)
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == [str(source), str(other)]
    only_files(tmp_path / "out", "photo.ardm", "other.ardm")
    only_files(tmp_path, "out", "restored.png")
    assert b"ok" in run(DECOMPRESS, "-t", tmp_path / "out" / "photo.ardm").stdout
    text = run(DECOMPRESS, "-l", tmp_path / "out" / "photo.ardm").stdout
    assert b"60 x 40, 3 x 8 bit" in text


def test_parts_and_previews(source: Path, tmp_path: Path, photo: np.ndarray) -> None:
    run(COMPRESS, "--plain", source)
    packed = tmp_path / "photo.ardm"
    run(DECOMPRESS, "--region", "10,20,30,15", "--preview", 9, packed, code=2)
    run(DECOMPRESS, "--region", "10,20,30,15", packed)
    assert np.array_equal(pixels(tmp_path / "photo.region.png"), photo[120:135, 210:240])
    run(DECOMPRESS, "--region", "10,20,30,15", packed, code=1)  # it exists now
    run(DECOMPRESS, "--preview", 30, packed)
    assert pixels(tmp_path / "photo.preview.png").shape == (20, 30, 3)
    only_files(tmp_path, "photo.png", "photo.ardm", "photo.region.png", "photo.preview.png")
    assert b"within 60 x 40 pixels" in run(DECOMPRESS, "-c", "--region", "50,0,11,1", packed, code=1).stderr
    for given in (
        ("--region", "1,2,3"),
        ("--region", "1,2,-3,4"),
        ("--preview", 0),
        ("--preview", 9, "--rm"),
    ):
        run(DECOMPRESS, *given, packed, code=2)
    text = tmp_path / "a.txt.ardm"
    text.write_bytes(run(COMPRESS, "-", stdin=b"words").stdout)
    assert b"is no image" in run(DECOMPRESS, "--preview", 9, text, code=1).stderr


def test_random_order_and_chunks_survive(photo: np.ndarray, tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Author", "somebody")
    path = tmp_path / "a.png"
    Image.fromarray(photo[:20, :20]).save(path, pnginfo=text, dpi=(300, 300))
    run(COMPRESS, "--order", "random:9", "--budget", 5, path)
    run(DECOMPRESS, "-o", tmp_path / "b.png", tmp_path / "a.ardm")
    with Image.open(tmp_path / "b.png") as image:
        assert image.text == {"Author": "somebody"}
        assert round(image.info["dpi"][0]) == 300


def test_exactly_as_content_and_whole(source: Path, tmp_path: Path) -> None:
    original = pngs.png_of(pixels(source), 2, 8)
    deep = pngs.png_of(pngs.pixels_of(6, 16, 30, 40), 6, 16, 1)
    animated = pngs.build(
        [(b"IHDR", pngs.split(original)[0][1]), (b"acTL", bytes(8)), *pngs.split(original)[1:]]
    )
    names = {"photo": original, "deep": deep, "animated": animated}
    for name, data in names.items():
        (tmp_path / f"{name}.png").write_bytes(data)
    paths = [tmp_path / f"{name}.png" for name in names]
    packed = [tmp_path / f"{name}.ardm" for name in names]
    done = run(COMPRESS, "--exact", "-v", *paths)
    for line, says in zip(
        done.stderr.decode().splitlines(),
        ("exact; zlib level", "exact; zlib level", "was stored whole, because it is animated"),
        strict=False,
    ):
        assert says in line
    listed = [
        json.loads(line)["restores"] for line in run(COMPRESS, "-l", "--json", *packed).stdout.splitlines()
    ]
    assert listed == ["exact", "exact", "whole file"]
    text = run(COMPRESS, "-l", *packed).stdout.decode().splitlines()
    assert "40 x 30, 4 x 16 bit" in text[1]
    assert text[1].endswith("restores exact")
    assert text[2].endswith("restores whole file")
    assert run(DECOMPRESS, "-t", *packed).stdout.count(b": ok") == 3
    (tmp_path / "out").mkdir()
    run(DECOMPRESS, "--output-dir", tmp_path / "out", *packed)
    for name, data in names.items():
        assert (tmp_path / "out" / f"{name}.png").read_bytes() == data
    assert run(COMPRESS, "-f", "-q", paths[2]).stderr == b""
    done = run(COMPRESS, "-f", "--json", *paths)
    assert [json.loads(line)["restores"] for line in done.stdout.splitlines()] == [
        "content",
        "content",
        "whole file",
    ]
    assert done.stderr.count(b"\n") == 1


def test_bad_input_gives_one_sentence_and_the_documented_code(source: Path, tmp_path: Path) -> None:
    png = source.read_bytes()
    run(COMPRESS, source)
    packed = (tmp_path / "photo.ardm").read_bytes()
    (tmp_path / "photo.ardm").unlink()
    flipped = bytearray(packed)
    flipped[-100] ^= 4
    unknown = packed.replace(
        bytes.fromhex(json.loads(run(COMPRESS, "-l", "--json", "-", stdin=packed).stdout)["weights"]),
        b"\1" * 4,
    )
    import zlib

    length = unknown[9]
    unknown = (
        unknown[: 10 + length]
        + zlib.crc32(unknown[8 : 10 + length]).to_bytes(4, "little")
        + unknown[14 + length :]
    )
    cases: list[tuple[list[str], str, bytes, int, str]] = [
        (COMPRESS, "cut.png", png[: len(png) // 2], 4, "cut short"),
        (COMPRESS, "text-mode.png", png.replace(b"\r\n", b"\n"), 4, "signature is damaged"),
        (DECOMPRESS, "plain.ardm", b"just text", 4, "not an .ardm file"),
        (DECOMPRESS, "void.ardm", b"", 4, "empty"),
        (DECOMPRESS, "short.ardm", packed[:-50], 4, "the end is missing"),
        (DECOMPRESS, "flip.ardm", bytes(flipped), 4, "checksum"),
        (DECOMPRESS, "weights.ardm", unknown, 5, "weights 01010101 are not part of this release"),
    ]
    for command, name, content, code, says in cases:
        path = tmp_path / name
        path.write_bytes(content)
        before = sorted(tmp_path.iterdir())
        message = run(command, path, code=code).stderr.decode()
        assert name in message, name
        assert says in message, (name, message)
        assert message.count("\n") == 1, message
        assert sorted(tmp_path.iterdir()) == before


def test_refusals(source: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_bytes(b"just text")
    assert (
        b"its name says that it is one; expected PNG"
        in run(COMPRESS, "--pixels", tmp_path / "text.png", code=1).stderr
    )
    assert b"is a directory" in run(COMPRESS, tmp_path, code=1).stderr
    assert b"does not exist" in run(COMPRESS, tmp_path / "none.png", code=1).stderr
    (tmp_path / "photo.ardm").write_bytes(b"precious")
    assert b"exists already" in run(COMPRESS, source, code=1).stderr
    assert (tmp_path / "photo.ardm").read_bytes() == b"precious"
    assert b"same file" in run(COMPRESS, "-f", "-o", source, source, code=1).stderr
    assert b"does not exist" in run(COMPRESS, "-o", tmp_path / "no" / "x.ardm", source, code=1).stderr
    assert b"several files" in run(COMPRESS, "-o", "x", source, source, code=2).stderr
    assert b"one file to standard output" in run(COMPRESS, "-c", source, source, code=2).stderr
    assert b"--rm does not go" in run(COMPRESS, "--rm", "-c", source, code=2).stderr
    assert b"does not end in .ardm" in run(DECOMPRESS, source, code=1).stderr
    assert b"limit is 10" in run(COMPRESS, "-f", "--max-pixels", 10, source, code=5).stderr
    assert b"random:SEED" in run(COMPRESS, "--order", "spiral", source, code=2).stderr
    assert run(COMPRESS, "-qq", tmp_path / "none.png", code=1).stderr == b""
    done = run(COMPRESS, "--json", tmp_path / "none.png", code=1)
    assert json.loads(done.stdout)["exit_code"] == 1
    if os.geteuid():
        source.chmod(0)
        assert b"permission denied" in run(COMPRESS, "-f", source, code=1).stderr


def test_outputs_of_one_run_never_overwrite_each_other(source: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "a" / "photo.png").write_bytes(source.read_bytes())
    done = run(
        COMPRESS, "-f", "--rm", "--output-dir", tmp_path / "out", source, tmp_path / "a" / "photo.png", code=1
    )
    assert b"just written for another file" in done.stderr
    only_files(tmp_path / "a", "photo.png")


def test_one_bad_file_does_not_stop_the_others(source: Path, tmp_path: Path) -> None:
    run(COMPRESS, tmp_path / "none.png", source, code=1)
    assert (tmp_path / "photo.ardm").exists()


def test_unwritable_folder_leaves_nothing(source: Path, tmp_path: Path) -> None:
    done = run(COMPRESS, "-o", "/proc/none.ardm", source, code=1)
    assert b"cannot be written" in done.stderr
    only_files(tmp_path, "photo.png")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_behind(number: signal.Signals, photo: np.ndarray, tmp_path: Path) -> None:
    """It comes when a first part of the image has been coded, which the progress bar is told."""
    path = tmp_path / "large.png"
    Image.fromarray(np.tile(photo, (3, 3, 1))).save(path, compress_level=1)
    script = f"""
import os, signal, sys
# a shell's background jobs ignore SIGINT, nohup's SIGHUP; so would their children
number = signal.Signals({number:d})
signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
from codec.commands import cli, report
report.Progress.update = lambda self, done: os.kill(os.getpid(), number)
sys.argv[0] = "ardm-compress"
cli.compress_main()
"""
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stderr=subprocess.PIPE)
    process.communicate(timeout=300)
    assert process.returncode == 128 + number
    only_files(tmp_path, "large.png")


def test_killed_while_writing_keeps_the_old_file(source: Path, tmp_path: Path) -> None:
    """A kill between writing the temporary file and renaming it, which nothing can clean up, leaves the old
    output whole.
    """
    target = tmp_path / "photo.ardm"
    target.write_bytes(b"old")
    script = (
        "import os, sys; os.replace = lambda *a: os._exit(9); sys.argv[0] = 'x'; from "
        "codec.commands.cli import compress_main; compress_main()"
    )
    done = subprocess.run([sys.executable, "-c", script, "-f", str(source)], capture_output=True, check=False)
    assert done.returncode == 9
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("command", [COMPRESS, DECOMPRESS])
def test_help_names_exit_codes_and_does_not_load_torch(command: list[str]) -> None:
    done = run([command[0], "-X", "importtime", *command[1:]], "--help")
    assert b"Exit codes: 0 done" in done.stdout
    assert b" torch" not in done.stderr
    assert b"numpy" not in done.stderr
    if command is COMPRESS:
        assert b"-1 quickest" in done.stdout
    assert b"ardm-" in run(command, "--version").stdout


def test_best_takes_as_few_tiles_as_can_be(tmp_path: Path) -> None:
    """Where the default has two, so that both cores of a small machine have work."""
    picture = np.random.default_rng(2).integers(0, 256, (516, 520)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "noise.png")
    source = (tmp_path / "noise.png").read_bytes()
    made = [run(COMPRESS, "-c", "--no-verify", *best, tmp_path / "noise.png").stdout for best in ([], ["-9"])]
    packed = [archive.pack(source, exactly=False, verify=False, best=best).data for best in (False, True)]
    assert made == packed
    assert [len(open_bytes(data, Limits()).header.entries) for data in made] == [2, 1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--quick", "--budget", "3"), b"leave out budget, order and seed"),
        (("--quick", "--order", "lattice"), b"leave out budget, order and seed"),
        (("--best", "--budget", "3"), b"best chooses itself"),
        (("--best", "--order", "random:3"), b"best chooses itself"),
        (("--best", "--quick"), b"best chooses itself"),
    ],
)
def test_choices_that_cannot_be_are_wrong_usage(
    options: tuple[str, ...], says: bytes, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_bytes(b"a")
    done = run(COMPRESS, *options, tmp_path / "a.txt", code=2)
    assert says in done.stderr
    assert b"Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
