"""Wears clips as decoders and codecs do, to see what the meters stand."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO

import av
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fastvideo.eval.world import FPS


def worn(
    frames: NDArray[np.uint8], samples: NDArray[np.float32], rng: Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Blurred (the more the larger the frames are), colours at half resolution, with noise in picture and sound."""
    passes = max(1, round((frames.shape[1] / 64) ** 2))
    soft: NDArray[np.float32] = frames.astype(np.float32)
    for _ in range(min(passes, 8)):
        for axis in (1, 2):
            soft = (np.roll(soft, 1, axis) + 2 * soft + np.roll(soft, -1, axis)) / np.float32(4)
    luma = soft @ np.array([0.299, 0.587, 0.114], np.float32)
    difference = soft - luma[..., None]
    coarse = (
        difference[:, ::2, ::2] + difference[:, 1::2, ::2] + difference[:, ::2, 1::2] + difference[:, 1::2, 1::2]
    ) / 4
    soft = luma[..., None] + coarse.repeat(2, axis=1).repeat(2, axis=2)
    soft += rng.normal(0, 6, frames.shape[:3]).astype(np.float32)[..., None]
    hiss = rng.normal(0, 0.01, samples.shape).astype(np.float32)
    return np.clip(np.rint(soft), 0, 255).astype(np.uint8), samples + hiss


def through_h264(frames: NDArray[np.uint8], crf: int = 32) -> NDArray[np.uint8]:
    """Frames [T, H, W, 3] after x264 at a low rate and back."""
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=Fraction(FPS), options={"crf": str(crf), "preset": "veryfast", "threads": "1"}
        )
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as source:
        pictures = [np.asarray(picture.to_ndarray(format="rgb24"), np.uint8) for picture in source.decode(video=0)]
    return np.stack(pictures)
