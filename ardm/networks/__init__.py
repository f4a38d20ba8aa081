"""Order-agnostic networks for any discrete data, by name: `build` makes one."""

from ardm.networks.family import (
    CHAINS,
    NAMES,
    SHARES,
    Config,
    Exact,
    Model,
    Network,
    TokenGrid,
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
    "Model",
    "Network",
    "TokenGrid",
    "Window",
    "build",
    "conditions",
    "multiply_accumulates",
    "parameter_count",
    "planes",
]
