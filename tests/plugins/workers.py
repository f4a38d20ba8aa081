"""A worker of `codec.plugins.ray` that is killed by certain files."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from codec.commands.summary import Row
from codec.commands.tree import Item
from codec.plugins.ray import FileWorker

ALWAYS, ONCE = "always", "once"  # beginnings of their names
MARK = "ARDM_TEST_KILLED"  # the variable that names a folder, for what has happened


class Mortal(FileWorker):
    """Killed as by the kernel for want of memory, which nobody can catch, the first time that it sees a file whose
    name begins with "once", and whenever it begins with "always".
    """

    def row(self, index: int, item: Item) -> Row:
        base = item.source.base
        folder = Path(os.environ[MARK])
        if base.startswith((ALWAYS, ONCE)):
            before = len(list(folder.glob(f"{base}.*")))
            if base.startswith(ALWAYS) or not before:
                (folder / f"{base}.{before}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().row(index, item)


class Unborn(FileWorker):
    """Cannot be made."""

    def __init__(self, *given: object) -> None:
        raise RuntimeError("no worker")
