"""The adaptive output layer: corrects the network's distributions from the pixels of the same image that are already coded.

Needs no network calls and no side information: encoder and decoder learn the same from the same pixels. Two corrections, per
geometry class of phases and per channel, both relearned after every run of pixels:

    mean    recursive least squares, weighted by precision: the network's error as a linear function of known neighbours in all
            channels, of the pixel's channels coded before, and of the errors made on them; prior: no correction
    scale   one shift of the logistic scales for each of six contexts (how large the errors nearby were, in units of what was
            expected), the one that would have coded past pixels of the class best

Bit-exact everywhere: sums are of integers below 2**53 in float64, exact in any order; everything else is a fixed sequence of elementwise
IEEE operations, no BLAS or LAPACK on inexact values. Values in 1/32 level unless said otherwise. Knows no coder and no network.
"""

from __future__ import annotations

import numpy as np
import torch

from ardm.likelihood import CODING_ORDER, FLOOR, MEAN_STEPS, IntegerMixture, look_up
from ardm.orders import PATCH, REACH, Offset, geometry, offsets_within

# ---- geometry: phases that see known pixels at the same offsets share what they learn

RADIUS = REACH


def _known_when_class_starts(kind: int, y: int, x: int) -> bool:
    """Is the pixel (y, x), relative to the class's pattern, known before the first phase of the class? By residues mod 4."""
    phase = (y % PATCH, x % PATCH)
    even = phase[0] % 2 == 0 and phase[1] % 2 == 0
    if kind == 0:
        return phase == (0, 0)
    if kind in (1, 2):
        return phase in ((0, 0), (2, 2))
    if kind == 3:
        return even
    return even or (phase[0] % 2 == 1 and phase[1] % 2 == 1)


_EXAMPLE = {0: (2, 2), 1: (0, 2), 2: (2, 0), 3: (1, 1), 4: (0, 1), 5: (1, 0)}
NEIGHBOURS = {kind: [(dy, dx) for dy, dx in offsets_within(8) if _known_when_class_starts(kind, y + dy, x + dx)] for kind, (y, x) in _EXAMPLE.items()}
ERROR_OFFSETS = offsets_within(8)

# ---- constants of the format

FEATURE_MAX = 4095
WEIGHT_ONE = 2**22  # precision weight of a pixel: WEIGHT_ONE / (deviation**2 + WEIGHT_SOFT)
WEIGHT_SOFT = 100
ENOUGH = 256  # pixels to have learned from before the first correction
RIDGE = 1.0  # prior, in pixels: the diagonal is raised by this much over the number of pixels learned from
SOLUTION_BITS, SOLUTION_MAX = 12, 2**14 - 1
CORRECTION_MAX = 64 * MEAN_STEPS
PHASE_DISCOUNT = 0.5  # weight of what earlier phases taught
SHIFTS = (-13, -9, -6, -3, 0, 3, 6, 9, 13)  # of the scale, in 1/16 octave
SHIFT_PRIOR = 40  # cost of one unit of shift, in 1/256 bit
SCALE_SAMPLE = 4  # scales are judged on every so many-th pixel
CONTEXTS = (26, 34, 45, 59, 78)  # thresholds between the six contexts; 64: errors as large as expected
CONTEXT_START = 45
ERROR_MAX = 255


def run_sizes(count: int) -> list[int]:
    """Pixels are coded in runs of a sixth of the phase, but at least 1024 and at most 4096: often enough to learn, seldom enough to be fast."""
    size = max(1024, min(4096, count // 6))
    return [min(size, count - start) for start in range(0, count, size)]


def solve(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Solve a symmetric positive definite system by elimination, in a fixed order of IEEE operations. float64 (n, n), (n,) -> (n,)."""
    a = np.concatenate([matrix, vector[:, None]], axis=1)
    n = len(vector)
    for k in range(n - 1):
        factor = a[k + 1 :, k] / a[k, k]
        a[k + 1 :, k + 1 :] -= factor[:, None] * a[k, k + 1 :]  # a product, then a difference: two roundings, never fused
    x = np.zeros(n)
    right = a[:, n].copy()
    for k in range(n - 1, -1, -1):
        x[k] = right[k] / a[k, k]
        right[:k] -= a[:k, k] * x[k]
    return x


class Adapter:
    """What has been learned in one stage of one tile, and the planes it is learned from.

    shape: (h, w) of the stage; tables: `ardm.likelihood.make_tables`.
    """

    def __init__(self, shape: tuple[int, int], tables: dict[str, torch.Tensor]) -> None:
        height, width = shape
        self.tables = tables
        self.normal: dict[tuple[int, int], tuple[np.ndarray, np.ndarray, float]] = {}
        self.score: dict[tuple[int, int], np.ndarray] = {}
        self.last_score_key: dict[int, tuple[int, int]] = {}  # the class last taught, by step
        size = (height + 2 * RADIUS, width + 2 * RADIUS)
        self.error = torch.zeros(3, *size, dtype=torch.int16)  # by coding order; |error| / deviation in 1/64
        self.judged = torch.zeros(size, dtype=torch.int16)  # 1 where `error` is set

    def start_phase(self, phase: tuple[int, int], pixels: torch.Tensor) -> Phase:
        """Look at the neighbourhood of a phase. pixels: int16 (3, h, w), true where known, the base elsewhere."""
        kind = geometry(phase)
        for step in range(3):
            key = (kind, step)
            if key in self.normal:
                matrix, vector, count = self.normal[key]
                self.normal[key] = (matrix * PHASE_DISCOUNT, vector * PHASE_DISCOUNT, count)
            if key in self.score:
                self.score[key] = np.floor(self.score[key] * 0.5)
        return Phase(self, phase, kind, pixels)


class Phase:
    """One phase while it is coded: adjusts distributions before, learns after every channel of every run."""

    def __init__(self, adapter: Adapter, phase: tuple[int, int], kind: int, pixels: torch.Tensor) -> None:
        self.adapter, self.phase, self.kind = adapter, phase, kind
        height, width = pixels.shape[1:]
        self.grid = (len(range(phase[0], height, PATCH)), len(range(phase[1], width, PATCH)))
        count = self.grid[0] * self.grid[1]
        padded = torch.nn.functional.pad(pixels[None].float(), (RADIUS,) * 4, mode="replicate")[0].short()  # pad knows no int16
        self.around = torch.stack([self._shifted(padded, o) for o in NEIGHBOURS[kind]])  # int16 (neighbours, 3, N)
        near = torch.zeros(3, count, dtype=torch.int32)
        judged = torch.zeros(count, dtype=torch.int32)
        for offset in ERROR_OFFSETS:
            near += self._shifted(adapter.error, offset)
            judged += self._shifted(adapter.judged, offset)
        self.near, self.judged = near + CONTEXT_START, judged + 1
        self.errors = torch.zeros(3, count, dtype=torch.int16)

    def _shifted(self, plane: torch.Tensor, offset: Offset) -> torch.Tensor:
        """(..., h + 2 r, w + 2 r) -> (..., N): the plane at an offset from the phase's pixels."""
        y, x = (p + RADIUS + d for p, d in zip(self.phase, offset, strict=True))
        rows, cols = self.grid
        return plane[..., y : y + PATCH * (rows - 1) + 1 : PATCH, x : x + PATCH * (cols - 1) + 1 : PATCH].flatten(-2)

    def start_run(self, run: slice, base: torch.Tensor) -> None:
        """base: int32 (3, n) of the run's pixels."""
        self.run, self.base = run, base
        self.beside = (self.around[:, :, run] - base) * MEAN_STEPS  # int32 (neighbours, 3, n)
        self.innovations: list[torch.Tensor] = []

    def adjust(self, mixture: IntegerMixture, residuals: list[torch.Tensor]) -> None:
        """Correct the mixture's channel that comes next, in place."""
        step = mixture.step
        channel = CODING_ORDER[step]
        key = (self.kind, step)
        weight_sum = mixture.weight.sum(0, dtype=torch.int32).double()
        mean = torch.floor((mixture.weight * mixture.center).sum(0).double() / weight_sum)
        spread = look_up(self.adapter.tables["deviation"], mixture.index)
        spread = spread + (mixture.center - mean.to(torch.int32)).abs_()
        self.deviation = torch.floor((mixture.weight * spread).sum(0).double() / weight_sum)
        others = [c for c in CODING_ORDER if c != channel]
        own = self.beside[:, channel].double() + (self.base[channel] * MEAN_STEPS - mean)
        parts = [own, *(self.beside[:, c].double() for c in others)]
        extra = [r.double() * MEAN_STEPS for r in residuals] + self.innovations
        if extra:
            parts.append(torch.stack(extra))
        self.features = torch.cat(parts).clamp_(-FEATURE_MAX, FEATURE_MAX)  # (f, n), integers
        correction = torch.zeros_like(mean)
        if key in self.adapter.normal:
            matrix, vector, count = self.adapter.normal[key]
            if count >= ENOUGH:
                diagonal = np.arange(len(vector))
                ridged = matrix.copy()
                ridged[diagonal, diagonal] += ridged[diagonal, diagonal] * (RIDGE / count) + 1.0
                solution = np.clip(np.rint(solve(ridged, vector) * 2**SOLUTION_BITS), -SOLUTION_MAX, SOLUTION_MAX)
                total = torch.from_numpy(solution)[None] @ self.features  # integers below 2**33: exact in any order
                correction = torch.floor(total[0] * 2.0**-SOLUTION_BITS).clamp_(-CORRECTION_MAX, CORRECTION_MAX)
        self.mean, self.corrected = mean, mean + correction
        near, judged = self.near[step, self.run], self.judged[self.run]
        if step:
            near, judged = near + 2 * self.errors[step - 1, self.run], judged + 2
        ratio = near // judged
        self.context = torch.bucketize(ratio, torch.tensor(CONTEXTS, dtype=torch.int32), right=True)
        score = self.adapter.score.get(key)
        if score is None:
            last = self.adapter.last_score_key.get(step)
            score = np.zeros((len(SHIFTS), len(CONTEXTS) + 1)) if last is None else np.floor(self.adapter.score[last] * 0.25)
            self.adapter.score[key] = score
        prior = np.abs(np.array(SHIFTS, dtype=np.float64))[:, None] * SHIFT_PRIOR
        best = np.array(SHIFTS, dtype=np.int32)[(score + prior).argmin(0)]
        mixture.center = mixture.center + correction.to(torch.int32)
        self.unshifted = mixture.index
        mixture.index = mixture.index + torch.from_numpy(best)[self.context]

    def learn(self, mixture: IntegerMixture, value: torch.Tensor) -> None:
        """Learn from the channel just coded. value: int32 (n,)."""
        adapter, key, step = self.adapter, (self.kind, mixture.step), mixture.step
        truth = value.double() * MEAN_STEPS
        innovation = truth - self.corrected
        self.errors[step, self.run] = torch.floor(innovation.abs() * 64 / (self.deviation + 8)).clamp_(max=ERROR_MAX).short()
        self.innovations.append(innovation)
        adapter.last_score_key[step] = key
        deviation, features, weight = self.deviation, self.features, mixture.weight
        target = (truth - self.mean).clamp(-FEATURE_MAX, FEATURE_MAX)
        precision = torch.floor(WEIGHT_ONE / (deviation * deviation + WEIGHT_SOFT)).clamp_(min=1)  # below 2**16
        weighted = features * precision  # below 2**28; sums of 4096 products with features below 2**52
        matrix, vector = (weighted @ features.T).numpy(), (weighted @ target).numpy()
        if key in adapter.normal:
            old = adapter.normal[key]
            adapter.normal[key] = (old[0] + matrix, old[1] + vector, old[2] + value.numel())
        else:
            adapter.normal[key] = (matrix, vector, float(value.numel()))
        # Every candidate shift, on a sample: sum of -log2 of the mass it gives, per context. log2 is a table of mantissas, in 1/256 bit.
        pick = slice(None, None, SCALE_SAMPLE)
        edges = torch.stack([value[pick], value[pick] + 1])[None]  # (1, 2, m)
        index = self.unshifted[:, pick] + torch.tensor(SHIFTS, dtype=torch.int32)[:, None, None]  # (shifts, K, m)
        low, high = mixture.component_cdf(edges, mixture.offset[:, pick], mixture.inverse_of(index)[:, None]).unbind(1)  # (shifts, K, m)
        high = torch.where(value[pick] == 255, 1 << 16, high)
        low = torch.where(value[pick] == 0, 0, low)
        mass = (weight[:, pick] * (high - low)).sum(1) + FLOOR  # (shifts, m)
        mantissa, exponent = torch.frexp(mass.double())
        table = adapter.tables["log2"]
        cost = -256 * exponent.double() - table[torch.floor((mantissa - 0.5) * 512).long()].double()
        score = np.zeros((len(SHIFTS), len(CONTEXTS) + 1))
        one_hot = torch.nn.functional.one_hot(self.context[pick], len(CONTEXTS) + 1).double()  # (m, contexts)
        score += (cost @ one_hot).numpy()
        adapter.score[key] = adapter.score[key] + score

    def finish(self) -> None:
        """The phase is coded: its errors become context for the next ones."""
        rows, cols = self.grid
        y, x = (p + RADIUS for p in self.phase)
        where = (slice(y, y + PATCH * (rows - 1) + 1, PATCH), slice(x, x + PATCH * (cols - 1) + 1, PATCH))
        self.adapter.error[(slice(None), *where)] = self.errors.view(3, rows, cols)
        self.adapter.judged[where] = 1
