"""What decides a training run of a window network, but for its data. Knows no pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ardm.training.locoprop import Local
from ardm.window import WindowConfig


@dataclass(frozen=True)
class TrainingRecipe:
    """Everything that decides a training run except the data; stored with the weights."""

    network: WindowConfig = field(default_factory=WindowConfig)
    minutes: float = 0.0  # length of the schedule in minutes of training; 0: use steps
    steps: int = 60_000  # length of the schedule in steps, where minutes is 0
    pixels: int = 16_384  # per step
    raster: float = 0.55  # share of pixels that know what comes before in raster order
    lattice: float = 0.30  # share that know a prefix of the lattice order
    diagonal: float = 0.0  # share that know what comes before on diagonals; the rest know random sets
    slope: int = 2  # of the diagonals: pixels by which each row follows the one above it
    turned: bool = True  # pictures are turned and mirrored, all eight ways; if not, mirrored left to right
    rate: float = 2e-3  # peak learning rate
    optimizer: str = (
        # Muon for the weight matrices between hidden layers, Adam for the rest; adamw: AdamW for all;
        # locoprop: LocoProp for all products but the first, AdamW for the rest
        "muon"
    )
    local: Local = field(default_factory=Local)  # of locoprop
    weight_decay: float = 0.0  # of adamw
    warmup: float = 500  # steps
    decay_from: float = (
        2.0  # share of the schedule after which the rate falls to 0, linearly; above 1: it is held
    )
    ema: float = 0.999  # decay of the averaged weights
    quantize_from: float = 2.0  # share of the schedule after which integer arithmetic is simulated
    exact_from: float = 2.0  # share after which bf16 is switched off
    augment: float = 0.5  # share of crops that get one or more photometric changes
    converted: float = 0.0  # share of crops that are given as luma, and luma with the colour differences
    grey: float = 0.0  # share of the others that are given in grey
    seed: int = 1

    @staticmethod
    def of(stored: Mapping[str, Any]) -> TrainingRecipe:
        """The recipe that a checkpoint holds as a dict."""
        fields = dict(stored) | {"network": WindowConfig(**stored["network"])}
        if "local" in stored:
            fields["local"] = Local(**stored["local"])
        return TrainingRecipe(**fields)
