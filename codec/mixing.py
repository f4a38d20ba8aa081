"""The mixing coder: what `codec.kernel` needs to code the phases of one plane, and what it remembers from phase to phase.

Knows geometry and arrays; nothing of networks, stages' order or files. A plane can also be coded without any network, in raster order, by
the same kernel with other neighbours: that is what graphics want.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from ardm.likelihood import MEAN_STEPS, PER_COMPONENT, WEIGHT_TOP, make_tables
from ardm.orders import LATTICE_ORDER, PATCH, Offset, geometry, offsets_within
from codec import kernel
from codec.compiled import check_words
from codec.kernel import APM_CELLS, BATCH, CONTEXTS, COUNTERS, EXPERTS, INPUTS, PAD, SEEN, SPREADS
from codec.rest import Rest
from codec.streams import LINE, STRIP, Streams

COUNTER_BITS = 22  # log2 of the most counters in a table
# Experts as quarters of the four nearest known pixels, and whether the error of the same expert on G is added.
LATTICE_EXPERTS = np.array([(1, 1, 1, 1, 1), (2, 0, 0, 2, 1), (0, 2, 2, 0, 1)])
RASTER_EXPERTS = np.array([(4, 4, -4, 0, 1), (0, 4, 0, 0, 1), (4, 0, 0, 0, 1), (0, 4, 0, 0, 0), (4, 0, 0, 0, 0)])
RASTERS = RASTER_PIXELS, RASTER_GRAPHICS, RASTER_QUICK, RASTER_FULL = 0, 1, 2, 3  # kinds of raster order; the first is only read
GRAPHICS_EXPERTS = RASTER_EXPERTS[:3]  # which leaves room for two more counters, of the colours around the pixel
OWN, LATTICE_CROSS, RASTER_CROSS = 12, 10, 6  # neighbours that the least-squares fit looks at: in the channel itself, in each other one
KERNEL_DIGEST = "683fc57c1c1ffab5"  # of what `_synthetic` writes
KINDS, RASTER_KIND = 7, 6  # of phases: six in lattice order
MOST_WORDS = 5  # that a pixel's eight decisions in one channel can take, 17 bits each


def _by_distance(square: int) -> list[Offset]:
    return sorted(offsets_within(square), key=lambda o: o[0] ** 2 + o[1] ** 2)


BELOW = 2  # rows
BESIDE = np.array([o for o in _by_distance(BELOW**2) if o != (0, 0)])  # where, in raster order by channels, it looks at each earlier channel


@lru_cache(maxsize=16)
def lattice_geometry(phase: Offset) -> tuple[int, np.ndarray, np.ndarray]:
    """(kind, offsets of the nearest pixels known when the phase is coded, offsets of those among them that this stage has coded)."""
    before = LATTICE_ORDER[: LATTICE_ORDER.index(phase)]

    def among(offsets: list[Offset], phases: tuple[Offset, ...]) -> np.ndarray:
        chosen = [(dy, dx) for dy, dx in offsets if ((phase[0] + dy) % PATCH, (phase[1] + dx) % PATCH) in phases]
        return np.array(chosen, dtype=np.int64).reshape(-1, 2)

    return geometry(phase), among(_by_distance(8), ((0, 0), *before))[:OWN], among(_by_distance(4), before)


@lru_cache(maxsize=1)
def raster_geometry() -> tuple[np.ndarray, np.ndarray]:
    """(offsets of the nearest pixels above and to the left, offsets of the very nearest of them)."""
    own = [(dy, dx) for dy, dx in _by_distance(18) if dy < 0 or (dy == 0 and dx < 0)][:OWN]
    near = [o for o in own if o[0] ** 2 + o[1] ** 2 <= 4]
    return np.array(own, dtype=np.int64), np.array(near, dtype=np.int64)


@lru_cache(maxsize=1)
def check_kernel() -> None:
    """Run the compiled kernel once on a small synthetic plane and compare with what every correct one must write.

    Raises UnsupportedError if this machine's compiled arithmetic is not the IEEE arithmetic that the format needs.
    """
    check_words(_synthetic(), KERNEL_DIGEST, "coder")


def _synthetic() -> bytes:
    """Words for 16 x 20 pixels of integer noise and slopes, in both orders."""
    y, x = np.mgrid[:16, :20]
    noise = (np.arange(960) * 2654435761 >> 13) % 23
    image = torch.from_numpy(((7 * y + 3 * x + noise.reshape(3, 16, 20)) % 256).astype(np.int16))
    done = b""
    for quick in (False, True):
        raster = Mixing(3, 320, quick=quick, check=False)
        raster.start_stage(torch.zeros_like(image), image)
        raster.code_raster(RASTER_QUICK if quick else RASTER_GRAPHICS)
        lattice = Mixing(3, 320, make_tables(), quick=quick, check=False)
        lattice.start_stage(image & ~15, image)
        for i, phase in enumerate(LATTICE_ORDER):
            count = len(range(phase[0], 16, PATCH)) * len(range(phase[1], 20, PATCH))
            params = (np.arange(50 * count) * 40503 + i * 977 >> 5) % 160 - 80
            lattice.code_phase(phase, None, torch.from_numpy(params.reshape(50, count).astype(np.int32)))
        done += raster.finish() + lattice.finish()
    return done


def counter_count(pixels: int) -> int:
    """Counters in a table, for a plane of so many pixels."""
    return 1 << min(COUNTER_BITS, max(12, (32 * pixels).bit_length()))


class Mixing(Streams):
    """Codes one plane, phase by phase, in either direction.

    channels: 3, or 1 for grey (three equal channels of which G is coded). pixels: how many the plane has. tables: of the likelihood,
    `ardm.likelihood.make_tables`; not needed for raster order. data: what an encoder wrote, or None to encode. threads: how many may be used.
    quick: one mixer instead of two, and no tables; a file says which it was written with.
    deep: code the low bytes of one channel of 16 bits, as R, given the high ones, as G, in raster order.
    check: run `check_kernel` first. rest: what to go on with, and where to note it, if the end of `data` is missing. Raises TruncatedError if data is too
    short to be what an encoder wrote.
    """

    def __init__(
        self, channels: int, pixels: int, tables: dict[str, torch.Tensor] | None = None, data: bytes | None = None, threads: int = 1, quick: bool = False,
        check: bool = True, deep: bool = False, rest: Rest | None = None,
    ) -> None:  # fmt: skip
        if check:
            check_kernel()
        self.channels = 2 if deep else channels
        super().__init__(range(1, 2) if deep else range(channels), pixels, MOST_WORDS, data, threads, rest)  # the channels that are coded
        self.weight_of = tables["weight"].numpy() / WEIGHT_TOP if tables else np.ones(1)
        self.deviation_of = tables["deviation"].numpy() / MEAN_STEPS if tables else np.ones(1)
        self.quick, self.deep = quick, deep
        cells = kernel.SQUASH[np.round((np.arange(APM_CELLS) / 1.5 - 12).clip(-12, 12) * 32).astype(int) + 400]
        counters = counter_count(pixels)
        self.learned = (
            np.zeros((3, 8, SPREADS, INPUTS)), np.zeros((3, 8, SEEN, INPUTS)),
            np.tile(cells, (3, 8, CONTEXTS, 1)), np.tile(cells, (KINDS, 3, 8, SPREADS, 1)),
            np.zeros((3, COUNTERS, counters), dtype=np.uint32),
        )  # fmt: skip

    def start_stage(self, pixels: torch.Tensor, truth: torch.Tensor | None) -> torch.Tensor:
        """Begin a stage of a plane. pixels, truth: int16 (3, h, w), what is known with the base elsewhere, and all of it when encoding.

        Returns the tensor, int16 (3, h, w), in which every phase's pixels will appear once coded.
        """
        height, width = pixels.shape[1:]
        # A picture one pixel wide may come with strides of which np.pad makes columns; the kernel wants rows.
        padded = np.ascontiguousarray(np.pad(pixels.numpy(), ((0, 0), (PAD, PAD), (PAD, PAD)), mode="edge"))
        shape = padded.shape[1:]
        self.shape = (height, width)
        if self.rest:
            self.rest.start_stage(height, width)
        self.planes = (padded, np.zeros((*shape, 3), dtype=np.int16), np.zeros((*shape, 3, EXPERTS), dtype=np.int16))
        self.truth = np.zeros((3, 1, 1), dtype=np.int16) if truth is None else np.ascontiguousarray(truth.numpy())
        return torch.from_numpy(padded)[:, PAD : PAD + height, PAD : PAD + width]

    def code_phase(self, phase: Offset, chosen: np.ndarray | None, params: torch.Tensor) -> int:
        """Code all pixels of a phase with the network's params, int32 (10 K, N). Returns their number. Raises ValueError for scattered pixels."""
        if chosen is not None:
            raise ValueError("scattered pixels have no fixed neighbours to learn from.")
        kind, own, near = lattice_geometry(phase)
        return self._run(params.t().contiguous().numpy(), (*phase, PATCH), kind, own, LATTICE_CROSS, BESIDE[:0], near, LATTICE_EXPERTS)

    def code_raster(self, kind: int) -> None:
        """Code all pixels of the stage in raster order, without the network; what `start_stage` was given as pixels is not looked at.

        kind: RASTER_QUICK and RASTER_FULL go channel after channel, so that the channels can follow each other in threads and a later one sees the earlier
        ones all around, the former with `quick`; RASTER_GRAPHICS and RASTER_PIXELS go pixel after pixel, the former expecting few colours and repetitions.
        """
        own, near = raster_geometry()
        beside = BESIDE if kind in (RASTER_QUICK, RASTER_FULL) else BESIDE[:0]
        experts = GRAPHICS_EXPERTS if kind == RASTER_GRAPHICS else RASTER_EXPERTS
        self._run(np.zeros((0, 0), dtype=np.int32), (0, 0, 1), RASTER_KIND, own, RASTER_CROSS, beside, near, experts)

    def _run(
        self, params: np.ndarray, place: tuple[int, int, int], kind: int, own: np.ndarray, cross: int, beside: np.ndarray, near: np.ndarray, mean_of: np.ndarray
    ) -> int:  # fmt: skip
        components = params.shape[1] // PER_COMPONENT
        self._start_mixers(2 if components else 0, len(mean_of) + 1)
        rows, cols = (len(range(p, n, place[2])) for n, p in zip(self.shape, place[:2], strict=True))
        cross = min(cross, len(own)) if self.channels == 3 else 0
        planar = len(beside) > 0
        features = -(-(len(own) + 2 * (len(beside) if planar else cross) + 8) // 4) * 4
        fitted = (
            np.zeros((3, features + LINE, features)), np.zeros((3, features + LINE)), np.zeros((3, features + LINE)),
            np.zeros((3, LINE), dtype=np.int64), np.ones((3, LINE)), np.zeros((3, BATCH + 1, features)), np.zeros((3, LINE)), np.zeros((3, LINE)),
            np.zeros((3, rows + 1, cols + 2)),
            np.zeros((rows * cols, components)), np.zeros((3, rows * cols), dtype=np.int64),
        )  # fmt: skip
        follow = self.pool is not None and (planar or components > 0) and rows * cols >= 2 * STRIP
        strip = 1 if self.rest else max(1, (STRIP if follow else 8 * STRIP) // max(1, cols))
        sure = [rows] * self.channels  # rows of each channel that were coded before a word was invented

        def code(first_row: int, last_row: int, first_step: int, last_step: int) -> None:
            for s in range(first_step, last_step):
                self.supply(s, (last_row - first_row) * cols)
            with np.errstate(over="ignore"):  # hashes wrap around; only uncompiled code notices
                kernel.code_rows(
                    first_row, last_row, first_step, last_step, params, components, self.weight_of, self.deviation_of, place, self.shape, kind,
                    self.planes, own, cross, beside, near, mean_of, self.learned, fitted, self.quick, self.deep, self.decoding,
                    self.truth, self.state, self.words,
                )  # fmt: skip
            for s in range(first_step, last_step):
                if self.is_drawn(s):
                    sure[s] = min(sure[s], first_row)

        if follow:
            self.follow(code, rows, strip, ahead=-(-BELOW // strip) if planar else 0)
        else:
            for steps in [(s, s + 1) for s in self.steps] if planar else [(0, self.channels)]:
                for start in range(0, rows, strip):  # in between, signals are noticed
                    code(start, min(start + strip, rows), *steps)
        if self.rest:  # later channels have seen earlier ones, the next phase all of them
            self.rest.mark(place, min(sure))
        if self.channels == 1:
            y, x = (slice(PAD + p, PAD + n, place[2]) for n, p in zip(self.shape, place[:2], strict=True))
            self.planes[0][::2, y, x] = self.planes[0][1, y, x]
        return rows * cols

    def _start_mixers(self, first: int, experts: int) -> None:
        """Before anything is learned: the network as corrected, or the corrected expert, has 0.6, the others share the rest; counters have none."""
        if not self.learned[0].any():
            start = np.zeros(INPUTS)
            start[: first + experts] = 0.4 / (first + experts - 1)
            start[0] = 0.6
            for mixer in self.learned[:2]:
                mixer[:] = start
