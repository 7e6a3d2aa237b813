"""A model with LoRA merged into it against diffusers' model with W + strength B A in place of each W."""

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from benchmarks.diffusers_names import renamed
from fastvideo.models.ltx2.lora import LoraAdapter, LoraWeights
from fastvideo.models.ltx2.rope import audio_positions, video_positions
from fastvideo.models.ltx2.transformer import LTX2Transformer, LTX2TransformerConfig, ModalityInput

CONFIG = LTX2TransformerConfig(
    num_layers=1,
    in_channels=6,
    out_channels=6,
    num_attention_heads=2,
    attention_head_dim=12,
    cross_attention_dim=24,
    audio_in_channels=4,
    audio_out_channels=4,
    audio_num_attention_heads=2,
    audio_attention_head_dim=8,
    audio_cross_attention_dim=16,
    caption_channels=10,
    rope_type="split",
    frequencies_precision="float64",
    av_ca_timestep_scale_multiplier=1000.0,
    av_cross_timestep="other",
)


@pytest.mark.parametrize("strength", [1.0, 0.25])
def test_velocities_with_every_linear_layer_adapted_are_those_of_diffusers(
    strength: float, tmp_path: Path, randomise: Any
) -> None:
    model = LTX2Transformer(CONFIG).eval().requires_grad_(False)
    randomise(model, 5)
    generator = torch.Generator().manual_seed(6)
    lora, adapted = {}, dict(model.state_dict())
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            down = torch.randn((3, layer.in_features), generator=generator) / layer.in_features**0.5
            up = torch.randn((layer.out_features, 3), generator=generator) / 3
            lora |= {f"diffusion_model.{name}.lora_A.weight": down, f"diffusion_model.{name}.lora_B.weight": up}
            adapted[f"{name}.weight"] = (layer.weight.double() + strength * (up.double() @ down.double())).float()
    file = tmp_path / "lora.safetensors"
    save_file(lora, str(file))
    reference = diffusers.LTX2VideoTransformer3DModel(
        in_channels=6,
        out_channels=6,
        num_attention_heads=2,
        attention_head_dim=12,
        cross_attention_dim=24,
        audio_in_channels=4,
        audio_out_channels=4,
        audio_num_attention_heads=2,
        audio_attention_head_dim=8,
        audio_cross_attention_dim=16,
        num_layers=1,
        caption_channels=10,
        rope_double_precision=True,
        cross_attn_timestep_scale_multiplier=1000,
        rope_type="split",
    ).eval()
    reference.load_state_dict(renamed("transformer", adapted))
    sigma = torch.tensor([0.6])
    video = ModalityInput(
        torch.randn((1, 12, 6), generator=generator),
        torch.full((1, 12), 0.6),
        sigma,
        video_positions(2, 2, 3, fps=24),
        torch.randn((1, 4, 10), generator=generator),
    )
    audio = ModalityInput(
        torch.randn((1, 5, 4), generator=generator),
        torch.full((1, 5), 0.6),
        sigma,
        audio_positions(5),
        torch.randn((1, 4, 10), generator=generator),
    )
    modules = {"transformer": model}
    LoraWeights(modules).merge([(LoraAdapter.load(file, modules), strength)])
    with torch.inference_mode():
        actual = model(video, audio)
        expected = reference(
            hidden_states=video.latents,
            audio_hidden_states=audio.latents,
            encoder_hidden_states=video.context,
            audio_encoder_hidden_states=audio.context,
            timestep=video.timesteps * 1000,
            audio_timestep=audio.timesteps * 1000,
            sigma=sigma * 1000,
            audio_sigma=sigma * 1000,
            video_coords=video.positions,
            audio_coords=audio.positions,
            return_dict=False,
        )
    for ours, theirs in zip(actual, expected, strict=True):
        assert theirs.std() > 0.3
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
