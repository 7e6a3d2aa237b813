"""A client's connection, as sessions see it."""

from __future__ import annotations

from typing import Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState


class ConnectionLost(Exception):
    """The client closed the connection, or it broke; ``code`` is the close code."""

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

    async def close(self, code: int, reason: str) -> None:
        """Send the close frame; harmless when the client has gone."""
        ...


class WebSocketConnection:
    """A Connection over an accepted WebSocket."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise ConnectionLost(message.get("code", 1006))
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
            raise ConnectionLost(1006) from None

    async def close(self, code: int, reason: str) -> None:
        if self._websocket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            await self._websocket.close(code, reason)
        except (WebSocketDisconnect, RuntimeError):
            # The client closed in the same moment.
            return
