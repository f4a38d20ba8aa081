"""Training of the window network on photos: batches, augmentation, schedule, validation, checkpoints.
`ardm-train FOLDER` is its command.

Knows images only as files to read once; nothing of the codec. One training example is one pixel with a set of
known pixels around it, scored by the bits it would cost (Hoogeboom et al. 2021, algorithm 2, but a pixel
costs one evaluation, and the sets are drawn from the orders that are used: what comes before in raster order;
prefixes of the lattice order, on all levels; random sets).

The rate is held until `decay_from`, then falls to 0: a held run can be resumed for ever (`--set steps=...`
says how long), and a copy of it be finished at any time (`--finish MINUTES`); while the rate falls,
activations are on their integer grids. Averages, checkpoints and the clock are `ardm.training.run`'s.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F

from ardm import likelihood
from ardm.networks.window import Views, WindowNet
from ardm.orders import LATTICE_ORDER, PATCH, PHASES
from ardm.training import gather
from ardm.training.run import Run, average_losses, load_tensors
from ardm.window import CHANNELS, WindowConfig, base_weights, lattice_pattern, offsets, raster_pattern

CROP = 384  # images are cut into squares of this side for training
SUFFIXES = {".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".jpg", ".jpeg"}
LENGTH = 16  # pixels of a run
GROUPS = 4  # lattice prefixes per step
SMALL = 64  # side of the parts of a crop that sometimes count as the image
LATTICE_LEVELS = (0.8, 0.15, 0.05)  # shares of the pyramid's levels in lattice groups
# rows that do not know all of a pattern are padded to multiples of this: products of new shapes are slow the
# first time
UNIT = 256
AHEAD = 0.3  # share of lattice groups whose phase is coded early, as merged calls do


@dataclass(frozen=True)
class TrainingRecipe:
    """Everything that decides a training run except the data; stored with the weights."""

    network: WindowConfig = field(default_factory=WindowConfig)
    minutes: float = 0.0  # length of the schedule in minutes of training; 0: use steps
    steps: int = 60_000  # length of the schedule in steps, where minutes is 0
    pixels: int = 16_384  # per step
    raster: float = 0.55  # share of pixels that know what comes before in raster order
    lattice: float = 0.30  # share that know a prefix of the lattice order; the rest know random sets
    rate: float = 2e-3  # peak learning rate
    optimizer: str = (
        "muon"  # Muon for the weight matrices between hidden layers, Adam for the rest; adamw: AdamW for all
    )
    weight_decay: float = 0.0  # of adamw
    warmup: float = 500  # steps
    decay_from: float = (
        2.0  # share of the schedule after which the rate falls to 0, linearly; above 1: it is held
    )
    ema: float = 0.999  # decay of the averaged weights
    quantize_from: float = 2.0  # share of the schedule after which integer arithmetic is simulated
    exact_from: float = 2.0  # share after which bf16 is switched off
    augment: float = 0.5  # share of crops that get one or more photometric changes
    seed: int = 1


# ---- data --------------------------------------------------------------------------------------------------


def list_images(folder: Path) -> list[tuple[Path, str]]:
    """All images below a folder with their source: column 2 of INDEX.tsv where there is one, else the name of
    the parent folder.
    """
    index = folder / "INDEX.tsv"
    source = {}
    if index.exists():
        rows = [line.split("\t") for line in index.read_text().splitlines()[1:]]
        source = {row[0]: row[1] for row in rows}
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    return [(p, source.get(p.relative_to(folder).as_posix(), p.parent.name)) for p in paths]


def split_sources(images: list[tuple[Path, str]], held_out: int) -> tuple[list[Path], list[Path]]:
    """(training files, held-out files): whole sources, in the order of a hash of their names, as long as
    `held_out` is not exceeded.
    """
    counts: dict[str, int] = {}
    for _, source in images:
        counts[source] = counts.get(source, 0) + 1
    chosen, total = set(), 0
    for source in sorted(counts, key=lambda s: hashlib.sha256(s.encode()).hexdigest()):
        if total + counts[source] <= held_out:
            chosen.add(source)
            total += counts[source]
    return [p for p, s in images if s not in chosen], [p for p, s in images if s in chosen]


def load_crops(paths: list[Path]) -> np.ndarray:
    """Squares of side CROP cut from the images, reflected at the border where an image is smaller: uint8 (N,
    CROP, CROP, 3).
    """
    from PIL import Image

    def load(path: Path) -> list[np.ndarray]:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        pad = [(0, max(0, CROP - n)) for n in pixels.shape[:2]]
        pixels = np.pad(pixels, (*pad, (0, 0)), mode="symmetric")
        height, width = pixels.shape[:2]
        return [
            pixels[y : y + CROP, x : x + CROP]
            for y in range(0, height - CROP + 1, CROP)
            for x in range(0, width - CROP + 1, CROP)
        ]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        crops = [crop for part in pool.map(load, paths) for crop in part]
    if not crops:
        raise click.ClickException(
            "no images found: the folder must hold PNG, WebP, TIFF, BMP, PPM or JPEG files."
        )
    return np.stack(crops)


def augment(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What cameras and editors do: softness or sharpening, 4:2:0 chroma, noise, exposure, grey. uint8 (h, w,
    3), and so is the result.
    """
    x = torch.from_numpy(crop).permute(2, 0, 1)[None].float()
    on = rng.random(5) < 0.45
    if on[0]:  # soft .. sharpened
        kernel = torch.tensor([1.0, 2.0, 1.0]) / 4
        blurred = F.conv2d(
            F.pad(x, (1, 1, 1, 1), mode="replicate"), (kernel[:, None] * kernel).expand(3, 1, 3, 3), groups=3
        )
        x = x + (rng.random() * 1.6 - 0.6) * (blurred - x)
    if on[1]:
        luma = (x * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
        x = luma + F.interpolate(F.avg_pool2d(x - luma, 2, ceil_mode=True), size=x.shape[2:], mode="bilinear")
    if on[2]:
        gain = 0.5 + 0.6 * rng.random()
        x = x * gain + (1 - gain) * 200 * rng.random()
    if on[3] and on[4]:
        x = x + torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32)) * 3 * rng.random()
    if rng.random() < 0.06:
        x = x[:, 1:2].expand(-1, 3, -1, -1)
    return x.round().clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 0).contiguous().numpy()


class Pool:
    """The crops, a share of them augmented; one is drawn anew at every other step. Its state depends on seed
    and step only.
    """

    EVERY = 2

    def __init__(self, crops: np.ndarray, recipe: TrainingRecipe, step: int) -> None:
        self.source, self.recipe = crops, recipe
        self.pixels = crops.copy()
        latest = {self.chosen(s): s for s in range(0, step + 1, self.EVERY)}
        for i, s in latest.items():
            self.renew(i, s)

    def chosen(self, step: int) -> int:
        return int((step // self.EVERY * 0x9E3779B1 + self.recipe.seed) % 2**32 * len(self.source) >> 32)

    def renew(self, i: int, step: int) -> None:
        rng = np.random.default_rng((self.recipe.seed, 77, step))
        self.pixels[i] = (
            augment(self.source[i], rng) if rng.random() < self.recipe.augment else self.source[i]
        )

    def advance(self, step: int) -> None:
        if step % self.EVERY == 0:
            self.renew(self.chosen(step), step)


# ---- one batch ---------------------------------------------------------------------------------------------


@dataclass
class Batch:
    """N pixels with what is known around them."""

    views: list[Views]
    base: torch.Tensor  # float32 (N, 3)
    pixel: torch.Tensor  # float32 (N, 3)


def collect(
    pixels: np.ndarray,
    runs: np.ndarray,
    pattern: np.ndarray,
    radius: int,
    kind: int,
    share: np.ndarray,
    seed: int,
) -> tuple[Views, Any, Any]:
    """Views, base and target of runs of pixels, as torch tensors."""
    n, m = int(runs[:, 10].sum()), len(pattern)
    windows = gather.Windows(
        np.empty((n, CHANNELS * m), np.int8),
        np.empty((n, m), np.uint8),
        np.empty((n, CHANNELS), np.int16),
        np.empty((n, CHANNELS), np.uint8),
    )
    places = gather.Positions(np.array(offsets(radius), np.int32)[pattern], base_weights(radius)[pattern])
    gather.gather(pixels.reshape(-1, CHANNELS), runs, places, kind, share, seed, windows)
    values, missing, base, target = windows
    odd = np.arange(n) if kind == gather.RANDOM else np.flatnonzero(missing.any(1))
    lacking = missing[odd]
    if 0 < len(odd) < n:  # a row that is padding lacks nothing
        padding = min(-len(odd) % UNIT, n - 1 - len(odd))
        odd, lacking = np.pad(odd, (0, padding)), np.pad(lacking, ((0, padding), (0, 0)))
    views = Views(
        torch.from_numpy(pattern), torch.from_numpy(values), torch.from_numpy(odd), torch.from_numpy(lacking)
    )
    return views, torch.from_numpy(base).float(), torch.from_numpy(target).float()


def random_runs(
    shape: tuple[int, ...],
    count: int,
    phase: tuple[int, int] | None,
    rng: np.random.Generator,
    levels: Sequence[float] = (1,),
) -> np.ndarray:
    """Runs anywhere in crops that are turned and mirrored, of shape (N, h, h, 3), on levels of the pyramid
    with the given shares; with a phase, of its pixels.

    They have LENGTH pixels each: runs of coarse levels, which are shorter, are followed by others of level 0
    until the sum is right.
    """
    crops, side = shape[0], shape[1]
    runs = np.zeros((count, gather.RUN_FIELDS), np.int64)
    level = rng.choice(len(levels), count, p=levels)
    thin = PATCH**level
    flips = rng.integers(0, 2, (3, count))
    size = side // thin
    start = rng.integers(0, thin, (2, count))
    origin = rng.integers(0, crops, count) * side * side
    sy, sx = side * thin, thin
    origin += np.where(flips[0], start[0] + (size - 1) * thin, start[0]) * side + np.where(
        flips[1], start[1] + (size - 1) * thin, start[1]
    )
    sy, sx = np.where(flips[0], -sy, sy), np.where(flips[1], -sx, sx)
    runs[:, 0], runs[:, 1], runs[:, 2] = origin, np.where(flips[2], sx, sy), np.where(flips[2], sy, sx)
    small = (rng.random(count) < 0.12) & (size > SMALL)
    extent = np.where(small, SMALL, size)
    top, left = ((rng.random((2, count)) * (size - extent + 1)).astype(np.int64)) // PATCH * PATCH
    runs[:, 3], runs[:, 4], runs[:, 5], runs[:, 6] = top, left, top + extent, left + extent
    step, py, px = (PATCH, *phase) if phase else (1, 0, 0)
    rows, columns = (extent - py + step - 1) // step, (extent - px + step - 1) // step
    runs[:, 7] = top + py + (rng.random(count) * rows).astype(np.int64) * step
    long = np.minimum(LENGTH, columns)
    runs[:, 8] = left + px + (rng.random(count) * (columns - long + 1)).astype(np.int64) * step
    runs[:, 9], runs[:, 10] = step, long
    short = LENGTH * count - int(long.sum())
    if short:
        more = random_runs(shape, -(-short // LENGTH), phase, rng)
        more[-1, 10] -= -short % LENGTH
        return np.concatenate([runs, more])
    return runs


def training_batch(pixels: np.ndarray, recipe: TrainingRecipe, step: int) -> Batch:
    """The batch of a step: pixels that know a raster prefix, some lattice prefixes, random sets. pixels:
    uint8 (N, h, h, 3).
    """
    rng = np.random.default_rng((recipe.seed, 5, step))
    radius = recipe.network.radius
    counts = [
        round(recipe.pixels * s / LENGTH)
        for s in (recipe.raster, recipe.lattice, 1 - recipe.raster - recipe.lattice)
    ]
    parts = []
    if counts[0]:
        runs = random_runs(pixels.shape, counts[0], None, rng)
        parts.append(
            collect(
                pixels,
                runs,
                raster_pattern(radius),
                radius,
                gather.RASTER,
                np.zeros(len(runs), np.float32),
                0,
            )
        )
    for _ in range(GROUPS if counts[1] else 0):
        first = int(rng.integers(PHASES))
        at = int(rng.integers(first, PHASES)) if rng.random() < AHEAD else first
        phase = LATTICE_ORDER[at]
        runs = random_runs(pixels.shape, counts[1] // GROUPS, phase, rng, LATTICE_LEVELS)
        share = np.zeros(len(runs), np.float32)
        parts.append(
            collect(pixels, runs, lattice_pattern(radius, phase, first), radius, gather.LATTICE, share, 0)
        )
    if counts[2]:
        runs = random_runs(pixels.shape, counts[2], None, rng)
        share = rng.random(len(runs), dtype=np.float32)
        everything = np.arange(recipe.network.positions)
        parts.append(
            collect(pixels, runs, everything, radius, gather.RANDOM, share, int(rng.integers(2**62)))
        )
    views, base, target = zip(*parts, strict=True)
    return Batch(list(views), torch.cat(base), torch.cat(target))


def moved(batch: Batch, device: torch.device) -> Batch:
    """The same on a device, its small integers as bf16, which holds them exactly."""

    def move(x: torch.Tensor) -> torch.Tensor:
        return x.to(
            device, torch.bfloat16 if x.dtype in (torch.int8, torch.uint8) else x.dtype, non_blocking=True
        )

    views = [Views(*(move(getattr(v, f)) for f in Views.__dataclass_fields__)) for v in batch.views]
    return Batch(views, batch.base.to(device), batch.pixel.to(device))


# ---- validation --------------------------------------------------------------------------------------------


def image_runs(height: int, width: int, phase: tuple[int, int] | None = None) -> np.ndarray:
    """All pixels of an image, or of one of its phases, as runs of whole rows."""
    py, px, step = (*phase, PATCH) if phase else (0, 0, 1)
    rows = np.arange(py, height, step)
    runs = np.zeros((len(rows), gather.RUN_FIELDS), np.int64)
    runs[:, 1], runs[:, 2], runs[:, 5], runs[:, 6] = width, 1, height, width
    runs[:, 7], runs[:, 8], runs[:, 9], runs[:, 10] = rows, px, step, len(range(px, width, step))
    return runs


@torch.no_grad()
def image_bits(
    net: WindowNet,
    image: np.ndarray,
    pattern: np.ndarray,
    phase: tuple[int, int] | None,
    kind: int,
    share: float = 0,
    seed: int = 0,
) -> float:
    """Mean bits per subpixel of an image, uint8 (h, w, 3), or of one phase of it, with one pattern of
    knowledge.
    """
    device = next(net.parameters()).device
    runs = image_runs(image.shape[0], image.shape[1], phase)
    total, count = 0.0, 0
    for start in range(0, len(runs), 48):
        some = runs[start : start + 48]
        shares = np.full(len(some), share, np.float32)
        batch = moved(
            Batch(*_listed(collect(image, some, pattern, net.config.radius, kind, shares, seed + start))),
            device,
        )
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=not net.quantized):
            out = net(batch.views)
        total += float(likelihood.bits(out, batch.pixel, batch.base, net.config.mixture).double().sum())
        count += batch.pixel.numel()
    return total / count


def _listed(parts: tuple[Views, Any, Any]) -> tuple[list[Views], Any, Any]:
    return [parts[0]], parts[1], parts[2]


def validate(net: WindowNet, images: np.ndarray, every: int = 1) -> dict[str, float]:
    """Bits per subpixel in raster order, in lattice order (level 0, 15 calls), and with random sets of eleven
    sizes (the bound).
    """
    radius = net.config.radius
    raster = [image_bits(net, x, raster_pattern(radius), None, gather.RASTER) for x in images]
    few = [np.ascontiguousarray(x[:128, :128]) for x in images[::every]]
    lattice = [
        np.mean(
            [
                image_bits(net, x, lattice_pattern(radius, p, k), p, gather.LATTICE)
                for k, p in enumerate(LATTICE_ORDER)
            ]
        )
        for x in few
    ]
    everything = np.arange(net.config.positions)
    sizes = (0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97)
    bound = [
        np.mean([image_bits(net, x[:64, :64].copy(), everything, None, gather.RANDOM, u, 9) for u in sizes])
        for x in few
    ]
    return {
        "raster": float(np.mean(raster)),
        "lattice": float(np.mean(lattice)),
        "bound": float(np.mean(bound)),
    }


# ---- the run -----------------------------------------------------------------------------------------------


class PhotoRun(Run[WindowNet]):
    """A run whose rate is held, then falls."""

    def rate(self) -> float:
        r = self.recipe
        assert isinstance(r, TrainingRecipe)
        falling = max(0.0, (self.progress - r.decay_from) / (1 - r.decay_from)) if r.decay_from < 1 else 0.0
        return float(r.rate * min(1.0, (self.step + 1) / r.warmup) * max(0.0, 1 - falling))


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
    """Where a training run is done and what of it now; nothing of it decides the weights but the images."""

    folder: Path  # of images
    out: Path  # for checkpoint and log
    held_out: int  # images, whole sources
    device: torch.device
    limit: float  # minutes after which to stop
    every: float  # minutes between validations
    resume: Path | None  # checkpoint to go on from
    compiled: bool  # the likelihood


def train(recipe: TrainingRecipe, session: Session) -> None:
    """Run, or continue, a training run."""
    out, device, resume = session.out, session.device, session.resume
    keep_memory()
    run = PhotoRun(recipe, lambda: WindowNet(recipe.network), device)
    out.mkdir(parents=True, exist_ok=True)
    if resume is not None:
        run.restore(resume)
    training, held = split_sources(list_images(session.folder), session.held_out)
    pool = Pool(load_crops(training), recipe, run.step)
    valid = load_crops(held[:: max(1, len(held) // 24)])
    print(
        f"{len(pool.source)} crops to train on, {len(valid)} to validate on, "
        f"{sum(p.numel() for p in run.net.parameters())} parameters"
    )
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
        line |= {k: round(v, 4) for k, v in validate(run.average, valid[::2], 3).items()}
        with (out / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
        run.save(out / "checkpoint.safetensors")
        losses.clear()

    with ThreadPoolExecutor(1) as ahead:  # the next batch is gathered while the network learns from this one

        def make(step: int) -> Batch:
            pool.advance(step)
            return moved(training_batch(pool.pixels, recipe, step), device)

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


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("run"),
    show_default=True,
    help="Checkpoint and log go here.",
)
@click.option(
    "--limit",
    type=float,
    default=1e9,
    help="Stop this process after so many minutes; --resume goes on later.",
)
@click.option("--every", type=float, default=4.0, show_default=True, help="Minutes between validations.")
@click.option("--held-out", type=int, default=100, show_default=True, help="Images held out, whole sources.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option(
    "--resume/--fresh",
    default=True,
    show_default=True,
    help="Go on from OUT/checkpoint.safetensors if there is one.",
)
@click.option(
    "--start",
    type=click.Path(exists=True, path_type=Path),
    help="Go on from this checkpoint where OUT has none.",
)
@click.option(
    "--finish",
    type=float,
    help="Let the rate fall to 0 within so many minutes, with activations on their integer grids.",
)
@click.option(
    "--compile/--no-compile", "compiled", default=True, show_default=True, help="Compile the likelihood."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any field of the recipe or of the network.",
)
def main(
    folder: Path,
    out: Path,
    limit: float,
    every: float,
    held_out: int,
    device: str,
    resume: bool,
    start: Path | None,
    finish: float | None,
    compiled: bool,
    settings: tuple[str, ...],
) -> None:
    """Train the photo network on a FOLDER of images; resumable."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    changes, network = changed(settings)
    checkpoint = out / "checkpoint.safetensors"
    source = checkpoint if resume and checkpoint.exists() else start
    recipe = TrainingRecipe(network=WindowConfig(**network), **changes)
    if source is not None:
        about = load_tensors(source)[1]
        stored = dict(about["recipe"])
        recipe = replace(
            TrainingRecipe(**stored | {"network": WindowConfig(**stored["network"] | network)}), **changes
        )
        if finish is not None and source == start:
            done = about["seconds"] / 60
            share = lambda x: (done + x * finish) / (done + finish)  # noqa: E731
            recipe = replace(
                recipe,
                minutes=done + finish,
                decay_from=share(0),
                quantize_from=share(0),
                exact_from=share(0.95),
            )
    print(json.dumps(asdict(recipe)))
    place = torch.device(device)
    train(recipe, Session(folder, out, held_out, place, limit, every, source, compiled))


if __name__ == "__main__":
    main()
