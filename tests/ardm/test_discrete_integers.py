"""Networks for discrete data in exact integers: they follow their float simulation, and every carrier gives
the same numbers.
"""

from __future__ import annotations

import pytest
import torch

from ardm.discrete import Space, coarse, digit_log_probs
from ardm.exact import carriers, frequencies, weights
from ardm.exact.discrete_predictor import DiscretePredictor
from ardm.networks import Config, Exact, build
from ardm.objective import training_loss
from ardm.training.run import trunk_of

TEXT = Space((64,), 27, ordered=False)
CASES = [
    (TEXT, Config("lattice", width=32, blocks=2, kernel=5, dilations=(1, 2))),
    (TEXT, Config("mixer", width=32, blocks=1, expand=2)),
    (TEXT, Config("context", width=32, blocks=2, kernel=9)),
    (
        Space((3, 8, 8), 256, base=4, likelihood="logistics", mixture=3),
        Config("lattice", width=32, blocks=2, patch=2),
    ),
    (Space((1, 8, 12), 200, base=6), Config("mixer", width=16, blocks=1, patch=4)),
    (Space((32,), 27, base=3, ordered=False, likelihood="direct"), Config("lattice", width=16, blocks=1)),
]
CARRIERS = [carriers.ReferenceCarrier, carriers.FloatCarrier, carriers.OneDnnCarrier]


def trained(space: Space, config: Config) -> Exact:
    """A network after a few steps, calibrated, with simulated integer arithmetic on."""
    torch.manual_seed(0)
    net = build(config, space)
    assert isinstance(net, Exact)
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, space.classes, (8, *space.shape), generator=generator)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(8):
        optimizer.zero_grad()
        training_loss(net, x, generator)[0].backward()
        optimizer.step()
    trunk = trunk_of(net)
    assert trunk is not None
    trunk.calibrate(lambda: training_loss(net, x, generator))
    trunk.quantized = True
    return net.eval()


@pytest.mark.parametrize(("space", "config"), CASES)
def test_integers_follow_the_simulation_on_every_carrier(space: Space, config: Config) -> None:
    net = trained(space, config)
    tensors, exponents = weights.to_integers(net)
    stored = weights.parse(weights.serialize(net.model, tensors, exponents, {}))
    assert stored.model == net.model
    generator = torch.Generator().manual_seed(2)
    x = torch.randint(0, space.classes, (5, *space.shape), generator=generator)
    where = torch.arange(space.size)
    steps = torch.tensor(space.parameter_steps)
    for digit in range(space.stages):
        known = (torch.rand(space.shape, generator=generator) < 0.4).expand(x.shape)
        seen = coarse(space, x, known, digit)
        answers = []
        for kind in CARRIERS:
            try:
                carrier = kind(stored)
            except NotImplementedError:
                assert config.name == "mixer"
                continue
            answers.append(DiscretePredictor(stored, carrier=carrier)(seen, known, digit, where))
            assert kind is carriers.ReferenceCarrier or carriers.layers_agree(carrier, stored)
        assert all(torch.equal(answers[0], other) for other in answers[1:])
        with torch.no_grad():
            simulated = net(seen, known, digit).flatten(1, -2)
        # a sixth of a step: the conditioning is rounded in the integers only
        assert (simulated - answers[0] / steps).abs().mean() < 0.01
        one_by_one = torch.cat(
            [DiscretePredictor(stored)(seen[i : i + 1], known[i : i + 1], digit, where) for i in range(5)]
        )
        assert torch.equal(one_by_one, answers[0])


@pytest.mark.parametrize("likelihood", ["categorical", "direct", "logistics"])
@pytest.mark.parametrize("base", [0, 2, 7])
def test_frequencies_follow_the_float_probabilities(likelihood: str, base: int) -> None:
    space = Space((4,), 200, base=base, likelihood=likelihood, mixture=4)
    generator = torch.Generator().manual_seed(3)
    params = torch.randn(50, space.parameters, generator=generator) * 1.5
    steps = torch.tensor(space.parameter_steps)
    integers = torch.round(params * steps).int()
    tables = frequencies.make_tables(space)
    whole = digit_log_probs(
        Space((4,), 200, base=0 if likelihood != "direct" else base, likelihood=likelihood, mixture=4),
        integers / steps,
        torch.zeros(50).long(),
        0,
    )
    value = (
        torch.randint(0, 200, (50,), generator=generator)
        if likelihood == "direct"
        else torch.multinomial(whole.exp(), 1, generator=generator)[:, 0]
    )
    for digit in range(space.stages):
        unit = space.radix ** (digit + 1)
        parent = value // unit * unit
        got = frequencies.digit_frequencies(space, integers, parent, digit, tables)
        assert got.dtype == torch.float32
        assert (got.double().sum(1) == 2**24 - space.radix).all()
        assert (got >= 0).all()
        expected = digit_log_probs(space, integers / steps, parent, digit).exp()
        # bits lost on average
        cost = (expected * (torch.log2(expected + 1e-30) - torch.log2((got.double() + 1) / 2**24))).sum(1)
        assert cost.max() < 0.01
