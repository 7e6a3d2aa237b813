"""Clips that the tests of metrics share, and files made of them by FFmpeg, which is not what measures."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from fastvideo.eval.clip import Clip, Sample

Frames = NDArray[np.uint8]


def textured(frames: int, height: int, width: int, seed: int = 0, blur_px: float = 2.0) -> Frames:
    """Frames of smooth noise that have nothing to do with each other."""
    noise = np.random.default_rng(seed).normal(size=(frames, height, width, 3))
    smooth = gaussian_filter(noise, (0, blur_px, blur_px, 0))
    return np.rint(255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def noisy(frames: Frames, deviation: float, seed: int = 1) -> Frames:
    noise = np.random.default_rng(seed).normal(0, deviation, frames.shape)
    return np.clip(np.rint(frames + noise), 0, 255).astype(np.uint8)


def sample_of(
    frames: Frames,
    reference: Frames | None = None,
    *,
    samples: NDArray[np.floating] | None = None,
    rate_hz: int = 48000,
    fps: float = 24,
    prompt: str | None = None,
    joins_s: tuple[float, ...] = (),
) -> Sample:
    sound = None if samples is None else samples.astype(np.float32)
    clip = Clip(frames, fps, sound, 0 if sound is None else rate_hz)
    return Sample(clip, None if reference is None else Clip(reference, fps), prompt, joins_s)


def write_video(
    path: Path,
    frames: Frames,
    samples: NDArray[np.floating] | None = None,
    rate_hz: int = 48000,
    *,
    fps: int = 24,
    video: str = "ffv1",
    audio: str = "pcm_s16le",
) -> Path:
    """A file whose kind follows from its name; FFV1 (in RGB) and PCM lose nothing."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(video, rate=Fraction(fps))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0" if video == "ffv1" else "yuv420p"
        sound = None
        if samples is not None:
            sound = container.add_stream(audio, rate=rate_hz, layout={1: "mono", 2: "stereo"}[len(samples)])
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
        if sound is not None and samples is not None:
            levels = np.rint(np.clip(samples, -1, 1) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(levels.T).reshape(1, -1), format="s16", layout=sound.layout.name
            )
            frame.sample_rate = rate_hz
            container.mux(sound.encode(frame))
            container.mux(sound.encode())
    return path


@pytest.fixture
def texture() -> Callable[..., Frames]:
    return textured


@pytest.fixture
def worn() -> Callable[..., Frames]:
    return noisy


@pytest.fixture
def sample() -> Callable[..., Sample]:
    return sample_of


@pytest.fixture
def video_file() -> Callable[..., Path]:
    return write_video
