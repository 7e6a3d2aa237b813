"""Fades out what sets a segment's picture apart from the one that it continues."""

from __future__ import annotations

import numpy as np

from fastvideo.pipelines.basic.ltx2.batch import Frames

# Half a second at 24 fps: short beside a movement, long enough that no single step of it shows.
FADE_FRAMES = 12


class JoinFade:
    """Begins a segment exactly with the picture that the viewer saw last.

    The frames that a segment repeats come out a little different from how they were shown: they went through the video
    VAE once more. The difference on the last of them is added to the new frames, less and less over ``frames`` of them,
    so that there is no step at the join.
    """

    def __init__(self, shown: Frames, repeated: Frames, frames: int = FADE_FRAMES) -> None:
        """``shown`` and ``repeated``: one picture as the viewer saw it and as it came out, uint8 [H, W, 3]."""
        self._apart = shown.astype(np.float32) - repeated
        self._frames = frames
        self._faded = 0

    def apply(self, frames: Frames) -> None:
        """Changes the next new frames, uint8 [n, H, W, 3], in place, as far as the fade still reaches."""
        for frame in frames[: self._frames - self._faded]:
            self._faded += 1
            share = 1 - self._faded / (self._frames + 1)
            faded = self._apart * share
            faded += frame
            np.clip(np.rint(faded, out=faded), 0, 255, out=faded)
            frame[...] = faded
