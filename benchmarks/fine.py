"""Photos of more than 8 bits against PNG and JPEG XL: python -m benchmarks.fine FOLDER [--images 24].

Made of the 8-bit PNGs under FOLDER, since few others are free: each value gets uniform noise of one level, so
that flat areas do not betray where it was rounded; two by two (or four by four) pixels are averaged in linear
light; the mean is rounded to more bits. Times are of this process's CPU, one thread. The last line of output
is the machine-readable version of the run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from benchmarks.photos import provenance
from codec import compress, decompress


def shrunk(pixels: np.ndarray, factor: int, seed: int) -> np.ndarray:
    """uint8 (H, W, 3) -> linear light, 0 to 1, float64 (H // factor, W // factor, 3)."""
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    noisy = np.clip(pixels + np.random.default_rng(seed).uniform(-0.5, 0.5, pixels.shape), 0, 255) / 255
    light = np.where(noisy <= 0.04045, noisy / 12.92, ((noisy + 0.055) / 1.055) ** 2.4)
    return (
        light[: height * factor, : width * factor].reshape(height, factor, width, factor, 3).mean(axis=(1, 3))
    )


def srgb(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def rounded(values: np.ndarray, depth: int) -> np.ndarray:
    return np.round(values * (2**depth - 1)).astype(np.uint16)


# name -> (factor, samples of the linear light)
KINDS: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray]]] = {
    "RGB, 10 bits in the low ones": (2, lambda x: rounded(srgb(x), 10)),
    "RGB, 12 bits in the high ones": (2, lambda x: rounded(srgb(x), 12) << 4),
    "RGB, 12 bits, linear": (2, lambda x: rounded(x, 12)),
    "RGB, 14 bits, scaled to 16": (4, lambda x: rounded(rounded(srgb(x), 14) / 16383, 16)),
    "RGB, 16 bits": (4, lambda x: rounded(srgb(x), 16)),
    "grey, 12 bits": (2, lambda x: rounded(srgb(x @ np.array([0.2126, 0.7152, 0.0722])), 12)),
    "RGBA, 12 bits": (
        2,
        lambda x: rounded(
            np.dstack([srgb(x), np.sqrt(np.linspace(0, 1, x.shape[1]) * np.ones(x.shape[:2]))]), 12
        ),
    ),
}


def measure(image: np.ndarray, row: dict[str, Any]) -> None:
    """Add the bytes and seconds of one image to the row of its kind."""
    start = time.process_time()
    data = compress(image, threads=1)
    middle = time.process_time()
    restored = decompress(data, threads=1)
    row["decode_s"] += time.process_time() - middle
    row["encode_s"] += middle - start
    start = time.process_time()
    jxl = imagecodecs.jpegxl_encode(image, lossless=True, effort=9, numthreads=1)
    row["jxl_encode_s"] += time.process_time() - start
    row["samples"] += image.size
    row["png"] += len(imagecodecs.png_encode(image, level=9))
    row["jxl9"] += len(jxl)
    row["ardm"] += len(data)
    row["larger"] += len(data) >= len(jxl)
    row["lossless"] += np.array_equal(restored, image)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=1000, help="at most so many")
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.rglob("*.png"))[: arguments.images]
    rows: dict[str, dict[str, Any]] = {}
    for name, (factor, make) in KINDS.items():
        row = rows[name] = dict.fromkeys(
            ("samples", "png", "jxl9", "ardm", "larger", "lossless", "encode_s", "decode_s", "jxl_encode_s"),
            0,
        )
        for seed, path in enumerate(paths):
            measure(
                np.ascontiguousarray(make(shrunk(np.asarray(Image.open(path).convert("RGB")), factor, seed))),
                row,
            )
    print(
        "| samples | PNG | JPEG XL, effort 9 | ardm | against JPEG XL | larger than it | us per sample, "
        "encode / decode (JPEG XL encode) | lossless |"
    )
    print("|---" * 8 + "|")
    for name, r in rows.items():
        encode, decode, jxl = (
            1e6 * r[key] / r["samples"] for key in ("encode_s", "decode_s", "jxl_encode_s")
        )
        bits = " | ".join(f"{8 * r[key] / r['samples']:.3f}" for key in ("png", "jxl9", "ardm"))
        against = f"{100 * (r['ardm'] / r['jxl9'] - 1):+.1f} %"
        print(
            f"| {name} | {bits} | {against} | {r['larger']} | {encode:.1f} / {decode:.1f} ({jxl:.1f}) | "
            f"{r['lossless']}/{len(paths)} |"
        )
    print(json.dumps({**provenance(), "images": len(paths), "kinds": rows}))


if __name__ == "__main__":
    main()
