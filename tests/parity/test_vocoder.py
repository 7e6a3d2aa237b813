"""The vocoders against diffusers' LTX2Vocoder and LTX2VocoderWithBWE, with small random weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder, LTX2VocoderWithBWE

from benchmarks.diffusers_names import renamed
from fastvideo.models.ltx2.bandwidth_extension import BandwidthExtensionConfig
from fastvideo.models.ltx2.vocoder import Vocoder, VocoderConfig
from fastvideo.models.ltx2.waveform_generator import GeneratorConfig

HIFI_GAN = GeneratorConfig(initial_channels=64)
BIG_VGAN = GeneratorConfig(
    initial_channels=64,
    upsample_rates=(5, 2, 2, 2, 2, 2),
    upsample_kernel_sizes=(11, 4, 4, 4, 4, 4),
    activation="snakebeta",
    final_activation="none",
    final_bias=False,
)
EXTENDER = dataclasses.replace(
    BIG_VGAN, initial_channels=32, upsample_rates=(6, 5, 2, 2, 2), upsample_kernel_sizes=(12, 11, 4, 4, 4)
)


def _randomise(vocoder: Vocoder, seed: int) -> None:
    """Random weights; the filters and bases as a checkpoint has them, rounded to bfloat16."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in vocoder.state_dict().items():
        if name.endswith(("filter", "basis")):
            value.copy_(value.bfloat16())
        elif name.endswith(("bias", "alpha", "beta")):
            value.normal_(std=0.3, generator=generator)
        else:
            value.normal_(std=0.7 * value[0].numel() ** -0.5, generator=generator)


def _oracle_arguments(config: GeneratorConfig, prefix: str = "") -> dict[str, Any]:
    arguments = {
        "in_channels": config.audio_channels * config.mel_bins,
        "hidden_channels": config.initial_channels,
        "out_channels": config.audio_channels,
        "upsample_kernel_sizes": list(config.upsample_kernel_sizes),
        "upsample_factors": list(config.upsample_rates),
        "resnet_kernel_sizes": list(config.resblock_kernel_sizes),
        "resnet_dilations": [list(row) for row in config.resblock_dilations],
        "act_fn": config.activation,
        "antialias": config.activation == "snakebeta",
        "final_act_fn": None if config.final_activation == "none" else config.final_activation,
        "final_bias": config.final_bias,
    }
    return {prefix + key: value for key, value in arguments.items()}


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(HIFI_GAN, id="2.0"),
        pytest.param(BIG_VGAN, id="first stage of 2.3"),
        pytest.param(dataclasses.replace(BIG_VGAN, final_activation="clamp", final_bias=True), id="clamped"),
        pytest.param(
            GeneratorConfig(
                mel_bins=8,
                initial_channels=8,
                upsample_rates=(4, 3),
                upsample_kernel_sizes=(8, 5),
                resblock_kernel_sizes=(3, 5),
                resblock_dilations=((1, 2), (2, 6)),
            ),
            id="two short stages",
        ),
    ],
)
@pytest.mark.parametrize("frames", [1, 12])
@torch.inference_mode()
def test_a_generator_gives_the_oracles_samples(config: GeneratorConfig, frames: int) -> None:
    ours = Vocoder(VocoderConfig(generator=config)).eval()
    _randomise(ours, seed=3)
    theirs = LTX2Vocoder(**_oracle_arguments(config)).eval()
    theirs.load_state_dict(renamed("vocoder", ours.state_dict()))
    mel = torch.randn(2, config.audio_channels, frames, config.mel_bins)
    expected = theirs(mel)
    torch.testing.assert_close(ours(mel), expected, atol=1e-5, rtol=1e-5)
    assert expected.shape[-1] == frames * config.samples_per_frame
    assert 0.05 < expected.std() < 20.0


@pytest.mark.parametrize("frames", [1, 12])
@torch.inference_mode()
def test_the_bandwidth_extension_gives_the_oracles_samples(frames: int) -> None:
    extension = BandwidthExtensionConfig(generator=EXTENDER)
    ours = Vocoder(VocoderConfig(BIG_VGAN, extension)).eval()
    _randomise(ours, seed=4)
    # Quiet enough that the final clamp does not hide differences.
    ours.state_dict()["vocoder.conv_post.weight"].mul_(0.1)
    ours.state_dict()["bwe_generator.conv_post.weight"].mul_(0.05)
    theirs = LTX2VocoderWithBWE(**_oracle_arguments(BIG_VGAN), **_oracle_arguments(EXTENDER, "bwe_")).eval()
    theirs.load_state_dict(renamed("vocoder", ours.state_dict()))
    mel = torch.randn(2, 2, frames, 64)
    expected = theirs(mel)
    torch.testing.assert_close(ours(mel), expected, atol=1e-5, rtol=1e-5)
    assert expected.shape[-1] == frames * 480
    assert expected.std() > 0.05
    assert (expected.abs() < 1.0).float().mean() > 0.9
