"""Write golden files that must be refused, where they are missing: python -m tests.make_bad. Files that exist are never touched.

Made of the valid golden files, with every length and checksum right but for what a name says. tests/golden/README.md describes them, a line each.
"""

from __future__ import annotations

import lzma
import struct
import zlib

from codec import container, png, stored
from codec.container import (
    FIXED,
    HEAD,
    INDEX,
    MAGIC,
    METHOD_FILE,
    METHOD_FINE,
    METHOD_INCLUDED,
    METHOD_RASTER,
    PNG_CHUNKS,
    PNG_FORM,
    Entry,
    Header,
    chunk,
    varint,
)
from codec.errors import ArdmError, CorruptError, LimitError, NotArdmError, TruncatedError, UnsupportedError
from tests.samples import GOLDEN

# name -> (class of the error, part of its sentence)
EXPECTED: dict[str, tuple[type[ArdmError], str]] = {
    "bad-empty": (NotArdmError, "does not begin with the ardm signature"),
    "bad-signature-as-text": (NotArdmError, "does not begin with the ardm signature"),
    "bad-signature-cut": (TruncatedError, "inside the signature"),
    "bad-first-chunk": (CorruptError, "expected the header 0x01"),
    "bad-head-cut": (TruncatedError, "ends inside a chunk of type 0x01"),
    "bad-head-checksum": (CorruptError, "checksum of a chunk of type 0x01 does not match"),
    "bad-head-short": (CorruptError, "which is too short"),
    "bad-head-length-not-shortest": (CorruptError, "not in its shortest form"),
    "bad-geometry": (CorruptError, "impossible geometry: 0 x 1"),
    "bad-folded-8-bits": (CorruptError, "which only 16 bits can be"),
    "bad-colour-of-2-bits": (CorruptError, "there are no images of 3 channels with samples of 2 bits"),
    "bad-metadata-checksum": (CorruptError, "checksum of a chunk of type 0x81 does not match"),
    "bad-index-missing": (TruncatedError, "ends before its tile index"),
    "bad-index-checksum": (CorruptError, "checksum of a chunk of type 0x02 does not match"),
    "bad-index-short": (CorruptError, "too few for 3 entries"),
    "bad-index-long": (CorruptError, "too many bytes"),
    "bad-method-of-a-whole-file": (CorruptError, "does not fit a file of tiles"),
    "bad-payload-checksum": (CorruptError, "checksum of the tile at row 0, column 0 does not match"),
    "bad-payload-cut": (TruncatedError, "the end is missing"),
    "bad-payload-too-short": (CorruptError, "pixels need at least"),
    "bad-foreign-bytes": (CorruptError, "foreign bytes at the end"),
    "bad-stored-filter": (CorruptError, "has filter 9"),
    "bad-stored-size": (CorruptError, "unpacks to 8 bytes, expected 14400"),
    "bad-raster-kind": (CorruptError, "does not say which kind"),
    "bad-fine-depth": (CorruptError, "does not say which levels"),
    "bad-fine-list": (CorruptError, "lists 0 levels"),
    "bad-fine-apart": (CorruptError, "not where their high bytes are"),
    "bad-sample-of-too-many-bits": (CorruptError, "but has 2 bits"),
    "bad-pixel-hash": (CorruptError, "hash of the decoded pixels does not match"),
    "bad-whole-file-hash": (CorruptError, "file kept whole does not match"),
    "bad-png-chunks-critical": (CorruptError, "which would change the image"),
    "bad-png-chunks-palette": (CorruptError, "one palette"),
    "bad-png-form-long": (CorruptError, "2 bytes too many"),
    "bad-recipe-cut": (CorruptError, "is cut short"),
    "bad-recipe-hash": (CorruptError, "hash of the PNG file made again does not match"),
    "bad-recipe-of-a-broken-png": (CorruptError, "does not make a sound PNG"),
    "unsupported-version-255": (UnsupportedError, "format version 255"),
    "unsupported-critical-chunk-7f": (UnsupportedError, "feature 0x7f"),
    "unsupported-method-200": (UnsupportedError, "method 200"),
    "unsupported-depth-12": (UnsupportedError, "12 bits per channel"),
    "unsupported-channels-9": (UnsupportedError, "9 channels"),
    "unsupported-two-ways-of-learning": (UnsupportedError, "two ways of learning"),
    "unsupported-stage-bit": (UnsupportedError, "reserved bit of a stage"),
    "unsupported-weights": (UnsupportedError, "weights 0101010101010101 are not part of this release"),
    "unsupported-png-form-bits": (UnsupportedError, "the PNG's form has reserved bits set"),
    "unsupported-too-many-pixels": (LimitError, "the limit is 178000000"),
}


def _golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.ardm").read_bytes()


def _open(name: str) -> tuple[Header, bytes]:
    """(header, payloads) of a golden file."""
    data = _golden(name)
    header, at = container.read(data)
    return header, data[at:]


def _with(name: str, payload: bytes | None = None, **changes: object) -> bytes:
    """A golden file with other fields, and perhaps another first and only payload."""
    header, old = _open(name)
    if payload is not None:
        changes["entries"] = (Entry(header.entries[0].method, len(payload), zlib.crc32(payload)),)
    return container.write(Header(**{**header.__dict__, **changes}), [old if payload is None else payload])


def _fine(payload: bytes) -> bytes:
    """The golden file of listed levels, with another payload."""
    header, _ = _open("fine-grey-listed")
    entries = (Entry(METHOD_FINE, len(payload), zlib.crc32(payload)), Entry(METHOD_INCLUDED, 0, 0))
    return container.write(Header(**{**header.__dict__, "entries": entries}), [payload])


def _head(name: str, **fields: int) -> bytes:
    """A golden file whose HEAD has been given what `container.write` would not write."""
    data = _golden(name)
    length, body = container.read_varint(data, len(MAGIC) + 1)
    names = ("version", "flags", "width", "height", "channels", "depth", "tile_height", "tile_width")
    head = bytearray(data[body : body + length])
    values = dict(zip(names, struct.unpack_from(FIXED, head), strict=True)) | fields
    struct.pack_into(FIXED, head, 0, *values.values())
    return MAGIC + chunk(HEAD, bytes(head)) + data[body + length + 4 :]


def _flip(data: bytes, at: int) -> bytes:
    out = bytearray(data)
    out[at] ^= 4
    return bytes(out)


def _finding(name: str) -> bytes:
    return (GOLDEN.parent.parent / "fuzz" / "findings" / "decoder" / f"{name}.ardm").read_bytes()


def _index(name: str, more: bytes) -> bytes:
    """A golden file whose INDEX has more bytes."""
    header, payloads = _open(name)
    data = _golden(name)
    at = len(data) - len(payloads)
    entries = b"".join(bytes([e.method]) + varint(e.length) + struct.pack("<I", e.crc) for e in header.entries)
    before = data[: at - len(chunk(INDEX, entries))]
    return before + chunk(INDEX, entries + more) + payloads


def bad_files() -> dict[str, bytes]:
    """name -> file, of all that are expected."""
    pixel, graphics, content = (_golden(n) for n in ("one-pixel", "graphics", "png-content-interlaced-palette"))
    head_end = 8 + len(chunk(HEAD, bytes(container.read_varint(pixel, 9)[0])))
    fine = _open("fine-grey-listed")[1]
    header, _ = _open("png-exact-interlaced-palette")
    chunks, (_, form) = header.metadata
    forms = {"cut": form[:5], "hash": form[:-16] + bytes(16), "bits": b"\x80"}
    with_form = {name: _with("png-exact-interlaced-palette", metadata=(chunks, (PNG_FORM, f))) for name, f in forms.items()}
    idat = zlib.compress(struct.pack("<I", 0) + png.chunk(b"IDAT", b"abc"))
    claim = Header(2048, 2048, 3, (2048, 2048), header.weights_id, header.schedule, True, bytes(16), (Entry(METHOD_RASTER, 3, zlib.crc32(b"\1ab")),))
    tiny = lzma.compress(b"8 bytes.", lzma.FORMAT_RAW, filters=stored._FILTERS)
    seeded = bytearray(_golden("photo-rgb"))
    length, body = container.read_varint(bytes(seeded), 9)
    stage = body + struct.calcsize(FIXED) + 9
    seeded[stage + 1] |= 0x80
    return {
        "bad-empty": b"",
        "bad-signature-as-text": pixel.replace(b"\r\n", b"\n"),
        "bad-signature-cut": pixel[:5],
        "bad-first-chunk": MAGIC + pixel[head_end:],
        "bad-head-cut": pixel[:30],
        "bad-head-checksum": _flip(pixel, 12),
        "bad-head-short": MAGIC + chunk(HEAD, pixel[10:20]) + pixel[head_end:],
        "bad-head-length-not-shortest": MAGIC + bytes([HEAD, pixel[9] | 128, 0]) + pixel[10:],
        "bad-geometry": _head("one-pixel", width=0),
        "bad-folded-8-bits": _with("one-pixel", folded=True),
        "bad-colour-of-2-bits": _head("one-pixel", depth=2),
        "bad-metadata-checksum": _flip(content, content.index(b"\x81") + 20),
        "bad-index-missing": pixel[:head_end],
        "bad-index-checksum": _flip(pixel, head_end + 3),
        "bad-index-short": _with("one-pixel", height=9),
        "bad-index-long": _index("one-pixel", b"\0"),
        "bad-method-of-a-whole-file": _with("one-pixel", entries=(Entry(METHOD_FILE, 3, 0),)),
        "bad-payload-checksum": _flip(graphics, len(graphics) - 5),
        "bad-payload-cut": graphics[:-1],
        "bad-payload-too-short": container.write(claim, [b"\1ab"]),
        "bad-foreign-bytes": pixel + b"\n",
        "bad-stored-filter": _with("graphics", b"\x09" + _open("graphics")[1][1:]),
        "bad-stored-size": _with("graphics", b"\0" + tiny),
        "bad-raster-kind": _with("raster-rgb", b"\x09" + _open("raster-rgb")[1][1:]),
        "bad-fine-depth": _fine(b"\x11" + fine[1:]),
        "bad-fine-list": _fine(fine[:2] + b"\0" + fine[3:]),
        "bad-fine-apart": _with("fine-grey-listed", entries=(Entry(METHOD_FINE, len(fine), zlib.crc32(fine)), Entry(METHOD_RASTER, 0, 0))),
        "bad-sample-of-too-many-bits": _head("samples-palette-4", depth=2),
        "bad-pixel-hash": _with("one-pixel", digest=bytes(16)),
        "bad-whole-file-hash": _with("whole-file", digest=bytes(16)),
        "bad-png-chunks-critical": _with("one-pixel", metadata=((PNG_CHUNKS, idat),)),
        "bad-png-chunks-palette": _finding("palette-of-four-bytes"),
        "bad-png-form-long": _with("one-pixel", metadata=((PNG_FORM, b"\1ab"),)),
        "bad-recipe-cut": with_form["cut"],
        "bad-recipe-hash": with_form["hash"],
        "bad-recipe-of-a-broken-png": _finding("recipe-drops-the-end-of-the-image-data"),
        "unsupported-version-255": _head("one-pixel", version=255),
        "unsupported-critical-chunk-7f": _with("one-pixel", metadata=((0x7F, b"new"),)),
        "unsupported-method-200": _with("one-pixel", entries=(Entry(200, 3, 0),)),
        "unsupported-depth-12": _head("one-pixel", depth=12),
        "unsupported-channels-9": _head("one-pixel", channels=9),
        "unsupported-two-ways-of-learning": _head("one-pixel", flags=2 | 4 | 8),
        "unsupported-stage-bit": MAGIC + chunk(HEAD, bytes(seeded[body : body + length])) + bytes(seeded[body + length + 4 :]),
        "unsupported-weights": _with("photo-grey", weights_id="01" * 8),
        "unsupported-png-form-bits": with_form["bits"],
        "unsupported-too-many-pixels": _head("one-pixel", width=2**31, height=2**31),
    }


def main() -> None:
    for name, data in bad_files().items():
        path = GOLDEN / f"{name}.ardm"
        if not path.exists():
            path.write_bytes(data)
            print("wrote", path.name)


if __name__ == "__main__":
    main()
