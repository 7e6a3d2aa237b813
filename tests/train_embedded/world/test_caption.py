"""A caption mentions exactly its scene's attributes, read back here by an independent word list."""

import re

import numpy as np
import pytest

from fastvideo.eval.world.scene import Backdrop, Colour, Kind, Motion, Pattern, Place, Scene, Size, Thing
from scripts.train_embedded.world.caption import continuation_caption, opening_caption
from scripts.train_embedded.world.change import Change
from scripts.train_embedded.world.story import story

# Phrases and what they mean; longer ones are read first, so that "in a circle" is no ball.
MEANINGS: dict[str, object] = {
    **dict.fromkeys(("red", "crimson", "scarlet"), Colour.RED),
    **dict.fromkeys(("orange", "tangerine"), Colour.ORANGE),
    **dict.fromkeys(("yellow", "golden"), Colour.YELLOW),
    **dict.fromkeys(("green", "emerald"), Colour.GREEN),
    **dict.fromkeys(("cyan", "turquoise", "aqua"), Colour.CYAN),
    **dict.fromkeys(("blue", "royal blue"), Colour.BLUE),
    **dict.fromkeys(("purple", "violet"), Colour.PURPLE),
    **dict.fromkeys(("pink", "rose"), Colour.PINK),
    **dict.fromkeys(("white", "snow-white"), Colour.WHITE),
    **dict.fromkeys(("black", "jet-black"), Colour.BLACK),
    **dict.fromkeys(("ball", "circle", "disc", "sphere"), Kind.BALL),
    **dict.fromkeys(("square", "box", "block"), Kind.SQUARE),
    **dict.fromkeys(("triangle", "pyramid"), Kind.TRIANGLE),
    **dict.fromkeys(("star",), Kind.STAR),
    **dict.fromkeys(("ring", "hoop", "donut"), Kind.RING),
    **dict.fromkeys(("small", "little", "tiny"), Size.SMALL),
    **dict.fromkeys(("medium", "medium-sized"), Size.MEDIUM),
    **dict.fromkeys(("large", "big", "huge"), Size.LARGE),
    **dict.fromkeys(("on the left side", "at the left side", "on the left-hand side"), Place.LEFT),
    **dict.fromkeys(("on the right side", "at the right side", "on the right-hand side"), Place.RIGHT),
    **dict.fromkeys(("at the top", "near the top", "along the top"), Place.TOP),
    **dict.fromkeys(("at the bottom", "near the bottom", "along the bottom"), Place.BOTTOM),
    **dict.fromkeys(("left", "to the left", "leftwards", "from right to left"), Motion.LEFT),
    **dict.fromkeys(("right", "to the right", "rightwards", "from left to right"), Motion.RIGHT),
    **dict.fromkeys(("up", "upwards", "rise", "rises", "rising", "climb", "climbs", "climbing"), Motion.UP),
    **dict.fromkeys(
        ("down", "downwards", "sink", "sinks", "sinking", "descend", "descends", "descending"), Motion.DOWN
    ),
    **dict.fromkeys(("fall slowly", "falls slowly", "falling slowly"), Motion.DOWN),
    **{
        f"{word}{tail}": Motion.BOUNCE
        for word in ("bounce", "bounces", "bouncing", "hop", "hops", "hopping", "jump", "jumps", "jumping")
        for tail in ("", " up and down")
    },
    **dict.fromkeys(("in a circle", "in circles", "round and round", "orbit", "orbits", "orbiting"), Motion.CIRCLE),
    **dict.fromkeys(("circle around", "circles around", "circling around"), Motion.CIRCLE),
    **dict.fromkeys(("grow", "grows", "growing", "expand", "expands", "expanding", "bigger", "larger"), Motion.GROW),
    **dict.fromkeys(("spin", "spins", "spinning", "rotate", "rotates", "rotating", "on the spot"), Motion.SPIN),
    **dict.fromkeys(("whirl", "whirls", "whirling"), Motion.SPIN),
    **dict.fromkeys(("still", "in place", "rest", "rests", "resting"), Motion.STILL),
    **dict.fromkeys(("gradient", "shaded"), Pattern.GRADIENT),
    **dict.fromkeys(("stripes", "striped"), Pattern.STRIPES),
    **dict.fromkeys(("chequered", "checkered", "checkerboard", "checks"), Pattern.CHECKS),
}
PHRASES = re.compile(r"\b(" + "|".join(sorted(map(re.escape, MEANINGS), key=len, reverse=True)) + r")\b")


def mentioned(caption: str) -> list[object]:
    return sorted((MEANINGS[found] for found in PHRASES.findall(caption.lower())), key=repr)


def attributes(scene: Scene) -> list[object]:
    names: list[object] = [name for thing in scene.things for name in (thing.colour, thing.kind, thing.motion)]
    names.append(scene.backdrop.colour)
    if scene.backdrop.pattern is not Pattern.PLAIN:
        names.append(scene.backdrop.pattern)
    return sorted(names, key=repr)


def without_sizes_and_places(names: list[object]) -> list[object]:
    return [name for name in names if not isinstance(name, Size | Place)]


def test_an_opening_caption_mentions_all_that_its_scene_shows_and_nothing_else() -> None:
    for number in range(600):
        shot = story(11, number, num_segments=1)[0]
        scene, names = shot.segment.scene, mentioned(shot.caption)
        assert without_sizes_and_places(names) == attributes(scene), shot.caption
        said = [name for name in names if isinstance(name, Size) and name is not Size.MEDIUM]
        assert sorted(said) == sorted(
            thing.size for thing in scene.things if thing.size is not Size.MEDIUM and thing.motion is not Motion.GROW
        ), shot.caption
        places = [name for name in names if isinstance(name, Place)]
        assert places == [thing.place for thing in scene.things if thing.place is not Place.MIDDLE], shot.caption


def test_a_change_is_named_alone_or_with_the_whole_new_scene() -> None:
    seen = dict.fromkeys(("alone", "whole"), 0)
    for number in range(400):
        for shot in story(12, number)[1:]:
            scene = shot.segment.scene
            if shot.change in (Change.NONE, Change.SCENE):
                continue
            names = mentioned(shot.caption)
            whole = names == attributes(scene)
            seen["whole" if whole else "alone"] += 1
            if whole:
                continue
            if shot.change is Change.BACKDROP:
                assert set(names) <= {scene.backdrop.colour, scene.backdrop.pattern}, shot.caption
                assert scene.backdrop.colour in names
                continue
            assert shot.changed is not None
            thing = scene.things[shot.changed]
            new = {Change.COLOUR: thing.colour, Change.KIND: thing.kind, Change.MOTION: thing.motion}[shot.change]
            reference = {Change.COLOUR: {thing.kind}, Change.MOTION: {thing.kind}, Change.KIND: {thing.colour}}
            assert new in names, shot.caption
            assert set(names) - {new} <= reference[shot.change], shot.caption
            if len(scene.things) == 2:
                assert set(names) == {new} | reference[shot.change], shot.caption
    assert min(seen.values()) > 50


def test_an_unchanged_scene_has_the_same_words_or_words_without_any_attribute() -> None:
    captions = [
        (before.caption, after.caption)
        for number in range(200)
        for before, after in zip(story(13, number), story(13, number)[1:], strict=False)
        if after.change is Change.NONE
    ]
    same = sum(before == after for before, after in captions)
    assert 0.3 < same / len(captions) < 0.75
    for before, after in captions:
        assert before == after or not mentioned(after)


def test_one_scene_has_hundreds_of_wordings() -> None:
    scene = Scene((Thing(Kind.BALL, Colour.RED, Size.SMALL, Motion.LEFT),), Backdrop(Pattern.PLAIN, Colour.BLUE))
    rng = np.random.default_rng(0)
    wordings = {opening_caption(scene, rng) for _ in range(1000)}
    assert len(wordings) > 700
    assert any(text.endswith(".") for text in wordings)
    assert any(text[0].islower() for text in wordings)


def test_articles_agree_with_the_next_word() -> None:
    for number in range(500):
        for shot in story(14, number):
            assert not re.search(r"\ba [aeio]|\ban [^aeio]", shot.caption.lower()), shot.caption


def test_a_change_of_a_thing_needs_to_know_which() -> None:
    scene = Scene((Thing(Kind.BALL, Colour.RED, Size.SMALL, Motion.LEFT),), Backdrop(Pattern.PLAIN, Colour.BLUE))
    with pytest.raises(ValueError, match="expected its index"):
        for _ in range(20):
            continuation_caption(scene, Change.COLOUR, None, "", np.random.default_rng(1))
