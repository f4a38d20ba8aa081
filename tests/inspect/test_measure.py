"""What pixels cost: the network's bits and what the coder spent, against payloads, the coder itself and slow
arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ardm.exact import mixture
from ardm.exact.predictor import Predictor, new_canvas
from ardm.orders import PATCH
from codec import compress
from codec.coder import plain
from codec.coder.continuation import Continuation
from codec.coder.mixing import Mixing
from codec.coder.schedule import Order, Schedule
from codec.coder.walk import walk
from codec.inspect import measure
from codec.inspect.measure import ROOT, Fineness, PlaneBits
from codec.limits import NO_LIMITS
from codec.methods import Method
from codec.opened import Opened, open_bytes

WAYS: dict[str, dict[str, Any]] = {
    "raster": {"order": "raster"},
    "one strip": {"order": "raster", "budget": 400},
    "raster, plain": {"order": "raster", "plain": True},
    "lattice": {"order": "lattice", "budget": 20},
    "one call": {"order": "lattice", "budget": 1},
    "lattice, plain": {"order": "lattice", "budget": 9, "plain": True},
    "random": {"seed": 5, "budget": 7},
}
SLACK = 80  # bits that a range coder may need to end


def measured(pixels: np.ndarray, predictor: Predictor, **options: Any) -> tuple[Opened, PlaneBits]:
    opened = open_bytes(compress(pixels, verify=False, predictor=predictor, **options), NO_LIMITS)
    header = opened.header
    assert header.entry_count == 1
    plane = pixels.reshape(*pixels.shape[:2], -1)
    found = measure.measure(
        plane, opened.payload(0), header.entries[0].method, header.schedule, predictor, False
    )
    return opened, found


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_spent_is_the_payload(
    way: str, channels: int, photo: np.ndarray, predictor: Predictor
) -> None:
    pixels = photo[150:190, 300:355, :channels]
    opened, found = measured(pixels, predictor, **WAYS[way])
    bits, schedule = 8 * len(opened.payload(0)), opened.header.schedule
    assert opened.header.entries[0].method == Method.NETWORK
    assert found.spent.sum() == pytest.approx(bits)
    assert found.spent.min() > 0
    assert found.network is not None
    assert found.call is not None
    assert found.network.shape == (channels, 40, 55)
    coded = found.call != ROOT
    assert found.call[coded].min() == 0
    assert found.call.max() + 1 == schedule.calls(40, 55)
    assert (found.network.sum(0)[~coded] == 0).all()
    if schedule.plain:  # the network's bits are the file's, up to the end of the range coder
        assert found.fineness == Fineness.PIXEL
        root = found.spent[~coded].sum()
        assert found.network.sum() + root == pytest.approx(bits, rel=1e-3, abs=SLACK)
        assert found.spent[coded] == pytest.approx(found.network.sum(0)[coded], rel=0.01)
    else:
        assert found.fineness in (Fineness.STRIP, Fineness.PHASE)
        assert found.network.sum() > 0.9 * bits  # alone it does not do much better than with others
    if schedule.order == Order.RASTER:
        assert found.level is None
        assert coded.all()
    else:
        assert found.level is not None
        root_level = schedule.root_level(40, 55)
        assert np.array_equal(~coded, stride_mask((40, 55), PATCH**root_level))
        for level in range(root_level):
            assert np.array_equal(found.level >= level, stride_mask((40, 55), PATCH**level))


def stride_mask(shape: tuple[int, int], stride: int) -> np.ndarray:
    out = np.zeros(shape, bool)
    out[::stride, ::stride] = True
    return out


def test_the_networks_bits_are_those_of_its_distributions(photo: np.ndarray, predictor: Predictor) -> None:
    """Digit after digit costs what the value costs at once, up to the rounding of digits' frequencies."""
    pixels = photo[200:212, 300:317]
    canvas = new_canvas(12, 17)
    canvas.image[:] = pixels
    canvas.mask[:, ::2] = True
    where = np.argwhere(~canvas.mask).astype(np.int32)
    params, base = predictor.scattered(canvas, where)
    tables, values = plain.tables_of(predictor.weights), pixels[where[:, 0], where[:, 1]]
    found = measure.bits_of(params, base, values, tables, 3)
    assert found == pytest.approx(mixture.information(params, base, values, tables), abs=1e-4)


def test_raster_bits_are_of_what_raster_order_knows(photo: np.ndarray, predictor: Predictor) -> None:
    """Of every pixel, asked for by itself when all before it is known."""
    pixels = photo[220:226, 310:319]
    found = measure.raster_bits(pixels, predictor.weights)
    tables = plain.tables_of(predictor.weights)
    for y, x in [(0, 0), (0, 8), (3, 0), (3, 4), (5, 8)]:
        canvas = new_canvas(6, 9)
        canvas.image[:] = pixels
        canvas.mask[:y], canvas.mask[y, :x] = True, True
        params, base = predictor.scattered(canvas, np.array([[y, x]], np.int32))
        alone = measure.bits_of(params, base, pixels[y, x][None], tables, 3)
        assert found[:, y, x] == pytest.approx(alone[:, 0], abs=1e-9)


@pytest.mark.parametrize("strip", [0, 4, 16])
def test_strips_are_those_of_the_file(strip: int, photo: np.ndarray, predictor: Predictor) -> None:
    """The decoder that tells after each strip finds the pixels, and has read all when it is done."""
    pixels = photo[150:187, 300:340]
    budget = Schedule(strip=strip, slope=7).calls(37, 40)
    opened, _ = measured(pixels, predictor, order="raster", budget=budget)
    assert opened.header.schedule.strip == strip
    mixing = Mixing(3, 37 * 40, predictor.weights, opened.payload(0), Continuation([0], 0))
    strips = measure.strip_bits(mixing, 37, 40, strip)
    assert sum(rows for rows, _ in strips) == 37
    assert [rows for rows, _ in strips[:-1]] == [strip] * (len(strips) - 1)
    assert sum(bits for _, bits in strips) == pytest.approx(8 * len(opened.payload(0)), abs=SLACK)
    assert mixing.exhausted()


@pytest.mark.parametrize("budget", [1, 20])
def test_phases_are_coded_as_in_the_file(budget: int, photo: np.ndarray, predictor: Predictor) -> None:
    """The ledger's coder writes the very words of the payload."""
    pixels = photo[150:190, 300:355]
    opened, _ = measured(pixels, predictor, order="lattice", budget=budget)
    schedule, stride = opened.header.schedule, PATCH ** opened.header.schedule.root_level(40, 55)
    ledger = measure._Ledger(pixels, schedule, predictor.weights)
    walk(ledger, predictor, schedule, pixels[::stride, ::stride], (40, 55), pixels, ledger.told)
    assert ledger.mixing is not None
    words = ledger.mixing.finish()
    assert opened.payload(0).endswith(words)
    assert ledger.share.sum() == pytest.approx(8 * len(words), abs=SLACK)
    assert ledger.calls == schedule.calls(40, 55)


@pytest.mark.parametrize("strip", [0, 4, 5])
def test_calls_of_raster_order(strip: int) -> None:
    """There are as many as the schedule says, and each knows all that raster order shows to its pixels."""
    schedule, radius = Schedule(strip=strip, slope=7), 6
    call = measure.raster_calls(schedule, 23, 31)
    assert call.max() + 1 == schedule.calls(23, 31)
    assert (np.diff(call, axis=1) == 1).all()
    for up in range(1, radius + 1):
        for right in range(-radius, radius + 1):
            first, last = max(0, -right), min(31, 31 - right)
            assert (call[:-up, first + right : last + right] < call[up:, first:last]).all()


def test_graphics_are_measured_by_rows(photo: np.ndarray, predictor: Predictor) -> None:
    pixels = np.tile(photo[200:214, 330:345], (6, 6, 1))
    opened, found = measured(pixels, predictor, order="raster")
    assert opened.header.entries[0].method == Method.GRAPHICS
    assert found.fineness == Fineness.ROW
    assert found.spent.sum() == pytest.approx(8 * len(opened.payload(0)))
    few = measure.measure(pixels, opened.payload(0), Method.GRAPHICS, opened.header.schedule, predictor, True)
    assert few.network is None
    assert few.spent.sum(1) == pytest.approx(found.spent.sum(1))
    assert np.ptp(few.spent, axis=1) == pytest.approx(0, abs=1e-9)


def test_indices_of_a_palette_are_measured_by_rows(photo: np.ndarray, predictor: Predictor) -> None:
    pixels = photo[100:164, 300:380] // 64 * 64
    opened, found = measured(pixels, predictor, order="raster")
    assert opened.header.entries[0].method == Method.PALETTE
    assert found.fineness == Fineness.ROW
    assert found.network is None
    assert found.spent.sum() == pytest.approx(8 * len(opened.payload(0)))
    assert np.ptp(found.spent, axis=1) == pytest.approx(0, abs=1e-9)
    assert np.ptp(found.spent[:, 0]) > 0
    flat, found = measured(np.full((600, 600, 3), 9, np.uint8), predictor)  # indices that are stored
    assert flat.header.entries[0].method == Method.PALETTE
    assert found.fineness == Fineness.PLANE


def test_nothing_is_known_within_other_planes() -> None:
    found = measure.whole((3, 5), 30)
    assert (found.spent == 16).all()
    assert found.fineness == Fineness.PLANE
    assert measure.whole((3, 5), 0).spent.sum() == 0
