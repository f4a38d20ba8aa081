"""Plain coding: the exact distributions, constriction's words, what they cost, and how a budget of network
calls is spent.
"""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ardm.exact import mixture
from ardm.exact.on_device import by_torch
from ardm.exact.predictor import Predictor, new_canvas, windows
from ardm.exact.window import WindowWeights
from ardm.orders import lattice_groups, level_shapes
from ardm.units import CODING_ORDER
from codec import CorruptError, TruncatedError, compress, container, decompress, info
from codec.coder import plain
from codec.coder.rangecoder import ONE
from codec.coder.schedule import Order, Schedule
from codec.coder.selftest import synthetic_weights
from codec.scheduling import lattice_stages
from tests.planes import decode_network, encode_network, plan

needs_constriction = pytest.mark.skipif(plain.constriction is None, reason="constriction has no package here")


def raster_calls(weights: WindowWeights, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parameters and bases of all pixels in raster order, by torch."""
    height, width, _ = image.shape
    canvas = new_canvas(height, width)
    canvas.image[:], canvas.mask[:] = image, True
    where = np.argwhere(canvas.mask).astype(np.int32)
    pixels, known = windows(canvas, where, weights.config.radius)
    known[:, weights.config.positions // 2 :] = False
    return by_torch(weights, pixels, known, "cpu")


def diagonals(height: int, width: int, slope: int) -> list[np.ndarray]:
    """Indices of the pixels of every call in raster order, from top to bottom."""
    at = np.add.outer(slope * np.arange(height), np.arange(width))
    return [np.flatnonzero(at.reshape(-1) == d) for d in range(at.max() + 1)]


# ---- distributions


def test_distributions_are_distributions() -> None:
    """Every value has its mass; frequencies of digits are whole, at least 1, and add up to 2**24."""
    weights = synthetic_weights()
    tables, rng, n = plain.tables_of(weights), np.random.default_rng(0), 40
    k = weights.config.mixture
    for spread in (30, 300, 2**24):
        params = rng.integers(-spread, spread + 1, (n, weights.config.outputs)).astype(np.int32)
        base = rng.integers(0, 256, (n, 3)).astype(np.int16)
        state, parts = mixture.new_state(n, k), np.empty((n, 4), np.float32)
        mixture.start_pixels(state, params, n, tables)
        for step, c in enumerate(CODING_ORDER):
            mixture.start_channel(state, params, base, step, c, n, tables)
            edges = np.array([[mixture.cdf(state, i, e, tables) for e in range(257)] for i in range(n)])
            assert (np.diff(edges) >= 64).all()
            assert (edges[:, -1] == state.total).all()
            assert edges.max() < 2**28.4
            for size in (64, 16, 4, 1):
                mixture.split(state, size, n, tables, parts)
                assert (parts >= 0).all()
                assert (parts.astype(np.int64).sum(1) + 4 == ONE).all()
                mixture.take(state, size, rng.integers(0, 4, n).astype(np.int32), n)
            mixture.finish_channel(state, base, step, c, n, tables)
            assert 1 <= state.weight.min() <= state.weight.max() <= 1023


def test_information_is_that_of_the_masses() -> None:
    """All values of a channel, given those before it, have probabilities that add up to 1."""
    weights = synthetic_weights()
    tables, rng = plain.tables_of(weights), np.random.default_rng(1)
    params = np.repeat(rng.integers(-200, 200, (1, weights.config.outputs)), 256, 0).astype(np.int32)
    base = np.repeat(rng.integers(60, 190, (1, 3)), 256, 0).astype(np.int16)
    for step, c in enumerate(CODING_ORDER):
        values = np.full((256, 3), 100, np.uint8)
        values[:, c] = np.arange(256)
        assert np.exp2(-mixture.information(params, base, values, tables)[step]).sum() == pytest.approx(
            1, abs=1e-9
        )


# ---- words


@needs_constriction
@pytest.mark.parametrize("channels", [1, 3])
def test_constriction_writes_and_reads_the_same_calls(channels: int) -> None:
    """Whole calls, with parameters of any size."""
    weights = synthetic_weights()
    tables, rng = plain.tables_of(weights), np.random.default_rng(2)
    library, own, calls = plain.LibraryEncoder(), plain.Encoder(), []
    for n, spread in ((1, 100), (300, 100), (0, 1), (57, 2**24), (2000, 400)):
        params = rng.integers(-spread, spread + 1, (n, weights.config.outputs)).astype(np.int32)
        base = rng.integers(0, 256, (n, 3)).astype(np.int16)
        values = np.repeat(rng.integers(0, 256, (n, 1)), 3, 1).astype(np.uint8)
        if channels == 3:
            values = rng.integers(0, 256, (n, 3)).astype(np.uint8)
        calls.append((params, base, values))
        for coder in (library, own):
            assert np.array_equal(plain.code_call(coder, params, base, tables, channels, values), values)
    data = library.finish()
    assert data == own.finish()
    for decoder in (plain.LibraryDecoder(data), plain.Decoder(data)):
        for params, base, values in calls:
            assert np.array_equal(plain.code_call(decoder, params, base, tables, channels, None), values)
    assert decoder.exhausted()


@needs_constriction
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(13, 18), (1, 9), (9, 1), (1, 1), (7, 40)], ids=str)
def test_diagonals_are_calls(
    shape: tuple[int, int], channels: int, photo: np.ndarray, predictor: Predictor
) -> None:
    """The compiled loops of raster order write what constriction does of each diagonal in turn."""
    weights, (height, width) = predictor.weights, shape
    image = photo[200 : 200 + height, 300 : 300 + width].copy()
    if channels == 1:
        image[:] = image[..., 1:2]
    params, base = raster_calls(weights, image)
    library, compiled, tables = plain.LibraryEncoder(), plain.Encoder(), plain.tables_of(weights)
    slope = weights.config.radius + 1
    flat, calls = image.reshape(-1, 3), diagonals(height, width, slope)
    assert (
        len(calls)
        == plain.diagonals(height, width, slope)
        == Schedule(plain=True, slope=slope).calls(height, width)
    )
    for chosen in calls:
        plain.code_call(library, params[chosen], base[chosen], tables, channels, flat[chosen])
    plain.code_raster(compiled, weights, image, channels, False)
    data = compiled.finish()
    assert data == library.finish()
    restored = np.zeros_like(image)
    plain.code_raster(plain.Decoder(data), weights, restored, channels, True)
    assert np.array_equal(restored, image)


def test_constriction_is_what_calls_go_through() -> None:
    if plain.constriction:
        assert isinstance(plain.new_coder(None), plain.LibraryEncoder)
        assert isinstance(plain.new_coder(b""), plain.LibraryDecoder)


WITHOUT = """
import sys, hashlib, numpy as np
sys.modules["constriction"] = None  # importing it raises ImportError
from codec import compress, decompress
from codec.coder import plain
assert plain.constriction is None
crop = np.load(sys.argv[1])
for way in ({"order": "lattice"}, {"seed": 3}, {}):
    data = compress(crop, plain=True, **way)
    assert np.array_equal(decompress(data), crop)
    print(hashlib.sha256(data).hexdigest())
"""


def test_files_are_the_same_without_constriction(photo: np.ndarray, tmp_path: Path) -> None:
    crop = photo[200:220, 300:325]
    np.save(tmp_path / "crop.npy", crop)
    command = [sys.executable, "-W", "error", "-c", WITHOUT, str(tmp_path / "crop.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ways = ({"order": "lattice"}, {"seed": 3}, {})
    assert done.stdout.split() == [
        hashlib.sha256(compress(crop, plain=True, **way)).hexdigest() for way in ways
    ]  # type: ignore[arg-type]


# ---- what they cost


@pytest.mark.parametrize("channels", [1, 3])
def test_raster_order_spends_what_the_distributions_say(
    channels: int, photo: np.ndarray, predictor: Predictor
) -> None:
    image = photo[100:196, 200:296].copy()
    if channels == 1:
        image[:] = image[..., 1:2]
    params, base = raster_calls(predictor.weights, image)
    bits = mixture.information(
        params, base, image.reshape(-1, 3), plain.tables_of(predictor.weights), channels
    ).sum()
    payload = encode_network(
        image[..., :channels], predictor, plan(predictor.weights, 96, 96, None, "raster", plain=True)
    )
    assert bits / 8 <= len(payload) <= bits / 8 * 1.001 + 8


class Meter(Predictor):
    """Adds up what its answers make the pixels cost."""

    bits = 0.0
    truth: np.ndarray

    def count(self, found: tuple[np.ndarray, np.ndarray], where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = self.truth[where[:, 0], where[:, 1]]
        self.bits += float(mixture.information(*found, values, plain.tables_of(self.weights)).sum())
        return found

    def lattice(self, canvas, phase, first, where):  # type: ignore[no-untyped-def]
        return self.count(super().lattice(canvas, phase, first, where), where)

    def scattered(self, canvas, where):  # type: ignore[no-untyped-def]
        return self.count(super().scattered(canvas, where), where)


@pytest.mark.parametrize("seed", [None, 4])
def test_stages_spend_what_the_distributions_say(
    seed: int | None, photo: np.ndarray, predictor: Predictor
) -> None:
    image = photo[100:196, 200:296].copy()
    meter = Meter(predictor.weights)
    schedule = plan(predictor.weights, 96, 96, 10, "lattice", seed, plain=True)
    levels = schedule.root_level(96, 96)
    assert levels == 1 or seed is not None or len(schedule.stages) == levels
    if levels > 1:  # pixels of coarser stages lie further apart
        schedule = Schedule(schedule.order, schedule.stages[:1], seed, plain=True)
    meter.truth = image
    payload = encode_network(image, meter, schedule)
    root = 24 * 24 * 3 + 4
    assert meter.bits / 8 <= len(payload) <= meter.bits / 8 * 1.001 + root + 8
    assert np.array_equal(decode_network(payload, (96, 96, 3), predictor, schedule), image)


# ---- damage


def test_words_that_no_encoder_wrote(photo: np.ndarray, predictor: Predictor) -> None:
    """They decode to something, or are refused; never anything else, in raster order, lattice order and a
    random one.
    """
    rng, image = np.random.default_rng(0), photo[200:211, 300:317]
    seen: Counter[str] = Counter()
    for options in ({}, {"order": "lattice"}, {"seed": 2}):
        schedule = plan(predictor.weights, 11, 17, 10**6, plain=True, **options)  # type: ignore[arg-type]
        payload = encode_network(image, predictor, schedule)
        for turn in range(40):
            junk = payload[:40] + (
                rng.bytes(len(payload) - 40) if turn % 2 else b"\xff" * (len(payload) - 40)
            )
            try:
                found = decode_network(junk[: len(junk) - turn % 4], (11, 17, 3), predictor, schedule)
                assert found.shape == (11, 17, 3)
                seen["decoded"] += 1
            except (CorruptError, TruncatedError) as error:
                seen[str(error)] += 1
    assert set(seen) >= {"decoded", "its data is cut short."}


# ---- budgets


SIZES = [(1, 1), (5, 4), (5, 5), (17, 30), (64, 64), (200, 150), (1024, 1024)]


def calls_made(schedule: Schedule, height: int, width: int) -> int:
    """Counted rather than computed."""
    if schedule.order == Order.RASTER:
        strips = [
            min(schedule.strip or height, height - top) for top in range(0, height, schedule.strip or height)
        ]
        return sum(len(diagonals(rows, width, schedule.slope)) for rows in strips)
    stages = schedule.stages[: schedule.root_level(height, width)]
    return sum(len(lattice_groups(stage)) for stage in stages) if schedule.seed is None else sum(stages)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("plainly", [False, True])
def test_no_budget_is_exceeded(size: tuple[int, int], plainly: bool, predictor: Predictor) -> None:
    most = plan(predictor.weights, *size, None, "raster", plain=plainly).calls(*size)
    for budget in (*range(1, 80), most - 1, most, most + 1, 10**9):
        for options in ({}, {"order": "lattice"}, {"seed": 1}):
            if budget < 1:
                continue
            schedule = plan(predictor.weights, *size, budget, plain=plainly, **options)  # type: ignore[arg-type]
            assert schedule.calls(*size) <= budget
            assert schedule.plain == (plainly or "seed" in options)
            if max(size) < 100:
                assert schedule.calls(*size) == calls_made(schedule, *size)


@pytest.mark.parametrize("size", SIZES[1:], ids=str)
def test_more_calls_are_never_expected_to_be_worse(size: tuple[int, int], predictor: Predictor) -> None:
    """By the measured table; and `auto` takes what that says is better, of what the budget allows."""
    weights, pixels = predictor.weights, size[0] * size[1]
    raster = float(weights.tensors["raster_bits"][0]) * pixels
    before = np.inf
    least = plan(weights, *size, None, "raster", plain=True).calls(*size)
    for budget in sorted({*range(1, 70), least - 1, least, least + 1, 10**9} - {0}):
        bits, stages = lattice_stages(weights, *size, budget)
        schedule = plan(weights, *size, budget, plain=True)
        expected = raster if schedule.order == Order.RASTER else bits
        assert expected <= before + 1e-9
        assert schedule.order == Order.LATTICE or budget >= least
        assert schedule.order == Order.RASTER or budget < least or bits < raster
        assert schedule.order == Order.RASTER or schedule.stages == stages
        before = expected


def test_a_photo_without_a_budget_goes_in_raster_order(photo: np.ndarray, predictor: Predictor) -> None:
    for side in (24, 64, 512):
        assert plan(predictor.weights, side, side, None).order == Order.RASTER
    crop = photo[100:164, 100:164]
    sizes = {calls: len(compress(crop, budget=calls, plain=True)) for calls in (1, 4, 15, 40, 10**6)}
    for fewer, more in itertools.pairwise(sizes.values()):
        assert more <= fewer * 1.002
    assert info(compress(crop, budget=1))["network_calls"] == 1
    assert info(compress(crop, budget=10**6))["order"] == "raster"


def test_strips_are_as_low_as_the_budget_allows(predictor: Predictor) -> None:
    """Lower strips need less memory and take more calls; the bits are the same."""
    weights, least = predictor.weights, 60 + 7 * 99
    for budget in (1, 40, least - 1):
        with pytest.raises(
            ValueError,
            match=f"of 60 x 100 pixels takes at least {least} network calls, got a budget of {budget}",
        ):
            plan(weights, 100, 60, budget, "raster")
    strips = [plan(weights, 100, 60, budget, "raster").strip for budget in range(least, 4000)]
    assert [strip for strip, _ in itertools.groupby(strips)] == [0, 64, 32, 16, 8, 4]


def test_images_of_one_pixel_and_one_row() -> None:
    for shape in ((1, 1), (1, 5), (5, 1), (1, 70)):
        image = np.random.default_rng(3).integers(90, 99, (*shape, 3)).astype(np.uint8)
        for options in (
            {},
            {"plain": True},
            {"order": "lattice"},
            {"seed": 0},
            {"budget": 1},
            {"order": "raster", "plain": True},
        ):
            data = compress(image, **options)  # type: ignore[arg-type]
            assert np.array_equal(decompress(data), image)
            assert len(level_shapes(*shape)) >= container.read(data)[0].schedule.root_level(*shape) + 1
