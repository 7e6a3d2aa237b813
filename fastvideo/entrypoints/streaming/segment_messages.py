"""One segment's events as the messages of the wire."""

from __future__ import annotations

from fastvideo.entrypoints.streaming.prompt_work import Words
from fastvideo.entrypoints.streaming.protocol import (
    Ltx2SegmentComplete,
    Ltx2SegmentStart,
    MediaInit,
    MediaSegmentComplete,
    SegmentTimings,
    ServerMessage,
    StepComplete,
)
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentCut,
    SegmentDone,
    SegmentEvent,
    SegmentFragment,
    SegmentInit,
    SegmentProgress,
    SegmentStarted,
)
from fastvideo.media.timeline import MediaCursor


class SegmentMessages:
    """Translates the events of one segment and remembers what was sent of it."""

    def __init__(self, segment_idx: int, words: Words, stream_id: str) -> None:
        self._idx = segment_idx
        self.words = words
        self._stream_id = stream_id
        self.chunks = 0
        self.media_bytes = 0
        self._first: SegmentFragment | None = None
        self._last: SegmentFragment | None = None
        self._queue_ms: float | None = None
        self.started = False
        self.media_started = False
        self.cursor: MediaCursor | None = None
        self.done: SegmentDone | None = None

    @property
    def sent_end_ms(self) -> float:
        """Where on the timeline the media sent so far ends."""
        return self._last.pts_ms + self._last.duration_ms if self._last is not None else 0.0

    @property
    def timeline_known(self) -> bool:
        """Whether the next segment can follow: nothing was sent, or the cursor after it is known."""
        return not self.media_started or self.cursor is not None

    def of(self, event: SegmentEvent) -> list[ServerMessage | bytes]:
        """What to send for an event, in order."""
        match event:
            case SegmentStarted():
                self.started = True
                self._queue_ms = event.queue_ms
                return [
                    Ltx2SegmentStart(
                        segment_idx=self._idx,
                        prompt=self.words.prompt.text,
                        total_steps=event.total_steps,
                        source=self.words.prompt.source,
                        enhancement=self.words.enhancement,
                    )
                ]
            case SegmentProgress():
                return [
                    StepComplete(
                        segment_idx=self._idx, step=event.step, total_steps=event.total_steps, stage=event.stage
                    )
                ]
            case SegmentInit():
                self.media_started = True
                self.media_bytes += len(event.data)
                return [MediaInit(segment_idx=self._idx, mime=event.mime, stream_id=self._stream_id), event.data]
            case SegmentFragment():
                self.chunks += 1
                self.media_bytes += len(event.data)
                self._first = self._first or event
                self._last = event
                return [event.data]
            case SegmentCut():
                self.cursor = event.cursor
                return [self._media_complete()]
            case SegmentDone():
                self.cursor, self.done = event.cursor, event
                return [self._media_complete()]

    def complete(self, e2e_ms: float) -> Ltx2SegmentComplete:
        """The end of a whole segment, ``e2e_ms`` after it was asked for."""
        assert self.done is not None
        return Ltx2SegmentComplete(
            segment_idx=self._idx,
            generation_time_ms=self.done.generation_ms,
            e2e_latency_ms=round(e2e_ms, 3),
            timings=self._timings,
        )

    @property
    def stages_ms(self) -> dict[str, float]:
        """The parts that a whole segment's time consists of, and that happened."""
        found: dict[str, float] = self._timings.model_dump(exclude_none=True, exclude={"first_fragment"})
        return found

    @property
    def _timings(self) -> SegmentTimings:
        assert self.done is not None
        return SegmentTimings(prompt=self.words.waited_ms, queue=self._queue_ms, **self.done.timings_ms)

    def _media_complete(self) -> MediaSegmentComplete:
        # A segment that was cut short has no summary: its fragments tell where it was.
        done, first = self.done, self._first
        pts_base_ms = done.pts_base_ms if done else first.pts_ms if first else None
        duration_ms = done.duration_ms if done else self.sent_end_ms - first.pts_ms if first else None
        return MediaSegmentComplete(
            segment_idx=self._idx,
            stream_id=self._stream_id,
            chunks=self.chunks,
            duration_ms=duration_ms,
            pts_base_ms=pts_base_ms,
            bytes=self.media_bytes,
            first_sequence=first.sequence if first else None,
            last_sequence=self._last.sequence if self._last else None,
        )
