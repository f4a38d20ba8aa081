"""The command ardm-inspect: what an .ardm file says of itself, or a page of all there is to see in it. Knows
options and outputs; `codec.inspect` looks.

Exit codes: as of ardm-decompress.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

import codec
from codec.commands import cli, files
from codec.commands.options import Options, complete_file, threads_option
from codec.commands.places import Place, Stream, place_of
from codec.commands.report import note, put
from codec.commands.tree import Given, Item
from codec.limits import Limits
from codec.presets import MAX_PIXELS, threads_for
from codec.settings import Settings

if TYPE_CHECKING:
    from codec.inspect.facts import Facts


@click.command(epilog=cli.EXIT_HELP)
@click.argument("names", metavar="FILE...", nargs=-1, required=True, shell_complete=complete_file)
@click.option(
    "--html",
    "output",
    metavar="PAGE",
    shell_complete=complete_file,
    help="Decode and measure one FILE, and write a page with pictures and plots; '-' is standard output.",
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    metavar="N",
    help="For --html: measure so many pixels at most, of tiles in the middle. Default: a million.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file on standard output.")
@click.option("-f", "--force", is_flag=True, help="Overwrite an existing page.")
@threads_option
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=MAX_PIXELS,
    metavar="N",
    help="For --html: refuse larger images. Default: 178 million.",
)
@click.option("-q", "--quiet", count=True, help="No notes; twice: no error messages either.")
@click.version_option(codec.__version__, "-V", "--version")
@click.help_option("-h", "--help")
def command(names: tuple[str, ...], sample: int | None, **given: Any) -> None:
    """Look at .ardm files.

    \b
    ardm-inspect photo.ardm                        # what the file says, without decoding it
    ardm-inspect photo.ardm --html report.html     # where its bits go, call by call, beside other formats

    The page needs no network and no other file. '-' reads standard input.
    """
    if given["output"] and len(names) > 1:
        raise click.UsageError("--html writes one page, but there are several files.")
    options = Options(
        stdout=given["output"] == files.STREAM,
        output=given["output"],
        force=given["force"],
        as_json=given["as_json"],
        quiet=given["quiet"],
        limits=Limits(max_pixels=given["max_pixels"]),
        settings=Settings(threads=threads_for(given["threads"])),
    )

    def page_one(item: Item, options: Options) -> dict[str, Any]:
        return _page(item.source, options, sample)

    do = page_one if options.output else _summary
    cli.each(Given(names), options, do, lambda result, options: "")


def main() -> None:
    """Entry point of ardm-inspect."""
    cli.run(command, sys.argv[1:], "ardm-inspect")


def _summary(item: Item, options: Options) -> dict[str, Any]:
    """Say what the header says, which is all that is read."""
    name = item.source.name
    with item.source.open() as file:
        said = _facts(file)
    if not options.as_json:
        from codec.inspect.facts import by_method

        rows = [(row.label, row.value) for row in (*said.rows, *said.metadata)]
        rows += [
            (f"Coded as {m}", f"{n:,} planes of tiles, {size:,} bytes") for m, n, size in by_method(said)
        ]
        wide = max(len(label) for label, _ in rows) + 2
        put(name)
        for label, value in rows:
            put(f"  {label:{wide}}{value}")
    return {"file": name, **said.described}


def _facts(file: Any) -> Facts:
    """Of a file object, of which only the beginning is read."""
    from codec.commands.contents import look_into
    from codec.inspect import facts

    seen = look_into(file)
    return facts.of_text(*seen) if isinstance(seen, tuple) else facts.of_image(seen)


def _page(place: Place, options: Options, sample: int | None) -> dict[str, Any]:
    """Write the page of a file."""
    assert options.output is not None
    target = place_of(options.output)
    if not target.stream:
        target.check_target(place, options.force)
    source = place.read()
    from codec.inspect import page, survey

    label = place.label if place.stream else place.base
    seen = survey(source, label, sample=sample, limits=options.limits, threads=options.settings.threads)
    data = page(seen).encode()
    target.write(data, Stream(), options.force)  # its mode and times are its own
    if not target.stream:
        note(f"{place.label}: {target.name}, {len(data):,} bytes", options)
    return {"file": place.name, "output": options.output, **seen.facts.described}


if __name__ == "__main__":
    main()
