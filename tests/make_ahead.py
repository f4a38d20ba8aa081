"""python -m tests.make_ahead: makes ardm/data/ahead.zip anew, code made ahead of time. Needs a processor with
AVX512-VNNI, and two minutes.

Knows how such code is written; `ardm.ahead` reads it. What is in it: all that the examples of `codec.warm` compile,
once with VNNI and, of what depends on that, once without.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from numba.core import serialize
from numba.core.codegen import CPUCodeLibrary

from ardm import ahead, compiled

TYPES_SHOWN = 5  # place in what Numba keeps of a function, but for its code
INSTRUCTION = b"vpdpbusd"  # in the bitcode of functions that are not the same without VNNI


@contextmanager
def _bitcode_kept() -> Iterator[dict[Any, bytes]]:
    """The bitcode of all that is compiled meanwhile, under Numba's libraries."""
    kept: dict[Any, bytes] = {}
    optimize = CPUCodeLibrary._optimize_final_module

    def keep_and_optimize(library: Any) -> None:
        kept[library] = library._final_module.as_bitcode()
        optimize(library)

    CPUCodeLibrary._optimize_final_module = keep_and_optimize
    try:
        yield kept
    finally:
        CPUCodeLibrary._optimize_final_module = optimize


def members() -> dict[str, bytes]:
    """What this process compiles of the examples, as members of the file, without endings."""
    from codec.warm import EXAMPLES

    with _bitcode_kept() as kept:
        for example in EXAMPLES.values():
            example()
    found = {}
    for made in compiled.all_compiled():
        for number, result in enumerate(made.overloads.values()):
            (library, *_), *rest = result._reduce()
            rest[TYPES_SHOWN] = ""  # of every line, for whoever looks; as long as the code itself
            content = (tuple(result.signature.args), library, kept[result.library], rest)
            found[f"{compiled.full_name(made.py_func)}/{number}"] = serialize.dumps(content)
    return found


def _members_of_another_process(**environment: str) -> dict[str, bytes]:
    """With an empty folder for kept code, so that all is compiled."""
    with TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder, **environment}
        out = Path(folder) / "members"
        subprocess.run([sys.executable, "-m", "tests.make_ahead", str(out)], env=environment, check=True)
        return pickle.loads(out.read_bytes())


def main() -> None:
    if len(sys.argv) > 1:  # as another process
        Path(sys.argv[1]).write_bytes(pickle.dumps(members()))
        return
    if not ahead.has_vnni():
        sys.exit("this processor has no AVX512-VNNI; code for both sorts is made on one that has")
    ahead.FILE.unlink(missing_ok=True)  # else nothing would be compiled
    with_vnni = _members_of_another_process()
    differ = {name.rpartition("/")[0] for name, content in with_vnni.items() if INSTRUCTION in content}
    written = {}
    for name, content in with_vnni.items():
        written[name + ahead.VNNI * (name.rpartition("/")[0] in differ)] = content
    for name, content in _members_of_another_process(NUMBA_CPU_NAME="generic").items():
        if name.rpartition("/")[0] in differ:
            written[name + ahead.LOOPS] = content
    with zipfile.ZipFile(ahead.FILE, "w", zipfile.ZIP_LZMA) as file:
        file.comment = ahead.stamp(compiled.sources_ahead()).encode()
        for name, content in sorted(written.items()):
            file.writestr(name, content)
    print(f"{len(written)} functions, {ahead.FILE.stat().st_size} bytes: {ahead.FILE}")


if __name__ == "__main__":
    main()
