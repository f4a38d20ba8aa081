"""`existing_folder`: a working directory for those who need one. Knows nothing of what is done in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def existing_folder() -> Iterator[bool]:
    """Within, there is a working directory, even if that of the process has been deleted; yields whether it
    has.

    MKL ends a process that loads it, as torch does, where there is none.
    """
    missing = False
    with contextlib.ExitStack() as stack:
        try:
            os.getcwd()
        except OSError:
            missing = True
            with contextlib.suppress(OSError, AttributeError):
                here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, here)
                os.chdir(os.sep)
                # so that relative names still mean nothing, rather than something else
                stack.callback(os.chdir, here)
        yield missing
