"""What must hold for every input, whatever its bytes: the entry points that fuzzing and the tests in CI call. Knows no fuzzer.

Each takes bytes and returns nothing. Any exception that leaves it is a finding: ArdmError is the only answer to bad input that callers are promised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import torch

from ardm import weights as weights_module
from ardm.orders import PATCH
from ardm.predict import Answer, Call, NetworkPredictor
from codec import ArdmError, Limits, archive, container, decompress, exact, info, png, recover

Result = TypeVar("Result")
LIMITS = Limits(max_pixels=1024, max_memory=2**30, max_calls=100, max_tiles=64)


class Finding(AssertionError):
    """Something that must hold did not."""


def _try(work: Callable[[], Result]) -> Result | None:
    try:
        return work()
    except ArdmError:
        return None


def _hold(condition: object, what: str) -> None:
    if not condition:
        raise Finding(what)


class Stub(NetworkPredictor):
    """Answers like a network that knows nothing, at once: what is fuzzed is what is made of the bytes, not the network, which takes any pixels."""

    def __init__(self) -> None:
        self.weights = weights_module.load()
        self.tables = self.weights.tables()

    def predict(self, calls: Sequence[Call]) -> list[Answer]:
        return [self._stub(call) for call in calls]

    def _stub(self, call: Call) -> Answer:
        key = int((call.pixels * call.known).sum()) + 31 * call.level

        def answer(phase: tuple[int, int]) -> torch.Tensor:
            count = len(range(phase[0], call.known.shape[0], PATCH)) * len(range(phase[1], call.known.shape[1], PATCH))
            return torch.from_numpy(((np.arange(50 * count) * 40503 + key >> 5) % 160 - 80).astype(np.int32).reshape(50, count))

        return answer


@lru_cache(maxsize=1)
def stub() -> Stub:
    return Stub()


def decoder(data: bytes) -> None:
    """An .ardm file: `container.read`, `info`, `decompress`, `archive.unpack`, `archive.test`, `recover` and `archive.rescue` agree about it."""
    given: dict[str, Any] = {"limits": LIMITS, "predictor": stub()}
    opened = _try(lambda: container.read(data, LIMITS))
    restored = _try(lambda: archive.unpack(data, **given))
    if opened is None:
        _hold(restored is None, "what cannot be opened was restored")
        _try(lambda: decompress(data, **given))
        _try(lambda: archive.rescue(data, **given))
        return
    header = opened[0]
    if restored is None:
        _try(lambda: archive.test(data, **given))
        _try(lambda: archive.rescue(data, **given))
        pixels = _try(lambda: decompress(data, **given))
        if pixels is not None and not header.whole:
            again, mask, report = recover(data, **given)
            _hold(report.sound and not mask.any() and np.array_equal(again, pixels), "`recover` sees damage where `decompress` sees none")
        return
    _hold(info(data)["bytes"] == len(data) and archive.way_of(header), "what is restored cannot be listed")
    if header.whole:
        _hold(container.digest(restored) == header.digest, "a file kept whole has another hash")
        return
    image = png.read(restored, LIMITS.max_pixels)
    samples = np.ascontiguousarray(image.pixels, dtype=image.kind.dtype)
    _hold(image.kind == header.kind and container.digest(samples.data) == header.digest, "the PNG has other pixels than the header's hash is of")


def reader(data: bytes) -> None:
    """A PNG file: what `png.dissect` accepts is written, read, packed and made again the same."""
    _try(lambda: png.read_head(data, LIMITS.max_pixels))
    found = _try(lambda: png.dissect(data, LIMITS.max_pixels))
    if found is None:
        return
    image, coding = found
    again = png.read(png.write(image), LIMITS.max_pixels)
    same = (again.head, again.before, again.after) == (image.head, image.before, image.after) and np.array_equal(again.pixels, image.pixels)
    _hold(same, "a PNG that was written reads as another one")
    block = png.pack_chunks(image)
    _hold(not block or png.unpack_chunks(block) == (image.before, image.after), "kept chunks came back as others")
    recipe = exact.find(data, image, coding)
    if recipe:
        _hold(exact.unpack(exact.pack(recipe), image) == recipe, "a recipe came back as another one")
        _hold(exact.make(image, recipe) == data, "a recipe makes another file")
