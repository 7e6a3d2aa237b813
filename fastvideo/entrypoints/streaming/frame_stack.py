"""The frames of a result in an array of their own, copied there once, as their views come."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastvideo.api.errors import GenerationFailed
from fastvideo.entrypoints.streaming.frames_view import FramesView


class FrameStack:
    """Gives each view the :meth:`place` to copy it to. A view of frame 0 begins anew: another worker took over."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.uint8]] = []
        self._held_frames = 0
        self._total_frames: int | None = None

    def place(self, view: FramesView) -> NDArray[np.uint8]:
        """Where the view's frames belong, uint8 [N, H, W, 3]. Raises GenerationFailed when they do not follow."""
        frames = view.frames
        if view.first_frame == 0:
            self._parts, self._held_frames, self._total_frames = [], 0, view.total_frames
        end = view.first_frame + len(frames)
        if view.first_frame != self._held_frames or view.total_frames != self._total_frames:
            raise GenerationFailed(f"expected frame {self._held_frames} of the worker, got {view.first_frame}")
        if self._total_frames is None:
            self._parts.append(np.empty_like(frames))
        elif not self._parts:
            self._parts.append(np.empty((self._total_frames, *frames.shape[1:]), np.uint8))
        elif frames.shape[1:] != self._parts[0].shape[1:]:
            raise GenerationFailed("the worker's frames are not all of one size")
        self._held_frames = end
        return self._parts[-1] if self._total_frames is None else self._parts[0][view.first_frame : end]

    def whole(self) -> NDArray[np.uint8] | None:
        """All frames, uint8 [T, H, W, 3]; None when there were none. Raises GenerationFailed when some are missing."""
        if self._total_frames is not None and self._held_frames != self._total_frames:
            raise GenerationFailed(f"the worker gave {self._held_frames} of {self._total_frames} frames")
        if len(self._parts) > 1:
            return np.concatenate(self._parts)
        return self._parts[0] if self._parts else None
