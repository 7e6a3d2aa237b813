from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fastvideo.media.resampler import Resampler
from fastvideo.media.soundtrack import Soundtrack, checked_waveform, silence

NO_TAIL = silence()


def smooth(samples: int, rate_hz: int) -> NDArray[np.float32]:
    time_s = np.arange(samples) / rate_hz
    wave = 0.4 * np.sin(2 * np.pi * 523 * time_s) + 0.3 * np.sin(2 * np.pi * 2_900 * time_s + 1)
    return np.stack([wave, -wave]).astype(np.float32)


def joined(wave: NDArray[np.float32], rate_hz: int, cut: int) -> NDArray[np.float32]:
    """Two segments' sound as it is coded: up to an AAC frame before the cut from the first, then from the second."""
    end = wave.shape[1] * 48_000 // rate_hz
    first = Soundtrack(0, NO_TAIL, 0, wave[:, :cut], rate_hz)
    at = cut * 48_000 // rate_hz
    second = Soundtrack(at, first.read(max(0, at - 8_192), at), 0, wave[:, cut:], rate_hz)
    return np.concatenate((first.read(0, at - 1_024), second.read(at - 1_024, end)), axis=1)


# At rates that divide 48 kHz the source samples are read back from the tail exactly; at others the last 32 or so are
# known only as well as they could be converted before what follows them was known.
@pytest.mark.parametrize(
    ("rate_hz", "tolerance"),
    [(8_000, 2e-4), (16_000, 2e-4), (24_000, 2e-4), (48_000, 2e-4), (32_000, 0.02), (44_100, 0.02)],
)
def test_a_waveform_cut_into_segments_is_converted_as_if_it_had_been_one(rate_hz: int, tolerance: float) -> None:
    wave = smooth(rate_hz, rate_hz)
    whole = Resampler(rate_hz, 48_000).convert(wave, 0, 0, 48_000)
    error = np.abs(joined(wave, rate_hz, rate_hz // 2) - whole)[:, :-2_000]
    assert error.max() < tolerance
    assert error[:, 24_500:].max() < 2e-4


def test_without_the_tail_as_context_the_join_would_be_off() -> None:
    wave = smooth(24_000, 24_000)
    whole = Resampler(24_000, 48_000).convert(wave, 0, 0, 48_000)
    alone = Soundtrack(24_000, NO_TAIL, 0, wave[:, 12_000:], 24_000).read(24_000, 24_200)
    assert np.abs(alone - whole[:, 24_000:24_200]).max() > 0.01


def test_a_short_waveform_goes_on_as_its_mirror_image_and_fades_to_silence() -> None:
    wave = smooth(4_800, 48_000)
    track = Soundtrack(0, NO_TAIL, 0, wave, 48_000)
    assert track.known_end == 4_800
    after = track.read(4_800, 4_800 + 4_800)
    np.testing.assert_allclose(after[:, :8], wave[:, ::-1][:, 1:9], atol=1e-3)
    assert not after[:, 2_400:].any()
    power = np.square(after[0, :2_400]).reshape(4, 600).mean(axis=1)
    assert (np.diff(power) < 0).all()


def test_an_invented_end_is_blended_into_the_sound_that_follows() -> None:
    first, second = smooth(48_000, 48_000)[:, :9_000], -smooth(48_000, 48_000)[:, 5_000:9_000]
    before = Soundtrack(0, NO_TAIL, 0, first, 48_000)
    end = 10_500
    tail = before.read(end - 8_192, end)
    hard = Soundtrack(end, tail, 0, second, 48_000).read(end - 1_024, end + 100)
    soft = Soundtrack(end, tail, 1_500, second, 48_000).read(end - 1_024, end + 100)
    np.testing.assert_array_equal(soft[:, :200], tail[:, -1_024:-824])
    np.testing.assert_array_equal(soft[:, 1_024:], second[:, :100])
    assert np.abs(np.diff(soft[0])).max() < 0.5 * np.abs(np.diff(hard[0])).max()


def test_a_silent_segment_fades_out_what_was_heard_before_it() -> None:
    tail = smooth(8_192, 48_000)
    track = Soundtrack(8_192, tail, 0, silence(), 48_000)
    heard = track.read(8_192, 20_000)
    assert np.abs(heard[:, 0] - tail[:, -2]).max() < 1e-3
    assert not heard[:, 2_400:].any()


def test_before_the_session_there_is_silence() -> None:
    assert not Soundtrack(0, NO_TAIL, 0, smooth(100, 48_000), 48_000).read(-500, 0).any()


def test_mono_is_heard_on_both_sides() -> None:
    heard = checked_waveform(np.array([[0.5, -2.0]]), 48_000)
    assert heard.dtype == np.float32
    np.testing.assert_array_equal(heard, [[0.5, -1.0], [0.5, -1.0]])


@pytest.mark.parametrize(
    ("waveform", "rate_hz", "message"),
    [
        (np.zeros((2, 10), np.int16), 48_000, "floating-point waveform in -1..1, got int16 values"),
        ([0.0], 48_000, "got list"),
        (np.zeros(10), 48_000, r"shape \[2, samples\] or \[1, samples\], got \[10\]"),
        (np.zeros((6, 10)), 48_000, r"got \[6, 10\]"),
        (np.full((2, 10), np.nan), 48_000, "NaN or infinite"),
        (np.zeros((2, 10)), 44_101, "44101 Hz cannot be converted"),
        (np.zeros((2, 10)), 4_000, "4000 Hz cannot be converted"),
        (np.zeros((2, 10)), 24_000.0, "whole number of samples per second, got 24000.0"),
    ],
)
def test_what_is_not_sound_is_refused_with_a_reason(waveform: NDArray[np.floating], rate_hz: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_waveform(waveform, rate_hz)
