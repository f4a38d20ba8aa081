"""Bit-exactness: every carrier, instruction set, thread count and batch size gives the same integers and the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ardm import integer, weights
from ardm.network import LatticeNet, NetworkConfig
from ardm.predict import NetworkPredictor
from codec import compress, decompress

CARRIERS = [integer.ReferenceCarrier, integer.FloatCarrier, integer.OneDnnCarrier]


@pytest.fixture(scope="module")
def crop(photo: np.ndarray) -> np.ndarray:
    return photo[200:251, 300:361].copy()  # odd sides: partial patches everywhere


def test_shift_round_rounds_half_to_even() -> None:
    x = np.array([-7, -6, -5, -3, -2, -1, 0, 1, 2, 3, 5, 6, 7, 2**23 + 1])
    for shift in range(1, 6):
        assert integer.shift_round(x, np.int64(shift)).tolist() == np.round(x / 2**shift).astype(int).tolist()
    assert integer.shift_round(x, np.int64(-2)).tolist() == (x * 4).tolist()


@pytest.mark.parametrize("kind", CARRIERS[1:])
def test_carrier_agrees_with_the_reference(kind: type[integer.Carrier]) -> None:
    assert integer.layers_agree(kind(weights.load()), weights.load())


@pytest.mark.parametrize("config", [NetworkConfig(32, 2), NetworkConfig(16, 2, groups=4, expand=2, mixture=2), NetworkConfig(64, 1)])
def test_carriers_agree_on_random_networks_with_extreme_weights(config: NetworkConfig) -> None:
    torch.manual_seed(0)
    net = LatticeNet(config)
    with torch.no_grad():
        for p in net.parameters():  # nearly all weights at +-63: the worst case for saturating 16-bit pair sums
            p.copy_(torch.sign(torch.randn_like(p)) * (0.24 + 0.01 * torch.rand_like(p)))
        net.cond_out.weight.mul_(0.1)
    for _, buffer in net.named_buffers():
        if buffer.dim() == 0:
            buffer.fill_(1.0)
    tensors, exponents = weights.to_integers(net)
    extreme = weights.parse(weights.serialize(config, tensors, exponents, {}))
    for kind in CARRIERS[1:]:
        assert integer.layers_agree(kind(extreme), extreme), kind.__name__


def test_a_wrong_carrier_is_found_out() -> None:
    class Wrong(integer.FloatCarrier):
        def layer(self, name, x, cond, residual):  # type: ignore[no-untyped-def]
            y = super().layer(name, x, cond, residual)
            return torch.where(y == 255, 254.0, y) if name == "project.0" else y

    assert not integer.layers_agree(Wrong(weights.load()), weights.load())


def test_bytes_do_not_depend_on_the_carrier(crop: np.ndarray) -> None:
    predictors = {kind.__name__: NetworkPredictor(weights.load(), carrier=kind(weights.load())) for kind in CARRIERS}
    files = {name: compress(crop, budget=12, order="lattice", predictor=predictor) for name, predictor in predictors.items()}
    assert len(set(files.values())) == 1
    for predictor in predictors.values():
        assert np.array_equal(decompress(files["FloatCarrier"], predictor=predictor), crop)


@pytest.mark.parametrize("batch", [1, 3, 8, 60])
@pytest.mark.parametrize("seed", [None, 5])
def test_bytes_do_not_depend_on_how_the_encoder_batches(crop: np.ndarray, batch: int, seed: int | None) -> None:
    assert compress(crop, budget=20, order="lattice", seed=seed, batch=batch) == compress(crop, budget=20, order="lattice", seed=seed)


def test_tiles_are_coded_independently_of_order_and_of_each_other(photo: np.ndarray) -> None:
    from codec import container

    two = np.concatenate([photo[:32, :40], photo[100:132, :40]])
    swapped = np.concatenate([photo[100:132, :40], photo[:32, :40]])
    parts = []
    for array in (two, swapped):
        data = compress(array, budget=12, order="lattice", tile=32)
        header, at = container.read(data)
        lengths = [e.length for e in header.entries]
        parts.append([data[at + sum(lengths[:i]) : at + sum(lengths[: i + 1])] for i in range(len(lengths))])
    assert parts[0][:2] == parts[1][2:]
    assert parts[0][2:] == parts[1][:2]


SCRIPT = """
import sys, hashlib, numpy as np, torch
torch.set_num_threads(int(sys.argv[1]))
from codec import compress, decompress
crop = np.load(sys.argv[2])
data = compress(crop, budget=12, order="lattice")
assert np.array_equal(decompress(open(sys.argv[3], "rb").read()), crop)
from ardm.integer import choose_carrier
from ardm.weights import load
print(hashlib.sha256(data).hexdigest(), choose_carrier(load()).name)
"""


# oneDNN's names, and what PyTorch's own kernels and MKL call the nearest of their sets.
ATEN_AND_MKL = {"SSE41": ("default", "SSE4_2", "COMPATIBLE"), "AVX2": ("avx2", "AVX2", "AVX2")}


@pytest.mark.parametrize(("isa", "threads"), [("AVX2", 1), ("AVX2", 2), ("AVX512_CORE", 2), ("AVX512_CORE_VNNI", 4), ("SSE41", 1), ("ALL", 1), ("ALL", 4)])
def test_bytes_do_not_depend_on_instruction_set_or_threads(isa: str, threads: int, crop: np.ndarray, tmp_path: Path) -> None:
    expected = compress(crop, budget=12, order="lattice")
    np.save(tmp_path / "crop.npy", crop)
    (tmp_path / "crop.ardm").write_bytes(expected)
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": isa}
    if isa in ATEN_AND_MKL:
        environment |= dict(zip(("ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR"), ATEN_AND_MKL[isa], strict=True))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(threads), str(tmp_path / "crop.npy"), str(tmp_path / "crop.ardm")],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == hashlib.sha256(expected).hexdigest()


def test_weights_of_the_package_keep_their_bounds_and_their_name() -> None:
    shipped = weights.load()
    weights.check_bounds(shipped.config, shipped.tensors)
    assert shipped.id == weights.DEFAULT_ID
    assert (weights.FOLDER / f"photo-{shipped.id}.safetensors").stat().st_size <= 5_000_000


def test_bounds_are_checked() -> None:
    shipped = weights.load()
    tensors = dict(shipped.tensors)
    tensors["spatial.0.weight"] = np.full_like(tensors["spatial.0.weight"], 127)
    with pytest.raises(weights.WeightsError, match=r"must lie in -63\.\.63"):
        weights.check_bounds(shipped.config, tensors)
    tensors = dict(shipped.tensors) | {"enter.bias": np.full_like(shipped.tensors["enter.bias"], 2**24)}
    with pytest.raises(weights.WeightsError, match="may reach"):
        weights.check_bounds(shipped.config, tensors)
    with pytest.raises(weights.WeightsError, match="not an ardm weights file"):
        weights.parse(b"something else")
    with pytest.raises(weights.WeightsError, match="not part of this release"):
        weights.load("0123456789abcdef")
