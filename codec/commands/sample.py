"""The command ardm-sample: examples drawn from a checkpoint or from the photo codec, and files that were cut
off, completed. Knows files, PNG and text.

Exit codes: 0 done; 1 a file failed (cannot be read, exists, does not fit the model); 2 wrong usage; 4
something of a completed file is invented, or its header is damaged; 5 not supported by this release.
"""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

import codec
from codec.commands import cli, files
from codec.commands.options import complete_file, threads_option
from codec.commands.report import say
from codec.errors import ArdmError, CorruptError, InputError
from codec.limits import Limits
from codec.presets import MAX_PIXELS, threads_for

if TYPE_CHECKING:
    import torch

    from ardm.discrete import Space

LETTERS = " abcdefghijklmnopqrstuvwxyz"  # values 0 to 26 of text
ORDERS = ("random", "rows", "spread")
HOLE = "_"  # in --known: a letter that is to be drawn
INVENTED = ".invented.png"  # ending of the mask that --complete writes
EXIT_HELP = (
    "Exit codes: 0 done; 1 a file failed; 2 wrong usage; 4 invented something for --complete, or "
    "damaged; 5 not supported by this release."
)


@click.command(epilog=EXIT_HELP)
@click.option(
    "--model",
    metavar="CHECKPOINT",
    type=click.Path(path_type=Path),
    help="Draw from a network trained with ardm.training.fit, instead of the shipped one.",
)
@click.option(
    "--budget",
    type=click.IntRange(1),
    metavar="N",
    help=(
        "Network calls for each image; needed with --model; without, 100; for --size, all that make a "
        "difference."
    ),
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="Examples; default 16.")
@click.option(
    "--temperature",
    type=float,
    metavar="T",
    help="Of every distribution; default 1; 0 takes the likeliest values.",
)
@click.option(
    "--order",
    type=click.Choice(ORDERS),
    help=(
        "In which values are drawn: random, the default with --model; rows, as they lie; spread, those drawn "
        "together far apart. Default without: what the budget program finds."
    ),
)
@click.option(
    "--known",
    metavar="PNG|TEXT",
    help=(
        f"Keep what is known: an image, and --mask, which is white there; or a text, with {HOLE} for "
        "unknown letters."
    ),
)
@click.option("--mask", metavar="PNG", help="What is pure white is known, all else is drawn.")
@click.option("--size", metavar="WIDTHxHEIGHT", help="Draw a new image from the shipped photo model.")
@click.option(
    "--adaptive",
    is_flag=True,
    help=(
        "For --size: as the codec does by default, learn from what has been drawn, which often ends in noise."
    ),
)
@click.option(
    "--complete",
    metavar="FILE",
    shell_complete=complete_file,
    help=(
        "Decode what there is of an .ardm file that was cut off, and draw the rest; NAME.invented.png is "
        "white there."
    ),
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    metavar="N",
    show_default=True,
    help="The same seed, the same result.",
)
@click.option(
    "-o",
    "output",
    metavar="OUT",
    shell_complete=complete_file,
    help="Where to write; '-' is standard output. Needed for images, but for --complete.",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite existing outputs.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@threads_option
@click.option("--device", type=click.Choice(["cpu", "cuda", "auto"]), default="cpu", show_default=True)
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=MAX_PIXELS,
    metavar="N",
    help="Refuse larger images. Default: 178 million.",
)
@click.version_option(codec.__version__, "-V", "--version")
@click.help_option("-h", "--help")
def command(model: Path | None, size: str | None, complete: str | None, **given: Any) -> None:
    """Draw images or text from a model.

    \b
    ardm-sample --budget 20 --seed 7 -o grid.png
    ardm-sample --known image.png --mask mask.png -o filled.png
    ardm-sample --model checkpoint.safetensors --budget 50 -o grid.png
    ardm-sample --model text.safetensors --budget 20 --known "th_ c_t"
    ardm-sample --size 256x256 -o new.png
    ardm-sample --complete cut.ardm -o whole.png
    """
    if sum(way is not None for way in (model, size, complete)) > 1:
        raise click.UsageError(
            "say at most one of --model CHECKPOINT, --size WIDTHxHEIGHT and --complete FILE."
        )
    misplaced = [
        name
        for name in ("count", "temperature", "order", "known", "mask")
        if given[name] is not None and (size or complete)
    ]
    misplaced += ["adaptive"] * (given["adaptive"] and size is None)
    misplaced += ["budget"] * (complete is not None and given["budget"] is not None)
    if misplaced:
        raise click.UsageError(
            f"--{misplaced[0]} does not go with "
            f"{'--size' if size else '--complete' if complete else '--model, nor without --size'}."
        )
    name = complete or str(model or f"the model of {'photos' if size else 'small pictures'}")
    try:
        if complete:
            _complete(complete, **given)
        elif size:
            _draw(size, **given)
        elif model:
            _sample(model, **given)
        else:
            _sample_small(**given)
    except (ArdmError, ValueError) as error:
        say(str(error) if str(error).startswith(name) else f"{name}: {error}")
        raise click.exceptions.Exit(error.exit_code if isinstance(error, ArdmError) else 1) from None


def main() -> None:
    """Entry point of ardm-sample."""
    cli.run(command, sys.argv[1:], "ardm-sample")


# ---- from a checkpoint -------------------------------------------------------------------------------------


def _sample(
    path: Path,
    budget: int | None,
    count: int | None,
    temperature: float | None,
    order: str | None,
    known: str | None,
    mask: str | None,
    **given: Any,
) -> None:
    if budget is None:
        raise click.UsageError("--model needs --budget N: more calls, better samples.")
    files.read_input(str(path))  # refuses plainly what cannot be read
    _set_threads(given["threads"])
    from ardm.exact.device import find_device
    from ardm.generate import sample
    from ardm.training.fit import load_network

    network, recipe = load_network(path)
    space = recipe.space
    text = (
        space.grid[:2] == (1, 1)
        and len(space.shape) == 1
        and not space.ordered
        and space.classes == len(LETTERS)
    )
    if not text and (len(space.shape) == 1 or space.grid[0] not in (1, 3)):
        raise InputError(
            f"the model's examples have shape {space.shape} and {space.classes} values, which are neither "
            f"images nor text of {len(LETTERS)} letters."
        )
    if text and mask is not None:
        raise click.UsageError(f"--mask does not go with text; mark what is unknown in --known with {HOLE}.")
    if not text:
        _check_known(known, mask)
    target = None if text and given["output"] is None else _target(given["output"], path, given["force"])
    parts = None
    if known is not None:
        parts = (
            _known_text(space, known) if text else _known_image(space, known, str(mask), given["max_pixels"])
        )
    network = network.to(find_device(given["device"]))
    drawn = sample(
        network,
        count or 16,
        budget,
        seed=given["seed"],
        temperature=1.0 if temperature is None else temperature,
        order=_order(space, order or "random"),
        given=parts,
    ).cpu()
    invented = space.size - (int(parts[1].sum()) if parts else 0)
    _write(target, _as_text(drawn) if text else _as_png(space, drawn, invented), given["force"])


def _check_known(known: str | None, mask: str | None) -> None:
    if (known is None) != (mask is None):
        raise click.UsageError("--known and --mask go together for images.")


def _order(space: Space, name: str) -> torch.Tensor | None:
    """Places as `sample` takes them."""
    import torch

    from ardm.orders import spread_places

    if name == "random":
        return None
    return (torch.arange(space.size) if name == "rows" else torch.from_numpy(spread_places(space.size))).view(
        space.shape
    )


def _known_text(space: Space, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(values, where they are known) of a text with holes; after its end all is unknown."""
    import torch

    wrong = sorted(set(text) - set(LETTERS + HOLE))
    if wrong:
        raise InputError(f"a known text may have small letters, spaces and {HOLE}, found {''.join(wrong)!r}.")
    if len(text) > space.size:
        raise InputError(f"the known text has {len(text)} letters, the model's have {space.size}.")
    text = text.ljust(space.size, HOLE)
    return torch.tensor([max(0, LETTERS.find(c)) for c in text]), torch.tensor([c != HOLE for c in text])


def _known_image(
    space: Space, image_name: str, mask_name: str, max_pixels: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(values, where they are known), of the space's shape."""
    import torch

    channels, height, width = space.grid
    image, mask = (_read_png(name, max_pixels) for name in (image_name, mask_name))
    levels = _levels(space)
    for name, pixels, needed in ((image_name, image.pixels, (channels,)), (mask_name, mask.pixels, (1, 3))):
        shape = (*pixels.shape, 1)[:3]
        if shape[:2] != (height, width) or shape[2] not in needed:
            raise InputError(
                f"{name} has {shape[1]} x {shape[0]} pixels and {shape[2]} channels, expected {width} x "
                f"{height} and {' or '.join(map(str, needed))}."
            )
    if image.kind.depth != 8 * levels.itemsize or image.kind.indexed or mask.kind.indexed:
        raise InputError(
            f"{image_name} must have {8 * levels.itemsize} bits for each channel, and neither it nor the "
            "mask a palette."
        )
    known = (mask.pixels.reshape(height, width, -1) == (1 << mask.kind.depth) - 1).all(2)
    pixels = image.pixels.reshape(height, width, channels)
    values = np.minimum(np.searchsorted(levels, pixels), space.classes - 1)
    strange = pixels[known][levels[values[known]] != pixels[known]]
    if strange.size:
        raise InputError(
            f"{image_name} has the value {strange[0]}, which is none of the model's {space.classes} levels."
        )
    every = torch.from_numpy(values.transpose(2, 0, 1).astype(np.int64)).reshape(space.shape)
    return every, torch.from_numpy(np.broadcast_to(known, (channels, height, width)).copy()).view(space.shape)


def _read_png(name: str, max_pixels: int) -> Any:
    from codec import png

    try:
        return png.read(files.read_input(name), max_pixels)
    except ArdmError as error:
        raise type(error)(f"{name}: {error}") from error


def _levels(space: Space) -> np.ndarray:
    """The sample of a PNG that stands for each value: 8 bits, or 16 if there are more than 256 values."""
    dtype = np.uint8 if space.classes <= 256 else np.uint16
    steps = space.classes - 1
    return ((np.arange(space.classes) * int(np.iinfo(dtype).max) + steps // 2) // steps).astype(dtype)


def _as_text(drawn: torch.Tensor) -> bytes:
    return "".join("".join(LETTERS[v] for v in row) + "\n" for row in drawn.tolist()).encode()


def _as_png(space: Space, drawn: torch.Tensor, invented: int) -> bytes:
    """Images side by side, a black pixel between them. invented: variables of each."""
    from codec import archive, png
    from codec.samples import Kind

    channels, height, width = space.grid
    levels = _levels(space)
    columns = math.ceil(math.sqrt(len(drawn)))
    rows = -(-len(drawn) // columns)
    grid = np.zeros((rows * (height + 1) - 1, columns * (width + 1) - 1, channels), dtype=levels.dtype)
    for i, one in enumerate(levels[drawn.numpy()].reshape(-1, channels, height, width)):
        y, x = i // columns * (height + 1), i % columns * (width + 1)
        grid[y : y + height, x : x + width] = one.transpose(1, 2, 0)
    said = archive.comment(f"ardm: {invented} of {space.size} samples of each image are invented")
    return png.write(
        png.Png(grid if channels > 1 else grid[..., 0], Kind(8 * levels.itemsize), False, said, b"")
    )


# ---- from the model of small pictures ----------------------------------------------------------------------


def _sample_small(
    budget: int | None,
    count: int | None,
    temperature: float | None,
    order: str | None,
    known: str | None,
    mask: str | None,
    **given: Any,
) -> None:
    _check_known(known, mask)
    target = _target(given["output"], None, given["force"])
    _set_threads(given["threads"])
    import torch

    from ardm.discrete import Space
    from ardm.exact.device import find_device
    from codec import pictures

    space = Space((3, pictures.SIDE, pictures.SIDE), 256, likelihood="logistics")
    parts, invented = None, space.size
    if known is not None:
        values, where = _known_image(space, known, str(mask), given["max_pixels"])
        invented -= int(where.sum())
        parts = (values.permute(1, 2, 0).to(torch.uint8).numpy(), where.all(0).numpy())
    drawn = pictures.draw_pictures(
        count or 16,
        budget or pictures.BUDGET,
        seed=given["seed"],
        temperature=1.0 if temperature is None else temperature,
        order=order or "best",
        given=parts,
        device=find_device(given["device"]),
    )
    _write(target, _as_png(space, torch.from_numpy(drawn).permute(0, 3, 1, 2), invented), given["force"])


# ---- from the photo codec ----------------------------------------------------------------------------------


def _draw(
    size: str,
    budget: int | None,
    adaptive: bool,
    seed: int,
    output: str | None,
    force: bool,
    threads: int,
    device: str,
    **given: Any,
) -> None:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size, re.ASCII)
    if not match:
        raise click.UsageError(f"--size must be WIDTHxHEIGHT in pixels, such as 256x256, got {size!r}.")
    target = _target(output, None, force)
    _set_threads(threads)
    from codec import archive, png
    from codec.damage.invent import draw
    from codec.samples import Kind

    pixels = draw(int(match[2]), int(match[1]), seed=seed, budget=budget, adaptive=adaptive, device=device)
    _write(
        target,
        png.write(png.Png(pixels, Kind(8), False, archive.comment("ardm: all pixels are invented"), b"")),
        force,
    )


def _complete(
    name: str,
    seed: int,
    output: str | None,
    force: bool,
    quiet: bool,
    threads: int,
    device: str,
    max_pixels: int,
    **given: Any,
) -> None:
    if output == files.STREAM:
        raise click.UsageError("--complete writes two files; leave out -o -.")
    if output is None and Path(name).suffix.lower() != files.SUFFIX:
        raise click.UsageError(
            f"the name of the file does not end in {files.SUFFIX}; say with -o where to write the image."
        )
    target = Path(output) if output else Path(name).with_suffix(".png")
    mask_target = target.with_name(target.stem + INVENTED)
    for path in (target, mask_target):
        files.check_output(path, name, force)
    source = files.read_input(name)
    from codec import archive

    image, mask, report = archive.complete(
        source, seed=seed, device=device, threads=threads_for(threads), limits=Limits(max_pixels=max_pixels)
    )
    files.write_output(target, image, name, force)
    if report.invented:
        files.write_output(mask_target, mask, name, force)
    if not quiet:
        say(
            f"{name}: {report}"
            + f"; they are white in {mask_target}." * bool(report.invented)
            + "." * (not report.invented)
        )
    if report.invented:
        raise click.exceptions.Exit(CorruptError.exit_code)


# ---- helpers -----------------------------------------------------------------------------------------------


def _set_threads(threads: int) -> None:
    from codec.parallel import set_threads

    set_threads(threads_for(threads))


def _target(output: str | None, source: Path | None, force: bool) -> Path | None:
    """Where the result goes; None is standard output. Checked before any work is done."""
    if output is None:
        raise click.UsageError("say with -o where to write the image.")
    if output == files.STREAM:
        files.check_stdout(force)
        return None
    files.check_output(Path(output), str(source or files.STREAM), force)
    return Path(output)


def _write(target: Path | None, data: bytes, force: bool) -> None:
    if target is None:
        files.write_stream(data)
    else:
        files.write_output(target, data, files.STREAM, force)


if __name__ == "__main__":
    main()
