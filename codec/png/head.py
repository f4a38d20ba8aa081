"""What the header chunk of a PNG says, and how its image data is laid out. Knows no pixels and no chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codec.samples import Kind

# (first row, first column, row step, column step) of the passes of an interlaced image
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


@dataclass(frozen=True)
class Pass:
    """Pixels whose rows follow each other in the image data: all, or one of the seven of an interlaced
    image."""

    rows: int
    columns: int
    y: int  # where the first of them is
    x: int
    dy: int  # from one to the next
    dx: int
    line: int  # bytes of a row: the filter, then the samples

    @property
    def size(self) -> int:
        """Bytes of all rows."""
        return self.rows * self.line

    def place(self, first: int, last: int) -> tuple[slice, slice]:
        """Where in the image rows `first` to `last`, without that, are."""
        return slice(self.y + first * self.dy, self.y + last * self.dy, self.dy), slice(self.x, None, self.dx)


@dataclass(frozen=True)
class Head:
    """What the header chunk says."""

    width: int
    height: int
    channels: int  # 1 to 4; a palette's indices are one channel
    kind: Kind
    interlaced: bool

    @property
    def step(self) -> int:
        """Bytes from a pixel to the next, as filters count them."""
        return max(1, self.channels * self.kind.depth // 8)

    @property
    def samples(self) -> int:
        return self.width * self.height * self.channels

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the pixels: (H, W) or (H, W, C)."""
        return (self.height, self.width, self.channels)[: 2 + (self.channels > 1)]

    @property
    def size(self) -> int:
        """Bytes of the image data before compression."""
        return sum(one.size for one in self.passes())

    def passes(self) -> Iterator[Pass]:
        """Those that have pixels."""
        for y, x, dy, dx in ADAM7 if self.interlaced else ((0, 0, 1, 1),):
            rows, columns = -(-(self.height - y) // dy), -(-(self.width - x) // dx)
            if rows > 0 and columns > 0:
                yield Pass(rows, columns, y, x, dy, dx, self.line(columns))

    def line(self, columns: int) -> int:
        """Bytes of a row: the filter, then the samples."""
        return 1 + (columns * self.channels * self.kind.depth + 7) // 8
