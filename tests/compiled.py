"""Calls of inlined functions, which have no wrapper for Python of their own. Knows nothing of what they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def called(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function for tests."""

    @njit
    def call(*given: Any) -> Any:
        return function(*given)

    return call  # type: ignore[no-any-return]
