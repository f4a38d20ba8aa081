"""The integer window network, compiled: a block of pixels in raster order inside a coder's loop, or many
pixels of a call at once. Knows no coding.

What is evaluated comes in a `Net`, arrays packed for this machine. Images are flat uint8, colours
interleaved, so that a row of a window lies in one piece of memory, with SPARE bytes more at the end.
Everything is int32 and below 2**24; nothing here rounds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ardm.compiled import BORROWING, compiled, internal
from ardm.exact import int32
from ardm.exact.dense import (
    COLOURED,
    LANES,
    QUAD,
    accumulate_four,
    activate,
    activate_more,
    lengthened,
    pack,
    packed_layers,
    padded,
    put_apart,
    shifted_sum,
    weigh,
    widened,
)
from ardm.exact.window import WindowWeights
from ardm.window import CHANNELS, NEAR_SHIFT, UNKNOWN_BASE, base_weights, near_inputs, near_positions, offsets

ZERO = 128  # values are stored unsigned, shifted by this
BLOCK = 4  # pixels that share a load of weights
SPARE = 64  # bytes after an image and its values, which may be read or written but do not count


class Net(NamedTuple):
    """A network for pixels that know one pattern of positions, packed. Counts are padded: outputs to 16,
    inputs to 4.
    """

    # int64: radius, inputs, width, depth, outputs (padded), outputs, positions of the pattern, sum of `base`,
    # bytes of a window's
    sizes: np.ndarray
    # row, first input of `near`, inputs of `near`
    places: np.ndarray  # int32 (m, 2), dy and dx of the pattern's positions
    slots: np.ndarray  # int64 (m,), the first of each one's three inputs
    base: np.ndarray  # int32 (m,), their weights in the base
    base_rows: np.ndarray  # int32, raster order only: the same for every byte of a row, rows ROOM apart
    enter: np.ndarray  # packed
    near: np.ndarray  # packed, the high part of the neighbours' weights
    known_bias: np.ndarray  # int32 (W,), with all of the pattern known, and the shift by ZERO undone
    mask: np.ndarray  # int32 (m W,), of each position of the pattern
    enter_shift: np.ndarray
    hidden: np.ndarray  # packed, one after the other
    hidden_bias: np.ndarray  # int32 (2 L W,)
    hidden_shift: np.ndarray
    head: np.ndarray  # packed
    head_bias: np.ndarray
    head_shift: np.ndarray


def build(weights: WindowWeights, pattern: np.ndarray, raster: bool = False) -> Net:
    """The network for pixels that know at most the positions `pattern`, indices int64 (m,). raster: the
    pattern is the first half of all, and rows of a window are laid out for `gather_raster`."""
    t, config = weights.tensors, weights.config
    width, outputs, side = padded(config.width, LANES), padded(config.outputs, LANES), 2 * config.radius + 1
    places, base = np.array(offsets(config.radius), np.int32)[pattern], base_weights(config.radius)[pattern]
    m = len(pattern)
    slots, inputs = CHANNELS * np.arange(m), padded(CHANNELS * m, QUAD)
    rows = np.zeros(0, np.int32)
    if raster:
        row = padded(CHANNELS * side, QUAD)
        slots = (places[:, 0] + config.radius) * row + CHANNELS * (places[:, 1] + config.radius)
        inputs = config.radius * row + padded(CHANNELS * config.radius, QUAD)
        rows = np.zeros((config.radius + 1, padded(CHANNELS * side, COLOURED)), np.int32)
        for (dy, dx), weight in zip(places, base, strict=True):
            rows[dy + config.radius, CHANNELS * (dx + config.radius) :][:CHANNELS] = weight

    high = np.zeros_like(t["enter"])
    high[:, near_inputs(config.radius)] = t["near"]
    spread, high_spread = np.zeros((2, config.width, inputs), np.int8)
    targets, sources = (
        (first[:, None] + np.arange(CHANNELS)).reshape(-1) for first in (slots, CHANNELS * pattern)
    )
    spread[:, targets], high_spread[:, targets] = t["enter"][:, sources], high[:, sources]
    close = slots[np.isin(pattern, near_positions(config.radius))]
    first = int(close.min()) // QUAD * QUAD if len(close) else 0
    last = padded(int(close.max()) + CHANNELS, QUAD) if len(close) else 0
    mask = t["mask"][:, pattern]
    bias = (
        t["enter_bias"]
        + mask.sum(1)
        - ZERO * (spread.astype(np.int32).sum(1) + (high_spread.astype(np.int32).sum(1) << NEAR_SHIFT))
    )
    return Net(
        np.array(
            [
                config.radius,
                inputs,
                width,
                config.depth,
                outputs,
                config.outputs,
                m,
                base.sum(),
                rows.shape[-1],
                first,
                last - first,
            ],
            np.int64,
        ),
        places,
        slots.astype(np.int64),
        base,
        rows.reshape(-1),
        pack(widened(spread, width, inputs)),
        pack(widened(high_spread[:, first:last], width, last - first)),
        lengthened(bias, width),
        np.concatenate([np.zeros(0, np.int32), *(lengthened(row, width) for row in mask.T)]),
        lengthened(t["enter_shift"], width),
        *packed_layers(t, width, outputs),
    )


class Canvas(NamedTuple):
    """An image in the making: what the network sees."""

    pixels: np.ndarray  # uint8, flat, RGB of all pixels, and SPARE more
    known: np.ndarray  # bool, flat
    height: int
    width: int

    @property
    def image(self) -> np.ndarray:
        """The pixels as uint8 (h, w, 3), a view."""
        return self.pixels[: self.height * self.width * CHANNELS].reshape(self.height, self.width, CHANNELS)

    @property
    def mask(self) -> np.ndarray:
        """What is known, bool (h, w), a view."""
        return self.known.reshape(self.height, self.width)


class Scratch(NamedTuple):
    """Working memory of one thread."""

    values: np.ndarray  # uint8, BLOCK rows of inputs
    sums: np.ndarray  # int32, BLOCK rows of the widest layer
    high: np.ndarray  # int32, BLOCK rows of the width: sums of `near`
    zeros: np.ndarray  # int32, a row of the width
    stream: np.ndarray  # uint8, BLOCK rows of the width
    inner: np.ndarray  # uint8, the same
    line: np.ndarray  # int32, a row of a window
    base: np.ndarray  # int16, BLOCK rows of three: what values are relative to


def scratch(net: Net) -> Scratch:
    """For a network, all of whose patterns have at most as many positions."""
    _, inputs, width, _, outputs, _, _, _, row, *_ = net.sizes.tolist()
    return Scratch(
        np.full(BLOCK * inputs + SPARE, ZERO, np.uint8),
        np.zeros(BLOCK * max(width, outputs), np.int32),
        np.zeros(BLOCK * width, np.int32),
        np.zeros(width, np.int32),
        np.zeros(BLOCK * width, np.uint8),
        np.zeros(BLOCK * width, np.uint8),
        np.zeros(max(row, LANES), np.int32),
        np.zeros(BLOCK * CHANNELS, np.int16),
    )


@internal(boundscheck=False, **BORROWING)
def gather(net: Any, canvas: Any, y: Any, x: Any, everything: Any, work: Any, row: Any) -> None:
    """Values and base of the pixel (y, x) into row `row` of the scratch, and the first layer's bias with its
    mask into the sums.

    canvas: a `Canvas`. everything: all pixels of the image that the pattern asks for are known, and
    `canvas.known` is not looked at.
    """
    pixels, known, height, columns = canvas
    radius, inputs, width, m = net.sizes[0], net.sizes[1], net.sizes[2], net.places.shape[0]
    at, to, here = row * inputs, row * width, y * columns + x
    inside = radius <= y < height - radius and radius <= x < columns - radius
    for o in range(width):
        work.sums[to + o] = net.known_bias[o]
    s0 = s1 = s2 = total = np.int64(0)
    for j in range(m):
        v, u = y + net.places[j, 0], x + net.places[j, 1]
        p = here + net.places[j, 0] * columns + net.places[j, 1]
        if (inside or (0 <= v < height and 0 <= u < columns)) and (everything or known[p]):
            w = np.int64(net.base[j])
            s0 += w * pixels[3 * p]
            s1 += w * pixels[3 * p + 1]
            s2 += w * pixels[3 * p + 2]
            total += w
    b0 = b1 = b2 = np.int64(UNKNOWN_BASE)
    if total:
        b0, b1, b2 = (
            (2 * s0 + total) // (2 * total),
            (2 * s1 + total) // (2 * total),
            (2 * s2 + total) // (2 * total),
        )
    work.base[3 * row], work.base[3 * row + 1], work.base[3 * row + 2] = b0, b1, b2
    for j in range(m):
        v, u = y + net.places[j, 0], x + net.places[j, 1]
        p = here + net.places[j, 0] * columns + net.places[j, 1]
        k = at + net.slots[j]
        if (inside or (0 <= v < height and 0 <= u < columns)) and (everything or known[p]):
            work.values[k] = min(max(pixels[3 * p] - b0, -128), 127) + ZERO
            work.values[k + 1] = min(max(pixels[3 * p + 1] - b1, -128), 127) + ZERO
            work.values[k + 2] = min(max(pixels[3 * p + 2] - b2, -128), 127) + ZERO
        else:
            work.values[k] = work.values[k + 1] = work.values[k + 2] = ZERO
            for o in range(width):
                work.sums[to + o] -= net.mask[j * width + o]


@internal(boundscheck=False, **BORROWING)
def gather_raster(net: Any, canvas: Any, y: Any, x: Any, work: Any, row: Any) -> None:
    """`gather` for raster order, where the pattern is half a window: row by row, in one piece of memory each.

    What lies beyond a row's last value, up to the next multiple of 48, is whatever comes there: its weights
    are 0.
    """
    pixels, columns = canvas.pixels, canvas.width
    radius, width, room = net.sizes[0], net.sizes[2], net.sizes[8]
    if y < radius or x < radius or x + radius >= columns:
        gather(net, canvas, y, x, True, work, row)
        return
    for o in range(width):
        work.sums[row * width + o] = net.known_bias[o]
    line, values_at = work.line, row * net.sizes[1]
    side = 3 * (2 * radius + 1)
    start = ((y - radius) * columns + x - radius) * 3
    for i in range(0, room, COLOURED):
        weigh(line, i, pixels, start + i, 3 * columns, net.base_rows, i, room, radius + 1)
    total, base, base_at = net.sizes[7], work.base, 3 * row
    for c in range(3):
        color = np.int64(0)
        for i in range(c, side, 3):
            color += line[i]
        base[base_at + c] = np.int64(np.uint64(2 * color + total) // np.uint64(2 * total))
    b0, b1, b2 = np.int32(base[base_at]), np.int32(base[base_at + 1]), np.int32(base[base_at + 2])
    step = (side + 3) & ~3
    for v in range(radius + 1):
        at = start + v * 3 * columns
        for i in range(0, room, COLOURED):
            put_apart(work.values, values_at + v * step + i, pixels, at + i, b0, b1, b2)


@internal(boundscheck=False, **BORROWING)
def _activate(
    sums: Any, to: Any, shift: Any, shift_at: Any, out: Any, at: Any, count: Any, residual: Any
) -> None:
    """out = clamp((sums (+ out << shift) + half) >> shift, 0, 255), `count` numbers."""
    if residual:
        for o in range(0, count, LANES):
            activate_more(sums, to + o, shift, shift_at + o, out, at + o)
    else:
        for o in range(0, count, LANES):
            activate(sums, to + o, shift, shift_at + o, out, at + o)


@internal(boundscheck=False, **BORROWING)
def _add_high(sums: Any, high: Any, count: Any) -> None:
    """sums += high * 2**NEAR_SHIFT, `count` numbers."""
    for o in range(count):
        sums[o] = int32.add(sums[o], int32.shl(high[o], np.int32(NEAR_SHIFT)))


@internal(boundscheck=False, **BORROWING)
def finish_block(net: Any, work: Any, params: Any, to: Any, count: Any) -> None:
    """All layers, for the pixels in the BLOCK rows of the scratch, of which `count` are wanted, their first
    bias in the sums. params: int32, flat, 10 K numbers of each from `to` on.
    """
    inputs, width, padded_outputs, outputs = net.sizes[1], net.sizes[2], net.sizes[4], net.sizes[5]
    sums, stream, inner = work.sums, work.stream, work.inner
    accumulate_four(
        work.values,
        net.sizes[9],
        inputs,
        net.near,
        0,
        net.sizes[10],
        width,
        work.zeros,
        0,
        0,
        work.high,
        width,
    )
    _add_high(sums, work.high, BLOCK * width)
    accumulate_four(work.values, 0, inputs, net.enter, 0, inputs, width, sums, 0, width, sums, width)
    for p in range(BLOCK):
        _activate(sums, p * width, net.enter_shift, 0, stream, p * width, width, False)
    for i in range(2 * net.sizes[3]):
        second = i & 1
        accumulate_four(
            inner if second else stream,
            0,
            width,
            net.hidden,
            i * width * width,
            width,
            width,
            net.hidden_bias,
            i * width,
            0,
            sums,
            width,
        )
        for p in range(BLOCK):
            _activate(
                sums,
                p * width,
                net.hidden_shift,
                i * width,
                stream if second else inner,
                p * width,
                width,
                second == 1,
            )
    accumulate_four(
        stream, 0, width, net.head, 0, width, padded_outputs, net.head_bias, 0, 0, sums, padded_outputs
    )
    for p in range(count):
        for o in range(outputs):
            params[to + p * outputs + o] = shifted_sum(sums[p * padded_outputs + o], net.head_shift[o])


@compiled(_nrt=False)
def evaluate(net: Any, canvas: Any, everything: Any, where: Any, work: Any, params: Any, base: Any) -> None:
    """Parameters int32 (N 10 K,) and bases int16 (N 3,), flat, of the pixels `where`, int32 (N, 2); see
    `gather`.
    """
    count, outputs = where.shape[0], net.sizes[5]
    for first in range(0, count, BLOCK):
        rows = min(BLOCK, count - first)
        for p in range(rows):
            gather(net, canvas, where[first + p, 0], where[first + p, 1], everything, work, p)
        for i in range(3 * rows):
            base[3 * first + i] = work.base[i]
        finish_block(net, work, params, first * outputs, rows)
