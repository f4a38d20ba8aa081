"""`turn`: work of many callers at once, on no more threads than the process is to use. Knows nothing of what
the work is.

Zarr calls its codecs from a pool of threads, ten chunks at a time by default, Dask from a pool of its own. A
call of ours uses all threads of torch, and the memory of a tile for each. Ten at once would be ten times too
many of both. So callers share the threads: one alone gets all of them, of many each gets one, and who finds
none left waits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from codec.parallel import limited, set_threads, thread_count


class _Turns:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._used = self._waiting = 0

    def take(self, total: int) -> int:
        """Wait for a thread to be free; how many of the total the caller has now."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: self._used < total)
                share = max(1, (total - self._used) // self._waiting)
            finally:
                self._waiting -= 1
            self._used += share
            return share

    def give_back(self, share: int) -> None:
        with self._changed:
            self._used -= share
            self._changed.notify_all()


_turns = _Turns()
_own = threading.local()


@contextmanager
def turn() -> Iterator[int]:
    """`with turn() as threads:` the work in there has so many threads, and `codec.parallel` uses no more.

    Who has a turn has it for all that it calls, and for a signal handler that interrupts it.
    """
    if held := getattr(_own, "share", 0):
        yield held
        return
    set_threads(0)  # a process that was forked has one
    turns = _turns
    share = turns.take(thread_count())
    try:
        _own.share = share
        with limited(share):
            yield share
    finally:
        _own.share = 0
        turns.give_back(share)


def _forget() -> None:
    """A forked process has none of the threads that had turns."""
    global _turns
    _turns = _Turns()
    _own.share = 0


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forget)
