"""The video VAE's configuration, tensor names, causality and errors; its numbers are in tests/parity."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.video_vae import VAEBlock, VideoVAE, VideoVAEConfig

ENCODER_2_0 = [
    ["res_x", {"num_layers": 4}],
    ["compress_space_res", {"multiplier": 2}],
    ["res_x", {"num_layers": 6}],
    ["compress_time_res", {"multiplier": 2}],
    ["res_x", {"num_layers": 6}],
    ["compress_all_res", {"multiplier": 2}],
    ["res_x", {"num_layers": 2}],
    ["compress_all_res", {"multiplier": 2}],
    ["res_x", {"num_layers": 2}],
]
DECODER_2_0 = [
    *([["res_x", {"num_layers": 5, "inject_noise": False}], ["compress_all", {"residual": True, "multiplier": 2}]] * 3),
    ["res_x", {"num_layers": 5, "inject_noise": False}],
]
# One space and one time halving fewer than the published layouts: 4x in time, 16x in space.
SMALL: dict[str, Any] = {
    "encoder_blocks": [["compress_space_res", {}], ["res_x", 1], ["compress_time", {}], ["compress_all_res", {}]],
    "decoder_blocks": [
        ["res_x", 1],
        ["compress_space", {}],
        ["compress_time", {}],
        ["compress_all", {"multiplier": 2}],
    ],
    "latent_channels": 8,
    "decoder_base_channels": 8,
    "decoder_spatial_padding_mode": "zeros",
}


def small_vae(**changes: object) -> VideoVAE:
    torch.manual_seed(0)
    return VideoVAE(VideoVAEConfig.from_metadata({**SMALL, **changes})).eval()


def test_published_section_builds_the_published_tensors() -> None:
    section = {
        "_class_name": "CausalVideoAutoencoder",
        "dims": 3,
        "latent_channels": 128,
        "encoder_blocks": ENCODER_2_0,
        "decoder_blocks": DECODER_2_0,
        "norm_layer": "pixel_norm",
        "patch_size": 4,
        "latent_log_var": "uniform",
        "causal_decoder": False,
        "timestep_conditioning": False,
    }
    with torch.device("meta"):
        vae = VideoVAE(VideoVAEConfig.from_metadata(section))
    shapes = {name: tuple(tensor.shape) for name, tensor in vae.state_dict().items()}
    assert (vae.temporal_scale, vae.spatial_scale, vae.latent_channels) == (8, 32, 128)
    assert shapes["encoder.conv_in.conv.weight"] == (128, 48, 3, 3, 3)
    assert shapes["encoder.down_blocks.0.res_blocks.3.conv2.conv.bias"] == (128,)
    assert shapes["encoder.down_blocks.1.conv.conv.weight"] == (64, 128, 3, 3, 3)
    assert shapes["encoder.down_blocks.8.res_blocks.1.conv1.conv.weight"] == (2048, 2048, 3, 3, 3)
    assert shapes["encoder.conv_out.conv.weight"] == (129, 2048, 3, 3, 3)
    assert shapes["decoder.conv_in.conv.weight"] == (1024, 128, 3, 3, 3)
    assert shapes["decoder.up_blocks.1.conv.conv.weight"] == (4096, 1024, 3, 3, 3)
    assert shapes["decoder.up_blocks.6.res_blocks.4.conv2.conv.weight"] == (128, 128, 3, 3, 3)
    assert shapes["decoder.conv_out.conv.weight"] == (48, 128, 3, 3, 3)
    assert shapes["per_channel_statistics.mean-of-means"] == (128,)
    assert shapes["per_channel_statistics.std-of-means"] == (128,)


@pytest.mark.parametrize(("log_var", "outputs"), [("uniform", 9), ("constant", 9), ("per_channel", 16), ("none", 8)])
def test_variance_outputs_follow_latent_log_var_and_only_means_are_returned(log_var: str, outputs: int) -> None:
    vae = small_vae(latent_log_var=log_var)
    assert vae.state_dict()["encoder.conv_out.conv.weight"].shape[0] == outputs
    assert vae.encode(torch.zeros(1, 3, 1, 32, 32)).shape == (1, 8, 1, 2, 2)


def test_scales_follow_from_blocks_and_patch_size() -> None:
    config = VideoVAEConfig.from_metadata({**SMALL, "patch_size": 2})
    assert (config.temporal_scale, config.spatial_scale) == (4, 8)
    assert config.encoder_base_channels == 8
    vae = small_vae()
    latents = vae.encode(torch.zeros(2, 3, 9, 32, 48))
    assert latents.shape == (2, 8, 3, 2, 3)
    assert vae.decode(latents).shape == (2, 3, 9, 32, 48)


def test_blocks_are_read_with_their_official_defaults() -> None:
    config = VideoVAEConfig.from_metadata(SMALL)
    assert config.encoder_blocks == (
        VAEBlock("compress_space", multiplier=2, residual=True),
        VAEBlock("res_x", num_layers=1),
        VAEBlock("compress_time", multiplier=1),
        VAEBlock("compress_all", multiplier=2, residual=True),
    )
    assert config.decoder_blocks[-1] == VAEBlock("compress_all", multiplier=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timestep_conditioning": True}, r"vae\.timestep_conditioning: expected False, the file has True"),
        ({"norm_layer": "group_norm"}, r"vae\.norm_layer: expected 'pixel_norm'"),
        ({"latent_channels": 0}, r"vae\.latent_channels: expected a positive integer, got 0"),
        ({"patch_size": True}, r"vae\.patch_size: expected a positive integer"),
        ({"causal_decoder": "no"}, r"vae\.causal_decoder: expected true or false, got 'no'"),
        ({"latent_log_var": "some"}, r"vae\.latent_log_var: expected one of none, constant, uniform, per_channel"),
        ({"decoder_spatial_padding_mode": "mirror"}, r"vae\.decoder_spatial_padding_mode: expected one of zeros"),
        ({"encoder_blocks": None}, r"vae\.encoder_blocks: expected a list"),
        ({"encoder_blocks": []}, r"vae\.encoder_blocks: expected a list"),
        ({"encoder_blocks": [["res_x"]]}, r"vae\.encoder_blocks\[0\]: expected \[name, parameters\]"),
        ({"encoder_blocks": [["attn", {}]]}, r"vae\.encoder_blocks\[0\]: no such block 'attn'"),
        ({"decoder_blocks": [["compress_all_res", {}]]}, r"vae\.decoder_blocks\[0\]: no such block"),
        ({"decoder_blocks": [["res_x", {"num_layers": 0}]]}, r"decoder_blocks\[0\]\.num_layers: expected a positive"),
        ({"decoder_blocks": [["res_x", {"inject_noise": True}]]}, r"inject_noise: expected false, got True"),
        ({"decoder_blocks": [["compress_all", {"residual": 1}]]}, r"residual: expected true or false, got 1"),
        ({"encoder_blocks": [["compress_all", {"multiplier": 2}]]}, r"compress_all does not take multiplier"),
        ({"decoder_blocks": [["compress_all", {}]]}, r"encoder and decoder must resample by the same"),
    ],
)
def test_a_section_that_is_not_this_vae_is_refused_with_its_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        VideoVAEConfig.from_metadata({**SMALL, **changes})


@pytest.mark.parametrize("padding", ["zeros", "reflect", "replicate", "circular"])
@torch.no_grad()
def test_a_causal_decode_of_a_prefix_is_the_prefix_of_the_decode(padding: str) -> None:
    vae = small_vae(decoder_spatial_padding_mode=padding)
    latents = torch.randn(1, 8, 5, 2, 3)
    whole = vae.decode(latents, causal=True)
    for latent_frames in range(1, 5):
        prefix = vae.decode(latents[:, :, :latent_frames], causal=True)
        torch.testing.assert_close(prefix, whole[:, :, : 1 + (latent_frames - 1) * 4], atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_non_causal_decode_sees_later_latents() -> None:
    vae = small_vae()
    latents = torch.randn(1, 8, 3, 2, 2)
    assert not torch.allclose(vae.decode(latents[:, :, :2]), vae.decode(latents)[:, :, :5], atol=1e-3)


@torch.no_grad()
def test_the_checkpoint_decides_causality_unless_the_caller_does() -> None:
    latents = torch.randn(1, 8, 3, 2, 2)
    causal, symmetric = small_vae(causal_decoder=True), small_vae(causal_decoder=False)
    assert torch.equal(causal.decode(latents), symmetric.decode(latents, causal=True))
    assert torch.equal(causal.decode(latents, causal=False), symmetric.decode(latents))
    assert not torch.equal(causal.decode(latents), symmetric.decode(latents))


@torch.no_grad()
def test_latents_of_a_prefix_are_the_prefix_of_the_latents() -> None:
    vae = small_vae()
    pixels = torch.rand(1, 3, 13, 32, 32) * 2 - 1
    torch.testing.assert_close(vae.encode(pixels[:, :, :5]), vae.encode(pixels)[:, :, :2], atol=1e-5, rtol=0)


@torch.no_grad()
def test_statistics_normalise_what_the_encoder_gives_and_undo_it() -> None:
    vae = small_vae()
    pixels = torch.rand(1, 3, 5, 32, 32) * 2 - 1
    plain = vae.encode(pixels)
    vae.per_channel_statistics.get_buffer("mean-of-means").fill_(0.5)
    vae.per_channel_statistics.get_buffer("std-of-means").fill_(2.0)
    latents = vae.encode(pixels)
    torch.testing.assert_close(latents, (plain - 0.5) / 2)
    torch.testing.assert_close(vae.per_channel_statistics.denormalize(latents), plain)
    torch.testing.assert_close(vae.decode(latents), small_vae().decode(plain), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(0, 32, 32), (4, 32, 32), (5, 40, 32), (5, 32, 31)])
def test_pixels_of_a_wrong_size_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"expected 1 \+ n\*4 frames .* multiples of 16 px"):
        small_vae().encode(torch.zeros(1, 3, *shape))


def test_latents_of_another_model_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected latents \[B, 8, F, H, W\], got \[1, 16, 2, 2, 2\]"):
        small_vae().decode(torch.zeros(1, 16, 2, 2, 2))


def test_reflection_needs_two_latents_a_side() -> None:
    with pytest.raises(ValueError, match="at least 2x2 latents, got 2x1"):
        small_vae(decoder_spatial_padding_mode="reflect").decode(torch.zeros(1, 8, 2, 1, 2))


@torch.no_grad()
def test_bfloat16_decodes_close_to_float32() -> None:
    vae = small_vae()
    latents = torch.randn(1, 8, 3, 2, 2)
    expected = vae.decode(latents)
    pixels = vae.to(torch.bfloat16).decode(latents.bfloat16())
    assert pixels.dtype == torch.bfloat16
    assert (pixels.float() - expected).square().mean() < 1e-3 * expected.square().mean()


@torch.no_grad()
def test_a_batch_decodes_like_its_clips_one_by_one() -> None:
    vae = small_vae()
    latents = torch.randn(3, 8, 3, 2, 2)
    each = torch.cat([vae.decode(clip[None]) for clip in latents])
    torch.testing.assert_close(vae.decode(latents), each, atol=1e-5, rtol=0)


@torch.no_grad()
def test_decoded_pixels_lie_interleaved_in_memory() -> None:
    pixels = small_vae().decode(torch.randn(1, 8, 3, 2, 2))
    assert pixels.movedim(1, -1).is_contiguous()


def test_every_weight_learns() -> None:
    vae = small_vae().train()
    pixels = torch.rand(1, 3, 5, 32, 32) * 2 - 1
    (vae.decode(vae.encode(pixels)) - pixels).square().mean().backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@torch.no_grad()
def test_the_decoder_compiles_into_one_graph() -> None:
    vae = small_vae()
    latents = torch.randn(1, 8, 2, 2, 2)
    expected = vae.decode(latents)
    compiled = torch.compile(vae.decoder.forward, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(latents, False), expected, atol=1e-5, rtol=0)
