"""The bytes between a pool and its worker processes: a fixed prefix, a msgpack header, then raw buffers.

``magic`` "FVW1", header length (u32), body length (u64), all little-endian. The header names the message and the sizes
of its buffers; what can be large (media, states, requests) is a buffer, which is neither copied into the header nor
parsed on the way. Nothing is unpickled, every length is bounded, and whatever else does not fit is a WireError.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any, TypeAlias, TypeVar

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fastvideo.api.errors import FastVideoError, StateInvalid
from fastvideo.api.parser import config_to_dict, parse_config
from fastvideo.api.request_metadata import bind_generation_request_raw, get_explicit_paths
from fastvideo.api.results import GenerationResult
from fastvideo.api.schema import ContinuationState, GenerationRequest, GeneratorConfig, GpuPoolConfig, RequestLimits
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentCut,
    SegmentDone,
    SegmentEvent,
    SegmentFragment,
    SegmentInit,
    SegmentJob,
    SegmentProgress,
    SegmentStarted,
)
from fastvideo.entrypoints.streaming.worker_headers import (
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    MAX_NAME_CHARS,
    AnyHeader,
    BootFailedHeader,
    BootHeader,
    CancelHeader,
    ConsumedHeader,
    CursorHeader,
    CutHeader,
    DoneHeader,
    EndedHeader,
    Envelope,
    FaultHeader,
    FragmentHeader,
    HeartbeatHeader,
    InitHeader,
    JobHeader,
    ProgressHeader,
    ReadyHeader,
    ResultDoneHeader,
    ResultFramesHeader,
    RunRequestHeader,
    RunSegmentHeader,
    StartedHeader,
    TakenHeader,
    WarmedUpHeader,
    decode_header,
    encode_header,
)
from fastvideo.entrypoints.streaming.worker_messages import (
    Boot,
    BootFailed,
    Cancel,
    Consumed,
    Fault,
    Heartbeat,
    JobEnded,
    JobEvent,
    JobTaken,
    Message,
    Ready,
    ResultDone,
    ResultFrames,
    RunRequest,
    RunSegment,
    WarmedUp,
)
from fastvideo.media.timeline import MediaCursor

MAGIC = b"FVW1"
_PREFIX = struct.Struct("<4sIQ")
PREFIX_BYTES = _PREFIX.size

Buffer: TypeAlias = bytes | bytearray | memoryview
T = TypeVar("T")


class WireError(FastVideoError):
    """Bytes that are no message of this protocol; the connection cannot be used any more."""


# --- framing


def encode(message: Message) -> list[Buffer]:
    """A message as buffers to write one after the other. Raises ConfigValidationError or StateInvalid for a request or
    state that holds more than JSON values, WireError for one beyond the bounds."""
    header, buffers = _take_apart(message)
    envelope = encode_header(Envelope(header, [len(buffer) for buffer in buffers]))
    body_bytes = sum(len(buffer) for buffer in buffers)
    if len(envelope) > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
        raise WireError(
            f"{type(message).__name__}: a header of {len(envelope)} and a body of {body_bytes} bytes are more than "
            f"{MAX_HEADER_BYTES} and {MAX_BODY_BYTES}"
        )
    return [_PREFIX.pack(MAGIC, len(envelope), body_bytes) + envelope, *(buffer for buffer in buffers if len(buffer))]


class MessageReader:
    """Turns what arrives, in pieces of any size, into messages."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._wanted = PREFIX_BYTES

    def feed(self, data: Buffer) -> Iterator[Message]:
        """The messages that are whole now. Raises WireError for bytes that are none; nothing can be read after it."""
        self._received += data
        while len(self._received) >= self._wanted:
            header_bytes, body_bytes = self._lengths()
            self._wanted = PREFIX_BYTES + header_bytes + body_bytes
            if len(self._received) < self._wanted:
                return
            whole = bytes(memoryview(self._received)[PREFIX_BYTES : self._wanted])
            del self._received[: self._wanted]
            self._wanted = PREFIX_BYTES
            yield _decode(whole, header_bytes)

    @property
    def in_message(self) -> bool:
        """Whether the end of what arrived lies within a message."""
        return bool(self._received)

    def _lengths(self) -> tuple[int, int]:
        magic, header_bytes, body_bytes = _PREFIX.unpack_from(self._received)
        if magic != MAGIC:
            raise WireError(f"expected a message, which begins with {MAGIC!r}, got {magic!r}")
        if header_bytes > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
            raise WireError(f"a header of {header_bytes} and a body of {body_bytes} bytes are beyond the bounds")
        return header_bytes, body_bytes


def _decode(whole: bytes, header_bytes: int) -> Message:
    try:
        envelope = decode_header(memoryview(whole)[:header_bytes])
        if header_bytes + sum(envelope.sizes) != len(whole):
            raise WireError(f"buffers of {envelope.sizes} bytes do not fill a body of {len(whole) - header_bytes}")
        buffers, start = [], header_bytes
        for size in envelope.sizes:
            buffers.append(whole[start : start + size])
            start += size
        return _put_together(envelope.header, buffers)
    except WireError:
        raise
    except (msgspec.MsgspecError, FastVideoError, ValueError, TypeError, RecursionError) as error:
        raise WireError(f"a message that cannot be read: {error}") from error


# --- messages to headers and buffers


def _take_apart(message: Message) -> tuple[AnyHeader, Sequence[Buffer]]:
    match message:
        case Boot():
            configs = [
                _packed(config_to_dict(config, json_safe=True))
                for config in (message.generator, message.pool, message.limits)
            ]
            if message.warmup is None:
                return BootHeader(warmup=None, heartbeat_s=message.heartbeat_s), configs
            job, buffers = _job_apart(message.warmup)
            return BootHeader(warmup=job, heartbeat_s=message.heartbeat_s), [*configs, *buffers]
        case RunSegment():
            job, buffers = _job_apart(message.job)
            return RunSegmentHeader(job_id=message.job_id, job=job), buffers
        case RunRequest():
            kind, buffers = _request_apart(message.request)
            return RunRequestHeader(job_id=message.job_id, state_kind=kind), buffers
        case Cancel():
            return CancelHeader(job_id=message.job_id), []
        case Consumed():
            return ConsumedHeader(job_id=message.job_id, size_bytes=message.size_bytes), []
        case Heartbeat():
            return HeartbeatHeader(), []
        case WarmedUp():
            return WarmedUpHeader(generation_ms=message.generation_ms), []
        case Ready():
            return ReadyHeader(model_id=message.model_id), []
        case BootFailed():
            return BootFailedHeader(fault=_fault_apart(message.fault)), []
        case JobTaken():
            return TakenHeader(job_id=message.job_id), []
        case JobEvent():
            return _event_apart(message.job_id, message.event)
        case ResultFrames():
            frames = np.ascontiguousarray(message.frames, np.uint8)
            first, second, third, fourth = frames.shape
            return ResultFramesHeader(job_id=message.job_id, shape=(first, second, third, fourth)), [_raw(frames)]
        case ResultDone():
            return _result_apart(message.job_id, message.result)
        case JobEnded():
            fault = None if message.fault is None else _fault_apart(message.fault)
            return EndedHeader(job_id=message.job_id, busy_s=message.busy_s, fault=fault), []


def _put_together(header: AnyHeader, buffers: list[bytes]) -> Message:
    match header:
        case BootHeader():
            generator, pool, limits, *rest = _at_least(buffers, 3)
            warmup = None if header.warmup is None else _job_together(header.warmup, rest)
            if warmup is None:
                _exactly(rest, 0)
            return Boot(
                _unpacked_config(GeneratorConfig, generator),
                _unpacked_config(GpuPoolConfig, pool),
                _unpacked_config(RequestLimits, limits),
                warmup,
                header.heartbeat_s,
            )
        case RunSegmentHeader():
            return RunSegment(header.job_id, _job_together(header.job, buffers))
        case RunRequestHeader():
            return RunRequest(header.job_id, _request_together(header.state_kind, buffers))
        case ResultFramesHeader():
            (data,) = _exactly(buffers, 1)
            return ResultFrames(header.job_id, np.frombuffer(data, np.uint8).reshape(header.shape))
        case ResultDoneHeader():
            return ResultDone(header.job_id, _result_together(header, buffers))
        case StartedHeader() | ProgressHeader() | InitHeader() | FragmentHeader() | CutHeader() | DoneHeader():
            return JobEvent(header.job_id, _event_together(header, buffers))
    _exactly(buffers, 0)
    match header:
        case CancelHeader():
            return Cancel(header.job_id)
        case ConsumedHeader():
            return Consumed(header.job_id, header.size_bytes)
        case HeartbeatHeader():
            return Heartbeat()
        case WarmedUpHeader():
            return WarmedUp(header.generation_ms)
        case ReadyHeader():
            return Ready(header.model_id)
        case TakenHeader():
            return JobTaken(header.job_id)
        case BootFailedHeader():
            return BootFailed(_fault_together(header.fault))
        case EndedHeader():
            fault = None if header.fault is None else _fault_together(header.fault)
            return JobEnded(header.job_id, header.busy_s, fault)


def _event_apart(job_id: int, event: SegmentEvent) -> tuple[AnyHeader, Sequence[Buffer]]:
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
            cursor, tail = _cursor_apart(event.cursor)
            return CutHeader(job_id=job_id, cursor=cursor), [tail]
        case SegmentDone():
            cursor, tail = _cursor_apart(event.cursor)
            kind, payload = _state_apart(event.state)
            done = DoneHeader(
                job_id=job_id,
                cursor=cursor,
                state_kind=kind,
                frames=event.frames,
                duration_ms=event.duration_ms,
                pts_base_ms=event.pts_base_ms,
                generation_ms=event.generation_ms,
                timings_ms=event.timings_ms,
            )
            return done, [tail, payload]


def _event_together(
    header: StartedHeader | ProgressHeader | InitHeader | FragmentHeader | CutHeader | DoneHeader, buffers: list[bytes]
) -> SegmentEvent:
    match header:
        case StartedHeader():
            _exactly(buffers, 0)
            return SegmentStarted(header.total_steps, header.queue_ms)
        case ProgressHeader():
            _exactly(buffers, 0)
            return SegmentProgress(header.step, header.total_steps, header.stage)
        case InitHeader():
            return SegmentInit(header.mime, _exactly(buffers, 1)[0])
        case FragmentHeader():
            return SegmentFragment(_exactly(buffers, 1)[0], header.sequence, header.pts_ms, header.duration_ms)
        case CutHeader():
            return SegmentCut(_cursor_together(header.cursor, _exactly(buffers, 1)[0]))
        case DoneHeader():
            tail, payload = _exactly(buffers, 2)
            return SegmentDone(
                _cursor_together(header.cursor, tail),
                _state_together(header.state_kind, payload),
                header.frames,
                header.duration_ms,
                header.pts_base_ms,
                header.generation_ms,
                header.timings_ms,
            )


# --- their parts


def _job_apart(job: SegmentJob) -> tuple[JobHeader, list[Buffer]]:
    cursor, tail = _cursor_apart(job.cursor)
    kind, buffers = _request_apart(job.request)
    header = JobHeader(
        cursor=cursor,
        segment_idx=job.segment_idx,
        encoder=job.encoder,
        burn_in_timecode=job.burn_in_timecode,
        state_kind=kind,
    )
    return header, [tail, *buffers]


def _job_together(header: JobHeader, buffers: list[bytes]) -> SegmentJob:
    tail, *rest = _exactly(buffers, 3)
    request = _request_together(header.state_kind, rest)
    cursor = _cursor_together(header.cursor, tail)
    return SegmentJob(request, cursor, header.segment_idx, header.encoder, header.burn_in_timecode)


def _request_apart(request: GenerationRequest) -> tuple[str | None, list[Buffer]]:
    """The request's values and which of them its author set; its state beside them, as it may be large.

    It is parsed here too, so that a worker never meets one that it cannot read.
    """
    kind, payload = _state_apart(request.state)
    values = {f.name: getattr(request, f.name) for f in fields(request) if f.name != "state"}
    plain = {name: config_to_dict(value, json_safe=True) for name, value in values.items()}
    parse_config(GenerationRequest, plain)
    return kind, [_packed({"values": plain, "explicit": sorted(get_explicit_paths(request))}), payload]


class _Request(Struct, frozen=True, forbid_unknown_fields=True):
    values: dict[str, Any]
    explicit: list[str]


def _request_together(state_kind: str | None, buffers: list[bytes]) -> GenerationRequest:
    data, payload = _exactly(buffers, 2)
    read = msgspec.msgpack.decode(data, type=_Request)
    request = parse_config(GenerationRequest, read.values)
    request.state = _state_together(state_kind, payload)
    # Only the names of a request's fields and of its parts' count, so what lies deeper may be cut off.
    explicit: dict[str, dict[str, None]] = {}
    for path in read.explicit:
        first, _, rest = path.partition(".")
        part = explicit.setdefault(first, {})
        if rest:
            part[rest.partition(".")[0]] = None
    return bind_generation_request_raw(request, explicit)


def _state_apart(state: ContinuationState | None) -> tuple[str | None, bytes]:
    if state is None:
        return None, b""
    if len(state.kind) > MAX_NAME_CHARS or not all(isinstance(key, str) for key in state.payload):
        raise StateInvalid(f"a state needs a kind of at most {MAX_NAME_CHARS} characters and keys that are text")
    try:
        return state.kind, _packed(state.payload)
    except WireError as error:
        raise StateInvalid("the state's payload holds more than JSON values") from error


def _state_together(kind: str | None, payload: bytes) -> ContinuationState | None:
    if kind is None:
        _exactly([payload] if payload else [], 0)
        return None
    return ContinuationState(kind, msgspec.msgpack.decode(payload, type=dict[str, Any]))


def _cursor_apart(cursor: MediaCursor) -> tuple[CursorHeader, bytes]:
    values = {name: getattr(cursor, name) for name in CursorHeader.__struct_fields__}
    return CursorHeader(**values), cursor.tail


def _cursor_together(header: CursorHeader, tail: bytes) -> MediaCursor:
    values = msgspec.structs.asdict(header)
    return MediaCursor.from_dict({**values, "tail": base64.b64encode(tail).decode("ascii")})


def _fault_apart(fault: Fault) -> FaultHeader:
    return FaultHeader(**{f.name: getattr(fault, f.name) for f in fields(fault)})


def _fault_together(header: FaultHeader) -> Fault:
    return Fault(**msgspec.structs.asdict(header))


_RESULT_KEYS = ("prompt", "prompt_index", "audio_sample_rate", "size", "generation_time", "peak_memory_mb", "extra")


def _result_apart(job_id: int, result: GenerationResult) -> tuple[AnyHeader, Sequence[Buffer]]:
    kind, payload = _state_apart(result.state)
    shape, sound = None, b""
    if result.audio is not None:
        audio = np.ascontiguousarray(np.atleast_2d(result.audio), np.float32)
        shape, sound = (audio.shape[0], audio.shape[1]), audio.tobytes()
    values = {name: _plain(getattr(result, name)) for name in _RESULT_KEYS}
    return ResultDoneHeader(job_id=job_id, state_kind=kind, audio_shape=shape), [_packed(values), payload, sound]


def _result_together(header: ResultDoneHeader, buffers: list[bytes]) -> GenerationResult:
    data, payload, sound = _exactly(buffers, 3)
    values = msgspec.msgpack.decode(data, type=dict[str, Any])
    if set(values) != set(_RESULT_KEYS) or not isinstance(values["extra"], dict):
        raise WireError(f"expected a result with the keys {', '.join(_RESULT_KEYS)}")
    if values["size"] is not None:
        values["size"] = tuple(values["size"])
    result = GenerationResult(**values, state=_state_together(header.state_kind, payload))
    if header.audio_shape is None:
        _exactly([sound] if sound else [], 0)
        return result
    return replace(result, audio=np.frombuffer(sound, np.float32).reshape(header.audio_shape))


def _plain(value: Any) -> Any:
    """JSON values as they are; of anything else that a generator adds, what JSON can say."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(key): _plain(child) for key, child in value.items() if _sayable(child)}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value if _sayable(child)]
    return value if _sayable(value) else None


def _sayable(value: Any) -> bool:
    return value is None or isinstance(value, str | bool | int | float | list | tuple | dict | np.generic)


def _packed(value: Any) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise WireError(f"values that are not JSON: {error}") from error


def _unpacked_config(config_type: type[T], data: bytes) -> T:
    return parse_config(config_type, msgspec.msgpack.decode(data, type=dict[str, Any]))


def _raw(array: NDArray[np.uint8]) -> memoryview:
    return array.reshape(-1).data


def _at_least(buffers: list[bytes], count: int) -> list[bytes]:
    if len(buffers) < count:
        raise WireError(f"expected at least {count} buffers, got {len(buffers)}")
    return buffers


def _exactly(buffers: list[bytes], count: int) -> list[bytes]:
    if len(buffers) != count:
        raise WireError(f"expected {count} buffers, got {len(buffers)}")
    return buffers
