"""The keyword arguments of ``VideoGenerator.from_pretrained``, and where every older one has its typed home."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastvideo.api.parser import parse_config
from fastvideo.api.schema import GeneratorConfig

_PATHS: Mapping[str, str] = {
    "num_gpus": "engine.num_gpus",
    "revision": "revision",
    "trust_remote_code": "trust_remote_code",
    "distributed_executor_backend": "engine.execution_backend",
    "tp_size": "engine.parallelism.tp_size",
    "sp_size": "engine.parallelism.sp_size",
    "hsdp_replicate_dim": "engine.parallelism.hsdp_replicate_dim",
    "hsdp_shard_dim": "engine.parallelism.hsdp_shard_dim",
    "dist_timeout": "engine.parallelism.dist_timeout",
    "use_fsdp_inference": "engine.use_fsdp_inference",
    "disable_autocast": "engine.disable_autocast",
    "enable_stage_verification": "engine.enable_stage_verification",
    "dit_cpu_offload": "engine.offload.dit",
    "dit_layerwise_offload": "engine.offload.dit_layerwise",
    "text_encoder_cpu_offload": "engine.offload.text_encoder",
    "image_encoder_cpu_offload": "engine.offload.image_encoder",
    "vae_cpu_offload": "engine.offload.vae",
    "pin_cpu_memory": "engine.offload.pin_cpu_memory",
    "enable_torch_compile": "engine.compile.enabled",
}
_COMPILE_FIELDS = ("backend", "mode", "fullgraph", "dynamic")

CONVENIENCE_KWARGS = frozenset({*_PATHS, "torch_compile_kwargs", "output_type", "nvfp4_fa4"})

_HOMES: Mapping[str, str] = {
    "enable_torch_compile_text_encoder": "engine.compile.text_encoder_enabled",
    "enable_torch_compile_vae": "engine.compile.vae_enabled",
    "enable_torch_compile_audio_vae": "engine.compile.audio_vae_enabled",
    "torch_compile_kwargs_dit": "engine.compile.dit_kwargs",
    "torch_compile_kwargs_text_encoder": "engine.compile.text_encoder_kwargs",
    "torch_compile_kwargs_vae": "engine.compile.vae_kwargs",
    "torch_compile_kwargs_audio_vae": "engine.compile.audio_vae_kwargs",
    "override_text_encoder_quant": "engine.quantization.text_encoder_quant",
    "transformer_quant": "engine.quantization.transformer_quant",
    "workload_type": "pipeline.workload_type",
    "ltx2_vae_tiling": "pipeline.vae_tiling",
    "config_model_path": "pipeline.components.config_root",
    "pipeline_config": "pipeline.components.pipeline_config_path",
    "override_pipeline_cls_name": "pipeline.components.override_pipeline_cls_name",
    "override_transformer_cls_name": "pipeline.components.override_transformer_cls_name",
    "override_text_encoder_safetensors": "pipeline.components.text_encoder_weights",
    "init_weights_from_safetensors": "pipeline.components.transformer_weights",
    "init_weights_from_safetensors_2": "pipeline.components.transformer_2_weights",
    "lora_path": "pipeline.components.lora_path",
    "ltx2_refine_lora_path": "pipeline.components.refine_lora_path",
    "ltx2_refine_upsampler_path": "pipeline.components.upsampler_weights",
    "ltx2_refine_enabled": "pipeline.preset_overrides.refine.enabled",
    "ltx2_refine_add_noise": "pipeline.preset_overrides.refine.add_noise",
    "ltx2_refine_num_inference_steps": "stage_overrides.refine.num_inference_steps of a request",
    "ltx2_refine_guidance_scale": "stage_overrides.refine.guidance_scale of a request",
}


def config_from_kwargs(model_path: str, kwargs: Mapping[str, Any]) -> GeneratorConfig:
    """A typed configuration from a path and the convenience arguments.

    Raises TypeError for any other argument, naming its typed home; ConfigValidationError for a wrong value.
    """
    others = sorted(set(kwargs) - CONVENIENCE_KWARGS)
    if others:
        listed = "; ".join(f"{name!r} is {_HOMES.get(name, 'no setting of a GeneratorConfig')}" for name in others)
        raise TypeError(f"from_pretrained takes no such keyword arguments, use GeneratorConfig instead: {listed}")
    raw: dict[str, Any] = {"model_path": model_path}
    for name, value in kwargs.items():
        if name in _PATHS:
            _put(raw, _PATHS[name], value)
    for key, value in (kwargs.get("torch_compile_kwargs") or {}).items():
        _put(raw, f"engine.compile.{key}" if key in _COMPILE_FIELDS else f"engine.compile.extras.{key}", value)
    if kwargs.get("nvfp4_fa4"):
        _put(raw, "engine.quantization.transformer_quant", "NVFP4")
    # Frames are arrays whatever older callers name them.
    if kwargs.get("output_type", "pil") != "pil":
        _put(raw, "pipeline.experimental.output_type", kwargs["output_type"])
    return parse_config(GeneratorConfig, raw)


def _put(raw: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        raw = raw.setdefault(parent, {})
    raw[name] = value
