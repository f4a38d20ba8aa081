"""Files in, files out: atomic writes, standard streams, names. Knows nothing of images."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from codec.errors import ExistsError, InputError, OutputError
from codec.urls import read_at_most

STREAM = "-"
SUFFIX = ".ardm"
EXISTS = "exists already; use -f to overwrite it"
_temporary: set[str] = set()  # files to remove when a signal ends the process


def is_archive(name: str) -> bool:
    """Whether a file is an .ardm file, by its name."""
    return Path(name).suffix.lower() == SUFFIX


def compressed_name(name: str) -> str:
    """What the .ardm file of a file is called: photo.ardm of photo.png, book.txt.ardm of book.txt."""
    path = Path(name)
    return (path.stem if path.suffix.lower() == ".png" else path.name) + SUFFIX


def restored_name(name: str, kept: str, endings: tuple[str, ...]) -> str:
    """What the file in an .ardm file of that name is called. kept: the name that it keeps, or empty; endings:
    of the format of what is in it, none if any will do.

    The kept name counts only for an .ardm file that is still called as `compressed_name` says: it adds an
    ending, and is nobody's way to name a file as he likes. One that has been renamed keeps its new name, with
    the old ending.
    """
    stem = Path(name).stem
    if kept and compressed_name(kept) == stem + SUFFIX:
        return kept
    if not endings or Path(stem).suffix.lower().lstrip(".") in endings:
        return stem
    ending = Path(kept).suffix
    return stem + (ending if ending.lower().lstrip(".") in endings else f".{endings[0]}")


def check_input(name: str) -> None:
    """Raise InputError, before any work, for what `read_input` would not read."""
    with reading():
        if name == STREAM:
            return
        if os.path.isdir(name):
            raise InputError("is a directory; expected a file.")
        if not stat.S_ISREG(os.stat(name).st_mode):
            raise InputError("is not a regular file (a device, pipe or socket).")


def read_input(name: str, most: int | None = None) -> bytes:
    """Whole content of a file, or of standard input for "-". most: bytes that it may have, None for any
    number; what follows is not read.

    Raises InputError with the cause, or LimitError.
    """
    check_input(name)
    with reading(), contextlib.nullcontext(sys.stdin.buffer) if name == STREAM else open(name, "rb") as file:
        return file.read() if most is None else read_at_most(file, most)


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Within, what the system says of a file becomes an InputError."""
    try:
        yield
    except FileNotFoundError:
        raise InputError("does not exist.") from None
    except PermissionError:
        raise InputError("cannot be read: permission denied.") from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.") from error


def check_output(target: Path, source: str, force: bool, makes_folders: bool = False) -> None:
    """Refuse, before any work, what would overwrite a file without `force`, or the source with or without
    it. makes_folders: `make_folders` will be called.
    """
    try:
        # which is an error where the working directory has been deleted, and the target is in it
        os.path.abspath(target)
        if target.is_dir():
            raise OutputError(f"the output {target} is a directory; name a file, or use --output-dir.")
        folder = target.parent
        while makes_folders and not os.path.lexists(folder) and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            wrong = "is no folder" if makes_folders else "does not exist"
            raise OutputError(f"the output folder {folder} {wrong}.")
        if os.path.lexists(target):
            if (
                source != STREAM
                and os.path.exists(source)
                and target.exists()
                and os.path.samefile(target, source)
            ):
                raise OutputError(f"input and output are the same file, {target}.")
            # a rename would put a file in the place of /dev/null
            if target.exists() and not target.is_file():
                raise OutputError(
                    f"the output {target} is not a regular file (a device, pipe or socket); use -c and "
                    "redirect."
                )
            if not force:
                raise ExistsError(f"the output {target} {EXISTS}.")
    except OSError as error:
        raise OutputError(f"the output {target} cannot be used: {error.strerror}.") from error


def write_output(target: Path, data: bytes, source: str, force: bool, changed: int | None = None) -> None:
    """Write atomically: a temporary file beside the target, fsync, rename, fsync of the folder. Mode, owner,
    group and times come from the source; of a source that is no file, `changed` is the time, in ns.

    Raises OutputError. A folder that cannot be told to sync, because it cannot be read or its file system
    does not know how, is no error; one that fails is.
    """
    temporary = str(target.parent / f".{target.name[:40]}.{secrets.token_hex(8)}.tmp")
    try:
        _temporary.add(temporary)  # before it is there, so that no signal comes in between
        try:
            with os.fdopen(
                os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600),
                "wb",
            ) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if source == STREAM:
                mask = os.umask(0)
                os.umask(mask)
                os.chmod(temporary, 0o666 & ~mask)
                if changed is not None:
                    os.utime(temporary, ns=(changed, changed))
            else:
                with contextlib.suppress(OSError):
                    _copy_attributes(source, temporary)
            if force:
                os.replace(temporary, target)
            else:
                _rename_new(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        finally:
            _temporary.discard(temporary)
        _sync_folder(target.parent)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror}.") from error


def make_folders(folder: Path, like: Path | None) -> None:
    """Make a folder and those above it. like: the folder that it mirrors, whose mode, owner and group it
    gets, and so on upwards as long as their names agree. Raises OutputError.
    """
    if folder.is_dir():
        return
    like = like if like and like.name == folder.name else None
    make_folders(folder.parent, like.parent if like else None)
    try:
        if like is None:
            folder.mkdir(exist_ok=True)
            return
        folder.mkdir(0o700, exist_ok=True)
        with contextlib.suppress(OSError):
            mode = _copy_owner(like.stat(), str(folder))
            folder.chmod(mode | 0o700)  # since something is about to be written into it
    except OSError as error:
        raise OutputError(f"the output folder {folder} cannot be made: {error.strerror}.") from error


def _copy_attributes(source: str, copy: str) -> None:
    """Owner and group as far as the system permits, times, extended attributes and mode; nobody gets a right
    that he had not to the source. The mode comes last.
    """
    if os.name != "posix":
        shutil.copystat(source, copy)
        return
    status = os.stat(source)
    mode = _copy_owner(status, copy)
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    for name in os.listxattr(source) if hasattr(os, "listxattr") else ():
        with contextlib.suppress(OSError):
            os.setxattr(copy, name, os.getxattr(source, name))
    os.chmod(copy, mode)


def _copy_owner(status: os.stat_result, copy: str) -> int:
    """Owner and group as far as the system permits. Returns the mode that goes with them.

    So no set-user-id, which would be of whoever runs this, and if the group cannot be kept, no group may do
    more than everybody.
    """
    mode = status.st_mode & 0o777
    if os.name != "posix":
        return mode
    with contextlib.suppress(OSError):  # only root may
        os.chown(copy, status.st_uid, -1)
    try:
        os.chown(copy, -1, status.st_gid)
    except OSError:
        mode &= 0o707 | mode << 3
    return mode


def _sync_folder(folder: Path) -> None:
    """Make a rename last. Raises OSError if the disk fails."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # it may be written but not read, or this system opens no folders
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES):
            raise
    finally:
        os.close(handle)


def _rename_new(temporary: str, target: Path) -> None:
    """Rename, but never over a file that has come into being meanwhile."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise ExistsError(f"the output {target} {EXISTS}.") from None
    except OSError:  # no hard links here
        os.replace(temporary, target)
    else:
        os.unlink(temporary)


def check_stdout(force: bool) -> None:
    """Refuse to write binary data to a terminal without `force`."""
    if sys.stdout.isatty() and not force:
        raise OutputError("binary data is not written to a terminal; use -o, redirect, or -f.")


def write_stream(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        drop_stdout()
        raise OutputError(f"standard output cannot be written: {error.strerror}.") from None


def drop_stdout() -> None:
    """Nobody reads standard output any more; without this Python would report it again while shutting
    down.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_missing_streams() -> None:
    """Standard streams that were closed lead nowhere from now on, rather than into whatever file is opened
    next.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which gets the lowest free number
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


@contextlib.contextmanager
def signals_clean_up() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP remove temporary files and end the process with 128 + number; Ctrl-C is a
    KeyboardInterrupt as always.
    """

    def stop(number: int, frame: object) -> None:
        for name in list(_temporary):
            with contextlib.suppress(OSError):
                os.unlink(name)
        os._exit(128 + number)

    numbers = [signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])
    # nohup stays in force
    numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
