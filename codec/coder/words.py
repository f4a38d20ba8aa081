"""Self-tests: made-up numbers to compute with, and is what was compiled right? Knows nothing of what is
compiled.
"""

from __future__ import annotations

import hashlib

import numpy as np

from codec.errors import UnsupportedError


def made_up(*shape: int) -> np.ndarray:
    """Integers -127..127 without a pattern, the same everywhere, int64."""
    return (np.arange(int(np.prod(shape)), dtype=np.int64) * 2654435761 >> 11).reshape(shape) % 255 - 127


def check_words(words: bytes, digest: str, coder: str) -> None:
    """Compare what a compiled coder made of known input with what every correct one must make. digest:
    BLAKE2b, 8 bytes, in hexadecimal.

    Raises UnsupportedError if this machine's compiled arithmetic is not the IEEE arithmetic that the format
    needs.
    """
    computed = hashlib.blake2b(words, digest_size=8).hexdigest()
    if computed != digest:
        raise UnsupportedError(
            f"the compiled {coder} computes differently on this machine (got {computed}, expected "
            f"{digest}); set NUMBA_DISABLE_JIT=1 to use the slow one, and please report this."
        )
