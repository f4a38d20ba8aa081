"""The photo codec's network as a network of the general model: the same rules, the same numbers, and every
tool of the model works with it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ardm import generate, networks
from ardm.discrete import Space
from ardm.exact.predictor import new_canvas, windows
from ardm.exact.window import base_of
from ardm.likelihood import bits, conditionals
from ardm.networks import Config, Window, build
from ardm.networks.window import Views
from ardm.objective import bound, diffusion_bound, exact_bits, loss_table, training_loss
from ardm.training import fit
from ardm.units import CODING_ORDER

SPACE = Space((3, 6, 7), 256, likelihood="logistics", mixture=3)
DIALS = Config("window", width=20, blocks=2, kernel=5)


def opinionated(space: Space = SPACE) -> Window:
    """Weights that let the answers differ widely."""
    torch.manual_seed(3)
    network = build(DIALS, space)
    assert isinstance(network, Window)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.add_(torch.randn_like(parameter) * (0.3 if "mask" in name or "head" in name else 0.05))
    return network.eval()


def pictures(count: int, space: Space = SPACE) -> torch.Tensor:
    """Slopes with noise: int64 (count, *shape)."""
    generator = torch.Generator().manual_seed(1)
    channels, height, width = space.grid
    slope = 9 * torch.arange(height)[:, None] + 4 * torch.arange(width)
    start = torch.randint(20, 150, (count, 1, 1, 1), generator=generator)
    noise = torch.randint(-3, 4, (count, channels, height, width), generator=generator)
    return (start + slope + noise).view(count, *space.shape)


@pytest.mark.parametrize("shape", [(3, 6, 7), (1, 6, 7), (5, 8)], ids=str)
def test_answers_come_from_what_is_known_alone(shape: tuple[int, ...]) -> None:
    space = Space(shape, 256, likelihood="logistics", mixture=2)
    network = opinionated(space)
    generator = torch.Generator().manual_seed(2)
    x, other = (torch.randint(256, (2, *shape), generator=generator) for _ in range(2))
    known = torch.rand((2, *shape), generator=generator) < 0.5
    out = network(x * known, known, 0)
    assert out.shape == (*x.shape, space.parameters)
    assert torch.equal(network(torch.where(known, x, other), known, 0)[~known], out[~known])
    assert not torch.allclose(network(torch.where(known, other, x), known, 0)[~known], out[~known])
    wanted = ~known & (torch.rand(x.shape, generator=generator) < 0.3)
    # what is not asked for changes nothing but the order of sums: products of fewer rows may round otherwise
    torch.testing.assert_close(network(x, known, 0, wanted)[wanted], out[wanted], rtol=1e-4, atol=1e-4)
    loss, value = training_loss(network, x, generator, 0.01)
    loss.backward()
    assert value < loss
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_windows_are_those_of_the_codec() -> None:
    """Values, masks and bases against the integer reference's, for a mask of whole pixels."""
    network, x = opinionated(), pictures(2)
    radius = network.body.config.radius
    mask = (torch.rand((2, 1, 6, 7), generator=torch.Generator().manual_seed(4)) < 0.6).expand(-1, 3, -1, -1)
    where = torch.arange(2 * 6 * 7)
    base = network.base(x, mask).permute(0, 2, 3, 1).reshape(-1, 3)
    views: Views = network.views(x, mask, where, base)
    for i, image in enumerate(x):
        canvas = new_canvas(6, 7)
        canvas.image[:] = image.permute(1, 2, 0).numpy()
        canvas.mask[:] = mask[i, 0].numpy()
        pixels, known = windows(canvas, np.stack(np.mgrid[:6, :7], -1).reshape(-1, 2), radius)
        expected = base_of(pixels, known, radius)
        rows = slice(42 * i, 42 * i + 42)
        assert np.array_equal(base[rows], expected)
        values = np.where(known[..., None], np.clip(pixels - expected[:, None], -128, 127), 0)
        assert np.array_equal(views.values[rows], values.reshape(42, -1))
        assert np.array_equal(views.missing[rows] == 0, known)


def test_channel_by_channel_is_the_joint_mixture() -> None:
    """Three calls for a pixel, G, R, B, cost what the joint likelihood says, and so does the whole picture in
    raster order.
    """
    network, x = opinionated(), pictures(3)
    places = torch.empty(SPACE.shape, dtype=torch.int64)
    for step, c in enumerate(CODING_ORDER):
        places[c] = 3 * torch.arange(42).view(6, 7) + step
    found = exact_bits(network, x, places)
    total = torch.zeros(3, dtype=torch.float64)
    with torch.no_grad():
        for i in range(42):
            mask = (torch.arange(42).view(1, 1, 6, 7) < i).expand(3, 3, -1, -1)
            where = torch.arange(3) * 42 + i
            base = network.base(x, mask).permute(0, 2, 3, 1).reshape(-1, 3)[where]
            params = network.body([network.views(x, mask, where, base)])
            pixel = x.permute(0, 2, 3, 1).reshape(-1, 3)[where]
            total += bits(params, pixel.float(), base.float(), SPACE.mixture).double().sum(1)
    assert torch.allclose(found, total / SPACE.size, rtol=1e-2)  # the two add different small uniform shares


def test_unknown_channels_condition_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    params, base = torch.randn(50, 30, generator=generator), torch.full((50, 3), 100.0)
    one, two = (torch.randint(256, (50, 3), generator=generator).float() for _ in range(2))
    nothing = torch.zeros(50, 3, dtype=torch.bool)
    for a, b in zip(
        conditionals(params, one, base, 3, nothing), conditionals(params, two, base, 3, nothing), strict=True
    ):
        assert torch.equal(a.weight, b.weight)
        assert torch.equal(a.center, b.center)
    everything, plain = conditionals(params, one, base, 3, ~nothing), conditionals(params, one, base, 3)
    assert all(
        torch.equal(a.weight, b.weight) and torch.equal(a.center, b.center)
        for a, b in zip(everything, plain, strict=True)
    )


def test_the_tools_of_the_model_work(tmp_path: Path) -> None:
    """Learning, the bound and its special case, the table that budgets are planned from, random orders,
    drawing and filling in.
    """
    space = Space((3, 4, 4), 256, likelihood="logistics", mixture=2)

    def draw(batch: int, generator: torch.Generator) -> torch.Tensor:
        start = torch.randint(40, 200, (batch, 1, 1, 1), generator=generator)
        return (start + 5 * torch.arange(4)).expand(-1, 3, 4, -1).contiguous()

    valid = draw(32, torch.Generator().manual_seed(9))
    recipe = fit.TrainingRecipe(
        space, Config("window", width=16, blocks=1, kernel=7), batch=16, rate=0.02, steps=150, ema=0.9
    )
    run = fit.fit(recipe, fit.of_examples(recipe, draw), valid, tmp_path)
    network, loaded = fit.load_network(tmp_path / "average.safetensors")
    assert loaded == run.recipe
    generator = torch.Generator().manual_seed(1)
    estimate = float(bound(network, valid, generator).mean())
    assert estimate < 3.5  # of 8
    assert abs(float(diffusion_bound(network, valid, generator, 16).mean()) - estimate) < 0.5
    order = torch.from_numpy(np.random.default_rng(0).permutation(space.size)).view(space.shape)
    assert abs(float(exact_bits(network, valid, order).mean()) - estimate) < 0.6
    table = loss_table(network, [valid], generator, points=5)
    assert table[0, 0] > table[0, -1] > 0
    known = torch.zeros(space.shape, dtype=torch.bool)
    known[..., :2] = True
    drawn = generate.sample(network, 2, 8, seed=4, given=(valid[0], known), temperature=0)
    assert torch.equal(drawn[:, known], valid[0][known].expand(2, -1))
    assert float((drawn - valid[0]).abs().float().mean()) < 8
    assert networks.multiply_accumulates(network) == 16 * (3 * 48 * 16 + 2 * 16 * 16 + 20 * 16)


@pytest.mark.parametrize(
    ("space", "config", "message"),
    [
        (
            Space((8,), 27, ordered=False),
            DIALS,
            "pictures of 1 or 3 channels, 256 classes, one stage, likelihood logistics; got 1 channels, 27 "
            "classes",
        ),
        (
            Space((3, 4, 4), 256, base=4, likelihood="logistics"),
            DIALS,
            "got 3 channels, 256 classes, 4 stages",
        ),
        (Space((2, 4, 4), 256, likelihood="logistics"), DIALS, "got 2 channels"),
        (Space((3, 4, 4), 256), DIALS, "categorical"),
        (SPACE, Config("window", kernel=1), "kernel must be at least 3, got 1"),
    ],
)
def test_spaces_that_it_is_not_for_are_refused(space: Space, config: Config, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(config, space)
