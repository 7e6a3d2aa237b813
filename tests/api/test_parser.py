import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvideo.api import (
    ConfigValidationError,
    ContinuationState,
    GenerationRequest,
    GeneratorConfig,
    InputConfig,
    SamplingConfig,
    ServeConfig,
    config_to_dict,
    get_explicit_paths,
    load_config,
    load_raw_config,
    load_serve_config,
    parse_config,
)

GENERATOR = {"model_path": "tiny:?seed=0"}


def fault(config_type, raw):
    with pytest.raises(ConfigValidationError) as caught:
        parse_config(config_type, raw)
    return caught.value


def test_an_instance_is_returned_unchanged():
    config = GeneratorConfig(model_path="x")
    assert parse_config(GeneratorConfig, config) is config


def test_anything_but_a_mapping_is_refused():
    assert "list" in fault(GeneratorConfig, ["model_path"]).message


def test_an_unknown_key_is_named_with_its_path_and_the_nearest_known_key():
    error = fault(ServeConfig, {"generator": GENERATOR, "streaming": {"max_sesions": 3}})
    assert error.path == "streaming.max_sesions"
    assert "'max_sessions'" in error.message


def test_an_unknown_key_is_reported_before_the_missing_one_it_explains():
    error = fault(GeneratorConfig, {"model_pth": "x"})
    assert error.path == "model_pth"
    assert "'model_path'" in error.message


def test_a_missing_key_is_named_with_its_path():
    error = fault(ServeConfig, {"generator": {}})
    assert (error.path, str(error)) == ("generator.model_path", "generator.model_path: is required and missing")


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ({"sampling": {"seed": "7"}}, "sampling.seed"),
        ({"sampling": {"seed": True}}, "sampling.seed"),
        ({"sampling": {"seed": 1.0}}, "sampling.seed"),
        ({"sampling": {"guidance_scale": float("nan")}}, "sampling.guidance_scale"),
        ({"sampling": {"guidance_scale": float("inf")}}, "sampling.guidance_scale"),
        ({"sampling": {"sigmas": [1.0, "half"]}}, "sampling.sigmas[1]"),
        ({"output": {"save_video": 1}}, "output.save_video"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": ["a", 3]}, "prompt"),
        ({"state": {"kind": "ltx2.v1"}}, "state.payload"),
        ({"plan": {"stages": [{"name": "a"}]}}, "plan.stages[0].kind"),
        ({"sampling": []}, "sampling"),
    ],
)
def test_a_wrong_type_is_named_with_its_path(raw, path):
    error = fault(GenerationRequest, raw)
    assert error.path.startswith(path)
    assert error.message.startswith(("expected", "is required"))


def test_a_literal_outside_its_set_names_the_set():
    error = fault(ServeConfig, {"generator": GENERATOR, "streaming": {"at_cap": "stop"}})
    assert error.path == "streaming.at_cap"
    assert "'end' or 'pause'" in error.message


def test_a_whole_number_is_accepted_for_a_float():
    assert parse_config(SamplingConfig, {"guidance_scale": 3}).guidance_scale == 3.0


def test_keys_that_are_not_strings_are_refused():
    assert "strings" in fault(GenerationRequest, {"extensions": {1: "a"}}).message


def test_a_value_that_json_has_no_form_for_is_refused_with_its_path():
    assert fault(GenerationRequest, {"inputs": {"pil_image": object()}}).path == "inputs.pil_image"


def test_a_mapping_that_contains_itself_is_refused():
    raw: dict = {"extensions": {}}
    raw["extensions"]["again"] = raw
    assert "deeply" in fault(GenerationRequest, raw).message


def test_only_written_fields_of_a_parsed_request_count_as_explicit():
    request = parse_config(GenerationRequest, {"prompt": "a", "sampling": {"seed": 1}, "extensions": {}})
    assert get_explicit_paths(request) == {"prompt", "sampling.seed", "extensions"}


def test_only_the_default_request_of_a_serve_file_is_bound():
    config = parse_config(ServeConfig, {"generator": GENERATOR, "default_request": {"negative_prompt": ""}})
    assert get_explicit_paths(config.default_request) == {"negative_prompt"}
    without = parse_config(ServeConfig, {"generator": GENERATOR})
    assert get_explicit_paths(without.default_request) == set()


def test_the_json_form_refuses_objects_with_their_path():
    request = GenerationRequest(inputs=InputConfig(pil_image=object()))
    assert config_to_dict(request)["inputs"]["pil_image"] is request.inputs.pil_image
    with pytest.raises(ConfigValidationError) as caught:
        config_to_dict(request, json_safe=True)
    assert caught.value.path == "inputs.pil_image"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(
    prompt=st.none() | st.text(max_size=10) | st.lists(st.text(max_size=5), max_size=3),
    seed=st.integers(0, 2**63 - 1),
    guidance=st.floats(allow_nan=False, allow_infinity=False),
    extensions=st.dictionaries(st.text(min_size=1, max_size=4), json_values, max_size=3),
)
def test_a_request_survives_the_way_through_json(prompt, seed, guidance, extensions):
    request = GenerationRequest(
        prompt=prompt,
        sampling=SamplingConfig(seed=seed, guidance_scale=guidance),
        state=ContinuationState("ltx2.v1", {"segment_index": 1}),
        extensions=extensions,
    )
    plain = config_to_dict(request, json_safe=True)
    assert parse_config(GenerationRequest, json.loads(json.dumps(plain))) == request


@settings(max_examples=150, deadline=None)
@given(raw=st.dictionaries(st.sampled_from(["prompt", "sampling", "inputs", "state", "plan", "x"]), json_values))
def test_no_mapping_raises_anything_but_a_validation_error(raw):
    try:
        parsed = parse_config(GenerationRequest, raw)
    except ConfigValidationError:
        return
    assert isinstance(parsed, GenerationRequest)


def test_files_are_read_by_their_suffix(tmp_path):
    (tmp_path / "a.yaml").write_text("generator: {model_path: x}\nstreaming:\n  max_sessions: 2\n")
    (tmp_path / "a.json").write_text(json.dumps({"generator": {"model_path": "x"}}))
    (tmp_path / "empty.yml").write_text("")
    assert load_serve_config(tmp_path / "a.yaml").streaming.max_sessions == 2
    assert load_serve_config(tmp_path / "a.json").streaming is None
    assert load_raw_config(tmp_path / "empty.yml") == {}
    overridden = load_config(ServeConfig, tmp_path / "a.json", ["--streaming.max-sessions", "5"])
    assert overridden.streaming.max_sessions == 5


def test_a_file_that_cannot_be_used_says_why(tmp_path):
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "list.yaml").write_text("- 1")
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "tagged.yaml").write_text("a: !!python/object/apply:os.getcwd []")
    with pytest.raises(ValueError, match=r"\.yaml"):
        load_raw_config(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError, match="absent"):
        load_raw_config(tmp_path / "absent.yaml")
    for name in ("list.yaml", "broken.yaml", "tagged.yaml"):
        with pytest.raises(ConfigValidationError):
            load_raw_config(tmp_path / name)
