"""zlib streams made by several threads: parts of the data compressed side by side, each knowing the end of
the one before (as pigz does). The data need never be there as a whole. What comes out depends on it alone,
not on the threads. Knows no images.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from threading import Event

from codec.parallel import in_turn

PART = 1 << 20  # bytes compressed at once
WINDOW = 1 << 15  # bytes that a part may refer back to
HEADER = b"\x78\x9c"  # deflate, a window of 32 KiB, the usual level
# bytes of data that is worked on in parts. Less takes little time, and stays what zlib makes of it at its
# best level, which `codec.png.exact` tells in a few bytes
LARGE = 1 << 23
BEST, USUAL = 9, 6  # levels
ADLER = 65521  # Adler-32 counts modulo this


def squeeze(read: Callable[[int, int], bytes], size: int) -> list[bytes]:
    """A zlib stream, in pieces. read: gives the bytes from one place to another of the data, which has `size`
    bytes; asked by several threads at once, of no more than a part at a time if the data is large.
    """
    if size < LARGE:
        return [zlib.compress(read(0, size), BEST)]

    def part(start: int, threads: int) -> tuple[bytes, int]:
        before = min(start, WINDOW)
        data = memoryview(read(start - before, start + PART))
        coder = zlib.compressobj(USUAL, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=data[:before])
        out = coder.compress(data[before:])
        last = start + PART >= size
        return out + coder.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH), zlib.adler32(data[before:])

    starts = range(0, size, PART)
    pieces, check = [HEADER], 1
    for start, (piece, its_check) in zip(starts, in_turn(part, starts, Event()), strict=True):
        pieces.append(piece)
        check = joined(check, its_check, min(PART, size - start))
    return [*pieces, struct.pack(">I", check)]


def joined(check: int, other: int, size: int) -> int:
    """The Adler-32 of data and other data after it, of theirs. size: of the other."""
    low, high = check & 65535, check >> 16
    # both sums of the other began at (1, 0): each of its bytes adds to the second what the first had before
    low_of_both = (low + (other & 65535) - 1) % ADLER
    return (high + (other >> 16) + size * (low - 1)) % ADLER << 16 | low_of_both
