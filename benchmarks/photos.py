"""Size, speed and memory of ardm beside PNG, WebP and JPEG XL on a folder of images, all in one run.

    python -m benchmarks.photos FOLDER [--codecs jxl9,plain,ardm] [--held-out 100] [--json out.json]

Every codec encodes in one process and decodes in another; sizes are those of the files on disk, everything
counted; the decoded pixels are compared by hash. Times are wall-clock medians over the images, after one
warm-up image (imports, weights, self-test). The last line of standard output is the whole result as JSON;
`benchmarks.report` makes tables and plots of several.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.coding import peak

SUFFIXES = {".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff"}
Codec = tuple[Callable[[np.ndarray], bytes], Callable[[bytes], np.ndarray]]


def make_codec(name: str, threads: int) -> Codec:
    """(encode, decode) of "png", "webp", "jxl7", "jxl9", "cjxl9g3" (the command, with larger groups), "paq8px"
    (the command, at level 8), "ardm" (the default), "best" (`--best`), "quick" (`--quick`), "ardm-32" (the number is the budget), "plain", "lattice-15", "plain-lattice-15" and the
    like."""
    if name in ("quick", "best"):
        from codec import compress, decompress

        chosen = {name: True}
        return (
            lambda x: compress(x, threads=threads, verify=False, **chosen),
            lambda b: decompress(b, threads=threads),
        )
    if name.startswith(("ardm", "plain", "lattice")):
        from codec import compress, decompress

        first, *others = name.split("-")
        budget = int(others.pop()) if others and others[-1].isdigit() else None
        order = "lattice" if "lattice" in (first, *others) else "auto"
        plain = first == "plain"
        return (
            lambda x: compress(x, budget=budget, order=order, plain=plain, threads=threads, verify=False),
            lambda b: decompress(b, threads=threads),
        )
    if name == "cjxl9g3":
        return lambda x: cjxl(x, threads), djxl
    if name == "paq8px":
        return paq8px, unpaq8px
    if name == "png":
        from PIL import Image

        return lambda x: as_file(x, "PNG", optimize=True), lambda b: np.asarray(Image.open(io.BytesIO(b)))
    import imagecodecs

    if name == "webp":
        return lambda x: imagecodecs.webp_encode(
            x, lossless=True, method=6, level=100
        ), imagecodecs.webp_decode
    effort = int(name.removeprefix("jxl"))
    return lambda x: imagecodecs.jpegxl_encode(
        x, lossless=True, effort=effort, numthreads=threads
    ), imagecodecs.jpegxl_decode


def as_file(x: np.ndarray, form: str, **options: Any) -> bytes:
    """An array as a file that Pillow writes."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(x).save(out, form, **options)
    return out.getvalue()


def made_by(command: Callable[[Path, Path], list[Any]], data: bytes, suffixes: tuple[str, str]) -> bytes:
    """What a command makes of a file. command: its words, given the names of the source and the target, which
    end in `suffixes`.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = (Path(folder) / f"x{suffix}" for suffix in suffixes)
        source.write_bytes(data)
        subprocess.run(command(source, target), check=True, capture_output=True)
        return target.read_bytes()


def cjxl(x: np.ndarray, threads: int) -> bytes:
    """JPEG XL as small as its command makes it: effort 9, larger groups, more inputs of its trees."""
    dials = ["-q", "100", "-e", "9", "-g", "3", "-E", "3", f"--num_threads={threads}"]
    png = as_file(x, "PNG", compress_level=1)
    return made_by(lambda source, target: ["cjxl", *dials, source, target], png, (".png", ".jxl"))


def djxl(data: bytes) -> np.ndarray:
    """Pixels of a JPEG XL file."""
    import imagecodecs

    return imagecodecs.jpegxl_decode(data)


def paq8px(x: np.ndarray) -> bytes:
    """The densest coder in public, which learns online from hundreds of predictors; minutes for a megapixel."""
    suffixes = ".ppm", ".paq8px"
    return made_by(lambda source, target: ["paq8px", "-8", source, target], as_file(x, "PPM"), suffixes)


def unpaq8px(data: bytes) -> np.ndarray:
    """Pixels of what `paq8px` made."""
    from PIL import Image

    suffixes = ".paq8px", ".ppm"
    file = made_by(lambda source, target: ["paq8px", "-d", source, target], data, suffixes)
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image)


def worker(name: str, threads: int, jobs: Any, results: Any) -> None:
    """Serve ("encode", source, target) and ("decode", source) until None; answer (seconds, hash, peak
    bytes).
    """
    import torch

    torch.set_num_threads(threads)
    encode, decode = make_codec(name, threads)
    while (job := jobs.get()) is not None:
        if job[0] == "encode":
            pixels = np.load(job[1])
            start = time.perf_counter()
            data = encode(pixels)
            seconds = time.perf_counter() - start
            Path(job[2]).write_bytes(data)
        else:
            data = Path(job[1]).read_bytes()
            start = time.perf_counter()
            pixels = decode(data)
            seconds = time.perf_counter() - start
        digest = hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()
        results.put((seconds, digest, peak()))


class Worker:
    """One process of a codec."""

    def __init__(self, name: str, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.jobs, self.results = context.Queue(), context.Queue()
        self.process = context.Process(
            target=worker, args=(name, threads, self.jobs, self.results), daemon=True
        )
        self.process.start()

    def run(self, *job: Any) -> tuple[float, str, int]:
        self.jobs.put(job)
        while True:
            try:
                return self.results.get(timeout=5)
            except Exception as error:
                if not self.process.is_alive():
                    raise RuntimeError(f"the worker died in {job}.") from error

    def stop(self) -> None:
        self.jobs.put(None)
        self.process.join()


def measure(name: str, images: list[Path], folder: Path, threads: int) -> dict[str, Any]:
    """All images through one codec. images: .npy files. Returns per-image and summary figures."""
    encoder, decoder = Worker(name, threads), Worker(name, threads)
    rows = []
    for i, path in enumerate([images[0], *images]):  # the first one twice: warm-up
        target = folder / f"{path.stem}.{name}"
        encode_seconds, digest, encode_peak = encoder.run("encode", path, target)
        decode_seconds, restored, decode_peak = decoder.run("decode", target)
        height, width, channels = (*np.load(path, mmap_mode="r").shape, 1)[:3]
        if i:
            rows.append(
                {
                    "image": path.stem,
                    "bytes": os.path.getsize(target),
                    "pixels": height * width,
                    "subpixels": height * width * channels,
                    "encode_s": encode_seconds,
                    "decode_s": decode_seconds,
                    "lossless": digest == restored,
                }
            )
    encoder.stop()
    decoder.stop()
    megapixels = [r["pixels"] / 1e6 for r in rows]
    return {
        "codec": name,
        "bits_per_subpixel": 8 * sum(r["bytes"] for r in rows) / sum(r["subpixels"] for r in rows),
        "network": sum(asks_network(folder / f"{r['image']}.{name}") for r in rows),
        "mean_bits_per_subpixel": statistics.mean(8 * r["bytes"] / r["subpixels"] for r in rows),
        "encode_s_per_mp": statistics.median(
            r["encode_s"] / m for r, m in zip(rows, megapixels, strict=True)
        ),
        "decode_s_per_mp": statistics.median(
            r["decode_s"] / m for r, m in zip(rows, megapixels, strict=True)
        ),
        "encode_peak_mib": encode_peak / 2**20,
        "decode_peak_mib": decode_peak / 2**20,
        "lossless": sum(r["lossless"] for r in rows),
        "images": rows,
    }


def asks_network(path: Path) -> bool:
    """Whether the network coded anything in an .ardm file; not in another file."""
    from codec import info
    from codec.errors import NotArdmError

    try:
        return bool(info(path.read_bytes())["evaluations_per_pixel"])
    except NotArdmError:
        return False


def find_images(folder: Path, held_out: int, limit: int) -> list[Path]:
    """Images of a folder; with `held_out`, those that ardm-train --held-out leaves for validation."""
    if held_out:
        from ardm.training.photos import list_images, split_sources

        found = split_sources(list_images(folder), held_out)[1]
    else:
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not found:
        raise SystemExit(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))}).")
    return found[:: max(1, len(found) // limit)] if limit else found


def through_lossy(image: Any, form: str) -> Any:
    """What a Pillow image is after a lossy file. form: such as "jpeg-85", "webp-80", "avif-80"."""
    from PIL import Image

    kind, _, quality = form.partition("-")
    file = io.BytesIO()
    image.save(file, kind, quality=int(quality))
    return Image.open(file)


def as_arrays(
    files: list[Path], folder: Path, crop: int = 0, mode: str = "RGB", through: str = ""
) -> list[Path]:
    """Images as .npy files in a folder. crop: only the upper left square of this side. mode: Pillow's; L is
    luma by Rec. 601. through: the lossy file that they are decoded from, if any.
    """
    from PIL import Image

    written = []
    for path in files:
        with Image.open(path) as opened:
            image = through_lossy(opened.convert("RGB"), through) if through else opened
            side = crop or max(image.size)
            written.append(folder / f"{path.stem}.npy")
            np.save(written[-1], np.ascontiguousarray(np.asarray(image.convert(mode))[:side, :side]))
    return written


def cpu_name() -> str:
    try:
        names = [
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def provenance() -> dict[str, Any]:
    """Machine, commit and date of a measurement."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    ).stdout.strip()
    import torch

    from ardm.exact import window

    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit,
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "weights": f"{window.RASTER_ID}, of all orders {window.PHOTO_ID}, --best {window.LARGE_ID}, "
        f"--quick {window.QUICK_ID}",
    }


REFERENCE = "jxl9"
HEAD = (
    f"codec | bits/subpixel | vs {REFERENCE} | mean of images | worst image | encode s/MP | decode s/MP "
    "| peak MiB | lossless |"
)


def rows(results: list[dict[str, Any]]) -> list[str]:
    """Cells, as in HEAD, of every codec beside the reference of the same run. results: `main`'s."""
    beside = next((r for r in results if r["codec"] == REFERENCE), None)
    lines = []
    for r in results:
        ratio = mean = worst = "-"
        if beside:
            ratio = f"{r['bits_per_subpixel'] / beside['bits_per_subpixel']:.3f}"
            mean = f"{statistics.mean(a['bytes'] / b['bytes'] for a, b in zip(r['images'], beside['images'], strict=True)):.4f}"
            worst = f"{max(a['bytes'] / b['bytes'] for a, b in zip(r['images'], beside['images'], strict=True)):.3f}"
        lines.append(
            f"{r['codec']} | {r['bits_per_subpixel']:.3f} | {ratio} | {mean} | {worst} | "
            f"{r['encode_s_per_mp']:.2f} | {r['decode_s_per_mp']:.2f} | "
            f"{max(r['encode_peak_mib'], r['decode_peak_mib']):.0f} | {r['lossless']}/{len(r['images'])} |"
        )
    return lines


def table(results: list[dict[str, Any]]) -> str:
    """Markdown."""
    return "\n".join(["| " + HEAD, "|---" * HEAD.count("|") + "|", *("| " + row for row in rows(results))])


def title(whole: dict[str, Any]) -> str:
    """What was measured where, in one line. whole: a result of `main`."""
    through = f" through {whole['through']}" if whole.get("through") else ""
    return f"{whole['folder']}: {whole['images']} images{through}, {whole['cpu']}, {whole['threads']} threads, {whole['date']}, commit {whole['commit']}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--codecs",
        default="png,webp,jxl7,jxl9,plain,ardm",
        help="which; also cjxl9g3, paq8px, ardm-60, lattice-15, plain-lattice-15, ...",
    )
    parser.add_argument(
        "--crop",
        type=int,
        default=0,
        help="only the upper left square of this side of every image, such as 64: thumbnails",
    )
    parser.add_argument(
        "--held-out", type=int, default=0, help="only the images that ardm-train holds out with this number"
    )
    parser.add_argument("--grey", action="store_true", help="their luma (Rec. 601) instead of colours")
    parser.add_argument(
        "--through",
        default="",
        metavar="FORM",
        help="what images are once decoded from a lossy file: jpeg-85 (Pillow, quality 85), webp-80, avif-80",
    )
    parser.add_argument("--limit", type=int, default=0, help="about so many images, evenly spread")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    names = [n for n in arguments.codecs.split(",") if n]
    files = find_images(arguments.folder, arguments.held_out, arguments.limit)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images = as_arrays(files, folder, arguments.crop, "L" if arguments.grey else "RGB", arguments.through)
        results = []
        for name in names:
            results.append(measure(name, images, folder, arguments.threads))
            print(f"{name}: {results[-1]['bits_per_subpixel']:.4f} bits/subpixel", flush=True)
    whole = {
        "folder": arguments.folder.name,
        "images": len(files),
        "through": arguments.through,
        "threads": arguments.threads,
        **provenance(),
        "results": results,
    }
    print(f"\n{title(whole)}\n\n{table(results)}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(whole, indent=1))
    print(json.dumps({**whole, "results": [{k: v for k, v in r.items() if k != "images"} for r in results]}))


if __name__ == "__main__":
    main()
