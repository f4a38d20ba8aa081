"""ardm beside JPEG XL and WebP, and beside an older release of itself, in one run. Knows which codecs and
photos; `benchmarks.photos` and `benchmarks.coding` measure.
"""

from __future__ import annotations

import shutil
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import coding, photos
from benchmarks.growth import DIRECTIONS, METHODS, SIDE
from benchmarks.scale import cuts

COMMAND = "cjxl9g3"  # needs cjxl
CODECS = ("jxl7", "jxl9", COMMAND, "webp", "png", "plain", "ardm")
THUMBNAILS = 64
OLDER = "older"


def beside(images: list[Path], folder: Path, threads: int, repeats: int) -> list[dict[str, Any]]:
    """`benchmarks.photos.measure` of all codecs, each image as often as `repeats` says."""
    found = []
    for name in CODECS:
        if name != COMMAND or shutil.which("cjxl"):
            found.append(photos.measure(name, images * repeats, folder, threads))
    return found


def against(release: Path, photo_folder: Path, folder: Path, repeats: int) -> list[dict[str, Any]]:
    """Seconds and bytes of this and another release: of the .npy photos in `folder`, and of thumbnails of
    those in `photo_folder`, one by one, in one thread each; medians of second passes."""
    small = folder / "thumbnails"
    small.mkdir()
    for i, cut in enumerate(cuts(photo_folder, THUMBNAILS, SIDE)):
        np.save(small / f"{i:04}.npy", np.asarray(cut))
    releases = {name: (coding.ROOT, options) for name, options in METHODS.items()} | {OLDER: (release, {})}
    rows = []
    for where in (folder, small):
        seconds = defaultdict[tuple[str, str], list[float]](list)
        sizes = {}
        for _ in range(repeats):  # they take turns, so that what else the machine does is the same to all
            for name, (code, options) in releases.items():
                for direction in DIRECTIONS:
                    told = coding.run(direction, where, 1, options, repeated=2, release=code)
                    seconds[name, direction].append(told["seconds"][-1])
                    sizes[name] = told["bytes"]
        of_set: dict[str, dict[str, Any]] = {
            name: {f"{d}_s": statistics.median(seconds[name, d]) for d in DIRECTIONS} | {"bytes": sizes[name]}
            for name in releases
        }
        for name, row in of_set.items():
            times = {f"older_over_{key}": of_set[OLDER][key] / value for key, value in row.items()}
            images = "thumbnails" if where == small else "photos"
            rows.append({"images": images, "method": name, **row, **times})
    return rows


def report(found: dict[str, Any]) -> str:
    """Markdown. found: {"results": of `beside`, "against": of `against`, or nothing}."""
    lines = [photos.table(found["results"])]
    if found["against"]:
        lines += ["", "one thread; how many times the older release's figure is of this one's:", ""]
        lines += ["| images | | encode s | decode s | bytes | encode | decode | bytes |", "|---" * 8 + "|"]
    for row in found["against"]:
        cells = [f"{row['encode_s']:.2f}", f"{row['decode_s']:.2f}", f"{row['bytes']:,}"]
        cells += [f"{row[f'older_over_{name}']:.3f}" for name in ("encode_s", "decode_s", "bytes")]
        lines.append(f"| {row['images']} | {row['method']} | {' | '.join(cells)} |")
    return "\n".join(lines)
