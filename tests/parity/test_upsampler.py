"""The latent upsampler against diffusers' LTX2LatentUpsamplerModel, with the same tensors under the same names."""

from collections.abc import Callable

import pytest
import torch
from diffusers.pipelines.ltx2.latent_upsampler import LTX2LatentUpsamplerModel
from torch import nn

from fastvideo.models.ltx2.upsampler import LatentUpsampler, LatentUpsamplerConfig


@pytest.mark.parametrize("rational", [True, False], ids=["2.0", "2.3"])
def test_twice_the_size_is_what_diffusers_makes(rational: bool, randomise: Callable[[nn.Module, int], None]) -> None:
    config = LatentUpsamplerConfig(in_channels=6, mid_channels=64, num_blocks_per_stage=2, rational_resampler=rational)
    ours = LatentUpsampler(config).eval()
    randomise(ours, 3)
    oracle = LTX2LatentUpsamplerModel(
        in_channels=6, mid_channels=64, num_blocks_per_stage=2, use_rational_resampler=rational
    ).eval()
    oracle.load_state_dict(ours.state_dict(), strict=True)
    latents = 2 * torch.randn((2, 6, 3, 4, 5), generator=torch.Generator().manual_seed(1)) + 0.5
    with torch.inference_mode():
        actual, expected = ours(latents), oracle(latents)
    assert actual.shape == (2, 6, 3, 8, 10)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


def test_the_blur_kernel_of_the_2_0_file_is_that_of_diffusers() -> None:
    ours = LatentUpsampler(LatentUpsamplerConfig(6, 32, 1, rational_resampler=True))
    oracle = LTX2LatentUpsamplerModel(in_channels=6, mid_channels=32, num_blocks_per_stage=1)
    name = "upsampler.blur_down.kernel"
    torch.testing.assert_close(ours.state_dict()[name], oracle.state_dict()[name])
