"""The serializer of Zarr format 3: exact arrays, shards, parts of which only what is touched is read, metadata,
damage, threads, Dask.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from zarr.core import codec_pipeline
from zarr.core.buffer import default_buffer_prototype
from zarr.errors import MetadataValidationError
from zarr.storage import LocalStore, MemoryStore, WrapperStore

import codec
from ardm.exact.window import RASTER_ID
from codec import ArdmError, CorruptError, TruncatedError, UnsupportedError
from codec.plugins import stack
from codec.plugins.chunks import ChunkCoder
from codec.plugins.zarr import ArdmCodec
from codec.tiles import PlaneJob
from tests.plugins.chunks import DTYPES, SHAPES, part_of
from tests.processes import ROOT

PIPELINES = [
    f"zarr.core.codec_pipeline.{name}"
    for name in ("BatchedCodecPipeline", "FusedCodecPipeline")
    if hasattr(codec_pipeline, name)  # the second from some release on
]


def make(
    array: np.ndarray, axes: str, chunks: tuple[int, ...], store: Any = None, **options: Any
) -> zarr.Array:
    """An array in a store, written. options: of the codec; shards=, dtype=, compressors=, fill_value= of
    Zarr.
    """
    given = {"dtype": array.dtype, "compressors": None, "fill_value": 0}
    given |= {name: options.pop(name) for name in ("shards", *given) if name in options}
    stored = zarr.create_array(
        MemoryStore() if store is None else store,
        shape=array.shape,
        chunks=chunks,
        serializer=ArdmCodec(axes=axes, **{"plain": True} | options),
        **given,
    )
    stored[...] = array
    return stored


@pytest.fixture(params=PIPELINES)
def pipeline(request: pytest.FixtureRequest) -> Any:
    with zarr.config.set({"codec_pipeline.path": request.param}):
        yield request.param


# ---- whole arrays ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sharded", [False, True], ids=["chunks", "shards"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axes", SHAPES)
def test_arrays_come_back(axes: str, dtype: str, sharded: bool, photo: np.ndarray, pipeline: str) -> None:
    """Chunks of half the array, so that those at its edges are padded, unless they are of channels."""
    array = part_of(photo, SHAPES[axes], dtype)
    chunks = tuple(n if a == "c" else n // 2 + 1 for a, n in zip(axes, array.shape, strict=True))
    more = {"shards": tuple(2 * n for n in chunks)} if sharded else {}
    stored = make(array, axes, chunks, **more)
    found = stored[...]
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


@pytest.mark.parametrize("dtype", ["f4", ">f8", "?", "i8", "c8", "u1"])
def test_any_dtype_as_bytes(dtype: str, pipeline: str) -> None:
    array = np.linspace(-9, 9, 90).reshape(9, 10).astype(dtype)
    stored = make(array, "bytes", (4, 4))
    assert np.array_equal(stored[...], array)
    assert np.array_equal(stored[3:6, 2], array[3:6, 2])
    point = make(np.array(2.5), "bytes", ())
    assert point[...] == 2.5


def test_bytes_are_little_endian_whatever_the_array_is() -> None:
    array = np.arange(12, dtype=">f4").reshape(3, 4)
    stored = make(np.asfortranarray(array), "bytes", (3, 4))
    assert ChunkCoder("bytes").unpack(chunk_of(stored, "c/0/0")) == array.astype("<f4").tobytes()


def test_a_chunk_is_the_file_that_compress_writes(photo: np.ndarray) -> None:
    array = part_of(photo, (1, 40, 50), ">u2")
    for options in (
        {"plain": True},
        {"tile": 24, "plain": True},
        {"budget": 9, "order": "lattice", "plain": True},
    ):
        stored = make(array, "zyx", (1, 40, 50), **options)
        assert chunk_of(stored, "c/0/0/0") == codec.compress(array[0], **options)


def test_parts_are_written(photo: np.ndarray, pipeline: str) -> None:
    array = part_of(photo, (3, 20, 30), "u2")
    stored = make(array, "zyx", (2, 12, 16))
    for key in ((1,), (slice(None), 5), (slice(0, 3, 2), slice(3, 15), slice(10, 20))):
        stored[key] = array[key] + 3
        array[key] += 3
    assert np.array_equal(stored[...], array)


def test_other_codecs_may_follow(photo: np.ndarray, pipeline: str) -> None:
    array = part_of(photo, (20, 30), "u1")
    stored = make(array, "yx", (12, 16), compressors="auto")
    assert len(stored.compressors) == 1  # which is why compressors=None is to be given
    assert np.array_equal(stored[3:15, ::5], array[3:15, ::5])
    turned = zarr.create_array(
        MemoryStore(),
        shape=array.shape,
        chunks=(12, 16),
        dtype="u1",
        compressors=[zarr.codecs.Crc32cCodec()],
        filters=[zarr.codecs.TransposeCodec(order=(1, 0))],
        serializer=ArdmCodec(axes="xy", plain=True),
    )
    turned[...] = array
    assert np.array_equal(turned[3:15, ::5], array[3:15, ::5])


def test_chunks_of_the_fill_value_are_not_kept(photo: np.ndarray) -> None:
    """Zarr's doing; so that a chunk that is lost cannot be told from one that was never written."""
    array = np.full((20, 30), 7, np.uint8)
    array[:10, :10] = photo[:10, :10, 0]
    stored = make(array, "yx", (10, 10), fill_value=7)
    assert keys(stored) == ["c/0/0"]
    stored.store._store_dict.pop("c/0/0")
    assert np.array_equal(stored[...], np.full((20, 30), 7, np.uint8))
    assert np.array_equal(stored[3, 2:5], [7, 7, 7])


# ---- parts -------------------------------------------------------------------------------------------------


def keys(stored: zarr.Array) -> list[str]:
    return sorted(key for key in stored.store._store_dict if key != "zarr.json")


def chunk_of(stored: zarr.Array, key: str) -> bytes:
    return stored.store._store_dict[key].to_bytes()


def replace_chunk(stored: zarr.Array, key: str, data: bytes) -> None:
    stored.store._store_dict[key] = default_buffer_prototype().buffer.from_bytes(data)


class Noting(WrapperStore):
    """A store that notes what is read of chunks: (start, end) as asked for, and the bytes that came."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.asked: list[tuple[int, int | None]] = []
        self.taken = 0

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        found = await super().get(key, prototype, byte_range)
        if "/" in key:
            start = getattr(byte_range, "start", getattr(byte_range, "offset", 0))
            self.asked.append((start, getattr(byte_range, "end", None)))
            self.taken += len(found or b"")
        return found

    async def get_ranges(self, *given: Any, **named: Any) -> Any:
        """By which Zarr reads chunks of shards, from some release on."""
        async for group in super().get_ranges(*given, **named):
            self.taken += sum(len(found) for _, found in group if found is not None)
            yield group


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(row, column) of every tile that is decoded, of one plane each."""
    tiles = []
    decode = PlaneJob.decoded

    def noting(self: PlaneJob, work: Any) -> np.ndarray:
        tiles.append((self.top, self.left))
        return decode(self, work)

    monkeypatch.setattr(PlaneJob, "decoded", noting)
    return tiles


@pytest.mark.quick
@pytest.mark.parametrize("first", [100, 2**14])
def test_only_touched_tiles_are_read_and_decoded(
    first: int, photo: np.ndarray, decoded: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "FIRST_READ", first)
    array = np.ascontiguousarray(photo[:128, :128])
    make(array, "yxc", (128, 128, 3), store=(store := Noting(MemoryStore())), tile=32)
    opened = codec.open(chunk_of(zarr.open_array(store._store), "c/0/0/0"))._opened
    stored = zarr.open_array(store)
    store.asked.clear()
    store.taken = 0
    decoded.clear()
    assert np.array_equal(stored[40:70, 100:, 1], array[40:70, 100:, 1])
    assert sorted(decoded) == [(32, 96), (64, 96)]
    asked = [(opened.places[i], opened.places[i] + opened.header.entries[i].length) for i in (7, 11)]
    if first == 100:  # bytes, then more until the header and the index are all there
        fronts = [(0, 100), (100, 400)]
        assert store.asked == fronts + asked
        assert store.taken == 400 + sum(end - start for start, end in asked)
    else:
        assert store.asked == [(0, first)] + [(max(first, a), b) for a, b in asked if b > first]
    assert np.array_equal(stored[...], array)
    assert len(decoded) == 2 + 16
    assert store.asked[-1] == (0, None)


def test_neighbours_are_read_together(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "FIRST_READ", 500)
    array = np.ascontiguousarray(photo[:128, :128, 0])
    make(array, "yx", (128, 128), store=(store := Noting(MemoryStore())), tile=32)
    places = codec.open(chunk_of(zarr.open_array(store._store), "c/0/0"))._opened.places
    stored = zarr.open_array(store)
    store.asked.clear()
    assert np.array_equal(stored[34:95, 33:90], array[34:95, 33:90])
    assert store.asked == [(0, 500), (places[5], places[7]), (places[9], places[11])]


def test_only_touched_planes_are_read_and_decoded(
    photo: np.ndarray, decoded: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "FIRST_READ", 150)
    array = part_of(photo, (2, 5, 64, 64), "u1")
    make(array, "tzyx", (2, 5, 64, 64), store=(store := Noting(MemoryStore())), tile=32)
    data = chunk_of(zarr.open_array(store._store), "c/0/0/0/0")
    stored = zarr.open_array(store)
    store.asked.clear()
    decoded.clear()
    assert np.array_equal(stored.oindex[1, [0, 3], 40:50, 3:9], array[1][[0, 3], 40:50, 3:9])
    assert decoded == [(32, 0)] * 2
    files = stack.read_front(data).files
    expected = [(0, 150)]
    for start, end in (files[5], files[8]):
        expected.append((start, start + 150))
        opened = codec.open(data[start:end])._opened
        expected.append((start + opened.places[2], start + opened.places[3]))
    assert sorted(store.asked) == sorted(expected)


def test_in_shards_other_chunks_are_not_read_nor_other_tiles_decoded(
    photo: np.ndarray, decoded: list[tuple[int, int]], pipeline: str
) -> None:
    array = np.ascontiguousarray(photo[:128, :256, 0])
    make(array, "yx", (128, 128), store=(store := Noting(MemoryStore())), tile=32, shards=(128, 256))
    stored = zarr.open_array(store)
    store.asked.clear()
    store.taken = 0
    decoded.clear()
    assert np.array_equal(stored[3:9, 130:140], array[3:9, 130:140])
    assert decoded == [(0, 0)]
    one = len(codec.compress(array[:, 128:], tile=32, plain=True))
    assert one <= store.taken <= one + 16 * 2 + 4  # the shard's index has two numbers a chunk, and a checksum


def selections(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """A selection of a random kind: (how to ask an array, how to ask Numpy)."""

    def span(size: int) -> slice:
        start = int(rng.integers(size))
        return slice(start, int(rng.integers(start + 1, size + 1)), int(rng.integers(1, 4)))

    def some(size: int) -> np.ndarray:
        return np.sort(rng.integers(0, size, rng.integers(1, 4)))

    kind = rng.integers(4)
    if kind == 0:
        key = tuple(int(rng.integers(-n, n)) if rng.random() < 0.3 else span(n) for n in shape)
        return (lambda a: a[key]), (lambda a: a[key])
    if kind == 1:
        keys = [some(n) for n in shape]
        return (lambda a: a.oindex[tuple(keys)]), (lambda a: a[np.ix_(*keys)])
    if kind == 2:
        points = tuple(rng.integers(0, n, 5) for n in shape)
        return (lambda a: a.vindex[points]), (lambda a: a[points])
    mask = rng.random(shape[0]) < 0.6
    mask[0] = True
    rest = tuple(span(n) for n in shape[1:])
    return (lambda a: a.oindex[(mask, *rest)]), (lambda a: a[mask][(slice(None), *rest)])


@pytest.mark.parametrize("sharded", [False, True], ids=["chunks", "shards"])
@pytest.mark.parametrize("axes", ["yxc", "cyx", "zyx", "tczyx"])
def test_every_kind_of_selection(
    axes: str, sharded: bool, photo: np.ndarray, pipeline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "FIRST_READ", 64)
    shape = {"yxc": (30, 40, 3), "cyx": (2, 30, 40), "zyx": (5, 30, 40), "tczyx": (2, 2, 3, 12, 20)}[axes]
    array = part_of(photo, shape, "u2")
    chunks = tuple(n if a == "c" else n // 2 + 1 for a, n in zip(axes, shape, strict=True))
    more = {"shards": tuple(2 * n for n in chunks)} if sharded else {}
    stored = make(array, axes, chunks, tile=8, **more)
    rng = np.random.default_rng(3)
    for _ in range(24):
        ask, expected = selections(rng, shape)
        found = ask(stored)
        assert np.array_equal(found, expected(array))


def test_plans_of_selections_that_zarr_never_makes(photo: np.ndarray) -> None:
    array = part_of(photo, (4, 20, 30), "u2")
    coder = ChunkCoder("zyx", plain=True)
    data = coder.encode(array)
    for key in (
        (slice(None, None, -1), slice(9, 3, -2), slice(5, None, -1)),
        (np.array([True, False, True, False]), 3, slice(2, 4)),
        (np.array([-1, 0]), np.array([-1, 2]), -3),
        (2,),
        slice(1, 3),
        (slice(2, 2), 0),
        (0, 0, np.array([], int)),
        (slice(None), slice(None)),
    ):
        plan = coder.plan(key, array.shape, array.dtype)
        try:
            spans = next(plan)
            while True:
                spans = plan.send([data[start:end] for start, end in spans])
        except StopIteration as done:
            found = done.value()
        assert np.array_equal(found, array[key])
        assert found.shape == array[key].shape


# ---- metadata ----------------------------------------------------------------------------------------------

READ = """
import sys, zarr
assert not [name for name in sys.modules if name.split(".")[0] == "codec"]
group = zarr.open_group(sys.argv[1], mode="r")
arrays = [array for _, array in sorted(group.arrays())]
assert "torch" not in sys.modules
for array in arrays:
    sys.stdout.buffer.write(array[:].tobytes())
"""


def test_another_process_reads_it_by_the_metadata_alone(photo: np.ndarray, tmp_path: Path) -> None:
    """And opens arrays without waiting for torch."""
    expected = b""
    group = zarr.create_group(LocalStore(tmp_path))
    for name, axes in (("a", "zyx"), ("b", "bytes"), ("c", "zyx")):
        array = part_of(photo, (3, 20, 30), "u2")
        stored = group.create_array(
            name,
            shape=array.shape,
            chunks=(2, 12, 16),
            dtype="u2",
            compressors=None,
            serializer={"name": "ardm", "configuration": {"axes": axes, "plain": True}},
            shards=(4, 24, 32) if name == "c" else None,
        )
        stored[:] = array
        expected += array.tobytes()
    done = subprocess.run([sys.executable, "-c", READ, str(tmp_path)], capture_output=True, check=True)
    assert done.stdout == expected
    metadata = json.loads((tmp_path / "a" / "zarr.json").read_text())
    assert metadata["codecs"] == [
        {
            "name": "ardm",
            "configuration": {
                "axes": "zyx",
                "budget": None,
                "order": "auto",
                "plain": True,
                "tile": None,
                "weights": RASTER_ID,
                "format": 1,
            },
        }
    ]


@pytest.mark.parametrize("options", [{"axes": "yx"}, {"axes": "zyx", "budget": np.int64(3), "tile": 64}])
def test_configurations(options: dict[str, Any]) -> None:
    found = ArdmCodec(**options)
    again = ArdmCodec.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
    assert hash(again) == hash(found)
    assert again.to_dict() == found.to_dict()
    assert found != ArdmCodec(axes="xy")


def change_metadata(stored: zarr.Array, **changes: Any) -> None:
    metadata = json.loads(chunk_of(stored, "zarr.json"))
    metadata["codecs"][0]["configuration"] |= changes
    replace_chunk(stored, "zarr.json", json.dumps(metadata).encode())


def test_old_options_do_not_matter_to_reading(photo: np.ndarray) -> None:
    array = part_of(photo, (20, 30), "u1")
    stored = make(array, "yx", (20, 30))
    change_metadata(stored, order="gone", weights="00000000", budget=-1)
    old = zarr.open_array(stored.store)
    assert np.array_equal(old[...], array)
    assert np.array_equal(old[3, 4:9], array[3, 4:9])
    with pytest.raises(ValueError, match="budget must be at least 1"):
        old[...] = array[::-1]
    change_metadata(stored, order="auto", budget=None)
    with pytest.raises(UnsupportedError, match="00000000"):
        zarr.open_array(stored.store)[...] = array[::-1]
    assert np.array_equal(zarr.open_array(stored.store)[...], array)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 2}, "format 2, this release knows 1; a newer ardm may read them"),
        ({"effort": 1}, "no option 'effort'; expected axes, budget"),
        ({"axes": "zyx"}, "name 3 axes, the array has 2"),
        ({"axes": None}, "such as 'yx', 'yxc'"),
    ],
)
def test_metadata_that_cannot_be(changes: dict[str, Any], said: str, photo: np.ndarray) -> None:
    stored = make(part_of(photo, (20, 30), "u1"), "yx", (20, 30))
    change_metadata(stored, **changes)
    with pytest.raises(MetadataValidationError, match=f"codec ardm: .*{said}"):
        zarr.open_array(stored.store)


@pytest.mark.parametrize("sharded", [False, True], ids=["chunks", "shards"])
@pytest.mark.parametrize(
    ("axes", "shape", "dtype", "said"),
    [
        ("yx", (8, 8), "f4", "uint8 or uint16, got float32; axes 'bytes'"),
        ("yx", (8, 8), "i2", "got int16"),
        ("yx", (8, 8, 3), "u1", "axes 'yx' name 2 axes, the array has 3"),
    ],
)
def test_arrays_that_do_not_fit(
    axes: str, shape: tuple[int, ...], dtype: str, said: str, sharded: bool
) -> None:
    with pytest.raises(MetadataValidationError, match=said):
        make(np.zeros(shape, dtype), axes, shape, shards=shape if sharded else None)


def test_codecs_and_chunks_that_cannot_be() -> None:
    for options in ({}, {"axes": "zxc"}, {"axes": "yx", "tile": 3}, {"axes": "yx", "order": "zigzag"}):
        with pytest.raises(MetadataValidationError, match=r"axes must name|must be"):
            ArdmCodec(**options)
        with pytest.raises(MetadataValidationError, match=r"axes must name|must be"):
            ArdmCodec.from_dict({"name": "ardm", "configuration": options})
    with pytest.raises(MetadataValidationError, match="1 to 4 channels, axis c of the chunk has 5"):
        make(np.zeros((5, 8, 8), "u1"), "cyx", (5, 8, 8))
    channels = np.arange(5 * 64, dtype="u1").reshape(5, 8, 8)
    assert np.array_equal(make(channels, "cyx", (2, 8, 8))[...], channels)
    with pytest.raises(ValueError, match="1 to 4 channels"):  # inside shards Zarr does not ask
        make(channels, "cyx", (5, 8, 8), shards=(5, 8, 8))
    with pytest.raises(NotImplementedError):
        ArdmCodec(axes="yx").compute_encoded_size(3, None)  # type: ignore[arg-type]


# ---- damage ------------------------------------------------------------------------------------------------


def test_damage_is_an_error_where_it_is_read(photo: np.ndarray, pipeline: str) -> None:
    array = part_of(photo, (2, 64, 64), "u2")
    stored = make(array, "zyx", (2, 64, 64), tile=32)
    data = bytearray(chunk_of(stored, "c/0/0/0"))
    data[-3] ^= 1  # of the last tile
    replace_chunk(stored, "c/0/0/0", bytes(data))
    assert np.array_equal(stored[:, :32], array[:, :32])
    assert np.array_equal(stored[0], array[0])
    for key in ((1, 40, 40), (Ellipsis,)):
        with pytest.raises(CorruptError, match="tile at row 32, column 32"):
            stored[key]


def test_every_byte_matters(photo: np.ndarray, pipeline: str) -> None:
    array = part_of(photo, (2, 6, 7), "u2")
    stored = make(array, "zyx", (2, 6, 7))
    data = chunk_of(stored, "c/0/0/0")
    for at in range(len(data)):
        replace_chunk(stored, "c/0/0/0", data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
        with pytest.raises(ArdmError):
            stored[...]
        replace_chunk(stored, "c/0/0/0", data[:at])
        with pytest.raises(ArdmError):  # and never the fill value
            stored[...]
        with pytest.raises(ArdmError):
            stored[1, 2:, 3]


def test_a_chunk_that_is_cut_off_or_goes_while_it_is_read(
    photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "FIRST_READ", 400)
    array = part_of(photo, (64, 64), "u2")
    stored = make(array, "yx", (64, 64), tile=32)
    data = chunk_of(stored, "c/0/0")
    replace_chunk(stored, "c/0/0", data[:-5])
    assert np.array_equal(stored[:20], array[:20])
    with pytest.raises(TruncatedError, match="tile at row 32, column 32: 5 of its"):
        stored[40, 40]
    plan = ChunkCoder("yx").plan((40, 40), (64, 64), np.dtype("u2"))
    assert next(plan) == [(0, 400)]
    plan.send([data[:400]])
    with pytest.raises(StopIteration) as done:
        plan.send([None])
    with pytest.raises(TruncatedError, match=r"tile at row 32, column 32: .* bytes are missing"):
        done.value.value()


def test_chunks_of_another_array(photo: np.ndarray) -> None:
    array = part_of(photo, (2, 20, 30), "u2")
    for other, axes, said in (
        (array[:1], "zyx", "holds 1 along axis z, expected 2"),
        (array[:, :10], "zyx", "10 x 30 x 1, without an axis of channels, expected axes 'zyx' and shape"),
        (array.astype("u1"), "zyx", "holds uint8, expected uint16"),
        (array[0, ..., None], "yxc", "holds 1 along axis z"),
    ):
        stored = make(array, "zyx", (2, 20, 30))
        data = ChunkCoder(axes, plain=True).encode(other)
        replace_chunk(stored, "c/0/0/0", data)
        for key in ((Ellipsis,), (1, 2, 3)):
            with pytest.raises(CorruptError, match=f"{said}.*; it was written for another array"):
                stored[key]
    stored = make(array, "bytes", (2, 20, 30))
    replace_chunk(stored, "c/0/0/0", ChunkCoder("bytes").pack(b"12345"))
    with pytest.raises(CorruptError, match=r"holds 5 bytes, .* are 2400"):
        stored[...]


# ---- threads -----------------------------------------------------------------------------------------------


def test_many_chunks_from_many_threads(photo: np.ndarray, pipeline: str, tmp_path: Path) -> None:
    array = np.ascontiguousarray(photo[:160, :240, 1])
    stored = make(np.zeros_like(array), "yx", (20, 24), store=LocalStore(tmp_path))
    together = threading.Barrier(8)

    def write(i: int) -> None:
        if i < 8:
            together.wait(60)
        stored[20 * i : 20 * i + 20] = array[20 * i : 20 * i + 20]

    def read(i: int) -> np.ndarray:
        if i < 8:
            together.wait(60)
        return stored[:, 6 * i : 6 * i + 9]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
        columns = list(pool.map(read, range(40)))
    assert np.array_equal(stored[...], array)
    for i, found in enumerate(columns):
        assert np.array_equal(found, array[:, 6 * i : 6 * i + 9])


def test_work_never_takes_more_threads_than_there_are(
    photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zarr asks for ten chunks at a time; the codec works on no more than it has threads for."""
    from codec.plugins import turns

    used, most, lock = [0], [0], threading.Lock()
    work = codec.image._encode_tiles

    def counting(*given: Any) -> bytes:
        with lock:
            used[0] += 1
            most[0] = max(most[0], used[0])
        try:
            return work(*given)
        finally:
            with lock:
                used[0] -= 1

    monkeypatch.setattr(codec.image, "_encode_tiles", counting)
    monkeypatch.setattr(turns, "thread_count", lambda: 3)
    array = np.ascontiguousarray(photo[:120, :160, 1])
    assert np.array_equal(make(array, "yx", (12, 16))[...], array)
    assert 1 <= most[0] <= 3


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_dask(scheduler: str, photo: np.ndarray, tmp_path: Path, pipeline: str) -> None:
    array = part_of(photo, (4, 50, 60), "u2")
    with dask.config.set(scheduler=scheduler):
        chunked = da.from_array(array, chunks=(2, 16, 20))
        url = str(tmp_path / "a.zarr")
        da.to_zarr(
            chunked + np.uint16(1),
            url,
            serializer=ArdmCodec(axes="zyx", plain=True, tile=8),
            compressors=None,
        )
        stored = da.from_zarr(url)
        assert stored.chunks == chunked.chunks
        assert np.array_equal(stored.compute(), array + 1)
        assert np.array_equal(stored[1, 10:40:3, 5].compute(), array[1, 10:40:3, 5] + 1)
    assert zarr.open_array(url).serializer == ArdmCodec(axes="zyx", plain=True, tile=8)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_the_examples_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "zarr.md").read_text()
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    assert np.array_equal(names["part"], names["pixels"][10:20, 30:50])
    assert names["brightest"].shape == (1, 2, 96, 96)
    for name, expected in (("plane", "pixels"), ("cells", "cells"), ("old", "pixels"), ("dask", "cells")):
        assert np.array_equal(zarr.open_array(f"{name}.zarr")[...], names[expected])


# ---- where it belongs --------------------------------------------------------------------------------------


def test_the_base_package_does_not_know_plugins() -> None:
    from tests.test_layers import imports

    files = [path for room in ("ardm", "codec") for path in (ROOT / room).rglob("*.py")]
    plugins = ROOT / "codec" / "plugins"
    assert plugins / "zarr.py" in files
    engine = ROOT / "codec" / "commands" / "scale.py"  # asks for that of Ray, where --engine ray does
    for path in files:
        if plugins not in path.parents:
            known = {"codec.plugins", "codec.plugins.ray"} if path == engine else set()
            assert not [
                name
                for name in imports(path) - known
                if name.startswith(("codec.plugins", "zarr", "numcodecs"))
            ]
