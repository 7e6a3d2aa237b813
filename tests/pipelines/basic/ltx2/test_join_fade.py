from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.pipelines.basic.ltx2.join_fade import FADE_FRAMES, JoinFade


def picture(value: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.full((4, 6, 3), value, np.uint8)


def clip(count: int, value: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.full((count, 4, 6, 3), value, np.uint8)


def test_a_still_picture_goes_from_what_was_shown_to_what_comes_in_equal_steps() -> None:
    frames = clip(FADE_FRAMES + 3, 100)
    JoinFade(picture(126), picture(100)).apply(frames)
    values = [126, *(int(frame[0, 0, 0]) for frame in frames)]
    assert max(before - after for before, after in pairwise(values)) == 2
    assert min(before - after for before, after in pairwise(values)) == 0
    assert values[-3:] == [100, 100, 100]


def test_equal_pictures_leave_every_frame_as_it_is() -> None:
    frames = np.random.default_rng(0).integers(256, size=(20, 4, 6, 3), dtype=np.uint8)
    before = frames.copy()
    JoinFade(picture(7), picture(7)).apply(frames)
    np.testing.assert_array_equal(frames, before)


def test_light_and_dark_end_at_their_limits_instead_of_turning_over() -> None:
    light, dark = clip(1, 250), clip(1, 5)
    JoinFade(picture(255), picture(200)).apply(light)
    JoinFade(picture(0), picture(60)).apply(dark)
    assert int(light.min()) == 255
    assert int(dark.max()) == 0


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 255), st.integers(0, 255))
def test_how_frames_are_cut_into_chunks_changes_nothing(sizes: list[int], shown: int, repeated: int) -> None:
    whole = clip(sum(sizes), 128)
    parts = whole.copy()
    JoinFade(picture(shown), picture(repeated)).apply(whole)
    fade, position = JoinFade(picture(shown), picture(repeated)), 0
    for size in sizes:
        fade.apply(parts[position : position + size])
        position += size
    np.testing.assert_array_equal(parts, whole)
