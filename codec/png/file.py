"""PNG files to arrays and back, with everything else that the file carries. Knows nothing of .ardm files.

Every colour type and bit depth, interlaced or not, comes back as it was: samples as they are (nothing is
scaled, no palette is looked up), other chunks byte for byte and in order. How the image data was filtered,
compressed and cut into chunks is told by `dissect`; `read` forgets it.
"""

from __future__ import annotations

import contextlib
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from codec.errors import CorruptError, InputError, LimitError, TruncatedError, UnsupportedError
from codec.png import filters
from codec.png.squeeze import squeeze
from codec.samples import Kind

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 1 << 26  # bytes of ancillary chunks
AT_ONCE = 1 << 16  # bytes of compressed image data that are decompressed at once
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # and back, without palette
PALETTE = 3
TEXTS = b"tEXt", b"iTXt", b"zTXt"
PIECE = 1 << 20  # bytes of compressed image data in each chunk that `write` makes
# Kept chunks that are true only of the very bytes of the file, and what they are
BOUND = {
    b"iDOT": "Apple's offsets into the compressed data",
    b"caBX": "C2PA content credentials",
    b"dSIG": "a digital signature",
    b"seAl": "a SEAL signature",
}
# What texts have in them that are of that sort: SEAL's records, and XMP that says where the credentials
# (C2PA) of the file's bytes are kept
# chunks that say how samples are to be shown, and so hold for any part of an image
SHOWING = {b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"cICP", b"mDCV", b"cLLI"}
BOUND_TEXTS = {
    b"<seal ": "a SEAL signature",
    b"<?seal ": "a SEAL signature",
    b"seal:seal": "a SEAL signature",
    b"dcterms:provenance": "C2PA content credentials",
}
XMP = b"XML:com.adobe.xmp\0"  # keyword of the text that XMP is
# (first row, first column, row step, column step) of the passes of an interlaced image
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


_HEADER = re.compile(rb"\0\0\0[\r\n]{0,2}IHDR")  # its size, 13, is a line's end to what damages signatures
Chunk = tuple[bytes, int, int]  # type, start, end


class IndivisibleError(UnsupportedError):
    """An image file that seems sound, but has something in it that only the whole file can keep. The message
    says what: "it has ...".
    """


@dataclass(frozen=True)
class Head:
    """What the header chunk says."""

    width: int
    height: int
    channels: int  # 1 to 4; a palette's indices are one channel
    kind: Kind
    interlaced: bool

    @property
    def step(self) -> int:
        """Bytes from a pixel to the next, as filters count them."""
        return max(1, self.channels * self.kind.depth // 8)

    @property
    def samples(self) -> int:
        return self.width * self.height * self.channels

    def passes(self) -> Iterator[tuple[int, int, int, int, int, int]]:
        """(rows, columns, first row, first column, row step, column step) of each pass that has pixels."""
        for y, x, dy, dx in ADAM7 if self.interlaced else ((0, 0, 1, 1),):
            rows, columns = -(-(self.height - y) // dy), -(-(self.width - x) // dx)
            if rows > 0 and columns > 0:
                yield rows, columns, y, x, dy, dx

    def line(self, columns: int) -> int:
        """Bytes of a row: the filter, then the samples."""
        return 1 + (columns * self.channels * self.kind.depth + 7) // 8


@dataclass(frozen=True)
class Png:
    """A decoded PNG."""

    pixels: np.ndarray  # uint8, or uint16 for depth 16; (H, W) or (H, W, C)
    kind: Kind
    interlaced: bool
    before: bytes  # ancillary chunks (and PLTE) before IDAT, whole (length, type, data, CRC), in order
    after: bytes  # those after it

    @property
    def head(self) -> Head:
        height, width = self.pixels.shape[:2]
        return Head(
            width, height, self.pixels.shape[2] if self.pixels.ndim == 3 else 1, self.kind, self.interlaced
        )


@dataclass(frozen=True)
class Metadata:
    """What kept chunks say of an image; empty or None where they do not."""

    icc: bytes = b""  # the colour profile
    exif: bytes = b""  # without "Exif\\0\\0"
    xmp: bytes = b""
    per_metre: tuple[int, int] | None = None  # pixels across and down
    gamma: float | None = None


@dataclass(frozen=True)
class Coding:
    """How a file codes its image data."""

    filters: bytes  # of every row of every pass, in order
    pieces: tuple[memoryview, ...]  # of the zlib stream, one from each chunk; parts of the file

    @property
    def stream(self) -> bytes:
        """zlib."""
        return b"".join(self.pieces)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of the pieces into which the stream is cut."""
        return tuple(len(piece) for piece in self.pieces)


def begins(data: bytes) -> bool:
    """Whether it begins as a PNG does, or did before its signature was damaged; words that speak of the
    header do not."""
    return data[:8] == SIGNATURE or _HEADER.search(data[:26]) is not None


def read_head(data: bytes, max_pixels: int) -> Head:
    """The header of a PNG, of which nothing more need be there. Raises as `dissect` does."""
    if not data:
        raise InputError("the file is empty; expected a PNG image.")
    if data[:8] != SIGNATURE:
        if begins(data):
            raise CorruptError("the PNG's signature is damaged, perhaps by a transfer as text.")
        raise InputError("not a PNG image.")
    kind, at, end = next(walk_chunks(data, 8), (b"", 0, 0))
    if kind == b"CgBI":
        raise IndivisibleError("it has Apple's changes to the format (CgBI)")
    if kind != b"IHDR" or end - at != 25:
        raise CorruptError("the PNG does not begin with a header chunk (IHDR) of 13 bytes.")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack_from(
        ">IIBBBBB", data, at + 8
    )
    samples, channels = Kind(depth, colour == PALETTE), CHANNELS.get(colour, 0)
    if (
        not channels
        or not samples.fits(channels)
        or not 0 < width < 2**31
        or not 0 < height < 2**31
        or compression
        or filtering
        or interlace > 1
    ):
        raise CorruptError("the PNG header holds values that the PNG standard does not allow.")
    if width * height > max_pixels:
        raise LimitError(
            f"the image has {width} x {height} pixels, the limit is {max_pixels}; raise it with "
            "--max-pixels (max_pixels=)."
        )
    return Head(width, height, channels, samples, bool(interlace))


def _check_kept(head: Head, before: list[Chunk], after: list[Chunk]) -> None:
    """What the chunks around the image data must be for the image to be read as it is. Raises as `dissect`
    does.
    """
    palettes = [end - at - 12 for kind, at, end in before if kind == b"PLTE"]
    if head.kind.indexed and (len(palettes) != 1 or palettes[0] % 3 or not 3 <= palettes[0] <= 768):
        raise CorruptError("the PNG needs one palette (PLTE) of 1 to 256 colours before its image data.")
    kinds = [kind for kind, _, _ in [*before, *after]]
    if b"acTL" in kinds:
        raise IndivisibleError("it is animated")
    unknown = [kind for kind in kinds if not kind[0] & 32 and kind != b"PLTE"]
    if unknown:
        raise IndivisibleError(f"it has an unknown critical chunk, {unknown[0].decode('latin1')}")


def check_chunks(png: Png) -> None:
    """Raise what `dissect` would of a file with these kept chunks."""
    _check_kept(png.head, list(walk_chunks(png.before, 0)), list(walk_chunks(png.after, 0)))


def read(data: bytes, max_pixels: int) -> Png:
    """Decode a PNG; raises as `dissect` does."""
    return dissect(data, max_pixels)[0]


def dissect(data: bytes, max_pixels: int) -> tuple[Png, Coding]:
    """Decode a PNG, and say how its image data was coded.

    Raises InputError, TruncatedError or CorruptError for what is not a whole, sound PNG, LimitError for one
    that is too large, and IndivisibleError for one that is animated, has an unknown critical chunk, or bytes
    where they would be lost.
    """
    head = read_head(data, max_pixels)
    chunks = _chunks(data)
    kinds = [c[0] for c in chunks]
    first, last = kinds.index(b"IDAT"), len(kinds) - 1 - kinds[::-1].index(b"IDAT")
    _check_kept(head, chunks[1:first], chunks[last + 1 : -1])
    if chunks[-1][2] != len(data):
        raise IndivisibleError(f"it has {len(data) - chunks[-1][2]} bytes after its end marker")
    kept = [b"".join(data[a:b] for _, a, b in part) for part in (chunks[1:first], chunks[last + 1 : -1])]
    if len(kept[0]) + len(kept[1]) > MAX_CHUNKS:
        raise IndivisibleError(
            f"it has {len(kept[0]) + len(kept[1])} bytes of metadata, more than {MAX_CHUNKS}"
        )
    view = memoryview(data)
    pieces = tuple(view[a + 8 : b - 4] for _, a, b in chunks[first : last + 1])
    pixels, kinds_of_rows = _unpack(
        _inflate(pieces, sum(rows * head.line(columns) for rows, columns, *_ in head.passes())), head
    )
    return Png(pixels, head.kind, head.interlaced, *kept), Coding(kinds_of_rows, pieces)


def write(png: Png) -> bytes:
    """Encode a PNG with the kept chunks in their places."""
    stream = squeeze(scanlines(png, usual_filters(png)))
    return assemble(png, [stream[at : at + PIECE] for at in range(0, len(stream), PIECE)])


def usual_filters(png: Png) -> bytes:
    """The filter of every row of every pass, as most encoders choose it: the usual heuristic, or none for
    palettes and few bits.
    """
    if png.kind.few:
        return bytes(sum(rows for rows, *_ in png.head.passes()))
    chosen = []
    for lines in _lines(png):
        filters.choose(lines, png.head.step)
        chosen.append(lines[:, 0].tobytes())
    return b"".join(chosen)


def scanlines(png: Png, row_filters: bytes) -> bytes:
    """The image data before compression: of every pass and row the filter and the filtered bytes.
    row_filters: one for every row of every pass.
    """
    parts, start = [], 0
    for lines in _lines(png):
        lines[:, 0] = np.frombuffer(row_filters, np.uint8, len(lines), start)
        parts.append(filters.apply(lines, png.head.step).tobytes())
        start += len(lines)
    return b"".join(parts)


def _lines(png: Png) -> Iterator[np.ndarray]:
    """uint8 (rows, 1 + bytes) of each pass, unfiltered, the filter 0."""
    head = png.head
    for rows, columns, y, x, dy, dx in head.passes():
        lines = np.zeros((rows, head.line(columns)), dtype=np.uint8)
        lines[:, 1:] = to_bytes(png.pixels[y::dy, x::dx], head)
        yield lines


def assemble(png: Png, pieces: Iterable[bytes]) -> bytes:
    """A file whose compressed image data is `pieces`, one for each chunk."""
    head = png.head
    colour = PALETTE if head.kind.indexed else COLOURS[head.channels]
    header = struct.pack(">IIBBBBB", head.width, head.height, head.kind.depth, colour, 0, 0, head.interlaced)
    image = [chunk(b"IDAT", piece) for piece in pieces]
    return b"".join([SIGNATURE, chunk(b"IHDR", header), png.before, *image, png.after, chunk(b"IEND", b"")])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def metadata_chunks(icc: bytes, exif: bytes, xmp: bytes) -> bytes:
    """Chunks for a colour profile, Exif (without "Exif\\0\\0") and XMP, in their order; none for what is
    empty.
    """
    chunks = chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc, 9)) if icc else b""
    chunks += chunk(b"eXIf", exif) if exif else b""
    return chunks + (chunk(b"iTXt", XMP + b"\0\0\0\0" + xmp) if xmp else b"")


def metadata_in(chunks: bytes) -> Metadata:
    """Inverse of `metadata_chunks`, with resolution and gamma. Of several chunks of a type the first counts;
    one that cannot be unpacked, or is too short, says nothing. Raises as `dissect` does for damaged chunks.
    """
    icc, exif, xmp, per_metre, gamma = b"", b"", b"", None, None
    for kind, at, end in walk_chunks(chunks, 0):
        data = chunks[at + 8 : end - 4]
        if kind == b"iCCP" and not icc:
            icc = _unzip(data[data.find(b"\0") + 2 :])
        elif kind == b"eXIf":
            exif = exif or data
        elif kind == b"iTXt" and data.startswith(XMP) and not xmp:
            # the keyword, whether it is packed, how, a language, the keyword in that
            text = data[len(XMP) + 2 :].split(b"\0", 2)[-1]
            xmp = _unzip(text) if data[len(XMP) : len(XMP) + 1] == b"\1" else text
        elif kind == b"pHYs" and len(data) == 9 and data[8] == 1 and not per_metre:
            per_metre = struct.unpack_from(">II", data)
        elif kind == b"gAMA" and len(data) == 4 and gamma is None:
            gamma = int.from_bytes(data, "big") / 100_000
    return Metadata(icc, exif, xmp, per_metre, gamma)


def find_chunk(chunks: bytes, kind: bytes) -> bytes | None:
    """The data of the first chunk of a type, None if there is none."""
    return next((chunks[at + 8 : end - 4] for k, at, end in walk_chunks(chunks, 0) if k == kind), None)


def listed(chunks: bytes) -> list[tuple[str, int, str]]:
    """(type, bytes of its data, what it says if it is one of text) of chunk after chunk."""
    out = []
    for kind, at, end in walk_chunks(chunks, 0):
        data, is_text = chunks[at + 8 : end - 4], kind in TEXTS
        keyword = data.partition(b"\0")[0] + b"\0"
        said = keyword + _text(kind, data).removeprefix(keyword) if is_text else b""
        coding = "utf-8" if kind == b"iTXt" else "latin1"
        out.append((kind.decode("latin1"), len(data), said.replace(b"\0", b" ").decode(coding, "replace")))
    return out


def showing_chunks(png: Png) -> bytes:
    """Of the chunks before the image data those that hold for any part of the image, too."""
    return b"".join(png.before[at:end] for kind, at, end in walk_chunks(png.before, 0) if kind in SHOWING)


def has_palette(png: Png) -> bool:
    """Whether there is a palette where indices need one."""
    return find_chunk(png.before, b"PLTE") is not None


def bound_to_bytes(png: Png) -> list[str]:
    """Which kept chunks speak of the file's own bytes, "a digital signature (dSIG)": they hold only if these
    come back.
    """
    names = []
    for block in (png.before, png.after):
        for kind, at, end in walk_chunks(block, 0):
            said = BOUND.get(kind)
            if kind in TEXTS:
                text = _text(kind, block[at + 8 : end - 4])
                said = next((what for mark, what in BOUND_TEXTS.items() if mark in text), None)
            names += [f"{said} ({kind.decode('latin1')})"] * bool(said)
    return list(dict.fromkeys(names))


def _text(kind: bytes, data: bytes) -> bytes:
    """What a chunk of text says, as far as it can be unpacked; the keyword may come first."""
    if kind == b"tEXt":
        return data
    rest = data[data.find(b"\0") + 1 :]
    packed = rest[1:] if kind == b"zTXt" else rest[2:].split(b"\0", 2)[-1] if rest[:1] == b"\1" else None
    if packed is None:
        return data
    return _unzip(packed)


def _unzip(packed: bytes) -> bytes:
    """What a chunk holds compressed, nothing if it cannot be unpacked."""
    with contextlib.suppress(zlib.error):
        return zlib.decompressobj().decompress(packed, MAX_CHUNKS)
    return b""


def walk_chunks(data: bytes, at: int) -> Iterator[Chunk]:
    """(type, start, end) of chunk after chunk, CRCs checked, to the end of `data`."""
    while at < len(data):
        if at + 12 > len(data):
            raise TruncatedError(f"the PNG is cut short: it ends after {len(data)} bytes, inside a chunk.")
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 12 + length
        if length > 2**31 - 1 or not kind.isalpha():
            raise CorruptError(f"the PNG has a damaged chunk at byte {at}.")
        if end > len(data):
            raise TruncatedError(
                f"the PNG is cut short: it ends inside a chunk of type {kind.decode('latin1')}."
            )
        if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise CorruptError(
                f"the checksum of the PNG's {kind.decode('latin1')} chunk at byte {at} does not match: the "
                "file is damaged."
            )
        yield kind, at, end
        at = end


def _chunks(data: bytes) -> list[Chunk]:
    """All chunks of a file, up to and with IEND. Chunks in impossible places are errors."""
    out = []
    for one in walk_chunks(data, 8):
        out.append(one)
        if one[0] == b"IEND":
            break
    else:
        raise TruncatedError(
            f"the PNG is cut short: it ends after {len(data)} bytes, before its end marker (IEND)."
        )
    kinds = [c[0] for c in out]
    images = [i for i, kind in enumerate(kinds) if kind == b"IDAT"]
    if not images:
        raise CorruptError("the PNG has no image data (IDAT).")
    if kinds.count(b"IHDR") > 1 or out[-1][2] - out[-1][1] != 12 or images[-1] - images[0] >= len(images):
        raise CorruptError(
            "the PNG's chunks are out of order: one header, then image data in one piece, then an empty "
            "end marker were expected."
        )
    return out


def _inflate(pieces: Sequence[memoryview], size: int) -> bytearray:
    """The decompressed image data, which must be `size` bytes; never makes more than one byte too many, nor
    asks for much at once, which would be there twice.
    """
    inflate = zlib.decompressobj()
    out = bytearray()
    try:
        for part in (piece[at : at + AT_ONCE] for piece in pieces for at in range(0, len(piece), AT_ONCE)):
            if inflate.eof:
                raise IndivisibleError("it has bytes after the end of its compressed image data")
            left: bytes | memoryview = part
            while left:
                out += inflate.decompress(left, size + 1 - len(out))
                if len(out) > size:
                    raise IndivisibleError("it has more image data than its header says")
                if inflate.unused_data:
                    raise IndivisibleError("it has bytes after the end of its compressed image data")
                left = inflate.unconsumed_tail
    except zlib.error as error:
        raise CorruptError(f"the PNG's image data is damaged ({error}).") from error
    if len(out) < size:
        raise CorruptError(
            f"the PNG's image data is damaged: it ends after {len(out)} bytes, expected {size}."
        )
    if not inflate.eof:
        raise CorruptError(
            f"the PNG's image data is damaged: all {size} bytes are there, but the zlib stream ends before "
            "its checksum."
        )
    return out


def _unpack(raw: bytearray, head: Head) -> tuple[np.ndarray, bytes]:
    """Decompressed image data, which is overwritten -> (pixels as in `Png`, the filter of every row)."""
    shape = (head.height, head.width) if head.channels == 1 else (head.height, head.width, head.channels)
    pixels = np.empty(shape, dtype=np.uint16 if head.kind.depth == 16 else np.uint8)
    used, at = [], 0
    for rows, columns, y, x, dy, dx in head.passes():
        lines = np.frombuffer(raw, np.uint8, rows * head.line(columns), at).reshape(rows, -1)
        if lines[:, 0].max() >= filters.KINDS:
            raise CorruptError(
                f"the PNG's image data is damaged: a row has filter {lines[:, 0].max()}, expected 0 to 4."
            )
        used.append(lines[:, 0].tobytes())
        filters.undo(lines, head.step)
        pixels[y::dy, x::dx] = from_bytes(lines[:, 1:], columns, head)
        at += lines.size
    return pixels, b"".join(used)


def from_bytes(rows: np.ndarray, columns: int, head: Head) -> np.ndarray:
    """uint8 (h, bytes of a row) -> samples (h, columns) or (h, columns, channels): 16 bits high byte first,
    several small ones in a byte from the top.
    """
    shape = (len(rows), columns) if head.channels == 1 else (len(rows), columns, head.channels)
    if head.kind.depth == 16:
        return np.ascontiguousarray(rows).view(">u2").reshape(shape)
    if head.kind.depth == 8:
        return rows.reshape(shape)
    split = rows[..., None] >> _shifts(head.kind.depth) & (2**head.kind.depth - 1)
    return split.reshape(len(rows), -1)[:, :columns]


def to_bytes(samples: np.ndarray, head: Head) -> np.ndarray:
    """Inverse of `from_bytes`; bits that are left over at the end of a row are 0."""
    height, depth = len(samples), head.kind.depth
    if depth == 16:
        return np.ascontiguousarray(samples, dtype=">u2").view(np.uint8).reshape(height, -1)
    if depth == 8:
        return samples.reshape(height, -1)
    padded = np.pad(samples, ((0, 0), (0, -samples.shape[1] % (8 // depth)))).reshape(height, -1, 8 // depth)
    return np.bitwise_or.reduce(padded << _shifts(depth), axis=2)


def _shifts(depth: int) -> np.ndarray:
    return np.arange(8 - depth, -1, -depth, dtype=np.uint8)
