"""What an order-agnostic model is trained and judged by: the bound, exact evaluation along an order, and
where the bits go. Knows no bytes.

For D variables coded in a random order, one call that knows t-1 of them gives the loss of step t, the mean
cost of the unknown ones:

    L_t = E[ 1/(D-t+1) * sum over unknown k of -log p(x_k | known) ]
    -log p(x) <= sum_t L_t = D * E_t[L_t]

(Hoogeboom et al. 2021, equations 5 to 8). With S digits the sum runs over all stages, so that a value costs S
calls' worth of variables.

Special cases of the same network, which the tests hold it to: with a budget of D calls it is the
order-agnostic ARM of Uria et al. 2014; with each variable unknown independently with probability u, u
uniform, it is absorbing diffusion (D3PM, Austin et al. 2021) in continuous time, whose bound, E_u[ 1/u * sum
over unknown of -log p ], is the same number (section 3.4): see `diffusion_bound`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from ardm.budget import even
from ardm.discrete import coarse, digit_log_prob
from ardm.generate import Policy, answers, walk
from ardm.networks import Network

BITS = 1 / math.log(2)


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error over examples."""

    mean: float
    error: float
    count: int

    @staticmethod
    def of(values: torch.Tensor) -> Estimate:
        n = values.numel()
        return Estimate(
            float(values.double().mean()),
            float(values.double().std() / math.sqrt(n)) if n > 1 else math.nan,
            n,
        )

    def __str__(self) -> str:
        return f"{self.mean:.4f} +- {self.error:.4f}"


def ranks(shape: tuple[int, ...], batch: int, generator: torch.Generator) -> torch.Tensor:
    """Random orders: int64 (batch, *shape), the place 0..D-1 of every variable."""
    keys = torch.rand(batch, math.prod(shape), generator=generator, device=generator.device)
    places = torch.arange(keys.shape[1], device=keys.device).expand_as(keys)
    return torch.empty_like(places).scatter_(1, keys.argsort(1), places).view(batch, *shape)


def information(network: Network, x: torch.Tensor, known: torch.Tensor, digit: int) -> torch.Tensor:
    """Cost in nats of every unknown digit, 0 where known: float32 (B, *shape). One network call."""
    unknown = ~known
    params = network(coarse(network.space, x, known, digit), known, digit, unknown)
    return torch.zeros(x.shape, device=x.device).masked_scatter(
        unknown, -digit_log_prob(network.space, params[unknown], x[unknown], digit)
    )


def training_loss(
    network: Network, x: torch.Tensor, generator: torch.Generator, cross_entropy: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss to minimise, bound), both in bits per variable, scalars.

    x: int64 (B, *shape). One call per stage; t is uniform, stratified over the batch. The loss adds
    `cross_entropy` times the unweighted mean cost of the unknown variables (appendix B).
    """
    b, d = x.shape[0], network.space.size
    where = ranks(network.space.shape, b, generator)
    total = torch.zeros((), device=x.device)
    plain = torch.zeros((), device=x.device)
    for digit in reversed(range(network.space.stages)):
        spread = torch.randperm(b, generator=generator, device=x.device) + torch.rand(
            b, generator=generator, device=x.device
        )
        t = (spread * d / b).long().clamp(max=d - 1)  # variables known
        known = where < t.view(-1, *[1] * (x.dim() - 1))
        left = d - t
        cost = information(network, x, known, digit).flatten(1).sum(1)
        total = total + (cost / left).mean()
        plain = plain + cost.sum() / left.sum()
    return (total + cross_entropy * plain) * BITS, total * BITS


@torch.no_grad()
def bound(network: Network, x: torch.Tensor, generator: torch.Generator, passes: int = 4) -> torch.Tensor:
    """The bound, by sampling orders and t: bits per variable of each example, float32 (B,)."""
    return _sampled(network, x, generator, passes, binomial=False)


@torch.no_grad()
def diffusion_bound(
    network: Network, x: torch.Tensor, generator: torch.Generator, passes: int = 4
) -> torch.Tensor:
    """The same for absorbing diffusion in continuous time: each variable is unknown with probability u, and
    costs 1/u. float32 (B,).
    """
    return _sampled(network, x, generator, passes, binomial=True)


def _sampled(
    network: Network, x: torch.Tensor, generator: torch.Generator, passes: int, binomial: bool
) -> torch.Tensor:
    b, d = x.shape[0], network.space.size
    total = torch.zeros(b, device=x.device)
    for n in range(passes):
        for digit in reversed(range(network.space.stages)):
            at = (
                torch.randperm(b, generator=generator, device=x.device)
                + torch.rand(b, generator=generator, device=x.device)
            ) / b
            at = (n + at) / passes if passes > 1 else at
            if binomial:
                u = at.clamp_min(1e-3 / d).view(-1, *[1] * (x.dim() - 1))
                known = torch.rand(x.shape, generator=generator, device=x.device) >= u
                weight = 1 / (d * u.flatten())
            else:
                t = (at * d).long().clamp(max=d - 1)
                known = ranks(network.space.shape, b, generator) < t.view(-1, *[1] * (x.dim() - 1))
                weight = 1 / (d - t)
            total += information(network, x, known, digit).flatten(1).sum(1) * weight
    return total * BITS / passes


@torch.no_grad()
def exact_bits(
    network: Network, x: torch.Tensor, order: torch.Tensor, policy: Policy | None = None
) -> torch.Tensor:
    """Bits per variable of each example, coded along an order: what a perfect coder spends. float64 (B,).

    x: int64 (B, *shape); order, policy: as in `ardm.generate.walk`; without a policy every variable has a
    call of its own.
    """
    space = network.space
    total = torch.zeros(x.shape[0], dtype=torch.float64, device=x.device)

    def score(params: torch.Tensor, parent: torch.Tensor, digit: int, where: torch.Tensor) -> torch.Tensor:
        value = x.flatten(1)[:, where]
        total.sub_(digit_log_prob(space, params, value, digit).double().sum(1))
        return value // space.radix**digit % space.radix

    walk(
        space,
        answers(network),
        order,
        policy or even(space.size, space.stages, space.size * space.stages),
        score,
        x,
    )
    return total * BITS / space.size


@torch.no_grad()
def loss_table(
    network: Network,
    batches: Iterable[torch.Tensor],
    generator: torch.Generator,
    points: int = 33,
    order: torch.Tensor | None = None,
) -> np.ndarray:
    """L_t of every stage, first stage first, in bits: float64 (S, D). Measured at `points` values of t,
    between them by straight lines.

    order: the places that will be coded along, (*shape); None: random ones. Made non-increasing, since noise
    would otherwise be exploited by the dynamic program (more known variables cannot cost more on average).
    """
    space = network.space
    d = space.size
    at = np.unique(np.round(np.linspace(0, d - 1, min(points, d))).astype(int))
    sums, count = np.zeros((space.stages, at.size)), 0
    for x in batches:
        where = ranks(space.shape, x.shape[0], generator) if order is None else order
        for stage, digit in enumerate(reversed(range(space.stages))):
            for i, t in enumerate(at):
                known = (where < int(t)).expand(x.shape)
                sums[stage, i] += float(information(network, x, known, digit).sum()) / (d - t)
        count += x.shape[0]
    table = np.stack([np.interp(np.arange(d), at, row) for row in sums * BITS / count])
    return np.maximum.accumulate(table[:, ::-1], axis=1)[:, ::-1]
