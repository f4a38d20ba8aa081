"""Bytes of screenshots, maps and drawings beside PNG, WebP and JPEG XL: python -m benchmarks.graphics FOLDER.

Every PNG is first written again without chunks that are not its picture, since not all of the others keep these.
Knows sizes only; prints a table, file by file, and writes benchmarks/results/graphics.json.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.photos import make_codec, provenance
from codec import archive

RESULTS = Path(__file__).parent / "results" / "graphics.json"
OTHERS = ("png", "webp", "jxl9", "cjxl9g3")


def bare(source: bytes) -> bytes:
    """A PNG of the same picture, palette included, without any other chunk."""
    with Image.open(io.BytesIO(source)) as image:
        image.info = {name: image.info[name] for name in ("transparency",) if name in image.info}
        out = io.BytesIO()
        image.save(out, "PNG", optimize=True)
    return out.getvalue()


def colours(source: bytes) -> np.ndarray:
    """uint8 (H, W, 3 or 4): what codecs without palettes are given."""
    with Image.open(io.BytesIO(source)) as image:
        clear = "A" in image.mode or "transparency" in image.info
        return np.asarray(image.convert("RGBA" if clear else "RGB"))


def sizes(source: bytes) -> dict[str, int]:
    """Bytes by codec."""
    png = bare(source)
    pixels = colours(png)
    names = ["webp", "jxl9"] + ["cjxl9g3"] * bool(shutil.which("cjxl"))
    found = {name: len(make_codec(name, 1)[0](pixels)) for name in names}
    ardm = len(archive.pack(png, exactly=False).data)
    return {"png": min(len(png), len(source)), **found, "ardm": ardm}


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each file, and one for all: bytes, and of ours over the smallest of the others."""
    names = [name for name in (*OTHERS, "ardm") if name in rows[0]["bytes"]]
    total = {name: sum(row["bytes"][name] for row in rows) for name in names}
    total_least = sum(least(row["bytes"]) for row in rows)
    lines = [f"file | {' | '.join(names)} | over the smallest"]
    for row in rows:
        sizes_of = row["bytes"]
        lines.append(
            f"{row['file']} | {' | '.join(str(sizes_of[n]) for n in names)} | "
            f"{sizes_of['ardm'] / least(sizes_of):.3f}"
        )
    lines.append(f"all | {' | '.join(str(total[n]) for n in names)} | {total['ardm'] / total_least:.3f}")
    return "\n".join(lines)


def least(sizes_of: dict[str, int]) -> int:
    """The smallest of the others."""
    return min(size for name, size in sizes_of.items() if name != "ardm")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    rows = [
        {"file": path.name, "bytes": sizes(path.read_bytes())}
        for path in sorted(arguments.folder.rglob("*.png"))
    ]
    print(table(rows))
    RESULTS.write_text(json.dumps({**provenance(), "files": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
