"""The thread that writes recordings, so that a slow disk holds no session up."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastvideo.entrypoints.streaming.message_base import RecordingReason
from fastvideo.entrypoints.streaming.recordings.library import Library
from fastvideo.entrypoints.streaming.recordings.recording import Recording
from fastvideo.entrypoints.streaming.recordings.recording_ends import RecordingEnds, disk_reason
from fastvideo.entrypoints.streaming.recordings.recording_info import RecordingInfo

logger = logging.getLogger(__name__)

SWEEP_EVERY_S = 60.0
CLOSE_TIMEOUT_S = 10.0


@dataclass
class Track:
    """One session's way to the writer. ``ended`` is called when the recording ends before the writer is told so."""

    info: RecordingInfo
    ended: Callable[[RecordingReason], None]
    recording: Recording | None = None


@dataclass(frozen=True)
class Media:
    """A binary message; ``written`` is called with its size when it is out of the queue."""

    track: Track
    data: bytes
    ts: float
    written: Callable[[int], None]


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    track: Track
    event: str
    ts: float
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class End:
    """The session is over, or gave its recording up."""

    track: Track
    reason: str
    ts: float


@dataclass(frozen=True)
class Delete:
    """Remove a recording, also one that grows; then call ``done``."""

    recording_id: str
    ts: float
    done: Callable[[], None]


Job = Media | Event | End | Delete


class Writer(threading.Thread):
    """Does what it is told, in order. ``clock``: as ``time.time``."""

    def __init__(self, library: Library, *, max_session_bytes: int, clock: Callable[[], float]) -> None:
        super().__init__(name="recordings", daemon=True)
        self._library = library
        self._max_session_bytes = max_session_bytes
        self._clock = clock
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._live: dict[str, Track] = {}
        self._complained = False

    def put(self, job: Job) -> None:
        """Queue a job; whoever does bounds what waits."""
        self._jobs.put(job)

    def live(self, recording_id: str) -> Recording | None:
        """The recording of that id while it grows; for readers, on any thread."""
        track = self._live.get(recording_id)
        return track.recording if track is not None else None

    def close(self) -> None:
        """Do what is queued, end what grows, and stop; waits for that at most ten seconds."""
        self._jobs.put(None)
        self.join(CLOSE_TIMEOUT_S)
        if self.is_alive():
            logger.warning("recordings: the disk did not take the last of them in %g s", CLOSE_TIMEOUT_S)

    def run(self) -> None:
        next_sweep_s = 0.0
        while True:
            now_s = self._clock()
            if now_s >= next_sweep_s:
                self._library.sweep(now_s=now_s)
                next_sweep_s = now_s + SWEEP_EVERY_S
            try:
                job = self._jobs.get(timeout=SWEEP_EVERY_S)
            except queue.Empty:
                continue
            if job is None:
                for track in list(self._live.values()):
                    self._give_up(track, "shutdown", self._clock())
                return
            try:
                self._do(job)
            except Exception:
                logger.exception("a recording could not be written")
                if not isinstance(job, Delete):
                    self._give_up(job.track, "disk_failed", job.ts)
            # The session behind it may be over, and should not wait here for the next one's job.
            del job

    def _do(self, job: Job) -> None:
        match job:
            case Delete():
                if (track := self._live.get(job.recording_id)) is not None:
                    self._give_up(track, "deleted", job.ts)
                self._library.remove(job.recording_id)
                job.done()
            case End():
                self._end(job.track, job.reason, job.ts)
            case Media():
                self._write(job)
                job.written(len(job.data))
            case Event():
                self._write(job)

    def _write(self, job: Media | Event) -> None:
        recording = self._recording(job.track)
        if recording is None:
            return
        try:
            if isinstance(job, Media):
                recording.add_media(job.data, job.ts)
            else:
                recording.add_event(job.event, job.ts, job.payload)
        except RecordingEnds as end:
            self._give_up(job.track, end.reason, job.ts)
        except OSError as fault:
            if not self._complained:
                # Once: a full disk would repeat this for every session.
                self._complained = True
                logger.warning("recordings: the disk failed: %s", fault.strerror)
            self._give_up(job.track, disk_reason(fault), job.ts)
        else:
            self._library.put(recording.info)

    def _recording(self, track: Track) -> Recording | None:
        """What the track writes to; None once it has ended."""
        session_id = track.info.id
        if track.recording is None:
            if track.info.reason is not None:
                return None
            if (before := self._live.get(session_id)) is not None:
                self._give_up(before, "resumed", self._clock())
            if (stored := self._library.get(session_id)) is not None:
                # A session that was resumed goes on with its recording.
                track.info = replace(stored, ended_at_s=None, reason=None)
                self._library.put(track.info)
            track.recording = Recording(
                self._library.path(session_id),
                track.info,
                max_bytes=self._max_session_bytes,
                make_room=lambda more, new: self._library.make_room(more, new, now_s=self._clock()),
            )
            self._live[session_id] = track
        return track.recording

    def _give_up(self, track: Track, reason: RecordingReason, ts: float) -> None:
        if track.info.reason is None:
            self._end(track, reason, ts)
            track.ended(reason)

    def _end(self, track: Track, reason: str, ts: float) -> None:
        recording, track.recording = track.recording, None
        if track.info.reason is not None:
            return
        if recording is not None:
            try:
                recording.finish(reason, ts)
            except OSError as fault:
                logger.warning("recordings: the last lines of one were not written: %s", fault.strerror)
            track.info = recording.info
            self._library.put(recording.info)
            if not recording.info.media_bytes:
                self._library.remove(recording.info.id)
            del self._live[recording.info.id]
        else:
            track.info = replace(track.info, ended_at_s=ts, reason=reason)
