"""`compress` and `decompress`: arrays to bytes and back. Knows tiles, planes and budgets; image files are next door (`codec.archive`)."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from threading import Event, Lock
from typing import TypeVar

import numpy as np
import torch

from ardm import budget as budgets
from ardm import weights as weights_module
from ardm.orders import PATCH, PHASES, group_breaks
from ardm.predict import NetworkPredictor
from ardm.stages import level_shapes
from ardm.weights import Weights, WeightsError
from codec import container, cost, fine, stored
from codec.coding import Decoder, Drawer, Encoder, Plain
from codec.container import (
    LATTICE_METHODS,
    METHOD_DEEP,
    METHOD_FINE,
    METHOD_INCLUDED,
    METHOD_MODEL,
    METHOD_QUICK,
    METHOD_RASTER,
    RASTER_METHODS,
    Entry,
    Header,
    read_varint,
    varint,
)
from codec.errors import ArdmError, CorruptError, TruncatedError, UnsupportedError, VerifyError
from codec.limits import NO_LIMITS, Limits, limits_of
from codec.mixing import RASTER_FULL, RASTER_GRAPHICS, RASTER_QUICK, RASTERS, Mixing
from codec.parallel import in_parallel, set_threads
from codec.presets import DEFAULT_BUDGET, ORDERS
from codec.rest import Rest
from codec.samples import Kind, as_samples, fold, in_range, samples_of, unfold, widened
from codec.samples import planes as split
from codec.walk import MAX_CALLS, Learning, Predictor, Schedule, walk

TILE = 1024  # largest side of a tile; larger tiles save little, and memory grows with them
ROOT_BITS = (8.0, 5.5, 6.5, 7.5, 8.0)  # rough bits per subpixel of coding level 0, 1, 2, ... without the network
GRAPHICS = 0.3  # planes that zlib shrinks below this share are coded as graphics
HOPE = 1.15  # samples of 16 bits may be smaller byte by byte if zlib needs less than so many times what the fine coder does,
NOISE = 0.75  # and than this share of them
PROBE, PROBES = 64, (0.2, 0.8)  # side, and places on the diagonal, of the squares on which the encoder compares lattice and raster order
Progress = Callable[[int], None]  # told the subpixels done since the last call
Note = TypeVar("Note")


def compress(
    pixels: np.ndarray, *, budget: int = DEFAULT_BUDGET, order: str = "auto", seed: int | None = None, device: str = "cpu", threads: int = 0,
    batch: int = 1, tile: int = TILE, adaptive: bool = True, verify: bool = False, metadata: tuple[tuple[int, bytes], ...] = (),
    predictor: NetworkPredictor | None = None, progress: Progress | None = None, kind: Kind | None = None, model: str = "base", quick: bool = False,
) -> bytes:  # fmt: skip
    """Compress an image without loss.

    pixels: uint8 or uint16 (H, W) or (H, W, C), C = 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA. kind: what the samples are, if not levels of as many
    bits as the dtype has: `codec.samples.Kind(4)` for numbers below 16, `Kind(8, indexed=True)` for indices of a palette. budget: network calls
    per tile, over all stages; more calls, smaller files, same weights. order: "lattice", the network's; "raster", without the network, which suits
    graphics; "auto" compares them on a part of every tile and takes the better one; "best" codes every tile both ways and keeps the smaller result.
    seed: code pixels in a seeded random order instead, for study. model: of `ardm.weights.MODELS`. quick: learn from the image by
    simpler rules, a fifth quicker and half a per cent larger. device: "cpu", "cuda" or "auto". threads: CPU
    threads to use from now on in this process; 0 leaves them as they are. batch: network calls the encoder makes at once. tile: largest side of a
    tile, a multiple of 4.
    adaptive: learn from the image while it is coded; without it, files are larger and only the network's own distributions count. verify: decode the
    result and compare. The bytes depend on pixels, kind, budget, order, seed, tile, adaptive, model and quick only. Thread-safe.

    Returns the bytes of an .ardm file. Raises InputError for an array of another kind, VerifyError, ValueError for a bad argument.
    """
    array, kind = as_samples(pixels, kind)
    if budget < 1 or tile < PATCH or tile % PATCH or tile > container.MAX_TILE or batch < 1 or (seed is not None and not 0 <= seed < 2**32):
        raise ValueError(
            f"budget and batch must be at least 1, tile a multiple of 4 up to 2048, seed within 0..2**32-1; got {budget}, {batch}, {tile}, {seed}."
        )
    if order not in ORDERS or (order in ("best", "raster") and (seed is not None or not adaptive)):
        raise ValueError(f"order must be one of {', '.join(ORDERS)}; best and raster need adaptive and no seed; got {order!r} with {adaptive=} and {seed=}.")
    if model not in weights_module.MODELS:
        raise ValueError(f"model must be one of {', '.join(weights_module.MODELS)}, got {model!r}.")
    set_threads(threads)
    predictor = predictor or load_predictor(device, weights_module.MODELS[model])
    height, width, channels = array.shape
    shape = (_even_tile(height, tile), _even_tile(width, tile))
    schedule = plan(predictor.weights, min(shape[0], height), min(shape[1], width), budget, seed, adaptive)
    header = Header(width, height, channels, shape, predictor.weights.id, schedule, pixels.ndim == 3, pixel_digest(array), metadata=metadata, kind=kind)
    if widened(array):
        header, array = replace(header, folded=True), fold(array)
    stop = Event()
    told = _teller(progress, stop)
    parts = [array[top : top + h, left : left + w] for top, left, h, w in header.tiles]
    quick = quick and adaptive and seed is None

    def work(job: np.ndarray, spare: int) -> list[tuple[int, bytes]]:
        if job.itemsize == 2:
            return encode_samples(job, predictor, schedule, order, quick, batch, spare, told)
        return [encode_plane(job, predictor, schedule, order, quick, batch, spare, told, kind.few)]

    jobs = [job for part in parts for job in (samples_of(part) if kind.size == 2 and not header.folded else split(part))]
    coded = list(itertools.chain.from_iterable(in_parallel(work, jobs, stop)))
    entries = tuple(Entry(method, len(payload), zlib.crc32(payload)) for method, payload in coded)
    data = container.write(Header(**{**header.__dict__, "entries": entries}), [payload for _, payload in coded])
    if verify:
        try:
            same = np.array_equal(decompress(data, predictor=predictor, limits=NO_LIMITS, progress=progress), pixels)
        except ArdmError:
            same = False
        if not same:
            raise VerifyError("the compressed data does not decode to the image that went in; nothing was kept. Please report this image.")
    return data


def decompress(
    data: bytes, *, device: str = "cpu", threads: int = 0, max_pixels: int | None = None, limits: Limits | None = None,
    predictor: NetworkPredictor | None = None, progress: Progress | None = None,
) -> np.ndarray:  # fmt: skip
    """Inverse of `compress`: uint8 or uint16 (H, W) or (H, W, C), exactly what went in, on every machine. Thread-safe.

    limits: what the image may cost, `Limits()` if left out; max_pixels: its max_pixels. What costs more is told from the header and index, before
    anything is allocated.

    Raises a subclass of ArdmError: NotArdmError, TruncatedError, CorruptError (a checksum does not match), UnsupportedError (version,
    feature or weights of another release), LimitError (the image needs more than `limits` allow).
    """
    limits = limits_of(limits, max_pixels)
    header, at = open_file(data, limits, threads)
    if header.whole:
        from codec import png, sources

        source = container.read_whole(data, header, at)
        try:
            look = sources.look(source, limits.max_pixels)
            if look.lossy:  # whose pixels depend on who decodes it
                raise UnsupportedError(f"the file keeps a {look.format.label} whole, which was made by lossy compression; ardm-decompress restores it.")
            return look.load().image.pixels
        except (png.IndivisibleError, CorruptError) as error:  # what is wrong with the file that is kept
            why = f"the file keeps another whole, because {str(error).removesuffix('.')}"
            raise UnsupportedError(f"{why}; ardm-decompress restores it.") from error
    out, _ = decode_tiles(data, header, at, device, threads, predictor, progress)
    found = pixel_digest(out)
    if found != header.digest:
        raise CorruptError(f"hash of the decoded pixels does not match. Stored: {header.digest.hex()}. Computed: {found.hex()}.")
    return as_given(out, header)


def info(data: bytes) -> dict[str, object]:
    """What a file says of itself, without decoding pixels: a dict of plain values (the command's --json). Raises as `decompress` does."""
    header, at = container.read(data, NO_LIMITS)
    schedule = header.schedule
    methods = [entry.method for entry in header.entries]
    return {
        "width": header.width, "height": header.height, "channels": header.channels, "bits_per_channel": header.kind.depth,
        "indexed": header.kind.indexed,
        "tiles": header.tile_count, "tile_height": header.tile[0], "tile_width": header.tile[1],
        "seed": schedule.seed,
        "network_calls": schedule.calls if set(LATTICE_METHODS) & set(methods) else 0,
        "weights": header.weights_id, "pixel_hash": header.digest.hex(), "bytes": len(data),
        "header_bytes": at, "bits_per_subpixel": 8 * len(data) / (header.width * header.height * header.channels),
        "planes": 0 if header.whole else len(methods),
        "lattice_planes": sum(method in LATTICE_METHODS for method in methods), "raster_planes": sum(method in RASTER_METHODS for method in methods),
        "stored_planes": sum(method < METHOD_MODEL for method in methods), "whole_file": header.whole,
    }  # fmt: skip


def open_file(data: bytes, limits: Limits, threads: int, salvage: bool = False) -> tuple[Header, int]:
    """What `container.read` says of a file, once its cost is known to be within the limits and its payloads are long enough for its pixels."""
    header, at = container.read(data, limits, salvage)
    cost.check(cost.of(header, len(data), threads or torch.get_num_threads()), limits)
    cost.check_payloads(header)
    return header, at


def decode_tiles(
    data: bytes, header: Header, at: int, device: str, threads: int, predictor: Predictor | None, progress: Progress | None,
    mend: Callable[[PlaneJob, Predictor | None, int, ArdmError], Note] | None = None,
) -> tuple[np.ndarray, list[Note | None]]:  # fmt: skip
    """(samples (H, W, C) of the kind's dtype; of every plane, in the order of the index, what `mend` returned, or None).

    header, at: from `open_file`, of a file that is not kept whole. mend(job, predictor, threads, error): called for every damaged plane, rather than raise its
    error.
    """
    set_threads(threads)
    if predictor is None and any(entry.method in LATTICE_METHODS for entry in header.entries):
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
    included = {i for i, job in enumerate(jobs) if job.entry.method == METHOD_INCLUDED}  # in what the one before decodes
    for deep in (False, True):  # low bytes need the high ones, which come before them
        chosen = [i for i, job in enumerate(jobs) if (job.high is not None) == deep and i not in included]
        for i in [i for i in chosen if deep and why[i - 1] is not None]:
            assert mend is not None  # else an error would have been raised
            lost = CorruptError(f"tile at row {jobs[i].top}, column {jobs[i].left}: the high bytes of its samples are lost.")
            why[i] = mend(jobs[i], predictor, 1, lost)
            chosen.remove(i)
        for i, said in zip(chosen, in_parallel(work, [jobs[i] for i in chosen], stop), strict=True):
            why[i] = said
    for i in included:
        why[i] = why[i - 1]
    return (unfold(out) if header.folded else out), why


def as_given(out: np.ndarray, header: Header) -> np.ndarray:
    """Samples (H, W, C) as the caller of `compress` had them: their shape, in this machine's byte order. Raises CorruptError if one has too many bits."""
    if not in_range(out, header.kind):
        raise CorruptError(f"a sample is {out.max()}, but has {header.kind.depth} bits.")
    out = out.astype(out.dtype.newbyteorder("="), copy=False)
    return out if header.channel_axis else out[..., 0]


@dataclass(frozen=True)
class PlaneJob:
    """A plane of a tile that is to be decoded."""

    index: int  # of all planes
    target: np.ndarray  # uint8 (h, w, 1 or 3), a view of the image; uint16 if coded by METHOD_FINE
    top: int
    left: int
    entry: Entry
    at: int  # where its payload begins
    high: np.ndarray | None = None  # of low bytes coded by METHOD_DEEP, the high ones, which must be decoded before

    def decode(self, data: bytes, predictor: Predictor | None, schedule: Schedule, threads: int, progress: Progress | None) -> None:
        """Check the payload and decode it into the target. data: the file. Raises a subclass of ArdmError that says which tile it was."""
        payload = data[self.at : self.at + self.entry.length]
        where = f"tile at row {self.top}, column {self.left}"
        if len(payload) < self.entry.length:
            raise TruncatedError(f"{where}: {self.entry.length - len(payload)} of its {self.entry.length} bytes are missing.")
        found = zlib.crc32(payload)
        if found != self.entry.crc:
            raise CorruptError(f"checksum of the {where} does not match. Stored: {self.entry.crc:08x}. Computed: {found:08x}.")
        try:
            self.target[:] = decode_plane(self.entry.method, payload, self.target.shape, predictor, schedule, threads, progress, self.high)
        except ArdmError as error:
            raise type(error)(f"{where}: {error}") from error


def _plane_jobs(header: Header, out: np.ndarray, at: int) -> list[PlaneJob]:
    """What is to be decoded into `out`, of the image's shape and dtype, given where the first payload begins; in the order of the index."""
    jobs: list[PlaneJob] = []
    entries = iter(header.entries)
    for top, left, h, w in header.tiles:
        planes = split(out[top : top + h, left : left + w])
        samples = samples_of(out[top : top + h, left : left + w])
        for i, plane in enumerate(planes):
            entry = next(entries)
            target = samples[i // 2] if entry.method == METHOD_FINE else plane
            jobs.append(PlaneJob(len(jobs), target, top, left, entry, at, planes[i - 1] if entry.method == METHOD_DEEP else None))
            at += entry.length
    return jobs


# ---- one plane of one tile --------------------------------------------------------------------------------------------------


def encode_plane(
    plane: np.ndarray, predictor: Predictor, schedule: Schedule, order: str, quick: bool, batch: int, threads: int, progress: Progress | None,
    few: bool = False, high: np.ndarray | None = None,
) -> tuple[int, bytes]:  # fmt: skip
    """plane: uint8 (h, w, 1 or 3). quick: only with Learning.MIXING. threads: how many may code at once. few: as in `codec.samples.Kind`.
    high: of a plane of low bytes, the high ones, which the decoder will have.

    Returns (method, payload), the smallest of what `order` allows and stored.
    """
    rough = _roughly(plane)
    if few and order == "auto":  # labels and coarse steps: never the network, which has not seen such, always the coder for graphics
        lattice, raster = False, schedule.learning == Learning.MIXING
    else:
        lattice, raster = _choose_orders(plane, rough, predictor, schedule, order, batch, threads)
    tried = []
    if high is not None and order != "lattice" and schedule.learning == Learning.MIXING and (lattice or raster):
        tried.append((METHOD_DEEP, encode_deep(plane, high)))
        if order == "auto":  # low bytes look like noise to the network; their colours may have something in common
            lattice, raster = False, plane.shape[2] == 3
    if lattice:
        told = None if raster else progress
        tried.append((METHOD_QUICK if quick else METHOD_MODEL, encode_lattice(plane, predictor, schedule, batch, threads, told, quick)))
    if raster:
        kind = RASTER_GRAPHICS if few or rough < GRAPHICS * plane.size else RASTER_QUICK if quick else RASTER_FULL
        tried.append((METHOD_RASTER, encode_raster(plane, kind, threads)))
    if progress and (raster or not lattice):
        progress(plane.size)
    method, payload = min(tried, key=lambda t: len(t[1]), default=(stored.RAW, plane.tobytes()))
    if not tried or few or rough * 0.7 < len(payload) or len(payload) >= plane.size:
        other = stored.encode(plane)
        if len(other[1]) <= len(payload):
            return other
    return method, payload


def encode_samples(
    samples: np.ndarray, predictor: Predictor, schedule: Schedule, order: str, quick: bool, batch: int, threads: int, progress: Progress | None
) -> list[tuple[int, bytes]]:
    """samples: uint16 (h, w, 1 or 3). Other arguments as of `encode_plane`.

    Returns (method, payload) of the high bytes and of the low ones, the smallest of: both together; each as a plane. The latter is left out where
    it can hardly win, which spares most images of 16 bits the network.
    """
    high, low = split(samples)
    rough = _roughly(high) + _roughly(low)
    together = None
    if order != "lattice" and schedule.learning == Learning.MIXING and (order == "best" or rough * 100 >= samples.size):
        payload = fine.encode(samples, threads)
        together = [(METHOD_FINE, payload), (METHOD_INCLUDED, b"")]
        hopeless = rough >= max(GRAPHICS * samples.nbytes, min(HOPE * len(payload), NOISE * samples.nbytes))
        if order != "best" and hopeless and len(payload) < samples.nbytes:
            if progress:
                progress(samples.nbytes)
            return together
    known = high if np.ptp(high) else None  # where all high bytes are the same, low ones are an image of 8 bits
    apart = [
        encode_plane(high, predictor, schedule, order, quick, batch, threads, progress),
        encode_plane(low, predictor, schedule, order, quick, batch, threads, progress, high=known),
    ]
    return min((ways for ways in (together, apart) if ways), key=lambda ways: sum(len(payload) for _, payload in ways))


def _roughly(plane: np.ndarray) -> float:
    """About how many bytes zlib would need: tells graphics, and whether storing can win at all; LZMA over every photo would cost a fifth of the time."""
    height = plane.shape[0]
    sample = plane
    if plane.size > 2**18:  # an eighth of the rows, in eight places
        sample = np.concatenate([plane[i * height // 8 :][: height // 64 + 1] for i in range(8)])
    return min(len(zlib.compress(stored.filter_forward(sample, k).tobytes(), 1)) for k in (0, 7)) * plane.size / sample.size


def _choose_orders(
    plane: np.ndarray, rough: float, predictor: Predictor, schedule: Schedule, order: str, batch: int, threads: int
) -> tuple[bool, bool]:  # fmt: skip
    """(code in lattice order, code in raster order): both where the smaller result is to be kept, neither where storing will do. rough: `_roughly`."""
    height, width, _ = plane.shape
    lattice = order != "raster" and schedule.root_level(height, width) > 0
    raster = order != "lattice" and schedule.learning == Learning.MIXING
    if rough * 200 < plane.size and order in ("auto", "lattice"):  # next to empty: nothing is worth seconds of work
        return False, False
    if rough * 64 < plane.size and order == "auto":  # graphics
        return False, raster
    if order == "auto" and lattice and raster and height * width > 8 * PROBE**2:
        corners = [[int(max(0, n - PROBE) * share) // PATCH * PATCH for n in (height, width)] for share in PROBES]
        parts = [np.ascontiguousarray(plane[top : top + PROBE, left : left + PROBE]) for top, left in corners]
        finest = replace(schedule, stages=schedule.stages[:1])
        with ThreadPoolExecutor(1) as beside:
            raster_size = beside.submit(lambda: sum(len(encode_raster(part, RASTER_QUICK)) for part in parts))
            payloads = [encode_lattice(part, predictor, finest, batch, 1, None, True) for part in parts]
        coded = sum(len(payload) - read_varint(payload, 1)[0] for payload in payloads)  # without the roots
        # The finest stage will do: the deeper ones have a fifteenth of its pixels, which cost about 1.3 times as much each.
        lattice = coded * (1 + 1.3 / 15) <= raster_size.result()
        raster = not lattice
    return lattice, raster


def encode_lattice(
    plane: np.ndarray, predictor: Predictor, schedule: Schedule, batch: int, threads: int, progress: Progress | None, quick: bool
) -> bytes:  # fmt: skip
    """Payload of METHOD_MODEL, or METHOD_QUICK. plane: uint8 (h, w, 1 or 3), of a shape for which the schedule has stages."""
    height, width, channels = plane.shape
    image = _as_rgb(plane)
    stride = PATCH ** schedule.root_level(height, width)
    method, root = stored.encode(np.ascontiguousarray(plane[::stride, ::stride]))
    root_bytes = bytes([method]) + varint(len(root)) + root
    with torch.inference_mode():
        if schedule.learning == Learning.MIXING:
            mixing = Mixing(channels, height * width, predictor.tables, threads=threads, quick=quick)
            walk(mixing, predictor, schedule, image[:, ::stride, ::stride], (height, width), channels, image, batch, threads, progress)
            return root_bytes + mixing.finish()
        coder = Encoder()
        plain = Plain(coder, predictor.tables, channels, schedule.learning == Learning.RUNS)
        walk(plain, predictor, schedule, image[:, ::stride, ::stride], (height, width), channels, image, batch, threads, progress)
        return root_bytes + coder.finish()


def encode_raster(plane: np.ndarray, kind: int, threads: int = 1) -> bytes:
    """Payload of METHOD_RASTER. plane: uint8 (h, w, 1 or 3). kind: one of `codec.mixing.RASTERS`, stored in the first byte."""
    image = _as_rgb(plane)
    model = Mixing(plane.shape[2], plane.shape[0] * plane.shape[1], threads=threads, quick=kind == RASTER_QUICK)
    model.start_stage(torch.zeros_like(image), image)
    model.code_raster(kind)
    return bytes([kind]) + model.finish()


def encode_deep(low: np.ndarray, high: np.ndarray) -> bytes:
    """Payload of METHOD_DEEP: a stream for each channel, the lengths of all but the last before them. low, high: uint8 (h, w, 1 or 3)."""
    streams = []
    for channel in range(low.shape[2]):
        model, known = _deep(high[..., channel])
        truth = known.clone()
        truth[0] = torch.from_numpy(np.ascontiguousarray(low[..., channel])).to(torch.int16)
        model.start_stage(known, truth)
        model.code_raster(RASTER_FULL)
        streams.append(model.finish())
    return b"".join([*(varint(len(stream) // 4) for stream in streams[:-1]), *streams])


def decode_plane(
    method: int, payload: bytes, shape: tuple[int, ...], predictor: Predictor | None, schedule: Schedule, threads: int, progress: Progress | None,
    high: np.ndarray | None = None, rest: Rest | None = None,
) -> np.ndarray:  # fmt: skip
    """Inverse of `encode_plane`: uint8 of `shape`, (h, w, 1 or 3), or uint16 of METHOD_FINE. predictor: needed for METHOD_MODEL, high: for METHOD_DEEP.
    rest: to go on where the payload ends too early; notes what was invented in `rest.drawn`."""
    height, width, channels = shape
    if method in LATTICE_METHODS:
        if predictor is None:
            raise CorruptError("a tile coded by the model has no model.")
        image = decode_lattice(payload, height, width, channels, predictor, schedule, threads, progress, method == METHOD_QUICK, rest)
        return image[:channels].permute(1, 2, 0).to(torch.uint8).numpy()
    if method == METHOD_DEEP:
        assert high is not None  # `container.read` lets it stand for low bytes only
        plane = decode_deep(payload, high)
    elif method == METHOD_FINE:
        plane = fine.decode(payload, (height, width, channels), threads, rest)
    elif method == METHOD_RASTER:
        plane = decode_raster(payload, height, width, channels, threads, rest)
    else:
        plane = _decode_stored(method, payload, (height, width, channels), rest)
    if progress:
        progress(plane.nbytes)
    return plane


def decode_lattice(
    payload: bytes, height: int, width: int, channels: int, predictor: Predictor, schedule: Schedule, threads: int, progress: Progress | None, quick: bool,
    rest: Rest | None = None,
) -> torch.Tensor:  # fmt: skip
    """Inverse of `encode_lattice`: int16 (3, h, w). rest: as in `decode_plane`."""
    level = schedule.root_level(height, width)
    if (not payload and rest is None) or not level:
        raise CorruptError("a tile coded by the model has no network calls or no data.")
    plane, words = _open_root(payload, (*level_shapes(height, width)[level], channels), rest)
    root = torch.from_numpy(plane.astype(np.int16))
    with torch.inference_mode():
        if schedule.learning == Learning.MIXING:
            model: Mixing | Plain = Mixing(channels, height * width, predictor.tables, words, threads, quick, rest=rest)
        else:
            if len(words) % 4 and rest is None:
                raise TruncatedError("its data is cut short.")
            model = Plain(Drawer(rest) if rest else Decoder(words), predictor.tables, channels, schedule.learning == Learning.RUNS)
            if rest:
                rest.start_pixels(height, width, PATCH**level)
        return walk(model, predictor, schedule, root.permute(2, 0, 1).expand(3, -1, -1), (height, width), channels, None, 1, threads, progress)


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
        root, sure = stored.decode_part(payload[0], payload[at:], shape, rest.fill) if payload else (rest.root(shape), 0)
        rest.start_stage(*shape[:2])
        rest.mark_pixels(sure)
        return root, b""
    root = stored.decode(payload[0], payload[at : at + length], shape)
    if rest:
        rest.start_stage(*shape[:2])
    return root, payload[at + length :]


def decode_raster(payload: bytes, height: int, width: int, channels: int, threads: int = 1, rest: Rest | None = None) -> np.ndarray:
    """Inverse of `encode_raster`: uint8 (h, w, channels). rest: as in `decode_plane`."""
    if not payload and rest:
        payload = bytes([RASTER_FULL])
    if not payload or payload[0] not in RASTERS:
        raise CorruptError("a tile in raster order does not say which kind.")
    model = Mixing(channels, height * width, data=payload[1:], threads=threads, quick=payload[0] == RASTER_QUICK, rest=rest)
    image = model.start_stage(torch.zeros((3, height, width), dtype=torch.int16), None)
    model.code_raster(payload[0])
    return image[:channels].permute(1, 2, 0).to(torch.uint8).numpy()


def decode_deep(payload: bytes, high: np.ndarray) -> np.ndarray:
    """Inverse of `encode_deep`: uint8 of the shape of high, (h, w, 1 or 3)."""
    at, ends = 0, [0]
    for _ in range(high.shape[2] - 1):
        length, at = read_varint(payload, at)
        ends.append(ends[-1] + 4 * length)
    if at + ends[-1] > len(payload):
        raise TruncatedError("its data is cut short.")
    out = np.empty(high.shape, dtype=np.uint8)
    for channel, (start, end) in enumerate(itertools.pairwise([*ends, len(payload) - at])):
        model, known = _deep(high[..., channel], payload[at + start : at + end])
        image = model.start_stage(known, None)
        model.code_raster(RASTER_FULL)
        out[..., channel] = image[0].to(torch.uint8).numpy()
    return out


def _deep(high: np.ndarray, data: bytes | None = None) -> tuple[Mixing, torch.Tensor]:
    """(coder of the low bytes of a channel, what is known of it: int16 (3, h, w), the high bytes as G). high: uint8 (h, w)."""
    known = torch.zeros((3, *high.shape), dtype=torch.int16)
    known[1] = torch.from_numpy(np.ascontiguousarray(high)).to(torch.int16)
    return Mixing(1, high.size, data=data, deep=True), known


def _decode_stored(method: int, payload: bytes, shape: tuple[int, int, int], rest: Rest | None) -> np.ndarray:
    if rest is None:
        return stored.decode(method, payload, shape)
    plane, sure = stored.decode_part(method, payload, shape, rest.fill)
    rest.start_stage(*shape[:2])
    rest.mark_pixels(sure)
    return plane


# ---- helpers ----------------------------------------------------------------------------------------------------------------


def load_predictor(device: str = "cpu", weights_id: str = weights_module.DEFAULT_ID) -> NetworkPredictor:
    """Weights of this release by id, on a device. Raises UnsupportedError for an unknown id."""
    try:
        return NetworkPredictor(weights_module.load(weights_id), device)
    except WeightsError as error:
        raise UnsupportedError(str(error)) from error


def _as_rgb(plane: np.ndarray) -> torch.Tensor:
    """uint8 (h, w, 1 or 3) -> int16 (3, h, w)."""
    height, width, _ = plane.shape
    return torch.from_numpy(np.ascontiguousarray(np.broadcast_to(plane, (height, width, 3)).transpose(2, 0, 1)).astype(np.int16))


def _teller(progress: Progress | None, stop: Event) -> Progress:
    """`progress`, safe to call from several threads, which ends the calling job once `stop` is set."""
    lock = Lock()

    def told(count: int) -> None:
        if stop.is_set():
            raise ArdmError("stopped, because another tile failed.")
        if progress:
            with lock:
                progress(count)

    return told


def plan(weights: Weights, height: int, width: int, budget: int, seed: int | None, adaptive: bool = True) -> Schedule:
    """The best schedule for tiles of a shape within a budget of network calls."""
    learning = Learning.MIXING if adaptive and seed is None else Learning.NONE
    shapes = level_shapes(height, width)
    count = len(shapes) - 1
    if not count:
        return Schedule((), seed, learning)
    if seed is not None:  # no measured table for random orders: share evenly, the finest stages first
        used = min(count, budget)
        coded = [h * w - shapes[i + 1][0] * shapes[i + 1][1] for i, (h, w) in enumerate(shapes[:-1])]
        return Schedule(tuple(min(budget // used + (i < budget % used), coded[i], MAX_CALLS) for i in range(used)), seed, learning)
    options = [_groupings(weights, min(level, 3)) for level in range(count)]
    pixels = [h * w for h, w in shapes]
    stages = [costs * pixels[i] / 16 for i, (costs, _) in enumerate(options)]
    roots = [ROOT_BITS[min(i, 4)] * pixels[i] for i in range(count + 1)]
    _, calls = budgets.share_calls(stages, roots, min(budget, PHASES * count))
    return Schedule(tuple(group_breaks(options[i][1][c]) for i, c in enumerate(calls)), learning=learning)


@lru_cache(maxsize=64)
def _groupings_cached(weights_id: str, level: int, table: bytes) -> tuple[np.ndarray, list[list[int]]]:
    return budgets.merge_phases(np.frombuffer(table, dtype=np.int32).reshape(15, 15) / 1000)


def _groupings(weights: Weights, level: int) -> tuple[np.ndarray, list[list[int]]]:
    return _groupings_cached(weights.id, level, weights.tensors["bits"][level].tobytes())


def _even_tile(size: int, tile: int) -> int:
    """Side of equal tiles, none larger than `tile`, a multiple of 4."""
    even = math.ceil(size / math.ceil(size / tile))
    return math.ceil(even / PATCH) * PATCH


def pixel_digest(array: np.ndarray) -> bytes:
    """The header's hash of all samples, (H, W, C), of `Kind.dtype`."""
    return container.digest(np.ascontiguousarray(array).data)
