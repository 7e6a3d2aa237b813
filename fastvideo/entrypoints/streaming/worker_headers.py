"""What each message between a pool and its workers says beside its buffers: the msgpack headers of ``worker_parts``."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

MAX_HEADER_BYTES = 64 << 10
MAX_BODY_BYTES = 256 << 20
MAX_NAME_CHARS = 256

_Id: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]
_Size: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_BODY_BYTES)]
_Name: TypeAlias = Annotated[str, Meta(max_length=MAX_NAME_CHARS)]
_Text: TypeAlias = Annotated[str, Meta(max_length=8000)]


class Header(Struct, kw_only=True, forbid_unknown_fields=True):
    pass


class CursorHeader(Header):
    sequence: int
    video_ticks: int
    video_timescale: int
    audio_samples: int
    invented_samples: int
    parameter_hash: _Name
    ended: bool


class JobHeader(Header):
    cursor: CursorHeader
    segment_idx: _Count
    encoder: _Name
    burn_in_timecode: bool
    state_kind: _Name | None


class FaultHeader(Header):
    kind: _Name
    message: _Text
    code: _Name
    reason: _Name | None
    retryable: bool
    path: _Text | None


class BootHeader(Header, tag="boot"):
    warmup: JobHeader | None
    heartbeat_s: float


class RunSegmentHeader(Header, tag="run_segment"):
    job_id: _Id
    job: JobHeader


class RunRequestHeader(Header, tag="run_request"):
    job_id: _Id
    state_kind: _Name | None


class CancelHeader(Header, tag="cancel"):
    job_id: _Id


class EncodeAheadHeader(Header, tag="encode_ahead"):
    job_id: _Id
    state_kind: _Name | None


class ConsumedHeader(Header, tag="consumed"):
    job_id: _Id
    size_bytes: _Id


class RingFreedHeader(Header, tag="ring_freed"):
    offset: _Count


class HeartbeatHeader(Header, tag="heartbeat"):
    pass


class WarmedUpHeader(Header, tag="warmed_up"):
    generation_ms: float


class ReadyHeader(Header, tag="ready"):
    model_id: _Name | None


class BootFailedHeader(Header, tag="boot_failed"):
    fault: FaultHeader


class UnusableHeader(Header, tag="unusable"):
    reason: _Text


class TakenHeader(Header, tag="taken"):
    job_id: _Id


class StartedHeader(Header, tag="started"):
    job_id: _Id
    total_steps: _Count
    queue_ms: float


class ProgressHeader(Header, tag="progress"):
    job_id: _Id
    step: _Count
    total_steps: _Count
    stage: _Name


class InitHeader(Header, tag="init"):
    job_id: _Id
    mime: _Name


class FragmentHeader(Header, tag="fragment"):
    job_id: _Id
    sequence: _Id
    pts_ms: float
    duration_ms: float


class CutHeader(Header, tag="cut"):
    job_id: _Id
    cursor: CursorHeader


class DoneHeader(Header, tag="done"):
    job_id: _Id
    cursor: CursorHeader
    state_kind: _Name | None
    frames: _Count
    duration_ms: float
    pts_base_ms: float
    generation_ms: float
    timings_ms: Annotated[dict[_Name, float], Meta(max_length=64)]
    peak_memory_mb: float | None


class ResultFramesHeader(Header, tag="result_frames"):
    job_id: _Id
    shape: tuple[_Count, _Count, _Count, _Count]


class RingFramesHeader(Header, tag="ring_frames"):
    job_id: _Id
    offset: _Count
    shape: tuple[_Count, _Count, _Count, _Count]
    first_frame: _Count
    total_frames: _Count


class ResultDoneHeader(Header, tag="result_done"):
    job_id: _Id
    state_kind: _Name | None
    audio_shape: tuple[_Count, _Count] | None


class EndedHeader(Header, tag="ended"):
    job_id: _Id
    busy_s: float | None
    fault: FaultHeader | None


AnyHeader: TypeAlias = (
    BootHeader
    | RunSegmentHeader
    | RunRequestHeader
    | CancelHeader
    | EncodeAheadHeader
    | ConsumedHeader
    | RingFreedHeader
    | HeartbeatHeader
    | WarmedUpHeader
    | ReadyHeader
    | BootFailedHeader
    | UnusableHeader
    | TakenHeader
    | StartedHeader
    | ProgressHeader
    | InitHeader
    | FragmentHeader
    | CutHeader
    | DoneHeader
    | ResultFramesHeader
    | RingFramesHeader
    | ResultDoneHeader
    | EndedHeader
)


class Envelope(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    header: AnyHeader
    sizes: Annotated[list[_Size], Meta(max_length=8)]


encode_header = msgspec.msgpack.Encoder().encode
decode_header = msgspec.msgpack.Decoder(Envelope).decode
