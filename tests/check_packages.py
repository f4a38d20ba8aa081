"""The wheel and the source distribution, as they would be published: built, looked at, and used.

    python -m tests.check_packages [--out DIR] [--lowest]     # make packages

Builds both, has twine check what a package index would show, compares what is in them with what must be and must
not be, and their size with a limit. Then installs the wheel, with constraints.txt, into a virtual environment that
has nothing else, and there compresses a photo, restores it, and looks at it, from a folder that is not the
project's. --lowest: with the lowest version of every dependency that pyproject.toml allows, but for torch. Knows
the project's files; needs a package index.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parent.parent
WHEEL_MOST, SOURCE_MOST = 5 * 2**20, 9 * 2**20  # bytes
NEVER = re.compile(
    r"__pycache__|\.(pyc|nbi|nbc|ardm-tmp)$|(^|/)\.(git|venv|mypy_cache|ruff_cache|pytest_cache)"
)
# of the photos' and texts' weights there may be others besides
IN_BOTH = ("ardm/py.typed", "codec/py.typed", "codec/commands/cli.py", "codec/inspect/pages.py")
IN_SOURCE = (
    "FORMAT.md",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "CITATION.cff",
    "constraints.txt",
    "docs/format/mixing.md",
    "docs/format/network.md",
    "docs/inspect.md",
    "tests/conftest.py",
    "tests/golden/photo-rgb.ardm",
    "benchmarks/photo.png",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, help="keep both files there")
    parser.add_argument("--lowest", action="store_true", help="with the lowest versions allowed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = given.out or Path(folder) / "dist"
        out.mkdir(parents=True, exist_ok=True)
        if found := list(out.iterdir()):
            raise SystemExit(f"{out} must be empty, but has {found[0].name}.")
        run(sys.executable, "-m", "build", "--outdir", str(out), str(ROOT))
        (wheel,), (source,) = out.glob("*.whl"), out.glob("*.tar.gz")
        run(sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(source))
        check_contents(wheel, source)
        use(wheel, Path(folder), given.lowest)
    print("packages: all well")


def run(*command: str, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """Standard output of a command; ends this one if it fails."""
    print("$", " ".join(Path(c).name if os.sep in c else c for c in command), flush=True)
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n{done.stderr}\nit failed with code {done.returncode}.")
    return done.stdout


def check_contents(wheel: Path, source: Path) -> None:
    """That both have what they must and nothing that they must not."""
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = {name for name in archive.namelist() if not name.endswith("/")}
    with tarfile.open(source) as tar:
        in_source = {
            str(PurePosixPath(*PurePosixPath(member.name).parts[1:])) for member in tar if member.isfile()
        }
    tracked = run("git", "-C", str(ROOT), "ls-files").split("\n")
    packaged = {
        name
        for name in tracked
        if name.startswith(("ardm/", "codec/")) and name.endswith((".py", ".safetensors", "py.typed"))
    }
    assert any(name.endswith(".safetensors") for name in packaged)
    _compare("the wheel", in_wheel, packaged | set(IN_BOTH), WHEEL_MOST, wheel)
    pages = {name for name in tracked if name.startswith("docs/")}
    _compare(
        "the source distribution", in_source, packaged | pages | set(IN_BOTH + IN_SOURCE), SOURCE_MOST, source
    )
    if strange := {name for name in in_wheel if name.split("/")[0] not in ("ardm", "codec")} - {
        name for name in in_wheel if ".dist-info/" in name
    }:
        raise SystemExit(f"the wheel has what is not the package: {sorted(strange)[:5]}.")
    if (
        unknown := {name for name in in_source if ".egg-info/" not in name}
        - set(tracked)
        - {"PKG-INFO", "setup.cfg"}
    ):
        raise SystemExit(f"the source distribution has files that git does not: {sorted(unknown)[:5]}.")


def _compare(what: str, found: set[str], must: Iterable[str], most: int, path: Path) -> None:
    size = path.stat().st_size
    print(f"{path.name}: {len(found)} files, {size:,} bytes")
    if missing := set(must) - found:
        raise SystemExit(f"{what} lacks {sorted(missing)[:5]}.")
    if never := [name for name in found if NEVER.search(name)]:
        raise SystemExit(f"{what} has {never[:5]}, which must not be published.")
    if size > most:
        raise SystemExit(f"{what} has {size:,} bytes, the limit is {most:,}.")


def use(wheel: Path, folder: Path, lowest: bool) -> None:
    """Install the wheel where nothing else is, and use it."""
    place = folder / "bare"
    venv.create(place, with_pip=True)
    binaries = place / ("Scripts" if os.name == "nt" else "bin")
    python = str(binaries / "python")
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    quiet = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    constraints = folder / "constraints.txt"
    constraints.write_text(lowest_versions() if lowest else (ROOT / "constraints.txt").read_text())
    run(python, *quiet, "-c", str(constraints), str(wheel), environment=alone)
    run(python, "-m", "pip", "check", environment=alone)
    work = folder / "work"
    work.mkdir()
    photo = work / "photo.png"
    photo.write_bytes((ROOT / "benchmarks" / "photo.png").read_bytes())
    commands = {name: str(binaries / name) for name in ("ardm-compress", "ardm-decompress", "ardm-inspect")}
    run(commands["ardm-compress"], "--exact", "photo.png", cwd=work, environment=alone)
    run(commands["ardm-decompress"], "-o", "back.png", "photo.ardm", cwd=work, environment=alone)
    if (work / "back.png").read_bytes() != photo.read_bytes():
        raise SystemExit("the photo did not come back byte for byte.")
    said = run(commands["ardm-inspect"], "photo.ardm", cwd=work, environment=alone)
    assert "768 x 512" in said
    where = "import codec, ardm; print(codec.__file__)"
    if not Path(run(python, "-c", where, cwd=work, environment=alone).strip()).is_relative_to(place):
        raise SystemExit("what was used is not what was installed.")


def lowest_versions() -> str:
    """Constraints: of every dependency the lowest version that pyproject.toml allows; torch as it is tested,
    since others come with gigabytes.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tested = [line for line in (ROOT / "constraints.txt").read_text().split("\n") if line.startswith("torch")]
    lines = []
    for dependency in project["dependencies"]:
        match = re.match(r"([a-z]+)(?:>=|~=)([0-9.]+)", dependency)
        assert match, dependency
        if match[1] != "torch":
            lines.append(f"{match[1]}=={match[2]}")
    return "\n".join(tested + lines) + "\n"


if __name__ == "__main__":
    main()
