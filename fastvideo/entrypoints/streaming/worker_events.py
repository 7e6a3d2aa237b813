"""The events of a segment as headers and buffers and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from fastvideo.entrypoints.streaming.segment_events import (
    SegmentCut,
    SegmentDone,
    SegmentEvent,
    SegmentFragment,
    SegmentInit,
    SegmentProgress,
    SegmentStarted,
)
from fastvideo.entrypoints.streaming.worker_buffers import Buffer, exactly
from fastvideo.entrypoints.streaming.worker_headers import (
    CutHeader,
    DoneHeader,
    FragmentHeader,
    InitHeader,
    ProgressHeader,
    StartedHeader,
)
from fastvideo.entrypoints.streaming.worker_jobs import cursor_apart, cursor_together, state_apart, state_together

EventHeader: TypeAlias = StartedHeader | ProgressHeader | InitHeader | FragmentHeader | CutHeader | DoneHeader


def event_apart(job_id: int, event: SegmentEvent) -> tuple[EventHeader, Sequence[Buffer]]:
    """An event of a job's segment as a header and buffers."""
    match event:
        case SegmentStarted():
            return StartedHeader(job_id=job_id, total_steps=event.total_steps, queue_ms=event.queue_ms), []
        case SegmentProgress():
            return ProgressHeader(job_id=job_id, step=event.step, total_steps=event.total_steps, stage=event.stage), []
        case SegmentInit():
            return InitHeader(job_id=job_id, mime=event.mime), [event.data]
        case SegmentFragment():
            header = FragmentHeader(
                job_id=job_id, sequence=event.sequence, pts_ms=event.pts_ms, duration_ms=event.duration_ms
            )
            return header, [event.data]
        case SegmentCut():
            cursor, tail = cursor_apart(event.cursor)
            return CutHeader(job_id=job_id, cursor=cursor), [tail]
        case SegmentDone():
            cursor, tail = cursor_apart(event.cursor)
            kind, payload = state_apart(event.state)
            done = DoneHeader(
                job_id=job_id,
                cursor=cursor,
                state_kind=kind,
                frames=event.frames,
                duration_ms=event.duration_ms,
                pts_base_ms=event.pts_base_ms,
                generation_ms=event.generation_ms,
                timings_ms=event.timings_ms,
                peak_memory_mb=event.peak_memory_mb,
            )
            return done, [tail, payload]


def event_together(header: EventHeader, buffers: list[Buffer]) -> SegmentEvent:
    """The event that a header and its buffers are. Raises WireError or ValueError when they do not fit."""
    match header:
        case StartedHeader():
            exactly(buffers, 0)
            return SegmentStarted(header.total_steps, header.queue_ms)
        case ProgressHeader():
            exactly(buffers, 0)
            return SegmentProgress(header.step, header.total_steps, header.stage)
        case InitHeader():
            return SegmentInit(header.mime, bytes(exactly(buffers, 1)[0]))
        case FragmentHeader():
            return SegmentFragment(bytes(exactly(buffers, 1)[0]), header.sequence, header.pts_ms, header.duration_ms)
        case CutHeader():
            return SegmentCut(cursor_together(header.cursor, exactly(buffers, 1)[0]))
        case DoneHeader():
            tail, payload = exactly(buffers, 2)
            return SegmentDone(
                cursor_together(header.cursor, tail),
                state_together(header.state_kind, payload),
                header.frames,
                header.duration_ms,
                header.pts_base_ms,
                header.generation_ms,
                header.timings_ms,
                header.peak_memory_mb,
            )
