"""The window network in integers: every way to compute it gives the same ones, whatever is known, and
whatever the caller has set of torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import llvmlite.binding as llvm
import numpy as np
import pytest
import torch
from numba import njit

from ardm import units
from ardm.exact import dense, evaluate, window
from ardm.exact.evaluate import Canvas
from ardm.exact.on_device import by_torch
from ardm.exact.predictor import Predictor, new_canvas, windows
from ardm.exact.window import WindowWeights, base_of, reference
from ardm.networks.window import WindowNet
from ardm.orders import LATTICE_ORDER
from ardm.released import WeightsError
from ardm.training import gather
from ardm.training.examples import Batch, collect, image_runs
from ardm.training.integers import to_integers
from ardm.training.rounding import rounded
from ardm.window import WindowConfig, lattice_pattern, offsets, raster_pattern
from codec import compress, decompress, text
from codec.coder.selftest import synthetic_weights
from tests.processes import ROOT

# ---- networks and images


@lru_cache(maxsize=8)
def extreme(radius: int = 6, width: int = 32, depth: int = 2, mixture: int = 5) -> WindowWeights:
    """All weights at +-127, and biases that fill what the bounds leave: sums come as near to 2**24 as they
    may.
    """
    config, rng = WindowConfig(radius, width, depth, mixture), np.random.default_rng(radius)
    n, k = config.positions, config.outputs

    def signs(*shape: int) -> np.ndarray:
        return rng.choice(np.array([-127, 127], np.int8), shape)

    def filling(shape: tuple[int, ...], inputs: int, left: int) -> np.ndarray:
        return (rng.choice([-1, 1], shape) * (2**24 - 1 - inputs * 127 * 255 - left)).astype(np.int32)

    mask = rng.choice(np.array([-900, 900], np.int32), (width, n))
    left = 900 * n + 2**14
    # what the bound leaves to the high parts of the neighbours' weights
    most = min(127, (2**24 - 1 - 3 * n * 127 * 255 - left) // (24 * 255 * 16))
    near = np.where(signs(width, 24) > 0, most, -most).astype(np.int8)
    tensors = {
        "enter": signs(width, 3 * n),
        "near": near,
        "mask": mask,
        "enter_bias": filling((width,), 3 * n, left + 24 * 255 * 16 * most),
        "enter_shift": np.full(width, 14, np.int32),
        "hidden": signs(2 * depth, width, width),
        "hidden_bias": filling((2 * depth, width), width, 256 * 2**12) // 9,
        "hidden_shift": np.full((2 * depth, width), 12, np.int32),
        "head": signs(k, width),
        "head_bias": filling((k,), width, 2**10) // 99,
        "head_shift": rng.integers(0, 11, k).astype(np.int32),
    }
    tensors |= {"table." + name: values for name, values in units.make_tables().items()}
    tensors |= {"bits": np.ones((window.LEVELS, 15, 15), np.float32), "raster_bits": np.ones(1, np.float32)}
    window.check_bounds(config, tensors)
    return WindowWeights("1" * 8, config, tensors, {})


NETWORKS = {
    "shipped": window.load,
    "synthetic": lru_cache(maxsize=1)(synthetic_weights),
    "extreme": extreme,
    "odd sizes": lambda: extreme(3, 20, 1, 3),  # nothing is a multiple of 16
    "small": lambda: extreme(1, 5, 1, 1),
}
CONTENTS = ("photo", "noise", "extremes", "flat")
SHAPES = [(19, 22), (1, 1), (2, 3), (1, 17), (17, 1), (7, 7)]


def canvas_of(kind: str, height: int, width: int, photo: np.ndarray) -> Canvas:
    """An image of which nothing is known yet."""
    canvas, rng = new_canvas(height, width), np.random.default_rng(height)
    shape = (height, width, 3)
    if kind == "photo":
        canvas.image[:] = photo[200 : 200 + height, 300 : 300 + width]
    elif kind == "flat":
        canvas.image[:] = 255
    else:
        canvas.image[:] = rng.integers(0, 256, shape) if kind == "noise" else rng.choice([0, 255], shape)
    return canvas


def every_pixel(height: int, width: int) -> np.ndarray:
    return np.argwhere(np.ones((height, width), bool)).astype(np.int32)


def same(one: tuple[np.ndarray, np.ndarray], *others: tuple[np.ndarray, np.ndarray]) -> None:
    for other in others:
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])


# ---- three ways to compute


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_three_ways_agree_for_any_set_of_known_pixels(
    network: str, shape: tuple[int, int], photo: np.ndarray
) -> None:
    weights, where = NETWORKS[network](), every_pixel(*shape)
    for turn, kind in enumerate(CONTENTS):
        canvas = canvas_of(kind, *shape, photo)
        for share in (0, 0.3, 0.9, 1):
            canvas.mask[:] = np.random.default_rng(turn).random(shape) < share
            seen = windows(canvas, where, weights.config.radius)
            same(
                reference(weights, *seen),
                Predictor(weights).scattered(canvas, where),
                by_torch(weights, *seen, "cpu"),
            )


@njit
def ask_raster(
    net: evaluate.Net, canvas: Canvas, where: np.ndarray, work: evaluate.Scratch, params: np.ndarray
) -> None:
    """Pixels, int64 (BLOCK, 2), as a coder's loop asks in raster order."""
    for p in range(len(where)):
        evaluate.gather_raster(net, canvas, where[p, 0], where[p, 1], work, p)
    evaluate.finish_block(net, work, params, 0, len(where))


def raster_answers(
    weights: window.WindowWeights, canvas: Canvas, where: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Parameters and bases of pixels that know what comes before in raster order."""
    net = evaluate.build(weights, raster_pattern(weights.config.radius), raster=True)
    work, outputs = evaluate.scratch(net), weights.config.outputs
    found, bases = [], []
    for part in (where[i : i + evaluate.BLOCK] for i in range(0, len(where), evaluate.BLOCK)):
        params = np.empty(evaluate.BLOCK * outputs, np.int32)
        ask_raster(net, canvas, part, work, params)
        found.append(params.reshape(-1, outputs)[: len(part)])
        bases.append(work.base.reshape(-1, 3)[: len(part)].copy())
    return np.concatenate(found), np.concatenate(bases)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_raster_order_in_blocks(network: str, shape: tuple[int, int], photo: np.ndarray) -> None:
    weights, where = NETWORKS[network](), every_pixel(*shape)
    for kind in CONTENTS:
        canvas = canvas_of(kind, *shape, photo)
        canvas.mask[:] = True
        pixels, known = windows(canvas, where, weights.config.radius)
        known[:, weights.config.positions // 2 :] = False  # what comes later
        shuffled = np.random.default_rng(0).permutation(len(where))  # any pixels may share a block
        found = [part[np.argsort(shuffled)] for part in raster_answers(weights, canvas, where[shuffled])]
        same(
            reference(weights, pixels, known),
            raster_answers(weights, canvas, where),
            (found[0], found[1]),
            by_torch(weights, pixels, known, "cpu"),
        )


def test_raster_order_does_not_look_ahead(photo: np.ndarray) -> None:
    """What is not coded yet may be anything: a decoder has zeros there."""
    weights, height, width = window.load(), 9, 25
    full, blank = canvas_of("photo", height, width, photo), canvas_of("photo", height, width, photo)
    for y, x in ((0, 0), (0, 24), (7, 0), (8, 7), (8, 12), (8, 24), (4, 12)):
        blank.image[:] = full.image
        blank.image.reshape(-1, 3)[y * width + x :] = 77
        where = np.array([[y, x]])
        same(raster_answers(weights, full, where), raster_answers(weights, blank, where))


@pytest.mark.parametrize("network", ["shipped", "extreme", "odd sizes"])
@pytest.mark.parametrize("shape", [(19, 22), (5, 4), (1, 9)], ids=str)
def test_lattice_patterns(network: str, shape: tuple[int, int], photo: np.ndarray) -> None:
    """A call that knows some phases, of each of the others; packed for that pattern, or by what is known
    alone.
    """
    weights = NETWORKS[network]()
    predictor = Predictor(weights)
    for kind in ("photo", "extremes"):
        canvas = canvas_of(kind, *shape, photo)
        for first in (0, 1, 6, 14):
            canvas.mask[:] = False
            for phase in ((0, 0), *LATTICE_ORDER[:first]):
                canvas.mask[phase[0] :: 4, phase[1] :: 4] = True
            for phase in (LATTICE_ORDER[first], LATTICE_ORDER[14]):
                where = every_pixel(*shape)
                where = where[(where[:, 0] % 4 == phase[0]) & (where[:, 1] % 4 == phase[1])]
                if len(where):
                    seen = windows(canvas, where, weights.config.radius)
                    same(
                        reference(weights, *seen),
                        predictor.lattice(canvas, phase, first, where),
                        predictor.scattered(canvas, where),
                    )


def test_no_pixels_and_many(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    from ardm.exact import predictor as module

    weights, canvas = window.load(), canvas_of("photo", 30, 31, photo)
    canvas.mask[::2] = True
    where = every_pixel(30, 31)
    asked = Predictor(weights)
    whole = asked.scattered(canvas, where)
    monkeypatch.setattr(module, "SHARE", 7)  # how calls are split makes no difference
    same(whole, asked.scattered(canvas, where), asked._by_torch(canvas, where))
    for found in (asked.scattered(canvas, where[:0]), asked._by_torch(canvas, where[:0])):
        assert [part.shape for part in found] == [(0, weights.config.outputs), (0, 3)]


# ---- products


def loaded_again(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`ardm.exact.dense` as a processor without AVX512-VNNI has it."""
    monkeypatch.setattr(llvm, "get_host_cpu_features", dict)
    spec = importlib.util.spec_from_file_location("dense_without_vnni", dense.__file__)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def from_python(function: Callable[..., None]) -> Callable[..., None]:
    """`accumulate_four`, which only compiled functions call."""

    @njit
    def call(x, at, x_step, w, w_at, inputs, outputs, start, start_at, start_step, sums, sums_step):  # type: ignore[no-untyped-def]
        function(x, at, x_step, w, w_at, inputs, outputs, start, start_at, start_step, sums, sums_step)

    return call  # type: ignore[no-any-return]


@pytest.mark.parametrize("shape", [(16, 4), (48, 12), (128, 504), (240, 128)], ids=str)
def test_plain_loops_and_vectors_multiply_the_same(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = loaded_again(monkeypatch)
    assert not plain.VNNI
    outputs, inputs = shape
    rng = np.random.default_rng(0)
    for extreme_ones in (False, True):
        x = (np.full((4, inputs), 255) if extreme_ones else rng.integers(0, 256, (4, inputs))).astype(
            np.uint8
        )
        weight = (
            np.where(rng.random(shape) < 0.5, -127, 127) if extreme_ones else rng.integers(-127, 128, shape)
        ).astype(np.int8)
        start = rng.integers(-1000, 1000, (4, outputs)).astype(np.int32)
        expected = start + x.astype(np.int64) @ weight.T.astype(np.int64)
        for module in (dense, plain):
            packed = np.concatenate([np.zeros(64, np.int8), module.pack(weight)])  # somewhere within
            four = np.zeros(4 * outputs, np.int32)
            from_python(module.accumulate_four)(
                x.reshape(-1),
                0,
                inputs,
                packed,
                64,
                inputs,
                outputs,
                start.reshape(-1),
                0,
                outputs,
                four,
                outputs,
            )
            assert np.array_equal(four.reshape(4, -1), expected)


SHORT = b"The river rose, and nobody slept."
FILES = f"""
import sys, hashlib, numpy as np
from codec import compress, decompress, text
SHORT = {SHORT!r}
crop = np.load(sys.argv[1])
for options in ({{}}, {{"plain": True}}, {{"order": "lattice", "budget": 4}}, {{"order": "lattice", "budget": 4, "plain": True}}, {{"seed": 1, "budget": 3}}):
    data = compress(crop, **options)
    assert np.array_equal(decompress(data), crop)
    print(hashlib.sha256(data).hexdigest())
print(hashlib.sha256(text.pack(SHORT, order="cells")).hexdigest())
from ardm.exact import dense
print(dense.VNNI)
"""


@pytest.mark.parametrize(
    "environment",
    [{"NUMBA_DISABLE_JIT": "1"}, {"NUMBA_CPU_NAME": "generic"}, {}],
    ids=["interpreted", "generic CPU", "this CPU"],
)
def test_files_do_not_depend_on_the_compiler(
    environment: dict[str, str], photo: np.ndarray, tmp_path: Path
) -> None:
    """Interpreted by Python, compiled for any CPU of the architecture, compiled for this one: the same
    bytes.
    """
    crop = photo[200:209, 300:312]
    np.save(tmp_path / "crop.npy", crop)
    command = [sys.executable, "-W", "error", "-c", FILES, str(tmp_path / "crop.npy")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)
    assert done.returncode == 0, done.stderr
    ways = (
        {},
        {"plain": True},
        {"order": "lattice", "budget": 4},
        {"order": "lattice", "budget": 4, "plain": True},
        {"seed": 1, "budget": 3},
    )
    *hashes, words, vnni = done.stdout.split()
    assert hashes == [hashlib.sha256(compress(crop, **way)).hexdigest() for way in ways]  # type: ignore[arg-type]
    assert words == hashlib.sha256(text.pack(SHORT, order="cells")).hexdigest()
    assert vnni == str(dense.VNNI and not environment)


# ---- the float network


def test_training_and_coding_see_the_same(photo: np.ndarray) -> None:
    """Windows that the trainer gathers, against those of the codec: for raster order, and for a lattice
    pattern.
    """
    height, width, radius = 21, 26, 4
    canvas = canvas_of("photo", height, width, photo)
    image = np.ascontiguousarray(canvas.image)
    places = offsets(radius)
    for pattern, phase, first, kind in (
        (raster_pattern(radius), None, 0, gather.RASTER),
        (lattice_pattern(radius, (2, 2), 3), (2, 2), 3, gather.LATTICE),
    ):
        runs = image_runs(height, width, phase)
        views, base, target = collect(image, runs, pattern, radius, kind, np.zeros(len(runs), np.float32), 0)
        where = every_pixel(height, width)
        if phase:
            where = where[(where[:, 0] % 4 == phase[0]) & (where[:, 1] % 4 == phase[1])]
            for y, x in ((0, 0), *LATTICE_ORDER[:first]):
                canvas.mask[y::4, x::4] = True
        else:
            canvas.mask[:] = True
        pixels, known = windows(canvas, where, radius)
        if not phase:
            known[:, len(places) // 2 :] = False
        canvas.mask[:] = False
        expected = base_of(pixels, known, radius)
        values = np.where(known[..., None], np.clip(pixels - expected[:, None], -128, 127), 0)
        assert np.array_equal(base.numpy(), expected)
        assert np.array_equal(target.numpy(), image[where[:, 0], where[:, 1]])
        assert np.array_equal(views.values.numpy(), values[:, pattern].reshape(len(where), -1))
        missing = np.zeros((len(where), len(pattern)), np.uint8)
        np.add.at(missing, views.odd.numpy(), views.missing.numpy())  # rows that fill up lack nothing
        assert np.array_equal(missing == 0, known[:, pattern])
        assert not known[:, np.setdiff1d(np.arange(len(places)), pattern)].any()


@pytest.mark.parametrize(
    "config", [WindowConfig(3, 32, 2, 2), WindowConfig(2, 20, 1, 1), WindowConfig(6, 48, 1, 5)], ids=str
)
def test_simulated_and_integer_networks_agree(config: WindowConfig, photo: np.ndarray) -> None:
    torch.manual_seed(1)
    net = WindowNet(config)
    torch.nn.init.normal_(net.mask, std=0.05)
    torch.nn.init.normal_(net.head, std=0.2)
    height, width = 24, 28
    image = np.ascontiguousarray(photo[200 : 200 + height, 300 : 300 + width])
    runs = image_runs(height, width)
    everything = (
        raster_pattern(config.radius),
        config.radius,
        gather.RASTER,
        np.zeros(len(runs), np.float32),
        0,
    )
    views, base, pixel = collect(image, runs, *everything)
    net.calibrate(lambda: net([views]))
    with torch.no_grad():
        real = net([views])
    net.quantized = True
    net = rounded(net, [Batch([views], base, pixel)])
    with torch.no_grad():
        expected = net([views])
    tensors = to_integers(net)
    tensors |= {"bits": np.ones((window.LEVELS, 15, 15), np.float32), "raster_bits": np.ones(1, np.float32)}
    weights = window.parse(window.serialize(config, tensors, {"note": "made up"}))
    assert weights.provenance == {"note": "made up"}
    canvas = canvas_of("photo", height, width, photo)
    canvas.mask[:] = True
    pixels, known = windows(canvas, every_pixel(height, width), config.radius)
    known[:, config.positions // 2 :] = False
    found = reference(weights, pixels, known)[0]
    k = config.mixture
    steps = torch.tensor([16] * k + [32] * 3 * k + [16] * 3 * k + [128] * 3 * k)
    difference = (torch.from_numpy(found) - expected * steps).abs()
    # biases are rounded to whole units of the sums, so that a unit may tip over
    assert float(difference.median()) <= 1
    assert float((difference / (8 + (expected * steps).abs())).max()) < 0.3
    assert float((expected - real).abs().mean()) < 0.1 * float(real.abs().mean())


def test_knowing_more_costs_less(photo: np.ndarray, predictor: Predictor) -> None:
    """One network answers any mask: the same pixels cost fewer bits when random others are known."""
    from ardm.exact import mixture

    canvas = canvas_of("photo", 64, 64, photo)
    where = np.ascontiguousarray(every_pixel(64, 64)[65::13])
    noise = np.random.default_rng(0).random((64, 64))
    noise[where[:, 0], where[:, 1]] = 2
    values = canvas.image[where[:, 0], where[:, 1]]
    cost = []
    for share in (0.0, 0.1, 0.3, 0.9):
        canvas.mask[:] = noise < share
        params, base = predictor.scattered(canvas, where)
        cost.append(
            mixture.information(params, base, values, mixture.tables_of(predictor.weights.tables())).sum()
        )
    assert cost[0] > cost[1] > cost[2] > cost[3]


# ---- the weights file


@pytest.mark.parametrize(
    ("name", "weights_id"),
    [
        ("photo", window.PHOTO_ID),
        ("raster", window.RASTER_ID),
        ("large", window.LARGE_ID),
        ("quick", window.QUICK_ID),
    ],
)
def test_weights_of_the_package_keep_their_bounds_and_their_name(name: str, weights_id: str) -> None:
    shipped = window.load(weights_id)
    window.check_bounds(shipped.config, shipped.tensors)
    assert shipped.id == weights_id
    data = (window.FOLDER / f"{name}-{weights_id}.safetensors").read_bytes()
    assert len(data) <= 1_000_000
    assert hashlib.sha256(data).hexdigest()[:8] == weights_id


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("enter", lambda t: np.where(t == t[0, 0], -128, t).astype(np.int8), r"must lie in -127\.\.127"),
        ("enter_bias", lambda t: t + np.int32(2**24), "a sum may reach"),
        ("mask", lambda t: t + np.int32(2**20), "enter: a sum may reach"),
        ("hidden_shift", lambda t: t - np.int32(60), r"shifts must lie in 0\.\.22"),
        ("head_shift", lambda t: t + np.int32(23), r"shifts must lie in 0\.\.22"),
        ("head", lambda t: t[:-1], "head must be int8 of shape"),
        ("mask", lambda t: t.astype(np.int64), "mask must be int32"),
    ],
)
def test_bounds_are_checked(name: str, change, says: str) -> None:  # type: ignore[no-untyped-def]
    shipped = window.load()
    tensors = dict(shipped.tensors) | {name: change(shipped.tensors[name])}
    with pytest.raises(WeightsError, match=says):
        window.check_bounds(shipped.config, tensors)
    with pytest.raises(WeightsError, match=says):
        window.parse(window.serialize(shipped.config, tensors, {}))


def test_what_is_no_weights_file_is_refused() -> None:
    with pytest.raises(WeightsError, match="not an ardm weights file"):
        window.parse(b"something else")
    data = (window.FOLDER / f"photo-{window.PHOTO_ID}.safetensors").read_bytes()
    with pytest.raises(WeightsError, match="have format 'ardm window weights 9', expected was"):
        window.parse(data.replace(window.FORMAT.encode(), b"ardm window weights 9"))
    with pytest.raises(WeightsError, match="weights 01234567 are not part of this release, which has"):
        window.load("01234567")


# ---- whatever the caller has set of torch


@contextlib.contextmanager
def setting(change, undo) -> Iterator[None]:  # type: ignore[no-untyped-def]
    before = undo()
    change()
    try:
        yield
    finally:
        before()


def precision(name: str) -> contextlib.AbstractContextManager[None]:
    old = torch.get_float32_matmul_precision()
    return setting(
        lambda: torch.set_float32_matmul_precision(name),
        lambda: lambda: torch.set_float32_matmul_precision(old),
    )


def mkldnn(name: str) -> contextlib.AbstractContextManager[None]:
    backend = getattr(torch.backends.mkldnn, "matmul", None)
    if not hasattr(backend, "fp32_precision"):
        return contextlib.nullcontext()
    old = backend.fp32_precision
    return setting(
        lambda: setattr(backend, "fp32_precision", name),
        lambda: lambda: setattr(backend, "fp32_precision", old),
    )


def dtype(kind: torch.dtype) -> contextlib.AbstractContextManager[None]:
    old = torch.get_default_dtype()
    return setting(lambda: torch.set_default_dtype(kind), lambda: lambda: torch.set_default_dtype(old))


def threads(count: int) -> contextlib.AbstractContextManager[None]:
    old = torch.get_num_threads()
    return setting(lambda: torch.set_num_threads(count), lambda: lambda: torch.set_num_threads(old))


def deterministic() -> contextlib.AbstractContextManager[None]:
    return setting(
        lambda: torch.use_deterministic_algorithms(True),
        lambda: lambda: torch.use_deterministic_algorithms(False),
    )


@contextlib.contextmanager
def everything() -> Iterator[None]:
    with precision("medium"), dtype(torch.float64), threads(2), deterministic(), torch.inference_mode():  # noqa: SIM117
        with torch.device("meta"), torch.autocast("cpu", dtype=torch.bfloat16):
            yield


STATES = {
    "medium precision": lambda: precision("medium"),
    "mkldnn in bf16": lambda: mkldnn("bf16"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "float64": lambda: dtype(torch.float64),
    "float16": lambda: dtype(torch.float16),
    "meta": lambda: torch.device("meta"),
    "one thread": lambda: threads(1),
    "three threads": lambda: threads(3),
    "inference": torch.inference_mode,
    "deterministic": deterministic,
    "everything": everything,
}
WAYS = (
    {},
    {"plain": True},
    {"order": "lattice", "budget": 7},
    {"order": "lattice", "budget": 7, "plain": True},
    {"seed": 5, "budget": 7},
    {"tile": 12},
)
TEXT_WAYS = ({"order": "cells", "budget": 6}, {"order": "plain"})
PROSE = b"It was the best of times, it was the worst of times; the river rose, and nobody slept. In the morning they were gone."


@pytest.fixture(scope="module")
def settled(photo: np.ndarray) -> tuple[np.ndarray, list[bytes], list[bytes]]:
    """An image and its files, and those of a text, made with torch as it is; all self-tests have been run."""
    crop = photo[250:274, 300:321].copy()
    packed = [text.pack(PROSE, **way) for way in TEXT_WAYS]  # type: ignore[arg-type]
    assert [text.info(data)["network_calls"] for data in packed] == [6, 0]
    return crop, [compress(crop, **way) for way in WAYS], packed  # type: ignore[arg-type]


@pytest.mark.parametrize("state", STATES)
def test_images_do_not_depend_on_torchs_state(
    state: str, settled: tuple[np.ndarray, list[bytes], list[bytes]]
) -> None:
    """The same bytes in every state, which every state decodes: so do all pairs of states."""
    crop, files, _ = settled
    for way, expected in zip(WAYS, files, strict=True):
        with STATES[state]():
            data = compress(crop, **way)  # type: ignore[arg-type]
            restored = decompress(expected)
        assert data == expected
        assert np.array_equal(restored, crop)


@pytest.mark.parametrize("state", STATES)
def test_the_network_does_not_depend_on_torchs_state(state: str, photo: np.ndarray) -> None:
    weights, canvas = window.load(), canvas_of("photo", 9, 11, photo)
    canvas.mask[::2] = True
    seen = windows(canvas, every_pixel(9, 11), weights.config.radius)
    with STATES[state]():
        found = by_torch(weights, *seen, "cpu")
    same(reference(weights, *seen), found)


FIRST = """
import sys, numpy as np, torch
from codec import compress, decompress, text
from tests.ardm.test_window import PROSE, everything
crop = np.load(sys.argv[1])
with everything():
    for way in ({}, {"plain": True}, {"order": "lattice", "budget": 7}):
        data = compress(crop, **way)
        assert np.array_equal(decompress(data), crop)
        print(data.hex())
    data = text.pack(PROSE, order="cells", budget=6)
    assert text.unpack(data) == PROSE
    print(data.hex())
"""


def test_self_tests_do_not_depend_on_torchs_state_either(
    settled: tuple[np.ndarray, list[bytes], list[bytes]], tmp_path: Path
) -> None:
    """Everything is set before the first use."""
    crop, files, texts = settled
    np.save(tmp_path / "crop.npy", crop)
    command = [sys.executable, "-c", FIRST, str(tmp_path / "crop.npy")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [data.hex() for data in (*files[:3], texts[0])]
