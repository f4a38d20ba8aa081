"""SECURITY.md and docs/model.md name tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def suite() -> set[str]:
    """All tests as file::test."""
    return {
        f"tests/{path.name}::{node.name}"
        for path in (ROOT / "tests").glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_promise_names_tests_that_exist() -> None:
    rows = [
        line
        for line in (ROOT / "SECURITY.md").read_text().splitlines()
        if line.startswith("| ") and "`test_" in line
    ]
    assert len(rows) > 10
    named = {name for row in rows for name in re.findall(r"`(test_\w+)`", row)}
    there = {test.partition("::")[2] for test in suite()}
    assert named <= there, named - there
    for row in rows:
        assert row.count("|") == 3, row
        promise, names = row.strip("| ").split(" | ")
        assert promise
        assert re.fullmatch(r"`test_\w+`(, `test_\w+`)*", names), row


def test_every_promise_of_the_model_names_tests_that_exist() -> None:
    rows = [
        line
        for line in (ROOT / "docs" / "model.md").read_text().splitlines()
        if line.startswith("| ") and "`tests/" in line
    ]
    assert len(rows) >= 10
    for row in rows:
        promise, names = row.strip("| ").split(" | ")
        assert promise
        listed = names.split(", ")
        assert all(re.fullmatch(r"`tests/test_\w+\.py::test_\w+`", name) for name in listed), row
        assert {name.strip("`") for name in listed} <= suite(), row
