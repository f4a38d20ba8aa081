"""Texts, and any other bytes: letters by the network, the rest by a mixing coder. Knows no images.

`header` loads neither torch nor Numba; what needs them is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from codec.text.header import BUDGET, TextHeader, info, is_text, read

if TYPE_CHECKING:
    from codec.text.file import decode, holds, pack, unpack

__all__ = ["BUDGET", "TextHeader", "decode", "holds", "info", "is_text", "pack", "read", "unpack"]


def __getattr__(name: str) -> Any:
    if name in ("decode", "holds", "pack", "unpack"):
        return getattr(import_module("codec.text.file"), name)
    raise AttributeError(f"module 'codec.text' has no attribute {name!r}")
