"""One session's recording, as its event loop sees it: whatever is sent to the client passes here once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

from fastvideo.entrypoints.streaming.protocol import (
    DeadlineMissed,
    ErrorMessage,
    GenerationBlocked,
    GenerationResumed,
    Ltx2SegmentComplete,
    Ltx2SegmentStart,
    Ltx2StreamComplete,
    RecordingReason,
    SegmentCancelled,
    ServerMessage,
    SessionTimeout,
)
from fastvideo.entrypoints.streaming.recordings.recording_info import RecordingInfo
from fastvideo.entrypoints.streaming.recordings.writer import End, Event, Job, Media, Track

MAX_QUEUED_BYTES = 16 << 20
_KEPT = (
    Ltx2SegmentStart,
    Ltx2SegmentComplete,
    SegmentCancelled,
    Ltx2StreamComplete,
    SessionTimeout,
    ErrorMessage,
    GenerationBlocked,
    GenerationResumed,
    DeadlineMissed,
)


class SessionRecorder:
    """Hands media and messages to the writer, in order; at most 16 MiB wait, or the recording ends.

    Belongs to one event loop. ``ended`` is called there with the reason when the recording ends before :meth:`end`.
    """

    def __init__(
        self,
        info: RecordingInfo,
        put: Callable[[Job], None],
        clock: Callable[[], float],
        ended: Callable[[RecordingReason], None],
    ) -> None:
        self._put = put
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._ended = ended
        self._over = False
        self._queued_bytes = 0
        self._counting = threading.Lock()
        self._track = Track(info, self._tell)

    def take(self, item: ServerMessage | bytes) -> None:
        """What is being sent: media, and the messages that tell what happened. Never waits."""
        if self._over:
            return
        if isinstance(item, bytes):
            with self._counting:
                self._queued_bytes += len(item)
                too_much = self._queued_bytes > MAX_QUEUED_BYTES
            if too_much:
                self.end("disk_too_slow")
                self._ended("disk_too_slow")
                return
            self._put(Media(self._track, item, self._clock(), self._written))
        elif isinstance(item, _KEPT):
            payload = item.model_dump(mode="json", exclude={"type"}, exclude_none=True)
            self._put(Event(self._track, item.type, self._clock(), payload))

    def end(self, reason: str) -> None:
        """The session is over; what was taken is still written."""
        if not self._over:
            self._over = True
            self._put(End(self._track, reason, self._clock()))

    def _written(self, size: int) -> None:
        with self._counting:
            self._queued_bytes -= size

    def _tell(self, reason: RecordingReason) -> None:
        # On the writer's thread; the session may be gone, and its loop too.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._heard, reason)

    def _heard(self, reason: RecordingReason) -> None:
        if not self._over:
            self._over = True
            self._ended(reason)
