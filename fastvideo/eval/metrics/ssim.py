"""Structural similarity."""

from __future__ import annotations

import numpy as np

from fastvideo.api.errors import EvaluationError
from fastvideo.eval.clip import Sample
from fastvideo.eval.metrics.similarity import WINDOW, similarity
from fastvideo.eval.result import Score


def measure(sample: Sample) -> Score:
    """Mean over frames and the channels R, G and B, at most 1. Raises EvaluationError below 11 px."""
    videos = sample.compared()
    if min(sample.video.width_px, sample.video.height_px) < WINDOW:
        raise EvaluationError(
            f"ssim needs pictures of at least {WINDOW} px, got {sample.video.width_px}x{sample.video.height_px}"
        )
    values = []
    for pictures in zip(*videos, strict=True):
        one, other = (np.moveaxis(picture, -1, 0).astype(np.float32) for picture in pictures)
        values.append(float(np.mean([similarity(x, y)[0] for x, y in zip(one, other, strict=True)])))
    return Score(sum(values) / len(values), {"min": min(values), "frames": len(values)})
