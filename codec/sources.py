"""Which kind of image a file is, and what is in it. `sniff` is the one place that decides what counts as an image; magic numbers decide, never names.

| formats | comes back as | how |
|---|---|---|
| PNG | PNG: pixels, kind, chunks; or the file itself | `codec.png`, `codec.exact` |
| PBM, PGM, PPM, PAM, BMP, QOI, NPY, TIFF without compression | the file itself | `codec.frames` |
| TIFF, GIF, lossless WebP | a PNG with the pixels, ICC profile, Exif and XMP | `codec.tiff`, Pillow |
| JPEG, lossy WebP or TIFF | the same, but only if the caller says that the pixels are enough | Pillow |

Knows no .ardm files. Headers are read here and not by Pillow, so that nothing is allocated for an image that is too large.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from PIL import GifImagePlugin, JpegImagePlugin, WebPImagePlugin

from codec import frames, png, tiff
from codec.errors import CorruptError, InputError, LimitError, TruncatedError
from codec.frames import Frame, Plan
from codec.png import Head, IndivisibleError, Png
from codec.samples import Kind


class Format(StrEnum):
    """By the usual ending of names."""

    PNG = "png"
    PBM = "pbm"
    PGM = "pgm"
    PPM = "ppm"
    PAM = "pam"
    BMP = "bmp"
    NPY = "npy"
    QOI = "qoi"
    TIFF = "tif"
    GIF = "gif"
    WEBP = "webp"
    JPEG = "jpg"

    @property
    def endings(self) -> tuple[str, ...]:
        """All endings in use, the usual one first."""
        return (self.value, *OTHER_ENDINGS.get(self, ()))

    @property
    def label(self) -> str:
        """For people, after "a"."""
        return {"webp": "WebP", "tif": "TIFF", "jpg": "JPEG", "npy": "NumPy"}.get(self.value, self.value.upper())


_PNM = ("pnm",)
OTHER_ENDINGS = {Format.BMP: ("dib",), Format.TIFF: ("tiff",), Format.JPEG: ("jpeg", "jpe", "jfif"), Format.PBM: _PNM, Format.PGM: _PNM, Format.PPM: _PNM}
UNSUPPORTED = {b"\x89ARDM": "an .ardm", b"\0\0\0\x0cJXL": "a JPEG XL", b"\xff\x0a": "a JPEG XL"}
MOST_OF_A_BYTE = 8192  # bytes that a byte of LZW, deflate or LZMA can stand for; far fewer are usual
KNOWN = "PNG, PBM, PGM, PPM, PAM, BMP, QOI, NPY, TIFF, GIF and WebP"


@dataclass(frozen=True)
class Content:
    """What is in a file."""

    image: Png
    frame: Frame | None = None  # with which the file itself can be made again of the pixels


@dataclass(frozen=True)
class Look:
    """What the header of a file says."""

    format: Format
    head: Head  # 1 x 1 if `why` says that even this cannot be told
    load: Callable[[], Content]  # raises CorruptError, TruncatedError or IndivisibleError
    lossy: bool = False  # the file was made by lossy compression
    why: str = ""  # why pixels alone cannot stand for the file, "it is animated"; empty: they can


def sniff(data: bytes) -> Format | None:
    """The format of a file, of which only the header need be there; None for what is no image that is known here."""
    if data[:8] == png.SIGNATURE or b"IHDR" in data[:24]:  # the second: with a damaged signature
        return Format.PNG
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return Format.TIFF
    if data[:3] == b"\xff\xd8\xff":
        return Format.JPEG
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return Format.GIF
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Format.WEBP
    if data[:4] == b"qoif" and len(data) > 13 and data[12] in (3, 4) and data[13] < 2:
        return Format.QOI
    if data[:6] == b"\x93NUMPY":
        return Format.NPY
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in frames.DIB_SIZES:
        return Format.BMP
    if frames.PAM.match(data):
        return Format.PAM
    if frames.BITMAP.match(data):
        return Format.PBM
    match = frames.GRAPHMAP.match(data)
    return None if not match else Format.PPM if match[1] == b"6" else Format.PGM


def is_image(data: bytes, ending: str) -> bool:
    """Is it an image, of a known format or not, or nothing, or does its name say so ("png")? All else is bytes like any others, which `codec.text` takes."""
    named = any(ending.lower() in form.endings for form in Format)
    return not data or named or sniff(data) is not None or data.startswith(tuple(UNSUPPORTED))


def look(data: bytes, max_pixels: int) -> Look:
    """What a file is. Raises InputError for no image, LimitError for one of too many pixels, TruncatedError or CorruptError for a damaged header."""
    form = sniff(data)
    if form is None:
        if not data:
            raise InputError("the file is empty; expected an image.")
        like = next((f"; it looks like {name} file" for head, name in UNSUPPORTED.items() if data.startswith(head)), "")
        raise InputError(f"not an image{like}. Known are {KNOWN}, and JPEG with --pixels.")
    try:
        found = LOOKS[form](data, max_pixels)
    except IndivisibleError as error:
        found = _cannot(form, Head(1, 1, 1, Kind(), False), str(error))
    if found.head.width * found.head.height > max_pixels:
        size = f"{found.head.width} x {found.head.height}"
        raise LimitError(f"the image has {size} pixels, the limit is {max_pixels}; raise it with --max-pixels (max_pixels=).")
    return found


def read(data: bytes, max_pixels: int) -> Content:
    """What is in a file. Raises as `look` and `Look.load` do."""
    return look(data, max_pixels).load()


def _cannot(form: Format, head: Head, why: str, lossy: bool = False) -> Look:
    def load() -> Content:
        raise IndivisibleError(why)

    return Look(form, head, load, lossy, why)


def _plausible(head: Head, data: bytes) -> None:
    """Raise TruncatedError, before anything is allocated, for pixels that so few bytes cannot stand for."""
    if head.height * (head.line(head.width) - 1) > MOST_OF_A_BYTE * len(data):
        raise TruncatedError(f"the file is cut short: {len(data)} bytes cannot hold {head.width} x {head.height} pixels.")


# ---- PNG, and files of bare samples -----------------------------------------------------------------------------------------


def _png(data: bytes, max_pixels: int) -> Look:
    return Look(Format.PNG, png.read_head(data, max_pixels), lambda: Content(png.read(data, max_pixels)))


def _plain(form: Format, plan: Plan, data: bytes) -> Look:
    def load() -> Content:
        samples, frame = frames.take(data, plan)
        return Content(Png(samples, plan.head.kind, False, b"", b""), frame)

    return Look(form, plan.head, load)


def _tiff(data: bytes, max_pixels: int) -> Look:
    directory = tiff.parse(data)
    plan = tiff.plan(directory)
    if plan:
        return _plain(Format.TIFF, plan, data)
    if directory.lossy:
        return _cannot(Format.TIFF, directory.head, "its strips are compressed by a lossy method", lossy=True)

    def load() -> Content:
        if not directory.boundless:
            _plausible(directory.head, data)
        return Content(tiff.read(directory))

    return Look(Format.TIFF, directory.head, load)


# ---- GIF --------------------------------------------------------------------------------------------------------------------


def _gif(data: bytes, max_pixels: int) -> Look:
    if len(data) < 13:
        raise TruncatedError("the GIF is cut short inside its header.")
    width, height, packed = struct.unpack_from("<HHB", data, 6)
    if not width or not height:
        raise CorruptError(f"the GIF says {width} x {height} pixels.")
    table, at = _gif_table(data, 13, packed)
    transparent, pictures, picture = -1, 0, (0, 0, 0, 0)
    comments: list[bytes] = []
    while True:
        mark = data[at : at + 1]
        if mark == b";":
            break
        if mark == b"!":
            block, end = _gif_blocks(data, at + 2)
            label = data[at + 1]
            if label == 0xF9 and len(block) >= 4 and not pictures:
                transparent = block[3] if block[0] & 1 else -1
            comments += [block] * (label == 0xFE)
            at = end
        elif mark == b",":
            if at + 10 > len(data):
                raise TruncatedError("the GIF is cut short.")
            left, top, w, h, packed = struct.unpack_from("<HHHHB", data, at + 1)
            local, at = _gif_table(data, at + 10, packed)
            pictures += 1
            if pictures == 1:
                picture, table = (left, top, w, h), local or table
            at = _gif_blocks(data, at + 1)[1]
        elif mark:
            raise CorruptError(f"the GIF has a damaged block at byte {at}.")
        else:
            raise TruncatedError(f"the GIF is cut short: it ends after {len(data)} bytes, before its end marker.")
    head = Head(width, height, 1, _gif_kind(table, transparent), False)
    if pictures != 1:
        return _cannot(Format.GIF, head, "it is animated" if pictures else "it has no picture")
    if picture != (0, 0, width, height):
        return _cannot(Format.GIF, head, "its picture does not fill its screen")
    if not table:
        return _cannot(Format.GIF, head, "it has no palette")
    return Look(Format.GIF, head, lambda: _read_gif(data, head, table, transparent, b"".join(comments)))


def _read_gif(data: bytes, head: Head, table: bytes, transparent: int, comments: bytes) -> Content:
    _plausible(head, data)
    samples = tiff.unpacked(GifImagePlugin.GifImageFile, data, head.width, head.height)
    if samples.shape != (head.height, head.width) or samples.dtype != np.uint8 or 3 * int(samples.max()) >= len(table):
        raise IndivisibleError("it has pixels that are not in its palette")
    chunks = png.chunk(b"PLTE", table) if head.kind.indexed else b""
    if 0 <= transparent < len(table) // 3:
        chunks += png.chunk(b"tRNS", b"\xff" * transparent + b"\0")
    chunks += png.chunk(b"tEXt", b"Comment\0" + comments.replace(b"\0", b" ")) if comments else b""
    return Content(Png(samples, head.kind, False, chunks, b""))


def _gif_kind(table: bytes, transparent: int) -> Kind:
    """Grey if the palette is nothing else; else indices, as small as they can be."""
    if transparent < 0 and table == bytes(i for i in range(256) for _ in range(3)):
        return Kind()
    return Kind(next(depth for depth in (1, 2, 4, 8) if len(table) <= 3 << depth), indexed=True)


def _gif_table(data: bytes, at: int, packed: int) -> tuple[bytes, int]:
    """(colours, position after them), if the flags say that there are any."""
    size = 3 << (packed & 7) + 1 if packed & 128 else 0
    if at + size > len(data):
        raise TruncatedError("the GIF is cut short inside a palette.")
    return data[at : at + size], at + size


def _gif_blocks(data: bytes, at: int) -> tuple[bytes, int]:
    """(what a row of small blocks holds, position after it)."""
    parts = []
    while at < len(data) and data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    if at >= len(data):
        raise TruncatedError(f"the GIF is cut short: it ends after {len(data)} bytes, inside a block.")
    return b"".join(parts), at + 1


# ---- WebP -------------------------------------------------------------------------------------------------------------------


def _webp(data: bytes, max_pixels: int) -> Look:
    if len(data) < 20 or struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        raise TruncatedError(f"the WebP is cut short: it has {len(data)} bytes, its header promises more.")
    chunks: dict[bytes, bytes] = {}
    at, end = 12, struct.unpack_from("<I", data, 4)[0] + 8
    while at + 8 <= end:
        (size,) = struct.unpack_from("<I", data, at + 4)
        if at + 8 + size > end:
            raise TruncatedError("the WebP is cut short inside a chunk.")
        chunks.setdefault(data[at : at + 4], data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    first = next((kind for kind in chunks if kind in (b"VP8L", b"VP8 ")), b"")  # what a reader takes; others are not looked at
    coded, wide = chunks[first] if first == b"VP8L" else b"", chunks.get(b"VP8X", b"")
    alpha = False
    if len(coded) >= 5 and coded[0] == 0x2F:
        (bits,) = struct.unpack_from("<I", coded, 1)
        width, height, alpha = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    elif first == b"VP8 " and len(chunks[first]) >= 10:
        width, height = (n & 0x3FFF for n in struct.unpack_from("<HH", chunks[first], 6))
        alpha = b"ALPH" in chunks
    elif len(wide) >= 10 and wide[0] & 2:
        width, height = 1 + int.from_bytes(wide[4:7], "little"), 1 + int.from_bytes(wide[7:10], "little")
    else:
        raise CorruptError("the WebP's header is damaged.")
    if not width or not height or (len(wide) >= 10 and wide[4:10] != (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")):
        raise CorruptError("the WebP's headers disagree about its size.")
    head = Head(width, height, 4 if alpha else 3, Kind(), False)
    if b"ANIM" in chunks or b"ANMF" in chunks or (wide and wide[0] & 2):
        return _cannot(Format.WEBP, head, "it is animated")
    notes = (chunks.get(b"ICCP", b""), chunks.get(b"EXIF", b"").removeprefix(b"Exif\0\0"), chunks.get(b"XMP ", b""))
    return Look(Format.WEBP, head, lambda: _read_webp(data, head, notes), lossy=not coded)


def _read_webp(data: bytes, head: Head, notes: tuple[bytes, bytes, bytes]) -> Content:
    samples = tiff.unpacked(WebPImagePlugin.WebPImageFile, data, head.width, head.height)
    if samples.shape[:2] != (head.height, head.width) or samples.dtype != np.uint8:
        raise CorruptError("the WebP holds another image than its header says.")
    return Content(Png(np.ascontiguousarray(samples), Kind(), False, png.metadata_chunks(*notes), b""))


# ---- JPEG -------------------------------------------------------------------------------------------------------------------


def _jpeg(data: bytes, max_pixels: int) -> Look:
    at, head, exif, xmp = 2, None, b"", b""
    icc: dict[int, bytes] = {}
    while head is None:
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        if at + 4 > len(data):
            raise TruncatedError("the JPEG is cut short inside its header.")
        mark, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : at + 2 + size]
        if data[at] != 255 or size < 2 or at + 2 + size > len(data):
            raise CorruptError(f"the JPEG has a damaged segment at byte {at}.")
        if mark == 0xE1 and segment.startswith(b"Exif\0\0"):
            exif = exif or segment[6:]
        elif mark == 0xE1 and segment.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            xmp = xmp or segment[29:]
        elif mark == 0xE2 and segment.startswith(b"ICC_PROFILE\0") and len(segment) > 14:
            icc[segment[12]] = segment[14:]
        elif mark in range(0xC0, 0xD0) and mark not in (0xC4, 0xC8, 0xCC):
            if len(segment) < 6:
                raise CorruptError("the JPEG's header is damaged.")
            depth, height, width, channels = struct.unpack_from(">BHHB", segment)
            head = Head(width, height, min(max(channels, 1), 4), Kind(), False)
        at += 2 + size
    if not head.width or not head.height:
        raise CorruptError(f"the JPEG says {head.width} x {head.height} pixels.")
    if depth != 8 or channels not in (1, 3):
        return _cannot(Format.JPEG, head, f"it has {channels} channels of {depth} bits", lossy=True)
    notes = (b"".join(icc[i] for i in sorted(icc)), exif, xmp)
    return Look(Format.JPEG, head, lambda: _read_jpeg(data, head, notes), lossy=True)


def _read_jpeg(data: bytes, head: Head, notes: tuple[bytes, bytes, bytes]) -> Content:
    samples = tiff.unpacked(JpegImagePlugin.JpegImageFile, data, head.width, head.height)
    if samples.shape != ((head.height, head.width) if head.channels == 1 else (head.height, head.width, 3)) or samples.dtype != np.uint8:
        raise CorruptError("the JPEG holds another image than its header says.")
    return Content(Png(samples, Kind(), False, png.metadata_chunks(*notes), b""))


LOOKS: dict[Format, Callable[[bytes, int], Look]] = {
    Format.PNG: _png,
    Format.PBM: lambda data, _: _plain(Format.PBM, frames.netpbm(data), data),
    Format.PGM: lambda data, _: _plain(Format.PGM, frames.netpbm(data), data),
    Format.PPM: lambda data, _: _plain(Format.PPM, frames.netpbm(data), data),
    Format.PAM: lambda data, _: _plain(Format.PAM, frames.netpbm(data), data),
    Format.BMP: lambda data, _: _plain(Format.BMP, frames.bmp(data), data),
    Format.NPY: lambda data, _: _plain(Format.NPY, frames.npy(data), data),
    Format.QOI: lambda data, _: _plain(Format.QOI, frames.qoif(data), data),
    Format.TIFF: _tiff,
    Format.GIF: _gif,
    Format.WEBP: _webp,
    Format.JPEG: _jpeg,
}
