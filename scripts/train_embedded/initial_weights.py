"""Weights from which a small video VAE learns colours at once instead of first unlearning patterns of its own."""

from __future__ import annotations

import math

import torch
from torch import nn

from fastvideo.models.ltx2.video_vae import VideoVAE
from fastvideo.models.ltx2.video_vae_blocks import DepthToSpaceUpsample, ResnetBlock, SpaceToDepthDownsample


@torch.no_grad()
def initialise(vae: VideoVAE, seed: int) -> None:
    """Sets all weights: convolutions that keep the variance, no biases, and residual branches that begin at nothing.

    The convolutions whose channels become neighbouring pixels or frames begin with the same weights for all of those
    (as "ICNR" does for sub-pixel convolutions): random ones would put a texture over whatever the latents say.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in vae.modules():
        if isinstance(module, nn.Conv3d):
            _randomise(module, 1, generator)
    for module in vae.modules():
        if isinstance(module, ResnetBlock):
            module.conv2.conv.weight.zero_()
        elif isinstance(module, SpaceToDepthDownsample):
            module.conv.conv.weight.zero_()
        elif isinstance(module, DepthToSpaceUpsample):
            _randomise(module.conv.conv, math.prod(module.stride), generator)
    _randomise(vae.decoder.conv_out.conv, vae.config.patch_size**2, generator)


def _randomise(conv: nn.Conv3d, cells: int, generator: torch.Generator) -> None:
    """Equal weights for each run of ``cells`` output channels."""
    outputs, *rest = conv.weight.shape
    weight = torch.randn((outputs // cells, *rest), generator=generator) / math.prod(rest) ** 0.5
    conv.weight.copy_(weight.repeat_interleave(cells, dim=0))
    if conv.bias is not None:
        conv.bias.zero_()
