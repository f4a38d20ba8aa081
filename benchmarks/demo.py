"""The main job on a real photo: ardm-compress, ardm-decompress, sizes beside PNG, WebP and JPEG XL. Run by
`make demo`.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.photos import make_codec

# Kodak image 23, released by Eastman Kodak for unrestricted usage
PHOTO = Path(__file__).parent / "photo.png"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        packed, restored = Path(folder) / "photo.ardm", Path(folder) / "restored.png"
        for command in (
            ["ardm-compress", "-o", str(packed), str(PHOTO)],
            ["ardm-decompress", "-o", str(restored), str(packed)],
        ):
            print("$", " ".join(Path(c).name if "/" in c else c for c in command), flush=True)
            start = time.perf_counter()
            subprocess.run(command, check=True)
            print(f"  {time.perf_counter() - start:.1f} s, start-up included")
        pixels = np.asarray(Image.open(PHOTO))
        if not np.array_equal(pixels, np.asarray(Image.open(restored))):
            raise SystemExit("the restored photo differs from the original: please report this.")
        print(f"\n{PHOTO.name}: {pixels.shape[1]} x {pixels.shape[0]}, restored pixel for pixel\n")
        sizes = {"PNG (as shipped)": PHOTO.stat().st_size}
        for label, name in (
            ("PNG (optimised)", "png"),
            ("WebP lossless", "webp"),
            ("JPEG XL, effort 9", "jxl9"),
        ):
            sizes[label] = len(make_codec(name, 2)[0](pixels))
        sizes["ardm"] = packed.stat().st_size
        for label, size in sizes.items():
            print(
                f"  {label:20} {size:9,} bytes   {8 * size / pixels.size:6.3f} bits/subpixel   "
                f"{size / sizes['ardm']:5.2f} x ardm"
            )


if __name__ == "__main__":
    main()
