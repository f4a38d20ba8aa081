"""Lossless compression of images with an autoregressive diffusion model: `compress`, `decompress`,
`compress_batch`, `decompress_batch`, `open`, `info`, `recover`, `complete`, and the errors they raise.

Names are imported on first use, so that `import codec` and the commands' --help do not wait for torch.
"""

from __future__ import annotations

# torch needs it, and it cannot be loaded once the main thread has ended
import concurrent.futures.thread  # noqa: F401
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ardm.folder import existing_folder
from ardm.forks import steady
from codec.ending import operation
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
    from codec.batch import compress_batch, decompress_batch
    from codec.damage.invent import complete
    from codec.damage.salvage import recover
    from codec.image import compress, decompress
    from codec.listing import info
    from codec.reader import ImageReader, open
    from codec.settings import Settings

__all__ = [
    "ArdmError",
    "CorruptError",
    "ImageReader",
    "InputError",
    "LimitError",
    "Limits",
    "NotArdmError",
    "OutputError",
    "Settings",
    "TruncatedError",
    "UnsupportedError",
    "VerifyError",
    "__version__",
    "complete",
    "compress",
    "compress_batch",
    "decompress",
    "decompress_batch",
    "info",
    "open",
    "recover",
]

with existing_folder() as missing:
    if missing:  # all modules of the package are loaded after this one, and most load torch
        import_module("torch")

# name -> module
_LATER = {
    "compress": "image",
    "decompress": "image",
    "compress_batch": "batch",
    "decompress_batch": "batch",
    "info": "listing",
    "recover": "damage.salvage",
    "complete": "damage.invent",
    "open": "reader",
    "ImageReader": "reader",
    "Settings": "settings",
}


@operation
def _load(name: str) -> Any:
    """A name that is imported on first use. Whatever a call may import later is imported now, too, lest a
    fork should come in between.
    """
    with steady, existing_folder():
        import_module("codec.formats.sources")
        return getattr(import_module(f"codec.{_LATER[name]}"), name)


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return _load(name)
    raise AttributeError(f"module 'codec' has no attribute {name!r}")
