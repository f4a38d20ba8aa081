"""Whether an .ardm file is of just that file, which is asked without decoding."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codec import ArdmError, archive, png, text
from codec.limits import NO_LIMITS
from codec.listing import Way, way_of
from codec.opened import open_bytes
from tests import pngs

GOLDEN = Path(__file__).parent / "golden"
# each way in which a file comes back, and each kind of samples
NAMES = (
    "jpeg-file",
    "photo-grey-alpha",
    "png-content-interlaced-palette",
    "png-difference",
    "png-exact-interlaced-palette",
    "png-exact-small",
    "samples-folded-16",
    "samples-grey-16",
    "source-ppm-16",
    "source-qoi",
    "source-tiff",
    "whole-file",
)
# what is kept as content is of any file with that content
SAME = [("png-content-interlaced-palette", "png-exact-interlaced-palette")]


@pytest.fixture(scope="module")
def pairs() -> dict[str, tuple[bytes, bytes]]:
    """name -> (.ardm file, what it restores)."""
    packed = {name: (GOLDEN / f"{name}.ardm").read_bytes() for name in NAMES}
    return {name: (data, archive.unpack(data)) for name, data in packed.items()}


def test_every_way(pairs: dict[str, tuple[bytes, bytes]]) -> None:
    assert {way_of(open_bytes(data, NO_LIMITS).header) for data, _ in pairs.values()} == set(Way)
    for name, (data, file) in pairs.items():
        assert archive.holds(data, file), name
        assert archive.holds(data, file, exactly=True) == (way(data) != b"content"), name
        for other, (_, wrong) in pairs.items():
            same = name == other or (name, other) in SAME
            assert held(data, wrong) == same, (name, other)


def way(data: bytes) -> bytes:
    return way_of(open_bytes(data, NO_LIMITS).header).value.encode()


def held(data: bytes, file: bytes) -> bool:
    """False, too, of what is damaged, as the commands have it."""
    try:
        return archive.holds(data, file)
    except ArdmError:
        return False


@pytest.mark.parametrize("name", ["png-exact-small", "source-qoi", "photo-grey-alpha", "whole-file"])
def test_no_damage_is_held(name: str, pairs: dict[str, tuple[bytes, bytes]]) -> None:
    data, file = pairs[name]
    for at in range(0, len(data), 1 + len(data) // 60):
        assert not held(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], file), at
        assert not held(data[:at], file)
    assert not held(data + b"\0", file)
    for at in range(8, len(file), 1 + len(file) // 60):
        assert not held(data, file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :]), at


def test_the_same_content_otherwise_compressed(photo: np.ndarray) -> None:
    one, other = (Image.fromarray(photo[:16, :24]) for _ in range(2))
    files = []
    for image, level in ((one, 1), (other, 9)):
        out = io.BytesIO()
        image.save(out, "png", compress_level=level)
        files.append(out.getvalue())
    assert files[0] != files[1]
    content = archive.pack(files[0], exactly=False, plain=True).data
    assert archive.holds(content, files[1])
    assert not archive.holds(content, files[1], exactly=True)
    exact = archive.pack(files[0], exactly=True, plain=True)
    assert exact.way == Way.EXACT
    assert archive.holds(exact.data, files[0], exactly=True)
    assert not archive.holds(exact.data, files[1])


def test_what_pack_would_keep_is_asked_for(photo: np.ndarray) -> None:
    """A file whose pixels alone were kept is not what the usual way of compressing it gives."""
    out = io.BytesIO()
    Image.fromarray(photo[:16, :24]).save(out, "jpeg")
    pixels = archive.pack(out.getvalue(), exactly=False, pixels=True, plain=True).data
    assert archive.holds(pixels, out.getvalue(), pixels=True)
    assert not archive.holds(pixels, out.getvalue(), pixels=False)
    restored = archive.unpack(pixels)
    assert archive.holds(pixels, restored)
    image = png.read(restored, 10**6)
    chunks = pngs.split(restored)
    more = pngs.build([*chunks[:1], (b"tEXt", b"Comment\0more"), *chunks[1:]])
    assert png.read(more, 10**6).pixels.tolist() == image.pixels.tolist()
    assert not archive.holds(pixels, more)


def test_text() -> None:
    packed = text.pack(b"words and words")
    assert text.holds(packed, b"words and words")
    assert not text.holds(packed, b"words and worms")
    assert not text.holds(packed, b"")
    for damaged in (packed[:-1], packed + b"x", packed[:-1] + b"\0"):
        with pytest.raises(ArdmError):
            text.holds(damaged, b"words and words")
