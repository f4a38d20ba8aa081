"""What the coder of JPEGs' coefficients starts from: python -m benchmarks.coefficients FOLDER --out ardm/data.

Codes JPEGs made of the training pictures, one after another, without forgetting what the decisions learned, and
writes it. Of some, pixels are coded too, as of a PNG that was a JPEG. Prints the new id, which belongs into
`codec.coder.jpeg.start` and docs/format/jpeg.md: a change of format, with golden files made anew. The same
pictures give the same tensors, but not the same id: safetensors writes metadata in any order. Knows pictures;
measures nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from ardm import released
from ardm.training.photos import list_images, split_sources
from benchmarks.jpegs import saved
from codec.coder.decisions import Taught
from codec.coder.jpeg import file, origin, start
from codec.coder.jpeg.coder import JPEG_CODER
from codec.coder.jpeg.dct import Layout
from codec.coder.jpeg.steps import standard_tables

QUALITIES = 30, 50, 60, 70, 75, 80, 85, 88, 90, 92, 94, 95, 97
SAMPLINGS = 2, 2, 2, 1, 0  # of Pillow: of five JPEGs, three are 4:2:0
GREY, PIXELS = 0.06, 0.1  # shares
SEED = 1
PART = 256  # of a picture whose pixels are coded: side


def jpeg_of(image: Image.Image, rng: np.random.Generator) -> bytes:
    """As cameras and programs may have saved it."""
    options = {"quality": int(rng.choice(QUALITIES)), "subsampling": int(rng.choice(SAMPLINGS))}
    if rng.random() < GREY:
        image, options = image.convert("L"), {"quality": options["quality"]}
    return saved(image, "JPEG", **options)


def learn_pixels(pixels: np.ndarray, taught: Taught, rng: np.random.Generator) -> None:
    """Of a picture that was a JPEG, cut anywhere, and painted upon since. uint8 (h, w, 3)."""
    down, across = ((2, 2), (1, 2), (1, 1))[int(rng.choice(3))]
    height, width = pixels.shape[:2]
    layout = Layout(height, width, int(rng.integers(8 * down)), int(rng.integers(8 * across)), down, across)
    plane = origin.saved(pixels, layout, standard_tables(int(rng.choice(QUALITIES[4:]))))
    for _ in range(int(rng.integers(3))):
        y, x, size = int(rng.integers(height)), int(rng.integers(width)), int(rng.integers(4, 24))
        plane[y : y + size, x : x + 2 * size] = rng.integers(0, 256, 3)
    found = origin.find(plane)
    if found is not None:
        JPEG_CODER.write(found, plane, taught)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="the training folder")
    parser.add_argument("--held-out", type=int, default=100, help="the same number as in training")
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("."))
    parser.add_argument("--note", default="")
    args = parser.parse_args()
    files = split_sources(list_images(args.folder), args.held_out)[0]
    rng, taught, count = np.random.default_rng(SEED), start.nothing(), 0
    for _ in range(args.passes):
        for i in rng.permutation(len(files)):
            with Image.open(files[i]) as opened:
                image = opened.convert("RGB")
            count += file.learn(jpeg_of(image, rng), taught)
            if rng.random() < PIXELS:
                learn_pixels(np.asarray(image)[:PART, :PART], taught, rng)
    about = {
        "pictures": len(files),
        "passes": args.passes,
        "coded": count,
        "seed": SEED,
        "qualities": QUALITIES,
        "samplings": SAMPLINGS,
        "grey": GREY,
        "pixels": PIXELS,
        "note": args.note,
    }
    data = start.serialize(taught, about)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"jpeg-{released.id_of(data, start.ID_BYTES)}.safetensors"
    path.write_bytes(data)
    print(json.dumps({"path": str(path), "bytes": len(data), **about}))


if __name__ == "__main__":
    main()
