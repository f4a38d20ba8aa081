"""The codes of a block, said by what zlib would take for its tokens: the lengths of codes, and the runs in
which these are written. Knows counts of symbols and lengths; no data, no bits of a stream.

FORMAT.md, 11.5, says the same in prose.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ardm.compiled import internal
from codec.coder.decisions import decide
from codec.png.exact import contexts
from codec.png.exact.blocks import HEAP, OF_DISTANCES, OF_LITERALS, OF_PRECODE, best_code, count_tokens
from codec.png.exact.codes import (
    BTYPE,
    CODES,
    DISTANCE_BITS,
    DISTANCES,
    HCLEN,
    HDIST,
    HLIT,
    LEAST_HCLEN,
    LEAST_HDIST,
    LEAST_HLIT,
    LENGTH_BITS,
    LITERALS,
    LONGEST_CODE,
    MAX_LENGTHS,
    OWN_CODES,
    PRECODE_BITS,
    PRECODE_ORDER,
    PRECODES,
    REPEAT_BEFORE,
    REPEAT_ZERO,
    REPEAT_ZERO_LONG,
    RUNS,
    least_repeat,
    set_fixed_lengths,
)
from codec.png.exact.contexts import ROOT, WRONG, ZERO, code_number, set_context

# guesses at lengths: zlib's; as many of each, longer for rarer symbols and for earlier ones
BY_ZLIB, BY_RARITY = 0, 1
COUNT_BITS = np.int64(5)  # of HLIT and HDIST
HCLEN_BITS = np.int64(4)
LENGTH_BITS_OF_CODE, LENGTH_BITS_OF_PRECODE = np.int64(4), np.int64(3)  # of a code's length
AMOUNT_BITS = np.int64(8)  # of a run's length
# Nodes of a run's other decisions: is it of zeros by its own symbol, and is it the longest that is possible?
ZERO_NODE, MOST_NODE = np.int64(2), np.int64(3)
TIMES_MAX, REPEATS_MAX = 1023, 150  # in contexts
MOST_REPEATS, MOST_ZEROS = 6, 138  # that one symbol of the precode says


@internal(error_model="numpy")
def code_trees(tokens: Any, count: Any, header: Any, coder: Any) -> Any:
    """Code the codes of a block, whose type is known, for so many tokens. header: a `Header`, read, or
    written when decoding. Returns the bits that the block takes after its first three, or WRONG.
    """
    times, distance_times = np.zeros(HEAP, np.int64), np.zeros(HEAP, np.int64)
    count_tokens(tokens, count, times, distance_times)
    total = 0
    if header.fields[BTYPE] == OWN_CODES:
        if not _code_lengths_of_codes(times, distance_times, header, coder):
            return WRONG
        if not _code_runs(header, coder):
            return WRONG
        total = _code_precode(header, coder)
    else:
        set_fixed_lengths(header)
    bits = _bits_of_tokens(times, distance_times, header)
    return WRONG if total == WRONG or bits == WRONG else total + bits


@internal(error_model="numpy")
def _bits_of_tokens(times: Any, distance_times: Any, header: Any) -> Any:
    """What a block's tokens take, or WRONG if one has no code."""
    fields, lengths, total = header.fields, header.lengths, 0
    for n in range(CODES):
        if times[n]:
            if n >= fields[HLIT] or lengths[n] == 0:
                return WRONG
            total += times[n] * (lengths[n] + (LENGTH_BITS[n - LITERALS - 1] if n > LITERALS else 0))
    for n in range(DISTANCES):
        if distance_times[n]:
            if n >= fields[HDIST] or lengths[fields[HLIT] + n] == 0:
                return WRONG
            total += distance_times[n] * (lengths[fields[HLIT] + n] + DISTANCE_BITS[n])
    return total


# ---- lengths -----------------------------------------------------------------------------------------------


@internal(error_model="numpy")
def _code_lengths_of_codes(times: Any, distance_times: Any, header: Any, coder: Any) -> bool:
    """Code how many codes there are of literals and lengths, and of distances, and how long they are. Returns
    whether there can be so many.
    """
    fields, lengths = header.fields, header.lengths
    guess, distance_guess = np.zeros((2, MAX_LENGTHS), np.int64), np.zeros((2, MAX_LENGTHS), np.int64)
    top = _guess_lengths(times, OF_LITERALS, guess)
    distance_top = _guess_lengths(distance_times, OF_DISTANCES, distance_guess)
    set_context(coder.keys, contexts.LITERAL_COUNT, top, ZERO, ZERO, ZERO)
    fields[HLIT] = (
        code_number(coder, contexts.LITERAL_COUNT, COUNT_BITS, fields[HLIT] - LEAST_HLIT) + LEAST_HLIT
    )
    set_context(coder.keys, contexts.DISTANCE_COUNT, distance_top, ZERO, ZERO, ZERO)
    fields[HDIST] = (
        code_number(coder, contexts.DISTANCE_COUNT, COUNT_BITS, fields[HDIST] - LEAST_HDIST) + LEAST_HDIST
    )
    count, end = fields[HLIT], fields[HLIT] + fields[HDIST]
    if count > CODES or fields[HDIST] > DISTANCES:
        return False
    ascending, bits = np.arange(CODES), LENGTH_BITS_OF_CODE
    _code_lengths(times, guess, contexts.LITERAL_LENGTH, bits, lengths[:count], ascending[:count], coder)
    _code_lengths(
        distance_times,
        distance_guess,
        contexts.DISTANCE_LENGTH,
        bits,
        lengths[count:end],
        ascending[: end - count],
        coder,
    )
    return True


@internal(error_model="numpy")
def _guess_lengths(times: Any, alphabet: Any, guess: Any) -> Any:
    """Set the lengths of codes that could be expected. times: int64 (HEAP,), kept; guess: int64 (2,
    MAX_LENGTHS), written. Returns the last symbol of zlib's.
    """
    size = alphabet.size
    lengths, top, _, _ = best_code(times.copy(), alphabet)
    counts = np.zeros(LONGEST_CODE + 1, np.int64)
    for n in range(size):
        guess[BY_ZLIB, n], guess[BY_RARITY, n] = lengths[n], 0
        counts[lengths[n]] += times[n] > 0
    for n in range(size):
        if times[n]:
            rank = 0  # among those that have longer codes
            for m in range(size):
                rank += times[m] > 0 and (times[m] < times[n] or (times[m] == times[n] and m < n))
            bits = alphabet.longest
            while bits > 1 and rank >= counts[bits]:
                rank -= counts[bits]
                bits -= 1
            guess[BY_RARITY, n] = bits
    return top


@internal(error_model="numpy")
def _code_lengths(times: Any, guess: Any, sort: Any, bits: Any, lengths: Any, order: Any, coder: Any) -> None:
    """Code the lengths of all symbols in an order, of so many bits each. lengths: int64, by symbol."""
    recent = np.zeros(LONGEST_CODE + 1, np.int64)
    previous = older = ZERO
    for n in order:
        by_zlib, by_times = guess[BY_ZLIB, n], guess[BY_RARITY, n]
        set_context(
            coder.keys,
            sort,
            by_zlib * 16 + by_times,
            previous * 16 + older,
            min(times[n], TIMES_MAX),
            recent[by_times],
        )
        lengths[n] = code_number(coder, sort, bits, lengths[n])
        older, previous = previous, lengths[n]
        recent[by_times] = previous


# ---- how lengths are written -------------------------------------------------------------------------------


@internal(error_model="numpy")
def _code_runs(header: Any, coder: Any) -> bool:
    """Code the runs that say all lengths. Returns whether they can be."""
    fields, lengths, runs = header.fields, header.lengths, header.runs
    n = used = previous = ZERO
    literals, size = fields[HLIT], fields[HLIT] + fields[HDIST]
    while n < size:
        repeats = 1
        while n + repeats < size and lengths[n + repeats] == lengths[n]:
            repeats += 1
        edge = min(repeats, literals - n) if n < literals else repeats
        again = int(n > 0 and lengths[n - 1] == lengths[n])
        amount = 1
        if repeats >= 3 and (again or lengths[n] == 0):
            amount = _code_run(runs[used], lengths[n], again, repeats, edge, previous, coder)
            if amount == WRONG:
                return False
        else:
            runs[used, 0], runs[used, 1] = lengths[n], 0
        previous = runs[used, 0]
        used += 1
        n += amount
    fields[RUNS] = used
    return True


@internal(error_model="numpy")
def _code_run(run: Any, value: Any, again: Any, repeats: Any, edge: Any, previous: Any, coder: Any) -> Any:
    """Code how often the same length is said at once. Returns that, or WRONG.

    run: int64 (2,), symbol and value of its extra bits, read, or written when decoding. value: the length;
    again: whether it has just been said; repeats: how often it follows; edge: how often up to the end of the
    literals' codes; previous: symbol.
    """
    symbol = run[0]
    set_context(
        coder.keys,
        contexts.REPEAT,
        int(value > 0) * 2 + again,
        min(repeats, REPEATS_MAX),
        min(edge, REPEATS_MAX),
        previous,
    )
    if not decide(coder, ROOT, contexts.REPEAT, int(symbol >= REPEAT_BEFORE), 0.0):
        run[0], run[1] = value, 0
        return 1
    of_zeros = int(value == 0)
    if again and of_zeros:
        of_zeros = decide(coder, ZERO_NODE, contexts.REPEAT, int(symbol >= REPEAT_ZERO), 0.0)
    most = min(repeats, MOST_ZEROS if of_zeros else MOST_REPEATS)
    amount = run[1] + least_repeat(symbol)
    if decide(coder, MOST_NODE, contexts.REPEAT, int(amount == most), 0.0):
        amount = most
    else:
        set_context(
            coder.keys, contexts.AMOUNT, of_zeros, min(repeats, REPEATS_MAX), min(edge, REPEATS_MAX), previous
        )
        amount = code_number(coder, contexts.AMOUNT, AMOUNT_BITS, amount - 3) + 3
    if amount > most:
        return WRONG
    run[0] = REPEAT_BEFORE if not of_zeros else REPEAT_ZERO if amount <= 10 else REPEAT_ZERO_LONG
    run[1] = amount - least_repeat(run[0])
    return amount


@internal(error_model="numpy")
def _code_precode(header: Any, coder: Any) -> Any:
    """Code the lengths of the precode's codes, for the runs there are. Returns the bits that it and the runs
    take, or WRONG if a symbol has no code.
    """
    fields, runs, precode = header.fields, header.runs, header.precode
    times, total = np.zeros(HEAP, np.int64), 0
    for i in range(fields[RUNS]):
        times[runs[i, 0]] += 1
        total += PRECODE_BITS[runs[i, 0]]
    guess = np.zeros((2, MAX_LENGTHS), np.int64)
    _guess_lengths(times, OF_PRECODE, guess)
    top = PRECODES - 1
    while top > LEAST_HCLEN - 1 and guess[BY_ZLIB, PRECODE_ORDER[top]] == 0:
        top -= 1
    set_context(coder.keys, contexts.PRECODE_COUNT, top, ZERO, ZERO, ZERO)
    fields[HCLEN] = (
        code_number(coder, contexts.PRECODE_COUNT, HCLEN_BITS, fields[HCLEN] - LEAST_HCLEN) + LEAST_HCLEN
    )
    order = PRECODE_ORDER.copy()[: fields[HCLEN]]
    _code_lengths(times, guess, contexts.PRECODE_LENGTH, LENGTH_BITS_OF_PRECODE, precode, order, coder)
    total += 14 + 3 * fields[HCLEN]
    for n in range(PRECODES):
        if times[n]:
            if precode[n] == 0:
                return WRONG
            total += times[n] * precode[n]
    return total
