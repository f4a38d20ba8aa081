"""What a file may cost: judged from its header and index, before anything is allocated; and how short a
payload can be.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ardm.exact.predictor import Predictor
from ardm.exact.window import PHOTO_ID
from codec import (
    ArdmError,
    CorruptError,
    LimitError,
    Limits,
    archive,
    compress,
    container,
    cost,
    decompress,
    png,
)
from codec.coder import arithmetic, network, plain, stored
from codec.coder.schedule import Order, Schedule
from codec.container import NO_WEIGHTS, Entry, Header
from codec.limits import NO_LIMITS, parse_size
from codec.methods import Method
from codec.samples import Kind
from codec.tiles import load_predictor
from tests import pngs, samples
from tests.planes import encode_graphics, encode_network, plan
from tests.processes import COMPRESS, DECOMPRESS, run

GOLDEN = samples.golden()


LATTICE = Schedule(Order.LATTICE, (5,) * 4)
WAYS = [
    Schedule(strip=4, slope=7),
    Schedule(plain=True, slope=7),
    LATTICE,
    replace(LATTICE, plain=True),
    Schedule(Order.RANDOM, (5,), 1, plain=True),
]


def claim(
    height: int,
    width: int,
    method: int,
    length: int,
    tile: int = 2048,
    channels: int = 3,
    schedule: Schedule = LATTICE,
) -> bytes:
    """A file that claims an image: every plane with the same payload of `length` bytes."""
    payload = bytes([1] * (length > 0)) + bytes(max(0, length - 1))
    count = -(-height // tile) * -(-width // tile)
    entries = (Entry(method, length, zlib.crc32(payload)),) * count
    digest = bytes(container.DIGEST_BYTES)
    return container.write(
        Header(width, height, channels, (tile, tile), PHOTO_ID, schedule, True, digest, entries),
        [payload] * count,
    )


@pytest.mark.parametrize("height", [10**6, 2**32 - 1])
@pytest.mark.parametrize(
    ("method", "schedule"),
    [
        (0, LATTICE),
        (1, LATTICE),
        (Method.GRAPHICS, LATTICE),
        (Method.PALETTE, LATTICE),
        (Method.JPEG, LATTICE),
        *((method, way) for method in (Method.NETWORK, Method.CONVERTED) for way in WAYS),
    ],
)
def test_a_few_bytes_cannot_claim_much(height: int, method: int, schedule: Schedule) -> None:
    """With any limits: an image far beyond them, and one within them whose tiles have no data to speak of."""
    huge = container.write(
        Header(height, height, 3, (2048, 2048), PHOTO_ID, schedule, True, bytes(12), (Entry(method, 3, 0),)),
        [b"abc"],
    )
    assert len(huge) < 200
    within = [
        claim(13312, 13312, method, length, channels=channels, schedule=schedule)
        for length in (0, 1, 30)
        for channels in (1, 3)[method == Method.CONVERTED :]  # which only planes of three channels may have
    ]
    assert max(map(len, within)) < 4000
    tracemalloc.start()
    with pytest.raises(
        LimitError,
        match=r"the image has \d+ x \d+ pixels, the limit is 178000000; raise it with --max-pixels",
    ):
        decompress(huge)
    for limits in (NO_LIMITS, Limits(max_pixels=2**64)):
        with pytest.raises(CorruptError, match="too few for"):
            decompress(huge, limits=limits)
    for data in within:
        with pytest.raises(CorruptError, match="pixels need at least"):
            decompress(data)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_the_bound_follows_from_the_coders() -> None:
    """8 decisions of a probability of at most 1 - 168 / 2**24; a photo of 178 megapixels in raster order has
    at least 7 kB.
    """
    assert pytest.approx(168 / 2**24 / np.log(2), rel=1e-4) == arithmetic.BITS_OF_DECISION
    assert pytest.approx(7e-5, rel=0.01) == network.BITS_OF_PLAIN
    tiles = 178_000_000 / 2048**2
    for method, schedule in (
        (Method.GRAPHICS, WAYS[0]),
        (Method.NETWORK, WAYS[0]),
        (Method.NETWORK, LATTICE),
    ):
        assert 7000 < tiles * cost.least_bytes(method, 2048, 2048, 3, schedule) < 8000
    for schedule in WAYS:
        if schedule.plain:
            assert 4000 < tiles * cost.least_bytes(Method.NETWORK, 2048, 2048, 3, schedule) < 7000


@pytest.mark.parametrize("value", [0, 127, 255])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_emptiest_images_keep_the_bound(value: int, channels: int) -> None:
    """One colour all over is what the coders are surest of. They come close to the bound, and never below."""
    plane = np.full((256, 256, channels), value, np.uint8)
    least = cost.least_bytes(Method.GRAPHICS, 256, 256, channels, Schedule())
    assert least <= len(encode_graphics(plane)) < least + 1000
    predictor = load_predictor()
    for schedule in (
        plan(predictor.weights, 256, 256, None),
        plan(predictor.weights, 256, 256, None, plain=True),
        plan(predictor.weights, 256, 256, 8, "lattice"),
        plan(predictor.weights, 256, 256, 8, "lattice", plain=True),
        plan(predictor.weights, 256, 256, 8, seed=3),
    ):
        assert cost.least_bytes(Method.NETWORK, 256, 256, channels, schedule) <= len(
            encode_network(plane, predictor, schedule)
        )
        noisy = plane.copy()
        noisy[::9, ::7] ^= 1  # else it would be stored
    for way in ({}, {"plain": True}, {"order": "lattice"}, {"order": "lattice", "plain": True}, {"seed": 3}):
        data = compress(noisy, **way)  # type: ignore[arg-type]
        assert np.array_equal(decompress(data), noisy)
    for side in (1, 2, 50, 2048):
        method, payload = stored.encode(np.full((side, side, channels), value, np.uint8))
        assert cost.least_bytes(method, side, side, channels, Schedule()) <= len(payload)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_no_golden_file_is_below_the_bound(path: Path) -> None:
    header, _ = container.read(path.read_bytes())
    cost.check_payloads(header)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_surest_network_keeps_the_bound(predictor: Predictor, channels: int) -> None:
    """One that is surest of all comes close to the bound of the plain coder, and never below."""
    count = 20_000
    params = np.zeros((count, predictor.weights.config.outputs), np.int32)
    k = predictor.weights.config.mixture
    params[:, 4 * k : 7 * k] = -(2**20)  # scales: as narrow as can be
    base = np.full((count, 3), 100, np.int16)
    for value in (0, 100, 255):
        base[:] = value
        coder = plain.Encoder()
        plain.code_call(
            coder, params, base, plain.tables_of(predictor.weights), channels, base.astype(np.uint8)
        )
        bits = count * channels * network.BITS_OF_PLAIN
        assert bits <= 8 * len(coder.finish()) < 2 * bits + 200


def test_each_limit_has_its_sentence(photo: np.ndarray) -> None:
    image = photo[200:240, 300:350]
    data = compress(image, order="lattice", budget=8, tile=20)
    calls = cost.of(container.read(data)[0], len(data), 1).calls
    assert calls == 48  # 8 for each of 6 tiles
    for limits, says in (
        (
            Limits(max_pixels=1999),
            r"50 x 40 pixels, the limit is 1999; raise it with --max-pixels \(max_pixels=\)",
        ),
        (
            Limits(max_calls=47),
            r"48 network calls, the limit is 47; raise it with --max-calls \(max_calls=\)",
        ),
        (
            Limits(max_memory=2**20),
            r"about \d+ MiB of memory, the limit is 1 MiB; raise it with --memory \(max_memory=\), or use fewer threads",
        ),
        (Limits(max_tiles=5), r"6 planes of tiles, the limit is 5"),
    ):
        with pytest.raises(LimitError, match=says):
            decompress(data, limits=limits)
        with pytest.raises(LimitError):
            archive.unpack(data, limits=limits)
    with pytest.raises(LimitError, match="the limit is 1999"):
        decompress(data, max_pixels=1999)
    assert np.array_equal(decompress(data, limits=Limits(2000, 2**30, 48, 6), threads=1), image)
    flat = np.random.default_rng(0).integers(0, 256, image.shape, dtype=np.uint8)
    # stored: the network is not asked
    assert np.array_equal(decompress(compress(flat), limits=Limits(max_calls=0)), flat)
    for bad in ({"max_pixels": 0}, {"max_memory": 0}, {"max_calls": -1}):
        with pytest.raises(ValueError, match="at least"):
            Limits(**bad)
    with pytest.raises(LimitError, match="more than 1000 chunks of metadata"):
        decompress(
            container.write(
                Header(4, 4, 1, (4, 4), NO_WEIGHTS, Schedule(), True, bytes(12), (), ((0x90, b""),) * 1001),
                [],
            )
        )


def test_small_tiles_count_their_own_calls() -> None:
    """A tile has no more stages than its shape, whatever the schedule lists."""
    schedule = Schedule(Order.LATTICE, (0b11, 0, 0b1))
    assert [schedule.calls(side, side) for side in (4, 5, 16, 17, 65)] == [0, 3, 3, 4, 6]
    assert [Schedule(Order.RANDOM, (9, 4), 1, plain=True).calls(side, side) for side in (4, 5, 17)] == [
        0,
        9,
        13,
    ]
    strips = [Schedule(strip=4, slope=7).calls(height, 20) for height in (1, 4, 5, 8, 11)]
    assert strips == [20, 41, 61, 82, 41 + 41 + 34]
    assert Schedule(plain=True, slope=7).calls(10, 20) == 20 + 9 * 7


@pytest.mark.parametrize(
    ("order", "threads", "widen"), [("raster", 2, 1), ("lattice", 2, 1), ("plain", 2, 1), ("auto", 2, 19)]
)
def test_estimated_memory_is_enough(
    photo: np.ndarray, tmp_path: Path, order: str, threads: int, widen: int
) -> None:
    """The peak of a process that decodes two tiles at once, against the estimate."""
    image = np.concatenate([photo, photo[::-1]], 1)
    if widen > 1:
        image = (image * np.uint16(widen) + image[::-1] % widen).astype(np.uint16)
    data = compress(
        image, tile=768, verify=False, **({"plain": True} if order == "plain" else {"order": order})
    )
    path = tmp_path / "x.ardm"
    path.write_bytes(data)
    script = (  # not getrusage, whose peak a process inherits from the one that started it
        "import sys; from codec import decompress; decompress(open(sys.argv[1], 'rb').read(), "
        "threads=int(sys.argv[2])); "
        "print(next(int(line.split()[1]) * 1024 for line in open('/proc/self/status') if "
        "line.startswith('VmHWM')))"
    )
    peak = int(
        subprocess.run(
            [sys.executable, "-c", script, str(path), str(threads)], capture_output=True, check=True
        ).stdout
    )
    estimate = cost.of(container.read(data)[0], len(data), threads).memory
    assert 0.4 * estimate < peak < estimate


def test_sizes() -> None:
    for text, size in (
        ("512M", 2**29),
        ("2G", 2**31),
        ("1.5 GiB", 3 * 2**29),
        ("100000", 100000),
        ("7kB", 7168),
    ):
        assert parse_size(text) == size
    for text in ("", "0", "-1", "M", "1X", "1e9", "9" * 40, "٣M", "nan"):
        with pytest.raises(ValueError, match="512M or 2G"):
            parse_size(text)


def test_the_commands_have_the_limits(photo: np.ndarray, tmp_path: Path) -> None:
    source, packed = tmp_path / "a.png", tmp_path / "a.ardm"
    source.write_bytes(pngs.png_of(photo[:40, :50], 2, 8))
    for option, value, says in (
        ("--max-pixels", 10, b"limit is 10"),
        ("--memory", "10M", b"limit is 10 MiB"),
        ("--max-calls", 3, b"limit is 3;"),
    ):
        assert says in run(COMPRESS, option, value, source, code=5).stderr
    run(COMPRESS, "--order", "lattice", "--budget", 8, "--memory", "4G", "--max-calls", 8, source)
    for option, value, says in (
        ("--max-pixels", 10, b"limit is 10"),
        ("--memory", "10M", b"limit is 10 MiB"),
        ("--max-calls", 3, b"limit is 3;"),
    ):
        for test in ("-t", "-c"):
            assert says in run(DECOMPRESS, test, option, value, packed, code=5).stderr
    assert b"512M or 2G" in run(DECOMPRESS, "--memory", "lots", packed, code=2).stderr
    huge = tmp_path / "huge.ardm"
    huge.write_bytes(claim(13312, 13312, Method.NETWORK, 40))
    assert b"need at least" in run(DECOMPRESS, "-t", huge, code=4).stderr
    assert json.loads(run(DECOMPRESS, "-l", "--json", huge).stdout)["width"] == 13312


def test_a_png_cannot_claim_much_either() -> None:
    head = struct.pack(">IIBBBBB", 13000, 13000, 16, 6, 0, 0, 0)
    data = pngs.build([(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")])
    tracemalloc.start()
    with pytest.raises(ArdmError, match="image data is damaged"):
        archive.pack(data, exactly=False)
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()
    with pytest.raises(LimitError, match="MiB of memory"):
        archive.pack(data, exactly=False, limits=Limits(max_memory=2**30))
    assert cost.of_encoding(100, 100, 4, Kind(16), 10, 1024, 8, 1).calls == 32


def test_kept_chunks_count() -> None:
    """64 kB can unpack to 64 MiB of a PNG's other chunks, of which four copies are made."""
    source = samples.files()["chunks"]
    header, at = container.read(source)
    kept = png.chunk(b"raWx", bytes(png.MAX_CHUNKS - 12))
    bomb = container.write(
        replace(
            header, metadata=((container.PNG_CHUNKS, zlib.compress(struct.pack("<I", len(kept)) + kept)),)
        ),
        [source[at:]],
    )
    assert len(bomb) < 70_000
    for work in (archive.test, archive.unpack, archive.rescue):
        with pytest.raises(LimitError, match="MiB of memory"):
            work(bomb, limits=Limits(max_memory=cost.BASE + 4 * png.MAX_CHUNKS))
    archive.test(source, limits=Limits(max_memory=cost.BASE + 2**25), threads=1)
    assert [png.kept_size(block) for block in (b"", b"no zlib", zlib.compress(bytes(10**7)))] == [0, 0, 10**7]
