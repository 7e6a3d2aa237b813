"""The inference presets of the LTX-2 family, and which one a model path selects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastvideo.api.presets import InferencePreset, PresetStageSpec, get_preset, register_preset
from fastvideo.pipelines.basic.ltx2.stage_overrides import GUIDANCE_SCALES, REFINE, refine_preset_override

LTX2_FAMILY = "ltx2"

_NEGATIVE_PROMPT = (
    "blurred, grainy, flickering or jittering picture, smeared motion, warped faces and hands, wrong proportions, "
    "washed-out or oversaturated colours, flat light, watermark, captions, logos, distorted or clipped sound, "
    "echo, robotic voice, lips out of step with speech"
)

_DENOISE = PresetStageSpec(
    name="denoise",
    kind="denoise",
    description="Picture and sound together, from noise to latents.",
    allowed_overrides=frozenset({"num_inference_steps", "guidance_scale", "image_crf"}),
)
_GUIDED_DENOISE = replace(_DENOISE, allowed_overrides=frozenset({"num_inference_steps", "image_crf", *GUIDANCE_SCALES}))
_REFINE = PresetStageSpec(
    name=REFINE,
    kind=REFINE,
    description="The same at twice the size, from half noise.",
    allowed_overrides=frozenset({"num_inference_steps", "guidance_scale", "image_crf", "video_position_offset_sec"}),
)

_CLIP = {"num_frames": 121, "fps": 24, "seed": 10}
_GUIDED = _CLIP | {
    "height": 512,
    "width": 768,
    "guidance_scale": 3.0,
    "guidance_rescale": 0.7,
    "negative_prompt": _NEGATIVE_PROMPT,
}
# What official pipelines take first frames through, so that they look like those of the training videos.
_IMAGE_CRF = {"image_crf": 33}
_STAGES = {"denoise": _IMAGE_CRF}
_REFINE_STAGE = {"refine": {"num_inference_steps": 2, "guidance_scale": 1.0, **_IMAGE_CRF}}
_GUIDED_STAGES = {"denoise": {**_IMAGE_CRF, "audio_guidance_scale": 7.0, "stg_scale": 1.0, "modality_scale": 3.0}}
_DISTILLED = _CLIP | {
    "height": 1024,
    "width": 1536,
    "num_inference_steps": 8,
    "guidance_scale": 1.0,
    "negative_prompt": "",
}

LTX2_PRESETS = (
    InferencePreset(
        name="ltx2_base",
        version=1,
        model_family=LTX2_FAMILY,
        description="LTX-2 as trained, 40 guided steps.",
        workload_type="t2v",
        stage_schemas=(_GUIDED_DENOISE,),
        defaults=_GUIDED | {"num_inference_steps": 40},
        stage_defaults=_GUIDED_STAGES,
    ),
    InferencePreset(
        name="ltx2_3_base",
        version=1,
        model_family=LTX2_FAMILY,
        description="LTX-2.3 as trained, 30 guided steps.",
        workload_type="t2v",
        stage_schemas=(_GUIDED_DENOISE,),
        defaults=_GUIDED | {"num_inference_steps": 30},
        stage_defaults=_GUIDED_STAGES,
    ),
    InferencePreset(
        name="ltx2_distilled",
        version=1,
        model_family=LTX2_FAMILY,
        description="Distilled LTX-2 or LTX-2.3, 8 steps without guidance, in one stage.",
        workload_type="t2v",
        stage_schemas=(_DENOISE,),
        defaults=_DISTILLED,
        stage_defaults=_STAGES,
    ),
    InferencePreset(
        name="ltx2_two_stage",
        version=1,
        model_family=LTX2_FAMILY,
        description="Distilled, at half size first, then refined at full size.",
        workload_type="t2v",
        stage_schemas=(_DENOISE, _REFINE),
        defaults=_DISTILLED,
        stage_defaults={**_STAGES, **_REFINE_STAGE},
    ),
    InferencePreset(
        name="ltx2_embedded",
        version=1,
        model_family=LTX2_FAMILY,
        description="The small model in the package, 3 steps; segments of two seconds that play live on two CPU cores.",
        workload_type="t2v",
        stage_schemas=(_DENOISE,),
        defaults=_DISTILLED | {"height": 256, "width": 256, "num_frames": 57, "num_inference_steps": 3},
    ),
    InferencePreset(
        name="ltx2_tiny",
        version=1,
        model_family=LTX2_FAMILY,
        description="The small random checkpoint, 4 steps at a size that plays live on a laptop.",
        workload_type="t2v",
        stage_schemas=(_DENOISE,),
        defaults=_DISTILLED | {"height": 256, "width": 256, "num_inference_steps": 4},
    ),
)

# The first that occurs in the name of a checkpoint; the most specific first.
_BY_NAME = (("distilled", "ltx2_distilled"), ("2.3", "ltx2_3_base"), ("ltx-2", "ltx2_base"), ("ltx2", "ltx2_base"))


def register_ltx2_presets() -> None:
    """Make the presets selectable by name."""
    for preset in LTX2_PRESETS:
        register_preset(preset)


def preset_name_for(model_path: str) -> str | None:
    """The preset that a model path selects by its last part; None when the name says nothing."""
    if model_path.startswith("embedded:"):
        return "ltx2_embedded"
    if model_path.startswith("tiny:"):
        return "ltx2_tiny"
    name = model_path.rstrip("/").rsplit("/", 1)[-1].lower()
    return next((preset for part, preset in _BY_NAME if part in name), None)


def select_preset(
    model_path: str, name: str | None, version: int | None = None, overrides: Mapping[str, Any] | None = None
) -> InferencePreset:
    """The preset to run: the named one, or the one of the model path, or ``ltx2_distilled``.

    ``overrides`` are ``pipeline.preset_overrides``: they can take the refine stage away from a preset, or give one to
    it. Raises PresetUnknown for a name of no LTX-2 preset, ConfigValidationError for overrides of no stage.
    """
    preset = get_preset(name or preset_name_for(model_path) or "ltx2_distilled", LTX2_FAMILY, version)
    enabled = refine_preset_override(overrides or {}).enabled
    others = tuple(stage for stage in preset.stage_schemas if stage.name != REFINE)
    if enabled is False:
        return replace(preset, stage_schemas=others)
    if enabled and others == preset.stage_schemas:
        return replace(
            preset, stage_schemas=(*others, _REFINE), stage_defaults={**preset.stage_defaults, **_REFINE_STAGE}
        )
    return preset
