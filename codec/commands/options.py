"""Options that the commands share, and what they may not be together. Knows click; no files and no images."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import click
from click.shell_completion import CompletionItem

import codec
from codec.commands import files
from codec.commands.places import Place, file_of, place_of
from codec.commands.summary import BEGINNING
from codec.commands.tree import Given, name_contents
from codec.errors import ArdmError, OutputError
from codec.limits import Limits, parse_size
from codec.presets import MAX_THREADS, ORDERS, threads_for
from codec.settings import Settings

LOCAL, RAY = "local", "ray"  # engines: this process, one file after the other; Ray Data


@dataclass
class Options:
    """What both commands share."""

    stdout: bool = False
    output: str | None = None
    output_dir: Place | None = None
    force: bool = False
    remove: bool = False
    test: bool = False
    listing: bool = False
    as_json: bool = False
    quiet: int = 0
    verbose: bool = False
    progress: bool = False
    limits: Limits = field(default_factory=Limits)
    settings: Settings = field(default_factory=Settings)  # device and threads count for decoding too
    exact: bool = False  # the file itself must come back
    pixels: bool = False  # these are enough
    region: tuple[int, int, int, int] | None = None  # left, upper, right, lower: only this is wanted
    preview: int = 0  # longest side of a small picture that is wanted instead; 0: none
    everything: bool = False  # of a folder, too, files that are no images
    resume: bool = False  # a result that is there already is let be, if it is just what would be written
    engine: str = LOCAL
    workers: int | None = None  # of RAY; None: as many as there are cores
    report: Place | None = None  # where RAY's report goes
    stop: Event | None = None  # once it is set, work on this file shall end
    written: set[Hashable] = field(
        default_factory=set
    )  # outputs of this run, which not even -f may overwrite


class _Size(click.ParamType):
    """A size in bytes, as `codec.limits.parse_size` reads it."""

    name = "size"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        try:
            return parse_size(value) if isinstance(value, str) else int(value)
        except ValueError as error:
            self.fail(str(error), parameter, context)


def complete_file(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Tells the shell to complete names of files itself."""
    return [CompletionItem(incomplete, type="file")]


def complete_folder(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The same of folders."""
    return [CompletionItem(incomplete, type="dir")]


threads_option = click.option(
    "-T",
    "--threads",
    type=click.IntRange(0, MAX_THREADS),
    default=0,
    metavar="N",
    help="CPU threads; 0, the default, means all.",
)


def _on_files() -> list[Any]:
    """Which files, and where results go."""
    return [
        click.argument("names", metavar="FILE...", nargs=-1, shell_complete=complete_file),
        click.option("-r", "--recursive", is_flag=True, help="Take all that is in folders, and below."),
        click.option(
            "--files-from",
            "list_name",
            metavar="LIST",
            shell_complete=complete_file,
            help="Take the files that LIST names, too, one on a line ('-' is standard input).",
        ),
        click.option(
            "-0", "--null", is_flag=True, help="A zero byte ends a name in LIST, as of find -print0."
        ),
        click.option(
            "-o",
            "output",
            metavar="OUT",
            shell_complete=complete_file,
            help="Write to OUT ('-' is standard output); for one FILE.",
        ),
        click.option("-c", "--stdout", "stdout", is_flag=True, help="Write to standard output."),
        click.option(
            "--output-dir",
            metavar="DIR",
            shell_complete=complete_folder,
            help="Write the results into DIR, those of -r and --files-from into folders like the sources'.",
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
    ]


def _on_work() -> list[Any]:
    """What the work may take, who does it, and what is said of it."""
    return [
        threads_option,
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
        click.option(
            "--engine",
            type=click.Choice([LOCAL, RAY]),
            default=LOCAL,
            show_default=True,
            help="ray: many files at once, on this machine or a cluster (docs/ray.md).",
        ),
        click.option(
            "--workers",
            type=click.IntRange(1),
            metavar="N",
            help="With --engine ray: processes, of -T cores each (then 1 by default). Default: all cores.",
        ),
        click.option(
            "--report",
            metavar="FILE",
            shell_complete=complete_file,
            help="With --engine ray: write a report of the run there, as JSON.",
        ),
        click.option("--no-progress", is_flag=True, help="No progress bar."),
        click.option("-q", "--quiet", count=True, help="No notes; twice: no error messages either."),
        click.option("-v", "--verbose", is_flag=True, help="Say more."),
        click.version_option(codec.__version__, "-V", "--version"),
        click.help_option("-h", "--help"),
    ]


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of both commands, in the order in which --help shows them."""
    for option in reversed(_on_files() + _on_work()):
        command = option(command)
    return command


def given_of(given: dict[str, Any]) -> Given:
    """What click gives of files. Raises click.UsageError for what does not go together."""
    recursive = given["recursive"] or (given["engine"] == RAY and name_contents(given["names"]))
    given_names = Given(given["names"], given["list_name"], given["null"], recursive)
    if not given_names.names and given_names.list_name is None:
        raise click.UsageError("Missing argument 'FILE...'.")
    if given_names.null and given_names.list_name is None:
        raise click.UsageError("-0 says how the names in a list end; name the list with --files-from.")
    if given_names.list_name == files.STREAM and files.STREAM in given_names.names:
        raise click.UsageError("standard input cannot be both the list and a file of it.")
    return given_names


def options_of(given: dict[str, Any], chosen: dict[str, Any] | None = None, **more: Any) -> Options:
    """The shared options, as click gives them. chosen: fields of `Settings`. Raises click.UsageError for what
    does not go together.
    """
    _check_together(given, verify=(chosen or {}).get("verify", True))
    scaled = given["engine"] == RAY
    threads = given["threads"] or 1 if scaled else threads_for(given["threads"])
    set_ones = {
        "max_pixels": given["max_pixels"],
        "max_memory": given["memory"],
        "max_calls": given["max_calls"],
    }
    try:
        settings = Settings(device=given["device"], threads=threads, **(chosen or {}))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return Options(
        stdout=given["stdout"],
        output=given["output"],
        output_dir=_folder(given["output_dir"]),
        force=given["force"],
        remove=given["remove"],
        test=given["test"],
        listing=given["listing"],
        as_json=given["as_json"],
        quiet=given["quiet"],
        verbose=given["verbose"],
        progress=not given["no_progress"],
        resume=scaled,
        engine=given["engine"],
        workers=given["workers"],
        report=_report(given["report"]) if given["report"] else None,
        limits=Limits(**{name: value for name, value in set_ones.items() if value is not None}),
        settings=settings,
        **more,
    )


def _folder(name: str | None) -> Place | None:
    """The folder for results. Raises click.UsageError for what can be none."""
    if not name:
        return None
    if name == files.STREAM:
        raise click.UsageError("--output-dir names a folder, got '-'; -c writes to standard output.")
    path = file_of(name)
    try:
        path.check_folder()
    except OutputError as error:
        raise click.UsageError(f"--output-dir: {error}") from error
    return path


def _report(name: str) -> Place:
    """Where a report goes. Raises click.UsageError for what is there already and is none."""
    place = place_of(name)
    if place.stream:
        raise click.UsageError("--report names a file, got '-'; --json writes to standard output.")
    try:
        if place.exists() and not place.read_start(len(BEGINNING)) == BEGINNING:
            raise click.UsageError(f"--report: {name} exists, and is no report of an earlier run.")
    except ArdmError as error:
        raise click.UsageError(f"--report: {name}: {error}") from error
    return place


def _check_scaled(given: dict[str, Any]) -> None:
    """What goes only with, or not with, an engine for many files."""
    alone = {
        "-c": given["stdout"],
        "-o": given["output"],
        "--rm": given["remove"],
        "-t": given["test"],
        "-l": given["listing"],
        "--recover": given.get("recover"),
        "--region": given.get("region"),
        "--preview": given.get("preview"),
        "'-' as a FILE": files.STREAM in given["names"],
    }
    asked = [name for name, value in alone.items() if value]
    if given["engine"] == RAY and asked:
        raise click.UsageError(
            "--engine ray compresses or restores whole files into files, and keeps the sources; leave out "
            f"{', '.join(asked)}."
        )
    if given["engine"] != RAY and (given["workers"] or given["report"]):
        raise click.UsageError("--workers and --report go with --engine ray.")


def _check_together(given: dict[str, Any], verify: bool) -> None:
    _check_scaled(given)
    many = given_of(given).many
    if given["output"] and many:
        raise click.UsageError("-o names one output, but there are several files; use --output-dir.")
    if many and given["stdout"] and not (given["test"] or given["listing"]):
        raise click.UsageError("-c writes one file to standard output, but there are several.")
    if given["output"] and given["output_dir"]:
        raise click.UsageError("-o and --output-dir exclude each other.")
    if given["remove"] and (given["keep"] or given["stdout"] or given["output"] == files.STREAM):
        raise click.UsageError("--rm does not go with -k or with standard output.")
    if given["remove"] and not verify:
        raise click.UsageError("--rm removes only what was verified; leave out --no-verify.")


def parse_order(order: str) -> tuple[str, int | None]:
    """(order, seed) as `compress` takes them."""
    if order in ORDERS:
        return order, None
    name, _, seed = order.partition(":")
    if name != "random" or not seed.isdecimal() or len(seed) > 10 or int(seed) >= 2**32:
        raise click.UsageError(
            f"--order must be auto, lattice, raster or random:SEED with SEED below 2**32, got {order!r}."
        )
    return "lattice", int(seed)


class Region(click.ParamType):
    """X,Y,WIDTH,HEIGHT in pixels; its value is a box (left, upper, right, lower)."""

    name = "region"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        numbers = value.split(",")
        if len(numbers) != 4 or not all(n.strip().isdecimal() and len(n) < 12 for n in numbers):
            self.fail(f"expected X,Y,WIDTH,HEIGHT in pixels, such as 100,50,640,480, got {value!r}.")
        x, y, width, height = map(int, numbers)
        return x, y, x + width, y + height
