"""Thousands of varied images there and back, from several threads of one process: python -m benchmarks.soak
[--minutes 8] [--threads 8].

Noise, graphics and photo crops of every kind of samples, 1 to 64 pixels a side, as arrays and as PNG files
(content and exact), in every order and at several budgets, with some damaged files in between. Every result
is compared. Prints what was done, and the process's memory (VmRSS) and threads over time; fails if anything
came back differently, or if memory at the end is more than a tenth above that after the first half of the
time. "MiB" is what is left once the C library has given back what is free ("MiB_held" before that): every
thread has an arena of its own, of which glibc keeps most, so that VmRSS alone grows for minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.photos import provenance
from codec import ArdmError, archive, compress, decompress, png
from codec.samples import Kind

KINDS = (Kind(8), Kind(8), Kind(8), Kind(16), Kind(1), Kind(4, indexed=True))
GROWTH = 0.1  # of memory that is no leak


def photo() -> np.ndarray:
    """uint8 (512, 768, 3)."""
    return png.read((Path(__file__).parent / "photo.png").read_bytes(), 10**6).pixels


def image_of(rng: np.random.Generator, source: np.ndarray) -> tuple[np.ndarray, Kind, str]:
    """(pixels, kind, what they show)."""
    kind = KINDS[rng.integers(len(KINDS))]
    height, width = (int(n) for n in rng.integers(1, 65, 2))
    channels = int(rng.integers(1, 5)) if kind.depth >= 8 and not kind.indexed else 1
    what = ("noise", "graphics", "photo")[rng.integers(3)]
    shape = (height, width, channels)
    if what == "noise":
        pixels = rng.integers(0, 2**16, shape, dtype=np.uint16)
    elif what == "graphics":
        colours = rng.integers(0, 2**16, (int(rng.integers(1, 9)), channels), dtype=np.uint16)
        pixels = colours[np.add.outer(np.arange(height) // 7, np.arange(width) // 5) % len(colours)]
    else:
        y, x = rng.integers(0, source.shape[0] - height), rng.integers(0, source.shape[1] - width)
        part = source[y : y + height, x : x + width]
        pixels = np.concatenate([part, part[..., :1]], 2)[..., :channels].astype(np.uint16) * np.uint16(257)
    return (pixels >> (16 - kind.depth)).astype(np.uint16 if kind.depth == 16 else np.uint8), kind, what


def round_trip(seed: int, source: np.ndarray) -> tuple[str, int]:
    """Compress and restore the image of a seed. Returns (what it was, bytes of its samples); raises
    AssertionError if it is not what went in.
    """
    rng = np.random.default_rng(seed)
    pixels, kind, what = image_of(rng, source)
    ways: tuple[dict[str, Any], ...] = (
        {},
        {},
        {"order": "lattice"},
        {"order": "raster", "budget": None},
        {"plain": True},
        {"seed": seed},
    )
    options = {"budget": int(rng.integers(1, 9)), "tile": int(rng.choice((32, 1024)))} | ways[
        rng.integers(len(ways))
    ]
    if rng.integers(3) and not kind.indexed:
        flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
        file = png.write(png.Png(flat, kind, bool(rng.integers(2)), b"", b""))
        data = archive.pack(file, exactly=(exactly := bool(rng.integers(2))), **options).data
        restored = archive.unpack(data)
        same = restored == file if exactly else np.array_equal(png.read(restored, pixels.size).pixels, flat)
    else:
        data = compress(pixels, kind=kind, **options)
        same = np.array_equal(decompress(data), pixels)
    if not same:
        raise AssertionError(f"seed {seed}: {what} came back differently")
    if seed % 5 == 0:
        damaged = bytearray(data)
        damaged[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        try:
            decompress(bytes(damaged))
        except ArdmError:
            return what, pixels.nbytes
        raise AssertionError(f"seed {seed}: a flipped bit went unnoticed")
    return what, pixels.nbytes


def trim() -> None:
    """Give free memory back to the system, if the C library is glibc."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def memory(what: str = "VmRSS") -> int:
    """VmRSS, or VmHWM, its peak, of this process, KiB."""
    return int(
        next(
            line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what)
        ).split()[1]
    )


def soak(threads: int, seeds: range, until: float = float("inf")) -> Counter[str]:
    """Round trips of seeds, shared by threads, until they are used up or the time (of `time.monotonic`) has
    come. Raises the first error.
    """
    source, done, errors = photo(), Counter[str](), []
    left, lock = iter(seeds), threading.Lock()

    def work() -> None:
        while time.monotonic() < until and not errors:
            with lock:
                seed = next(left, None)
            if seed is None:
                return
            try:
                what, size = round_trip(seed, source)
            except BaseException as error:
                errors.append(error)
                return
            with lock:
                done.update({what: 1, "images": 1, "bytes": size})

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
    return done


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--samples", type=int, default=24, help="times at which memory is looked at")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    begin, first, total, seen = time.monotonic(), 0, Counter[str](), []
    for sample in range(1, arguments.samples + 1):
        total += soak(
            arguments.threads,
            range(first, 10**9),
            begin + 60 * arguments.minutes * sample / arguments.samples,
        )
        first = total["images"] + arguments.threads * sample  # a little more than were begun
        held = memory() // 1024
        trim()
        seen.append(
            {
                "seconds": round(time.monotonic() - begin),
                "images": total["images"],
                "MiB_held": held,
                "MiB": memory() // 1024,
                "threads": threading.active_count(),
            }
        )
        print(json.dumps(seen[-1]), flush=True)
    early, late = seen[len(seen) // 2]["MiB"], seen[-1]["MiB"]
    print(
        json.dumps(
            {
                **provenance(),
                "threads": arguments.threads,
                "seconds": seen[-1]["seconds"],
                **total,
                "MiB_early": early,
                "MiB_late": late,
                "memory": seen,
            }
        )
    )
    if late > early * (1 + GROWTH):
        raise SystemExit(f"memory grew from {early} to {late} MiB.")


if __name__ == "__main__":
    main()
