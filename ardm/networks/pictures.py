"""The photo codec's network over whole pictures, with the interface of `ardm.networks.base`. Knows spaces and
tensors; `ardm.networks.window` is the network itself.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from ardm import likelihood, units
from ardm.discrete import MEAN_UNIT, Space
from ardm.networks.base import Config, Network
from ardm.networks.window import Views, WindowNet
from ardm.window import CHANNELS, UNKNOWN_BASE, WindowConfig, base_weights, offsets


class Window(Network):
    """`ardm.window` over whole pictures: one evaluation for each pixel of which a channel is wanted, whatever
    is known around it.

    A neighbour's values enter where they are known, channel by channel; it counts as known when all its
    channels are. The channels of a pixel itself enter through the joint mixture: what is known of G
    conditions R and B, what is known of R conditions B.
    """

    def __init__(self, config: Config, space: Space) -> None:
        channels = space.grid[0]
        if (
            space.classes != 256
            or space.stages != 1
            or space.likelihood != "logistics"
            or channels not in (1, 3)
        ):
            raise ValueError(
                "the window network is for pictures of 1 or 3 channels, 256 classes, one stage, "
                f"likelihood logistics; got {channels} channels, "
                f"{space.classes} classes, {space.stages} stages, {space.likelihood}."
            )
        if config.kernel < 3:
            raise ValueError(f"the window's kernel must be at least 3, got {config.kernel}.")
        super().__init__(config, space)
        self.body = WindowNet(WindowConfig(config.kernel // 2, config.width, config.blocks, space.mixture))
        radius = self.body.config.radius
        weight = torch.from_numpy(base_weights(radius).astype(np.float64))
        middle = len(weight) // 2
        square = torch.cat([weight[:middle], torch.zeros(1, dtype=torch.float64), weight[middle:]]).view(
            1, 1, 2 * radius + 1, -1
        )
        self.register_buffer("base_kernel", square, persistent=False)
        self.register_buffer("places", torch.tensor(offsets(radius)), persistent=False)

    def forward(
        self, seen: torch.Tensor, known: torch.Tensor, digit: int, wanted: torch.Tensor | None = None
    ) -> torch.Tensor:
        self.check(seen, known, digit)
        b, (channels, height, width) = seen.shape[0], self.space.grid
        x, mask = (t.reshape(b, channels, height, width).expand(-1, CHANNELS, -1, -1) for t in (seen, known))
        asked = torch.ones_like(known) if wanted is None else wanted
        # pixels, of the whole batch
        where = asked.view(b, channels, -1).any(1).flatten().nonzero().squeeze(1)
        pixel, present = (t.permute(0, 2, 3, 1).reshape(-1, CHANNELS)[where] for t in (x, mask))
        base = self.base(x, mask).permute(0, 2, 3, 1).reshape(-1, CHANNELS)[where]
        params = self.body([self.views(x, mask, where, base)])
        given = likelihood.conditionals(params, pixel.float(), base.float(), self.space.mixture, present)
        rows = torch.empty(len(where), CHANNELS, 3, self.space.mixture, device=params.device)
        for c, one in zip(units.CODING_ORDER, given, strict=True):  # in the units of `Space`
            rows[:, c] = torch.stack(
                [
                    one.weight.clamp_min(1e-12).log(),
                    (one.center - 128) * (MEAN_UNIT / 128),
                    one.log2_scale - 4,
                ],
                1,
            )
        coded = rows if channels == CHANNELS else rows[:, units.CODING_ORDER[0]].unsqueeze(1)
        out = torch.zeros(
            b * height * width, channels, self.space.parameters, device=params.device
        ).index_copy(0, where, coded.flatten(2))
        return out.view(b, height, width, channels, -1).movedim(3, 1).reshape(*seen.shape, -1)

    def base(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Base of every value, int64 (B, 3, h, w): `ardm.window.base_weights` has the rule."""
        kernel, pad = self.get_buffer("base_kernel"), self.body.config.radius
        value, total = (
            F.conv2d(t.double().flatten(0, 1)[:, None], kernel, padding=pad).view(x.shape)
            for t in (x * mask, mask)
        )
        return torch.where(
            total > 0, torch.floor((2 * value + total) / (2 * total).clamp_min(1)), UNKNOWN_BASE
        ).long()

    def views(self, x: torch.Tensor, mask: torch.Tensor, where: torch.Tensor, base: torch.Tensor) -> Views:
        """Windows around the pixels `where`, int64 (N,), indices into all pixels of the batch."""
        radius, places = self.body.config.radius, self.get_buffer("places")
        height, width = x.shape[2:]
        wide = width + 2 * radius
        padded, there = (
            F.pad(t.to(torch.int16), (radius,) * 4).permute(0, 2, 3, 1).reshape(-1, CHANNELS)
            for t in (x, mask)
        )
        image, y, column = where // (height * width), where // width % height, where % width
        center = (image * (height + 2 * radius) + y + radius) * wide + column + radius
        at = center[:, None] + places[:, 0] * wide + places[:, 1]  # (N, n)
        present = there[at]
        values = (padded[at] - base[:, None].to(torch.int16)).clamp(-128, 127) * present
        missing = 1 - present.amin(-1)
        rows = torch.arange(len(where), device=where.device)
        return Views(
            torch.arange(len(places), device=where.device),
            values.flatten(1).to(torch.int8),
            rows,
            missing.to(torch.uint8),
        )
