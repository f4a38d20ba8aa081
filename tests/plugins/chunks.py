"""Small arrays of every choice of axes, of parts of a photo, for tests of chunks. Knows no test."""

from __future__ import annotations

import numpy as np

# axes -> shape
SHAPES = {
    "yx": (21, 26),
    "xy": (21, 26),
    "yxc": (21, 26, 3),
    "cyx": (4, 21, 26),
    "zyx": (3, 12, 17),
    "zyxc": (2, 12, 17, 2),
    "xyz": (12, 17, 3),
    "czyx": (3, 2, 12, 17),
    "tczyx": (2, 1, 3, 9, 10),
    "tyx": (1, 12, 17),
}
DTYPES = ["u1", "<u2", ">u2"]


def part_of(photo: np.ndarray, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """An array of a shape and dtype, C order, whose values are smooth along its last two axes or so."""
    count = int(np.prod(shape[:-2]))
    rows, columns = shape[-2:]
    parts = [photo[7 * i : 7 * i + rows, 11 * i : 11 * i + columns, i % 3] for i in range(count)]
    out = np.stack(parts).reshape(shape)
    if np.dtype(dtype).itemsize == 2:
        out = out.astype(np.uint16) * 201 + np.arange(columns, dtype=np.uint16) % 7
    return out.astype(dtype)
