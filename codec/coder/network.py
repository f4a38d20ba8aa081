"""The coder of planes by the network: in the order that the schedule says, plain or mixing. Knows planes and
payloads; `codec.coder.plain` and `codec.coder.mixing` do the work.

Payload: in raster order the coder's words; else the coarsest level, the root, which is stored, and then the
words.
"""

from __future__ import annotations

import math

import numpy as np

from ardm.exact.predictor import Predictor
from ardm.orders import PATCH, level_shapes
from ardm.units import WEIGHT_TOP
from codec.coder import kernel, plain, stored
from codec.coder.arithmetic import MARGIN, mixed_bytes
from codec.coder.continuation import Continuation
from codec.coder.mixing import Mixing
from codec.coder.schedule import Order, Schedule
from codec.coder.selftest import check_coder
from codec.coder.walk import PixelModel, as_rgb, planar, walk
from codec.coder.work import Shape, Work
from codec.container import read_varint, varint
from codec.errors import CorruptError, TruncatedError, UnsupportedError

# A plain digit leaves the three quarters not taken 64 parts for each of their levels, of all parts that there
# can be.
_PARTS = 65536 * WEIGHT_TOP * kernel.MIXTURE + 64 * 256
BITS_OF_PLAIN = sum(-math.log2(1 - 3 * 64 * quarter / _PARTS) for quarter in (64, 16, 4, 1))


class NetworkCoder:
    """A `codec.coder.work.PlaneCoder` of uint8 planes (h, w, 1 or 3)."""

    def encode(self, plane: np.ndarray, work: Work) -> bytes:
        predictor, schedule = _predictor(work), work.schedule
        check_coder(schedule.plain)
        height, width, channels = plane.shape
        image = as_rgb(plane)
        told = work.per_pixel(channels)
        if schedule.order == Order.RASTER:
            if schedule.plain:
                encoder = plain.Encoder()
                plain.code_raster(encoder, predictor.weights, image, channels, False, told=told)
                return encoder.finish()
            mixing = Mixing(channels, height * width, predictor.weights, blocks=work.blocks)
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

    def decode(self, payload: bytes, shape: Shape, work: Work) -> np.ndarray:
        check_coder(work.schedule.plain)
        decode = _decode_raster if work.schedule.order == Order.RASTER else _decode_levels
        return decode(payload, shape, work, _predictor(work))[..., : shape[2]]

    def least_bytes(self, shape: Shape, schedule: Schedule) -> int:
        height, width, channels = shape
        pixels, root = height * width, 0
        if schedule.order != Order.RASTER:
            rows, columns = level_shapes(height, width)[schedule.root_level(height, width)]
            # its method, its length, and itself, which may be filtered
            root = 2 + min(rows * columns * channels, 2)
            pixels -= rows * columns
        return root + (
            4 * math.ceil(MARGIN * pixels * channels * BITS_OF_PLAIN / 32)
            if schedule.plain
            else mixed_bytes(pixels * channels)
        )


NETWORK_CODER = NetworkCoder()


def _predictor(work: Work) -> Predictor:
    if work.predictor is None:
        raise CorruptError("a tile coded by the network has no network.")
    return work.predictor


def _decode_raster(payload: bytes, shape: Shape, work: Work, predictor: Predictor) -> np.ndarray:
    """A plane in raster order: uint8 (h, w, 3)."""
    height, width, channels = shape
    schedule, told = work.schedule, work.per_pixel(channels)
    if schedule.slope != predictor.weights.config.radius + 1:
        raise UnsupportedError(
            f"rows that follow each other {schedule.slope} pixels apart; a newer ardm may read the file."
        )
    if schedule.plain:
        image = np.zeros((height, width, 3), np.uint8)
        decoder = plain.Decoder(_words(payload, work.continuation))
        plain.code_raster(decoder, predictor.weights, image, channels, True, work.continuation, told)
        return image
    mixing = Mixing(channels, height * width, predictor.weights, payload, work.continuation, work.blocks)
    plane = mixing.start_stage(np.zeros((3, height, width), np.int16), None)
    mixing.code_raster(schedule.strip, told)
    return plane.transpose(1, 2, 0).astype(np.uint8)


def _decode_levels(payload: bytes, shape: Shape, work: Work, predictor: Predictor) -> np.ndarray:
    """A plane in lattice or random order: uint8 (h, w, 3)."""
    height, width, channels = shape
    schedule, continuation = work.schedule, work.continuation
    level = schedule.root_level(height, width)
    if not payload and continuation is None:
        raise CorruptError("a tile coded by the network has no data.")
    root, words = _open_root(payload, (*level_shapes(height, width)[level], channels), continuation)
    model: PixelModel
    if schedule.plain:
        coder = plain.new_coder(words if continuation else _words(words, continuation), continuation)
        model = plain.PlainPixels(coder, predictor.weights, channels)
        if continuation:
            continuation.start_pixels(height, width, PATCH**level)
    else:
        model = Mixing(channels, height * width, predictor.weights, words, continuation)
    below = np.broadcast_to(root, (*root.shape[:2], 3))
    told = work.per_pixel(channels)
    return walk(model, predictor, schedule, below, (height, width), None, told, finest=work.level)


def _words(data: bytes, continuation: Continuation | None) -> bytes:
    """Whole words of a plain coder. Raises TruncatedError if one is cut, unless there is a way to go on."""
    if len(data) % 4 and continuation is None:
        raise TruncatedError("its data is cut short.")
    return data[: len(data) // 4 * 4]


def _open_root(
    payload: bytes, shape: tuple[int, int, int], continuation: Continuation | None
) -> tuple[np.ndarray, bytes]:
    """The root of a plane coded by the model, uint8 of `shape`, and the words that follow it."""
    length, at = 0, len(payload)
    try:
        length, at = read_varint(payload, 1)
        if at + length > len(payload):
            raise TruncatedError("its data is cut short.")
    except TruncatedError:
        if continuation is None:
            raise
        root, sure = (
            stored.decode_part(payload[0], payload[at:], shape, continuation.fill)
            if payload
            else (continuation.root(shape), 0)
        )
        continuation.start_stage(*shape[:2])
        continuation.mark_pixels(sure)
        return root, b""
    root = stored.decode(payload[0], payload[at : at + length], shape)
    if continuation:
        continuation.start_stage(*shape[:2])
    return root, payload[at + length :]
