import pytest

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.parser import parse_config
from fastvideo.pipelines.basic.ltx2.stage_overrides import (
    LTX2RefinePresetOverride,
    LTX2RefineStageOverride,
    check_preset_overrides,
    refine_override_to_dict,
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


@pytest.mark.parametrize("overrides", [{}, {"refine": {}}, {"refine": {"enabled": False, "add_noise": True}}])
def test_overrides_that_leave_one_stage_are_accepted(overrides: dict[str, object]) -> None:
    check_preset_overrides(overrides)


@pytest.mark.parametrize(
    ("overrides", "path"),
    [
        ({"refine": {"enabled": True}}, "pipeline.preset_overrides.refine.enabled"),
        ({"refine": {"enabled": 1}}, "pipeline.preset_overrides.refine.enabled"),
        ({"refine": {"steps": 2}}, "pipeline.preset_overrides.refine.steps"),
        ({"refine": []}, "pipeline.preset_overrides.refine"),
        ({"upscale": {}}, "pipeline.preset_overrides.upscale"),
    ],
)
def test_other_overrides_are_refused_with_their_path(overrides: dict[str, object], path: str) -> None:
    with pytest.raises(ConfigValidationError) as caught:
        check_preset_overrides(overrides)
    assert caught.value.path == path
