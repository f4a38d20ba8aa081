"""Bit-exactness: every instruction set and thread count gives the same integers and bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codec import compress, container, text
from tests.processes import ROOT

PROSE = b"The old man sat by the river and wept; it was his own fault, he said, and nobody else had ever come there in the morning."


@pytest.fixture(scope="module")
def crop(photo: np.ndarray) -> np.ndarray:
    return photo[200:219, 300:323].copy()  # odd sides


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
for data in (compress(crop), compress(crop, budget=12, order="lattice", plain=True), text.pack(PROSE, order="cells", budget=6, verify=False)):
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
    expected = [compress(crop), lattice, text.pack(PROSE, order="cells", budget=6, verify=False)]
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
