import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.api import (
    ConfigValidationError,
    GenerationRequest,
    OutputConfig,
    SamplingConfig,
    get_explicit_paths,
    parse_config,
    resolve_request,
)
from fastvideo.api.compat import explicit_request_updates, normalize_generation_request


@given(
    client=st.none() | st.integers(0, 9),
    operator=st.none() | st.integers(10, 19),
    preset=st.none() | st.integers(20, 29),
)
def test_the_highest_source_that_set_a_field_wins(client, operator, preset):
    resolved = resolve_request(
        GenerationRequest(sampling=SamplingConfig() if client is None else SamplingConfig(seed=client)),
        default_request=parse_config(GenerationRequest, {"sampling": {} if operator is None else {"seed": operator}}),
        preset_defaults={} if preset is None else {"seed": preset},
    )
    expected = next((value for value in (client, operator, preset) if value is not None), SamplingConfig().seed)
    assert resolved.sampling.seed == expected
    assert ("sampling.seed" in get_explicit_paths(resolved)) == (expected != SamplingConfig().seed)


def test_every_field_of_the_operators_default_survives():
    default = parse_config(
        GenerationRequest,
        {
            "sampling": {"true_cfg_scale": 2.0, "sigmas": [1.0, 0.5]},
            "runtime": {"enable_teacache": True},
            "stage_overrides": {"refine": {"image_crf": 1, "guidance_scale": 1.0}},
            "extensions": {"a": {"b": 1}},
        },
    )
    client = GenerationRequest(prompt="p", stage_overrides={"refine": {"image_crf": 2}})
    resolved = resolve_request(client, default_request=default)
    assert resolved.sampling.sigmas == [1.0, 0.5]
    assert resolved.sampling.true_cfg_scale == 2.0
    assert resolved.runtime.enable_teacache
    assert resolved.stage_overrides == {"refine": {"image_crf": 2, "guidance_scale": 1.0}}
    assert resolved.extensions == {"a": {"b": 1}}


def test_an_empty_negative_prompt_clears_the_operators():
    default = GenerationRequest(negative_prompt="blurry")
    assert resolve_request(GenerationRequest(negative_prompt=""), default_request=default).negative_prompt == ""
    assert resolve_request(GenerationRequest(prompt="p"), default_request=default).negative_prompt == "blurry"


def test_a_client_may_set_a_field_back_to_the_schema_default():
    default = GenerationRequest(sampling=SamplingConfig(fps=30), output=OutputConfig(save_video=False))
    client = GenerationRequest(sampling=SamplingConfig(fps=24), output=OutputConfig(save_video=True))
    resolved = resolve_request(client, default_request=default)
    assert resolved.sampling.fps == 24
    assert resolved.output.save_video


def test_the_sources_are_left_alone_and_not_shared():
    default = GenerationRequest(extensions={"a": {"b": 1}}, sampling=SamplingConfig(sigmas=[1.0]))
    resolved = resolve_request(None, default_request=default)
    resolved.extensions["a"]["b"] = 2
    resolved.sampling.sigmas.append(0.0)
    assert default.extensions == {"a": {"b": 1}}
    assert default.sampling.sigmas == [1.0]


def test_a_preset_field_that_requests_do_not_have_is_refused():
    with pytest.raises(ConfigValidationError):
        resolve_request(None, preset_defaults={"colour": 1})


def test_updates_hold_explicit_fields_only_and_never_the_prompt():
    request = parse_config(
        GenerationRequest,
        {
            "prompt": "p",
            "negative_prompt": "n",
            "sampling": {"seed": 1},
            "output": {"return_state": True},
            "stage_overrides": {"refine": {"image_crf": 1}},
            "extensions": {"x": 1},
        },
    )
    assert explicit_request_updates(request) == {
        "negative_prompt": "n",
        "seed": 1,
        "return_state": True,
        "stage_overrides.refine.image_crf": 1,
        "x": 1,
    }


def test_a_state_of_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"ltx2\.v1"):
        normalize_generation_request({"prompt": "p", "state": {"kind": "other.v1", "payload": {}}})
    with pytest.raises(ValueError, match="non-empty"):
        normalize_generation_request({"prompt": "p", "state": {"kind": "", "payload": {}}})
    request = normalize_generation_request({"prompt": "p", "state": {"kind": "ltx2.v1", "payload": {}}})
    assert request.state.kind == "ltx2.v1"
