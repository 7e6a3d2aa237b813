"""What a session sends: messages and media through one bounded outbox, and lines in its log."""

from __future__ import annotations

import asyncio
from typing import Any

from fastvideo.entrypoints.streaming import endings
from fastvideo.entrypoints.streaming.connection import Connection
from fastvideo.entrypoints.streaming.endings import SessionOver
from fastvideo.entrypoints.streaming.error_messages import error_message
from fastvideo.entrypoints.streaming.outbox import KEPT_BYTES, Outbox
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    Ltx2SegmentStart,
    RecordingReason,
    RecordingStatus,
    ServerMessage,
    encode_server_message,
)
from fastvideo.entrypoints.streaming.recordings.recordings import Recordings
from fastvideo.entrypoints.streaming.recordings.session_recorder import SessionRecorder
from fastvideo.entrypoints.streaming.segment_channel import ReaderTooSlow
from fastvideo.entrypoints.streaming.server_state import ServerState
from fastvideo.entrypoints.streaming.session_logger import SessionLogEvent
from fastvideo.media.movie_fragment import last_sequence

SLOW_READER_S = 20.0


class SessionPost:
    """One session's way out. :meth:`deliver` runs in a task of its own; the rest is called from anywhere.

    With ``streaming.resume`` on, what was sent last is kept for a client that comes back (:meth:`rewind`).
    ``in_segment``: the client was told that a segment begins, and not yet how it ended.
    """

    def __init__(self, session_id: str, server: ServerState) -> None:
        self._session_id = session_id
        self._log = server.log
        self._metrics = server.metrics
        self._outbox = Outbox(kept_bytes=KEPT_BYTES if server.streaming.resume.grace_seconds > 0 else 0)
        self.recorder: SessionRecorder | None = None
        self.in_segment = False

    async def put(self, item: ServerMessage | bytes) -> None:
        """Send a message or a binary frame, after what is queued; waits while too much is."""
        if isinstance(item, Ltx2SegmentStart):
            self.in_segment = True
        self._record(item)
        if isinstance(item, bytes):
            await self._outbox.put(item, last_sequence(item))
        else:
            await self._outbox.put(self._encoded(item))

    async def put_text(self, text: str) -> None:
        """Send a message that is encoded already."""
        await self._outbox.put(text)

    def put_now(self, item: ServerMessage | bytes) -> None:
        """Send something small without waiting."""
        self._record(item)
        if isinstance(item, bytes):
            self._outbox.put_now(item, last_sequence(item))
        else:
            self._outbox.put_now(self._encoded(item))

    async def drained(self) -> None:
        """Wait until everything was handed to the socket."""
        await self._outbox.drained()

    @property
    def blocked(self) -> bool:
        """Whether somebody waits for room."""
        return self._outbox.blocked

    def detach(self) -> None:
        """No client is connected: keep more, and let nobody wait for one."""
        self._outbox.detach()

    def let_through(self) -> None:
        """Let in who waits for room while no client is connected; nothing large follows."""
        self._outbox.let_through()

    def begin_at(self, last_sequence: int, frames_after: int) -> None:
        """Before anything else: the client stands there, after what came from another server."""
        self._outbox.begin_at(last_sequence, frames_after)

    def check(self, last_sequence: int, frames_after: int) -> None:
        """Raise NotKept unless :meth:`rewind` can be done."""
        self._outbox.check(last_sequence, frames_after)

    def rewind(self, last_sequence: int, frames_after: int) -> None:
        """Go on for a client who has all up to fragment ``last_sequence`` and some frames more. Raises NotKept."""
        self._outbox.rewind(last_sequence, frames_after)

    def discard(self) -> None:
        """Drop what the client has not taken yet."""
        self._outbox.discard()

    def close(self) -> None:
        """Nothing follows; :meth:`deliver` ends after the rest."""
        self._outbox.close()

    async def deliver(self, connection: Connection) -> None:
        """Send until :meth:`close`. Raises ConnectionLost; SessionOver when the client takes nothing for too long."""
        while (frame := await self._outbox.take()) is not None:
            try:
                async with asyncio.timeout(SLOW_READER_S):
                    await connection.send(frame)
            except TimeoutError:
                slow = ReaderTooSlow(f"the connection took nothing for {SLOW_READER_S:g} s")
                raise SessionOver(endings.too_slow(error_message(slow))) from None
            finally:
                self._outbox.sent(frame)
            self._metrics.sent_bytes.labels("text" if isinstance(frame, str) else "media").inc(len(frame))

    def log(self, event: str, **payload: Any) -> None:
        """A line in the session's log."""
        self._log.log(SessionLogEvent(self._session_id, event, payload))

    async def begin_recording(self, recordings: Recordings | None, model_id: str) -> None:
        """Keep what is sent from here on, because the client asked for it, or say that there will be no recording."""
        if recordings is None:
            await self.put(RecordingStatus(state="unavailable", reason="not_offered"))
            return
        self.recorder = recordings.start(self._session_id, model_id=model_id, ended=self._recording_ended)
        await self.put(RecordingStatus(state="recording"))

    def end_recording(self, reason: str) -> None:
        """The session is over, for this reason."""
        if self.recorder is not None:
            self.recorder.end(reason)

    def _recording_ended(self, reason: RecordingReason) -> None:
        self.recorder = None
        self._metrics.recordings.labels(reason).inc()
        self.log("recording_ended", reason=reason)
        self.put_now(RecordingStatus(state="ended", reason=reason))

    def _record(self, item: ServerMessage | bytes) -> None:
        if self.recorder is not None:
            self.recorder.take(item)

    def _encoded(self, message: ServerMessage) -> str:
        if isinstance(message, ErrorMessage):
            self._metrics.errors.labels(message.code).inc()
            self.log("error", **message.model_dump(exclude={"type"}, exclude_none=True))
        return encode_server_message(message)
