"""Coding without the network: for graphics, noise and tiny images, where it is smaller, and for the root of
every tile.

    method 0  raw           the bytes as they are
    method 1  filtered      a reversible filter, then LZMA: one filter byte, then a raw LZMA1 stream

Filters act modulo 256 on whole arrays, so that NumPy inverts them without a loop: bit 0 subtracts G from the
other channels, bit 1 subtracts the pixel to the left, bit 2 the pixel above (both: the gradient predictor).
Knows arrays and bytes only.
"""

from __future__ import annotations

import lzma
from dataclasses import dataclass

import numpy as np

from codec.coder.schedule import Schedule
from codec.coder.work import Shape, Work
from codec.errors import CorruptError
from codec.methods import Method

RAW, FILTERED = Method.RAW, Method.FILTERED
# bytes that one byte of LZMA can stand for: 273, the longest match, in 14 decisions of at least 0.022 bits
# make 7100
LZMA_MOST = 8192
_FILTERS = ({"id": lzma.FILTER_LZMA1, "preset": 6, "dict_size": 1 << 22, "lc": 0, "lp": 0, "pb": 0},)


def filter_forward(pixels: np.ndarray, kind: int) -> np.ndarray:
    """uint8 (h, w, c) -> uint8 (h, w, c)."""
    x = pixels.copy()
    if kind & 1 and x.shape[2] >= 3:
        x[..., 0] -= x[..., 1]
        x[..., 2] -= x[..., 1]
    if kind & 2:
        x[:, 1:] -= x[:, :-1].copy()
    if kind & 4:
        x[1:] -= x[:-1].copy()
    return x


def filter_inverse(filtered: np.ndarray, kind: int) -> np.ndarray:
    """Undo `filter_forward`."""
    x = filtered.copy()
    if kind & 4:
        x = np.cumsum(x, axis=0, dtype=np.uint8)
    if kind & 2:
        x = np.cumsum(x, axis=1, dtype=np.uint8)
    if kind & 1 and x.shape[2] >= 3:
        x[..., 0] += x[..., 1]
        x[..., 2] += x[..., 1]
    return x


def encode(pixels: np.ndarray) -> tuple[int, bytes]:
    """Smallest of the methods. pixels: uint8 (h, w, c). Returns (method, payload)."""
    packed = _filtered(pixels)
    return (int(FILTERED), packed) if len(packed) < pixels.size else (int(RAW), pixels.tobytes())


def _filtered(pixels: np.ndarray) -> bytes:
    """Payload of method 1, with the best of the filters that are worth a try."""
    kinds = [k for k in range(8) if pixels.shape[2] >= 3 or not k & 1]
    # The filter whose output has the least entropy, and no filter, which is what repetitive graphics want.
    tried = {0, min(kinds, key=lambda k: _entropy(filter_forward(pixels, k)))}
    return min(
        (
            bytes([k]) + lzma.compress(filter_forward(pixels, k).tobytes(), lzma.FORMAT_RAW, filters=_FILTERS)
            for k in tried
        ),
        key=len,
    )


def decode(method: int, payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Inverse of `encode`. Raises CorruptError if the payload does not hold exactly the pixels of `shape`."""
    size = int(np.prod(shape))
    if method == RAW:
        data = payload
    elif method == FILTERED and payload:
        try:
            decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
            data = decompressor.decompress(payload[1:], max_length=size + 1)
            if not decompressor.eof:  # the end marker may need one more look
                data += decompressor.decompress(b"", max_length=1)
        except lzma.LZMAError as error:
            raise CorruptError(f"a stored tile cannot be unpacked ({error}).") from error
    else:
        raise CorruptError(f"a stored tile has method {method}, expected 0 or 1 with a payload.")
    if method == FILTERED and (payload[0] > 7 or (payload[0] & 1 and shape[2] < 3)):
        raise CorruptError(
            f"a stored tile has filter {payload[0]}, which does not fit its {shape[2]} channels."
        )
    if method == FILTERED and len(data) == size and (not decompressor.eof or decompressor.unused_data):
        raise CorruptError("a stored tile does not end where it should.")
    if len(data) != size:
        raise CorruptError(f"a stored tile unpacks to {len(data)} bytes, expected {size}.")
    pixels = np.frombuffer(data, dtype=np.uint8).reshape(shape)
    return pixels if method == RAW else filter_inverse(pixels, payload[0])


def decode_part(
    method: int, payload: bytes, shape: tuple[int, int, int], fill: int
) -> tuple[np.ndarray, int]:
    """What can be had of a payload of which the end is missing: (uint8 of `shape`, how many of its pixels,
    row by row, are sure).

    fill: the other pixels, where they cannot be told by the filter from those that are sure. Raises
    CorruptError as `decode` does.
    """
    filtered = method == FILTERED and len(payload) > 0
    if filtered:
        if payload[0] > 7 or (payload[0] & 1 and shape[2] < 3):
            raise CorruptError(
                f"a stored tile has filter {payload[0]}, which does not fit its {shape[2]} channels."
            )
        try:
            data = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS).decompress(
                payload[1:], max_length=int(np.prod(shape))
            )
        except lzma.LZMAError as error:
            raise CorruptError(f"a stored tile cannot be unpacked ({error}).") from error
    else:
        data = payload if method == RAW else b""
    sure = min(len(data) // shape[2], shape[0] * shape[1])
    values = np.full(shape, 0 if filtered and payload[0] else fill, dtype=np.uint8)
    values.reshape(-1)[: sure * shape[2]] = np.frombuffer(data, dtype=np.uint8)[: sure * shape[2]]
    return filter_inverse(values, payload[0]) if filtered else values, sure


def _entropy(x: np.ndarray) -> float:
    count = np.bincount(x.ravel(), minlength=256)
    p = count[count > 0] / x.size
    return float(-(p * np.log2(p)).sum())


@dataclass(frozen=True)
class StoredCoder:
    """A `codec.coder.work.PlaneCoder` of uint8 planes (h, w, 1 or 3), by one of the two methods."""

    method: int

    def encode(self, plane: np.ndarray, work: Work) -> bytes:
        return plane.tobytes() if self.method == RAW else _filtered(plane)

    def decode(self, payload: bytes, shape: Shape, work: Work) -> np.ndarray:
        if work.continuation is None:
            plane = decode(self.method, payload, shape)
        else:
            plane, sure = decode_part(self.method, payload, shape, work.continuation.fill)
            work.continuation.start_stage(*shape[:2])
            work.continuation.mark_pixels(sure)
        work.done(plane.size)
        return plane

    def least_bytes(self, shape: Shape, schedule: Schedule) -> int:
        size = int(np.prod(shape))
        return size if self.method == RAW else 1 + -(-size // LZMA_MOST)


RAW_CODER, FILTERED_CODER = StoredCoder(RAW), StoredCoder(FILTERED)
