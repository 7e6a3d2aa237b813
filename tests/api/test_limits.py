import pytest

from fastvideo.api import GenerationRequest, LimitExceeded, RequestLimits, SamplingConfig, validate_request


def request(**sampling):
    return GenerationRequest(prompt="p", sampling=SamplingConfig(**sampling))


def test_the_schema_defaults_are_within_the_default_limits():
    validate_request(request(), RequestLimits())


@pytest.mark.parametrize(
    ("sampling", "path"),
    [
        ({"num_inference_steps": 10**9}, "sampling.num_inference_steps"),
        ({"num_inference_steps": 0}, "sampling.num_inference_steps"),
        ({"width": -1}, "sampling.width"),
        ({"height": 100_000}, "sampling.height"),
        ({"width": 3840, "height": 3840}, "sampling.width"),
        ({"num_frames": 0}, "sampling.num_frames"),
        ({"num_frames": 10**6}, "sampling.num_frames"),
        ({"fps": 0}, "sampling.fps"),
        ({"seed": -1}, "sampling.seed"),
        ({"seed": 2**63}, "sampling.seed"),
        ({"guidance_scale": float("nan")}, "sampling.guidance_scale"),
        ({"guidance_scale": -1.0}, "sampling.guidance_scale"),
        ({"num_videos_per_prompt": 2}, "sampling.num_videos_per_prompt"),
        ({"sigmas": [0.5] * 1000}, "sampling.sigmas"),
    ],
)
def test_a_value_beyond_its_limit_is_named(sampling, path):
    with pytest.raises(LimitExceeded) as caught:
        validate_request(request(**sampling), RequestLimits())
    assert caught.value.path == path
    assert (caught.value.code, caught.value.reason) == ("invalid_message", "limit_exceeded")


def test_prompts_have_a_length_each():
    limits = RequestLimits(max_prompt_chars=3)
    validate_request(GenerationRequest(prompt=["abc", "def"]), limits)
    with pytest.raises(LimitExceeded, match="prompt"):
        validate_request(GenerationRequest(prompt=["abc", "defg"]), limits)
    with pytest.raises(LimitExceeded, match="negative_prompt"):
        validate_request(GenerationRequest(prompt="a", negative_prompt="defg"), limits)
