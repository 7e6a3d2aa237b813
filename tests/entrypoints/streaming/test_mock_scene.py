"""What the fake generator reads in a prompt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.mock_scene import read_prompt


def test_colour_shape_and_motion_words_are_understood() -> None:
    scene = read_prompt("A golden STAR, spinning slowly to the left over the ocean.", 1)
    assert scene.shape == "star"
    assert scene.shape_rgb == (240, 190, 60)
    assert scene.backdrop_rgb == (30, 110, 180)
    assert scene.motions == {"spin", "left"}
    assert scene.speed == 0.5


def test_words_inside_other_words_mean_nothing() -> None:
    assert read_prompt("the leftover bluebell upset", 1).motions == {"drift"}


def test_the_first_colour_is_the_shapes_and_the_second_the_backdrops() -> None:
    forwards, backwards = read_prompt("red on blue", 1), read_prompt("blue on red", 1)
    assert forwards.shape_rgb == backwards.backdrop_rgb
    assert forwards.backdrop_rgb == backwards.shape_rgb


@pytest.mark.parametrize("prompt", ["black", "white", "a black ball", "a red ball"])
def test_a_single_colour_gets_a_backdrop_that_it_stands_out_from(prompt: str) -> None:
    scene = read_prompt(prompt, 1)
    difference = sum(abs(a - b) for a, b in zip(scene.shape_rgb, scene.backdrop_rgb, strict=True))
    assert difference > 150


def test_without_known_words_prompt_and_seed_decide() -> None:
    scenes = {read_prompt(prompt, seed) for prompt in ("xyz", "zyx", "abc") for seed in (1, 2, 3)}
    assert len(scenes) == 9
    assert read_prompt("xyz", 1) == read_prompt("xyz", 1)


@given(st.text(), st.integers(0, 2**63))
def test_any_prompt_makes_a_scene_that_can_be_drawn_and_heard(prompt: str, seed: int) -> None:
    # A prompt from the wire holds no lone surrogates.
    scene = read_prompt(prompt.encode("utf-8", "replace").decode(), seed)
    assert all(0 <= channel <= 255 for channel in (*scene.shape_rgb, *scene.backdrop_rgb))
    assert all(90 < pitch_hz < 1000 for pitch_hz in scene.chord_hz)
    assert scene.motions
    assert 0 < scene.speed < 10
    assert 0 <= scene.spread < 1
