"""One turn of a session on whichever worker it gets: its job, and what comes back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from fastvideo.entrypoints.streaming.frames_view import FramesView
from fastvideo.entrypoints.streaming.segment_events import SegmentDone, SegmentFragment, SegmentInit, SegmentStarted
from fastvideo.entrypoints.streaming.worker_buffers import Buffer
from fastvideo.entrypoints.streaming.worker_messages import JobEvent, ResultDone, ResultFrames


class BegunAgain:
    """The turn's worker died, and another one begins from the start."""


TurnItem = JobEvent | FramesView | ResultFrames | ResultDone | BegunAgain


class WorkerTurn:
    """Iterate for what the worker sends. ``buffers``: the encoded job; ``clock`` gives monotonic seconds.

    ``consumed`` is called with the size of media that was read, or that nobody will read. Once the summary of a segment
    or result is here the turn is whole: whatever happens to its worker then, reading gives all of it and no error.
    """

    def __init__(
        self,
        session_id: str,
        job_id: int,
        *,
        consumed: Callable[[WorkerTurn, int], None],
        clock: Callable[[], float],
    ) -> None:
        self.session_id = session_id
        self.job_id = job_id
        self.buffers: Sequence[Buffer] = ()
        #: The encoded message on what comes after it, for whichever worker has it.
        self.ahead: Sequence[Buffer] = ()
        self.busy_s: float | None = None
        #: The worker that has the job now.
        self.worker: int | None = None
        #: How often it was given to a worker, and how often one began with it.
        self.begun = 0
        self.taken = 0
        self.cancelled = False
        self.abandoned = False
        #: Whether all that the reader is to get is here; only the worker's word that it is free is missing.
        self.whole = False
        self._consumed = consumed
        self._clock = clock
        self._asked_s = clock()
        self._items: deque[tuple[TurnItem, int]] = deque()
        self._changed = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None

    def begin(self, worker: int) -> None:
        """A worker got the job."""
        self.worker = worker
        self.begun += 1
        if self.begun > 1:
            # What the first worker sent and nobody read yet comes again from the second.
            while self._items:
                _release(self._items.popleft()[0])
            self._put(BegunAgain(), 0)

    def put(self, item: JobEvent | FramesView | ResultFrames | ResultDone) -> None:
        """The worker sent something."""
        size_bytes = 0
        if isinstance(item, JobEvent):
            event = item.event
            if isinstance(event, SegmentInit | SegmentFragment):
                size_bytes = len(event.data)
            elif isinstance(event, SegmentStarted):
                queue_ms = round((self._clock() - self._asked_s) * 1000.0, 3)
                item = replace(item, event=replace(event, queue_ms=queue_ms))
        if self.abandoned or self._ended or self.whole:
            self._leave(item, size_bytes)
        else:
            self._put(item, size_bytes)
        self.whole = self.whole or _is_last(item)

    def end(self, error: Exception | None = None, busy_s: float | None = None) -> None:
        """Nothing follows; with ``error``, reading raises it after what came before, unless the turn is whole.

        The first end counts.
        """
        if not self._ended:
            self._ended, self._error, self.busy_s = True, None if self.whole else error, busy_s
            self._changed.set()

    def abandon(self) -> None:
        """Nobody reads the rest."""
        self.abandoned = True
        while self._items:
            self._leave(*self._items.popleft())

    @property
    def ended(self) -> bool:
        """Whether nothing follows what came."""
        return self._ended

    def __aiter__(self) -> WorkerTurn:
        return self

    async def __anext__(self) -> TurnItem:
        while not self._items:
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        item, size_bytes = self._items.popleft()
        if size_bytes:
            self._consumed(self, size_bytes)
        return item

    def _put(self, item: TurnItem, size_bytes: int) -> None:
        self._items.append((item, size_bytes))
        self._changed.set()

    def _leave(self, item: TurnItem, size_bytes: int) -> None:
        _release(item)
        self._consumed(self, size_bytes)


def _is_last(item: TurnItem) -> bool:
    return isinstance(item, ResultDone) or (isinstance(item, JobEvent) and isinstance(item.event, SegmentDone))


def _release(item: TurnItem) -> None:
    if isinstance(item, FramesView):
        item.release()
