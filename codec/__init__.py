"""Lossless image compression with an autoregressive diffusion model: `compress`, `decompress`, `info`, `recover`, `complete`, and the errors they raise.

Names are imported on first use, so that `import codec` and the commands' --help do not wait for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codec.errors import (
    ArdmError,
    CorruptError,
    InputError,
    LimitError,
    NotArdmError,
    OutputError,
    TruncatedError,
    UnsupportedError,
    VerifyError,
)
from codec.limits import Limits
from codec.version import __version__

if TYPE_CHECKING:
    from codec.image import compress, decompress, info
    from codec.invent import complete
    from codec.salvage import recover

__all__ = [
    "ArdmError", "CorruptError", "InputError", "LimitError", "Limits", "NotArdmError", "OutputError", "TruncatedError", "UnsupportedError",
    "VerifyError", "__version__", "complete", "compress", "decompress", "info", "recover",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in ("compress", "decompress", "info"):
        import codec.image

        return getattr(codec.image, name)
    if name == "recover":
        from codec.salvage import recover

        return recover
    if name == "complete":
        from codec.invent import complete

        return complete
    raise AttributeError(f"module 'codec' has no attribute {name!r}")
