"""The coder of tiles of few colours: a palette, and of every pixel the number of its colour, by the coder for
graphics or stored. Knows tiles and payloads; nothing of networks, of files, or of the palettes that image
files bring along.

Specified in docs/format/palette.md. Colours are sorted, roughly by luminance, so that the numbers of similar
colours are near each other, as levels of grey are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from codec.coder import stored
from codec.coder.continuation import Continuation
from codec.coder.schedule import Schedule
from codec.coder.work import Shape, Work
from codec.container import read_varint, varint
from codec.errors import CorruptError, TruncatedError
from codec.methods import Method, coder_of

MOST = 256  # colours
LUMINANCE = 2, 5, 1  # weights of R, G and B, roughly as bright as they are
SAMPLE = 64  # rows and columns, or up to twice as many, that tell quickly what colours a tile has
# indices that are stored in less than this share of their number are hardly worth the seconds that the coder
# for graphics takes, if there are more than LARGE
EMPTY, LARGE = 200, 2**18
METHODS = Method.RAW, Method.FILTERED, Method.GRAPHICS  # of the palette, and of the indices


def some_of(tile: np.ndarray) -> np.ndarray:
    """A few thousand of a tile's pixels, at even distances: of a photo these alone have too many colours."""
    rows, columns = (max(1, size // SAMPLE) for size in tile.shape[:2])
    return tile[::rows, ::columns]


def colours_of(tile: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(colours, uint8 (n, c), as they are sorted in a payload; of every pixel the number of its colour, uint8
    (h, w)); None if there are more than `MOST`.

    tile: uint8 (h, w, c), c from 1 to 4.
    """
    numbers = _as_numbers(tile)
    found = np.unique(numbers)
    if len(found) > MOST:
        return None
    colours = np.stack([found >> 8 * i & 255 for i in reversed(range(tile.shape[2]))], 1).astype(np.uint8)
    order = np.argsort(_luminance(colours), kind="stable")
    rank = np.empty(len(found), dtype=np.uint8)
    rank[order] = np.arange(len(found))
    return colours[order], rank[np.searchsorted(found, numbers)]


def pack(colours: np.ndarray, indices: np.ndarray, work: Work) -> bytes:
    """The payload of a tile. Arguments as `colours_of` returns them."""
    of_colours, packed = _smallest(_in_rows(colours), work)
    of_indices, coded = _smallest(indices[..., None], work)
    length = varint(len(packed)) if of_colours != Method.RAW else b""
    return bytes([len(colours) - 1, of_colours | of_indices << 4]) + length + packed + coded


def open_payload(payload: bytes, channels: int) -> tuple[np.ndarray, int, int]:
    """(colours, uint8 (n, c); method of the indices; where these begin). channels: of the tile. Raises
    CorruptError, or TruncatedError.
    """
    if len(payload) < 2:
        raise TruncatedError("its palette is cut short.")
    count, (of_indices, of_colours), at = payload[0] + 1, divmod(payload[1], 16), 2
    if of_indices not in METHODS or of_colours not in METHODS:
        raise CorruptError(
            f"a tile's palette and indices have the methods {of_colours} and {of_indices}, which cannot be."
        )
    length = count * channels
    if of_colours != Method.RAW:
        length, at = read_varint(payload, at)
    if at + length > len(payload):
        raise TruncatedError("its palette is cut short.")
    rows = coder_of(of_colours).decode(payload[at : at + length], (channels, count, 1), Work())
    colours = np.ascontiguousarray(rows[..., 0].T)
    # equal colours, or another order, would be other bytes for the same pixels
    keys = _luminance(colours) << 32 | _as_numbers(colours)
    if not (keys[1:] > keys[:-1]).all():
        raise CorruptError("a tile's palette is not sorted, each colour once.")
    return colours, of_indices, at + length


class PaletteCoder:
    """A `codec.coder.work.PlaneCoder` of whole tiles: uint8 (h, w, c), c from 1 to 4."""

    def encode(self, plane: np.ndarray, work: Work) -> bytes:
        found = colours_of(plane)
        if found is None:
            raise ValueError(f"a tile has more than {MOST} colours, which no palette holds.")
        return pack(*found, work)

    def decode(self, payload: bytes, shape: Shape, work: Work) -> np.ndarray:
        height, width, channels = shape
        try:
            colours, method, at = open_payload(payload, channels)
        except TruncatedError:
            if work.continuation is None:
                raise
            return _without_colours(shape, work.continuation)
        alone = replace(work, progress=None)  # which is told samples of the tile, not indices
        indices = coder_of(method).decode(payload[at:], (height, width, 1), alone)[..., 0]
        if indices.max() >= len(colours):
            if work.continuation is None:
                raise CorruptError(
                    f"a tile has a pixel of colour {indices.max()}, but its palette has {len(colours)}, "
                    "counted from 0."
                )
            indices = np.minimum(indices, len(colours) - 1)  # drawn by a coder that knows of no palette
        work.done(height * width * channels)
        return colours[indices]

    def least_bytes(self, shape: Shape, schedule: Schedule) -> int:
        height, width, _ = shape
        indices = min(coder_of(method).least_bytes((height, width, 1), schedule) for method in METHODS)
        return 3 + indices  # number of colours, methods, and a byte of the palette at least


PALETTE_CODER = PaletteCoder()


def _smallest(plane: np.ndarray, work: Work) -> tuple[int, bytes]:
    """(method, payload) of a plane, uint8 (h, w, 1)."""
    found = stored.encode(plane)
    if plane.size > LARGE and len(found[1]) * EMPTY < plane.size:
        return found
    coded = coder_of(Method.GRAPHICS).encode(plane, replace(work, progress=None))
    return (int(Method.GRAPHICS), coded) if len(coded) < len(found[1]) else found


def _without_colours(shape: Shape, continuation: Continuation) -> np.ndarray:
    """A tile of which not even the palette is known: neutral, alpha opaque."""
    continuation.start_stage(*shape[:2])
    continuation.mark_pixels(0)
    out = np.full(shape, continuation.fill, dtype=np.uint8)
    if shape[2] in (2, 4):
        out[..., -1] = 255
    return out


def _in_rows(colours: np.ndarray) -> np.ndarray:
    """uint8 (n, c) -> (c, n, 1), a plane with a row for every channel."""
    return np.ascontiguousarray(colours.T)[..., None]


def _as_numbers(colours: np.ndarray) -> np.ndarray:
    """uint8 (..., c) -> uint32 (...), the first channel the highest byte."""
    out = np.zeros(colours.shape[:-1], dtype=np.uint32)
    for c in range(colours.shape[-1]):
        out = out << np.uint32(8) | colours[..., c]
    return out


def _luminance(colours: np.ndarray) -> np.ndarray:
    """What colours (n, c) are sorted by first: int64 (n,). Of greys it is the level."""
    weights = LUMINANCE if colours.shape[1] > 2 else (1,)
    return colours[:, : len(weights)].astype(np.int64) @ np.array(weights)
