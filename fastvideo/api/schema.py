"""The typed configuration of generators, requests and servers.

Plain dataclasses, importable without torch or a web framework. ``__pydantic_config__`` makes the parser strict:
unknown keys, wrong types (a bool is no int) and non-finite numbers are errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from fastvideo.api.request_metadata import tracked

_STRICT: dict[str, Any] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


class _Strict:
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT


# --- generator ------------------------------------------------------------------------------------------------------


@dataclass
class ParallelismConfig(_Strict):
    """How one model is spread over GPUs; -1 derives the size from ``num_gpus``."""

    tp_size: int = -1
    sp_size: int = -1
    hsdp_replicate_dim: int = 1
    hsdp_shard_dim: int = -1
    dist_timeout: int | None = None


@dataclass
class OffloadConfig(_Strict):
    """Which parts may leave the GPU between uses; without a GPU there is nothing to offload."""

    dit: bool = True
    dit_layerwise: bool = True
    text_encoder: bool = True
    image_encoder: bool = True
    vae: bool = True
    pin_cpu_memory: bool = True


@dataclass
class CompileConfig(_Strict):
    """``torch.compile`` per part; a non-empty ``*_kwargs`` replaces the shared arguments for that part."""

    enabled: bool = False
    backend: str | None = None
    mode: str | None = None
    fullgraph: bool | None = None
    dynamic: bool | None = None
    extras: dict[str, Any] = field(default_factory=dict)
    text_encoder_enabled: bool | None = None
    vae_enabled: bool | None = None
    audio_vae_enabled: bool | None = None
    dit_kwargs: dict[str, Any] = field(default_factory=dict)
    text_encoder_kwargs: dict[str, Any] = field(default_factory=dict)
    vae_kwargs: dict[str, Any] = field(default_factory=dict)
    audio_vae_kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass
class QuantizationConfig(_Strict):
    """Quantised formats by name."""

    text_encoder_quant: str | None = None
    transformer_quant: str | None = None


@dataclass
class EngineConfig(_Strict):
    """The machine side of a generator."""

    num_gpus: int = 1
    execution_backend: Literal["mp", "ray"] = "mp"
    parallelism: ParallelismConfig = field(default_factory=ParallelismConfig)
    offload: OffloadConfig = field(default_factory=OffloadConfig)
    compile: CompileConfig = field(default_factory=CompileConfig)
    enable_stage_verification: bool = True
    use_fsdp_inference: bool = False
    disable_autocast: bool = False
    quantization: QuantizationConfig | None = None


@dataclass
class ComponentConfig(_Strict):
    """Weights and configurations that replace those of ``model_path``, and LoRA adapters that are merged into them:
    ``lora_path`` in every stage, ``refine_lora_path`` on top of it in the refine stage alone."""

    config_root: str | None = None
    pipeline_config_path: str | None = None
    text_encoder_weights: str | None = None
    transformer_weights: str | None = None
    transformer_2_weights: str | None = None
    vae_weights: str | None = None
    upsampler_weights: str | None = None
    lora_path: str | None = None
    lora_strength: float = 1.0
    refine_lora_path: str | None = None
    refine_lora_strength: float = 1.0
    override_pipeline_cls_name: str | None = None
    override_transformer_cls_name: str | None = None


WorkloadType = Literal["t2v", "i2v", "t2i", "i2i", "v2a", "t2a"]


@dataclass
class PipelineSelection(_Strict):
    """Which pipeline and preset run the model."""

    workload_type: WorkloadType | None = None
    preset: str | None = None
    preset_version: int | None = None
    components: ComponentConfig = field(default_factory=ComponentConfig)
    vae_tiling: bool | None = None
    preset_overrides: dict[str, Any] = field(default_factory=dict)
    experimental: dict[str, Any] = field(default_factory=dict)


@dataclass
class GeneratorConfig(_Strict):
    """One generator. ``model_path``: a checkpoint's path, ``embedded:``, ``tiny:?seed=0`` or ``mock:?rtf=0.9``."""

    model_path: str
    revision: str | None = None
    trust_remote_code: bool = False
    engine: EngineConfig = field(default_factory=EngineConfig)
    pipeline: PipelineSelection = field(default_factory=PipelineSelection)


# --- request --------------------------------------------------------------------------------------------------------


@dataclass
class ReferenceConfig(_Strict):
    """An image or a clip that the video shows from its frame ``frame`` on: exactly one of ``image_path``,
    ``pil_image``, ``video_path`` and ``frames`` (uint8 [F, H, W, 3]). ``strength`` 1.0 keeps it, less lets it change.
    """

    image_path: str | None = None
    pil_image: Any = None
    video_path: str | None = None
    frames: Any = None
    frame: int = 0
    strength: float = 1.0


@tracked
@dataclass
class InputConfig(_Strict):
    """What a generation starts from, beside its prompt; ``references`` are :class:`ReferenceConfig` or mappings."""

    prompt_path: str | None = None
    image_path: str | list[str] | None = None
    video_path: str | list[str] | None = None
    pil_image: Any = None
    last_image: Any = None
    references: list[Any] | None = None
    latents: Any = None
    audio_latents: Any = None
    pose: str | None = None
    mouse_cond: Any = None
    keyboard_cond: Any = None
    grid_sizes: Any = None
    c2ws_plucker_emb: Any = None
    action_path: str | None = None
    refine_from: str | None = None
    stage1_video: Any = None


@tracked
@dataclass
class SamplingConfig(_Strict):
    """How a generation is sampled; sizes in pixels, ``fps`` in frames per second."""

    num_videos_per_prompt: int = 1
    seed: int = 1024
    max_sequence_length: int | None = None
    num_frames: int = 125
    height: int = 720
    width: int = 1280
    height_sr: int = 1072
    width_sr: int = 1920
    fps: int = 24
    num_inference_steps: int = 50
    num_inference_steps_sr: int = 50
    guidance_scale: float = 1.0
    batch_cfg: bool = False
    guidance_scale_2: float | None = None
    cfg_normalization: bool = False
    cfg_truncation: float | None = 1.0
    guidance_rescale: float = 0.0
    true_cfg_scale: float | None = None
    use_embedded_guidance: bool | None = None
    boundary_ratio: float | None = None
    sigmas: list[float] | None = None


@tracked
@dataclass
class RequestRuntimeConfig(_Strict):
    """What a generation keeps or skips while it runs."""

    enable_teacache: bool = False
    return_trajectory_latents: bool = False
    return_trajectory_decoded: bool = False


@tracked
@dataclass
class OutputConfig(_Strict):
    """Where results go and what comes back."""

    output_path: str = "outputs/"
    output_video_name: str | None = None
    save_video: bool = True
    return_frames: bool = True
    return_state: bool = False


@dataclass
class ContinuationState(_Strict):
    """What the next segment needs from this one; the payload is JSON-safe and its layout belongs to ``kind``."""

    kind: str
    payload: dict[str, Any]


@dataclass
class PlannedStage(_Strict):
    """One step of a generation plan."""

    name: str
    kind: str
    source: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass
class GenerationPlan(_Strict):
    """Stages in order; ``final_stage`` names the one whose result counts."""

    stages: list[PlannedStage]
    final_stage: str | None = None


@tracked
@dataclass
class GenerationRequest(_Strict):
    """One generation, or one per prompt where ``prompt`` is a list. It knows which fields its author set."""

    prompt: str | list[str] | None = None
    negative_prompt: str | None = None
    inputs: InputConfig = field(default_factory=InputConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    runtime: RequestRuntimeConfig = field(default_factory=RequestRuntimeConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    stage_overrides: dict[str, Any] = field(default_factory=dict)
    state: ContinuationState | None = None
    plan: GenerationPlan | None = None
    extensions: dict[str, Any] = field(default_factory=dict)


# --- serving --------------------------------------------------------------------------------------------------------


@dataclass
class ServerConfig(_Strict):
    """Where the server listens."""

    host: str = "0.0.0.0"  # noqa: S104  # the documented default; a laptop's shipped configs bind to loopback
    port: int = 8000
    output_dir: str = "outputs/"


@dataclass
class WarmupConfig(_Strict):
    """Two small generations before the first user, the second fed with the first one's state."""

    enabled: bool = True
    prompt: str = "A lighthouse on a green headland at dawn, waves rolling in below, slow aerial shot, soft warm light"
    timeout_seconds: int = 2400


@dataclass
class GpuPoolConfig(_Strict):
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
class PromptEndpointConfig(_Strict):
    """An OpenAI-compatible service.

    ``base_url``: what comes before ``/chat/completions``; None is the known service called ``name``. ``api_key_env``:
    the environment variable that holds its key; ``model``: what it is asked for, in place of the enhancer's model.
    """

    name: str
    base_url: str | None = None
    api_key_env: str | None = None
    model: str | None = None


@dataclass
class PromptEnhancerConfig(_Strict):
    """Prompts enhanced, continued and rewritten by a language model.

    ``providers`` are asked in order, in place of ``provider``: the next one after ``hedge_after_ms``, or at once when
    one fails. After ``timeout_ms`` the viewer's own words are used.
    """

    enabled: bool = False
    provider: Literal["cerebras", "groq"] = "cerebras"
    model: str = "gpt-oss-120b"
    timeout_ms: int = 20000
    system_prompt_dir: str | None = None
    providers: list[PromptEndpointConfig] = field(default_factory=list)
    hedge_after_ms: int = 1000


@dataclass
class PromptSafetyConfig(_Strict):
    """A fastText classifier in front of the prompts: those with a label of ``block_labels`` go no further."""

    enabled: bool = False
    classifier_path: str | None = None
    block_threshold: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    block_labels: Annotated[list[str], Field(min_length=1)] = field(default_factory=lambda: ["unsafe"])


@dataclass
class QueueConfig(_Strict):
    """Sessions that may wait for a worker; one more is rejected."""

    max_length: int = 256


@dataclass
class PacingConfig(_Strict):
    """How far automatic generation may run ahead of the viewer, in seconds of video."""

    lead_seconds: float = 8.0


@dataclass
class StoresConfig(_Strict):
    """Where what sessions keep between segments lies, as URLs; ``ttl_seconds``: how long after it was written."""

    sessions: str = "memory:"
    blobs: str = "memory:"
    ttl_seconds: PositiveFloat = 3600.0


@dataclass
class ResumeConfig(_Strict):
    """How long a session waits for a client that lost its connection; 0 is not at all."""

    grace_seconds: NonNegativeFloat = 30.0


@dataclass
class RequestLimits(_Strict):
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
class RecordingsConfig(_Strict):
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
class StreamingConfig(_Strict):
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


@dataclass
class RunConfig(_Strict):
    """A file for ``fastvideo generate``."""

    generator: GeneratorConfig
    request: GenerationRequest


@dataclass
class ServeConfig(_Strict):
    """A file for ``fastvideo serve``."""

    generator: GeneratorConfig
    server: ServerConfig = field(default_factory=ServerConfig)
    default_request: GenerationRequest = field(default_factory=GenerationRequest)
    streaming: StreamingConfig | None = None
