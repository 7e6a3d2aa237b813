"""What a client is told along with the media: is each segment told of once and in order, and what is it made from?"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fastvideo.client.stream_protocol import Event, InitSegment, MediaFragment, UnknownMessage
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    GpuAssigned,
    Ltx2SegmentComplete,
    Ltx2SegmentStart,
    Ltx2StreamStart,
    MediaInit,
    MediaSegmentComplete,
    QueueStatus,
    SegmentCancelled,
    StepComplete,
)

# Of each segment, in this order.
_ONCE = (Ltx2SegmentStart, MediaInit, InitSegment, MediaSegmentComplete, Ltx2SegmentComplete)
_OPENING = (QueueStatus, GpuAssigned, Ltx2StreamStart)


@dataclass
class StreamStory:
    """Give it every event. ``faults``: sentences; ``errors``: what the server said went wrong; ``made``: how often each
    prompt of a user became a segment."""

    faults: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    made: Counter[str] = field(default_factory=Counter)
    segments: int = 0
    _opened: int = 0
    _next: int = 0

    def add(self, event: Event) -> None:
        """An event of the stream."""
        match event:
            case ErrorMessage():
                self.errors.append(f"{event.code}, {event.reason}: {event.message}")
            case QueueStatus() | GpuAssigned() | Ltx2StreamStart():
                if isinstance(event, QueueStatus) and event.session_id is None:
                    return
                if self._opened == len(_OPENING) or not isinstance(event, _OPENING[self._opened]):
                    self.faults.append(f"{event.type} as message {self._opened} of the session's opening")
                self._opened += 1
            case Ltx2SegmentStart() | MediaInit() | InitSegment() | MediaSegmentComplete() | Ltx2SegmentComplete():
                self._in_order(event)
            case MediaFragment() if self._next not in (0, 3):
                # Between segments what the sound still owed may come.
                self.faults.append(f"a fragment {self._where()}")
            case StepComplete() if self._next != 1:
                self.faults.append(f"a step {self._where()}")
            case SegmentCancelled():
                # What was made of it stays, and the next one has its number.
                self._next = 0
            case UnknownMessage():
                self.faults.append(f"an unknown message {self._where()}")

    def _in_order(
        self, event: Ltx2SegmentStart | MediaInit | InitSegment | MediaSegmentComplete | Ltx2SegmentComplete
    ) -> None:
        if not isinstance(event, _ONCE[self._next]) or event.segment_idx != self.segments:
            self.faults.append(f"{type(event).__name__} of segment {event.segment_idx} {self._where()}")
        if isinstance(event, Ltx2SegmentStart):
            self.made[event.prompt] += event.source == "user"
        # From what came, so that one fault is told once.
        self._next = (_ONCE.index(type(event)) + 1) % len(_ONCE)
        self.segments = event.segment_idx + (self._next == 0)

    def _where(self) -> str:
        return f"where segment {self.segments} awaits {_ONCE[self._next].__name__}"
