"""Tokens of a block, said by what could be expected of the data: where a match could begin, whether it is
one, by which step, and whether it is shorter than could be. Knows steps and tokens; no codes, no bits of a
stream.

FORMAT.md, 11.4, says the same in prose.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import BORROWING, inlined, internal
from codec.coder.arithmetic import log
from codec.coder.decisions import CONTEXTS, bit_length, decide
from codec.png.exact import contexts
from codec.png.exact.codes import (
    ALIAS,
    DISTANCE_BITS,
    LENGTH_BITS,
    LENGTH_CODE,
    LITERALS,
    MAX_MATCH,
    MIN_MATCH,
    WINDOW,
    distance_code,
)
from codec.png.exact.contexts import ROOT, WRONG, ZERO, code_number, set_context
from codec.png.exact.steps import EVERYWHERE, KEPT, find_steps, insert, longest

# bytes compared for each of the data, on average, after which only so many places are tried: time is bounded,
# whatever the data
EFFORT, HASTE_LINKS = 1024, 16
SPARE_WORDS = 4096  # that an encoder must have left: more than a token and the codes of a block can take
LOOKAHEAD = 2  # places after the present one that are searched before it is coded
NUMBER_BITS = np.int64(8)  # of lengths
FAR_BITS_BITS = np.int64(4)  # of the number of a distance's bits


class Past(NamedTuple):
    """What is known of the tokens so far, of all blocks."""

    state: np.ndarray  # int64 (9,), by FRONTIER .. COMPARED
    times: np.ndarray  # int64 (2, SUM + 1): of literals and lengths, and of distances; and their sums


# the next place to search; which of the last tokens were matches; the longest match that the last literal was
# preferred to; which steps the last matches were; which of them were as long as could be; whether the last of
# 258 bytes was coded as ALIAS; the longest match here, and at the next place; bytes compared
FRONTIER, HISTORY, PASSED_OVER, STEP_HISTORY, FULL_HISTORY, LAST_ALIAS, HERE, THERE, COMPARED = range(9)
SUM = 511  # place of the sum in times
# What a match was, in STEP_HISTORY: the last step (the longest), the first, another, none.
BY_LAST, BY_FIRST, BY_OTHER, BY_NONE = range(4)
# G of FORMAT.md, 11.4: what the literals cost more than a match, in nats. Symbols count as seen once before;
# a token's extra bits cost LN2 each, roundly; a gain is told from others in halves of a nat.
ALL_LITERALS, ALL_DISTANCES = 286.0, 30.0
LN2, GAIN_SCALE, GAIN_ZERO, GAIN_MAX = 0.7, 2.0, 16.0, 63
GAIN_BYTES = 12  # of a match, that are counted


def new_past() -> Past:
    """Before the first token."""
    return Past(np.zeros(9, np.int64), np.zeros((2, SUM + 1), np.int64))


@internal(**BORROWING)
def is_spent(coder: Any) -> bool:
    """Has a decoder read more words than there are, and than a seal leaves out? Has an encoder no room for
    more?
    """
    return np.int64(coder.state[0, 2]) > coder.words.shape[1] + (1 if coder.decoding else -SPARE_WORDS)


@internal(**BORROWING)
def code_tokens(tokens: Any, at: Any, count: Any, last: Any, steps: Any, past: Any, coder: Any) -> Any:
    """Code the tokens of a block that begins at a place: `count`, or, in the last block, all that are left.
    Returns (place after them, number or WRONG). tokens: read, or written when decoding.
    """
    raw, distances, values = steps.raw, tokens.distances, tokens.values
    state, times, dense = past.state, past.times, steps.dense
    n = ZERO
    while at < raw.size if last else n < count:
        if at >= raw.size or is_spent(coder):
            return at, WRONG
        _search_ahead(steps, state, at)
        match = _code_whether(int(distances[n] > 0 and not coder.decoding), at, steps, past, coder)
        if match == WRONG:
            return at, WRONG
        state[HISTORY] = state[HISTORY] << 1 & 15 | match
        state[PASSED_OVER] = 0 if match else state[HERE]
        length = np.int64(1)
        if match:
            length = _code_match(tokens, n, at, steps, past, coder)
            if length == WRONG:
                return at, WRONG
        else:
            distances[n], values[n] = 0, raw[at]
            times[0, raw[at]] += 1
        times[0, SUM] += 1
        n += 1
        at += length
        while state[FRONTIER] < at and (dense == EVERYWHERE or length <= dense):
            insert(steps, state[FRONTIER])
            state[FRONTIER] += 1
        state[FRONTIER] = max(state[FRONTIER], at)
    return at, n


@internal(**BORROWING)
def _search_ahead(steps: Any, state: Any, at: Any) -> None:
    """Search all places whose matches are wanted now, and note the longest ones."""
    end = min(at + (LOOKAHEAD if steps.dense == EVERYWHERE else 0), steps.raw.size - 1)
    while state[FRONTIER] <= end:
        hasty = state[COMPARED] > EFFORT * (state[FRONTIER] + WINDOW)
        links = min(steps.links, HASTE_LINKS) if hasty else steps.links
        state[COMPARED] += find_steps(steps, state[FRONTIER], links)
        state[FRONTIER] += 1
    state[HERE] = longest(steps, at & (KEPT - 1))
    state[THERE] = longest(steps, (at + 1) & (KEPT - 1)) if at + 1 < state[FRONTIER] else 0


# ---- whether -----------------------------------------------------------------------------------------------


@internal(**BORROWING)
def _code_whether(match: Any, at: Any, steps: Any, past: Any, coder: Any) -> Any:
    """Code whether there is a match at a place. Returns it, or WRONG where there can be none."""
    s = at & (KEPT - 1)
    if steps.number[s]:
        row = _set_contexts_of_match(at, steps, past, coder.keys)
        return decide(coder, ROOT, row, match, 0.0)
    if steps.cut[s] or steps.dense != EVERYWHERE:  # there may be one all the same
        set_context(coder.keys, contexts.HIDDEN, past.state[HISTORY], ZERO, ZERO, ZERO)
        return decide(coder, ROOT, contexts.HIDDEN, match, 0.0)
    return WRONG if match else 0


@internal(**BORROWING)
def _set_contexts_of_match(at: Any, steps: Any, past: Any, keys: Any) -> Any:
    """Where there is a step at least. Returns the row of the mixer's weights."""
    state, number, distances = past.state, steps.number, steps.distances
    s, following, later = at & (KEPT - 1), (at + 1) & (KEPT - 1), (at + 2) & (KEPT - 1)
    history, here, there = state[HISTORY], state[HERE], state[THERE]
    reach = distances[s, number[s] - 1]
    far_there = longest(steps, later) if at + 2 < state[FRONTIER] else 0
    gain = _gain(steps.raw, at, here, reach, past.times)
    value = min(max(int(gain * GAIN_SCALE + GAIN_ZERO), 0), GAIN_MAX)
    closer = min(max(there - here, -3), 3) + 3
    later_closer = min(max(far_there - here, -3), 3) + 3
    same = int(there > 0 and distances[following, number[following] - 1] == reach)
    size, bits, short = _bucket(here), bit_length(reach), min(here, 15)
    parts = (
        (size * 7 + closer) * 7 + later_closer,
        value * 7 + closer,
        (short * 17 + bits) * 7 + closer,
        (history & 15) * 32 + size,
        (value * 16 + short) * 17 + bits,
        (size * 32 + _bucket(there)) * 32 + _bucket(far_there),
        (size * 7 + closer) * 8 + same * 4 + min(number[s], 3),
        np.int64(steps.raw[at]) * 32 + size,
        (value * 7 + later_closer) * 4 + (history & 3),
        (here * 32 + _bucket(state[PASSED_OVER])) * 7 + closer,
    )
    for j in range(CONTEXTS):
        keys[j] = np.uint64(
            parts[j] + (contexts.MATCH << contexts.SORT_SHIFT) + (j << contexts.COUNTER_SHIFT)
        )
    return contexts.MATCH + 2 * size + int(closer > 3)


@inlined()
def _gain(raw: Any, at: Any, length: Any, distance: Any, times: Any) -> Any:
    """What the literals cost more than the match, by what there was so far; operations in this order."""
    code, symbol = distance_code(distance - 1), LENGTH_CODE[length - MIN_MATCH]
    total = log(times[0, SUM] + ALL_LITERALS)
    gain = (
        log(times[0, LITERALS + 1 + symbol] + 1.0)
        - total
        + log(times[1, code] + 1.0)
        - log(times[1, SUM] + ALL_DISTANCES)
    )
    gain -= LN2 * (LENGTH_BITS[symbol] + DISTANCE_BITS[code])
    for i in range(min(length, GAIN_BYTES)):
        gain += total - log(times[0, raw[at + i]] + 1.0)
    return gain


@inlined(error_model="numpy")
def _bucket(length: Any) -> Any:
    """0 to 22 for a length."""
    if length <= 16:
        return length
    if length <= 24:
        return 17
    if length <= 32:
        return 18
    if length <= 64:
        return 19
    if length <= 128:
        return 20
    return 21 if length < MAX_MATCH else 22


# ---- matches -----------------------------------------------------------------------------------------------


@internal(**BORROWING)
def _code_match(tokens: Any, n: Any, at: Any, steps: Any, past: Any, coder: Any) -> Any:
    """Code token n, a match at a place. Returns its length, or WRONG for what cannot be."""
    distances, values, times, state = tokens.distances, tokens.values, past.times, past.state
    s = at & (KEPT - 1)
    alias = int(values[n] == ALIAS)
    length = MAX_MATCH if alias else np.int64(values[n]) + MIN_MATCH
    distance = np.int64(distances[n])
    chosen = _code_step(distance, s, steps, past, coder)
    most = np.int64(MAX_MATCH)
    if chosen >= 0:
        distance, most = steps.distances[s, chosen], steps.lengths[s, chosen]
        length = _code_length(length, s, chosen, steps, past, coder)
    else:
        distance, length = _code_freely(distance, length, state[HERE], coder)
    if length < MIN_MATCH or length > min(most, steps.raw.size - at) or distance > at:
        return WRONG
    if length == MAX_MATCH:
        set_context(coder.keys, contexts.ALIASED, state[LAST_ALIAS], ZERO, ZERO, ZERO)
        state[LAST_ALIAS] = decide(coder, ROOT, contexts.ALIASED, alias, 0.0)
    distances[n] = distance
    values[n] = ALIAS if length == MAX_MATCH and state[LAST_ALIAS] else length - MIN_MATCH
    times[0, LITERALS + 1 + LENGTH_CODE[length - MIN_MATCH]] += 1
    times[1, distance_code(distance - 1)] += 1
    times[1, SUM] += 1
    return length


@internal(**BORROWING)
def _code_step(distance: Any, s: Any, steps: Any, past: Any, coder: Any) -> Any:
    """Code by which step a match is, the last one first. Returns the step's number, or -1 for none. s: the
    place's last two bits.
    """
    lengths, distances, number, state = steps.lengths, steps.distances, steps.number[s], past.state
    chosen = number - 1
    while chosen >= 0:
        nearer_length = lengths[s, chosen - 1] if chosen else MIN_MATCH - 1
        nearer = distances[s, chosen - 1] if chosen else 0
        set_context(
            coder.keys,
            contexts.STEP,
            min(number - 1 - chosen, 3) * 4 + min(chosen, 3),
            state[STEP_HISTORY],
            _bucket(lengths[s, chosen]) * 8 + min(lengths[s, chosen] - nearer_length, 7),
            bit_length(distances[s, chosen]) * 17 + bit_length(nearer),
        )
        if decide(coder, ROOT, contexts.STEP, int(distance == distances[s, chosen]), 0.0):
            break
        chosen -= 1
    way = BY_NONE if chosen < 0 else BY_LAST if chosen == number - 1 else BY_OTHER if chosen else BY_FIRST
    state[STEP_HISTORY] = state[STEP_HISTORY] << 2 & 63 | way
    return chosen


@internal(**BORROWING)
def _code_length(length: Any, s: Any, chosen: Any, steps: Any, past: Any, coder: Any) -> Any:
    """Code the length of a match by a chosen step, which is the step's or less. Returns it."""
    state, most = past.state, steps.lengths[s, chosen]
    if most == MIN_MATCH:
        return most
    nearer = steps.lengths[s, chosen - 1] if chosen else MIN_MATCH - 1
    is_last = int(chosen == steps.number[s] - 1)
    set_context(
        coder.keys,
        contexts.FULL,
        _bucket(most),
        state[FULL_HISTORY],
        is_last * 8 + min(most - nearer, 7),
        _bucket(state[THERE]),
    )
    full = decide(coder, ROOT, contexts.FULL, int(length == most), 0.0)
    state[FULL_HISTORY] = state[FULL_HISTORY] << 1 & 15 | full
    if full:
        return most
    set_context(coder.keys, contexts.SHORTFALL, _bucket(most), min(most - nearer, 15), ZERO, ZERO)
    return most - 1 - code_number(coder, contexts.SHORTFALL, NUMBER_BITS, most - 1 - length)


@internal(**BORROWING)
def _code_freely(distance: Any, length: Any, here: Any, coder: Any) -> Any:
    """Code a match by no step. here: length of the longest step. Returns (distance, length)."""
    set_context(coder.keys, contexts.FAR_LENGTH, _bucket(here), ZERO, ZERO, ZERO)
    length = code_number(coder, contexts.FAR_LENGTH, NUMBER_BITS, length - MIN_MATCH) + MIN_MATCH
    set_context(coder.keys, contexts.FAR_BITS, _bucket(length), ZERO, ZERO, ZERO)
    bits = code_number(coder, contexts.FAR_BITS, FAR_BITS_BITS, bit_length(distance - 1))
    set_context(coder.keys, contexts.FAR_DISTANCE, bits, ZERO, ZERO, ZERO)
    top = max(bits - 1, 0)
    low = code_number(coder, contexts.FAR_DISTANCE, top, (distance - 1) & (1 << top) - 1)
    return low + (1 << top if bits else 0) + 1, length
