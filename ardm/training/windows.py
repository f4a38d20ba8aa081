"""A training run of a window network: what is told to it, its steps, its log. Knows pictures in memory only.

The rate is held until `decay_from`, then falls to 0: a held run can be resumed for ever (`--set steps=...`
says how long), and a copy of it be finished at any time (`--finish MINUTES`); while the rate falls,
activations are on their integer grids. Averages, checkpoints and the clock are `ardm.training.run`'s.
"""

from __future__ import annotations

import ctypes
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import click
import numpy as np
import torch

from ardm import likelihood
from ardm.networks.window import WindowNet
from ardm.training.examples import Batch, moved, training_batch, validate
from ardm.training.locoprop import of_window, with_adamw
from ardm.training.recipe import TrainingRecipe
from ardm.training.run import Run, average_losses, load_tensors, load_weights, usual_optimizers
from ardm.window import WindowConfig


class WindowRun(Run[WindowNet]):
    """A run whose rate is held, then falls."""

    def rate(self) -> float:
        r = self.recipe
        assert isinstance(r, TrainingRecipe)
        falling = max(0.0, (self.progress - r.decay_from) / (1 - r.decay_from)) if r.decay_from < 1 else 0.0
        return float(r.rate * min(1.0, (self.step + 1) / r.warmup) * max(0.0, 1 - falling))


def optimizers(net: WindowNet, recipe: TrainingRecipe) -> list[torch.optim.Optimizer]:
    """Those that the recipe names."""
    if recipe.optimizer == "locoprop":
        return with_adamw(of_window(net), net, recipe)
    return usual_optimizers(net, recipe)


def change_shape(run: WindowRun, path: Path) -> None:
    """Begin with the averaged network of a checkpoint of another shape. Of one that has more residual blocks,
    the last ones are left out. Blocks that it lacks change nothing at first, and hidden units that it lacks
    are read by each other only (Net2Net, Chen et al. 2016, arXiv 1511.05641). Raises CheckpointError, also
    where it has more hidden units.
    """
    tensors, about = load_tensors(path)
    ours, stored = run.net.config, about["recipe"]["network"]
    theirs = replace(ours, depth=stored["depth"], width=min(stored["width"], ours.width))
    other = WindowNet(theirs)
    load_weights(other, tensors, "average.", path)
    state = run.net.state_dict()
    for i in range(theirs.depth, ours.depth):
        state[f"hidden.{2 * i + 1}"].zero_()
    for name, value in other.state_dict().items():
        if name not in state:
            continue
        # rows of units that it has: nothing of what it lacks is read
        rows = state[name][: len(value)]
        rows.zero_()
        rows[tuple(slice(n) for n in value.shape)] = value
    for net in (run.net, run.average):
        net.load_state_dict(state)


def make_cost(net: WindowNet, compiled: bool) -> Callable[[Batch], torch.Tensor]:
    """Mean bits per subpixel of a batch. Compiled, all that follows the first product runs as a few loops,
    made for one size of batch.
    """

    def cost(sums: torch.Tensor, pixel: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
        return likelihood.bits(net.parameters_of(sums), pixel, base, net.config.mixture).mean()

    after = torch.compile(cost, dynamic=False) if compiled else cost
    return lambda batch: after(net.sums(batch.views), batch.pixel, batch.base)


def keep_memory() -> None:
    """Keep what every step needs again: oneDNN's products of some thousand shapes, and (glibc) freed blocks.
    Without, a step takes half as long again.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")  # read at the first product
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(-3, 1 << 25)  # M_MMAP_THRESHOLD, its largest value
        mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD


@dataclass(frozen=True)
class Session:
    """Where a training run is done and what of it now; nothing of it decides the weights."""

    out: Path  # for checkpoint and log
    device: torch.device
    limit: float  # minutes after which to stop
    every: float  # minutes between validations
    resume: Path | None  # checkpoint to go on from
    compiled: bool  # the likelihood
    clock: Callable[[], float]  # seconds that count


class Pictures(Protocol):
    """What is trained on: squares in memory, which may change from step to step."""

    pixels: np.ndarray  # uint8 (N, h, h, 3)

    def advance(self, step: int) -> None:
        """Make them those of a step, which is the one after the last."""


def train(
    recipe: TrainingRecipe, session: Session, pictures: Callable[[int], Pictures], valid: np.ndarray
) -> None:
    """Run, or continue, a training run. pictures: those of the step that it begins with; valid: uint8 (N, h,
    h, 3), what it is scored by.
    """
    out, device, resume = session.out, session.device, session.resume
    keep_memory()
    run = WindowRun(recipe, lambda: WindowNet(recipe.network), device, optimizers, session.clock)
    out.mkdir(parents=True, exist_ok=True)
    if resume is not None:
        about = load_tensors(resume)[1]
        if about["recipe"]["network"] != asdict(recipe.network):
            change_shape(run, resume)
        else:
            run.restore(resume)
    source = pictures(run.step)
    print(
        f"{len(source.pixels)} pictures to train on, {len(valid)} to validate on, "
        f"{sum(p.numel() for p in run.net.parameters())} parameters"
    )
    slope = recipe.slope if recipe.diagonal else None
    cost = make_cost(run.net, session.compiled)
    losses: list[torch.Tensor] = []
    begun = last = time.monotonic()
    pixels = 0

    def report() -> None:
        line: dict[str, Any] = {
            "step": run.step,
            "minutes": round(run.seconds / 60, 2),
            "quantized": run.quantized,
            "rate": round(run.rate(), 6),
            "loss": average_losses(losses),
            "pixels_per_second": round(pixels / max(time.monotonic() - last, 1e-9)),
        }
        line |= {k: round(v, 4) for k, v in validate(run.average, valid, 3, slope).items()}
        with (out / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
        run.save(out / "checkpoint.safetensors")
        losses.clear()

    with ThreadPoolExecutor(1) as ahead:  # the next batch is gathered while the network learns from this one

        def make(step: int) -> Batch:
            source.advance(step)
            return moved(training_batch(source.pixels, recipe, step), device)

        coming: Future[Batch] = ahead.submit(make, run.step)
        while run.progress < 1 and time.monotonic() - begun < 60 * session.limit:
            batch = coming.result()
            coming = ahead.submit(make, run.step + 1)
            if run.quantizing_is_due:
                run.start_quantizing(lambda net, batch=batch: net(batch.views))  # type: ignore[misc]
            losses.append(run.update(lambda batch=batch: cost(batch)))  # type: ignore[misc]
            pixels += len(batch.pixel)
            if time.monotonic() - last > session.every * 60:
                report()
                last, pixels = time.monotonic(), 0
    report()


# ---- what a command is told --------------------------------------------------------------------------------

CLOCKS = {"wall": time.monotonic, "cpu": time.thread_time}
SESSION_OPTIONS = [
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=Path("run"),
        show_default=True,
        help="Checkpoint and log go here.",
    ),
    click.option(
        "--limit",
        type=float,
        default=1e9,
        help="Stop this process after so many minutes; --resume goes on later.",
    ),
    click.option("--every", type=float, default=4.0, show_default=True, help="Minutes between validations."),
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
    click.option(
        "--resume/--fresh",
        default=True,
        show_default=True,
        help="Go on from OUT/checkpoint.safetensors if there is one.",
    ),
    click.option(
        "--start",
        type=click.Path(exists=True, path_type=Path),
        help="Go on from this checkpoint where OUT has none.",
    ),
    click.option(
        "--finish",
        type=float,
        help="Let the rate fall to 0 within so many minutes, with activations on their integer grids.",
    ),
    click.option(
        "--compile/--no-compile", "compiled", default=True, show_default=True, help="Compile the likelihood."
    ),
    click.option(
        "--clock",
        type=click.Choice(list(CLOCKS)),
        default="wall",
        show_default=True,
        help="What minutes of the schedule are; cpu: of the thread that learns, for comparisons.",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="Any field of the recipe or of the network.",
    ),
]


def session_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `start`."""
    for option in reversed(SESSION_OPTIONS):
        command = option(command)
    return command


def start(
    recipe: TrainingRecipe,
    settings: tuple[str, ...],
    out: Path,
    device: str,
    resume: bool,
    start: Path | None,
    finish: float | None,
    limit: float,
    every: float,
    compiled: bool,
    clock: str,
) -> tuple[TrainingRecipe, Session]:
    """Recipe and session of a run: the recipe given, or that of the checkpoint it goes on from, with the
    settings' changes.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    changes, network = changed(settings)
    checkpoint = out / "checkpoint.safetensors"
    source = checkpoint if resume and checkpoint.exists() else start
    if source is not None:
        about = load_tensors(source)[1]
        recipe = TrainingRecipe.of(about["recipe"])
    recipe = replace(recipe, network=replace(recipe.network, **network), **changes)
    if source is not None and finish is not None and source == start:
        done = about["seconds"] / 60
        share = lambda x: (done + x * finish) / (done + finish)  # noqa: E731
        recipe = replace(
            recipe, minutes=done + finish, decay_from=share(0), quantize_from=share(0), exact_from=share(0.95)
        )
    print(json.dumps(asdict(recipe)))
    return recipe, Session(out, torch.device(device), limit, every, source, compiled, CLOCKS[clock])


def changed(settings: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """NAME=VALUE pairs as fields of the recipe and of its network. Raises click.UsageError for other
    names.
    """
    recipe: dict[str, Any] = {}
    network: dict[str, Any] = {}
    for item in settings:
        name, _, value = item.partition("=")
        target = network if name in WindowConfig.__dataclass_fields__ else recipe
        if target is recipe and name not in TrainingRecipe.__dataclass_fields__:
            known = [*TrainingRecipe.__dataclass_fields__, *WindowConfig.__dataclass_fields__]
            raise click.UsageError(f"--set {item}: no such field; known are {known}.")
        target[name] = json.loads(value)
    return recipe, network
