"""What waits to be sent to one client, in order and bounded, across the connections that the client has."""

from __future__ import annotations

import asyncio

from fastvideo.entrypoints.streaming.frame_log import FrameLog

MAX_BYTES = 1 << 20
# What connections and those between may have taken without its coming to the client.
KEPT_BYTES = 8 << 20
# With what is made while no client is connected.
MAX_HELD_BYTES = 24 << 20


class Outbox:
    """Text and binary frames of one session. :meth:`put` waits while ``max_bytes`` are unsent, so that whoever makes
    frames is as slow as the client that reads them. Belongs to one event loop; one task at a time reads.

    While no client is connected, from :meth:`detach` to :meth:`rewind`, there is room for ``max_held_bytes`` with those
    of the newest ``kept_bytes`` that were sent, and may have to be sent again.
    """

    def __init__(
        self, *, max_bytes: int = MAX_BYTES, kept_bytes: int = KEPT_BYTES, max_held_bytes: int = MAX_HELD_BYTES
    ) -> None:
        self._max_bytes = max_bytes
        self._max_held_bytes = max_held_bytes
        self._log = FrameLog(kept_bytes)
        self._sending_bytes = 0
        self._blocked = 0
        self._detached = False
        self._overfull = False
        self._closed = False
        self._readable = asyncio.Event()
        self._progress = asyncio.Event()

    @property
    def unsent_bytes(self) -> int:
        """Bytes that are queued or being sent."""
        return self._log.waiting_bytes + self._sending_bytes

    @property
    def held_bytes(self) -> int:
        """Bytes of all frames that are here, those that were sent included."""
        return self._log.held_bytes

    @property
    def blocked(self) -> bool:
        """Whether somebody waits for room."""
        return self._blocked > 0

    async def put(self, frame: str | bytes, sequence: int | None = None) -> None:
        """Queue a frame, after waiting for room; ``sequence``: the number of the last fragment in it."""
        while not self._closed and not self._has_room(len(frame)):
            self._blocked += 1
            try:
                await self._wait_for_progress()
            finally:
                self._blocked -= 1
        self.put_now(frame, sequence)

    def put_now(self, frame: str | bytes, sequence: int | None = None) -> None:
        """Queue a small frame that must not wait; after :meth:`close` it is dropped."""
        if self._closed:
            return
        self._log.append(frame, sequence)
        self._readable.set()

    async def drained(self) -> None:
        """Wait until everything queued so far was handed to the socket."""
        while self.unsent_bytes and not self._closed:
            await self._wait_for_progress()

    def close(self) -> None:
        """Nothing more is queued; the reader ends after what is left."""
        self._closed = True
        self._readable.set()
        self._progress.set()

    def discard(self) -> None:
        """Drop what is queued and not being sent."""
        self._log.discard()
        self._progress.set()

    async def take(self) -> str | bytes | None:
        """The next frame, or None at the end. Call :meth:`sent` when it is on its way."""
        while (frame := self._log.take()) is None:
            if self._closed:
                return None
            self._readable.clear()
            await self._readable.wait()
        self._sending_bytes += len(frame)
        return frame

    def sent(self, frame: str | bytes) -> None:
        """The socket took a frame, or nobody will know whether it did."""
        self._sending_bytes -= len(frame)
        self._progress.set()

    def detach(self) -> None:
        """No client is connected."""
        self._detached = True
        self._progress.set()

    def let_through(self) -> None:
        """Let in who waits for room while no client is connected."""
        self._overfull = True
        self._progress.set()

    def begin_at(self, last_sequence: int, frames_after: int) -> None:
        """Before anything else: the client stands there, after what came from another server."""
        self._log.begin_at(last_sequence, frames_after)

    def check(self, last_sequence: int, frames_after: int) -> None:
        """Raise NotKept unless :meth:`rewind` can be done."""
        self._log.check(last_sequence, frames_after)

    def rewind(self, last_sequence: int, frames_after: int) -> None:
        """A client is connected who has all up to fragment ``last_sequence`` and some frames more. Raises NotKept.

        Nobody reads in this moment.
        """
        self._log.rewind(last_sequence, frames_after)
        self._detached = self._overfull = False
        self._readable.set()
        self._progress.set()

    def _has_room(self, size_bytes: int) -> bool:
        if self._detached:
            return self._overfull or self._log.held_bytes + size_bytes <= self._max_held_bytes
        return not self.unsent_bytes or self.unsent_bytes + size_bytes <= self._max_bytes

    async def _wait_for_progress(self) -> None:
        self._progress.clear()
        await self._progress.wait()
