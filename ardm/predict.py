"""Network calls for the codec: from known pixels, or known variables of discrete data, to integer parameters. Knows tensors, not bytes or files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ardm.integer import Carrier, choose_carrier
from ardm.networks import Frame, conditions
from ardm.orders import PATCH, patch_count, patch_start, place_of
from ardm.stages import LEVEL_ZERO, MASK_ON, condition, tokens
from ardm.weights import Weights


@dataclass
class Call:
    """One network call: a stage of an image, what is known of it, and the anchor."""

    level: int
    pixels: torch.Tensor  # int16 (3, h, w), 0..255 where known, anything elsewhere
    known: torch.Tensor  # int8 (h, w), 0 or 1
    base: torch.Tensor  # int16 (3, h, w)
    anchor: tuple[int, int]


Answer = Callable[[tuple[int, int]], torch.Tensor]  # phase -> int32 (P, rows * cols): parameters of all its pixels, row-major


class NetworkPredictor:
    """Answers calls with a carrier of integer weights. Thread-safe; the answers do not depend on how calls are batched."""

    def __init__(self, weights: Weights, device: str = "cpu", carrier: Carrier | None = None) -> None:
        self.weights = weights
        self.tables = weights.tables()
        self.carrier = carrier or choose_carrier(weights, device)

    @torch.inference_mode()
    def predict(self, calls: Sequence[Call]) -> list[Answer]:
        """Answer calls of one stage (all images of the same shape) in one batch."""
        seen, cond = [], []
        for call in calls:
            residual = (call.pixels - call.base).clamp_(-128, 127).to(torch.int8) * call.known
            level = (call.base - LEVEL_ZERO).to(torch.int8)
            known = call.known[None, None]
            seen.append(tokens(residual[None], known * MASK_ON, level[None], call.anchor))
            cond.append(condition(known, call.anchor, call.level))
        stacked = seen[0] if len(seen) == 1 else torch.cat(seen)
        features = self.carrier.features(stacked, torch.cat(cond).numpy().astype(np.int64))
        return [self._answer(features, stacked, i, call) for i, call in enumerate(calls)]

    def _answer(self, features: object, seen: torch.Tensor, item: int, call: Call) -> Answer:
        height, width = call.known.shape
        grid = patch_count(height), patch_count(width)

        @torch.inference_mode()
        def answer(phase: tuple[int, int]) -> torch.Tensor:
            out = self.carrier.read_out(features, seen, item, place_of(phase, call.anchor)).view(-1, *grid)
            part = []
            for size, p, a in zip((height, width), phase, call.anchor, strict=True):
                first = (p - patch_start(a)) // PATCH  # patch of the phase's first pixel
                part.append(slice(first, first + -(-(size - p) // PATCH)))
            return out[:, part[0], part[1]].flatten(1)

        return answer


class DiscretePredictor:
    """An `ardm.generate.Answer` in exact integers: int32 parameters for `ardm.frequencies`. Thread-safe; does not depend on the batch."""

    def __init__(self, weights: Weights, device: str = "cpu", carrier: Carrier | None = None, shape: tuple[int, ...] | None = None) -> None:
        """shape: of the examples, if it is not that of training; a mixer has no other."""
        self.across = any(layer.across for layer in weights.layers)
        if self.across and shape not in (None, weights.model.space.shape):
            raise ValueError(f"a mixer works on examples of shape {weights.model.space.shape} only, got {shape}.")
        self.weights = weights
        self.space = replace(weights.model.space, shape=shape or weights.model.space.shape)
        self.frame = Frame(weights.model.network, self.space)
        self.tables = weights.tables()
        self.carrier = carrier or choose_carrier(weights, device)

    @torch.inference_mode()
    def __call__(self, seen: torch.Tensor, known: torch.Tensor, digit: int, where: torch.Tensor) -> torch.Tensor:
        """Parameters of the variables `where`, int32 (B, n, P); arguments as in `ardm.networks`, where: int64 (n,)."""
        planes, guess = self.frame.tokens(seen, known, digit)
        tokens = planes.to(torch.int8)
        batch, _, rows, columns = tokens.shape
        cond = conditions(self.space, known, digit).numpy().astype(np.int64)
        if rows == 1 and not self.across and (cond == cond[0]).all():  # rows are independent of each other: one picture of all examples
            tokens, cond = tokens.transpose(0, 2), cond[:1]
        elif self.across:
            tokens = tokens.flatten(2).unsqueeze(2)
        features = self.carrier.features(tokens.contiguous(), cond)
        out = torch.stack([self.carrier.read_out(features, tokens, i, 0) for i in range(tokens.shape[0])])  # (B or 1, outputs, tokens)
        if out.shape[0] != batch:
            out = out[0].unflatten(1, (batch, columns)).transpose(0, 1)
        return self.frame.scatter(out.reshape(batch, -1, rows, columns), guess).flatten(1, -2)[:, where]
