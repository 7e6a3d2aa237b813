"""What the media tests share: test signals, whole coded sessions, and a decoder that is not ours (FFmpeg's demuxer)."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from fastvideo.media.encoder import Fragment, SegmentEncoder
from fastvideo.media.timeline import AUDIO_RATE_HZ, MediaCursor

WIDTH, HEIGHT = 64, 48


@dataclass
class CodedSession:
    """The messages of some segments, as a client would get them."""

    fps: float = 24
    with_audio: bool = True
    width: int = WIDTH
    height: int = HEIGHT
    cursor: MediaCursor = field(default_factory=MediaCursor.start)
    init_segments: list[bytes] = field(default_factory=list)
    segments: list[list[Fragment]] = field(default_factory=list)
    mime: str = ""

    def add(
        self,
        frames: int | NDArray[np.generic],
        sound: NDArray[np.floating] | None = None,
        sample_rate: int = AUDIO_RATE_HZ,
        *,
        last: bool = False,
    ) -> list[Fragment]:
        """Code a segment of grey frames, or of these frames, and go on from its cursor."""
        pictures = grey(frames, self.width, self.height) if isinstance(frames, int) else frames
        encoder = SegmentEncoder(
            width=self.width,
            height=self.height,
            fps=self.fps,
            cursor=self.cursor,
            encoder="libx264",
            with_audio=self.with_audio,
            last=last,
        )
        if sound is not None:
            encoder.push_audio(sound, sample_rate)
        fragments = encoder.push_video(pictures)
        owed, self.cursor = encoder.finish()
        self.init_segments.append(encoder.init_segment)
        self.segments.append(fragments + owed)
        self.mime = encoder.mime
        return self.segments[-1]

    @property
    def fragments(self) -> list[Fragment]:
        return [fragment for segment in self.segments for fragment in segment]

    @property
    def file(self) -> bytes:
        """What whoever writes a file keeps: the first init segment, then every fragment."""
        return self.init_segments[0] + b"".join(fragment.data for fragment in self.fragments)


def grey(frames: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Frames of changing grey."""
    levels = (np.arange(frames) * 7 % 200 + 20).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (frames, height, width, 3))


def decode_sound(data: bytes, samples: int) -> NDArray[np.float32]:
    """The file's sound on its own timeline, float32 [2, samples], by FFmpeg's demuxer and decoder."""
    decoded = np.zeros((2, samples + 8192), np.float32)
    with av.open(io.BytesIO(data)) as container:
        for frame in container.decode(audio=0):
            block = frame.to_ndarray()
            assert frame.pts is not None
            if 0 <= frame.pts <= samples:
                decoded[:, frame.pts : frame.pts + block.shape[1]] = block
    return decoded[:, :samples]


def tone_and_noise(samples: int, seed: int = 0, rate_hz: int = AUDIO_RATE_HZ) -> NDArray[np.float32]:
    """A tone with noise that never repeats: any shift or gap shows. float32 [2, samples]."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(samples) / rate_hz
    tone = 0.4 * np.sin(2 * np.pi * 440 * time_s)
    left = tone + 0.05 * rng.standard_normal(samples)
    right = 0.7 * tone + 0.05 * rng.standard_normal(samples)
    return np.stack([left, right]).astype(np.float32)


@pytest.fixture
def coded_session() -> type[CodedSession]:
    return CodedSession


@pytest.fixture
def sound_of() -> Callable[[bytes, int], NDArray[np.float32]]:
    return decode_sound


@pytest.fixture
def signal() -> Callable[..., NDArray[np.float32]]:
    return tone_and_noise


@pytest.fixture
def grey_frames() -> Callable[..., NDArray[np.uint8]]:
    return grey
