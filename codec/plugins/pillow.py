"""Pillow reads and writes .ardm files once this module is imported. Knows Pillow's images, and the chunks of
PNG in which an .ardm file keeps what is beside the pixels; no coder.

`Image.open` reads the header alone; pixels are decoded, and torch loaded, when Pillow asks for them.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import replace
from threading import Lock
from typing import IO, Any

import numpy as np
from PIL import ContainerIO, Image, ImageFile, ImagePalette, UnidentifiedImageError

import codec
from codec import png
from codec.container import MAGIC, PNG_CHUNKS, SOURCE_FRAME, TEXT, Header
from codec.errors import ArdmError
from codec.formats import frames, sources
from codec.formats.sources import Format
from codec.limits import Limits
from codec.listing import coarse_step, only
from codec.opened import Opened, open_file
from codec.png import Png
from codec.samples import Kind
from codec.settings import NAMES

FORMAT = "ARDM"
LIMITS = replace(Limits(), max_pixels=2**64)  # Pillow has a limit of its own, which its user may set
# kept whole, Pillow's own readers open them; they lose nothing, if there are no colours of 16 bits
KEPT = {Format.PNG: "PNG", Format.JPEG: "JPEG", Format.WEBP: "WEBP", Format.GIF: "GIF"}
# files of bare samples that may be shown as they stand; of others, those of three channels
SHOWN = (Format.PGM, Format.PPM, Format.PAM, Format.QOI, Format.NPY)
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by channels, of up to 8 bits
SCALE = {2: 85, 4: 17}  # grey of few bits fills the range of a byte, as Pillow's PNG reader has it
DEEP = ("I;16", "I;16L", "I;16B", "I;16N")
EXIF = b"Exif\0\0"
METRE = 0.0254  # of an inch


class KeptWholeError(OSError):
    """The .ardm file keeps another image file, which `Image.open` gives to that format's reader."""


class ArdmImageFile(ImageFile.ImageFile):
    """An image in an .ardm file. Thread-safe while it is loaded."""

    format = FORMAT
    format_description = "Lossless image of an autoregressive diffusion model"
    is_animated, n_frames = False, 1

    def _open(self) -> None:
        assert self.fp is not None
        self._loading = Lock()
        self._step = 1  # of the pixels that will be decoded, each way
        self._opened: Opened | None = _opened(self.fp)
        header = self._opened.header
        if header.whole:
            raise KeptWholeError("the file keeps another image file whole; PIL.Image.open reads that.")
        _refuse_colours_of_16_bits(header.channels, header.kind)
        _refuse_frames(header)
        self._size, self._mode = (header.width, header.height), _mode_of(header)
        try:
            block = only(header, PNG_CHUNKS)
            before, after = png.unpack_chunks(block) if block else (b"", b"")
            self.info.update(_info_of(png.metadata_in(before + after)))
            self._take_colours(before, header)
        except ArdmError as error:
            raise OSError(str(error)) from error
        self.tile = _whole_tile(self.size)

    def _take_colours(self, before: bytes, header: Header) -> None:
        """The palette, and which colours are transparent, from the kept chunks."""
        palette, transparent = png.find_chunk(before, b"PLTE"), png.find_chunk(before, b"tRNS")
        if self.mode == "P":
            if palette is None:
                raise OSError(
                    "the file holds indices without their palette; `codec.decompress` gives them as an array."
                )
            self.palette = ImagePalette.raw("RGB", palette)
        if transparent is not None:
            transparency = _transparency(self.mode, transparent, header.kind)
            self.info.update({} if transparency is None else {"transparency": transparency})

    def load(self) -> Any:
        """Decode the pixels, once. Raises OSError with a sentence for a damaged file."""
        if self.tile:
            with self._loading:
                if self.tile:
                    self._decode()
        return super().load()

    def _decode(self) -> None:
        if self.fp is None or self._opened is None:
            raise ValueError("Operation on closed image")
        try:
            pixels = codec.ImageReader(self._opened, LIMITS).every(self._step)
        except ArdmError as error:
            raise OSError(str(error)) from error
        self.im = _image_of(pixels, self.mode, self._opened.header.kind).im
        Image.Image.load(self)  # gives it the palette
        self.readonly = 0
        if self._exclusive_fp:
            self.fp.close()
        self.fp = self._opened = None
        self.tile = []  # the last, since it says to other threads that all is there

    def verify(self) -> None:
        """Check the checksums of all parts of the file, without decoding, and close it. Raises OSError with a
        sentence. Only decoding checks the hash of the pixels, too.
        """
        if self.fp is None or self._opened is None:
            raise RuntimeError("verify must be called directly after open")
        try:
            self._opened.check_payloads()
        except ArdmError as error:
            raise OSError(str(error)) from error
        finally:
            self._opened = None
            super().verify()

    def draft(
        self, mode: str | None, size: tuple[int, int] | None
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """Decode only every 4th, 16th, ... pixel each way, so that the image is no smaller than `size`; its
        mode stays. Not in raster order, and not once it is loaded: then None is returned.
        """
        if not (self.tile and size and self._opened and self._step == 1):
            return None
        width, height = self.size
        step = coarse_step(self._opened.header, min(width / max(1, size[0]), height / max(1, size[1])))
        if step == 1:
            return None
        self._step, self._size = step, (-(-width // step), -(-height // step))
        self.tile = _whole_tile(self.size)
        return self.mode, (0, 0, width / step, height / step)

    def load_seek(self, pos: int) -> None:
        """That there is this tells Pillow's incremental parser to wait for the whole file."""

    def thumbnail(self, *args: Any, **named: Any) -> None:
        """As of any image: of all pixels, unless `draft` has been called. The pixels that it picks are no
        averages, which a thumbnail of them shows.
        """
        self.load()
        super().thumbnail(*args, **named)


def _opened(file: IO[bytes]) -> Opened:
    """The header and index of a file. Raises OSError."""
    try:
        return open_file(file, LIMITS)
    except ArdmError as error:
        file.seek(0)
        if file.read(len(MAGIC) + 1) == MAGIC + bytes([TEXT]):
            raise UnidentifiedImageError(str(error)) from error
        raise OSError(str(error)) from error


def _refuse_colours_of_16_bits(channels: int, kind: Kind) -> None:
    if kind.depth == 16 and channels > 1:
        raise OSError(
            f"the image has {channels} channels of 16 bits, which Pillow cannot hold; `codec.decompress` or "
            "`codec.open` give them as an array."
        )


def _refuse_frames(header: Header) -> None:
    """Raise OSError where samples that stand for a file of another format may not be shown as they are: 1 may
    be black in them, and palettes are in parts of the file that are not read here.
    """
    try:
        block = only(header, SOURCE_FRAME)
        form = sources.sniff(frames.unpack(block).head) if block else None
    except ArdmError as error:
        raise OSError(str(error)) from error
    if block and (header.kind.few or not (form in SHOWN or header.channels == 3)):
        label = form.label if form else "file of another format"
        raise OSError(
            f"the file stands for a {label} whose samples say nothing without its header; ardm-decompress "
            "restores it, and `codec.decompress` gives the samples."
        )


def _mode_of(header: Header) -> str:
    if header.kind.indexed:
        return "P"
    return {1: "1", 16: "I;16"}.get(header.kind.depth) or MODES[header.channels]


def _whole_tile(size: tuple[int, int]) -> list[Any]:
    """Says to Pillow that there is something to be loaded."""
    return [(FORMAT.lower(), (0, 0, *size), 0, ())]


def _info_of(metadata: png.Metadata) -> dict[str, Any]:
    """As Pillow's PNG reader has it."""
    info: dict[str, Any] = {"icc_profile": metadata.icc, "xmp": metadata.xmp, "gamma": metadata.gamma}
    info["exif"] = EXIF + metadata.exif if metadata.exif else b""
    info["dpi"] = tuple(n * METRE for n in metadata.per_metre) if metadata.per_metre else None
    return {name: value for name, value in info.items() if value not in (None, b"")}


def _transparency(mode: str, data: bytes, kind: Kind) -> int | bytes | tuple[int, ...] | None:
    """What tRNS says, in values of the image; None for what says nothing."""
    if mode == "P":
        opaque = data.strip(b"\xff")
        return data.index(0) if opaque == b"\0" else data
    if mode == "RGB" and len(data) >= 6:
        return struct.unpack_from(">HHH", data)
    if mode in ("1", "L", "I;16") and len(data) >= 2:
        value = int.from_bytes(data[:2], "big")
        return value * {1: 255, **SCALE}.get(kind.depth, 1)
    return None


def _image_of(pixels: np.ndarray, mode: str, kind: Kind) -> Image.Image:
    """pixels: uint8 or uint16 (H, W) or (H, W, C)."""
    if kind.depth == 16:
        pixels = pixels.astype("<u2", copy=False)
    elif not kind.indexed:
        pixels = pixels * np.uint8(SCALE.get(kind.depth, 1))
    raw = {"1": "1;8"}.get(mode, mode)  # any byte but 0 is white
    size = pixels.shape[1], pixels.shape[0]
    return Image.frombytes(mode, size, np.ascontiguousarray(pixels).data.cast("B"), "raw", raw)


# ---- files that keep another -------------------------------------------------------------------------------


def open_image(file: Any, filename: str | bytes = "") -> ImageFile.ImageFile:
    """What `Image.open` calls: the image in an .ardm file, or in the file that it keeps whole."""
    try:
        return ArdmImageFile(file, filename)
    except KeptWholeError:
        return _open_kept(file)


class _Part(ContainerIO.ContainerIO):  # type: ignore[type-arg]
    """A part of a file, which is closed with it."""

    def close(self) -> None:
        self.fh.close()  # older Pillows' containers cannot be closed


class _Made(_Part):
    """What is made of a file, which is closed with it, but not because nobody needs this any more."""

    def __init__(self, made: bytes, file: IO[bytes]) -> None:
        super().__init__(io.BytesIO(made), 0, len(made))
        self.file = file

    def close(self) -> None:
        self.file.close()
        super().close()


def _open_kept(file: IO[bytes]) -> ImageFile.ImageFile:
    """A file that is kept whole, in its place, by Pillow's reader of its format. Its checksum is checked."""
    opened = _opened(file)
    try:
        kept = opened.kept_file()
        form = sources.sniff(kept)
        if form == Format.PNG:
            head = png.read_head(kept, LIMITS.max_pixels)
            _refuse_colours_of_16_bits(head.channels, head.kind)
    except ArdmError as error:
        raise OSError(str(error)) from error
    if form not in KEPT:
        label = form.label if form else "file of another format"
        raise OSError(f"the file keeps a {label} whole; ardm-decompress restores it.")
    part: Any = _Made(kept, file) if opened.header.recoded else _Part(file, opened.at, len(kept))
    return Image.open(part, formats=[KEPT[form]])


# ---- writing -----------------------------------------------------------------------------------------------


def save(im: Image.Image, file: IO[bytes], filename: str | bytes = "") -> None:
    """What `Image.save` calls. Of its options, those of `codec.Settings` say how, and icc_profile, exif, xmp,
    transparency and dpi what is kept beside the pixels; the first four are taken from `im.info` otherwise.

    Raises OSError for a mode that cannot be kept, ValueError for a bad option.
    """
    given = im.encoderinfo
    pixels, kind = _samples_of(im)
    chunks = _metadata_of(im) + _colours_of(im, pixels, kind)
    image = Png(pixels, kind, False, chunks, b"")
    metadata = ((PNG_CHUNKS, png.pack_chunks(image)),) if chunks else ()
    options = {name: given[name] for name in NAMES if name in given}
    try:
        png.check_chunks(image)
        data = codec.compress(pixels, kind=kind, metadata=metadata, **options)
    except ArdmError as error:
        raise OSError(str(error)) from error
    file.write(data)


def _samples_of(im: Image.Image) -> tuple[np.ndarray, Kind]:
    """(uint8 or uint16 (H, W) or (H, W, C), what they are)."""
    if im.mode in DEEP:
        return np.asarray(im).astype(np.uint16, copy=False), Kind(16)
    if im.mode == "1":
        return np.asarray(im).astype(np.uint8), Kind(1)
    if im.mode == "P":
        indices = np.asarray(im)
        colours = max(len(im.getpalette() or ()) // 3, int(indices.max(initial=0)) + 1)
        return indices, Kind(next(depth for depth in (1, 2, 4, 8) if colours <= 1 << depth), indexed=True)
    if im.mode in MODES.values():
        return np.asarray(im), Kind()
    raise OSError(
        f"cannot write mode {im.mode} as {FORMAT}; expected 1, L, LA, P, RGB, RGBA or I;16, to which "
        "`convert` may bring it."
    )


def _metadata_of(im: Image.Image) -> bytes:
    """Chunks for colour profile, Exif, XMP and resolution."""
    icc, exif, xmp = (_said(im, name) or b"" for name in ("icc_profile", "exif", "xmp"))
    if isinstance(exif, Image.Exif):
        exif = exif.tobytes(8)
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    chunks = png.metadata_chunks(icc, exif.removeprefix(EXIF), xmp)
    if dpi := im.encoderinfo.get("dpi"):
        across, down = (int(n / METRE + 0.5) for n in dpi)
        chunks += png.chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
    return chunks


def _said(im: Image.Image, name: str) -> Any:
    return im.encoderinfo.get(name, im.info.get(name))


def _colours_of(im: Image.Image, pixels: np.ndarray, kind: Kind) -> bytes:
    """Chunks for the palette and for transparency."""
    if not kind.indexed:
        return _transparency_chunk(im, lambda value: _colour_bytes(im.mode, value))
    palette = bytes(im.getpalette() or ())
    missing = int(pixels.max(initial=0)) + 1 - len(palette) // 3  # a PNG must have a colour for every index
    alpha = bytes(im.getpalette("RGBA") or ())[3::4] if im.palette and im.palette.mode == "RGBA" else b""
    count = len(palette) // 3 + max(0, missing)
    palette_chunk = png.chunk(b"PLTE", palette + bytes(3 * max(0, missing)))
    named = _transparency_chunk(im, lambda value: _alpha_bytes(value, count))
    return palette_chunk + (named or (png.chunk(b"tRNS", alpha[:count]) if alpha else b""))


def _transparency_chunk(im: Image.Image, packed: Callable[[Any], bytes | None]) -> bytes:
    """packed: the data of the chunk, None for a value that does not fit the mode, which in `im.info` is left
    over from before a conversion.
    """
    value = _said(im, "transparency")
    data = None if value is None else packed(value)
    if data is None and im.encoderinfo.get("transparency") is not None:
        raise ValueError(f"transparency {value!r} is none of an image of mode {im.mode}.")
    return png.chunk(b"tRNS", data) if data else b""


def _alpha_bytes(value: Any, count: int) -> bytes | None:
    """Of a palette of `count` colours."""
    if isinstance(value, bytes):
        return value[:count]
    return b"\xff" * value + b"\0" if isinstance(value, int) and 0 <= value < count else None


def _colour_bytes(mode: str, value: Any) -> bytes | None:
    """Of the one colour that is transparent."""
    if mode == "RGB":
        fits = isinstance(value, list | tuple) and len(value) == 3 and all(0 <= int(v) < 256 for v in value)
        return struct.pack(">HHH", *value) if fits else None
    if mode not in ("1", "L", *DEEP) or not isinstance(value, int):
        return None
    value = min(value, 1) if mode == "1" else value
    return struct.pack(">H", value) if 0 <= value < (65536 if mode in DEEP else 256) else None


def accepts(prefix: bytes) -> bool:
    """Whether a file begins as .ardm files do."""
    return prefix.startswith(MAGIC)


def register() -> None:
    """Tell Pillow of the format; done when this module is imported."""
    Image.register_open(FORMAT, open_image, accepts)
    Image.register_save(FORMAT, save)
    Image.register_extension(FORMAT, ".ardm")
    Image.register_mime(FORMAT, "image/x-ardm")


register()
