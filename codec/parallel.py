"""Threads: several jobs at once, and one thing beside another. Knows nothing of what the jobs are.

How many threads there are is torch's number, where something has loaded torch, which takes a second; else our
own. A thread started here runs torch's operations by itself: where several threads work side by side, an
operation that is split between all cores would mostly wait. These are plain threads, not those of
`concurrent.futures`, which start none once the main thread has ended. Where none can be started (from Python
3.12 on, when the main thread has ended), whoever wants the result does the work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import lru_cache
from threading import Condition, Event, Thread, local
from typing import Any, Generic, TypeVar

from threadpoolctl import ThreadpoolController

from ardm.forks import forked
from codec.errors import ArdmError
from codec.presets import MAX_THREADS

Job = TypeVar("Job")
Result = TypeVar("Result")
STARTING = 1.0  # seconds in which a thread begins to work, if it ever does


class _Share(local):
    """CPU threads that this thread may use, while there is no torch; None: as many as the process."""

    count: int | None = None


_share = _Share()
_wanted: list[int] = []  # CPU threads of the process, as long as torch has not been told


def _torch() -> Any:
    """torch, if something has loaded it, else None."""
    module = sys.modules.get("torch")
    return module if hasattr(module, "set_num_threads") else None


def _usable() -> int:
    """CPU threads that a process starts with, as torch finds them."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdecimal() and int(said):
        return min(int(said), MAX_THREADS)
    affinity = getattr(os, "sched_getaffinity", None)
    return min(len(affinity(0)) if affinity else os.cpu_count() or 1, MAX_THREADS)


def thread_count() -> int:
    """CPU threads that are used. A process that was forked works alone."""
    if forked():
        return 1
    if torch := _torch():
        return int(torch.get_num_threads())
    return _share.count or (_wanted[0] if _wanted else _usable())


def set_threads(threads: int) -> None:
    """CPU threads to use from now on; 0 leaves them as they are. Raises ValueError.

    OpenMP's threads do not survive a fork, but its books do, and it waits for them forever: a process that
    was forked works alone, whatever it asks for.
    """
    if not 0 <= threads <= MAX_THREADS:
        raise ValueError(f"threads must be 0 (leave as is) to {MAX_THREADS}, got {threads}.")
    if forked():
        threads = 1
    if threads:
        _wanted[:] = [threads]
    if _wanted and (torch := _torch()):
        torch.set_num_threads(_wanted.pop())


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Within, this thread's operations use so many threads, and `in_parallel` starts no more."""
    before, _share.count = _share.count, threads
    try:
        with _openmp(threads):
            yield
    finally:
        _share.count = before


def _openmp(threads: int) -> AbstractContextManager[object]:
    """OpenMP's number of threads belongs to the thread that sets it; others keep theirs. The first time that
    torch is asked in a thread, it sets its own: so ask before.
    """
    if not (torch := _torch()):
        return nullcontext()
    torch.get_num_threads()
    return _libraries().limit(limits=threads, user_api="openmp")


class _Worker:
    """A thread, a daemon if the caller is one, that does some work, which must raise nothing."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work, self._begun, self._ended = work, Event(), Event()
        self._thread = Thread(target=self._run)
        self.started = False

    def _run(self) -> None:
        self._begun.set()
        try:
            with limited(1):
                self._work()
        finally:
            self._ended.set()

    def start(self) -> bool:
        """Whether it could be started."""
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter is about to end, or the system has no more of them
            return False
        self.started = True
        return True

    def wait(self) -> None:
        """Wait for the end of what was started.

        Not by `Thread.join` alone: if a signal handler ends that with an exception, Python takes the thread
        for ended.
        """
        if self.started or self._begun.wait(STARTING):
            self._ended.wait()
            self._thread.join()


class beside(Generic[Result]):
    """`with beside(work) as task: ...` does some work in another thread meanwhile; `task.result()` is what it
    returned, or raises what it raised.
    """

    def __init__(self, work: Callable[[], Result]) -> None:
        self._work = work
        self._done: list[Result] = []
        self._error: BaseException | None = None
        self._worker = _Worker(self._run)
        self._begun = self._worker.start()

    def _run(self) -> None:
        try:
            self._done.append(self._work())
        except BaseException as error:
            self._error = error

    def __enter__(self) -> beside[Result]:
        return self

    def __exit__(self, *error: object) -> None:
        if self._worker.started:
            self._worker.wait()

    def result(self) -> Result:
        """Wait for the work, or do it if no thread does."""
        if self._worker.started:
            self._worker.wait()
        elif not self._begun:
            self._begun = True
            self._run()
        if self._error:
            raise self._error
        return self._done[0]


def at_once(works: Sequence[Callable[[], None]]) -> None:
    """Do all at once, each in a thread of its own; the first error is raised. Each may wait for those before
    it, and for no other.
    """
    with ExitStack() as stack:
        for task in [stack.enter_context(beside(work)) for work in works]:
            task.result()


class _Jobs(Generic[Job, Result]):
    """Jobs that several threads do one after the other."""

    def __init__(
        self, work: Callable[[Job, int], Result], jobs: Sequence[Job], threads: int, stop: Event
    ) -> None:
        self.work, self.jobs, self.threads, self.stop = work, jobs, threads, stop
        self.results: dict[int, Result] = {}
        self.errors: dict[int, BaseException] = {}
        self._changed = Condition()
        self._next, self._running = 0, set[int]()

    def run(self) -> None:
        """Do jobs until there are no more, or one has failed."""
        while taken := self._take():
            i, share = taken
            try:
                result = self.work(self.jobs[i], share)
            except BaseException as error:
                self.errors[i] = error
            else:
                self.results[i] = result
            self._drop(i)

    def _take(self) -> tuple[int, int] | None:
        """A job, and how many threads it may use: the last ones have those of workers that have none."""
        with self._changed:
            if self._ends():
                return None
            i = self._next
            self._next += 1
            self._running.add(i)
            at_work = len(self._running) + len(self.jobs) - self._next
            return i, max(1, self.threads // at_work)

    def _drop(self, i: int) -> None:
        """Those before a job that failed go on, so that it does not depend on the threads which error is
        raised; unless the error is not one of ours.
        """
        with self._changed:
            self._running.discard(i)
            if self.errors and (
                min(self.errors) < min(self._running, default=0)
                or not isinstance(self.errors.get(i, ArdmError()), ArdmError)
            ):
                self.stop.set()
            self._changed.notify_all()

    def wait(self, i: int) -> bool:
        """Wait for a job's end; whether it has a result. It has none if it, or one before it, has failed, or
        it was never begun because another one has.
        """
        with self._changed:
            self._changed.wait_for(lambda: i in self.results or (self._ends() and not self._running))
        return i in self.results

    def _ends(self) -> bool:
        """Whether no more jobs are begun."""
        return bool(self.errors) or self.stop.is_set() or self._next == len(self.jobs)

    def first_error(self) -> BaseException | None:
        """The error to raise: the first that is not one of ours, which made others end, else that of the
        first job that failed.
        """
        errors = [self.errors[i] for i in sorted(self.errors)]
        return next(
            (error for error in errors if not isinstance(error, ArdmError)), errors[0] if errors else None
        )


def in_parallel(work: Callable[[Job, int], Result], jobs: Sequence[Job], stop: Event) -> list[Result]:
    """work(job, threads it may use) of all jobs, in order, as many at once as there are threads; the first
    error is raised.

    stop: set when one job has failed or the caller was interrupted; the others should look at it now and
    then, and end.
    """
    return list(in_turn(work, jobs, stop))


def in_turn(work: Callable[[Job, int], Result], jobs: Sequence[Job], stop: Event) -> Generator[Result]:
    """The same, each result as soon as it and all before it are there. Whoever does not want the rest must
    close the generator, which waits for the jobs that have begun.
    """
    threads = thread_count()
    workers = min(len(jobs), threads)
    if workers < 2:
        yield from (work(job, threads) for job in jobs)
        return
    shared = _Jobs(work, jobs, threads, stop)
    running = [_Worker(shared.run) for _ in range(workers)]
    try:
        started = [worker.start() for worker in running]
        if not any(started):
            shared.run()
        for i in range(len(jobs)):
            if not shared.wait(i):
                break
            yield shared.results.pop(i)
        for worker in running:
            if worker.started:
                worker.wait()
    except BaseException:  # of a signal handler, or of who takes the results
        stop.set()
        for worker in running:
            worker.wait()
        raise
    if error := shared.first_error():
        raise error
