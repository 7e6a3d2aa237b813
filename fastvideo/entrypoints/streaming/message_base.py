"""What client and server messages of the stream share: words, bounds, the mark of an addition, the base model."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue

StreamMode: TypeAlias = Literal["av_fmp4", "legacy_jpeg"]
PromptSource: TypeAlias = Literal["curated", "enhanced", "user", "auto_extension"]
ErrorCode: TypeAlias = Literal[
    "session_rejected",
    "invalid_message",
    "preset_mismatch",
    "gpu_unavailable",
    "worker_failed",
    "upstream_timeout",
    "internal_error",
]
ErrorReason: TypeAlias = Literal[
    "prompt_blocked",
    "limit_exceeded",
    "rate_limited",
    "resume_unknown",
    "resume_expired",
    "state_invalid",
    "image_invalid",
    "unauthorized",
    "draining",
]
CompletionReason: TypeAlias = Literal["segment_cap", "stop_requested", "error"]
BlockReason: TypeAlias = Literal["paused", "segment_cap", "no_prompt", "cancelled", "worker_failed", "prompt_blocked"]
# Why a language model's words are not used: the failures of the prompt package, and our own safety check.
NoAnswerReason: TypeAlias = Literal[
    "not_configured", "rejected", "rate_limited", "unavailable", "timeout", "malformed", "empty", "refused", "blocked"
]
RecordingReason: TypeAlias = Literal[
    "not_offered",
    "session_limit",
    "storage_limit",
    "disk_full",
    "disk_failed",
    "disk_too_slow",
    "format_changed",
    "media_invalid",
    "deleted",
    "resumed",
    "shutdown",
]

MAX_NAME_CHARS = 256
MAX_TEXT_CHARS = 65_536
MAX_PROMPTS = 256
MAX_REWRITES = 16
MAX_DURATION_MS = 1e12

# Whatever a client may leave out without breaking the documented contract carries this mark.
ADDED: dict[str, JsonValue] = {"x-addition": True}

Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Name = Annotated[str, Field(max_length=MAX_NAME_CHARS)]
Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
Prompts = Annotated[list[Text], Field(max_length=MAX_PROMPTS, fail_fast=True)]
Milliseconds = Annotated[float, Field(ge=0, le=MAX_DURATION_MS)]
CorrelationId = Annotated[str, Field(max_length=MAX_NAME_CHARS)] | Int64


def added(description: str) -> Any:
    """An optional extra key on a documented message."""
    return Field(default=None, description=description, json_schema_extra=ADDED)


class Message(BaseModel):
    """Base of all messages."""

    # Strict: `true` is no number and "3" is no integer. Unknown keys are ignored, so that either side may add some.
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class StateEnvelope(Message):
    """A continuation state as it travels: `kind` names the format of `payload`, which is plain JSON."""

    kind: Name = Field(description="Format of the payload, for example ltx2.v1.")
    payload: dict[str, JsonValue] = Field(description="The state itself, self-contained.")
    signature: Name | None = Field(
        default=None, description="That this service gave it out; to be brought back with it, where there is one."
    )
