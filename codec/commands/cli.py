"""The commands ardm-compress and ardm-decompress: options, names, messages, exit codes. Knows files and
images; torch is loaded only when needed.

Exit codes: 0 all well; 1 a file failed (cannot be read, exists, refused); 2 wrong usage; 4 damaged data; 5
not supported by this release; 130 / 143 ended by a signal. With several files the largest code that occurred
is returned, and the others are still done.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

import codec
from codec.commands import files
from codec.errors import ArdmError, CorruptError, InputError, NotArdmError, OutputError
from codec.limits import NO_LIMITS, Limits, parse_size
from codec.presets import MAX_THREADS, ORDERS, PRESETS, threads_for

SUFFIX = files.SUFFIX
DAMAGE = ".damage.png"  # ending of the map that --recover writes
PRESET_HELP = ", ".join(f"-{preset} = {calls or 'as many as pay'}" for preset, calls in PRESETS.items())
EXIT_HELP = (
    "Exit codes: 0 done; 1 a file failed; 2 wrong usage; 4 damaged data; 5 not supported by this "
    "release; 130, 143 interrupted."
)


@dataclass
class Options:
    """What both commands share."""

    stdout: bool
    output: str | None
    output_dir: Path | None
    force: bool
    remove: bool
    test: bool
    listing: bool
    as_json: bool
    quiet: int
    verbose: bool
    threads: int
    device: str
    progress: bool
    limits: Limits
    verify: bool = True
    budget: int | None = None  # network calls; None: the default of images, or of text
    seed: int | None = None
    plain: bool = False
    order: str = "auto"
    exact: bool = False  # the file itself must come back
    pixels: bool = False  # these are enough
    written: set[str] = field(default_factory=set)  # outputs of this run, which not even -f may overwrite


class _Size(click.ParamType):
    """A size in bytes, as `codec.limits.parse_size` reads it."""

    name = "size"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        try:
            return parse_size(value) if isinstance(value, str) else int(value)
        except ValueError as error:
            self.fail(str(error), parameter, context)


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of both commands, in the order in which --help shows them."""
    options = [
        click.argument("names", metavar="FILE...", nargs=-1, required=True),
        click.option(
            "-o", "output", metavar="OUT", help="Write to OUT ('-' is standard output); for one FILE."
        ),
        click.option("-c", "--stdout", "stdout", is_flag=True, help="Write to standard output."),
        click.option(
            "--output-dir",
            metavar="DIR",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            help="Write the results into DIR.",
        ),
        click.option(
            "-f",
            "--force",
            is_flag=True,
            help="Overwrite existing outputs; allow binary output to a terminal.",
        ),
        click.option("-k", "--keep", is_flag=True, help="Keep the source (the default)."),
        click.option("--rm", "remove", is_flag=True, help="Remove the source after success."),
        click.option("-t", "--test", is_flag=True, help="Test .ardm files: decode, check, write nothing."),
        click.option(
            "-l", "--list", "listing", is_flag=True, help="List what .ardm files hold, without decoding them."
        ),
        click.option("--json", "as_json", is_flag=True, help="One JSON object per file on standard output."),
        click.option(
            "-T",
            "--threads",
            type=click.IntRange(0, MAX_THREADS),
            default=0,
            metavar="N",
            help="CPU threads; 0, the default, means all.",
        ),
        click.option(
            "--device",
            type=click.Choice(["cpu", "cuda", "auto"]),
            default="cpu",
            show_default=True,
            help="Files are the same on all.",
        ),
        click.option(
            "--max-pixels",
            type=click.IntRange(1),
            metavar="N",
            help="Refuse larger images. Default: 178 million.",
        ),
        click.option(
            "--memory",
            type=_Size(),
            metavar="SIZE",
            help="Refuse what is estimated to need more memory, such as 512M or 2G. Default: no limit.",
        ),
        click.option(
            "--max-calls",
            type=click.IntRange(0),
            metavar="N",
            help="Refuse what needs more network calls. Default: 200 million.",
        ),
        click.option("--no-progress", is_flag=True, help="No progress bar."),
        click.option("-q", "--quiet", count=True, help="No notes; twice: no error messages either."),
        click.option("-v", "--verbose", is_flag=True, help="Say more."),
        click.version_option(codec.__version__, "-V", "--version"),
        click.help_option("-h", "--help"),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command(epilog=EXIT_HELP)
@shared_options
@click.option(
    "--budget",
    type=click.IntRange(1),
    metavar="N",
    help="Most network calls per tile. Fewer: larger files. Default: as many as pay, in raster order.",
)
@click.option(
    "--best",
    is_flag=True,
    help="The smallest file that this release can make: the default, without a budget.",
)
@click.option(
    "--order",
    metavar="ORDER",
    default="auto",
    show_default=True,
    help=(
        "raster, lattice, auto (what the budget allows and measured bits favour), or random:SEED (larger "
        "files; for study)."
    ),
)
@click.option(
    "--plain",
    is_flag=True,
    help="Do not learn from the image while coding it: the network alone; quicker, larger files.",
)
@click.option(
    "--exact",
    is_flag=True,
    help="Restore the file byte for byte, not only pixels and metadata; costs a few bytes, or all of them.",
)
@click.option(
    "--pixels",
    is_flag=True,
    help=(
        "The pixels are enough: JPEG and other lossy files come back as PNG, too, and what no PNG can "
        "hold is named and dropped."
    ),
)
@click.option("--no-verify", is_flag=True, help="Do not decode the result to compare it with the source.")
def compress_command(
    budget: int | None,
    best: bool,
    order: str,
    plain: bool,
    exact: bool,
    pixels: bool,
    no_verify: bool,
    **given: Any,
) -> None:
    """Compress images, text and any other files without loss: photo.png -> photo.ardm, book.txt ->
    book.txt.ardm. The source is kept.

    PBM, PGM, PPM, PAM, BMP, QOI, .npy and uncompressed TIFF come back byte for byte; PNG with all its chunks;
    other TIFF, GIF and lossless WebP as PNG, or byte for byte if a PNG cannot hold all that is in them.

    All other files come back byte for byte, JPEG too; English text is what the model for text knows. Damaged
    images are kept with --exact only.

    '-' reads standard input and writes standard output. Presets for the budget: PRESETS.
    """
    if best and (order != "auto" or plain or budget):
        raise click.UsageError("--best chooses itself; leave out --budget, --order and --plain.")
    order, seed = _parse_order(order)
    if exact and pixels:
        raise click.UsageError("--exact keeps more than pixels; leave out --pixels.")
    options = _options(
        given,
        verify=not no_verify,
        budget=budget,
        order=order,
        seed=seed,
        plain=plain,
        exact=exact,
        pixels=pixels,
    )
    _each(
        given["names"],
        options,
        _list_one if options.listing else _test_one if options.test else _compress_one,
    )


compress_command.help = (compress_command.help or "").replace("PRESETS", PRESET_HELP)


@click.command(epilog=EXIT_HELP)
@shared_options
@click.option("-d", "--decompress", is_flag=True, help="What this command does anyway.")
@click.option(
    "--recover",
    is_flag=True,
    help=(
        "Decode what is undamaged; write the image, and NAME.damage.png, white where it is lost. Exit "
        "code 4 if anything is."
    ),
)
def decompress_command(decompress: bool, recover: bool, **given: Any) -> None:
    """Restore files: photo.ardm -> photo.png, book.txt.ardm -> book.txt, bit for bit. The source is kept.

    '-' reads standard input and writes standard output.
    """
    options = _options(given)
    if recover and (
        options.stdout or options.output == files.STREAM or options.remove or options.test or options.listing
    ):
        raise click.UsageError(
            "--recover writes two files and keeps the source; leave out -c, -o -, --rm, -t and -l."
        )
    _each(
        given["names"],
        options,
        _list_one
        if options.listing
        else _test_one
        if options.test
        else _recover_one
        if recover
        else _decompress_one,
    )


def compress_main() -> None:
    """Entry point of ardm-compress: presets -1..-9 become --budget, then click takes over."""
    arguments = []
    literal = False
    for argument in sys.argv[1:]:
        literal = literal or argument == "--"
        is_preset = not literal and len(argument) == 2 and argument[0] == "-" and argument[1] in "123456789"
        preset = int(argument[1]) if is_preset else 0
        arguments += (
            [argument]
            if not is_preset
            else [f"--budget={PRESETS[preset]}"]
            if PRESETS[preset]
            else ["--best"]
        )
    run(compress_command, arguments, "ardm-compress")


def decompress_main() -> None:
    """Entry point of ardm-decompress."""
    run(decompress_command, sys.argv[1:], "ardm-decompress")


def run(command: click.Command, arguments: list[str], name: str) -> None:
    # On a busy machine OpenMP threads that spin while they wait for each other can take ten times as long;
    # let them sleep soon.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    files.open_missing_streams()
    with files.signals_clean_up():
        try:
            code = command.main(arguments, prog_name=name, standalone_mode=False)
        except click.exceptions.Exit as error:
            code = error.exit_code
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except (KeyboardInterrupt, click.Abort):
            click.echo(f"{name}: interrupted.", err=True)
            code = 130
    sys.exit(code if isinstance(code, int) else 0)


# ---- one file ----------------------------------------------------------------------------------------------


def _compress_one(name: str, options: Options) -> dict[str, Any]:
    files.check_input(name)
    if name != files.STREAM and Path(name).suffix.lower() == SUFFIX and not options.force:
        raise InputError("is compressed already (.ardm); use -f to try anyway.")
    source = files.read_input(name, options.limits.max_memory)
    from codec import archive
    from codec.formats import sources
    from codec.formats.luggage import listed

    is_image = sources.is_image(source)
    # The name of what is no image keeps its ending, whatever that promises.
    target = _target(
        name,
        options,
        lambda path: path.with_name(files.compressed_name(path.name) if is_image else path.name + SUFFIX),
    )
    if not is_image:
        return _compress_text(name, source, target, options)
    look = sources.look(source, options.limits.max_pixels)
    head = look.head
    bar = _Progress(head.samples * head.kind.size * (1 + options.verify), name, options)
    with bar:
        packed = archive.pack(
            source,
            exactly=options.exact,
            pixels=options.pixels,
            name=_name_to_keep(name, look.format.endings),
            limits=options.limits,
            budget=options.budget,
            order=options.order,
            seed=options.seed,
            plain=options.plain,
            device=options.device,
            threads=options.threads,
            verify=options.verify,
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
        _note(f"{name}: will come back as a PNG {what}; --exact keeps the file itself.", options)
    _say_untrue(name, packed.untrue, options)
    if packed.indivisible:
        _note(f"{name}: was stored whole, because {packed.why}; it will come back byte for byte.", options)
    return {
        "file": name,
        "output": str(target or files.STREAM),
        "bytes_in": len(source),
        "bytes_out": len(packed.data),
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


def _name_to_keep(name: str, endings: tuple[str, ...]) -> str:
    """The name of a source that the name of its .ardm file would not tell; else nothing. endings: of the
    format, none if any will do.
    """
    own = "" if name == files.STREAM else Path(name).name
    return own if own and files.restored_name(files.compressed_name(own), "", endings) != own else ""


def _compress_text(name: str, source: bytes, target: Path | None, options: Options) -> dict[str, Any]:
    if options.seed is not None:
        raise InputError("is no image; a random order is for images only.")
    from codec import text
    from codec.formats import sources

    doubt = sources.doubt(source, Path(name).suffix.lstrip("."))
    if doubt and options.pixels:
        cure = "Without --pixels it is kept as a file."
        raise InputError(f"{doubt}; expected {sources.KNOWN}, or JPEG. {cure}")
    order = {"raster": "plain", "lattice": "rows"}.get(options.order, "auto")
    bar = _Progress(len(source) * (1 + options.verify), name, options)
    with bar:
        packed = text.pack(
            source,
            name=_name_to_keep(name, ()),
            budget=options.budget,
            order=order,
            device=options.device,
            verify=options.verify,
            limits=options.limits,
            progress=bar.update,
        )
    _deliver(target, packed, name, options, source)
    if doubt:
        _note(f"{name}: {doubt}; it was kept as a file and will come back byte for byte.", options)
    return {
        "file": name,
        "output": str(target or files.STREAM),
        "bytes_in": len(source),
        "bytes_out": len(packed),
        "bits_per_byte": round(8 * len(packed) / max(1, len(source)), 4),
        "restores": "exact",
    }


def _decompress_one(name: str, options: Options) -> dict[str, Any]:
    source, target = _source_and_target(name, options)
    from codec import archive

    data = _decoding(archive.unpack, name, source, options)
    _deliver(target, data, name, options, source)
    _say_untrue(name, () if _is_text(source) else archive.untrue(source, options.limits), options)
    return {
        "file": name,
        "output": str(target or files.STREAM),
        "bytes_in": len(source),
        "bytes_out": len(data),
    }


def _recover_one(name: str, options: Options) -> dict[str, Any]:
    if name == files.STREAM and not options.output:
        raise OutputError("--recover writes two files; say with -o where the image shall go.")
    source, target = _source_and_target(name, options, salvage=True)
    assert target is not None
    if _is_text(source):
        return _recover_text(name, source, target, options)
    damage = _free(target.with_name(target.stem + DAMAGE), name, options)
    from codec import archive

    image, mask, report = _decoding(archive.rescue, name, source, options, salvage=True)
    _deliver(target, image, name, options)
    result = {
        "file": name,
        "output": str(target),
        "bytes_in": len(source),
        "bytes_out": len(image),
        "tiles": report.tiles,
        "pixels_lost": report.pixels_lost,
        "tiles_lost": [
            dict(zip(("top", "left", "height", "width", "why"), tile, strict=True)) for tile in report.lost
        ],
        "metadata_lost": report.metadata_lost,
        "foreign_bytes": report.foreign_bytes,
    }
    if report.pixels_lost:
        _deliver(damage, mask, name, options)
        result |= {"damage_map": str(damage)}
    if not report.complete:
        result |= {"exit_code": CorruptError.exit_code}
        for *_, why in report.lost if options.verbose else ():
            say(f"{name}: {why}")
    if options.quiet < 2:
        say(f"{name}: {report}.")
    _say_untrue(name, archive.untrue(source, options.limits, anew=not report.complete), options)
    return result


def _recover_text(name: str, source: bytes, target: Path, options: Options) -> dict[str, Any]:
    """A text is one piece: it can be had if it is all there, whatever follows it."""
    from codec import text

    data = _decoding(text.unpack, name, source, options, salvage=True)
    header, at = text.read(source, options.limits, salvage=True)
    _deliver(target, data, name, options)
    foreign = len(source) - at - header.length
    if options.quiet < 2:
        say(f"{name}: nothing is lost{f'; there are {foreign} foreign bytes at the end' * bool(foreign)}.")
    return {
        "file": name,
        "output": str(target),
        "bytes_in": len(source),
        "bytes_out": len(data),
        "foreign_bytes": foreign,
    }


def _test_one(name: str, options: Options) -> dict[str, Any]:
    source = files.read_input(name, options.limits.max_memory)
    from codec import archive

    if _is_text(source):
        _decoding(archive.unpack, name, source, options)
        return {"file": name, "ok": True, "bytes_in": len(source), "bytes": _header(source, options).size}
    _decoding(archive.test, name, source, options)
    return {"file": name, "ok": True, "bytes_in": len(source), "subpixels": _header(source, options).samples}


def _list_one(name: str, options: Options) -> dict[str, Any]:
    from codec import container, text  # and not torch
    from codec.listing import way_of

    source = files.read_input(name, options.limits.max_memory)
    if text.is_text(source):
        return {"file": name, **text.info(source), "restores": "exact"}
    header, at = container.read(source, NO_LIMITS)
    return {
        "file": name,
        **container.describe(header, at, len(source)),
        "restores": way_of(header),
        "name": container.name_in(header.metadata),
    }


def _header(source: bytes, options: Options, salvage: bool = False) -> Any:
    if not source:
        raise NotArdmError("the file is empty; expected an .ardm file.")
    from codec import container, text

    if text.is_text(source):
        try:
            return text.read(source, options.limits, salvage)[0]
        except CorruptError as error:
            raise type(error)(
                f"nothing can be recovered, since a text is one piece, not tiles: {error}"
                if salvage
                else str(error)
            ) from error
    return container.read(source, options.limits, salvage)[0]


def _is_text(source: bytes) -> bool:
    from codec import text

    return text.is_text(source)


def _decoding(
    work: Callable[..., Any], name: str, source: bytes, options: Options, salvage: bool = False
) -> Any:
    """`work` on an .ardm file, with a bar. salvage: it may be damaged."""
    header = _header(source, options, salvage)
    if _is_text(source):
        from codec import text

        bar = _Progress(header.size, name, options)
        with bar:
            return text.unpack(
                source, limits=options.limits, device=options.device, progress=bar.update, salvage=salvage
            )
    bar = _Progress(header.samples * header.kind.size, name, options)
    with bar:
        return work(
            source, limits=options.limits, device=options.device, threads=options.threads, progress=bar.update
        )


def _source_and_target(name: str, options: Options, salvage: bool = False) -> tuple[bytes, Path | None]:
    """An .ardm file, and where what is in it goes, which is named by what it is: photo.ppm.ardm -> photo.ppm,
    or photo.ppm.png.
    """
    named = _to_stream(name, options) or options.output
    if not named and Path(name).suffix.lower() != SUFFIX:
        raise InputError(f"the name does not end in {SUFFIX}; say with -o where to write the image.")
    source = files.read_input(name, options.limits.max_memory)

    def restored(path: Path) -> Path:
        _header(source, options, salvage)
        if _is_text(source):
            from codec import text

            kept = text.read(source, options.limits, salvage)[0].name
            return path.with_name(files.restored_name(path.name, kept, ()))
        from codec import archive

        form = archive.format_of(source, options.limits, salvage)
        kept = archive.name_of(source, options.limits, salvage)
        return path.with_name(files.restored_name(path.name, kept, form.endings if form else ()))

    return source, _target(name, options, restored)


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


# ---- running, reporting ------------------------------------------------------------------------------------


def _each(names: tuple[str, ...], options: Options, work: Callable[[str, Options], dict[str, Any]]) -> None:
    worst = 0
    for name in names:
        label = "standard input" if name == files.STREAM else name
        try:
            result = work(name, options)
        except ArdmError as error:
            worst = max(worst, error.exit_code)
            _complain(f"{label}: {error}", options, error.exit_code, name)
        # of a library, halves of which stay behind; what files raise is an ArdmError
        except (ImportError, OSError) as error:
            _complain(
                f"{label}: a library cannot be loaded ({error}): too little memory, or a damaged "
                "installation.",
                options,
                1,
                name,
            )
            raise click.exceptions.Exit(max(worst, 1)) from None
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not any(
                word in str(error) for word in ("memory", "start new thread")
            ):
                raise
            worst = max(worst, 1)
            _complain(f"{label}: not enough memory for this image.", options, 1, name)
        # an argument that only the library can judge, such as a device that is not there
        except ValueError as error:
            worst = max(worst, 1)
            _complain(f"{label}: {error}", options, 1, name)
        else:
            worst = max(worst, result.get("exit_code", 0))
            _report(result, options, work)
    if worst:
        raise click.exceptions.Exit(worst)


def _complain(message: str, options: Options, code: int, name: str) -> None:
    if options.as_json:
        _print(json.dumps({"file": name, "error": message, "exit_code": code}), err=options.stdout)
    if options.quiet < 2:
        say(message)


def say(message: str) -> None:
    """A line on standard error, with the name of the command."""
    with contextlib.suppress(OSError):  # nobody to tell
        click.echo(_tame(f"{click.get_current_context().info_name}: {message}"), err=True)


def _note(message: str, options: Options) -> None:
    """What the owner of a file that is well may want to know."""
    if not options.quiet:
        say(message)


def _print(text: str, err: bool = False) -> None:
    """A line of output. A reader that has gone ends the command as any Unix tool, without a word."""
    try:
        click.echo(_tame(text), err=err)
    except OSError as error:
        if not err:
            files.drop_stdout()
        if not isinstance(error, BrokenPipeError):
            say(f"{'standard error' if err else 'standard output'} cannot be written: {error.strerror}.")
        raise click.exceptions.Exit(1) from None


def _tame(text: str) -> str:
    """Text that does nothing to a terminal: names of files and what files hold may have control characters,
    or none that can be encoded.
    """
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
    encoding = sys.stdout.encoding or "ascii"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _report(result: dict[str, Any], options: Options, work: Callable[..., Any]) -> None:
    to_stream = result.get("output") == files.STREAM
    if options.as_json:
        _print(json.dumps(result), err=to_stream)
    elif work is _list_one and "letters" in result:
        how = (
            f"{result['letters']} letters, order {result['order']}, {result['network_calls']} network "
            f"calls, weights {result['weights']}"
        )
        _print(
            f"{result['file']}: {result['size']} bytes, {result['bytes']} compressed, method "
            f"{result['method']}; {how}; restores {result['restores']}"
        )
    elif work is _list_one:
        kind = f"{result['channels']} x {result['bits_per_channel']} bit" + ", palette" * result["indexed"]
        ways = ", ".join(
            f"{result[way + '_planes']} {way}"
            for way in ("network", "graphics", "fine", "stored")
            if result[way + "_planes"]
        )
        asked = (
            f"{result['order']} order, {result['coding']}, {result['network_calls']} network calls a "
            f"tile, 1 evaluation a pixel, weights {result['weights']}"
        )
        _print(
            f"{result['file']}: {result['width']} x {result['height']}, {kind}, {result['bytes']} bytes, "
            f"{result['bits_per_subpixel']:.3f} bits/subpixel, "
            + (
                f"planes: {ways}; {asked + ', ' if result['network_planes'] else ''}pixels "
                if ways
                else "file "
            )
            + f"{result['pixel_hash']}; restores {result['restores']}"
        )
    elif work is _test_one:
        if not options.quiet:
            _print(f"{result['file']}: ok")
    elif options.verbose or (not options.quiet and sys.stderr.isatty()):
        share = 100 * result["bytes_out"] / max(1, result["bytes_in"])
        way = (
            "; ".join(filter(None, [result.get("restores", ""), result.get("why", "")]))
            if options.verbose
            else ""
        )
        _print(
            f"{result['file']}: {result['bytes_in']} -> {result['bytes_out']} bytes ({share:.1f} %) "
            f"{result['output']} {way}".rstrip(),
            err=True,
        )


class _Progress:
    """A bar on standard error, on a terminal only, once a second has passed."""

    def __init__(self, total: int, name: str, options: Options) -> None:
        self.bar: Any = None
        if options.progress and not options.quiet and not options.as_json and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                total=total,
                desc=_tame(os.path.basename(name)),
                unit="B",
                unit_scale=True,
                delay=1,
                leave=False,
                file=sys.stderr,
            )

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def update(self, done: int) -> None:
        if self.bar is not None:
            self.bar.update(done)


def _options(given: dict[str, Any], **more: Any) -> Options:
    names = given["names"]
    if given["output"] and len(names) > 1:
        raise click.UsageError("-o names one output, but there are several files; use --output-dir.")
    if len(names) > 1 and given["stdout"] and not (given["test"] or given["listing"]):
        raise click.UsageError("-c writes one file to standard output, but there are several.")
    if given["output"] and given["output_dir"]:
        raise click.UsageError("-o and --output-dir exclude each other.")
    if given["remove"] and (given["keep"] or given["stdout"] or given["output"] == files.STREAM):
        raise click.UsageError("--rm does not go with -k or with standard output.")
    if given["remove"] and not more.get("verify", True):
        raise click.UsageError("--rm removes only what was verified; leave out --no-verify.")
    threads = threads_for(given["threads"])
    set_ones = {
        "max_pixels": given["max_pixels"],
        "max_memory": given["memory"],
        "max_calls": given["max_calls"],
    }
    limits = Limits(**{name: value for name, value in set_ones.items() if value is not None})
    return Options(
        given["stdout"],
        given["output"],
        given["output_dir"],
        given["force"],
        given["remove"],
        given["test"],
        given["listing"],
        given["as_json"],
        given["quiet"],
        given["verbose"],
        threads,
        given["device"],
        not given["no_progress"],
        limits,
        **more,
    )


def _parse_order(order: str) -> tuple[str, int | None]:
    """(order, seed) as `compress` takes them."""
    if order in ORDERS:
        return order, None
    name, _, seed = order.partition(":")
    if name != "random" or not seed.isdecimal() or len(seed) > 10 or int(seed) >= 2**32:
        raise click.UsageError(
            f"--order must be auto, lattice, raster or random:SEED with SEED below 2**32, got {order!r}."
        )
    return "lattice", int(seed)
