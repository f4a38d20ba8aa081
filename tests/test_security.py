"""SECURITY.md names tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def suite() -> set[str]:
    found = set()
    for path in (ROOT / "tests").glob("test_*.py"):
        found |= {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    return found


def test_every_promise_names_tests_that_exist() -> None:
    rows = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if line.startswith("| ") and "`test_" in line]
    assert len(rows) > 10
    named = {name for row in rows for name in re.findall(r"`(test_\w+)`", row)}
    assert named <= suite(), named - suite()
    for row in rows:
        assert row.count("|") == 3, row
        promise, names = row.strip("| ").split(" | ")
        assert promise
        assert re.fullmatch(r"`test_\w+`(, `test_\w+`)*", names), row
