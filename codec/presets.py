"""Presets -1 to -9, the orders, the size of tiles and the default size limit. Knows nothing else, so that
--help need not load a model.
"""

import os

# -1 to -9, from quick to small: what each stands for. None is a budget: fewer network calls are no quicker.
PRESETS: dict[int, str] = {1: "--quick"} | dict.fromkeys(range(2, 9), "") | {9: "--best"}
ORDERS = ("auto", "lattice", "raster")  # in which a tile may be coded
TILE = 1024  # largest side of a tile; larger tiles save little, and memory grows with them
MAX_PIXELS = 178_000_000  # default limit
# more than any machine has processors; OpenMP ends the process where it cannot start as many as it is told to
MAX_THREADS = 1024


def threads_for(given: int) -> int:
    """CPU threads that a command works with: as many as were asked for, or, for 0, all that the machine
    has.
    """
    return given or min(os.cpu_count() or 1, MAX_THREADS)
