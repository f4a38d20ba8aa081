"""`Opened`: an .ardm file of an image whose header and index have been parsed, once; payloads are read when
somebody wants them. Knows bytes and the container; no pixels, and neither torch nor Numba.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from codec import container
from codec.container import Header, as_bytes
from codec.errors import TruncatedError
from codec.limits import Limits

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

FIRST_READ = 2**16  # bytes that are asked for at first: header and index of all but huge images

# (position, length) -> bytes, fewer where the file ends
Reader = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Opened:
    """A file, opened. Thread-safe if `read` is."""

    read: Reader
    size: int  # bytes of the file
    header: Header
    at: int  # where the first payload begins

    @cached_property
    def places(self) -> list[int]:
        """Where the payload of every entry of the index begins."""
        lengths = (entry.length for entry in self.header.entries[:-1])
        return list(itertools.accumulate(lengths, initial=self.at))

    def payload(self, index: int) -> bytes:
        """What is there of the payload of an entry."""
        return self.read(self.places[index], self.header.entries[index].length)

    @property
    def foreign(self) -> int:
        """Bytes after the end of the last payload."""
        return max(0, self.size - self.at - sum(entry.length for entry in self.header.entries))

    @property
    def name(self) -> str:
        """The name of the file that comes back, empty if none is kept."""
        return container.name_in(self.header.metadata)

    def kept_file(self) -> bytes:
        """The image file that is kept whole. Raises CorruptError."""
        return container.check_whole(self.payload(0), self.header)

    def describe(self) -> dict[str, object]:
        """What the file says of itself, as plain values."""
        return container.describe(self.header, self.at, self.size)


def open_bytes(data: ReadableBuffer | Opened, limits: Limits, salvage: bool = False) -> Opened:
    """Open a file that is in memory, or take one that is open. Raises as `container.read` does."""
    if isinstance(data, Opened):
        return data
    whole = as_bytes(data)
    header, at = container.read(whole, limits, salvage)
    return Opened(lambda start, length: whole[start : start + length], len(whole), header, at)


def open_reader(read: Reader, size: int, limits: Limits) -> Opened:
    """Open a file of `size` bytes by reading its beginning. Raises as `container.read` does."""
    wanted = FIRST_READ
    while True:
        front = read(0, min(wanted, size))
        try:
            header, at = container.read_front(front, limits)
        except TruncatedError:
            if wanted >= size:
                raise
            wanted *= 4
        else:
            container.check_end(header, at, size)
            return Opened(read, size, header, at)
