"""The walk over stages: which pixels are coded when, in both directions. Knows orders; the network behind a
predictor, the bytes behind `PixelModel`.

root (given) -> coarsest stage -> ... -> the image each stage: its lattice is the level below it; then call
after call: predict, code the call's pixels, make them known

Raster order has no stages, and its own loops, compiled (`codec.coder.kernel`, `codec.coder.plain`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from ardm.exact.evaluate import Canvas
from ardm.exact.predictor import Predictor, new_canvas
from ardm.orders import LATTICE_ORDER, PATCH, Group, RandomGroups, lattice_groups, level_shapes, phase_pixels
from codec.coder.schedule import Order, Schedule


class PixelModel(Protocol):
    """What the walk needs of a coder of pixels: `codec.coder.mixing.Mixing` or `PlainPixels`."""

    def start_stage(self, pixels: np.ndarray, truth: np.ndarray | None) -> object: ...

    def code_phase(
        self, phase: tuple[int, int], where: np.ndarray, params: np.ndarray, base: np.ndarray
    ) -> np.ndarray:
        """Code all pixels `where`, int32 (N, 2), of a phase. Returns their values, uint8 (N, 3)."""


def groups_of(schedule: Schedule, level: int, height: int, width: int) -> Sequence[Group]:
    """The calls of a stage."""
    if schedule.order == Order.RANDOM:
        assert schedule.seed is not None
        return RandomGroups(schedule.seed, level, height, width, schedule.stages[level])
    return lattice_groups(schedule.stages[level])


def walk(
    model: PixelModel,
    predictor: Predictor,
    schedule: Schedule,
    root: np.ndarray,
    shape: tuple[int, int],
    image: np.ndarray | None,
    told: Callable[[int], None] | None = None,
    finest: int = 0,
) -> np.ndarray:
    """Code all stages of a plane, in lattice or random order. root: uint8 (h, w, 3), the coarsest level.
    shape: of the image. image: uint8 (h, w, 3) when encoding. told: called with the pixels done since the
    last time. finest: level at which to end. Returns the image of that level, uint8 (h, w, 3)."""
    shapes = level_shapes(*shape)
    below = root
    for level in reversed(range(finest, schedule.root_level(*shape))):
        height, width = shapes[level]
        stride = PATCH**level
        truth = None if image is None else image[::stride, ::stride]
        canvas = new_canvas(height, width)
        canvas.image[::PATCH, ::PATCH], canvas.mask[::PATCH, ::PATCH] = below, True
        guess = np.repeat(np.repeat(below, PATCH, 0), PATCH, 1)[:height, :width]
        model.start_stage(planar(guess), None if truth is None else planar(truth))
        for group in groups_of(schedule, level, height, width):
            done = _code_call(model, predictor, schedule, canvas, group)
            if told:
                told(done)
        below = canvas.image
    return below


def as_rgb(plane: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 1 or 3) -> uint8 (h, w, 3), contiguous."""
    return np.ascontiguousarray(np.broadcast_to(plane, (*plane.shape[:2], 3)))


def planar(image: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 3) -> int16 (3, h, w), contiguous."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.int16)


def _code_call(
    model: PixelModel, predictor: Predictor, schedule: Schedule, canvas: Canvas, group: Group
) -> int:
    """One call: parameters of all its pixels first, then the pixels, which are known afterwards. Returns
    their number.
    """
    first = LATTICE_ORDER.index(group[0][0]) if schedule.order == Order.LATTICE else 0
    answers = []
    for phase, chosen in group:
        where = phase_pixels(canvas.height, canvas.width, phase)
        if chosen is not None:
            where = where[chosen.ravel()]
        if len(where):
            answer = (
                predictor.lattice(canvas, phase, first, where)
                if chosen is None
                else predictor.scattered(canvas, where)
            )
            answers.append((phase, where, *answer))
    for phase, where, params, base in answers:
        canvas.image[where[:, 0], where[:, 1]] = model.code_phase(phase, where, params, base)
    for _, where, *_ in answers:
        canvas.mask[where[:, 0], where[:, 1]] = True
    return sum(len(where) for _, where, *_ in answers)
