"""From a training checkpoint to a weights file: round, prove the bounds, measure, write. `ardm-export` is its
command.

Knows files of images only through `ardm.training.photos`' loader.
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
from ardm.networks.window import WindowNet, weight_exponent
from ardm.orders import LATTICE_ORDER, PATCH, PHASES
from ardm.released import FOLDER
from ardm.training import gather
from ardm.training.examples import image_bits, training_batch, validate
from ardm.training.integers import head_exponents, to_integers
from ardm.training.photos import list_images, load_crops, split_sources
from ardm.training.recipe import TrainingRecipe
from ardm.training.rounding import rounded
from ardm.training.run import CheckpointError, load_tensors, load_weights
from ardm.window import (
    ACTIVATION_EXPONENT,
    WEIGHT_MAX,
    WindowConfig,
    diagonal_pattern,
    lattice_pattern,
    raster_pattern,
)

EXAMPLES = 6  # batches by which weights are rounded
SHARES = 32  # of known pixels, evenly spaced, at which random sets are measured
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


@torch.no_grad()
def within_reach(net: WindowNet) -> None:
    """Make channels inside blocks smaller whose weights are above what bytes can hold without a shift to the
    left; the weights that read them grow, so that the network computes the same. Such weights of the head are
    clipped: what it reads cannot become larger, and the few that were found belonged to a component that is
    hardly ever asked.
    """
    most = WEIGHT_MAX * torch.exp2(ACTIVATION_EXPONENT - head_exponents(net.config.mixture))[:, None]
    net.head.copy_(torch.minimum(torch.maximum(net.head, -most), most))
    for first, bias, second in zip(net.hidden[::2], net.hidden_bias[::2], net.hidden[1::2], strict=True):
        factor = torch.exp2(weight_exponent(first).clamp(max=0))
        first.mul_(factor[:, None])
        bias.mul_(factor)
        second.div_(factor)


def on_grids(net: WindowNet, pictures: np.ndarray, recipe: TrainingRecipe) -> WindowNet:
    """A copy whose weights and activations are on the grids of integers. pictures: uint8 (N, h, h, 3), of
    those trained on; recipe: of the training.

    A network that was not trained with activations on their grid is fitted to it by its activations on the
    pictures.
    """
    examples = [training_batch(pictures, recipe, step) for step in range(EXAMPLES)]
    net = copy.deepcopy(net)
    if not net.quantized:
        net.calibrate(lambda: [net(batch.views) for batch in examples])
        net.quantized = True
    within_reach(net)
    return rounded(net, examples)


def measure(net: WindowNet, images: np.ndarray) -> np.ndarray:
    """What every phase costs in every call. images: uint8 (N, h, w, 3).

    Returns float32 (LEVELS, 15, 15), bits per subpixel: entry [level, k, j], j >= k, is phase j in a call
    that knows the phases before k; the rest is 0. Levels too small to measure repeat the one before.
    """
    out = np.zeros((window.LEVELS, PHASES, PHASES), np.float32)
    for level in range(window.LEVELS):
        part = images[:, :: PATCH**level, :: PATCH**level][:, :SMALL, :SMALL]
        if min(part.shape[1:3]) < 2 * PATCH:
            out[level] = out[level - 1]
            continue
        for k in range(PHASES):
            for j in range(k, PHASES):
                phase = LATTICE_ORDER[j]
                pattern = lattice_pattern(net.config.radius, phase, k)
                out[level, k, j] = image_bits(net, part, pattern, phase, gather.LATTICE).mean()
    return out


def measure_orders(net: WindowNet, images: np.ndarray) -> dict[str, np.ndarray]:
    """What `ardm.calls.OrderBits` needs besides `bits`: `diagonal_bits`, float32 (radius + 1,), and
    `random_bits`, float32 (SHARES + 1,). images: uint8 (N, h, w, 3).
    """
    radius, everything = net.config.radius, np.arange(net.config.positions)

    def mean(pattern: np.ndarray, kind: int, share: float = 0.0) -> float:
        return float(image_bits(net, images, pattern, None, kind, share, 9).mean())

    return {
        "diagonal_bits": np.array(
            [mean(diagonal_pattern(radius, slope), gather.RASTER) for slope in range(1, radius + 2)],
            np.float32,
        ),
        "random_bits": np.array(
            [mean(everything, gather.RANDOM, i / SHARES) for i in range(SHARES + 1)], np.float32
        ),
    }


def export(
    checkpoint: Path, pictures: np.ndarray, images: np.ndarray, orders: bool = False, **provenance: Any
) -> tuple[bytes, dict[str, Any]]:
    """The weights file of a checkpoint, and its provenance. pictures: uint8 (N, h, h, 3), of those trained
    on; images: uint8 (N, h, w, 3), others, that bits are measured on; orders: also in those of `ardm.calls`.
    """
    trained, state = load_average(checkpoint)
    stored = state["recipe"]
    net = on_grids(trained, pictures, TrainingRecipe.of(stored))
    tensors = to_integers(net)
    tensors["bits"] = measure(net, images)
    pattern = raster_pattern(net.config.radius)
    raster = image_bits(net, images[:, :SMALL, :SMALL], pattern, None, gather.RASTER)
    tensors["raster_bits"] = np.array([raster.mean()], np.float32)
    if orders:
        tensors |= measure_orders(net, images)
    with torch.no_grad():
        simulated = {k: round(v, 4) for k, v in validate(net, images, 3).items()}
        trained.quantized = False
        real = {k: round(v, 4) for k, v in validate(trained, images, 3).items()}
    provenance = {
        "recipe": stored,
        "step": state["step"],
        "seconds": state["seconds"],
        "integer": simulated,
        "float": real,
    } | provenance
    return window.serialize(net.config, tensors, provenance), provenance


def write(data: bytes, name: str, out: Path, provenance: dict[str, Any]) -> None:
    """Write a weights file, NAME-ID.safetensors, to the folder `out`, and say so, in JSON."""
    weights = window.parse(data)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}-{weights.id}.safetensors"
    path.write_bytes(data)
    click.echo(json.dumps({"path": str(path), "id": weights.id, "bytes": len(data), **provenance}))


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
@click.option(
    "--name",
    default="photo",
    show_default=True,
    help="Of the file, before its id: photo, raster, large, quick.",
)
@click.option("--note", default="", help="Free text for the provenance: data, machine, time.")
def main(checkpoint: Path, folder: Path, held_out: int, images: int, out: Path, name: str, note: str) -> None:
    """Turn a CHECKPOINT into integer weights; FOLDER is the training folder.

    Prints the path of what it wrote. `python -m benchmarks.mixers` adds where mixers start; then the id is
    final.
    """
    training, files = split_sources(list_images(folder), held_out)
    crops = load_crops(files[:: max(1, len(files) // images)])
    pictures = load_crops(training[:: max(1, len(training) // (4 * images))])
    try:
        data, provenance = export(checkpoint, pictures, crops, held_out=held_out, note=note)
    except CheckpointError as error:
        raise click.ClickException(str(error)) from error
    write(data, name, out, provenance)


if __name__ == "__main__":
    main()
