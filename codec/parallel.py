"""Threads: several jobs at once, and one thing made ahead of its use. Knows nothing of what the jobs are.

A thread started here runs torch's operations by itself: where several threads work side by side, an operation that is split between
all cores would mostly wait.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Event
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController

from codec.presets import MAX_THREADS

Job = TypeVar("Job")
Result = TypeVar("Result")
_PROCESS = os.getpid()


def thread_count() -> int:
    """CPU threads that are used."""
    return torch.get_num_threads()


def set_threads(threads: int) -> None:
    """CPU threads to use from now on; 0 leaves them as they are. Raises ValueError.

    OpenMP's threads do not survive a fork, but its books do, and it waits for them forever: a process that was forked works alone, whatever it asks for.
    """
    if not 0 <= threads <= MAX_THREADS:
        raise ValueError(f"threads must be 0 (leave as is) to {MAX_THREADS}, got {threads}.")
    if os.getpid() != _PROCESS:
        threads = 1
    if threads:
        torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _alone() -> None:
    """OpenMP's number of threads belongs to the thread that sets it; others keep theirs."""
    _libraries().limit(limits=1, user_api="openmp")


def in_parallel(work: Callable[[Job, int], Result], jobs: Sequence[Job], stop: Event) -> list[Result]:
    """work(job, threads it may use) of all jobs, in order, as many at once as torch has threads; the first error is raised.

    stop: set when one job has failed or the caller was interrupted; the others should look at it now and then, and end.
    """
    threads = torch.get_num_threads()
    workers = min(len(jobs), threads)
    if workers < 2:
        return [work(job, threads) for job in jobs]
    with ThreadPoolExecutor(workers, initializer=_alone) as pool:
        pending = [pool.submit(work, job, threads // workers) for job in jobs]
        try:
            return [p.result() for p in pending]
        except BaseException:
            stop.set()
            for p in pending:
                p.cancel()
            raise


def one_ahead(items: Iterator[Result], threads: int) -> Iterator[Result]:
    """The same items, the next one being made in another thread while one is used, if there are threads to spare."""
    if threads < 2:
        yield from items
        return
    with ThreadPoolExecutor(1, initializer=_alone) as pool:
        pending = pool.submit(next, items, None)
        while (item := pending.result()) is not None:
            pending = pool.submit(next, items, None)
            yield item
