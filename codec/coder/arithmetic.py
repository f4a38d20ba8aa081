"""Arithmetic of all mixing coders, the same on every machine: sigmoid, logarithm and squash by tables, and
least squares. Knows numbers only.

Exactness: binary64 +, -, *, / and comparisons in the order written, conversions that truncate, integers, and
table look-ups. Nothing else: no library function (but for tables, by `rounded`), no fused multiply-add (Numba
does not contract without fastmath, which must stay off), no reordered sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Any

import numpy as np

from ardm.compiled import BORROWING, compiled, inlined
from codec.coder.rangecoder import ONE

LEAST = 168  # least probability of a decision, of ONE
PAD = 4  # samples around every plane, so that neighbours need no bounds check
LN2 = 45426 / 65536
# No decision is more probable than 1 - LEAST / ONE, "certain" ones included; so each takes this many bits.
BITS_OF_DECISION = -math.log2(1 - LEAST / ONE)
MARGIN = 0.99  # of bits: far more than all that rounding could take away
CLOSE = 0.49  # to an integer: the nearest one, whatever the math library
# decimals have so many digits, whatever the caller's own context is
EXACT = Context(prec=40, rounding=ROUND_HALF_EVEN)


def exp(x: Any) -> Any:
    """Of a float, as the math library has it, or of a decimal."""
    return x.exp(EXACT) if isinstance(x, Decimal) else math.exp(x)


def ln(x: Any) -> Any:
    """As `exp`."""
    return x.ln(EXACT) if isinstance(x, Decimal) else math.log(x)


def rounded(formula: Callable[[Any], Any]) -> int:
    """The nearest integer to a number that a formula makes, of the kind of number that it is given.

    The same on every machine: floats decide where no math library is so wrong that another integer could be
    nearer (numbers are 2**40 at most, of which 0.01 is 80 units in the last place); else exact decimals do,
    which take twenty times as long.
    """
    about = formula(float)
    nearest = round(about)
    if abs(about - nearest) < CLOSE:
        return nearest
    with localcontext(EXACT):
        return int(formula(Decimal).to_integral_value())


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sigmoid, logarithm and squash."""
    sigmoid = [rounded(lambda number, i=i: ONE / (1 + exp(-number(2 * i + 1) / 256))) for i in range(1536)]
    log = [rounded(lambda number, i=i: 65536 * ln(1 + number(2 * i + 1) / 1024)) / 65536 for i in range(512)]
    squash = [
        rounded(lambda number, i=i: 2**40 / (1 + exp(-number(i) / 32))) / 2**40 for i in range(-400, 402)
    ]
    low = [ONE - s for s in reversed(sigmoid)]
    return np.array(low + sigmoid, dtype=np.int32), np.array(log), np.array(squash)


SIGMOID, _LOG, SQUASH = _tables()


@inlined(**BORROWING)
def sigmoid(u: Any) -> Any:
    """2**24 times the sigmoid of u / 128."""
    i = int(u + 1536.0)
    return SIGMOID[np.uint64(max(0, min(i, 3071)))]


@inlined(**BORROWING)
def log(x: Any) -> Any:
    """Natural logarithm of a positive number, by exponent and nine bits of the mantissa."""
    bits = np.float64(x).view(np.int64)
    return ((bits >> 52) - 1023) * LN2 + _LOG[np.uint64((bits >> 43) & 511)]


@inlined(**BORROWING)
def squash(z: Any) -> Any:
    """Sigmoid of z, |z| <= 12."""
    t = (z + 12.5) * 32.0
    i = int(t)
    low = SQUASH[np.uint64(i)]
    return low + (SQUASH[np.uint64(i + 1)] - low) * (t - i)


@compiled(**BORROWING)
def solve(a: Any, b: Any, n: int, x: Any, work: Any) -> None:
    """x of (a) x = b for the upper triangle of a symmetric positive definite a: elimination, then
    back-substitution, in the order written.
    """
    size = work.shape[1]  # a multiple of 4, more than n
    flat = work.reshape(-1)
    for i in range(n):
        for j in range(i, n):
            work[i, j] = a[i, j]
        for j in range(n, size):
            work[i, j] = 0.0
        work[i, n] = b[i]
    for k in range(n - 1):
        inverse = 1.0 / work[k, k]
        pivot = np.uint64(k * size)
        for i in range(k + 1, n):
            factor = work[k, i] * inverse
            line = np.uint64(i * size)
            for t in range(i & ~3, size):
                j = np.uint64(t)
                flat[line + j] -= factor * flat[pivot + j]
    for k in range(n - 1, -1, -1):
        t = work[k, n]
        for j in range(k + 1, n):
            t -= work[k, j] * x[j]
        x[k] = t / work[k, k]


def mixed_bytes(subpixels: int) -> int:
    """Least bytes of a stream of a mixing coder: eight decisions or more for each subpixel."""
    return 4 * math.ceil(MARGIN * subpixels * 8 * BITS_OF_DECISION / 32)
