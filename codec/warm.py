"""python -m codec.warm: compiles what the commands need, and keeps it, so that the first file takes no longer
than those after it. For whoever builds an image of a container, or cannot wait later.

Knows an example of every sort of file; nothing of how they are coded.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import click
import numpy as np

from ardm.compiled import kept_in

SIDE = 40  # of an example: more than fits one phase of every order


def _photo(bits: int = 8, channels: int = 3) -> np.ndarray:
    """Smooth, and noisy in the low bits."""
    y, x, c = np.mgrid[:SIDE, :SIDE, :channels]
    values = (3 * y + 2 * x + 40 * c << bits - 8) + np.random.default_rng(1).integers(0, 5, y.shape)
    return values.astype(np.uint8 if bits == 8 else np.uint16)


def _of_jpeg() -> np.ndarray:
    """A photo that was a JPEG, of steps so small that all is needed that finds coefficients."""
    from codec.coder.jpeg.dct import Layout
    from codec.coder.jpeg.origin import saved
    from codec.coder.jpeg.steps import standard_tables

    return saved(_photo(), Layout(SIDE, SIDE, down=2, across=2), standard_tables(96))


def _jpeg_file() -> None:
    from io import BytesIO

    from PIL import Image

    from codec import archive

    file = BytesIO()
    Image.fromarray(_photo()).save(file, "JPEG")
    archive.unpack(archive.pack(file.getvalue(), exactly=False).data)


def _there_and_back(pixels: np.ndarray, exactly: bool = False, **chosen: Any) -> None:
    """An array, a PNG of it, and both again."""
    from codec import Settings, archive, compress

    settings = Settings(**chosen)
    file = archive.unpack(compress(pixels, settings=settings))
    archive.unpack(archive.pack(file, exactly=exactly, settings=settings).data)


def _photos() -> None:
    from codec.coder.conversions import CONVERSIONS, to_rgb

    _there_and_back(_photo())
    _there_and_back(to_rgb(CONVERSIONS[0], _photo()))
    _there_and_back(_of_jpeg())
    _jpeg_file()
    _there_and_back(_photo(), order="lattice")


def _plain() -> None:
    _there_and_back(_photo(), plain=True)
    _there_and_back(_photo(), order="lattice", plain=True)
    _there_and_back(_photo(channels=1), exactly=True, plain=True)


def _texts() -> None:
    from codec import text

    words = b"The quick brown fox jumps over the lazy dog, and The Dog sleeps. " * 20
    text.unpack(text.pack(words))


def _deep() -> None:
    _there_and_back(_photo(bits=16))


# Each is compiled by one process, and what two have in common twice. What takes longest comes first.
EXAMPLES: dict[str, Callable[[], None]] = {
    "photos and graphics": _photos,
    "--plain, --exact": _plain,
    "9 to 16 bits": _deep,
    "texts and other files": _texts,
}


def _done(name: str) -> tuple[str, float, set[str]]:
    """In a process of its own: (name, seconds, folders where code is kept)."""
    start = time.perf_counter()
    EXAMPLES[name]()
    return name, time.perf_counter() - start, kept_in()


def warm(processes: int, said: Callable[[str], None]) -> set[str]:
    """Compile for all examples, so many at once. Returns where code is kept. Raises OSError if it is not."""
    folders: set[str] = set()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for name, seconds, kept in pool.map(_done, EXAMPLES):
            said(f"{name}: {seconds:.1f} s")
            folders |= kept
    return folders


@click.command()
@click.option(
    "-T", "--threads", "processes", type=click.IntRange(1), default=os.cpu_count() or 1, metavar="N"
)
def main(processes: int) -> None:
    """Compile what ardm-compress and ardm-decompress need, and keep it for later processes."""
    try:
        folders = warm(processes, partial(click.echo, err=True))
    except OSError as error:
        raise click.ClickException(
            f"{error}: set NUMBA_CACHE_DIR, now and later, to a folder that can be written."
        ) from error
    click.echo(f"kept in {', '.join(sorted(folders))}", err=True)


if __name__ == "__main__":
    sys.exit(main())
