from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.bandwidth_extension import BandwidthExtendedGenerator, BandwidthExtensionConfig
from fastvideo.models.ltx2.mel import slaney_filter_bank
from fastvideo.models.ltx2.vocoder import Vocoder, VocoderConfig
from fastvideo.models.ltx2.waveform_generator import GeneratorConfig

# Metadata of the two published kinds.
FLAT: dict[str, Any] = {
    "resblock": "1",
    "upsample_rates": [6, 5, 2, 2, 2],
    "upsample_kernel_sizes": [16, 15, 8, 4, 4],
    "upsample_initial_channel": 1024,
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
    "stereo": True,
}
NESTED: dict[str, Any] = {
    "vocoder": {
        "resblock": "AMP1",
        "activation": "snakebeta",
        "upsample_rates": [5, 2, 2, 2, 2, 2],
        "upsample_kernel_sizes": [11, 4, 4, 4, 4, 4],
        "upsample_initial_channel": 1536,
        "use_tanh_at_final": False,
        "use_bias_at_final": False,
    },
    "bwe": {
        "resblock": "AMP1",
        "activation": "snakebeta",
        "upsample_rates": [6, 5, 2, 2, 2],
        "upsample_kernel_sizes": [12, 11, 4, 4, 4],
        "upsample_initial_channel": 512,
        "use_tanh_at_final": False,
        "use_bias_at_final": False,
        "input_sampling_rate": 16000,
        "output_sampling_rate": 48000,
        "n_fft": 512,
        "hop_length": 80,
        "num_mels": 64,
    },
}

# The published rates and kernels, on which the reach of a sample depends; the width does not matter to it.
HIFI_GAN = GeneratorConfig(mel_bins=8, initial_channels=32)
BIG_VGAN = GeneratorConfig(
    mel_bins=8,
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
PLAIN = VocoderConfig(HIFI_GAN)
EXTENDED = VocoderConfig(BIG_VGAN, BandwidthExtensionConfig(EXTENDER))
# One short stage each: for what does not depend on the depth.
SHORT = GeneratorConfig(2, 2, 8, (4,), (8,), (3,), ((1,),))
SHORT_SNAKE = dataclasses.replace(SHORT, activation="snakebeta", final_activation="none", final_bias=False)
SHORT_EXTENDED = VocoderConfig(
    SHORT_SNAKE,
    BandwidthExtensionConfig(
        dataclasses.replace(SHORT_SNAKE, upsample_rates=(8,), upsample_kernel_sizes=(8,)), 400, 800, 16, 4
    ),
)

# Mel frames on each side that a sample of the published depths can depend on: exactly for 2.0, a bound for 2.3.
HALO_FRAMES = {"plain": 18, "extended": 60}


def _vocoder(config: VocoderConfig, seed: int = 0) -> Vocoder:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Vocoder(config).eval().requires_grad_(False)


def _mel(config: VocoderConfig, frames: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, config.generator.audio_channels, frames, config.generator.mel_bins, generator=generator)


def test_a_flat_section_reads_as_the_vocoder_of_2_0() -> None:
    config = VocoderConfig.from_metadata(FLAT)
    assert config == VocoderConfig()
    assert config.sample_rate_hz == 24_000
    assert VocoderConfig.from_metadata({}) == config


def test_a_nested_section_reads_as_the_vocoder_of_2_3() -> None:
    config = VocoderConfig.from_metadata(NESTED)
    extension = config.bandwidth_extension
    assert extension is not None
    assert config.generator.samples_per_frame == 160
    assert config.generator.initial_channels == 1536
    assert extension.generator.upsample_rates == (6, 5, 2, 2, 2)
    for generator in (config.generator, extension.generator):
        assert (generator.activation, generator.final_activation, generator.final_bias) == ("snakebeta", "none", False)
    assert (extension.n_fft, extension.hop_length, extension.ratio) == (512, 80, 3)
    assert config.generator_sample_rate_hz == 16_000
    assert config.sample_rate_hz == 48_000


def test_metadata_overrides_every_number_of_a_generator() -> None:
    section = {
        "num_mels": 16,
        "stereo": False,
        "upsample_initial_channel": 16,
        "upsample_rates": [8, 5],
        "upsample_kernel_sizes": [16, 11],
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 2]],
        "use_tanh_at_final": False,
        "use_bias_at_final": False,
        "output_sampling_rate": 4000,
    }
    generator = GeneratorConfig(16, 1, 16, (8, 5), (16, 11), (3,), ((1, 2),), "leaky_relu", "clamp", False)
    config = VocoderConfig.from_metadata(section)
    assert config == VocoderConfig(generator)
    assert config.sample_rate_hz == 4_000


def test_a_first_stage_that_says_so_activates_its_output() -> None:
    section = copy.deepcopy(NESTED)
    section["vocoder"]["apply_final_activation"] = True
    assert VocoderConfig.from_metadata(section).generator.final_activation == "clamp"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resblock": "2"}, r"vocoder\.resblock: expected '1' or 'AMP1'"),
        ({"resblock": "AMP1", "activation": "snake"}, r"vocoder\.activation: expected 'snakebeta'"),
        ({"output_sampling_rate": 16000}, r"vocoder\.output_sampling_rate: expected 24000"),
        ({"upsample_rates": [6, 5]}, "one upsample kernel for each rate"),
        ({"upsample_kernel_sizes": [15, 15, 8, 4, 4]}, "kernel 15 for rate 6"),
        ({"resblock_kernel_sizes": [3]}, "one list of dilations for each residual kernel"),
        ({"resblock_kernel_sizes": [3, 7, 10]}, "odd residual kernels"),
        ({"upsample_initial_channel": 48}, "halve the channels each time, got 48"),
    ],
)
def test_a_generator_that_cannot_be_built_is_refused_with_the_reason(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        VocoderConfig.from_metadata({**FLAT, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hop_length": 160}, r"product 480 \(hop times ratio\)"),
        ({"output_sampling_rate": 44100}, "a multiple of the input rate"),
        ({"input_sampling_rate": 24000, "hop_length": 120}, "from 16000 Hz, the generator's rate, got one from 24000"),
        ({"n_fft": 64}, "at least the hop"),
    ],
)
def test_an_extension_that_does_not_fit_is_refused_with_the_reason(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        VocoderConfig.from_metadata({**NESTED, "bwe": {**NESTED["bwe"], **change}})


def test_the_tensors_of_one_generator_lie_at_the_top() -> None:
    modules = {"conv_pre", "ups.0", "resblocks.0.convs1.0", "resblocks.0.convs2.0", "conv_post"}
    expected = {f"{name}.{kind}" for name in modules for kind in ("weight", "bias")}
    assert set(Vocoder(VocoderConfig(SHORT)).state_dict()) == expected


def test_the_tensors_of_an_extended_vocoder_have_the_official_names() -> None:
    activations = {
        f"{activation}.{tensor}"
        for activation in ("resblocks.0.acts1.0", "resblocks.0.acts2.0", "act_post")
        for tensor in ("act.alpha", "act.beta", "upsample.filter", "downsample.lowpass.filter")
    }
    modules = {"conv_pre", "ups.0", "resblocks.0.convs1.0", "resblocks.0.convs2.0"}
    weights = {f"{name}.{kind}" for name in modules for kind in ("weight", "bias")} | {"conv_post.weight"}
    generators = {f"{stage}.{name}" for stage in ("vocoder", "bwe_generator") for name in weights | activations}
    bases = {"mel_stft.mel_basis", "mel_stft.stft_fn.forward_basis", "mel_stft.stft_fn.inverse_basis"}
    assert set(Vocoder(SHORT_EXTENDED).state_dict()) == generators | bases


@pytest.mark.parametrize("basis", ["mel_basis", "stft_fn.forward_basis", "stft_fn.inverse_basis"])
def test_a_checkpoint_without_a_basis_is_not_loaded(basis: str) -> None:
    state = _vocoder(SHORT_EXTENDED).state_dict()
    del state[f"mel_stft.{basis}"]
    with pytest.raises(RuntimeError, match=rf"Missing key\(s\) in state_dict: \"mel_stft\.{basis}\""):
        _vocoder(SHORT_EXTENDED).load_state_dict(state)


def test_the_bases_of_the_checkpoint_are_the_ones_used() -> None:
    vocoder, mel = _vocoder(SHORT_EXTENDED), _mel(SHORT_EXTENDED, 6)
    before = vocoder(mel)
    for basis in ("mel_basis", "stft_fn.forward_basis"):
        state = {name: value.clone() for name, value in vocoder.state_dict().items()}
        state[f"mel_stft.{basis}"] *= 3.0
        changed = _vocoder(SHORT_EXTENDED)
        changed.load_state_dict(state)
        assert not torch.allclose(changed(mel), before)


@pytest.mark.parametrize("config", [PLAIN, EXTENDED], ids=["plain", "extended"])
def test_a_second_of_mel_is_a_second_of_sound(config: VocoderConfig) -> None:
    vocoder = _vocoder(config)
    waveform = vocoder(_mel(config, 100))
    assert waveform.shape == (1, 2, vocoder.sample_rate)
    assert waveform.abs().max() <= 1.0
    assert waveform.std() > 1e-4


def test_an_output_that_is_not_whole_hops_keeps_its_length() -> None:
    extension = SHORT_EXTENDED.bandwidth_extension
    assert extension is not None
    generator = dataclasses.replace(extension.generator, upsample_rates=(12,), upsample_kernel_sizes=(12,))
    config = VocoderConfig(SHORT_SNAKE, BandwidthExtensionConfig(generator, 400, 800, 16, 6))
    # Three frames are 12 samples, two hops; one frame is two thirds of a hop.
    assert [_vocoder(config)(_mel(config, frames)).shape[-1] for frames in (1, 2, 3)] == [8, 16, 24]


@pytest.mark.parametrize(
    ("config", "halo"), [(PLAIN, HALO_FRAMES["plain"]), (EXTENDED, HALO_FRAMES["extended"])], ids=["plain", "extended"]
)
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_a_piece_with_its_halo_equals_the_same_piece_of_the_whole(
    config: VocoderConfig, halo: int, data: st.DataObject
) -> None:
    frames = data.draw(st.integers(2, 3 * halo), label="frames")
    start = data.draw(st.integers(0, frames - 1), label="start")
    stop = data.draw(st.integers(start + 1, frames), label="stop")
    vocoder, mel = _vocoder(config), _mel(config, frames)
    samples = vocoder.sample_rate // 100
    first = max(0, start - halo)
    piece = vocoder(mel[:, :, first : stop + halo])[..., (start - first) * samples : (stop - first) * samples]
    torch.testing.assert_close(piece, vocoder(mel)[..., start * samples : stop * samples], atol=1e-6, rtol=1e-5)


def test_a_frame_of_2_0_depends_on_18_frames_on_each_side_and_not_fewer() -> None:
    vocoder, mel = _vocoder(PLAIN), _mel(PLAIN, 61).requires_grad_()
    vocoder(mel)[..., 30 * 240 : 31 * 240].abs().sum().backward()
    assert mel.grad is not None
    touched = mel.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert (int(touched.min()), int(touched.max())) == (30 - HALO_FRAMES["plain"], 30 + HALO_FRAMES["plain"])


@pytest.mark.parametrize("config", [VocoderConfig(SHORT), SHORT_EXTENDED], ids=["plain", "extended"])
def test_a_copy_has_its_own_weights_and_computes_with_them(config: VocoderConfig) -> None:
    vocoder, mel = _vocoder(config), _mel(config, 5)
    before = vocoder(mel)
    twin = copy.deepcopy(vocoder)
    other = _vocoder(config, seed=1)
    twin.load_state_dict(other.state_dict())
    torch.testing.assert_close(twin(mel), other(mel), atol=0.0, rtol=0.0)
    torch.testing.assert_close(vocoder(mel), before, atol=0.0, rtol=0.0)
    assert not torch.allclose(twin(mel), before)


@pytest.mark.parametrize("config", [VocoderConfig(SHORT), SHORT_EXTENDED], ids=["plain", "extended"])
def test_casting_the_model_around_it_changes_neither_its_weights_nor_its_sound(config: VocoderConfig) -> None:
    vocoder, mel = _vocoder(config), _mel(config, 5)
    expected = vocoder(mel)
    model = nn.ModuleDict({"vocoder": copy.deepcopy(vocoder), "other": nn.Linear(2, 2)})
    for cast in (model.bfloat16(), model.half(), model.to(torch.bfloat16), model.to("cpu", torch.float16)):
        assert cast["other"].weight.dtype != torch.float32
        assert all(value.dtype == torch.float32 for value in cast["vocoder"].state_dict().values())
        torch.testing.assert_close(cast["vocoder"](mel), expected, atol=0.0, rtol=0.0)


def test_autocast_does_not_reach_its_arithmetic() -> None:
    vocoder, mel = _vocoder(SHORT_EXTENDED), _mel(SHORT_EXTENDED, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        waveform = vocoder(mel)
    assert waveform.dtype == torch.float32
    torch.testing.assert_close(waveform, vocoder(mel), atol=0.0, rtol=0.0)


def test_a_bfloat16_spectrogram_gives_a_float32_waveform() -> None:
    mel = _mel(PLAIN, 3).bfloat16()
    vocoder = _vocoder(PLAIN)
    waveform = vocoder(mel)
    assert waveform.dtype == torch.float32
    torch.testing.assert_close(waveform, vocoder(mel.float()), atol=0.0, rtol=0.0)


@pytest.mark.parametrize("assign", [False, True], ids=["copied", "assigned"])
def test_a_bfloat16_checkpoint_is_widened_when_it_is_loaded(assign: bool) -> None:
    source = _vocoder(SHORT_EXTENDED, seed=1)
    narrow = {name: value.bfloat16() for name, value in source.state_dict().items()}
    with torch.device("meta" if assign else "cpu"):
        vocoder = Vocoder(SHORT_EXTENDED).eval().requires_grad_(False)
    vocoder.load_state_dict(narrow, assign=assign)
    source.load_state_dict(narrow)
    mel = _mel(SHORT_EXTENDED, 5)
    torch.testing.assert_close(vocoder(mel), source(mel), atol=0.0, rtol=0.0)


def test_a_spectrogram_of_the_wrong_shape_is_refused_with_what_was_expected() -> None:
    with pytest.raises(ValueError, match=r"expected mel \[B, 2, T, 8\], got shape \[1, 2, 8, 5\]"):
        _vocoder(PLAIN)(torch.zeros(1, 2, 8, 5))


def test_the_bases_made_without_a_checkpoint_are_a_causal_log_mel_spectrogram() -> None:
    network = BandwidthExtendedGenerator(BIG_VGAN, BandwidthExtensionConfig(EXTENDER))
    waveform = np.random.default_rng(0).normal(0.0, 0.2, 800)
    filters = slaney_filter_bank(sample_rate_hz=16_000, n_fft=512, mel_bins=8, min_hz=0.0, max_hz=8_000.0)
    window = np.sin(np.pi * np.arange(512) / 512) ** 2
    padded = np.concatenate((np.zeros(432), waveform))
    frames = np.stack([padded[start : start + 512] * window for start in range(0, 800, 80)])
    expected = np.log(np.maximum(np.abs(np.fft.rfft(frames, axis=1)) @ filters.numpy().T, 1e-5))
    ours = network.mel_stft(torch.from_numpy(waveform).float()[None, None])
    np.testing.assert_allclose(ours[0, 0].numpy(), expected, atol=1e-4, rtol=1e-5)


def test_the_extension_adds_to_the_sound_it_extends() -> None:
    vocoder = _vocoder(EXTENDED)
    state = vocoder.state_dict()
    state["bwe_generator.conv_post.weight"].zero_()
    wide = vocoder(_mel(EXTENDED, 30))
    narrow = _vocoder(VocoderConfig(BIG_VGAN))
    narrow.load_state_dict({name[8:]: value for name, value in state.items() if name.startswith("vocoder.")})
    # With a silent extension every third sample is the narrow-band one (the filter is nearly an interpolator).
    torch.testing.assert_close(wide[..., ::3], narrow(_mel(EXTENDED, 30)), atol=2e-2, rtol=2e-2)
