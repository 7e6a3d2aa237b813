"""PSNR, SSIM and MS-SSIM say what scikit-image and pytorch-msssim say."""

import math

import numpy as np
import pytest
import torch
from pytorch_msssim import ms_ssim as published_ms_ssim
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from fastvideo.api.errors import EvaluationError
from fastvideo.eval.metrics import ms_ssim, psnr, ssim


@pytest.mark.parametrize("deviation", [3.0, 40.0])
def test_psnr_is_that_of_scikit_image(texture, worn, sample, deviation):
    one = texture(3, 40, 56)
    other = worn(one, deviation)
    score = psnr.measure(sample(one, other))
    assert score.value == pytest.approx(peak_signal_noise_ratio(one, other, data_range=255), abs=1e-4)
    assert score.details["min"] == pytest.approx(
        min(peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(one, other, strict=True)), abs=1e-4
    )


def test_psnr_of_identical_clips_is_infinite_and_says_why(texture, sample):
    one = texture(2, 16, 16)
    score = psnr.measure(sample(one, one.copy()))
    assert score.value == math.inf
    assert score.details["reason"] == "the clips are identical"


# Sizes below, at and beyond the rows that are filtered at once.
@pytest.mark.parametrize("size", [(11, 11), (40, 57), (58, 41), (131, 75)])
@pytest.mark.parametrize("deviation", [3.0, 40.0])
def test_ssim_is_that_of_scikit_image(texture, worn, sample, size, deviation):
    one = texture(2, *size)
    other = worn(one, deviation)
    published = [
        structural_similarity(
            a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=-1
        )
        for a, b in zip(one, other, strict=True)
    ]
    score = ssim.measure(sample(one, other))
    assert score.value == pytest.approx(np.mean(published), abs=2e-6)
    assert score.details["min"] == pytest.approx(min(published), abs=2e-6)


@pytest.mark.parametrize("deviation", [3.0, 40.0])
def test_ms_ssim_is_that_of_pytorch_msssim(texture, worn, sample, deviation):
    one = texture(2, 192, 240)
    other = worn(one, deviation)
    a, b = (torch.from_numpy(frames).movedim(-1, 1).double() for frames in (one, other))
    published = float(published_ms_ssim(a, b, data_range=255))
    assert ms_ssim.measure(sample(one, other)).value == pytest.approx(published, abs=2e-6)


def test_a_negative_has_no_structure_in_common(texture, sample):
    one = texture(1, 176, 176)
    assert ms_ssim.measure(sample(one, 255 - one)).value == 0
    assert ssim.measure(sample(one, 255 - one)).value < 0


def test_identical_clips_are_wholly_alike(texture, sample):
    one = texture(1, 176, 176)
    assert ssim.measure(sample(one, one.copy())).value == pytest.approx(1)
    assert ms_ssim.measure(sample(one, one.copy())).value == pytest.approx(1)


@pytest.mark.parametrize("metric", [psnr, ssim, ms_ssim])
def test_clips_of_other_sizes_or_lengths_are_refused(texture, sample, metric):
    with pytest.raises(EvaluationError, match=r"got 2 frames of 176x176 px .* and 3 frames of 176x176 px"):
        metric.measure(sample(texture(2, 176, 176), texture(3, 176, 176)))
    with pytest.raises(EvaluationError, match="same size and length, got 1 frames of 180x176 px"):
        metric.measure(sample(texture(1, 176, 180), texture(1, 180, 176)))


def test_pictures_below_the_windows_are_refused(texture, sample):
    small = texture(1, 10, 40)
    with pytest.raises(EvaluationError, match="at least 11 px, got 40x10"):
        ssim.measure(sample(small, small))
    medium = texture(1, 175, 200)
    with pytest.raises(EvaluationError, match="at least 176 px, got 200x175"):
        ms_ssim.measure(sample(medium, medium))
