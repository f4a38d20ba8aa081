"""The Pillow plug-in: every mode and PNG as Pillow itself has it, or a refusal; metadata, damage, threads."""

from __future__ import annotations

import copy
import io
import pickle
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image, ImageFile, UnidentifiedImageError

import codec
from codec import archive, png, text
from codec.container import PNG_CHUNKS, write_whole
from codec.plugins import pillow
from codec.samples import Kind
from tests import pngs
from tests.processes import ROOT

ICC = b"a profile" * 30
XMP = b'<x:xmpmeta tiff:Orientation="1"/>'


class Counting(io.BytesIO):
    """A file that notes how much is read of it."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.taken += len(found)
        return found


def ardm_of(source: bytes) -> bytes:
    """An .ardm file of a PNG's content, however small the PNG is."""
    image = png.read(source, 10**6)
    block = png.pack_chunks(image)
    metadata = ((PNG_CHUNKS, block),) if block else ()
    return codec.compress(image.pixels, kind=image.kind, metadata=metadata, plain=True, verify=False)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def saved(im: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    im.save(out, "ARDM", **{"plain": True, **options})
    return out.getvalue()


def check_like(data: bytes, source: bytes) -> None:
    """An .ardm file is opened as Pillow opens the PNG it was made of."""
    found, expected = opened(data), opened(source)
    assert isinstance(found, pillow.ArdmImageFile)
    assert (found.mode, found.size) == (expected.mode, expected.size)
    assert np.array_equal(np.asarray(found), np.asarray(expected))
    assert found.getpalette() == expected.getpalette()
    depth = source[24]
    for name in ("gamma", "dpi", "icc_profile", "exif", "xmp", "transparency"):
        value = expected.info.get(name)
        if name == "transparency" and expected.mode == "L" and value is not None:
            value *= {1: 1, 2: 85, 4: 17, 8: 1}[depth]  # Pillow forgets that it has scaled the samples
        assert found.info.get(name) == value, name


@pytest.mark.quick
@pytest.mark.parametrize(("colour", "depth", "interlaced"), pngs.KINDS)
def test_every_kind_of_png(colour: int, depth: int, interlaced: int) -> None:
    source = pngs.png_of(pngs.pixels_of(colour, depth, 21, 34), colour, depth, interlaced)
    data = ardm_of(source)
    if depth == 16 and colour:
        with pytest.raises(OSError, match=r"channels of 16 bits.*codec\.decompress"):
            opened(data)
    else:
        check_like(data, source)


def test_pngsuite() -> None:
    checked = 0
    for path in sorted(pngs.SUITE.glob("[!x]*.png")):
        source = path.read_bytes()
        if path.name == "PngSuite.png" or (source[24] == 16 and source[25]):
            continue
        check_like(ardm_of(source), source)
        checked += 1
    assert checked > 120


def test_opening_loads_and_reads_the_header_only(
    tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.ardm"
    path.write_bytes(codec.compress(photo[:64, :64], plain=True))
    script = f"""
import sys
from PIL import Image
import codec.plugins.pillow
im = Image.open({str(path)!r})
print(im.format, im.mode, im.size, im.is_animated, im.n_frames, im.get_format_mimetype(), "torch" in sys.modules)
im.close()
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.stdout, done.stderr) == ("ARDM RGB (64, 64) False 1 image/x-ardm False\n", "")
    monkeypatch.setattr("codec.opened.FIRST_READ", 100)
    file = Counting(path.read_bytes())
    im = Image.open(file)
    assert file.taken < 300 < len(path.read_bytes())
    assert np.array_equal(np.asarray(im), photo[:64, :64])


def test_pillow_refuses_bombs_before_anything_is_decoded(
    photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = codec.compress(photo[:40, :40], plain=True)
    monkeypatch.setattr(codec.ImageReader, "every", lambda *_: pytest.fail("it was decoded"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 799)
    with pytest.raises(Image.DecompressionBombError, match="1600 pixels"):
        opened(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1599)
    with pytest.warns(Image.DecompressionBombWarning):
        opened(data)


@pytest.mark.quick
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B"])
def test_what_is_saved_comes_back(mode: str, photo: np.ndarray, tmp_path: Path) -> None:
    if mode.startswith("I;16"):
        deep = photo[:30, :41, 1] * np.uint16(257) + np.arange(41, dtype=np.uint16)
        im = Image.fromarray(deep.astype(">u2" if mode == "I;16B" else "<u2"))
        assert im.mode == mode
    else:
        im = Image.fromarray(photo[:30, :41]).convert(mode)
    im.save(tmp_path / "a.ardm", plain=True)
    with Image.open(tmp_path / "a.ardm") as again:
        assert again.mode == mode.replace("16B", "16")
        assert np.array_equal(np.asarray(again), np.asarray(im))
        assert again.getpalette() == im.getpalette()
    restored = opened(archive.unpack((tmp_path / "a.ardm").read_bytes()))
    assert np.array_equal(np.asarray(restored), np.asarray(im))


def test_options_of_saving(photo: np.ndarray) -> None:
    im = Image.fromarray(photo[:32, :48])
    for options, expected in (
        ({"order": "lattice", "budget": 4}, {"order": "lattice", "coding": "plain"}),
        ({"order": "raster", "tile": 16, "threads": 1}, {"order": "raster", "tiles": 6}),
        ({"quality": 95, "plain": False}, {"coding": "mixing"}),  # unknown to us: ignored, as Pillow does
    ):
        data = saved(im, **options)
        said = codec.info(data)
        assert said | expected == said
        assert np.array_equal(codec.decompress(data), photo[:32, :48])
    assert saved(im, order="lattice", budget=4) == codec.compress(
        photo[:32, :48], plain=True, order="lattice", budget=4
    )
    with pytest.raises(ValueError, match="budget must be at least 1"):
        saved(im, budget=0)


@pytest.mark.parametrize("mode", ["CMYK", "F", "I", "PA", "YCbCr"])
def test_modes_that_cannot_be_saved(mode: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"cannot write mode {mode} as ARDM; expected 1, L"):
        Image.new(mode, (3, 3)).save(tmp_path / "a.ardm")
    assert not (tmp_path / "a.ardm").exists()


def test_metadata_comes_and_goes(photo: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a title"
    first = opened(saved(Image.fromarray(photo[:9, :8]), icc_profile=ICC, exif=exif, xmp=XMP, dpi=(300, 150)))
    assert (first.info["icc_profile"], first.info["xmp"]) == (ICC, XMP)
    assert first.getexif()[0x0112] == 6
    assert first.info["dpi"] == pytest.approx((300, 150), abs=0.02)
    assert first.info["exif"].startswith(b"Exif\0\0")
    again = opened(saved(first))  # from `info`
    assert {n: again.info.get(n) for n in ("icc_profile", "exif", "xmp")} == {
        n: first.info[n] for n in ("icc_profile", "exif", "xmp")
    }
    without = opened(saved(first, icc_profile=None, exif=b"", xmp=None))
    assert without.info == {}
    restored = opened(archive.unpack(saved(first)))
    restored.load()
    assert (restored.info["icc_profile"], restored.info["xmp"]) == (ICC, XMP)
    assert restored.getexif()[0x010E] == "a title"


def test_chunks_that_say_nothing_usable() -> None:
    chunks = [
        png.chunk(b"iCCP", b"name\0\0no zlib"),
        png.chunk(b"gAMA", b"\0"),
        png.chunk(b"pHYs", struct.pack(">IIB", 5, 5, 0)),
        png.chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0\0" + zlib.compress(XMP)),
        png.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0second"),
    ]
    found = png.metadata_in(b"".join(chunks))
    assert found == png.Metadata(xmp=XMP)
    assert png.metadata_in(png.metadata_chunks(ICC, b"II*\0", XMP)) == png.Metadata(ICC, b"II*\0", XMP)
    assert png.metadata_in(b"") == png.Metadata()


def test_transparency_and_palettes(photo: np.ndarray) -> None:
    indexed = Image.fromarray(photo[:30, :30]).quantize(5)
    for value, expected in ((2, 2), (b"\7\10", b"\7\10"), (bytes(300), bytes(5))):
        again = opened(saved(indexed, transparency=value))
        assert again.info["transparency"] == expected
        assert again.getpalette() == indexed.getpalette()
    assert codec.info(saved(indexed))["bits_per_channel"] == 4
    through = Image.fromarray(photo[:30, :30]).convert("RGBA")
    through.putalpha(Image.fromarray(photo[:30, :30, 0]))
    through = through.quantize(7, method=Image.Quantize.FASTOCTREE)
    assert through.palette is not None
    assert through.palette.mode == "RGBA"
    assert np.array_equal(
        np.asarray(opened(saved(through)).convert("RGBA")), np.asarray(through.convert("RGBA"))
    )
    short = Image.fromarray(np.array([[0, 9]], np.uint8)).convert("P")
    short.putpalette([1, 2, 3])
    assert np.array_equal(np.asarray(opened(saved(short))), [[0, 9]])
    for mode, value in (("L", 77), ("1", 255), ("RGB", (1, 2, 3)), ("I;16", 3000)):
        im = Image.new(mode, (4, 4))
        assert opened(saved(im, transparency=value)).info["transparency"] == value
        im.info["transparency"] = b"of a palette"  # left over
        assert "transparency" not in opened(saved(im)).info
        with pytest.raises(ValueError, match="transparency b'x' is none of an image of mode"):
            saved(im, transparency=b"x")
    with pytest.raises(ValueError, match="transparency 5 is none"):
        saved(indexed, transparency=5)


@pytest.mark.quick
def test_verify_sees_damage_without_decoding(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    data = codec.compress(photo[:48, :48], plain=True, tile=16)
    monkeypatch.setattr(codec.ImageReader, "every", lambda *_: pytest.fail("it was decoded"))
    im = opened(data)
    im.verify()
    with pytest.raises(RuntimeError, match="directly after open"):
        im.verify()
    start = int(str(codec.info(data)["header_bytes"]))
    for at in range(start, len(data), 97):
        harmed = bytearray(data)
        harmed[at] ^= 4
        im = opened(bytes(harmed))
        with pytest.raises(OSError, match=r"checksum of the tile at row \d+, column \d+"):
            im.verify()


@pytest.mark.quick
def test_damage_is_an_oserror_with_a_sentence(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.fromarray(photo[:8, :8]), icc_profile=ICC)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # which changes nothing
    for end in range(8, len(data)):
        with pytest.raises(OSError, match=r"^(the|not).*\.$") as caught:
            opened(data[:end])
        assert not isinstance(caught.value, UnidentifiedImageError)
    for at in range(8, len(data)):
        harmed = bytearray(data)
        harmed[at] ^= 1
        with pytest.raises(OSError, match=r"\.$"):
            opened(bytes(harmed)).load()
    im = opened(data[:-1] + bytes([data[-1] ^ 1]))
    for _ in range(2):  # it stays so
        with pytest.raises(OSError, match="checksum of the tile at row 0, column 0"):
            im.load()


def test_what_is_no_image() -> None:
    words = b"a text, and not an image at all. " * 20
    with pytest.raises(UnidentifiedImageError, match="holds text, not an image"):
        opened(text.pack(words))
    for data in (b"", b"\x89ARDM", b"words", bytes(100)):
        with pytest.raises(UnidentifiedImageError, match="cannot identify"):
            opened(data)


def picture_file(form: str, pixels: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form, **options)
    return out.getvalue()


def test_images_that_are_kept_whole(photo: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.ardm"
    crop = photo[:40, :50]
    frames = [Image.fromarray(crop).quantize(16), Image.fromarray(crop[::-1]).quantize(16)]
    moving = io.BytesIO()
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    for source, form, count in (
        (picture_file("JPEG", crop, quality=90), "JPEG", 1),
        (moving.getvalue(), "GIF", 2),
        (picture_file("WEBP", crop), "WEBP", 1),
        (picture_file("PNG", crop) + b"tail", "PNG", 1),
    ):
        path.write_bytes(archive.pack(source, exactly=True).data)
        assert codec.info(path.read_bytes())["whole_file"]
        with Image.open(path) as found, opened(source) as expected:
            assert (found.format, getattr(found, "n_frames", 1)) == (form, count)
            for frame in range(count):
                found.seek(frame)
                expected.seek(frame)
                assert np.array_equal(np.asarray(found), np.asarray(expected))
        file = io.BytesIO(path.read_bytes())
        Image.open(file).load()
        assert not file.closed
    harmed = bytearray(path.read_bytes())
    harmed[-3] ^= 1
    with pytest.raises(OSError, match="checksum of the file kept whole"):
        opened(bytes(harmed))
    tiff = archive.pack(picture_file("TIFF", crop, compression="tiff_lzw") + b"more", exactly=True).data
    with pytest.raises(OSError, match="keeps a TIFF whole; ardm-decompress restores it"):
        opened(tiff)
    deep = pngs.png_of(pngs.pixels_of(2, 16, 5, 5), 2, 16)
    forged = write_whole(deep, 5, 5, 3, Kind(8))  # the header says 8 bits
    with pytest.raises(OSError, match="3 channels of 16 bits"):
        opened(forged)


def test_files_of_bare_samples(photo: np.ndarray) -> None:
    """A PBM's 1 is black, and a BMP's palette is in its head: only what may be shown as it stands is."""
    crop = photo[:40, :50]
    for source in (picture_file("PPM", crop), picture_file("PPM", crop[..., 0]), picture_file("BMP", crop)):
        data = archive.pack(source, exactly=False, settings=codec.Settings(plain=True)).data
        assert np.array_equal(np.asarray(opened(data)), np.asarray(opened(source)))
    bits = io.BytesIO()
    Image.fromarray(crop).convert("1").save(bits, "PPM")
    indexed = io.BytesIO()
    Image.fromarray(crop).quantize(200).save(indexed, "BMP")
    for source, label in (
        (bits, "PBM"),
        (indexed, "BMP"),
        (io.BytesIO(picture_file("TIFF", crop[..., 0])), "TIFF"),
    ):
        data = archive.pack(source.getvalue(), exactly=False).data
        with pytest.raises(OSError, match=f"stands for a {label} whose samples say nothing"):
            opened(data)


def test_indices_without_a_palette() -> None:
    data = codec.compress(np.zeros((4, 4), np.uint8), kind=Kind(4, indexed=True))
    with pytest.raises(OSError, match="indices without their palette"):
        opened(data)


@pytest.mark.quick
def test_many_threads_may_load_an_image(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    data = codec.compress(photo[:40, :40], plain=True)
    decoded: list[int] = []
    every = codec.ImageReader.every
    monkeypatch.setattr(
        codec.ImageReader, "every", lambda self, step: decoded.append(step) or every(self, step)
    )
    im, barrier, found = opened(data), threading.Barrier(8), []

    def load() -> None:
        barrier.wait()
        found.append(np.array_equal(np.asarray(im), photo[:40, :40]))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8
    assert decoded == [1]


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA"])
def test_drafts_are_coarse_levels_and_thumbnails_are_not(
    mode: str, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ardm.exact.predictor import Predictor

    whole = Image.fromarray(photo[:66, :97]).convert(mode)
    data = saved(whole, order="lattice", verify=False)
    if mode == "P":  # which the network does not code
        assert opened(data).draft(None, (10, 10)) is None
        return
    evaluated: list[int] = []
    ask = Predictor.lattice
    monkeypatch.setattr(
        Predictor, "lattice", lambda self, *given: evaluated.append(len(given[3])) or ask(self, *given)
    )
    im = opened(data)
    assert im.draft("L", (24, 15)) == (mode, (0, 0, 97 / 4, 66 / 4))
    assert im.size == (25, 17)
    assert im.draft(None, (1, 1)) is None
    assert np.array_equal(np.asarray(im), np.asarray(whole)[::4, ::4])
    assert sum(evaluated) <= 25 * 17 * (2 if mode == "RGBA" else 1)
    assert im.draft(None, (1, 1)) is None  # it is loaded
    for size in ((97, 66), (25, 17), (1000, 2)):
        assert opened(data).draft(None, size) is None
    small, expected = opened(data), whole.copy()
    small.thumbnail((12, 12))
    expected.thumbnail((12, 12))
    assert np.array_equal(np.asarray(small), np.asarray(expected))
    assert opened(saved(whole, order="raster")).draft(None, (10, 10)) is None


def test_drafts_of_several_tiles(photo: np.ndarray) -> None:
    whole = Image.fromarray(photo[:90, :60])
    for tile, step in ((32, 16), (20, 4)):  # the tiles of 20 do not begin at multiples of 16
        im = opened(saved(whole, order="lattice", tile=tile))
        im.draft(None, (2, 2))
        assert im.size == (60 // step + (60 % step > 0), 90 // step + (90 % step > 0))
        assert np.array_equal(np.asarray(im), photo[:90:step, :60:step])


def test_files_are_closed_as_pillow_does(photo: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.ardm"
    path.write_bytes(codec.compress(photo[:8, :8], plain=True))
    im = Image.open(path)
    file = im.fp
    assert file is not None
    im.load()
    assert file.closed
    with Image.open(path) as im:
        pass
    with pytest.raises(ValueError, match="Operation on closed image"):
        im.load()
    kept = io.BytesIO(path.read_bytes())
    Image.open(kept).load()
    assert not kept.closed
    with Image.open(path) as im:
        im.save(path, plain=True)  # over itself
    assert np.array_equal(codec.decompress(path.read_bytes()), photo[:8, :8])


def test_copies_pickles_and_parsers(photo: np.ndarray) -> None:
    data = codec.compress(photo[:8, :8], plain=True)
    for make in (copy.copy, copy.deepcopy, lambda im: pickle.loads(pickle.dumps(im))):
        assert np.array_equal(np.asarray(make(opened(data))), photo[:8, :8])
    parser = ImageFile.Parser()
    for at in range(0, len(data), 50):
        parser.feed(data[at : at + 50])
    assert np.array_equal(np.asarray(parser.close()), photo[:8, :8])


def test_imageio_reads_through_it(photo: np.ndarray, tmp_path: Path) -> None:
    for pixels in (photo[:20, :30], photo[:20, :30, 0], photo[:20, :30, 0] * np.uint16(257)):
        data = codec.compress(pixels, plain=True)
        path = tmp_path / "a.ardm"
        path.write_bytes(data)
        for source in (path, str(path), data):
            found = iio.imread(source)
            assert found.dtype == pixels.dtype
            assert np.array_equal(found, pixels)
        assert iio.improps(path).shape == pixels.shape
