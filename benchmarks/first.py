"""What the first file on a machine waits for, and those after it: python -m benchmarks.first PHOTO [--repeats 3]

Commands run as a user would run them, on the upper left 64 x 64 pixels of PHOTO and on a thousand letters; before
every first one the folder for machine code is empty. Seconds of whole processes, medians; and, once, of the first
image where the package brings no code made ahead (`ardm.ahead`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from benchmarks.photos import provenance

CODE = {
    "compress": "from codec.commands.cli import compress_main; compress_main()",
    "decompress": "from codec.commands.cli import decompress_main; decompress_main()",
    "without": "from ardm import ahead; ahead.FILE = ahead.FILE.parent / 'none'\n"
    "from codec.commands.cli import compress_main; compress_main()",
    "import codec": "import codec",
}
CASES = {
    "image": ("compress", "-f", "image.png", "-o", "image.ardm"),
    "back": ("decompress", "-f", "image.ardm", "-o", "back.png"),
    "--exact": ("compress", "-f", "--exact", "image.png", "-o", "exact.ardm"),
    "--quick": ("compress", "-f", "--quick", "image.png", "-o", "quick.ardm"),
    "text": ("compress", "-f", "text.txt", "-o", "text.ardm"),
    "text back": ("decompress", "-f", "text.ardm", "-o", "back.txt"),
    "-l": ("compress", "-l", "image.ardm"),
    "--help": ("compress", "--help"),
    "import codec": ("import codec",),
}


def seconds(case: tuple[str, ...], folder: Path) -> float:
    """Of one process, which keeps machine code in `folder`/code."""
    code, *arguments = case
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "code")}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", CODE[code], *arguments],
        cwd=folder,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def first(case: tuple[str, ...], folder: Path) -> float:
    shutil.rmtree(folder / "code", ignore_errors=True)
    return seconds(case, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Image.open(arguments.photo) as image:
            image.convert("RGB").crop((0, 0, 64, 64)).save(folder / "image.png")
        (folder / "text.txt").write_text((Path(__file__).parent.parent / "README.md").read_text()[:1000])
        for label, case in CASES.items():
            earliest = [first(case, folder) for _ in range(arguments.repeats)]
            later = [seconds(case, folder) for _ in range(arguments.repeats)]
            results.append(
                {"what": label, "first": statistics.median(earliest), "later": statistics.median(later)}
            )
        alone = first(("without", *CASES["image"][1:]), folder)
        results.append({"what": "image, all compiled", "first": alone, "later": None})
    print("| | first | later |\n|---|---|---|")
    for row in results:
        later = "" if row["later"] is None else f"{row['later']:.2f}"
        print(f"| {row['what']} | {row['first']:.2f} | {later} |")
    out = Path(__file__).parent / "results" / "first.json"
    out.write_text(json.dumps({**provenance(), "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
