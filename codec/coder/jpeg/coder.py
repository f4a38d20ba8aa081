"""The coder of planes that were decoded from a JPEG: the JPEG's quantised coefficients, and what of the plane
these do not give. Knows planes and payloads; `codec.coder.jpeg.origin` finds coefficients,
`codec.coder.jpeg.coefficients` codes them, no network is asked.

Specified in docs/format/jpeg.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from codec.coder.decisions import BinaryCoder, Taught
from codec.coder.jpeg import coefficients as blocks
from codec.coder.jpeg import dct, start
from codec.coder.jpeg.coefficients import Grid
from codec.coder.jpeg.dct import SIDE, Layout
from codec.coder.jpeg.origin import Origin, all_shown, colours, find
from codec.coder.jpeg.steps import quality_of, standard_steps
from codec.coder.schedule import Schedule
from codec.coder.words import check_words, made_up
from codec.coder.work import Shape, Work
from codec.errors import CorruptError, TruncatedError

# the format's: rows and columns of pixels that share a difference's sample
SAMPLINGS = (1, 1), (1, 2), (2, 2)
OWN, SAME = 0, 101  # of a table: its steps follow; it is the one before. Between them, a quality
OVERLAP = 1  # rows of pixels that depend on differences' next row of blocks, too
DIGEST = "fdde4cd423c6ca32"  # of what `check_compiled` makes
LARGE, SMALL = 16, 4096  # times the bytes of a plane, and words: a payload that is larger is worth nothing
# Share of pixels that coefficients may not give. Of JPEGs up to quality 97 it is less, of some AVIFs, whose
# colours and blocks are like theirs, 0.09 to 0.23.
SURE = 0.06
LIGHT = 0.2  # and bytes of a value, lest noise be said by coefficients whose steps are 1
SPARE = 2  # random words for a pixel, should the data be cut short


class JpegCoder:
    """A `codec.coder.work.PlaneCoder` of uint8 planes (h, w, 1 or 3)."""

    def pack(self, plane: np.ndarray) -> tuple[bytes, bool] | None:
        """(the payload of a plane; whether it is sure that it was a JPEG, so that no other can be as small),
        None if it seems to have been none.
        """
        origin = find(plane)
        if origin is None:
            return None
        payload = self.write(origin, plane)
        least = self.least_bytes(plane.shape, Schedule())
        if payload is None or len(payload) < least:
            return None
        return payload, origin.wrong <= SURE and len(payload) < LIGHT * plane.size

    def write(self, origin: Origin, plane: np.ndarray, taught: Taught | None = None) -> bytes | None:
        """The payload of a plane that seems to be of such an origin; None if it is far larger than that.
        taught: what is gone on from, and changed; None: as all begin.
        """
        check_compiled()
        layout = origin.layout
        grids = _grids(layout, origin.steps)
        for grid, found in zip(grids, origin.coefficients, strict=True):
            grid.coefficients[1:, 1:] = found
        limit = LARGE * plane.size // 4 + SMALL
        coder = _encoder(limit, grids, plane, taught)
        for row in _rows(layout, len(grids)):
            if blocks.is_full(coder, limit):
                return None
            _code_row(coder, grids, layout, *row)
        made = _made(layout, grids)
        differs = not np.array_equal(made, plane)
        if differs:
            _code_differences(coder, grids[0], layout, made, plane.copy(), limit)
        if blocks.is_full(coder, limit):
            return None
        head = [SAMPLINGS.index((layout.down, layout.across)), 16 * layout.top + layout.left, differs]
        return bytes(head) + _pack_steps(origin.steps) + coder.sealed()

    def encode(self, plane: np.ndarray, work: Work) -> bytes:
        packed = self.pack(plane)
        if packed is None:
            raise ValueError("a plane seems not to have been decoded from a JPEG.")
        work.done(plane.size)
        return packed[0]

    def decode(self, payload: bytes, shape: Shape, work: Work) -> np.ndarray:
        check_compiled()
        height, width, channels = shape
        try:
            layout, differs, steps, at = open_payload(payload, shape)
        except TruncatedError:
            if work.continuation is None:
                raise
            work.continuation.start_stage(height, width)
            work.continuation.mark_pixels(0)
            return np.full(shape, work.continuation.fill, dtype=np.uint8)
        grids = _grids(layout, steps)
        coder, end = _decoder(payload[at:], shape, work)
        sure = height
        for component, row in _rows(layout, channels):
            _code_row(coder, grids, layout, component, row)
            if coder.state[0, 2] > end:
                first = (
                    SIDE * layout.down * row - layout.top - OVERLAP
                    if component
                    else SIDE * row - layout.top % SIDE
                )
                sure = max(0, min(sure, first))
        out = _made(layout, grids)
        if differs and coder.state[0, 2] <= end:
            out = _code_differences(coder, grids[0], layout, out, np.empty(shape, np.uint8))
        if work.continuation:
            # what would have to be changed a little is not known for sure, either
            sure = 0 if differs and coder.state[0, 2] > end else sure
            work.continuation.start_stage(height, width)
            work.continuation.mark_pixels(width * sure)
        elif not coder.exhausted():
            raise CorruptError("the coefficients of a JPEG do not fit its words.")
        work.done(height * width * channels)
        return out

    def least_bytes(self, shape: Shape, schedule: Schedule) -> int:
        count = math.prod(-(-size // SIDE) for size in shape[:2])
        return 3 + shape[2] + blocks.least_bytes(count)


JPEG_CODER = JpegCoder()


@lru_cache(maxsize=1)
def check_compiled() -> None:
    """Code made-up coefficients and differences, and compare with what every correct machine must write.
    Raises UnsupportedError if this one's arithmetic is another.
    """
    layout = Layout(21, 30, 3, 12, 2, 2)
    grids = _grids(layout, [standard_steps(90, True), standard_steps(80, False), standard_steps(80, False)])
    for grid in grids:
        values = made_up(*grid.coefficients[1:, 1:].shape)
        grid.coefficients[1:, 1:] = values * (values % 5 == 0) // (2 + np.arange(SIDE**2))
    coder = _encoder(10**4, grids, np.empty((21, 30, 3), np.uint8), start.nothing())
    for row in _rows(layout, 3):
        _code_row(coder, grids, layout, *row)
    made = _made(layout, grids)
    off = made_up(*made.shape) // 40 * (np.arange(30) < 10)[:, None]
    _code_differences(coder, grids[0], layout, made, (made + off).astype(np.uint8))
    check_words(coder.sealed() + made.tobytes(), DIGEST, "coder of JPEGs")


def open_payload(payload: bytes, shape: Shape) -> tuple[Layout, bool, list[np.ndarray], int]:
    """(where blocks lie; whether the plane differs from what coefficients give; steps of every component;
    where words begin). Raises CorruptError, TruncatedError.
    """
    height, width, channels = shape
    if len(payload) < 3:
        raise TruncatedError("its data is cut short.")
    sampling, corner, differs = payload[:3]
    if sampling >= (len(SAMPLINGS) if channels == 3 else 1) or differs > 1:
        raise CorruptError(
            f"a JPEG's colours are said to be sampled in way {sampling}, and to differ {differs}."
        )
    down, across = SAMPLINGS[sampling]
    layout = Layout(height, width, *divmod(corner, 16), down, across)
    if layout.top >= SIDE * down or layout.left >= SIDE * across:
        raise CorruptError(
            f"a JPEG's blocks begin at {corner}, beyond one of {SIDE * down} x {SIDE * across}."
        )
    steps: list[np.ndarray] = []
    at = 3
    for component in range(channels):
        sort = payload[at : at + 1]
        at += 1
        if sort == bytes([OWN]):
            table = np.frombuffer(payload[at : at + SIDE**2], np.uint8).astype(np.int64)
            at += SIDE**2
            if not table.all():
                raise CorruptError("a JPEG's table has a step of 0.")
        elif component and sort == bytes([SAME]):
            table = steps[-1]
        elif sort and sort[0] < SAME:
            table = standard_steps(sort[0], component == 0)
        elif sort:
            raise CorruptError(f"a JPEG's table is said to be {sort[0]}, which none is.")
        if at > len(payload):
            raise TruncatedError("its data is cut short.")
        steps.append(table)
    return layout, bool(differs), steps, at


def _pack_steps(steps: list[np.ndarray]) -> bytes:
    """The tables, as `open_payload` reads them."""
    out = b""
    for i, table in enumerate(steps):
        known = SAME if i and np.array_equal(table, steps[i - 1]) else quality_of(table, i == 0) or OWN
        out += bytes([known]) + (table.astype(np.uint8).tobytes() if known == OWN else b"")
    return out


def _grids(layout: Layout, steps: list[np.ndarray]) -> list[Grid]:
    return [blocks.new_grid(*layout.blocks(i == 0), table) for i, table in enumerate(steps)]


def _rows(layout: Layout, components: int) -> Iterator[tuple[int, int]]:
    """Component and row of blocks, in the order in which these are coded: those of differences after the
    luma of the same pixels.
    """
    rows, done = layout.blocks(True)[0], 0
    if components == 1:
        yield from ((0, row) for row in range(rows))
        return
    count = layout.blocks(False)[0]
    for row in range(count):
        end = rows if row == count - 1 else layout.down * (row + 1) - layout.top // SIDE
        yield from ((0, luma) for luma in range(done, end))
        yield from ((component, row) for component in (1, 2))
        done = end


def _code_row(coder: BinaryCoder, grids: list[Grid], layout: Layout, component: int, row: int) -> None:
    twin = grids[1] if component == 2 else blocks.EMPTY
    place = layout.down, layout.across, layout.top // SIDE, layout.left // SIDE
    with np.errstate(over="ignore"):  # hashes wrap around; only uncompiled code notices
        blocks.code_row(coder, grids[component], twin, grids[0].counts, place, component == 0, row)


def _encoder(limit: int, grids: list[Grid], plane: np.ndarray, taught: Taught | None = None) -> BinaryCoder:
    """With room for so many words, and for a row of blocks of either a component or differences."""
    of_row = max(grid.coefficients[0].size for grid in grids)
    return blocks.new_encoder(limit, max(of_row, (SIDE + 1) * plane[0].size), taught)


def _made(layout: Layout, grids: list[Grid]) -> np.ndarray:
    """What coefficients give: uint8 (h, w, 1 or 3)."""
    values = [dct.samples(np.ascontiguousarray(grid.coefficients[1:, 1:]), grid.steps) for grid in grids]
    return colours(all_shown(layout, values))


def _code_differences(
    coder: BinaryCoder,
    luma: Grid,
    layout: Layout,
    made: np.ndarray,
    truth: np.ndarray,
    limit: float = math.inf,
) -> np.ndarray:
    """Code in what a plane differs from what is made of coefficients: of truth, or into it. limit: words
    after which one gives up.
    """
    planes = blocks.new_planes(made, truth, layout.blocks(True))
    with np.errstate(over="ignore"):
        for row in range(layout.blocks(True)[0]):
            if not coder.decoding and blocks.is_full(coder, limit):
                break
            blocks.code_differences(coder, luma.counts, planes, layout.top % SIDE, layout.left % SIDE, row)
    return truth


def _decoder(data: bytes, shape: Shape, work: Work) -> tuple[BinaryCoder, float]:
    """(a decoder; the word from which on its words are invented)."""
    if work.continuation is None:
        if len(data) % 4:
            raise TruncatedError("its data is cut short.")
        return blocks.new_decoder(data), math.inf
    end = len(data) // 4
    invented = work.continuation.words(0, SPARE * shape[0] * shape[1])
    return blocks.new_decoder(data[: 4 * end] + invented.tobytes()), end
