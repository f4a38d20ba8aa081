"""Axes by letter: which axes of an array are rows, columns, channels and planes, and what a part of it
touches. Knows arrays only.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from codec.errors import InputError
from codec.limits import Limits

BYTES = "bytes"  # instead of axes
PLANES, IMAGE, CHANNELS = "tz", "yx", "c"  # slowest first, as images follow each other
LETTERS = PLANES + IMAGE + CHANNELS
CHOICES = (
    "axes must name every axis of a chunk, one letter each: y rows and x columns (both are needed), c the 1 "
    "to 4 channels of an image, z planes and t times, each an image of its own; such as 'yx', 'yxc', 'cyx', "
    "'zyx' or 'tczyx'. Or 'bytes', for any other array."
)


class ChunkError(InputError, ValueError):
    """A chunk that cannot be coded as the axes say."""


def check_axes(axes: object) -> str:
    """The axes, if they are any. Raises ValueError, with the choices."""
    if axes == BYTES:
        return BYTES
    letters = set(axes) if isinstance(axes, str) else set[str]()
    if not isinstance(axes, str) or len(letters) < len(axes) or not set(IMAGE) <= letters <= set(LETTERS):
        raise ValueError(f"{CHOICES} Got {axes!r}.")
    return axes


def check_dtype(axes: str, dtype: np.dtype, ndim: int) -> None:
    """Raise ChunkError unless arrays of a dtype and so many axes can be coded with these axes."""
    if axes == BYTES:
        if dtype.hasobject or dtype.kind == "T" or not dtype.itemsize:
            raise ChunkError(f"axes 'bytes' are for numbers and other items of one size, got dtype {dtype}.")
    elif dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise ChunkError(f"images must be of uint8 or uint16, got {dtype}; axes 'bytes' take any dtype.")
    elif ndim != len(axes):
        raise ChunkError(f"axes {axes!r} name {len(axes)} axes, the array has {ndim}. {CHOICES}")


def check_chunk(axes: str, shape: tuple[int, ...]) -> None:
    """Raise ChunkError unless chunks of a shape, whose length `check_dtype` has seen, can be coded."""
    if axes == BYTES:
        return
    channels = shape[axes.index("c")] if "c" in axes else 1
    if not 1 <= channels <= 4:
        raise ChunkError(
            f"an image has 1 to 4 channels, axis c of the chunk has {channels}; name it z or t, and each is "
            "an image of its own, or make chunks smaller."
        )
    if not 0 < math.prod(shape) // channels <= Limits().max_pixels:
        raise ChunkError(
            f"a chunk must have 1 to {Limits().max_pixels} pixels, got shape {shape}; make chunks smaller."
        )


def by_image(array: np.ndarray, axes: str) -> np.ndarray:
    """A view (T, Z, H, W), or (T, Z, H, W, C) where there are channels, of an array with these axes."""
    out = array.transpose([axes.index(letter) for letter in LETTERS if letter in axes])
    for i, letter in enumerate(PLANES):
        if letter not in axes:
            out = np.expand_dims(out, i)
    return out


def from_images(images: np.ndarray, axes: str) -> np.ndarray:
    """Inverse of `by_image`."""
    out = images.squeeze(tuple(i for i, letter in enumerate(PLANES) if letter not in axes))
    order = [letter for letter in LETTERS if letter in axes]
    return out.transpose([order.index(letter) for letter in axes])


class Part:
    """What array[selection] touches of an array with these axes: `planes`, the (t, z) that are, and `box`,
    (left, upper, right, lower), the least that holds all of their pixels that are.
    """

    def __init__(self, selection: Any, axes: str, shape: tuple[int, ...]) -> None:
        """selection: integers, slices, arrays of integers or booleans, one for each axis, or fewer."""
        keys = selection if isinstance(selection, tuple) else (selection,)
        keys += (slice(None),) * (len(shape) - len(keys))
        self._within, spans, touched = [], {}, {}
        for letter, key, size in zip(axes, keys, shape, strict=True):
            places = np.unique(np.arange(size)[key])
            # channels are decoded together
            few = places.size and letter not in CHANNELS
            spans[letter] = start, stop = (int(places[0]), int(places[-1]) + 1) if few else (0, size)
            touched[letter] = places.tolist()
            self._within.append(_moved(key, start, stop, size))
        (upper, lower), (left, right) = (spans[letter] for letter in IMAGE)
        self.box = left, upper, right, lower
        self.everything = all(len(touched[a]) == size for a, size in zip(axes, shape, strict=True))
        self.nothing = not all(touched.values())
        times, levels = (touched.get(letter, [0]) for letter in PLANES)
        self.planes = [(t, z) for t in times for z in levels]
        self._first = tuple(spans.get(letter, (0, 1))[0] for letter in PLANES)
        self._counts = tuple(stop - start for start, stop in (spans.get(a, (0, 1)) for a in PLANES))
        self._axes = axes

    def empty(self, channels: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """(T, Z, H, W, *channels), for what lies within the bounds of the selection."""
        left, upper, right, lower = self.box
        return np.empty((*self._counts, lower - upper, right - left, *channels), dtype)

    def place(self, plane: tuple[int, int]) -> tuple[int, int]:
        """Where in that a plane belongs."""
        return plane[0] - self._first[0], plane[1] - self._first[1]

    def select(self, images: np.ndarray) -> np.ndarray:
        """array[selection], given what `empty` made, filled. Planes not touched may hold anything."""
        return np.asarray(from_images(images, self._axes)[tuple(self._within)])


def _moved(key: Any, start: int, stop: int, size: int) -> Any:
    """What gives of an axis from start to stop what the key gives of all of it."""
    if isinstance(key, slice):
        chosen = range(size)[key]
        if not chosen:
            return slice(0, 0)
        end = chosen.stop - start
        return slice(chosen.start - start, end if end >= 0 else None, chosen.step)
    key = np.asarray(key)
    return key[start:stop] if key.dtype == bool else key % size - start
