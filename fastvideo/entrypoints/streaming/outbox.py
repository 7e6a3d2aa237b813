"""What waits to be sent to one client, in order and bounded."""

from __future__ import annotations

import asyncio
from collections import deque

MAX_BYTES = 1 << 20


class Outbox:
    """Text and binary frames of one connection. :meth:`put` waits while ``max_bytes`` are unsent, so that whoever makes
    frames is as slow as the client that reads them. Belongs to one event loop; one task reads."""

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._frames: deque[str | bytes] = deque()
        self._unsent_bytes = 0
        self._closed = False
        self._readable = asyncio.Event()
        self._progress = asyncio.Event()

    @property
    def unsent_bytes(self) -> int:
        """Bytes that are queued or being sent."""
        return self._unsent_bytes

    async def put(self, frame: str | bytes) -> None:
        """Queue a frame, after waiting for room."""
        while self._unsent_bytes and self._unsent_bytes + len(frame) > self._max_bytes and not self._closed:
            await self._wait_for_progress()
        self.put_now(frame)

    def put_now(self, frame: str | bytes) -> None:
        """Queue a small frame that must not wait; after :meth:`close` it is dropped."""
        if self._closed:
            return
        self._frames.append(frame)
        self._unsent_bytes += len(frame)
        self._readable.set()

    async def drained(self) -> None:
        """Wait until everything queued so far was handed to the socket."""
        while self._unsent_bytes and not self._closed:
            await self._wait_for_progress()

    def close(self, *, discard: bool = False) -> None:
        """Nothing more is queued; the reader ends after what is left, or at once with ``discard``."""
        self._closed = True
        if discard:
            self._frames.clear()
        self._readable.set()
        self._progress.set()

    def discard(self) -> None:
        """Drop what is queued and not being sent."""
        self._unsent_bytes -= sum(len(frame) for frame in self._frames)
        self._frames.clear()
        self._progress.set()

    async def take(self) -> str | bytes | None:
        """The next frame, or None at the end. Call :meth:`sent` when it is on its way."""
        while not self._frames:
            if self._closed:
                return None
            self._readable.clear()
            await self._readable.wait()
        return self._frames.popleft()

    def sent(self, frame: str | bytes) -> None:
        """The socket took a frame."""
        self._unsent_bytes -= len(frame)
        self._progress.set()

    async def _wait_for_progress(self) -> None:
        self._progress.clear()
        await self._progress.wait()
