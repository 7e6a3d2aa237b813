"""A worker as a Ray actor. Its methods take and return whole messages of the worker protocol, as bytes."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator

from fastvideo.entrypoints.streaming import worker_process
from fastvideo.entrypoints.streaming.process_memory import resident_bytes
from fastvideo.entrypoints.streaming.whole_message import receive_whole
from fastvideo.entrypoints.streaming.worker import SegmentGenerator
from fastvideo.entrypoints.streaming.worker_buffers import WireError
from fastvideo.entrypoints.streaming.worker_messages import Boot

logger = logging.getLogger(__name__)

_MEMORY_POLL_S = 0.5


class RayWorker:
    """The loop of a worker process behind two methods: :meth:`take` for what the pool says, :meth:`listen` for what the
    worker does. They run on threads of their own, so that one never waits for the other.

    It watches its own memory, because the pool may be on another machine.
    """

    def __init__(self) -> None:
        # Ray hands on what the process prints.
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
        self._connection, theirs = socket.socketpair()
        threading.Thread(target=self._serve, args=(theirs,), name="worker", daemon=True).start()

    def pid(self) -> int:
        """The actor's process, on whichever machine it is."""
        return os.getpid()

    def take(self, message: bytes) -> None:
        """One message of the pool. What is said to a worker that has ended is lost."""
        with contextlib.suppress(OSError):
            self._connection.sendall(message)

    def listen(self) -> Iterator[bytes]:
        """The worker's messages, as they are made; it ends when the worker does."""
        with self._connection:
            while (message := receive_whole(self._connection)) is not None:
                yield message

    def end(self) -> None:
        """The pool says nothing more: the worker ends, after at most its current step."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def _build(self, boot: Boot) -> SegmentGenerator:
        """The generator that the configuration selects."""
        return worker_process.build(boot)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                worker_process.WorkerLoop(connection, self._booted).serve()
            except WireError:
                logger.exception("the pool said something that is no message")

    def _booted(self, boot: Boot) -> SegmentGenerator:
        if boot.pool.worker_memory_gib is not None:
            limit_bytes = int(boot.pool.worker_memory_gib * (1 << 30))
            threading.Thread(target=_end_above, args=(limit_bytes,), name="memory", daemon=True).start()
        return self._build(boot)


def _end_above(limit_bytes: int) -> None:
    """End this process as soon as it holds more memory; does not return."""
    never = threading.Event()
    while not never.wait(_MEMORY_POLL_S):
        held_bytes = resident_bytes(os.getpid())
        if held_bytes is not None and held_bytes > limit_bytes:
            logger.error("it holds %d MiB, and %d are allowed: it ends", held_bytes >> 20, limit_bytes >> 20)
            logging.shutdown()
            os._exit(1)
