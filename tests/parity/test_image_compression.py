"""A picture's way through H.264 against diffusers' port of the official preprocessing."""

import numpy as np
import pytest
from diffusers.pipelines.ltx2.utils import apply_image_conditioning_crf

from fastvideo.pipelines.basic.ltx2.image_compression import compressed


@pytest.mark.parametrize("crf", [18, 33])
def test_a_picture_loses_what_it_loses_in_diffusers(crf: int) -> None:
    y, x = np.mgrid[0:65, 0:98]
    grain = np.random.default_rng(0).normal(0, 12, (65, 98, 3))
    picture = np.clip(np.stack([2 * x, 3 * y, x + y], axis=-1) + grain, 0, 255).astype(np.uint8)
    assert np.array_equal(compressed(picture, crf), apply_image_conditioning_crf(picture, crf))
