"""How much of what a prompt names a video of the embedded model's world shows."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from fastvideo.api.errors import EvaluationError
from fastvideo.eval.clip import Sample
from fastvideo.eval.meters.clip import measure as measure_clip
from fastvideo.eval.meters.verdict import judge
from fastvideo.eval.result import Score
from fastvideo.eval.world.prompt import read_prompt

LEAST_PX = 32


def measure(sample: Sample) -> Score:
    """Share of the named attributes that are right: colour, shape and motion of the things, the backdrop's colour, and,
    where there is sound, whether the note is the one that the height of the first thing asks for.

    Raises EvaluationError for a prompt that names nothing of that world, and below 32 px or 4 frames.
    """
    video, prompt = sample.video, sample.prompt or ""
    frames = sample.require_frames(4)
    if min(video.width_px, video.height_px) < LEAST_PX:
        raise EvaluationError(
            f"prompt_adherence needs pictures of at least {LEAST_PX} px, got {video.width_px}x{video.height_px}"
        )
    try:
        asked = read_prompt(prompt)
    except ValueError as error:
        raise EvaluationError(str(error)) from error
    # A frame may show nothing, and then has no outline to divide by.
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = measure_clip(frames, video.samples, video.sample_rate_hz or 48000, fps=video.fps)
    verdict = asdict(judge(seen, asked, with_pitch=video.samples is not None))
    answers = [answer for answer in verdict.values() if answer is not None]
    things = [f"{thing.colour} {thing.kind}, {thing.motion}" for thing in seen.things]
    return Score(sum(answers) / len(answers), {**verdict, "seen": things, "seen_backdrop": str(seen.backdrop)})
