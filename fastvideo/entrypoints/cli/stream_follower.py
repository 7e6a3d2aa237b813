"""What is known of a stream that is being received: what to tell of it, and when it is done. No sockets, no clocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastvideo.client import Event, InitSegment, MediaFragment
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    GpuAssigned,
    Ltx2SegmentComplete,
    Ltx2SegmentStart,
    Ltx2StreamComplete,
    Ltx2StreamStart,
    MediaSegmentComplete,
    PromptStatus,
    QueueStatus,
    SegmentCancelled,
    SessionTimeout,
    StepComplete,
)


@dataclass(frozen=True)
class Note:
    """Something worth a line: ``text`` for people, ``event`` and ``fields`` for programs."""

    text: str
    event: str
    fields: dict[str, Any] = field(default_factory=dict)


class StreamFollower:
    """Follows the events. ``segments_wanted``: after so many the stream is done; else when nothing is asked for any
    more, unless ``goes_on`` by itself. ``over``: a segment beyond those has begun, and what comes is nobody's."""

    def __init__(self, *, segments_wanted: int | None = None, goes_on: bool = False) -> None:
        self._wanted = segments_wanted
        self._goes_on = goes_on
        self._open: set[str] = set()
        self._making: str | None = None
        self._model: str | None = None
        self._doing = "connecting"
        self._begun = 0
        self.over = False
        self.input_ended = False
        self.segments = 0
        self.duration_ms = 0.0
        self.media_bytes = 0
        self.ending: str | None = None
        self.rejected = 0

    def asked(self, request_id: str) -> None:
        """A prompt was sent."""
        self._open.add(request_id)

    @property
    def done(self) -> bool:
        """Nothing more is wanted of the server."""
        if self._wanted is not None and self.segments >= self._wanted:
            return True
        return self.input_ended and not self._open and not (self._goes_on and not self.rejected)

    @property
    def at_last(self) -> bool:
        """The last segment that is wanted has begun."""
        return self._wanted is not None and self._begun >= self._wanted

    @property
    def status(self) -> str:
        """One line about now."""
        return f"{self._doing} | {self.duration_ms / 1000:.1f} s, {size(self.media_bytes)}"

    def hear(self, event: Event) -> Note | None:
        """Take in an event; a note of what is worth one."""
        if isinstance(event, Ltx2SegmentStart) and self._wanted is not None and self.segments >= self._wanted:
            self.over = True
        if self.over:
            if isinstance(event, Ltx2StreamComplete):
                self.ending = event.reason
            return None
        match event:
            case InitSegment() | MediaFragment():
                self.media_bytes += len(event.data)
            case QueueStatus():
                return self._queued(event)
            case GpuAssigned():
                self._model = event.model_id
            case Ltx2StreamStart():
                self._doing = "ready"
                said = {"model": self._model, "width": event.width, "height": event.height, "fps": event.fps}
                model = f"{self._model}, " if self._model else ""
                return Note(f"connected: {model}{event.width}x{event.height} at {event.fps} fps", "started", said)
            case PromptStatus():
                return self._prompt(event)
            case Ltx2SegmentStart():
                self._doing = f"segment {event.segment_idx}"
                self._begun = self.segments + 1
                said = {"segment_idx": event.segment_idx, "prompt": event.prompt, "source": event.source}
                return Note(f"segment {event.segment_idx}: {event.prompt}", "segment_started", said)
            case StepComplete():
                self._doing = f"segment {event.segment_idx} {event.stage} {event.step}/{event.total_steps}"
            case MediaSegmentComplete():
                self.duration_ms += event.duration_ms or 0.0
            case Ltx2SegmentComplete():
                self.segments += 1
                self._settle()
                made = {"segment_idx": event.segment_idx, "generation_time_ms": event.generation_time_ms}
                text = f"segment {event.segment_idx}: made in {event.generation_time_ms / 1000:.1f} s"
                return Note(text, "segment_complete", made)
            case SegmentCancelled():
                self._settle()
                return Note(
                    f"segment {event.segment_idx}: dropped", "segment_cancelled", {"segment_idx": event.segment_idx}
                )
            case SessionTimeout():
                self.ending = "timeout"
                return Note(f"the server ended the stream: nothing was asked for {event.timeout_seconds} s", "timeout")
            case ErrorMessage():
                if event.reason is None:
                    # Others are about what was asked, and not about the segment that is being made.
                    self._settle()
                said = {"code": event.code, "message": event.message, "reason": event.reason}
                return Note(f"the server says: {event.message}", "error", said)
            case Ltx2StreamComplete():
                self.ending = event.reason
        return None

    def _queued(self, event: QueueStatus) -> Note | None:
        if event.position <= 0 and event.queue_depth <= 0:
            return None
        self._doing = f"waiting, {event.position} ahead"
        eta = f", about {event.eta_ms / 1000:.0f} s" if event.eta_ms is not None else ""
        return Note(
            f"waiting for a worker, {event.position} ahead{eta}",
            "queued",
            {"position": event.position, "eta_ms": event.eta_ms},
        )

    def _prompt(self, event: PromptStatus) -> Note | None:
        if event.status == "applied":
            self._making = event.request_id
        elif event.status == "rejected":
            self._open.discard(event.request_id)
            self.rejected += 1
            return Note(
                f"the prompt was refused: {event.reason or 'no reason given'}",
                "prompt_rejected",
                {"reason": event.reason},
            )
        return None

    def _settle(self) -> None:
        """The segment that was being made is over, whatever came of it."""
        self._doing = "ready"
        if self._making is not None:
            self._open.discard(self._making)
            self._making = None


def size(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 1024:.0f} KiB"
