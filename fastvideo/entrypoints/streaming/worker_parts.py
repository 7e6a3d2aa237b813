"""Each message between a pool and its workers taken apart into a header and buffers, and put together again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from fastvideo.api.parser import config_to_dict, parse_config
from fastvideo.api.schema import GeneratorConfig, GpuPoolConfig, RequestLimits
from fastvideo.entrypoints.streaming.worker_buffers import Buffer, at_least, exactly, packed
from fastvideo.entrypoints.streaming.worker_events import event_apart, event_together
from fastvideo.entrypoints.streaming.worker_headers import (
    AnyHeader,
    BootFailedHeader,
    BootHeader,
    CancelHeader,
    ConsumedHeader,
    CutHeader,
    DoneHeader,
    EncodeAheadHeader,
    EndedHeader,
    FaultHeader,
    FragmentHeader,
    HeartbeatHeader,
    InitHeader,
    ProgressHeader,
    ReadyHeader,
    ResultDoneHeader,
    ResultFramesHeader,
    RingFramesHeader,
    RingFreedHeader,
    RunRequestHeader,
    RunSegmentHeader,
    StartedHeader,
    TakenHeader,
    UnusableHeader,
    WarmedUpHeader,
)
from fastvideo.entrypoints.streaming.worker_jobs import job_apart, job_together, request_apart, request_together
from fastvideo.entrypoints.streaming.worker_messages import (
    Boot,
    BootFailed,
    Cancel,
    Consumed,
    EncodeAhead,
    Fault,
    Heartbeat,
    JobEnded,
    JobEvent,
    JobTaken,
    Message,
    Ready,
    ResultDone,
    ResultFrames,
    RingFrames,
    RingFreed,
    RunRequest,
    RunSegment,
    Unusable,
    WarmedUp,
)
from fastvideo.entrypoints.streaming.worker_results import result_apart, result_together

T = TypeVar("T")


def take_apart(message: Message) -> tuple[AnyHeader, Sequence[Buffer]]:
    """A message as its header and buffers.

    Raises ConfigValidationError, StateInvalid or WireError for what JSON cannot say.
    """
    match message:
        case Boot():
            configs = [
                packed(config_to_dict(config, json_safe=True))
                for config in (message.generator, message.pool, message.limits)
            ]
            if message.warmup is None:
                return BootHeader(warmup=None, heartbeat_s=message.heartbeat_s), configs
            job, buffers = job_apart(message.warmup)
            return BootHeader(warmup=job, heartbeat_s=message.heartbeat_s), [*configs, *buffers]
        case RunSegment():
            job, buffers = job_apart(message.job)
            return RunSegmentHeader(job_id=message.job_id, job=job), buffers
        case RunRequest():
            kind, buffers = request_apart(message.request)
            return RunRequestHeader(job_id=message.job_id, state_kind=kind), buffers
        case Cancel():
            return CancelHeader(job_id=message.job_id), []
        case EncodeAhead():
            kind, buffers = request_apart(message.request)
            return EncodeAheadHeader(job_id=message.job_id, state_kind=kind), buffers
        case Consumed():
            return ConsumedHeader(job_id=message.job_id, size_bytes=message.size_bytes), []
        case RingFreed():
            return RingFreedHeader(offset=message.offset), []
        case Heartbeat():
            return HeartbeatHeader(), []
        case WarmedUp():
            return WarmedUpHeader(generation_ms=message.generation_ms), []
        case Ready():
            return ReadyHeader(model_id=message.model_id), []
        case BootFailed():
            return BootFailedHeader(fault=_fault_apart(message.fault)), []
        case Unusable():
            return UnusableHeader(reason=message.reason), []
        case JobTaken():
            return TakenHeader(job_id=message.job_id), []
        case JobEvent():
            return event_apart(message.job_id, message.event)
        case RingFrames():
            return RingFramesHeader(
                job_id=message.job_id,
                offset=message.offset,
                shape=message.shape,
                first_frame=message.first_frame,
                total_frames=message.total_frames,
            ), []
        case ResultFrames():
            frames = np.ascontiguousarray(message.frames, np.uint8)
            first, second, third, fourth = frames.shape
            return ResultFramesHeader(job_id=message.job_id, shape=(first, second, third, fourth)), [_raw(frames)]
        case ResultDone():
            return result_apart(message.job_id, message.result)
        case JobEnded():
            fault = None if message.fault is None else _fault_apart(message.fault)
            return EndedHeader(job_id=message.job_id, busy_s=message.busy_s, fault=fault), []


def put_together(header: AnyHeader, buffers: list[Buffer]) -> Message:
    """The message that a header and its buffers are.

    Raises WireError, another FastVideoError, MsgspecError, ValueError or TypeError for what is none.
    """
    match header:
        case BootHeader():
            generator, pool, limits, *rest = at_least(buffers, 3)
            warmup = None if header.warmup is None else job_together(header.warmup, rest)
            if warmup is None:
                exactly(rest, 0)
            return Boot(
                _unpacked_config(GeneratorConfig, generator),
                _unpacked_config(GpuPoolConfig, pool),
                _unpacked_config(RequestLimits, limits),
                warmup,
                header.heartbeat_s,
            )
        case RunSegmentHeader():
            return RunSegment(header.job_id, job_together(header.job, buffers))
        case RunRequestHeader():
            return RunRequest(header.job_id, request_together(header.state_kind, buffers))
        case EncodeAheadHeader():
            return EncodeAhead(header.job_id, request_together(header.state_kind, buffers))
        case ResultFramesHeader():
            (data,) = exactly(buffers, 1)
            return ResultFrames(header.job_id, np.frombuffer(data, np.uint8).reshape(header.shape))
        case ResultDoneHeader():
            return ResultDone(header.job_id, result_together(header, buffers))
        case StartedHeader() | ProgressHeader() | InitHeader() | FragmentHeader() | CutHeader() | DoneHeader():
            return JobEvent(header.job_id, event_together(header, buffers))
    exactly(buffers, 0)
    match header:
        case CancelHeader():
            return Cancel(header.job_id)
        case ConsumedHeader():
            return Consumed(header.job_id, header.size_bytes)
        case RingFreedHeader():
            return RingFreed(header.offset)
        case RingFramesHeader():
            return RingFrames(header.job_id, header.offset, header.shape, header.first_frame, header.total_frames)
        case HeartbeatHeader():
            return Heartbeat()
        case WarmedUpHeader():
            return WarmedUp(header.generation_ms)
        case ReadyHeader():
            return Ready(header.model_id)
        case UnusableHeader():
            return Unusable(header.reason)
        case TakenHeader():
            return JobTaken(header.job_id)
        case BootFailedHeader():
            return BootFailed(_fault_together(header.fault))
        case EndedHeader():
            fault = None if header.fault is None else _fault_together(header.fault)
            return JobEnded(header.job_id, header.busy_s, fault)


def _fault_apart(fault: Fault) -> FaultHeader:
    return FaultHeader(**{f.name: getattr(fault, f.name) for f in fields(fault)})


def _fault_together(header: FaultHeader) -> Fault:
    return Fault(**msgspec.structs.asdict(header))


def _unpacked_config(config_type: type[T], data: Buffer) -> T:
    return parse_config(config_type, msgspec.msgpack.decode(data, type=dict[str, Any]))


def _raw(array: NDArray[np.uint8]) -> memoryview:
    return array.reshape(-1).data
