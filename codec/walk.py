"""The walk: which pixels are coded when, in both directions. Knows orders and stages; the network behind `Predictor`, the bytes behind `Coder`.

root (given) -> coarsest stage -> ... -> the image
each stage: base from the level below it; then call after call: predict, code the call's pixels, make them known
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from ardm.adapt import Adapter
from ardm.orders import PATCH, Group, RandomGroups, lattice_groups
from ardm.predict import Answer, Call
from ardm.stages import base_image, level_shapes
from codec.coding import Coder, code_pixels


class Predictor(Protocol):
    """What the walk needs of a model."""

    tables: dict[str, torch.Tensor]

    def predict(self, calls: Sequence[Call]) -> list[Answer]: ...


MAX_CALLS = 255  # of one stage in random order: bounds what a small file can cost


@dataclass(frozen=True)
class Schedule:
    """Order and calls of every stage, finest first. Stored in the file, so that decoding needs no planning."""

    stages: tuple[int, ...]  # lattice order: break bits of each stage (`lattice_groups`); random order: number of calls
    seed: int | None = None  # of the random order; None: lattice order
    adaptive: bool = True  # correct the distributions from pixels already coded (`ardm.adapt`); lattice order only

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
    coder: Coder, predictor: Predictor, schedule: Schedule, root: torch.Tensor, shape: tuple[int, int], channels: int,
    image: torch.Tensor | None, batch: int = 1, progress: Callable[[int], None] | None = None,
) -> torch.Tensor:  # fmt: skip
    """Code all stages of an image, the coarsest first.

    root: int16 (3, h, w), level `schedule.root_level(*shape)`. image: int16 (3, H, W), or None when decoding. batch: calls predicted at once;
    only an encoder, which knows all pixels beforehand, may use more than 1. progress: told the subpixels just coded.
    Returns the image, int16 (3, H, W).
    """
    shapes = level_shapes(*shape)
    level_pixels = root
    for level in reversed(range(schedule.root_level(*shape))):
        height, width = shapes[level]
        truth = None if image is None else image[:, :: PATCH**level, :: PATCH**level]
        level_pixels = walk_stage(
            coder, predictor, schedule.groups(level, height, width), level, level_pixels, (height, width), channels, truth, batch, progress, schedule.adaptive
        )
    return level_pixels


def walk_stage(
    coder: Coder, predictor: Predictor, groups: Sequence[Group], level: int, lattice: torch.Tensor, shape: tuple[int, int], channels: int,
    truth: torch.Tensor | None, batch: int, progress: Callable[[int], None] | None, adaptive: bool,
) -> torch.Tensor:  # fmt: skip
    """Code one stage given its lattice; arguments as in `walk`."""
    height, width = shape
    base = base_image(lattice[None], height, width)[0]
    pixels = base.clone()  # what is known, and the base elsewhere
    pixels[:, ::PATCH, ::PATCH] = lattice
    known = torch.zeros(height, width, dtype=torch.int8)
    known[::PATCH, ::PATCH] = 1
    adapter = Adapter(shape, predictor.tables) if adaptive else None
    if truth is None:
        answers: Iterator[Answer] = (predictor.predict([Call(level, pixels, known, base, anchor_of(group))])[0] for group in groups)
    else:
        answers = answers_ahead(predictor, groups, Call(level, truth, known.clone(), base, (0, 0)), batch)
    for group, answer in zip(groups, answers, strict=True):
        done = 0
        for phase, chosen in group:
            part = (slice(None), slice(phase[0], None, PATCH), slice(phase[1], None, PATCH))
            select = slice(None) if chosen is None else torch.from_numpy(chosen).flatten().nonzero().flatten()
            params, part_base = answer(phase)[:, select], base[part].flatten(1)[:, select].int()
            if not part_base.shape[1]:
                continue
            values = None if truth is None else truth[part].flatten(1)[:, select].int()
            learner = adapter.start_phase(phase, pixels) if adapter else None
            coded = code_pixels(coder, params, part_base, predictor.tables, channels, values, learner).short()
            target = pixels[part]
            if chosen is None:
                target.copy_(coded.view(target.shape))
            else:
                target[:, torch.from_numpy(chosen)] = coded
            done += coded.shape[1]
        reveal(known, group)
        if progress:
            progress(done * channels)
    return pixels


def answers_ahead(predictor: Predictor, groups: Sequence[Group], first: Call, batch: int) -> Iterator[Answer]:
    """Answers for an encoder, which knows all pixels: `batch` calls at once."""

    def calls() -> Iterator[list[Call]]:
        known = first.known
        for start in range(0, len(groups), batch):
            chunk = []
            for group in (groups[i] for i in range(start, min(start + batch, len(groups)))):
                chunk.append(replace(first, known=known, anchor=anchor_of(group)))
                known = known.clone()
                reveal(known, group)
            yield chunk

    for chunk in calls():
        yield from predictor.predict(chunk)


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
