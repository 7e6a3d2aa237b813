from typing import Any

import pytest

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import GeneratorConfig
from fastvideo.entrypoints.convenience_kwargs import CONVENIENCE_KWARGS, config_from_kwargs


def at(config: GeneratorConfig, path: str) -> Any:
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


@pytest.mark.parametrize(
    ("name", "value", "path"),
    [
        ("num_gpus", 2, "engine.num_gpus"),
        ("revision", "main", "revision"),
        ("trust_remote_code", True, "trust_remote_code"),
        ("distributed_executor_backend", "ray", "engine.execution_backend"),
        ("tp_size", 2, "engine.parallelism.tp_size"),
        ("sp_size", 2, "engine.parallelism.sp_size"),
        ("hsdp_replicate_dim", 2, "engine.parallelism.hsdp_replicate_dim"),
        ("hsdp_shard_dim", 2, "engine.parallelism.hsdp_shard_dim"),
        ("dist_timeout", 60, "engine.parallelism.dist_timeout"),
        ("use_fsdp_inference", True, "engine.use_fsdp_inference"),
        ("disable_autocast", True, "engine.disable_autocast"),
        ("enable_stage_verification", False, "engine.enable_stage_verification"),
        ("dit_cpu_offload", False, "engine.offload.dit"),
        ("dit_layerwise_offload", False, "engine.offload.dit_layerwise"),
        ("text_encoder_cpu_offload", False, "engine.offload.text_encoder"),
        ("image_encoder_cpu_offload", False, "engine.offload.image_encoder"),
        ("vae_cpu_offload", False, "engine.offload.vae"),
        ("pin_cpu_memory", False, "engine.offload.pin_cpu_memory"),
        ("enable_torch_compile", True, "engine.compile.enabled"),
    ],
)
def test_each_convenience_argument_sets_its_typed_field(name: str, value: Any, path: str) -> None:
    assert at(config_from_kwargs("model", {name: value}), path) == value
    assert at(GeneratorConfig(model_path="model"), path) != value
    assert name in CONVENIENCE_KWARGS


def test_compile_arguments_are_split_into_named_ones_and_the_rest() -> None:
    compiled = config_from_kwargs(
        "m", {"torch_compile_kwargs": {"mode": "default", "options": {"a": 1}}}
    ).engine.compile
    assert compiled.mode == "default"
    assert compiled.extras == {"options": {"a": 1}}


def test_the_fp4_switch_is_a_quantisation() -> None:
    quantization = config_from_kwargs("m", {"nvfp4_fa4": True}).engine.quantization
    assert quantization is not None
    assert quantization.transformer_quant == "NVFP4"
    assert config_from_kwargs("m", {"nvfp4_fa4": False}).engine.quantization is None


def test_the_output_type_is_pictures_and_nothing_else_is_passed_over() -> None:
    assert config_from_kwargs("m", {"output_type": "pil"}).pipeline.experimental == {}
    assert config_from_kwargs("m", {"output_type": "latent"}).pipeline.experimental == {"output_type": "latent"}


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("ltx2_vae_tiling", "pipeline.vae_tiling"),
        ("override_text_encoder_safetensors", "pipeline.components.text_encoder_weights"),
        ("ltx2_refine_enabled", "pipeline.preset_overrides.refine.enabled"),
        ("made_up", "no setting of a GeneratorConfig"),
    ],
)
def test_any_other_argument_is_a_type_error_that_names_its_home(name: str, home: str) -> None:
    with pytest.raises(TypeError, match=f"'{name}' is {home}"):
        config_from_kwargs("m", {name: 1})


def test_a_wrong_value_is_an_error_with_the_typed_path() -> None:
    with pytest.raises(ConfigValidationError) as caught:
        config_from_kwargs("m", {"num_gpus": "two"})
    assert caught.value.path == "engine.num_gpus"
