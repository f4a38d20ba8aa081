"""Training an order-agnostic network on examples of any discrete data, and loading it again. Knows spaces and
objectives, not files of data.

`fit` is resumable: recipe, seed, step and time are in the checkpoint, every validation is a line of
log.jsonl, and the best weights so far are kept apart (best.safetensors) from the last ones
(average.safetensors).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ardm.discrete import Space
from ardm.networks import CHAINS, Chain, Config, Network, build, parameter_count
from ardm.objective import Estimate, bound, training_loss
from ardm.training.contexts import ContextMasks
from ardm.training.locoprop import Local, of_trunk, with_adamw
from ardm.training.run import (
    CheckpointError,
    Run,
    average_losses,
    load_tensors,
    load_weights,
    trunk_of,
    usual_optimizers,
)

OPTIMIZERS = ("adamw", "muon", "locoprop")

# (network, generator) -> what to minimise, scalar; the generator's state depends on seed and step alone
Objective = Callable[[Network, torch.Generator], torch.Tensor]


@dataclass(frozen=True)
class TrainingRecipe:
    """Everything that decides a training run except the data; stored with the weights."""

    space: Space
    network: Config = field(default_factory=Config)
    minutes: float = 0.0
    steps: int = 10_000
    batch: int = 64
    rate: float = 1e-3
    optimizer: str = "muon"  # one of OPTIMIZERS
    weight_decay: float = 0.0  # of adamw
    local: Local = field(default_factory=Local)  # of locoprop
    warmup: float = 0.02
    ema: float = 0.999
    quantize_from: float = 2.0
    exact_from: float = 2.0
    cross_entropy: float = 0.001  # weight of the unweighted term
    masks: ContextMasks = field(default_factory=ContextMasks)  # of context networks on long rows
    seed: int = 1

    def __post_init__(self) -> None:
        if self.batch < 1 or self.steps < 1 or self.rate <= 0:
            raise ValueError(
                f"batch and steps must be at least 1 and rate above 0, got {self.batch}, {self.steps}, "
                f"{self.rate}."
            )
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}.")
        if self.optimizer == "locoprop" and self.network.name not in CHAINS:
            raise ValueError(
                f"locoprop is for networks of matrix products and ReLU, {', '.join(CHAINS)}; got "
                f"{self.network.name}."
            )


def recipe_from(about: dict[str, Any]) -> TrainingRecipe:
    """The recipe that a checkpoint's description holds."""
    fields = dict(about["recipe"])
    for retired in ("spread", "rows", "cell"):  # until 1.0.0.dev, of a network for texts
        fields.pop(retired, None)
    if "muon" in fields:  # until 0.3.0; else was Adam, which is AdamW without decay
        fields["optimizer"] = "muon" if fields.pop("muon") else "adamw"
    return TrainingRecipe(
        **fields
        | {
            "space": Space(**fields["space"]),
            "network": Config(**fields["network"]),
            "local": Local(**fields.get("local", {})),
            "masks": ContextMasks(**fields.get("masks", {})),
        }
    )


def optimizers(net: Network, recipe: TrainingRecipe) -> list[torch.optim.Optimizer]:
    """Those that the recipe names. LocoProp's come with AdamW for what is no matrix product."""
    if recipe.optimizer != "locoprop" or not isinstance(net, Chain):
        return usual_optimizers(net, recipe)
    return with_adamw(of_trunk(net.body, [(net.head, net.head_bias)], recipe.local.matching), net, recipe)


def load_network(path: Path) -> tuple[Network, TrainingRecipe]:
    """The averaged network of a checkpoint, in evaluation mode. Raises CheckpointError."""
    tensors, about = load_tensors(path)
    try:
        recipe = recipe_from(about)
        net = build(recipe.network, recipe.space)
        quantized = bool(about["quantized"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not describe a network that this release knows: {error}."
        ) from error
    load_weights(net, tensors, "average.", path)
    trunk = trunk_of(net)
    if trunk:
        trunk.quantized = quantized
    return net.eval(), recipe


def of_examples(recipe: TrainingRecipe, draw: Callable[[int, torch.Generator], torch.Tensor]) -> Objective:
    """The bound of examples. draw(batch, generator) gives them, int64 (batch, *shape)."""

    def objective(net: Network, generator: torch.Generator) -> torch.Tensor:
        return training_loss(net, draw(recipe.batch, generator), generator, recipe.cross_entropy)[0]

    return objective


@dataclass(frozen=True)
class Session:
    """How a training run is done; nothing of it decides the weights."""

    device: torch.device | str = "cpu"
    limit: float = 1e9  # minutes after which this process stops
    every: float = 2.0  # minutes between validations
    # what the schedule's minutes are measured by; `time.thread_time` counts this thread's work alone, for
    # comparisons on a busy machine
    clock: Callable[[], float] = time.monotonic


def fit(
    recipe: TrainingRecipe,
    objective: Objective,
    valid: torch.Tensor,
    out: Path,
    session: Session | None = None,
    measure: Callable[[Network], dict[str, float]] = lambda net: {},
) -> Run[Network]:
    """Train until the schedule ends or the session's limit is reached, going on from
    out/checkpoint.safetensors if there is one.

    objective: what to minimise, such as `of_examples` makes; valid: examples for validation, int64, whose
    bound is printed and logged; measure: what else to log of the averaged network.
    """
    session = session or Session()
    device = torch.device(session.device)
    out.mkdir(parents=True, exist_ok=True)
    recipe.space.check(valid)
    run: Run[Network] = Run(
        recipe, lambda: build(recipe.network, recipe.space), device, optimizers, session.clock
    )
    checkpoint = out / "checkpoint.safetensors"
    best = float("inf")
    if checkpoint.exists():
        run.restore(checkpoint)
        lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        best = min((line["valid"] for line in lines if line["quantized"] == run.quantized), default=best)
    else:
        (out / "log.jsonl").write_text("")
        print(f"{recipe.network.name}: {parameter_count(run.net):,} parameters", flush=True)
    generator = torch.Generator(device)
    begun = last = time.monotonic()
    losses: list[torch.Tensor] = []

    def report() -> None:
        nonlocal best
        run.average.eval()
        estimate = Estimate.of(validate(run.average, valid, recipe.seed))
        line = {
            "step": run.step,
            "minutes": round(run.seconds / 60, 2),
            "rate": round(run.rate(), 6),
            "quantized": run.quantized,
            "loss": average_losses(losses),
            "valid": round(estimate.mean, 4),
            "error": round(estimate.error, 4),
            **{name: round(value, 4) for name, value in measure(run.average).items()},
        }
        losses.clear()
        with (out / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
        run.save(checkpoint)
        run.save_average(out / "average.safetensors")
        if estimate.mean < best:
            best = estimate.mean
            run.save_average(out / "best.safetensors")

    while run.progress < 1 and time.monotonic() - begun < 60 * session.limit:
        # of every step, so that an interruption changes nothing
        generator.manual_seed(recipe.seed * 1_000_003 + run.step)
        if run.quantizing_is_due:
            report()
            run.save(out / "float.safetensors")
            run.start_quantizing(lambda net: objective(net, generator))
            best = float("inf")  # of the integer network
        losses.append(run.update(lambda: objective(run.net, generator)))
        if time.monotonic() - last > 60 * session.every:
            report()
            last = time.monotonic()
    report()
    return run


@torch.no_grad()
def validate(net: Network, valid: torch.Tensor, seed: int, batch: int = 64) -> torch.Tensor:
    """The bound of every example, in bits per variable; the same masks every time."""
    device = next(net.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    return torch.cat([bound(net, part.to(device), generator, 1).cpu() for part in valid.split(batch)])
