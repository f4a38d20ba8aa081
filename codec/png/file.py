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
from codec.png.head import Head
from codec.png.lines import Scanlines, decoded
from codec.png.squeeze import squeeze
from codec.samples import Kind

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 1 << 26  # bytes of ancillary chunks
DEFLATED = 1032  # bytes that a byte of deflated data stands for, at most
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
_HEADER = re.compile(rb"\0\0\0[\r\n]{0,2}IHDR")  # its size, 13, is a line's end to what damages signatures
Chunk = tuple[bytes, int, int]  # type, start, end


class IndivisibleError(UnsupportedError):
    """An image file that seems sound, but has something in it that only the whole file can keep. The message
    says what: "it has ...".
    """


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
    head, kept, pieces = _parts(data, max_pixels)
    there = sum(len(piece) for piece in pieces)
    if head.size > DEFLATED * there:  # before memory is asked for
        raise CorruptError(
            f"the PNG's image data is damaged: {there} bytes of it cannot be all {head.size} compressed."
        )
    pixels = np.empty(head.shape, dtype=np.uint16 if head.kind.depth == 16 else np.uint8)
    used = []
    for place, some, their_filters in _decoded(head, pieces):
        pixels[place] = some
        used.append(their_filters)
    return Png(pixels, head.kind, head.interlaced, *kept), Coding(b"".join(used), pieces)


def holds(data: bytes, png: Png) -> bool:
    """Whether a file is a PNG of just that, which takes no second image. Raises as `dissect` does."""
    head, kept, pieces = _parts(data, png.head.width * png.head.height)
    same = head == png.head and kept == (png.before, png.after)
    return same and all(np.array_equal(png.pixels[place], some) for place, some, _ in _decoded(head, pieces))


def _parts(data: bytes, max_pixels: int) -> tuple[Head, tuple[bytes, bytes], tuple[memoryview, ...]]:
    """(header, kept chunks before and after the image data, its pieces). Raises as `dissect` does."""
    head = read_head(data, max_pixels)
    chunks = _chunks(data)
    kinds = [c[0] for c in chunks]
    first, last = kinds.index(b"IDAT"), len(kinds) - 1 - kinds[::-1].index(b"IDAT")
    _check_kept(head, chunks[1:first], chunks[last + 1 : -1])
    if chunks[-1][2] != len(data):
        raise IndivisibleError(f"it has {len(data) - chunks[-1][2]} bytes after its end marker")
    before, after = (
        b"".join(data[a:b] for _, a, b in part) for part in (chunks[1:first], chunks[last + 1 : -1])
    )
    if len(before) + len(after) > MAX_CHUNKS:
        raise IndivisibleError(f"it has {len(before) + len(after)} bytes of metadata, more than {MAX_CHUNKS}")
    view = memoryview(data)
    return head, (before, after), tuple(view[a + 8 : b - 4] for _, a, b in chunks[first : last + 1])


def _decoded(
    head: Head, pieces: Sequence[memoryview]
) -> Iterator[tuple[tuple[slice, slice], np.ndarray, bytes]]:
    """What `codec.png.lines.decoded` says of compressed image data, of which it must be all. Raises as
    `dissect` does."""
    data = _Inflated(pieces, head.size)
    yield from decoded(data.read, head)
    data.end()


def write(png: Png) -> bytes:
    """Encode a PNG with the kept chunks in their places."""
    data = Scanlines(png.pixels, png.head)
    pieces = [memoryview(piece) for piece in squeeze(data.read, data.size)]
    return assemble(png, [piece[at : at + PIECE] for piece in pieces for at in range(0, len(piece), PIECE)])


def usual_filters(png: Png) -> bytes:
    """The filter of every row of every pass, as most encoders choose it: the usual rule, or none for
    palettes and few bits.
    """
    return Scanlines(png.pixels, png.head).filters()


def scanlines(png: Png, row_filters: bytes) -> bytes:
    """The image data before compression. row_filters: one for every row of every pass."""
    return Scanlines(png.pixels, png.head, row_filters).read(0, png.head.size)


def assemble(png: Png, pieces: Iterable[bytes | memoryview]) -> bytes:
    """A file whose compressed image data is `pieces`, one for each chunk."""
    head = png.head
    colour = PALETTE if head.kind.indexed else COLOURS[head.channels]
    header = struct.pack(">IIBBBBB", head.width, head.height, head.kind.depth, colour, 0, 0, head.interlaced)
    image = [part for piece in pieces for part in _chunk_parts(b"IDAT", piece)]
    return b"".join([SIGNATURE, chunk(b"IHDR", header), png.before, *image, png.after, chunk(b"IEND", b"")])


def chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join(_chunk_parts(kind, data))


def _chunk_parts(kind: bytes, data: bytes | memoryview) -> tuple[bytes | memoryview, ...]:
    """What a chunk is joined of."""
    return struct.pack(">I", len(data)) + kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


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


class _Inflated:
    """The decompressed image data, a piece after the other; at no time much more of it than was asked for."""

    def __init__(self, pieces: Sequence[memoryview], size: int) -> None:
        """size: bytes that there must be."""
        self._parts = (piece[at : at + AT_ONCE] for piece in pieces for at in range(0, len(piece), AT_ONCE))
        self._inflate = zlib.decompressobj()
        self._left: bytes | memoryview = b""
        self._size, self._read = size, 0

    def read(self, size: int) -> bytes:
        """The next so many bytes. Raises CorruptError if there are fewer."""
        parts, left = [], size
        while left and (more := self._more(left)) is not None:
            parts.append(more)
            left -= len(more)
        self._read += size - left
        if left:
            raise CorruptError(
                f"the PNG's image data is damaged: it ends after {self._read} bytes, expected {self._size}."
            )
        return b"".join(parts)

    def end(self) -> None:
        """Raise what must be said of what comes after the data."""
        while (more := self._more(1)) is not None:
            if more:
                raise IndivisibleError("it has more image data than its header says")
        if not self._inflate.eof:
            raise CorruptError(
                f"the PNG's image data is damaged: all {self._size} bytes are there, but the zlib stream "
                "ends before its checksum."
            )

    def _more(self, size: int) -> bytes | None:
        """At most so many bytes, which may be none; None at the end of what there is."""
        part = self._left or next(self._parts, None)
        if part is not None and self._inflate.eof:
            raise IndivisibleError("it has bytes after the end of its compressed image data")
        try:
            # after the last part, too, zlib may have something that it has not been asked for
            out = self._inflate.decompress(part or b"", size)
        except zlib.error as error:
            raise CorruptError(f"the PNG's image data is damaged ({error}).") from error
        if part is None:
            return out or None
        if self._inflate.unused_data:
            raise IndivisibleError("it has bytes after the end of its compressed image data")
        self._left = self._inflate.unconsumed_tail
        return out
