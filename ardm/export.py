"""From a training checkpoint to the weights file that the codec ships: quantise, prove the bounds, measure, write. `ardm-export` is its command line.

Knows images only through `ardm.train`'s loader.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from ardm import weights as weights_module
from ardm.likelihood import integer_bits
from ardm.network import LatticeNet, NetworkConfig
from ardm.orders import LATTICE_ORDER, PATCH, PHASES
from ardm.predict import Call, NetworkPredictor
from ardm.run import load_tensors, load_weights
from ardm.stages import STAGE_KINDS, base_image
from ardm.train import list_images, load_crops, phase_mask, split_sources, validate
from ardm.weights import Weights


@torch.inference_mode()
def measure(weights: Weights, images: torch.Tensor) -> np.ndarray:
    """What every phase costs in every call. images: uint8 (N, 3, h, w).

    Returns int32 (STAGE_KINDS, 15, 15), thousandths of a bit per subpixel: entry [level, k, j], j >= k, is phase j in a call that knows
    the phases before k and is anchored at phase k; the rest is 0. Levels too small to measure repeat the one before.
    """
    predictor = NetworkPredictor(weights)
    total = np.zeros((STAGE_KINDS, PHASES, PHASES))
    count = np.zeros((STAGE_KINDS, PHASES, PHASES))
    for image in images:
        for level in range(STAGE_KINDS):
            pixels = image[:, :: PATCH**level, :: PATCH**level].short()
            height, width = pixels.shape[1:]
            if min(height, width) < 2 * PATCH:
                break
            base = base_image(pixels[None, :, ::PATCH, ::PATCH], height, width)[0]
            for k, anchor in enumerate(LATTICE_ORDER):
                known = phase_mask(LATTICE_ORDER[:k], height, width, pixels.device)[0, 0].to(torch.int8)
                answer = predictor.predict([Call(level, pixels, known, base, anchor)])[0]
                for j in range(k, PHASES):
                    py, px = LATTICE_ORDER[j]
                    part = (slice(None), slice(py, None, PATCH), slice(px, None, PATCH))
                    cost = integer_bits(answer((py, px)), base[part].flatten(1).int(), pixels[part].flatten(1).int(), predictor.tables)
                    total[level, k, j] += float(cost.sum())
                    count[level, k, j] += cost.numel()
    mean = total / np.maximum(count, 1)
    for level in range(1, STAGE_KINDS):
        if not count[level].any():
            mean[level] = mean[level - 1]
    return np.round(1000 * mean).astype(np.int32)


def load_average(checkpoint: Path) -> tuple[LatticeNet, dict[str, Any]]:
    """The averaged network of a checkpoint, with simulated quantisation on, and what the checkpoint says of itself. Raises CheckpointError."""
    tensors, about = load_tensors(checkpoint)
    net = LatticeNet(NetworkConfig(**about["recipe"]["network"]))
    load_weights(net, tensors, "average.", checkpoint)
    net.quantized = True
    return net.eval(), about


@click.command()
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--held-out", type=int, default=100, show_default=True, help="The same number as in training: these images are measured.")
@click.option("--images", type=int, default=24, show_default=True, help="How many of them.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=weights_module.FOLDER, show_default=False, help="Folder of the result.")
@click.option("--note", default="", help="Free text for the provenance: data, machine, time.")
def main(checkpoint: Path, folder: Path, held_out: int, images: int, out: Path, note: str) -> None:
    """Turn a quantisation-aware CHECKPOINT into integer weights; FOLDER is the training folder."""
    net, state = load_average(checkpoint)
    _, files = split_sources(list_images(folder), held_out)
    crops = load_crops(files[:: max(1, len(files) // images)])
    tensors, exponents = weights_module.to_integers(net)
    provenance = {"recipe": state["recipe"], "step": state["step"], "held_out": held_out, "note": note}
    draft = weights_module.parse(weights_module.serialize(net.config, tensors, exponents, provenance))
    tensors["bits"] = measure(draft, crops)
    with torch.no_grad():
        provenance["simulated"] = {k: round(v, 4) for k, v in validate(net, crops).items()}
    levels = [np.diagonal(t).mean() / 1000 for t in tensors["bits"]]
    provenance["integer"] = {f"level{i}": round(float(v), 4) for i, v in enumerate(levels)}
    data = weights_module.serialize(net.config, tensors, exponents, provenance)
    weights = weights_module.parse(data)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"photo-{weights.id}.safetensors"
    path.write_bytes(data)
    click.echo(json.dumps({"path": str(path), "bytes": len(data), **provenance}))


if __name__ == "__main__":
    main()
