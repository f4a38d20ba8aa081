"""Bit-exactness: every carrier of the networks for discrete data, instruction set and thread count gives the
same integers and bytes.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ardm.discrete import Space
from ardm.exact import carriers, weights
from ardm.networks import Config, Exact, build
from codec import compress, container, text
from tests.processes import ROOT

CARRIERS = [carriers.ReferenceCarrier, carriers.FloatCarrier, carriers.OneDnnCarrier]
PROSE = b"The old man sat by the river and wept; it was his own fault, he said, and nobody else had ever come there in the morning."


@pytest.fixture(scope="module")
def crop(photo: np.ndarray) -> np.ndarray:
    return photo[200:219, 300:323].copy()  # odd sides


def test_shift_round_rounds_half_to_even() -> None:
    x = np.array([-7, -6, -5, -3, -2, -1, 0, 1, 2, 3, 5, 6, 7, 2**23 + 1])
    for shift in range(1, 6):
        assert (
            carriers.shift_round(x, np.int64(shift)).tolist() == np.round(x / 2**shift).astype(int).tolist()
        )
    assert carriers.shift_round(x, np.int64(-2)).tolist() == (x * 4).tolist()


@pytest.mark.parametrize("kind", CARRIERS[1:])
def test_carrier_agrees_with_the_reference(kind: type[carriers.Carrier]) -> None:
    assert carriers.layers_agree(kind(weights.load()), weights.load())


EXTREMES = [
    (Space((3, 12, 8), 16), Config("lattice", width=32, blocks=2, patch=4)),
    (
        Space((3, 8, 8), 256, likelihood="logistics", mixture=2),
        Config("lattice", width=16, blocks=2, patch=2),
    ),
    (Space((64,), 27, ordered=False), Config("lattice", width=64, blocks=1)),
]


@pytest.mark.parametrize(("space", "config"), EXTREMES)
def test_carriers_agree_on_random_networks_with_extreme_weights(space: Space, config: Config) -> None:
    torch.manual_seed(0)
    net = build(config, space)
    assert isinstance(net, Exact)
    with torch.no_grad():
        # nearly all weights at +-63: the worst case for saturating 16-bit pair sums
        for p in net.parameters():
            p.copy_(torch.sign(torch.randn_like(p)) * (0.24 + 0.01 * torch.rand_like(p)))
        net.body.cond_out.weight.mul_(0.1)
    for _, buffer in net.named_buffers():
        if buffer.dim() == 0:
            buffer.fill_(1.0)
    tensors, exponents = weights.to_integers(net)
    extreme = weights.parse(weights.serialize(net.model, tensors, exponents, {}))
    for kind in CARRIERS[1:]:
        assert carriers.layers_agree(kind(extreme), extreme), kind.__name__


def test_a_wrong_carrier_is_found_out() -> None:
    class Wrong(carriers.FloatCarrier):
        def layer(self, name, x, cond, residual):  # type: ignore[no-untyped-def]
            y = super().layer(name, x, cond, residual)
            return torch.where(y == 255, 254.0, y) if name == "project.0" else y

    assert not carriers.layers_agree(Wrong(weights.load()), weights.load())


def test_bytes_do_not_depend_on_the_carrier(monkeypatch: pytest.MonkeyPatch) -> None:
    from ardm.exact import discrete_predictor

    carriers = {kind.__name__: kind(weights.load()) for kind in CARRIERS}
    files = {}
    for name, carrier in carriers.items():
        monkeypatch.setattr(
            discrete_predictor, "choose_carrier", lambda weights, device, carrier=carrier: carrier
        )
        files[name] = text.pack(PROSE, order="rows", budget=6, verify=False)
        assert text.unpack(files["ReferenceCarrier"]) == PROSE
    assert len(set(files.values())) == 1
    assert text.info(files["FloatCarrier"])["network_calls"] == 6


def test_tiles_are_coded_independently_of_order_and_of_each_other(photo: np.ndarray) -> None:
    two = np.concatenate([photo[:32, :40], photo[100:132, :40]])
    swapped = np.concatenate([photo[100:132, :40], photo[:32, :40]])
    for way in ({}, {"plain": True}, {"order": "lattice", "budget": 12}):
        parts = []
        for array in (two, swapped):
            data = compress(array, tile=32, **way)  # type: ignore[arg-type]
            header, at = container.read(data)
            lengths = [e.length for e in header.entries]
            parts.append(
                [data[at + sum(lengths[:i]) : at + sum(lengths[: i + 1])] for i in range(len(lengths))]
            )
        assert len(parts[0]) == 4
        assert parts[0][:2] == parts[1][2:]
        assert parts[0][2:] == parts[1][:2]


SCRIPT = """
import sys, hashlib, numpy as np, torch
torch.set_num_threads(int(sys.argv[1]))
from codec import compress, decompress, text
from tests.ardm.test_integer import PROSE
crop, folder = np.load(sys.argv[2] + "/crop.npy"), sys.argv[2]
assert np.array_equal(decompress(open(folder + "/crop.ardm", "rb").read()), crop)
assert text.unpack(open(folder + "/text.ardm", "rb").read()) == PROSE
for data in (compress(crop), compress(crop, budget=12, order="lattice", plain=True), text.pack(PROSE, order="rows", budget=6, verify=False)):
    print(hashlib.sha256(data).hexdigest())
"""


# oneDNN's names, and what PyTorch's own kernels and MKL call the nearest of their sets.
ATEN_AND_MKL = {"SSE41": ("default", "SSE4_2", "COMPATIBLE"), "AVX2": ("avx2", "AVX2", "AVX2")}


@pytest.mark.parametrize(
    ("isa", "threads"), [("AVX2", 1), ("AVX512_CORE", 2), ("AVX512_CORE_VNNI", 4), ("SSE41", 1), ("ALL", 4)]
)
def test_bytes_do_not_depend_on_instruction_set_or_threads(
    isa: str, threads: int, crop: np.ndarray, tmp_path: Path
) -> None:
    lattice = compress(crop, budget=12, order="lattice", plain=True)
    expected = [compress(crop), lattice, text.pack(PROSE, order="rows", budget=6, verify=False)]
    np.save(tmp_path / "crop.npy", crop)
    (tmp_path / "crop.ardm").write_bytes(lattice)
    (tmp_path / "text.ardm").write_bytes(expected[2])
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": isa, "PYTHONPATH": str(ROOT)}
    if isa in ATEN_AND_MKL:
        environment |= dict(
            zip(
                ("ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR"), ATEN_AND_MKL[isa], strict=True
            )
        )
    command = [sys.executable, "-c", SCRIPT, str(threads), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [hashlib.sha256(data).hexdigest() for data in expected]


def test_weights_of_the_package_keep_their_bounds_and_their_name() -> None:
    shipped = weights.load()
    weights.check_bounds(shipped.model, shipped.tensors)
    assert shipped.id == weights.TEXT_ID
    (path,) = weights.FOLDER.glob(f"*-{shipped.id}.safetensors")
    assert path.stat().st_size <= 5_000_000


def test_bounds_are_checked() -> None:
    shipped = weights.load()
    tensors = dict(shipped.tensors)
    tensors["spatial.0.weight"] = np.full_like(tensors["spatial.0.weight"], 127)
    with pytest.raises(weights.WeightsError, match=r"must lie in -63\.\.63"):
        weights.check_bounds(shipped.model, tensors)
    tensors = dict(shipped.tensors) | {"enter.bias": np.full_like(shipped.tensors["enter.bias"], 2**24)}
    with pytest.raises(weights.WeightsError, match="may reach"):
        weights.check_bounds(shipped.model, tensors)
    with pytest.raises(weights.WeightsError, match="not an ardm weights file"):
        weights.parse(b"something else")
    with pytest.raises(weights.WeightsError, match="not part of this release"):
        weights.load("0123456789abcdef")
