"""What coding costs, as a formula: seconds of a process from images, pixels, tiles and threads; what that
makes of a petabyte; and how tiles fill many cores. Knows numbers only; `benchmarks.speed` measures them.

    seconds = start + overhead * images + per_pixel * pixels / min(threads, tiles)

where pixels are those of all images together, and tiles what may be coded side by side.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

HOUR = 3600.0
PETABYTE = 1e15
THUMBNAILS = 10_000


@dataclass(frozen=True)
class Point:
    """One measurement."""

    sweep: str  # what was varied
    method: str  # "ardm" or "plain"
    direction: str  # "encode" or "decode"
    images: int
    pixels: int  # of all images together
    tiles: int  # that may be coded side by side
    threads: int
    order: str  # "raster", or "lattice-15": the number is the budget
    batch: bool  # all images in one call
    seconds: float  # of the process, from its start to its end
    inside: float  # of the calls in it, a second time if they are short: without loading machine code
    cpu: float  # of the process, summed over its threads
    mib: float  # the most that the process had
    size: int  # bytes of the .ardm files


@dataclass(frozen=True)
class Costs:
    """The formula."""

    start: float
    overhead: float
    per_pixel: float

    def seconds(self, images: int, pixels: int, tiles: int = 1, threads: int = 1) -> float:
        """Of a process."""
        work = self.per_pixel * pixels / min(threads, tiles)
        return self.start + self.overhead * images + work

    def core_seconds(self, images: float, pixels: float) -> float:
        """Of one core that does nothing else, its start left out."""
        return self.overhead * images + self.per_pixel * pixels


def fit(points: Sequence[Point]) -> Costs:
    """By least squares of relative errors, of all that have nothing negative."""
    rows = np.array([[1.0, p.images, p.pixels / min(p.threads, p.tiles)] for p in points])
    scale = rows.max(0)  # pixels are millions, images few
    rows = rows / scale / np.array([p.seconds for p in points])[:, None]
    best, least = np.zeros(3), float(len(points))
    for used in (list(part) for count in (1, 2, 3) for part in itertools.combinations(range(3), count)):
        found = np.zeros(3)
        found[used] = np.linalg.lstsq(rows[:, used], np.ones(len(points)), rcond=None)[0]
        error = float(((rows @ found - 1) ** 2).sum())
        if (found >= 0).all() and error < least:
            best, least = found, error
    return Costs(*(best / scale).tolist())


def halves(points: Iterable[Point]) -> tuple[list[Point], list[Point]]:
    """(to fit, to predict): every second one, from the most work down, whatever was measured."""
    ordered = sorted(points, key=lambda p: (-p.pixels / min(p.threads, p.tiles), p.images, p.batch))
    return ordered[::2], ordered[1::2]


def on_one_core(points: Iterable[Point]) -> list[Point]:
    """The same by processor time: as if one core had done it all, and nobody else had been there."""
    return [replace(p, seconds=p.cpu, threads=1) for p in points]


def predicted(points: Iterable[Point]) -> tuple[Costs, list[dict[str, Any]]]:
    """(the formula, fitted to half of the points; of all others {..., "ratio": predicted over measured})."""
    known, others = halves(points)
    costs = fit(known)
    rows: list[dict[str, Any]] = []
    for p in others:
        expected = costs.seconds(p.images, p.pixels, p.tiles, p.threads)
        named = {
            name: getattr(p, name) for name in ("sweep", "images", "pixels", "tiles", "threads", "batch")
        }
        rows.append(
            {**named, "measured_s": p.seconds, "predicted_s": expected, "ratio": expected / p.seconds}
        )
    return costs, rows


def worst(ratios: Iterable[float]) -> float:
    """The largest deviation from 1, either way."""
    return max((abs(ratio - 1) for ratio in ratios), default=0.0)


def petabyte(costs: Costs, png_per_pixel: float, pixels: int, share: float = 0.0) -> dict[str, float]:
    """What a petabyte of PNGs of so many pixels each takes. share: of a PNG's bytes that are left."""
    photos = PETABYTE / (png_per_pixel * pixels)
    hours = costs.core_seconds(photos, photos * pixels) / HOUR
    saved = PETABYTE * (1 - share)
    return {
        "photos": photos,
        "core_hours": hours,
        "bytes_saved": saved,
        "core_hours_per_tb_saved": hours / saved * 1e12,
    }


def schedule(jobs: Iterable[float], cores: int, alone: float = 0.0) -> float:
    """Seconds until all jobs are done, each begun, in their order, by the first core that is free. alone:
    what every job begins with, and only one at a time can do: Python.
    """
    free, python = [0.0] * cores, 0.0
    for seconds in jobs:
        python = max(heapq.heappop(free), python) + alone
        heapq.heappush(free, python + seconds)
    return max(free)


def speed_up(jobs: Sequence[float], cores: int, alone: float = 0.0) -> float:
    """Over one core; 1 if there is nothing to do."""
    needed = schedule(jobs, cores, alone)
    return (sum(jobs) + alone * len(jobs)) / needed if needed else 1.0


def tile_pixels(height: int, width: int, rows: int, columns: int) -> list[int]:
    """Pixels of every tile of an image, in order. rows, columns: of a tile."""
    return [
        min(rows, height - top) * min(columns, width - left)
        for top in range(0, height, rows)
        for left in range(0, width, columns)
    ]


def many_cores(
    costs: Costs, tiles: Sequence[int], small: int, cores: Sequence[int]
) -> list[dict[str, float]]:
    """Speed-ups over one core. tiles: pixels of each of a large photo's, which begin with nothing that only
    one at a time can do. small: pixels of a thumbnail, of which there are THUMBNAILS: by processes, which wait
    for nothing, and by one process, where the overhead of each waits for that of the others, at worst.
    """
    photo = [costs.per_pixel * pixels for pixels in tiles]
    alone, work = costs.overhead, costs.per_pixel * small
    return [
        {
            "cores": count,
            "photo": speed_up(photo, count),
            "thumbnails": speed_up([alone + work] * THUMBNAILS, count),
            "thumbnails_in_one_process": speed_up([work] * THUMBNAILS, count, alone),
        }
        for count in cores
    ]
