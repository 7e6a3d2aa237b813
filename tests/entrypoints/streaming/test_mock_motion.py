"""The shape moves as the prompt says, and never jumps at a join."""

from __future__ import annotations

import numpy as np
import pytest

from fastvideo.entrypoints.streaming.mock_motion import Path, trace_path
from fastvideo.entrypoints.streaming.mock_scene import read_prompt


def path(prompt: str, start_s: float = 0.0, frames: int = 96) -> Path:
    return trace_path(read_prompt(prompt, 1), start_s=start_s, frames=frames, fps=24, before=None)


@pytest.mark.parametrize(
    ("prompt", "axis", "sign"), [("left", "x", -1), ("right", "x", 1), ("up", "y", -1), ("down", "y", 1)]
)
def test_a_direction_word_moves_that_way_except_where_it_wraps(prompt: str, axis: str, sign: int) -> None:
    steps = np.diff(getattr(path(prompt), axis)) * sign
    assert (steps > 0).sum() == len(steps) - 1
    assert steps.min() == pytest.approx(-1.5, abs=0.05)


def test_bounce_touches_the_ground_on_each_full_second() -> None:
    height = path("bounce", start_s=3.0).y
    assert height[::24] == pytest.approx(0.70)
    assert height.max() == pytest.approx(0.70)
    assert height.min() < 0.25


def test_circle_goes_round() -> None:
    circle = path("circle")
    radius = np.hypot((circle.x - 0.5) / 0.28, (circle.y - 0.47) / 0.26)
    assert np.allclose(radius, 1)


def test_only_spin_turns_the_shape_round() -> None:
    assert np.ptp(path("spin").turn) > 1.5
    assert np.ptp(path("left").turn) < 0.1


def test_words_combine() -> None:
    both = path("bouncing to the right")
    assert np.ptp(both.x) > 1
    assert both.y.max() == pytest.approx(0.70, abs=0.01)


@pytest.mark.parametrize("before", ["left", "bounce", "circle", "spin", "nothing known"])
@pytest.mark.parametrize("after", ["right", "down", "circle", "spin fast", "something else"])
def test_a_join_is_no_jump(before: str, after: str) -> None:
    first = path(before, frames=121)
    second = trace_path(read_prompt(after, 2), start_s=121 / 24, frames=48, fps=24, before=first.last())
    assert abs(second.x[0] - first.x[-1]) < 0.08
    assert abs(second.y[0] - first.y[-1]) < 0.08
    turn = (second.turn[0] - first.turn[-1] + 0.5) % 1 - 0.5
    assert abs(turn) < 0.15


def test_after_the_join_the_path_is_its_own() -> None:
    alone = trace_path(read_prompt("circle", 2), start_s=5, frames=48, fps=24, before=None)
    joined = trace_path(read_prompt("circle", 2), start_s=5, frames=48, fps=24, before=path("left").last())
    assert np.allclose(joined.x[20:], alone.x[20:])
    assert not np.allclose(joined.x[:10], alone.x[:10])
