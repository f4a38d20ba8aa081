"""What makes the very bytes of a PNG file again from pixels: which filters, zlib settings, or difference from
what is expected, and chunk sizes; and the same as bytes. Knows no PNG file and no .ardm file; `remake` finds
and follows recipes.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from codec import png
from codec.container import read_varint, varint
from codec.errors import CorruptError
from codec.png import Png
from codec.png.exact.deflate import FIXED

# ways to say the filters, beside 0 to 4, that one in every row: as `png.usual_filters` does; row by row
BY_RULE, BY_LIST = 5, 6
FILTERS = 5  # that a row can have
MAX_PIECES = 1 << 20  # chunks of image data, or blocks: what a small recipe can ask for is bounded
MAX_VARINT = 9  # bytes of a size
START, CHECK = 2, 4  # bytes of a zlib stream before its deflate stream, and after it
BEGINNING = "<2sBBBB"
BEGINNING_DIFFERENT = "<2sBB"
MAX_LINKS = 12  # log2 of the places that each place is compared with at most, where there is a difference
DIGEST_BYTES = 16  # of the file, in a recipe
# Bytes of a stream for each of the pixels', for each row and besides. Deflate never needs more; what is more
# cannot be an answer, and would only take memory.
MOST_OF_BYTE, MOST_OF_ROW, MOST_BESIDES = 2, 8, 1 << 16


@dataclass(frozen=True)
class Settings:
    """Of zlib's deflateInit2; or, with level 0 and all others 0, the sizes of blocks that hold the data as it
    is.
    """

    level: int
    memory: int
    strategy: int
    window: int
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Difference:
    """What `codec.png.exact.difference` needs beside the data."""

    links: int  # log2 of its `links`
    dense: int
    words: bytes


@dataclass(frozen=True)
class Recipe:
    """How to make a PNG file from its pixels and other chunks."""

    start: bytes  # the two bytes with which the zlib stream begins
    settings: Settings | Difference
    filters: bytes  # of every row of every pass
    usual: bool  # whether these are `png.usual_filters`
    sizes: tuple[int, ...]  # of the chunks of image data
    digest: bytes  # BLAKE2b-128 of the file

    @property
    def different(self) -> bool:
        """Whether a difference takes the place of zlib's settings."""
        return isinstance(self.settings, Difference)

    def __str__(self) -> str:
        s = self.settings
        if isinstance(s, Difference):
            return f"{len(s.words)} bytes apart from the expected compressed data"
        if not s.level:
            return "not compressed"
        return f"zlib level {s.level}, memory {s.memory}, strategy {s.strategy}, window {s.window}"


def pack(recipe: Recipe) -> bytes:
    """The recipe as bytes."""
    s = recipe.settings
    if isinstance(s, Difference):
        out = struct.pack(BEGINNING_DIFFERENT, recipe.start, s.links, s.dense)
    else:
        out = struct.pack(BEGINNING, recipe.start, s.level, s.memory, s.strategy, s.window)
    if recipe.usual or len(set(recipe.filters)) == 1:
        out += bytes([BY_RULE if recipe.usual else recipe.filters[0]])
    else:
        packed = zlib.compress(recipe.filters, 9)
        out += bytes([BY_LIST]) + varint(len(packed)) + packed
    out += _pack_sizes(recipe.sizes)
    if isinstance(s, Difference):
        out += s.words
    elif not s.level:
        out += _pack_sizes(s.blocks)
    return out + recipe.digest


def unpack(data: bytes, image: Png, different: bool = False) -> Recipe:
    """Inverse of `pack`. image: whose recipe it is; different: whether it has a difference. Raises
    CorruptError.
    """
    layout = BEGINNING_DIFFERENT if different else BEGINNING
    beginning = struct.calcsize(layout)
    if len(data) < beginning + 1:
        raise CorruptError("the recipe of the original PNG file is cut short.")
    start, *numbers = struct.unpack_from(layout, data)
    _check_numbers(numbers, different)
    row_filters, at = _unpack_filters(data, beginning, image)
    rows = len(row_filters)
    most = MOST_OF_BYTE * image.pixels.nbytes + MOST_OF_ROW * rows + MOST_BESIDES
    sizes, at = _unpack_sizes(data, at, most)
    settings: Settings | Difference
    if different:
        if sum(sizes) < START + CHECK or len(data) < at + DIGEST_BYTES:
            raise CorruptError("the recipe of the original PNG file is damaged.")
        links, dense = numbers
        settings, at = Difference(links, dense, data[at:-DIGEST_BYTES]), len(data) - DIGEST_BYTES
    else:
        level, memory, strategy, window = numbers
        blocks: tuple[int, ...] = ()
        if not level:
            blocks, at = _unpack_sizes(data, at, most)
        settings = Settings(level, memory, strategy, window, blocks)
    if len(data) != at + DIGEST_BYTES:
        raise CorruptError("the recipe of the original PNG file is damaged.")
    return Recipe(start, settings, row_filters, data[beginning] == BY_RULE, sizes, data[at:])


def _check_numbers(numbers: list[int], different: bool) -> None:
    """Raise CorruptError for impossible settings, of zlib or of a difference."""
    if different:
        links, _ = numbers
        if links > MAX_LINKS:
            raise CorruptError(
                f"the recipe of the original PNG file compares with 2**{links} places, expected "
                f"2**{MAX_LINKS} at most."
            )
        return
    level, memory, strategy, window = numbers
    if level and not (level <= 9 and 1 <= memory <= 9 and strategy <= FIXED and 9 <= window <= 15):
        raise CorruptError(
            f"the recipe of the original PNG file has impossible settings: {level}, {memory}, "
            f"{strategy}, {window}."
        )


def _unpack_filters(data: bytes, at: int, image: Png) -> tuple[bytes, int]:
    """(the filters of all rows, position after them)."""
    way, at = data[at], at + 1
    rows = sum(one.rows for one in image.head.passes())
    if way == BY_LIST:
        row_filters, at = _unpack_listed(data, at, rows)
    else:
        row_filters = png.usual_filters(image) if way == BY_RULE else bytes([way]) * rows
    if len(row_filters) != rows or max(row_filters) >= FILTERS:
        raise CorruptError("the recipe of the original PNG file does not say a filter for every row.")
    return row_filters, at


def _pack_sizes(sizes: tuple[int, ...]) -> bytes:
    """One size, and the total: all pieces are of that size but the last. Or 0, and a list."""
    if sizes[0] and sizes == _even_sizes(sum(sizes), sizes[0]):
        return varint(sizes[0]) + varint(sum(sizes))
    packed = zlib.compress(b"".join(varint(s) for s in sizes), 9)
    return varint(0) + varint(len(packed)) + packed


def _unpack_sizes(data: bytes, at: int, most: int) -> tuple[tuple[int, ...], int]:
    """Inverse of `_pack_sizes`, from a position: (sizes, position after them). most: their sum."""
    size, at = read_varint(data, at)
    if size:
        total, at = read_varint(data, at)
        if total > most or total > size * MAX_PIECES:
            raise CorruptError("the recipe of the original PNG file is damaged.")
        return _even_sizes(total, size), at
    listed, at = _unpack_listed(data, at, MAX_VARINT * MAX_PIECES)
    sizes: list[int] = []
    position = 0
    while position < len(listed) and len(sizes) <= MAX_PIECES:
        size, position = read_varint(listed, position)
        sizes.append(size)
    if len(sizes) > MAX_PIECES or sum(sizes) > most:
        raise CorruptError("the recipe of the original PNG file is damaged.")
    return tuple(sizes), at


def _unpack_listed(data: bytes, at: int, most: int) -> tuple[bytes, int]:
    """(what a length and a zlib stream hold, position after them)."""
    length, at = read_varint(data, at)
    inflate = zlib.decompressobj()
    try:
        out = inflate.decompress(data[at : at + length], most + 1)
    except zlib.error as error:
        raise CorruptError(f"the recipe of the original PNG file is damaged ({error}).") from error
    if not inflate.eof or len(out) > most:
        raise CorruptError("the recipe of the original PNG file is damaged.")
    return out, at + length


def _even_sizes(total: int, size: int) -> tuple[int, ...]:
    """All of one size but the last, which is what is left."""
    return (size,) * ((total - 1) // size) + ((total - 1) % size + 1,) if total else ()
