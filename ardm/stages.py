"""Resolution stages: an image, its stride-4 lattice, that lattice's lattice, ... and what the network sees of one of them.

Integer arithmetic on torch tensors of any dtype that holds the values exactly (int32 in the codec, float32 in training; both give
the same numbers). Knows nothing of weights or bytes. The base predictor and the token layout are written down here only.

    level 0: the image          (h, w)
    level 1: its lattice        (ceil(h/4), ceil(w/4))        coded before level 0, by the same procedure
    ...
    root:    the first level that is coded without the network
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ardm.orders import PATCH, patch_count, patch_start, place_of

CHANNELS = 3
MASK_ON = 64  # value of a known pixel's mask channel, in residual units
LEVEL_ZERO = 128  # mid grey: the base value that the network sees as 0
TOKEN_CHANNELS = CHANNELS * PATCH * PATCH + PATCH * PATCH + CHANNELS  # 48 residuals, 16 mask, 3 base levels
STAGE_KINDS = 4  # levels 0, 1, 2 and "3 or deeper" are told apart by the network
COND_ONE = 16  # integer that stands for 1 in the conditioning vector
COND_SIZE = PATCH * PATCH + STAGE_KINDS


def level_shapes(height: int, width: int) -> list[tuple[int, int]]:
    """Shapes of all levels, the image first, down to the first that fits 4 x 4."""
    shapes = [(height, width)]
    while max(shapes[-1]) > PATCH:
        shapes.append((-(-shapes[-1][0] // PATCH), -(-shapes[-1][1] // PATCH)))
    return shapes


def base_image(lattice: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Bilinear interpolation of the lattice, rounded half up; beyond its last row and column the lattice is repeated.

    lattice: integers 0..255, (B, C, ceil(height/4), ceil(width/4)), any numeric dtype. Returns the same dtype, (B, C, height, width).
    """
    d = torch.arange(PATCH, dtype=lattice.dtype, device=lattice.device)
    low = lattice.unsqueeze(3)  # (B, C, h4, 1, w4)
    high = torch.cat([lattice[:, :, 1:], lattice[:, :, -1:]], 2).unsqueeze(3)
    rows = (low * (PATCH - d).view(4, 1) + high * d.view(4, 1)).flatten(2, 3)[:, :, :height]  # (B, C, height, w4)
    low = rows.unsqueeze(4)
    high = torch.cat([rows[..., 1:], rows[..., -1:]], 3).unsqueeze(4)
    total = (low * (PATCH - d) + high * d).flatten(3, 4)[..., :width] + 8  # sixteenths
    return torch.div(total, 16, rounding_mode="floor") if total.is_floating_point() else total >> 4


def align(plane: torch.Tensor, anchor: tuple[int, int]) -> torch.Tensor:
    """Shift to the anchor and cut into patches: (B, C, h, w) -> (B, C * 16, rows, cols); outside the image is 0."""
    height, width = plane.shape[-2:]
    top, left = -patch_start(anchor[0]), -patch_start(anchor[1])
    bottom = PATCH * patch_count(height) - height - top
    right = PATCH * patch_count(width) - width - left
    return F.pixel_unshuffle(F.pad(plane, (left, right, top, bottom)), PATCH)


def tokens(residual: torch.Tensor, mask: torch.Tensor, level: torch.Tensor, anchor: tuple[int, int]) -> torch.Tensor:
    """What the network sees in one call, one token per 4x4 patch; every entry is an integer in -128..127, unknown and outside are 0.

    residual: (B, 3, h, w), pixel minus base clipped to -128..127, 0 where unknown. mask: (B, 1, h, w), MASK_ON where known, else 0.
    level: (B, 3, h, w), base minus LEVEL_ZERO. Returns (B, TOKEN_CHANNELS, rows, cols).
    """
    seen = align(torch.cat([residual, mask], 1), anchor)
    height, width = level.shape[-2:]
    rows, cols = ((a - patch_start(a)) // PATCH for a in anchor)  # tokens before the first one with a target
    at_target = level[..., anchor[0] :: PATCH, anchor[1] :: PATCH]
    right = patch_count(width) - cols - at_target.shape[-1]
    bottom = patch_count(height) - rows - at_target.shape[-2]
    return torch.cat([seen, F.pad(at_target, (cols, right, rows, bottom))], 1)


def condition(known: torch.Tensor, anchor: tuple[int, int], level: int) -> torch.Tensor:
    """What the network is told about the whole call: the share of known pixels at each place, in sixteenths rounded down, and the stage.

    known: 0 or 1, (B, 1, h, w), any numeric dtype. Returns float32 (B, COND_SIZE), integers 0..COND_ONE.
    """
    share = torch.zeros(known.shape[0], PATCH * PATCH, device=known.device)
    for y in range(PATCH):
        for x in range(PATCH):
            part = known[:, 0, y::PATCH, x::PATCH]
            count = part.shape[1] * part.shape[2]
            if count:
                share[:, place_of((y, x), anchor)] = (COND_ONE * part.sum((1, 2), dtype=torch.int64) // count).float()
    kind = torch.zeros(known.shape[0], STAGE_KINDS, device=known.device)
    kind[:, min(level, STAGE_KINDS - 1)] = COND_ONE
    return torch.cat([share, kind], 1)
