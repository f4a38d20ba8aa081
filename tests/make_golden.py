"""Write golden files that are missing: python -m tests.make_golden. Files that exist are never touched; a release adds, it does not replace."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from codec import archive, compress, png, qoi, sources, text
from codec.samples import Kind
from tests import pngs

GOLDEN = Path(__file__).parent / "golden"
TEXTS = Path(__file__).parent / "golden-text"


def images() -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """name -> (pixels, options of `compress`).

    "mixing-*" and "raster-*" are of 0.2.0, "quick-*" and "best" of 0.3.0, "deep-*" and "fine-*" later, the rest of 0.1.0.
    """
    photo = np.asarray(Image.open(Path(__file__).parent.parent / "benchmarks" / "photo.png"))
    crop = photo[190:253, 330:401]
    alpha = np.clip(np.add.outer(np.arange(63) * 4, np.arange(71) % 9), 0, 255).astype(np.uint8)[..., None]
    sums = photo[190:254, 330:402].reshape(32, 2, 36, 2, 3).sum(axis=(1, 3), dtype=np.uint16)  # ten bits
    rich = np.dstack([sums, sums[..., :1] // 2]) * np.uint16(16) + photo[190:222, 330:366, [0, 1, 2, 0]] % np.uint16(16)
    rng = np.random.default_rng(1)
    checks = (np.add.outer(np.arange(60) // 10, np.arange(80) // 10) % 2)[..., None] * np.array([250, 90, 10])
    return {
        "photo-rgb": (crop, {}),
        "photo-rgba": (np.concatenate([crop, alpha], 2), {}),
        "photo-grey": (crop[..., 1], {}),
        "photo-grey-alpha": (np.concatenate([crop[..., :1], alpha], 2), {}),
        "noise": (rng.integers(0, 256, (20, 30, 3), dtype=np.uint8), {}),
        "graphics": (checks.astype(np.uint8), {}),
        "random-order": (crop, {"seed": 12345, "budget": 20}),
        "tiles": (crop, {"tile": 24, "budget": 15}),
        "one-pixel": (crop[:1, :1], {}),
        "budget-1": (crop, {"budget": 1}),
        "not-adaptive": (crop, {"adaptive": False}),
        "mixing-rgb": (crop, {"order": "lattice"}),
        "mixing-rgba": (np.concatenate([crop, alpha], 2), {"order": "lattice"}),
        "mixing-grey": (crop[..., 1], {"order": "lattice"}),
        "mixing-tiles": (crop, {"order": "lattice", "tile": 24, "budget": 15}),
        "mixing-budget-1": (crop, {"order": "lattice", "budget": 1}),
        "mixing-large": (photo[100:292, 300:492], {"order": "lattice"}),
        "quick-rgb": (crop, {"order": "lattice", "quick": True}),
        "quick-large": (photo[100:292, 300:492], {"order": "lattice", "quick": True}),
        "quick-grey": (crop[..., 1], {"order": "lattice", "quick": True}),
        "quick-raster-rgba": (np.concatenate([crop, alpha], 2), {"order": "raster", "quick": True}),
        "best": (photo[100:164, 300:400], {"order": "best"}),
        "raster-rgb": (crop, {"order": "raster"}),
        "raster-grey-alpha": (np.concatenate([crop[..., :1], alpha], 2), {"order": "raster"}),
        "raster-graphics": (np.where(crop > 140, 230, crop // 64 * 60).astype(np.uint8), {"order": "raster"}),
        "samples-grey-16": (crop[..., 1] * np.uint16(200) + crop[..., 0], {"order": "lattice"}),
        "samples-rgba-16": (np.concatenate([crop, alpha], 2) * np.uint16(257), {"order": "raster"}),
        "samples-folded-16": (crop * np.uint16(257), {}),
        "samples-grey-2": (crop[..., 1] // 64, {"kind": Kind(2)}),
        "deep-grey-16": (crop[..., 1] * np.uint16(200) + crop[..., 0], {}),
        "deep-rgba-16": (np.concatenate([sums, sums[..., :1]], 2), {"order": "raster"}),
        "fine-rgb-10": (sums, {}),
        "fine-rgba-14-replicated": ((rich << 2) | (rich >> 12), {"tile": 20}),
        "fine-grey-listed": ((crop[..., 1] // 2).astype(np.uint16) ** 2 * 4, {}),
        "samples-palette-4": (crop[..., 1] // 16, {"kind": Kind(4, indexed=True)}),
    }


def png_files() -> dict[str, tuple[bytes, bool]]:
    """name -> (PNG file, whether to keep it exactly)."""
    interlaced, whole = pngs.pixels_of(3, 4, 40, 50), pngs.pixels_of(0, 1, 3, 3)
    return {
        "png-content-interlaced-palette": (pngs.png_of(interlaced, 3, 4, 1), False),
        "png-exact-interlaced-palette": (pngs.png_of(interlaced, 3, 4, 1, pieces=100), True),
        "png-exact-rgb-16": (pngs.png_of(pngs.pixels_of(2, 16, 40, 50), 2, 16), True),
        "png-whole": (pngs.png_of(whole, 0, 1), True),
        "png-difference": (pngs.flushed(pngs.png_of(pngs.pixels_of(2, 8, 40, 50), 2, 8)), True),
        "whole-file": (pngs.flushed(pngs.png_of(whole, 0, 1)), True),  # since "png-whole" is made again by a recipe, whatever its name
    }


def source_files() -> dict[str, tuple[str, bytes]]:
    """name -> (ending, file that is its bare samples)."""
    deep = pngs.pixels_of(2, 16, 40, 50)
    entries = {256: 50, 257: 40, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 40, 279: 2000}
    grey = b"II*\0" + struct.pack("<I", 2008) + pngs.pixels_of(0, 8, 40, 50).tobytes() + struct.pack("<H", len(entries))
    return {
        "source-ppm-16": ("ppm", b"P6 # golden\n50 40\n65535\n" + deep.astype(">u2").tobytes()),
        "source-tiff": ("tif", grey + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items()) + bytes(4)),
        "source-qoi": ("qoi", b"qoif" + struct.pack(">II", 50, 40) + b"\3\0" + qoi.encode(pngs.pixels_of(2, 8, 40, 50))),
    }


def texts() -> dict[str, tuple[bytes, dict[str, Any]]]:
    """name -> (bytes, options of `codec.text.pack`)."""
    prose = (GOLDEN.parents[1] / "SECURITY.md").read_bytes()[:3000]
    return {
        "rows": (prose, {"order": "rows"}), "rows-5-calls": (prose[:500], {"order": "rows", "budget": 5}), "plain": (prose, {"order": "plain"}),
        "packed": (b"0123456789" * 50, {}), "packed-all-bytes": (bytes(range(256)), {}), "noise": (np.random.default_rng(0).bytes(300), {}),
    }  # fmt: skip


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    TEXTS.mkdir(exist_ok=True)
    for name, (data, options) in texts().items():
        path = TEXTS / f"{name}.ardm"
        if not path.exists():
            path.write_bytes(text.pack(data, **options))
            path.with_suffix(".txt").write_bytes(data)
            print("wrote", path)
    for name, (pixels, options) in images().items():
        path = GOLDEN / f"{name}.ardm"
        if not path.exists():
            path.write_bytes(compress(pixels, verify=True, **options))
            depth = options["kind"].depth if "kind" in options else 8 * pixels.itemsize
            path.with_suffix(".png").write_bytes(png.write(png.Png(pixels, Kind(depth), False, b"", b"")))
            print("wrote", path)
    for name, (ending, source) in source_files().items():
        path = GOLDEN / f"{name}.ardm"
        if not path.exists():
            path.write_bytes(archive.pack(source, exactly=False, max_pixels=10**6, verify=True).data)
            path.with_suffix(f".{ending}").write_bytes(source)
            path.with_suffix(".png").write_bytes(png.write(sources.read(source, 10**6).image))
            print("wrote", path)
    for name, (source, exactly) in png_files().items():
        path = GOLDEN / f"{name}.ardm"
        if not path.exists():
            path.write_bytes(archive.pack(source, exactly=exactly, max_pixels=10**6, verify=True).data)
            path.with_suffix(".png").write_bytes(source)
            print("wrote", path)


if __name__ == "__main__":
    main()
