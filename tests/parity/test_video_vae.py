"""The video VAE computes what diffusers' AutoencoderKLLTX2Video computes, in both published layouts."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKLLTX2Video

from benchmarks.diffusers_names import renamed
from fastvideo.models.ltx2.video_vae import VideoVAE, VideoVAEConfig

LATENT_CHANNELS = 8
# In double precision the two may differ only by the order of summation, so any difference in the maths shows, and a
# narrow decoder will do; in single precision narrow layers would amplify rounding in the channel norm.
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-11}
DECODER_BASE_CHANNELS = {torch.float32: 32, torch.float64: 8}

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
ENCODER_2_3 = [
    *ENCODER_2_0[:4],
    ["res_x", {"num_layers": 4}],
    ["compress_all_res", {"multiplier": 2}],
    ["res_x", {"num_layers": 2}],
    ["compress_all_res", {"multiplier": 1}],
    ["res_x", {"num_layers": 2}],
]
DECODER_2_0 = [
    ["res_x", {"num_layers": 5, "inject_noise": False}],
    ["compress_all", {"residual": True, "multiplier": 2}],
    ["res_x", {"num_layers": 5, "inject_noise": False}],
    ["compress_all", {"residual": True, "multiplier": 2}],
    ["res_x", {"num_layers": 5, "inject_noise": False}],
    ["compress_all", {"residual": True, "multiplier": 2}],
    ["res_x", {"num_layers": 5, "inject_noise": False}],
]
DECODER_2_3 = [
    ["res_x", {"num_layers": 4}],
    ["compress_space", {"multiplier": 2}],
    ["res_x", {"num_layers": 6}],
    ["compress_time", {"multiplier": 2}],
    ["res_x", {"num_layers": 4}],
    ["compress_all", {"multiplier": 1}],
    ["res_x", {"num_layers": 2}],
    ["compress_all", {"multiplier": 2}],
    ["res_x", {"num_layers": 2}],
]
SECTIONS = {
    "2.0": {"encoder_blocks": ENCODER_2_0, "decoder_blocks": DECODER_2_0},
    "2.3": {"encoder_blocks": ENCODER_2_3, "decoder_blocks": DECODER_2_3},
}
# The same layouts in the words of diffusers; decoder widths are multiples of the base width.
ORACLE_OPTIONS = {
    "2.0": {
        "block_out_channels": (16, 32, 64, 128),
        "layers_per_block": (4, 6, 6, 2, 2),
        "decoder_block_out_channels": (2, 4, 8),
        "decoder_layers_per_block": (5, 5, 5, 5),
        "decoder_inject_noise": (False,) * 4,
        "upsample_type": ("spatiotemporal",) * 3,
        "upsample_residual": (True,) * 3,
        "upsample_factor": (2, 2, 2),
        "decoder_spatio_temporal_scaling": (True,) * 3,
    },
    "2.3": {
        "block_out_channels": (16, 32, 64, 64),
        "layers_per_block": (4, 6, 4, 2, 2),
        "decoder_block_out_channels": (2, 4, 4, 8),
        "decoder_layers_per_block": (4, 6, 4, 2, 2),
        "decoder_inject_noise": (False,) * 5,
        "upsample_type": ("spatiotemporal", "spatiotemporal", "temporal", "spatial"),
        "upsample_residual": (False,) * 4,
        "upsample_factor": (2, 2, 1, 2),
        "decoder_spatio_temporal_scaling": (True,) * 4,
    },
}


def build_pair(version: str, decoder_padding: str, dtype: torch.dtype) -> tuple[VideoVAE, AutoencoderKLLTX2Video]:
    """Our VAE with random weights and statistics, and the oracle holding the same weights."""
    torch.manual_seed(0)
    base_channels = DECODER_BASE_CHANNELS[dtype]
    options = ORACLE_OPTIONS[version]
    decoder_widths = tuple(base_channels * factor for factor in options["decoder_block_out_channels"])
    section = {
        **SECTIONS[version],
        "latent_channels": LATENT_CHANNELS,
        "decoder_base_channels": base_channels,
        "decoder_spatial_padding_mode": decoder_padding,
    }
    ours = VideoVAE(VideoVAEConfig.from_metadata(section)).eval()
    ours.per_channel_statistics.get_buffer("mean-of-means").normal_()
    ours.per_channel_statistics.get_buffer("std-of-means").uniform_(0.5, 2.0)
    oracle = AutoencoderKLLTX2Video(
        latent_channels=LATENT_CHANNELS,
        decoder_causal=False,
        decoder_spatial_padding_mode=decoder_padding,
        spatial_compression_ratio=32,
        temporal_compression_ratio=8,
        **{**options, "decoder_block_out_channels": decoder_widths},
    ).eval()
    oracle.load_state_dict(renamed("video_vae", ours.state_dict()))
    return ours.to(dtype), oracle.to(dtype)


def statistics(vae: VideoVAE) -> tuple[torch.Tensor, torch.Tensor]:
    buffers = (vae.per_channel_statistics.get_buffer(name) for name in ("mean-of-means", "std-of-means"))
    mean, std = (buffer.view(1, -1, 1, 1, 1) for buffer in buffers)
    return mean, std


@pytest.mark.parametrize("version", ["2.0", "2.3"])
@pytest.mark.parametrize("frames", [1, 17])
@pytest.mark.parametrize("dtype", TOLERANCES)
@torch.no_grad()
def test_encoder_gives_the_normalised_means_of_diffusers(version: str, frames: int, dtype: torch.dtype) -> None:
    ours, oracle = build_pair(version, "zeros", dtype)
    mean, std = statistics(ours)
    pixels = torch.rand(2, 3, frames, 64, 96, dtype=dtype) * 2 - 1
    expected = (oracle.encode(pixels).latent_dist.mode() - mean) / std
    latents = ours.encode(pixels)
    assert latents.shape == (2, LATENT_CHANNELS, 1 + frames // 8, 2, 3)
    torch.testing.assert_close(latents, expected, atol=TOLERANCES[dtype], rtol=0)


@pytest.mark.parametrize("version", ["2.0", "2.3"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padding", ["reflect", "zeros"])
@pytest.mark.parametrize("latent_frames", [1, 3])
@pytest.mark.parametrize("dtype", TOLERANCES)
@torch.no_grad()
def test_decoder_gives_the_pixels_of_diffusers(
    version: str, causal: bool, padding: str, latent_frames: int, dtype: torch.dtype
) -> None:
    ours, oracle = build_pair(version, padding, dtype)
    mean, std = statistics(ours)
    latents = torch.randn(1, LATENT_CHANNELS, latent_frames, 2, 3, dtype=dtype)
    expected = oracle.decode(latents * std + mean, causal=causal).sample
    pixels = ours.decode(latents, causal=causal)
    assert pixels.shape == (1, 3, 8 * (latent_frames - 1) + 1, 64, 96)
    torch.testing.assert_close(pixels, expected, atol=TOLERANCES[dtype], rtol=0)


@pytest.mark.parametrize("version", ["2.0", "2.3"])
def test_our_tensors_and_those_of_diffusers_are_the_same_set(version: str) -> None:
    ours, oracle = build_pair(version, "zeros", torch.float32)
    assert set(renamed("video_vae", ours.state_dict())) == set(oracle.state_dict())
