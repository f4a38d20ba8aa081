"""Training of the photo network: batches, augmentation, schedule, validation, checkpoints. `ardm-train FOLDER` is its command line.

Knows images only as files to read once; nothing of the codec. One training example is one network call: a stage, a mask, an anchor
and a place, scored by the bits its unknown pixels would cost (ARDM, Hoogeboom et al. 2021, algorithm 2, with masks drawn mostly from
the order that the codec uses: a batch holds every prefix of it equally often, and one sixteenth of random masks).

Schedule, optimisers and checkpoints are `ardm.run`'s.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F

from ardm import likelihood
from ardm.network import PLACES, LatticeNet, NetworkConfig
from ardm.orders import LATTICE_ORDER, PATCH, PHASES, place_of
from ardm.run import Run, average_losses
from ardm.stages import LEVEL_ZERO, MASK_ON, align, base_image, condition, tokens

CROP = 384  # images are cut into squares of this side for training
SUFFIXES = {".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".jpg", ".jpeg"}
SLICES = PHASES + 1  # every prefix of the lattice order, and random masks


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run except the data; stored with the weights."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    minutes: float = 0.0  # length of the schedule in minutes of training; 0: use steps
    steps: int = 20_000  # length of the schedule in steps, where minutes is 0
    per_slice: int = 16  # crops per slice; a batch has 16 slices
    crop: int = 128  # side of a level-0 crop
    rate: float = 2e-3  # peak learning rate
    optimizer: str = "muon"  # Muon for the weight matrices between hidden layers, Adam for the rest; adamw: AdamW for all
    weight_decay: float = 0.0  # of adamw
    warmup: float = 0.02  # share of the schedule
    ema: float = 0.9995  # decay of the averaged weights
    quantize_from: float = 0.6  # share of the schedule after which integer arithmetic is simulated
    exact_from: float = 0.85  # share after which bf16 is switched off
    coarse_every: int = 5  # every so many steps, a batch of level 1 or deeper
    augment: float = 0.5  # share of crops that get one or more photometric changes
    seed: int = 1

    def __post_init__(self) -> None:
        if self.crop % PATCH or not 0 <= self.quantize_from <= self.exact_from:
            raise ValueError(f"crop must be a multiple of {PATCH} and quantize_from <= exact_from, got {self}.")


# ---- data -------------------------------------------------------------------------------------------------------------------


def list_images(folder: Path) -> list[tuple[Path, str]]:
    """All images below a folder with their source: column 2 of INDEX.tsv where there is one, else the name of the parent folder."""
    index = folder / "INDEX.tsv"
    source = {}
    if index.exists():
        rows = [line.split("\t") for line in index.read_text().splitlines()[1:]]
        source = {row[0]: row[1] for row in rows}
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    return [(p, source.get(p.relative_to(folder).as_posix(), p.parent.name)) for p in found]


def split_sources(images: list[tuple[Path, str]], held_out: int) -> tuple[list[Path], list[Path]]:
    """(training files, held-out files): whole sources, in the order of a hash of their names, as long as `held_out` is not exceeded."""
    counts: dict[str, int] = {}
    for _, source in images:
        counts[source] = counts.get(source, 0) + 1
    chosen, total = set(), 0
    for source in sorted(counts, key=lambda s: hashlib.sha256(s.encode()).hexdigest()):
        if total + counts[source] <= held_out:
            chosen.add(source)
            total += counts[source]
    return [p for p, s in images if s not in chosen], [p for p, s in images if s in chosen]


def load_crops(paths: list[Path]) -> torch.Tensor:
    """Squares of side CROP cut from the images, reflected at the border where an image is smaller: uint8 (N, 3, CROP, CROP)."""
    from concurrent.futures import ThreadPoolExecutor

    from PIL import Image

    def load(path: Path) -> list[np.ndarray]:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        pad = [(0, max(0, CROP - n)) for n in pixels.shape[:2]]
        pixels = np.pad(pixels, (*pad, (0, 0)), mode="symmetric")
        height, width = pixels.shape[:2]
        return [pixels[y : y + CROP, x : x + CROP] for y in range(0, height - CROP + 1, CROP) for x in range(0, width - CROP + 1, CROP)]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        crops = [crop for part in pool.map(load, paths) for crop in part]
    if not crops:
        raise click.ClickException("no images found: the folder must hold PNG, WebP, TIFF, BMP, PPM or JPEG files.")
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()


def augment(x: torch.Tensor, share: float, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Turns, flips, and for a share of the crops what cameras and editors do: softness or sharpening, 4:2:0 chroma, noise, exposure.

    x: float32 (B, 3, h, w), integers 0..255. Returns the same kind, and bool (B,): which crops were made grey.
    """

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, device=x.device)

    b = x.shape[0]
    flips = draw(3, b, 1, 1, 1) < 0.5
    x = torch.where(flips[0], x.flip(2), x)
    x = torch.where(flips[1], x.flip(3), x)
    x = torch.where(flips[2], x.transpose(2, 3), x)
    on = (draw(5, b, 1, 1, 1) < 0.45) & (draw(b, 1, 1, 1) < share)
    grey = (draw(b) < 0.03).view(b, 1, 1, 1)
    kernel = torch.tensor([1.0, 2.0, 1.0], device=x.device) / 4
    blurred = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), (kernel[:, None] * kernel).expand(3, 1, 3, 3), groups=3)
    x = x + on[0] * (draw(b, 1, 1, 1) * 1.6 - 0.6) * (blurred - x)  # soft .. sharpened
    luma = (x * torch.tensor([0.299, 0.587, 0.114], device=x.device).view(3, 1, 1)).sum(1, keepdim=True)
    chroma = F.interpolate(F.avg_pool2d(x - luma, 2, ceil_mode=True), size=x.shape[2:], mode="bilinear")
    x = torch.where(on[1], luma + chroma, x)
    gain = 0.5 + 0.6 * draw(b, 1, 1, 1)
    x = torch.where(on[2], x * gain + (1 - gain) * 200 * draw(b, 1, 1, 1), x)
    noise = torch.randn(x.shape, generator=generator, device=x.device)
    x = x + (on[3] & on[4]) * noise * 3 * draw(b, 1, 1, 1)
    x = torch.where(grey, x[:, 1:2], x)
    return x.round().clamp(0, 255), grey.flatten()


# ---- one batch --------------------------------------------------------------------------------------------------------------


@dataclass
class Batch:
    """Tensors of B network calls on one grid of T = rows * cols tokens."""

    tokens: torch.Tensor  # float32 (B, 67, rows, cols)
    cond: torch.Tensor  # float32 (B, COND_SIZE)
    place: torch.Tensor  # int64 (B,)
    pixel: torch.Tensor  # float32 (B, T, 3): true values of the pixels at that place
    base: torch.Tensor  # float32 (B, T, 3)
    weight: torch.Tensor  # float32 (B, T, 3): 1 where the (coding-order) channel counts


def phase_mask(phases: Sequence[tuple[int, int]], height: int, width: int, device: torch.device) -> torch.Tensor:
    """float32 (1, 1, height, width): 1 on the lattice and the given phases."""
    cell = torch.zeros(PATCH, PATCH, device=device)
    for y, x in ((0, 0), *phases):
        cell[y, x] = 1
    return cell.repeat(-(-height // PATCH), -(-width // PATCH))[None, None, :height, :width]


def call_batch(images: torch.Tensor, known: torch.Tensor, anchor: tuple[int, int], place: torch.Tensor, level: int) -> Batch:
    """One call per image. images: float32 (B, 3, h, w), integers; known: float32 (B or 1, 1, h, w), 0 or 1; place: int64 (B,)."""
    b, _, height, width = images.shape
    known = known.expand(b, 1, height, width)
    base = base_image(images[..., ::PATCH, ::PATCH], height, width)
    residual = (images - base).clamp(-128, 127) * known
    seen = tokens(residual, known * MASK_ON, base - LEVEL_ZERO, anchor)
    rows = torch.arange(b, device=images.device)

    def at_place(plane: torch.Tensor) -> torch.Tensor:  # (B, C, h, w) -> (B, T, C)
        return align(plane, anchor).unflatten(1, (-1, PLACES))[rows, :, place].flatten(2).transpose(1, 2)

    weight = at_place(1 - known).expand(-1, -1, 3)
    return Batch(seen, condition(known, anchor, level), place, at_place(images), at_place(base), weight)


def join(parts: list[Batch]) -> Batch:
    return Batch(*(torch.cat([getattr(p, name) for p in parts]) for name in Batch.__dataclass_fields__))


def training_batch(images: torch.Tensor, grey: torch.Tensor, level: int, generator: torch.Generator) -> Batch:
    """Cut a batch into SLICES equal slices: slice k < 15 knows the first k phases; the last one knows random pixels."""
    n = images.shape[0] // SLICES
    height, width = images.shape[2:]
    device = images.device
    parts = []
    for k in range(PHASES):
        anchor = LATTICE_ORDER[k]
        ahead = torch.rand(n, generator=generator, device=device)
        ahead = torch.where(torch.rand(n, generator=generator, device=device) < 0.7, 0.0, ahead * ahead)
        later = (k + ahead * (PHASES - k)).long()  # mostly the anchor itself, else a phase that a merged call would add
        places = torch.tensor([place_of(p, anchor) for p in LATTICE_ORDER], device=device)
        known = phase_mask(LATTICE_ORDER[:k], height, width, device)
        parts.append(call_batch(images[k * n : (k + 1) * n], known, anchor, places[later], level))
    lattice = phase_mask((), height, width, device)
    share = torch.rand(n, 1, 1, 1, generator=generator, device=device)
    known = torch.maximum(lattice, (torch.rand(n, 1, height, width, generator=generator, device=device) < share).float())
    place = torch.randint(0, PLACES, (n,), generator=generator, device=device)
    parts.append(call_batch(images[PHASES * n :], known, (1, 1), place, level))
    batch = join(parts)
    batch.weight = batch.weight.clone()
    batch.weight[..., 1:] *= (~grey).float()[:, None, None]  # of a grey picture only one channel is coded
    return batch


def mean_bits(net: torch.nn.Module, batch: Batch, mixture: int) -> torch.Tensor:
    """Mean bits per coded subpixel of a batch (scalar, with gradient)."""
    cost = likelihood.bits(net(batch.tokens, batch.cond, batch.place), batch.pixel, batch.base, mixture)
    return (cost * batch.weight).sum() / batch.weight.sum().clamp_min(1)


@torch.no_grad()
def phase_bits(net: LatticeNet, images: torch.Tensor, level: int, batch: int = 8) -> np.ndarray:
    """Mean bits per subpixel of every phase, coded phase by phase in lattice order: float64 (15,). images: uint8 (N, 3, h, w)."""
    total, count = np.zeros(PHASES), np.zeros(PHASES)
    device = next(net.parameters()).device
    for start in range(0, images.shape[0], batch):
        x = images[start : start + batch].to(device).float()
        for _ in range(level):
            x = x[..., ::PATCH, ::PATCH]
        for k, anchor in enumerate(LATTICE_ORDER):
            known = phase_mask(LATTICE_ORDER[:k], x.shape[2], x.shape[3], x.device)
            place = torch.full((x.shape[0],), place_of(anchor, anchor), device=device)
            part = call_batch(x, known, anchor, place, level)
            cost = likelihood.bits(net(part.tokens, part.cond, part.place), part.pixel, part.base, net.config.mixture)
            total[k] += float((cost * part.weight).sum())
            count[k] += float(part.weight.sum())
    return total / np.maximum(count, 1)


def validate(net: LatticeNet, images: torch.Tensor) -> dict[str, float]:
    """Bits per subpixel of whole images at full budget, levels 0 to 2 and their sum (deeper levels hold under 0.03 % of the pixels)."""
    levels = [float(phase_bits(net, images, level).mean()) for level in range(3)]
    whole = sum(bits * (PHASES / PLACES) / PLACES**level for level, bits in enumerate(levels))
    return {"whole": whole, "level0": levels[0], "level1": levels[1], "level2": levels[2]}


# ---- the run ----------------------------------------------------------------------------------------------------------------


def batches(recipe: Recipe, crops: torch.Tensor, step: int, rank: int) -> Iterator[Batch]:
    """Endless training batches; the stream depends only on (seed, rank, step at which it is started)."""
    device = crops.device
    generator = torch.Generator(device).manual_seed(recipe.seed * 1_000_003 + rank * 7919 + step * 31)
    side = torch.arange(crops.shape[2], device=device)
    while True:
        step += 1
        level = 0
        if recipe.coarse_every and step % recipe.coarse_every == 0:
            level = 2 if step // recipe.coarse_every % 3 == 0 else 1
        n = SLICES * recipe.per_slice if level < 2 else SLICES * max(1, recipe.per_slice // 2)
        which = torch.randint(0, crops.shape[0], (n,), generator=generator, device=device)
        size = recipe.crop if level == 0 else min(CROP, crops.shape[2])
        corner = (torch.rand(2, n, 1, generator=generator, device=device) * (crops.shape[2] - size + 1)).long()
        stride = PATCH**level
        if level:
            corner = corner + torch.randint(0, stride, (2, n, 1), generator=generator, device=device)
        count = size // stride - (1 if level else 0)
        ys, xs = (side[: count * stride : stride] + c for c in corner)  # (n, count)
        x = crops.permute(0, 2, 3, 1)[which[:, None, None], ys[:, :, None], xs[:, None, :]].permute(0, 3, 1, 2).float()
        x, grey = augment(x, recipe.augment if level == 0 else 0.0, generator)
        yield training_batch(x, grey, level, generator)


def train(
    recipe: Recipe, folder: Path, validation: Path | None, out: Path, held_out: int, device: torch.device, limit: float, every: float, resume: bool
) -> None:
    """Train until the schedule ends or `limit` minutes have passed in this process; log to out/log.jsonl, save to out/checkpoint.safetensors."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world > 1:
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True  # exact on the integers of the quantised phase
    torch.backends.cudnn.benchmark = True
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.safetensors"
    run = Run(recipe, lambda: LatticeNet(recipe.network), device)
    if resume and checkpoint.exists():
        run.restore(checkpoint)
    train_files, valid_files = split_sources(list_images(folder), 0 if validation else held_out)
    if validation:
        valid_files = [p for p, _ in list_images(validation)]
    crops = load_crops(train_files).to(device)
    valid = load_crops(valid_files[:: max(1, len(valid_files) // 24)]) if valid_files else crops[:8].cpu()
    if rank == 0:
        print(f"{sum(p.numel() for p in run.net.parameters()):,} parameters, {len(crops)} training crops, {len(valid)} validation crops")
    model: torch.nn.Module = run.net
    if world > 1:
        model = torch.nn.parallel.DistributedDataParallel(run.net)
    stream = batches(recipe, crops, run.step, rank)
    begun = last = time.monotonic()
    losses: list[torch.Tensor] = []

    def report() -> None:
        if rank == 0:
            run.average.eval()
            line = {
                "step": run.step, "minutes": round(run.seconds / 60, 2), "rate": run.rate(), "quantized": run.quantized,
                "loss": average_losses(losses),
                "steps_per_second": round(run.step / max(run.seconds, 1e-9), 2),
            }  # fmt: skip
            line |= {k: round(v, 4) for k, v in validate(run.average, valid).items()}
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
            run.save(checkpoint)
            run.save_average(out / "average.safetensors")
        losses.clear()

    while run.progress < 1 and time.monotonic() - begun < 60 * limit:
        if run.quantizing_is_due:
            report()
            run.save(out / "float.safetensors")
            run.start_quantizing(lambda net: mean_bits(net, next(stream), recipe.network.mixture))
        losses.append(run.update(lambda: mean_bits(model, next(stream), recipe.network.mixture)))
        if time.monotonic() - last > every * 60:
            report()
            last = time.monotonic()
    report()
    if world > 1:
        torch.distributed.destroy_process_group()


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("run"), show_default=True, help="Checkpoint and log go here.")
@click.option("--minutes", type=float, default=0.0, help="Length of the schedule in minutes of training.")
@click.option("--steps", type=int, default=20_000, show_default=True, help="Length of the schedule in steps, if no --minutes.")
@click.option("--limit", type=float, default=1e9, help="Stop this process after so many minutes; --resume goes on later.")
@click.option("--every", type=float, default=2.0, show_default=True, help="Minutes between validations.")
@click.option("--held-out", type=int, default=100, show_default=True, help="Images held out, whole sources.")
@click.option("--validation", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Validate on this folder; hold nothing out.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--resume/--fresh", default=True, show_default=True, help="Go on from OUT/checkpoint.safetensors if there is one.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any field of the recipe or of the network.")
def main(
    folder: Path, validation: Path | None, out: Path, minutes: float, steps: int, limit: float, every: float, held_out: int, device: str, resume: bool,
    settings: tuple[str, ...],
) -> None:  # fmt: skip
    """Train the photo network on a FOLDER of images; resumable; several GPUs with torchrun."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    where = torch.device(device, int(os.environ.get("LOCAL_RANK", 0))) if device == "cuda" else torch.device(device)
    changes: dict[str, Any] = {"minutes": minutes, "steps": steps}
    network: dict[str, Any] = {}
    for item in settings:
        name, _, value = item.partition("=")
        target = network if name in NetworkConfig.__dataclass_fields__ else changes
        if target is changes and name not in Recipe.__dataclass_fields__:
            raise click.UsageError(f"--set {item}: no such field; known are {[*Recipe.__dataclass_fields__, *NetworkConfig.__dataclass_fields__]}.")
        target[name] = json.loads(value)
    train(Recipe(network=NetworkConfig(**network), **changes), folder, validation, out, held_out, where, limit, every, resume)


if __name__ == "__main__":
    main()
