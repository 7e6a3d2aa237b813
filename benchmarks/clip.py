"""The picture and sound that coders are measured with, and the sizes at which they are."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastvideo.media.timeline import AUDIO_RATE_HZ

FPS = 24


@dataclass(frozen=True)
class Size:
    """A picture size, ``frames`` per segment, and what a segment's first fragment may cost where that has a goal."""

    name: str
    width_px: int
    height_px: int
    frames: int = 121
    first_fragment_goal_ms: float | None = None


SIZES = (Size("576p", 1024, 576, first_fragment_goal_ms=60.0), Size("1080p", 1920, 1088, first_fragment_goal_ms=100.0))
# Enough to show that a benchmark runs.
TINY = Size("tiny", 128, 64, frames=12)


def moving_picture(size: Size) -> NDArray[np.uint8]:
    """Frames [T, H, W, 3]: a panning gradient with a little fixed grain, neither still nor noise."""
    width, height = size.width_px, size.height_px
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x * 255 // width, y * 255 // height, (x // 4 + y // 2) % 256], axis=-1).astype(np.uint8)
    base += rng.integers(0, 4, base.shape, dtype=np.uint8)
    clip = np.empty((size.frames, height, width, 3), np.uint8)
    for index in range(size.frames):
        clip[index] = np.roll(base, (index, index * 3), axis=(0, 1))
    return clip


def sound(frames: int) -> NDArray[np.float32]:
    """A tone with a little noise for so many frames, [2, n] at 48 kHz."""
    time_s = np.arange(frames * AUDIO_RATE_HZ // FPS) / AUDIO_RATE_HZ
    wave = 0.3 * np.sin(2 * np.pi * 220 * time_s) + np.random.default_rng(1).normal(0, 0.02, time_s.size)
    return np.stack([wave, wave]).astype(np.float32)


def memory_folder() -> str | None:
    """A place for files that are in memory, where the system has one."""
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


@contextlib.contextmanager
def clip_file(size: Size) -> Iterator[Path]:
    """The moving picture in a ``.npy`` file that two processes can map."""
    with tempfile.TemporaryDirectory(prefix="fastvideo-bench-", dir=memory_folder()) as folder:
        path = Path(folder) / "clip.npy"
        np.save(path, moving_picture(size))
        yield path


def read_clip(path: Path) -> NDArray[np.uint8]:
    """The frames of a clip file, mapped (copy on write) and read once, so that no measurement waits for pages."""
    clip: NDArray[np.uint8] = np.load(path, mmap_mode="c")
    clip.max()
    return clip
