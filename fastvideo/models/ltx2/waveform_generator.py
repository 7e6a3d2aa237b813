"""The convolutional network that turns mel frames into samples: HiFi-GAN (LTX-2.0) or BigVGAN v2 (LTX-2.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.anti_aliasing import AntiAliasedSnake
from fastvideo.models.ltx2.metadata_section import MetadataSection

_LEAKY_SLOPE = 0.1


@dataclass(frozen=True)
class GeneratorConfig:
    """Widths, rates and kinds of one generator. The defaults are those of LTX-2.0."""

    mel_bins: int = 64
    audio_channels: int = 2
    initial_channels: int = 1024
    upsample_rates: tuple[int, ...] = (6, 5, 2, 2, 2)
    upsample_kernel_sizes: tuple[int, ...] = (16, 15, 8, 4, 4)
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    activation: Literal["leaky_relu", "snakebeta"] = "leaky_relu"
    final_activation: Literal["tanh", "clamp", "none"] = "tanh"
    final_bias: bool = True

    def __post_init__(self) -> None:
        if len(self.upsample_rates) != len(self.upsample_kernel_sizes):
            raise CheckpointError(
                f"vocoder: expected one upsample kernel for each rate, got {len(self.upsample_kernel_sizes)} kernels "
                f"for {len(self.upsample_rates)} rates"
            )
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilations):
            raise CheckpointError(
                f"vocoder: expected one list of dilations for each residual kernel, got {len(self.resblock_dilations)} "
                f"lists for {len(self.resblock_kernel_sizes)} kernels"
            )
        for rate, kernel in zip(self.upsample_rates, self.upsample_kernel_sizes, strict=True):
            if kernel < rate or (kernel - rate) % 2:
                raise CheckpointError(
                    f"vocoder: expected each upsample kernel to exceed its rate by an even number, so that the length "
                    f"is exactly multiplied, got kernel {kernel} for rate {rate}"
                )
        if any(kernel % 2 == 0 for kernel in self.resblock_kernel_sizes):
            raise CheckpointError(f"vocoder: expected odd residual kernels, got {list(self.resblock_kernel_sizes)}")
        if self.initial_channels % 2 ** len(self.upsample_rates):
            raise CheckpointError(
                f"vocoder: {len(self.upsample_rates)} stages halve the channels each time, got "
                f"{self.initial_channels} to begin with"
            )

    @property
    def samples_per_frame(self) -> int:
        """Samples made from each mel frame."""
        return math.prod(self.upsample_rates)

    @classmethod
    def from_metadata(cls, section: MetadataSection, *, activates_output: bool) -> GeneratorConfig:
        """Reads one generator's object. ``activates_output`` holds where the object does not say so itself.

        Raises CheckpointError for a kind of block that is not implemented here.
        """
        section.require("resblock", "1", "AMP1")
        anti_aliased = section.values.get("resblock") == "AMP1"
        if anti_aliased:
            section.require("activation", "snakebeta")
        final_activation: Literal["tanh", "clamp", "none"] = "none"
        if section.flag("apply_final_activation", activates_output):
            final_activation = "tanh" if section.flag("use_tanh_at_final", True) else "clamp"
        return cls(
            mel_bins=section.integer("num_mels", cls.mel_bins),
            audio_channels=2 if section.flag("stereo", True) else 1,
            initial_channels=section.integer("upsample_initial_channel", cls.initial_channels),
            upsample_rates=section.integers("upsample_rates", cls.upsample_rates),
            upsample_kernel_sizes=section.integers("upsample_kernel_sizes", cls.upsample_kernel_sizes),
            resblock_kernel_sizes=section.integers("resblock_kernel_sizes", cls.resblock_kernel_sizes),
            resblock_dilations=section.integer_lists("resblock_dilation_sizes", cls.resblock_dilations),
            activation="snakebeta" if anti_aliased else "leaky_relu",
            final_activation=final_activation,
            final_bias=section.flag("use_bias_at_final", cls.final_bias),
        )


class WaveformGenerator(nn.Module):
    """Log-mel [B, C, T, mel_bins] to waveform [B, C, T * samples_per_frame].

    Each stage multiplies the rate by a transposed convolution and averages residual blocks of several kernel sizes
    (HiFi-GAN's multi-receptive-field fusion). With ``snakebeta`` the activations are periodic and anti-aliased.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.initial_channels
        self.conv_pre = nn.Conv1d(config.audio_channels * config.mel_bins, channels, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            self.ups.append(
                nn.ConvTranspose1d(channels, channels // 2, kernel, stride=rate, padding=(kernel - rate) // 2)
            )
            channels //= 2
            for size, dilations in zip(config.resblock_kernel_sizes, config.resblock_dilations, strict=True):
                self.resblocks.append(_ResBlock(channels, size, dilations, config.activation))
        # The last leaky ReLU has PyTorch's own slope, 0.01, unlike the others.
        self.act_post = nn.LeakyReLU() if config.activation == "leaky_relu" else AntiAliasedSnake(channels)
        self.conv_post = nn.Conv1d(channels, config.audio_channels, 7, padding=3, bias=config.final_bias)

    def forward(self, mel: Tensor) -> Tensor:
        config = self.config
        if mel.ndim != 4 or mel.shape[1] != config.audio_channels or mel.shape[3] != config.mel_bins:
            raise ValueError(
                f"vocoder: expected mel [B, {config.audio_channels}, T, {config.mel_bins}], got shape {list(mel.shape)}"
            )
        x = self.conv_pre(mel.transpose(2, 3).flatten(1, 2))
        for stage, up in enumerate(self.ups):
            if config.activation == "leaky_relu":
                x = F.leaky_relu(x, _LEAKY_SLOPE)
            x = self._fuse(up(x), stage)
        out: Tensor = self.conv_post(self.act_post(x))
        if config.final_activation == "tanh":
            return out.tanh()
        return out.clamp(-1.0, 1.0) if config.final_activation == "clamp" else out

    def _fuse(self, x: Tensor, stage: int) -> Tensor:
        count = len(self.config.resblock_kernel_sizes)
        first, *others = self.resblocks[stage * count : (stage + 1) * count]
        total: Tensor = first(x)
        for block in others:
            total = total + block(x)
        return total / count


class _ResBlock(nn.Module):
    """Pairs of a dilated and a plain convolution, each pair with its own skip (HiFi-GAN type 1, BigVGAN AMP type 1)."""

    def __init__(self, channels: int, kernel_size: int, dilations: tuple[int, ...], activation: str) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_same_conv(channels, kernel_size, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(_same_conv(channels, kernel_size, 1) for _ in dilations)
        self.acts1 = nn.ModuleList(_activation(channels, activation) for _ in dilations)
        self.acts2 = nn.ModuleList(_activation(channels, activation) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for act1, conv1, act2, conv2 in zip(self.acts1, self.convs1, self.acts2, self.convs2, strict=True):
            x = x + conv2(act2(conv1(act1(x))))
        return x


def _same_conv(channels: int, kernel_size: int, dilation: int) -> nn.Conv1d:
    return nn.Conv1d(channels, channels, kernel_size, dilation=dilation, padding=dilation * (kernel_size - 1) // 2)


def _activation(channels: int, kind: str) -> nn.Module:
    return AntiAliasedSnake(channels) if kind == "snakebeta" else nn.LeakyReLU(_LEAKY_SLOPE)
