"""`compress_batch`, `decompress_batch`: many images at once, so that all cores work whatever their sizes.

Knows tiles, and that the planes of all images are jobs alike; image files are further up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from ardm.exact.predictor import Predictor
from codec.coder.work import Progress, Work
from codec.ending import operation
from codec.errors import ArdmError, InputError
from codec.image import checked, compress, open_within, whole_pixels
from codec.limits import Limits, limits_of
from codec.opened import Opened
from codec.parallel import in_parallel, limited, set_threads
from codec.settings import Settings, settings_of
from codec.tiles import PlaneJob, plane_jobs, predictor_of, teller, unfolded

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Item:
    """One of the files, and what has been decoded of it."""

    def __init__(self, index: int, opened: Opened, device: str) -> None:
        self.index, self.opened = index, opened
        self.predictor: Predictor | None = predictor_of(opened.header, device)
        self.pixels: np.ndarray | None = None
        self._lock = Lock()

    def jobs(self) -> list[PlaneJob | None]:
        """What is to be done; None: all of it at once, of an image file that is kept whole."""
        if self.opened.header.whole:
            return [None]
        self._out, jobs = plane_jobs(self.opened)
        coded = [job for job in jobs if job.coded]
        self._left = len(coded)
        return list(coded)

    def do(self, job: PlaneJob | None, limits: Limits, threads: int, told: Progress) -> None:
        """Raises as `decompress` does. Whoever does the last job checks the whole."""
        if job is None:
            self.pixels = whole_pixels(self.opened, limits)
            return
        job.decode(Work(self.opened.header.schedule, self.predictor, threads, told))
        with self._lock:
            self._left -= 1
            last = not self._left
        if last:
            self.pixels = checked(unfolded(self._out, self.opened.header), self.opened)
            del self._out


@operation
def compress_batch(
    images: Iterable[np.ndarray], *, settings: Settings | None = None, **options: Any
) -> list[bytes]:
    """`compress` of many images: their .ardm files, in order, the same bytes. Thread-safe.

    images: arrays as `compress` takes them. settings, options: as of `compress`, for all of them. Each is
    compressed by one thread, as many at once as there are threads; the last ones by all that are left over.

    Raises what `compress` would have raised first, one image after the other, with "item N: " before it, N
    counted from 0; ValueError or TypeError for a bad option.
    """
    if isinstance(images, np.ndarray):
        raise InputError("expected several images, such as a list of arrays, got one; compress takes one.")
    chosen = settings_of(settings, options)
    set_threads(chosen.threads)
    stop = Event()
    told = teller(None, stop)

    def work(item: tuple[int, np.ndarray], threads: int) -> bytes:
        index, pixels = item
        try:
            with limited(threads):
                return compress(pixels, settings=replace(chosen, threads=0), progress=told)
        except ArdmError as error:
            raise _of_item(index, error) from error

    return in_parallel(work, list(enumerate(images)), stop)


@operation
def decompress_batch(
    files: Iterable[ReadableBuffer | Opened],
    *,
    device: str = "cpu",
    threads: int = 0,
    max_pixels: int | None = None,
    limits: Limits | None = None,
) -> list[np.ndarray]:
    """`decompress` of many .ardm files: their arrays, in order, each uint8 or uint16 (H, W) or (H, W, C).
    Thread-safe.

    files: bytes, or objects with the buffer protocol. device, threads, max_pixels, limits: as of
    `decompress`; the limits are for each image, and the arrays of all are in memory at the end. Tiles and
    planes of all images are decoded side by side, one thread each, so that all cores have work whether there
    are many small images or few large ones.

    Raises what `decompress` would have raised first, one file after the other, with "item N: " before it, N
    counted from 0.
    """
    if isinstance(files, bytes | bytearray | memoryview | str):
        raise InputError("expected several files, such as a list of bytes, got one; decompress takes one.")
    limits = limits_of(limits, max_pixels)
    set_threads(threads)
    items: list[_Item] = []
    refused: ArdmError | None = None
    for index, data in enumerate(files):
        try:
            items.append(_Item(index, open_within(data, limits, threads), device))
        except ArdmError as error:
            refused = _of_item(index, error)  # to be raised if none of those before it fails
            break
    stop = Event()
    told = teller(None, stop)

    def work(job: tuple[_Item, PlaneJob | None], spare: int) -> None:
        item, plane = job
        try:
            item.do(plane, limits, spare, told)
        except ArdmError as error:
            raise _of_item(item.index, error) from error

    in_parallel(work, [(item, job) for item in items for job in item.jobs()], stop)
    if refused:
        raise refused
    return [item.pixels for item in items if item.pixels is not None]


def _of_item(index: int, error: ArdmError) -> ArdmError:
    """The same error, which says whose it is."""
    renamed = type(error)(f"item {index}: {error}")
    renamed.__cause__ = error
    return renamed
