"""`Workers`, and `connected`: Ray as the caller, the environment or this machine has it. Knows processes,
cores and GPUs; no files.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from codec.errors import InputError
from codec.urls import said

ANSWER = 10.0  # seconds within which a cluster must be there
STORE = 2**28  # bytes of memory that Ray on this machine has for what is sent to workers: names


@dataclass(frozen=True)
class Workers:
    """Processes that work. count: how many; None: one for each `cores` that Ray has. cores: of each, which
    are threads, too. gpus: of each, which may be a part of one; None: 1 with device "cuda", or "auto" where
    Ray has any, else 0.
    """

    count: int | None = None
    cores: int = 1
    gpus: float | None = None

    def __post_init__(self) -> None:
        if (self.count is not None and self.count < 1) or self.cores < 1 or (self.gpus or 0) < 0:
            raise ValueError(f"count and cores must be at least 1, and gpus 0 or more; got {self}.")


def fitted(workers: Workers, device: str, there: dict[str, float], grows: bool) -> Workers:
    """The workers with all that was left open. device: as of `Settings`; there: what Ray has, as it says;
    grows: it may have more, once that is asked for. Raises InputError for what would never begin.
    """
    has, wanted = there.get("GPU", 0.0), workers.gpus
    if wanted is None:
        wanted = 1.0 if device == "cuda" or (device == "auto" and has) else 0.0
    if wanted > has and not grows:
        raise InputError(
            f"each worker needs {wanted:g} GPU, and Ray finds {has:g} on this machine; leave out --device "
            "(device=, gpus=)."
        )
    count = workers.count or max(1, int(there.get("CPU", 0)) // workers.cores)
    return Workers(count, workers.cores, wanted)


def connected(workers: Workers, device: str, verbose: bool) -> tuple[Any, Workers]:
    """(Ray, the workers as they will be): connected to whatever the caller or the environment has chosen,
    else to one on this machine alone. verbose: it may say what it does. Raises InputError.
    """
    if not verbose:
        os.environ.setdefault("RAY_DATA_LOG_LEVEL", "ERROR")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # else it says on standard output, in between our own lines, that a worker has died
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError(f"needs Ray: pip install 'ardm[ray]' ({error}).") from error
    if ray.is_initialized():
        return ray, fitted(workers, device, ray.cluster_resources(), grows=True)
    check_answers(os.environ.get("RAY_ADDRESS", ""))
    grows = False
    told: dict[str, Any] = {"log_to_driver": False} | ({} if verbose else {"logging_level": logging.ERROR})
    cores = max(os.cpu_count() or 1, (workers.count or 1) * workers.cores)
    own: dict[str, Any] = {"num_cpus": cores, "include_dashboard": False, "object_store_memory": STORE}
    with _own_signals(), contextlib.nullcontext() if verbose else _no_errors():
        try:
            try:
                ray.init(**own, **told)
            except ValueError:  # there is a cluster, to which nobody says what it has
                ray.init(**told)
                grows = True
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(f"Ray cannot be reached, or started: {said(error)}.") from error
    return ray, fitted(workers, device, ray.cluster_resources(), grows)


def check_answers(address: str) -> None:
    """Raise InputError if nothing answers at host:port, which Ray would wait for ten minutes and more. What
    else an address may be is for Ray to judge.
    """
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()
    except OSError as error:
        raise InputError(f"nothing answers at RAY_ADDRESS, {address}: {said(error)}.") from error


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Within, what Ray does about SIGTERM is undone: what ends this process is not its business."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _no_errors() -> Iterator[None]:
    """Within, nothing comes out of standard error: Ray's compiled part says there that it was told to be
    quiet. What fails is an exception all the same.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
