"""Network calls of the window network in integers: from what is known of an image to parameters of any of its
pixels. Knows no coding and no bytes.

Two ways to compute, which must agree: the compiled one (`ardm.exact.evaluate`), which every CPU has, and that
of other devices (`ardm.exact.on_device`).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ardm.exact import evaluate
from ardm.exact.evaluate import Canvas
from ardm.exact.window import WindowWeights
from ardm.window import CHANNELS, lattice_pattern, offsets, raster_pattern

SHARE = 2**13  # pixels that are evaluated at once: bounds memory


def new_canvas(height: int, width: int) -> Canvas:
    """Nothing is known."""
    return Canvas(
        np.zeros(height * width * CHANNELS + evaluate.SPARE, np.uint8),
        np.zeros(height * width, np.bool_),
        height,
        width,
    )


@lru_cache(maxsize=256)
def _net(weights: WindowWeights, phase: tuple[int, int] | None, first: int) -> evaluate.Net:
    radius = weights.config.radius
    return evaluate.build(
        weights,
        np.arange(weights.config.positions) if phase is None else lattice_pattern(radius, phase, first),
    )


@lru_cache(maxsize=2)
def _raster_net(weights: WindowWeights) -> evaluate.Net:
    return evaluate.build(weights, raster_pattern(weights.config.radius))


class Predictor:
    """Answers calls. Thread-safe; the answers do not depend on how calls are batched, nor on the device."""

    def __init__(self, weights: WindowWeights, device: str = "cpu") -> None:
        self.weights, self.device = weights, device

    def lattice(
        self, canvas: Canvas, phase: tuple[int, int], first: int, where: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Parameters int32 (N, 10 K) and bases int16 (N, 3) of the pixels `where`, int32 (N, 2), of a phase,
        when the lattice and the first so many phases are known, and nothing else."""
        if self.device != "cpu":
            return self._by_torch(canvas, where)
        return self._compiled(_net(self.weights, phase, first), canvas, True, where)

    def raster(self, canvas: Canvas, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same of any pixels, each when all that comes before it in raster order is known, and nothing
        else, whatever the canvas says.
        """
        return self._compiled(_raster_net(self.weights), canvas, True, where)

    def scattered(self, canvas: Canvas, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same of any pixels, whatever is known."""
        if self.device != "cpu":
            return self._by_torch(canvas, where)
        return self._compiled(_net(self.weights, None, 0), canvas, False, where)

    def _compiled(
        self, net: evaluate.Net, canvas: Canvas, everything: bool, where: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        outputs = self.weights.config.outputs
        params, base = np.empty(len(where) * outputs, np.int32), np.empty(len(where) * CHANNELS, np.int16)
        work = evaluate.scratch(net)
        for start in range(0, len(where), SHARE):  # in between, signals are noticed
            part = np.ascontiguousarray(where[start : start + SHARE])
            evaluate.evaluate(
                net, canvas, everything, part, work, params[start * outputs :], base[start * CHANNELS :]
            )
        return params.reshape(-1, outputs), base.reshape(-1, CHANNELS)

    def _by_torch(self, canvas: Canvas, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from ardm.exact.on_device import by_torch  # torch takes a second to load

        parts = [
            by_torch(
                self.weights, *windows(canvas, where[i : i + SHARE], self.weights.config.radius), self.device
            )
            for i in range(0, len(where), SHARE)
        ]
        params, base = (
            zip(*parts, strict=True)
            if parts
            else ([np.empty((0, self.weights.config.outputs), np.int32)], [np.empty((0, 3), np.int16)])
        )
        return np.concatenate(params), np.concatenate(base)


def windows(canvas: Canvas, where: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels int64 (N, n, 3) and which of them are known, bool (N, n), of the windows around `where`."""
    image = np.pad(canvas.image, ((radius, radius), (radius, radius), (0, 0)))
    mask = np.pad(canvas.mask, radius)
    places = np.array(offsets(radius)) + radius
    rows, columns = (where[:, None, i] + places[None, :, i] for i in (0, 1))
    return image[rows, columns].astype(np.int64), mask[rows, columns]
