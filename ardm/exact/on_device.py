"""The integer window network on any of torch's devices, by products of float64 matrices. Knows windows, no
images.

They are exact because integers below 2**53 are, and independent of what the caller has set of torch's
precision.
"""

from __future__ import annotations

import numpy as np
import torch

from ardm.exact.window import WindowWeights, base_of


@torch.inference_mode()
def by_torch(
    weights: WindowWeights, pixels: np.ndarray, known: np.ndarray, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """The same as `ardm.exact.window.reference`, by float64 products on a device."""
    base = base_of(pixels, known, weights.config.radius)
    values = np.where(known[..., None], np.clip(pixels - base[:, None], -128, 127), 0).reshape(
        len(pixels), -1
    )
    t = {
        name: torch.from_numpy(values.astype(np.float64)).to(device)
        for name, values in weights.layers().items()
    }

    def shifted(total: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        half = torch.floor(torch.exp2(shift) / 2)
        return torch.floor((total + half) * torch.exp2(-shift))

    seen = torch.from_numpy(values.astype(np.float64)).to(device)
    total = (
        seen @ t["enter"].T
        + t["enter_bias"]
        + torch.from_numpy(known.astype(np.float64)).to(device) @ t["mask"].T
    )
    x = shifted(total, t["enter_shift"]).clamp(0, 255)
    for i in range(weights.config.depth):
        (a, b), (bias_a, bias_b), (shift_a, shift_b) = (
            t[name][2 * i : 2 * i + 2] for name in ("hidden", "hidden_bias", "hidden_shift")
        )
        y = shifted(x @ a.T + bias_a, shift_a).clamp(0, 255)
        x = shifted(y @ b.T + bias_b + x * torch.exp2(shift_b), shift_b).clamp(0, 255)
    out = shifted(x @ t["head"].T + t["head_bias"], t["head_shift"])
    return out.cpu().numpy().astype(np.int32), base.astype(np.int16)
