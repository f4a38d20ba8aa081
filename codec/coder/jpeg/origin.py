"""The JPEG that a plane was decoded from, as it seems: where its blocks lie, which colour differences share a
sample, by which steps coefficients were quantised, and these. Knows planes and arrays; no payloads.

The encoder's own affair: what is found need not be true, and what it does not give is coded as well. Sums
are of whole numbers below 2**53, so that machines find the same, but for logarithms of another last place.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from codec.coder.conversions import CONVERSIONS, from_rgb, nearest_origins, to_rgb, told
from codec.coder.jpeg import dct
from codec.coder.jpeg.dct import LEVEL, SIDE, Layout
from codec.coder.jpeg.rounding import settle
from codec.coder.jpeg.samples import forward, in_blocks, quantised, samples_of, touched, waves
from codec.coder.jpeg.steps import likely_steps, quality_of, standard_steps
from codec.coder.palette import some_of
from codec.ending import check

JPEG = CONVERSIONS[0]
# Rows and columns that tell where blocks lie, by coefficients below SMALL: MORE times as many as elsewhere.
# Of 20 photos that were no JPEGs at most 1.007 times, of the same after quality 75 to 95 at least 1.1.
LOOKED_AT, SMALL, MORE = 256, 0.9, 1.02
LEAST_PIXELS = 256
# Rounds in which coefficients are found anew where they do not give the pixels, of which so many may give no
# more of these; and by how much further they go, by turns, than what is off asks for: less is clipped then.
ROUNDS, PATIENCE, FURTHER = 24, 6, (1.0, 1.625, 2.25)
WRONG_MOST = 0.25  # share of pixels that a JPEG may not give, lest it be none
TRIED = 512  # rows and columns of a picture that tell how differences were sampled
SAMPLINGS = (2, 2), (1, 2), (1, 1)  # rows and columns of pixels that share a sample
# Blocks that tell steps, LEAST of them if there are as many, have CHANGES coefficients above CHANGE.
LEAST, CHANGES, CHANGE = 24, 4, 4.0
BITS_OF_WRONG, BITS_OF_TABLE = 6.0, 8 * SIDE**2  # a pixel, about; a table that is not the standard's


class Origin(NamedTuple):
    """What a JPEG's decoder had."""

    layout: Layout
    steps: list[np.ndarray]  # int64 (64,), of each component: luma, and blue and red less luma
    coefficients: list[np.ndarray]  # int16 (m, n, 64), quantised
    wrong: float = 0.0  # share of pixels that these do not give


def block_corner(values: np.ndarray) -> tuple[int, int] | None:
    """Rows and columns of the first block of 8 x 8 that are not in a plane, uint8 (h, w): where blocks lie,
    most coefficients are nothing. None if that is nowhere.
    """
    part = _middle(values, LOOKED_AT + SIDE).astype(np.float64)
    rows, columns = (max(0, size - SIDE + 1) // SIDE * SIDE for size in part.shape)
    counts = [
        int((np.abs(forward(part[top : top + rows, left : left + columns])) < SMALL).sum())
        for top in range(SIDE)
        for left in range(SIDE)
    ]
    *_, second, most = sorted(counts)
    if rows * columns < LEAST_PIXELS or most <= MORE * second:
        return None
    top, left = divmod(counts.index(most), SIDE)
    return -top % SIDE, -left % SIDE


def find(plane: np.ndarray) -> Origin | None:
    """What a plane, uint8 (h, w, 1 or 3), was decoded from; None if it seems to have been no JPEG."""
    if plane.shape[2] == 3 and told(some_of(plane)) is not JPEG and not _is_grey(plane):
        return None
    components = _components(plane)
    corner = block_corner(components[..., 0])
    if corner is None:
        return None
    layout, unsure = Layout(plane.shape[0], plane.shape[1], *corner), clipped(plane)
    luma = _fit(layout, components[..., 0], unsure, True)
    if plane.shape[2] == 3:
        layout = _sampled(layout, components[..., 1], unsure, quality_of(luma.steps, True))
    origin = _searched(_Search(layout, plane, components, luma))
    return origin if origin.wrong <= WRONG_MOST else None


def fitted(layout: Layout, plane: np.ndarray) -> Origin:
    """Steps and coefficients that give a plane, whose blocks lie so, as nearly as is found."""
    components = _components(plane)
    luma = _fit(layout, components[..., 0], clipped(plane), True)
    return _searched(_Search(layout, plane, components, luma))


def _searched(search: _Search) -> Origin:
    """As `fitted`."""
    best, wrong, since = search.coefficients, search.wrong.mean(), 0
    for further in itertools.islice(itertools.cycle(FURTHER), ROUNDS):
        if not wrong or since == PATIENCE:
            break
        check()
        search.go_on(further)
        since += 1
        if search.wrong.mean() < wrong:
            best, wrong, since = search.coefficients, search.wrong.mean(), 0
    return Origin(search.layout, search.steps, best, float(wrong))


def _sampled(layout: Layout, difference: np.ndarray, unsure: np.ndarray, quality: int | None) -> Layout:
    """The layout, of those in which luma's blocks lie as they do, that fits a difference best. Arguments as
    of `_fit`.
    """
    part, unsure = _middle(difference, TRIED), _middle(unsure, TRIED)
    height, width = part.shape

    def bits(one: Layout) -> float:
        return _fit(one._replace(height=height, width=width), part, unsure, False, quality).bits

    return min(_layouts(layout), key=bits)


def saved(plane: np.ndarray, layout: Layout, tables: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """What a plane, uint8 (h, w, 1 or 3), would be once it had been saved as a JPEG, and decoded. tables:
    steps of luma and of differences.
    """
    values = _components(plane)
    made = []
    for i in range(plane.shape[2]):
        steps = tables[i > 0]
        found = forward(samples_of(layout, values[..., i], i == 0))
        made.append(dct.samples(quantised(found, steps), steps))
    return colours(all_shown(layout, made))


def _shown(layout: Layout, values: np.ndarray, luma: bool) -> np.ndarray:
    """A component of every pixel, uint8 (h, w), of all its samples, int16."""
    return (layout.luma if luma else layout.difference)(np.clip(values, 0, 255).astype(np.uint8))


def all_shown(layout: Layout, values: list[np.ndarray]) -> np.ndarray:
    """All components of every pixel, uint8 (h, w, 1 or 3), of all samples of each, int16."""
    return np.stack([_shown(layout, one, i == 0) for i, one in enumerate(values)], 2)


def clipped(plane: np.ndarray) -> np.ndarray:
    """Pixels of which a channel may have been clipped: bool (h, w)."""
    return ((plane == 0) | (plane == 255)).any(2)


def _is_grey(plane: np.ndarray) -> bool:
    return all(bool((part == part[..., :1]).all()) for part in (some_of(plane), plane))


# ---- colours -----------------------------------------------------------------------------------------------


def _components(plane: np.ndarray) -> np.ndarray:
    """Luma, and blue and red less luma, that RGB was made of, or a grey: uint8 (h, w, 3 or 1)."""
    return plane if plane.shape[2] == 1 else _apart(from_rgb(JPEG, plane)[0])


def colours(components: np.ndarray) -> np.ndarray:
    """The inverse."""
    return components if components.shape[2] == 1 else to_rgb(JPEG, _together(components))


def _apart(sums: np.ndarray) -> np.ndarray:
    """Of luma with the differences, as `from_rgb` returns them, luma and differences."""
    luma = sums[..., 1]
    return np.stack([luma, sums[..., 2] - luma + np.uint8(LEVEL), sums[..., 0] - luma + np.uint8(LEVEL)], 2)


def _together(components: np.ndarray) -> np.ndarray:
    """The inverse of `_apart`."""
    luma, blue, red = np.moveaxis(components, 2, 0)
    return np.stack([red + luma - np.uint8(LEVEL), luma, blue + luma - np.uint8(LEVEL)], 2)


# ---- the search --------------------------------------------------------------------------------------------


class _Fit(NamedTuple):
    """Coefficients of one component."""

    steps: np.ndarray
    coefficients: np.ndarray
    found: np.ndarray  # the coefficients before they are quantised: float64 (m, n, 64)
    bits: float  # about how many it takes to say these, and what is wrong with them


def _fit(
    layout: Layout, plane: np.ndarray, unsure: np.ndarray, luma: bool, quality: int | None = None
) -> _Fit:
    """Coefficients that give a component, uint8 (h, w), but where it is unsure: bool (h, w). quality: that of
    luma, if it is known, which is likely to be the others' as well.
    """
    found = forward(samples_of(layout, plane, luma))
    sure = ~touched(layout, unsure, luma)
    # where hardly anything changes, all of a block may be off by as much, and its mean by eight times that
    lively = sure & ((np.abs(found) > CHANGE).sum(2) >= CHANGES)
    some = next((found[of] for of in (lively, sure) if of.sum() >= LEAST), found.reshape(-1, SIDE**2))
    shared = not luma and layout.down * layout.across > 1
    fits = []
    likely = [] if quality is None else [standard_steps(quality, luma)]
    for steps in likely + likely_steps(some, luma, shared):
        coefficients = quantised(found, steps)
        made = _shown(layout, dct.samples(coefficients, steps), luma)
        sizes = np.abs(coefficients[coefficients != 0]).astype(np.float64)
        bits = 2 * len(sizes) + 2 * np.log2(sizes).sum() + BITS_OF_WRONG * ((made != plane) & ~unsure).sum()
        of_table = 0 if quality_of(steps, luma) else BITS_OF_TABLE
        fits.append(_Fit(steps, coefficients, found, float(bits) + of_table))
    return min(fits, key=lambda fit: fit.bits)


class _Search:
    """Coefficients that give a plane, better and better."""

    def __init__(self, layout: Layout, plane: np.ndarray, components: np.ndarray, luma: _Fit) -> None:
        self.layout, self.plane = layout, plane
        unsure, fits, quality = clipped(plane), [luma], quality_of(luma.steps, True)
        for i in range(1, components.shape[2]):
            fits.append(_fit(layout, components[..., i], unsure, False, quality))
        self.steps = [fit.steps for fit in fits]
        self.coefficients = [fit.coefficients for fit in fits]
        for i in range(1 if layout.down * layout.across > 1 else len(fits)):
            self._settle(i, components[..., i], unsure, fits[i].found)
        self._look()

    def _settle(self, i: int, component: np.ndarray, unsure: np.ndarray, found: np.ndarray) -> None:
        """Round coefficients of a component whose samples are pixels, where these are known."""
        luma, steps, coefficients = i == 0, self.steps[i], self.coefficients[i]
        wrong = _shown(self.layout, dct.samples(coefficients, steps), luma) != component
        whole = samples_of(self.layout, np.ones(wrong.shape), luma, "constant")
        anew = touched(self.layout, wrong, luma) & ~touched(self.layout, unsure, luma)
        anew &= in_blocks(whole).all((2, 3))
        values = in_blocks(samples_of(self.layout, component, luma))[anew].reshape(-1, SIDE**2) - LEVEL
        rounded = coefficients[anew]
        settle(found[anew], rounded, steps.astype(np.int64), values, waves())
        coefficients[anew] = rounded

    def _look(self) -> None:
        """See what coefficients give."""
        made = zip(self.coefficients, self.steps, strict=True)
        self.values = [dct.samples(*one) for one in made]
        self.components = all_shown(self.layout, self.values)
        self.wrong = (colours(self.components) != self.plane).any(2)

    def go_on(self, further: float) -> None:
        """Find coefficients anew where pixels are wrong, as near as can be to those that were found: of
        what is clipped, or not in the plane, values are taken that they gave.
        """
        wanted, had = self._wanted(), self.coefficients
        self.coefficients = []
        for i, (values, steps, old) in enumerate(zip(self.values, self.steps, had, strict=True)):
            off = wanted[..., i].astype(np.int16) - self.components[..., i]
            if i == 0:
                beyond = self.layout.luma(values)
                off[(beyond < 0) & (wanted[..., 0] == 0) | (beyond > 255) & (wanted[..., 0] == 255)] = 0
            found = forward(values + samples_of(self.layout, further * off, i == 0, "constant"))
            anew = touched(self.layout, self.wrong, i == 0)[..., None]
            self.coefficients.append(np.where(anew, quantised(found, steps), old))
        self._look()

    def _wanted(self) -> np.ndarray:
        """Components that give the plane, as near as can be to those that were found: uint8 (h, w, 1 or
        3).
        """
        if self.plane.shape[2] == 1:
            return self.plane
        return _apart(nearest_origins(JPEG, self.plane, _together(self.components), self.wrong))


# ---- layouts -----------------------------------------------------------------------------------------------


def _layouts(layout: Layout) -> list[Layout]:
    """All ways to share samples of differences, where luma's blocks lie as they do."""
    return [
        layout._replace(top=layout.top + top, left=layout.left + left, down=down, across=across)
        for down, across in SAMPLINGS
        for top in range(0, SIDE * down, SIDE)
        for left in range(0, SIDE * across, SIDE)
    ]


def _middle(plane: np.ndarray, most: int) -> np.ndarray:
    """A part of a plane, of so many rows and columns at most, in which blocks of any layout lie as they do in
    the whole.
    """
    top, left = (max(0, size - most) // 2 // 16 * 16 for size in plane.shape[:2])
    return plane[top : top + most, left : left + most]
