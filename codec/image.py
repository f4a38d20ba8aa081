"""`compress` and `decompress`: arrays to bytes and back. Knows tiles and planes; image files are next door
(`codec.archive`).
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from ardm.exact.predictor import Predictor, new_canvas, windows
from ardm.exact.window import by_float64, reference
from ardm.forks import steady
from codec import container, cost
from codec.choice import Coded, encode_plane, encode_samples, encode_tile, looks_like_graphics, smallest
from codec.coder.work import Progress, Work
from codec.container import Entry, Header
from codec.ending import operation
from codec.errors import ArdmError, CorruptError, UnsupportedError, VerifyError
from codec.limits import NO_LIMITS, Limits, limits_of
from codec.methods import METHODS, Method
from codec.opened import Opened, open_bytes
from codec.parallel import in_parallel, set_threads, thread_count
from codec.presets import TILE
from codec.samples import Kind, as_samples, fold, samples_of, widened
from codec.samples import planes as split
from codec.scheduling import schedule_for, weights_for
from codec.settings import Settings, settings_of
from codec.tiles import (
    ALONE,
    Box,
    as_given,
    decode_tiles,
    load_predictor,
    owned,
    pixel_digest,
    teller,
    tile_shape,
)

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

CHECKED = 64  # pixels of each plane for which verification asks the network another way
BAND = 2**25  # pixels, or a few more, that are decoded at once for verification


@operation
def compress(
    pixels: np.ndarray,
    *,
    settings: Settings | None = None,
    kind: Kind | None = None,
    metadata: tuple[tuple[int, bytes], ...] = (),
    predictor: Predictor | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> bytes:
    """Compress an image without loss.

    pixels: uint8 or uint16 (H, W) or (H, W, C), C = 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA. settings, or
    options by name (budget=, order=, seed=, plain=, quick=, best=, tile=, device=, threads=, verify=): see
    `codec.settings.Settings`. kind: what the samples are, if not levels of as many bits as the dtype has:
    `codec.samples.Kind(4)` for numbers below 16, `Kind(8, indexed=True)` for indices of a palette. The bytes
    depend on pixels, kind, budget, order, seed, plain, quick, best and tile only. Thread-safe.

    Returns the bytes of an .ardm file. Raises InputError for an array of another kind, VerifyError,
    ValueError or TypeError for a bad option.
    """
    chosen = settings_of(settings, options)
    array, kind = as_samples(pixels, kind)
    set_threads(chosen.threads)
    predictor = predictor or load_predictor(chosen.device, weights_for(chosen))
    height, width, channels = array.shape
    shape = tile_shape(height, width, chosen.largest_tile or (None if _two_tiles_pay(array, kind) else TILE))
    schedule = schedule_for(predictor.weights, min(shape[0], height), min(shape[1], width), chosen)
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
    samples = array
    if widened(array):
        header, array = replace(header, folded=True), fold(array)
    data = _encode_tiles(header, array, predictor, progress)
    if chosen.verify:
        _verify(data, samples, pixels.ndim, array, predictor, progress)
    return data


def _encode_tiles(
    header: Header, array: np.ndarray, predictor: Predictor, progress: Progress | None
) -> bytes:
    """The file: all planes of all tiles, several at once. array: (H, W, C), folded if the header says so."""
    kind, stop = header.kind, Event()
    told = teller(progress, stop)
    both_bytes = kind.size == 2 and not header.folded

    def code(job: tuple[np.ndarray, np.ndarray | None], spare: int) -> tuple[Coded, Coded]:
        work = Work(header.schedule, predictor, spare, told)
        samples, tile = job
        if samples.itemsize == 2:
            return encode_samples(samples, work), []
        return [encode_plane(samples, work, kind.few)], [] if tile is None else encode_tile(tile, work)

    jobs: list[tuple[np.ndarray, np.ndarray | None]] = []
    for top, left, h, w in header.tiles:
        part = array[top : top + h, left : left + w]
        apart = samples_of(part) if both_bytes else split(part)
        whole = part if kind.depth == 8 and not kind.indexed else None  # coded beside the first plane
        jobs += [(samples, None if i else whole) for i, samples in enumerate(apart)]
    done, of_tile = in_parallel(code, jobs, stop), len(jobs) // header.tile_count
    coded = [pair for i in range(0, len(done), of_tile) for pair in _of_tile(done[i : i + of_tile])]
    entries = tuple(Entry(method, len(payload), zlib.crc32(payload)) for method, payload in coded)
    return container.write(replace(header, entries=entries), [payload for _, payload in coded])


def _of_tile(found: list[tuple[Coded, Coded]]) -> Coded:
    """The smallest way to code a tile. found: of each of its planes, it alone; it with all others."""
    return smallest([pair for alone, _ in found for pair in alone], *(together for _, together in found))


def _two_tiles_pay(array: np.ndarray, kind: Kind) -> bool:
    """Whether an image is large, and hardly graphics, which gain more from being one tile than two cores are
    worth.
    """
    return array.shape[0] * array.shape[1] > ALONE and not looks_like_graphics(array, kind)


def _verify(
    data: bytes,
    samples: np.ndarray,
    ndim: int,
    array: np.ndarray,
    predictor: Predictor,
    progress: Progress | None,
) -> None:
    """Raise VerifyError unless the file decodes to the samples, (H, W, C), as an array of so many dimensions,
    and the network, asked another way, gives the parameters it was coded with. array: what its tiles are of.
    """
    try:
        opened = open_within(data, NO_LIMITS, 0)
        same = all(
            np.array_equal(decode_tiles(opened, predictor=predictor, progress=progress, box=box)[0], part)
            for box, part in _bands(opened.header, samples)
        )
        same = same and pixel_digest(samples) == opened.header.digest
        same = same and opened.header.channel_axis == (ndim == 3)
    except ArdmError:
        same = False
    if not same:
        raise VerifyError(
            "the compressed data does not decode to the image that went in; nothing was kept. Please "
            "report this image."
        )
    planes = itertools.chain.from_iterable(
        split(array[top : top + h, left : left + w]) for top, left, h, w in opened.header.tiles
    )
    for plane, entry in zip(planes, opened.header.entries, strict=True):
        if METHODS[Method(entry.method)].network and not _agrees(plane, predictor):
            raise VerifyError(
                "two ways to compute the network differ on this machine; nothing was kept. Please report "
                "this image and machine."
            )


def _bands(header: Header, samples: np.ndarray) -> Iterator[tuple[Box, np.ndarray]]:
    """Rows of tiles, and the samples they should have: a large image is not decoded as a whole, which would
    take as much memory as its samples.
    """
    rows = header.tile[0] * max(1, BAND // (header.tile[0] * header.width))
    for top in range(0, header.height, rows):
        part = samples[top : top + rows]
        yield Box(top, 0, len(part), header.width), part


def _agrees(plane: np.ndarray, predictor: Predictor) -> bool:
    """Whether compiled code and NumPy's float64 products give the same parameters for some pixels of a plane,
    every second one of which is known.
    """
    height, width, _ = plane.shape
    canvas = new_canvas(height, width)
    canvas.image[:] = plane
    canvas.mask[::2], canvas.mask[1::2, ::2] = True, True
    step = max(1, height * width // CHECKED)
    where = np.stack(np.divmod(np.arange(step // 2, height * width, step), width), 1).astype(np.int32)
    compiled = Predictor(predictor.weights).scattered(canvas, where)
    seen = windows(canvas, where, predictor.weights.config.radius)
    other = reference(predictor.weights, *seen, product=by_float64)
    return all(np.array_equal(a, b) for a, b in zip(compiled, other, strict=True))


@operation
def decompress(
    data: ReadableBuffer | Opened,
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
    limits = limits_of(limits, max_pixels)
    opened = open_within(data, limits, threads)
    if opened.header.whole:
        return whole_pixels(opened, limits)
    return checked(decode_tiles(opened, device, threads, predictor, progress)[0], opened)


def checked(out: np.ndarray, opened: Opened) -> np.ndarray:
    """Decoded samples (H, W, C) as the caller of `compress` had them. Raises CorruptError if their hash is
    another than the file says.
    """
    computed, stored = pixel_digest(out), opened.header.digest
    if computed != stored:
        raise CorruptError(
            f"hash of the decoded pixels does not match. Stored: {stored.hex()}. Computed: {computed.hex()}."
        )
    return as_given(out, opened)


def open_within(data: ReadableBuffer | Opened, limits: Limits, threads: int, salvage: bool = False) -> Opened:
    """`open_bytes`, and that the cost is within the limits and payloads are long enough for their pixels."""
    opened = open_bytes(data, limits, salvage)
    cost.check(cost.of(opened.header, opened.size, threads or thread_count()), limits)
    cost.check_payloads(opened.header)
    return opened


_OF_LOSSY = "the file keeps a {} whole, which was made by lossy compression; ardm-decompress restores it."


def whole_pixels(opened: Opened, limits: Limits) -> np.ndarray:
    """The pixels of an image file that is kept whole. Raises as `decompress` does."""
    with steady:  # a fork would split an import
        from codec import png
        from codec.formats import sources

    if opened.header.recoded:
        raise UnsupportedError(_OF_LOSSY.format(sources.Format.JPEG.label))
    source = opened.kept_file()
    try:
        look = sources.look(source, limits.max_pixels)
        if look.lossy:  # whose pixels depend on who decodes it
            raise UnsupportedError(_OF_LOSSY.format(look.format.label))
        return owned(look.load().image.pixels)
    except (png.IndivisibleError, CorruptError) as error:  # what is wrong with the file that is kept
        why = f"the file keeps another whole, because {str(error).removesuffix('.')}"
        raise UnsupportedError(f"{why}; ardm-decompress restores it.") from error


def calls_needed(height: int, width: int, settings: Settings, predictor: Predictor | None = None) -> int:
    """Most network calls of a plane of a tile."""
    if settings.budget is not None:
        return settings.budget
    rows, columns = tile_shape(height, width, settings.largest_tile)
    rows, columns = min(rows, height), min(columns, width)
    weights = (predictor or load_predictor(weights_id=weights_for(settings))).weights
    return schedule_for(weights, rows, columns, settings).calls(rows, columns)
