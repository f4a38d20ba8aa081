"""The mixing coder: what it may look at, its exactness on any machine, its threads, its damage."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ardm.orders import LATTICE_ORDER
from codec import ArdmError, CorruptError, UnsupportedError, compress, container, decompress, kernel, mixing
from codec.image import decode_deep, decode_lattice, decode_raster, encode_deep, encode_lattice, encode_raster, load_predictor, plan
from codec.mixing import Mixing, lattice_geometry, raster_geometry


def test_neighbours_are_coded_before() -> None:
    known = {(0, 0)}
    for phase in LATTICE_ORDER:
        _, own, near = lattice_geometry(phase)
        for dy, dx in own:
            assert ((phase[0] + dy) % 4, (phase[1] + dx) % 4) in known
        for dy, dx in near:
            assert ((phase[0] + dy) % 4, (phase[1] + dx) % 4) in known - {(0, 0)}
        assert 4 <= len(own) <= 12
        assert max(np.abs(own).max(), np.abs(near).max(initial=0)) < kernel.PAD
        known.add(phase)
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
        kernel.solve(x @ x.T, x @ x.T @ truth, n, found, np.zeros((n, (n // 4 + 2) * 4)))
        assert np.allclose(found, truth)


def test_tables_are_what_they_say() -> None:
    u = (np.arange(-1536, 1536) + 0.5) / 128
    assert np.abs(kernel.SIGMOID - 2**24 / (1 + np.exp(-u))).max() <= 0.51
    assert np.abs(kernel.LOG - np.log(1 + (np.arange(512) + 0.5) / 512)).max() < 1e-5
    for x in (1.0, 0.75, 16777216.0, 12345.6):
        assert abs(kernel._log(x) - np.log(x)) < 0.002


COUNT = """
import sys, hashlib, numpy as np, torch
torch.set_num_threads(int(sys.argv[1]))
from codec import compress, decompress
crop = np.load(sys.argv[2])
for order in ("lattice", "raster"):
  for quick in (False, True):
    data = compress(crop, order=order, budget=12, quick=quick)
    assert np.array_equal(decompress(data), crop)
    print(hashlib.sha256(data).hexdigest())
print(hashlib.sha256(compress(crop[..., 0] * np.uint16(7))).hexdigest())
plain = compress(crop, order="lattice", budget=4, adaptive=False)
assert np.array_equal(decompress(plain), crop)
print(hashlib.sha256(plain).hexdigest())
"""


@pytest.mark.parametrize("environment", [{"NUMBA_DISABLE_JIT": "1"}, {"NUMBA_CPU_NAME": "generic"}, {}], ids=["interpreted", "generic CPU", "this CPU"])
def test_bytes_do_not_depend_on_the_compiler(environment: dict[str, str], photo: np.ndarray, tmp_path: Path) -> None:
    """Interpreted by Python, compiled for any CPU of the architecture, compiled for this one: the same bytes."""
    crop = photo[200:220, 300:325]
    np.save(tmp_path / "crop.npy", crop)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", COUNT, "1", str(tmp_path / "crop.npy")], capture_output=True, text=True, env=os.environ | environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        hashlib.sha256(compress(crop, order=order, budget=12, quick=quick)).hexdigest() for order in ("lattice", "raster") for quick in (False, True)
    ] + [hashlib.sha256(data).hexdigest() for data in (compress(crop[..., 0] * np.uint16(7)), compress(crop, order="lattice", budget=4, adaptive=False))]


def test_bytes_do_not_depend_on_threads(photo: np.ndarray) -> None:
    """One thread codes a pixel's channels in turn; with more, one thread per channel follows the one before. Several tiles go side by side."""
    crop = photo[:320, :384]  # phases of more than two strips
    before = torch.get_num_threads()
    try:
        files = {}
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            files[threads] = [compress(crop, budget=15, order="lattice", tile=tile) for tile in (1024, 192)]
            for data in files[threads]:
                assert np.array_equal(decompress(data), crop)
        torch.set_num_threads(1)
        for data in files[4]:
            assert np.array_equal(decompress(data), crop)
    finally:
        torch.set_num_threads(before)
    assert files[1] == files[2] == files[4]


def test_a_wrong_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    mixing.check_kernel.cache_clear()
    monkeypatch.setattr(mixing, "KERNEL_DIGEST", "0" * 16)
    with pytest.raises(UnsupportedError, match="computes differently"):
        Mixing(3, 100)
    monkeypatch.undo()
    mixing.check_kernel()


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


def test_auto_takes_the_better_order_and_best_the_smaller(photo: np.ndarray) -> None:
    crop = photo[100:356, 200:456]
    text = np.kron(np.random.default_rng(1).integers(0, 2, (86, 86)), np.ones((3, 3)))[:256, :256, None].astype(np.uint8) * np.array([200, 90, 30], np.uint8)
    for image in (crop, text):
        sizes = {order: len(compress(image, order=order)) for order in ("lattice", "raster", "best", "auto")}
        assert sizes["best"] == min(sizes["lattice"], sizes["raster"])
        assert sizes["auto"] <= sizes["best"] * 1.02


def test_raster_streams_survive_any_content() -> None:
    """Words that no encoder wrote decode to something, in bounded time; the file's hash then tells that it is not the image."""
    rng = np.random.default_rng(0)
    plane = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    payload = encode_raster(plane, mixing.RASTER_GRAPHICS)
    for kind in mixing.RASTERS:
        assert np.array_equal(decode_raster(encode_raster(plane, kind), 20, 30, 3), plane)
    assert np.array_equal(decode_raster(payload, 20, 30, 3), plane)
    for _ in range(20):
        junk = payload[:5] + rng.bytes(len(payload) - 5)  # the lengths of the streams kept
        assert decode_raster(junk, 20, 30, 3).shape == (20, 30, 3)
    data = compress(plane[:8, :8], order="raster")
    header, at = container.read(data)
    assert header.entries[0].method in (0, 3)
    with pytest.raises(CorruptError):
        decompress(data[:at] + bytes(len(data) - at))


def bytes_of(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(high, low) bytes, uint8 (h, w, c), of samples of 16 bits."""
    return (samples >> 8).astype(np.uint8), (samples & 255).astype(np.uint8)


def test_low_bytes_are_better_known_with_the_high_ones(photo: np.ndarray) -> None:
    light = (photo.astype(float) / 255) ** 2.2 * 65535  # linear, and the mean of four pixels each: true 16 bits
    samples = ((light[::2, ::2] + light[1::2, ::2] + light[::2, 1::2] + light[1::2, 1::2]) / 4).astype(np.uint16)[100:180, 100:200, :1]
    high, low = bytes_of(samples)
    payload = encode_deep(low, high)
    assert len(payload) < 0.95 * len(encode_raster(low, mixing.RASTER_FULL))
    assert np.array_equal(decode_deep(payload, high), low)


def test_low_bytes_of_any_content() -> None:
    rng = np.random.default_rng(3)
    for shape in ((1, 1, 1), (1, 9, 3), (9, 1, 1), (20, 21, 3)):
        for samples in (np.zeros(shape, np.uint16), rng.integers(0, 2, shape).astype(np.uint16) * 65535, rng.integers(0, 65536, shape).astype(np.uint16)):
            high, low = bytes_of(samples)
            payload = encode_deep(low, high)
            assert np.array_equal(decode_deep(payload, high), low)
            for length in range(0, len(payload), 1 + len(payload) // 20):
                try:
                    decode_deep(payload[:length], high)
                except ArdmError:
                    continue


@pytest.mark.parametrize(("depth", "folded", "index"), [(8, False, 1), (16, True, 1), (16, False, 0)])
def test_low_bytes_stand_where_they_belong(depth: int, folded: bool, index: int) -> None:
    data = compress(np.zeros((8, 8, 2), np.uint16 if depth == 16 else np.uint8), order="lattice")
    header, at = container.read(data)
    entries = [container.Entry(container.METHOD_DEEP if i == index else e.method, e.length, e.crc) for i, e in enumerate(header.entries)]
    forged = container.write(container.Header(**{**header.__dict__, "entries": tuple(entries), "folded": folded}), [data[at:]])
    with pytest.raises(CorruptError, match="low bytes of samples, which it is not"):
        decompress(forged)


def test_learning_fully_is_smaller_and_quickly_is_lossless(photo: np.ndarray) -> None:
    crop = photo[100:356, 200:456]
    full, quick = (encode_raster(crop, kind) for kind in (mixing.RASTER_FULL, mixing.RASTER_QUICK))
    assert len(full) < len(quick) < 1.02 * len(full)
    assert np.array_equal(decode_raster(quick, *crop.shape), crop)
    assert np.array_equal(decode_raster(full, *crop.shape), crop)
    for order in ("lattice", "raster", "best"):
        data = [compress(crop, order=order, quick=quick) for quick in (False, True)]
        assert len(data[0]) < len(data[1]) < 1.02 * len(data[0])
        assert np.array_equal(decompress(data[1]), crop)


@pytest.mark.parametrize("shape", [(8, 1), (1, 8), (40, 1), (5, 4), (1, 1)])
@pytest.mark.parametrize("order", ["lattice", "raster"])
def test_narrow_pictures(order: str, shape: tuple[int, int]) -> None:
    """Eight rows of one pixel could be written but not read: the root's strides passed through np.pad, which made columns of them."""
    image = np.random.default_rng(5).integers(90, 130, (*shape, 3)).astype(np.uint8)
    height, width = shape
    schedule = plan(load_predictor().weights, height, width, 8, None)
    if order == "raster":
        assert np.array_equal(decode_raster(encode_raster(image, mixing.RASTER_FULL), height, width, 3), image)
    elif schedule.root_level(height, width):
        data = encode_lattice(image, load_predictor(), schedule, 1, 1, None, False)
        restored = decode_lattice(data, height, width, 3, load_predictor(), schedule, 1, None, False)
        assert np.array_equal(restored.permute(1, 2, 0).numpy(), image)
    assert np.array_equal(decompress(compress(image, order=order)), image)
