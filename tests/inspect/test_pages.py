"""The page: it needs nothing else, says what is there, and runs no script but its own, whatever a file holds."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codec import archive, compress
from codec.inspect import page, plots, survey
from codec.inspect.drawings import COLOURS, Bar, Picture, bars, columns, heat_map, lines, words
from codec.inspect.facts import NAMES
from codec.methods import METHODS
from tests import pngs
from tests.processes import ROOT
from tests.samples import GOLDEN

EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'&\x1b[31m\u202e"
VOID = {"meta", "img", "input"}


class Reader(HTMLParser):
    """Tags with their attributes, and text, of a page whose tags must all be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.open = "", list[str]()
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self.open[-1:] != ["style"]:
            self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def check(text: str) -> Reader:
    """What holds for every page."""
    found = Reader(text)
    assert len(found.of("script")) == len(found.scripts) == 1
    for tag, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert "href" not in attributes
        assert (attributes.get("src") or "data:image/").startswith("data:image/")
    for image in found.of("img"):
        assert image["alt"]
        assert image["width"]
    for drawing in found.of("svg"):
        assert drawing["aria-label"]
    (policy,) = [m["content"] for m in found.of("meta") if m.get("http-equiv")]
    digest = base64.b64encode(hashlib.sha256(found.scripts[0].encode()).digest()).decode()
    assert (
        policy
        == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )
    outside = text.replace("http://www.w3.org/2000/svg", "")
    assert "http:" not in outside
    assert "https:" not in outside
    assert "url(" not in outside.replace("url(#heat)", "")
    assert len(re.findall(r' id="([a-z]+)"', text)) == len(set(re.findall(r' id="([a-z]+)"', text)))
    return found


@pytest.fixture(scope="module")
def lattice(photo: np.ndarray) -> str:
    return page(survey(compress(photo[150:214, 300:380], order="lattice", budget=12), "crop.ardm"))


def test_a_page_of_a_photo(lattice: str) -> None:
    found = check(lattice)
    for said in ("The picture", "Where the bits go", "Call by call", "Beside other formats", "Network calls"):
        assert said in found.text
    for said in ("Levels", "Channels", "Methods", "What the file says", "less than JPEG XL, effort 9"):
        assert said in found.text
    moments = [image for image in found.of("img") if "data-said" in image]
    (slider,) = found.of("input")
    (label,) = found.of("label")
    assert label["for"] == slider["id"] == "moment"
    assert slider["max"] == slider["value"] == str(len(moments))
    assert [image for image in moments if "hidden" not in image] == moments[
        -1:
    ]  # without the script, the end
    assert (moments[0]["data-said"] or "").startswith("0 calls")
    assert moments[-1]["data-said"] == "12 calls, 100 % of what is shown here known"


def test_light_and_dark_and_narrow(lattice: str) -> None:
    assert "prefers-color-scheme: dark" in lattice
    assert "color-scheme: light dark" in lattice
    assert 'name="viewport"' in lattice


@pytest.mark.parametrize(
    "name",
    [
        "raster-graphics",
        "fine-rgb-10",
        "one-pixel",
        "whole-file",
        "jpeg-file",
        "jpeg-rgb",
        "plain-rgb",
        "random-order",
        "photo-rgba",
    ],
)
def test_pages_of_other_files(name: str) -> None:
    text = page(survey((GOLDEN / f"{name}.ardm").read_bytes(), name))
    found = check(text)
    assert ("Pixel by pixel" in found.text) == (name == "raster-graphics")
    assert ("The file is kept as it was" in found.text) == (name == "whole-file")
    assert ("kept by a JPEG's coefficients" in found.text) == (name == "jpeg-file")
    silent = name in ("one-pixel", "fine-rgb-10", "jpeg-rgb")
    assert ("the coder of this file tells no more" in found.text) == silent


def test_every_method_has_a_colour() -> None:
    labels = {NAMES.get(row.label, row.label) for row in METHODS.values()}
    assert labels == set(plots.METHODS)
    assert len(plots.METHODS) <= len(COLOURS)


def test_a_page_of_a_text() -> None:
    name = next((ROOT / "tests" / "golden-text").glob("plain.ardm"))
    found = check(page(survey(name.read_bytes(), "book.txt.ardm")))
    assert "no pixels to look at" in found.text
    assert f"3,000 bytes in {name.stat().st_size:,} bytes" in found.text


def test_names_and_metadata_are_words(photo: np.ndarray) -> None:
    head, *rest = pngs.split(pngs.png_of(photo[:9, :9], 2, 8))
    chunks = [(b"tEXt", b"Comment\0" + EVIL.encode("utf-8")), (b"iTXt", b"C\0\0\0\0\0" + EVIL.encode())]
    source = pngs.build([head, *chunks, *rest])
    data = archive.pack(source, exactly=False, name="<b>x.png").data
    found = check(page(survey(data, EVIL)))
    assert "<script>alert(1)</script>" in found.text  # as words
    assert "<b>x.png" in found.text
    assert "\x1b" not in found.text
    assert "\u202e" not in found.text
    assert len(found.of("b")) == 1  # the size


def test_a_name_that_is_no_text() -> None:
    data = (GOLDEN / "one-pixel.ardm").read_bytes()
    page(survey(data, b"caf\xe9.ardm".decode("utf-8", "surrogateescape"))).encode()


def test_any_words_can_stand_anywhere() -> None:
    assert words("a<b>&\"'\n\udce9") == "a&lt;b&gt;&amp;&quot;&#x27;\\n\\udce9"
    for drawn in (
        bars([Bar(EVIL, 1, EVIL)], EVIL),
        columns([[1.0]], [EVIL], [EVIL], EVIL),
        lines([(EVIL, [1.0, 2.0])], (EVIL, EVIL), EVIL),
    ):
        assert "<script" not in drawn.svg
        assert "<img" not in drawn.svg


def test_drawings_show_themselves_in_notebooks(photo: np.ndarray) -> None:
    seen = survey(compress(photo[150:190, 300:340], order="lattice", budget=4))
    for drawn in (plots.calls(seen), plots.levels(seen), plots.channels(seen), plots.methods(seen)):
        assert drawn is not None
        assert drawn._repr_svg_().startswith("<svg ")
    for shown in (plots.photo(seen), plots.heat(seen)):
        assert isinstance(shown, Picture)
        assert shown._repr_html_().startswith("<img ")


def test_heat_is_brighter_where_more_was_spent() -> None:
    values = np.zeros((20, 20))
    values[:, 10:] = 7
    shown = heat_map(values, 7.0, 20)
    pixels = np.asarray(Image.open(io.BytesIO(shown.data)).convert("L")).astype(int)
    assert pixels[:, :8].max() < 40
    assert pixels[:, 12:].min() > 200
    assert (heat_map(values, 7.0, 5).width, heat_map(values, 7.0, 5).height) == (5, 5)


def test_the_example_page_is_of_this_release() -> None:
    """The page that the README links to has the look and the script that pages have now. If not: `ardm-compress
    --budget 60 -o photo.ardm benchmarks/photo.png; ardm-inspect photo.ardm -f --html docs/example-report.html`.
    """
    text = (ROOT / "docs" / "example-report.html").read_text(encoding="utf-8")
    assert len(text) < 400_000
    check(text)
    from codec.inspect.look import SCRIPT, STYLE

    assert SCRIPT in text
    assert STYLE in text


def test_the_example_of_the_docs_runs(
    photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photo.ardm").write_bytes(compress(photo[:40, :60]))
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "inspect.md").read_text(), re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    check(Path("report.html").read_text(encoding="utf-8"))
