"""What the commands say: notes, errors, results for people or as JSON, a progress bar. Knows text and
streams; no files and no images.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from threading import Event
from typing import Any

import click

from codec.commands import files
from codec.commands.options import Options
from codec.commands.summary import SKIPPED


def complain(message: str, options: Options, code: int, name: str) -> None:
    """Say that a file failed."""
    if options.as_json:
        put(json.dumps({"file": name, "error": message, "exit_code": code}), err=options.stdout)
    if options.quiet < 2:
        say(message)


_heard: ContextVar[list[str] | None] = ContextVar("heard", default=None)


@contextlib.contextmanager
def hearing() -> Iterator[list[str]]:
    """Within, what would be said on standard error is gathered in a list instead."""
    heard: list[str] = []
    before = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(before)


def say(message: str) -> None:
    """A line on standard error, with the name of the command."""
    heard = _heard.get()
    if heard is not None:
        heard.append(message)
        return
    with contextlib.suppress(OSError):  # nobody to tell
        click.echo(tame(f"{click.get_current_context().info_name}: {message}"), err=True)


def note(message: str, options: Options) -> None:
    """What the owner of a file that is well may want to know."""
    if not options.quiet:
        say(message)


def put(text: str, err: bool = False) -> None:
    """A line of output. A reader that has gone ends the command as any Unix tool, without a word."""
    try:
        click.echo(tame(text), err=err)
    except OSError as error:
        if not err:
            files.drop_stdout()
        if not isinstance(error, BrokenPipeError):
            say(f"{'standard error' if err else 'standard output'} cannot be written: {error.strerror}.")
        raise click.exceptions.Exit(1) from None


def tame(text: str) -> str:
    """Text that does nothing to a terminal: names of files and what files hold may have control characters,
    or none that can be encoded.
    """
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
    encoding = sys.stdout.encoding or "ascii"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def report(result: dict[str, Any], options: Options, line: Callable[[dict[str, Any], Options], str]) -> None:
    """The result of one file: as JSON, or as the line for people that goes with the work; none if empty."""
    to_stream = result.get("output") == files.STREAM
    if options.as_json:
        put(json.dumps(result), err=to_stream)
    elif shown := line(result, options):
        put(shown, err="bytes_out" in result)


def line_of_text(result: dict[str, Any]) -> str:
    """What -l says of a text."""
    how = (
        f"{result['letters']} letters, order {result['order']}, {result['network_calls']} network "
        f"calls, weights {result['weights']}"
    )
    return (
        f"{result['file']}: {result['size']} bytes, {result['bytes']} compressed, method "
        f"{result['method']}; {how}; restores {result['restores']}"
    )


def line_of_image(result: dict[str, Any]) -> str:
    """What -l says of an image."""
    from codec.container import LISTED_PLANES

    kind = f"{result['channels']} x {result['bits_per_channel']} bit" + ", palette" * result["indexed"]
    ways = ", ".join(
        f"{result[label + '_planes']} {label}" for label in LISTED_PLANES if result[label + "_planes"]
    )
    asked = (
        f"{result['order']} order, {result['coding']}, {result['network_calls']} network calls a "
        f"tile, 1 evaluation a pixel, weights {result['weights']}"
    )
    network = asked + ", " if result["evaluations_per_pixel"] else ""
    coded = f"planes: {ways}; {network}pixels " if ways else "file "
    return (
        f"{result['file']}: {result['width']} x {result['height']}, {kind}, {result['bytes']} bytes, "
        f"{result['bits_per_subpixel']:.3f} bits/subpixel, {coded}{result['pixel_hash']}; restores "
        f"{result['restores']}"
    )


def line_of_listing(result: dict[str, Any], options: Options) -> str:
    """What -l says."""
    return line_of_text(result) if "letters" in result else line_of_image(result)


def line_of_test(result: dict[str, Any], options: Options) -> str:
    """What -t says of a sound file."""
    return "" if options.quiet else f"{result['file']}: ok"


def line_of_work(result: dict[str, Any], options: Options) -> str:
    """What became of a file that was compressed or restored, if anybody watches."""
    if not options.verbose and (options.quiet or not sys.stderr.isatty()):
        return ""
    if result.get("status") == SKIPPED:
        return f"{result['file']}: done already: {result['output']}"
    share = 100 * result["bytes_out"] / max(1, result["bytes_in"])
    said = [result.get("restores", ""), result.get("why", "")] if options.verbose else []
    return (
        f"{result['file']}: {result['bytes_in']} -> {result['bytes_out']} bytes ({share:.1f} %) "
        f"{result['output']} {'; '.join(filter(None, said))}".rstrip()
    )


class Progress:
    """A bar on standard error, on a terminal only, once a second has passed; and where work notices that it
    shall end.
    """

    def __init__(self, total: int, name: str, options: Options, unit: str = "B") -> None:
        self.stop: Event | None = options.stop
        self.bar: Any = None
        if options.progress and not options.quiet and not options.as_json and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                total=total,
                desc=tame(os.path.basename(name)),
                unit=unit,
                unit_scale=unit == "B",
                delay=1,
                leave=False,
                file=sys.stderr,
            )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def update(self, done: int) -> None:
        """Raises KeyboardInterrupt once the work shall end."""
        if self.stop and self.stop.is_set():
            raise KeyboardInterrupt
        if self.bar is not None:
            self.bar.update(done)
