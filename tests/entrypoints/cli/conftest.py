"""The real server around the fake generator, in a thread, for commands that block."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from fastvideo.entrypoints.streaming.mock_server import build_mock_app
from fastvideo.entrypoints.streaming.server import build_server


class LiveServer:
    """``port``: where it listens. :meth:`cutting` gives the port of a way to it that breaks once."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        app = build_mock_app(width=64, height=64, num_frames=25, num_inference_steps=2)
        self.server = build_server(app, host="127.0.0.1", port=0, log_level="warning")
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self.server.serve(sockets=[self.listener]))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)
        self.listener.close()
        assert not self.thread.is_alive()

    @contextlib.contextmanager
    def cutting(self, after_bytes: int) -> Iterator[int]:
        """Once so many bytes went to a client, the connection is gone; the next one holds."""
        left = [after_bytes]

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
            with contextlib.suppress(OSError):
                while data := await reader.read(4096):
                    if counted and left:
                        left[0] -= len(data)
                        if left[0] < 0:
                            left.clear()
                            writer.transport.abort()
                            return
                    writer.write(data)
                    await writer.drain()
                writer.write_eof()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, to_there = await asyncio.open_connection("127.0.0.1", self.port)
            ways = [
                asyncio.create_task(carry(reader, to_there, counted=False)),
                asyncio.create_task(carry(there, writer, counted=True)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            to_there.transport.abort()
            writer.close()

        start = asyncio.run_coroutine_threadsafe(asyncio.start_server(connected, "127.0.0.1", 0), self.loop)
        proxy = start.result(30)
        try:
            yield proxy.sockets[0].getsockname()[1]
        finally:
            self.loop.call_soon_threadsafe(proxy.close)


@pytest.fixture(scope="module")
def live_server() -> Iterator[LiveServer]:
    """Segments of 25 frames of 64x64 in two steps, at once."""
    server = LiveServer()
    yield server
    server.stop()
