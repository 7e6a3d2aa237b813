"""The worker's end of a ring: frames are copied in as soon as there is room for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import GenerationFailed
from fastvideo.entrypoints.streaming.ring_memory import RingMemory
from fastvideo.entrypoints.streaming.ring_space import RingSpace
from fastvideo.entrypoints.streaming.segment_channel import ReaderTooSlow
from fastvideo.entrypoints.streaming.worker_messages import RingFrames

# Of a full ring: some are read while the next ones are written, and each is large enough to be worth a message.
_CHUNKS = 4


class RingWriter:
    """Takes over ``memory``, which costs nothing before the first frame. ``stall_s``: how long nothing may be freed."""

    def __init__(self, memory: RingMemory, *, stall_s: float) -> None:
        self._memory = memory
        self._stall_s = stall_s
        self._space = RingSpace(memory.size_bytes)
        self._bytes: NDArray[np.uint8] | None = None
        self._changed = threading.Condition()

    def fits(self, frame: NDArray[Any]) -> bool:
        """Whether the ring is large enough for such a frame."""
        return 0 < frame.size <= self._space.size_bytes

    def put(self, job_id: int, frames: Sequence[Any], cancel: CancellationToken) -> Iterator[RingFrames]:
        """Copy frames (each uint8 [H, W, 3]) in, some at a time; tells of each where they lie.

        Waits for room. Raises GenerationCancelled, ReaderTooSlow when nothing is freed for too long, GenerationFailed
        for frames of several sizes, OSError when the system has no memory for the ring.
        """
        cancel.on_cancel(self._wake)
        shape = np.asarray(frames[0]).shape
        frame_bytes = int(np.prod(shape))
        batch = max(1, self._space.size_bytes // _CHUNKS // frame_bytes)
        for first in range(0, len(frames), batch):
            chunk = frames[first : first + batch]
            offset = self._room(len(chunk) * frame_bytes, cancel)
            try:
                self._copy(chunk, offset, (len(chunk), *shape))
            except BaseException:
                self.freed(offset)
                raise
            height, width, channels = shape
            yield RingFrames(job_id, offset, (len(chunk), height, width, channels), first, len(frames))

    def freed(self, offset: int) -> None:
        """The pool has released what lay there. Raises ValueError when nothing did."""
        with self._changed:
            self._space.free(offset)
            self._changed.notify_all()

    def close(self) -> None:
        """Give the memory up; frames that are read stay until they are released."""
        self._bytes = None
        self._memory.close()

    def _room(self, size_bytes: int, cancel: CancellationToken) -> int:
        with self._changed:
            while True:
                cancel.raise_if_cancelled()
                if (offset := self._space.place(size_bytes)) is not None:
                    return offset
                if not self._changed.wait(self._stall_s):
                    raise ReaderTooSlow(f"no frames were released for {self._stall_s:g} s; release views when done")

    def _copy(self, chunk: Sequence[Any], offset: int, shape: tuple[int, ...]) -> None:
        if self._bytes is None:
            self._bytes = self._memory.writable()
        places = self._bytes[offset : offset + int(np.prod(shape))].reshape(shape)
        for place, frame in zip(places, chunk, strict=True):
            pixels = np.asarray(frame, np.uint8)
            if pixels.shape != place.shape:
                raise GenerationFailed(f"expected frames of one size, got {place.shape} and {pixels.shape}")
            place[...] = pixels

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
