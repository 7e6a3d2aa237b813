from fastvideo.api import ContinuationState, GenerationResult, VideoResult


def test_the_two_names_are_one_class_and_metadata_is_a_copy_of_extra():
    result = VideoResult(extra={"a": 1})
    assert VideoResult is GenerationResult
    result.metadata["a"] = 2
    assert result.metadata == {"a": 1}


def test_a_legacy_mapping_becomes_a_result_and_unknown_keys_become_extra():
    result = GenerationResult.from_legacy_result({"prompts": "p", "generation_time": 1.5, "custom": 3})
    assert (result.prompt, result.generation_time, result.extra) == ("p", 1.5, {"custom": 3})
    assert GenerationResult.from_legacy_result({"prompt": "a", "prompts": "b"}).prompt == "a"


def test_the_legacy_form_has_state_only_when_set_and_extra_on_top():
    plain = GenerationResult(prompt="p", extra={"custom": 3}).to_legacy_dict()
    assert (plain["prompts"], plain["custom"]) == ("p", 3)
    assert "state" not in plain
    assert "prompt" not in plain
    state = ContinuationState("ltx2.v1", {})
    indexed = GenerationResult(prompt="p", prompt_index=2, state=state, extra={"frames": "x"}).to_legacy_dict()
    assert (indexed["prompt"], indexed["prompt_index"], indexed["state"], indexed["frames"]) == ("p", 2, state, "x")
