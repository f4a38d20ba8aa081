"""`Work`: what coding one plane of a tile may use, whatever the method. Knows no coder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ardm.exact.predictor import Predictor
from codec.coder.continuation import Continuation
from codec.coder.schedule import Schedule

Progress = Callable[[int], None]  # told the subpixels done since the last call
Shape = tuple[int, int, int]  # of a plane: height, width, channels (1 or 3)


@dataclass(frozen=True)
class Work:
    """What a coder of planes is given beside the plane."""

    schedule: Schedule = field(default_factory=Schedule)
    predictor: Predictor | None = None  # needed by whoever asks the network
    threads: int = 1
    progress: Progress | None = None
    # of a picture that was made of blocks of 8 x 8, rows and columns of the first that are not in the plane
    blocks: tuple[int, int] | None = None
    # levels that a decoder may leave out: it may return every PATCH**level-th pixel each way
    level: int = 0
    continuation: Continuation | None = (
        None  # a decoder goes on with it where the payload ends too early, and notes where
    )

    def done(self, subpixels: int) -> None:
        """Tell `progress`, if anybody wants to know."""
        if self.progress:
            self.progress(subpixels)

    def per_pixel(self, channels: int) -> Progress | None:
        """`progress`, told pixels instead of subpixels."""
        told = self.progress
        return (lambda pixels: told(pixels * channels)) if told else None


class PlaneCoder(Protocol):
    """What every row of `codec.methods` leads to."""

    def encode(self, plane: np.ndarray, work: Work) -> bytes:
        """Payload of a plane: uint8 (h, w, 1 or 3), or uint16 where both bytes are coded together."""

    def decode(self, payload: bytes, shape: Shape, work: Work) -> np.ndarray:
        """Inverse of `encode`. Raises CorruptError, TruncatedError, UnsupportedError."""

    def least_bytes(self, shape: Shape, schedule: Schedule) -> int:
        """Bytes below which no encoder's payload can be."""
