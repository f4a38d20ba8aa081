"""Many files at once, on one machine or a cluster, by Ray Data: `compress_files`, `decompress_files`, and
`Run`, which `--engine ray` uses. Needs `ardm[ray]`, which is imported by the first run.

Knows which file is worked on where, and what becomes of one that ends its worker. What is done with a file,
and where its result goes, is known in `codec.commands.work` alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from codec.commands import report, work
from codec.commands.collisions import groups
from codec.commands.options import RAY, Options
from codec.commands.outcome import failure_of
from codec.commands.places import Left, LeftOut, file_of
from codec.commands.summary import COMPRESS, DECOMPRESS, DONE, ERROR, LEFT, Report, Row
from codec.commands.tree import Given, Item, items, name_contents
from codec.errors import InputError
from codec.limits import Limits
from codec.plugins.cluster import Workers, connected
from codec.settings import Settings
from codec.version import __version__

__all__ = ["Report", "Row", "Run", "Workers", "compress_files", "decompress_files"]

ATTEMPTS = 3  # how often a file is begun: those whose worker ended before count
SHARES = 16  # pieces of work that each worker has, or more, so that all end at about the same time
MOST = 32  # files in a piece of work, so that little is begun anew when a worker ends
IN_FLIGHT = 2  # pieces of work at a worker, so that it need not wait for the next


def compress_files(
    sources: Iterable[str | os.PathLike[str]],
    output_dir: str | os.PathLike[str] | None = None,
    *,
    exact: bool = False,
    pixels: bool = False,
    force: bool = False,
    settings: Settings | None = None,
    limits: Limits | None = None,
    workers: Workers | None = None,
) -> Report:
    """Compress files, as `ardm-compress --engine ray` does: paths and URLs of files, and of folders if they
    end in "/", of which all images are meant.

    output_dir: a folder, also behind a URL; None: beside the sources. exact, pixels: as of
    `codec.archive.pack`. force: make everything anew, even what is done. settings, limits: of each file;
    `workers.cores` is the number of threads.

    What goes wrong with a file is in its row. Raises InputError if Ray is not installed or cannot be reached,
    OutputError if output_dir is a file, ValueError for workers that cannot be.
    """
    options = _options(output_dir, force, settings, limits, workers)
    return _all(COMPRESS, sources, replace(options, exact=exact, pixels=pixels), workers)


def decompress_files(
    sources: Iterable[str | os.PathLike[str]],
    output_dir: str | os.PathLike[str] | None = None,
    *,
    force: bool = False,
    settings: Settings | None = None,
    limits: Limits | None = None,
    workers: Workers | None = None,
) -> Report:
    """Inverse of `compress_files`, as `ardm-decompress --engine ray`. Of settings only the device counts."""
    return _all(DECOMPRESS, sources, _options(output_dir, force, settings, limits, workers), workers)


def _options(
    output_dir: str | os.PathLike[str] | None,
    force: bool,
    settings: Settings | None,
    limits: Limits | None,
    workers: Workers | None,
) -> Options:
    folder = None if output_dir is None else file_of(os.fspath(output_dir))
    if folder:
        folder.check_folder()
    return Options(
        output_dir=folder,
        force=force,
        limits=limits or Limits(),
        settings=replace(settings or Settings(), threads=(workers or Workers()).cores),
        resume=True,
        engine=RAY,
    )


def _all(
    command: str, sources: Iterable[str | os.PathLike[str]], options: Options, workers: Workers | None
) -> Report:
    if isinstance(sources, str | os.PathLike):
        raise InputError("expected several files, such as a list of paths, got one.")
    names = tuple(os.fspath(source) for source in sources)
    all_items = items(Given(names, recursive=name_contents(names)), archives=command == DECOMPRESS)
    run = Run(command, all_items, options, workers or Workers())
    for _ in run.rows():
        pass
    return run.report()


class Run:
    """Files to work on, and what has become of them. Raises InputError if there is no Ray."""

    def __init__(self, command: str, items: list[Item], options: Options, workers: Workers) -> None:
        self._began = time.monotonic()
        self._command, self._found, self._options = command, items, options
        self._groups = groups(items, command, own_folders=options.output_dir is None)
        self._left = 0
        self._rows: dict[int, Row] = {}
        self._seconds = 0.0
        ray, workers = connected(workers, options.settings.device, options.verbose)
        count = min(workers.count or 1, max(1, len(self._groups)))
        self._workers = replace(workers, count=count)
        self._ray_version = ray.__version__

    def rows(self) -> Iterator[Row]:
        """What becomes of the files, as it becomes known, in the order in which they are given. All are
        there in the end, also if Ray ends the run.
        """
        refused = [_refused(i, item) for i, item in enumerate(self._found) if item.problem]
        refused.reverse()
        for row in self._worked():
            while refused and refused[-1].index < row.index:
                yield self._kept(refused.pop())
            yield self._kept(row)
        yield from map(self._kept, reversed(refused))
        self._seconds = time.monotonic() - self._began

    def report(self) -> Report:
        """Of all rows that were taken from `rows`."""
        rows = tuple(self._rows[index] for index in sorted(self._rows))
        versions = {"ardm": __version__, "ray": self._ray_version}
        count, cores = self._workers.count or 1, self._workers.cores
        return Report(self._command, rows, self._left, self._seconds, count, cores, versions)

    def _kept(self, row: Row) -> Row:
        if row.status == LEFT:
            self._left += 1
        else:
            self._rows[row.index] = row
        return row

    def _worked(self) -> Iterator[Row]:
        """Of all files that a worker is given. One may come twice if Ray loses what it has."""
        from ray.exceptions import RayError

        missing = {index for group in self._groups for index in group}
        why = "it was lost"
        try:
            for row in self._from_ray() if missing else ():
                if row.index in missing:
                    missing.discard(row.index)
                    yield row
        except RayError as error:
            why = str(error).strip().splitlines()[0]
        for index in sorted(missing):
            said = f"not done, because Ray ended the run: {why}"
            yield Row(index, self._found[index].source.name, ERROR, error=said, exit_code=1)

    def _from_ray(self) -> Iterator[Row]:
        import ray.data

        count, cores = self._workers.count or 1, self._workers.cores
        sent = [{"work": _pack(group, self._found)} for group in self._groups]
        pieces = -(-len(sent) // max(1, min(MOST, len(sent) // (count * SHARES))))
        ledger = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Ledger).remote()
        job = Job(self._command, replace(self._options, written=set()), _working_folder(), ATTEMPTS)
        data = ray.data.from_items(sent, override_num_blocks=pieces).map_batches(
            FileWorker,
            fn_constructor_args=(job, ledger),
            batch_size=None,  # a piece of work
            compute=ray.data.ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=IN_FLIGHT),
            num_cpus=cores,
            num_gpus=self._workers.gpus,
        )
        data.context.enable_progress_bars = False
        data.context.execution_options.preserve_order = True
        for row in data.iter_rows():
            yield Row.unpack(row["row"])


@dataclass(frozen=True)
class Job:
    """What a worker is told. folder: what names are relative to."""

    command: str
    options: Options
    folder: str
    attempts: int


class Ledger:
    """An actor that knows what outlives a worker: how often each file was begun, and what became of it."""

    def __init__(self) -> None:
        self._begun: dict[int, int] = {}
        self._done: dict[int, str] = {}

    def begin(self, index: int) -> tuple[int, str]:
        """(how often a file has been begun, with this time; its row, if it is done)."""
        self._begun[index] = self._begun.get(index, 0) + 1
        return self._begun[index], self._done.get(index, "")

    def done(self, index: int, row: str) -> None:
        self._done[index] = row


class FileWorker:
    """An actor of Ray Data: works on one file after the other. It has the weights from its beginning on."""

    def __init__(self, job: Job, ledger: Any) -> None:
        from codec.scheduling import weights_for
        from codec.tiles import load_predictor

        self._ledger, self._options, self._attempts = ledger, job.options, job.attempts
        self._do = {COMPRESS: work.compress_one, DECOMPRESS: work.decompress_one}[job.command]
        with contextlib.suppress(OSError):  # on another machine; URLs and absolute paths do not need it
            os.chdir(job.folder)
        with contextlib.suppress(Exception):  # each file that needs them will say what is wrong
            load_predictor(job.options.settings.device, weights_for(job.options.settings))

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """batch: "work", of each group of files what `_pack` gives. Returns their rows."""
        rows: list[str] = []
        for packed in batch["work"]:
            self._options.written.clear()  # of one group; no other has these targets
            rows += [self._turn(index, item) for index, item in _unpack(packed)]
        return {"row": rows}

    def _turn(self, index: int, item: Item) -> str:
        """The row of a file, for which the ledger is asked first: another worker may have done it before it
        ended, or may have ended because of it.
        """
        import ray

        times, known = ray.get(self._ledger.begin.remote(index))
        if known:
            if target := Row.unpack(known).target:
                self._options.written.add(file_of(target).key())
            return known
        if times > self._attempts:
            said = (
                f"ended its worker {self._attempts} times; most likely it needs more memory than there is, "
                "which --memory would refuse."
            )
            row = Row(index, item.source.name, ERROR, error=said, exit_code=1)
        else:
            row = self.row(index, item)
        packed = row.pack()
        ray.get(self._ledger.done.remote(index, packed))
        return packed

    def row(self, index: int, item: Item) -> Row:
        """What becomes of a file."""
        began = time.monotonic()
        with report.hearing() as notes:
            try:
                row = _row_of(index, self._do(item, self._options))
            except Exception as error:
                row = _failed(index, item, error)
        return replace(row, notes=tuple(notes), seconds=round(time.monotonic() - began, 6))


def _row_of(index: int, result: dict[str, Any]) -> Row:
    """Of what `codec.commands.work` says of a file."""
    left = dict(result)
    source, target, status = left.pop("file"), left.pop("output"), left.pop("status", DONE)
    sizes = left.pop("bytes_in"), left.pop("bytes_out")
    left = json.loads(json.dumps(left))  # plain values
    return Row(index, source, status, target, *sizes, facts=left)


def _failed(index: int, item: Item, error: Exception) -> Row:
    if isinstance(error, LeftOut):
        return _refused(index, replace(item, problem=error))
    failure = failure_of(error)
    if failure:
        return Row(index, item.source.name, ERROR, error=failure.said, exit_code=failure.exit_code)
    said = f"failed unexpectedly ({type(error).__name__}: {error}); please report this file."
    return Row(index, item.source.name, ERROR, error=said, exit_code=1)


def _refused(index: int, item: Item) -> Row:
    """Of a file that is not worked on."""
    if isinstance(item.problem, LeftOut):
        return Row(index, item.source.name, LEFT, error=Left(item.problem.kind).value)
    assert item.problem
    code = item.problem.exit_code
    return Row(index, item.source.name, ERROR, error=str(item.problem), exit_code=code)


def _pack(group: list[int], items: list[Item]) -> str:
    """Files as one line of ASCII, whatever is in names."""
    chosen = [items[index] for index in group]
    return json.dumps(
        [(i, one.source.name, one.folders, one.found) for i, one in zip(group, chosen, strict=True)]
    )


def _unpack(text: str) -> Iterator[tuple[int, Item]]:
    for index, name, folders, was_found in json.loads(text):
        yield index, Item(file_of(name), tuple(folders), was_found)


def _working_folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it has been deleted
        return os.sep
