"""What a file says of itself, and how it comes back: from its header alone. Loads neither torch nor Numba."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from ardm.orders import PATCH
from codec.coder.schedule import Order
from codec.container import PNG_FORM, SOURCE_FRAME, Header
from codec.ending import operation
from codec.errors import CorruptError, UnsupportedError
from codec.limits import NO_LIMITS
from codec.methods import METHODS, Method
from codec.opened import Opened, open_bytes

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

INTERLACED, RECIPE, DIFFERENCE = 1, 2, 4  # flag bits of the form; all others are reserved


class Way(StrEnum):
    """How a file comes back."""

    CONTENT = "content"  # as a PNG: pixels, colour type, depth, interlacing, all chunks; compressed anew
    EXACT = "exact"  # the same bytes, made from the content
    # the same bytes, made from the content and what tells the compressed data from the expected
    DIFFERENCE = "exact, by difference"
    RECODED = "exact, by coefficients"  # the same bytes, made from a JPEG's coefficients
    WHOLE = "whole file"  # the same bytes, kept as they were


@operation
def info(data: ReadableBuffer | Opened) -> dict[str, object]:
    """What a file says of itself, without decoding pixels: a dict of plain values (the command's --json).
    Raises as `decompress` does.
    """
    return open_bytes(data, NO_LIMITS).describe()


def way_of(header: Header) -> Way:
    """How the file in an .ardm file will come back."""
    if header.whole:
        return Way.RECODED if header.recoded else Way.WHOLE
    if form(header)[0] & DIFFERENCE:
        return Way.DIFFERENCE
    return Way.EXACT if form(header)[0] & RECIPE or only(header, SOURCE_FRAME) else Way.CONTENT


def coarse_step(header: Header, most: float) -> int:
    """The largest step of 1, 4, 16, ... up to `most` such that every step-th pixel each way can be decoded
    without the pixels between: in lattice and random order, where all tiles begin at multiples of it.
    """
    network = any(METHODS[Method(entry.method)].network for entry in header.entries)
    if header.whole or not network or header.schedule.order == Order.RASTER:
        return 1
    height, width = min(header.tile[0], header.height), min(header.tile[1], header.width)
    starts = [height] * (height < header.height) + [width] * (width < header.width)
    step = 1
    for _ in range(header.schedule.root_level(height, width)):
        if PATCH * step > most or any(start % (PATCH * step) for start in starts):
            break
        step *= PATCH
    return step


def form(header: Header) -> bytes:
    """The metadata that says how a PNG is made again: flag bits, and a recipe where they say so. Raises
    CorruptError, UnsupportedError.
    """
    block = only(header, PNG_FORM) or b"\0"
    if block[0] & ~(INTERLACED | RECIPE | DIFFERENCE):
        raise UnsupportedError(
            f"the PNG's form has reserved bits set ({block[0]:#04x}); a newer ardm may read it."
        )
    if block[0] & RECIPE and block[0] & DIFFERENCE:
        raise CorruptError("the PNG's form has two recipes.")
    if len(block) > 1 and not block[0] & (RECIPE | DIFFERENCE):
        raise CorruptError(f"the PNG's form has {len(block) - 1} bytes too many.")
    return block


def only(header: Header, kind: int) -> bytes:
    """The metadata chunk of a type, empty if there is none."""
    blocks = [block for k, block in header.metadata if k == kind]
    if len(blocks) > 1:
        raise CorruptError(f"there are {len(blocks)} metadata chunks of type {kind:#04x}, expected one.")
    if blocks == [b""]:
        raise CorruptError(f"the metadata chunk of type {kind:#04x} is empty.")
    return blocks[0] if blocks else b""
