"""PNG in and out: every kind, all that a file carries, and one clear error for what is not sound."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec import ArdmError, CorruptError, InputError, LimitError, TruncatedError, png
from codec.png import filters
from codec.png.lines import STRIP, Scanlines
from codec.samples import Kind
from tests import pngs
from tests.pngs import KINDS, SHARED, SUITE, build
from tests.processes import ROOT

pytestmark = pytest.mark.quick

VALID = sorted(p for p in SUITE.glob("*.png") if not p.name.startswith("x"))
CORRUPT = sorted(SUITE.glob("x*.png"))


def test_the_suite_is_whole() -> None:
    assert (len(VALID), len(CORRUPT)) == (161, 14)


def others_see(data: bytes, image: png.Png) -> np.ndarray:
    """The samples as libpng decodes them, which looks up palettes, scales small samples to 8 bits, and makes
    alpha of tRNS.
    """
    seen = imagecodecs.png_decode(data)
    if image.kind.indexed:
        return seen[..., :3]
    channels = image.head.channels
    seen = seen.reshape(*seen.shape[:2], -1)[..., :channels]
    return seen[..., 0] if channels == 1 else seen


def looks_like(data: bytes, image: png.Png) -> np.ndarray:
    """The same from what `png.read` returned."""
    if image.kind.indexed:
        palette = np.frombuffer(next(d for k, d in pngs.split(data) if k == b"PLTE"), np.uint8).reshape(-1, 3)
        return palette[image.pixels]
    return image.pixels * (255 // (2**image.kind.depth - 1)) if image.kind.depth < 8 else image.pixels


def comes_back(data: bytes) -> png.Png:
    image, coding = png.dissect(data, 10**7)
    assert np.array_equal(looks_like(data, image), others_see(data, image))
    again = png.write(image)
    assert pngs.facts(again) == pngs.facts(data)
    assert np.array_equal(png.read(again, 10**7).pixels, image.pixels)
    assert np.array_equal(looks_like(again, image), others_see(again, image))
    assert sum(coding.sizes) == len(coding.stream)
    if image.before or image.after:
        assert png.unpack_chunks(png.pack_chunks(image)) == (image.before, image.after)
    else:
        assert png.pack_chunks(image) == b""
    return image


@pytest.mark.parametrize("path", VALID, ids=lambda p: p.stem)
def test_every_valid_file_of_the_suite_comes_back(path: Path) -> None:
    comes_back(path.read_bytes())


@pytest.mark.parametrize("path", CORRUPT, ids=lambda p: p.stem)
def test_every_corrupt_file_of_the_suite_is_refused(path: Path) -> None:
    with pytest.raises(CorruptError):
        png.read(path.read_bytes(), 10**6)


def test_other_collections() -> None:
    """libpng's own test files, graphics and scientific images, where the shared folder is there; only
    libpng's crashers are refused.
    """
    for path in sorted(
        p for folder in ("libpng", "graphics", "scientific") for p in (SHARED / folder).rglob("*.png")
    ):
        data = path.read_bytes()
        if path.name == "empty_ancillary_chunks.png" or path.parent.name not in ("crashers", "badpal"):
            comes_back(data)
        elif path.parent.name == "badpal":  # indices without a colour: libpng and we agree on all but these
            image = png.read(data, 10**7)
            assert pngs.facts(png.write(image)) == pngs.facts(data)
            assert np.array_equal(png.read(png.write(image), 10**7).pixels, image.pixels)
        else:
            with pytest.raises(CorruptError):
                png.read(data, 10**7)


@pytest.mark.parametrize(("colour", "depth", "interlaced"), KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (13, 19)])
def test_every_kind_in_every_pass(colour: int, depth: int, interlaced: int, shape: tuple[int, int]) -> None:
    pixels = pngs.pixels_of(colour, depth, *shape)
    data = pngs.png_of(pixels, colour, depth, interlaced, pieces=50)
    image = comes_back(data)
    assert np.array_equal(image.pixels, pixels)
    assert image.pixels.dtype == (np.uint16 if depth == 16 else np.uint8)
    assert image.head == png.Head(
        shape[1], shape[0], pngs.CHANNELS[colour], Kind(depth, colour == 3), bool(interlaced)
    )


def test_hidden_colour_under_alpha_0_comes_back() -> None:
    for depth in (8, 16):
        pixels = pngs.pixels_of(6, depth, 9, 11)
        pixels[2:7, :, 3] = 0
        assert np.array_equal(
            png.read(png.write(png.Png(pixels, Kind(depth), False, b"", b"")), 100).pixels, pixels
        )


# ---- filters


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(1, 24), st.integers(1, 8), st.integers(0, 2**32))
def test_filters_are_those_of_the_standard_and_come_undone(
    height: int, width: int, step: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    under = rng.integers(0, 256, (1 + height, 1 + width), dtype=np.uint8)  # of zeros
    under[0] = 0
    lines = under[1:]
    lines[:, 0] = rng.integers(0, 5, height)
    forward = filters.apply(under, step)
    assert forward.tobytes() == pngs.filtered(
        [row[1:].tobytes() for row in lines], lines[:, 0].tolist(), step
    )
    undone = np.concatenate([under[:1], forward])
    filters.undo(undone, step)
    assert np.array_equal(undone, under)
    chosen = under.copy()
    filters.choose(chosen, step)
    chosen = chosen[1:]
    for y in range(height):
        sums = []
        for kind in range(5):
            line = pngs.filtered(
                [row[1:].tobytes() for row in lines[max(0, y - 1) : y + 1]], [0, kind][-min(y + 1, 2) :], step
            )[-width:]
            sums.append(sum(min(v, 256 - v) for v in line))
        assert chosen[y, 0] == sums.index(min(sums))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(1, 40), st.booleans(), st.sampled_from([1, 4, 8, 16]), st.data())
def test_image_data_can_be_asked_for_in_any_parts(
    height: int, width: int, interlaced: bool, depth: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(height + 1000 * width)
    pixels = rng.integers(0, 1 << depth, (height, width), dtype=np.uint16 if depth == 16 else np.uint8)
    image = png.Png(pixels, Kind(depth), interlaced, b"", b"")
    rows = sum(one.rows for one in image.head.passes())
    row_filters = data.draw(st.none() | st.binary(min_size=rows, max_size=rows))
    row_filters = row_filters and bytes(kind % 5 for kind in row_filters)
    lines = Scanlines(pixels, image.head, row_filters)
    whole = lines.read(0, lines.size)
    assert whole == png.scanlines(image, lines.filters())
    assert len(whole) == lines.size
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, lines.size)] * 2)))
    assert lines.read(start, stop) == whole[start:stop]
    assert lines.read(start, lines.size + 1000) == whole[start:]


def test_strips_of_a_large_image_are_one() -> None:
    """What zlib gives of a few bytes does not end where strips do."""
    rng = np.random.default_rng(5)
    pixels = np.zeros((3 * STRIP // 1000, 999), np.uint8)
    pixels[1500:1600] = rng.integers(0, 256, (100, 999), dtype=np.uint8)
    for interlaced in (False, True):
        image = png.Png(pixels, Kind(), interlaced, b"", b"")
        assert np.array_equal(png.read(png.write(image), pixels.size).pixels, pixels)


def test_damage_that_zlib_finds_after_the_last_byte_of_data() -> None:
    """A repetition of what never was, right after all the image data: zlib says so only once asked for more."""
    parts = [
        (1, 1),
        (1, 2),
        *[(0x0C, 8)] * 6,
    ]  # the last block, of fixed codes; all the zeros of 2 x 2 pixels
    parts += [
        (0x40, 7),
        (0x17, 5),
        (0x1FFF, 13),
    ]  # three bytes from 32,768 before; codes from their highest bit
    stream, at = 0, 0
    for value, count in parts:
        stream |= value << at
        at += count
    data = image_data(b"\x78\x9c" + stream.to_bytes(-(-at // 8), "little"))
    with pytest.raises(CorruptError, match="image data is damaged"):
        png.read(data, 100)


def test_a_file_holds_just_its_image() -> None:
    rng = np.random.default_rng(6)
    pixels = rng.integers(0, 256, (30, 20, 3), dtype=np.uint8)
    image = png.Png(pixels, Kind(), True, png.chunk(b"gAMA", bytes(4)), b"")
    file = png.write(image)
    assert png.holds(file, image)
    other = pixels.copy()
    other[29, 19, 2] ^= 1
    for changed in (
        {"pixels": other},
        {"interlaced": False},
        {"before": b""},
        {"after": image.before},
        {"pixels": pixels.reshape(20, 30, 3)},
        {"pixels": pixels[..., 0]},
    ):
        assert not png.holds(file, replace(image, **changed))
    with pytest.raises(CorruptError):
        png.holds(file[:100], image)


# ---- what is not sound

HEAD = (b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0))
DATA = (b"IDAT", zlib.compress(b"\0\1\2\0\3\4"))
END = (b"IEND", b"")
PALETTED = (b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 3, 0, 0, 0))


def image_data(data: bytes) -> bytes:
    return build([HEAD, (b"IDAT", data), END])


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (b"", InputError, "empty"),
        (b"hello", InputError, "not a PNG"),
        (b"\xff\xd8\xff\xe0 jpeg", InputError, "not a PNG"),
        (build([HEAD, DATA, END]).replace(b"\r\n\x1a\n", b"\n\x1a\n"), CorruptError, "transfer as text"),
        (png.SIGNATURE, CorruptError, "header chunk"),
        (build([HEAD, DATA]), TruncatedError, "cut short"),
        (build([HEAD, DATA, END])[:-20], TruncatedError, "cut short"),
        (build([HEAD, END]), CorruptError, "no image data"),
        (build([DATA, HEAD, END]), CorruptError, "header chunk"),
        (image_data(zlib.compress(b"\0\1")), CorruptError, "ends after 2 bytes, expected 6"),
        (image_data(DATA[1][:-1]), CorruptError, "damaged"),
        (image_data(DATA[1][:-4] + b"abcd"), CorruptError, "damaged"),
        (image_data(b"no zlib stream"), CorruptError, "damaged"),
        (image_data(b""), CorruptError, "0 bytes of it cannot be all 6 compressed"),
        (image_data(zlib.compress(b"\0\1\2\5\3\4")), CorruptError, "filter 5, expected 0 to 4"),
        (image_data(zlib.compress(bytes(7))), png.IndivisibleError, "more image data"),
        (image_data(DATA[1] + b"more"), png.IndivisibleError, "after the end of its compressed image data"),
        (
            build([HEAD, DATA, (b"IDAT", b"more"), END]),
            png.IndivisibleError,
            "after the end of its compressed image data",
        ),
        (build([PALETTED, DATA, END]), CorruptError, "palette"),
        (build([PALETTED, DATA, (b"PLTE", bytes(3)), END]), CorruptError, "palette"),
        (build([PALETTED, (b"PLTE", bytes(4)), DATA, END]), CorruptError, "palette"),
        (build([PALETTED, (b"PLTE", bytes(771)), DATA, END]), CorruptError, "palette"),
        (build([HEAD, (b"ABCD", b""), DATA, END]), png.IndivisibleError, "critical chunk"),
        (build([HEAD, (b"acTL", bytes(8)), DATA, END]), png.IndivisibleError, "animated"),
        (build([HEAD, HEAD, DATA, END]), CorruptError, "out of order"),
        (build([HEAD, DATA, (b"tEXt", b"a"), DATA, END]), CorruptError, "out of order"),
        (build([HEAD, DATA, (b"IEND", b"x")]), CorruptError, "out of order"),
        (build([HEAD, DATA, END]) + b"tail", png.IndivisibleError, "4 bytes after its end marker"),
        (
            build([(b"IHDR", struct.pack(">IIBBBBB", 70000, 70000, 8, 2, 0, 0, 0)), DATA, END]),
            LimitError,
            "limit",
        ),
        (
            build([(b"IHDR", struct.pack(">IIBBBBB", 0, 2, 8, 0, 0, 0, 0)), DATA, END]),
            CorruptError,
            "does not allow",
        ),
        (
            build([(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 4, 2, 0, 0, 0)), DATA, END]),
            CorruptError,
            "does not allow",
        ),
        (
            build([(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 3, 0, 0, 0)), DATA, END]),
            CorruptError,
            "does not allow",
        ),
    ],
)
def test_bad_input_has_one_clear_cause(data: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        png.read(data, 10**6)


def test_an_empty_piece_of_image_data_is_no_harm() -> None:
    image, coding = png.dissect(build([HEAD, (b"IDAT", b""), DATA, (b"IDAT", b""), END]), 100)
    assert image.pixels.tolist() == [[1, 2], [3, 4]]
    assert coding.sizes == (0, len(DATA[1]), 0)


@pytest.mark.parametrize("kind", [b"IDAT", b"tEXt", b"iCCP", b"eXIf", b"PLTE", b"juNK", b"IEND"])
@pytest.mark.parametrize("length", [2**31 - 1, 2**31, 2**32 - 1, 0x7FFFFF00])
def test_chunks_that_claim_to_be_huge(kind: bytes, length: int) -> None:
    """As in libpng's collection of files that crashed it."""
    claim = struct.pack(">I", length) + kind + b"abc"
    with pytest.raises(CorruptError):
        png.read(build([HEAD]) + claim, 100)
    with pytest.raises(CorruptError):
        png.read(build([HEAD]) + claim + build([DATA, END])[8:], 100)


def test_a_changed_checksum_is_noticed() -> None:
    data = bytearray(build([HEAD, DATA, END]))
    data[-20] ^= 1
    with pytest.raises(CorruptError, match="checksum"):
        png.read(bytes(data), 100)


def test_kept_chunks_cannot_change_the_image() -> None:
    forged = png.Png(np.zeros((1, 1), np.uint8), Kind(), False, build([DATA])[8:], b"")
    with pytest.raises(CorruptError, match="would change the image"):
        png.unpack_chunks(png.pack_chunks(forged))


def test_sorted_palettes_take_few_bytes() -> None:
    """As differences, where these are smaller; damaged ones are refused."""
    ramp = np.arange(196, dtype=np.uint8)
    for palette, most in ((np.stack([ramp, ramp, 255 - ramp], 1), 60), (ramp[:60].reshape(-1, 3) * 77, 120)):
        image = png.Png(
            np.zeros((1, 1), np.uint8), Kind(8, True), False, png.chunk(b"PLTE", palette.tobytes()), b""
        )
        block = png.pack_chunks(image)
        assert len(block) < most
        assert png.unpack_chunks(block) == (image.before, b"")
    forged = zlib.compress(struct.pack("<I", 16) + png.chunk(b"PLTd", b"1234"))
    with pytest.raises(CorruptError, match="4 bytes, which are no whole colours"):
        png.unpack_chunks(forged)
    forged = zlib.compress(struct.pack("<I", 0) + png.chunk(b"PLTd", b"123"))
    with pytest.raises(CorruptError, match="would change the image"):
        png.unpack_chunks(forged)


def test_a_small_file_cannot_ask_for_much_memory() -> None:
    """200 MB of zeros in 200 kB, in an image of 4 pixels, and an image of 10**8 pixels that has none of
    them.
    """
    bomb = image_data(zlib.compress(bytes(200_000_000)))
    claim = build([(b"IHDR", struct.pack(">IIBBBBB", 10_000, 10_000, 16, 6, 0, 0, 0)), DATA, END])
    for data, error in ((bomb, png.IndivisibleError), (claim, CorruptError)):
        tracemalloc.start()
        with pytest.raises(error):
            png.read(data, 10**9)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(data) + 10**6
        tracemalloc.stop()


SMALL = [
    pngs.png_of(pngs.pixels_of(colour, depth, 5, 6), colour, depth, interlaced, pieces=40)
    for colour, depth, interlaced in KINDS[::3]
]


@pytest.mark.parametrize("data", SMALL[:3])
def test_every_truncation_and_every_flipped_bit_is_noticed(data: bytes) -> None:
    for n in range(len(data)):
        with pytest.raises(ArdmError):
            png.read(data[:n], 10**6)
    for position in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(ArdmError):
            png.read(bytes(damaged), 10**6)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SMALL), st.data())
def test_damage_with_correct_checksums_raises_only_our_errors(data: bytes, more: st.DataObject) -> None:
    chunks = pngs.split(data)
    which = more.draw(st.integers(0, len(chunks) - 1))
    body = bytearray(chunks[which][1])
    for _ in range(more.draw(st.integers(0, 3)) if body else 0):
        body[more.draw(st.integers(0, len(body) - 1))] = more.draw(st.integers(0, 255))
    chunks[which] = (chunks[which][0], bytes(body)[: more.draw(st.integers(0, len(body)))])
    if more.draw(st.booleans()):
        chunks.insert(
            more.draw(st.integers(0, len(chunks))), chunks[more.draw(st.integers(0, len(chunks) - 1))]
        )
    damaged = build(chunks)
    try:
        image = png.read(damaged, 10**6)
    except ArdmError:
        return
    assert np.array_equal(png.read(png.write(image), 10**6).pixels, image.pixels)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_raise_only_our_errors(data: bytes) -> None:
    for candidate in (data, png.SIGNATURE + data, build([HEAD, (b"IDAT", data), END])):
        with pytest.raises(ArdmError):
            png.read(candidate, 10**6)


def test_pillow_reads_what_is_written(photo: np.ndarray) -> None:
    from PIL import Image

    written = png.write(png.Png(photo, Kind(), False, b"", b""))
    with warnings.catch_warnings(), Image.open(io.BytesIO(written)) as image:
        assert np.array_equal(np.asarray(image), photo)
    assert len(written) < 1.05 * len((ROOT / "benchmarks" / "photo.png").read_bytes())
