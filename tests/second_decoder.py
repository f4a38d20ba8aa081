"""A second decoder of .ardm image files: pixels from bytes, in plain Python and NumPy.

Written from FORMAT.md and docs/format alone, and knows nothing of the packages `codec` and `ardm`: that it
gives the same pixels shows that these pages say enough. It is slow, and reads no texts, names or recipes.
Names of variables are those of the pages; so is the order of float64 operations, NumPy's included.
"""

import hashlib
import json
import lzma
import re
import zlib
from collections import defaultdict
from copy import copy
from functools import cache
from itertools import pairwise
from math import ceil, exp, frexp, log2, prod, sqrt
from math import log as ln
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from safetensors.numpy import load

SIGNATURE = bytes.fromhex("89 41 52 44 4D 0D 0A 1A")
MOST_PIXELS = 2**26  # a limit of this decoder
RASTER, LATTICE, RANDOM = 0, 1, 2
CODING = [1, 0, 2]  # colour of the s-th channel that is coded, and back
ONE = 2**24


class Refused(Exception):
    """Its argument is N, T, C, U or L: not an .ardm file, truncated, corrupt, unsupported, beyond a limit."""


def check(right, kind="C"):
    if not right:
        raise Refused(kind)


def clip(x, low, high):
    return low if x < low else high if x > high else x


def u64(n):
    return n & 0xFFFFFFFFFFFFFFFF


# ---- the file


class Reader:
    """Fields one after the other; `kind` is how the end of the data is refused."""

    def __init__(self, data, kind="T"):
        self.data, self.at, self.kind = data, 0, kind

    def take(self, count):
        check(self.at + count <= len(self.data), self.kind)
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, size=1):
        return int.from_bytes(self.take(size), "little")

    def varint(self):
        value = 0
        for i in range(9):
            byte = self.number()
            value |= (byte & 127) << 7 * i
            if byte < 128:
                check(byte or not i)
                return value
        raise Refused("C")

    def rest(self):
        return self.take(len(self.data) - self.at)


def read_chunk(r):
    start = r.at
    kind = r.number()
    content = r.take(r.varint())
    end = r.at
    check(r.number(4) == zlib.crc32(r.data[start:end]))
    return kind, content


def read_head(content):
    r, head = Reader(content, "C"), SimpleNamespace(strip=0, slope=0, seed=0, stages=[])
    check(r.number() == 2, "U")
    flags, samples = r.number(), r.number()
    head.order, head.plain, head.axis = flags & 3, bool(flags & 4), bool(flags & 8)
    head.indexed, head.whole, head.folded = bool(flags & 16), bool(flags & 32), bool(flags & 64)
    check(head.order < 3 and flags < 128 and samples < 64 and samples & 15 < 5, "U")
    head.depth, head.channels = 1 << (samples & 15), (samples >> 4) + 1
    check(not head.folded or (head.depth == 16 and not head.whole))
    check(head.channels == 1 or (head.depth >= 8 and not head.indexed))
    check(head.depth <= 8 or not head.indexed)
    head.width, head.height, *tiles = (r.varint() for _ in range(4))
    check(min(head.width, head.height) > 0 and max(head.width, head.height) < 2**32)
    check(min(tiles) > 0 and max(tiles) <= 512)
    head.tile_height, head.tile_width = 4 * tiles[0], 4 * tiles[1]
    check(head.width * head.height <= MOST_PIXELS, "L")
    check(head.axis or head.channels == 1)
    head.weights = r.take(4)
    if head.order == RASTER:
        head.strip, head.slope = r.varint(), r.varint()
        check(head.strip <= (0 if head.plain else 2048) and head.slope < 256, "U")
    else:
        check(head.order == LATTICE or head.plain, "U")
        head.seed = r.number(4) if head.order == RANDOM else 0
        count = r.number()
        check(count <= 16, "U")
        head.stages = [r.number(2) for _ in range(count)]
        if head.order == LATTICE:
            check(all(stage < 1 << 14 for stage in head.stages), "U")
        else:
            check(all(1 <= stage <= 255 for stage in head.stages))
    head.hash = r.take(12)
    check(r.at == len(content))
    return head


def planes_of(head):
    """Of every plane: shape, where it is in the image, shift of its byte in the sample"""
    colours = head.channels if head.channels in (1, 3) else head.channels - 1
    groups = [(0, colours)] + [(colours, 1)] * (head.channels > colours)
    for top in range(0, head.height, head.tile_height):
        for left in range(0, head.width, head.tile_width):
            h, w = min(head.tile_height, head.height - top), min(head.tile_width, head.width - left)
            for first, count in groups:
                for shift in (8, 0) if head.depth == 16 else (0,):
                    area = slice(top, top + h), slice(left, left + w), slice(first, first + count)
                    yield SimpleNamespace(shape=(h, w, count), area=area, shift=shift)


def least_payload(method, plane, head):
    def words(bits):
        return 4 * ceil(0.99 * bits / 32)

    h, w, c = plane.shape
    pixels, b = h * w, -log2(1 - 168 / ONE)
    if method == 8:
        return 2 + least_payload(2, plane, head)
    if method == 9:
        return 3 + c + ceil(h / 8) * ceil(w / 8) // 16
    p = sum(-log2(1 - 192 * q / (65536 * 1023 * 5 + 16384)) for q in (64, 16, 4, 1))
    if method == 2:
        rate = p if head.plain else 8 * b
        if head.order == RASTER:
            return words(rate * pixels * c)
        shapes = level_shapes(h, w)
        root = prod(shapes[min(len(head.stages), len(shapes) - 1)])
        return 2 + min(root * c, 2) + words(rate * (pixels - root) * c)
    if method == 7:
        return 3 + min(pixels, 1 + ceil(pixels / 8192), words(8 * b * pixels))
    if method == 5:
        return 2 + (c - 1) + c * words(8 * b * pixels)
    return {0: pixels * c, 1: 1 + ceil(pixels * c / 8192), 3: words(8 * b * pixels * c)}.get(method, 0)


def read_index(content, head):
    """A list of planes, each with method, length and crc"""
    r = Reader(content, "C")
    tiles = ceil(head.height / head.tile_height) * ceil(head.width / head.tile_width)
    count = tiles * (2 - head.channels % 2) * (2 if head.depth == 16 else 1)
    check(6 * (1 if head.whole else count) <= len(content))
    planes = [SimpleNamespace(shift=0)] if head.whole else list(planes_of(head))
    included = False  # whether the entry before has coded this plane
    for plane in planes:
        plane.method, plane.length, plane.crc = r.number(), r.varint(), r.number(4)
        check(plane.method < 11, "U")
        check(plane.method != 8 or plane.shape[2] == 3)
        check((plane.method in (4, 10)) == head.whole)
        check(plane.method != 5 or (plane.shift and not head.folded and not head.plain))
        check((plane.method == 6) == included)
        check(plane.method != 6 or plane.length == 0)
        if plane.method == 7:
            first = plane.area[2].start == 0
            check(first and head.depth == 8 and not head.indexed and not head.plain)
            plane.shape = (*plane.shape[:2], head.channels)
            plane.area = (*plane.area[:2], slice(0, head.channels))
        included = plane.method == 5 or (plane.method == 7 and head.channels in (2, 4))
    check(r.at == len(content))
    return planes


def parse(data):
    """(head, planes) of a file; each plane has its method and payload"""
    check(data[:8] == SIGNATURE, "T" if data and SIGNATURE.startswith(data) else "N")
    r, head, ancillary = Reader(data), None, 0
    r.take(8)
    while True:
        kind, content = read_chunk(r)
        if head is None:
            check(kind == 1, "U" if kind == 3 else "C")  # 3: a text
            head = read_head(content)
        elif kind == 2:
            break
        else:
            check(kind >= 0x80, "U")
            ancillary += 1
            check(ancillary <= 1000, "L")
    planes = read_index(content, head)
    left = len(data) - r.at - sum(plane.length for plane in planes)
    check(left >= 0, "T")
    check(left == 0)
    for plane in planes:
        plane.payload = r.take(plane.length)
        check(head.whole or plane.length >= least_payload(plane.method, plane, head))
    return head, planes


def decode(data, weights_folder):
    """The samples as an array, or the bytes of a file that was kept whole"""
    head, planes = parse(data)
    net = None
    if any(plane.method in (2, 8) for plane in planes):
        net = find_network(weights_folder, head.weights)
    for plane in planes:
        check(zlib.crc32(plane.payload) == plane.crc)
    image = decode_file(head, planes[0]) if head.whole else decode_image(head, planes, net)
    samples = image if head.whole else image.astype("<u2" if head.depth == 16 else np.uint8).tobytes()
    check(hashlib.blake2b(samples, digest_size=12).digest() == head.hash)
    check(head.whole or not (image >> head.depth - 1 >> 1).any())
    return image


def decode_file(head, plane):
    return plane.payload if plane.method == 4 else decode_jpeg_file(plane.payload, head)


def decode_image(head, planes, net):
    image = np.zeros((head.height, head.width, head.channels), np.uint16)
    for plane in planes:
        if plane.method != 6:
            shift = 0 if plane.method == 5 else plane.shift  # the samples of method 5 have 16 bits
            image[plane.area] |= decode_plane(plane.method, plane.payload, plane.shape, head, net) << shift
    if head.folded:
        image = image & 0xFF00 | (image + (image >> 8)) & 255
    image = image.astype(np.uint16 if head.depth == 16 else np.uint8)
    return image if head.axis else image[..., 0]


def decode_plane(method, payload, shape, head, net):
    if method < 2:
        return decode_stored(method, payload, shape)
    if method == 5:
        return decode_fine(payload, *shape)
    if method == 7:
        return decode_palette(payload, shape, head, net)
    if method == 8:
        return decode_converted(payload, shape, head, net)
    if method == 9:
        return decode_jpeg(payload, shape, head, net)
    if method == 3:
        return decode_raster(payload, shape, None, 1)
    return decode_network(payload, shape, head, net)


def decode_network(payload, shape, head, net, blocks=None):
    if head.order == RASTER:
        check(head.slope == net.R + 1, "U")
        return decode_raster(payload, shape, net, head.strip, head.plain, blocks)
    return decode_stages(payload, shape, head, net)


def decode_palette(payload, shape, head, net):
    r = Reader(payload)
    n, methods = r.number() + 1, r.number()
    of_palette, of_indices = methods & 15, methods >> 4
    check({of_palette, of_indices} <= {0, 1, 3})
    packed = r.take(r.varint() if of_palette else n * shape[2])
    colours = decode_plane(of_palette, packed, (shape[2], n, 1), head, net)[..., 0].T
    keys = [(int(2 * k[0] + 5 * k[1] + k[2] if len(k) > 2 else k[0]), *k.tolist()) for k in colours]
    check(all(a < b for a, b in pairwise(keys)))
    indices = decode_plane(of_indices, r.rest(), (*shape[:2], 1), head, net)[..., 0]
    check(indices.max() < n)
    return colours[indices]


# unit, luma, red of v, green of u, green of v, blue of u, neutral u and v
CONVERSIONS = (
    (
        1 << 16,
        lambda y: y << 16,
        lambda v: 91881 * v - 11728000,
        lambda u: 2919680 - 22554 * u,
        lambda v: 5990656 - 46802 * v,
        lambda u: 116130 * u - 14831872,
        (128, 128),
    ),
    (
        64,
        lambda y: 19077 * y >> 8,
        lambda v: (26149 * v >> 8) - 14234,
        lambda u: -(6419 * u >> 8),
        lambda v: 8708 - (13320 * v >> 8),
        lambda u: (33050 * u >> 8) - 17685,
        (128, 128),
    ),
    (
        64,
        lambda y: (16320 * 257 * y >> 16) + 32,
        lambda v: 90 * v - 11520,
        lambda u: 2816 - 22 * u,
        lambda v: 5888 - 46 * v,
        lambda u: 113 * u - 14464,
        (128, 128),
    ),
    (
        64,
        lambda y: (18997 * 257 * y >> 16) - 1160,
        lambda v: 102 * v - 13056,
        lambda u: 3200 - 25 * u,
        lambda v: 6656 - 52 * v,
        lambda u: 128 * u - 16384,
        (128, 128),
    ),
    (
        10000,
        lambda y: 13584 * y,
        lambda v: 18215 * v - 2495455,
        lambda u: -1940 * (22179 * (u - 156) // 10000) - 1,
        lambda v: -5090 * (18215 * (v - 137) // 10000),
        lambda u: 22179 * u - 3459924,
        (156, 137),
    ),
    *(
        (
            1,
            lambda y, black=black, of=luma: (y - black) * of >> 13,
            lambda v, of=red: (v - 128) * of >> 13,
            lambda u, of=green_u: (u - 128) * of >> 13,
            lambda v, of=green_v: (v - 128) * of >> 13,
            lambda u, of=blue: (u - 128) * of >> 13,
            (128, 128),
        )
        for black, luma, red, green_u, green_v, blue in (
            (16, 9539, 13075, -3209, -6660, 16525),
            (16, 9539, 14686, -1747, -4366, 17305),
            (0, 8192, 11485, -2819, -5850, 14516),
            (0, 8192, 12901, -1534, -3835, 15201),
        )
    ),
)


def decode_converted(payload, shape, head, net):
    r = Reader(payload)
    number, blocks, place, listed = r.number(), r.number(), -1, []
    check(number < len(CONVERSIONS), "U")
    check(blocks < 64)
    for _ in range(r.varint()):
        place += 1 + r.varint()
        listed.append((place, list(r.take(3))))
    check(place < shape[0] * shape[1])
    unit, luma, red, green_u, green_v, blue, (u0, v0) = CONVERSIONS[number]
    planes = decode_network(r.rest(), shape, head, net, blocks=divmod(blocks, 8)).astype(np.int64)
    y = planes[..., 1]
    u, v = (planes[..., 2] - y + u0) & 255, (planes[..., 0] - y + v0) & 255
    sums = luma(y) + np.stack([red(v), green_u(u) + green_v(v), blue(u)])
    out = np.clip(sums // unit, 0, 255).transpose(1, 2, 0).reshape(-1, 3)
    for place, colour in listed:
        out[place] = colour
    return out.reshape(shape).astype(np.uint16)


def decode_stored(method, data, shape):
    check(method < 2 and (method == 0 or data))
    steps, size = 0, prod(shape)
    if method == 1:
        steps = data[0]
        check(steps < 8 and (shape[2] == 3 or not steps & 1))
        form = {"id": lzma.FILTER_LZMA1, "lc": 0, "lp": 0, "pb": 0, "dict_size": 1 << 22}
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[form])
        try:
            data = unpacker.decompress(data[1:], size + 1)
        except lzma.LZMAError:
            raise Refused("C") from None
        check(unpacker.eof and not unpacker.unused_data)
    check(len(data) == size)
    plane = np.frombuffer(data, np.uint8).reshape(shape)
    for bit, axis in ((4, 0), (2, 1)):
        if steps & bit:
            plane = np.cumsum(plane, axis, dtype=np.uint8)
    if steps & 1:
        plane = plane + plane[..., 1:2] * np.array([1, 0, 1], np.uint8)
    return plane.astype(np.uint16)


# ---- the range coder


def words_of(payload):
    check(len(payload) % 4 == 0, "T")
    return np.frombuffer(payload, "<u4").tolist()


class Stream:
    """Symbols and bits of words[first:end]"""

    def __init__(self, words, first=0, end=None):
        self.words, self.next, self.end = words, first, len(words) if end is None else end
        self.range, self.point = 2**64 - 1, 0
        for _ in range(2):
            self.shift()

    def shift(self):
        word = self.words[self.next] if self.next < self.end else 0
        self.point, self.next = self.point << 32 | word, self.next + 1

    def narrow(self, left, span):
        self.point -= left
        self.range = span
        if span < 2**32:
            self.range = span << 32
            self.shift()

    def bit(self, chance):
        scale = self.range >> 24
        if self.point >= scale << 24:  # where no encoder points
            z = u64((self.point ^ self.next) * 0x9E3779B97F4A7C15)
            z = u64((z ^ z >> 29) * 0xBF58476D1CE4E5B9)
            self.point = (z ^ z >> 32) % (scale << 24)
        cut = scale * (ONE - chance)
        if self.point < cut:
            self.narrow(0, cut)
            return 0
        self.narrow(cut, scale * chance)
        return 1

    def symbol(self, edges):
        """The number of the interval between edges, which go from 0 to 2**24"""
        scale = self.range >> 24
        check(self.point < scale << 24)
        found = max(i for i, edge in enumerate(edges[:-1]) if self.point >= scale * edge)
        self.narrow(scale * edges[found], scale * (edges[found + 1] - edges[found]))
        return found


# ---- the network


def find_network(folder, name):
    for path in sorted(Path(folder).glob("*.safetensors")):
        data = path.read_bytes()
        if hashlib.sha256(data).digest()[:4] == name:
            return Network(data)
    raise Refused("U")


class Network:
    def __init__(self, data):
        described = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        check(described["format"] == "ardm window weights 1", "U")
        sizes = json.loads(described["network"])
        self.R, self.W, self.D, self.K = (sizes[name] for name in ("radius", "width", "depth", "mixture"))
        loaded = load(data)
        t = self.tensors = {name: t.astype(np.int64) for name, t in loaded.items() if t.dtype.kind == "i"}
        self.fits = {name: t for name, t in loaded.items() if name.startswith("fit.")}
        span = range(-self.R, self.R + 1)
        places = [(dy, dx) for dy in span for dx in span if (dy, dx) != (0, 0)]
        self.dy, self.dx = np.array(places).T
        self.share = np.array([max(1, round(65536 * exp(-1.5 * sqrt(v * v + u * u)))) for v, u in places])
        close = [p for p, (dy, dx) in enumerate(places) if max(abs(dy), abs(dx)) == 1]
        enter = t["enter"].reshape(self.W, -1, 3)
        enter[:, close] += 16 * t["near"].reshape(self.W, 8, 3)

    def layer(self, inputs, weights, name, place=(), more=0):
        shift = self.tensors[name + "_shift"][place]
        return inputs @ weights.T + self.tensors[name + "_bias"][place] + more + (1 << shift >> 1) >> shift

    def ask(self, seen, pixels):
        """(parameters, bases by s) of pixels; seen[0 to 2]: R, G, B; seen[3]: which are known; see `look`"""
        t = self.tensors
        y, x = np.array(pixels).T[..., None] + self.R
        window = seen[:, y + self.dy, x + self.dx]
        values, known = window[:3], window[3]
        total, sums = known @ self.share, (values * known) @ self.share
        base = np.where(total > 0, (2 * sums + total) // np.maximum(2 * total, 1), 128)
        v = np.clip(values - base[..., None], -128, 127) * known
        v = v.transpose(1, 2, 0).reshape(len(pixels), -1)
        z = self.layer(v, t["enter"], "enter", more=known @ t["mask"].T).clip(0, 255)
        for a in range(0, 2 * self.D, 2):
            inner = self.layer(z, t["hidden"][a], "hidden", a).clip(0, 255)
            stream = z << t["hidden_shift"][a + 1]
            z = self.layer(inner, t["hidden"][a + 1], "hidden", a + 1, stream).clip(0, 255)
        return self.layer(z, t["head"], "head"), base[CODING].T

    def look(self, seen, V, pixels):
        """Makes pixels known"""
        y, x = np.array(pixels).T + self.R
        for c in range(3):
            rows = V[CODING[c] if len(V) == 3 else 0]
            seen[c, y, x] = [rows[y][x] for y, x in pixels]
        seen[3, y, x] = 1

    def nothing_seen(self, h, w):
        return np.zeros((4, h + 2 * self.R, w + 2 * self.R), np.int64)

    def centers(self, out, s, base, residuals):
        """In 1/32 level, by component; `out` of one pixel or of many"""
        center = out[..., self.K * (1 + s) : self.K * (2 + s)] + 32 * np.asarray(base)[..., None]
        for e, residual in enumerate(residuals):
            slope = np.clip(out[..., self.K * (6 + s + e) : self.K * (7 + s + e)], -1024, 1024)
            center = center + (slope * np.asarray(residual)[..., None] >> 2)
        return np.clip(center, -2048, 10240)

    def weights(self, out):
        logits = out[..., : self.K]
        return self.tensors["table.weight"][np.minimum(logits.max(-1, keepdims=True) - logits, 110)]

    def scales(self, out, s):
        return np.clip(out[..., self.K * (4 + s) : self.K * (5 + s)] + 64, 0, 160)


# ---- orders

PHASES = [(2, 2), (0, 2), (2, 0), (1, 1), (1, 3), (3, 1), (3, 3)]
PHASES += [(0, 1), (0, 3), (1, 0), (1, 2), (2, 1), (2, 3), (3, 0), (3, 2)]


def grid(h, w, cell=lambda: 0):
    """Rows of cells, with margins of three: above and left reached by indices -1, -2, -3"""
    return [[cell() for x in range(w + 6)] for y in range(h + 6)]


def begin_row(rows, y):
    rows[y][-1] = rows[y][-2] = rows[y][-3] = rows[y - 1][0]


def end_row(rows, y, w):
    rows[y][w] = rows[y][w + 1] = rows[y][w + 2] = rows[y][w - 1]


def plane_from(V, h, w):
    order = CODING if len(V) == 3 else [0]
    return np.array([V[s] for s in order]).transpose(1, 2, 0)[:h, :w].astype(np.uint16)


def strips(h, w, strip, slope):
    """The pixels of each call in raster order, calls without pixels left out"""
    rows = min(strip, h) if strip else h
    for top in range(0, h, rows):
        k = min(rows, h - top)
        for t in range(w + slope * (k - 1)):
            call = [(top + i, t - slope * i) for i in range(k) if 0 <= t - slope * i < w]
            if call:
                yield call


def decode_raster(payload, shape, net, strip, plain=False, blocks=None):
    h, w, channels = shape
    stream, V = Stream(words_of(payload)), [grid(h, w) for _ in range(channels)]
    coder = Plain(stream, net) if plain else Mixing(stream, h * w, channels, net, True)
    coder.blocks = blocks if net else None
    seen = net.nothing_seen(h, w) if net else None
    coder.begin_stage(V, h, w)
    coder.begin_phase(None)
    for call in strips(h, w, strip, net.R + 1 if net else 4):
        if net:
            coder.code(call, *net.ask(seen, call))
            net.look(seen, V, call)
        else:
            coder.code(call)
    return plane_from(V, h, w)


def level_shapes(h, w):
    shapes = [(h, w)]
    while max(shapes[-1]) > 4:
        shapes.append((shapes[-1][0] + 3 >> 2, shapes[-1][1] + 3 >> 2))
    return shapes


def decode_stages(payload, shape, head, net):
    h, w, channels = shape
    shapes = level_shapes(h, w)
    count = min(len(head.stages), len(shapes) - 1)
    r = Reader(payload)
    check(payload)
    method, size = r.number(), r.varint()
    level = decode_stored(method, r.take(size), (*shapes[count], channels))
    stream = Stream(words_of(r.rest()))
    coder = Plain(stream, net) if head.plain else Mixing(stream, h * w, channels, net, False)
    for stage in reversed(range(count)):
        height, width = shapes[stage]
        y, x = (np.r_[: side + 2, -2, -1].clip(0, side - 1) // 4 for side in (height, width))
        V = [level[y[:, None], x, c].tolist() for c in (CODING if channels == 3 else [0])]
        seen = net.nothing_seen(height, width)
        net.look(seen, V, [(y, x) for y in range(0, height, 4) for x in range(0, width, 4)])
        coder.begin_stage(V, height, width)
        for call in calls_of(head, stage, height, width):
            pixels = [pixel for phase, group in call for pixel in group]
            if not pixels:
                continue
            out, base = net.ask(seen, pixels)
            at = 0
            for phase, group in call:
                if group:
                    coder.begin_phase(phase)
                    coder.code(group, out[at : at + len(group)], base[at : at + len(group)])
                at += len(group)
            net.look(seen, V, pixels)
        level = plane_from(V, height, width)
    return level


def calls_of(head, stage, height, width):
    """For each call a list of (phase, pixels)"""
    groups = [
        (phase, [(y, x) for y in range(phase[0], height, 4) for x in range(phase[1], width, 4)])
        for phase in PHASES
    ]
    if head.order == LATTICE:
        calls = [[]]
        for j, group in enumerate(groups):
            calls[-1].append(group)
            if j < 14 and head.stages[stage] >> j & 1:
                calls.append([])
        return calls

    def key(pixel):
        z = u64(pixel[0] * width + pixel[1] + (head.seed << 32) + (stage << 56) + 0x9E3779B97F4A7C15)
        z = u64((z ^ z >> 30) * 0xBF58476D1CE4E5B9)
        z = u64((z ^ z >> 27) * 0x94D049BB133111EB)
        return z ^ z >> 31, pixel

    ranked = sorted((pixel for _, group in groups for pixel in group), key=key)
    count = min(head.stages[stage], len(ranked))
    call_of = {
        pixel: i
        for i in range(count)
        for pixel in ranked[len(ranked) * i // count : len(ranked) * (i + 1) // count]
    }
    return [[(phase, [p for p in group if call_of[p] == i]) for phase, group in groups] for i in range(count)]


# ---- plain coding


class Plain:
    def __init__(self, stream, net):
        self.stream, self.net = stream, net

    def begin_stage(self, V, h, w):
        self.V = V

    def begin_phase(self, phase):
        pass

    def code(self, pixels, out, base):
        """A group: distributions of all values at once, then digits one after the other"""
        t, n = self.net.tensors, np.arange(len(pixels))
        weight, residuals = self.net.weights(out), []
        for s in range(len(self.V)):
            offset = self.net.centers(out, s, base[:, s], residuals) + 16
            inverse = t["table.inverse"][self.net.scales(out, s)]
            u = (32 * np.arange(1, 256) - offset[..., None]) * inverse[..., None] >> 9
            part = np.zeros((*u.shape[:2], 257), np.int64)
            part[..., 1:256] = t["table.sigmoid"][np.clip(u, -3072, 3071) + 3072]
            part[..., 256] = 65536
            F = ((weight[..., None] * part).sum(1) + 64 * np.arange(257)).tolist()
            low = [0] * len(pixels)
            for size in (64, 16, 4, 1):
                for i, f in enumerate(F):
                    start, span = f[low[i]], f[low[i] + 4 * size] - f[low[i]]
                    cut = [(f[low[i] + j * size] - start) * (ONE - 4) // span + j for j in range(5)]
                    low[i] += size * self.stream.symbol(cut)
            for (y, x), value in zip(pixels, low, strict=True):
                self.V[s][y][x] = value
            value = np.array(low)
            residuals.append(value - base[:, s])
            weight = weight * (part[n, :, value + 1] - part[n, :, value] + 1)
            weight = np.maximum(1, 1023 * weight // weight.max(-1, keepdims=True))


# ---- arithmetic that the mixing and the fine coder share

SIG = [round(2**24 / (1 + exp(-(i - 1535.5) / 128))) for i in range(1536, 3072)]
SIG = [ONE - n for n in reversed(SIG)] + SIG
LOG = [round(65536 * ln(1 + (i + 0.5) / 512)) / 65536 for i in range(512)]
SQ = [round(2**40 / (1 + exp(-(i - 400) / 32))) / 2**40 for i in range(802)]
LN_COUNT = [round(65536 * ln(n + 1)) / 65536 for n in range(1001)]
REC = [round(65536 / (i + 1.6)) for i in range(256)]
EAGER = [round(65536 / (i + 1.02)) for i in range(91)]
QUICK, CAREFUL = ([round(65536 / (i + prior)) for i in range(251)] for prior in (1.3, 1.8))
INV = [round(2**27 * 2.0 ** (-(i - 64) / 16)) / 2**20 for i in range(161)]


def log(x):
    m, e = frexp(x)  # m from 0.5 on, below 1
    return (e - 1) * (45426 / 65536) + LOG[int(m * 1024) - 512]


def sigmoid(u):
    return SIG[int(clip(u + 1536.0, 0, 3071))]


def squash(z):
    t = (z + 12.5) * 32.0
    i = int(t)
    return SQ[i] + (SQ[i + 1] - SQ[i]) * (t - i)


def chance_of(p):
    return clip(int(p * 16777216), 168, 16777216 - 168)


# ---- decisions, and planes that were a JPEG


class Decisions:
    """Bits by ten counters and a mixer"""

    def __init__(self, stream, slots, weights, rate, share):
        self.stream, self.slots, self.weights, self.rate, self.share = stream, slots, weights, rate, share
        self.counters = [defaultdict(lambda: [ONE // 2, 0]) for j in range(10)]

    def bit(self, keys, node, row):
        weights, cells, x, total = self.weights[row], [], [], 0.0
        for counters, key, weight in zip(self.counters, keys, weights, strict=False):
            z = u64(key + node // 8 * 0x9E3779B97F4A7C15)
            z = u64((z ^ z >> 29) * 0xBF58476D1CE4E5B9)
            z = u64((z ^ z >> 32) * 0x94D049BB133111EB)
            cells.append(counters[(z >> 20) % self.slots // 8 * 8 + node % 8])
            ones = cells[-1][0]
            x.append(log(ones + 1.0) - log(float(ONE - ones)))
            total += weight * x[-1]
        p = squash(clip(total, -11.9, 11.9))
        bit = self.stream.bit(chance_of(p))
        wrong = (bit - p) * self.rate
        for j in range(10):
            weights[j] += wrong * x[j]
        for cell in cells:
            ones, count = cell
            cell[:] = ones + ((bit * (ONE - 1) - ones) * self.share[count] >> 16), min(count + 1, 250)
        return bit

    def number(self, sort, size, contexts):
        keys, node = keys_of(sort, contexts), 1
        for _ in range(size):
            node = 2 * node + self.bit(keys, node, 24 * sort + min(node, 23))
        return node - (1 << size)

    def value(self, sort, contexts, certain=False):
        keys, row = keys_of(sort, contexts), 24 * sort
        if not certain and not self.bit(keys, 1, row):
            return 0
        sign, bits, size = self.bit(keys, 2, row + 1), 1, 1
        while bits < 12 and self.bit(keys, 2 + bits, row + 1 + bits):
            bits += 1
        for place in reversed(range(bits - 1)):
            more = self.bit(keys, 32 + 16 * bits + place, row + 14 + (place < bits - 2))
            size = 2 * size + more
        return -size if sign else size


def keys_of(sort, contexts):
    """Of a list of tuples; those that lack are empty"""
    keys = []
    for j in range(10):
        a, b, c, d = (*(contexts[j] if j < len(contexts) else ()), 0, 0, 0, 0)[:4]
        keys.append((((j + 1) * 32 + sort) << 24) + (a << 18) + (b << 12) + (c << 6) + d)
    return keys


def size_of(x):
    bits = x.bit_length()
    return x if x < 4 else 2 * bits - 2 + (x >> bits - 2 & 1)


def signed(x, most):
    return clip(x, -most, most) + most


def whole(x, step):
    size = (2 * abs(x) + step) // (2 * step)
    return size if x >= 0 else -size


STANDARD_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
STANDARD_COLOUR = np.full((8, 8), 99)
STANDARD_COLOUR[:4, :4] = (17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99)


class Component:
    """Blocks of 8 x 8 coefficients, block[v][u]"""

    def __init__(self, r, n, before):
        known = r.number()
        self.sort, self.luma = 8 * (n > 0), n == 0
        if known == 0:
            self.steps = np.array(list(r.take(64))).reshape(8, 8)
        elif known == 101:
            check(n > 0)
            self.steps = before[-1].steps
        else:
            check(known < 101)
            scale = 5000 // known if known < 50 else 200 - 2 * known
            base = np.array(STANDARD_COLOUR if n else STANDARD_LUMA)
            self.steps = np.clip((base * scale + 50) // 100, 1, 255)
        check(np.all(self.steps))
        self.steps = np.array(self.steps).tolist()
        self.blocks = defaultdict(lambda: [[0] * 8 for v in range(8)])
        self.counts, self.errors = defaultdict(int), defaultdict(int)

    def read(self, m, i, j, twin, hint):
        """Block (i, j)"""
        new, sort, near = [[0] * 8 for v in range(8)], self.sort, ((i - 1, j), (i, j - 1), (i - 1, j - 1))
        above, left, corner = (self.blocks[place] for place in near)
        same = twin.blocks[i, j] if twin else [[0] * 8 for v in range(8)]
        theirs = twin.counts[i, j] if twin else 0
        a, b, c = (self.counts[place] for place in near)
        around = size_of(2 * (a + b) + c)
        contexts = [(a, b), (a + b >> 1,), (a, 0, theirs), (b, 0, theirs), (around,), (around, theirs)]
        contexts += [(hint, around), (hint, theirs), (size_of(a), size_of(b), size_of(c))]
        count = self.counts[i, j] = m.number(sort, 6, contexts)
        left_over, order = min(count, 49), 0
        for s in range(2, 15):
            for v in range(1, s) if s % 2 else range(s - 1, 0, -1):
                u = s - v
                if max(u, v) > 7:
                    continue
                if left_over:
                    new[v][u] = self.inner(m, (above, left, corner, same), new, v, u, order, left_over)
                    left_over -= new[v][u] != 0
                order += 1
        self.edge(m, new, above, left, same, 0, size_of(count))
        flipped = [list(map(list, zip(*block, strict=True))) for block in (new, left, above, same)]
        self.edge(m, *flipped, 1, size_of(count))
        for v in range(1, 8):
            new[v][0] = flipped[0][0][v]
        self.mean(m, new, near, i, j, twin.errors[i, j] if twin else 0, size_of(count))
        self.blocks[i, j] = new

    def inner(self, m, known, new, v, u, n, rest):
        above, left, _, _ = known
        a, b, c, o = (block[v][u] for block in known)
        close = size_of(13 * (abs(a) + abs(b)) + 6 * abs(c) >> 3)
        ends = size_of(sum(abs(x[v - 1][u]) + abs(x[v][u - 1]) for x in (above, left)))
        up, back = abs(new[v - 1][u]) * (v > 1), abs(new[v][u - 1]) * (u > 1)
        slant = abs(new[v - 1][u - 1]) * (v > 1 and u > 1)
        lower, some = size_of(2 * (up + back) + slant), size_of(rest)
        contexts = [(n, rest), (n, close, some), (n, min(abs(a), 7), min(abs(b), 7))]
        contexts += [(n, min(up, 7), min(back, 7), min(slant, 3)), (rest, close, lower), (n, lower, close)]
        contexts += [(n, ends, some), (n, signed(o, 3), some), (rest, 49 - n, lower)]
        contexts += [(n, signed(a, 2), signed(b, 2), signed(o, 2))]
        return m.value(self.sort + 1, contexts, rest == 49 - n)

    def smooth(self, new, beside, u, flip):
        """Coefficient (0, u) times its step, by a block above; flip: by one to the left, all flipped"""
        steps = list(zip(*self.steps, strict=True)) if flip else self.steps
        terms = ((beside[v][u] * (-1) ** v - new[v][u]) * steps[v][u] for v in range(1, 8))
        return beside[0][u] * steps[0][u] + (sum(terms) * 1448 >> 10)

    def edge(self, m, new, beside, far, same, flip, inner):
        """The first row, or, flipped, the first column"""
        known, theirs, twins = (sum(x != 0 for x in block[0][1:]) for block in (beside, far, same))
        other = sum(new[v][0] != 0 for v in range(1, 8)) * flip
        contexts = [(inner,), (inner, known), (inner, theirs), (known, theirs), (known,), (inner, twins)]
        contexts += [(known, theirs, inner), (inner, other, known), (twins, known), ()]
        rest, last = m.number(self.sort + 2, 3, [(flip, *things) for things in contexts]), 0
        for u in range(1, 8):
            if rest == 0:
                break
            step, smooth = (self.steps[u][0] if flip else self.steps[0][u]), self.smooth(new, beside, u, flip)
            e, fine = whole(smooth, step), whole(4 * smooth, step)
            a, b, o = beside[0][u], far[0][u], same[0][u]
            contexts = [(rest, size_of(abs(e))), (signed(e, 15),), (size_of(abs(a) + abs(b)), signed(e, 2))]
            contexts += [(inner, rest, signed(e, 1)), (size_of(last), signed(e, 4))]
            contexts += [(min(abs(new[1][u]), 7), min(abs(new[2][u]), 3), signed(e, 3)), (signed(fine, 31),)]
            contexts += [(signed(a, 3), signed(b, 3), signed(e, 2)), (signed(o, 3), signed(e, 3)), (rest,)]
            contexts = [(8 * flip + u, *things) for things in contexts]
            new[0][u] = m.value(self.sort + 3, contexts, rest == 8 - u)
            last = abs(new[0][u])
            rest -= new[0][u] != 0

    def mean(self, m, new, near, i, j, error, inner):
        above, left, corner = (self.blocks[place] for place in near)
        rows = self.smooth(new, above, 0, 0)
        columns = self.smooth(*(list(zip(*block, strict=True)) for block in (new, left)), 0, 1)
        if i == 0 or j == 0:
            rows = columns = 0 if i == j else columns if i == 0 else rows
        step = self.steps[0][0]
        expected, apart = clip(whole(rows + columns >> 1, step), -2047, 2047), whole(rows - columns, step)
        plane = above[0][0] + left[0][0] - corner[0][0] - expected
        up, back = self.errors[i - 1, j], self.errors[i, j - 1]
        spread, rough = size_of(abs(apart)), size_of(abs(up) + abs(back))
        contexts = [(spread, inner), (spread, rough), (signed(apart, 20),), (signed(plane, 20),)]
        contexts += [(rough, inner), (signed(up, 5), signed(back, 5)), (signed(error, 10), spread)]
        contexts += [(signed(plane, 5), signed(apart, 5), inner), (spread, rough, inner)]
        self.errors[i, j] = m.value(self.sort + 4, contexts)
        new[0][0] = expected + self.errors[i, j]

    def samples(self, rows, columns):
        steps, out = np.array(self.steps), np.zeros((8 * rows, 8 * columns), np.int64)
        for i in range(rows):
            for j in range(columns):
                block = np.clip(np.array(self.blocks[i, j]) * steps, -2047, 2047)
                out[8 * i : 8 * i + 8, 8 * j : 8 * j + 8] = unwaved(unwaved(block, 11).T, 18).T
        return np.clip(out + 128, 0, 255)


def unwaved(w, shift):
    """Column by column"""
    z = (w[2] + w[6]) * 4433
    even = [z + w[2] * 6270, z - w[6] * 15137]
    ends = [(w[0] + w[4]) << 13, (w[0] - w[4]) << 13]
    even = [ends[0] + even[0], ends[1] + even[1], ends[1] - even[1], ends[0] - even[0]]
    z = (w[1] + w[3] + w[5] + w[7]) * 9633
    a, b = z - (w[3] + w[7]) * 16069, z - (w[1] + w[5]) * 3196
    c, d = (w[1] + w[7]) * -7373, (w[3] + w[5]) * -20995
    odd = [w[1] * 12299 + b + c, w[3] * 25172 + a + d, w[5] * 16819 + b + d, w[7] * 2446 + a + c]
    both = [(even[k] + odd[k], even[k] - odd[k]) for k in range(4)]
    sums = [x for x, _ in both] + [x for _, x in reversed(both)]
    return (np.array(sums) + (1 << shift - 1)) >> shift


def doubled(s, axis, add, shift):
    """Three quarters of each sample, and one of the next"""
    s = np.moveaxis(s, axis, 0)
    ends = np.concatenate([s[:1], s, s[-1:]])
    out = np.repeat(s, 2, 0) * 3
    out[::2] += ends[:-2] + add[0]
    out[1::2] += ends[2:] + add[1]
    return np.moveaxis(out >> shift, 0, axis)


def decode_jpeg(payload, shape, head, net):
    h, w, channels = shape
    r = Reader(payload)
    sampling, corner, differs = r.number(), r.number(), r.number()
    check(sampling < (3 if channels == 3 else 1) and differs < 2)
    (down, across), (top, left) = ((1, 1), (1, 2), (2, 2))[sampling], divmod(corner, 16)
    check(top < 8 * down and left < 8 * across)
    parts = []
    for n in range(channels):
        parts.append(Component(r, n, parts))
    luma, *others = parts
    m = jpeg_decisions(words_of(r.rest()))
    seen = ceil((top + h) / down), ceil((left + w) / across)
    rows, columns = ceil(seen[0] / 8), ceil(seen[1] / 8)
    last_row, last_column = (top + h - 1) // 8 - top // 8, (left + w - 1) // 8 - left // 8
    done = 0
    for row in range(rows if others else 1):
        end = last_row + 1 if not others or row == rows - 1 else down * (row + 1) - top // 8
        for i in range(done, end):
            for j in range(last_column + 1):
                luma.read(m, i, j, None, 0)
        done = end
        for part, twin in zip(others, (None, others[:1] and others[0]), strict=False):
            for j in range(columns):
                at = min(down * row - top // 8, last_row), min(across * j - left // 8, last_column)
                part.read(m, row, j, twin, luma.counts[at])
    ys = luma.samples(last_row + 1, last_column + 1)[top % 8 :, left % 8 :][:h, :w]
    plane = ys[..., None]
    if others:
        differences = []
        for part in others:
            s = part.samples(rows, columns)[: seen[0], : seen[1]]
            if down == 2:
                s = doubled(doubled(s, 0, (0, 0), 0), 1, (8, 7), 4)
            elif across == 2:
                s = doubled(s, 1, (1, 2), 2)
            differences.append(s[top : top + h, left : left + w])
        unit, light, red, green_u, green_v, blue, _ = CONVERSIONS[0]
        u, v = differences
        sums = light(ys) + np.stack([red(v), green_u(u) + green_v(v), blue(u)])
        plane = np.clip(sums // unit, 0, 255).transpose(1, 2, 0)
    plane = plane.copy()
    if differs:
        add_differences(m, plane, luma, (last_row + 1, last_column + 1), (top % 8, left % 8))
    s = m.stream
    check(s.next >= s.end and (s.range == 2**64 - 1 or s.point < 2**33 - 1))
    return plane.astype(np.uint16)


# ---- JPEG files

ZIGZAG = sorted(np.ndindex(8, 8), key=lambda p: (sum(p), p[0] if sum(p) % 2 else p[1]))


def decode_jpeg_file(payload, head):
    room = [2 * head.channels * ceil(head.height / 8) * ceil(head.width / 8)]
    return read_jpeg_file(payload, (head.height, head.width, head.channels), room)


def put_back(left, found, room):
    file, at = b"", 0
    for gap, payload in found:
        file += left[at : at + gap] + read_jpeg_file(payload, None, room)
        at += gap
    check(at <= len(left))
    return file + left[at:]


def read_jpeg_file(payload, size, room):
    """size: rows, columns, components of the picture, None of one within; room: left for those"""
    r = Reader(payload)
    flags, lengths = r.number(), [r.varint() for _ in range(3)]
    check(flags < 8 if size else flags < 4)
    fill, several = flags & 1, flags & 2
    bands = r.varint() if several else 1
    check(not several or 2 <= bands <= 64)
    counts = [r.varint() for _ in range(bands - 1)]
    within = [[], []]
    for found in within if flags & 4 else []:
        many = r.varint()
        check(many <= 16)
        for _ in range(many):
            gap = r.varint()
            found.append((gap, r.take(r.varint())))
    packed, tail = r.take(lengths[0]), r.take(lengths[2])
    words = [words_of(r.take(4 * count)) for count in counts] + [words_of(r.rest())]
    start = put_back(unpacked(packed, 2**24), within[0], room)
    parts, scans = read_segments(start, size)
    blocks = sum(part.rows * part.columns for part in parts)
    if not size:
        room[0] -= blocks + len(start) // 64
        check(room[0] >= 0)
    check(4 * sum(map(len, words)) >= blocks // 16 and lengths[1] <= 512 * blocks)
    rows = parts[0].units[0]
    of_band = ceil(rows / bands)
    for n, of_this in enumerate(words):
        here = min(of_band, rows - n * of_band)
        check(here > 0)
        read_band(jpeg_decisions(of_this), parts, n * of_band, here)
    file, at, coded = b"", 0, 0
    for scan in scans:
        pixels = coded_pixels(scan, fill)
        file, at, coded = file + start[at : scan.end] + pixels, scan.end, coded + len(pixels)
    check(coded == lengths[1])
    return file + put_back(tail, within[1], room)


@cache
def usual_head():
    """The dictionary, as the page has it"""
    page = Path(__file__).parent.parent / "docs" / "format" / "jpeg-file.md"
    return bytes.fromhex("".join(re.findall(r'^    "([0-9a-f]+)"$', page.read_text(), re.MULTILINE)))


def unpacked(packed, most):
    unpacker = zlib.decompressobj(zdict=usual_head())
    try:
        data = unpacker.decompress(packed, most + 1)
    except zlib.error:
        raise Refused("C") from None
    check(len(data) <= most and unpacker.eof and not unpacker.unused_data)
    return data


@cache
def start():
    """What counters and weights are at first: the file that the page names"""
    pages = Path(__file__).parent.parent / "docs" / "format"
    name = re.search(r"`(ardm/data/jpeg-([0-9a-f]{8})\.safetensors)`", (pages / "jpeg.md").read_text())
    data = (Path(__file__).parent.parent / name[1]).read_bytes()
    assert hashlib.sha256(data).hexdigest()[:8] == name[2]
    return load(data)


class Started(dict):
    """A context's counters"""

    def __init__(self, bytes_of_all):
        self.bytes = bytes_of_all

    def __missing__(self, slot):
        seen, odds = divmod(int(self.bytes[slot]), 64)
        ones = round(ONE / (1 + exp(-(odds - 32) / 4)))
        self[slot] = [ones, (2, 6, 12, 20)[seen]] if odds else [ONE // 2, 0]
        return self[slot]


def jpeg_decisions(words):
    weights = (start()["weights"] / 4096).tolist()
    m = Decisions(Stream(words), 2**18, weights, 0.005, CAREFUL)
    m.counters = [Started(row) for row in start()["counters"]]
    return m


class FileComponent(Component):
    def __init__(self, r, n, alone):
        self.name, sampling, self.table = (r.number() for _ in range(3))
        self.across, self.down = (1, 1) if alone else divmod(sampling, 16)
        check(1 <= self.across <= 4 and 1 <= self.down <= 4)
        self.sort, self.luma = 8 * (n > 0), n == 0
        self.blocks = defaultdict(lambda: [[0] * 8 for v in range(8)])
        self.counts, self.errors = defaultdict(int), defaultdict(int)

    def measure(self, height, width, down, across):
        """Its units and blocks, and those that have pixels; down, across: the largest of all components"""
        self.units = ceil(height / (8 * down)), ceil(width / (8 * across))
        self.rows, self.columns = self.units[0] * self.down, self.units[1] * self.across
        seen = ceil(height * self.down / down), ceil(width * self.across / across)
        self.seen = ceil(seen[0] / 8), ceil(seen[1] / 8)


def segments_of(head):
    """(kind, data, where it ends)"""
    r, found = Reader(head, "C"), []
    check(r.take(2) == b"\xff\xd8")
    while r.at < len(head):
        check(r.number() == 255)
        kind, size = r.number(), int.from_bytes(r.take(2), "big")
        check(kind not in (0x00, 0x01, *range(0xD0, 0xDA), 0xFF) and size >= 2)  # those have no length
        found.append((kind, r.take(size - 2), r.at))
    check(found and found[-1][0] == 0xDA)
    return found


def read_segments(start, size):
    """Components, and scans"""
    steps, codes, interval, frame, scans = {}, {}, 0, None, []
    for kind, data, end in segments_of(start):
        if kind == 0xDB:
            steps |= quantisation(data)
        elif kind == 0xC4:
            codes |= huffman(data)
        elif kind == 0xDD:
            check(len(data) == 2)
            interval = int.from_bytes(data, "big")
        elif kind == 0xDA:
            check(frame and len(scans) < 64)
            scans.append(read_scan(data, frame, codes))
            scans[-1].interval, scans[-1].end = interval, end
        elif 0xC0 <= kind <= 0xCF and kind not in (0xC8, 0xCC):  # a frame
            check(not frame and kind < 0xC3)
            frame = read_frame(data, size)
            frame.progressive = kind == 0xC2
    for part in frame.parts:
        check(part.table in steps)
        part.steps = steps[part.table]
    return frame.parts, scans


def quantisation(data):
    """number -> table[v][u]"""
    r, tables = Reader(data, "C"), {}
    while r.at < len(data):
        size, number = divmod(r.number(), 16)
        check(size < 2)
        tables[number] = [[0] * 8 for v in range(8)]
        for v, u in ZIGZAG:
            tables[number][v][u] = int.from_bytes(r.take(size + 1), "big")
        check(np.all(tables[number]))
    return tables


def huffman(data):
    """number -> symbol -> (code, bits), or None for too many codes; AC tables have 16 more"""
    r, tables = Reader(data, "C"), {}
    while r.at < len(data):
        number, counts, table, code, right = r.number(), r.take(16), {}, 0, True
        check(number >> 4 < 2 and number & 15 < 4)
        for bits, count in enumerate(counts, 1):
            for symbol in r.take(count):
                table[symbol] = code, bits
                code += 1
            right = right and code <= 1 << bits
            code *= 2
        tables[number] = table if right else None
    return tables


def read_frame(data, size):
    r = Reader(data, "C")
    check(r.number() == 8)
    height, width = (int.from_bytes(r.take(2), "big") for _ in range(2))
    count = r.number()
    check((size or (height, width, count)) == (height, width, count) and count in (1, 3, 4))
    parts = [FileComponent(r, n, count == 1) for n in range(count)]
    check(r.at == len(data) and len({part.name for part in parts}) == count)
    down, across = max(part.down for part in parts), max(part.across for part in parts)
    for part in parts:
        part.measure(height, width, down, across)
    return SimpleNamespace(parts=parts)


def read_scan(data, frame, codes):
    r, scan = Reader(data, "C"), SimpleNamespace()
    listed = [(r.number(), r.number()) for _ in range(r.number())]
    scan.first, scan.last = r.number(), r.number()
    scan.high, scan.low = divmod(r.number(), 16)
    check(r.at == len(data) and listed)
    check_band(scan, len(listed), frame.progressive)
    scan.parts = parts_of_scan(scan, listed, frame, codes)
    first = scan.parts[0]
    scan.units = first.part.units if len(listed) > 1 else first.part.seen
    runs = [(2 << size) - 1 for size in range(15) if 16 * size in (first.ac or ())]
    scan.longest = max(runs, default=1) if frame.progressive else 1
    return scan


def check_band(scan, count, progressive):
    first, last, high, low = scan.first, scan.last, scan.high, scan.low
    if progressive:
        check(low <= 13 and high in (0, low + 1))
        check(first == last == 0 or (0 < first <= last < 64 and count == 1))
    else:
        check((first, last, high, low) == (0, 63, 0, 0))


def parts_of_scan(scan, listed, frame, codes):
    """Components with their tables, as far as these are used, and their blocks in a unit"""
    names, chosen = [part.name for part in frame.parts], []
    check(all(name in names for name, _ in listed))
    check(all(names.index(a) < names.index(b) for (a, _), (b, _) in pairwise(listed)))
    for name, numbers in listed:
        check(numbers >> 4 < 4 and numbers & 15 < 4)
        own = SimpleNamespace(part=frame.parts[names.index(name)], dc=None, ac=None, mean=0)
        own.down, own.across = (own.part.down, own.part.across) if len(listed) > 1 else (1, 1)
        if scan.first == 0 and scan.high == 0:
            own.dc = table_of_scan(codes, 0, numbers >> 4)
        if scan.last > 0:
            own.ac = table_of_scan(codes, 16, numbers & 15)
        chosen.append(own)
    check(sum(own.down * own.across for own in chosen) <= 10)
    return chosen


def table_of_scan(codes, kind, number):
    check(codes.get(kind + number))
    return codes[kind + number]


def read_band(m, wholes, before, units):
    """Rows of units, as those of a picture of their own"""
    parts = []
    for whole in wholes:
        part = copy(whole)
        part.rows = units * part.down
        part.blocks, part.counts = defaultdict(lambda: [[0] * 8 for v in range(8)]), defaultdict(int)
        part.errors = defaultdict(int)
        parts.append(part)
    luma = parts[0]
    for n, (part, whole) in enumerate(zip(parts, wholes, strict=True)):
        twin = parts[1] if n == 2 and (part.down, part.across) == (parts[1].down, parts[1].across) else None
        for i, j in np.ndindex(part.rows, part.columns):
            y = min(i * max(1, luma.down // part.down), luma.rows - 1)
            x = min(j * max(1, luma.across // part.across), luma.columns - 1)
            part.read(m, i, j, twin, luma.counts[y, x] if n else 0)
            whole.blocks[before * part.down + i, j] = part.blocks[i, j]
    s = m.stream
    check(s.next >= s.end and (s.range == 2**64 - 1 or s.point < 2**33 - 1))


class Marked:
    """Bits as a JPEG has them: after a byte of ones comes one of zeros"""

    def __init__(self):
        self.bytes, self.bits = bytearray(), ""

    def put(self, value, size):
        self.bits += f"{value:0{size}b}" if size else ""
        while len(self.bits) >= 8:
            byte, self.bits = int(self.bits[:8], 2), self.bits[8:]
            self.bytes += bytes([byte, 0][: 1 + (byte == 255)])

    def fill(self, bit):
        if self.bits:
            self.put(int(str(bit) * (8 - len(self.bits)), 2), 8 - len(self.bits))


def coded_pixels(scan, fill):
    w = ScanWriter(scan)
    for unit, (row, column) in enumerate(np.ndindex(scan.units)):
        if scan.interval and unit and unit % scan.interval == 0:
            w.end(fill)
            w.bytes += bytes([255, 0xD0 + (unit // scan.interval - 1) % 8])
        for own in scan.parts:
            for i, j in np.ndindex(own.down, own.across):
                w.block(own, own.part.blocks[row * own.down + i, column * own.across + j])
    w.end(fill)
    return bytes(w.bytes)


class ScanWriter(Marked):
    """So many blocks, `run`, have ended without a code for that; `late` bits of correction are to follow it"""

    def __init__(self, scan):
        super().__init__()
        self.scan, self.run, self.late = scan, 0, []

    def block(self, own, block):
        if self.scan.first == 0:
            self.mean(own, block[0][0] >> self.scan.low)
        if self.scan.last > 0:
            places = ZIGZAG[max(self.scan.first, 1) : self.scan.last + 1]
            self.band(own.ac, [block[v][u] for v, u in places])

    def mean(self, own, mean):
        if self.scan.high:
            self.put(mean & 1, 1)
        else:
            self.number(own.dc, 0, mean - own.mean)
            own.mean = mean

    def band(self, table, values):
        """Coefficients, of which those that were not 0 in the scan before, `high` bits up, are only corrected"""
        sizes = [abs(value) >> self.scan.low for value in values]
        new = [size == 1 if self.scan.high else size > 0 for size in sizes]
        end = max((k + 1 for k in range(len(new)) if new[k]), default=0)
        zeros, bits = 0, []
        for k in range(end):
            if sizes[k] == 0:
                zeros += 1
                continue
            while zeros > 15:
                self.end_run(table)
                self.symbol(table, 0xF0)
                self.correct(bits)
                zeros, bits = zeros - 16, []
            if new[k]:
                self.end_run(table)
                self.number(table, zeros, sizes[k] if values[k] > 0 else -sizes[k])
                self.correct(bits)
                zeros, bits = 0, []
            else:
                bits.append(sizes[k] & 1)
        if end < len(sizes):
            self.run += 1
            self.late += [size & 1 for size in sizes[end:] if size]
            if self.run == self.scan.longest or len(self.late) > 937:
                self.end_run(table)

    def symbol(self, table, symbol):
        check(symbol in table)
        self.put(*table[symbol])

    def number(self, table, zeros, number):
        size = abs(number).bit_length()
        self.symbol(table, 16 * zeros + size)
        self.put(number if number > 0 else number + (1 << size) - 1, size)

    def correct(self, bits):
        for bit in bits:
            self.put(bit, 1)

    def end_run(self, table):
        """By the code of its highest bit, and its other bits"""
        if self.run:
            size = self.run.bit_length() - 1
            self.symbol(table, 16 * size)
            self.put(self.run - (1 << size), size)
            self.correct(self.late)
            self.run, self.late = 0, []

    def end(self, fill):
        """Of the scan, or before a marker of restart"""
        self.end_run(self.scan.parts[0].ac)
        self.fill(fill)
        for own in self.scan.parts:
            own.mean = 0


def add_differences(m, plane, luma, blocks, corner):
    h, w, _ = plane.shape
    wrong, off = defaultdict(int), defaultdict(int)
    for i, j in np.ndindex(blocks):
        ys, xs = (
            range(max(0, 8 * n - first), min(size, 8 * n + 8 - first))
            for n, first, size in zip((i, j), corner, (h, w), strict=True)
        )
        side = (j == 0) + 2 * (j == blocks[1] - 1) + 4 * (i == 0) + 8 * (i == blocks[0] - 1)
        around = wrong[i, j - 1] + 2 * wrong[i - 1, j] + 4 * wrong[i - 1, j + 1]
        count, complete = size_of(luma.counts[i, j]), int(len(ys) * len(xs) == 64)
        light = int(plane[ys[0], xs[0], 0]) >> 4
        contexts = [(around, side), (count, side), (count, around), (complete, around), (light, around)]
        wrong[i, j] = m.bit(keys_of(5, [*contexts, (light, count), (side, complete)]), 1, 120)
        for y in ys if wrong[i, j] else ():
            for x in xs:
                pixel(m, plane, off, y, x)


def pixel(m, plane, off, y, x):
    h, w, channels = plane.shape
    edge = (x == 0) + 2 * (x == w - 1) + 4 * (y == 0) + 8 * (y == h - 1)
    one = two = 0
    for s, c in enumerate(CODING if channels == 3 else [0]):
        a, b, d, e = off[c, y, x - 1], off[c, y - 1, x], off[c, y - 1, x - 1], off[c, y - 1, x + 1]
        rough, value = min(abs(a) + abs(b) + abs(d) + abs(e), 20), int(plane[y, x, c])
        end = 1 if value == 0 else 2 if value == 255 else 0
        contexts = [(signed(one, 7), signed(two, 7)), (signed(a, 7), signed(b, 7))]
        contexts += [(rough, edge, signed(one, 1)), (rough, signed(one, 3), signed(two, 3))]
        contexts += [(end, signed(one, 7), signed(two, 2)), (edge, signed(a, 7), signed(one, 3))]
        contexts += [(edge, signed(b, 7), signed(one, 3)), (signed(a, 4), signed(b, 4), signed(one, 4))]
        contexts += [(signed(d, 4), signed(e, 4), rough), ()]
        off[c, y, x] = m.value(6, [(s, *things) for things in contexts])
        plane[y, x, c] = value + off[c, y, x] & 255
        one, two = off[c, y, x], one


class Fit:
    """Weighted least squares of a target by features; the latest count most"""

    def __init__(self, size, growth, tilt=1.0, every=None):
        self.M, self.Y, self.U = np.zeros((size, size)), np.zeros(size), [0.0] * size
        self.n, self.g, self.growth, self.every = 0, 1.0, growth, every
        self.tilt = tilt  # factor of the diagonal while it is solved

    def add(self, f, weight, target):
        f = np.array(f)
        a = f * weight
        self.M += a[:, None] * f  # all of it, though only the upper triangle is looked at
        self.Y += a * target
        self.g *= self.growth
        self.n += 1
        if self.n % (self.every or (32 if self.n < 1024 else 96)) == 0 and (self.every or self.n >= 64):
            self.refit()

    def refit(self):
        M, back = self.M, 1.0 / self.g
        self.Y *= back
        M *= back
        self.g = 1.0
        diagonal = np.diag_indices(len(M))
        M[diagonal] = M[diagonal] * self.tilt + 1.0
        with np.errstate(all="ignore"):
            self.U = self.solve()
        M[diagonal] = (M[diagonal] - 1.0) * (1.0 / self.tilt)

    def solve(self):
        m, y, size = self.M.copy(), self.Y.copy(), len(self.Y)
        for k in range(size - 1):
            factor = m[k, k + 1 :] * (1.0 / m[k, k])
            m[k + 1 :, k + 1 :] -= factor[:, None] * m[k, k + 1 :]
            y[k + 1 :] -= factor * y[k]
        U = np.zeros(size)
        for k in reversed(range(size)):
            t = y[k]
            for product in m[k, k + 1 :] * U[k + 1 :]:
                t -= product
            U[k] = t / m[k, k]
        return U.tolist()


def mixed_bit(stream, x, weights, tables, rules):
    """A bit of which inputs say log-odds: sets of weights mix them, two tables refine the result"""
    P, Q = tables
    sums, z = [], 0.0
    for row in weights:
        lanes = [0.0] * rules.lanes
        for n, odds in enumerate(x):
            lanes[n % rules.lanes] += row[n] * odds
        total = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) if rules.lanes == 4 else lanes[0]
        sums.append(clip(total, -rules.limit, rules.limit))
        z += sums[-1]
    z *= 1.0 / len(sums)
    t = (z + 12.0) * rules.cells
    cell = int(t)
    r = t - cell
    refined = (P[cell] + (P[cell + 1] - P[cell]) * r) + (Q[cell] + (Q[cell + 1] - Q[cell]) * r)
    bit = stream.bit(chance_of(rules.mixed * squash(z) + rules.refined * refined))
    for row, total in zip(weights, sums, strict=True):
        delta = (bit - squash(total)) * rules.rate
        for n, odds in enumerate(x):
            row[n] += delta * odds
    cell += int(r + 0.5)
    P[cell] += (bit - P[cell]) * rules.cell_rate
    Q[cell] += (bit - Q[cell]) * rules.cell_rate
    return bit


def said(candidate, b, low):
    """1 or -1: a candidate's bit b is 1 or 0; 0: there is none, or an earlier bit has ruled it out"""
    if candidate < 0 or candidate >> 8 - b != low >> 8 - b:
        return 0
    return 1 if candidate >> 7 - b & 1 else -1


def judges(near, y, x, step):
    """(y, x, weight) of the neighbours whose errors count; those at `step` only inside the plane"""
    places = [(y + dy, x + dx, 1) for dy, dx in near]
    return places + [(y, x - step, 2)] * (x >= step) + [(y - step, x, 2)] * (y >= step)


def table_of(cell, *sizes):
    """Nested lists, each innermost one a copy of its own"""
    return [table_of(cell, *sizes[1:]) for _ in range(sizes[0])] if sizes else cell[:]


# ---- mixing

RASTER_OWN = [(-1, 0), (0, -1), (-1, -1), (-1, 1), (-2, 0), (0, -2)]
RASTER_OWN += [(-2, -1), (-2, 1), (-1, -2), (-1, 2), (-2, -2), (-2, 2)]
FARTHER = [(-3, 0), (0, -3), (-3, -1), (-3, 1), (-1, -3), (-1, 3)]
FARTHER += [(-3, -2), (-3, 2), (-2, -3), (-2, 3), (-3, -3), (-3, 3)]
EXPERTS = [(4, 4, -4, 0), (0, 4, 0, 0), (4, 0, 0, 0)]  # of graphics
SQUARE = sorted(
    ((dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)), key=lambda o: (o[0] ** 2 + o[1] ** 2, o)
)
CELLS = [SQ[16 + min(768, (128 * cell + 3) // 6)] for cell in range(40)]


class Mixing:
    """Method 2 that learns, and method 3, which has no network; state of a plane, stage and phase"""

    rules = SimpleNamespace(
        limit=12.0, lanes=4, cells=1.5, mixed=0.5, refined=0.25, rate=0.005, cell_rate=0.008, rates=None
    )

    blocks = None  # rows and columns of the first block that are not in the plane

    def __init__(self, stream, pixels, channels, net, raster):
        self.stream, self.net = stream, net
        self.slots = 2 ** clip((32 * pixels).bit_length(), 12, 20 if net else 22) // 16
        first = 3 if net else 4  # inputs that are no counters
        row = [0.6] + [0.4 / (first - 1)] * (first - 1) + [0.0] * (8 - first)
        if not net:
            row += [0.2] * 3
            self.rules = SimpleNamespace(**vars(self.rules) | {"rates": (0.02, 0.002, 30000.0)})
            self.places = 2 ** clip((2 * pixels).bit_length(), 12, 22)
            self.last, self.match, self.run = {}, None, 0
            self.changed, self.new_row = defaultdict(int), False
            self.agreed = [[defaultdict(lambda: [2**23, 0]) for j in range(3)] for s in range(3)]
        self.guessing = net is not None and raster
        if self.guessing:
            row += [0.01] * 16
            self.H = [[defaultdict(lambda: [0] * 128) for j in range(16)] for s in range(3)]
        shapes = (3, 8, 16), (3, 16), (3, 16)
        shapes += ((3, 64), (3, 128)) if net else ((3, 8, 36), (3, 8, 64))
        self.weights = [np.tile(row, (*shape, 1)) for shape in shapes]
        if self.guessing and "mixers" in net.tensors:
            ends = np.cumsum([prod(shape) for shape in shapes])
            parts = np.split(net.tensors["mixers"] / 4096, ends[:-1])
            self.weights = [part.reshape(*shape, -1) for part, shape in zip(parts, shapes, strict=True)]
            self.rules = SimpleNamespace(**vars(self.rules) | {"rates": (0.01, 0.0015, 4000.0)})
        # four rows of the second and the third, one for every spot
        self.weights = [
            np.stack([rows] * 4, -2) if number in (1, 2) else rows for number, rows in enumerate(self.weights)
        ]
        self.weights = [rows.tolist() for rows in self.weights]
        self.P, self.Q = table_of(CELLS, 3, 8, 16), table_of(CELLS, 7, 3, 8, 16)
        self.counters = [[defaultdict(lambda: [2**23, 0]) for j in range(5)] for s in range(3)]

    def begin_stage(self, V, h, w):
        self.V, self.h, self.w = V, h, w
        self.E = [grid(h, w) for _ in V]
        self.experts = [] if self.net else EXPERTS
        self.X = [grid(h, w, lambda: [0] * (1 + len(self.experts))) for _ in V]
        self.G = [grid(h, w, lambda: [0] * 16) for _ in V]

    def begin_phase(self, phase):
        """A phase, or the whole plane in raster order"""
        self.raster = phase is None
        if self.raster:
            self.kind, self.near = 6, RASTER_OWN[:6]
            count = 22 if self.net and len(self.V) == 1 else 12
            if self.net and self.net.fits and len(self.V) == 3:
                count = (self.net.fits["fit.matrix"].shape[1] - 8) // 2
            self.own = [*RASTER_OWN, *FARTHER][:count]
            self.cross, self.top, self.left, self.step = self.own[: count // 2], 0, 0, 1
        else:
            self.top, self.left, self.step = *phase, 4
            y, x = phase
            order = {phase: n for n, phase in enumerate([(0, 0), *PHASES])}
            before = [(o, order[(y + o[0]) % 4, (x + o[1]) % 4]) for o in SQUARE]
            self.own = [o for o, n in before if n < order[phase]][:12]
            self.near = [o for o, n in before if 0 < n < order[phase] and o[0] ** 2 + o[1] ** 2 <= 4]
            self.cross = self.own[:10]
            self.kind = 3 if y % 2 and x % 2 else 4 if x % 2 else 5 if y % 2 else PHASES.index(phase)
        if len(self.V) == 1:
            self.cross = []
        size = len(self.own) + 2 * len(self.cross) + 4
        self.fits = [Fit(size + 2 * s, 1 / 0.9997) for s in range(len(self.V))]
        if self.raster and self.net and len(self.V) == 3 and self.net.fits:
            for s, fit in enumerate(self.fits):
                n = size + 2 * s
                M = np.triu(self.net.fits["fit.matrix"][s, :n, :n].astype(float))
                fit.M, fit.Y = M + np.triu(M, 1).T, self.net.fits["fit.vector"][s, :n].astype(float)
                fit.refit()
        h, w = self.h // self.step + 1, self.w // self.step + 1
        self.surprise = [grid(h, w, float) for _ in self.V]

    def code(self, pixels, out=None, base=None):
        for n, (y, x) in enumerate(pixels):
            if self.raster and x == 0:
                self.new_row = False
                if self.rules.rates:  # slower and slower
                    first, last, fall = self.rules.rates
                    self.rules.rate = last + (first - last) * (fall / (fall + y * self.w))
                for rows in self.V:
                    begin_row(rows, y)
            self.pixel(y, x, out[n] if self.net else None, base[n].tolist() if self.net else None)
            if self.raster and x == self.w - 1:
                for rows in self.V:
                    end_row(rows, y, self.w)

    def pixel(self, y, x, out, base):
        V, residual = self.V, []
        weight = (self.net.weights(out) / 1023).tolist() if self.net else []
        for s, rows in enumerate(V):
            rows[y][x] = base[s] if self.net else rows[y - 1][x] + rows[y][x - 1] >> 1
        right = [0, 0, 0]  # candidates, so far
        hashed = None if self.net else self.find_match(y, x)
        for s, rows in enumerate(V):
            i, j = (y - self.top) // self.step, (x - self.left) // self.step
            c = SimpleNamespace(s=s, y=y, x=x, i=i, j=j, base=rows[y][x], weight=weight, residual=residual)
            self.distribution(c, out)
            self.features(c)
            self.find_experts(c)
            self.contexts(c)
            c.candidates = [] if self.net else self.find_candidates(c, right)
            if self.guessing:
                self.guess(c)
            value = self.value(c)
            rows[y][x] = value
            self.learn(c, value)
            if self.guessing:
                self.learn_guesses(c, value)
            residual.append(value - c.base)
            for j, (candidate, _) in enumerate(c.candidates):
                right[j] = max(right[j], 1 if candidate == value else 2)
        if not self.net:
            self.run = self.run + 1 if self.match and right[2] == 1 else 0
            self.last[hashed] = (y, x)
            self.new_row |= any(rows[y][x] != rows[y - 1][x] for rows in V)
            if any(rows[y][x] != rows[y][x - 1] for rows in V):
                self.changed[x] = y + 1

    def find_match(self, y, x):
        key = 0
        for rows in self.V:
            for v, u in ((y, x - 1), (y, x - 2), (y - 1, x), (y - 1, x - 1), (y - 1, x + 1), (y - 2, x)):
                key = u64((key + rows[v][u] + 1) * 0x9E3779B97F4A7C15)
                key ^= key >> 32
        hashed = (key >> 20) % self.places
        if self.run and x and self.match[1] + 1 < self.w:
            self.match = self.match[0], self.match[1] + 1
        else:
            self.match, self.run = self.last.get(hashed), 0
        return hashed

    def find_candidates(self, c, right):
        """(value or -1, counters of its eight bits) of each"""
        rows, y, x = self.V[c.s], c.y, c.x
        n, w, nw = rows[y - 1][x], rows[y][x - 1], rows[y - 1][x - 1]
        pairs = (w, nw), (n, nw), (n, rows[y - 1][x + 1]), (n, rows[y - 2][x]), (w, rows[y][x - 2])
        equal = sum((a == b) << i for i, (a, b) in enumerate(pairs))
        same = rows[self.match[0]][self.match[1]] if self.match else -1
        last = self.changed[x]
        since = 0 if last == 0 else 1 if y - last < 8 else 2
        above, left = equal + 128 * self.new_row, equal + 128 * since
        c.color = equal + 32 * (right[0] == 1)
        known = above, left, 2 * min(self.run, 15) + (same == n) if self.match else 0
        counters = [[self.agreed[c.s][j][32 * right[j] + known[j], b] for b in range(8)] for j in range(3)]
        return list(zip((n, w, same), counters, strict=True))

    def distribution(self, c, out):
        rows = self.V[c.s]
        if not self.net:
            c.total, c.mean = 0.0, (rows[c.y - 1][c.x] + rows[c.y][c.x - 1]) * 0.5
            c.center = []
            return
        place = self.net.scales(out, c.s)
        c.center = (self.net.centers(out, c.s, c.base, c.residual) / 32).tolist()
        c.inverse = [INV[i] for i in place.tolist()]
        spread = (self.net.tensors["table.deviation"][place] / 32).tolist()
        c.total = c.mean = c.deviation = 0.0
        for weight, center in zip(c.weight, c.center, strict=True):
            c.total += weight
            c.mean += weight * center
        c.mean /= c.total
        for k, weight in enumerate(c.weight):
            c.deviation += weight * (spread[k] + abs(c.center[k] - c.mean))
        c.deviation /= c.total

    def features(self, c):
        y, x, s = c.y, c.x, c.s
        c.here = [self.V[s][y + dy][x + dx] for dy, dx in self.own]
        f = [value - c.mean for value in c.here]
        for other in ((s + 1) % 3, (s + 2) % 3):
            f += [float(self.V[other][y + dy][x + dx] - self.V[other][y][x]) for dy, dx in self.cross]
        for e in range(s):
            f += [float(c.residual[e]), self.surprise[e][c.i][c.j]]
        same = self.surprise[s]
        f += [same[c.i][c.j - 1], same[c.i - 1][c.j], same[c.i - 1][c.j - 1], same[c.i - 1][c.j + 1]]
        sums, U = [0.0, 0.0, 0.0, 0.0], self.fits[s].U
        for n, feature in enumerate(f):
            sums[n % 4] += U[n] * feature
        limit = 64.0 if self.net else 255.0
        c.f, c.correction = f, clip((sums[0] + sums[1]) + (sums[2] + sums[3]), -limit, limit)

    def find_experts(self, c):
        y, x, s, G = c.y, c.x, c.s, self.V[0]
        c.at = [c.mean + c.correction]
        four = c.here[:4]
        if s:
            four = [
                value + G[y][x] - G[y + dy][x + dx] for value, (dy, dx) in zip(four, self.own, strict=False)
            ]
        for quarters in self.experts:
            c.at.append(sum(q * value for q, value in zip(quarters, four, strict=True)) * 0.25)
        places = judges(self.near, y, x, self.step)
        c.count = 1 + sum(weight for v, u, weight in places)
        c.error = 45 + sum(weight * self.E[s][v][u] for v, u, weight in places)
        sums = [sum(weight * self.X[s][v][u][e] for v, u, weight in places) for e in range(len(c.at))]
        share = 1.0 / c.count
        if not self.net:
            c.deviation = (sums[0] * 0.0625 + 2.0) * share
        c.sharp = [128.0 / ((0.7 * c.deviation + n * 0.0625) * share * 0.65 + 0.04) for n in sums]

    def contexts(self, c):
        y, x, s, V = c.y, c.x, c.s, self.V
        c.spread = int(clip(log(c.deviation + 0.1) * 2.885 + 6.0, 0.0, 15.0))
        if self.net:
            if s:
                c.error, c.count = c.error + 2 * self.E[s - 1][y][x], c.count + 2
            c.context = int(clip(log(c.error * 0.015625 / c.count + 0.02) * 2.885 + 5.0, 0.0, 9.0))
        else:
            above, left, corner = V[s][y - 1][x], V[s][y][x - 1], V[s][y - 1][x - 1]
            c.context = (above != left) + 2 * (above != corner) + 4 * (left != corner)
            c.context += 8 if s and V[0][y][x] != V[0][y][x - 1] else 0
        if self.net:
            two = (V[0][y][x], V[1][y][x]) if s else c.here[:2]
            c.color = (two[0] >> 5) + 8 * (two[1] >> 5)
        c.strip, c.spot = c.j // 16 % 128, 0
        if self.blocks:
            v, u = y + self.blocks[0], x + self.blocks[1]
            c.strip = v % 8 * 8 + u % 8
            c.spot = v % 2 * 2 + u % 2 if s else (v % 8 == 0) * 2 + (u % 8 == 0)
        key = (s + 1) * 32452843
        key += sum(n * V[e][y][x] for e, n in enumerate((1299709, 15485863)[:s]))
        c.keys = [key, key + 7919 * int(c.at[0] + 2048.0) + 5]
        v1, v2, v3, v4 = c.here[:4]
        if self.net:
            for o, salt in (0, 9), (1, 11), (3, 13):
                dy, dx = self.own[o]
                shade = c.here[o] - (V[0][y + dy][x + dx] if s else 0)
                c.keys.append(key + 7919 * (shade + 256) + salt)
        else:
            c.keys.append(key + 7919 * (256 * v1 + v2) + 9)
            c.keys.append(key + 7919 * (((256 * v1 + v2) * 256 + v3) * 256 + v4) + 11)

    def guess(self, c):
        """The guesses of a value, and their histograms"""
        y, x, rows = c.y, c.x, self.V[c.s]
        here = self.around(rows, y, x)
        four = here.n, here.w, here.nw, here.ne
        found = self.first_guesses(here, rows, y, x) if c.s == 0 else self.other_guesses(c, here)
        a, b, d = abs(here.n - here.nw), abs(here.w - here.nw), abs(here.n + here.w - 2 * here.nw)
        nearest = here.w if a <= b and a <= d else here.n if b <= d else here.nw
        found.append((nearest, max(four) - min(four)))
        found = [(clip(value, 0, 255), spread) for value, spread in found]
        places = (y, x - 1), (y - 1, x), (y, x - 1), (y - 1, x), (y - 1, x - 1), (y - 1, x + 1)
        places += (y, x - 2), (y - 2, x)
        nearby = [sum(self.G[c.s][v][u][j] for v, u in places) for j in range(16)]
        weights = total = 0.0
        for first in range(4):
            of_four = sum_of_four = 0.0
            for (value, _), error in list(zip(found, nearby, strict=False))[first::4]:
                square = (error + 1.5) * (error + 1.5)
                of_four += 1.0 / (square * square)
                sum_of_four += 1.0 / (square * square) * value
            weights, total = weights + of_four, total + sum_of_four
        mean = total / weights
        found.append((int(mean + 0.5), int(min(abs(mean - c.at[0]) * 4.0, 255.0))))
        classes = [
            (*(sum(n >= edge for edge in (1, 2, 4, 6, 9, 14, 24)) for n in (error >> 3, abs(spread))), c.spot)
            for error, (_, spread) in zip(nearby, found, strict=True)
        ]
        c.guesses = [value for value, _ in found]
        c.histograms = [self.H[c.s][j][pair] for j, pair in enumerate(classes)]

    def around(self, rows, y, x):
        above, higher = rows[y - 1], rows[y - 2]
        sides = {
            "w": rows[y][x - 1],
            "ww": rows[y][x - 2],
            "nw": above[x - 1],
            "n": above[x],
            "ne": above[x + 1],
        }
        return SimpleNamespace(**sides, nee=above[x + 2], nn=higher[x], nne=higher[x + 1])

    def first_guesses(self, h, rows, y, x):
        nnn, www, nww = rows[y - 3][x], rows[y][x - 3], rows[y - 1][x - 2]
        least, most = min(h.n, h.w, h.nw, h.ne), max(h.n, h.w, h.nw, h.ne)
        return [
            ((2 * h.ne + h.w - h.nne + 1) >> 1, h.ne - h.w),
            (clip(3 * (h.n - h.nn) + nnn, least, most), h.n - h.nn),
            (clip(3 * (h.w - h.ww) + www, least, most), h.w - h.ww),
            (2 * h.n - h.nn, h.nn - nnn),
            (h.w, h.n - h.nw),
            (h.n, h.w - h.nw),
            ((3 * (h.n + h.w) - h.nn - h.ww + 2) >> 2, h.n - h.w),
            (h.n + h.w - h.nw, h.n - h.nw),
            (h.w + h.ne - h.n, h.ne - h.n),
            (h.w + h.nw - nww, h.w - nww),
            ((h.w + h.ne + 1) >> 1, h.w - h.ne),
            (h.n + h.ne - h.nne, h.ne - h.nne),
            (2 * h.w - h.ww, h.ww - www),
            ((h.w + h.nee + 1) >> 1, h.w - h.nee),
        ]

    def other_guesses(self, c, h):
        G, y, x = self.V[0], c.y, c.x
        other, u = (self.V[2], x - 1) if c.s == 1 else (self.V[1], x)
        p, q, P, Q = G[y][x], other[y][u], self.around(G, y, x), self.around(other, y, u)
        one = self.on_line(p, h, vars(P), 1)
        both = self.on_line(p + q, h, {name: value + vars(Q)[name] for name, value in vars(P).items()}, 2)
        sums = [
            (1, h.w + h.n - h.nw, P.w + P.n - P.nw),
            (1, h.w, P.w),
            (1, h.n, P.n),
            (1, h.ne, P.ne),
            (1, 2 * h.w - h.ww, 2 * P.w - P.ww),
            (1, 2 * h.n - h.nn, 2 * P.n - P.nn),
            (1, h.w + h.nee - h.ne, P.w + P.nee - P.ne),
            (1, h.n + h.ne - h.nne, P.n + P.ne - P.nne),
            (2, h.w + h.n - h.nw, Q.w + Q.n - Q.nw),
        ]
        moved = [(here + (p, q)[k - 1] - there, (p, q)[k - 1] - there) for k, here, there in sums]
        halves = [
            (here + ((p - of_p + q - of_q + 1) >> 1), p - of_p - q + of_q)
            for here, of_p, of_q in ((h.w, P.w, Q.w), (h.n, P.n, Q.n))
        ]
        return [one, both, *moved[:8], *halves, moved[8], (q, q - Q.w)]

    def on_line(self, at, h, elsewhere, times):
        names = "w", "w", "n", "n", "nw", "ne", "ww", "nn"
        there, here = [elsewhere[name] for name in names], [vars(h)[name] for name in names]
        squares = sum(a * a for a in there)
        products = sum(a * b for a, b in zip(there, here, strict=True))
        slope = 8 * products - sum(there) * sum(here) + times * 250.0
        slope /= 8 * squares - sum(there) ** 2 + times**2 * 250.0
        line = sum(here) * 0.125 + slope * (at - sum(there) * 0.125)
        return int(clip(line + 0.5, 0.0, 255.0)), abs(8 * at - sum(there)) >> 2 + times

    def count_below(self, c, j, value):
        return c.histograms[j][clip(value - c.guesses[j] + 64, 0, 127)]

    def odds_of_guesses(self, c, low, half):
        odds = []
        for j in range(16 if self.guessing else 0):
            below, middle, above = (self.count_below(c, j, low + k * half) for k in (0, 1, 2))
            odds.append(LN_COUNT[above - middle] - LN_COUNT[middle - below])
        return odds

    def learn_guesses(self, c, value):
        self.G[c.s][c.y][c.x] = [abs(value - guess) for guess in c.guesses]
        for guess, h in zip(c.guesses, c.histograms, strict=True):
            i = clip(value - guess + 64, 0, 127)
            for k in range(i + 1, 128):
                h[k] += 1
            if h[127] == 1000:
                h[:] = [count // 2 for count in h]

    def chosen(self, c, b, seen):
        """Weights of the mixers"""
        by_bit, by_spread, by_context, fourth, fifth = (of_mixer[c.s] for of_mixer in self.weights)
        three = [by_bit[b][c.spread], by_spread[c.spread][c.spot], by_context[c.context][c.spot]]
        if self.net:
            return [*three, fourth[c.color], fifth[c.strip]]
        return [*three, fourth[b][seen], fifth[b][c.color]]

    def slot(self, key):
        z = u64(key * 0x9E3779B97F4A7C15)
        return (u64((z ^ z >> 29) * 0xBF58476D1CE4E5B9) >> 30) % self.slots * 16

    def value(self, c):
        s, net, whole = c.s, self.net, c.total * 16777216.0
        c.moved = [center + c.correction for center in c.center]
        low, plain, moved, expert = 0, [0.0, whole], [0.0, whole], [[0.0, 16777216.0] for _ in c.at]

        def below(centers):
            total = 0.0
            for k, center in enumerate(centers):
                total += c.weight[k] * sigmoid((edge - center) * c.inverse[k])
            return total

        for b in range(8):
            if b == 0:
                slots = [self.slot(key) for key in c.keys]
            if b == 4:
                slots = [self.slot(u64(key + (low // 16 + 1) * 0x2545F4914F6CDD1D)) for key in c.keys]
            half = 128 >> b
            edge = low + half - 0.5
            Fm, Fp = below(c.moved), 0.0
            Fe = [float(sigmoid((edge - at) * sharp)) for at, sharp in zip(c.at, c.sharp, strict=True)]
            floor = 16.0 * c.total * half
            one, zero = moved[1] - Fm + floor, Fm - moved[0] + floor
            certain = False
            if net and one < zero * 0.001:
                certain = expert[0][1] - Fe[0] < (Fe[0] - expert[0][0]) * 0.001
            elif net and zero < one * 0.001:
                certain = Fe[0] - expert[0][0] < (expert[0][1] - Fe[0]) * 0.001
            if certain:
                bit = self.stream.bit(chance_of(one / (one + zero)))
            else:
                x = []
                if net:
                    Fp = below(c.center)
                    x = [log(one) - log(zero), log(plain[1] - Fp + floor) - log(Fp - plain[0] + floor)]
                for (lower, upper), F in zip(expert, Fe, strict=True):
                    x.append(log(upper - F + 64.0 * half) - log(F - lower + 64.0 * half))
                node = (1 << b % 4) + ((low >> 8 - b) % (1 << b % 4))
                counters = [self.counters[s][j][slot + node] for j, slot in enumerate(slots)]
                x += [log(float(q + 1)) - log(float(2**24 - q)) for q, _ in counters]
                asked = [(counters_of[b], said(candidate, b, low)) for candidate, counters_of in c.candidates]
                x += [sign * (log(float(q + 1)) - log(float(2**24 - q))) for (q, _), sign in asked]
                x += self.odds_of_guesses(c, low, half)
                seen = [n if n < 3 else 3 if n < 6 else 4 if n < 16 else 5 for _, n in counters]
                weights = self.chosen(c, b, 6 * seen[0] + seen[1])
                tables = self.P[s][b][c.context], self.Q[self.kind][s][b][c.spread]
                bit = mixed_bit(self.stream, x, weights, tables, self.rules)
                for counter, sign in [(counter, 1) for counter in counters] + asked:
                    q, n = counter
                    if sign:
                        right = (sign > 0) == bit
                        share, most = (REC[n], 250) if self.net else (EAGER[n], 90)
                        counter[:] = q + ((right * (ONE - 1) - q) * share >> 16), min(n + 1, most)
            low += half * bit
            side = 1 - bit  # of the interval that moves
            moved[side], expert[0][side] = Fm, Fe[0]
            if not certain:
                plain[side] = Fp
                for e in range(1, len(c.at)):
                    expert[e][side] = Fe[e]
        return low

    def learn(self, c, v):
        surprise, fit = v - c.at[0], self.fits[c.s]
        self.surprise[c.s][c.i][c.j] = surprise
        self.E[c.s][c.y][c.x] = int(min(abs(surprise) / (c.deviation + 0.25), 4.0) * 64.0)
        self.X[c.s][c.y][c.x] = [int(min(abs(v - at), 255.0) * 16.0) for at in c.at]
        d = 128.0 * 1.1 / 0.65 / c.sharp[0]
        fit.add(c.f, fit.g / (d * d + 0.1), v - c.mean)
        if self.net:
            for k, center in enumerate(c.moved):
                upper = ONE if v == 255 else sigmoid((v + 0.5 - center) * c.inverse[k])
                lower = 0 if v == 0 else sigmoid((v - 0.5 - center) * c.inverse[k])
                c.weight[k] *= (upper - lower + 256.0) * 2.0**-24
            top = 1.0 / max(c.weight)
            c.weight[:] = [max(weight * top, 0.001) for weight in c.weight]


# ---- fine samples

START = [0.2, 0.1, 0.1, 0.1, 0.1, 0.4, 0.1, 0.0]
FINE_CELLS = [SQ[24 * cell + 16] for cell in range(33)]
BESIDE = [o for o in SQUARE if 0 < o[0] ** 2 + o[1] ** 2 <= 4]


def fine_levels(r):
    """(depth, sample of every value)"""
    d, form = r.number(), r.number()
    check(8 <= d <= 16 and form < 20)
    values, m = np.arange(2**d, dtype=np.int64), 2**d - 1
    if form == 19:
        count = r.varint()
        check(1 <= count <= 2**d)
        method, length = r.number(), r.varint()
        high, low = decode_stored(method, r.take(length), (2, count, 1))[..., 0].astype(np.int64)
        listed = np.cumsum(256 * high + low)
        check(listed[-1] < 65536)
        return d, listed[np.minimum(values, count - 1)]
    if form < 16:
        check(d + form <= 16)
        return d, values << form
    if form == 16:
        return d, values << 16 - d | values >> 2 * d - 16
    return d, (2 * 65535 * values + m) // (2 * m) if form == 17 else 65535 * values // m


def decode_fine(payload, h, w, channels):
    check(len(payload) >= 2)
    r = Reader(payload)
    d, levels = fine_levels(r)
    lengths = [r.varint() for _ in range(channels - 1)]
    words = words_of(r.rest())
    check(sum(lengths) <= len(words), "T")
    ends = [*np.cumsum([0, *lengths]).tolist(), len(words)]
    V, surprise = [], []
    for s in range(channels):
        V.append(grid(h, w))
        surprise.append(grid(h, w, float))
        Fine(Stream(words, ends[s], ends[s + 1]), V, surprise, d).decode(h, w)
    return levels[plane_from(V, h, w)].astype(np.uint16)


def within(x, limit):
    return x if abs(x) <= limit else limit if x > 0.0 else -limit


class Fine:
    """The last channel of V; earlier ones are complete"""

    def __init__(self, stream, V, surprise, d):
        self.stream, self.V, self.surprise, self.d, self.n, self.s = stream, V, surprise, d, 0, len(V) - 1
        self.A, self.B = table_of(START, 64), table_of(START, d, 48)
        self.P, self.Q = table_of(FINE_CELLS, 64), table_of(FINE_CELLS, 1024)
        self.h, self.c = [0.5] * 2**d, [0.0] * 2**d
        self.slow = Fit(16 + 14 * self.s, 1 / 0.9995, 1.0 + 2.0**-30)
        self.quick = Fit(6 + self.s, 1 / 0.98, 1.0 + 2.0**-30, 8)
        self.rules = SimpleNamespace(
            limit=11.9, lanes=1, cells=4.0 / 3.0, mixed=0.7, refined=0.15, cell_rate=0.02
        )

    def decode(self, h, w):
        V = self.V[-1]
        self.X, self.J = grid(h, w, lambda: [0.0] * 7), grid(h, w, float)
        for y in range(h):
            begin_row(V, y)
            for x in range(w):
                V[y][x] = self.value(y, x)
            end_row(V, y, w)
        V[h], V[h + 1] = V[h - 1][:], V[h - 1][:]

    def features(self, y, x, mean):
        """All of them; those of the quick fit"""
        V, own = self.V, self.surprise[-1]
        f = [self.V[-1][y + dy][x + dx] - mean for dy, dx in RASTER_OWN]
        few = f[:6]
        for rows in V[:-1]:
            f += [float(rows[y + dy][x + dx] - rows[y][x]) for dy, dx in BESIDE]
        for rows, surprise in zip(V[:-1], self.surprise, strict=False):
            f += [rows[y][x] - (rows[y - 1][x] + rows[y][x - 1]) * 0.5, surprise[y][x]]
            few.append(f[-2])
        return [*f, own[y][x - 1], own[y - 1][x], own[y - 1][x - 1], own[y - 1][x + 1]], few

    def first_experts(self, y, x, mean, f, few):
        V, s, top = self.V[-1], self.s, float(2**self.d)
        above, left = V[y - 1][x], V[y][x - 1]
        at = []
        for fit, features in ((self.slow, f), (self.quick, few)):
            total = 0.0
            for u, feature in zip(fit.U, features, strict=True):
                total += u * feature
            at.append(mean + within(total, top))
        if not s:
            return [*at, float(above), float(left), (above + V[y - 1][x + 1]) * 0.5]
        up = sum(rows[y][x] - rows[y - 1][x] for rows in self.V[:-1])
        across = sum(rows[y][x] - rows[y][x - 1] for rows in self.V[:-1])
        return [*at, above + up * (1.0 / s), left + across * (1.0 / s), mean]

    def value(self, y, x):
        V = self.V[-1]
        mean = (V[y - 1][x] + V[y][x - 1]) * 0.5
        f, few = self.features(y, x, mean)
        at = self.first_experts(y, x, mean, f, few)
        count, judgement, X, more = 1.0, 0.7, [0.0] * 7, 0.0
        for v, u, weight in judges(RASTER_OWN[:6], y, x, 1):
            count += weight
            judgement += weight * self.J[v][u]
            X = [total + weight * error for total, error in zip(X, self.X[v][u], strict=True)]
        for dy, dx in RASTER_OWN:
            more += self.X[y + dy][x + dx][0]
        share = 1.0 / count
        deviation = (X[0] + 2.0) * share
        total = blend = 0.0
        for j in range(5):
            weight = 1.0 / ((X[j] + 0.7) * (X[j] + 0.7))
            weight *= weight
            total += weight
            blend += weight * at[j]
        at += [blend / total, at[0]]
        X[6] = (X[0] + more) * count / (count - 1.0 + 12)
        sharp = [128.0 / ((0.7 + error) * share * 0.65 + 0.04) for error in X]
        judged = int(clip(log(judgement * share + 0.02) * 2.885 + 10.0, 0.0, 15.0))
        value = self.bits(at, sharp, deviation, judged)
        self.surprise[-1][y][x] = value - at[0]
        self.J[y][x] = min(abs(value - at[0]) / (deviation + 0.25), 4.0)
        self.X[y][x] = [abs(value - expert) for expert in at]
        expected = 128.0 * 1.1 / 0.65 / sharp[0]
        precision = 1.0 / (expected * expected + 0.1)
        self.slow.add(f, precision * self.slow.g, value - mean)
        self.quick.add(few, precision * self.quick.g, value - mean)
        self.n += 1
        return value

    def bits(self, at, sharp, deviation, judged):
        octave = log(deviation + 0.1) * 2.885
        spread = int(clip(octave + 6.0, 0.0, 47.0))
        self.rules.rate = 0.003 + 0.01 / (1.0 + self.n * (1.0 / 1024))
        lower, upper, low = [0.0] * 7, [16777216.0] * 7, 0
        for b in range(self.d):
            half = 1 << self.d - 1 - b
            node = 1 << b | low >> self.d - b
            edge = low + half - 0.5
            floor = 64.0 * 256.0 / 2**self.d * half
            one = zero = 7 * floor
            F = [smooth((edge - at[j]) * sharp[j]) for j in range(7)]
            for j in range(7):
                one += upper[j] - F[j]
                zero += F[j] - lower[j]
            h = self.h[node]
            even = half < deviation * 0.1 and abs(h - 0.5) < 0.1
            if one < zero * 0.003 or zero < one * 0.003 or even:
                bit = self.stream.bit(chance_of(one / (one + zero)))
            else:
                ratio = int(clip(log(float(half)) * 2.885 - octave + 12.0, 0.0, 63.0))
                x = [log(upper[j] - F[j] + floor) - log(F[j] - lower[j] + floor) for j in range(7)]
                x.append(log(h) - log(1.0 - h))
                weights, tables = (
                    (self.A[ratio], self.B[b][spread]),
                    (self.P[ratio], self.Q[64 * judged + ratio]),
                )
                bit = mixed_bit(self.stream, x, weights, tables, self.rules)
            self.h[node] = clip(h + (bit - h) / (self.c[node] + 1.6), 0.0005, 1.0 - 0.0005)
            self.c[node] = min(self.c[node] + 1.0, 250.0)
            low += half * bit
            if bit:
                lower = F
            else:
                upper = F
        return low


def smooth(u):
    t = clip(u + 1535.5, 0.0, 3070.0)
    i = int(t)
    return SIG[i] + (SIG[i + 1] - SIG[i]) * (t - i)
