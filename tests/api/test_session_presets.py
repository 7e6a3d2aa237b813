import pytest

from fastvideo.api import ConfigValidationError, load_session_presets


def test_the_shipped_presets_load_and_have_something_to_show():
    presets = load_session_presets()
    assert len(presets) >= 3
    for name, preset in presets.items():
        assert preset.name == name
        assert preset.label
        assert preset.prompts


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("label: A\nprompt: [x]", "prompt"),
        ("prompts: [x]", "label"),
        ("label: A\nsampling: {sed: 1}", "sampling.sed"),
        ("label: A\ntoggles: {loop: true}", "toggles.loop"),
    ],
)
def test_a_faulty_preset_is_named_by_file_and_key(tmp_path, text, where):
    (tmp_path / "story.yaml").write_text(text)
    with pytest.raises(ConfigValidationError) as caught:
        load_session_presets(tmp_path)
    assert caught.value.path == f"story.yaml:{where}"


def test_a_preset_sets_only_the_sampling_fields_it_names(tmp_path):
    (tmp_path / "story.yaml").write_text("label: A\nsampling: {seed: 3}")
    assert load_session_presets(tmp_path)["story"].request_defaults == {"seed": 3}
