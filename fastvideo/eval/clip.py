"""What metrics look at and listen to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastvideo.api.errors import EvaluationError

Frames = NDArray[np.uint8]
Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """Frames uint8 [T, H, W, 3], RGB, ``fps`` a second, and their sound, float32 [channels, N] in -1..1, if any.

    The first sample is heard when the first frame is shown. ``source`` is the file that they are from. Raises
    EvaluationError for arrays of other shapes or types, and for a clip without frames.
    """

    frames: Frames
    fps: float
    samples: Samples | None = None
    sample_rate_hz: int = 0
    source: Path | None = None

    def __post_init__(self) -> None:
        frames = self.frames
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise EvaluationError(
                f"expected frames of shape [T, H, W, 3] and type uint8, got {list(frames.shape)} and {frames.dtype}"
            )
        if not frames.size:
            raise EvaluationError(f"expected at least one frame, got {list(frames.shape)}")
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise EvaluationError(f"expected a frame rate above 0, got {self.fps}")
        if self.samples is not None:
            if self.samples.ndim != 2 or not self.samples.shape[0] or self.samples.dtype != np.float32:
                raise EvaluationError(
                    "expected sound of shape [channels, N] and type float32, got "
                    f"{list(self.samples.shape)} and {self.samples.dtype}"
                )
            if self.sample_rate_hz <= 0:
                raise EvaluationError(f"expected the sound's sample rate in Hz, got {self.sample_rate_hz}")
            if not np.isfinite(self.samples).all():
                raise EvaluationError("the sound has samples that are no numbers")

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.source) if self.source is not None else "the clip"

    @property
    def num_frames(self) -> int:
        return int(self.frames.shape[0])

    @property
    def height_px(self) -> int:
        return int(self.frames.shape[1])

    @property
    def width_px(self) -> int:
        return int(self.frames.shape[2])

    @property
    def duration_s(self) -> float:
        return self.num_frames / self.fps


@dataclass(frozen=True)
class Sample:
    """A clip with what a metric may compare it with.

    ``joins_s``: when later segments begin, in seconds from the clip's start.
    """

    video: Clip
    reference: Clip | None = None
    prompt: str | None = None
    joins_s: Sequence[float] = ()

    def compared(self) -> tuple[Frames, Frames]:
        """The frames of video and reference. Raises EvaluationError unless there are as many, of the same size."""
        if self.reference is None:
            raise EvaluationError(f"{self.video.name} needs a reference to be compared with")
        video, reference = self.video, self.reference
        if video.frames.shape != reference.frames.shape:
            shapes = [f"{one.num_frames} frames of {one.width_px}x{one.height_px} px" for one in (video, reference)]
            raise EvaluationError(
                f"expected two clips of the same size and length, got {shapes[0]} in {video.name} and {shapes[1]} in "
                f"{reference.name}"
            )
        return video.frames, reference.frames

    def sound(self) -> tuple[Samples, int]:
        """Samples and their rate. Raises EvaluationError without sound."""
        if self.video.samples is None or not self.video.samples.size:
            raise EvaluationError(f"{self.video.name} has no sound")
        return self.video.samples, self.video.sample_rate_hz

    def require_frames(self, least: int) -> Frames:
        """The video's frames. Raises EvaluationError if there are fewer than ``least``."""
        if self.video.num_frames < least:
            raise EvaluationError(f"{self.video.name} has {self.video.num_frames} frames, expected at least {least}")
        return self.video.frames
