"""`Ardm`: a codec of numcodecs, id "ardm", for Zarr format 2 and whatever else takes such codecs. Knows what
numcodecs expects of buffers; chunks are next door (`codec.plugins.chunks`).

Installed together with numcodecs it is found by its id: `numcodecs.get_codec({"id": "ardm", "axes": "yx"})`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes, ensure_ndarray_like, ndarray_copy

from codec.plugins.axes import BYTES, ChunkError
from codec.plugins.chunks import ChunkCoder


class Ardm(Codec):
    """Images of uint8 or uint16 without loss, or any bytes.

    axes: what the axes of a chunk are, such as "yx", "yxc", "cyx", "zyx", "tczyx", one letter each: y rows,
    x columns, c the 1 to 4 channels of an image, z and t planes and times, each an image of its own; or
    "bytes". budget, order, plain, tile: as of `codec.Settings`. weights: the id of a released set, None for
    this release's. All of it is in `get_config`; decoding needs the axes alone.

    Raises ValueError for a choice that cannot be.
    """

    codec_id = "ardm"

    def __init__(
        self,
        axes: str | None = None,
        budget: int | None = None,
        order: str = "auto",
        plain: bool = False,
        tile: int | None = None,
        weights: str | None = None,
    ) -> None:
        self._coder = ChunkCoder.chosen(
            axes, budget=budget, order=order, plain=plain, tile=tile, weights=weights
        )

    def encode(self, buf: Any) -> bytes:
        """Compress a chunk. buf: an array with the axes, uint8 or uint16 of any byte order, in C or Fortran
        order; any buffer if the axes are "bytes". Thread-safe.

        Raises ChunkError, a ValueError, for a chunk that the axes do not fit.
        """
        if self._coder.axes == BYTES:
            return self._coder.pack(ensure_bytes(buf))
        return self._coder.encode(np.asarray(ensure_ndarray_like(buf)), as_in_memory=True)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Inverse of `encode`: an array as it was, also in memory; bytes if the axes are "bytes". out: a
        writable buffer of just as many bytes, which is filled and returned instead. Thread-safe.

        Raises `codec.CorruptError` for damaged data, other subclasses of `codec.ArdmError`, and ChunkError, a
        ValueError, for an `out` of another size.
        """
        data = ensure_bytes(buf)
        if self._coder.axes == BYTES:
            unpacked = self._coder.unpack(data)
            return unpacked if out is None else _fill(np.frombuffer(unpacked, np.uint8), out)
        array = self._coder.decode(data)
        return array if out is None else _fill(array, out)

    def get_config(self) -> dict[str, Any]:
        """All that `from_config` needs, as plain values, with the id."""
        return {"id": self.codec_id} | self._coder.config()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Ardm:
        """A codec of metadata, without its id, written by this release or an older one. Raises ValueError."""
        codec = cls.__new__(cls)
        codec._coder = ChunkCoder.of_config(config)
        return codec

    def __repr__(self) -> str:
        config = self.get_config()
        return f"Ardm({', '.join(f'{name}={config[name]!r}' for name in config if name != 'id')})"


def _fill(array: np.ndarray, out: Any) -> Any:
    """`out`, filled."""
    target = np.asarray(ensure_ndarray_like(out))
    if target.nbytes != array.nbytes or not target.flags.writeable:
        raise ChunkError(
            f"out must be writable and have {array.nbytes} bytes, which the chunk decodes to, got "
            f"{target.nbytes}{'' if target.flags.writeable else ' that are read-only'}."
        )
    if target.shape == array.shape and target.dtype == array.dtype:
        np.copyto(target, array)  # whatever the order in memory of either
    elif target.flags.c_contiguous or target.flags.f_contiguous:
        ndarray_copy(array, target)
    else:
        raise ChunkError(
            f"out must have shape {array.shape} and dtype {array.dtype}, or be contiguous, got "
            f"{target.shape} and {target.dtype}."
        )
    return out
