"""Jobs, requests and the states and cursors that they carry, as headers and buffers and back."""

from __future__ import annotations

import base64
from dataclasses import fields
from typing import Any

import msgspec
from msgspec import Struct

from fastvideo.api.errors import StateInvalid
from fastvideo.api.parser import config_to_dict, parse_config
from fastvideo.api.request_metadata import bind_generation_request_raw, get_explicit_paths
from fastvideo.api.schema import ContinuationState, GenerationRequest
from fastvideo.entrypoints.streaming.segment_events import SegmentJob
from fastvideo.entrypoints.streaming.worker_buffers import Buffer, WireError, exactly, packed
from fastvideo.entrypoints.streaming.worker_headers import MAX_NAME_CHARS, CursorHeader, JobHeader
from fastvideo.media.timeline import MediaCursor


def job_apart(job: SegmentJob) -> tuple[JobHeader, list[Buffer]]:
    """A segment's job: cursor tail, request, state."""
    cursor, tail = cursor_apart(job.cursor)
    kind, buffers = request_apart(job.request)
    header = JobHeader(
        cursor=cursor,
        segment_idx=job.segment_idx,
        encoder=job.encoder,
        burn_in_timecode=job.burn_in_timecode,
        state_kind=kind,
    )
    return header, [tail, *buffers]


def job_together(header: JobHeader, buffers: list[Buffer]) -> SegmentJob:
    """The job again. Raises WireError, ConfigValidationError or ValueError for what is none."""
    tail, *rest = exactly(buffers, 3)
    request = request_together(header.state_kind, rest)
    cursor = cursor_together(header.cursor, tail)
    return SegmentJob(request, cursor, header.segment_idx, header.encoder, header.burn_in_timecode)


def request_apart(request: GenerationRequest) -> tuple[str | None, list[Buffer]]:
    """The request's values and which of them its author set; its state beside them, as it may be large.

    It is parsed here too, so that a worker never meets one that it cannot read.
    """
    kind, payload = state_apart(request.state)
    values = {f.name: getattr(request, f.name) for f in fields(request) if f.name != "state"}
    plain = {name: config_to_dict(value, json_safe=True) for name, value in values.items()}
    parse_config(GenerationRequest, plain)
    return kind, [packed({"values": plain, "explicit": sorted(get_explicit_paths(request))}), payload]


class _Request(Struct, frozen=True, forbid_unknown_fields=True):
    values: dict[str, Any]
    explicit: list[str]


def request_together(state_kind: str | None, buffers: list[Buffer]) -> GenerationRequest:
    """The request with its state, knowing which of its fields its author set."""
    data, payload = exactly(buffers, 2)
    read = msgspec.msgpack.decode(data, type=_Request)
    request = parse_config(GenerationRequest, read.values)
    request.state = state_together(state_kind, payload)
    # Only the names of a request's fields and of its parts' count, so what lies deeper may be cut off.
    explicit: dict[str, dict[str, None]] = {}
    for path in read.explicit:
        first, _, rest = path.partition(".")
        part = explicit.setdefault(first, {})
        if rest:
            part[rest.partition(".")[0]] = None
    return bind_generation_request_raw(request, explicit)


def state_apart(state: ContinuationState | None) -> tuple[str | None, bytes]:
    """A state's kind and its payload as msgpack. Raises StateInvalid for one that holds more than JSON values."""
    if state is None:
        return None, b""
    if len(state.kind) > MAX_NAME_CHARS or not all(isinstance(key, str) for key in state.payload):
        raise StateInvalid(f"a state needs a kind of at most {MAX_NAME_CHARS} characters and keys that are text")
    try:
        return state.kind, packed(state.payload)
    except WireError as error:
        raise StateInvalid("the state's payload holds more than JSON values") from error


def state_together(kind: str | None, payload: Buffer) -> ContinuationState | None:
    """The state again; none without a kind."""
    if kind is None:
        exactly([payload] if payload else [], 0)
        return None
    return ContinuationState(kind, msgspec.msgpack.decode(payload, type=dict[str, Any]))


def cursor_apart(cursor: MediaCursor) -> tuple[CursorHeader, bytes]:
    """A cursor's numbers, and its last samples."""
    values = {name: getattr(cursor, name) for name in CursorHeader.__struct_fields__}
    return CursorHeader(**values), cursor.tail


def cursor_together(header: CursorHeader, tail: Buffer) -> MediaCursor:
    """The cursor again. Raises ValueError for one that cannot be."""
    values = msgspec.structs.asdict(header)
    return MediaCursor.from_dict({**values, "tail": base64.b64encode(tail).decode("ascii")})
