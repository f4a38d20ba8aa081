"""What the commands do with one file: compress, restore, rescue, test, list. Each returns what became of it.

Knows which outputs there are and what is said to whom; `codec.commands.contents` knows what is in a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codec.commands import files
from codec.commands.options import Options
from codec.commands.report import Progress, note, say
from codec.errors import CorruptError, InputError, OutputError

if TYPE_CHECKING:
    from codec.commands.contents import ImageContents, TextContents

SUFFIX = files.SUFFIX
DAMAGE = ".damage.png"  # ending of the map that --recover writes
REGION, PREVIEW = ".region.png", ".preview.png"  # endings of what --region and --preview write


def compress_one(name: str, options: Options) -> dict[str, Any]:
    """An image, a text, or any other file."""
    files.check_input(name)
    if name != files.STREAM and Path(name).suffix.lower() == SUFFIX and not options.force:
        raise InputError("is compressed already (.ardm); use -f to try anyway.")
    source = files.read_input(name, options.limits.max_memory)
    from codec.formats import sources

    is_image = sources.is_image(source)
    # The name of what is no image keeps its ending, whatever that promises.
    target = _target(
        name,
        options,
        lambda path: path.with_name(files.compressed_name(path.name) if is_image else path.name + SUFFIX),
    )
    return (_compress_image if is_image else _compress_text)(name, source, target, options)


def _compress_image(name: str, source: bytes, target: Path | None, options: Options) -> dict[str, Any]:
    from codec import archive
    from codec.formats import sources
    from codec.formats.luggage import listed

    settings = options.settings
    look = sources.look(source, options.limits.max_pixels)
    head = look.head
    with Progress(head.samples * head.kind.size * (1 + settings.verify), name, options) as bar:
        packed = archive.pack(
            source,
            exactly=options.exact,
            pixels=options.pixels,
            name=name_to_keep(name, look.format.endings),
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
    _deliver(target, packed.data, name, options, source)
    if packed.converted:
        what = f"without {listed(packed.dropped)}" if packed.dropped else "with all that is in it"
        note(f"{name}: will come back as a PNG {what}; --exact keeps the file itself.", options)
    _say_untrue(name, packed.untrue, options)
    if packed.indivisible:
        note(f"{name}: was stored whole, because {packed.why}; it will come back byte for byte.", options)
    return {
        **_result(name, source, target, packed.data),
        "bits_per_subpixel": round(8 * len(packed.data) / head.samples, 4),
        "restores": packed.way,
        "why": packed.why,
        "dropped": packed.dropped,
    }


def _say_untrue(name: str, what: Iterable[str], options: Options) -> None:
    for one in what if not options.quiet else ():
        say(
            f"{name}: {one} speaks of the bytes of the original file, and will not hold for what is made "
            "of its pixels."
        )


def name_to_keep(name: str, endings: tuple[str, ...]) -> str:
    """The name of a source that the name of its .ardm file would not tell; else nothing. endings: of the
    format, none if any will do.
    """
    own = "" if name == files.STREAM else Path(name).name
    return own if own and files.restored_name(files.compressed_name(own), "", endings) != own else ""


def _compress_text(name: str, source: bytes, target: Path | None, options: Options) -> dict[str, Any]:
    settings = options.settings
    if settings.seed is not None:
        raise InputError("is no image; a random order is for images only.")
    from codec import text
    from codec.formats import sources

    doubt = sources.doubt(source, Path(name).suffix.lstrip("."))
    if doubt and options.pixels:
        cure = "Without --pixels it is kept as a file."
        raise InputError(f"{doubt}; expected {sources.KNOWN}, or JPEG. {cure}")
    with Progress(len(source) * (1 + settings.verify), name, options) as bar:
        packed = text.pack(
            source,
            name=name_to_keep(name, ()),
            budget=settings.budget,
            order={"raster": "plain", "lattice": "rows"}.get(settings.order, "auto"),
            device=settings.device,
            verify=settings.verify,
            limits=options.limits,
            progress=bar.update,
        )
    _deliver(target, packed, name, options, source)
    if doubt:
        note(f"{name}: {doubt}; it was kept as a file and will come back byte for byte.", options)
    return {
        **_result(name, source, target, packed),
        "bits_per_byte": round(8 * len(packed) / max(1, len(source)), 4),
        "restores": "exact",
    }


def decompress_one(name: str, options: Options) -> dict[str, Any]:
    """The file that an .ardm file was made of."""
    source, contents, target = _open(name, options)
    data, untrue = contents.restore(name, options)
    _deliver(target, data, name, options, source)
    _say_untrue(name, untrue, options)
    return _result(name, source, target, data)


def part_one(name: str, options: Options) -> dict[str, Any]:
    """A PNG of a region, or a preview, of an image."""
    source, contents, target = _open(name, options, ending=REGION if options.region else PREVIEW)
    data = contents.part(options)
    _deliver(target, data, name, options, source)
    return _result(name, source, target, data)


def recover_one(name: str, options: Options) -> dict[str, Any]:
    """What can be had of a damaged file, and a map of what is lost."""
    if name == files.STREAM and not options.output:
        raise OutputError("--recover writes two files; say with -o where the image shall go.")
    source, contents, target = _open(name, options, salvage=True)
    assert target is not None
    damage = target.with_name(target.stem + DAMAGE)
    if contents.tiled:
        damage = _free(damage, name, options)
    rescued = contents.rescue(name, options)
    _deliver(target, rescued.data, name, options)
    result = {**_result(name, source, target, rescued.data), **rescued.facts}
    if rescued.mask:
        _deliver(damage, rescued.mask, name, options)
        result |= {"damage_map": str(damage)}
    if not rescued.complete:
        result |= {"exit_code": CorruptError.exit_code}
        for why in rescued.why if options.verbose else ():
            say(f"{name}: {why}")
    if options.quiet < 2:
        say(f"{name}: {rescued.said}.")
    _say_untrue(name, rescued.untrue, options)
    return result


def test_one(name: str, options: Options) -> dict[str, Any]:
    """Decode, check, write nothing."""
    source = files.read_input(name, options.limits.max_memory)
    from codec.commands.contents import open_contents

    facts = open_contents(source, options).test(name, options)
    return {"file": name, "ok": True, "bytes_in": len(source), **facts}


def list_one(name: str, options: Options) -> dict[str, Any]:
    """What an .ardm file says of itself."""
    source = files.read_input(name, options.limits.max_memory)
    from codec.commands.contents import open_contents

    return {"file": name, **open_contents(source, options).describe()}


def _result(name: str, source: bytes, target: Path | None, data: bytes) -> dict[str, Any]:
    """What is said of every file that was written."""
    return {
        "file": name,
        "output": str(target or files.STREAM),
        "bytes_in": len(source),
        "bytes_out": len(data),
    }


def _open(
    name: str, options: Options, salvage: bool = False, ending: str = ""
) -> tuple[bytes, ImageContents | TextContents, Path | None]:
    """An .ardm file, what is in it, and where that goes, which is named by what it is: photo.ppm.ardm ->
    photo.ppm, or photo.ppm.png; or with an ending of its own.
    """
    named = _to_stream(name, options) or options.output
    if not named and Path(name).suffix.lower() != SUFFIX:
        raise InputError(f"the name does not end in {SUFFIX}; say with -o where to write the image.")
    source = files.read_input(name, options.limits.max_memory)
    from codec.commands.contents import open_contents

    contents = open_contents(source, options, salvage)
    rename = (lambda path: path.with_suffix(ending)) if ending else contents.restored
    return source, contents, _target(name, options, rename)


def _to_stream(name: str, options: Options) -> bool:
    """Whether the result goes to standard output."""
    found = options.stdout or options.output == files.STREAM or (name == files.STREAM and not options.output)
    if found:
        files.check_stdout(options.force)
    return found


def _target(name: str, options: Options, rename: Callable[[Path], Path]) -> Path | None:
    """Where the result goes; None is standard output. Checked before any work is done."""
    if _to_stream(name, options):
        return None
    target = Path(options.output) if options.output else rename(Path(name))
    if options.output_dir:
        target = options.output_dir / target.name
    return _free(target, name, options)


def _free(target: Path, name: str, options: Options) -> Path:
    """The target, if it may be written."""
    files.check_output(target, name, options.force)
    if os.path.realpath(target) in options.written:
        raise OutputError(f"the output {target} was just written for another file; rename one of them.")
    return target


def _deliver(target: Path | None, data: bytes, name: str, options: Options, source: bytes = b"") -> None:
    """Write a result, and with --rm remove the file it was made of, whose content was `source`."""
    if target is None:
        files.write_stream(data)
        return
    files.write_output(target, data, name, options.force)
    options.written.add(os.path.realpath(target))
    if options.remove and name != files.STREAM:
        files.remove_source(name, source, target, data)
