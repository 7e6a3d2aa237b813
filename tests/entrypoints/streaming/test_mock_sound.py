"""The fake generator's sound: pitched by the prompt, continuous across segments."""

from __future__ import annotations

import numpy as np
import pytest

from fastvideo.entrypoints.streaming.mock_sound import SoundState, render_sound

RATE_HZ = 24_000
CHORD = (220.0, 275.0, 330.0)
CENTRE = np.full(10, 0.5)


def sound(
    chord: tuple[float, float, float] = CHORD,
    *,
    seconds: float = 1.0,
    start_s: float = 0.0,
    before: SoundState | None = None,
    pan: np.ndarray[tuple[int], np.dtype[np.float64]] = CENTRE,
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float32]], SoundState]:
    return render_sound(
        chord, before=before, start_s=start_s, samples=round(seconds * RATE_HZ), sample_rate_hz=RATE_HZ, pan=pan
    )


def test_it_is_stereo_audible_and_far_from_clipping() -> None:
    wave, _ = sound(seconds=5)
    assert (wave.shape, wave.dtype) == ((2, 5 * RATE_HZ), np.float32)
    assert 0.05 < np.sqrt(np.mean(wave**2)) < 0.2
    assert np.abs(wave).max() < 0.6


def test_the_spectrum_has_the_chord() -> None:
    wave, _ = sound(seconds=4)
    spectrum = np.abs(np.fft.rfft(wave[0] * np.hanning(wave.shape[1])))
    strongest_hz = np.argsort(spectrum)[::-1][:40] / 4
    for pitch_hz in CHORD:
        assert np.min(np.abs(strongest_hz - pitch_hz)) < 1


def test_two_halves_are_the_whole() -> None:
    whole, end = sound(seconds=2.5)
    first, state = sound(seconds=1.2)
    second, last = sound(seconds=1.3, start_s=1.2, before=state)
    assert np.allclose(np.concatenate([first, second], axis=1), whole, atol=1e-5)
    # Phases are in turns: 0 and 1 are the same.
    gaps = (np.array(last.phases) - end.phases + 0.5) % 1 - 0.5
    assert np.abs(gaps).max() < 1e-6


def test_a_new_chord_glides_in_without_a_click() -> None:
    first, state = sound(seconds=1.1)
    second, _ = sound((330.0, 440.0, 550.0), seconds=1.1, start_s=1.1, before=state)
    joined = np.concatenate([first, second], axis=1)
    bend = np.abs(np.diff(joined, 2, axis=1)).max(axis=0)
    join = first.shape[1]
    assert bend[join - 3 : join + 3].max() <= bend.max() * 0.6


def test_a_pluck_sounds_on_each_full_second_of_the_streams_clock() -> None:
    wave, _ = sound(seconds=3, start_s=10.5)
    power = np.convolve(wave[0] ** 2, np.ones(480) / 480, "same")
    for second in (0.5, 1.5, 2.5):
        at = round(second * RATE_HZ)
        assert power[at + 600] > 1.3 * power[at - 2400]


def test_sound_follows_the_picture_from_left_to_right() -> None:
    wave, _ = sound(seconds=2, pan=np.linspace(0, 1, 48))
    left, right = np.sqrt(np.mean(wave[:, : RATE_HZ // 4] ** 2, axis=1))
    assert left > 2 * right
    left, right = np.sqrt(np.mean(wave[:, -RATE_HZ // 4 :] ** 2, axis=1))
    assert right > 2 * left


def test_no_samples_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        sound(seconds=0)
