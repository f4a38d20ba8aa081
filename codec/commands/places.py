"""`Place`: where a file is or shall be: on this machine, behind a URL, or at a standard stream. Each reads,
checks, writes and removes in its own way, and nobody else asks which it is.

Knows neither what is in files nor how results are called; `codec.commands.tree` knows which are meant.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
from collections.abc import Callable, Hashable, Iterator
from enum import StrEnum
from pathlib import Path, PurePath
from typing import IO

from codec.commands import files
from codec.errors import ArdmError, ExistsError, InputError, OutputError, VerifyError
from codec.urls import Url, UrlFile, failing, is_url, local_path

# Of these a put makes all of a file at once or nothing of it. Others get a temporary file, which is moved.
WHOLE_PUTS = ("memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "tos")
READ_ONLY = ("http", "https", "zip", "tar", "libarchive", "git", "github", "gist", "data", "reference")
IS_FOLDER = "is a directory; expected a file, or -r to take all that is in it."


class Left(StrEnum):
    """What is not taken of a folder, for people, after a number."""

    OTHER = "without an image (--all takes them, too)"
    ARDM = "compressed already (.ardm)"
    HIDDEN = "hidden (name them, or list them with --files-from)"
    LINK = "behind symbolic links"
    SPECIAL = "special (devices, pipes, sockets)"


class LeftOut(Exception):
    """A file, or all in a folder, is not taken, though nothing is wrong with it."""

    def __init__(self, kind: Left) -> None:
        super().__init__(kind)
        self.kind = kind


# what was found: names from the folder that was searched on, the place, and why it cannot be taken
Found = tuple[tuple[str, ...], "Place", "ArdmError | LeftOut | None"]


class Place:
    """A file or folder that is, or may be.

    name: as it was given, or as its folder was. Methods that read raise InputError, those that write
    OutputError.
    """

    name: str
    stream = False  # a standard stream, which has no folder, nor is one: nobody asks it for such
    near = False  # to ask what it is costs nothing

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.name

    @property
    def on_disk(self) -> str:
        """The path of the file whose mode, owner and times a result may have; `files.STREAM`: of none."""
        return files.STREAM

    def changed(self) -> int | None:
        """When a file that is not on disk was changed, in ns; None if that is not known."""
        return None

    def size(self) -> int | None:
        """Bytes of a file, where that costs nothing to ask."""
        return None

    @property
    def base(self) -> str:
        """The name of the file in its folder."""
        return ""

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of folders and of the file, from the top on, as far as the name has them."""
        return ()

    @property
    def means_content(self) -> bool:
        """Whether the name of a folder means what is in it, and not the folder itself: it ends in "/"."""
        return False

    def key(self) -> Hashable:
        """The same for all names of one place."""
        raise NotImplementedError

    def sibling(self, base: str) -> Place:
        """A file in the same folder."""
        raise NotImplementedError

    def child(self, *parts: str) -> Place:
        """A file in or below this folder."""
        raise NotImplementedError

    def is_folder(self) -> bool:
        return False

    def find(self, hidden: Callable[[str], bool]) -> Iterator[Found]:
        """All files in and below this folder, in the order of their names. Symbolic links are not followed,
        and nothing of what is hidden is looked at.
        """
        return iter(())

    def check_folder(self) -> None:
        """Raise OutputError if it is a file, and so can be no folder."""

    def check_source(self, removing: bool) -> None:
        """Raise InputError, before any work, for what cannot be read, or removed afterwards."""

    def read(self, most: int | None = None) -> bytes:
        """All of it. Raises LimitError, too, for more than `most` bytes."""
        raise NotImplementedError

    def open(self, most: int | None = None) -> contextlib.AbstractContextManager[IO[bytes] | UrlFile]:
        """A file object that can seek. most: bytes that may be read if all must be."""
        raise NotImplementedError

    def read_start(self, count: int) -> bytes:
        """The first bytes; fewer only if there are no more, whatever a server sends at once."""
        parts = []
        with self.open() as file:
            while count and (part := file.read(count)):
                parts.append(part)
                count -= len(part)
        return b"".join(parts)

    def check_target(self, source: Place, force: bool, makes_folders: bool = False) -> None:
        """Refuse, before any work, what would overwrite a file without `force`, or the source with or without
        it. makes_folders: `make_folders` will be called.
        """
        raise NotImplementedError

    def exists(self) -> bool:
        """Whether anything is there."""
        raise NotImplementedError

    def make_folders(self, source: Place) -> None:
        """Make the folder that this file shall be in, like the source's where it has the same name."""
        raise NotImplementedError

    def write(self, data: bytes, source: Place, force: bool) -> None:
        """Write all of it or nothing, with the mode, owner and times of the source as far as that is possible
        here.
        """
        raise NotImplementedError

    def remove(self) -> None:
        """Raises OutputError."""
        raise NotImplementedError


class Local(Place):
    """On this machine. path: as `open` takes it; name: a URL of it, if it was given as such."""

    near = True

    def __init__(self, path: str, name: str = "") -> None:
        self.path = path if path != files.STREAM else os.path.join(os.curdir, path)
        self.name = name or self.path

    @property
    def on_disk(self) -> str:
        return self.path

    def size(self) -> int | None:
        with contextlib.suppress(OSError):
            return os.path.getsize(self.path)
        return None

    @property
    def base(self) -> str:
        return Path(self.path).name

    @property
    def parts(self) -> tuple[str, ...]:
        path = Path(self.path)
        return path.parts[1:] if path.anchor else path.parts

    @property
    def means_content(self) -> bool:
        return os.path.basename(self.path) in ("", os.curdir, os.pardir)

    def key(self) -> Hashable:
        return os.path.realpath(self.path)

    def _at(self, path: str) -> Local:
        """A path, named as this one was."""
        return Local(path, self.name[: len(self.name) - len(self.path)] + path if self._is_url else "")

    @property
    def _is_url(self) -> bool:
        return self.name != self.path

    def sibling(self, base: str) -> Local:
        return self._at(str(Path(self.path).with_name(base)))

    def child(self, *parts: str) -> Local:
        return self._at(os.path.join(self.path, *parts))

    def is_folder(self) -> bool:
        return os.path.isdir(self.path)

    def find(self, hidden: Callable[[str], bool]) -> Iterator[Found]:
        waiting: list[tuple[tuple[str, ...], os.DirEntry[str] | None]] = [((), None)]
        while waiting:
            parts, entry = waiting.pop()
            place = self.child(*parts)
            try:
                with files.reading():
                    if entry and (entry.is_symlink() or not entry.is_dir() or hidden(entry.name)):
                        yield parts, place, _left_out(entry, hidden)
                        continue
                    with os.scandir(place.path) as entries:
                        below = sorted(entries, key=lambda one: one.name, reverse=True)
            except InputError as error:
                yield parts, place, error
            else:
                waiting += [((*parts, one.name), one) for one in below]

    def check_folder(self) -> None:
        if os.path.exists(self.path) and not self.is_folder():
            raise OutputError(f"{self.name} is a file; expected a folder, or a name for a new one.")

    def check_source(self, removing: bool) -> None:
        files.check_input(self.path)

    def read(self, most: int | None = None) -> bytes:
        return files.read_input(self.path, most)

    @contextlib.contextmanager
    def open(self, most: int | None = None) -> Iterator[IO[bytes]]:
        files.check_input(self.path)
        with files.reading(), open(self.path, "rb") as file:
            yield file

    def check_target(self, source: Place, force: bool, makes_folders: bool = False) -> None:
        files.check_output(Path(self.path), source.on_disk, force, makes_folders)

    def exists(self) -> bool:
        return os.path.lexists(self.path)

    def make_folders(self, source: Place) -> None:
        like = None if source.on_disk == files.STREAM else Path(source.on_disk).parent
        files.make_folders(Path(self.path).parent, like)

    def write(self, data: bytes, source: Place, force: bool) -> None:
        files.write_output(Path(self.path), data, source.on_disk, force, source.changed())

    def remove(self) -> None:
        try:
            os.unlink(self.path)
        except OSError as error:
            raise OutputError(f"{error.strerror}.") from error


class Remote(Place):
    """Behind a URL, by fsspec."""

    def __init__(self, url: Url) -> None:
        self.url, self.name = url, url.name
        self.writable = not url.chained and url.scheme.lower() not in READ_ONLY

    @property
    def base(self) -> str:
        return self.url.base

    @property
    def parts(self) -> tuple[str, ...]:
        return self.url.parts

    @property
    def means_content(self) -> bool:
        return not self.url.base

    def key(self) -> Hashable:
        return self.url.located()

    def changed(self) -> int | None:
        with contextlib.suppress(Exception):  # of any kind; many cannot tell
            fs, path = self.url.located()
            return int(fs.modified(path).timestamp() * 1e6) * 1000
        return None

    def sibling(self, base: str) -> Remote:
        return Remote(self.url.sibling(base))

    def child(self, *parts: str) -> Remote:
        return Remote(self.url.child(*parts))

    def is_folder(self) -> bool:
        if self.url.scheme.lower() in ("http", "https"):  # where to ask is to fetch the file
            return self.name.endswith("/")
        fs, path = self.url.located()
        with failing(InputError, "cannot be read"):
            return bool(fs.isdir(path))

    def find(self, hidden: Callable[[str], bool]) -> Iterator[Found]:
        fs, root = self.url.located()
        with failing(InputError, "cannot be read"):
            names = [str(name) for name in fs.find(root)]
        root = root.rstrip("/") + "/" if root.rstrip("/") else ""
        seen: set[tuple[str, ...]] = set()  # what is hidden
        below = (name.removeprefix(root).strip("/") for name in names if name.startswith(root))
        for parts in sorted({tuple(name.split("/")) for name in below if name}):
            place = self.child(*parts)
            cut = next((i + 1 for i, part in enumerate(parts) if hidden(part)), 0)
            if not all(map(_is_plain, parts)):
                yield parts, place, InputError("has a name that leads out of its folder; not taken.")
            elif cut and parts[:cut] not in seen:
                seen.add(parts[:cut])
                yield parts, place, LeftOut(Left.HIDDEN)
            elif not cut:
                yield parts, place, None

    def check_source(self, removing: bool) -> None:
        if removing and not self.writable:
            raise InputError("can only be read, not removed; leave out --rm.")

    def _explained(self, error: InputError) -> InputError:
        """An error of reading, which says so if this is a folder. Many stores have no folders, only names
        that begin alike, so that it is asked only when there is no such file.
        """
        with contextlib.suppress(ArdmError):
            if self.is_folder():
                return InputError(IS_FOLDER)
        return error

    def read(self, most: int | None = None) -> bytes:
        try:
            return self.url.read(most)
        except InputError as error:
            raise self._explained(error) from error

    def open(self, most: int | None = None) -> UrlFile:
        try:
            return self.url.open(most)
        except InputError as error:
            raise self._explained(error) from error

    def check_target(self, source: Place, force: bool, makes_folders: bool = False) -> None:
        if not self.writable:
            raise OutputError(
                f"the output {self.name} cannot be: what is there can only be read; say with -o or "
                "--output-dir where to write."
            )
        if not _is_plain(self.base):
            raise OutputError(f"the output {self.name} names no file; add one, or use --output-dir.")
        if not source.stream and source.key() == self.key():
            raise OutputError(f"input and output are the same file, {self.name}.")
        existing = self._type()
        if existing == "directory":
            raise OutputError(f"the output {self.name} is a directory; name a file, or use --output-dir.")
        if existing and not force:
            raise ExistsError(f"the output {self.name} {files.EXISTS}.")

    def exists(self) -> bool:
        return bool(self._type())

    def _type(self) -> str:
        """What is there, as fsspec calls it; nothing if nothing is."""
        with self._writing():
            fs, path = self.url.located()
            fs.invalidate_cache(fs._parent(path))  # others write, too
            try:
                return str(fs.info(path)["type"])
            except FileNotFoundError:
                return ""

    def make_folders(self, source: Place) -> None:
        fs, path = self.url.located()
        if self.url.scheme.lower() not in WHOLE_PUTS:  # these have no folders
            with self._writing():
                fs.makedirs(fs._parent(path), exist_ok=True)

    def write(self, data: bytes, source: Place, force: bool) -> None:
        fs, path = self.url.located()
        if self.url.scheme.lower() in WHOLE_PUTS:
            self._refuse_existing(force)
            with self._writing():
                fs.pipe_file(path, data)
            return
        folder = path[: len(path) - len(self.base)]
        temporary = f"{folder}.{self.base[:40]}.{secrets.token_hex(8)}.tmp"
        try:
            with self._writing():
                fs.pipe_file(temporary, data)
            self._refuse_existing(force)
            with self._writing():
                fs.mv(temporary, path)
        except BaseException:
            with contextlib.suppress(Exception):
                fs.rm_file(temporary)
            raise

    def _refuse_existing(self, force: bool) -> None:
        """Once more, since work takes time."""
        if not force and self._type():
            raise ExistsError(f"the output {self.name} {files.EXISTS}.")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Within, errors say what could not be written."""
        try:
            with failing(OutputError, "cannot be written"):
                yield
        except OutputError as error:
            raise OutputError(f"the output {self.name}: {error}") from error

    def remove(self) -> None:
        fs, path = self.url.located()
        with failing(OutputError, "it failed"):
            fs.rm_file(path)


class Stream(Place):
    """Standard input and output."""

    name = files.STREAM
    stream = True
    label = "standard input"

    def key(self) -> Hashable:
        return files.STREAM

    def read(self, most: int | None = None) -> bytes:
        return files.read_input(files.STREAM, most)

    def open(self, most: int | None = None) -> IO[bytes]:
        return io.BytesIO(self.read(most))

    def check_target(self, source: Place, force: bool, makes_folders: bool = False) -> None:
        files.check_stdout(force)

    def write(self, data: bytes, source: Place, force: bool) -> None:
        files.write_stream(data)


def place_of(name: str) -> Place:
    """The place of a name that somebody has given; "-" is a stream."""
    return Stream() if name == files.STREAM else file_of(name)


def file_of(name: str) -> Place:
    """The place of a name that means a file, whatever it is."""
    if not is_url(name):
        return Local(name)
    path = local_path(name)
    return Remote(Url(name)) if path is None else Local(path, name)


def remove_source(source: Place, content: bytes, target: Place, data: bytes) -> None:
    """Remove a source whose result is written, after a last look at both. content: of the source when it was
    read; data: what was written.

    Raises VerifyError or OutputError, and then the source is still there, unless it was gone before.
    """
    kept = f"was written to {target.name}, but the source cannot be removed"
    try:
        if target.read() != data:
            raise VerifyError(f"{target.name} reads back otherwise than it was written; the source is kept.")
        if source.read() != content:
            raise OutputError("it has changed meanwhile.")
        source.remove()
    except InputError as error:
        raise OutputError(f"{kept}: one of them {error}") from error
    except OutputError as error:
        raise OutputError(f"{kept}: {error}") from error


def _left_out(entry: os.DirEntry[str], hidden: Callable[[str], bool]) -> LeftOut | None:
    """Why what is no folder to look into is not taken; None for a file."""
    if hidden(entry.name):
        return LeftOut(Left.HIDDEN)
    if entry.is_symlink():
        return LeftOut(Left.LINK)
    return None if entry.is_file() else LeftOut(Left.SPECIAL)


def _is_plain(part: str) -> bool:
    """Whether a name is one of a file or folder, and of no other place, here or on another system."""
    return part not in ("", ".", "..") and "\0" not in part and PurePath(part).name == part
