"""`ArdmCodec`: a serializer of Zarr format 3, name "ardm". Knows what Zarr expects of codecs, and how to ask
a store for parts of a chunk; chunks are next door (`codec.plugins.chunks`).

Installed together with Zarr it is found by its name, in an array's metadata or as
`serializer={"name": "ardm", "configuration": {"axes": "yx"}}`. Work is done in threads beside Zarr's event
loop, which share those of the process (`codec.plugins.turns`). There are none of the methods by which Zarr's
`FusedCodecPipeline` would do without a loop: it would decode the chunks of a shard one after the other, each
whole, and is no slower with a loop when the work is as long as ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin
from zarr.abc.store import OffsetByteRequest, RangeByteRequest
from zarr.errors import MetadataValidationError

from codec.plugins.axes import ChunkError, check_chunk, check_dtype
from codec.plugins.chunks import ChunkCoder, Plan
from codec.plugins.stack import Span

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

NAME = "ardm"


@dataclass(frozen=True, init=False)
class ArdmCodec(ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin):
    """Chunks of images of uint8 or uint16 without loss, or of any dtype as bytes.

    axes: what the axes of the array are, such as "yx", "yxc", "cyx", "zyx", "tczyx", one letter each: y rows,
    x columns, c the 1 to 4 channels of an image, z and t planes and times, each an image of its own; or
    "bytes". budget, order, plain, tile: as of `codec.Settings`. weights: the id of a released set, None for
    this release's. All of it is in the array's metadata; reading needs the axes alone.

    Raises zarr.errors.MetadataValidationError, a ValueError, for a choice that cannot be. Give
    `compressors=None` with it, or Zarr compresses chunks once more, and no part can be read by itself.
    """

    coder: ChunkCoder
    is_fixed_size = False

    def __init__(
        self,
        axes: str | None = None,
        budget: int | None = None,
        order: str = "auto",
        plain: bool = False,
        tile: int | None = None,
        weights: str | None = None,
    ) -> None:
        coder = _valid(
            lambda: ChunkCoder.chosen(
                axes, budget=budget, order=order, plain=plain, tile=tile, weights=weights
            )
        )
        object.__setattr__(self, "coder", coder)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ArdmCodec:
        """Of metadata, which may be of any release. Raises zarr.errors.MetadataValidationError."""
        codec = cls.__new__(cls)
        coder = _valid(lambda: ChunkCoder.of_config(data.get("configuration") or {}))
        object.__setattr__(codec, "coder", coder)
        return codec

    def to_dict(self) -> dict[str, Any]:
        """What stands in the array's metadata."""
        return {"name": NAME, "configuration": self.coder.config()}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Raises NotImplementedError: it depends on the pixels."""
        raise NotImplementedError

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> ArdmCodec:
        """This codec. Raises zarr.errors.MetadataValidationError for a dtype or axes that do not fit."""
        dtype = array_spec.dtype.to_native_dtype()
        _valid(lambda: check_dtype(self.coder.axes, dtype, len(array_spec.shape)))
        return self

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Raise zarr.errors.MetadataValidationError unless arrays of this shape, dtype and chunks can be
        coded.
        """
        _valid(lambda: check_dtype(self.coder.axes, dtype.to_native_dtype(), len(shape)))
        chunks = getattr(chunk_grid, "chunk_shape", None)  # irregular ones are seen when they are written
        if chunks:
            _valid(lambda: check_chunk(self.coder.axes, tuple(chunks)))

    # ---- chunks --------------------------------------------------------------------------------------------

    def _encode(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        data = self.coder.encode_values(np.asarray(chunk_data.as_numpy_array()))
        return chunk_spec.prototype.buffer.from_bytes(data)

    def _decode(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        array = self.coder.decode_values(
            chunk_data.to_bytes(), chunk_spec.shape, chunk_spec.dtype.to_native_dtype()
        )
        return chunk_spec.prototype.nd_buffer.from_numpy_array(array)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._encode, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode, chunk_data, chunk_spec)

    # ---- parts of chunks -----------------------------------------------------------------------------------

    async def _decode_partial_single(
        self, byte_getter: Any, selection: Any, chunk_spec: ArraySpec
    ) -> NDBuffer | None:
        async def get(span: Span) -> bytes | None:
            found = await byte_getter.get(chunk_spec.prototype, _request(span))
            return None if found is None else found.to_bytes()

        plan = self._plan(selection, chunk_spec)
        spans, decode = _next(plan, None)
        while spans:
            spans, decode = _next(plan, await asyncio.gather(*map(get, spans)))
        return decode and _buffer(await asyncio.to_thread(decode), chunk_spec)

    def _plan(self, selection: Any, spec: ArraySpec) -> Plan:
        return self.coder.plan(selection, spec.shape, spec.dtype.to_native_dtype())


def _next(plan: Plan, parts: list[bytes | None] | None) -> tuple[list[Span], Callable[[], np.ndarray] | None]:
    """(what a plan wants next, nothing once it is done; what it returned then)."""
    try:
        return (next(plan) if parts is None else plan.send(parts)), None
    except StopIteration as done:
        return [], done.value


def _request(span: Span) -> RangeByteRequest | OffsetByteRequest | None:
    start, end = span
    if end is not None:
        return RangeByteRequest(start, end)
    return OffsetByteRequest(start) if start else None


def _buffer(array: np.ndarray, spec: ArraySpec) -> NDBuffer:
    return spec.prototype.nd_buffer.from_numpy_array(array)


def _valid(check: Callable[[], Any]) -> Any:
    """What a check returns; what it raises, as Zarr's own error."""
    try:
        return check()
    except (ChunkError, ValueError, TypeError) as error:
        raise MetadataValidationError(f"codec ardm: {error}") from error
