"""The parts of `benchmarks.speed` that compute: counts, the formula of costs and schedules on made-up numbers;
the split of coding into the network and the rest on a small tile. Nothing is timed.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ardm.exact import window
from ardm.exact.predictor import Predictor, new_canvas
from ardm.window import near_inputs, raster_pattern
from benchmarks import ceilings, coding, costs, growth, speed
from benchmarks.costs import Costs, Point
from codec.coder.mixing import Mixing
from codec.coder.walk import planar
from codec.scheduling import STRIP

COSTS = Costs(start=0.5, overhead=0.002, per_pixel=3e-6)


def point(images: int, pixels: int, tiles: int = 1, threads: int = 1, costs: Costs = COSTS) -> Point:
    """A measurement without noise."""
    seconds = costs.seconds(images, pixels, tiles, threads)
    return Point(
        "pixels",
        "ardm",
        "encode",
        images,
        pixels,
        tiles,
        threads,
        "raster",
        False,
        seconds,
        seconds,
        2 * seconds,
        100.0,
        pixels,
    )


POINTS = [
    point(1, 1000),
    point(1, 100_000),
    point(1, 1_000_000, 2, 2),
    point(8, 8 * 4096),
    point(1, 1_000_000, 2, 1),
    point(512, 512 * 4096),
    point(64, 64 * 4096, 64, 2),
    point(1, 10_000_000, 12, 2),
]


def test_multiply_accumulates_are_the_weights_of_what_is_known() -> None:
    weights = window.load()
    t, config = weights.tensors, weights.config
    known = (3 * raster_pattern(config.radius)[:, None] + np.arange(3)).reshape(-1)
    near = np.isin(near_inputs(config.radius), known)
    total = t["enter"][:, known].size + t["near"][:, near].size + t["hidden"].size + t["head"].size
    assert ceilings.raster_products(weights) == total


def test_the_formula_is_found_again() -> None:
    found, rows = costs.predicted(POINTS)
    assert found.start == pytest.approx(COSTS.start)
    assert found.overhead == pytest.approx(COSTS.overhead)
    assert found.per_pixel == pytest.approx(COSTS.per_pixel)
    assert len(rows) == len(POINTS) // 2
    assert costs.worst(row["ratio"] for row in rows) < 1e-9


def test_processor_time_is_of_one_core() -> None:
    points = costs.on_one_core(POINTS)
    assert {p.threads for p in points} == {1}
    assert [p.seconds for p in points] == [2 * p.seconds for p in POINTS]


def test_no_cost_is_negative() -> None:
    """Larger images that take less time: nothing but a start is left."""
    points = [
        replace(point(1, pixels), seconds=2 - pixels / 1e7) for pixels in (1, 1000, 1_000_000, 5_000_000)
    ]
    found = costs.fit(points)
    assert min(found.start, found.overhead, found.per_pixel) >= 0
    assert found.per_pixel == 0


def test_halves_share_no_point() -> None:
    fitted, others = costs.halves(POINTS)
    assert sorted(map(id, fitted + others)) == sorted(map(id, POINTS))
    assert costs.worst([1.1, 0.7, 1.0]) == pytest.approx(0.3)


def test_a_schedule_is_that_of_the_first_free_core() -> None:
    assert costs.schedule([1.0] * 24, 16) == 2
    assert costs.speed_up([1.0] * 24, 16) == 12
    assert costs.speed_up([1.0] * 24, 64) == 24
    assert costs.schedule([1, 1, 3], 2) == 4  # in their order: the longest begins last
    assert costs.schedule([0.0] * 10, 4, alone=1) == 10
    assert costs.speed_up([1.0] * 100, 1, alone=0.5) == 1


def test_many_cores_never_help_more_than_their_number() -> None:
    tiles = costs.tile_pixels(4000, 6000, 1000, 1000)
    assert len(tiles) == 24
    assert sum(costs.tile_pixels(70, 90, 32, 64)) == 70 * 90
    for row in costs.many_cores(COSTS, tiles, 4096, (1, 16, 64)):
        assert row["thumbnails_in_one_process"] <= row["thumbnails"] <= row["cores"] + 1e-9
        assert row["photo"] <= min(row["cores"], len(tiles)) + 1e-9


def test_a_petabyte() -> None:
    found = costs.petabyte(Costs(9.0, 3.6, 3.6e-6), 2.0, 1_000_000, share=0.75)
    assert found["photos"] == 5e8
    assert found["core_hours"] == pytest.approx(5e8 * (3.6 + 3.6) / 3600)
    assert found["bytes_saved"] == 0.25e15


def test_sizes_are_of_photos_or_else_of_a_mosaic() -> None:
    points = [
        vars(replace(point(1, 1000), method=name, size=size)) for name, size in (("ardm", 10), ("plain", 15))
    ]
    whole = {"growth": {"points": points, "png": {"10": 3, "1000": 20}}}
    assert speed.png_and_ours(whole) == (0.02, {"ardm": 0.5, "plain": 0.75})
    sizes = {"png": 30, "ardm": 12, "plain": 15}
    results = [{"codec": name, "images": [{"bytes": size, "pixels": 10}]} for name, size in sizes.items()]
    assert speed.png_and_ours({**whole, "beside": {"results": results}}) == (3, {"ardm": 0.4, "plain": 0.5})


def test_the_model_needs_points_of_both_kinds() -> None:
    found = {"of": {"ardm encode": {"predicted": costs.predicted(POINTS)[1], "worst": 0.1}}}
    found["of"]["ardm encode"] |= {
        "core_costs": vars(COSTS),
        "core_worst": 0.2,
        "costs": vars(COSTS),
        "petabyte": costs.petabyte(COSTS, 2.0, 1_000_000, 0.7),
        "cores": costs.many_cores(COSTS, [1000] * 24, 4096, (16,)),
    }
    assert "worst deviation, by the clock: 10 %" in speed.model_report(found)
    with pytest.raises(SystemExit, match="growth"):
        speed.model(argparse.Namespace(), {})


def test_how_far_growth_goes() -> None:
    assert growth.extent(True, False, 1, 2).megapixels[-1] < 1
    assert growth.extent(False, True, 1, 2).megapixels[-2:] == (24, 100)
    assert growth.extent(False, False, 1, 4).threads == (1, 2, 3, 4)
    assert growth.extent(False, False, 1, 12).threads == (1, 2, 4, 8, 12)


def test_the_rest_is_the_coder_told_what_the_network_says(photo: np.ndarray) -> None:
    """All of the network's answers are those of the library, and the coder writes the same with them."""
    weights, tile = window.load(), np.ascontiguousarray(photo[100:164, 200:264])
    height, width, _ = tile.shape
    params, base = ceilings.room_for_answers(weights, height * width)
    slope = weights.config.radius + 1
    ceilings.ask_all(height, slope, width, ceilings.asked(weights, tile), params, base)
    canvas = new_canvas(height, width)
    canvas.image[:] = tile
    where = np.stack(np.divmod(np.arange(height * width), width), 1).astype(np.int32)
    expected = Predictor(weights).raster(canvas, where)
    assert np.array_equal(params.reshape(len(where), -1), expected[0])
    assert np.array_equal(base.reshape(-1, 3), expected[1])
    coder = Mixing(3, height * width, weights)
    coder.start_stage(np.zeros((3, height, width), np.int16), planar(tile))
    coder.code_raster(STRIP)
    data = ceilings.with_answers(weights, tile, params, base, None)
    assert data == coder.finish()
    assert np.array_equal(ceilings.with_answers(weights, tile, params, base, data), planar(tile))
    mixed, _ = ceilings.mixed_decisions(weights, tile)
    assert 1 < mixed <= 8


def test_a_process_codes_a_folder(tmp_path: Path, photo: np.ndarray) -> None:
    for i in range(2):
        np.save(tmp_path / f"{i}.npy", photo[i : i + 6, :5])
    job = {"source": str(tmp_path), "target": str(tmp_path), "threads": 1, "batch": False, "passes": 2}
    encoded = coding.passes({**job, "direction": "encode", "options": {"verify": False}})
    assert encoded["bytes"] == sum(path.stat().st_size for path in tmp_path.glob("*.ardm"))
    assert len(encoded["seconds"]) == len(encoded["each"]) == 2
    decoded = coding.passes({**job, "direction": "decode", "options": {}, "batch": True})
    assert decoded["lossless"]
    assert decoded["batch"]
    assert len(decoded["each"]) == 1
    np.save(tmp_path / "1.npy", photo[:6, :5])
    assert not coding.passes({**job, "direction": "decode", "options": {}})["lossless"]
    assert coding.peak() > 2**20


def test_times_are_split_by_pixel() -> None:
    seconds = {"ask": 1.0, "inner": 2.0, "layers": 2.0, "mixing encode": 3.0, "mixing decode": 3.5}
    seconds |= {"ardm encode": 4.2, "ardm decode": 5.0, "plain encode": 1.5, "plain decode": 1.6}
    found = ceilings.split(seconds, 1_000_000, window.load())
    encode, plain = found["times"]["ardm encode"], found["times"]["plain encode"]
    assert encode["whole_us"] == pytest.approx(sum(encode[f"{p}_us"] for p in ("network", "coding", "other")))
    assert encode["coding_ns_per_subpixel"] == pytest.approx(1000)
    assert plain["coding_us"] == pytest.approx(0.5)
    assert found["share_of_ceiling"][ceilings.CEILING] == 1
    whole = {**found, "products": 1, "mixed_decisions": 4.0, "mixed_decisions_exact": False}
    assert "at least 4.00 mixed" in ceilings.report(whole)
