"""Letters coded call by call, each given what a network says of it and what its neighbours taught. Knows
places of a text and frequencies; no network, and nothing of what stands between words.

FORMAT.md, 10.2 and 10.6, says the same in prose.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ardm.compiled import compiled, inlined
from codec.coder.arithmetic import log
from codec.coder.decisions import CONTEXTS, GOLDEN, decide, hashed

SPACE, LETTERS, UNKNOWN = 0, 27, 31  # values of a place: 0 to 26 are known
BITS, NODES = 5, 32  # decisions of a letter, and nodes of their tree
MARGIN = 32  # places before and after a text; longer words are cut there
FIRST_ROW = 4101  # of the mixer's weights; FORMAT.md numbers them after those of marks
NEAREST = 6  # letters to the left that are looked at
REACHES, RIGHTS = 6, 3  # what chooses the weights: known letters next to the left, and to the right
ROWS = FIRST_ROW + REACHES * RIGHTS * NODES
# Where a word's hash begins, before the place and after it; and what sets the sorts of key apart.
LEFT_SEED, RIGHT_SEED = np.uint64(5), np.uint64(7)
NEAR_SORT, FAR_SORT, SORT = np.uint64(1 << 20), np.uint64(3 << 40), np.uint64(0xD6E8FEB86659FD93)
WITH_TWO, WITH_WORD = np.uint64(0x51ED2701), np.uint64(0x2545F491)  # multipliers of the next letter
LEAST_FREQUENCY = 0.01  # added to sums of frequencies, whose logarithm is taken


@compiled(error_model="numpy")
def code_letters(text: Any, where: Any, frequencies: Any, truth: Any, coder: Any) -> None:
    """Code the letters of one call, from left to right, and write them into the text.

    text: uint8 (n + 2 * MARGIN,), the letters 0 (space) .. 26 known so far, UNKNOWN elsewhere, with MARGIN
    places before and after; where: int64 (m,), ascending places to code; frequencies: float32 (m, 27), of
    `ardm.exact.frequencies`; truth: uint8 (n,) or, when decoding, anything; coder: a
    `codec.coder.decisions.BinaryCoder`.
    """
    sums = np.zeros(NODES + 1)  # of the frequencies of lesser symbols
    keys, decoding = coder.keys, coder.decoding
    for m in range(where.size):
        i = where[m] + MARGIN
        for symbol in range(NODES):
            sums[symbol + 1] = sums[symbol] + (frequencies[m, symbol] + 1.0 if symbol < LETTERS else 0.0)
        row = _set_contexts(text, i, keys)
        letter = np.int64(0) if decoding else np.int64(truth[where[m]])
        node = np.int64(1)
        for place in range(BITS - 1, -1, -1):
            low = (node << (place + 1)) & (NODES - 1)
            middle, high = low + (1 << place), low + (2 << place)
            one, zero = sums[high] - sums[middle], sums[middle] - sums[low]
            advice = log(one + LEAST_FREQUENCY) - log(zero + LEAST_FREQUENCY)
            bit = np.int64((letter >> place) & 1)
            node = node * 2 + decide(coder, node, row + node, bit, advice)
        text[i] = node & (NODES - 1)


@inlined()
def _set_contexts(text: Any, i: Any, keys: Any) -> Any:
    """Put what a letter may depend on into keys; returns its first row of the mixer's weights."""
    left = np.uint64(0)  # of the letters to the left, nearest first
    reach = 0  # known letters next to the left
    for d in range(1, NEAREST + 1):
        left = hashed(left + np.uint64(text[i - d] + 1) * GOLDEN)
        if d <= 4:
            keys[d - 1] = left
        if text[i - d] != UNKNOWN and reach == d - 1:
            reach = d
    keys[4] = left
    near = np.uint64(text[i + 1]) * np.uint64(NODES) + np.uint64(text[i - 1])
    far = np.uint64(text[i + 2]) * np.uint64(NODES) + np.uint64(text[i - 2])
    keys[5] = hashed(near + NEAR_SORT)
    keys[6] = hashed(near + far * np.uint64(NODES * NODES) + FAR_SORT)
    before, begins = _part_of_word(text, i, -1, LEFT_SEED)
    after, ends = _part_of_word(text, i, 1, RIGHT_SEED)
    keys[7] = hashed(before + after * np.uint64(3) + np.uint64(begins * 2 + ends))
    keys[8] = hashed(keys[1] + np.uint64(text[i + 1] + 1) * WITH_TWO)
    keys[9] = hashed(before + np.uint64(text[i + 1] + 1) * WITH_WORD)
    for j in range(CONTEXTS):
        keys[j] = keys[j] + np.uint64(j + 1) * SORT
    right = 0 if text[i + 1] == UNKNOWN else 1 if text[i + 2] == UNKNOWN else 2
    return FIRST_ROW + (min(reach, REACHES - 1) * RIGHTS + right) * NODES


@inlined()
def _part_of_word(text: Any, i: Any, way: Any, seed: Any) -> Any:
    """What is known of a word on one side of a place, -1 or 1: its hash, and whether it ends there."""
    part, d = seed, 1
    while d < MARGIN and text[i + way * d] != SPACE and text[i + way * d] != UNKNOWN:
        part = hashed(part + np.uint64(text[i + way * d]) * GOLDEN)
        d += 1
    return part, text[i + way * d] == SPACE


def open_tile(count: int) -> np.ndarray:
    """A text of `count` unknown letters, as `code_letters` takes it."""
    return np.full(count + 2 * MARGIN, UNKNOWN, dtype=np.uint8)


def close_tile(tile: np.ndarray) -> np.ndarray:
    """The letters of a tile."""
    return tile[MARGIN:-MARGIN]
