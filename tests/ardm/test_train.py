"""The trainer and the exporter of the photo network, for real but small: learns, resumes exactly, quantises,
exports.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from ardm.exact import window
from ardm.exact.predictor import Predictor
from ardm.training import examples, export, photos
from ardm.training.examples import collect, image_runs, training_batch
from ardm.training.photos import Pool
from ardm.training.recipe import TrainingRecipe
from ardm.training.run import load_tensors
from ardm.training.windows import WindowRun
from ardm.window import WindowConfig, offsets
from codec import compress, decompress
from codec.coder.conversions import CONVERSIONS, to_rgb

SMALL = ["radius=2", "width=16", "depth=1", "mixture=2", "pixels=512", "warmup=5"]


def settings(*items: str) -> list[str]:
    return [part for item in (*SMALL, *items) for part in ("--set", item)]


@pytest.fixture(scope="module")
def folder(photo: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos")
    for i in range(4):
        (path / f"source{i}").mkdir()
        Image.fromarray(photo[:384, 90 * i : 90 * i + 384]).save(path / f"source{i}" / "a.png")
    return path


def train(folder: Path, out: Path, *items: str, more: tuple[str, ...] = ()) -> None:
    arguments = [
        str(folder),
        "--out",
        str(out),
        "--held-out",
        "1",
        "--device",
        "cpu",
        "--no-compile",
        *settings(*items),
        *more,
    ]
    done = CliRunner().invoke(photos.main, arguments)
    assert done.exit_code == 0, (done.output, done.exception)


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    train(folder, out, "steps=40", "quantize_from=0.5", "decay_from=0.5")
    return out


def test_training_learns_and_ends_quantised(trained: Path) -> None:
    (line,) = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert line["step"] == 40
    assert line["quantized"]
    assert line["raster"] < 6.5
    assert line["lattice"] < 6.5
    assert line["bound"] < 7


def test_a_run_resumes_exactly(folder: Path, tmp_path: Path) -> None:
    """Stopped and resumed, once before and once after quantisation, or in one go: the same tensors,
    optimisers' included.
    """
    ways = ("quantize_from=0.5", "decay_from=2", "augment=1")
    train(folder, tmp_path / "whole", "steps=9", *ways)
    for limit in ("2", "6", "9"):
        run = WindowRun.update
        left = [int(limit)]

        def update(self, loss, left=left, run=run):  # type: ignore[no-untyped-def]
            if self.step == left[0]:
                raise KeyboardInterrupt
            return run(self, loss)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(WindowRun, "update", update)
            resume(folder, tmp_path / "parts", "steps=9", *ways)
    whole, parts = (load_tensors(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "parts"))
    assert whole[1]["step"] == parts[1]["step"] == 9
    assert whole[0].keys() == parts[0].keys()
    assert any(name.startswith("optimizer.") for name in whole[0])
    for name, value in whole[0].items():
        assert torch.equal(value, parts[0][name]), name


@pytest.mark.parametrize("larger", [{"depth": 3}, {"width": 24}, {"depth": 3, "width": 24}])
def test_what_is_new_changes_nothing_at_first(
    trained: Path, folder: Path, tmp_path: Path, larger: dict[str, int]
) -> None:
    """A run that begins with a smaller network's checkpoint begins with what that computes."""
    start = trained / "checkpoint.safetensors"
    shape = [word for name, value in larger.items() for word in ("--set", f"{name}={value}")]
    more = ("--start", str(start), *shape, "--set", "rate=0", "--set", "decay_from=2")
    train(folder, tmp_path, "steps=1", "minutes=0", "quantize_from=2", more=more)
    grown, about = export.load_average(tmp_path / "checkpoint.safetensors")
    small, _ = export.load_average(start)
    small.quantized = False
    batch = training_batch(np.zeros((1, 64, 64, 3), np.uint8), TrainingRecipe(small.config, pixels=512), 0)
    assert (grown.config, about["step"]) == (replace(small.config, **larger), 1)
    assert torch.allclose(grown(batch.views), small(batch.views), atol=1e-4)


def test_a_network_is_not_made_narrower(trained: Path, folder: Path, tmp_path: Path) -> None:
    start = str(trained / "checkpoint.safetensors")
    given = [str(folder), "--out", str(tmp_path), "--held-out", "1", "--start", start, "--set", "width=8"]
    done = CliRunner().invoke(photos.main, given)
    assert done.exit_code == 1
    assert "checkpoint.safetensors is of another network: " in done.output


def resume(folder: Path, out: Path, *items: str) -> None:
    """Go on until the run is interrupted, as by a signal, and save what there is; or to its end."""
    save, kept = WindowRun.save, []

    def remember(self, *given):  # type: ignore[no-untyped-def]
        kept.append(self)
        return given and None

    restore = WindowRun.__init__

    def start(self, *given, **named):  # type: ignore[no-untyped-def]
        restore(self, *given, **named)
        remember(self)

    arguments = [
        str(folder),
        "--out",
        str(out),
        "--held-out",
        "1",
        "--device",
        "cpu",
        "--no-compile",
        *settings(*items),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WindowRun, "__init__", start)
        done = CliRunner().invoke(photos.main, arguments)
    if done.exit_code:
        assert done.exit_code == 1, (done.output, done.exception)
        save(kept[0], out / "checkpoint.safetensors")


def test_the_pool_depends_on_seed_and_step_only(photo: np.ndarray) -> None:
    crops = np.stack([photo[: photos.CROP, 100 * i : 100 * i + photos.CROP] for i in range(3)])
    recipe = TrainingRecipe(augment=1.0)
    pool = Pool(crops, recipe, 0)
    for step in range(1, 8):
        pool.advance(step)
        assert np.array_equal(pool.pixels, Pool(crops, recipe, step).pixels)
    assert not np.array_equal(pool.pixels, crops)
    assert np.array_equal(pool.source, crops)
    assert not np.array_equal(pool.pixels, Pool(crops, TrainingRecipe(augment=1.0, seed=2), 7).pixels)
    assert np.array_equal(Pool(crops, TrainingRecipe(augment=0.0), 7).pixels, crops)
    as_they_are = TrainingRecipe(augment=0.0, converted=0.0)
    converted = replace(as_they_are, converted=1.0)
    for step in range(8):
        assert np.array_equal(Pool(crops, as_they_are, step).pixels, crops)
    assert not np.array_equal(Pool(crops, converted, 7).pixels, crops)
    grey = Pool(crops, replace(as_they_are, grey=1.0), 7).pixels
    renewed = (grey != crops).any((1, 2, 3))
    assert renewed.any()
    assert (grey[renewed] == grey[renewed][..., :1]).all()
    assert np.abs(grey[renewed][..., 0] - crops[renewed] @ photos.LUMA).max() <= 0.51


def test_luma_and_differences_are_what_the_codec_codes(photo: np.ndarray) -> None:
    """Nearly: of the conversion of JPEG, where no colour is clipped, and chroma is whole."""
    crop = photo[:200, :200] // 2 + 50
    planes = np.stack([crop[..., 1]] * 3, 2)
    for seed in range(8):
        grey = photos.as_luma(planes, np.random.default_rng(seed))
        assert (grey == grey[..., :1]).all()
    seeds = (s for s in range(99) if (np.random.default_rng(s).random(2) > 0.6).all())
    luma = photos.as_luma(crop, np.random.default_rng(next(seeds)))
    back = to_rgb(CONVERSIONS[0], luma)
    assert np.abs(back.astype(int) - crop).max() <= 2


def test_blocks_that_are_left_out(trained: Path, folder: Path, tmp_path: Path) -> None:
    """A run that begins with a larger network's checkpoint begins with its first blocks."""
    start = trained
    for depth in (3, 1):
        path = start / "checkpoint.safetensors"
        more = ("--start", str(path), "--set", f"depth={depth}", "--set", "rate=0", "--set", "decay_from=2")
        start = tmp_path / str(depth)
        train(folder, start, "steps=1", "minutes=0", "quantize_from=2", more=more)
    small, _ = export.load_average(start / "checkpoint.safetensors")
    before, _ = export.load_average(trained / "checkpoint.safetensors")
    assert small.config == before.config
    for one, other in zip(small.parameters(), before.parameters(), strict=True):
        assert torch.equal(one, other)


def test_batches_depend_on_seed_and_step_only(photo: np.ndarray) -> None:
    crops = photo[None, : photos.CROP, : photos.CROP]
    recipe = TrainingRecipe(network=WindowConfig(3, 16, 1, 2), pixels=1024)
    one, two = (training_batch(crops, recipe, 5) for _ in range(2))
    others = [
        training_batch(crops, recipe, 6),
        training_batch(crops, TrainingRecipe(network=recipe.network, pixels=1024, seed=2), 5),
    ]
    assert torch.equal(one.pixel, two.pixel)
    assert torch.equal(one.base, two.base)
    for first, second in zip(one.views, two.views, strict=True):
        for field in ("columns", "values", "odd", "missing"):
            assert torch.equal(getattr(first, field), getattr(second, field))
    assert len(one.views) == 1 + examples.GROUPS + 1  # raster order, prefixes of the lattice, random sets
    assert 0.4 * 1024 < len(one.pixel) <= 1024
    assert all(
        other.pixel.shape != one.pixel.shape or not torch.equal(other.pixel, one.pixel) for other in others
    )


def test_small_pictures_and_diagonals(photo: np.ndarray) -> None:
    """Pictures of 32 x 32 that are mirrored only: every window is one of the picture's or its mirror image's."""
    picture = np.ascontiguousarray(photo[:32, :32])
    network = WindowConfig(2, 16, 1, 2)
    recipe = TrainingRecipe(network, pixels=512, raster=0, lattice=0, diagonal=1, turned=False)
    batch = training_batch(picture[None], recipe, 3)
    (views,) = batch.views
    pattern = [offsets(2)[i] for i in views.columns]
    assert all(dx + 2 * dy < 0 for dy, dx in pattern)
    assert len(batch.pixel) == 512
    seen = set()
    for image in (picture, picture[:, ::-1]):
        whole = collect(
            image.copy(), image_runs(32, 32), views.columns.numpy(), 2, 0, np.zeros(32, np.float32), 0
        )
        seen |= {(*v, *p) for v, p in zip(whole[0].values.tolist(), whole[2].tolist(), strict=True)}
    found = {(*v, *p) for v, p in zip(views.values.tolist(), batch.pixel.tolist(), strict=True)}
    assert found <= seen
    everything = TrainingRecipe(network, pixels=1024, turned=False)
    assert len(training_batch(picture[None], everything, 1).views) == 1 + examples.GROUPS + 1


def test_export_follows_the_simulation(trained: Path, folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        export.main,
        [
            str(trained / "checkpoint.safetensors"),
            str(folder),
            "--held-out",
            "1",
            "--out",
            str(tmp_path),
            "--note",
            "here",
        ],
    )
    assert done.exit_code == 0, (done.output, done.exception)
    report = json.loads(done.output)
    assert report["integer"]["raster"] == pytest.approx(report["float"]["raster"], rel=0.03)
    exported = window.parse(Path(report["path"]).read_bytes())
    assert exported.id == report["id"]
    assert Path(report["path"]).name == f"photo-{exported.id}.safetensors"
    assert exported.provenance["note"] == "here"
    table = exported.tensors["bits"]
    assert table.shape == (window.LEVELS, 15, 15)
    assert (table[0] > 0).sum() == 120
    assert np.array_equal(table, np.triu(table))
    image = np.asarray(Image.open(folder / "source0" / "a.png"))[:50, :60]
    predictor = Predictor(exported)
    for way in ({}, {"plain": True}, {"budget": 9}):
        data = compress(image, predictor=predictor, **way)  # type: ignore[arg-type]
        assert np.array_equal(decompress(data, predictor=predictor), image)
    spent = 8 * len(compress(image, predictor=predictor, plain=True, verify=False)) / image.size
    assert spent == pytest.approx(float(exported.tensors["raster_bits"][0]), rel=0.3)


def test_images_and_their_sources_are_listed(folder: Path, tmp_path: Path) -> None:
    found = photos.list_images(folder)
    assert [(path.name, source) for path, source in found] == [("a.png", f"source{i}") for i in range(4)]
    for name in ("one.png", "two.jpg", "readme.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "INDEX.tsv").write_text("file\tsource\none.png\tsomewhere\n")
    assert [(path.name, source) for path, source in photos.list_images(tmp_path)] == [
        ("one.png", "somewhere"),
        ("two.jpg", tmp_path.name),
    ]


def test_whole_sources_are_held_out() -> None:
    images = [(Path(f"{s}{i}.png"), s) for s in "abcdef" for i in range(10)]
    kept, held = photos.split_sources(images, 25)
    assert len(held) == 20
    assert {p.name[0] for p in kept}.isdisjoint({p.name[0] for p in held})
    assert photos.split_sources(images[::-1], 25)[1][::-1] == held  # whatever order they are listed in


@pytest.mark.parametrize("value", [{"width": 0}, {"depth": -1}, {"radius": 1.5}, {"mixture": None}])
def test_bad_dials_are_refused(value: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="got"):
        WindowConfig(**value)


def test_wrong_usage(tmp_path: Path) -> None:
    done = CliRunner().invoke(photos.main, [str(tmp_path), "--set", "wisdom=3"])
    assert done.exit_code == 2
    assert "no such field" in done.output
    done = CliRunner().invoke(photos.main, [str(tmp_path), "--out", str(tmp_path / "out"), "--device", "cpu"])
    assert "no images found" in done.output
