"""The audio VAE against diffusers' AutoencoderKLLTX2Audio, with small random weights."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_ltx2_audio import AutoencoderKLLTX2Audio
from torch import Tensor

from benchmarks.diffusers_names import renamed
from fastvideo.models.ltx2.audio_vae import AudioVAE, AudioVAEConfig
from fastvideo.models.ltx2.mel import MelConfig


def _pair(config: AudioVAEConfig, seed: int) -> tuple[AudioVAE, AutoencoderKLLTX2Audio]:
    """The same random weights in both; the oracle is loaded strictly, so that every name and shape agrees."""
    generator = torch.Generator().manual_seed(seed)
    ours = AudioVAE(config).eval()
    for name, value in ours.state_dict().items():
        if name.endswith("std-of-means"):
            value.uniform_(0.5, 2.0, generator=generator)
        elif name.endswith(("bias", "mean-of-means")):
            value.normal_(std=0.3, generator=generator)
        else:
            value.normal_(std=value[0].numel() ** -0.5, generator=generator)
    theirs = AutoencoderKLLTX2Audio(
        base_channels=config.base_channels,
        output_channels=config.audio_channels,
        ch_mult=config.channel_multipliers,
        num_res_blocks=config.res_blocks,
        in_channels=config.audio_channels,
        latent_channels=config.latent_channels,
        mel_bins=config.mel.mel_bins,
    ).eval()
    theirs.load_state_dict(renamed("audio_vae", ours.state_dict()))
    return ours, theirs


def _tokens(latents: Tensor) -> Tensor:
    return latents.transpose(1, 2).flatten(2)


# The oracle keeps one statistic for each base channel, so the width equals latent channels times latent bins.
PUBLISHED_DEPTH = AudioVAEConfig(base_channels=32, latent_channels=2)
SHALLOW_MONO = AudioVAEConfig(
    base_channels=12,
    channel_multipliers=(2, 1, 3),
    res_blocks=1,
    audio_channels=1,
    latent_channels=3,
    mel=MelConfig(mel_bins=16),
)
TWO_LEVELS = AudioVAEConfig(base_channels=16, channel_multipliers=(1, 3), latent_channels=2, mel=MelConfig(mel_bins=16))


@pytest.mark.parametrize("config", [PUBLISHED_DEPTH, SHALLOW_MONO, TWO_LEVELS])
@pytest.mark.parametrize("frames", [1, 4, 9, 21])
@torch.inference_mode()
def test_encoding_gives_the_oracles_latents_normalised_over_channel_major_tokens(
    config: AudioVAEConfig, frames: int
) -> None:
    ours, theirs = _pair(config, seed=1)
    mel = torch.randn(2, config.audio_channels, frames, config.mel.mel_bins) * 2 - 4
    expected = (_tokens(theirs.encode(mel).latent_dist.mode()) - theirs.latents_mean) / theirs.latents_std
    torch.testing.assert_close(_tokens(ours.encode(mel)), expected, atol=1e-5, rtol=1e-5)
    assert expected.std() > 0.1


# The oracle crops its output for a time scale of 4, whatever its depth.
@pytest.mark.parametrize("config", [PUBLISHED_DEPTH, SHALLOW_MONO])
@pytest.mark.parametrize("frames", [1, 2, 7])
@torch.inference_mode()
def test_decoding_gives_the_oracles_spectrogram_of_the_denormalised_latents(
    config: AudioVAEConfig, frames: int
) -> None:
    ours, theirs = _pair(config, seed=2)
    latents = torch.randn(2, config.latent_channels, frames, config.latent_bins)
    denormalised = _tokens(latents) * theirs.latents_std + theirs.latents_mean
    expected = theirs.decode(denormalised.unflatten(2, (config.latent_channels, -1)).transpose(1, 2)).sample
    torch.testing.assert_close(ours.decode(latents), expected, atol=1e-5, rtol=1e-5)
    assert expected.shape[2] == 4 * frames - 3
    assert expected.std() > 0.1
