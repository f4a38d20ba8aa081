"""What fuzzing looks for, in small: earlier findings, and seeded mutations of sound files through the same
entry points (`tests.fuzz.targets`).
"""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec import ArdmError, archive, container, png, text
from codec.formats import sources
from tests import images, pngs, samples
from tests.fuzz import formats, mutate, targets

FINDINGS = Path(targets.__file__).parent / "findings"


@pytest.mark.parametrize("path", sorted(FINDINGS.glob("*/*")), ids=lambda p: p.stem)
def test_no_finding_comes_back(path: Path) -> None:
    """Each was an exception other than ArdmError, a wrong result, or too much memory."""
    tracemalloc.start()
    getattr(targets, path.parent.name)(path.read_bytes())
    assert tracemalloc.get_traced_memory()[1] < 200 * 2**20
    tracemalloc.stop()


def test_what_a_forged_recipe_makes_is_refused_unless_it_holds_the_image() -> None:
    for path in (FINDINGS / "decoder").glob("*.ardm"):
        with pytest.raises(ArdmError):
            archive.unpack(path.read_bytes())


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(
        sorted(samples.arrays() | samples.png_files() | samples.source_files() | samples.jpeg_files())
    ),
    st.integers(0, 2**32 - 1),
)
def test_a_mutated_file_raises_only_our_errors(name: str, seed: int) -> None:
    rng = random.Random(seed)
    targets.decoder(mutate.ardm(samples.files(targets.stub())[name], rng, mutate.blind_of(rng)))


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(samples.kinds())), st.integers(0, 2**32 - 1))
def test_a_mutated_png_raises_only_our_errors(name: str, seed: int) -> None:
    rng = random.Random(seed)
    targets.reader(mutate.png_file(samples.kinds()[name], rng, mutate.blind_of(rng)))


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(images.EVERY)), st.integers(0, 2**32 - 1))
def test_a_mutated_image_file_comes_back_or_raises_only_our_errors(name: str, seed: int) -> None:
    rng = random.Random(seed)
    targets.sources(formats.source_file(images.EVERY[name], rng, mutate.blind_of(rng)))


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(samples.texts())), st.integers(0, 2**32 - 1))
def test_a_mutated_text_comes_back_or_raises_only_our_errors(name: str, seed: int) -> None:
    rng = random.Random(seed)
    targets.texts(mutate.text_file(samples.texts()[name], rng, mutate.blind_of(rng)))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_raise_only_our_errors(data: bytes) -> None:
    targets.decoder(data)
    targets.reader(data)
    targets.reader(png.SIGNATURE + data)
    targets.sources(data)
    targets.texts(data)
    targets.texts(container.MAGIC + container.chunk(container.TEXT, data))


def test_mutations_get_past_the_checksums() -> None:
    """A mutator whose files all fail at once would test nothing."""
    restored = 0
    for seed in range(60):
        rng = random.Random(seed)
        source = samples.files(targets.stub())[rng.choice(sorted(samples.arrays() | samples.png_files()))]
        mutated = mutate.ardm(source, rng, mutate.blind_of(rng))
        try:
            restored += mutated != source and bool(
                archive.unpack(mutated, limits=targets.LIMITS, predictor=targets.stub())
            )
        except ArdmError:
            continue
    assert restored >= 5  # 7
    read = 0
    for seed in range(60):
        rng = random.Random(seed)
        try:
            read += (
                png.read(
                    mutate.png_file(rng.choice(list(samples.kinds().values())), rng, mutate.blind_of(rng)),
                    targets.LIMITS.max_pixels,
                ).pixels.size
                > 0
            )
        except ArdmError:
            continue
    assert read >= 10
    seen = set()
    for seed in range(300):
        rng = random.Random(seed)
        source = images.EVERY[rng.choice(sorted(images.EVERY))]
        mutated = formats.source_file(source, rng, mutate.blind_of(rng))
        try:
            if mutated != source and sources.read(mutated, targets.LIMITS.max_pixels):
                seen.add(sources.sniff(mutated))
        except ArdmError:
            continue
    # of which there are more seeds
    assert seen >= set(formats.PLANS) - {sources.Format.PBM, sources.Format.PAM} | {
        sources.Format.TIFF,
        sources.Format.WEBP,
    }
    given = 0
    for seed in range(60):
        rng = random.Random(seed)
        source = samples.texts()[rng.choice(sorted(samples.texts()))]
        mutated = mutate.text_file(source, rng, mutate.blind_of(rng))
        try:
            with targets.small_texts():
                given += mutated != source and bool(text.unpack(mutated, limits=targets.LIMITS))
        except ArdmError:
            continue
    assert given >= 8


def test_taking_apart_and_putting_together_are_inverse() -> None:
    for name, data in samples.files().items():
        parts = mutate.take_apart(data)
        assert parts, name
        assert mutate.put_together(parts) == data
    for data in samples.kinds().values():
        assert pngs.build(mutate._split(data, 8)) == data


def test_a_target_notices_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks themselves: a reader that errs, and one that raises something else."""
    write = png.write
    monkeypatch.setattr(
        png,
        "write",
        lambda image: write(
            png.Png(image.pixels ^ 1, image.kind, image.interlaced, image.before, image.after)
        ),
    )
    with pytest.raises(targets.Finding):
        targets.reader(samples.kinds()["png-0-8-0"])
    monkeypatch.setattr(png, "dissect", lambda *given: [][0])
    with pytest.raises(IndexError):
        targets.reader(b"anything")
