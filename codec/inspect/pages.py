"""A survey as one HTML page that needs nothing else: style, script and pictures are in it. Knows surveys,
plots and HTML; no files.

Whatever a file holds or is called stands on the page as words, never as HTML; a policy on the page lets its
own script run and no other, and nothing be loaded.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from PIL import Image

from codec.inspect import plots
from codec.inspect.drawings import Picture, picture, words
from codec.inspect.facts import Fact
from codec.inspect.look import SCRIPT, STYLE
from codec.inspect.measure import Fineness
from codec.inspect.surveys import Survey
from codec.version import __version__

FINENESS = {
    Fineness.PIXEL: "the file's bits are those of the network, exact for every pixel",
    Fineness.PHASE: "measured for each phase of a call, and shared within it as the network's bits are",
    Fineness.STRIP: "measured for each strip of rows, and shared within it as the network's bits are",
    Fineness.ROW: "measured for each row, and shared within it {ruler}",
    Fineness.PLANE: "known for the plane of a tile as a whole, and spread evenly",
}
RULERS = {True: "as the network's bits would be, though it coded none of them", False: "evenly"}


def page(seen: Survey) -> str:
    """The page. Its sums are those of the file; what is not exact says so."""
    parts = [_head(seen), *(f'<p class="note">{words(note)}</p>' for note in seen.notes)]
    if seen.facts.kind == "text":
        parts.append(_section("What the file says", _table(seen.facts.rows)))
        return _document(seen, parts)
    if seen.picture:
        parts.append(_boxed("pair", [_picture(seen), _heat(seen)]))
    facts = _section("What the file says", _table(seen.facts.rows))
    ways = [_filling, _beside, _calls, _levels, _channels, _methods]
    parts.append(_boxed("cards", [*(way(seen) for way in ways), facts, _metadata(seen)]))
    return _document(seen, parts)


def _document(seen: Survey, parts: Sequence[str]) -> str:
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    title = f"{seen.name or 'An .ardm file'}, inspected"
    body = "\n".join(parts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{words(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
<footer>Made by ardm-inspect {words(__version__)}. This page loads nothing and sends nothing.</footer>
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _head(seen: Survey) -> str:
    said = seen.facts.described
    if seen.facts.kind == "text":
        lead = f"{said['size']:,} bytes in <b>{said['bytes']:,} bytes</b>"
    else:
        lead = (
            f"{said['width']:,} x {said['height']:,} pixels in <b>{said['bytes']:,} bytes</b>, "
            f"{said['bits_per_subpixel']:.3f} bits per subpixel"
        )
        least = min((other for other in seen.others if other.size), key=lambda o: o.size or 0, default=None)
        if least and least.size and seen.size < least.size:
            lead += f", {100 * (1 - seen.size / least.size):.1f} % less than {least.label}"
    return f'<header><h1>{words(seen.name or "An .ardm file")}</h1><p class="lead">{lead}</p></header>'


def _section(title: str, body: str, how: str = "") -> str:
    said = f'<p class="how">{how}</p>' if how else ""
    return f"<section><h2>{words(title)}</h2>{said}{body}</section>"


def _boxed(name: str, parts: Sequence[str]) -> str:
    return f'<div class="{name}">{"".join(parts)}</div>'


def _table(rows: Sequence[Fact]) -> str:
    return f"<table><tbody>{''.join(_row(row) for row in rows)}</tbody></table>"


def _row(row: Fact) -> str:
    return f'<tr><th scope="row">{words(row.label)}</th><td>{words(row.value)}</td></tr>'


def _image(shown: Picture, alt: str, sharp: bool = False) -> str:
    style = ' class="pixels"' if sharp else ""
    return f'<img{style} src="{shown.url}" width="{shown.width}" height="{shown.height}" alt="{words(alt)}">'


def _picture(seen: Survey) -> str:
    shown = plots.photo(seen)
    assert shown is not None
    small = max(shown.width, shown.height) < 200
    said = (
        "The image, made smaller to fit" if max(seen.shape) > max(shown.width, shown.height) else "The image"
    )
    alt = f"The image in the file, {seen.shape[1]} x {seen.shape[0]} pixels"
    return _section(
        "The picture", f"<figure>{_image(shown, alt, small)}<figcaption>{said}.</figcaption></figure>"
    )


def _heat(seen: Survey) -> str:
    if not seen.measured:
        return ""
    if plots.even(seen):
        said = f"All pixels share {plots.hottest(seen):.2f} bits each: the coder of this file tells no more."
        return _section("Where the bits go", f"<p>{said}</p>")
    shown = plots.heat(seen)
    small = max(shown.width, shown.height) < 200
    where = "" if seen.complete else " of the tiles in the middle"
    alt = f"Heat map{where}: brighter where more bits were spent per pixel"
    caption = (
        f"Bits{where} by pixel, all channels together; they add up to the payload. They are {_how(seen)}."
    )
    figure = f"{_image(shown, alt, small)}{plots.heat_scale(seen)}<figcaption>{caption}</figcaption>"
    return _section("Where the bits go", f"<figure>{figure}</figure>")


def _how(seen: Survey) -> str:
    """How finely it was measured, of all methods in the sample."""
    lines: dict[str, None] = {}
    for m in seen.measured:
        said = FINENESS[m.bits.fineness].format(ruler=RULERS[m.bits.network is not None])
        lines[said] = None
    return "; or ".join(lines)


def _filling(seen: Survey) -> str:
    filling = seen.filling
    if not filling:
        return ""
    unit = "call" if filling.asked else "pixel"
    pictures = [picture(Image.fromarray(frame.pixels), 62) for frame in filling.frames]
    last = len(pictures)
    images = []
    for i, (shown, frame) in enumerate(zip(pictures, filling.frames, strict=True)):
        made = f"{frame.calls:,} {unit}{'s' * (frame.calls != 1)}"
        said = f"{made}, {_percent(frame.known)} of what is shown here known"
        hidden = " hidden" if i + 1 < last else ""
        images.append(
            f'<img class="pixels" src="{shown.url}" width="{shown.width}" height="{shown.height}" '
            f'alt="{words(said)}" data-said="{words(said)}"{hidden}>'
        )
    steps = "network call after call" if filling.asked else "pixel after pixel, without the network"
    unknown = "as the network expects it" if filling.asked else "grey"
    how = (
        f"{words(filling.place)}, where the image costs most, {steps}. What is known is as it is, what is "
        f"not is {unknown}."
    )
    controls = (
        '<div class="slider" id="controls" hidden><button type="button" id="play">Play</button>'
        f'<label for="moment">{"Network calls made" if filling.asked else "Pixels coded"}</label>'
        f'<input type="range" id="moment" min="1" max="{last}" value="{last}" step="1"></div>'
        '<p><output id="said" for="moment"></output></p>'
    )
    return _section(
        "Call by call" if filling.asked else "Pixel by pixel",
        f'<div class="frames">{"".join(images)}</div>{controls}',
        how,
    )


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return "less than 0.1 %"
    return f"{100 * share:.0f} %" if share in (0, 1) or 0.01 <= share <= 0.99 else f"{100 * share:.1f} %"


def _calls(seen: Survey) -> str:
    drawn = plots.calls(seen)
    if not drawn:
        return ""
    raster = seen.facts.described.get("order") == "raster"
    title = "Along the order" if raster else "Network calls"
    how = (
        "Bits per subpixel, from the first rows of the tiles to the last."
        if raster
        else ("Bits per subpixel of each call, coarse to fine. Later calls know more.")
    )
    if not plots.plain(seen):
        how += (
            " The network's bits are what it alone would take; mixing learns from the image as well."
            if raster
            else (" Filled: spent in the file. Frames: the network's bits, what it alone would take.")
        )
    return _section(title, str(drawn), how)


def _levels(seen: Survey) -> str:
    drawn = plots.levels(seen)
    how = "Level n is every 4<sup>n</sup>-th row and column, without those of the levels above it."
    return _section("Levels", str(drawn), how) if drawn else ""


def _channels(seen: Survey) -> str:
    drawn = plots.channels(seen)
    how = "The network's bits: a channel is coded knowing those before it. " + (
        "They are the file's." if plots.plain(seen) else "In the file the channels share one stream."
    )
    return _section("Channels", str(drawn), how) if drawn else ""


def _methods(seen: Survey) -> str:
    if seen.facts.described["whole_file"]:
        return ""
    parts = [str(plots.methods(seen))]
    several = len({c.tile for c in seen.facts.coded}) > 1
    for plane, name in enumerate(seen.facts.planes if several else ()):
        drawn = plots.tiles(seen, plane)
        many = "Tiles are too many to be drawn."
        parts.append(f'<p class="how">Tiles of {words(name)}</p>{drawn or f"<p>{many}</p>"}')
    if len(seen.facts.planes) > 1:
        size = [
            sum(c.size for c in seen.facts.coded if c.plane == i) for i, _ in enumerate(seen.facts.planes)
        ]
        rows = [Fact(n, f"{s:,} bytes") for n, s in zip(seen.facts.planes, size, strict=True)]
        parts.append(f'<p class="how">Payloads of the planes</p>{_table(rows)}')
    how = "Which coder took which tile: the smallest of those tried."
    if several:
        how += " Stronger colours: more bits per pixel."
    return _section("Methods", "".join(parts), how)


def _beside(seen: Survey) -> str:
    drawn = plots.beside(seen)
    left_out = [f"{other.label} is left out: {other.why}." for other in seen.others if other.size is None]
    if not drawn:
        return ""
    how = "Bytes for the same pixels, without loss."
    if not seen.complete:
        how += " Of the tiles that were measured."
    notes = "".join(f'<p class="how">{words(note)}</p>' for note in left_out)
    return _section("Beside other formats", str(drawn) + notes, how)


def _metadata(seen: Survey) -> str:
    rows = seen.facts.metadata
    return _section("Metadata", _table(rows), "Kept beside the pixels.") if rows else ""
