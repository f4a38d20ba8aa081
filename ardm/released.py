"""Released sets of weights: files of the package, one per id, so that what was written with any of them stays
readable. Knows bytes, not what they mean.

A set's id is the beginning of the SHA-256 of its file, in hex; how much of it is for each format of weights
to say.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from importlib.resources.abc import Traversable

FOLDER = resources.files("ardm") / "data"
SUFFIX = ".safetensors"


class WeightsError(ValueError):
    """The weights break a bound that exact inference needs, or are not the ones that were asked for."""


def name_id(name: str) -> str:
    """The id in the name of a weights file."""
    return name.removesuffix(SUFFIX).rpartition("-")[2]


def id_of(data: bytes, size: int) -> str:
    """The id, `size` bytes in hex, of a weights file."""
    return hashlib.sha256(data).hexdigest()[: 2 * size]


def read(weights_id: str, folder: Traversable = FOLDER) -> bytes:
    """The file of a set by its id, of a folder. Raises WeightsError if the package does not have it, or it is
    damaged.
    """
    files = {name_id(file.name): file for file in folder.iterdir() if file.name.endswith(SUFFIX)}
    path = files.get(weights_id)
    if path is None:
        known = sorted(files)
        raise WeightsError(
            f"weights {weights_id} are not part of this release, which has {', '.join(known) or 'none'}."
        )
    data = path.read_bytes()
    computed = id_of(data, len(weights_id) // 2)
    if computed != weights_id:  # before anything in it is looked at
        raise WeightsError(f"{path.name} is damaged: its content has id {computed}. Install ardm again.")
    return data
