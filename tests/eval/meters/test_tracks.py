"""Outlines give shape, size and rotation; paths give motions; samples give notes; joins stand out or don't."""

import numpy as np
import pytest

from fastvideo.eval.meters.join import Steps, picture_steps, place_steps, sound_steps, velocity_steps
from fastvideo.eval.meters.movement import motion_of, size_change
from fastvideo.eval.meters.outline import kind_of, radius_px, rotation_turns, trace
from fastvideo.eval.meters.pitch import notes_over_time, pitch_error_semitones
from fastvideo.eval.meters.track import Track
from fastvideo.eval.world.notes import note_of
from fastvideo.eval.world.scene import Backdrop, Colour, Kind, Motion, Pattern, Scene, Size, Thing
from fastvideo.eval.world.shapes import distance
from scripts.train_embedded.world.motion import Arena, Pose, Trajectory
from scripts.train_embedded.world.render import render
from scripts.train_embedded.world.segment import first_segment
from scripts.train_embedded.world.sound import sound_of
from scripts.train_embedded.world.story import story

TIMES_S = np.arange(61) / 12


def masks(kind: Kind, radius_px: float, turns: list[float]) -> np.ndarray:
    line = np.arange(-48, 48, dtype=np.float32) + np.float32(0.5)
    x, y = np.meshgrid(line, line)
    rotated = [(np.float32(np.cos(2 * np.pi * t)), np.float32(np.sin(2 * np.pi * t))) for t in turns]
    return np.stack([distance(kind, c * x + s * y, c * y - s * x, radius_px) < 0 for c, s in rotated])


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("radius", [8.0, 14.0, 36.0])
def test_a_shape_is_known_at_any_size_and_rotation(kind: Kind, radius: float) -> None:
    for turns in (0.0, 0.03, 0.125, 0.2):
        outline = trace(masks(kind, radius, [turns]))
        assert kind_of(outline) is kind
        assert radius_px(outline, kind) == pytest.approx([radius], rel=0.03, abs=0.6)
        assert (outline.x[0], outline.y[0]) == pytest.approx((48, 48), abs=0.3)


@pytest.mark.parametrize("kind", [Kind.TRIANGLE, Kind.SQUARE, Kind.STAR])
def test_rotation_is_followed_clockwise_beyond_a_turn(kind: Kind) -> None:
    turns = [index * 0.033 for index in range(40)]
    measured = rotation_turns(trace(masks(kind, 30.0, turns)), kind)
    assert measured - measured[0] == pytest.approx(turns, abs=0.015)


def test_an_empty_mask_has_no_shape_and_a_speck_far_away_does_not_move_one() -> None:
    assert kind_of(trace(np.zeros((2, 32, 32), bool))) is None
    mask = masks(Kind.BALL, 10.0, [0.0])
    mask[0, :2, :2] = True
    outline = trace(mask)
    assert (outline.x[0], outline.y[0]) == pytest.approx((48, 48), abs=0.01)
    assert outline.area[0] == pytest.approx(np.pi * 100, rel=0.03)


@pytest.mark.parametrize("motion", Motion)
def test_each_motion_is_known_from_its_track_with_tremble(motion: Motion) -> None:
    rates = dict.fromkeys(Motion, 0.09) | {Motion.GROW: 0.025, Motion.SPIN: 0.4, Motion.CIRCLE: 0.25}
    rng = np.random.default_rng(0)
    for x, y in ((0.5, 0.5), (0.35, 0.6), (0.6, 0.3)):
        exact = Trajectory(motion, 0, Pose(x, y, 0.15), Arena(), rates[motion]).at(TIMES_S)
        tremble = (rng.normal(0, 0.003, TIMES_S.size) for _ in range(2))
        track = Track(exact.x + next(tremble), exact.y + next(tremble), exact.radius, exact.turns)
        assert motion_of(track) is motion


def test_nothing_seen_has_no_motion_and_no_size() -> None:
    nothing = np.full(10, np.nan)
    assert motion_of(Track(nothing, nothing, nothing, nothing)) is None
    assert np.isnan(size_change(Track(nothing, nothing, nothing, nothing)))


def test_size_change_is_the_ratio_of_the_largest_radius_to_the_smallest() -> None:
    flat = np.zeros(60)
    assert size_change(Track(flat, flat, np.linspace(0.1, 0.2, 60), flat)) == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("rate_hz", [16000, 24000, 48000])
def test_notes_are_heard_within_half_a_semitone_in_every_timbre(kind: Kind, rate_hz: int) -> None:
    scene = Scene((Thing(kind, Colour.RED, Size.MEDIUM, Motion.UP),), Backdrop(Pattern.PLAIN, Colour.BLACK))
    trajectory = Trajectory(Motion.UP, 0, Pose(0.5, 0.8, 0.155), Arena(), 0.12)
    samples = sound_of(first_segment(scene, 121, [trajectory]), rate_hz)
    times_s = np.arange(0.1, 4.9, 0.05)
    errors = np.abs(notes_over_time(samples, rate_hz, times_s) - note_of(1 - trajectory.at(times_s).y, 0))
    # Around a step to the next note, one or the other is heard.
    assert np.median(errors) < 0.1
    assert np.mean(errors < 0.5) > 0.9


def test_near_the_border_of_two_notes_either_is_right_and_elsewhere_one() -> None:
    scene = Scene((Thing(Kind.RING, Colour.RED, Size.MEDIUM, Motion.STILL),), Backdrop(Pattern.PLAIN, Colour.BLACK))
    times_s = np.arange(40) / 12

    def error(sung_y: float, seen_y: float) -> float:
        still = Trajectory(Motion.STILL, 0, Pose(0.5, sung_y, 0.155), Arena(), 0.0)
        samples = sound_of(first_segment(scene, 96, [still]), 24000)
        return pitch_error_semitones(np.full(40, seen_y), times_s, samples, 24000)

    # A border lies at 0.5625 above the bottom.
    assert error(0.435, 0.44) < 0.1
    assert error(0.44, 0.435) < 0.1
    assert error(0.5, 0.4) > 2
    assert error(0.5, 0.5) < 0.1
    assert np.isnan(error(0.5, float("nan")))


def test_silence_has_no_note() -> None:
    assert np.isnan(notes_over_time(np.zeros((2, 16000), np.float32), 16000, np.array([0.0, 0.5, 1.0]))).all()


def continuous() -> tuple[np.ndarray, np.ndarray]:
    parts = [shot.segment for shot in story(4, 3)]
    return np.concatenate([render(part, 64) for part in parts]), np.concatenate(
        [sound_of(part, 16000) for part in parts], axis=1
    )


def test_joins_of_a_continuous_story_are_no_larger_than_other_steps_and_cut_ones_are() -> None:
    frames, samples = continuous()
    joins = [57, 105]
    joins_s = [join / 24 for join in joins]
    # A bounce bends the path and the world knocks: the largest steps lie inside.
    assert picture_steps(frames, joins).ratio() <= 1.05
    assert sound_steps(samples, 16000, joins_s).ratio() <= 1.05
    cut = np.concatenate((frames[:57], frames[:40]))
    at = round(57 / 24 * 16000)
    cut_sound = np.concatenate((samples[:, :at], samples[:, at + 4007 :]), axis=1)
    assert picture_steps(cut, [57]).ratio() > 2
    assert sound_steps(cut_sound, 16000, [57 / 24]).ratio() > 5


def test_a_place_that_jumps_at_a_join_stands_out_and_even_motion_does_not() -> None:
    x = np.arange(100) * 0.01 + np.random.default_rng(0).normal(0, 1e-4, 100)
    y = np.zeros(100)
    jumped = np.where(np.arange(100) >= 50, x + 0.05, x)
    assert place_steps(x, y, [50]).ratio() < 1.1
    assert place_steps(jumped, y, [50]).ratio() > 5
    assert velocity_steps(x, y, [50]).ratio() < 2
    assert velocity_steps(jumped, y, [50]).ratio() > 20


def test_a_ratio_without_any_motion_is_one_and_a_lone_jump_infinite() -> None:
    assert Steps(np.zeros(5), np.zeros(1)).ratio() == 1
    assert Steps(np.zeros(5), np.ones(1)).ratio() == float("inf")


def test_a_join_outside_the_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="joins lie between 1 and 9"):
        picture_steps(np.zeros((10, 8, 8, 3), np.uint8), [0])
    with pytest.raises(ValueError, match="joins need"):
        sound_steps(np.zeros((2, 16000), np.float32), 16000, [0.01])


@pytest.mark.parametrize("kind", Kind)
def test_a_click_in_any_timbre_stands_out_and_a_note_without_one_does_not(kind: Kind) -> None:
    scene = Scene((Thing(kind, Colour.RED, Size.MEDIUM, Motion.STILL),), Backdrop(Pattern.PLAIN, Colour.BLACK))
    trajectory = Trajectory(Motion.STILL, 0, Pose(0.5, 0.5, 0.155), Arena(), 0.0)
    samples = sound_of(first_segment(scene, 96, [trajectory]), 24000)
    assert sound_steps(samples, 24000, [2.0]).ratio() == pytest.approx(1, abs=0.5)
    # A third of a period is missing.
    cut = np.concatenate((samples[:, :48000], samples[:, 48011:]), axis=1)
    assert sound_steps(cut, 24000, [2.0]).ratio() > 20
