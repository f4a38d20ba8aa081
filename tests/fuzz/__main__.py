"""Fuzz what reads files: python -m tests.fuzz decoder --minutes 30 (or: reader, sources, texts;
`tests.fuzz.targets`). Needs atheris (pip install '.[fuzz]').

Starts from small files of every method and kind (`tests.samples`, `tests.images`) and from every earlier
finding (tests/fuzz/findings), changes them by `tests.fuzz.mutate` or `tests.fuzz.formats`, and keeps what
reaches new code in the folder --corpus, so that a later run goes on from there. A finding is written to that
folder as crash-... (or timeout-..., oom-...) and ends the run with its traceback; mend it and put the file
into tests/fuzz/findings/TARGET, where tests/test_fuzz.py runs it ever after.

codec's Python is instrumented; its compiled kernels are not, but run with bounds checks, so that an index
outside an array is an error.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

os.environ["NUMBA_BOUNDSCHECK"] = "1"
# code with bounds checks must not end up in the usual cache
os.environ["NUMBA_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / "ardm-fuzz-numba")

import atheris

# By Numba, which could make nothing of instrumented code.
COMPILED = [
    f"codec.{path.stem}"
    for path in Path(find_spec("codec").submodule_search_locations[0]).glob("*.py")
    if "\n@compiled(" in path.read_text()
]

with atheris.instrument_imports(include=["codec"], exclude=COMPILED):
    from tests import images, samples
    from tests.fuzz import formats, mutate, targets

FINDINGS = Path(__file__).parent / "findings"
# seeds, mutator
TARGETS: dict[
    str, tuple[Callable[[], dict[str, bytes]], Callable[[bytes, random.Random, mutate.Blind], bytes]]
] = {
    "decoder": (lambda: samples.files(targets.stub()), mutate.ardm),
    "reader": (
        lambda: {name: source for name, (_, source, _) in samples.png_files().items()} | samples.kinds(),
        mutate.png_file,
    ),
    "sources": (lambda: images.EVERY, formats.source_file),
    "texts": (lambda: samples.texts() | {"prose": samples.PROSE}, mutate.text_file),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument(
        "--corpus",
        type=Path,
        help="folder to keep inputs in; default: one beside the system's temporary files",
    )
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    corpus = arguments.corpus or Path(tempfile.gettempdir()) / f"ardm-fuzz-{arguments.target}"
    corpus.mkdir(parents=True, exist_ok=True)
    seeds, change = TARGETS[arguments.target]
    for name, data in seeds().items():
        (corpus / f"seed-{name}").write_bytes(data)
    for path in sorted((FINDINGS / arguments.target).glob("*")):
        (corpus / f"finding-{path.name}").write_bytes(path.read_bytes())

    def mutator(data: bytes, most: int, seed: int) -> bytes:
        def blind(part: bytes) -> bytes:
            return bytes(atheris.Mutate(part, len(part) + 64))

        out = change(data, random.Random(seed), blind)
        return out if len(out) <= most else bytes(atheris.Mutate(data, most))

    # A case takes milliseconds; the limit leaves room for a machine that does other things, or stops this
    # process for a while.
    options = [
        f"-max_total_time={round(60 * arguments.minutes)}",
        "-max_len=6000",
        "-timeout=120",
        "-rss_limit_mb=2500",
        f"-seed={arguments.seed}",
        f"-artifact_prefix={corpus}/",
        "-print_final_stats=1",
    ]
    atheris.Setup(
        [sys.argv[0], *options, str(corpus)], getattr(targets, arguments.target), custom_mutator=mutator
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
