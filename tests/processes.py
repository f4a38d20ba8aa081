"""The commands as processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent  # of the project
COMPRESS = [sys.executable, "-c", "from codec.commands.cli import compress_main; compress_main()"]
DECOMPRESS = [sys.executable, "-c", "from codec.commands.cli import decompress_main; decompress_main()"]


def run(
    command: list[str], *arguments: object, stdin: bytes | None = None, code: int = 0
) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([*command, *map(str, arguments)], input=stdin, capture_output=True, check=False)
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return done


def only_files(folder: Path, *names: str) -> None:
    """Nothing else was left behind, hidden or not."""
    assert sorted(p.name for p in folder.iterdir()) == sorted(names)
