"""The table of methods by which planes of tiles are coded: number, name, where each is allowed, and its coder
(encode, decode, go on where data is missing, least bytes).

Knows numbers and names; a coder is loaded when it is asked for, so that the container needs neither torch nor
Numba.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from codec.errors import CorruptError, UnsupportedError

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


@dataclass(frozen=True)
class Row:
    """What is known of a method before anything is coded by it."""

    label: str  # of its planes, in listings
    coder: str = ""  # "module:object"; none where there is nothing to code
    whole: bool = False  # of the entry of a file that is kept whole, and of no other
    both_bytes: bool = False  # of samples of 16 bits in the entry of their high bytes
    counters: bool = False  # whether it has the mixing coder's counters, the most memory of all


METHODS = {
    Method.RAW: Row("stored", "codec.coder.stored:RAW_CODER"),
    Method.FILTERED: Row("stored", "codec.coder.stored:FILTERED_CODER"),
    Method.NETWORK: Row("network", "codec.coder.network:NETWORK_CODER", counters=True),
    Method.GRAPHICS: Row("graphics", "codec.coder.graphics:GRAPHICS_CODER", counters=True),
    Method.FILE: Row("file", whole=True),
    Method.HIGH_DEPTH: Row("high_depth", "codec.coder.high_depth:HIGH_DEPTH_CODER", both_bytes=True),
    Method.INCLUDED: Row("included"),  # low bytes, where the high ones' method had both
}


@lru_cache(maxsize=len(METHODS))
def coder_of(method: int) -> PlaneCoder:
    """The coder of a method that has one."""
    module, _, name = METHODS[Method(method)].coder.partition(":")
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
    if row.both_bytes and (header.kind.size == 1 or i % 2 or header.folded or header.schedule.plain):
        raise CorruptError("a tile is coded as samples of 16 bits, which it has not.")
    had_both = before is not None and METHODS[Method(before)].both_bytes
    if (method == Method.INCLUDED) != (i % 2 == 1 and had_both) or (method == Method.INCLUDED and length):
        raise CorruptError("the low bytes of samples of 16 bits are not where their high bytes are.")
