"""`compress` and `decompress`: arrays to bytes and back. Knows tiles, planes and budgets; files and PNG are next door (`codec.png`, `codec.cli`)."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch

from ardm import budget as budgets
from ardm import weights as weights_module
from ardm.orders import PATCH, PHASES, group_breaks
from ardm.predict import NetworkPredictor
from ardm.stages import level_shapes
from ardm.weights import Weights, WeightsError
from codec import container, stored
from codec.coding import Decoder, Encoder
from codec.container import METHOD_MODEL, Entry, Header, read_varint, varint
from codec.errors import ArdmError, CorruptError, InputError, TruncatedError, UnsupportedError, VerifyError
from codec.presets import DEFAULT_BUDGET, MAX_PIXELS
from codec.walk import MAX_CALLS, Predictor, Schedule, walk

TILE = 1024  # largest side of a tile; larger tiles save little, and memory grows with them
ROOT_BITS = (8.0, 5.5, 6.5, 7.5, 8.0)  # rough bits per subpixel of coding level 0, 1, 2, ... without the network
Progress = Callable[[int], None]  # told the subpixels done since the last call


def compress(
    pixels: np.ndarray, *, budget: int = DEFAULT_BUDGET, seed: int | None = None, device: str = "cpu", threads: int = 0, batch: int = 1,
    tile: int = TILE, adaptive: bool = True, verify: bool = False, metadata: tuple[tuple[int, bytes], ...] = (), predictor: NetworkPredictor | None = None,
    progress: Progress | None = None,
) -> bytes:  # fmt: skip
    """Compress an image without loss.

    pixels: uint8 (H, W) or (H, W, C), C = 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA. budget: network calls per tile, over all stages; more
    calls, smaller files, same weights. seed: code pixels in a seeded random order instead of the lattice order. device: "cpu", "cuda" or
    "auto". threads: CPU threads torch may use from now on in this process; 0 leaves them as they are. batch: network calls the encoder
    makes at once. tile: largest side of a tile, a multiple of 4. adaptive: let the distributions learn from the image while it is coded
    (about 4 % smaller, half as much time again). verify: decode the result and compare. The bytes depend on pixels, budget, seed, tile,
    adaptive and weights only. Thread-safe.

    Returns the bytes of an .ardm file. Raises InputError for an array of another kind, VerifyError, ValueError for a bad argument.
    """
    _check_array(pixels)
    if budget < 1 or tile < PATCH or tile % PATCH or tile > container.MAX_TILE or batch < 1 or (seed is not None and not 0 <= seed < 2**32):
        raise ValueError(
            f"budget and batch must be at least 1, tile a multiple of 4 up to 2048, seed within 0..2**32-1; got {budget}, {batch}, {tile}, {seed}."
        )
    _set_threads(threads)
    predictor = predictor or load_predictor(device)
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    array = np.ascontiguousarray(pixels).reshape(*pixels.shape[:2], channels)
    height, width = array.shape[:2]
    shape = (_even_tile(height, tile), _even_tile(width, tile))
    schedule = plan(predictor.weights, min(shape[0], height), min(shape[1], width), budget, seed, adaptive)
    header = Header(width, height, channels, shape, predictor.weights.id, schedule, pixels.ndim == 3, _digest(array), metadata=metadata)
    payloads, entries = [], []
    for top, left, h, w in header.tiles:
        part = array[top : top + h, left : left + w]
        for plane in _planes(part):
            method, payload = encode_plane(plane, predictor, schedule, batch, progress)
            payloads.append(payload)
            entries.append(Entry(method, len(payload), zlib.crc32(payload)))
    data = container.write(Header(**{**header.__dict__, "entries": tuple(entries)}), payloads)
    if verify:
        try:
            same = np.array_equal(decompress(data, predictor=predictor, max_pixels=height * width, progress=progress), pixels)
        except ArdmError:
            same = False
        if not same:
            raise VerifyError("the compressed data does not decode to the image that went in; nothing was kept. Please report this image.")
    return data


def decompress(
    data: bytes, *, device: str = "cpu", threads: int = 0, max_pixels: int = MAX_PIXELS,
    predictor: NetworkPredictor | None = None, progress: Progress | None = None,
) -> np.ndarray:  # fmt: skip
    """Inverse of `compress`: uint8 (H, W) or (H, W, C), exactly what went in, on every machine. Thread-safe.

    Raises a subclass of ArdmError: NotArdmError, TruncatedError, CorruptError (a checksum does not match), UnsupportedError (version,
    feature or weights of another release), LimitError (more than max_pixels pixels; nothing was allocated).
    """
    header, at = container.read(data, max_pixels)
    _set_threads(threads)
    predictor = predictor or load_predictor(device, header.weights_id)
    out = np.empty((header.height, header.width, header.channels), dtype=np.uint8)
    entries = iter(header.entries)
    for top, left, h, w in header.tiles:
        planes = []
        for plane in range(header.planes):
            entry = next(entries)
            payload = data[at : at + entry.length]
            at += entry.length
            where = f"tile at row {top}, column {left}"
            if zlib.crc32(payload) != entry.crc:
                raise CorruptError(f"checksum of the {where} does not match. Stored: {entry.crc:08x}. Computed: {zlib.crc32(payload):08x}.")
            depth = 1 if plane or header.channels < 3 else 3
            try:
                planes.append(decode_plane(entry.method, payload, (h, w, depth), predictor, header.schedule, progress))
            except ArdmError as error:
                raise type(error)(f"{where}: {error}") from error
        out[top : top + h, left : left + w] = np.concatenate(planes, axis=2)
    digest = _digest(out)
    if digest != header.digest:
        raise CorruptError(f"hash of the decoded pixels does not match. Stored: {header.digest.hex()}. Computed: {digest.hex()}.")
    return out if header.channel_axis else out[..., 0]


def info(data: bytes) -> dict[str, object]:
    """What a file says of itself, without decoding pixels: a dict of plain values (the command's --json). Raises as `decompress` does."""
    header, at = container.read(data, max_pixels=2**64)
    schedule = header.schedule
    return {
        "width": header.width, "height": header.height, "channels": header.channels, "bits_per_channel": 8,
        "tiles": header.tile_count, "tile_height": header.tile[0], "tile_width": header.tile[1],
        "order": "lattice" if schedule.seed is None else f"random:{schedule.seed}", "network_calls": schedule.calls,
        "weights": header.weights_id, "pixel_hash": header.digest.hex(), "bytes": len(data),
        "header_bytes": at, "bits_per_subpixel": 8 * len(data) / (header.width * header.height * header.channels),
        "stored_tiles": sum(e.method != METHOD_MODEL for e in header.entries),
    }  # fmt: skip


# ---- one plane of one tile --------------------------------------------------------------------------------------------------


def encode_plane(plane: np.ndarray, predictor: Predictor, schedule: Schedule, batch: int, progress: Progress | None) -> tuple[int, bytes]:
    """plane: uint8 (h, w, 1 or 3). Returns (method, payload), the smaller of model and stored."""
    height, width, channels = plane.shape
    # A quick look with zlib tells whether storing can win at all; LZMA over every photo would cost a fifth of the time.
    rough = min(len(zlib.compress(stored.filter_forward(plane, k).tobytes(), 1)) for k in (0, 7))
    if rough * 64 < plane.size or not schedule.root_level(height, width):
        if progress:
            progress(plane.size)
        return stored.encode(plane)
    image = torch.from_numpy(np.ascontiguousarray(np.broadcast_to(plane, (height, width, 3)).transpose(2, 0, 1)).astype(np.int16))
    stride = PATCH ** schedule.root_level(height, width)
    root = image[:, ::stride, ::stride]
    method, root_bytes = stored.encode(np.ascontiguousarray(plane[::stride, ::stride]))
    coder = Encoder()
    with torch.inference_mode():
        walk(coder, predictor, schedule, root, (height, width), channels, image, batch, progress)
    payload = bytes([method]) + varint(len(root_bytes)) + root_bytes + coder.finish()
    if rough * 0.7 < len(payload) or len(payload) >= plane.size:
        method, alternative = stored.encode(plane)
        if len(alternative) <= len(payload):
            return method, alternative
    return METHOD_MODEL, payload


def decode_plane(method: int, payload: bytes, shape: tuple[int, int, int], predictor: Predictor, schedule: Schedule, progress: Progress | None) -> np.ndarray:
    """Inverse of `encode_plane`: uint8 of `shape`."""
    height, width, channels = shape
    if method != METHOD_MODEL:
        if progress:
            progress(height * width * channels)
        return stored.decode(method, payload, shape)
    level = schedule.root_level(height, width)
    if not payload or not level:
        raise CorruptError("a tile coded by the model has no network calls or no data.")
    length, at = read_varint(payload, 1)
    if at + length > len(payload) or (len(payload) - at - length) % 4:
        raise TruncatedError("its data is cut short.")
    root = stored.decode(payload[0], payload[at : at + length], (*level_shapes(height, width)[level], channels))
    root = np.broadcast_to(root, (*root.shape[:2], 3)).transpose(2, 0, 1).astype(np.int16)
    coder = Decoder(payload[at + length :])
    with torch.inference_mode():
        image = walk(coder, predictor, schedule, torch.from_numpy(root), (height, width), channels, None, 1, progress)
    return image[:channels].permute(1, 2, 0).to(torch.uint8).numpy()


# ---- helpers ----------------------------------------------------------------------------------------------------------------


def load_predictor(device: str = "cpu", weights_id: str = weights_module.DEFAULT_ID) -> NetworkPredictor:
    """Weights of this release by id, on a device. Raises UnsupportedError for an unknown id."""
    try:
        return NetworkPredictor(weights_module.load(weights_id), device)
    except WeightsError as error:
        raise UnsupportedError(str(error)) from error


def plan(weights: Weights, height: int, width: int, budget: int, seed: int | None, adaptive: bool = True) -> Schedule:
    """The best schedule for tiles of a shape within a budget of network calls."""
    adaptive = adaptive and seed is None
    shapes = level_shapes(height, width)
    count = len(shapes) - 1
    if not count:
        return Schedule((), seed, adaptive)
    if seed is not None:  # no measured table for random orders: share evenly, the finest stages first
        used = min(count, budget)
        coded = [h * w - shapes[i + 1][0] * shapes[i + 1][1] for i, (h, w) in enumerate(shapes[:-1])]
        return Schedule(tuple(min(budget // used + (i < budget % used), coded[i], MAX_CALLS) for i in range(used)), seed, adaptive=False)
    options = [_groupings(weights, min(level, 3)) for level in range(count)]
    pixels = [h * w for h, w in shapes]
    stages = [costs * pixels[i] / 16 for i, (costs, _) in enumerate(options)]
    roots = [ROOT_BITS[min(i, 4)] * pixels[i] for i in range(count + 1)]
    _, calls = budgets.share_calls(stages, roots, min(budget, PHASES * count))
    return Schedule(tuple(group_breaks(options[i][1][c]) for i, c in enumerate(calls)), adaptive=adaptive)


@lru_cache(maxsize=64)
def _groupings_cached(weights_id: str, level: int, table: bytes) -> tuple[np.ndarray, list[list[int]]]:
    return budgets.merge_phases(np.frombuffer(table, dtype=np.int32).reshape(15, 15) / 1000)


def _groupings(weights: Weights, level: int) -> tuple[np.ndarray, list[list[int]]]:
    return _groupings_cached(weights.id, level, weights.tensors["bits"][level].tobytes())


def _even_tile(size: int, tile: int) -> int:
    """Side of equal tiles, none larger than `tile`, a multiple of 4."""
    even = math.ceil(size / math.ceil(size / tile))
    return math.ceil(even / PATCH) * PATCH


def _planes(part: np.ndarray) -> list[np.ndarray]:
    """Colour (or grey) and, where there is one, alpha: uint8 (h, w, 3 or 1) and (h, w, 1)."""
    c = part.shape[2]
    return [part] if c in (1, 3) else [part[..., :-1], part[..., -1:]]


def _digest(array: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).digest()


def _set_threads(threads: int) -> None:
    if threads < 0:
        raise ValueError(f"threads must be 0 (leave as is) or more, got {threads}.")
    if threads:
        torch.set_num_threads(threads)


def _check_array(pixels: np.ndarray) -> None:
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        raise InputError(f"pixels must be a NumPy array of uint8, got {getattr(pixels, 'dtype', type(pixels).__name__)}.")
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 2, 3, 4)):
        raise InputError(f"pixels must have shape (H, W) or (H, W, C) with C from 1 to 4, got {pixels.shape}.")
    if not pixels.size or max(pixels.shape) >= 2**32:
        raise InputError(f"pixels must not be empty, got shape {pixels.shape}.")
