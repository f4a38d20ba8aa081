"""The trainer and the exporter, for real but small: learns, resumes, quantises, exports; the integers follow the simulation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ardm.stages import base_image
from click.testing import CliRunner
from PIL import Image

from ardm import export, train, weights
from ardm.network import LatticeNet, NetworkConfig
from ardm.predict import Call, NetworkPredictor
from codec import compress, decompress

SMALL = ["--set", "per_slice=1", "--set", "crop=32", "--set", "width=16", "--set", "blocks=1", "--set", "mixture=2", "--set", "quantize_from=0.5"]


@pytest.fixture(scope="module")
def folder(photo: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos")
    for i in range(4):
        (path / f"source{i}").mkdir()
        Image.fromarray(photo[:384, 90 * i : 90 * i + 384]).save(path / f"source{i}" / "a.png")
    return path


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    arguments = [str(folder), "--out", str(out), "--steps", "60", "--held-out", "1", "--device", "cpu", *SMALL]
    first = CliRunner().invoke(train.main, [*arguments, "--limit", "0.02"])
    assert first.exit_code == 0, first.output
    second = CliRunner().invoke(train.main, arguments)
    assert second.exit_code == 0, second.output
    return out


def test_training_resumes_learns_and_ends_quantised(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert 0 < lines[0]["step"] < 60
    assert lines[-1]["step"] == 60
    assert lines[-1]["quantized"]
    assert lines[-1]["whole"] < 6.5


def test_export_follows_the_simulation(trained: Path, folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(export.main, [str(trained / "average.safetensors"), str(folder), "--held-out", "1", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert report["integer"]["level0"] == pytest.approx(report["simulated"]["level0"], rel=0.005)
    exported = weights.parse(Path(report["path"]).read_bytes())
    assert exported.id in report["path"]
    table = exported.tensors["bits"]
    assert table.shape == (4, 15, 15)
    assert (np.triu(table[0]) > 0).sum() == 120
    image = np.asarray(Image.open(folder / "source0" / "a.png"))[:50, :60]
    predictor = NetworkPredictor(exported)
    assert np.array_equal(decompress(compress(image, budget=9, order="lattice", predictor=predictor), predictor=predictor), image)


def test_whole_sources_are_held_out() -> None:
    images = [(Path(f"{s}{i}.png"), s) for s in "abcdef" for i in range(10)]
    kept, held = train.split_sources(images, 25)
    assert len(held) == 20
    assert {p.name[0] for p in kept}.isdisjoint({p.name[0] for p in held})


@pytest.mark.parametrize("value", [{"width": 0}, {"blocks": -1}, {"groups": 5}])
def test_bad_dials_are_refused(value: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="got"):
        NetworkConfig(**value)


def test_training_and_inference_see_the_same_tokens(photo: np.ndarray) -> None:
    """The float batch of the trainer and the call of the codec must be the same integers, for every prefix of the order."""
    from ardm.stages import LEVEL_ZERO, MASK_ON, condition, tokens

    from ardm.orders import LATTICE_ORDER

    image = torch.from_numpy(photo[40:83, 50:99].copy()).permute(2, 0, 1).short()
    height, width = image.shape[1:]
    base = base_image(image[None, :, ::4, ::4], height, width)[0]
    for k, anchor in enumerate(LATTICE_ORDER):
        known = train.phase_mask(LATTICE_ORDER[:k], height, width, image.device)
        batch = train.call_batch(image[None].float(), known, anchor, torch.tensor([5]), 1)
        mask = known[0, 0].to(torch.int8)
        residual = (image - base).clamp(-128, 127).to(torch.int8) * mask
        seen = tokens(residual[None], mask[None, None] * MASK_ON, (base - LEVEL_ZERO).to(torch.int8)[None], anchor)
        assert torch.equal(batch.tokens, seen.float())
        assert torch.equal(batch.cond, condition(mask[None, None], anchor, 1))


def test_one_network_answers_arbitrary_masks(predictor: NetworkPredictor, photo: np.ndarray) -> None:
    """Knowing more pixels must help: the same pixels cost fewer bits when random others are known."""
    from ardm.likelihood import integer_bits

    image = torch.from_numpy(photo[100:228, 100:228].copy()).permute(2, 0, 1).short()
    base = base_image(image[None, :, ::4, ::4], 128, 128)[0]
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(128, 128, generator=generator)
    cost = []
    for share in (0.0, 0.3, 0.9):
        known = (noise < share).to(torch.int8)
        known[::4, ::4] = 1
        known[1::4, 1::4] = 0
        params = predictor.predict([Call(0, image, known, base, (1, 1))])[0]((1, 1))
        part = (slice(None), slice(1, None, 4), slice(1, None, 4))
        cost.append(float(integer_bits(params, base[part].flatten(1).int(), image[part].flatten(1).int(), predictor.tables).sum()))
    assert cost[0] > cost[1] > cost[2]


def test_simulated_and_integer_networks_agree(predictor: NetworkPredictor) -> None:
    assert isinstance(predictor.weights.config, NetworkConfig)
    torch.manual_seed(1)
    net = LatticeNet(NetworkConfig(width=16, blocks=1, mixture=2))
    net.quantized = True
    torch.nn.init.normal_(net.cond_out.weight, std=0.05)
    tensors, exponents = weights.to_integers(net)
    integers = NetworkPredictor(weights.parse(weights.serialize(net.config, tensors, exponents, {})))
    seen = torch.randint(-40, 40, (1, 67, 9, 9), dtype=torch.int8)
    cond = torch.randint(0, 17, (1, 20))
    features = integers.carrier.features(seen, cond.numpy().astype(np.int64))
    got = integers.carrier.read_out(features, seen, 0, 3).T
    with torch.no_grad():
        expected = net(seen.float(), cond.float(), torch.tensor([3]))[0]
    steps = torch.tensor([16] * 2 + [32] * 6 + [16] * 6 + [128] * 6)
    difference = (got - expected * steps).abs()
    assert float(difference.median()) <= 1  # biases and shifts are rounded to whole units of the sums, so a unit may tip over
    assert float((difference / (8 + (expected * steps).abs())).max()) < 0.3
