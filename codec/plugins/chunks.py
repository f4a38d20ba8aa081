"""`ChunkCoder`: a chunk of an array to bytes and back, by axes that are named; also a part of one, of which
only the tiles that it touches are decoded. Knows arrays and .ardm files; neither stores nor any library of
chunks.

Whatever a chunk was written with, its bytes say what they are. Of the options reading needs the axes alone.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from threading import Event
from typing import Any

import numpy as np

import codec
from codec.errors import CorruptError, LimitError
from codec.limits import Limits
from codec.opened import Opened
from codec.plugins import stack
from codec.plugins.axes import BYTES, Part, by_image, check_axes, check_chunk, check_dtype
from codec.plugins.stack import BIG_ENDIAN, FORTRAN, Front, Pieces, Span
from codec.settings import Settings

FORMAT = 1  # of the bytes of chunks, and of what the options mean

# What is wanted of a chunk's bytes; what is there of each; None if there is no chunk, else what decodes it
Plan = Generator[list[Span], list[bytes | None], Callable[[], np.ndarray] | None]


@dataclass(frozen=True)
class ChunkCoder:
    """What chunks are coded with. All of it is kept in an array's metadata.

    axes: see `codec.plugins.axes.CHOICES`. budget, order, plain, tile: as of `codec.Settings`; of bytes,
    budget and plain alone. weights: id of the weights for photos; None for bytes, whose files name theirs.
    """

    axes: str
    budget: int | None = None
    order: str = "auto"
    plain: bool = False
    tile: int | None = None
    weights: str | None = None

    def __post_init__(self) -> None:
        for name in ("budget", "tile"):  # plain integers, which JSON can hold
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, operator.index(value))

    @classmethod
    def chosen(cls, axes: object, **options: Any) -> ChunkCoder:
        """For writing, with this release's weights if none are named. Raises ValueError or TypeError for a
        choice that cannot be.
        """
        coder = cls(check_axes(axes), **options)
        coder.settings()
        if coder.weights is None and coder.axes != BYTES:
            from codec.scheduling import weights_for

            coder = replace(coder, weights=weights_for(coder.settings()))
        return coder

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> ChunkCoder:
        """Of metadata, which may be of any release. Options for writing are kept as they are, and checked
        when something is written. Without a "format" it is somebody's choice, as of `chosen`. Raises
        ValueError for axes that are none, an unknown option or a newer format.
        """
        given = dict(config)
        chosen = "format" not in given
        form = given.pop("format", FORMAT)
        if form != FORMAT:
            raise ValueError(
                f"the chunks have format {form!r}, this release knows {FORMAT}; a newer ardm may read them."
            )
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in given if name not in known]:
            raise ValueError(f"there is no option {unknown[0]!r}; expected {', '.join(known)} or format.")
        axes = check_axes(given.pop("axes", None))
        return cls.chosen(axes, **given) if chosen else cls(axes, **given)

    def config(self) -> dict[str, Any]:
        """Plain values, of which `of_config` makes the same again."""
        return asdict(self) | {"format": FORMAT}

    def settings(self) -> Settings:
        """For writing. Raises ValueError for a choice that cannot be."""
        if self.axes == BYTES and (self.order, self.tile, self.weights) != ("auto", None, None):
            raise ValueError(
                f"axes 'bytes' have neither order, tile nor weights, got {self.order!r}, {self.tile} and "
                f"{self.weights!r}; leave them out."
            )
        return Settings(self.budget, self.order, plain=self.plain, tile=self.tile)

    # ---- images --------------------------------------------------------------------------------------------

    def encode(self, array: np.ndarray, as_in_memory: bool = False) -> bytes:
        """The bytes of a chunk of uint8 or uint16. as_in_memory: it comes back in the byte order and the
        memory order, C or Fortran, that it has, where otherwise its values count alone. Thread-safe.

        Raises ChunkError for what the axes do not fit, ValueError for options that cannot be, and as
        `codec.compress` does.
        """
        check_dtype(self.axes, array.dtype, array.ndim)
        check_chunk(self.axes, array.shape)
        flags = 0
        if as_in_memory:
            big = array.dtype.itemsize > 1 and array.dtype != array.dtype.newbyteorder("<")
            flags = BIG_ENDIAN * big | FORTRAN * (array.flags.f_contiguous and not array.flags.c_contiguous)
        images = by_image(array, self.axes)
        counts = images.shape[0], images.shape[1]
        return stack.write(flags, counts, self._compressed([images[place] for place in np.ndindex(counts)]))

    def _compressed(self, images: list[np.ndarray]) -> list[bytes]:
        compress, settings = codec.compress, self.settings()  # which loads what is imported here
        from codec.parallel import in_parallel
        from codec.plugins.turns import turn
        from codec.scheduling import weights_for
        from codec.tiles import load_predictor

        with turn():
            predictor = load_predictor(weights_id=self.weights or weights_for(settings))

            def work(image: np.ndarray, _: int) -> bytes:
                return compress(image, settings=settings, predictor=predictor)

            return in_parallel(work, images, Event())

    def decode(self, data: bytes, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Inverse of `encode`. shape: what the chunk must have, None: what it has. Thread-safe.

        Raises as `codec.decompress` does, and CorruptError for a chunk of another shape or other axes.
        """
        try:
            next(self._reading(Pieces(data), shape, None))
        except StopIteration as done:
            return done.value()
        raise AssertionError("all bytes are there, so that none can be wanted")

    # ---- any bytes -----------------------------------------------------------------------------------------

    def pack(self, data: bytes) -> bytes:
        """The bytes of a chunk of bytes. Raises as `codec.text.pack` does."""
        self.settings()
        from codec.plugins.turns import turn
        from codec.text import pack

        with turn():
            return pack(data, budget=self.budget, order="plain" if self.plain else "auto")

    def unpack(self, data: bytes) -> bytes:
        """Inverse of `pack`. Raises as `codec.text.unpack` does."""
        from codec.plugins.turns import turn
        from codec.text import unpack

        with turn():
            return unpack(data)

    # ---- arrays whose shape and dtype are kept elsewhere ---------------------------------------------------

    def encode_values(self, array: np.ndarray) -> bytes:
        """The values of a chunk of any dtype that the axes allow. Raises as `encode` and `pack` do."""
        if self.axes != BYTES:
            return self.encode(array)
        check_dtype(self.axes, array.dtype, array.ndim)
        return self.pack(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes("C"))

    def decode_values(self, data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Inverse of `encode_values`. Raises as `decode` and `unpack` do."""
        if self.axes != BYTES:
            return _typed(self.decode(data, shape), dtype)
        unpacked, expected = self.unpack(data), math.prod(shape) * dtype.itemsize
        if len(unpacked) != expected:
            raise CorruptError(
                f"the chunk holds {len(unpacked)} bytes, {shape} of {dtype} are {expected}; it was written "
                "for another array."
            )
        return np.frombuffer(unpacked, dtype.newbyteorder("<")).reshape(shape).astype(dtype)

    def plan(self, selection: Any, shape: tuple[int, ...], dtype: np.dtype) -> Plan:
        """How to read chunk[selection], as Numpy would index it, of values of a chunk.

        A generator. It yields the spans of the chunk's bytes that it wants next, and must be sent what there
        is of each. It returns None if there is no chunk, else a function that decodes the part; that takes
        long, the generator does not. Only tiles within the bounds of the selection are wanted and decoded,
        each checked by its checksum, and only planes (t, z) that are selected. All of a chunk is wanted in
        one span. Raises as `decode_values` does.
        """
        part = None if self.axes == BYTES else Part(selection, self.axes, shape)
        if part and part.nothing:
            return lambda: np.broadcast_to(np.zeros((), dtype), shape)[selection].copy()
        if part is None or part.everything:
            (data,) = yield [(0, None)]
            if data is None:
                return None
            return lambda: np.asarray(self.decode_values(data, shape, dtype)[selection])
        decode = yield from self._reading(Pieces(), shape, part)
        return decode and (lambda: _typed(decode(), dtype))

    def _reading(self, pieces: Pieces, shape: tuple[int, ...] | None, part: Part | None) -> Plan:
        """`plan` of a part of images, or of all of them."""
        limits = Limits()
        front = yield from stack.front_of(pieces)
        if front is None:
            return None
        self._check_counts(front, shape)
        places = part.planes if part else list(np.ndindex(front.counts))
        spans = [front.files[t * front.counts[1] + z] for t, z in places]
        files = yield from stack.opened(pieces, spans, limits)
        self._check_files(files, front, shape)
        if part:
            placed = zip(files, spans, strict=True)
            yield from pieces.want(
                [span for file, (start, _) in placed for span in stack.payloads(file, start, part.box)]
            )
            return lambda: part.select(_pixels(files, part, limits))
        whole = Part((), self.axes, self._shape(files[0], front))
        return lambda: _as_in_memory(whole.select(_pixels(files, whole, limits)), front.flags)

    def _shape(self, file: Opened, front: Front) -> tuple[int, ...]:
        header = file.header
        sizes = dict(zip("tzyxc", (*front.counts, header.height, header.width, header.channels), strict=True))
        return tuple(sizes[letter] for letter in self.axes)

    def _check_counts(self, front: Front, shape: tuple[int, ...] | None) -> None:
        """Raise CorruptError unless there are as many images as the axes, and the shape, say."""
        for letter, count in zip("tz", front.counts, strict=True):
            at = self.axes.find(letter)
            expected = 1 if at < 0 else shape[at] if shape else count
            if count != expected:
                raise CorruptError(
                    f"the chunk holds {count} along axis {letter}, expected {expected} by axes {self.axes!r} "
                    f"and shape {shape}; it was written for another array."
                )

    def _check_files(self, files: list[Opened], front: Front, shape: tuple[int, ...] | None) -> None:
        """Raise CorruptError unless all images are alike, and as the shape says, before any is decoded."""
        first = files[0].header
        for header in (file.header for file in files):
            found, expected = (
                (h.height, h.width, h.channels, h.channel_axis, h.kind.size) for h in (header, first)
            )
            if found != expected:
                raise CorruptError("the chunk holds images of several shapes.")
        if first.channel_axis != ("c" in self.axes) or (shape and self._shape(files[0], front) != shape):
            raise CorruptError(
                f"the chunk holds images of {first.height} x {first.width} x {first.channels}, "
                f"{'with' if first.channel_axis else 'without'} an axis of channels, expected axes "
                f"{self.axes!r}{f' and shape {shape}' if shape else ''}; it was written for another array."
            )
        pixels = first.width * first.height * math.prod(front.counts)
        if pixels > Limits().max_pixels:
            raise LimitError(f"the chunk has {pixels} pixels, the limit is {Limits().max_pixels}.")


def _pixels(files: list[Opened], part: Part, limits: Limits) -> np.ndarray:
    """(T, Z, H, W) or (T, Z, H, W, C): the planes of a part, decoded, of which there is a file each."""
    reader_of = codec.ImageReader  # which loads what is imported here
    from codec import cost
    from codec.parallel import in_parallel
    from codec.plugins.turns import turn

    for file in files:
        cost.check_payloads(file.header)  # before anything is allocated
    readers = [reader_of(file, limits) for file in files]
    out = part.empty(readers[0].shape[2:], readers[0].dtype)
    full = part.box == (0, 0, readers[0].width, readers[0].height)

    def work(job: tuple[tuple[int, int], codec.ImageReader], _: int) -> None:
        plane, reader = job
        # all of an image is checked by the hash of its pixels as well
        out[part.place(plane)] = reader.read(None if full else part.box)

    with turn():
        in_parallel(work, list(zip(part.planes, readers, strict=True)), Event())
    return out


def _typed(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """In the byte order of a dtype. Raises CorruptError if it is of another kind."""
    if array.dtype.newbyteorder("=") != dtype.newbyteorder("="):
        raise CorruptError(
            f"the chunk holds {array.dtype}, expected {dtype}; it was written for another array."
        )
    return array.astype(dtype, copy=False)


def _as_in_memory(array: np.ndarray, flags: int) -> np.ndarray:
    dtype = array.dtype.newbyteorder(">") if flags & BIG_ENDIAN else array.dtype
    return np.require(array, dtype, ["F" if flags & FORTRAN else "C", "W"])
