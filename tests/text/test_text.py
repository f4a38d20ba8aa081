"""Texts and other files that are no images: taken apart and joined, coded in every way, damaged, forged, and
through the commands.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import codec
from ardm.exact import context
from ardm.exact.window import PHOTO_ID
from codec import container
from codec.commands.cli import compress_command, decompress_command
from codec.errors import ArdmError, CorruptError, LimitError, NotArdmError, UnsupportedError
from codec.limits import Limits
from codec.text import file as text
from codec.text import prose
from tests.processes import ROOT

PROSE = (
    b'The old man sat by the river and wept. "It was, after all, his OWN fault," she said; and McGregor, who had come in 1984, did not answer.\r\n'
    b"In the morning there was a great deal of noise in the street, and nobody could tell what it was about.\r\n\r\n    CHAPTER II\r\n\r\n"
    b"It is a truth which is not often acknowledged that a man who has little to say will say it at some length, and that those who listen "
    b"will forgive him if only he is kind. So it was with the old man: he talked of the river, and of the boats upon it, until the evening came.\r\n"
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.text(alphabet="aBzZ. \n'é1", max_size=200).map(str.encode)))
def test_what_is_taken_apart_is_joined_again(data: bytes) -> None:
    parts = text.take_apart(data)
    assert parts.join() == data
    letters, starts = text.words_of(parts.stream)
    assert np.array_equal(letters, parts.letters)
    assert np.array_equal(starts, parts.starts)


@settings(max_examples=25, deadline=None)
@given(
    st.one_of(
        st.binary(min_size=1, max_size=200),
        st.text(alphabet="aBzZ. \n'é1", min_size=1, max_size=200).map(str.encode),
    ),
    st.sampled_from(["auto", "plain"]),
)
def test_any_bytes_come_back_and_grow_little(data: bytes, order: str) -> None:
    packed = text.pack(data, order=order)
    assert text.unpack(packed) == data
    assert len(packed) <= len(data) + 60


def test_prose_is_smaller_by_the_model_than_by_lzma() -> None:
    packed = {order: text.pack(PROSE, order=order) for order in ("cells", "plain", "auto")}
    sizes = {order: len(data) for order, data in packed.items()}
    header = text.read(packed["cells"])[0]
    assert header.method == text.MODEL
    assert header.order == text.Order.CELLS
    assert header.calls == header.stream  # one for each letter of a short text
    assert packed["auto"] == packed["cells"]
    assert sizes["cells"] < 0.8 * sizes["plain"]
    assert sizes["cells"] < 0.75 * len(text.lzma.compress(PROSE, text.lzma.FORMAT_RAW, filters=text._FILTERS))


@pytest.mark.parametrize(
    ("data", "method"),
    [(bytes(random.Random(1).randbytes(300)), text.RAW), (b"<td></td>" * 100, text.PACKED), (b"", text.RAW)],
)
def test_what_is_no_prose_is_kept_in_other_ways(data: bytes, method: int) -> None:
    packed = text.pack(data)
    assert text.read(packed)[0].method == method
    assert text.unpack(packed) == data


def test_the_network_is_left_out_where_it_does_not_pay() -> None:
    """Words of no language; with a budget the smaller is taken, by however little."""
    strange = b" ".join(random.Random(5).choice((b"qxzv", b"zzkq", b"vxqj")) for _ in range(2000))
    packed = {budget: text.pack(strange, budget=budget) for budget in (None, 4096)}
    least = min(len(text.pack(strange, order=order)) for order in ("cells", "plain"))
    assert text.read(packed[None])[0].order == text.Order.PLAIN
    assert len(packed[4096]) == least
    assert text.unpack(packed[None]) == strange


@pytest.mark.parametrize("budget", [1, 3, 64, 200, 10**6])
def test_budgets(budget: int) -> None:
    packed = text.pack(PROSE[:100], budget=budget, order="cells")
    header = text.read(packed)[0]
    assert header.calls == min(budget, header.stream)
    assert text.unpack(packed) == PROSE[:100]


def test_more_calls_make_smaller_files() -> None:
    sizes = [len(text.pack(PROSE, budget=budget, order="cells")) for budget in (1, 8, 64, 512)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.9 * sizes[0]


def test_several_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "TILE", 100)
    monkeypatch.setattr("codec.text.header.TILE", 100)
    packed = text.pack(PROSE, budget=2, order="cells")
    assert text.read(packed)[0].calls == 2 * -(-text.read(packed)[0].stream // 100)
    assert text.unpack(packed) == PROSE


def test_letters_are_coded_at_what_the_network_says() -> None:
    """A text coded with the network alone takes the bits of the reference's frequencies, and no more than a
    few more.
    """
    stream, weights = text.take_apart(PROSE).stream, context.load()
    config, cell = weights.config, 50
    state, bits = np.full(stream.size + 2 * config.radius, config.beyond), 0.0
    state[config.radius : -config.radius] = config.unknown
    around = np.delete(np.arange(2 * config.radius + 1), config.radius)
    for place in range(cell):
        where = np.arange(place, stream.size, cell)
        found = context.frequencies(weights, context.reference(weights, state[where[:, None] + around]))
        bits -= np.log2(found[np.arange(where.size), stream[where]] / context.TOTAL).sum()
        state[where + config.radius] = stream[where]
    script = (
        "import codec.coder.decisions as d; d.binary_encoder.__defaults__ = (d.Manner(rate=0.0),)\n"
        "from codec.text import prose, file\n"
        "prose.COUNTER_WEIGHT, prose.NETWORK_WEIGHT = 0.0, 1.0\n"
        "import sys; stream = file.take_apart(sys.stdin.buffer.read()).stream\n"
        "coder = prose.TextCoder(stream.size, check=False)\n"
        f"coder.letters(stream.size, stream, file.load_network(file.context.TEXT_ID), {cell})\n"
        "print(len(coder.finish()))"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, input=PROSE, capture_output=True, check=True
    )
    assert abs(8 * int(done.stdout) - bits) < 64 + 0.002 * bits


SAMPLES = {
    "cells": text.pack(PROSE[:150], budget=2, order="cells"),
    "plain": text.pack(PROSE[:150], order="plain"),
    "raw": text.pack(b"\x80\x81"),
    "packed": text.pack(b"<td></td>" * 30),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_cut_and_every_flipped_bit_is_found(name: str) -> None:
    packed = SAMPLES[name]
    for end in range(len(packed)):
        with pytest.raises(ArdmError):
            text.unpack(packed[:end])
    for bit in range(8 * len(packed)):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ArdmError):
            text.unpack(bytes(damaged))
    with pytest.raises(CorruptError, match="foreign bytes"):
        text.unpack(packed + b"x")


@pytest.mark.parametrize("name", ["plain", "packed"])
def test_damage_with_a_right_checksum_is_found(name: str) -> None:
    """Only the hash can see it: nothing else comes out than errors of ours."""
    header, at = text.read(SAMPLES[name])
    rng = random.Random(5)
    for _ in range(60):
        payload = bytearray(SAMPLES[name][at:])
        for _ in range(rng.randint(1, 4)):
            payload[rng.randrange(len(payload))] = rng.randrange(256)
        forged = text._write(text.replace(header, crc=zlib.crc32(payload)), bytes(payload))
        if bytes(payload) != SAMPLES[name][at:]:
            with pytest.raises(ArdmError):
                text.unpack(forged)


def test_forged_headers_are_refused_before_any_work() -> None:
    header, at = text.read(SAMPLES["cells"])
    payload = SAMPLES["cells"][at:]

    def forged(**changes: object) -> bytes:
        return text._write(text.replace(header, **changes), payload)  # type: ignore[arg-type]

    for changes in (
        {"letters": 10**6},
        {"words": 10**6},
        {"words": 0},
        {"letters": header.size, "words": header.size},
        {"cell": 0},
        {"cell": text.TILE + 1},
        {"order": text.Order.PLAIN},
    ):
        with pytest.raises(CorruptError, match="contradicts itself"):
            text.unpack(forged(**changes))
    with pytest.raises(UnsupportedError, match="weights 1111111111111111"):
        text.unpack(forged(weights_id="11" * 8))
    # those of photos have shorter names
    with pytest.raises(UnsupportedError, match="are not part of this release"):
        text.unpack(forged(weights_id=2 * PHOTO_ID))
    with pytest.raises(UnsupportedError, match="method 9"):
        text.unpack(text._write(text.TextHeader(3, bytes(16), 9, 0, 0), b""))
    with pytest.raises(LimitError, match="--max-pixels"):
        text.unpack(text._write(text.TextHeader(10**12, bytes(16), text.RAW, 0, 0), b""))
    with pytest.raises(LimitError, match="--memory"):
        text.unpack(SAMPLES["cells"], limits=Limits(max_memory=10**6))
    with pytest.raises(LimitError, match="--max-calls"):
        text.unpack(SAMPLES["cells"], limits=Limits(max_calls=1))
    short = container.MAGIC + container.chunk(container.TEXT, bytes([text.VERSION]))
    with pytest.raises(CorruptError, match="too few bytes"):
        text.unpack(short)
    with pytest.raises(UnsupportedError, match="version 7"):
        text.unpack(container.MAGIC + container.chunk(container.TEXT, b"\x07"))
    with pytest.raises(NotArdmError):
        text.unpack(b"")


def test_images_and_texts_are_told_apart() -> None:
    with pytest.raises(UnsupportedError, match="holds text"):
        codec.decompress(SAMPLES["cells"])
    with pytest.raises(NotArdmError, match="text chunk"):
        text.unpack(codec.compress(np.zeros((3, 3), dtype=np.uint8)))


@pytest.mark.parametrize("option", [{"budget": 0}, {"order": "lattice"}])
def test_wrong_options_are_refused(option: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        text.pack(PROSE, **option)  # type: ignore[arg-type]


def test_commands_give_a_book_back(tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_bytes(PROSE)
    done = CliRunner().invoke(compress_command, [str(book), "--json", "--budget", "4"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["output"] == str(tmp_path / "book.txt.ardm")
    assert report["restores"] == "exact"
    packed = tmp_path / "book.txt.ardm"
    listed = CliRunner().invoke(compress_command, ["-l", str(packed)])
    assert listed.exit_code == 0
    assert f"{len(PROSE)} bytes" in listed.stdout
    tested = CliRunner().invoke(decompress_command, ["-t", str(packed)])
    assert (tested.exit_code, tested.stdout) == (0, f"{packed}: ok\n")
    book.unlink()
    assert CliRunner().invoke(decompress_command, [str(packed), "--rm"]).exit_code == 0
    assert book.read_bytes() == PROSE
    assert not packed.exists()


def test_commands_refuse_what_texts_cannot_do(tmp_path: Path) -> None:
    book, packed = tmp_path / "book.txt", tmp_path / "a.ardm"
    book.write_bytes(PROSE)
    packed.write_bytes(SAMPLES["plain"][:-1])
    seeded = CliRunner().invoke(compress_command, [str(book), "--order", "random:3"])
    assert seeded.exit_code == 1
    assert "for images only" in seeded.stderr
    recovered = CliRunner().invoke(decompress_command, ["--recover", str(packed)])
    assert recovered.exit_code == 4
    assert "one piece" in recovered.stderr
    named = tmp_path / "photo.png"
    named.write_bytes(PROSE)
    misnamed = CliRunner().invoke(compress_command, [str(named)])
    assert misnamed.exit_code == 0
    assert (
        "is no image that is read here, though its name says that it is one; it was kept as a file"
        in misnamed.stderr
    )
    assert (tmp_path / "photo.png.ardm").exists()
    assert CliRunner().invoke(compress_command, ["--pixels", "-f", str(named)]).exit_code == 1
    packed.write_bytes(SAMPLES["plain"][:-1])
    assert CliRunner().invoke(decompress_command, [str(packed)]).exit_code == 4
    assert not (tmp_path / "a").exists()


def test_the_compiled_coder_of_texts_computes_what_python_computes() -> None:
    """The digest holds for compiled code, or nothing above would have passed; here without the compiler,
    warnings being errors.
    """
    script = "from codec.text import prose; prose.check_compiled(); print(prose.DIGEST)"
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == prose.DIGEST


@pytest.mark.parametrize("order", ["cells", "plain"])
@pytest.mark.parametrize("value", [27, 31])
def test_letters_that_are_none_are_refused(order: str, value: int) -> None:
    """Only a forger writes a value above 26, which the network has no place for."""
    stream = text.take_apart(PROSE).stream.copy()
    stream[70] = value
    network = text.load_network(context.TEXT_ID) if order == "cells" else None
    coder = prose.TextCoder(stream.size)
    with pytest.raises(CorruptError, match="a letter of the text is none"):
        coder.letters(stream.size, stream, network, 9)
    reader = prose.TextCoder(stream.size, coder.finish() + bytes(4000))
    with pytest.raises(CorruptError, match="a letter of the text is none"):
        reader.letters(stream.size, np.zeros(1, np.uint8), network, 9)


def test_limits_of_calls_hold_for_what_is_written() -> None:
    """What the same limits would not read is not written."""
    none = Limits(max_calls=0)
    packed = text.pack(PROSE, limits=none)
    assert text.read(packed, none)[0].order == text.Order.PLAIN
    assert text.unpack(packed, limits=none) == PROSE
    with pytest.raises(LimitError, match="needs 8 network calls, the limit is 7; raise it with --max-calls"):
        text.pack(PROSE, order="cells", budget=8, limits=Limits(max_calls=7))


def test_texts_do_not_need_torch() -> None:
    """So no state of it can matter."""
    script = (
        "import sys; from codec import text; data = sys.stdin.buffer.read()\n"
        "assert text.unpack(text.pack(data, order='cells')) == data\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], input=PROSE, capture_output=True, check=True)
    assert done.stdout.strip() == b"False"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests" / "golden-text").glob("*.ardm")), ids=lambda p: p.stem
)
def test_golden_texts_decode(path: Path) -> None:
    assert text.unpack(path.read_bytes()) == path.with_suffix(".txt").read_bytes()


def test_golden_texts_are_all_there() -> None:
    found = {
        path.stem: text.read(path.read_bytes())[0] for path in (ROOT / "tests" / "golden-text").glob("*.ardm")
    }
    assert found.keys() == {"cells", "cells-5-calls", "plain", "packed", "packed-all-bytes", "noise"}
    assert [found[name].method for name in ("cells", "plain", "packed", "noise")] == [
        text.MODEL,
        text.MODEL,
        text.PACKED,
        text.RAW,
    ]
    assert [found[name].calls for name in ("cells", "cells-5-calls", "plain")] == [
        found["cells"].stream,
        5,
        0,
    ]


def test_a_few_bytes_cannot_claim_much_text() -> None:
    """Letters without number are refused by the header where no encoder can have made them so small, or else
    where their data ends.
    """
    data = text.pack(b"it was the best of times it was the worst of times " * 40, order="plain")
    header, at = text.read(data)
    many = 170_000_000
    claim = text.replace(header, size=many, letters=many // 2, words=many // 4)
    with pytest.raises(
        CorruptError, match=r"has \d+ bytes of data, but 127499999 letters need at least 1140"
    ):
        text.unpack(text._write(claim, data[at:]))
    claim = text.replace(header, size=10**7, letters=6 * 10**6, words=10**6)
    payload = container.varint(100) + data[at + 1 :].ljust(120, b"\1")
    with pytest.raises(CorruptError, match="letters of a text go on where their data has ended"):
        text.unpack(text._write(text.replace(claim, length=len(payload), crc=zlib.crc32(payload)), payload))
