"""Small pictures call by call, in any order of their pixels, by the network's distributions alone: coded or
drawn. Knows calls and pixels; no files.

The same walk writes, reads and draws: what differs is the `codec.coder.plain.Symbols`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ardm.calls import Call
from ardm.exact.evaluate import Canvas
from ardm.exact.predictor import Predictor, new_canvas
from codec.coder.plain import Symbols, code_call, tables_of


def code_picture(
    coder: Symbols,
    predictor: Predictor,
    calls: Sequence[Call],
    canvas: Canvas,
    truth: np.ndarray | None = None,
) -> np.ndarray:
    """Code the pixels of all calls; they are known afterwards. truth: uint8 (h, w, 3) when encoding. Returns
    the picture, uint8 (h, w, 3).
    """
    tables = tables_of(predictor.weights)
    for stride, where in calls:
        params, base = predictor.scattered(_thinned(canvas, stride), where)
        rows, columns = where[:, 0] * stride, where[:, 1] * stride
        values = None if truth is None else truth[rows, columns]
        canvas.image[rows, columns] = code_call(coder, params, base, tables, 3, values)
        canvas.mask[rows, columns] = True
    return canvas.image


def _thinned(canvas: Canvas, stride: int) -> Canvas:
    """What is known of a lattice of the canvas."""
    if stride == 1:
        return canvas
    thin = new_canvas(-(-canvas.height // stride), -(-canvas.width // stride))
    thin.image[:], thin.mask[:] = canvas.image[::stride, ::stride], canvas.mask[::stride, ::stride]
    return thin
