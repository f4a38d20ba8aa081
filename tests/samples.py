"""Small .ardm files of every method and kind: what damage tests sweep over and what fuzzing starts from.
Knows the encoder, and no test.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ardm.exact.predictor import Predictor
from codec import archive, compress, container, text
from codec.choice import encode_plane
from codec.coder.jpeg.dct import Layout
from codec.coder.jpeg.origin import saved
from codec.coder.jpeg.steps import standard_tables
from codec.coder.stored import FILTERED, RAW
from codec.coder.work import Work
from codec.container import Entry
from codec.methods import Method
from codec.samples import Kind, planes
from codec.tiles import load_predictor
from tests import images, pngs
from tests.photos import converted, photo
from tests.planes import plan

GOLDEN = Path(__file__).parent / "golden"
LIMIT = 10**6  # pixels


def golden() -> list[Path]:
    """Golden files that must decode."""
    return sorted(
        path for path in GOLDEN.glob("*.ardm") if not path.stem.startswith(("bad-", "unsupported-"))
    )


def golden_pixels() -> list[Path]:
    """Those that decode to pixels: not a JPEG by its coefficients."""
    return [path for path in golden() if path.with_suffix(".png").exists()]


def arrays() -> dict[str, tuple[int, np.ndarray, dict[str, Any]]]:
    """name -> (method of its first plane, pixels, options of `compress`)."""
    crop, large = photo()[190:202, 330:341], photo()[190:222, 330:362]
    steps = (np.add.outer(np.arange(20) // 5, np.arange(20) // 5) % 2 * 200).astype(np.uint8)
    alpha = np.add.outer(np.arange(12), np.arange(11)).astype(np.uint8)[..., None] * 9
    return {
        "raw": (RAW, np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8), {}),
        "filtered": (FILTERED, steps, {"plain": True}),
        "lattice": (Method.NETWORK, photo()[190:206, 336:352], {"order": "lattice", "budget": 6}),
        "lattice-plain": (Method.NETWORK, crop, {"order": "lattice", "budget": 3, "plain": True}),
        "random": (Method.NETWORK, crop, {"seed": 7, "budget": 5}),
        "raster": (Method.NETWORK, crop, {"order": "raster"}),
        "raster-plain": (Method.NETWORK, crop[..., 1], {"order": "raster", "plain": True}),
        "raster-one-strip": (Method.NETWORK, crop, {"order": "raster", "budget": 90}),
        "alpha": (Method.NETWORK, np.concatenate([crop, alpha], 2), {"order": "raster"}),
        "tiles": (Method.NETWORK, photo()[190:206, 330:350], {"order": "raster", "tile": 8}),
        "graphics": (Method.GRAPHICS, np.tile(photo()[190:207, 330:347], (3, 3, 1)), {}),
        "converted": (Method.CONVERTED, converted()[190:206, 330:346], {"order": "raster"}),
        "converted-lattice": (Method.CONVERTED, converted()[190:206, 330:346], {"order": "lattice"}),
        "jpeg": (Method.JPEG, _of_jpeg(), {}),
        "palette": (Method.PALETTE, photo()[190:214, 330:354] // 64 * 64, {}),
        "palette-alpha": (
            Method.PALETTE,
            np.concatenate([steps[..., None] // 2, 255 - steps[..., None]], 2),
            {"tile": 12, "order": "lattice"},
        ),
        "indexed": (
            Method.GRAPHICS,
            photo()[190:206, 330:350, 1] // 16,
            {"kind": Kind(4, indexed=True), "order": "raster"},
        ),
        "folded-16": (Method.NETWORK, crop[..., 1] * np.uint16(257), {"order": "raster"}),
        "fine-grey-16": (
            Method.HIGH_DEPTH,
            crop[..., 1] * np.uint16(200) + crop[..., 0],
            {"order": "raster"},
        ),
        "fine-rgba-12": (
            Method.HIGH_DEPTH,
            np.concatenate([crop, alpha], 2) * np.uint16(16) + crop[..., :1] % 13,
            {},
        ),
        "fine-listed": (Method.HIGH_DEPTH, ((large[..., 1] // 3).astype(np.uint16) ** 2 * 7), {}),
    }


def in_bytes(samples: np.ndarray, tile: int = 1024, predictor: Predictor | None = None) -> bytes:
    """The .ardm file of uint16 (h, w) or (h, w, 3) whose bytes are planes apart, even where both together
    would be smaller.
    """
    predictor = predictor or load_predictor()
    header = container.read(compress(samples, tile=tile, predictor=predictor))[0]
    schedule = plan(predictor.weights, min(tile, samples.shape[0]), min(tile, samples.shape[1]), None)
    coded = []
    for top, left, height, width in header.tiles:
        part = samples.reshape(*samples.shape[:2], -1)[top : top + height, left : left + width]
        coded += [encode_plane(plane, Work(schedule, predictor)) for plane in planes(part)]
    entries = tuple(Entry(method, len(payload), zlib.crc32(payload)) for method, payload in coded)
    return container.write(replace(header, folded=False, entries=entries), [payload for _, payload in coded])


def png_files() -> dict[str, tuple[int, bytes, bool]]:
    """name -> (method of its first plane, PNG file, whether to keep it exactly)."""
    crop = photo()[190:206, 330:346]
    return {
        "chunks": (Method.NETWORK, pngs.png_of(crop, 2, 8), False),
        "exact": (Method.NETWORK, pngs.png_of(crop, 2, 8, pieces=100), True),
        "exact-interlaced-palette": (Method.GRAPHICS, pngs.png_of(crop[..., 1] // 16, 3, 4, 1), True),
        "difference": (Method.NETWORK, pngs.flushed(pngs.png_of(crop, 2, 8)), True),
        "whole": (Method.FILE, pngs.png_of(pngs.pixels_of(0, 1, 3, 3), 0, 1) + b"tail", True),
    }


def source_files() -> dict[str, tuple[int, bytes]]:
    """name -> (method of its first plane, file that is its bare samples): each order of rows, channels and
    bytes.
    """
    names = {
        "bmp-pillow": Method.NETWORK,
        "npy-fortran-grey": Method.NETWORK,
        "qoi-alpha": Method.NETWORK,
        "tiff-grey-16>": Method.HIGH_DEPTH,
    }
    return {f"source-{name}": (method, images.SAME[name][0]) for name, method in names.items()}


def jpeg_files() -> dict[str, tuple[int, bytes]]:
    """name -> (method, JPEG file)."""
    return {"jpeg-file": (Method.JPEG_FILE, images.saved(photo()[190:214, 330:354], "JPEG", quality=60))}


def _of_jpeg() -> np.ndarray:
    """A small picture that was a JPEG: uint8 (40, 44, 3)."""
    return saved(photo()[190:230, 330:374], Layout(40, 44, 3, 6, 2, 2), standard_tables(60))


PROSE = b'The old man sat by the river and wept. "It was his OWN fault," said McGregor, who had come in 1984.\r\nIn the morning there was a great noise.\r\n'


@lru_cache(maxsize=1)
def texts() -> dict[str, bytes]:
    """name -> .ardm file of text, of every method and order."""
    given: dict[str, tuple[bytes, dict[str, Any]]] = {
        "raw": (b"\x80\x81 a", {}),
        "packed": (b"<td></td>" * 20, {}),
        "plain": (PROSE, {"order": "plain"}),
        "cells": (PROSE, {"order": "cells", "budget": 3}),
    }
    return {name: text.pack(data, **options) for name, (data, options) in given.items()}


@lru_cache(maxsize=2)
def files(predictor: Predictor | None = None) -> dict[str, bytes]:
    """name -> .ardm file, 50 to 1900 bytes. predictor: another one than the package's."""
    found = {
        "bytes-16": (
            Method.NETWORK,
            in_bytes(photo()[190:222, 330:362, 1] * np.uint16(259), predictor=predictor),
        )
    }
    for name, (method, pixels, options) in arrays().items():
        found[name] = (
            method,
            compress(np.ascontiguousarray(pixels), predictor=predictor, verify=False, **options),
        )
    for name, (method, source, exactly) in png_files().items():
        found[name] = method, archive.pack(source, exactly=exactly, max_pixels=LIMIT, order="raster").data
    for name, (method, source) in source_files().items():
        found[name] = method, archive.pack(source, exactly=False, max_pixels=LIMIT, order="raster").data
    for name, (method, source) in jpeg_files().items():
        found[name] = method, archive.pack(source, exactly=True, max_pixels=LIMIT).data
    for name, (method, data) in found.items():
        assert container.read(data)[0].entries[0].method == method, name
    return {name: data for name, (_, data) in found.items()}


def kinds() -> dict[str, bytes]:
    """name -> PNG file, 9 x 7 pixels, of every colour type, depth and interlacing."""
    return {
        f"png-{colour}-{depth}-{interlaced}": pngs.png_of(
            pngs.pixels_of(colour, depth, 7, 9), colour, depth, interlaced
        )
        for colour, depth, interlaced in pngs.KINDS
    }
