"""Samples as people see them: with the palette, of 8 bits, as Pillow's images. Knows PNG and what is kept
beside the samples; nothing of tiles and costs.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from codec import archive, png
from codec.errors import UnsupportedError
from codec.opened import Opened
from codec.png import Png
from codec.samples import Kind


def as_png(opened: Opened, pixels: np.ndarray) -> bytes:
    """A PNG of samples of an image, with the palette; where indices come without one, they are greys."""
    try:
        return archive.part(opened, pixels)
    except UnsupportedError:
        pixels = pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
        return png.write(Png(pixels, Kind(opened.header.kind.depth), False, b"", b""))


def kept(image: Png, side: int) -> Image.Image:
    """The image of a file that is kept whole; about `side` pixels a side, if it is larger."""
    step = max(1, max(image.pixels.shape[:2]) // (2 * side))
    pixels = np.ascontiguousarray(image.pixels[::step, ::step])
    out = shown(png.write(Png(pixels, image.kind, False, png.showing_chunks(image), b"")), pixels)
    out.thumbnail((side, side))
    return out


def shown(data: bytes, pixels: np.ndarray) -> Image.Image:
    """A PNG of pixels, uint8 or uint16 (H, W) or (H, W, C), as RGB or RGBA; of 16 bits the upper ones. Its
    info has the colour profile, if there is one.
    """
    with Image.open(io.BytesIO(data)) as image:
        profile = image.info.get("icc_profile")
        out: Image.Image = image
        if pixels.itemsize == 2:
            high = (pixels >> 8).astype(np.uint8)
            out = Image.fromarray(high[..., 0] if high.shape[2:] == (1,) else high)
        transparent = "A" in out.mode or "transparency" in out.info
        out = out.convert("RGBA" if transparent else "RGB")
    out.info = {"icc_profile": profile} if profile else {}
    return out
