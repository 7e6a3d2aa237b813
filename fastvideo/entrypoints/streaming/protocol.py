"""The protocol of `WS /v1/stream`: its messages as pydantic models, and how they are read and written.

The models are the one source of the schema, the docs and the page's types (`scripts/generate_protocol.py`). Documented
messages keep their names, fields, order and defaults. Whatever this server adds is marked with `ADDED`, is optional for
a client, and is listed in `docs/protocol.md`. Import messages from here; the modules named below hold them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, from_json

from fastvideo.entrypoints.streaming.client_messages import (
    MAX_EXTRA_BYTES,
    AutoExtensionUpdated,
    ClientMessage,
    EnhancementUpdated,
    GenerationPausedUpdated,
    LoopGenerationUpdated,
    Ping,
    PlaybackStatus,
    RewriteSeedPrompts,
    SeedPromptsUpdated,
    SegmentCancel,
    SegmentPromptSource,
    SessionInitV2,
    SessionResume,
    SessionStop,
    SnapshotState,
)
from fastvideo.entrypoints.streaming.message_base import (
    ADDED,
    MAX_NAME_CHARS,
    MAX_REWRITES,
    MAX_TEXT_CHARS,
    BlockReason,
    CompletionReason,
    ErrorCode,
    ErrorReason,
    NoAnswerReason,
    PromptSource,
    RecordingReason,
    StateEnvelope,
    StreamMode,
)
from fastvideo.entrypoints.streaming.server_messages import (
    ContinuationStateSnapshot,
    DeadlineMissed,
    ErrorMessage,
    GenerationBlocked,
    GenerationResumed,
    GpuAssigned,
    Ltx2SegmentComplete,
    Ltx2SegmentStart,
    Ltx2StreamComplete,
    Ltx2StreamStart,
    MediaInit,
    MediaSegmentComplete,
    Pong,
    PromptEnhancement,
    PromptStatus,
    QueueStatus,
    RecordingStatus,
    RewriteSeedPromptsComplete,
    RewriteSeedPromptsStarted,
    SegmentCancelled,
    SegmentTimings,
    ServerMessage,
    SessionTimeout,
    StepComplete,
)

__all__ = [
    "ADDED",
    "MAX_EXTRA_BYTES",
    "MAX_NAME_CHARS",
    "MAX_REWRITES",
    "MAX_TEXT_CHARS",
    "AutoExtensionUpdated",
    "BlockReason",
    "ClientMessage",
    "CompletionReason",
    "ContinuationStateSnapshot",
    "DeadlineMissed",
    "EnhancementUpdated",
    "ErrorCode",
    "ErrorMessage",
    "ErrorReason",
    "GenerationBlocked",
    "GenerationPausedUpdated",
    "GenerationResumed",
    "GpuAssigned",
    "LoopGenerationUpdated",
    "Ltx2SegmentComplete",
    "Ltx2SegmentStart",
    "Ltx2StreamComplete",
    "Ltx2StreamStart",
    "MediaInit",
    "MediaSegmentComplete",
    "NoAnswerReason",
    "Ping",
    "PlaybackStatus",
    "Pong",
    "PromptEnhancement",
    "PromptSource",
    "PromptStatus",
    "QueueStatus",
    "RecordingReason",
    "RecordingStatus",
    "RewriteSeedPrompts",
    "RewriteSeedPromptsComplete",
    "RewriteSeedPromptsStarted",
    "SeedPromptsUpdated",
    "SegmentCancel",
    "SegmentCancelled",
    "SegmentPromptSource",
    "SegmentTimings",
    "ServerMessage",
    "SessionInitV2",
    "SessionResume",
    "SessionStop",
    "SessionTimeout",
    "SnapshotState",
    "StateEnvelope",
    "StepComplete",
    "StreamMode",
    "client_adapter",
    "encode_client_message",
    "encode_server_message",
    "parse_client_message",
    "parse_client_text",
    "parse_server_text",
    "server_adapter",
]

# Commas and opening brackets of one message, also those in its texts.
MAX_JSON_MARKS = 100_000
TOO_MANY_VALUES = "too_many_values"


@cache
def client_adapter() -> TypeAdapter[ClientMessage]:
    """Validates any client message by its `type`."""
    return TypeAdapter(ClientMessage)


@cache
def server_adapter() -> TypeAdapter[ServerMessage]:
    """Validates any server message by its `type`."""
    return TypeAdapter(ServerMessage)


def parse_client_message(raw: dict[str, Any]) -> ClientMessage:
    """Reads one client message; an unknown or missing `type`, or a wrong field, raises `pydantic.ValidationError`."""
    return client_adapter().validate_python(raw)


def parse_client_text(text: str | bytes) -> ClientMessage:
    """Reads one text frame. Text that is no JSON, or has too many values, raises `pydantic.ValidationError` too
    (types `json_invalid`, `too_many_values`)."""
    return client_adapter().validate_python(_json_value(text, "ClientMessage"))


def parse_server_text(text: str | bytes) -> ServerMessage:
    """Reads one text frame from a server, for clients; raises `pydantic.ValidationError`."""
    return server_adapter().validate_python(_json_value(text, "ServerMessage"))


def encode_server_message(message: ServerMessage) -> str:
    """JSON of one server message; keys whose value is null are left out."""
    return message.model_dump_json(exclude_none=True)


def encode_client_message(message: ClientMessage) -> str:
    """JSON of one client message; keys whose value is null are left out."""
    return message.model_dump_json(exclude_none=True)


def _json_value(text: str | bytes, title: str) -> Any:
    # A value takes two bytes of text and a hundred of memory.
    marks = sum(text.count(mark.encode()) if isinstance(text, bytes) else text.count(mark) for mark in ",[{")
    if marks > MAX_JSON_MARKS:
        detail = InitErrorDetails(type=PydanticCustomError(TOO_MANY_VALUES, "too many values"), input=None)
        raise ValidationError.from_exception_data(title, [detail])
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        detail = InitErrorDetails(type="json_invalid", input=None, ctx={"error": str(error)})
        raise ValidationError.from_exception_data(title, [detail]) from None
