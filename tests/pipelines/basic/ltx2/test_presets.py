import pytest

import fastvideo.pipelines.basic.ltx2  # noqa: F401  # registers the presets
from fastvideo.api.errors import ConfigValidationError, PresetUnknown
from fastvideo.api.precedence import resolve_request
from fastvideo.api.presets import get_all_preset_names, validate_stage_overrides
from fastvideo.pipelines.basic.ltx2.presets import LTX2_PRESETS, preset_name_for, select_preset
from fastvideo.pipelines.basic.ltx2.recipe import LTX2Recipe


def test_the_documented_presets_are_registered() -> None:
    assert {"ltx2_base", "ltx2_3_base", "ltx2_distilled", "ltx2_two_stage"} <= set(get_all_preset_names())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("embedded:", "ltx2_embedded"),
        ("tiny:?seed=0", "ltx2_tiny"),
        ("/models/ltx-2.3-22b-distilled-1.1.safetensors", "ltx2_distilled"),
        ("/models/ltx-2.3-22b-dev.safetensors", "ltx2_3_base"),
        ("/models/ltx-2-19b-dev.safetensors", "ltx2_base"),
        ("/distilled/weights/", None),
    ],
)
def test_the_last_part_of_a_model_path_selects_the_most_specific_preset(path: str, name: str | None) -> None:
    assert preset_name_for(path) == name


def test_a_named_preset_wins_over_the_path_and_an_unnamed_model_is_distilled() -> None:
    assert select_preset("ltx-2-dev.safetensors", "ltx2_distilled").name == "ltx2_distilled"
    assert select_preset("model.safetensors", None).name == "ltx2_distilled"


def test_the_two_stage_preset_refines_in_two_steps() -> None:
    preset = select_preset("tiny:?seed=0", "ltx2_two_stage")
    recipe = LTX2Recipe.of(preset)
    assert recipe.refines
    assert recipe.add_noise
    assert recipe.stage_values["refine"] == {"num_inference_steps": 2, "guidance_scale": 1.0, "image_crf": 33}
    validate_stage_overrides(
        preset,
        {
            "denoise": {"num_inference_steps": 5},
            "refine": {
                "num_inference_steps": 3,
                "guidance_scale": 1.0,
                "image_crf": 0,
                "video_position_offset_sec": 1.0,
            },
        },
    )


def test_overrides_take_the_refine_stage_away_and_give_it_to_others() -> None:
    without = {"refine": {"enabled": False}}
    preset = select_preset("tiny:?seed=0", "ltx2_two_stage", overrides=without)
    assert not LTX2Recipe.of(preset, without).refines
    with pytest.raises(ConfigValidationError, match=r"stage_overrides\.refine"):
        validate_stage_overrides(preset, {"refine": {}})
    given = {"refine": {"enabled": True, "add_noise": False}}
    recipe = LTX2Recipe.of(select_preset("tiny:?seed=0", "ltx2_base", overrides=given), given)
    assert recipe.guided
    assert recipe.refines
    assert not recipe.add_noise
    assert recipe.stage_values["refine"]["num_inference_steps"] == 2


@pytest.mark.parametrize("name", ["ltx2_base", "ltx2_3_base"])
def test_a_base_preset_guides_with_the_published_scales(name: str) -> None:
    preset = select_preset("tiny:?seed=0", name)
    assert LTX2Recipe.of(preset).guided
    assert (preset.defaults["guidance_scale"], preset.defaults["guidance_rescale"]) == (3.0, 0.7)
    scales = {"audio_guidance_scale": 7.0, "stg_scale": 1.0, "modality_scale": 3.0}
    assert preset.stage_defaults["denoise"] == {**scales, "image_crf": 33}
    validate_stage_overrides(preset, {"denoise": scales | {"guidance_scale": 1.0}})
    assert not LTX2Recipe.of(select_preset("tiny:?seed=0", None)).guided


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PresetUnknown, match="ltx2_tiny"):
        select_preset("tiny:?seed=0", "ltx3")
    with pytest.raises(PresetUnknown, match="version"):
        select_preset("tiny:?seed=0", "ltx2_tiny", 9)


@pytest.mark.parametrize("preset", LTX2_PRESETS, ids=lambda preset: preset.name)
def test_every_default_of_a_preset_is_a_field_of_a_request(preset: object) -> None:
    resolved = resolve_request(None, preset_defaults=preset.defaults)  # type: ignore[attr-defined]
    assert resolved.sampling.num_frames == (57 if preset.name == "ltx2_embedded" else 121)  # type: ignore[attr-defined]
    assert resolved.sampling.fps == 24


def test_the_denoise_stage_takes_its_two_overrides_only() -> None:
    preset = select_preset("tiny:?seed=0", None)
    validate_stage_overrides(preset, {"denoise": {"num_inference_steps": 2, "guidance_scale": 1.0}})
    with pytest.raises(ConfigValidationError, match=r"stage_overrides\.refine"):
        validate_stage_overrides(preset, {"refine": {"num_inference_steps": 2}})
