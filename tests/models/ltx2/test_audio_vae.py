from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.audio_vae import AudioVAE, AudioVAEConfig, audio_latent_count
from fastvideo.models.ltx2.mel import MelConfig

PUBLISHED: dict[str, Any] = {
    "model": {
        "params": {
            "sampling_rate": 16000,
            "ddconfig": {
                "double_z": True,
                "mel_bins": 64,
                "z_channels": 8,
                "resolution": 256,
                "in_channels": 2,
                "out_ch": 2,
                "ch": 128,
                "ch_mult": [1, 2, 4],
                "num_res_blocks": 2,
                "attn_resolutions": [],
                "dropout": 0.0,
                "mid_block_add_attention": False,
                "norm_type": "pixel",
                "causality_axis": "height",
            },
        }
    },
    "preprocessing": {
        "audio": {"sampling_rate": 16000, "stereo": True},
        "stft": {"filter_length": 1024, "hop_length": 160, "win_length": 1024, "causal": True},
        "mel": {"n_mel_channels": 64, "mel_fmin": 0, "mel_fmax": 8000},
    },
}

# The published depth, on which the reach into the past depends; the width does not matter to it.
NARROW = AudioVAEConfig(base_channels=4, latent_channels=2, mel=MelConfig(mel_bins=8))
HISTORY_LATENTS = 33


def _vae(config: AudioVAEConfig, seed: int = 0) -> AudioVAE:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae = AudioVAE(config).eval().requires_grad_(False)
    vae.per_channel_statistics.get_buffer("mean-of-means").uniform_(-1, 1, generator=_generator(seed))
    vae.per_channel_statistics.get_buffer("std-of-means").uniform_(0.5, 2, generator=_generator(seed))
    return vae


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _with(key: str, value: Any) -> dict[str, Any]:
    section = copy.deepcopy(PUBLISHED)
    section["model"]["params"]["ddconfig"][key] = value
    return section


def test_the_published_metadata_reads_as_the_defaults() -> None:
    config = AudioVAEConfig.from_metadata(PUBLISHED)
    assert config == AudioVAEConfig()
    assert (config.time_scale, config.latent_bins, config.latents_per_second) == (4, 16, 25.0)


def test_metadata_overrides_widths_and_depths() -> None:
    section = _with("ch", 16)
    section["model"]["params"]["ddconfig"].update(ch_mult=[1, 2], num_res_blocks=1, z_channels=4, mel_bins=32)
    config = AudioVAEConfig.from_metadata(section)
    assert config == AudioVAEConfig(16, (1, 2), 1, 2, 4, MelConfig(mel_bins=32))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("norm_type", "group"),
        ("causality_axis", "width"),
        ("double_z", False),
        ("mid_block_add_attention", True),
        ("attn_resolutions", [16]),
        ("out_ch", 1),
    ],
)
def test_a_kind_that_is_not_implemented_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(CheckpointError, match=rf"audio_vae\.model\.params\.ddconfig\.{key}: expected"):
        AudioVAEConfig.from_metadata(_with(key, value))


def test_mel_bins_that_the_levels_cannot_halve_are_refused() -> None:
    with pytest.raises(CheckpointError, match="divisible by 4, got 30"):
        AudioVAEConfig(mel=MelConfig(mel_bins=30))


def test_the_tensors_have_the_official_names() -> None:
    config = AudioVAEConfig(8, (1, 2), 1, 2, 4, MelConfig(mel_bins=8))
    convolutions = {
        "encoder.conv_in.conv",
        "encoder.down.0.block.0.conv1.conv",
        "encoder.down.0.block.0.conv2.conv",
        "encoder.down.0.downsample.conv",
        "encoder.down.1.block.0.conv1.conv",
        "encoder.down.1.block.0.conv2.conv",
        "encoder.down.1.block.0.nin_shortcut.conv",
        "encoder.mid.block_1.conv1.conv",
        "encoder.mid.block_1.conv2.conv",
        "encoder.mid.block_2.conv1.conv",
        "encoder.mid.block_2.conv2.conv",
        "encoder.conv_out.conv",
        "decoder.conv_in.conv",
        "decoder.mid.block_1.conv1.conv",
        "decoder.mid.block_1.conv2.conv",
        "decoder.mid.block_2.conv1.conv",
        "decoder.mid.block_2.conv2.conv",
        "decoder.up.0.block.0.conv1.conv",
        "decoder.up.0.block.0.conv2.conv",
        "decoder.up.0.block.0.nin_shortcut.conv",
        "decoder.up.0.block.1.conv1.conv",
        "decoder.up.0.block.1.conv2.conv",
        "decoder.up.1.block.0.conv1.conv",
        "decoder.up.1.block.0.conv2.conv",
        "decoder.up.1.block.1.conv1.conv",
        "decoder.up.1.block.1.conv2.conv",
        "decoder.up.1.upsample.conv.conv",
        "decoder.conv_out.conv",
    }
    statistics = {"per_channel_statistics.mean-of-means", "per_channel_statistics.std-of-means"}
    tensors = {f"{name}.{kind}" for name in convolutions for kind in ("weight", "bias")}
    assert set(AudioVAE(config).state_dict()) == tensors | statistics


def test_the_published_statistics_cover_a_token_of_128() -> None:
    with torch.device("meta"):
        vae = AudioVAE(AudioVAEConfig())
    assert vae.state_dict()["per_channel_statistics.mean-of-means"].shape == (128,)


@pytest.mark.parametrize("frames", range(1, 14))
def test_one_latent_stands_for_four_frames_and_the_first_for_one(frames: int) -> None:
    vae = _vae(NARROW)
    latents = vae.encode(torch.randn(1, 2, frames, 8))
    assert latents.shape == (1, 2, (frames + 3) // 4, 2)
    assert vae.decode(latents).shape == (1, 2, 4 * latents.shape[2] - 3, 8)


@given(length=st.integers(2, 90), data=st.data())
@settings(max_examples=25, deadline=None)
def test_decoding_with_33_latents_of_the_past_equals_decoding_the_whole_clip(length: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(1, length - 1), label="start")
    extra = data.draw(st.integers(0, 4), label="extra context")
    vae = _vae(NARROW).double()
    latents = torch.randn(1, 2, length, 2, dtype=torch.float64, generator=_generator(length))
    new_rows = 4 * (length - start)
    part = vae.decode(latents[:, :, max(0, start - HISTORY_LATENTS - extra) :])[:, :, -new_rows:]
    torch.testing.assert_close(part, vae.decode(latents)[:, :, -new_rows:], atol=1e-12, rtol=1e-10)


def test_the_reach_into_the_past_is_33_latents_and_not_fewer() -> None:
    vae = _vae(NARROW).double()
    latents = torch.randn(1, 2, 60, 2, dtype=torch.float64, generator=_generator(0)).requires_grad_()
    # The second row of a latent is the one that reaches furthest back.
    vae.decode(latents)[:, :, 4 * 50 - 3].sum().backward()
    assert latents.grad is not None
    touched = latents.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert int(touched.max()) <= 50
    assert int(touched.min()) == 50 - HISTORY_LATENTS


@given(length=st.integers(1, 40), cut=st.integers(1, 40))
@settings(max_examples=15, deadline=None)
def test_encoding_and_decoding_never_look_ahead(length: int, cut: int) -> None:
    vae = _vae(NARROW).double()
    cut = min(cut, length)
    latents = torch.randn(1, 2, length, 2, dtype=torch.float64, generator=_generator(length))
    whole = vae.decode(latents)
    rows = 4 * cut - 3
    torch.testing.assert_close(vae.decode(latents[:, :, :cut]), whole[:, :, :rows], atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(vae.encode(whole[:, :, :rows]), vae.encode(whole)[:, :, :cut], atol=1e-12, rtol=1e-10)


def test_statistics_are_applied_on_both_ways_over_channel_major_tokens() -> None:
    vae = _vae(NARROW)
    plain = _vae(NARROW)
    plain.per_channel_statistics.get_buffer("mean-of-means").zero_()
    plain.per_channel_statistics.get_buffer("std-of-means").fill_(1.0)
    mean = vae.per_channel_statistics.get_buffer("mean-of-means")
    deviation = vae.per_channel_statistics.get_buffer("std-of-means")
    mel = torch.randn(1, 2, 9, 8)
    raw = plain.encode(mel)
    latents = vae.encode(mel)
    for channel in range(2):
        for position in range(2):
            index = channel * 2 + position
            expected = (raw[:, channel, :, position] - mean[index]) / deviation[index]
            torch.testing.assert_close(latents[:, channel, :, position], expected)
    torch.testing.assert_close(vae.decode(latents), plain.decode(raw), atol=1e-5, rtol=1e-5)


def test_it_computes_in_the_dtype_of_its_weights() -> None:
    vae = _vae(NARROW).bfloat16()
    latents = vae.encode(torch.randn(1, 2, 5, 8))
    assert latents.dtype == torch.bfloat16
    assert vae.decode(latents.float()).dtype == torch.bfloat16


def test_wrong_shapes_are_refused_with_what_was_expected() -> None:
    vae = _vae(NARROW)
    with pytest.raises(ValueError, match=r"expected latents \[B, 2, T, 2\], got shape \[1, 2, 0, 2\]"):
        vae.decode(torch.zeros(1, 2, 0, 2))
    with pytest.raises(ValueError, match=r"expected mel \[B, 2, T, 8\], got shape \[2, 5, 8\]"):
        vae.encode(torch.zeros(2, 5, 8))


@pytest.mark.parametrize(
    ("num_frames", "fps", "expected"),
    [(121, 24, 126), (161, 24, 168), (49, 24, 51), (129, 24, 134), (121, 25, 121), (1, 24, 1), (1, 60, 1)],
)
def test_the_latents_of_a_clip_are_its_duration_at_25_a_second_rounded(
    num_frames: int, fps: float, expected: int
) -> None:
    assert audio_latent_count(num_frames, fps) == expected


def test_other_latent_rates_scale_the_count() -> None:
    assert audio_latent_count(120, 24, latents_per_second=50.0) == 250


@pytest.mark.parametrize(("num_frames", "fps"), [(0, 24.0), (9, 0.0), (9, float("nan"))])
def test_a_clip_without_length_or_rate_has_no_latents(num_frames: int, fps: float) -> None:
    with pytest.raises(ValueError, match="expected num_frames >= 1 and fps > 0"):
        audio_latent_count(num_frames, fps)
