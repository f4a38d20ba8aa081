"""Small .ardm files of every method and kind: what damage tests sweep over and what fuzzing starts from. Knows the encoder, and no test."""

from __future__ import annotations

import zlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ardm.predict import NetworkPredictor
from codec import archive, compress, container, png, text
from codec.container import METHOD_DEEP, METHOD_FILE, METHOD_FINE, METHOD_MODEL, METHOD_QUICK, METHOD_RASTER, Entry
from codec.image import encode_deep, encode_raster
from codec.mixing import RASTER_FULL
from codec.samples import Kind, planes
from codec.stored import FILTERED, RAW
from tests import images, pngs

GOLDEN = Path(__file__).parent / "golden"
PHOTO = Path(__file__).parent.parent / "benchmarks" / "photo.png"
LIMIT = 10**6  # pixels


def golden() -> list[Path]:
    """Golden files that must decode."""
    return sorted(path for path in GOLDEN.glob("*.ardm") if not path.stem.startswith(("bad-", "unsupported-")))


@lru_cache(maxsize=1)
def _photo() -> np.ndarray:
    return png.read(PHOTO.read_bytes(), LIMIT).pixels


def arrays() -> dict[str, tuple[int, np.ndarray, dict[str, Any]]]:
    """name -> (method of its first plane, pixels, options of `compress`)."""
    crop, large = _photo()[190:202, 330:341], _photo()[190:222, 330:362]
    steps = (np.add.outer(np.arange(20) // 5, np.arange(20) // 5) % 2 * 200).astype(np.uint8)
    alpha = np.add.outer(np.arange(12), np.arange(11)).astype(np.uint8)[..., None] * 9
    return {
        "raw": (RAW, np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8), {}),
        "filtered": (FILTERED, steps, {}),
        "model": (METHOD_MODEL, crop, {"order": "lattice", "budget": 6}),
        "model-plain": (METHOD_MODEL, crop, {"order": "lattice", "budget": 3, "adaptive": False}),
        "model-random": (METHOD_MODEL, crop, {"seed": 7, "budget": 5}),
        "model-small": (METHOD_MODEL, crop, {"order": "lattice", "budget": 2, "model": "small"}),
        "quick": (METHOD_QUICK, crop, {"order": "lattice", "budget": 4, "quick": True}),
        "raster": (METHOD_RASTER, crop, {"order": "raster"}),
        "raster-quick": (METHOD_RASTER, crop[..., 1], {"order": "raster", "quick": True}),
        "alpha": (METHOD_RASTER, np.concatenate([crop, alpha], 2), {"order": "raster"}),
        "tiles": (METHOD_RASTER, _photo()[190:206, 330:350], {"order": "raster", "tile": 8}),
        "indexed": (METHOD_RASTER, _photo()[190:206, 330:350, 1] // 16, {"kind": Kind(4, indexed=True), "order": "raster"}),
        "folded-16": (METHOD_RASTER, crop[..., 1] * np.uint16(257), {"order": "raster"}),
        "fine-grey-16": (METHOD_FINE, crop[..., 1] * np.uint16(200) + crop[..., 0], {"order": "raster"}),
        "fine-rgba-12": (METHOD_FINE, np.concatenate([crop, alpha], 2) * np.uint16(16) + crop[..., :1] % 13, {}),
        "fine-listed": (METHOD_FINE, ((large[..., 1] // 3).astype(np.uint16) ** 2 * 7), {}),
    }


def in_bytes(samples: np.ndarray, tile: int = 1024) -> bytes:
    """The .ardm file of uint16 (h, w) or (h, w, 3) whose low bytes are coded given the high ones, now only written where nothing else is smaller."""
    header = container.read(compress(samples, tile=tile))[0]
    payloads = []
    for top, left, height, width in header.tiles:
        high, low = planes(samples.reshape(*samples.shape[:2], -1)[top : top + height, left : left + width])
        payloads += [encode_raster(high, RASTER_FULL), encode_deep(low, high)]
    entries = tuple(Entry((METHOD_RASTER, METHOD_DEEP)[i % 2], len(payload), zlib.crc32(payload)) for i, payload in enumerate(payloads))
    return container.write(replace(header, folded=False, entries=entries), payloads)


def png_files() -> dict[str, tuple[int, bytes, bool]]:
    """name -> (method of its first plane, PNG file, whether to keep it exactly)."""
    crop = _photo()[190:206, 330:346]
    return {
        "chunks": (METHOD_RASTER, pngs.png_of(crop, 2, 8), False),
        "exact": (METHOD_RASTER, pngs.png_of(crop, 2, 8, pieces=100), True),
        "exact-interlaced-palette": (METHOD_RASTER, pngs.png_of(crop[..., 1] // 16, 3, 4, 1), True),
        "difference": (METHOD_RASTER, pngs.flushed(pngs.png_of(crop, 2, 8)), True),
        "whole": (METHOD_FILE, pngs.png_of(pngs.pixels_of(0, 1, 3, 3), 0, 1) + b"tail", True),
    }


def source_files() -> dict[str, tuple[int, bytes]]:
    """name -> (method of its first plane, file that is its bare samples): each order of rows, channels and bytes."""
    names = {"bmp-pillow": METHOD_RASTER, "npy-fortran-grey": METHOD_RASTER, "qoi-alpha": METHOD_RASTER, "tiff-grey-16>": METHOD_FINE}
    return {f"source-{name}": (method, images.SAME[name][0]) for name, method in names.items()}


PROSE = b'The old man sat by the river and wept. "It was his OWN fault," said McGregor, who had come in 1984.\r\nIn the morning there was a great noise.\r\n'


@lru_cache(maxsize=1)
def texts() -> dict[str, bytes]:
    """name -> .ardm file of text, of every method and order."""
    given: dict[str, tuple[bytes, dict[str, Any]]] = {
        "raw": (b"\x80\x81 a", {}), "packed": (b"<td></td>" * 20, {}), "plain": (PROSE, {"order": "plain"}), "rows": (PROSE, {"order": "rows", "budget": 3}),
    }  # fmt: skip
    return {name: text.pack(data, **options) for name, (data, options) in given.items()}


@lru_cache(maxsize=2)
def files(predictor: NetworkPredictor | None = None) -> dict[str, bytes]:
    """name -> .ardm file, 70 to 1900 bytes. predictor: another one than the package's. "runs" is a golden file: its way of learning is no longer written."""
    found = {"runs": (METHOD_MODEL, (GOLDEN / "photo-grey.ardm").read_bytes())}
    found["deep-16"] = METHOD_RASTER, in_bytes(_photo()[190:222, 330:362, 1] * np.uint16(259))
    found["deep-rgb-16"] = METHOD_RASTER, in_bytes(_photo()[190:196, 330:336] * np.uint16(257) ^ np.uint16(85))
    found |= {name: (method, compress(np.ascontiguousarray(pixels), predictor=predictor, **options)) for name, (method, pixels, options) in arrays().items()}
    for name, (method, source, exactly) in png_files().items():
        found[name] = method, archive.pack(source, exactly=exactly, max_pixels=LIMIT, order="raster").data
    for name, (method, source) in source_files().items():
        found[name] = method, archive.pack(source, exactly=False, max_pixels=LIMIT, order="raster").data
    for name, (method, data) in found.items():
        assert container.read(data)[0].entries[0].method == method, name
    return {name: data for name, (_, data) in found.items()}


def kinds() -> dict[str, bytes]:
    """name -> PNG file, 9 x 7 pixels, of every colour type, depth and interlacing."""
    return {
        f"png-{colour}-{depth}-{interlaced}": pngs.png_of(pngs.pixels_of(colour, depth, 7, 9), colour, depth, interlaced)
        for colour, depth, interlaced in pngs.KINDS
    }
