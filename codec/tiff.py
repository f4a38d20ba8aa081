"""TIFF files to samples, of 8 and 16 bits and below, of any lossless compression. Knows the file's directory; Pillow (libtiff) only unpacks strips and tiles.

Pillow itself makes 8 bits of 16 in colour, drops a fourth channel that it does not know, divides by alpha, and turns the image upright. So it is shown the
same strips under a directory of our own, which calls every row of samples a row of grey bytes; what the bytes mean is decided here. Files without compression
do not even need that: their samples lie bare in the file (`codec.frames`).
"""

from __future__ import annotations

import ctypes
import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin, _imaging

from ardm.forks import steady
from codec import png
from codec.errors import CorruptError, TruncatedError
from codec.frames import HIGH_FIRST, Plan
from codec.png import Head, IndivisibleError
from codec.samples import DEPTHS, Kind

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL, OFFSETS, ORIENTATION, SAMPLES, ROWS, COUNTS = 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279
PLANAR, PREDICTOR, COLOURS, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, EXTRA, FORMAT = 284, 317, 320, 322, 323, 324, 325, 338, 339
FAX3, FAX4 = 292, 293  # options of fax compression
XMP, ICC, EXIF, GPS = 700, 34675, 34665, 34853
TOLD = (270, 271, 272, 282, 283, 296, 305, 306, 315, 33432, EXIF, GPS)  # tags that Exif has in common: description, camera, resolution, software, artist, ...
TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 7: "s"}  # of the entries that are read here: bytes, text, 16 and 32 bits
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
MAX_ENTRIES = 4096
MAX_TILE = 4096  # pixels a side, or the image's side: what libtiff allocates for a tile follows from its claim, not from the bytes in the file
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
        found = self.values(tag, () if default is None else (default,), 1)
        if not found:
            raise CorruptError(f"the TIFF has no tag {tag}, which it needs.")
        return found[0]

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
    """The directory of a TIFF. Raises TruncatedError or CorruptError, and IndivisibleError for BigTIFF, several pages, or what is no image of 1 to 16 bits."""
    order = "<" if data[:2] == b"II" else ">"
    if data[2:4] in (b"+\0", b"\0+"):
        raise IndivisibleError("it is a BigTIFF")
    if len(data) < 8:
        raise TruncatedError(f"the TIFF is cut short: it ends after {len(data)} bytes.")
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    if at + 2 > len(data):
        raise TruncatedError("the TIFF is cut short: it ends before its directory.")
    (count,) = struct.unpack_from(f"{order}H", data, at)
    if not 0 < count <= MAX_ENTRIES or at + 2 + 12 * count > len(data):
        raise CorruptError(f"the TIFF's directory at byte {at} has {count} entries, which cannot be.")
    entries = {}
    for position in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", data, position)
        size = SIZES.get(kind, 0) * number
        where = position + 8 if size <= 4 else struct.unpack_from(f"{order}I", data, position + 8)[0]
        if kind in SIZES and number and where + size <= len(data):
            entries[tag] = (kind, number, where)
        elif tag in (WIDTH, HEIGHT, BITS, OFFSETS, COUNTS, TILE_OFFSETS, TILE_COUNTS, COLOURS, ICC, XMP):
            raise CorruptError(f"the TIFF's tag {tag} is damaged, or the file is cut short.")
    following = data[at + 2 + 12 * count :][:4]
    tiff = Tiff(data, order, entries, Head(1, 1, 1, Kind(), False))
    bits = tiff.values(BITS, (1,))
    channels, photometric, compression = tiff.value(SAMPLES, 1), tiff.value(PHOTOMETRIC), tiff.value(COMPRESSION, NONE)
    indexed = photometric == PALETTE
    for good, why in (
        (following == bytes(4) or not following, "it has several pages"),
        (compression in LOSSLESS or compression in LOSSY or (compression in FAX and bits == (1,)), f"it has compression {compression}"),
        (set(tiff.values(FORMAT, (1,))) == {1}, "its samples are not whole numbers without sign"),
        (len(set(bits)) == 1 and bits[0] in DEPTHS, f"its samples have {', '.join(map(str, bits[:8]))} bits, rather than 1, 2, 4, 8 or 16"),
        (
            photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE) or compression in LOSSY,
            f"its colours are neither grey, RGB nor a palette ({photometric})",
        ),
        (1 <= channels <= 4 and (channels < 3 or photometric == RGB or compression in LOSSY), f"it has {channels} channels"),
        (channels > 2 or photometric != RGB, f"it has {channels} channels"),
        (compression in LOSSY or Kind(bits[0], indexed).fits(channels), f"it has {channels} channels of {bits[0]} bits{', indexed' * indexed}"),
        (tiff.value(PLANAR, 1) == 1 or channels == 1, "its channels are stored one after the other"),
        (tiff.value(FILL, 1) == 1, "the bits in its bytes are in reverse order"),
        (tiff.value(PREDICTOR, 1) in (1, 2) and (tiff.value(PREDICTOR, 1) == 1 or bits[0] >= 8), "it uses an unusual predictor"),
        (TILE_WIDTH not in entries or bits[0] >= 8, f"it has tiles with samples of {bits[0]} bits"),
    ):
        if not good:
            raise IndivisibleError(why)
    width, height = tiff.value(WIDTH), tiff.value(HEIGHT)
    if not 0 < width < 2**31 or not 0 < height < 2**31:
        raise CorruptError(f"the TIFF says {width} x {height} pixels, expected 1 to {2**31 - 1} each way.")
    if tiff.value(TILE_WIDTH, 1) > max(width, MAX_TILE) or tiff.value(TILE_HEIGHT, 1) > max(height, MAX_TILE):
        raise IndivisibleError(f"it has tiles of {tiff.value(TILE_WIDTH, 1)} x {tiff.value(TILE_HEIGHT, 1)} pixels")
    kind = Kind(bits[0], indexed) if compression not in LOSSY else Kind()
    return Tiff(data, order, entries, Head(width, height, channels, kind, False))


def plan(tiff: Tiff) -> Plan | None:
    """Where the samples lie bare, if they do, in one piece from the top."""
    if tiff.value(COMPRESSION, NONE) != NONE or TILE_WIDTH in tiff.entries:
        return None
    offsets, counts = tiff.values(OFFSETS), tiff.values(COUNTS)
    line, rows = tiff.head.line(tiff.head.width) - 1, min(tiff.value(ROWS, 2**32 - 1), tiff.head.height)
    if not rows or len(offsets) != -(-tiff.head.height // rows) or len(counts) != len(offsets):
        return None
    whole = [line * min(rows, tiff.head.height - i * rows) for i in range(len(offsets))]
    if list(counts) != whole or any(offsets[i] + whole[i] != offsets[i + 1] for i in range(len(offsets) - 1)):
        return None
    layout = HIGH_FIRST if tiff.order == ">" and tiff.head.kind.depth == 16 else 0
    return Plan(tiff.head, offsets[0], layout)


def read(tiff: Tiff) -> png.Png:
    """The pixels, with ICC profile, Exif and XMP, as a PNG has them. Raises CorruptError or IndivisibleError."""
    head = tiff.head
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
    chunks = png.metadata_chunks(tiff.raw(ICC), exif(tiff), tiff.raw(XMP))
    return png.Png(samples, head.kind, False, chunks + (_palette(tiff) if head.kind.indexed else b""), b"")


def unpacked(reader: type[ImageFile.ImageFile], data: bytes, width: int, height: int) -> np.ndarray:
    """What a reader of Pillow makes of a file, whose size is known and within the limits. Raises CorruptError, MemoryError."""
    try:
        with _quietly(), reader(io.BytesIO(data)) as image:
            if image.size != (width, height):  # before it is allocated
                raise CorruptError(f"the file holds {image.width} x {image.height} pixels, its header says {width} x {height}.")
            image.load()
            return np.array(image)
    except (MemoryError, CorruptError):
        raise
    except Exception as error:  # whatever Pillow raises for damaged files
        raise CorruptError(f"the file is damaged or cut short, or this Pillow cannot unpack it ({error or type(error).__name__}).") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Pillow's warnings, and what libtiff prints, are not for the reader of our messages; and the ways to silence them are not for several threads at once."""
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
    """libtiff's functions that set what prints its errors and its warnings, and return what did before; none where Pillow's libtiff cannot be reached so."""
    try:
        library = ctypes.CDLL(_imaging.__file__)  # a name is looked up in what it was linked with, too
        found = [library.TIFFSetErrorHandler, library.TIFFSetWarningHandler]
    except (OSError, AttributeError):
        return []
    for function in found:
        function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_void_p
    return list(found)


def exif(tiff: Tiff) -> bytes:
    """What the directory tells of the photo, as a block of Exif; nothing if it tells nothing. Raises IndivisibleError if that cannot be read."""
    found = {tag for tag in (*TOLD, ORIENTATION) if tag in tiff.entries}
    if not found:
        return b""
    try:
        with _quietly():
            directory = TiffImagePlugin.TiffImageFile(io.BytesIO(_shown(tiff))).getexif()
            new = Image.Exif()
            for tag in found - {EXIF, GPS, ORIENTATION}:
                new[tag] = directory[tag]
            for tag in found & {EXIF, GPS}:
                new.get_ifd(tag).update(directory.get_ifd(tag))
            if ORIENTATION in found:
                new[ORIENTATION] = tiff.value(ORIENTATION)
            return new.tobytes().removeprefix(b"Exif\0\0")
    except Exception as error:  # whatever Pillow says of damaged entries
        raise IndivisibleError(f"its Exif cannot be read ({type(error).__name__})") from error


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
    """Strips or tiles that are missing Pillow leaves black, those that are too many it puts over others, bare bytes it takes from where none should be, and
    libtiff does not look at the checksum after the last byte that it needs. Raises CorruptError or IndivisibleError for these."""
    head, tiled = tiff.head, TILE_WIDTH in tiff.entries
    rows = tiff.value(TILE_HEIGHT) if tiled else min(tiff.value(ROWS, 2**32 - 1), head.height)
    columns = tiff.value(TILE_WIDTH) if tiled else head.width
    if not rows or not columns:
        raise CorruptError(f"the TIFF says that its strips or tiles have {columns} x {rows} pixels.")
    count = -(-head.height // rows) * -(-head.width // columns)
    offsets, lengths = (tiff.values(TILE_OFFSETS), tiff.values(TILE_COUNTS)) if tiled else (tiff.values(OFFSETS), tiff.values(COUNTS))
    if len(offsets) != count:
        raise IndivisibleError(f"it has {len(offsets)} strips or tiles, where its size asks for {count}")
    line = head.line(columns) - 1
    sizes = [line * rows] * (count - 1) + [line * (rows if tiled else head.height - (count - 1) * rows)]
    compression = tiff.value(COMPRESSION, NONE)
    for offset, length, size in zip(offsets, lengths, sizes, strict=False):
        if compression == NONE and length < size:
            raise IndivisibleError("it has strips or tiles of fewer bytes than their pixels need")
        if compression in DEFLATE:
            inflate = zlib.decompressobj()
            try:
                found = len(inflate.decompress(tiff.data[offset : offset + length], size + 1))
            except zlib.error as error:
                raise CorruptError(f"a strip or tile of the TIFF is damaged ({error}).") from error
            if found < size:
                raise CorruptError(f"a strip or tile of the TIFF is cut short: it ends after {found} bytes, expected {size}.")
            if found == size and not inflate.eof:
                raise CorruptError(f"a strip or tile of the TIFF is cut short: all {size} bytes are there, but its zlib stream ends before its checksum.")


def _samples(tiff: Tiff) -> np.ndarray:
    """As they are stored: uint8 or uint16 (H, W) or (H, W, C)."""
    head = tiff.head
    fax = tiff.value(COMPRESSION, NONE) in FAX
    rows = unpacked(TiffImagePlugin.TiffImageFile, _shown(tiff), head.width if fax else head.line(head.width) - 1, head.height)  # uint8, or bool for one bit
    if fax:
        return rows.astype(np.uint8)
    if head.kind.depth == 16:  # the file's bytes as they are: turned round to what `png.from_bytes` expects
        rows = np.ascontiguousarray(rows) if tiff.order == ">" else np.ascontiguousarray(rows).view("<u2").astype(">u2").view(np.uint8)
    samples = png.from_bytes(np.ascontiguousarray(rows), head.width, head).astype(np.uint16 if head.kind.depth == 16 else np.uint8)
    if (
        tiff.value(PREDICTOR, 1) == 2 and tiff.value(COMPRESSION, NONE) in PREDICTING
    ):  # every sample is the difference to the one before it, of the same channel, in the row (of the tile)
        step = tiff.value(TILE_WIDTH, head.width)
        for left in range(0, head.width, step):
            part = samples[:, left : left + step]
            np.cumsum(part, axis=1, dtype=samples.dtype, out=part)
    return samples


def _shown(tiff: Tiff) -> bytes:
    """The file with another directory after its end: the same strips, but of grey bytes, without orientation and predictor."""
    head, order = tiff.head, tiff.order
    fax = tiff.value(COMPRESSION, NONE) in FAX
    size = head.channels * head.kind.depth // 8
    kept = (*TOLD, OFFSETS, ROWS, COUNTS, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, *((FAX3, FAX4) if fax else ()))
    new = {WIDTH: head.width if fax else head.line(head.width) - 1, HEIGHT: head.height, BITS: 1 if fax else 8, SAMPLES: 1, PHOTOMETRIC: BLACK_IS_ZERO,
           COMPRESSION: tiff.value(COMPRESSION, NONE)}  # fmt: skip
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
    return tiff.data[:4] + struct.pack(f"{order}I", 8 + len(body)) + body + struct.pack(f"{order}H", len(listed)) + b"".join(listed) + bytes(4)
