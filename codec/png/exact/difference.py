"""What tells a deflate stream from what could be expected of its data: few bits where another compressor than
zlib did the usual. Knows bytes only.

Any stream of the format (RFC 1951) can be said; the better it is foreseen, the cheaper. The decoder has the
data, and finds in it the same matches as the encoder: nearest first, each longer than all before it
(*steps*). So it remains to say, block by block,

    how many tokens it has; of each, where a match could begin, whether it is one, by which step, and whether
    it is shorter than could be (`tokens`); of its codes, what their lengths are, given those that zlib would
    take for these tokens; in which runs these lengths are written (`trees`).

All of it is decisions of `codec.coder.decisions`, in contexts of which the best guess is one. Both directions
are one walk (`_code`): encoding, it reads the stream block by block; decoding, it writes it. What is found is
tried out by whoever packs it, and has a hash of the file beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ardm.compiled import compiled, internal
from codec.coder.decisions import BinaryCoder, binary_decoder, binary_encoder, bit_length, decide, untaught
from codec.errors import CorruptError
from codec.png.exact import contexts
from codec.png.exact.blocks import HELD_COUNT, WRITTEN, BitWriter, send, send_header, send_tokens
from codec.png.exact.codes import (
    BFINAL,
    BTYPE,
    HDIST,
    HLIT,
    MAX_STORED,
    OWN_CODES,
    PADDING,
    SIZE,
    STORED,
    Tokens,
    new_header,
)
from codec.png.exact.contexts import ROOT, ROWS, SLOTS, WRONG, ZERO, code_number, set_context
from codec.png.exact.parse import AT, BitReader, parse_block, take
from codec.png.exact.steps import EVERYWHERE, insert, new_steps
from codec.png.exact.tokens import FRONTIER, SPARE_WORDS, code_tokens, is_spent, new_past
from codec.png.exact.trees import code_trees

__all__ = ["EVERYWHERE", "decode", "encode"]

MAX_BLOCKS = 1 << 16  # of a stream; what a small file can ask for is bounded
TYPE_BITS = np.int64(2)  # of a block's type
SIZE_BITS_BITS = np.int64(5)  # of the number of a size's bits
PADDING_BITS = np.int64(7)  # most that fill a byte
AT_END = np.int64(1)  # tells the bits after the last block from those within a stored one


def encode(raw: bytes, stream: bytes, links: int, dense: int) -> bytes | None:
    """What tells a deflate stream of these data from the expected, a range coder's words, little-endian; None
    if it is none, or if that would take more than the stream itself. links: most earlier places to compare
    each place with; dense: of no longer matches are places within known for later ones, or EVERYWHERE.
    """
    coder = binary_encoder(untaught(SLOTS, ROWS), len(stream) // 4 + SPARE_WORDS)
    fits = _run(raw, np.frombuffer(stream, np.uint8).copy(), links, dense, coder)
    return coder.sealed() if fits else None


def decode(data: bytes, raw: bytes, size: int, links: int, dense: int) -> bytes:
    """Inverse of `encode`. size: of the stream, bytes. Raises CorruptError."""
    if len(data) % 4:
        raise CorruptError(
            f"the difference of a PNG's compressed data has {len(data)} bytes, expected a multiple of 4."
        )
    coder, stream = binary_decoder(untaught(SLOTS, ROWS), data), np.zeros(size, dtype=np.uint8)
    if not _run(raw, stream, links, dense, coder) or not coder.exhausted():
        raise CorruptError("the difference of a PNG's compressed data does not fit its pixels.")
    return stream.tobytes()


def _run(raw: bytes, stream: np.ndarray, links: int, dense: int, coder: BinaryCoder) -> bool:
    steps = new_steps(np.frombuffer(raw, np.uint8), links, dense)
    with np.errstate(over="ignore"):  # hashes wrap around; only uncompiled code notices
        return bool(_code(stream, steps, new_past(), coder))


@compiled(error_model="numpy")
def _code(stream: Any, steps: Any, past: Any, coder: Any) -> bool:
    """Code a stream, uint8: read it, or, when decoding, write it. Returns whether it is one of the data."""
    most, state, decoding = steps.raw.size, past.state, coder.decoding
    header = new_header()
    tokens = Tokens(np.zeros(most + 1, np.uint16), np.zeros(most + 1, np.uint16))
    writer, reader = BitWriter(stream, np.zeros(3, np.int64)), BitReader(stream, np.zeros(2, np.int64))
    at = last = kind = size = ZERO
    for _ in range(MAX_BLOCKS):
        if is_spent(coder):
            return False
        if decoding:
            header.precode[:] = 0
        elif not parse_block(reader, most - at, tokens, header):
            return False
        if not _code_fields(header.fields, kind, size, most - at, coder):
            return False
        last, kind = header.fields[BFINAL], header.fields[BTYPE]
        if kind == STORED or not last:
            size = header.fields[SIZE]
        if kind == STORED:
            if decoding and not _write_stored(steps.raw[at : at + size], header.fields, writer):
                return False
            at += size
            while state[FRONTIER] < at:
                insert(steps, state[FRONTIER])
                state[FRONTIER] += 1
        else:
            at, count = code_tokens(tokens, at, header.fields[SIZE], last, steps, past, coder)
            if count == WRONG:
                return False
            bits = code_trees(tokens, count, header, coder)
            if bits == WRONG or (decoding and not _write_block(tokens, count, header, bits, writer)):
                return False
        if last:
            break
    if not last or at != most:
        return False
    return _code_end(reader, writer, coder)


@internal(error_model="numpy")
def _code_fields(fields: Any, kind: Any, size: Any, left: Any, coder: Any) -> bool:
    """Code what a block begins with. kind, size: of the block before, and of the last whose size was said;
    left: bytes of data that are left. Returns whether it can be.
    """
    keys = coder.keys
    set_context(keys, contexts.FINAL, kind, ZERO, ZERO, ZERO)
    last = fields[BFINAL] = decide(coder, ROOT, contexts.FINAL, fields[BFINAL], 0.0)
    set_context(keys, contexts.TYPE, kind, last, ZERO, ZERO)
    kind = fields[BTYPE] = code_number(coder, contexts.TYPE, TYPE_BITS, fields[BTYPE])
    if kind > OWN_CODES:
        return False
    if kind == STORED:
        set_context(keys, contexts.FILL, ZERO, ZERO, ZERO, ZERO)
        fields[PADDING] = code_number(coder, contexts.FILL, PADDING_BITS, fields[PADDING])
    elif last:
        return True
    set_context(keys, contexts.SAME_SIZE, kind, last, ZERO, ZERO)
    if decide(coder, ROOT, contexts.SAME_SIZE, int(fields[SIZE] == size), 0.0):
        fields[SIZE] = size
    else:
        set_context(keys, contexts.SIZE_BITS, kind, ZERO, ZERO, ZERO)
        bits = code_number(coder, contexts.SIZE_BITS, SIZE_BITS_BITS, bit_length(fields[SIZE]))
        set_context(keys, contexts.BLOCK_SIZE, kind, bits, ZERO, ZERO)
        fields[SIZE] = code_number(coder, contexts.BLOCK_SIZE, bits, fields[SIZE])
    return fields[SIZE] <= left and not (kind == STORED and fields[SIZE] > MAX_STORED)


@internal(error_model="numpy")
def _write_stored(data: Any, fields: Any, writer: Any) -> bool:
    """Write a stored block. Returns whether there was room for it."""
    out, state = writer.out, writer.state
    if state[WRITTEN] + (state[HELD_COUNT] + 3 + 7 >> 3) + 4 + data.size > out.size:
        return False
    send(writer, fields[BFINAL], 3)
    gap = -state[HELD_COUNT] & 7
    send(writer, fields[PADDING] & (1 << gap) - 1, gap)
    send(writer, data.size, 16)
    send(writer, MAX_STORED - data.size, 16)
    out[state[WRITTEN] : state[WRITTEN] + data.size] = data
    state[WRITTEN] += data.size
    return True


@internal(error_model="numpy")
def _write_block(tokens: Any, count: Any, header: Any, bits: Any, writer: Any) -> bool:
    """Write a block of tokens, which takes so many bits after the first three. Returns whether there was room
    for it.
    """
    fields, lengths, state = header.fields, header.lengths, writer.state
    if state[WRITTEN] + (state[HELD_COUNT] + 3 + bits + 7 >> 3) > writer.out.size:
        return False
    send(writer, fields[BFINAL] + 2 * fields[BTYPE], 3)
    if fields[BTYPE] == OWN_CODES:
        send_header(header, writer)
    literals, end = fields[HLIT], fields[HLIT] + fields[HDIST]
    send_tokens(tokens, count, lengths[:literals], lengths[literals:end], writer)
    return True


@internal(error_model="numpy")
def _code_end(reader: Any, writer: Any, coder: Any) -> bool:
    """Code the bits after the last block, up to the byte's end. Returns whether the stream ends there."""
    read, written = reader.state, writer.state
    gap = (-written[HELD_COUNT] if coder.decoding else -read[AT]) & 7
    bits = 0 if coder.decoding else take(reader, gap)
    set_context(coder.keys, contexts.FILL, AT_END, ZERO, ZERO, ZERO)
    bits = code_number(coder, contexts.FILL, PADDING_BITS, bits)
    if coder.decoding:
        if gap:  # else there may be no more room
            send(writer, bits & (1 << gap) - 1, gap)
        return written[WRITTEN] == writer.out.size
    return read[AT] == 8 * reader.stream.size
