"""The typed form of what a config or a request may say about a stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, TypeVar

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.parser import parse_config

_STRICT: dict[str, Any] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
REFINE = "refine"
REFINE_STEPS = (2, 3)
# Of the denoise stage: one scale for each weaker prediction, and the picture's and the sound's apart for the prompt.
GUIDANCE_SCALES = ("guidance_scale", "audio_guidance_scale", "stg_scale", "modality_scale")
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "num_inference_steps": (1, 100),
    **dict.fromkeys(GUIDANCE_SCALES, (0, 50)),
    "image_crf": (0, 51),
    # Up to the span that the model was trained on.
    "video_position_offset_sec": (0, 20),
}
T = TypeVar("T")


@dataclass
class LTX2DenoiseStageOverride:
    """Per request, under ``stage_overrides.denoise``. The picture's ``guidance_scale`` and the steps replace those of
    ``sampling`` in this stage; the other scales are the preset's until they are set.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    audio_guidance_scale: float | None = None
    stg_scale: float | None = None
    modality_scale: float | None = None
    image_crf: int | None = None


@dataclass
class LTX2RefinePresetOverride:
    """At start-up, under ``pipeline.preset_overrides.refine``."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    enabled: bool | None = None
    add_noise: bool | None = None


@dataclass
class LTX2RefineStageOverride:
    """Per request, under ``stage_overrides.refine``. Raises ValueError for steps other than 2 or 3.

    ``image_crf``: H.264 quality that a first frame is taken through, 0 for none; ``video_position_offset_sec``: how
    long before the picture the sound begins, in place of what the state says.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    image_crf: int | None = None
    video_position_offset_sec: float | None = None

    def __post_init__(self) -> None:
        if self.num_inference_steps is not None and self.num_inference_steps not in REFINE_STEPS:
            raise ValueError(f"num_inference_steps: the refine stage takes 2 or 3, got {self.num_inference_steps}")


def denoise_override(values: Mapping[str, Any]) -> LTX2DenoiseStageOverride:
    """Typed and within bounds. Raises ConfigValidationError with the path ``stage_overrides.denoise.<key>``."""
    return _bounded(LTX2DenoiseStageOverride, values, "stage_overrides.denoise")


def refine_override(values: Mapping[str, Any]) -> LTX2RefineStageOverride:
    """Typed and within bounds. Raises ConfigValidationError with the path ``stage_overrides.refine.<key>``."""
    typed = _bounded(LTX2RefineStageOverride, values, f"stage_overrides.{REFINE}")
    if typed.guidance_scale not in (None, 1.0):
        raise ConfigValidationError(
            f"stage_overrides.{REFINE}.guidance_scale",
            f"the refine stage is not guided; only 1.0, got {typed.guidance_scale}",
        )
    return typed


def _bounded(kind: type[T], values: Any, path: str) -> T:
    try:
        typed = parse_config(kind, dict(values) if isinstance(values, Mapping) else values)
    except ConfigValidationError as error:
        raise ConfigValidationError(f"{path}.{error.path}" if error.path else path, error.message) from error
    for name, (lowest, highest) in _BOUNDS.items():
        value = getattr(typed, name, None)
        if value is not None and not lowest <= value <= highest:
            raise ConfigValidationError(f"{path}.{name}", f"expected {lowest:g} to {highest:g}, got {value:g}")
    return typed


def refine_override_to_dict(override: LTX2RefinePresetOverride | LTX2RefineStageOverride) -> dict[str, Any]:
    """The fields that are set."""
    return {key: value for key, value in asdict(override).items() if value is not None}


def refine_preset_override_fields() -> frozenset[str]:
    """Keys of ``preset_overrides.refine``."""
    return frozenset(spec.name for spec in fields(LTX2RefinePresetOverride))


def refine_stage_override_fields() -> frozenset[str]:
    """Keys of ``stage_overrides.refine``."""
    return frozenset(spec.name for spec in fields(LTX2RefineStageOverride))


def refine_preset_override(overrides: Mapping[str, Any]) -> LTX2RefinePresetOverride:
    """What ``pipeline.preset_overrides`` says. Raises ConfigValidationError with the path, for any other stage too."""
    for name in overrides:
        if name != REFINE:
            raise ConfigValidationError(
                f"pipeline.preset_overrides.{name}", f"no such stage to override; known: {REFINE}"
            )
    return _bounded(LTX2RefinePresetOverride, overrides.get(REFINE, {}), f"pipeline.preset_overrides.{REFINE}")
