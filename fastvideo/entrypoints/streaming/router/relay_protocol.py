"""uvicorn's WebSocket protocol, which also sends frames that somebody else has made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

from websockets.http11 import Request

from fastvideo.entrypoints.streaming.websocket_protocol import StreamProtocol

# Where an application finds the connection, in the extensions of its scope.
EXTENSION = "fastvideo.frames"


class RelayProtocol(StreamProtocol):
    """Frames of a replica go to the client as they came: unmasked both, they need not be made again.

    ``on_drained`` is called when everything that was written has left, or nothing will any more.
    """

    on_drained: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Whatever the kernel does not take at once is waited for: the frames lie in a buffer that is needed again. With
        # TLS they are encrypted into another one at once, and a limit of 0 would be reached by a buffer that is empty.
        self.transport.set_write_buffer_limits(high=1 if transport.get_extra_info("sslcontext") else 0)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            cast(dict[str, Any], self.scope["extensions"])[EXTENSION] = self

    def write_frames(self, frames: Sequence[memoryview]) -> bool:
        """Send whole frames, which make whole messages; tells whether they have left. Dropped after a close."""
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return True
        for frame in frames:
            self.transport.write(frame)
        return self.transport.get_write_buffer_size() == 0

    def resume_writing(self) -> None:
        super().resume_writing()
        self._drained()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._drained()

    def _drained(self) -> None:
        if self.on_drained is not None:
            self.on_drained()
