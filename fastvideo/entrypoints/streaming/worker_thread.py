"""One thread that generates: it takes turns in order and hands their events to the event loop."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import queue
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, Generic, TypeVar

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import FastVideoError, GenerationFailed
from fastvideo.entrypoints.streaming.segment_channel import ReaderGone, SegmentChannel
from fastvideo.entrypoints.streaming.segment_events import SegmentFragment, SegmentInit, SegmentStarted

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Turn(Generic[T]):
    """Work that makes events, once, on the worker's thread; ``channel`` carries them to whoever waits. ``clock`` gives
    monotonic seconds."""

    def __init__(
        self,
        work: Callable[[], Generator[T, None, None]],
        channel: SegmentChannel[T],
        cancel: CancellationToken,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.channel = channel
        self.cancel = cancel
        self.busy_s: float | None = None
        self._work = work
        self._clock = clock
        self._queued_s = clock()
        # Of whoever asks, so that the log can say for whom the work was.
        self._context = contextvars.copy_context()

    def abandon(self) -> None:
        """Nobody wants the rest: a turn that waits is skipped, one that runs ends at its next step."""
        self.cancel.cancel()
        self.channel.close()

    def execute(self) -> None:
        """Do the work; every error ends in the channel. ``busy_s`` is set when the work was done whole."""
        self._context.run(self._execute)

    def _execute(self) -> None:
        started_s = self._clock()
        error: BaseException | None = None
        try:
            self.cancel.raise_if_cancelled()
            with contextlib.closing(self._work()) as events:
                for event in events:
                    self._put(event, (started_s - self._queued_s) * 1000.0)
            self.busy_s = self._clock() - started_s
        except (ReaderGone, FastVideoError) as expected:
            error = expected
        except BaseException as unexpected:
            # The thread's boundary: the worker must outlive whatever a generator raises.
            logger.exception("a turn of the worker failed")
            error = GenerationFailed("the worker failed; the server's log has the reason")
            error.__cause__ = unexpected
        self.channel.end(error)

    def _put(self, event: Any, queue_ms: float) -> None:
        if isinstance(event, SegmentStarted):
            event = replace(event, queue_ms=round(queue_ms, 3))
        size_bytes = len(event.data) if isinstance(event, SegmentInit | SegmentFragment) else 0
        self.channel.put(event, size_bytes)


class WorkerThread:
    """A daemon thread, started with its first turn, that ends with :meth:`stop`."""

    def __init__(self, name: str) -> None:
        self._turns: queue.SimpleQueue[Turn[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._stopped = False

    @property
    def alive(self) -> bool:
        """Whether a turn that is submitted now will be taken."""
        return not self._stopped and (self._thread.is_alive() or self._thread.ident is None)

    def submit(self, turn: Turn[Any]) -> None:
        """Queue a turn behind the others. Raises RuntimeError after :meth:`stop`."""
        if not self.alive:
            raise RuntimeError("the worker has stopped")
        if self._thread.ident is None:
            self._thread.start()
        self._turns.put(turn)

    def stop(self) -> None:
        """End after the turns that are queued; does not block."""
        self._stopped = True
        self._turns.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait for the end after :meth:`stop`; tells whether it came."""
        if self._thread.ident is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while (turn := self._turns.get()) is not None:
            turn.execute()
            # What it made, and for whom, should not wait here for the next one.
            del turn
