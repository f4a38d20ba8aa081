"""What goes in and out as a library: any object with the buffer protocol in, arrays of one's own out."""

from __future__ import annotations

import array
import ctypes
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec import InputError, archive, complete, compress, decompress, info, recover, text
from codec.container import as_bytes
from codec.damage.invent import draw
from codec.limits import NO_LIMITS
from codec.opened import open_bytes
from codec.samples import Kind
from tests import images, pngs

pytestmark = pytest.mark.quick

IMAGE = np.arange(600, dtype=np.uint8).reshape(10, 20, 3)
PROSE = b"it was the best of times, it was the worst of times. " * 3


def strided(data: bytes) -> memoryview:
    return memoryview(bytes(b for pair in zip(data, data[::-1], strict=True) for b in pair))[::2]


BUFFERS: dict[str, Callable[[bytes], Any]] = {
    "bytearray": bytearray,
    "memoryview": memoryview,
    "read-only memoryview": lambda data: memoryview(data).toreadonly(),
    "signed memoryview": lambda data: memoryview(data).cast("b"),
    "strided memoryview": strided,
    "array of bytes": lambda data: array.array("B", data),
    "array of signed bytes": lambda data: array.array("b", data),
    "array of words": lambda data: (
        array.array("H", data + data[:0]) if len(data) % 2 == 0 else array.array("B", data)
    ),
    "uint8": lambda data: np.frombuffer(data, "u1"),
    "int8": lambda data: np.frombuffer(data, "i1"),
    "backwards": lambda data: np.frombuffer(data[::-1], "u1")[::-1],
    "every second": lambda data: np.frombuffer(data, "u1").repeat(2)[::2],
    "two dimensions": lambda data: np.frombuffer(data, "u1")[:, None],
    "ctypes": lambda data: (ctypes.c_char * len(data)).from_buffer_copy(data),
}
NONE = [
    None,
    "a.ardm",
    Path("a.ardm"),
    7,
    [1, 2],
    np.array([object()]),
    np.array(["2026-01-01"], "M8[D]"),
    1.5,
]


@pytest.mark.parametrize("kind", BUFFERS)
def test_every_buffer_will_do(kind: str) -> None:
    give = BUFFERS[kind]
    source = pngs.png_of(IMAGE, 2, 8)
    data, packed, prose = (
        compress(IMAGE),
        archive.pack(source, exactly=True).data,
        text.pack(PROSE, order="plain"),
    )
    assert as_bytes(give(data)) == data
    assert np.array_equal(decompress(give(data)), IMAGE)
    assert info(give(data)) == info(data)
    assert recover(give(data))[2].sound
    assert complete(give(data))[2].invented == 0
    assert archive.pack(give(source), exactly=True).data == packed
    assert archive.unpack(give(packed)) == source
    archive.test(give(packed))
    assert archive.rescue(give(packed))[2].sound
    assert archive.format_of(open_bytes(give(packed), NO_LIMITS)) == "png"
    assert text.is_text(give(prose))
    assert text.unpack(give(prose)) == PROSE
    assert text.pack(give(PROSE), order="plain") == prose
    assert text.info(give(prose)) == text.info(prose)


def test_a_mapped_file_will_do(tmp_path: Path) -> None:
    file = tmp_path / "a.ardm"
    file.write_bytes(compress(IMAGE))
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert np.array_equal(decompress(mapped), IMAGE)


@pytest.mark.parametrize("data", [*NONE, "released"], ids=lambda data: type(data).__name__)
def test_all_else_is_an_input_error(data: Any) -> None:
    if data == "released":
        data = memoryview(compress(IMAGE))
        data.release()
    calls = (
        decompress,
        info,
        recover,
        complete,
        archive.unpack,
        archive.test,
        archive.rescue,
        text.unpack,
        text.pack,
        text.info,
        text.is_text,
    )
    for call in (*calls, lambda data: archive.pack(data, exactly=False)):
        with pytest.raises(InputError, match=f"got {type(data).__name__}"):
            call(data)
    with pytest.raises(InputError, match="must be a NumPy array"):
        compress(bytes(9))  # type: ignore[arg-type]


def own(pixels: np.ndarray) -> bool:
    """Writable, and the owner of its memory."""
    pixels[:] = 0
    return bool(
        pixels.flags.writeable
        and pixels.flags.owndata
        and pixels.flags.c_contiguous
        and pixels.dtype.isnative
    )


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
@pytest.mark.parametrize("shape", [(9, 13), (9, 13, 1), (9, 13, 2), (9, 13, 3), (9, 13, 4)])
def test_pixels_are_the_callers_own(shape: tuple[int, ...], dtype: str) -> None:
    for pixels in (np.arange(np.prod(shape)).reshape(shape).astype(dtype), np.full(shape, 257).astype(dtype)):
        data = compress(pixels)
        for found in (decompress(data), recover(data)[0], complete(data)[0]):
            assert np.array_equal(found, pixels)
            assert found.shape == shape
            assert own(found)
        assert all(own(mask) for mask in (recover(data)[1], complete(data)[1]))


def test_pixels_of_whole_files_are_the_callers_own() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (6, 7)).astype(np.uint8)
    deep = (grey * np.uint16(257)).astype(">u2")
    for source in (
        *(
            pngs.png_of(pngs.pixels_of(colour, depth, 6, 7), colour, depth, interlaced)
            for colour, depth, interlaced in pngs.KINDS
        ),
        *(images.npy(pixels) for pixels in (grey, deep)),
        images.saved(grey, "PPM"),
        images.saved(grey, "BMP"),
        images.saved(grey, "TIFF"),
        images.saved(np.stack([grey] * 3, 2), "WEBP", lossless=True),
        images.saved(grey, "TIFF", compression="tiff_lzw"),
    ):
        whole = archive.container.write_whole(source, 7, 6, 1, Kind())
        expected = archive.sources.read(source, 1000).image.pixels
        found = decompress(whole)
        assert np.array_equal(found, expected)
        assert own(found)


def test_what_is_drawn_is_the_callers_own() -> None:
    assert own(draw(8, 9, budget=1))
