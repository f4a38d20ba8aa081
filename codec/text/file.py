"""Text files, and any other bytes: what `ardm-compress book.txt` writes. Knows letters, networks and the
container's chunks; no images, no names of files.

The model's letters are a-z and space. A file is taken apart into its words, small, with one space between
them, and what is left (`codec.text.parts`); any bytes can be, but only what is mostly words gains by it.
Letters are coded tile after tile; in a tile they lie in cells of 64, and a call codes the same places of all
cells, from left to right (ROWS). Without calls (PLAIN) letters are coded by what was learned from the file
itself.
"""

from __future__ import annotations

import lzma
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ardm.budget import merge_phases
from ardm.exact import weights as weights_module
from ardm.exact.discrete_predictor import DiscretePredictor
from ardm.exact.frequencies import digit_frequencies
from ardm.exact.weights import Weights
from ardm.generate import walk
from ardm.orders import cell_places, group_starts
from ardm.released import WeightsError
from codec import container, ending
from codec.coder import arithmetic
from codec.container import TEXT
from codec.ending import operation
from codec.errors import CorruptError, TruncatedError, UnsupportedError, VerifyError
from codec.limits import NO_LIMITS, Limits
from codec.parallel import set_threads
from codec.text import prose
from codec.text.header import (
    BUDGET,
    CELL,
    DIGEST_BYTES,
    MODEL,
    NAMED,
    PACKED,
    RAW,
    TILE,
    VERSION,
    Order,
    TextHeader,
    check_size,
    read,
)
from codec.text.letters import LETTERS, MARGIN, close_tile, open_tile
from codec.text.parts import Parts, take_apart, words_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_FILTERS = ({"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 26},)
DECISIONS = 5  # to code a letter

Progress = Callable[[int], None]


# ---- letters -----------------------------------------------------------------------------------------------


def plan_breaks(weights: Weights, budget: int) -> int:
    """The best `breaks` for a number of calls, 1..64, by what the places of a cell cost (`bits` of the
    weights).
    """
    _, groups = merge_phases(weights.tensors["bits"].astype(np.float64))
    ends = np.cumsum(groups[min(budget, CELL)])[:-1]
    return sum(1 << int(end - 1) for end in ends)


def code_stream(
    coder: prose.TextCoder,
    stream: np.ndarray | None,
    size: int,
    breaks: int,
    weights: Weights | None,
    device: str,
    progress: Progress | None,
) -> np.ndarray:
    """Code letters and spaces, tile by tile. stream: uint8 (size,), or None when decoding; weights: None in
    order PLAIN. Returns the stream.
    """
    out = np.zeros(size, dtype=np.uint8)
    for top in range(0, size, TILE):
        count = min(TILE, size - top)
        tile = open_tile(count)
        truth = stream[top : top + count] if stream is not None else np.zeros(1, dtype=np.uint8)
        if weights is None:
            coder.letters(tile, np.arange(count), np.zeros((count, LETTERS), dtype=np.float32), truth)
        else:
            with torch.device("cpu"):  # whatever device the caller makes tensors on
                predictor = DiscretePredictor(weights, device, shape=(count,))
                _code_tile(coder, predictor, tile, np.arange(count) % CELL, group_starts(breaks, CELL), truth)
        out[top : top + count] = close_tile(tile)
        if progress:
            progress(count)
    return out


def _code_tile(
    coder: prose.TextCoder,
    predictor: DiscretePredictor,
    tile: np.ndarray,
    place: np.ndarray,
    starts: list[int],
    truth: np.ndarray,
) -> None:
    """The letters of one tile, call by call."""
    space, tables = predictor.space, predictor.tables
    before = [int((place < start).sum()) for start in starts]
    # a short tile lacks late places
    policy = [[b for b, following in zip(before, [*before[1:], place.size], strict=True) if b < following]]

    def visit(params: torch.Tensor, parent: torch.Tensor, digit: int, where: torch.Tensor) -> torch.Tensor:
        ending.check()
        ascending = where.argsort()
        at = where[ascending].numpy()
        coder.letters(
            tile, at, digit_frequencies(space, params[0, ascending], parent[0], digit, tables).numpy(), truth
        )
        return torch.from_numpy(tile[where.numpy() + MARGIN].astype(np.int64))[None]

    order = torch.from_numpy(cell_places(place.size, CELL))
    walk(space, predictor, order, policy, visit, torch.zeros(1, place.size, dtype=torch.int64))


# ---- files -------------------------------------------------------------------------------------------------


@operation
def pack(
    data: ReadableBuffer,
    *,
    budget: int | None = None,
    order: str = "auto",
    device: str = "cpu",
    verify: bool = True,
    limits: Limits | None = None,
    progress: Progress | None = None,
    name: str = "",
) -> bytes:
    """Compress any bytes; best for English prose. Never longer than the bytes themselves plus 60.

    budget: network calls for every 65,536 letters, 1..64. order: "rows", which has them (64 if there is no
    budget); "plain", which has none; "auto": plain, and if there is a budget the smaller of both. The network
    takes a hundred times as long, and its files are 2 to 9 % smaller. name: under which the file comes back,
    if that is to be kept. Raises ValueError for wrong options, LimitError, and VerifyError if what was
    written does not decode to the same bytes.
    """
    data, limits = container.as_bytes(data), limits or Limits()
    if budget is not None and budget < 1:
        raise ValueError(f"budget must be at least 1 network call, got {budget}.")
    if order not in ("auto", *(o.name.lower() for o in Order)):
        raise ValueError(f"order must be auto, rows or plain for text, got {order!r}.")
    check_size(len(data), limits)
    set_threads(0)
    packed = lzma.compress(data, lzma.FORMAT_RAW, filters=_FILTERS)
    method, payload = min([(RAW, data), (PACKED, packed)], key=lambda way: len(way[1]))
    header = _header(data, method, payload)
    parts = take_apart(data)
    if parts.letters.size * 2 > len(data) or order != "auto":
        marks = prose.encode(parts)
        both = [Order.ROWS, Order.PLAIN] if budget else [Order.PLAIN]
        for chosen in both if order == "auto" else [Order[order.upper()]]:
            modelled = _model(data, parts, marks, chosen, budget or BUDGET, device, progress)
            if len(modelled[1]) < len(payload):
                header, payload = modelled
    out = _write(replace(header, name=container.name_in(container.name_chunk(name))), payload)
    if verify and unpack(out, device=device, limits=NO_LIMITS, progress=progress) != data:
        raise VerifyError(
            "what was written does not decode to the same bytes; nothing was kept. This is a bug in ardm, "
            "please report it."
        )
    return out


@operation
def unpack(
    data: ReadableBuffer,
    *,
    device: str = "cpu",
    limits: Limits | None = None,
    progress: Progress | None = None,
    salvage: bool = False,
) -> bytes:
    """Inverse of `pack`. salvage: bytes after the end of the file are let be.

    Raises NotArdmError, TruncatedError, CorruptError, UnsupportedError or LimitError.
    """
    data = container.as_bytes(data)
    header, at = read(data, limits, salvage)
    return decode(header, data[at : at + header.length], device, progress)


@operation
def decode(
    header: TextHeader, payload: bytes, device: str = "cpu", progress: Progress | None = None
) -> bytes:
    """What a header and the payload that follows it are of. Raises as `unpack` does once it has read them."""
    _check_payload(header, payload)
    set_threads(0)
    out = (
        payload
        if header.method == RAW
        else _unpack_lzma(payload, header.size)
        if header.method == PACKED
        else _unmodel(payload, header, device, progress)
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
        chunk += bytes([header.order]) + bytes.fromhex(header.weights_id) + struct.pack("<Q", header.breaks)
        chunk += container.varint(header.letters) + container.varint(header.words)
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


def load_weights(weights_id: str) -> Weights:
    """Raises UnsupportedError if this release does not have them, or they are of photos."""
    try:
        weights = weights_module.load(weights_id)
        if weights.model.space.classes != LETTERS:
            raise WeightsError(f"weights {weights_id} are not of text.")
    except WeightsError as error:
        raise UnsupportedError(str(error)) from error
    return weights


def _model(
    data: bytes, parts: Parts, marks: bytes, order: Order, budget: int, device: str, progress: Progress | None
) -> tuple[TextHeader, bytes]:
    """Header and payload of method MODEL. marks: of `prose.encode`."""
    weights = None if order == Order.PLAIN else load_weights(weights_module.TEXT_ID)
    breaks = plan_breaks(weights, budget) if weights else 0
    stream = parts.stream
    coder = prose.TextCoder(stream.size)
    code_stream(coder, stream, stream.size, breaks, weights, device, progress if weights else None)
    letters = coder.finish()
    payload = container.varint(len(letters)) + letters + marks
    used = weights.id if weights else bytes(8).hex()
    header = replace(_header(data, MODEL, payload), order=order, weights_id=used, breaks=breaks)
    return replace(header, letters=parts.letters.size, words=parts.starts.size - 1), payload


def _unmodel(payload: bytes, header: TextHeader, device: str, progress: Progress | None) -> bytes:
    try:
        length, at = container.read_varint(payload, 0)
    except TruncatedError as error:
        raise CorruptError(str(error)) from None
    weights = None if header.order == Order.PLAIN else load_weights(header.weights_id)
    coder = prose.TextCoder(header.stream, payload[at : at + length])
    stream = code_stream(coder, None, header.stream, header.breaks, weights, device, progress)
    if not coder.exhausted():
        raise CorruptError("the letters of the text do not end where they should.")
    letters, starts = words_of(stream)
    if letters.size != header.letters or starts.size - 1 != header.words:
        raise CorruptError("the letters of the text are not as many as its header says.")
    return prose.decode(payload[at + length :], letters, starts, header.size - header.letters).join()
