"""The coder of planes whose colours a known conversion made of luma and colour differences: by the network,
as a picture in which luma stands for G, and the differences are added to it. Knows planes and payloads.

Specified in docs/format/converted.md. A conversion reaches one RGB colour in four to nine; no model of R, G
and B can tell which, and pays for it. The few pixels that it did not make are listed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from codec.coder.conversions import CONVERSIONS, from_rgb, number_of, to_rgb, told
from codec.coder.palette import some_of
from codec.coder.schedule import Schedule
from codec.coder.work import Shape, Work
from codec.container import read_varint, varint
from codec.errors import CorruptError, TruncatedError, UnsupportedError
from codec.methods import Method, coder_of

BLOCK = 8  # side of those that luma was coded in
EDGE = 8  # a step of luma that counts as an edge; higher ones count no more
LISTED = 64  # of so many pixels one may be listed
Listed = tuple[
    np.ndarray, np.ndarray
]  # places of pixels, row by row, int64 (n,); their colours, uint8 (n, 3)


class ConvertedCoder:
    """A `codec.coder.work.PlaneCoder` of uint8 planes (h, w, 3)."""

    def pack(self, plane: np.ndarray, work: Work) -> bytes | None:
        """The payload of a plane, None if no conversion that is known made it."""
        conversion = told(some_of(plane))
        if conversion is None:
            return None
        planes, missed = from_rgb(conversion, plane)
        places = np.flatnonzero(missed)
        if len(places) * LISTED > missed.size:
            return None
        gaps = np.diff(places, prepend=-1) - 1
        listed = zip(gaps.tolist(), plane[missed], strict=True)
        origin = origin_of(planes[..., 1])
        head = bytes([number_of(conversion), BLOCK * origin[0] + origin[1]]) + varint(len(places))
        head += b"".join(varint(gap) + colour.tobytes() for gap, colour in listed)
        return head + coder_of(Method.NETWORK).encode(planes, replace(work, blocks=origin))

    def encode(self, plane: np.ndarray, work: Work) -> bytes:
        payload = self.pack(plane, work)
        if payload is None:
            raise ValueError("no conversion that is known made a plane's colours.")
        return payload

    def decode(self, payload: bytes, shape: Shape, work: Work) -> np.ndarray:
        height, width, _ = shape
        network = coder_of(Method.NETWORK)
        try:
            number, origin, (places, colours), at = open_payload(payload, height * width)
        except TruncatedError:
            if work.continuation is None:
                raise
            return network.decode(b"", shape, replace(work, blocks=(0, 0)))
        out = to_rgb(CONVERSIONS[number], network.decode(payload[at:], shape, replace(work, blocks=origin)))
        rows, columns = np.divmod(places, width)
        step = work.schedule.step(work.level, height, width)
        there = (rows % step == 0) & (columns % step == 0)
        out[rows[there] // step, columns[there] // step] = colours[there]
        return out

    def least_bytes(self, shape: Shape, schedule: Schedule) -> int:
        return 3 + coder_of(Method.NETWORK).least_bytes(shape, schedule)


CONVERTED_CODER = ConvertedCoder()


def origin_of(luma: np.ndarray) -> tuple[int, int]:
    """Rows and columns of the first block that are not in the plane, uint8 (h, w), as it seems: between
    blocks values differ more than beside.
    """
    return _offset(luma.T), _offset(luma)


def _offset(values: np.ndarray) -> int:
    """Columns of the first block that are not among these."""
    # To each column but the first. Edges of what is seen are few and high, those of blocks many and low.
    steps = np.minimum(np.abs(np.diff(values.astype(np.int16), axis=1)), EDGE).sum(0, dtype=np.int64)
    more = 2 * steps[1:-1] - steps[:-2] - steps[2:]
    sums = [int(more[(column - 2) % BLOCK :: BLOCK].sum()) for column in range(BLOCK)]
    return -sums.index(max(sums)) % BLOCK


def open_payload(payload: bytes, pixels: int) -> tuple[int, tuple[int, int], Listed, int]:
    """(number of the conversion; rows and columns of the first block that are not in the plane; pixels that
    it did not make; where the network's payload begins). pixels: of the plane. Raises CorruptError,
    TruncatedError, UnsupportedError.
    """
    if len(payload) < 2:
        raise TruncatedError("its data is cut short.")
    number, origin = payload[0], divmod(payload[1], BLOCK)
    if number >= len(CONVERSIONS):
        raise UnsupportedError(
            f"a plane's colours were made by conversion {number}, which this release does not know; a newer "
            "ardm may read it."
        )
    if origin[0] >= BLOCK:
        raise CorruptError(f"a plane's blocks begin at {payload[1]}, which is not below {BLOCK**2}.")
    count, at = read_varint(payload, 2)
    if count > pixels:
        raise CorruptError(f"a plane of {pixels} pixels lists {count} of them.")
    places, colours, place = [], bytearray(), -1
    for _ in range(count):
        gap, at = read_varint(payload, at)
        place += 1 + gap
        if place >= pixels:
            raise CorruptError(f"a plane of {pixels} pixels lists pixel {place}, counted from 0.")
        places.append(place)
        colours += payload[at : at + 3]
        at += 3
    if at > len(payload):
        raise TruncatedError("its data is cut short.")
    return number, origin, (np.array(places, np.int64), np.frombuffer(colours, np.uint8).reshape(-1, 3)), at
