"""Arithmetic that stays in 32 bits, so that LLVM makes vectors of it: Numba alone would go on in 64. The caller proves that nothing overflows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

WORD = ir.IntType(32)


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
sub = _operation("sub", lambda a, b: a - b)
mul = _operation("mul", lambda a, b: a * b)
shl = _operation("shl", lambda a, b: a << b)
sar = _operation("ashr", lambda a, b: a >> b)


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))


if config.DISABLE_JIT:

    def clamp(value: Any, low: Any, high: Any) -> Any:
        """value, at least low and at most high."""
        return _clamp(int(value), low, high)

else:

    @intrinsic
    def clamp(typing_context: Any, value: Any, low: Any, high: Any) -> Any:
        """value, at least low and at most high."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value, low, high = args
            value = builder.select(builder.icmp_signed(">", value, low), value, low)
            return builder.select(builder.icmp_signed("<", value, high), value, high)

        return types.int32(types.int32, types.int32, types.int32), generate
