"""What a file says of itself costs neither torch nor Numba (`codec.listing`, `codec.text.header`)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from codec import text
from tests.samples import GOLDEN

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "numba", "PIL")


@pytest.mark.parametrize("kind", ["image", "text"])
def test_listing_loads_nothing_that_takes_long(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file.ardm"
    data = {"image": lambda: (GOLDEN / "budget-1.ardm").read_bytes(), "text": lambda: text.pack(b"short")}
    path.write_bytes(data[kind]())
    script = f"""
import sys
from codec.commands.cli import decompress_main
sys.argv = ["ardm-decompress", "-l", {str(path)!r}]
try:
    decompress_main()
finally:
    print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, encoding="utf-8"
    )
    assert found.returncode == 0
    assert found.stderr.strip() == "[]"
    assert str(path) in found.stdout


def test_reading_a_header_loads_neither() -> None:
    script = f"import sys, codec.container, codec.text; print([m for m in {HEAVY!r} if m in sys.modules])"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, encoding="utf-8"
    )
    assert found.stdout.strip() == "[]"


def test_images_are_coded_without_torch() -> None:
    """Loading it takes longer than a small image."""
    script = """
import sys
import numpy as np
import codec
from codec import archive
from tests import pngs
image = np.random.default_rng(0).integers(0, 30, (40, 40, 3)).astype(np.uint8)
for options in ({}, {"plain": True}, {"order": "lattice", "budget": 5}, {"threads": 2, "tile": 16}):
    assert np.array_equal(codec.decompress(codec.compress(image, **options)), image), options
assert codec.open(codec.compress(image)).preview(16).size
source = pngs.png_of(pngs.pixels_of(2, 8, 20, 30), 2, 8)
for exactly in (False, True):
    archive.unpack(archive.pack(source, exactly=exactly).data)
assert codec.decompress_batch([codec.compress(image), codec.compress(image[..., 0])])
print("torch" in sys.modules)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
