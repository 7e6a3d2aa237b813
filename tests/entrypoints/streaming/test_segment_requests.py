import pytest

from fastvideo.api.errors import ConfigValidationError, LimitExceeded
from fastvideo.api.parser import parse_config
from fastvideo.api.schema import ContinuationState, GenerationRequest, RequestLimits
from fastvideo.entrypoints.streaming.director import Prompt
from fastvideo.entrypoints.streaming.segment_requests import SegmentRequests


def requests(operator: dict | None = None, preset: dict | None = None, **limits: int) -> SegmentRequests:
    default = parse_config(GenerationRequest, operator or {})
    return SegmentRequests(default, RequestLimits(**limits), preset or {})


def test_the_client_wins_over_the_operator_who_wins_over_the_preset_which_wins_over_the_schema() -> None:
    made = requests(
        {"sampling": {"num_inference_steps": 6, "guidance_scale": 2.0}},
        {"num_inference_steps": 8, "guidance_scale": 3.0, "fps": 25},
    )
    request = made.build(Prompt("x", num_inference_steps=4), segment_idx=0)
    sampling = request.sampling
    assert (sampling.num_inference_steps, sampling.guidance_scale, sampling.fps) == (4, 2.0, 25)
    assert sampling.num_frames == 125


def test_every_field_the_operator_wrote_arrives() -> None:
    operator = {
        "negative_prompt": "rain",
        "sampling": {"true_cfg_scale": 2.5, "guidance_rescale": 0.3, "sigmas": [1.0, 0.5, 0.0]},
        "runtime": {"enable_teacache": True},
        "stage_overrides": {"refine": {"image_crf": 20}},
        "extensions": {"mine": 1},
    }
    request = requests(operator).build(Prompt("x"), segment_idx=0)
    assert request.negative_prompt == "rain"
    assert request.sampling.true_cfg_scale == 2.5
    assert request.sampling.guidance_rescale == 0.3
    assert request.sampling.sigmas == [1.0, 0.5, 0.0]
    assert request.runtime.enable_teacache
    assert request.stage_overrides == {"refine": {"image_crf": 20}}
    assert request.extensions == {"mine": 1}


def test_an_empty_negative_prompt_clears_the_operators_and_a_missing_one_does_not() -> None:
    made = requests({"negative_prompt": "rain"})
    assert made.build(Prompt("x", negative_prompt=""), segment_idx=0).negative_prompt == ""
    assert made.build(Prompt("x"), segment_idx=0).negative_prompt == "rain"


def test_segments_have_different_seeds_unless_the_client_says_which() -> None:
    made = requests({"sampling": {"seed": 7}})
    assert [made.build(Prompt("x"), segment_idx=index).sampling.seed for index in range(3)] == [7, 8, 9]
    assert made.build(Prompt("x", seed=7), segment_idx=2).sampling.seed == 7
    assert requests({"sampling": {"seed": 2**63 - 1}}).build(Prompt("x"), segment_idx=1).sampling.seed == 0


def test_a_request_asks_for_frames_and_state_and_writes_no_file() -> None:
    state = ContinuationState("ltx2.v1", {})
    request = requests().build(Prompt("x"), segment_idx=0, state=state, image_path="/some/file.png")
    assert request.state is state
    assert request.inputs.image_path == "/some/file.png"
    assert (request.output.save_video, request.output.return_frames, request.output.return_state) == (False, True, True)


def test_the_next_request_is_not_touched_by_what_was_put_into_the_last() -> None:
    made = requests()
    made.build(Prompt("x"), segment_idx=0, image_path="/some/file.png").sampling.width = 64
    request = made.build(Prompt("y"), segment_idx=1)
    assert request.inputs.image_path is None
    assert request.sampling.width == 1280


@pytest.mark.parametrize(
    ("prompt", "path"),
    [
        (Prompt("x", num_inference_steps=10**9), "sampling.num_inference_steps"),
        (Prompt("x", num_inference_steps=0), "sampling.num_inference_steps"),
        (Prompt("x", guidance_scale=1e30), "sampling.guidance_scale"),
        (Prompt("x", seed=-1), "sampling.seed"),
        (Prompt("x" * 5000), "prompt"),
        (Prompt("x", negative_prompt="x" * 5000), "negative_prompt"),
    ],
)
def test_what_is_beyond_the_limits_is_refused_with_its_path(prompt: Prompt, path: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        requests().check(prompt)
    assert caught.value.path == path


@pytest.mark.parametrize("text", ["", "  \n"])
def test_a_prompt_without_text_is_refused(text: str) -> None:
    with pytest.raises(ConfigValidationError) as caught:
        requests().check(Prompt(text))
    assert caught.value.path == "prompt"


def test_the_stream_is_announced_with_what_its_segments_will_have() -> None:
    made = requests({"sampling": {"width": 320}}, {"width": 640, "height": 192})
    request = made.build(Prompt("x"), segment_idx=0)
    assert (made.sampling.width, made.sampling.height) == (320, 192)
    assert (request.sampling.width, request.sampling.height) == (320, 192)
