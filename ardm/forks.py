"""What a fork must not split: `steady`, a lock that no other thread holds when a process is forked; `forked`.
Knows nothing of what is done under it.

A forked process has one thread. What the others were about, they are about for ever: a lock that one of them
held stays locked, a module that one was importing stays half there. Work of that kind is done under `steady`,
for which a fork waits. It never takes long: an import, a compilation, one image that Pillow reads, the choice
of a carrier.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

steady = threading.RLock()  # a signal handler may come back to what its thread is doing
_process = os.getpid()
_waited: list[Any] = []  # locks that a fork holds, in the order in which it took them


def forked() -> bool:
    """Whether this process is a fork of the one that loaded this module."""
    return os.getpid() != _process


def _before() -> None:
    """Wait for all that is done under `steady`, then for what Numba compiles, which may be under it."""
    steady.acquire()
    locks = [steady]
    # none while Numba is being imported
    compiling = getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None)
    if compiling:
        compiling.acquire()
        locks.append(compiling)
    _waited[:] = locks


def _after() -> None:
    """In both processes. The one thread of the new one is that which holds the locks."""
    held = _waited[::-1]
    _waited.clear()
    for lock in held:
        lock.release()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
