"""`compiled`: Numba's njit, whose machine code is kept for later processes where it can be; `internal` and
`inlined`: what only such functions call. Knows nothing of what is compiled.

What is kept saves seconds, as does what was made ahead (`ardm.ahead`), no more: where it cannot be written (a
full disk, a user without a home) or read again (a file cut short when the power went), the function is
compiled anew, and that is all. Numba itself makes each of these an exception. Kept code holds that of the
functions which it calls, from whatever file; so it counts as stale once any of these packages' files has
changed.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any

from numba import njit, types
from numba.core.caching import FunctionCache, NullCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, CompileResult
from numba.core.sigutils import normalize_signature

from ardm import ahead
from ardm.folder import existing_folder

# folders of files that hold compiled functions
PACKAGES = (
    "ardm",
    "ardm/exact",
    "ardm/training",
    "codec/coder",
    "codec/coder/jpeg",
    "codec/formats",
    "codec/png",
    "codec/png/exact",
    "codec/text",
)
# Options of compiled functions that only borrow arrays: they make none and return none. Numba counts
# references to every array of a tuple at every call, by atomic additions, and cannot tell that these come to
# nothing where there are branches (its issues 2345 and 2350).
BORROWING: dict[str, Any] = {"error_model": "numpy", "_nrt": False}


# of Numba, that `internal` changes; none of them is documented
HOOKS = [
    (JITCodeLibrary, "_optimize_final_module"),
    (JITCodeLibrary, "_finalize_final_module"),
    (JITCodeLibrary, "_finalize_dynamic_globals"),
    (JITCodeLibrary, "_verify_declare_only_symbols"),
    (JITCodeLibrary, "get_pointer_to_function"),
    (Compiler, "_compile_core"),
]
_all: list[Any] = []  # functions that `compiled` made


def all_compiled() -> tuple[Any, ...]:
    """Functions that `compiled` made in this process; empty with NUMBA_DISABLE_JIT."""
    return tuple(_all)


def kept_in() -> set[str]:
    """Folders where the code is kept of all that this process has compiled, or has read from there. Raises
    OSError if any of it is not kept.
    """
    folders = set()
    for made in _all:
        if not made.signatures:
            continue
        folder = Path(made._cache.cache_path) if isinstance(made._cache, _Cache) else None
        if not (folder and any(folder.glob(f"{made._cache._impl.filename_base}*.nbi"))):
            raise OSError(f"the code of {made.py_func.__qualname__} is not kept")
        folders.add(str(folder))
    return folders


@lru_cache
def sources(but: str = "") -> tuple[Path, ...]:
    """Every file that may hold compiled functions, in all packages but one."""
    root = Path(__file__).parent.parent
    return tuple(sorted(path for name in PACKAGES if name != but for path in (root / name).glob("*.py")))


def sources_ahead() -> tuple[Path, ...]:
    """The files from which code is made ahead: nothing that is coded needs the training's."""
    return sources(but="ardm/training")


@lru_cache(maxsize=1)
def _stamp() -> tuple[tuple[str, int, int], ...]:
    """Name, size and time of every file that may hold compiled functions."""
    return tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sources())


def full_name(function: Any) -> str:
    """Of a Python function: module and name."""
    return f"{function.__module__}.{function.__qualname__}"


def _made_ahead(function: Any, sig: Any, target_context: Any) -> tuple[Any, ...] | None:
    """What the package brings of a function for these arguments, made for this processor, as Numba keeps it;
    None if nothing.
    """
    with suppress(Exception):  # whatever another version's, or a damaged, pickle may raise
        types, _ = normalize_signature(sig)
        return ahead.load(full_name(function), types, target_context.codegen(), sources_ahead())
    return None


class _Cache(FunctionCache):
    """Kept code, all of whose faults pass for having none; then what was made ahead."""

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (*super()._index_key(sig, codegen), _stamp())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with suppress(Exception):  # whatever a damaged pickle may raise
            found = super().load_overload(sig, target_context)
            if found is None and (made := _made_ahead(self._py_func, sig, target_context)):
                self._keep(sig, target_context, made)
                found = CompileResult._rebuild(target_context, *made)
            return found
        with suppress(OSError):
            self.flush()  # else it would be damaged for the next process, too
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(Exception):  # of the disk, or of a damaged index that could not be flushed
            super().save_overload(sig, data)

    def _keep(self, sig: Any, target_context: Any, made: tuple[Any, ...]) -> None:
        """As `save_overload`, of what was made ahead."""
        with suppress(Exception):
            self._impl.locator.ensure_cache_path()
            self._cache_file.save(self._index_key(sig, target_context.codegen()), made)


class _Nowhere(NullCache):
    """No folder to keep code in: all there is, is what was made ahead."""

    def __init__(self, function: Any) -> None:
        self._py_func = function

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        made = _made_ahead(self._py_func, sig, target_context)
        return made and CompileResult._rebuild(target_context, *made)


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator as `numba.njit(**options)`; the code releases the GIL."""

    def compile_later(function: Callable[..., Any]) -> Callable[..., Any]:
        made: Any = njit(nogil=True, **options)(function)
        if made is not function:  # which it is with NUMBA_DISABLE_JIT
            _all.append(made)
            try:
                made._cache = _Cache(function)
            except (RuntimeError, OSError):
                made._cache = _Nowhere(function)
            made.compile = _at_ease(made.compile)
        return made

    return compile_later


class _Draft(JITCodeLibrary):
    """The code of a function that is only ever put into that of others, where LLVM makes the best of it: by
    itself it is neither made better nor turned into machine code, which took a third of the time to compile.
    What functions share was also worse for having been vectorised before it was put in place.
    """

    class Codegen:
        """The usual one, but for the environment, which functions without Python objects do not look at."""

        def __init__(self, usual: Any) -> None:
            self._usual = usual

        def __getattr__(self, name: str) -> Any:
            return getattr(self._usual, name)

        def set_env(self, name: str, env: Any) -> None:
            pass

    @property
    def codegen(self) -> Any:
        return self.Codegen(self._codegen)

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0


class _Drafting(Compiler):
    """Numba's compiler, for drafts."""

    def _compile_core(self) -> Any:
        if self.state.library is None:
            name = self.state.func_id.func_qualname
            self.state.library = _Draft(self.state.targetctx.codegen(), name)
            self.state.library.enable_object_caching()
        return super()._compile_core()


def internal(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator as `compiled` for what only compiled functions call. Python cannot: such a call crashes."""
    how: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    # where Numba has changed they are compiled as others are, which takes longer
    if all(hasattr(owner, name) for owner, name in HOOKS):
        how["pipeline_class"] = _Drafting
    decorate: Any = njit(nogil=True, **how, **options)
    return lambda function: _whatever_the_numbers(decorate(function))


def _whatever_the_numbers(made: Any) -> Any:
    """One function for all callers. Numba makes another for every number that stands in a call, and for those
    that variables start from; LLVM, which puts functions in place, sees the numbers anyway.
    """
    ask = getattr(made, "get_call_template", None)
    if ask is not None:  # there is none with NUMBA_DISABLE_JIT

        def get_call_template(args: Any, kws: Any) -> Any:
            return ask(tuple(map(types.unliteral, args)), {k: types.unliteral(v) for k, v in kws.items()})

        made.get_call_template = get_call_template
    return made


def inlined(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator as `internal`, whose callers keep no call to the function.

    LLVM puts it in place. Where Numba did that (inline="always"), it typed and lowered every copy anew: the
    mixing coder took a quarter more time to compile, and its code a tenth more to run.
    """
    return internal(forceinline=True, **options)


def _at_ease(compile_one: Callable[..., Any]) -> Callable[..., Any]:
    """Numba asks for the working directory while it compiles, to shorten names of files, and fails where that
    has been deleted. It makes millions of objects, of which hardly any can be freed before it is done: that
    Python looked for those, again and again, took a fifteenth of the time.
    """

    @wraps(compile_one)
    def compile_there(*given: Any, **named: Any) -> Any:
        collecting = gc.isenabled()
        gc.disable()
        try:
            with existing_folder():
                return compile_one(*given, **named)
        finally:
            if collecting:
                gc.enable()

    return compile_there
