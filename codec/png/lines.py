"""The image data of a PNG before compression, out of pixels and back, some rows at a time, so that all of it
is never there at once. Knows rows, passes and filters; no chunks, and nothing of compression.

A row is its filter, and the filtered bytes of its samples: 16 bits high byte first, several small ones in a
byte from the top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from codec.errors import CorruptError
from codec.png import filters
from codec.png.head import Head, Pass

STRIP = 1 << 20  # bytes of rows that are worked on at once, if they are more than one row


class Scanlines:
    """Image data that is made where it is asked for.

    pixels, head: as `codec.png.Png` has them. row_filters: one for every row of every pass, in order; None
    for those that most encoders choose: the usual rule, or none for palettes and few bits.
    """

    def __init__(self, pixels: np.ndarray, head: Head, row_filters: bytes | None = None) -> None:
        self._pixels, self._head = pixels, head
        self._filters = bytes(sum(one.rows for one in head.passes())) if head.kind.few else None
        if row_filters is not None:
            self._filters = row_filters
        self.size = head.size

    def read(self, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop`, without that, or to the end if there are fewer."""
        parts = []
        at = row = 0  # where a pass begins
        for one in self._head.passes():
            first = max(start - at, 0) // one.line
            last = min(-(-(stop - at) // one.line), one.rows)
            if first < last:
                lines = filters.apply(self._rows(one, first, last, row), self._head.step)
                begin = at + first * one.line
                parts.append(lines.reshape(-1)[max(start - begin, 0) : stop - begin].data)
            at, row = at + one.size, row + one.rows
        return b"".join(parts)

    def filters(self) -> bytes:
        """Of every row of every pass."""
        if self._filters is not None:
            return self._filters
        return b"".join(
            self._rows(one, first, last, 0)[1:, 0].tobytes()
            for one in self._head.passes()
            for first, last in _strips(one)
        )

    def _rows(self, one: Pass, first: int, last: int, row: int) -> np.ndarray:
        """uint8 (1 + last - first, bytes of a row): the row above, then these, not filtered, each led by its
        filter. row: the number of the pass's first among all rows.
        """
        lines = np.zeros((1 + last - first, one.line), dtype=np.uint8)
        above = min(first, 1)
        lines[1 - above :, 1:] = to_bytes(self._pixels[one.place(first - above, last)], self._head)
        if self._filters is None:
            filters.choose(lines, self._head.step)
        else:
            lines[1:, 0] = np.frombuffer(self._filters, np.uint8, last - first, row + first)
        return lines


def decoded(
    read: Callable[[int], bytes], head: Head
) -> Iterator[tuple[tuple[slice, slice], np.ndarray, bytes]]:
    """Image data -> (where pixels are, the pixels, the filters of their rows) of some rows after others.
    read: gives the next so many bytes. The pixels may be overwritten when the next ones are asked for.
    """
    for one in head.passes():
        above = np.zeros(one.line, dtype=np.uint8)
        for first, last in _strips(one):
            lines = np.empty((1 + last - first, one.line), dtype=np.uint8)
            lines[0] = above
            lines[1:].reshape(-1)[:] = np.frombuffer(read((last - first) * one.line), np.uint8)
            used = lines[1:, 0].copy()
            if used.max() >= filters.KINDS:
                raise CorruptError(
                    f"the PNG's image data is damaged: a row has filter {used.max()}, expected 0 to 4."
                )
            filters.undo(lines, head.step)
            yield one.place(first, last), from_bytes(lines[1:, 1:], one.columns, head), used.tobytes()
            above = lines[-1]


def _strips(one: Pass) -> Iterator[tuple[int, int]]:
    """(first, last, without that) of some rows after others."""
    rows = max(1, STRIP // one.line)
    for first in range(0, one.rows, rows):
        yield first, min(first + rows, one.rows)


def from_bytes(rows: np.ndarray, columns: int, head: Head) -> np.ndarray:
    """uint8 (h, bytes of a row) -> samples (h, columns) or (h, columns, channels): 16 bits high byte first,
    several small ones in a byte from the top.
    """
    shape = (len(rows), columns) if head.channels == 1 else (len(rows), columns, head.channels)
    if head.kind.depth == 16:
        return np.ascontiguousarray(rows).view(">u2").reshape(shape)
    if head.kind.depth == 8:
        return rows.reshape(shape)
    split = rows[..., None] >> _shifts(head.kind.depth) & (2**head.kind.depth - 1)
    return split.reshape(len(rows), -1)[:, :columns]


def to_bytes(samples: np.ndarray, head: Head) -> np.ndarray:
    """Inverse of `from_bytes`; bits that are left over at the end of a row are 0."""
    height, depth = len(samples), head.kind.depth
    if depth == 16:
        return np.ascontiguousarray(samples, dtype=">u2").view(np.uint8).reshape(height, -1)
    if depth == 8:
        return samples.reshape(height, -1)
    padded = np.pad(samples, ((0, 0), (0, -samples.shape[1] % (8 // depth)))).reshape(height, -1, 8 // depth)
    return np.bitwise_or.reduce(padded << _shifts(depth), axis=2)


def _shifts(depth: int) -> np.ndarray:
    return np.arange(8 - depth, -1, -depth, dtype=np.uint8)
