"""`recover`: what can be had of a damaged image, and which of its pixels are lost. Knows tiles; image files
are made in `codec.archive`.

Tiles are coded apart, each with its checksum, so that damage to one leaves the others as they were. What is
undamaged here is vouched for by the tiles' CRC-32 alone, since the hash of the whole image can only be
checked if nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ardm.exact.predictor import Predictor
from codec.coder.work import Progress
from codec.container import Header
from codec.ending import operation
from codec.errors import CorruptError
from codec.image import open_within, whole_pixels
from codec.limits import Limits, limits_of
from codec.opened import Opened
from codec.samples import plane_channels
from codec.tiles import as_given, decode_tiles, pixel_digest

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@dataclass(frozen=True)
class Report:
    """What became of an image."""

    tiles: int  # in all
    # (top, left, height, width, why) of every tile of which something is lost
    lost: tuple[tuple[int, int, int, int, str], ...]
    pixels_lost: int
    hash_matches: bool  # of all pixels; cannot be so if a tile is lost
    metadata_lost: bool  # text, colour profile or the like was damaged, and left out
    foreign_bytes: int  # after the end of the file

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong with the file."""
        return self.hash_matches and not self.metadata_lost and not self.foreign_bytes

    @property
    def complete(self) -> bool:
        """Whether nothing is lost; there may be foreign bytes after the end."""
        return self.hash_matches and not self.metadata_lost

    def __str__(self) -> str:
        said = (
            [f"{len(self.lost)} of {self.tiles} tiles are lost ({self.pixels_lost} pixels)"]
            if self.lost
            else []
        )
        if not self.lost and not self.hash_matches:
            said.append(
                "every tile seems sound, but the hash of the pixels does not match, so that none can be "
                "vouched for"
            )
        said += ["damaged metadata was left out"] * self.metadata_lost
        said = said or ["nothing is lost"]
        return "; ".join(
            said + [f"there are {self.foreign_bytes} foreign bytes at the end"] * bool(self.foreign_bytes)
        )


@operation
def recover(
    data: ReadableBuffer | Opened,
    *,
    device: str = "cpu",
    threads: int = 0,
    max_pixels: int | None = None,
    limits: Limits | None = None,
    predictor: Predictor | None = None,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray, Report]:
    """Decode the tiles of a damaged or truncated file that are not damaged.

    Arguments as of `codec.decompress`. Returns (pixels as `decompress` would, with a neutral value where they
    are lost: the middle of the range, indices 0, alpha opaque; mask, bool (H, W), True where anything of a
    pixel is lost or cannot be vouched for; report). Raises as `decompress` does if the header or the tile
    index is damaged, and CorruptError if nothing at all can be recovered; a file that keeps another whole is
    one piece, which must be undamaged.
    """
    limits = limits_of(limits, max_pixels)
    opened = open_within(data, limits, threads, salvage=True)
    header = opened.header
    if header.whole:
        report = whole_report(opened)
        pixels = whole_pixels(opened, limits)
        return pixels, np.zeros(pixels.shape[:2], dtype=bool), report
    if opened.size < opened.at + header.entries[0].length:
        raise CorruptError("nothing can be recovered: the file ends before its first tile does.")
    out, why = decode_tiles(opened, device, threads, predictor, progress, lambda job, work, error: str(error))
    if all(why):
        raise CorruptError(f"nothing can be recovered: no tile is undamaged; {why[0]}")
    mask, lost = _mark(header, out, why)
    matches = not lost and pixel_digest(out) == header.digest
    pixels = as_given(out, opened)
    if not lost and not matches:
        mask[:] = True
    report = Report(
        header.tile_count, tuple(lost), int(mask.sum()), matches, header.metadata_lost > 0, opened.foreign
    )
    return pixels, mask, report


def whole_report(opened: Opened) -> Report:
    """What is to be said of a file that keeps another whole. Raises CorruptError if that is damaged."""
    try:
        opened.kept_file()
    except CorruptError as error:
        raise CorruptError(
            "nothing can be recovered: the file keeps another whole, in one piece rather than in tiles, "
            f"and {error}"
        ) from error
    return Report(1, (), 0, True, opened.header.metadata_lost > 0, opened.foreign)


def _mark(
    header: Header, out: np.ndarray, why: list[str | None]
) -> tuple[np.ndarray, list[tuple[int, int, int, int, str]]]:
    """Give lost pixels of `out` their neutral value. why: of every plane, why it is lost, or None. Returns
    (mask, lost tiles).
    """
    mask = np.zeros(out.shape[:2], dtype=bool)
    colour, size = plane_channels(header.channels, header.kind)[0], header.kind.size
    neutral, opaque = 0 if header.kind.indexed else 1 << header.kind.depth - 1, (1 << header.kind.depth) - 1
    lost = []
    for i, (top, left, height, width) in enumerate(header.tiles):
        of_tile = why[i * header.planes : (i + 1) * header.planes]
        if any(of_tile):
            part = (slice(top, top + height), slice(left, left + width))
            mask[part] = True
            if any(of_tile[:size]):
                out[part][..., :colour] = neutral
            if any(of_tile[size:]):
                out[part][..., colour:] = opaque
            lost.append((top, left, height, width, next(filter(None, of_tile))))
    return mask, lost
