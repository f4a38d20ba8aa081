"""Presets -1 to -9, the default budget, the orders and the default size limit. Knows nothing else, so that --help need not load a model."""

import os

PRESETS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 15, 8: 30, 9: 60}  # preset -> network calls per tile
DEFAULT_BUDGET = 8
QUICK_PRESETS = range(1, 6)  # those that also learn by quicker rules
MODELS = ("base", "small")  # names of `ardm.weights.MODELS`
ORDERS = ("auto", "best", "lattice", "raster")  # in which a tile may be coded
MAX_PIXELS = 178_000_000  # default limit
MAX_THREADS = 1024  # more than any machine has processors; OpenMP ends the process where it cannot start as many as it is told to


def threads_for(given: int) -> int:
    """CPU threads that a command works with: as many as were asked for, or, for 0, all that the machine has."""
    return given or min(os.cpu_count() or 1, MAX_THREADS)
