"""What a prompt names is looked for in the picture, and nothing else is."""

import numpy as np
import pytest

from fastvideo.api.errors import EvaluationError
from fastvideo.eval.metrics import prompt_adherence
from scripts.train_embedded.world.held_out import Split
from scripts.train_embedded.world.render import render
from scripts.train_embedded.world.sound import sound_of
from scripts.train_embedded.world.story import story


def told(number):
    """A first shot with its frames and its sound at 24 kHz."""
    shot = story(7, number, num_segments=1, split=Split.HELD_OUT)[0]
    return shot, render(shot.segment, 96), sound_of(shot.segment, 24000)


def test_the_world_s_own_pictures_follow_their_captions_and_not_those_of_others(sample):
    stories = [told(number) for number in range(8)]
    for number, (shot, frames, sound) in enumerate(stories):
        score = prompt_adherence.measure(sample(frames, samples=sound, rate_hz=24000, prompt=shot.caption))
        assert score.value == 1, (shot.caption, score.details)
        other, _, other_sound = stories[number - 1]
        mixed = prompt_adherence.measure(sample(frames, samples=other_sound, rate_hz=24000, prompt=other.caption))
        assert mixed.value < 0.8, (shot.caption, other.caption, mixed.details)


def test_each_wrong_word_costs_its_share(sample):
    # The first of them that is one thing that does not spin on the spot of a round one.
    shot, frames, _ = next(one for number in range(20) if len((one := told(number))[0].segment.scene.things) == 1)
    scene = shot.segment.scene
    thing = scene.things[0]
    wrong = {"red": "blue"}.get(thing.colour, "red")
    if wrong == scene.backdrop.colour:
        wrong = "green"
    right = prompt_adherence.measure(sample(frames, prompt=f"a {thing.colour} {thing.kind} on {scene.backdrop.colour}"))
    assert right.value == 1
    assert right.details["motion"] is None
    assert right.details["pitch"] is None
    off = prompt_adherence.measure(sample(frames, prompt=f"a {wrong} {thing.kind} on {scene.backdrop.colour}"))
    assert off.value == pytest.approx(2 / 3)
    assert off.details["colour"] is False
    assert off.details["kind"] is True


def test_a_note_of_another_height_is_heard(sample):
    shot, frames, sound = told(0)
    asked = {"rate_hz": 24000, "prompt": shot.caption}
    assert prompt_adherence.measure(sample(frames, samples=sound, **asked)).details["pitch"] is True
    time_s = np.arange(sound.shape[1]) / 24000
    tuneless = np.tile(0.2 * np.sin(2 * np.pi * 523 * time_s), (2, 1))
    assert prompt_adherence.measure(sample(frames, samples=tuneless, **asked)).details["pitch"] is False
    assert prompt_adherence.measure(sample(frames, samples=0 * sound, **asked)).details["pitch"] is False


def test_prompts_of_other_worlds_and_small_pictures_are_refused(texture, sample):
    with pytest.raises(EvaluationError, match="names nothing of the embedded model's world"):
        prompt_adherence.measure(sample(texture(4, 32, 32), prompt="a dog runs along the beach"))
    with pytest.raises(EvaluationError, match="at least 32 px"):
        prompt_adherence.measure(sample(texture(4, 16, 32), prompt="a red ball"))
