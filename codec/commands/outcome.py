"""What becomes of files: errors as sentences and exit codes, and what is said of one after the other. Knows
results and errors; not what is done with files, nor where.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from codec.commands.options import Options
from codec.commands.places import Left
from codec.commands.report import complain, note, report
from codec.errors import ArdmError


@dataclass(frozen=True)
class Failure:
    """Why something could not be done with a file."""

    said: str
    exit_code: int
    final: bool = False  # what follows would fail, too


def failure_of(error: Exception) -> Failure | None:
    """What is said of an error; None if it is a mistake of this program."""
    if isinstance(error, ArdmError):
        return Failure(str(error), error.exit_code)
    # of a library, halves of which stay behind; what files raise is an ArdmError
    if isinstance(error, ImportError | OSError):
        said = f"a library cannot be loaded ({error}): too little memory, or a damaged installation."
        return Failure(said, 1, final=True)
    words = ("memory", "start new thread")
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    ):
        return Failure("not enough memory for this image.", 1)
    # an argument that only the library can judge, such as a device that is not there
    return Failure(str(error), 1) if isinstance(error, ValueError) else None


class Outcomes:
    """Says what became of each file. line: of a result, for people."""

    def __init__(self, options: Options, line: Callable[[dict[str, Any], Options], str]) -> None:
        self.options, self.line = options, line
        self.worst = 0  # exit code
        self.left: Counter[Left] = Counter()
        self.count = 0

    def done(self, result: dict[str, Any]) -> None:
        self.count += 1
        self.worst = max(self.worst, result.get("exit_code", 0))
        report(result, self.options, self.line)

    def failed(self, label: str, name: str, failure: Failure) -> None:
        """label, name: of the file, for people and for programs. Raises click's Exit if all is over."""
        self.count += 1
        self.worst = max(self.worst, failure.exit_code)
        complain(f"{label}: {failure.said}", self.options, failure.exit_code, name)
        if failure.final:
            raise click.exceptions.Exit(self.worst)

    def left_out(self, label: str, kind: Left) -> None:
        self.count += 1
        self.left[kind] += 1
        if self.options.verbose:
            note(f"{label}: not taken: {kind}.", self.options)

    def end(self) -> None:
        """Say how much of what was found was not taken. Raises click's Exit if any file failed."""
        if self.left:
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(self.left.items()))
            note(f"not taken: {counts}.", self.options)
        if self.count == self.left.total():
            note("there was nothing to do.", self.options)
        if self.worst:
            raise click.exceptions.Exit(self.worst)
