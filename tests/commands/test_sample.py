"""Drawing: from networks of any discrete data, from the photo codec, and what is missing of files that were
cut off.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from ardm.budget import even
from ardm.discrete import Space
from ardm.generate import sample
from ardm.networks import Config, Network, build
from ardm.objective import exact_bits
from ardm.training.fit import TrainingRecipe, fit, of_examples
from codec import ArdmError, CorruptError, TruncatedError, compress, container, decompress, png
from codec.coder import arithmetic, kernel
from codec.coder.continuation import Continuation
from codec.commands import sample as command
from codec.damage.invent import complete, draw
from codec.pictures import draw_pictures
from codec.samples import Kind
from tests import pngs
from tests.compiled import called
from tests.planes import decode_graphics
from tests.processes import only_files, run

SAMPLE = [sys.executable, "-c", "from codec.commands.sample import main; main()"]
LIMIT = 10**6
SMALL = Config("lattice", width=8, blocks=1, cond_width=4)


def lively(space: Space) -> Network:
    """A network that was not trained, but is far from indifferent."""
    torch.manual_seed(5)
    network = build(SMALL, space).eval()
    for name, parameter in network.named_parameters():
        if name == "head":
            torch.nn.init.normal_(parameter, std=1.0)
        if "cond" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return network


def chi_square(found: torch.Tensor, space: Space, probability: torch.Tensor) -> float:
    """Standard deviations by which the chi-square statistic of examples (N, D) is above its mean.
    probability: of all examples, in order.
    """
    index = (found.flatten(1) * torch.tensor([space.classes**i for i in reversed(range(space.size))])).sum(1)
    expected = probability * len(found)
    often = expected > 5
    count = torch.bincount(index, minlength=len(probability)).double()
    parts = [((count[often] - expected[often]) ** 2 / expected[often]).sum()]
    if (rare := expected[~often].sum()) > 1:
        parts.append((count[~often].sum() - rare) ** 2 / rare)
    else:
        assert count[~often].sum() <= 10
    freedom = int(often.sum()) + len(parts) - 2
    return (float(sum(parts)) - freedom) / math.sqrt(2 * freedom)


def everything(space: Space) -> torch.Tensor:
    return torch.tensor(list(itertools.product(range(space.classes), repeat=space.size))).view(
        -1, *space.shape
    )


SPACES = [
    Space((3,), 4, ordered=False),
    Space((2,), 5, base=2),
    Space((1, 1, 2), 6, base=3, likelihood="direct"),
    Space((2, 1), 7, likelihood="logistics", base=4),
]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("all_calls", [True, False])
def test_frequencies_are_the_networks_probabilities(space: Space, all_calls: bool) -> None:
    network = lively(space)
    order = torch.arange(space.size).flip(0).view(space.shape)
    budget = space.size * space.stages if all_calls else space.stages
    probability = torch.exp2(
        -exact_bits(network, everything(space), order, even(space.size, space.stages, budget)) * space.size
    )
    assert float(probability.sum()) == pytest.approx(1, abs=1e-4)
    assert float(probability.max()) > 2 / len(probability)
    found = sample(network, 4000, budget, order=order, batch=1000)
    assert chi_square(found, space, probability) < 4
    # the test can fail
    assert chi_square(found, space, torch.full_like(probability, 1 / len(probability))) > 20


def test_what_is_known_is_kept_and_conditions_the_rest() -> None:
    space = Space((3,), 4, ordered=False)
    network = lively(space)
    order = torch.tensor([0, 1, 2])
    # unknown values are not looked at
    known, values = (torch.tensor([False, False, True]), torch.tensor([77, -1, 2]))
    found = sample(network, 4000, 3, order=order, given=(values, known), batch=1000)
    assert bool((found[:, 2] == 2).all())
    every = everything(space)
    probability = torch.exp2(-exact_bits(network, every, torch.tensor([1, 2, 0])) * 3).masked_fill(
        every[:, 2] != 2, 0
    )
    assert chi_square(found, space, probability / probability.sum()) < 4


def test_every_budget_and_mask_works_and_costs_as_many_calls() -> None:
    space = Space((1, 2, 3), 9, base=3)
    network = lively(space)
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    network.register_forward_hook(count)
    generator = torch.Generator().manual_seed(0)
    for budget in range(space.stages, space.size * space.stages + 1):
        calls = 0
        space.check(sample(network, 2, budget))
        assert calls == budget
        known = torch.rand(space.shape, generator=generator) < torch.rand((), generator=generator)
        values = torch.randint(0, 9, space.shape, generator=generator)
        calls = 0
        found = sample(network, 2, budget, given=(values, known))
        assert torch.equal(found[:, known], values[known].expand(2, -1))
        assert calls == min(budget, space.stages * int((~known).sum()))
    everywhere = torch.ones(space.shape, dtype=torch.bool)
    assert torch.equal(sample(network, 2, 4, given=(values, everywhere)), values.expand(2, *space.shape))


def test_seeds_decide_and_batches_do_not() -> None:
    network = lively(Space((3, 4), 16))
    first = sample(network, 7, 6, seed=3)
    assert torch.equal(first, sample(network, 7, 6, seed=3, batch=2))
    assert torch.equal(first[:4], sample(network, 4, 6, seed=3))
    assert not torch.equal(first, sample(network, 7, 6, seed=4))
    assert len({tuple(one.flatten().tolist()) for one in first}) == 7


def test_temperature() -> None:
    space = Space((1,), 6, ordered=False)
    network = lively(space)
    order = torch.zeros(1, dtype=torch.int64)
    probability = torch.exp2(-exact_bits(network, everything(space), order))
    coldest = sample(network, 5, 1, temperature=0, seed=1)
    assert bool((coldest == int(probability.argmax())).all())
    assert torch.equal(coldest, sample(network, 5, 1, temperature=0, seed=2))
    assert torch.equal(coldest, sample(network, 5, 1, temperature=1e-300, seed=2))
    for temperature in (0.5, 2.0):
        warmed = probability ** (1 / temperature)
        assert (
            chi_square(
                sample(network, 4000, 1, temperature=temperature, batch=4000), space, warmed / warmed.sum()
            )
            < 4
        )


def test_a_policy_of_ones_own() -> None:
    space = Space((4,), 3, ordered=False)
    network = lively(space)
    found = sample(network, 3, [[0, 3]])
    assert not torch.equal(found, sample(network, 3, 2))  # which is [[0, 2]]
    assert torch.equal(sample(network, 3, [[0, 2]]), sample(network, 3, 2))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"budget": 1}, "budget must be between 2, the number of stages, and 8"),
        ({"budget": 9}, "got 9"),
        ({"count": 0}, "count and batch must be at least 1, got 0"),
        ({"seed": -1}, "seed must be 0 to"),
        ({"temperature": -0.5}, "temperature must be a number of at least 0, got -0.5"),
        ({"temperature": math.nan}, "got nan"),
        (
            {"given": (torch.zeros(4, dtype=torch.int64), torch.zeros(5, dtype=torch.bool))},
            r"mask must be bool and of shape \(4,\)",
        ),
        ({"given": (torch.zeros(4, dtype=torch.int64), torch.zeros(4))}, "mask must be bool"),
        (
            {"given": (torch.zeros(3, dtype=torch.int64), torch.zeros(4, dtype=torch.bool))},
            "known values must have the shape",
        ),
        ({"given": (torch.full((4,), 4), torch.ones(4, dtype=torch.bool))}, "values must be integers 0..3"),
        ({"order": torch.zeros(4, dtype=torch.int64)}, "its own place"),
        ({"budget": [[0], [0, 1], [0]]}, "one list of calls for each of 2 stages, got 3"),
        ({"budget": [[0, 1, 2, 3, 4], [0, 1, 2]]}, "increasing places"),
    ],
)
def test_bad_arguments(bad: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample(lively(Space((4,), 4, base=2)), **{"count": 1, "budget": 8, **bad})  # type: ignore[arg-type]


# ---- the command, with a checkpoint ------------------------------------------------------------------------


def trained(space: Space, folder: Path) -> Path:
    def examples(count: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(0, space.classes, (count, *space.shape), generator=generator)

    recipe = TrainingRecipe(space, SMALL, steps=2, batch=4)
    fit(recipe, of_examples(recipe, examples), examples(4, torch.Generator().manual_seed(0)), folder)
    return folder / "average.safetensors"


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(Space((3, 4, 5), 256, base=16), tmp_path_factory.mktemp("colour"))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(Space((12,), 27, ordered=False), tmp_path_factory.mktemp("text"))


def ask(*arguments: object, code: int = 0) -> Result:
    done = CliRunner().invoke(command.command, [str(a) for a in arguments])
    assert done.exit_code == code, (done.output, done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


def read(path: Path) -> np.ndarray:
    return png.read(path.read_bytes(), LIMIT).pixels


def test_images_become_a_grid(colour: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    ask("--model", colour, "--budget", 8, "--count", 5, "-o", out)
    grid = read(out)
    assert grid.shape == (2 * 5 - 1, 3 * 6 - 1, 3)
    assert not grid[4].any()  # between rows
    assert not grid[5:, 12:].any()  # the sixth is not there
    assert b"60 of 60 samples of each image are invented" in out.read_bytes()
    ask("--model", colour, "--budget", 8, "--count", 1, "-o", tmp_path / "one.png")
    assert np.array_equal(read(tmp_path / "one.png"), grid[:4, :5])
    assert "exists already" in ask("--model", colour, "--budget", 8, "-o", out, code=1).stderr
    ask("--model", colour, "--budget", 8, "--seed", 1, "--count", 1, "-f", "-o", out)
    assert not np.array_equal(read(out), grid[:4, :5])


@pytest.mark.parametrize(("shape", "classes"), [((1, 3, 4), 4), ((3, 4), 2), ((2, 2), 300)])
def test_grey_images_of_few_or_many_values(shape: tuple[int, ...], classes: int, tmp_path: Path) -> None:
    out = tmp_path / "grey.png"
    ask("--model", trained(Space(shape, classes), tmp_path), "--budget", 2, "--count", 1, "-o", out)
    found = png.read(out.read_bytes(), LIMIT)
    top = 65535 if classes > 256 else 255
    assert found.pixels.shape == shape[-2:]
    assert found.kind == Kind(16 if classes > 256 else 8)
    assert set(found.pixels.flatten().tolist()) <= {round(v * top / (classes - 1)) for v in range(classes)}


def test_an_image_is_filled_in(colour: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    mask = np.zeros((4, 5), dtype=np.uint8)
    mask[:2], mask[3, 3] = 255, 254  # only pure white is known
    for name, pixels in (
        ("known", image),
        ("mask", mask),
        ("wide", image[:, :4]),
        ("grey", mask),
        ("small", mask[:3]),
    ):
        (tmp_path / f"{name}.png").write_bytes(
            png.write(png.Png(np.ascontiguousarray(pixels), Kind(8), False, b"", b""))
        )
    out = tmp_path / "out.png"
    ways = ["--model", colour, "--budget", 8, "--count", 1, "-f", "-o", out]
    ask(*ways, "--known", tmp_path / "known.png", "--mask", tmp_path / "mask.png")
    assert np.array_equal(read(out)[:2], image[:2])
    assert not np.array_equal(read(out)[3], image[3])
    assert b"30 of 60 samples of each image are invented" in out.read_bytes()
    assert "go together" in ask(*ways, "--known", tmp_path / "known.png", code=2).stderr
    for known, where, message in (
        ("wide", "mask", "has 4 x 4 pixels and 3 channels, expected 5 x 4 and 3"),
        ("grey", "mask", "5 x 4 pixels and 1 channels, expected 5 x 4 and 3"),
        ("known", "small", "has 5 x 3 pixels and 1 channels, expected 5 x 4 and 1 or 3"),
        ("missing", "mask", "missing.png: does not exist"),
    ):
        done = ask(*ways, "--known", tmp_path / f"{known}.png", "--mask", tmp_path / f"{where}.png", code=1)
        assert message in done.stderr
    few = trained(Space((4, 5), 4), tmp_path / "few")
    done = ask(
        "--model",
        few,
        "--budget",
        4,
        "-o",
        out,
        "-f",
        "--known",
        tmp_path / "grey.png",
        "--mask",
        tmp_path / "mask.png",
    )
    (tmp_path / "grey.png").write_bytes(png.write(png.Png(mask // 2, Kind(8), False, b"", b"")))
    done = ask(
        "--model",
        few,
        "--budget",
        4,
        "-o",
        out,
        "-f",
        "--known",
        tmp_path / "grey.png",
        "--mask",
        tmp_path / "mask.png",
        code=1,
    )
    assert "has the value 127, which is none of the model's 4 levels" in done.stderr


def test_text(text: Path, tmp_path: Path) -> None:
    lines = ask("--model", text, "--budget", 6, "--count", 3).stdout.splitlines()
    assert [len(line) for line in lines] == [12] * 3
    assert set("".join(lines)) <= set(command.LETTERS)
    for line in ask("--model", text, "--budget", 6, "--count", 3, "--known", "th_ c_t").stdout.splitlines():
        assert (line[:2], line[3:5], line[6], len(line)) == ("th", " c", "t", 12)
    orders = {
        order: ask("--model", text, "--budget", 6, "--count", 3, "--order", order).stdout.splitlines()
        for order in command.ORDERS
    }
    assert orders["random"] == lines
    assert len({tuple(one) for one in orders.values()}) == 3
    ask("--model", text, "--budget", 6, "--count", 3, "-o", tmp_path / "text.txt")
    assert (tmp_path / "text.txt").read_text().splitlines() == lines
    cold = [ask("--model", text, "--budget", 12, "--count", 2, "--temperature", 0).stdout for _ in range(2)]
    assert cold[0] == cold[1]
    assert len(set(cold[0].splitlines())) == 1
    for wrong, message in (("The", "found 'T'"), ("a" * 13, "has 13 letters, the model's have 12")):
        assert message in ask("--model", text, "--budget", 6, "--known", wrong, code=1).stderr
    assert (
        "--mask does not go with text"
        in ask("--model", text, "--budget", 6, "--known", "a", "--mask", "b.png", code=2).stderr
    )


def test_wrong_usage(colour: Path, text: Path, tmp_path: Path) -> None:
    for arguments in (["--model", text, "--size", "8x8"], ["--size", "8x8", "--complete", "a.ardm"]):
        assert "say at most one of --model" in ask(*arguments, code=2).stderr
    assert "say with -o" in ask(code=2).stderr
    assert "--model needs --budget" in ask("--model", text, code=2).stderr
    assert "say with -o" in ask("--model", colour, "--budget", 4, code=2).stderr
    assert (
        "between 2, the number of stages, and 120"
        in ask("--model", colour, "--budget", 1, "-o", tmp_path / "a.png", code=1).stderr
    )
    assert "temperature must be" in ask("--model", text, "--budget", 4, "--temperature", -1, code=1).stderr
    assert (
        "--temperature does not go with --size"
        in ask("--size", "8x8", "--temperature", 1, "-o", tmp_path / "a.png", code=2).stderr
    )
    assert (
        "--adaptive does not go with --model"
        in ask("--model", text, "--adaptive", "--budget", 1, code=2).stderr
    )
    assert "--budget does not go with --complete" in ask("--complete", "a.ardm", "--budget", 1, code=2).stderr
    assert "such as 256x256" in ask("--size", "8", "-o", tmp_path / "a.png", code=2).stderr
    assert "5 to 2048 pixels" in ask("--size", "4x9", "-o", tmp_path / "a.png", code=1).stderr
    assert (
        "budget must be 1 to 15"
        in ask("--size", "9x9", "--budget", 16, "-o", tmp_path / "a.png", code=1).stderr
    )
    assert "does not exist" in ask("--model", tmp_path / "none", "--budget", 4, code=1).stderr
    assert "not an ardm checkpoint" in ask("--model", __file__, "--budget", 4, code=1).stderr
    line = trained(Space((4,), 5, ordered=False), tmp_path / "line")
    assert "neither images nor text" in ask("--model", line, "--budget", 4, code=1).stderr
    only_files(tmp_path, "line")


# ---- the model of small pictures ---------------------------------------------------------------------------


def test_small_pictures_out_of_the_box(tmp_path: Path) -> None:
    """Nothing but a budget is said; the same seed gives the same grid, whatever the count."""
    out = tmp_path / "grid.png"
    ask("--budget", 20, "--seed", 7, "--count", 2, "-o", out)
    grid = read(out)
    assert grid.shape == (32, 65, 3)
    assert b"3072 of 3072 samples of each image are invented" in out.read_bytes()
    one = draw_pictures(1, 20, seed=7)[0]
    assert np.array_equal(one, grid[:, :32])
    assert not np.array_equal(one, grid[:, 33:])
    others = [draw_pictures(1, 20, seed=7, order=order)[0] for order in ("random", "rows", "spread")]
    assert len({image.tobytes() for image in (one, *others, draw_pictures(1, 20, seed=8)[0])}) >= 4


def test_small_pictures_look_like_pictures() -> None:
    """Neighbours are alike; the colder, the more; a network that knows nothing would fail."""
    warm = draw_pictures(6, 94, seed=1).astype(float)
    cold = draw_pictures(6, 94, seed=1, temperature=0.5).astype(float)
    steps = [np.abs(np.diff(images, axis=2)).mean() for images in (warm, cold)]
    assert steps[1] < steps[0] < 30
    assert warm.std() > 20


def test_a_small_picture_is_filled_in(tmp_path: Path, photo: np.ndarray) -> None:
    image = np.ascontiguousarray(photo[:32, :32])
    mask = np.full((32, 32), 255, np.uint8)
    mask[8:24, 8:24] = 0
    for name, pixels in (("known", image), ("mask", mask)):
        (tmp_path / f"{name}.png").write_bytes(png.write(png.Png(pixels, Kind(8), False, b"", b"")))
    out = tmp_path / "out.png"
    known = ("--known", tmp_path / "known.png", "--mask", tmp_path / "mask.png", "--count", 1, "-o", out)
    ask("--budget", 30, *known)
    found = read(out)
    assert np.array_equal(found[mask == 255], image[mask == 255])
    # nearer to what was there than the mean of what is known around it
    hole = mask == 0
    mean = np.abs(image[hole].astype(float) - image[~hole].mean(0)).mean()
    assert np.abs(found[hole].astype(float) - image[hole]).mean() < 1.2 * mean
    assert b"768 of 3072 samples of each image are invented" in out.read_bytes()
    assert "go together" in ask("--known", "a.png", "-f", "-o", out, code=2).stderr
    with pytest.raises(ValueError, match="temperature 0 to 16"):
        draw_pictures(1, 20, temperature=-1)


# ---- the photo codec's own models --------------------------------------------------------------------------


def test_a_range_decoder_of_random_words_draws_from_the_distribution() -> None:
    """Where no encoder points, about every 10,000th decision, must not count as a one: such would outnumber
    the rarest ones by far.
    """
    draws, chances = 100_000, (2**23, arithmetic.LEAST, 2**20)
    words = np.random.default_rng(1).integers(0, 2**32, (1, 2 * draws), dtype=np.uint32)
    state = np.array([[2**64 - 1, 0, 2, words.size]], dtype=np.uint64)
    state[0, 1] = np.uint64(int(words[0, 0]) << 32 | int(words[0, 1]))
    ones, code_bit = [0, 0, 0], called(kernel.code_bit)
    for _ in range(draws):
        for i, chance in enumerate(chances):
            ones[i] += code_bit(state, words, 0, chance, 0, True)
    for found, chance in zip(ones, chances, strict=True):
        p = chance / kernel.ONE
        assert abs(found - draws * p) < 5 * math.sqrt(draws * p * (1 - p))


def test_drawing_is_the_same_everywhere() -> None:
    plane = decode_graphics(b"", (17, 19, 3), Continuation([1, 2], 1))
    assert hashlib.blake2b(plane.tobytes(), digest_size=8).hexdigest() == "6bfa34869df41cbf"


def test_a_new_image(tmp_path: Path) -> None:
    image = draw(20, 24, seed=1)
    assert image.shape == (20, 24, 3)
    assert image.std() > 10
    assert np.array_equal(image, draw(20, 24, seed=1))
    assert not np.array_equal(image, draw(20, 24, seed=2))
    assert not np.array_equal(image, draw(20, 24, seed=1, budget=3))
    learned = draw(20, 24, seed=1, adaptive=True)
    assert np.array_equal(learned, draw(20, 24, seed=1, adaptive=True))
    assert not np.array_equal(image, learned)
    assert np.array_equal(decompress(compress(image)), image)
    with pytest.raises(ValueError, match="seed must be"):
        draw(20, 24, seed=-1)
    ask("--size", "24x20", "--seed", 1, "-o", tmp_path / "new.png")
    assert np.array_equal(read(tmp_path / "new.png"), image)
    assert b"ardm: all pixels are invented" in (tmp_path / "new.png").read_bytes()


def shapes(photo: np.ndarray, name: str) -> tuple[np.ndarray, bytes]:
    """An image and its file, of every method and way of learning."""
    part = photo[200:240, 300:348]
    if name == "noise":
        part = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    elif name == "slope":  # filtered and stored
        part = np.add.outer(np.arange(40), 2 * np.arange(48)).astype(np.uint8)
    elif name == "graphics":
        part = part // 64 * 64
    elif name.startswith("grey"):
        part = part[..., 1]
    elif name == "alpha":
        part = np.dstack([part, 255 - part[..., 0]])
    elif name == "deep":
        part = part[..., 0].astype(np.uint16) * 256 + part[..., 0] % 3 * 77
    elif name == "fine":
        part = part.astype(np.uint16) * 16 + part % 13
    elif name == "large":  # for which threads follow each other
        part = photo[100:170, 300:372]
    options: dict[str, dict[str, object]] = {
        "tiles": {"tile": 24},
        "lattice": {"order": "lattice", "budget": 16},
        "grey lattice": {"order": "lattice", "budget": 16},
        "plain": {"plain": True},
        "grey plain": {"plain": True},
        "plain lattice": {"plain": True, "order": "lattice", "budget": 16},
        "scattered": {"seed": 4, "budget": 16},
        "one call": {"order": "lattice", "budget": 1},
        "one strip": {"order": "raster", "budget": 48 + 7 * 39},
    }
    return part, compress(part, **options.get(name, {}))  # type: ignore[arg-type]


SHAPES = (
    "rgb",
    "grey",
    "tiles",
    "large",
    "one strip",
    "lattice",
    "grey lattice",
    "plain",
    "grey plain",
    "plain lattice",
    "scattered",
    "graphics",
    "noise",
    "slope",
    "alpha",
    "deep",
    "fine",
    "one call",
)
ROOT_ONLY = ("plain lattice", "scattered")  # of which nothing can be kept but the root


@pytest.mark.parametrize("name", SHAPES)
def test_completion_keeps_what_was_before_the_cut(photo: np.ndarray, name: str) -> None:
    image, data = shapes(photo, name)
    _, first = container.read(data)
    pixels, mask, report = complete(data)
    assert np.array_equal(pixels, image)
    assert not mask.any()
    assert str(report) == "nothing is invented"
    assert not report.incomplete
    before = mask
    kept = []
    for length in np.linspace(len(data) - 1, first, 4 if name in (*ROOT_ONLY, "tiles") else 12).astype(int):
        pixels, mask, report = complete(data[:length], seed=3)
        assert report.incomplete
        assert np.array_equal(pixels[~mask], image[~mask])
        assert not (before & ~mask).any()  # what is invented grows as the cut moves to the front
        assert (report.invented, report.pixels) == (mask.sum(), mask.size)
        before = mask
        kept.append(1 - mask.mean())
    assert mask.all()
    # pixel after pixel: what is kept is about what is there
    if name in ("rgb", "grey", "noise", "large", "plain", "grey plain"):
        assert np.allclose(kept, np.linspace(1, 0, 12), atol=0.2)
    if name in ROOT_ONLY:
        assert max(kept) < 0.1
    # three streams, one after the other; a stream whose beginning costs most
    if name in ("fine", "graphics"):
        assert kept[0] > 0.5


def test_completion_is_decided_by_the_seed_and_not_by_threads(photo: np.ndarray) -> None:
    image, data = shapes(photo, "large")
    cut = data[: len(data) - 700]
    threads = torch.get_num_threads()
    try:
        one, two = (complete(cut, seed=5, threads=n) for n in (1, 2))
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1], two[1])
    other = complete(cut, seed=6)
    assert np.array_equal(other[1], one[1])
    assert not np.array_equal(other[0], one[0])
    assert np.array_equal(other[0][~other[1]], image[~other[1]])


def test_what_is_invented_looks_like_what_is_around_it(photo: np.ndarray) -> None:
    """Half of the pixels of a smooth part: a third of the error that grey would have is far more than the
    model makes.
    """
    image = photo[100:164, 100:164, 1]
    data = compress(image, order="lattice")
    pixels, mask, _ = complete(data[: len(data) * 6 // 10])
    assert 0.2 < mask.mean() < 0.6
    error = np.abs(pixels.astype(int) - image)[mask].mean()
    assert 0 < error < np.abs(128 - image.astype(int))[mask].mean() / 3


def test_damaged_and_missing_tiles(photo: np.ndarray) -> None:
    image, data = shapes(photo, "tiles")  # 2 x 2 tiles of 20 or 24
    header, at = container.read(data)
    damaged = bytearray(data[: -header.entries[3].length])
    damaged[at + 40] ^= 1
    pixels, mask, report = complete(bytes(damaged))
    expected = np.zeros(mask.shape, dtype=bool)
    top, left = header.tile
    expected[:top, :left] = expected[top:, left:] = True
    assert np.array_equal(mask, expected)
    assert np.array_equal(pixels[~mask], image[~mask])
    assert len(report.incomplete) == 2
    assert "checksum" in report.incomplete[0]
    assert "are missing" in report.incomplete[1]
    assert str(report) == f"{expected.sum()} of {expected.size} pixels are invented, not restored"


def test_few_values_stay_few(photo: np.ndarray) -> None:
    labels = (photo[200:230, 300:340, 0] // 90).astype(np.uint8)
    for kind in (Kind(2), Kind(8, indexed=True)):
        data = compress(labels, kind=kind)
        _, first = container.read(data)
        for length in (len(data) - 8, first + 30, first):
            pixels, mask, _ = complete(data[:length])
            assert np.array_equal(pixels[~mask], labels[~mask])
            assert pixels.max() <= labels.max() if kind.indexed else pixels.max() < 4


def test_what_cannot_be_completed(photo: np.ndarray) -> None:
    _, data = shapes(photo, "grey")
    _, first = container.read(data)
    for length in range(0, first, 5):
        with pytest.raises(ArdmError):
            complete(data[:length])
    with pytest.raises(TruncatedError, match="ends"):
        complete(data[: first - 1])
    with pytest.raises(ValueError, match="seed must be"):
        complete(data, seed=-1)
    header, _ = container.read(data)
    other = container.Header(**{**header.__dict__, "digest": bytes(container.DIGEST_BYTES)})
    with pytest.raises(CorruptError, match="nothing had to be invented, but the hash"):
        complete(container.write(other, [data[first:]]))
    whole = container.write_whole(b"not looked at", 8, 8, 3, Kind(8))
    with pytest.raises(CorruptError, match="in one piece that no model knows"):
        complete(whole[:-1])


def test_the_command_completes_and_labels(photo: np.ndarray, tmp_path: Path) -> None:
    source = pngs.build(
        [
            *pngs.split(pngs.png_of(photo[200:240, 300:348], 2, 8))[:1],
            (b"tIME", bytes(7)),
            *pngs.split(pngs.png_of(photo[200:240, 300:348], 2, 8))[1:],
        ]
    )
    from codec import archive

    data = archive.pack(source, exactly=False, tile=24).data
    cut = tmp_path / "cut.ardm"
    cut.write_bytes(data[:-300])
    done = run(SAMPLE, "--complete", cut, code=4)
    only_files(tmp_path, "cut.ardm", "cut.png", "cut.invented.png")
    image, mask = (
        png.read((tmp_path / "cut.png").read_bytes(), LIMIT),
        png.read((tmp_path / "cut.invented.png").read_bytes(), LIMIT),
    )
    said = f"{mask.pixels.sum()} of 1920 pixels are invented, not restored".encode()
    assert mask.kind == Kind(1)
    assert 0 < mask.pixels.sum() < 1000
    assert np.array_equal(image.pixels[mask.pixels == 0], photo[200:240, 300:348][mask.pixels == 0])
    assert said in done.stderr
    assert b"tEXtComment\0ardm: " + said in image.before
    assert b"tIME" in image.before
    assert "exists already" in ask("--complete", cut, code=1).stderr
    assert not ask("--complete", cut, "-f", "-q", code=4).stderr
    cut.write_bytes(data)
    done = ask("--complete", cut, "-o", tmp_path / "whole.png")
    assert "nothing is invented" in done.stderr
    assert b"Comment" not in (tmp_path / "whole.png").read_bytes()
    only_files(tmp_path, "cut.ardm", "cut.png", "cut.invented.png", "whole.png")
    cut.write_bytes(data[:60])
    assert "the file ends" in ask("--complete", cut, "-f", code=4).stderr
    assert "say with -o" in ask("--complete", tmp_path / "whole.png", code=2).stderr
    assert "two files" in ask("--complete", cut, "-o", "-", code=2).stderr
