"""The bytes of a chunk: one .ardm file, or several behind a list of their lengths; and which of them a part
needs, so that no others are read. Knows bytes and .ardm headers; no axes, and no stores.

Several: signature 8 | chunk (type 1): flags u8, number of times, number of planes of each, length of every
file | the files
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from codec import container
from codec.container import read_varint, varint
from codec.errors import CorruptError, TruncatedError, UnsupportedError
from codec.limits import Limits
from codec.opened import Opened

SIGNATURE = b"\x89ARDS\r\n\x1a"
LIST = 0x01  # type of the chunk
BIG_ENDIAN, FORTRAN = 1, 2  # flags: how the array lay in memory
FIRST_READ = 2**14  # bytes that are asked for at first: a small chunk, or header and index of a large one

Span = tuple[int, int | None]  # from where to where; None: to the end
Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Front:
    """What stands before the files."""

    flags: int
    counts: tuple[int, int]  # times, and planes of each
    files: list[Span]  # row-major


def write(flags: int, counts: tuple[int, int], files: list[bytes]) -> bytes:
    """The bytes of a chunk: the file itself if there is one, and no flag."""
    if len(files) == 1 and not flags:
        return files[0]
    listed = bytes([flags]) + b"".join(map(varint, [*counts, *map(len, files)]))
    return b"".join([SIGNATURE, container.chunk(LIST, listed), *files])


def read_front(data: bytes) -> Front:
    """Of the beginning of a chunk. Raises TruncatedError if it is too short, CorruptError or
    UnsupportedError.
    """
    if data[: len(SIGNATURE)] != SIGNATURE:
        if SIGNATURE.startswith(data):
            raise TruncatedError(f"the chunk ends after {len(data)} bytes, inside the signature.")
        return Front(0, (1, 1), [(0, None)])
    kind, listed, damage, at = container.read_chunk(data, len(SIGNATURE))
    if damage:
        raise CorruptError(damage)
    if kind != LIST or not listed or listed[0] & ~(BIG_ENDIAN | FORTRAN):
        raise UnsupportedError(
            f"the chunk's list of files has type {kind} and flags {listed[:1].hex()}, which this release "
            "does not know; a newer ardm may read it."
        )
    try:
        times, position = read_varint(listed, 1)
        planes, position = read_varint(listed, position)
        if not 0 < times * planes <= len(listed):
            raise CorruptError(f"the chunk's list of {times} x {planes} files has {len(listed)} bytes.")
        ends = [at]
        for _ in range(times * planes):
            length, position = read_varint(listed, position)
            ends.append(ends[-1] + length)
    except TruncatedError:
        raise CorruptError("the chunk's list of files is too short.") from None
    if position != len(listed):
        raise CorruptError("the chunk's list of files is too long.")
    return Front(listed[0], (times, planes), list(itertools.pairwise(ends)))


class Pieces:
    """What is there of a chunk's bytes."""

    def __init__(self, data: bytes | None = None) -> None:
        """data: all of them."""
        self._parts = [] if data is None else [(0, data)]
        self._end = None if data is None else len(data)

    @property
    def none(self) -> bool:
        """Whether there is no chunk."""
        return not self._parts

    @property
    def end(self) -> int | None:
        """Where the chunk ends, if that is known."""
        return self._end

    def read(self, start: int, length: int) -> bytes:
        """What is there of a span from its start on."""
        out = b""
        for first, part in self._parts:
            at = start + len(out) - first
            if 0 <= at < len(part):
                out += part[at : at + length - len(out)]
        return out

    def want(self, spans: list[Span]) -> Generator[list[Span], list[bytes | None], None]:
        """Ask for what is not there yet: yields spans that do not touch, to be sent the bytes of each."""
        missing: list[tuple[int, int]] = []
        for start, end in sorted((start, _least(end, self._end)) for start, end in spans):
            start += len(self.read(start, end - start))
            if missing and start <= missing[-1][1]:
                start, end = missing[-1][0], max(end, missing.pop()[1])
            if start < end:
                missing.append((start, end))
        if not missing:
            return
        for (start, end), block in zip(missing, (yield list(missing)), strict=True):
            if block is None and not self._parts:
                return
            part = block or b""  # the chunk may have gone in between
            self._parts = sorted([*self._parts, (start, part)])
            if len(part) < end - start:
                self._end = _least(start + len(part), self._end)


def front_of(pieces: Pieces) -> Generator[list[Span], list[bytes | None], Front | None]:
    """Get and read the front; None if there is no chunk."""
    yield from pieces.want([(0, FIRST_READ)])
    if pieces.none:
        return None
    front = yield from _parsed(pieces, (0, None), read_front)
    end = front.files[-1][1]
    if end is not None and pieces.end is not None and pieces.end != end:
        raise (TruncatedError if pieces.end < end else CorruptError)(
            f"the chunk has {pieces.end} bytes, its list of files promises {end}."
        )
    return front


def opened(
    pieces: Pieces, spans: list[Span], limits: Limits
) -> Generator[list[Span], list[bytes | None], list[Opened]]:
    """Get the headers and indices of files at some spans. Raises as `codec.open` does."""
    yield from pieces.want([(start, _least(start + FIRST_READ, end)) for start, end in spans])
    out = []
    for start, end in spans:
        header, at = yield from _parsed(pieces, (start, end), lambda data: container.read_front(data, limits))
        size = at + sum(entry.length for entry in header.entries)
        known = _least(pieces.end, end)
        if known is not None:
            container.check_end(header, at, known - start)
        out.append(Opened(_reader(pieces, start), size, header, at))
        if header.whole:
            raise CorruptError("the chunk keeps an image file whole, expected were pixels.")
    return out


def payloads(file: Opened, start: int, box: tuple[int, int, int, int]) -> list[Span]:
    """Where in the chunk the payloads of the tiles lie that a box (left, upper, right, lower) touches. start:
    where the file begins.
    """
    from codec.tiles import Box  # which loads torch

    left, upper, right, lower = box
    part = Box(upper, left, lower - upper, right - left)
    planes, entries = file.header.planes, file.header.entries
    touched = [i for i, tile in enumerate(file.header.tiles) if part.touches(tile)]
    at = [(start + file.places[i * planes], i) for i in touched]
    return [(a, a + sum(e.length for e in entries[i * planes : (i + 1) * planes])) for a, i in at]


def _parsed(
    pieces: Pieces, span: Span, parse: Callable[[bytes], Parsed]
) -> Generator[list[Span], list[bytes | None], Parsed]:
    """Parse the beginning of a span, of which more is asked for as long as it is too short."""
    start, end = span
    length = FIRST_READ
    while True:
        stop = _least(start + length, end)
        yield from pieces.want([(start, stop)])
        data = pieces.read(start, stop - start)
        try:
            return parse(data)
        except TruncatedError:
            if stop == end or len(data) < stop - start:
                raise
        length *= 4


def _reader(pieces: Pieces, start: int) -> Callable[[int, int], bytes]:
    return lambda position, length: pieces.read(start + position, length)


def _least(a: Any, b: Any) -> Any:
    """The lesser of two positions, None being beyond all."""
    return a if b is None else b if a is None else min(a, b)
