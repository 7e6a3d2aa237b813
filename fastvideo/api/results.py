"""What a generation gives back: one result, or a stream of events that ends with exactly one Final."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from fastvideo.api.schema import ContinuationState


@dataclass
class GenerationResult:
    """One finished generation.

    ``frames``: uint8 [T, H, W, 3], RGB; ``audio``: float32 [channels, samples] at ``audio_sample_rate`` Hz;
    ``size``: (height, width, frames) in pixels and frames; ``generation_time`` in seconds.
    """

    prompt: str | None = None
    prompt_index: int | None = None
    samples: Any = None
    frames: Any = None
    audio: Any = None
    audio_sample_rate: int | None = None
    size: tuple[int, int, int] | None = None
    generation_time: float | None = None
    logging_info: Any = None
    trajectory: Any = None
    trajectory_timesteps: Any = None
    trajectory_decoded: Any = None
    video_path: str | None = None
    peak_memory_mb: float | None = None
    state: ContinuationState | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def metadata(self) -> dict[str, Any]:
        """A copy of ``extra``, under the name that adapters read."""
        return dict(self.extra)

    @classmethod
    def from_legacy_result(cls, mapping: Mapping[str, Any]) -> GenerationResult:
        """Build a result from a flat mapping; the prompt comes from ``prompt``, else ``prompts``; unknown keys go to
        ``extra``."""
        known = {f.name for f in fields(cls)} - {"extra"}
        values = {key: value for key, value in mapping.items() if key in known}
        if values.get("prompt") is None and "prompts" in mapping:
            values["prompt"] = mapping["prompts"]
        extra = {key: value for key, value in mapping.items() if key not in known and key not in ("prompts", "extra")}
        given = mapping.get("extra")
        if isinstance(given, Mapping):
            extra.update(given)
        return cls(**values, extra=extra)

    def to_legacy_dict(self) -> dict[str, Any]:
        """The flat mapping that older callers read; ``state`` only when set, ``extra`` on top."""
        skipped = {"prompt", "prompt_index", "state", "extra"}
        flat = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in skipped}
        flat["prompts"] = self.prompt
        if self.prompt_index is not None:
            flat["prompt"] = self.prompt
            flat["prompt_index"] = self.prompt_index
        if self.state is not None:
            flat["state"] = self.state
        flat.update(self.extra)
        return flat


VideoResult = GenerationResult


@dataclass
class VideoProgressEvent:
    """``step`` of ``total_steps`` is done in ``stage`` (denoise, refine, decode); the total is fixed at the start."""

    step: int
    total_steps: int
    stage: str = "denoise"


@dataclass
class VideoPartialEvent:
    """Some frames that are ready: uint8 [N, H, W, 3], RGB; ``index`` counts partials from 0.

    The first partial of a generation carries its whole waveform, float32 [channels, samples], which starts with the
    first frame and may end up to 40 ms before the last one does.
    """

    frames: Any
    index: int
    audio: Any = None
    audio_sample_rate: int | None = None


@dataclass
class VideoFinalEvent:
    """The end of one generation; ``video_bytes`` is a whole MP4 file."""

    video_bytes: bytes | None = None
    tensor: Any = None
    frames: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)
    continuation_state: ContinuationState | None = None
    result: VideoResult | None = None


VideoEvent = VideoProgressEvent | VideoPartialEvent | VideoFinalEvent
