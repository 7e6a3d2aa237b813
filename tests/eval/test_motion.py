"""Flicker, smoothness of motion, and joins: known pictures have known scores."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from fastvideo.api.errors import EvaluationError
from fastvideo.eval.metrics import join_continuity, motion_smoothness, temporal_flicker
from fastvideo.eval.metrics.optical_flow import optical_flow
from scripts.train_embedded.world.render import render
from scripts.train_embedded.world.sound import sound_of
from scripts.train_embedded.world.story import story


def moved(places_px, size_px=96):
    """A texture whose windows are that far to the right."""
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(200, 300, 3)), (3, 3, 0))
    base = 255 * (noise - noise.min()) / np.ptp(noise)
    down, right = np.meshgrid(np.arange(size_px) + 50.0, np.arange(size_px) + 60.0, indexing="ij")
    frames = [
        np.stack([map_coordinates(base[..., channel], [down, right + place]) for channel in range(3)], axis=-1)
        for place in places_px
    ]
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def evenness(places_px):
    """What the definition gives for a picture that moves as a whole."""
    places = np.array(places_px, float)
    forward, backward = places[2:] - places[1:-1], places[:-2] - places[1:-1]
    return 1 - np.abs(forward + backward).sum() / (np.abs(forward) + np.abs(backward)).sum()


@pytest.mark.parametrize(
    "places_px",
    [
        np.arange(8) * 1.3,
        np.arange(8) * 5.0,
        0.2 * np.arange(9) ** 2,
        8 * np.sin(np.arange(12) / 3),
        np.arange(10) * 2.0 + np.random.default_rng(3).normal(0, 0.5, 10),
        np.repeat(np.arange(5) * 2.0, 2),
    ],
    ids=["slow", "fast", "faster and faster", "to and fro", "trembling", "every other frame stands"],
)
def test_smoothness_follows_from_how_a_picture_moves(sample, places_px):
    score = motion_smoothness.measure(sample(moved(places_px)))
    assert score.value == pytest.approx(evenness(places_px), abs=0.02)


def test_flow_finds_how_far_a_picture_moved_and_which_way():
    one, other = (np.moveaxis(frame, -1, 0).astype(np.float32) for frame in moved([0.0, 4.7]))
    right, down = optical_flow(one, other)[:, 16:-16, 16:-16]
    # The window goes right, so what it shows goes left.
    assert right == pytest.approx(np.full_like(right, -4.7), abs=0.1)
    assert down == pytest.approx(np.zeros_like(down), abs=0.1)


def test_a_still_picture_has_no_smoothness(sample):
    score = motion_smoothness.measure(sample(moved([0.0] * 4)))
    assert score.value is None
    assert score.details["reason"] == "nothing moves"


def test_things_of_the_world_move_smoothly_and_not_at_half_the_frame_rate(sample):
    frames = render(story(3, 0, num_segments=1)[0].segment, 96, 0, 10)
    assert motion_smoothness.measure(sample(frames)).value > 0.85
    assert motion_smoothness.measure(sample(frames[::2].repeat(2, axis=0))).value < 0.1


def test_brightness_that_alternates_flickers_by_its_step_and_a_fade_does_not(texture, sample):
    still = texture(1, 32, 32).repeat(9, axis=0) // 2
    alternating = still.copy()
    alternating[::2] += 6
    assert temporal_flicker.measure(sample(alternating)).value == pytest.approx(6, abs=1e-4)
    fading = still + np.arange(9, dtype=np.uint8)[:, None, None, None]
    score = temporal_flicker.measure(sample(fading))
    assert score.value == 0
    # VBench's formula: what is left of the range by the mean difference.
    assert score.details["vbench"] == pytest.approx((255 - 1) / 255)


def test_motion_flickers_less_than_noise_of_the_same_mean_difference(texture, worn, sample):
    moving = temporal_flicker.measure(sample(moved(np.arange(6) * 1.0)))
    still = texture(1, 96, 96).repeat(6, axis=0)
    deviation = moving.details["mean_difference_levels"] * np.sqrt(np.pi) / 2
    noise = temporal_flicker.measure(sample(worn(still, deviation)))
    assert noise.details["mean_difference_levels"] == pytest.approx(moving.details["mean_difference_levels"], rel=0.1)
    assert moving.value < noise.value / 4


@pytest.mark.parametrize("metric", [temporal_flicker, motion_smoothness])
def test_two_frames_are_too_few(texture, sample, metric):
    with pytest.raises(EvaluationError, match="has 2 frames, expected at least 3"):
        metric.measure(sample(texture(2, 32, 32)))


def test_joins_of_a_story_cannot_be_told_and_a_cut_can(sample):
    parts = [shot.segment for shot in story(4, 3)]
    frames = np.concatenate([render(part, 64) for part in parts])
    sound = np.concatenate([sound_of(part, 16000) for part in parts], axis=1)
    score = join_continuity.measure(sample(frames, samples=sound, rate_hz=16000, joins_s=(57 / 24, 105 / 24)))
    assert score.value is not None
    assert score.value <= 1.05
    assert score.details["joins"] == 2
    cut = np.concatenate((frames[:57], frames[:40]))
    assert join_continuity.measure(sample(cut, joins_s=(57 / 24,))).value > 2


def test_a_lone_step_at_a_join_is_infinitely_larger(sample):
    frames = np.zeros((10, 16, 16, 3), np.uint8)
    frames[5:] = 40
    score = join_continuity.measure(sample(frames, joins_s=(5 / 24,)))
    assert score.value == float("inf")
    assert score.details["reason"] == "nothing changes but at the joins"


def test_a_join_outside_the_clip_is_refused(texture, sample):
    with pytest.raises(EvaluationError, match="joins lie between 1 and 9"):
        join_continuity.measure(sample(texture(10, 16, 16), joins_s=(2.0,)))
