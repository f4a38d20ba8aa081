"""The range coder's streams of a plane, one for each channel: opened for a decoder, sealed by an encoder,
worked on by threads that follow each other.

Knows words; nothing of what the decisions in them mean.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Semaphore

import numpy as np

from codec.coder.continuation import Continuation
from codec.coder.rangecoder import FULL, exhausted, seal, unseal
from codec.container import read_varint, varint
from codec.errors import TruncatedError
from codec.parallel import at_once

# 64-bit numbers between what two threads write, so that they do not wait for each other's cache lines
LINE = 16
STRIP = 2048  # pixels after which the next channel's thread may follow


class Streams:
    """The coder's state and words of some channels of a plane, in either direction.

    steps: the channels that have a stream, of G, R, B. pixels: how many the plane has. most: words that a
    pixel's decisions in one channel can take. data: what an encoder wrote, or None to encode. threads: how
    many may be used. continuation: what to go on with if the end of `data` is missing. Raises TruncatedError
    if data is too short to be what an encoder wrote.
    """

    def __init__(
        self,
        steps: range,
        pixels: int,
        most: int,
        data: bytes | None,
        threads: int,
        continuation: Continuation | None,
    ) -> None:
        self.steps, self.most, self.decoding, self.continuation = steps, most, data is not None, continuation
        # what lets channels follow each other
        self.pool = at_once if len(steps) == 3 and threads > 1 else None
        self.state = np.zeros((3, LINE), dtype=np.uint64)
        self.state[:, 0] = FULL
        # What an encoder does not write to stays untouched, and costs no memory.
        self.words = (
            np.empty((3, most * pixels + 2), dtype=np.uint32) if data is None else self._open(data, pixels)
        )

    def _open(self, data: bytes, pixels: int) -> np.ndarray:
        """Find the streams of the channels, one after the other, and start a range decoder on each."""
        at, lengths = 0, []
        missing = self.continuation.missing if self.continuation else 0
        try:
            for _ in self.steps[1:]:
                length, at = read_varint(data, at)
                lengths.append(length)
        except TruncatedError:
            if self.continuation is None:
                raise
        if self.continuation and at == len(data):  # nothing is there of any stream, however long it was
            lengths, missing = [1] * (len(self.steps) - 1), 4 * len(self.steps)
        total = (len(data) + missing - at) // 4
        if (len(data) + missing - at) % 4 or sum(lengths) > total:
            raise TruncatedError("its data is cut short.")
        words = np.frombuffer(data, dtype="<u4", offset=at, count=(len(data) - at) // 4).astype(np.uint32)
        lengths.append(total - sum(lengths))
        ends = np.cumsum(lengths).tolist()
        places = [(end - length, end) for end, length in zip(ends, lengths, strict=True)]
        if self.continuation:
            words, places = self.continuation.lay_out(words, lengths, self.most * (pixels + 1))
        for s, (start, end) in zip(self.steps, places, strict=True):
            if self.continuation:
                self.continuation.supply(words, s, start, self.most)
            self.state[s, :4] = unseal(words, start, end)
        return words[None]

    def code_strips(
        self,
        code: Callable[[int, int, int], None],
        rows: int,
        strip: int,
        pixels: int,
        ahead: int | None = None,
    ) -> int:
        """Code rows in strips of `strip`, in each channel: code(first_row, last_row, channel). Between two of
        them signals are noticed.

        pixels: of a row and stream. ahead: None for channel after channel; else three threads, one for each
        channel, each a strip behind the one before, and `ahead` more. Returns the rows that were coded in all
        channels, before a word was read that is not there.
        """
        sure = [rows] * 3

        def code_strip(start: int, step: int) -> None:
            end = min(start + strip, rows)
            if self.continuation:  # a decoder that must go on finds words for so many more pixels
                position = int(self.state[step, 2])
                self.continuation.supply(self.words[0], step, position, self.most * (end - start) * pixels)
            code(start, end, step)
            if self.continuation and self.continuation.is_drawn(step, int(self.state[step, 2])):
                sure[step] = min(sure[step], start)

        if ahead is not None:
            self._follow(code_strip, range(0, rows, strip), ahead)
        else:
            for step in self.steps:
                for start in range(0, rows, strip):
                    code_strip(start, step)
        return min(sure)

    def _follow(self, code_strip: Callable[[int, int], None], starts: range, ahead: int) -> None:
        """Three threads, one per channel, each a strip of rows behind the one before, and `ahead` more."""
        assert self.pool is not None
        done = [Semaphore(0) for _ in range(3)]

        def channel(step: int) -> None:
            try:
                for _ in range(ahead if step else 0):
                    done[step - 1].acquire()
                for start in starts:
                    if step:
                        done[step - 1].acquire()
                    code_strip(start, step)
                    done[step].release()
            finally:  # should this one fail, the next must not wait for ever; its error is raised below
                done[step].release(len(starts) + ahead)

        self.pool([partial(channel, step) for step in range(3)])

    def finish(self) -> bytes:
        """An encoder's streams, with the lengths of all but the last before them, in words."""
        streams = [seal(self.state[s], self.words[s]) for s in self.steps]
        return b"".join([*(varint(len(stream) // 4) for stream in streams[:-1]), *streams])

    def exhausted(self) -> bool:
        """May the decoder have read all that was encoded?"""
        return all(exhausted(self.state[s]) for s in self.steps)
