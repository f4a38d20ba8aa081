"""Planes coded by one coder of the table at a time, and schedules by name. Knows coders, no files and no test."""

from __future__ import annotations

import numpy as np

from ardm.exact.predictor import Predictor
from ardm.exact.window import WindowWeights
from codec.coder.continuation import Continuation
from codec.coder.schedule import Schedule
from codec.coder.work import Work
from codec.methods import Method, coder_of
from codec.scheduling import schedule_for
from codec.settings import Settings


def plan(
    weights: WindowWeights,
    height: int,
    width: int,
    budget: int | None,
    order: str = "auto",
    seed: int | None = None,
    plain: bool = False,
) -> Schedule:
    return schedule_for(weights, height, width, Settings(budget, order, seed, plain))


def encode_network(plane: np.ndarray, predictor: Predictor, schedule: Schedule) -> bytes:
    return coder_of(Method.NETWORK).encode(plane, Work(schedule, predictor))


def decode_network(
    payload: bytes, shape: tuple[int, int, int], predictor: Predictor, schedule: Schedule
) -> np.ndarray:
    return coder_of(Method.NETWORK).decode(payload, shape, Work(schedule, predictor))


def encode_graphics(plane: np.ndarray) -> bytes:
    return coder_of(Method.GRAPHICS).encode(plane, Work())


def decode_graphics(
    payload: bytes, shape: tuple[int, int, int], continuation: Continuation | None = None
) -> np.ndarray:
    return coder_of(Method.GRAPHICS).decode(payload, shape, Work(continuation=continuation))


def encode_high_depth(samples: np.ndarray, threads: int = 1) -> bytes:
    return coder_of(Method.HIGH_DEPTH).encode(samples, Work(threads=threads))


def decode_high_depth(
    payload: bytes, shape: tuple[int, int, int], threads: int = 1, continuation: Continuation | None = None
) -> np.ndarray:
    return coder_of(Method.HIGH_DEPTH).decode(
        payload, shape, Work(threads=threads, continuation=continuation)
    )


def decode_converted(payload: bytes, shape: tuple[int, int, int], work: Work) -> np.ndarray:
    return coder_of(Method.CONVERTED).decode(payload, shape, work)


def encode_palette(tile: np.ndarray) -> bytes:
    return coder_of(Method.PALETTE).encode(tile, Work())


def decode_palette(
    payload: bytes, shape: tuple[int, int, int], continuation: Continuation | None = None
) -> np.ndarray:
    return coder_of(Method.PALETTE).decode(payload, shape, Work(continuation=continuation))
