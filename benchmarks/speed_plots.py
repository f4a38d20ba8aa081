"""Plots of what `benchmarks.speed` measured. Measures nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.costs import Point
from benchmarks.report import plot_size_time

COLOURS = {"ardm": "C0", "plain": "C1"}
LINES = {"encode": "-", "decode": "--"}
RASTER = 3000  # where raster order stands on the axis of calls


def curves(axis: Any, points: list[Point], x: Callable[[Point], float], y: Callable[[Point], float]) -> None:
    """A line for every method, direction, and way to code several."""
    lines = defaultdict(list)
    for p in points:
        lines[p.method, p.direction, p.batch].append((x(p), y(p)))
    for (method, direction, batch), found in lines.items():
        name = f"{method} {direction}{', one call' if batch else ''}"
        marker, filled = ("s", "none") if batch else ("o", None)
        axis.plot(
            *zip(*sorted(found), strict=True),
            LINES[direction] + marker,
            color=COLOURS[method],
            markerfacecolor=filled,
            markersize=4,
            label=name,
        )
    axis.legend(fontsize=7)


def finish(axis: Any, xlabel: str, ylabel: str, **scales: str) -> None:
    axis.set(xlabel=xlabel, ylabel=ylabel, **scales)
    axis.grid(alpha=0.3)


def plot_growth(points: list[Point], path: Path) -> None:
    """Six panels."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 3, figsize=(16, 9))
    by = {
        sweep: [p for p in points if p.sweep == sweep] for sweep in ("pixels", "threads", "calls", "images")
    }
    log = {"xscale": "log", "yscale": "log"}
    curves(axes[0, 0], by["pixels"], lambda p: p.pixels / 1e6, lambda p: p.seconds)
    finish(axes[0, 0], "megapixels", "seconds of a process", **log)
    curves(axes[0, 1], by["pixels"], lambda p: p.pixels / 1e6, lambda p: p.inside / p.pixels * 1e6)
    finish(axes[0, 1], "megapixels", "seconds per megapixel, without starting", **log)
    curves(axes[0, 2], by["pixels"], lambda p: p.pixels / 1e6, lambda p: p.mib)
    finish(axes[0, 2], "megapixels", "peak MiB", **log)
    one = {(p.method, p.direction): p.inside for p in by["threads"] if p.threads == 1}
    curves(axes[1, 0], by["threads"], lambda p: p.threads, lambda p: one[p.method, p.direction] / p.inside)
    axes[1, 0].set_xticks(sorted({p.threads for p in by["threads"]}))
    finish(axes[1, 0], "threads", "times as fast as one")
    curves(
        axes[1, 1],
        by["calls"],
        lambda p: RASTER if p.order == "raster" else int(p.order.split("-")[1]),
        lambda p: p.inside / p.pixels * 1e6,
    )
    finish(
        axes[1, 1],
        "network calls, at most; last: raster order",
        "seconds per megapixel, one thread",
        xscale="log",
    )
    axes[1, 1].set_ylim(bottom=0)
    curves(axes[1, 2], by["images"], lambda p: p.images, lambda p: p.images / p.inside)
    finish(axes[1, 2], "thumbnails", "images a second, without starting", **log)
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def plot_model(found: dict[str, Any], path: Path) -> None:
    """Predicted against measured, of the points that were not fitted."""
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6, 5))
    every = []
    for name, of in found["of"].items():
        method, direction = name.split()
        x = [row["measured_s"] for row in of["predicted"]]
        y = [row["predicted_s"] for row in of["predicted"]]
        filled = "none" if direction == "decode" else None
        axis.plot(x, y, "o", color=COLOURS[method], markerfacecolor=filled, label=name)
        every += x
    ends = [min(every), max(every)]
    for factor, style in ((1, "-"), (0.75, ":"), (1.25, ":")):
        axis.plot(ends, [factor * end for end in ends], style, color="grey", linewidth=1)
    axis.legend(fontsize=7)
    finish(axis, "seconds, measured", "seconds, predicted; dotted: 25 % off", xscale="log", yscale="log")
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def plot_work(found: dict[str, Any], path: Path) -> None:
    """Where the time of a pixel goes."""
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 3.5))
    names = list(found["times"])
    left = [0.0] * len(names)
    for part in ("network", "coding", "other"):
        values = [max(0.0, found["times"][name][f"{part}_us"]) for name in names]
        axis.barh(names, values, left=left, label=part)
        left = [a + b for a, b in zip(left, values, strict=True)]
    axis.invert_yaxis()
    axis.legend(fontsize=7)
    finish(axis, "microseconds a pixel, one thread", "")
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def draw(whole: dict[str, Any], folder: Path) -> None:
    """All parts that there are."""
    import matplotlib

    matplotlib.use("Agg")
    if "work" in whole:
        plot_work(whole["work"], folder / "speed-work.png")
    if "growth" in whole:
        plot_growth([Point(**point) for point in whole["growth"]["points"]], folder / "speed-growth.png")
    if "model" in whole:
        plot_model(whole["model"], folder / "speed-model.png")
    if "beside" in whole:
        plot_size_time([whole["beside"]], folder / "speed-beside.png")
