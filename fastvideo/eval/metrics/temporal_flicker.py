"""Flicker: brightness that goes up and down again from frame to frame."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from fastvideo.eval.clip import Sample
from fastvideo.eval.metrics.luma import luma_of
from fastvideo.eval.result import Score


def measure(sample: Sample) -> Score:
    """Of each three neighbouring frames, the smaller of a pixel's two steps of luma where they have opposite signs,
    else 0; the mean over pixels and frames, in levels of 0..255.

    A fade or a picture that moves evenly has hardly any. ``details`` has the mean difference between neighbouring
    frames, which motion raises as well, and ``vbench``, the score that VBench makes of it (1 is best).
    """
    frames = sample.require_frames(3)
    reversals, differences = [], []
    before = None
    for one, other in pairwise(frames):
        differences.append(float(np.abs(other.astype(np.int16) - one).mean()))
        step = luma_of(other) - luma_of(one)
        if before is not None:
            both = np.minimum(np.abs(before), np.abs(step))
            reversals.append(float(np.where(before * step < 0, both, 0).mean(dtype=np.float64)))
        before = step
    difference = sum(differences) / len(differences)
    details = {
        "max": max(reversals),
        "mean_difference_levels": difference,
        "vbench": (255 - difference) / 255,
        "frames": len(frames),
    }
    return Score(sum(reversals) / len(reversals), details)
