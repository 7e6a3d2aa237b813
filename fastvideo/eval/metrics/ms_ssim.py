"""Structural similarity at five scales (Wang, Simoncelli and Bovik 2003)."""

from __future__ import annotations

import numpy as np

from fastvideo.api.errors import EvaluationError
from fastvideo.eval.clip import Sample
from fastvideo.eval.metrics.similarity import WINDOW, Plane, similarity
from fastvideo.eval.result import Score

# From full size down: the exponents that the paper found.
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
LEAST_PX = WINDOW << (len(EXPONENTS) - 1)


def measure(sample: Sample) -> Score:
    """Mean over frames and the channels R, G and B, in 0..1. Raises EvaluationError below 176 px."""
    videos = sample.compared()
    if min(sample.video.width_px, sample.video.height_px) < LEAST_PX:
        raise EvaluationError(
            f"ms_ssim needs pictures of at least {LEAST_PX} px, got {sample.video.width_px}x{sample.video.height_px}"
        )
    values = []
    for pictures in zip(*videos, strict=True):
        one, other = (np.moveaxis(picture, -1, 0).astype(np.float32) for picture in pictures)
        values.append(float(np.mean([_at_all_scales(x, y) for x, y in zip(one, other, strict=True)])))
    return Score(sum(values) / len(values), {"min": min(values), "frames": len(values)})


def _at_all_scales(one: Plane, other: Plane) -> float:
    product = 1.0
    for number, exponent in enumerate(EXPONENTS, start=1):
        whole, structure = similarity(one, other)
        # Luminance counts at the coarsest scale only. Pictures that are opposites have nothing in common.
        product *= max(0.0, whole if number == len(EXPONENTS) else structure) ** exponent
        one, other = _halved(one), _halved(other)
    return product


def _halved(plane: Plane) -> Plane:
    """Means of 2x2 px; an odd last row or column is left out."""
    height, width = (length // 2 * 2 for length in plane.shape)
    plane = plane[:height, :width]
    return (plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]) / np.float32(4)
