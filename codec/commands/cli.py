"""The commands ardm-compress and ardm-decompress: their options, their exit codes, what is said of each file.
Knows no files and no images: `codec.commands.work` does each.

Exit codes: 0 all well; 1 a file failed (cannot be read, exists, refused); 2 wrong usage; 4 damaged data; 5
not supported by this release; 130 / 143 ended by a signal. With several files the largest code that occurred
is returned, and the others are still done.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import click

from codec.commands import abreast, files, report, scale, tree, work
from codec.commands.abreast import Do, Done
from codec.commands.options import RAY, Options, Region, given_of, options_of, parse_order, shared_options
from codec.commands.outcome import Outcomes, failure_of
from codec.commands.places import LeftOut
from codec.commands.summary import COMPRESS, DECOMPRESS
from codec.commands.tree import Given
from codec.presets import PRESETS

PRESET_HELP = f"-1 quickest ({PRESETS[1]}), -2 to -8 the default, -9 smallest ({PRESETS[9]})"
EXIT_HELP = (
    "Exit codes: 0 done; 1 a file failed; 2 wrong usage; 4 damaged data; 5 not supported by this "
    "release; 130, 143 interrupted."
)


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
    help=(
        "The smallest file that this release can make: images by a larger network, up to 1024 x 1024 in one "
        "tile, which takes three times as long; texts with the network, however little it gains."
    ),
)
@click.option(
    "--order",
    metavar="ORDER",
    default="auto",
    show_default=True,
    help=(
        "raster, lattice, auto (what the budget allows and measured bits favour), or random:SEED (larger "
        "files; for study). Texts: raster is without the network, lattice with it."
    ),
)
@click.option(
    "--plain",
    is_flag=True,
    help=(
        "Do not learn from the image while coding it: the network alone; of texts, the reverse. Quicker, "
        "larger files."
    ),
)
@click.option(
    "--quick",
    is_flag=True,
    help="As --plain, by a smaller network, in raster order: quicker still. What -1 stands for.",
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
@click.option("--all", "everything", is_flag=True, help="With -r: all files, not only images.")
@click.option("--no-verify", is_flag=True, help="Do not decode the result to compare it with the source.")
def compress_command(
    budget: int | None,
    best: bool,
    order: str,
    exact: bool,
    pixels: bool,
    everything: bool,
    no_verify: bool,
    **given: Any,
) -> None:
    """Compress images, text and any other files without loss: photo.png -> photo.ardm, book.txt ->
    book.txt.ardm. The source is kept.

    PBM, PGM, PPM, PAM, BMP, QOI, .npy and uncompressed TIFF come back byte for byte; PNG with all its chunks;
    other TIFF, GIF and lossless WebP as PNG, or byte for byte if a PNG cannot hold all that is in them.

    All other files come back byte for byte, JPEG too; English text is what the model for text knows. Damaged
    images are kept with --exact only.

    '-' reads standard input and writes standard output. Presets: PRESETS.
    """
    alone = {name: given.pop(name) for name in ("plain", "quick")}
    order, seed = parse_order(order)
    if exact and pixels:
        raise click.UsageError("--exact keeps more than pixels; leave out --pixels.")
    chosen = {"verify": not no_verify, "budget": budget, "order": order, "seed": seed, "best": best, **alone}
    options = options_of(given, chosen, exact=exact, pixels=pixels, everything=everything)
    each(given_of(given), options, work.compress_one)


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
@click.option(
    "--region",
    type=Region(),
    metavar="X,Y,W,H",
    help="Decode a part of an image only, and the tiles that it touches: photo.region.png.",
)
@click.option(
    "--preview",
    type=click.IntRange(1),
    metavar="N",
    help="A picture with sides of at most N pixels: photo.preview.png. Quick in lattice order.",
)
def decompress_command(
    decompress: bool,
    recover: bool,
    region: tuple[int, int, int, int] | None,
    preview: int | None,
    **given: Any,
) -> None:
    """Restore files: photo.ardm -> photo.png, book.txt.ardm -> book.txt, bit for bit. The source is kept.

    '-' reads standard input and writes standard output.
    """
    parts = {"recover": recover, "region": region, "preview": preview}
    options = options_of({**given, **parts}, region=region, preview=preview or 0)
    partly = bool(region or preview)
    if partly and ((region and preview) or recover or options.test or options.listing or options.remove):
        raise click.UsageError(
            "--region or --preview gives a part of an image and keeps the source; leave out --recover, --rm, "
            "-t, -l, and one of the two."
        )
    if recover and (
        options.stdout or options.output == files.STREAM or options.remove or options.test or options.listing
    ):
        raise click.UsageError(
            "--recover writes two files and keeps the source; leave out -c, -o -, --rm, -t and -l."
        )
    do = work.part_one if partly else work.recover_one if recover else work.decompress_one
    each(given_of(given), options, do)


def compress_main() -> None:
    """Entry point of ardm-compress: presets -1 to -9 become options, then click takes over."""
    arguments = []
    literal = False
    for argument in sys.argv[1:]:
        literal = literal or argument == "--"
        is_preset = not literal and len(argument) == 2 and argument[0] == "-" and argument[1] in "123456789"
        meant = PRESETS[int(argument[1])] if is_preset else argument
        arguments += [meant] if meant or not is_preset else []
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


Line = Callable[[dict[str, Any], Options], str]
ABREAST = (work.compress_one, work.decompress_one, work.test_one)  # what several files may have done at once


def each(given: Given, options: Options, do: Do, line: Line = report.line_of_work) -> None:
    """Do something to every file, or list or test it, if the options say so. line: what is said of each."""
    if options.listing:
        do, line = work.list_one, report.line_of_listing
    elif options.test:
        do, line = work.test_one, report.line_of_test
    packing = do is work.compress_one
    items = tree.items(given, archives=not packing)
    told = Outcomes(options, line)
    command = COMPRESS if packing else DECOMPRESS
    if options.engine == RAY:
        scale.each(command, items, options, told)
        return
    alone = options.stdout or options.output or do not in ABREAST
    with closing(abreast.worked(items, options, do, command, alone=bool(alone))) as all_done:
        for done in all_done:
            _tell(done, told)
    told.end()


def _tell(done: Done, told: Outcomes) -> None:
    """Say what became of a file. Raises what is a mistake of this program."""
    for message in done.heard:
        report.say(message)
    place, error = done.item.source, done.error
    if isinstance(error, LeftOut):
        told.left_out(place.label, error.kind)
    elif error is None:
        told.done(done.result)
    elif failure := failure_of(error):
        told.failed(place.label, place.name, failure)
    else:
        raise error
