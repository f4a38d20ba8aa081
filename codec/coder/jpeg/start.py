"""What the decisions about a JPEG's coefficients start from: counters and weights as training has left them
(`python -m benchmarks.coefficients`). Knows a file of the package; no coefficients.

No payload says which file it was: this one belongs to methods 9 and 10, as their arithmetic does. Another one
needs other methods, or a field that says so.

What is stored of a counter is a byte: 0 if training has not seen it; else 64 times the class of its age, and
its log-odds in quarters, from 1 to 63, of which 32 is 0. Specified in docs/format/jpeg.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from ardm import released
from ardm.exact import weights_file
from ardm.released import WeightsError
from codec.coder.arithmetic import exp, rounded
from codec.coder.counters import AGES, HALF
from codec.coder.decisions import CONTEXTS, Taught, untaught
from codec.coder.rangecoder import ONE
from codec.errors import UnsupportedError

ID = "977980d6"  # of the released file
ID_BYTES = 4
KIND = "ardm coefficient start 1"
SLOTS = 1 << 18  # counters of a context
SORTS = 16  # of decisions, each with rows of weights of its own
NODES = 24  # rows of weights of a sort
ROWS = SORTS * NODES
WEIGHT_ONE = 4096  # a weight of 1
SEEN = 2, 6, 12, 20  # bits that a counter of each class shall seem to have seen
ODDS_ZERO, ODDS_STEPS = 32, 4  # what is stored of log-odds of 0; of 1 more so much more


@dataclass(frozen=True)
class Size:
    """How many there are, as the file says."""

    slots: int = SLOTS
    rows: int = ROWS


def _of_odds(quarters: int) -> int:
    """The probability of log-odds, of ONE."""
    return rounded(lambda number: ONE / (1 + exp(-number(quarters) / ODDS_STEPS)))


def _stored_counters() -> np.ndarray:
    """The counter of every byte, uint32 (256,)."""
    ones = [_of_odds(i - ODDS_ZERO) for i in range(2 * ODDS_ZERO)]
    found = [(one ^ HALF) << 8 | seen for seen in SEEN for one in ones]
    return np.array(
        [0 if i % (2 * ODDS_ZERO) == 0 else counter for i, counter in enumerate(found)], np.uint32
    )


def stored(taught: Taught) -> dict[str, np.ndarray]:
    """The tensors of a file. Counters that have seen one bit are left out: it may have been chance."""
    ages = taught.counters % AGES
    chance = ((taught.counters.astype(np.int64) >> 8 ^ HALF) + 0.5) / ONE
    odds = np.round(ODDS_STEPS * np.log(chance / (1 - chance))) + ODDS_ZERO
    # the nearest class
    edges = [(a + b) / 2 for a, b in pairwise(SEEN)]
    found = 2 * ODDS_ZERO * np.digitize(ages, edges) + odds.clip(1, 2 * ODDS_ZERO - 1)
    return {
        "counters": np.where(ages > 1, found, 0).astype(np.uint8),
        "weights": np.round(taught.weights * WEIGHT_ONE).clip(-(2**15), 2**15 - 1).astype(np.int16),
    }


def serialize(taught: Taught, provenance: dict[str, Any]) -> bytes:
    """A file."""
    return weights_file.serialize(KIND, Size(), stored(taught), provenance)


def parse(data: bytes) -> Taught:
    """Of a file. Raises WeightsError."""

    def make(_: dict[str, Any], tensors: dict[str, np.ndarray], __: dict[str, Any]) -> Taught:
        shapes = {"counters": ((CONTEXTS, SLOTS), np.uint8), "weights": ((ROWS, CONTEXTS + 1), np.int16)}
        weights_file.check_shapes(tensors, shapes)
        return Taught(_stored_counters()[tensors["counters"]], tensors["weights"] / WEIGHT_ONE)

    return weights_file.parse(data, KIND, make)


@lru_cache(maxsize=1)
def load() -> Taught:
    """The released file. Raises UnsupportedError if the package does not have it, or it is damaged."""
    try:
        taught = parse(released.read(ID))
    except (WeightsError, OSError) as error:
        raise UnsupportedError(str(error)) from error
    for learned in taught:  # by copies alone
        learned.flags.writeable = False
    return taught


def nothing() -> Taught:
    """What training itself starts from."""
    return untaught(SLOTS, ROWS, 0.15)
