"""The segments of a JPEG (ITU-T T.81, annex B) that say how its pixels are coded. Knows a JPEG's bytes;
neither coefficients, nor .ardm files. `codec.formats.jpeg` reads what else is in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from codec.coder.jpeg import scan as scans
from codec.coder.jpeg.coefficients import ZIGZAG
from codec.coder.jpeg.dct import SIDE
from codec.coder.jpeg.scan import WHOLE, Band, Codes, Scan

SOI, SEQUENTIAL, PROGRESSIVE, SCAN = b"\xff\xd8", (0xC0, 0xC1), 0xC2, 0xDA
CODES, STEPS, INTERVAL = 0xC4, 0xDB, 0xDD
OTHER_FRAMES = [mark for mark in range(0xC3, 0xD0) if mark not in (0xC4, 0xC8, 0xCC)]
ALONE = (0x00, 0x01, *range(0xD0, 0xDA), 0xFF)  # marks that no data follow
_END = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # of coded pixels
MOST_UNITS = 10  # blocks of a unit (T.81, B.2.3)
MOST_HEAD = 1 << 24  # bytes of all segments
MOST_SCANS = 64
MOST_LOW = 13  # bits that come later


class UnfitError(Exception):
    """A JPEG that is not taken apart here."""


class Component(NamedTuple):
    """How one is sampled, and its blocks."""

    name: int
    down: int  # blocks of a unit
    across: int
    shape: tuple[int, int]  # rows and columns of blocks, of whole units
    seen: tuple[int, int]  # of those with pixels, which a scan of this component alone has
    steps: np.ndarray  # int64 (64,), row by row as frequencies rise


class Coded(NamedTuple):
    """One scan's pixels, as the segments before them say."""

    parts: Sequence[tuple[int, ...]]  # as of `codec.coder.jpeg.scan.Scan`
    columns: int  # units of a row
    units: int
    interval: int  # units between restarts
    band: Band
    tables: dict[int, Codes]
    end: int  # where they begin in the head

    def scan(self, sequential: bool) -> Scan:
        """Raises UnfitError."""
        made = scans.new_scan(self.parts, self.columns, self.band, sequential, self.tables)
        if made is None:
            raise UnfitError
        return made


class Jpeg(NamedTuple):
    """What the segments say."""

    size: tuple[int, int]  # rows and columns of pixels
    sequential: bool
    components: list[Component]
    coded: list[Coded]

    @property
    def blocks(self) -> int:
        """Of all components."""
        return sum(rows * columns for rows, columns in (part.shape for part in self.components))


def split(source: bytes) -> tuple[bytes, list[bytes], bytes]:
    """(head: all segments up to the last scan's; the coded pixels that follow each scan's segment; the rest)
    of a JPEG. Raises UnfitError.
    """
    heads, coded = [source[: len(SOI)]], []
    at, total = len(SOI), 0
    while True:
        end = next((end for mark, _, end in _segments(source, at) if mark == SCAN), None)
        found = _END.search(source, end) if end else None
        if end is None or not found:
            break
        heads.append(source[at:end])
        coded.append(source[end : found.start()])
        total += end - at
        at = found.start()
        if total > MOST_HEAD or len(coded) > MOST_SCANS:
            raise UnfitError
    return b"".join(heads), coded, source[at:]


def parse(head: bytes) -> Jpeg:
    """Of a head, as `split` makes it. Raises UnfitError."""
    steps: dict[int, np.ndarray] = {}
    tables: dict[int, Codes] = {}
    frame, mark_of_frame, interval, end = b"", 0, 0, 0
    said: list[
        tuple[bytes, dict[int, Codes], int, int]
    ] = []  # of every scan: its segment, its tables, its interval, its end
    for mark, data, end in _segments(head, len(SOI)):
        if mark == STEPS:
            steps |= _tables_of_steps(data)
        elif mark == CODES:
            tables = tables | _tables_of_codes(data)
        elif mark in OTHER_FRAMES or (mark == INTERVAL and len(data) != 2):
            raise UnfitError
        elif mark in (*SEQUENTIAL, PROGRESSIVE):
            if frame or said:
                raise UnfitError
            frame, mark_of_frame = data, mark
        elif mark == INTERVAL:
            interval = int.from_bytes(data, "big")
        elif mark == SCAN:
            said.append((data, tables, interval, end))
    if not head.startswith(SOI) or not said or said[-1][-1] != len(head) or len(said) > MOST_SCANS:
        raise UnfitError
    size, components = _components(frame, steps)
    sequential = mark_of_frame != PROGRESSIVE
    return Jpeg(size, sequential, components, [_coded(sequential, components, *one) for one in said])


def _segments(source: bytes, at: int) -> Iterator[tuple[int, bytes, int]]:
    """(mark, data, where it ends) of all segments from a place on, as long as there are some."""
    while True:
        end = at + 2 + int.from_bytes(source[at + 2 : at + 4], "big")
        if source[at : at + 1] != b"\xff" or end < at + 4 or end > len(source) or source[at + 1] in ALONE:
            return
        yield source[at + 1], source[at + 4 : end], end
        at = end


def _tables_of_steps(data: bytes) -> dict[int, np.ndarray]:
    found: dict[int, np.ndarray] = {}
    while data:
        if data[0] >> 4 > 1:
            raise UnfitError
        size = 2 if data[0] >> 4 else 1
        values, data, number = data[1 : 1 + 64 * size], data[1 + 64 * size :], data[0] & 15
        if len(values) != 64 * size:
            raise UnfitError
        table = np.zeros(64, np.int64)
        table[list(ZIGZAG)] = np.frombuffer(values, np.uint8 if size == 1 else ">u2")
        if not table.all():
            raise UnfitError
        found[number] = table
    return found


def _tables_of_codes(data: bytes) -> dict[int, Codes]:
    """Those of means by their number, all others with 4 more."""
    found = {}
    while data:
        number, counts = data[0], list(data[1:17])
        size = 17 + sum(counts)
        if len(data) < size or number & 0xEC:
            raise UnfitError
        found[number >> 2 | number & 3], data = (counts, data[17:size]), data[size:]
    return found


def _components(frame: bytes, steps: dict[int, np.ndarray]) -> tuple[tuple[int, int], list[Component]]:
    """(rows and columns of pixels, components). Raises UnfitError."""
    count = frame[5] if len(frame) > 5 else 0
    if count not in (1, 3, 4) or frame[0] != 8 or len(frame) != 6 + 3 * count:
        raise UnfitError
    size = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    parts = [frame[6 + 3 * i : 9 + 3 * i] for i in range(count)]
    # of one component, samplings say nothing
    samplings = [(part[1] & 15, part[1] >> 4) for part in parts] if count > 1 else [(1, 1)]
    known = all(part[2] in steps for part in parts) and len({part[0] for part in parts}) == count
    if (
        not known
        or not size[0] * size[1]
        or not all(1 <= factor <= 4 for pair in samplings for factor in pair)
    ):
        raise UnfitError
    most = [max(factors) for factors in zip(*samplings, strict=True)]
    units = [-(-length // (SIDE * factor)) for length, factor in zip(size, most, strict=True)]
    found = []
    for part, (down, across) in zip(parts, samplings, strict=True):
        sampled = -(-size[0] * down // most[0]), -(-size[1] * across // most[1])
        shape, seen = (units[0] * down, units[1] * across), (-(-sampled[0] // SIDE), -(-sampled[1] // SIDE))
        found.append(Component(part[0], down, across, shape, seen, steps[part[2]]))
    return size, found


def _coded(
    sequential: bool,
    components: list[Component],
    said: bytes,
    tables: dict[int, Codes],
    interval: int,
    end: int,
) -> Coded:
    """Of a scan's segment. Raises UnfitError."""
    count = said[0] if said else 0
    if not 1 <= count <= len(components) or len(said) != 4 + 2 * count:
        raise UnfitError
    names = [component.name for component in components]
    named = [said[1 + 2 * i : 3 + 2 * i] for i in range(count)]
    if any(name not in names or of_tables & 0xCC for name, of_tables in named):
        raise UnfitError
    numbers = [names.index(name) for name, _ in named]
    if numbers != sorted(set(numbers)):
        raise UnfitError
    band = Band(said[-3], said[-2], said[-1] >> 4, said[-1] & 15)
    if sequential and band != WHOLE:
        raise UnfitError
    if not sequential and (
        (band.first == 0) != (band.last == 0)
        or not band.first <= band.last <= WHOLE.last
        or (band.first > 0 and count > 1)
        or band.low > MOST_LOW
        or band.high not in (0, band.low + 1)
    ):
        raise UnfitError
    chosen = [components[number] for number in numbers]
    if count == 1:
        rows, columns = chosen[0].seen
        units = [(1, 1)]
    else:
        rows, columns = chosen[0].shape[0] // chosen[0].down, chosen[0].shape[1] // chosen[0].across
        units = [(part.down, part.across) for part in chosen]
    if sum(down * across for down, across in units) > MOST_UNITS:
        raise UnfitError
    starts = [sum(part.shape[0] * part.shape[1] for part in components[:number]) for number in numbers]
    parts = [
        (start, part.shape[1], *unit, of_tables >> 4, 4 + (of_tables & 15))
        for start, part, unit, (_, of_tables) in zip(starts, chosen, units, named, strict=True)
    ]
    return Coded(parts, columns, rows * columns, interval or rows * columns, band, tables, end)
