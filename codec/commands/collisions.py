"""Which files may want the same target, by their names alone: what several processes need to know before they
begin. Knows names; `codec.commands.work` knows what is in files, and so what each target is called.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from codec.commands.summary import COMPRESS
from codec.commands.tree import Item


def groups(items: list[Item], command: str, own_folders: bool) -> list[list[int]]:
    """Indices of all files to be worked on, those together that may have the same target: one worker takes
    them one after the other, so that which of them gets it does not depend on who is quicker. own_folders:
    results go beside the sources.
    """
    stem_of = _source_stem if command == COMPRESS else _archive_stem

    def place_of(item: Item) -> Any:
        name = item.source.name
        return name[: len(name) - len(item.source.base)] if own_folders else item.folders

    taken = [
        (index, place_of(item), item.source.base) for index, item in enumerate(items) if not item.problem
    ]
    stems = {(place, PurePath(base).stem) for _, place, base in taken}
    together: dict[Any, list[int]] = {}
    for index, place, base in taken:
        together.setdefault((place, stem_of(base, place, stems)), []).append(index)
    return list(together.values())


def _source_stem(base: str, place: Any, stems: set[tuple[Any, str]]) -> str:
    """The same for all names that may be compressed to the same: a.png becomes a.ardm, or a.png.ardm if it is
    no image, as a.png.png becomes if it is one.
    """
    while base.lower().endswith(".png"):
        base = base[:-4]
    return base


def _archive_stem(base: str, place: Any, stems: set[tuple[Any, str]]) -> str:
    """The same for all names that may be restored to the same: a.ardm becomes a, or a with any one ending,
    and so may be what a.png.ardm becomes. stems: of all files.
    """
    stem = PurePath(base).stem
    while (shorter := PurePath(stem).stem) != stem and (place, shorter) in stems:
        stem = shorter
    return stem
