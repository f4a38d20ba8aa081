"""What all files of integer weights have in common: how they are written, read and checked. Knows tensors by
name; no network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from ardm.released import WeightsError

Weights = TypeVar("Weights")


def serialize(
    kind: str, config: Any, tensors: Mapping[str, np.ndarray], provenance: Mapping[str, Any]
) -> bytes:
    """The file. kind: the format that it says; config: a dataclass of JSON's types."""
    metadata = {
        "format": kind,
        "network": json.dumps(asdict(config)),
        "provenance": json.dumps(dict(provenance)),
    }
    return save_safetensors({k: np.ascontiguousarray(v) for k, v in tensors.items()}, metadata)


def parse(
    data: bytes, kind: str, make: Callable[[dict[str, Any], dict[str, np.ndarray], dict[str, Any]], Weights]
) -> Weights:
    """What `make` makes of configuration, tensors and provenance. Raises WeightsError if the file has another
    format, or `make` finds anything wrong.
    """
    try:
        size = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + size])["__metadata__"]
        if metadata["format"] != kind:
            raise WeightsError(f"the weights have format {metadata['format']!r}, expected was {kind!r}.")
        return make(
            json.loads(metadata["network"]), load_safetensors(data), json.loads(metadata["provenance"])
        )
    except WeightsError:
        raise
    except Exception as error:
        raise WeightsError(f"not an ardm weights file ({type(error).__name__}: {error}).") from error


def check_shapes(
    tensors: Mapping[str, np.ndarray], expected: Mapping[str, tuple[tuple[int, ...], Any]]
) -> None:
    """Raise WeightsError unless the tensors have these shapes and dtypes."""
    for name, (shape, kind) in expected.items():
        if tensors[name].shape != shape or tensors[name].dtype != kind:
            raise WeightsError(
                f"{name} must be {np.dtype(kind)} of shape {shape}, found {tensors[name].dtype} of "
                f"{tensors[name].shape}."
            )


def shifted(total: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """total * 2**-shift, rounded half up, as all integer networks round."""
    return (total + (1 << shift >> 1)) >> shift
