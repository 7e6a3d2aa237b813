"""Prompts in the world's words are read as they are meant."""

import pytest

from fastvideo.api import load_session_presets
from fastvideo.eval.world.asked import Asked, AskedThing, asked_by
from fastvideo.eval.world.prompt import read_prompt
from fastvideo.eval.world.scene import Colour, Kind, Motion
from fastvideo.resources import example_prompts
from scripts.train_embedded.world.change import Change
from scripts.train_embedded.world.story import story


def test_a_caption_of_a_scene_asks_for_all_that_the_scene_shows() -> None:
    for number in range(500):
        shot = story(11, number, num_segments=1)[0]
        assert read_prompt(shot.caption) == asked_by(shot.segment.scene), shot.caption


def test_a_caption_of_a_change_asks_for_nothing_that_the_new_scene_does_not_show() -> None:
    for number in range(200):
        for shot in story(12, number)[1:]:
            if shot.change is Change.NONE:
                continue
            asked, scene = read_prompt(shot.caption), asked_by(shot.segment.scene)
            assert asked.backdrop in (None, scene.backdrop), shot.caption
            for thing in asked.things:
                assert any(
                    thing.colour in (None, one.colour)
                    and thing.kind in (None, one.kind)
                    and thing.motion in (None, one.motion)
                    for one in scene.things
                ), shot.caption


RED_BALL = AskedThing(Colour.RED, Kind.BALL)


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        (
            "a red ball bounces on a blue background",
            Asked((AskedThing(Colour.RED, Kind.BALL, Motion.BOUNCE),), Colour.BLUE),
        ),
        ("a red bouncing ball on blue", Asked((AskedThing(Colour.RED, Kind.BALL, Motion.BOUNCE),), Colour.BLUE)),
        (
            "a pink ring and a white star spin on black",
            Asked(
                (AskedThing(Colour.PINK, Kind.RING, Motion.SPIN), AskedThing(Colour.WHITE, Kind.STAR, Motion.SPIN)),
                Colour.BLACK,
            ),
        ),
        (
            "A bouncing red ball and a spinning blue star",
            Asked((AskedThing(Colour.RED, Kind.BALL, Motion.BOUNCE), AskedThing(Colour.BLUE, Kind.STAR, Motion.SPIN))),
        ),
        ("A RED BALL!", Asked((RED_BALL,))),
        ("now it turns green", Asked((AskedThing(colour=Colour.GREEN),))),
        ("the ball turns into a star", Asked((AskedThing(kind=Kind.STAR),))),
        ("the red one becomes a hoop", Asked((AskedThing(Colour.RED, Kind.RING),))),
        ("it moves round and round", Asked((AskedThing(motion=Motion.CIRCLE),))),
        ("the background changes to yellow", Asked(backdrop=Colour.YELLOW)),
        ("a circle circles around", Asked((AskedThing(kind=Kind.BALL, motion=Motion.CIRCLE),))),
    ],
)
def test_people_s_wordings_are_read(prompt: str, asked: Asked) -> None:
    assert read_prompt(prompt) == asked


def test_shipped_prompts_name_something_of_the_world() -> None:
    offered = example_prompts() + [prompt for preset in load_session_presets().values() for prompt in preset.prompts]
    unread = []
    for prompt in offered:
        try:
            read_prompt(prompt)
        except ValueError:
            unread.append(prompt)
    # Only those that say that all goes on as it was.
    assert all("keep" in prompt.lower() or "on" in prompt.lower().split() for prompt in unread), unread


def test_a_prompt_of_another_world_is_refused() -> None:
    with pytest.raises(ValueError, match="names nothing of the embedded model's world"):
        read_prompt("a dog runs along the beach")
    with pytest.raises(ValueError, match="at most two things"):
        read_prompt("a red ball, a blue star and a green ring")
