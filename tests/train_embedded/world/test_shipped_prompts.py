"""The prompts that the page offers are in the words of the world that the model in the package knows."""

import re

import pytest

from fastvideo.api import load_session_presets
from fastvideo.resources import example_prompts
from scripts.train_embedded.world.story import story

STORIES = 1500


@pytest.fixture(scope="module")
def vocabulary() -> set[str]:
    """Every word that captions have."""
    shots = (shot for index in range(STORIES) for shot in story(0, index))
    return {word for shot in shots for word in words(shot.caption)}


def words(prompt: str) -> list[str]:
    return re.findall(r"[a-z]+", prompt.lower())


def test_examples_and_presets_use_words_of_captions(vocabulary: set[str]) -> None:
    offered = example_prompts() + [prompt for preset in load_session_presets().values() for prompt in preset.prompts]
    unknown = {word: prompt for prompt in offered for word in words(prompt) if word not in vocabulary}
    assert unknown == {}
