"""Rounding of trained weights (`ardm.training.rounding`): on the grids, better than rounding each by itself,
with no example without effect, and possible at all for a channel of great weights.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from ardm.networks.window import WindowNet, weight_exponent
from ardm.released import WeightsError
from ardm.training.examples import Batch, training_batch
from ardm.training.export import within_reach
from ardm.training.integers import to_integers
from ardm.training.recipe import TrainingRecipe
from ardm.training.rounding import rounded
from ardm.window import WindowConfig

pytestmark = pytest.mark.quick

CONFIG = WindowConfig(radius=2, width=16, depth=2, mixture=2)


@pytest.fixture
def examples(photo: np.ndarray) -> list[Batch]:
    crops = np.stack([photo[y : y + 64, x : x + 64] for y, x in ((0, 0), (100, 200), (200, 80))])
    return [training_batch(crops, TrainingRecipe(network=CONFIG, pixels=1024), step) for step in range(2)]


@pytest.fixture
def net(examples: list[Batch]) -> WindowNet:
    torch.manual_seed(3)
    net = WindowNet(CONFIG)
    torch.nn.init.normal_(net.mask, std=0.05)
    torch.nn.init.normal_(net.head, std=0.1)
    net.calibrate(lambda: [net(batch.views) for batch in examples])
    net.quantized = True
    return net


def one_by_one(net: WindowNet) -> WindowNet:
    """Every weight rounded to its nearest integer."""
    net = copy.deepcopy(net)
    with torch.no_grad():
        for weight, limit in [(net.enter, net.limit), *((w, 127) for w in (*net.hidden, net.head))]:
            scale = torch.exp2(weight_exponent(weight, limit))[:, None]
            weight.copy_((weight * scale + 0.5).floor() / scale)
    return net


@torch.no_grad()
def error(net: WindowNet, other: WindowNet, examples: list[Batch]) -> float:
    """Mean square difference of the parameters."""
    return float(np.mean([((net(batch.views) - other(batch.views)) ** 2).mean() for batch in examples]))


def test_weights_lie_on_the_integers_grids(net: WindowNet, examples: list[Batch]) -> None:
    found = rounded(net, examples)
    tensors = to_integers(found)
    exponents = [weight_exponent(found.head), *(weight_exponent(weight) for weight in found.hidden)]
    integers = [tensors["head"], *tensors["hidden"]]
    for weight, exponent, integer in zip([found.head, *found.hidden], exponents, integers, strict=True):
        assert torch.equal(weight * torch.exp2(exponent)[:, None], torch.from_numpy(integer).float())
        assert 64 <= np.abs(integer).max() <= 127


def test_what_goes_in_stays_as_it_was(net: WindowNet, examples: list[Batch]) -> None:
    before = copy.deepcopy(net.state_dict())
    found = rounded(net, examples)
    assert all(torch.equal(before[name], values) for name, values in net.state_dict().items())
    assert found.quantized
    assert all(p.grad is None for p in net.parameters())


def test_later_weights_make_up_for_earlier_ones(
    net: WindowNet, examples: list[Batch], photo: np.ndarray
) -> None:
    """Closer to the network before than rounding one by one, on pixels that it has not seen too."""
    found, plain = rounded(net, examples), one_by_one(net)
    assert error(net, found, examples) < error(net, plain, examples)
    others = [training_batch(photo[None, 150:214, 300:364], TrainingRecipe(network=CONFIG, pixels=1024), 9)]
    assert error(net, found, others) < error(net, plain, others)


def test_examples_decide(net: WindowNet, examples: list[Batch]) -> None:
    one, two = rounded(net, examples[:1]), rounded(net, examples)
    assert not torch.equal(one.head, two.head)


@torch.no_grad()
def test_great_weights_come_within_reach(net: WindowNet, examples: list[Batch]) -> None:
    """A channel inside a block, whose weights no byte holds without a shift to the left, is made smaller; in
    real numbers the network computes the same.
    """
    net.quantized = False
    net.hidden[2][5].mul_(2000)
    net.hidden_bias[2][5].mul_(2000)
    net.hidden[3][:, 5].div_(2000)
    assert weight_exponent(net.hidden[2]).min() < 0
    with pytest.raises(WeightsError, match="shifts"):
        to_integers(net)
    before = copy.deepcopy(net)
    within_reach(net)
    to_integers(net)
    assert error(net, before, examples) < 1e-9
    assert torch.equal(net.hidden[0], before.hidden[0])


@torch.no_grad()
def test_great_weights_of_the_head_are_clipped(net: WindowNet) -> None:
    mean = net.config.mixture  # the first mean
    net.head[mean, 3], before = -40.0, net.head.clone()
    with pytest.raises(WeightsError, match="shifts"):
        to_integers(net)
    within_reach(net)
    to_integers(net)
    assert net.head[mean, 3] == -127 * 2.0**-4
    before[mean, 3] = net.head[mean, 3]
    assert torch.equal(net.head, before)
