"""Names that come back, chunks that speak of the file's own bytes, foreign bytes after a sound file, and
messages that say what is so.
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from codec import (
    ArdmError,
    CorruptError,
    NotArdmError,
    archive,
    compress,
    container,
    decompress,
    png,
    recover,
    text,
)
from codec.commands import cli, files, work
from codec.limits import NO_LIMITS
from codec.listing import Way
from codec.opened import open_bytes
from codec.samples import Kind
from tests import images, pngs
from tests.processes import only_files

IMAGE = pngs.pixels_of(2, 8, 40, 50)
PNG = pngs.png_of(IMAGE, 2, 8)
PROSE = b"it was the best of times, it was the worst of times. " * 3


def invoke(command: object, *arguments: object, code: int = 0) -> Result:
    done = CliRunner().invoke(command, [str(a) for a in arguments], prog_name="ardm")  # type: ignore[arg-type]
    assert done.exit_code == code, done.output
    return done


def pack(*arguments: object, code: int = 0) -> Result:
    return invoke(cli.compress_command, *arguments, code=code)


def unpack(*arguments: object, code: int = 0) -> Result:
    return invoke(cli.decompress_command, *arguments, code=code)


# ---- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "source", "kept"),
    [
        ("photo.png", PNG, False),
        ("IMG.PNG", PNG, True),
        ("photo", PNG, True),
        ("photo.jpg", PNG, True),
        ("photo.Png", PNG, True),
        ("a.b.PNG", PNG, True),
        ("-x\u0085.PNG", PNG, True),
        ("\udcff.PNG", PNG, True),
        ("IMG.PGM", images.saved(IMAGE[..., 0], "PPM"), False),
        ("grey", images.saved(IMAGE[..., 0], "PPM"), True),
        ("whole", pngs.flushed(PNG) + b"tail", True),
        ("book.txt", PROSE, False),
        ("BOOK", PROSE, False),
    ],
)
def test_names_come_back(tmp_path: Path, name: str, source: bytes, kept: bool) -> None:
    file = tmp_path / name
    file.write_bytes(source)
    pack("--exact", "--rm", "--", file)
    packed = tmp_path / files.compressed_name(name)
    only_files(tmp_path, packed.name)
    data = packed.read_bytes()
    assert (
        (container.SOURCE_NAME in data[:60] or not kept)
        if text.is_text(data)
        else open_bytes(data, NO_LIMITS).name == name * kept
    )
    unpack("--rm", "--", packed)
    only_files(tmp_path, name)
    assert file.read_bytes() == source


def test_a_text_whose_archive_does_not_tell_its_name() -> None:
    plain, named = (text.pack(PROSE, order="plain", name=name) for name in ("", "book.png"))
    assert len(named) == len(plain) + len("book.png") + 6
    assert text.unpack(named) == PROSE
    assert (text.info(plain)["name"], text.info(named)["name"]) == ("", "book.png")
    assert work.name_to_keep("folder/book.png", ()) == "book.png"
    for at in range(len(named)):
        damaged = bytearray(named)
        damaged[at] ^= 16
        with pytest.raises((CorruptError, NotArdmError, ArdmError)):
            text.unpack(damaged)
    chunk = container.chunk(container.SOURCE_NAME, b"book.png")
    for forged in (b"../book.png", b"", b"..", b"a\0", b"n" * 2000):
        with pytest.raises(CorruptError, match="is no name"):
            text.unpack(named.replace(chunk, container.chunk(container.SOURCE_NAME, forged)))


def test_a_renamed_file_keeps_its_new_name_and_its_ending(tmp_path: Path) -> None:
    for name, renamed, back in (
        ("IMG.PNG", "x", "x.PNG"),
        ("photo", "x", "x.png"),
        ("photo.jpg", "x.png", "x.png"),
        ("IMG.PNG", ".x", ".x.PNG"),
    ):
        data = archive.pack(PNG, exactly=True, name=name).data
        (tmp_path / f"{renamed}.ardm").write_bytes(data)
        unpack("--rm", tmp_path / f"{renamed}.ardm")
        only_files(tmp_path, back)
        (tmp_path / back).unlink()


def test_output_options_are_as_ever(tmp_path: Path) -> None:
    (tmp_path / "IMG.PNG").write_bytes(PNG)
    (tmp_path / "out").mkdir()
    pack("--output-dir", tmp_path / "out", tmp_path / "IMG.PNG")
    listed = json.loads(unpack("-l", "--json", tmp_path / "out" / "IMG.ardm").stdout)
    assert listed["name"] == "IMG.PNG"
    unpack("-o", tmp_path / "other", tmp_path / "out" / "IMG.ardm")
    unpack("--output-dir", tmp_path / "out", tmp_path / "out" / "IMG.ardm")
    unpack("--recover", "-f", tmp_path / "out" / "IMG.ardm")
    only_files(tmp_path / "out", "IMG.PNG", "IMG.ardm")
    only_files(tmp_path, "IMG.PNG", "other", "out")
    assert unpack("-c", tmp_path / "out" / "IMG.ardm").stdout_bytes == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize(
    "forged",
    [
        b"../../evil.PNG",
        b"/etc/evil",
        b"IMG.ardm",
        b".bashrc",
        b"a\0b",
        b"",
        b"..",
        b"x" * 5000,
        b"evil\n.PNG",
        b"C:\\evil.PNG",
    ],
)
def test_a_forged_name_names_nothing(tmp_path: Path, forged: bytes) -> None:
    """The name adds an ending to that of the .ardm file, and can do no more."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "IMG.ardm").write_bytes(compress(IMAGE, metadata=((container.SOURCE_NAME, forged),)))
    unpack("--rm", folder / "IMG.ardm")
    expected = "IMG.PNG" if forged.endswith(b".PNG") and b"/" not in forged else "IMG.png"
    only_files(folder, expected)
    only_files(tmp_path, "a")
    assert np.array_equal(png.read((folder / expected).read_bytes(), 10**6).pixels, IMAGE)


def test_what_comes_back_as_another_format_keeps_no_name(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(images.saved(IMAGE, "TIFF", compression="tiff_lzw"))
    pack("--pixels", tmp_path / "picture")
    assert open_bytes((tmp_path / "picture.ardm").read_bytes(), NO_LIMITS).name == ""
    unpack(tmp_path / "picture.ardm")
    assert png.read((tmp_path / "picture.png").read_bytes(), 10**6).kind == Kind()


def test_names_that_are_none_are_not_kept() -> None:
    assert all(container.name_chunk(name) == () for name in ("", ".", "..", "a/b", "a\0", "x" * 1025))
    assert container.name_in(((container.SOURCE_NAME, b"a"), (container.SOURCE_NAME, b"b"))) == ""


# ---- chunks that speak of the file's own bytes -------------------------------------------------------------


def with_chunk(kind: bytes, data: bytes, source: bytes = PNG) -> bytes:
    head, *rest = pngs.split(source)
    return pngs.build([head, (kind, data), *rest])


def apple() -> bytes:
    """As Apple writes screenshots: two halves, the second begins after a flush; iDOT says where."""
    half, squeeze = b"".join(b"\0" + bytes(range(i, i + 192)) for i in range(32)), zlib.compressobj(1)
    first = squeeze.compress(half) + squeeze.flush(zlib.Z_FULL_FLUSH)
    second = squeeze.compress(half) + squeeze.flush()
    offsets = struct.pack(">7I", 2, 0, 32, 40, 32, 32, 52 + len(first))
    return pngs.build(
        [
            (b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)),
            (b"iDOT", offsets),
            (b"IDAT", first),
            (b"IDAT", second),
            (b"IEND", b""),
        ]
    )


SEAL = b'<seal seal="1" d="example.com" ka="rsa" b="F~S,s~f" s="00"/>'
XMP = b'<x:xmpmeta><rdf:Description dcterms:provenance="https://example.com/a.c2pa"/></x:xmpmeta>'
BOUND = {
    "offsets": (apple(), "(iDOT)"),
    "credentials": (with_chunk(b"caBX", b"\0\0\0\x10jumb"), "C2PA content credentials (caBX)"),
    "signature": (with_chunk(b"dSIG", b"\0\1\2"), "a digital signature (dSIG)"),
    "seal": (with_chunk(b"seAl", SEAL), "a SEAL signature (seAl)"),
    "seal in text": (with_chunk(b"tEXt", b"seal\0" + SEAL), "a SEAL signature (tEXt)"),
    "seal in packed text": (
        with_chunk(b"zTXt", b"seal\0\0" + zlib.compress(SEAL)),
        "a SEAL signature (zTXt)",
    ),
    "credentials elsewhere": (
        with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
        "C2PA content credentials (iTXt)",
    ),
    "packed": (
        with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0x\0" + zlib.compress(XMP)),
        "C2PA content credentials (iTXt)",
    ),
    "other library": (with_chunk(b"caBX", b"\0", pngs.flushed(PNG)), "(caBX)"),
}
FREE = [
    PNG,
    with_chunk(b"tEXt", b"Title\0a seal"),
    with_chunk(b"zTXt", b"Title\0\0damaged"),
    with_chunk(b"iTXt", b"none"),
    with_chunk(b"iTXt", b"a\0\1"),
]


@pytest.mark.parametrize("kind", BOUND)
def test_what_speaks_of_its_own_bytes_comes_back_byte_for_byte(tmp_path: Path, kind: str) -> None:
    source, said = BOUND[kind]
    packed = archive.pack(source, exactly=False, verify=True)
    assert packed.way in (Way.EXACT, Way.DIFFERENCE)
    assert packed.untrue == ()
    assert archive.unpack(packed.data) == source
    assert archive.untrue(open_bytes(packed.data, NO_LIMITS)) == []
    assert said in archive.untrue(open_bytes(packed.data, NO_LIMITS), anew=True)[0]
    for pixels_only in (False, True):
        (tmp_path / "a.png").write_bytes(source)
        done = pack("-f", *["--pixels"] * pixels_only, tmp_path / "a.png")
        told = (
            f"{said} speaks of the bytes of the original file, and will not hold for what is made of "
            "its pixels."
        )
        assert (told in done.stderr) == pixels_only
        assert (told in unpack("-f", tmp_path / "a.ardm").stderr) == pixels_only
        assert ((tmp_path / "a.png").read_bytes() == source) or pixels_only


def test_what_only_the_whole_file_can_keep_is_kept_whole() -> None:
    bits = pngs.pixels_of(0, 1, 40, 41)
    plain = pngs.split(pngs.png_of(bits, 0, 1))
    raw = bytearray(zlib.decompress(b"".join(data for kind, data in plain if kind == b"IDAT")))
    raw[6] |= 1  # beyond the last pixel
    source = pngs.build([*plain[:1], (b"caBX", b"\0"), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")])
    packed = archive.pack(source, exactly=False)
    assert packed.way == Way.WHOLE
    assert archive.unpack(packed.data) == source


@pytest.mark.parametrize("source", FREE)
def test_other_chunks_bind_nothing(source: bytes) -> None:
    packed = archive.pack(source, exactly=False)
    assert packed.way == Way.CONTENT
    assert archive.untrue(open_bytes(packed.data, NO_LIMITS), anew=True) == []


# ---- foreign bytes, and recovery where nothing is lost -----------------------------------------------------


@pytest.mark.parametrize("foreign", [b"", b"\n", b"more" * 300])
@pytest.mark.parametrize(
    "source",
    [PNG, pngs.flushed(PNG), images.saved(IMAGE, "BMP"), PNG + b"tail", PROSE],
    ids=["png", "difference", "bmp", "whole", "text"],
)
def test_a_sound_file_is_recovered_whatever_follows_it(tmp_path: Path, source: bytes, foreign: bytes) -> None:
    name = f"a{'' if source == PROSE else '.bmp' if source[:2] == b'BM' else '.png'}"
    (tmp_path / name).write_bytes(source)
    pack("--exact", "--rm", tmp_path / name)
    packed = next(tmp_path.iterdir())
    packed.write_bytes(packed.read_bytes() + foreign)
    if foreign:
        assert "foreign bytes at the end" in unpack(packed, code=4).stderr
    done = unpack("--recover", packed)
    assert (
        f"nothing is lost{f'; there are {len(foreign)} foreign bytes at the end' * bool(foreign)}."
        in done.stderr
    )
    only_files(tmp_path, name, packed.name)
    assert (tmp_path / name).read_bytes() == source


def test_whole_files_are_recovered_as_pixels_too() -> None:
    data = container.write_whole(PNG, 50, 40, 3, Kind())
    pixels, mask, report = recover(data + b"more")
    assert np.array_equal(pixels, IMAGE)
    assert (mask.any(), mask.shape, report.complete, report.sound, report.foreign_bytes) == (
        False,
        (40, 50),
        True,
        False,
        4,
    )
    damaged = bytearray(data)
    damaged[-40] ^= 1
    with pytest.raises(CorruptError, match="in one piece rather than in tiles, and checksum"):
        recover(damaged)


def test_no_map_where_no_pixel_is_lost(tmp_path: Path) -> None:
    data = archive.pack(PNG, exactly=False).data
    at = data.index(b"\x81") + 20
    (tmp_path / "a.ardm").write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert "damaged metadata was left out" in unpack("--recover", tmp_path / "a.ardm", code=4).stderr
    only_files(tmp_path, "a.ardm", "a.png")


# ---- messages ----------------------------------------------------------------------------------------------


def test_a_zlib_stream_without_its_checksum() -> None:
    lacking = [(kind, data[:-4] if kind == b"IDAT" else data) for kind, data in pngs.split(PNG)]
    with pytest.raises(
        CorruptError,
        match=rf"all {40 * 151} bytes are there, but the zlib stream ends before its checksum; --exact keeps the file as it is\.$",
    ):
        archive.pack(pngs.build(lacking), exactly=False)
    whole = images.tiff(IMAGE, compression=8, rows=40)
    stream = zlib.compress(IMAGE.tobytes())
    at = whole.index(stream)
    short = whole.replace(struct.pack("<I", len(stream)), struct.pack("<I", len(stream) - 4))
    assert at
    assert short != whole
    with pytest.raises(
        CorruptError,
        match=rf"all {IMAGE.size} bytes are there, but its zlib stream ends before its checksum; --exact keeps the file as it is\.$",
    ):
        archive.pack(short, exactly=False)


def test_pixels_of_named_files_are_as_ever() -> None:
    assert np.array_equal(decompress(archive.pack(PNG, exactly=False, name="IMG.PNG").data), IMAGE)
