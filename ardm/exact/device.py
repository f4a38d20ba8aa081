"""Which device computes network calls. Knows names of devices; loads torch only to look for a GPU."""

from __future__ import annotations


def find_device(device: str) -> str:
    """ "cpu" or "cuda", which "auto" takes where there is one. Raises ValueError if "cuda" is asked for in
    vain.
    """
    if device == "cpu":
        return device
    import torch  # which takes a second to load

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device 'cuda' was asked for, but this machine has no CUDA GPU that torch can use; use 'cpu' "
            "or 'auto'."
        )
    return device
