"""SECURITY.md and docs/model.md name tests that there are."""

from __future__ import annotations

import ast
import re

import pytest

from tests.processes import ROOT

pytestmark = pytest.mark.quick


def suite() -> set[str]:
    """All tests as file::test."""
    return {
        f"{path.relative_to(ROOT).as_posix()}::{node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/model.md"])
def test_every_promise_names_tests_that_exist(page: str) -> None:
    lines = (ROOT / page).read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ") and "`tests/" in line]
    assert len(rows) >= 10
    for row in rows:
        assert row.count("|") == 3, row
        promise, names = row.strip("| ").split(" | ")
        assert promise
        listed = names.split(", ")
        assert all(re.fullmatch(r"`tests/[\w/]+\.py::test_\w+`", name) for name in listed), row
        assert {name.strip("`") for name in listed} <= suite(), row
