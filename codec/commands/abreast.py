"""Files one after the other, or several small ones at once, and what becomes of each, in their order. Knows
sizes of files and threads; not what is done with files, nor what is said of it.

A file of fewer tiles than there are threads leaves some of these idle. So files that are small follow each
other on as many threads as there are; large ones have all threads to themselves, one after the other, so that
no more than one of them is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import groupby
from threading import Event
from typing import Any

from codec.commands.collisions import groups
from codec.commands.options import Options
from codec.commands.report import Progress, hearing
from codec.commands.tree import Item
from codec.parallel import in_turn, set_threads, thread_count

OF_TILE = 1 << 18  # bytes of a file, about, for each tile of the image in it

Do = Callable[[Item, Options], dict[str, Any]]


@dataclass(frozen=True)
class Done:
    """What became of a file: a result, or an error."""

    item: Item
    result: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    heard: tuple[str, ...] = ()  # what there is to say of it, and nobody has said


def worked(items: list[Item], options: Options, do: Do, command: str, alone: bool = False) -> Generator[Done]:
    """Do it with every file. command: as of `collisions.groups`; alone: with one at a time. Whoever does not
    want the rest must close the generator, which waits for what has begun.
    """
    set_threads(options.settings.threads)
    threads = 1 if alone else thread_count()
    small = OF_TILE * threads if threads > 1 else 0
    for few, run in groupby(items, lambda item: (item.source.size() or small) < small):
        together = list(run)
        if few and len(together) > 1:
            yield from _abreast(together, options, do, command)
        else:
            yield from (_done(item, options, do) for item in together)


def _done(item: Item, options: Options, do: Do) -> Done:
    try:
        if item.problem:
            raise item.problem
        return Done(item, do(item, options))
    except Exception as error:
        return Done(item, error=error)


def _abreast(items: list[Item], options: Options, do: Do, command: str) -> Generator[Done]:
    """The same with small files. Those that may have the same target follow each other."""
    stop = Event()
    quietly = replace(options, stop=stop, progress=False, settings=replace(options.settings, threads=0))

    def work(group: list[int], threads: int) -> list[Done]:
        # threads that are left over have nothing to do here: so small is a file
        done = []
        for index in group:
            with hearing() as heard:
                one = _done(items[index], quietly, do)
            done.append(replace(one, heard=tuple(heard)))
        return done

    jobs = groups(items, command, own_folders=options.output_dir is None)
    known = {i: _done(item, options, do) for i, item in enumerate(items) if item.problem}
    with (
        Progress(len(items), "files", options, unit=" files") as bar,
        closing(in_turn(work, jobs, stop)) as results,
    ):
        done_groups = zip(jobs, results, strict=True)
        for i in range(len(items)):
            while i not in known:
                group, done = next(done_groups)
                known.update(zip(group, done, strict=True))
            bar.update(1)
            yield known.pop(i)
