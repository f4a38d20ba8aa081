"""Tables and plots of results that `benchmarks.photos --json` wrote: python -m benchmarks.report RESULT.json ... [--out FOLDER].

Prints one Markdown table of sets x codecs x budgets and one of the size family; with --out, writes size-time.png (a panel per set) and
bits-calls.png (every result with codecs named lattice<calls>). Measures nothing.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from benchmarks.photos import HEAD, REFERENCE, rows, title

LATTICE = re.compile(r"lattice(\d+)(?::(\w+))?$")


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: every set and codec."""
    lines = [f"| {whole['folder']}, {whole['images']} | {row}" for whole in results for row in rows(whole["results"])]
    return "\n".join(["| set | " + HEAD, "|---" * (1 + HEAD.count("|")) + "|", *lines])


def family(results: list[dict[str, Any]]) -> str:
    """Markdown: bits against multiply-accumulates, of codecs named lattice<calls>:<model>."""
    from ardm.weights import MODELS, load

    lines = ["| set | model | parameters | calls | multiply-accumulates per pixel | bits/subpixel | decode s/MP |", "|---" * 7 + "|"]
    for whole in results:
        for r in whole["results"]:
            if (match := LATTICE.match(r["codec"])) and match[2]:
                weights = load(MODELS[match[2]])
                products = sum(v.size for k, v in weights.tensors.items() if k.endswith(".weight") and not k.startswith(("cond", "skip")))
                lines.append(
                    f"| {whole['folder']}, {whole['images']} | {match[2]} | {products:,} | {match[1]} | {products * int(match[1]) / 16:,.0f} | "
                    f"{r['bits_per_subpixel']:.3f} | {r['decode_s_per_mp']:.2f} |"
                )
    return "\n".join(lines) if len(lines) > 2 else ""


def plot_size_time(results: list[dict[str, Any]], path: Path) -> None:
    """Size against decoding time (filled) and encoding time (hollow)."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(results), figsize=(6 * len(results), 4.5), squeeze=False)
    for axis, whole in zip(axes[0], results, strict=True):
        for r in whole["results"]:
            ours = r["codec"].removeprefix("quick-").startswith(("ardm", "lattice", "raster", "best"))
            colour, x, y = "C0" if ours else "C1", (r["decode_s_per_mp"], r["encode_s_per_mp"]), r["bits_per_subpixel"]
            axis.plot(x, (y, y), "-", color=colour, alpha=0.3)
            axis.plot(x[0], y, "o", color=colour)
            axis.plot(x[1], y, "o", color=colour, markerfacecolor="none")
            axis.annotate(r["codec"], (max(x), y), textcoords="offset points", xytext=(5, 3), fontsize=8)
        axis.set(xscale="log", xlabel="seconds per megapixel: decoding (filled), encoding (hollow)", ylabel="bits per subpixel, files on disk")
        axis.set_title(title(whole), fontsize=8)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def plot_bits_calls(results: list[dict[str, Any]], path: Path) -> None:
    """Size against network calls, lattice order."""
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6, 4.5))
    for whole in results:
        points: dict[str, list[tuple[int, float]]] = {}
        for r in whole["results"]:
            if match := LATTICE.match(r["codec"]):
                points.setdefault(match[2] or "base", []).append((int(match[1]), r["bits_per_subpixel"]))
        for model, line in points.items():
            axis.plot(*zip(*sorted(line), strict=True), "o-", label=f"{whole['folder']}, {whole['images']} images, {model}")
    axis.set(xscale="log", xlabel="network calls per image (lattice order)", ylabel="bits per subpixel, files on disk")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    results = [json.loads(path.read_text()) for path in arguments.results]
    compared = [w for w in results if any(r["codec"] == REFERENCE for r in w["results"])]
    for whole in results:
        print(title(whole))
    print(f"\n{table(results)}\n\n{family(results)}")
    if arguments.out:
        import matplotlib

        matplotlib.use("Agg")
        arguments.out.mkdir(parents=True, exist_ok=True)
        plot_size_time(compared, arguments.out / "size-time.png")
        plot_bits_calls(results, arguments.out / "bits-calls.png")


if __name__ == "__main__":
    main()
