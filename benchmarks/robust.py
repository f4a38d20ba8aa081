"""Every PNG under some folders, there and back: python -m benchmarks.robust FOLDER... [--max-megapixels 1].

Each file is compressed as content and with --exact, and restored; pixels, header and chunks, or bytes, are
compared with the source. Prints a table by folder, then why files were refused or kept whole. Columns:
refused; content, files not kept whole without --exact; exact, made again from a recipe; difference, by a
recipe with a difference; whole, kept whole by --exact; wrong, which must be 0; bytes of the files that were
not refused or skipped. Fails if any is wrong.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.photos import provenance
from codec import ArdmError, archive, png
from codec.listing import Way
from codec.presets import MAX_PIXELS

COLUMNS = (
    "files",
    "skipped",
    "refused",
    "content",
    "exact",
    "difference",
    "whole",
    "wrong",
    "png_bytes",
    "ardm_bytes",
    "exact_bytes",
)


def same_content(one: bytes, other: bytes) -> bool:
    a, b = png.read(one, MAX_PIXELS), png.read(other, MAX_PIXELS)
    return (a.head, a.before, a.after) == (b.head, b.before, b.after) and np.array_equal(a.pixels, b.pixels)


def try_file(source: bytes, max_megapixels: float, row: Counter[str], reasons: Counter[str]) -> None:
    """Add what happens to one file to the row of its folder."""
    row["files"] += 1
    try:
        head = png.read_head(source, MAX_PIXELS)
        if head.width * head.height > max_megapixels * 1e6:
            row["skipped"] += 1
            return
        loosely = archive.pack(source, exactly=False, max_pixels=MAX_PIXELS)
        exactly = archive.pack(source, exactly=True, max_pixels=MAX_PIXELS)
    except ArdmError as error:
        row["refused"] += 1
        reasons[f"refused: {error}"] += 1
        return
    row["content"] += loosely.way == Way.CONTENT
    row["exact"] += exactly.way == Way.EXACT
    row["difference"] += exactly.way == Way.DIFFERENCE
    row["whole"] += exactly.way == Way.WHOLE
    if exactly.way == Way.WHOLE:
        reasons[f"kept whole by --exact: {exactly.why}"] += 1
    restored = archive.unpack(loosely.data, max_pixels=MAX_PIXELS)
    row["wrong"] += not (restored == source if loosely.way == Way.WHOLE else same_content(restored, source))
    row["wrong"] += archive.unpack(exactly.data, max_pixels=MAX_PIXELS) != source
    row["png_bytes"] += len(source)
    row["ardm_bytes"] += len(loosely.data)
    row["exact_bytes"] += len(exactly.data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--max-megapixels", type=float, default=1e9, help="leave out larger images")
    arguments = parser.parse_args()
    rows: dict[str, Counter[str]] = {}
    reasons: Counter[str] = Counter()
    start = time.perf_counter()
    for folder in (given.resolve() for given in arguments.folders):
        for path in sorted(folder.rglob("*.png")):
            name = path.relative_to(folder.parent if path.parent == folder else folder).parts[0]
            try_file(path.read_bytes(), arguments.max_megapixels, rows.setdefault(name, Counter()), reasons)
    total: Counter[str] = sum(rows.values(), Counter())
    print(
        "| folder | "
        + " | ".join(c.replace("_", " ") for c in COLUMNS)
        + " |\n|---"
        + "|---" * len(COLUMNS)
        + "|"
    )
    for name, row in [*rows.items(), ("all", total)]:
        print(f"| {name} | " + " | ".join(f"{row[c]:,}" for c in COLUMNS) + " |")
    print()
    for reason, count in reasons.most_common():
        print(f"{count:4} {reason}")
    result: dict[str, Any] = {
        **provenance(),
        "seconds": time.perf_counter() - start,
        "folders": rows,
        "reasons": reasons,
    }
    print(json.dumps(result))
    if total["wrong"]:
        raise SystemExit(f"{total['wrong']} files came back differently: please report them.")


if __name__ == "__main__":
    main()
