"""Sums over what was measured: by channel, by level, by network call, by pixel. Knows a survey; no files and
no plots.

Of planes that the network coded, unless said otherwise. Spent is what they take in the file, the network's
bits what they would take if it alone coded, learning nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from codec.inspect.measure import ROOT, PlaneBits
from codec.inspect.surveys import Measured, Survey
from codec.methods import METHODS

BANDS = 48  # into which raster order is cut
# in coding order: of a plane in RGB, and of one whose colours were converted back
CHANNELS = "green, first", "red, given green", "blue, given both"
DIFFERENCES = "luma, first", "red less luma", "blue less luma"
NETWORKED = {row.label for row in METHODS.values() if row.network}


@dataclass(frozen=True)
class Step:
    """A network call, or a band of rows in raster order, or a stage."""

    label: str
    level: int | None  # None in raster order
    subpixels: int
    network: float  # bits
    spent: float


def by_channel(seen: Survey) -> list[tuple[str, float, int]]:
    """(channel, the network's bits, subpixels that it coded) of planes that the network coded."""
    out: dict[str, tuple[float, int]] = {}
    for m in _networked(seen):
        bits = m.bits
        assert bits.network is not None
        assert bits.call is not None
        plane = seen.facts.planes[seen.facts.coded[m.index].plane]
        names = DIFFERENCES if seen.facts.coded[m.index].method == "converted" else CHANNELS
        coded = int((bits.call != ROOT).sum())
        for i, part in enumerate(bits.network):
            label = plane
            if len(bits.network) == 3:
                label = names[i] if len(seen.facts.planes) == 1 else f"{plane}: {names[i]}"
            before = out.get(label, (0.0, 0))
            out[label] = before[0] + float(part.sum()), before[1] + coded
    return [(label, *value) for label, value in out.items()]


def by_level(seen: Survey) -> list[Step]:
    """Of the stages of lattice and random order, coarse to fine, the stored root first; nothing in raster
    order.
    """
    steps = [step for step in by_call(seen) if step.level is not None or step.label == "root"]
    out: list[Step] = []
    for step in steps:
        label = "root, stored" if step.level is None else f"level {step.level}"
        if out and out[-1].label == label:
            last = out.pop()
            sums = last.subpixels + step.subpixels, last.network + step.network, last.spent + step.spent
            out.append(Step(label, step.level, *sums))
        else:
            out.append(Step(label, step.level, step.subpixels, step.network, step.spent))
    return out


def by_call(seen: Survey) -> list[Step]:
    """Of the network calls of lattice and random order, in their order, those of all tiles together; of
    raster order, which has thousands, of bands of rows.
    """
    rows: dict[tuple[int, int], list[float]] = {}  # (minus the level, which call of it)
    for m in _networked(seen):
        assert m.bits.network is not None
        cost, channels = m.bits.network.sum(0), len(m.bits.network)
        for key, where in _groups(m.bits):
            row = rows.setdefault(key, [0, 0.0, 0.0])
            row[0] += int(where.sum()) * channels
            row[1] += float(cost[where].sum())
            row[2] += float(m.bits.spent[where].sum())
    return [
        Step(*_named(key), int(subpixels), network, spent)
        for key, (subpixels, network, spent) in sorted(rows.items())
    ]


RASTER, FIRST = 1, -99  # in place of minus a level: raster order has none; the root comes before all


def _groups(bits: PlaneBits) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """(key, which pixels, bool (h, w)) of what is coded together."""
    assert bits.call is not None
    if bits.level is None:
        height = len(bits.spent)
        band = np.broadcast_to((np.arange(height) * BANDS // height)[:, None], bits.spent.shape)
        for key in np.unique(band).tolist():
            yield (RASTER, key), band == key
        return
    root = bits.call == ROOT
    yield (FIRST, 0), root
    for level in np.unique(bits.level[~root]).tolist():
        of_level = (bits.level == level) & ~root
        for i, call in enumerate(np.unique(bits.call[of_level]).tolist()):
            yield (-level, i), bits.call == call


def _named(key: tuple[int, int]) -> tuple[str, int | None]:
    """Label and level."""
    kind, number = key
    if kind == FIRST:
        return "root", None
    if kind == RASTER:
        return f"rows from {100 * number // BANDS} % on", None
    return f"level {-kind}, call {number + 1}", -kind


def heat(seen: Survey) -> np.ndarray:
    """Bits that every pixel of the sample spent, of all planes together: float64 (h, w). The sum is that of
    its payloads.
    """
    assert seen.box is not None
    left, upper, right, lower = seen.box
    out = np.zeros((lower - upper, right - left))
    for m in seen.measured:
        top, first, height, width = seen.facts.coded[m.index].box
        out[top - upper :, first - left :][:height, :width] += m.bits.spent
    return out


def _networked(seen: Survey) -> list[Measured]:
    return [m for m in seen.measured if seen.facts.coded[m.index].method in NETWORKED]
