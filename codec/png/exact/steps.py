"""Steps: the matches that both ends of a difference find in the data at a place, nearest first, each longer
than all before it. Knows bytes only.

FORMAT.md, 11.3, says the same in prose.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import BORROWING, compiled, inlined, internal
from codec.png.exact.codes import MAX_MATCH, MIN_MATCH, WINDOW

EVERYWHERE = 255  # `dense`: the places within all matches are known, and it is looked ahead
KEPT = 4  # places whose steps are kept, by the last two bits of the place
RING = 2 * WINDOW - 1  # places whose predecessors in their chains are known, less one
KEYS = 1 << 16  # of three bytes


class Steps(NamedTuple):
    """The data, which places are known in it, and the steps at the last places that were searched."""

    raw: np.ndarray  # uint8 (n,), the data
    head: np.ndarray  # int64 (KEYS,), where bytes with a key were last, or -1
    before: np.ndarray  # int64 (RING + 1,), the place with the same key before, by a place's lowest bits
    lengths: np.ndarray  # int64 (KEPT, MAX_MATCH)
    distances: np.ndarray  # int64 (KEPT, MAX_MATCH)
    number: np.ndarray  # int64 (KEPT,), of steps
    cut: np.ndarray  # int64 (KEPT,), whether there may be others
    links: int  # most earlier places to compare each place with
    dense: int  # of no longer matches are places within known for later ones, or EVERYWHERE


def new_steps(raw: np.ndarray, links: int, dense: int) -> Steps:
    """Nothing is known yet."""
    return Steps(
        raw,
        np.full(KEYS, -1, np.int64),
        np.zeros(RING + 1, np.int64),
        np.zeros((KEPT, MAX_MATCH), np.int64),
        np.zeros((KEPT, MAX_MATCH), np.int64),
        np.zeros(KEPT, np.int64),
        np.zeros(KEPT, np.int64),
        links,
        dense,
    )


@compiled(**BORROWING)
def insert(steps: Any, at: Any) -> Any:
    """Make the three bytes here known; returns where they, or others with the same key, were last, or -1."""
    raw, head = steps.raw, steps.head
    if at + MIN_MATCH > raw.size:
        return -1
    key = (
        (np.int64(raw[at]) | np.int64(raw[at + 1]) << 8 | np.int64(raw[at + 2]) << 16) * 0x9E3779B1 >> 16
    ) & (KEYS - 1)
    first = head[key]
    steps.before[at & RING] = first
    head[key] = at
    return first


@internal(**BORROWING)
def find_steps(steps: Any, at: Any, links: Any) -> Any:
    """Find the steps at a place after all before it, which becomes known. Returns how many bytes were
    compared.
    """
    raw, before, lengths, distances = steps.raw, steps.before, steps.lengths, steps.distances
    s, count, best, cut, compared = at & (KEPT - 1), 0, MIN_MATCH - 1, 0, 0
    most = min(MAX_MATCH, raw.size - at)
    place = insert(steps, at)
    while place >= 0 and at - place <= WINDOW:
        if links == 0:
            cut = 1
            break
        links -= 1
        compared += 1
        if raw[place + best] == raw[at + best]:
            length = 0
            while length < most and raw[place + length] == raw[at + length]:
                length += 1
            compared += length
            if length > best:
                lengths[s, count], distances[s, count] = length, at - place
                count += 1
                best = length
                if best == most:
                    break
        place = before[place & RING]
    steps.number[s], steps.cut[s] = count, cut
    return compared


@inlined(error_model="numpy")
def longest(steps: Any, s: Any) -> Any:
    """Length of the last step at a place, or 0. s: the place's last two bits."""
    return steps.lengths[s, steps.number[s] - 1] if steps.number[s] else 0
