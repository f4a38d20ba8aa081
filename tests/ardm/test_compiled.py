"""Machine code that is kept between processes: which files make it stale."""

from __future__ import annotations

import re

import pytest

from ardm.compiled import PACKAGES
from tests.processes import ROOT

pytestmark = pytest.mark.quick


def test_every_file_with_compiled_functions_makes_kept_code_stale() -> None:
    found = {
        path.parent.relative_to(ROOT).as_posix()
        for package in ("ardm", "codec")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"^@(compiled|njit|intrinsic)\b", path.read_text(), re.MULTILINE)
    }
    assert found
    assert found <= set(PACKAGES)
