"""compress and decompress: round trips of anything, the walk with a predictor that needs no weights, damage,
limits, golden files.
"""

from __future__ import annotations

import itertools
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ardm.exact.predictor import Predictor
from ardm.orders import group_breaks
from codec import (
    ArdmError,
    InputError,
    LimitError,
    NotArdmError,
    TruncatedError,
    UnsupportedError,
    VerifyError,
    archive,
    compress,
    container,
    decompress,
    info,
    png,
)
from codec import image as image_module
from codec.coder import plain, stored
from codec.coder.mixing import Mixing
from codec.coder.schedule import Order, Schedule
from codec.coder.walk import walk
from codec.methods import Method
from codec.samples import Kind, fold, planes, unfold
from tests import samples
from tests.conftest import FakePredictor


def make_image(kind: str, height: int, width: int, channels: int, seed: int, photo: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (height, width, channels)
    if kind == "noise":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    if kind == "flat":
        return np.full(shape, rng.integers(0, 256), dtype=np.uint8)
    if kind == "gradient":
        y, x = np.mgrid[:height, :width]
        return (
            (
                y[..., None] * rng.integers(0, 9)
                + x[..., None] * rng.integers(0, 9)
                + rng.integers(0, 256, channels)
            )
            % 256
        ).astype(np.uint8)
    if kind == "extremes":
        return rng.choice(np.array([0, 255], dtype=np.uint8), shape)
    y, x = rng.integers(0, 512 - height), rng.integers(0, 768 - width)
    part = photo[y : y + height, x : x + width]
    return np.concatenate([part, part[..., 1:2]], 2)[..., :channels].copy()


# ---- round trips


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["noise", "flat", "gradient", "extremes", "photo"]),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    channels=st.integers(1, 4),
    budget=st.integers(1, 80),
    seed=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
    tile=st.sampled_from([16, 40, 1024]),
    order=st.sampled_from(["auto", "lattice", "raster"]),
    plain=st.booleans(),
    content=st.integers(0, 2**32),
)
def test_round_trip(photo, kind, height, width, channels, budget, seed, tile, order, plain, content) -> None:  # type: ignore[no-untyped-def]
    image = make_image(kind, height, width, channels, content, photo)
    tile = max(tile, 40) if height * width > 1000 else tile  # keep the number of tiles small
    way = {"seed": seed} if seed is not None else {"order": order, "plain": plain}
    if way.get("order") == "raster":  # which may take more
        budget = None
    data = compress(image, budget=budget, tile=tile, **way)
    assert np.array_equal(decompress(data), image)
    header = container.read(data)[0]
    assert len(data) <= image.size + 90 + 10 * len(header.entries)  # stored raw at worst
    assert budget is None or info(data)["network_calls"] <= budget
    assert header.schedule.plain == (plain or seed is not None)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (33, 20)])
def test_shape_comes_back(shape: tuple[int, int]) -> None:
    for array in (np.full(shape, 9, np.uint8), np.full((*shape, 1), 9, np.uint8)):
        assert decompress(compress(array)).shape == array.shape


def test_any_memory_layout_gives_the_same_bytes(photo: np.ndarray) -> None:
    crop = photo[10:50, 20:70]
    assert (
        compress(crop, budget=8)
        == compress(np.asfortranarray(crop), budget=8)
        == compress(crop.copy()[::-1][::-1], budget=8)
    )


def test_threads_at_once(photo: np.ndarray) -> None:
    crops = [photo[i * 40 : i * 40 + 45, 100:150] for i in range(6)]
    expected = [compress(c, budget=9) for c in crops]
    results: dict[int, bool] = {}

    def work(i: int) -> None:
        data = compress(crops[i], budget=9)
        results[i] = data == expected[i] and np.array_equal(decompress(data), crops[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys(range(6), True)


def test_more_calls_never_cost_much_and_photos_shrink(photo: np.ndarray) -> None:
    for plainly in (False, True):
        sizes = [
            len(compress(photo[100:228, 200:328], budget=b, order="lattice", plain=plainly))
            for b in (1, 4, 8, 15, 30, 45)
        ]
        for fewer, more in itertools.pairwise(sizes):
            assert more < fewer * 1.002
        assert sizes[-1] < 0.55 * 128 * 128 * 3


class Flaky(Predictor):
    """Answers differently after so many calls."""

    calls, sound = 0, 10**9

    def lattice(self, *given):  # type: ignore[no-untyped-def]
        self.calls += 1
        params, base = super().lattice(*given)
        return params + 16 * (self.calls > self.sound), base


@pytest.mark.parametrize("plainly", [False, True])
def test_verify_catches_a_wrong_decoder(photo: np.ndarray, predictor: Predictor, plainly: bool) -> None:
    ways = {"budget": 8, "order": "lattice", "plain": plainly}
    flaky = Flaky(predictor.weights)
    expected = compress(photo[:64, :64], predictor=flaky, verify=False, **ways)
    again = Flaky(predictor.weights)
    again.sound = flaky.calls  # sound as long as it encodes
    with pytest.raises(VerifyError, match="does not decode to the image"):
        compress(photo[:64, :64], predictor=again, **ways)
    assert again.calls > flaky.calls
    assert compress(photo[:64, :64], **ways) == expected


@pytest.mark.parametrize("options", [{}, {"plain": True}, {"order": "lattice"}, {"seed": 1}])
def test_verify_asks_the_network_another_way(
    options: dict[str, object], photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that both directions share, such as compiled code that errs the same way twice, shows no other
    way.
    """
    reference = image_module.reference

    def other(*given, **named):  # type: ignore[no-untyped-def]
        params, base = reference(*given, **named)
        params[-1, 3] += 1
        return params, base

    crop = photo[:20, :20]
    monkeypatch.setattr(image_module, "reference", other)
    with pytest.raises(VerifyError, match="two ways to compute the network differ"):
        compress(crop, **options)  # type: ignore[arg-type]
    assert np.array_equal(decompress(compress(crop, verify=False, **options)), crop)  # type: ignore[arg-type]


# ---- kinds of samples


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from([Kind(1), Kind(2), Kind(4), Kind(4, indexed=True), Kind(8, indexed=True), Kind(16)]),
    height=st.integers(1, 50),
    width=st.integers(1, 50),
    channels=st.integers(1, 4),
    tile=st.sampled_from([40, 1024]),
    content=st.integers(0, 2**32),
    noise=st.booleans(),
    order=st.sampled_from(["auto", "lattice", "raster"]),
    plain=st.booleans(),
)
def test_every_kind_of_samples_comes_back(
    photo, kind, height, width, channels, tile, content, noise, order, plain
) -> None:  # type: ignore[no-untyped-def]
    channels = channels if kind.depth == 16 else 1
    image = make_image("photo", height, width, channels, content, photo) * np.uint16(257)
    if noise:
        image = np.random.default_rng(content).integers(0, 2**16, image.shape, dtype=np.uint16)
    image = (image >> (16 - kind.depth)).astype(kind.dtype)
    data = compress(image, kind=None if kind.depth == 16 else kind, tile=tile, order=order, plain=plain)
    restored = decompress(data)
    assert restored.dtype == (np.uint16 if kind.depth == 16 else np.uint8)
    assert np.array_equal(restored, image)
    said = info(data)
    assert (said["bits_per_channel"], said["indexed"]) == (kind.depth, kind.indexed)
    assert len(data) <= image.nbytes + 100 + 10 * len(container.read(data)[0].entries)


def test_planes_are_views_in_the_order_of_the_format() -> None:
    image = np.arange(2 * 3 * 4, dtype="<u2").reshape(2, 3, 4) * 1000
    high_colour, low_colour, high_alpha, low_alpha = planes(image)
    assert np.array_equal(high_colour, image[..., :3] >> 8)
    assert np.array_equal(low_colour, image[..., :3] & 255)
    assert np.array_equal(high_alpha, image[..., 3:] >> 8)
    assert np.array_equal(low_alpha, image[..., 3:] & 255)
    for plane in planes(image[:, 1:]):
        plane[:] = 0
    assert not image[:, 1:].any()


def test_both_byte_orders_are_one_image() -> None:
    image = np.arange(600, dtype="<u2").reshape(20, 30) * 100
    assert compress(image) == compress(image.astype(">u2"))


def test_widened_samples_cost_little_more_than_what_they_were_made_of(photo: np.ndarray) -> None:
    crop = photo[100:180, 100:180]
    wide = crop * np.uint16(257)
    wide[3:5, 7] = 12345  # and a few others
    data = compress(wide)
    assert container.read(data)[0].folded
    assert np.array_equal(decompress(data), wide)
    assert len(data) < len(compress(crop)) * 1.02 + 100
    every = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(unfold(fold(every)), every)
    with pytest.raises(ArdmError, match="which only 16 bits can be"):
        decompress(forge(compress(crop), folded=True))


def test_samples_must_fit_their_kind() -> None:
    small = np.full((4, 4), 5, np.uint8)
    for array, kind in (
        (small, Kind(2)),
        (small, Kind(3)),
        (small, Kind(16)),
        (small.astype(np.uint16), Kind(8)),
        (np.zeros((4, 4, 3), np.uint8), Kind(4)),
        (np.zeros((4, 4, 3), np.uint8), Kind(8, indexed=True)),
        (small.astype(np.uint16), Kind(16, indexed=True)),
    ):
        with pytest.raises(InputError):
            compress(array, kind=kind)
    data = compress(small, kind=Kind(4))
    with pytest.raises(ArdmError, match="a sample is 5, but has 2 bits"):
        decompress(forge(data, kind=Kind(2)))
    with pytest.raises(ArdmError, match="there are no images"):
        decompress(forge(compress(np.zeros((4, 4, 3), np.uint8)), kind=Kind(4)))
    with pytest.raises(ArdmError, match="does not fit a file kept whole"):
        decompress(forge(data, whole=True))


# ---- the walk and the coder, without weights


WALKS = [
    Schedule(Order.LATTICE, (group_breaks([1, 2, 4, 8]), group_breaks([15]))),
    Schedule(Order.LATTICE, (group_breaks([1] * 15), group_breaks([5, 10])), plain=True),
    Schedule(Order.RANDOM, (5, 2), 11, plain=True),
]


@pytest.mark.parametrize("schedule", WALKS, ids=lambda s: f"{s.order.name}-{s.plain}")
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(5, 5), (17, 30), (1, 40), (40, 1)])
def test_walk_returns_the_image_and_the_coder_ends_clean(
    fake: FakePredictor, schedule: Schedule, channels: int, shape: tuple[int, int]
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, channels), dtype=np.uint8)
    image = np.ascontiguousarray(np.broadcast_to(image, (*shape, 3)))
    stride = 4 ** schedule.root_level(*shape)

    def model(data: bytes | None) -> plain.PlainPixels | Mixing:
        if schedule.plain:
            return plain.PlainPixels(
                plain.Encoder() if data is None else plain.Decoder(data), fake.weights, channels
            )
        return Mixing(channels, shape[0] * shape[1], fake.weights, data)

    encoder, told = model(None), []
    assert np.array_equal(
        walk(encoder, fake, schedule, image[::stride, ::stride], shape, image, told.append), image
    )
    assert sum(told) == shape[0] * shape[1] - image[::stride, ::stride, 0].size
    decoder = model(encoder.finish())
    assert np.array_equal(walk(decoder, fake, schedule, image[::stride, ::stride], shape, None), image)
    assert (decoder.coder if isinstance(decoder, plain.PlainPixels) else decoder).exhausted()


# ---- learning while coding


def test_learning_pays_on_photos_and_costs_little_on_noise(photo: np.ndarray) -> None:
    crop = photo[100:356, 200:456]
    noisy = np.clip(crop + np.random.default_rng(0).normal(0, 12, crop.shape), 0, 255).astype(np.uint8)
    for order in ("raster", "lattice"):
        assert len(compress(crop, order=order)) < 0.95 * len(compress(crop, order=order, plain=True))
        assert len(compress(noisy, order=order)) < 1.005 * len(compress(noisy, order=order, plain=True))


# ---- stored tiles


@pytest.mark.parametrize("channels", [1, 3])
def test_stored_round_trip_of_every_filter(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 13, channels), dtype=np.uint8)
    for kind in range(8):
        assert np.array_equal(stored.filter_inverse(stored.filter_forward(image, kind), kind), image)
    for content in (image, np.zeros_like(image)):
        assert np.array_equal(stored.decode(*stored.encode(content), content.shape), content)


def test_noise_and_graphics_are_stored() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert len(compress(noise)) < noise.size + 100
    graphics = np.kron(np.random.default_rng(1).integers(0, 2, (16, 16)), np.ones((16, 16))).astype(np.uint8)[
        ..., None
    ] * np.array([200, 30, 60], np.uint8)
    assert len(compress(graphics)) < 1000


# ---- damage and limits


@pytest.fixture(scope="module")
def small(photo: np.ndarray) -> tuple[np.ndarray, bytes]:
    image = photo[250:274, 300:329].copy()
    return image, compress(image, budget=6, order="lattice")


def test_every_truncation_is_noticed(small: tuple[np.ndarray, bytes]) -> None:
    _, data = small
    assert len(data) > 300
    for n in range(len(data)):
        with pytest.raises((TruncatedError, NotArdmError) if n < 1 else TruncatedError):
            decompress(data[:n])


def test_every_flipped_bit_is_noticed(small: tuple[np.ndarray, bytes]) -> None:
    _, data = small
    for position in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(ArdmError):
            decompress(bytes(damaged))


def test_foreign_bytes_at_the_end_are_noticed(small: tuple[np.ndarray, bytes]) -> None:
    with pytest.raises(ArdmError, match="foreign bytes at the end"):
        decompress(small[1] + b"\0")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_raise_only_our_errors(data: bytes) -> None:
    for candidate in (data, container.MAGIC + data, container.MAGIC + container.chunk(container.HEAD, data)):
        with pytest.raises(ArdmError):
            decompress(candidate)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_forged_payloads_raise_only_our_errors(small: tuple[np.ndarray, bytes], data: st.DataObject) -> None:
    """Payloads with correct checksums but arbitrary content must neither crash nor be taken for the image."""
    header, _ = container.read(small[1])
    payload = data.draw(st.binary(max_size=200))
    method = data.draw(st.sampled_from(Method))
    forged = container.Header(
        **{**header.__dict__, "entries": (container.Entry(method, len(payload), zlib.crc32(payload)),)}
    )
    with pytest.raises(ArdmError):
        decompress(container.write(forged, [payload]))


def forge(data: bytes, **changes: object) -> bytes:
    header, at = container.read(data)
    return container.write(container.Header(**{**header.__dict__, **changes}), [data[at:]])


def test_tiny_files_cannot_ask_for_much(small: tuple[np.ndarray, bytes]) -> None:
    """Claims of huge geometry are refused from the header, before lists or planes of that size are made."""
    _, data = small
    with pytest.raises(ArdmError, match="too few for"):
        info(forge(data, width=2**28, height=2**20, tile=(4, 4)))
    with pytest.raises(ArdmError, match="impossible geometry"):
        decompress(forge(data, tile=(4096, 4)))
    with pytest.raises(ArdmError, match="1 to 255"):
        decompress(forge(data, schedule=Schedule(Order.RANDOM, (65535, 3), 7, plain=True)))
    bomb = stored.encode(np.zeros((2000, 2000, 1), np.uint8))
    with pytest.raises(ArdmError, match="unpacks to"):
        stored.decode(*bomb, (10, 10, 1))


def test_limits_versions_and_features_have_their_own_errors(small: tuple[np.ndarray, bytes]) -> None:
    image, data = small
    with pytest.raises(LimitError, match="24"):
        decompress(data, max_pixels=100)
    with pytest.raises(LimitError):
        decompress(forge(data, width=2**31, height=2**31))
    with pytest.raises(UnsupportedError, match="weights 00112233"):
        decompress(forge(data, weights_id="00112233"))
    with pytest.raises(UnsupportedError, match="feature 0x05"):
        decompress(forge(data, metadata=((0x05, b"new"),)))
    assert np.array_equal(decompress(forge(data, metadata=((0xFE, b"unknown but optional"),))), image)
    for version, says in (
        (0, "format version 0"),
        (1, "made by a release before 1.0"),
        (3, "format version 3; this release reads version 2"),
    ):
        with pytest.raises(UnsupportedError, match=says):
            decompress(container.MAGIC + container.chunk(container.HEAD, bytes([version]) + bytes(60)))


def test_arguments_are_checked() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    for array in (
        image.astype(np.int16),
        image.astype(np.uint32),
        image[..., None],
        np.zeros((0, 4), np.uint8),
        np.zeros((2, 2, 5), np.uint8),
        [[1]],
    ):
        with pytest.raises(InputError):
            compress(array)  # type: ignore[arg-type]
    for arguments in (
        {"budget": 0},
        {"budget": -3},
        {"tile": 10},
        {"tile": 0},
        {"tile": 4096},
        {"seed": -1},
        {"seed": 2**32},
        {"threads": -1},
        {"order": "spiral"},
        {"order": "best"},
        {"order": "raster", "seed": 1},
        {"order": "raster", "budget": 3},
    ):
        with pytest.raises(ValueError, match="got"):
            compress(image, **arguments)  # type: ignore[arg-type]
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no CUDA GPU"):
            compress(np.zeros((64, 64), np.uint8), device="cuda")


def test_info_tells_without_decoding(small: tuple[np.ndarray, bytes]) -> None:
    said = info(small[1])
    assert (said["width"], said["height"], said["channels"], said["network_calls"]) == (29, 24, 3, 6)
    assert (said["order"], said["coding"], said["evaluations_per_pixel"], said["network_planes"]) == (
        "lattice",
        "mixing",
        1,
        1,
    )
    assert said["bytes"] == len(small[1])


# ---- golden files


@pytest.mark.parametrize("path", samples.golden_pixels(), ids=lambda p: p.stem)
def test_golden_file_decodes(path: Path) -> None:
    expected = png.read(path.with_suffix(".png").read_bytes(), 10**6).pixels
    pixels = decompress(path.read_bytes())
    assert pixels.dtype == expected.dtype
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize(
    "name", ["jpeg-file", "jpeg-file-progressive", "jpeg-file-cmyk", "jpeg-file-bands", "jpeg-file-within"]
)
def test_a_golden_jpeg_comes_back(name: str) -> None:
    data = (samples.GOLDEN / f"{name}.ardm").read_bytes()
    source = (samples.GOLDEN / f"{name}.jpg").read_bytes()
    assert archive.unpack(data) == source
    assert len(data) < 0.9 * len(source)


def test_golden_files_are_there() -> None:
    from tests import make_golden

    made = {
        **make_golden.images(),
        **make_golden.source_files(),
        **make_golden.png_files(),
        **make_golden.jpeg_files(),
    }
    assert {p.stem for p in samples.golden()} == set(made)


def test_a_mask_is_not_lost_silently() -> None:
    with pytest.raises(InputError, match="masked array, whose mask would be lost"):
        compress(np.ma.masked_array(np.zeros((4, 4), np.uint8), mask=True))
