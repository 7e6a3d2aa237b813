"""From what a client asks for to what a generator is asked for: the client, the operator and the presets together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastvideo.api.errors import ConfigValidationError, LimitExceeded
from fastvideo.api.limits import validate_request
from fastvideo.api.precedence import resolve_request
from fastvideo.api.request_metadata import get_explicit_paths
from fastvideo.api.schema import ContinuationState, GenerationRequest, OutputConfig, RequestLimits
from fastvideo.pipelines.basic.ltx2.continuation import LTX2_CONTINUATION_KIND
from fastvideo.pipelines.basic.ltx2.support import check_request

DEFAULT_SECONDS = 4.0
# Frames come in groups of 8 and one, so a length is met to within half a group.
TOLERANCE_FRAMES = 4
_MAX_SEED = 2**63 - 1
_SAMPLING = (
    "width",
    "height",
    "fps",
    "seed",
    "num_inference_steps",
    "guidance_scale",
    "guidance_scale_2",
    "true_cfg_scale",
)


@dataclass(frozen=True)
class VideoPlan:
    """A video of ``frames``, in segments of at most ``segment_frames``; ``request`` is that of its first segment."""

    request: GenerationRequest
    frames: int
    segment_frames: int
    end_offset_frames: int

    @property
    def segments(self) -> int:
        """How many segments are that long, without what each repeats of the one before."""
        return max(1, math.ceil((self.frames - TOLERANCE_FRAMES) / self.segment_frames))

    def segment(
        self, index: int, frames_done: int, state: ContinuationState | None, image_path: str | None
    ) -> GenerationRequest:
        """What to ask for next. Each segment has a seed of its own, so that the noise is not repeated."""
        request = _copy(self.request)
        left = self.frames - frames_done + _overlap_frames(state) + self.end_offset_frames
        request.sampling.num_frames = min(self.segment_frames, left)
        request.sampling.seed = (self.request.sampling.seed + index) % (_MAX_SEED + 1)
        if image_path is not None and index == 0:
            request.inputs.image_path = image_path
        request.state = state
        request.output = OutputConfig(save_video=False, return_frames=True, return_state=True)
        return request

    def done(self, frames_done: int) -> bool:
        """Whether so many frames are a video of that length."""
        return frames_done > 0 and self.frames - frames_done <= TOLERANCE_FRAMES


@dataclass(frozen=True)
class JobRequests:
    """Makes the requests of jobs; ``model_defaults`` are what the model's own preset prefers.

    ``max_seconds``: of one video; ``end_offset_frames``: what a segment that is continued leaves out at its end.
    """

    default_request: GenerationRequest
    limits: RequestLimits
    model_defaults: Mapping[str, Any]
    max_seconds: float
    end_offset_frames: int = 0

    def video(self, fields: Mapping[str, Any]) -> VideoPlan:
        """The plan for what a client set (:class:`JobRecord` ``fields``). Raises ConfigValidationError."""
        request = self._resolved(fields)
        sampling = request.sampling
        frames = fields.get("num_frames")
        if frames is None:
            seconds = fields.get("seconds")
            if seconds is None and "sampling.num_frames" in get_explicit_paths(request):
                frames = sampling.num_frames
            else:
                frames = max(1, round((DEFAULT_SECONDS if seconds is None else seconds) * sampling.fps))
        if frames > self.max_seconds * sampling.fps:
            raise LimitExceeded("seconds", f"expected at most {self.max_seconds:g} seconds, got {frames} frames")
        self._check(request)
        return VideoPlan(request, frames, sampling.num_frames, self.end_offset_frames)

    def image(self, fields: Mapping[str, Any]) -> GenerationRequest:
        """The request for one picture. Raises ConfigValidationError."""
        request = self._resolved(fields)
        request.sampling.num_frames = 1
        self._check(request)
        request.output = OutputConfig(save_video=False, return_frames=True)
        return request

    def _resolved(self, fields: Mapping[str, Any]) -> GenerationRequest:
        client = GenerationRequest(prompt=fields["prompt"])
        if fields.get("negative_prompt") is not None:
            # An empty one clears the operator's.
            client.negative_prompt = fields["negative_prompt"]
        for name in _SAMPLING:
            if fields.get(name) is not None:
                setattr(client.sampling, name, fields[name])
        if fields.get("enable_teacache"):
            client.runtime.enable_teacache = True
        # What only guided models honour is up to the generator.
        check_request(client, guided=True)
        return resolve_request(client, default_request=self.default_request, preset_defaults=self.model_defaults)

    def _check(self, request: GenerationRequest) -> None:
        if not isinstance(request.prompt, str) or not request.prompt.strip():
            raise ConfigValidationError("prompt", "expected some text, got none")
        validate_request(request, self.limits)
        for name in ("width", "height"):
            size_px = getattr(request.sampling, name)
            if size_px % 2:
                raise ConfigValidationError(f"sampling.{name}", f"expected an even number of pixels, got {size_px}")
        # Said explicitly, no generator fills in its own.
        for name in ("width", "height", "fps", "num_frames"):
            setattr(request.sampling, name, getattr(request.sampling, name))


def _overlap_frames(state: ContinuationState | None) -> int:
    """How many frames of the next segment repeat those that a state carries."""
    video = state.payload.get("video") if state is not None and state.kind == LTX2_CONTINUATION_KIND else None
    frames = video.get("frames_b64") if isinstance(video, Mapping) else None
    return len(frames) if isinstance(frames, list) else 0


def _copy(request: GenerationRequest) -> GenerationRequest:
    return resolve_request(request)
