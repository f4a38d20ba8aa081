"""Mutations of image files that are no PNG, so that readers get past their headers: sizes, offsets and sums
are mostly right again. Knows their structure, not the fuzzer.

A file is taken apart into header and samples, blocks, chunks, segments or the entries of a directory, one of
these is changed, and what is bare samples gets as many of them as the new header says.
"""

from __future__ import annotations

import random
import re
import struct
import zlib
from collections.abc import Callable

import numpy as np

from codec.errors import ArdmError
from codec.formats import frames, qoi, sources, tiff
from codec.formats.sources import Format
from tests import images
from tests.fuzz.mutate import INTERESTING, Blind, png_file

SMALL = (1, 2, 3, 5, 8, 9, 16, 17, 21, 31)
MOST = 4096  # bytes of samples that are made up
PLANS: dict[Format, Callable[[bytes], frames.SampleLayout]] = {
    Format.PBM: frames.netpbm,
    Format.PGM: frames.netpbm,
    Format.PPM: frames.netpbm,
    Format.PAM: frames.netpbm,
    Format.BMP: frames.bmp,
    Format.NPY: frames.npy,
    Format.QOI: frames.qoif,
}


def source_file(data: bytes, rng: random.Random, blind: Blind) -> bytes:
    """Another image file, or something like one."""
    form = sources.sniff(data)
    if form is None or rng.random() < 0.05:
        return blind(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = CHANGES[form](data, rng, blind)
    return right_samples(data, rng) if rng.random() < 0.8 else data


def right_samples(data: bytes, rng: random.Random) -> bytes:
    """As many samples as the header says, with zeros wherever a format wants them; other files as they
    are.
    """
    form = sources.sniff(data)
    if form not in PLANS:
        return data
    try:
        plan = PLANS[form](data)
    except ArdmError:
        return data
    head = plan.head
    if head.width * head.height > MOST or (size := frames.body_size(head, plan.layout & ~frames.QOI)) > MOST:
        return data
    if plan.layout & frames.QOI:
        try:
            samples, used = qoi.decode(data[plan.start :], head.height, head.width, head.channels)
        except ArdmError:
            samples, used = (
                np.frombuffer(_steps(size, rng), np.uint8).reshape(head.height, head.width, head.channels),
                len(data),
            )
        return data[: plan.start] + qoi.encode(samples) + data[plan.start + used :]
    body = data[plan.start : plan.start + size].ljust(size, b"\0")
    tidy = frames._to_body(frames._from_body(body, head, plan.layout), head.kind, plan.layout)
    return data[: plan.start].ljust(plan.start, b"\0") + tidy + data[plan.start + size :]


def _steps(size: int, rng: random.Random) -> bytes:
    """Bytes that mostly are like the one before, which is what coders want."""
    out, value = bytearray(), rng.randrange(256)
    for _ in range(size):
        value = rng.choice((value, value, value + 1, value - 1, rng.randrange(256))) % 256
        out.append(value)
    return bytes(out)


def _number(rng: random.Random, old: int = 0) -> int:
    return rng.choice(
        (old + 1, max(0, old - 1), rng.choice(SMALL), rng.choice(SMALL), rng.choice(INTERESTING))
    )


def _put(data: bytes, at: int, form: str, value: int) -> bytes:
    """A number in its place, if there is room."""
    size = struct.calcsize(form)
    if at + size > len(data):
        return data
    return (
        data[:at]
        + (value % 256**size).to_bytes(size, "big" if form[0] == ">" else "little")
        + data[at + size :]
    )


# ---- bare samples ------------------------------------------------------------------------------------------


def _netpbm(data: bytes, rng: random.Random, blind: Blind) -> bytes:
    found = frames.PAM.match(data) or frames.BITMAP.match(data) or frames.GRAPHMAP.match(data)
    if not found:
        return blind(data)
    head, body = data[: found.end()], data[found.end() :]
    way = rng.randrange(6)
    numbers = list(re.finditer(rb"\d+", head[2:]))
    if way < 2 and numbers:
        number = rng.choice(numbers)
        head = head[: 2 + number.start()] + b"%d" % _number(rng, int(number[0])) + head[2 + number.end() :]
    elif way == 2:
        head = b"P" + rng.choice((b"4", b"5", b"6", b"7")) + head[2:]
    elif way == 3:
        at = rng.randint(2, len(head))
        head = (
            head[:at]
            + rng.choice((b"#c\n", b" ", b"\r", b"\n", b"TUPLTYPE X\n", b"DEPTH 2\n", b"MAXVAL 1\n", b"0"))
            + head[at:]
        )
    elif way == 4:
        body = blind(body)
    else:
        head = blind(head)
    return head + body


BMP_FIELDS = (
    (2, "<I"),
    (10, "<I"),
    (14, "<I"),
    (18, "<i"),
    (22, "<i"),
    (18, "<H"),
    (20, "<H"),
    (26, "<H"),
    (28, "<H"),
    (30, "<I"),
    (34, "<I"),
    (46, "<I"),
)


def _bmp(data: bytes, rng: random.Random, blind: Blind) -> bytes:
    way = rng.randrange(5)
    start = int.from_bytes(data[10:14], "little")
    if way == 0 and start <= len(data):  # another gap before the samples
        gap = blind(data[14:start])
        return _put(data[:14] + gap + data[start:], 10, "<I", 14 + len(gap))
    if way == 1:
        return data[:start] + blind(data[start:])
    at, form = rng.choice(BMP_FIELDS)
    if way == 2:
        at, form = rng.choice(((28, "<H"), (30, "<I"), (14, "<I")))
        return _put(data, at, form, rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 24, 32, *frames.DIB_SIZES)))
    old = struct.unpack_from(form, data, at)[0] if at + struct.calcsize(form) <= len(data) else 0
    return _put(data, at, form, rng.choice((_number(rng, old), -old)))


def _npy(data: bytes, rng: random.Random, blind: Blind) -> bytes:
    wide = data[6:7] != b"\1"
    length = int.from_bytes(data[8 : 12 if wide else 10], "little")
    start = 12 if wide else 10
    said, body = data[start : start + min(length, MOST)], data[start + length :]
    way = rng.randrange(6)
    if way == 0:
        said = re.sub(
            rb"'[<>|=]?[a-z]\d+'",
            lambda _: rng.choice((b"'<u2'", b"'>u2'", b"'|u1'", b"'<u1'", b"'<i2'", b"'<f4'", b"'|u2'")),
            said,
        )
    elif way == 1:
        said = said.replace(b"True", b"?").replace(b"False", b"True").replace(b"?", b"False")
    elif way == 2:
        shape = ", ".join(
            str(rng.choice((*SMALL, *SMALL, rng.choice(INTERESTING))))
            for _ in range(rng.choice((1, 2, 2, 3, 3, 4)))
        )
        said = re.sub(rb"\([\d, ]*\)", f"({shape})".encode(), said)
    elif way == 3:
        said = blind(said)
    elif way == 4:
        body = blind(body)
    else:
        said = said.rstrip() + b" " * rng.randrange(70) + b"\n"
    wide = wide ^ (rng.random() < 0.1)
    if rng.random() < 0.9:
        length = len(said)
    return (
        b"\x93NUMPY"
        + bytes([rng.choice((2, 2, 3)) if wide else 1, 0])
        + struct.pack("<I" if wide else "<H", length % (2**32 if wide else 2**16))
        + said
        + body
    )


def _qoi(data: bytes, rng: random.Random, blind: Blind) -> bytes:
    way = rng.randrange(4)
    if way == 0:
        return _put(data, rng.choice((4, 8)), ">I", _number(rng, 8))
    if way == 1:
        return data[:12] + bytes([rng.choice((3, 4)), rng.randrange(2)]) + data[14:]
    if way == 2:
        return data[:14] + blind(data[14:])
    at = rng.randint(14, max(14, len(data) - 8))
    return (
        data[:at]
        + bytes(
            rng.choice((0xC0, 0xFD, 0xFE, 0xFF, 0x40, 0x80, 0)) | rng.randrange(64)
            for _ in range(rng.choice((1, 3, 9)))
        )
        + data[at:]
    )


# ---- TIFF --------------------------------------------------------------------------------------------------

NO_TAGS = (32773, 50000, tiff.MAX_ENTRIES, tiff.MAX_PAGES)  # compressions, and limits
_NUMBERS = [value for name, value in vars(tiff).items() if name.isupper() and isinstance(value, int)]
TAGS = [value for value in _NUMBERS if value >= tiff.SUBFILE and value not in NO_TAGS]
CODES = (1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000, 50001, 0)
Entries = dict[int, tuple[int, bytes]]  # tag: (type, values)


def _tiff(data: bytes, rng: random.Random, blind: Blind) -> bytes:
    order = "<" if data[:2] == b"II" else ">"
    found = _entries(data, order)
    if found is None or rng.random() < 0.1:
        return blind(data)
    entries, strips = found
    way = rng.randrange(8)
    tag = rng.choice(list(entries)) if entries else tiff.WIDTH
    kind, values = entries.get(tag, (3, b"\0\1"))
    if way == 0:
        size = tiff.SIZES.get(kind, 1)
        numbers = [
            int.from_bytes(values[i : i + size], "little" if order == "<" else "big")
            for i in range(0, len(values), size)
        ] or [0]
        numbers[rng.randrange(len(numbers))] = _number(rng, numbers[0])
        values = b"".join(
            (n % 256**size).to_bytes(size, "little" if order == "<" else "big") for n in numbers
        )
        entries[tag] = kind, values * rng.choice((1, 1, 1, 2, 3))
    elif way == 1:
        entries[tag] = rng.choice((1, 2, 3, 4, 5, 7, 13, 16)), blind(values) if rng.random() < 0.5 else values
    elif way == 2:
        entries.pop(tag, None)
    elif way == 3:
        tag = rng.choice(TAGS)
        entries[tag] = (
            rng.choice((1, 2, 3, 3, 4, 5, 7)),
            rng.choice((b"\1\0", b"\0\1", b"\2\0", b"\1\0\0\0", rng.randbytes(rng.choice((2, 4, 8, 12))))),
        )
    elif way == 4:
        setting = rng.choice(
            (
                (tiff.COMPRESSION, rng.choice(CODES)),
                (tiff.PREDICTOR, rng.choice((1, 2, 3))),
                (tiff.PHOTOMETRIC, rng.randrange(6)),
                (tiff.SAMPLES, rng.randint(1, 5)),
                (tiff.PLANAR, rng.choice((1, 2))),
                (tiff.EXTRA, rng.randrange(3)),
            )
        )
        entries[setting[0]] = 3, struct.pack(f"{order}H", setting[1])
    elif way == 5:
        depth, channels = rng.choice((1, 2, 4, 8, 8, 16, 16)), rng.choice((1, 1, 2, 3, 4))
        entries[tiff.BITS], entries[tiff.SAMPLES] = (
            (3, struct.pack(f"{order}H", depth) * channels),
            (3, struct.pack(f"{order}H", channels)),
        )
        entries[tiff.PHOTOMETRIC] = (
            3,
            struct.pack(f"{order}H", 2 if channels > 2 else rng.choice((0, 1, 1, 3))),
        )
    elif strips:
        at = rng.randrange(len(strips))
        strips[at] = (
            blind(strips[at])
            if rng.random() < 0.5
            else _packed(_steps(rng.choice((10, 63, 100, 231, 700)), rng), entries, order)
        )
    return _file(entries, strips, order, rng)


def _packed(raw: bytes, entries: Entries, order: str) -> bytes:
    """As the compression wants it, if it is an easy one."""
    code = int.from_bytes(entries.get(tiff.COMPRESSION, (3, b""))[1][:2], "little" if order == "<" else "big")
    if code in (8, 32946):
        return zlib.compress(raw)
    return (
        images.imagecodecs.lzw_encode(raw)
        if code == tiff.LZW
        else images.imagecodecs.packbits_encode(raw)
        if code == tiff.PACKBITS
        else raw
    )


def _entries(data: bytes, order: str) -> tuple[Entries, list[bytes]] | None:
    """(entries, strips or tiles) of the first directory; None if there is none."""
    try:
        (at,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, at)
        entries: Entries = {}
        for position in range(at + 2, at + 2 + 12 * min(count, 50), 12):
            tag, kind, number = struct.unpack_from(f"{order}HHI", data, position)
            size = tiff.SIZES.get(kind, 1) * number
            where = position + 8 if size <= 4 else struct.unpack_from(f"{order}I", data, position + 8)[0]
            entries[tag] = kind, data[where : where + min(size, MOST)]
    except struct.error:
        return None
    offsets, sizes = (
        _numbers(entries, tags, order)
        for tags in ((tiff.OFFSETS, tiff.TILE_OFFSETS), (tiff.COUNTS, tiff.TILE_COUNTS))
    )
    return entries, [data[o : o + min(s, MOST)] for o, s in zip(offsets, sizes, strict=False)][:100]


def _numbers(entries: Entries, tags: tuple[int, int], order: str) -> tuple[int, ...]:
    kind, values = next((entries[tag] for tag in tags if tag in entries), (4, b""))
    size = 2 if kind == 3 else 4
    return struct.unpack(
        f"{order}{len(values) // size}{'H' if kind == 3 else 'I'}", values[: len(values) // size * size]
    )


def _file(entries: Entries, strips: list[bytes], order: str, rng: random.Random) -> bytes:
    """A file with a directory after its strips. Offsets and sizes are mostly right."""
    start, gap = 8, b"gap" * (rng.random() < 0.05)
    offsets = []
    for strip in strips:
        offsets.append(start)
        start += len(strip) + len(gap)
    if rng.random() < 0.9:
        tiled = tiff.TILE_OFFSETS in entries
        entries[tiff.TILE_OFFSETS if tiled else tiff.OFFSETS] = (
            4,
            struct.pack(f"{order}{len(strips)}I", *offsets),
        )
        entries[tiff.TILE_COUNTS if tiled else tiff.COUNTS] = (
            4,
            struct.pack(f"{order}{len(strips)}I", *map(len, strips)),
        )
    body = b"".join(strip + gap for strip in strips)
    body += b"\0" * (len(body) % 2)
    table, more = struct.pack(f"{order}H", len(entries)), b""
    after = 8 + len(body) + 2 + 12 * len(entries) + 4
    for tag, (kind, values) in sorted(entries.items()):
        count = len(values) // tiff.SIZES.get(kind, 1)
        place = values.ljust(4, b"\0") if len(values) <= 4 else struct.pack(f"{order}I", after + len(more))
        more += values + b"\0" * (len(values) % 2) if len(values) > 4 else b""
        table += struct.pack(f"{order}HHI", tag, kind, count) + place
    following = bytes(4) if rng.random() < 0.97 else struct.pack(f"{order}I", 8)
    return (
        (b"II*\0" if order == "<" else b"MM\0*")
        + struct.pack(f"{order}I", 8 + len(body))
        + body
        + table
        + following
        + more
    )


# ---- blocks, chunks, segments ------------------------------------------------------------------------------


def _shuffled(parts: list[bytes], rng: random.Random, change: Callable[[bytes], bytes]) -> list[bytes]:
    """A list of pieces, one of which is changed, left out, doubled or moved."""
    out = list(parts)
    if out:
        at, way = rng.randrange(len(out)), rng.randrange(7)
        if way == 0:
            del out[at]
        elif way == 1:
            out.insert(rng.randint(0, len(out)), out[at])
        elif way == 2:
            out.insert(rng.randint(0, len(out) - 1), out.pop(at))
        else:
            out[at] = change(out[at])
    return out


def _gif(data: bytes, rng: random.Random, blind: Blind) -> bytes:
    if rng.random() < 0.3:
        at, form = rng.choice(((6, "<H"), (8, "<H"), (10, "<B"), (11, "<B")))
        return _put(data, at, form, _number(rng, data[at] if at < len(data) else 0))
    at = 13 + (3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 128 else 0)
    blocks, head = [], data[:at]
    while at < len(data) and data[at : at + 1] in (b"!", b","):
        start = at
        at += (
            2
            if data[at : at + 1] == b"!"
            else 11 + (3 << (data[at + 9] & 7) + 1 if at + 9 < len(data) and data[at + 9] & 128 else 0)
        )
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
        blocks.append(data[start:at])

    def change(block: bytes) -> bytes:
        start = 2 if block[:1] == b"!" else 11
        if block[:1] == b"," and rng.random() < 0.4:
            field = rng.choice((1, 3, 5, 7))
            return _put(block, field, "<H", _number(rng, 8))
        held = blind(b"".join(_sub_blocks(block[start:])))
        return (
            block[:start]
            + b"".join(bytes([len(held[i : i + 255])]) + held[i : i + 255] for i in range(0, len(held), 255))
            + b"\0"
        )

    if rng.random() < 0.2:
        blocks.insert(
            rng.randint(0, len(blocks)),
            rng.choice((b"!\xf9\4\1\0\0" + rng.randbytes(1) + b"\0", b"!\xfe\3a\0b\0", b"!\xff\0"))
            + b"\0" * rng.randrange(2),
        )
    if rng.random() < 0.1:
        head = blind(head)
    return head + b"".join(_shuffled(blocks, rng, change)) + data[at:]


def _sub_blocks(data: bytes) -> list[bytes]:
    out, at = [], 0
    while at < len(data) and data[at]:
        out.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return out


def _webp(data: bytes, rng: random.Random, blind: Blind) -> bytes:
    chunks, at = [], 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        chunks.append(data[at : at + 4] + data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    if rng.random() < 0.2:
        kind = rng.choice((b"ICCP", b"EXIF", b"XMP ", b"ALPH", b"ANIM", b"VP8X", b"VP8L", b"VP8 ", b"none"))
        size = struct.pack("<HH", *rng.choices((1, 11, 21, 16383), k=2))
        chunks.insert(
            rng.randint(0, len(chunks)),
            kind
            + rng.choice(
                (b"", b"Exif\0\0abc", b"\x10" + bytes(9), b"\0\0\0\x9d\1\x2a" + size, rng.randbytes(10))
            ),
        )

    def change(chunk: bytes) -> bytes:
        if chunk[:4] == b"VP8L" and rng.random() < 0.3:  # another size, or alpha
            size = struct.pack(
                "<I", rng.choice(SMALL) - 1 | rng.choice(SMALL) - 1 << 14 | rng.randrange(2) << 28
            )
            return chunk[:5] + size + chunk[9:]
        return chunk[:4] + blind(chunk[4:]) if rng.random() < 0.8 else blind(chunk)

    body = b"WEBP"
    for chunk in _shuffled(chunks, rng, change):
        held = chunk[4:]
        body += (
            chunk[:4].ljust(4)
            + struct.pack("<I", len(held) if rng.random() < 0.98 else _number(rng))
            + held
            + b"\0" * (len(held) % 2)
        )
    return b"RIFF" + struct.pack("<I", len(body)) + body + rng.choice((b"", b"", b"", b"tail"))


def _jpeg(data: bytes, rng: random.Random, blind: Blind) -> bytes:
    segments, at = [], 2
    while at + 4 <= len(data) and data[at] == 255 and data[at + 1] != 0xDA:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        segments.append(data[at : at + 2] + data[at + 4 : at + 2 + size])
        at += 2 + max(2, size)
    if rng.random() < 0.2:
        size = struct.pack(">HH", *rng.choices((1, 11, 21, 65535), k=2))
        mark, held = rng.choice(
            (
                (0xC0, b"\x08" + size + b"\1\1\x11\0"),
                (0xE1, b"Exif\0\0II*\0"),
                (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
                (0xE2, b"ICC_PROFILE\0\1\1abc"),
                (0xFE, b"said"),
            )
        )
        segments.insert(rng.randint(0, len(segments)), bytes([255, mark]) + held)
    rest = data[at:]
    if rng.random() < 0.2:
        rest = blind(rest)
    changed = _shuffled(
        segments,
        rng,
        lambda segment: segment[:2] + blind(segment[2:]) if rng.random() < 0.9 else blind(segment),
    )
    return (
        data[:2]
        + b"".join(
            s[:2].ljust(2, b"\xff") + struct.pack(">H", (len(s[2:]) + 2) % 65536) + s[2:] for s in changed
        )
        + rest
    )


CHANGES: dict[Format, Callable[[bytes, random.Random, Blind], bytes]] = {
    Format.PNG: png_file,
    Format.PBM: _netpbm,
    Format.PGM: _netpbm,
    Format.PPM: _netpbm,
    Format.PAM: _netpbm,
    Format.BMP: _bmp,
    Format.NPY: _npy,
    Format.QOI: _qoi,
    Format.TIFF: _tiff,
    Format.GIF: _gif,
    Format.WEBP: _webp,
    Format.JPEG: _jpeg,
}
