"""What the transformer learns from: segments of stories as the pipeline would make them, with several captions each.

Sample ``index`` of a seed is the last segment of a story of its own, so that first and later segments, and later ones
after all kinds of histories, come in fixed shares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

from fastvideo.eval.world import FPS
from fastvideo.pipelines.basic.ltx2.segment_plan import (
    AUDIO_LATENTS_PER_SECOND,
    LOOKAHEAD_LATENTS,
    SegmentPlan,
    latents_of_frames,
)
from scripts.train_embedded.text_noise import disturb
from scripts.train_embedded.world.caption import continuation_caption, opening_caption
from scripts.train_embedded.world.change import Change
from scripts.train_embedded.world.held_out import Split
from scripts.train_embedded.world.render import render
from scripts.train_embedded.world.sound import sound_of
from scripts.train_embedded.world.story import FIRST_SEGMENT_FRAMES, NEXT_SEGMENT_FRAMES, Shot, story

OVERLAP_FRAMES = FIRST_SEGMENT_FRAMES - NEXT_SEGMENT_FRAMES
BEFORE_FRAMES = 17
SAMPLE_RATE_HZ = 16_000
CAPTIONS = 8
# Of first segments, second ones and so on.
_PLACE_SHARES = (0.45, 0.3, 0.15, 0.1)
# Longer than the sound that a plan holds beyond its picture.
_MORE_FRAMES = 12
_HALF_WINDOW_SAMPLES = 512
_MEL_HOP_SAMPLES = SAMPLE_RATE_HZ // 100


@dataclass(frozen=True)
class Sample:
    """Frames uint8 [57, S, S, 3], the first ``plan.overlap_frames`` of them given; the 17 frames ``before`` that end
    with those, or none; ``samples`` [2, N] at 16 kHz from the story's start, of which the plan's sound is what its last
    ``plan.audio_latents`` latents hold; ``captions``: wordings of one meaning."""

    plan: SegmentPlan
    frames: NDArray[np.uint8]
    before: NDArray[np.uint8] | None
    samples: NDArray[np.float32]
    captions: tuple[str, ...]

    @property
    def heard_mel_frames(self) -> int:
        """Mel frames whose windows lie within the samples, but for the mirrored ones at the story's start."""
        return (self.samples.shape[1] - _HALF_WINDOW_SAMPLES) // _MEL_HOP_SAMPLES


def plans(count: int) -> tuple[SegmentPlan, ...]:
    """The plans of a stream's first ``count`` segments, as the pipeline chains them."""
    made = [SegmentPlan.make(FIRST_SEGMENT_FRAMES, FPS, lookahead_latents=LOOKAHEAD_LATENTS)]
    while len(made) < count:
        before = made[-1]
        tail = before.audio_tail(OVERLAP_FRAMES)
        made.append(
            SegmentPlan.make(
                FIRST_SEGMENT_FRAMES,
                FPS,
                overlap_frames=OVERLAP_FRAMES,
                audio_context_latents=min(latents_of_frames(tail.num_frames, FPS), tail.end - tail.begin),
                lookahead_latents=LOOKAHEAD_LATENTS,
                position_offset_s=tail.position_offset_s,
                frames_before=before.frames_before + before.new_frames,
            )
        )
    return tuple(made)


def sample(seed: int, index: int, size_px: int, split: Split = Split.TRAIN) -> Sample:
    """The ``index``-th sample of a seed with pictures of ``size_px``."""
    rng = default_rng([seed, index, 2])
    place = int(rng.choice(len(_PLACE_SHARES), p=_PLACE_SHARES))
    shots = story(seed, index, num_segments=place + 1, split=split)
    plan = plans(place + 1)[place]
    frames = render(shots[-1].segment, size_px)
    before = None
    if place:
        last = shots[-2].segment
        before = render(last, size_px, last.num_frames - BEFORE_FRAMES, BEFORE_FRAMES)
        frames = np.concatenate((before[-OVERLAP_FRAMES:], frames))
    captions = tuple(disturb(_caption(shots, rng), rng) for _ in range(CAPTIONS))
    return Sample(plan, frames, before, _sound(shots, plan), captions)


def mel_frames(plan: SegmentPlan) -> int:
    """Mel frames that the plan's audio latents stand for."""
    return 4 * plan.audio_latents - 3


def _sound(shots: tuple[Shot, ...], plan: SegmentPlan) -> NDArray[np.float32]:
    """All that was heard, so that an encoder which looks back finds what it will find in a stream; up to half a window
    beyond the middle of the plan's last mel frame."""
    last = shots[-1].segment
    # What sounds after the segment's end is what would go on.
    segments = [*(shot.segment for shot in shots[:-1]), replace(last, num_frames=last.num_frames + _MORE_FRAMES)]
    whole = np.concatenate([sound_of(segment, SAMPLE_RATE_HZ) for segment in segments], axis=1)
    start = Fraction(last.start_frame - plan.overlap_frames, FPS) - plan.position_offset
    # The sound begins where a latent of the story ends, with the mel frame there.
    if start < 0 or start * AUDIO_LATENTS_PER_SECOND % 1:
        raise ValueError(
            f"the sound of segment {len(shots)} begins at {float(start)} s, between two latents of its story"
        )
    count = int(start * SAMPLE_RATE_HZ) + mel_frames(plan) * _MEL_HOP_SAMPLES + _HALF_WINDOW_SAMPLES
    if count > whole.shape[1]:
        raise ValueError(f"{whole.shape[1]} samples are fewer than the {count} that the plan needs")
    return whole[:, :count]


def _caption(shots: tuple[Shot, ...], rng: np.random.Generator) -> str:
    shot = shots[-1]
    scene = shot.segment.scene
    if shot.change is None or shot.change is Change.SCENE:
        return opening_caption(scene, rng)
    before = shots[-2].caption
    return continuation_caption(scene, shot.change, shot.changed, before, rng)
