"""What must hold for every input, whatever its bytes: the entry points that fuzzing and the tests in CI call.
Knows no fuzzer.

Each takes bytes and returns nothing. Any exception that leaves it is a finding: ArdmError is the only answer
to bad input that callers are promised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar
from unittest import mock

import numpy as np

from ardm.exact import context
from ardm.exact.predictor import Canvas, Predictor
from ardm.orders import PATCH
from codec import (
    ArdmError,
    Limits,
    UnsupportedError,
    archive,
    container,
    decompress,
    info,
    listing,
    png,
    recover,
)
from codec.formats import frames
from codec.formats import sources as readers
from codec.listing import Way
from codec.opened import open_bytes
from codec.png.exact import recipes, remake
from codec.text import file as text
from codec.text import header as header_of_text
from codec.text import prose
from codec.tiles import load_predictor

Result = TypeVar("Result")
LIMITS = Limits(max_pixels=1024, max_memory=2**30, max_calls=50_000, max_tiles=64)
KEPT = Way.WHOLE, Way.RECODED


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


class Stub(Predictor):
    """Answers like a network that knows nothing but the lattice, at once: what is fuzzed is what is made of
    the bytes, not the network, which takes any pixels.

    In raster order coders ask the network themselves.
    """

    def __init__(self) -> None:
        super().__init__(load_predictor().weights)

    def lattice(
        self, canvas: Canvas, phase: tuple[int, int], first: int, where: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.scattered(canvas, where)

    def scattered(self, canvas: Canvas, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = len(where), self.weights.config.outputs
        key = int((canvas.image * canvas.mask[..., None]).sum(dtype=np.int64))
        params = (np.arange(shape[0] * shape[1]) * 40503 + key >> 5).reshape(shape) % 160 - 80
        k = self.weights.config.mixture
        params[:, 4 * k : 7 * k] = params[:, 4 * k : 7 * k] // 8 + 40  # scales of 4 to 8 levels
        rows, columns = where.T // PATCH * PATCH  # what is known of every stage
        return params.astype(np.int32), canvas.image[rows, columns].astype(np.int16)


@lru_cache(maxsize=1)
def stub() -> Stub:
    return Stub()


@contextmanager
def small_texts() -> Iterator[None]:
    """Within it, texts are coded by a small network of made-up integers, in tiles so small that short ones
    have several, and LZMA need not clear 64 MiB for each.
    """
    small = [text._FILTERS[0] | {"dict_size": 1 << 16}]
    with (
        mock.patch.object(text, "load_network", _small_network),
        mock.patch.multiple(text, TILE=100, _FILTERS=small),
        mock.patch.object(header_of_text, "TILE", 100),
    ):
        yield


@lru_cache(maxsize=1)
def _made_up() -> prose.Network:
    return prose.Network.of(prose.synthetic_weights())


def _small_network(weights_id: str) -> prose.Network:
    if weights_id != context.TEXT_ID:
        raise UnsupportedError(f"weights {weights_id} are not part of this release.")
    return _made_up()


def decoder(data: bytes) -> None:
    """An .ardm file: `container.read`, `info`, `decompress`, and what `archive` makes of it agree."""
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
        _try(lambda: archive.complete(data, **given))
        pixels = _try(lambda: decompress(data, **given))
        if pixels is not None and not header.whole:
            again, mask, report = recover(data, **given)
            _hold(
                report.sound and not mask.any() and np.array_equal(again, pixels),
                "`recover` sees damage where `decompress` sees none",
            )
        return
    _hold(info(data)["bytes"] == len(data) and listing.way_of(header), "what is restored cannot be listed")
    if header.whole:
        _hold(container.digest(restored) == header.digest, "a file kept whole has another hash")
        return
    frame = next(
        (frames.unpack(block) for kind, block in header.metadata if kind == container.SOURCE_FRAME), None
    )
    if frame:
        _hold(
            container.digest(restored, frames.DIGEST_BYTES) == frame.digest,
            "a file made again has another hash",
        )
        archive.format_of(open_bytes(data, LIMITS))
        return
    image = png.read(restored, LIMITS.max_pixels)
    samples = np.ascontiguousarray(image.pixels, dtype=image.kind.dtype)
    _hold(
        image.kind == header.kind and container.digest(samples.data) == header.digest,
        "the PNG has other pixels than the header's hash is of",
    )


def reader(data: bytes) -> None:
    """A PNG file: what `png.dissect` accepts is written, read, packed and made again the same."""
    _try(lambda: png.read_head(data, LIMITS.max_pixels))
    found = _try(lambda: png.dissect(data, LIMITS.max_pixels))
    if found is None:
        return
    image, coding = found
    again = png.read(png.write(image), LIMITS.max_pixels)
    same = (again.head, again.before, again.after) == (
        image.head,
        image.before,
        image.after,
    ) and np.array_equal(again.pixels, image.pixels)
    _hold(same, "a PNG that was written reads as another one")
    block = png.pack_chunks(image)
    _hold(
        not block or png.unpack_chunks(block) == (image.before, image.after),
        "kept chunks came back as others",
    )
    recipe = remake.find(data, image, coding)
    if recipe:
        _hold(
            recipes.unpack(recipes.pack(recipe), image, recipe.different) == recipe,
            "a recipe came back as another one",
        )
        _hold(remake.make(image, recipe) == data, "a recipe makes another file")


def sources(data: bytes) -> None:
    """An image file that is no PNG: what its reader accepts comes back from an .ardm file byte for byte, or
    as a PNG of the same content.
    """
    look = _try(lambda: readers.look(data, LIMITS.max_pixels))
    if look is None or look.format == readers.Format.PNG:  # which `reader` is for
        return
    content = _try(look.load)
    if content:
        _hold(
            content.image.pixels.shape[:2] == (look.head.height, look.head.width),
            "a file has another size than its header says",
        )
    packed = _try(
        lambda: archive.pack(
            data, exactly=False, pixels=True, limits=LIMITS, order="raster", predictor=stub()
        )
    )
    _hold(packed or not content, "what can be read cannot be packed")
    if packed:
        _comes_back(data, packed, content)
    if not packed or packed.way == Way.CONTENT:
        packed = _try(
            lambda: archive.pack(data, exactly=True, limits=LIMITS, order="raster", predictor=stub())
        )
        _hold(not packed or packed.way in KEPT, "a file comes back exactly only if that is asked for")
        _hold(
            packed or not (content or look.why),
            "what can be read, or is sound but more than a picture, cannot be kept whole",
        )
        if packed:
            _comes_back(data, packed, content)


def _comes_back(data: bytes, packed: archive.Packed, content: readers.Content | None) -> None:
    restored = archive.unpack(packed.data)
    made = archive.format_of(open_bytes(packed.data, Limits()))
    if packed.way == Way.CONTENT:
        _hold(content and made == readers.Format.PNG, "a PNG was made of nothing")
        image, again = content.image, png.read(restored, LIMITS.max_pixels)
        same = (again.kind, again.before, again.after) == (
            image.kind,
            image.before,
            image.after,
        ) and np.array_equal(again.pixels, image.pixels)
        _hold(same, "a file came back as a PNG of something else")
    else:
        _hold(restored == data, "a file came back as another one")
        _hold(made == readers.sniff(data), "a file comes back as one of another format")
    if content and packed.way not in KEPT:
        _hold(
            np.array_equal(decompress(packed.data), content.image.pixels),
            "`decompress` gives other pixels than the file has",
        )


def texts(data: bytes) -> None:
    """An .ardm file of text: what is restored is what its header is about. Any other bytes: they come back,
    and grow by 60 bytes at most.
    """
    with small_texts():
        if not header_of_text.is_text(data):
            packed = _try(
                lambda: text.pack(
                    data,
                    budget=1 + len(data) % 7,
                    order=("auto", "cells", "plain")[len(data) % 3],
                    verify=False,
                    limits=LIMITS,
                )
            )
            if packed:
                _hold(text.unpack(packed) == data, "a text came back as another one")
                _hold(len(packed) <= len(data) + 60, "a text grew")
            return
        found = _try(lambda: text.read(data, LIMITS))
        restored = _try(lambda: text.unpack(data, limits=LIMITS))
    if found is None:
        _hold(restored is None, "what cannot be opened was restored")
        return
    header = found[0]
    _hold(header_of_text.info(data)["bytes"] == len(data), "what can be opened cannot be listed")
    if restored is not None:
        _hold(
            len(restored) == header.size and container.digest(restored, text.DIGEST_BYTES) == header.digest,
            "a text has another size or hash than its header says",
        )
        parts = text.take_apart(restored)
        words = header.method != text.MODEL or (parts.letters.size, parts.starts.size - 1) == (
            header.letters,
            header.words,
        )
        _hold(words, "a text has other words than its header says")
