"""Order-agnostic networks for any discrete data, by name: `build` makes one."""

from ardm.networks.family import (
    CHAINS,
    NAMES,
    SHARES,
    Config,
    Context,
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
from ardm.networks.neighbours import context_conditions, context_of, context_planes, context_states

__all__ = [
    "CHAINS",
    "NAMES",
    "SHARES",
    "Config",
    "Context",
    "Exact",
    "Model",
    "Network",
    "TokenGrid",
    "Window",
    "build",
    "conditions",
    "context_conditions",
    "context_of",
    "context_planes",
    "context_states",
    "multiply_accumulates",
    "parameter_count",
    "planes",
]
