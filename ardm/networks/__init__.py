"""Order-agnostic networks for any discrete data, by name: `build` makes one."""

from ardm.networks.family import (
    CHAINS,
    NAMES,
    SHARES,
    Config,
    Exact,
    Frame,
    Model,
    Network,
    Window,
    build,
    conditions,
    multiply_accumulates,
    parameter_count,
    planes,
)

__all__ = [
    "CHAINS",
    "NAMES",
    "SHARES",
    "Config",
    "Exact",
    "Frame",
    "Model",
    "Network",
    "Window",
    "build",
    "conditions",
    "multiply_accumulates",
    "parameter_count",
    "planes",
]
