"""Log-mel spectrograms: the sound that the LTX-2 audio VAE codes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.float32_module import Float32Module, without_autocast
from fastvideo.models.ltx2.metadata_section import MetadataSection

# The smallest magnitude that is told from silence, before the logarithm.
MAGNITUDE_FLOOR = 1e-5

# Slaney's mel scale: linear up to 1 kHz (15 mel there), then 27 steps for each factor of 6.4.
_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_LINEAR_LIMIT_HZ = 1000.0
_LINEAR_LIMIT_MEL = _LINEAR_LIMIT_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0


@dataclass(frozen=True)
class MelConfig:
    """Geometry of the spectrogram. The defaults are those of every published LTX-2 checkpoint."""

    sample_rate_hz: int = 16_000
    n_fft: int = 1024
    win_length: int = 1024
    hop_length: int = 160
    mel_bins: int = 64
    min_hz: float = 0.0
    max_hz: float = 8_000.0

    def __post_init__(self) -> None:
        if self.win_length > self.n_fft:
            raise CheckpointError(
                f"mel spectrogram: expected win_length <= n_fft, got win_length {self.win_length}, n_fft {self.n_fft}"
            )
        if not 0.0 <= self.min_hz < self.max_hz <= self.sample_rate_hz / 2:
            raise CheckpointError(
                f"mel spectrogram: expected 0 <= min_hz < max_hz <= {self.sample_rate_hz / 2} (half the sample rate), "
                f"got min_hz {self.min_hz}, max_hz {self.max_hz}"
            )

    @classmethod
    def from_metadata(cls, section: Mapping[str, Any]) -> MelConfig:
        """Reads the ``audio_vae`` section of a checkpoint (``model.params.sampling_rate`` and ``preprocessing``)."""
        root = MetadataSection(section, "audio_vae")
        params = root.section("model").section("params")
        stft = root.section("preprocessing").section("stft")
        mel = root.section("preprocessing").section("mel")
        sample_rate_hz = params.integer("sampling_rate", cls.sample_rate_hz)
        n_fft = stft.integer("filter_length", cls.n_fft)
        return cls(
            sample_rate_hz=sample_rate_hz,
            n_fft=n_fft,
            win_length=stft.integer("win_length", n_fft),
            hop_length=stft.integer("hop_length", cls.hop_length),
            mel_bins=params.section("ddconfig").integer("mel_bins", mel.integer("n_mel_channels", cls.mel_bins)),
            min_hz=mel.number("mel_fmin", cls.min_hz),
            max_hz=mel.number("mel_fmax", sample_rate_hz / 2),
        )


def slaney_filter_bank(*, sample_rate_hz: int, n_fft: int, mel_bins: int, min_hz: float, max_hz: float) -> Tensor:
    """Triangular filters with equal steps on Slaney's mel scale, each scaled to unit area (in Hz).

    Returns float32 [mel_bins, n_fft // 2 + 1], to be multiplied with a magnitude spectrum; always on the CPU.
    """
    edges_mel = torch.linspace(
        _hz_to_mel(min_hz), _hz_to_mel(max_hz), mel_bins + 2, dtype=torch.float64, device=torch.device("cpu")
    )
    edges_hz = torch.where(
        edges_mel < _LINEAR_LIMIT_MEL,
        edges_mel * _LINEAR_HZ_PER_MEL,
        _LINEAR_LIMIT_HZ * torch.exp((edges_mel - _LINEAR_LIMIT_MEL) * _LOG_STEP),
    )
    bins_hz = torch.arange(n_fft // 2 + 1, dtype=torch.float64, device=edges_hz.device) * (sample_rate_hz / n_fft)
    low_hz, centre_hz, high_hz = (edges_hz[start : start + mel_bins, None] for start in range(3))
    rising = (bins_hz - low_hz) / (centre_hz - low_hz)
    falling = (high_hz - bins_hz) / (high_hz - centre_hz)
    triangles = torch.minimum(rising, falling).clamp_min(0.0)
    return (triangles * (2.0 / (high_hz - low_hz))).float()


class LogMelSpectrogram(Float32Module):
    """Waveform [B, C, N] at ``config.sample_rate_hz`` to log-mel [B, C, N // hop + 1, mel_bins], always in float32.

    log(max(M |STFT(x)|, 1e-5)) with a periodic Hann window and frames centred on multiples of the hop (the edges
    are mirrored), magnitude rather than power, and Slaney's filters M. Raises ValueError for a clip that is too
    short to mirror (N <= n_fft / 2).
    """

    window: Tensor
    filter_bank: Tensor

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.config = config
        # Derived tables, not weights: a checkpoint has neither, so they are made on the CPU even while the model
        # around them is being built without storage.
        window = torch.hann_window(config.win_length, dtype=torch.float64, device=torch.device("cpu")).float()
        self.register_buffer("window", window, persistent=False)
        filter_bank = slaney_filter_bank(
            sample_rate_hz=config.sample_rate_hz,
            n_fft=config.n_fft,
            mel_bins=config.mel_bins,
            min_hz=config.min_hz,
            max_hz=config.max_hz,
        )
        self.register_buffer("filter_bank", filter_bank, persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        if waveform.ndim != 3 or waveform.shape[-1] <= self.config.n_fft // 2:
            raise ValueError(
                f"log-mel: expected a waveform [B, C, N] with N > {self.config.n_fft // 2} samples, "
                f"got shape {list(waveform.shape)}"
            )
        spectrum = torch.stft(
            waveform.float().flatten(0, 1),
            n_fft=self.config.n_fft,
            hop_length=self.config.hop_length,
            win_length=self.config.win_length,
            window=self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        with without_autocast(waveform.device):
            mel: Tensor = spectrum.abs().transpose(1, 2) @ self.filter_bank.T
        return mel.clamp_min(MAGNITUDE_FLOOR).log().view(*waveform.shape[:2], *mel.shape[1:])


def _hz_to_mel(frequency_hz: float) -> float:
    if frequency_hz < _LINEAR_LIMIT_HZ:
        return frequency_hz / _LINEAR_HZ_PER_MEL
    return _LINEAR_LIMIT_MEL + math.log(frequency_hz / _LINEAR_LIMIT_HZ) / _LOG_STEP
