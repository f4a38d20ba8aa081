"""A text taken apart: the words' letters, their capitals, and what stands between the words. Knows bytes and
letters; no coder, no files.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from codec.errors import CorruptError


class Parts(NamedTuple):
    """A text of n words and N letters, taken apart."""

    letters: np.ndarray  # uint8 (N,), 1..26, the words one after the other
    starts: np.ndarray  # int64 (n + 1,), where words begin, and N
    capital: np.ndarray  # uint8 (N,), 1 for capitals
    gaps: np.ndarray  # uint8, bytes of all gaps: before, between and after the words
    ends: np.ndarray  # int64 (n + 1,), where each gap ends

    @property
    def stream(self) -> np.ndarray:
        """uint8: the words, small, with one space (0) between them."""
        out = np.zeros(max(0, self.letters.size + self.starts.size - 2), dtype=np.uint8)
        out[
            np.arange(self.letters.size) + np.repeat(np.arange(self.starts.size - 1), np.diff(self.starts))
        ] = self.letters
        return out

    def join(self) -> bytes:
        """The bytes of the text."""
        out = np.empty(self.letters.size + self.gaps.size, dtype=np.uint8)
        words = np.repeat(np.arange(self.starts.size - 1), np.diff(self.starts))
        out[np.arange(self.letters.size) + self.ends[words]] = self.letters + np.where(
            self.capital, 64, 96
        ).astype(np.uint8)
        gaps = np.repeat(np.arange(self.ends.size), np.diff(self.ends, prepend=0))
        out[np.arange(self.gaps.size) + self.starts[gaps]] = self.gaps
        return out.tobytes()


def take_apart(data: bytes) -> Parts:
    """Inverse of `Parts.join`."""
    x = np.frombuffer(data, dtype=np.uint8)
    small = x | 32
    letter = (small >= 97) & (small <= 122)
    first = np.flatnonzero(letter & ~np.concatenate([[False], letter[:-1]]))
    starts = np.append((np.cumsum(letter) - letter)[first], letter.sum()).astype(np.int64)
    ends = np.append(np.cumsum(~letter)[first], (~letter).sum()).astype(np.int64)
    return Parts(
        (small[letter] - 96).astype(np.uint8),
        starts,
        (x[letter] < 97).astype(np.uint8),
        x[~letter].copy(),
        ends,
    )


def words_of(stream: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(letters, starts) of a stream. Raises CorruptError if a word is empty."""
    space = stream == 0
    starts = np.concatenate(
        [[0], np.flatnonzero(space) + 1 - np.arange(1, space.sum() + 1), [stream.size - space.sum()]]
    ).astype(np.int64)
    if stream.size and (np.diff(starts) <= 0).any():
        raise CorruptError("the letters of a text do not make words.")
    return stream[~space], starts if stream.size else np.zeros(1, dtype=np.int64)
