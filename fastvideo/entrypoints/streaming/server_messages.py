"""The messages of `WS /v1/stream` from the server to the client; its binary frames are media."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field, JsonValue

from fastvideo.entrypoints.streaming.message_base import (
    ADDED,
    BlockReason,
    CompletionReason,
    CorrelationId,
    ErrorCode,
    ErrorReason,
    Message,
    NoAnswerReason,
    PromptSource,
    RecordingReason,
    StateEnvelope,
    added,
)

DEFAULT_MIME = 'video/mp4; codecs="avc1.64001f, mp4a.40.2"'


class QueueStatus(Message):
    """Place in the queue, after a valid opening message; repeated only when something changed."""

    type: Literal["queue_status"] = "queue_status"
    position: int = Field(description="Sessions ahead of this one; 0 is next.")
    queue_depth: int = Field(description="Sessions that wait.")
    session_id: str | None = added("On the first one of a connection: the session's id.")
    resume_token: str | None = added("On the first one of a connection: what session_resume takes. It is secret.")
    resume_grace_seconds: float | None = added("How long the session waits for a client that lost its connection.")
    eta_ms: float | None = added("Estimated wait.")


class GpuAssigned(Message):
    """A worker took the session."""

    type: Literal["gpu_assigned"] = "gpu_assigned"
    gpu_id: int = Field(description="Index of the worker's device.")
    session_timeout: int = Field(description="Idle seconds after which the session ends.")
    model_id: str | None = added("The model that runs.")


class Ltx2StreamStart(Message):
    """The session is active; sizes are those of the segments to come."""

    type: Literal["ltx2_stream_start"] = "ltx2_stream_start"
    preset: str | None = Field(default=None, description="The preset of the opening message.")
    width: int = Field(description="Picture width in pixels.")
    height: int = Field(description="Picture height in pixels.")
    fps: int = Field(description="Frames per second.")
    num_frames: int = Field(description="Frames of a first segment.")
    limits: dict[str, int | float] | None = added("Bounds a request must keep, by name.")


class PromptEnhancement(Message):
    """What a language model made of a segment's prompt."""

    operation: Literal["enhance", "auto_extend"] = Field(description="Better words, or the story's next scene.")
    applied: bool = Field(description="Its words are used; otherwise the words that were there.")
    original: str = Field(description="The words that were there; the last prompt of the story for auto_extend.")
    provider: str | None = Field(default=None, description="Whose words are used.")
    model: str | None = Field(default=None, description="The model that wrote them.")
    fallback_used: bool | None = Field(default=None, description="It was not the first provider that answered.")
    reason: NoAnswerReason | None = Field(default=None, description="Why no answer is used.")
    latency_ms: float = Field(description="From the question to the answer, or to giving up.")


class Ltx2SegmentStart(Message):
    """A segment begins."""

    type: Literal["ltx2_segment_start"] = "ltx2_segment_start"
    segment_idx: int = Field(description="Counts from 0.")
    prompt: str = Field(description="The prompt it is made from.")
    total_steps: int = Field(description="Denoising steps to come.")
    source: PromptSource | None = added("Where the prompt came from; enhanced: a user's, in other words.")
    enhancement: PromptEnhancement | None = added("Present when a language model was asked.")


class StepComplete(Message):
    """A step of the running segment is done; at least one per segment, before `media_init`."""

    type: Literal["step_complete"] = "step_complete"
    segment_idx: int = Field(description="The running segment.")
    step: int = Field(description="Steps done.")
    total_steps: int = Field(description="Steps of this stage.")
    stage: str = Field(default="denoise", description="What is being done.")


class MediaInit(Message):
    """The binary messages that follow are this segment's fragmented MP4; the first is its init segment."""

    type: Literal["media_init"] = "media_init"
    segment_idx: int = Field(description="The segment.")
    mime: str = Field(default=DEFAULT_MIME, description="True type of the coded stream, for a SourceBuffer.")
    stream_id: str = Field(description="The same for the whole timeline.")
    mode: Literal["av_fmp4"] = Field(default="av_fmp4", description="Sound and picture in one fragmented MP4.")


class MediaSegmentComplete(Message):
    """The segment's last binary message was sent."""

    type: Literal["media_segment_complete"] = "media_segment_complete"
    segment_idx: int = Field(description="The segment.")
    stream_id: str = Field(description="The timeline.")
    chunks: int = Field(description="Fragments sent, without the init segment.")
    duration_ms: float | None = Field(default=None, description="Coded duration of the picture.")
    pts_base_ms: float | None = Field(default=None, description="Where the segment starts on the timeline.")
    bytes: int | None = added("Bytes sent, with the init segment.")
    first_sequence: int | None = added("Sequence number of its first fragment.")
    last_sequence: int | None = added("Sequence number of its last fragment.")


class SegmentTimings(Message):
    """Where a segment's time went, in milliseconds; a part that did not happen is absent."""

    prompt: float | None = Field(default=None, description="Waiting for a language model's words.")
    queue: float | None = Field(default=None, description="Waiting for the worker.")
    text: float | None = Field(default=None, description="Text encoding.")
    denoise: float | None = Field(default=None, description="Denoising.")
    refine: float | None = Field(default=None, description="Second, larger pass.")
    decode: float | None = Field(default=None, description="Latents to picture and sound.")
    encode: float | None = Field(default=None, description="Picture and sound to fragments.")
    first_fragment: float | None = Field(default=None, description="Start of the segment to its first fragment.")


class Ltx2SegmentComplete(Message):
    """The segment is generated, sent, and its state stored."""

    type: Literal["ltx2_segment_complete"] = "ltx2_segment_complete"
    segment_idx: int = Field(description="The segment.")
    generation_time_ms: float = Field(description="Time in the worker.")
    e2e_latency_ms: float | None = Field(default=None, description="Request to last byte handed to the socket.")
    timings: SegmentTimings | None = added("The parts of that time.")


class Ltx2StreamComplete(Message):
    """Nothing more will come; the close follows."""

    type: Literal["ltx2_stream_complete"] = "ltx2_stream_complete"
    reason: CompletionReason = Field(default="stop_requested", description="Why it ended.")


class SessionTimeout(Message):
    """The session was idle for too long; the close follows."""

    type: Literal["session_timeout"] = "session_timeout"
    timeout_seconds: int = Field(description="The limit that passed.")
    reason: str | None = added("What the server waited for.")


class ContinuationStateSnapshot(Message):
    """The session's state, self-contained; `kind` and `payload` stand at the top level as well."""

    type: Literal["continuation_state_snapshot"] = "continuation_state_snapshot"
    state: StateEnvelope = Field(description="Can be sent back in an opening message.")
    kind: str | None = added("The same as state.kind.")
    payload: dict[str, JsonValue] | None = added("The same as state.payload.")

    @classmethod
    def of(cls, state: StateEnvelope) -> ContinuationStateSnapshot:
        """The message for one state, in both documented shapes."""
        return cls(state=state, kind=state.kind, payload=state.payload)


class ErrorMessage(Message):
    """Something went wrong; a close follows when the session cannot go on."""

    type: Literal["error"] = "error"
    code: ErrorCode = Field(default="internal_error", description="One of seven documented values.")
    message: str = Field(description="A sentence for a person.")
    retryable: bool = Field(default=False, description="The same request may succeed later.")
    reason: ErrorReason | None = added("Refines the code.")
    retry_after: float | None = added("Seconds to wait before trying again.")


class PromptStatus(Message):
    """What became of a prompt that carried a `request_id`."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["prompt_status"] = "prompt_status"
    request_id: str = Field(description="The id of the prompt.")
    status: Literal["pending", "applied", "rejected"] = Field(description="Waiting, used by a segment, or refused.")
    reason: str | None = Field(default=None, description="Why it was refused.")


class RewriteSeedPromptsStarted(Message):
    """A rewrite is under way; `rewrite_seed_prompts_complete` follows."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["rewrite_seed_prompts_started"] = "rewrite_seed_prompts_started"
    seed_prompts: list[str] = Field(description="The prompts that are rewritten.")
    count: int = Field(description="Prompts asked for.")


class RewriteSeedPromptsComplete(Message):
    """What came of a rewrite. The curated prompts stay as they are until the client sends `seed_prompts_updated`."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["rewrite_seed_prompts_complete"] = "rewrite_seed_prompts_complete"
    alternatives: list[str] = Field(description="At most as many as asked for, in order; none when it failed.")
    provider: str | None = Field(default=None, description="Who wrote them.")
    model: str | None = Field(default=None, description="The model that wrote them.")
    fallback_used: bool | None = Field(default=None, description="It was not the first provider that answered.")
    reason: NoAnswerReason | None = Field(default=None, description="Why there are none.")
    latency_ms: float = Field(description="From the question to the answer, or to giving up.")


class SegmentCancelled(Message):
    """The running segment stopped because the client asked; what was sent of it stays valid."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["segment_cancelled"] = "segment_cancelled"
    segment_idx: int = Field(description="The segment that stopped.")


class GenerationBlocked(Message):
    """Nothing is left to generate from, or something holds it; sent when the session runs by itself."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["generation_blocked"] = "generation_blocked"
    reason: BlockReason | None = Field(default=None, description="What holds it.")


class GenerationResumed(Message):
    """Generation goes on after `generation_blocked`."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["generation_resumed"] = "generation_resumed"


class DeadlineMissed(Message):
    """Media came later than the viewer needed it, by the viewer's own `playback_status`."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["deadline_missed"] = "deadline_missed"
    late_ms: float = Field(description="How much too late.")


class RecordingStatus(Message):
    """Whether the session is recorded, after an opening message that asked for it; again when that ends early."""

    model_config = ConfigDict(json_schema_extra=ADDED)

    type: Literal["recording_status"] = "recording_status"
    state: Literal["recording", "ended", "unavailable"] = Field(description="What holds from here on.")
    reason: RecordingReason | None = Field(default=None, description="Why it ended, or why there is none.")


class Pong(Message):
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
    | RewriteSeedPromptsStarted
    | RewriteSeedPromptsComplete
    | SegmentCancelled
    | GenerationBlocked
    | GenerationResumed
    | DeadlineMissed
    | RecordingStatus
    | Pong,
    Field(discriminator="type"),
]
