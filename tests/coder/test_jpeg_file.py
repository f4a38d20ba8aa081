"""JPEG files by their coefficients: smaller, and the very bytes come back, whatever is beside the pixels."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ardm.exact import weights_file
from ardm.released import WeightsError
from codec import ArdmError, CorruptError, UnsupportedError, archive, decompress, info
from codec.coder.counters import AGES
from codec.coder.jpeg import bands, file, inner, start
from codec.commands import cli
from codec.container import read_varint, varint
from codec.listing import Way
from codec.parallel import limited

SCRIPTS = Path(__file__).parent.parent / "data" / "jpeg"  # by jpegtran; its README says how
KINDS: dict[str, dict[str, Any]] = {
    "usual": {"quality": 80},
    "whole colours": {"quality": 95, "subsampling": 0},
    "colours of two": {"quality": 60, "subsampling": 1},
    "codes of its own": {"quality": 75, "optimize": True},
    "restarts": {"quality": 75, "restart_marker_blocks": 5},
    "restarts, row by row": {"quality": 75, "restart_marker_rows": 1},
    "best": {"quality": 100},
    "progressive": {"quality": 85, "progressive": True},
    "progressive, whole colours": {"quality": 92, "subsampling": 0, "progressive": True},
    "progressive, restarts": {"quality": 40, "progressive": True, "restart_marker_blocks": 5},
    "progressive, runs of many blocks": {"quality": 1, "progressive": True},
}


def jpeg_of(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def part(photo: np.ndarray) -> np.ndarray:
    return photo[100:230, 200:341]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("grey", [False, True])
def test_the_very_bytes_come_back(part: np.ndarray, name: str, grey: bool) -> None:
    source = jpeg_of(part[..., 1] if grey else part, **KINDS[name])
    packed = archive.pack(source, exactly=False)
    assert packed.way == Way.RECODED
    assert len(packed.data) < 0.9 * len(source)
    assert archive.unpack(packed.data) == source
    assert archive.holds(packed.data, source)
    archive.test(packed.data)
    assert info(packed.data)["jpeg_file"]


@pytest.mark.parametrize("options", [{"quality": 80}, {"quality": 60, "progressive": True}])
def test_four_inks_come_back(part: np.ndarray, options: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(part).convert("CMYK").save(buffer, "JPEG", **options)
    packed = archive.pack(buffer.getvalue(), exactly=False)
    assert packed.way == Way.RECODED
    assert len(packed.data) < 0.9 * len(buffer.getvalue())
    assert archive.unpack(packed.data) == buffer.getvalue()


def test_a_start_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, part: np.ndarray) -> None:
    monkeypatch.setattr(start, "ID", "01020304")
    start.load.cache_clear()
    with pytest.raises(UnsupportedError, match="weights 01020304 are not part of this release"):
        file.pack(jpeg_of(part), *part.shape)


def in_bands(monkeypatch: pytest.MonkeyPatch, pixels: np.ndarray, **options: Any) -> tuple[bytes, bytes]:
    """(a JPEG, its payload) of several bands, as only large pictures have."""
    monkeypatch.setattr(bands, "LEAST_BLOCKS", 64)
    source = jpeg_of(pixels, **options)
    payload = file.pack(source, *pixels.shape[:2], 3)
    assert payload is not None
    assert payload[0] & file.BANDS
    return source, payload


@pytest.mark.parametrize("options", [KINDS["usual"], KINDS["whole colours"], KINDS["progressive"]])
def test_bands_come_back(monkeypatch: pytest.MonkeyPatch, part: np.ndarray, options: dict[str, Any]) -> None:
    source, payload = in_bands(monkeypatch, part, **options)
    monkeypatch.undo()
    assert file.restore(payload, *part.shape) == source


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch, part: np.ndarray) -> None:
    source, payload = in_bands(monkeypatch, part)
    with limited(1):
        assert in_bands(monkeypatch, part)[1] == payload
        assert file.restore(payload, *part.shape) == source
    with limited(3):
        assert in_bands(monkeypatch, part)[1] == payload
        assert file.restore(payload, *part.shape) == source


def test_bands_that_cannot_be_are_refused(monkeypatch: pytest.MonkeyPatch, part: np.ndarray) -> None:
    _, payload = in_bands(monkeypatch, part)
    at = 1
    for _ in range(3):
        _, at = read_varint(payload, at)
    count, end = read_varint(payload, at)
    assert count == 5  # of nine rows of units
    rest = end
    for _ in range(count - 1):
        _, rest = read_varint(payload, rest)
    for wrong in (0, 1, 4, 8, 65):  # four bands would have three rows each, and one none
        lengths = varint(1) * max(0, wrong - 1)
        with pytest.raises(CorruptError, match="do not fit its segments"):
            file.restore(payload[:at] + varint(wrong) + lengths + payload[rest:], *part.shape)


def test_training_helps(monkeypatch: pytest.MonkeyPatch, part: np.ndarray) -> None:
    """Small pictures gain most from what decisions start from."""
    source = jpeg_of(part, quality=80)
    trained = len(file.pack(source, *part.shape) or b"")
    monkeypatch.setattr(start, "load", start.nothing)
    assert trained < 0.95 * len(file.pack(source, *part.shape) or b"")


def test_a_start_is_learned_and_stored(monkeypatch: pytest.MonkeyPatch, part: np.ndarray) -> None:
    source, taught = jpeg_of(part, quality=80), start.nothing()
    assert file.learn(source, taught)
    assert not file.learn(source[:40], taught)
    again = start.parse(start.serialize(taught, {}))
    assert np.count_nonzero(again.counters) == np.count_nonzero(taught.counters % AGES > 1) > 1000
    assert np.abs(again.weights - taught.weights).max() <= 0.5 / start.WEIGHT_ONE
    monkeypatch.setattr(start, "load", lambda: again)
    payload = file.pack(source, *part.shape)
    assert payload is not None
    assert len(payload) < 0.6 * len(source)  # which it has learned by heart
    assert file.restore(payload, *part.shape) == source


@pytest.mark.parametrize("tensors", [{"counters": np.zeros((10, 9), np.uint8)}, {"weights": np.zeros(4)}])
def test_a_start_of_other_shapes_is_refused(tensors: dict[str, np.ndarray]) -> None:
    data = weights_file.serialize(start.KIND, start.Size(), start.stored(start.nothing()) | tensors, {})
    with pytest.raises(WeightsError, match="must be"):
        start.parse(data)


def test_the_limits_of_an_encoder_come_back() -> None:
    """A run of blocks has at most 32,767, and 937 bits of correction, after which libjpeg says more of it."""
    k = np.arange(8)
    waves = np.cos((2 * k + 1) * k[:, None] * np.pi / 16) * np.where(k, 0.5, 8**-0.5)[:, None]
    known = np.random.default_rng(3).choice([-16, 16], (100, 8, 8))  # not to be 0 before the last bit
    known[:, 7] = 0  # 55 bits of a block: 18 blocks, of 31 for which there would be codes
    blocks = waves.T @ known @ waves + 128
    waiting = np.hstack(list(blocks)).round().astype(np.uint8)
    means = np.random.default_rng(4).integers(0, 256, (185, 185), dtype=np.uint8)
    for pixels in (waiting, np.kron(means, np.ones((8, 8), np.uint8))):
        source = jpeg_of(pixels, quality=100, progressive=True)
        payload = file.pack(source, *pixels.shape, 1)
        assert payload is not None
        assert file.restore(payload, *pixels.shape, 1) == source


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("script-*.jpg")), ids=lambda path: path.stem)
def test_scans_in_any_order_come_back(path: Path) -> None:
    source = path.read_bytes()
    packed = archive.pack(source, exactly=False)
    assert packed.way == Way.RECODED
    assert archive.unpack(packed.data) == source


@pytest.mark.parametrize("beside", [b"", b"\0", b"after the end" * 99, b"\xff\xd8\xff\xd9"])
def test_what_is_beside_the_pixels_comes_back(part: np.ndarray, beside: bytes) -> None:
    source = jpeg_of(
        part, quality=80, comment=b"a comment", exif=b"Exif\0\0" + bytes(99), icc_profile=bytes(3000)
    )
    source += beside
    data = archive.pack(source, exactly=False).data
    assert archive.unpack(data) == source
    assert len(data) < len(source) - 3000


def with_others(part: np.ndarray, thumbnail: bytes, further: list[bytes]) -> bytes:
    """A JPEG with a preview in its Exif, and further pictures after its end."""
    exif = b"Exif\0\0" + bytes(50) + thumbnail + bytes(9)
    return jpeg_of(part, quality=80, exif=exif) + b"".join(bytes(7) + one for one in further) + b"the end"


def test_jpegs_within_come_back_and_are_packed(part: np.ndarray) -> None:
    thumbnail, gains = jpeg_of(part[::4, ::4], quality=60), jpeg_of(part[::2, ::2, 0], quality=90)
    preview = jpeg_of(part[:64, :80], quality=85, progressive=True)
    alone = len(file.pack(with_others(part, b"", []), *part.shape) or b"")
    source = with_others(part, thumbnail, [gains, preview])
    packed = archive.pack(source, exactly=False)
    assert packed.way == Way.RECODED
    assert archive.unpack(packed.data) == source
    within = len(thumbnail) + len(gains) + len(preview)
    assert len(file.pack(source, *part.shape) or b"") < alone + 0.75 * within


@pytest.mark.parametrize(
    "strange",
    [
        b"\xff\xd8\xff",
        b"\xff\xd8\xff" * 99,
        b"\xff\xd8\xff\xe0\0\4ab\xff\xd9",
        "cut short",
        "arithmetic",
        "too many",
        "too large",
        "within each other",
    ],
)
def test_strange_jpegs_within_come_back(part: np.ndarray, strange: bytes | str) -> None:
    small = jpeg_of(part[:32, :40])
    others = {
        "cut short": small[:-2],
        "arithmetic": (SCRIPTS / "arithmetic.jpg").read_bytes(),
        "too many": small * 20,
        "too large": jpeg_of(np.tile(part, (3, 3, 1))),
        "within each other": with_others(part[:64, :64], small, [small]),
    }
    source = with_others(part, small, [strange if isinstance(strange, bytes) else others[strange], small])
    payload = file.pack(source, *part.shape)
    assert payload is not None
    assert payload[0] & file.INNER
    assert file.restore(payload, *part.shape) == source


def test_jpegs_within_that_cannot_be_are_refused(part: np.ndarray) -> None:
    small, large = jpeg_of(part[:32, :40]), jpeg_of(np.tile(part, (3, 3, 1)))
    outer, nested = jpeg_of(part), with_others(part[:64, :64], small, [])
    opened = [file.pack(one, *size) for one, size in ((outer, part.shape), (small, (32, 40, 3)))]
    of_outer, of_small = (file._open(payload or b"") for payload in opened)
    of_large = file.pack(large, 390, 423, 3) or b""
    of_nested = file.pack(nested, 64, 64, 3) or b""
    for found in (
        [inner.Inner(0, of_large)],  # more work than the picture's size allows
        [inner.Inner(0, of_nested)],  # others within it
        [inner.Inner(len(of_outer.tail) + 1, file._closed(of_small))],  # beyond the end
        [inner.Inner(0, file._closed(of_small)[:1] + bytes(3))],
    ):
        payload = file._closed(of_outer._replace(in_tail=found))
        with pytest.raises(CorruptError, match="do not fit its segments"):
            file.restore(payload, *part.shape)
    payload = file._closed(of_outer._replace(in_tail=[inner.Inner(1, file._closed(of_small))]))
    assert file.restore(payload, *part.shape) == outer[:-1] + small + outer[-1:]


def test_others_are_kept_as_they_are(part: np.ndarray) -> None:
    usual = jpeg_of(part, quality=80)
    others = [
        usual[:-100],  # cut short
        usual[:700] + bytes(5) + usual[705:],  # pixels that are no codes
        (SCRIPTS / "arithmetic.jpg").read_bytes(),
    ]
    for source in others:
        packed = archive.pack(source, exactly=True)
        assert packed.way == Way.WHOLE
        assert archive.unpack(packed.data) == source


def test_scans_before_a_cut_are_packed(part: np.ndarray) -> None:
    source = jpeg_of(part, quality=80, progressive=True)[:-1000]
    payload = file.pack(source, *part.shape)
    assert payload is not None
    assert file.restore(payload, *part.shape) == source


def test_pixels_may_be_enough(part: np.ndarray) -> None:
    """Then those are coded, which come of the same coefficients."""
    source = jpeg_of(part, quality=80)
    packed = archive.pack(source, exactly=False, pixels=True)
    assert packed.way == Way.CONTENT
    assert len(packed.data) < len(source)
    with Image.open(io.BytesIO(source)) as image:
        assert np.array_equal(decompress(packed.data), np.asarray(image))


def test_it_keeps_no_pixels(part: np.ndarray) -> None:
    data = archive.pack(jpeg_of(part), exactly=False).data
    with pytest.raises(UnsupportedError, match="JPEG whole, which was made by lossy compression"):
        decompress(data)


def test_commands(part: np.ndarray, tmp_path: Path) -> None:
    from click.testing import CliRunner

    path = tmp_path / "photo.jpg"
    source = jpeg_of(part)
    path.write_bytes(source)
    done = CliRunner().invoke(cli.compress_command, ["--rm", str(path)])
    assert (done.exit_code, done.output) == (0, "")
    assert not path.exists()
    done = CliRunner().invoke(cli.decompress_command, [f"{path}.ardm"])
    assert done.exit_code == 0
    assert path.read_bytes() == source


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_no_payload_does_more_than_be_refused(data: st.DataObject) -> None:
    pixels = np.arange(19 * 23, dtype=np.uint16).reshape(19, 23).astype(np.uint8)
    source = jpeg_of(pixels, quality=70, progressive=data.draw(st.booleans()))
    source += jpeg_of(pixels[:9, :9]) * data.draw(st.integers(0, 2))
    with mock.patch.object(bands, "LEAST_BLOCKS", data.draw(st.sampled_from([3, 1 << 15]))):
        payload = bytearray(file.pack(source, 19, 23, 1) or b"")
    assert file.restore(bytes(payload), 19, 23, 1) == source
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(payload)))
    for wrong in (bytes(payload), bytes(payload[:cut])):
        with contextlib.suppress(ArdmError):
            file.restore(wrong, 19, 23, 1)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=60), st.integers(2, 700), st.booleans())
def test_no_file_does_more_than_be_kept(noise: bytes, at: int, progressive: bool) -> None:
    pixels = np.arange(19 * 23, dtype=np.uint16).reshape(19, 23).astype(np.uint8)
    source = jpeg_of(pixels, quality=70, progressive=progressive)
    for strange in (source[:at] + noise + source[at + len(noise) :], source[:at] + noise, noise):
        payload = file.pack(strange, 19, 23, 1)
        assert payload is None or file.restore(payload, 19, 23, 1) == strange


def test_a_size_that_is_not_said_is_refused(part: np.ndarray) -> None:
    payload = file.pack(jpeg_of(part), *part.shape)
    assert payload is not None
    assert file.pack(jpeg_of(part), 5, 5, 3) is None
    with pytest.raises(CorruptError, match="do not fit its segments"):
        file.restore(payload, 5, 5, 3)


def test_strange_heads_are_kept_with_the_file(part: np.ndarray) -> None:
    """More segments than a payload may have, and what T.81 does not know, are not packed."""
    source = jpeg_of(part, quality=80)
    scan = source.index(b"\xff\xda")
    comment = b"\xff\xfe\xff\xff" + bytes(65533)
    strange = [
        source[:2] + comment * 257 + source[2:],
        source[:scan] + b"\xff\xdd\x00\x05\x00\x00\x05" + source[scan:],
        source[: scan + 6] + b"\x40" + source[scan + 7 :],
        b"\xff\xd9" + source[2:],
    ]
    for one in strange:
        assert file.pack(one, *part.shape) is None
    data = archive.pack(strange[0], exactly=False).data
    assert archive.unpack(data) == strange[0]
