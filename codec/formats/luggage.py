"""What an image file holds beside its pixels, as chunks of a PNG, and the names of what no chunk can hold.
Knows chunks, and no format that is read.

A reader of another format puts everything that it finds in here. So nothing is dropped in silence: what is
not carried is named, and then the file is kept whole, unless its owner said that the pixels are enough.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from codec import png

PER_METRE, RATIO_ONLY = 1, 0  # units of a PNG's resolution


@dataclass
class Luggage:
    """Filled by the `add_` methods; `chunks` and `left` say what became of it."""

    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    others: bytes = b""  # whole chunks, of which there may be several
    missing: list[str] = field(default_factory=list)

    @property
    def chunks(self) -> bytes:
        """To stand before a PNG's palette, which a colour profile must do."""
        return png.metadata_chunks(self.icc, self.exif, self.xmp) + self.others

    @property
    def left(self) -> tuple[str, ...]:
        """What is in no chunk, after "it has": "geographic tags"."""
        return tuple(dict.fromkeys(self.missing))

    def leave(self, what: str) -> None:
        self.missing.append(what)

    def add_icc(self, profile: bytes) -> None:
        if self.icc and profile:
            return self.leave("a second colour profile")
        self.icc = self.icc or profile
        return None

    def add_exif(self, block: bytes) -> None:
        """block: without "Exif\\0\\0"."""
        if self.exif and block:
            return self.leave("a second block of Exif")
        self.exif = self.exif or block
        return None

    def add_xmp(self, text: bytes) -> None:
        """Zeros after it are padding."""
        text = text.rstrip(b"\0")
        if self.xmp and text:
            return self.leave("a second block of XMP")
        if not _is_utf8(text) or b"\0" in text:
            return self.leave("XMP that is no UTF-8")
        self.xmp = self.xmp or text
        return None

    def add_comment(self, text: bytes) -> None:
        """A PNG's texts are of Latin-1, or marked as UTF-8; what is both was meant as the latter."""
        if b"\0" in text:
            self.leave("a comment with bytes 0")
        elif text.isascii() or not _is_utf8(text):
            self.others += png.chunk(b"tEXt", b"Comment\0" + text)
        else:
            self.others += png.chunk(b"iTXt", b"Comment\0\0\0\0\0" + text)

    def add_resolution(self, across: int, down: int, unit: int) -> None:
        """Pixels per unit; one as the other and no unit say nothing."""
        if unit != RATIO_ONLY or across != down:
            self.others += png.chunk(b"pHYs", struct.pack(">IIB", across, down, unit))

    def add_chunk(self, kind: bytes, data: bytes) -> None:
        self.others += png.chunk(kind, data)


def listed(names: tuple[str, ...]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
