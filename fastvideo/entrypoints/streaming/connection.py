"""A client's connection, as sessions see it."""

from __future__ import annotations

from typing import Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

#: Close code of a connection that broke: no close frame came.
BROKEN = 1006
# Where ``StreamProtocol`` keeps ``closed()``, which waits for the end of a connection and tells whether the client's
# close frame came.
ENDED_EXTENSION = "fastvideo.ended"


class ConnectionLost(Exception):
    """The client closed the connection, or it broke; ``code`` is the close code, BROKEN for the latter."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Connection(Protocol):
    """Frames in and out. Both directions raise ConnectionLost once the client has gone."""

    async def receive(self) -> str | bytes:
        """The next frame."""
        ...

    async def send(self, frame: str | bytes) -> None:
        """Send a frame; waits while the client does not read."""
        ...

    async def close(self, code: int, reason: str) -> bool:
        """Send the close frame; harmless when the client has gone. Returns whether the client has all that was sent,
        as far as can be known."""
        ...


class WebSocketConnection:
    """A Connection over an accepted WebSocket."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise ConnectionLost(message.get("code", BROKEN))
        text: str | None = message.get("text")
        return text if text is not None else bytes(message["bytes"])

    async def send(self, frame: str | bytes) -> None:
        try:
            if isinstance(frame, str):
                await self._websocket.send_text(frame)
            else:
                await self._websocket.send_bytes(frame)
        except WebSocketDisconnect as error:
            raise ConnectionLost(error.code) from None
        except RuntimeError:
            # The transport closed the connection by itself, because the client answered no ping.
            raise ConnectionLost(BROKEN) from None

    async def close(self, code: int, reason: str) -> bool:
        if self._websocket.application_state is not WebSocketState.CONNECTED:
            return False
        try:
            await self._websocket.close(code, reason)
        except (WebSocketDisconnect, RuntimeError):
            # The client closed in the same moment, or the connection broke.
            return False
        ended = self._websocket.scope.get("extensions", {}).get(ENDED_EXTENSION)
        # Another server than ours does not tell.
        return True if ended is None else bool(await ended["closed"]())
