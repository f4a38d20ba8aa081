"""Mutations of .ardm and PNG files that keep the outer layers sound, so that the inner ones are reached.
Knows structure, not the fuzzer.

Blind changes die at the first checksum. Here a file is taken apart (leniently: it may be damaged already),
one or more parts are changed, and lengths, checksums and, mostly, hashes are made right again. `blind` is the
fuzzer's own mutation of a piece of bytes.
"""

from __future__ import annotations

import lzma
import random
import re
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from codec import archive, container, png
from codec.coder import stored
from codec.container import (
    DIGEST_BYTES,
    HEAD,
    INDEX,
    MAGIC,
    PNG_CHUNKS,
    PNG_FORM,
    SOURCE_FRAME,
    WEIGHTS_BYTES,
    varint,
)
from codec.errors import ArdmError, CorruptError
from codec.limits import NO_LIMITS
from codec.methods import Method
from codec.png.exact.recipes import BEGINNING, BEGINNING_DIFFERENT, BY_LIST
from codec.text import file as text
from codec.text import header as header_of_text
from codec.text import prose
from tests import pngs
from tests.fuzz.targets import LIMITS, small_texts, stub

Blind = Callable[[bytes], bytes]
INTERESTING = (
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    9,
    15,
    16,
    17,
    31,
    32,
    33,
    63,
    64,
    127,
    128,
    255,
    256,
    1023,
    2048,
    65535,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
)


def blind_of(rng: random.Random) -> Blind:
    """A simple stand-in for a fuzzer's own mutation: bytes set, removed, inserted or repeated."""

    def blind(data: bytes) -> bytes:
        out = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            at = rng.randint(0, len(out))
            end = min(len(out), at + rng.choice((1, 1, 2, 8, 40)))
            way = rng.randrange(4)
            if way == 0:
                out[at:end] = rng.randbytes(end - at)
            elif way == 1:
                del out[at:end]
            elif way == 2:
                out[at:at] = rng.randbytes(rng.choice((1, 2, 8)))
            else:
                out[at:at] = out[at:end]
        return bytes(out)

    return blind


# ---- .ardm -------------------------------------------------------------------------------------------------


@dataclass
class Parts:
    """An .ardm file taken apart."""

    head: bytearray
    metadata: list[tuple[int, bytes]]
    planes: list[tuple[int, bytes]]  # (method, payload)


def take_apart(data: bytes) -> Parts | None:
    """Without regard to checksums. None if there is nothing to hold on to."""
    if not data.startswith(MAGIC):
        return None
    at, head, metadata = len(MAGIC), bytearray(), []
    try:
        while True:
            kind = data[at]
            length, at = container.read_varint(data, at + 1)
            payload, at = data[at : at + length], at + length + 4
            if kind == INDEX:
                break
            if kind == HEAD and not head:
                head = bytearray(payload)
            else:
                metadata.append((kind, payload))
        planes, position = [], 0
        while position + 6 <= len(payload):
            method = payload[position]
            length, position = container.read_varint(payload, position + 1)
            planes.append((method, data[at : at + length]))
            position, at = position + 4, at + length
    except (IndexError, ArdmError):
        return None
    return Parts(head, metadata, planes)


def put_together(parts: Parts) -> bytes:
    """Inverse of `take_apart`, with right lengths and checksums."""
    index = b"".join(
        bytes([method]) + container.varint(len(payload)) + struct.pack("<I", zlib.crc32(payload))
        for method, payload in parts.planes
    )
    chunks = [(HEAD, bytes(parts.head)), *parts.metadata, (INDEX, index)]
    return b"".join(
        [MAGIC, *(container.chunk(*c) for c in chunks), *(payload for _, payload in parts.planes)]
    )


def ardm(data: bytes, rng: random.Random, blind: Blind) -> bytes:
    """Another .ardm file, or something like one."""
    parts = take_apart(data)
    if parts is None or rng.random() < 0.05:
        return blind(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(
            (_head, _head, _metadata, _metadata, _form, _method, _payload, _payload, _payload, _planes)
        )(parts, rng, blind)
    out = put_together(parts)
    return _right_hashes(out, parts, rng) if rng.random() < 0.8 else out


def _right_hashes(out: bytes, parts: Parts, rng: random.Random) -> bytes:
    """Put the hashes that a decoder says it computed where the others are; twice, since that of a recipe is
    only looked at after that of the pixels.
    """
    for _ in range(2):
        try:
            archive.unpack(out, limits=LIMITS, predictor=stub())
        except ArdmError as error:
            found = re.search(
                r"hash of the (decoded pixels|PNG file|file) .*Computed: ([0-9a-f]+)", str(error)
            )
            if found and found[1] == "decoded pixels":
                parts.head[-DIGEST_BYTES:] = bytes.fromhex(found[2])
            elif found and found[1] == "file":
                parts.metadata = [
                    (k, p[:1] + bytes.fromhex(found[2]) + p[17:] if k == SOURCE_FRAME else p)
                    for k, p in parts.metadata
                ]
            elif found:
                parts.metadata = [
                    (k, p[:-16] + bytes.fromhex(found[2]) if k == PNG_FORM else p) for k, p in parts.metadata
                ]
            elif "kept whole" in str(error) and parts.planes:
                parts.head[-DIGEST_BYTES:] = container.digest(parts.planes[0][1])
            else:
                break
            out = put_together(parts)
        except Exception:
            break  # for the target to find
        else:
            break
    return out


# as HEAD begins; the first three are bytes
FIELDS = ("version", "flags", "sort", "width", "height", "tile_height", "tile_width")


def head_fields(head: bytes) -> tuple[list[int], int] | None:
    """What HEAD begins with, and where the id of the weights follows. None if it is too short."""
    fields, at = list(head[:3]), 3
    try:
        for _ in FIELDS[3:]:
            value, at = container.read_varint(head, at)
            fields.append(value)
    except ArdmError:
        return None
    return (fields, at) if at + WEIGHTS_BYTES + 1 + DIGEST_BYTES <= len(head) else None


def _head(parts: Parts, rng: random.Random, blind: Blind) -> None:
    found = head_fields(parts.head)
    if found is None or rng.random() < 0.1:
        parts.head = bytearray(blind(bytes(parts.head)))
        return
    fields, at = found
    weights, order = (
        bytes(parts.head[at : at + WEIGHTS_BYTES]),
        bytes(parts.head[at + WEIGHTS_BYTES : -DIGEST_BYTES]),
    )
    which = rng.randrange(1, len(FIELDS) + 3)
    if which == len(FIELDS):  # another order, of the flags' sort or not
        fields[1], order = _order(fields[1], rng)
    elif which == len(FIELDS) + 1:
        order = blind(order)
    elif which == len(FIELDS) + 2:
        weights = rng.choice(
            (bytes(WEIGHTS_BYTES), bytes.fromhex(stub().weights.id), rng.randbytes(WEIGHTS_BYTES))
        )
    elif which == 1:
        fields[1] = fields[1] ^ 1 << rng.randrange(8)
    elif which == 2:
        fields[2] = rng.choice((fields[2] ^ 1 << rng.randrange(8), rng.randrange(4) << 4 | rng.randrange(6)))
    else:
        fields[which] = max(
            0,
            rng.choice(
                (fields[which] + 1, fields[which] - 1, rng.choice(INTERESTING[:18]), rng.choice(INTERESTING))
            ),
        )
    parts.head = bytearray(
        bytes(fields[:3]) + b"".join(map(varint, fields[3:])) + weights + order + parts.head[-DIGEST_BYTES:]
    )


def _order(flags: int, rng: random.Random) -> tuple[int, bytes]:
    """(flags, what HEAD says of the order after the id of the weights)."""
    kept = flags & ~(container.ORDER | container.PLAIN)
    stages = [rng.choice((1, 3, 5, 0x3FFF, 0x2AAA)) for _ in range(rng.randrange(5))]
    listed = bytes([len(stages)]) + struct.pack(f"<{len(stages)}H", *stages)
    plain = container.PLAIN * rng.randrange(2)
    way = rng.randrange(3)
    if way == 0:
        strip = 0 if plain else rng.choice((0, 1, 3, 4, 5, 8, 2048, 2049))
        return kept | plain, varint(strip) + varint(rng.choice((7, 7, 7, 0, 8, 300)))
    if way == 1:
        return kept | 1 | plain, listed
    calls = [rng.choice((1, 2, 5, 255, 256)) for _ in stages]
    return kept | 2 | container.PLAIN, rng.randbytes(4) + bytes([len(calls)]) + struct.pack(
        f"<{len(calls)}H", *calls
    )


def _metadata(parts: Parts, rng: random.Random, blind: Blind) -> None:
    if not parts.metadata or rng.random() < 0.2:
        parts.metadata.insert(
            rng.randint(0, len(parts.metadata)),
            (rng.choice((PNG_CHUNKS, PNG_FORM, SOURCE_FRAME, 0xFF, 5)), blind(b"\0" * rng.randrange(8))),
        )
        return
    at = rng.randrange(len(parts.metadata))
    kind, payload = parts.metadata[at]
    if rng.random() < 0.1:
        parts.metadata[at : at + 1] = rng.choice(([], [parts.metadata[at]] * 2))
    elif kind == PNG_CHUNKS and rng.random() < 0.8:
        raw = _inflated(payload)
        if len(raw) > 4:
            cut = int.from_bytes(raw[:4], "little")
            before, after = (_png_chunks(part, rng, blind) for part in (raw[4 : 4 + cut], raw[4 + cut :]))
            raw = struct.pack("<I", max(0, len(before) + rng.choice((0, 0, 0, 1, -1)))) + before + after
        parts.metadata[at] = kind, zlib.compress(raw)
    elif kind == SOURCE_FRAME and rng.random() < 0.8:
        parts.metadata[at] = kind, _frame(payload, rng, blind)
    else:
        parts.metadata[at] = kind, blind(payload)


def _frame(payload: bytes, rng: random.Random, blind: Blind) -> bytes:
    """What a source file has beside its samples, changed."""
    try:
        length, at = container.read_varint(payload, 17)
    except ArdmError:
        return blind(payload)
    both, layout, way = _inflated(payload[at:]), payload[0], rng.randrange(3)
    if way == 0:
        layout ^= 1 << rng.randrange(8)
    elif way == 1:
        length = rng.choice((length + 1, max(0, length - 1), len(both), rng.choice(INTERESTING)))
    else:
        both = blind(both)
    return bytes([layout]) + payload[1:17] + container.varint(length) + zlib.compress(both)


def _form(parts: Parts, rng: random.Random, blind: Blind) -> None:
    """A recipe of one's own."""
    level, different = rng.randint(0, 9), rng.random() < 0.5
    if different:
        form = bytes([rng.choice((4, 5))]) + struct.pack(
            BEGINNING_DIFFERENT, b"\x78\x9c", rng.randint(0, 13), rng.choice((0, 4, 255))
        )
    else:
        form = bytes([rng.choice((2, 3))]) + struct.pack(
            BEGINNING, b"\x78\x9c", level, rng.randint(1, 9), rng.randint(0, 4), rng.randint(9, 15)
        )
    form += bytes([way := rng.randint(0, 6)])
    if way == BY_LIST:
        found = head_fields(parts.head)
        height = found[0][4] if found else 1
        form += _listed(bytes(rng.randrange(5) for _ in range(min(height, 4096))), rng)
    form += (
        _sizes(rng)
        + (
            rng.randbytes(4 * rng.choice((0, 1, 2, 5, 100)))
            if different
            else _sizes(rng)
            if not level
            else b""
        )
        + bytes(16)
    )
    parts.metadata = [m for m in parts.metadata if m[0] != PNG_FORM] + [
        (PNG_FORM, form if rng.random() < 0.8 else blind(form))
    ]


def _listed(data: bytes, rng: random.Random) -> bytes:
    packed = zlib.compress(data)
    return container.varint(len(packed) + rng.choice((0, 0, 0, 0, 1, 5))) + packed


def _sizes(rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        return container.varint(rng.choice((1, 5, 100, 2**20))) + container.varint(
            rng.choice((*INTERESTING[:20], 300, 1000))
        )
    return b"\0" + _listed(
        b"".join(container.varint(rng.choice(INTERESTING[:22])) for _ in range(rng.randrange(9))), rng
    )


def _method(parts: Parts, rng: random.Random, blind: Blind) -> None:
    if parts.planes:
        at = rng.randrange(len(parts.planes))
        method = rng.randint(0, max(Method))
        parts.planes[at] = method, parts.planes[at][1]
        if method == Method.HIGH_DEPTH or (method == Method.PALETTE and rng.random() < 0.5):
            parts.planes[at + 1 : at + 2] = [(Method.INCLUDED, b"")]


def _payload(parts: Parts, rng: random.Random, blind: Blind) -> None:
    if not parts.planes:
        return
    at = rng.randrange(len(parts.planes))
    method, payload = parts.planes[at]
    if method == Method.FILE and rng.random() < 0.8:
        payload = png_file(payload, rng, blind)
    elif method == stored.FILTERED and payload and rng.random() < 0.7:
        try:
            raw = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=stored._FILTERS).decompress(
                payload[1:], max_length=2**16
            )
        except lzma.LZMAError:
            raw = payload
        raw = blind(raw) if rng.random() < 0.5 else bytes(v ^ (rng.random() < 0.1) for v in raw)
        payload = bytes([rng.randint(0, 8)]) + lzma.compress(raw, lzma.FORMAT_RAW, filters=stored._FILTERS)
    elif method == Method.PALETTE and payload and rng.random() < 0.3:  # another palette, or other methods
        methods = rng.choice((0, 1, 3)) | rng.choice((0, 1, 3)) << 4
        payload = bytes([rng.choice((0, 1, payload[0], 255)), methods]) + payload[rng.choice((1, 2, 2, 3)) :]
    elif rng.random() < 0.5:  # the same length, which is what most checks want first
        changed = bytearray(payload)
        for _ in range(rng.choice((1, 1, 4, 20)) if changed else 0):
            changed[rng.randrange(len(changed))] = rng.choice((0, 255, rng.randrange(256)))
        payload = bytes(changed)
    else:
        payload = blind(payload)
    parts.planes[at] = method, payload


def _planes(parts: Parts, rng: random.Random, blind: Blind) -> None:
    if parts.planes:
        at = rng.randrange(len(parts.planes))
        parts.planes[at : at + 1] = rng.choice(
            ([], [parts.planes[at]] * 2, [(0, b"")], [(1, blind(b"\0abc"))])
        )


# ---- .ardm files of text, and other bytes ------------------------------------------------------------------

FOUND = (
    b"The ",
    b" river",
    b", and ",
    b".\r\n\r\n",
    b"McGregor",
    b"CHAPTER II",
    b" a",
    b"a a",
    b"\0",
    b"1984",
    b"'",
    b"\xc3\xa9",
    b"w" * 40,
    b"{|}~",
    b"\n\n\n",
)


def text_file(data: bytes, rng: random.Random, blind: Blind) -> bytes:
    """Another .ardm file of text, or something like one; or, of other bytes, others."""
    if not header_of_text.is_text(data):
        return _words(data, rng, blind)
    try:
        header, at = text.read(data, NO_LIMITS)
    except ArdmError:
        header, at = None, 0
    if header is None or rng.random() < 0.1:
        return _right_chunk(blind(data))
    payload = data[at:]
    for _ in range(rng.choice((1, 1, 2))):
        header, payload = rng.choice(
            (_text_field, _text_payload, _text_payload, _new_text, _new_text, _forged_text)
        )(header, payload, rng, blind)
    if rng.random() < 0.95:
        header = replace(header, length=len(payload), crc=zlib.crc32(payload))
    out = text._write(header, payload)
    try:
        with small_texts():
            text.unpack(out, limits=LIMITS)
    except ArdmError as error:
        found = re.search(r"hash of the text .*Computed: ([0-9a-f]{32})", str(error))
        if found and rng.random() < 0.9:
            out = text._write(replace(header, digest=bytes.fromhex(found[1])), payload)
    except Exception:
        pass  # for the target to find
    return out


def _right_chunk(data: bytes) -> bytes:
    """The first chunk with its checksum."""
    try:
        _, payload, _, at = container.read_chunk(data, len(MAGIC))
    except ArdmError:
        return data
    return data[: len(MAGIC)] + container.chunk(data[len(MAGIC)], payload) + data[at:]


def _words(data: bytes, rng: random.Random, blind: Blind) -> bytes:
    if rng.random() < 0.3:
        return blind(data)
    at = rng.randint(0, len(data))
    end = min(len(data), at + rng.choice((0, 0, 1, 5, 40)))
    return (
        data[:at]
        + rng.choice((rng.choice(FOUND), data[at:end].upper(), data[at:end].swapcase(), data[:end]))
        + data[end:]
    )


Packed = tuple[text.TextHeader, bytes]  # with its payload


def _text_field(header: text.TextHeader, payload: bytes, rng: random.Random, blind: Blind) -> Packed:
    name = rng.choice(("size", "method", "order", "weights_id", "cell", "letters", "words", "digest"))
    if name == "method":
        return replace(header, method=rng.randrange(4)), payload
    if name == "order":
        return replace(header, order=rng.choice((*text.Order, 2))), payload  # type: ignore[arg-type]
    if name == "weights_id":
        return replace(
            header,
            weights_id=rng.choice((bytes(8).hex(), 2 * stub().weights.id, text.context.TEXT_ID, "11" * 8)),
        ), payload
    if name == "cell":
        return replace(header, cell=rng.choice((0, 1, 3, 99, 1 << 16, (1 << 16) + 1))), payload
    if name == "digest":
        return replace(header, digest=rng.randbytes(16)), payload
    old = getattr(header, name)
    return replace(header, **{name: rng.choice((old + 1, max(0, old - 1), rng.choice(INTERESTING)))}), payload


def _text_payload(header: text.TextHeader, payload: bytes, rng: random.Random, blind: Blind) -> Packed:
    if header.method == text.PACKED:
        try:
            raw = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=text._FILTERS).decompress(
                payload, max_length=2**12
            )
        except lzma.LZMAError:
            raw = payload
        raw = blind(raw)
        return replace(header, size=len(raw)), lzma.compress(
            raw, lzma.FORMAT_RAW, filters=[text._FILTERS[0] | {"dict_size": 1 << 16}]
        )
    if header.method != text.MODEL or rng.random() < 0.1:
        return header, blind(payload)
    try:
        length, at = container.read_varint(payload, 0)
    except ArdmError:
        return header, blind(payload)
    letters, marks = (bytearray(part) for part in (payload[at : at + length], payload[at + length :]))
    part = rng.choice((letters, marks))
    for _ in range(rng.choice((1, 1, 4))):
        if part:
            part[rng.randrange(len(part))] = rng.choice((0, 255, rng.randrange(256)))
    if rng.random() < 0.1:
        part += rng.choice((bytes(4), rng.randbytes(4), b"\0"))
    return header, container.varint(len(letters)) + letters + marks


def _new_text(header: text.TextHeader, payload: bytes, rng: random.Random, blind: Blind) -> Packed:
    """Another text, soundly packed."""
    with small_texts():
        try:
            held = text.unpack(text._write(header, payload), limits=LIMITS)
        except Exception:
            held = b"The old man sat by the river and wept."
        held = _words(held, rng, blind)[: LIMITS.max_pixels]
        order = rng.choice(("auto", "cells", "plain"))
        parts = text.take_apart(held)
        return text._model(held, parts, prose.encode(parts), order, rng.choice((1, 2, 5)), LIMITS, None)


def _forged_text(header: text.TextHeader, payload: bytes, rng: random.Random, blind: Blind) -> Packed:
    """Letters and marks that no file is taken apart into, coded as if one were."""
    held = rng.choice((b"A man, a plan: PANAMA! ", b"the Old man; ", b"x ", b"iPod McAdam. ")) * rng.randint(
        1, 6
    )
    parts = text.take_apart(held)
    stream, capital, gaps, ends = (
        parts.stream.copy(),
        parts.capital.copy(),
        parts.gaps.copy(),
        parts.ends.copy(),
    )
    way = rng.randrange(4)
    if way == 0:
        stream[rng.randrange(stream.size)] = rng.choice((0, 0, 26, 27, 31))
    elif way == 1:
        gaps[rng.randrange(gaps.size)] = rng.choice((64, 65, 91, 97, 122, 123))
    elif way == 2:
        ends[rng.randrange(ends.size)] = rng.randint(0, gaps.size)
    else:
        capital[:] = rng.choice((0, 1))
    coder = prose.TextCoder(stream.size)
    with suppress(CorruptError):  # what is no letter
        coder.letters(stream.size, stream)
    letters = coder.finish()
    marks = prose.encode(parts._replace(capital=capital, gaps=gaps, ends=np.maximum.accumulate(ends)))
    forged = replace(
        header, size=len(held), method=text.MODEL, order=text.Order.PLAIN, weights_id=bytes(8).hex(), cell=0
    )
    space = int((stream == 0).sum())
    return replace(forged, letters=stream.size - space, words=space + 1), container.varint(
        len(letters)
    ) + letters + marks


# ---- PNG ---------------------------------------------------------------------------------------------------

TYPES = (
    b"IHDR",
    b"PLTE",
    b"IDAT",
    b"IEND",
    b"tRNS",
    b"tEXt",
    b"acTL",
    b"fdAT",
    b"iCCP",
    b"prVt",
    b"CRIT",
    b"tIME",
)


def png_file(data: bytes, rng: random.Random, blind: Blind) -> bytes:
    """Another PNG file, or something like one."""
    if not data.startswith(png.SIGNATURE) or rng.random() < 0.05:
        return blind(data)
    chunks = _split(data, 8)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        way = rng.randrange(6)
        if way == 0:
            chunks = _new_header(chunks, rng)
        elif way == 1:
            chunks = _new_image_data(chunks, rng, blind)
        elif way == 2 and chunks:
            chunks = _right_image_data(chunks, rng)
        else:
            chunks = _chunk_list(chunks, rng, blind)
    if rng.random() < 0.4:
        chunks = _right_image_data(chunks, rng)
    return pngs.build(chunks) + rng.choice((b"", b"", b"", b"", b"tail"))


def _split(data: bytes, at: int) -> list[tuple[bytes, bytes]]:
    """(type, data) of every chunk that there is room for."""
    out = []
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        out.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return out


def _png_chunks(data: bytes, rng: random.Random, blind: Blind) -> bytes:
    """Whole chunks without a signature, changed."""
    return pngs.build(_chunk_list(_split(data, 0), rng, blind))[8:]


def _chunk_list(
    chunks: list[tuple[bytes, bytes]], rng: random.Random, blind: Blind
) -> list[tuple[bytes, bytes]]:
    out = list(chunks)
    at = rng.randint(0, len(out))
    way = rng.randrange(6)
    if way == 0 or at == len(out):
        out.insert(at, (rng.choice(TYPES), blind(b"\0" * rng.randrange(9))))
    elif way == 1:
        del out[at]
    elif way == 2:
        out.insert(rng.randint(0, len(out)), out[at])
    elif way == 3:
        other = rng.randrange(len(out))
        out[at], out[other] = out[other], out[at]
    elif way == 4:
        out[at] = rng.choice(TYPES), out[at][1]
    else:
        out[at] = out[at][0], blind(out[at][1])
    return [(kind[:4].ljust(4, b"a"), data) for kind, data in out]


def _new_header(chunks: list[tuple[bytes, bytes]], rng: random.Random) -> list[tuple[bytes, bytes]]:
    colour, depth = rng.choice([(c, d) for c, depths in pngs.DEPTHS.items() for d in depths])
    sizes = [rng.choice((1, 2, 3, 5, 8, 9, 17, 32, *INTERESTING[:3])) for _ in range(2)]
    if rng.random() < 0.05:
        sizes[0] = rng.choice(INTERESTING)
    header = struct.pack(">IIBBBBB", *sizes, depth, colour, 0, 0, rng.randrange(2))
    if rng.random() < 0.1:
        header = header[:8] + rng.randbytes(5)
    return [(b"IHDR", header), *chunks[1:]]


def _image_data(
    chunks: list[tuple[bytes, bytes]], stream: bytes, rng: random.Random
) -> list[tuple[bytes, bytes]]:
    """The chunks with another stream for image data, in pieces."""
    first = next((i for i, (kind, _) in enumerate(chunks) if kind == b"IDAT"), max(0, len(chunks) - 1))
    size = rng.choice((1, 7, 100, 1 << 20))
    pieces = [(b"IDAT", stream[at : at + size]) for at in range(0, len(stream), size)]
    return [*chunks[:first], *pieces, *(c for c in chunks[first:] if c[0] != b"IDAT")]


def _inflated(stream: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(stream, 2**16)
    except zlib.error:
        return b""


def _deflated(raw: bytes, rng: random.Random) -> bytes:
    packer = zlib.compressobj(
        rng.randint(0, 9), zlib.DEFLATED, rng.randint(9, 15), rng.randint(1, 9), rng.randint(0, 4)
    )
    return (
        packer.compress(raw)
        + (packer.flush(zlib.Z_FULL_FLUSH) if rng.random() < 0.1 else b"")
        + packer.flush()
    )


def _new_image_data(
    chunks: list[tuple[bytes, bytes]], rng: random.Random, blind: Blind
) -> list[tuple[bytes, bytes]]:
    stream = b"".join(data for kind, data in chunks if kind == b"IDAT")
    if rng.random() < 0.3:
        return _image_data(chunks, blind(stream), rng)
    return _image_data(chunks, _deflated(blind(_inflated(stream)), rng), rng)


def _right_image_data(chunks: list[tuple[bytes, bytes]], rng: random.Random) -> list[tuple[bytes, bytes]]:
    """Image data of the size that the header says, with filters that exist."""
    try:
        head = png.read_head(pngs.build(chunks[:1]), LIMITS.max_pixels)
    except ArdmError:
        return chunks
    stream = b"".join(data for kind, data in chunks if kind == b"IDAT")
    old, raw, at = _inflated(stream), bytearray(), 0
    for one in head.passes():
        for _ in range(one.rows):
            row = old[at : at + one.line].ljust(one.line, b"\0")
            raw += bytes([row[0] % 5]) + row[1:]
            at += one.line
    out = _image_data(chunks, _deflated(bytes(raw), rng), rng)
    if head.kind.indexed and not any(kind == b"PLTE" for kind, _ in out):
        out.insert(1, (b"PLTE", rng.randbytes(3 * rng.randint(1, 256))))
    if out[-1] != (b"IEND", b""):
        out.append((b"IEND", b""))
    return out
