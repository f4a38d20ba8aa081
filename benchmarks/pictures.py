"""Squares to train the photo network on, cut from pictures of folders and git repositories: python -m
benchmarks.pictures OUT FOLDER_OR_REPOSITORY... [--most 120].

Pictures are made 1.7 to 4 times smaller, which washes out what JPEG left in them; squares that are flat, as
drawings are, and those that show what another square does, are left out. What is cut depends on the names and
contents of the pictures alone. Writes OUT/INDEX.tsv, as `ardm.training.photos` reads it, in which all sources
have one name, so that the choice of held-out sources is that of the folder they are put beside.
`results/pictures.tsv` says from which repositories, at which commits, the further squares are that the weights
of `--quick` have seen, and the raster and the large network's checkpoints (cut by an earlier form of this
script; 84 of its 2541 were left out, as others show what they do); no other shipped weights have. They are not
this project's to hand on. Knows pictures; no network.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ardm.training.photos import CROP

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
LEAST_BYTES = 120_000  # of a file
LEAST_SIDE = 700  # pixels
SCALES = 1.7, 4.0
SQUARES, TRIES = 2, 6  # of a picture
FLAT, EVEN = 0.12, 1.2  # share of pixels that are as the one before; mean difference of samples
FILTERS = [Image.Resampling(n) for n in (1, 3, 5, 4)]
SAME = 0.985  # correlation of two squares' small copies
SOURCE = "more"

Files = list[tuple[str, Callable[[], bytes]]]  # names and contents


def files_of(place: Path) -> Files:
    """The pictures of a folder or a git directory."""
    if (place / "HEAD").exists():
        git = ["git", "--git-dir", str(place)]
        listed = subprocess.run([*git, "ls-tree", "-r", "-l", "HEAD"], capture_output=True, check=True)
        rows = [line.split("\t", 1) for line in listed.stdout.decode(errors="replace").splitlines()]
        found = [(*row[0].split(), row[1]) for row in rows]

        def read(blob: str) -> Callable[[], bytes]:
            return lambda: subprocess.run([*git, "cat-file", "blob", blob], capture_output=True).stdout

        return [
            (name, read(blob))
            for _, kind, blob, size, name in found
            if kind == "blob" and size.isdigit() and int(size) > LEAST_BYTES and is_picture(name)
        ]
    paths = sorted(path for path in place.rglob("*") if path.is_file() and not path.is_symlink())
    return [
        (str(path.relative_to(place)), path.read_bytes)
        for path in paths
        if path.stat().st_size > LEAST_BYTES and is_picture(path.name)
    ]


def is_picture(name: str) -> bool:
    return name.lower().rstrip('"').endswith(SUFFIXES)


def is_photo(square: np.ndarray) -> bool:
    flat = (square[:, 1:] == square[:, :-1]).all(2).mean()
    return bool(flat < FLAT and np.abs(np.diff(square.astype(int), axis=1)).mean() > EVEN)


def squares_of(data: bytes, rng: random.Random) -> Iterator[np.ndarray]:
    """uint8 (CROP, CROP, 3). Nothing of what is no picture, or too small."""
    try:
        with Image.open(io.BytesIO(data)) as file:
            image = file.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return
    most = min(SCALES[1], min(image.size) / (CROP + 16))
    if min(image.size) < LEAST_SIDE or most < SCALES[0]:
        return
    scale = rng.uniform(SCALES[0], most)
    size = round(image.width / scale), round(image.height / scale)
    pixels = np.asarray(image.resize(size, rng.choice(FILTERS)))
    height, width, _ = pixels.shape
    left = SQUARES
    for _ in range(TRIES):
        y, x = rng.randrange(0, height - CROP + 1), rng.randrange(0, width - CROP + 1)
        square = pixels[y : y + CROP, x : x + CROP]
        if left and is_photo(square):
            left -= 1
            yield square


def look_of(square: np.ndarray) -> np.ndarray:
    """A small copy of mean 0 and length 1: float32 (256,)."""
    small = Image.fromarray(square).convert("L").resize((16, 16), Image.Resampling.BOX)
    look = np.asarray(small, np.float32)
    look = look - look.mean()
    return (look / (np.linalg.norm(look) + 1e-6)).ravel()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("places", type=Path, nargs="+")
    parser.add_argument("--most", type=int, default=120, help="squares of one place")
    parser.add_argument(
        "--beside", type=Path, help="a folder of pictures of which nothing shall be shown again"
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    looks = np.zeros((0, 256), np.float32)
    for path in sorted(args.beside.rglob("*.webp")) if args.beside else []:
        with Image.open(path) as file:
            looks = np.vstack([looks, look_of(np.asarray(file.convert("RGB")))])
    lines = []
    for place in args.places:
        files = files_of(place)
        name = place.parent.name if place.name in ("repo", ".git") else place.name
        rng, count = random.Random(name), 0
        rng.shuffle(files)
        for file_name, read in files:
            if count >= args.most:
                break
            for i, square in enumerate(squares_of(read(), rng)):
                look = look_of(square)
                if len(looks) and (looks @ look).max() > SAME:
                    continue
                looks = np.vstack([looks, look])
                digest = hashlib.sha256(f"{name}/{file_name}/{i}".encode()).hexdigest()[:12]
                Image.fromarray(square).save(args.out / f"{digest}.webp", lossless=True, method=1)
                lines.append(f"{digest}.webp\t{SOURCE}\t{name}")
                count += 1
        print(f"{name}: {len(files)} pictures, {count} squares")
    (args.out / "INDEX.tsv").write_text("\n".join(["file\tsource\tplace", *lines]) + "\n")


if __name__ == "__main__":
    main()
