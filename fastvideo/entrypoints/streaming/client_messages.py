"""The messages of `WS /v1/stream` from the client to the server."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field, JsonValue, model_validator
from pydantic_core import to_json

from fastvideo.entrypoints.streaming.message_base import (
    ADDED,
    MAX_REWRITES,
    CorrelationId,
    Count,
    Int64,
    Message,
    Milliseconds,
    Name,
    Prompts,
    PromptSource,
    StateEnvelope,
    StreamMode,
    Text,
    added,
)

MAX_EXTRA_BYTES = 65_536

_IMAGE_SCHEMA: dict[str, JsonValue] = {
    "properties": {
        "mime": {"type": "string", "description": "image/png, image/jpeg, image/jpg or image/webp"},
        "name": {"type": "string"},
        "data": {"type": "string", "contentEncoding": "base64"},
    },
}


class SessionInitV2(Message):
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
    record: bool | None = added("Asks the server to keep the session, prompts included; recording_status answers.")

    @model_validator(mode="after")
    def _extra_is_small(self) -> SessionInitV2:
        if self.model_extra and len(to_json(self.model_extra)) > MAX_EXTRA_BYTES:
            raise ValueError(f"keys this server does not know may take at most {MAX_EXTRA_BYTES} bytes of JSON")
        return self


class SessionResume(Message):
    """Opens a connection that goes on with a session that lost its own; sent instead of `session_init_v2`.

    The answer is a `queue_status` with a `session_id`, or an `error`. Then comes what the client does not have yet,
    beginning after the place that it names.
    """

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["session_resume"] = "session_resume"
    resume_token: Name = Field(description="What the last queue_status with a session_id gave for this purpose.")
    last_sequence: Count = Field(description="Number of the last fragment that arrived whole; 0 for none.")
    frames_after: Count = Field(
        default=0,
        description="Messages, text and binary, that arrived whole after that fragment, without answers to this one.",
    )


class SegmentPromptSource(Message):
    """Asks for a segment with this prompt; the sampling fields hold for this segment only."""

    type: Literal["segment_prompt_source"] = "segment_prompt_source"
    prompt: Text = Field(description="What the segment shows.")
    negative_prompt: Text | None = Field(default=None, description="What it avoids; empty clears the default.")
    source: PromptSource = Field(default="user", description="Who wrote the prompt.")
    seed: Int64 | None = Field(default=None, description="Seed of this segment.")
    num_inference_steps: Int64 | None = Field(default=None, description="Denoising steps of this segment.")
    guidance_scale: float | None = Field(default=None, description="Guidance of this segment.")
    request_id: Name | None = added("Asks for prompt_status messages that carry this id.")


class SeedPromptsUpdated(Message):
    """Replaces the curated prompts from the next segment on."""

    type: Literal["seed_prompts_updated"] = "seed_prompts_updated"
    seed_prompts: Prompts = Field(default=[], description="The new list; empty means none.")


class EnhancementUpdated(Message):
    """Turns prompt enhancement on or off from the next segment on."""

    type: Literal["enhancement_updated"] = "enhancement_updated"
    enabled: bool = Field(description="The new value.")


class AutoExtensionUpdated(Message):
    """Turns automatic extension on or off from the next segment on."""

    type: Literal["auto_extension_updated"] = "auto_extension_updated"
    enabled: bool = Field(description="The new value.")


class LoopGenerationUpdated(Message):
    """Turns looping of the curated prompts on or off from the next segment on."""

    type: Literal["loop_generation_updated"] = "loop_generation_updated"
    enabled: bool = Field(description="The new value.")


class GenerationPausedUpdated(Message):
    """Holds generation after the running segment, or lets it go on; prompts sent meanwhile wait."""

    type: Literal["generation_paused_updated"] = "generation_paused_updated"
    paused: bool = Field(description="The new value.")


class RewriteSeedPrompts(Message):
    """Asks a language model for other words for the curated prompts, or for the last prompt where there are none."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["rewrite_seed_prompts"] = "rewrite_seed_prompts"
    instruction: Text | None = Field(default=None, description="What to change; absent asks for variations.")
    count: Annotated[int, Field(ge=1, le=MAX_REWRITES)] | None = Field(
        default=None, description="Prompts wanted; absent is as many as there are, or 3 for a single one."
    )


class SnapshotState(Message):
    """Asks for the session's continuation state, answered with `continuation_state_snapshot`."""

    type: Literal["snapshot_state"] = "snapshot_state"


class SegmentCancel(Message):
    """Stops the running segment within one denoising step; the session goes on."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["segment_cancel"] = "segment_cancel"


class SessionStop(Message):
    """Ends the stream cleanly: `ltx2_stream_complete` with `stop_requested`, then close 1000."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["session_stop"] = "session_stop"


class PlaybackStatus(Message):
    """Tells how far the viewer is, so that the server can keep a lead without running away."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["playback_status"] = "playback_status"
    position_ms: Milliseconds = Field(description="The player's current time.")
    buffered_ms: Milliseconds = Field(description="End of the buffered range that holds the current time.")
    stalls: Count = Field(description="How often playback ran dry so far.")


class Ping(Message):
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
    | RewriteSeedPrompts
    | SnapshotState
    | SegmentCancel
    | SessionStop
    | PlaybackStatus
    | Ping,
    Field(discriminator="type"),
]
