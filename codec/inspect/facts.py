"""What an .ardm file says of itself, as rows for people, from its header alone. Knows the container and
texts; loads neither torch nor Numba, decodes nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from codec import text
from codec.container import PNG_CHUNKS, PNG_FORM, SOURCE_FRAME, SOURCE_NAME, Header
from codec.errors import CorruptError
from codec.listing import form, only, way_of
from codec.methods import METHODS, Method
from codec.opened import Opened
from codec.samples import plane_channels

MOST_CHUNKS, MOST_LETTERS = 40, 300  # of metadata that are shown
CHUNKS = {PNG_CHUNKS: "PNG chunks", PNG_FORM: "form of the PNG", SOURCE_FRAME: "frame of the samples"}
WAYS = {
    "content": "a PNG with the same pixels and chunks, compressed anew",
    "exact": "the very bytes of the file, made from its content",
    "exact, by difference": "the very bytes of the file, made from its content and a difference",
    "exact, by coefficients": "the very bytes of the file, made from a JPEG's coefficients",
    "whole file": "the very bytes of the file, which is kept as it was",
}
NAMES = {"high_depth": "high depth", "file": "whole file", "jpeg_file": "JPEG file"}  # of methods, for people


@dataclass(frozen=True)
class Fact:
    """A row."""

    label: str
    value: str


@dataclass(frozen=True)
class Coded:
    """A plane of a tile, as the index has it."""

    tile: int
    plane: int
    box: tuple[int, int, int, int]  # top, left, height, width
    method: str
    size: int  # bytes


@dataclass(frozen=True)
class Facts:
    """All rows of a file, and what its index lists."""

    kind: str  # "image" or "text"
    rows: tuple[Fact, ...]
    described: dict[str, Any]  # the same for programs
    coded: tuple[Coded, ...] = ()
    planes: tuple[str, ...] = ()  # names
    metadata: tuple[Fact, ...] = field(default=())


def of_image(opened: Opened) -> Facts:
    """Of an image. Raises as `codec.listing.form` does."""
    header, said = opened.header, opened.describe()
    way = str(way_of(header))
    rows = [
        Fact("Pixels", f"{header.width:,} x {header.height:,}, {header.width * header.height:,} in all"),
        Fact("Samples", _samples(header)),
        Fact("File", f"{opened.size:,} bytes, {said['bits_per_subpixel']:.3f} bits per subpixel"),
        Fact("Restores", WAYS.get(way, way)),
    ]
    if not header.whole:
        rows += _of_tiles(header, said)
    rows += [
        Fact("Hash of the file" if header.whole else "Hash of the pixels", header.digest.hex()),
        Fact("Header and index", f"{opened.at:,} bytes"),
    ]
    if opened.name:
        rows.append(Fact("Name kept", opened.name))
    return Facts(
        "image",
        tuple(rows),
        {**said, "restores": way, "name": opened.name},
        _coded(header),
        _planes(header),
        _metadata(header),
    )


def of_text(data: bytes, size: int | None = None) -> Facts:
    """Of a text, or any other file that is no image; arguments and errors are those of `codec.text.info`."""
    said = text.info(data, size)
    share = 8 * said["bytes"] / max(1, said["size"])
    rows = [
        Fact("Kind", "a text, or any other file that is no image"),
        Fact("Content", f"{said['size']:,} bytes"),
        Fact("File", f"{said['bytes']:,} bytes, {share:.3f} bits per byte"),
        Fact("Restores", WAYS["exact"]),
        Fact("Method", f"{said['method']}, order {said['order']}, {said['network_calls']} network calls"),
        *[Fact("Letters", f"{said['letters']:,} in {said['words']:,} words")] * bool(said["letters"]),
        *[Fact("Weights", said["weights"])] * (int(said["weights"], 16) != 0),
        Fact("Hash of the content", said["hash"]),
    ]
    if said["name"]:
        rows.append(Fact("Name kept", said["name"]))
    return Facts("text", tuple(rows), {**said, "restores": "exact"})


def by_method(facts: Facts) -> list[tuple[str, int, int]]:
    """(method, planes of tiles, bytes), the largest first."""
    count, size = Counter(c.method for c in facts.coded), Counter[str]()
    for c in facts.coded:
        size[c.method] += c.size
    return sorted(((m, count[m], size[m]) for m in count), key=lambda row: -row[2])


def counted(size: int) -> str:
    """Bytes in words."""
    return f"{size:,} byte{'s' * (size != 1)}"


def _samples(header: Header) -> str:
    colours = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGBA"}[header.channels]
    if header.kind.indexed:
        colours = "indices of a palette"
    return f"{header.channels} x {header.kind.depth} bit, {colours}" + ", folded" * header.folded


def _of_tiles(header: Header, said: dict[str, Any]) -> list[Fact]:
    """Of order, coding and network."""
    schedule = header.schedule
    height, width = min(header.tile[0], header.height), min(header.tile[1], header.width)
    if schedule.stages:
        stages = ", ".join(
            str(s if schedule.seed is not None else s.bit_count() + 1) for s in reversed(schedule.stages)
        )
        order = f"{schedule.order.name.lower()}, calls of each stage, coarse to fine: {stages}"
    elif schedule.strip:
        order = (
            f"raster, in strips of {schedule.strip} rows, each {schedule.slope} pixels behind the one above"
        )
    else:
        order = schedule.order.name.lower()
    order += f", seed {schedule.seed}" * (schedule.seed is not None)
    coding = "plain: the network alone" if schedule.plain else "mixing: learns while it codes"
    rows = [Fact("Tiles", f"{header.tile_count:,} of {width:,} x {height:,}")]
    if said["evaluations_per_pixel"]:
        rows += [
            Fact("Order", order),
            Fact("Coding", coding),
            Fact("Network calls", f"{said['network_calls']:,} a tile, one evaluation a pixel"),
            Fact("Weights", header.weights_id),
        ]
    return rows


def _planes(header: Header) -> tuple[str, ...]:
    """What the planes of a tile are called."""
    if header.whole:
        return ("file",)
    names = []
    for i, _ in enumerate(plane_channels(header.channels, header.kind)):
        part, byte = divmod(i, header.kind.size)
        colour = (
            "alpha"
            if part
            else "indices"
            if header.kind.indexed
            else "grey"
            if header.channels < 3
            else "RGB"
        )
        names.append(colour + (", low bytes" if byte else ", high bytes") * (header.kind.size == 2))
    return tuple(names)


def _coded(header: Header) -> tuple[Coded, ...]:
    labels = {method: NAMES.get(row.label, row.label) for method, row in METHODS.items()}
    if header.whole:
        box = (0, 0, header.height, header.width)
        return (Coded(0, 0, box, labels[Method(header.entries[0].method)], header.entries[0].length),)
    return tuple(
        Coded(i // header.planes, i % header.planes, box, labels[Method(entry.method)], entry.length)
        for (i, entry), box in zip(
            enumerate(header.entries), (t for t in header.tiles for _ in range(header.planes)), strict=True
        )
    )


def _chunks(block: bytes) -> list[tuple[str, int, str]]:
    """Of the PNG: (type, bytes, what it says). Raises CorruptError."""
    from codec import png  # loads Numba

    return png.listed(b"".join(png.unpack_chunks(block)))


def _metadata(header: Header) -> tuple[Fact, ...]:
    """Of the chunks of metadata, and of those of a PNG what they say, as far as they are texts."""
    rows = [
        Fact(CHUNKS.get(kind, f"metadata {kind:#04x}"), counted(len(block)))
        for kind, block in header.metadata
        if kind != SOURCE_NAME
    ]
    try:
        form(header)
        block = only(header, PNG_CHUNKS)
        chunks = _chunks(block) if block else []
    except CorruptError as error:
        return (*rows, Fact("PNG chunks", str(error)))
    for kind, size, said in chunks[:MOST_CHUNKS]:
        rows.append(Fact(kind, counted(size) + (f": {said[:MOST_LETTERS]}" if said else "")))
    if len(chunks) > MOST_CHUNKS:
        rows.append(Fact("and", f"{len(chunks) - MOST_CHUNKS} more"))
    return tuple(rows)
