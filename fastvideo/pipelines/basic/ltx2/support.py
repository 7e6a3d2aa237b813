"""Documented settings that this pipeline cannot honour: each parses at its default and is refused otherwise.

``docs/config.md`` lists these tables.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.presets import InferencePreset
from fastvideo.api.schema import GenerationRequest, GeneratorConfig, QuantizationConfig
from fastvideo.api.support import refuse_unsupported
from fastvideo.pipelines.basic.ltx2.recipe import SOUND_WORKLOADS
from fastvideo.pipelines.basic.ltx2.sequence.size import sequence_size
from fastvideo.pipelines.basic.ltx2.stage_overrides import REFINE

_BY_SEQUENCE = "several GPUs share the tokens of the picture, and each has all weights of the transformer"
_LOCAL = "models are local files, and nothing is fetched"
_ONE_STAGE = "both stages run in one request, and the second makes the size that sampling asks for"
_WHOLE_CHECKPOINT = (
    "all parts come from the checkpoint; only the text encoder and the upsampler have places of their own"
)
_TEXT_AS_LOADED = "the text encoder computes in the type that its precision says"
_GUIDANCE = "guidance is set by guidance_scale, guidance_rescale and stage_overrides.denoise"
UNGUIDED = "distilled models are sampled without guidance"
_NO_SUCH_INPUT = "LTX-2 takes prompts, images and clips at given frames, and a state"

GENERATOR_REASONS: Mapping[str, str] = {
    "revision": _LOCAL,
    "trust_remote_code": "code that comes with a checkpoint is never run",
    "engine.execution_backend": "the GPUs of one model are on one machine, with a process each",
    "engine.parallelism.tp_size": _BY_SEQUENCE,
    "engine.parallelism.hsdp_replicate_dim": _BY_SEQUENCE,
    "engine.parallelism.hsdp_shard_dim": _BY_SEQUENCE,
    "engine.use_fsdp_inference": _BY_SEQUENCE,
    "pipeline.components.config_root": _WHOLE_CHECKPOINT,
    "pipeline.components.pipeline_config_path": "the pipeline is configured by the generator's own settings",
    "pipeline.components.transformer_weights": _WHOLE_CHECKPOINT,
    "pipeline.components.transformer_2_weights": _WHOLE_CHECKPOINT,
    "pipeline.components.vae_weights": _WHOLE_CHECKPOINT,
    "pipeline.components.override_pipeline_cls_name": "there is one LTX-2 pipeline",
    "pipeline.components.override_transformer_cls_name": "there is one LTX-2 transformer",
    "pipeline.experimental": "there are no experimental settings",
}

REQUEST_REASONS: Mapping[str, str] = {
    "inputs.latents": _NO_SUCH_INPUT,
    "inputs.audio_latents": _NO_SUCH_INPUT,
    "inputs.pose": _NO_SUCH_INPUT,
    "inputs.mouse_cond": _NO_SUCH_INPUT,
    "inputs.keyboard_cond": _NO_SUCH_INPUT,
    "inputs.grid_sizes": _NO_SUCH_INPUT,
    "inputs.c2ws_plucker_emb": _NO_SUCH_INPUT,
    "inputs.action_path": _NO_SUCH_INPUT,
    "inputs.refine_from": _ONE_STAGE,
    "inputs.stage1_video": _ONE_STAGE,
    "sampling.num_videos_per_prompt": "one request makes one video",
    "sampling.height_sr": _ONE_STAGE,
    "sampling.width_sr": _ONE_STAGE,
    "sampling.num_inference_steps_sr": _ONE_STAGE,
    "sampling.guidance_scale_2": _GUIDANCE,
    "sampling.cfg_normalization": _GUIDANCE,
    "sampling.cfg_truncation": _GUIDANCE,
    "sampling.true_cfg_scale": _GUIDANCE,
    "sampling.use_embedded_guidance": _GUIDANCE,
    "sampling.boundary_ratio": "there is one transformer",
    "runtime.enable_teacache": "a few distilled steps leave nothing to cache",
    "plan": "this pipeline runs its own stages",
    "extensions": "this pipeline has no extensions",
}

UNGUIDED_REASONS: Mapping[str, str] = {
    "sampling.guidance_scale": UNGUIDED,
    "sampling.guidance_rescale": UNGUIDED,
    "sampling.batch_cfg": UNGUIDED,
}

_SAME_AS_DEFAULT_OF_GENERATORS: Mapping[str, Collection[Any]] = {"engine.parallelism.tp_size": (1,)}
_SAME_AS_DEFAULT: Mapping[str, Collection[Any]] = {
    "sampling.true_cfg_scale": (1.0,),
    "sampling.guidance_scale_2": (1.0,),
}
_WORKLOADS = (None, "t2v", "i2v", *SOUND_WORKLOADS)


def check_generator_config(config: GeneratorConfig) -> None:
    """Raise ConfigValidationError, with the path, for a setting that cannot be honoured."""
    refuse_unsupported(
        config, GeneratorConfig(model_path=config.model_path), GENERATOR_REASONS, _SAME_AS_DEFAULT_OF_GENERATORS
    )
    sequence_size(config)
    quantization = config.engine.quantization or QuantizationConfig()
    if quantization.text_encoder_quant is not None:
        raise ConfigValidationError(
            "engine.quantization.text_encoder_quant", f"only None is supported ({_TEXT_AS_LOADED})"
        )
    if quantization.transformer_quant not in (None, "fp8"):
        raise ConfigValidationError(
            "engine.quantization.transformer_quant", f"expected fp8 or null, got {quantization.transformer_quant!r}"
        )
    if config.pipeline.workload_type not in _WORKLOADS:
        raise ConfigValidationError(
            "pipeline.workload_type", f"expected t2v, i2v, t2a or v2a for LTX-2, got {config.pipeline.workload_type}"
        )


def check_selection(config: GeneratorConfig, preset: InferencePreset) -> None:
    """Raise ConfigValidationError for weights that the selected preset has no stage for, and for a stage that the
    workload has no picture for."""
    if any(stage.name == REFINE for stage in preset.stage_schemas):
        if config.pipeline.workload_type in SOUND_WORKLOADS:
            raise ConfigValidationError(
                "pipeline.workload_type", f"sound alone is made in one stage, and {preset.name!r} has two"
            )
        return
    for name in ("upsampler_weights", "refine_lora_path"):
        if getattr(config.pipeline.components, name):
            raise ConfigValidationError(
                f"pipeline.components.{name}",
                f"{preset.name!r} has one stage; choose 'ltx2_two_stage', or set "
                "pipeline.preset_overrides.refine.enabled",
            )


def check_request(request: GenerationRequest, *, guided: bool = False) -> None:
    """Raise ConfigValidationError, with the path, for a value that cannot be honoured; ``guided`` as in a recipe."""
    reasons = REQUEST_REASONS if guided else {**REQUEST_REASONS, **UNGUIDED_REASONS}
    refuse_unsupported(request, GenerationRequest(), reasons, _SAME_AS_DEFAULT)
