"""A client whose every step a benchmark decides: what it says, whether it reads, and how it goes."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any, Self, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from fastvideo.client.stream_protocol import Event, StreamProtocol
from fastvideo.entrypoints.streaming.protocol import ErrorMessage, QueueStatus

_MAX_MESSAGE_BYTES = 64 << 20
_ATTEMPTS = 40
_PAUSE_S = 0.1

Wanted = TypeVar("Wanted", bound=Event)


class Gone(Exception):
    """The connection is closed, and what was waited for has not come; ``heard``: the last error before that."""

    def __init__(self, code: int, heard: ErrorMessage | None) -> None:
        super().__init__(f"closed with {code} after {heard.message if heard else 'no error'}")
        self.code = code


class Visitor:
    """One connection of a client. Nothing is read but by :meth:`event`, :meth:`until` and :meth:`closes`."""

    def __init__(self, connection: ClientConnection, protocol: StreamProtocol) -> None:
        self._connection = connection
        self.protocol = protocol

    @classmethod
    async def come(cls, port: int, protocol: StreamProtocol | None = None) -> Self:
        """Connect, and say nothing yet. ``protocol``: of the connection before, of which this one takes the place."""
        url = f"ws://127.0.0.1:{port}/v1/stream"
        # One message is read ahead at most: who stops reading should be noticed.
        connection = await connect(url, compression=None, max_size=_MAX_MESSAGE_BYTES, max_queue=1, open_timeout=60)
        return cls(connection, protocol or StreamProtocol())

    @classmethod
    async def open(cls, port: int, **opening: Any) -> Self:
        """Connect, and open a session."""
        visitor = await cls.come(port)
        await visitor.say("session_init_v2", **opening)
        return visitor

    async def say(self, kind: str, **fields: Any) -> None:
        """Send a message."""
        await self.send(json.dumps({"type": kind, **fields}))

    async def send(self, frame: str | bytes) -> None:
        """Send anything. What cannot be sent any more is found by whoever reads."""
        try:
            await self._connection.send(frame)
        except ConnectionClosed:
            return

    async def prompt(self, text: str) -> None:
        """Ask for a segment."""
        await self.say("segment_prompt_source", prompt=text)

    async def until(self, wanted: type[Wanted]) -> Wanted:
        """Read until an event of that kind; raises Gone when none comes."""
        while True:
            event = await self.event()
            if isinstance(event, wanted):
                return event

    async def closes(self) -> int:
        """Read until the server closes; gives the code."""
        try:
            while True:
                await self.event()
        except Gone as gone:
            return gone.code

    def stop_reading(self) -> None:
        """Leave what comes to the kernel, which takes little of it."""
        self._connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self._connection.transport.pause_reading()

    def read_on(self) -> None:
        """After :meth:`stop_reading`, let it come again."""
        self._connection.transport.resume_reading()

    @property
    def close_reason(self) -> str:
        """What the server's close frame said."""
        return self._connection.close_reason or ""

    def cut(self) -> None:
        """Break the connection, as a network does."""
        self._connection.transport.abort()

    async def leave(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def come_back(self, port: int) -> Visitor:
        """Go on with the session over another connection. Tries again while the server asks for that; raises Gone."""
        for _ in range(_ATTEMPTS):
            visitor = await Visitor.come(port, self.protocol)
            message = self.protocol.resumption()
            assert message is not None
            await visitor.send(message.model_dump_json())
            answer = visitor.protocol.receive_answer(str(await visitor._frame()))
            if isinstance(answer, QueueStatus):
                return visitor
            code = await visitor.closes()
            if not isinstance(answer, ErrorMessage) or not answer.retryable:
                break
            await asyncio.sleep(_PAUSE_S)
        raise Gone(code, visitor.protocol.last_error)

    async def event(self) -> Event:
        """Read what comes next; raises Gone at the end."""
        frame = await self._frame()
        return self.protocol.receive_text(frame) if isinstance(frame, str) else self.protocol.receive_bytes(frame)

    async def _frame(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except ConnectionClosed:
            raise Gone(self._connection.close_code or 1006, self.protocol.last_error) from None
