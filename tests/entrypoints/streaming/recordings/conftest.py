"""What the tests of recordings share: a coded session, recordings in a folder, and a look at what they wrote."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fastvideo.entrypoints.streaming.recordings.library import Library
from fastvideo.entrypoints.streaming.recordings.recording import Recording
from fastvideo.entrypoints.streaming.recordings.recording_info import RecordingInfo
from fastvideo.entrypoints.streaming.recordings.retention import Bounds
from fastvideo.media.encoder import SegmentEncoder
from fastvideo.media.timeline import MediaCursor

SEGMENT_FRAMES = 24
FPS = 24


@dataclass(frozen=True)
class Clip:
    """A session's binary messages: ``init``, and each segment's fragments."""

    init: bytes
    segments: list[list[bytes]]

    @property
    def fragments(self) -> list[bytes]:
        return [fragment for segment in self.segments for fragment in segment]


def coded(width: int = 64, height: int = 48, segments: int = 3, *, noise: bool = False) -> Clip:
    cursor, made, init = MediaCursor.start(), [], b""
    for number in range(segments):
        with SegmentEncoder(width=width, height=height, fps=FPS, cursor=cursor, encoder="libx264") as encoder:
            frames = np.full((SEGMENT_FRAMES, height, width, 3), 60 * number + 30, np.uint8)
            frames[:, :, : width // 2] += np.arange(SEGMENT_FRAMES, dtype=np.uint8)[:, None, None, None]
            if noise:
                frames = np.random.default_rng(number).integers(0, 256, frames.shape, dtype=np.uint8)
            init = encoder.init_segment
            fragments = encoder.push_video(frames)
            owed, cursor = encoder.finish()
        made.append([fragment.data for fragment in fragments + owed])
    return Clip(init, made)


@pytest.fixture(scope="session")
def clip() -> Clip:
    """Three segments of a second each."""
    return coded()


@pytest.fixture(scope="session")
def large_clip() -> Clip:
    """Two segments of a second each that code badly: a megabyte or so."""
    return coded(256, 192, segments=2, noise=True)


@pytest.fixture(scope="session")
def other_clip() -> Clip:
    """A second of another size."""
    return coded(96, 64, segments=1)


class Shelf:
    """A folder of recordings, without a thread. ``now_s`` is its clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_s = 1000.0

    def recording(self, name: str = "a", *, max_bytes: int = 1 << 30, make_room: Any = None) -> Recording:
        recording_id = self.id(name)
        return Recording(
            self.folder / recording_id,
            RecordingInfo(recording_id, self.now_s, model_id="mock"),
            max_bytes=max_bytes,
            make_room=make_room or (lambda more, new: True),
        )

    def library(self, **bounds: Any) -> Library:
        values = {"max_bytes": 1 << 40, "max_count": 1000, "max_age_s": 1e9, **bounds}
        return Library(self.folder, Bounds(**values))

    @staticmethod
    def id(name: str) -> str:
        return name.encode().hex().rjust(32, "0")

    def events(self, name: str = "a") -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / self.id(name) / "events.jsonl").read_text().splitlines()]

    def media(self, name: str = "a") -> bytes:
        return (self.folder / self.id(name) / "recording.mp4").read_bytes()


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def pictures(data: bytes) -> list[float]:
    """Times of the pictures that an independent player finds, in seconds."""
    with av.open(io.BytesIO(data)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


@pytest.fixture
def played() -> Callable[[bytes], list[float]]:
    return pictures
