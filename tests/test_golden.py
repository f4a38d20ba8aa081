"""Golden files that must be refused, each by its own error; and the page that describes all golden files.
(`tests/test_codec.py` decodes the valid ones.)
"""

from __future__ import annotations

import contextlib
import re

import pytest

from codec import archive, container, decompress, info, listing
from codec.coder.schedule import Order
from codec.errors import ArdmError
from codec.limits import NO_LIMITS
from codec.methods import Method
from tests import samples
from tests.make_bad import EXPECTED

pytestmark = pytest.mark.quick

NAMES = {path.stem for path in samples.GOLDEN.glob("*.ardm")}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_bad_or_unsupported_is_refused_by_its_own_error(name: str) -> None:
    data = (samples.GOLDEN / f"{name}.ardm").read_bytes()
    kind, says = EXPECTED[name]
    for work in (archive.unpack, archive.test):
        with pytest.raises(ArdmError, match=re.escape(says)) as caught:
            work(data)
        assert type(caught.value) is kind
        assert caught.value.exit_code == (4 if name.startswith("bad-") else 5)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", EXPECTED)
def test_other_ways_to_look_at_it_raise_nothing_else(name: str) -> None:
    data = (samples.GOLDEN / f"{name}.ardm").read_bytes()
    for work in (archive.rescue, decompress, info, lambda d: container.read(d, NO_LIMITS)):
        with contextlib.suppress(ArdmError):
            work(data)


def test_every_file_is_described_once() -> None:
    described = re.findall(
        r"^\* `([^`]+)\.ardm`: \S", (samples.GOLDEN / "README.md").read_text(), re.MULTILINE
    )
    assert sorted(described) == sorted(NAMES)
    assert {name for name in NAMES if name.startswith(("bad-", "unsupported-"))} == set(EXPECTED)
    assert {path.stem for path in samples.golden()} == NAMES - set(EXPECTED)
    assert {path.stem for path in samples.GOLDEN.iterdir() if path.suffix not in (".ardm", ".md")} == {
        path.stem for path in samples.golden()
    }


def test_valid_files_have_every_method_way_back_order_and_coding() -> None:
    headers = [container.read(path.read_bytes())[0] for path in samples.golden()]
    assert {entry.method for header in headers for entry in header.entries} == set(Method)
    coded = [header.schedule for header in headers if any(e.method == Method.NETWORK for e in header.entries)]
    ways = {(schedule.order, schedule.plain) for schedule in coded}
    assert ways == {(order, plain) for order in Order for plain in (False, True)} - {(Order.RANDOM, False)}
    assert {schedule.strip for schedule in coded if not schedule.plain} >= {0, 4}
    assert {listing.way_of(header) for header in headers} >= set(listing.Way)
