"""docs/format/text.md and the pages it builds on are enough to read a text: their Python does it."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from ardm.exact import context
from codec.text import file as text
from tests.processes import ROOT
from tests.text.test_text import PROSE

PAGES = [
    "FORMAT.md",
    *(f"docs/format/{name}.md" for name in ("arithmetic", "rangecoder", "decisions", "text")),
]
SHORT = b"The Old man (he said) slept; in 1984."


def reader() -> dict[str, Any]:
    """All that the pages define."""
    names: dict[str, Any] = {"math": math, "np": np, "defaultdict": defaultdict}
    for page in PAGES:
        for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
            exec(compile(block, page, "exec"), names)
    return names


@pytest.mark.parametrize(
    ("data", "options"),
    [(PROSE, {"order": "plain"}), (SHORT, {"order": "cells", "budget": 20}), (SHORT, {"order": "cells"})],
)
def test_the_pages_python_reads_a_text(data: bytes, options: dict[str, Any]) -> None:
    packed = text.pack(data, **options)
    header, at = text.read(packed)
    assert header.method == text.MODEL
    weights = context.load()
    net = {name: tensor.tolist() for name, tensor in weights.tensors.items()} | vars(weights.config)
    names = reader()
    fields = (header.size, int(header.order), header.cell, header.letters, header.words)
    assert names["decode_text"](packed[at:], *fields, net) == data
    with pytest.raises(names["Refused"]):
        names["decode_text"](packed[at:-8], *fields, net)
