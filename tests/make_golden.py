"""Write golden files: python -m tests.make_golden adds those that are missing, valid and bad, and touches no
other.

--all makes every one anew, and removes what is no longer made. Until 1.0 is declared bytes may change by that
command, with the reason in CHANGELOG.md; a release adds, it does not replace.
"""

from __future__ import annotations

import argparse
import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from codec import archive, compress, container, png, text
from codec.coder import conversions
from codec.coder.jpeg import bands
from codec.coder.jpeg.dct import Layout
from codec.coder.jpeg.origin import saved
from codec.coder.jpeg.steps import standard_tables
from codec.formats import qoi, sources
from codec.samples import Kind
from tests import photos, pngs

GOLDEN = Path(__file__).parent / "golden"
TEXTS = Path(__file__).parent / "golden-text"
FUZZ = Path(__file__).parent / "fuzz"


def images() -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """name -> (pixels, options of `compress`)."""
    photo = photos.photo()
    crop = photo[190:253, 330:401]
    alpha = np.clip(np.add.outer(np.arange(63) * 4, np.arange(71) % 9), 0, 255).astype(np.uint8)[..., None]
    sums = photo[190:254, 330:402].reshape(32, 2, 36, 2, 3).sum(axis=(1, 3), dtype=np.uint16)  # ten bits
    rich = np.dstack([sums, sums[..., :1] // 2]) * np.uint16(16) + photo[
        190:222, 330:366, [0, 1, 2, 0]
    ] % np.uint16(16)
    rng = np.random.default_rng(1)
    checks = (np.add.outer(np.arange(60) // 10, np.arange(80) // 10) % 2)[..., None] * np.array([250, 90, 10])
    other = np.random.default_rng(2)
    blocks = np.tile(photo[200:214, 330:345], (6, 6, 1))  # many colours, of which a palette costs more
    pixel_art = np.concatenate([crop // 96 * 96, alpha // 128 * 255], 2)
    pixel_art[:24, :24] = np.concatenate([crop, alpha], 2)[:24, :24]  # a tile of many colours
    few = other.integers(0, 256, (256, 4), dtype=np.uint8)[other.integers(0, 256, (20, 30))]
    return {
        "photo-rgb": (crop, {}),
        "photo-rgba": (np.concatenate([crop, alpha], 2), {}),
        "photo-grey": (crop[..., 1], {}),
        "photo-grey-alpha": (np.concatenate([crop[..., :1], alpha], 2), {}),
        "noise": (rng.integers(0, 256, (20, 30, 3), dtype=np.uint8), {}),
        "graphics": (blocks, {}),
        "flat": (np.pad(checks[:1, :1].astype(np.uint8), ((90, 509), (120, 479), (0, 0))), {"plain": True}),
        "tiles": (crop, {"tile": 24}),
        "one-pixel": (crop[:1, :1], {}),
        "large": (photo[100:292, 300:492], {}),
        "raster-one-strip": (crop, {"order": "raster", "budget": 512}),
        "raster-graphics": (blocks[::-1, :80], {"order": "raster"}),
        "palette-rgb": (checks.astype(np.uint8), {}),
        "palette-rgba-tiles": (pixel_art, {"tile": 24, "order": "lattice"}),
        "palette-grey-alpha": (
            np.array([[0, 255], [3, 0], [90, 128], [255, 255]], np.uint8)[crop[..., 1] // 64],
            {},
        ),
        "palette-grey": (np.array([0, 3, 90, 255], np.uint8)[crop[..., 1] // 64], {}),
        "palette-noise": (few, {}),
        "palette-flat": (np.pad(checks[:1, :1].astype(np.uint8), ((90, 509), (120, 479), (0, 0))), {}),
        "plain-rgb": (crop, {"plain": True}),
        "plain-grey": (crop[..., 1], {"plain": True}),
        "plain-tiles": (crop, {"plain": True, "tile": 24}),
        "plain-lattice": (crop, {"plain": True, "order": "lattice"}),
        "plain-budget-4": (crop, {"plain": True, "budget": 4}),
        "quick": (crop, {"quick": True}),
        "best": (crop, {"best": True}),
        "lattice-rgb": (crop, {"order": "lattice"}),
        "lattice-rgba": (np.concatenate([crop, alpha], 2), {"order": "lattice"}),
        "lattice-grey": (crop[..., 1], {"order": "lattice"}),
        "lattice-tiles": (crop, {"order": "lattice", "tile": 24, "budget": 15}),
        "lattice-large": (photo[100:292, 300:492], {"order": "lattice"}),
        "budget-1": (crop, {"budget": 1}),
        "random-order": (crop, {"seed": 12345, "budget": 20}),
        "random-grey": (crop[..., 1], {"seed": 2**32 - 1}),
        "samples-grey-16": (crop[..., 1] * np.uint16(200) + crop[..., 0], {"plain": True}),
        "samples-rgba-16": (np.concatenate([crop, alpha], 2) * np.uint16(257), {"order": "raster"}),
        "samples-folded-16": (crop * np.uint16(257), {"order": "lattice"}),
        "samples-grey-2": (crop[..., 1] // 64, {"kind": Kind(2)}),
        "fine-rgb-10": (sums, {}),
        "fine-rgba-14-replicated": ((rich << 2) | (rich >> 12), {"tile": 20}),
        "fine-grey-listed": ((crop[..., 1] // 2).astype(np.uint16) ** 2 * 4, {}),
        **{f"jpeg-{name}": image for name, image in _jpegs(crop, alpha).items()},
        **{f"converted-{name}": image for name, image in _converted(alpha).items()},
        "samples-palette-4": (crop[..., 1] // 16, {"kind": Kind(4, indexed=True)}),
    }


def _converted(alpha: np.ndarray) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """What every conversion makes of the same luma and differences, in every order."""
    crop = photos.converted()[190:253, 330:401]
    planes = conversions.from_rgb(conversions.told(crop), crop)[0]
    planes[20:24, 20:30] //= 8  # colours that are clipped
    made = [conversions.to_rgb(conversion, planes) for conversion in conversions.CONVERSIONS]
    made[0][30, 10:13] = 9, 200, 33  # a few pixels that were painted afterwards
    return {
        "rgb": (made[0], {}),
        "rgba-lattice": (np.concatenate([made[1], alpha], 2), {"order": "lattice"}),
        "plain": (made[2], {"plain": True}),
        "random": (made[3], {"seed": 9, "budget": 9}),
        "tiles": (made[4], {"tile": 48}),
        "video": (np.concatenate([picture[:60] for picture in made[5:]]), {"tile": 60}),
    }


def _jpegs(crop: np.ndarray, alpha: np.ndarray) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """What was saved as a JPEG: blocks lie anywhere, differences are sampled in all ways; a table of its own."""
    size = crop.shape[:2]
    painted = saved(crop, Layout(*size, down=2, across=2), standard_tables(75))
    painted[20:26, 30:40] = 200, 30, 60
    shared = saved(crop, Layout(*size, 0, 12, 1, 2), standard_tables(90))
    ramp = 5 + np.add.outer(np.arange(8), 2 * np.arange(8)).reshape(64)
    grey = saved(crop[..., :1], Layout(*size, 2, 6), (ramp, ramp))
    whole = saved(crop, Layout(*size, 5, 3), standard_tables(80))
    return {
        "rgb": (painted, {}),
        "rgba-lattice": (np.concatenate([shared, alpha], 2), {"order": "lattice"}),
        "grey": (grey[..., 0], {}),
        "tiles": (whole, {"tile": 32, "plain": True}),
    }


def png_files() -> dict[str, tuple[bytes, bool]]:
    """name -> (PNG file, whether to keep it exactly)."""
    interlaced = pngs.pixels_of(3, 4, 40, 50)
    head = struct.pack(">IIBBBBB", 3, 2, 1, 0, 0, 0, 0)
    # bits left over that are not 0
    untidy = pngs.build([(b"IHDR", head), (b"IDAT", zlib.compress(b"\0\xff\0\x1f")), (b"IEND", b"")])
    return {
        "png-content-interlaced-palette": (pngs.png_of(interlaced, 3, 4, 1), False),
        "png-exact-interlaced-palette": (pngs.png_of(interlaced, 3, 4, 1, pieces=100), True),
        "png-exact-rgb-16": (pngs.png_of(pngs.pixels_of(2, 16, 40, 50), 2, 16), True),
        "png-exact-small": (pngs.png_of(pngs.pixels_of(0, 1, 3, 3), 0, 1), True),
        "png-difference": (pngs.flushed(pngs.png_of(pngs.pixels_of(2, 8, 40, 50), 2, 8)), True),
        "whole-file": (untidy, True),
    }


def source_files() -> dict[str, tuple[str, bytes]]:
    """name -> (ending, file that is its bare samples)."""
    deep = pngs.pixels_of(2, 16, 40, 50)
    entries = {256: 50, 257: 40, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 40, 279: 2000}
    grey = (
        b"II*\0"
        + struct.pack("<I", 2008)
        + pngs.pixels_of(0, 8, 40, 50).tobytes()
        + struct.pack("<H", len(entries))
    )
    return {
        "source-ppm-16": ("ppm", b"P6 # golden\n50 40\n65535\n" + deep.astype(">u2").tobytes()),
        "source-tiff": (
            "tif",
            grey
            + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
            + bytes(4),
        ),
        "source-qoi": (
            "qoi",
            b"qoif" + struct.pack(">II", 50, 40) + b"\3\0" + qoi.encode(pngs.pixels_of(2, 8, 40, 50)),
        ),
    }


def jpeg_files() -> dict[str, bytes]:
    """name -> JPEG file."""
    crop = Image.fromarray(photos.photo()[190:253, 330:401])
    made: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "jpeg-file": (crop, {"quality": 80, "restart_marker_rows": 2, "comment": b"golden"}),
        "jpeg-file-progressive": (crop, {"quality": 70, "subsampling": 1, "progressive": True}),
        "jpeg-file-cmyk": (crop.convert("CMYK"), {"quality": 60}),
        "jpeg-file-bands": (crop, {"quality": 80, "subsampling": 1}),
    }
    found = {}
    for name, (image, options) in made.items():
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", **options)
        found[name] = buffer.getvalue()
    small = io.BytesIO()
    crop.resize((24, 21)).save(small, "JPEG", quality=70)
    outer = io.BytesIO()
    crop.save(outer, "JPEG", quality=80, exif=b"Exif\0\0" + bytes(8) + small.getvalue())
    found["jpeg-file-within"] = outer.getvalue() + bytes(5) + small.getvalue() + b"end"
    return found


def texts() -> dict[str, tuple[bytes, dict[str, Any]]]:
    """name -> (bytes, options of `codec.text.pack`)."""
    prose = (GOLDEN.parents[1] / "SECURITY.md").read_bytes()[:3000]
    return {
        "cells": (prose, {"order": "cells"}),
        "cells-5-calls": (prose[:500], {"order": "cells", "budget": 5}),
        "plain": (prose, {"order": "plain"}),
        "packed": (b"0123456789" * 50, {}),
        "packed-all-bytes": (bytes(range(256)), {}),
        "noise": (np.random.default_rng(0).bytes(300), {}),
    }


def write_missing(path: Path, make: Callable[[], dict[str, bytes]]) -> None:
    """Write a golden file and what must come back, if it is not there. make: ending -> content."""
    if path.exists():
        return
    for ending, content in make().items():
        path.with_suffix(ending).write_bytes(content)
    print("wrote", path)


def of_pixels(pixels: np.ndarray, options: dict[str, Any]) -> dict[str, bytes]:
    depth = options["kind"].depth if "kind" in options else 8 * pixels.itemsize
    return {
        ".ardm": compress(pixels, **options),
        ".png": png.write(png.Png(pixels, Kind(depth), False, b"", b"")),
    }


def of_source(source: bytes, ending: str) -> dict[str, bytes]:
    packed = archive.pack(source, exactly=False, max_pixels=10**6, verify=True)
    return {".ardm": packed.data, f".{ending}": source, ".png": png.write(sources.read(source, 10**6).image)}


def of_jpeg(name: str, source: bytes) -> dict[str, bytes]:
    least = 12 if name.endswith("bands") else bands.LEAST_BLOCKS  # which only large pictures have several of
    with mock.patch.object(bands, "LEAST_BLOCKS", least):
        data = archive.pack(source, exactly=False, max_pixels=10**6, verify=True).data
    return {".ardm": data, ".jpg": source}


def of_png(source: bytes, exactly: bool) -> dict[str, bytes]:
    return {
        ".ardm": archive.pack(source, exactly=exactly, max_pixels=10**6, verify=True).data,
        ".png": source,
    }


def remake_findings() -> None:
    """Files that fuzzing found forge metadata of sound pixels (`fuzz/pixels`, by their hash): these are coded
    anew, all else is as it was.
    """
    for path in (FUZZ / "findings" / "decoder").glob("*.ardm"):
        old, _ = container.read(path.read_bytes())
        packed = compress(np.load(FUZZ / "pixels" / f"{old.digest.hex()}.npy"), kind=old.kind)
        new, at = container.read(packed)
        header = replace(new, metadata=old.metadata, channel_axis=old.channel_axis)
        path.write_bytes(container.write(header, [packed[at:]]))


def main(anew: bool) -> None:
    """Write what is missing; anew: after everything has been removed."""
    if anew:
        remake_findings()
    for folder in (GOLDEN, TEXTS):
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir() if anew else ():
            if path.suffix != ".md":
                path.unlink()
    for name, (data, options) in texts().items():
        write_missing(
            TEXTS / f"{name}.ardm", lambda d=data, o=options: {".ardm": text.pack(d, **o), ".txt": d}
        )
    for name, (pixels, options) in images().items():
        write_missing(GOLDEN / f"{name}.ardm", lambda p=pixels, o=options: of_pixels(p, o))
    for name, (ending, source) in source_files().items():
        write_missing(GOLDEN / f"{name}.ardm", lambda s=source, e=ending: of_source(s, e))
    for name, source in jpeg_files().items():
        write_missing(GOLDEN / f"{name}.ardm", lambda n=name, s=source: of_jpeg(n, s))
    for name, (source, exactly) in png_files().items():
        write_missing(GOLDEN / f"{name}.ardm", lambda s=source, e=exactly: of_png(s, e))
    from tests import make_bad  # made of the valid ones

    make_bad.main()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="make every one anew")
    main(parser.parse_args().all)
