"""Many callers share the threads of the process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from codec.parallel import thread_count
from codec.plugins import turns
from codec.plugins.turns import turn


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many threads as this machine may not have."""
    monkeypatch.setattr(turns, "thread_count", lambda: 4)


def test_one_alone_gets_all_and_its_calls_no_more(four: None) -> None:
    with turn() as share:
        assert share == 4
        assert thread_count() == 4
        with turn() as again:  # as in a call of its own, or in a signal handler
            assert again == 4
    with turn() as share:
        assert share == 4


@pytest.mark.usefixtures("four")
def test_a_failure_gives_them_back() -> None:
    with pytest.raises(ZeroDivisionError), turn():
        raise ZeroDivisionError
    with turn() as share:
        assert share == 4


@pytest.mark.usefixtures("four")
def test_many_never_have_more_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    used, most, lock = [0], [0], threading.Lock()
    limited = turns.limited

    @contextmanager
    def counted(share: int) -> Iterator[None]:
        with lock:
            used[0] += share
            most[0] = max(most[0], used[0])
        with limited(share):
            yield
        with lock:
            used[0] -= share

    monkeypatch.setattr(turns, "limited", counted)
    together, arrived = threading.Barrier(4), threading.Semaphore(0)
    wait = turns._turns._changed.wait_for

    def arriving(free: Callable[[], bool]) -> bool:
        arrived.release()
        return wait(free)

    monkeypatch.setattr(turns._turns._changed, "wait_for", arriving)

    def work(_: int) -> tuple[int, int]:
        with turn() as share:
            return share, thread_count()

    def hold(_: int) -> int:
        with turn() as share:
            together.wait(20)  # which four must have reached: they do work at once
            return share

    with ThreadPoolExecutor(16) as pool:
        with turn():
            arrived.acquire()  # our own
            waiting = [pool.submit(hold, i) for i in range(16)]
            assert all(arrived.acquire(timeout=20) for _ in range(16))
        assert [future.result() for future in waiting] == [1] * 16
        found = list(pool.map(work, range(200)))
    assert most[0] == 4
    assert all(share == threads for share, threads in found)
    assert turns._turns._used == turns._turns._waiting == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
def test_a_forked_process_does_not_wait_for_threads_that_it_has_not() -> None:
    import signal

    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with turn():
            held.set()
            done.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(20)
    child = os.fork()
    if not child:
        signal.alarm(20)  # ends a process that waits
        with turn() as share:
            os._exit(0 if share == 1 else 3)
    _, status = os.waitpid(child, 0)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0
