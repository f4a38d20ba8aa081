"""Images a second of a training loop: ardm beside PNG and JPEG XL, through a torch DataLoader.

    python -m benchmarks.loading FOLDER [--images 256] [--side 64] [--workers 2] [--json out.json]

Squares cut from the photos of FOLDER are written once in every format, then read by the same Dataset, batch by
batch, by `--workers` processes. "ardm" is coded by default, "ardm plain" with --plain, both by the Dataset of
docs/plugins.md (`codec.decompress_batch` in `__getitems__`); "one by one" calls `codec.decompress` for each image in
one process, "decompress_batch" once for all. Rates are medians of `--repeats` passes after one that does not count.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import codec
from benchmarks.photos import provenance
from benchmarks.scale import cuts

Decode = Callable[[list[bytes]], list[np.ndarray]]


class Folder(Dataset[torch.Tensor]):
    """Files of one format. decode: of the bytes of a batch."""

    def __init__(self, paths: list[Path], decode: Decode) -> None:
        self.paths, self.decode = paths, decode

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[torch.Tensor]:
        arrays = self.decode([self.paths[i].read_bytes() for i in indices])
        return [torch.from_numpy(array.copy()) for array in arrays]


def as_png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=True)
    return out.getvalue()


def of_png(files: list[bytes]) -> list[np.ndarray]:
    return [np.asarray(Image.open(io.BytesIO(data))) for data in files]


def of_jxl(files: list[bytes]) -> list[np.ndarray]:
    import imagecodecs

    return [imagecodecs.jpegxl_decode(data, numthreads=1) for data in files]


def of_ardm(files: list[bytes]) -> list[np.ndarray]:
    return codec.decompress_batch(files, threads=1)  # a worker is one process of several


def formats() -> dict[str, tuple[Callable[[np.ndarray], bytes], Decode]]:
    """(encode, decode) by name."""
    import imagecodecs

    return {
        "png": (as_png, of_png),
        "jxl9": (lambda x: imagecodecs.jpegxl_encode(x, lossless=True, effort=9), of_jxl),
        "ardm plain": (lambda x: codec.compress(x, plain=True, verify=False), of_ardm),
        "ardm": (lambda x: codec.compress(x, verify=False), of_ardm),
    }


def rate(one_pass: Callable[[], Any], images: int, repeats: int) -> float:
    """Images a second: the median of passes after a first one."""
    one_pass()
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        one_pass()
        seconds.append(time.perf_counter() - begun)
    return images / statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    images = [np.asarray(cut) for cut in cuts(arguments.folder, arguments.images, arguments.side)]
    results: list[dict[str, Any]] = []
    threads = arguments.workers or 1
    with tempfile.TemporaryDirectory() as name:
        for form, (encode, decode) in formats().items():
            files = [encode(x) for x in images]
            assert all(np.array_equal(a, b) for a, b in zip(decode(files), images, strict=True)), form
            paths = [Path(name) / f"{form}-{i}" for i in range(len(files))]
            for path, data in zip(paths, files, strict=True):
                path.write_bytes(data)
            loader: DataLoader[torch.Tensor] = DataLoader(
                Folder(paths, decode),
                batch_size=arguments.batch,
                num_workers=arguments.workers,
                persistent_workers=arguments.workers > 0,
                multiprocessing_context="spawn" if arguments.workers else None,
            )
            row: dict[str, Any] = {"format": form, "bytes": sum(map(len, files))}
            row["loader"] = rate(lambda loader=loader: [None for _ in loader], len(files), arguments.repeats)
            if form.startswith("ardm"):
                one_by_one = lambda files=files: [codec.decompress(d, threads=threads) for d in files]  # noqa: E731
                row["one_by_one"] = rate(one_by_one, len(files), arguments.repeats)
                row["decompress_batch"] = rate(
                    lambda files=files: codec.decompress_batch(files, threads=threads),
                    len(files),
                    arguments.repeats,
                )
            results.append(row)
            print(" ".join(f"{k} {v:.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    settings = {k: v for k, v in vars(arguments).items() if isinstance(v, int)}
    everything = {**provenance(), **settings, "results": results}
    if arguments.json:
        arguments.json.write_text(json.dumps(everything, indent=1) + "\n")
    print(json.dumps(everything))


if __name__ == "__main__":
    main()
