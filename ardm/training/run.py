"""A training run of any network: weights, averaged weights, optimisers, schedule, clock, checkpoints. Knows
no data and no objective.

The schedule runs over minutes of training or over steps: warm-up, cosine decay, from `quantize_from` on with
simulated integer arithmetic (networks with a `Trunk`), from `exact_from` on without bf16. A checkpoint is a
safetensors file (never a pickle) that holds everything needed to continue, in another process or on another
device.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import nn

from ardm.networks.layers import Trunk
from ardm.networks.window import WindowNet


class CheckpointError(ValueError):
    """Not a checkpoint, a damaged one, or one of another network."""


class TrainingSchedule(Protocol):
    """What a recipe must say; a frozen dataclass whose fields go into the checkpoint."""

    minutes: float  # length of the schedule in minutes of training; 0: use steps
    steps: int
    rate: float  # peak learning rate
    # muon: Muon for the weight matrices between hidden layers, Adam for the rest; adamw: AdamW for all
    optimizer: str
    weight_decay: float  # of adamw
    warmup: float  # share of the schedule
    ema: float  # decay of the averaged weights
    quantize_from: (
        float  # share of the schedule after which integer arithmetic is simulated; 1 or more: never
    )
    exact_from: float  # share after which bf16 is switched off
    seed: int


Net = TypeVar("Net", bound=nn.Module)


def trunk_of(net: nn.Module) -> Trunk | WindowNet | None:
    """The part of a network that has integer arithmetic."""
    return next((m for m in net.modules() if isinstance(m, Trunk | WindowNet)), None)


def usual_optimizers(net: nn.Module, recipe: Any) -> list[torch.optim.Optimizer]:
    """AdamW, or Adam and Muon, for a `Schedule`. Raises ValueError for other names."""
    if recipe.optimizer == "adamw":
        return [
            torch.optim.AdamW(
                net.parameters(),
                lr=recipe.rate,
                betas=(0.9, 0.99),
                weight_decay=recipe.weight_decay,
                fused=True,
            )
        ]
    if recipe.optimizer != "muon":
        raise ValueError(f"optimizer must be adamw or muon, got {recipe.optimizer!r}.")
    trunk = trunk_of(net)
    matrices = trunk.matrices() if trunk else []
    others = [p for p in net.parameters() if all(p is not m for m in matrices)]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Adam(others, lr=recipe.rate, betas=(0.9, 0.99), fused=True)
    ]
    if matrices:
        optimizers.append(
            torch.optim.Muon(matrices, lr=recipe.rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
        )
    return optimizers


class Run(Generic[Net]):
    """All that a checkpoint holds. `optimizers` replaces the usual ones; `clock` gives the seconds that
    `Schedule.minutes` counts.
    """

    def __init__(
        self,
        recipe: Any,
        make: Callable[[], Net],
        device: torch.device,
        optimizers: Callable[[Net, Any], list[torch.optim.Optimizer]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe: TrainingSchedule = recipe
        self.device = device
        self.net = make().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = make().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average.load_state_dict(self.net.state_dict())
        self.optimizers = (optimizers or usual_optimizers)(self.net, self.recipe)
        self.clock = clock  # of `seconds`
        self.step, self.seconds = 0, 0.0

    @property
    def quantized(self) -> bool:
        trunk = trunk_of(self.net)
        return trunk is not None and trunk.quantized

    @property
    def progress(self) -> float:
        if self.recipe.minutes:
            return self.seconds / (60 * self.recipe.minutes)
        return self.step / self.recipe.steps

    def rate(self) -> float:
        p, r = min(self.progress, 1.0), self.recipe
        return r.rate * min(1.0, (p + 1e-4) / r.warmup) * (0.5 + 0.5 * math.cos(math.pi * p) + 0.005)

    @property
    def quantizing_is_due(self) -> bool:
        return (
            trunk_of(self.net) is not None
            and not self.quantized
            and self.progress >= self.recipe.quantize_from
        )

    def start_quantizing(self, forward: Callable[[Net], Any], times: int = 4) -> None:
        """Fit the averaged network's activations, as `times` calls of forward show them, to integers; go on
        from there with simulated ones.
        """
        trunk, average = trunk_of(self.net), trunk_of(self.average)
        assert trunk is not None
        assert average is not None
        average.calibrate(lambda: [forward(self.average) for _ in range(times)])
        self.net.load_state_dict(self.average.state_dict())
        trunk.quantized = average.quantized = True

    def update(self, objective: Callable[[], torch.Tensor]) -> torch.Tensor:
        """One step on a loss, timed. Returns the loss, detached."""
        tick = self.clock()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = self.rate()
        with torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.progress < self.recipe.exact_from
        ):
            loss = objective()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), 1 - decay)
        if self.step % 20 == 0 and self.device.type == "cuda":
            torch.cuda.synchronize()  # keep the clock honest
        self.seconds += self.clock() - tick
        return loss.detach()

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        tensors = {f"net.{k}": v for k, v in self.net.state_dict().items()} | {
            f"average.{k}": v for k, v in self.average.state_dict().items()
        }
        for n, optimizer in enumerate(self.optimizers):
            for i, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{n}.{i}.{k}": v for k, v in state.items()}
        save_tensors(path, tensors, self._about() | {"seconds": self.seconds})

    def save_average(self, path: Path) -> None:
        """Write the averaged weights alone."""
        tensors = {f"average.{k}": v for k, v in self.average.state_dict().items()}
        save_tensors(path, tensors, self._about())

    def _about(self) -> dict[str, Any]:
        """What a checkpoint says of itself."""
        recipe: Any = self.recipe
        return {"recipe": asdict(recipe), "step": self.step, "quantized": self.quantized}

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint. Raises CheckpointError if it is none, or is of another network."""
        tensors, about = load_tensors(path)
        load_weights(self.net, tensors, "net.", path)
        load_weights(self.average, tensors, "average.", path)
        try:
            self.step, self.seconds, quantized = (
                int(about["step"]),
                float(about["seconds"]),
                bool(about["quantized"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path} is not an ardm checkpoint: step, seconds and quantized were expected in its "
                f"description ({error})."
            ) from error
        states: list[dict[int, dict[str, torch.Tensor]]] = [{} for _ in self.optimizers]
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                try:
                    _, n, i, name = key.split(".", 3)
                    parameter = [
                        p for group in self.optimizers[int(n)].param_groups for p in group["params"]
                    ][int(i)]
                except (IndexError, ValueError) as error:
                    raise CheckpointError(
                        f"{path} is of another optimiser: it has {key}, which is not expected."
                    ) from error
                if value.dim() and value.shape != parameter.shape:
                    raise CheckpointError(
                        f"{path} is of another optimiser: {key} has shape {tuple(value.shape)}, expected "
                        f"was {tuple(parameter.shape)}."
                    )
                if value.dim():  # in memory as the parameter: fused optimisers walk through both by address
                    value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
                states[int(n)].setdefault(int(i), {})[name] = value
        for optimizer, state in zip(self.optimizers, states, strict=True):
            if self.step and not state:
                raise CheckpointError(
                    f"{path} is of another optimiser: it has no state for {type(optimizer).__name__}."
                )
            optimizer.load_state_dict(
                {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
            )
        for net in (self.net, self.average):
            trunk = trunk_of(net)
            if trunk:
                trunk.quantized = quantized


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], about: dict[str, Any]) -> None:
    """Write tensors and a JSON description as one safetensors file, whole or not at all."""
    plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    path.with_suffix(".tmp").write_bytes(save_safetensors(plain, {"ardm": json.dumps(about)}))
    os.replace(path.with_suffix(".tmp"), path)


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Inverse of `save_tensors`. Raises CheckpointError."""
    data = path.read_bytes()
    try:
        tensors = load_safetensors(data)
        about = json.loads(
            json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["ardm"]
        )
    except Exception as error:
        raise CheckpointError(
            f"{path} is not an ardm checkpoint, or is damaged: a safetensors file that `ardm` wrote was "
            f"expected ({error})."
        ) from error
    return tensors, about


def load_weights(net: nn.Module, tensors: dict[str, torch.Tensor], prefix: str, path: Path) -> None:
    """Put the tensors whose names start with the prefix into a network. Raises CheckpointError if they are
    not exactly the network's.
    """
    own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    expected = net.state_dict()
    missing, foreign = sorted(expected.keys() - own.keys()), sorted(own.keys() - expected.keys())
    if missing or foreign:
        raise CheckpointError(
            f"{path} is of another network: it lacks {missing[:3] or 'nothing'} and has "
            f"{foreign[:3] or 'nothing'} that is not expected."
        )
    for name, value in own.items():
        if value.shape != expected[name].shape:
            raise CheckpointError(
                f"{path} is of another network: {name} has shape {tuple(value.shape)}, expected was "
                f"{tuple(expected[name].shape)}."
            )
    net.load_state_dict(own)


def average_losses(losses: Iterable[torch.Tensor]) -> float | None:
    """Mean of scalars, None if there are none."""
    values = list(losses)
    return round(float(torch.stack(values).mean()), 4) if values else None
