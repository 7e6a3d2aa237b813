"""What captions say is read from the scene and the caption together."""

from numpy.random import default_rng

from fastvideo.eval.world.scene import Backdrop, Colour, Kind, Motion, Pattern, Place, Scene, Size, Thing
from scripts.train_embedded.text_prompts import PROMPTS
from scripts.train_embedded.text_targets import ATTRIBUTES, Said, SaidThing, classes, said_in, whole_scene
from scripts.train_embedded.world.caption import opening_caption
from scripts.train_embedded.world.change import Change
from scripts.train_embedded.world.story import story

STAR = Thing(Kind.STAR, Colour.RED, Size.LARGE, Motion.SPIN, Place.LEFT)
SCENE = Scene((STAR,), Backdrop(Pattern.STRIPES, Colour.WHITE))


def test_an_opening_caption_says_the_whole_scene() -> None:
    for seed in range(30):
        said = whole_scene(SCENE, opening_caption(SCENE, default_rng(seed)))
        thing = SaidThing(STAR.colour, STAR.kind, STAR.size, STAR.motion, STAR.place)
        assert said == Said(Change.SCENE, (thing,), Colour.WHITE, Pattern.STRIPES)


def test_what_a_caption_leaves_out_is_medium_and_in_the_middle() -> None:
    said = whole_scene(SCENE, "a red star spins on white stripes")
    assert (said.things[0].size, said.things[0].place) == (Size.MEDIUM, Place.MIDDLE)


def test_openings_say_sizes_and_places_of_all_things_as_they_are() -> None:
    for index in range(200):
        (shot,) = story(3, index, num_segments=1)
        (said,) = said_in([shot])
        scene = shot.segment.scene
        assert [(t.kind, t.size, t.place) for t in said.things] == [(t.kind, t.size, t.place) for t in scene.things]


def test_a_change_says_what_becomes_new_and_what_the_thing_is_called_by() -> None:
    seen = set()
    for index in range(300):
        shots = story(4, index, num_segments=2)
        said, shot = said_in(shots)[1], shots[1]
        if said.topic in (Change.SCENE, Change.NONE):
            continue
        seen.add(said.topic)
        assert said.topic is shot.change
        if said.topic is Change.BACKDROP:
            backdrop = shot.segment.scene.backdrop
            assert (said.backdrop_colour, said.backdrop_pattern) == (backdrop.colour, backdrop.pattern)
            continue
        assert shot.changed is not None
        (named,), thing = said.things, shot.segment.scene.things[shot.changed]
        assert getattr(named, said.topic.value) is getattr(thing, said.topic.value)
        if len(shot.segment.scene.things) == 2:
            assert named.colour is not None or named.kind is not None
    assert seen == {Change.COLOUR, Change.MOTION, Change.KIND, Change.BACKDROP}


def test_a_repeated_caption_says_the_same_again() -> None:
    repeated = 0
    for index in range(60):
        shots = story(5, index, num_segments=4)
        said = said_in(shots)
        for before, after in zip(range(3), range(1, 4), strict=True):
            if shots[before].caption == shots[after].caption:
                repeated += 1
                assert said[before] == said[after]
    assert repeated > 10


def test_classes_are_one_number_an_attribute_within_its_range() -> None:
    for _, said in PROMPTS:
        numbers = classes(said)
        assert len(numbers) == len(ATTRIBUTES)
        assert all(0 <= number < size for number, size in zip(numbers, ATTRIBUTES.values(), strict=True))


def test_what_is_not_said_is_class_0() -> None:
    numbers = dict(zip(ATTRIBUTES, classes(Said(Change.MOTION, (SaidThing(motion=Motion.UP),))), strict=True))
    assert numbers.pop("topic") == list(Change).index(Change.MOTION)
    assert numbers.pop("things") == 1
    assert numbers.pop("motion_1") == 1 + list(Motion).index(Motion.UP)
    assert set(numbers.values()) == {0}
