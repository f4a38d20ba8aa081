"""What a process of `benchmarks.speed` does: codes all files of a folder, and says how long that took. Knows
arrays and bytes; not what they are measured for.

It is run as a file, with PYTHONPATH set, so that it can time any release of ardm, and has loaded nothing but
that: `run` starts it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent


def coders(job: dict[str, Any]) -> tuple[Callable[[list[Any]], list[Any]], bool]:
    """(what codes a list of images or files, whether it takes many at once)."""
    import codec

    encoding, threads = job["direction"] == "encode", job["threads"]
    options = {"threads": threads, **(job["options"] if encoding else {})}
    if job["batch"]:
        names = ("compress_batch",) if encoding else ("decompress_batch", "decode_batch")
        batch = next((found for name in names if (found := getattr(codec, name, None))), None)
        if batch:
            return lambda items: batch(items, **options), True
    one = codec.compress if encoding else codec.decompress
    return lambda items: [one(item, **options) for item in items], False


def peak() -> int:
    """Most memory of this process in bytes.

    Where /proc has it, from there: the kernel's ru_maxrss starts from what the process had that started this
    one, and so is too high for a small process of a large one.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def passes(job: dict[str, Any]) -> dict[str, Any]:
    """All passes of a job: {"seconds": of each pass, "each": of each image, of the last pass, if one by one,
    "batch": whether many were coded at once, "bytes": of all .ardm files, "lossless", "peak_mib", "cpu_s":
    processor time of the process, of all passes but the first none}.
    """
    source, target, encoding = Path(job["source"]), Path(job["target"]), job["direction"] == "encode"
    paths = sorted(source.glob("*.npy" if encoding else "*.ardm"))
    items: list[Any] = [np.load(path) if encoding else path.read_bytes() for path in paths]
    work, whole = coders(job)
    seconds: list[float] = []
    cores: list[float] = []
    each: list[float] = []
    results: list[Any] = []
    for _ in range(job["passes"]):
        each, results, begun_cores = [], [], time.process_time()
        for part in [items] if whole else [[item] for item in items]:
            begun = time.perf_counter()
            results += work(part)
            each.append(time.perf_counter() - begun)
        seconds.append(sum(each))
        cores.append(time.process_time() - begun_cores)
    highest, all_cores = peak(), time.process_time()
    lossless = True
    for path, result in zip(paths, results, strict=True):
        if encoding:
            (target / f"{path.stem}.ardm").write_bytes(result)
        else:
            lossless &= np.array_equal(result, np.load(target / f"{path.stem}.npy"))
    size = sum(map(len, results if encoding else items))
    told = {"seconds": seconds, "each": each, "batch": whole, "bytes": size}
    return {
        **told,
        "lossless": bool(lossless),
        "peak_mib": highest / 2**20,
        "cpu_s": all_cores - sum(cores[1:]),
    }


def run(
    direction: str,
    folder: Path,
    threads: int,
    options: dict[str, Any] | None = None,
    batch: bool = False,
    repeated: int = 1,
    release: Path = ROOT,
) -> dict[str, Any]:
    """The answer of `passes` from a process of its own, with "process_s", its wall-clock time without
    the passes after the first. folder: has .npy files, beside which .ardm files are written, and
    read. release: the checkout of ardm that is timed. Fails if a decoder returns anything else.
    """
    job = {"direction": direction, "source": str(folder), "target": str(folder), "threads": threads}
    job |= {"options": {"verify": False, **(options or {})}, "batch": batch, "passes": repeated}
    command = [sys.executable, "-P", __file__, json.dumps(job)]
    begun = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(release)})
    seconds = time.perf_counter() - begun
    told: dict[str, Any] = json.loads(done.stdout) if not done.returncode else {}
    if not told.get("lossless"):
        raise SystemExit(f"{direction} of {folder} failed ({done.returncode}), or lost something.")
    return {**told, "process_s": seconds - sum(told["seconds"][1:])}


if __name__ == "__main__":
    print(json.dumps(passes(json.loads(sys.argv[1]))))
