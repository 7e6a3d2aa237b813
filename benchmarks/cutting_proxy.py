"""A TCP proxy on loopback that breaks connections, as a network does, after a number of bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Self

_CHUNK_BYTES = 1 << 14


class CuttingProxy:
    """Forwards to ``port``, which may change. Each of the first connections is broken after as many bytes to its client
    as ``cuts`` says, one after the other; later ones live on. Neither side gets any word of it but a reset.

    ``forwarded_bytes``: to clients, over all connections; ``cut_at_s``: when, by the loop's clock.
    """

    def __init__(self, port: int, cuts: Iterable[int] = ()) -> None:
        self.port = port
        self._cuts = deque(cuts)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._transports: set[asyncio.WriteTransport] = set()
        self.forwarded_bytes = 0
        self.cut_at_s: list[float] = []

    @property
    def url(self) -> str:
        """The address of a stream behind it."""
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1/stream"

    async def cut(self) -> None:
        """Break all connections now."""
        now_s = asyncio.get_running_loop().time()
        for transport in list(self._transports):
            self.cut_at_s.append(now_s)
            transport.abort()
        # Both ends hear of it with the loop's next turns.
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        left = self._cuts.popleft() if self._cuts else None
        self._transports.add(writer.transport)
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            up = asyncio.create_task(_copy(reader, there_writer))
            try:
                with contextlib.suppress(ConnectionError):
                    await self._downstream(there_reader, writer, left)
            finally:
                up.cancel()
                await asyncio.gather(up, return_exceptions=True)
        finally:
            there_writer.transport.abort()
            writer.transport.abort()
            self._transports.discard(writer.transport)
            self._tasks.discard(task)

    async def _downstream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            part = data if left is None else data[:left]
            writer.write(part)
            await writer.drain()
            self.forwarded_bytes += len(part)
            if left is not None:
                left -= len(part)
                if left == 0:
                    self.cut_at_s.append(asyncio.get_running_loop().time())
                    return
        # The server closed: let the client have the rest.
        writer.write_eof()
        await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
