"""Motions are closed forms that stay inside their arena."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastvideo.eval.world.scene import Motion
from scripts.train_embedded.world.motion import EDGE_GAP, Arena, Pose, Trajectory

DIRECTED = (Motion.LEFT, Motion.RIGHT, Motion.UP, Motion.DOWN)
RATES = dict.fromkeys(Motion, 0.1) | {Motion.GROW: 0.025, Motion.SPIN: 0.4, Motion.CIRCLE: 0.25}


def moving(motion: Motion, x: float = 0.5, y: float = 0.5, radius: float = 0.15) -> Trajectory:
    return Trajectory(motion, 0, Pose(x, y, radius), Arena(), RATES[motion])


@pytest.mark.parametrize("motion", DIRECTED)
def test_a_directed_thing_moves_its_way_at_its_rate_until_it_turns_at_the_edge(motion: Motion) -> None:
    track = moving(motion).at(np.array([0.0, 1.0, 3.3, 6.6]))
    step_x, step_y = motion.direction
    along = (track.x - 0.5) * step_x + (track.y - 0.5) * step_y
    # 0.33 to go, then back to the middle and no further than the other edge.
    assert along == pytest.approx([0.0, 0.1, 0.33, 0.0])


@given(
    motion=st.sampled_from(Motion),
    x=st.floats(0.3, 0.7),
    y=st.floats(0.3, 0.7),
    radius=st.floats(0.1, 0.25),
    start_s=st.floats(0, 1000),
)
@example(motion=Motion.CIRCLE, x=0.3125, y=0.3125, radius=0.25, start_s=0.0)
def test_a_thing_stays_in_the_frame_and_moves_without_jumps_for_ever(
    motion: Motion, x: float, y: float, radius: float, start_s: float
) -> None:
    track = moving(motion, x, y, radius).at(start_s + np.arange(240) / 24)
    for centre in (track.x, track.y):
        assert (centre >= track.radius + EDGE_GAP - 1e-9).all()
        assert (centre <= 1 - track.radius - EDGE_GAP + 1e-9).all()
    assert np.hypot(np.diff(track.x), np.diff(track.y)).max() < 0.09
    assert np.abs(np.diff(track.radius)).max() < 0.002


def test_a_bounce_hits_the_floor_at_its_impacts_and_nowhere_else() -> None:
    trajectory = moving(Motion.BOUNCE, y=0.3)
    impacts = trajectory.impacts(0.0, 5.0)
    assert impacts.size >= 3
    assert trajectory.at(impacts).y == pytest.approx(np.full(impacts.size, 1 - 0.15 - EDGE_GAP))
    heights = trajectory.at(np.arange(0, 5, 0.001)).y
    lows = np.flatnonzero((heights[1:-1] >= heights[:-2]) & (heights[1:-1] > heights[2:])) + 1
    assert lows * 0.001 == pytest.approx(impacts, abs=0.002)


def test_impacts_of_consecutive_spans_are_those_of_the_whole() -> None:
    trajectory = moving(Motion.BOUNCE, y=0.9)
    whole = trajectory.impacts(0.0, 30.0)
    parts = np.concatenate([trajectory.impacts(start, start + 0.25) for start in np.arange(0, 30, 0.25)])
    assert parts == pytest.approx(whole)


def test_a_thing_on_the_floor_is_thrown_up_before_it_falls() -> None:
    track = moving(Motion.BOUNCE, y=1 - 0.15 - EDGE_GAP).at(np.arange(0, 0.4, 0.05))
    assert (np.diff(track.y) < 0).all()
    assert moving(Motion.BOUNCE, y=1 - 0.15 - EDGE_GAP).impacts(0.0, 0.2).size == 0


def test_a_circle_passes_through_its_start_and_settles_to_its_radius() -> None:
    trajectory = moving(Motion.CIRCLE, x=0.2, y=0.25)
    start = trajectory.pose_at(0)
    assert (start.x, start.y) == pytest.approx((0.2, 0.25))
    track = trajectory.at(np.arange(96, 192) / 24)
    centre = track.x.mean(), track.y.mean()
    assert np.hypot(track.x - centre[0], track.y - centre[1]) == pytest.approx(np.full(96, 0.2), abs=0.01)


def test_what_grows_beside_an_edge_is_pushed_away_from_it() -> None:
    track = moving(Motion.GROW, x=0.17, y=0.5).at(np.array([0.0, 4.0]))
    assert track.radius == pytest.approx([0.15, 0.25])
    assert track.x == pytest.approx([0.17, 0.27])
