"""`compiled`: Numba's njit, whose machine code is kept for later processes where it can be; `check_words`: is it right? Knows nothing of what is compiled.

What is kept saves seconds, no more: where it cannot be written (a full disk, a user without a home) or read again (a file cut short when the power went),
the function is compiled anew, and that is all. Numba itself makes each of these an exception.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache

from codec.errors import UnsupportedError
from codec.folder import existing_folder


class _Cache(FunctionCache):
    """Kept code, all of whose faults pass for having none."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever a damaged pickle may raise
            with suppress(OSError):
                self.flush()  # else it would be damaged for the next process, too
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(Exception):  # of the disk, or of a damaged index that could not be flushed
            super().save_overload(sig, data)


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator as `numba.njit(**options)`; the code releases the GIL."""

    def compile_later(function: Callable[..., Any]) -> Callable[..., Any]:
        made: Any = njit(nogil=True, **options)(function)
        if made is not function:  # which it is with NUMBA_DISABLE_JIT
            with suppress(RuntimeError, OSError):  # there is no folder to keep it in
                made._cache = _Cache(function)
            made.compile = _in_a_folder(made.compile)
        return made

    return compile_later


def _in_a_folder(compile_one: Callable[..., Any]) -> Callable[..., Any]:
    """Numba asks for the working directory while it compiles, to shorten names of files, and fails where that has been deleted."""

    @wraps(compile_one)
    def compile_there(*given: Any, **named: Any) -> Any:
        with existing_folder():
            return compile_one(*given, **named)

    return compile_there


def check_words(words: bytes, digest: str, coder: str) -> None:
    """Compare what a compiled coder made of known input with what every correct one must make. digest: BLAKE2b, 8 bytes, in hexadecimal.

    Raises UnsupportedError if this machine's compiled arithmetic is not the IEEE arithmetic that the format needs.
    """
    found = hashlib.blake2b(words, digest_size=8).hexdigest()
    if found != digest:
        raise UnsupportedError(
            f"the compiled {coder} computes differently on this machine (found {found}, expected {digest}); "
            "set NUMBA_DISABLE_JIT=1 to use the slow one, and please report this."
        )
