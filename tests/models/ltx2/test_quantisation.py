from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import EngineConfig, GenerationRequest, GeneratorConfig, QuantizationConfig, SamplingConfig
from fastvideo.entrypoints.video_generator import VideoGenerator
from fastvideo.models.ltx2.linear import Linear, rounded_to_fp8
from fastvideo.models.ltx2.loader import load_transformer
from fastvideo.models.ltx2.lora import LayerName, LoraAdapter, LoraWeights, LowRank
from fastvideo.models.ltx2.quantisation import quantise_transformer, quantised_layers, usual_layers
from fastvideo.models.ltx2.tiny import write_tiny_checkpoint
from fastvideo.models.ltx2.transformer import LTX2Transformer, LTX2TransformerConfig

CPU = torch.device("cpu")
SIX_BLOCKS = LTX2TransformerConfig(
    num_layers=6,
    num_attention_heads=2,
    attention_head_dim=16,
    cross_attention_dim=32,
    audio_num_attention_heads=2,
    audio_attention_head_dim=8,
    audio_cross_attention_dim=16,
    caption_proj_before_connector=True,
    apply_gated_attention=True,
    cross_attention_adaln=True,
)
# In blocks of a model that has two.
LAYERS = ("transformer_blocks.1.attn1.to_q", "transformer_blocks.0.ff.net.0.proj")


def a_layer(seed: int = 3) -> Linear:
    torch.manual_seed(seed)
    return Linear(64, 48).requires_grad_(False)


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint with two layers in fp8, as the official files have them."""
    original = write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))
    with safe_open(str(original), framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no mapping
        metadata = dict(file.metadata())
    for layer in LAYERS:
        key = f"model.diffusion_model.{layer}.weight"
        tensors[key], tensors[f"{key}_scale"] = rounded_to_fp8(tensors[key].float())
        tensors[f"model.diffusion_model.{layer}.input_scale"] = torch.tensor(1.0)
    folder = tmp_path_factory.mktemp("official")
    shutil.copytree(original.parent / "text_encoder", folder / "text_encoder")
    save_file(tensors, str(folder / "model-fp8.safetensors"), metadata=metadata)
    return folder / "model-fp8.safetensors"


def test_a_product_is_that_of_the_rounded_numbers() -> None:
    layer = a_layer()
    wide, x = layer.weight.clone(), torch.randn(2, 5, 64)
    rounded, scale = rounded_to_fp8(wide)
    small, own_scale = rounded_to_fp8(x)
    layer.quantise(products=True)
    expected = F.linear(small.float() * own_scale, rounded.float() * scale, layer.bias)
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.with_gelu(x), F.gelu(expected, approximate="tanh"), atol=1e-5, rtol=0)


def test_without_such_products_the_weight_alone_is_rounded() -> None:
    layer = a_layer()
    x = torch.randn(5, 64)
    rounded, scale = rounded_to_fp8(layer.weight)
    before = layer(x)
    layer.quantise(products=False)
    assert layer.weight.element_size() == 1
    assert set(layer.state_dict()) == {"weight", "bias"}
    torch.testing.assert_close(layer(x), F.linear(x, rounded.float() * scale, layer.bias), atol=1e-6, rtol=0)
    assert 0 < (layer(x) - before).norm() / before.norm() < 0.04


def test_what_is_beyond_the_largest_number_becomes_that_and_zeros_stay_zeros() -> None:
    # In bf16 the quotient of the largest value and its scale may be above 448.
    for exponent in range(20):
        values = torch.tensor([1.0 + exponent / 17, -1.0]).mul(3.0**exponent).bfloat16()
        rounded, scale = rounded_to_fp8(values)
        assert bool(rounded.float().isfinite().all())
        torch.testing.assert_close(rounded.float() * scale, values.float(), rtol=0.07, atol=0)
    rounded, _ = rounded_to_fp8(torch.zeros(3))
    assert rounded.float().tolist() == [0.0, 0.0, 0.0]


def test_of_a_wide_model_the_outer_blocks_the_gates_and_what_is_no_block_stay_wide() -> None:
    transformer = LTX2Transformer(SIX_BLOCKS)
    names = usual_layers(transformer)
    assert {name.split(".")[1] for name in names} == {"2", "3"}
    assert not any("gate" in name for name in names)
    inner = {name.split(".", 2)[2] for name in names}
    assert {"attn1.to_q", "attn2.to_out.0", "ff.net.2", "audio_ff.net.0.proj", "audio_to_video_attn.to_v"} <= inner


def test_of_an_official_file_just_its_own_layers_are_in_fp8_with_the_numbers_of_the_file(official: Path) -> None:
    assert quantised_layers(official) == set(LAYERS)
    _, transformer = load_transformer(official, dtype=torch.bfloat16)
    quantise_transformer(transformer, official, CPU)
    with safe_open(str(official), framework="pt") as file:
        for name, layer in transformer.named_modules():
            if name in LAYERS:
                stored = file.get_tensor(f"model.diffusion_model.{name}.weight")
                assert isinstance(layer, Linear)
                assert torch.equal(layer.weight.view(torch.uint8), stored.view(torch.uint8))
            elif isinstance(layer, Linear):
                assert layer.weight_scale is None


def test_a_model_without_inner_blocks_is_refused(tmp_path: Path) -> None:
    file = write_tiny_checkpoint(tmp_path)
    _, transformer = load_transformer(file)
    with pytest.raises(ConfigValidationError, match="leaves out the first two") as caught:
        quantise_transformer(transformer, file, CPU)
    assert caught.value.path == "engine.quantization.transformer_quant"


def test_adapters_are_merged_into_rounded_weights_and_every_bit_comes_back() -> None:
    transformer = LTX2Transformer(replace(SIX_BLOCKS)).requires_grad_(False)
    layer = transformer.get_submodule("transformer_blocks.2.attn1.to_q")
    assert isinstance(layer, Linear)
    layer.quantise(products=False)
    assert layer.weight_scale is not None
    weight, scale = layer.weight.clone(), layer.weight_scale.clone()
    # As of a file, whose largest number need not be the largest that there is.
    layer.weight_scale.mul_(1.5)
    scale = layer.weight_scale.clone()
    halves = LowRank(torch.randn(2, 32), torch.randn(32, 2))
    adapter = LoraAdapter(Path("a"), {LayerName("transformer", "transformer_blocks.2.attn1.to_q"): halves})
    weights = LoraWeights({"transformer": transformer})
    weights.merge([(adapter, 0.5)])
    merged: Tensor = layer.weight.float() * layer.weight_scale
    expected = weight.float() * scale + 0.5 * halves.up @ halves.down
    torch.testing.assert_close(merged, expected, rtol=0.07, atol=0.02)
    weights.merge([])
    assert torch.equal(layer.weight.view(torch.uint8), weight.view(torch.uint8))
    assert torch.equal(layer.weight_scale, scale)


def test_a_configured_generator_keeps_fp8_and_makes_the_same_clip_as_from_the_widened_file(official: Path) -> None:
    clips = []
    for chosen in (None, QuantizationConfig(transformer_quant="fp8")):
        config = GeneratorConfig(model_path=str(official), engine=EngineConfig(quantization=chosen))
        with VideoGenerator(config) as generator:
            assert generator._pipeline is not None
            layer = generator._pipeline.lora._modules["transformer"].get_submodule(LAYERS[0])
            assert (layer.weight.dtype == torch.float8_e4m3fn) == (chosen is not None)
            sampling = SamplingConfig(height=64, width=64, num_frames=9, num_inference_steps=2, seed=1)
            request = GenerationRequest(prompt="a fox", sampling=sampling)
            request.output.save_video = False
            result = generator.generate(request)
            assert not isinstance(result, list)
            clips.append(result.samples.float())
    torch.testing.assert_close(clips[1], clips[0], atol=1.0, rtol=0)
