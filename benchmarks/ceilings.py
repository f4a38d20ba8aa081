"""How near coding comes to what the machine can do: one tile of a photo, one thread, split into the network
and the rest. Knows the inside of both; `benchmarks.speed` prints it.

The network is asked for all pixels of the tile as the coder asks it; the mixing coder is told its answers
beforehand, and must write the same bytes. The ceiling of the network is its own innermost loop
(`ardm.exact.dense.accumulate_four`) on a layer that stays in the first cache. Seconds are the least of some
runs, since what disturbs a run only adds to it; all take turns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numba import njit

from ardm.compiled import BORROWING
from ardm.exact import evaluate, window
from ardm.exact.evaluate import BLOCK
from ardm.exact.predictor import Predictor, new_canvas
from ardm.exact.window import WindowWeights
from ardm.window import near_positions
from benchmarks.network import ceiling, least, products
from codec import compress, decompress
from codec.coder import kernel
from codec.coder.arithmetic import PAD
from codec.coder.kernel import COUNT_MAX, Network
from codec.coder.mixing import NO_EXPERTS, RASTER_KIND, Mixing, _no_network, raster_geometry, raster_net
from codec.coder.network import NETWORK_CODER
from codec.coder.walk import planar
from codec.coder.work import Work
from codec.scheduling import STRIP, schedule_for
from codec.settings import Settings

LAYERS = 2000  # products of a layer in a run of the ceiling
COUNTED = 64  # side of the cuts whose decisions are counted
CEILING, ASKED = "innermost loop, in the first cache", "as the coder asks"
WANTED_SHARE, WANTED_NS = 0.4, 250.0


@njit(nogil=True, **BORROWING)
def ask_all(height: int, slope: int, columns: int, network: Any, params: Any, base: Any) -> None:
    """The network's answers, as `codec.coder.kernel.code_rows` asks for them in strips of BLOCK rows. params:
    int32, flat (N 10 K); base: int16, flat (N 3). Pixels are in raster order.
    """
    outputs = len(network.block) // BLOCK
    for top in range(0, height, BLOCK):
        for q in range(columns + slope * (min(BLOCK, height - top) - 1)):
            kernel._ask(top, q, height, slope, columns, network)
            for i in range(min(BLOCK, height - top)):
                x = q - slope * i
                if 0 <= x < columns:
                    at = (top + i) * columns + x
                    for o in range(outputs):
                        params[at * outputs + o] = network.block[i * outputs + o]
                    for c in range(3):
                        base[3 * at + c] = network.scratch.base[3 * i + c]


@njit(nogil=True, **BORROWING)
def finish_again(net: Any, work: Any, params: Any, count: int) -> None:
    """All layers, of the same four pixels again and again."""
    for _ in range(count):
        evaluate.finish_block(net, work, params, 0, BLOCK)


class Told(Mixing):
    """The mixing coder in raster order, told what the network would say."""

    def code_told(self, params: np.ndarray, base: np.ndarray, slope: int) -> None:
        """params: int32, flat (N 10 K); base: int16, flat (N 3)."""
        own, near = raster_geometry(self._neighbours())
        height, width = self.shape
        inner = self.planes.pixel[:, PAD : PAD + height, PAD : PAD + width]
        inner[:] = base.reshape(height, width, 3).transpose(2, 0, 1)
        wave = (min(STRIP, height), slope)
        self._run(
            self._phase(RASTER_KIND, (0, 0, 1), wave, own, len(own) // 2, near, NO_EXPERTS),
            self._network(params, *_no_network(), np.zeros(0, np.int32)),
        )


def with_answers(
    weights: WindowWeights, tile: np.ndarray, params: np.ndarray, base: np.ndarray, data: bytes | None
) -> Any:
    """What the mixing coder writes of a tile, or reads from data: int16 (3, h, w). params, base: all that the
    network says, as of `ask_all`.
    """
    height, width, _ = tile.shape
    coder = Told(3, height * width, weights, data)
    unknown = np.zeros((3, height, width), np.int16)
    plane = coder.start_stage(unknown, None if data else planar(tile))
    coder.code_told(params, base, weights.config.radius + 1)
    return plane if data else coder.finish()


def asked(weights: WindowWeights, tile: np.ndarray) -> Network:
    """The network, which sees a tile. tile: uint8 (h, w, 3)."""
    canvas = new_canvas(*tile.shape[:2])
    canvas.image[:] = tile
    net = raster_net(weights)
    block = np.zeros(BLOCK * weights.config.outputs, np.int32)
    coder = Mixing(3, tile.size // 3, weights)
    return coder._network(np.zeros(0, np.int32), net, evaluate.scratch(net), canvas, block)


def room_for_answers(weights: WindowWeights, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """For `ask_all`."""
    return np.empty(pixels * weights.config.outputs, np.int32), np.empty(3 * pixels, np.int16)


def mixed_decisions(weights: WindowWeights, tile: np.ndarray) -> tuple[float, bool]:
    """(decisions of a subpixel that are mixed and learned from, whether that is exact or at least so many).

    Every such decision adds one to the age of a counter of each table, up to COUNT_MAX; so the tile is cut
    into squares, each coded by itself, whose counters hardly come that far.
    """
    height, width = (size // COUNTED * COUNTED for size in tile.shape[:2])
    total, exact = 0, True
    for y in range(0, height, COUNTED):
        for x in range(0, width, COUNTED):
            cut = np.ascontiguousarray(tile[y : y + COUNTED, x : x + COUNTED])
            coder = Mixing(3, COUNTED**2, weights)
            coder.start_stage(np.zeros((3, COUNTED, COUNTED), np.int16), planar(cut))
            coder.code_raster(STRIP)
            ages = coder.learned.counters & 255
            sums = ages.sum(-1, dtype=np.int64)  # of every table of each channel
            fullest = sums.argmax(-1)
            total += int(sums.max(-1).sum())
            exact &= all(ages[s, fullest[s]].max() < COUNT_MAX for s in range(3))
    return total / (3 * height * width), exact


def ceilings(weights: WindowWeights) -> dict[str, Callable[[], None]]:
    """What shows the ceilings: the innermost loop, and all layers, each of BLOCK pixels, LAYERS times."""
    config, net = weights.config, raster_net(weights)
    width = config.width
    x, w = np.ones(BLOCK * width, np.uint8), np.ones(width * width, np.int8)
    start, sums = np.zeros(width, np.int32), np.zeros(BLOCK * width, np.int32)
    work, params = evaluate.scratch(net), np.zeros(BLOCK * config.outputs, np.int32)
    return {
        "inner": partial(ceiling, x, w, start, sums, width, LAYERS),
        "layers": partial(finish_again, net, work, params, LAYERS),
    }


def raster_products(weights: WindowWeights) -> int:
    """Multiply-accumulates of a pixel in raster order, away from edges; the high parts of the neighbours'
    weights are products of their own, as they are computed."""
    config = weights.config
    before = config.positions // 2
    return products(config, before, int((near_positions(config.radius) < before).sum()))


def measure(tile: np.ndarray, runs: int) -> dict[str, Any]:
    """Everything about one tile, uint8 (h, w, 3), with sides of at least COUNTED pixels."""
    weights = window.load(window.RASTER_ID)
    height, width, _ = tile.shape
    pixels, slope = height * width, weights.config.radius + 1
    params, base = room_for_answers(weights, pixels)
    ask = partial(ask_all, height, slope, width, asked(weights, tile), params, base)
    ask()
    work = Work(schedule_for(weights, height, width, Settings()), Predictor(weights))
    payload = NETWORK_CODER.encode(tile, work)
    files = {
        name: compress(tile, plain=name == "plain", threads=1, verify=False) for name in ("ardm", "plain")
    }
    given = weights, tile, params, base
    if with_answers(*given, None) != payload or (with_answers(*given, payload) != planar(tile)).any():
        raise SystemExit("the mixing coder, told what the network says, does not do the same as without.")
    if payload not in files["ardm"]:
        raise SystemExit("the tile is not one that the network codes: take a photo.")
    works: dict[str, Callable[[], object]] = {"ask": ask, **ceilings(weights)}
    works["mixing encode"] = partial(with_answers, *given, None)
    works["mixing decode"] = partial(with_answers, *given, payload)
    for name, data in files.items():
        works[f"{name} encode"] = partial(compress, tile, plain=name == "plain", threads=1, verify=False)
        works[f"{name} decode"] = partial(decompress, data, threads=1)
    mixed, exact = mixed_decisions(weights, tile)
    return {
        "pixels": pixels,
        "products": raster_products(weights),
        "decisions": 8,  # the range coder codes every bit, however certain
        "mixed_decisions": mixed,
        "mixed_decisions_exact": exact,
        **split(least(works, runs), pixels, weights),
    }


def split(seconds: dict[str, float], pixels: int, weights: WindowWeights) -> dict[str, Any]:
    """Times of a pixel, rates of products, and their shares of the ceiling, from what `measure` measured."""
    times = {}
    for name in ("ardm encode", "ardm decode", "plain encode", "plain decode"):
        method, direction = name.split()
        whole, ask = seconds[name], seconds["ask"]
        coding = seconds[f"mixing {direction}"] if method == "ardm" else whole - ask
        parts = {"whole": whole, "network": ask, "coding": coding, "other": whole - ask - coding}
        times[name] = {f"{part}_us": 1e6 * value / pixels for part, value in parts.items()}
        times[name]["coding_ns_per_subpixel"] = 1e9 * coding / (3 * pixels)
    count, blocks = raster_products(weights), BLOCK * LAYERS
    rates = {
        CEILING: blocks * weights.config.width**2 / seconds["inner"],
        "all layers, without gathering": blocks * count / seconds["layers"],
        ASKED: pixels * count / seconds["ask"],
    }
    shares = {name: rate / rates[CEILING] for name, rate in rates.items()}
    return {"times": times, "rates": rates, "share_of_ceiling": shares}


def report(found: dict[str, Any]) -> str:
    """Markdown of what `measure` found."""
    lines = ["| us/pixel | whole | network | coding | other | coding, ns/subpixel |", "|---" * 6 + "|"]
    for name, t in found["times"].items():
        cells = [f"{t[f'{part}_us']:.2f}" for part in ("whole", "network", "coding", "other")]
        lines.append(f"| {name} | {' | '.join(cells)} | {t['coding_ns_per_subpixel']:.0f} |")
    lines += [
        "",
        f"| {found['products']:,} products a pixel | billions a second | of the ceiling |",
        "|---" * 3 + "|",
    ]
    for name, rate in found["rates"].items():
        lines.append(f"| {name} | {rate / 1e9:.0f} | {100 * found['share_of_ceiling'][name]:.0f} % |")
    share = found["share_of_ceiling"][ASKED]
    coding = max(found["times"][f"ardm {d}"]["coding_ns_per_subpixel"] for d in ("encode", "decode"))
    least = "" if found["mixed_decisions_exact"] else "at least "
    return "\n".join(
        [
            *lines,
            "",
            f"decisions of a subpixel: 8 coded, of which {least}{found['mixed_decisions']:.2f} mixed and learned "
            f"from (counted on cuts of {COUNTED} x {COUNTED}); plain: 4 digits of 4 values",
            "coding of plain is what is left of the whole without the network",
            f"network: {100 * share:.0f} % of its ceiling (wanted: at least {100 * WANTED_SHARE:.0f} %)",
            f"mixing: {coding:.0f} ns per coded subpixel and thread (wanted: at most {WANTED_NS:.0f}); "
            f"{coding / found['mixed_decisions']:.0f} ns per mixed decision{', at most' if least else ''}",
        ]
    )
