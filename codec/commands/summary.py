"""`Row` and `Report`: what became of each file of a large run, and of the run, as values, JSON and a table.
Knows numbers and names; no files, no engine.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

DONE, SKIPPED, ERROR, LEFT = "done", "skipped", "error", "left"
COMPRESS, DECOMPRESS = "compress", "decompress"  # commands
VERSION = 1  # of the report's fields
FIRST = "ardm_report"  # field
BEGINNING = f'{{"{FIRST}"'.encode()  # of a report


@dataclass(frozen=True)
class Row:
    """What became of one file."""

    index: int  # of the file among all of the run, from 0
    source: str
    status: str  # DONE; SKIPPED: was done already; ERROR; LEFT: is not of those that a folder is searched for
    target: str = ""  # empty if there is none
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0  # of one worker, reading and writing included
    error: str = ""  # a sentence, or why it was left
    exit_code: int = 0  # as the commands have it
    notes: tuple[str, ...] = ()  # what the owner of a file that is well may want to know
    facts: dict[str, Any] = field(default_factory=dict)  # what else the commands' --json says

    def pack(self) -> str:
        """As one line of ASCII, whatever is in names."""
        return json.dumps(asdict(self))

    @staticmethod
    def unpack(text: str) -> Row:
        values = json.loads(text)
        return Row(**{**values, "notes": tuple(values["notes"])})

    def as_json(self) -> dict[str, Any]:
        """What the commands' --json says of a file, and status and seconds."""
        last = {"status": self.status, "seconds": self.seconds}
        if self.status == ERROR:
            return {"file": self.source, "error": self.error, "exit_code": self.exit_code, **last}
        sizes = {"bytes_in": self.bytes_in, "bytes_out": self.bytes_out}
        return {"file": self.source, "output": self.target, **sizes, **self.facts, **last}


@dataclass(frozen=True)
class Report:
    """What became of a run. rows: of all files but those that were left, in the order in which they were
    named or found.
    """

    command: str  # COMPRESS or DECOMPRESS
    rows: tuple[Row, ...]
    left: int  # files that were not of those which a folder was searched for
    seconds: float  # of the clock, with the start of the workers
    workers: int
    cores: int  # of each worker
    versions: dict[str, str] = field(default_factory=dict)  # of ardm and of what ran it

    def count(self, status: str) -> int:
        return sum(row.status == status for row in self.rows)

    @property
    def bytes_in(self) -> int:
        """Of all sources whose results are there."""
        return sum(row.bytes_in for row in self.rows if row.status != ERROR)

    @property
    def bytes_out(self) -> int:
        return sum(row.bytes_out for row in self.rows if row.status != ERROR)

    @property
    def ratio(self) -> float:
        """bytes_out / bytes_in; 0 if there is nothing."""
        return self.bytes_out / self.bytes_in if self.bytes_in else 0.0

    @property
    def files_per_second(self) -> float:
        """That were done, not skipped."""
        return self.count(DONE) / self.seconds if self.seconds else 0.0

    @property
    def files_per_second_per_core(self) -> float:
        return self.files_per_second / (self.workers * self.cores)

    @property
    def seconds_of_work(self) -> float:
        """Of all workers together: reading, coding, verifying, writing."""
        return sum(row.seconds for row in self.rows)

    @property
    def exit_code(self) -> int:
        """The largest of any file, as the commands return."""
        return max((row.exit_code for row in self.rows), default=0)

    def dumps(self) -> str:
        """`as_json` as text, with one row on a line."""
        told = self.as_json()
        rows = ",\n".join(json.dumps(row) for row in told.pop("rows"))
        return f'{json.dumps(told)[:-1]}, "rows": [\n{rows}\n]}}\n'

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        counts = {status: self.count(status) for status in (DONE, SKIPPED, ERROR)}
        return {
            FIRST: VERSION,
            "command": self.command,
            "versions": self.versions,
            "exit_code": self.exit_code,
            "files": {**counts, LEFT: self.left},
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "ratio": round(self.ratio, 6),
            "seconds": round(self.seconds, 3),
            "seconds_of_work": round(self.seconds_of_work, 3),
            "workers": self.workers,
            "cores_per_worker": self.cores,
            "files_per_second": round(self.files_per_second, 3),
            "files_per_second_per_core": round(self.files_per_second_per_core, 3),
            "rows": [row.as_json() for row in self.rows],
        }

    def table(self) -> str:
        """For people."""
        left = f", {self.left:,} not taken" if self.left else ""
        done, skipped, failed = (self.count(status) for status in (DONE, SKIPPED, ERROR))
        lines = {
            "files": f"{done:,} done, {skipped:,} skipped (done already), {failed:,} failed{left}",
            "bytes": f"{self.bytes_in:,} in, {self.bytes_out:,} out ({100 * self.ratio:.1f} %)",
            "time": f"{self.seconds:.1f} s, {self.seconds_of_work:.1f} s of work",
            "workers": f"{self.workers:,}, of {self.cores} core{'s' * (self.cores != 1)} each",
            "files/s": f"{self.files_per_second:.2f}, per core {self.files_per_second_per_core:.2f}",
        }
        return "\n".join(f"{name:<9}{value}" for name, value in lines.items())
