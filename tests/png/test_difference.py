"""Any deflate stream comes back from its difference; those of known compressors cost little; what is forged
raises our errors only.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec import CorruptError, archive, container, decompress, png
from codec.listing import Way
from codec.png.exact import difference, recipes
from codec.png.exact.difference import EVERYWHERE
from codec.samples import Kind
from tests import deflated
from tests.processes import ROOT


def comes_back(data: bytes, stream: bytes, links: int = 64, dense: int = EVERYWHERE) -> bytes | None:
    words = difference.encode(data, stream, links, dense)
    assert words is None or difference.decode(words, data, len(stream), links, dense) == stream
    return words


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 5),
    st.integers(0, 200),
    st.sampled_from([0, 1, 64]),
    st.sampled_from([EVERYWHERE, 0, 4]),
)
def test_any_stream_comes_back(seed: int, blocks: int, most: int, links: int, dense: int) -> None:
    data, stream = deflated.stream(seed, blocks, most)
    assert zlib.decompress(stream, -15) == data
    assert comes_back(data, stream, links, dense) is not None


def test_the_longest_distance_comes_back() -> None:
    data = bytearray(np.random.default_rng(0).bytes(32768))
    blocks = deflated.Bits()
    for at in (0, 16384):
        size = 16384
        blocks.put(0, 3)
        blocks.put(0, -len(blocks.bits) % 8)
        blocks.put(size, 16)
        blocks.put(~size & 65535, 16)
        for byte in data[at : at + size]:
            blocks.put(byte, 8)
    blocks.put(3, 3)
    deflated.put_tokens(
        blocks, [(258, 32768)], [8] * 144 + [9] * 112 + [7] * 24 + [8] * 8, [5] * 30, random.Random(0)
    )
    blocks.put(0, -len(blocks.bits) % 8)
    stream = blocks.tobytes()
    whole = bytes(data) + bytes(data[:258])
    assert zlib.decompress(stream, -15) == whole
    for links, dense in ((64, EVERYWHERE), (0, EVERYWHERE), (64, 0)):
        words = comes_back(whole, stream, links, dense)
        assert words is not None
        assert len(words) < 100


def lines(photo: np.ndarray) -> tuple[png.Png, bytes]:
    image = png.Png(np.ascontiguousarray(photo[100:180, 100:228]), Kind(), False, b"", b"")
    return image, png.scanlines(image, png.usual_filters(image))


# What each takes, of the size of its stream, and a bit more.
SHARES = {
    "libdeflate 1": 0.06,
    "libdeflate 6": 0.06,
    "libdeflate 12": 0.08,
    "zlib-ng 1": 0.01,
    "zlib-ng 6": 0.05,
    "zopfli": 0.08,
}


@pytest.mark.parametrize("name", SHARES)
def test_what_other_compressors_make_takes_little(photo: np.ndarray, name: str) -> None:
    raw = lines(photo)[1]
    level = int(name.split()[-1]) if name[-1].isdigit() else 0
    if name.startswith("libdeflate"):
        stream = imagecodecs.deflate_encode(raw, level=level, raw=True)
    else:
        stream = (
            imagecodecs.zlibng_encode(raw, level=level)[2:-4]
            if level
            else imagecodecs.zopfli_encode(raw)[2:-4]
        )
    words = comes_back(raw, stream, 4096, 0 if name == "zlib-ng 1" else EVERYWHERE)
    assert words is not None
    assert len(words) < SHARES[name] * len(stream)


def test_a_png_of_another_compressor_is_made_again(photo: np.ndarray) -> None:
    image, raw = lines(photo)
    stream = (
        b"\x78\xda"
        + imagecodecs.deflate_encode(raw, level=9, raw=True)
        + zlib.adler32(raw).to_bytes(4, "big")
    )
    source = png.assemble(image, [stream[:1000], stream[1000:]])
    packed = archive.pack(source, exactly=True, order="raster", verify=True)
    assert packed.way == Way.DIFFERENCE
    assert "bytes apart from the expected" in packed.why
    assert len(packed.data) < 1.1 * len(archive.pack(source, exactly=False, order="raster").data)
    assert archive.unpack(packed.data) == source


def test_data_that_are_slow_to_search_are_not_searched_for_long() -> None:
    """Literals where every place has thousands of long matches that end before the last byte compared."""
    part = np.zeros(80, np.uint8)
    part[40] = 1
    data = np.tile(part, 3000)
    data[40::80] = np.random.default_rng(0).integers(1, 255, 3000)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)
    stream = squeeze.compress(data.tobytes()) + squeeze.flush()
    words = comes_back(data.tobytes(), stream, 4096)
    assert words is not None
    assert len(words) < 0.05 * len(stream)


# ---- what is not sound

DATA, STREAM = deflated.stream(5, 4, 300)
WORDS = comes_back(DATA, STREAM)


def test_what_is_no_stream_of_the_data_has_no_difference() -> None:
    assert WORDS
    for data, stream in (
        (DATA, STREAM[:-1]),
        (DATA, STREAM + b"\0"),
        (DATA[:-1], STREAM),
        (DATA + b"\0", STREAM),
        (DATA, b""),
        (b"", STREAM),
        (b"", b""),
    ):
        assert difference.encode(data, stream, 64, EVERYWHERE) is None
    assert difference.encode(bytes(100), np.random.default_rng(0).bytes(100), 64, EVERYWHERE) is None


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=90),
    st.integers(0, 10**6),
    st.integers(0, 255),
    st.integers(0, 3000),
    st.sampled_from([EVERYWHERE, 0, 4]),
)
def test_forged_words_raise_only_our_error(tail: bytes, at: int, value: int, size: int, dense: int) -> None:
    assert WORDS is not None
    damaged = bytearray(WORDS)
    damaged[at % len(WORDS)] = value
    for words in (tail, tail[: len(tail) // 4 * 4], WORDS[: at % len(WORDS) // 4 * 4], bytes(damaged)):
        for stream_size in (size, len(STREAM)):
            try:
                difference.decode(words, DATA, stream_size, 64, dense)
            except CorruptError:
                continue


def test_symbols_without_a_code_are_refused(tmp_path: Path) -> None:
    """Interpreted, where an index outside an array is an error: compiled code would read or write there, and
    go on.
    """
    data = (ROOT / "tests" / "fuzz" / "findings" / "decoder" / "length-without-a-code.ardm").read_bytes()
    header = container.read(data)[0]
    image = archive._image(header, decompress(data))
    recipe = archive._recipe(header, image)
    assert recipe is not None
    assert isinstance(recipe.settings, recipes.Difference)
    (tmp_path / "raw").write_bytes(png.scanlines(image, recipe.filters))
    (tmp_path / "words").write_bytes(recipe.settings.words)
    numbers = (
        sum(recipe.sizes) - recipes.START - recipes.CHECK,
        1 << recipe.settings.links,
        recipe.settings.dense,
    )
    script = f"""
from codec.png.exact.difference import decode
from codec.errors import CorruptError
try:
    decode(open("words", "rb").read(), open("raw", "rb").read(), *{numbers})
except CorruptError:
    print("refused")
"""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "refused\n", done.stderr
