"""Peak memory and time of the commands on one large photo: python -m benchmarks.large FOLDER [--megapixels
24] [--plain].

The photo is a mosaic of the images in FOLDER. Each command runs as a user would run it; memory is the
kernel's peak resident size of the process, interpreter and libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.photos import SUFFIXES, provenance


def mosaic(folder: Path, megapixels: float) -> np.ndarray:
    """uint8 (H, W, 3), 3 : 2, row after row of the images, repeated as needed."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    height = round((megapixels * 1e6 * 2 / 3) ** 0.5)
    width = round(height * 1.5)
    out = np.zeros((height, width, 3), dtype=np.uint8)
    y = i = 0
    while y < height:
        x, tall = 0, 1
        while x < width:
            with Image.open(paths[i % len(paths)]) as image:
                tile = np.asarray(image.convert("RGB"))[: height - y, : width - x]
            out[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
            x, tall, i = x + tile.shape[1], max(tall, min(tile.shape[0], 512)), i + 1
        y += tall
    return out


def run(code: str, *arguments: str) -> tuple[float, float]:
    """(seconds, peak MiB) of one command."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the command failed with status {status}.")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megapixels", type=float, default=24)
    parser.add_argument("--plain", action="store_true")
    arguments = parser.parse_args()
    options = ["--plain"] if arguments.plain else []
    with tempfile.TemporaryDirectory() as folder:
        source, packed, restored = (
            str(Path(folder) / name) for name in ("photo.png", "photo.ardm", "restored.png")
        )
        pixels = mosaic(arguments.folder, arguments.megapixels)
        Image.fromarray(pixels).save(source, compress_level=1)
        encode = run(
            "from codec.commands.cli import compress_main; compress_main()",
            "--no-verify",
            *options,
            "-o",
            packed,
            source,
        )
        decode = run(
            "from codec.commands.cli import decompress_main; decompress_main()", "-o", restored, packed
        )
        lossless = np.array_equal(np.asarray(Image.open(restored)), pixels)
        size = os.path.getsize(packed)
    mp = pixels.shape[0] * pixels.shape[1] / 1e6
    print(
        f"{mp:.1f} megapixels, {8 * size / pixels.size:.3f} bits/subpixel: encode {encode[0] / mp:.2f} "
        f"s/MP, peak {encode[1]:.0f} MiB; "
        f"decode {decode[0] / mp:.2f} s/MP, peak {decode[1]:.0f} MiB; lossless: {lossless}"
    )
    print(
        json.dumps(
            {
                **provenance(),
                "megapixels": mp,
                "bytes": size,
                "encode_s": encode[0],
                "encode_peak_mib": encode[1],
                "decode_s": decode[0],
                "decode_peak_mib": decode[1],
                "lossless": lossless,
            }
        )
    )


if __name__ == "__main__":
    main()
