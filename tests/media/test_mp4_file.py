from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
import pytest

from fastvideo.media.mp4_file import encode_mp4


def test_a_clip_has_all_its_frames_its_sound_and_its_duration(grey_frames: Any, signal: Any, sound_of: Any) -> None:
    sound = signal(100_000)
    data = encode_mp4(grey_frames(50), sound, 48_000, 24, encoder="libx264")
    with av.open(io.BytesIO(data)) as container:
        assert container.duration == pytest.approx((50 / 24 + 1_024 / 48_000) * 1e6, abs=2_000)
        assert sum(1 for _ in container.decode(video=0)) == 50
    assert np.std(sound_of(data, 100_000) - sound) < 0.2 * np.std(sound)


def test_floats_and_a_lower_sample_rate_are_taken(signal: Any) -> None:
    frames = np.full((25, 48, 64, 3), 0.5, np.float32)
    data = encode_mp4(frames, signal(24_000, rate_hz=24_000), 24_000, 25, encoder="libx264")
    with av.open(io.BytesIO(data)) as container:
        assert np.mean(
            [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)]
        ) == pytest.approx(127.5, abs=2)
        assert len(container.streams.audio) == 1


def test_a_clip_without_sound_has_no_sound_track(grey_frames: Any) -> None:
    with av.open(io.BytesIO(encode_mp4(grey_frames(3), None, None, 24, encoder="libx264"))) as container:
        assert not container.streams.audio
        assert container.duration == pytest.approx(125_000, abs=1_000)


@pytest.mark.parametrize(
    ("frames", "audio", "message"),
    [
        (
            np.zeros((0, 48, 64, 3), np.uint8),
            None,
            r"at least one frame, of shape \[N, H, W, 3\]; got \[0, 48, 64, 3\]",
        ),
        (np.zeros((48, 64, 3), np.uint8), None, r"got \[48, 64, 3\]"),
        ([], None, "got list"),
        (np.zeros((2, 48, 63, 3), np.uint8), None, "width must be an even number"),
        (np.zeros((2, 48, 64, 3), np.uint8), np.zeros((2, 10)), "sound needs its sample rate"),
    ],
)
def test_what_is_no_clip_is_refused(frames: Any, audio: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_mp4(frames, audio, None, 24, encoder="libx264")
