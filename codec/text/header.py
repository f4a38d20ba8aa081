"""What an .ardm file of text says of itself. Knows the container's chunks; no letters, and loads no network.

magic 8 | chunk TEXT | payload | end of file
method 0: the bytes; 1: an LZMA stream; 2: letters by the model, then the rest
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from codec import container
from codec.container import TEXT
from codec.errors import CorruptError, LimitError, NotArdmError, TruncatedError, UnsupportedError
from codec.limits import NO_LIMITS, Limits, show_size

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

DIGEST_BYTES = 16  # of the text
VERSION, NAMED = 1, 2  # versions; the second: a chunk with the name follows
TILE = 1 << 16  # letters that are worked on at once
# network calls for a tile, if nothing else is said: in a full one, each has four times the letters that the
# network takes at once
BUDGET = 4096
RAW, PACKED, MODEL = 0, 1, 2
MEMORY = 400_000_000  # bytes that coders take that have learned, and what is loaded
MEMORY_OF_BYTE = 24  # of the text: itself, its parts and its letters, and what they become


class Order(IntEnum):
    """In which order letters are coded."""

    CELLS = 0  # the same place of all cells, then the next place
    PLAIN = 1  # from left to right, without the network


@dataclass(frozen=True)
class TextHeader:
    """All that is known of a text file before it is decoded."""

    size: int  # bytes of the file
    digest: bytes  # BLAKE2b-128 of the file
    method: int
    length: int  # bytes of the payload
    crc: int  # of the payload
    order: Order = Order.PLAIN
    weights_id: str = bytes(8).hex()  # zeros: none
    cell: int = 0  # letters in a cell, 0 without the network
    letters: int = 0  # of all words
    words: int = 0
    name: str = ""  # under which the file comes back, if it is kept

    @property
    def calls(self) -> int:
        """Network calls in all."""
        return calls_of(self.stream, self.cell)

    @property
    def stream(self) -> int:
        """Letters and the spaces between words."""
        return max(0, self.letters + self.words - 1)


def is_text(data: ReadableBuffer) -> bool:
    """Is it an .ardm file that holds no image but bytes?"""
    data, at = container.as_bytes(data), len(container.MAGIC)
    return data[:at] == container.MAGIC and data[at : at + 1] == bytes([TEXT])


def read(
    data: ReadableBuffer, limits: Limits | None = None, salvage: bool = False, size: int | None = None
) -> tuple[TextHeader, int]:
    """Parse everything before the payload: (header, position of the payload). salvage: bytes after the end of
    the file are let be. size: of the file, if `data` is only its beginning. Raises as `codec.text.unpack`
    does.
    """
    data, limits = container.as_bytes(data), limits or Limits()
    size = len(data) if size is None else size
    if not is_text(data):
        raise NotArdmError(
            "not an .ardm file of text: it does not begin with the ardm signature and a text chunk."
        )
    _, chunk, damage, at = container.read_chunk(data, len(container.MAGIC))
    if damage:
        raise CorruptError(damage)
    header = _parse(chunk)
    if chunk[0] == NAMED:
        header, at = _read_name(data, header, at)
    end = at + header.length
    if size < end:
        raise TruncatedError(f"the file has {size} bytes, its header promises {end}; the end is missing.")
    if size > end and not salvage:
        raise CorruptError(
            f"the file has {size} bytes, its header promises {end}; there are foreign bytes at the end."
        )
    check_size(header.size, limits)
    if header.calls > limits.max_calls:
        raise too_many_calls(header.calls, limits)
    return header, at


def _parse(chunk: bytes) -> TextHeader:
    """What a chunk TEXT says. Raises CorruptError or UnsupportedError."""
    if chunk[:1] not in (bytes([VERSION]), bytes([NAMED])):
        raise UnsupportedError(
            f"the text has version {chunk[0] if chunk else 'none'}, this release knows {VERSION} and "
            f"{NAMED}; a newer ardm may read it."
        )
    try:
        size, p = container.read_varint(chunk, 1)
        digest, method, p = chunk[p : p + DIGEST_BYTES], chunk[p + DIGEST_BYTES], p + DIGEST_BYTES + 1
        length, p = container.read_varint(chunk, p)
        (crc,) = struct.unpack_from("<I", chunk, p)
        header, p = TextHeader(size, digest, method, length, crc), p + 4
        if method == MODEL:
            header, p = _parse_model(chunk, p, header)
    except (IndexError, struct.error, TruncatedError):
        raise CorruptError("the header of the text has too few bytes.") from None
    if method > MODEL:
        raise UnsupportedError(
            f"the text is coded with method {method}, which this release does not know; a newer ardm may "
            "read it."
        )
    if p != len(chunk):
        raise CorruptError("the header of the text has too many bytes.")
    if (
        header.stream > size  # between two words there is a byte at least
        or header.words > header.letters
        or (header.letters > 0) != (header.words > 0)
        or cell_is_wrong(header)
    ):
        raise CorruptError("the header of the text contradicts itself.")
    return header


def _parse_model(chunk: bytes, p: int, header: TextHeader) -> tuple[TextHeader, int]:
    """The header with the fields of method MODEL, which begin at p, and the position after them."""
    order, weights_id, p = chunk[p], chunk[p + 1 : p + 9].hex(), p + 9
    cell, p = container.read_varint(chunk, p)
    letters, p = container.read_varint(chunk, p)
    words, p = container.read_varint(chunk, p)
    if order > max(Order):
        raise UnsupportedError(
            f"the text is coded in order {order}, which this release does not know; a newer ardm may read it."
        )
    known = replace(header, order=Order(order), weights_id=weights_id, cell=cell)
    return replace(known, letters=letters, words=words), p


def _read_name(data: bytes, header: TextHeader, at: int) -> tuple[TextHeader, int]:
    """The header with the name in the chunk that follows it, and the position after that."""
    kind, packed, damage, at = container.read_chunk(data, at)
    name = container.name_in(((kind, packed),))
    if damage or not name:
        raise CorruptError(
            damage or f"the text has a chunk of type {kind:#04x} that is no name, where one was expected."
        )
    return replace(header, name=name), at


def info(data: ReadableBuffer, size: int | None = None) -> dict[str, Any]:
    """What a file holds, from its header alone. size: of the file, if `data` is only its beginning. Raises as
    `read` does.
    """
    data = container.as_bytes(data)
    header, _ = read(data, NO_LIMITS, size=size)
    return {
        "size": header.size,
        "bytes": len(data) if size is None else size,
        "method": ("raw", "lzma", "model")[header.method],
        "order": header.order.name.lower(),
        "letters": header.letters,
        "words": header.words,
        "network_calls": header.calls,
        "weights": header.weights_id,
        "hash": header.digest.hex(),
        "name": header.name,
    }


def calls_of(stream: int, cell: int) -> int:
    """Network calls of so many letters and spaces, in cells of so many, or 0."""
    whole, rest = divmod(stream, TILE)
    return whole * min(cell, TILE) + min(cell, rest)


def too_many_calls(calls: int, limits: Limits) -> LimitError:
    return LimitError(
        f"the text needs {calls} network calls, the limit is {limits.max_calls}; raise it with --max-calls "
        "(max_calls=)."
    )


def cell_is_wrong(header: TextHeader) -> bool:
    """Is there a network without cells, or are there cells without one, or larger ones than tiles?"""
    if header.order == Order.PLAIN:
        return header.cell != 0 or int(header.weights_id, 16) != 0
    return not 1 <= header.cell <= TILE


def check_size(size: int, limits: Limits) -> None:
    """Raise LimitError for a text of so many bytes."""
    if size > limits.max_pixels:
        raise LimitError(
            f"the text has {size} bytes, the limit is {limits.max_pixels}; raise it with --max-pixels "
            "(max_pixels=)."
        )
    needed = MEMORY + MEMORY_OF_BYTE * size
    if limits.max_memory is not None and needed > limits.max_memory:
        raise LimitError(
            f"the text needs about {show_size(needed)} of memory, the limit is "
            f"{show_size(limits.max_memory)}; raise it with --memory (max_memory=)."
        )
