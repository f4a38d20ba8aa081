"""Letters coded call by call, each given what a network says of it and what its neighbours taught. Knows
places of a text; nothing of what stands between words.

docs/format/text.md, section 2, says the same in prose.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import compiled, inlined
from ardm.exact.context import TOTAL
from ardm.exact.evaluate_context import ContextNet, ContextScratch, context_scratch, evaluate_context
from codec.coder.arithmetic import log
from codec.coder.decisions import CONTEXTS, GOLDEN, decide, hashed

SPACE, LETTERS, UNKNOWN = 0, 27, 31  # values of a place: 0 to 26 are known
BITS, NODES = 5, 32  # decisions of a letter, and nodes of their tree
MARGIN = 32  # places before and after a text; longer words are cut there
FIRST_ROW = 4101  # of the mixer's weights; docs/format/text.md numbers them after those of marks
NEAREST, FARTHEST = 6, 8  # contexts of the last letters: each number up to the first, and the second
LONGEST = 12  # letters of a word so far, and one, that choose the weights
ROWS = FIRST_ROW + LONGEST * NODES
WORD_SEED = np.uint64(5)
SORT = np.uint64(0xD6E8FEB86659FD93)  # sets the sorts of key apart
LEAST_FREQUENCY = 0.01  # added to sums of frequencies, whose logarithm is taken


class Room(NamedTuple):
    """Working memory of a tile coded with the network."""

    row: np.ndarray  # uint8 (R + n + R,), states of letters as the network sees them
    logits: np.ndarray  # int32, of the letters of a call
    network: ContextScratch


def room_for(net: ContextNet, size: int, cell: int) -> Room:
    """Before anything is known of a tile of so many letters."""
    radius, states, *_ = net.sizes.tolist()
    row = np.full(size + 2 * radius, states - 1, dtype=np.uint8)
    row[radius : radius + size] = states - 2
    return Room(row, np.empty(LETTERS * -(-size // cell), np.int32), context_scratch(net))


@compiled(error_model="numpy")
def code_in_cells(
    text: Any, cell: Any, net: Any, exponentials: Any, room: Any, truth: Any, coder: Any
) -> Any:
    """Code a tile in cells of `cell` letters: a call for the first letters of all cells, then one for the
    second ones, and so on. Returns the letters coded: fewer than there are if one is none.

    text: uint8 (n + 2 * MARGIN,), UNKNOWN, with MARGIN places before and after; net: a `ContextNet`;
    exponentials: int32, of `ardm.exact.context.frequencies`; room: of `room_for`; truth: uint8 (n,) or, when
    decoding, anything; coder: a `codec.coder.decisions.BinaryCoder`.
    """
    sums = np.zeros(NODES + 1)  # of the frequencies of lesser symbols
    size, radius, done = text.size - 2 * MARGIN, net.sizes[0], 0
    for place in range(min(cell, size)):
        count = (size - place + cell - 1) // cell
        evaluate_context(net, room.row, np.int64(place), np.int64(cell), count, room.network, room.logits)
        for m in range(count):
            at = place + m * cell
            _set_frequencies(room.logits, LETTERS * m, exponentials, sums)
            letter = _code_letter(text, at, sums, truth, coder)
            if letter >= LETTERS:
                return done
            room.row[radius + at] = letter
            done += 1
    return done


@compiled(error_model="numpy")
def code_plainly(text: Any, truth: Any, coder: Any) -> Any:
    """The same from left to right, without the network."""
    sums = np.zeros(NODES + 1)
    for symbol in range(NODES):
        sums[symbol + 1] = sums[symbol] + (1.0 if symbol < LETTERS else 0.0)
    size = text.size - 2 * MARGIN
    for at in range(size):
        if _code_letter(text, at, sums, truth, coder) >= LETTERS:
            return at
    return size


@inlined(error_model="numpy")
def _set_frequencies(logits: Any, at: Any, exponentials: Any, sums: Any) -> None:
    """Sums of `ardm.exact.context.frequencies` of the letter whose logits begin at `at`."""
    most, total, first = logits[at], np.int64(0), 0
    for v in range(1, LETTERS):
        if logits[at + v] > most:
            most, first = logits[at + v], v
    for v in range(LETTERS):
        total += exponentials[min(most - logits[at + v], exponentials.size - 1)]
    left = np.int64(TOTAL)
    for v in range(LETTERS):
        mass = np.int64(exponentials[min(most - logits[at + v], exponentials.size - 1)])
        share = 1 + mass * (TOTAL - LETTERS) // total
        left -= share
        sums[v + 1] = share
    sums[first + 1] += left
    for symbol in range(NODES):
        sums[symbol + 1] = sums[symbol] + (sums[symbol + 1] if symbol < LETTERS else 0.0)


@inlined(error_model="numpy")
def _code_letter(text: Any, at: Any, sums: Any, truth: Any, coder: Any) -> Any:
    """One letter, which is written into the text and returned."""
    i = at + MARGIN
    row = _set_contexts(text, i, coder.keys)
    letter = np.int64(0) if coder.decoding else np.int64(truth[at])
    node = np.int64(1)
    for place in range(BITS - 1, -1, -1):
        low = (node << (place + 1)) & (NODES - 1)
        middle, high = low + (1 << place), low + (2 << place)
        one, zero = sums[high] - sums[middle], sums[middle] - sums[low]
        advice = log(one + LEAST_FREQUENCY) - log(zero + LEAST_FREQUENCY)
        bit = np.int64((letter >> place) & 1)
        node = node * 2 + decide(coder, node, row + node, bit, advice)
    text[i] = node & (NODES - 1)
    return node & (NODES - 1)


@inlined()
def _set_contexts(text: Any, i: Any, keys: Any) -> Any:
    """Put what a letter may depend on into keys; returns its first row of the mixer's weights."""
    left = np.uint64(0)  # of the letters to the left, nearest first
    for d in range(1, FARTHEST + 1):
        left = hashed(left + np.uint64(text[i - d] + 1) * GOLDEN)
        if d <= NEAREST:
            keys[d - 1] = left
    keys[NEAREST] = left
    before, size, begins = _word_before(text, i)
    last, more, _ = _word_before(text, i - size)
    older, _, _ = _word_before(text, i - size - more)
    keys[NEAREST + 1] = hashed(before + last * np.uint64(3))
    keys[NEAREST + 2] = hashed(before + older * np.uint64(5))
    keys[NEAREST + 3] = hashed(before + np.uint64(begins))
    for j in range(CONTEXTS):
        keys[j] = keys[j] + np.uint64(j + 1) * SORT
    return FIRST_ROW + (min(size, LONGEST) - 1) * NODES


@inlined()
def _word_before(text: Any, i: Any) -> Any:
    """Of the word whose letters end before a place: its hash, its letters and one, and whether a space comes
    before them, not something unknown.
    """
    part, d = WORD_SEED, 1
    while d < MARGIN and text[i - d] != SPACE and text[i - d] != UNKNOWN:
        part = hashed(part + np.uint64(text[i - d]) * GOLDEN)
        d += 1
    return part, d, text[i - d] == SPACE


def open_tile(count: int) -> np.ndarray:
    """A text of `count` unknown letters, as `code_in_cells` takes it."""
    return np.full(count + 2 * MARGIN, UNKNOWN, dtype=np.uint8)


def close_tile(tile: np.ndarray) -> np.ndarray:
    """The letters of a tile."""
    return tile[MARGIN:-MARGIN]
