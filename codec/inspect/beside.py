"""The size of an image beside what other formats need for the same pixels. Knows pixels and other libraries'
encoders; nothing of .ardm files.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

MOST_SIDE = 16383  # of a WebP
JXL_EFFORT = 9  # its slowest


@dataclass(frozen=True)
class Size:
    """Bytes of a format; None where it was not tried, and why."""

    label: str
    size: int | None
    why: str = ""


def sizes(pixels: np.ndarray, shown: Image.Image, png: bytes, few: bool) -> list[Size]:
    """Of PNG, WebP and JPEG XL, without loss. pixels: uint8 or uint16 (H, W) or (H, W, C); shown: the same as
    people see them, RGB or RGBA; png: as ardm-decompress writes them; few: as in `codec.samples.Kind`, and
    then what is shown is compressed by those that know no such samples.
    """
    plain = Size("PNG, as ardm-decompress writes it", len(png))
    array = np.asarray(shown) if few else pixels
    return [plain, _pillow_png(pixels, png), _webp(pixels, shown), _jxl(array)]


def _pillow_png(pixels: np.ndarray, png: bytes) -> Size:
    label = "PNG, optimised by Pillow"
    if pixels.itemsize == 2 and pixels.ndim == 3:
        return Size(label, None, "Pillow has no colours of 16 bits")
    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.save(out, "PNG", optimize=True)
    return Size(label, len(out.getvalue()))


def _webp(pixels: np.ndarray, shown: Image.Image) -> Size:
    label = "WebP, lossless"
    if pixels.itemsize == 2:
        return Size(label, None, "WebP has 8 bits only")
    if max(shown.size) > MOST_SIDE:
        return Size(label, None, f"WebP has at most {MOST_SIDE} pixels a side")
    out = io.BytesIO()
    shown.save(out, "WEBP", lossless=True, quality=100, method=6, exact=True)
    return Size(label, len(out.getvalue()))


def _jxl(array: np.ndarray) -> Size:
    label = f"JPEG XL, effort {JXL_EFFORT}"
    try:
        import imagecodecs
    except ImportError:
        return Size(label, None, "imagecodecs is not installed: pip install 'ardm[bench]'")
    array = array[..., 0] if array.shape[2:] == (1,) else array
    try:
        data = imagecodecs.jpegxl_encode(np.ascontiguousarray(array), lossless=True, effort=JXL_EFFORT)
    except Exception as error:  # of a library that has many, for images that it does not take
        return Size(label, None, f"imagecodecs cannot: {error}")
    return Size(label, len(data))
