"""Which files are meant, by names, lists and folders, in which order; and where in a tree the result of each
goes. Knows names and places; not what is in files, nor what is done with them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from codec.commands import files
from codec.commands.places import IS_FOLDER, Left, LeftOut, Place, file_of, place_of
from codec.errors import ArdmError, InputError


@dataclass(frozen=True)
class Given:
    """What the command line says of files."""

    names: tuple[str, ...]
    list_name: str | None = None  # of a file with names, one on a line
    null: bool = False  # which a zero byte ends, and no end of a line
    recursive: bool = False

    @property
    def many(self) -> bool:
        """Whether it may be more than one file."""
        return len(self.names) > 1 or self.list_name is not None or self.recursive


def name_contents(names: Iterable[str]) -> bool:
    """Whether any of these names means all that is in a folder: it ends in "/"."""
    return any(place_of(name).means_content for name in names)


@dataclass(frozen=True)
class Item:
    """A file that something is to be done with, or what is wrong with it."""

    source: Place
    folders: tuple[str, ...] = ()  # between the folder for results and its own
    found: bool = False  # in a folder that was named, rather than named itself
    problem: ArdmError | LeftOut | None = None


def items(given: Given, archives: bool) -> list[Item]:
    """All that is meant, in the order of the command line, then of the list; of a folder in the order of
    names. archives: in folders only .ardm files are meant, else only others.

    All are looked for before anything is done with the first, so that no result is found as a source.
    """
    meant = [item for name in given.names for item in _named(place_of(name), None, given.recursive, archives)]
    if given.list_name is None:
        return meant
    listed = place_of(given.list_name)
    try:
        listed.check_source(removing=False)
        names = listed_names(listed.read(), given.null)
    except ArdmError as error:
        return [*meant, Item(listed, problem=error)]
    for name in names:
        place = file_of(name)
        meant += _named(place, clean(place.parts), given.recursive, archives)
    return meant


def listed_names(content: bytes, null: bool) -> list[str]:
    """The names in a list; empty ones are not counted."""
    lines = content.split(b"\0") if null else [line.rstrip(b"\r") for line in content.split(b"\n")]
    return [os.fsdecode(line) for line in lines if line]


def clean(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The same way down, without "." and "..", which never leads above where it began."""
    kept: list[str] = []
    for part in parts:
        if part == "..":
            del kept[-1:]
        elif part != ".":
            kept.append(part)
    return tuple(kept)


def _named(place: Place, parts: tuple[str, ...] | None, recursive: bool, archives: bool) -> Iterator[Item]:
    """A file, or all in a folder, whose name was given. parts: where its result goes; None: where a name of
    the command line leads: a file to the top, a folder to one of its name, or to the top if that ends in "/".
    """
    if place.stream:
        yield Item(place)
        return
    try:
        # of a URL it costs a request, and reading it will tell
        is_folder = (recursive or place.near) and place.is_folder()
    except ArdmError as error:
        yield Item(place, problem=error)
        return
    if not is_folder:
        yield Item(place, (parts or ())[:-1])
    elif not recursive:
        yield Item(place, problem=InputError(IS_FOLDER))
    else:
        if parts is None:
            parts = () if place.means_content else clean(place.parts[-1:])
        try:
            yield from _within(place, parts, archives)
        except ArdmError as error:
            yield Item(place, problem=error)


def _within(folder: Place, top: tuple[str, ...], archives: bool) -> Iterator[Item]:
    """What is meant in a folder that is searched."""
    for parts, place, problem in folder.find(lambda name: name.startswith(".")):
        is_archive = files.is_archive(place.base)
        if problem is None and archives and not is_archive:
            continue
        if problem is None and is_archive and not archives:
            problem = LeftOut(Left.ARDM)
        yield Item(place, (*top, *parts[:-1]), True, problem)
