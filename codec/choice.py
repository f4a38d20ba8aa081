"""Choosing a method: a plane of a tile is coded in the ways that may be the smallest, and the smallest is
kept. Knows planes and payloads; no files.
"""

from __future__ import annotations

import zlib

import numpy as np

from codec.coder import palette, stored
from codec.coder.converted import CONVERTED_CODER
from codec.coder.jpeg.coder import JPEG_CODER
from codec.coder.work import Work
from codec.methods import Method, coder_of
from codec.samples import Kind
from codec.samples import planes as split

# planes that zlib shrinks below this share may be graphics, and are coded both with and without the network
GRAPHICS = 0.3
# a plane that zlib shrinks by more than this is worth no seconds of work, if it has more values than SMALL
EMPTY, SMALL = 200, 2**18
# Samples of 16 bits may be smaller byte by byte if zlib needs less than HOPE times what the coder of high
# depths does, and less than this share of them.
HOPE, NOISE = 1.15, 0.75

Coded = list[tuple[int, bytes]]  # (method, payload) of one plane after the other


def encode_plane(plane: np.ndarray, work: Work, few: bool = False) -> tuple[int, bytes]:
    """plane: uint8 (h, w, 1 or 3). few: as in `codec.samples.Kind`. Returns (method, payload), the smallest
    of: by coefficients if it was a JPEG, and no other where that is sure; by the network (colours converted
    back, if they were converted), by the coder for graphics if the plane may be such, and stored.
    """
    rough = roughly(plane)
    tried: list[tuple[int, bytes]] = []
    if rough * EMPTY >= plane.size or plane.size <= SMALL:
        if not few:  # labels and coarse steps are never for the network, which has not seen such
            of_jpeg = JPEG_CODER.pack(plane)
            if of_jpeg is not None:
                payload, sure = of_jpeg
                tried.append((Method.JPEG, payload))
                if sure:
                    work.done(plane.size)
                    return tried[0]
            tried.append(_by_network(plane, work))
        if few or (rough < GRAPHICS * plane.size and not work.schedule.plain):
            tried.append((Method.GRAPHICS, coder_of(Method.GRAPHICS).encode(plane, work)))
    if few or not tried:
        work.done(plane.size)
    method, payload = min(tried, key=lambda t: len(t[1]), default=(int(Method.RAW), plane.tobytes()))
    if not tried or few or rough * 0.7 < len(payload) or len(payload) >= plane.size:
        other = stored.encode(plane)
        if len(other[1]) <= len(payload):
            return other
    return method, payload


def _by_network(plane: np.ndarray, work: Work) -> tuple[int, bytes]:
    """Of a plane, uint8 (h, w, 1 or 3), whose colours are converted back where they were made by a known
    conversion: that is always worth it.
    """
    converted = CONVERTED_CODER.pack(plane, work) if plane.shape[2] == 3 else None
    if converted is not None:
        return Method.CONVERTED, converted
    return Method.NETWORK, coder_of(Method.NETWORK).encode(plane, work)


def encode_samples(samples: np.ndarray, work: Work) -> Coded:
    """samples: uint16 (h, w, 1 or 3).

    Returns (method, payload) of the high bytes and of the low ones, the smallest of: both together; each as a
    plane. The latter is left out where it can hardly win.
    """
    high, low = split(samples)
    rough = roughly(high) + roughly(low)
    together: Coded = []
    if not work.schedule.plain and rough * 100 >= samples.size:
        payload = coder_of(Method.HIGH_DEPTH).encode(samples, work)
        together = [(Method.HIGH_DEPTH, payload), (Method.INCLUDED, b"")]
        hopeless = rough >= max(GRAPHICS * samples.nbytes, min(HOPE * len(payload), NOISE * samples.nbytes))
        if hopeless and len(payload) < samples.nbytes:
            work.done(samples.nbytes)
            return together
    apart = [encode_plane(high, work), encode_plane(low, work)]
    return smallest(together, apart)


def encode_tile(tile: np.ndarray, work: Work) -> Coded:
    """tile: uint8 (h, w, c), c from 1 to 4, levels of light.

    Returns (method, payload) of all its planes, coded together by a palette; nothing where it has too many
    colours, or can hardly win. Tells `work.progress` nothing, since the planes are coded apart, too.
    """
    if work.schedule.plain:  # which learns nothing
        return []
    some = palette.colours_of(palette.some_of(tile))
    if some is None:
        return []
    # The network knows greys well, and a photo in grey has no more than 256.
    if _are_grey(some[0]) and roughly(tile[..., :1]) >= GRAPHICS * tile[..., 0].size:
        return []
    found = palette.colours_of(tile)
    if found is None:
        return []
    included: Coded = [(Method.INCLUDED, b"")] * (tile.shape[2] in (2, 4))
    return [(Method.PALETTE, palette.pack(*found, work)), *included]


def smallest(*ways: Coded) -> Coded:
    """Of ways to code the same planes, of which some may be empty, the smallest; of equal ones the first."""
    return min((way for way in ways if way), key=lambda way: sum(len(payload) for _, payload in way))


def _are_grey(colours: np.ndarray) -> bool:
    """Whether colours (n, c) are greys of one opacity."""
    levels, alpha = (colours, colours[:, :0]) if colours.shape[1] in (1, 3) else np.split(colours, [-1], 1)
    return bool((levels == levels[:, :1]).all() and (alpha == alpha[:1]).all())


def looks_like_graphics(array: np.ndarray, kind: Kind) -> bool:
    """Whether the colours of an image, (h, w, c), shrink as those of graphics do."""
    colours = split(array)[0]
    return kind.few or roughly(colours) < GRAPHICS * colours.size


def roughly(plane: np.ndarray) -> float:
    """About how many bytes zlib would need: tells graphics, and whether storing can win at all; LZMA over
    every photo would cost a fifth of the time.
    """
    height = plane.shape[0]
    sample = plane
    if plane.size > 2**18:  # an eighth of the rows, in eight places
        sample = np.concatenate([plane[i * height // 8 :][: height // 64 + 1] for i in range(8)])
    return (
        min(len(zlib.compress(stored.filter_forward(sample, k).tobytes(), 1)) for k in (0, 7))
        * plane.size
        / sample.size
    )
