"""The LTX-2 video VAE: pixels to normalised latents and back.

Both published layouts (2.0 and 2.3) and smaller ones are described by the ``vae`` section of a checkpoint's metadata;
tensor names are those of the official files without the leading ``vae.``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.video_vae_blocks import (
    CausalConv3d,
    DepthToSpaceUpsample,
    ResnetStack,
    SpaceToDepthDownsample,
    Stride,
    norm_silu,
    patchify,
    unpatchify,
)

# Tensors that official files carry beside the ones used here; a strict loader drops exactly these.
UNUSED_TENSORS = (
    "per_channel_statistics.channel",
    "per_channel_statistics.mean-of-stds",
    "per_channel_statistics.mean-of-stds_over_std-of-means",
)

_STRIDES: dict[str, Stride] = {
    "res_x": (1, 1, 1),
    "compress_space": (1, 2, 2),
    "compress_time": (2, 1, 1),
    "compress_all": (2, 2, 2),
}
_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
# Extra output channels of the encoder for the variance, which sampling never uses: only the means are kept.
_VARIANCE_CHANNELS = {"none": 0, "constant": 1, "uniform": 1}
# Settings that change the network and have one value in every published LTX-2 file.
_FIXED: dict[str, object] = {
    "dims": 3,
    "in_channels": 3,
    "out_channels": 3,
    "norm_layer": "pixel_norm",
    "timestep_conditioning": False,
    "use_quant_conv": False,
    "normalize_latent_channels": False,
    "scaling_factor": 1.0,
}


@dataclass(frozen=True)
class VAEBlock:
    """One entry of ``encoder_blocks`` or ``decoder_blocks``.

    ``num_layers`` counts residual blocks of a "res_x"; the others change channels by ``multiplier`` (down: times, up:
    divided by). ``residual`` adds the skip path of a resampling block.
    """

    name: str
    num_layers: int = 0
    multiplier: int = 1
    residual: bool = False

    @property
    def stride(self) -> Stride:
        """How much the block shrinks (or grows) time, height and width."""
        return _STRIDES[self.name]

    @property
    def is_resnet(self) -> bool:
        return self.name == "res_x"


@dataclass(frozen=True)
class VideoVAEConfig:
    """The ``vae`` section of an LTX-2 checkpoint. Decoder blocks are listed in the encoder's order, as in the files."""

    encoder_blocks: tuple[VAEBlock, ...]
    decoder_blocks: tuple[VAEBlock, ...]
    latent_channels: int = 128
    patch_size: int = 4
    encoder_base_channels: int = 128
    decoder_base_channels: int = 128
    latent_log_var: str = "uniform"
    causal_decoder: bool = False
    encoder_spatial_padding_mode: str = "zeros"
    decoder_spatial_padding_mode: str = "reflect"

    def __post_init__(self) -> None:
        if _scales(self.encoder_blocks) != _scales(self.decoder_blocks):
            raise CheckpointError(
                f"vae: encoder and decoder must resample by the same (time, height, width) factors; the encoder has "
                f"{_scales(self.encoder_blocks)}, the decoder {_scales(self.decoder_blocks)}"
            )

    @classmethod
    def from_metadata(cls, section: Mapping[str, object]) -> VideoVAEConfig:
        """Read the ``vae`` section of the metadata; raises :class:`CheckpointError` for what this VAE is not."""
        for key, expected in _FIXED.items():
            if section.get(key, expected) != expected:
                raise CheckpointError(f"vae.{key}: expected {expected!r}, the file has {section[key]!r}")
        latent_channels = _positive(section, "latent_channels", 128, "vae.")
        return cls(
            encoder_blocks=_read_blocks(section, "encoder_blocks"),
            decoder_blocks=_read_blocks(section, "decoder_blocks"),
            latent_channels=latent_channels,
            patch_size=_positive(section, "patch_size", 4, "vae."),
            encoder_base_channels=_positive(section, "encoder_base_channels", latent_channels, "vae."),
            decoder_base_channels=_positive(section, "decoder_base_channels", 128, "vae."),
            latent_log_var=_choice(section, "latent_log_var", "uniform", (*_VARIANCE_CHANNELS, "per_channel")),
            causal_decoder=_flag(section, "causal_decoder", False, "vae."),
            encoder_spatial_padding_mode=_choice(section, "encoder_spatial_padding_mode", "zeros", _PADDING_MODES),
            decoder_spatial_padding_mode=_choice(section, "decoder_spatial_padding_mode", "reflect", _PADDING_MODES),
        )

    @property
    def temporal_scale(self) -> int:
        """Frames per latent after the first, which stands for one frame."""
        return _scales(self.encoder_blocks)[0]

    @property
    def spatial_scale(self) -> int:
        """Pixels per latent along height and width."""
        return _scales(self.encoder_blocks)[1] * self.patch_size


class VideoEncoder(nn.Module):
    """Causal encoder: pixels [B, 3, 1 + n*t, H, W] to the means of the latents [B, C, 1 + n, H/s, W/s]."""

    def __init__(self, config: VideoVAEConfig) -> None:
        super().__init__()
        padding = config.encoder_spatial_padding_mode
        channels = config.encoder_base_channels
        self.conv_in = CausalConv3d(3 * config.patch_size**2, channels, spatial_padding_mode=padding)
        self.down_blocks = nn.ModuleList()
        for block in config.encoder_blocks:
            if block.is_resnet:
                self.down_blocks.append(ResnetStack(channels, block.num_layers, spatial_padding_mode=padding))
                continue
            out_channels = channels * block.multiplier
            if block.residual:
                down: nn.Module = SpaceToDepthDownsample(
                    channels, out_channels, block.stride, spatial_padding_mode=padding
                )
            else:
                down = CausalConv3d(channels, out_channels, spatial_padding_mode=padding, stride=block.stride)
            self.down_blocks.append(down)
            channels = out_channels
        variance_channels = _VARIANCE_CHANNELS.get(config.latent_log_var, config.latent_channels)
        self.conv_out = CausalConv3d(channels, config.latent_channels + variance_channels, spatial_padding_mode=padding)
        self._patch_size = config.patch_size
        self._latent_channels = config.latent_channels

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.conv_in(patchify(pixels, self._patch_size), causal=True)
        for block in self.down_blocks:
            x = block(x, causal=True)
        moments: Tensor = self.conv_out(norm_silu(x), causal=True)
        return moments[:, : self._latent_channels]


class VideoDecoder(nn.Module):
    """Decoder: latents [B, C, 1 + n, H, W] to pixels [B, 3, 1 + n*t, H*s, W*s]; causal in time or not, as called.

    It runs in two parts. The head ends where time is about to double for the second time (or the first, if it does so
    just once): it holds most of the reach in time and little of the work. The tail does the rest.
    """

    def __init__(self, config: VideoVAEConfig) -> None:
        super().__init__()
        padding = config.decoder_spatial_padding_mode
        channels = config.decoder_base_channels * math.prod(block.multiplier for block in config.decoder_blocks)
        self.conv_in = CausalConv3d(config.latent_channels, channels, spatial_padding_mode=padding)
        self.up_blocks = nn.ModuleList()
        for block in reversed(config.decoder_blocks):
            if block.is_resnet:
                self.up_blocks.append(ResnetStack(channels, block.num_layers, spatial_padding_mode=padding))
                continue
            out_channels = channels // block.multiplier
            self.up_blocks.append(
                DepthToSpaceUpsample(
                    channels, out_channels, block.stride, residual=block.residual, spatial_padding_mode=padding
                )
            )
            channels = out_channels
        self.conv_out = CausalConv3d(channels, 3 * config.patch_size**2, spatial_padding_mode=padding)
        self._patch_size = config.patch_size
        doublings = [i for i, block in enumerate(reversed(config.decoder_blocks)) if block.stride[0] == 2]
        self.head_temporal_scale = 2 if len(doublings) > 1 else 1
        self._head_blocks = doublings[:2][-1] if doublings else 0

    def head(self, latents: Tensor, causal: bool) -> Tensor:
        """Latents to features of 1 + n * ``head_temporal_scale`` frames."""
        x: Tensor = self.conv_in(latents.contiguous(memory_format=torch.channels_last_3d), causal)
        for block in self.up_blocks[: self._head_blocks]:
            x = block(x, causal)
        return x

    def tail(self, features: Tensor, causal: bool) -> Tensor:
        """Features of the head to pixels."""
        x = features
        for block in self.up_blocks[self._head_blocks :]:
            x = block(x, causal)
        return unpatchify(self.conv_out(norm_silu(x), causal), self._patch_size)

    def forward(self, latents: Tensor, causal: bool) -> Tensor:
        return self.tail(self.head(latents, causal), causal)


class PerChannelStatistics(nn.Module):
    """Mean and standard deviation of each latent channel over the training data."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean-of-means", torch.zeros(channels))
        self.register_buffer("std-of-means", torch.ones(channels))

    def normalize(self, latents: Tensor) -> Tensor:
        """Latents as the encoder makes them to latents as the transformer sees them, [B, C, F, H, W]."""
        return (latents - self._per_channel("mean-of-means", latents)) / self._per_channel("std-of-means", latents)

    def denormalize(self, latents: Tensor) -> Tensor:
        """Inverse of :meth:`normalize`; what the decoder and the latent upsampler work on."""
        return latents * self._per_channel("std-of-means", latents) + self._per_channel("mean-of-means", latents)

    def _per_channel(self, name: str, like: Tensor) -> Tensor:
        return self.get_buffer(name).to(like).view(-1, 1, 1, 1)


class VideoVAE(nn.Module):
    """Pixels in -1..1 to normalised latents and back, for clips of 1 + n * ``temporal_scale`` frames."""

    def __init__(self, config: VideoVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = VideoEncoder(config)
        self.decoder = VideoDecoder(config)
        self.per_channel_statistics = PerChannelStatistics(config.latent_channels)

    @property
    def temporal_scale(self) -> int:
        return self.config.temporal_scale

    @property
    def head_temporal_scale(self) -> int:
        """Frames of :meth:`decode_head` per latent after the first."""
        return self.decoder.head_temporal_scale

    @property
    def spatial_scale(self) -> int:
        return self.config.spatial_scale

    @property
    def latent_channels(self) -> int:
        return self.config.latent_channels

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, F, H, W] in -1..1 to normalised latents [B, C, F', H', W'] (the means, nothing is sampled).

        Raises ValueError unless F = 1 + n * ``temporal_scale`` and H, W are multiples of ``spatial_scale``.
        """
        frames, height, width = pixels.shape[2:]
        if (
            frames < 1
            or (frames - 1) % self.temporal_scale
            or height % self.spatial_scale
            or width % self.spatial_scale
        ):
            raise ValueError(
                f"expected 1 + n*{self.temporal_scale} frames whose height and width are multiples of "
                f"{self.spatial_scale} px, got {frames} frames of {width}x{height}; crop or pad them first"
            )
        return self.per_channel_statistics.normalize(self.encoder(pixels))

    def decode(self, latents: Tensor, *, causal: bool | None = None) -> Tensor:
        """Normalised latents [B, C, F', H', W'] to pixels [B, 3, F, H, W], about -1..1 and not clamped.

        ``causal`` overrides the checkpoint's choice: with True no frame depends on a later latent.
        Raises ValueError for latents of another channel count, or too small to be padded by reflection.
        """
        return self.decode_tail(self.decode_head(latents, causal=causal), causal=causal)

    def decode_head(self, latents: Tensor, *, causal: bool | None = None) -> Tensor:
        """The first part of :meth:`decode`: features of 1 + (F' - 1) * ``head_temporal_scale`` frames."""
        if latents.ndim != 5 or latents.shape[1] != self.latent_channels:
            raise ValueError(f"expected latents [B, {self.latent_channels}, F, H, W], got {list(latents.shape)}")
        if self.config.decoder_spatial_padding_mode == "reflect" and min(latents.shape[3:]) < 2:
            raise ValueError(
                f"this decoder pads by reflection and needs at least 2x2 latents, "
                f"got {latents.shape[4]}x{latents.shape[3]}"
            )
        return self.decoder.head(self.per_channel_statistics.denormalize(latents), self._decodes_causally(causal))

    def decode_tail(self, features: Tensor, *, causal: bool | None = None) -> Tensor:
        """The second part of :meth:`decode`, for the features of a whole clip or of some consecutive frames."""
        return self.decoder.tail(features, self._decodes_causally(causal))

    def _decodes_causally(self, causal: bool | None) -> bool:
        return self.config.causal_decoder if causal is None else causal


def _scales(blocks: Sequence[VAEBlock]) -> Stride:
    time, height, width = (math.prod(block.stride[axis] for block in blocks) for axis in range(3))
    return time, height, width


def _read_blocks(section: Mapping[str, object], key: str) -> tuple[VAEBlock, ...]:
    """Parse a list of [name, parameters]; a bare integer stands for ``{"num_layers": n}``, as in official files."""
    entries = section.get(key)
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise CheckpointError(f"vae.{key}: expected a list of [name, parameters] pairs, got {entries!r}")
    blocks = []
    for index, entry in enumerate(entries):
        where = f"vae.{key}[{index}]"
        match entry:
            case [str(name), int(num_layers)]:
                parameters: Mapping[str, object] = {"num_layers": num_layers}
            case [str(name), Mapping() as parameters]:
                pass
            case _:
                raise CheckpointError(f"{where}: expected [name, parameters], got {entry!r}")
        blocks.append(_read_block(name, parameters, where, encoder=key == "encoder_blocks"))
    return tuple(blocks)


def _read_block(name: str, parameters: Mapping[str, object], where: str, *, encoder: bool) -> VAEBlock:
    residual_name = encoder and name.startswith("compress_") and name.endswith("_res")
    base_name = name.removesuffix("_res") if residual_name else name
    if base_name not in _STRIDES:
        raise CheckpointError(
            f"{where}: no such block {name!r}; known are {', '.join(_STRIDES)} (and compress_*_res down)"
        )
    if base_name == "res_x":
        known = {"num_layers", "inject_noise"}
    elif encoder:
        known = {"multiplier"} if residual_name else set()
    else:
        known = {"multiplier", "residual"}
    if unknown := sorted(set(parameters) - known):
        raise CheckpointError(f"{where}: {name} does not take {', '.join(unknown)}; it takes {sorted(known)}")
    if base_name == "res_x":
        if parameters.get("inject_noise", False) is not False:
            raise CheckpointError(f"{where}.inject_noise: expected false, got {parameters['inject_noise']!r}")
        return VAEBlock("res_x", num_layers=_positive(parameters, "num_layers", 1, f"{where}."))
    return VAEBlock(
        base_name,
        multiplier=_positive(parameters, "multiplier", 2 if residual_name else 1, f"{where}."),
        residual=residual_name or _flag(parameters, "residual", False, f"{where}."),
    )


def _positive(section: Mapping[str, object], key: str, default: int, where: str) -> int:
    value = section.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(f"{where}{key}: expected a positive integer, got {value!r}")
    return value


def _flag(section: Mapping[str, object], key: str, default: bool, where: str) -> bool:
    value = section.get(key, default)
    if not isinstance(value, bool):
        raise CheckpointError(f"{where}{key}: expected true or false, got {value!r}")
    return value


def _choice(section: Mapping[str, object], key: str, default: str, choices: Sequence[str]) -> str:
    value = section.get(key, default)
    if not isinstance(value, str) or value not in choices:
        raise CheckpointError(f"vae.{key}: expected one of {', '.join(choices)}, got {value!r}")
    return value
