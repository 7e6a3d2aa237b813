"""Blocks of the LTX-2 video VAE: 3x3x3 convolutions, residual blocks, and space-time resampling.

Activations are [B, C, F, H, W] kept in ``torch.channels_last_3d`` order: the convolutions are fastest in it, the
channel norm reads contiguous memory, and decoded pixels come out as interleaved RGB.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastvideo.models.ltx2.cpu_arithmetic import runs_on_cpu_as_is

_NORM_EPS = 1e-8
_ONEDNN = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]

Stride = tuple[int, int, int]


def pixel_norm(x: Tensor) -> Tensor:
    """Divide each position of ``x`` [B, C, F, H, W] by its root mean square over the channels (no weight)."""
    return F.rms_norm(x.movedim(1, -1), (x.shape[1],), eps=_NORM_EPS).movedim(-1, 1)


def norm_silu(x: Tensor) -> Tensor:
    """Pixel norm followed by SiLU, the pre-activation of every convolution between conv_in and conv_out."""
    return F.silu(pixel_norm(x), inplace=True)


def space_to_depth(x: Tensor, stride: Stride) -> Tensor:
    """Fold each (t, h, w) cell of ``x`` [B, C, F, H, W] into channels ordered (C, t, h, w)."""
    t, h, w = stride
    batch, channels, frames, height, width = x.shape
    cells = x.movedim(1, -1).reshape(batch, frames // t, t, height // h, h, width // w, w, channels)
    return cells.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(4).movedim(-1, 1)


def depth_to_space(x: Tensor, stride: Stride) -> Tensor:
    """Inverse of :func:`space_to_depth`: spread channels ordered (C, t, h, w) over (t, h, w) cells."""
    cells = torch.unflatten(x.movedim(1, -1), -1, (-1, *stride))
    cells = cells.permute(0, 1, 5, 2, 6, 3, 7, 4)
    return cells.flatten(5, 6).flatten(3, 4).flatten(1, 2).movedim(-1, 1)


def patchify(pixels: Tensor, patch_size: int) -> Tensor:
    """Fold square patches of [B, C, F, H, W] into channels ordered (C, w, h): width before height, as in LTX-2."""
    batch, channels, frames, height, width = pixels.shape
    p = patch_size
    cells = pixels.movedim(1, -1).reshape(batch, frames, height // p, p, width // p, p, channels)
    return cells.permute(0, 1, 2, 4, 6, 5, 3).flatten(4).movedim(-1, 1)


def unpatchify(x: Tensor, patch_size: int) -> Tensor:
    """Inverse of :func:`patchify`; the result is laid out as interleaved pixels."""
    cells = torch.unflatten(x.movedim(1, -1), -1, (-1, patch_size, patch_size))
    return cells.permute(0, 1, 2, 6, 3, 5, 4).flatten(4, 5).flatten(2, 3).movedim(-1, 1)


class CausalConv3d(nn.Module):
    """A 3x3x3 convolution that repeats edge frames in time and pads space by ``spatial_padding_mode``.

    ``causal`` at run time: two repeated frames before the clip, or one on either side. Strided ones are causal only.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, spatial_padding_mode: str, stride: Stride = (1, 1, 1)
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 3, stride)
        self._stride = stride
        self._padding_mode = spatial_padding_mode

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        stride = self._stride
        if self._padding_mode == "zeros":
            space = 1
        else:
            x, space = _pad_space(x, self._padding_mode), 0
        weight, bias = self.conv.weight, self.conv.bias
        if causal:
            first = x[:, :, :1]
            return _conv3d(torch.cat((first, first, x), dim=2), weight, bias, stride, (0, space, space))
        if stride[0] != 1:
            raise ValueError("a convolution with a stride in time is causal; it was called with causal=False")
        # Zero-pad time inside the convolution, then add what the repeated edge frames would have contributed: two
        # frames of work in place of a copy of the whole clip.
        out = _conv3d(x, weight, bias, stride, (1, space, space))
        out[:, :, 0] += F.conv2d(x[:, :, 0], weight[:, :, 0], stride=stride[1:], padding=space)
        out[:, :, -1] += F.conv2d(x[:, :, -1], weight[:, :, 2], stride=stride[1:], padding=space)
        return out


def _conv3d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Stride, padding: Stride) -> Tensor:
    if _ONEDNN and x.device.type == "cpu" and x.dtype == torch.float32 and not torch.compiler.is_compiling():
        # F.conv3d itself takes oneDNN only for large inputs; for the small ones of a short clip or of narrow layers it
        # unfolds the whole input, which is 3 to 15 times slower. The compiler cannot trace the direct call.
        return torch.mkldnn_convolution(x, weight, bias, padding, stride, (1, 1, 1), 1)
    return F.conv3d(x, weight, bias, stride, padding)


def _pad_space(x: Tensor, mode: str) -> Tensor:
    """Pad height and width by one; frames go through as a batch of images, which keeps the channels-last order."""
    frames = x.transpose(1, 2)
    padded = F.pad(frames.flatten(0, 1), (1, 1, 1, 1), mode)
    return torch.unflatten(padded, 0, frames.shape[:2]).transpose(1, 2)


class ResnetBlock(nn.Module):
    """``x + conv2(norm_silu(conv1(norm_silu(x))))``."""

    def __init__(self, channels: int, *, spatial_padding_mode: str) -> None:
        super().__init__()
        self.conv1 = CausalConv3d(channels, channels, spatial_padding_mode=spatial_padding_mode)
        self.conv2 = CausalConv3d(channels, channels, spatial_padding_mode=spatial_padding_mode)

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        hidden: Tensor = self.conv1(norm_silu(x), causal)
        hidden = self.conv2(norm_silu(hidden), causal)
        return hidden.add_(x) if runs_on_cpu_as_is(hidden) else x + hidden


class ResnetStack(nn.Module):
    """``num_layers`` residual blocks at one resolution ("res_x")."""

    def __init__(self, channels: int, num_layers: int, *, spatial_padding_mode: str) -> None:
        super().__init__()
        self.res_blocks = nn.ModuleList(
            ResnetBlock(channels, spatial_padding_mode=spatial_padding_mode) for _ in range(num_layers)
        )

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        for block in self.res_blocks:
            x = block(x, causal)
        return x


class SpaceToDepthDownsample(nn.Module):
    """Convolution then space-to-depth, plus the group mean of the input's own cells as the skip path."""

    def __init__(self, in_channels: int, out_channels: int, stride: Stride, *, spatial_padding_mode: str) -> None:
        super().__init__()
        cell = math.prod(stride)
        if out_channels % cell or in_channels * cell % out_channels:
            raise ValueError(
                f"a {stride} downsample needs out_channels divisible by {cell} and dividing {cell} x in_channels; "
                f"got {in_channels} -> {out_channels}"
            )
        self.conv = CausalConv3d(in_channels, out_channels // cell, spatial_padding_mode=spatial_padding_mode)
        self.stride = stride
        self._out_channels = out_channels

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        if self.stride[0] == 2:
            # The first frame stands alone in the first latent; doubling it makes the count even.
            x = torch.cat((x[:, :, :1], x), dim=2)
        skip = torch.unflatten(space_to_depth(x, self.stride), 1, (self._out_channels, -1)).mean(dim=2)
        return space_to_depth(self.conv(x, causal), self.stride) + skip


class DepthToSpaceUpsample(nn.Module):
    """Convolution then depth-to-space; with ``residual`` the input's own channels, spread and repeated, are added.

    A doubled time axis drops its first frame, so 1 + n frames become 1 + 2n.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: Stride, *, residual: bool, spatial_padding_mode: str
    ) -> None:
        super().__init__()
        cell = math.prod(stride)
        if residual and (in_channels % cell or out_channels * cell % in_channels):
            raise ValueError(
                f"a residual {stride} upsample needs in_channels divisible by {cell} and dividing {cell} x "
                f"out_channels; got {in_channels} -> {out_channels}"
            )
        self.conv = CausalConv3d(in_channels, out_channels * cell, spatial_padding_mode=spatial_padding_mode)
        self.stride = stride
        self._repeats = out_channels * cell // in_channels if residual else 0

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        dropped = self.stride[0] - 1
        out = depth_to_space(self.conv(x, causal), self.stride)[:, :, dropped:]
        if self._repeats:
            skip = depth_to_space(x, self.stride)[:, :, dropped:]
            torch.unflatten(out, 1, (self._repeats, -1)).add_(skip.unsqueeze(1))
        return out
