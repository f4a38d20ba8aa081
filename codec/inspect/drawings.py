"""Drawings: bars, lines, columns and maps as SVG, heat maps and photos as pictures. Knows numbers and words;
no files and nothing of what the numbers mean.

A drawing takes the colour of text from where it is shown, so that it is right on light and dark ground. All
words are escaped.
"""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

WIDTH, MAP_HEIGHT = 400, 210  # of a drawing, in its own units
COLOURS = (
    "#3987c9",
    "#e07b39",
    "#8a63c9",
    "#2f9e6e",
    "#c9506b",
    "#8d939c",
    "#b59a1c",
    "#1fa0b4",
    "#7a4b2a",
    "#b04fb8",
)
# stops of the colours of heat, cold to hot
HEAT = ((12, 11, 40), (62, 26, 115), (141, 41, 129), (214, 69, 98), (251, 140, 60), (252, 253, 191))
FONT = 'font-family="system-ui, sans-serif" font-size="13"'


@dataclass(frozen=True)
class Drawing:
    """An SVG, which notebooks show as it is."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg

    def __str__(self) -> str:
        return self.svg


@dataclass(frozen=True)
class Picture:
    """A picture in a format that browsers know, which notebooks show as it is."""

    data: bytes
    form: str  # "webp" or "png"
    width: int
    height: int

    @property
    def url(self) -> str:
        """The picture itself as an address."""
        return f"data:image/{self.form};base64,{base64.b64encode(self.data).decode()}"

    def _repr_html_(self) -> str:
        return f'<img alt="" width="{self.width}" height="{self.height}" src="{self.url}">'


@dataclass(frozen=True)
class Bar:
    """A row of `bars`."""

    label: str
    value: float
    said: str  # the value in words
    colour: int = 0
    strong: bool = False


def words(text: object) -> str:
    """Any text, as it may stand in HTML and SVG: names of files and what files hold may have anything in
    them."""
    safe = str(text).encode("utf-8", "backslashreplace").decode()
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in safe)
    return html.escape(shown, quote=True)


def picture(image: Image.Image, quality: int = 80, lossless: bool = False) -> Picture:
    """A picture as WebP, for people to look at."""
    out, profile = io.BytesIO(), image.info.get("icc_profile")
    more = {"icc_profile": profile} if profile else {}
    image.save(out, "WEBP", quality=quality, method=6, lossless=lossless, **more)
    return Picture(out.getvalue(), "webp", *image.size)


def heat_map(values: np.ndarray, top: float, side: int) -> Picture:
    """Values (h, w) as colours, 0 the coldest and `top` and all above the hottest; no side longer than
    `side`, averaged.
    """
    scale = min(1.0, side / max(values.shape))
    size = max(1, round(values.shape[1] * scale)), max(1, round(values.shape[0] * scale))
    small = Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BOX)
    place = (np.asarray(small) / max(top, 1e-9)).clip(0, 1) * (len(HEAT) - 1)
    stops = np.array(HEAT, float)
    colours = np.stack([np.interp(place, np.arange(len(HEAT)), stops[:, c]) for c in range(3)], 2)
    return picture(Image.fromarray(np.rint(colours).astype(np.uint8)), 70)


def scale(top: float, unit: str) -> Drawing:
    """The colours of heat from 0 to `top`."""
    stops = "".join(
        f'<stop offset="{i / (len(HEAT) - 1):.2f}" stop-color="rgb{c}"/>' for i, c in enumerate(HEAT)
    )
    ticks = "".join(
        f'<text x="{x}" y="34" text-anchor="{anchor}">{words(said)}</text>'
        for x, anchor, said in (
            (0, "start", f"0 {unit}"),
            (WIDTH / 2, "middle", f"{top / 2:.3g}"),
            (WIDTH, "end", f"{top:.3g} and more"),
        )
    )
    body = (
        f'<defs><linearGradient id="heat">{stops}</linearGradient></defs>'
        f'<rect width="{WIDTH}" height="14" rx="3" fill="url(#heat)"/>{ticks}'
    )
    return _drawing(body, 40, f"Scale of colours from 0 to {top:.3g} {unit}")


def bars(rows: Sequence[Bar], title: str) -> Drawing:
    """Bars that lie, one below the other, each with its words above it."""
    top, parts = max((row.value for row in rows), default=0) or 1, []
    for i, row in enumerate(rows):
        y, weight = 42 * i, ' font-weight="700"' * row.strong
        parts.append(
            f'<text x="0" y="{y + 14}"{weight}>{words(row.label)}</text>'
            f'<text x="{WIDTH}" y="{y + 14}" text-anchor="end"{weight}>{words(row.said)}</text>'
            f'<rect x="0" y="{y + 20}" width="{WIDTH}" height="12" rx="2" fill="currentColor" opacity=".08"/>'
            f'<rect x="0" y="{y + 20}" width="{max(1.0, WIDTH * row.value / top):.1f}" height="12" rx="2" '
            f'fill="{COLOURS[row.colour]}"/>'
        )
    said = "; ".join(f"{row.label}: {row.said}" for row in rows)
    return _drawing("".join(parts), 42 * len(rows), f"{title}. {said}")


def columns(
    values: Sequence[Sequence[float]], names: Sequence[str], groups: Sequence[str], title: str
) -> Drawing:
    """Columns side by side. values: of each place one, or two of which the first stands behind as a frame;
    names: of the places, which are shown when pointed at; groups: what stands below, once for neighbours.
    """
    height, left = 200, 34
    top = _round_up(max((max(v) for v in values), default=1) or 1)
    step = (WIDTH - left) / max(1, len(values))
    parts = [_rules(top, height, left)]
    order = list(dict.fromkeys(groups))
    for i, (value, name, group) in enumerate(zip(values, names, groups, strict=True)):
        x, wide = left + i * step + step * 0.1, step * 0.8
        colour = COLOURS[order.index(group) % len(COLOURS)]
        behind, front = value[0], value[-1]
        y, y_behind = (8 + (height - 8) * (1 - v / top) for v in (front, behind))
        parts.append(
            f'<g><title>{words(name)}</title><rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" '
            f'height="{height - y:.1f}" fill="{colour}"/>'
        )
        if len(value) > 1:
            parts.append(
                f'<rect x="{x:.1f}" y="{y_behind:.1f}" width="{wide:.1f}" height="{height - y_behind:.1f}" '
                'fill="none" stroke="currentColor" stroke-width="1"/>'
            )
        parts.append("</g>")
    for group in order:
        places = [i for i, g in enumerate(groups) if g == group]
        x = left + (places[0] + places[-1] + 1) / 2 * step
        if len(places) * step > 7.5 * len(group) or len(order) == 1:
            parts.append(f'<text x="{x:.1f}" y="{height + 18}" text-anchor="middle">{words(group)}</text>')
    said = "; ".join(f"{n}: {v[-1]:.2f}" for n, v in zip(names, values, strict=True))
    return _drawing("".join(parts), height + 26, f"{title}. {said}")


def lines(series: Sequence[tuple[str, Sequence[float]]], ends: tuple[str, str], title: str) -> Drawing:
    """Lines over the same places, from left to right. ends: what stands below at both ends."""
    height, left = 200, 34
    top = _round_up(max((max(v) for _, v in series), default=1) or 1)
    parts = [_rules(top, height, left)]
    for i, (name, values) in enumerate(series):
        step, dashes = (WIDTH - left) / max(1, len(values) - 1), ' stroke-dasharray="5 3"' * (i > 0)
        points = " ".join(
            f"{left + j * step:.1f},{8 + (height - 8) * (1 - v / top):.1f}" for j, v in enumerate(values)
        )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{COLOURS[i]}" stroke-width="2" '
            f'stroke-linejoin="round"{dashes}/>'
            f'<line x1="{left}" x2="{left + 24}" y1="{height + 42 + 20 * i}" y2="{height + 42 + 20 * i}" '
            f'stroke="{COLOURS[i]}" stroke-width="2"{dashes}/>'
            f'<text x="{left + 32}" y="{height + 46 + 20 * i}">{words(name)}</text>'
        )
    parts.append(f'<text x="{left}" y="{height + 18}">{words(ends[0])}</text>')
    parts.append(f'<text x="{WIDTH}" y="{height + 18}" text-anchor="end">{words(ends[1])}</text>')
    said = "; ".join(f"{n}: mean {sum(v) / max(1, len(v)):.2f}" for n, v in series)
    return _drawing("".join(parts), height + 34 + 20 * len(series), f"{title}. {said}")


@dataclass(frozen=True)
class Cell:
    """A rectangle of `tile_map`."""

    box: tuple[int, int, int, int]  # top, left, height, width, in pixels
    colour: int
    weight: float  # 0 to 1: how strong
    said: str


def tile_map(cells: Sequence[Cell], shape: tuple[int, int], title: str) -> Drawing:
    """Tiles of an image of a shape (height, width) where they are, each with its words when pointed at."""
    zoom = min(WIDTH / shape[1], MAP_HEIGHT / shape[0])
    parts = []
    for cell in cells:
        top, left, height, width = (n * zoom for n in cell.box)
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(1.0, width - 1):.1f}" '
            f'height="{max(1.0, height - 1):.1f}" fill="{COLOURS[cell.colour]}" '
            f'fill-opacity="{0.25 + 0.75 * cell.weight:.2f}"><title>{words(cell.said)}</title></rect>'
        )
    return _drawing("".join(parts), max(4, math.ceil(shape[0] * zoom)), title)


def _drawing(body: str, height: float, said: str) -> Drawing:
    """said: for whoever cannot see it."""
    return Drawing(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-label="{words(said)}" {FONT} fill="currentColor" '
        f'color="currentColor">{body}</svg>'
    )


def _rules(top: float, height: int, left: int) -> str:
    """Lines across at round numbers."""
    return "".join(
        f'<line x1="{left}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" opacity=".18"/>'
        f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{top * part:.3g}</text>'
        for part in (0, 0.5, 1)
        for y in (8 + (height - 8) * (1 - part),)
    )


def _round_up(value: float) -> float:
    """To 1, 2, 4, 6, 8 or 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(n * power for n in (1, 2, 4, 6, 8, 10) if n * power >= value * 0.999)
