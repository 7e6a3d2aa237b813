import pytest

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.parser import parse_config
from fastvideo.pipelines.basic.ltx2.stage_overrides import (
    LTX2RefinePresetOverride,
    LTX2RefineStageOverride,
    refine_override,
    refine_override_to_dict,
    refine_preset_override,
    refine_preset_override_fields,
    refine_stage_override_fields,
)


def test_only_set_fields_are_written() -> None:
    assert refine_override_to_dict(LTX2RefinePresetOverride(enabled=False)) == {"enabled": False}
    assert refine_override_to_dict(LTX2RefineStageOverride(num_inference_steps=3, image_crf=0)) == {
        "num_inference_steps": 3,
        "image_crf": 0,
    }


def test_the_documented_fields_are_there() -> None:
    assert refine_preset_override_fields() == {"enabled", "add_noise"}
    assert refine_stage_override_fields() == {
        "num_inference_steps",
        "guidance_scale",
        "image_crf",
        "video_position_offset_sec",
    }


@pytest.mark.parametrize("steps", [0, 1, 4, 8])
def test_the_refine_stage_takes_two_or_three_steps(steps: int) -> None:
    with pytest.raises(ValueError, match="2 or 3"):
        LTX2RefineStageOverride(num_inference_steps=steps)
    with pytest.raises(ConfigValidationError):
        parse_config(LTX2RefineStageOverride, {"num_inference_steps": steps})


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"guidance_scale": 3.0}, "guidance_scale"),
        ({"image_crf": 52}, "image_crf"),
        ({"video_position_offset_sec": -1.0}, "video_position_offset_sec"),
        ({"num_inference_steps": 4}, "num_inference_steps"),
        ({"steps": 2}, "steps"),
    ],
)
def test_what_the_refine_stage_cannot_do_is_refused_with_its_path(values: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigValidationError) as caught:
        refine_override(values)
    assert caught.value.path.startswith("stage_overrides.refine")
    assert key in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, LTX2RefinePresetOverride()),
        ({"refine": {}}, LTX2RefinePresetOverride()),
        ({"refine": {"enabled": True, "add_noise": False}}, LTX2RefinePresetOverride(True, False)),
    ],
)
def test_preset_overrides_are_typed(overrides: dict[str, object], expected: LTX2RefinePresetOverride) -> None:
    assert refine_preset_override(overrides) == expected


@pytest.mark.parametrize(
    ("overrides", "path"),
    [
        ({"refine": {"enabled": 1}}, "pipeline.preset_overrides.refine.enabled"),
        ({"refine": {"steps": 2}}, "pipeline.preset_overrides.refine.steps"),
        ({"refine": []}, "pipeline.preset_overrides.refine"),
        ({"upscale": {}}, "pipeline.preset_overrides.upscale"),
    ],
)
def test_other_overrides_are_refused_with_their_path(overrides: dict[str, object], path: str) -> None:
    with pytest.raises(ConfigValidationError) as caught:
        refine_preset_override(overrides)
    assert caught.value.path == path
