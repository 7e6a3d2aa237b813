"""Stories are seeded, stay in their split, and show what they say."""

from itertools import islice, pairwise

import numpy as np
import pytest

from fastvideo.eval.world.scene import Colour, Kind, Motion, Pattern, Size
from scripts.train_embedded.world.change import Change
from scripts.train_embedded.world.held_out import Split, is_held_out
from scripts.train_embedded.world.render import render
from scripts.train_embedded.world.story import FIRST_SEGMENT_FRAMES, Shot, continuation, stories, story

MANY = 300


@pytest.fixture(scope="module")
def shots() -> list[Shot]:
    return [shot for number in range(MANY) for shot in story(5, number)]


def test_a_seed_gives_the_same_stories_again_and_another_seed_others() -> None:
    assert list(islice(stories(1), 5)) == list(islice(stories(1), 5)) == [story(1, number) for number in range(5)]
    assert story(1, 0) != story(2, 0)


def test_training_never_shows_a_held_out_combination(shots: list[Shot]) -> None:
    for shot in shots:
        for thing in shot.segment.scene.things:
            assert not is_held_out(thing.colour, thing.kind, thing.motion)


def test_held_out_stories_begin_with_held_out_combinations_only() -> None:
    for number in range(50):
        for thing in story(5, number, split=Split.HELD_OUT)[0].segment.scene.things:
            assert is_held_out(thing.colour, thing.kind, thing.motion)


def test_every_attribute_and_change_turns_up(shots: list[Shot]) -> None:
    things = [thing for shot in shots for thing in shot.segment.scene.things]
    for every, seen in (
        (Colour, {thing.colour for thing in things}),
        (Kind, {thing.kind for thing in things}),
        (Motion, {thing.motion for thing in things}),
        (Size, {thing.size for thing in things}),
        (Pattern, {shot.segment.scene.backdrop.pattern for shot in shots}),
        (Colour, {shot.segment.scene.backdrop.colour for shot in shots}),
        (Change, {shot.change for shot in shots} - {None}),
    ):
        assert seen == set(every)
    assert {len(shot.segment.scene.things) for shot in shots} == {1, 2}


def test_every_thing_stands_out_from_its_backdrop_and_from_the_other_one(shots: list[Shot]) -> None:
    for shot in shots:
        scene = shot.segment.scene
        assert all(scene.backdrop.contrasts_with(thing.colour) for thing in scene.things)
        assert len({thing.colour for thing in scene.things}) == len({t.kind for t in scene.things}) == len(scene.things)


def test_a_directed_thing_moves_far_in_its_direction_within_its_first_segment(shots: list[Shot]) -> None:
    seen = 0
    for shot in shots:
        if shot.change not in (None, Change.SCENE):
            continue
        for thing, track in zip(shot.segment.scene.things, shot.segment.tracks(), strict=True):
            step_x, step_y = thing.motion.direction
            if step_x or step_y:
                seen += 1
                steps = np.diff(track.x) * step_x + np.diff(track.y) * step_y
                assert (steps > 0).all()
                assert steps.sum() > 0.35
            if thing.motion is Motion.GROW:
                assert track.radius[-1] > 1.45 * track.radius[0]
    assert seen > 100


def test_two_things_never_overlap(shots: list[Shot]) -> None:
    pairs = [shot.segment for shot in shots if len(shot.segment.scene.things) == 2]
    assert pairs
    for segment in pairs:
        one, other = segment.tracks()
        assert (np.hypot(one.x - other.x, one.y - other.y) >= 0.99 * (one.radius + other.radius)).all()


def test_segments_follow_each_other_without_a_jump_of_place_or_picture() -> None:
    for number in range(30):
        shots = story(9, number)
        assert [shot.segment.num_frames for shot in shots] == [FIRST_SEGMENT_FRAMES, 48, 48]
        for before, after in pairwise(shots):
            assert after.segment.start_frame == before.segment.end_frame
            old, new = render(before.segment, 64).astype(int), render(after.segment, 64, 0, 1).astype(int)
            inside = np.abs(np.diff(old, axis=0)).mean(axis=(1, 2, 3))
            assert np.abs(new[0] - old[-1]).mean() < inside.max() + 2


def test_a_change_changes_one_attribute(shots: list[Shot]) -> None:
    attributes = {Change.COLOUR: "colour", Change.KIND: "kind", Change.MOTION: "motion"}
    for before, after in pairwise(shots):
        if after.change not in attributes:
            continue
        assert after.changed is not None
        old, new = before.segment.scene, after.segment.scene
        assert old.backdrop == new.backdrop
        for index, (was, now) in enumerate(zip(old.things, new.things, strict=True)):
            changed = {
                name for name in ("colour", "kind", "motion", "size") if getattr(was, name) != getattr(now, name)
            }
            assert changed == ({attributes[after.change]} if index == after.changed else set())


@pytest.mark.parametrize("change", Change)
def test_a_wanted_change_can_be_asked_for(change: Change) -> None:
    shot = story(3, 1, num_segments=1)[0]
    after = continuation(shot, change, 112, np.random.default_rng(0))
    assert after.change is change
    assert (after.segment.scene == shot.segment.scene) is (change is Change.NONE)
