"""`open`: look at an .ardm file of an image and decode parts of it, wherever it lies. Knows tiles; the file
is bytes, a path, a URL, or a file object, of which only what is needed is read.
"""

from __future__ import annotations

import builtins
import os
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ardm.orders import PATCH
from codec.coder.schedule import Order
from codec.ending import operation
from codec.errors import InputError
from codec.image import decompress, open_within, whole_pixels
from codec.limits import Limits, limits_of
from codec.listing import coarse_step
from codec.opened import Opened, open_bytes, open_file
from codec.tiles import Box, as_given, decode_coarsely, decode_every, decode_tiles
from codec.urls import Url, UrlFile, is_url, local_path

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed import ReadableBuffer


class ImageReader:
    """An image in an .ardm file; nothing of it is decoded until it is asked for. Thread-safe.

    shape: (H, W) or (H, W, C); dtype: uint8 or uint16; width, height, channels. `read` and slices give
    pixels, `preview` a small picture, `describe` what the file says of itself.
    """

    def __init__(
        self,
        opened: Opened,
        limits: Limits,
        device: str = "cpu",
        threads: int = 0,
        closes: IO[bytes] | UrlFile | None = None,
    ) -> None:
        self._opened, self._limits, self._device, self._threads = opened, limits, device, threads
        self._closes = closes  # a file that this reader has opened
        header = opened.header
        self.width, self.height, self.channels = header.width, header.height, header.channels
        self.shape: tuple[int, ...] = (self.height, self.width) + (self.channels,) * header.channel_axis
        self.dtype = np.dtype("u1" if header.kind.size == 1 else "u2")
        self.ndim = len(self.shape)

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        said = self.describe()
        return (
            f"<ardm image {self.width} x {self.height}, {self.channels} x {said['bits_per_channel']} bit, "
            f"{said['bytes']} bytes>"
        )

    def close(self) -> None:
        """Close the file, if `open` has opened it."""
        if self._closes:
            self._closes.close()

    def describe(self) -> dict[str, object]:
        """What the file says of itself: a dict of plain values, as of `codec.info`."""
        return self._opened.describe()

    @property
    def metadata(self) -> tuple[tuple[int, bytes], ...]:
        """(type, payload) of the chunks of metadata, as FORMAT.md lists them."""
        return self._opened.header.metadata

    @operation
    def read(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        """Pixels of a box (left, upper, right, lower), as of Pillow's `Image.crop`; None: of the whole image.

        Only the tiles that the box touches are read and decoded, each checked by its checksum. Returns what
        `codec.decompress` would, cut out. Raises as it does, and ValueError for a box that is empty or not
        within the image.
        """
        if box is None:
            return decompress(self._opened, limits=self._limits, device=self._device, threads=self._threads)
        left, upper, right, lower = box
        if not (0 <= left < right <= self.width and 0 <= upper < lower <= self.height):
            raise ValueError(
                f"a box must be (left, upper, right, lower) within {self.width} x {self.height} pixels and "
                f"not empty, got {box}."
            )
        if self._opened.header.whole:
            return whole_pixels(self._opened, self._limits)[upper:lower, left:right].copy()
        part = Box(upper, left, lower - upper, right - left)
        self._check()
        out, _ = decode_tiles(self._opened, self._device, self._threads, box=part)
        return as_given(out, self._opened)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Slices of rows and columns (and channels), as of an array: reader[100:200, 50:80]. Only whole
        tiles are decoded, so that neighbouring parts should be asked for together.
        """
        keys = key if isinstance(key, tuple) else (key,)
        if any(k is Ellipsis for k in keys):
            at = next(i for i, k in enumerate(keys) if k is Ellipsis)
            keys = keys[:at] + (slice(None),) * (self.ndim - len(keys) + 1) + keys[at + 1 :]
        keys = keys + (slice(None),) * (self.ndim - len(keys))
        if len(keys) > self.ndim:
            raise IndexError(f"too many indices: the image has {self.ndim} axes, got {len(keys)}.")
        spans, within = [], []
        for k, size in zip(keys[:2], self.shape, strict=False):
            start, stop, kept = _span(k, size)
            spans.append((start, stop))
            within.append(kept)
        (upper, lower), (left, right) = spans
        if lower <= upper or right <= left:
            return np.empty(self.shape, dtype=self.dtype)[key]
        return self.read((left, upper, right, lower))[(*within, *keys[2:])]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("pixels must be decoded; copy=False cannot be.")
        return self.read().astype(dtype or self.dtype, copy=False)

    @operation
    def png(self, pixels: np.ndarray) -> bytes:
        """A PNG file of pixels that `read` or `preview` returned, with the palette and the colour profile of
        the image.
        """
        from codec import archive

        return archive.part(self._opened, pixels)

    @operation
    def preview(self, max_side: int) -> np.ndarray:
        """A small picture, no side longer than `max_side`, in the image's aspect ratio; the image itself if
        that is no larger. uint8 or uint16 (h, w) or (h, w, C).

        In lattice order only the coarse levels are decoded, every fourth or sixteenth pixel each way; in
        raster order all tiles are, and averaged. For people to look at: its values may change with any
        release. Palette indices cannot be averaged: of these it shows every n-th.
        """
        if max_side < 1:
            raise ValueError(f"max_side must be at least 1, got {max_side}.")
        if max_side >= max(self.width, self.height):
            return self.read()
        scale = max_side / max(self.width, self.height)
        shape = max(1, round(self.height * scale)), max(1, round(self.width * scale))
        if self._opened.header.whole:
            pixels = whole_pixels(self._opened, self._limits)
            return _shrink(pixels.reshape(*pixels.shape[:2], -1), shape).reshape(*shape, *pixels.shape[2:])
        self._check()
        # Tiles begin at multiples of PATCH. Averages of averages are coarse where little is averaged.
        has_levels = self._opened.header.schedule.order != Order.RASTER
        unit = PATCH if scale * PATCH ** (1 if has_levels else 2) <= 1 else 1
        grid = np.empty((-(-self.height // unit), -(-self.width // unit), self.channels), dtype=self.dtype)
        indexed = self._opened.header.kind.indexed
        parts = decode_coarsely(self._opened, 1 / scale, self._device, self._threads)
        for (top, left, height, width), step, part in parts:
            target = grid[top // unit :, left // unit :][: -(-height // unit), : -(-width // unit)]
            if step < unit:
                target[:] = _shrink(part, target.shape[:2], indexed)
            else:  # a coarse pixel stands for those around
                spread = part.repeat(step // unit, 0).repeat(step // unit, 1)
                target[:] = spread[: target.shape[0], : target.shape[1]]
        out = _shrink(grid, shape, indexed)
        return out if len(self.shape) == 3 else out[..., 0]

    @operation
    def every(self, step: int) -> np.ndarray:
        """Every step-th pixel each way, exactly: what self[::step, ::step] gives. In lattice and random order
        steps of 4, 16, ... take only the coarse levels, which is about as many times quicker.
        """
        if step < 1:
            raise ValueError(f"step must be at least 1, got {step}.")
        coarse = coarse_step(self._opened.header, step)
        if coarse == 1 or step % coarse:
            return self.read()[::step, ::step].copy()
        self._check()
        out = as_given(decode_every(self._opened, coarse, self._device, self._threads), self._opened)
        return out[:: step // coarse, :: step // coarse].copy() if step > coarse else out

    def _check(self) -> None:
        """That decoding is within the limits."""
        open_within(self._opened, self._limits, self._threads)


def _span(key: Any, size: int) -> tuple[int, int, Any]:
    """(start, stop of what must be decoded of an axis, what to index that with)."""
    if isinstance(key, slice):
        chosen = range(size)[key]
        if not chosen:
            return 0, 0, slice(None)
        low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1]) + 1
        return low, high, slice(None, None, chosen.step)
    if isinstance(key, int | np.integer):
        if not -size <= key < size:
            raise IndexError(f"index {key} is out of range for an axis of {size} pixels.")
        return int(key) % size, int(key) % size + 1, 0
    raise IndexError(f"an index must be an integer or a slice, got {type(key).__name__}.")


def _shrink(pixels: np.ndarray, shape: tuple[int, int], indexed: bool = False) -> np.ndarray:
    """uint8 or uint16 (h, w, C) -> (*shape, C), averaged; indices of a palette picked instead."""
    from PIL import Image

    if indexed:
        rows, columns = (np.arange(n) * m // n for n, m in zip(shape, pixels.shape, strict=False))
        return pixels[rows[:, None], columns]
    size = shape[1], shape[0]
    channels = [
        np.asarray(Image.fromarray(pixels[..., c].astype(np.float32)).resize(size, Image.Resampling.BOX))
        for c in range(pixels.shape[2])
    ]
    return np.rint(np.stack(channels, 2)).astype(pixels.dtype)


@operation
def open(
    source: str | os.PathLike[str] | IO[bytes] | ReadableBuffer,
    *,
    device: str = "cpu",
    threads: int = 0,
    max_pixels: int | None = None,
    limits: Limits | None = None,
) -> ImageReader:
    """Open an .ardm file of an image without decoding it.

    source: its bytes, a path, a URL such as s3://bucket/photo.ardm (`pip install 'ardm[fsspec]'` and what
    that needs for s3), or a binary file object that can seek. Of paths, URLs and file objects only the
    header, the index and the tiles that are decoded are read. device, threads, max_pixels, limits: as of
    `codec.decompress`.

    Raises as `codec.decompress` does, InputError for what is none of these or cannot be read.
    """
    limits = limits_of(limits, max_pixels)
    if isinstance(source, str | os.PathLike):
        file = _open_path(os.fspath(source), limits)
        try:
            return ImageReader(open_file(file, limits), limits, device, threads, file)
        except BaseException:
            file.close()
            raise
    if hasattr(source, "read") and hasattr(source, "seek"):
        return ImageReader(open_file(source, limits), limits, device, threads)
    return ImageReader(open_bytes(source, limits), limits, device, threads)


def _open_path(path: str, limits: Limits) -> IO[bytes] | UrlFile:
    try:
        if not is_url(path):
            return builtins.open(path, "rb")
        if (local := local_path(path)) is not None:
            return builtins.open(local, "rb")
        return Url(path).open(limits.max_memory)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
