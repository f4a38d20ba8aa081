"""Text files, and any other bytes: what `ardm-compress book.txt` writes. Knows letters, networks and the
container's chunks; no images, no names of files.

The model's letters are a-z and space. A file is taken apart into its words, small, with one space between
them, and what is left (`codec.text.parts`); any bytes can be, but only what is mostly words gains by it.
Letters are coded tile after tile; in a tile they lie in cells, and a call codes the same places of all cells,
from left to right (CELLS). Without calls (PLAIN) letters are coded by what was learned from the file itself.
"""

from __future__ import annotations

import lzma
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ardm.exact import context
from ardm.released import WeightsError
from codec import container, ending
from codec.coder import arithmetic
from codec.container import TEXT
from codec.ending import operation
from codec.errors import CorruptError, TruncatedError, UnsupportedError, VerifyError
from codec.limits import NO_LIMITS, Limits
from codec.text import prose
from codec.text.header import (
    BUDGET,
    DIGEST_BYTES,
    MODEL,
    NAMED,
    PACKED,
    RAW,
    TILE,
    VERSION,
    Order,
    TextHeader,
    calls_of,
    check_size,
    read,
    too_many_calls,
)
from codec.text.letters import LETTERS
from codec.text.parts import Parts, take_apart, words_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_FILTERS = ({"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 26},)
DECISIONS = 5  # to code a letter
PAYS = 0.95  # the network, which takes three times as long, is used where it makes letters so small

Progress = Callable[[int], None]


# ---- letters -----------------------------------------------------------------------------------------------


def code_stream(
    coder: prose.TextCoder,
    stream: np.ndarray | None,
    size: int,
    cell: int,
    network: prose.Network | None,
    progress: Progress | None,
) -> np.ndarray:
    """Code letters and spaces, tile by tile. stream: uint8 (size,), or None when decoding; cell: letters in a
    cell; network: None in order PLAIN. Returns the stream.
    """
    out = np.zeros(size, dtype=np.uint8)
    for top in range(0, size, TILE):
        count = min(TILE, size - top)
        truth = stream[top : top + count] if stream is not None else np.zeros(1, dtype=np.uint8)
        ending.check()
        out[top : top + count] = coder.letters(count, truth, network, cell)
        if progress:
            progress(count)
    return out


def encode_stream(
    stream: np.ndarray,
    cell: int,
    networks: list[prose.Network | None],
    least: float,
    progress: Progress | None,
) -> tuple[bytes, prose.Network | None]:
    """(coded letters, network used). networks: one, or one and None, of which the first is used if it makes
    the first tile's letters smaller by a factor of at least `least`.
    """
    first, coders = stream[:TILE], [prose.TextCoder(stream.size) for _ in networks]
    for coder, network in zip(coders, networks, strict=True):
        code_stream(coder, first, first.size, cell, network, None)
    sizes = [len(coder.finish()) for coder in coders]
    chosen = len(networks) - 1 if sizes[0] >= least * sizes[-1] else 0
    coder, network = coders[chosen], networks[chosen]
    if progress:
        progress(first.size)
    del coders  # and the memory of the one that is not used
    rest = stream[TILE:]
    code_stream(coder, rest, rest.size, cell, network, progress)
    return coder.finish(), network


# ---- files -------------------------------------------------------------------------------------------------


@operation
def pack(
    data: ReadableBuffer,
    *,
    budget: int | None = None,
    order: str = "auto",
    verify: bool = True,
    limits: Limits | None = None,
    progress: Progress | None = None,
    name: str = "",
) -> bytes:
    """Compress any bytes; best for English prose. Never longer than the bytes themselves plus 60.

    budget: network calls for every 65,536 letters, 1..65,536: the more calls, the smaller the file, and
    hardly slower. order: "cells", which has them; "plain", which has none, and takes a third of the time;
    "auto": cells if the limits allow so many calls, and the network makes the first letters smaller, by 5 %
    at least if no budget is said. name:
    under which the file comes back, if that is to be kept. Raises ValueError for wrong options, LimitError,
    and VerifyError if what was written does not decode to the same bytes.
    """
    data, limits = container.as_bytes(data), limits or Limits()
    if budget is not None and budget < 1:
        raise ValueError(f"budget must be at least 1 network call, got {budget}.")
    if order not in ("auto", *(o.name.lower() for o in Order)):
        raise ValueError(f"order must be auto, cells or plain for text, got {order!r}.")
    check_size(len(data), limits)
    packed = lzma.compress(data, lzma.FORMAT_RAW, filters=_FILTERS)
    method, payload = min([(RAW, data), (PACKED, packed)], key=lambda way: len(way[1]))
    header = _header(data, method, payload)
    parts = take_apart(data)
    if parts.letters.size * 2 > len(data) or order != "auto":
        marks = prose.encode(parts)
        modelled = _model(data, parts, marks, order, budget, limits, progress)
        if len(modelled[1]) < len(payload):
            header, payload = modelled
    out = _write(replace(header, name=container.name_in(container.name_chunk(name))), payload)
    if verify and unpack(out, limits=NO_LIMITS, progress=progress) != data:
        raise VerifyError(
            "what was written does not decode to the same bytes; nothing was kept. This is a bug in ardm, "
            "please report it."
        )
    return out


@operation
def unpack(
    data: ReadableBuffer,
    *,
    limits: Limits | None = None,
    progress: Progress | None = None,
    salvage: bool = False,
) -> bytes:
    """Inverse of `pack`. salvage: bytes after the end of the file are let be.

    Raises NotArdmError, TruncatedError, CorruptError, UnsupportedError or LimitError.
    """
    data = container.as_bytes(data)
    header, at = read(data, limits, salvage)
    return decode(header, data[at : at + header.length], progress)


@operation
def decode(header: TextHeader, payload: bytes, progress: Progress | None = None) -> bytes:
    """What a header and the payload that follows it are of. Raises as `unpack` does once it has read them."""
    _check_payload(header, payload)
    out = (
        payload
        if header.method == RAW
        else _unpack_lzma(payload, header.size)
        if header.method == PACKED
        else _unmodel(payload, header, progress)
    )
    if len(out) != header.size or container.digest(out, DIGEST_BYTES) != header.digest:
        raise CorruptError(
            f"hash of the text does not match. Stored: {header.digest.hex()}. Computed: "
            f"{container.digest(out, DIGEST_BYTES).hex()}."
        )
    return out


@operation
def holds(data: ReadableBuffer, file: bytes, limits: Limits | None = None) -> bool:
    """Whether an .ardm file is sound as far as its checksums tell, and of just this file, whose hash it has.
    Nothing is decoded. Raises as `unpack` does.
    """
    data = container.as_bytes(data)
    header, at = read(data, limits)
    _check_payload(header, data[at:])
    return (header.size, header.digest) == (len(file), container.digest(file, DIGEST_BYTES))


def _check_payload(header: TextHeader, payload: bytes) -> None:
    """Raise CorruptError if the payload is too short for its letters, or not what the header says."""
    least = math.ceil(arithmetic.MARGIN * DECISIONS * header.stream * arithmetic.BITS_OF_DECISION / 8)
    if header.length < least:
        raise CorruptError(
            f"the text has {header.length} bytes of data, but {header.stream} letters need at least {least}."
        )
    if zlib.crc32(payload) != header.crc:
        raise CorruptError(
            f"checksum of the text does not match. Stored: {header.crc:08x}. Computed: "
            f"{zlib.crc32(payload):08x}."
        )


def _header(data: bytes, method: int, payload: bytes) -> TextHeader:
    return TextHeader(
        len(data), container.digest(data, DIGEST_BYTES), method, len(payload), zlib.crc32(payload)
    )


def _write(header: TextHeader, payload: bytes) -> bytes:
    named = container.name_chunk(header.name)
    chunk = (
        bytes([NAMED if named else VERSION])
        + container.varint(header.size)
        + header.digest
        + bytes([header.method])
    )
    chunk += container.varint(header.length) + struct.pack("<I", header.crc)
    if header.method == MODEL:
        chunk += bytes([header.order]) + bytes.fromhex(header.weights_id)
        chunk += b"".join(map(container.varint, (header.cell, header.letters, header.words)))
    return (
        container.MAGIC
        + container.chunk(TEXT, chunk)
        + b"".join(container.chunk(*each) for each in named)
        + payload
    )


def _unpack_lzma(payload: bytes, size: int) -> bytes:
    try:
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
        out = decompressor.decompress(payload, max_length=size + 1)
        if not decompressor.eof:  # the end marker may need one more look
            out += decompressor.decompress(b"", max_length=1)
    except lzma.LZMAError as error:
        raise CorruptError(f"the text cannot be unpacked ({error}).") from error
    if not decompressor.eof or decompressor.unused_data:
        raise CorruptError("the packed text does not end where it should.")
    return out


@lru_cache(maxsize=2)
def load_network(weights_id: str) -> prose.Network:
    """Raises UnsupportedError if this release does not have the weights, or they are not of letters."""
    try:
        weights = context.load(weights_id)
        if weights.config.classes != LETTERS:
            raise WeightsError(f"weights {weights_id} are not of text.")
    except WeightsError as error:
        raise UnsupportedError(str(error)) from error
    return prose.Network.of(weights)


def _model(
    data: bytes,
    parts: Parts,
    marks: bytes,
    order: str,
    budget: int | None,
    limits: Limits,
    progress: Progress | None,
) -> tuple[TextHeader, bytes]:
    """Header and payload of method MODEL. marks: of `prose.encode`; order, budget, limits: of `pack`."""
    stream, cell = parts.stream, min(budget or BUDGET, TILE)
    calls = calls_of(stream.size, cell)
    if order == "cells" and calls > limits.max_calls:
        raise too_many_calls(calls, limits)
    networks: list[prose.Network | None] = [None]
    if order == "cells" or (order == "auto" and calls <= limits.max_calls):
        networks.insert(0, load_network(context.TEXT_ID))
    if order == "cells":
        networks.pop()
    letters, network = encode_stream(stream, cell, networks, 1.0 if budget else PAYS, progress)
    payload = container.varint(len(letters)) + letters + marks
    header = replace(
        _header(data, MODEL, payload),
        order=Order.CELLS if network else Order.PLAIN,
        weights_id=context.TEXT_ID if network else bytes(8).hex(),
        cell=cell if network else 0,
    )
    return replace(header, letters=parts.letters.size, words=parts.starts.size - 1), payload


def _unmodel(payload: bytes, header: TextHeader, progress: Progress | None) -> bytes:
    try:
        length, at = container.read_varint(payload, 0)
    except TruncatedError as error:
        raise CorruptError(str(error)) from None
    network = None if header.order == Order.PLAIN else load_network(header.weights_id)
    coder = prose.TextCoder(header.stream, payload[at : at + length])
    stream = code_stream(coder, None, header.stream, header.cell, network, progress)
    if not coder.exhausted():
        raise CorruptError("the letters of the text do not end where they should.")
    letters, starts = words_of(stream)
    if letters.size != header.letters or starts.size - 1 != header.words:
        raise CorruptError("the letters of the text are not as many as its header says.")
    return prose.decode(payload[at + length :], letters, starts, header.size - header.letters).join()
