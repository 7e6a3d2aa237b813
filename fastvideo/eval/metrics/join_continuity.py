"""How large the steps are where segments join, beside those inside."""

from __future__ import annotations

import math

from fastvideo.api.errors import EvaluationError
from fastvideo.eval.clip import Sample
from fastvideo.eval.meters.join import Steps, picture_steps, sound_steps
from fastvideo.eval.result import Score


def measure(sample: Sample) -> Score:
    """The joins' 95th percentile over that of other places: the picture's or the sound's, whichever is more.

    At most 1 when a join cannot be told from any other place. Raises EvaluationError for joins outside the clip.
    """
    video = sample.video
    joins = sorted({round(join_s * video.fps) for join_s in sample.joins_s})
    frames = sample.require_frames(len(joins) + 2)
    try:
        steps: dict[str, Steps] = {"picture": picture_steps(frames, joins)}
        if video.samples is not None:
            steps["sound"] = sound_steps(video.samples, video.sample_rate_hz, sorted(set(sample.joins_s)))
    except ValueError as error:
        raise EvaluationError(f"{video.name}: {error}") from error
    ratios = {name: each.ratio() for name, each in steps.items() if each.inside.size}
    details: dict[str, object] = {**ratios, "joins": len(joins)}
    if math.inf in ratios.values():
        details["reason"] = "nothing changes but at the joins"
    return Score(max(ratios.values()), details)
