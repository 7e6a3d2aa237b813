"""How a model is loaded and run: the machine, the weights, the pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from fastvideo.api.strict_config import StrictConfig


@dataclass
class ParallelismConfig(StrictConfig):
    """How one model is spread over GPUs; -1 derives the size from ``num_gpus``."""

    tp_size: int = -1
    sp_size: int = -1
    hsdp_replicate_dim: int = 1
    hsdp_shard_dim: int = -1
    dist_timeout: int | None = None


@dataclass
class OffloadConfig(StrictConfig):
    """Which parts may leave the GPU between uses; without a GPU there is nothing to offload."""

    dit: bool = True
    dit_layerwise: bool = True
    text_encoder: bool = True
    image_encoder: bool = True
    vae: bool = True
    pin_cpu_memory: bool = True


@dataclass
class CompileConfig(StrictConfig):
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
class QuantizationConfig(StrictConfig):
    """Quantised formats by name; the transformer's may be ``fp8``."""

    text_encoder_quant: str | None = None
    transformer_quant: str | None = None


AttentionBackend = Literal["auto", "sdpa", "flash3"]


@dataclass
class EngineConfig(StrictConfig):
    """The machine side of a generator. ``text_cache_entries``: encoded texts that it keeps; 0 is none."""

    num_gpus: int = 1
    execution_backend: Literal["mp", "ray"] = "mp"
    parallelism: ParallelismConfig = field(default_factory=ParallelismConfig)
    offload: OffloadConfig = field(default_factory=OffloadConfig)
    compile: CompileConfig = field(default_factory=CompileConfig)
    enable_stage_verification: bool = True
    use_fsdp_inference: bool = False
    disable_autocast: bool = False
    onednn_linears: bool = True
    keep_text_keys: bool = True
    text_cache_entries: Annotated[int, Field(ge=0, le=4096)] = 16
    attention_backend: AttentionBackend = "auto"
    quantization: QuantizationConfig | None = None


@dataclass
class ComponentConfig(StrictConfig):
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
class PipelineSelection(StrictConfig):
    """Which pipeline and preset run the model."""

    workload_type: WorkloadType | None = None
    preset: str | None = None
    preset_version: int | None = None
    components: ComponentConfig = field(default_factory=ComponentConfig)
    vae_tiling: bool | None = None
    preset_overrides: dict[str, Any] = field(default_factory=dict)
    experimental: dict[str, Any] = field(default_factory=dict)


@dataclass
class GeneratorConfig(StrictConfig):
    """One generator. ``model_path``: a checkpoint's path, ``embedded:``, ``tiny:?seed=0`` or ``mock:?rtf=0.9``."""

    model_path: str
    revision: str | None = None
    trust_remote_code: bool = False
    engine: EngineConfig = field(default_factory=EngineConfig)
    pipeline: PipelineSelection = field(default_factory=PipelineSelection)
