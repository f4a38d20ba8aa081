"""An image file to an .ardm file and back. Knows what of it goes where in the container, and nothing of
names, streams or messages.

A file comes back in one of five ways (`Way`): as a PNG with the same pixels, kind and chunks; made again byte
for byte, by a recipe, with a difference, or of a JPEG's coefficients; or kept whole. `codec.formats.sources`
says which formats can be made again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ardm.exact.predictor import Predictor
from codec import container, cost, png
from codec.coder.jpeg import file as jpeg_file
from codec.container import PNG_CHUNKS, PNG_FORM, SOURCE_FRAME, Header, as_bytes
from codec.damage.invent import Completion
from codec.damage.invent import complete as complete_pixels
from codec.damage.salvage import Report, recover, whole_report
from codec.ending import operation
from codec.errors import ArdmError, CorruptError, UnsupportedError, VerifyError
from codec.formats import frames, sources
from codec.formats.frames import Frame
from codec.formats.luggage import listed
from codec.formats.sources import Content, Format, Look
from codec.image import calls_needed, compress, decompress
from codec.limits import NO_LIMITS, Limits, limits_of
from codec.listing import DIFFERENCE, INTERLACED, RECIPE, Way, form, only, way_of
from codec.opened import Opened, open_bytes
from codec.parallel import set_threads, thread_count
from codec.png import Head, Png
from codec.png.exact import recipes, remake
from codec.presets import TILE
from codec.samples import Kind, as_samples
from codec.settings import Settings, settings_of
from codec.tiles import pixel_digest

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@dataclass(frozen=True)
class Packed:
    """An .ardm file, and what its reader may want to know."""

    data: bytes
    way: Way
    why: str = ""  # why the file could not be taken apart, or how it will be made again
    indivisible: bool = False  # it was kept whole because it cannot be taken apart, or not without loss
    converted: bool = False  # it was no PNG, but comes back as one
    # what the file says of its own bytes, which will not be so of what comes back
    untrue: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()  # what was in it and does not come back: "geographic tags"


@operation
def pack(
    source: ReadableBuffer,
    *,
    exactly: bool,
    pixels: bool = False,
    name: str = "",
    max_pixels: int | None = None,
    limits: Limits | None = None,
    settings: Settings | None = None,
    **options: Any,
) -> Packed:
    """Compress an image file. exactly: it must come back byte for byte. pixels: these are enough, even of a
    file made by lossy compression. name: under which the file comes back, if that is to be kept; not where it
    comes back in another format. max_pixels, limits: as of `decompress`. settings, options: as of
    `compress`, progress and predictor among them.

    Raises as `sources.look`, `Look.load` and `compress` do: InputError for what is no image, CorruptError for
    one that is damaged, unless `exactly`; and LimitError.

    A PNG with chunks that speak of its own bytes (`png.bound_to_bytes`) comes back byte for byte unless
    `pixels` are enough. What cannot be taken apart, holds more than a PNG can or was made by lossy
    compression (both unless `pixels`), cannot be made again (`exactly`), or would become larger than the file
    itself, is kept whole; of a JPEG the coefficients, of which its very bytes are made again.
    """
    source, limits = as_bytes(source), limits_of(limits, max_pixels)
    look = sources.look(source, limits.max_pixels)
    head, label = look.head, look.format.label
    passed_on = {name: options.pop(name) for name in ("predictor", "progress") if name in options}
    chosen = settings_of(settings, options)
    set_threads(chosen.threads)
    cost.check(_cost_of(head, len(source), chosen, passed_on.get("predictor")), limits)
    named = container.name_chunk(name)

    def keep(why: str, indivisible: bool = False) -> Packed:
        shape = head.width, head.height, head.channels, head.kind
        recoded = (
            jpeg_file.pack(source, head.height, head.width, head.channels)
            if look.format == Format.JPEG
            else None
        )
        if recoded is not None and len(recoded) < len(source):
            data = container.write_whole(source, *shape, named, recoded)
            if chosen.verify:
                _check_file(data, source)
            return Packed(data, Way.RECODED, "its coefficients are coded anew")
        whole = container.write_whole(source, *shape, named)
        return Packed(whole, Way.WHOLE, why, indivisible=indivisible)

    try:
        content, recipe, bound, exactly = _take_apart(source, look, exactly, pixels, limits)
    except png.IndivisibleError as error:
        return keep(f"{error}, which this release cannot take apart", indivisible=True)
    except CorruptError as error:
        said = str(error).removesuffix(".")
        if not exactly:
            raise type(error)(f"{said}; --exact keeps the file as it is.") from error
        return keep(f"it is damaged: {said}", indivisible=True)
    if why := _more_than_pixels(look) if not (exactly or pixels) else "":
        return keep(why, indivisible=True)
    if exactly and not recipe and not content.frame:
        why = (
            "nothing short makes the same bytes again"
            if look.format == Format.PNG
            else f"a {label} cannot be made again of its pixels"
        )
        return keep(why)
    image = content.image
    converted = look.format != Format.PNG and not content.frame
    metadata = _metadata(content, recipe) + (() if converted else named)
    data = compress(image.pixels, settings=chosen, kind=image.kind, metadata=metadata, **passed_on)
    if chosen.verify:
        _check(data, content, recipe)
    if len(source) < len(data) and not look.lossy:
        kept = keep("which is smaller")
        if len(kept.data) < len(data):
            return kept
    if content.frame:
        return Packed(data, Way.EXACT, f"{label} of the same samples")
    if recipe:
        return Packed(data, Way.DIFFERENCE if recipe.different else Way.EXACT, str(recipe))
    return Packed(data, Way.CONTENT, converted=converted, untrue=bound, dropped=look.beyond)


def _cost_of(head: Head, size: int, settings: Settings, predictor: Predictor | None) -> cost.Cost:
    """Of compressing an image file of `size` bytes, at most."""
    calls = calls_needed(head.height, head.width, settings, predictor)
    tile, threads = settings.largest_tile or TILE, settings.threads or thread_count()
    return cost.of_encoding(head.height, head.width, head.channels, head.kind, size, tile, calls, threads)


def _take_apart(
    source: bytes, look: Look, exactly: bool, pixels: bool, limits: Limits, remade: bool = True
) -> tuple[Content, recipes.Recipe | None, tuple[str, ...], bool]:
    """(what is in a file; how a PNG is made again of that, unless `remade` is False; chunks of a PNG that
    speak of its own bytes; whether the file itself must come back, which such chunks ask for). Raises
    IndivisibleError or CorruptError."""
    if look.format != Format.PNG or look.why:
        return look.load(), None, (), exactly
    image, coding = png.dissect(source, limits.max_pixels)
    bound = tuple(png.bound_to_bytes(image))
    exactly = exactly or (bool(bound) and not pixels)
    recipe = remake.find(source, image, coding) if exactly and remade else None
    return Content(image), recipe, bound, exactly


def _more_than_pixels(look: Look) -> str:
    """Why a file that can be taken apart shall come back itself, unless pixels are enough; nothing if they
    can stand for it."""
    if look.lossy:
        smaller = "it was made by lossy compression, and is already smaller than its pixels would be"
        return f"{smaller} (--pixels compresses these all the same)"
    if look.beyond:
        return f"it has {listed(look.beyond)}, which a PNG cannot hold (--pixels drops that)"
    return ""


@operation
def unpack(
    data: ReadableBuffer | Opened,
    *,
    max_pixels: int | None = None,
    limits: Limits | None = None,
    **options: Any,
) -> bytes:
    """Inverse of `pack`: the file, or a PNG. options: of `decompress`. Raises as `decompress`, `remake.make`
    and `frames.make` do.

    Unless it was kept whole, the PNG has been read again and compared with the content, so that what is
    returned can take the place of the .ardm file.
    """
    limits = limits_of(limits, max_pixels)
    opened = _open(data, limits, options)
    if opened.header.whole:
        return opened.kept_file()
    return _make(opened.header, decompress(opened, limits=limits, **options))


@operation
def test(  # not one of pytest's
    data: ReadableBuffer | Opened,
    *,
    max_pixels: int | None = None,  # noqa: PT028
    limits: Limits | None = None,  # noqa: PT028
    **options: Any,
) -> None:
    """Raise what `unpack` would raise of any file; compresses no PNG unless a recipe is to be tried out."""
    limits = limits_of(limits, max_pixels)
    opened = _open(data, limits, options)
    header = opened.header
    if header.whole:
        opened.kept_file()
        return
    pixels = decompress(opened, limits=limits, **options)
    if way_of(header) in (Way.EXACT, Way.DIFFERENCE):
        _make(header, pixels)
    else:
        _image(header, pixels)


@operation
def holds(
    data: ReadableBuffer | Opened,
    file: bytes,
    *,
    exactly: bool = False,
    pixels: bool = True,
    limits: Limits | None = None,
) -> bool:
    """Whether an .ardm file is sound as far as its checksums tell, and of just this image file. exactly,
    pixels: what of it must come back, as of `pack`; by default whatever `unpack` gives.

    Pixels are not decoded, but hashed and compared with the header's hash; everything else is compared, and
    recipes are tried out. So it takes a moment, and rests on this: that an .ardm file decodes to what its
    header says was verified when it was made. Raises as `open_bytes`, `sources.look` and `Look.load` do.
    """
    limits = limits_of(limits, None)
    opened = open_bytes(data, limits)
    opened.check_payloads()
    header = opened.header
    if header.whole:
        return opened.kept_file() == file
    look = sources.look(file, limits.max_pixels)
    content, _, _, exactly = _take_apart(file, look, exactly, pixels, limits, remade=False)
    if way_of(header) == Way.CONTENT and (exactly or (_more_than_pixels(look) and not pixels)):
        return False
    image = content.image
    array, kind = as_samples(image.pixels, image.kind)
    shape = (header.height, header.width, header.channels)
    if (array.shape, kind, content.frame) != (shape, header.kind, _frame(header)):
        return False
    if pixel_digest(array) != header.digest:
        return False
    if content.frame:
        return True
    kept = _image(header, image.pixels)
    recipe = _recipe(header, kept)
    if recipe:
        return remake.make(kept, recipe) == file
    return _beside_pixels(kept) == _beside_pixels(image)


@operation
def rescue(
    data: ReadableBuffer | Opened,
    *,
    max_pixels: int | None = None,
    limits: Limits | None = None,
    **options: Any,
) -> tuple[bytes, bytes, Report]:
    """What can be had of a damaged file: (the file, a PNG of its size, grey, 1 bit, white where it is lost,
    report). Arguments and errors as of `recover`.

    If anything is lost, a PNG is made of the content anew, even if there is a recipe for the file as it was.
    """
    limits = limits_of(limits, max_pixels)
    opened = _open(data, limits, options, salvage=True)
    header = opened.header
    if header.whole:
        report = whole_report(opened)
        return opened.kept_file(), _mask(np.zeros((header.height, header.width), dtype=bool)), report
    pixels, mask, report = recover(opened, limits=limits, **options)
    if report.complete:
        with suppress(CorruptError):  # of a recipe that makes nothing; then the content is what can be had
            return _make(header, pixels), _mask(mask), report
    frame = _frame(header)
    image = (
        frames.make(pixels, header.kind, frame, checked=False) if frame else png.write(_image(header, pixels))
    )
    return image, _mask(mask), report


@operation
def complete(
    data: ReadableBuffer | Opened,
    *,
    max_pixels: int | None = None,
    limits: Limits | None = None,
    **options: Any,
) -> tuple[bytes, bytes, Completion]:
    """A file that was cut off, with the rest drawn: (the PNG, with a comment if anything in it is invented; a
    PNG of its size, grey, 1 bit, white where it is; what was done). Arguments and errors as of
    `codec.damage.invent.complete`.
    """
    limits = limits_of(limits, max_pixels)
    opened = _open(data, limits, options, salvage=True)
    pixels, mask, report = complete_pixels(opened, limits=limits, **options)
    image = _image(opened.header, pixels)
    if report.invented:
        image = replace(image, before=image.before + comment(f"ardm: {report}"))
    return png.write(image), _mask(mask), report


def part(opened: Opened, pixels: np.ndarray) -> bytes:
    """A PNG of a part or a preview of an image, with its palette and what else says how samples are to be
    shown; none of its other metadata. pixels: as `codec.open` gives them.
    """
    header = opened.header
    if header.whole:
        image = sources.look(opened.kept_file(), header.width * header.height).load().image
    else:
        image = Png(pixels, header.kind, False, b"", b"") if _frame(header) else _image(header, pixels)
    pixels = pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
    return png.write(replace(image, pixels=pixels, before=png.showing_chunks(image), after=b""))


def comment(text: str) -> bytes:
    """The PNG chunk that says something to whoever looks."""
    return png.chunk(b"tEXt", b"Comment\0" + text.encode("latin1"))


def _mask(mask: np.ndarray) -> bytes:
    """A PNG of bool (H, W): grey, 1 bit, white where true."""
    return png.write(Png(mask.astype(np.uint8), Kind(1), False, b"", b""))


def untrue(opened: Opened, anew: bool = False) -> list[str]:
    """What the PNG that is made of a file says of other bytes than its own. anew: it is made of the content,
    as by `rescue`, whatever else there is.
    """
    header = opened.header
    if header.whole or _frame(header) or (way_of(header) != Way.CONTENT and not anew):
        return []
    block = only(header, PNG_CHUNKS)
    return (
        png.bound_to_bytes(Png(np.zeros((1, 1), np.uint8), Kind(), False, *png.unpack_chunks(block)))
        if block
        else []
    )


def format_of(opened: Opened) -> Format | None:
    """What `unpack` (or `rescue`) will make; None if it is kept whole and no image that is known here."""
    if opened.header.whole:
        return Format.JPEG if opened.header.recoded else sources.sniff(opened.payload(0))
    frame = _frame(opened.header)
    return sources.sniff(frame.head) if frame else Format.PNG


def _metadata(content: Content, recipe: recipes.Recipe | None) -> tuple[tuple[int, bytes], ...]:
    image = content.image
    if content.frame:
        return ((SOURCE_FRAME, frames.pack(content.frame)),)
    block = png.pack_chunks(image)
    flag = (DIFFERENCE if recipe.different else RECIPE) if recipe else 0
    form = bytes([(INTERLACED if image.interlaced else 0) | flag]) + (recipes.pack(recipe) if recipe else b"")
    return ((PNG_CHUNKS, block),) * bool(block) + ((PNG_FORM, form),) * (form != b"\0")


def _open(
    data: ReadableBuffer | Opened, limits: Limits, options: dict[str, Any], salvage: bool = False
) -> Opened:
    """A file that another is to be made of, once its cost is known to be within the limits."""
    opened = open_bytes(data, limits, salvage)
    set_threads(options.get("threads") or 0)
    # which few do limit, and this takes up to 0.2 s
    kept = png.kept_size(only(opened.header, PNG_CHUNKS)) if limits.max_memory is not None else 0
    cost.check(cost.of(opened.header, opened.size, thread_count(), True, kept), limits)
    return opened


def _make(header: Header, pixels: np.ndarray) -> bytes:
    """What `_metadata` was made of, as a file. pixels: as `decompress` returns them."""
    frame = _frame(header)
    if frame:
        return frames.make(pixels, header.kind, frame)
    image = _image(header, pixels)
    recipe = _recipe(header, image)
    made = remake.make(image, recipe) if recipe else png.write(image)
    _check_made(made, image)
    return made


def _frame(header: Header) -> Frame | None:
    block = only(header, SOURCE_FRAME)
    if block and (only(header, PNG_CHUNKS) or only(header, PNG_FORM)):
        raise CorruptError("the metadata is that of a PNG and that of a file of another format at once.")
    return frames.unpack(block) if block else None


def _recipe(header: Header, image: Png) -> recipes.Recipe | None:
    flags, recipe = form(header)[0], form(header)[1:]
    return recipes.unpack(recipe, image, bool(flags & DIFFERENCE)) if flags & (RECIPE | DIFFERENCE) else None


def _image(header: Header, pixels: np.ndarray) -> Png:
    """The content of the PNG."""
    pixels = pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
    block = only(header, PNG_CHUNKS)
    image = Png(
        pixels,
        header.kind,
        bool(form(header)[0] & INTERLACED),
        *(png.unpack_chunks(block) if block else (b"", b"")),
    )
    if header.kind.indexed and not png.has_palette(image):
        raise UnsupportedError(
            "the file holds indices without their palette, which no PNG can; `codec.decompress` gives them."
        )
    try:
        png.check_chunks(image)
    except UnsupportedError as error:
        raise CorruptError(f"the kept PNG chunks do not fit the image: {error}.") from error
    return image


def _check_made(made: bytes, image: Png) -> None:
    """That a PNG file holds an image: a forged recipe may describe anything, and nothing shall rest on the
    encoder alone.

    Raises CorruptError for a file that is no sound PNG, which only a recipe can make, and VerifyError for
    another image.
    """
    try:
        same = png.holds(made, image)
    except ArdmError as error:
        raise CorruptError(
            f"the recipe of the original PNG file does not make a sound PNG ({error})."
        ) from error
    if not same:
        raise VerifyError(
            "the PNG made of the content holds another image; nothing was kept. Please report this file."
        )


def _beside_pixels(image: Png) -> tuple[bool, bytes, bytes]:
    """What a PNG has beside its pixels."""
    return image.interlaced, image.before, image.after


def _check_file(data: bytes, source: bytes) -> None:
    """That a file gives the source again, which it does not keep as it is."""
    try:
        same = open_bytes(data, NO_LIMITS).kept_file() == source
    except ArdmError:
        same = False
    if not same:
        raise VerifyError("the compressed file does not give the source again; please report this image.")


def _check(data: bytes, content: Content, recipe: recipes.Recipe | None) -> None:
    """That everything but the pixels, which `compress` has verified, can be had from the file."""
    header, image = container.read(data, NO_LIMITS)[0], content.image
    same = header.kind == image.kind and _frame(header) == content.frame
    if same and not content.frame:
        restored = _image(header, image.pixels)
        same = _beside_pixels(restored) == _beside_pixels(image) and _recipe(header, restored) == recipe
    if not same:
        raise VerifyError(
            "the compressed file does not hold what else is in the source as it was; please report this "
            "image."
        )
