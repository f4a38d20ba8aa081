"""The .ardm container: bytes to fields and back, as FORMAT.md describes them. Knows no pixels and no network.

magic 8 | chunk HEAD | chunks of metadata | chunk INDEX | tile payloads, back to back | end of file chunk:
type u8 (bit 7: may be ignored by who does not know it) | length varint | payload | CRC-32 of all before it in
the chunk, u32
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from codec import methods
from codec.coder.schedule import MAX_CALLS, STAGES_MOST, Order, Schedule
from codec.errors import CorruptError, InputError, LimitError, NotArdmError, TruncatedError, UnsupportedError
from codec.limits import Limits
from codec.methods import METHODS, Method
from codec.samples import DEPTHS, Kind, plane_count

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MAGIC = b"\x89ARDM\r\n\x1a"
VERSION = 2
HEAD, INDEX = 0x01, 0x02
TEXT = 0x03  # instead of HEAD: `codec.text` knows the rest
OPTIONAL = 0x80  # types from here on are ancillary
PNG_CHUNKS = 0x81  # ancillary chunks of the PNG that the image came from
PNG_FORM = 0x82  # whether it was interlaced, and how to make the very same file again
SOURCE_FRAME = 0x83  # what a file of bare samples has beside them (`codec.formats.frames`)
SOURCE_NAME = 0x84  # the name of the file that comes back, where that of the .ardm file does not tell it
MAX_NAME = 1024  # bytes
MAX_METADATA = 1000  # chunks; far more than anything writes
MAX_TILE = 2048  # largest side of a tile; bounds the memory that a decoder needs
# flag bits; the last one is reserved
ORDER, PLAIN, CHANNEL_AXIS, INDEXED, WHOLE, FOLDED = 3, 4, 8, 16, 32, 64
WEIGHTS_BYTES, DIGEST_BYTES = 4, 12
OLD_VERSIONS = 1  # what releases before 1.0 wrote
NO_WEIGHTS = bytes(WEIGHTS_BYTES).hex()
# labels of methods that are counted
LISTED_PLANES = "network", "converted", "jpeg", "graphics", "palette", "high_depth", "stored"


@dataclass(frozen=True)
class Entry:
    """One coded plane of one tile."""

    method: int
    length: int
    crc: int


@dataclass(frozen=True)
class Header:
    """All that is known of an image before any tile is decoded."""

    width: int
    height: int
    channels: int  # 1 grey or indices, 2 grey + alpha, 3 RGB, 4 RGBA
    tile: tuple[int, int]  # (height, width) of a tile in pixels, multiples of 4
    weights_id: str  # hex
    schedule: Schedule
    channel_axis: bool  # False: the array was (H, W); only grey may be False
    digest: bytes  # `digest` of the decoded pixels, row-major; of the file if it is kept whole
    # tiles row-major; of each the planes as `codec.samples.planes` orders them
    entries: tuple[Entry, ...] = ()
    metadata: tuple[tuple[int, bytes], ...] = field(default=())
    kind: Kind = field(default_factory=Kind)
    whole: bool = False  # the image file itself is the only payload
    metadata_lost: int = 0  # chunks that were damaged and left out, if `read` was asked to go on
    folded: bool = False  # tiles are of `codec.samples.fold` of the pixels; 16 bits only

    @property
    def recoded(self) -> bool:
        """Whether a JPEG is kept by its coefficients."""
        return self.whole and any(entry.method == Method.JPEG_FILE for entry in self.entries)

    @property
    def samples(self) -> int:
        return self.width * self.height * self.channels

    @property
    def planes(self) -> int:
        return plane_count(self.channels, self.kind)

    @property
    def entry_count(self) -> int:
        return 1 if self.whole else self.tile_count * self.planes

    @property
    def tile_count(self) -> int:
        return -(-self.height // self.tile[0]) * -(-self.width // self.tile[1])

    @property
    def tiles(self) -> list[tuple[int, int, int, int]]:
        """(top, left, height, width) of every tile, row-major."""
        return [
            (y, x, min(self.tile[0], self.height - y), min(self.tile[1], self.width - x))
            for y in range(0, self.height, self.tile[0])
            for x in range(0, self.width, self.tile[1])
        ]


def as_bytes(data: ReadableBuffer) -> bytes:
    """The bytes of any object with the buffer protocol, in the order of its elements. Raises InputError for
    anything else.
    """
    if type(data) is bytes:
        return data
    try:
        with memoryview(data) as view:
            if "O" in view.format or "P" in view.format:
                raise TypeError("holds references, not bytes")
            return view.tobytes()
    except (TypeError, ValueError, BufferError, NotImplementedError) as error:
        like = "; read the file first" * isinstance(data, str | os.PathLike)
        raise InputError(
            f"the data must be bytes, or an object with the buffer protocol, got {type(data).__name__}{like}."
        ) from error


def varint(n: int) -> bytes:
    """LEB128: seven bits a byte, least significant first, bit 7 set on all but the last."""
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, position after it). At most 9 bytes; the last byte of a longer one must not be 0."""
    value = 0
    for i in range(9):
        if at + i >= len(data):
            raise TruncatedError("the file ends inside a length field.")
        byte = data[at + i]
        value |= (byte & 127) << (7 * i)
        if byte < 128:
            if byte == 0 and i:
                raise CorruptError("a length field is not in its shortest form.")
            return value, at + i + 1
    raise CorruptError("a length field is longer than 9 bytes.")


def chunk(kind: int, payload: bytes) -> bytes:
    body = bytes([kind]) + varint(len(payload)) + payload
    return body + struct.pack("<I", zlib.crc32(body))


def write(header: Header, payloads: list[bytes]) -> bytes:
    """Assemble a file. `header.entries` describes `payloads`, in order."""
    head = _write_head(header)
    index = b"".join(bytes([e.method]) + varint(e.length) + struct.pack("<I", e.crc) for e in header.entries)
    parts = [
        MAGIC,
        chunk(HEAD, head),
        *(chunk(kind, data) for kind, data in header.metadata),
        chunk(INDEX, index),
        *payloads,
    ]
    return b"".join(parts)


def _write_head(header: Header) -> bytes:
    schedule = header.schedule
    flags = schedule.order | (PLAIN if schedule.plain else 0) | (CHANNEL_AXIS if header.channel_axis else 0)
    flags |= (
        (INDEXED if header.kind.indexed else 0)
        | (WHOLE if header.whole else 0)
        | (FOLDED if header.folded else 0)
    )
    head = bytes([VERSION, flags, (header.channels - 1) << 4 | DEPTHS.index(header.kind.depth)])
    head += b"".join(
        varint(n) for n in (header.width, header.height, header.tile[0] // 4, header.tile[1] // 4)
    )
    head += bytes.fromhex(header.weights_id)
    if schedule.order == Order.RASTER:
        head += varint(schedule.strip) + varint(schedule.slope)
    else:
        head += struct.pack("<I", schedule.seed) if schedule.order == Order.RANDOM else b""
        head += bytes([len(schedule.stages)]) + b"".join(
            struct.pack("<H", stage) for stage in schedule.stages
        )
    return head + header.digest


def read(data: bytes, limits: Limits | None = None, salvage: bool = False) -> tuple[Header, int]:
    """Parse everything before the tile payloads. Returns (header, position of the first payload).

    Checks magic, version, checksums, reserved values, the pixels and tiles of `limits` (default: `Limits()`),
    and that the payloads end exactly at the end of `data`. salvage: to rescue what can be; payloads may be
    missing, and metadata with a wrong checksum is left out. Raises NotArdmError, TruncatedError,
    CorruptError, UnsupportedError or LimitError.
    """
    header, at = read_front(data, limits, salvage)
    if not salvage:
        check_end(header, at, len(data))
    return header, at


def read_front(data: bytes, limits: Limits | None = None, salvage: bool = False) -> tuple[Header, int]:
    """`read` of the beginning of a file, whatever follows. Raises TruncatedError if it is too short."""
    limits = limits or Limits()
    header, metadata, lost, index, at = _read_chunks(data, limits, salvage)
    entries = _read_index(index, header, limits)
    return replace(header, entries=entries, metadata=metadata, metadata_lost=lost), at


def check_end(header: Header, at: int, size: int) -> None:
    """Raise TruncatedError or CorruptError unless payloads from position `at` on end at `size` bytes."""
    end = at + sum(entry.length for entry in header.entries)
    if size < end:
        raise TruncatedError(f"the file has {size} bytes, its index promises {end}; the end is missing.")
    if size > end:
        raise CorruptError(
            f"the file has {size} bytes, its index promises {end}; there are foreign bytes at the end."
        )


def _read_chunks(
    data: bytes, limits: Limits, salvage: bool
) -> tuple[Header, tuple[tuple[int, bytes], ...], int, bytes, int]:
    """(header without entries and metadata, metadata, chunks of it that were damaged, payload of the index,
    position after it).
    """
    if data[: len(MAGIC)] != MAGIC:
        if data and MAGIC.startswith(data):
            raise TruncatedError(f"the file ends after {len(data)} bytes, inside the signature.")
        raise NotArdmError("not an .ardm file: it does not begin with the ardm signature.")
    at = len(MAGIC)
    header: Header | None = None
    metadata: list[tuple[int, bytes]] = []
    lost = 0
    while True:
        kind, payload, damage, at = read_chunk(data, at)
        if damage and not (salvage and kind & OPTIONAL):
            raise CorruptError(damage)
        if header is None:
            header = _first_chunk(kind, payload, limits)
        elif kind == INDEX:
            return header, tuple(metadata), lost, payload, at
        elif not kind & OPTIONAL:
            raise UnsupportedError(
                f"the file needs feature {kind:#04x}, which this release does not know; a newer ardm may "
                "read it."
            )
        elif len(metadata) == MAX_METADATA:
            raise LimitError(f"the file has more than {MAX_METADATA} chunks of metadata.")
        elif damage:
            lost += 1
        else:
            metadata.append((kind, payload))


def _first_chunk(kind: int, payload: bytes, limits: Limits) -> Header:
    """What the first chunk of the file of an image says."""
    if kind == TEXT:
        raise UnsupportedError(
            "the file holds text, not an image; `ardm-decompress`, or `codec.text.unpack`, gives it back."
        )
    if kind != HEAD:
        raise CorruptError(f"the first chunk has type {kind:#04x}, expected the header {HEAD:#04x}.")
    return _parse_head(payload, limits.max_pixels)


def _read_index(payload: bytes, header: Header, limits: Limits) -> tuple[Entry, ...]:
    """The entries of all planes of all tiles."""
    count = header.entry_count
    if count * 6 > len(payload):  # before any list of that length is made
        raise CorruptError(f"the tile index has {len(payload)} bytes, too few for {count} entries.")
    if count > limits.max_tiles:
        raise LimitError(
            f"the image has {count} planes of tiles, the limit is {limits.max_tiles}; raise it with "
            "max_tiles=."
        )
    entries: list[Entry] = []
    position = 0
    for i in range(count):
        if position >= len(payload):
            raise CorruptError("the tile index has too few entries.")
        method = payload[position]
        length, position = read_varint(payload, position + 1)
        if position + 4 > len(payload):
            raise CorruptError("the tile index has too few entries.")
        (crc,) = struct.unpack_from("<I", payload, position)
        position += 4
        methods.check_entry(method, length, i, header, entries[-1].method if entries else None)
        entries.append(Entry(method, length, crc))
    if position != len(payload):
        raise CorruptError("the tile index has too many bytes.")
    return tuple(entries)


def describe(header: Header, at: int, size: int) -> dict[str, object]:
    """What a file says of itself, as plain values. at, size: where its payloads begin, and its bytes."""
    schedule, rows = header.schedule, [METHODS[Method(entry.method)] for entry in header.entries]
    planes = [row.label for row in rows]
    tile = min(header.tile[0], header.height), min(header.tile[1], header.width)
    network, subpixels = any(row.network for row in rows), header.width * header.height * header.channels
    return {
        "width": header.width,
        "height": header.height,
        "channels": header.channels,
        "bits_per_channel": header.kind.depth,
        "indexed": header.kind.indexed,
        "tiles": header.tile_count,
        "tile_height": header.tile[0],
        "tile_width": header.tile[1],
        "order": schedule.order.name.lower(),
        "seed": schedule.seed,
        "coding": "plain" if schedule.plain else "mixing",
        "network_calls": schedule.calls(*tile) if network else 0,
        "evaluations_per_pixel": 1 if network else 0,
        "weights": header.weights_id,
        "pixel_hash": header.digest.hex(),
        "bytes": size,
        "header_bytes": at,
        "bits_per_subpixel": 8 * size / subpixels,
        "planes": 0 if header.whole else len(planes),
        **{f"{label}_planes": planes.count(label) for label in LISTED_PLANES},
        "whole_file": header.whole,
        "jpeg_file": header.recoded,
    }


def write_whole(
    source: bytes,
    width: int,
    height: int,
    channels: int,
    kind: Kind,
    metadata: tuple[tuple[int, bytes], ...] = (),
    recoded: bytes | None = None,
) -> bytes:
    """Assemble a file that keeps an image file. recoded: of a JPEG, what stands for it, if anything does."""
    method, payload = (Method.FILE, source) if recoded is None else (Method.JPEG_FILE, recoded)
    entry = Entry(method, len(payload), zlib.crc32(payload))
    header = Header(
        width,
        height,
        channels,
        (4, 4),
        NO_WEIGHTS,
        Schedule(),
        True,
        digest(source),
        (entry,),
        metadata,
        kind,
        whole=True,
    )
    return write(header, [payload])


def check_whole(source: bytes, header: Header) -> bytes:
    """An image file that was kept, if it is that of the header. Raises CorruptError."""
    if digest(source) != header.digest:
        raise CorruptError("checksum of the file kept whole does not match.")
    return source


def digest(data: bytes | memoryview, size: int = DIGEST_BYTES) -> bytes:
    """BLAKE2b, the format's hash, of so many bytes."""
    return hashlib.blake2b(data, digest_size=size).digest()


def name_chunk(name: str) -> tuple[tuple[int, bytes], ...]:
    """Metadata for the name of a file, as the system has it; none for what is no name, or far too long."""
    packed = name.encode("utf-8", "surrogateescape")
    return ((SOURCE_NAME, packed),) if _is_name(packed) else ()


def name_in(metadata: tuple[tuple[int, bytes], ...]) -> str:
    """The name in metadata, empty if there is none that could be that of a file. Never a path."""
    names = [packed for kind, packed in metadata if kind == SOURCE_NAME]
    return names[0].decode("utf-8", "surrogateescape") if len(names) == 1 and _is_name(names[0]) else ""


def _is_name(packed: bytes) -> bool:
    return (
        0 < len(packed) <= MAX_NAME
        and packed not in (b".", b"..")
        and not any(byte in packed for byte in b"/\0")
    )


def read_chunk(data: bytes, at: int) -> tuple[int, bytes, str, int]:
    """(type, payload, what is wrong with its checksum or nothing, position after the chunk)."""
    start = at
    if at >= len(data):
        raise TruncatedError("the file ends before its tile index.")
    length, body = read_varint(data, at + 1)
    if body + length + 4 > len(data):
        raise TruncatedError(
            f"the file ends inside a chunk of type {data[start]:#04x}, or the chunk's length is damaged."
        )
    (crc,) = struct.unpack_from("<I", data, body + length)
    computed = zlib.crc32(data[start : body + length])
    damage = (
        f"checksum of a chunk of type {data[start]:#04x} does not match. Stored: {crc:08x}. Computed: "
        f"{computed:08x}."
    )
    return data[start], data[body : body + length], damage * (computed != crc), body + length + 4


def _parse_head(payload: bytes, max_pixels: int) -> Header:
    if payload and payload[0] == OLD_VERSIONS:
        raise UnsupportedError(
            "the file was made by a release before 1.0, which this one does not read; restore it with that "
            "release."
        )
    if payload and payload[0] != VERSION:
        raise UnsupportedError(f"format version {payload[0]}; this release reads version {VERSION}.")
    try:
        return _parse_fields(payload, max_pixels)
    except (TruncatedError, struct.error, IndexError) as error:
        raise CorruptError(f"the header has {len(payload)} bytes, which is too short.") from error


def _parse_fields(payload: bytes, max_pixels: int) -> Header:
    flags, sort = payload[1], payload[2]
    if flags & ~(ORDER | PLAIN | CHANNEL_AXIS | INDEXED | WHOLE | FOLDED) or flags & ORDER == ORDER:
        raise UnsupportedError(f"reserved flag bits are set ({flags:#04x}); a newer ardm may read the file.")
    if sort & 15 >= len(DEPTHS) or sort >> 6:
        raise UnsupportedError(
            f"samples of kind {sort:#04x}, which this release does not know; a newer ardm may read the file."
        )
    channels, kind = (sort >> 4) + 1, Kind(DEPTHS[sort & 15], bool(flags & INDEXED))
    if flags & FOLDED and (kind.depth != 16 or flags & WHOLE):
        raise CorruptError(f"samples of {kind.depth} bits are folded, which only 16 bits can be.")
    if not kind.fits(channels):
        raise CorruptError(
            f"there are no images of {channels} channels with samples of {kind.depth} "
            f"bits{', indexed' * kind.indexed}."
        )
    numbers, at = [], 3
    for _ in range(4):
        number, at = read_varint(payload, at)
        numbers.append(number)
    width, height, tile = numbers[0], numbers[1], (4 * numbers[2], 4 * numbers[3])
    if not (0 < width < 2**32 and 0 < height < 2**32) or any(t == 0 or t > MAX_TILE for t in tile):
        raise CorruptError(
            f"impossible geometry: {width} x {height} pixels in tiles of {tile[1]} x {tile[0]}."
        )
    if width * height > max_pixels:
        raise LimitError(
            f"the image has {width} x {height} pixels, the limit is {max_pixels}; raise it with "
            "--max-pixels (max_pixels=)."
        )
    if channels > 1 and not flags & CHANNEL_AXIS:
        raise CorruptError(f"{channels} channels without a channel axis.")
    weights_id = payload[at : at + WEIGHTS_BYTES].hex()
    schedule, at = _parse_schedule(payload, at + WEIGHTS_BYTES, Order(flags & ORDER), bool(flags & PLAIN))
    if len(payload) != at + DIGEST_BYTES:
        raise CorruptError(f"the header has {len(payload)} bytes, expected were {at + DIGEST_BYTES}.")
    return Header(
        width,
        height,
        channels,
        tile,
        weights_id,
        schedule,
        bool(flags & CHANNEL_AXIS),
        payload[at:],
        kind=kind,
        whole=bool(flags & WHOLE),
        folded=bool(flags & FOLDED),
    )


def _parse_schedule(payload: bytes, at: int, order: Order, plain: bool) -> tuple[Schedule, int]:
    """(schedule, position after it)."""
    if order == Order.RASTER:
        strip, at = read_varint(payload, at)
        slope, at = read_varint(payload, at)
        if strip > MAX_TILE or slope > 255 or (plain and strip):
            raise UnsupportedError(
                f"raster order in strips of {strip} rows, {slope} pixels apart; a newer ardm may read the "
                "file."
            )
        return Schedule(order, plain=plain, strip=strip, slope=slope), at
    seed = None
    if order == Order.RANDOM:
        if not plain:
            raise UnsupportedError("learning in a random order; a newer ardm may read the file.")
        (seed,), at = struct.unpack_from("<I", payload, at), at + 4
    count, at = payload[at], at + 1
    stages = struct.unpack_from(f"<{count}H", payload, at)
    if count > STAGES_MOST or (seed is None and any(s >> 14 for s in stages)):
        raise UnsupportedError("a reserved bit of a stage's schedule is set.")
    if seed is not None and not all(1 <= s <= MAX_CALLS for s in stages):
        raise CorruptError(
            f"a stage of the random order must have 1 to {MAX_CALLS} network calls, found {stages}."
        )
    return Schedule(order, stages, seed, plain), at + 2 * count
