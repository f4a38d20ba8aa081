"""Network calls for the codec of discrete data: from known variables to integer parameters. Knows tensors,
not bytes or files.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import torch

from ardm.exact.carriers import Carrier, ReferenceCarrier, choose_carrier
from ardm.exact.context import CompiledContext
from ardm.exact.device import find_device
from ardm.exact.weights import Weights
from ardm.forks import steady
from ardm.networks import TokenGrid, conditions, context_conditions, context_of, context_planes

SHARE = 2**13  # variables that a context network is evaluated for at once: bounds memory


class DiscretePredictor:
    """An `ardm.generate.Answer` in exact integers: int32 parameters for `ardm.exact.frequencies`.
    Thread-safe; does not depend on the batch.
    """

    def __init__(
        self,
        weights: Weights,
        device: str = "cpu",
        carrier: Carrier | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        """shape: of the examples, if it is not that of training; a mixer has no other."""
        self.across = any(layer.across for layer in weights.layers)
        if self.across and shape not in (None, weights.model.space.shape):
            raise ValueError(
                f"a mixer works on examples of shape {weights.model.space.shape} only, got {shape}."
            )
        self.weights = weights
        self.space = replace(weights.model.space, shape=shape or weights.model.space.shape)
        self.frame = TokenGrid(weights.model.network, self.space)
        self.tables = weights.tables()
        context = weights.model.network.name == "context"
        own = context and not carrier and find_device(device) == "cpu"
        self.compiled = choose_compiled(weights) if own else None
        self.carrier = carrier or (
            ReferenceCarrier(weights) if self.compiled else choose_carrier(weights, device)
        )

    @torch.inference_mode()
    def __call__(
        self, seen: torch.Tensor, known: torch.Tensor, digit: int, where: torch.Tensor
    ) -> torch.Tensor:
        """Parameters of the variables `where`, int32 (B, n, P); arguments as in `ardm.networks`, where: int64
        (n,).
        """
        if self.weights.model.network.name == "context":
            return self._in_context(seen, known, where)
        planes, guess = self.frame.tokens(seen, known, digit)
        tokens = planes.to(torch.int8)
        batch, _, rows, columns = tokens.shape
        cond = conditions(self.space, known, digit).numpy().astype(np.int64)
        # rows are independent of each other: one picture of all examples
        if rows == 1 and not self.across and (cond == cond[0]).all():
            tokens, cond = tokens.transpose(0, 2), cond[:1]
        elif self.across:
            tokens = tokens.flatten(2).unsqueeze(2)
        features = self.carrier.features(tokens.contiguous(), cond)
        # (B or 1, outputs, tokens)
        out = torch.stack([self.carrier.read_out(features, tokens, i, 0) for i in range(tokens.shape[0])])
        if out.shape[0] != batch:
            out = out[0].unflatten(1, (batch, columns)).transpose(0, 1)
        return self.frame.scatter(out.reshape(batch, -1, rows, columns), guess).flatten(1, -2)[:, where]

    def _in_context(self, seen: torch.Tensor, known: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        """The same of a network that is evaluated for the variables asked for alone."""
        batch, count = seen.shape[0], where.numel()
        if self.compiled:
            everything = torch.where(known, seen, self.space.classes).numpy()
            answers = [self.compiled(row, where.numpy()) for row in everything]
            return torch.from_numpy(np.stack(answers))
        rows = (self.space.size * torch.arange(batch)[:, None] + where).flatten()
        kernel = self.weights.model.network.kernel
        cond = context_conditions(self.space, seen.device).numpy().astype(np.int64)
        out = torch.empty((batch * count, self.space.parameters), dtype=torch.int32)
        for start in range(0, batch * count, SHARE):
            states = context_of(self.space, kernel, seen, known, rows[start : start + SHARE])
            tokens = context_planes(self.space, states, torch.int8).T[None, :, None]
            features = self.carrier.features(tokens, cond)
            out[start : start + SHARE] = self.carrier.read_out(features, tokens, 0, 0).T
        return out.view(batch, count, -1)


_chosen: dict[str, CompiledContext | None] = {}


def choose_compiled(weights: Weights) -> CompiledContext | None:
    """The compiled context network, if it agrees with the reference on this machine."""
    with steady:
        if weights.id not in _chosen:
            _chosen[weights.id] = None
            if CompiledContext.suits(weights):
                compiled = CompiledContext(weights)
                if _agrees(compiled, weights):
                    _chosen[weights.id] = compiled
                else:
                    warnings.warn(
                        "compiled: inexact on this machine, not used.", RuntimeWarning, stacklevel=3
                    )
        return _chosen[weights.id]


def _agrees(compiled: CompiledContext, weights: Weights) -> bool:
    """On a row of all states, of a length that is no multiple of what is computed at once."""
    space = replace(weights.model.space, shape=(61,))
    generator = torch.Generator().manual_seed(1)
    seen = torch.randint(0, space.classes, (1, 61), generator=generator)
    known = torch.rand(1, 61, generator=generator) < torch.linspace(0, 1.2, 61)
    reference = DiscretePredictor(weights, carrier=ReferenceCarrier(weights), shape=(61,))
    expected = reference(seen, known, 0, torch.arange(61))[0].numpy()
    states = torch.where(known, seen, space.classes)[0].numpy()
    return np.array_equal(compiled(states, np.arange(61)), expected)
