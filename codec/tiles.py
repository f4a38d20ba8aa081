"""The tiles of an image: their shape, and decoding all or some of them, several at once. Knows the container
and coders by the table of methods; image files are further up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Lock
from typing import TypeVar

import numpy as np

from ardm.exact import window
from ardm.exact.device import find_device
from ardm.exact.predictor import Predictor
from ardm.orders import PATCH
from ardm.released import WeightsError
from codec import container, ending
from codec.coder.schedule import Order
from codec.coder.work import Progress, Work
from codec.container import Header
from codec.errors import ArdmError, CorruptError, UnsupportedError
from codec.methods import METHODS, Extent, Method, coder_of
from codec.opened import Opened, check_payload, place_of
from codec.parallel import in_parallel, set_threads
from codec.presets import TILE
from codec.samples import in_range, samples_of, unfold
from codec.samples import planes as split

BLOCKS = 16  # pixels each way of which a JPEG's blocks, of all components, are the same
ALONE = 2**18  # pixels of an image that is one tile at most: larger ones keep two cores busy
Note = TypeVar("Note")


def tile_shape(height: int, width: int, tile: int | None) -> tuple[int, int]:
    """(height, width) of equal tiles, no side above `tile`: multiples of 16, which cut no block of a JPEG (of
    4 where `tile` is no such); without one, an image of more than ALONE pixels has two tiles or more.
    """
    unit = PATCH if (tile or TILE) % BLOCKS else BLOCKS
    shape = [math.ceil(size / (tile or TILE)) for size in (height, width)]
    if tile is None and shape == [1, 1] and height * width > ALONE:
        shape[int(width > height)] = 2
    rows, columns = (
        math.ceil(math.ceil(size / count) / unit) * unit
        for size, count in zip((height, width), shape, strict=True)
    )
    return rows, columns


@dataclass(frozen=True)
class PlaneJob:
    """A plane of a tile that is to be decoded."""

    index: int  # of all planes of the file
    # a view of the image: uint8 (h, w, 1 or 3); uint16 if both bytes are coded together; (h, w, C) if all
    # planes of the tile are
    target: np.ndarray
    top: int
    left: int
    opened: Opened

    @property
    def method(self) -> int:
        return self.opened.header.entries[self.index].method

    @property
    def coded(self) -> bool:
        """Whether there is anything to be decoded: low bytes or alpha may be in what the plane before
        decodes.
        """
        return bool(METHODS[Method(self.method)].coder)

    def decode(self, work: Work) -> None:
        """Check the payload and decode it into the target. Raises as `decoded` does."""
        self.target[:] = self.decoded(work)

    def decoded(self, work: Work) -> np.ndarray:
        """Check the payload and decode it. Raises a subclass of ArdmError that says which tile it was."""
        payload, where = self.opened.payload(self.index), place_of(self.top, self.left)
        check_payload(payload, self.opened.header.entries[self.index], where)
        try:
            return self.decode_payload(payload, work)
        except ArdmError as error:
            raise type(error)(f"{where}: {error}") from error

    def decode_payload(self, payload: bytes, work: Work) -> np.ndarray:
        """Decode a payload, as long as it is."""
        height, width, channels = self.target.shape
        return coder_of(self.method).decode(payload, (height, width, channels), work)


Mend = Callable[[PlaneJob, Work, ArdmError], Note]


@dataclass(frozen=True)
class Box:
    """A part of an image, in pixels; the tiles that it touches are decoded."""

    top: int
    left: int
    height: int
    width: int

    def touches(self, tile: tuple[int, int, int, int]) -> bool:
        """tile: (top, left, height, width)."""
        top, left, height, width = tile
        return (
            top < self.top + self.height
            and self.top < top + height
            and left < self.left + self.width
            and self.left < left + width
        )


def decode_tiles(
    opened: Opened,
    device: str = "cpu",
    threads: int = 0,
    predictor: Predictor | None = None,
    progress: Progress | None = None,
    mend: Mend[Note] | None = None,
    box: Box | None = None,
) -> tuple[np.ndarray, list[Note | None]]:
    """(samples (H, W, C) of the kind's dtype, of the box if one is given; of every plane that was decoded, in
    the order of the index, what `mend` returned, or None).

    opened: a file that is not kept whole. mend(job, work, error): called for every damaged plane, rather than
    raise its error.
    """
    header = opened.header
    set_threads(threads)
    predictor = predictor or predictor_of(header, device)
    stop = Event()
    told = teller(progress, stop)

    def work(job: PlaneJob, spare: int) -> Note | None:
        given = Work(header.schedule, predictor, spare, told)
        try:
            job.decode(given)
        except ArdmError as error:
            if mend is None or stop.is_set():
                raise
            return mend(job, given, error)
        return None

    out, jobs = plane_jobs(opened, box)
    coded = [i for i, job in enumerate(jobs) if job.coded]
    notes: list[Note | None] = [None] * len(jobs)
    for i, note in zip(coded, in_parallel(work, [jobs[i] for i in coded], stop), strict=True):
        notes[i] = note
    for i in set(range(len(jobs))) - set(coded):
        notes[i] = notes[i - 1]
    if box:
        out = out[box.top - jobs[0].top :][: box.height, box.left - jobs[0].left :][:, : box.width]
    return unfolded(out, header), notes


def plane_jobs(opened: Opened, box: Box | None = None) -> tuple[np.ndarray, list[PlaneJob]]:
    """(an image of the header's shape and dtype, or as much of it as the tiles that the box touches; what is
    to be decoded into it, in the order of the index).
    """
    header = opened.header
    chosen = [(i, tile) for i, tile in enumerate(header.tiles) if box is None or box.touches(tile)]
    top, left = chosen[0][1][:2]
    bottom, right = (chosen[-1][1][axis] + chosen[-1][1][axis + 2] for axis in (0, 1))
    out = np.empty((bottom - top, right - left, header.channels), dtype=header.kind.dtype)
    jobs = [
        job
        for i, (y, x, h, w) in chosen
        for job in _jobs_of(opened, i, out[y - top : y - top + h, x - left : x - left + w])
    ]
    return out, jobs


def _jobs_of(opened: Opened, tile: int, part: np.ndarray) -> list[PlaneJob]:
    """The planes of a tile, which are to be decoded into a part of an image."""
    header, jobs = opened.header, []
    top, left, _, _ = header.tiles[tile]
    for j, plane in enumerate(split(part)):
        index = tile * header.planes + j
        extent = METHODS[Method(header.entries[index].method)].extent
        target = {
            Extent.PLANE: plane,
            Extent.SAMPLES: samples_of(part)[j // header.kind.size],
            Extent.TILE: part,
        }
        jobs.append(PlaneJob(index, target[extent], top, left, opened))
    return jobs


Tile = tuple[int, int, int, int]  # top, left, height, width


def decode_coarsely(
    opened: Opened, factor: float, device: str = "cpu", threads: int = 0
) -> list[tuple[Tile, int, np.ndarray]]:
    """(tile, step, samples (h, w, C) of it, every step-th each way) of every tile. The step is the largest
    power of `PATCH` that is no larger than `factor`, 1 where no plane was coded from coarse to fine.
    """
    header = opened.header
    set_threads(threads)
    predictor = predictor_of(header, device)
    stop = Event()
    told = teller(None, stop)
    level = 0
    while predictor and header.schedule.order != Order.RASTER and PATCH ** (level + 1) <= factor:
        level += 1

    def work(index: int, spare: int) -> tuple[Tile, int, np.ndarray]:
        _, _, height, width = header.tiles[index]
        step = header.schedule.step(level, height, width)
        whole = np.empty((height, width, header.channels), dtype=header.kind.dtype)
        part = np.empty(whole[::step, ::step].shape, dtype=whole.dtype)
        given = Work(header.schedule, predictor, spare, told, level=level)
        for job, target in zip(_jobs_of(opened, index, whole), _jobs_of(opened, index, part), strict=True):
            if job.coded:
                values = job.decoded(given)
                target.target[:] = values if values.shape == target.target.shape else values[::step, ::step]
        return header.tiles[index], step, unfolded(part, header)

    return in_parallel(work, range(header.tile_count), stop)


def decode_every(opened: Opened, step: int, device: str = "cpu", threads: int = 0) -> np.ndarray:
    """Every step-th pixel each way of an image, without decoding the levels below: samples (ceil(H / step),
    ceil(W / step), C). step: one that `codec.listing.coarse_step` returned.
    """
    header = opened.header
    shape = -(-header.height // step), -(-header.width // step), header.channels
    out = np.empty(shape, dtype=header.kind.dtype)
    for (top, left, _, _), taken, part in decode_coarsely(opened, step, device, threads):
        kept = part[:: step // taken, :: step // taken]
        y, x = top // step, left // step
        out[y : y + kept.shape[0], x : x + kept.shape[1]] = kept
    return out


def unfolded(out: np.ndarray, header: Header) -> np.ndarray:
    """What tiles were decoded to, as samples."""
    return unfold(out) if header.folded else out


def as_given(out: np.ndarray, opened: Opened) -> np.ndarray:
    """Samples (H, W, C) as the caller of `compress` had them: their shape, in this machine's byte order.
    Raises CorruptError if one has too many bits.
    """
    kind = opened.header.kind
    if not in_range(out, kind):
        raise CorruptError(f"a sample is {out.max()}, but has {kind.depth} bits.")
    out = owned(out.astype(out.dtype.newbyteorder("="), copy=False))
    if not opened.header.channel_axis:
        # in place: a view would not own its memory, and a copy would take as much again
        out.resize(out.shape[:2], refcheck=False)
    return out


def owned(array: np.ndarray) -> np.ndarray:
    """The array, or a copy: writable, contiguous, and the owner of its memory."""
    return np.require(array, requirements=["C", "W", "O"])


def pixel_digest(array: np.ndarray) -> bytes:
    """The header's hash of all samples, (H, W, C), of `Kind.dtype`."""
    return container.digest(np.ascontiguousarray(array).data)


def load_predictor(device: str = "cpu", weights_id: str = window.PHOTO_ID) -> Predictor:
    """Weights of this release by id, on a device. Raises UnsupportedError for an unknown id."""
    try:
        return Predictor(window.load(weights_id), find_device(device))
    except WeightsError as error:
        raise UnsupportedError(str(error)) from error


def predictor_of(header: Header, device: str) -> Predictor | None:
    """What the planes of an image need, None if no network. Raises UnsupportedError for unknown weights."""
    network = any(METHODS[Method(entry.method)].network for entry in header.entries)
    return load_predictor(device, header.weights_id) if network else None


def teller(progress: Progress | None, stop: Event) -> Progress:
    """`progress`, safe to call from several threads, which ends the calling job once `stop` is set."""
    lock = Lock()

    def told(count: int) -> None:
        ending.check()
        if stop.is_set():
            raise ArdmError("stopped, because another tile failed.")
        if progress:
            with lock:
                progress(count)

    return told
