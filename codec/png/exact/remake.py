"""The way back to the very bytes of a PNG file: finds the recipe that makes them again from pixels, and
follows one. Knows PNG files and `codec.png.exact.recipes`; no .ardm files.

Most encoders use zlib with one of a few settings; those are tried one after the other, each until its output
first differs. Here `codec.png.exact.deflate` is zlib, so that a recipe works on every machine. What another
library compressed is described by its difference from what `codec.png.exact.difference` expects.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from codec import png
from codec.container import digest
from codec.errors import CorruptError
from codec.png import Coding, Png
from codec.png.exact import difference
from codec.png.exact.deflate import DEFAULT, FILTERED, FIXED, HUFFMAN, LAZY_LEVEL, RLE, deflate
from codec.png.exact.recipes import (
    CHECK,
    DIGEST_BYTES,
    MAX_LINKS,
    MAX_PIECES,
    START,
    Difference,
    Recipe,
    Settings,
)

LEVELS_OF_HINT = {0: (1,), 1: (2, 3, 4, 5), 2: (6,), 3: (9, 8, 7)}  # by what a zlib stream says of its level
HINT_SHIFT = 6  # of its second byte
STORED_HEAD = 5  # bytes of a stored block before its data
OTHER_DENSE = 0, 4  # what hasty compressors know of places within matches (`dense`)
RETRY_SHARE = 16  # a difference of more than this part of the stream is tried with these, too


def find(source: bytes, image: Png, coding: Coding) -> Recipe | None:
    """The recipe for a file that `png.dissect` took apart, or None if there is none. What is returned has
    been tried out.
    """
    raw = png.scanlines(image, coding.filters)
    start, body, check = coding.stream[:START], coding.stream[START:-CHECK], coding.stream[-CHECK:]
    # bits that are left over at the end of a row are not 0
    if zlib.adler32(raw) != struct.unpack(">I", check)[0]:
        return None
    if len(coding.sizes) > MAX_PIECES:
        return None
    stored = (Settings(0, 0, 0, 0, blocks) for blocks in [_stored_blocks(body)] if blocks)
    settings = next(
        (s for s in itertools.chain(stored, _candidates(start)) if _compress(raw, s, body) == body), None
    ) or _differ(raw, body)
    if settings is None:
        return None
    recipe = Recipe(
        start,
        settings,
        coding.filters,
        coding.filters == png.usual_filters(image),
        coding.sizes,
        digest(source, DIGEST_BYTES),
    )
    return recipe if _cut(image, coding.stream, coding.sizes) == source else None


def make(image: Png, recipe: Recipe) -> bytes:
    """The file. Raises CorruptError if it is another than the recipe was made for."""
    data = _make(image, recipe)
    computed = digest(data, DIGEST_BYTES)
    if computed != recipe.digest:
        raise CorruptError(
            f"hash of the PNG file made again does not match. Stored: {recipe.digest.hex()}. Computed: "
            f"{computed.hex()}."
        )
    return data


def _candidates(start: bytes) -> Iterator[Settings]:
    """Settings to try, the likeliest first."""
    stated = start[1] >> HINT_SHIFT
    # some encoders say a smaller window afterwards than they used
    windows = list(dict.fromkeys((max(9, (start[0] >> 4) + 8), 15)))
    for hint in sorted(LEVELS_OF_HINT, key=lambda hint: hint != stated):
        # FILTERED differs only where matches are put off; RLE and HUFFMAN know no levels; FIXED is the
        # default with fixed codes.
        ways = [
            (level, strategy)
            for level in LEVELS_OF_HINT[hint]
            for strategy in ((DEFAULT, FILTERED) if level >= LAZY_LEVEL else (DEFAULT,))
        ]
        ways += [(1, RLE), (1, HUFFMAN)] if hint == 0 else []
        for window, (level, strategy), memory in itertools.product(windows, ways, (8, 9)):
            yield Settings(level, memory, strategy, window)
    for window, level, memory in itertools.product(windows, range(1, 10), (8, 9)):
        yield Settings(level, memory, FIXED, window)


def _stored_blocks(body: bytes) -> tuple[int, ...]:
    """The sizes of its blocks, if a deflate stream has no others than such as hold the data as it is; else
    none.
    """
    sizes: list[int] = []
    at = last = 0
    while not last:
        if at + STORED_HEAD > len(body) or body[at] > 1 or len(sizes) == MAX_PIECES:
            return ()
        last, size = body[at], int.from_bytes(body[at + 1 : at + 3], "little")
        sizes.append(size)
        at += STORED_HEAD + size
    return tuple(sizes)


def _differ(raw: bytes, body: bytes) -> Difference | None:
    """The difference of a deflate stream, tried out; None if it would take more than the stream."""
    best = None
    for dense in (difference.EVERYWHERE, *OTHER_DENSE):
        words = difference.encode(raw, body, 1 << MAX_LINKS, dense)
        if words is not None and (best is None or len(words) < len(best.words)):
            best = Difference(MAX_LINKS, dense, words)
        if words is None or len(words) <= len(body) // RETRY_SHARE:
            break
    return best if best and _say_again(best, raw, len(body)) == body else None


def _say_again(apart: Difference, raw: bytes, size: int) -> bytes:
    """The deflate stream of so many bytes that a difference tells from the expected."""
    return difference.decode(apart.words, raw, size, 1 << apart.links, apart.dense)


def _compress(raw: bytes, settings: Settings, expected: bytes | None = None) -> bytes | None:
    """The deflate stream of raw; None if it turns out not to be what was expected."""
    if settings.level:
        goal = None if expected is None else np.frombuffer(expected, np.uint8)
        data = np.frombuffer(raw, np.uint8)
        out = deflate(data, settings.level, settings.memory, settings.strategy, settings.window, goal)
        return None if out is None else out.tobytes()
    parts, at = [], 0
    for i, size in enumerate(settings.blocks):
        parts += [
            struct.pack("<BHH", i == len(settings.blocks) - 1, size & 65535, 65535 - (size & 65535)),
            raw[at : at + size],
        ]
        at += size
    return b"".join(parts)


def _make(image: Png, recipe: Recipe) -> bytes:
    raw = png.scanlines(image, recipe.filters)
    if isinstance(recipe.settings, Difference):
        body = _say_again(recipe.settings, raw, sum(recipe.sizes) - START - CHECK)
    else:
        body = _compress(raw, recipe.settings) or b""
    stream = recipe.start + body + struct.pack(">I", zlib.adler32(raw))
    return _cut(image, stream, recipe.sizes)


def _cut(image: Png, stream: bytes, sizes: tuple[int, ...]) -> bytes:
    """The file whose image data is a stream cut into pieces."""
    return png.assemble(
        image,
        [stream[end - size : end] for end, size in zip(itertools.accumulate(sizes), sizes, strict=True)],
    )
