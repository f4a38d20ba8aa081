"""From a training checkpoint to a weights file: round, prove the bounds, measure, write. `ardm-export` is its
command.

Knows images only through `ardm.training.photos`' loader.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from ardm.exact import window
from ardm.networks.window import WindowNet
from ardm.orders import LATTICE_ORDER, PATCH, PHASES
from ardm.released import FOLDER
from ardm.training import gather
from ardm.training.examples import image_bits, training_batch, validate
from ardm.training.integers import to_integers
from ardm.training.photos import list_images, load_crops, split_sources
from ardm.training.recipe import TrainingRecipe
from ardm.training.rounding import rounded
from ardm.training.run import load_tensors, load_weights
from ardm.window import WindowConfig, lattice_pattern, raster_pattern

EXAMPLES = 6  # batches by which weights are rounded
SMALL = 128  # side of the part of each image on which phases are measured


def load_average(checkpoint: Path) -> tuple[WindowNet, dict[str, Any]]:
    """The averaged network of a checkpoint, and what the checkpoint says of itself. Raises
    CheckpointError.
    """
    tensors, about = load_tensors(checkpoint)
    net = WindowNet(WindowConfig(**about["recipe"]["network"]))
    load_weights(net, tensors, "average.", checkpoint)
    net.quantized = about["quantized"]
    return net.eval(), about


def on_grids(net: WindowNet, crops: np.ndarray) -> WindowNet:
    """A copy whose weights and activations are on the grids of integers. crops: uint8 (N, h, h, 3), of
    training images.

    A network that was not trained with activations on their grid is fitted to it by its activations on the
    crops.
    """
    examples = [training_batch(crops, TrainingRecipe(network=net.config), step) for step in range(EXAMPLES)]
    net = copy.deepcopy(net)
    if not net.quantized:
        net.calibrate(lambda: [net(batch.views) for batch in examples])
        net.quantized = True
    return rounded(net, examples)


def measure(net: WindowNet, images: np.ndarray) -> np.ndarray:
    """What every phase costs in every call. images: uint8 (N, h, w, 3).

    Returns float32 (LEVELS, 15, 15), bits per subpixel: entry [level, k, j], j >= k, is phase j in a call
    that knows the phases before k; the rest is 0. Levels too small to measure repeat the one before.
    """
    out = np.zeros((window.LEVELS, PHASES, PHASES), np.float32)
    for level in range(window.LEVELS):
        parts = [
            np.ascontiguousarray(image[:: PATCH**level, :: PATCH**level][:SMALL, :SMALL]) for image in images
        ]
        if min(parts[0].shape[:2]) < 2 * PATCH:
            out[level] = out[level - 1]
            continue
        for k in range(PHASES):
            for j in range(k, PHASES):
                phase = LATTICE_ORDER[j]
                pattern = lattice_pattern(net.config.radius, phase, k)
                out[level, k, j] = np.mean(
                    [image_bits(net, part, pattern, phase, gather.LATTICE) for part in parts]
                )
    return out


@click.command()
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--held-out",
    type=int,
    default=100,
    show_default=True,
    help="The same number as in training: these images are measured.",
)
@click.option("--images", type=int, default=24, show_default=True, help="How many of them.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=FOLDER,
    show_default=False,
    help="Folder of the result.",
)
@click.option("--note", default="", help="Free text for the provenance: data, machine, time.")
def main(checkpoint: Path, folder: Path, held_out: int, images: int, out: Path, note: str) -> None:
    """Turn a CHECKPOINT into integer weights; FOLDER is the training folder.

    Prints the path of what it wrote. `python -m benchmarks.mixers` adds where mixers start; then the id is
    final.
    """
    training, files = split_sources(list_images(folder), held_out)
    crops = load_crops(files[:: max(1, len(files) // images)])
    trained, state = load_average(checkpoint)
    net = on_grids(trained, load_crops(training[:: max(1, len(training) // (4 * images))]))
    tensors = to_integers(net)
    small = [np.ascontiguousarray(crop[:SMALL, :SMALL]) for crop in crops]
    tensors["bits"] = measure(net, crops)
    tensors["raster_bits"] = np.array(
        [
            np.mean(
                [
                    image_bits(net, crop, raster_pattern(net.config.radius), None, gather.RASTER)
                    for crop in small
                ]
            )
        ],
        np.float32,
    )
    with torch.no_grad():
        simulated = {k: round(v, 4) for k, v in validate(net, crops, 3).items()}
        trained.quantized = False
        real = {k: round(v, 4) for k, v in validate(trained, crops, 3).items()}
    provenance = {
        "recipe": state["recipe"],
        "step": state["step"],
        "seconds": state["seconds"],
        "held_out": held_out,
        "note": note,
        "integer": simulated,
        "float": real,
    }
    data = window.serialize(net.config, tensors, provenance)
    weights = window.parse(data)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"photo-{weights.id}.safetensors"
    path.write_bytes(data)
    click.echo(json.dumps({"path": str(path), "id": weights.id, "bytes": len(data), **provenance}))


if __name__ == "__main__":
    main()
