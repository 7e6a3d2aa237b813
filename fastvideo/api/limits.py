"""Bounds on what one request may ask for, checked before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Iterator

from fastvideo.api.errors import LimitExceeded
from fastvideo.api.schema import GenerationRequest, RequestLimits

__all__ = ["RequestLimits", "request_faults", "validate_request"]


def validate_request(request: GenerationRequest, limits: RequestLimits) -> None:
    """Raise LimitExceeded, with the dotted path, for the first value outside ``limits``."""
    for fault in request_faults(request, limits):
        raise fault


def request_faults(request: GenerationRequest, limits: RequestLimits) -> Iterator[LimitExceeded]:
    """A LimitExceeded for every value outside ``limits``."""
    sampling = request.sampling
    yield from _between("sampling.width", sampling.width, limits.min_size_px, limits.max_width_px, "px")
    yield from _between("sampling.height", sampling.height, limits.min_size_px, limits.max_height_px, "px")
    if sampling.width * sampling.height > limits.max_pixels:
        size = f"{sampling.width}x{sampling.height}"
        yield LimitExceeded("sampling.width", f"expected at most {limits.max_pixels} pixels a frame, got {size}")
    yield from _between("sampling.num_frames", sampling.num_frames, 1, limits.max_num_frames, "frames")
    yield from _between("sampling.fps", sampling.fps, limits.min_fps, limits.max_fps, "frames per second")
    yield from _between(
        "sampling.num_inference_steps", sampling.num_inference_steps, 1, limits.max_num_inference_steps, "steps"
    )
    yield from _between("sampling.num_videos_per_prompt", sampling.num_videos_per_prompt, 1, 1, "videos per prompt")
    # Seeds feed 64-bit generators.
    yield from _between("sampling.seed", sampling.seed, 0, 2**63 - 1, "")
    if not math.isfinite(sampling.guidance_scale):
        yield LimitExceeded("sampling.guidance_scale", "expected a finite number")
    yield from _between("sampling.guidance_scale", sampling.guidance_scale, 0, limits.max_guidance_scale, "")
    if sampling.sigmas is not None:
        yield from _between("sampling.sigmas", len(sampling.sigmas), 1, limits.max_num_inference_steps + 1, "values")
    prompts = request.prompt if isinstance(request.prompt, list) else [request.prompt]
    for name, text in (*(("prompt", prompt) for prompt in prompts), ("negative_prompt", request.negative_prompt)):
        if text is not None and len(text) > limits.max_prompt_chars:
            yield LimitExceeded(name, f"expected at most {limits.max_prompt_chars} characters, got {len(text)}")


def _between(path: str, value: float, low: float, high: float, unit: str) -> Iterator[LimitExceeded]:
    if not low <= value <= high:
        wanted = f"{low}" if low == high else f"{low} to {high}"
        yield LimitExceeded(path, f"expected {wanted}{' ' if unit else ''}{unit}, got {value}")
