"""Images drawn from the codec's own models: new ones (`draw`), and what is missing of a file that was cut off
(`complete`). Knows tiles and planes.

What is drawn is invented: plausible to the model, true of nothing. Both functions give the same pixels for
the same seed on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ardm.exact.predictor import Predictor
from ardm.orders import PHASES, level_shapes
from codec import container
from codec.coder.continuation import Continuation
from codec.coder.work import Progress, Work
from codec.container import Header
from codec.ending import operation
from codec.errors import ArdmError, CorruptError
from codec.image import open_within
from codec.limits import Limits, limits_of
from codec.methods import Method, coder_of
from codec.opened import Opened
from codec.parallel import set_threads, thread_count
from codec.scheduling import schedule_for
from codec.settings import Settings
from codec.tiles import PlaneJob, as_given, decode_tiles, load_predictor, owned, pixel_digest

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@dataclass(frozen=True)
class Completion:
    """What was done to complete an image."""

    pixels: int  # in all
    invented: int  # pixels of which anything is
    planes: int  # of tiles, in all
    incomplete: tuple[str, ...]  # of every plane that was not whole: which, and why

    def __str__(self) -> str:
        if not self.invented:
            return "nothing is invented"
        return f"{self.invented} of {self.pixels} pixels are invented, not restored"


@operation
def draw(
    height: int,
    width: int,
    *,
    seed: int = 0,
    budget: int | None = None,
    adaptive: bool = False,
    device: str = "cpu",
    predictor: Predictor | None = None,
) -> np.ndarray:
    """A new image, from the shipped photo model in lattice order.

    height, width: 5 to 2048, one tile. budget: network calls; None: one for every phase of every stage.
    Pixels of one call are drawn independently of each other, so that small budgets look noisy. adaptive: draw
    from what the codec uses by default, which learns from the image while it goes; it takes what it has drawn
    for evidence, and often ends in noise. Without it, the network's own distributions count.

    Returns uint8 (H, W, 3). Raises ValueError for an argument out of range.
    """
    if not all(5 <= n <= container.MAX_TILE for n in (height, width)):
        raise ValueError(
            f"an image that is drawn must have 5 to {container.MAX_TILE} pixels each way, got {width} x "
            f"{height}."
        )
    most = PHASES * (len(level_shapes(height, width)) - 1)
    if budget is not None and not 1 <= budget <= most:
        raise ValueError(
            f"budget must be 1 to {most} network calls for {width} x {height} pixels, got {budget}."
        )
    _check_seed(seed)
    set_threads(0)
    predictor = predictor or load_predictor(device)
    settings = Settings(budget=budget or most, order="lattice", plain=not adaptive)
    schedule = schedule_for(predictor.weights, height, width, settings)
    work = Work(schedule, predictor, thread_count(), continuation=Continuation([seed, 0], 1))
    return owned(coder_of(Method.NETWORK).decode(b"", (height, width, 3), work))


@operation
def complete(
    data: ReadableBuffer | Opened,
    *,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 0,
    max_pixels: int | None = None,
    limits: Limits | None = None,
    predictor: Predictor | None = None,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray, Completion]:
    """Decode what there is of a file that was cut off, and draw the rest from the same models.

    Other arguments as of `codec.decompress`. Returns (pixels as `decompress` would; mask, bool (H, W), True
    where anything of a pixel is invented; what was done). What was decoded before the end of a tile that is
    cut short is not in the mask, though only the whole tile has a checksum; from the first row of a phase on
    in which the coder saw a word that is not there, pixels are in it. A tile that is all there, but damaged,
    is drawn anew as a whole. Planes that were stored rather than modelled, tiles of which not even the
    palette is there, and low bytes of 16 bits that are coded apart, cannot be drawn: what is missing of them
    is grey (alpha opaque, indices 0), or as their filter continues it; of tiles with a palette, whatever is
    drawn beyond it is its last colour.

    A plane's pixels lie one after the other, all channels of each, so that about as many are kept as there
    are bytes. Three channels of 16 bits lie one after the other. Of planes coded plainly in lattice or random
    order only the root is kept.

    Raises as `decompress` does if the header or the tile index is damaged or cut, CorruptError if the file
    keeps a PNG whole, ValueError for a bad seed.
    """
    _check_seed(seed)
    opened = open_within(data, limits_of(limits, max_pixels), threads, salvage=True)
    header = opened.header
    if header.whole:
        raise CorruptError(
            "the file cannot be completed: it keeps a PNG whole, in one piece that no model knows."
        )

    def mend(job: PlaneJob, work: Work, error: ArdmError) -> tuple[str, np.ndarray]:
        length, payload = header.entries[job.index].length, opened.payload(job.index)
        if len(payload) == length:  # damaged, and who knows where
            payload = b""

        def go_on(payload: bytes) -> np.ndarray:
            continuation = Continuation([seed, job.index], length - len(payload), _fill(header, job.index))
            job.target[:] = job.decode_payload(
                payload, replace(work, progress=None, continuation=continuation)
            )
            return continuation.drawn

        try:
            drawn = go_on(payload)
        except ArdmError:  # damaged before it was cut
            drawn = go_on(b"")
        if progress:
            progress(job.target.nbytes)
        return str(error), drawn

    out, mended = decode_tiles(opened, device, threads, predictor, progress, mend)
    mask = np.zeros(out.shape[:2], dtype=bool)
    for i, one in enumerate(mended):
        if one:
            top, left, height, width = header.tiles[i // header.planes]
            mask[top : top + height, left : left + width] |= one[1]
    if not mask.any() and pixel_digest(out) != header.digest:
        raise CorruptError(
            "nothing had to be invented, but the hash of the decoded pixels does not match; nobody knows "
            "which of them are wrong."
        )
    if header.kind.few:  # no model knows what is out of range
        known = out[~mask]
        top = (
            (1 << header.kind.depth) - 1 if not header.kind.indexed else int(known.max()) if known.size else 0
        )
        out[mask] = np.where(out[mask] > top, 0, out[mask])
    return (
        as_given(out, opened),
        mask,
        Completion(mask.size, int(mask.sum()), len(mended), tuple(one[0] for one in mended if one)),
    )


def _fill(header: Header, index: int) -> int:
    """A neutral value for a plane's bytes: alpha opaque, indices 0, else the middle of the range."""
    colours = header.kind.size  # planes of a tile before those of alpha
    if index % header.planes >= colours:
        return 255
    return 0 if header.kind.indexed else 1 << min(header.kind.depth, 8) - 1


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be 0 to 2**63 - 1, got {seed}.")
