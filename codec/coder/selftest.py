"""`check_coder`: does this machine's compiled code compute what the format needs? One self-test for both
coders of images, run once per process.

Each coder is run on a small synthetic plane, and its words are compared with what every correct one writes.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ardm.exact import window
from ardm.exact.predictor import Predictor, new_canvas
from ardm.units import make_tables
from ardm.window import WindowConfig
from codec.coder import plain
from codec.coder.mixing import Mixing
from codec.coder.words import check_words, made_up

MIXING_DIGEST = "24f38d06f7f3f860"  # of what `mixing_words` makes
PLAIN_DIGEST = "9c70a43102565a71"  # of what `plain_words` makes
SHAPE = 16, 20


@lru_cache(maxsize=2)
def check_coder(plainly: bool) -> None:
    """Raise UnsupportedError if this machine's compiled arithmetic is not the integer and IEEE arithmetic
    that the format needs.

    plainly: of the plain coder; else of the mixing coder. What is not used need not be compiled.
    """
    if plainly:
        check_words(plain_words(), PLAIN_DIGEST, "plain coder")
    else:
        check_words(mixing_words(), MIXING_DIGEST, "mixing coder")


def synthetic_weights() -> window.WindowWeights:
    """A network of made-up integers, whose sums come near their bounds."""
    config = WindowConfig(radius=6, width=32, depth=1)
    n, w, k = config.positions, config.width, config.outputs

    tensors = {
        "enter": made_up(w, 3 * n).astype(np.int8),
        "near": made_up(w, 24).astype(np.int8) // 16,
        "enter_bias": made_up(w) * 900,
        "enter_shift": np.full(w, 9),
        "mask": made_up(w, n) * 20,
        "hidden": made_up(2, w, w).astype(np.int8),
        "hidden_bias": made_up(2, w) * 700,
        "hidden_shift": np.full((2, w), 10),
        "head": made_up(k, w).astype(np.int8),
        "head_bias": made_up(k) * 500,
        "head_shift": np.full(k, 9),
    }
    tensors = {
        name: values if values.dtype == np.int8 else values.astype(np.int32)
        for name, values in tensors.items()
    }
    tensors |= {"table." + name: values for name, values in make_tables().items()}
    tensors |= {"bits": np.ones((window.LEVELS, 15, 15), np.float32), "raster_bits": np.ones(1, np.float32)}
    window.check_bounds(config, tensors)
    return window.WindowWeights("0" * 8, config, tensors, {})


def _image() -> np.ndarray:
    """uint8 (h, w, 3), integer noise on a slope."""
    height, width = SHAPE
    y, x = np.mgrid[:height, :width]
    noise = (np.arange(3 * height * width) * 2654435761 >> 13) % 23
    return ((7 * y + 3 * x)[..., None] + noise.reshape(height, width, 3)).astype(np.uint8)


def mixing_words() -> bytes:
    """What the mixing coder writes in raster order, with the network, of blocks with it, and without."""
    planar = np.ascontiguousarray(_image().transpose(2, 0, 1)).astype(np.int16)
    network, done = synthetic_weights(), b""
    for weights, blocks in ((network, None), (network, (3, 6)), (None, None)):
        mixing = Mixing(3, SHAPE[0] * SHAPE[1], weights, blocks=blocks)
        mixing.start_stage(np.zeros_like(planar), planar)
        mixing.code_raster(4 if weights else 1)
        done += mixing.finish()
    return done


def plain_words() -> bytes:
    """What the plain coder writes, diagonal by diagonal, and of one call."""
    weights, image = synthetic_weights(), _image()
    encoder = plain.Encoder()
    plain.code_raster(encoder, weights, image, 3, False)
    done = encoder.finish()
    canvas = new_canvas(*SHAPE)
    canvas.image[:] = image
    canvas.mask[::2] = True
    where = np.argwhere(~canvas.mask).astype(np.int32)
    params, base = Predictor(weights).scattered(canvas, where)
    encoder = plain.Encoder()
    plain.code_call(encoder, params, base, plain.tables_of(weights), 3, image[where[:, 0], where[:, 1]])
    return done + encoder.finish()
