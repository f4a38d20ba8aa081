"""JPEGs within other bytes: previews in Exif, pictures after the end (MPF, gain maps). Knows where they begin
and end; not how they are packed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from codec.coder.jpeg import segments
from codec.coder.jpeg.segments import SOI, UnfitError

BEGINNING, END = SOI + b"\xff", b"\xff\xd9"
MOST = 16  # in one place
TRIES = 64  # beginnings that are looked at, lest bytes full of them take for ever


class Inner(NamedTuple):
    """A JPEG that was cut out."""

    gap: int  # bytes that are left between the one before, or the beginning, and it
    payload: bytes


def cut(data: bytes, pack: Callable[[bytes], bytes | None]) -> tuple[bytes, list[Inner]]:
    """(the bytes that are left, the JPEGs that were in them). pack: makes a payload, None if it cannot."""
    left, found = list[bytes](), list[Inner]()
    done, at = 0, data.find(BEGINNING)
    for _ in range(TRIES):
        if at < 0 or len(found) == MOST:
            break
        size = _size(data[at:])
        payload = pack(data[at : at + size]) if size else None
        if payload is not None:
            left.append(data[done:at])
            found.append(Inner(at - done, payload))
            done = at + size
        at = data.find(BEGINNING, max(done, at + 1))
    return b"".join([*left, data[done:]]), found


def join(left: bytes, found: list[Inner], restore: Callable[[bytes], bytes]) -> bytes:
    """The inverse. Raises UnfitError."""
    parts, at = [], 0
    for inner in found:
        parts += [left[at : at + inner.gap], restore(inner.payload)]
        at += inner.gap
    if at > len(left):
        raise UnfitError
    return b"".join([*parts, left[at:]])


def _size(data: bytes) -> int:
    """Of the JPEG that bytes begin with, 0 if it has no end."""
    try:
        _, coded, rest = segments.split(data)
    except UnfitError:
        return 0
    return len(data) - len(rest) + len(END) if coded and rest.startswith(END) else 0
