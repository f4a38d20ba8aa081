"""Orders: which pixels of a stage become known in which network call. Pure index arithmetic; knows no
tensors, no network, no bytes.

A stage codes the pixels of an image that are not on its stride-4 lattice. Pixel (y, x) has *phase* (y % 4, x
% 4); phase (0, 0) is the lattice itself, so a stage has 15 phases to code. Far-apart pixels are almost
independent given what lies between them, so one call may code a whole phase, or several:

        x=0   1   2   3            L  the lattice, known before the stage starts
    y=0   L  p7  p1  p8            p0 is coded first, p14 last (`LATTICE_ORDER`)
    y=1  p9  p3 p10  p4
    y=2  p2 p11  p0 p12
    y=3 p13  p5 p14  p6
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PATCH = 4
PHASES = PATCH * PATCH - 1  # phases a stage codes

LATTICE_ORDER: tuple[tuple[int, int], ...] = (
    (2, 2),
    (0, 2),
    (2, 0),
    (1, 1),
    (1, 3),
    (3, 1),
    (3, 3),
    (0, 1),
    (0, 3),
    (1, 0),
    (1, 2),
    (2, 1),
    (2, 3),
    (3, 0),
    (3, 2),
)


Offset = tuple[int, int]
REACH = 3  # largest step of `offsets_within` along one axis


def offsets_within(square: int) -> list[Offset]:
    """All (dy, dx) but (0, 0) with dy**2 + dx**2 <= square and neither above REACH, by dy, then dx."""
    span = range(-REACH, REACH + 1)
    return [(dy, dx) for dy in span for dx in span if 0 < dy * dy + dx * dx <= square]


def geometry(phase: Offset) -> int:
    """Class 0..5 of a phase, by where known pixels lie around it: (2, 2); (0, 2); (2, 0); odd-odd; odd
    columns; odd rows.
    """
    y, x = phase
    if y % 2 and x % 2:
        return 3
    if x % 2:
        return 4
    if y % 2:
        return 5
    return {(2, 2): 0, (0, 2): 1, (2, 0): 2}[phase]


def level_shapes(height: int, width: int) -> list[tuple[int, int]]:
    """Shapes of an image, its stride-4 lattice, that lattice's lattice, ... down to the first that fits 4 x
    4.
    """
    shapes = [(height, width)]
    while max(shapes[-1]) > PATCH:
        shapes.append((-(-shapes[-1][0] // PATCH), -(-shapes[-1][1] // PATCH)))
    return shapes


def phase_pixels(height: int, width: int, phase: Offset) -> np.ndarray:
    """Pixels of a phase, row by row: int32 (N, 2)."""
    rows, columns = np.meshgrid(
        np.arange(phase[0], height, PATCH), np.arange(phase[1], width, PATCH), indexing="ij"
    )
    return np.stack([rows.ravel(), columns.ravel()], 1).astype(np.int32)


def random_ranks(seed: int, stage: int, height: int, width: int) -> np.ndarray:
    """A seeded random order of the non-lattice pixels of a stage.

    Returns int64 (height, width): the rank 0..n-1 of every pixel in the order, and -1 on the lattice. Keys
    are splitmix64 of (seed, stage, pixel index), ties impossible within 2**32 pixels, so the order is the
    same on every machine.
    """
    with np.errstate(over="ignore"):
        key = (
            np.arange(height * width, dtype=np.uint64)
            + np.uint64(seed % 2**32 * 2**32)
            + np.uint64(stage << 56)
        )
        key = key + np.uint64(0x9E3779B97F4A7C15)
        key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        key = key ^ (key >> np.uint64(31))
    coded = np.ones((height, width), dtype=bool)
    coded[::PATCH, ::PATCH] = False
    where = np.flatnonzero(coded.ravel())
    ranks = np.full(height * width, -1, dtype=np.int64)
    ranks[where[np.argsort(key[where], kind="stable")]] = np.arange(where.size)
    return ranks.reshape(height, width)


# ---- schedules ---------------------------------------------------------------------------------------------

# what one call codes: phases, each whole (None) or a bool selection of its pixels
Group = list[tuple[tuple[int, int], np.ndarray | None]]


def lattice_groups(breaks: int) -> list[Group]:
    """Calls of a stage in lattice order. Bit j of `breaks` (0 <= j < 14): a new call starts after phase j."""
    groups: list[Group] = [[]]
    for j, phase in enumerate(LATTICE_ORDER):
        groups[-1].append((phase, None))
        if breaks >> j & 1 and j + 1 < PHASES:
            groups.append([])
    return groups


def group_breaks(sizes: list[int]) -> int:
    """The `breaks` of `lattice_groups` for calls that code so many phases each; the sizes add up to 15."""
    breaks, done = 0, 0
    for size in sizes[:-1]:
        done += size
        breaks |= 1 << (done - 1)
    return breaks


def cell_places(size: int, cell: int) -> np.ndarray:
    """An order of `size` variables in a row, cut into cells: the first place of all cells, then the second
    one, and so on. int64 (size,), the place 0..size-1 of each. One cell as long as the row: left to right.
    """
    places = np.empty(size, dtype=np.int64)
    places[np.argsort(np.arange(size) % cell, kind="stable")] = np.arange(size)
    return places


class RandomGroups(Sequence[Group]):
    """Calls of a stage in a seeded random order, cut into `calls` parts of equal size up to one pixel; fewer
    where pixels are fewer.
    """

    def __init__(self, seed: int, stage: int, height: int, width: int, calls: int) -> None:
        ranks = random_ranks(seed, stage, height, width)
        total = int(ranks.max()) + 1
        self.parts = min(calls, total)
        ends = np.array([total * (c + 1) // self.parts for c in range(self.parts)])
        self.call = np.where(ranks < 0, -1, np.searchsorted(ends, ranks, side="right")).astype(np.int16)

    def __len__(self) -> int:
        return self.parts

    def __getitem__(self, index: int) -> Group:  # type: ignore[override]
        if not 0 <= index < self.parts:
            raise IndexError(index)
        chosen = self.call == index
        phases = [(phase, chosen[phase[0] :: PATCH, phase[1] :: PATCH]) for phase in LATTICE_ORDER]
        return [(phase, part) for phase, part in phases if part.any()]


# ---- orders of any variables -------------------------------------------------------------------------------


def spread_places(size: int) -> np.ndarray:
    """An order of `size` variables in a row that keeps those coded one after another far apart: int64
    (size,), the place 0..size-1 of each.

    Binary fractions in reversed bits (van der Corput): 0, 1/2, 1/4, 3/4, 1/8, ... so that every prefix is
    spread evenly.
    """
    bits = max(1, (size - 1).bit_length())
    index = np.arange(1 << bits)
    reverse = np.zeros_like(index)
    for bit in range(bits):
        reverse |= (index >> bit & 1) << (bits - 1 - bit)
    places = np.empty(size, dtype=np.int64)
    places[reverse[reverse < size]] = np.arange(size)
    return places
