"""Presets -1 to -9, the default budget, the orders and the default size limit. Knows nothing else, so that
--help need not load a model.
"""

import os

# -> network calls per tile; None: as many as pay
PRESETS: dict[int, int | None] = {1: 1, 2: 2, 3: 4, 4: 8, 5: 15, 6: 30, 7: 60, 8: 600, 9: None}
ORDERS = ("auto", "lattice", "raster")  # in which a tile may be coded
MAX_PIXELS = 178_000_000  # default limit
# more than any machine has processors; OpenMP ends the process where it cannot start as many as it is told to
MAX_THREADS = 1024


def threads_for(given: int) -> int:
    """CPU threads that a command works with: as many as were asked for, or, for 0, all that the machine
    has.
    """
    return given or min(os.cpu_count() or 1, MAX_THREADS)
