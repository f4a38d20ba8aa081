"""Order-agnostic networks for any discrete data, by name: `build` makes one. `ardm.networks.base` says what
they take and answer.
"""

from ardm.networks.base import NAMES, Config, Network
from ardm.networks.chains import CHAINS, SHARES, Chain, Context
from ardm.networks.family import build, multiply_accumulates, parameter_count
from ardm.networks.neighbours import context_conditions, context_of, context_planes, context_states
from ardm.networks.pictures import Window

__all__ = [
    "CHAINS",
    "NAMES",
    "SHARES",
    "Chain",
    "Config",
    "Context",
    "Network",
    "Window",
    "build",
    "context_conditions",
    "context_of",
    "context_planes",
    "context_states",
    "multiply_accumulates",
    "parameter_count",
]
