"""webdataset's own pipeline with our decoder, over a small shard."""

from __future__ import annotations

import gc
import io
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds

import codec
from codec import text
from codec.plugins.webdataset import decoder

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _shards_are_closed() -> Iterator[None]:
    """webdataset leaves that to the garbage collector, which warns; here, and in no later test."""
    yield
    gc.collect()


def shard(path: Path, members: dict[str, bytes]) -> str:
    with tarfile.open(path, "w") as out:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            out.addfile(entry, io.BytesIO(data))
    return str(path)


@pytest.mark.quick
def test_a_shard_is_decoded(tmp_path: Path, photo: np.ndarray) -> None:
    pictures = [photo[:20, :30], photo[5:40, 9:20, 1], photo[:6, :7] * np.uint16(257)]
    members = {}
    for i, pixels in enumerate(pictures):
        members[f"{i:03}.ardm"] = codec.compress(pixels, plain=True)
        members[f"{i:03}.mask.ARDM"] = codec.compress(pixels[..., :1] // 128 if pixels.ndim == 3 else pixels)
        members[f"{i:03}.cls"] = str(7 * i).encode()
    url = shard(tmp_path / "a.tar", members)
    for handler in (decoder, partial(decoder, threads=1)):
        found = list(wds.WebDataset(url, shardshuffle=False).decode(handler))
        assert len(found) == 3
        for i, (sample, pixels) in enumerate(zip(found, pictures, strict=True)):
            assert sample["ardm"].dtype == pixels.dtype
            assert np.array_equal(sample["ardm"], pixels)
            assert sample["mask.ardm"].shape[:2] == pixels.shape[:2]
            assert sample["cls"] == 7 * i  # left to the others


def test_what_cannot_be_decoded(tmp_path: Path, photo: np.ndarray) -> None:
    sound = codec.compress(photo[:20, :30], plain=True)
    damaged = sound[:-1] + bytes([sound[-1] ^ 1])
    words = text.pack(b"a text, and not an image at all. " * 20)
    for data, error in ((damaged, codec.CorruptError), (words, codec.UnsupportedError)):
        url = shard(tmp_path / "b.tar", {"a.ardm": data})
        with pytest.raises(wds.autodecode.DecodingError) as caught:
            list(wds.WebDataset(url, shardshuffle=False).decode(decoder))
        assert isinstance(caught.value.__cause__, error)
    assert decoder(".png", b"anything") is None
