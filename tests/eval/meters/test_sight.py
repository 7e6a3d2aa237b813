"""Colours are named in all their tones, and things are found in front of every backdrop."""

import numpy as np
import pytest

from fastvideo.eval.meters.colour_names import COLOURS, cells, names
from fastvideo.eval.meters.sight import look
from fastvideo.eval.world.scene import Backdrop, Colour, Kind, Motion, Pattern, Scene, Size, Thing
from scripts.train_embedded.world.motion import Arena, Pose, Trajectory
from scripts.train_embedded.world.render import backdrop_pixels, render
from scripts.train_embedded.world.segment import first_segment


@pytest.mark.parametrize("colour", Colour)
def test_a_colour_keeps_its_name_in_both_tones_and_with_noise(colour: Colour) -> None:
    rng = np.random.default_rng(0)
    for tone in (colour.rgb, colour.shade):
        noisy = np.clip(np.array(tone) + rng.normal(0, 5, (400, 3)), 0, 255).astype(np.uint8)
        named = names()[cells(noisy)]
        assert (named == COLOURS.index(colour)).mean() > 0.97


@pytest.mark.parametrize("pattern", Pattern)
@pytest.mark.parametrize("colour", [Colour.WHITE, Colour.BLACK, Colour.PURPLE])
def test_an_empty_backdrop_holds_nothing(pattern: Pattern, colour: Colour) -> None:
    frames = np.rint(backdrop_pixels(Backdrop(pattern, colour), 64)).astype(np.uint8)[None].repeat(3, axis=0)
    sight = look(frames)
    assert sight.backdrop is colour
    assert sight.things == ()


@pytest.mark.parametrize("pattern", Pattern)
def test_two_things_are_told_apart_and_placed(pattern: Pattern) -> None:
    things = (
        Thing(Kind.SQUARE, Colour.RED, Size.MEDIUM, Motion.STILL),
        Thing(Kind.BALL, Colour.YELLOW, Size.SMALL, Motion.STILL),
    )
    poses = (Pose(0.25, 0.3, 0.155), Pose(0.7, 0.7, 0.11))
    trajectories = [Trajectory(Motion.STILL, 0, pose, Arena(), 0.0) for pose in poses]
    segment = first_segment(Scene(things, Backdrop(pattern, Colour.BLUE)), 30, trajectories)
    sight = look(render(segment, 128, 0, 2))
    assert sight.backdrop is Colour.BLUE
    assert [seen.colour for seen in sight.things] == [Colour.RED, Colour.YELLOW]
    for seen, pose in zip(sight.things, poses, strict=True):
        down, right = np.nonzero(seen.mask[0])
        assert (right.mean() + 0.5) / 128 == pytest.approx(pose.x, abs=0.005)
        assert (down.mean() + 0.5) / 128 == pytest.approx(pose.y, abs=0.005)
