"""Arithmetic that stays in 32 bits, so that LLVM makes vectors of it: Numba alone would go on in 64. The
caller proves that nothing overflows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import config, types
from numba.extending import intrinsic


def _operation(name: str, plain: Callable[[int, int], int]) -> Any:
    """A function of two int32 that is one LLVM instruction; in interpreted code, the Python operation."""
    if config.DISABLE_JIT:
        return lambda a, b: plain(int(a), int(b))

    @intrinsic
    def operation(typing_context: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, name)(*args)

        return types.int32(types.int32, types.int32), generate

    return operation


add = _operation("add", lambda a, b: a + b)
mul = _operation("mul", lambda a, b: a * b)
shl = _operation("shl", lambda a, b: a << b)
sar = _operation("ashr", lambda a, b: a >> b)
