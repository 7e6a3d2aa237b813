"""What a pool and one of its worker processes say to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastvideo.api.results import GenerationResult
from fastvideo.api.schema import GenerationRequest, GeneratorConfig, GpuPoolConfig, RequestLimits
from fastvideo.entrypoints.streaming.segment_events import SegmentEvent, SegmentJob

# --- to the worker; the end of the connection tells it to end


@dataclass(frozen=True, slots=True)
class Boot:
    """The first message: what to build, what to warm up with, and how often to say that all is well."""

    generator: GeneratorConfig
    pool: GpuPoolConfig
    limits: RequestLimits
    warmup: SegmentJob | None = None
    heartbeat_s: float = 1.0


@dataclass(frozen=True, slots=True)
class RunSegment:
    """Generate and code one segment. A worker does one job at a time."""

    job_id: int
    job: SegmentJob


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Generate, and give back the frames themselves."""

    job_id: int
    request: GenerationRequest


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop a job at its next step; one that has ended is left alone."""

    job_id: int


@dataclass(frozen=True, slots=True)
class EncodeAhead:
    """What is asked for after a job, as far as is known by now: its text may be encoded while the job runs.

    The newest one of a job counts; one for a job that has ended is left alone. Nothing answers it.
    """

    job_id: int
    request: GenerationRequest


@dataclass(frozen=True, slots=True)
class Consumed:
    """The reader took this many bytes of a job's media, so that as many may follow."""

    job_id: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RingFreed:
    """The frames that lay at ``offset`` of the ring were released; others may be put there."""

    offset: int


# --- from the worker


@dataclass(frozen=True, slots=True)
class Fault:
    """An error raised on purpose, by the name of its class; ``path`` for those that carry one."""

    kind: str
    message: str
    code: str
    reason: str | None = None
    retryable: bool = False
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The process lives and its threads get their turns."""


@dataclass(frozen=True, slots=True)
class WarmedUp:
    """One of the two segments of the warm-up is done."""

    generation_ms: float


@dataclass(frozen=True, slots=True)
class Ready:
    """Jobs may come."""

    model_id: str | None = None


@dataclass(frozen=True, slots=True)
class BootFailed:
    """The worker could not build its generator or warm it up, and ends."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Unusable:
    """The process can do no job any more, neither the one that it has nor another, and ends. ``reason`` is logged."""

    reason: str


@dataclass(frozen=True, slots=True)
class JobTaken:
    """The worker begins with a job: if it dies now, that may be the job's doing."""

    job_id: int


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One event of a segment."""

    job_id: int
    event: SegmentEvent


@dataclass(frozen=True, slots=True)
class ResultFrames:
    """Some frames of a result, in order: uint8 [N, H, W, 3], where there is no ring that is large enough for one."""

    job_id: int
    frames: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RingFrames:
    """Some frames of a result, in order, lie in the ring: uint8 of ``shape`` [N, H, W, 3] from byte ``offset`` on.

    The first of them is number ``first_frame`` of ``total_frames``.
    """

    job_id: int
    offset: int
    shape: tuple[int, int, int, int]
    first_frame: int
    total_frames: int


@dataclass(frozen=True, slots=True)
class ResultDone:
    """The rest of a result; its frames came before."""

    job_id: int
    result: GenerationResult


@dataclass(frozen=True, slots=True)
class JobEnded:
    """Nothing of a job follows. ``busy_s`` is what a whole one took."""

    job_id: int
    busy_s: float | None = None
    fault: Fault | None = None


ToWorker: TypeAlias = Boot | RunSegment | RunRequest | Cancel | EncodeAhead | Consumed | RingFreed
FromWorker: TypeAlias = (
    Heartbeat
    | WarmedUp
    | Ready
    | BootFailed
    | Unusable
    | JobTaken
    | JobEvent
    | RingFrames
    | ResultFrames
    | ResultDone
    | JobEnded
)
Message: TypeAlias = ToWorker | FromWorker
