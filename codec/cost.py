"""What a file will cost to decode, judged from its header and index alone: network calls, memory; and what it
cannot be.

Knows tiles and coders' bounds; allocates nothing, decodes nothing.

**Memory** is an estimate of the whole process's peak, in bytes:

    BASE + file + OF_ARRAY (OF_PNG) * image + OF_CHUNKS * kept chunks + OF_TILE * tiles + workers * (counters
    + PER_PIXEL * pixels of a tile)

where image is the size of the samples, workers as many planes as are coded at once, and counters OF_COUNTER
for each of the mixing coder's 2**k counters in a table (none if no plane is coded by that coder). The
constants were measured (see `tests/test_limits.py`, which measures again) and rounded up.

**Least payloads.** No decision of the mixing coder has a probability above 1 - LEAST / ONE, "certain" ones
included, and no digit of the plain coder one that leaves less than 64 parts a level for the other values. A
range coder's words hold at least the sum of -log2 of those probabilities. So a payload that is shorter than
its coder's `least_bytes` was not written by any encoder, and is refused before work begins: cost is bounded
by the file's size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from codec.coder.jpeg.bands import MOST_BANDS
from codec.coder.mixing import counter_count
from codec.coder.schedule import Schedule
from codec.container import Entry, Header
from codec.errors import CorruptError, LimitError
from codec.limits import Limits, show_size
from codec.methods import METHODS, Method, coder_of
from codec.samples import Kind, plane_channels, plane_count

BASE = 192 * 2**20  # Python, Numba, weights, their self-tests and compiled code; not torch, if it is loaded
OF_ARRAY, OF_PNG = 3, 6  # copies of the samples while an array is made, or a PNG read or written
OF_CHUNKS = 4  # copies of the kept chunks of a PNG, likewise
OF_TILE = 700  # bookkeeping of a plane of a tile
PER_PIXEL = 300  # of a tile's plane in work
OF_COUNTER = 60  # of a table: three channels, five tables, four bytes
OF_DECISIONS = 11 * 2**20  # what decisions about a JPEG's coefficients learn
ENCODING = 1.5  # as many times as when decoding: both orders are tried, and output is kept


@dataclass(frozen=True)
class Cost:
    """What a file will take."""

    calls: int  # of the network
    memory: int  # bytes, estimated


def of(header: Header, size: int, threads: int, png: bool = False, kept: int = 0) -> Cost:
    """Of decoding a file. size: of the file, bytes. threads: how many will work. png: a PNG will be written,
    rather than an array made. kept: bytes of its other chunks.
    """
    image = header.samples * header.kind.size
    memory = (
        BASE
        + size
        + (OF_PNG if png or header.whole else OF_ARRAY) * image
        + OF_TILE * len(header.entries)
        + OF_CHUNKS * kept
    )
    if header.whole:
        return Cost(0, memory + OF_DECISIONS * min(threads, MOST_BANDS) * header.recoded)
    asking = Counter(
        (height, width)
        for (_, _, height, width), _, entry in _planes(header)
        if METHODS[Method(entry.method)].network
    )
    calls = sum(count * header.schedule.calls(*shape) for shape, count in asking.items())
    height, width = min(header.tile[0], header.height), min(header.tile[1], header.width)
    rows = [METHODS[Method(entry.method)] for entry in header.entries]
    counters = max(
        (
            counter_count(height * width, not row.network)
            for row in rows
            if row.counters and not (row.network and header.schedule.plain)
        ),
        default=0,
    )
    jpeg = any(entry.method == Method.JPEG for entry in header.entries)
    return Cost(calls, memory + min(threads, len(rows)) * _work(height, width, counters, jpeg))


def of_encoding(
    height: int, width: int, channels: int, kind: Kind, size: int, tile: int, calls: int, threads: int
) -> Cost:
    """Of compressing a PNG, at most. size: of the PNG, bytes. tile: largest side of a tile. calls: network
    calls per plane of a tile.
    """
    planes = plane_count(channels, kind) * -(-height // tile) * -(-width // tile)
    image = width * height * channels * kind.size
    height, width = min(tile, height), min(tile, width)
    work = ENCODING * min(threads, planes) * _work(height, width, counter_count(height * width, True), True)
    return Cost(planes * calls, int(BASE + size + OF_PNG * image + OF_TILE * planes + work))


def check(cost: Cost, limits: Limits) -> None:
    """Raise LimitError, with what was found and what to do, if a cost exceeds the limits. (Pixels: whoever
    reads a header refuses too many at once.)
    """
    if cost.calls > limits.max_calls:
        raise LimitError(
            f"the image needs {cost.calls} network calls, the limit is {limits.max_calls}; raise it with "
            "--max-calls (max_calls=)."
        )
    if limits.max_memory is not None and cost.memory > limits.max_memory:
        raise LimitError(
            f"the image needs about {show_size(cost.memory)} of memory, the limit is "
            f"{show_size(limits.max_memory)}; "
            "raise it with --memory (max_memory=), or use fewer threads (-T 1)."
        )


def check_payloads(header: Header) -> None:
    """Raise CorruptError if a payload is too short for its pixels. To be called before anything of the
    image's size is allocated.
    """
    if header.whole:
        return
    known: dict[tuple[int, int, int, int], int] = {}
    for (top, left, height, width), channels, entry in _planes(header):
        key = (entry.method, height, width, channels)
        if key not in known:
            known[key] = least_bytes(*key, header.schedule)
        if entry.length < known[key]:
            where = f"tile at row {top}, column {left}"
            raise CorruptError(
                f"{where}: it has {entry.length} bytes of data, but {width} x {height} pixels need at "
                f"least {known[key]}."
            )


def least_bytes(method: int, height: int, width: int, channels: int, schedule: Schedule) -> int:
    """Bytes below which no encoder's payload for a plane of a tile can be. method: one of the container's,
    for tiles. channels: 1 or 3.
    """
    if not METHODS[Method(method)].coder:
        return 0
    return coder_of(method).least_bytes((height, width, channels), schedule)


def _planes(header: Header) -> Iterator[tuple[tuple[int, int, int, int], int, Entry]]:
    """(top, left, height, width), channels and entry of every plane of every tile, in the order of the
    index.
    """
    entries = iter(header.entries)
    for tile in header.tiles:
        for channels in plane_channels(header.channels, header.kind):
            yield tile, channels, next(entries)


def _work(height: int, width: int, counters: int, jpeg: bool) -> int:
    """Bytes that coding a plane of a tile takes. counters: in a table of its coder, of which only the mixing
    coder has any; jpeg: it may have been a JPEG.
    """
    return max(OF_COUNTER * counters, OF_DECISIONS * jpeg) + PER_PIXEL * height * width
