"""What can be had of damaged files: tiles, masks, reports, and plain refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from codec import (
    ArdmError,
    CorruptError,
    LimitError,
    Limits,
    TruncatedError,
    UnsupportedError,
    archive,
    compress,
    container,
    decompress,
    png,
    recover,
)
from codec.methods import Method
from codec.samples import Kind, plane_channels
from tests import pngs, samples
from tests.processes import DECOMPRESS, only_files, run

pytestmark = pytest.mark.quick

LIMIT = 10**6


def spans(data: bytes) -> list[tuple[int, int]]:
    """(start, end) of every payload."""
    header, at = container.read(data)
    out = []
    for entry in header.entries:
        out.append((at, at + entry.length))
        at += entry.length
    return out


def flip(data: bytes, position: int) -> bytes:
    damaged = bytearray(data)
    damaged[position] ^= 4
    return bytes(damaged)


@pytest.fixture(scope="module")
def tiled(photo: np.ndarray) -> tuple[np.ndarray, bytes]:
    """3 x 2 tiles, RGB."""
    image = photo[200:260, 300:340].copy()
    return image, compress(image, tile=20)


def test_an_undamaged_file_is_whole(tiled: tuple[np.ndarray, bytes]) -> None:
    image, data = tiled
    pixels, mask, report = recover(data)
    assert np.array_equal(pixels, image)
    assert not mask.any()
    assert report.sound
    assert str(report) == "nothing is lost"


@pytest.mark.parametrize(
    "ways",
    [{}, {"order": "lattice"}, {"plain": True}, {"order": "lattice", "plain": True}, {"seed": 3}],
    ids=str,
)
def test_every_damaged_tile_is_lost_and_no_other(photo: np.ndarray, ways: dict[str, object]) -> None:
    image = photo[200:260, 300:340]
    data = compress(image, tile=20, **ways)  # type: ignore[arg-type]
    for i, (start, end) in enumerate(spans(data)):
        pixels, mask, report = recover(flip(data, (start + end) // 2))
        expected = np.zeros((60, 40), bool)
        expected[i // 2 * 20 : i // 2 * 20 + 20, i % 2 * 20 : i % 2 * 20 + 20] = True
        assert np.array_equal(mask, expected)
        assert np.array_equal(pixels[~mask], image[~mask])
        assert (pixels[mask] == 128).all()
        assert (report.tiles, report.pixels_lost, report.hash_matches) == (6, 400, False)
        assert report.lost[0][:4] == (i // 2 * 20, i % 2 * 20, 20, 20)
        assert "checksum" in report.lost[0][4]


def test_every_truncation_gives_the_tiles_before_it(tiled: tuple[np.ndarray, bytes]) -> None:
    image, data = tiled
    places = spans(data)
    for length in range(len(data)):
        if length < places[0][1]:
            with pytest.raises(ArdmError):
                recover(data[:length])
        elif length % 7 == 0 or length in {end for _, end in places}:
            pixels, mask, report = recover(data[:length])
            whole = sum(end <= length for _, end in places)
            assert len(report.lost) == 6 - whole
            assert mask.sum() == 400 * (6 - whole)
            assert np.array_equal(pixels[~mask], image[~mask])


def test_low_bytes_are_lost_with_the_high_ones(photo: np.ndarray) -> None:
    deep = photo[200:328, 300:364, 1] * np.uint16(200) + photo[200:328, 300:364, 0]
    for data in (samples.in_bytes(deep, tile=64), compress(deep, tile=64)):
        pixels, mask, report = recover(flip(data, spans(data)[0][0]))
        assert mask[:64].all()
        assert not mask[64:].any()
        assert np.array_equal(pixels[64:], deep[64:])
        assert len(report.lost) == 1
    assert [entry.method for entry in container.read(data)[0].entries] == [
        Method.HIGH_DEPTH,
        Method.INCLUDED,
    ] * 2
    with pytest.raises(CorruptError, match="no tile is undamaged"):
        recover(flip(flip(data, spans(data)[0][0]), spans(data)[2][0]))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [Kind(8), Kind(16), Kind(2), Kind(4, indexed=True)])
def test_neutral_values_of_every_kind(photo: np.ndarray, channels: int, kind: Kind) -> None:
    if not kind.fits(channels):
        channels = 1
    rng = np.random.default_rng(0)
    image = rng.integers(0, 2**kind.depth, (20, 40, channels)).astype(kind.dtype)
    data = compress(image, kind=kind, tile=20)
    colour = plane_channels(channels, kind)[0]
    planes = container.read(data)[0].planes
    for i, (start, _) in enumerate(spans(data)):
        pixels, mask, report = recover(flip(data, start))
        part = slice(20 * (i // planes), 20 * (i // planes) + 20)
        assert mask[:, part].all()
        assert mask.sum() == 400
        in_colour = i % planes < kind.size
        assert (pixels[:, part, :colour] == (0 if kind.indexed else 2 ** (kind.depth - 1))).all() == in_colour
        assert channels == colour or (pixels[:, part, colour:] == 2**kind.depth - 1).all() != in_colour
        rest = [slice(colour, None) if in_colour else slice(0, colour)]
        assert np.array_equal(pixels[..., rest[0]], image[..., rest[0]])
        assert np.array_equal(pixels[~mask], image[~mask])
        assert len(report.lost) == 1


def test_damage_elsewhere_than_in_tiles(tiled: tuple[np.ndarray, bytes]) -> None:
    image, data = tiled
    header, first = container.read(data)
    for position in range(first):
        with pytest.raises(ArdmError):
            recover(flip(data, position))
    pixels, mask, report = recover(data + b"more")
    assert np.array_equal(pixels, image)
    assert not mask.any()
    assert str(report) == "nothing is lost; there are 4 foreign bytes at the end"
    other = container.Header(**{**header.__dict__, "digest": bytes(container.DIGEST_BYTES)})
    pixels, mask, report = recover(container.write(other, [data[first:]]))
    assert mask.all()
    assert "none can be vouched for" in str(report)
    with pytest.raises(LimitError):
        recover(data, limits=Limits(max_pixels=100))
    with pytest.raises(CorruptError, match="no tile is undamaged"):
        recover(flip(compress(image), first + 20))
    with pytest.raises(CorruptError, match="before its first tile does"):
        recover(compress(image)[:-1])


def test_damaged_metadata_is_left_out(photo: np.ndarray) -> None:
    source = pngs.build(
        [
            *pngs.split(pngs.png_of(photo[:30, :30], 2, 8))[:1],
            (b"tEXt", b"Title\0A very particular title"),
            *pngs.split(pngs.png_of(photo[:30, :30], 2, 8))[1:],
        ]
    )
    data = archive.pack(source, exactly=False).data
    damaged = flip(data, data.index(b"\x81") + 20)
    with pytest.raises(CorruptError):
        decompress(damaged)
    image, mask, report = archive.rescue(damaged)
    assert np.array_equal(png.read(image, LIMIT).pixels, photo[:30, :30])
    assert not png.read(mask, LIMIT).pixels.any()
    assert report.metadata_lost
    assert not report.sound
    assert str(report) == "damaged metadata was left out"
    indexed = archive.pack(pngs.png_of(pngs.pixels_of(3, 4, 40, 40), 3, 4), exactly=False).data
    assert not container.read(indexed)[0].whole
    with pytest.raises(UnsupportedError, match="without their palette"):
        archive.rescue(flip(indexed, indexed.index(b"\x81") + 20))


def test_a_png_kept_whole_is_all_or_nothing() -> None:
    data = archive.pack(pngs.png_of(pngs.pixels_of(2, 8, 3, 3), 2, 8) + b"tail", exactly=False).data
    assert container.read(data)[0].whole
    with pytest.raises(CorruptError, match="in one piece rather than in tiles"):
        recover(data[:-3])


def test_the_command(photo: np.ndarray, tmp_path: Path) -> None:
    image = photo[200:240, 300:340]
    data = compress(image, tile=20)
    path = tmp_path / "photo.ardm"
    path.write_bytes(data[:-5])
    run(DECOMPRESS, path, code=4)
    done = run(DECOMPRESS, "--recover", path, code=4)
    assert b"photo.ardm: 1 of 4 tiles are lost (400 pixels)" in done.stderr
    only_files(tmp_path, "photo.ardm", "photo.png", "photo.damage.png")
    restored = png.read((tmp_path / "photo.png").read_bytes(), LIMIT)
    mask = png.read((tmp_path / "photo.damage.png").read_bytes(), LIMIT)
    assert mask.kind == Kind(1)
    assert mask.pixels[20:, 20:].all()
    assert mask.pixels.sum() == 400
    assert np.array_equal(restored.pixels[:20], image[:20])
    assert b"exists already" in run(DECOMPRESS, "--recover", path, code=1).stderr
    done = run(DECOMPRESS, "--recover", "-f", "--json", path, code=4)
    said = json.loads(done.stdout)
    assert (said["pixels_lost"], said["exit_code"], said["tiles_lost"][0]["top"]) == (400, 4, 20)
    assert "missing" in said["tiles_lost"][0]["why"]
    (tmp_path / "photo.damage.png").unlink()
    path.write_bytes(data)
    assert b"nothing is lost" in run(DECOMPRESS, "--recover", "-f", path).stderr
    only_files(tmp_path, "photo.ardm", "photo.png")
    path.write_bytes(flip(data, 20))
    assert b"checksum of a chunk" in run(DECOMPRESS, "--recover", "-f", path, code=4).stderr
    for option in ("-c", "--rm", "-t"):
        assert b"--recover writes two files" in run(DECOMPRESS, "--recover", option, path, code=2).stderr
    assert b"say with -o" in run(DECOMPRESS, "--recover", "-", stdin=data[:-5], code=1).stderr


def test_truncation_within_the_index_is_refused(tiled: tuple[np.ndarray, bytes]) -> None:
    _, first = container.read(tiled[1])
    with pytest.raises(TruncatedError):
        recover(tiled[1][: first - 1])
