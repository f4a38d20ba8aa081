"""The decisions that say a deflate stream: their sorts, the contexts of each, and numbers made of them. Knows
a binary coder; no blocks, no tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ardm.compiled import BORROWING, internal
from codec.coder.decisions import CONTEXTS, decide

# Sorts of decision: rows of the mixer's weights, and parts of keys. These are NumPy's integers, as are those
# that compiled functions are called with: Numba would compile them anew for each of Python's.
(
    FINAL,
    TYPE,
    FILL,
    SAME_SIZE,
    SIZE_BITS,
    BLOCK_SIZE,
    HIDDEN,
    STEP,
    FULL,
    SHORTFALL,
    FAR_LENGTH,
    FAR_BITS,
    FAR_DISTANCE,
    ALIASED,
    LITERAL_COUNT,
    DISTANCE_COUNT,
    PRECODE_COUNT,
    LITERAL_LENGTH,
    DISTANCE_LENGTH,
    PRECODE_LENGTH,
    REPEAT,
    AMOUNT,
    MATCH,
) = np.arange(23)
ROWS = 96  # of weights: MATCH, the last sort, has all from its own on
ZERO = np.int64(0)  # where fewer than four things bear upon a decision
WRONG = -1  # what a function returns if what has been read cannot be
ROOT = np.int64(1)  # node of a decision that is a symbol by itself
SLOTS = 1 << 16  # counters of a context
SORT_SHIFT, COUNTER_SHIFT = 44, 50  # of keys: all below the first is what bears upon a decision


@internal(**BORROWING)
def set_context(keys: Any, sort: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    """The contexts of a decision, of four things that bear upon it: combinations of these. Each below
    1024.
    """
    a, b, c, d = a + 1 << 0, b + 1 << 11, c + 1 << 22, d + 1 << 33
    parts = (0, a, b, c, d, a + b, a + c, a + d, a + b + c, a + b + c + d)
    for j in range(CONTEXTS):
        keys[j] = np.uint64(parts[j] + (sort << SORT_SHIFT) + (j << COUNTER_SHIFT))


@internal(**BORROWING)
def code_number(coder: Any, sort: Any, bits: Any, value: Any) -> Any:
    """Code a number of so many bits, the highest first, in the contexts that are set."""
    node = ROOT
    for place in range(bits - 1, -1, -1):
        node = 2 * node + decide(coder, node, sort, (value >> place) & 1, 0.0)
    return node - (1 << bits)
