"""Bandwidth extension (LTX-2.3): a second generator adds the high frequencies to a 16 kHz vocoder's sound."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.anti_aliasing import hann_sinc_filter, upsample
from fastvideo.models.ltx2.mel import MAGNITUDE_FLOOR, slaney_filter_bank
from fastvideo.models.ltx2.metadata_section import MetadataSection
from fastvideo.models.ltx2.waveform_generator import GeneratorConfig, WaveformGenerator


@dataclass(frozen=True)
class BandwidthExtensionConfig:
    """The second generator and the spectrogram it reads. The defaults of the numbers are those of LTX-2.3."""

    generator: GeneratorConfig
    input_sample_rate_hz: int = 16_000
    output_sample_rate_hz: int = 48_000
    n_fft: int = 512
    hop_length: int = 80

    def __post_init__(self) -> None:
        if self.output_sample_rate_hz % self.input_sample_rate_hz:
            raise CheckpointError(
                f"bandwidth extension: expected an output rate that is a multiple of the input rate, got "
                f"{self.output_sample_rate_hz} Hz from {self.input_sample_rate_hz} Hz"
            )
        if self.generator.samples_per_frame != self.hop_length * self.ratio:
            raise CheckpointError(
                f"bandwidth extension: expected upsample rates with the product {self.hop_length * self.ratio} "
                f"(hop times ratio), got {list(self.generator.upsample_rates)}"
            )
        if self.n_fft % 2 or self.n_fft < self.hop_length:
            raise CheckpointError(
                f"bandwidth extension: expected an even n_fft of at least the hop, got n_fft {self.n_fft}, "
                f"hop {self.hop_length}"
            )

    @property
    def ratio(self) -> int:
        """Output samples for each input sample."""
        return self.output_sample_rate_hz // self.input_sample_rate_hz

    @classmethod
    def from_metadata(cls, section: MetadataSection) -> BandwidthExtensionConfig:
        """Reads the ``vocoder.bwe`` object of a checkpoint."""
        return cls(
            generator=GeneratorConfig.from_metadata(section, activates_output=False),
            input_sample_rate_hz=section.integer("input_sampling_rate", cls.input_sample_rate_hz),
            output_sample_rate_hz=section.integer("output_sampling_rate", cls.output_sample_rate_hz),
            n_fft=section.integer("n_fft", cls.n_fft),
            hop_length=section.integer("hop_length", cls.hop_length),
        )


class BandwidthExtendedGenerator(nn.Module):
    """Log-mel [B, C, T, mel_bins] to waveform [B, C, N] at the extension's output rate, within -1..1.

    clamp(G2(logmel(w)) + resample(w)), where w = G1(mel) is the sound at the input rate.
    """

    def __init__(self, generator: GeneratorConfig, extension: BandwidthExtensionConfig) -> None:
        super().__init__()
        self.config = extension
        self.vocoder = WaveformGenerator(generator)
        self.bwe_generator = WaveformGenerator(extension.generator)
        self.mel_stft = _CausalLogMel(extension)
        self.resampler = _Resampler(extension.ratio)

    def forward(self, mel: Tensor) -> Tensor:
        narrow: Tensor = self.vocoder(mel)
        length = narrow.shape[-1]
        # Whole hops, so that the residual is exactly as long as the resampled sound.
        narrow = F.pad(narrow, (0, -length % self.config.hop_length))
        residual: Tensor = self.bwe_generator(self.mel_stft(narrow))
        wide: Tensor = (residual + self.resampler(narrow)).clamp(-1.0, 1.0)
        return wide[..., : length * self.config.ratio]


class _CausalSTFT(nn.Module):
    """Magnitudes [B, n_fft // 2 + 1, N // hop] of [B, N]; each frame ends with its hop and looks back only.

    The windowed Fourier basis is part of the checkpoint (in lower precision than the formula gives, and the
    generator was trained on that); what is made here is for a model that is initialised instead of loaded.
    """

    forward_basis: Tensor

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self._hop_length = hop_length
        self._left = n_fft - hop_length
        self.register_buffer("forward_basis", _fourier_basis(n_fft))
        # Checkpoints carry the inverse transform too. Nothing here synthesises from a spectrum.
        self.register_buffer("inverse_basis", torch.zeros(n_fft + 2, 1, n_fft))

    def forward(self, waveform: Tensor) -> Tensor:
        padded = F.pad(waveform[:, None], (self._left, 0))
        real, imaginary = F.conv1d(padded, self.forward_basis, stride=self._hop_length).chunk(2, dim=1)
        return (real.square() + imaginary.square()).sqrt()


class _CausalLogMel(nn.Module):
    """Waveform [B, C, N] to log-mel [B, C, N // hop, mel_bins], without looking ahead."""

    mel_basis: Tensor

    def __init__(self, config: BandwidthExtensionConfig) -> None:
        super().__init__()
        self.stft_fn = _CausalSTFT(config.n_fft, config.hop_length)
        filter_bank = slaney_filter_bank(
            sample_rate_hz=config.input_sample_rate_hz,
            n_fft=config.n_fft,
            mel_bins=config.generator.mel_bins,
            min_hz=0.0,
            max_hz=config.input_sample_rate_hz / 2,
        )
        self.register_buffer("mel_basis", filter_bank)

    def forward(self, waveform: Tensor) -> Tensor:
        magnitude: Tensor = self.stft_fn(waveform.flatten(0, 1))
        mel: Tensor = magnitude.transpose(1, 2) @ self.mel_basis.T
        return mel.clamp_min(MAGNITUDE_FLOOR).log().view(*waveform.shape[:2], *mel.shape[1:])


class _Resampler(nn.Module):
    """Multiplies the sample rate by an integer; the filter is symmetric, so nothing is delayed."""

    filter: Tensor

    def __init__(self, ratio: int) -> None:
        super().__init__()
        self._ratio = ratio
        # Not in the checkpoint: the formula is all there is.
        self.register_buffer("filter", hann_sinc_filter(ratio).view(1, 1, -1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        width = self.filter.shape[-1] // (2 * self._ratio)
        return upsample(x, self.filter, self._ratio, context=width, skip=2 * width * self._ratio)


def _fourier_basis(n_fft: int) -> Tensor:
    """Cosine rows, then negative sine rows, under a periodic Hann window: float32 [n_fft + 2, 1, n_fft]."""
    cpu = torch.device("cpu")
    samples = torch.arange(n_fft, dtype=torch.float64, device=cpu)
    angles = torch.arange(n_fft // 2 + 1, dtype=torch.float64, device=cpu)[:, None] * samples * (2 * math.pi / n_fft)
    window = torch.hann_window(n_fft, dtype=torch.float64, device=cpu)
    return (torch.cat((angles.cos(), -angles.sin())) * window)[:, None].float()
