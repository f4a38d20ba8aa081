"""The mixing coder: what it may look at, its exactness on any machine, its threads, its damage."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ardm.exact import window
from ardm.exact.predictor import Predictor
from ardm.orders import LATTICE_ORDER
from codec import CorruptError, TruncatedError, UnsupportedError, compress, container, decompress
from codec.coder import arithmetic, counters, guesses, kernel, mixing, selftest
from codec.coder.jpeg import start
from codec.coder.mixing import Mixing, lattice_geometry, raster_geometry
from codec.coder.schedule import Schedule
from codec.methods import Method
from tests.compiled import called
from tests.planes import decode_graphics, decode_network, encode_graphics, encode_network, plan

pytestmark = pytest.mark.quick


def test_neighbours_are_coded_before() -> None:
    known = {(0, 0)}
    for phase in LATTICE_ORDER:
        _, own, near = lattice_geometry(phase)
        for dy, dx in own:
            assert ((phase[0] + dy) % 4, (phase[1] + dx) % 4) in known
        for dy, dx in near:
            assert ((phase[0] + dy) % 4, (phase[1] + dx) % 4) in known - {(0, 0)}
        assert 4 <= len(own) <= 12
        assert max(np.abs(own).max(), np.abs(near).max(initial=0)) < arithmetic.PAD
        known.add(phase)
    assert raster_geometry(22)[0].tolist() == raster_geometry(24)[0][:22].tolist()
    assert raster_geometry(24)[0][22:].tolist() == [[-3, -3], [-3, 3]]
    own, near = raster_geometry()
    assert all(dy < 0 or (dy == 0 and dx < 0) for dy, dx in [*own, *near])
    assert own[:4].tolist() == [[-1, 0], [0, -1], [-1, -1], [-1, 1]]


def test_experts_read_opposite_neighbours() -> None:
    for phase in LATTICE_ORDER:
        first = lattice_geometry(phase)[1][:4]
        assert (first[0] + first[3]).tolist() == [0, 0]
        assert (first[1] + first[2]).tolist() == [0, 0]


def test_solve_solves() -> None:
    rng = np.random.default_rng(0)
    for n in (5, 12, 30):
        x = rng.integers(-9, 10, (n, 200)).astype(float)
        truth, found = rng.normal(size=n), np.zeros(n)
        arithmetic.solve(x @ x.T, x @ x.T @ truth, n, found, np.zeros((n, (n // 4 + 2) * 4)))
        assert np.allclose(found, truth)


def test_tables_are_what_they_say() -> None:
    u = (np.arange(-1536, 1536) + 0.5) / 128
    assert np.abs(arithmetic.SIGMOID - 2**24 / (1 + np.exp(-u))).max() <= 0.51
    assert np.abs(arithmetic._LOG - np.log(1 + (np.arange(512) + 0.5) / 512)).max() < 1e-5
    for x in (1.0, 0.75, 16777216.0, 12345.6):
        assert abs(called(arithmetic.log)(x) - np.log(x)) < 0.002


def test_tables_do_not_depend_on_the_math_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the same by exact decimals alone, and by libraries that are off by 20 units in the last place."""

    def tables() -> list[np.ndarray]:
        made = counters._reciprocals(), kernel._inverse(), guesses._log_counts(), start._stored_counters()
        return [*arithmetic._tables(), *made]

    expected = tables()
    exact, exact_log, off = math.exp, math.log, 1 + 20 * 2.0**-52
    for factor in (off, 1 / off):
        monkeypatch.setattr(arithmetic.math, "exp", lambda x, factor=factor: exact(x) * factor)
        monkeypatch.setattr(arithmetic.math, "log", lambda x, factor=factor: exact_log(x) * factor)
        found = tables()
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    monkeypatch.undo()
    monkeypatch.setattr(arithmetic, "CLOSE", 0.0)  # nothing is: decimals decide all
    found = tables()
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


COUNT = """
import sys, hashlib, numpy as np
from codec import compress, decompress
from codec.methods import Method
from tests.planes import decode_graphics, encode_graphics
crop = np.load(sys.argv[1])
for order in ("lattice", "raster"):
    data = compress(crop, order=order)
    assert np.array_equal(decompress(data), crop)
    print(hashlib.sha256(data).hexdigest())
data = encode_graphics(crop)
assert np.array_equal(decode_graphics(data, crop.shape), crop)
print(hashlib.sha256(data).hexdigest())
print(hashlib.sha256(compress(crop[..., 0] * np.uint16(7))).hexdigest())
"""


@pytest.mark.parametrize(
    "environment",
    [{"NUMBA_DISABLE_JIT": "1"}, {"NUMBA_CPU_NAME": "generic"}, {}],
    ids=["interpreted", "generic CPU", "this CPU"],
)
def test_bytes_do_not_depend_on_the_compiler(
    environment: dict[str, str], photo: np.ndarray, tmp_path: Path
) -> None:
    """Interpreted by Python, compiled for any CPU of the architecture, compiled for this one: the same
    bytes.
    """
    crop = photo[200:214, 300:317]
    np.save(tmp_path / "crop.npy", crop)
    command = [sys.executable, "-W", "error", "-c", COUNT, str(tmp_path / "crop.npy")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)
    assert done.returncode == 0, done.stderr
    expected = [compress(crop, order=order) for order in ("lattice", "raster")] + [
        encode_graphics(crop),
        compress(crop[..., 0] * np.uint16(7)),
    ]
    assert done.stdout.split() == [hashlib.sha256(data).hexdigest() for data in expected]


@pytest.mark.parametrize(
    "way", [{}, {"plain": True}, {"order": "lattice", "budget": 15}, {"seed": 1, "budget": 15}], ids=str
)
def test_bytes_do_not_depend_on_threads(photo: np.ndarray, way: dict[str, object]) -> None:
    """Several tiles go side by side; what one thread wrote any number reads, and the other way round."""
    crop = photo[:96, :100]
    before = torch.get_num_threads()
    try:
        files = {}
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            files[threads] = [compress(crop, tile=tile, **way) for tile in (1024, 48)]  # type: ignore[arg-type]
            for data in files[threads]:
                assert np.array_equal(decompress(data), crop)
        torch.set_num_threads(1)
        for data in files[4]:
            assert np.array_equal(decompress(data), crop)
    finally:
        torch.set_num_threads(before)
    assert files[1] == files[2] == files[4]


@pytest.mark.parametrize(
    ("plainly", "name", "coder"),
    [(False, "MIXING_DIGEST", "mixing coder"), (True, "PLAIN_DIGEST", "plain coder")],
)
def test_a_wrong_kernel_is_refused(
    monkeypatch: pytest.MonkeyPatch, photo: np.ndarray, plainly: bool, name: str, coder: str
) -> None:
    crop = photo[:12, :12]
    data = compress(crop, plain=plainly)
    selftest.check_coder.cache_clear()
    monkeypatch.setattr(selftest, name, "0" * 16)
    for work in (lambda: compress(crop, plain=plainly), lambda: decompress(data)):
        with pytest.raises(UnsupportedError, match=f"the compiled {coder} computes differently"):
            work()
    monkeypatch.undo()
    selftest.check_coder.cache_clear()
    assert np.array_equal(decompress(data), crop)


@pytest.mark.parametrize("strip", [0, 1, 2, 3, 4, 5, 8, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_strips_of_any_height_and_the_network_come_back(
    predictor: Predictor, photo: np.ndarray, strip: int, channels: int
) -> None:
    plane = np.ascontiguousarray(photo[200:213, 300:322, :channels])
    schedule = Schedule(strip=strip, slope=predictor.weights.config.radius + 1)
    payload = encode_network(plane, predictor, schedule)
    assert np.array_equal(decode_network(payload, (13, 22, channels), predictor, schedule), plane)


def with_and_without(weights: window.WindowWeights, names: tuple[str, ...]) -> list[window.WindowWeights]:
    """The same, and the same that do not say where something starts."""
    others = {name: values for name, values in weights.tensors.items() if name not in names}
    return [weights, window.WindowWeights(weights.id, weights.config, others, {})]


def started(channels: int, weights: window.WindowWeights, crop: np.ndarray) -> Mixing:
    """An encoder that is about to code a picture."""
    planar = np.ascontiguousarray(crop.transpose(2, 0, 1)).astype(np.int16)
    one = Mixing(channels, crop.shape[0] * crop.shape[1], weights)
    one.start_stage(np.zeros_like(planar), planar)
    return one


@pytest.mark.parametrize("channels", [1, 3])
def test_the_fit_starts_where_the_weights_say(predictor: Predictor, photo: np.ndarray, channels: int) -> None:
    """Of colours in raster order; and starting there pays on a small picture."""
    sizes = []
    for weights in with_and_without(predictor.weights, mixing.FITS):
        one = started(channels, weights, photo[200:232, 300:332])
        one.code_raster(4)
        sizes.append(len(one.finish()))
    assert sizes[0] < sizes[1] if channels == 3 else sizes[0] == sizes[1]


def test_mixers_start_where_the_weights_say(predictor: Predictor, photo: np.ndarray) -> None:
    """In raster order with the network only; and starting there pays on a small picture."""
    trained = predictor.weights
    sizes = []
    for weights in with_and_without(trained, mixing.STARTS):
        one = started(3, weights, photo[200:248, 300:348])
        one._start_mixers(mixing.RASTER_KIND, 2, 1)
        start = np.repeat(trained.tensors["mixers"] / 4096, mixing.SPREAD_OUT, axis=0)
        assert np.array_equal(one.learned.weights, start) == (weights is trained)
        one.code_raster(4)
        sizes.append(len(one.finish()))
        one._start_mixers(0, 2, 1)
        assert np.array_equal(np.unique(one.learned.weights), [0, 0.01, 0.2, 0.6])
    assert sizes[0] < sizes[1]


def test_the_network_pays(photo: np.ndarray, predictor: Predictor) -> None:
    """As an expert of the mixing coder it makes photos smaller than learning alone does."""
    crop = photo[100:228, 200:328].copy()
    with_it = encode_network(crop, predictor, plan(predictor.weights, 128, 128, None))
    assert len(with_it) < 0.98 * len(encode_graphics(crop))


def test_sparse_colours_are_learned(photo: np.ndarray) -> None:
    """Blue is a function of red and green: once seen, it costs next to nothing."""
    crop = photo[100:356, 200:456].copy()
    crop[..., :2] &= 0xF0
    twice = crop.copy()
    twice[..., 2] = (crop[..., 0].astype(int) * 7 + crop[..., 1].astype(int) * 13) % 256
    alone = crop.copy()
    alone[..., 2] = 0
    for order in ("lattice", "raster"):
        assert len(compress(twice, order=order)) < len(compress(alone, order=order)) * 1.15


def test_auto_takes_the_better_order_and_the_better_coder(photo: np.ndarray) -> None:
    crop = photo[100:228, 200:328]
    sizes = {order: len(compress(crop, order=order)) for order in ("lattice", "raster", "auto")}
    assert sizes["auto"] <= 1.02 * min(sizes.values())
    text = np.kron(np.random.default_rng(1).integers(0, 2, (43, 43)), np.ones((3, 3)))[
        :128, :128, None
    ].astype(np.uint8) * np.array([200, 90, 30], np.uint8)
    data = compress(text)
    assert container.read(data)[0].entries[0].method != Method.NETWORK
    assert len(data) < 1.02 * min(len(compress(text, order=order)) for order in ("lattice", "raster")) + 20


def test_streams_survive_any_content(predictor: Predictor) -> None:
    """Words that no encoder wrote decode to something, in bounded time; the file's hash then tells that it is
    not the image.
    """
    rng = np.random.default_rng(0)
    plane = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    graphics, schedules = (
        encode_graphics(plane),
        [plan(predictor.weights, 20, 30, None, order) for order in ("raster", "lattice")],
    )
    assert np.array_equal(decode_graphics(graphics, (20, 30, 3)), plane)
    for _ in range(10):
        assert decode_graphics(rng.bytes(len(graphics) // 4 * 4), (20, 30, 3)).shape == (20, 30, 3)
    for schedule in schedules:
        payload = encode_network(plane, predictor, schedule)
        assert np.array_equal(decode_network(payload, (20, 30, 3), predictor, schedule), plane)
        for _ in range(10):
            junk = payload[:30] + rng.bytes(len(payload) - 30)  # a root, if there is one, kept
            assert decode_network(junk, (20, 30, 3), predictor, schedule).shape == (20, 30, 3)
        for cut in (1, 2, 3):
            with pytest.raises(TruncatedError, match="cut short"):
                decode_network(payload[:-cut], (20, 30, 3), predictor, schedule)
    data = compress(plane[:8, :8])
    header, at = container.read(data)
    assert header.entries[0].method in (0, 2)
    with pytest.raises(CorruptError):
        decompress(data[:at] + bytes(len(data) - at))


@pytest.mark.parametrize("shape", [(8, 1), (1, 8), (40, 1), (5, 4), (1, 1)])
@pytest.mark.parametrize("order", ["lattice", "raster"])
def test_narrow_pictures(order: str, shape: tuple[int, int], predictor: Predictor) -> None:
    """Eight rows of one pixel could be written but not read: the root's strides passed through np.pad, which
    made columns of them.
    """
    image = np.random.default_rng(5).integers(90, 130, (*shape, 3)).astype(np.uint8)
    schedule = plan(predictor.weights, *shape, None if order == "raster" else 8, order)
    payload = encode_network(image, predictor, schedule)
    assert np.array_equal(decode_network(payload, (*shape, 3), predictor, schedule), image)
    assert np.array_equal(decode_graphics(encode_graphics(image), (*shape, 3)), image)
    assert np.array_equal(decompress(compress(image, order=order)), image)


def test_a_stream_has_as_many_words_as_it_may(photo: np.ndarray) -> None:
    """The worst that pixels can cost: no encoder writes more words than it has room for."""
    rng = np.random.default_rng(0)
    for channels in (1, 3):
        plane = np.where(rng.random((30, 40, channels)) < 0.5, 0, 255).astype(np.uint8)
        plane[:20] = 128  # certain first, then not at all
        assert np.array_equal(decode_graphics(encode_graphics(plane), (30, 40, channels)), plane)
    assert Mixing(3, 10, None).words.shape[1] >= 10 * 3 * mixing.MOST_WORDS
