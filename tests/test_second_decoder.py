"""The golden files by a decoder that was written from FORMAT.md alone (`tests.second_decoder`)."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import second_decoder
from tests.second_decoder import Reader, Refused, decode, decode_image, find_network, parse, read_chunk

GOLDEN = Path(__file__).parent / "golden"
WEIGHTS = Path(__file__).parent.parent / "ardm" / "data"

# Methods; order and way of method 2; kind and bits of samples; number of tiles.
STAND_FOR = {
    "noise": "0, RGB of 8 bits, 1 tile",
    "flat": "1, RGB of 8 bits, 1 tile",
    "graphics": "3, RGB of 8 bits, 1 tile",
    "whole-file": "4, grey of 1 bits, 1 tile",
    "jpeg-file": "10, RGB of 8 bits, 1 tile",
    "jpeg-file-progressive": "10, RGB of 8 bits, 1 tile",
    "jpeg-file-cmyk": "10, RGBA of 8 bits, 1 tile",
    "jpeg-file-bands": "10, RGB of 8 bits, 1 tile",
    "jpeg-file-within": "10, RGB of 8 bits, 1 tile",
    "jpeg-rgb": "9, RGB of 8 bits, 1 tile",
    "jpeg-rgba-lattice": "9 3, RGBA of 8 bits, 1 tile",
    "jpeg-grey": "9, grey of 8 bits, 1 tile",
    "png-exact-small": "3, grey of 1 bits, 1 tile",
    "samples-grey-2": "3, grey of 2 bits, 1 tile",
    "png-content-interlaced-palette": "3, palette of 4 bits, 1 tile",
    "raster-graphics": "3, RGB of 8 bits, 1 tile",
    "source-tiff": "2 raster mixing, grey of 8 bits, 1 tile",
    "photo-grey-alpha": "2 raster mixing, grey + alpha of 8 bits, 1 tile",
    "photo-rgba": "2 raster mixing, RGBA of 8 bits, 1 tile",
    "best": "2 raster mixing, RGB of 8 bits, 1 tile",
    "lattice-grey": "2 lattice mixing, grey of 8 bits, 1 tile",
    "lattice-tiles": "2 lattice mixing, RGB of 8 bits, 9 tiles",
    "plain-grey": "2 raster plain, grey of 8 bits, 1 tile",
    "plain-tiles": "2 raster plain, RGB of 8 bits, 9 tiles",
    "plain-lattice": "2 lattice plain, RGB of 8 bits, 1 tile",
    "random-grey": "2 random plain, grey of 8 bits, 1 tile",
    "random-order": "2 random plain, RGB of 8 bits, 1 tile",
    "palette-rgb": "7, RGB of 8 bits, 1 tile",
    "palette-rgba-tiles": "2 3 7 6 lattice mixing, RGBA of 8 bits, 9 tiles",
    "palette-grey-alpha": "7 6, grey + alpha of 8 bits, 1 tile",
    "palette-grey": "7, grey of 8 bits, 1 tile",
    "palette-noise": "7 6, RGBA of 8 bits, 1 tile",
    "palette-flat": "7, RGB of 8 bits, 1 tile",
    "samples-grey-16": "2 1 raster plain, grey of 16 bits, 1 tile",
    "samples-folded-16": "2 3 lattice mixing, RGB of 16 bits folded, 1 tile",
    "fine-grey-listed": "5 6, grey of 16 bits, 1 tile",
    "fine-rgb-10": "5 6, RGB of 16 bits, 1 tile",
    "fine-rgba-14-replicated": "5 6, RGBA of 16 bits, 4 tiles",
}
ABOUT_METADATA = ("png-chunks", "png-form", "recipe")  # which this decoder does not look at


def described(data):
    head, planes = parse(data)
    methods = list(dict.fromkeys(plane.method for plane in planes))
    coding = " ".join(map(str, methods))
    if 2 in methods:
        coding += (" raster", " lattice", " random")[head.order] + (" plain" if head.plain else " mixing")
    kind = "palette" if head.indexed else ("grey", "grey + alpha", "RGB", "RGBA")[head.channels - 1]
    tiles = 1 if head.whole else len({str(plane.area[:2]) for plane in planes})
    folded, plural = " folded" if head.folded else "", "s" if tiles > 1 else ""
    return f"{coding}, {kind} of {head.depth} bits{folded}, {tiles} tile{plural}"


def expected(name, depth):
    data = (GOLDEN / f"{name}.png").read_bytes()
    if depth == 16:  # of which Pillow reads no colours
        return pytest.importorskip("imagecodecs").png_decode(data)
    image = Image.open(io.BytesIO(data))
    if image.mode == "1":
        image = image.convert("L")
    pixels = np.asarray(image)
    return pixels // (255 // (2**depth - 1)) if image.mode == "L" else pixels  # Pillow widens grey to 8 bits


def forged(data, number, change):
    """The file with another byte in the middle of a plane's payload, and right checksums"""
    _, planes = parse(data)
    payloads = [bytearray(plane.payload) for plane in planes]
    payloads[number][len(payloads[number]) // 2] ^= change
    r, kind, start = Reader(data), None, 0
    r.take(8)
    while kind != 2:
        start = r.at
        kind, _ = read_chunk(r)
    old, new = (
        zlib.crc32(payload).to_bytes(4, "little") for payload in (planes[number].payload, payloads[number])
    )
    assert data[start : r.at].count(old) == 1
    index = data[start : r.at - 4].replace(old, new)
    return data[:start] + index + zlib.crc32(index).to_bytes(4, "little") + b"".join(payloads)


def test_tables():
    integers = {"SIG": 0x7B8F868D, "REC": 0xB3FED48E, "EAGER": 0xBEA9BA3B}
    integers |= {"QUICK": 0xA36467FE, "CAREFUL": 0x1169D4D9}
    numbers = {"LOG": 0xB1257297, "SQ": 0x3F6D840D, "INV": 0xF2408387, "LN_COUNT": 0xC877C586}
    for name, crc in {**integers, **numbers}.items():
        table = np.array(getattr(second_decoder, name), "<i4" if name in integers else "<f8")
        assert zlib.crc32(table.tobytes()) == crc, name


@pytest.mark.parametrize("name", STAND_FOR)
def test_golden_file(name):
    data = (GOLDEN / f"{name}.ardm").read_bytes()
    assert described(data) == STAND_FOR[name]
    found = decode(data, WEIGHTS)
    if isinstance(found, bytes):
        assert found == (GOLDEN / f"{name}.{'jpg' if name.startswith('jpeg-file') else 'png'}").read_bytes()
    else:
        pixels = expected(name, parse(data)[0].depth)
        assert found.dtype == pixels.dtype
        np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize(
    "name", ["noise", "flat", "graphics", "source-tiff", "fine-rgb-10", "palette-rgb", "whole-file"]
)
def test_flipped_byte(name):
    data = bytearray((GOLDEN / f"{name}.ardm").read_bytes())
    data[-len(parse(bytes(data))[1][-1].payload) // 2 - 1] ^= 0x10
    parse(bytes(data))  # its chunks are right
    with pytest.raises(Refused, match="C"):
        decode(bytes(data), WEIGHTS)


@pytest.mark.parametrize(
    "name",
    [
        "noise",
        "flat",
        "graphics",
        "source-tiff",
        "plain-grey",
        "fine-rgb-10",
        "palette-rgb",
        "png-content-interlaced-palette",
    ],
)
def test_flipped_byte_with_right_checksums(name):
    data = (GOLDEN / f"{name}.ardm").read_bytes()
    other = forged(data, 0, 0x10)
    with pytest.raises(Refused, match="C"):
        decode(other, WEIGHTS)
    head, planes = parse(other)
    net = find_network(WEIGHTS, head.weights) if planes[0].method == 2 else None
    try:
        pixels = decode_image(head, planes, net)
    except Refused:
        return
    assert (pixels != expected(name, head.depth)).any()


@pytest.mark.parametrize(
    "path",
    sorted(GOLDEN.glob("bad-*.ardm")) + sorted(GOLDEN.glob("unsupported-*.ardm")),
    ids=lambda path: path.stem,
)
def test_refused(path):
    if any(word in path.stem for word in ABOUT_METADATA):
        decode(path.read_bytes(), WEIGHTS)
        return
    with pytest.raises(Refused, match="[NTC]" if path.stem.startswith("bad") else "[UL]"):
        decode(path.read_bytes(), WEIGHTS)
