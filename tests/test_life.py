"""Calls at any time of a process's life, and in any of its threads: they work, or raise an ArdmError."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch

from ardm import forks
from codec import ArdmError, CorruptError, compress, decompress, ending, tiles
from codec.parallel import at_once, beside, in_parallel
from tests import pngs

APOSTROPHE, QUOTE = "'", '"'
START = """
import atexit, os, signal, sys, threading, traceback
import numpy as np
import codec
rng = np.random.default_rng(0)
small = rng.integers(0, 30, (64, 64, 4)).astype(np.uint8)
def work():
    for order, budget in (("raster", None), ("lattice", 1)):
        data = codec.compress(small, order=order, budget=budget, tile=32)
        assert np.array_equal(codec.decompress(data), small)
    print("done", flush=True)
def fork_and_work():
    if child := os.fork():
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the child failed"
        return
    try:
        signal.alarm(240)  # on a busy machine all is compiled first
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)
"""


def python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", START + script], capture_output=True, text=True, check=False, timeout=600
    )


def check(script: str, times: int) -> None:
    """A script ends well, and `work` has been done so many times."""
    done = python(script)
    assert (done.returncode, done.stdout.count("done"), done.stderr) == (0, times, "")


def test_a_thread_may_outlive_the_main_thread() -> None:
    check("threading.Thread(target=lambda: (threading.main_thread().join(), work())).start()", 1)


def test_work_at_exit() -> None:
    check("atexit.register(work)\ncodec.info\natexit.register(work)", 2)


def test_no_traceback_but_ours_when_python_shuts_down() -> None:
    done = python("""
class Late:
    def __init__(self):
        self.call, self.image, self.error, self.say = codec.compress, small, codec.ArdmError, print
    def __del__(self):
        try:
            self.call(self.image)
        except self.error as error:
            self.say(error)
late = Late()
late.late = late
""")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "not begun, because Python is shutting down.\n",
        "",
    )


@pytest.mark.parametrize("steps", [1, 40])
@pytest.mark.parametrize("threads", [1, 2])
def test_daemon_threads_end_with_the_process(steps: int, threads: int) -> None:
    """When they have told their progress so many times."""
    check(
        f"""
told, reached = [], threading.Event()
def progress(done):
    told.append(done)
    if len(told) >= {steps}:
        reached.set()
def forever():
    try:
        while True:
            image = rng.integers(0, 30, (700, 700, 4)).astype(np.uint8)
            codec.compress(image, order="lattice", threads={threads}, progress=progress)
    except codec.ArdmError as error:
        assert "the program" in str(error)
work()
threading.Thread(target=forever, daemon=True).start()
assert reached.wait(100)
""",
        1,
    )


def test_a_fork_waits_for_what_it_must_not_split() -> None:
    """For a first import, for a self-test and the compilations that follow it, and for Pillow's
    settings.
    """
    begins = (
        """
reached = threading.Event()
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "codec.image":
            reached.set()
sys.meta_path.insert(0, Finder())
""",
        """
from codec.coder import selftest
usual, reached = selftest.mixing_words, threading.Event()
def noted():
    reached.set()
    return usual()
selftest.mixing_words = noted
""",
    )
    for begin in begins:
        fork = (
            "thread = threading.Thread(target=work)\nthread.start()\nassert reached.wait(100)\n"
            "fork_and_work()\nthread.join()"
        )
        check(begin + fork, 2)
    check(
        """
import io
from PIL import Image, TiffImagePlugin
from codec import archive
file = io.BytesIO()
Image.fromarray(small).save(file, "TIFF", compression="tiff_lzw")
reading, forking = threading.Event(), threading.Event()
os.register_at_fork(before=forking.set)  # the last one registered is the first one called
class Slow(TiffImagePlugin.TiffImageFile):
    def load(self):
        reading.set()
        assert forking.wait(60)
        return super().load()
usual, TiffImagePlugin.TiffImageFile = TiffImagePlugin.TiffImageFile, Slow
thread = threading.Thread(target=lambda: archive.pack(file.getvalue(), exactly=False))
thread.start()
assert reading.wait(60)
def work():
    TiffImagePlugin.TiffImageFile = usual
    import warnings
    assert not any(kind == "ignore" and said is None and category is Warning for kind, said, category, *_ in warnings.filters)
    archive.pack(file.getvalue(), exactly=False)
    print("done", flush=True)
fork_and_work()
thread.join()
""",
        1,
    )


def test_a_fork_waits_for_llvm() -> None:
    """Which forgets what was compiled whenever Python finds that nobody refers to it, in any thread."""
    check(
        """
import time
from llvmlite.binding import ffi
import numba
reached = threading.Event()
def forget():
    with ffi.lib._lock:
        reached.set()
        time.sleep(1)
thread = threading.Thread(target=forget)
thread.start()
assert reached.wait(60)
fork_and_work()
thread.join()
""",
        1,
    )


def test_a_fork_of_a_process_that_has_not_yet_used_the_package() -> None:
    """OpenMP's threads, which the child lacks, were those of another user of torch."""
    check("import torch\ntorch.set_num_threads(2)\ntorch.ones(10**6).sum()\nfork_and_work()", 1)


def test_a_child_does_not_wait_for_daemon_threads_of_its_parent() -> None:
    check(
        """
inside, ended = threading.Event(), threading.Event()
thread = threading.Thread(target=lambda: codec.compress(small, progress=lambda n: (inside.set(), ended.wait())), daemon=True)
thread.start()
assert inside.wait(60)
if child := os.fork():
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ended.set()
else:
    signal.alarm(60)
    sys.exit(0)
thread.join()
work()
""",
        1,
    )


def test_every_start_method_of_multiprocessing(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("""
import multiprocessing, sys
import numpy as np
from codec import compress, decompress
image = np.random.default_rng(0).integers(0, 30, (64, 64, 4)).astype(np.uint8)
if __name__ == "__main__":
    data = compress(image, order="lattice", budget=1, tile=32, threads=2)
    for method in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context(method)
        with context.Pool(1) as pool:
            assert pool.apply_async(compress, (image,), {"order": "lattice", "budget": 1, "tile": 32}).get(100) == data
            assert np.array_equal(pool.apply_async(decompress, (data,)).get(100), image)
        print(method)
""")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=400)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["fork", "spawn", "forkserver"]


def test_a_signal_handler_may_use_the_package_whatever_is_going_on() -> None:
    """Here: while its thread is in the self-test, and while it is within a call that works in threads."""
    check(
        """
from codec.coder import selftest
usual = selftest.mixing_words
def slowly():
    selftest.mixing_words = usual
    signal.raise_signal(signal.SIGUSR1)
    return usual()
codec.compress
selftest.mixing_words = slowly
signal.signal(signal.SIGUSR1, lambda *_: work())
signal.alarm(200)
work()
signal.signal(signal.SIGALRM, lambda *_: work())
signal.setitimer(signal.ITIMER_REAL, 0.05)
work()
""",
        4,
    )


def test_what_a_signal_handler_raises_ends_all_threads_of_a_call() -> None:
    check(
        """
def late(*_):
    raise TimeoutError("late")
work()
signal.signal(signal.SIGUSR1, late)
told = []
def progress(done):
    told.append(done)
    if len(told) == 3:
        os.kill(os.getpid(), signal.SIGUSR1)
try:
    image = rng.integers(0, 30, (1000, 1000, 4)).astype(np.uint8)
    codec.compress(image, order="lattice", budget=15, tile=100, threads=2, progress=progress)
except TimeoutError:
    assert threading.active_count() == 1
""",
        1,
    )


def test_where_no_thread_can_be_started_the_caller_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.random.default_rng(0).integers(0, 30, (90, 150, 4)).astype(np.uint8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    usual = [compress(picture, order=order, tile=148) for order in ("raster", "lattice")]

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert [compress(picture, order=order, tile=148) for order in ("raster", "lattice")] == usual
    assert all(np.array_equal(decompress(data), picture) for data in usual)
    with pytest.raises(CorruptError, match="one"):
        in_parallel(_fail, ["one", "two"], Event())
    steps: list[int] = []
    at_once([lambda: steps.append(1), lambda: steps.append(2)])
    assert steps == [1, 2]


def _fail(job: str, threads: int) -> None:
    raise CorruptError(job)


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_the_error_of_the_first_job_is_raised_whichever_thread_is_quicker(
    monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    second_failed, stop = Event(), Event()

    def work(job: int, spare: int) -> int:
        if job == 1:
            second_failed.wait(5 if threads > 1 else 0)
            raise CorruptError("first")
        if job == 2:
            second_failed.set()
            raise CorruptError("second")
        if job == 3 and not stop.wait(5):
            raise AssertionError("nobody was told to stop")
        return job

    with pytest.raises(CorruptError, match="first"):
        in_parallel(work, [0, 1, 2, 3], stop)
    assert in_parallel(lambda job, spare: job * job, list(range(20)), Event()) == [n * n for n in range(20)]
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        in_parallel(lambda job, spare: 1 // (job - 3), list(range(20)), Event())
    assert threading.active_count() == before


def test_what_fails_beside_raises_its_error_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with beside(lambda: 1 // 0) as task, pytest.raises(ZeroDivisionError):
        task.result()
    with pytest.raises(ZeroDivisionError):
        at_once([lambda: None, lambda: 1 // 0, lambda: None])
    assert threading.active_count() == before


def test_an_end_that_is_near_refuses_daemon_threads_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "_calls", ending._Calls())
    ending._calls.end()
    found: list[str] = []

    def work() -> None:
        try:
            compress(np.zeros((8, 8), np.uint8))
            ending.check()
            found.append("done")
        except ArdmError as error:
            found.append(str(error))

    for daemon in (False, True):
        thread = threading.Thread(target=work, daemon=daemon)
        thread.start()
        thread.join()
    assert found == ["done", "not begun, because the program is about to end."]


def test_no_lock_is_left_behind_by_a_fork() -> None:
    forks._before()
    assert len(forks._waited) == 3
    forks._after()
    thread = threading.Thread(target=lambda: forks.steady.acquire(timeout=5) and forks.steady.release())
    thread.start()
    thread.join()
    assert not forks._waited
    assert tiles.load_predictor()


def test_a_deleted_working_directory(tmp_path: Path) -> None:
    """MKL ends the process where it is loaded in none, Numba compiles nothing."""
    source = tmp_path / "photo.png"
    source.write_bytes(pngs.png_of(pngs.pixels_of(2, 8, 20, 30), 2, 8))
    script = f"""
import sys
from codec.commands.cli import compress_main, decompress_main
from ardm.compiled import compiled
assert compiled()(lambda x: x[::2].sum() + 1)(__import__("numpy").arange(9)) == 21
for main, name in ((compress_main, {str(source)!r}), (decompress_main, {str(source.with_suffix(".ardm"))!r}), (compress_main, "photo.png")):
    sys.argv = ["ardm", "-f", name]
    try:
        main()
    except SystemExit as error:
        print(error.code)
sys.argv = ["ardm", {str(source)!r}, "-o", "out.ardm"]
compress_main()
"""
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"cd {gone} && rmdir {gone} && exec {sys.executable} -c '{script.replace(APOSTROPHE, QUOTE)}'"
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert (done.returncode, done.stdout) == (1, "0\n0\n1\n")
    assert (
        done.stderr
        == f"ardm-compress: photo.png: does not exist.\nardm-compress: {source}: the output out.ardm cannot be used: No such file or directory.\n"
    )
