"""The messages of `WS /v1/stream`, as pydantic models: the one source of the schema, the docs and the page's types.

Documented messages keep their names, fields, order and defaults. Whatever this server adds is marked with `ADDED`, is
optional for a client, and is listed in `docs/protocol.md`, which `scripts/generate_protocol.py` writes from here.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError, model_validator
from pydantic_core import InitErrorDetails, from_json, to_json

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
BlockReason: TypeAlias = Literal["paused", "segment_cap", "no_prompt", "cancelled", "worker_failed"]

DEFAULT_MIME = 'video/mp4; codecs="avc1.64001f, mp4a.40.2"'
MAX_NAME_CHARS = 256
MAX_TEXT_CHARS = 65_536
MAX_PROMPTS = 256
MAX_EXTRA_BYTES = 65_536
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

_IMAGE_SCHEMA: dict[str, JsonValue] = {
    "properties": {
        "mime": {"type": "string", "description": "image/png, image/jpeg, image/jpg or image/webp"},
        "name": {"type": "string"},
        "data": {"type": "string", "contentEncoding": "base64"},
    },
}


def _added(description: str) -> Any:
    """An optional extra key on a documented message."""
    return Field(default=None, description=description, json_schema_extra=ADDED)


class _Message(BaseModel):
    # Strict: `true` is no number and "3" is no integer. Unknown keys are ignored, so that either side may add some.
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class StateEnvelope(_Message):
    """A continuation state as it travels: `kind` names the format of `payload`, which is plain JSON."""

    kind: Name = Field(description="Format of the payload, for example ltx2.v1.")
    payload: dict[str, JsonValue] = Field(description="The state itself, self-contained.")


# ---------------------------------------------------------------- client to server


class SessionInitV2(_Message):
    """The opening message: how the session starts. Keys that nobody knows are kept with it, up to 64 KiB."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    type: Literal["session_init_v2"] = "session_init_v2"
    client_id: Name | None = Field(default=None, description="The client's own name, for logs.")
    preset: Name | None = Field(default=None, description="An inference preset or a name from configs/presets.")
    preset_label: Name | None = Field(default=None, description="How the client shows the preset.")
    curated_prompts: Prompts = Field(default=[], description="Prompts to play, in order, while the user is silent.")
    initial_image: dict[str, JsonValue] | None = Field(
        default=None,
        description="First picture: {mime, name?, data: base64}, at most 32 MiB.",
        json_schema_extra=_IMAGE_SCHEMA,
    )
    enhancement_enabled: bool = Field(default=False, description="Let a language model enrich prompts.")
    auto_extension_enabled: bool = Field(default=False, description="Go on with made-up prompts when none is left.")
    loop_generation_enabled: bool = Field(default=False, description="Start the curated prompts again at their end.")
    single_clip_mode: bool = Field(default=False, description="One clip per request, without a cap.")
    stream_mode: StreamMode = Field(default="av_fmp4", description="legacy_jpeg parses and is refused.")
    continuation_state: StateEnvelope | None = Field(default=None, description="Where the first segment goes on from.")

    @model_validator(mode="after")
    def _extra_is_small(self) -> SessionInitV2:
        if self.model_extra and len(to_json(self.model_extra)) > MAX_EXTRA_BYTES:
            raise ValueError(f"keys this server does not know may take at most {MAX_EXTRA_BYTES} bytes of JSON")
        return self


class SessionResume(_Message):
    """Opens a connection that goes on with a session that lost its own; sent instead of `session_init_v2`."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["session_resume"] = "session_resume"
    resume_token: Name = Field(description="What the server gave for this purpose.")
    last_sequence: Count = Field(description="Number of the last fragment that arrived whole.")


class SegmentPromptSource(_Message):
    """Asks for a segment with this prompt; the sampling fields hold for this segment only."""

    type: Literal["segment_prompt_source"] = "segment_prompt_source"
    prompt: Text = Field(description="What the segment shows.")
    negative_prompt: Text | None = Field(default=None, description="What it avoids; empty clears the default.")
    source: PromptSource = Field(default="user", description="Who wrote the prompt.")
    seed: Int64 | None = Field(default=None, description="Seed of this segment.")
    num_inference_steps: Int64 | None = Field(default=None, description="Denoising steps of this segment.")
    guidance_scale: float | None = Field(default=None, description="Guidance of this segment.")
    request_id: Name | None = _added("Asks for prompt_status messages that carry this id.")


class SeedPromptsUpdated(_Message):
    """Replaces the curated prompts from the next segment on."""

    type: Literal["seed_prompts_updated"] = "seed_prompts_updated"
    seed_prompts: Prompts = Field(default=[], description="The new list; empty means none.")


class EnhancementUpdated(_Message):
    """Turns prompt enhancement on or off from the next segment on."""

    type: Literal["enhancement_updated"] = "enhancement_updated"
    enabled: bool = Field(description="The new value.")


class AutoExtensionUpdated(_Message):
    """Turns automatic extension on or off from the next segment on."""

    type: Literal["auto_extension_updated"] = "auto_extension_updated"
    enabled: bool = Field(description="The new value.")


class LoopGenerationUpdated(_Message):
    """Turns looping of the curated prompts on or off from the next segment on."""

    type: Literal["loop_generation_updated"] = "loop_generation_updated"
    enabled: bool = Field(description="The new value.")


class GenerationPausedUpdated(_Message):
    """Holds generation after the running segment, or lets it go on; prompts sent meanwhile wait."""

    type: Literal["generation_paused_updated"] = "generation_paused_updated"
    paused: bool = Field(description="The new value.")


class SnapshotState(_Message):
    """Asks for the session's continuation state, answered with `continuation_state_snapshot`."""

    type: Literal["snapshot_state"] = "snapshot_state"


class SegmentCancel(_Message):
    """Stops the running segment within one denoising step; the session goes on."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["segment_cancel"] = "segment_cancel"


class SessionStop(_Message):
    """Ends the stream cleanly: `ltx2_stream_complete` with `stop_requested`, then close 1000."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["session_stop"] = "session_stop"


class PlaybackStatus(_Message):
    """Tells how far the viewer is, so that the server can keep a lead without running away."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["playback_status"] = "playback_status"
    position_ms: Milliseconds = Field(description="The player's current time.")
    buffered_ms: Milliseconds = Field(description="End of the buffered range that holds the current time.")
    stalls: Count = Field(description="How often playback ran dry so far.")


class Ping(_Message):
    """Asks for a `pong` with the same id, also while a segment runs."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["ping"] = "ping"
    id: CorrelationId = Field(description="Echoed as it came.")


ClientMessage: TypeAlias = Annotated[
    SessionInitV2
    | SessionResume
    | SegmentPromptSource
    | SeedPromptsUpdated
    | EnhancementUpdated
    | AutoExtensionUpdated
    | LoopGenerationUpdated
    | GenerationPausedUpdated
    | SnapshotState
    | SegmentCancel
    | SessionStop
    | PlaybackStatus
    | Ping,
    Field(discriminator="type"),
]

# ---------------------------------------------------------------- server to client


class QueueStatus(_Message):
    """Place in the queue, after a valid opening message; repeated only when something changed."""

    type: Literal["queue_status"] = "queue_status"
    position: int = Field(description="Sessions ahead of this one; 0 is next.")
    queue_depth: int = Field(description="Sessions that wait.")
    session_id: str | None = _added("On the first one: the session's id.")
    eta_ms: float | None = _added("Estimated wait.")


class GpuAssigned(_Message):
    """A worker took the session."""

    type: Literal["gpu_assigned"] = "gpu_assigned"
    gpu_id: int = Field(description="Index of the worker's device.")
    session_timeout: int = Field(description="Idle seconds after which the session ends.")
    model_id: str | None = _added("The model that runs.")


class Ltx2StreamStart(_Message):
    """The session is active; sizes are those of the segments to come."""

    type: Literal["ltx2_stream_start"] = "ltx2_stream_start"
    preset: str | None = Field(default=None, description="The preset of the opening message.")
    width: int = Field(description="Picture width in pixels.")
    height: int = Field(description="Picture height in pixels.")
    fps: int = Field(description="Frames per second.")
    num_frames: int = Field(description="Frames of a first segment.")
    limits: dict[str, int | float] | None = _added("Bounds a request must keep, by name.")


class Ltx2SegmentStart(_Message):
    """A segment begins."""

    type: Literal["ltx2_segment_start"] = "ltx2_segment_start"
    segment_idx: int = Field(description="Counts from 0.")
    prompt: str = Field(description="The prompt it is made from.")
    total_steps: int = Field(description="Denoising steps to come.")
    source: PromptSource | None = _added("Where the prompt came from.")


class StepComplete(_Message):
    """A step of the running segment is done; at least one per segment, before `media_init`."""

    type: Literal["step_complete"] = "step_complete"
    segment_idx: int = Field(description="The running segment.")
    step: int = Field(description="Steps done.")
    total_steps: int = Field(description="Steps of this stage.")
    stage: str = Field(default="denoise", description="What is being done.")


class MediaInit(_Message):
    """The binary messages that follow are this segment's fragmented MP4; the first is its init segment."""

    type: Literal["media_init"] = "media_init"
    segment_idx: int = Field(description="The segment.")
    mime: str = Field(default=DEFAULT_MIME, description="True type of the coded stream, for a SourceBuffer.")
    stream_id: str = Field(description="The same for the whole timeline.")
    mode: Literal["av_fmp4"] = Field(default="av_fmp4", description="Sound and picture in one fragmented MP4.")


class MediaSegmentComplete(_Message):
    """The segment's last binary message was sent."""

    type: Literal["media_segment_complete"] = "media_segment_complete"
    segment_idx: int = Field(description="The segment.")
    stream_id: str = Field(description="The timeline.")
    chunks: int = Field(description="Fragments sent, without the init segment.")
    duration_ms: float | None = Field(default=None, description="Coded duration of the picture.")
    pts_base_ms: float | None = Field(default=None, description="Where the segment starts on the timeline.")
    bytes: int | None = _added("Bytes sent, with the init segment.")
    first_sequence: int | None = _added("Sequence number of its first fragment.")
    last_sequence: int | None = _added("Sequence number of its last fragment.")


class SegmentTimings(_Message):
    """Where a segment's time went, in milliseconds; a part that did not happen is absent."""

    queue: float | None = Field(default=None, description="Waiting for the worker.")
    text: float | None = Field(default=None, description="Text encoding.")
    denoise: float | None = Field(default=None, description="Denoising.")
    refine: float | None = Field(default=None, description="Second, larger pass.")
    decode: float | None = Field(default=None, description="Latents to picture and sound.")
    encode: float | None = Field(default=None, description="Picture and sound to fragments.")
    first_fragment: float | None = Field(default=None, description="Start of the segment to its first fragment.")


class Ltx2SegmentComplete(_Message):
    """The segment is generated, sent, and its state stored."""

    type: Literal["ltx2_segment_complete"] = "ltx2_segment_complete"
    segment_idx: int = Field(description="The segment.")
    generation_time_ms: float = Field(description="Time in the worker.")
    e2e_latency_ms: float | None = Field(default=None, description="Request to last byte handed to the socket.")
    timings: SegmentTimings | None = _added("The parts of that time.")


class Ltx2StreamComplete(_Message):
    """Nothing more will come; the close follows."""

    type: Literal["ltx2_stream_complete"] = "ltx2_stream_complete"
    reason: CompletionReason = Field(default="stop_requested", description="Why it ended.")


class SessionTimeout(_Message):
    """The session was idle for too long; the close follows."""

    type: Literal["session_timeout"] = "session_timeout"
    timeout_seconds: int = Field(description="The limit that passed.")
    reason: str | None = _added("What the server waited for.")


class ContinuationStateSnapshot(_Message):
    """The session's state, self-contained; `kind` and `payload` stand at the top level as well."""

    type: Literal["continuation_state_snapshot"] = "continuation_state_snapshot"
    state: StateEnvelope = Field(description="Can be sent back in an opening message.")
    kind: str | None = _added("The same as state.kind.")
    payload: dict[str, JsonValue] | None = _added("The same as state.payload.")

    @classmethod
    def of(cls, kind: str, payload: dict[str, Any]) -> ContinuationStateSnapshot:
        """The message for one state, in both documented shapes."""
        return cls(state=StateEnvelope(kind=kind, payload=payload), kind=kind, payload=payload)


class ErrorMessage(_Message):
    """Something went wrong; a close follows when the session cannot go on."""

    type: Literal["error"] = "error"
    code: ErrorCode = Field(default="internal_error", description="One of seven documented values.")
    message: str = Field(description="A sentence for a person.")
    retryable: bool = Field(default=False, description="The same request may succeed later.")
    reason: ErrorReason | None = _added("Refines the code.")
    retry_after: float | None = _added("Seconds to wait before trying again.")


class PromptStatus(_Message):
    """What became of a prompt that carried a `request_id`."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["prompt_status"] = "prompt_status"
    request_id: str = Field(description="The id of the prompt.")
    status: Literal["pending", "applied", "rejected"] = Field(description="Waiting, used by a segment, or refused.")
    reason: str | None = Field(default=None, description="Why it was refused.")


class SegmentCancelled(_Message):
    """The running segment stopped because the client asked; what was sent of it stays valid."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["segment_cancelled"] = "segment_cancelled"
    segment_idx: int = Field(description="The segment that stopped.")


class GenerationBlocked(_Message):
    """Nothing is left to generate from, or something holds it; sent when the session runs by itself."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["generation_blocked"] = "generation_blocked"
    reason: BlockReason | None = Field(default=None, description="What holds it.")


class GenerationResumed(_Message):
    """Generation goes on after `generation_blocked`."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["generation_resumed"] = "generation_resumed"


class DeadlineMissed(_Message):
    """Media came later than the viewer needed it, by the viewer's own `playback_status`."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["deadline_missed"] = "deadline_missed"
    late_ms: float = Field(description="How much too late.")


class Pong(_Message):
    """The answer to `ping`."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["pong"] = "pong"
    id: CorrelationId = Field(description="The id of the ping.")


ServerMessage: TypeAlias = Annotated[
    QueueStatus
    | GpuAssigned
    | Ltx2StreamStart
    | Ltx2SegmentStart
    | StepComplete
    | MediaInit
    | MediaSegmentComplete
    | Ltx2SegmentComplete
    | Ltx2StreamComplete
    | SessionTimeout
    | ContinuationStateSnapshot
    | ErrorMessage
    | PromptStatus
    | SegmentCancelled
    | GenerationBlocked
    | GenerationResumed
    | DeadlineMissed
    | Pong,
    Field(discriminator="type"),
]


# ---------------------------------------------------------------- reading and writing


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
    """Reads one text frame. Text that is no JSON raises `pydantic.ValidationError` too (type `json_invalid`)."""
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
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        detail = InitErrorDetails(type="json_invalid", input=None, ctx={"error": str(error)})
        raise ValidationError.from_exception_data(title, [detail]) from None
