"""Kinds of samples, and how an image of any kind becomes planes of bytes, which is all that tiles are coded
from. Knows arrays only.

A sample of 16 bits is two bytes, each in a plane of its own; a smaller one, or an index of a palette, is a
byte with a small number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.ma import MaskedArray

from codec.errors import InputError

DEPTHS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Kind:
    """What a sample is."""

    depth: int = 8  # bits: 1, 2, 4 (one channel only), 8 or 16
    indexed: bool = False  # an index of a palette, which is kept elsewhere; one channel, at most 8 bits

    def fits(self, channels: int) -> bool:
        """Whether there can be images of this kind."""
        return (
            self.depth in DEPTHS
            and (channels == 1 or (self.depth >= 8 and not self.indexed))
            and not (self.indexed and self.depth > 8)
        )

    @property
    def size(self) -> int:
        """Bytes of a sample."""
        return 2 if self.depth == 16 else 1

    @property
    def few(self) -> bool:
        """Whether samples are labels or coarse steps rather than levels of light, which the network does not
        know.
        """
        return self.indexed or self.depth < 8

    @property
    def dtype(self) -> np.dtype:
        """Of an array of such samples: uint8, or uint16 with the low byte first on every machine."""
        return np.dtype("<u2" if self.depth == 16 else "u1")


def plane_count(channels: int, kind: Kind) -> int:
    """Length of `planes`."""
    return len(plane_channels(channels, kind))


def plane_channels(channels: int, kind: Kind) -> list[int]:
    """Channels, 3 or 1, of each of `planes`."""
    colour = channels if channels in (1, 3) else channels - 1
    return [colour] * kind.size + [1] * kind.size * (colour < channels)


def planes(part: np.ndarray) -> list[np.ndarray]:
    """Views of the bytes of a part of an image: high bytes of its colour (or grey), then low bytes, then the
    same of alpha where there is one.

    part: uint8 or little-endian uint16 (h, w, c), c from 1 to 4, last axis contiguous. Each view: uint8 (h,
    w, 3 or 1).
    """
    part_bytes = part.view(np.uint8).reshape(*part.shape, part.itemsize)
    return [group[..., byte] for group in samples_of(part_bytes) for byte in reversed(range(part.itemsize))]


def samples_of(part: np.ndarray) -> list[np.ndarray]:
    """Views of the samples of a part of an image, (h, w, c, ...): colour (or grey), then alpha where there is
    one, each (h, w, 3 or 1, ...).
    """
    return [part] if part.shape[2] in (1, 3) else [part[:, :, :-1], part[:, :, -1:]]


def widened(array: np.ndarray) -> bool:
    """Whether samples of 16 bits seem to have been made of 8 bits each, as v * 257: most low bytes are like
    the high ones, even apart from zeros.
    """
    dark = array.size - np.count_nonzero(array)
    return array.itemsize == 2 and bool(
        2 * (np.count_nonzero((array & 255) == (array >> 8)) - dark) > array.size - dark
    )


def fold(array: np.ndarray) -> np.ndarray:
    """Samples of 16 bits with the high byte subtracted from the low one, modulo 256: a widened sample has 0
    there.
    """
    return ((array & 0xFF00) | ((array - (array >> 8)) & 255)).astype(array.dtype, copy=False)


def unfold(array: np.ndarray) -> np.ndarray:
    """Inverse of `fold`."""
    return ((array & 0xFF00) | ((array + (array >> 8)) & 255)).astype(array.dtype, copy=False)


def as_samples(pixels: np.ndarray, kind: Kind | None) -> tuple[np.ndarray, Kind]:
    """An image as a caller gives it -> ((H, W, C), contiguous, of `kind.dtype`; kind). kind None: what the
    dtype says. Raises InputError.
    """
    if not isinstance(pixels, np.ndarray) or pixels.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise InputError(
            "pixels must be a NumPy array of uint8 or uint16, got "
            f"{getattr(pixels, 'dtype', type(pixels).__name__)}."
        )
    if isinstance(pixels, MaskedArray):
        raise InputError(
            "pixels are a masked array, whose mask would be lost; compress its .data, or .filled(value)."
        )
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 2, 3, 4)):
        raise InputError(
            f"pixels must have shape (H, W) or (H, W, C) with C from 1 to 4, got {pixels.shape}."
        )
    if not pixels.size or max(pixels.shape) >= 2**32:
        raise InputError(f"pixels must not be empty, got shape {pixels.shape}.")
    kind = kind or Kind(8 * pixels.itemsize)
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if not kind.fits(channels) or kind.size != pixels.itemsize:
        raise InputError(
            f"{channels} channels of {pixels.dtype} cannot hold samples of {kind.depth} "
            f"bits{', indexed' * kind.indexed}."
        )
    if not in_range(pixels, kind):
        raise InputError(f"samples of {kind.depth} bits must be below {2**kind.depth}, found {pixels.max()}.")
    return np.ascontiguousarray(pixels, dtype=kind.dtype).reshape(*pixels.shape[:2], channels), kind


def in_range(pixels: np.ndarray, kind: Kind) -> bool:
    """Whether all samples have no more bits than their kind says."""
    return kind.depth in (8, 16) or not int(pixels.max()) >> kind.depth
