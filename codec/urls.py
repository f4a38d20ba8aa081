"""URLs, such as s3://bucket/photo.ardm or zip://a.png::photos.zip: which names are URLs, what their parts
are, and the bytes behind one, by fsspec, which is imported with the first URL that is opened.

Knows no images, no .ardm files, and nothing of where results go. Whatever goes wrong, in fsspec or in a
library behind it, becomes one sentence.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
from collections.abc import Iterator
from typing import Any

from codec.errors import ArdmError, InputError, LimitError
from codec.limits import show_size

PIECE = 1 << 20  # bytes that are read at once
BLOCK = 1 << 15  # bytes that a file object asks for beyond what is wanted
_CHAIN = "::"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(://|::)")
LOCAL = ("file", "local")
WITH_QUERY = ("http", "https")  # where what follows a "?" is no part of a name


def is_url(name: str) -> bool:
    """Whether a name is a URL and no path: it begins with a scheme and "://", or with a scheme and "::"
    before such ("simplecache::s3://bucket/photo.png"). Before a path that begins like this "./" is written.
    """
    match = _SCHEME.match(name)
    return match is not None and (match[2] == "://" or "://" in name)


def local_path(name: str) -> str | None:
    """The path that a URL of this machine's files means, else None. As in fsspec, "%20" is no space."""
    scheme, separator, path = name.partition("://")
    if not separator or scheme.lower() not in LOCAL or _CHAIN in name:
        return None
    return path[1:] if os.name == "nt" and re.match(r"/[A-Za-z]:", path) else path


class Url:
    """A URL, and the parts of its name. Nothing is opened before it is asked for."""

    def __init__(self, name: str) -> None:
        self.name = name
        links = name.split(_CHAIN)
        at = next((i for i, link in enumerate(links) if "://" in link), 0)
        self._before, self._after = links[:at], links[at + 1 :]
        self.scheme, _, path = links[at].partition("://")
        self.path, self._query = path, ""
        if self.scheme.lower() in WITH_QUERY and (cut := re.search(r"[?#]", path)):
            self.path, self._query = path[: cut.start()], path[cut.start() :]

    @property
    def chained(self) -> bool:
        """Whether it is looked for within another URL."""
        return bool(self._before or self._after)

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of folders and of the file: of s3://bucket/a/b.png bucket, a, b.png."""
        return tuple(part for part in self.path.split("/") if part)

    @property
    def base(self) -> str:
        """The name of the file, empty for a URL that ends in "/"."""
        return self.path.rpartition("/")[2]

    def with_path(self, path: str) -> Url:
        """The same, of another path, and without what was asked for of the first."""
        return Url(_CHAIN.join([*self._before, f"{self.scheme}://{path}", *self._after]))

    def sibling(self, base: str) -> Url:
        """Of another file in the same folder."""
        return self.with_path(self.path[: len(self.path) - len(self.base)] + base)

    def child(self, *parts: str) -> Url:
        """Of what is in this folder."""
        folder = self.path if self.path.endswith("/") or not self.path else self.path + "/"
        return self.with_path(folder + "/".join(parts))

    def located(self) -> tuple[Any, str]:
        """(file system of fsspec, path in it). Raises InputError."""
        with failing(InputError, "cannot be used"):
            try:
                from fsspec.core import url_to_fs
            except ImportError as error:
                raise InputError(f"a URL needs fsspec: pip install 'ardm[fsspec]' ({error}).") from error
            try:
                if not self.chained or self._before or not self.path:
                    return url_to_fs(self.name)
                # one archive for all files in it: its directory is read once
                fs = _archive(self.with_path("").name)
                return fs, fs._strip_protocol(f"{self.scheme}://{self.path}")
            except ImportError as error:
                raise InputError(f"{self.scheme}:// needs one more package: {said(error)}.") from error

    def open(self, most: int | None = None) -> UrlFile:
        """A file object, of which what is read is fetched. most: bytes that may be fetched if the server can
        only send all of it. Raises InputError.
        """
        return UrlFile(self, most)

    def read(self, most: int | None = None) -> bytes:
        """All of it. Raises InputError, or LimitError for more than `most` bytes."""
        fs, path = self.located()
        with failing(InputError, "cannot be read"):
            if most is None:
                return bytes(fs.cat_file(path))
            with fs.open(path, "rb") as file:
                return read_at_most(file, most)


class UrlFile:
    """A binary file object that can seek, whose errors are InputErrors. Not thread-safe."""

    def __init__(self, url: Url, most: int | None) -> None:
        self._url, self._most = url, most
        fs, path = url.located()
        with failing(InputError, "cannot be read"):
            self._file: Any = fs.open(path, "rb", block_size=BLOCK)

    def __enter__(self) -> UrlFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        return self._do("seek", place, whence)

    def tell(self) -> int:
        return self._do("tell")

    def read(self, size: int = -1) -> bytes:
        return self._do("read", size)

    def close(self) -> None:
        with failing(InputError, "cannot be read"):
            self._file.close()

    def _do(self, what: str, *given: int) -> Any:
        with failing(InputError, "cannot be read"):
            try:
                return getattr(self._file, what)(*given)
            except (ValueError, NotImplementedError, io.UnsupportedOperation):
                if isinstance(self._file, io.BytesIO) or self._file.closed:
                    raise
                # a server that knows no ranges, as fsspec says by a ValueError: it sends all
                at = self._file.tell()
                whole = io.BytesIO(self._url.read(self._most))
                whole.seek(at)
                self.close()
                self._file = whole
                return getattr(whole, what)(*given)


@functools.lru_cache(maxsize=1)
def _archive(name: str) -> Any:
    """The file system of an archive, such as zip://::photos.zip."""
    from fsspec.core import url_to_fs

    return url_to_fs(name)[0]


def read_at_most(file: Any, most: int) -> bytes:
    """What is left of a file object. Raises LimitError for more than `most` bytes, and then reads no more."""
    parts, left = [], most + 1
    while left and (part := file.read(min(left, PIECE))):
        parts.append(part)
        left -= len(part)
    if not left:
        raise LimitError(
            f"has more than {show_size(most)}, the limit of the memory for all; raise it with --memory."
        )
    return b"".join(parts)


@contextlib.contextmanager
def failing(kind: type[ArdmError], what: str) -> Iterator[None]:
    """Within, whatever fsspec and the libraries behind it raise becomes an error of this kind. what: could
    not be done.
    """
    try:
        yield
    except (ArdmError, MemoryError):
        raise
    except FileNotFoundError as error:
        cause = error.__cause__  # fsspec says so, too, of a server that cannot be reached, or says 403
        other = isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)
        if isinstance(cause, Exception) and (other or getattr(cause, "status", 404) != 404):
            raise kind(f"{what}: {said(cause)}.") from error
        reads = issubclass(kind, InputError)
        raise kind("does not exist." if reads else f"{what}: its folder or bucket does not exist.") from None
    except IsADirectoryError:
        raise kind("is a directory; expected a file.") from None
    except PermissionError:
        raise kind(f"{what}: permission denied.") from None
    except Exception as error:  # of any of a dozen libraries, which have no common base
        raise kind(f"{what}: {said(error)}.") from error


def said(error: Exception) -> str:
    """What an error says, on one line."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return text.strip().splitlines()[0][:300].rstrip(".")
