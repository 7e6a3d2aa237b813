"""Tones follow height, timbres follow shapes, knocks follow bounces, and nothing clicks."""

from dataclasses import replace

import numpy as np
import pytest

from fastvideo.eval.world.notes import GRID_HZ, note_of, tone_of
from fastvideo.eval.world.scene import Backdrop, Colour, Kind, Motion, Pattern, Scene, Size, Thing
from scripts.train_embedded.world.motion import Arena, Pose, Trajectory
from scripts.train_embedded.world.segment import Segment, first_segment
from scripts.train_embedded.world.sound import sound_of
from scripts.train_embedded.world.sound_rules import TIMBRES, tone_gains

BACKDROP = Backdrop(Pattern.PLAIN, Colour.BLACK)


def segment(kind: Kind, motion: Motion, pose: Pose, rate: float = 0.0) -> Segment:
    scene = Scene((Thing(kind, Colour.RED, Size.MEDIUM, motion),), BACKDROP)
    return first_segment(scene, 96, [Trajectory(motion, 0, pose, Arena(), rate)])


def spectrum(sound: np.ndarray, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    mono = sound.sum(axis=0)
    return np.fft.rfftfreq(mono.size, 1 / rate_hz), np.abs(np.fft.rfft(mono * np.hanning(mono.size)))


@pytest.mark.parametrize("rate_hz", [16000, 24000, 48000])
@pytest.mark.parametrize("kind", Kind)
def test_a_still_thing_sounds_its_tone_with_its_timbre(kind: Kind, rate_hz: int) -> None:
    sound = sound_of(segment(kind, Motion.STILL, Pose(0.5, 0.25, 0.155)), rate_hz)
    assert sound.shape == (2, 4 * rate_hz)
    frequencies, strength = spectrum(sound, rate_hz)
    heard = [strength[np.abs(frequencies - n * 800) < 8].max() for n in range(1, 7)]
    assert np.array(heard) / heard[0] == pytest.approx(TIMBRES[kind] / TIMBRES[kind][0], abs=0.02)


def test_the_first_voice_has_five_tones_within_the_middle_half_and_the_second_three_an_octave_lower() -> None:
    heights = np.linspace(0, 1, 401)
    assert set(tone_of(heights, 0)) == {4, 5, 6, 7, 8}
    assert set(tone_of(heights, 1)) == {2, 3, 4}
    assert [int(tone_of(height, 0)) for height in (0.0, 0.25, 0.5, 0.75, 1.0)] == [4, 4, 6, 8, 8]
    assert [int(tone_of(height, 1)) for height in (0.25, 0.5, 0.75)] == [2, 3, 4]
    assert note_of(0.25, 0) == pytest.approx(69 + 12 * np.log2(400 / 440))


@pytest.mark.parametrize("kind", Kind)
def test_a_steady_tone_repeats_every_10_ms_from_the_story_s_start(kind: Kind) -> None:
    sound = sound_of(segment(kind, Motion.STILL, Pose(0.4, 0.5, 0.155)), 24000)
    cycles = sound[:, 2400:].reshape(2, -1, 24000 // GRID_HZ)
    np.testing.assert_allclose(cycles, np.broadcast_to(cycles[:, :1], cycles.shape), atol=1e-6)
    # Every partial is a sine: the cycle begins at nothing.
    assert np.abs(cycles[:, :, 0]).max() < 1e-6


def test_a_rising_thing_steps_through_tones_without_a_click() -> None:
    sound = sound_of(segment(Kind.BALL, Motion.UP, Pose(0.5, 0.7, 0.155), 0.1), 48000)
    # 0.22 at 800 Hz moves by at most 0.023 a sample.
    assert np.abs(np.diff(sound, axis=1)).max() < 0.025


def test_a_change_of_tone_is_a_fade_and_silence_has_no_gain() -> None:
    gains = tone_gains(np.array([0, 0, 0, 5, 5, 5, 5, 6, 6, 6, 6]))
    np.testing.assert_allclose(gains[:, 5], [0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0])
    np.testing.assert_allclose(gains[3:].sum(axis=1), 1)
    assert not gains[:, 0].any()


def test_a_story_begins_softly() -> None:
    sound = sound_of(segment(Kind.TRIANGLE, Motion.STILL, Pose(0.5, 0.5, 0.155)), 48000)
    assert np.abs(sound[:, :240]).max() < 0.25 * np.abs(sound).max()


def test_a_rate_off_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="a multiple of 100 Hz, got 22050"):
        sound_of(segment(Kind.BALL, Motion.STILL, Pose(0.5, 0.5, 0.155)), 22050)


def test_it_knocks_when_it_hits_the_floor_and_at_no_other_time() -> None:
    bouncing = segment(Kind.BALL, Motion.BOUNCE, Pose(0.5, 0.3, 0.155))
    impacts = bouncing.actors[0].trajectory.impacts(0, 4)
    tone = segment(Kind.BALL, Motion.STILL, Pose(0.5, 0.3, 0.155))
    level = np.abs(sound_of(bouncing, 16000)).max(axis=0).reshape(-1, 320).max(axis=1)
    loud = np.flatnonzero(level > 1.3 * np.abs(sound_of(tone, 16000)).max()) * 320 / 16000
    assert loud.size
    nearest = loud[:, None] - impacts[None, :]
    assert np.where(nearest > -0.02, np.abs(nearest), np.inf).min(axis=1).max() < 0.1
    assert np.where(nearest > -0.02, np.abs(nearest), np.inf).min(axis=0).max() < 0.03


def test_a_thing_on_the_left_is_louder_on_the_left() -> None:
    left, right = np.abs(sound_of(segment(Kind.BALL, Motion.STILL, Pose(0.2, 0.5, 0.155)), 16000)).max(axis=1)
    assert left > 1.4 * right


def test_a_new_shape_takes_its_timbre_over_without_a_click() -> None:
    first = segment(Kind.BALL, Motion.STILL, Pose(0.5, 0.5, 0.155))
    thing = first.scene.things[0]
    second = first.continued(Scene((replace(thing, kind=Kind.TRIANGLE),), BACKDROP), 96, [None])
    parts = [sound_of(part, 48000) for part in (first, second)]
    joined = np.concatenate(parts, axis=1)
    bend = np.abs(np.diff(joined, n=2, axis=1)).max(axis=0)
    assert bend[parts[0].shape[1] - 4 : parts[0].shape[1] + 4].max() < 1.1 * bend[:192000].max()
    frequencies, strength = spectrum(parts[1][:, 96000:], 48000)
    tone_hz = 600
    octave = strength[np.abs(frequencies - 2 * tone_hz) < 8].max() / strength[np.abs(frequencies - tone_hz) < 8].max()
    assert octave == pytest.approx(0.6, abs=0.02)
