"""A command with --engine ray: says what became of the files as it becomes known, and sums it up. Knows rows
and a report; `codec.plugins.ray` does the work.
"""

from __future__ import annotations

import click

from codec.commands import report
from codec.commands.options import Options
from codec.commands.outcome import Failure, Outcomes
from codec.commands.places import Left, Place, Stream
from codec.commands.summary import ERROR, LEFT, Report, Row
from codec.commands.tree import Item
from codec.errors import ArdmError


def each(command: str, items: list[Item], options: Options, told: Outcomes) -> None:
    """Compress or decompress what was found. command: as of `Report`. Raises click's Exit as `Outcomes.end`
    does, once the report is written.
    """
    try:
        from codec.plugins import ray as engine

        run = engine.Run(command, items, options, engine.Workers(options.workers, options.settings.threads))
    except ArdmError as error:
        report.complain(f"--engine ray: {error}", options, error.exit_code, "")
        raise click.exceptions.Exit(error.exit_code) from None
    with report.Progress(len(items), command, options, unit=" files") as bar:
        for row in run.rows():
            bar.update(1)
            _tell(row, items[row.index].source, options, told)
    if options.report:
        _write(run.report(), options.report, options, told)
    if not options.quiet:
        click.echo(run.report().table(), err=True)
    told.end()


def _tell(row: Row, source: Place, options: Options, told: Outcomes) -> None:
    for line in row.notes:
        report.say(line)
    if row.status == LEFT:
        told.left_out(source.label, Left(row.error))
    elif row.status == ERROR:
        told.failed(source.label, row.source, Failure(row.error, row.exit_code))
    else:
        told.done(row.as_json())


def _write(report: Report, place: Place, options: Options, told: Outcomes) -> None:
    """All of a report, or nothing; over an earlier one."""
    try:
        place.write(report.dumps().encode(), Stream(), force=True)
    except ArdmError as error:
        told.failed(place.label, place.name, Failure(str(error), error.exit_code))
