"""A PNG file to an .ardm file and back. Knows what of a PNG goes where in the container, and nothing of names, streams or messages.

A file comes back in one of three ways (`Way`): the same pixels, kind and chunks; made again byte for byte by a recipe; or kept whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import torch

from codec import container, cost, exact, png
from codec.container import PNG_CHUNKS, PNG_FORM, Header
from codec.errors import CorruptError, UnsupportedError, VerifyError
from codec.image import TILE, compress, decompress
from codec.invent import Completion
from codec.invent import complete as complete_pixels
from codec.limits import NO_LIMITS, Limits, limits_of
from codec.png import Png
from codec.presets import DEFAULT_BUDGET
from codec.salvage import Report, recover
from codec.samples import Kind

INTERLACED, RECIPE = 1, 2  # flag bits of the form; all others are reserved


class Way(StrEnum):
    """How a PNG comes back."""

    CONTENT = "content"  # pixels, colour type, depth, interlacing, all chunks; compressed anew
    EXACT = "exact"  # the same bytes, made from the content
    WHOLE = "whole file"  # the same bytes, kept as they were


@dataclass(frozen=True)
class Packed:
    """An .ardm file, and what its reader may want to know."""

    data: bytes
    way: Way
    why: str = ""  # why the PNG could not be taken apart, or how it will be made again
    indivisible: bool = False  # it was kept whole because this release cannot take it apart


def pack(source: bytes, *, exactly: bool, max_pixels: int | None = None, limits: Limits | None = None, **options: Any) -> Packed:
    """Compress a PNG file. exactly: it must come back byte for byte. max_pixels, limits: as of `decompress`. options: of `compress`.

    Raises as `png.dissect` and `compress` do, and LimitError.

    What cannot be taken apart, cannot be made again (`exactly`), or would become larger than the file itself, is kept whole.
    """
    limits = limits_of(limits, max_pixels)
    head = png.read_head(source, limits.max_pixels)
    calls = 0 if options.get("order") == "raster" else options.get("budget", DEFAULT_BUDGET)
    threads = options.get("threads") or torch.get_num_threads()
    cost.check(cost.of_encoding(head.height, head.width, head.channels, head.kind, len(source), options.get("tile", TILE), calls, threads), limits)
    whole = container.write_whole(source, head.width, head.height, head.channels, head.kind)
    try:
        image, coding = png.dissect(source, limits.max_pixels)
    except png.IndivisibleError as error:
        return Packed(whole, Way.WHOLE, str(error), indivisible=True)
    recipe = exact.find(source, image, coding) if exactly else None
    if exactly and recipe is None:
        return Packed(whole, Way.WHOLE, "no zlib settings make the same bytes again")
    metadata = _metadata(image, recipe)
    data = compress(image.pixels, kind=image.kind, metadata=metadata, **options)
    if options.get("verify"):
        _check(data, image, recipe)
    if len(whole) < len(data):
        return Packed(whole, Way.WHOLE, "which is smaller")
    return Packed(data, Way.EXACT, str(recipe)) if recipe else Packed(data, Way.CONTENT)


def unpack(data: bytes, *, max_pixels: int | None = None, limits: Limits | None = None, **options: Any) -> bytes:
    """Inverse of `pack`: the PNG file. options: of `decompress`. Raises as `decompress` and `exact.make` do."""
    limits = limits_of(limits, max_pixels)
    header, at = _open(data, limits, options)
    if header.whole:
        return container.read_whole(data, header, at)
    image, recipe = _decode(data, header, limits, options)
    return exact.make(image, recipe) if recipe else png.write(image)


def test(data: bytes, *, max_pixels: int | None = None, limits: Limits | None = None, **options: Any) -> None:  # noqa: PT028
    """Raise what `unpack` would raise; compresses no PNG unless a recipe is to be tried out."""
    limits = limits_of(limits, max_pixels)
    header, at = _open(data, limits, options)
    if header.whole:
        container.read_whole(data, header, at)
        return
    image, recipe = _decode(data, header, limits, options)
    if recipe:
        exact.make(image, recipe)


def rescue(data: bytes, *, max_pixels: int | None = None, limits: Limits | None = None, **options: Any) -> tuple[bytes, bytes, Report]:
    """What can be had of a damaged file: (the PNG, a PNG of its size, grey, 1 bit, white where it is lost, report). Arguments and errors as of `recover`.

    The PNG is made of the content anew, even if there is a recipe for the file as it was.
    """
    limits = limits_of(limits, max_pixels)
    header, _ = _open(data, limits, options, salvage=True)
    pixels, mask, report = recover(data, limits=limits, **options)
    image = _image(header, pixels)
    return png.write(image), _mask(mask), report


def complete(data: bytes, *, max_pixels: int | None = None, limits: Limits | None = None, **options: Any) -> tuple[bytes, bytes, Completion]:
    """A file that was cut off, with the rest drawn: (the PNG, with a comment if anything in it is invented; a PNG of its size, grey, 1 bit, white where
    it is; what was done). Arguments and errors as of `codec.invent.complete`.
    """
    limits = limits_of(limits, max_pixels)
    header, _ = _open(data, limits, options, salvage=True)
    pixels, mask, report = complete_pixels(data, limits=limits, **options)
    image = _image(header, pixels)
    if report.invented:
        image = replace(image, before=image.before + comment(f"ardm: {report}"))
    return png.write(image), _mask(mask), report


def comment(text: str) -> bytes:
    """The PNG chunk that says something to whoever looks."""
    return png.chunk(b"tEXt", b"Comment\0" + text.encode("latin1"))


def _mask(mask: np.ndarray) -> bytes:
    """A PNG of bool (H, W): grey, 1 bit, white where true."""
    return png.write(Png(mask.astype(np.uint8), Kind(1), False, b"", b""))


def way_of(header: Header) -> Way:
    """How the PNG in a file will come back."""
    if header.whole:
        return Way.WHOLE
    return Way.EXACT if _form(header)[0] & RECIPE else Way.CONTENT


def _metadata(image: Png, recipe: exact.Recipe | None) -> tuple[tuple[int, bytes], ...]:
    block = png.pack_chunks(image)
    form = bytes([(INTERLACED if image.interlaced else 0) | (RECIPE if recipe else 0)]) + (exact.pack(recipe) if recipe else b"")
    return ((PNG_CHUNKS, block),) * bool(block) + ((PNG_FORM, form),) * (form != b"\0")


def _open(data: bytes, limits: Limits, options: dict[str, Any], salvage: bool = False) -> tuple[Header, int]:
    """What `container.read` says of a file that a PNG is to be made of, once its cost is known to be within the limits."""
    header, at = container.read(data, limits, salvage)
    cost.check(cost.of(header, len(data), options.get("threads") or torch.get_num_threads(), png=True), limits)
    return header, at


def _decode(data: bytes, header: Header, limits: Limits, options: dict[str, Any]) -> tuple[Png, exact.Recipe | None]:
    return _assemble(header, decompress(data, limits=limits, **options))


def _assemble(header: Header, pixels: np.ndarray) -> tuple[Png, exact.Recipe | None]:
    """What `_metadata` was made of. pixels: as `decompress` returns them."""
    image = _image(header, pixels)
    form = _form(header)
    return image, exact.unpack(form[1:], image) if form[0] & RECIPE else None


def _image(header: Header, pixels: np.ndarray) -> Png:
    """The content of the PNG."""
    pixels = pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
    block = _only(header, PNG_CHUNKS)
    image = Png(pixels, header.kind, bool(_form(header)[0] & INTERLACED), *(png.unpack_chunks(block) if block else (b"", b"")))
    if header.kind.indexed and not png.has_palette(image):
        raise UnsupportedError("the file holds indices without their palette, which no PNG can; `codec.decompress` gives them.")
    return image


def _form(header: Header) -> bytes:
    form = _only(header, PNG_FORM) or b"\0"
    if form[0] & ~(INTERLACED | RECIPE):
        raise UnsupportedError(f"the PNG's form has reserved bits set ({form[0]:#04x}); a newer ardm may read it.")
    if len(form) > 1 and not form[0] & RECIPE:
        raise CorruptError(f"the PNG's form has {len(form) - 1} bytes too many.")
    return form


def _only(header: Header, kind: int) -> bytes:
    """The metadata chunk of a type, empty if there is none."""
    found = [block for k, block in header.metadata if k == kind]
    if len(found) > 1:
        raise CorruptError(f"there are {len(found)} metadata chunks of type {kind:#04x}, expected one.")
    return found[0] if found else b""


def _check(data: bytes, image: Png, recipe: exact.Recipe | None) -> None:
    """That everything but the pixels, which `compress` has verified, can be had from the file."""
    found, again = _assemble(container.read(data, NO_LIMITS)[0], image.pixels)
    if (found.kind, found.interlaced, found.before, found.after, again) != (image.kind, image.interlaced, image.before, image.after, recipe):
        raise VerifyError("the compressed file does not hold what else is in the PNG as it was; please report this image.")
