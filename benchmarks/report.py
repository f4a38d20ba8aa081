"""Tables and plots of results that `benchmarks.photos --json` wrote: python -m benchmarks.report RESULT.json
... [--out FOLDER].

Prints one Markdown table of sets and codecs; with --out, writes size-time.png (a panel per set) and
bits-calls.png (every result with three or more of ardm-<calls>, or of plain-<calls>). Measures nothing.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from benchmarks.photos import HEAD, REFERENCE, rows, title

BUDGET = re.compile(r"(ardm|plain)(?:-(\d+))?$")  # with a budget, or as many calls as pay

SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20)  # marks on the axis of time
WAVEFRONT = 3000  # where raster order stands on the axis of calls


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: every set and codec."""
    lines = [
        f"| {whole['folder']}, {whole['images']} | {row}"
        for whole in results
        for row in rows(whole["results"])
    ]
    return "\n".join(["| set | " + HEAD, "|---" * (1 + HEAD.count("|")) + "|", *lines])


def plot_size_time(results: list[dict[str, Any]], path: Path) -> None:
    """Size against decoding time (filled) and encoding time (hollow)."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(results), figsize=(6 * len(results), 4.5), squeeze=False)
    for axis, whole in zip(axes[0], results, strict=True):
        for r in whole["results"]:
            ours = r["codec"].startswith(("ardm", "best", "lattice", "plain", "quick"))
            colour, x, y = (
                "C0" if ours else "C1",
                (r["decode_s_per_mp"], r["encode_s_per_mp"]),
                r["bits_per_subpixel"],
            )
            axis.plot(x, (y, y), "-", color=colour, alpha=0.3)
            axis.plot(x[0], y, "o", color=colour)
            axis.plot(x[1], y, "o", color=colour, markerfacecolor="none")
            axis.annotate(r["codec"], (max(x), y), textcoords="offset points", xytext=(5, 3), fontsize=8)
        axis.set(
            xscale="log",
            xlim=(0.1, 40),
            xlabel="seconds per megapixel: decoding (filled), encoding (hollow)",
            ylabel="bits per subpixel, files on disk",
        )
        axis.set_xticks(SECONDS, [f"{x:g}" for x in SECONDS])
        axis.minorticks_off()
        axis.set_title(title(whole), fontsize=8)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def plot_bits_calls(results: list[dict[str, Any]], path: Path) -> None:
    """Size, and seconds of decoding, against the budget of network calls; at the right end, raster order."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.5))
    for whole in results:
        lines: dict[str, list[tuple[int, float, float]]] = {}
        for r in whole["results"]:
            if match := BUDGET.match(r["codec"]):
                lines.setdefault(match[1], []).append(
                    (int(match[2] or WAVEFRONT), r["bits_per_subpixel"], r["decode_s_per_mp"])
                )
        for name, points in lines.items():
            if len(points) < 3:
                continue
            calls, bits, seconds = zip(*sorted(points), strict=True)
            for axis, values in zip(axes, (bits, seconds), strict=True):
                axis.plot(calls, values, "o-", label=f"{name}: {whole['folder']}, {whole['images']} images")
    for axis, label in zip(
        axes, ("bits per subpixel, files on disk", "seconds per megapixel, decoding"), strict=True
    ):
        axis.set(
            xscale="log",
            xlabel="network calls per tile, at most; the last point is raster order",
            ylabel=label,
        )
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    results = [json.loads(path.read_text()) for path in arguments.results]
    compared = [w for w in results if any(r["codec"] == REFERENCE for r in w["results"])]
    for whole in results:
        print(title(whole))
    print(f"\n{table(results)}")
    if arguments.out:
        import matplotlib

        matplotlib.use("Agg")
        arguments.out.mkdir(parents=True, exist_ok=True)
        plot_size_time(compared, arguments.out / "size-time.png")
        plot_bits_calls(results, arguments.out / "bits-calls.png")


if __name__ == "__main__":
    main()
