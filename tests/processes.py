"""The commands as processes of their own, and in this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

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


def command(what: click.Command, *arguments: object) -> int:
    """A command in this process, so that it can be interfered with. Returns its exit code."""
    try:
        return what.main(list(map(str, arguments)), prog_name="ardm", standalone_mode=False) or 0
    except click.exceptions.Exit as error:
        return error.exit_code


def only_files(folder: Path, *names: str) -> None:
    """Nothing else was left behind, hidden or not."""
    assert sorted(p.name for p in folder.iterdir()) == sorted(names)
