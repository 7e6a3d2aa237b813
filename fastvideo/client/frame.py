"""Decoded pictures with the sound that belongs to them, put together from what two tracks bring."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Sound ends at most 64 ms before its picture.
_MOST_WAITING = 32


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture and its sound.

    ``pixels``: uint8 [H, W, 3], RGB. ``samples``: float32 [channels, n] at ``sample_rate_hz``, from where the frame
    before ended to where this one ends; [0, 0] for a stream without sound. ``index`` counts from 0 and ``time_s`` tells
    when the picture is shown, both on the timeline of the whole stream. ``prompt`` is what its segment was made from.
    """

    index: int
    time_s: float
    pixels: NDArray[np.uint8]
    samples: NDArray[np.float32]
    sample_rate_hz: int
    segment_idx: int
    prompt: str


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture, shown from ``start`` to ``end`` ticks of ``timescale`` to the second."""

    start: int
    end: int
    timescale: int
    pixels: NDArray[np.uint8]


class FrameAssembler:
    """Gives each picture the sound of its time. Sound may come later than its picture: a picture waits for it.

    ``sample_rate_hz`` is 0 and ``channels`` 0 without sound.
    """

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._rate_hz = sample_rate_hz
        self._pictures: deque[tuple[Picture, int, str]] = deque()
        self._sound = np.zeros((channels, 0), np.float32)
        # Where in the sound, in samples, the next frame's begins, and where what is there ends.
        self._taken: int | None = None
        self._end = 0

    def add_picture(self, picture: Picture, segment_idx: int, prompt: str) -> None:
        """A picture of a segment; they come in the order of their times."""
        if self._taken is None:
            self._taken = self._place(picture.start, picture)
            self._drop_before(self._taken)
        self._pictures.append((picture, segment_idx, prompt))

    def add_sound(self, start: int, samples: NDArray[np.float32]) -> None:
        """Samples float32 [channels, n], the first of which is number ``start``; a hole is filled with silence."""
        if not self._sound.shape[1]:
            self._end = start if self._taken is None else max(start, self._taken)
        hole = max(0, start - self._end)
        new = samples[:, max(0, self._end - start) :]
        silence = np.zeros((len(samples), hole), np.float32)
        self._sound = np.concatenate((self._sound, silence, new), axis=1)
        self._end += hole + new.shape[1]

    def ready(self) -> list[Frame]:
        """The frames whose sound is there, and those that have waited too long for it."""
        if not self._rate_hz:
            return self.rest()
        frames = []
        while self._pictures:
            first = self._pictures[0][0]
            if self._place(first.end, first) > self._end and len(self._pictures) <= _MOST_WAITING:
                break
            frames.append(self._next())
        return frames

    def rest(self) -> list[Frame]:
        """The other frames, with what sound there is of theirs; what comes later goes to the frame after them."""
        return [self._next() for _ in range(len(self._pictures))]

    def _next(self) -> Frame:
        picture, segment_idx, prompt = self._pictures.popleft()
        assert self._taken is not None
        wanted = max(0, self._place(picture.end, picture) - self._taken)
        samples = self._sound[:, :wanted].copy()
        self._sound = self._sound[:, samples.shape[1] :]
        self._taken += samples.shape[1]
        return Frame(
            index=round(picture.start / (picture.end - picture.start)),
            time_s=picture.start / picture.timescale,
            pixels=picture.pixels,
            samples=samples,
            sample_rate_hz=self._rate_hz,
            segment_idx=segment_idx,
            prompt=prompt,
        )

    def _drop_before(self, sample: int) -> None:
        early = min(max(0, sample - (self._end - self._sound.shape[1])), self._sound.shape[1])
        self._sound = self._sound[:, early:]
        self._end = max(self._end, sample) if not self._sound.shape[1] else self._end

    def _place(self, ticks: int, picture: Picture) -> int:
        return round(ticks * self._rate_hz / picture.timescale)
