"""How sound goes on from segment to segment, against one continuous coder and muxer that are not ours."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from fastvideo.media.audio_coder import BIT_RATE
from fastvideo.media.timeline import FrameClock

SEGMENTS, FRAMES = 6, 25
SAMPLES = FRAMES * 2_000


def chord(samples: int) -> NDArray[np.float32]:
    time_s = np.arange(samples) / 48_000
    wave = sum(0.15 * np.sin(2 * np.pi * hz * time_s + hz) for hz in (220, 277, 330, 1_760))
    return np.stack([wave, 0.8 * wave]).astype(np.float32)


def voice(samples: int) -> NDArray[np.float32]:
    time_s = np.arange(samples) / 48_000
    gliding = np.sin(2 * np.pi * 150 * time_s + 3 * np.sin(2 * np.pi * 3 * time_s))
    wave = 0.4 * gliding * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time_s))
    return (np.stack([wave, wave]) + np.random.default_rng(5).normal(0, 0.01, (2, samples))).astype(np.float32)


def clicks(samples: int) -> NDArray[np.float32]:
    wave = np.random.default_rng(6).normal(0, 0.05, (2, samples))
    wave[:, ::7_001] += 0.7
    return wave.astype(np.float32)


def continuous(wave: NDArray[np.float32], sound_of: Any) -> NDArray[np.float32]:
    """The wave through one AAC coder and FFmpeg's own muxer, decoded."""
    data = io.BytesIO()
    with av.open(data, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48_000, options={"aac_coder": "fast"})
        stream.bit_rate, stream.layout = BIT_RATE, "stereo"
        for at in range(0, wave.shape[1], 1_024):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[:, at : at + 1_024]), "fltp", "stereo")
            frame.sample_rate, frame.pts = 48_000, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    decoded: NDArray[np.float32] = sound_of(data.getvalue(), wave.shape[1])
    return decoded


def in_segments(wave: NDArray[np.float32], coded_session: Any, sound_of: Any) -> NDArray[np.float32]:
    session = coded_session()
    for index in range(SEGMENTS):
        part = wave[:, index * SAMPLES : (index + 1) * SAMPLES]
        session.add(FRAMES, part, last=index == SEGMENTS - 1)
    decoded: NDArray[np.float32] = sound_of(session.file, wave.shape[1])
    return decoded


@pytest.mark.parametrize("kind", ["tone and noise", "chord", "voice", "clicks"])
def test_sound_around_a_join_is_as_good_as_one_continuous_coders(
    kind: str, signal: Any, coded_session: Any, sound_of: Any
) -> None:
    makers = {"tone and noise": signal, "chord": chord, "voice": voice, "clicks": clicks}
    wave = makers[kind](SEGMENTS * SAMPLES)
    ours = in_segments(wave, coded_session, sound_of) - wave
    reference = continuous(wave, sound_of) - wave
    for join in range(SAMPLES, SEGMENTS * SAMPLES, SAMPLES):
        around = slice(join - 4_096, join + 2_048)
        assert np.std(ours[:, around]) <= 1.5 * np.std(reference[:, around])


def test_without_the_tail_a_join_is_heard(signal: Any, coded_session: Any, sound_of: Any) -> None:
    wave = signal(2 * SAMPLES)
    session = coded_session()
    session.add(FRAMES, wave[:, :SAMPLES])
    session.cursor = replace(session.cursor, tail=b"")
    session.add(FRAMES, wave[:, SAMPLES:], last=True)
    ours = sound_of(session.file, 2 * SAMPLES) - wave
    reference = continuous(wave, sound_of) - wave
    around = slice(SAMPLES - 4_096, SAMPLES + 2_048)
    assert np.std(ours[:, around]) > 1.5 * np.std(reference[:, around])


def shift_of(decoded: NDArray[np.float32], source: NDArray[np.float32]) -> int:
    """By how many samples ``decoded`` is late: where its correlation with the source is greatest."""
    lags = range(-40, 41)
    inner = source[0, 40:-40]
    return max(lags, key=lambda lag: float(np.dot(decoded[0, 40 + lag : decoded.shape[1] - 40 + lag], inner)))


@pytest.mark.parametrize(
    ("rate_hz", "fps"), [(48_000, 24), (24_000, 24), (48_000, 23.976), (24_000, 29.97), (44_100, 25)]
)
def test_after_20_segments_sound_is_still_in_its_place_to_the_sample(
    rate_hz: int, fps: float, signal: Any, coded_session: Any, sound_of: Any
) -> None:
    noise = np.random.default_rng(7)
    session = coded_session(fps=fps)
    sources = []
    for index in range(20):
        start = session.cursor.end_samples
        at_48k = np.repeat(noise.normal(0, 0.2, (2, 2_500)).astype(np.float32), 16, axis=1)[:, : 9 * 4_004]
        samples = round(9 * rate_hz / fps) + 1
        positions = np.minimum(np.arange(samples) * 48_000 // rate_hz, at_48k.shape[1] - 1)
        session.add(9, at_48k[:, positions], rate_hz, last=index == 19)
        sources.append((start, at_48k[:, : session.cursor.end_samples - start]))
    end = session.cursor.end_samples
    assert end == int(20 * 9 * 48_000 * FrameClock.for_fps(fps).frame_s)
    decoded = sound_of(session.file, end)
    for start, source in sources:
        assert abs(shift_of(decoded[:, start : start + source.shape[1]], source)) <= (0 if rate_hz == 48_000 else 1)


def test_sound_that_ends_early_in_each_segment_is_filled_without_a_click(coded_session: Any, sound_of: Any) -> None:
    """The model's sound is 31.7 ms shorter than its pictures; the hole must neither be silent nor begin with a jump."""
    short = SAMPLES - 1_522
    wave = voice(SEGMENTS * SAMPLES)
    session = coded_session()
    for index in range(SEGMENTS):
        part = wave[:, index * SAMPLES : index * SAMPLES + short]
        session.add(FRAMES, part, last=index == SEGMENTS - 1)
    decoded = sound_of(session.file, wave.shape[1])
    loud, steep = np.std(wave), np.abs(np.diff(wave)).max()
    for join in range(SAMPLES, SEGMENTS * SAMPLES, SAMPLES):
        hole = decoded[:, join - 1_522 : join]
        assert np.std(hole) > 0.2 * loud
        assert np.abs(np.diff(decoded[:, join - 2_048 : join + 512])).max() < 1.5 * steep


def test_24_khz_sound_is_joined_as_if_it_had_been_converted_in_one_piece(coded_session: Any, sound_of: Any) -> None:
    time_s = np.arange(SEGMENTS * SAMPLES) / 48_000
    tone = 0.5 * np.sin(2 * np.pi * 3_000 * time_s)
    wave = np.stack([tone, tone]).astype(np.float32)
    session = coded_session()
    for index in range(SEGMENTS):
        part = wave[:, index * SAMPLES : (index + 1) * SAMPLES : 2]
        session.add(FRAMES, part, 24_000, last=index == SEGMENTS - 1)
    error = sound_of(session.file, wave.shape[1]) - wave
    middle = np.std(error[:, SAMPLES // 2 : SAMPLES // 2 + 8_192])
    for join in range(SAMPLES, SEGMENTS * SAMPLES, SAMPLES):
        assert np.std(error[:, join - 1_024 : join + 1_024]) < max(2 * middle, 1e-4)
