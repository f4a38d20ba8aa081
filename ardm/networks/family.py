"""All networks for discrete data, by name, and what one costs. Knows no orders, training or bytes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ardm.discrete import Space
from ardm.networks.attention import Attention, Transformer, UNet
from ardm.networks.base import Config, Network
from ardm.networks.chains import Chain, Context
from ardm.networks.layers import Conv
from ardm.networks.pictures import Window
from ardm.networks.window import WindowNet


def build(config: Config, space: Space) -> Network:
    """The network of a configuration for a space. Raises ValueError if they do not fit."""
    kinds = {"unet": UNet, "transformer": Transformer, "window": Window, "context": Context}
    return kinds.get(config.name, Chain)(config, space)


def parameter_count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def multiply_accumulates(network: Network) -> int:
    """Products that one call takes for one example: of convolutions, linear layers and attention."""
    total = 0
    handles = []

    def count(module: nn.Module, arguments: tuple[Any, ...], result: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, WindowNet):
            total += len(result) * sum(p.numel() for p in (module.enter, *module.hidden, module.head))
        if isinstance(module, nn.Conv2d):
            total += result.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += result.numel() * module.in_features
        elif isinstance(module, Attention):
            total += 2 * arguments[0].shape[1] ** 2 * arguments[0].shape[2]
        elif isinstance(module, Conv):
            total += result.numel() * module.weight.shape[1]

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, Attention, Conv, WindowNet)):
            handles.append(module.register_forward_hook(count))
    seen = torch.zeros((1, *network.space.shape), dtype=torch.int64)
    with torch.no_grad():
        network(seen, torch.zeros_like(seen, dtype=torch.bool), network.space.stages - 1)
    for handle in handles:
        handle.remove()
    if isinstance(network, Chain):
        total += (
            network.head.numel() * network.space.size // (network.frame.outputs // network.space.parameters)
        )
    return total
