from dataclasses import replace
from itertools import islice

import numpy as np

from benchmarks.embedded_quality import Options, figures_of, findings, measure_quality
from benchmarks.embedded_stories import Clip, Story, held_out_stories, joined, second_half, told_by_renderer
from scripts.train_embedded.world.change import Change
from scripts.train_embedded.world.held_out import is_held_out


def test_stories_are_held_out_and_go_on_unchanged_or_with_a_new_colour() -> None:
    for index, story in enumerate(held_out_stories(3, 8)):
        assert all(is_held_out(thing.colour, thing.kind, thing.motion) for thing in story.first.segment.scene.things)
        if index % 2 == 0:
            ((one, two),) = story.branches
            assert one.caption == two.caption == story.first.caption
            assert one.change is two.change is Change.NONE
        else:
            assert story.branches[0][0].change is Change.COLOUR
            assert all(len(branch) == 1 for branch in story.branches)


def test_the_same_seed_asks_for_the_same_stories() -> None:
    assert list(held_out_stories(5, 3)) == list(islice(held_out_stories(5, 9), 3))
    assert list(held_out_stories(5, 3)) != list(held_out_stories(6, 3))


def test_the_world_itself_is_found_right() -> None:
    report = measure_quality(Options(prompts=8, rendered=True))
    assert [figure.name for figure in report.figures if figure.met is False] == []
    assert report.details["wrong"] == []
    assert len(report.figures) == 5 + 4 + 4


def test_stories_that_jump_at_their_joins_are_found_out() -> None:
    def tell(story: Story, number: int) -> tuple[Clip, list[list[Clip]]]:
        first, branches = told_by_renderer(story, number)
        # Aside, and upside down: neither the picture nor the wave goes on where it was.
        moved = [
            [replace(clip, frames=np.roll(clip.frames, 12, axis=2), samples=-clip.samples) for clip in clips[:1]]
            + clips[1:]
            for clips in branches
        ]
        return first, moved

    figures = figures_of(findings(held_out_stories(0, 5), tell))
    steps = {figure.name.partition(":")[0]: figure for figure in figures if "joins" in figure.name}
    assert steps.keys() == {"picture", "place", "velocity", "sound"}
    for figure in steps.values():
        assert figure.value is not None
        assert figure.value > 1.5, figure


def test_clips_with_the_pictures_of_another_story_are_found_wrong() -> None:
    stories = list(held_out_stories(0, 12, continued=False))

    def tell(_: Story, number: int) -> tuple[Clip, list[list[Clip]]]:
        return told_by_renderer(stories[number - 1], number)

    found = findings(stories, tell)
    right = sum(each.colour + each.backdrop + each.kind + each.motion for each in found.verdicts)
    assert right <= 0.4 * 4 * len(stories)
    assert {"asked", "seen", "caption"} <= set(found.wrong[0])


def test_pictures_that_show_nothing_leave_their_steps_unmeasured() -> None:
    def tell(story: Story, number: int) -> tuple[Clip, list[list[Clip]]]:
        blank = Clip(np.zeros((48, 64, 64, 3), np.uint8), np.zeros((2, 48 * 1000), np.float32), 24000)
        return blank, [[blank] * len(branch) for branch in story.branches]

    found = findings(held_out_stories(0, 1), tell)
    assert found.steps["place"] == found.steps["velocity"] == []
    assert not found.verdicts[0].colour


def test_clips_are_joined_and_halved_with_their_sound() -> None:
    clips = [Clip(np.full((n, 8, 8, 3), n, np.uint8), np.zeros((2, n * 1000), np.float32), 24000) for n in (57, 48, 48)]
    whole, joins = joined(clips)
    assert joins == [57, 105]
    assert whole.samples.shape[1] == 153_000
    half = second_half(clips[1])
    assert (len(half.frames), half.samples.shape[1]) == (24, 24_000)
