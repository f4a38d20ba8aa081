"""Colours that programs made of luma and two colour differences of 8 bits when they decoded a JPEG, a WebP,
an AVIF, a video or a Photo CD: the conversion, which leaves most of all RGB colours without a pixel, and the
way back. Knows pixels; no payloads.

Specified in docs/format/converted.md. The way back is the encoder's own affair: clipped colours have many
origins, of which it takes one like the pixel's before.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import BORROWING, compiled, inlined

RING = 16  # how far a clipped colour's differences may be from those of the pixel before
SLACK = 2  # how far luma may be from what an exact conversion back would give
# pixels that tell a conversion, at least so many, of which so many may not, and colours that they must have
TOLD_BY, ENOUGH, STRAY, DISTINCT = 64, 24, 2, 12
STRIDE = 2654435761  # about 2**32 over the golden ratio, a prime
ROWS = 64  # converted at a time


class Conversion(NamedTuple):
    """R, G and B are floor(sum / unit), clipped to 8 bits, of the luma's term and those of the differences u
    (blue less luma) and v (red less luma). Terms: int64 (256,), in units.
    """

    label: str
    unit: int
    luma: np.ndarray
    red_of_v: np.ndarray
    green_of_u: np.ndarray
    green_of_v: np.ndarray
    blue_of_u: np.ndarray
    neutral_u: int
    neutral_v: int


_ANY = np.arange(256, dtype=np.int64)


def _swscale(
    label: str, black: int, luma: int, red: int, green_u: int, green_v: int, blue: int
) -> Conversion:
    """As FFmpeg's libswscale converts yuv420p on x86 (yuv2rgb.c, yuv_2_rgb.asm): high halves of products of
    16 bits, that are added.
    """
    differences = 8 * (_ANY - 128)
    return Conversion(
        label,
        1,
        8 * (_ANY - black) * luma >> 16,
        differences * red >> 16,
        differences * green_u >> 16,
        differences * green_v >> 16,
        differences * blue >> 16,
        128,
        128,
    )


def _libyuv(
    label: str, gain: int, offset: int, red: int, green_u: int, green_v: int, blue: int
) -> Conversion:
    """As libyuv converts (row_common.cc), in 6 bits."""
    differences = _ANY - 128
    return Conversion(
        label,
        64,
        (_ANY * 257 * gain >> 16) + offset,
        red * differences,
        green_u * differences,
        green_v * differences,
        blue * differences,
        128,
        128,
    )


# The values are the format's: a conversion's number is its place.
CONVERSIONS = (
    # ITU-T T.871, as libjpeg computes it (jdcolor.c)
    Conversion(
        "JPEG",
        65536,
        65536 * _ANY,
        91881 * (_ANY - 128) + 32768,
        -22554 * (_ANY - 128) + 32768,
        -46802 * (_ANY - 128),
        116130 * (_ANY - 128) + 32768,
        128,
        128,
    ),
    # ITU-R BT.601, as libwebp computes it (yuv.h)
    Conversion(
        "WebP",
        64,
        _ANY * 19077 >> 8,
        (_ANY * 26149 >> 8) - 14234,
        -(_ANY * 6419 >> 8),
        8708 - (_ANY * 13320 >> 8),
        (_ANY * 33050 >> 8) - 17685,
        128,
        128,
    ),
    _libyuv("AVIF, full range", 16320, 32, 90, -22, -46, 113),  # kYuvJPEGConstants
    _libyuv("AVIF, video range", 18997, -1160, 102, -25, -52, 128),  # kYuvI601Constants
    # Photo YCC, as the Kodak images were made
    Conversion(
        "Photo CD",
        10000,
        13584 * _ANY,
        18215 * (_ANY - 137),
        -1940 * (22179 * (_ANY - 156) // 10000) - 1,
        -5090 * (18215 * (_ANY - 137) // 10000),
        22179 * (_ANY - 156),
        156,
        137,
    ),
    _swscale("video, BT.601", 16, 9539, 13075, -3209, -6660, 16525),
    _swscale("video, BT.709", 16, 9539, 14686, -1747, -4366, 17305),
    _swscale("video, BT.601, full range", 0, 8192, 11485, -2819, -5850, 14516),
    _swscale("video, BT.709, full range", 0, 8192, 12901, -1534, -3835, 15201),
)


def number_of(conversion: Conversion) -> int:
    """The format's."""
    return next(i for i, known in enumerate(CONVERSIONS) if known is conversion)


def to_rgb(conversion: Conversion, planes: np.ndarray) -> np.ndarray:
    """Colours of (v + luma, luma, u + luma), each less the neutral one and modulo 256: uint8 (h, w, 3), and
    so is the result.
    """
    out = np.empty_like(planes)
    for start in range(0, len(planes), ROWS):
        part = planes[start : start + ROWS]
        y = part[..., 1]
        u = part[..., 2] - y + np.uint8(conversion.neutral_u)
        v = part[..., 0] - y + np.uint8(conversion.neutral_v)
        luma = conversion.luma[y]
        green = conversion.green_of_u[u] + conversion.green_of_v[v]
        sums = conversion.red_of_v[v], green, conversion.blue_of_u[u]
        for c, differences in enumerate(sums):
            out[start : start + ROWS, :, c] = np.clip((luma + differences) // conversion.unit, 0, 255)
    return out


def from_rgb(conversion: Conversion, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(what `to_rgb` makes these colours of; where it cannot, and makes others: bool (h, w)). rgb: uint8 (h,
    w, 3).
    """
    planes = np.empty(rgb.shape, dtype=np.uint8)
    _invert(np.ascontiguousarray(rgb), conversion[1:], _of_luma(number_of(conversion)), planes)
    return planes, (to_rgb(conversion, planes) != rgb).any(2)


def nearest_origins(
    conversion: Conversion, rgb: np.ndarray, planes: np.ndarray, where: np.ndarray
) -> np.ndarray:
    """What `to_rgb` makes these colours of, as near as can be to some planes, where these are to be changed:
    bool (h, w). rgb, planes: uint8 (h, w, 3), and so is the result.
    """
    out = planes.copy()
    near = np.ascontiguousarray(rgb), conversion[1:], _of_luma(number_of(conversion)), where
    _invert_near(*near, out)
    return out


def told(some: np.ndarray) -> Conversion | None:
    """The conversion that these colours, some of an image, seem to have come by. some: uint8 (h, w, 3)."""
    flat = _spread(some.reshape(-1, 3), 8 * TOLD_BY)
    telling = flat[(flat > 0).all(1) & (flat < 255).all(1) & (np.ptp(flat, axis=1) > 0)][: 4 * TOLD_BY]
    if len(telling) < ENOUGH or len(set(map(tuple, telling[:TOLD_BY].tolist()))) < DISTINCT:
        return None
    may_be = [known for known in CONVERSIONS if _strays(known, telling[:TOLD_BY], STRAY + 1) <= STRAY]
    # JPEG's colours and AVIF's are mostly the same
    return min(may_be, key=lambda known: _strays(known, telling, len(telling)), default=None)


def _spread(pixels: np.ndarray, most: int) -> np.ndarray:
    """So many of some pixels, (n, 3), without a pattern: even distances may be those of rows."""
    if len(pixels) <= most:
        return pixels
    return pixels[np.arange(most, dtype=np.int64) * STRIDE % len(pixels)]


def _strays(conversion: Conversion, telling: np.ndarray, most: int) -> int:
    """How many colours, (n, 3), have not come by a conversion; no more than `most` are counted. Most pictures
    are told by the first few.
    """
    origin = getattr(_origin, "py_func", _origin)  # as long as nothing speaks for it, it need not be compiled
    strays, of_luma = 0, _of_luma(number_of(conversion))
    for red, green, blue in telling.tolist():
        strays += not origin(red, green, blue, conversion[1:], of_luma, (128, 128, 128))[3]
        if strays >= most:
            break
    return strays


@cache
def _of_luma(number: int) -> np.ndarray:
    """What R, G, B and 1 add to luma when converted back: int64 (4,), of 65536. By Cramer's rule in integers,
    so that all machines take the same origin.
    """
    known = CONVERSIONS[number]
    luma, red, green_u, green_v, blue = (int(term[255] - term[0]) for term in known[2:7])  # 255 slopes
    whole = luma * (blue * (red - green_v) - red * green_u)
    parts = -green_v * blue, red * blue, -red * green_u
    black = (
        known.red_of_v[known.neutral_v],
        known.green_of_u[known.neutral_u] + known.green_of_v[known.neutral_v],
        known.blue_of_u[known.neutral_u],
    )
    # half a level up, since sums are rounded down
    last = sum(
        part * (known.unit - 2 * int(known.luma[0] + term)) for part, term in zip(parts, black, strict=True)
    )
    shares = [65536 * 255 * known.unit * part // whole for part in parts]
    return np.array([*shares, 65536 * 255 * last // (2 * whole)], np.int64)


@compiled(**BORROWING)
def _search(term: Any, value: Any, near: Any) -> Any:
    """`np.searchsorted(term, value)`, which is expected near a place."""
    at = near
    while at > 0 and term[at - 1] >= value:
        at -= 1
    while at < 256 and term[at] < value:
        at += 1
    return at


@compiled(**BORROWING)
def _origin(red: Any, green: Any, blue: Any, terms: Any, of_luma: Any, near: Any) -> Any:
    """(luma, u, v, whether these give this colour), of one that is not clipped. near: u and v are looked for
    from those of this origin.
    """
    unit, luma, red_of_v, green_of_u, green_of_v, blue_of_u, _, _ = terms
    guess = (of_luma[0] * red + of_luma[1] * green + of_luma[2] * blue + of_luma[3] + 32768) >> 16
    for step in range(2 * SLACK + 1):
        y = guess + ((step + 1) >> 1) * (1 if step & 1 else -1)
        if 0 <= y < 256:
            v = _search(red_of_v, red * unit - luma[y], near[2])
            u = _search(blue_of_u, blue * unit - luma[y], near[1])
            if (
                v < 256
                and u < 256
                and luma[y] + red_of_v[v] < (red + 1) * unit
                and luma[y] + blue_of_u[u] < (blue + 1) * unit
                and (luma[y] + green_of_u[u] + green_of_v[v]) // unit == green
            ):
                return y, u, v, True
    y = min(max(guess, 0), 255)
    v = min(_search(red_of_v, red * unit - luma[y], near[2]), 255)
    u = min(_search(blue_of_u, blue * unit - luma[y], near[1]), 255)
    return y, u, v, False


@inlined(**BORROWING)
def _lumas(value: Any, difference: Any, luma: Any, unit: Any, near: Any) -> Any:
    """(first, last) luma that gives a channel its value beside the differences' terms; expected near one."""
    first = _search(luma, value * unit - difference, near) if value > 0 else 0
    last = _search(luma, (value + 1) * unit - difference, near) - 1 if value < 255 else 255
    return first, last


@inlined(**BORROWING)
def _origin_near(red: Any, green: Any, blue: Any, terms: Any, near: Any) -> Any:
    """(luma, u, v, whether these give this colour), as near as can be to those of `near`, an origin, too."""
    unit, luma, red_of_v, green_of_u, green_of_v, blue_of_u, _, _ = terms
    for ring in range(RING + 1):
        for dv in range(-ring, ring + 1):
            v = near[2] + dv
            if not 0 <= v < 256:
                continue
            darkest, lightest = _lumas(red, red_of_v[v], luma, unit, near[0])
            for du in range(-ring, ring + 1, 1 if abs(dv) == ring else max(1, 2 * ring)):
                u = near[1] + du
                if 0 <= u < 256 and darkest <= lightest:
                    low, high = _lumas(blue, blue_of_u[u], luma, unit, near[0])
                    first, last = max(darkest, low), min(lightest, high)
                    low, high = _lumas(green, green_of_u[u] + green_of_v[v], luma, unit, near[0])
                    first, last = max(first, low), min(last, high)
                    if first <= last:
                        return min(max(near[0], first), last), u, v, True
    return near[0], near[1], near[2], False


@inlined(**BORROWING)
def _origin_like(red: Any, green: Any, blue: Any, terms: Any, of_luma: Any, near: Any) -> Any:
    """(luma, u, v, whether these give this colour): of a clipped one those that are as near as can be to
    `near`, an origin, too.
    """
    y = u = v = 0
    found = False
    if min(red, green, blue) == 0 or max(red, green, blue) == 255:
        y, u, v, found = _origin_near(red, green, blue, terms, near)
    if not found:
        y, u, v, found = _origin(red, green, blue, terms, of_luma, near)
    return y, u, v, found


@compiled(**BORROWING)
def _invert(rgb: Any, terms: Any, of_luma: Any, planes: Any) -> None:
    """As `from_rgb`, into planes."""
    neutral_u, neutral_v = terms[6], terms[7]
    above = 128, neutral_u, neutral_v
    for i in range(rgb.shape[0]):
        before = above
        for j in range(rgb.shape[1]):
            red, green, blue = int(rgb[i, j, 0]), int(rgb[i, j, 1]), int(rgb[i, j, 2])
            y, u, v, found = _origin_like(red, green, blue, terms, of_luma, before)
            if found:
                before = y, u, v
            if j == 0:
                above = before
            planes[i, j, 0] = (v + y - neutral_v) & 255
            planes[i, j, 1] = y
            planes[i, j, 2] = (u + y - neutral_u) & 255


@compiled(**BORROWING)
def _invert_near(rgb: Any, terms: Any, of_luma: Any, where: Any, planes: Any) -> None:
    """As `nearest_origins`, in place."""
    neutral_u, neutral_v = terms[6], terms[7]
    for i in range(rgb.shape[0]):
        for j in range(rgb.shape[1]):
            if where[i, j]:
                y = int(planes[i, j, 1])
                near = y, (planes[i, j, 2] - y + neutral_u) & 255, (planes[i, j, 0] - y + neutral_v) & 255
                red, green, blue = int(rgb[i, j, 0]), int(rgb[i, j, 1]), int(rgb[i, j, 2])
                y, u, v, _ = _origin_like(red, green, blue, terms, of_luma, near)
                planes[i, j, 0] = (v + y - neutral_v) & 255
                planes[i, j, 1] = y
                planes[i, j, 2] = (u + y - neutral_u) & 255
