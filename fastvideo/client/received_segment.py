"""A whole segment as a client gets it, put together from the events of its stream."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastvideo.client.errors import PromptRejected, SegmentStopped, stream_error
from fastvideo.client.stream_protocol import Event, InitSegment, Media, MediaFragment
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    Ltx2SegmentComplete,
    Ltx2SegmentStart,
    MediaSegmentComplete,
    PromptStatus,
    SegmentCancelled,
)


@dataclass
class ReceivedSegment:
    """A whole segment: its init segment, fragments in order, and the messages that framed it."""

    start: Ltx2SegmentStart
    init: InitSegment | None = None
    fragments: list[MediaFragment] = field(default_factory=list)
    media_complete: MediaSegmentComplete | None = None
    complete: Ltx2SegmentComplete | None = None

    @property
    def parts(self) -> list[Media]:
        """Its media in the order in which it came."""
        return [*([self.init] if self.init else []), *self.fragments]

    @property
    def media(self) -> bytes:
        """The segment as one playable file."""
        return b"".join(part.data for part in self.parts)


class SegmentCollector:
    """Collects the segment that one prompt asked for, among those that come before it."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._segment: ReceivedSegment | None = None
        self._ours = False

    def add(self, event: Event) -> ReceivedSegment | None:
        """The segment once it is whole; raises PromptRejected, SegmentStopped and StreamError when it will not be."""
        segment = self._segment
        match event:
            case PromptStatus(request_id=about) if about == self._request_id:
                if event.status == "rejected":
                    raise PromptRejected(about, event.reason)
                self._ours = event.status == "applied"
            case Ltx2SegmentStart():
                self._segment = ReceivedSegment(event)
            case InitSegment() if segment:
                segment.init = event
            case MediaFragment() if segment:
                segment.fragments.append(event)
            case MediaSegmentComplete() if segment:
                segment.media_complete = event
            case Ltx2SegmentComplete() if segment:
                segment.complete = event
                return segment if self._ours else None
            case SegmentCancelled() if self._ours:
                raise SegmentStopped(f"segment {event.segment_idx} was cancelled")
            case ErrorMessage():
                raise stream_error(event)
        return None
