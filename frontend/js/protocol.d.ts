// Written by scripts/generate_protocol.py from fastvideo/entrypoints/streaming/protocol.py; do not edit.

export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };

export type StreamMode = "av_fmp4" | "legacy_jpeg";

export type PromptSource = "curated" | "enhanced" | "user" | "auto_extension";

export type ErrorCode = "session_rejected" | "invalid_message" | "preset_mismatch" | "gpu_unavailable" | "worker_failed" | "upstream_timeout" | "internal_error";

export type ErrorReason = "prompt_blocked" | "limit_exceeded" | "rate_limited" | "resume_unknown" | "resume_expired" | "state_invalid" | "image_invalid" | "unauthorized" | "draining";

export type CompletionReason = "segment_cap" | "stop_requested" | "error";

export type BlockReason = "paused" | "segment_cap" | "no_prompt" | "cancelled" | "worker_failed" | "prompt_blocked";

/** Turns automatic extension on or off from the next segment on. */
export interface AutoExtensionUpdated {
  type: "auto_extension_updated";
  /** The new value. */
  enabled: boolean;
}

/** The session's state, self-contained; `kind` and `payload` stand at the top level as well. */
export interface ContinuationStateSnapshot {
  type: "continuation_state_snapshot";
  /** Can be sent back in an opening message. */
  state: StateEnvelope;
  /** The same as state.kind. */
  kind?: string;
  /** The same as state.payload. */
  payload?: { [key: string]: JsonValue };
}

/** Media came later than the viewer needed it, by the viewer's own `playback_status`. */
export interface DeadlineMissed {
  type: "deadline_missed";
  /** How much too late. */
  late_ms: number;
}

/** Turns prompt enhancement on or off from the next segment on. */
export interface EnhancementUpdated {
  type: "enhancement_updated";
  /** The new value. */
  enabled: boolean;
}

/** Something went wrong; a close follows when the session cannot go on. */
export interface ErrorMessage {
  type: "error";
  /** One of seven documented values. */
  code: ErrorCode;
  /** A sentence for a person. */
  message: string;
  /** The same request may succeed later. */
  retryable: boolean;
  /** Refines the code. */
  reason?: ErrorReason;
  /** Seconds to wait before trying again. */
  retry_after?: number;
}

/** Nothing is left to generate from, or something holds it; sent when the session runs by itself. */
export interface GenerationBlocked {
  type: "generation_blocked";
  /** What holds it. */
  reason?: BlockReason;
}

/** Holds generation after the running segment, or lets it go on; prompts sent meanwhile wait. */
export interface GenerationPausedUpdated {
  type: "generation_paused_updated";
  /** The new value. */
  paused: boolean;
}

/** Generation goes on after `generation_blocked`. */
export interface GenerationResumed {
  type: "generation_resumed";
}

/** A worker took the session. */
export interface GpuAssigned {
  type: "gpu_assigned";
  /** Index of the worker's device. */
  gpu_id: number;
  /** Idle seconds after which the session ends. */
  session_timeout: number;
  /** The model that runs. */
  model_id?: string;
}

/** Turns looping of the curated prompts on or off from the next segment on. */
export interface LoopGenerationUpdated {
  type: "loop_generation_updated";
  /** The new value. */
  enabled: boolean;
}

/** The segment is generated, sent, and its state stored. */
export interface Ltx2SegmentComplete {
  type: "ltx2_segment_complete";
  /** The segment. */
  segment_idx: number;
  /** Time in the worker. */
  generation_time_ms: number;
  /** Request to last byte handed to the socket. */
  e2e_latency_ms?: number;
  /** The parts of that time. */
  timings?: SegmentTimings;
}

/** A segment begins. */
export interface Ltx2SegmentStart {
  type: "ltx2_segment_start";
  /** Counts from 0. */
  segment_idx: number;
  /** The prompt it is made from. */
  prompt: string;
  /** Denoising steps to come. */
  total_steps: number;
  /** Where the prompt came from; enhanced: a user's, in other words. */
  source?: PromptSource;
  /** Present when a language model was asked. */
  enhancement?: PromptEnhancement;
}

/** Nothing more will come; the close follows. */
export interface Ltx2StreamComplete {
  type: "ltx2_stream_complete";
  /** Why it ended. */
  reason: CompletionReason;
}

/** The session is active; sizes are those of the segments to come. */
export interface Ltx2StreamStart {
  type: "ltx2_stream_start";
  /** The preset of the opening message. */
  preset?: string;
  /** Picture width in pixels. */
  width: number;
  /** Picture height in pixels. */
  height: number;
  /** Frames per second. */
  fps: number;
  /** Frames of a first segment. */
  num_frames: number;
  /** Bounds a request must keep, by name. */
  limits?: { [key: string]: number };
}

/** The binary messages that follow are this segment's fragmented MP4; the first is its init segment. */
export interface MediaInit {
  type: "media_init";
  /** The segment. */
  segment_idx: number;
  /** True type of the coded stream, for a SourceBuffer. */
  mime: string;
  /** The same for the whole timeline. */
  stream_id: string;
  /** Sound and picture in one fragmented MP4. */
  mode: "av_fmp4";
}

/** The segment's last binary message was sent. */
export interface MediaSegmentComplete {
  type: "media_segment_complete";
  /** The segment. */
  segment_idx: number;
  /** The timeline. */
  stream_id: string;
  /** Fragments sent, without the init segment. */
  chunks: number;
  /** Coded duration of the picture. */
  duration_ms?: number;
  /** Where the segment starts on the timeline. */
  pts_base_ms?: number;
  /** Bytes sent, with the init segment. */
  bytes?: number;
  /** Sequence number of its first fragment. */
  first_sequence?: number;
  /** Sequence number of its last fragment. */
  last_sequence?: number;
}

/** Asks for a `pong` with the same id, also while a segment runs. */
export interface Ping {
  type: "ping";
  /** Echoed as it came. */
  id: string | number;
}

/** Tells how far the viewer is, so that the server can keep a lead without running away. */
export interface PlaybackStatus {
  type: "playback_status";
  /** The player's current time. */
  position_ms: number;
  /** End of the buffered range that holds the current time. */
  buffered_ms: number;
  /** How often playback ran dry so far. */
  stalls: number;
}

/** The answer to `ping`. */
export interface Pong {
  type: "pong";
  /** The id of the ping. */
  id: string | number;
}

/** What a language model made of a segment's prompt. */
export interface PromptEnhancement {
  /** Better words, or the story's next scene. */
  operation: "enhance" | "auto_extend";
  /** Its words are used; otherwise the words that were there. */
  applied: boolean;
  /** The words that were there; the last prompt of the story for auto_extend. */
  original: string;
  /** Whose words are used. */
  provider?: string | null;
  /** The model that wrote them. */
  model?: string | null;
  /** It was not the first provider that answered. */
  fallback_used?: boolean | null;
  /** Why no answer is used. */
  reason?: "not_configured" | "rejected" | "rate_limited" | "unavailable" | "timeout" | "malformed" | "empty" | "refused" | "blocked" | null;
  /** From the question to the answer, or to giving up. */
  latency_ms: number;
}

/** What became of a prompt that carried a `request_id`. */
export interface PromptStatus {
  type: "prompt_status";
  /** The id of the prompt. */
  request_id: string;
  /** Waiting, used by a segment, or refused. */
  status: "pending" | "applied" | "rejected";
  /** Why it was refused. */
  reason?: string;
}

/** Place in the queue, after a valid opening message; repeated only when something changed. */
export interface QueueStatus {
  type: "queue_status";
  /** Sessions ahead of this one; 0 is next. */
  position: number;
  /** Sessions that wait. */
  queue_depth: number;
  /** On the first one of a connection: the session's id. */
  session_id?: string;
  /** On the first one of a connection: what session_resume takes. It is secret. */
  resume_token?: string;
  /** How long the session waits for a client that lost its connection. */
  resume_grace_seconds?: number;
  /** Estimated wait. */
  eta_ms?: number;
}

/** Whether the session is recorded, after an opening message that asked for it; again when that ends early. */
export interface RecordingStatus {
  type: "recording_status";
  /** What holds from here on. */
  state: "recording" | "ended" | "unavailable";
  /** Why it ended, or why there is none. */
  reason?: "not_offered" | "session_limit" | "storage_limit" | "disk_full" | "disk_failed" | "disk_too_slow" | "format_changed" | "media_invalid" | "deleted" | "resumed" | "shutdown";
}

/** Asks a language model for other words for the curated prompts, or for the last prompt where there are none. */
export interface RewriteSeedPrompts {
  type: "rewrite_seed_prompts";
  /** What to change; absent asks for variations. */
  instruction?: string | null;
  /** Prompts wanted; absent is as many as there are, or 3 for a single one. */
  count?: number | null;
}

/** What came of a rewrite. The curated prompts stay as they are until the client sends `seed_prompts_updated`. */
export interface RewriteSeedPromptsComplete {
  type: "rewrite_seed_prompts_complete";
  /** At most as many as asked for, in order; none when it failed. */
  alternatives: string[];
  /** Who wrote them. */
  provider?: string;
  /** The model that wrote them. */
  model?: string;
  /** It was not the first provider that answered. */
  fallback_used?: boolean;
  /** Why there are none. */
  reason?: "not_configured" | "rejected" | "rate_limited" | "unavailable" | "timeout" | "malformed" | "empty" | "refused" | "blocked";
  /** From the question to the answer, or to giving up. */
  latency_ms: number;
}

/** A rewrite is under way; `rewrite_seed_prompts_complete` follows. */
export interface RewriteSeedPromptsStarted {
  type: "rewrite_seed_prompts_started";
  /** The prompts that are rewritten. */
  seed_prompts: string[];
  /** Prompts asked for. */
  count: number;
}

/** Replaces the curated prompts from the next segment on. */
export interface SeedPromptsUpdated {
  type: "seed_prompts_updated";
  /** The new list; empty means none. */
  seed_prompts?: string[];
}

/** Stops the running segment within one denoising step; the session goes on. */
export interface SegmentCancel {
  type: "segment_cancel";
}

/** The running segment stopped because the client asked; what was sent of it stays valid. */
export interface SegmentCancelled {
  type: "segment_cancelled";
  /** The segment that stopped. */
  segment_idx: number;
}

/** Asks for a segment with this prompt; the sampling fields hold for this segment only. */
export interface SegmentPromptSource {
  type: "segment_prompt_source";
  /** What the segment shows. */
  prompt: string;
  /** What it avoids; empty clears the default. */
  negative_prompt?: string | null;
  /** Who wrote the prompt. */
  source?: PromptSource;
  /** Seed of this segment. */
  seed?: number | null;
  /** Denoising steps of this segment. */
  num_inference_steps?: number | null;
  /** Guidance of this segment. */
  guidance_scale?: number | null;
  /** Asks for prompt_status messages that carry this id. */
  request_id?: string | null;
}

/** Where a segment's time went, in milliseconds; a part that did not happen is absent. */
export interface SegmentTimings {
  /** Waiting for a language model's words. */
  prompt?: number;
  /** Waiting for the worker. */
  queue?: number;
  /** Text encoding. */
  text?: number;
  /** Denoising. */
  denoise?: number;
  /** Second, larger pass. */
  refine?: number;
  /** Latents to picture and sound. */
  decode?: number;
  /** Picture and sound to fragments. */
  encode?: number;
  /** Start of the segment to its first fragment. */
  first_fragment?: number;
}

/** The opening message: how the session starts. Keys that nobody knows are kept with it, up to 64 KiB. */
export interface SessionInitV2 {
  type: "session_init_v2";
  /** The client's own name, for logs. */
  client_id?: string | null;
  /** An inference preset or a name from configs/presets. */
  preset?: string | null;
  /** How the client shows the preset. */
  preset_label?: string | null;
  /** Prompts to play, in order, while the user is silent. */
  curated_prompts?: string[];
  /** First picture: {mime, name?, data: base64}, at most 32 MiB. */
  initial_image?: { mime?: string; name?: string; data?: string } | null;
  /** Let a language model enrich prompts. */
  enhancement_enabled?: boolean;
  /** Go on with made-up prompts when none is left. */
  auto_extension_enabled?: boolean;
  /** Start the curated prompts again at their end. */
  loop_generation_enabled?: boolean;
  /** One clip per request, without a cap. */
  single_clip_mode?: boolean;
  /** legacy_jpeg parses and is refused. */
  stream_mode?: StreamMode;
  /** Where the first segment goes on from. */
  continuation_state?: StateEnvelope | null;
  /** Asks the server to keep the session, prompts included; recording_status answers. */
  record?: boolean | null;
}

/** Opens a connection that goes on with a session that lost its own; sent instead of `session_init_v2`. The answer is a `queue_status` with a `session_id`, or an `error`. Then comes what the client does not have yet, beginning after the place that it names. */
export interface SessionResume {
  type: "session_resume";
  /** What the last queue_status with a session_id gave for this purpose. */
  resume_token: string;
  /** Number of the last fragment that arrived whole; 0 for none. */
  last_sequence: number;
  /** Messages, text and binary, that arrived whole after that fragment, without answers to this one. */
  frames_after?: number;
}

/** Ends the stream cleanly: `ltx2_stream_complete` with `stop_requested`, then close 1000. */
export interface SessionStop {
  type: "session_stop";
}

/** The session was idle for too long; the close follows. */
export interface SessionTimeout {
  type: "session_timeout";
  /** The limit that passed. */
  timeout_seconds: number;
  /** What the server waited for. */
  reason?: string;
}

/** Asks for the session's continuation state, answered with `continuation_state_snapshot`. */
export interface SnapshotState {
  type: "snapshot_state";
}

/** A continuation state as it travels: `kind` names the format of `payload`, which is plain JSON. */
export interface StateEnvelope {
  /** Format of the payload, for example ltx2.v1. */
  kind: string;
  /** The state itself, self-contained. */
  payload: { [key: string]: JsonValue };
  /** That this service gave it out; to be brought back with it, where there is one. */
  signature?: string | null;
}

/** A step of the running segment is done; at least one per segment, before `media_init`. */
export interface StepComplete {
  type: "step_complete";
  /** The running segment. */
  segment_idx: number;
  /** Steps done. */
  step: number;
  /** Steps of this stage. */
  total_steps: number;
  /** What is being done. */
  stage: string;
}

export type ClientMessage =
  | SessionInitV2
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
  | Ping;

export type ServerMessage =
  | QueueStatus
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
  | Pong;
