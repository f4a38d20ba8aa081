"""The image data of QOI files to pixels and back, as qoiformat.org's reference encoder makes it. Knows
neither the file's header nor other files.

Compiled by Numba, because every pixel depends on the one before it.
"""

from __future__ import annotations

import numpy as np

from ardm.compiled import compiled
from codec.errors import CorruptError, TruncatedError

END = bytes(7) + b"\1"
INDEX, DIFF, LUMA, RUN = 0x00, 0x40, 0x80, 0xC0  # the two highest bits of a chunk's first byte
RGB, RGBA = 0xFE, 0xFF
LONGEST_RUN = 62


def decode(data: bytes, height: int, width: int, channels: int) -> tuple[np.ndarray, int]:
    """(uint8 (height, width, channels), bytes used, end marker included). data: what follows the header.
    channels: 3 or 4.

    Raises TruncatedError or CorruptError.
    """
    if height * width > len(data) * LONGEST_RUN:  # before anything of the image's size is allocated
        raise TruncatedError(
            f"the QOI is cut short: {len(data)} bytes cannot hold {width} x {height} pixels."
        )
    pixels = np.empty((height * width, channels), dtype=np.uint8)
    used = _decode(np.frombuffer(data, np.uint8), pixels)
    if used < 0 or used + len(END) > len(data):
        raise TruncatedError(f"the QOI is cut short: it ends after {len(data)} bytes of image data.")
    if data[used : used + len(END)] != END:
        raise CorruptError("the QOI's image data does not end with its end marker.")
    return pixels.reshape(height, width, channels), used + len(END)


def encode(pixels: np.ndarray) -> bytes:
    """Inverse of `decode`: pixels uint8 (height, width, 3 or 4)."""
    height, width, channels = pixels.shape
    out = np.empty(height * width * (channels + 1), dtype=np.uint8)
    used = _encode(np.ascontiguousarray(pixels).reshape(-1, channels), out)
    return out[:used].tobytes() + END


@compiled()
def _decode(data: np.ndarray, pixels: np.ndarray) -> int:
    """Fill pixels (n, channels). Returns the bytes used, or -1 if there are too few."""
    channels, at, run = pixels.shape[1], 0, 0
    seen = np.zeros((64, 4), dtype=np.uint8)
    p = np.array([0, 0, 0, 255], dtype=np.uint8)
    for i in range(len(pixels)):
        if run:
            run -= 1
        else:
            if at >= len(data):
                return -1
            first = int(data[at])
            at += 1
            if at + (4 if first == RGBA else 3 if first == RGB else 1 if first & 0xC0 == LUMA else 0) > len(
                data
            ):
                return -1
            if first >= RGB:
                for c in range(3 if first == RGB else 4):
                    p[c] = data[at]
                    at += 1
            elif first & 0xC0 == INDEX:
                p[:] = seen[first]
            elif first & 0xC0 == DIFF:
                for c in range(3):
                    p[c] = (int(p[c]) + (first >> (4 - 2 * c) & 3) - 2) & 255
            elif first & 0xC0 == LUMA:
                green = (first & 63) - 32
                p[0] = (int(p[0]) + green - 8 + (int(data[at]) >> 4)) & 255
                p[1] = (int(p[1]) + green) & 255
                p[2] = (int(p[2]) + green - 8 + (int(data[at]) & 15)) & 255
                at += 1
            else:
                run = first & 63
            seen[(int(p[0]) * 3 + int(p[1]) * 5 + int(p[2]) * 7 + int(p[3]) * 11) & 63] = p
        for c in range(channels):
            pixels[i, c] = p[c]
    return -1 if run else at


@compiled()
def _encode(pixels: np.ndarray, out: np.ndarray) -> int:
    """Returns the bytes written to `out`, which must have room for channels + 1 for each pixel."""
    channels, at, run = pixels.shape[1], 0, 0
    seen = np.zeros((64, 4), dtype=np.uint8)
    p = np.array([0, 0, 0, 255], dtype=np.uint8)
    before = p.copy()
    for i in range(len(pixels)):
        for c in range(channels):
            p[c] = pixels[i, c]
        if p[0] == before[0] and p[1] == before[1] and p[2] == before[2] and p[3] == before[3]:
            run += 1
            if run == LONGEST_RUN or i == len(pixels) - 1:
                out[at] = RUN | (run - 1)
                at += 1
                run = 0
            continue
        if run:
            out[at] = RUN | (run - 1)
            at += 1
            run = 0
        slot = (int(p[0]) * 3 + int(p[1]) * 5 + int(p[2]) * 7 + int(p[3]) * 11) & 63
        s = seen[slot]
        if s[0] == p[0] and s[1] == p[1] and s[2] == p[2] and s[3] == p[3]:
            out[at] = INDEX | slot
            at += 1
        else:
            seen[slot] = p
            red = ((int(p[0]) - int(before[0]) + 128) & 255) - 128
            green = ((int(p[1]) - int(before[1]) + 128) & 255) - 128
            blue = ((int(p[2]) - int(before[2]) + 128) & 255) - 128
            redder = ((red - green + 128) & 255) - 128
            bluer = ((blue - green + 128) & 255) - 128
            if p[3] != before[3]:
                out[at] = RGBA
                out[at + 1 : at + 5] = p
                at += 5
            elif -3 < red < 2 and -3 < green < 2 and -3 < blue < 2:
                out[at] = DIFF | (red + 2) << 4 | (green + 2) << 2 | (blue + 2)
                at += 1
            elif -9 < redder < 8 and -33 < green < 32 and -9 < bluer < 8:
                out[at] = LUMA | (green + 32)
                out[at + 1] = (redder + 8) << 4 | (bluer + 8)
                at += 2
            else:
                out[at] = RGB
                out[at + 1 : at + 4] = p[:3]
                at += 4
        before[:] = p
    return at
