"""What travels between a session and the worker that makes its segments: one job there, a stream of events back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from fastvideo.api.schema import ContinuationState, GenerationRequest
from fastvideo.media.timeline import MediaCursor


@dataclass(frozen=True, slots=True)
class SegmentJob:
    """One segment to generate and code. ``cursor``: where it goes on the session's timeline.

    ``encoder``: auto, libx264 or h264_nvenc; ``burn_in_timecode`` draws segment and frame number into the picture.
    """

    request: GenerationRequest
    cursor: MediaCursor
    segment_idx: int = 0
    encoder: str = "auto"
    burn_in_timecode: bool = False


@dataclass(frozen=True, slots=True)
class SegmentStarted:
    """The worker took the job; ``queue_ms`` is what it waited for its turn."""

    total_steps: int
    queue_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class SegmentProgress:
    """``step`` of ``total_steps`` is done, counted from 1."""

    step: int
    total_steps: int
    stage: str = "denoise"


@dataclass(frozen=True, slots=True)
class SegmentInit:
    """The init segment (``ftyp`` and ``moov``), before any fragment."""

    mime: str
    data: bytes


@dataclass(frozen=True, slots=True)
class SegmentFragment:
    """One or more whole ``moof`` and ``mdat`` pairs."""

    data: bytes
    sequence: int
    pts_ms: float
    duration_ms: float


@dataclass(frozen=True, slots=True)
class SegmentCut:
    """The segment ends early with an error to follow; what was sent of it stays on the timeline, up to ``cursor``."""

    cursor: MediaCursor


@dataclass(frozen=True, slots=True)
class SegmentDone:
    """The segment is whole. ``timings_ms``: text, denoise, refine, decode, encode, first_fragment, as far as known;
    ``peak_memory_mb``: as the generator reports it."""

    cursor: MediaCursor
    state: ContinuationState | None
    frames: int
    duration_ms: float
    pts_base_ms: float
    generation_ms: float
    timings_ms: dict[str, float] = field(default_factory=dict)
    peak_memory_mb: float | None = None


SegmentEvent: TypeAlias = SegmentStarted | SegmentProgress | SegmentInit | SegmentFragment | SegmentCut | SegmentDone
