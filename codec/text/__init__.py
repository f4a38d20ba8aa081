"""Texts, and any other bytes: letters by the network, the rest by a mixing coder. Knows no images."""

from codec.text.file import (
    CELL,
    DIGEST_BYTES,
    Order,
    Prose,
    TextHeader,
    breaks_are_wrong,
    info,
    is_text,
    pack,
    plan,
    read,
    take_apart,
    unpack,
    words_of,
)

__all__ = [
    "CELL",
    "DIGEST_BYTES",
    "Order",
    "Prose",
    "TextHeader",
    "breaks_are_wrong",
    "info",
    "is_text",
    "pack",
    "plan",
    "read",
    "take_apart",
    "unpack",
    "words_of",
]
