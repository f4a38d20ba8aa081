"""The segments of a JPEG: its size, and what else is in it. Pillow only unpacks the pixels. Knows the format,
and no .ardm files.

FF D8 | segments: FF, kind, size, data; after some of them, coded pixels | FF D9
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

from codec.errors import CorruptError, TruncatedError
from codec.formats.luggage import PER_METRE, RATIO_ONLY, Luggage
from codec.png import Head
from codec.samples import Kind

SOI = b"\xff\xd8\xff"
FRAMES = [mark for mark in range(0xC0, 0xD0) if mark not in (0xC4, 0xC8, 0xCC)]  # segments that say the size
END, SCAN, COMMENT, ADOBE = 0xD9, 0xDA, 0xFE, 0xEE
APPLICATIONS = range(0xE0, 0xF0)
EXIF, XMP, ICC, JFIF = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0", b"JFIF\0"
NAMES = {  # of what no chunk of a PNG can hold
    b"http://ns.adobe.com/xmp/extension/\0": "more XMP",
    b"Photoshop 3.0\0": "Photoshop's resources (IPTC)",
    b"MPF\0": "a list of further pictures (MPF)",
    b"JFXX\0": "a small copy (JFXX)",
}
_MARK = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # the next segment after coded pixels
_UNITS = {1: 10000 / 254, 2: 100.0}  # of JFIF: per inch, per centimetre -> per metre


@dataclass
class Jpeg:
    """What is in a file, segment by segment."""

    head: Head = field(default_factory=lambda: Head(1, 1, 1, Kind(), False))
    depth: int = 0  # bits of a sample; 0: its size has not been said yet
    channels: int = 0
    profile: dict[int, bytes] = field(default_factory=dict)  # number of a piece, from 1 -> piece
    pieces: int = 0
    luggage: Luggage = field(default_factory=Luggage)


def is_jpeg(data: bytes) -> bool:
    """Whether it begins as a JPEG does, with the kind of its first segment."""
    return data[:3] == SOI and data[3:4] >= b"\xc0"


def parse(data: bytes) -> Jpeg:
    """Raises TruncatedError or CorruptError for what is damaged up to its size; what follows that is for the
    decoder to judge."""
    jpeg, at = Jpeg(), 2
    while True:
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        mark, size = data[at + 1 : at + 2], int.from_bytes(data[at + 2 : at + 4], "big")
        if jpeg.depth and mark == bytes([END]):
            if data[at + 2 :]:
                jpeg.luggage.leave(f"{len(data) - at - 2} bytes after its end")
            break
        if jpeg.depth and (data[at : at + 1] != b"\xff" or size < 2 or at + 2 + size > len(data)):
            jpeg.luggage.leave("a damaged segment")
            break
        if at + 4 > len(data):
            raise TruncatedError("the JPEG is cut short inside its header.")
        if data[at] != 255 or size < 2 or at + 2 + size > len(data):
            raise CorruptError(f"the JPEG has a damaged segment at byte {at}.")
        _segment(jpeg, mark[0], data[at + 4 : at + 2 + size])
        at += 2 + size
        if mark == bytes([SCAN]) and jpeg.depth:
            following = _MARK.search(data, at)
            if not following:
                break
            at = following.start()
    _join_profile(jpeg)
    if not jpeg.head.width or not jpeg.head.height:
        raise CorruptError(f"the JPEG says {jpeg.head.width} x {jpeg.head.height} pixels.")
    return jpeg


def _segment(jpeg: Jpeg, mark: int, segment: bytes) -> None:
    """Read a segment: the size, or a piece of luggage."""
    if mark in FRAMES and not jpeg.depth:
        if len(segment) < 6:
            raise CorruptError("the JPEG's header is damaged.")
        jpeg.depth, height, width, jpeg.channels = struct.unpack_from(">BHHB", segment)
        jpeg.head = Head(width, height, min(max(jpeg.channels, 1), 4), Kind(), False)
    elif mark == COMMENT:
        jpeg.luggage.add_comment(segment)
    elif mark in APPLICATIONS:
        _application(jpeg, mark, segment)


def _application(jpeg: Jpeg, mark: int, segment: bytes) -> None:
    luggage = jpeg.luggage
    if segment.startswith(EXIF):
        luggage.add_exif(segment[len(EXIF) :])
    elif segment.startswith(XMP):
        luggage.add_xmp(segment[len(XMP) :])
    elif segment.startswith(ICC) and len(segment) > 14 and segment[12] not in jpeg.profile:
        jpeg.profile[segment[12]], jpeg.pieces = segment[14:], segment[13]
    elif segment.startswith(JFIF) and len(segment) >= 14:
        unit, across, down = struct.unpack_from(">BHH", segment, 7)
        scale = _UNITS.get(unit, 1)
        known = PER_METRE if unit in _UNITS else RATIO_ONLY
        luggage.add_resolution(round(across * scale), round(down * scale), known)
        if segment[12] and segment[13]:
            luggage.leave("a small copy (JFIF)")
    elif mark != ADOBE:  # which says what its colours are, as pixels do
        other = f"a segment of kind APP{mark - APPLICATIONS.start}"
        luggage.leave(next((name for start, name in NAMES.items() if segment.startswith(start)), other))


def _join_profile(jpeg: Jpeg) -> None:
    """Profiles are cut into numbered pieces of 64 kB."""
    if jpeg.profile and sorted(jpeg.profile) != list(range(1, jpeg.pieces + 1)):
        jpeg.luggage.leave("a colour profile with pieces missing")
    elif jpeg.profile:
        jpeg.luggage.add_icc(b"".join(jpeg.profile[i] for i in sorted(jpeg.profile)))
