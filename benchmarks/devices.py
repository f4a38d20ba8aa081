"""Do all devices of this machine write the same bytes? Compresses an image and a text on the CPU and, where
there is one, on the GPU, and decodes each on the other.

    python -m benchmarks.devices IMAGE

The last line is JSON. The exit code is 1 if any two differ, and 3 if there is only a CPU, so that nothing was
compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codec import compress, decompress, text
from codec.tiles import load_predictor

PROSE = (
    b"It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness. "
    * 3
)


def main() -> None:
    from PIL import Image

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", type=Path)
    arguments = parser.parse_args()
    with Image.open(arguments.image) as image:
        pixels = np.asarray(image.convert("RGB"))
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    rows: dict[str, dict[str, Any]] = {}
    files: dict[str, tuple[bytes, bytes]] = {}
    for device in devices:
        begun = time.monotonic()
        files[device] = (compress(pixels, order="lattice", device=device), text.pack(PROSE, order="cells"))
        name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
        hashes = [hashlib.sha256(data).hexdigest()[:16] for data in files[device]]
        rows[device] = {
            "name": name,
            "device": load_predictor(device).device,
            "hashes": hashes,
            "seconds": round(time.monotonic() - begun, 2),
        }
    same = len(set(files.values())) == 1
    for device in devices:
        for packed in files.values():
            same = (
                same
                and np.array_equal(decompress(packed[0], device=device), pixels)
                and text.unpack(packed[1]) == PROSE
            )
    print(json.dumps({"torch": torch.__version__, "same": same, "devices": rows}))
    sys.exit(1 if not same else 3 if len(devices) == 1 else 0)


if __name__ == "__main__":
    main()
