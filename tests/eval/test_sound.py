"""Loudness is that of the standard's own table and of pyloudnorm; offsets of sound are found as they were made."""

import math

import numpy as np
import pyloudnorm
import pytest
from scipy.signal import lfilter

from fastvideo.api.errors import EvaluationError
from fastvideo.eval.metrics import av_sync, loudness
from fastvideo.eval.metrics.loudness import _impulse_response

PICTURE = np.zeros((24, 16, 16, 3), np.uint8)


def tone(level_db, seconds, rate_hz=48000, hz=1000, channels=2):
    wave = 10 ** (level_db / 20) * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)
    return np.tile(wave, (channels, 1))


def test_the_weighting_at_48_khz_is_that_of_the_standard_s_table():
    impulse = np.zeros(8000)
    impulse[0] = 1
    shelf = lfilter(
        [1.53512485958697, -2.69169618940638, 1.19839281085285], [1, -1.69065929318241, 0.73248077421585], impulse
    )
    weighted = lfilter([1, -2, 1], [1, -1.99004745483398, 0.99007225036621], shelf)
    assert _impulse_response(48000)[:8000] == pytest.approx(weighted, abs=1e-12)


# Signals of EBU Tech 3341, and what a meter has to say of them.
@pytest.mark.parametrize(
    ("parts", "lufs"),
    [
        ([(-23, 20)], -23.0),
        ([(-33, 20)], -33.0),
        ([(-36, 10), (-23, 60), (-36, 10)], -23.0),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23.0),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23.0),
    ],
)
def test_signals_of_the_ebu_read_as_they_should(sample, parts, lufs):
    sound = np.concatenate([tone(level, seconds, 16000) for level, seconds in parts], axis=1)
    assert loudness.measure(sample(PICTURE, samples=sound, rate_hz=16000)).value == pytest.approx(lufs, abs=0.1)


@pytest.mark.parametrize("rate_hz", [16000, 24000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_loudness_is_that_of_pyloudnorm(sample, rate_hz, channels):
    rng = np.random.default_rng(rate_hz)
    time_s = np.arange(round(4.3 * rate_hz)) / rate_hz
    sound = (0.05 + (time_s % 2 > 1)) * (0.2 * np.sin(2 * np.pi * 300 * time_s) + rng.normal(0, 0.05, (channels, 1)))
    sound = sound + rng.normal(0, 0.01, (channels, time_s.size))
    # Its class of that name has the filters of the standard.
    published = pyloudnorm.Meter(rate_hz, filter_class="DeMan").integrated_loudness(sound.astype(np.float32).T)
    assert loudness.measure(sample(PICTURE, samples=sound, rate_hz=rate_hz)).value == pytest.approx(published, abs=1e-3)


def test_peak_and_loudest_moments_are_told(sample):
    sound = np.concatenate([tone(-40, 4), tone(-20, 4)], axis=1)
    details = loudness.measure(sample(PICTURE, samples=sound)).details
    assert details["peak_dbfs"] == pytest.approx(-20, abs=0.01)
    assert details["momentary_max"] == pytest.approx(-20, abs=0.1)
    assert details["short_term_max"] == pytest.approx(-20, abs=0.1)


def test_silence_has_no_loudness(sample):
    score = loudness.measure(sample(PICTURE, samples=np.zeros((2, 48000))))
    assert score.value is None
    assert score.details["reason"] == "nothing is louder than -70 LUFS"
    assert score.details["peak_dbfs"] == -math.inf


@pytest.mark.parametrize(
    ("sound", "words"),
    [
        (np.zeros((2, 4800)), "has 0.1 s of sound, expected at least 0.4 s"),
        (np.zeros((4, 48000)), "has 4 channels"),
        (None, "has no sound"),
        (np.zeros((2, 0)), "has no sound"),
    ],
)
def test_sound_that_cannot_be_measured_is_refused(sample, sound, words):
    with pytest.raises(EvaluationError, match=words):
        loudness.measure(sample(PICTURE, samples=sound))


def flashes_and_clicks(offset_s, fps, seed, clicks_s=None):
    """Six flashes that last three frames, a stripe that keeps moving, and clicks after each flash by that much."""
    rng = np.random.default_rng(seed)
    duration_s, rate_hz = 6, 24000
    flashes = np.sort(rng.choice(np.arange(round(0.7 * fps), round(5.2 * fps), round(fps / 3)), 6, replace=False))
    frames = np.full((duration_s * fps, 32, 32, 3), 40, np.uint8)
    for flash in flashes:
        frames[flash : flash + 3, 4:28, 4:28] = 220
    for index, frame in enumerate(frames):
        frame[:, index % 32] = 255
    time_s = np.arange(duration_s * rate_hz) / rate_hz
    sound = rng.normal(0, 0.005, (2, time_s.size))
    for begin_s in flashes / fps + offset_s if clicks_s is None else clicks_s:
        since = np.maximum(time_s - begin_s, 0)
        sound += 0.5 * np.exp(-since / 0.05) * np.sin(2 * np.pi * 800 * since)
    return frames, sound


@pytest.mark.parametrize("fps", [24, 30])
@pytest.mark.parametrize("offset_ms", [-300, -120, -40, 0, 50, 200, 400])
def test_an_offset_is_found_to_a_quarter_of_a_frame(sample, fps, offset_ms):
    frames, sound = flashes_and_clicks(offset_ms / 1000, fps, seed=abs(offset_ms) + fps)
    score = av_sync.measure(sample(frames, samples=sound, rate_hz=24000, fps=fps))
    assert score.value == pytest.approx(offset_ms, abs=10)
    assert score.details["correlation"] > 0.6


def test_clicks_that_have_nothing_to_do_with_the_picture_have_no_offset(sample):
    frames, sound = flashes_and_clicks(0, 24, seed=5, clicks_s=[0.5, 1.1, 2.9, 3.3, 4.9])
    score = av_sync.measure(sample(frames, samples=sound, rate_hz=24000))
    assert score.value is None
    assert score.details["reason"] == "sound and picture have too few onsets in common"


def test_a_picture_or_a_sound_in_which_nothing_begins_has_no_offset(sample):
    frames, sound = flashes_and_clicks(0, 24, seed=1)
    still = sample(frames[:1].repeat(144, axis=0), samples=sound, rate_hz=24000)
    assert av_sync.measure(still).details["reason"] == "nothing begins in the picture"
    silent = sample(frames, samples=np.zeros((1, 144000)), rate_hz=24000)
    assert av_sync.measure(silent).details["reason"] == "nothing begins in the sound"


def test_less_than_a_second_is_refused(sample):
    frames, sound = flashes_and_clicks(0, 24, seed=1)
    with pytest.raises(EvaluationError, match="at least 1 s of picture and sound"):
        av_sync.measure(sample(frames[:20], samples=sound, rate_hz=24000))
