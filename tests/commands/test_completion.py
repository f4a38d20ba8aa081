"""What docs/commands.md says of completion in shells: the scripts, and what they are told."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.processes import ROOT

MAINS = {
    "ardm-compress": "codec.commands.cli:compress_main",
    "ardm-decompress": "codec.commands.cli:decompress_main",
    "ardm-inspect": "codec.commands.inspect:main",
    "ardm-sample": "codec.commands.sample:main",
}


def asked(command: str, instruction: str, *words: str) -> str:
    """What a command answers to a shell."""
    module, _, main = MAINS[command].partition(":")
    variable = f"_{command.replace('-', '_').upper()}_COMPLETE"
    told = {variable: instruction, "COMP_WORDS": " ".join([command, *words]), "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [sys.executable, "-c", f"from {module} import {main} as main; main()"],
        env={**os.environ, **told, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


@pytest.mark.parametrize("command", MAINS)
def test_the_page_names_what_makes_the_script(command: str) -> None:
    script = asked(command, "zsh_source")
    assert f"#compdef {command}" in script
    page = (ROOT / "docs" / "commands.md").read_text()
    assert "_ARDM_COMPRESS_COMPLETE=bash_source ardm-compress" in page
    assert f"`{command}`" in page or command in page


def test_options_and_values_are_completed() -> None:
    assert asked("ardm-compress", "bash_complete", "--bud") == "plain,--budget\n"
    assert asked("ardm-compress", "bash_complete", "--device", "cu") == "plain,cuda\n"
    assert "plain,--region" in asked("ardm-decompress", "bash_complete", "--re")


@pytest.mark.parametrize("command", ["ardm-compress", "ardm-decompress", "ardm-inspect"])
def test_the_shell_completes_files(command: str) -> None:
    assert asked(command, "bash_complete", "pho") == "file,pho\n"


def test_the_shell_completes_outputs() -> None:
    assert asked("ardm-compress", "bash_complete", "--output-dir", "o") == "dir,o\n"
    assert asked("ardm-inspect", "bash_complete", "--html", "r") == "file,r\n"
    assert asked("ardm-sample", "bash_complete", "-o", "r") == "file,r\n"
