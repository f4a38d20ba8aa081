"""LocoProp against AdamW on the mixer, at equal processor time: python -m benchmarks.locoprop FOLDER --out
FILE.json.

FOLDER is what `benchmarks.cifar10 prepare` makes; the images are made grey, so that the time goes to the
mixer and not to the likelihood. Each optimiser first trains for --sweep minutes with every learning rate (and
LocoProp with every reach), then with its best dials for --minutes, from the same weights and on the same
batches. The schedule's clock is the processor time of this process (one thread), so that other processes
beside it favour nobody; validation does not count. Differences are to the first family, means over the same
held-out images under the same masks. The last line of the output is the result as JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ardm.discrete import Space
from ardm.networks import Config, Network, build, multiply_accumulates, parameter_count
from ardm.objective import Estimate, training_loss
from ardm.training.fit import TrainingRecipe, optimizers, validate
from ardm.training.locoprop import Local
from ardm.training.run import Run
from benchmarks.cifar10 import load
from benchmarks.photos import provenance

RATES = (1e-3, 3e-3, 1e-2, 3e-2)
REACHES = (3.0, 30.0)
BASE = TrainingRecipe(
    Space((32, 32), 256, likelihood="logistics", mixture=3),
    Config("mixer", width=64, blocks=2, expand=2, patch=4),
    batch=32,
    ema=0.99,
    exact_from=0.0,
    warmup=0.05,
)
FAMILIES = ("adamw", "locoprop-s", "locoprop-m")


def variants(family: str, reaches: list[float]) -> list[dict[str, Any]]:
    """What else the recipes of a family say."""
    if family == "adamw":
        return [{"optimizer": "adamw", "weight_decay": 0.01}]
    return [
        {"optimizer": "locoprop", "local": Local(matching=family == "locoprop-m", reach=reach)}
        for reach in reaches
    ]


def grey(images: torch.Tensor) -> torch.Tensor:
    """uint8 (N, 3, 32, 32) -> uint8 (N, 32, 32)."""
    return images.sum(1, dtype=torch.int32).add(1).div(3, rounding_mode="floor").to(torch.uint8)


def train(recipe: TrainingRecipe, data: torch.Tensor, valid: torch.Tensor, points: int) -> dict[str, Any]:
    """One run; the bound on `valid` at `points` equal parts of its time."""
    run: Run[Network] = Run(
        recipe,
        lambda: build(recipe.network, recipe.space),
        torch.device("cpu"),
        optimizers,
        time.process_time,
    )
    generator = torch.Generator()
    curve: list[dict[str, Any]] = []
    while run.progress < 1:
        generator.manual_seed(recipe.seed * 1_000_003 + run.step)
        x = data[torch.randint(len(data), (recipe.batch,), generator=generator)].long()
        loss = run.update(lambda x=x: training_loss(run.net, x, generator, recipe.cross_entropy)[0])  # type: ignore[misc]
        if run.progress * points >= len(curve) + 1 or not loss.isfinite():
            each = validate(run.average.eval(), valid, recipe.seed)
            found = Estimate.of(each)
            curve.append(
                {
                    "step": run.step,
                    "seconds": round(run.seconds, 1),
                    "bits": round(found.mean, 4),
                    "error": round(found.error, 4),
                }
            )
        if not loss.isfinite():
            break
    local = vars(recipe.local) if recipe.optimizer == "locoprop" else None
    return {
        "optimizer": recipe.optimizer,
        "rate": recipe.rate,
        "local": local,
        "curve": curve,
        "images": [round(v, 4) for v in each.tolist()],
    }


def bits(result: dict[str, Any]) -> float:
    found = result["curve"][-1]["bits"]
    return found if found == found else float("inf")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sweep", type=float, default=0.75, help="minutes of processor time per trial")
    parser.add_argument(
        "--minutes", type=float, default=4.0, help="minutes of processor time per final run; 0: none"
    )
    parser.add_argument(
        "--validate",
        type=int,
        default=256,
        help="images held out of the training set, for the sweep and the final runs",
    )
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES)
    parser.add_argument("--rates", nargs="+", type=float, default=RATES)
    parser.add_argument(
        "--reaches",
        nargs="+",
        type=float,
        default=REACHES,
        help="of LocoProp; a very large one is RMSProp that repeats its step",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = grey(load(arguments.folder, "train"))
    data, valid = data[: -arguments.validate], data[-arguments.validate :].long()
    network = build(BASE.network, BASE.space)
    about = {
        "parameters": parameter_count(network),
        "multiply_accumulates": multiply_accumulates(network),
        **provenance(),
    }
    report: dict[str, Any] = {"about": about, "recipe": str(BASE), "sweep": [], "final": []}
    print(
        f"mixer: {about['parameters']:,} parameters, {about['multiply_accumulates']:,} "
        "multiply-accumulates per image",
        flush=True,
    )
    for family in arguments.families:
        tried = []
        for variant in variants(family, arguments.reaches):
            for rate in arguments.rates:
                recipe = replace(BASE, rate=rate, minutes=arguments.sweep, seed=arguments.seed, **variant)
                tried.append((recipe, train(recipe, data, valid, 1)))
                report["sweep"].append({"family": family, **tried[-1][1]})
                del report["sweep"][-1]["images"]
                print(json.dumps(report["sweep"][-1]), flush=True)
        if arguments.minutes:
            best = min(tried, key=lambda pair: bits(pair[1]))[0]
            report["final"].append(
                {"family": family, **train(replace(best, minutes=arguments.minutes), data, valid, 8)}
            )
            values, first = (torch.tensor(report["final"][n]["images"]) for n in (-1, 0))
            report["final"][-1]["difference"] = str(Estimate.of(values - first))
            print(json.dumps(report["final"][-1]), flush=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
