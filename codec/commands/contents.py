"""What is in an .ardm file, image or text, to the commands: parsed once, then listed, tested, restored or
rescued. Knows what each kind can do; no names of outputs, no messages. torch is loaded only where needed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from codec import text
from codec.commands import files
from codec.commands.options import Options
from codec.commands.report import Progress
from codec.errors import CorruptError, InputError
from codec.limits import NO_LIMITS
from codec.listing import way_of
from codec.opened import FIRST_READ, Opened, check_not_empty, open_bytes, open_file


@dataclass(frozen=True)
class Rescued:
    """What could be had of a damaged file."""

    data: bytes
    said: str  # what became of it, for people
    facts: dict[str, Any]  # the same, for programs
    complete: bool
    mask: bytes = b""  # a PNG, white where anything is lost; empty if nothing is
    why: tuple[str, ...] = ()  # of each tile that is lost
    untrue: tuple[str, ...] = ()  # what the image says of bytes that are not its own


class ImageContents:
    """Of an image."""

    tiled = True  # parts of it may be lost

    def __init__(self, opened: Opened) -> None:
        self.opened = opened

    def restored(self, name: str) -> str:
        """What the file is called that comes back of an .ardm file of that name: photo.ppm.ardm ->
        photo.ppm.
        """
        from codec import archive

        form = archive.format_of(self.opened)
        endings = form.endings if form else ()
        return files.restored_name(name, self.opened.name, endings)

    def restore(self, name: str, options: Options) -> tuple[bytes, tuple[str, ...]]:
        """(the file, what it says of bytes that are not its own)."""
        from codec import archive

        with self._bar(name, options) as bar:
            data = archive.unpack(self.opened, **_decoding(options), progress=bar.update)
        return data, tuple(archive.untrue(self.opened))

    def holds(self, file: bytes, options: Options, restored: bool) -> bool:
        """Whether it is of just this file, which was restored from it, or shall be compressed; undecoded."""
        from codec import archive

        exactly, pixels = options.exact, options.pixels or restored
        return archive.holds(self.opened, file, exactly=exactly, pixels=pixels, limits=options.limits)

    def part(self, options: Options) -> bytes:
        """A PNG of the region or the preview that was asked for."""
        from codec.reader import ImageReader

        settings = options.settings
        reader = ImageReader(self.opened, options.limits, settings.device, settings.threads)
        if not options.region:
            return reader.png(reader.preview(options.preview))
        try:
            return reader.png(reader.read(options.region))
        except ValueError as error:  # of a box that the image does not have
            raise InputError(str(error)) from error

    def test(self, name: str, options: Options) -> dict[str, Any]:
        from codec import archive

        with self._bar(name, options) as bar:
            archive.test(self.opened, **_decoding(options), progress=bar.update)
        return {"subpixels": self.opened.header.samples}

    def rescue(self, name: str, options: Options) -> Rescued:
        from codec import archive

        with self._bar(name, options) as bar:
            image, mask, report = archive.rescue(self.opened, **_decoding(options), progress=bar.update)
        place = ("top", "left", "height", "width", "why")
        facts = {
            "tiles": report.tiles,
            "pixels_lost": report.pixels_lost,
            "tiles_lost": [dict(zip(place, tile, strict=True)) for tile in report.lost],
            "metadata_lost": report.metadata_lost,
            "foreign_bytes": report.foreign_bytes,
        }
        why = tuple(tile[4] for tile in report.lost)
        untrue = tuple(archive.untrue(self.opened, anew=not report.complete))
        lost = mask if report.pixels_lost else b""
        return Rescued(image, str(report), facts, report.complete, lost, why, untrue)

    def _bar(self, name: str, options: Options) -> Progress:
        header = self.opened.header
        return Progress(header.samples * header.kind.size, name, options)


class TextContents:
    """Of a text, or any other file that is no image."""

    tiled = False

    def __init__(self, source: bytes, options: Options, salvage: bool) -> None:
        self.source = source
        try:
            self.header, self.at = text.read(source, options.limits, salvage)
        except CorruptError as error:
            if not salvage:
                raise
            raise type(error)(
                f"nothing can be recovered, since a text is one piece, not tiles: {error}"
            ) from error

    def restored(self, name: str) -> str:
        """What the file is called that comes back: book.txt.ardm -> book.txt."""
        return files.restored_name(name, self.header.name, ())

    def restore(self, name: str, options: Options) -> tuple[bytes, tuple[str, ...]]:
        """(the file, nothing)."""
        with Progress(self.header.size, name, options) as bar:
            payload = self.source[self.at : self.at + self.header.length]
            data = text.decode(self.header, payload, bar.update)
        return data, ()

    def holds(self, file: bytes, options: Options, restored: bool) -> bool:
        """Whether it is of just this file; undecoded."""
        return text.holds(self.source, file, options.limits)

    def part(self, options: Options) -> bytes:
        raise InputError("is no image; --region and --preview are for images only.")

    def test(self, name: str, options: Options) -> dict[str, Any]:
        self.restore(name, options)
        return {"bytes": self.header.size}

    def rescue(self, name: str, options: Options) -> Rescued:
        """A text is one piece: it can be had if it is all there, whatever follows it."""
        data, _ = self.restore(name, options)
        foreign = len(self.source) - self.at - self.header.length
        said = f"nothing is lost{f'; there are {foreign} foreign bytes at the end' * bool(foreign)}"
        return Rescued(data, said, {"foreign_bytes": foreign}, True)


def open_contents(source: bytes, options: Options, salvage: bool = False) -> ImageContents | TextContents:
    """Parse an .ardm file. salvage: it may be damaged. Raises as `container.read` does."""
    check_not_empty(source)
    if text.is_text(source):
        return TextContents(source, options, salvage)
    return ImageContents(open_bytes(source, options.limits, salvage))


def look_into(file: Any) -> tuple[bytes, int] | Opened:
    """A file object, of which only the beginning is read: an image, or (the beginning of a text, the size of
    the file).
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    front = file.read(FIRST_READ)
    check_not_empty(front)
    return (front, size) if text.is_text(front) else open_file(file, NO_LIMITS)


def describe(file: Any) -> dict[str, Any]:
    """What an .ardm file says of itself. file: as of `look_into`."""
    seen = look_into(file)
    if isinstance(seen, Opened):
        return {**seen.describe(), "restores": way_of(seen.header), "name": seen.name}
    return {**text.info(*seen), "restores": "exact"}


def _decoding(options: Options) -> dict[str, Any]:
    """Options of `codec.decompress`."""
    return {"limits": options.limits, "device": options.settings.device, "threads": options.settings.threads}
