"""Training of the window network on photos: data, augmentation, and the command `ardm-train FOLDER`. Knows
images only as files to read once; nothing of the codec.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F

from ardm.training.recipe import TrainingRecipe
from ardm.training.run import CheckpointError
from ardm.training.windows import session_options, start, train

CROP = 384  # images are cut into squares of this side for training
SUFFIXES = {".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".jpg", ".jpeg"}


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


# what luma, and blue and red less luma, are taken times by the conversions of JPEG and of Photo CD
SCALES = (1.0, 1.772, 1.402), (1.3584, 2.2179, 1.8215)
LUMA = 0.299, 0.587, 0.114  # of R, G and B


def as_luma(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the codec codes of a picture that was decoded from a lossy file, or from a Photo CD
    (docs/format/converted.md): luma in the place of G, and the differences added to it. uint8 (h, w, 3), and
    so is the result.
    """
    photo_cd = rng.random() < 0.3
    scale, blue, red = SCALES[int(photo_cd)]
    x = torch.from_numpy(crop).permute(2, 0, 1)[None].float()
    y = (x * torch.tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)
    differences = torch.cat([(x[:, 0:1] - y) / red, (x[:, 2:3] - y) / blue], 1)
    if not photo_cd and rng.random() < 0.6:  # 4:2:0
        half = F.avg_pool2d(differences, 2, ceil_mode=True).round()
        differences = F.interpolate(half, size=x.shape[2:], mode="bilinear")
    y = (y / scale).round()
    sums = differences.round() + y
    planes = torch.cat([sums[:, :1], y, sums[:, 1:]], 1).to(torch.int32) & 255
    return planes.to(torch.uint8)[0].permute(1, 2, 0).contiguous().numpy()


def as_grey(crop: np.ndarray) -> np.ndarray:
    """Luma in the place of all three channels: uint8 (h, w, 3), and so is the result."""
    luma = (crop @ np.array(LUMA, np.float32)).round().astype(np.uint8)
    return np.repeat(luma[..., None], 3, 2)


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
        crop = augment(self.source[i], rng) if rng.random() < self.recipe.augment else self.source[i]
        # asked only where it may be, so that older recipes draw as they did
        if self.recipe.converted and rng.random() < self.recipe.converted:
            crop = as_luma(crop, rng)
        elif self.recipe.grey and rng.random() < self.recipe.grey:
            crop = as_grey(crop)
        self.pixels[i] = crop

    def advance(self, step: int) -> None:
        if step % self.EVERY == 0:
            self.renew(self.chosen(step), step)


# ---- the command -------------------------------------------------------------------------------------------


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--held-out", type=int, default=100, show_default=True, help="Images held out, whole sources.")
@session_options
def main(folder: Path, held_out: int, **said: Any) -> None:
    """Train the photo network on a FOLDER of images; resumable."""
    try:
        recipe, session = start(TrainingRecipe(), **said)
        training, held = split_sources(list_images(folder), held_out)
        crops, valid = load_crops(training), load_crops(held[:: max(1, len(held) // 24)])
        valid = valid[::2]
        if recipe.grey == 1:  # for nothing else
            valid = np.stack([as_grey(crop) for crop in valid])
        train(recipe, session, lambda step: Pool(crops, recipe, step), valid)
    except CheckpointError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
