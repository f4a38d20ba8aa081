"""The walk: which pixels are coded when, in both directions. Knows orders and stages; the network behind `Predictor`, the bytes behind `PixelModel`.

root (given) -> coarsest stage -> ... -> the image
each stage: base from the level below it; then call after call: predict, code the call's pixels, make them known
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Protocol

import numpy as np
import torch

from ardm.orders import PATCH, Group, RandomGroups, lattice_groups
from ardm.predict import Answer, Call
from ardm.stages import base_image, level_shapes
from codec.parallel import one_ahead


class Predictor(Protocol):
    """What the walk needs of a model."""

    tables: dict[str, torch.Tensor]

    def predict(self, calls: Sequence[Call]) -> list[Answer]: ...


class PixelModel(Protocol):
    """What the walk needs of a coder of pixels: `codec.mixing.Mixing` or `codec.coding.Plain`."""

    def start_stage(self, pixels: torch.Tensor, truth: torch.Tensor | None) -> torch.Tensor: ...

    def code_phase(self, phase: tuple[int, int], chosen: np.ndarray | None, params: torch.Tensor) -> int: ...


Answers = list[torch.Tensor]  # of one call: int32 (10 K, N) for each of its phases


class Learning(IntEnum):
    """How a plane's coder learns from the pixels it has coded."""

    NONE = 0  # not at all
    RUNS = 1  # `ardm.adapt`, run by run: what files of 0.1.0 were written with; still read
    MIXING = 2  # `codec.mixing`, bit by bit


MAX_CALLS = 255  # of one stage in random order: bounds what a small file can cost


@dataclass(frozen=True)
class Schedule:
    """Order and calls of every stage, finest first. Stored in the file, so that decoding needs no planning."""

    stages: tuple[int, ...]  # lattice order: break bits of each stage (`lattice_groups`); random order: number of calls
    seed: int | None = None  # of the random order; None: lattice order
    learning: Learning = Learning.MIXING  # from pixels already coded; lattice order only

    @property
    def calls(self) -> int:
        """Network calls in all."""
        return sum(s.bit_count() + 1 if self.seed is None else s for s in self.stages)

    def root_level(self, height: int, width: int) -> int:
        """Stages that an image of this shape really has; small tiles need fewer than the schedule lists."""
        return min(len(self.stages), len(level_shapes(height, width)) - 1)

    def groups(self, level: int, height: int, width: int) -> Sequence[Group]:
        if self.seed is None:
            return lattice_groups(self.stages[level])
        return RandomGroups(self.seed, level, height, width, self.stages[level])


def walk(
    model: PixelModel, predictor: Predictor, schedule: Schedule, root: torch.Tensor, shape: tuple[int, int], channels: int,
    image: torch.Tensor | None, batch: int = 1, threads: int = 1, progress: Callable[[int], None] | None = None,
) -> torch.Tensor:  # fmt: skip
    """Code all stages of an image, the coarsest first.

    root: int16 (3, h, w), level `schedule.root_level(*shape)`. image: int16 (3, H, W), or None when decoding. batch: calls predicted at once;
    only an encoder, which knows all pixels beforehand, may use more than 1. threads: with 2 or more, an encoder's next call is predicted while
    one is coded. progress: told the subpixels just coded.
    Returns the image, int16 (3, H, W).
    """
    shapes = level_shapes(*shape)
    level_pixels = root
    for level in reversed(range(schedule.root_level(*shape))):
        height, width = shapes[level]
        truth = None if image is None else image[:, :: PATCH**level, :: PATCH**level]
        groups = schedule.groups(level, height, width)
        level_pixels = walk_stage(model, predictor, groups, level, level_pixels, (height, width), channels, truth, batch, threads, progress)
    return level_pixels


def walk_stage(
    model: PixelModel, predictor: Predictor, groups: Sequence[Group], level: int, lattice: torch.Tensor, shape: tuple[int, int], channels: int,
    truth: torch.Tensor | None, batch: int, threads: int, progress: Callable[[int], None] | None,
) -> torch.Tensor:  # fmt: skip
    """Code one stage given its lattice; arguments as in `walk`."""
    height, width = shape
    base = base_image(lattice[None], height, width)[0]
    start = base.clone()  # what is known, and the base elsewhere
    start[:, ::PATCH, ::PATCH] = lattice
    known = torch.zeros(height, width, dtype=torch.int8)
    known[::PATCH, ::PATCH] = 1
    pixels = model.start_stage(start, truth)
    if truth is None:
        answers: Iterator[Answers] = (predict_groups(predictor, [(Call(level, pixels, known, base, anchor_of(group)), group)])[0] for group in groups)
    else:
        answers = one_ahead(answers_ahead(predictor, groups, Call(level, truth, known.clone(), base, (0, 0)), batch), threads)
    for group in groups:
        done = 0
        for (phase, chosen), params in zip(group, next(answers), strict=True):
            done += model.code_phase(phase, chosen, params)
        reveal(known, group)
        if progress:
            progress(done * channels)
    return pixels


def predict_groups(predictor: Predictor, calls: Sequence[tuple[Call, Group]]) -> list[Answers]:
    """The parameters of all phases of every call."""
    answers = predictor.predict([call for call, _ in calls])
    return [[answer(phase) for phase, _ in group] for answer, (_, group) in zip(answers, calls, strict=True)]


def answers_ahead(predictor: Predictor, groups: Sequence[Group], first: Call, batch: int) -> Iterator[Answers]:
    """Answers for an encoder, which knows all pixels: `batch` calls at once."""
    known = first.known
    for start in range(0, len(groups), batch):
        chunk = []
        for group in (groups[i] for i in range(start, min(start + batch, len(groups)))):
            chunk.append((replace(first, known=known, anchor=anchor_of(group)), group))
            known = known.clone()
            reveal(known, group)
        yield from predict_groups(predictor, chunk)


def anchor_of(group: Group) -> tuple[int, int]:
    """Whole phases: the first one. Scattered pixels have no common phase; (1, 1) then aligns patches with the image."""
    return group[0][0] if group[0][1] is None else (1, 1)


def reveal(known: torch.Tensor, group: Group) -> None:
    """Mark a group's pixels as known, in place."""
    for (py, px), chosen in group:
        if chosen is None:
            known[py::PATCH, px::PATCH] = 1
        else:
            known[py::PATCH, px::PATCH] |= torch.from_numpy(chosen)
