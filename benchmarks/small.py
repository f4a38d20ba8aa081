"""CIFAR-10 with the window network, one model for every order and budget: training, weights, likelihoods, and
files of single images.

    # DATA is what `python -m benchmarks.cifar10 prepare` writes
    python -m benchmarks.small train DATA --out RUN                      # goes on where it stopped
    python -m benchmarks.small train DATA --out END --start RUN/checkpoint.safetensors --finish 30
    python -m benchmarks.small export END/checkpoint.safetensors DATA    # integer weights; prints the path
    python -m benchmarks.small nll END/checkpoint.safetensors WEIGHTS DATA    # bound and orders, test images
    python -m benchmarks.small files WEIGHTS DATA FILES                  # single images, decoded elsewhere

Every command prints its result as JSON on the last line; --json writes it. Bits are per dimension (subpixel),
3072 of them to an image. A pixel's three channels are coded together, as one variable with 256**3 values:
orders are orders of pixels. Test images serve for figures only.
"""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from ardm.calls import Call, OrderBits, Plan, best, diagonals, plan_random, random_losses, random_pixels
from ardm.exact import window
from ardm.exact.predictor import Predictor, new_canvas
from ardm.networks.window import WindowNet
from ardm.objective import Estimate
from ardm.training import export as exporting
from ardm.training import gather
from ardm.training.examples import image_bits
from ardm.training.locoprop import Local
from ardm.training.recipe import TrainingRecipe
from ardm.training.windows import Session, session_options, start, train
from ardm.window import WindowConfig
from benchmarks.cifar10 import DATA, JSON, VALID, finish, load
from benchmarks.photos import make_codec
from codec.coder.pictures import code_picture
from codec.coder.plain import new_coder

SIDE = 32
RECIPE = TrainingRecipe(
    WindowConfig(width=192, depth=4), raster=0.15, lattice=0.15, diagonal=0.2, turned=False
)
CALLS = (5, 10, 20, 50, 100, 250, 1024)
WEIGHTS = click.argument("weights", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@click.group()
@click.option("--threads", type=int, default=0, help="Of PyTorch; 0: its default.")
def main(threads: int) -> None:
    if threads:
        torch.set_num_threads(threads)


def pictures(folder: Path, name: str) -> np.ndarray:
    """uint8 (N, 32, 32, 3), verified."""
    return np.ascontiguousarray(load(folder, name).permute(0, 2, 3, 1).numpy())


def some(images: np.ndarray, count: int) -> np.ndarray:
    """`count` images, evenly spaced in the set."""
    return images[np.arange(count) * len(images) // count]


# ---- training and weights ----------------------------------------------------------------------------------


class Unchanged:
    """Pictures to train on; batches mirror them."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels

    def advance(self, step: int) -> None:
        """They stay as they are."""


@main.command("train")
@DATA
@session_options
def train_command(data: Path, **said: Any) -> None:
    """Train on the folder DATA, or go on."""
    recipe, session = start(RECIPE, **said)
    images = pictures(data, "train")
    train(recipe, session, lambda _: Unchanged(images[:-VALID]), images[-VALID::4])


@main.command()
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@DATA
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=window.SMALL_FOLDER,
    help="Folder of the result.",
)
@click.option("--note", default="", help="Free text for the provenance.")
def export(checkpoint: Path, data: Path, out: Path, note: str) -> None:
    """Turn CHECKPOINT into integer weights, with bits of all orders measured on validation images."""
    images = pictures(data, "train")
    written, provenance = exporting.export(
        checkpoint, images[:-VALID:20], images[-VALID:], orders=True, data="CIFAR-10", note=note
    )
    exporting.write(written, "small", out, provenance)


FAMILIES = {  # dials to try, of each optimiser
    "adamw": tuple({"rate": rate} for rate in (1e-3, 3e-3)),
    "muon": tuple({"rate": rate} for rate in (2e-3, 5e-3)),
    "locoprop": tuple(
        {"rate": rate, "local": Local(reach=reach)} for rate in (3e-3, 1e-2) for reach in (3.0, 30.0)
    ),
}


@main.command()
@DATA
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--sweep", type=float, default=2.0, show_default=True, help="Minutes for every trial.")
@click.option("--minutes", type=float, default=20.0, show_default=True, help="For each with its best dials.")
@click.option("--names", default=",".join(FAMILIES), show_default=True)
@JSON
def optimizers(data: Path, out: Path, sweep: float, minutes: float, names: str, target: Path | None) -> None:
    """AdamW, Muon and LocoProp-S, from the same weights on the same batches, by processor time of the thread
    that learns; each first tries its dials, then runs with the best of them. Goes on where it stopped.
    """
    images, rows = pictures(data, "train"), []

    def run(name: str, minutes: float, dials: dict[str, Any]) -> dict[str, Any]:
        said = "-".join(f"{v.reach if isinstance(v, Local) else v:g}" for v in dials.values())
        folder = out / f"{name}-{said}-{minutes:g}"
        recipe = replace(
            RECIPE, optimizer=name, minutes=minutes, decay_from=0.6, warmup=100, ema=0.99, **dials
        )
        at = folder / "checkpoint.safetensors"
        place = Session(
            folder, torch.device("cpu"), 1e9, 2.5, at if at.exists() else None, True, time.thread_time
        )
        train(recipe, place, lambda _: Unchanged(images[:-VALID]), images[-VALID::2])
        last = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
        rows.append({"optimizer": name, "dials": said, "of_minutes": minutes, **last})
        click.echo(json.dumps(rows[-1]))
        return rows[-1]

    for name in names.split(","):
        trials = [(run(name, sweep, dials)["bound"], i) for i, dials in enumerate(FAMILIES[name])]
        run(name, minutes, FAMILIES[name][min(trials)[1]])
        finish({"network": asdict(RECIPE.network), "rows": rows}, target)


# ---- likelihoods -------------------------------------------------------------------------------------------


def call_bits(predictor: Predictor, image: np.ndarray, calls: list[Call]) -> float:
    """Bits per dimension that files of these calls take, without header."""
    coder = new_coder(None)
    code_picture(coder, predictor, calls, new_canvas(SIDE, SIDE), image)
    return 8 * len(coder.finish()) / image.size


def bound(net: WindowNet, images: np.ndarray, seed: int) -> torch.Tensor:
    """The bound of the order-agnostic ARDM, bits per dimension of each image: every pixel is scored once,
    given random others.

    A pixel whose place in a random order is u, between 0 and 1, knows each other with probability u
    (equivalent to absorbing diffusion in continuous time, paper, section 3.4). A row of pixels has one u,
    those of an image are stratified.
    """
    rng, everything = np.random.default_rng(seed), np.arange(net.config.positions)
    rows = rng.permuted(np.tile(np.arange(SIDE), (len(images), 1)), axis=1)
    share = ((rows + rng.random(rows.shape)) / SIDE).reshape(-1)
    return torch.from_numpy(image_bits(net, images, everything, None, gather.RANDOM, share, seed))


@main.command()
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@WEIGHTS
@DATA
@click.option("--images", type=int, default=10_000, show_default=True, help="Test images, for the bound.")
@click.option("--coded", type=int, default=200, show_default=True, help="Test images, for budgets.")
@click.option("--seed", type=int, default=1, show_default=True)
@JSON
@click.option("--plot", type=click.Path(path_type=Path), help="Write a PNG of bits against calls.")
def nll(
    checkpoint: Path,
    weights: Path,
    data: Path,
    images: int,
    coded: int,
    seed: int,
    target: Path | None,
    plot: Path | None,
) -> None:
    """The bound of CHECKPOINT on test images; and what its integer WEIGHTS spend at budgets, in the best
    order, and in one random order, planned and evenly cut.
    """
    net, state = exporting.load_average(checkpoint)
    test = pictures(data, "test")
    ours = bound(net, some(test, images), seed)
    result: dict[str, Any] = {
        "weights": weights.name,
        "network": state["recipe"]["network"],
        "step": state["step"],
        "minutes": round(state["seconds"] / 60, 1),
        "bound": figures(ours),
    }
    predictor, few, rows = Predictor(window.parse(weights.read_bytes())), some(test, coded), []
    measured = OrderBits.of(predictor.weights.tensors)
    pixels = random_pixels(SIDE, SIDE, seed)
    even = [Call(1, part) for part in np.array_split(pixels, 50)]
    for calls in CALLS:
        plan = best(measured, SIDE, SIDE, calls, seed)
        rows.append(row(predictor, few, plan.name, plan.calls(SIDE, SIDE), plan))
        plan = plan_random(measured, SIDE, SIDE, calls, seed)
        rows.append(row(predictor, few, "random", plan.calls(SIDE, SIDE), plan))
    rows.append(row(predictor, few, "random, even steps", even))
    rows.append(row(predictor, few, "raster, a pixel a call", diagonals(SIDE, SIDE, SIDE)))
    if plot:
        draw(rows, float(ours.mean()), plot)
    losses = random_losses(measured, SIDE * SIDE)[::64]
    finish(result | {"coded": coded, "rows": rows, "losses": [round(v, 3) for v in losses]}, target)


def row(
    predictor: Predictor, images: np.ndarray, name: str, calls: list[Call], plan: Plan | None = None
) -> dict[str, Any]:
    begun = time.thread_time()
    bits = torch.tensor([call_bits(predictor, image, calls) for image in images])
    seconds = round((time.thread_time() - begun) / len(images), 3)
    found = {"order": name, "calls": len(calls), **figures(bits), "cpu_s": seconds}
    found |= {"planned": round(plan.bits, 4), "plan": plan.numbers[:2]} if plan else {}
    click.echo(json.dumps(found))
    return found


def figures(bits: torch.Tensor) -> dict[str, Any]:
    found = Estimate.of(bits)
    return {"mean": round(found.mean, 4), "error": round(found.error, 4), "images": found.count}


def draw(rows: list[dict[str, Any]], bound: float, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    random = [r for r in rows if r["order"] == "random"]
    chosen = rows[: 2 * len(CALLS) : 2]
    for label, part in (("best order for the budget", chosen), ("one random order, planned", random)):
        axes.plot([r["calls"] for r in part], [r["mean"] for r in part], marker="o", label=label)
    axes.axhline(bound, color="gray", linestyle=":", label="bound, random orders, a pixel a call")
    axes.set_xscale("log")
    axes.set_xlabel("network calls")
    axes.set_ylabel("bits per dimension")
    axes.set_title("CIFAR-10, one window network")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


# ---- files -------------------------------------------------------------------------------------------------
#
# One file per image; what all images share is the weights file and, beside it, the list of orders.
#
#     offset  size  little-endian
#          0     4  id of the weights
#          4     1  which order of the list
#          5     4  CRC-32 of the pixels
#          9        words of the range coder

HEADER = struct.Struct("<4sBI")


class ImageCodec:
    """Files of single images and back, by one set of weights and a list of orders."""

    def __init__(self, weights: Path, orders: Path) -> None:
        self.predictor = Predictor(window.parse(weights.read_bytes()))
        plans = [Plan(name, tuple(numbers)) for name, numbers in json.loads(orders.read_text())]
        self.calls = [plan.calls(SIDE, SIDE) for plan in plans]

    def encode(self, image: np.ndarray, order: int) -> bytes:
        """image: uint8 (32, 32, 3)."""
        coder = new_coder(None)
        code_picture(coder, self.predictor, self.calls[order], new_canvas(SIDE, SIDE), image)
        id = bytes.fromhex(self.predictor.weights.id)
        return HEADER.pack(id, order, zlib.crc32(image.tobytes())) + coder.finish()

    def decode(self, data: bytes) -> np.ndarray:
        """Inverse of `encode`. Raises ClickException if the file is not one of these weights, or damaged."""
        if len(data) < HEADER.size or (len(data) - HEADER.size) % 4:
            raise click.ClickException(
                f"a file has {HEADER.size} bytes and whole words of 4, found were {len(data)} bytes."
            )
        id, order, checksum = HEADER.unpack_from(data)
        if id.hex() != self.predictor.weights.id or order >= len(self.calls):
            raise click.ClickException(
                f"expected was a file of weights {self.predictor.weights.id} in one of {len(self.calls)} "
                f"orders, found was {id.hex()}, order {order}."
            )
        coder = new_coder(data[HEADER.size :])
        image = code_picture(coder, self.predictor, self.calls[order], new_canvas(SIDE, SIDE))
        if zlib.crc32(image.tobytes()) != checksum:
            raise click.ClickException("the pixels do not have the checksum of the file: it is damaged.")
        return image


@main.command()
@WEIGHTS
@DATA
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--calls", default="20,50,100,1024", show_default=True, help="Budgets.")
@click.option("--images", type=int, default=1000, show_default=True, help="Test images.")
@JSON
def files(weights: Path, data: Path, out: Path, calls: str, images: int, target: Path | None) -> None:
    """Compress test images one by one into files in the folder OUT, restore them in another process, compare;
    other codecs beside it.
    """
    out.mkdir(parents=True, exist_ok=True)
    measured = OrderBits.of(window.parse(weights.read_bytes()).tensors)
    plans = [best(measured, SIDE, SIDE, int(budget)) for budget in calls.split(",")]
    orders = out / "orders.json"
    orders.write_text(json.dumps([[plan.name, plan.numbers] for plan in plans]))
    x, codec, rows = some(pictures(data, "test"), images), ImageCodec(weights, orders), []
    for order, plan in enumerate(plans):
        folder = out / str(order)
        folder.mkdir(exist_ok=True)
        begun = time.thread_time()
        for i, image in enumerate(x):
            (folder / f"{i:05}.c10").write_bytes(codec.encode(image, order))
        seconds = (time.thread_time() - begun) / images
        restored = folder / "restored.npy"
        command = [sys.executable, "-m", "benchmarks.small", "restore", weights, orders, folder, restored]
        report = subprocess.run(
            [*map(str, command)], check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent
        )
        sizes = torch.tensor([float((folder / f"{i:05}.c10").stat().st_size) for i in range(images)])
        rows.append(
            {
                "codec": f"ardm, {len(codec.calls[order])} calls, {plan.name}",
                **figures(sizes * 8 / math.prod(x.shape[1:])),
                "lossless": int((np.load(restored) == x).all((1, 2, 3)).sum()),
                "encode_cpu_s": round(seconds, 3),
                "decode_cpu_s": json.loads(report.stdout.splitlines()[-1])["cpu_s"],
            }
        )
        click.echo(json.dumps(rows[-1]))
    for name in ("png", "webp", "jxl9"):
        encode, decode = make_codec(name, 1)
        coded = [encode(image) for image in x]
        same = sum(np.array_equal(decode(file), image) for file, image in zip(coded, x, strict=True))
        sizes = torch.tensor([float(len(file)) for file in coded])
        rows.append({"codec": name, **figures(sizes * 8 / math.prod(x.shape[1:])), "lossless": same})
        click.echo(json.dumps(rows[-1]))
    finish(
        {
            "weights": weights.name,
            "weights_bytes": weights.stat().st_size,
            "header_bytes": HEADER.size,
            "rows": rows,
            "as_one_picture": as_one_picture(x),
        },
        target,
    )


def as_one_picture(images: np.ndarray) -> dict[str, float]:
    """Bits per dimension of all images side by side in one picture, by other codecs: what a set costs without
    headers.
    """
    across = math.isqrt(len(images))
    kept = images[: across * across].reshape(across, across, SIDE, SIDE, 3)
    picture = np.ascontiguousarray(kept.transpose(0, 2, 1, 3, 4).reshape(across * SIDE, across * SIDE, 3))
    return {
        name: round(len(make_codec(name, 1)[0](picture)) * 8 / picture.size, 4) for name in ("webp", "jxl9")
    }


@main.command()
@WEIGHTS
@click.argument("orders", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
def restore(weights: Path, orders: Path, folder: Path, target: Path) -> None:
    """Decode the .c10 files of a folder into one array, uint8 (N, 32, 32, 3)."""
    codec, begun = ImageCodec(weights, orders), time.thread_time()
    images = [codec.decode(path.read_bytes()) for path in sorted(folder.glob("*.c10"))]
    seconds = (time.thread_time() - begun) / max(1, len(images))
    np.save(target, np.stack(images))
    click.echo(json.dumps({"images": len(images), "cpu_s": round(seconds, 3)}))


if __name__ == "__main__":
    main()
