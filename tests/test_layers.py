"""Dependencies go one way: which package may import which, also within functions."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.processes import ROOT

pytestmark = pytest.mark.quick

UPWARD = {
    ("codec/image.py", "codec.png"),  # an image kept as its file
    ("codec/image.py", "codec.formats"),
    ("codec/methods.py", "codec.coder"),  # for types alone
}
FORBIDDEN = {
    "ardm": ["codec"],
    "ardm/exact": ["ardm.training"],
    "ardm/networks": ["ardm.exact", "ardm.training"],
    "codec/coder": [
        "codec.archive",
        "codec.commands",
        "codec.damage",
        "codec.formats",
        "codec.image",
        "codec.png",
        "codec.text",
    ],
    "codec/png": [
        "codec.archive",
        "codec.commands",
        "codec.damage",
        "codec.formats",
        "codec.image",
        "codec.text",
    ],
    "codec/formats": [
        "codec.archive",
        "codec.coder",
        "codec.commands",
        "codec.damage",
        "codec.image",
        "codec.text",
    ],
    "codec/text": [
        "codec.archive",
        "codec.commands",
        "codec.damage",
        "codec.formats",
        "codec.image",
        "codec.png",
    ],
    "codec/damage": ["codec.archive", "codec.commands", "codec.text"],
    "codec/image.py": [
        "codec.archive",
        "codec.commands",
        "codec.damage",
        "codec.formats",
        "codec.png",
        "codec.text",
    ],
    **{
        f"codec/{module}.py": ["codec.archive", "codec.commands", "codec.damage", "codec.image", "codec.text"]
        for module in ("choice", "cost", "samples", "scheduling", "settings", "tiles")
    },
    **{
        f"codec/{module}.py": ["ardm.exact", "codec.archive", "codec.image", "codec.tiles", "numba", "torch"]
        for module in ("listing", "methods", "opened")
    },
    "codec/inspect": ["codec.commands", "codec.damage", "codec.plugins"],
    "codec/batch.py": ["codec.archive", "codec.commands", "codec.damage", "codec.text"],
    **{
        f"codec/plugins/{module}.py": ["codec.archive", "codec.commands", "numcodecs", "zarr"]
        for module in ("axes", "chunks", "stack", "turns")
    },
    "codec/plugins/cluster.py": ["ardm", "codec.archive", "codec.commands", "codec.image"],
    "codec/container.py": ["ardm.exact", "codec.archive", "codec.image", "numba", "torch"],
    "codec/archive.py": ["codec.commands", "codec.text"],
    "codec/urls.py": [
        "ardm",
        "codec.archive",
        "codec.commands",
        "codec.image",
        "codec.opened",
        "codec.reader",
    ],
}
# Within these packages, a module imports only such as stand before it.
ORDER = {
    "codec/png/exact": [
        "codes",
        "blocks",
        "deflate",
        "parse",
        "contexts",
        "steps",
        "tokens",
        "trees",
        "difference",
        "recipes",
        "remake",
    ],
    "codec/commands": [
        "files",
        "places",
        "tree",
        "summary",
        "options",
        "report",
        "outcome",
        "collisions",
        "contents",
        "work",
        "scale",
        "abreast",
        "cli",
        "sample",
        "inspect",
    ],
    "codec/inspect": [
        "facts",
        "measure",
        "frames",
        "beside",
        "showing",
        "surveys",
        "sums",
        "drawings",
        "plots",
        "look",
        "pages",
    ],
    "codec/text": ["parts", "header", "letters", "marks", "prose", "file"],
}


def imports(path: Path) -> set[str]:
    """All modules that a file names in imports, those for types alone too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
    return found


@pytest.mark.parametrize("room", FORBIDDEN)
def test_nothing_is_imported_from_above(room: str) -> None:
    place = ROOT / room
    files = [place] if place.suffix else sorted(place.rglob("*.py"))
    assert files
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        for module in FORBIDDEN[room]:
            above = [found for found in imports(path) if found == module or found.startswith(module + ".")]
            assert not above or (name, module) in UPWARD, f"{name} imports {above}"


def test_nothing_imports_the_plugins() -> None:
    """But --engine ray, once it is asked for."""
    plugins = ROOT / "codec" / "plugins"
    for path in [*(ROOT / "codec").rglob("*.py"), *(ROOT / "ardm").rglob("*.py")]:
        if plugins not in path.parents:
            found = {name for name in imports(path) if name.startswith("codec.plugins")}
            allowed = {"codec.plugins", "codec.plugins.ray"} if path.name == "scale.py" else set()
            assert found <= allowed, path


def test_nothing_but_its_command_imports_what_looks() -> None:
    for path in [*(ROOT / "codec").rglob("*.py"), *(ROOT / "ardm").rglob("*.py")]:
        if "inspect" not in (path.stem, path.parent.name):
            assert not [name for name in imports(path) if name.startswith("codec.inspect")], path


@pytest.mark.parametrize("package", ORDER)
def test_modules_of_a_package_import_one_way(package: str) -> None:
    order = ORDER[package]
    assert {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"} == set(order)
    for place, module in enumerate(order):
        later = {f"{package.replace('/', '.')}.{name}" for name in order[place:]}
        assert not imports(ROOT / package / f"{module}.py") & later, f"{module} imports what stands after it"
