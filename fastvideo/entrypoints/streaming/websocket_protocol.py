"""uvicorn's WebSocket protocol with what ASGI has no words for."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

from fastvideo.entrypoints.streaming.connection import BROKEN, ENDED_EXTENSION
from fastvideo.entrypoints.streaming.protocol import ErrorMessage, encode_server_message

# A 32 MiB image as base64, and the rest of its message.
MAX_OPENING_BYTES = 48 << 20
# Of one message. Even empty ones are kept until it ends, and their sum says nothing.
MAX_FRAGMENTS = 1 << 14
LINGER_S = 2.0
_VERSION = "13"


class StreamProtocol(WebSocketsSansIOProtocol):
    """Tells the client why, before uvicorn closes for a message that is too large or malformed; and lets go of a client
    that does not read its last messages, which otherwise would keep the connection, and what it has not read, for ever.

    A connection that breaks has the close code 1006, and not that of a close frame without a code; and after our own
    close frame an extension tells whether the client's came.
    """

    _failed = False
    _ended: asyncio.Future[bool] | None = None

    def data_received(self, data: bytes) -> None:
        # After a failure the rest of what the client sends is read and dropped: closing at once would reset the
        # connection before the client has seen why.
        if not self._failed:
            super().data_received(data)

    def handle_connect(self, event: Request) -> None:
        if event.headers.get_all("Sec-WebSocket-Version") == [_VERSION]:
            super().handle_connect(event)
            return
        # The library's answer does not tell which version it expects (RFC 6455, 4.4).
        self.request = event
        self.response = self.conn.reject(HTTPStatus.UPGRADE_REQUIRED, "Expected Sec-WebSocket-Version: 13.\n")
        self.response.headers["Sec-WebSocket-Version"] = _VERSION
        self.response.headers["Upgrade"] = "websocket"
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        self.conn.send_response(self.response)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= MAX_FRAGMENTS:
            self.conn.fail(1009, "too many fragments")
            self.handle_parser_exception()
        elif not self._failed:
            super().handle_cont(event)

    def handle_parser_exception(self) -> None:
        self._failed = True
        close = self.conn.close_sent
        self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code if close else 1002})
        if self.handshake_complete and not self.close_sent:
            error = encode_server_message(_why(close.code if close else 1002))
            self.transport.write(Frame(Opcode.TEXT, error.encode()).serialize(mask=False))
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        # As after any close: the application's end does not cut the connection while this runs.
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        closed = self.conn.close_rcvd is not None
        if self.handshake_complete and not closed and not self._failed:
            # Read before uvicorn's own.
            self.queue.put_nowait({"type": "websocket.disconnect", "code": BROKEN})
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(closed)
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        if self.close_sent and not self.disconnected:
            # Nobody is there to take the close frame: waiting for that could last until TCP gives up.
            self.queue.put_nowait({"type": "websocket.disconnect", "code": BROKEN})
            self.loop.call_later(LINGER_S, self.transport.abort)

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            # An answer in place of the handshake: uvicorn would log that none was given.
            self.handshake_complete = True

    async def run_asgi(self) -> None:
        ended = self._ended = self.loop.create_future()

        async def closed_by_client() -> bool:
            return await asyncio.shield(ended)

        self.scope["extensions"] = {
            **(self.scope.get("extensions") or {}),
            ENDED_EXTENSION: {"closed": closed_by_client},
        }
        await super().run_asgi()
        if not self._failed:
            self.loop.call_later(LINGER_S, self._let_go)

    def _let_go(self) -> None:
        # With TLS, a transport that is closing cannot be asked what is left.
        if not self.disconnected and (self.transport.is_closing() or self.transport.get_write_buffer_size()):
            self.transport.abort()


def _why(code: int) -> ErrorMessage:
    if code == 1009:
        return ErrorMessage(code="invalid_message", message="The message is too large.", reason="limit_exceeded")
    return ErrorMessage(code="invalid_message", message="The frame is not valid WebSocket or not UTF-8 text.")
