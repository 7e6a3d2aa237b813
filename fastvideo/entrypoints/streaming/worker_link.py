"""The pool's end of one worker process, from its start until nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import cast

from fastvideo.entrypoints.streaming.frames_view import FramesView
from fastvideo.entrypoints.streaming.ring_memory import RingMemory
from fastvideo.entrypoints.streaming.ring_reader import RingReader
from fastvideo.entrypoints.streaming.worker_buffers import Buffer, WireError
from fastvideo.entrypoints.streaming.worker_launch import LaunchedWorker
from fastvideo.entrypoints.streaming.worker_messages import Message, RingFrames, RingFreed
from fastvideo.entrypoints.streaming.worker_output import WorkerOutput
from fastvideo.entrypoints.streaming.worker_wire import MessageReader, encode

logger = logging.getLogger(__name__)

_REAP_S = 10.0


class WorkerLink(asyncio.Protocol):
    """Hands over each message as it arrives, and says once when the worker is gone; neither after :meth:`end`.

    Of frames in the ring, of ``ring_bytes``, it hands over a view, with the job's id.
    """

    def __init__(
        self,
        name: str,
        launched: LaunchedWorker,
        *,
        ring_bytes: int,
        on_message: Callable[[Message], None],
        on_frames: Callable[[int, FramesView], None],
        on_gone: Callable[[str], None],
    ) -> None:
        self.name = name
        self.gone = False
        self._launched = launched
        self._on_message = on_message
        self._on_frames = on_frames
        self._on_gone = on_gone
        self._reader = MessageReader()
        self._ring_bytes = ring_bytes
        self._ring: RingReader | None = None
        self._transport: asyncio.Transport | None = None
        self._output: asyncio.ReadTransport | None = None
        self._ended = False

    @property
    def pid(self) -> int | None:
        """The worker's process, once it is known."""
        return self._launched.pid

    async def open(self) -> None:
        """Begin to listen."""
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self, sock=self._launched.connection)
        if self._launched.output is not None:
            output = WorkerOutput(self.name)
            self._output, _ = await loop.connect_read_pipe(lambda: output, self._launched.output)

    def greet(self, buffers: Sequence[Buffer]) -> None:
        """Send the first message, and with it the descriptor of the ring."""
        first, *rest = buffers
        sent_bytes = 0
        if (memory := self._memory()) is not None:
            self._ring = RingReader(memory, self._freed)
            # Nothing was sent yet, so what passes the transport by stays in order. It also tells when nobody is there.
            with contextlib.suppress(OSError):
                sent_bytes = memory.send(self._launched.connection, first)
        self.send([memoryview(first)[sent_bytes:], *rest])

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
        if self._ring is not None:
            self._ring.close()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                if self._ended:
                    return
                if isinstance(message, RingFrames):
                    self._on_frames(message.job_id, self._view(message))
                else:
                    self._on_message(message)
        except WireError:
            logger.exception("%s said something that is no message", self.name)
            assert self._transport is not None
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        if not self._ended:
            self._on_gone("its process is gone")

    # --- the ring

    def _memory(self) -> RingMemory | None:
        try:
            return RingMemory.create(self._ring_bytes)
        except OSError:
            logger.warning("there is no ring for %s; its frames will take longer", self.name, exc_info=True)
            return None

    def _view(self, message: RingFrames) -> FramesView:
        if self._ring is None:
            raise WireError("a worker without a ring told of frames in it")
        return self._ring.view(message)

    def _freed(self, offset: int) -> None:
        self.send(encode(RingFreed(offset)))
