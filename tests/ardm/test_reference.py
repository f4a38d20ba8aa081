"""The integer reference of ordered values: what it must be where the answer is plain, and independent of the
rest of the batch.
"""

from __future__ import annotations

import pytest
import torch

from ardm.discrete import Space, coarse, digit_log_prob, digit_log_probs, middles, reference

pytestmark = pytest.mark.quick

SHAPES = [(16,), (6, 7), (3, 12, 10)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("classes", "base"), [(256, 0), (256, 4), (200, 6)])
def test_reference_keeps_what_is_known_and_stays_in_range(
    shape: tuple[int, ...], classes: int, base: int
) -> None:
    space = Space(shape, classes, base)
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, classes, (4, *shape), generator=generator)
    known = torch.rand(x.shape, generator=generator) < 0.4
    for digit in range(space.stages):
        seen = coarse(space, x, known, digit)
        wide = torch.where(known, space.radix**digit, space.radix ** (digit + 1))
        guess = reference(space, seen, known, digit)
        assert guess.dtype == torch.int64
        assert (guess >= 0).all()
        assert (guess <= 2 * (classes - 1)).all()
        middle = middles(space, seen, known, digit)
        assert torch.equal(guess[known], middle[known])
        assert (middle >= 2 * seen).all()
        assert (middle <= 2 * ((seen + wide).clamp(max=classes) - 1)).all()
        one = reference(space, seen[1:2], known[1:2], digit)
        assert torch.equal(one, guess[1:2])


def test_reference_of_a_flat_picture_is_its_value_and_of_nothing_the_middle() -> None:
    space = Space((3, 8, 8), 256)
    x = torch.tensor([200, 30, 90]).view(1, 3, 1, 1).expand(1, 3, 8, 8).contiguous()
    known = torch.rand(x.shape, generator=torch.Generator().manual_seed(2)) < 0.3
    assert (reference(space, coarse(space, x, known, 0), known, 0) - 2 * x).abs().max() <= 2
    nothing = torch.zeros_like(known)
    assert (reference(space, coarse(space, x, nothing, 0), nothing, 0) - 255).abs().max() <= 1


@pytest.mark.parametrize("base", [0, 2, 7])
def test_masses_of_logistics_add_up_far_from_the_mean_too(base: int) -> None:
    """Differences of nearly equal sigmoids lose all digits in the tails; the product form does not."""
    space = Space((4,), 200, base=base, likelihood="logistics", mixture=2)
    params = torch.tensor(
        [
            [0.0, 0.0, mean, mean, scale, scale]
            for mean in (-16.0, 0.0, 3.0, 16.0)
            for scale in (-8.0, -3.0, 2.0)
        ]
    )
    values = torch.arange(200).repeat(params.shape[0], 1)
    total = torch.zeros(values.shape)
    for digit in reversed(range(space.stages)):
        unit = space.radix ** (digit + 1)
        spread = params.unsqueeze(1).expand(-1, 200, -1)
        log_prob = digit_log_prob(space, spread, values, digit)
        every = digit_log_probs(space, spread, values // unit * unit, digit)
        assert torch.allclose(
            log_prob,
            every.gather(-1, (values // space.radix**digit % space.radix).unsqueeze(-1)).squeeze(-1),
            atol=1e-3,
        )
        total += log_prob
    assert torch.allclose(total.exp().sum(1), torch.ones(params.shape[0]), atol=1e-4)
