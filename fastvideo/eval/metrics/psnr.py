"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math

import numpy as np

from fastvideo.eval.clip import Sample
from fastvideo.eval.result import Score

_PEAK = 255.0


def measure(sample: Sample) -> Score:
    """10 log10(255² / mean squared error) over all frames, pixels and channels, in dB; infinite for identical clips."""
    errors = [
        float(np.square(one.astype(np.float32) - other).mean(dtype=np.float64))
        for one, other in zip(*sample.compared(), strict=True)
    ]
    decibels = [_decibels(error) for error in errors]
    mean = sum(errors) / len(errors)
    details: dict[str, object] = {"min": min(decibels), "mean_squared_error": mean, "frames": len(errors)}
    if mean == 0:
        details["reason"] = "the clips are identical"
    return Score(_decibels(mean), details)


def _decibels(squared_error: float) -> float:
    return 10 * math.log10(_PEAK**2 / squared_error) if squared_error > 0 else math.inf
