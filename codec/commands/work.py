"""What the commands do with one file: compress, restore, rescue, test, list. Each returns what became of it.

Knows which outputs there are and what is said to whom; `codec.commands.contents` knows what is in a file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from codec.commands import files
from codec.commands.options import Options
from codec.commands.places import Left, LeftOut, Place, Stream, file_of, remove_source
from codec.commands.report import Progress, note, say
from codec.commands.summary import SKIPPED
from codec.commands.tree import Item
from codec.errors import ArdmError, CorruptError, ExistsError, InputError, OutputError

if TYPE_CHECKING:
    from codec.commands.contents import ImageContents, TextContents

SUFFIX = files.SUFFIX
DAMAGE = ".damage.png"  # ending of the map that --recover writes
HEAD = 1 << 16  # bytes that tell whether a file is an image
REGION, PREVIEW = ".region.png", ".preview.png"  # endings of what --region and --preview write


def compress_one(item: Item, options: Options) -> dict[str, Any]:
    """An image, a text, or any other file. Raises LeftOut for what is none to take of a folder."""
    place = item.source
    place.check_source(options.remove)
    if files.is_archive(place.base) and not options.force:
        raise InputError("is compressed already (.ardm); use -f to try anyway.")
    from codec.formats import sources

    only_images = item.found and not options.everything
    start = place.read_start(HEAD) if only_images else b""
    if only_images and sources.sniff(start) is None:
        raise LeftOut(Left.OTHER)
    # which was all of a small file, and each request to a store takes time
    source = start if 0 < len(start) < HEAD else place.read(options.limits.max_memory)
    is_image = sources.is_image(source)
    if only_images and not is_image:
        raise LeftOut(Left.OTHER)
    # The name of what is no image keeps its ending, whatever that promises.
    target = _target(item, options, files.compressed_name(place.base) if is_image else place.base + SUFFIX)

    def holds(data: bytes) -> bool:
        from codec.commands.contents import open_contents

        return open_contents(data, options).holds(source, options, restored=False)

    if skipped := _skipped(place, source, target, options, holds):
        return skipped
    return (_compress_image if is_image else _compress_text)(place, source, target, options)


def _compress_image(place: Place, source: bytes, target: Place, options: Options) -> dict[str, Any]:
    from codec import archive
    from codec.formats import sources
    from codec.formats.luggage import listed

    settings = options.settings
    look = sources.look(source, options.limits.max_pixels)
    head = look.head
    with Progress(head.samples * head.kind.size * (1 + settings.verify), place.base, options) as bar:
        packed = archive.pack(
            source,
            exactly=options.exact,
            pixels=options.pixels,
            name=name_to_keep(place.base, look.format.endings),
            limits=options.limits,
            settings=settings,
            progress=bar.update,
        )
    if packed.converted and options.remove and not options.pixels:
        raise InputError(
            "would come back as a PNG; --rm needs --pixels, to say that the pixels are enough, or --exact, "
            "to keep the file itself."
        )
    if packed.dropped and options.remove:
        without = f"would come back without {listed(packed.dropped)}"
        raise InputError(f"{without}, so --rm would lose that; --exact keeps the file itself.")
    _deliver(target, packed.data, place, options, source)
    if packed.converted:
        what = f"without {listed(packed.dropped)}" if packed.dropped else "with all that is in it"
        note(f"{place.label}: will come back as a PNG {what}; --exact keeps the file itself.", options)
    _say_untrue(place, packed.untrue, options)
    if packed.indivisible:
        note(
            f"{place.label}: was stored whole, because {packed.why}; it will come back byte for byte.",
            options,
        )
    return {
        **_result(place, source, target, packed.data),
        "bits_per_subpixel": round(8 * len(packed.data) / head.samples, 4),
        "restores": packed.way,
        "why": packed.why,
        "dropped": packed.dropped,
    }


def _say_untrue(place: Place, what: Iterable[str], options: Options) -> None:
    for one in what if not options.quiet else ():
        say(
            f"{place.label}: {one} speaks of the bytes of the original file, and will not hold for what is "
            "made of its pixels."
        )


def name_to_keep(name: str, endings: tuple[str, ...]) -> str:
    """The name of a source that the name of its .ardm file would not tell; else nothing. endings: of the
    format, none if any will do.
    """
    own = PurePath(name).name
    return own if own and files.restored_name(files.compressed_name(own), "", endings) != own else ""


def _compress_text(place: Place, source: bytes, target: Place, options: Options) -> dict[str, Any]:
    settings = options.settings
    if settings.seed is not None:
        raise InputError("is no image; a random order is for images only.")
    from codec import text
    from codec.formats import sources

    doubt = sources.doubt(source, PurePath(place.base).suffix.lstrip("."))
    if doubt and options.pixels:
        cure = "Without --pixels it is kept as a file."
        raise InputError(f"{doubt}; expected {sources.KNOWN}, or JPEG. {cure}")
    order = {"raster": "plain", "lattice": "cells"}.get(settings.order, "plain" if settings.plain else "auto")
    with Progress(len(source) * (1 + settings.verify), place.base, options) as bar:
        packed = text.pack(
            source,
            name=name_to_keep(place.base, ()),
            budget=settings.budget or (text.BUDGET if settings.best else None),
            order=order,
            verify=settings.verify,
            limits=options.limits,
            progress=bar.update,
        )
    _deliver(target, packed, place, options, source)
    if doubt:
        note(f"{place.label}: {doubt}; it was kept as a file and will come back byte for byte.", options)
    return {
        **_result(place, source, target, packed),
        "bits_per_byte": round(8 * len(packed) / max(1, len(source)), 4),
        "restores": "exact",
    }


def decompress_one(item: Item, options: Options) -> dict[str, Any]:
    """The file that an .ardm file was made of."""
    source, contents, target = _open(item, options)

    def holds(data: bytes) -> bool:
        return contents.holds(data, options, restored=True)

    if skipped := _skipped(item.source, source, target, options, holds):
        return skipped
    data, untrue = contents.restore(item.source.base, options)
    _deliver(target, data, item.source, options, source)
    _say_untrue(item.source, untrue, options)
    return _result(item.source, source, target, data)


def part_one(item: Item, options: Options) -> dict[str, Any]:
    """A PNG of a region, or a preview, of an image."""
    source, contents, target = _open(item, options, ending=REGION if options.region else PREVIEW)
    _check_free(target, item.source, options)
    data = contents.part(options)
    _deliver(target, data, item.source, options, source)
    return _result(item.source, source, target, data)


def recover_one(item: Item, options: Options) -> dict[str, Any]:
    """What can be had of a damaged file, and a map of what is lost."""
    place = item.source
    if place.stream and not options.output:
        raise OutputError("--recover writes two files; say with -o where the image shall go.")
    source, contents, target = _open(item, options, salvage=True)
    _check_free(target, place, options)
    damage = target.sibling(PurePath(target.base).stem + DAMAGE)
    if contents.tiled:
        _check_free(damage, place, options)
    rescued = contents.rescue(place.base, options)
    _deliver(target, rescued.data, place, options)
    result = {**_result(place, source, target, rescued.data), **rescued.facts}
    if rescued.mask:
        _deliver(damage, rescued.mask, place, options)
        result |= {"damage_map": damage.name}
    if not rescued.complete:
        result |= {"exit_code": CorruptError.exit_code}
        for why in rescued.why if options.verbose else ():
            say(f"{place.label}: {why}")
    if options.quiet < 2:
        say(f"{place.label}: {rescued.said}.")
    _say_untrue(place, rescued.untrue, options)
    return result


def test_one(item: Item, options: Options) -> dict[str, Any]:
    """Decode, check, write nothing."""
    place = item.source
    source = place.read(options.limits.max_memory)
    from codec.commands.contents import open_contents

    facts = open_contents(source, options).test(place.base, options)
    return {"file": place.name, "ok": True, "bytes_in": len(source), **facts}


def list_one(item: Item, options: Options) -> dict[str, Any]:
    """What an .ardm file says of itself, of which only the beginning is read."""
    from codec.commands.contents import describe

    with item.source.open(options.limits.max_memory) as file:
        return {"file": item.source.name, **describe(file)}


def _result(place: Place, source: bytes, target: Place, data: bytes) -> dict[str, Any]:
    """What is said of every file that was written."""
    return {"file": place.name, "output": target.name, "bytes_in": len(source), "bytes_out": len(data)}


def _open(
    item: Item, options: Options, salvage: bool = False, ending: str = ""
) -> tuple[bytes, ImageContents | TextContents, Place]:
    """An .ardm file, what is in it, and where that goes, which is named by what it is: photo.ppm.ardm ->
    photo.ppm, or photo.ppm.png; or with an ending of its own.
    """
    place = item.source
    place.check_source(options.remove)
    named = _to_stream(place, options) or options.output
    if not named and not files.is_archive(place.base):
        raise InputError(f"the name does not end in {SUFFIX}; say with -o where to write the image.")
    source = place.read(options.limits.max_memory)
    from codec.commands.contents import open_contents

    contents = open_contents(source, options, salvage)
    if named:  # and the name of the source, which may have no ending, does not matter
        return source, contents, _target(item, options, "")
    name = PurePath(place.base).stem + ending if ending else contents.restored(place.base)
    return source, contents, _target(item, options, name)


def _to_stream(place: Place, options: Options) -> bool:
    """Whether the result goes to standard output."""
    streams = options.stdout or options.output == files.STREAM or (place.stream and not options.output)
    if streams:
        files.check_stdout(options.force)
    return streams


def _target(item: Item, options: Options, name: str) -> Place:
    """Where the result goes, which is called `name` if nobody has said how."""
    if _to_stream(item.source, options):
        return Stream()
    if options.output:
        return file_of(options.output)
    if not item.source.base:
        raise OutputError("the URL ends in no name; say with -o where to write.")
    if options.output_dir:
        return options.output_dir.child(*item.folders, name)
    return item.source.sibling(name)


def _skipped(
    place: Place, source: bytes, target: Place, options: Options, holds: Callable[[bytes], bool]
) -> dict[str, Any] | None:
    """What is said of a file whose result need not be made, with `options.resume`, since it is there and just
    right, which `holds` judges by its content; else None. Raises OutputError for a target that may not be
    written.
    """
    try:
        _check_free(target, place, options)
        return None
    except ExistsError:
        if not options.resume or target.key() in options.written:
            raise
    try:
        data = target.read(options.limits.max_memory)
    except InputError as error:
        raise OutputError(f"the output {target.name} is there, and {error}") from error
    with contextlib.suppress(ArdmError):  # of a file that is none of ours, or damaged
        if holds(data):
            options.written.add(target.key())
            return {**_result(place, source, target, data), "status": SKIPPED}
    raise OutputError(
        f"the output {target.name} exists already, and is not what this file gives; use -f to overwrite it."
    )


def _check_free(target: Place, source: Place, options: Options) -> None:
    """Raise OutputError, before any work is done, for a target that may not be written."""
    target.check_target(source, options.force, makes_folders=options.output_dir is not None)
    if target.key() in options.written:
        raise OutputError(f"the output {target.name} was just written for another file; rename one of them.")


def _deliver(target: Place, data: bytes, place: Place, options: Options, source: bytes = b"") -> None:
    """Write a result, and with --rm remove the file it was made of, whose content was `source`."""
    if options.output_dir and not target.stream:
        target.make_folders(place)
    target.write(data, place, options.force)
    if target.stream:
        return
    options.written.add(target.key())
    if options.remove and not place.stream:
        remove_source(place, source, target, data)
