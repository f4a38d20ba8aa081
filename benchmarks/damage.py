"""What damaged files cost: python -m benchmarks.damage [--cases 3000] [--seed 0].

Small files of every method and kind, golden files and texts, and what fuzzing found: cut short, with flipped
bits, and forged (`tests.fuzz.mutate`: headers, chunks, recipes and payloads changed, and checksums made right
again), within `tests.fuzz.targets.LIMITS`, beside bombs of metadata and of packed data. Each is restored
(`archive.unpack`, `text.unpack`) and rescued (`archive.rescue`) with the shipped network. Prints, of all
cases after a warm-up, CPU seconds (the median, percentiles, the most) and the growth of the process's peak
memory over what it held before the case. Fails above MOST_SECONDS or MOST_MIB, or if anything but an
`ArdmError` is raised. Linux only (/proc).
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.photos import provenance
from benchmarks.soak import memory
from codec import ArdmError, archive, container, png, text
from codec.coder.stored import FILTERED
from codec.container import PNG_CHUNKS, Entry
from tests import samples
from tests.fuzz import mutate
from tests.fuzz.targets import LIMITS

MOST_SECONDS, MOST_MIB = 1.0, 300  # of a case
FINDINGS = Path(__file__).parent.parent / "tests" / "fuzz" / "findings" / "decoder"


def bombs() -> Iterator[tuple[str, bytes]]:
    """Files whose small parts unpack to as much as they can."""
    source = samples.files()["chunks"]
    header, at = container.read(source)
    kept = png.chunk(b"raWx", bytes(png.MAX_CHUNKS - 12))
    block = zlib.compress(len(kept).to_bytes(4, "little") + kept, 9)
    yield (
        "bomb of kept chunks",
        container.write(replace(header, metadata=((PNG_CHUNKS, block),)), [source[at:]]),
    )
    packed = b"\0" + lzma.compress(
        bytes(10**8), lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 26}]
    )
    planes = replace(
        header, entries=tuple(Entry(FILTERED, len(packed), zlib.crc32(packed)) for _ in header.entries)
    )
    yield "bomb of a stored tile", container.write(planes, [packed] * len(header.entries))
    yield "bomb of text", text.pack(bytes(10**7))


def sources() -> list[bytes]:
    """Files within the limits, sound or not."""
    paths = [*sorted(samples.GOLDEN.glob("*.ardm")), *sorted(FINDINGS.iterdir())]
    found = [
        *samples.files().values(),
        text.pack(b"It was the best of times, it was the worst of times. " * 9),
        *(path.read_bytes() for path in paths),
    ]
    return [data for data in found if data and try_step(STEPS[0], data) != "LimitError"]


def cases(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """(kind of damage, file). Warms up."""
    rng, given = random.Random(seed), sources()
    yield from bombs()
    for turn in range(count):
        data = bytearray(rng.choice(given))
        kind = ("cut", "flipped", "forged", "forged")[turn % 4]
        if kind == "cut":
            del data[rng.randrange(len(data)) :]
        elif kind == "flipped":
            for _ in range(rng.choice((1, 1, 3, 30))):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        yield kind, mutate.ardm(bytes(data), rng, mutate.blind_of(rng)) if kind == "forged" else bytes(data)


def restore(data: bytes) -> object:
    return text.unpack(data, limits=LIMITS) if text.is_text(data) else archive.unpack(data, limits=LIMITS)


def rescue(data: bytes) -> object:
    return archive.rescue(data, limits=LIMITS)


STEPS = (restore, rescue)


def try_step(step: Callable[[bytes], object], data: bytes) -> str:
    """What becomes of a file: the name of an ArdmError, or "done"."""
    try:
        step(data)
    except ArdmError as error:
        return type(error).__name__
    return "done"


def measure(count: int, seed: int) -> dict[str, Any]:
    """Of all cases, each restored and each rescued: CPU seconds, growth of memory in MiB, the worst of both,
    and what became of them.
    """
    seconds, grown, kinds, results = [], [], [], Counter[str]()
    for kind, data in cases(count, seed):
        for step in STEPS:
            Path("/proc/self/clear_refs").write_text("5")  # the peak is what is held now
            before, start = memory(), time.process_time()
            results[try_step(step, data)] += 1
            seconds.append(time.process_time() - start)
            grown.append((memory("VmHWM") - before) / 1024)
            kinds.append(f"{step.__name__}, {kind}")
    return {
        "cases": dict(Counter(kinds)),
        "results": dict(results),
        "seconds": {
            name: round(float(np.percentile(seconds, share)), 4)
            for name, share in (("median", 50), ("p99", 99), ("p99.9", 99.9), ("most", 100))
        },
        "slowest": kinds[int(np.argmax(seconds))],
        "MiB": {
            name: round(float(np.percentile(grown, share)), 1)
            for name, share in (("median", 50), ("p99", 99), ("most", 100))
        },
        "largest": kinds[int(np.argmax(grown))],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--no-time", action="store_true", help="let the time be what it may, as on a machine that others use"
    )
    arguments = parser.parse_args()
    found = measure(arguments.cases, arguments.seed)
    print(json.dumps({**provenance(), **found}))
    if found["MiB"]["most"] > MOST_MIB or (found["seconds"]["most"] > MOST_SECONDS and not arguments.no_time):
        raise SystemExit(f"a damaged file took {found['seconds']} CPU seconds, {found['MiB']} MiB.")


if __name__ == "__main__":
    main()
