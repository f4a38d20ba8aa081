"""Speed of the exact window network, each way to compute it, one thread: python -m benchmarks.network
[--pixels 20000].

Microseconds a pixel and billions of multiply-accumulates a second, the best of five runs, beside the
machine's own ceiling for such products (the packed weights of one hidden layer, multiplied with four rows
that stay in the cache).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from ardm.exact import dense, evaluate, window
from ardm.exact.on_device import by_torch
from ardm.exact.predictor import Predictor, new_canvas, windows
from ardm.orders import LATTICE_ORDER
from ardm.window import CHANNELS, WindowConfig
from benchmarks.photos import provenance
from codec.coder.mixing import raster_net

SIDE = 256


@njit(nogil=True)
def four_by_four(net: Any, canvas: Any, work: Any, params: Any, count: int) -> None:
    """Raster order in strips of four rows."""
    for i in range(count // 4):
        for p in range(4):
            x = 8 + i % (SIDE - 48) + 7 * (3 - p)
            y = 8 + (4 * (i // (SIDE - 48)) + p) % (SIDE - 16)
            evaluate.gather_raster(net, canvas, y, x, work, p)
        evaluate.finish_block(net, work, params, 0, 4)


@njit(nogil=True)
def ceiling(x: Any, w: Any, start: Any, sums: Any, width: int, count: int) -> None:
    """Products alone."""
    for _ in range(count):
        dense.accumulate_four(x, 0, width, w, 0, width, width, start, 0, 0, sums, width)


def products(config: WindowConfig, known: int, near: int = 0) -> int:
    """Multiply-accumulates of a pixel, so many positions of whose window are known. near: those of them whose
    weights have a high part as well, if that shall count as a product of its own."""
    inner = 2 * config.depth * config.width + config.outputs
    return config.width * (CHANNELS * (known + near) + inner)


def least(works: dict[str, Callable[[], object]], runs: int = 5) -> dict[str, float]:
    """Seconds of each, the least of some runs after a first one. They take turns, so that what else the
    machine does is the same to all."""
    found = dict.fromkeys(works, float("inf"))
    for i in range(runs + 1):
        for name, work in works.items():
            begun = time.perf_counter()
            work()
            if i:
                found[name] = min(found[name], time.perf_counter() - begun)
    return found


def best(work: Callable[[], object]) -> float:
    """Seconds, the least of five runs after a first one."""
    return least({"": work})[""]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pixels", type=int, default=20_000)
    count = parser.parse_args().pixels
    weights = window.load()
    config = weights.config
    canvas = new_canvas(SIDE, SIDE)
    canvas.image[:] = np.cumsum(np.random.default_rng(0).integers(-6, 7, (SIDE, SIDE, 3)), 1).astype(np.uint8)
    canvas.mask[::4, ::4] = True
    net = raster_net(weights)
    work, params = evaluate.scratch(net), np.zeros(4 * config.outputs, np.int32)
    width = config.width
    phase = (
        np.stack(np.meshgrid(np.arange(2, SIDE, 4), np.arange(2, SIDE, 4), indexing="ij"), -1)
        .reshape(-1, 2)
        .astype(np.int32)
    )
    x, w = np.ones(4 * width, np.uint8), np.ones(width * width, np.int8)
    start, sums = np.zeros(width, np.int32), np.zeros(4 * width, np.int32)
    seen = windows(canvas, phase[:2048], config.radius)
    rows = {
        "products alone, four rows": (
            best(lambda: ceiling(x, w, start, sums, width, count)) / (4 * count),
            width * width,
        ),
        "raster order, strips of four rows": (
            best(lambda: four_by_four(net, canvas, work, params, count)) / count,
            products(config, config.positions // 2),
        ),
        "lattice order, one phase": (
            best(lambda: Predictor(weights).lattice(canvas, LATTICE_ORDER[0], 0, phase)) / len(phase),
            products(config, len(evaluate_pattern(config.radius))),
        ),
        "any set, the same pixels": (
            best(lambda: Predictor(weights).scattered(canvas, phase)) / len(phase),
            products(config, config.positions),
        ),
        "float64 by torch": (
            best(lambda: by_torch(weights, *seen, "cpu")) / 2048,
            products(config, config.positions) + width * config.positions,
        ),
    }
    result = {"vnni": dense.VNNI, **provenance(), "rows": {}}
    print(
        "| way | microseconds a pixel | multiply-accumulates a pixel | billions a second |\n|---|---|---|---|"
    )
    for name, (seconds, count) in rows.items():
        print(f"| {name} | {1e6 * seconds:.2f} | {count:,} | {count / seconds / 1e9:.0f} |")
        result["rows"][name] = {"microseconds": 1e6 * seconds, "products": count}
    print(json.dumps(result))


def evaluate_pattern(radius: int) -> np.ndarray:
    """What the first phase of lattice order knows."""
    from ardm.window import lattice_pattern

    return lattice_pattern(radius, LATTICE_ORDER[0], 0)


if __name__ == "__main__":
    main()
