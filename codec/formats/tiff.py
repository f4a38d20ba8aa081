"""TIFF files to samples, of 8 and 16 bits and below, of any lossless compression. Knows the file's directory;
Pillow (libtiff) only unpacks strips and tiles.

Pillow itself makes 8 bits of 16 in colour, drops a fourth channel that it does not know, divides by alpha,
and turns the image upright. So it is shown the same strips under a directory of our own, which calls every
row of samples a row of grey bytes; what the bytes mean is decided here. Files without compression do not even
need that: their samples lie bare in the file (`codec.formats.frames`), of all planes of a stack if these
follow each other.

What else a directory says is copied into a block of Exif, byte for byte, where Exif has a place for it; all
other tags are named (`luggage`).
"""

from __future__ import annotations

import ctypes
import io
import math
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import ImageFile, TiffImagePlugin, _imaging

from ardm.forks import steady
from codec import png
from codec.errors import CorruptError, TruncatedError
from codec.formats.frames import HIGH_FIRST, SampleLayout
from codec.formats.luggage import Luggage
from codec.png import Head, IndivisibleError
from codec.samples import DEPTHS, Kind

WIDTH = 256
HEIGHT = 257
BITS = 258
COMPRESSION = 259
PHOTOMETRIC = 262
FILL = 266
OFFSETS = 273
ORIENTATION = 274
SAMPLES = 277
ROWS = 278
COUNTS = 279
PLANAR = 284
PREDICTOR = 317
COLOURS = 320
TILE_WIDTH = 322
TILE_HEIGHT = 323
TILE_OFFSETS = 324
TILE_COUNTS = 325
EXTRA = 338
FORMAT = 339
FAX3, FAX4 = 292, 293  # options of fax compression
SUBFILE, OLD_SUBFILE, SUB_DIRECTORIES, DESCRIPTION = 254, 255, 330, 270
XMP, ICC, EXIF, GPS, INTEROPERABILITY, MAKER_NOTE = 700, 34675, 34665, 34853, 40965, 37500
STRUCTURE = {  # what says where the samples are and what they mean
    WIDTH,
    HEIGHT,
    BITS,
    COMPRESSION,
    PHOTOMETRIC,
    FILL,
    OFFSETS,
    SAMPLES,
    ROWS,
    COUNTS,
    PLANAR,
    PREDICTOR,
    TILE_WIDTH,
    TILE_HEIGHT,
    TILE_OFFSETS,
    TILE_COUNTS,
    EXTRA,
    FORMAT,
    FAX3,
    FAX4,
    SUBFILE,
    OLD_SUBFILE,
}
VITAL = (WIDTH, HEIGHT, BITS, OFFSETS, COUNTS, TILE_OFFSETS, TILE_COUNTS, COLOURS, ICC, XMP)
SAME = (  # in all planes of a stack
    WIDTH,
    HEIGHT,
    BITS,
    COMPRESSION,
    PHOTOMETRIC,
    FILL,
    SAMPLES,
    PLANAR,
    PREDICTOR,
    COLOURS,
    EXTRA,
    FORMAT,
)
# tags that Exif has in common, or that are plain texts: description, camera, resolution, artist, ...
TOLD = {
    269,
    DESCRIPTION,
    271,
    272,
    ORIENTATION,
    282,
    283,
    285,
    296,
    301,
    305,
    306,
    315,
    316,
    318,
    319,
    33432,
    40091,
    40092,
    40093,
    40094,
    40095,
}
GEOGRAPHIC, GDAL, IMAGEJ, PHOTOSHOP = "geographic tags", "GDAL's tags", "ImageJ's tags", "Photoshop's tags"
NAMES = {
    33550: GEOGRAPHIC,
    33920: GEOGRAPHIC,
    33922: GEOGRAPHIC,
    34264: GEOGRAPHIC,
    34735: GEOGRAPHIC,
    34736: GEOGRAPHIC,
    34737: GEOGRAPHIC,
    42112: GDAL,
    42113: GDAL,
    50838: IMAGEJ,
    50839: IMAGEJ,
    33723: "IPTC",
    34377: PHOTOSHOP,
    37724: PHOTOSHOP,
}
MADE_BY_IMAGEJ = re.compile(rb"ImageJ=[^\n]{0,99}\n(?:[^\n]{0,999}\n){0,99}?images=(\d{1,9})[\s\0]")
MADE_BY_TIFFFILE = re.compile(rb'\{"shape": \[(\d{1,9}(?:, ?\d{1,9}){1,20})\]')
# of the entries that are read here: bytes, text, 16 and 32 bits
TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 7: "s"}
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
DIRECTORY = 13  # the type of positions of directories
MAX_ENTRIES = 4096
MAX_PAGES = 1 << 16
# pixels a side, or the image's side: what libtiff allocates for a tile follows from its claim, not from the
# bytes in the file
MAX_TILE = 4096
NONE, LZW, PACKBITS, LZMA, ZSTANDARD = 1, 5, 32773, 34925, 50000
DEFLATE = (8, 32946)
LOSSLESS = (NONE, LZW, *DEFLATE, PACKBITS, LZMA, ZSTANDARD)
PREDICTING = (LZW, *DEFLATE, LZMA, ZSTANDARD)  # those to which a predictor belongs
FAX = (2, 3, 4)  # for one bit only
LOSSY = {6: "JPEG", 7: "JPEG", 34712: "JPEG 2000", 34892: "JPEG", 50001: "WebP", 50002: "JPEG XL"}
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = range(4)


@dataclass(frozen=True)
class Tiff:
    """What the directory of a file says."""

    data: bytes
    order: str  # "<" or ">"
    entries: dict[int, tuple[int, int, int]]  # tag: (type, count, position of the value)
    head: Head
    span: tuple[int, int]  # where the directory begins and ends
    unread: tuple[int, ...] = ()  # tags that are damaged or said twice, and say nothing about the samples
    pages: tuple[Tiff, ...] = ()  # whose samples follow at once, with the same shape

    def values(self, tag: int, default: tuple[int, ...] = (), most: int = 2**32) -> tuple[int, ...]:
        """The first numbers of an entry. Raises CorruptError if it has something else."""
        if tag not in self.entries:
            return default
        kind, count, at = self.entries[tag]
        if kind not in (1, 3, 4):
            raise CorruptError(f"the TIFF's tag {tag} is of type {kind}, expected whole numbers.")
        return struct.unpack_from(f"{self.order}{min(count, most)}{TYPES[kind]}", self.data, at)

    def value(self, tag: int, default: int | None = None) -> int:
        """The first number of an entry."""
        values = self.values(tag, () if default is None else (default,), 1)
        if not values:
            raise CorruptError(f"the TIFF has no tag {tag}, which it needs.")
        return values[0]

    def raw(self, tag: int) -> bytes:
        """Bytes of an entry, none if it is not there."""
        kind, count, at = self.entries.get(tag, (1, 0, 0))
        return self.data[at : at + count * SIZES[kind]]

    @property
    def boundless(self) -> bool:
        """Whether a few bytes can stand for any number of pixels."""
        return self.value(COMPRESSION, NONE) in (*FAX, ZSTANDARD)

    @property
    def lossy(self) -> bool:
        return self.value(COMPRESSION, NONE) in LOSSY


def parse(data: bytes) -> Tiff:
    """The directory of a TIFF. Raises TruncatedError or CorruptError, and IndivisibleError for BigTIFF,
    several pages that are no stack, or what is no image of 1 to 16 bits."""
    order = "<" if data[:2] == b"II" else ">"
    if data[2:4] in (b"+\0", b"\0+"):
        raise IndivisibleError("it is a BigTIFF")
    if len(data) < 8:
        raise TruncatedError(f"the TIFF is cut short: it ends after {len(data)} bytes.")
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    first, following = _page(data, order, at)
    pages: list[Tiff] = []
    while following:
        before = pages[-1] if pages else first
        try:
            page, following = _page(data, order, following)
            good = _follows(before, page) and len(pages) < MAX_PAGES
        except (CorruptError, IndivisibleError):
            good = False
        if not good:
            raise IndivisibleError("it has several pages")
        pages.append(page)
    return replace(first, pages=tuple(pages))


def _follows(one: Tiff, other: Tiff) -> bool:
    """Whether the samples of a page come at once after those of another, and are of the same shape and kind;
    so no page follows itself."""
    start, end = _bare(one), _bare(other)
    same = all(one.values(tag) == other.values(tag) for tag in SAME)
    return same and start is not None and end is not None and start[0] + start[1] == end[0]


def _directory(data: bytes, order: str, at: int) -> tuple[dict[int, tuple[int, int, int]], list[int], int]:
    """(entries as of `Tiff`, tags that are damaged or said twice, position after the directory). Raises
    TruncatedError or CorruptError."""
    if at + 2 > len(data):
        raise TruncatedError("the TIFF is cut short: it ends before its directory.")
    (count,) = struct.unpack_from(f"{order}H", data, at)
    if not 0 < count <= MAX_ENTRIES or at + 2 + 12 * count > len(data):
        raise CorruptError(f"the TIFF's directory at byte {at} has {count} entries, which cannot be.")
    entries: dict[int, tuple[int, int, int]] = {}
    unread = []
    for position in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", data, position)
        size = SIZES.get(kind, 0) * number
        where = position + 8 if size <= 4 else struct.unpack_from(f"{order}I", data, position + 8)[0]
        sound = kind in SIZES and number and where + size <= len(data)
        if not sound or tag in entries:
            unread.append(tag)
        if sound:
            entries[tag] = (kind, number, where)
    return entries, unread, at + 2 + 12 * count


def _page(data: bytes, order: str, at: int) -> tuple[Tiff, int]:
    """A directory, and where the next one is, or 0."""
    entries, unread, end = _directory(data, order, at)
    for tag in unread:
        if tag in VITAL and tag not in entries:
            raise CorruptError(f"the TIFF's tag {tag} is damaged, or the file is cut short.")
    following = int.from_bytes(data[end : end + 4], "little" if order == "<" else "big")
    tiff = Tiff(data, order, entries, Head(1, 1, 1, Kind(), False), (at, end + 4), tuple(unread))
    return replace(tiff, head=_head(tiff)), following


def _head(tiff: Tiff) -> Head:
    """What the directory says of the samples. Raises CorruptError or IndivisibleError."""
    bits = tiff.values(BITS, (1,))
    channels, photometric, compression = (
        tiff.value(SAMPLES, 1),
        tiff.value(PHOTOMETRIC),
        tiff.value(COMPRESSION, NONE),
    )
    indexed = photometric == PALETTE
    small = tiff.value(SUBFILE, 0) & ~2 or tiff.value(OLD_SUBFILE, 1) == 2
    for good, why in (
        (not small, "its first directory is that of a small copy, or of a mask"),
        (
            compression in LOSSLESS or compression in LOSSY or (compression in FAX and bits == (1,)),
            f"it has compression {compression}",
        ),
        (set(tiff.values(FORMAT, (1,))) == {1}, "its samples are not whole numbers without sign"),
        (
            len(set(bits)) == 1 and bits[0] in DEPTHS,
            f"its samples have {', '.join(map(str, bits[:8]))} bits, rather than 1, 2, 4, 8 or 16",
        ),
        (
            photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE) or compression in LOSSY,
            f"its colours are neither grey, RGB nor a palette ({photometric})",
        ),
        (
            1 <= channels <= 4 and (channels < 3 or photometric == RGB or compression in LOSSY),
            f"it has {channels} channels",
        ),
        (channels > 2 or photometric != RGB, f"it has {channels} channels"),
        (
            compression in LOSSY or Kind(bits[0], indexed).fits(channels),
            f"it has {channels} channels of {bits[0]} bits{', indexed' * indexed}",
        ),
        (tiff.value(PLANAR, 1) == 1 or channels == 1, "its channels are stored one after the other"),
        (tiff.value(FILL, 1) == 1, "the bits in its bytes are in reverse order"),
        (
            tiff.value(PREDICTOR, 1) in (1, 2) and (tiff.value(PREDICTOR, 1) == 1 or bits[0] >= 8),
            "it uses an unusual predictor",
        ),
        (TILE_WIDTH not in tiff.entries or bits[0] >= 8, f"it has tiles with samples of {bits[0]} bits"),
    ):
        if not good:
            raise IndivisibleError(why)
    width, height = tiff.value(WIDTH), tiff.value(HEIGHT)
    if not 0 < width < 2**31 or not 0 < height < 2**31:
        raise CorruptError(f"the TIFF says {width} x {height} pixels, expected 1 to {2**31 - 1} each way.")
    if tiff.value(TILE_WIDTH, 1) > max(width, MAX_TILE) or tiff.value(TILE_HEIGHT, 1) > max(height, MAX_TILE):
        raise IndivisibleError(
            f"it has tiles of {tiff.value(TILE_WIDTH, 1)} x {tiff.value(TILE_HEIGHT, 1)} pixels"
        )
    kind = Kind(bits[0], indexed) if compression not in LOSSY else Kind()
    return Head(width, height, channels, kind, False)


def sample_layout(tiff: Tiff, max_pixels: int) -> SampleLayout | None:
    """Where the samples lie bare, if they do, in one piece from the top; of a stack all planes, one below the
    other, or as many as the limit permits."""
    place = _bare(tiff)
    if not place:
        return None
    start, size = place
    head, layout = tiff.head, HIGH_FIRST if tiff.order == ">" and tiff.head.kind.depth == 16 else 0
    planes = 1 + len(tiff.pages) if tiff.pages else _planes(tiff, (len(tiff.data) - start) // size)
    planes = max(1, min(planes, max_pixels // (head.width * head.height), (2**31 - 1) // head.height))
    return SampleLayout(replace(head, height=planes * head.height), start, layout)


def _planes(tiff: Tiff, most: int) -> int:
    """How many planes of the same shape follow each other where the directory describes the first only, as
    ImageJ and tifffile write large stacks. most: as many as can be; more are not believed, since programs
    copy descriptions into files that hold one plane."""
    text, head = tiff.raw(DESCRIPTION), tiff.head
    if match := MADE_BY_IMAGEJ.match(text):
        planes = int(match[1])
    elif match := MADE_BY_TIFFFILE.match(text):
        shape = map(int, match[1].split(b","))
        planes, rest = divmod(math.prod(shape), head.width * head.height * head.channels)
        planes = 1 if rest else planes
    else:
        planes = 1
    return planes if 1 <= planes <= most else 1


def _bare(tiff: Tiff) -> tuple[int, int] | None:
    """(position, bytes) of the samples, if they lie bare and in one piece."""
    if tiff.value(COMPRESSION, NONE) != NONE or TILE_WIDTH in tiff.entries:
        return None
    offsets, counts = tiff.values(OFFSETS), tiff.values(COUNTS)
    line, rows = tiff.head.line(tiff.head.width) - 1, min(tiff.value(ROWS, 2**32 - 1), tiff.head.height)
    if not rows or len(offsets) != -(-tiff.head.height // rows) or len(counts) != len(offsets):
        return None
    if offsets[0] < 8:  # in the header, by which the file that is made again is known
        return None
    whole = [line * min(rows, tiff.head.height - i * rows) for i in range(len(offsets))]
    if list(counts) != whole or any(offsets[i] + whole[i] != offsets[i + 1] for i in range(len(offsets) - 1)):
        return None
    return offsets[0], sum(whole)


def read(tiff: Tiff) -> tuple[np.ndarray, bytes]:
    """(the pixels, the chunk of their palette, if there is one), as a PNG has them. Raises CorruptError or
    IndivisibleError."""
    head = tiff.head
    if SUB_DIRECTORIES in tiff.entries:
        raise IndivisibleError("it has further pictures in directories below the first")
    extra = tiff.values(EXTRA)
    if head.channels in (2, 4) and (len(extra) != 1 or extra[0] != 2):
        raise IndivisibleError("one of its channels is not plain alpha")
    if head.kind.indexed and head.channels > 1:
        raise IndivisibleError("it has a palette and alpha")
    _check_strips(tiff)
    samples = _samples(tiff)
    if tiff.value(PHOTOMETRIC) == WHITE_IS_ZERO:
        if head.channels > 1:
            raise IndivisibleError("its grey is inverted and it has alpha")
        samples = samples ^ np.array(2**head.kind.depth - 1, samples.dtype)
    return samples, _palette(tiff) if head.kind.indexed else b""


def unpacked(reader: type[ImageFile.ImageFile], data: bytes, width: int, height: int) -> np.ndarray:
    """What a reader of Pillow makes of a file, whose size is known and within the limits. Raises
    CorruptError, MemoryError.
    """
    try:
        with _quietly(), reader(io.BytesIO(data)) as image:
            if image.size != (width, height):  # before it is allocated
                raise CorruptError(
                    f"the file holds {image.width} x {image.height} pixels, its header says {width} x "
                    f"{height}."
                )
            image.load()
            return np.array(image)
    except (MemoryError, CorruptError):
        raise
    except Exception as error:  # whatever Pillow raises for damaged files
        raise CorruptError(
            "the file is damaged or cut short, or this Pillow cannot unpack it "
            f"({error or type(error).__name__})."
        ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Pillow's warnings, and what libtiff prints, are not for the reader of our messages; and the ways to
    silence them are not for several threads at once.
    """
    with steady, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = [(silence, silence(None)) for silence in _printers()]
        try:
            yield
        finally:
            for restore, printer in before:
                restore(printer)


@lru_cache(maxsize=1)
def _printers() -> list[Callable[[int | None], int | None]]:
    """libtiff's functions that set what prints its errors and its warnings, and return what did before; none
    where Pillow's libtiff cannot be reached so.
    """
    try:
        library = ctypes.CDLL(_imaging.__file__)  # a name is looked up in what it was linked with, too
        handlers = [library.TIFFSetErrorHandler, library.TIFFSetWarningHandler]
    except (OSError, AttributeError):
        return []
    for function in handlers:
        function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_void_p
    return list(handlers)


# ---- what else is in a file --------------------------------------------------------------------------------

Value = tuple[int, int, bytes]  # type, count, bytes


def luggage(tiff: Tiff) -> Luggage:
    """Everything that the file holds beside its samples."""
    pieces = Luggage()
    pieces.add_icc(tiff.raw(ICC))
    pieces.add_xmp(tiff.raw(XMP))
    table: dict[int, Value | dict] = {}
    known = STRUCTURE | {ICC, XMP} | ({COLOURS} if tiff.head.kind.indexed else set())
    spans = [(0, 8), tiff.span, *_strips(tiff), *_spans(tiff.entries)]
    for tag, (kind, count, _) in tiff.entries.items():
        if tag in (EXIF, GPS):
            table |= {tag: below} if (below := _nested(tiff, tiff.raw(tag), pieces, spans)) else {}
        elif tag in TOLD and kind != DIRECTORY:
            table[tag] = (kind, count, tiff.raw(tag))
        elif tag not in known:
            pieces.leave(NAMES.get(tag, f"a tag {tag}"))
    for tag in tiff.unread:
        pieces.leave(f"a damaged tag {tag}")
    if table:
        pieces.add_exif(tiff.data[:4] + struct.pack(f"{tiff.order}I", 8) + _block(tiff.order, table, 8))
    unused = _unused(tiff.data, spans)
    if unused:
        pieces.leave(f"{unused} bytes that no tag speaks of")
    return pieces


def _nested(
    tiff: Tiff, pointer: bytes, pieces: Luggage, spans: list[tuple[int, int]], depth: int = 1
) -> dict[int, Value | dict]:
    """A directory below the first: Exif or what is in it. pointer: where it is. A camera's own notes have
    positions in the file, which no copy keeps."""
    try:
        (at,) = struct.unpack(f"{tiff.order}I", pointer)
        entries, unread, end = _directory(tiff.data, tiff.order, at)
    except (struct.error, CorruptError):
        pieces.leave("damaged Exif")
        return {}
    spans += [(at, end + 4), *_spans(entries)]
    table: dict[int, Value | dict] = {}
    below = replace(tiff, entries=entries)
    for tag, (kind, count, _) in entries.items():
        if tag == MAKER_NOTE:
            pieces.leave("its camera's own notes (MakerNote)")
        elif tag == INTEROPERABILITY and depth < 2:
            nested = _nested(tiff, below.raw(tag), pieces, spans, depth + 1)
            table |= {tag: nested} if nested else {}
        elif tag == INTEROPERABILITY or kind == DIRECTORY:  # positions that would be of nothing
            pieces.leave(f"a tag {tag} in its Exif")
        else:
            table[tag] = (kind, count, below.raw(tag))
    for tag in unread:
        pieces.leave(f"a damaged tag {tag} in its Exif")
    return table


def _block(order: str, table: dict[int, Value | dict], at: int) -> bytes:
    """A directory to stand at a position: entries, their values, directories below it."""
    flat = {tag: (4, 1, bytes(4)) if isinstance(value, dict) else value for tag, value in table.items()}
    end, below = at + len(_entries(order, flat, at)), b""
    for tag, value in table.items():
        if isinstance(value, dict):
            flat[tag] = (4, 1, struct.pack(f"{order}I", end + len(below)))
            below += _block(order, value, end + len(below))
    return _entries(order, flat, at) + below


def _entries(order: str, table: dict[int, Value], at: int) -> bytes:
    """A directory and its values."""
    listed, values = struct.pack(f"{order}H", len(table)), b""
    after = at + 2 + 12 * len(table) + 4
    for tag, (kind, count, value) in sorted(table.items()):
        place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(f"{order}I", after + len(values))
        listed += struct.pack(f"{order}HHI", tag, kind, count) + place
        values += value + b"\0" * (len(value) % 2) if len(value) > 4 else b""
    return listed + bytes(4) + values


def _strips(tiff: Tiff) -> list[tuple[int, int]]:
    """Where the samples are."""
    offsets, counts = (OFFSETS, COUNTS) if TILE_WIDTH not in tiff.entries else (TILE_OFFSETS, TILE_COUNTS)
    pairs = zip(tiff.values(offsets), tiff.values(counts), strict=False)
    return [(start, start + size) for start, size in pairs]


def _spans(entries: dict[int, tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Where the values of entries are."""
    return [(at, at + count * SIZES[kind]) for kind, count, at in entries.values()]


def _unused(data: bytes, spans: list[tuple[int, int]]) -> int:
    """Bytes outside all spans, but for padding with zeros."""
    total, reached = 0, 0
    for start, end in [*sorted(spans), (len(data), len(data))]:
        if start > reached and data[reached:start].strip(b"\0"):
            total += start - reached
        reached = max(reached, end)
    return total


# ---- samples -----------------------------------------------------------------------------------------------


def _palette(tiff: Tiff) -> bytes:
    """A PNG's palette chunk. Raises IndivisibleError if the colours have more than 8 bits."""
    size = 2**tiff.head.kind.depth
    colours = np.array(tiff.values(COLOURS), dtype=np.int64)
    if len(colours) != 3 * size:
        raise CorruptError(f"the TIFF's palette has {len(colours)} numbers, expected {3 * size}.")
    high, low = colours.reshape(3, size).T >> 8, colours.reshape(3, size).T & 255
    if not ((low == high) | (low == 0)).all() or (low.any() and (low != high).any()):
        raise IndivisibleError("its palette has colours of 16 bits")
    return png.chunk(b"PLTE", high.astype(np.uint8).tobytes())


def _check_strips(tiff: Tiff) -> None:
    """Strips or tiles that are missing Pillow leaves black, those that are too many it puts over others, bare
    bytes it takes from where none should be, and libtiff does not look at the checksum after the last byte
    that it needs. Raises CorruptError or IndivisibleError for these."""
    head, tiled = tiff.head, TILE_WIDTH in tiff.entries
    rows = tiff.value(TILE_HEIGHT) if tiled else min(tiff.value(ROWS, 2**32 - 1), head.height)
    columns = tiff.value(TILE_WIDTH) if tiled else head.width
    if not rows or not columns:
        raise CorruptError(f"the TIFF says that its strips or tiles have {columns} x {rows} pixels.")
    count = -(-head.height // rows) * -(-head.width // columns)
    offsets, lengths = (
        (tiff.values(TILE_OFFSETS), tiff.values(TILE_COUNTS))
        if tiled
        else (tiff.values(OFFSETS), tiff.values(COUNTS))
    )
    if len(offsets) != count:
        raise IndivisibleError(f"it has {len(offsets)} strips or tiles, where its size asks for {count}")
    if len(lengths) < count:
        raise IndivisibleError("it does not say how long its strips or tiles are")
    line = head.line(columns) - 1
    sizes = [line * rows] * (count - 1) + [line * (rows if tiled else head.height - (count - 1) * rows)]
    compression = tiff.value(COMPRESSION, NONE)
    for offset, length, size in zip(offsets, lengths, sizes, strict=False):
        if compression == NONE and length < size:
            raise IndivisibleError("it has strips or tiles of fewer bytes than their pixels need")
        if compression in DEFLATE:
            inflate = zlib.decompressobj()
            try:
                given = len(inflate.decompress(tiff.data[offset : offset + length], size + 1))
            except zlib.error as error:
                raise CorruptError(f"a strip or tile of the TIFF is damaged ({error}).") from error
            if given < size:
                raise CorruptError(
                    f"a strip or tile of the TIFF is cut short: it ends after {given} bytes, expected {size}."
                )
            if given > size or inflate.unused_data.strip(b"\0"):
                raise IndivisibleError("it has strips or tiles of more bytes than their pixels need")
            if given == size and not inflate.eof:
                raise CorruptError(
                    f"a strip or tile of the TIFF is cut short: all {size} bytes are there, but its zlib "
                    "stream ends before its checksum."
                )


def _samples(tiff: Tiff) -> np.ndarray:
    """As they are stored: uint8 or uint16 (H, W) or (H, W, C)."""
    head = tiff.head
    fax = tiff.value(COMPRESSION, NONE) in FAX
    # uint8, or bool for one bit
    rows = unpacked(
        TiffImagePlugin.TiffImageFile,
        _shown(tiff),
        head.width if fax else head.line(head.width) - 1,
        head.height,
    )
    if fax:
        return rows.astype(np.uint8)
    if head.kind.depth == 16:  # the file's bytes as they are: turned round to what `png.from_bytes` expects
        rows = (
            np.ascontiguousarray(rows)
            if tiff.order == ">"
            else np.ascontiguousarray(rows).view("<u2").astype(">u2").view(np.uint8)
        )
    samples = png.from_bytes(np.ascontiguousarray(rows), head.width, head).astype(
        np.uint16 if head.kind.depth == 16 else np.uint8
    )
    # every sample is the difference to the one before it, of the same channel, in the row (of the tile)
    if tiff.value(PREDICTOR, 1) == 2 and tiff.value(COMPRESSION, NONE) in PREDICTING:
        step = tiff.value(TILE_WIDTH, head.width)
        for left in range(0, head.width, step):
            part = samples[:, left : left + step]
            np.cumsum(part, axis=1, dtype=samples.dtype, out=part)
    return samples


def _shown(tiff: Tiff) -> bytes:
    """The file with another directory after its end: the same strips, but of grey bytes, without orientation
    and predictor.
    """
    head, order = tiff.head, tiff.order
    fax = tiff.value(COMPRESSION, NONE) in FAX
    size = head.channels * head.kind.depth // 8
    kept = (OFFSETS, ROWS, COUNTS, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, *((FAX3, FAX4) if fax else ()))
    new = {
        WIDTH: head.width if fax else head.line(head.width) - 1,
        HEIGHT: head.height,
        BITS: 1 if fax else 8,
        SAMPLES: 1,
        PHOTOMETRIC: BLACK_IS_ZERO,
        COMPRESSION: tiff.value(COMPRESSION, NONE),
    }
    if TILE_WIDTH in tiff.entries:
        new[TILE_WIDTH] = tiff.value(TILE_WIDTH) * size
    if max(new.values()) >= 2**32:
        raise IndivisibleError("its rows are too long to be shown as rows of bytes")
    listed = []
    for tag in sorted({*new, *(kept_tag for kept_tag in kept if kept_tag in tiff.entries)}):
        if tag in new:
            listed.append(struct.pack(f"{order}HHII", tag, 4, 1, new[tag]))
        else:
            kind, count, at = tiff.entries[tag]
            value = struct.pack(f"{order}I", at) if count * SIZES[kind] > 4 else tiff.data[at : at + 4]
            listed.append(struct.pack(f"{order}HHI", tag, kind, count) + value)
    body = tiff.data[8:] + b"\0" * (len(tiff.data) % 2)
    return (
        tiff.data[:4]
        + struct.pack(f"{order}I", 8 + len(body))
        + body
        + struct.pack(f"{order}H", len(listed))
        + b"".join(listed)
        + bytes(4)
    )
