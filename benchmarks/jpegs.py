"""JPEG files, and PNGs of what they decode to: python -m benchmarks.jpegs FOLDER [--qualities 75,85,95]
[--held-out 100] [--limit 25].

Every picture is saved by Pillow as a JPEG of each quality, sequential and progressive; the files, and their
pixels as a PNG, are compressed and restored. Beside them: the same JPEG with Huffman codes of its own, both
by JPEG XL's transcoding of JPEGs, and the pixels by JPEG XL at effort 9. Knows sizes and seconds; writes
benchmarks/results/jpegs.json.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from ardm.training.photos import list_images, split_sources
from benchmarks.photos import make_codec, provenance
from codec import archive

RESULTS = Path(__file__).parent / "results" / "jpegs.json"
SAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def there_and_back(source: bytes, same: bool) -> tuple[int, float, float]:
    """(bytes, seconds to compress, without verifying, and to restore). same: the very bytes must come back."""
    start = time.perf_counter()
    data = archive.pack(source, exactly=False, verify=False, threads=1).data
    middle = time.perf_counter()
    back = archive.unpack(data, threads=1)
    end = time.perf_counter()
    if same and back != source:
        raise SystemExit("a JPEG did not come back")
    if not same and not np.array_equal(*(np.asarray(Image.open(io.BytesIO(one))) for one in (back, source))):
        raise SystemExit("pixels did not come back")
    return len(data), middle - start, end - middle


def row(path: Path, quality: int, sampling: int) -> dict[str, Any]:
    """Of one picture and quality."""
    with Image.open(path) as file:
        image = file.convert("RGB")
    chosen = {"quality": quality, "subsampling": sampling}
    jpeg = saved(image, "JPEG", **chosen)
    decoded = Image.open(io.BytesIO(jpeg)).convert("RGB")
    progressive = saved(image, "JPEG", progressive=True, **chosen)
    file_bytes, *file_seconds = there_and_back(jpeg, True)
    png_bytes, *png_seconds = there_and_back(saved(decoded, "PNG"), False)
    return {
        "name": path.name,
        "quality": quality,
        "sampling": SAMPLINGS[sampling],
        "pixels": image.width * image.height,
        "bytes": {
            "jpeg": len(jpeg),
            "optimised jpeg": len(saved(image, "JPEG", optimize=True, **chosen)),
            "progressive jpeg": len(progressive),
            "jpeg xl of the jpeg": len(imagecodecs.jpegxl_encode_jpeg(jpeg)),
            "jpeg xl of the progressive": len(imagecodecs.jpegxl_encode_jpeg(progressive)),
            "jpeg xl of its pixels": len(make_codec("jxl9", 1)[0](np.asarray(decoded))),
            "ardm of the jpeg": file_bytes,
            "ardm of the progressive": there_and_back(progressive, True)[0],
            "ardm of its pixels": png_bytes,
        },
        "seconds": {"jpeg": file_seconds, "pixels": png_seconds},
    }


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each quality: bytes over the JPEG's, and medians of seconds for a megapixel."""
    names = list(rows[0]["bytes"])
    head = ["quality", *names[1:], "s/MP, JPEG there / back", "its pixels there / back"]
    lines = [" | ".join(head)]
    for quality, sampling in dict.fromkeys((row["quality"], row["sampling"]) for row in rows):
        part = [row for row in rows if (row["quality"], row["sampling"]) == (quality, sampling)]
        sums = {name: sum(row["bytes"][name] for row in part) for name in names}
        times = [
            statistics.median(1e6 * row["seconds"][what][way] / row["pixels"] for row in part)
            for what in ("jpeg", "pixels")
            for way in (0, 1)
        ]
        shares = [f"{sums[name] / sums['jpeg']:.3f}" for name in names[1:]]
        said = [f"{a:.2f} / {b:.2f}" for a, b in (times[:2], times[2:])]
        lines.append(" | ".join([f"{quality}, {sampling}", *shares, *said]))
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--qualities", default="75,85,95")
    parser.add_argument("--held-out", type=int, default=0, help="only so many, of sources never trained on")
    parser.add_argument("--limit", type=int, default=25)
    args = parser.parse_args()
    images = list_images(args.folder)
    paths = split_sources(images, args.held_out)[1] if args.held_out else [path for path, _ in images]
    rows = []
    for quality in map(int, args.qualities.split(",")):
        for path in paths[: args.limit]:
            rows.append(row(path, quality, 2))
    for path in paths[: args.limit]:
        rows.append(row(path, 92, 0))
    print(table(rows))
    RESULTS.write_text(json.dumps({**provenance(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
