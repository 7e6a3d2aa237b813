from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.mel import LogMelSpectrogram, MelConfig, slaney_filter_bank

PUBLISHED = {
    "model": {"params": {"sampling_rate": 16000, "ddconfig": {"mel_bins": 64}}},
    "preprocessing": {
        "stft": {"filter_length": 1024, "hop_length": 160, "win_length": 1024, "causal": True},
        "mel": {"n_mel_channels": 64, "mel_fmin": 0, "mel_fmax": 8000},
    },
}


def _textbook_magnitudes(samples: np.ndarray, config: MelConfig) -> np.ndarray:
    """[T, n_fft // 2 + 1]: mirror the edges, cut frames at each hop, window them, and sum the Fourier series."""
    padded = np.pad(samples.astype(np.float64), config.n_fft // 2, mode="reflect")
    window = np.zeros(config.n_fft)
    start = (config.n_fft - config.win_length) // 2
    window[start : start + config.win_length] = np.sin(np.pi * np.arange(config.win_length) / config.win_length) ** 2
    count = 1 + len(samples) // config.hop_length
    frames = [padded[i * config.hop_length :][: config.n_fft] * window for i in range(count)]
    return np.abs(np.fft.rfft(np.stack(frames), axis=1))


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(MelConfig(), id="published"),
        pytest.param(MelConfig(24_000, 512, 400, 100, 20, 50.0, 9_000.0), id="short window, band-limited"),
    ],
)
def test_filters_are_those_of_the_slaney_toolbox(config: MelConfig) -> None:
    expected = mel_filter_bank(
        num_frequency_bins=config.n_fft // 2 + 1,
        num_mel_filters=config.mel_bins,
        min_frequency=config.min_hz,
        max_frequency=config.max_hz,
        sampling_rate=config.sample_rate_hz,
        norm="slaney",
        mel_scale="slaney",
    )
    ours = slaney_filter_bank(
        sample_rate_hz=config.sample_rate_hz,
        n_fft=config.n_fft,
        mel_bins=config.mel_bins,
        min_hz=config.min_hz,
        max_hz=config.max_hz,
    )
    np.testing.assert_allclose(ours.numpy().T, expected, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize(
    "config", [MelConfig(), MelConfig(24_000, 512, 400, 100, 20, 50.0, 9_000.0)], ids=["published", "short window"]
)
def test_a_log_mel_spectrogram_follows_the_textbook_formula(config: MelConfig) -> None:
    rng = np.random.default_rng(0)
    waveform = rng.normal(0.0, 0.3, (2, 2, 5_005)).astype(np.float32)
    mel = LogMelSpectrogram(config)(torch.from_numpy(waveform)).numpy()
    filters = mel_filter_bank(
        config.n_fft // 2 + 1,
        config.mel_bins,
        config.min_hz,
        config.max_hz,
        config.sample_rate_hz,
        norm="slaney",
        mel_scale="slaney",
    )
    for batch in range(2):
        for channel in range(2):
            expected = _textbook_magnitudes(waveform[batch, channel], config) @ filters
            np.testing.assert_allclose(mel[batch, channel], np.log(np.maximum(expected, 1e-5)), atol=1e-5, rtol=1e-5)


def test_five_seconds_give_a_frame_every_ten_milliseconds_and_one_more() -> None:
    mel = LogMelSpectrogram(MelConfig())(torch.zeros(1, 2, 80_000))
    assert mel.shape == (1, 2, 501, 64)


def test_silence_is_the_logarithm_of_the_floor() -> None:
    mel = LogMelSpectrogram(MelConfig())(torch.zeros(1, 2, 1_000))
    torch.testing.assert_close(mel, torch.full_like(mel, float(np.log(1e-5))))


def test_neither_a_cast_nor_autocast_changes_the_spectrogram() -> None:
    waveform = torch.randn(1, 2, 2_000, generator=torch.Generator().manual_seed(0)).bfloat16()
    expected = LogMelSpectrogram(MelConfig())(waveform.float())
    torch.testing.assert_close(LogMelSpectrogram(MelConfig()).bfloat16()(waveform), expected, atol=0.0, rtol=0.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mel = LogMelSpectrogram(MelConfig())(waveform)
    torch.testing.assert_close(mel, expected, atol=0.0, rtol=0.0)


def test_a_front_end_needs_nothing_from_a_checkpoint_and_survives_construction_without_storage() -> None:
    with torch.device("meta"):
        spectrogram = LogMelSpectrogram(MelConfig())
    assert spectrogram.state_dict() == {}
    assert spectrogram(torch.zeros(1, 2, 1_000)).device.type == "cpu"


def test_a_clip_that_is_too_short_to_mirror_is_refused() -> None:
    with pytest.raises(ValueError, match=r"N > 512 samples, got shape \[1, 2, 512\]"):
        LogMelSpectrogram(MelConfig())(torch.zeros(1, 2, 512))


def test_the_published_metadata_reads_as_the_defaults() -> None:
    assert MelConfig.from_metadata(PUBLISHED) == MelConfig()


def test_metadata_overrides_every_number() -> None:
    section = {
        "model": {"params": {"sampling_rate": 8000, "ddconfig": {"mel_bins": None}}},
        "preprocessing": {
            "stft": {"filter_length": 256, "hop_length": 40, "win_length": 200},
            "mel": {"n_mel_channels": 16, "mel_fmin": 20, "mel_fmax": 3500.0},
        },
    }
    assert MelConfig.from_metadata(section) == MelConfig(8000, 256, 200, 40, 16, 20.0, 3500.0)


def test_frequencies_above_half_the_sample_rate_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"max_hz <= 4000\.0"):
        MelConfig(sample_rate_hz=8000)


def test_a_window_longer_than_the_transform_is_refused() -> None:
    with pytest.raises(CheckpointError, match="win_length <= n_fft"):
        MelConfig(n_fft=512)
