"""The image data of QOI files to pixels and back, as qoiformat.org's reference encoder makes it. Knows
neither the file's header nor other files.

Compiled by Numba, because every pixel depends on the one before it.
"""

from __future__ import annotations

import numpy as np

from ardm.compiled import compiled, inlined
from codec.errors import CorruptError, TruncatedError

END = bytes(7) + b"\1"
INDEX, DIFF, LUMA, RUN = 0x00, 0x40, 0x80, 0xC0  # the two highest bits of a chunk's first byte
KIND, VALUE = 0xC0, 0x3F  # these bits, and the others
RGB, RGBA = 0xFE, 0xFF  # first bytes that would be runs of 63 and 64
LONGEST_RUN = 62
SLOTS = 64  # pixels that a chunk can point at
# what is added to differences: of all channels in DIFF; of green, and of the others from it, in LUMA
DIFF_BIAS, GREEN_BIAS, LUMA_BIAS = 2, 32, 8


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


@inlined()
def _slot(p: np.ndarray) -> int:
    """Where a pixel, uint8 (4,), is kept."""
    return (int(p[0]) * 3 + int(p[1]) * 5 + int(p[2]) * 7 + int(p[3]) * 11) & (SLOTS - 1)


@inlined()
def _same(p: np.ndarray, q: np.ndarray) -> bool:
    return p[0] == q[0] and p[1] == q[1] and p[2] == q[2] and p[3] == q[3]


@inlined()
def _wrapped(difference: int) -> int:
    """A difference of bytes as -128 to 127."""
    return ((difference + 128) & 255) - 128


@compiled()
def _decode(data: np.ndarray, pixels: np.ndarray) -> int:
    """Fill pixels (n, channels). Returns the bytes used, or -1 if there are too few."""
    channels, at, run = pixels.shape[1], 0, 0
    kept = np.zeros((SLOTS, 4), dtype=np.uint8)
    p = np.array([0, 0, 0, 255], dtype=np.uint8)
    for i in range(len(pixels)):
        if run:
            run -= 1
        else:
            if at >= len(data):
                return -1
            first = int(data[at])
            kind, value = first & KIND, first & VALUE
            at += 1
            size = 4 if first == RGBA else 3 if first == RGB else 1 if kind == LUMA else 0
            if at + size > len(data):
                return -1
            if first >= RGB:
                for c in range(size):
                    p[c] = data[at + c]
            elif kind == INDEX:
                p[:] = kept[value]
            elif kind == DIFF:
                for c in range(3):
                    p[c] = (int(p[c]) + (value >> (4 - 2 * c) & 3) - DIFF_BIAS) & 255
            elif kind == LUMA:
                green, others = value - GREEN_BIAS, int(data[at])
                p[0] = (int(p[0]) + green - LUMA_BIAS + (others >> 4)) & 255
                p[1] = (int(p[1]) + green) & 255
                p[2] = (int(p[2]) + green - LUMA_BIAS + (others & 15)) & 255
            else:
                run = value
            at += size
            kept[_slot(p)] = p
        for c in range(channels):
            pixels[i, c] = p[c]
    return -1 if run else at


@compiled()
def _encode(pixels: np.ndarray, out: np.ndarray) -> int:
    """Returns the bytes written to `out`, which must have room for channels + 1 for each pixel."""
    channels, at, run = pixels.shape[1], 0, 0
    kept = np.zeros((SLOTS, 4), dtype=np.uint8)
    p = np.array([0, 0, 0, 255], dtype=np.uint8)
    before = p.copy()
    for i in range(len(pixels)):
        for c in range(channels):
            p[c] = pixels[i, c]
        if _same(p, before):
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
        slot = _slot(p)
        if _same(kept[slot], p):
            out[at] = INDEX | slot
            at += 1
        else:
            kept[slot] = p
            at = _put_changed(p, before, out, at)
        before[:] = p
    return at


@inlined()
def _put_changed(p: np.ndarray, before: np.ndarray, out: np.ndarray, at: int) -> int:
    """Write a pixel that is not kept, by its difference from the one before where that is shorter. Returns
    the next place in out.
    """
    red = _wrapped(int(p[0]) - int(before[0]))
    green = _wrapped(int(p[1]) - int(before[1]))
    blue = _wrapped(int(p[2]) - int(before[2]))
    red_from_green, blue_from_green = _wrapped(red - green), _wrapped(blue - green)
    if p[3] != before[3]:
        out[at] = RGBA
        for c in range(4):
            out[at + 1 + c] = p[c]
        return at + 5
    if -3 < red < 2 and -3 < green < 2 and -3 < blue < 2:
        out[at] = DIFF | (red + DIFF_BIAS) << 4 | (green + DIFF_BIAS) << 2 | (blue + DIFF_BIAS)
        return at + 1
    if -9 < red_from_green < 8 and -33 < green < 32 and -9 < blue_from_green < 8:
        out[at] = LUMA | (green + GREEN_BIAS)
        out[at + 1] = (red_from_green + LUMA_BIAS) << 4 | (blue_from_green + LUMA_BIAS)
        return at + 2
    out[at] = RGB
    for c in range(3):
        out[at + 1 + c] = p[c]
    return at + 4
