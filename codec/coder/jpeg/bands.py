"""The coefficients of a JPEG by decisions, in bands of rows: each is a stream of its own, so that
several threads share a large picture. Knows arrays and words; no payloads, no segments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from threading import Event
from typing import Protocol

import numpy as np

from codec.coder.decisions import BinaryCoder, Taught
from codec.coder.jpeg import coefficients as blocks
from codec.coder.jpeg import start
from codec.coder.jpeg.coder import check_compiled
from codec.coder.jpeg.coefficients import Grid
from codec.coder.jpeg.dct import SIDE
from codec.ending import check
from codec.parallel import in_parallel

LEAST_BLOCKS = 1 << 15  # of the first component in a band, two million pixels: what it learns is its own
MOST_BANDS = 64


class Component(Protocol):
    """How a component's blocks lie; `codec.coder.jpeg.segments.Component` is one."""

    @property
    def down(self) -> int:
        """Rows of blocks in a row of units."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of blocks, of whole units."""

    @property
    def steps(self) -> np.ndarray:
        """int64 (64,), row by row as frequencies rise."""


def count_bands(components: Sequence[Component]) -> int:
    """How many bands encoders make."""
    rows, columns = components[0].shape
    return whole_bands(components, max(1, min(rows * columns // LEAST_BLOCKS, MOST_BANDS)))


def whole_bands(components: Sequence[Component], count: int) -> int:
    """Bands that there are if there shall be so many, all of the same rows but for the last."""
    return len(_bands(components, count))


def encode(
    components: Sequence[Component], coefficients: Sequence[np.ndarray], count: int, limit: int
) -> list[bytes] | None:
    """The words of so many bands; None if those of one are more than `limit`. coefficients: of each
    component, int16 (m, n, 64).
    """
    _prepare()
    stop = Event()

    def code(band: tuple[int, int], _: int) -> bytes | None:
        words = _encode(_filled(components, coefficients, band), limit, stop)
        if words is None:
            stop.set()
        return words

    found = in_parallel(code, _bands(components, count), stop)
    words = [one for one in found if one is not None]
    return words if len(words) == len(found) else None


def decode(components: Sequence[Component], words: Sequence[bytes]) -> list[np.ndarray] | None:
    """The inverse, of all bands' words; None if some are not those of any coefficients."""
    _prepare()
    out = [np.zeros((*component.shape, SIDE**2), np.int16) for component in components]
    stop = Event()

    def code(job: tuple[tuple[int, int], bytes], _: int) -> bool:
        band, data = job
        coder, grids = blocks.new_decoder(data), _grids(components, band)
        _code(coder, grids, stop)
        for part, component, grid in zip(out, components, grids, strict=True):
            part[band[0] * component.down : band[1] * component.down] = grid.coefficients[1:, 1:]
        return coder.exhausted()

    jobs = list(zip(_bands(components, len(words)), words, strict=True))
    return out if all(in_parallel(code, jobs, stop)) else None


def _prepare() -> None:
    """Once, lest every thread do it."""
    check_compiled()
    start.load()


def learn(
    components: Sequence[Component], coefficients: Sequence[np.ndarray], limit: int, taught: Taught
) -> bool:
    """Code as one band, and let `taught` learn from it. False if it gave up, after `limit` words, of which it
    has learned, too.
    """
    return (
        _encode(_filled(components, coefficients, _bands(components, 1)[0]), limit, Event(), taught)
        is not None
    )


def _encode(grids: list[Grid], limit: int, stop: Event, taught: Taught | None = None) -> bytes | None:
    coder = blocks.new_encoder(limit, max(grid.coefficients[0].size for grid in grids), taught)
    return coder.sealed() if _code(coder, grids, stop, limit) else None


def _bands(components: Sequence[Component], count: int) -> list[tuple[int, int]]:
    """First row of units, and the one after the last."""
    units = components[0].shape[0] // components[0].down
    rows = -(-units // count)
    return [(row, min(row + rows, units)) for row in range(0, units, rows)]


def _grids(components: Sequence[Component], band: tuple[int, int]) -> list[Grid]:
    """A band is a picture of its own."""
    return [blocks.new_grid((band[1] - band[0]) * one.down, one.shape[1], one.steps) for one in components]


def _filled(
    components: Sequence[Component], coefficients: Sequence[np.ndarray], band: tuple[int, int]
) -> list[Grid]:
    grids = _grids(components, band)
    for component, part, grid in zip(components, coefficients, grids, strict=True):
        grid.coefficients[1:, 1:] = part[band[0] * component.down : band[1] * component.down]
    return grids


def _code(coder: BinaryCoder, grids: list[Grid], stop: Event, limit: float = math.inf) -> bool:
    """Component after component. limit: words after which an encoder gives up, and False is returned."""
    luma = grids[0].counts
    for i, grid in enumerate(grids):
        twin = grids[1] if i == 2 and grids[1].counts.shape == grid.counts.shape else blocks.EMPTY
        shares = tuple(max(1, (a - 1) // (b - 1)) for a, b in zip(luma.shape, grid.counts.shape, strict=True))
        with np.errstate(over="ignore"):  # hashes wrap around; only uncompiled code notices
            for row in range(grid.counts.shape[0] - 1):
                check()
                if stop.is_set():
                    return False
                blocks.code_row(coder, grid, twin, luma, (*shares, 0, 0), i == 0, row)
                if not coder.decoding and blocks.is_full(coder, limit):
                    return False
    return True
