"""What a window network learns from, and is scored by: pixels of pictures in memory, each with a set of known
pixels around it. Knows no files and no network but to score it.

One training example is one pixel, scored by the bits it would cost (Hoogeboom et al. 2021, algorithm 2, but a
pixel costs one evaluation, and the sets are drawn from the orders that are used: what comes before in raster
order or on a diagonal; prefixes of the lattice order, on all levels; random sets).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ardm import likelihood
from ardm.networks.window import Views, WindowNet
from ardm.orders import LATTICE_ORDER, PATCH, PHASES
from ardm.training import gather
from ardm.training.recipe import TrainingRecipe
from ardm.window import CHANNELS, base_weights, diagonal_pattern, lattice_pattern, offsets, raster_pattern

LENGTH = 16  # pixels of a run, at most
GROUPS = 4  # lattice prefixes per step
SMALL = 64  # side of the parts of a picture that sometimes count as the image
LATTICE_LEVELS = (0.8, 0.15, 0.05)  # shares of the pyramid's levels in lattice groups
# rows that do not know all of a pattern are padded to multiples of this: products of new shapes are slow the
# first time
UNIT = 256
SCORED = 2**14  # pixels that are scored at once, about
AHEAD = 0.3  # share of lattice groups whose phase is coded early, as merged calls do


# ---- to learn from -----------------------------------------------------------------------------------------


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


def run_length(side: int) -> int:
    """Pixels of a run, in pictures of this side: a row of a phase must hold as many."""
    return min(LENGTH, side // PATCH)


def random_runs(
    shape: tuple[int, ...],
    count: int,
    phase: tuple[int, int] | None,
    rng: np.random.Generator,
    levels: Sequence[float] = (1,),
    turned: bool = True,
) -> np.ndarray:
    """Runs anywhere in pictures of shape (N, h, h, 3), turned and mirrored, on levels of the pyramid with the
    given shares; with a phase, of its pixels.

    They have `run_length` pixels each: runs of coarse levels, which are shorter, are followed by others of
    level 0 until the sum is right.
    """
    crops, side = shape[0], shape[1]
    length = run_length(side)
    runs = np.zeros((count, gather.RUN_FIELDS), np.int64)
    level = rng.choice(len(levels), count, p=levels)
    thin = PATCH**level
    flips = rng.integers(0, 2, (3, count))
    if not turned:
        flips[[0, 2]] = 0
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
    long = np.minimum(length, columns)
    runs[:, 8] = left + px + (rng.random(count) * (columns - long + 1)).astype(np.int64) * step
    runs[:, 9], runs[:, 10] = step, long
    short = length * count - int(long.sum())
    if short:
        more = random_runs(shape, -(-short // length), phase, rng, turned=turned)
        more[-1, 10] -= -short % length
        return np.concatenate([runs, more])
    return runs


def training_batch(pixels: np.ndarray, recipe: TrainingRecipe, step: int) -> Batch:
    """The batch of a step: pixels that know a prefix of raster order, of diagonals, some prefixes of lattice
    order, random sets. pixels: uint8 (N, h, h, 3).
    """
    rng = np.random.default_rng((recipe.seed, 5, step))
    radius, length = recipe.network.radius, run_length(pixels.shape[1])
    rest = 1 - recipe.raster - recipe.lattice - recipe.diagonal
    raster, lattice, diagonal, random = (
        round(recipe.pixels * share / length)
        for share in (recipe.raster, recipe.lattice, recipe.diagonal, rest)
    )

    def some(
        count: int,
        pattern: np.ndarray,
        kind: int,
        phase: tuple[int, int] | None = None,
        levels: Sequence[float] = (1,),
    ) -> tuple[Views, Any, Any]:
        runs = random_runs(pixels.shape, count, phase, rng, levels, recipe.turned)
        if kind == gather.RANDOM:
            share, seed = rng.random(len(runs), dtype=np.float32), int(rng.integers(2**62))
        else:
            share, seed = np.zeros(len(runs), np.float32), 0
        return collect(pixels, runs, pattern, radius, kind, share, seed)

    parts = []
    if raster:
        parts.append(some(raster, raster_pattern(radius), gather.RASTER))
    if diagonal:
        parts.append(some(diagonal, diagonal_pattern(radius, recipe.slope), gather.RASTER))
    for _ in range(GROUPS if lattice else 0):
        first = int(rng.integers(PHASES))
        at = int(rng.integers(first, PHASES)) if rng.random() < AHEAD else first
        phase = LATTICE_ORDER[at]
        pattern = lattice_pattern(radius, phase, first)
        parts.append(some(lattice // GROUPS, pattern, gather.LATTICE, phase, LATTICE_LEVELS))
    if random:
        parts.append(some(random, np.arange(recipe.network.positions), gather.RANDOM))
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


# ---- to be scored by ---------------------------------------------------------------------------------------


def image_runs(height: int, width: int, phase: tuple[int, int] | None = None, count: int = 1) -> np.ndarray:
    """All pixels of some images of a shape, or of one of their phases, as runs of whole rows."""
    py, px, step = (*phase, PATCH) if phase else (0, 0, 1)
    image, row = (i.reshape(-1) for i in np.mgrid[:count, py:height:step])
    runs = np.zeros((len(row), gather.RUN_FIELDS), np.int64)
    runs[:, 0], runs[:, 1], runs[:, 2] = image * height * width, width, 1
    runs[:, 5], runs[:, 6] = height, width
    runs[:, 7], runs[:, 8], runs[:, 9], runs[:, 10] = row, px, step, len(range(px, width, step))
    return runs


@torch.no_grad()
def image_bits(
    net: WindowNet,
    images: np.ndarray,
    pattern: np.ndarray,
    phase: tuple[int, int] | None,
    kind: int,
    share: float | np.ndarray = 0,
    seed: int = 0,
) -> np.ndarray:
    """Mean bits per subpixel of each image, or of one phase of it, with one pattern of knowledge: float64
    (N,). images: uint8 (N, h, w, 3); share: for random sets, of what is known: one for all, or for every row
    of pixels, (N h,).
    """
    device = next(net.parameters()).device
    images = np.ascontiguousarray(images)
    count, height, width, _ = images.shape
    runs = image_runs(height, width, phase, count)
    shares = np.broadcast_to(np.asarray(share, np.float32), len(runs))
    together = max(1, SCORED // int(runs[0, 10]))
    found = []
    for start in range(0, len(runs), together):
        part = slice(start, start + together)
        share = np.ascontiguousarray(shares[part])
        views, base, pixel = collect(
            images, runs[part], pattern, net.config.radius, kind, share, seed + start
        )
        batch = moved(Batch([views], base, pixel), device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=not net.quantized):
            out = net(batch.views)
        bits = likelihood.bits(out, batch.pixel, batch.base, net.config.mixture)
        found.append(bits.double().mean(1).cpu())
    return torch.cat(found).view(count, -1).mean(1).numpy()


def validate(
    net: WindowNet, images: np.ndarray, every: int = 1, slope: int | None = None
) -> dict[str, float]:
    """Bits per subpixel in raster order, in lattice order (level 0, 15 calls), with random sets of eleven
    sizes (the bound), and, with a slope, along diagonals.
    """
    radius = net.config.radius
    few, everything = images[::every, :128, :128], np.arange(net.config.positions)
    sizes = (0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97)

    def mean(
        part: np.ndarray,
        pattern: np.ndarray,
        kind: int,
        phase: tuple[int, int] | None = None,
        share: float = 0,
    ) -> float:
        return float(image_bits(net, part, pattern, phase, kind, share, 9).mean())

    lattice = [
        mean(few, lattice_pattern(radius, p, k), gather.LATTICE, p) for k, p in enumerate(LATTICE_ORDER)
    ]
    bound = [mean(few[:, :64, :64], everything, gather.RANDOM, share=u) for u in sizes]
    found = {
        "raster": mean(images, raster_pattern(radius), gather.RASTER),
        "lattice": float(np.mean(lattice)),
        "bound": float(np.mean(bound)),
    }
    if slope is not None:
        found["diagonal"] = mean(images, diagonal_pattern(radius, slope), gather.RASTER)
    return found
