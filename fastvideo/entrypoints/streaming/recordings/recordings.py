"""The recordings of one server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fastvideo.api.schema import RecordingsConfig
from fastvideo.entrypoints.streaming.message_base import RecordingReason
from fastvideo.entrypoints.streaming.recordings.library import Library
from fastvideo.entrypoints.streaming.recordings.open_file import OpenFile
from fastvideo.entrypoints.streaming.recordings.recording import EVENTS, MEDIA, POSTER
from fastvideo.entrypoints.streaming.recordings.recording_info import RecordingInfo
from fastvideo.entrypoints.streaming.recordings.retention import Bounds
from fastvideo.entrypoints.streaming.recordings.session_recorder import SessionRecorder
from fastvideo.entrypoints.streaming.recordings.writer import Delete, Writer

_TAIL_BYTES = 65_536
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Recordings:
    """Opens the folder and starts the writer's thread. Raises ConfigValidationError when the folder cannot be used."""

    def __init__(self, config: RecordingsConfig, *, clock: Callable[[], float] = time.time) -> None:
        if config.dir is None:
            raise ValueError("streaming.recordings.dir is not set: nothing is recorded")
        bounds = Bounds(config.max_bytes, config.max_count, float(config.max_age_seconds))
        self._clock = clock
        self._library = Library(Path(config.dir), bounds)
        self._writer = Writer(self._library, max_session_bytes=config.max_session_bytes, clock=clock)
        self._writer.start()

    def start(self, session_id: str, *, model_id: str, ended: Callable[[RecordingReason], None]) -> SessionRecorder:
        """Record a session of the running loop; ``ended`` is called when that stops before the session does."""
        info = RecordingInfo(id=session_id, started_at_s=self._clock(), model_id=model_id)
        # A session's id that is no name of a recording is a fault of ours.
        self._library.path(session_id)
        return SessionRecorder(info, self._writer.put, self._clock, ended)

    def get(self, recording_id: str) -> RecordingInfo | None:
        """What is known of a recording; None when there is none."""
        return self._library.get(recording_id)

    def newest(
        self, limit: int, after: str | None = None, after_started_at_s: float | None = None
    ) -> tuple[list[RecordingInfo], bool]:
        """As :meth:`Library.newest`."""
        return self._library.newest(limit, after, after_started_at_s)

    def open_media(self, recording_id: str) -> OpenFile | None:
        """The MP4 as it is now, with an index of all that is whole; None when there is none. Blocking."""
        live = self._writer.live(recording_id)
        media = live.media if live is not None else None
        head, size = media.head() if media is not None else (b"", None)
        return self._open(recording_id, MEDIA, head, size)

    def open_events(self, recording_id: str) -> OpenFile | None:
        """The lines of what happened; None when there is no such recording. Blocking."""
        file = self._open(recording_id, EVENTS)
        return replace(file, size=_whole_lines_end(file)) if file is not None else None

    def open_poster(self, recording_id: str) -> OpenFile | None:
        """A JPEG; None when there is none. Blocking."""
        return self._open(recording_id, POSTER)

    async def delete(self, recording_id: str) -> bool:
        """Remove a recording; one that grows is ended first. False when there is none."""
        if self.get(recording_id) is None:
            return False
        loop, removed = asyncio.get_running_loop(), asyncio.Event()

        def done() -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(removed.set)

        self._writer.put(Delete(recording_id, self._clock(), done))
        await removed.wait()
        return True

    def close(self) -> None:
        """End what grows and let the folder go. Blocking, at most ten seconds."""
        self._writer.close()
        self._library.close()

    def _open(self, recording_id: str, name: str, head: bytes = b"", size: int | None = None) -> OpenFile | None:
        if self.get(recording_id) is None:
            return None
        try:
            fd = os.open(self._library.path(recording_id) / name, _FLAGS)
        except FileNotFoundError:
            return None
        return OpenFile(fd, size if size is not None else os.fstat(fd).st_size, head)


def _whole_lines_end(file: OpenFile) -> int:
    """Where the last whole line ends: one that is being written is not shown."""
    end = file.size
    while end > 0:
        start = max(0, end - _TAIL_BYTES)
        newline = file.read(start, end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
