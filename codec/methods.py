"""The table of methods by which planes of tiles are coded: number, name, where each is allowed, and its coder
(encode, decode, go on where data is missing, least bytes).

Knows numbers and names; a coder is loaded when it is asked for, so that the container needs neither torch nor
Numba.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from ardm.forks import steady
from codec.errors import CorruptError, UnsupportedError
from codec.samples import plane_channels

if TYPE_CHECKING:
    from codec.coder.work import PlaneCoder
    from codec.container import Header


class Method(IntEnum):
    """The values are the format's."""

    RAW = 0
    FILTERED = 1
    NETWORK = 2
    GRAPHICS = 3
    FILE = 4
    HIGH_DEPTH = 5
    INCLUDED = 6
    PALETTE = 7
    CONVERTED = 8
    JPEG = 9
    JPEG_FILE = 10


class Extent(Enum):
    """What one entry of the index codes. Entries after it, of what it codes beside its own plane, have the
    method INCLUDED.
    """

    PLANE = "a plane"
    SAMPLES = "samples of 16 bits, in the entry of their high bytes"
    TILE = "all planes of a tile, in the entry of the first"


@dataclass(frozen=True)
class Row:
    """What is known of a method before anything is coded by it."""

    label: str  # of its planes, in listings
    coder: str = ""  # "module:object"; none where there is nothing to code
    whole: bool = False  # of the entry of a file that is kept whole, and of no other
    extent: Extent = Extent.PLANE
    network: bool = False  # whether it asks the network, in the file's order, plain or mixing
    counters: bool = False  # whether it has the mixing coder's counters, the most memory of all


METHODS = {
    Method.RAW: Row("stored", "codec.coder.stored:RAW_CODER"),
    Method.FILTERED: Row("stored", "codec.coder.stored:FILTERED_CODER"),
    Method.NETWORK: Row("network", "codec.coder.network:NETWORK_CODER", network=True, counters=True),
    Method.GRAPHICS: Row("graphics", "codec.coder.graphics:GRAPHICS_CODER", counters=True),
    Method.FILE: Row("file", whole=True),
    Method.HIGH_DEPTH: Row("high_depth", "codec.coder.high_depth:HIGH_DEPTH_CODER", extent=Extent.SAMPLES),
    Method.INCLUDED: Row("included"),  # a plane that the entry before it codes, too
    Method.PALETTE: Row("palette", "codec.coder.palette:PALETTE_CODER", extent=Extent.TILE, counters=True),
    Method.CONVERTED: Row("converted", "codec.coder.converted:CONVERTED_CODER", network=True, counters=True),
    Method.JPEG: Row("jpeg", "codec.coder.jpeg.coder:JPEG_CODER"),
    Method.JPEG_FILE: Row("jpeg_file", whole=True),
}


@lru_cache(maxsize=len(METHODS))
def coder_of(method: int) -> PlaneCoder:
    """The coder of a method that has one."""
    module, _, name = METHODS[Method(method)].coder.partition(":")
    with steady:  # a fork would split an import
        return getattr(import_module(module), name)


def check_entry(method: int, length: int, i: int, header: Header, before: int | None) -> None:
    """Raise UnsupportedError or CorruptError unless the i-th entry of the index may have a method and a
    length, where the entry before it has the method `before`.
    """
    if method not in METHODS:
        raise UnsupportedError(
            f"a tile is coded with method {method}, which this release does not know; a newer ardm may "
            "read it."
        )
    row = METHODS[Method(method)]
    if row.whole != header.whole:
        raise CorruptError(
            f"a tile is coded with method {method}, which does not fit a file "
            f"{'kept whole' if header.whole else 'of tiles'}."
        )
    if row.extent is Extent.SAMPLES and (
        header.kind.size == 1 or i % 2 or header.folded or header.schedule.plain
    ):
        raise CorruptError("a tile is coded as samples of 16 bits, which it has not.")
    if row.extent is Extent.TILE and (
        header.kind.depth != 8 or header.kind.indexed or i % header.planes or header.schedule.plain
    ):
        raise CorruptError(
            "a tile is coded by a palette of its own, which only whole tiles of levels of 8 bits may be, and "
            "none of a plain file."
        )
    if method == Method.CONVERTED and plane_channels(header.channels, header.kind)[i % header.planes] != 3:
        raise CorruptError("a plane is coded as converted colours, which only planes of RGB may be.")
    held = before is not None and _planes_of(METHODS[Method(before)].extent, header) > 1
    if method == Method.INCLUDED and not held:
        raise CorruptError(
            "a plane is said to be coded in the entry before its own, which has no such plane."
        )
    if held and (method != Method.INCLUDED or length):
        raise CorruptError("a plane is coded again that the entry before its own has coded already.")


def _planes_of(extent: Extent, header: Header) -> int:
    """How many planes of a tile an entry codes, its own the first of them. No kind has more than two of these
    together: two bytes of a sample, or colour and alpha of 8 bits.
    """
    return {Extent.PLANE: 1, Extent.SAMPLES: 2, Extent.TILE: header.planes}[extent]
