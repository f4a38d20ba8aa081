"""`operation`: what a call of the library does when the process ends; `check` lets long work notice it. Knows
nothing of what is done.

Python ends daemon threads wherever they are. In the middle of compiled code that ends the process by a crash.
So the end of the process waits for calls that are going on in daemon threads, and these give up at the next
`check`. Once Python takes its modules apart, calls are refused.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from ardm.forks import steady
from codec.errors import ArdmError

P = ParamSpec("P")
Result = TypeVar("Result")
# seconds that the end waits for a call which does not give up, such as one that waits for the main thread
PATIENCE = 60.0


class EndingError(ArdmError):
    """The process ends before the call does."""


class _Calls:
    """Those that are going on in daemon threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition(steady)  # which no fork finds locked
        self._count, self.ending = 0, False

    @contextmanager
    def another(self) -> Iterator[None]:
        with self._changed:
            if self.ending:
                raise EndingError("not begun, because the program is about to end.")
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self.ending = True
            self._changed.wait_for(lambda: not self._count, PATIENCE)


_calls = _Calls()


def operation(function: Callable[P, Result]) -> Callable[P, Result]:
    """A decorator for what a caller of the library may call from any thread, at any time. It raises
    EndingError when Python is being taken apart.
    """
    # what is in modules may be gone by then
    finalizing, refusal, this_thread = (sys.is_finalizing, EndingError, threading.current_thread)

    @wraps(function)
    def call(*given: P.args, **named: P.kwargs) -> Result:
        if finalizing():
            raise refusal("not begun, because Python is shutting down.")
        if not this_thread().daemon:
            return function(*given, **named)
        with _calls.another():
            try:
                return function(*given, **named)
            except EndingError as error:
                said = str(error)
            # A new one, without what the old one's traceback holds: that must be taken apart now, since this
            # thread may be ended at any time after this.
            raise refusal(said)

    return call


def check() -> None:
    """Raise EndingError in a daemon thread of a process that is about to end."""
    if _calls.ending and threading.current_thread().daemon:
        raise EndingError("stopped, because the program ends.")


def _forget() -> None:
    """A forked process has none of the threads of the one before."""
    global _calls
    _calls = _Calls()


atexit.register(lambda: _calls.end())
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forget)
