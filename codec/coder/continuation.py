"""`Continuation`: what a decoder goes on with where a plane's payload ends too early, and which pixels that
decided. Knows words and masks, no models.

A range decoder that is fed uniformly random words draws from its model's distribution
(`codec.coder.rangecoder.code_bit` draws again where no encoder points). So the words that are there are
followed by random ones, and what is decoded after the decoder has read the first of those is invented.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ardm.orders import PATCH

NEVER = 2**62  # a position that no decoder reads


class Continuation:
    """The end of one plane's payload, made up. One for each plane, used once.

    seed: what the random words follow from, and nothing else. missing: bytes by which the payload is too
    short. fill: uint8, of pixels that can only be stored, not drawn. Thread-safe as `Mixing` uses it: one
    thread for each channel.
    """

    def __init__(self, seed: Sequence[int], missing: int, fill: int = 128) -> None:
        self.missing, self.fill = missing, fill
        # of the stage at hand, at last of the plane: pixels of which anything is invented
        self.drawn = np.zeros((0, 0), dtype=bool)
        self.lost = False  # whether something of an earlier phase is invented, and with it all that follows
        # Raw words of a bit generator, unlike what a `Generator` makes of them, are promised to stay the same
        # in all releases of NumPy.
        self._random = [np.random.PCG64(np.random.SeedSequence([*seed, s])) for s in range(3)]

    def words(self, s: int, count: int) -> np.ndarray:
        """The next random words of a channel: uint32 (count,)."""
        return self._random[s].random_raw(-(-count // 2)).astype("<u8").view("<u4")[:count]

    def root(self, shape: tuple[int, int, int]) -> np.ndarray:
        """Pixels that no model codes: uint8 of `shape`, greys 32 to 222 with a touch of colour, as the
        network knows photos; not every bytes are like these.
        """
        words = self.words(0, int(np.prod(shape))).reshape(shape)
        grey = 32 + 3 * (words[..., :1] >> 24) // 4
        return np.clip(grey + (words & 31) - 16, 0, 255).astype(np.uint8)

    def lay_out(
        self, words: np.ndarray, lengths: Sequence[int], most: int
    ) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """Room for all streams, which are expected to have `lengths` words, of which `words` are there. most:
        words that any stream can take.

        Returns (uint32 (n,), start and end of each stream in it).
        """
        places, at, self._sure, self._filled = [], 0, [], []
        had = [max(0, min(words.size - sum(lengths[:s]), length)) for s, length in enumerate(lengths)]
        rooms = [
            length if there == length else length + most for there, length in zip(had, lengths, strict=True)
        ]
        out = np.empty(sum(rooms), dtype=np.uint32)  # what is never read costs no memory
        for s, (there, length, room) in enumerate(zip(had, lengths, rooms, strict=True)):
            out[at : at + there] = words[sum(lengths[:s]) :][:there]
            self._sure.append(NEVER if there == length else at + there)
            self._filled.append(NEVER if there == length else at + there)
            places.append((at, at + room))
            at += room
        return out, places

    def supply(self, words: np.ndarray, s: int, position: int, count: int) -> None:
        """See to it that a channel's decoder can read so many words. position: of its next word."""
        need = position + count
        if self._filled[s] < need:
            words[self._filled[s] : need] = self.words(s, need - self._filled[s])
            self._filled[s] = need

    def is_drawn(self, s: int, position: int) -> bool:
        """Whether a channel's decoder, whose next word is at `position`, has read a random word."""
        return position > self._sure[s]

    def start_stage(self, height: int, width: int) -> None:
        """Begin a stage, whose lattice, if it has one, is the stage before."""
        before, self.drawn = self.drawn, np.zeros((height, width), dtype=bool)
        if before.size:
            self.drawn[::PATCH, ::PATCH] = before

    def start_pixels(self, height: int, width: int, stride: int) -> None:
        """Everything is invented, but of what has been marked as a grid of pixels `stride` apart only what is
        so marked.
        """
        before, self.drawn, self.lost = self.drawn, np.ones((height, width), dtype=bool), True
        self.drawn[::stride, ::stride] = before

    def mark_pixels(self, sure: int) -> None:
        """Note that of a stage only the first `sure` pixels, row by row, are not invented."""
        self.drawn.reshape(-1)[sure:] = True
        self.lost = self.lost or sure < self.drawn.size

    def mark(self, place: tuple[int, int, int], row: int) -> None:
        """Note that a phase, (first row, first column, step), is invented from its `row` on; and all that
        follows, if that is anything of it.
        """
        top, left, step = place
        part = self.drawn[top::step, left::step]
        part[0 if self.lost else row :] = True
        self.lost = self.lost or row < part.shape[0]
