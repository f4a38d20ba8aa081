"""Does a bottleneck code pay for its bytes on small pictures? (SODA, Hudson et al. 2023, arXiv 2311.17901: a code
of the whole picture modulates the network.)

    python -m benchmarks.soda DATA CHECKPOINT --minutes 8 --json FILE      # of `benchmarks.small train`

Two runs go on from one checkpoint, on the same batches, by the processor time of the thread that learns: one as
it is, one with a code of --values numbers of --levels levels each, found by an encoder that sees all of the
picture, and added, through a matrix that starts at zero, to the sums of the first layer. The code is quantised
as a file would hold it. Reports bits on validation images, with the picture's own code and with another's.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ardm import likelihood
from ardm.networks.window import WindowNet, round_through
from ardm.training.examples import Batch, training_batch
from ardm.training.export import load_average
from ardm.training.recipe import TrainingRecipe
from ardm.training.windows import WindowRun, keep_memory
from benchmarks.cifar10 import DATA, JSON, VALID, finish
from benchmarks.small import SIDE, pictures

WIDTH = 128  # of the encoder


class Coded(nn.Module):
    """A window network and the encoder of the code; without values, the network alone."""

    def __init__(self, net: WindowNet, values: int, levels: int) -> None:
        super().__init__()
        self.net, self.values, self.levels = net, values, levels
        inputs = 2 * 3 * (SIDE // 4) ** 2
        self.encoder = nn.Sequential(nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, max(values, 1)))
        self.modulate = nn.Parameter(torch.zeros(net.config.width, max(values, 1)))

    def matrices(self) -> list[nn.Parameter]:
        return self.net.matrices()

    def code(self, images: torch.Tensor) -> torch.Tensor:
        """float32 (N, values), each one of so many levels in -1 .. 1. images: uint8 (N, 32, 32, 3)."""
        x = images.permute(0, 3, 1, 2).float() / 128 - 1
        mean = F.avg_pool2d(x, 4)
        spread = (F.avg_pool2d(x * x, 4) - mean * mean).clamp_min(0).sqrt()
        z = torch.tanh(self.encoder(torch.cat([mean, spread], 1).flatten(1)).float())
        steps = self.levels - 1
        return round_through((z + 1) / 2 * steps) / steps * 2 - 1

    def bits(self, batch: Batch, images: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        """Bits of every subpixel, (N, 3). images: those of the batch; which: int64 (N,), each pixel's."""
        sums = self.net.sums(batch.views)
        if self.values:
            sums = sums + F.linear(self.code(images), self.modulate)[which].to(sums.dtype)
        out = self.net.parameters_of(sums)
        return likelihood.bits(out, batch.pixel, batch.base, self.net.config.mixture)


def numbered(count: int) -> np.ndarray:
    """Pictures whose every pixel is the number of the picture, uint8 (count, 32, 32, 3): the batch of a step
    drawn of these tells which pictures its pixels are of.
    """
    number = np.arange(count)
    digits = np.stack([number & 255, number >> 8 & 255, number >> 16], 1).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(digits[:, None, None], (count, SIDE, SIDE, 3)))


def drawn(
    images: np.ndarray, numbers: np.ndarray, recipe: TrainingRecipe, step: int
) -> tuple[Batch, torch.Tensor, torch.Tensor]:
    """The batch of a step, the pictures in it, and which of these each pixel is of."""
    batch = training_batch(images, recipe, step)
    digits = training_batch(numbers, recipe, step).pixel.long()
    number = digits[:, 0] + (digits[:, 1] << 8) + (digits[:, 2] << 16)
    chosen, which = torch.unique(number, return_inverse=True)
    return batch, torch.from_numpy(images[chosen.numpy()]), which


@torch.no_grad()
def score(net: Coded, images: np.ndarray, recipe: TrainingRecipe, batches: int) -> dict[str, float]:
    """Bits with the pictures' own codes, and with those of others."""
    numbers, own, other = numbered(len(images)), [], []
    for step in range(batches):
        batch, some, which = drawn(images, numbers, replace(recipe, seed=1234), step)
        own.append(float(net.bits(batch, some, which).mean()))
        other.append(float(net.bits(batch, some.roll(1, 0), which).mean()))
    return {"own": round(float(np.mean(own)), 4), "other": round(float(np.mean(other)), 4)}


def further(
    trained: WindowNet, recipe: TrainingRecipe, images: np.ndarray, values: int, levels: int
) -> tuple[Coded, int]:
    """A trained network after some more training, with or without a code, and steps done."""

    def make() -> Coded:
        net = WindowNet(recipe.network)
        net.load_state_dict(trained.state_dict())
        return Coded(net, values, levels)

    run: Any = WindowRun(recipe, make, torch.device("cpu"), clock=time.thread_time)  # type: ignore[arg-type]
    numbers = numbered(len(images))
    while run.progress < 1:
        batch, some, which = drawn(images, numbers, recipe, run.step)
        run.update(lambda b=batch, s=some, w=which: run.net.bits(b, s, w).mean())  # type: ignore[misc]
    return run.average, run.step


@click.command()
@DATA
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--minutes", type=float, default=8.0, show_default=True)
@click.option("--values", type=int, default=8, show_default=True, help="Numbers in a code.")
@click.option("--levels", type=int, default=16, show_default=True, help="That each can have.")
@click.option("--rate", type=float, default=1e-3, show_default=True)
@JSON
def main(
    data: Path, checkpoint: Path, minutes: float, values: int, levels: int, rate: float, target: Path | None
) -> None:
    """See the module's docstring."""
    torch.set_num_threads(1)
    keep_memory()
    images = pictures(data, "train")
    kept, valid = images[:-VALID], images[-VALID:]
    trained, about = load_average(checkpoint)
    trained.quantized = False
    recipe = TrainingRecipe.of(about["recipe"])
    recipe = replace(
        recipe, rate=rate, minutes=minutes, decay_from=0.2, quantize_from=2, exact_from=2, ema=0.99
    )
    result: dict[str, Any] = {"values": values, "levels": levels, "minutes": minutes}
    for name, count in (("without", 0), ("with", values)):
        net, steps = further(trained, recipe, kept, count, levels)
        result[name] = {"steps": steps, **score(net, valid, recipe, 40)}
        click.echo(json.dumps({name: result[name]}))
    cost = values * math.log2(levels) / (SIDE * SIDE * 3)
    result |= {
        "code_bits": round(cost, 4),
        "gain": round(result["without"]["own"] - result["with"]["own"], 4),
    }
    finish(result, target)


if __name__ == "__main__":
    main()
