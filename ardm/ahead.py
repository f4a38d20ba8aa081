"""Code made ahead of time: what Numba gives to LLVM, which is the same for all processors of a sort. It saves
whoever has just installed the package most of the wait for compiling, and no more: what is not there, or was
made by other versions or from other sources, is compiled as ever.

Knows no function. `python -m tests.make_ahead` makes the file, a ZIP:

    stamp               the comment of the ZIP: what `stamp` gave where it was made
    <name>/<n>          pickled: types of the arguments, name and LLVM's bitcode, the rest of what Numba keeps
    <name>/<n>.vnni     the same, for processors that have AVX512-VNNI,
    <name>/<n>.loops    and for those without, of a function that is not the same for both
"""

from __future__ import annotations

import hashlib
import pickle
import platform
import sys
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
from numba import config

# Pythons for which code has been tried that another of them had made; it knows how their objects begin.
PYTHONS = ((3, 11), (3, 12), (3, 13))
FILE = Path(__file__).parent / "data" / "ahead.zip"
# endings of members
VNNI, LOOPS = ".vnni", ".loops"


def has_vnni() -> bool:
    """Whether this processor has AVX512-VNNI, and code may be made for it."""
    if getattr(config, "DISABLE_JIT", False):
        return False
    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:
        return False
    made_for_host = getattr(config, "CPU_NAME", None) is None
    return made_for_host and all(features.get(name) for name in ("avx512f", "avx512vnni"))


def stamp(sources: Sequence[Path]) -> str:
    """What code made ahead depends on: versions, the sort of machine, and the bytes of the source files."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return " ".join(
        (numba.__version__, llvmlite.__version__, sys.platform, platform.machine(), digest.hexdigest())
    )


@lru_cache(maxsize=1)
def _members(sources: tuple[Path, ...]) -> dict[str, list[str]]:
    """Members of the file that suit this machine, under the name of their function; none if it is stale."""
    members: dict[str, list[str]] = {}
    odd = hasattr(sys, "abiflags") and sys.abiflags  # of debugging, or without the GIL
    if odd or sys.version_info[:2] not in PYTHONS:
        return {}
    with zipfile.ZipFile(FILE) as file:
        if file.comment.decode() != stamp(sources):
            return {}
        unfit = LOOPS if has_vnni() else VNNI
        for member in file.namelist():
            if not member.endswith(unfit):
                members.setdefault(member.rpartition("/")[0], []).append(member)
    return members


def load(
    name: str, types: tuple[Any, ...], codegen: Any, sources: tuple[Path, ...]
) -> tuple[Any, ...] | None:
    """A function made for this processor, as Numba keeps it; None if the file has none for arguments of these
    types. Raises whatever a damaged file brings about.
    """
    for member in _members(sources).get(name, ()):
        with zipfile.ZipFile(FILE) as file:
            made_for, library, bitcode, rest = pickle.loads(file.read(member))
        if made_for == types:
            return _finish(library, bitcode, codegen), *rest
    return None


def _finish(name: str, bitcode: bytes, codegen: Any) -> tuple[str, str, tuple[bytes, bytes]]:
    """Let LLVM make the best of it, as Numba does, and machine code. Returns it as Numba keeps it."""
    library = codegen.create_library(name)
    library._final_module = llvm.parse_bitcode(bitcode)
    library._optimize_final_module()
    library._final_module.verify()
    library._finalized = True  # in so far as others may link to it
    code = codegen._tm.emit_object(library._final_module)
    return name, "object", (code, library._get_module_for_linking().as_bitcode())
