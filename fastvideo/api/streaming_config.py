"""The live stream: who generates, how sessions wait, pause, resume and are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from fastvideo.api.prompt_config import PromptEnhancerConfig, PromptSafetyConfig
from fastvideo.api.strict_config import StrictConfig


@dataclass
class WarmupConfig(StrictConfig):
    """Two small generations before the first user, the second fed with the first one's state."""

    enabled: bool = True
    prompt: str = "A lighthouse on a green headland at dawn, waves rolling in below, slow aerial shot, soft warm light"
    timeout_seconds: int = 2400


@dataclass
class GpuPoolConfig(StrictConfig):
    """Who generates, and how segments are joined.

    ``conditioning_num_frames``: trailing frames that the next segment continues from (8k+1);
    ``conditioning_end_offset``: frames dropped at a segment's end before those are taken;
    ``sessions_per_worker``: sessions admitted per worker, whose segments take turns;
    ``idle_yield_seconds``: a session idle for longer gives its place to one that waits;
    ``segment_timeout_seconds`` and ``worker_memory_gib`` (resident): a worker process beyond either is replaced;
    ``ray_address``: host:port of a Ray cluster, or auto for this machine's; None is RAY_ADDRESS, else one of its own.
    """

    num_workers: int | None = None
    enable_audio_reencode: bool = True
    conditioning_num_frames: int = 9
    conditioning_end_offset: int = 0
    backend: Literal["auto", "in_process", "subprocess", "ray"] = "auto"
    sessions_per_worker: int = 4
    idle_yield_seconds: float = 20.0
    segment_timeout_seconds: float = 600.0
    worker_memory_gib: float | None = None
    ray_address: str | None = None


@dataclass
class QueueConfig(StrictConfig):
    """Sessions that may wait for a worker; one more is rejected."""

    max_length: int = 256


@dataclass
class PacingConfig(StrictConfig):
    """How far automatic generation may run ahead of the viewer, in seconds of video; ``encode_ahead``: whether a worker
    encodes the next segment's text while it makes this one."""

    lead_seconds: float = 8.0
    encode_ahead: bool = True


@dataclass
class StoresConfig(StrictConfig):
    """Where what sessions keep between segments lies, as URLs; ``ttl_seconds``: how long after it was written."""

    sessions: str = "memory:"
    blobs: str = "memory:"
    ttl_seconds: PositiveFloat = 3600.0


@dataclass
class ResumeConfig(StrictConfig):
    """How long a session waits for a client that lost its connection; 0 is not at all."""

    grace_seconds: NonNegativeFloat = 30.0


@dataclass
class RequestLimits(StrictConfig):
    """What one request may ask for. ``max_pixels`` is height x width; ``max_model_requests_per_minute``: how often one
    session may have a language model asked."""

    min_size_px: int = 32
    max_width_px: int = 3840
    max_height_px: int = 3840
    max_pixels: int = 2_359_296
    max_num_frames: int = 489
    min_fps: int = 1
    max_fps: int = 60
    max_num_inference_steps: int = 100
    max_guidance_scale: float = 50.0
    max_prompt_chars: int = 4000
    max_queued_prompts: int = 32
    max_curated_prompts: int = 64
    max_model_requests_per_minute: int = 120


@dataclass
class RecordingsConfig(StrictConfig):
    """Recordings that clients may ask for; without ``dir`` none are made.

    ``max_bytes``, ``max_count`` and ``max_age_seconds`` bound all together: the oldest that ended go first.
    ``max_session_bytes`` ends a recording, and not its stream. ``listing``: who may see which recordings there are;
    whoever knows a session's id may always see that one.
    """

    dir: str | None = None
    max_bytes: PositiveInt = 10_737_418_240
    max_count: PositiveInt = 1000
    max_age_seconds: PositiveInt = 604_800
    max_session_bytes: Annotated[int, Field(gt=0, le=2_147_483_647)] = 1_073_741_824
    listing: Literal["loopback", "everyone", "nobody"] = "loopback"


@dataclass
class StreamingConfig(StrictConfig):
    """The live stream; its presence in a serve file selects the WebSocket server.

    ``drain_timeout_seconds``: how long segments that are running may take to end when the server shuts down.
    """

    session_timeout_seconds: int = 300
    generation_segment_cap: int = 6
    stream_mode: Literal["av_fmp4", "legacy_jpeg"] = "av_fmp4"
    warmup: WarmupConfig = field(default_factory=WarmupConfig)
    pool: GpuPoolConfig = field(default_factory=GpuPoolConfig)
    prompt: PromptEnhancerConfig = field(default_factory=PromptEnhancerConfig)
    safety: PromptSafetyConfig = field(default_factory=PromptSafetyConfig)
    max_sessions: int = 64
    queue: QueueConfig = field(default_factory=QueueConfig)
    at_cap: Literal["end", "pause"] = "end"
    pacing: PacingConfig = field(default_factory=PacingConfig)
    stores: StoresConfig = field(default_factory=StoresConfig)
    resume: ResumeConfig = field(default_factory=ResumeConfig)
    session_log_dir: str | None = None
    encoder: Literal["auto", "libx264", "h264_nvenc"] = "auto"
    burn_in_timecode: bool = False
    limits: RequestLimits = field(default_factory=RequestLimits)
    drain_timeout_seconds: PositiveFloat = 30.0
    recordings: RecordingsConfig = field(default_factory=RecordingsConfig)
