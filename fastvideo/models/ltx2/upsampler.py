"""The latent upsampler: video latents to twice their height and width, between the stages of the two-stage flow.

A file of its own; state-dict keys are the official ones. It sees un-normalised latents, and the whole clip at once: its
norms span time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.diffusers_folder import UPSAMPLER_CLASSES, TensorFolder, read_component_config
from fastvideo.models.ltx2.metadata_section import MetadataSection
from fastvideo.models.ltx2.tensor_file import TensorFile

SCALE = 2
_NORM_GROUPS = 32
_BLUR_TAPS = 5
# The 2.0 file multiplies by a fraction: shuffle by the numerator, then blur and stride by the denominator.
_RATIONAL_WEIGHT = "upsampler.conv.weight"


@dataclass(frozen=True)
class LatentUpsamplerConfig:
    """Sizes and layout, named as in the metadata. ``rational_resampler``: the 2.0 layout, which holds the kernel of a
    blur that doubling does not use."""

    in_channels: int = 128
    mid_channels: int = 1024
    num_blocks_per_stage: int = 4
    rational_resampler: bool = False

    def __post_init__(self) -> None:
        if self.mid_channels % _NORM_GROUPS:
            raise CheckpointError(
                f"upsampler mid_channels: expected a multiple of {_NORM_GROUPS}, got {self.mid_channels}"
            )

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], *, rational_resampler: bool) -> LatentUpsamplerConfig:
        """From a safetensors file's metadata: JSON under ``config``. Raises CheckpointError for an upsampler of another
        kind, such as one in time."""
        try:
            section = json.loads(metadata["config"])
        except (KeyError, ValueError) as error:
            raise CheckpointError("the metadata has no `config` in JSON: expected an LTX-2 latent upsampler") from error
        if not isinstance(section, dict) or "transformer" in section or "vae" in section:
            raise CheckpointError("the metadata's `config` is not one of a latent upsampler, but of another model")
        keys = MetadataSection(section, "upsampler")
        keys.require("dims", 3)
        keys.require("spatial_upsample", True)
        keys.require("temporal_upsample", False)
        for name in ("spatial_scale", "rational_spatial_scale"):
            keys.require(name, SCALE)
        return cls(
            in_channels=keys.integer("in_channels", cls.in_channels),
            mid_channels=keys.integer("mid_channels", cls.mid_channels),
            num_blocks_per_stage=keys.integer("num_blocks_per_stage", cls.num_blocks_per_stage),
            rational_resampler=rational_resampler,
        )


class LatentUpsampler(nn.Module):
    """Un-normalised latents [B, C, F, H, W] to [B, C, F, 2H, 2W]."""

    def __init__(self, config: LatentUpsamplerConfig) -> None:
        super().__init__()
        self.config = config
        middle = config.mid_channels
        self.initial_conv = nn.Conv3d(config.in_channels, middle, 3, padding=1)
        self.initial_norm = nn.GroupNorm(_NORM_GROUPS, middle)
        self.res_blocks = nn.ModuleList(ResBlock(middle) for _ in range(config.num_blocks_per_stage))
        self.upsampler: nn.Module = RationalResampler(middle) if config.rational_resampler else _shuffle(middle)
        self.post_upsample_res_blocks = nn.ModuleList(ResBlock(middle) for _ in range(config.num_blocks_per_stage))
        self.final_conv = nn.Conv3d(middle, config.in_channels, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        x = F.silu(self.initial_norm(self.initial_conv(latents)))
        for block in self.res_blocks:
            x = block(x)
        frames = x.transpose(1, 2)
        x = torch.unflatten(self.upsampler(frames.flatten(0, 1)), 0, frames.shape[:2]).transpose(1, 2)
        for block in self.post_upsample_res_blocks:
            x = block(x)
        out: Tensor = self.final_conv(x)
        return out


class ResBlock(nn.Module):
    """silu(x + norm2(conv2(silu(norm1(conv1(x))))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm1 = nn.GroupNorm(_NORM_GROUPS, channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(_NORM_GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(F.silu(self.norm1(self.conv1(x)))))
        return F.silu(inner + x)


class RationalResampler(nn.Module):
    """Doubling in the 2.0 layout. Tensors: conv, blur_down.kernel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, SCALE**2 * channels, 3, padding=1)
        self.blur_down = _Blur()

    def forward(self, frames: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C, 2H, 2W]."""
        return F.pixel_shuffle(self.conv(frames), SCALE)


class _Blur(nn.Module):
    """The binomial kernel of the 2.0 file; a resampler by 2/1 strides by 1 and leaves it out."""

    def __init__(self) -> None:
        super().__init__()
        row = torch.tensor([float(math.comb(_BLUR_TAPS - 1, tap)) for tap in range(_BLUR_TAPS)])
        kernel = torch.outer(row, row)
        self.register_buffer("kernel", (kernel / kernel.sum())[None, None])


def _shuffle(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, SCALE**2 * channels, 3, padding=1), nn.PixelShuffle(SCALE))


def load_upsampler(
    path: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> LatentUpsampler:
    """The upsampler at ``path``, a safetensors file or a folder in the layout of diffusers; strict, as a checkpoint is.
    Raises CheckpointError."""
    if path.is_dir():
        return _from_diffusers(path, device, dtype)
    if not path.is_file():
        raise CheckpointError(f"no latent upsampler at {path}: expected a .safetensors file")
    with TensorFile.opened(path) as file:
        rational = _RATIONAL_WEIGHT in file.header.tensors
        try:
            config = LatentUpsamplerConfig.from_metadata(file.header.metadata, rational_resampler=rational)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
        with torch.device("meta"):
            module = LatentUpsampler(config)
        expected = list(module.state_dict())
        file.check_names(
            missing=[name for name in expected if name not in file.header.tensors],
            unknown=[key for key in file.keys if key not in expected],
        )
        file.fill(module, {name: name for name in expected}, device=device, dtype=dtype)
    return module


def _from_diffusers(folder: Path, device: torch.device | str, dtype: torch.dtype) -> LatentUpsampler:
    values = read_component_config(folder, UPSAMPLER_CLASSES)
    try:
        config = LatentUpsamplerConfig.from_metadata(
            {"config": json.dumps(values)}, rational_resampler=values.get("use_rational_resampler", True) is not False
        )
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    with torch.device("meta"):
        module = LatentUpsampler(config)
    with TensorFolder.opened(folder) as files:
        files.fill(module, {name: name for name in module.state_dict()}, device=device, dtype=dtype)
    return module
