"""URLs: which names are some, what their parts are, what is fetched of them, and what is said if that fails."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import codec
from codec import InputError, LimitError, compress, text
from codec.urls import Url, is_url, local_path
from tests.processes import ROOT
from tests.servers import serving


@pytest.fixture(autouse=True)
def _empty_memory() -> None:
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.mark.parametrize(
    ("name", "scheme", "base", "parts", "chained"),
    [
        ("s3://bucket/a/b.png", "s3", "b.png", ("bucket", "a", "b.png"), False),
        ("s3://bucket/a/", "s3", "", ("bucket", "a"), False),
        ("s3://bucket/why?.png", "s3", "why?.png", ("bucket", "why?.png"), False),
        ("https://host/a.png?key=1/2#top", "https", "a.png", ("host", "a.png"), False),
        ("zip://in/a.png::b.zip", "zip", "a.png", ("in", "a.png"), True),
        ("zip://::b.zip", "zip", "", (), True),
        ("simplecache::s3://bucket/a.png", "s3", "a.png", ("bucket", "a.png"), True),
    ],
)
def test_parts_of_a_url(name: str, scheme: str, base: str, parts: tuple[str, ...], chained: bool) -> None:
    url = Url(name)
    assert is_url(name)
    assert (url.scheme, url.base, url.parts, url.chained) == (scheme, base, parts, chained)


def test_urls_of_others_in_the_same_place() -> None:
    assert Url("https://host/a.png?key=1").sibling("a.ardm").name == "https://host/a.ardm"
    assert Url("zip://in/a.png::b.zip").sibling("c").name == "zip://in/c::b.zip"
    assert Url("zip://::b.zip").child("in", "a.png").name == "zip://in/a.png::b.zip"
    assert Url("s3://bucket/a/").child("b", "c").name == "s3://bucket/a/b/c"
    assert Url("s3://bucket/a").child("b", "c").name == "s3://bucket/a/b/c"
    assert Url("simplecache::s3://b/x/a.png").sibling("c").name == "simplecache::s3://b/x/c"


def test_paths_are_no_urls() -> None:
    for name in ("a.png", "./s3://a.png", "std::vector.png", "C:\\a.png", "a/b://c", "", "://a"):
        assert not is_url(name)
    assert local_path("file:///a/b%20c.png") == "/a/b%20c.png"
    assert local_path("local://b.png") == "b.png"
    assert local_path("s3://b.png") is local_path("zip://a::file://b") is local_path("b.png") is None


@pytest.mark.parametrize("ranges", ["bytes", "none", ""])
def test_an_image_on_a_web_server(ranges: str, photo: np.ndarray) -> None:
    """Only what is needed is fetched, if the server knows how."""
    pixels = photo
    data = compress(pixels, tile=64, plain=True, verify=False)
    with serving({"photo.ardm": data}, ranges) as server, codec.open(server.url + "photo.ardm") as image:
        assert image.shape == pixels.shape
        assert np.array_equal(image.read((0, 0, 60, 60)), pixels[:60, :60])
        assert np.array_equal(image.read((700, 460, 768, 512)), pixels[460:, 700:])
        assert (sum(server.sent) < len(data) / 2) == (ranges == "bytes")
        image.close()
        with pytest.raises(InputError, match="closed"):
            image.read((0, 0, 1, 1))


@pytest.mark.parametrize(
    ("status", "says"), [(404, "does not exist."), (403, "cannot be read: 403"), (500, "cannot be read: 500")]
)
def test_what_a_server_refuses(status: int, says: str) -> None:
    with serving({"a": status}) as server:
        for do in (Url.open, Url.read):
            with pytest.raises(InputError, match=says):
                do(Url(server.url + "a"))


def test_what_a_server_may_send_is_limited() -> None:
    with serving({"a": bytes(5000)}, ranges="") as server:
        assert Url(server.url + "a").read(5000) == bytes(5000)
        with pytest.raises(LimitError, match="has more than 1 MiB, the limit of the memory for all"):
            Url(server.url + "a").read(4999)
        with Url(server.url + "a").open(4999) as file:
            file.seek(4000)
            with pytest.raises(LimitError, match="has more than"):
                file.read(10)


class Counting(MemoryFileSystem):
    """Whose files tell what is read of them."""

    protocol = "counting"
    taken = 0

    def _open(self, path: str, mode: str = "rb", **given: object) -> object:
        file = super()._open(path, mode, **given)
        read = file.read

        def counted(size: int = -1) -> bytes:
            found = read(size)
            Counting.taken += len(found)
            return found

        file.read = counted
        return file

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("counting://"))


def test_of_a_url_only_what_is_touched_is_read(photo: np.ndarray) -> None:
    fsspec.register_implementation("counting", Counting, clobber=True)
    pixels = photo[:256, :256]
    data = compress(pixels, tile=32, plain=True, verify=False)
    fsspec.filesystem("counting").pipe_file("/a.ardm", data)
    with codec.open("counting://a.ardm") as image:
        before = Counting.taken
        assert np.array_equal(image.read((33, 33, 60, 60)), pixels[33:60, 33:60])
        assert 0 < Counting.taken - before < len(data) / 20


def test_archives_and_files(tmp_path: Path, photo: np.ndarray) -> None:
    data = compress(photo[:20, :30], plain=True)
    (tmp_path / "a.ardm").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/a.ardm", data)
    for url in (f"zip://in/a.ardm::{tmp_path}/b.zip", f"file://{tmp_path}/a.ardm"):
        with codec.open(url) as image:
            assert np.array_equal(image.read(), photo[:20, :30])


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("memory://none.ardm", "does not exist"),
        ("file:///none/none.ardm", "No such file"),
        ("zip://none.ardm::memory://none.zip", "does not exist"),
        ("nothing://a.ardm", "Protocol not known: nothing"),
        ("http://127.0.0.1:1/a.ardm", "cannot be read: .*[Cc]onnect"),
        ("s3://bucket/a.ardm", "needs one more package: Install s3fs"),
    ],
)
def test_what_cannot_be_opened_is_one_sentence(url: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InputError, match=says) as error:
        codec.open(url)
    assert str(error.value).startswith(f"{url}: ")
    assert "\n" not in str(error.value)


def test_without_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "fsspec"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"a URL needs fsspec: pip install 'ardm\[fsspec\]'"):
        codec.open("memory://a.ardm")


def test_damage_behind_a_url_is_found(photo: np.ndarray) -> None:
    data = bytearray(compress(photo[:20, :30], plain=True))
    data[-3] ^= 1
    fsspec.filesystem("memory").pipe_file("/a.ardm", bytes(data))
    with codec.open("memory://a.ardm") as image, pytest.raises(codec.CorruptError, match="checksum"):
        image.read()


def test_nothing_that_needs_no_url_loads_fsspec(tmp_path: Path) -> None:
    path = tmp_path / "file.ardm"
    path.write_bytes(text.pack(b"short"))
    script = f"""
import sys
import codec
from codec.commands.cli import decompress_main
assert codec.compress and codec.open
for given in (["--help"], ["-l", {str(path)!r}], ["-r", "-l", {str(tmp_path)!r}]):
    sys.argv = ["ardm-decompress", *given]
    try:
        decompress_main()
    except SystemExit as end:
        assert not end.code
print([name for name in ("fsspec", "ray") if name in sys.modules])
"""
    found = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert found.stdout.splitlines()[-1] == "[]"
