"""What tells a deflate stream from what could be expected of its data: few bits where another compressor than
zlib did the usual. Knows bytes only.

Any stream of the format (RFC 1951) can be said; the better it is foreseen, the cheaper. The decoder has the
data, and finds in it the same matches as the encoder: nearest first, each longer than all before it
(*steps*). So it remains to say, block by block,

    how many tokens it has; of each, where a match could begin, whether it is one, by which step, and whether
    it is shorter than could be; of its codes, what their lengths are, given those that zlib would take for
    these tokens; in which runs these lengths are written.

All of it is decisions of `codec.text.prose`'s mixing coder, in contexts of which the best guess is one. Both
directions are one walk (`_code`): encoding, it reads the stream block by block; decoding, it writes it. What
is found is tried out by whoever packs it, and has a hash of the file beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ardm.compiled import compiled
from codec.coder.arithmetic import log
from codec.coder.decisions import CONTEXTS, decide, new_decisions
from codec.coder.rangecoder import exhausted, new_decoder, new_encoder, seal
from codec.errors import CorruptError
from codec.png.exact.deflate import (
    CODES,
    DISTANCE_BASE,
    DISTANCE_BITS,
    DISTANCES,
    END,
    FIXED_DISTANCES,
    FIXED_LENGTHS,
    HEAP,
    LENGTH_BASE,
    LENGTH_BITS,
    LENGTH_CODE,
    LITERALS,
    LONG,
    MAX_MATCH,
    MIN_MATCH,
    NO_LENGTHS,
    ORDER,
    ORDER_BITS,
    _distance_code,
    _send,
    _tree,
    count_tokens,
    send_tokens,
    send_trees,
)

MAX_BLOCKS = 1 << 16  # of a stream; what a small file can ask for is bounded
WINDOW = 32768
ALL = 255  # the places within all matches are known, and it is looked ahead
RING = 2 * WINDOW - 1  # places whose predecessors in their chains are known, less one
# bytes compared for each of the data, on average, after which only so many places are tried: time is bounded,
# whatever the data
EFFORT, HASTE = 1024, 16
SLOTS = 1 << 16  # counters of a context
ROOM = 4096  # words that an encoder must have left: more than a token and the codes of a block can take
STORED, OWN = 0, 2  # kinds of block; 1: the fixed codes
# what `_code` returns when there are no more words (or is no room for more), and for what is no stream
ENDED, DAMAGED = 1, 2
# Rows of the mixer's weights, and kinds of context: one for each sort of decision. NumPy's integers: Numba
# would compile a function anew for each of Python's.
(
    LAST,
    KIND,
    PADDING,
    SAME_COUNT,
    COUNT_BITS,
    COUNT,
    HIDDEN,
    STEP,
    FULL,
    SHORTER,
    FAR_LENGTH,
    FAR_BITS,
    FAR,
    ALIAS,
    LITERALS_TOP,
    DISTANCES_TOP,
    ORDER_TOP,
) = np.arange(17)
OF_LITERALS, OF_DISTANCES, OF_ORDER, REPEAT, AMOUNT, MATCH = np.arange(17, 23)
ROWS = 96
INT = np.arange(17)
SIZES = np.array([CODES, DISTANCES, 19, LITERALS + 1])


@compiled(error_model="numpy")
def _context(keys: Any, kind: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    """The contexts of a decision, of four things that bear upon it: combinations of these. Each below
    1024.
    """
    a, b, c, d = a + 1 << 0, b + 1 << 11, c + 1 << 22, d + 1 << 33
    parts = (0, a, b, c, d, a + b, a + c, a + d, a + b + c, a + b + c + d)
    for j in range(CONTEXTS):
        keys[j] = np.uint64(parts[j] + (kind << 44) + (j << 50))


@compiled(error_model="numpy")
def _number(
    value: Any, bits: Any, kind: Any, keys: Any, model: Any, coder: Any, words: Any, decoding: Any
) -> Any:
    """Code a number of so many bits, the highest first."""
    node = 1
    for place in range(bits - 1, -1, -1):
        node = 2 * node + decide(node, kind, (value >> place) & 1, 0.0, keys, model, coder, words, decoding)
    return node - (1 << bits)


@compiled(error_model="numpy")
def _spent(coder: Any, words: Any, decoding: Any) -> bool:
    """Has a decoder read more words than there are, and than a seal leaves out? Has an encoder no room for
    more?
    """
    return np.int64(coder[0, 2]) > words.shape[1] + (1 if decoding else -ROOM)


# ---- matches -----------------------------------------------------------------------------------------------


@compiled(error_model="numpy")
def _insert(raw: Any, at: Any, head: Any, before: Any) -> Any:
    """Make the three bytes here known; returns where they, or others with the same key, were last, or -1."""
    if at + MIN_MATCH > raw.size:
        return -1
    key = (
        (np.int64(raw[at]) | np.int64(raw[at + 1]) << 8 | np.int64(raw[at + 2]) << 16) * 0x9E3779B1 >> 16
    ) & 65535
    first = head[key]
    before[at & RING] = first
    head[key] = at
    return first


@compiled(error_model="numpy")
def _look(raw: Any, at: Any, links: Any, head: Any, before: Any, steps: Any, found: Any) -> Any:
    """Find the steps at a place after all before it. Returns how many bytes were compared. steps: int64 (4,
    2, 258), lengths and distances by the last two bits of the place; found: int64 (4, 2): their number, and
    whether there may be others.
    """
    s, count, best, cut, work = at & 3, 0, MIN_MATCH - 1, 0, 0
    most = min(MAX_MATCH, raw.size - at)
    place = _insert(raw, at, head, before)
    while place >= 0 and at - place <= WINDOW:
        if links == 0:
            cut = 1
            break
        links -= 1
        work += 1
        if raw[place + best] == raw[at + best]:
            length = 0
            while length < most and raw[place + length] == raw[at + length]:
                length += 1
            work += length
            if length > best:
                steps[s, 0, count], steps[s, 1, count] = length, at - place
                count += 1
                best = length
                if best == most:
                    break
        place = before[place & RING]
    found[s, 0], found[s, 1] = count, cut
    return work


@compiled(error_model="numpy", inline="always")
def _bucket(length: Any) -> Any:
    """0 to 22 for a length."""
    return (
        length
        if length <= 16
        else 17
        if length <= 24
        else 18
        if length <= 32
        else 19
        if length <= 64
        else 20
        if length <= 128
        else 21
        if length < 258
        else 22
    )


@compiled(error_model="numpy", inline="always")
def _size(number: Any) -> Any:
    """Bits of a number."""
    bits = 0
    while number >> bits > 0:
        bits += 1
    return bits


# ---- tokens ------------------------------------------------------------------------------------------------

# What is known of the tokens so far: the next place to look at; which of them were matches; the longest match
# that the last literal was preferred to; which steps were taken; which matches were as long as could be;
# whether the last of 258 bytes was coded as LONG; the longest match here, and at the next place; bytes
# compared.
PLACE, HISTORY, PASSED, TAKEN, WHOLE, ALIASED, LONGEST, NEXT, WORK = range(9)


@compiled(error_model="numpy")
def _foresee(raw: Any, at: Any, steps: Any, found: Any, memory: Any, times: Any, keys: Any) -> Any:
    """Put the contexts in which to decide whether there is a match into keys; returns the row of the mixer.
    There is a step at least.
    """
    s, following, later = at & 3, (at + 1) & 3, (at + 2) & 3
    history, longest, next_longest = memory[HISTORY], memory[LONGEST], memory[NEXT]
    reach = steps[s, 1, found[s, 0] - 1]
    later_longest = steps[later, 0, found[later, 0] - 1] if at + 2 < memory[PLACE] and found[later, 0] else 0
    # What the literals cost more than the match, by what there was so far.
    code, symbol = _distance_code(reach - 1), LENGTH_CODE[longest - MIN_MATCH]
    total = log(times[0, 511] + 286.0)
    gain = (
        log(times[0, LITERALS + 1 + symbol] + 1.0)
        - total
        + log(times[1, code] + 1.0)
        - log(times[1, 511] + 30.0)
    )
    gain -= 0.7 * (LENGTH_BITS[symbol] + DISTANCE_BITS[code])
    for i in range(min(longest, 12)):
        gain += total - log(times[0, raw[at + i]] + 1.0)
    value = min(max(int(gain * 2.0 + 16.0), 0), 63)
    closer = min(max(next_longest - longest, -3), 3) + 3
    much_later = min(max(later_longest - longest, -3), 3) + 3
    same = int(next_longest > 0 and steps[following, 1, found[following, 0] - 1] == reach)
    size, bits, short = _bucket(longest), _size(reach), min(longest, 15)
    parts = (
        (size * 7 + closer) * 7 + much_later,
        value * 7 + closer,
        (short * 17 + bits) * 7 + closer,
        (history & 15) * 32 + size,
        (value * 16 + short) * 17 + bits,
        (size * 32 + _bucket(next_longest)) * 32 + _bucket(later_longest),
        (size * 7 + closer) * 8 + same * 4 + min(found[s, 0], 3),
        np.int64(raw[at]) * 32 + size,
        (value * 7 + much_later) * 4 + (history & 3),
        (longest * 32 + _bucket(memory[PASSED])) * 7 + closer,
    )
    for j in range(CONTEXTS):
        keys[j] = np.uint64(parts[j] + (MATCH << 44) + (j << 50))
    return MATCH + 2 * size + int(closer > 3)


@compiled(error_model="numpy")
def _match(
    s: Any,
    distance: Any,
    length: Any,
    steps: Any,
    found: Any,
    memory: Any,
    keys: Any,
    model: Any,
    coder: Any,
    words: Any,
    decoding: Any,
) -> Any:
    """Code a match at a place with so many in the last two bits. Returns (distance, length, most that it can
    be).
    """
    number = found[s, 0]
    chosen, most = number - 1, np.int64(MAX_MATCH)
    near: Any = np.int64(MIN_MATCH - 1)
    while chosen >= 0:
        near = steps[s, 0, chosen - 1] if chosen else MIN_MATCH - 1
        nearer = steps[s, 1, chosen - 1] if chosen else 0
        by = min(number - 1 - chosen, 3) * 4 + min(chosen, 3)
        shape = _bucket(steps[s, 0, chosen]) * 8 + min(steps[s, 0, chosen] - near, 7)
        _context(keys, STEP, by, memory[TAKEN], shape, _size(steps[s, 1, chosen]) * 17 + _size(nearer))
        if decide(
            INT[1], STEP, int(distance == steps[s, 1, chosen]), 0.0, keys, model, coder, words, decoding
        ):
            break
        chosen -= 1
    memory[TAKEN] = memory[TAKEN] << 2 & 63 | (
        3 if chosen < 0 else 0 if chosen == number - 1 else 1 if chosen == 0 else 2
    )
    if chosen >= 0:
        distance, most = steps[s, 1, chosen], steps[s, 0, chosen]
        if most == MIN_MATCH:
            return distance, most, most
        _context(
            keys,
            FULL,
            _bucket(most),
            memory[WHOLE],
            int(chosen == number - 1) * 8 + min(most - near, 7),
            _bucket(memory[NEXT]),
        )
        full = decide(INT[1], FULL, int(length == most), 0.0, keys, model, coder, words, decoding)
        memory[WHOLE] = memory[WHOLE] << 1 & 15 | full
        if full:
            return distance, most, most
        _context(keys, SHORTER, _bucket(most), min(most - near, 15), INT[0], INT[0])
        return (
            distance,
            most - 1 - _number(most - 1 - length, INT[8], SHORTER, keys, model, coder, words, decoding),
            most,
        )
    _context(keys, FAR_LENGTH, _bucket(memory[LONGEST]), INT[0], INT[0], INT[0])
    length = _number(length - MIN_MATCH, INT[8], FAR_LENGTH, keys, model, coder, words, decoding) + MIN_MATCH
    _context(keys, FAR_BITS, _bucket(length), INT[0], INT[0], INT[0])
    bits = _number(_size(distance - 1), INT[4], FAR_BITS, keys, model, coder, words, decoding)
    _context(keys, FAR, bits, INT[0], INT[0], INT[0])
    top = max(bits - 1, 0)
    low = _number((distance - 1) & (1 << top) - 1, top, FAR, keys, model, coder, words, decoding)
    return low + (1 << top if bits else 0) + 1, length, most


@compiled(error_model="numpy")
def _tokens(
    raw: Any,
    at: Any,
    count: Any,
    last: Any,
    distances: Any,
    values: Any,
    links: Any,
    dense: Any,
    head: Any,
    before: Any,
    steps: Any,
    found: Any,
    memory: Any,
    times: Any,
    keys: Any,
    model: Any,
    coder: Any,
    words: Any,
    decoding: Any,
) -> Any:
    """Code the tokens of a block that begins at a place: `count`, or, in the last block, all that are left.
    Returns (place after them, number), number -1 for what cannot be. memory: int64 (9,); times: int64 (2,
    512), how often there were literals and lengths, and distances, and, last, the sums.
    """
    n = 0
    ahead = 2 if dense == ALL else 0
    while at < raw.size if last else n < count:
        if at >= raw.size or _spent(coder, words, decoding):
            return at, -1
        while memory[PLACE] <= min(at + ahead, raw.size - 1):  # places whose matches are wanted now
            hasty = memory[WORK] > EFFORT * (memory[PLACE] + WINDOW)
            memory[WORK] += _look(
                raw, memory[PLACE], min(links, HASTE) if hasty else links, head, before, steps, found
            )
            memory[PLACE] += 1
        s, following = at & 3, (at + 1) & 3
        memory[LONGEST] = steps[s, 0, found[s, 0] - 1] if found[s, 0] else 0
        memory[NEXT] = (
            steps[following, 0, found[following, 0] - 1]
            if at + 1 < memory[PLACE] and found[following, 0]
            else 0
        )
        match = int(distances[n] > 0 and not decoding)
        if found[s, 0]:
            row = _foresee(raw, at, steps, found, memory, times, keys)
            match = decide(INT[1], row, match, 0.0, keys, model, coder, words, decoding)
        elif found[s, 1] or dense != ALL:  # there may be one all the same
            _context(keys, HIDDEN, memory[HISTORY], INT[0], INT[0], INT[0])
            match = decide(INT[1], HIDDEN, match, 0.0, keys, model, coder, words, decoding)
        elif match:
            return at, -1
        memory[HISTORY] = memory[HISTORY] << 1 & 15 | match
        memory[PASSED] = 0 if match else memory[LONGEST]
        length = np.int64(1)
        if match:
            alias = int(values[n] == LONG)
            given = MAX_MATCH if alias else np.int64(values[n]) + MIN_MATCH
            distance, length, most = _match(
                s, np.int64(distances[n]), given, steps, found, memory, keys, model, coder, words, decoding
            )
            if length < MIN_MATCH or length > min(most, raw.size - at) or distance > at:
                return at, -1
            if length == MAX_MATCH:
                _context(keys, ALIAS, memory[ALIASED], INT[0], INT[0], INT[0])
                memory[ALIASED] = decide(INT[1], ALIAS, alias, 0.0, keys, model, coder, words, decoding)
            distances[n], values[n] = (
                distance,
                LONG if length == MAX_MATCH and memory[ALIASED] else length - MIN_MATCH,
            )
            times[0, LITERALS + 1 + LENGTH_CODE[length - MIN_MATCH]] += 1
            times[1, _distance_code(distance - 1)] += 1
            times[1, 511] += 1
        else:
            distances[n], values[n] = 0, raw[at]
            times[0, raw[at]] += 1
        times[0, 511] += 1
        n += 1
        at += length
        while memory[PLACE] < at and (dense == ALL or length <= dense):
            _insert(raw, memory[PLACE], head, before)
            memory[PLACE] += 1
        memory[PLACE] = max(memory[PLACE], at)
    return at, n


# ---- trees -------------------------------------------------------------------------------------------------


@compiled(error_model="numpy")
def _expected(
    times: Any, size: Any, fixed: Any, extra: Any, extra_from: Any, longest: Any, guess: Any
) -> Any:
    """The lengths of codes that zlib would take, and the same, ordered as others do: rarer symbols, and
    earlier ones of these, have longer codes.

    guess: int64 (2, 320), written. Returns the last symbol of zlib's. times: int64 (HEAP,), kept.
    """
    lengths, top, _, _ = _tree(times.copy(), size, fixed, extra, extra_from, longest)
    counts = np.zeros(16, np.int64)
    for n in range(size):
        guess[0, n], guess[1, n] = lengths[n], 0
        counts[lengths[n]] += times[n] > 0
    for n in range(size):
        if times[n]:
            rank = 0  # among those that have longer codes
            for m in range(size):
                rank += times[m] > 0 and (times[m] < times[n] or (times[m] == times[n] and m < n))
            bits = longest
            while bits > 1 and rank >= counts[bits]:
                rank -= counts[bits]
                bits -= 1
            guess[1, n] = bits
    return top


@compiled(error_model="numpy")
def _lengths(
    times: Any,
    guess: Any,
    kind: Any,
    bits: Any,
    size: Any,
    lengths: Any,
    start: Any,
    order: Any,
    keys: Any,
    model: Any,
    coder: Any,
    words: Any,
    decoding: Any,
) -> None:
    """Code the lengths of `size` symbols, lengths[start:], of so many bits each, in an order of symbols."""
    recent = np.zeros(16, np.int64)
    previous = older = 0
    for i in range(size):
        n = order[i]
        one, other = guess[0, n], guess[1, n]
        _context(keys, kind, one * 16 + other, previous * 16 + older, min(times[n], 1023), recent[other])
        lengths[start + n] = _number(lengths[start + n], bits, kind, keys, model, coder, words, decoding)
        older, previous = previous, lengths[start + n]
        recent[other] = previous


@compiled(error_model="numpy")
def _fixed(lengths: Any) -> None:
    """The lengths of the fixed codes."""
    for n in range(FIXED_LENGTHS.size):
        lengths[n] = FIXED_LENGTHS[n]
    for n in range(DISTANCES):
        lengths[FIXED_LENGTHS.size + n] = FIXED_DISTANCES[n]


@compiled(error_model="numpy")
def _trees(
    distances: Any,
    values: Any,
    count: Any,
    block: Any,
    lengths: Any,
    order: Any,
    runs: Any,
    keys: Any,
    model: Any,
    coder: Any,
    words: Any,
    decoding: Any,
) -> Any:
    """Code the codes of a block. block: int64 (8,), as of `_parse`; lengths: int64 (640,), of literals and
    then distances; order: int64 (19,); runs: int64 (640, 2). Returns the bits that the block takes without
    its head, or -1 for what cannot be.
    """
    times, others = np.zeros(HEAP, np.int64), np.zeros(HEAP, np.int64)
    count_tokens(distances, values, count, times, others)
    fixed = block[1] != OWN
    total = 0
    if fixed:
        block[3], block[4] = FIXED_LENGTHS.size, DISTANCES
        _fixed(lengths)
    else:
        guess, more = np.zeros((2, 320), np.int64), np.zeros((2, 320), np.int64)
        top = _expected(times, SIZES[0], FIXED_LENGTHS, LENGTH_BITS, SIZES[3], INT[15], guess)
        more_top = _expected(others, SIZES[1], FIXED_DISTANCES, DISTANCE_BITS, INT[0], INT[15], more)
        _context(keys, LITERALS_TOP, top, INT[0], INT[0], INT[0])
        block[3] = _number(block[3] - 257, INT[5], LITERALS_TOP, keys, model, coder, words, decoding) + 257
        _context(keys, DISTANCES_TOP, more_top, INT[0], INT[0], INT[0])
        block[4] = _number(block[4] - 1, INT[5], DISTANCES_TOP, keys, model, coder, words, decoding) + 1
        if block[3] > CODES or block[4] > DISTANCES:
            return -1
        ascending = np.arange(CODES)
        _lengths(
            times,
            guess,
            OF_LITERALS,
            INT[4],
            block[3],
            lengths,
            INT[0],
            ascending,
            keys,
            model,
            coder,
            words,
            decoding,
        )
        _lengths(
            others,
            more,
            OF_DISTANCES,
            INT[4],
            block[4],
            lengths,
            block[3],
            ascending,
            keys,
            model,
            coder,
            words,
            decoding,
        )
        n = used = last = 0
        size = block[3] + block[4]
        while n < size:
            value, run = lengths[n], 1
            while n + run < size and lengths[n + run] == value:
                run += 1
            edge = min(run, block[3] - n) if n < block[3] else run
            again = int(n > 0 and lengths[n - 1] == value)
            symbol, amount = runs[used, 0], 1
            if run >= 3 and (again or value == 0):
                _context(keys, REPEAT, int(value > 0) * 2 + again, min(run, 150), min(edge, 150), last)
                repeated = decide(INT[1], REPEAT, int(symbol > 15), 0.0, keys, model, coder, words, decoding)
                if repeated:
                    of_zeros = int(value == 0)
                    if again and of_zeros:
                        of_zeros = decide(
                            INT[2], REPEAT, int(symbol > 16), 0.0, keys, model, coder, words, decoding
                        )
                    most = min(run, 138 if of_zeros else 6)
                    amount = runs[used, 1] + (11 if symbol == 18 else 3)
                    if decide(INT[3], REPEAT, int(amount == most), 0.0, keys, model, coder, words, decoding):
                        amount = most
                    else:
                        _context(keys, AMOUNT, of_zeros, min(run, 150), min(edge, 150), last)
                        amount = _number(amount - 3, INT[8], AMOUNT, keys, model, coder, words, decoding) + 3
                    if amount > most:
                        return -1
                    symbol = 16 if not of_zeros else 17 if amount <= 10 else 18
                else:
                    symbol = value
            else:
                symbol = value
            runs[used, 0], runs[used, 1] = symbol, 0 if symbol < 16 else amount - (11 if symbol == 18 else 3)
            used += 1
            n += amount
            last = symbol
        block[6] = used
        order_times = np.zeros(HEAP, np.int64)
        for i in range(used):
            order_times[runs[i, 0]] += 1
            total += ORDER_BITS[runs[i, 0]]
        _expected(order_times, SIZES[2], NO_LENGTHS, ORDER_BITS, INT[0], INT[7], guess)
        top = 18
        while top > 3 and guess[0, ORDER[top]] == 0:
            top -= 1
        _context(keys, ORDER_TOP, top, INT[0], INT[0], INT[0])
        block[5] = _number(block[5] - 4, INT[4], ORDER_TOP, keys, model, coder, words, decoding) + 4
        _lengths(
            order_times,
            guess,
            OF_ORDER,
            INT[3],
            block[5],
            order,
            INT[0],
            ORDER.copy(),
            keys,
            model,
            coder,
            words,
            decoding,
        )
        total += 14 + 3 * block[5]
        for n in range(19):
            if order_times[n] and order[n] == 0:
                return -1
            total += order_times[n] * order[n]
    for n in range(CODES):
        if times[n]:
            if n >= block[3] or lengths[n] == 0:
                return -1
            total += times[n] * (lengths[n] + (LENGTH_BITS[n - LITERALS - 1] if n > LITERALS else 0))
    for n in range(DISTANCES):
        if others[n]:
            if n >= block[4] or lengths[block[3] + n] == 0:
                return -1
            total += others[n] * (lengths[block[3] + n] + DISTANCE_BITS[n])
    return total


# ---- the stream as bits ------------------------------------------------------------------------------------


@compiled(error_model="numpy")
def _take(stream: Any, reader: Any, count: Any) -> Any:
    """Bits, the first lowest. reader: int64 (2,): place of the next, whether there were too few."""
    value = 0
    for i in range(count):
        if reader[0] >= 8 * stream.size:
            reader[1] = 1
            return 0
        value |= (np.int64(stream[reader[0] >> 3]) >> (reader[0] & 7) & 1) << i
        reader[0] += 1
    return value


@compiled(error_model="numpy")
def _arrange(lengths: Any, size: Any, table: Any) -> None:
    """table: int64 (16 + 320,), how many codes there are of each length, then the symbols in the order of
    their codes.
    """
    table[:16] = 0
    for n in range(size):
        table[lengths[n]] += 1
    table[0] = 0
    starts = np.zeros(17, np.int64)
    for bits in range(1, 16):
        starts[bits + 1] = starts[bits] + table[bits]
    for n in range(size):
        if lengths[n]:
            table[16 + starts[lengths[n]]] = n
            starts[lengths[n]] += 1


@compiled(error_model="numpy")
def _symbol(stream: Any, reader: Any, table: Any) -> Any:
    """The next symbol, or -1."""
    code = first = index = 0
    for bits in range(1, 16):
        code |= _take(stream, reader, INT[1])
        count = table[bits]
        if code - first < count:
            return table[16 + index + code - first]
        index += count
        first = first + count << 1
        code <<= 1
    return -1


@compiled(error_model="numpy")
def _parse(
    stream: Any,
    reader: Any,
    left: Any,
    distances: Any,
    values: Any,
    block: Any,
    lengths: Any,
    order: Any,
    runs: Any,
) -> bool:
    """Read a block: block (last, kind, tokens or bytes, three numbers of codes, runs, padding) and what else
    `_trees` takes. left: bytes of data there can be. Whether it was one.
    """
    block[0], block[1] = _take(stream, reader, INT[1]), _take(stream, reader, INT[2])
    literal, distance = np.zeros(16 + 320, np.int64), np.zeros(16 + 320, np.int64)
    if block[1] == STORED:
        block[7] = _take(stream, reader, -reader[0] & 7)
        block[2] = _take(stream, reader, INT[16])
        same = _take(stream, reader, INT[16]) ^ block[2] == 65535
        reader[0] += 8 * block[2]
        return same and block[2] <= left and reader[0] <= 8 * stream.size and not reader[1]
    if block[1] > OWN:
        return False
    block[3], block[4] = FIXED_LENGTHS.size, DISTANCES
    if block[1] == OWN:
        block[3], block[4], block[5] = (
            _take(stream, reader, INT[5]) + 257,
            _take(stream, reader, INT[5]) + 1,
            _take(stream, reader, INT[4]) + 4,
        )
        if block[3] > CODES or block[4] > DISTANCES:
            return False
        order[:] = 0
        for i in range(block[5]):
            order[ORDER[i]] = _take(stream, reader, INT[3])
        _arrange(order, 19, literal)
        n = used = 0
        size = block[3] + block[4]
        while n < size:
            symbol = _symbol(stream, reader, literal)
            if symbol < 0 or reader[1]:
                return False
            runs[used, 0], runs[used, 1] = symbol, _take(stream, reader, ORDER_BITS[symbol])
            amount = 1 if symbol < 16 else runs[used, 1] + (11 if symbol == 18 else 3)
            if n + amount > size or (symbol == 16 and n == 0):
                return False
            value = symbol if symbol < 16 else lengths[n - 1] if symbol == 16 else 0
            for _ in range(amount):
                lengths[n] = value
                n += 1
            used += 1
        block[6] = used
    else:
        _fixed(lengths)
    _arrange(lengths, block[3], literal)
    _arrange(lengths[block[3] :], block[4], distance)
    n = 0
    while True:
        symbol = _symbol(stream, reader, literal)
        if symbol == END:
            break
        if symbol < 0 or symbol > END + 29 or left <= 0 or reader[1]:
            return False
        if symbol < END:
            distances[n], values[n] = 0, symbol
            left -= 1
        else:
            code = symbol - END - 1
            length = LENGTH_BASE[code] + _take(stream, reader, LENGTH_BITS[code])
            values[n] = LONG if length == MAX_MATCH - MIN_MATCH and code == 27 else length
            code = _symbol(stream, reader, distance)
            if code < 0 or code >= DISTANCES:
                return False
            distances[n] = DISTANCE_BASE[code] + 1 + _take(stream, reader, DISTANCE_BITS[code])
            left -= length + MIN_MATCH
        n += 1
    block[2] = n
    return left >= 0 and not reader[1]


# ---- both directions ---------------------------------------------------------------------------------------


@compiled(error_model="numpy")
def _code(
    raw: Any, stream: Any, links: Any, dense: Any, model: Any, coder: Any, words: Any, decoding: Any
) -> Any:
    """Code a stream, uint8, with the data, uint8: read it, or, when decoding, write it. Returns 0, ENDED or
    DAMAGED.
    """
    keys = np.zeros(CONTEXTS, np.uint64)
    head, before = np.full(65536, -1, np.int64), np.zeros(RING + 1, np.int64)
    steps, found = np.zeros((4, 2, MAX_MATCH), np.int64), np.zeros((4, 2), np.int64)
    memory, times = np.zeros(9, np.int64), np.zeros((2, 512), np.int64)
    block, lengths, order, runs = (
        np.zeros(8, np.int64),
        np.zeros(640, np.int64),
        np.zeros(19, np.int64),
        np.zeros((640, 2), np.int64),
    )
    distances, values = np.zeros(raw.size + 1, np.uint16), np.zeros(raw.size + 1, np.uint16)
    state, reader = np.zeros(3, np.int64), np.zeros(2, np.int64)
    at = last = kind = size = 0
    for _ in range(MAX_BLOCKS):
        if _spent(coder, words, decoding):
            return ENDED
        if decoding:
            order[:] = 0
        elif not _parse(stream, reader, raw.size - at, distances, values, block, lengths, order, runs):
            return DAMAGED
        _context(keys, LAST, kind, INT[0], INT[0], INT[0])
        last = block[0] = decide(INT[1], LAST, block[0], 0.0, keys, model, coder, words, decoding)
        _context(keys, KIND, kind, last, INT[0], INT[0])
        kind = block[1] = _number(block[1], INT[2], KIND, keys, model, coder, words, decoding)
        if kind > OWN:
            return DAMAGED
        if kind == STORED:
            _context(keys, PADDING, INT[0], INT[0], INT[0], INT[0])
            block[7] = _number(block[7], INT[7], PADDING, keys, model, coder, words, decoding)
        if kind == STORED or not last:
            _context(keys, SAME_COUNT, kind, last, INT[0], INT[0])
            if decide(INT[1], SAME_COUNT, int(block[2] == size), 0.0, keys, model, coder, words, decoding):
                block[2] = size
            else:
                _context(keys, COUNT_BITS, kind, INT[0], INT[0], INT[0])
                bits = _number(_size(block[2]), INT[5], COUNT_BITS, keys, model, coder, words, decoding)
                _context(keys, COUNT, kind, bits, INT[0], INT[0])
                block[2] = _number(block[2], bits, COUNT, keys, model, coder, words, decoding)
            size = block[2]
            if size > raw.size - at or (kind == STORED and size > 65535):
                return DAMAGED
        if kind == STORED:
            if decoding:
                if state[2] + (state[1] + 3 + 7 >> 3) + 4 + size > stream.size:
                    return DAMAGED
                _send(stream, state, last, 3)
                gap = -state[1] & 7
                _send(stream, state, block[7] & (1 << gap) - 1, gap)
                _send(stream, state, size, 16)
                _send(stream, state, 65535 - size, 16)
                for i in range(size):
                    stream[state[2] + i] = raw[at + i]
                state[2] += size
            at += size
            while memory[PLACE] < at:
                _insert(raw, memory[PLACE], head, before)
                memory[PLACE] += 1
        else:
            at, count = _tokens(
                raw,
                at,
                block[2],
                last,
                distances,
                values,
                links,
                dense,
                head,
                before,
                steps,
                found,
                memory,
                times,
                keys,
                model,
                coder,
                words,
                decoding,
            )
            if count < 0:
                return ENDED
            total = _trees(
                distances, values, count, block, lengths, order, runs, keys, model, coder, words, decoding
            )
            if total < 0:
                return DAMAGED
            if decoding:
                if state[2] + (state[1] + 3 + total + 7 >> 3) > stream.size:
                    return DAMAGED
                _send(stream, state, last + 2 * kind, 3)
                if kind == OWN:
                    send_trees(block[3], block[4], block[5], order, runs, block[6], stream, state)
                send_tokens(
                    distances,
                    values,
                    count,
                    lengths[: block[3]],
                    lengths[block[3] : block[3] + block[4]],
                    stream,
                    state,
                )
        if last:
            break
    if not last or at != raw.size:
        return DAMAGED
    gap = (-state[1] if decoding else -reader[0]) & 7
    _context(keys, PADDING, INT[1], INT[0], INT[0], INT[0])
    padding = _number(
        0 if decoding else _take(stream, reader, gap), INT[7], PADDING, keys, model, coder, words, decoding
    )
    if decoding:
        if gap:
            _send(stream, state, padding & (1 << gap) - 1, gap)
        return 0 if state[2] == stream.size else DAMAGED
    return 0 if reader[0] == 8 * stream.size else DAMAGED


def encode(raw: bytes, stream: bytes, links: int, dense: int) -> bytes | None:
    """What tells a deflate stream of these data from the expected, a range coder's words, little-endian; None
    if it is none, or if that would take more than the stream itself. links: most earlier places to compare
    each place with; dense: of no longer matches are places within known for later ones, or ALL.
    """
    state, words = new_encoder(), np.empty((1, len(stream) // 4 + ROOM), dtype=np.uint32)
    with np.errstate(over="ignore"):  # hashes wrap around; only uncompiled code notices
        failed = _code(
            np.frombuffer(raw, np.uint8),
            np.frombuffer(stream, np.uint8).copy(),
            links,
            dense,
            new_decisions(SLOTS, ROWS),
            state,
            words,
            False,
        )
    return None if failed else seal(state[0], words[0])


def decode(data: bytes, raw: bytes, size: int, links: int, dense: int) -> bytes:
    """Inverse of `encode`. size: of the stream, bytes. Raises CorruptError."""
    if len(data) % 4:
        raise CorruptError(
            f"the difference of a PNG's compressed data has {len(data)} bytes, expected a multiple of 4."
        )
    (state, words), stream = new_decoder(data), np.zeros(size, dtype=np.uint8)
    with np.errstate(over="ignore"):
        failed = _code(
            np.frombuffer(raw, np.uint8), stream, links, dense, new_decisions(SLOTS, ROWS), state, words, True
        )
    if failed or not exhausted(state[0]):
        raise CorruptError("the difference of a PNG's compressed data does not fit its pixels.")
    return stream.tobytes()
