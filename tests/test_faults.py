"""What may go wrong around the commands: kills while writing, full disks, closed pipes, little memory, hostile names; and no sockets, no pickles."""

from __future__ import annotations

import ast
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codec import png
from tests import pngs
from tests.test_cli import COMPRESS, DECOMPRESS, only_files, run

ROOT = Path(__file__).parent.parent


@pytest.fixture
def source(photo: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(pngs.png_of(photo[100:130, 200:230], 2, 8))
    return path


@pytest.mark.parametrize("moment", range(12))
@pytest.mark.parametrize("force", [True, False])
def test_kill_9_leaves_the_old_file_or_the_new_one(tmp_path: Path, moment: int, force: bool) -> None:
    """SIGKILL at every step of writing: before and after each call that changes the disk, and in the middle of the data."""
    target, source = tmp_path / "out", tmp_path / "in"
    source.write_bytes(b"source")
    if force:
        target.write_bytes(b"old")
    script = """
import os, signal, sys
from pathlib import Path
from codec import files
left = int(sys.argv[3])
def step():
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
def around(name):
    call = getattr(os, name)
    def wrapped(*a, **k):
        step()
        result = call(*a, **k)
        step()
        return result
    setattr(os, name, wrapped)
for name in ("fsync", "link", "replace", "unlink"):
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
files.write_output(Path(sys.argv[1]), b"new" * 1000, sys.argv[2], sys.argv[4] == "True")
"""
    done = subprocess.run([sys.executable, "-c", script, str(target), str(source), str(moment), str(force)], capture_output=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    assert source.read_bytes() == b"source"
    found = target.read_bytes() if target.exists() else None
    assert found in ((b"old" if force else None), b"new" * 1000)
    if moment == 0:
        assert done.returncode == -signal.SIGKILL
    if done.returncode == 0:
        assert found == b"new" * 1000
        only_files(tmp_path, "in", "out")


def test_a_full_disk_leaves_nothing_and_keeps_the_source(source: Path, tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands in for the full disk: a write that fails after some bytes."""

    def no_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    environment = {**os.environ, "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", "")}
    done = subprocess.run([*COMPRESS, "--rm", str(source)], capture_output=True, check=False, preexec_fn=no_room, env=environment)
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
    done = subprocess.run([*DECOMPRESS, "-f", option, str(tmp_path / "photo.ardm")], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert done.returncode == 1, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_names_do_nothing_to_a_terminal(source: Path, tmp_path: Path) -> None:
    for raw in (b"evil\x1b[2J\x07.ardm", b"bytes\xff\xfe.ardm", b"line\nbreak.ardm"):
        name = os.path.join(os.fsencode(tmp_path), raw)
        with open(name, "wb") as file:
            file.write(run(COMPRESS, "-c", source).stdout)
        for arguments, code in (("-l", 0), ("-t", 0)):
            done = subprocess.run([*map(os.fsencode, DECOMPRESS), arguments.encode(), name], capture_output=True, check=False)
            assert done.returncode == code, done.stderr
            assert done.stdout.count(b"\n") == 1
            assert b"\x1b" not in done.stdout
        with open(name, "wb") as file:
            file.write(b"no")
        done = subprocess.run([*map(os.fsencode, DECOMPRESS), name], capture_output=True, check=False)
        assert done.returncode == 4
        assert b"\x1b" not in done.stderr
        assert done.stderr.count(b"\n") == 1


def test_several_commands_in_one_folder(source: Path, tmp_path: Path) -> None:
    """Of several that write the same file without -f one succeeds, the others say so; what is written is whole."""
    running = [subprocess.Popen([*COMPRESS, str(source)], stderr=subprocess.PIPE) for _ in range(3)]
    messages = [process.communicate()[1] for process in running]
    codes = sorted(process.returncode for process in running)
    assert codes == [0, 1, 1], messages
    assert sum(b"exists already" in message for message in messages) == 2
    only_files(tmp_path, "photo.png", "photo.ardm")
    run(DECOMPRESS, "-t", tmp_path / "photo.ardm")


def test_little_address_space_is_no_traceback(source: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(png.write(png.Png(np.zeros((9000, 9000, 3), np.uint8), png.Kind(), False, b"", b"")))

    def little() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))

    done = subprocess.run([*COMPRESS, "-T", "1", str(large)], capture_output=True, check=False, preexec_fn=little)
    assert done.returncode in (0, 1), done.stderr
    assert b"Traceback" not in done.stderr
    only_files(tmp_path, "photo.png", "large.png", *(["large.ardm"] if done.returncode == 0 else []))


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
    """No pickle (so no torch.load), marshal, eval or exec in the packages."""
    for path in [*ROOT.glob("codec/*.py"), *ROOT.glob("ardm/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {n.split(".")[0] for n in names} & {"pickle", "marshal", "shelve", "dill", "cloudpickle", "socket", "urllib", "requests"}, path
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("eval", "exec", "__import__", "np.load", "torch.load", "torch.save", "os.system"), path
