"""The mixing coder: what `codec.coder.kernel` needs to code the pixels of one plane, and what it remembers
from phase to phase.

Knows geometry and arrays; nothing of stages' order or files. With the network as one of its experts it codes
phase after phase, in lattice order, or pixel after pixel, in raster order; without it, in raster order, what
graphics want.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

from ardm.exact import evaluate, weights_file
from ardm.exact.window import WindowWeights
from ardm.orders import LATTICE_ORDER, PATCH, Offset, geometry, offsets_within
from ardm.released import WeightsError
from ardm.units import MEAN_STEPS, WEIGHT_TOP
from ardm.window import raster_pattern
from codec.coder import arithmetic, kernel
from codec.coder.arithmetic import PAD
from codec.coder.continuation import Continuation
from codec.coder.guesses import GUESSES, SPOTS
from codec.coder.kernel import (
    AGREEMENTS,
    APM_CELLS,
    BATCH,
    BITS,
    CANDIDATES,
    CONTEXTS,
    COUNTERS,
    EXPERTS,
    GRAPHICS_RATES,
    GRAPHICS_ROWS,
    INPUTS,
    LEARNING_RATES,
    MORE,
    ROWS,
    SPREADS,
    TRAINED_RATES,
    Fitted,
    Learned,
    Network,
    Phase,
    Planes,
    Stream,
)
from codec.coder.streams import LINE, STRIP, Streams

# log2 of the most slots of a table, with the network and without: photos gain 0.02 % from twice as many,
# graphics 0.2 %
PHOTO_BITS, GRAPHICS_BITS = 20, 22
# Experts without the network, as quarters of the four nearest known pixels; with it they would add nothing
GRAPHICS_EXPERTS = np.array([(4, 4, -4, 0), (0, 4, 0, 0), (4, 0, 0, 0)])
NO_EXPERTS = GRAPHICS_EXPERTS[:0]
# Neighbours of the least-squares problem, and of them those that are looked at in the other channels, too; in
# raster order half of them are.
OWN, LATTICE_CROSS = 12, 10
GREY_OWN = 22  # of grey, which has no other channel, in raster order with the network
FEWEST, MOST = 6, 24  # that a weights file may ask for
KINDS, RASTER_KIND = 7, 6  # of phases: six in lattice order
# without the network, pixels by which a row follows the one above it: more than the kernel looks to the upper
# right
RASTER_SLOPE = 4
# tensor of the weights file: what mixers start from in raster order with the network
STARTS = ("mixers",)
MIXER_ONE = 4096  # in it, a weight of 1
# of its rows, how many of the kernel's start as one does: weights chosen by the spot, too
SPREAD_OUT = np.ones(ROWS - 3 * (SPOTS - 1) * (SPREADS + CONTEXTS), dtype=np.int64)
SPREAD_OUT[BITS * SPREADS :][: 3 * (SPREADS + CONTEXTS)] = SPOTS
# likewise, of colours: sums of the least-squares problem, as of a few pixels that were seen before; it has as
# many neighbours as they have numbers for
FITS = ("fit.matrix", "fit.vector")
CANDIDATE_WEIGHT, GUESS_WEIGHT = 0.2, 0.01  # of a candidate, and of a guess, before anything is learned
MOST_WORDS = 5  # that a pixel's eight decisions in one channel can take, 17 bits each


def by_distance(square: int) -> list[Offset]:
    """`offsets_within`, nearest first."""
    return sorted(offsets_within(square), key=lambda o: o[0] ** 2 + o[1] ** 2)


@lru_cache(maxsize=16)
def lattice_geometry(phase: Offset) -> tuple[int, np.ndarray, np.ndarray]:
    """(kind, offsets of the nearest pixels known when the phase is coded, offsets of those among them that
    this stage has coded).
    """
    before = LATTICE_ORDER[: LATTICE_ORDER.index(phase)]

    def among(offsets: list[Offset], phases: tuple[Offset, ...]) -> np.ndarray:
        chosen = [
            (dy, dx) for dy, dx in offsets if ((phase[0] + dy) % PATCH, (phase[1] + dx) % PATCH) in phases
        ]
        return np.array(chosen, dtype=np.int64).reshape(-1, 2)

    return geometry(phase), among(by_distance(8), ((0, 0), *before))[:OWN], among(by_distance(4), before)


@lru_cache(maxsize=4)
def raster_geometry(count: int = OWN) -> tuple[np.ndarray, np.ndarray]:
    """(offsets of the nearest `count` pixels above and to the left, within `ardm.orders.REACH` along an axis;
    offsets of the very nearest of them).
    """
    own = [(dy, dx) for dy, dx in by_distance(18) if dy < 0 or (dy == 0 and dx < 0)][:count]
    near = [o for o in own if o[0] ** 2 + o[1] ** 2 <= 4]
    return np.array(own, dtype=np.int64), np.array(near, dtype=np.int64)


def slot_count(wanted: int, bits: int = GRAPHICS_BITS) -> int:
    """Slots of a table by hashes, of which so many are wanted, at most 2**bits."""
    return 1 << min(bits, max(12, wanted.bit_length()))


def counter_count(pixels: int, graphics: bool) -> int:
    """Counters in a table, for a plane of so many pixels. graphics: coded without the network."""
    return slot_count(32 * pixels, GRAPHICS_BITS if graphics else PHOTO_BITS)


class Mixing(Streams):
    """Codes one plane, phase by phase, in either direction.

    channels: 3, or 1 for grey (three equal channels of which G is coded). pixels: how many the plane has.
    weights: of the network; None codes without it, in raster order. data: what an encoder wrote, or None to
    encode. continuation: what to go on with, and where to note it, if the end of `data` is missing. blocks:
    of a picture that was made of blocks of 8 x 8, rows and columns of the first one that are not in the
    plane; raster order with the network makes use of them. Raises TruncatedError if data is too short to be
    what an encoder wrote.
    """

    def __init__(
        self,
        channels: int,
        pixels: int,
        weights: WindowWeights | None,
        data: bytes | None = None,
        continuation: Continuation | None = None,
        blocks: tuple[int, int] | None = None,
    ) -> None:
        self.channels, self.weights, self.blocks = channels, weights, blocks
        super().__init__(range(1), channels * pixels, MOST_WORDS, data, 1, continuation)
        tables = weights.tables() if weights else {}
        self.weight_of = tables["weight"] / WEIGHT_TOP if weights else np.ones(1)
        self.deviation_of = tables["deviation"] / MEAN_STEPS if weights else np.ones(1)
        cells = arithmetic.SQUASH[
            np.round((np.arange(APM_CELLS) / 1.5 - 12).clip(-12, 12) * 32).astype(int) + 400
        ]
        counters = counter_count(pixels, weights is None)
        shape = (ROWS, INPUTS + GUESSES) if weights else (GRAPHICS_ROWS, INPUTS + MORE)
        self.learned = Learned(
            np.zeros(shape),
            np.tile(cells, (3, 8, CONTEXTS, 1)),
            np.tile(cells, (KINDS, 3, 8, SPREADS, 1)),
            np.zeros((3, COUNTERS, counters), dtype=np.uint32),
            np.zeros((3, CANDIDATES, AGREEMENTS, 8), dtype=np.uint32),
            np.zeros(1 if weights else slot_count(2 * pixels), dtype=np.uint32),
        )

    def start_stage(self, pixels: np.ndarray, truth: np.ndarray | None) -> np.ndarray:
        """Begin a stage of a plane. pixels, truth: int16 (3, h, w), what is known, anything elsewhere, and
        all of it when encoding.

        Returns the array, int16 (3, h, w), in which every phase's pixels will appear once coded.
        """
        height, width = pixels.shape[1:]
        # A picture one pixel wide may come with strides of which np.pad makes columns; the kernel wants rows.
        padded = np.ascontiguousarray(np.pad(pixels, ((0, 0), (PAD, PAD), (PAD, PAD)), mode="edge"))
        shape = padded.shape[1:]
        self.shape = (height, width)
        if self.continuation:
            self.continuation.start_stage(height, width)
        experts = 1 if self.weights else EXPERTS
        self.planes = Planes(
            padded, np.zeros((*shape, 3), dtype=np.int16), np.zeros((*shape, 3, experts), dtype=np.int16)
        )
        self.truth = np.zeros((3, 1, 1), dtype=np.int16) if truth is None else np.ascontiguousarray(truth)
        return padded[:, PAD : PAD + height, PAD : PAD + width]

    def code_phase(
        self, phase: Offset, where: np.ndarray, params: np.ndarray, base: np.ndarray
    ) -> np.ndarray:
        """Code all pixels of a phase with the network's params, int32 (N, 10 K), and base, int16 (N, 3).
        Returns their values, uint8 (N, 3).
        """
        assert self.weights is not None
        kind, own, near = lattice_geometry(phase)
        part = self.planes.pixel[
            :, PAD + phase[0] : PAD + self.shape[0] : PATCH, PAD + phase[1] : PAD + self.shape[1] : PATCH
        ]
        part[:] = base.T.reshape(part.shape)
        place = (*phase, PATCH)
        self._run(
            self._phase(kind, place, (1, 0), own, LATTICE_CROSS, near, NO_EXPERTS),
            self._network(params.reshape(-1), *_no_network(), np.zeros(0, np.int32)),
        )
        return part.reshape(3, -1).T.astype(np.uint8)

    def code_raster(self, strip: int, told: Callable[[int], None] | None = None) -> None:
        """Code all pixels of the stage in raster order; what `start_stage` was given as pixels is not looked
        at.

        strip: rows of a strip, whose pixels take turns, 0: all. told: called with the pixels done since the
        last time.
        """
        own, near = raster_geometry(self._neighbours())
        experts = NO_EXPERTS if self.weights else GRAPHICS_EXPERTS
        height, width = self.shape
        canvas = np.zeros(3 * height * width + evaluate.SPARE, np.uint8)
        if self.weights is None:
            net, scratch, _ = _no_network()
        else:
            net = raster_net(self.weights)
            scratch = evaluate.scratch(net)
            if not self.decoding:
                canvas[: 3 * height * width] = self.truth.transpose(1, 2, 0).reshape(-1)
        block = np.zeros(evaluate.BLOCK * (self.weights.config.outputs if self.weights else 0), np.int32)
        seen = evaluate.Canvas(canvas, np.zeros(1, np.bool_), height, width)
        slope = self.weights.config.radius + 1 if self.weights else RASTER_SLOPE
        wave = (min(strip or height, height), slope)
        self._run(
            self._phase(RASTER_KIND, (0, 0, 1), wave, own, len(own) // 2, near, experts),
            self._network(np.zeros(0, np.int32), net, scratch, seen, block),
            told,
        )

    def _neighbours(self) -> int:
        """Of the least-squares problem, in raster order."""
        if self.weights is None:
            return OWN
        return GREY_OWN if self.channels == 1 else neighbours_of(self.weights)

    def _phase(
        self,
        kind: int,
        place: tuple[int, int, int],
        wave: tuple[int, int],
        own: np.ndarray,
        cross: int,
        near: np.ndarray,
        mean_of: np.ndarray,
    ) -> Phase:
        cross = min(cross, len(own)) if self.channels == 3 else 0
        untrained = LEARNING_RATES if self.weights else GRAPHICS_RATES
        rates = TRAINED_RATES if self._trained(kind) else untrained
        guessing = self.weights is not None and kind == RASTER_KIND
        geometry = self.channels, kind, place, self.shape, wave, own, cross, near
        blocks = self.blocks if guessing else None
        return Phase(*geometry, mean_of, rates, guessing, blocks is not None, blocks or (0, 0))

    def _network(
        self,
        params: np.ndarray,
        net: evaluate.Net,
        scratch: evaluate.Scratch,
        canvas: evaluate.Canvas,
        block: np.ndarray,
    ) -> Network:
        components = self.weights.config.mixture if self.weights else 0
        tables = self.weight_of, self.deviation_of
        return Network(components, params, *tables, net, scratch, canvas, block)

    def _run(self, phase: Phase, network: Network, told: Callable[[int], None] | None = None) -> None:
        """Code all pixels of a phase."""
        place, strip_rows = phase.place, phase.wave[0]
        if not self.learned.weights.any():
            self._start_mixers(phase.kind, 2 if network.components else 0, len(phase.mean_of) + 1)
        rows, cols = (len(range(p, n, place[2])) for p, n in zip(place[:2], self.shape, strict=True))
        features = feature_count(len(phase.own), phase.cross)
        self.fitted = fitted = _unfitted(features, rows, cols)
        room = kernel.new_room(fitted, phase)
        self._start_fit(phase.kind, fitted, features, room.work)
        step = strip_rows * (1 if self.continuation else max(1, 8 * STRIP // max(1, cols * strip_rows)))
        stream = Stream(self.decoding, self.truth, self.state, self.words)

        def code(start: int, end: int, _: int) -> None:
            with np.errstate(over="ignore"):  # hashes wrap around; only uncompiled code notices
                kernel.code_rows(
                    (start, end), phase, self.planes, self.learned, fitted, network, stream, room
                )
            if told:
                told((end - start) * cols)

        sure = self.code_strips(code, rows, step, cols * self.channels)
        if self.continuation:
            self.continuation.mark(place, sure)
        if self.channels == 1:
            y, x = (slice(PAD + p, PAD + n, place[2]) for n, p in zip(self.shape, place[:2], strict=True))
            self.planes.pixel[::2, y, x] = self.planes.pixel[1, y, x]

    def _start_mixers(self, kind: int, first: int, experts: int) -> None:
        """Before anything is learned: as the weights file says, for raster order; else the network as
        corrected, or the corrected expert, has 0.6, the others share the rest, counters have none."""
        weights = self.learned.weights
        weights[:, :INPUTS] = 0.0
        weights[:, INPUTS:] = GUESS_WEIGHT if self.weights else CANDIDATE_WEIGHT
        weights[:, : first + experts] = 0.4 / (first + experts - 1)
        weights[:, 0] = 0.6
        if trained := self._trained(kind):
            weights[:] = np.repeat(trained["mixers"] / MIXER_ONE, SPREAD_OUT, axis=0)

    def _start_fit(self, kind: int, fitted: Fitted, features: int, work: np.ndarray) -> None:
        """Of colours in raster order: as if pixels had been seen before, as the weights file says.

        features: of the last channel in coding order; each has two more than the one before.
        """
        if self.channels == 1 or not (trained := self._trained(kind, FITS)):
            return
        fitted.matrix[:, :features, :features] = trained["fit.matrix"]
        fitted.vector[:, :features] = trained["fit.vector"]
        for s in range(3):
            kernel.refit(fitted, s, features - 4 + 2 * s, work)

    def _trained(self, kind: int, names: tuple[str, ...] = STARTS) -> Mapping[str, np.ndarray]:
        """The tensors of the weights file, if those for phases of this kind are among them."""
        tensors = starts(self.weights) if self.weights and kind == RASTER_KIND else {}
        return tensors if all(name in tensors for name in names) else {}


def feature_count(own: int, cross: int) -> int:
    """Features of the least-squares problem of the last channel in coding order, which has most: neighbours
    of its own, and of each other channel; and what was learned of earlier channels and neighbours.
    """
    return own + 2 * cross + 8


# by the columns of the sums in a weights file
NEIGHBOURS = {feature_count(own, own // 2): own for own in range(FEWEST, MOST + 1, 2)}


@lru_cache(maxsize=4)
def starts(weights: WindowWeights) -> Mapping[str, np.ndarray]:
    """The tensors that mixers and least squares start from, if the weights file has them. Raises WeightsError
    if they are not what the format says.
    """
    found = {name: weights.tensors[name] for name in (*STARTS, *FITS) if name in weights.tensors}
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        STARTS[0]: ((len(SPREAD_OUT), INPUTS + GUESSES), np.int16)
    }
    if any(name in found for name in FITS):
        size = found[FITS[0]].shape[-1] if FITS[0] in found else 0
        if size not in NEIGHBOURS:
            raise WeightsError(
                f"{FITS[0]} must have 2 n + 8 columns, n even and from {FEWEST} to {MOST}, found {size}."
            )
        shapes |= {FITS[0]: ((3, size, size), np.float32), FITS[1]: ((3, size), np.float32)}
    if set(shapes) != {*STARTS, *found}:
        raise WeightsError(f"{' and '.join(FITS)} go together, found only one of them.")
    weights_file.check_shapes(found, {name: shapes[name] for name in found})
    if not all(np.isfinite(values).all() for values in found.values()):
        raise WeightsError(f"{' and '.join(FITS)} must be finite.")
    return found


def neighbours_of(weights: WindowWeights) -> int:
    """Of the least-squares problem of colours, in raster order: as many as the sums in the file have features
    for.
    """
    found = starts(weights)
    return NEIGHBOURS[found[FITS[0]].shape[-1]] if FITS[0] in found else OWN


def _unfitted(features: int, rows: int, columns: int) -> Fitted:
    """Before anything is fitted to the pixels of a phase. Sizes are padded, so that threads share no line."""
    count = -(-features // 4) * 4
    return Fitted(
        matrix=np.zeros((3, count + LINE, count)),
        vector=np.zeros((3, count + LINE)),
        solution=np.zeros((3, count + LINE)),
        seen=np.zeros((3, LINE), dtype=np.int64),
        gain=np.ones((3, LINE)),
        features=np.zeros((3, BATCH + 1, count)),
        feature_weight=np.zeros((3, LINE)),
        target=np.zeros((3, LINE)),
        innovation=np.zeros((3, rows + 1, columns + 2)),
    )


@lru_cache(maxsize=4)
def raster_net(weights: WindowWeights) -> evaluate.Net:
    """The network for raster order, packed."""
    return evaluate.build(weights, raster_pattern(weights.config.radius), raster=True)


@lru_cache(maxsize=1)
def _no_network() -> tuple[evaluate.Net, evaluate.Scratch, evaluate.Canvas]:
    """Stand-ins where the kernel asks no network."""
    empty: dict[str, np.ndarray] = {
        "sizes": np.zeros(11, np.int64),
        "places": np.zeros((0, 2), np.int32),
        "slots": np.zeros(0, np.int64),
        "enter": np.zeros(0, np.int8),
        "near": np.zeros(0, np.int8),
        "hidden": np.zeros(0, np.int8),
        "head": np.zeros(0, np.int8),
    }
    net = evaluate.Net(**{name: empty.get(name, np.zeros(0, np.int32)) for name in evaluate.Net._fields})
    nothing = evaluate.Canvas(np.zeros(0, np.uint8), np.zeros(0, np.bool_), 0, 0)
    return net, evaluate.scratch(net), nothing
