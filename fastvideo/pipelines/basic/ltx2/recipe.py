"""How a preset samples, beside what its defaults put into a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastvideo.api.presets import InferencePreset


@dataclass(frozen=True)
class LTX2Recipe:
    """``guided``: for a model as trained, with its shifted schedule and guidance; otherwise for a distilled one, with
    the distilled list of noise levels. ``stage_values``: what each stage takes where a request does not override it.
    """

    guided: bool = False
    stage_values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, preset: InferencePreset) -> LTX2Recipe:
        """The recipe of a preset; one that guides says so with guidance among its stage's defaults."""
        denoise = preset.stage_defaults.get("denoise", {})
        return cls(guided="stg_scale" in denoise, stage_values=preset.stage_defaults)
