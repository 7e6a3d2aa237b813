"""What messages of a session travel over: one connection after the other, while the server waits for the session."""

from __future__ import annotations

import asyncio
import contextlib
import random

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from fastvideo.client.comeback import Comeback
from fastvideo.client.errors import StreamClosed
from fastvideo.client.handshake import open_socket
from fastvideo.client.stream_protocol import Event, StreamProtocol
from fastvideo.entrypoints.streaming.protocol import (
    ClientMessage,
    ErrorMessage,
    PromptStatus,
    QueueStatus,
    SegmentPromptSource,
    SessionResume,
    encode_client_message,
)

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
# What servers close with that cannot go on themselves; 1012 is said by proxies.
_SENT_AWAY = frozenset({1001, 1011, 1012, 1013})


class SessionLink:
    """Carries messages; a connection that ends before the session does is replaced where that is allowed.

    ``url``: where to come back to, None to stay away. ``asked``: questions without an answer yet, which are asked again
    over a new connection, as are prompts that no segment has used.
    """

    def __init__(
        self, connection: ClientConnection, url: str | None, open_timeout_s: float, api_key: str | None
    ) -> None:
        self.connection = connection
        self.protocol = StreamProtocol()
        self.asked: list[ClientMessage] = []
        self.resumed = 0
        self._url = url
        self._open_timeout_s = open_timeout_s
        self._api_key = api_key
        self._open_prompts: dict[str, SegmentPromptSource] = {}
        self._comeback = Comeback(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._left = False

    def keep(self, message: ClientMessage) -> None:
        """Before a message is sent: one that may be lost with its server is sent again to the next."""
        if isinstance(message, SegmentPromptSource) and message.request_id is not None:
            self._open_prompts[message.request_id] = message

    async def receive(self) -> Event | None:
        """The next event; None when another connection took the place of the one that was read.

        Raises StreamClosed, and ProtocolViolation.
        """
        try:
            frame = await self.connection.recv()
        except ConnectionClosed:
            if await self._come_back():
                return None
            raise self.closed() from None
        event = self.protocol.receive_text(frame) if isinstance(frame, str) else self.protocol.receive_bytes(frame)
        if isinstance(event, PromptStatus) and event.status != "pending":
            # Until a segment uses it, it may be lost with its server.
            self._open_prompts.pop(event.request_id, None)
        return event

    def closed(self) -> StreamClosed:
        """How the connection ended."""
        connection = self.connection
        error = self.protocol.farewell or self.protocol.last_error
        return StreamClosed(connection.close_code or 1006, connection.close_reason or "", error)

    async def leave(self) -> None:
        """Close the connection, and replace it no more."""
        self._left = True
        await self.connection.close()

    async def _come_back(self) -> bool:
        """Go on with the session over a new connection, if it may be gone on with."""
        message, loop = self.protocol.resumption(), asyncio.get_running_loop()
        if self._url is None or message is None or not self._may_go_on():
            return False
        self._comeback.lost(loop.time(), self.protocol.last_sequence, self.protocol.resume_grace_s)
        refusal = self.protocol.farewell
        # Nobody asked for patience where the link broke.
        waits = self.connection.protocol.close_rcvd is not None
        while not self._left:
            if waits:
                retry_after_s = refusal.retry_after if refusal is not None else None
                pause_s = self._comeback.pause_s(loop.time(), random.random(), retry_after_s)
                if pause_s is None:
                    return False
                await asyncio.sleep(pause_s)
            waits, refusal = True, None
            with contextlib.suppress(OSError, TimeoutError, InvalidHandshake, ConnectionClosed):
                answer = await self._ask_to_go_on(self._url, message)
                if isinstance(answer, QueueStatus):
                    return True
                if not isinstance(answer, ErrorMessage) or not answer.retryable:
                    return False
                refusal = answer
        return False

    def _may_go_on(self) -> bool:
        protocol, received = self.protocol, self.connection.protocol.close_rcvd
        if self._left or protocol.ending is not None:
            return False
        if received is None:
            return True
        # A session that never was active is stored nowhere.
        asked_to = protocol.farewell is None or protocol.farewell.retryable
        return received.code in _SENT_AWAY and protocol.start is not None and asked_to

    async def _ask_to_go_on(self, url: str, message: SessionResume) -> Event | None:
        """The server's answer over a new connection, which takes the old one's place if it is granted."""
        connection = await open_socket(url, self._open_timeout_s, self._api_key)
        await connection.send(encode_client_message(message))
        async with asyncio.timeout(self._open_timeout_s):
            frame = await connection.recv()
        answer = self.protocol.receive_answer(frame) if isinstance(frame, str) else None
        if isinstance(answer, QueueStatus) or self.protocol.farewell is None:
            # Else the old one's close tells better why the stream is over.
            self.connection = connection
        if isinstance(answer, QueueStatus):
            self.resumed += 1
            self._comeback.back(asyncio.get_running_loop().time())
            for again in (*self._open_prompts.values(), *self.asked):
                await connection.send(encode_client_message(again))
        else:
            async with asyncio.timeout(self._open_timeout_s):
                await connection.wait_closed()
        return answer
