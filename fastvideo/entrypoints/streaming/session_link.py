"""One connection of a session, from when the session has it until nobody uses it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fastvideo.entrypoints.streaming.connection import Connection

_ANSWER_S = 1.0


class SessionLink:
    """Connection number ``number``, with a task that sends and one that receives, which raise nothing."""

    def __init__(self, number: int, connection: Connection) -> None:
        self.number = number
        self.connection = connection
        self.gone = asyncio.Event()
        self.sender: asyncio.Task[None] | None = None
        self._receiver: asyncio.Task[None] | None = None
        self._answering = asyncio.Lock()

    def start(self, sender: asyncio.Task[None], receiver: asyncio.Task[None]) -> None:
        """Give it its tasks."""
        self.sender, self._receiver = sender, receiver

    async def answers(self, answer: Callable[[str | bytes], Awaitable[None]]) -> None:
        """Answer frame by frame. Raises ConnectionLost."""
        while True:
            frame = await self.connection.receive()
            async with self._answering:
                await answer(frame)

    async def hush(self) -> None:
        """Receive nothing more; what was received is answered first, unless that takes too long."""
        if self._receiver is None or self._receiver is asyncio.current_task():
            return
        try:
            async with asyncio.timeout(_ANSWER_S), self._answering:
                self._receiver.cancel()
        except TimeoutError:
            # It waits for room in an outbox that nobody empties.
            self._receiver.cancel()
        await asyncio.wait([self._receiver])

    async def stop(self) -> None:
        """End both tasks, and tell whoever waits for it that the connection is free."""
        await self.hush()
        if self.sender is not None and self.sender is not asyncio.current_task():
            self.sender.cancel()
            await asyncio.wait([self.sender])
        self.gone.set()
