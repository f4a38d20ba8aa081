"""What may go wrong around the commands: kills, signals, full disks, folders and files that fail, little
memory, hostile names; no sockets, no pickles.
"""

from __future__ import annotations

import ast
import ctypes
import errno
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from ardm.exact import window as weights_module
from codec import archive, png
from codec import image as image_module
from codec.commands import cli, files, report
from codec.commands.options import options_of
from codec.png.lines import Scanlines
from codec.samples import Kind
from tests import pngs
from tests.processes import COMPRESS, DECOMPRESS, command, only_files, run

ROOT = Path(__file__).parent.parent


@pytest.fixture
def source(photo: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(pngs.png_of(photo[100:130, 200:230], 2, 8))
    return path


WRITER = """
import os, signal, sys
from pathlib import Path
from codec.commands import files
left, number = int(sys.argv[3]), int(sys.argv[5])
def step():
    global left
    left -= 1
    if left == -1:
        os.kill(os.getpid(), number)
def around(name):
    call = getattr(os, name)
    def wrapped(*a, **k):
        step()
        result = call(*a, **k)
        step()
        return result
    setattr(os, name, wrapped)
for name in ("open", "fsync", "link", "replace"):
    around(name)
opened = os.fdopen
class Half:
    def __init__(self, file): self.file = file
    def __enter__(self): return self
    def __exit__(self, *e): self.file.close()
    def write(self, data):
        self.file.write(data[: len(data) // 2]); self.file.flush(); step(); self.file.write(data[len(data) // 2 :])
    def flush(self): self.file.flush()
    def fileno(self): return self.file.fileno()
os.fdopen = lambda *a: Half(opened(*a))
with files.signals_clean_up():
    try:
        files.write_output(Path(sys.argv[1]), b"new" * 1000, sys.argv[2], sys.argv[4] == "True")
    except KeyboardInterrupt:
        sys.exit(130)
"""


def write_with_a_signal(folder: Path, moment: int, force: bool, number: int, ignored: bool = False) -> int:
    """Write a file in a process that sends itself a signal at a moment: before or after a call that changes
    the disk, or in the middle of the data.

    The source, and the old output or the new one, must be there afterwards. Returns the process's exit
    status.
    """
    target, source = folder / "out", folder / "in"
    source.write_bytes(b"source")
    if force:
        target.write_bytes(b"old")
    arguments = [str(target), str(source), str(moment), str(force), str(int(number))]
    meanwhile = lambda: (  # noqa: E731
        signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
        if number != signal.SIGKILL
        else None
    )
    done = subprocess.run(
        [sys.executable, "-c", WRITER, *arguments], capture_output=True, check=False, preexec_fn=meanwhile
    )
    assert source.read_bytes() == b"source"
    found = target.read_bytes() if target.exists() else None
    assert found in ((b"old" if force else None), b"new" * 1000), done.stderr
    if done.returncode == 0:
        assert found == b"new" * 1000
        only_files(folder, "in", "out")
    if moment == 0 and not ignored:
        assert done.returncode
    return done.returncode


@pytest.mark.parametrize("moment", range(14))
@pytest.mark.parametrize("force", [True, False])
def test_kill_9_leaves_the_old_file_or_the_new_one(tmp_path: Path, moment: int, force: bool) -> None:
    assert write_with_a_signal(tmp_path, moment, force, signal.SIGKILL) in (0, -signal.SIGKILL)


@pytest.mark.parametrize("moment", range(14))
@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_while_writing_leaves_the_old_file_or_the_new_one_and_nothing_else(
    tmp_path: Path, moment: int, force: bool, number: signal.Signals
) -> None:
    assert write_with_a_signal(tmp_path, moment, force, number) in (0, 128 + number)
    only_files(tmp_path, "in", *(["out"] if (tmp_path / "out").exists() else []))


def test_nohup_stays_in_force(tmp_path: Path) -> None:
    assert write_with_a_signal(tmp_path, 3, True, signal.SIGHUP, ignored=True) == 0


@pytest.mark.parametrize("force", [True, False])
def test_64_writers_of_one_file(tmp_path: Path, force: bool) -> None:
    """Without -f exactly one succeeds and the others say so; with it, all do. What is there is whole."""
    script = """
import sys
from pathlib import Path
from codec import OutputError
from codec.commands import files
sys.stdin.read()  # until all have started
try:
    files.write_output(Path(sys.argv[1]), sys.argv[2].encode() * 100_000, "-", sys.argv[3] == "True")
except OutputError as error:
    sys.exit(1 if "exists already" in str(error) else 3)
"""
    read, write = os.pipe()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "out"), chr(33 + i), str(force)], stdin=read
        )
        for i in range(64)
    ]
    os.close(read)
    os.close(write)
    codes = sorted(process.wait() for process in running)
    assert codes == [0] * (64 if force else 1) + [1] * (0 if force else 63)
    only_files(tmp_path, "out")
    content = (tmp_path / "out").read_bytes()
    assert len(content) == 100_000
    assert len(set(content)) == 1


def without_override() -> None:
    """Root may write anywhere; take that right from the program that is about to start."""
    if os.geteuid() == 0:
        libc, bounding_set_drop = ctypes.CDLL(None), 24
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            assert libc.prctl(bounding_set_drop, capability, 0, 0, 0) == 0


def test_a_read_only_folder_is_one_sentence(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "photo.png").write_bytes(source.read_bytes())
    folder.chmod(0o555)
    try:
        done = subprocess.run(
            [*COMPRESS, "--rm", str(folder / "photo.png")],
            capture_output=True,
            check=False,
            preexec_fn=without_override,
        )
    finally:
        folder.chmod(0o755)
    assert done.returncode == 1
    assert done.stderr.endswith(b"photo.ardm cannot be written: Permission denied.\n")
    assert done.stderr.count(b"\n") == 1
    only_files(folder, "photo.png")


def test_a_source_that_cannot_be_read_is_one_sentence(source: Path, tmp_path: Path) -> None:
    source.chmod(0)
    done = subprocess.run(
        [*COMPRESS, str(source)], capture_output=True, check=False, preexec_fn=without_override
    )
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"permission denied" in done.stderr
    only_files(tmp_path, "photo.png")


def test_an_input_that_vanishes_before_it_is_read(source: Path, tmp_path: Path) -> None:
    """Listed, then removed by somebody else: one sentence, and the others are still done."""
    gone = tmp_path / "gone.png"
    gone.write_bytes(source.read_bytes())
    names = [str(gone), str(source)]
    gone.unlink()
    assert b"gone.png: does not exist." in run(COMPRESS, *names, code=1).stderr
    only_files(tmp_path, "photo.png", "photo.ardm")


def interfere(monkeypatch: pytest.MonkeyPatch, name: str, deed: Callable[[], object]) -> None:
    """Do something after a step of `codec.archive`."""
    step = getattr(archive, name)

    def after(*given: Any, **more: Any) -> Any:
        result = step(*given, **more)
        deed()
        return result

    monkeypatch.setattr(archive, name, after)


@pytest.mark.parametrize("way", ["compress", "decompress"])
@pytest.mark.parametrize("fault", ["none", "vanished", "changed", "target"])
def test_rm_takes_a_last_look(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    way: str,
    fault: str,
) -> None:
    """--rm removes nothing that was changed meanwhile, or whose result does not read back as written; a
    source that has vanished is no traceback.
    """
    what, step, target = cli.compress_command, "pack", tmp_path / "photo.ardm"
    if way == "decompress":
        assert command(cli.compress_command, "--rm", source) == 0
        what, step, source, target = cli.decompress_command, "unpack", target, source
    if fault == "vanished":
        interfere(monkeypatch, step, source.unlink)
    elif fault == "changed":
        interfere(monkeypatch, step, lambda: source.write_bytes(b"something newer"))
    elif fault == "target":
        written = files.write_output
        monkeypatch.setattr(
            files, "write_output", lambda target, data, *more: written(target, data[:-1] + b"?", *more)
        )
    code = command(what, "--rm", source)
    says = capfd.readouterr().err
    assert code == (0 if fault == "none" else 1)
    assert source.exists() == (fault in ("changed", "target"))
    assert target.exists()
    assert {
        "none": "",
        "vanished": "does not exist",
        "changed": "it has changed meanwhile",
        "target": "reads back otherwise",
    }[fault] in says
    if fault == "changed":
        assert source.read_bytes() == b"something newer"


@pytest.mark.parametrize("way", ["compress", "decompress"])
def test_rm_removes_nothing_that_was_not_verified(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], way: str
) -> None:
    """An encoder that errs, of .ardm or of PNG, is found out before anything is written."""
    what, target = cli.compress_command, tmp_path / "photo.ardm"
    if way == "decompress":
        assert command(cli.compress_command, "--rm", source) == 0
        what, source, target = cli.decompress_command, target, source
        monkeypatch.setattr("codec.png.file.Scanlines", lambda pixels, *more: Scanlines(pixels ^ 1, *more))
    else:
        encode = image_module.encode_plane
        monkeypatch.setattr(image_module, "encode_plane", lambda plane, *more: encode(plane ^ 1, *more))
    assert command(what, "--rm", source) == 1
    assert "nothing was kept" in capfd.readouterr().err
    only_files(tmp_path, source.name)


@pytest.mark.parametrize(
    ("number", "code"), [(errno.EIO, 1), (errno.ENOSPC, 1), (errno.EINVAL, 0), (errno.ENOTSUP, 0)]
)
def test_a_folder_that_fails_to_sync_keeps_the_source(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    """File systems that cannot sync folders are none the worse; a disk that fails to is an error, and then
    --rm removes nothing.
    """
    sync = os.fsync

    def fail(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fail)
    assert command(cli.compress_command, "--rm", source) == code
    assert source.exists() == bool(code)


def test_long_names_can_be_written(source: Path, tmp_path: Path) -> None:
    name = "n" * 250
    assert command(cli.compress_command, "-o", tmp_path / name, source) == 0
    only_files(tmp_path, "photo.png", name)


def test_a_full_disk_leaves_nothing_and_keeps_the_source(source: Path, tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands in for the full disk: a write that fails after some bytes."""

    def no_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    environment = {**os.environ, "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", "")}
    done = subprocess.run(
        [*COMPRESS, "--rm", str(source)],
        capture_output=True,
        check=False,
        preexec_fn=no_room,
        env=environment,
    )
    assert done.returncode == 1
    assert b"cannot be written: File too large" in done.stderr
    assert b"Traceback" not in done.stderr
    only_files(tmp_path, "photo.png")


def test_rm_needs_verification(source: Path) -> None:
    assert b"leave out --no-verify" in run(COMPRESS, "--rm", "--no-verify", source, code=2).stderr
    assert source.exists()


@pytest.mark.parametrize("option", ["-l", "-t", "-c", "--json"])
def test_a_closed_pipe_is_no_traceback(source: Path, tmp_path: Path, option: str) -> None:
    run(COMPRESS, source)
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*DECOMPRESS, "-f", option, str(tmp_path / "photo.ardm")],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert done.returncode == 1, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("option", ["-l", "-t", "-c", "--json"])
def test_a_full_standard_output_is_one_sentence(source: Path, tmp_path: Path, option: str) -> None:
    command(cli.compress_command, source)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*DECOMPRESS, "-f", option, str(tmp_path / "photo.ardm")],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert b"standard output cannot be written: No space left on device." in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_closed_standard_streams_do_not_end_up_in_files(source: Path, tmp_path: Path) -> None:
    """Without 0, 1 and 2, the next file that is opened gets one of these numbers, and whatever is said would
    go into it.
    """
    done = subprocess.run(
        [
            "sh",
            "-c",
            'exec "$@" <&- >&- 2>&-',
            "sh",
            *COMPRESS,
            "-v",
            str(source),
            str(tmp_path / "none.png"),
        ],
        check=False,
    )
    assert done.returncode == 1
    run(DECOMPRESS, "-t", tmp_path / "photo.ardm")
    only_files(tmp_path, "photo.png", "photo.ardm")


def test_names_do_nothing_to_a_terminal(source: Path, tmp_path: Path) -> None:
    names = [
        os.path.join(os.fsencode(tmp_path), raw)
        for raw in (b"evil\x1b[2J\x07.ardm", b"bytes\xff\xfe.ardm", b"line\nbreak.ardm")
    ]
    data = run(COMPRESS, "-c", source).stdout

    def write(data: bytes) -> None:
        for name in names:
            with open(name, "wb") as file:
                file.write(data)

    write(data)
    for argument in ("-l", "-t"):
        done = subprocess.run(
            [*map(os.fsencode, DECOMPRESS), argument.encode(), *names], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(b"\n") == len(names)
        assert b"\x1b" not in done.stdout
    write(b"no")
    done = subprocess.run([*map(os.fsencode, DECOMPRESS), *names], capture_output=True, check=False)
    assert done.returncode == 4
    assert b"\x1b" not in done.stderr
    assert done.stderr.count(b"\n") == len(names)


def test_several_commands_in_one_folder(source: Path, tmp_path: Path) -> None:
    """Of several that write the same file without -f one succeeds, the others say so; what is written is
    whole.
    """
    running = [subprocess.Popen([*COMPRESS, str(source)], stderr=subprocess.PIPE) for _ in range(3)]
    messages = [process.communicate()[1] for process in running]
    codes = sorted(process.returncode for process in running)
    assert codes == [0, 1, 1], messages
    assert sum(b"exists already" in message for message in messages) == 2
    only_files(tmp_path, "photo.png", "photo.ardm")
    run(DECOMPRESS, "-t", tmp_path / "photo.ardm")


def test_little_address_space_is_no_traceback(source: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(png.write(png.Png(np.zeros((9000, 9000, 3), np.uint8), Kind(), False, b"", b"")))

    def little() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))

    done = subprocess.run(
        [*COMPRESS, "-T", "1", str(large)], capture_output=True, check=False, preexec_fn=little
    )
    assert done.returncode in (0, 1), done.stderr
    assert b"Traceback" not in done.stderr
    only_files(tmp_path, "photo.png", "large.png", *(["large.ardm"] if done.returncode == 0 else []))


@pytest.fixture
def tampered(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the weights for any order that the package takes for its own, to tamper with."""
    folder = tmp_path_factory.mktemp("weights")
    name = f"photo-{weights_module.PHOTO_ID}.safetensors"
    shutil.copyfile(weights_module.FOLDER / name, folder / name)
    monkeypatch.setattr(weights_module, "FOLDER", folder)
    weights_module.load.cache_clear()
    yield folder / name
    weights_module.load.cache_clear()


def test_no_changed_byte_of_the_weights_is_accepted(tampered: Path) -> None:
    """At the beginning and all over, each before anything in the file is looked at; and nothing missing or
    added.
    """
    good = tampered.read_bytes()
    weights_module.load()
    damaged = [
        good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :]
        for at in (*range(40), *range(40, len(good), len(good) // 100), len(good) - 1)
    ]
    for data in (*damaged, b"", good[:8], good[:-1], good + b"\0"):
        tampered.write_bytes(data)
        weights_module.load.cache_clear()
        with pytest.raises(
            weights_module.WeightsError,
            match=r"is damaged: its content has id [0-9a-f]{8}\. Install ardm again\.",
        ):
            weights_module.load()


def test_the_commands_refuse_tampered_weights(
    source: Path, tmp_path: Path, tampered: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command(cli.compress_command, "--order", "lattice", source) == 0
    good = tampered.read_bytes()
    other = next(
        path for path in (ROOT / "ardm" / "data").glob("*.safetensors") if path.name != tampered.name
    ).read_bytes()
    for data in (good[:5000] + b"?" + good[5001:], other):
        tampered.write_bytes(data)
        for what, given in (
            (cli.compress_command, ("--order", "lattice", source)),
            (cli.decompress_command, (tmp_path / "photo.ardm",)),
        ):
            weights_module.load.cache_clear()
            assert command(what, "-f", *given) == 5
            says = capfd.readouterr().err
            assert "is damaged: its content has id" in says
            assert says.count("\n") == 1
    tampered.unlink()
    weights_module.load.cache_clear()
    assert command(cli.decompress_command, "-f", tmp_path / "photo.ardm") == 5
    assert "are not part of this release" in capfd.readouterr().err


def test_no_socket_is_opened() -> None:
    script = """
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append(event) if event.startswith("socket.") else None)
import numpy as np
from codec import compress, decompress
image = np.random.default_rng(0).integers(0, 99, (40, 40, 3)).astype(np.uint8)
assert (decompress(compress(image, order="lattice")) == image).all()
print(seen)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


def test_no_code_is_made_of_data() -> None:
    """No pickle (so no torch.load), marshal, eval or exec in the packages; but of code that comes with them."""
    for path in [*ROOT.glob("codec/*.py"), *ROOT.glob("ardm/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            if (
                path == ROOT / "ardm" / "ahead.py"
            ):  # reads code of the package, as Python reads the other files
                names = [name for name in names if name != "pickle"]
            assert not {n.split(".")[0] for n in names} & {
                "pickle",
                "marshal",
                "shelve",
                "dill",
                "cloudpickle",
                "socket",
                "urllib",
                "requests",
            }, path
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in (
                    "eval",
                    "exec",
                    "__import__",
                    "np.load",
                    "torch.load",
                    "torch.save",
                    "os.system",
                ), path


@pytest.mark.parametrize("way", ["compress", "decompress"])
@pytest.mark.parametrize(
    ("name", "says"),
    [("", "does not exist"), ("/", "is a directory"), (".", "is a directory"), ("..", "is a directory")],
)
def test_names_of_no_file(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    way: str,
    name: str,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [name] if way == "compress" else ["-o", "out", name]
    assert command(getattr(cli, f"{way}_command"), *given) == 1
    assert (
        capfd.readouterr().err
        == f"ardm: {name}: {says}{'; expected a file, or -r to take all that is in it' * ('directory' in says)}.\n"
    )
    only_files(tmp_path)


def test_only_regular_files_are_replaced(
    source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A rename would put a regular file in the place of /dev/null, which root may do."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        assert command(cli.compress_command, "-f", "-o", tmp_path / name, source) == 1
        assert "is not a regular file" in capfd.readouterr().err
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    only_files(tmp_path, "photo.png", "pipe", "link")


@pytest.mark.parametrize(
    ("mode", "with_group", "without"),
    [(0o4754, 0o754, 0o744), (0o2640, 0o640, 0o600), (0o604, 0o604, 0o604), (0o646, 0o646, 0o646)],
)
def test_nobody_gets_a_right_that_he_had_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, with_group: int, without: int
) -> None:
    """Set-user-id would be of whoever runs the command; a group that cannot be kept, of which others are
    members, loses its rights.
    """
    source, changed = tmp_path / "in", []
    source.write_bytes(b"in")
    source.chmod(mode)
    monkeypatch.setattr(os, "chown", lambda path, user, group: changed.append((user, group)))
    files.write_output(tmp_path / "out", b"out", str(source), False)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == with_group
    assert changed == [(source.stat().st_uid, -1), (-1, source.stat().st_gid)]

    def refuse(*given: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "chown", refuse)
    files.write_output(tmp_path / "out", b"out", str(source), True)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == without


def test_times_and_attributes_are_kept(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"in")
    os.utime(source, ns=(10**18 + 1, 10**18 + 2))
    os.setxattr(source, "user.note", b"kept")
    files.write_output(target, b"out", str(source), False)
    assert target.stat().st_mtime_ns == 10**18 + 2
    assert os.getxattr(target, "user.note") == b"kept"


def test_a_damage_map_never_overwrites_an_output_of_the_same_run(
    source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    packed = tmp_path / "a.ardm"
    assert command(cli.compress_command, "-o", packed, source) == 0
    other = tmp_path / "a.damage.ardm"  # becomes a.damage.png
    other.write_bytes(packed.read_bytes())
    packed.write_bytes(packed.read_bytes()[:-1])
    assert command(cli.decompress_command, "-f", "--recover", other, packed) == 1
    assert "a.damage.png was just written for another file" in capfd.readouterr().err
    assert png.read((tmp_path / "a.damage.png").read_bytes(), 10**6).pixels.shape == (30, 30, 3)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RuntimeError("can't start new thread"), "not enough memory for this image."),
        (
            ImportError("libtorch.so: failed to map segment"),
            "a library cannot be loaded (libtorch.so: failed to map segment)",
        ),
        (
            OSError("Could not find/load shared object file"),
            "a library cannot be loaded (Could not find/load shared object file)",
        ),
    ],
)
def test_little_of_other_things_is_one_sentence(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: Exception,
    says: str,
) -> None:
    def fail(*given: object, **more: object) -> None:
        raise error

    monkeypatch.setattr(archive, "pack", fail)
    assert command(cli.compress_command, source) == 1
    found = capfd.readouterr().err
    assert says in found
    assert found.count("\n") == 1
    only_files(tmp_path, "photo.png")


def test_numbers_beyond_all_reason_are_wrong_usage(source: Path) -> None:
    """Python turns no text of 5000 digits into a number; OpenMP ends the process if it is told to start
    100,000 threads.
    """
    for given in (("--order", "random:" + "9" * 5000), ("-T", "100000"), ("-T", "9" * 5000)):
        with pytest.raises(click.UsageError):
            command(cli.compress_command, *given, source)
    with pytest.raises(ValueError, match="threads must be 0"):
        image_module.compress(np.zeros((4, 4), np.uint8), threads=100_000)


def test_memory_limits_what_is_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An endless file is not read to its end."""
    endless = tmp_path / "endless.png"
    with endless.open("wb") as file:
        file.truncate(2**40)
    for what in (cli.compress_command, cli.decompress_command):
        assert command(what, "--memory", "3M", "-o", tmp_path / "out", endless) == 5
        assert (
            "has more than 3 MiB, the limit of the memory for all; raise it with --memory."
            in capfd.readouterr().err
        )
    assert files.read_input(str(ROOT / "LICENSE"), 10**6) == (ROOT / "LICENSE").read_bytes()


def test_a_name_does_nothing_to_a_terminal_in_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("tqdm.tqdm", lambda **given: seen.append(given["desc"]))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    given = dict.fromkeys(
        (
            "names",
            "output",
            "output_dir",
            "stdout",
            "force",
            "remove",
            "keep",
            "test",
            "listing",
            "as_json",
            "quiet",
            "verbose",
            "null",
            "recursive",
            "engine",
            "workers",
            "report",
        ),
        0,
    )
    given |= dict.fromkeys(("list_name", "threads", "no_progress", "max_pixels", "memory", "max_calls")) | {
        "device": "cpu"
    }
    report.Progress(9, "evil\x1b[2J\n.png", options_of({**given, "names": ("x",)}))
    assert seen == ["evil\\x1b[2J\\n.png"]


def test_a_forked_process_works_alone(tmp_path: Path) -> None:
    """GNU's OpenMP waits forever for threads that were lost in a fork: after work in parallel, children of
    the same process must not.
    """
    script = """
import os, signal, sys
import numpy as np
import torch
from codec import compress, decompress
torch.set_num_threads(2)
image = np.random.default_rng(0).integers(0, 30, (150, 150, 3)).astype(np.uint8)
data = compress(image, order="lattice", budget=1, tile=152)
torch.ones(10**6).sum()
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
signal.alarm(60)
assert np.array_equal(decompress(data, threads=2), image)
assert compress(image, order="lattice", budget=1, tile=76, threads=2)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
