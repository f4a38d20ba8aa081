"""Small pictures by the window network: orders of calls, the plan for a budget, and benchmarks/small.py on a few
invented images.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from ardm.calls import OrderBits, Plan, best, diagonals, lattice, random_pixels
from ardm.exact.predictor import Predictor, new_canvas
from ardm.training.recipe import TrainingRecipe
from ardm.window import WindowConfig
from benchmarks import small, soda
from codec.coder.pictures import code_picture
from codec.coder.plain import new_coder
from codec.coder.selftest import synthetic_weights
from codec.errors import CorruptError
from tests.ardm.test_cifar10 import data

__all__ = ["data"]

MEASURED = OrderBits(
    np.triu(np.linspace(5, 3, 15)[None, :, None] + np.linspace(0, 0.5, 15)[None, None, :]).repeat(2, 0),
    np.array([3.6, 3.5, 3.45]),
    7 * np.exp(-np.linspace(0, 1, 9)),
)


@pytest.mark.parametrize("shape", [(32, 32), (5, 9), (1, 1), (16, 3)])
@pytest.mark.parametrize(
    "plan", [("diagonals", (2,)), ("diagonals", (32,)), ("lattice", (0b101, 0)), ("random", (7, 0, 1))]
)
def test_every_pixel_is_coded_once(shape: tuple[int, int], plan: tuple[str, tuple[int, ...]]) -> None:
    calls = Plan(*plan).calls(*shape)
    coded = Counter((y * stride, x * stride) for stride, where in calls for y, x in where.tolist())
    assert set(coded) == set(np.ndindex(*shape))
    assert set(coded.values()) == {1}


def test_diagonals_and_levels_take_the_calls_that_they_should() -> None:
    assert len(diagonals(32, 32, 2)) == 32 + 2 * 31
    assert len(diagonals(32, 32, 32)) == 1024
    calls = lattice(32, 32, ((1 << 14) - 1, 0))
    assert [call.stride for call in calls] == [16, 4] + [1] * 15
    assert [len(call.where) for call in calls] == [4, 60] + [64] * 15


def test_random_orders_differ_by_seed_and_stay_the_same() -> None:
    one = random_pixels(3, 4, 1)
    assert one.tolist() != random_pixels(3, 4, 2).tolist()
    assert one[:4].tolist() == [[2, 1], [0, 2], [1, 0], [1, 3]]


def test_the_best_order_is_within_the_budget_and_more_calls_are_no_worse() -> None:
    plans = [best(MEASURED, 32, 32, budget) for budget in (1, 2, 3, 10, 40, 63, 94, 125, 1024)]
    for plan, budget in zip(plans, (1, 2, 3, 10, 40, 63, 94, 125, 1024), strict=True):
        assert len(plan.calls(32, 32)) <= budget
    bits = [plan.bits for plan in plans]
    assert bits == sorted(bits, reverse=True)
    assert (plans[0].name, plans[-1]) == ("random", Plan("diagonals", (3,), 3.45))
    assert plans[3].name == "lattice"
    with pytest.raises(ValueError, match="at least 1"):
        best(MEASURED, 32, 32, 0)


@pytest.mark.parametrize("plan", [best(MEASURED, 13, 21, budget) for budget in (1, 5, 20, 100)])
def test_pictures_come_back(plan: Plan, photo: np.ndarray) -> None:
    """In every order; and each call sees no more than what is known."""
    predictor, picture = Predictor(synthetic_weights()), np.ascontiguousarray(photo[:13, :21])
    calls, coder = plan.calls(13, 21), new_coder(None)
    assert np.array_equal(code_picture(coder, predictor, calls, new_canvas(13, 21), picture), picture)
    again = code_picture(new_coder(coder.finish()), predictor, calls, new_canvas(13, 21))
    assert np.array_equal(again, picture)


def test_train_export_and_files(data: Path, tmp_path: Path) -> None:
    """From nothing to files that another process restores; whatever is damaged is refused."""
    dials = ("radius=2", "width=16", "depth=1", "mixture=2", "pixels=512", "warmup=5", "steps=8")
    settings = [part for dial in (*dials, "quantize_from=0.5") for part in ("--set", dial)]
    invoke("train", data, "--out", tmp_path, "--device", "cpu", "--no-compile", *settings)
    checkpoint = tmp_path / "checkpoint.safetensors"
    weights = Path(invoke("export", checkpoint, data, "--out", tmp_path)["path"])
    found = invoke("nll", checkpoint, weights, data, "--images", 8, "--coded", 2)
    assert 2 < found["bound"]["mean"] < 9
    assert all(2 < row["mean"] < 9 for row in found["rows"])
    found = invoke("files", weights, data, tmp_path / "files", "--calls", "20,100", "--images", 9)
    assert all(row["lossless"] == 9 for row in found["rows"])
    done = CliRunner().invoke(
        soda.main, [str(data), str(checkpoint), "--minutes", "0.002"], catch_exceptions=False
    )
    found = json.loads(done.output.splitlines()[-1])
    assert found["code_bits"] == pytest.approx(32 / 3072, abs=1e-4)
    assert 2 < found["with"]["own"] < 9
    codec = small.ImageCodec(weights, tmp_path / "files" / "orders.json")
    good = (tmp_path / "files" / "0" / "00000.c10").read_bytes()
    for bad in (good[:7], b"X" + good[1:], good[:4] + b"\t" + good[5:], good[:-1], good[:-40] + bytes(40)):
        with pytest.raises((click.ClickException, CorruptError)):
            codec.decode(bad)


def invoke(*arguments: object) -> dict:
    result = CliRunner().invoke(small.main, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.output.splitlines()[-1]) if arguments[0] != "train" else {}


def test_a_batch_of_numbered_pictures_tells_whose_its_pixels_are(data: Path) -> None:
    images = small.pictures(data, "train")
    recipe = TrainingRecipe(WindowConfig(2, 16, 1, 2), pixels=512, turned=False)
    batch, some, which = soda.drawn(images, soda.numbered(len(images)), recipe, 3)
    for pixel, picture in zip(batch.pixel.tolist(), some[which].tolist(), strict=True):
        assert [int(v) for v in pixel] in [p for row in picture for p in row]
