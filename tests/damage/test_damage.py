"""Damage: every truncation and every flipped bit of a small file of every method and kind, and random damage
of larger ones. Never wrong pixels.

Every byte of a file is under the signature, a chunk's CRC-32, a payload's CRC-32, or says where one of these
ends; a flipped bit changes a CRC-32 for certain, so that these sweeps need no decoding, and are done twice:
for `archive.unpack`, and for `recover`, which decodes what is left.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys

import numpy as np
import pytest

from codec import (
    ArdmError,
    CorruptError,
    NotArdmError,
    TruncatedError,
    archive,
    compress,
    container,
    decompress,
    listing,
    png,
    recover,
    text,
)
from codec.coder.schedule import Order
from codec.methods import Method
from tests import samples

NAMES = ["bytes-16", *samples.arrays(), *samples.png_files(), *samples.source_files(), *samples.jpeg_files()]


def restore(data: bytes) -> object:
    """The PNG, or the array where there is none: without its palette, indices are no PNG."""
    header = container.read(data)[0]
    if header.kind.indexed and not header.metadata:
        return decompress(data).tobytes()
    return archive.unpack(data)


def test_every_method_and_kind_is_there() -> None:
    headers = {name: container.read(data)[0] for name, data in samples.files().items()}
    assert set(headers) == set(NAMES)
    assert {e.method for h in headers.values() for e in h.entries} == set(Method)
    assert {h.schedule.order for h in headers.values()} == set(Order)
    assert {(h.schedule.order, h.schedule.plain) for h in headers.values()} >= {
        (Order.RASTER, True),
        (Order.LATTICE, True),
    }
    assert any(h.kind.indexed for h in headers.values())
    assert any(h.folded for h in headers.values())
    assert any(h.schedule.seed is not None for h in headers.values())
    assert {listing.way_of(h) for h in headers.values()} >= set(listing.Way)
    assert max(h.tile_count for h in headers.values()) > 1


@pytest.mark.parametrize("name", NAMES)
def test_every_truncation_is_noticed(name: str) -> None:
    data = samples.files()[name]
    for length in range(len(data)):
        with pytest.raises(TruncatedError if length else NotArdmError):
            archive.unpack(data[:length])


@pytest.mark.parametrize("name", NAMES)
def test_every_flipped_bit_is_noticed(name: str) -> None:
    """As damage, wherever it is: exit code 4. Only the signature can become that of another file, a code of
    its own.
    """
    data = bytearray(samples.files()[name])
    for position in range(8 * len(data)):
        data[position // 8] ^= 1 << position % 8
        with pytest.raises(CorruptError) as caught:
            archive.unpack(bytes(data))
        assert isinstance(caught.value, NotArdmError) == (position < 8 * len(container.MAGIC))
        data[position // 8] ^= 1 << position % 8


@pytest.mark.parametrize("name", NAMES)
def test_foreign_bytes_at_the_end_are_noticed(name: str) -> None:
    for more in (b"\0", b"\n", samples.files()[name]):
        with pytest.raises(CorruptError, match="foreign bytes"):
            archive.unpack(samples.files()[name] + more)


@pytest.mark.parametrize("source", [bytes(range(256)), b"a", b"\0" * 3000])
def test_every_truncation_and_flipped_bit_of_a_file_of_bytes_is_noticed(source: bytes) -> None:
    data = bytearray(text.pack(source))
    assert text.unpack(bytes(data)) == source
    for length in range(len(data)):
        with pytest.raises(TruncatedError if length > len(container.MAGIC) else CorruptError):
            text.unpack(bytes(data[:length]))
    for position in range(8 * len(data)):
        data[position // 8] ^= 1 << position % 8
        with pytest.raises(ArdmError):
            text.unpack(bytes(data))
        data[position // 8] ^= 1 << position % 8
    with pytest.raises(CorruptError):
        text.unpack(bytes(data) + b"\n")


def test_damaged_metadata_never_passes_for_ignorable() -> None:
    """A type that a decoder does not know must be ignored, but only if it is sound; and one that it knows
    must not become one that it ignores.
    """
    data = samples.files()["chunks"]
    header, at = container.read(data)
    unknown = container.write(
        container.Header(**{**header.__dict__, "metadata": (*header.metadata, (0x90, b"ignorable"))}),
        [data[at:]],
    )
    assert archive.unpack(unknown) == archive.unpack(data)
    for position in range(8 * unknown.index(b"\x81"), 8 * (container.read(unknown)[1])):
        damaged = bytearray(unknown)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(CorruptError):
            archive.unpack(bytes(damaged))


def test_recover_never_vouches_for_a_wrong_pixel() -> None:
    """A bit of every byte of a file of several tiles: what is not in the mask is as it was."""
    data = samples.files()["tiles"]
    image = decompress(data)
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        try:
            pixels, mask, report = recover(bytes(damaged))
        except CorruptError:
            assert position < container.read(data)[1]
            continue
        assert mask.any()
        assert not report.sound
        assert np.array_equal(pixels[~mask], image[~mask])


# ---- random damage


def overwritten(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    length = rng.choice((1, 2, 16, 512, 4096))
    data[at : at + length] = rng.choice((b"\0", b"\xff", b"\r\n", rng.randbytes(7))) * length


def swapped(data: bytearray, rng: random.Random) -> None:
    size = rng.choice((1, 16, 512))
    a, b = (rng.randrange(-(-len(data) // size)) * size for _ in range(2))
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


def inserted(data: bytearray, rng: random.Random) -> None:
    at = rng.randint(0, len(data))
    data[at:at] = rng.choice((rng.randbytes(rng.choice((1, 4, 512))), bytes(512), data[at : at + 64]))


def deleted(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.choice((1, 4, 512))]


def flipped(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 2, 3, 30))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def as_text(data: bytearray, rng: random.Random) -> None:
    """What a transfer as text does."""
    old, new = rng.choice(((b"\r\n", b"\n"), (b"\n", b"\r\n")))
    data[:] = bytes(data).replace(old, new)


def seven_bits(data: bytearray, rng: random.Random) -> None:
    data[:] = bytes(v & 127 for v in data)


@pytest.fixture(scope="module")
def large(photo: np.ndarray) -> tuple[np.ndarray, bytes]:
    """6 x 6 tiles, 4 channels."""
    image = np.concatenate([photo[100:244, 200:344], photo[100:244, 200:344, 1:2]], 2)
    return image, compress(image, tile=24)


@pytest.mark.parametrize(
    "kind",
    [overwritten, swapped, inserted, deleted, flipped, cut, as_text, seven_bits],
    ids=lambda k: k.__name__,
)
def test_random_damage_of_a_larger_file(large: tuple[np.ndarray, bytes], kind) -> None:  # type: ignore[no-untyped-def]
    image, data = large
    assert len(data) > 20_000
    rng = random.Random(kind.__name__)
    recovered = 0
    for turn in range(150):
        damaged = bytearray(data)
        kind(damaged, rng)
        if bytes(damaged) == data:
            continue
        with pytest.raises(ArdmError):
            decompress(bytes(damaged))
        if turn % 25 == 0:
            try:
                pixels, mask, _ = recover(bytes(damaged))
            except ArdmError:
                continue
            recovered += 1
            assert mask.any() or len(damaged) > len(data)
            assert np.array_equal(pixels[~mask], image[~mask])
    assert recovered or kind in (as_text, seven_bits)


def test_random_damage_of_every_small_file() -> None:
    """Two kinds of damage, one after the other, to every method and kind."""
    rng = random.Random(1)
    ways = [overwritten, swapped, inserted, deleted, flipped]
    for name, data in samples.files().items():
        for _ in range(60):
            damaged = bytearray(data)
            for way in rng.choices(ways, k=2):
                if damaged:
                    way(damaged, rng)
            if bytes(damaged) != data:
                with pytest.raises(ArdmError):
                    archive.unpack(bytes(damaged))
        assert restore(data), name


def test_swapped_payloads_are_noticed_by_their_place() -> None:
    """Whole payloads changed places, entries and all: every checksum holds but the hash of the pixels, or of
    the PNG.
    """
    data = samples.files()["tiles"]
    header, at = container.read(data)
    payloads = []
    for entry in header.entries:
        payloads.append(data[at : at + entry.length])
        at += entry.length
    order = [1, 0, *range(2, len(payloads))]
    swapped = container.Header(**{**header.__dict__, "entries": tuple(header.entries[i] for i in order)})
    with pytest.raises(CorruptError, match="hash of the decoded pixels does not match"):
        decompress(container.write(swapped, [payloads[i] for i in order]))


def test_metadata_of_another_file_is_noticed_by_a_recipe() -> None:
    """Chunks exchanged with right checksums: the recipe's hash of the file tells."""
    data = samples.files()["exact"]
    header, at = container.read(data)
    image = png.read(archive.unpack(data), samples.LIMIT)
    other = png.pack_chunks(png.Png(image.pixels, image.kind, False, image.before, b""))
    forged = container.Header(
        **{**header.__dict__, "metadata": ((container.PNG_CHUNKS, other), header.metadata[1])}
    )
    with pytest.raises(CorruptError, match="hash of the PNG file made again does not match"):
        archive.unpack(container.write(forged, [data[at:]]))


def test_a_damaged_file_takes_little_memory() -> None:
    """`benchmarks.damage` in small, in a process of its own: cuts, flips, forgeries within the fuzzer's
    limits, and bombs, each restored and rescued.
    """
    script = "import json; from benchmarks.damage import measure; print(json.dumps(measure(160, 1)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert found["MiB"]["most"] < 300
    assert {"CorruptError", "TruncatedError", "UnsupportedError", "LimitError", "done"} <= set(
        found["results"]
    )
    assert sum(found["results"].values()) == 2 * 163
