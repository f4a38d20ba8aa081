"""An .ardm file, looked at: `survey` measures it, `page` is one HTML page of all there is to see, and
`codec.inspect.plots` the same drawings for notebooks. Nothing but ardm-inspect imports it.

`facts` loads neither torch nor Numba; what needs them is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codec.inspect.pages import page
    from codec.inspect.surveys import Survey, survey

__all__ = ["Survey", "page", "survey"]

_LATER = {"Survey": "surveys", "page": "pages", "survey": "surveys"}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"codec.inspect.{_LATER[name]}"), name)
    raise AttributeError(f"module 'codec.inspect' has no attribute {name!r}")
