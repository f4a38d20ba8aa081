"""webdataset decodes .ardm members of its shards: `wds.WebDataset(urls).decode(decoder)`. Knows names of
members, and `codec.decompress`; does not import webdataset.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import codec


def decoder(key: str, data: bytes, **options: Any) -> np.ndarray | None:
    """The pixels of a member of a shard, uint8 or uint16 (H, W) or (H, W, C), if its name ends in .ardm; None
    for any other, which webdataset then leaves to its other decoders.

    key: the ending of the name, as webdataset gives it (".ardm", ".left.ardm"). options: of
    `codec.decompress`, by `functools.partial(decoder, threads=1)`. Raises as that does, UnsupportedError
    for a text and for a file that keeps a JPEG or the like; webdataset puts its DecodingError around it.
    """
    if not key.lower().endswith(".ardm"):
        return None
    return codec.decompress(data, **options)
