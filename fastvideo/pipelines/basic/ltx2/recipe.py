"""How a preset samples, beside what its defaults put into a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fastvideo.api.presets import InferencePreset
from fastvideo.api.schema import WorkloadType
from fastvideo.pipelines.basic.ltx2.stage_overrides import REFINE, refine_preset_override

SoundAlone = Literal["from text", "for a clip"]
SOUND_WORKLOADS: Mapping[str, SoundAlone] = {"t2a": "from text", "v2a": "for a clip"}


@dataclass(frozen=True)
class LTX2Recipe:
    """``guided``: for a model as trained, with its shifted schedule and guidance; otherwise for a distilled one, with
    the distilled list of noise levels. ``refines``: the first stage is made at half the size, upsampled, given noise
    again (``add_noise``) and refined. ``stage_values``: what each stage takes where a request does not override it.
    ``sound``: sound alone is made, "from text" or "for a clip", which is then given whole.
    """

    guided: bool = False
    refines: bool = False
    add_noise: bool = True
    stage_values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sound: SoundAlone | None = None

    @classmethod
    def of(
        cls,
        preset: InferencePreset,
        overrides: Mapping[str, Any] | None = None,
        workload: WorkloadType | None = None,
    ) -> LTX2Recipe:
        """The recipe of a selected preset; ``overrides`` are ``pipeline.preset_overrides``, ``workload`` is
        ``pipeline.workload_type``. Raises ConfigValidationError.

        A preset that guides says so with guidance among its stage's defaults.
        """
        refine = refine_preset_override(overrides or {})
        return cls(
            guided="stg_scale" in preset.stage_defaults.get("denoise", {}),
            refines=any(stage.name == REFINE for stage in preset.stage_schemas),
            add_noise=refine.add_noise is not False,
            stage_values=preset.stage_defaults,
            sound=SOUND_WORKLOADS.get(workload) if workload is not None else None,
        )
