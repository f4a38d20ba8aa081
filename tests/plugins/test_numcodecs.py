"""The codec of numcodecs: exact arrays, buffers, configurations, damage, threads; and Zarr format 2."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

import codec
from ardm.exact.window import PHOTO_ID, RASTER_ID
from codec import ArdmError, CorruptError, LimitError, Limits, TruncatedError, UnsupportedError
from codec.container import chunk, varint
from codec.plugins import stack
from codec.plugins.axes import ChunkError
from codec.plugins.numcodecs import Ardm
from tests.plugins.chunks import DTYPES, SHAPES, part_of


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axes", SHAPES)
def test_arrays_come_back_as_they_lay_in_memory(axes: str, dtype: str, order: Any, photo: np.ndarray) -> None:
    array = np.array(part_of(photo, SHAPES[axes], dtype), order=order)
    found = Ardm(axes=axes, plain=True)
    back = found.decode(found.encode(array))
    assert (back.shape, back.dtype) == (array.shape, array.dtype)
    assert np.array_equal(back, array)
    assert back.tobytes("A") == array.tobytes("A")
    assert back.flags.writeable


def test_a_chunk_of_one_image_is_an_ardm_file(photo: np.ndarray) -> None:
    for axes, shape in (("yx", (20, 30)), ("yxc", (20, 30, 3)), ("tczyx", (1, 1, 1, 20, 30))):
        array = part_of(photo, shape, "u1")
        image = array if axes == "yxc" else array.reshape(20, 30, *[1] * ("c" in axes))
        assert np.array_equal(codec.decompress(Ardm(axes=axes, plain=True).encode(array)), image)
        assert np.array_equal(Ardm(axes=axes).decode(codec.compress(image, plain=True, tile=8)), array)


@pytest.mark.quick
def test_the_layout_of_several_images(photo: np.ndarray) -> None:
    """As docs/zarr.md says."""
    array = part_of(photo, (2, 3, 9, 10), ">u2")
    files = [codec.compress(array[t, z], plain=True) for t in range(2) for z in range(3)]
    listed = bytes([1]) + b"".join(map(varint, [2, 3, *map(len, files)]))
    data = b"\x89ARDS\r\n\x1a" + chunk(1, listed) + b"".join(files)
    assert Ardm(axes="tzyx", plain=True).encode(array) == data
    assert np.array_equal(Ardm(axes="tzyx").decode(data), array)
    fortran = Ardm(axes="yx", plain=True).encode(np.asfortranarray(array[0, 0].astype("<u2")))
    assert fortran.startswith(b"\x89ARDS\r\n\x1a\x01\x05\x02\x01\x01")


def test_arrays_that_are_views(photo: np.ndarray) -> None:
    array = photo[40:5:-2, 3:60:3, 1]
    found = Ardm(axes="yx", plain=True)
    assert np.array_equal(found.decode(found.encode(array)), array)
    assert np.array_equal(found.decode(memoryview(found.encode(memoryview(array.copy())))), array)


RECORDS = np.array([(1, 2.5), (3, -1.0)], dtype=[("a", ">i4"), ("b", "<f8")])


@pytest.mark.parametrize(
    "buffer",
    [
        b"",
        b"The quick brown fox jumps over the lazy dog. " * 9,
        np.linspace(0, 1, 60, dtype=">f4").reshape(5, 12),
        np.asfortranarray(np.arange(60).reshape(5, 12)),
        np.arange("2020-01", "2021-01", dtype="datetime64[D]"),
        RECORDS,
        np.array([True, False] * 9),
    ],
    ids=["empty", "text", "float", "fortran", "dates", "records", "bool"],
)
def test_any_bytes(buffer: Any) -> None:
    found = Ardm(axes="bytes", plain=True)
    expected = buffer if isinstance(buffer, bytes) else buffer.tobytes("A")
    data = found.encode(buffer)
    assert found.decode(data) == expected
    if isinstance(buffer, np.ndarray):
        out = np.zeros_like(buffer)
        assert found.decode(data, out=out) is out
        assert np.array_equal(out, buffer)


@pytest.mark.parametrize("order", ["C", "F"])
def test_out_is_filled(order: Any, photo: np.ndarray) -> None:
    array = np.array(part_of(photo, (3, 12, 17), ">u2"), order=order)
    found = Ardm(axes="zyx", plain=True)
    data = found.encode(array)
    strided = np.zeros((3, 12, 34), ">u2")[..., ::2]
    for out in (np.zeros_like(array), np.zeros((3, 12, 17), ">u2"), strided):
        assert found.decode(data, out=out) is out
        assert np.array_equal(out, array)
    flat = bytearray(array.nbytes)
    assert found.decode(data, out=flat) is flat
    assert bytes(flat) == array.tobytes("A")
    for wrong in (bytearray(array.nbytes + 1), bytearray(array.nbytes - 1), b"\0" * array.nbytes):
        with pytest.raises(ChunkError, match=f"writable and have {array.nbytes} bytes"):
            found.decode(data, out=wrong)
    with pytest.raises(ChunkError, match="or be contiguous"):
        found.decode(data, out=np.zeros((3, 12, 34), "<u2")[..., ::2])


@pytest.mark.parametrize(
    ("axes", "buffer", "said"),
    [
        ("yx", np.zeros((4, 4), "f4"), "uint8 or uint16, got float32; axes 'bytes' take any dtype"),
        ("yx", np.zeros((4, 4), "i2"), "got int16"),
        ("yx", np.zeros((4, 4), bool), "got bool"),
        ("yx", b"0123456789", "axes 'yx' name 2 axes, the array has 1"),
        ("yx", np.zeros((1, 4, 4), "u1"), "name 2 axes, the array has 3.*such as 'yx', 'yxc'"),
        ("yxc", np.zeros((4, 4, 5), "u1"), "1 to 4 channels, axis c of the chunk has 5; name it z or t"),
        ("zyx", np.zeros((0, 4, 4), "u1"), "1 to 178000000 pixels"),
        ("zyx", np.broadcast_to(np.uint8(0), (2, 10_000, 10_000)), "make chunks smaller"),
    ],
)
def test_chunks_that_do_not_fit(axes: str, buffer: Any, said: str) -> None:
    with pytest.raises(ChunkError, match=said) as caught:
        Ardm(axes=axes).encode(buffer)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, ArdmError)


def test_objects_are_no_bytes() -> None:
    with pytest.raises(TypeError, match="object"):
        Ardm(axes="bytes").encode(np.array(["a", None], dtype=object))


@pytest.mark.parametrize("axes", [None, "", "y", "yy", "yxq", "YX", "yxx", 3, ("y", "x"), "byte"])
def test_axes_are_never_guessed(axes: Any) -> None:
    for make in (lambda: Ardm(axes=axes), lambda: numcodecs.get_codec({"id": "ardm", "axes": axes})):
        with pytest.raises(ValueError, match=r"such as 'yx', 'yxc', 'cyx', 'zyx' or 'tczyx'. Or 'bytes'"):
            make()


@pytest.mark.parametrize(
    "options",
    [
        {"budget": 0},
        {"order": "zigzag"},
        {"tile": 5},
        {"axes": "bytes", "tile": 32},
        {"axes": "bytes", "order": "raster"},
    ],
)
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    options = {"axes": "yx"} | options
    with pytest.raises(ValueError, match=r"must be|have neither"):
        Ardm(**options)
    with pytest.raises(ValueError, match=r"must be|have neither"):
        numcodecs.get_codec({"id": "ardm"} | options)


@pytest.mark.parametrize(
    "options",
    [
        {"axes": "zyx"},
        {"axes": "yx", "budget": np.int64(8), "order": "lattice", "tile": np.uint8(32)},
        {"axes": "yxc", "plain": True, "weights": PHOTO_ID},
        {"axes": "bytes", "budget": 4},
    ],
)
def test_configurations(options: dict[str, Any]) -> None:
    found = Ardm(**options)
    config = found.get_config()
    again = numcodecs.get_codec(json.loads(json.dumps(config)))
    assert type(again) is Ardm
    assert again == found
    assert again.get_config() == config
    assert config["id"] == "ardm"
    assert {name: config[name] for name in options} == options
    assert config["format"] == 1
    usual = None if options["axes"] == "bytes" else PHOTO_ID if "order" in options else RASTER_ID
    assert config["weights"] == options.get("weights", usual)
    assert pickle.loads(pickle.dumps(found)) == found
    assert eval(repr(found).replace(", format=1", "")) == found
    assert found != Ardm(axes="xy")


def test_old_options_do_not_matter_to_reading(photo: np.ndarray) -> None:
    array = part_of(photo, (20, 30), "u1")
    for change in ({"order": "gone"}, {"budget": -1}, {"tile": 3}, {"weights": "00000000"}, {"plain": True}):
        config = Ardm(axes="yx").get_config() | change
        old = numcodecs.get_codec(config)
        assert old.get_config() == config
        assert np.array_equal(old.decode(Ardm(axes="yx", tile=12, plain=True).encode(array)), array)
        if "plain" in change:
            assert old.encode(array) == codec.compress(array, plain=True)
        else:
            with pytest.raises((ValueError, UnsupportedError), match=r"order|budget|tile|weights"):
                old.encode(array)
    with pytest.raises(ValueError, match="no option 'effort'; expected axes, budget"):
        numcodecs.get_codec(Ardm(axes="yx").get_config() | {"effort": 3})
    for newer in (2, None, "1"):
        with pytest.raises(ValueError, match="this release knows 1; a newer ardm"):
            numcodecs.get_codec(Ardm(axes="yx").get_config() | {"format": newer})


def test_options_reach_the_encoder(photo: np.ndarray) -> None:
    array = part_of(photo, (40, 44), "u1")
    for options in ({"budget": 5}, {"order": "lattice"}, {"plain": True}, {"tile": 16}):
        assert Ardm(axes="yx", **options).encode(array) == codec.compress(array, **options)
    text = b"It was the best of times, it was the worst of times. " * 3
    from codec.text import pack

    assert Ardm(axes="bytes", budget=3).encode(text) == pack(text, budget=3)
    assert Ardm(axes="bytes", plain=True).encode(text) == pack(text, order="plain")


@pytest.mark.quick
def test_damage_is_an_error_or_nothing(photo: np.ndarray) -> None:
    """Every byte of a chunk changed, and every length: never other pixels."""
    array = np.asfortranarray(part_of(photo, (1, 2, 6, 7), ">u2"))
    found = Ardm(axes="tzyx", plain=True)
    data = found.encode(array)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(ArdmError):
            found.decode(bytes(damaged))
        with pytest.raises(TruncatedError if at > 8 else ArdmError):
            found.decode(data[:at])
    with pytest.raises(CorruptError, match="its list of files promises"):
        found.decode(data + b"x")
    with pytest.raises(CorruptError):
        found.decode(b"")
    text = Ardm(axes="bytes", plain=True)
    packed = text.encode(b"some text " * 5)
    with pytest.raises(CorruptError):
        text.decode(packed[:-1] + b"x")


def listed(*numbers: int, flags: int = 0) -> bytes:
    return stack.SIGNATURE + chunk(1, bytes([flags]) + b"".join(map(varint, numbers)))


def test_lists_that_lie(photo: np.ndarray) -> None:
    found = Ardm(axes="zyx", plain=True)
    one, other = (codec.compress(photo[:9, :n, 0], plain=True) for n in (9, 10))
    for data, error, said in (
        (listed(1, 2, len(one), len(other)) + one + other, CorruptError, "several shapes"),
        (listed(2, 1, len(one), len(one)) + one + one, CorruptError, "2 along axis t, expected 1"),
        (listed(1, 2, len(one)) + one, CorruptError, "too short"),
        (listed(1, 1, len(one), 5) + one, CorruptError, "too long"),
        (listed(1, 0) + one, CorruptError, "list of 1 x 0 files"),
        (listed(2**30, 2**30), CorruptError, "list of 1073741824 x"),
        (
            listed(1, 1, len(one), flags=4) + one,
            UnsupportedError,
            "flags 04, which this release does not know",
        ),
        (stack.SIGNATURE + chunk(2, b"\0\1\1\5"), UnsupportedError, "type 2"),
        (listed(1, 1, len(one) - 1) + one[:-1], TruncatedError, "the end is missing"),
        (listed(1, 1, len(one) + 1) + one + b"x", CorruptError, "foreign bytes"),
    ):
        with pytest.raises(error, match=said):
            found.decode(data)
    colour = codec.compress(photo[:9, :9], plain=True)
    with pytest.raises(CorruptError, match="with an axis of channels, expected axes 'zyx'"):
        found.decode(colour)
    with pytest.raises(UnsupportedError, match="holds text, not an image"):
        found.decode(Ardm(axes="bytes").encode(b"text"))
    with pytest.raises(CorruptError, match="keeps an image file whole"):
        found.decode(codec.container.write_whole(b"GIF89a", 9, 9, 1, codec.samples.Kind()))


def test_a_bomb_is_refused_before_anything_is_decoded(
    photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Ardm(axes="zyx", plain=True).encode(part_of(photo, (5, 10, 30), "u1"))
    monkeypatch.setattr("codec.plugins.chunks.Limits", lambda: Limits(max_pixels=1400))
    monkeypatch.setattr("codec.plugins.chunks._pixels", None)
    with pytest.raises(LimitError, match="1500 pixels, the limit is 1400"):
        Ardm(axes="zyx").decode(data)


def test_threads_share_a_codec(photo: np.ndarray) -> None:
    found = Ardm(axes="zyx", plain=True)
    arrays = [part_of(photo[9 * i :], (2, 16, 20), "u1") for i in range(24)]
    with ThreadPoolExecutor(12) as pool:
        data = list(pool.map(found.encode, arrays))
        back = list(pool.map(found.decode, data))
    assert data == [found.encode(array) for array in arrays]
    assert all(np.array_equal(a, b) for a, b in zip(arrays, back, strict=True))


READ = """
import sys, zarr
assert not [name for name in sys.modules if name.split(".")[0] == "codec"]
for path in sys.argv[1:]:
    array = zarr.open_array(path, mode="r")
    sys.stdout.buffer.write(array[:].tobytes())
    print(type(array.compressors[0]).__module__, array.compressors[0].get_config()["axes"], file=sys.stderr)
"""


def test_zarr_format_2(photo: np.ndarray, tmp_path: Path) -> None:
    """Every byte order and memory order; chunks at the edge are padded; another process finds the codec by
    its id alone.
    """
    paths, expected = [], b""
    for dtype in DTYPES:
        for order in ("C", "F"):
            array = part_of(photo, (5, 30, 41), dtype)
            paths.append(tmp_path / f"{len(paths)}")
            stored = zarr.create_array(
                paths[-1],
                shape=array.shape,
                chunks=(2, 16, 20),
                dtype=array.dtype,
                zarr_format=2,
                order=order,
                compressors=Ardm(axes="zyx", plain=True),
                filters=None,
            )
            stored[:] = array
            assert np.array_equal(zarr.open_array(paths[-1])[1:4, 3:20, 7], array[1:4, 3:20, 7])
            stored[3, 9:11] = 7
            array[3, 9:11] = 7
            expected += array.tobytes()
    done = subprocess.run([sys.executable, "-c", READ, *map(str, paths)], capture_output=True, check=True)
    assert done.stdout == expected
    assert done.stderr.split() == [b"codec.plugins.numcodecs", b"zyx"] * 6


def test_zarr_format_2_bytes(tmp_path: Path) -> None:
    array = np.linspace(0, 1, 300, dtype=">f8").reshape(15, 20)
    stored = zarr.create_array(
        tmp_path,
        shape=array.shape,
        chunks=(8, 8),
        dtype=array.dtype,
        zarr_format=2,
        order="F",
        compressors=Ardm(axes="bytes", plain=True),
        filters=None,
    )
    stored[:] = array
    assert np.array_equal(zarr.open_array(tmp_path)[:], array)
