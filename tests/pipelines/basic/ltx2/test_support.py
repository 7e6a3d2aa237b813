from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import GenerationRequest, GeneratorConfig, QuantizationConfig
from fastvideo.pipelines.basic.ltx2.presets import select_preset
from fastvideo.pipelines.basic.ltx2.support import (
    GENERATOR_REASONS,
    REQUEST_REASONS,
    UNGUIDED_REASONS,
    check_generator_config,
    check_request,
    check_selection,
)

# Every leaf that is neither refused nor here would be a setting that nothing reads.
GENERATOR_HONOURED = {
    "model_path",
    "engine.enable_stage_verification",
    "engine.disable_autocast",  # autocast is never used
    *(f"engine.compile.{name}" for name in ("enabled", "backend", "mode", "fullgraph", "dynamic", "extras")),
    *(f"engine.compile.{part}_enabled" for part in ("text_encoder", "vae", "audio_vae")),
    *(f"engine.compile.{part}_kwargs" for part in ("dit", "text_encoder", "vae", "audio_vae")),
    "engine.onednn_linears",
    "engine.keep_text_keys",
    "engine.attention_backend",
    "engine.text_cache_entries",
    "engine.quantization",  # the transformer's, see below
    "engine.num_gpus",
    "engine.parallelism.sp_size",
    "engine.parallelism.dist_timeout",
    "engine.offload.dit",
    "engine.offload.dit_layerwise",
    "engine.offload.text_encoder",
    "engine.offload.image_encoder",  # there is none to move
    "engine.offload.vae",
    "engine.offload.pin_cpu_memory",
    "pipeline.workload_type",
    "pipeline.preset",
    "pipeline.preset_version",
    "pipeline.preset_overrides",
    "pipeline.components.text_encoder_weights",
    "pipeline.components.upsampler_weights",  # by presets that refine, see check_selection
    "pipeline.components.lora_path",
    "pipeline.components.lora_strength",
    "pipeline.components.refine_lora_path",  # by presets that refine, see check_selection
    "pipeline.components.refine_lora_strength",
    "pipeline.vae_tiling",
}
REQUEST_HONOURED = {
    "prompt",
    "negative_prompt",  # without guidance it changes nothing
    "inputs.prompt_path",
    "inputs.image_path",
    "inputs.video_path",
    "inputs.last_image",
    "inputs.references",
    "inputs.pil_image",
    *(f"sampling.{name}" for name in ("seed", "max_sequence_length", "num_frames", "height", "width", "fps")),
    "sampling.num_inference_steps",
    "sampling.sigmas",
    "sampling.guidance_scale",
    "sampling.guidance_rescale",
    "sampling.batch_cfg",
    *(f"output.{name}" for name in ("output_path", "output_video_name", "save_video", "return_frames", "return_state")),
    "stage_overrides",
    "runtime.return_trajectory_latents",
    "runtime.return_trajectory_decoded",
    "state",
}


def leaves(value: Any, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for spec in fields(value):
        child = getattr(value, spec.name)
        path = f"{prefix}{spec.name}"
        found |= leaves(child, f"{path}.") if is_dataclass(child) else {path}
    return found


def set_at(config: Any, path: str, value: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        config = getattr(config, parent)
    setattr(config, name, value)


def other_than(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value}-other"
        case dict():
            return {"key": 1}
        case _:
            return "something"


def test_each_documented_setting_is_honoured_or_refused() -> None:
    assert leaves(GeneratorConfig(model_path="x")) == GENERATOR_HONOURED | set(GENERATOR_REASONS)
    assert leaves(GenerationRequest()) == REQUEST_HONOURED | set(REQUEST_REASONS)


def test_defaults_pass() -> None:
    check_generator_config(GeneratorConfig(model_path="x"))
    check_request(GenerationRequest())


@pytest.mark.parametrize("path", GENERATOR_REASONS)
def test_a_generator_setting_that_cannot_be_honoured_is_refused_with_its_path(path: str) -> None:
    config = GeneratorConfig(model_path="x")
    default = getattr_path(config, path)
    set_at(config, path, other_than(default))
    with pytest.raises(ConfigValidationError) as caught:
        check_generator_config(config)
    assert caught.value.path == path


@pytest.mark.parametrize("part", ["transformer_quant", "text_encoder_quant"])
def test_only_the_transformer_is_quantised_and_only_to_fp8(part: str) -> None:
    config = GeneratorConfig(model_path="x")
    config.engine.quantization = QuantizationConfig(transformer_quant="fp8")
    check_generator_config(config)
    setattr(config.engine.quantization, part, "NVFP4")
    with pytest.raises(ConfigValidationError) as caught:
        check_generator_config(config)
    assert caught.value.path == f"engine.quantization.{part}"


@pytest.mark.parametrize("path", REQUEST_REASONS)
def test_a_request_value_that_cannot_be_honoured_is_refused_with_its_path(path: str) -> None:
    request = GenerationRequest()
    set_at(request, path, other_than(getattr_path(request, path)))
    with pytest.raises(ConfigValidationError) as caught:
        check_request(request)
    assert caught.value.path == path


@pytest.mark.parametrize("name", ["upsampler_weights", "refine_lora_path"])
def test_weights_without_a_stage_for_them_are_refused_with_a_way_out(name: str) -> None:
    config = GeneratorConfig(model_path="x")
    setattr(config.pipeline.components, name, "a.safetensors")
    check_selection(config, select_preset("x", "ltx2_two_stage"))
    with pytest.raises(ConfigValidationError, match="choose 'ltx2_two_stage'") as caught:
        check_selection(config, select_preset("x", "ltx2_distilled"))
    assert caught.value.path == f"pipeline.components.{name}"


@pytest.mark.parametrize("path", UNGUIDED_REASONS)
def test_guidance_is_refused_with_its_path_where_the_preset_does_not_guide(path: str) -> None:
    request = GenerationRequest()
    set_at(request, path, other_than(getattr_path(request, path)))
    check_request(request, guided=True)
    with pytest.raises(ConfigValidationError) as caught:
        check_request(request)
    assert caught.value.path == path


def getattr_path(config: Any, path: str) -> Any:
    for name in path.split("."):
        config = getattr(config, name)
    return config


def test_an_array_where_none_is_supported_is_refused_and_not_compared() -> None:
    request = GenerationRequest()
    request.inputs.latents = np.zeros(3)
    with pytest.raises(ConfigValidationError, match=r"inputs\.latents"):
        check_request(request)


def test_a_neutral_guidance_of_one_passes_as_integer_and_in_its_other_forms() -> None:
    request = GenerationRequest()
    request.sampling.guidance_scale = 1
    request.sampling.true_cfg_scale = 1.0
    request.sampling.guidance_scale_2 = 1.0
    check_request(request)


@pytest.mark.parametrize("workload", ["t2i", "i2i"])
def test_other_workloads_are_refused(workload: Any) -> None:
    config = GeneratorConfig(model_path="x")
    config.pipeline.workload_type = workload
    with pytest.raises(ConfigValidationError, match="t2v, i2v, t2a or v2a"):
        check_generator_config(config)
