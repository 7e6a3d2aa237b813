"""A segment that is made a second time, as its client sees it: once."""

from __future__ import annotations

from fastvideo.entrypoints.streaming.segment_coding import TimelineBroken
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentCut,
    SegmentDone,
    SegmentEvent,
    SegmentFragment,
    SegmentInit,
    SegmentProgress,
    SegmentStarted,
)


class Replay:
    """Lets through what was not sent before. The same job gives the same fragments, numbered as they were."""

    def __init__(self) -> None:
        self._again = False
        self._started = False
        self._steps = 0
        self._steps_sent = 0
        self._init: SegmentInit | None = None
        self._last_sequence = 0
        self._behind = False

    @property
    def behind(self) -> bool:
        """Whether the client has media that the segment, being made again, has not come to yet."""
        return self._behind

    def go_on_after(self, sequence: int) -> None:
        """The client has the segment up to this fragment, from another server."""
        self._again, self._behind, self._last_sequence = True, True, sequence

    def begin_again(self) -> None:
        """All events come once more, from the first."""
        self._again = True
        self._behind = self._last_sequence > 0
        self._steps = 0

    def new(self, event: SegmentEvent) -> bool:
        """Whether the client has yet to see the event. Raises TimelineBroken when it does not fit what was sent."""
        match event:
            case SegmentStarted():
                known, self._started = self._started, True
                return not known
            case SegmentProgress():
                self._steps += 1
                known = self._steps <= self._steps_sent
                self._steps_sent = max(self._steps, self._steps_sent)
                return not known
            case SegmentInit() if self._init is not None:
                if event != self._init:
                    raise TimelineBroken("another worker codes differently; the stream cannot go on")
                return False
            case SegmentInit():
                self._init = event
            case SegmentFragment():
                if self._again and event.sequence <= self._last_sequence:
                    return False
                self._last_sequence = event.sequence
                self._behind = False
            case SegmentCut():
                # Ended before it came to where the client is: the client's own place is unknown.
                return event.cursor.sequence > self._last_sequence
            case SegmentDone():
                self._behind = False
        return True
