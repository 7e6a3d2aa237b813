"""The LTX-2 audio VAE: stereo log-mel spectrograms to latents and back, causal in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.mel import MelConfig
from fastvideo.models.ltx2.metadata_section import MetadataSection


@dataclass(frozen=True)
class AudioVAEConfig:
    """Widths and depths. The defaults are those of every published LTX-2 checkpoint."""

    base_channels: int = 128
    channel_multipliers: tuple[int, ...] = (1, 2, 4)
    res_blocks: int = 2
    audio_channels: int = 2
    latent_channels: int = 8
    mel: MelConfig = field(default_factory=MelConfig)

    def __post_init__(self) -> None:
        if self.mel.mel_bins % self.time_scale:
            raise CheckpointError(
                f"audio VAE: {len(self.channel_multipliers)} levels need mel_bins divisible by {self.time_scale}, "
                f"got {self.mel.mel_bins}"
            )

    @property
    def time_scale(self) -> int:
        """Mel frames for each latent; the mel axis is reduced by the same factor."""
        return int(2 ** (len(self.channel_multipliers) - 1))

    @property
    def latent_bins(self) -> int:
        """Mel positions of a latent."""
        return self.mel.mel_bins // self.time_scale

    @property
    def latents_per_second(self) -> float:
        """Latents for each second of sound."""
        return self.mel.sample_rate_hz / (self.mel.hop_length * self.time_scale)

    @classmethod
    def from_metadata(cls, section: Mapping[str, Any]) -> AudioVAEConfig:
        """Reads the ``audio_vae`` section of a checkpoint. Raises CheckpointError for a kind not implemented here."""
        ddconfig = MetadataSection(section, "audio_vae").section("model").section("params").section("ddconfig")
        ddconfig.require("norm_type", "pixel")
        ddconfig.require("causality_axis", "height")
        ddconfig.require("double_z", True)
        ddconfig.require("mid_block_add_attention", False)
        ddconfig.require("attn_resolutions", [])
        audio_channels = ddconfig.integer("in_channels", cls.audio_channels)
        ddconfig.require("out_ch", audio_channels)
        return cls(
            base_channels=ddconfig.integer("ch", cls.base_channels),
            channel_multipliers=ddconfig.integers("ch_mult", cls.channel_multipliers),
            res_blocks=ddconfig.integer("num_res_blocks", cls.res_blocks),
            audio_channels=audio_channels,
            latent_channels=ddconfig.integer("z_channels", cls.latent_channels),
            mel=MelConfig.from_metadata(section),
        )


def audio_latent_count(num_frames: int, fps: float, *, latents_per_second: float = 25.0) -> int:
    """Audio latents that go with a clip of ``num_frames`` pictures: its duration in latents, rounded, at least 1."""
    if num_frames < 1 or not fps > 0:
        raise ValueError(f"audio latents: expected num_frames >= 1 and fps > 0, got {num_frames} and {fps}")
    return max(1, round(num_frames / fps * latents_per_second))


class AudioVAE(nn.Module):
    """Encoder, decoder and latent statistics, computed in the dtype of the weights.

    One latent stands for ``config.time_scale`` mel frames, except that the first stands for a single one. A decoded
    mel frame depends on earlier latents only (33 of them at the published depth) and on its own.
    """

    def __init__(self, config: AudioVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _Encoder(config)
        self.decoder = _Decoder(config)
        self.per_channel_statistics = _LatentStatistics(config.latent_channels * config.latent_bins)

    def encode(self, mel: Tensor) -> Tensor:
        """Log-mel [B, C, T, mel_bins] to normalised latents [B, latent_channels, ceil(T / 4), latent_bins].

        These are the means of the posterior; its variance is not used.
        """
        config = self.config
        self._check("mel", mel, channels=config.audio_channels, bins=config.mel.mel_bins)
        moments = self.encoder(mel.to(self._dtype))
        return self.per_channel_statistics.normalize(moments[:, : config.latent_channels])

    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents [B, latent_channels, T, latent_bins] to log-mel [B, C, 4T - 3, mel_bins]."""
        config = self.config
        self._check("latents", latents, channels=config.latent_channels, bins=config.latent_bins)
        mel: Tensor = self.decoder(self.per_channel_statistics.denormalize(latents.to(self._dtype)))
        return mel

    @property
    def _dtype(self) -> torch.dtype:
        return self.decoder.conv_in.conv.weight.dtype

    @staticmethod
    def _check(name: str, value: Tensor, *, channels: int, bins: int) -> None:
        if value.ndim != 4 or value.shape[1] != channels or value.shape[2] < 1 or value.shape[3] != bins:
            raise ValueError(f"audio VAE: expected {name} [B, {channels}, T, {bins}], got shape {list(value.shape)}")


class _LatentStatistics(nn.Module):
    """Mean and deviation of the latents over the training set, for each component of a flattened (c f) token."""

    def __init__(self, token_size: int) -> None:
        super().__init__()
        self.register_buffer("mean-of-means", torch.zeros(token_size))
        self.register_buffer("std-of-means", torch.ones(token_size))

    def normalize(self, latents: Tensor) -> Tensor:
        mean, deviation = self._over(latents)
        return (latents - mean) / deviation

    def denormalize(self, latents: Tensor) -> Tensor:
        mean, deviation = self._over(latents)
        return latents * deviation + mean

    def _over(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        shape = (1, latents.shape[1], 1, latents.shape[3])
        return self.get_buffer("mean-of-means").view(shape), self.get_buffer("std-of-means").view(shape)


class _CausalConv(nn.Module):
    """Convolution over [time, mel]: all of the time padding before the first frame, mel padded on both sides."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        side = kernel_size // 2
        self._padding = (side, side, kernel_size - 1, 0)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, self._padding))
        return out


class _Downsample(nn.Module):
    """Halves time (rounding up) and mel; causal in time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, (0, 1, 2, 0)))
        return out


class _Upsample(nn.Module):
    """Doubles mel, and T frames to 2T - 1: the first frame is the one the encoder did not double."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _CausalConv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out[:, :, 1:]


class AudioResBlock(nn.Module):
    """Two convolutions, each after norm and SiLU, and a way past them."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = _CausalConv(in_channels, out_channels)
        self.conv2 = _CausalConv(out_channels, out_channels)
        if in_channels != out_channels:
            self.nin_shortcut = _CausalConv(in_channels, out_channels, kernel_size=1)
        self._projects = in_channels != out_channels

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.conv2(_norm_silu(self.conv1(_norm_silu(x))))
        return hidden + (self.nin_shortcut(x) if self._projects else x)


class _Middle(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = AudioResBlock(channels, channels)
        self.block_2 = AudioResBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block_2(self.block_1(x))
        return out


class _DownLevel(nn.Module):
    """The residual blocks of one resolution, then the way down, where there is one."""

    def __init__(self, in_channels: int, out_channels: int, *, blocks: int, resample: bool) -> None:
        super().__init__()
        self.block = _res_blocks(in_channels, out_channels, blocks)
        self.downsample = _Downsample(out_channels) if resample else None

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        if self.downsample is not None:
            x = self.downsample(x)
        return x


class _UpLevel(nn.Module):
    """The residual blocks of one resolution, then the way up, where there is one."""

    def __init__(self, in_channels: int, out_channels: int, *, blocks: int, resample: bool) -> None:
        super().__init__()
        self.block = _res_blocks(in_channels, out_channels, blocks)
        self.upsample = _Upsample(out_channels) if resample else None

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        if self.upsample is not None:
            x = self.upsample(x)
        return x


class _Encoder(nn.Module):
    def __init__(self, config: AudioVAEConfig) -> None:
        super().__init__()
        widths = [config.base_channels * multiplier for multiplier in config.channel_multipliers]
        self.conv_in = _CausalConv(config.audio_channels, config.base_channels)
        self.down = nn.ModuleList()
        channels = config.base_channels
        for level, width in enumerate(widths):
            resample = level < len(widths) - 1
            self.down.append(_DownLevel(channels, width, blocks=config.res_blocks, resample=resample))
            channels = width
        self.mid = _Middle(channels)
        # Means and log-variances.
        self.conv_out = _CausalConv(channels, 2 * config.latent_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        out: Tensor = self.conv_out(_norm_silu(self.mid(x)))
        return out


class _Decoder(nn.Module):
    def __init__(self, config: AudioVAEConfig) -> None:
        super().__init__()
        widths = [config.base_channels * multiplier for multiplier in config.channel_multipliers]
        channels = widths[-1]
        self.conv_in = _CausalConv(config.latent_channels, channels)
        self.mid = _Middle(channels)
        levels = []
        for level in reversed(range(len(widths))):
            levels.append(_UpLevel(channels, widths[level], blocks=config.res_blocks + 1, resample=level > 0))
            channels = widths[level]
        # Numbered from the finest resolution, as in the encoder, and run in the opposite order.
        self.up = nn.ModuleList(reversed(levels))
        self.conv_out = _CausalConv(channels, config.audio_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid(self.conv_in(x))
        for level in reversed(self.up):
            x = level(x)
        out: Tensor = self.conv_out(_norm_silu(x))
        return out


def _res_blocks(in_channels: int, out_channels: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(AudioResBlock(out_channels if index else in_channels, out_channels) for index in range(count))


def _norm_silu(x: Tensor) -> Tensor:
    """Weightless RMS normalisation over the channels of each position, then SiLU."""
    return F.silu(x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-6))
