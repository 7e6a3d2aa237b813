"""The client's side of a bridge: any ASGI WebSocket, and quicker over RelayProtocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from fastvideo.entrypoints.streaming.router.frames import TEXT, Message
from fastvideo.entrypoints.streaming.router.relay_protocol import EXTENSION, RelayProtocol

_ABNORMAL = 1006


class ClientGone(Exception):
    """The client left. ``clean``: with a close frame, which said this."""

    def __init__(self, code: int, reason: str, clean: bool) -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason
        self.clean = clean


class ClientLeg:
    """A client. ``on_free``: called when the message that :meth:`forward` could not send at once is sent."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        raw: Any = websocket.scope.get("extensions", {}).get(EXTENSION)
        self._raw: RelayProtocol | None = raw
        self._sending: asyncio.Task[None] | None = None
        self._waiting = False
        self._ahead: str | bytes | None = None
        self._gone: ClientGone | None = None
        self.on_free: Callable[[], None] | None = None
        if self._raw is not None:
            self._raw.on_drained = self._freed

    @property
    def accepted(self) -> bool:
        """Whether the handshake is complete."""
        return self._websocket.application_state is not WebSocketState.CONNECTING

    async def accept(self, subprotocol: str | None) -> None:
        """Complete the handshake."""
        await self._websocket.accept(subprotocol)

    async def deny(self, status: int, words: str) -> None:
        """Answer the handshake with an error instead."""
        if "websocket.http.response" not in self._websocket.scope.get("extensions", {}):
            await self._websocket.close()
            return
        body = {"error": {"code": "unauthorized", "message": words}}
        headers = {"www-authenticate": "Bearer"} if status == 401 else None
        await self._websocket.send_denial_response(JSONResponse(body, status, headers))

    async def receive(self) -> str | bytes:
        """The next message. Raises ClientGone, again and again once the client has gone."""
        frame = await self.peek()
        self._ahead = None
        return frame

    async def peek(self) -> str | bytes:
        """The next message, which stays the next one until it is received; may be cancelled. Raises ClientGone."""
        if self._gone is not None:
            raise self._gone
        if self._ahead is None:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                # uvicorn gives a reason, if an empty one, for close frames alone; a lost connection has none.
                code = message.get("code", _ABNORMAL)
                self._gone = ClientGone(code, message.get("reason") or "", code != _ABNORMAL and "reason" in message)
                raise self._gone
            text: str | None = message.get("text")
            self._ahead = text if text is not None else bytes(message["bytes"])
        return self._ahead

    def forward(self, message: Message) -> bool:
        """Send a replica's message; tells whether its views are free. If not, ``on_free`` is called once they are."""
        if self._raw is not None:
            self._waiting = not self._raw.write_frames(message.wire)
            return not self._waiting
        payload = message.payload()
        self._waiting = True
        self._sending = asyncio.create_task(self._send(payload.decode() if message.opcode == TEXT else payload))
        self._sending.add_done_callback(lambda task: self._freed())
        return False

    async def say(self, text: str) -> None:
        """Send a message of the router's own, after all that was forwarded."""
        if self._sending is not None:
            await asyncio.wait((self._sending,))
        await self._send(text)

    async def close(self, code: int, reason: str) -> None:
        """Send the close frame; harmless when the client has gone."""
        if self._sending is not None:
            await asyncio.wait((self._sending,))
        if self._websocket.application_state is WebSocketState.CONNECTED:
            try:
                await self._websocket.close(code, reason)
            except (WebSocketDisconnect, RuntimeError):
                # The client closed in the same moment.
                return

    def release(self) -> None:
        """Nothing is forwarded any more."""
        self.on_free = None
        if self._raw is not None:
            self._raw.on_drained = None
        if self._sending is not None:
            self._sending.cancel()

    def _freed(self) -> None:
        if self._waiting:
            self._waiting = False
            if self.on_free is not None:
                self.on_free()

    async def _send(self, frame: str | bytes) -> None:
        try:
            if isinstance(frame, str):
                await self._websocket.send_text(frame)
            else:
                await self._websocket.send_bytes(frame)
        except (WebSocketDisconnect, RuntimeError):
            # Whoever receives from the client hears that it has gone.
            return
