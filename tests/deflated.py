"""Deflate streams that no compressor would make, of every sort that RFC 1951 allows: what
`codec.png.exact.difference` must be able to say. Shares nothing with it.
"""

from __future__ import annotations

import random

# (first, extra bits) by code
LENGTHS = (
    [(3 + i, 0) for i in range(8)]
    + [((4 + i % 4 << i // 4 - 1) + 3, i // 4 - 1) for i in range(8, 28)]
    + [(258, 0)]
)
DISTANCES = [(1 + i, 0) for i in range(4)] + [
    ((2 + i % 2 << i // 2 - 1) + 1, i // 2 - 1) for i in range(4, 30)
]
ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
Token = int | tuple[int, int]  # a byte, or (length, distance)


class Bits:
    """Bits, the first lowest."""

    def __init__(self) -> None:
        self.bits: list[int] = []

    def put(self, value: int, count: int) -> None:
        self.bits += [value >> i & 1 for i in range(count)]

    def code(self, symbol: int, lengths: list[int]) -> None:
        """A symbol's canonical code, its first bit first."""
        code = sum(1 << (15 - n) for n in lengths if 0 < n < lengths[symbol]) + sum(
            n == lengths[symbol] for n in lengths[:symbol]
        ) * (1 << (15 - lengths[symbol]))
        self.bits += [code >> (14 - i) & 1 for i in range(lengths[symbol])]

    def tobytes(self) -> bytes:
        assert len(self.bits) % 8 == 0
        return bytes(
            sum(b << i for i, b in enumerate(self.bits[at : at + 8])) for at in range(0, len(self.bits), 8)
        )


def tree(used: set[int], size: int, longest: int, rng: random.Random, least: int = 1) -> list[int]:
    """Lengths of a complete code for these symbols, and some others; a single one has one bit."""
    symbols = sorted(used | {rng.randrange(size) for _ in range(rng.choice((0, 0, 1, 5)))})
    while len(symbols) < least:
        symbols = sorted({*symbols, rng.randrange(size)})
    leaves = [0]
    while len(leaves) < len(symbols):
        at = rng.choice([i for i, depth in enumerate(leaves) if depth < longest])
        leaves[at : at + 1] = [leaves[at] + 1] * 2
    rng.shuffle(leaves)
    lengths = [0] * size
    for symbol, depth in zip(symbols, leaves, strict=False):
        lengths[symbol] = max(depth, 1)
    return lengths


def tokens(count: int, data: bytearray, rng: random.Random, far: bool) -> list[Token]:
    """Random ones, at the end of data, which grows by them."""
    out: list[Token] = []
    for _ in range(count):
        if data and rng.random() < 0.4:
            length = rng.choice((3, 4, 5, 17, 257, 258, rng.randint(3, 258)))
            reach = min(len(data), 32768)
            distance = (
                rng.choice((1, min(2, reach), reach, rng.randint(1, reach)))
                if far
                else rng.randint(1, min(4, reach))
            )
            out.append((length, distance))
            for _ in range(length):
                data.append(data[-distance])
        else:
            data.append(rng.choice((0, 0, 1, 7, rng.randrange(256))))
            out.append(data[-1])
    return out


def put_tokens(
    out: Bits, given: list[Token], literals: list[int], distances: list[int], rng: random.Random
) -> None:
    for token in given:
        if isinstance(token, int):
            out.code(token, literals)
            continue
        length, distance = token
        at = max(i for i, (first, _) in enumerate(LENGTHS) if first <= length)
        at = (
            27
            if length == 258 and (not literals[257 + 28] or (literals[257 + 27] and rng.random() < 0.5))
            else at
        )
        out.code(257 + at, literals)
        out.put(length - LENGTHS[at][0], LENGTHS[at][1])
        at = max(i for i, (first, _) in enumerate(DISTANCES) if first <= distance)
        out.code(at, distances)
        out.put(distance - DISTANCES[at][0], DISTANCES[at][1])
    out.code(256, literals)


def put_trees(out: Bits, literals: list[int], distances: list[int], rng: random.Random) -> None:
    """The head of a block with codes of its own: lengths in any runs that say them."""
    literal_count = rng.randint(max(257, *(n + 1 for n in range(286) if literals[n])), 286)
    distance_count = (
        rng.randint(max(1, *(n + 1 for n in range(30) if distances[n]), 0), 30)
        if any(distances)
        else rng.randint(1, 30)
    )
    both, runs, n = literals[:literal_count] + distances[:distance_count], [], 0
    while n < len(both):
        run = next((i for i in range(n, len(both)) if both[i] != both[n]), len(both)) - n
        ways = [(both[n], 0, 0, 1)]
        if n and both[n] == both[n - 1] and run >= 3:
            ways += [(16, amount - 3, 2, amount) for amount in (3, min(run, 6))]
        if both[n] == 0 and run >= 3:
            ways += [(17, amount - 3, 3, amount) for amount in (3, min(run, 10))]
        if both[n] == 0 and run >= 11:
            ways += [(18, amount - 11, 7, amount) for amount in (11, min(run, 138))] * 3
        runs.append(rng.choice(ways))
        n += runs[-1][3]
    order = tree({symbol for symbol, *_ in runs}, 19, 7, rng, least=2)
    order_count = rng.randint(max(4, *(i + 1 for i in range(19) if order[ORDER[i]])), 19)
    out.put(literal_count - 257, 5)
    out.put(distance_count - 1, 5)
    out.put(order_count - 4, 4)
    for symbol in ORDER[:order_count]:
        out.put(order[symbol], 3)
    for symbol, value, bits, _ in runs:
        out.code(symbol, order)
        out.put(value, bits)


def stream(seed: int, blocks: int, most: int) -> tuple[bytes, bytes]:
    """(data, a deflate stream of it) in so many blocks of at most so many tokens."""
    rng = random.Random(seed)
    data, out = bytearray(), Bits()
    far = rng.random() < 0.7
    for i in range(blocks):
        kind, count = rng.choice((0, 1, 2, 2)), rng.choice((0, 1, rng.randint(0, most)))
        out.put(i == blocks - 1, 1)
        out.put(kind, 2)
        if kind == 0:
            piece = rng.randbytes(count)
            out.put(rng.choice((0, 0, 255)), -len(out.bits) % 8)
            out.put(count, 16)
            out.put(~count & 65535, 16)
            for byte in piece:
                out.put(byte, 8)
            data += piece
            continue
        given = tokens(count, data, rng, far)
        literals, distances = [8] * 144 + [9] * 112 + [7] * 24 + [8] * 8, [5] * 30
        if kind == 2:
            pairs = [token for token in given if isinstance(token, tuple)]
            used = {
                257 + max(i for i, (first, _) in enumerate(LENGTHS) if first <= length) for length, _ in pairs
            }
            used |= {284} if 285 in used and rng.random() < 0.5 else set()
            literals = tree({256, *used, *(token for token in given if isinstance(token, int))}, 286, 15, rng)
            reached = {
                max(i for i, (first, _) in enumerate(DISTANCES) if first <= distance) for _, distance in pairs
            }
            distances = tree(reached, 30, 15, rng) if reached or rng.random() < 0.5 else [0] * 30
            put_trees(out, literals, distances, rng)
        put_tokens(out, given, literals, distances, rng)
    out.put(rng.choice((0, 0, 255)), -len(out.bits) % 8)
    return bytes(data), out.tobytes()
