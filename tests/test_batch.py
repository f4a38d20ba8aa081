"""`compress_batch`, `decompress_batch`: the bytes, arrays and errors of one image after the other."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from codec import (
    ArdmError,
    CorruptError,
    InputError,
    LimitError,
    Limits,
    NotArdmError,
    UnsupportedError,
    archive,
    batch,
    compress,
    compress_batch,
    container,
    decompress,
    decompress_batch,
    parallel,
)
from codec.coder.work import Work
from codec.opened import open_bytes
from codec.samples import Kind
from codec.tiles import PlaneJob
from tests import pngs

THREADS = [1, 2, 5]


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def files(photo: np.ndarray) -> list[bytes]:
    """Of every sort: sizes, kinds, orders, tiles, kept whole."""
    alpha = np.concatenate([photo[:33, :44], photo[:33, :44, :1]], 2)
    whole = container.write_whole(pngs.png_of(pngs.pixels_of(0, 4, 9, 8), 0, 4), 8, 9, 1, Kind(4))
    return [
        compress(photo[:60, :70], plain=True, tile=32),
        compress(photo[:5, :6, 0], plain=True),
        whole,
        compress(alpha, plain=True, order="lattice", budget=4),
        compress(photo[:20, :30] * np.uint16(251) + np.arange(3, dtype=np.uint16)),
        compress(photo[:20, :30] * np.uint16(257), plain=True),
        compress(photo[:16, :16, :1]),
    ]


def damaged(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def with_wrong_hash(data: bytes, photo: np.ndarray) -> bytes:
    """The header of one image, and the tiles of another of its shape."""
    head = container.read(data)[0]
    other = open_bytes(compress(photo[100:160, 100:170], plain=True, tile=32), Limits())
    payloads = [other.payload(i) for i in range(len(other.header.entries))]
    return container.write(replace(head, entries=other.header.entries), payloads)


def jpeg_of(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


@pytest.mark.quick
@pytest.mark.parametrize("threads", THREADS)
def test_the_arrays_are_those_of_decompress(files: list[bytes], threads: int) -> None:
    found = decompress_batch(files, threads=threads)
    assert len(found) == len(files)
    for array, data in zip(found, files, strict=True):
        expected = decompress(data)
        assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
        assert np.array_equal(array, expected)
        assert array.flags.owndata
        assert array.flags.writeable


def test_any_iterable_of_buffers(files: list[bytes]) -> None:
    assert decompress_batch([]) == []
    found = decompress_batch(memoryview(data) for data in files[:2])
    assert [a.shape for a in found] == [(60, 70, 3), (5, 6)]
    with pytest.raises(InputError, match="expected several files"):
        decompress_batch(files[0])
    with pytest.raises(InputError, match="item 1: the data must be bytes"):
        decompress_batch([files[0], 3])  # type: ignore[list-item]


def first_error(files: list[bytes], **options: object) -> tuple[type[ArdmError], str]:
    """Of `decompress`, one after the other."""
    for i, data in enumerate(files):
        try:
            decompress(data, **options)  # type: ignore[arg-type]
        except ArdmError as error:
            return type(error), f"item {i}: {error}"
    raise AssertionError("there is none")


@pytest.mark.quick
@pytest.mark.parametrize("threads", THREADS)
def test_the_first_error_is_raised_and_says_whose_it_is(
    files: list[bytes], threads: int, photo: np.ndarray
) -> None:
    hashless = with_wrong_hash(files[0], photo)
    for bad in (
        [*files, b"no file"],
        [files[0], damaged(files[3]), b"no file", damaged(files[1])],
        [files[1], hashless, damaged(files[1])],
        [hashless, files[0][:-1]],
        [damaged(files[2]), damaged(files[1])],
        [files[2], files[1][:20], damaged(files[0])],
    ):
        kind, said = first_error(bad)
        with pytest.raises(ArdmError) as caught:
            decompress_batch(bad, threads=threads)
        assert (type(caught.value), str(caught.value)) == (kind, said)
        assert isinstance(caught.value.__cause__, kind)


def test_every_kind_of_error_has_its_class(files: list[bytes], photo: np.ndarray) -> None:
    jpeg = archive.pack(jpeg_of(photo[:20, :20]), exactly=False).data
    for data, kind in (
        (b"words", NotArdmError),
        (damaged(files[0]), CorruptError),
        (with_wrong_hash(files[0], photo), CorruptError),
        (jpeg, UnsupportedError),
    ):
        with pytest.raises(kind, match=r"^item 1: "):
            decompress_batch([files[1], data])


def test_limits_are_for_each_image(files: list[bytes]) -> None:
    assert len(decompress_batch(files[:2] * 3, max_pixels=4200)) == 6
    with pytest.raises(LimitError, match="item 1: the image has 70 x 60 pixels, the limit is 4199"):
        decompress_batch([files[1], files[0]], limits=Limits(max_pixels=4199))
    with pytest.raises(LimitError, match=r"item 0: the image needs about .* of memory"):
        decompress_batch(files, limits=Limits(max_memory=1000))


def test_two_threads_share_the_work(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small images, or two tiles of one, are decoded at once: none ends before another has begun. Each job
    has one thread.
    """
    decode = PlaneJob.decode
    small = compress(photo[:16, :16], plain=True)
    tiles = compress(photo[:32, :16], plain=True, tile=16)
    met = threading.Barrier(2, timeout=60)
    shares: list[int] = []

    def together(self: PlaneJob, work: Work) -> None:
        shares.append(work.threads)
        met.wait()  # broken, which is an error, if a thread stays alone
        decode(self, work)

    monkeypatch.setattr(PlaneJob, "decode", together)
    for files in ([small, small], [tiles], [small] * 4 + [tiles]):
        decompress_batch(files, threads=2)
    assert shares == [1] * (2 + 2 + 6)


@pytest.mark.quick
@pytest.mark.parametrize("threads", THREADS)
def test_the_bytes_are_those_of_compress(photo: np.ndarray, threads: int) -> None:
    images = [
        photo[:40, :50],
        photo[:5, :6, 0],
        photo[:20, :30] * np.uint16(257),
        np.zeros((9, 9), np.uint8),
        photo[:33, :44],
    ]
    for options in ({"plain": True, "tile": 32}, {"budget": 4, "order": "lattice"}):
        expected = [compress(image, **options) for image in images]  # type: ignore[arg-type]
        assert compress_batch(iter(images), threads=threads, **options) == expected
    assert compress_batch([]) == []


def test_what_cannot_be_compressed_is_named(photo: np.ndarray) -> None:
    with pytest.raises(InputError, match="item 1: "):
        compress_batch([photo[:9, :9], photo[:9, :9].astype(np.float32), photo[0]])
    with pytest.raises(InputError, match="expected several images"):
        compress_batch(photo)
    with pytest.raises(TypeError, match="no option 'speed'"):
        compress_batch([photo[:9, :9]], speed=3)


def test_images_are_compressed_at_once(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a thread each; the last one has those of the others that have nothing to do."""
    met, shares = threading.Barrier(2, timeout=60), []

    def together(pixels: np.ndarray, **options: object) -> bytes:
        shares.append(parallel.thread_count())
        if len(pixels) < 16:
            met.wait()
        return compress(pixels, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(batch, "compress", together)
    images = [photo[:9, :9]] * 4 + [photo[:16, :16]]
    assert compress_batch(images, plain=True, threads=2) == [compress(image, plain=True) for image in images]
    assert sorted(shares[:4]) == [1, 1, 1, 1]
    assert shares[4] in (1, 2)  # 2 if the other worker had ended by then
