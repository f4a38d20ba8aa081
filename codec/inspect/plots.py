"""A survey as drawings, for pages and notebooks: each function draws one thing, and what it returns shows
itself in a notebook. Knows surveys and drawings; no files and no HTML.
"""

from __future__ import annotations

import numpy as np

from codec.inspect import sums
from codec.inspect.drawings import (
    Bar,
    Cell,
    Drawing,
    Picture,
    bars,
    columns,
    heat_map,
    lines,
    picture,
    scale,
    tile_map,
)
from codec.inspect.facts import Coded, by_method
from codec.inspect.surveys import PICTURE, Survey

# one colour each
METHODS = (
    "network",
    "graphics",
    "high depth",
    "stored",
    "whole file",
    "included",
    "palette",
    "converted",
    "jpeg",
    "JPEG file",
)
HOTTEST = 0.995  # share of pixels that are not the hottest colour
MOST_TILES, MOST_COLUMNS = 3000, 120


def photo(seen: Survey) -> Picture | None:
    """The image, small enough for a page; None if it has no pixels."""
    return picture(seen.picture) if seen.picture else None


def heat(seen: Survey) -> Picture:
    """Bits per pixel that the file spends where, by colour."""
    return heat_map(sums.heat(seen), hottest(seen), PICTURE)


def heat_scale(seen: Survey) -> Drawing:
    """What the colours of `heat` mean."""
    return scale(hottest(seen), "bits per pixel")


def even(seen: Survey) -> bool:
    """Whether nothing is known of where bits were spent."""
    bits = sums.heat(seen)
    return float(np.ptp(bits)) <= 1e-9 * float(bits.max())


def hottest(seen: Survey) -> float:
    """Bits per pixel of the hottest colour."""
    return float(np.quantile(sums.heat(seen), HOTTEST)) or 1.0


def levels(seen: Survey) -> Drawing | None:
    """Bits of each level, coarse to fine; None in raster order, which has none."""
    rows = sums.by_level(seen)
    shown = [
        Bar(
            step.label,
            step.spent,
            f"{step.spent / 8:,.0f} bytes, {step.spent / step.subpixels:.2f} bits/subpixel",
            5 if step.level is None else (i - 1) % 5,
        )
        for i, step in enumerate(rows)
    ]
    return bars(shown, "Bytes of each level") if shown else None


def calls(seen: Survey) -> Drawing | None:
    """Bits per subpixel of each network call, or of bands of rows in raster order; None without a network."""
    rows = [step for step in sums.by_call(seen) if step.subpixels and step.label != "root"]
    if not rows:
        return None
    if rows[0].level is None:
        series = [("the network's bits", [step.network / step.subpixels for step in rows])]
        if not plain(seen):
            series.insert(0, ("spent in the file", [step.spent / step.subpixels for step in rows]))
        return lines(series, ("first rows", "last rows"), "Bits per subpixel along raster order")
    values = [
        [step.spent / step.subpixels]
        if plain(seen)
        else [step.network / step.subpixels, step.spent / step.subpixels]
        for step in rows
    ]
    names = [f"{step.label}, {step.subpixels:,} subpixels" for step in rows]
    groups = [f"level {step.level}" for step in rows]
    return columns(
        values[:MOST_COLUMNS], names[:MOST_COLUMNS], groups[:MOST_COLUMNS], "Bits per subpixel of each call"
    )


def channels(seen: Survey) -> Drawing | None:
    """The network's bits of each channel; None if it coded none."""
    shown = [
        Bar(label, bits / count, f"{bits / count:.3f} bits/subpixel", min(i, 5))
        for i, (label, bits, count) in enumerate(sums.by_channel(seen))
        if count
    ]
    return bars(shown, "The network's bits of each channel") if shown else None


def methods(seen: Survey) -> Drawing:
    """Bytes of each method, of the whole image."""
    shown = [
        Bar(
            f"{method}, {count:,} plane{'s' * (count > 1)} of tiles",
            size,
            f"{size:,} bytes",
            METHODS.index(method),
        )
        for method, count, size in by_method(seen.facts)
    ]
    return bars(shown, "Bytes of each method")


def tiles(seen: Survey, plane: int = 0) -> Drawing | None:
    """Which method took which tile of a plane, stronger where it took more bits per pixel; None where tiles
    are too many to be seen.
    """
    cells = [c for c in seen.facts.coded if c.plane == plane]
    if len(cells) > MOST_TILES:
        return None
    most = max(_density(c) for c in cells) or 1
    shown = [
        Cell(
            c.box,
            METHODS.index(c.method),
            _density(c) / most,
            f"row {c.box[0]}, column {c.box[1]}: {c.method}, {c.size:,} bytes, "
            f"{_density(c):.2f} bits per pixel",
        )
        for c in cells
    ]
    return tile_map(shown, seen.shape, f"Method of each tile, {seen.facts.planes[plane]}")


def beside(seen: Survey) -> Drawing | None:
    """The size beside other formats; None if these were not tried."""
    tried = [other for other in seen.others if other.size is not None]
    if not tried:
        return None
    shown = [
        Bar(
            "ardm, this file" if seen.complete else "ardm, these tiles",
            seen.size,
            f"{seen.size:,} bytes",
            0,
            True,
        )
    ]
    shown += [
        Bar(other.label, other.size or 0, f"{other.size:,} bytes, {(other.size or 0) / seen.size:.2f} x", 5)
        for other in tried
    ]
    return bars(shown, "Sizes")


def plain(seen: Survey) -> bool:
    """Whether the network alone codes, so that its bits are those of the file."""
    return seen.facts.described.get("coding") == "plain"


def _density(c: Coded) -> float:
    return 8 * c.size / (c.box[2] * c.box[3])
