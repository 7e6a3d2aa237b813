"""Samples are what the pipeline would see: its plans, frames that follow each other, sound that lies under them."""

import numpy as np
import pytest

from fastvideo.pipelines.basic.ltx2.segment_plan import LOOKAHEAD_LATENTS
from scripts.train_embedded.samples import OVERLAP_FRAMES, mel_frames, plans, sample
from scripts.train_embedded.world.held_out import Split
from scripts.train_embedded.world.render import render
from scripts.train_embedded.world.sound import sound_of
from scripts.train_embedded.world.story import story

MANY = 60


def test_later_segments_add_two_seconds_of_picture_and_fifty_latents_of_sound() -> None:
    first, *later = plans(5)
    assert (first.overlap_frames, first.audio_context_latents, first.latent_frames) == (0, 0, 8)
    for plan in later:
        assert plan.new_frames == 48
        assert plan.audio_latents - plan.audio_context_latents == 51
        assert plan.position_offset == later[0].position_offset
        start, count = plan.sample_span(24000)
        assert count == 48000
        # The sound goes on for the look-ahead beyond what is emitted.
        assert mel_frames(plan) * 240 - (start + count) >= LOOKAHEAD_LATENTS * 4 * 240


def test_a_sample_is_the_same_again_and_another_seed_gives_another() -> None:
    one, again, other = sample(1, 5, 32), sample(1, 5, 32), sample(2, 5, 32)
    np.testing.assert_array_equal(one.frames, again.frames)
    np.testing.assert_array_equal(one.samples, again.samples)
    assert one.captions == again.captions
    assert one.captions != other.captions


def test_first_and_later_segments_turn_up_and_have_the_lengths_of_their_plans() -> None:
    seen = set()
    for index in range(MANY):
        one = sample(3, index, 32)
        seen.add(one.plan.frames_before)
        assert one.frames.shape == (57, 32, 32, 3)
        before = 0 if one.plan.overlap_frames == 0 else 40 + 200 * (plans(4).index(one.plan) - 1)
        assert one.heard_mel_frames == before + mel_frames(one.plan)
        assert one.samples.shape == (2, one.heard_mel_frames * 160 + 512)
        assert len(set(one.captions)) > 1
    assert len(seen) == 4


@pytest.mark.parametrize("index", range(12))
def test_what_is_given_is_the_end_of_the_segment_before(index: int) -> None:
    one = sample(3, index, 32)
    later = one.plan.overlap_frames > 0
    place = plans(4).index(one.plan)
    shots = story(3, index, num_segments=place + 1)
    frames = np.concatenate([render(shot.segment, 32) for shot in shots])
    np.testing.assert_array_equal(one.frames, frames[-57:])
    assert later == (place > 0)
    if later:
        assert one.plan.overlap_frames == OVERLAP_FRAMES
    # The emitted sound is that of the last segment.
    start, count = one.plan.sample_span(16000)
    last = sound_of(shots[-1].segment, 16000)
    begin = (one.heard_mel_frames - mel_frames(one.plan)) * 160
    np.testing.assert_allclose(one.samples[:, begin + start : begin + start + count], last[:, :count], atol=1e-6)


def test_held_out_samples_come_from_held_out_stories() -> None:
    assert sample(1, 0, 32, Split.HELD_OUT).captions != sample(1, 0, 32).captions
