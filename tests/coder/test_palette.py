"""Tiles of few colours: what a palette gains, where it is allowed, its damage."""

from __future__ import annotations

import contextlib
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import codec
from ardm.exact import window
from codec import ArdmError, CorruptError, TruncatedError, compress, container, cost, decompress, recover
from codec.choice import encode_plane
from codec.coder.continuation import Continuation
from codec.coder.palette import MOST, colours_of, some_of
from codec.coder.schedule import Schedule
from codec.coder.work import Work
from codec.container import Entry
from codec.damage.invent import complete
from codec.methods import Method
from codec.samples import Kind, planes
from codec.tiles import load_predictor
from tests.planes import decode_palette, encode_palette, plan

RNG = np.random.default_rng(7)


def picture(colours: int, channels: int, height: int = 30, width: int = 44) -> np.ndarray:
    """Blocks of a few pixels, each of one of so many colours, of which every one is there."""
    levels = RNG.choice(256**channels if channels < 4 else 2**31, colours, replace=False)
    table = np.stack([levels >> 8 * c & 255 for c in range(channels)], 1).astype(np.uint8)
    which = RNG.integers(0, colours, (height // 3, width // 4)).repeat(3, 0).repeat(4, 1)
    which.reshape(-1)[:colours] = np.arange(colours)
    return table[which]


def methods(data: bytes) -> list[int]:
    return [entry.method for entry in container.read(data)[0].entries]


def apart(image: np.ndarray) -> int:
    """Bytes of the payloads of an image's planes, each by itself."""
    predictor = load_predictor(weights_id=window.RASTER_ID)  # that of `compress`
    work = Work(plan(predictor.weights, *image.shape[:2], None), predictor)
    return sum(len(encode_plane(plane, work)[1]) for plane in planes(image))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("colours", [1, 2, 3, 256])
def test_any_number_of_colours_comes_back(colours: int, channels: int) -> None:
    tile = picture(colours, channels)
    payload = encode_palette(tile)
    assert payload[0] == colours - 1
    assert np.array_equal(decode_palette(payload, tile.shape), tile)
    assert len(payload) >= cost.least_bytes(Method.PALETTE, *tile.shape, Schedule())
    assert np.array_equal(decompress(compress(tile)), tile)


def test_more_colours_are_not_for_a_palette() -> None:
    tile = picture(MOST + 1, 3)
    assert colours_of(tile) is None
    with pytest.raises(ValueError, match="more than 256 colours"):
        encode_palette(tile)
    data = compress(tile)
    assert Method.PALETTE not in methods(data)
    assert np.array_equal(decompress(data), tile)


def test_a_photo_is_told_by_some_of_its_pixels(photo: np.ndarray) -> None:
    some = some_of(photo)
    assert some.shape[0] * some.shape[1] < 2**14
    assert colours_of(some) is None
    assert some_of(photo[:1, :3]).shape == (1, 3, 3)
    grey = np.repeat(photo[100:164, 100:164, 1:2], 3, 2)  # no more than 256 colours, and yet a photo
    assert colours_of(grey) is not None
    assert methods(compress(grey)) == [Method.NETWORK]


def test_colours_are_sorted_by_luminance_and_then_by_themselves() -> None:
    tile = np.array([[[0, 0, 9], [2, 1, 0], [0, 0, 8], [255, 255, 255], [0, 0, 0], [2, 1, 0]]], np.uint8)
    found = colours_of(tile)
    assert found is not None
    assert found[0].tolist() == [[0, 0, 0], [0, 0, 8], [0, 0, 9], [2, 1, 0], [255, 255, 255]]
    assert found[1].tolist() == [[2, 3, 1, 4, 0, 3]]


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_it_is_smaller_than_planes_apart(channels: int) -> None:
    image = picture(7, channels, 60, 80)
    data = compress(image)
    assert methods(data) == [Method.PALETTE, Method.INCLUDED][: 2 - channels % 2]
    header, at = container.read(data)
    assert len(data) - at < 0.9 * apart(image)
    assert np.array_equal(decompress(data), image)
    assert codec.info(data)["palette_planes"] == 1
    assert all(entry.length == 0 for entry in header.entries[1:])


def test_it_is_never_larger_than_planes_apart(photo: np.ndarray) -> None:
    for image in (photo[:16, :16], photo[:40, :40, :1] // 32, photo[:9, :9] // 128 * 255, photo[:1, :3]):
        data = compress(np.ascontiguousarray(image))
        assert len(data) - container.read(data)[1] <= apart(image)


def test_each_tile_has_its_own(photo: np.ndarray) -> None:
    image = np.concatenate([photo[100:140, 100:180], photo[100:140, 100:180, :1]], 2)
    image[:, 40:] = picture(5, 4, 42, 40)[:40]
    data = compress(image, tile=40, order="lattice", budget=20)
    found = methods(data)
    assert Method.PALETTE not in found[:2]
    assert found[2:] == [Method.PALETTE, Method.INCLUDED]
    assert np.array_equal(decompress(data), image)
    assert np.array_equal(codec.decompress_batch([data])[0], image)
    with codec.open(data) as reader:
        assert np.array_equal(reader.read((50, 5, 75, 25)), image[5:25, 50:75])
        assert np.array_equal(reader[:, 30:50], image[:, 30:50])
        assert np.array_equal(reader.every(4), image[::4, ::4])
        assert reader.preview(20).shape[2] == 4


def test_progress_counts_every_sample_once() -> None:
    image, told, back = picture(5, 4), [], []
    data = compress(image, verify=False, progress=told.append)
    assert sum(told) == image.size
    decompress(data, progress=back.append)
    assert methods(data)[0] == Method.PALETTE
    assert sum(back) == image.size


def test_where_it_is_not_tried(photo: np.ndarray) -> None:
    levels = photo[100:130, 100:130] // 128 * 255
    assert Method.PALETTE not in methods(compress(levels, plain=True))
    assert Method.PALETTE not in methods(compress(levels * np.uint16(257)))
    assert Method.PALETTE not in methods(compress(levels[..., 0], kind=Kind(8, indexed=True)))


@settings(max_examples=30, deadline=None)
@given(
    arrays(
        np.uint8,
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)),
        elements=st.sampled_from([0, 1, 7, 128, 255]),
    )
)
def test_any_small_tile_comes_back(tile: np.ndarray) -> None:
    payload = encode_palette(tile)
    assert np.array_equal(decode_palette(payload, tile.shape), tile)
    assert len(payload) >= cost.least_bytes(Method.PALETTE, *tile.shape, Schedule())


# ---- damage


def raw(*colours: tuple[int, ...], indices: bytes) -> bytes:
    """A payload with nothing compressed."""
    return bytes([len(colours) - 1, 0]) + np.array(colours, np.uint8).T.tobytes() + indices


def test_forged_palettes_are_refused() -> None:
    dark, light, shape = (1, 2, 3), (9, 9, 9), (2, 2, 3)
    sound = raw(dark, light, indices=b"\0\1\1\0")
    assert decode_palette(sound, shape).tolist() == [[list(dark), list(light)], [list(light), list(dark)]]
    for forged, says in (
        (b"", "palette is cut short"),
        (sound[:1], "palette is cut short"),
        (sound[:7], "palette is cut short"),
        (sound[:-1], "unpacks to 3 bytes, expected 4"),
        (sound + b"\0", "unpacks to 5 bytes, expected 4"),
        (raw(light, dark, indices=b"\0\1\1\0"), "not sorted"),
        (raw(dark, dark, indices=b"\0\1\1\0"), "not sorted"),
        (raw((2, 0, 1), (0, 1, 0), indices=b"\0\1\1\0"), "not sorted"),  # equally bright
        (raw(dark, light, indices=b"\0\1\2\0"), "a pixel of colour 2, but its palette has 2"),
        (b"\1\2" + sound[2:], "the methods 2 and 0, which cannot be"),
        (b"\1\x24" + sound[2:], "the methods 4 and 2, which cannot be"),
        (b"\1\x20" + sound[2:], "the methods 0 and 2, which cannot be"),
        (b"\1\1", "inside a length"),
        (b"\1\1\x88\0" + sound[2:], "shortest form"),
        (b"\1\3\7" + sound[2:], "cut short"),  # no whole words
        (b"\1\1\2\x09\0" + sound[8:], "filter 9|unpacked"),
    ):
        with pytest.raises(ArdmError, match=says) as caught:
            decode_palette(forged, shape)
        assert isinstance(caught.value, CorruptError)
        assert "\n" not in str(caught.value)


def test_words_that_are_cut_are_noticed() -> None:
    tile = picture(5, 4, 60, 80)
    payload = encode_palette(tile)
    assert payload[1] >> 4 == Method.GRAPHICS
    for length in (1, len(payload) - 1, len(payload) - 2):
        with pytest.raises(TruncatedError, match="cut short"):
            decode_palette(payload[:length], tile.shape)


def test_random_payloads_raise_only_our_errors() -> None:
    payload = encode_palette(picture(30, 4))
    for _ in range(60):
        forged = bytearray(payload)
        for _ in range(3):
            forged[RNG.integers(0, min(len(forged), 60))] = RNG.integers(0, 256)
        with contextlib.suppress(ArdmError):
            assert decode_palette(bytes(forged), (30, 44, 4)).shape == (30, 44, 4)


def put_together(data: bytes, entries: list[tuple[int, bytes]], **changes: object) -> bytes:
    """A file with other entries and payloads."""
    listed = tuple(Entry(method, len(payload), zlib.crc32(payload)) for method, payload in entries)
    header = container.Header(**{**container.read(data)[0].__dict__, **changes, "entries": listed})
    return container.write(header, [payload for _, payload in entries])


def test_its_entries_stand_where_they_belong() -> None:
    image = picture(5, 4, 9, 8)
    data, payload = compress(image), encode_palette(image)
    alpha, colour = bytes(72), bytes(216)
    sound = [(Method.PALETTE, payload), (Method.INCLUDED, b"")]
    assert np.array_equal(decompress(put_together(data, sound)), image)
    only_first = "only whole tiles of levels of 8 bits"
    for wrong, says in (
        ([(Method.PALETTE, payload), (Method.RAW, alpha)], "has coded already"),
        ([(Method.PALETTE, payload), (Method.INCLUDED, b"x")], "has coded already"),
        ([(Method.PALETTE, payload), (Method.PALETTE, payload)], only_first),
        ([(Method.RAW, colour), (Method.INCLUDED, b"")], "has no such plane"),
        ([(Method.RAW, colour), (Method.PALETTE, payload)], only_first),
        ([(Method.INCLUDED, b""), (Method.PALETTE, payload)], "has no such plane"),
    ):
        with pytest.raises(CorruptError, match=says):
            decompress(put_together(data, wrong))
    with pytest.raises(CorruptError, match="none of a plain file"):
        decompress(put_together(data, sound, schedule=Schedule(plain=True, slope=7)))
    few = compress(np.zeros((8, 8), np.uint8), kind=Kind(4, indexed=True))
    deep = compress(np.zeros((8, 8), np.uint16))
    for other, entries in ((few, sound[:1]), (deep, sound)):
        with pytest.raises(CorruptError, match=only_first):
            decompress(put_together(other, entries))
    two = compress(np.tile(image[:8, :, :3], (1, 2, 1)), tile=8)  # RGB: no entry has more than its own
    with pytest.raises(CorruptError, match="has no such plane"):
        decompress(put_together(two, sound))


def test_a_damaged_tile_is_lost_as_a_whole() -> None:
    image = picture(5, 4, 24, 80)
    data = compress(image, tile=40)
    _, at = container.read(data)
    assert methods(data) == [Method.PALETTE, Method.INCLUDED] * 2
    damaged = bytearray(data)
    damaged[at + 9] ^= 1
    pixels, mask, report = recover(bytes(damaged))
    assert mask[:, :40].all()
    assert not mask[:, 40:].any()
    assert np.array_equal(pixels[:, 40:], image[:, 40:])
    assert (pixels[:, :40, :3] == 128).all()
    assert (pixels[:, :40, 3] == 255).all()
    assert len(report.lost) == 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_what_is_missing_is_drawn_of_the_same_colours(channels: int) -> None:
    tile = picture(6, channels, 60, 80)
    payload = encode_palette(tile)
    had = {tuple(colour) for colour in tile.reshape(-1, channels).tolist()}
    drawn = []
    for seed in (1, 1, 2):
        cut = payload[: len(payload) * 2 // 3]
        continuation = Continuation([seed], len(payload) - len(cut))
        drawn.append(decode_palette(cut, tile.shape, continuation))
        known = ~continuation.drawn
        assert 0.3 < known.mean() < 0.9
        assert np.array_equal(drawn[-1][known], tile[known])
        assert {tuple(colour) for colour in drawn[-1].reshape(-1, channels).tolist()} <= had
    assert np.array_equal(drawn[0], drawn[1])
    nothing = Continuation([1], len(payload))
    neutral = decode_palette(b"", tile.shape, nothing)
    assert nothing.drawn.all()
    assert (neutral[..., : channels - 1 + channels % 2] == 128).all()
    assert channels % 2 or (neutral[..., -1] == 255).all()


def test_every_cut_can_be_completed() -> None:
    for image in (
        picture(6, 4, 24, 80),
        RNG.integers(0, 256, (99, 4), np.uint8)[RNG.integers(0, 99, (24, 24))],
    ):
        data = compress(image)
        _, at = container.read(data)
        assert methods(data)[0] == Method.PALETTE
        before = 1.0
        for length in [*range(at, len(data), 37), len(data) - 1]:
            pixels, mask, report = complete(data[:length])
            assert mask.all() or length > at
            assert mask.mean() <= before
            before = mask.mean()
            assert np.array_equal(pixels[~mask], image[~mask])
            assert report.incomplete
