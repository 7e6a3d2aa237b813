"""A later segment continues an earlier one exactly: pose, colour, tone and knocks."""

from dataclasses import replace

import numpy as np
import pytest

from fastvideo.eval.world.scene import Backdrop, Colour, Kind, Motion, Pattern, Scene, Size, Thing
from scripts.train_embedded.world.motion import Arena, Pose, Trajectory
from scripts.train_embedded.world.render import render
from scripts.train_embedded.world.segment import Segment, first_segment
from scripts.train_embedded.world.sound import sound_of

BALL = Thing(Kind.BALL, Colour.RED, Size.MEDIUM, Motion.BOUNCE)
SCENE = Scene((BALL,), Backdrop(Pattern.PLAIN, Colour.BLUE))


def bouncing(num_frames: int = 60, scene: Scene = SCENE) -> Segment:
    trajectory = Trajectory(Motion.BOUNCE, 0, Pose(0.4, 0.3, 0.155), Arena(), 0.0)
    return first_segment(scene, num_frames, [trajectory])


@pytest.mark.parametrize("rate_hz", [16000, 24000, 48000])
def test_a_continued_segment_is_the_rest_of_a_longer_one_to_the_pixel_and_the_sample(rate_hz: int) -> None:
    # 61 frames are no whole number of samples at 16 kHz.
    first = bouncing(61)
    second = first.continued(SCENE, 50, [None])
    whole = bouncing(111)
    np.testing.assert_array_equal(np.concatenate([render(first, 32), render(second, 32)]), render(whole, 32))
    sounds = np.concatenate([sound_of(first, rate_hz), sound_of(second, rate_hz)], axis=1)
    np.testing.assert_allclose(sounds, sound_of(whole, rate_hz), atol=2e-6)


@pytest.mark.parametrize(
    "after",
    [
        Scene((replace(BALL, colour=Colour.WHITE),), SCENE.backdrop),
        Scene((replace(BALL, kind=Kind.STAR),), SCENE.backdrop),
        Scene((BALL,), Backdrop(Pattern.CHECKS, Colour.WHITE)),
    ],
    ids=["colour", "kind", "backdrop"],
)
def test_a_change_begins_at_what_was_and_arrives_within_a_second(after: Scene) -> None:
    first = bouncing()
    changed, unchanged = first.continued(after, 60, [None]), first.continued(SCENE, 60, [None])
    frames, as_before = render(changed, 64), render(unchanged, 64)
    np.testing.assert_array_equal(frames[0], as_before[0])
    assert np.abs(np.diff(frames[:, :8, :8].astype(int), axis=0)).max() < 25
    settled = replace(changed, backdrop_before=after.backdrop, actors=bouncing(120, after).actors)
    np.testing.assert_array_equal(frames[24:], render(settled, 64)[24:])
    assert (frames[24:] != as_before[24:]).any()


def test_a_new_motion_starts_where_the_old_one_was_and_its_knock_rings_on() -> None:
    impact_s = float(bouncing().actors[0].trajectory.impacts(0.0, 5.0)[1])
    first = bouncing(int(impact_s * 24) + 1)
    pose = first.actors[0].trajectory.pose_at(first.end_frame)
    scene = Scene((replace(BALL, motion=Motion.STILL),), SCENE.backdrop)
    still = Trajectory(Motion.STILL, first.end_frame, pose, Arena(), 0.0)
    second = first.continued(scene, 60, [still])
    tone_only = second.continued(scene, 60, [None])
    joined = np.concatenate([render(first, 64), render(second, 64)])[-62:-58].astype(int)
    assert np.abs(np.diff(joined, axis=0)).mean(axis=(1, 2, 3)).max() < 6
    low, later = (np.abs(np.fft.rfft(sound_of(part, 16000).sum(axis=0)[:3200])[40]) for part in (second, tone_only))
    assert low > 10 * later


def test_a_dissolve_fades_one_scene_into_another() -> None:
    first = bouncing()
    star = Scene((Thing(Kind.STAR, Colour.YELLOW, Size.SMALL, Motion.STILL),), Backdrop(Pattern.PLAIN, Colour.PURPLE))
    second = first.dissolved(star, 60, [Trajectory(Motion.STILL, 60, Pose(0.5, 0.5, 0.11), Arena(), 0.0)])
    frames = render(second, 64)
    np.testing.assert_array_equal(frames[0], render(first.continued(SCENE, 60, [None]), 64)[0])
    assert tuple(frames[30, 32, 32]) == Colour.YELLOW.rgb
    assert tuple(frames[30, 0, 0]) == Colour.PURPLE.rgb
    third = second.continued(star, 60, [None])
    np.testing.assert_array_equal(render(third, 64)[0], frames[-1])


def test_a_segment_too_short_for_a_transition_and_another_count_of_things_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 24 frames, got 24"):
        bouncing(24)
    with pytest.raises(ValueError, match="expected 1 things, got 2"):
        bouncing().continued(replace(SCENE, things=(BALL, BALL)), 60, [None, None])
