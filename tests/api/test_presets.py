import uuid

import pytest

from fastvideo.api import (
    ConfigValidationError,
    InferencePreset,
    PresetStageSpec,
    get_all_preset_names,
    get_preset,
    get_presets_for_family,
    register_preset,
    validate_preset_selection,
)


@pytest.fixture
def family():
    name = f"family-{uuid.uuid4().hex}"
    stage = PresetStageSpec("denoise", "denoise", allowed_overrides=frozenset({"num_inference_steps"}))
    for version in (1, 3, 2):
        register_preset(InferencePreset("quick", version, name, stage_schemas=(stage,), defaults={"fps": version}))
    return name


def test_the_highest_version_is_chosen_unless_one_is_asked_for(family):
    assert get_preset("quick", family).version == 3
    assert get_preset("quick", family, 1).defaults == {"fps": 1}
    assert [preset.version for preset in get_presets_for_family(family)] == [1, 2, 3]
    assert "quick" in get_all_preset_names()


def test_a_taken_name_is_refused(family):
    with pytest.raises(ValueError, match="exists"):
        register_preset(InferencePreset("quick", 1, family))


def test_unknown_names_and_versions_list_the_known_ones(family):
    with pytest.raises(ConfigValidationError, match="quick") as caught:
        get_preset("slow", family)
    assert caught.value.path == "pipeline.preset"
    with pytest.raises(ConfigValidationError, match="1, 2, 3"):
        get_preset("quick", family, 9)


@pytest.mark.parametrize(
    ("overrides", "path"),
    [
        ({"refine": {}}, "stage_overrides.refine"),
        ({"denoise": 3}, "stage_overrides.denoise"),
        ({"denoise": {"seed": 1}}, "stage_overrides.denoise.seed"),
    ],
)
def test_stage_overrides_are_checked_against_the_preset(family, overrides, path):
    with pytest.raises(ConfigValidationError) as caught:
        validate_preset_selection("quick", family, stage_overrides=overrides)
    assert caught.value.path == path


def test_a_valid_selection_gives_the_preset_and_none_gives_none(family):
    selected = validate_preset_selection("quick", family, stage_overrides={"denoise": {"num_inference_steps": 4}})
    assert selected is get_preset("quick", family)
    assert validate_preset_selection(None, family) is None
