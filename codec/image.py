"""`compress` and `decompress`: arrays to bytes and back. Knows tiles, planes and budgets; image files are
next door (`codec.archive`).
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from threading import Event, Lock
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ardm import budget as budgets
from ardm.exact import window
from ardm.exact.carriers import find_device
from ardm.exact.predictor import Predictor, by_torch, new_canvas, windows
from ardm.exact.window import WindowWeights
from ardm.orders import PATCH, PHASES, group_breaks
from ardm.released import WeightsError
from codec import container, cost, ending
from codec.coder import fine, plain, stored
from codec.coder.mixing import Mixing
from codec.coder.rest import Rest
from codec.coder.schedule import MAX_CALLS, Order, Schedule, level_shapes
from codec.coder.selftest import check_coder
from codec.coder.walk import planar, walk
from codec.container import (
    METHOD_FINE,
    METHOD_GRAPHICS,
    METHOD_INCLUDED,
    METHOD_NETWORK,
    Entry,
    Header,
    as_bytes,
    read_varint,
    varint,
)
from codec.ending import operation
from codec.errors import ArdmError, CorruptError, TruncatedError, UnsupportedError, VerifyError
from codec.limits import NO_LIMITS, Limits, limits_of
from codec.parallel import in_parallel, set_threads, thread_count
from codec.presets import ORDERS
from codec.samples import Kind, as_samples, fold, in_range, samples_of, unfold, widened
from codec.samples import planes as split

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

TILE = 1024  # largest side of a tile; larger tiles save little, and memory grows with them
ALONE = 2**18  # pixels of an image that is one tile at most: larger ones keep two cores busy
# rows of a strip in raster order: as many pixels as share a load of weights (`ardm.exact.evaluate.BLOCK`)
STRIP = 4
# rough bits per subpixel of coding level 0, 1, 2, ... without the network
ROOT_BITS = (8.0, 5.5, 6.5, 7.5, 8.0)
# planes that zlib shrinks below this share may be graphics, and are coded both with and without the network
GRAPHICS = 0.3
EMPTY = 200  # a plane that zlib shrinks by more than this is worth no seconds of work
# Samples of 16 bits may be smaller byte by byte if zlib needs less than HOPE times what the fine coder does,
# and less than this share of them.
HOPE, NOISE = 1.15, 0.75
CHECKED = 64  # pixels of each plane for which verification asks the network another way
Progress = Callable[[int], None]  # told the subpixels done since the last call
Note = TypeVar("Note")


@operation
def compress(
    pixels: np.ndarray,
    *,
    budget: int | None = None,
    order: str = "auto",
    seed: int | None = None,
    plain: bool = False,
    device: str = "cpu",
    threads: int = 0,
    tile: int | None = None,
    verify: bool = True,
    metadata: tuple[tuple[int, bytes], ...] = (),
    predictor: Predictor | None = None,
    progress: Progress | None = None,
    kind: Kind | None = None,
) -> bytes:
    """Compress an image without loss.

    pixels: uint8 or uint16 (H, W) or (H, W, C), C = 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA. kind: what the
    samples are, if not levels of as many bits as the dtype has: `codec.samples.Kind(4)` for numbers below 16,
    `Kind(8, indexed=True)` for indices of a palette. budget: most network calls per tile; None: as many as
    raster order takes. More calls, smaller files, same weights, and the same work in all. order: "raster",
    "lattice", or "auto", what the budget allows and the measured bits favour. seed: code pixels in a seeded
    random order instead, for study. plain: by the network's distributions alone, without learning from the
    image while it is coded: quicker and larger. device: "cpu", "cuda" or "auto", for lattice and random
    order. threads: CPU threads to use from now on in this process; 0 leaves them as they are. tile: largest
    side of a tile, a multiple of 4; None: as suits the image. verify: decode the result, and compare. The
    bytes depend on pixels, kind, budget, order, seed, plain and tile only. Thread-safe.

    Returns the bytes of an .ardm file. Raises InputError for an array of another kind, VerifyError,
    ValueError for a bad argument.
    """
    array, kind = as_samples(pixels, kind)
    _check_arguments(budget, order, seed, tile)
    set_threads(threads)
    predictor = predictor or load_predictor(device)
    height, width, channels = array.shape
    shape = tile_shape(height, width, tile or (None if _is_photo(array, kind) else TILE))
    schedule = plan(
        predictor.weights, min(shape[0], height), min(shape[1], width), budget, order, seed, plain
    )
    header = Header(
        width,
        height,
        channels,
        shape,
        predictor.weights.id,
        schedule,
        pixels.ndim == 3,
        pixel_digest(array),
        metadata=metadata,
        kind=kind,
    )
    if widened(array):
        header, array = replace(header, folded=True), fold(array)
    stop = Event()
    told = _teller(progress, stop)
    parts = [array[top : top + h, left : left + w] for top, left, h, w in header.tiles]

    def work(job: np.ndarray, spare: int) -> list[tuple[int, bytes]]:
        if job.itemsize == 2:
            return encode_samples(job, predictor, schedule, spare, told)
        return [encode_plane(job, predictor, schedule, told, kind.few)]

    jobs = [
        job
        for part in parts
        for job in (samples_of(part) if kind.size == 2 and not header.folded else split(part))
    ]
    coded = list(itertools.chain.from_iterable(in_parallel(work, jobs, stop)))
    entries = tuple(Entry(method, len(payload), zlib.crc32(payload)) for method, payload in coded)
    header = replace(header, entries=entries)
    data = container.write(header, [payload for _, payload in coded])
    if verify:
        _verify(data, pixels, header, array, predictor, progress)
    return data


def _is_photo(array: np.ndarray, kind: Kind) -> bool:
    """Whether an image is hardly graphics, which gain more from being one tile than two cores are worth."""
    colours = split(array)[0]
    return (
        not kind.few
        and array.shape[0] * array.shape[1] > ALONE
        and _roughly(colours) >= GRAPHICS * colours.size
    )


def _check_arguments(budget: int | None, order: str, seed: int | None, tile: int | None) -> None:
    if budget is not None and budget < 1:
        raise ValueError(f"budget must be at least 1 network call, got {budget}.")
    if tile is not None and (tile < PATCH or tile % PATCH or tile > container.MAX_TILE):
        raise ValueError(f"tile must be a multiple of {PATCH} up to {container.MAX_TILE}, got {tile}.")
    if seed is not None and not 0 <= seed < 2**32:
        raise ValueError(f"seed must be within 0..2**32-1, got {seed}.")
    if order not in ORDERS or (seed is not None and order == "raster"):
        raise ValueError(
            f"order must be one of {', '.join(ORDERS)}, and not raster with a seed; got {order!r} with "
            f"{seed=}."
        )


def _verify(
    data: bytes,
    pixels: np.ndarray,
    header: Header,
    array: np.ndarray,
    predictor: Predictor,
    progress: Progress | None,
) -> None:
    """Raise VerifyError unless the file decodes to the pixels, and the network, asked another way, gives the
    parameters it was coded with.
    """
    try:
        same = np.array_equal(
            decompress(data, predictor=predictor, limits=NO_LIMITS, progress=progress), pixels
        )
    except ArdmError:
        same = False
    if not same:
        raise VerifyError(
            "the compressed data does not decode to the image that went in; nothing was kept. Please "
            "report this image."
        )
    planes = itertools.chain.from_iterable(
        split(array[top : top + h, left : left + w]) for top, left, h, w in header.tiles
    )
    for plane, entry in zip(planes, header.entries, strict=True):
        if entry.method == METHOD_NETWORK and not _agrees(plane, predictor):
            raise VerifyError(
                "two ways to compute the network differ on this machine; nothing was kept. Please report "
                "this image and machine."
            )


def _agrees(plane: np.ndarray, predictor: Predictor) -> bool:
    """Whether compiled code and torch's float64 products give the same parameters for some pixels of a plane,
    every second one of which is known.
    """
    height, width, _ = plane.shape
    canvas = new_canvas(height, width)
    canvas.image[:] = plane
    canvas.mask[::2], canvas.mask[1::2, ::2] = True, True
    step = max(1, height * width // CHECKED)
    where = np.stack(np.divmod(np.arange(step // 2, height * width, step), width), 1).astype(np.int32)
    compiled = Predictor(predictor.weights).scattered(canvas, where)
    other = by_torch(predictor.weights, *windows(canvas, where, predictor.weights.config.radius), "cpu")
    return all(np.array_equal(a, b) for a, b in zip(compiled, other, strict=True))


@operation
def decompress(
    data: ReadableBuffer,
    *,
    device: str = "cpu",
    threads: int = 0,
    max_pixels: int | None = None,
    limits: Limits | None = None,
    predictor: Predictor | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Inverse of `compress`: uint8 or uint16 (H, W) or (H, W, C), exactly what went in, on every machine.
    Thread-safe.

    data: bytes, or any object with the buffer protocol. The array is the caller's own: writable, of memory
    that nothing else refers to.

    limits: what the image may cost, `Limits()` if left out; max_pixels: its max_pixels. What costs more is
    told from the header and index, before anything is allocated.

    Raises a subclass of ArdmError: NotArdmError, TruncatedError, CorruptError (a checksum does not match),
    UnsupportedError (version, feature or weights of another release), LimitError (the image needs more than
    `limits` allow).
    """
    data, limits = as_bytes(data), limits_of(limits, max_pixels)
    header, at = open_file(data, limits, threads)
    if header.whole:
        return whole_pixels(data, header, at, limits)
    out, _ = decode_tiles(data, header, at, device, threads, predictor, progress)
    found = pixel_digest(out)
    if found != header.digest:
        raise CorruptError(
            f"hash of the decoded pixels does not match. Stored: {header.digest.hex()}. Computed: "
            f"{found.hex()}."
        )
    return as_given(out, header)


def open_file(data: bytes, limits: Limits, threads: int, salvage: bool = False) -> tuple[Header, int]:
    """What `container.read` says of a file, once its cost is known to be within the limits and its payloads
    are long enough for its pixels.
    """
    header, at = container.read(data, limits, salvage)
    cost.check(cost.of(header, len(data), threads or thread_count()), limits)
    cost.check_payloads(header)
    return header, at


def whole_pixels(data: bytes, header: Header, at: int, limits: Limits) -> np.ndarray:
    """The pixels of an image file that is kept whole, given what `open_file` returned. Raises as `decompress`
    does.
    """
    from codec import png
    from codec.formats import sources

    source = container.read_whole(data, header, at)
    try:
        look = sources.look(source, limits.max_pixels)
        if look.lossy:  # whose pixels depend on who decodes it
            raise UnsupportedError(
                f"the file keeps a {look.format.label} whole, which was made by lossy compression; "
                "ardm-decompress restores it."
            )
        return owned(look.load().image.pixels)
    except (png.IndivisibleError, CorruptError) as error:  # what is wrong with the file that is kept
        why = f"the file keeps another whole, because {str(error).removesuffix('.')}"
        raise UnsupportedError(f"{why}; ardm-decompress restores it.") from error


def decode_tiles(
    data: bytes,
    header: Header,
    at: int,
    device: str,
    threads: int,
    predictor: Predictor | None,
    progress: Progress | None,
    mend: Callable[[PlaneJob, Predictor | None, int, ArdmError], Note] | None = None,
) -> tuple[np.ndarray, list[Note | None]]:
    """(samples (H, W, C) of the kind's dtype; of every plane, in the order of the index, what `mend`
    returned, or None).

    header, at: from `open_file`, of a file that is not kept whole. mend(job, predictor, threads, error):
    called for every damaged plane, rather than raise its error.
    """
    set_threads(threads)
    if predictor is None and any(entry.method == METHOD_NETWORK for entry in header.entries):
        predictor = load_predictor(device, header.weights_id)
    out = np.empty((header.height, header.width, header.channels), dtype=header.kind.dtype)
    stop = Event()
    told = _teller(progress, stop)

    def work(job: PlaneJob, spare: int) -> Note | None:
        try:
            job.decode(data, predictor, header.schedule, spare, told)
        except ArdmError as error:
            if mend is None or stop.is_set():
                raise
            return mend(job, predictor, spare, error)
        return None

    jobs = _plane_jobs(header, out, at)
    why: list[Note | None] = [None] * len(jobs)
    # in what the one before decodes
    included = {i for i, job in enumerate(jobs) if job.entry.method == METHOD_INCLUDED}
    chosen = [i for i in range(len(jobs)) if i not in included]
    for i, said in zip(chosen, in_parallel(work, [jobs[i] for i in chosen], stop), strict=True):
        why[i] = said
    for i in included:
        why[i] = why[i - 1]
    return (unfold(out) if header.folded else out), why


def as_given(out: np.ndarray, header: Header) -> np.ndarray:
    """Samples (H, W, C) as the caller of `compress` had them: their shape, in this machine's byte order.
    Raises CorruptError if one has too many bits.
    """
    if not in_range(out, header.kind):
        raise CorruptError(f"a sample is {out.max()}, but has {header.kind.depth} bits.")
    out = out.astype(out.dtype.newbyteorder("="), copy=False)
    if not header.channel_axis:
        # in place: a view would not own its memory, and a copy would take as much again
        out.resize(out.shape[:2], refcheck=False)
    return owned(out)


def owned(array: np.ndarray) -> np.ndarray:
    """The array, or a copy: writable, contiguous, and the owner of its memory."""
    return np.require(array, requirements=["C", "W", "O"])


@dataclass(frozen=True)
class PlaneJob:
    """A plane of a tile that is to be decoded."""

    index: int  # of all planes
    target: np.ndarray  # uint8 (h, w, 1 or 3), a view of the image; uint16 if coded by METHOD_FINE
    top: int
    left: int
    entry: Entry
    at: int  # where its payload begins

    def decode(
        self,
        data: bytes,
        predictor: Predictor | None,
        schedule: Schedule,
        threads: int,
        progress: Progress | None,
    ) -> None:
        """Check the payload and decode it into the target. data: the file. Raises a subclass of ArdmError
        that says which tile it was.
        """
        payload = data[self.at : self.at + self.entry.length]
        where = f"tile at row {self.top}, column {self.left}"
        if len(payload) < self.entry.length:
            raise TruncatedError(
                f"{where}: {self.entry.length - len(payload)} of its {self.entry.length} bytes are missing."
            )
        found = zlib.crc32(payload)
        if found != self.entry.crc:
            raise CorruptError(
                f"checksum of the {where} does not match. Stored: {self.entry.crc:08x}. Computed: "
                f"{found:08x}."
            )
        try:
            self.target[:] = decode_plane(
                self.entry.method, payload, self.target.shape, predictor, schedule, threads, progress
            )
        except ArdmError as error:
            raise type(error)(f"{where}: {error}") from error


def _plane_jobs(header: Header, out: np.ndarray, at: int) -> list[PlaneJob]:
    """What is to be decoded into `out`, of the image's shape and dtype, given where the first payload begins;
    in the order of the index.
    """
    jobs: list[PlaneJob] = []
    entries = iter(header.entries)
    for top, left, h, w in header.tiles:
        planes = split(out[top : top + h, left : left + w])
        samples = samples_of(out[top : top + h, left : left + w])
        for i, plane in enumerate(planes):
            entry = next(entries)
            target = samples[i // 2] if entry.method == METHOD_FINE else plane
            jobs.append(PlaneJob(len(jobs), target, top, left, entry, at))
            at += entry.length
    return jobs


# ---- one plane of one tile ---------------------------------------------------------------------------------


def encode_plane(
    plane: np.ndarray, predictor: Predictor, schedule: Schedule, progress: Progress | None, few: bool = False
) -> tuple[int, bytes]:
    """plane: uint8 (h, w, 1 or 3). few: as in `codec.samples.Kind`. Returns (method, payload), the smallest
    of: by the network, by the coder for graphics if the plane may be such, and stored."""
    rough = _roughly(plane)
    tried = []
    if rough * EMPTY >= plane.size:
        if not few:  # labels and coarse steps are never for the network, which has not seen such
            check_coder(schedule.plain)
            tried.append((METHOD_NETWORK, encode_network(plane, predictor, schedule, progress)))
        if few or (rough < GRAPHICS * plane.size and not schedule.plain):
            check_coder(False)
            tried.append((METHOD_GRAPHICS, encode_graphics(plane)))
    if progress and (few or not tried):
        progress(plane.size)
    method, payload = min(tried, key=lambda t: len(t[1]), default=(stored.RAW, plane.tobytes()))
    if not tried or few or rough * 0.7 < len(payload) or len(payload) >= plane.size:
        other = stored.encode(plane)
        if len(other[1]) <= len(payload):
            return other
    return method, payload


def encode_samples(
    samples: np.ndarray, predictor: Predictor, schedule: Schedule, threads: int, progress: Progress | None
) -> list[tuple[int, bytes]]:
    """samples: uint16 (h, w, 1 or 3). Other arguments as of `encode_plane`.

    Returns (method, payload) of the high bytes and of the low ones, the smallest of: both together; each as a
    plane. The latter is left out where it can hardly win.
    """
    high, low = split(samples)
    rough = _roughly(high) + _roughly(low)
    together = None
    if not schedule.plain and rough * 100 >= samples.size:
        payload = fine.encode(samples, threads)
        together = [(METHOD_FINE, payload), (METHOD_INCLUDED, b"")]
        hopeless = rough >= max(GRAPHICS * samples.nbytes, min(HOPE * len(payload), NOISE * samples.nbytes))
        if hopeless and len(payload) < samples.nbytes:
            if progress:
                progress(samples.nbytes)
            return together
    apart = [
        encode_plane(high, predictor, schedule, progress),
        encode_plane(low, predictor, schedule, progress),
    ]
    return min(
        (ways for ways in (together, apart) if ways),
        key=lambda ways: sum(len(payload) for _, payload in ways),
    )


def _roughly(plane: np.ndarray) -> float:
    """About how many bytes zlib would need: tells graphics, and whether storing can win at all; LZMA over
    every photo would cost a fifth of the time.
    """
    height = plane.shape[0]
    sample = plane
    if plane.size > 2**18:  # an eighth of the rows, in eight places
        sample = np.concatenate([plane[i * height // 8 :][: height // 64 + 1] for i in range(8)])
    return (
        min(len(zlib.compress(stored.filter_forward(sample, k).tobytes(), 1)) for k in (0, 7))
        * plane.size
        / sample.size
    )


def encode_network(
    plane: np.ndarray, predictor: Predictor, schedule: Schedule, progress: Progress | None = None
) -> bytes:
    """Payload of METHOD_NETWORK. plane: uint8 (h, w, 1 or 3)."""
    height, width, channels = plane.shape
    image = _as_rgb(plane)
    told = _per_pixel(progress, channels)
    if schedule.order == Order.RASTER:
        if schedule.plain:
            encoder = plain.Encoder()
            plain.code_raster(encoder, predictor.weights, image, channels, False, told=told)
            return encoder.finish()
        mixing = Mixing(channels, height * width, predictor.weights)
        mixing.start_stage(np.zeros((3, height, width), np.int16), planar(image))
        mixing.code_raster(schedule.strip, told)
        return mixing.finish()
    stride = PATCH ** schedule.root_level(height, width)
    method, root = stored.encode(np.ascontiguousarray(plane[::stride, ::stride]))
    model = (
        plain.PlainPixels(plain.new_coder(None), predictor.weights, channels)
        if schedule.plain
        else Mixing(channels, height * width, predictor.weights)
    )
    walk(model, predictor, schedule, image[::stride, ::stride], (height, width), image, told)
    return bytes([method]) + varint(len(root)) + root + model.finish()


def encode_graphics(plane: np.ndarray) -> bytes:
    """Payload of METHOD_GRAPHICS. plane: uint8 (h, w, 1 or 3)."""
    image = planar(_as_rgb(plane))
    model = Mixing(plane.shape[2], plane.shape[0] * plane.shape[1], None)
    model.start_stage(np.zeros_like(image), image)
    model.code_raster(1)
    return model.finish()


def decode_plane(
    method: int,
    payload: bytes,
    shape: tuple[int, ...],
    predictor: Predictor | None,
    schedule: Schedule,
    threads: int,
    progress: Progress | None,
    rest: Rest | None = None,
) -> np.ndarray:
    """Inverse of `encode_plane`: uint8 of `shape`, (h, w, 1 or 3), or uint16 of METHOD_FINE. predictor:
    needed for METHOD_NETWORK. rest: to go on where the payload ends too early; notes what was invented in
    `rest.drawn`."""
    height, width, channels = shape
    if method == METHOD_NETWORK:
        check_coder(schedule.plain)
        if predictor is None:
            raise CorruptError("a tile coded by the network has no network.")
        image = decode_network(payload, height, width, channels, predictor, schedule, progress, rest)
        return image[..., :channels]
    if method == METHOD_FINE:
        plane = fine.decode(payload, (height, width, channels), threads, rest)
    elif method == METHOD_GRAPHICS:
        check_coder(False)
        plane = decode_graphics(payload, height, width, channels, rest)
    else:
        plane = _decode_stored(method, payload, (height, width, channels), rest)
    if progress:
        progress(plane.nbytes)
    return plane


def decode_network(
    payload: bytes,
    height: int,
    width: int,
    channels: int,
    predictor: Predictor,
    schedule: Schedule,
    progress: Progress | None,
    rest: Rest | None = None,
) -> np.ndarray:
    """Inverse of `encode_network`: uint8 (h, w, 3). rest: as in `decode_plane`."""
    told = _per_pixel(progress, channels)
    if schedule.order == Order.RASTER:
        if schedule.slope != predictor.weights.config.radius + 1:
            raise UnsupportedError(
                f"rows that follow each other {schedule.slope} pixels apart; a newer ardm may read the file."
            )
        if schedule.plain:
            if len(payload) % 4 and rest is None:
                raise TruncatedError("its data is cut short.")
            image = np.zeros((height, width, 3), np.uint8)
            plain.code_raster(
                plain.Decoder(payload[: len(payload) // 4 * 4]),
                predictor.weights,
                image,
                channels,
                True,
                rest,
                told,
            )
            return image
        mixing = Mixing(channels, height * width, predictor.weights, payload, rest)
        found = mixing.start_stage(np.zeros((3, height, width), np.int16), None)
        mixing.code_raster(schedule.strip, told)
        return found.transpose(1, 2, 0).astype(np.uint8)
    level = schedule.root_level(height, width)
    if not payload and rest is None:
        raise CorruptError("a tile coded by the network has no data.")
    root, words = _open_root(payload, (*level_shapes(height, width)[level], channels), rest)
    model: plain.PlainPixels | Mixing
    if schedule.plain:
        if len(words) % 4 and rest is None:
            raise TruncatedError("its data is cut short.")
        model = plain.PlainPixels(plain.new_coder(words, rest), predictor.weights, channels)
        if rest:
            rest.start_pixels(height, width, PATCH**level)
    else:
        model = Mixing(channels, height * width, predictor.weights, words, rest)
    return walk(
        model, predictor, schedule, np.broadcast_to(root, (*root.shape[:2], 3)), (height, width), None, told
    )


def _open_root(payload: bytes, shape: tuple[int, int, int], rest: Rest | None) -> tuple[np.ndarray, bytes]:
    """The root of a plane coded by the model, uint8 of `shape`, and the words that follow it."""
    length, at = 0, len(payload)
    try:
        length, at = read_varint(payload, 1)
        if at + length > len(payload):
            raise TruncatedError("its data is cut short.")
    except TruncatedError:
        if rest is None:
            raise
        root, sure = (
            stored.decode_part(payload[0], payload[at:], shape, rest.fill)
            if payload
            else (rest.root(shape), 0)
        )
        rest.start_stage(*shape[:2])
        rest.mark_pixels(sure)
        return root, b""
    root = stored.decode(payload[0], payload[at : at + length], shape)
    if rest:
        rest.start_stage(*shape[:2])
    return root, payload[at + length :]


def decode_graphics(
    payload: bytes, height: int, width: int, channels: int, rest: Rest | None = None
) -> np.ndarray:
    """Inverse of `encode_graphics`: uint8 (h, w, channels). rest: as in `decode_plane`."""
    model = Mixing(channels, height * width, None, payload, rest)
    image = model.start_stage(np.zeros((3, height, width), np.int16), None)
    model.code_raster(1)
    return image[:channels].transpose(1, 2, 0).astype(np.uint8)


def _decode_stored(method: int, payload: bytes, shape: tuple[int, int, int], rest: Rest | None) -> np.ndarray:
    if rest is None:
        return stored.decode(method, payload, shape)
    plane, sure = stored.decode_part(method, payload, shape, rest.fill)
    rest.start_stage(*shape[:2])
    rest.mark_pixels(sure)
    return plane


# ---- helpers -----------------------------------------------------------------------------------------------


def load_predictor(device: str = "cpu", weights_id: str = window.PHOTO_ID) -> Predictor:
    """Weights of this release by id, on a device. Raises UnsupportedError for an unknown id."""
    try:
        return Predictor(window.load(weights_id), "cpu" if device == "cpu" else str(find_device(device)))
    except WeightsError as error:
        raise UnsupportedError(str(error)) from error


def _as_rgb(plane: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 1 or 3) -> uint8 (h, w, 3), contiguous."""
    return np.ascontiguousarray(np.broadcast_to(plane, (*plane.shape[:2], 3)))


def _per_pixel(progress: Progress | None, channels: int) -> Progress | None:
    """`progress`, told pixels instead of subpixels."""
    return (lambda pixels: progress(pixels * channels)) if progress else None


def _teller(progress: Progress | None, stop: Event) -> Progress:
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


def plan(
    weights: WindowWeights,
    height: int,
    width: int,
    budget: int | None,
    order: str = "auto",
    seed: int | None = None,
    plain: bool = False,
) -> Schedule:
    """The best schedule for tiles of a shape within a budget of network calls, None: without one. Raises
    ValueError if raster order, asked for, takes more.
    """
    if seed is not None:
        return Schedule(Order.RANDOM, _random_stages(height, width, budget), seed, plain=True)
    slope = weights.config.radius + 1
    strips = [0] if plain else [strip for strip in (*(STRIP << i for i in range(8)), 0) if strip < height]
    rows = [Schedule(Order.RASTER, plain=plain, strip=strip, slope=slope) for strip in strips]
    within = [schedule for schedule in rows if budget is None or schedule.calls(height, width) <= budget]
    if order == "raster":
        if not within:
            raise ValueError(
                f"raster order of {width} x {height} pixels takes at least {rows[-1].calls(height, width)} "
                f"network calls, got a budget of {budget}."
            )
        return within[0]
    if order == "auto" and within and _raster_pays(weights, height, width, budget):
        return within[0]
    return Schedule(Order.LATTICE, _lattice_stages(weights, height, width, budget)[1], plain=plain)


def calls_needed(
    height: int,
    width: int,
    *,
    budget: int | None = None,
    order: str = "auto",
    seed: int | None = None,
    plain: bool = False,
    tile: int | None = None,
    predictor: Predictor | None = None,
    **others: object,
) -> int:
    """Most network calls of a plane of a tile with such options of `compress`."""
    if budget is not None:
        return budget
    rows, columns = (
        min(part, whole) for part, whole in zip(tile_shape(height, width, tile), (height, width), strict=True)
    )
    return plan((predictor or load_predictor()).weights, rows, columns, None, order, seed, plain).calls(
        rows, columns
    )


def _raster_pays(weights: WindowWeights, height: int, width: int, budget: int | None) -> bool:
    """Whether raster order is expected to take fewer bits than lattice order within the budget."""
    return (
        float(weights.tensors["raster_bits"][0]) * height * width
        <= _lattice_stages(weights, height, width, budget)[0]
    )


def _random_stages(height: int, width: int, budget: int | None) -> tuple[int, ...]:
    """Calls of each stage; no table was measured for random orders: shared evenly, the finest stages
    first.
    """
    shapes = level_shapes(height, width)
    count = len(shapes) - 1
    if not count:
        return ()
    budget = budget or PHASES * count
    used = min(count, budget)
    coded = [h * w - shapes[i + 1][0] * shapes[i + 1][1] for i, (h, w) in enumerate(shapes[:-1])]
    return tuple(min(budget // used + (i < budget % used), coded[i], MAX_CALLS) for i in range(used))


def _lattice_stages(
    weights: WindowWeights, height: int, width: int, budget: int | None
) -> tuple[float, tuple[int, ...]]:
    """(expected bits per channel, break bits of each stage): the dynamic program over measured bits."""
    shapes = level_shapes(height, width)
    count = len(shapes) - 1
    pixels = [h * w for h, w in shapes]
    roots = [ROOT_BITS[min(i, 4)] * pixels[i] for i in range(count + 1)]
    if not count:
        return roots[0], ()
    options = [_groupings(weights, min(level, window.LEVELS - 1)) for level in range(count)]
    stages = [costs * pixels[i] / 16 for i, (costs, _) in enumerate(options)]
    used, calls = budgets.share_calls(stages, roots, min(budget or PHASES * count, PHASES * count))
    bits = roots[used] + sum(float(stages[i][c]) for i, c in enumerate(calls))
    return bits, tuple(group_breaks(options[i][1][c]) for i, c in enumerate(calls))


@lru_cache(maxsize=64)
def _groupings(weights: WindowWeights, level: int) -> tuple[np.ndarray, list[list[int]]]:
    return budgets.merge_phases(weights.tensors["bits"][level].astype(np.float64))


def tile_shape(height: int, width: int, tile: int | None) -> tuple[int, int]:
    """(height, width) of equal tiles, multiples of 4, no side above `tile`; without one, an image of more
    than ALONE pixels has two tiles or more.
    """
    shape = [math.ceil(size / (tile or TILE)) for size in (height, width)]
    if tile is None and shape == [1, 1] and height * width > ALONE:
        shape[int(width > height)] = 2
    rows, columns = (
        math.ceil(math.ceil(size / count) / PATCH) * PATCH
        for size, count in zip((height, width), shape, strict=True)
    )
    return rows, columns


def pixel_digest(array: np.ndarray) -> bytes:
    """The header's hash of all samples, (H, W, C), of `Kind.dtype`."""
    return container.digest(np.ascontiguousarray(array).data)
