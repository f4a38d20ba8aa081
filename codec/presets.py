"""Presets -1 to -9, the default budget and the default size limit. Knows nothing else, so that --help need not load a model."""

PRESETS = {1: 4, 2: 6, 3: 9, 4: 12, 5: 16, 6: 24, 7: 32, 8: 45, 9: 60}  # preset -> network calls per tile
DEFAULT_BUDGET = 32
MAX_PIXELS = 178_000_000  # default limit, and about what Pillow reads
