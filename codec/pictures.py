"""Small pictures drawn from the model of small pictures that the package has: new ones, or what is unknown of
one. Knows the model and orders; no files.

What is drawn is invented. The same seed gives the same pixels on every machine.
"""

from __future__ import annotations

import numpy as np

from ardm.calls import Call, OrderBits, best, fill, in_rows, plan_lattice, plan_random
from ardm.exact import window
from ardm.exact.evaluate import Canvas
from ardm.exact.predictor import Predictor, new_canvas
from ardm.units import SCALE_STEPS
from codec.coder.continuation import Continuation
from codec.coder.pictures import code_picture
from codec.coder.plain import Drawer
from codec.coder.selftest import check_coder

SIDE = 32  # of the pictures that it was trained on
BUDGET = 100  # network calls
ORDERS = ("best", "random", "rows", "spread")
COLDEST = 1 / 64


class Tempered(Predictor):
    """A predictor whose distributions are wider or narrower."""

    def __init__(self, weights: window.WindowWeights, temperature: float, device: str = "cpu") -> None:
        super().__init__(weights, device)
        self.temperature = max(temperature, COLDEST)

    def scattered(self, canvas: Canvas, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        params, base = super().scattered(canvas, where)
        if self.temperature != 1:
            k = self.weights.config.mixture
            params[:, :k] = np.rint(params[:, :k] / self.temperature)
            params[:, 4 * k : 7 * k] += round(SCALE_STEPS * float(np.log2(self.temperature)))
        return params, base


def draw_pictures(
    count: int,
    budget: int = BUDGET,
    *,
    seed: int = 0,
    temperature: float = 1.0,
    order: str = "best",
    given: tuple[np.ndarray, np.ndarray] | None = None,
    device: str = "cpu",
) -> np.ndarray:
    """Pictures like those of CIFAR-10, uint8 (count, 32, 32, 3).

    budget: network calls for each. order: best, what the budget program finds; random; rows, as they lie;
    spread, those drawn together far apart. given: (values, uint8 (32, 32, 3); where they are known, bool (32,
    32)): the rest is drawn, in a random order. Raises ValueError for an argument out of range.
    """
    if count < 1 or budget < 1 or not 0 <= seed < 2**63 or not 0 <= temperature <= 16 or order not in ORDERS:
        raise ValueError(
            "count and budget must be at least 1, seed 0 to 2**63 - 1, temperature 0 to 16, order one of "
            f"{', '.join(ORDERS)}; got {count}, {budget}, {seed}, {temperature}, {order}."
        )
    check_coder(True)
    predictor = Tempered(window.load_small(), temperature, device)
    measured = OrderBits.of(predictor.weights.tensors)
    drawn = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for i in range(count):
        canvas = new_canvas(SIDE, SIDE)
        if given:
            canvas.image[given[1]], canvas.mask[:] = given[0][given[1]], given[1]
        calls = _calls(measured, canvas.mask, budget, order, seed + i)
        drawn[i] = code_picture(Drawer(Continuation([seed, i], 0)), predictor, calls, canvas)
    return drawn


def _calls(measured: OrderBits, known: np.ndarray, budget: int, order: str, seed: int) -> list[Call]:
    if known.any():
        return fill(measured, ~known, budget, seed)
    if order == "rows":
        return in_rows(SIDE, SIDE, budget)
    if order == "random":
        return plan_random(measured, SIDE, SIDE, budget, seed).calls(SIDE, SIDE)
    if order == "spread" and (plan := plan_lattice(measured, SIDE, SIDE, budget)):
        return plan.calls(SIDE, SIDE)
    return best(measured, SIDE, SIDE, budget, seed).calls(SIDE, SIDE)
