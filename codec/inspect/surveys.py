"""`survey`: an .ardm file, looked at: what it says of itself, what its pixels cost, how it fills in, what
others need. Knows files and what is measured; no plots and no pages.

Large images are measured in part: a block of whole tiles in the middle, the sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from codec import text
from codec.container import Header
from codec.ending import operation
from codec.errors import UnsupportedError
from codec.formats import sources
from codec.inspect import beside, facts
from codec.inspect.beside import Size
from codec.inspect.facts import Facts
from codec.inspect.frames import Frame, fill_in, window_of
from codec.inspect.measure import PlaneBits, measure, whole
from codec.inspect.showing import as_png, kept, shown
from codec.limits import Limits
from codec.methods import METHODS, Extent, Method
from codec.opened import Opened, check_not_empty, open_bytes
from codec.parallel import set_threads
from codec.reader import ImageReader
from codec.samples import fold
from codec.samples import planes as split
from codec.tiles import load_predictor, predictor_of

SAMPLE = 2**20  # pixels that are measured at most, but at least a tile
PICTURE = 768  # longest side of pictures
WINDOW, MOMENTS = 176, 24  # side of the window that fills in, and how many moments of it

Box = tuple[int, int, int, int]  # left, upper, right, lower


@dataclass(frozen=True)
class Measured:
    """A plane of a tile of the sample."""

    index: int  # in `Facts.coded`
    bits: PlaneBits


@dataclass(frozen=True)
class Filling:
    """How a window of a tile fills in."""

    frames: tuple[Frame, ...]
    place: str  # of the window, in words
    asked: bool  # whether by the network, call by call; else pixel by pixel


@dataclass(frozen=True)
class Survey:
    """What there is to see of a file. `codec.inspect.plots` draws it, `codec.inspect.pages` tells it."""

    name: str
    facts: Facts
    notes: tuple[str, ...] = ()  # what could not be measured, or only in part
    shape: tuple[int, int] = (0, 0)  # height, width of the image
    picture: Image.Image | None = None  # RGB or RGBA, no side longer than PICTURE
    box: Box | None = None  # the sample, in pixels of the image
    measured: tuple[Measured, ...] = ()
    filling: Filling | None = None
    size: int = 0  # bytes of the sample's payloads, or of the file if the sample is all of it
    others: tuple[Size, ...] = field(default=())

    @property
    def complete(self) -> bool:
        """Whether the sample is the image."""
        return self.box == (0, 0, self.shape[1], self.shape[0])


@operation
def survey(
    source: bytes,
    name: str = "",
    *,
    sample: int | None = None,
    limits: Limits | None = None,
    threads: int = 0,
) -> Survey:
    """Look at an .ardm file. source: its bytes; name: what to call it; sample: pixels that are measured at
    most, None for a million; limits, threads: as of `codec.decompress`. Raises as that does.
    """
    check_not_empty(source)
    if text.is_text(source):
        note = "It holds a text, or another file that is no image: there are no pixels to look at."
        return Survey(name, facts.of_text(source), (note,), size=len(source))
    limits = limits or Limits()
    opened = open_bytes(source, limits)
    set_threads(threads)
    known = facts.of_image(opened)
    if opened.header.whole:
        return _look_whole(opened, name, known, limits)
    return _look(opened, name, known, sample or SAMPLE, ImageReader(opened, limits, "cpu", threads))


def _look_whole(opened: Opened, name: str, known: Facts, limits: Limits) -> Survey:
    """A file that is kept as it was."""
    shape = opened.header.height, opened.header.width
    how = "by a JPEG's coefficients" if opened.header.recoded else "as it was"
    notes, picture = [f"The file is kept {how}: no pixel was coded, so that none has a cost."], None
    try:
        image = sources.look(opened.kept_file(), limits.max_pixels).load().image
        picture = kept(image, PICTURE)
    except UnsupportedError as error:
        notes.append(f"Its pixels cannot be shown: {error}")
    return Survey(name, known, tuple(notes), shape, picture, size=opened.size)


def _look(opened: Opened, name: str, known: Facts, sample: int, reader: ImageReader) -> Survey:
    """A file of tiles."""
    header = opened.header
    box = sample_of(header, sample)
    complete = box == (0, 0, header.width, header.height)
    pixels = reader.read(None if complete else box)
    data = as_png(opened, pixels)
    image = shown(data, pixels)
    small = None if complete else reader.preview(PICTURE)
    picture = image.copy() if small is None else shown(as_png(opened, small), small)
    picture.thumbnail((PICTURE, PICTURE), Image.Resampling.LANCZOS)
    measured, filling = _measure(opened, pixels, image, box)
    return Survey(
        name,
        known,
        () if complete else (_of_sample(header, box),),
        (header.height, header.width),
        picture,
        box,
        tuple(measured),
        filling,
        opened.size if complete else sum(known.coded[m.index].size for m in measured),
        tuple(beside.sizes(pixels, image, data, header.kind.few)),
    )


def _of_sample(header: Header, box: Box) -> str:
    left, upper, right, lower = box
    return (
        f"The image has {header.width * header.height:,} pixels. Measured, and compared with other formats, "
        f"were the {(right - left) * (lower - upper):,} of the tiles in its middle: columns {left} to "
        f"{right - 1}, rows {upper} to {lower - 1}. Picture, facts and the methods are of all of it."
    )


def sample_of(header: Header, most: int) -> Box:
    """The block of whole tiles in the middle that has at most so many pixels, or one tile."""
    height, width = header.tile
    rows, columns = -(-header.height // height), -(-header.width // width)
    top, left, bottom, right = rows // 2, columns // 2, rows // 2 + 1, columns // 2 + 1

    def box(top: int, left: int, bottom: int, right: int) -> Box:
        return (
            left * width,
            top * height,
            min(right * width, header.width),
            min(bottom * height, header.height),
        )

    grown = True
    while grown:
        grown = False
        for step in ((0, -1, 0, 0), (0, 0, 0, 1), (-1, 0, 0, 0), (0, 0, 1, 0)):
            wider = top + step[0], left + step[1], bottom + step[2], right + step[3]
            if wider[0] < 0 or wider[1] < 0 or wider[2] > rows or wider[3] > columns:
                continue
            x, y, end_x, end_y = box(*wider)
            if (end_x - x) * (end_y - y) <= most:
                (top, left, bottom, right), grown = wider, True
    return box(top, left, bottom, right)


def _measure(
    opened: Opened, pixels: np.ndarray, image: Image.Image, box: Box
) -> tuple[list[Measured], Filling | None]:
    """(every plane of the sample's tiles, how the costliest of these fills in)."""
    header = opened.header
    predictor = predictor_of(header, "cpu")
    ruler = predictor or load_predictor()
    array = pixels.reshape(*pixels.shape[:2], header.channels).astype(header.kind.dtype, copy=False)
    array = fold(array) if header.folded else array
    left, upper, right, lower = box
    measured: list[Measured] = []
    candidates: list[tuple[Measured, np.ndarray, bool]] = []
    for tile, (top, first, height, width) in enumerate(header.tiles):
        if not (upper <= top < lower and left <= first < right):
            continue
        inside = slice(top - upper, top - upper + height), slice(first - left, first - left + width)
        for j, plane in enumerate(split(array[inside])):
            entry = header.entries[tile * header.planes + j]
            if METHODS[Method(entry.method)].counters:
                payload = opened.payload(tile * header.planes + j)
                coded = array[inside] if METHODS[Method(entry.method)].extent is Extent.TILE else plane
                bits = measure(coded, payload, entry.method, header.schedule, ruler, header.kind.few)
            else:
                bits = whole(plane.shape[:2], entry.length)
            measured.append(Measured(tile * header.planes + j, bits))
            if j == 0 and bits.call is not None:
                asked = entry.method == Method.NETWORK
                seen = plane if asked else np.asarray(image.convert("RGB"))[inside]
                candidates.append((measured[-1], seen, asked))
    if not candidates:
        return measured, None
    chosen, plane, asked = max(candidates, key=lambda c: float(c[0].bits.spent.mean()))
    window = window_of(chosen.bits, WINDOW)
    frames = fill_in(plane, chosen.bits, predictor if asked else None, window, MOMENTS)
    tile_top, tile_left = header.tiles[chosen.index // header.planes][:2]
    place = f"column {tile_left + window[1]}, row {tile_top + window[0]}"
    said = f"{window[3]} x {window[2]} pixels from {place} on"
    return measured, Filling(tuple(frames), said, asked)
