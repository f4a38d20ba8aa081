"""Write golden files that must be refused, where they are missing: `tests.make_golden` calls this after it
has written the valid ones.

Made of those, with every length and checksum right but for what a name says. tests/golden/README.md describes
them, a line each.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace

from codec import container, png
from codec.coder import palette, stored
from codec.coder.schedule import Order, Schedule
from codec.container import HEAD, INDEX, MAGIC, PNG_CHUNKS, PNG_FORM, Entry, Header, chunk, varint
from codec.errors import ArdmError, CorruptError, LimitError, NotArdmError, TruncatedError, UnsupportedError
from codec.methods import Method
from tests.samples import GOLDEN

OLD = (  # one pixel, by 0.5.0
    "894152444d0d0a1a0129010601000000010000000308040004001be54aa1d96915ba0030409e5ea535ac516def41bfc0f8d478bae6120102060003408537769562fc568f966c"
)

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
    "bad-width-not-shortest": (CorruptError, "not in its shortest form"),
    "bad-head-long": (CorruptError, "the header has 26 bytes, expected were 25"),
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
    "bad-stored-size": (CorruptError, "unpacks to 200 bytes, expected 1080000"),
    "bad-words-cut": (TruncatedError, "tile at row 0, column 0: its data is cut short"),
    "bad-plain-words-cut": (TruncatedError, "tile at row 0, column 0: its data is cut short"),
    "bad-root": (CorruptError, "a stored tile has method 9"),
    "bad-random-calls": (CorruptError, "must have 1 to 255 network calls"),
    "bad-fine-depth": (CorruptError, "does not say which levels"),
    "bad-fine-list": (CorruptError, "lists 0 levels"),
    "bad-fine-apart": (CorruptError, "has coded already"),
    "bad-palette-methods": (CorruptError, "have the methods 0 and 2, which cannot be"),
    "bad-palette-cut": (TruncatedError, "its palette is cut short"),
    "bad-palette-order": (CorruptError, "palette is not sorted"),
    "bad-palette-index": (CorruptError, "a pixel of colour 255, but its palette has"),
    "bad-palette-again": (CorruptError, "has coded already"),
    "bad-converted-grey": (CorruptError, "only planes of RGB may be"),
    "bad-converted-listed": (CorruptError, "lists pixel 4481"),
    "bad-converted-cut": (TruncatedError, "ends inside a length field"),
    "bad-jpeg-sampling": (CorruptError, "sampled in way 3"),
    "bad-jpeg-of-grey": (CorruptError, "sampled in way 1"),
    "bad-jpeg-corner": (CorruptError, "blocks begin"),
    "bad-jpeg-differs": (CorruptError, "to differ 2"),
    "bad-jpeg-table": (CorruptError, "said to be 102"),
    "bad-jpeg-step-of-0": (CorruptError, "step of 0"),
    "bad-jpeg-words-cut": (TruncatedError, "cut short"),
    "bad-jpeg-words-long": (CorruptError, "do not fit its words"),
    "bad-jpeg-file-cut": (TruncatedError, "cut short"),
    "bad-jpeg-file-bands": (TruncatedError, "cut short"),
    "bad-jpeg-file-bands-cut": (TruncatedError, "cut short"),
    **{
        f"bad-jpeg-file-{name}": (CorruptError, "do not fit its segments")
        for name in ("flags", "head", "size", "long", "within")
    },
    "bad-converted-blocks": (CorruptError, "blocks begin at 64"),
    "unsupported-conversion-200": (UnsupportedError, "made by conversion 200"),
    "bad-palette-plain": (CorruptError, "none of a plain file"),
    "bad-sample-of-too-many-bits": (CorruptError, "but has 2 bits"),
    "bad-pixel-hash": (CorruptError, "hash of the decoded pixels does not match"),
    "bad-whole-file-hash": (CorruptError, "file kept whole does not match"),
    "bad-png-chunks-critical": (CorruptError, "which would change the image"),
    "bad-png-chunks-palette": (CorruptError, "one palette"),
    "bad-png-form-long": (CorruptError, "2 bytes too many"),
    "bad-recipe-cut": (CorruptError, "is cut short"),
    "bad-recipe-hash": (CorruptError, "hash of the PNG file made again does not match"),
    "bad-recipe-of-a-broken-png": (CorruptError, "does not make a sound PNG"),
    "unsupported-version-1": (UnsupportedError, "made by a release before 1.0"),
    "unsupported-version-255": (UnsupportedError, "format version 255"),
    "unsupported-critical-chunk-7f": (UnsupportedError, "feature 0x7f"),
    "unsupported-method-200": (UnsupportedError, "method 200"),
    "unsupported-depth": (UnsupportedError, "samples of kind 0x25"),
    "unsupported-channels-9": (UnsupportedError, "samples of kind 0x83"),
    "unsupported-flag": (UnsupportedError, "reserved flag bits are set (0x88)"),
    "unsupported-order-3": (UnsupportedError, "reserved flag bits are set (0x0b)"),
    "unsupported-learning-in-random-order": (UnsupportedError, "learning in a random order"),
    "unsupported-stage-bit": (UnsupportedError, "reserved bit of a stage"),
    "unsupported-plain-strips": (UnsupportedError, "raster order in strips of 4 rows"),
    "unsupported-slope": (UnsupportedError, "9 pixels apart"),
    "unsupported-weights": (UnsupportedError, "weights 01010101 are not part of this release"),
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
    entries = (Entry(Method.HIGH_DEPTH, len(payload), zlib.crc32(payload)), Entry(Method.INCLUDED, 0, 0))
    return container.write(replace(_open("fine-grey-listed")[0], entries=entries), [payload])


def _jpeg(start: bytes) -> bytes:
    """The golden file of a JPEG with another beginning of its payload."""
    return _with("jpeg-rgb", start + _open("jpeg-rgb")[1][len(start) :])


def _palette(payload: bytes, more: tuple[Entry, bytes] = (Entry(Method.INCLUDED, 0, 0), b"")) -> bytes:
    """The golden file of a palette and indices as they are, with another payload, and perhaps another plane of
    alpha.
    """
    entries = (Entry(Method.PALETTE, len(payload), zlib.crc32(payload)), more[0])
    return container.write(replace(_open("palette-noise")[0], entries=entries), [payload, more[1]])


def _palette_as_it_is(payload: bytes) -> bytes:
    """The same, its palette not coded: number of colours less 1, methods, rows of colours, indices."""
    colours, of_indices, at = palette.open_payload(payload, 4)
    return bytes([payload[0], of_indices << 4]) + colours.T.tobytes() + payload[at:]


FIELDS = ("version", "flags", "sort", "width", "height", "tile_height", "tile_width")  # as HEAD begins


def _head(name: str, more: bytes = b"", **fields: int | bytes) -> bytes:
    """A golden file whose HEAD has been given what `container.write` would not write. Fields: numbers, or
    bytes as they are.
    """
    data = _golden(name)
    length, body = container.read_varint(data, len(MAGIC) + 1)
    head, at, found = data[body : body + length], 0, b""
    for field in FIELDS:
        value, at = (head[at], at + 1) if field in FIELDS[:3] else container.read_varint(head, at)
        chosen = fields.get(field, value)
        found += (
            chosen
            if isinstance(chosen, bytes)
            else bytes([chosen])
            if field in FIELDS[:3]
            else varint(chosen)
        )
    return MAGIC + chunk(HEAD, found + head[at:] + more) + data[body + length + 4 :]


def _flip(data: bytes, at: int) -> bytes:
    out = bytearray(data)
    out[at] ^= 4
    return bytes(out)


def _finding(name: str) -> bytes:
    return (GOLDEN.parent / "fuzz" / "findings" / "decoder" / f"{name}.ardm").read_bytes()


def _index(name: str, more: bytes) -> bytes:
    """A golden file whose INDEX has more bytes."""
    header, payloads = _open(name)
    data = _golden(name)
    at = len(data) - len(payloads)
    entries = b"".join(
        bytes([e.method]) + varint(e.length) + struct.pack("<I", e.crc) for e in header.entries
    )
    before = data[: at - len(chunk(INDEX, entries))]
    return before + chunk(INDEX, entries + more) + payloads


def bad_files() -> dict[str, bytes]:
    """name -> file, of all that are expected."""
    return {**_bad_layers(), **_bad_content(), **_unsupported()}


def _bad_layers() -> dict[str, bytes]:
    """What ends too early or too late, or has a wrong length, checksum, header or index."""
    pixel, graphics, content = (
        _golden(n) for n in ("one-pixel", "graphics", "png-content-interlaced-palette")
    )
    head_end = 8 + len(chunk(HEAD, bytes(container.read_varint(pixel, 9)[0])))
    schedule = Schedule(Order.RANDOM, (0,), 1, plain=True)
    return {
        "bad-empty": b"",
        "bad-signature-as-text": pixel.replace(b"\r\n", b"\n"),
        "bad-signature-cut": pixel[:5],
        "bad-first-chunk": MAGIC + pixel[head_end:],
        "bad-head-cut": pixel[:30],
        "bad-head-checksum": _flip(pixel, 12),
        "bad-head-short": MAGIC + chunk(HEAD, pixel[10:20]) + pixel[head_end:],
        "bad-head-long": _head("one-pixel", more=b"\0"),
        "bad-head-length-not-shortest": MAGIC + bytes([HEAD, pixel[9] | 128, 0]) + pixel[10:],
        "bad-geometry": _head("one-pixel", width=0),
        "bad-width-not-shortest": _head("one-pixel", width=b"\x81\0"),
        "bad-folded-8-bits": _with("one-pixel", folded=True),
        "bad-colour-of-2-bits": _head("one-pixel", sort=0x21),
        "bad-random-calls": _with("random-order", schedule=schedule),
        "bad-metadata-checksum": _flip(content, content.index(b"\x81") + 20),
        "bad-index-missing": pixel[:head_end],
        "bad-index-checksum": _flip(pixel, head_end + 3),
        "bad-index-short": _with("one-pixel", height=40),
        "bad-index-long": _index("one-pixel", b"\0"),
        "bad-method-of-a-whole-file": _with("one-pixel", entries=(Entry(Method.FILE, 3, 0),)),
        "bad-payload-checksum": _flip(graphics, len(graphics) - 5),
        "bad-payload-cut": graphics[:-1],
        "bad-foreign-bytes": pixel + b"\n",
    }


def _bad_content() -> dict[str, bytes]:
    """What is in payloads and metadata."""
    fine = _open("fine-grey-listed")[1]
    few = _palette_as_it_is(_open("palette-noise")[1])
    alpha = bytes(600)
    header, _ = _open("png-exact-interlaced-palette")
    chunks, (_, form) = header.metadata
    forms = {"cut": form[:5], "hash": form[:-16] + bytes(16)}
    with_form = {
        name: _with("png-exact-interlaced-palette", metadata=(chunks, (PNG_FORM, f)))
        for name, f in forms.items()
    }
    idat = zlib.compress(struct.pack("<I", 0) + png.chunk(b"IDAT", b"abc"))
    entry = Entry(Method.NETWORK, 3, zlib.crc32(b"\1ab"))
    claim = Header(2048, 2048, 3, (2048, 2048), header.weights_id, header.schedule, True, bytes(12), (entry,))
    little = lzma.compress(bytes(range(200)), lzma.FORMAT_RAW, filters=stored._FILTERS)
    grey = _open("photo-grey")[0].entries[0]
    converted = replace(grey, method=Method.CONVERTED)
    apart = (Entry(Method.HIGH_DEPTH, len(fine), zlib.crc32(fine)), Entry(Method.NETWORK, 0, 0))
    return {
        "bad-payload-too-short": container.write(claim, [b"\1ab"]),
        "bad-stored-filter": _with("flat", b"\x09" + _open("flat")[1][1:]),
        "bad-stored-size": _with("flat", b"\0" + little),
        "bad-words-cut": _with("photo-rgb", _open("photo-rgb")[1][:-1]),
        "bad-plain-words-cut": _with("plain-rgb", _open("plain-rgb")[1][:-1]),
        "bad-root": _with("lattice-rgb", b"\x09" + _open("lattice-rgb")[1][1:]),
        "bad-fine-depth": _fine(b"\x11" + fine[1:]),
        "bad-fine-list": _fine(fine[:2] + b"\0" + fine[3:]),
        "bad-fine-apart": _with("fine-grey-listed", entries=apart),
        "bad-palette-methods": _palette(few[:1] + b"\x20" + few[2:]),
        "bad-palette-cut": _palette(few[:40]),
        "bad-palette-order": _palette(few[:2] + few[3:1:-1] + few[4:]),
        "bad-palette-index": _palette(few[:-1] + b"\xff"),
        "bad-palette-again": _palette(few, (Entry(Method.RAW, 600, zlib.crc32(alpha)), alpha)),
        "bad-palette-plain": _with("palette-noise", schedule=Schedule(plain=True, slope=7)),
        "bad-converted-grey": _with("photo-grey", entries=(converted,)),
        "bad-converted-listed": _with("converted-rgb", b"\0\0\x01\x81\x23abc" + bytes(300)),
        "bad-converted-cut": _with("converted-rgb", b"\0\0\x7f" + bytes(300)),
        "bad-converted-blocks": _with("converted-rgb", b"\0\x40\0" + bytes(300)),
        "bad-jpeg-sampling": _jpeg(b"\x03"),
        "bad-jpeg-of-grey": _with("jpeg-grey", b"\1" + _open("jpeg-grey")[1][1:]),
        "bad-jpeg-corner": _jpeg(b"\x01\xff"),
        "bad-jpeg-differs": _jpeg(b"\x02\0\2"),
        "bad-jpeg-table": _jpeg(b"\x02\0\1\x66"),
        "bad-jpeg-step-of-0": _jpeg(b"\x02\0\1\0" + bytes(64)),
        "bad-jpeg-words-cut": _with("jpeg-rgb", _open("jpeg-rgb")[1][:-1]),
        "bad-jpeg-words-long": _with("jpeg-rgb", _open("jpeg-rgb")[1] + b"\xff" * 400),
        "bad-sample-of-too-many-bits": _head("samples-palette-4", sort=1),
        "bad-pixel-hash": _with("one-pixel", digest=bytes(12)),
        **_bad_jpeg_files(),
        "bad-whole-file-hash": _with("whole-file", digest=bytes(12)),
        "bad-png-chunks-critical": _with("one-pixel", metadata=((PNG_CHUNKS, idat),)),
        "bad-png-chunks-palette": _finding("palette-of-four-bytes"),
        "bad-png-form-long": _with("one-pixel", metadata=((PNG_FORM, b"\1ab"),)),
        "bad-recipe-cut": with_form["cut"],
        "bad-recipe-hash": with_form["hash"],
        "bad-recipe-of-a-broken-png": _finding("recipe-drops-the-end-of-the-image-data"),
    }


def _numbers(payload: bytes, place: int, change: Callable[[int], int]) -> bytes:
    """The same with another number in the place of one after the first byte."""
    at = 1
    for _ in range(place):
        _, at = container.read_varint(payload, at)
    number, end = container.read_varint(payload, at)
    return payload[:at] + varint(change(number)) + payload[end:]


def _bad_jpeg_files() -> dict[str, bytes]:
    payload = _open("jpeg-file")[1]
    of_head, at = container.read_varint(payload, 1)
    coded, end = container.read_varint(payload, at)
    in_bands, within = _open("jpeg-file-bands")[1], _open("jpeg-file-within")[1]
    return {
        "bad-jpeg-file-bands": _with("jpeg-file-bands", _numbers(in_bands, 3, lambda count: count + 1)),
        "bad-jpeg-file-bands-cut": _with(
            "jpeg-file-bands", _numbers(in_bands, 4, lambda count: count + 10**6)
        ),
        "bad-jpeg-file-within": _with("jpeg-file-within", _numbers(within, 4, lambda gap: gap + 10**6)),
        "bad-jpeg-file-cut": _with("jpeg-file", payload[:-1]),
        "bad-jpeg-file-flags": _with("jpeg-file", bytes([payload[0] | 128]) + payload[1:]),
        "bad-jpeg-file-head": _with(
            "jpeg-file", payload[: end + 1] + bytes(of_head) + payload[end + 1 + of_head :]
        ),
        "bad-jpeg-file-size": _with("jpeg-file", payload, width=70),
        "bad-jpeg-file-long": _with("jpeg-file", payload[:at] + varint(coded + 1) + payload[end:]),
    }


def _unsupported() -> dict[str, bytes]:
    """What another release might write."""
    chunks = _open("png-exact-interlaced-palette")[0].metadata[0]
    steep = Schedule(Order.RASTER, strip=4, slope=9)
    return {
        "unsupported-version-1": bytes.fromhex(OLD),
        "unsupported-version-255": _head("one-pixel", version=255),
        "unsupported-critical-chunk-7f": _with("one-pixel", metadata=((0x7F, b"new"),)),
        "unsupported-method-200": _with("one-pixel", entries=(Entry(200, 3, 0),)),
        "unsupported-conversion-200": _with("converted-rgb", b"\xc8" + _open("converted-rgb")[1][1:]),
        "unsupported-depth": _head("one-pixel", sort=0x25),
        "unsupported-channels-9": _head("one-pixel", sort=0x83),
        "unsupported-flag": _head("one-pixel", flags=0x88),
        "unsupported-order-3": _head("one-pixel", flags=0x0B),
        "unsupported-learning-in-random-order": _head(
            "random-order", flags=container.CHANNEL_AXIS | Order.RANDOM
        ),
        "unsupported-stage-bit": _with("lattice-rgb", schedule=Schedule(Order.LATTICE, (1 << 15,))),
        "unsupported-plain-strips": _with("plain-rgb", schedule=Schedule(plain=True, strip=4, slope=7)),
        "unsupported-slope": _with("photo-rgb", schedule=steep),
        "unsupported-weights": _with("photo-grey", weights_id="01" * 4),
        "unsupported-png-form-bits": _with(
            "png-exact-interlaced-palette", metadata=(chunks, (PNG_FORM, b"\x80"))
        ),
        "unsupported-too-many-pixels": _head("one-pixel", width=2**31, height=2**31),
    }


def main() -> None:
    for name, data in bad_files().items():
        path = GOLDEN / f"{name}.ardm"
        if not path.exists():
            path.write_bytes(data)
            print("wrote", path)


if __name__ == "__main__":
    main()
