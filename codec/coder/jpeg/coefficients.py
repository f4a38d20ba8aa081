"""The decisions that say a JPEG's quantised coefficients, block by block, and what of a picture these do not
give. Knows a binary coder and arrays; no payloads, no files, and nothing of how coefficients are found.

A block: how many of its coefficients that are neither in its first row nor in its first column are not 0, and
these; the same of the first row and the first column, which are expected to go on smoothly from the block
above and the block to the left, as is, at last, the mean. Specified in docs/format/jpeg.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import BORROWING, compiled, inlined, internal
from codec.coder.counters import CAREFUL
from codec.coder.decisions import (
    CONTEXTS,
    BinaryCoder,
    Manner,
    Taught,
    binary_decoder,
    binary_encoder,
    bit_length,
    decide,
)
from codec.coder.jpeg import start
from codec.coder.jpeg.dct import COEFFICIENT_MAX, SIDE
from codec.coder.jpeg.start import NODES, SORTS

MANNER = Manner(0.005, CAREFUL)
# Sorts: of luma's blocks; those of colour differences have SORTS / 2 more. The last two are of all
# components.
COUNT, INNER, EDGE_COUNT, EDGE, MEAN, FLAG, DIFFERENCE = range(7)
EXPONENT_MAX = 12  # bits of a number's size
MOST = (1 << EXPONENT_MAX) - 1  # that can be said
BLOCKS_OF_BYTE = 16  # at most; a JPEG of quality 1 has more than a byte for two
WORDS_OF_NUMBER = 14  # most that one takes: 26 decisions of 17 bits
ROOT_2 = 1448  # times 1024


def _zigzag() -> list[int]:
    """Places of a block's coefficients, the lowest frequencies first (T.81, figure A.6)."""
    diagonals = [[(i, s - i) for i in range(8) if 0 <= s - i < 8] for s in range(15)]
    return [8 * y + x for s, places in enumerate(diagonals) for y, x in (places if s & 1 else places[::-1])]


ZIGZAG = tuple(_zigzag())
_INNER = np.array([k for k in ZIGZAG if k % 8 and k >= 8])  # neither first row nor first column


class Grid(NamedTuple):
    """The blocks of one component, with a row and a column of empty ones before them."""

    coefficients: np.ndarray  # int16 (m + 1, n + 1, 64), quantised
    counts: np.ndarray  # uint8 (m + 1, n + 1), inner ones that are not 0
    errors: np.ndarray  # int16 (m + 1, n + 1), mean less the expected one
    steps: np.ndarray  # int64 (64,), what coefficients are multiplied by


class Planes(NamedTuple):
    """A picture, and what coefficients give."""

    made: np.ndarray  # uint8 (h, w, c), what they give
    truth: np.ndarray  # uint8 (h, w, c)
    # uint8 (m + 1, n + 2), luma's blocks in which these differ, after a row and a column of none
    wrong: np.ndarray
    before: np.ndarray  # int16 (h + 1, w + 2, c), differences that are known, likewise


def new_planes(made: np.ndarray, truth: np.ndarray, blocks: tuple[int, int]) -> Planes:
    """Nothing is known to differ. blocks: rows and columns of luma's."""
    height, width, channels = truth.shape
    wrong = np.zeros((blocks[0] + 1, blocks[1] + 2), np.uint8)
    return Planes(made, truth, wrong, np.zeros((height + 1, width + 2, channels), np.int16))


def new_grid(rows: int, columns: int, steps: np.ndarray) -> Grid:
    """Nothing but zeros."""
    shape = rows + 1, columns + 1
    return Grid(
        np.zeros((*shape, 64), np.int16),
        np.zeros(shape, np.uint8),
        np.zeros(shape, np.int16),
        steps.astype(np.int64),
    )


EMPTY = new_grid(0, 0, np.ones(64, np.int64))


def least_bytes(count: int) -> int:
    """Bytes below which no words may be that say so many blocks: those of an empty picture could be, and
    would take far more time than their size allows.
    """
    return count // BLOCKS_OF_BYTE


def new_encoder(limit: int, numbers: int, taught: Taught | None = None) -> BinaryCoder:
    """limit: words after which the whole is worth nothing, as `is_full` says; numbers: how many are written
    at most before one asks; taught: what it goes on from, and changes, None: as all begin.
    """
    numbers += limit // WORDS_OF_NUMBER + 1
    return binary_encoder(
        start.load().copy() if taught is None else taught, WORDS_OF_NUMBER * numbers, MANNER
    )


def is_full(coder: BinaryCoder, limit: float) -> bool:
    """Whether an encoder has written more words than that."""
    return bool(coder.state[0, 2] > limit)


def new_decoder(data: bytes) -> BinaryCoder:
    return binary_decoder(start.load().copy(), data, MANNER)


@inlined(**BORROWING)
def _scale(number: Any) -> Any:
    """A number's size, twice as fine as its bits: 0 to 30."""
    if number < 4:
        return number
    bits = bit_length(number)
    return 2 * bits + ((number >> (bits - 2)) & 1) - 2


@inlined(**BORROWING)
def _near(number: Any, most: Any) -> Any:
    """A number of either sign as one of 2 most + 1."""
    return min(max(number, -most), most) + most


@inlined(**BORROWING)
def _set(keys: Any, j: Any, sort: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    """Context j of a sort of decision: four things that bear upon it, each below 64."""
    keys[j] = np.uint64((((((j + 1) * 32 + sort) * 64 + a) * 64 + b) * 64 + c) * 64 + d)


@internal(**BORROWING)
def _code_count(coder: Any, sort: Any, bits: Any, value: Any) -> Any:
    """A number of so many bits, the highest first, in the contexts that are set."""
    node = 1
    for place in range(bits - 1, -1, -1):
        row = sort * NODES + min(node, NODES - 1)
        node = 2 * node + decide(coder, node, row, (value >> place) & 1, 0.0)
    return node - (1 << bits)


@internal(**BORROWING)
def _code_value(coder: Any, sort: Any, value: Any, some: Any) -> Any:
    """A number of either sign, in the contexts that are set: whether it is 0, unless `some` says that it is
    not; its sign; the bits of its size, and these.
    """
    row = sort * NODES
    if not some and not decide(coder, 1, row, 1 if value != 0 else 0, 0.0):
        return 0
    negative = decide(coder, 2, row + 1, 1 if value < 0 else 0, 0.0)
    size = abs(value)
    bits = 1
    while bits < EXPONENT_MAX and decide(coder, 2 + bits, row + 1 + bits, 1 if size >> bits > 0 else 0, 0.0):
        bits += 1
    number = 1
    for place in range(bits - 2, -1, -1):
        node = 32 + 16 * bits + place
        high = place == bits - 2
        bit = decide(coder, node, row + (14 if high else 15), (size >> place) & 1, 0.0)
        number = 2 * number + bit
    return -number if negative else number


@internal(**BORROWING)
def _code_inner(coder: Any, grid: Any, twin: Any, other: Any, i: Any, j: Any, sort: Any, hint: Any) -> None:
    """The coefficients of a block that are neither in its first row nor in its first column. twin, other: the
    block of the same pixels and its count.
    """
    all_blocks, counts = grid.coefficients, grid.counts
    keys, block = coder.keys, all_blocks[i, j]
    above, left, corner = all_blocks[i - 1, j], all_blocks[i, j - 1], all_blocks[i - 1, j - 1]
    upper, before = np.int64(counts[i - 1, j]), np.int64(counts[i, j - 1])
    diagonal = np.int64(counts[i - 1, j - 1])
    around = _scale(2 * (upper + before) + diagonal)
    kind = sort + COUNT
    _set(keys, 0, kind, upper, before, 0, 0)
    _set(keys, 1, kind, (upper + before) >> 1, 0, 0, 0)
    _set(keys, 2, kind, upper, 0, other, 0)
    _set(keys, 3, kind, before, 0, other, 0)
    _set(keys, 4, kind, around, 0, 0, 0)
    _set(keys, 5, kind, around, other, 0, 0)
    _set(keys, 6, kind, hint, around, 0, 0)
    _set(keys, 7, kind, hint, other, 0, 0)
    _set(keys, 8, kind, _scale(upper), _scale(before), _scale(diagonal), 0)
    _set(keys, 9, kind, 0, 0, 0, 0)
    count = _code_count(coder, kind, 6, np.int64(counts[i, j]))
    counts[i, j] = count
    kind = sort + INNER
    rest = min(count, 49)
    for n in range(49):
        if rest == 0:
            break
        k = _INNER[n]
        a, b, c = np.int64(above[k]), np.int64(left[k]), np.int64(corner[k])
        o = np.int64(twin[k])
        nearby = _scale((13 * (abs(a) + abs(b)) + 6 * abs(c)) >> 3)
        ends = abs(np.int64(above[k - 8])) + abs(np.int64(above[k - 1]))
        ends += abs(np.int64(left[k - 8])) + abs(np.int64(left[k - 1]))
        up = abs(np.int64(block[k - 8])) if k >= 16 else 0
        back = abs(np.int64(block[k - 1])) if k % 8 > 1 else 0
        slant = abs(np.int64(block[k - 9])) if k >= 16 and k % 8 > 1 else 0
        lower = _scale(2 * (up + back) + slant)
        _set(keys, 0, kind, n, rest, 0, 0)
        _set(keys, 1, kind, n, nearby, _scale(rest), 0)
        _set(keys, 2, kind, n, min(abs(a), 7), min(abs(b), 7), 0)
        _set(keys, 3, kind, n, min(up, 7), min(back, 7), min(slant, 3))
        _set(keys, 4, kind, rest, nearby, lower, 0)
        _set(keys, 5, kind, n, lower, nearby, 0)
        _set(keys, 6, kind, n, _scale(ends), _scale(rest), 0)
        _set(keys, 7, kind, n, _near(o, 3), _scale(rest), 0)
        _set(keys, 8, kind, rest, 49 - n, lower, 0)
        _set(keys, 9, kind, n, _near(a, 2), _near(b, 2), _near(o, 2))
        block[k] = _code_value(coder, kind, np.int64(block[k]), rest == 49 - n)
        rest -= 1 if block[k] else 0


@inlined(**BORROWING)
def _some(block: Any, apart: Any) -> Any:
    """How many coefficients of a block's first row (apart 1) or column (8), but for the mean, are not 0."""
    count = 0
    for n in range(1, 8):
        count += 1 if block[apart * n] else 0
    return count


@inlined(**BORROWING)
def _goes_on(block: Any, beside: Any, steps: Any, k: Any, along: Any) -> Any:
    """What coefficient k of a block's first row (along 8), or first column (1), would be if along the border
    nothing changed between the block beside and this one: times its step, of which all others along it are
    known.
    """
    total = 0
    for n in range(1, 8):
        m = k + along * n
        theirs = beside[m] if n % 2 == 0 else -beside[m]
        total += (theirs - block[m]) * steps[m]
    return beside[k] * steps[k] + ((total * ROOT_2) >> 10)


@inlined(**BORROWING)
def _rounded(number: Any, step: Any) -> Any:
    """The multiple of a step that is nearest, in steps."""
    size = (2 * abs(number) + step) // (2 * step)
    return size if number >= 0 else -size


@internal(**BORROWING)
def _code_edge(coder: Any, grid: Any, twin: Any, i: Any, j: Any, sort: Any, along: Any) -> None:
    """The first row of a block (along 8: it goes on from the block above), or the first column (1), but for
    the mean.
    """
    all_blocks, steps = grid.coefficients, grid.steps
    keys, block = coder.keys, all_blocks[i, j]
    beside = all_blocks[i - 1, j] if along == 8 else all_blocks[i, j - 1]
    far = all_blocks[i, j - 1] if along == 8 else all_blocks[i - 1, j]
    apart = 1 if along == 8 else 8  # between places of the edge
    inner = _scale(np.int64(grid.counts[i, j]))
    side = 0 if along == 8 else 1
    known, theirs, twins = _some(beside, apart), _some(far, apart), _some(twin, apart)
    other_edge = _some(block, along) if side else 0
    kind = sort + EDGE_COUNT
    _set(keys, 0, kind, side, inner, 0, 0)
    _set(keys, 1, kind, side, inner, known, 0)
    _set(keys, 2, kind, side, inner, theirs, 0)
    _set(keys, 3, kind, side, known, theirs, 0)
    _set(keys, 4, kind, side, known, 0, 0)
    _set(keys, 5, kind, side, inner, twins, 0)
    _set(keys, 6, kind, side, known, theirs, inner)
    _set(keys, 7, kind, side, inner, other_edge, known)
    _set(keys, 8, kind, side, twins, known, 0)
    _set(keys, 9, kind, side, 0, 0, 0)
    rest = _code_count(coder, kind, 3, _some(block, apart))
    kind = sort + EDGE
    last = np.int64(0)
    for n in range(1, 8):
        if rest == 0:
            break
        k = apart * n
        place = 8 * side + n
        smooth = _goes_on(block, beside, steps, k, along)
        expected = _rounded(smooth, steps[k])
        finely = _rounded(4 * smooth, steps[k])
        a, b, o = np.int64(beside[k]), np.int64(far[k]), np.int64(twin[k])
        inside = abs(np.int64(block[k + along]))
        further = abs(np.int64(block[k + 2 * along]))
        _set(keys, 0, kind, place, rest, _scale(abs(expected)), 0)
        _set(keys, 1, kind, place, _near(expected, 15), 0, 0)
        _set(keys, 2, kind, place, _scale(abs(a) + abs(b)), _near(expected, 2), 0)
        _set(keys, 3, kind, place, inner, rest, _near(expected, 1))
        _set(keys, 4, kind, place, _scale(last), _near(expected, 4), 0)
        _set(keys, 5, kind, place, min(inside, 7), min(further, 3), _near(expected, 3))
        _set(keys, 6, kind, place, _near(finely, 31), 0, 0)
        _set(keys, 7, kind, place, _near(a, 3), _near(b, 3), _near(expected, 2))
        _set(keys, 8, kind, place, _near(o, 3), _near(expected, 3), 0)
        _set(keys, 9, kind, place, rest, 0, 0)
        block[k] = _code_value(coder, kind, np.int64(block[k]), rest == 8 - n)
        last = abs(np.int64(block[k]))
        rest -= 1 if block[k] else 0


@internal(**BORROWING)
def _code_mean(coder: Any, grid: Any, other: Any, i: Any, j: Any, sort: Any) -> None:
    """The mean of a block, less what is expected by its borders."""
    all_blocks, errors, steps = grid.coefficients, grid.errors, grid.steps
    keys, block = coder.keys, all_blocks[i, j]
    from_above = _goes_on(block, all_blocks[i - 1, j], steps, 0, 8)
    from_left = _goes_on(block, all_blocks[i, j - 1], steps, 0, 1)
    if i == 1:
        from_above = from_left
    if j == 1:
        from_left = from_above
    if i == 1 and j == 1:
        from_above = from_left = 0
    step = steps[0]
    expected = min(max(_rounded((from_above + from_left) >> 1, step), -COEFFICIENT_MAX), COEFFICIENT_MAX)
    apart = _rounded(from_above - from_left, step)
    above, left = np.int64(all_blocks[i - 1, j, 0]), np.int64(all_blocks[i, j - 1, 0])
    plane = above + left - np.int64(all_blocks[i - 1, j - 1, 0]) - expected
    upper, before = np.int64(errors[i - 1, j]), np.int64(errors[i, j - 1])
    count = _scale(np.int64(grid.counts[i, j]))
    kind = sort + MEAN
    spread = _scale(abs(apart))
    rough = _scale(abs(upper) + abs(before))
    _set(keys, 0, kind, spread, count, 0, 0)
    _set(keys, 1, kind, spread, rough, 0, 0)
    _set(keys, 2, kind, _near(apart, 20), 0, 0, 0)
    _set(keys, 3, kind, _near(plane, 20), 0, 0, 0)
    _set(keys, 4, kind, rough, count, 0, 0)
    _set(keys, 5, kind, _near(upper, 5), _near(before, 5), 0, 0)
    _set(keys, 6, kind, _near(other, 10), spread, 0, 0)
    _set(keys, 7, kind, _near(plane, 5), _near(apart, 5), count, 0)
    _set(keys, 8, kind, spread, rough, count, 0)
    _set(keys, 9, kind, 0, 0, 0, 0)
    error = _code_value(coder, kind, np.int64(block[0]) - expected, False)
    errors[i, j] = error
    block[0] = expected + error


@compiled(**BORROWING)
def code_row(coder: Any, grid: Any, twin: Any, luma: Any, place: Any, is_luma: Any, row: Any) -> None:
    """A row of blocks of one component, read or written.

    twin: the first difference, if this is the second; else an empty grid. luma: uint8 (m + 1, n + 1), counts
    of the first component. place: rows and columns of its blocks for one of a difference, and of those that
    there are before the first.
    """
    down, across, above, before = place
    i = row + 1
    sort = 0 if is_luma else SORTS // 2
    for j in range(1, grid.counts.shape[1]):
        hint = np.int64(0)
        if not is_luma:
            y, x = down * row - above + 1, across * (j - 1) - before + 1
            hint = np.int64(luma[min(max(y, 0), luma.shape[0] - 1), min(max(x, 0), luma.shape[1] - 1)])
        if not coder.decoding:
            count = 0
            for n in range(49):
                count += 1 if grid.coefficients[i, j, _INNER[n]] else 0
            grid.counts[i, j] = count
        y, x = (i, j) if twin.counts.size > 1 else (0, 0)
        same = twin.coefficients[y, x]
        _code_inner(coder, grid, same, np.int64(twin.counts[y, x]), i, j, sort, hint)
        _code_edge(coder, grid, same, i, j, sort, 8)
        _code_edge(coder, grid, same, i, j, sort, 1)
        _code_mean(coder, grid, np.int64(twin.errors[y, x]), i, j, sort)


@internal(**BORROWING)
def _code_difference(coder: Any, planes: Any, y: Any, x: Any) -> None:
    """A pixel less what was made of coefficients, channel by channel."""
    made, truth, _, before = planes
    keys = coder.keys
    height, width, channels = truth.shape
    edge = (1 if x == 0 else 0) + (2 if x == width - 1 else 0)
    edge += (4 if y == 0 else 0) + (8 if y == height - 1 else 0)
    first = second = np.int64(0)
    for step in range(channels):
        c = 0 if channels == 1 else (1, 0, 2)[step]
        left, above = np.int64(before[y + 1, x, c]), np.int64(before[y, x + 1, c])
        corner, ahead = np.int64(before[y, x, c]), np.int64(before[y, x + 2, c])
        rough = min(abs(left) + abs(above) + abs(corner) + abs(ahead), 20)
        value = np.int64(made[y, x, c])
        clip = 1 if value == 0 else 2 if value == 255 else 0
        kind = DIFFERENCE
        _set(keys, 0, kind, step, _near(first, 7), _near(second, 7), 0)
        _set(keys, 1, kind, step, _near(left, 7), _near(above, 7), 0)
        _set(keys, 2, kind, step, rough, edge, _near(first, 1))
        _set(keys, 3, kind, step, rough, _near(first, 3), _near(second, 3))
        _set(keys, 4, kind, step, clip, _near(first, 7), _near(second, 2))
        _set(keys, 5, kind, step, edge, _near(left, 7), _near(first, 3))
        _set(keys, 6, kind, step, edge, _near(above, 7), _near(first, 3))
        _set(keys, 7, kind, step, _near(left, 4), _near(above, 4), _near(first, 4))
        _set(keys, 8, kind, step, _near(corner, 4), _near(ahead, 4), rough)
        _set(keys, 9, kind, step, 0, 0, 0)
        # a byte's, so the nearest way around
        there = (np.int64(truth[y, x, c]) - value + 128) % 256 - 128
        off = _code_value(coder, kind, there, False)
        before[y + 1, x + 1, c] = off
        truth[y, x, c] = (value + off) & 255
        first, second = off, first


@compiled(**BORROWING)
def code_differences(coder: Any, counts: Any, planes: Any, top: Any, left: Any, row: Any) -> None:
    """Where a row of luma's blocks does not give the picture, and how far it is off: into planes.truth, or of
    it. counts: of luma's blocks; top, left: rows and columns of the first that are not in the picture.
    """
    made, truth, wrong, _ = planes
    keys = coder.keys
    height, width, channels = truth.shape
    rows, columns = counts.shape[0] - 1, counts.shape[1] - 1
    first, last = max(0, SIDE * row - top), min(height, SIDE * (row + 1) - top)
    for column in range(columns):
        start, end = max(0, SIDE * column - left), min(width, SIDE * (column + 1) - left)
        some = False
        if not coder.decoding:
            for y in range(first, last):
                for x in range(start, end):
                    for c in range(channels):
                        some = some or made[y, x, c] != truth[y, x, c]
        side = (1 if column == 0 else 0) + (2 if column == columns - 1 else 0)
        side += (4 if row == 0 else 0) + (8 if row == rows - 1 else 0)
        around = np.int64(wrong[row + 1, column]) + 2 * wrong[row, column + 1] + 4 * wrong[row, column + 2]
        count = _scale(np.int64(counts[row + 1, column + 1]))
        whole = 1 if (last - first) * (end - start) == SIDE**2 else 0
        light = np.int64(made[first, start, 0]) >> 4
        for j in range(CONTEXTS):
            _set(keys, j, FLAG, 0, 0, 0, 0)
        _set(keys, 0, FLAG, around, side, 0, 0)
        _set(keys, 1, FLAG, count, side, 0, 0)
        _set(keys, 2, FLAG, count, around, 0, 0)
        _set(keys, 3, FLAG, whole, around, 0, 0)
        _set(keys, 4, FLAG, light, around, 0, 0)
        _set(keys, 5, FLAG, light, count, 0, 0)
        _set(keys, 6, FLAG, side, whole, 0, 0)
        some = decide(coder, 1, FLAG * NODES, 1 if some else 0, 0.0)
        wrong[row + 1, column + 1] = some
        for y in range(first, last):
            for x in range(start, end):
                if some:
                    _code_difference(coder, planes, y, x)
                elif coder.decoding:
                    for c in range(channels):
                        truth[y, x, c] = made[y, x, c]
