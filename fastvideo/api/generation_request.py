"""One generation: what it starts from, how it is sampled, what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastvideo.api.request_metadata import tracked
from fastvideo.api.strict_config import StrictConfig


@dataclass
class ReferenceConfig(StrictConfig):
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
class InputConfig(StrictConfig):
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
class SamplingConfig(StrictConfig):
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
class RequestRuntimeConfig(StrictConfig):
    """What a generation keeps or skips while it runs."""

    enable_teacache: bool = False
    return_trajectory_latents: bool = False
    return_trajectory_decoded: bool = False


@tracked
@dataclass
class OutputConfig(StrictConfig):
    """Where results go and what comes back."""

    output_path: str = "outputs/"
    output_video_name: str | None = None
    save_video: bool = True
    return_frames: bool = True
    return_state: bool = False


@dataclass
class ContinuationState(StrictConfig):
    """What the next segment needs from this one; the payload is JSON-safe and its layout belongs to ``kind``."""

    kind: str
    payload: dict[str, Any]


@dataclass
class PlannedStage(StrictConfig):
    """One step of a generation plan."""

    name: str
    kind: str
    source: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass
class GenerationPlan(StrictConfig):
    """Stages in order; ``final_stage`` names the one whose result counts."""

    stages: list[PlannedStage]
    final_stage: str | None = None


@tracked
@dataclass
class GenerationRequest(StrictConfig):
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
