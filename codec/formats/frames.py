"""Image files that are their bare samples between a head and a tail: PBM, PGM, PPM, PAM, BMP, NPY and TIFF
without compression; and QOI.

    | head, as it was | samples: order of rows, channels and bytes, padding | tail, as it was |

A file of this sort is taken apart into samples and a `Frame`, and made again of them byte for byte. QOI
belongs here because its encoders all write the same. Samples are as they stand in the file: palette indices,
and a PGM's grey below any maximum, are not scaled. Knows headers and layouts, no .ardm files.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from codec import png
from codec.container import digest, read_varint, varint
from codec.errors import CorruptError, TruncatedError, UnsupportedError
from codec.formats import qoi
from codec.png import Head, IndivisibleError
from codec.samples import Kind

# Bits of a layout. Samples of 16 bits have their high byte first; rows run from the bottom up; colours are B,
# G, R (then alpha); rows are padded with zeros to a multiple of 4 bytes; columns run first and channels last,
# as in Fortran; the samples are coded as QOI does.
HIGH_FIRST, BOTTOM_UP, BGR, ALIGNED, COLUMNS, QOI = 1, 2, 4, 8, 16, 32
MAX_FRAME = 1 << 26  # bytes of head and tail
DIGEST_BYTES = 16  # of the file

_SPACE = rb"(?:[ \t\n\v\f\r]|#[^\n\r]*[\n\r])+"
GRAPHMAP = re.compile(
    rb"P([56])" + _SPACE + rb"(\d{1,10})" + _SPACE + rb"(\d{1,10})" + _SPACE + rb"(\d{1,5})[ \t\n\v\f\r]"
)
BITMAP = re.compile(rb"P4" + _SPACE + rb"(\d{1,10})" + _SPACE + rb"(\d{1,10})[ \t\n\v\f\r]")
PAM = re.compile(rb"P7\n((?:(?:#|WIDTH |HEIGHT |DEPTH |MAXVAL |TUPLTYPE )[^\n]*\n|\n){1,100})ENDHDR\n")
NPY = re.compile(
    rb"\{'descr': '([<>|])u([12])', 'fortran_order': (True|False), "
    rb"'shape': \((\d{1,10}), (\d{1,10})(?:, (\d{1,10}))?\), ?\}\s*"
)
DIB_SIZES = (12, 40, 52, 56, 64, 108, 124)  # of the second header of a BMP, by version
BMP_MASKS = (0xFF0000, 0xFF00, 0xFF)  # of red, green and blue in 32 bits that are B, G, R, alpha


@dataclass(frozen=True)
class Frame:
    """What a file has beside its samples."""

    head: bytes
    tail: bytes
    layout: int
    digest: bytes  # BLAKE2b-128 of the file

    def __post_init__(self) -> None:
        if self.layout & ~(HIGH_FIRST | BOTTOM_UP | BGR | ALIGNED | COLUMNS | QOI):
            raise UnsupportedError(
                f"the layout of the source file has reserved bits set ({self.layout:#04x}); a newer ardm "
                "may read it."
            )
        if len(self.head) + len(self.tail) > MAX_FRAME:
            raise IndivisibleError(
                f"it has {len(self.head) + len(self.tail)} bytes beside its pixels, more than {MAX_FRAME}"
            )

    def fits(self, head: Head) -> bool:
        """Whether samples of such an image can lie in this layout."""
        if self.layout & QOI:
            return self.layout == QOI and head.kind == Kind() and head.channels in (3, 4)
        return (
            (not self.layout & HIGH_FIRST or head.kind.depth == 16)
            and (not self.layout & BGR or head.channels in (3, 4))
            and (
                not self.layout & COLUMNS
                or (head.kind.depth >= 8 and self.layout in (COLUMNS, COLUMNS | HIGH_FIRST))
            )
        )


@dataclass(frozen=True)
class SampleLayout:
    """Where the samples of a file lie, as its header says."""

    head: Head
    start: int  # of the samples, in bytes from the beginning of the file
    layout: int
    channel_axis: bool = False  # of an array (H, W, 1)


def take(data: bytes, bare: SampleLayout) -> tuple[np.ndarray, Frame]:
    """Samples of a file, uint8 or uint16 (H, W) or (H, W, C), and the rest of it.

    Raises TruncatedError, CorruptError, or IndivisibleError if the file would not come back as it was.
    """
    head = bare.head
    if bare.layout & QOI:
        samples, size = qoi.decode(data[bare.start :], head.height, head.width, head.channels)
    else:
        size = body_size(head, bare.layout)
        if len(data) < bare.start + size:
            raise TruncatedError(
                f"the file is cut short: it has {len(data)} bytes, its header promises at least "
                f"{bare.start + size}."
            )
        samples = _from_body(data[bare.start : bare.start + size], head, bare.layout)
    frame = Frame(data[: bare.start], data[bare.start + size :], bare.layout, digest(data, DIGEST_BYTES))
    if _make(samples, head.kind, frame) != data:
        raise IndivisibleError(
            "its pixels are coded in an unusual way"
            if bare.layout & QOI
            else "it has something in the padding of its rows"
        )
    return samples if head.channels > 1 or bare.channel_axis else samples[..., 0], frame


def make(samples: np.ndarray, kind: Kind, frame: Frame, checked: bool = True) -> bytes:
    """Inverse of `take`: the file. checked: it must be the very file that was taken apart. Raises
    CorruptError.
    """
    samples = samples.reshape(*samples.shape[:2], -1)
    if not frame.fits(Head(samples.shape[1], samples.shape[0], samples.shape[2], kind, False)):
        raise CorruptError(f"the layout of the source file ({frame.layout:#04x}) does not fit its image.")
    data = _make(samples, kind, frame)
    if checked and (computed := digest(data, DIGEST_BYTES)) != frame.digest:
        raise CorruptError(
            f"hash of the file made again does not match. Stored: {frame.digest.hex()}. Computed: "
            f"{computed.hex()}."
        )
    return data


def pack(frame: Frame) -> bytes:
    """The frame as bytes."""
    return (
        bytes([frame.layout])
        + frame.digest
        + varint(len(frame.head))
        + zlib.compress(frame.head + frame.tail, 9)
    )


def unpack(data: bytes) -> Frame:
    """Inverse of `pack`. Raises CorruptError or UnsupportedError."""
    if len(data) < 18:
        raise CorruptError("what is left of the source file is cut short.")
    length, at = read_varint(data, 17)
    inflate = zlib.decompressobj()
    try:
        both = inflate.decompress(data[at:], MAX_FRAME + 1)
    except zlib.error as error:
        raise CorruptError(f"what is left of the source file cannot be unpacked ({error}).") from error
    if not inflate.eof or inflate.unused_data or not length <= len(both) <= MAX_FRAME:
        raise CorruptError("what is left of the source file is damaged, or larger than 64 MiB.")
    return Frame(both[:length], both[length:], data[0], data[1:17])


def body_size(head: Head, layout: int) -> int:
    """Bytes of the samples."""
    rows = _rows(head, layout)
    return rows.height * _stride(rows, layout)


# ---- layouts -----------------------------------------------------------------------------------------------


def _rows(head: Head, layout: int) -> Head:
    """An image as the rows in which it lies; in Fortran's order these are columns, channel after channel."""
    return Head(head.height, head.width * head.channels, 1, head.kind, False) if layout & COLUMNS else head


def _stride(rows: Head, layout: int) -> int:
    """Bytes from a row to the next."""
    line = rows.line(rows.width) - 1
    return -(-line // 4) * 4 if layout & ALIGNED else line


def _from_body(body: bytes, head: Head, layout: int) -> np.ndarray:
    """Samples (H, W, C)."""
    rows = _rows(head, layout)
    lines = np.frombuffer(body, np.uint8).reshape(rows.height, -1)[:, : rows.line(rows.width) - 1]
    samples = png.from_bytes(lines[::-1] if layout & BOTTOM_UP else lines, rows.width, rows)
    if head.kind.depth == 16:
        samples = (samples if layout & HIGH_FIRST else samples.byteswap()).astype(np.uint16)
    if layout & COLUMNS:
        return np.ascontiguousarray(
            samples.reshape(head.channels, head.width, head.height).transpose(2, 1, 0)
        )
    return np.ascontiguousarray(_swap(samples.reshape(head.height, head.width, head.channels), layout))


def _to_body(samples: np.ndarray, kind: Kind, layout: int) -> bytes:
    """Inverse of `_from_body`."""
    height, width, channels = samples.shape
    rows = _rows(Head(width, height, channels, kind, False), layout)
    turned = samples.transpose(2, 1, 0) if layout & COLUMNS else _swap(samples, layout)
    turned = turned.reshape(
        (rows.height, rows.width) if rows.channels == 1 else (rows.height, rows.width, rows.channels)
    )
    lines = png.to_bytes(turned if kind.depth < 16 or layout & HIGH_FIRST else turned.byteswap(), rows)
    lines = np.pad(lines, ((0, 0), (0, _stride(rows, layout) - lines.shape[1])))
    return (lines[::-1] if layout & BOTTOM_UP else lines).tobytes()


def _swap(samples: np.ndarray, layout: int) -> np.ndarray:
    """B, G, R to R, G, B and back; alpha stays the last."""
    return samples[..., [2, 1, 0, 3][: samples.shape[2]]] if layout & BGR else samples


def _make(samples: np.ndarray, kind: Kind, frame: Frame) -> bytes:
    body = qoi.encode(samples) if frame.layout & QOI else _to_body(samples, kind, frame.layout)
    return frame.head + body + frame.tail


# ---- headers -----------------------------------------------------------------------------------------------


def netpbm(data: bytes) -> SampleLayout:
    """Of a PBM, PGM or PPM with binary samples (P4 to P6), or a PAM (P7). Raises CorruptError;
    IndivisibleError for several images or over 4 channels.
    """
    if match := PAM.match(data):
        lines = [line.split(None, 1) for line in match[1].splitlines() if line[:1] != b"#"]
        fields = {words[0]: words[1] for words in lines if len(words) == 2}
        try:
            width, height, channels, most = (
                int(fields[key][:10]) for key in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")
            )
        except (KeyError, ValueError):
            raise CorruptError(
                "the PAM header does not say width, height, depth and maximum as numbers."
            ) from None
    elif match := BITMAP.match(data):
        return SampleLayout(_head(int(match[1]), int(match[2]), 1, Kind(1)), match.end(), 0)
    elif match := GRAPHMAP.match(data):
        width, height, most, channels = (
            int(match[2]),
            int(match[3]),
            int(match[4]),
            3 if match[1] == b"6" else 1,
        )
    else:
        raise CorruptError("the Netpbm header is damaged or cut short.")
    if not 0 < most < 65536:
        raise CorruptError(f"the Netpbm header says that samples are at most {most}, expected 1 to 65535.")
    if channels not in (1, 2, 3, 4):
        raise IndivisibleError(f"it has {channels} channels, more than 4")
    wide = most > 255
    bare = SampleLayout(
        _head(width, height, channels, Kind(16 if wide else 8)), match.end(), HIGH_FIRST if wide else 0
    )
    if data[bare.start + body_size(bare.head, bare.layout) :][:1] == b"P":
        raise IndivisibleError("it holds several images")
    return bare


def bmp(data: bytes) -> SampleLayout:
    """Of a Windows or OS/2 bitmap. Raises TruncatedError or CorruptError, or IndivisibleError for one with
    compression, or 16 bits a pixel.
    """
    if len(data) < 26:
        raise TruncatedError(f"the BMP is cut short: it ends after {len(data)} bytes, inside its header.")
    start, size = struct.unpack_from("<II", data, 10)
    if len(data) < 14 + size or size not in DIB_SIZES or not 14 + size <= start <= len(data):
        raise CorruptError("the BMP's header is damaged or cut short.")
    width, height, planes, bits, packing = (
        (*struct.unpack_from("<HHHH", data, 18), 0) if size == 12 else struct.unpack_from("<iiHHI", data, 18)
    )
    if bits not in (1, 2, 4, 8, 16, 24, 32) or planes != 1:
        raise CorruptError(
            f"the BMP's header says {bits} bits per pixel in {planes} planes, which there are not."
        )
    plain_masks = (
        packing in (3, 6)
        and bits == 32
        and len(data) >= 66
        and struct.unpack_from("<III", data, 54) == BMP_MASKS
    )
    if (packing and not plain_masks) or bits == 16:
        raise IndivisibleError(
            f"it is a BMP of {bits} bits per pixel and compression {packing}, rather than of 1 to 8, 24 or "
            "32 bits without compression"
        )
    entry = 3 if size == 12 else 4
    colours = np.frombuffer(data[14 + size : start], np.uint8)
    ramp = len(colours) == 256 * entry and bool(
        (colours.reshape(256, entry)[:, :3] == np.arange(256)[:, None]).all()
    )
    kind = Kind(bits, indexed=not ramp) if bits <= 8 else Kind()
    layout = ALIGNED | (BOTTOM_UP if height > 0 else 0) | (BGR if bits > 8 else 0)
    return SampleLayout(_head(width, abs(height), max(1, bits // 8), kind), start, layout)


def npy(data: bytes) -> SampleLayout:
    """Of an array that NumPy saved. Nothing in the file is evaluated. Raises CorruptError, or
    IndivisibleError for another array than an image.
    """
    if len(data) < 12 or data[6] not in (1, 2, 3):
        raise CorruptError("the .npy header is damaged or cut short.")
    start, length = (
        (10, struct.unpack_from("<H", data, 8)[0])
        if data[6] == 1
        else (12, struct.unpack_from("<I", data, 8)[0])
    )
    said = data[start : start + min(length, 10000)]
    if len(said) < length and length <= 10000:
        raise TruncatedError("the .npy file is cut short inside its header.")
    match = NPY.fullmatch(said)
    if not match or (match[6] and int(match[6]) not in (1, 2, 3, 4)):
        head = said[:120].decode("latin1").strip()
        raise IndivisibleError(
            "it should be an array of uint8 or uint16 and of shape (H, W) or (H, W, C) with C from 1 to "
            f"4, but is {head!r}"
        )
    height, width, channels, wide = int(match[4]), int(match[5]), int(match[6] or 1), match[2] == b"2"
    layout = (COLUMNS if match[3] == b"True" else 0) | (HIGH_FIRST if wide and match[1] == b">" else 0)
    return SampleLayout(
        _head(width, height, channels, Kind(16 if wide else 8)),
        start + length,
        layout,
        channel_axis=match[6] is not None,
    )


def qoif(data: bytes) -> SampleLayout:
    """Of a QOI. Raises CorruptError."""
    if len(data) < 14 or data[12] not in (3, 4):
        raise CorruptError("the QOI's header is damaged or cut short.")
    width, height = struct.unpack_from(">II", data, 4)
    return SampleLayout(_head(width, height, data[12], Kind()), 14, QOI)


def _head(width: int, height: int, channels: int, kind: Kind) -> Head:
    if not 0 < width < 2**31 or not 0 < height < 2**31:
        raise CorruptError(f"the header says {width} x {height} pixels, expected 1 to {2**31 - 1} each way.")
    return Head(width, height, channels, kind, False)
