"""Which kind of image a file is, and what is in it. `sniff` is the one place that decides what counts as an
image; magic numbers decide, never names.

| formats | comes back as | how |
|---|---|---|
| PNG | PNG: pixels, kind, chunks; or the file itself | `codec.png`, `codec.png.exact.remake` |
| PBM, PGM, PPM, PAM, BMP, QOI, NPY, TIFF without compression | the file itself | `frames` |
| TIFF, GIF, lossless WebP | a PNG with all that is in them, or the file itself | `tiff`, `gif`, Pillow |
| JPEG, lossy WebP | the file itself, or a PNG if the pixels are enough | `jpeg`, Pillow |
| all others that say more than pixels | the file itself | |

Knows no .ardm files. Headers are read here and not by Pillow, so that nothing is allocated for an image that
is too large.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from PIL import GifImagePlugin, JpegImagePlugin, WebPImagePlugin

from codec import png
from codec.errors import ArdmError, CorruptError, InputError, LimitError, TruncatedError
from codec.formats import frames, gif, jpeg, tiff
from codec.formats.frames import Frame, SampleLayout
from codec.formats.luggage import Luggage
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
        return {"webp": "WebP", "tif": "TIFF", "jpg": "JPEG", "npy": "NumPy"}.get(
            self.value, self.value.upper()
        )


_PNM = ("pnm",)
OTHER_ENDINGS = {
    Format.BMP: ("dib",),
    Format.TIFF: ("tiff",),
    Format.JPEG: ("jpeg", "jpe", "jfif"),
    Format.PBM: _PNM,
    Format.PGM: _PNM,
    Format.PPM: _PNM,
}
OF_OTHERS = ("apng", "avif", "heic", "heif", "jxl", "jp2", "pfm", "tga", "exr", "psd", "ico")
IMAGE_ENDINGS = {ending for form in Format for ending in form.endings}.union(OF_OTHERS)
LIKE = {  # beginnings of what is not read here, but may be taken for it
    rb"\x89ARDM": "an .ardm file",
    rb"\0\0\0\x0cJXL|\xff\x0a": "a JPEG XL",
    rb"\0\0\0.ftyp(avi|hei|mif)": "an AVIF or HEIF",
    rb"\x89PNG|.{0,20}IHDR": "a PNG",
    rb"GIF8[79]a": "a GIF",
    rb"\xff\xd8\xff": "a JPEG",
    rb"RIFF....WEBP": "a WebP",
    rb"qoif": "a QOI",
    rb"P[1-7Ff]\s": "a Netpbm image",
}
_CONTROL = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")
# of a picture that does not move
WEBP_CHUNKS = (b"VP8X", b"VP8L", b"VP8 ", b"ALPH", b"ICCP", b"EXIF", b"XMP ")
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
    beyond: tuple[str, ...] = ()  # what else is in it that no PNG can hold: "geographic tags"


# how each format begins, in the order in which they are asked
BEGINS: tuple[tuple[Format, Callable[[bytes], object]], ...] = (
    (Format.PNG, png.begins),
    (Format.TIFF, lambda data: data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (Format.JPEG, jpeg.is_jpeg),
    (Format.GIF, gif.is_gif),
    (Format.WEBP, lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP"),
    (Format.QOI, lambda data: data[:4] == b"qoif" and len(data) > 13 and data[12] in (3, 4) and data[13] < 2),
    (Format.NPY, lambda data: data[:6] == b"\x93NUMPY"),
    (
        Format.BMP,
        lambda data: data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in frames.DIB_SIZES,
    ),
    (Format.PAM, frames.PAM.match),
    (Format.PBM, frames.BITMAP.match),
    (Format.PPM, lambda data: (found := frames.GRAPHMAP.match(data)) and found[1] == b"6"),
    (Format.PGM, frames.GRAPHMAP.match),
)


def sniff(data: bytes) -> Format | None:
    """The format of a file, of which only the header need be there, damaged or not; None for what is no image
    that is known here."""
    return next((form for form, begins in BEGINS if begins(data)), None)


def is_image(data: bytes) -> bool:
    """Is a whole file an image that is read here, sound or damaged? All else is bytes like any others, which
    `codec.text` takes.

    Some images begin with words. What does, is damaged as an image, and reads as a text, is a text:
    "P4 10 20 apples".
    """
    if sniff(data) is None:
        return False
    if not _is_words(data):
        return True
    try:
        read(data, len(data) * MOST_OF_A_BYTE)
    except ArdmError:
        return False
    return True


def doubt(data: bytes, ending: str) -> str:
    """Of what is no image to `is_image`: why its owner may think that it is one ("is empty"); nothing if
    there is no reason to. ending: of its name."""
    if not data:
        return "is empty"
    if like := likeness(data):
        return f"begins like {like}, but is no image that is read here"
    if ending.lower() in IMAGE_ENDINGS:
        return "is no image that is read here, though its name says that it is one"
    return ""


def likeness(data: bytes) -> str:
    """What somebody may take it for who sees its first bytes: "a JPEG XL"; nothing if there is no such
    thing."""
    return next((name for start, name in LIKE.items() if re.match(start, data, re.DOTALL)), "")


def look(data: bytes, max_pixels: int) -> Look:
    """What a file is. Raises InputError for no image, LimitError for one of too many pixels. A damaged header
    is told by `Look.load`."""
    form = sniff(data)
    if form is None:
        like = likeness(data)
        if not data:
            raise InputError("the file is empty; expected an image.")
        said = f"not an image; it begins like {like}" if like else "not an image"
        raise InputError(f"{said}. Known are {KNOWN}, and JPEG with --pixels.")
    try:
        seen = LOOKS[form](data, max_pixels)
    except (IndivisibleError, CorruptError) as error:
        seen = _cannot(form, Head(1, 1, 1, Kind(), False), error)
    if seen.head.width * seen.head.height > max_pixels:
        size = f"{seen.head.width} x {seen.head.height}"
        raise LimitError(
            f"the image has {size} pixels, the limit is {max_pixels}; raise it with --max-pixels "
            "(max_pixels=)."
        )
    return seen


def read(data: bytes, max_pixels: int) -> Content:
    """What is in a file. Raises as `look` and `Look.load` do."""
    return look(data, max_pixels).load()


def _cannot(form: Format, head: Head, why: str | ArdmError, lossy: bool = False) -> Look:
    """Of a file whose pixels cannot be had, or not alone. why: an error, or the reason for an
    IndivisibleError."""
    error = why if isinstance(why, ArdmError) else IndivisibleError(why)

    def load() -> Content:
        raise error

    return Look(form, head, load, lossy, str(error) if isinstance(error, IndivisibleError) else "")


def _content(samples: np.ndarray, kind: Kind, chunks: bytes) -> Content:
    """What comes back as a PNG."""
    if len(chunks) > png.MAX_CHUNKS:
        raise IndivisibleError(f"it has {len(chunks)} bytes of metadata, more than {png.MAX_CHUNKS}")
    return Content(Png(samples, kind, False, chunks, b""))


def _is_words(data: bytes) -> bool:
    """Whether it reads as a text: no control characters, and UTF-8, or mostly ASCII."""
    if _CONTROL.search(data):
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return 4 * len(data.translate(None, bytes(range(128)))) < len(data)
    return True


def _plausible(head: Head, data: bytes) -> None:
    """Raise TruncatedError, before anything is allocated, for pixels that so few bytes cannot stand for."""
    if head.height * (head.line(head.width) - 1) > MOST_OF_A_BYTE * len(data):
        raise TruncatedError(
            f"the file is cut short: {len(data)} bytes cannot hold {head.width} x {head.height} pixels."
        )


# ---- PNG, and files of bare samples ------------------------------------------------------------------------


def _png(data: bytes, max_pixels: int) -> Look:
    return Look(Format.PNG, png.read_head(data, max_pixels), lambda: Content(png.read(data, max_pixels)))


def _plain(form: Format, sample_layout: SampleLayout, data: bytes) -> Look:
    def load() -> Content:
        samples, frame = frames.take(data, sample_layout)
        return Content(Png(samples, sample_layout.head.kind, False, b"", b""), frame)

    return Look(form, sample_layout.head, load)


def _tiff(data: bytes, max_pixels: int) -> Look:
    directory = tiff.parse(data)
    sample_layout = tiff.sample_layout(directory, max_pixels)
    if sample_layout:
        return _plain(Format.TIFF, sample_layout, data)
    if directory.lossy:
        return _cannot(Format.TIFF, directory.head, "its strips are compressed by a lossy method", lossy=True)
    luggage = tiff.luggage(directory)

    def load() -> Content:
        if not directory.boundless:
            _plausible(directory.head, data)
        samples, palette = tiff.read(directory)
        return _content(samples, directory.head.kind, luggage.chunks + palette)

    return Look(Format.TIFF, directory.head, load, beyond=luggage.left)


# ---- GIF ---------------------------------------------------------------------------------------------------


def _gif(data: bytes, max_pixels: int) -> Look:
    parsed = gif.parse(data)
    if parsed.why:
        return _cannot(Format.GIF, parsed.head, parsed.why)
    return Look(Format.GIF, parsed.head, lambda: _read_gif(data, parsed), beyond=parsed.luggage.left)


def _read_gif(data: bytes, parsed: gif.Gif) -> Content:
    head = parsed.head
    _plausible(head, data)
    samples = tiff.unpacked(GifImagePlugin.GifImageFile, data, head.width, head.height)
    sound = samples.shape == (head.height, head.width) and samples.dtype == np.uint8
    if not sound or 3 * int(samples.max()) >= len(parsed.table):
        raise IndivisibleError("it has pixels that are not in its palette")
    return _content(samples, head.kind, parsed.chunks)


# ---- WebP --------------------------------------------------------------------------------------------------


def _webp(data: bytes, max_pixels: int) -> Look:
    if len(data) < 20 or struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        raise TruncatedError(f"the WebP is cut short: it has {len(data)} bytes, its header promises more.")
    chunks: dict[bytes, bytes] = {}
    luggage = Luggage()
    at, end = 12, struct.unpack_from("<I", data, 4)[0] + 8
    while at + 8 <= end:
        (size,) = struct.unpack_from("<I", data, at + 4)
        if at + 8 + size > end:
            raise TruncatedError("the WebP is cut short inside a chunk.")
        if data[at : at + 4] in chunks or data[at : at + 4] not in WEBP_CHUNKS:
            luggage.leave(f"a chunk {data[at : at + 4].decode('latin1').strip()} of its own")
        chunks.setdefault(data[at : at + 4], data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    if len(data) > min(at, end):
        luggage.leave(f"{len(data) - min(at, end)} bytes after its last chunk")
    # what a reader takes; others are not looked at
    first = next((kind for kind in chunks if kind in (b"VP8L", b"VP8 ")), b"")
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
    if (
        not width
        or not height
        or (
            len(wide) >= 10
            and wide[4:10] != (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        )
    ):
        raise CorruptError("the WebP's headers disagree about its size.")
    head = Head(width, height, 4 if alpha else 3, Kind(), False)
    if b"ANIM" in chunks or b"ANMF" in chunks or (wide and wide[0] & 2):
        return _cannot(Format.WEBP, head, "it is animated")
    if {b"VP8L", b"VP8 "} <= chunks.keys() or (coded and b"ALPH" in chunks):
        luggage.leave("a second picture")
    luggage.add_icc(chunks.get(b"ICCP", b""))
    luggage.add_exif(chunks.get(b"EXIF", b"").removeprefix(b"Exif\0\0"))
    luggage.add_xmp(chunks.get(b"XMP ", b""))
    load = lambda: _read_webp(data, head, luggage)  # noqa: E731
    return Look(Format.WEBP, head, load, lossy=not coded, beyond=luggage.left)


def _read_webp(data: bytes, head: Head, luggage: Luggage) -> Content:
    samples = tiff.unpacked(WebPImagePlugin.WebPImageFile, data, head.width, head.height)
    if samples.shape[:2] != (head.height, head.width) or samples.dtype != np.uint8:
        raise CorruptError("the WebP holds another image than its header says.")
    return _content(np.ascontiguousarray(samples), Kind(), luggage.chunks)


# ---- JPEG --------------------------------------------------------------------------------------------------


def _jpeg(data: bytes, max_pixels: int) -> Look:
    parsed = jpeg.parse(data)
    if parsed.depth != 8 or parsed.channels not in (1, 3):
        why = f"it has {parsed.channels} channels of {parsed.depth} bits"
        return _cannot(Format.JPEG, parsed.head, why, lossy=True)
    load = lambda: _read_jpeg(data, parsed)  # noqa: E731
    return Look(Format.JPEG, parsed.head, load, lossy=True, beyond=parsed.luggage.left)


def _read_jpeg(data: bytes, parsed: jpeg.Jpeg) -> Content:
    head = parsed.head
    samples = tiff.unpacked(JpegImagePlugin.JpegImageFile, data, head.width, head.height)
    shape = (head.height, head.width) if head.channels == 1 else (head.height, head.width, 3)
    if samples.shape != shape or samples.dtype != np.uint8:
        raise CorruptError("the JPEG holds another image than its header says.")
    return _content(samples, Kind(), parsed.luggage.chunks)


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
