"""Sums of products, and steps of weights, four float64 side by side: what mixers and least squares do most.

LLVM makes vectors of such loops only where it sees that no array overlaps another, which it seldom does; so
these are written as vectors. Knows arrays of numbers only. As exact as `codec.coder.arithmetic`: products and
sums in the order written, none fused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 4
_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_I32 = ir.IntType(32)


def _vectors(context: Any, builder: Any, signature: Any, args: Any, at: int) -> Callable[[Any], Any]:
    """From a number, that vector of the array which is argument `at`, beginning at the argument after it."""
    data = context.make_array(signature.args[at])(context, builder, args[at]).data
    first = builder.bitcast(builder.gep(data, [args[at + 1]]), _VECTOR.as_pointer())
    return lambda i: builder.gep(first, [i])


def _load(builder: Any, pointer: Any) -> Any:
    return builder.load(pointer, align=8)


@intrinsic
def dot(typing_context: Any, a: Any, i: Any, b: Any, j: Any, n: Any) -> Any:
    """Sum of a[i + k] * b[j + k] for k < n, a multiple of LANES: of every lane, then (0 + 1) + (2 + 3). a, b:
    float64, flat; i, j: uint64; n: int64.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        left, right = (_vectors(context, builder, signature, args, at) for at in (0, 2))
        total = cgutils.alloca_once_value(builder, ir.Constant(_VECTOR, [0.0] * LANES))
        with cgutils.for_range(builder, builder.lshr(args[4], args[4].type(2))) as loop:
            product = builder.fmul(_load(builder, left(loop.index)), _load(builder, right(loop.index)))
            builder.store(builder.fadd(builder.load(total), product), total)
        sums = builder.load(total)
        z = [builder.extract_element(sums, _I32(k)) for k in range(LANES)]
        return builder.fadd(builder.fadd(z[0], z[1]), builder.fadd(z[2], z[3]))

    return types.float64(a, types.uint64, b, types.uint64, types.int64), generate


@intrinsic
def add_times(typing_context: Any, a: Any, i: Any, b: Any, j: Any, n: Any, factor: Any) -> Any:
    """Add factor * b[j + k] to a[i + k] for k < n; as for `dot`, and a and b do not overlap."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to, of = (_vectors(context, builder, signature, args, at) for at in (0, 2))
        factors = ir.Constant(_VECTOR, ir.Undefined)
        for k in range(LANES):
            factors = builder.insert_element(factors, args[5], _I32(k))
        with cgutils.for_range(builder, builder.lshr(args[4], args[4].type(2))) as loop:
            pointer = to(loop.index)
            step = builder.fmul(factors, _load(builder, of(loop.index)))
            builder.store(builder.fadd(_load(builder, pointer), step), pointer, align=8)
        return context.get_dummy_value()

    return types.void(a, types.uint64, b, types.uint64, types.int64, types.float64), generate


if config.DISABLE_JIT:

    def dot(a: Any, i: Any, b: Any, j: Any, n: Any) -> Any:
        """As above, in Python."""
        z = [0.0] * LANES
        for k in range(n):
            z[k % LANES] += a[int(i) + k] * b[int(j) + k]
        return (z[0] + z[1]) + (z[2] + z[3])

    def add_times(a: Any, i: Any, b: Any, j: Any, n: Any, factor: Any) -> None:
        """As above, in Python."""
        for k in range(n):
            a[int(i) + k] += factor * b[int(j) + k]
