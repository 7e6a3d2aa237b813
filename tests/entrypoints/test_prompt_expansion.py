from pathlib import Path

import pytest

from fastvideo.api.request_metadata import get_explicit_paths
from fastvideo.api.schema import GenerationRequest, InputConfig, SamplingConfig
from fastvideo.entrypoints.prompt_expansion import expand_prompts


def test_a_single_prompt_is_not_expanded() -> None:
    assert expand_prompts(GenerationRequest(prompt="one")) is None


def test_a_list_gives_a_request_per_prompt_with_the_rest_unchanged() -> None:
    request = GenerationRequest(prompt=["one", "two"], sampling=SamplingConfig(seed=3))
    singles = expand_prompts(request)
    assert singles is not None
    assert [single.prompt for single in singles] == ["one", "two"]
    assert all(single.sampling.seed == 3 for single in singles)
    assert get_explicit_paths(singles[0]) == {"prompt", "sampling.seed", "inputs.prompt_path"}
    assert request.prompt == ["one", "two"]
    assert request.inputs.prompt_path is None


def test_images_go_along_by_index_and_one_image_goes_to_all() -> None:
    paired = expand_prompts(GenerationRequest(prompt=["a", "b"], inputs=InputConfig(image_path=["1.png", "2.png"])))
    shared = expand_prompts(GenerationRequest(prompt=["a", "b"], inputs=InputConfig(image_path="1.png")))
    assert paired is not None
    assert shared is not None
    assert [single.inputs.image_path for single in paired] == ["1.png", "2.png"]
    assert [single.inputs.image_path for single in shared] == ["1.png", "1.png"]


def test_a_file_gives_a_request_per_line_that_is_not_blank(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("first\n\n   \n  second  \n", encoding="utf-8")
    singles = expand_prompts(GenerationRequest(inputs=InputConfig(prompt_path=str(file))))
    assert singles is not None
    assert [single.prompt for single in singles] == ["first", "second"]
    assert all(single.inputs.prompt_path is None for single in singles)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (GenerationRequest(), "expected a prompt"),
        (GenerationRequest(prompt=[]), "empty list"),
        (GenerationRequest(prompt=["a"], inputs=InputConfig(prompt_path="p.txt")), "not both"),
        (GenerationRequest(prompt=["a", "b"], inputs=InputConfig(image_path=["1.png"])), "expected 2, one per prompt"),
        (GenerationRequest(inputs=InputConfig(prompt_path="prompts.csv")), r"\.txt"),
    ],
)
def test_prompts_that_do_not_fit_together_are_value_errors(request_: GenerationRequest, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expand_prompts(request_)


def test_a_missing_file_and_an_empty_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        expand_prompts(GenerationRequest(inputs=InputConfig(prompt_path=str(tmp_path / "none.txt"))))
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(ValueError, match="holds no prompt"):
        expand_prompts(GenerationRequest(inputs=InputConfig(prompt_path=str(tmp_path / "empty.txt"))))
