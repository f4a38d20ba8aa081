"""zlib streams made by several threads: parts of the data compressed side by side, each knowing the end of
the one before (as pigz does). What comes out depends on the data alone, not on the threads. Knows no images.
"""

from __future__ import annotations

import struct
import zlib
from threading import Event

from codec.parallel import in_parallel

PART = 1 << 20  # bytes compressed at once
WINDOW = 1 << 15  # bytes that a part may refer back to
HEADER = b"\x78\x9c"  # deflate, a window of 32 KiB, the usual level
# bytes of data that is worked on in parts. Less takes little time, and stays what zlib makes of it at its
# best level, which `codec.png.exact` tells in a few bytes
LARGE = 1 << 23
BEST, USUAL = 9, 6  # levels


def squeeze(data: bytes) -> bytes:
    """A zlib stream of the data."""
    view = memoryview(data)
    if len(view) < LARGE:
        return zlib.compress(view, BEST)

    def part(start: int, threads: int) -> bytes:
        last = start + PART >= len(view)
        coder = zlib.compressobj(
            USUAL, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=view[max(0, start - WINDOW) : start]
        )
        out = coder.compress(view[start : start + PART])
        return out + coder.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)

    parts = in_parallel(part, range(0, len(view), PART), Event())
    return b"".join([HEADER, *parts, struct.pack(">I", zlib.adler32(view))])
