"""How fast, how near to what the machine can do, and how cost grows: python -m benchmarks.speed PHOTOS
[--quick] [--full] [--only work,growth,model,beside] [--against CHECKOUT].

work: one tile of a photo in one thread, split into the network and the rest, beside the machine's ceilings
(`benchmarks.ceilings`). growth: time and memory against pixels, threads, network calls and images, each point
a process (`benchmarks.growth`). model: a formula fitted to half of those points, which predicts the others; a
petabyte, and many cores, by it (`benchmarks.costs`). beside: JPEG XL, WebP, and with --against a checkout of
another release (`benchmarks.beside`).

Tables are printed; results/speed.json has all figures, each part with its provenance, and results/speed-*.png
shows them. Parts that are not measured are kept as they are there.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import costs
from benchmarks.costs import Point
from benchmarks.growth import SIDE
from benchmarks.photos import as_arrays, find_images, provenance

PHOTO = (4000, 6000)  # 24 megapixels
CORES = (16, 64)
WANTED_DEVIATION = 0.25
Whole = dict[str, Any]


def work(given: argparse.Namespace, _: Whole) -> dict[str, Any]:
    """A tile from the middle of the first photo."""
    from benchmarks import ceilings

    path = find_images(given.photos, 0, 0)[0]
    side = 128 if given.quick else 384
    with tempfile.TemporaryDirectory() as folder:
        photo = np.load(as_arrays([path], Path(folder))[0])
    side = min(side, *photo.shape[:2])
    top, left = ((size - side) // 2 for size in photo.shape[:2])
    tile = np.ascontiguousarray(photo[top : top + side, left : left + side])
    found = {"photo": path.name, "side": side, **ceilings.measure(tile, given.repeats)}
    print(f"{path.name}, its middle {side} x {side}, one thread\n\n{ceilings.report(found)}")
    return found


def growth(given: argparse.Namespace, _: Whole) -> dict[str, Any]:
    """All sweeps."""
    from benchmarks import growth

    far = growth.extent(given.quick, given.full, given.repeats, os.cpu_count() or 1)
    print(growth.HEAD)
    found = growth.grow(given.photos, far)
    return {"points": [asdict(point) for point in found["points"]], "png": found["png"]}


def png_and_ours(whole: Whole) -> tuple[float, dict[str, float]]:
    """(bytes a pixel of a PNG, share of them that is left by method), of the photos beside other codecs if
    those were measured, else of the largest mosaic of which a PNG was made."""
    if "beside" in whole:
        by_name = {row["codec"]: row for row in whole["beside"]["results"]}
        sizes = {name: sum(r["bytes"] for r in by_name[name]["images"]) for name in ("png", "ardm", "plain")}
        pixels = sum(r["pixels"] for r in by_name["png"]["images"])
        return sizes["png"] / pixels, {name: sizes[name] / sizes["png"] for name in ("ardm", "plain")}
    pixels, size = max((int(pixels), size) for pixels, size in whole["growth"]["png"].items())
    ours = {
        p["method"]: p["size"]
        for p in whole["growth"]["points"]
        if p["pixels"] == pixels and p["sweep"] == "pixels"
    }
    return size / pixels, {name: ours[name] / size for name in ("ardm", "plain")}


def model(_: argparse.Namespace, whole: Whole) -> dict[str, Any]:
    """From the points of growth, of this run or an earlier one."""
    from codec.tiles import tile_shape

    if "growth" not in whole:
        raise SystemExit("the model needs the points of growth: measure that too.")
    points = [Point(**point) for point in whole["growth"]["points"]]
    per_pixel, shares = png_and_ours(whole)
    tiles = costs.tile_pixels(*PHOTO, *tile_shape(*PHOTO, None))
    found: dict[str, Any] = {
        "png_bytes_per_pixel": per_pixel,
        "shares": shares,
        "tiles": len(tiles),
        "of": {},
    }
    for method, share in shares.items():
        for direction in ("encode", "decode"):
            # a budget changes what a pixel costs; and those points are not of whole processes
            of = [p for p in points if (p.method, p.direction) == (method, direction) and p.sweep != "calls"]
            fitted, rows = costs.predicted(of)
            cores, by_cores = costs.predicted(costs.on_one_core(of))
            found["of"][f"{method} {direction}"] = {
                "costs": asdict(fitted),
                "points": len(of),
                "predicted": rows,
                "worst": costs.worst(row["ratio"] for row in rows),
                "core_costs": asdict(cores),
                "core_predicted": by_cores,
                "core_worst": costs.worst(row["ratio"] for row in by_cores),
                "petabyte": costs.petabyte(cores, per_pixel, PHOTO[0] * PHOTO[1], share),
                "cores": costs.many_cores(cores, tiles, SIDE**2, CORES),
            }
    print(model_report(found))
    return found


def model_report(found: dict[str, Any]) -> str:
    """Markdown."""
    lines = ["| | images | megapixels | tiles | threads | measured s | predicted s | predicted / measured |"]
    lines.append("|---" * 8 + "|")
    for name, of in found["of"].items():
        for row in of["predicted"]:
            cells = [str(row["images"]), f"{row['pixels'] / 1e6:.4g}", str(row["tiles"]), str(row["threads"])]
            cells += [f"{row[key]:.2f}" for key in ("measured_s", "predicted_s", "ratio")]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| | start s | ms an image | s/MP | worst deviation |", "|---" * 5 + "|"]
    for name, of in found["of"].items():
        for what, key in (("by the clock", ""), ("of cores", "core_")):
            c = of[f"{key}costs"]
            cells = [f"{c['start']:.2f}", f"{1e3 * c['overhead']:.2f}", f"{1e6 * c['per_pixel']:.2f}"]
            lines.append(f"| {name}, {what} | {' | '.join(cells)} | {100 * of[f'{key}worst']:.0f} % |")
    lines += ["", "| a petabyte of PNGs of 24 megapixels | core hours | PB saved | core hours per TB saved |"]
    lines.append("|---" * 4 + "|")
    for name, of in found["of"].items():
        p = of["petabyte"]
        cells = [f"{p['core_hours']:,.0f}", f"{p['bytes_saved'] / costs.PETABYTE:.3f}"]
        lines.append(f"| {name} | {' | '.join(cells)} | {p['core_hours_per_tb_saved']:,.0f} |")
    lines += [
        "",
        "| speed-up (simulated) | cores | 24 megapixels | 10,000 thumbnails | in one process, at worst |",
    ]
    lines.append("|---" * 5 + "|")
    for name, of in found["of"].items():
        lines += [
            f"| {name} | {row['cores']} | {row['photo']:.1f} | {row['thumbnails']:.1f} "
            f"| {row['thumbnails_in_one_process']:.1f} |"
            for row in of["cores"]
        ]
    highest = max(of["worst"] for of in found["of"].values())
    wanted = f"wanted: at most {100 * WANTED_DEVIATION:.0f} %"
    return "\n".join([*lines, "", f"worst deviation, by the clock: {100 * highest:.0f} % ({wanted})"])


def beside(given: argparse.Namespace, _: Whole) -> dict[str, Any]:
    """A few photos, evenly spread."""
    from benchmarks import beside

    count = 2 if given.quick else given.count
    files = find_images(given.photos, 0, count)[:count]
    threads = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = as_arrays(files, folder, 128 if given.quick else 0)
        found: dict[str, Any] = {"folder": given.photos.name, "images": len(files), "threads": threads}
        found["results"] = beside.beside(images, folder, threads, given.repeats)
        older = given.against
        found["against"] = beside.against(older, given.photos, folder, given.repeats) if older else []
    print(beside.report(found))
    return found


# in the order in which they are measured
PARTS: dict[str, Callable[[argparse.Namespace, Whole], dict[str, Any]]] = {
    "work": work,
    "beside": beside,
    "growth": growth,
    "model": model,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument(
        "--repeats", type=int, default=3, help="runs of which the median counts; of work, the least"
    )
    parser.add_argument("--quick", action="store_true", help="small photos: to see whether it works")
    parser.add_argument("--full", action="store_true", help="growth up to 24 and 100 megapixels")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas in between")
    parser.add_argument("--count", type=int, default=4, help="photos beside other codecs")
    parser.add_argument("--against", type=Path, help="a checkout of another release")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    names = [name for name in PARTS if name in given.only.split(",")]
    if not names or set(given.only.split(",")) - set(PARTS):
        parser.error(f"--only takes {', '.join(PARTS)}.")
    path = given.out / "speed.json"
    whole: Whole = json.loads(path.read_text()) if path.exists() else {}
    for name in names:
        print(f"\n## {name}\n", flush=True)
        begun = {**provenance(), "load": os.getloadavg()[0], "quick": given.quick, "repeats": given.repeats}
        whole[name] = {**begun, **PARTS[name](given, whole)}
        given.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(whole, indent=1) + "\n")
    from benchmarks import speed_plots

    speed_plots.draw(whole, given.out)


if __name__ == "__main__":
    main()
