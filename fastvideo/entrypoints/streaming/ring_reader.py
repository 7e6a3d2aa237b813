"""The pool's end of a ring: views of what the worker has put there, which it is not trusted to describe."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastvideo.entrypoints.streaming.frames_view import FramesView
from fastvideo.entrypoints.streaming.ring_memory import RingMemory
from fastvideo.entrypoints.streaming.ring_space import RingSpace
from fastvideo.entrypoints.streaming.worker_buffers import WireError
from fastvideo.entrypoints.streaming.worker_messages import RingFrames

MAX_RESULT_BYTES = 16 << 30


class RingReader:
    """Takes over ``memory``. ``on_freed`` gets the offset of each place that the worker may use again."""

    def __init__(self, memory: RingMemory, on_freed: Callable[[int], None]) -> None:
        self._memory = memory
        self._on_freed = on_freed
        self._space = RingSpace(memory.size_bytes)
        self._bytes: NDArray[np.uint8] | None = None

    @property
    def held_views(self) -> int:
        """Views that are not released."""
        return len(self._space)

    def view(self, told: RingFrames) -> FramesView:
        """The frames that the worker tells of. Raises WireError when there can be none where it says."""
        size_bytes = math.prod(told.shape)
        frames = told.shape[0]
        if told.first_frame + frames > told.total_frames:
            raise WireError(f"expected {told.total_frames} frames, got number {told.first_frame + frames}")
        if told.total_frames * math.prod(told.shape[1:]) > MAX_RESULT_BYTES:
            raise WireError(f"a result of {told.total_frames} frames is larger than {MAX_RESULT_BYTES} bytes")
        try:
            self._space.claim(told.offset, size_bytes)
        except ValueError as error:
            raise WireError(str(error)) from error
        if self._bytes is None:
            self._bytes = self._memory.readable()
        pixels = self._bytes[told.offset : told.offset + size_bytes].reshape(told.shape)
        return FramesView(
            pixels, told.first_frame, told.total_frames, on_release=functools.partial(self._freed, told.offset)
        )

    def close(self) -> None:
        """Nothing more comes; views that are held stay as they are until they are released."""
        self._bytes = None
        self._memory.close()

    def _freed(self, offset: int) -> None:
        self._space.free(offset)
        self._on_freed(offset)
