"""What a worker process prints, line by line in the server's log; as much as anybody can read, and never in its way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

MAX_LINE_BYTES = 2000
MAX_LINES_PER_SECOND = 50


class WorkerOutput(asyncio.Protocol):
    """Logs each line under the worker's name. Of more than 50 lines in a second the rest is counted, not kept."""

    def __init__(self, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._line = bytearray()
        self._since_s = clock()
        self._lines = 0
        self._left_out = 0

    def data_received(self, data: bytes) -> None:
        first, *others = data.split(b"\n")
        self._extend(first)
        for part in others:
            self._end_line()
            self._extend(part)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_line()
        self._tell_left_out()

    def _extend(self, part: bytes) -> None:
        self._line += part[: MAX_LINE_BYTES - len(self._line)]

    def _end_line(self) -> None:
        if self._clock() - self._since_s >= 1.0:
            self._tell_left_out()
            self._since_s, self._lines = self._clock(), 0
        if self._line:
            self._lines += 1
            if self._lines <= MAX_LINES_PER_SECOND:
                logger.info("%s: %s", self._name, self._line.decode("utf-8", "backslashreplace"))
            else:
                self._left_out += 1
            self._line.clear()

    def _tell_left_out(self) -> None:
        if self._left_out:
            logger.warning("%s: %d more lines were printed and left out", self._name, self._left_out)
            self._left_out = 0
