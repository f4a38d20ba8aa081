"""What a fork must not split: `steady`, a lock that no other thread holds when a process is forked; `forked`.
Knows nothing of what is done under it.

A forked process has one thread. What the others were about, they are about for ever: a lock that one of them
held stays locked, a module that one was importing stays half there. Work of that kind is done under `steady`,
for which a fork waits. It never takes long: an import, a compilation, one image that Pillow reads, a
self-test.
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
    """Wait for all that is done under `steady`, then for what Numba compiles, which may be under it, then for
    LLVM, which Numba also asks to forget what it has compiled, at any time.
    """
    steady.acquire()
    _waited[:] = [steady]
    # none until Numba has been imported, which is done under `steady`
    _take(getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None))
    _take(getattr(getattr(_llvm(), "_lock", None), "_lock", None))


def _take(lock: Any) -> None:
    if lock:
        lock.acquire()
        _waited.append(lock)


def _llvm() -> Any:
    """llvmlite's functions, all of which hold one lock."""
    return getattr(sys.modules.get("llvmlite.binding.ffi"), "lib", None)


def _after() -> None:
    """In both processes. The one thread of the new one is that which holds the locks."""
    held = _waited[::-1]
    _waited.clear()
    for lock in held:
        lock.release()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
