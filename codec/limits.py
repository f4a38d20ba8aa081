"""`Limits`: what a caller is prepared to spend on a file, and sizes such as 512M. Knows numbers only;
`codec.cost` says what a file will need.

Kept free of heavy imports, so that --help need not load a model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from codec.presets import MAX_PIXELS

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Limits:
    """Most that decoding (or encoding) one file may take; what needs more is refused with LimitError before
    anything is allocated for it.

    max_pixels: width * height. max_memory: bytes that the whole process will need at its peak, as
    `codec.cost.of` estimates them; None: no limit. max_calls: network calls in all. max_tiles: planes of
    tiles, each of which takes about half a kilobyte of bookkeeping.
    """

    max_pixels: int = MAX_PIXELS
    max_memory: int | None = None
    max_calls: int = 200_000_000  # 178 megapixels of four planes of 16 bits in raster order need 182 million
    max_tiles: int = 1_000_000

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and value < (0 if name == "max_calls" else 1):
                raise ValueError(f"{name} must be at least {0 if name == 'max_calls' else 1}, got {value}.")


def limits_of(limits: Limits | None, max_pixels: int | None) -> Limits:
    """The limits that a call was given: `limits` or the usual ones, with max_pixels of its own if it was
    given too.
    """
    limits = limits or Limits()
    return limits if max_pixels is None else replace(limits, max_pixels=max_pixels)


NO_LIMITS = Limits(2**64, None, 2**64, 2**64)


def parse_size(text: str) -> int:
    """Bytes of "512M", "2G", "1.5G", "100000": K, M, G and T are powers of 1024; "B" or "iB" may follow.
    Raises ValueError.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE | re.ASCII)
    size = int(float(match[1]) * UNITS[match[2].upper()]) if match and len(text) < 30 else 0
    if size < 1:
        raise ValueError(f"a size must be a number such as 512M or 2G, got {text[:40]!r}.")
    return size


def show_size(size: int) -> str:
    """A size for people, in MiB, rounded up."""
    return f"{-(-size // 2**20):,} MiB"
