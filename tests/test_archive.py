"""PNG files in .ardm files: as content, exactly, or whole; and the recipes that make a file again."""

from __future__ import annotations

import itertools
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec import (
    ArdmError,
    CorruptError,
    LimitError,
    UnsupportedError,
    archive,
    compress,
    container,
    decompress,
    info,
    listing,
    png,
)
from codec.archive import Packed
from codec.listing import Way
from codec.png.exact import recipes, remake
from codec.samples import Kind
from tests import pngs
from tests.make_golden import png_files
from tests.png.test_png import DATA, END, HEAD, VALID
from tests.pngs import KINDS, SUITE, build

LIMIT = 10**7
GOLDEN = Path(__file__).parent / "golden"


def pack(source: bytes, exactly: bool = False) -> Packed:
    """Packed; never much larger than the source; the way is what the file says of itself."""
    packed = archive.pack(source, exactly=exactly, max_pixels=LIMIT, verify=True)
    assert len(packed.data) <= len(source) + 100
    assert listing.way_of(container.read(packed.data)[0]) == packed.way
    archive.test(packed.data, max_pixels=LIMIT)
    return packed


def same_content(one: bytes, other: bytes) -> bool:
    return np.array_equal(png.read(one, LIMIT).pixels, png.read(other, LIMIT).pixels) and pngs.facts(
        one
    ) == pngs.facts(other)


@pytest.mark.parametrize("path", VALID, ids=lambda p: p.stem)
def test_the_suite_comes_back(path: Path) -> None:
    source = path.read_bytes()
    packed = pack(source)
    assert same_content(archive.unpack(packed.data, max_pixels=LIMIT), source)
    pixels = decompress(packed.data)
    assert np.array_equal(pixels, png.read(source, LIMIT).pixels)
    assert info(packed.data)["bits_per_channel"] == png.read_head(source, LIMIT).kind.depth


@pytest.mark.parametrize("path", VALID[::4], ids=lambda p: p.stem)
def test_the_suite_comes_back_exactly(path: Path) -> None:
    source = path.read_bytes()
    assert archive.unpack(pack(source, exactly=True).data, max_pixels=LIMIT) == source


@pytest.mark.parametrize(("colour", "depth", "interlaced"), KINDS)
def test_every_kind_comes_back_both_ways(colour: int, depth: int, interlaced: int) -> None:
    source = pngs.png_of(pngs.pixels_of(colour, depth, 33, 40), colour, depth, interlaced)
    packed = pack(source)
    assert packed.way == Way.CONTENT or len(source) < 400
    assert same_content(archive.unpack(packed.data, max_pixels=LIMIT), source)
    packed = pack(source, exactly=True)
    assert packed.way == Way.EXACT or len(source) < 400
    assert archive.unpack(packed.data, max_pixels=LIMIT) == source


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (build([HEAD, (b"acTL", bytes(8)), DATA, END]), "animated"),
        (build([HEAD, (b"ABCD", b"x"), DATA, END]), "ABCD"),
        (build([(b"CgBI", bytes(4)), HEAD, DATA, END]), "Apple"),
        (build([HEAD, DATA, END]) + b"tail", "4 bytes after"),
        (build([HEAD, (b"IDAT", DATA[1] + b"more"), END]), "after the end of its compressed image data"),
    ],
)
def test_what_cannot_be_taken_apart_is_kept_whole(source: bytes, why: str) -> None:
    packed = pack(source)
    assert (packed.way, packed.indivisible) == (Way.WHOLE, True)
    assert why in packed.why
    assert archive.unpack(packed.data, max_pixels=LIMIT) == source
    assert info(packed.data)["whole_file"]
    with pytest.raises(UnsupportedError, match="ardm-decompress restores it"):
        decompress(packed.data)


def test_what_would_grow_is_kept_whole_and_can_still_be_decoded() -> None:
    source = (SUITE / "basn0g16.png").read_bytes()
    packed = archive.pack(source, exactly=False, max_pixels=LIMIT, tile=4)  # tiles far too small to be of use
    assert len(packed.data) <= len(source) + 100
    assert (packed.way, packed.indivisible) == (Way.WHOLE, False)
    assert np.array_equal(decompress(packed.data), png.read(source, LIMIT).pixels)
    for position in range(len(packed.data)):
        damaged = bytearray(packed.data)
        damaged[position] ^= 16
        for candidate in (bytes(damaged), packed.data[:position]):
            with pytest.raises(ArdmError):
                archive.unpack(candidate, max_pixels=LIMIT)


def test_limits_and_damage_are_refused_before_anything_is_kept() -> None:
    with pytest.raises(LimitError):
        archive.pack(build([HEAD, (b"acTL", bytes(8)), DATA, END]), exactly=False, max_pixels=3)
    for path in sorted(SUITE.glob("x*.png")):
        with pytest.raises(CorruptError, match="--exact keeps the file as it is"):
            archive.pack(path.read_bytes(), exactly=False, max_pixels=LIMIT)
        packed = archive.pack(path.read_bytes(), exactly=True, max_pixels=LIMIT)
        assert packed.why.startswith("it is damaged: ")
        assert archive.unpack(packed.data) == path.read_bytes()


# ---- recipes


def taken_apart(source: bytes) -> tuple[png.Png, recipes.Recipe | None]:
    image, coding = png.dissect(source, LIMIT)
    return image, remake.find(source, image, coding)


def encode(image: png.Png, stream: bytes) -> bytes:
    return png.assemble(image, [stream[at : at + 8192] for at in range(0, len(stream), 8192)])


@pytest.mark.parametrize(
    ("level", "memory", "strategy", "window"),
    [
        *((level, 8, 0, 15) for level in range(1, 10)),
        (6, 9, 1, 15),
        (9, 8, 1, 12),
        (4, 9, 0, 9),
        (1, 8, 2, 15),
        (6, 8, 3, 15),
        (9, 9, 4, 15),
    ],
)
def test_zlib_settings_are_found(
    photo: np.ndarray, level: int, memory: int, strategy: int, window: int
) -> None:
    image = png.Png(photo[100:200, 100:260], Kind(), False, b"", b"")
    raw = png.scanlines(image, png.usual_filters(image))
    source = encode(image, pngs.compress(raw, level, memory, strategy, window))
    found, recipe = taken_apart(source)
    assert recipe is not None
    packed = recipes.pack(recipe)
    assert len(packed) < 32
    assert recipes.unpack(packed, found) == recipe
    assert remake.make(found, recipe) == source


@pytest.mark.parametrize("row_filters", [bytes([3]) * 45, bytes(range(5)) * 9])
@pytest.mark.parametrize("sizes", [[7], [1000], [0, 5, 0, 10**6, 0], [10, 10, 10, 11]])
def test_any_filters_and_chunk_sizes_are_kept(
    photo: np.ndarray, row_filters: bytes, sizes: list[int]
) -> None:
    image = png.Png(photo[:45, :50], Kind(), False, b"", b"")
    stream = pngs.compress(png.scanlines(image, row_filters))
    pieces, at = [], 0
    for size in itertools.chain(sizes, itertools.repeat(sizes[-1])):
        pieces.append(stream[at : at + size])
        at += size
        if at >= len(stream) and len(pieces) >= len(sizes):
            break
        if not size and at:  # an endless row of empty pieces
            sizes[-1] = 1
    source = png.assemble(image, pieces)
    found, recipe = taken_apart(source)
    assert recipe is not None
    assert recipes.unpack(recipes.pack(recipe), found) == recipe
    assert remake.make(found, recipe) == source


@pytest.mark.parametrize("sizes", [[77], [100, 0, 5000], [65535]])
def test_data_that_was_not_compressed_is_put_into_the_same_blocks(
    photo: np.ndarray, sizes: list[int]
) -> None:
    image = png.Png(photo[:40, :40], Kind(), False, b"", b"")
    raw = png.scanlines(image, bytes(40))
    ends = itertools.accumulate(sizes * (1 + len(raw) // sum(sizes)))
    cuts = [0, *itertools.takewhile(lambda end: end < len(raw), ends), len(raw)]
    blocks = [raw[a:b] for a, b in itertools.pairwise(cuts)]
    stream = b"\x78\x01" + b"".join(
        struct.pack("<BHH", i == len(blocks) - 1, len(b), 65535 - len(b)) + b for i, b in enumerate(blocks)
    )
    source = png.assemble(image, [stream + struct.pack(">I", zlib.adler32(raw))])
    found, recipe = taken_apart(source)
    assert recipe is not None
    assert str(recipe) == "not compressed"
    assert remake.make(found, recipes.unpack(recipes.pack(recipe), found)) == source
    assert len(pack(source, exactly=True).data) < 0.8 * len(source)


def test_what_zlib_did_not_make_has_a_difference_or_is_kept_whole(photo: np.ndarray) -> None:
    """A deflate stream in two parts, flushed between them, and bits left over at the ends of rows that are
    not 0.
    """
    image = png.Png(photo[:20, :20], Kind(), False, b"", b"")
    raw = png.scanlines(image, bytes(20))
    squeeze = zlib.compressobj()
    foreign = png.assemble(
        image,
        [
            squeeze.compress(raw[:500])
            + squeeze.flush(zlib.Z_FULL_FLUSH)
            + squeeze.compress(raw[500:])
            + squeeze.flush()
        ],
    )
    untidy = build(
        [
            (b"IHDR", struct.pack(">IIBBBBB", 3, 2, 1, 0, 0, 0, 0)),
            (b"IDAT", zlib.compress(b"\0\xff\0\x1f")),
            END,
        ]
    )
    for source, way in ((foreign, Way.DIFFERENCE), (untidy, Way.WHOLE)):
        found, recipe = taken_apart(source)
        assert (recipe is None) == (way == Way.WHOLE)
        if recipe:
            assert recipes.unpack(recipes.pack(recipe), found, different=True) == recipe
            with pytest.raises(CorruptError, match="2\\*\\*13 places"):
                recipes.unpack(
                    recipes.pack(replace(recipe, settings=replace(recipe.settings, links=13))),
                    found,
                    different=True,
                )
        packed = pack(source, exactly=True)
        assert (packed.way, packed.indivisible) == (way, False)
        assert archive.unpack(packed.data, max_pixels=LIMIT) == source
        assert same_content(archive.unpack(pack(source).data, max_pixels=LIMIT), source)


def test_a_file_that_would_not_be_the_same_is_refused() -> None:
    recipe = replace(FOUND, start=b"\x78\x01")
    image = png.read(SMALL, LIMIT)
    with pytest.raises(CorruptError, match="made again does not match"):
        remake.make(image, recipes.unpack(recipes.pack(recipe), image))
    with pytest.raises(CorruptError, match="impossible settings: 10"):
        recipes.unpack(recipes.pack(replace(FOUND, settings=replace(FOUND.settings, level=10))), image)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 40), st.integers(0, 255))
def test_forged_recipes_raise_only_our_errors(tail: bytes, at: int, value: int) -> None:
    image = png.read(SMALL, LIMIT)
    damaged = bytearray(RECIPE)
    damaged[min(at, len(RECIPE) - 1)] = value
    for form in (tail, RECIPE[: at % len(RECIPE)] + tail, bytes(damaged)):
        try:
            made = remake.make(image, recipes.unpack(form, image))
        except ArdmError:
            continue
        assert made == SMALL


SMALL = pngs.png_of(pngs.pixels_of(2, 8, 9, 9), 2, 8, 1, pieces=33)
FOUND = taken_apart(SMALL)[1]
assert FOUND is not None
RECIPE = recipes.pack(FOUND)


def test_the_form_is_checked(photo: np.ndarray) -> None:
    packed = pack(png.write(png.Png(photo[:40, :40], Kind(), True, b"", b"")))
    header, at = container.read(packed.data)
    assert header.metadata == ((container.PNG_FORM, b"\1"),)
    for blocks, says in (
        ((b"\x08",), "reserved"),
        ((b"\6",), "two recipes"),
        ((b"\5sh",), "cut short"),
        ((b"\1x",), "too many"),
        ((b"\1", b"\1"), "expected one"),
        ((b"\3short",), "cut short"),
    ):
        forged = container.Header(
            **{**header.__dict__, "metadata": tuple((container.PNG_FORM, b) for b in blocks)}
        )
        with pytest.raises(ArdmError, match=says):
            archive.unpack(container.write(forged, [packed.data[at:]]), max_pixels=LIMIT)


def test_indices_need_their_palette() -> None:
    with pytest.raises(UnsupportedError, match="without their palette"):
        archive.unpack(compress(np.zeros((4, 4), np.uint8), kind=Kind(4, indexed=True)), max_pixels=LIMIT)


# ---- golden files


@pytest.mark.parametrize("name", [*png_files()])
def test_golden_png_file_comes_back(name: str) -> None:
    packed, source = (GOLDEN / f"{name}.ardm").read_bytes(), (GOLDEN / f"{name}.png").read_bytes()
    restored = archive.unpack(packed, max_pixels=LIMIT)
    assert same_content(restored, source)
    assert restored == source or listing.way_of(container.read(packed)[0]) == Way.CONTENT
