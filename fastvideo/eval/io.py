"""Reads video files of this machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastvideo.api.errors import EvaluationError
from fastvideo.eval.clip import Clip, Frames, Samples

if TYPE_CHECKING:
    import av

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".gif")
MAX_BYTES = 4 * 2**30
_FORMATS = "mov,mp4,matroska,webm,avi,gif"


def load_video(path: str | Path, *, fps: float | None = None, max_bytes: int = MAX_BYTES) -> Clip:
    """All frames and the sound of a file, on one timeline that begins with the first frame.

    ``fps`` replaces the file's average rate. Frames are taken as evenly spaced. Raises EvaluationError for a file that
    is absent, unreadable, without a picture, changes its size, or holds more than ``max_bytes`` of frames.
    """
    import av
    from av.error import FFmpegError

    path = Path(path)
    if not path.is_file():
        raise EvaluationError(f"there is no file {path}")
    # A file of this machine and nothing else: no address, no list of other files.
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    try:
        with av.open(str(path.absolute()), options=options) as container:
            if not container.streams.video:
                raise EvaluationError(f"{path} has no picture")
            picture = container.streams.video[0]
            picture.thread_type = "AUTO"
            sound = container.streams.audio[0] if container.streams.audio else None
            reader = _Reader(path, max_bytes)
            for frame in container.decode([stream for stream in (picture, sound) if stream is not None]):
                if isinstance(frame, av.VideoFrame):
                    reader.take_picture(frame)
                elif isinstance(frame, av.AudioFrame):
                    reader.take_sound(frame)
            rate = fps or float(picture.average_rate or 0)
    except (FFmpegError, OSError) as error:
        raise EvaluationError(f"{path} cannot be read; expected a video file ({' '.join(SUFFIXES)})") from error
    if not reader.pictures:
        raise EvaluationError(f"{path} has no frames")
    if not rate:
        raise EvaluationError(f"{path} does not say its frame rate; give one")
    samples = reader.samples()
    return Clip(np.stack(reader.pictures), rate, samples, reader.rate_hz if samples is not None else 0, path)


@dataclass
class _Reader:
    path: Path
    max_bytes: int
    pictures: list[Frames] = field(default_factory=list)
    blocks: list[tuple[float | None, Samples]] = field(default_factory=list)
    rate_hz: int = 0
    first_s: float | None = None

    def take_picture(self, frame: av.VideoFrame) -> None:
        picture = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
        if not self.pictures:
            self.first_s = frame.time
        elif picture.shape != self.pictures[0].shape:
            raise EvaluationError(f"{self.path} changes its size after {len(self.pictures)} frames")
        if (len(self.pictures) + 1) * picture.nbytes > self.max_bytes:
            raise EvaluationError(
                f"{self.path} holds more than {self.max_bytes / 2**30:.3g} GiB of frames; cut it into shorter pieces"
            )
        self.pictures.append(picture)

    def take_sound(self, frame: av.AudioFrame) -> None:
        block = _planar(frame)
        if self.blocks and (block.shape[0], frame.sample_rate) != (self.blocks[0][1].shape[0], self.rate_hz):
            raise EvaluationError(f"{self.path} changes the rate or the channels of its sound")
        self.rate_hz = frame.sample_rate
        self.blocks.append((frame.time, block))

    def samples(self) -> Samples | None:
        """The sound, each block at its time; silence where there is none. What comes before the picture is left out."""
        if not self.blocks:
            return None
        begin_s = self.first_s or 0.0
        places: list[int] = []
        place = 0
        for time_s, block in self.blocks:
            if time_s is not None:
                told = round((time_s - begin_s) * self.rate_hz)
                # Times in coarse units are not exact: blocks that nearly follow each other do.
                place = told if not places or abs(told - place) > self.rate_hz // 500 else place
            places.append(place)
            place += block.shape[1]
        first = min(0, *places)
        length = max(start + block.shape[1] for start, (_, block) in zip(places, self.blocks, strict=True)) - first
        whole = np.zeros((self.blocks[0][1].shape[0], length), np.float32)
        for start, (_, block) in zip(places, self.blocks, strict=True):
            whole[:, start - first : start - first + block.shape[1]] = block
        return whole[:, -first:]


def _planar(frame: av.AudioFrame) -> Samples:
    """The frame as float32 [channels, N] in -1..1."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype.kind == "f":
        return np.ascontiguousarray(samples, np.float32)
    # Eight bits are stored around 128, wider samples around 0.
    middle = 128 if samples.dtype == np.uint8 else 0
    scale = 2.0 ** (8 * samples.dtype.itemsize - 1)
    return ((samples.astype(np.float64) - middle) / scale).astype(np.float32)
