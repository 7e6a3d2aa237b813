"""The pool's end of one worker process, from its start until nothing of it is left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import cast

from fastvideo.entrypoints.streaming.worker_buffers import Buffer, WireError
from fastvideo.entrypoints.streaming.worker_launch import LaunchedWorker
from fastvideo.entrypoints.streaming.worker_messages import Message
from fastvideo.entrypoints.streaming.worker_output import WorkerOutput
from fastvideo.entrypoints.streaming.worker_wire import MessageReader

logger = logging.getLogger(__name__)

_REAP_S = 10.0


class WorkerLink(asyncio.Protocol):
    """Hands over each message as it arrives, and says once when the worker is gone; neither after :meth:`end`."""

    def __init__(
        self,
        name: str,
        launched: LaunchedWorker,
        *,
        on_message: Callable[[Message], None],
        on_gone: Callable[[str], None],
    ) -> None:
        self.name = name
        self.pid = launched.pid
        self.gone = False
        self._launched = launched
        self._on_message = on_message
        self._on_gone = on_gone
        self._reader = MessageReader()
        self._transport: asyncio.Transport | None = None
        self._output: asyncio.ReadTransport | None = None
        self._ended = False

    async def open(self) -> None:
        """Begin to listen."""
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self, sock=self._launched.connection)
        if self._launched.output is not None:
            output = WorkerOutput(self.name)
            self._output, _ = await loop.connect_read_pipe(lambda: output, self._launched.output)

    def send(self, buffers: Sequence[Buffer]) -> None:
        """Send an encoded message; what is sent to a worker that is gone is lost."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(buffers)

    async def end(self, grace_s: float = 0.0) -> None:
        """End the worker, after ``grace_s`` in which it may do so itself, and wait until its process is gone."""
        self._ended = True
        if self._transport is None:
            self._launched.connection.close()
        elif grace_s:
            # What is still to be sent is of no use to a worker that shall end.
            self._transport.close()
        else:
            self._transport.abort()
        gone = bool(grace_s) and await asyncio.to_thread(self._launched.wait, grace_s)
        # Also after a voluntary end: children of the process may be left.
        self._launched.kill()
        if not gone and not await asyncio.to_thread(self._launched.wait, _REAP_S):
            logger.error("%s (process %s) cannot be ended", self.name, self.pid)
        if self._output is not None:
            self._output.close()
        elif self._launched.output is not None:
            self._launched.output.close()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                if self._ended:
                    return
                self._on_message(message)
        except WireError:
            logger.exception("%s said something that is no message", self.name)
            assert self._transport is not None
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        if not self._ended:
            self._on_gone("its process is gone")
