import copy
import pickle

import pytest

from fastvideo.api import (
    GenerationRequest,
    SamplingConfig,
    get_explicit_paths,
    parse_config,
    reset_tracking_roots,
)


def test_only_given_constructor_arguments_count():
    request = GenerationRequest("a prompt", sampling=SamplingConfig(seed=1, fps=24))
    assert get_explicit_paths(request) == {"prompt", "sampling.seed", "sampling.fps"}


def test_assignment_counts_on_the_request_and_on_its_parts():
    request = GenerationRequest()
    request.negative_prompt = None
    request.sampling.height = 64
    request.output.return_state = True
    assert get_explicit_paths(request) == {"negative_prompt", "sampling.height", "output.return_state"}


def test_mappings_flatten_to_their_leaves_and_an_empty_one_is_a_leaf():
    request = GenerationRequest(stage_overrides={"refine": {"image_crf": 1}, "denoise": {}})
    request.extensions["in"] = "place"
    assert get_explicit_paths(request) == {
        "stage_overrides.refine.image_crf",
        "stage_overrides.denoise",
        "extensions.in",
    }


def test_an_assigned_part_brings_its_own_explicit_fields():
    request = parse_config(GenerationRequest, {"sampling": {"seed": 1}})
    request.sampling = SamplingConfig(fps=30)
    assert get_explicit_paths(request) == {"sampling.fps"}


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_tracking_survives_copies(copied):
    request = GenerationRequest(prompt="a", sampling=SamplingConfig(seed=1))
    twin = copied(request)
    twin.sampling.fps = 30
    assert get_explicit_paths(twin) == {"prompt", "sampling.seed", "sampling.fps"}
    assert get_explicit_paths(request) == {"prompt", "sampling.seed"}


def test_a_shallow_copy_can_be_given_a_memory_of_its_own():
    request = GenerationRequest(prompt="a")
    twin = reset_tracking_roots(copy.copy(request))
    twin.negative_prompt = "b"
    assert get_explicit_paths(request) == {"prompt"}


def test_tracking_does_not_take_part_in_equality():
    assert GenerationRequest() == GenerationRequest(prompt=None)


def test_a_request_built_around_its_constructor_is_refused():
    bare = GenerationRequest.__new__(GenerationRequest)
    bare.__dict__.update({k: v for k, v in GenerationRequest().__dict__.items() if not k.startswith("_")})
    with pytest.raises(ValueError, match="constructor"):
        get_explicit_paths(bare)
