"""Thousands of small images by Ray Data, beside a single process: python -m benchmarks.scale PHOTOS [--files
5000] [--side 64] [--workers 2] [--s3] [--output FILE].

Makes PNGs of square cuts of the photos in a folder, compresses them by `ardm-compress -r -T 1`, and by
`ardm-compress --engine ray`, both verified, and compares the two folders of results byte for byte; then once
more by Ray, which skips all. With --s3 Ray reads from and writes to an S3 server on this machine (moto), whose
work is not counted.

A core that others use, too, tells little by the clock: so "cpu_seconds" are of the processes themselves, all
that belong to a command, and "MiB" what they have at most in memory together (PSS). "files_per_cpu_second" is
what to compare; "files_per_second_per_core" is by the clock, with the time that it takes to start.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.photos import provenance

COMMAND = "from codec.commands.cli import compress_main; compress_main()"
EVERY = 1.0  # seconds between two looks at the processes
TICKS = os.sysconf("SC_CLK_TCK")
OWN = b"ray::MapWorker"  # how the processes that do the work are called


def cuts(photos: Path, count: int, side: int) -> Iterator[Image.Image]:
    """`count` squares of the photos in a folder, RGB. The same photos give the same."""
    names = sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".webp"))
    rng = np.random.default_rng(0)
    each = -(-count // len(names))
    for i, path in enumerate(names):
        image = Image.open(path).convert("RGB")
        for _ in range(min(each, count - i * each)):
            left, top = (int(rng.integers(0, size - side + 1)) for size in image.size)
            yield image.crop((left, top, left + side, top + side))


def write(images: Iterator[Image.Image], folder: Path) -> None:
    """PNGs, in folders of 100."""
    for i, image in enumerate(images):
        target = folder / f"{i // 100:03}" / f"{i:06}.png"
        target.parent.mkdir(exist_ok=True, parents=True)
        image.save(target)


class Watch:
    """What a process and all that it has started need. Linux only."""

    def __init__(self, pid: int) -> None:
        self.pid, self.cpu, self.mib = pid, dict[int, float](), 0.0
        self.workers: set[int] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(EVERY):
            parents = dict(self._stats())
            family = {self.pid}
            while more := {pid for pid, parent in parents.items() if parent in family} - family:
                family |= more
            self.mib = max(self.mib, sum(map(self._look, family)))

    @staticmethod
    def _stats() -> Iterator[tuple[int, int]]:
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                yield int(path.parent.name), int(path.read_text().rpartition(")")[2].split()[1])

    def _look(self, pid: int) -> float:
        """Its memory in MiB; notes its processor time."""
        with contextlib.suppress(OSError, IndexError):  # if it ends meanwhile
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            self.cpu[pid] = (int(fields[11]) + int(fields[12])) / TICKS
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(OWN):
                self.workers.add(pid)
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            return int(rollup.partition("\nPss:")[2].split()[0]) / 1024
        return 0.0


def measured(*arguments: str, environment: dict[str, str]) -> dict[str, Any]:
    """What a run of ardm-compress takes, and what it says of its files."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments, "--json", "-q"], stdout=out, env=environment
        )
        watch = Watch(process.pid)
        code = process.wait()
        seconds = time.monotonic() - began
        watch.end()
        out.seek(0)
        rows = [json.loads(line) for line in out]
    assert code == 0, f"exit code {code}"
    cpu = sum(watch.cpu.values())
    size = sum(row["bytes_in"] for row in rows)
    return {
        "files": len(rows),
        "skipped": sum(row.get("status") == "skipped" for row in rows),
        "bytes_in": size,
        "ratio": round(sum(row["bytes_out"] for row in rows) / size, 5),
        "seconds": round(seconds, 1),
        "files_per_second": round(len(rows) / seconds, 2),
        "MB_per_second": round(size / seconds / 1e6, 4),
        "cpu_seconds": round(cpu, 1),
        "cpu_seconds_of_workers": round(sum(watch.cpu[pid] for pid in watch.workers) or cpu, 1),
        "files_per_cpu_second": round(len(rows) / cpu, 2),
        "MiB": round(watch.mib),
    }


@contextlib.contextmanager
def store(folder: Path) -> Iterator[tuple[dict[str, str], str]]:
    """(environment, URL of a bucket) of an S3 server in a process of its own, which has the files of a folder
    at in/.
    """
    import s3fs

    script = "import time\nfrom moto.server import ThreadedMotoServer as S\ns = S(port=0, verbose=False)\ns.start()\nprint(s.get_host_and_port()[1], flush=True)\ntime.sleep(1e6)"
    server = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert server.stdout
    try:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
        os.environ.update(keys)
        fs = s3fs.S3FileSystem(endpoint_url=url)
        fs.mkdir("bucket")
        fs.put(str(folder) + "/", "bucket/in/", recursive=True)
        yield {**os.environ, **keys, "AWS_ENDPOINT_URL": url}, "s3://bucket"
    finally:
        server.kill()
        server.wait()


def compared(a: Path, b: Path) -> int:
    """Files that are the same in two folders; fails if any is not."""
    names = sorted(path.relative_to(a) for path in a.rglob("*.ardm"))
    assert names == sorted(path.relative_to(b) for path in b.rglob("*.ardm"))
    assert all((a / name).read_bytes() == (b / name).read_bytes() for name in names)
    return len(names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="ardm-scale-"))
    ray = ["--engine", "ray", "--workers", str(given.workers)]
    try:
        source = work / "in"
        write(cuts(given.photos, given.files, given.side), source)
        result: dict[str, Any] = {
            **provenance(),
            "load": round(os.getloadavg()[0], 1),
            "files": given.files,
            "side": given.side,
            "workers": given.workers,
            "store": "moto" if given.s3 else "folder",
        }
        local = {**os.environ}
        result["single"] = measured(
            "-r", "-T", "1", f"{source}/", "--output-dir", str(work / "single"), environment=local
        )
        print(json.dumps(result["single"]), flush=True)
        if given.s3:
            with store(source) as (environment, url):
                for name in ("ray", "ray_again"):
                    result[name] = measured(
                        *ray, f"{url}/in/", "--output-dir", f"{url}/out", environment=environment
                    )
                    print(json.dumps(result[name]), flush=True)
        else:
            for name in ("ray", "ray_again"):
                result[name] = measured(
                    *ray, f"{source}/", "--output-dir", str(work / "ray"), environment=local
                )
                print(json.dumps(result[name]), flush=True)
            result["same_bytes"] = compared(work / "single", work / "ray")
        for name, cores in (("single", 1), ("ray", given.workers)):
            per_core = result[name]["files_per_second"] / cores
            result[name]["files_per_second_per_core"] = round(per_core, 2)
        one, many = result["single"], result["ray"]
        print(f"{'':22}{'single':>10}{'ray':>10}")
        for name in one:
            print(f"{name:22}{one[name]!s:>10}{many[name]!s:>10}")
        print(json.dumps(result))
        if given.output:
            given.output.write_text(json.dumps(result, indent=1) + "\n")
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
