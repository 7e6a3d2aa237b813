"""Shapes are drawn where they are, in their colours, with soft edges."""

import numpy as np
import pytest

from fastvideo.eval.world.scene import Backdrop, Colour, Kind, Motion, Pattern, Scene, Size, Thing
from fastvideo.eval.world.shapes import distance
from scripts.train_embedded.world.motion import Arena, Pose, Trajectory
from scripts.train_embedded.world.render import backdrop_pixels, render
from scripts.train_embedded.world.segment import Segment, first_segment


def still(kind: Kind, *, x: float = 0.5, y: float = 0.5, radius: float = 0.25, turns: float = 0.0) -> Segment:
    scene = Scene((Thing(kind, Colour.WHITE, Size.LARGE, Motion.STILL),), Backdrop(Pattern.PLAIN, Colour.BLACK))
    return first_segment(scene, 30, [Trajectory(Motion.STILL, 0, Pose(x, y, radius, turns), Arena(), 0.0)])


# Areas over the squared outer radius, from elementary geometry.
AREAS = {
    Kind.BALL: np.pi,
    Kind.SQUARE: 2.0,
    Kind.TRIANGLE: 1.5 * np.sin(2 * np.pi / 3),
    Kind.STAR: 5 * 0.5 * np.sin(np.pi / 5),
    Kind.RING: np.pi * (1 - 0.55**2),
}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("turns", [0.0, 0.07])
def test_a_shape_covers_its_area_with_its_middle_at_its_place(kind: Kind, turns: float) -> None:
    frame = render(still(kind, x=0.43, y=0.61, turns=turns), 256, 3, 1)[0].astype(float)
    cover = (frame[..., 0] - 22) / (244 - 22)
    assert cover.sum() / (0.25 * 256) ** 2 == pytest.approx(AREAS[kind], rel=0.01)
    places = (np.arange(256) + 0.5) / 256
    assert (cover.sum(axis=0) * places).sum() / cover.sum() == pytest.approx(0.43, abs=0.001)
    assert (cover.sum(axis=1) * places).sum() / cover.sum() == pytest.approx(0.61, abs=0.001)


@pytest.mark.parametrize("kind", Kind)
def test_no_part_of_a_shape_lies_outside_its_radius_and_some_part_reaches_it(kind: Kind) -> None:
    line = np.linspace(-1.2, 1.2, 481, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    inside = distance(kind, x, y, 1.0) < 0
    reach = np.hypot(x, y)[inside].max()
    assert 0.97 < reach <= 1.0


def test_edges_are_soft_and_follow_the_place_below_a_pixel() -> None:
    frames = [render(still(Kind.SQUARE, x=0.5 + shift / 64), 64, 0, 1)[0].astype(float) for shift in (0.0, 0.25)]
    row = [frame[32, :, 0] for frame in frames]
    assert row[1].sum() == pytest.approx(row[0].sum(), abs=2)
    assert ((row[1] > 40) & (row[1] < 230)).any()


def test_a_part_of_a_segment_is_drawn_as_in_the_whole() -> None:
    segment = still(Kind.STAR)
    np.testing.assert_array_equal(render(segment, 32, 5, 4), render(segment, 32)[5:9])


@pytest.mark.parametrize("pattern", Pattern)
def test_a_backdrop_shows_its_colour_and_all_but_plain_ones_its_shade(pattern: Pattern) -> None:
    pixels = backdrop_pixels(Backdrop(pattern, Colour.GREEN), 64).reshape(-1, 3)
    tones = {tuple(pixel) for pixel in pixels.astype(int)}
    assert Colour.GREEN.rgb in tones
    assert (Colour.GREEN.shade in tones) is (pattern is not Pattern.PLAIN)


def test_a_size_that_cuts_texture_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8 px, got 60"):
        render(still(Kind.BALL), 60)
