"""`Opened`: an .ardm file of an image whose header and index have been parsed, once; payloads are read when
somebody wants them. Knows bytes and the container; no pixels, and neither torch nor Numba.
"""

from __future__ import annotations

import itertools
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

from ardm.forks import steady
from codec import container
from codec.container import Entry, Header, as_bytes
from codec.errors import CorruptError, InputError, NotArdmError, TruncatedError
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
        """The image file that is kept whole. Raises CorruptError, UnsupportedError."""
        payload = self._kept()
        if self.header.recoded:
            with steady:  # a fork would split an import
                from codec.coder.jpeg import file
            payload = file.restore(payload, self.header.height, self.header.width, self.header.channels)
        return container.check_whole(payload, self.header)

    def _kept(self) -> bytes:
        """What is kept of the image file. Raises CorruptError."""
        payload = self.payload(0)
        if zlib.crc32(payload) != self.header.entries[0].crc:
            raise CorruptError("checksum of the file kept whole does not match.")
        return payload

    def check_payloads(self) -> None:
        """Raise TruncatedError or CorruptError, which says where, unless the checksums of all payloads match.
        Nothing is decoded, so that the hash of the pixels is not checked.
        """
        if self.header.whole:
            self._kept()
            return
        planes = self.header.planes
        for tile, (top, left, _, _) in enumerate(self.header.tiles):
            for index in range(tile * planes, (tile + 1) * planes):
                check_payload(self.payload(index), self.header.entries[index], place_of(top, left))

    def describe(self) -> dict[str, object]:
        """What the file says of itself, as plain values."""
        return container.describe(self.header, self.at, self.size)


def place_of(top: int, left: int) -> str:
    """How messages call a tile."""
    return f"tile at row {top}, column {left}"


def check_payload(payload: bytes, entry: Entry, where: str) -> None:
    """Raise TruncatedError or CorruptError unless a payload is what the index says. where: whose it is."""
    if len(payload) < entry.length:
        raise TruncatedError(
            f"{where}: {entry.length - len(payload)} of its {entry.length} bytes are missing."
        )
    computed = zlib.crc32(payload)
    if computed != entry.crc:
        raise CorruptError(
            f"checksum of the {where} does not match. Stored: {entry.crc:08x}. Computed: {computed:08x}."
        )


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


def check_not_empty(data: bytes) -> None:
    """Raise NotArdmError for nothing at all, which says more than that a signature is missing."""
    if not data:
        raise NotArdmError("the file is empty; expected an .ardm file.")


def open_file(file: Any, limits: Limits) -> Opened:
    """Open a file object, which one thread at a time will use. Raises as `container.read` does, and
    InputError if it cannot be read.
    """
    lock = Lock()

    def read(start: int, length: int) -> bytes:
        try:
            with lock:
                file.seek(start)
                return file.read(length)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror or error}.") from error

    return open_reader(read, file.seek(0, os.SEEK_END), limits)
