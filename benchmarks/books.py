"""Text: trains the character model, turns it into the integer weights that ship, and measures it beside
general compressors.

    python -m benchmarks.books train DATA RUN --minutes 100          resumable; the recipe below
    python -m benchmarks.books export DATA RUN/average.safetensors
        integer weights into ardm/data, and what blocks cost from left to right by float and integer network
    python -m benchmarks.books blocks DATA MODEL
        bits per character in blocks of 256, by budget, beside others in the same blocks
    python -m benchmarks.books files FILE...                         whole files on disk, beside others

DATA holds books27.{train,valid,test}.txt.xz: characters a-z and space, split by book. Commands print one line
of JSON last.
"""

from __future__ import annotations

import argparse
import bz2
import json
import lzma
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ardm.budget import even, plan
from ardm.discrete import Space
from ardm.exact import context
from ardm.exact.context import ContextWeights
from ardm.generate import Policy
from ardm.networks import Config, Context, Network
from ardm.objective import Estimate, bound, diffusion_bound, exact_bits, loss_table
from ardm.orders import cell_places, spread_places
from ardm.training import contexts
from ardm.training.fit import Session, TrainingRecipe, fit, load_network
from benchmarks.photos import provenance

BLOCK = 256
BUDGETS = (256, 64, 20, 5)
SPACE = Space((BLOCK,), 27, ordered=False)
NETWORK = Config("context", width=384, blocks=4, kernel=65)


def recipe(minutes: float) -> TrainingRecipe:
    """Of the weights that ship."""
    return TrainingRecipe(
        SPACE,
        NETWORK,
        minutes=minutes,
        batch=8192,  # letters, each with what is known around it
        rate=2e-3,
        ema=0.998,
        quantize_from=0.75,
        exact_from=0.97,
    )


def load(folder: Path, part: str) -> torch.Tensor:
    """uint8 (N,): 0 for space, 1..26 for a..z. Raises SystemExit if the file is missing or is something
    else.
    """
    path = folder / f"books27.{part}.txt.xz"
    if not path.exists():
        raise SystemExit(
            f"{path} does not exist; DATA must be the folder of books27.train.txt.xz, books27.valid.txt.xz "
            "and books27.test.txt.xz."
        )
    text = np.frombuffer(lzma.decompress(path.read_bytes()), dtype=np.uint8)
    codes = np.where(text == 32, 0, text - 96).astype(np.uint8)
    if codes.max() > 26:
        raise SystemExit(f"{path} must hold a-z and space only, found byte {text[codes > 26][0]}.")
    return torch.from_numpy(codes)


def blocks_of(text: torch.Tensor, count: int) -> torch.Tensor:
    """int64 (count, BLOCK), spread evenly over a text."""
    every = text[: len(text) // BLOCK * BLOCK].view(-1, BLOCK)
    return every[torch.linspace(0, len(every) - 1, count).long()].long()


def in_cells(cell: int) -> Policy:
    """Calls of a block in cells of so many places side by side: one place of all cells after the other."""
    place = np.arange(BLOCK) % cell
    return [np.cumsum([0, *np.bincount(place)])[:-1].tolist()]


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(arguments.threads)
    text = load(arguments.data, "train")

    chosen = recipe(arguments.minutes)

    def objective(net: Network, generator: torch.Generator) -> torch.Tensor:
        assert isinstance(net, Context)
        masks, kernel = chosen.masks, chosen.network.kernel
        return contexts.loss(net, *contexts.draw(text, SPACE, kernel, masks, chosen.batch, generator))

    valid = blocks_of(load(arguments.data, "valid"), 256)

    def measure(net: Network) -> dict[str, float]:
        return {
            f"cells of {c}": float(
                exact_bits(net, valid[::4], torch.from_numpy(cell_places(BLOCK, c)), in_cells(c)).mean()
            )
            for c in chosen.masks.cells
        }

    run = fit(chosen, objective, valid, arguments.run, Session(every=5.0), measure)
    return {"steps": run.step, "minutes": round(run.seconds / 60, 1)}


def export(arguments: argparse.Namespace) -> dict[str, Any]:
    net, made_by = load_network(arguments.model)
    if not isinstance(net, Context):
        raise SystemExit(f"{arguments.model} is of a network {made_by.network.name}; expected was context.")
    if not net.body.quantized:
        raise SystemExit(f"{arguments.model} has no integer arithmetic yet; train until it says quantized.")
    about = {"recipe": json.loads(json.dumps(made_by, default=vars)), "note": arguments.note}
    data = context.serialize(*context.to_integers(net), about)
    weights = context.parse(data)
    path = context.FOLDER / f"text-{weights.id}.safetensors"
    path.write_bytes(data)
    order = torch.from_numpy(cell_places(BLOCK, BLOCK))
    test = blocks_of(load(arguments.data, "valid"), arguments.count)
    return {
        "path": path.name,
        "bytes": len(data),
        "float": round(float(exact_bits(net, test, order).mean()), 4),
        "integers": round(integer_bits(weights, test), 4),
    }


def integer_bits(weights: ContextWeights, blocks: torch.Tensor) -> float:
    """Bits per character of blocks coded from left to right at the integer network's frequencies."""
    config, total = weights.config, 0.0
    row = np.pad(blocks.numpy(), ((0, 0), (config.radius, config.radius)), constant_values=config.beyond)
    around = np.r_[0 : config.radius, config.radius + 1 : 2 * config.radius + 1]
    for i in range(BLOCK):
        states = row[:, i + around]
        future = around + i >= config.radius + i
        inside = around + i < config.radius + BLOCK
        states[:, future & inside] = config.unknown
        chances = context.frequencies(weights, context.reference(weights, states)) / context.TOTAL
        total -= np.log2(chances[np.arange(len(row)), blocks[:, i].numpy()]).sum()
    return float(total / blocks.numel())


def ppmd(data: bytes) -> bytes:
    import pyppmd

    return pyppmd.compress(data, max_order=10, mem_size=256 << 20)


def others() -> dict[str, Callable[[bytes], bytes]]:
    import imagecodecs

    return {
        "zstd -19": lambda d: imagecodecs.zstd_encode(d, level=19),
        "xz -9e": lambda d: lzma.compress(d, preset=9 | lzma.PRESET_EXTREME),
        "bzip2 -9": lambda d: bz2.compress(d, 9),
        "brotli 11": lambda d: imagecodecs.brotli_encode(d, level=11),
        "ppmd -o10": ppmd,
    }


def ways(
    net: Network, valid: torch.Tensor, budget: int, generator: torch.Generator
) -> Iterator[tuple[str, torch.Tensor, Policy]]:
    """(name, order, policy) of the ways to spend a budget on a block."""
    shuffled = torch.randperm(BLOCK, generator=torch.Generator().manual_seed(0))
    yield "random, even", shuffled, even(BLOCK, 1, budget)
    if budget < BLOCK:
        table = loss_table(net, [valid], generator, order=shuffled)
        yield "random, planned", shuffled, plan(table.tolist(), budget)
    yield "spread", torch.from_numpy(spread_places(BLOCK)), even(BLOCK, 1, budget)
    yield "cells", torch.from_numpy(cell_places(BLOCK, budget)), in_cells(budget)


def blocks(arguments: argparse.Namespace) -> dict[str, Any]:
    """Bits per character of the float network (with simulated integers, if it has them) in blocks of the test
    text.
    """
    torch.set_num_threads(arguments.threads)
    net, _ = load_network(arguments.model)
    valid, test = (
        blocks_of(load(arguments.data, "valid"), 64),
        blocks_of(load(arguments.data, "test"), arguments.count),
    )
    generator = torch.Generator().manual_seed(0)
    rows: dict[str, Any] = {}
    many = blocks_of(load(arguments.data, "test"), 4 * arguments.count)
    for name, value in (
        ("bound", bound(net, many, generator, 4)),
        ("continuous-time diffusion bound", diffusion_bound(net, many, generator, 4)),
    ):
        rows[name] = vars(Estimate.of(value))
        print(name, rows[name], flush=True)
    for budget in BUDGETS:
        found = {}
        for name, order, policy in ways(net, valid, budget, generator):
            begun = time.monotonic()
            found[name] = float(exact_bits(net, valid, order, policy).mean())
            rows[f"{budget} calls, {name}"] = {
                "validation": found[name],
                **vars(Estimate.of(exact_bits(net, test, order, policy))),
                "seconds": round(time.monotonic() - begun, 1),
            }
            print(budget, name, rows[f"{budget} calls, {name}"], flush=True)
        rows[f"{budget} calls, best on validation"] = min(found, key=found.__getitem__)
    letters = np.array([32, *range(97, 123)], dtype=np.uint8)
    pieces = [letters[block.numpy()].tobytes() for block in test]
    whole = letters[load(arguments.data, "test").numpy()].tobytes()
    for name, compress in others().items():
        rows[name] = {
            "blocks": round(8 * sum(len(compress(p)) for p in pieces) / test.numel(), 4),
            "whole": round(8 * len(compress(whole)) / len(whole), 4),
        }
        print(name, rows[name], flush=True)
    return {"model": arguments.model.name, "blocks": arguments.count, "rows": rows}


def files(arguments: argparse.Namespace) -> dict[str, Any]:
    from codec import text

    rows = []
    for path in arguments.files:
        data = path.read_bytes()
        row: dict[str, Any] = {"file": path.name, "bytes": len(data)}
        for name, compress in others().items():
            row[name] = len(compress(data))
        for name, options in {
            "ardm": {},
            "ardm plain": {"order": "plain"},
            **{f"ardm {b}": {"budget": b} for b in arguments.budgets},
        }.items():
            begun = time.monotonic()
            packed = text.pack(data, verify=False, **options)
            middle = time.monotonic()
            if text.unpack(packed) != data:
                raise SystemExit(f"{path}: {name} does not give the file back.")
            row[name] = len(packed)
            row[name + " s"] = round(middle - begun, 2), round(time.monotonic() - middle, 2)
        rows.append(row)
        print(row, flush=True)
    return {"rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write the results here, too")
    parser.add_argument("--threads", type=int, default=2)
    commands = parser.add_subparsers(required=True)
    for name, work in (("train", train), ("export", export), ("blocks", blocks), ("files", files)):
        command = commands.add_parser(name)
        command.set_defaults(work=work)
        if name == "files":
            command.add_argument("files", type=Path, nargs="+")
            command.add_argument("--budgets", type=int, nargs="*", default=[])
            continue
        command.add_argument("data", type=Path)
        command.add_argument("run" if name == "train" else "model", type=Path)
    commands.choices["train"].add_argument("--minutes", type=float, default=100)
    commands.choices["export"].add_argument("--count", type=int, default=64)
    commands.choices["export"].add_argument("--note", default="")
    commands.choices["blocks"].add_argument("--count", type=int, default=256)
    arguments = parser.parse_args()
    result = {**provenance(), "weights": context.TEXT_ID, **arguments.work(arguments)}
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
