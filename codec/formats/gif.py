"""The blocks of a GIF: its one picture, palette, and what else is in it. Pillow only unpacks the pixels.
Knows the format, and no .ardm files.

    header | palette | blocks: extensions, pictures | ;

Extensions have places among a PNG's chunks that were registered for them (gIFg, gIFx), apart from XMP,
profiles and comments, which PNG has itself.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from codec import png
from codec.errors import CorruptError, TruncatedError
from codec.formats.luggage import RATIO_ONLY, Luggage
from codec.png import Head
from codec.samples import Kind

SIGNATURES = (b"GIF87a", b"GIF89a")
MARKS = b"!,;"  # with which blocks begin
CONTROL, COMMENT, TEXT, APPLICATION = 0xF9, 0xFE, 0x01, 0xFF
NAMES = {CONTROL: "a control block of no use", TEXT: "a text over its picture"}
XMP_TRAILER = b"\x01" + bytes(range(255, -1, -1)) + b"\0"  # makes XMP, which has no blocks, pass for some
RAMP = bytes(i for i in range(256) for _ in range(3))


@dataclass
class Gif:
    """What is in a file, block by block."""

    width: int
    height: int
    table: bytes = b""  # the colours that the picture uses
    pictures: int = 0
    place: tuple[int, int, int, int] = (0, 0, 0, 0)  # of the first picture
    transparent: int = -1
    background: int = 0
    luggage: Luggage = field(default_factory=Luggage)

    @property
    def head(self) -> Head:
        """Grey if the palette is nothing else; else indices, as small as they can be. A colour profile may be
        of colours, so it wants a palette."""
        if self.transparent < 0 and not self.luggage.icc and self.table == RAMP:
            return Head(self.width, self.height, 1, Kind(), False)
        depth = next(depth for depth in (1, 2, 4, 8) if len(self.table) <= 3 << depth)
        return Head(self.width, self.height, 1, Kind(depth, indexed=True), False)

    @property
    def why(self) -> str:
        """Why pixels alone cannot stand for the file; empty: they can."""
        for bad, why in (
            (not self.pictures, "it has no picture"),
            (self.pictures > 1, "it is animated"),
            (self.place != (0, 0, self.width, self.height), "its picture does not fill its screen"),
            (not self.table, "it has no palette"),
        ):
            if bad:
                return why
        return ""

    @property
    def chunks(self) -> bytes:
        """All but the pixels, as chunks of a PNG."""
        indexed = self.head.kind.indexed
        chunks = self.luggage.chunks + (png.chunk(b"PLTE", self.table) if indexed else b"")
        if self.transparent >= 0:
            chunks += png.chunk(b"tRNS", b"\xff" * self.transparent + b"\0")
        if self.background:
            chunks += png.chunk(b"bKGD", struct.pack(">B" if indexed else ">H", self.background))
        return chunks


def is_gif(data: bytes) -> bool:
    """Whether it begins as a GIF does, as far as the first block; words do not."""
    if data[:6] not in SIGNATURES:
        return False
    at = 13 + _table_size(data[10]) if len(data) > 10 else 13
    return len(data) <= at or data[at] in MARKS


def parse(data: bytes) -> Gif:
    """Raises TruncatedError or CorruptError. A background or transparent colour that is not in the palette
    says nothing; many files have one."""
    if len(data) < 13:
        raise TruncatedError("the GIF is cut short inside its header.")
    width, height, packed, background, aspect = struct.unpack_from("<HHBBB", data, 6)
    if not width or not height:
        raise CorruptError(f"the GIF says {width} x {height} pixels.")
    gif = Gif(width, height)
    shared, at = _table(data, 13, packed)
    gif.table = shared
    if aspect:
        gif.luggage.add_resolution(64, aspect + 15, RATIO_ONLY)
    while (mark := data[at : at + 1]) != b";":
        if mark == b"!":
            at = _extension(gif, data, at)
        elif mark == b",":
            at = _picture(gif, data, at)
        elif mark:
            raise CorruptError(f"the GIF has a damaged block at byte {at}.")
        else:
            raise TruncatedError(
                f"the GIF is cut short: it ends after {len(data)} bytes, without an end marker."
            )
    if len(data) > at + 1:
        gif.luggage.leave(f"{len(data) - at - 1} bytes after its end")
    if shared and gif.table != shared:
        gif.luggage.leave("a palette that its picture does not use")
    elif background < len(shared) // 3:
        gif.background = background
    if gif.transparent >= len(gif.table) // 3:
        gif.transparent = -1
    return gif


def _picture(gif: Gif, data: bytes, at: int) -> int:
    """Note a picture; returns the position after it."""
    if at + 10 > len(data):
        raise TruncatedError("the GIF is cut short.")
    *place, packed = struct.unpack_from("<HHHHB", data, at + 1)
    local, at = _table(data, at + 10, packed)
    gif.pictures += 1
    if gif.pictures == 1:
        gif.place, gif.table = (place[0], place[1], place[2], place[3]), local or gif.table
    return _blocks(data, at + 1)[1]


def _extension(gif: Gif, data: bytes, at: int) -> int:
    """Put an extension into the luggage; returns the position after it."""
    body, end = _blocks(data, at + 2)
    label, luggage = data[at + 1], gif.luggage
    if label == CONTROL and len(body) == 4 and not gif.pictures:
        flags, delay, colour = struct.unpack("<BHB", body)
        gif.transparent = colour if flags & 1 else -1
        if flags & 0x1E or delay:
            luggage.add_chunk(b"gIFg", struct.pack(">BBH", flags >> 2 & 7, flags >> 1 & 1, delay))
    elif label == COMMENT:
        luggage.add_comment(body)
    elif label == APPLICATION and len(body) >= 11 and data[at + 2] == 11:
        _application(luggage, body[:11], data[at + 14 : end], body[11:])
    else:
        luggage.leave(NAMES.get(label, f"an extension of kind {label}"))
    return end


def _application(luggage: Luggage, name: bytes, raw: bytes, body: bytes) -> None:
    """raw: what follows the name, as it stands; body: without the sizes of blocks."""
    if name == b"XMP DataXMP" and raw.endswith(XMP_TRAILER):
        luggage.add_xmp(raw[: -len(XMP_TRAILER)])
    elif name == b"ICCRGBG1012":
        luggage.add_icc(body)
    else:
        luggage.add_chunk(b"gIFx", name + body)


def _table_size(packed: int) -> int:
    """Bytes of the palette of which the flags speak."""
    return 3 << (packed & 7) + 1 if packed & 128 else 0


def _table(data: bytes, at: int, packed: int) -> tuple[bytes, int]:
    """(colours, position after them), if the flags say that there are any."""
    size = _table_size(packed)
    if at + size > len(data):
        raise TruncatedError("the GIF is cut short inside a palette.")
    return data[at : at + size], at + size


def _blocks(data: bytes, at: int) -> tuple[bytes, int]:
    """(what a row of small blocks holds, position after it)."""
    parts = []
    while at < len(data) and data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    if at >= len(data):
        raise TruncatedError(f"the GIF is cut short: it ends after {len(data)} bytes, inside a block.")
    return b"".join(parts), at + 1
