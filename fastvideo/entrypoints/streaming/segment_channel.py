"""A bounded passage for one segment's events, from the thread that generates to the event loop that sends."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Generic, TypeVar

from fastvideo.api.errors import FastVideoError

T = TypeVar("T")

MAX_BYTES = 16 << 20
STALL_S = 10.0


class ReaderTooSlow(FastVideoError):
    """The client takes the stream more slowly than it is made, beyond what may be kept for it."""

    code = "session_rejected"
    retryable = True


class ReaderGone(Exception):
    """Nobody reads the events any more; the work that makes them should end."""


class SegmentChannel(Generic[T]):
    """Events in order. The writing side blocks its thread while ``max_bytes`` wait unread, at most ``stall_s`` without
    progress, so that neither memory grows nor a slow reader keeps a shared worker."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, max_bytes: int = MAX_BYTES, stall_s: float = STALL_S
    ) -> None:
        self._loop = loop
        self._max_bytes = max_bytes
        self._stall_s = stall_s
        self._changed = threading.Condition()
        self._items: deque[tuple[T, int]] = deque()
        self._held_bytes = 0
        self._ended = False
        self._error: BaseException | None = None
        self._closed = False
        self._readable = asyncio.Event()

    # --- the worker's thread

    def put(self, event: T, size_bytes: int = 0) -> None:
        """Hand over one event. Raises ReaderGone after :meth:`close`, ReaderTooSlow when the reader stalls."""
        with self._changed:
            while not self._closed and self._items and self._held_bytes + size_bytes > self._max_bytes:
                if not self._changed.wait(self._stall_s):
                    raise ReaderTooSlow(
                        "the connection takes the stream too slowly; try a faster one or a smaller size"
                    )
            if self._closed:
                raise ReaderGone
            self._items.append((event, size_bytes))
            self._held_bytes += size_bytes
        self._wake()

    def end(self, error: BaseException | None = None) -> None:
        """No event follows; with ``error``, reading raises it after the events before. The first end counts."""
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
        self._wake()

    # --- the event loop

    def __aiter__(self) -> SegmentChannel[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            self._readable.clear()
            with self._changed:
                if self._items:
                    event, size_bytes = self._items.popleft()
                    self._held_bytes -= size_bytes
                    self._changed.notify()
                    return event
                if self._ended:
                    if self._error is not None:
                        raise self._error
                    raise StopAsyncIteration
            await self._readable.wait()

    def close(self) -> None:
        """Stop reading; what waits is dropped and the writer is told."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._held_bytes = 0
            self._changed.notify()

    @property
    def held_bytes(self) -> int:
        """Bytes that wait to be read."""
        with self._changed:
            return self._held_bytes

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._readable.set)
        except RuntimeError:
            # The loop is closed: the process is ending and nobody will read.
            with self._changed:
                self._closed = True
