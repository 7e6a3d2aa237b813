"""People's own wordings say what the shot shows, in words that tell it apart."""

from dataclasses import replace

from numpy.random import default_rng

from fastvideo.eval.world.scene import Backdrop, Colour, Kind, Motion, Pattern, Place, Scene, Size, Thing
from scripts.train_embedded.text_targets import SaidThing
from scripts.train_embedded.text_wordings import own_wording, usual_backdrop
from scripts.train_embedded.world.change import Change
from scripts.train_embedded.world.story import Shot, story


def _opening_of(scene: Scene) -> Shot:
    (shot,) = story(0, 0, num_segments=1)
    return replace(shot, segment=replace(shot.segment, scene=scene))


def test_every_shot_has_a_wording_that_says_its_scene_or_its_change() -> None:
    for index in range(200):
        for shot in story(6, index, num_segments=2):
            caption, said = own_wording(shot, default_rng(index))
            assert caption
            assert said.topic is (shot.change or Change.SCENE)
            if said.topic is Change.SCENE:
                scene = shot.segment.scene
                assert [(t.colour, t.kind, t.motion) for t in said.things] == [
                    (t.colour, t.kind, t.motion) for t in scene.things
                ]
                assert (said.backdrop_colour, said.backdrop_pattern) == (scene.backdrop.colour, scene.backdrop.pattern)


def test_a_wording_depends_on_the_shot_and_the_seed_alone() -> None:
    shot = story(7, 0)[1]
    assert own_wording(shot, default_rng(1)) == own_wording(shot, default_rng(1))
    assert len({own_wording(shot, default_rng(seed))[0] for seed in range(20)}) > 5


def test_sizes_and_places_are_left_out_only_where_they_are_the_usual() -> None:
    unusual = Thing(Kind.STAR, Colour.BLUE, Size.SMALL, Motion.STILL, Place.TOP)
    usual = replace(unusual, size=Size.MEDIUM, place=Place.MIDDLE)
    lengths = {}
    for thing in (usual, unusual):
        shot = _opening_of(Scene((thing,), Backdrop(Pattern.PLAIN, Colour.RED)))
        captions = [own_wording(shot, default_rng(seed))[0] for seed in range(100)]
        lengths[thing] = min(len(caption.split()) for caption in captions)
        said = own_wording(shot, default_rng(0))[1]
        assert said.things == (SaidThing(thing.colour, thing.kind, thing.size, thing.motion, thing.place),)
    assert lengths[unusual] >= lengths[usual] + 3


def test_no_backdrop_means_white_or_black_behind_what_is_pale() -> None:
    blue = Thing(Kind.BALL, Colour.BLUE, Size.MEDIUM, Motion.STILL)
    white = replace(blue, colour=Colour.WHITE)
    assert usual_backdrop((blue,)) == Backdrop(Pattern.PLAIN, Colour.WHITE)
    assert usual_backdrop((white,)) == Backdrop(Pattern.PLAIN, Colour.BLACK)
    captions = [own_wording(_opening_of(Scene((blue,), usual_backdrop((blue,)))), default_rng(s))[0] for s in range(50)]
    assert any("white" not in caption and "snow" not in caption for caption in captions)
