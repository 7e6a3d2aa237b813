"""Notes follow height and size, timbres follow shapes, knocks follow bounces, and nothing clicks."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.train_embedded.world.motion import Arena, Pose, Trajectory
from scripts.train_embedded.world.scene import Backdrop, Colour, Kind, Motion, Pattern, Scene, Size, Thing
from scripts.train_embedded.world.segment import Segment, first_segment
from scripts.train_embedded.world.sound import sound_of
from scripts.train_embedded.world.sound_rules import TIMBRES, note_of

BACKDROP = Backdrop(Pattern.PLAIN, Colour.BLACK)


def segment(kind: Kind, motion: Motion, pose: Pose, rate: float = 0.0) -> Segment:
    scene = Scene((Thing(kind, Colour.RED, Size.MEDIUM, motion),), BACKDROP)
    return first_segment(scene, 96, [Trajectory(motion, 0, pose, Arena(), rate)])


def spectrum(sound: np.ndarray, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    mono = sound.sum(axis=0)
    return np.fft.rfftfreq(mono.size, 1 / rate_hz), np.abs(np.fft.rfft(mono * np.hanning(mono.size)))


@pytest.mark.parametrize("rate_hz", [16000, 24000, 48000])
@pytest.mark.parametrize("kind", Kind)
def test_a_still_thing_sounds_its_note_with_its_timbre(kind: Kind, rate_hz: int) -> None:
    sound = sound_of(segment(kind, Motion.STILL, Pose(0.5, 0.25, 0.155)), rate_hz)
    assert sound.shape == (2, 4 * rate_hz)
    frequencies, strength = spectrum(sound, rate_hz)
    tone_hz = 440 * 2 ** ((72 + 9 - 69) / 12)
    heard = [strength[np.abs(frequencies - n * tone_hz) < 8].max() for n in range(1, 7)]
    assert np.array(heard) / heard[0] == pytest.approx(TIMBRES[kind], abs=0.01)


def test_notes_are_whole_semitones_an_octave_over_the_height_and_half_of_one_per_doubling() -> None:
    assert note_of(0.0, 0.155) == 72
    assert note_of(1.0, 0.155) == 84
    assert note_of(0.5, 0.31) == 72
    heights = np.linspace(0, 1, 200)
    assert set(note_of(heights, 0.155)) == set(range(72, 85))


def test_a_rising_thing_steps_through_notes_without_a_click() -> None:
    sound = sound_of(segment(Kind.BALL, Motion.UP, Pose(0.5, 0.7, 0.155), 0.1), 48000)
    # A step of phase would show as a jump; 0.16 at 1.1 kHz moves by at most 0.026 a sample.
    assert np.abs(np.diff(sound, axis=1)).max() < 0.03


def test_it_knocks_when_it_hits_the_floor_and_at_no_other_time() -> None:
    bouncing = segment(Kind.BALL, Motion.BOUNCE, Pose(0.5, 0.3, 0.155))
    impacts = bouncing.actors[0].trajectory.impacts(0, 4)
    level = np.abs(sound_of(bouncing, 16000)).max(axis=0).reshape(-1, 320).max(axis=1)
    loud = np.flatnonzero(level > 0.2) * 320 / 16000
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
    tone_hz = 440 * 2 ** ((78 - 69) / 12)
    octave = strength[np.abs(frequencies - 2 * tone_hz) < 8].max() / strength[np.abs(frequencies - tone_hz) < 8].max()
    assert octave == pytest.approx(0.5, abs=0.02)
