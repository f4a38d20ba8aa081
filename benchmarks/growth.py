"""How time and memory grow: with pixels, threads, network calls, and images; each point is a process of its
own. Knows sweeps; `benchmarks.coding` codes, `benchmarks.speed` prints.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import coding
from benchmarks.costs import Point
from benchmarks.large import mosaic
from benchmarks.photos import make_codec
from benchmarks.scale import cuts

METHODS: dict[str, dict[str, Any]] = {"ardm": {}, "plain": {"plain": True}}
DIRECTIONS = ("encode", "decode")
SIDE = 64  # of a thumbnail
TILE_SIDE = 384  # of the tile whose network calls are varied: one tile, and so one thread
CALLS = (1, 4, 15, 60)
LONG = 2_000_000  # pixels from which one run is enough
PNG_MOST = 1_500_000  # pixels up to which a PNG is made, too: that is slow


@dataclass(frozen=True)
class Extent:
    """How far to go."""

    megapixels: tuple[float, ...]
    threads_megapixels: float  # of the photo that is coded by 1, 2, ... threads
    threads: tuple[int, ...]
    images: tuple[int, ...]
    repeats: int


def extent(quick: bool, full: bool, repeats: int, cores: int) -> Extent:
    """As far as the options say, on a machine of so many cores."""
    counts = (
        sorted({*(1 << i for i in range(cores.bit_length())), cores}) if cores > 4 else range(1, cores + 1)
    )
    if quick:
        return Extent((0.001, 0.01, 0.1), 0.6, tuple(counts), (1, 8, 64), repeats)
    more = (24.0, 100.0) if full else ()
    # so large that every thread has two tiles or so
    size = min(24.0, max(3.0, 1.5 * cores))
    return Extent((0.001, 0.01, 0.1, 1.0, 10.0, *more), size, tuple(counts), (1, 8, 64, 512), repeats)


def measure(
    sweep: str, folder: Path, threads: int, repeats: int, order: str = "raster", batch: bool = False
) -> Iterator[Point]:
    """Both directions by both methods, of the .npy files in a folder: medians of processes. batch: in one
    call, where the release has one; else nothing."""
    from codec import info

    shapes = [np.load(path, mmap_mode="r").shape for path in folder.glob("*.npy")]
    pixels = sum(height * width for height, width, _ in shapes)
    repeats = 1 if pixels > LONG else repeats
    options = {"budget": int(order.split("-")[1])} if order != "raster" else {}
    once = sweep == "calls"  # one process is enough: what it takes to start is not of interest
    inner = 1 + repeats if once else 1 if pixels > LONG else 2  # the first pass loads machine code
    for method, chosen in METHODS.items():
        for direction in DIRECTIONS:
            runs: list[dict[str, Any]] = []
            for _ in range(1 if once else repeats):
                runs.append(coding.run(direction, folder, threads, {**chosen, **options}, batch, inner))
                if batch and not runs[0]["batch"]:
                    break
            if batch and not runs[0]["batch"]:
                continue
            tiles = [int(str(info(path.read_bytes())["tiles"])) for path in folder.glob("*.ardm")]
            yield Point(
                sweep=sweep,
                method=method,
                direction=direction,
                images=len(shapes),
                pixels=pixels,
                tiles=sum(tiles) if batch else max(tiles),
                threads=threads,
                order=order,
                batch=batch,
                seconds=statistics.median(run["process_s"] for run in runs),
                inside=statistics.median(s for run in runs for s in run["seconds"][inner > 1 :]),
                cpu=statistics.median(run["cpu_s"] for run in runs),
                mib=max(run["peak_mib"] for run in runs),
                size=runs[0]["bytes"],
            )


def sweeps(photos: Path, far: Extent, threads: int) -> Iterator[tuple[str, list[np.ndarray], dict[str, Any]]]:
    """(what is varied, images, other arguments of `measure`) of every point."""
    for megapixels in far.megapixels:
        yield "pixels", [mosaic(photos, megapixels)], {"threads": threads}
    photo = mosaic(photos, far.threads_megapixels)
    for count in far.threads:
        yield "threads", [photo], {"threads": count}
    tile = [np.ascontiguousarray(photo[:TILE_SIDE, :TILE_SIDE])]
    for order in (*(f"lattice-{calls}" for calls in CALLS), "raster"):
        yield "calls", tile, {"threads": 1, "order": order}
    squares = [np.asarray(cut) for cut in cuts(photos, max(far.images), SIDE)]
    for count in far.images:
        for batch in (False, True):
            yield "images", squares[:count], {"threads": threads, "batch": batch}


def grow(photos: Path, far: Extent) -> dict[str, Any]:
    """All points, as {"points": list of `Point`, "png": {pixels: bytes of a PNG of the same mosaic}}."""
    threads = os.cpu_count() or 1
    points, png = [], {}
    with tempfile.TemporaryDirectory() as temporary:
        start = Path(temporary) / "start"
        start.mkdir()
        np.save(start / "0.npy", mosaic(photos, 0.01))
        list(measure("calls", start, threads, 1))  # after which machine code is kept
        list(measure("calls", start, threads, 1, "lattice-4"))
        for i, (sweep, images, arguments) in enumerate(sweeps(photos, far, threads)):
            folder = Path(temporary) / str(i)
            folder.mkdir()
            for j, image in enumerate(images):
                np.save(folder / f"{j:04}.npy", image)
            for point in measure(sweep, folder, repeats=far.repeats, **arguments):
                points.append(point)
                print(line(point), flush=True)
            if sweep == "pixels" and points[-1].pixels <= PNG_MOST:
                png[points[-1].pixels] = len(make_codec("png", 1)[0](images[0]))
    return {"points": points, "png": png}


HEAD = (
    "| varied | method | | images | megapixels | tiles | threads | order | s | core s | s inside | s/MP inside | MiB |\n"
    + "|---" * 13
    + "|"
)


def line(p: Point) -> str:
    """A row of the table. Seconds are of the whole process, of its cores together, and of the calls inside."""
    order = f"{p.order}, in one call" if p.batch else p.order
    return (
        f"| {p.sweep} | {p.method} | {p.direction} | {p.images} | {p.pixels / 1e6:.4g} | {p.tiles} | {p.threads} "
        f"| {order} | {p.seconds:.2f} | {p.cpu:.2f} | {p.inside:.3f} | {p.inside / p.pixels * 1e6:.2f} | {p.mib:.0f} |"
    )
